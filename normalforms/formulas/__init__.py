"""An expression that evaluates, prints and generates code: programs, formulas, grids and sums over time."""

from normalforms.formulas.formula import (
    EVERYWHERE,
    Domain,
    DomainWarning,
    Formula,
    _lazy,
    check_horizon,
    check_real,
    compiled,
    symbols,
)
from normalforms.formulas.gram import GramFormula
from normalforms.formulas.grid import Focus, on_grid, product_axes
from normalforms.formulas.program import Assignments, Carry, Program, horner
from normalforms.formulas.time_sum import TimeSum
from normalforms.formulas.typeset import typeset_equations

__all__ = [
    "EVERYWHERE",
    "Assignments",
    "Carry",
    "Domain",
    "DomainWarning",
    "Focus",
    "Formula",
    "GramFormula",
    "Program",
    "TimeSum",
    "_lazy",
    "check_horizon",
    "check_real",
    "compiled",
    "horner",
    "on_grid",
    "product_axes",
    "symbols",
    "typeset_equations",
]
