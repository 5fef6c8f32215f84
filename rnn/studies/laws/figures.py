"""Figure 2: the mean amplification of the families that are drawn, and their uniform laws."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import normalforms as nf
from normalforms.families import Family, families, family
from normalforms.report import COLOURS, style

__all__ = ["figure2"]


_POINTS = 241


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
    drawn = [record for record in families().values() if record.drawn]
    for ax, record in zip(figure.subplots(1, len(drawn)), drawn, strict=True):
        _panel(ax, record, horizon, ranges, nodes)
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
    orbit = nf.amplification(family(name).map()).orbit(g[:, None], r * x[None, :], horizon)
    t = np.arange(1, horizon + 1)[:, None, None]
    there = (orbit.escape == 0) | (t < orbit.escape)
    values = np.sum(np.where(there, orbit.s, 0.0) ** 2, axis=0)
    return values @ w / 2, np.all(orbit.escape == 0, axis=1)


def _panel(ax: Any, record: Family, horizon: int, ranges: tuple[float, ...], nodes: int) -> None:
    g = np.linspace(*record.window, _POINTS)
    x, w = np.polynomial.legendre.leggauss(nodes)
    law = nf.amplification(record.map())
    uniform, peaks, leaves = law.uniform(0), law.scaling().peaks, False
    for r, colour in zip(ranges, ("blue", "orange"), strict=True):
        mean, inside = curve(record.name, g, r, horizon, nodes)
        ax.semilogy(g, np.where(inside, mean, np.nan), color=COLOURS[colour], label=f"h₀ ~ U[−{r:g}, {r:g}]")
        leaves |= not np.all(inside)
        if not np.all(inside):
            last = int(np.argmax(inside))
            ax.semilogy(g[: last + 1], mean[: last + 1], ":", color=COLOURS[colour], label="… until they leave")
        if record.orders is not None:
            values = np.full_like(g, np.nan)
            with warnings.catch_warnings():
                # drawn where it is doubtful too, so that one sees where it parts from the iteration
                warnings.simplefilter("ignore", nf.DomainWarning)
                values[inside] = np.asarray(uniform(g[inside][:, None], r * x[None, :], horizon)) @ w / 2
            ax.semilogy(g, values, "--", color="0.25", lw=0.9)
        if peaks:
            peak = int(np.argmax(mean))
            ax.plot(g[peak], mean[peak], "v", color=COLOURS[colour], ms=5)
    ax.axvline(1, color="0.4", ls="--", lw=1)
    ax.set(title=f"{record.title}\nh′ = {record.drawn}", xlabel="g (dimensionless)")
    ax.set_ylabel(f"mean ‖sNTK_g‖, T = {horizon}")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (200 if leaves else 12))
    ax.legend(loc="upper left", fontsize=8)
