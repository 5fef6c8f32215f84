"""Weights of other frameworks in, and of this one out."""

from rnn.weights.files import FOREIGN
from rnn.weights.load import AssumptionWarning, LoadReport, load, load_report
from rnn.weights.nnx import from_nnx
from rnn.weights.own import save

__all__ = ["FOREIGN", "AssumptionWarning", "LoadReport", "from_nnx", "load", "load_report", "save"]
