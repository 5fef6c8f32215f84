"""The figure of a fit: data and law, the collapse of several horizons, and what is left over."""

from __future__ import annotations

from typing import Any

import numpy as np

from normalforms.data.fitted import Fitted
from normalforms.families import spoken
from normalforms.report import COLOURS, style

__all__ = ["draw"]


@style
def draw(found: Fitted, axes: Any = None) -> Any:
    """Data and law above, residuals below.

    One horizon: amplification against parameter. Several: ``A/(a T^s)`` against ``b T^p (x − x*)``, on which the
    points of all horizons fall together where ``c T^q h`` is the same or small; p, q of the law's own scaling,
    ``s = 2p − 2q + 1``.

    Args:
        found: the fit.
        axes: two matplotlib axes, one above the other; a new figure unless given.

    Returns:
        The figure.
    """
    # Matplotlib takes a second to load
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    if axes is None:
        figure = Figure(figsize=(6, 5.2), layout="constrained")
        axes = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper, lower = axes
    horizons = np.unique(found.data.horizon)
    model = found.measured * np.exp(found.residual)
    p, q = found.contender.candidate.exponents
    place = found.contender.phi[3]
    shown = list(COLOURS.values())
    for i, T in enumerate(horizons):
        part = found.data.horizon == T
        order = np.flatnonzero(part)[np.argsort(found.parameter[part])]
        x, size = found.parameter[order], 1.0
        if len(horizons) > 1:
            x = np.exp(found.contender.phi[1]) * T**p * (x - place)
            size = found.parameters["amplitude"] * float(T) ** (2 * p - 2 * q + 1)
        colour = shown[i % len(shown)]
        upper.plot(x, found.measured[order] / size, ".", color=colour, label=f"T = {T}")
        upper.plot(x, model[order] / size, "-", color=colour, linewidth=1)
        lower.plot(x, np.expm1(found.residual[order]), ".-", color=colour, linewidth=0.6)
    if np.all(found.measured > 0):
        upper.set_yscale("log")
        upper.yaxis.set_minor_formatter(NullFormatter())
    lower.axhline(0, color="black", linewidth=0.6)
    lower.set_ylabel("law / data − 1")
    if len(horizons) > 1:
        lower.set_xlabel(f"$b\\,T^{{{p:g}}}(x - x^*)$")
        upper.set_ylabel(f"$A / (a\\,T^{{{2 * p - 2 * q + 1:g}}})$")
    else:
        lower.set_xlabel("parameter")
        upper.set_ylabel("amplification")
        if found.data.critical is None:
            upper.axvline(place, color="black", linewidth=0.6, linestyle=":")
    upper.legend()
    head = spoken(found.kind) if found.kind else "no family named"
    upper.set_title(f"{head}; residuals {found.goodness.size:.2g}")
    return upper.figure
