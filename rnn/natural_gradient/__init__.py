"""Low-rank natural gradient as an Optax transformation, and the Fisher products it takes."""

from rnn.natural_gradient.curvature import fisher_of, gauss_newton
from rnn.natural_gradient.optimizer import LowRankState, low_rank_natural_gradient

__all__ = ["LowRankState", "fisher_of", "gauss_newton", "low_rank_natural_gradient"]
