"""The study of forecasts: each method against training, and the phase diagram of descent."""

from rnn.studies.forecast.report import STUDY

__all__ = ["STUDY"]
