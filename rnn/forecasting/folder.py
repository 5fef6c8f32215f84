"""Forecasts of runs on disk, for the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import optax

from normalforms.families import spoken
from rnn.forecasting.forecast import forecast
from rnn.models import flatten
from rnn.tasks import student_teacher
from rnn.training import RecordError, Run, recorded

__all__ = ["run_in", "told"]

_FACTS = ("at", "status", "detail", "crossing", "error", "kind", "next_crossing", "edge", "first_rise")


def run_in(folder: str | Path, seed: int | None = None) -> Run:
    """The student–teacher run in the folder of a reproduction, or in a run's own.

    Args:
        folder: with ``reproduction.json`` or ``run.json`` in it.
        seed: of the task; that of the reproduction unless given, else 0.

    Raises:
        ValueError: there is no run, or it is of another task.
    """
    place = Path(folder)
    manifest = place / "reproduction.json"
    if seed is None and manifest.exists():
        try:
            seed = int(json.loads(manifest.read_text())["seed"])
        except (ValueError, KeyError, TypeError, OSError):
            raise RecordError(f"{manifest} cannot be read; pass --seed") from None
    homes = [home for home in (place, place / "run") if (home / "run.json").exists()]
    if not homes:
        raise RecordError(f"{folder} holds no training run; give the folder of a reproduction or of a run")
    task = student_teacher(0 if seed is None else seed)
    run = recorded(task, homes[0])
    begun = np.asarray(flatten(task.student))
    if run.path.parameters.shape[1] != begun.size or not np.allclose(run.path.parameters[0], begun):
        raise RecordError(f"{homes[0]} is no run of the student–teacher task with seed {seed or 0}; pass its --seed")
    return run


def told(run: Run, rate: float | None, **options: Any) -> tuple[dict[str, Any], str]:
    """A forecast as numbers ready for JSON, and as a sentence."""
    optimizer = None if rate is None else optax.sgd(rate)
    view = forecast(run, optimizer=optimizer, **options)
    facts = {name: getattr(view, name) for name in _FACTS}
    facts = {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in facts.items()}
    facts |= {"method": view.method, "gradients": view.cost.gradients, "seconds": view.cost.seconds}
    words = f"{view.status}: {view.detail}"
    if math.isfinite(view.crossing):
        words = f"{spoken(view.kind)} at step {view.crossing:.1f} ± {view.error:.1f} ({words})"
    if math.isfinite(view.next_crossing):
        words += f"; the next at {view.next_crossing:.1f}"
    if math.isfinite(view.edge):
        words += f"; edge of stability at {view.edge:.0f}"
    return facts, words
