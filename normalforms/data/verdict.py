"""What a competition of laws amounts to, in words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from normalforms.data.competition import Contender
from normalforms.data.goodness import Goodness
from normalforms.data.measurement import Measurement
from normalforms.families import spoken

__all__ = ["verdict"]

_MARGIN = 4.0  # of ln evidence by which a law has to beat a constant before it is named
_DECIDED = 0.8  # odds below which a window without a peak names no family
_GROSS = 0.05  # share of the variance that a misfit leaves unexplained, above which no family is named


def verdict(
    best: Contender, data: Measurement, odds: Mapping[str, float], quality: Goodness, ahead: float, competed: bool
) -> tuple[str | None, str]:
    """The family that may be named, or ``None``, and a status in words.

    Args:
        best: the contender of greatest evidence.
        data: the measurement.
        odds: by class.
        quality: the residuals of ``best``.
        ahead: ln evidence of ``best`` above that of a constant.
        competed: whether more than one class did.
    """
    name = spoken(best.candidate.name)
    size = f"residuals of {quality.size:.2g}" + ("" if data.noise == "additive" else " (relative)")
    if ahead < _MARGIN:
        return None, (
            f"no law: the amplification does not depend on the parameter beyond its scatter; {name} explains"
            f" {max(quality.explained, 0):.0%} of the variance, no better than a constant does by chance"
        )
    if quality.misfit:
        where = direction(best, data)
        text = f"misfit: {name} is the nearest law, but misses by more than noise ({where}); {size}, "
        text += f"autocorrelation {quality.autocorrelation:.2f}, p = {quality.p_value:.1g}"
        return (None if 1 - quality.explained > _GROSS else best.candidate.name), text
    others = [spoken(k) for k, v in sorted(odds.items(), key=lambda p: -p[1]) if v > 0.05]
    top = max(odds.values())
    if competed and top < _DECIDED and not _peaked(data):
        return None, f"not told apart: {', '.join(others)}; the window shows no peak, which is what tells them; {size}"
    if len(others) > 1:
        return best.candidate.name, f"fits: {name}, odds {top:.0%}, with {', '.join(others[1:])} possible; {size}"
    return best.candidate.name, f"fits: {name}, odds {top:.1%}; {size}"


def _peaked(data: Measurement) -> bool:
    """Whether the largest values of some horizon lie inside the window."""
    for T in np.unique(data.horizon):
        part = data.horizon == T
        x, y = data.parameter[part], data.amplification[part]
        if len(x) < 5:
            continue
        y = y[np.argsort(x)]
        width = max(1, len(y) // 12)
        smooth = np.convolve(y, np.ones(width) / width, mode="valid")
        top = int(np.argmax(smooth))
        if 2 <= top < len(smooth) - 2:
            return True
    return False


def direction(best: Contender, data: Measurement) -> str:
    """Where the law is too high and where too low: mean residual below, around and above the critical point."""
    where = (data.parameter - best.phi[3]) * np.exp(best.phi[1]) * data.horizon
    unit = np.sqrt(np.mean(data.weight)) * best.objective.weight
    r = best.residual / unit
    if best.objective.additive:
        r = r / np.sqrt(np.mean(data.amplification**2))
    parts = []
    for name, mask in (
        ("below the critical point", where < -1),
        ("around it", np.abs(where) <= 1),
        ("above it", where > 1),
    ):
        if np.sum(mask) >= 2:
            mean = float(np.mean(r[mask]))
            parts.append(f"{abs(mean):.1%} too {'high' if mean > 0 else 'low'} {name}")
    return ", ".join(parts) or "over the whole window"
