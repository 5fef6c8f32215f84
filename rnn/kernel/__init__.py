"""The state-space NTK as an operator: data at the ground, the face on top."""

from rnn.kernel.checks import check_count
from rnn.kernel.devices import batch_mesh, local_devices
from rnn.kernel.factors import Split
from rnn.kernel.modes import Modes
from rnn.kernel.sntk import SNTK, sntk
from rnn.kernel.spectrum import Spectrum
from rnn.kernel.subspace import Subspace, aim, follow, learn, random_subspace
from rnn.kernel.trace import Estimate, diagnostics, subspace_step

__all__ = [
    "SNTK",
    "Estimate",
    "Modes",
    "Spectrum",
    "Split",
    "Subspace",
    "aim",
    "batch_mesh",
    "check_count",
    "diagnostics",
    "follow",
    "learn",
    "local_devices",
    "random_subspace",
    "sntk",
    "subspace_step",
]
