"""Cells, their parameters, paths of them, and weights from files."""

from rnn.models.affine import Affine, affine_step, affine_total
from rnn.models.columns import columns, over_columns, rollout
from rnn.models.gated import GRU, LSTM
from rnn.models.gated_variants import MGU, ProjectedLSTM, ResetFirstGRU
from rnn.models.held import Held, Stroboscopic, held, stroboscopic
from rnn.models.hooks import affine_of, jacobian_of, lipschitz_of, with_bias
from rnn.models.inputs import check_inputs, count_steps, trajectory
from rnn.models.leaky import LeakyRNN
from rnn.models.model import Constant, Model, moved, partition, state_size
from rnn.models.parameters import Leaves, Rebuild, cast, flatten
from rnn.models.path import ModelPath, path
from rnn.models.stack import Stack
from rnn.models.vanilla import Form, VanillaRNN

__all__ = [
    "GRU",
    "LSTM",
    "MGU",
    "Affine",
    "Constant",
    "Form",
    "Held",
    "LeakyRNN",
    "Leaves",
    "Model",
    "ModelPath",
    "ProjectedLSTM",
    "Rebuild",
    "ResetFirstGRU",
    "Stack",
    "Stroboscopic",
    "VanillaRNN",
    "affine_of",
    "affine_step",
    "affine_total",
    "cast",
    "check_inputs",
    "columns",
    "count_steps",
    "flatten",
    "held",
    "jacobian_of",
    "lipschitz_of",
    "moved",
    "over_columns",
    "partition",
    "path",
    "rollout",
    "state_size",
    "stroboscopic",
    "trajectory",
    "with_bias",
]
