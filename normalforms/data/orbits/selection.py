"""Which terms a map has: joint removal along the likelihood, with exchanges, by an extended information criterion."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np
from scipy.special import gammaln

from normalforms.data.orbits.shooting import Estimate

__all__ = ["criterion", "improved", "price", "removals"]

Array = np.ndarray
_TRIED = 6  # so many rivals are fitted in full before exchanges stop


def criterion(found: Estimate, points: int, total: int) -> float:
    """``deviance + k ln N + 2 ln C(K, k)``: BIC with a uniform prior over the number of terms.

    Source: Chen & Chen, Biometrika 95 (2008) 759.
    """
    return found.deviance + price(int(found.active.sum()), points, total)


def price(k: int, points: int, total: int) -> float:
    """What k terms of so many cost: ``k ln N + 2 ln C(K, k)``."""
    choices = gammaln(total + 1) - gammaln(k + 1) - gammaln(total - k + 1)
    return k * np.log(points) + 2 * float(choices)


def removals(factor: Array, theta: Array) -> list[tuple[Array, float]]:
    """The way from all terms to one: each time the term leaves that costs the joint fit least.

    Args:
        factor: W with ``‖W (θ − θ̂)‖²`` the loss of ``2 ln`` likelihood, shape (rows, K). Working on this square root
            keeps monomials apart that are all but dependent on the data.
        theta: θ̂, shape (K,).

    Returns:
        Indices kept and the loss, from K terms to one.
    """
    target = factor @ theta
    scale = np.maximum(np.linalg.norm(factor, axis=0), 1e-300)
    kept, path = list(range(len(theta))), [(np.arange(len(theta)), 0.0)]
    while len(kept) > 1:
        q, r = np.linalg.qr(factor[:, kept] / scale[kept])
        values = np.linalg.solve(r, q.T @ target) if np.min(np.abs(np.diag(r))) > 1e-14 else np.zeros(len(kept))
        inverse = np.linalg.inv(r + 1e-300 * np.eye(len(r))) if np.any(values) else np.linalg.pinv(r)
        t = values**2 / np.maximum(np.sum(inverse**2, axis=1), 1e-300)
        kept.pop(int(np.argmin(t)))
        q = np.linalg.qr(factor[:, kept] / scale[kept])[0]
        path.append((np.array(kept), float(np.sum((target - q @ (q.T @ target)) ** 2))))
    return path


def improved(problem: Any, found: Estimate, refined: list[Estimate]) -> Estimate:
    """Terms joined, exchanged or removed as long as the criterion falls; every map fitted goes to ``refined``."""
    total = found.active.size
    score = lambda e: criterion(e, problem.points, total)  # noqa: E731
    seen = {found.active.tobytes()}
    for _ in range(2 * total):
        better = None
        for active, theta in _neighbours(problem, found):
            if active.tobytes() in seen:
                continue
            seen.add(active.tobytes())
            rival = problem.fit(theta, active, found.extra, steps=12)
            refined.append(rival)
            if score(rival) < score(found) - 1e-6:
                better = rival
                break
        if better is None:
            return found
        found = better
    return found


def _neighbours(problem: Any, found: Estimate) -> Iterable[tuple[Array, Array]]:
    """Maps with a term more, one less or one exchanged, the most promising by the quadratic model first."""
    information, slope = problem.pull(found)
    unit = np.sqrt(np.maximum(np.diag(information), 1e-300))
    information, slope = information / unit / unit[:, None], slope / unit
    theta, inside = found.theta.ravel() * unit, found.active.ravel()
    linear = slope + information @ theta
    own = [int(i) for i in np.flatnonzero(inside)]
    before = theta[own] @ information[np.ix_(own, own)] @ theta[own] - 2 * theta[own] @ linear[own]
    cost = lambda k: price(k, problem.points, inside.size)  # noqa: E731
    sets = [[i for i in own if i != j] for j in own] if len(own) > 1 else []
    for k in map(int, np.flatnonzero(~inside)):
        # up to six terms may stand in for the one that is right
        most = len(own) if len(own) <= 6 else 1
        sets += [[*(i for i in own if i not in out), k] for d in range(most + 1) for out in combinations(own, d)]
    options = []
    for chosen in sets:
        part = information[np.ix_(chosen, chosen)]
        if np.linalg.cond(part) > 1e13:
            continue
        values = np.linalg.solve(part, linear[chosen])
        change = -float(values @ linear[chosen]) - before + cost(len(chosen)) - cost(len(own))
        options.append((change, chosen, values))
    options.sort(key=lambda o: o[0])
    for change, chosen, values in options[:_TRIED]:
        if change > 6.0:
            return
        active, moved = np.zeros(inside.size, bool), np.zeros(inside.size)
        active[chosen], moved[chosen] = True, values / unit[chosen]
        yield active.reshape(found.active.shape), moved.reshape(found.theta.shape)
