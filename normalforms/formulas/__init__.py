"""An expression that evaluates, prints and generates code: programs, formulas, grids and sums over time."""

from normalforms.formulas.checks import at_each_horizon, check_horizon, check_real
from normalforms.formulas.formula import EVERYWHERE, Domain, DomainWarning, Formula, Lazy, compiled, symbols
from normalforms.formulas.gram import GramFormula, top_eigenvalue
from normalforms.formulas.grid import Focus, on_grid, product_axes
from normalforms.formulas.notation import Notation
from normalforms.formulas.program import Assignments, Carry, Program, horner
from normalforms.formulas.rescaled import rescaled
from normalforms.formulas.time_sum import TimeSum
from normalforms.formulas.typeset import Equations, typeset_equations

__all__ = [
    "EVERYWHERE",
    "Assignments",
    "Carry",
    "Domain",
    "DomainWarning",
    "Equations",
    "Focus",
    "Formula",
    "GramFormula",
    "Lazy",
    "Notation",
    "Program",
    "TimeSum",
    "at_each_horizon",
    "check_horizon",
    "check_real",
    "compiled",
    "horner",
    "on_grid",
    "product_axes",
    "rescaled",
    "symbols",
    "top_eigenvalue",
    "typeset_equations",
]
