"""How often a fit names the right law, how honest its odds and intervals are, and what a fit and a discovery cost.

    python tests/benchmarks/bench_fit.py [--seeds N] [--first SEED] [--cells N] [--out rows.jsonl] [--read rows.jsonl]
    python tests/benchmarks/bench_fit.py --discover pitchfork,logistic [--where measurement,process] [--many]

Where pysindy is installed it discovers from the same orbits.

Curves are made by a direct iteration of its own, not by the package. One seed is 135 curves: five classes, noise 1e-3,
1e-2 and 5e-2, T = 15, 30 and 100, windows across the transition, on one side, and away from the peak.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
import warnings
from itertools import product

import numpy as np

import normalforms as nf

CLASSES = ("linear", "cubic", "transcritical", "saddle_node", "cusp")
KINDS = {"linear": ("stability_flip",), "cubic": ("pitchfork", "period_doubling")}
PRIOR = {"cusp": 0.2}  # the documented prior odds: a fifth for each further parameter of a law
NOISES = (1e-3, 1e-2, 5e-2)
HORIZONS = (15, 30, 100)
WINDOWS = ("across", "above", "below")
POINTS, BATCH = 40, 16


def direct(kind, g, h0, T, beta=0.0):
    """``Σ_i A_T(g, h_i)`` by iteration; β is a cusp's."""
    g = np.asarray(g, float)[:, None]
    h = np.broadcast_to(np.asarray(h0, float), (len(g), len(h0))).copy()
    s, total = np.zeros_like(h), np.zeros_like(h)
    for _ in range(T):
        if kind == "stability_flip":
            slope, force, ahead = g + 0 * h, h, g * h
        elif kind == "pitchfork":
            slope, force, ahead = g - 3 * h * h, h, g * h - h**3
        elif kind == "cusp":
            slope, force, ahead = g - 3 * h * h, h, beta + g * h - h**3
        elif kind == "transcritical":
            slope, force, ahead = g - 2 * h, h, g * h - h * h
        elif kind == "saddle_node":
            slope, force, ahead = 1 - 2 * h, 1.0, h + (g - 1) - h * h
        else:
            slope, force, ahead = -g + 3 * h * h, -h, -g * h + h**3
        s, h = slope * s + force, ahead
        total += s * s
    return total.sum(1)


def curve(kind, window, T, noise, rng):
    """One measured curve with the scales behind it."""
    b, c = np.exp(rng.uniform(-0.4, 0.4, 2))
    a = np.exp(rng.uniform(-2, 2))
    one_sided = kind in ("transcritical", "saddle_node")
    h = np.sort(rng.uniform(0.0 if one_sided else -0.12, 0.12, BATCH)) * (30 / T) ** 0.25
    unit = 1 / T**2 if kind == "saddle_node" else 1 / T
    low, high = {
        "saddle_node": {"across": (-1.5, 6.0), "above": (0.0, 8.0), "below": (3.0, 12.0)},
    }.get(kind, {"across": (-6.0, 6.0), "above": (0.0, 8.0), "below": (-9.0, -0.5)})[window]
    x = 1 + np.linspace(low, high, POINTS) * unit
    truth = {"amplitude": a, "parameter_scale": b, "state_scale": c}
    if kind == "cusp":
        truth["beta"] = rng.uniform(-2, 2) / T**1.5
    y = a * direct(kind, 1 + b * (x - 1), c * h, T, truth.get("beta", 0.0)) * np.exp(noise * rng.normal(size=POINTS))
    return x, y, h, truth


def curves(seeds, first, cells=None, out=None):
    """One row for each curve; with ``cells`` only so many of a seed's 135, drawn by chance."""
    rows = []
    for seed in range(first, first + seeds):
        rng = np.random.default_rng([17, seed])
        every = list(product(CLASSES, NOISES, HORIZONS, WINDOWS))
        for i in rng.permutation(len(every))[:cells]:
            right, noise, T, window = every[i]
            kind = KINDS.get(right, (right,))[seed % len(KINDS.get(right, (right,)))]
            x, y, h, truth = curve(kind, window, T, noise, rng)
            began = time.process_time()
            f = nf.fit(x, y, horizon=T, initial=h)
            middle = time.process_time()
            # the same optimum where the right law won; timed on its own on one curve in five
            timed = i % 5 == seed % 5
            own = f if f.law_class == right and not timed else nf.fit(x, y, horizon=T, initial=h, laws=kind)
            ends = own.interval(0.9)
            done = time.process_time()
            lowest = {"beta": -np.inf}
            cover = {
                n: (bool(low <= truth[n] <= high), int(low > lowest.get(n, 0)) + int(np.isfinite(high)))
                for n, (low, high) in ends.items()
            }
            peak = 2 <= int(np.argmax(y)) < POINTS - 2 or (kind == "stability_flip" and window == "across")
            rows.append(
                {
                    "kind": kind, "noise": noise, "T": T, "window": window, "peak": bool(peak), "seed": seed,
                    "right": f.law_class == right, "named": f.kind, "in_set": right in f.plausible,
                    "set": len(f.plausible),
                    "odds": dict(f.classes), "truth": right, "cover": cover, "p": f.goodness.p_value,
                    "status": f.status,
                    "own_p": own.goodness.p_value, "competition": middle - began,
                    "single": done - middle if timed else None,
                }
            )  # fmt: skip
            if out:
                with open(out, "a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    return rows


def table(rows):
    """The figures of the curves as text."""
    lines = [f"{len(rows)} curves by direct iteration"]
    lines.append("| noise | class right, peak inside | across | all windows | truth in set | set size |")
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for noise in NOISES:
        part = [r for r in rows if r["noise"] == noise]
        lines.append(
            f"| {noise:g} | {_share('right', [r for r in part if r['peak']])} | "
            f"{_share('right', [r for r in part if r['window'] == 'across'])} | {_share('right', part)} | "
            f"{_share('in_set', part)} | {np.mean([r['set'] for r in part]):.2f} |"
        )
    lines += [
        "",
        "90 % intervals that hold the truth; (intervals)",
        "| noise | both ends | one end | all with an end |",
    ]
    lines.append("| --- | --- | --- | --- |")
    for noises in (*((n,) for n in NOISES), NOISES):
        hits = [v for r in rows if r["noise"] in noises for v in r["cover"].values() if v[1]]
        cells = [_covered([h for h, ends in hits if ends in kinds]) for kinds in ((2,), (1,), (1, 2))]
        lines.append(f"| {', '.join(f'{n:g}' for n in noises)} | {' | '.join(cells)} |")
    lines += ["", *_calibration(rows), ""]
    times = [[r[key] for r in rows if r[key] is not None] for key in ("competition", "single")]
    lines.append(
        "CPU seconds, median, 95 % and largest: "
        + "; ".join(
            f"{name} {np.median(t):.2f}, {np.quantile(t, 0.95):.2f}, {max(t):.2f}"
            for name, t in zip(("competition", "fit with intervals"), times, strict=True)
            if t
        )
    )
    lines.append(f"false misfits (p < 1e-3 of the true law): {np.mean([r['own_p'] < 1e-3 for r in rows]):.4f}")
    return "\n".join(lines)


def _share(key, rows):
    return f"{np.mean([r[key] for r in rows]):.3f} ({len(rows)})" if rows else "–"


def _covered(hits):
    return (
        f"{np.mean(hits):.3f} ± {(np.mean(hits) * (1 - np.mean(hits)) / len(hits)) ** 0.5:.3f} ({len(hits)})"
        if hits
        else "–"
    )


def _calibration(rows):
    """Of all odds stated for a class, by decile: how many, their mean, and the share that are true.

    Every curve states odds for each class. A curve weighs as its class does in the documented prior odds.
    """
    stated = [(v, k == r["truth"], PRIOR.get(r["truth"], 1.0)) for r in rows for k, v in r["odds"].items()]
    lines = ["| odds | stated | mean | true | error |", "| --- | --- | --- | --- | --- |"]
    for low in range(10):
        part = np.array([s for s in stated if min(int(10 * s[0]), 9) == low], dtype=float).reshape(-1, 3)
        if not len(part):
            continue
        w = part[:, 2] / np.sum(part[:, 2])
        mean, true = part[:, 0] @ w, part[:, 1] @ w
        error = (mean * (1 - mean) * np.sum(w**2)) ** 0.5
        lines.append(f"| {low / 10:.1f}–{low / 10 + 0.1:.1f} | {len(part)} | {mean:.3f} | {true:.3f} | ± {error:.3f} |")
    return lines


C3 = -0.7318  # no simple fraction

MAPS = {
    "pitchfork": (lambda h, g: g * h + C3 * h**3, (-0.4, 0.4), 1.05, (0.9, 1.2), {"h**3": C3}),
    "transcritical": (lambda h, g: g * h + C3 * h * h, (0.0, 0.4), 1.05, (0.9, 1.2), {"h**2": C3}),
    "logistic": (lambda h, g: g * h * (1 - h), (0.1, 0.9), 3.05, (2.8, 3.3), {}),
    "henon": (None, (-0.3, 0.3), 1.0, (0.2, 1.0), {}),
}
RIGHT = {
    ("pitchfork", True): ({"h", "h**3"},), ("pitchfork", False): ({"g*h", "h**3"},),
    ("transcritical", True): ({"h", "h**2"},), ("transcritical", False): ({"g*h", "h**2"},),
    ("logistic", True): ({"h", "h**2"},), ("logistic", False): ({"g*h", "g*h**2"},),
    ("henon", True): ({"1", "x**2", "y"}, {"x"}), ("henon", False): ({"1", "g*x**2", "y"}, {"x"}),
}  # fmt: skip


def orbits(kind, noise, where, single, rng, count=200, time_steps=30):
    """Orbits with noise of measurement or in the dynamics, and their parameters."""
    step, (low, high), one, span, _ = MAPS[kind]
    g = np.full(count, one) if single else rng.uniform(*span, count)
    process = noise if where == "process" else 0.0
    if kind == "henon":
        h = np.stack([rng.uniform(low, high, count), rng.uniform(-0.1, 0.1, count)], axis=1)
        step = lambda h, g: np.stack([1 - g * h[:, 0] ** 2 + h[:, 1], 0.3 * h[:, 0]], axis=1)  # noqa: E731
    else:
        h = rng.uniform(low, high, count)
    rows = [h]
    for _ in range(time_steps):
        with np.errstate(all="ignore"):
            rows.append(step(rows[-1], g) + process * rng.normal(size=h.shape))
    states = np.stack(rows, axis=1)
    states = np.where(np.abs(states) < 5, states, np.nan)
    return states + (noise if where == "measurement" else 0.0) * rng.normal(size=states.shape), g


TRUE = {"pitchfork": ("h**3", C3), "transcritical": ("h**2", C3), "logistic": ("h**2", -3.05), "henon": ("x**2", -1.0)}
THRESHOLDS = (0.05, 0.1, 0.2)  # of pysindy's sequential least squares; its own default is the second


def peer(kind, states):
    """pysindy on the same orbits, at one parameter value: by threshold, right terms, and the nonlinear coefficient."""
    if importlib.util.find_spec("pysindy") is None:
        return None
    import pysindy

    runs = [run[np.cumprod(np.all(np.isfinite(run), axis=-1)) > 0] for run in states.reshape(*states.shape[:2], -1)]
    names, found = ["x", "y"] if kind == "henon" else ["h"], {}
    for threshold in THRESHOLDS:
        model = pysindy.DiscreteSINDy(
            optimizer=pysindy.STLSQ(threshold=threshold), feature_library=pysindy.PolynomialLibrary(degree=5)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit([run for run in runs if len(run) > 1], t=1, feature_names=names)
        labels = [label.replace("^", "**").replace(" ", "*") for label in model.get_feature_names()]
        rows = [{label: c for label, c in zip(labels, row, strict=True) if c} for row in model.coefficients()]
        monomial, true = TRUE[kind]
        right = tuple(set(row) for row in rows) == RIGHT[kind, True]
        found[str(threshold)] = (right, float(rows[0].get(monomial, 0.0)) - true)
    return found


def discoveries(seeds, first, kinds, singles=(True,), wheres=("measurement",), out=None):
    """One row for each discovery of degree 5."""
    rows = []
    for seed in range(first, first + seeds):
        for kind, where, noise, single in product(kinds, wheres, (1e-2, 5e-2), singles):
            states, g = orbits(kind, noise, where, single, np.random.default_rng([23, seed]))
            began = time.process_time()
            rule = nf.discover(states, g, noise=where, degree=5, state="x,y" if kind == "henon" else "h", round_to=None)
            took = time.process_time() - began
            terms = tuple({str(m) for m in row} for row in rule.coefficients)
            pulls = {}
            truth = dict(MAPS[kind][4])
            if kind == "henon":
                truth = {"y": 1.0, "x**2": -1.0} if single else {"y": 1.0, "g*x**2": -1.0}
            if kind == "logistic":
                truth = {"h**2": -3.05} if single else {"g*h**2": -1.0}
            gaps = {}
            for m, value in rule.coefficients[0].items():
                if str(m) in truth:
                    gaps[str(m)] = float(value) - truth[str(m)]
                    pulls[str(m)] = (float(value) - truth[str(m)]) / rule.standard_errors[0][m]
            rows.append({"kind": kind, "where": where, "noise": noise, "single": single, "seed": seed,
                         "right": terms == RIGHT[kind, single], "pulls": pulls, "seconds": took, "gaps": gaps,
                         "peer": peer(kind, states) if single else None,
                         "terms": [sorted(t) for t in terms]})  # fmt: skip
            if out:
                with open(out, "a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    return rows


def discovery_table(rows):
    """The figures of the discoveries as text."""
    lines = [f"{len(rows)} discoveries of 200 orbits of 31 points, degree 5"]
    lines += [
        "| map | noise | size | values | terms right | mean pull | cover of 90 % | rms error | CPU s |"
        " pysindy: terms right | rms error |"
    ]
    lines += ["| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for key in sorted({(r["kind"], r["where"], r["noise"], r["single"]) for r in rows}):
        part = [r for r in rows if (r["kind"], r["where"], r["noise"], r["single"]) == key]
        pulls = [p for r in part if r["right"] for p in r["pulls"].values()]
        cover = f"{np.mean(np.abs(pulls) < 1.645):.2f} ({len(pulls)})" if pulls else "–"
        mean = f"{np.mean(pulls):+.2f} ± {np.std(pulls) / len(pulls) ** 0.5:.2f}" if pulls else "–"
        right = f"{sum(r['right'] for r in part)}/{len(part)}"
        monomial, true = TRUE[key[0]]
        own = [r["gaps"].get(monomial, -true) for r in part] if key[3] else []
        lines.append(
            f"| {key[0]} | {key[1]} | {key[2]:g} | {'one' if key[3] else 'many'} | {right} |"
            f" {mean} | {cover} | {_rms(own)} | {np.median([r['seconds'] for r in part]):.1f} |"
            f" {_peer_cells([r['peer'] for r in part if r.get('peer')])} |"
        )
    return "\n".join(lines)


def _rms(values):
    return f"{np.sqrt(np.mean(np.square(values))):.3f}" if len(values) else "–"


def _peer_cells(found):
    """The best of pysindy's thresholds, chosen in hindsight for the row: by right terms, then by error."""
    if not found:
        return "– | –"
    best = max(found[0], key=lambda t: (sum(f[t][0] for f in found), -np.mean([f[t][1] ** 2 for f in found])))
    return f"{sum(f[best][0] for f in found)}/{len(found)} | {_rms([f[best][1] for f in found])}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=1000)
    parser.add_argument("--cells", type=int, help="so many curves of each seed, drawn by chance")
    parser.add_argument("--out", help="append the rows to this file, one JSON object a line")
    parser.add_argument("--read", help="print the table of such a file")
    parser.add_argument("--discover", help="maps to discover in place of curves, with commas")
    parser.add_argument("--where", default="measurement", help="measurement or process, with commas")
    parser.add_argument("--many", action="store_true", help="many parameter values, not one")
    arguments = parser.parse_args()
    if arguments.read:
        with open(arguments.read) as file:
            rows = [json.loads(line) for line in file]
        print(table(rows) if "odds" in rows[0] else discovery_table(rows))
        return
    if arguments.discover:
        kinds, wheres = arguments.discover.split(","), arguments.where.split(",")
        rows = discoveries(arguments.seeds, arguments.first, kinds, (not arguments.many,), wheres, arguments.out)
        print(discovery_table(rows))
        return
    print(table(curves(arguments.seeds, arguments.first, arguments.cells, arguments.out)))


if __name__ == "__main__":
    main()
