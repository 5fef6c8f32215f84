"""Cells, their parameters, paths of them, and weights from files."""

from rnn.models.gated import GRU, LSTM
from rnn.models.model import Model, jacobian_of, moved, partition, state_size, trajectory, with_bias
from rnn.models.parameters import Leaves, Rebuild, flatten
from rnn.models.path import ModelPath
from rnn.models.vanilla import Form, VanillaRNN
from rnn.models.weights import load

__all__ = [
    "GRU",
    "LSTM",
    "Form",
    "Leaves",
    "Model",
    "ModelPath",
    "Rebuild",
    "VanillaRNN",
    "flatten",
    "jacobian_of",
    "load",
    "moved",
    "partition",
    "state_size",
    "trajectory",
    "with_bias",
]
