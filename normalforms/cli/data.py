"""The commands ``normalforms fit`` and ``normalforms discover``: tables of measurements in, a law or a map out."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["add_command", "read_table"]

_LARGEST = 200 * 2**20  # bytes; a table is held in memory
_FIT = {"parameter", "amplification", "horizon", "weight", "batch"}


def add_command(commands: Any) -> None:
    """Add ``fit`` and ``discover`` to the subcommands of a parser."""
    fit = commands.add_parser("fit", help="which law is behind measured amplifications")
    fit.add_argument("table", metavar="data.csv", help="columns parameter, amplification; also horizon, weight, batch")
    fit.add_argument("--horizon", type=int, help="T, where the table has no such column")
    fit.add_argument(
        "--initial",
        required=True,
        help="initial states: LOW,HIGH,COUNT evenly spaced, or a CSV file with a column state and perhaps batch",
    )
    fit.add_argument("--critical", default="1", help="the critical parameter, or free")
    fit.add_argument("--laws", help="families that compete, with commas; all of them unless given")
    fit.add_argument("--noise", choices=("multiplicative", "additive", "bootstrap"), default="multiplicative")
    fit.add_argument("--level", type=float, default=0.9, help="of the intervals")
    _outputs(fit)
    fit.set_defaults(run=_fit)

    found = commands.add_parser("discover", help="which map is behind orbits")
    found.add_argument("table", metavar="orbits.csv", help="columns orbit, time, the states, and perhaps parameters")
    found.add_argument("--state", default="h", help="columns of the state, with commas")
    found.add_argument("--parameter", help="columns of parameters or controls, with commas")
    found.add_argument("--noise", choices=("process", "measurement", "both"), default="process")
    found.add_argument("--degree", type=int, default=3, help="highest degree of the monomials")
    found.add_argument("--level", type=float, default=0.9, help="of the intervals")
    _outputs(found)
    found.set_defaults(run=_discover)


def _outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", help="folder for figure, summary.json and report.html")
    parser.add_argument("--json", action="store_true", help="print JSON")


def read_table(path: str, needed: Sequence[str], known: Sequence[str] | None = None) -> dict[str, list[float]]:
    """The columns of a CSV file with a header, all numbers.

    Args:
        path: the file.
        needed: columns that must be there.
        known: columns that may be there; any number of others unless given.

    Raises:
        ValueError: no such file, one that is too large, columns that are missing, doubled or unknown, a row of another
            length, or text in a number's place. The message names the line.
    """
    import csv

    file = Path(path)
    if not file.is_file():
        raise ValueError(f"{path} is no file; give a table of comma-separated values with a header")
    if file.stat().st_size > _LARGEST:
        raise ValueError(
            f"{path} has {file.stat().st_size / 2**20:.0f} MiB; tables up to {_LARGEST // 2**20} MiB are read"
        )
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            return _columns(path, csv.reader(stream), needed, known)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no table of comma-separated values: {error}") from None


def _columns(path: str, rows: Any, needed: Sequence[str], known: Sequence[str] | None) -> dict[str, list[float]]:
    header = [name.strip() for name in next(rows, [])]
    missing = [name for name in needed if name not in header]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]}; its header reads {', '.join(header) or 'nothing'}")
    doubled = [name for name in header if header.count(name) > 1]
    if doubled:
        raise ValueError(f"{path} has the column {doubled[0]} twice")
    odd = [name for name in header if known is not None and name not in known]
    if odd:
        raise ValueError(f"{path} has a column {odd[0]!r}; known are {', '.join(sorted(known or ()))}")
    columns: dict[str, list[float]] = {name: [] for name in header}
    for row in rows:
        if not row:
            continue
        if len(row) != len(header):
            raise ValueError(f"{path}, line {rows.line_num}: {len(row)} values for {len(header)} columns")
        for name, text in zip(header, row, strict=True):
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if not math.isfinite(value) and not (name not in needed and text.strip().lower() == "nan"):
                raise ValueError(f"{path}, line {rows.line_num}: {name} = {text.strip()[:40]!r} is no finite number")
            columns[name].append(value)
    if not columns[header[0]]:
        raise ValueError(f"{path} has a header and no rows")
    return columns


def _fit(arguments: argparse.Namespace) -> int:
    table = read_table(arguments.table, ("parameter", "amplification"), sorted(_FIT))
    if ("horizon" in table) == (arguments.horizon is not None):
        both = "both; leave --horizon off" if "horizon" in table else "neither; add --horizon T"
        raise ValueError(f"{arguments.table}: the horizon is given by a column or by --horizon, here by {both}")
    horizon: Any = arguments.horizon if arguments.horizon is not None else table["horizon"]
    initial = _initial(arguments.initial, table.get("batch"))
    critical = arguments.critical if arguments.critical == "free" else _number("--critical", arguments.critical)
    laws = None if arguments.laws is None else [name.strip() for name in arguments.laws.split(",")]
    _check_level(arguments.level)

    import normalforms as nf

    found = nf.fit(
        table["parameter"],
        table["amplification"],
        horizon=horizon,
        initial=initial,
        laws=laws,
        critical=critical,
        noise=arguments.noise,
        weights=table.get("weight"),
    )
    ends = found.interval(arguments.level)
    facts = {
        "kind": found.kind,
        "status": found.status,
        "classes": dict(found.classes),
        "parameters": {n: {"value": v, "interval": _ends(ends[n])} for n, v in found.parameters.items()},
        "level": arguments.level,
        "identified": [
            {"formula": c.formula, "value": c.value, "interval": _ends(c.interval)} for c in found.identified
        ],
        "goodness": {
            "size": found.goodness.size,
            "autocorrelation": found.goodness.autocorrelation,
            "p_value": found.goodness.p_value,
        },
        "notes": list(found.notes),
    }
    lines = [
        found.status,
        "odds: " + ", ".join(f"{k} {v:.1%}" for k, v in sorted(found.classes.items(), key=lambda p: -p[1])),
    ]
    lines += [f"{n} = {v:.6g}  [{ends[n][0]:.6g}, {ends[n][1]:.6g}]" for n, v in found.parameters.items()]
    lines += [
        f"fixed: {c.formula} = {c.value:.6g}  [{c.interval[0]:.6g}, {c.interval[1]:.6g}]" for c in found.identified
    ]
    lines += list(found.notes)
    return _told(arguments, facts, lines, found.plot if arguments.out else None)


def _discover(arguments: argparse.Namespace) -> int:
    states = [name.strip() for name in arguments.state.split(",")]
    controls = [name.strip() for name in arguments.parameter.split(",")] if arguments.parameter else []
    table = read_table(arguments.table, ("orbit", "time", *controls), None)
    for name in states:
        if name not in table:
            raise ValueError(f"{arguments.table} has no column {name}; say --state with the names of its state columns")
    _check_level(arguments.level)
    runs, values = _orbits(table, states, controls)

    import normalforms as nf
    from normalforms.families import spoken

    rule = nf.discover(
        runs, values, noise=arguments.noise, degree=arguments.degree, state=",".join(states), names=arguments.parameter
    )
    ends = rule.interval(arguments.level)
    facts = {
        "map": [str(step) for step in rule.map.steps],
        "kind": rule.kind,
        "status": rule.status,
        "noise": rule.residual,
        "level": arguments.level,
        "coefficients": [
            {
                str(m): {"value": float(c), "exact": bool(c.is_Rational), "interval": list(row[m])}
                for m, c in part.items()
            }
            for part, row in zip(rule.coefficients, ends, strict=True)
        ],
    }
    lines = [rule.status, *(f"{name}' = {step}" for name, step in zip(states, facts["map"], strict=True))]
    lines.append(f"noise {rule.residual:.3g}" + (f"; a {spoken(rule.kind)}" if rule.kind else ""))
    return _told(arguments, facts, lines, None)


def _orbits(table: dict[str, list[float]], states: list[str], controls: list[str]) -> tuple[list[Any], Any]:
    """Orbits in the order of their number, sorted in time; controls per orbit where they are steady, else in time."""
    import numpy as np

    orbit, time = np.array(table["orbit"]), np.array(table["time"])
    order = np.lexsort((time, orbit))
    labels = orbit[order]
    cuts = np.flatnonzero(np.diff(labels)) + 1
    runs, given = [], []
    for index in np.split(order, cuts):
        steps = np.diff(time[index])
        if np.any(steps != 1):
            where = time[index][int(np.flatnonzero(steps != 1)[0])]
            raise ValueError(
                f"orbit {orbit[index[0]]:g}: the time after {where:g} is not {where + 1:g}; steps must be one"
            )
        runs.append(np.stack([np.array(table[s])[index] for s in states], axis=-1))
        given.append(
            np.stack([np.array(table[c])[index] for c in controls], axis=-1) if controls else np.zeros((len(index), 0))
        )
    if not controls:
        return runs, None
    if all(np.all(g == g[0]) for g in given):
        return runs, np.stack([g[0] for g in given]) if len(controls) > 1 else np.array([g[0, 0] for g in given])
    longest = max(map(len, given))
    padded = np.stack([np.concatenate([g, np.repeat(g[-1:], longest - len(g), axis=0)]) for g in given])
    return runs, padded


def _initial(text: str, batch: list[float] | None) -> Any:
    """Initial states from ``LOW,HIGH,COUNT`` or a file; one row for each point where the table has a batch column."""
    import numpy as np

    parts = text.split(",")
    if len(parts) == 3:
        low, high, count = (_number("--initial", part) for part in parts)
        if count != int(count) or not 1 <= count <= 10**6:
            raise ValueError(f"--initial {text!r}: COUNT must be a whole number from 1 to 1000000")
        if batch is not None:
            raise ValueError("the table has a column batch; give --initial a file with columns batch and state")
        return np.linspace(low, high, int(count))
    table = read_table(text, ("state",), ["batch", "state"])
    if batch is None:
        return np.array(table["state"])
    if "batch" not in table:
        raise ValueError(f"{text} has no column batch, but the table has; name the batch of every state")
    groups = {
        label: np.array([s for s, b in zip(table["state"], table["batch"], strict=True) if b == label])
        for label in set(table["batch"])
    }
    unknown = sorted(set(batch) - set(groups))
    if unknown:
        raise ValueError(f"{text} has no states of batch {unknown[0]:g}")
    if len({len(g) for g in groups.values()}) > 1:
        raise ValueError(f"{text}: batches differ in size; give each as many states")
    return np.stack([groups[b] for b in batch])


def _number(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{option} {text!r} is no finite number")
    return value


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"--level {level:g} must lie between 0 and 1")


def _ends(interval: tuple[float, float]) -> list[float | None]:
    """JSON has no infinity: an open end is null."""
    return [v if math.isfinite(v) else None for v in interval]


def _told(arguments: argparse.Namespace, facts: dict[str, Any], lines: list[str], draw: Any) -> int:
    if arguments.out:
        out = Path(arguments.out)
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ValueError(f"--out {out} is there already; choose an empty or new folder")
        out.mkdir(parents=True, exist_ok=True)
        _report(out, facts, lines, draw)
    print(json.dumps(facts) if arguments.json else "\n".join(lines))
    return 0


def _report(out: Path, facts: dict[str, Any], lines: list[str], draw: Any) -> None:
    """``report.html`` with the result in words and the figure in it, and the figure as files."""
    from normalforms.families import spoken
    from normalforms.report import html, save_figures, write_whole

    write_whole(out / "summary.json", json.dumps(facts, indent=1))
    parts = [html.paragraph(line) for line in lines[1:]]
    if draw is not None:
        image = save_figures(out / "figures", {"fit": draw()})["fit"]
        parts.append(html.figure(image, "Above: data and law. Below: what is left over."))
    name = spoken(facts.get("kind") or "no family")
    title = name[0].upper() + name[1:]
    write_whole(out / "report.html", html.page(title, lines[0], [html.section("Result", *parts)]))
