"""The gallery of laws: ``docs/laws.md`` and a section of ``README.md``, written by the code that evaluates them.

``python -m normalforms.gallery`` writes both; with ``--check`` it only says whether they are up to date.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sympy as sp

from normalforms.families import Family, families
from normalforms.forms.limits import CuspScaling, Scaling
from normalforms.law import AmplificationLaw, amplification
from normalforms.maps import parse_map, zoo
from normalforms.reduction import reduce

__all__ = ["BEGIN", "END", "document", "section", "with_section"]

BEGIN = "<!-- gallery of laws: written by python -m normalforms.gallery -->"
END = "<!-- end of the gallery -->"

_INTRODUCTION = """# Laws of amplification

For each family `h' = f(h, g)`, critical at `g = 1`, the amplification over a horizon of T steps

```math
A_T(g, h_0) = \\sum_{t=1}^{T} \\left\\lVert\\frac{\\partial h_t}{\\partial g}\\right\\rVert^2
```

in the forms that `normalforms law FAMILY --form …` prints. Each holds where it says so; beyond that, evaluation
warns and returns no number. This page is written by `python -m normalforms.gallery` and a test compares it with
the code.
"""


def laws() -> Iterator[tuple[Family, AmplificationLaw]]:
    """Each family and the law of its default member."""
    for record in families().values():
        yield record, amplification(record.map())


def document() -> str:
    """The whole gallery, ``docs/laws.md``.

    >>> document().startswith("# Laws of amplification")
    True
    """
    return "\n".join([_INTRODUCTION, *(_family(record, law) for record, law in laws()), _general(), _fold(), _planar()])


def section() -> str:
    """The table for ``README.md``, without its markers: at the bifurcation, and the variables of the scaling law."""
    rows = ["| family | map | at the bifurcation, A → | scaling law, A → |", "| --- | --- | --- | --- |"]
    for record, law in laws():
        cells = [f"[{record.title}](docs/laws.md#{_anchor(record)})", _inline(record.latex(law.map))]
        cells.append("—" if record.regimes is None else _inline(law.regimes()["critical"].latex()))
        cells.append("—" if record.scaling is None else _inline(_limit(law.scaling())))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def with_section(readme: str) -> str:
    """``README.md`` with its gallery section replaced by a fresh one.

    Raises:
        ValueError: the markers are not there.
    """
    before, found, rest = readme.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise ValueError(f"README.md lacks the lines {BEGIN} and {END}; add them where the gallery shall stand")
    return f"{before}{BEGIN}\n{section()}\n{END}{after}"


def _limit(scaling: Scaling | CuspScaling) -> str:
    """The scaling law in one line, its function by name; of a matrix the first entry."""
    several = isinstance(scaling, CuspScaling)
    names = ("x", "y", "z") if several else ("x", "y")
    where = ", ".join(f"{n} = {sp.latex(getattr(scaling, n))}" for n in names)
    if several:
        return rf"T^3\, \Psi_{{\beta\beta}},\; {where}"
    return rf"{sp.latex(scaling.prefactor)}\, \Psi({', '.join(names)}),\; {where}"


def _anchor(record: Family) -> str:
    return "".join(c for c in record.title.lower().replace(" ", "-") if c.isalnum() or c == "-")


def _inline(text: str) -> str:
    """Math inside a table cell, safe from Markdown's own signs."""
    plain = " ".join(text.split()).replace(r"\left|", r"\left\lvert ").replace(r"\right|", r"\right\rvert ")
    return f"$`{plain}`$"


def _math(text: str) -> str:
    return f"```math\n{text}\n```\n"


def _family(record: Family, law: AmplificationLaw) -> str:
    parts = [f"## {record.title}\n", _math(record.latex(law.map))]
    formulas = {"Series in the initial state, `series(2)`": law.series(2)}
    if record.uniform is not None:
        formulas["Uniform law, `uniform(0)`"] = law.uniform(0)
    for title, formula in formulas.items():
        parts += [f"**{title}.** For {_cell(formula.domain)}.\n", _math(formula.latex())]
    parts += [] if record.scaling is None else _scaling(law.scaling())
    for name, regime in {} if record.regimes is None else law.regimes().items():
        parts += [f"**{name.capitalize()} regime.** For {_cell(regime.domain)}.\n"]
        parts.append(_math(regime.latex()))
        parts.append("up to the order of\n")
        parts.append(_math(sp.latex(regime.error)))
    return "\n".join(parts)


_GENERAL = """# Laws of general scalar maps

A map with a fixed point that moves has its uniform law in the coordinate in which its flow is Bernoulli's: orders 0
to 4 at a period doubling or at a pitchfork of a map that is odd about the point, 0 to 3 at a transcritical point. The
coefficients are power series in the multiplier's distance from its critical value, evaluated as Padé approximants; the
range is measured against iteration. At a period doubling the fixed point may be any function of the parameter, followed
as a power series, and so where two branches cross. Here the logistic map at its period doubling.
"""

_FOLD = """# Laws of scalar maps at a fold

Two fixed points are born at a fold, and they are algebraic functions of the parameter. Half their sum `c` and the
square of half their difference `ν` are analytic ones. In them any such map has the uniform law of the saddle-node, in
its own parameter and state: orders 0 to 4, with coefficients that are power series in the parameter's distance from the
fold. When states halve, the parameter's distance is quartered and the horizon doubles, the error falls by 2^(p+1). The
range is measured against iteration. A fold whose quadratic coefficient vanishes is refused. Here `uniform(2)` of a
cubic map at `r = 0`.
"""


def _general() -> str:
    law = amplification(zoo.logistic())
    formula = law.uniform(1)
    title = f"**Uniform law, `uniform(1)`.** For {_cell(formula.domain)}.\n"
    return "\n".join([_GENERAL, _math("x' = r x (1 - x)"), title, _math(formula.latex())])


def _fold() -> str:
    cubic = parse_map("r + x - x^2 + x^3", state="x", parameter="r")
    formula = amplification(cubic, at={"x": 0, "r": 0}).uniform(2)
    title = f"**Uniform law, `uniform(2)`.** For {_cell(formula.domain)}.\n"
    return "\n".join([_FOLD, _math("x' = r + x - x^{2} + x^{3}"), title, _math(formula.latex())])


_PLANAR = """# Laws of planar maps at a Neimark–Sacker point

In a map's own parameter and state, the sensitivity at fixed `h0` has four parts: the amplitude and phase of `w`, the
motion of the fixed point, the response of the eigenvector, and the rotation's own change with the parameter. The
uniform law keeps all of them. The fixed point, the multiplier and the eigenvector are exact at every parameter. So the
law tends to iteration of the map as `h0` tends to the fixed point, at every horizon. Here the delayed logistic map,
`amplification(map).uniform(0)`.
"""

_DEGREES = """`amplification(map).series(order)` goes degree by degree in the distance `w` from the moving fixed point,
in up to three dimensions. It carries the homogeneous parts of the orbit and of its sensitivity through time.

```math
W'_k = [P(W)]_k, \\quad V'_k = [P_r(W) + P_w(W)\\, V]_k, \\quad V_0(0) = -\\partial_r h^*, \\quad
s_k = [\\partial_r h]_k, \\quad A = \\sum_t \\sum_{i+j \\le k} s_i \\cdot s_j
```

The law of the normal form, `amplification(reduce(map))`, knows these responses to first order. It is in `g = |λ|` and
`z`, and the length of a sensitivity is that of the ellipse which the critical eigenvector q spans. That makes it a
planar map's at the bifurcation itself as z → 0; elsewhere it is off by the order of g − 1. In more dimensions it leaves
out how the other directions move.

```math
z = \\mu m + w + \\mu k \\bar w, \\quad w' = e^{i (\\omega + \\mu \\omega')} w\\, (g + d |w|^2), \\quad
\\mu = g - 1, \\quad
A = \\left(\\frac{d|\\lambda|}{dr}\\right)^2
\\sum_t \\left\\lVert 2 \\operatorname{Re} q\\, \\partial_g z_t \\right\\rVert^2
```
"""


def _planar() -> str:
    m = zoo.delayed_logistic()
    formula, scaling = amplification(m).uniform(0), amplification(reduce(m)).scaling()
    title = f"**Uniform law, `uniform(0)`.** For {_cell(formula.domain)}.\n"
    steps = ", \\quad ".join(f"{s}' = {sp.latex(e)}" for s, e in zip(m.states, m.steps, strict=True))
    return "\n".join([_PLANAR, _math(steps), title, _math(formula.latex()), _DEGREES, *_scaling(scaling)])


def _cell(text: Any) -> str:
    return str(text).replace("_", r"\_").replace("*", r"\*").rstrip(".")


def _scaling(scaling: Scaling | CuspScaling) -> list[str]:
    names = ("x", "y", "z") if isinstance(scaling, CuspScaling) else ("x", "y")
    where = r",\quad ".join(f"{n} = {sp.latex(getattr(scaling, n))}" for n in names)
    shape = rf"A \to {sp.latex(scaling.prefactor)}\, \Psi({', '.join(names)}),\quad {where}"
    return [f"**Scaling function, `scaling()`.** {_cell(scaling.note)}.\n", _math(shape), _math(scaling.latex())]


def main(argv: list[str] | None = None) -> int:
    """``python -m normalforms.gallery``: 0 where both files are up to date or were written, 1 where not."""
    parser = argparse.ArgumentParser(prog="python -m normalforms.gallery", description=main.__doc__)
    parser.add_argument("--root", default=".", help="folder of README.md and docs/")
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args(argv)
    root = Path(arguments.root)
    try:
        fresh = {"docs/laws.md": document(), "README.md": with_section((root / "README.md").read_text())}
    except (OSError, ValueError) as error:
        print(f"normalforms.gallery: {error}", file=sys.stderr)
        return 2
    stale = [n for n, text in fresh.items() if not (root / n).exists() or (root / n).read_text() != text]
    if not arguments.check:
        for name in stale:
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(fresh[name])
    print("\n".join(f"{name} {'is out of date' if arguments.check else 'written'}" for name in stale) or "up to date")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
