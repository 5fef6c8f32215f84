"""Somebody's own network, or the checkpoints of its training: fixed points, bifurcations, kernel, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from normalforms.report import Meter, Report
from rnn.dynamics import Bifurcations, FixedPoints, bifurcations, fixed_points
from rnn.kernel import Estimate, sntk
from rnn.models import Model, ModelPath, partition

__all__ = ["Analysis", "analyze"]


@dataclass(frozen=True)
class Analysis:
    """What is known of a network, or of a path of them.

    Attributes:
        names: of the models, in order.
        points: fixed points of the first and of the last model (of the one, where there is one).
        ranks: stable rank of the state-space NTK of the same models, all parameters counted.
        events: bifurcations on the straight lines between successive models; ``None`` for a single one.
        horizon: T of the kernel, in steps.
        batch: number of its initial states, standard normal.
    """

    names: tuple[str, ...]
    points: tuple[FixedPoints, ...]
    ranks: tuple[Estimate, ...]
    events: Bifurcations | None
    horizon: int
    batch: int


def analyze(
    models: Sequence[Model],
    names: Sequence[str],
    *,
    size: int,
    horizon: int = 25,
    batch: int = 64,
    seed: int = 0,
    devices: Sequence[Any] | None = None,
    progress: Meter | None = None,
) -> Analysis:
    """Fixed points and stable rank of the first and the last model, and the bifurcations between all of them.

    Args:
        models: one, or a path of them in the order of training.
        names: one for each.
        size: length of the state.
        horizon: T of the kernel, in steps.
        batch: initial states of the kernel, drawn from the standard normal distribution.
        seed: of that draw.
        devices: share those states among these devices, as in :func:`rnn.sntk`.
        progress: shows how far it is.

    Raises:
        ValueError: no model, models that differ in shape, or a first one without a fixed point.
    """
    if not models or len(models) != len(names):
        raise ValueError(f"models and names must be as many, at least one; got {len(models)} and {len(names)}")
    meter = progress or Meter(quiet=True)
    path = ModelPath.of(models) if len(models) > 1 else None
    h0 = np.random.default_rng(seed).normal(size=(batch, size))
    ends = models if path is None else (models[0], models[-1])
    points: list[FixedPoints] = []
    ranks: list[Estimate] = []

    def look(report: Report) -> None:
        for k, model in enumerate(ends):
            points.append(fixed_points(model, size=size))
            dtype = jax.tree.leaves(partition(model)[0])[0].dtype
            ranks.append(sntk(model, jnp.asarray(h0, dtype), horizon, devices=devices).stable_rank())
            report((k + 1) / len(ends))

    meter.run("fixed points", look)
    events = None
    if path is not None:
        track = path
        events = meter.run("bifurcations", lambda report: bifurcations(track, every=1, starts=h0, progress=report))
    return Analysis(tuple(names), tuple(points), tuple(ranks), events, horizon, batch)
