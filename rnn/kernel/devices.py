"""The devices that share a batch, or the students of several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from rnn.kernel.checks import check_count

__all__ = ["batch_mesh", "local_devices", "replicate"]


def local_devices(count: int) -> list[Any]:
    """The first ``count`` devices of this process.

    Raises:
        ValueError: there are not so many, or ``count`` is no positive integer.
    """
    present = jax.local_devices()
    if check_count("devices", count) > len(present):
        kind = present[0].platform
        split = f", or set JAX_NUM_CPU_DEVICES={count} in the environment to split the CPU" if kind == "cpu" else ""
        raise ValueError(f"{count} devices were asked for, but there are {len(present)} ({kind}): ask for fewer{split}")
    return present[:count]


def batch_mesh(devices: Sequence[Any]) -> Mesh:
    """A mesh with one axis, ``"batch"``, over the devices.

    Raises:
        ValueError: there are none, or one occurs twice.
    """
    devices = list(devices)
    if not devices or len(set(devices)) < len(devices):
        raise ValueError(f"devices must be one or more different devices, such as jax.devices(), got {devices}")
    return Mesh(np.asarray(devices), ("batch",), axis_types=(AxisType.Auto,))


def replicate(tree: Any, mesh: Mesh) -> Any:
    """``tree`` with every array present on each device of the mesh; every process must hold the same values."""
    everywhere = NamedSharding(mesh, PartitionSpec())

    def place(leaf: Any) -> Any:
        if not eqx.is_array(leaf):
            return leaf
        if isinstance(leaf, jax.core.Tracer):
            return jax.lax.with_sharding_constraint(leaf, everywhere)
        return jax.device_put(leaf, everywhere)

    return jax.tree.map(place, tree)
