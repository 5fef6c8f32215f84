"""Somebody's own network, or the checkpoints of its training: fixed points, bifurcations, kernel, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from normalforms.report import Meter, Report
from rnn.dynamics import Bifurcations, Event, FixedPoints, SlowPoints, bifurcations, fixed_points, slow_points
from rnn.kernel import Estimate, sntk
from rnn.models import Model, ModelPath, partition
from rnn.restricted import Prediction, Sweep, predict, restrict
from rnn.studies.analysis.pieces import Pieces

__all__ = ["Analysis", "Kernel", "analyze"]


_RANKS = 9  # models whose kernel is looked at
_DRAWN = 128  # random states that are searched from beside those given
_KERNELS, _COUNT = 3, 41  # events whose restricted kernel is predicted, and points of its curve


@dataclass(frozen=True)
class Kernel:
    """The kernel restricted to the dominant direction through an event, and its prediction.

    Attributes:
        sweep: as measured; ``None`` where it is refused.
        prediction: without free parameter.
        refused: why there is none, empty where there is one.
    """

    sweep: Sweep | None = None
    prediction: Prediction | None = None
    refused: str = ""


@dataclass(frozen=True)
class Analysis:
    """What is known of a network, or of a path of them.

    Attributes:
        names: of the models, in order.
        steps: theirs, shape (count,).
        points: fixed points of the first and of the last model (of the one, where there is one).
        ranked: which models' kernels were looked at, as indices; the first and the last among them.
        ranks: stable rank of the state-space NTK of those, all parameters counted.
        events: bifurcations on the straight lines between successive models; ``None`` for a single one.
        kernels: restricted kernels of the first events.
        horizon: T of the kernel, in steps.
        batch: number of its initial states.
        starts: those states, shape (batch, state).
        slow: slow points of the same models as ``points``, where they were asked for.
        damaged: parts of an earlier analysis that could not be read and were made again.
    """

    names: tuple[str, ...]
    steps: np.ndarray
    points: tuple[FixedPoints, ...]
    ranked: tuple[int, ...]
    ranks: tuple[Estimate, ...]
    events: Bifurcations | None
    kernels: tuple[Kernel, ...]
    horizon: int
    batch: int
    starts: np.ndarray
    slow: tuple[SlowPoints, ...] = ()
    damaged: tuple[str, ...] = ()


def analyze(
    models: Sequence[Model],
    names: Sequence[str],
    *,
    size: int,
    steps: Sequence[float] | np.ndarray | None = None,
    states: np.ndarray | None = None,
    horizon: int = 25,
    batch: int = 64,
    seed: int = 0,
    devices: Sequence[Any] | None = None,
    progress: Meter | None = None,
    slow: bool = False,
    folder: Path | None = None,
) -> Analysis:
    """Fixed points of the first and the last model, stable ranks on the way, and the bifurcations between all of them.

    Args:
        models: one, or a path of them in the order of training.
        names: one for each.
        size: length of the state.
        steps: training steps of the models, increasing; 0, 1, 2, … unless given.
        states: states from which is searched and that the kernel starts from, shape (count, size); standard normal
            unless given.
        horizon: T of the kernel, in steps.
        batch: initial states of the kernel, where none are given.
        seed: of the draw.
        devices: share those states among these devices, as in :func:`rnn.sntk`.
        progress: shows how far it is.
        slow: look for slow points too.
        folder: keeps every part as it is finished, and what it keeps already, of the same models and options, is not
            made again; nothing is kept unless given.

    Raises:
        OSError: the folder cannot be written to.
        ValueError: no model, models that differ in shape, or states that do not fit.
    """
    if not models or len(models) != len(names):
        raise ValueError(f"models and names must be as many, at least one; got {len(models)} and {len(names)}")
    meter = progress or Meter(quiet=True)
    at = np.arange(len(models), dtype=float) if steps is None else np.asarray(steps, float)
    path = ModelPath.of(models, at) if len(models) > 1 else None
    h0 = np.random.default_rng(seed).normal(size=(batch, size)) if states is None else _checked(states, size)
    ends = models if path is None else (models[0], models[-1])
    dtype = jax.tree.leaves(partition(models[0])[0])[0].dtype
    pieces = Pieces(folder, path)
    seeds = None if states is None else np.concatenate([h0, np.random.default_rng(seed).normal(size=(_DRAWN, size))])

    def look(report: Report) -> list[FixedPoints]:
        found = []
        for k, model in enumerate(ends):
            share = lambda done, k=k: report((k + done) / len(ends))  # noqa: E731
            make = lambda model=model, share=share: fixed_points(model, seeds, size=size, progress=share)  # noqa: E731
            found.append(pieces.part(f"points-{k}", make))
            report((k + 1) / len(ends))
        return found

    points = meter.run("fixed points", look)

    def linger(report: Report) -> list[SlowPoints]:
        found = []
        for k, model in enumerate(ends):
            make = lambda model=model: slow_points(model, None if states is None else h0, size=size)  # noqa: E731
            found.append(pieces.part(f"slow-{k}", make))
            report((k + 1) / len(ends))
        return found

    lingering = meter.run("slow points", linger) if slow else []
    ranked = sorted({round(k) for k in np.linspace(0, len(models) - 1, min(len(models), _RANKS))})

    def rank(report: Report) -> list[Estimate]:
        found = []
        for k, which in enumerate(ranked):
            found.append(
                pieces.part(f"rank-{which}", lambda model=models[which]: _rank(model, h0, dtype, horizon, devices))
            )
            report((k + 1) / len(ranked))
        return found

    ranks = meter.run("stable rank", rank)
    events, kernels = None, []
    if path is not None:
        track = path
        events = meter.run("bifurcations", lambda report: _followed(track, h0, pieces, report))
        some = events[:_KERNELS] if len(events) else []

        def predicted(report: Report) -> list[Kernel]:
            found = []
            for k, event in enumerate(some):
                found.append(_kernel(event, h0, horizon, pieces, k))
                report((k + 1) / len(some))
            return found

        kernels = meter.run("restricted kernels", predicted) if some else []
    rest = (events, tuple(kernels), horizon, len(h0), h0, tuple(lingering), tuple(pieces.damaged))
    return Analysis(tuple(names), at, tuple(points), tuple(ranked), tuple(ranks), *rest)


def _rank(model: Model, h0: np.ndarray, dtype: Any, horizon: int, devices: Sequence[Any] | None) -> Estimate:
    return sntk(model, jnp.asarray(h0, dtype), horizon, devices=devices).stable_rank()


def _followed(path: ModelPath, h0: np.ndarray, pieces: Pieces, report: Report) -> Bifurcations:
    """The bifurcations along the path, kept at every sample."""
    try:
        return bifurcations(
            path,
            every=1,
            starts=h0,
            progress=report,
            begun=pieces.kept("path"),
            keep=lambda state: pieces.keep("path", state, often=True),
        )
    finally:
        pieces.flush()


def _kernel(event: Event, h0: np.ndarray, horizon: int, pieces: Pieces, k: int) -> Kernel:
    def made() -> tuple[Sweep, Prediction] | str:
        try:
            with jax.enable_x64(True):  # an event's model is in float64
                sweep = restrict(event, h0=h0, horizon=horizon, count=_COUNT)
                return sweep, predict(sweep)
        except ValueError as error:  # a bifurcation that has no law along that direction, or none yet
            return str(error)

    found = pieces.part(f"kernel-{k}", made)
    return Kernel(refused=found) if isinstance(found, str) else Kernel(*found)


def _checked(states: np.ndarray, size: int) -> np.ndarray:
    if states.ndim != 2 or states.shape[1] != size or not len(states) or not np.all(np.isfinite(states)):
        raise ValueError(f"states must be finite numbers of shape (count, {size}), got shape {states.shape}")
    return states.astype(np.float64)
