"""Somebody's own network."""

from rnn.studies.analysis.study import analyze, document, draw, summary

__all__ = ["analyze", "document", "draw", "summary"]
