"""The command ``normalforms law``. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
import json
import re
import sys
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

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
    asked = _asked(arguments)
    form = asked.form
    if arguments.evaluate is None:
        shown = _shown(form, arguments.format)
        facts = {"form": arguments.form, **_facts(form), "law": shown if len(shown) > 1 else shown.get("", shown)}
        lines = [text if not name else f"{name}: {text}" for name, text in shown.items()]
    else:
        facts, lines = _evaluated(asked, arguments)
    print(json.dumps(facts, ensure_ascii=False) if arguments.json else "\n".join(lines))
    if sys.stdout.isatty() and not arguments.json and not isinstance(form, Mapping):
        print(f"It holds for {form.domain}.", file=sys.stderr)
    return 0


class _Asked(NamedTuple):
    """What a command line asks for.

    Args:
        form: the form.
        own: the law of the family or of the map that was given, in its own parameters and state.
        reduced: the normal form that the form belongs to; ``None`` where it is in the map's own terms.
    """

    form: Any
    own: Any
    reduced: Any = None


def _asked(arguments: argparse.Namespace) -> _Asked:
    import normalforms as nf

    if not arguments.map:
        law = nf.amplification(_family(arguments))
        return _Asked(_form(law, arguments), law)
    m = map_of(arguments)
    at = None if arguments.at is None else pairs_of("--at", arguments.at)
    own = nf.amplification(m, at=at)
    if arguments.form not in _OF_A_FAMILY:
        return _Asked(_form(own, arguments), own)
    if at is None:
        raise ValueError(f"--form {arguments.form} of a map needs --at, the bifurcation, as x=2/3,r=3")
    if arguments.form == "uniform":
        try:
            return _Asked(_form(own, arguments), own)
        except ValueError:
            pass  # no uniform law of its own; that of its normal form, or the reason why it has none
    reduced = nf.reduce(m, at=at)
    return _Asked(_form(nf.amplification(reduced), arguments), own, reduced)


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


def _evaluated(asked: _Asked, arguments: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """The form's value, and direct iteration and certified digits of the map that was given."""
    given = {name: number_of("--evaluate", text) for name, text in pairs_of("--evaluate", arguments.evaluate).items()}
    T, reduced = arguments.horizon, asked.reduced
    if reduced is not None and reduced.kind == "degenerate":
        import normalforms as nf  # a cusp's normal form has two parameters, which no map of one can give

        asked, reduced = _Asked(asked.form, nf.amplification(reduced)), None
    place, start, notes = _own(asked, given)
    g, h0 = _numbers(place), _numbers(start)
    inner = (g, h0)
    if reduced is not None:
        inner = reduced.coordinates(g, h0)
        shown = f"g = {inner[0]:.12g}, h0 = {inner[1]:.12g}" if inner[1].__class__ is float else f"g = {inner[0]:.12g}"
        notes.append(f"in the normal form {shown}")
        inner = (inner[0], inner[1] if inner[1].__class__ is float else tuple(map(float, inner[1])))
    values, more = _values(asked.form, *inner, T)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ball, reference = asked.own.enclosure(place, start, T), asked.own(g, h0, T)
    notes += [*more, *(f"direct iteration: {w.message}" for w in caught)]
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


def _own(asked: _Asked, given: dict[str, Any]) -> tuple[Any, Any, list[str]]:
    """Parameters and state of the map that was given, exact, and notes.

    Raises:
        ValueError: other names than those of its parameters and h0 (or its states, or g and h0 of a normal form).
    """
    m = asked.own.map
    names, states = [s.name for s in m.parameters], [s.name for s in m.states]
    if asked.reduced is not None and set(given) == {"g", "h0"} != {*names, "h0"}:
        start = float(given["h0"])
        r, h = asked.reduced.originals(float(given["g"]), (start, 0.0) if m.dimension == 2 else start)
        shown = ", ".join(f"{n} = {v:.12g}" for n, v in zip([*names, *states], [r, *_listed(h)], strict=True))
        return r, tuple(_listed(h)) if m.dimension > 1 else h, [f"of the map at {shown}"]
    if set(given) == {*names, *states}:
        start = tuple(given[n] for n in states)
    elif set(given) == {*names, "h0"}:
        start = (given["h0"], *[0] * (m.dimension - 1))
    else:
        wanted = ", ".join(f"{n}=…" for n in (*names, "h0"))
        raise ValueError(f"--evaluate needs {wanted}, got {', '.join(given) or 'nothing'}")
    place = tuple(given[n] for n in names)
    return place[0] if len(place) == 1 else place, start if m.dimension > 1 else start[0], []


def _listed(h: Any) -> list[float]:
    return [float(v) for v in h] if hasattr(h, "__len__") else [float(h)]


def _numbers(value: Any) -> Any:
    return tuple(map(float, value)) if isinstance(value, tuple) else float(value)


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
