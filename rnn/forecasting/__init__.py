"""Forecasts of training: the flow of descent, the law of the critical multiplier, a small twin of the network."""

from rnn.forecasting.folder import run_in, told
from rnn.forecasting.forecast import forecast
from rnn.forecasting.result import Cost, Forecast, passage

__all__ = ["Cost", "Forecast", "forecast", "passage", "run_in", "told"]
