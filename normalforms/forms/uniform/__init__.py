"""Uniform laws: explicit orbits that hold through the bifurcation."""

from normalforms.forms.uniform.bernoulli import Bernoulli, Shifted
from normalforms.forms.uniform.cusp import CUSP_ORDERS
from normalforms.forms.uniform.domain import Measured, bernoulli_domain, fold_domain
from normalforms.forms.uniform.explicit import bernoulli_flow, headed, linear_flow, shift
from normalforms.forms.uniform.flow import Flow, blocks, check_order, focus
from normalforms.forms.uniform.fold import FOLD_NODES, Fold
from normalforms.forms.uniform.general import general
from normalforms.forms.uniform.law import UniformLaw, implicit_law, uniform_law
from normalforms.forms.uniform.matching import Approximant, Nodes, fold_coefficients, phase_coefficients
from normalforms.forms.uniform.planar import planar

__all__ = [
    "CUSP_ORDERS",
    "FOLD_NODES",
    "Approximant",
    "Bernoulli",
    "Flow",
    "Fold",
    "Measured",
    "Nodes",
    "Shifted",
    "UniformLaw",
    "bernoulli_domain",
    "bernoulli_flow",
    "blocks",
    "check_order",
    "focus",
    "fold_coefficients",
    "fold_domain",
    "general",
    "headed",
    "implicit_law",
    "linear_flow",
    "phase_coefficients",
    "planar",
    "shift",
    "uniform_law",
]
