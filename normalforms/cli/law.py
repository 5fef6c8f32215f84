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

__all__ = ["FAMILIES", "add_command"]

FAMILIES = (
    "stability_flip",
    "pitchfork",
    "transcritical",
    "saddle_node",
    "period_doubling",
    "neimark_sacker",
    "cusp",
)
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
    law.add_argument("family", nargs="?", help=", ".join(FAMILIES))
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
        raise ValueError("give a family or --map (and not both); families are " + ", ".join(FAMILIES))
    if arguments.family and arguments.family not in FAMILIES:
        raise ValueError(f"family {arguments.family!r} is unknown; known are {', '.join(FAMILIES)}")
    if arguments.form == "exact" and arguments.horizon is None:
        raise ValueError("--form exact needs --horizon")
    if arguments.evaluate is not None and arguments.horizon is None:
        raise ValueError("--evaluate needs --horizon")
    law = _amplification(arguments)
    form = _form(law, arguments)
    if arguments.evaluate is None:
        recursion = arguments.form == "reference" and arguments.format in ("text", "latex")
        shown = {"": _recursion(law, arguments.format)} if recursion else _shown(form, arguments.format)
        facts = {"form": arguments.form, **_facts(form), "law": shown if len(shown) > 1 else shown.get("", shown)}
        lines = [text if not name else f"{name}: {text}" for name, text in shown.items()]
    else:
        facts, lines = _evaluated(law, form, arguments)
    print(json.dumps(facts, ensure_ascii=False) if arguments.json else "\n".join(lines))
    if sys.stdout.isatty() and not arguments.json and hasattr(form, "domain"):
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
    import normalforms as nf

    if arguments.family != "neimark_sacker":
        if arguments.omega is not None or arguments.d is not None:
            raise ValueError("--omega and --d belong to neimark_sacker")
        return getattr(nf, arguments.family)()
    import sympy as sp

    parts = (arguments.d or "-1,0").split(",")
    if len(parts) != 2:
        raise ValueError(f"--d {arguments.d!r} must be two numbers, RE,IM")
    re_d, im_d = (number_of("--d", part) for part in parts)
    return nf.neimark_sacker(number_of("--omega", arguments.omega or "1"), re_d + sp.I * im_d)


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
    if hasattr(form, "domain"):
        return {"symbols": [s.name for s in form.symbols], "domain": str(form.domain)}
    if isinstance(form, Mapping):
        return {"domain": {name: str(regime.domain) for name, regime in form.items()}}
    return {"x": str(form.x), "y": str(form.y), "prefactor": str(form.prefactor), "note": form.note}


def _shown(form: Any, style: str) -> dict[str, str]:
    """The texts to print, by name; one without a name stands alone."""
    if isinstance(form, Mapping):
        if style == "text":
            return {n: f"{r}\n  for {r.holds}\n  error {r.error}" for n, r in form.items()}
        if style == "latex":
            return {n: r.latex() for n, r in form.items()}
        return {"": "\n".join(regime.code(style, name) for name, regime in form.items())}
    if hasattr(form, "domain"):
        if style != "text":
            return {"": form.latex() if style == "latex" else form.code(style)}
        return {"": _lines(form.printed()) if hasattr(form, "printed") else str(form)}
    return {"": _scaling(form, style)}


def _lines(equations: Any) -> str:
    return "\n".join(f"{left} = {right}" for left, right in equations)


def _recursion(law: Any, style: str) -> str:
    """The map, and the recursion of its sensitivity to each parameter."""
    import sympy as sp

    m = law.map
    several = len(m.states) > 1, len(m.parameters) > 1
    ends = {
        (x, g): (f"_{x}" if several[0] else "") + (f"_{g}" if several[1] else "")
        for x in m.states
        for g in m.parameters
    }
    tangent = {pair: sp.Symbol(f"s{end}") for pair, end in ends.items()}
    total = " + ".join(f"s{end}_t**2" for end in ends.values())
    head = {"text": f"sum({total}, t = 1..T)", "latex": r"\sum_{t=1}^{T} \|s_t\|^2"}
    if several[1]:
        head = {"text": "largest eigenvalue of sum(s_t s_t', t = 1..T)", "latex": r"\|\sum_{t=1}^{T} s_t s_t^\top\|_2"}
    rows: list[tuple[str, Any]] = [("A", head[style])]
    write = sp.latex if style == "latex" else str
    rows += [(f"{write(x)}'", write(f)) for x, f in zip(m.states, m.steps, strict=True)]
    for (x, g), s in tangent.items():
        f = dict(zip(m.states, m.steps, strict=True))[x]
        moved = f.diff(g) + sp.Add(*(f.diff(y) * tangent[y, g] for y in m.states))
        rows.append((f"{write(s)}'", write(moved)))
    if style == "text":
        return _lines(rows)
    return "\\begin{aligned}" + " \\\\ ".join(f"{name} &= {value}" for name, value in rows) + "\\end{aligned}"


def _scaling(form: Any, style: str) -> str:
    if style == "latex" and hasattr(form, "latex"):
        return form.latex()
    if style in ("c", "julia"):
        raise ValueError(f"a scaling function has no {style} source, it needs a dilogarithm; choose --format python")
    compact = getattr(form, "compact", getattr(form, "function", None))
    rows = [("A", f"{form.prefactor} * Psi"), ("x", form.x), ("y", form.y)]
    rows += [("z", form.z)] if hasattr(form, "z") else []
    rows += [("Psi", compact), *getattr(form, "where", ())]
    if style == "python":
        if not hasattr(form, "at_zero"):
            raise ValueError("the cusp's scaling function is a matrix of integrals; choose --format text")
        return _scaling_source(form)
    return _lines(rows)


def _scaling_source(form: Any) -> str:
    """Ψ(x, y) in mpmath; 120 digits make up for what the closed form loses next to its removable singularities."""
    from sympy.printing.pycode import MpmathPrinter

    settings = {"fully_qualified_modules": True, "user_functions": {f: f"mpmath.{f}" for f in ("re", "im", "polylog")}}
    text = MpmathPrinter(settings).doprint
    lines = ["import mpmath", "", "", "def psi(x, y):", "    with mpmath.workdps(120):"]
    lines += ["        x, y = mpmath.mpf(x), mpmath.mpf(y)*(1 + mpmath.mpf(10)**-25)"]
    lines += ["        if abs(x) < mpmath.mpf(10)**-25:", f"            return +({text(form.at_zero)})"]
    lines += [f"        {text(symbol)} = {text(value)}" for symbol, value in reversed(form.where)]
    return "\n".join([*lines, f"        return mpmath.re({text(form.compact)})", ""])


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
    numbers = tuple(map(float, exact[:-1])), [float(exact[-1]), *zeros] if zeros else float(exact[-1])
    g = numbers[0][0] if len(names) == 1 else numbers[0]
    values, notes = _values(form, g, exact, T)
    ball = law.enclosure(place, start, T)
    lines = [f"{name} = {value}" for name, value in values.items()]
    lines += [f"direct iteration = {law(g, numbers[1], T)!r}", f"certified = {ball}", *(f"note: {n}" for n in notes)]
    certified = None if ball.escape is not None else str(ball)
    facts = {
        "form": arguments.form,
        "horizon": T,
        "values": {name: None if value != value else value for name, value in values.items()},
        "reference": law(g, numbers[1], T) if ball.escape is None else None,
        "certified": certified,
        "escape": ball.escape,
        "notes": notes,
    }
    return facts, lines


def _values(form: Any, g: Any, exact: list[Any], T: int) -> tuple[dict[str, float], list[str]]:
    formulas = form if isinstance(form, Mapping) else {"law": form}
    values, notes = {}, []
    for name, formula in formulas.items():
        start = [float(exact[-1])]
        count = len([s for s in getattr(formula, "symbols", ()) if not s.is_integer])
        if hasattr(formula, "domain") and count > len(exact):
            start += [0.0] * (count - len(exact))  # further components of the state
        horizon = [] if hasattr(formula, "domain") and not any(s.is_integer for s in formula.symbols) else [T]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            value = formula(g, *start, *horizon)
        if getattr(value, "ndim", 0) == 2:
            import numpy as np

            value = np.linalg.eigvalsh(value)[-1]  # two parameters: the top eigenvalue of the Gram matrix
        values[name] = float(value)
        notes += [
            f"{name}: {re.sub(r'^.*?: it holds', 'outside its domain: it holds', str(w.message))}" for w in caught
        ]
    return values, notes
