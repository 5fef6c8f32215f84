"""Options that several commands have, and how their texts are read."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_map_options", "map_of", "number_of", "pairs_of"]


def add_map_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--map``, ``--state``, ``--parameter``, ``--at`` and ``--json``."""
    parser.add_argument("--map", help="formula of the next state; several with semicolons between them")
    parser.add_argument("--state", help="name of the state variable, or names with commas")
    parser.add_argument("--parameter", help="name of the parameter")
    parser.add_argument("--at", help="the bifurcation, as x=2/3,r=3")
    parser.add_argument("--json", action="store_true", help="print JSON")


def pairs_of(option: str, text: str) -> dict[str, str]:
    """``x=2/3,r=3`` as a dictionary of texts.

    Raises:
        ValueError: it does not read like that, or a name occurs twice.
    """
    pairs = [part.partition("=") for part in text.split(",")]
    names = [name.strip() for name, _, _ in pairs]
    if not all(sign and value.strip() for _, sign, value in pairs) or len(set(names)) < len(names):
        raise ValueError(f"{option} {text!r} must read like x=2/3,r=3, each name once")
    return {name.strip(): value.strip() for name, _, value in pairs}


def map_of(arguments: argparse.Namespace) -> Any:
    """The map that ``--map``, ``--state`` and ``--parameter`` describe.

    Raises:
        ValueError: one of them is missing, or the formula is none.
    """
    if not (arguments.map and arguments.state and arguments.parameter):
        raise ValueError("--map needs --state and --parameter beside it")
    import normalforms as nf  # here, as everywhere in the commands: --help loads no SymPy

    return nf.parse_map(arguments.map, state=arguments.state, parameter=arguments.parameter)


def number_of(option: str, text: str) -> Any:
    """A finite real number, exact, as a SymPy expression.

    Raises:
        ValueError: it is none.
    """
    from normalforms.maps import parse_expression

    value = parse_expression(text.strip(), ())
    if not (value.is_real and value.is_finite):
        raise ValueError(f"{option} {text!r} is no finite real number")
    return value
