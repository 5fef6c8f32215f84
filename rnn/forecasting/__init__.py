"""Forecasts of training: the flow of descent, the law of the critical multiplier, a small twin of the network."""

from rnn.forecasting.flow import loss_and_slope
from rnn.forecasting.forecast import forecast
from rnn.forecasting.law import critical_pair, law
from rnn.forecasting.result import Cost, Forecast, passage
from rnn.forecasting.twin import Twin, sharpness, twin_of

__all__ = [
    "Cost",
    "Forecast",
    "Twin",
    "critical_pair",
    "forecast",
    "law",
    "loss_and_slope",
    "passage",
    "sharpness",
    "twin_of",
]
