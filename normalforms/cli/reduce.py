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
    parser.set_defaults(run=_reduce)


def _reduce(arguments: argparse.Namespace) -> int:
    m = map_of(arguments)
    if arguments.at is None:
        raise ValueError("reduce needs --at, the bifurcation, as x=2/3,r=3")
    import normalforms as nf

    form = nf.reduce(m, at=pairs_of("--at", arguments.at))
    values = {name: str(value) for name, value in form.coefficients.items()}
    if arguments.json:
        print(json.dumps({"kind": form.kind, "multiplier": str(form.multiplier), "coefficients": values}))
        return 0
    print(f"{form.kind}, multiplier {form.multiplier}: {form.detail}")
    for name, value in values.items():
        print(f"  {name} = {value}")
    return 0
