"""Source text of a `Program`, for Python, NumPy, JAX, mpmath, C and Julia."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

import sympy as sp
from sympy.printing.c import C99CodePrinter
from sympy.printing.codeprinter import PrintMethodNotImplementedError
from sympy.printing.julia import JuliaCodePrinter
from sympy.printing.numpy import JaxPrinter, NumPyPrinter
from sympy.printing.pycode import MpmathPrinter, PythonCodePrinter

from normalforms.exact import CLIFFORD_LIMIT, moment_terms
from normalforms.formulas.names import with_plain_names
from normalforms.formulas.program import Program

__all__ = ["LANGUAGES", "render"]

_EXACT = 2**31


class _Plain:
    """Small powers as products and no integer that overflows: what every target needs."""

    floats = True

    def _print_Pow(self, expr: Any, **kwargs: Any) -> str:
        base, exponent = expr.args
        if isinstance(base, sp.Symbol) and exponent.is_Integer and 2 <= int(exponent) <= 8:
            return "(" + "*".join([self._print(base)] * int(exponent)) + ")"  # type: ignore[attr-defined]
        return super()._print_Pow(expr, **kwargs)  # type: ignore[misc]

    def _print_Integer(self, expr: Any) -> str:
        if self.floats and abs(int(expr)) >= _EXACT:
            return repr(float(int(expr)))
        return super()._print_Integer(expr)  # type: ignore[misc]

    def _print_Rational(self, expr: Any) -> str:
        if self.floats:
            return repr(int(expr.p) / int(expr.q))
        return super()._print_Rational(expr)  # type: ignore[misc]

    def _print_Pi(self, expr: Any) -> str:
        return repr(math.pi) if self.floats else super()._print_Pi(expr)  # type: ignore[misc]

    def _print_ExpMoment(self, expr: Any) -> str:
        return f"expmoment{int(expr.args[0])}({self._print(expr.args[1])})"  # type: ignore[attr-defined]

    def _print_Clifford(self, expr: Any) -> str:
        k = int(expr.args[0])
        return f"clifford{'m1' if k < 0 else k}({self._print(expr.args[1])})"  # type: ignore[attr-defined]


class _Python(_Plain, PythonCodePrinter):
    pass


def _pairwise(name: str) -> Any:
    """Printer of a maximum or minimum, two at a time: NumPy's printer would need an import."""
    return lambda self, expr: reduce(lambda a, b: f"{self._module}.{name}({a}, {b})", map(self._print, expr.args))


class _NumPy(_Plain, NumPyPrinter):
    _print_Max, _print_Min = _pairwise("maximum"), _pairwise("minimum")  # noqa: N815 - SymPy's names


class _Jax(_Plain, JaxPrinter):
    _print_Max, _print_Min = _pairwise("maximum"), _pairwise("minimum")  # noqa: N815 - SymPy's names


class _Mpmath(_Plain, MpmathPrinter):
    floats = False


class _C(_Plain, C99CodePrinter):
    def _print_Symbol(self, expr: Any) -> str:
        return f"(double){expr.name}" if expr.is_integer else expr.name  # no integer product overflows


class _Julia(_Plain, JuliaCodePrinter):
    def _print_Pow(self, expr: Any, **kwargs: Any) -> str:
        return super()._print_Pow(expr, **kwargs).replace(".^", "^").replace("./", "/")

    def _print_Mul(self, expr: Any) -> str:
        return super()._print_Mul(expr).replace(".*", "*").replace("./", "/")


_PRINTERS: dict[str, Any] = {
    "python": lambda: _Python({"fully_qualified_modules": True}),
    "numpy": lambda: _NumPy({"fully_qualified_modules": True}),
    "jax": lambda: _Jax({"fully_qualified_modules": True}),
    "mpmath": lambda: _Mpmath({"fully_qualified_modules": True}),
    "c": lambda: _C({"math_macros": {}}),  # M_PI and its like are no part of the C standard
    "julia": _Julia,
}
LANGUAGES = tuple(_PRINTERS)

_HEADERS = {
    "python": "import math\n",
    "numpy": "import numpy\n",
    "jax": "import jax\nimport jax.numpy\n",
    "mpmath": "import mpmath\n",
    "c": "#include <math.h>\n",
    "julia": "",
}


def render(program: Program, language: str, name: str = "law", *, lean: bool = False) -> str:
    """Source of a function ``name`` that runs ``program`` and returns its results.

    Args:
        program: what to print. Its symbols are renamed where the language has another use for their names.
        language: ``"python"`` (scalars), ``"numpy"`` (broadcasts), ``"jax"``, ``"mpmath"``, ``"c"`` or ``"julia"``.
        name: the function's name.
        lean: NumPy only, let each array go after its last use: less memory, and what is left stays in the cache.

    Raises:
        ValueError: an unknown language, or a function that it lacks.
    """
    if language not in _PRINTERS:
        raise ValueError(f"language {language!r} is not known; choose one of {', '.join(LANGUAGES)}")
    program = with_plain_names(program.pruned(), language, name)
    printer = _PRINTERS[language]()

    def text(expr: sp.Expr) -> str:
        try:
            return printer.doprint(expr)
        except PrintMethodNotImplementedError as error:
            raise ValueError(f"{language} has no {str(error).splitlines()[0].split()[-1]}; choose mpmath") from None

    helpers = "\n".join(_helper(kind, k, language) for kind, k in sorted(program.functions))
    printed = {"numpy": partial(_numpy, lean=lean), "c": _c, "julia": _julia, "jax": _jax}.get(language, _loop)
    body = printed(program, text, name)
    return "\n".join(part for part in (_HEADERS[language], helpers, body) if part)


def _join(values: Sequence[str]) -> str:
    return ", ".join(values)


def _assign(assignments: Any, text: Any, indent: str, keep: set[sp.Symbol] | None = None) -> list[str]:
    """Lines of assignments; with ``keep``, what is read later, every other symbol is deleted after its last use."""
    lines = [f"{indent}{s.name} = {text(e)}" for s, e in assignments]
    if keep is None:
        return lines
    own = {s for s, _ in assignments} - keep
    last = {s: i for i, (_, e) in enumerate(assignments) for s in e.free_symbols & own}
    for i in sorted(set(last.values()), reverse=True):
        dead = sorted(s.name for s, j in last.items() if j == i)
        lines.insert(i + 1, f"{indent}del {_join(dead)}")
    return lines


def _returned(program: Program, text: Any) -> str:
    return _join([text(e) for e in program.results])


def _numpy(program: Program, text: Any, name: str, lean: bool = False) -> str:
    """Floats at once: integers have no negative powers, and Python's floats turn complex outside a domain."""
    floats = [f"    {s.name} = 1.0*numpy.asarray({s.name})" for s in program.inputs if not s.is_integer]
    return _loop(program, text, name, floats, lean)


def _loop(program: Program, text: Any, name: str, first: Sequence[str] = (), lean: bool = False) -> str:
    """Python, NumPy and mpmath."""

    def assign(assignments: Any, indent: str, *later: sp.Expr) -> list[str]:
        return _assign(assignments, text, indent, {s for e in later for s in e.free_symbols} if lean else None)

    after = (*(e for _, e in program.closing), *program.results)
    lines = [f"def {name}({_join([s.name for s in program.inputs])}):", *first]
    if program.carries:
        names = _join([c.symbol.name for c in program.carries])
        lines += _assign(program.prelude, text, "    ")
        lines.append(f"    {names} = {_join([text(c.initial) for c in program.carries])}")
        lines.append(f"    for {program.counter} in range(1, {text(program.horizon)} + 1):")
        lines += assign(program.body, "        ", *(c.update for c in program.carries))
        lines.append(f"        {names} = {_join([text(c.update) for c in program.carries])}")
    else:
        lines += assign(program.prelude, "    ", *after)
    lines += assign(program.closing, "    ", *program.results)
    return "\n".join([*lines, f"    return {_returned(program, text)}", ""])


def _jax(program: Program, text: Any, name: str) -> str:
    """Integers become floats at once: under strict promotion the two do not mix, and floats do not overflow."""
    lines = [f"def {name}({_join([s.name for s in program.inputs])}):"]
    used = {s for e in (program.looped() if program.carries else program.expressions()) for s in e.free_symbols}
    moving = [s.name for s in program.inputs if s in used and not s.is_integer]
    lines += [f"    {s.name} = jax.numpy.asarray({s.name} + 0.0)" for s in program.inputs if not s.is_integer]
    lines.append(f"    zero = jax.numpy.asarray({' + '.join(['0.0', *(f'0.0*{m}' for m in moving)])})")
    as_float = "    {0} = jax.numpy.asarray({0}, zero.dtype)".format
    if program.carries:
        lines.append(f"    turns = {program.horizon}")
    lines += [as_float(s.name) for s in program.inputs if s.is_integer]
    lines += _assign(program.prelude, text, "    ")
    if program.carries:
        t, names = program.counter, _join([c.symbol.name for c in program.carries])
        lines.append(f"    def turn({t}, carry):")
        lines.append(f"    {as_float(str(t))}")
        lines.append(f"        {names}, = carry")
        lines += _assign(program.body, text, "        ")
        lines.append(f"        return ({_join([text(c.update) for c in program.carries])},)")
        start = _join([f"zero + ({text(c.initial)})" for c in program.carries])
        lines.append(f"    carry = jax.lax.fori_loop(1, turns + 1, turn, ({start},))")
        lines.append(f"    {names}, = carry")
    lines += _assign(program.closing, text, "    ")
    return "\n".join([*lines, f"    return {_returned(program, text)}", ""])


def _c(program: Program, text: Any, name: str) -> str:
    count = len(program.results)
    declare = [f"{'int' if s.is_integer else 'double'} {s.name}" for s in program.inputs]
    if count > 1:
        declare.append(f"double out[{count}]")
    lines = [f"{'double' if count == 1 else 'void'} {name}({_join(declare)})", "{"]
    lines += [f"    double {s.name} = {text(e)};" for s, e in program.prelude]
    if program.carries:
        lines += [f"    double {c.symbol.name} = {text(c.initial)};" for c in program.carries]
        t = program.counter
        lines.append(f"    for (int {t} = 1; {t} <= {program.horizon}; ++{t}) {{")
        lines += [f"        const double {s.name} = {text(e)};" for s, e in program.body]
        lines += [f"        const double {c.symbol.name}_new = {text(c.update)};" for c in program.carries]
        lines += [f"        {c.symbol.name} = {c.symbol.name}_new;" for c in program.carries]
        lines.append("    }")
    lines += [f"    double {s.name} = {text(e)};" for s, e in program.closing]
    results = [text(e) for e in program.results]
    lines += [f"    return {results[0]};"] if count == 1 else [f"    out[{i}] = {e};" for i, e in enumerate(results)]
    return "\n".join([*lines, "}", ""])


def _julia(program: Program, text: Any, name: str) -> str:
    lines = [f"function {name}({_join([s.name for s in program.inputs])})"]
    lines += _assign(program.prelude, text, "    ")
    if program.carries:
        lines += [f"    {c.symbol.name} = float({text(c.initial)})" for c in program.carries]
        lines.append(f"    for {program.counter} in 1:{text(program.horizon)}")
        lines += _assign(program.body, text, "        ")
        names = _join([c.symbol.name for c in program.carries])
        lines.append(f"        {names} = {_join([text(c.update) for c in program.carries])}")
        lines.append("    end")
    lines += _assign(program.closing, text, "    ")
    return "\n".join([*lines, f"    return {_returned(program, text)}", "end", ""])


# --- special functions, written out in each language ---------------------------------------------------------

_WORDS = {
    "python": ("math.", "def {f}(z):", "    "),
    "c": ("", "static double {f}(double z)\n{{", "    "),
    "julia": ("", "function {f}(z)", "    "),
}


def _helper(kind: str, k: int, language: str) -> str:
    f = f"{kind.lower()}{'m1' if k < 0 else k}"
    if language == "mpmath":
        if kind == "ExpMoment":
            return f"def {f}(z):\n    return mpmath.hyp1f1({k + 1}, {k + 2}, z)/{k + 1}\n"
        scale = math.prod(range(1, 2 * k + 2, 2))
        return f"def {f}(z):\n    return mpmath.hyp0f1(mpmath.mpf({2 * k + 3})/2, z/4)/{scale}\n"
    if kind == "ExpMoment":
        rising = [1.0 / (math.factorial(j) * (j + k + 1)) for j in range(moment_terms(k) + 1)]
        falling = [math.factorial(k) / math.factorial(k + 1 + j) for j in range(moment_terms(k) + 1)]
        return _moment_text(f, k, rising, falling, language)
    count = 25 + 6 * max(k, 0)
    series = [1.0 / (2.0**j * math.factorial(j) * math.prod(range(1, 2 * (k + j) + 2, 2))) for j in range(count)]
    return _clifford_text(f, k, series, language)


def _horner(coefficients: Sequence[float], x: str) -> str:
    text = repr(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        text = f"{c!r} + {x}*({text})"
    return text


def _moment_text(f: str, k: int, rising: Sequence[float], falling: Sequence[float], language: str) -> str:
    if language in ("numpy", "jax"):
        return _moment_arrays(f, k, rising, falling, language)
    prefix, head, indent = _WORDS[language]
    end = {"python": "", "c": "}\n", "julia": "end\n"}[language]
    stop = ";" if language == "c" else ""
    lines = [head.format(f=f)]
    declare = "double " if language == "c" else ""
    when = _if(language)
    if k == 0:
        lines += when("z == 0", "return 1.0" + stop)
    else:
        absolute = {"python": "abs(z)", "c": "fabs(z)", "julia": "abs(z)"}[language]
        lines += when(f"{absolute} < {float(k)} && z < 0", f"return {prefix}exp(z)*({_horner(falling, '(-z)')}){stop}")
        lines += when(f"{absolute} < {float(k)}", f"return {_horner(rising, 'z')}{stop}")
    lines.append(f"{indent}{declare}v = {prefix}expm1(z)/z{stop}")
    lines += [f"{indent}v = ({prefix}exp(z) - {float(j)}*v)/z{stop}" for j in range(1, k + 1)]
    return "\n".join([*lines, f"{indent}return v{stop}", end])


def _moment_arrays(f: str, k: int, rising: Sequence[float], falling: Sequence[float], language: str) -> str:
    np = "numpy" if language == "numpy" else "jax.numpy"
    lines = [f"def {f}(z):"]
    if k == 0 and language == "numpy":
        return "\n".join([*lines, "    z = z + 1e-300*(z == 0)", "    return numpy.expm1(z)/z\n"])
    if k == 0:
        # 1 + z/2 keeps the derivative right at zero for automatic differentiation
        lines += [
            f"    far = {np}.abs(z) > 1e-5",
            f"    safe = {np}.where(far, z, 1.0)",
            f"    return {np}.where(far, {np}.expm1(safe)/safe, 1.0 + z*(0.5 + z*(1.0/6.0 + z/24.0)))\n",
        ]
        return "\n".join(lines)
    lines += [
        f"    far = {np}.abs(z) >= {float(k)}",
        f"    x = {np}.where(far, z, 1.0)",
        f"    v = {np}.expm1(x)/x",
        *(f"    v = ({np}.exp(x) - {float(j)}*v)/x" for j in range(1, k + 1)),
    ]
    up, down = _horner(rising, "x"), f"{np}.exp(x)*({_horner(falling, '(-x)')})"
    if language == "numpy":
        return "\n".join([*lines, *_few("~far & (z >= 0)", up), *_few("~far & (z < 0)", down), "    return v\n"])
    lines += [f"    x = {np}.where(far, 0.0, z)", f"    up = {up}", f"    down = {down}"]
    return "\n".join([*lines, f"    return {np}.where(far, v, {np}.where(x < 0, down, up))\n"])


def _few(where: str, value: str) -> list[str]:
    """NumPy: ``v`` replaced by a long ``value`` of ``x``, computed at the points that need it alone."""
    lines = [f"near = {where}", "if near.any():", "    v, x = numpy.array(v), numpy.asarray(z)[near]"]
    return [f"    {line}" for line in (*lines, f"    v[near] = {value}")]


def _if(language: str) -> Any:
    def python(condition: str, action: str) -> list[str]:
        return [f"    if {condition.replace('&&', 'and')}:", f"        {action}"]

    def c(condition: str, action: str) -> list[str]:
        return [f"    if ({condition}) {action}"]

    def julia(condition: str, action: str) -> list[str]:
        return [f"    if {condition}", f"        {action}", "    end"]

    return {"python": python, "c": c, "julia": julia}[language]


def _clifford_text(f: str, k: int, series: Sequence[float], language: str) -> str:
    limit = CLIFFORD_LIMIT * (k + 1) if k > 0 else 1e-8
    if language in ("numpy", "jax"):
        return _clifford_arrays(f, k, _horner(series, "x"), limit, language)
    prefix, head, indent = _WORDS[language]
    stop = ";" if language == "c" else ""
    end = {"python": "", "c": "}\n", "julia": "end\n"}[language]
    declare = "double " if language == "c" else ""
    absolute = {"python": "abs(z)", "c": "fabs(z)", "julia": "abs(z)"}[language]
    choose = {"python": "{1} if z < 0 else {0}"}.get(language, "z < 0 ? {1} : {0}")
    lines = [head.format(f=f)]
    lines += _if(language)(f"{absolute} < {limit}", f"return {_horner(series, 'z')}{stop}")
    lines.append(f"{indent}{declare}r = {prefix}sqrt({absolute}){stop}")
    if k != 0:
        lines.append(f"{indent}{declare}a = {choose.format(f'{prefix}cosh(r)', f'{prefix}cos(r)')}{stop}")
    if k >= 0:
        lines.append(f"{indent}{declare}v = ({choose.format(f'{prefix}sinh(r)', f'{prefix}sin(r)')})/r{stop}")
    if k > 0:
        lines.append(f"{indent}{declare}w = v{stop}")
    for j in range(k):
        lines += [
            f"{indent}w = (a - {2.0 * j + 1.0}*v)/z{stop}",
            f"{indent}a = v{stop}",
            f"{indent}v = w{stop}",
        ]
    return "\n".join([*lines, f"{indent}return {'a' if k < 0 else 'v'}{stop}", end])


def _clifford_arrays(f: str, k: int, near: str, limit: float, language: str) -> str:
    np = "numpy" if language == "numpy" else "jax.numpy"
    lines = [
        f"def {f}(z):",
        f"    far = {np}.abs(z) >= {limit}",
        f"    x = {np}.where(far, z, 1.0)",
        f"    r = {np}.sqrt({np}.abs(x))",
    ]
    for name, wave, grown, last in (("a", "cos", "cosh", ""), ("v", "sin", "sinh", "/r")):
        if (name, k) in (("a", 0), ("v", -1)):
            continue
        both = f"{np}.where(x < 0, {np}.{wave}(r), {np}.{grown}({np}.where(x < 0, 0.0, r))){last}"
        quick = f"{np}.{grown}(r){last} if numpy.all(x >= 0) else " if language == "numpy" else ""
        lines.append(f"    {name} = {quick}{both}")
    lines += [f"    a, v = v, (a - {2.0 * j + 1.0}*v)/x" for j in range(k)]
    if k < 0:
        lines.append("    v = a")
    if language == "numpy":
        return "\n".join([*lines, *_few("~far", near), "    return v\n"])
    lines.append(f"    x = {np}.where(far, 0.0, z)")
    return "\n".join([*lines, f"    return {np}.where(far, v, {near})\n"])
