"""From a map, or its jet, to its normal form."""

from normalforms.reduction.classify import reduce_jet
from normalforms.reduction.jet import Jet, jet
from normalforms.reduction.normal_form import NormalForm
from normalforms.reduction.reduce import located, reduce

__all__ = ["Jet", "NormalForm", "jet", "located", "reduce", "reduce_jet"]
