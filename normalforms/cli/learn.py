"""The command ``normalforms learn``: gradient descent through a family's bifurcation."""

from __future__ import annotations

import argparse
import json
from typing import Any

from normalforms.cli.options import add_map_options, map_of, number_of
from normalforms.families import NAMES

__all__ = ["add_command"]

_HELP = """examples:
  normalforms learn pitchfork --teacher 1.1 --horizon 30
  normalforms learn pitchfork --teacher 1.1 --horizon 30 --start 0.8 --rate 0.1
  normalforms learn --map "tanh(w*x)" --state x --parameter w --teacher 1.2 --horizon 30
"""
_STEPS = 1000  # of descent, to say what it does in the end


def add_command(commands: Any) -> None:
    """Add ``learn`` to the subcommands of a parser."""
    parser = commands.add_parser(
        "learn",
        help="gradient descent of a student through the bifurcation of its teacher's family",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("family", nargs="?", help=", ".join(NAMES))
    add_map_options(parser)
    parser.add_argument("--teacher", required=True, help="parameter of the teacher")
    parser.add_argument("--horizon", type=int, required=True, help="T, in steps")
    parser.add_argument("--initial", default="0.1", help="initial state, or one for each state with commas (0.1)")
    parser.add_argument("--start", help="parameter at which the student begins")
    parser.add_argument("--rate", help="learning rate of plain descent")
    parser.add_argument("--omega", default="1", help="rotation of neimark_sacker, radians (1)")
    parser.set_defaults(run=_learn)


def _learn(arguments: argparse.Namespace) -> int:
    if bool(arguments.family) == bool(arguments.map):
        raise ValueError("give a family or --map (and not both); families are " + ", ".join(NAMES))
    if arguments.at is not None:
        raise ValueError("--at does not belong to learn: the map is taken as it stands")
    import normalforms as nf

    m = map_of(arguments) if arguments.map else _family(arguments)
    teacher = float(number_of("--teacher", arguments.teacher))
    initial = [float(number_of("--initial", part)) for part in arguments.initial.split(",")]
    if m.dimension > 1 and len(initial) == 1:
        initial += [0.0] * (m.dimension - 1)
    if len(initial) != m.dimension:
        raise ValueError(f"--initial has {len(initial)} numbers and the map {m.dimension} states")
    state = initial[0] if m.dimension == 1 else initial
    study = nf.learning(m, teacher=teacher, initial=state, horizon=arguments.horizon)
    facts, lines = _facts(study, arguments)
    print(json.dumps(facts) if arguments.json else "\n".join(lines))
    return 0


def _family(arguments: argparse.Namespace) -> Any:
    from normalforms.families import family

    if arguments.family == "neimark_sacker":
        return family(arguments.family).map(omega=number_of("--omega", arguments.omega), d=-1)
    return family(arguments.family).map()


def _facts(study: Any, arguments: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    g = study.teacher
    edge, nature = float(study.critical_rate()), study.criticality()
    born = "oscillates with period two" if nature.born_stable else "leaves the teacher"
    facts: dict[str, Any] = {
        "teacher": g,
        "horizon": study.horizon,
        "initial": study.initial.tolist(),
        "sharpness": float(study.sharpness(g)),
        "critical_rate": edge,
        "cycle_born_stable": bool(nature.born_stable),
    }
    lines = [
        f"sharpness at the teacher  {facts['sharpness']:.6g}",
        f"largest stable rate       {edge:.6g}; beyond it descent {born}",
    ]
    start = None if arguments.start is None else float(number_of("--start", arguments.start))
    rate = None if arguments.rate is None else float(number_of("--rate", arguments.rate))
    if start is not None:
        facts |= {"start": start, "loss": float(study.loss(start)), "gradient": float(study.gradient(start))}
        lines.append(f"loss at {start:g}               {facts['loss']:.6g}, gradient {facts['gradient']:.6g}")
    if rate is not None:
        end = study.diagram([rate], start=start, steps=_STEPS).regime[0, 0]
        facts |= {"rate": rate, "in_the_end": str(end)}
        lines.append(f"at the rate {rate:g}         {end} within {_STEPS} steps")
    if start is not None and rate is not None and start < 1 < g:
        steps = float(study.time(start, 1.0, rate))
        facts["steps_to_the_bifurcation"] = steps if steps < float("inf") else None
        lines.append(f"steps to the bifurcation  {steps:.1f}")
    return facts, lines
