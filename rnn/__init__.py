"""Recurrent networks in JAX: training, state-space NTK, bifurcations and restricted kernels."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnn.dynamics import (
        Bifurcations,
        Branch,
        Continuum,
        Event,
        Exponents,
        FixedPoints,
        Notice,
        Place,
        SlowPoints,
        Watch,
        bifurcations,
        exponents,
        fixed_points,
        normal_form,
        slow_points,
        watch,
    )
    from rnn.forecasting import Forecast, forecast
    from rnn.kernel import SNTK, Estimate, Modes, Spectrum, sntk
    from rnn.models import (
        GRU,
        LSTM,
        LeakyRNN,
        ModelPath,
        VanillaRNN,
        held,
        partition,
        path,
        stroboscopic,
        trajectory,
    )
    from rnn.natural_gradient import (
        AlarmState,
        GaussNewtonState,
        LowRankState,
        PlaneState,
        fisher_of,
        gauss_newton,
        low_rank_natural_gradient,
        spike_alarm,
    )
    from rnn.restricted import Prediction, Sweep, amplification_along, dominant, fit, predict, restrict
    from rnn.tasks import (
        Batch,
        Task,
        adding,
        context_integration,
        delayed_recall,
        embed_fixed_points,
        flip_flop,
        sine,
        student_teacher,
    )
    from rnn.training import DivergedError, Progress, RecordError, Run, train, train_all
    from rnn.weights import AssumptionWarning, LoadReport, from_nnx, load, load_report, save

_HOME = {
    "dynamics": (
        "Bifurcations",
        "Branch",
        "Continuum",
        "Event",
        "Exponents",
        "FixedPoints",
        "Notice",
        "Place",
        "SlowPoints",
        "Watch",
        "bifurcations",
        "exponents",
        "fixed_points",
        "normal_form",
        "slow_points",
        "watch",
    ),
    "forecasting": ("Forecast", "forecast"),
    "kernel": (
        "SNTK",
        "Estimate",
        "Modes",
        "Spectrum",
        "sntk",
    ),
    "models": (
        "GRU",
        "LSTM",
        "LeakyRNN",
        "ModelPath",
        "VanillaRNN",
        "held",
        "partition",
        "path",
        "stroboscopic",
        "trajectory",
    ),
    "natural_gradient": (
        "AlarmState",
        "GaussNewtonState",
        "PlaneState",
        "LowRankState",
        "fisher_of",
        "gauss_newton",
        "low_rank_natural_gradient",
        "spike_alarm",
    ),
    "restricted": (
        "Prediction",
        "Sweep",
        "amplification_along",
        "dominant",
        "fit",
        "predict",
        "restrict",
    ),
    "tasks": (
        "Batch",
        "Task",
        "adding",
        "context_integration",
        "delayed_recall",
        "embed_fixed_points",
        "flip_flop",
        "sine",
        "student_teacher",
    ),
    "training": (
        "DivergedError",
        "Progress",
        "RecordError",
        "Run",
        "train",
        "train_all",
    ),
    "weights": (
        "AssumptionWarning",
        "LoadReport",
        "from_nnx",
        "load",
        "load_report",
        "save",
    ),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [*_MODULE]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that the command line answers before JAX is loaded."""
    if name not in _MODULE:
        raise AttributeError(f"module 'rnn' has no attribute {name!r}")
    value = getattr(import_module(f"rnn.{_MODULE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
