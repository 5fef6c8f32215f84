"""`Fitted`: what drawing and comparing need of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from normalforms.data.competition import Contender
from normalforms.data.goodness import Goodness
from normalforms.data.measurement import Measurement

__all__ = ["Fitted"]


class Fitted(Protocol):
    """A law fitted to a measured curve; `normalforms.Fit` is one."""

    @property
    def kind(self) -> str | None:
        """Name of the law, ``None`` where no law describes the data."""
        ...

    @property
    def parameters(self) -> Mapping[str, float]:
        """The fitted scales by name."""
        ...

    @property
    def parameter(self) -> np.ndarray:
        """Parameter values of the data, shape (count,)."""
        ...

    @property
    def measured(self) -> np.ndarray:
        """The data, shape (count,)."""
        ...

    @property
    def residual(self) -> np.ndarray:
        """``ln(predicted / measured)``, shape (count,)."""
        ...

    @property
    def data(self) -> Measurement:
        """The checked data."""
        ...

    @property
    def contender(self) -> Contender:
        """The best law and its coordinates."""
        ...

    @property
    def goodness(self) -> Goodness:
        """How well it describes them."""
        ...

    def interval(self, level: float) -> Mapping[str, Any]:
        """Lower and upper ends by name."""
        ...
