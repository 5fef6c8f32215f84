"""What a search found, as numbers for JSON and as sentences for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn.dynamics import Bifurcations, FixedPoints, SlowPoints

__all__ = ["asides", "branch_facts", "failed", "point_facts", "slow_facts", "verdict"]


def point_facts(found: FixedPoints) -> dict[str, Any]:
    """One search for fixed points."""
    return {
        "fixed_points": len(found),
        "stable": int(np.sum(found.stable)),
        "index_sum": found.index_sum,
        "status": found.status,
        "search": found.search,
        "missed": found.missed,
        "points": found.points.tolist(),
        "multipliers": _pairs(found.multipliers),
        "growth": found.growth.tolist(),
        "residuals": found.residuals.tolist(),
        "kinks": {str(k): _pairs(sides) for k, sides in found.sides.items()},
        "continua": [
            {
                "name": one.name,
                "dimension": one.dimension,
                "extent": one.extent.tolist(),
                "open": list(one.open),
                "drift": one.drift,
                "multiplier": one.multiplier,
                "point": one.point.tolist(),
                "directions": one.directions.tolist(),
                "sentence": str(one),
            }
            for one in found.continua
        ],
    }


def slow_facts(found: SlowPoints) -> dict[str, Any]:
    """One search for slow points."""
    return {
        "status": found.status,
        "points": found.points.tolist(),
        "speeds": found.speeds.tolist(),
        "passage": found.passage.tolist(),
        "multipliers": _pairs(found.multipliers),
    }


def branch_facts(events: Bifurcations) -> list[dict[str, Any]]:
    """The branches that were followed, and the events between which each lives."""
    return [
        {
            "period": branch.period,
            "born": branch.born,
            "ended": branch.ended,
            "status": branch.status,
            "steps": branch.steps.tolist(),
            "points": branch.points.tolist(),
            "stable": branch.stable.tolist(),
            "multipliers": [_pairs(place.multipliers) for place in branch.places],
        }
        for branch in events.branches
    ]


def asides(models: list[Mapping[str, Any]]) -> list[str]:
    """Sentences on what is no isolated smooth point: lines and surfaces, kinks, slow points."""
    said = []
    for model in models:
        said += [f"{model['name']}: {one['sentence']}" for one in model["continua"]]
        if model["kinks"]:
            growth = ", ".join(f"{model['growth'][int(k)]:.4g}" for k in list(model["kinks"])[:4])
            count = len(model["kinks"])
            points = "1 fixed point lies on a kink" if count == 1 else f"{count} fixed points lie on kinks"
            said.append(f"{model['name']}: {points}; small displacements grow by {growth} per step")
        slow = model.get("slow")
        if slow is not None and not slow["speeds"]:
            said.append(f"{model['name']}: no slow point: {slow['status']}")
        elif slow is not None:
            pairs = list(zip(slow["speeds"], slow["passage"], strict=True))[:4]
            told = [f"{v:.2g} per step" + (f" (passed in {t:.0f} steps)" if t == t else "") for v, t in pairs]
            said.append(f"{model['name']}: {len(slow['speeds'])} slow points, moving {', '.join(told)}")
    return said


def verdict(models: list[Mapping[str, Any]]) -> str:
    """How many fixed points there are, from the first to the last model; what is known where there is none."""
    last = models[-1]
    if last["fixed_points"] == 0:
        if last["continua"]:
            return f"no isolated fixed point, but an {last['continua'][0]['sentence']}"
        if last["missed"]:
            return "no fixed point was found, though orbits stay bounded: there is one, and the search failed"
        return "no fixed point was found, which does not say that there is none: " + last["status"]
    counts = " → ".join(str(m["fixed_points"]) for m in models)
    stable = " → ".join(str(m["stable"]) for m in models)
    lines = "".join(f", and an {one['sentence']}" for one in last["continua"][:1])
    plural = "" if counts == "1" else "s"
    return f"{counts} fixed point{plural}, {stable} stable{lines}"


def failed(models: list[Mapping[str, Any]]) -> list[str]:
    """Models in which the search missed what there is."""
    return [f"in {m['name']} {m['status']}" for m in models if m["missed"]]


def _pairs(numbers: np.ndarray) -> list[Any]:
    """Complex numbers as pairs of real ones."""
    return np.stack([numbers.real, numbers.imag], axis=-1).tolist()
