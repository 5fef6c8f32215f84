"""The command ``normalforms law``. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
import json
import re
import sys
import warnings
from collections.abc import Mapping
from typing import Any

from normalforms.cli.options import add_map_options, map_of, number_of, pairs_of
from normalforms.families import NAMES

__all__ = ["add_command"]

_FORMS = ("series", "uniform", "exact", "scaling", "regimes", "reference")
_FORMATS = ("text", "latex", "python", "c", "julia")
_OF_A_FAMILY = ("uniform", "scaling", "regimes")  # forms that a map has through its normal form

_LAW_HELP = """examples:
  normalforms law pitchfork --order 4
  normalforms law saddle_node --form regimes --format latex
  normalforms law pitchfork --form uniform --format c
  normalforms law pitchfork --evaluate g=1.02,h0=0.05 --horizon 30
  normalforms law --map "r*x*(1-x)" --state x --parameter r --at x=0,r=1 --form scaling
"""


def add_command(commands: Any) -> None:
    """Add ``law`` to the subcommands of a parser."""
    raw = argparse.RawDescriptionHelpFormatter
    law = commands.add_parser(
        "law",
        help="print or evaluate the amplification law of a family or a map",
        epilog=_LAW_HELP,
        formatter_class=raw,
    )
    law.add_argument("family", nargs="?", help=", ".join(NAMES))
    add_map_options(law)
    law.add_argument(
        "--form",
        choices=_FORMS,
        default="series",
        help="series in h0, any T (default); uniform: through the bifurcation; exact: one T; scaling: T to infinity;"
        " regimes: below, at and above; reference: the recursion itself",
    )
    law.add_argument("--order", type=int, help="highest power of h0 kept (default 2); p of the uniform law (default 0)")
    law.add_argument("--pade", action="store_true", help="resum the series, beyond its circle of convergence")
    law.add_argument("--horizon", type=int, help="T, for the exact form and for --evaluate")
    law.add_argument("--format", choices=_FORMATS, default="text")
    law.add_argument(
        "--evaluate", metavar="g=1.02,h0=0.05", help="numbers instead of the formula, with certified digits"
    )
    law.add_argument("--omega", help="rotation of neimark_sacker, radians (default 1)")
    law.add_argument("--d", help="cubic coefficient of neimark_sacker as RE,IM (default -1,0)")
    law.set_defaults(run=_law)


def _law(arguments: argparse.Namespace) -> int:
    if bool(arguments.family) == bool(arguments.map):
        raise ValueError("give a family or --map (and not both); families are " + ", ".join(NAMES))
    if arguments.form == "exact" and arguments.horizon is None:
        raise ValueError("--form exact needs --horizon")
    if arguments.evaluate is not None and arguments.horizon is None:
        raise ValueError("--evaluate needs --horizon")
    law = _amplification(arguments)
    form = _form(law, arguments)
    if arguments.evaluate is None:
        shown = _shown(form, arguments.format)
        facts = {"form": arguments.form, **_facts(form), "law": shown if len(shown) > 1 else shown.get("", shown)}
        lines = [text if not name else f"{name}: {text}" for name, text in shown.items()]
    else:
        facts, lines = _evaluated(law, form, arguments)
    print(json.dumps(facts, ensure_ascii=False) if arguments.json else "\n".join(lines))
    if sys.stdout.isatty() and not arguments.json and not isinstance(form, Mapping):
        print(f"It holds for {form.domain}.", file=sys.stderr)
    return 0


def _amplification(arguments: argparse.Namespace) -> Any:
    import normalforms as nf

    if not arguments.map:
        return nf.amplification(_family(arguments))
    m = map_of(arguments)
    at = None if arguments.at is None else m.point(pairs_of("--at", arguments.at))
    if arguments.form not in _OF_A_FAMILY:
        return nf.amplification(m, at=at)
    if at is None:
        raise ValueError(f"--form {arguments.form} of a map needs --at, the bifurcation, as x=2/3,r=3")
    return nf.amplification(nf.reduce(m, at=at))


def _family(arguments: argparse.Namespace) -> Any:
    from normalforms.families import families, family

    record = family(arguments.family)
    known = {option.name for other in families().values() for option in other.options}
    given = {name: getattr(arguments, name) for name in known if getattr(arguments, name, None) is not None}
    strange = set(given) - {option.name for option in record.options}
    if strange:
        raise ValueError(f"--{sorted(strange)[0]} does not belong to {record.name}")
    return record.map(**{o.name: _option(o, given.get(o.name, o.default)) for o in record.options})


def _option(option: Any, text: str) -> Any:
    """A number, or a complex one as RE,IM."""
    import sympy as sp

    parts = text.split(",")
    if len(parts) != (2 if option.complex else 1):
        wanted = "two numbers, RE,IM" if option.complex else "a number"
        raise ValueError(f"--{option.name} {text!r} must be {wanted}")
    numbers = [number_of(f"--{option.name}", part) for part in parts]
    return numbers[0] + (sp.I * numbers[1] if option.complex else 0)


def _form(law: Any, arguments: argparse.Namespace) -> Any:
    """A `Formula`, a scaling function, or a mapping of regimes."""
    order = arguments.order
    if order is not None and arguments.form not in ("series", "uniform", "exact"):
        raise ValueError(f"--order does not belong to --form {arguments.form}")
    if arguments.pade and arguments.form != "series":
        raise ValueError(f"--pade does not belong to --form {arguments.form}; it resums a series")
    if arguments.form == "uniform":
        return law.uniform(0 if order is None else order)
    if arguments.form == "exact":
        return law.exact(arguments.horizon, order)
    if arguments.form == "series":
        return law.series(2 if order is None else order, pade=arguments.pade)
    return {"scaling": law.scaling, "regimes": law.regimes, "reference": lambda: law.reference}[arguments.form]()


def _facts(form: Any) -> dict[str, Any]:
    if isinstance(form, Mapping):
        return {"domain": {name: str(regime.domain) for name, regime in form.items()}}
    if _is_limit(form):
        return {"x": str(form.x), "y": str(form.y), "prefactor": str(form.prefactor), "note": form.note}
    return {"symbols": [s.name for s in form.symbols], "domain": str(form.domain)}


def _is_limit(form: Any) -> bool:
    from normalforms.forms.limits import CuspScaling, Scaling  # SymPy, which --help need not load

    return isinstance(form, (CuspScaling, Scaling))


def _shown(form: Any, style: str) -> dict[str, str]:
    """The texts to print, by name; one without a name stands alone."""
    if isinstance(form, Mapping) and style in ("text", "latex"):
        if style == "text":
            return {n: f"{r}\n  for {r.holds}\n  error {r.error}" for n, r in form.items()}
        return {n: r.latex() for n, r in form.items()}
    if style == "text":
        pairs = form.printed()
        return {"": str(pairs[0][1]) if len(pairs) == 1 and str(pairs[0][0]) == "A" else _lines(pairs)}
    return {"": form.latex() if style == "latex" else form.code(style)}


def _lines(equations: Any) -> str:
    return "\n".join(f"{left} = {right}" for left, right in equations)


# --- numbers --------------------------------------------------------------------------------------------------


def _evaluated(law: Any, form: Any, arguments: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """The form's value, that of direct iteration, and certified digits."""
    given = {name: number_of("--evaluate", text) for name, text in pairs_of("--evaluate", arguments.evaluate).items()}
    names = [s.name for s in law.map.parameters]
    wanted = [*names, "h0"]
    if set(given) != set(wanted):
        raise ValueError(f"--evaluate needs {', '.join(f'{n}=…' for n in wanted)}, got {', '.join(given) or 'nothing'}")
    T, exact = arguments.horizon, [given[n] for n in wanted]
    zeros = (0,) * (law.map.dimension - 1)
    start = exact[-1] if not zeros else (exact[-1], *zeros)
    place = exact[0] if len(names) == 1 else tuple(exact[:-1])
    g = float(exact[0]) if len(names) == 1 else tuple(map(float, exact[:-1]))
    h0 = (float(exact[-1]), *map(float, zeros)) if zeros else float(exact[-1])
    values, notes = _values(form, g, h0, T)
    ball, reference = law.enclosure(place, start, T), law(g, h0, T)
    lines = [f"{name} = {value}" for name, value in values.items()]
    lines += [f"direct iteration = {reference!r}", f"certified = {ball}", *(f"note: {n}" for n in notes)]
    facts = {
        "form": arguments.form,
        "horizon": T,
        "values": {name: None if value != value else value for name, value in values.items()},
        "reference": reference if ball.escape is None else None,
        "certified": None if ball.escape is not None else str(ball),
        "escape": ball.escape,
        "notes": notes,
    }
    return facts, lines


def _values(form: Any, g: Any, h0: Any, T: int) -> tuple[dict[str, float], list[str]]:
    formulas = form if isinstance(form, Mapping) else {"law": form}
    values, notes = {}, []
    for name, formula in formulas.items():
        at_once = all(not s.is_integer for s in formula.symbols) and not _is_limit(formula)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            values[name] = float(formula(g, h0) if at_once else formula(g, h0, T))
        notes += [
            f"{name}: {re.sub(r'^.*?: it holds', 'outside its domain: it holds', str(w.message))}" for w in caught
        ]
    return values, notes
