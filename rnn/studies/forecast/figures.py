"""The figure on forecasts."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

import normalforms as nf
from normalforms.report import COLOURS, style
from rnn.studies.forecast.study import METHODS, Forecasts

__all__ = ["figure_forecast"]

_COLOUR = dict(zip(METHODS, ("0.7", "0.45", COLOURS["orange"], COLOURS["green"], COLOURS["blue"]), strict=True))
_REGIMES = {
    "monotone": COLOURS["blue"],
    "period two": COLOURS["green"],
    "hopping": COLOURS["orange"],
    "thrown back": COLOURS["red"],
    "diverging": "0.2",
    "under way": "0.85",
}


@style
def figure_forecast(found: Forecasts) -> Figure:
    """Fan of forecasts, ladder of methods, twin against network, phase diagram of descent."""
    figure = Figure(figsize=(12, 8), layout="constrained")
    fan, ladder, twin, phases = figure.subplots(2, 2).ravel()
    _fan(fan, found)
    _ladder(ladder, found)
    _twin(twin, found)
    _phases(phases, found)
    return figure


def _fan(ax: Any, found: Forecasts) -> None:
    training = found.trainings[0]
    ax.plot(training.steps, training.moduli, color="black", lw=2.4, label=f"training, seed {training.seed}")
    for view in found.fan:
        ax.plot(view.steps, np.abs(view.moduli[:, 0]), "--", color=COLOURS["blue"], lw=1)
        ax.plot(view.at, view.multiplier(view.at), "o", color=COLOURS["blue"], ms=4)
    ax.plot([], [], "o--", color=COLOURS["blue"], lw=1, ms=4, label="flow, from the dots on")
    ax.axhline(1, color="0.6", lw=0.8)
    ax.set(xlabel="training step", ylabel="critical multiplier", title="A fan of forecasts")
    if np.isfinite(training.crossing):
        ax.set(xlim=(0, 1.15 * training.crossing), ylim=(0.4, 1.2))
    ax.legend(loc="upper left")


def _ladder(ax: Any, found: Forecasts) -> None:
    for method in METHODS:
        rows = [r for r in found.rows if r.method == method and np.isfinite(r.miss)]
        at, size = [r.multiplier for r in rows], [100 * abs(r.share) for r in rows]
        ax.semilogy(at, np.maximum(size, 1e-2), "o", color=_COLOUR[method], label=method)
    ax.set(xlabel="multiplier at the forecast", ylabel="error, % of the steps to go", title="The ladder of methods")
    ax.legend()


def _twin(ax: Any, found: Forecasts) -> None:
    training, view = found.trainings[0], found.twin
    ax.semilogy(np.arange(training.run.steps), training.run.loss, color="black", lw=2.4, label="network, 64 neurons")
    if view is not None and len(view.steps):
        size = view.path.model(view.steps[0]).weight.shape[0] if view.path is not None else 0
        ax.semilogy(view.steps, view.losses, "--", color=COLOURS["green"], label=f"twin, {size} neurons, from λ = 0.7")
        ax.axvline(view.crossing, color=COLOURS["green"], lw=0.8)
    ax.axvline(training.crossing, color="black", lw=0.8)
    ax.set(xlabel="training step", ylabel="loss (mean squared error)", title="Twin against network")
    ax.legend()


def _phases(ax: Any, found: Forecasts) -> None:
    names = list(_REGIMES)
    number = np.vectorize(names.index)(found.diagram)
    colours = ListedColormap(list(_REGIMES.values()))
    ax.pcolormesh(
        found.teachers, found.rates, number, cmap=colours, vmin=-0.5, vmax=len(names) - 0.5, shading="nearest"
    )
    law_edge = [1 / value for value in _psi(found.teachers)]
    ax.plot(found.teachers, law_edge, color="white", lw=2)
    ax.set(yscale="log", xlabel="teacher, T (g − 1)", ylabel="rate, η T", title="Descent of a pitchfork, T = 50")
    seen = [name for name in names if name in found.diagram]
    ax.legend(handles=[Patch(color=_REGIMES[name], label=name) for name in seen], loc="upper right", fontsize=8)


def _psi(teachers: np.ndarray) -> np.ndarray:

    scaling: Any = nf.amplification(nf.pitchfork()).scaling()  # of two variables; the cusp's has three
    return scaling.evaluate(teachers, 0.1)
