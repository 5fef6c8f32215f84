"""The optimizers of figure 4, each with how far it is trained and how it is drawn: one entry here is all one needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import optax

from normalforms.report import COLOURS
from rnn.natural_gradient import low_rank_natural_gradient

__all__ = ["OPTIMIZERS", "PAIR", "RATE", "Entrant"]

RATE = 5e-3
"""Learning rate of SGD and of smooth mode, the paper's."""


@dataclass(frozen=True)
class Entrant:
    """One optimizer.

    Attributes:
        transformation: what updates the parameters.
        most: its steps at most.
        look: how its curves are drawn, as Matplotlib's keywords.
    """

    transformation: optax.GradientTransformation | optax.GradientTransformationExtraArgs
    most: int = 10**9
    look: dict[str, Any] = field(default_factory=dict)


PAIR = ("SGD", "smooth")
"""The two that are timed against each other."""

# The rates of the last three are those of a grid (docs/measured/natural-gradient.md) whose median time to 5e-4 over
# seeds 0 to 4, bias trained, is least; none arrives on every seed.
OPTIMIZERS = {
    "SGD": Entrant(optax.sgd(RATE), look={"color": "0.6"}),
    "smooth": Entrant(low_rank_natural_gradient(RATE), look={"color": COLOURS["blue"]}),
    "fast": Entrant(low_rank_natural_gradient(mode="fast"), 150, {"color": COLOURS["red"]}),
    "Adam": Entrant(optax.adam(1e-2), 6_000, {"color": COLOURS["orange"]}),
    "momentum": Entrant(optax.sgd(5e-3, momentum=0.9), 6_000, {"color": COLOURS["green"]}),
    "clipped": Entrant(
        optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1e-1)), 6_000, {"color": COLOURS["green"], "ls": "--"}
    ),
}
