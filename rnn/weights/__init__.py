"""Weights of other frameworks in, and of this one out."""

from rnn.weights.load import AssumptionWarning, LoadReport, load, load_report
from rnn.weights.own import save

__all__ = ["AssumptionWarning", "LoadReport", "load", "load_report", "save"]
