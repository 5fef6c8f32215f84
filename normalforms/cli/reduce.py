"""The command ``normalforms reduce``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from normalforms.cli.options import add_map_options, map_of, pairs_of

__all__ = ["add_command"]


def add_command(commands: Any) -> None:
    """Add ``reduce`` to the subcommands of a parser."""
    parser = commands.add_parser("reduce", help="reduce a map to its normal form")
    add_map_options(parser)
    parser.add_argument("--period", type=int, default=1, help="n, where --at is a point of a cycle (default 1)")
    parser.add_argument("--unfolding", help="the parameter that unfolds the bifurcation, by default the last")
    parser.set_defaults(run=_reduce)


def _reduce(arguments: argparse.Namespace) -> int:
    m = map_of(arguments)
    if arguments.at is None:
        raise ValueError("reduce needs --at, the bifurcation, as x=2/3,r=3")
    import normalforms as nf

    at = pairs_of("--at", arguments.at)
    form = nf.reduce(m, at=at, period=arguments.period, parameter=arguments.unfolding)
    moved = {} if form.correction is None else {s.name: float(v) for s, v in form.correction.items()}
    values = {name: str(value) for name, value in form.coefficients.items()}
    if arguments.json:
        facts = {"kind": form.kind, "multiplier": str(form.multiplier), "coefficients": values}
        facts |= {"unfolding": str(form.parameter), "period": form.period, "correction": moved}
        print(json.dumps(facts))
        return 0
    print(f"{form.kind}, multiplier {form.multiplier}: {form.detail}")
    if len(m.parameters) > 1:
        print(f"  unfolded by {form.parameter}")
    if moved and form.point is not None:
        at = (f"{s} = {float(form.point[s]):.15g}" for s in form.correction or ())
        print(f"  at {', '.join(at)}, by Newton's method")
    for name, value in values.items():
        print(f"  {name} = {value}")
    return 0
