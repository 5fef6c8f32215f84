"""Closed-form amplification laws of bifurcations, and the normal forms behind them.

>>> import normalforms as nf
>>> law = nf.amplification(nf.pitchfork())
>>> law.series(2).expr.free_symbols == set(law.series(2).symbols)
True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from normalforms.families import NAMES

if TYPE_CHECKING:
    from normalforms.data import Fit, fit
    from normalforms.data.orbits import Discovery, discover
    from normalforms.descent import deep_linear, learning
    from normalforms.forms.averages import Empirical, Normal, Uniform
    from normalforms.forms.driven import (
        Autoregressive,
        Constant,
        DrivenLaw,
        GramDrivenLaw,
        PairDrivenLaw,
        Sinusoid,
        White,
    )
    from normalforms.formulas import DomainWarning, Formula
    from normalforms.law import AmplificationLaw, amplification
    from normalforms.maps import Map, MapSyntaxError, parse_map
    from normalforms.reduction import Jet, NormalForm, reduce, reduce_jet

__version__ = "0.1.0"

_HOME = {
    "data": ("Fit", "fit"),
    "data.orbits": ("Discovery", "discover"),
    "descent": ("deep_linear", "learning"),
    "forms.averages": ("Empirical", "Normal", "Uniform"),
    "forms.driven": ("Autoregressive", "Constant", "DrivenLaw", "GramDrivenLaw", "PairDrivenLaw", "Sinusoid", "White"),
    "formulas": ("DomainWarning", "Formula"),
    "law": ("AmplificationLaw", "amplification"),
    "maps": ("Map", "MapSyntaxError", "parse_map"),
    "reduction": ("Jet", "NormalForm", "reduce", "reduce_jet"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}
_MODULE |= {name: f"families.{name}" for name in NAMES}

__all__ = [*_MODULE]  # the constructors of the families among them


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that the command line answers before SymPy is loaded."""
    if name == "zoo":
        return import_module("normalforms.maps.zoo")
    if name not in _MODULE:
        raise AttributeError(f"module 'normalforms' has no attribute {name!r}")
    value = getattr(import_module(f"normalforms.{_MODULE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
