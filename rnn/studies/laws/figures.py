"""Figures of the laws, and the one style that every figure of the project has."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from normalforms import maps
from normalforms.formulas import DomainWarning
from normalforms.law import amplification
from normalforms.report import COLOURS, style

__all__ = ["figure2"]


_FAMILIES = {
    "stability_flip": ("Stability flip", "g h"),
    "pitchfork": ("Pitchfork", "g h − h³"),
    "saddle_node": ("Saddle-node", "h + (g − 1) − h²"),
    "period_doubling": ("Period doubling", "−g h + h³"),
}


@style
def figure2(horizon: int = 30, ranges: tuple[float, ...] = (0.05, 0.1), nodes: int = 80) -> Figure:
    """Mean ``‖sNTK_g‖ = A_T`` over ``h_0 ~ U[−r, r]`` against g for four families, T steps.

    Solid: direct iteration on Gauss–Legendre nodes. Dashed: the uniform law of leading order. Dotted: where some
    orbits leave to infinity (saddle-node, g < 1), the sum over the steps before they do.

    Args:
        horizon: T, in steps.
        ranges: half-widths r of the initial states.
        nodes: quadrature nodes.
    """
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    for ax, name in zip(figure.subplots(1, 4), _FAMILIES, strict=True):
        _panel(ax, name, horizon, ranges, nodes)
    return figure


def curve(name: str, g: np.ndarray, r: float, horizon: int, nodes: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Mean of ``Σ_t s_t²`` over ``h_0 ~ U[−r, r]`` by direct iteration, and where every orbit stays.

    An orbit that leaves counts with the steps before it does: beyond, the sum grows without bound.

    Args:
        name: of the family.
        g: parameter values, shape (count,).
        r: half-width of the initial states.
        horizon: T, in steps.
        nodes: Gauss–Legendre nodes.
    """
    x, w = np.polynomial.legendre.leggauss(nodes)
    orbit = amplification(getattr(maps, name)()).orbit(g[:, None], r * x[None, :], horizon)
    t = np.arange(1, horizon + 1)[:, None, None]
    there = (orbit.escape == 0) | (t < orbit.escape)
    values = np.sum(np.where(there, orbit.s, 0.0) ** 2, axis=0)
    return values @ w / 2, np.all(orbit.escape == 0, axis=1)


def _panel(ax: Any, name: str, horizon: int, ranges: tuple[float, ...], nodes: int) -> None:
    title, formula = _FAMILIES[name]
    g = np.linspace(0.94, 1.06, 241) if name == "saddle_node" else np.linspace(0.8, 1.4, 151)
    x, w = np.polynomial.legendre.leggauss(nodes)
    uniform = amplification(getattr(maps, name)()).uniform(0)
    for r, colour in zip(ranges, ("blue", "orange"), strict=True):
        mean, inside = curve(name, g, r, horizon, nodes)
        ax.semilogy(g, np.where(inside, mean, np.nan), color=COLOURS[colour], label=f"h₀ ~ U[−{r:g}, {r:g}]")
        if not np.all(inside):
            last = int(np.argmax(inside))
            ax.semilogy(g[: last + 1], mean[: last + 1], ":", color=COLOURS[colour], label="… until they leave")
        if name != "stability_flip":
            law = np.full_like(g, np.nan)
            with warnings.catch_warnings():
                # drawn where it is doubtful too, so that one sees where it parts from the iteration
                warnings.simplefilter("ignore", DomainWarning)
                law[inside] = np.asarray(uniform(g[inside][:, None], r * x[None, :], horizon)) @ w / 2
            ax.semilogy(g, law, "--", color="0.25", lw=0.9)
        if name in ("pitchfork", "period_doubling"):
            peak = int(np.argmax(mean))
            ax.plot(g[peak], mean[peak], "v", color=COLOURS[colour], ms=5)
    ax.axvline(1, color="0.4", ls="--", lw=1)
    ax.set(title=f"{title}\nh′ = {formula}", xlabel="g (dimensionless)")
    ax.set_ylabel(f"mean ‖sNTK_g‖, T = {horizon}")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (200 if name == "saddle_node" else 12))
    ax.legend(loc="upper left", fontsize=8)
