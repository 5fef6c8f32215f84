"""What a product ``JᵀJ V`` of a vanilla network costs: bytes, operations, bytes sent; see docs/capacity.md."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rnn.kernel.checks import check_count, count_held
from rnn.kernel.sweeps import segmented

__all__ = ["Cost", "product_cost"]


@dataclass(frozen=True)
class Cost:
    """The cost of one product on each device.

    Attributes:
        peak: bytes held at once, arguments and result included.
        operations: additions and multiplications in matrix products.
        sent: bytes that the devices add up, each of its own, once per product.
    """

    peak: int
    operations: int
    sent: int


def product_cost(
    batch: int,
    horizon: int,
    state: int,
    *,
    vectors: int = 1,
    chunk: int | None = None,
    remat: bool | int = False,
    devices: int = 1,
    itemsize: int = 4,
) -> Cost:
    """``JᵀJ`` on a block of k vectors for ``h' = W tanh(h) + b``, all m = N(N + 1) parameters, every state observed.

    With b trajectories at once and numbers of ``itemsize`` bytes the peak is, counted in numbers,

        stored states       (T+2) bN + (1+k) T bN + 5k bN + 2m + 4km
        in chunks           BN + (2+k) T bN + 5k bN + 2m + 4km
        rematerialised      BN + (1+k) (⌊T/S⌋ + S) bN + (S−1) k n bN + 6k bN + 3m + 4km,   S = ⌈√T⌉

    and the operations are ``8k BTN²``, ``(8k + 2) BTN²`` and ``((12k + 4) T − 4k n S) BN²``, where n is how many of
    the ⌊T/S⌋ segments keep their tangents (:func:`rnn.kernel.sweeps.segmented`). B is each device's share.

    Args:
        batch: B, trajectories on all devices; what does not divide counts as if each device had one more.
        horizon: T, in steps.
        state: N.
        vectors: k.
        chunk, remat: as in :func:`rnn.kernel.sntk.sntk`.
        devices: how many share the batch.
        itemsize: bytes of a number, 4 or 8.

    Raises:
        ValueError: a count that is not a positive integer.
    """
    counts = {"batch": batch, "horizon": horizon, "state": state, "vectors": vectors, "devices": devices}
    for name, value in {**counts, "itemsize": itemsize, "chunk": chunk or 1}.items():
        check_count(name, value)
    share, m, k = math.ceil(batch / devices), state * (state + 1), vectors
    at_once = min(chunk or share, share)
    rows = at_once * state
    if remat:
        segment, kept = segmented(horizon, count_held(remat, horizon), k)
        sweep = ((1 + k) * (horizon // segment + segment) + (segment - 1) * k * kept) * rows
        sweep += share * state + k * rows + m
        work = (12 * k + 4) * horizon - 4 * k * kept * segment
    elif devices > 1 or at_once < share:
        sweep, work = (2 + k) * horizon * rows + share * state, (8 * k + 2) * horizon
    else:
        sweep, work = (horizon + 2) * rows + (1 + k) * horizon * rows, 8 * k * horizon
    peak = sweep + 5 * k * rows + 2 * m + 4 * k * m
    return Cost(itemsize * peak, work * share * state**2, itemsize * k * m if devices > 1 else 0)
