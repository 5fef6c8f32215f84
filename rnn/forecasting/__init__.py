"""Forecasts of training: the flow of descent, the law of the critical multiplier, a small twin of the network."""
