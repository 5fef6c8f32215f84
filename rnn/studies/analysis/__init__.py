"""Somebody's own network."""
