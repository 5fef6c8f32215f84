"""Cells, their parameters, paths of them, and weights from files."""

from rnn.models.affine import Affine
from rnn.models.gated import GRU, LSTM
from rnn.models.hooks import affine_of, jacobian_of, lipschitz_of, with_bias
from rnn.models.inputs import check_inputs, over_states, trajectory
from rnn.models.leaky import LeakyRNN
from rnn.models.model import Model, moved, partition, state_size
from rnn.models.parameters import Leaves, Rebuild, flatten
from rnn.models.path import ModelPath
from rnn.models.vanilla import Form, VanillaRNN
from rnn.models.weights import load

__all__ = [
    "GRU",
    "LSTM",
    "Affine",
    "Form",
    "LeakyRNN",
    "Leaves",
    "Model",
    "ModelPath",
    "Rebuild",
    "VanillaRNN",
    "affine_of",
    "check_inputs",
    "flatten",
    "jacobian_of",
    "lipschitz_of",
    "load",
    "moved",
    "over_states",
    "partition",
    "state_size",
    "trajectory",
    "with_bias",
]
