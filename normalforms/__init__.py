"""Closed-form amplification laws of bifurcations, and the normal forms behind them."""
