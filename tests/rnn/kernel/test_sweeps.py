"""The sweeps under the kernel: each cell's linearisation against JAX, each sweep against a plain loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernels import CASES, close, our_gru

from rnn.kernel.affine import AffineCell, linear_cell
from rnn.kernel.sweeps import adjoint, checkpointed, retrace, segmented, sites, states_along, tangent
from rnn.models.model import partition

NAMES = [
    "outer bias",
    "outer no bias",
    "inner bias",
    "weight alone",
    "bias alone",
    "inner, bias alone",
    "leaky",
    "leaky outside",
    "gru",
]


def linearised(name):
    case = CASES[name]
    selected, rest = partition(case.model, case.wrt)
    return case, selected, linear_cell(selected, rest), jax.vmap(case.model, 1, 1)


def block_like(selected, k, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda p: jnp.asarray(rng.normal(size=(k, *p.shape))), selected)


def flat(tree, lead=1):
    leaves = [np.asarray(leaf).reshape(*leaf.shape[:lead], -1) for leaf in jax.tree.leaves(tree)]
    return np.concatenate(leaves, axis=-1)


@pytest.mark.parametrize("name", CASES)
def test_affine_cells_are_linearised_by_hand_and_others_by_jax(name):
    _, _, cell, _ = linearised(name)
    assert isinstance(cell, AffineCell) == (not name.startswith(("gru", "our", "module", "function of")))


@pytest.mark.parametrize("name", NAMES)
def test_rollout_is_the_loop(name):
    case, _, cell, model = linearised(name)
    path = states_along(cell, case.h0.T, 4)
    h = case.h0.T
    for t in range(5):
        close(path[t], h, 1e-14)
        h = model(h)
    close(states_along(cell, case.h0.T, 0), case.h0.T[None], 0)


@pytest.mark.parametrize("name", NAMES)
def test_one_tangent_step_is_jaxs(name):
    case, selected, cell, _ = linearised(name)
    rest = partition(case.model, case.wrt)[1]
    h = case.h0.T
    block, dh = block_like(selected, 3), jnp.asarray(np.random.default_rng(1).normal(size=(len(h), 3, h.shape[1])))
    found = cell.push(cell.site(h, cell.step(h)), dh, cell.drive(block))

    def apply(p, h):
        return jax.vmap(jax.tree_util.Partial(_joined, rest, p), 1, 1)(h)

    for i in range(3):
        one = jax.tree.map(lambda x: x[i], block)  # noqa: B023
        close(found[:, i], jax.jvp(apply, (selected, h), (one, dh[:, i]))[1])


def _joined(rest, selected, h):
    import equinox as eqx

    return eqx.combine(selected, rest)(h)


@pytest.mark.parametrize("name", NAMES)
def test_one_adjoint_step_is_the_transpose_of_the_tangent_step(name):
    """``⟨a, D_hF dh + D_θF dθ⟩ = ⟨(D_hF)ᵀ a, dh⟩ + ⟨(D_θF)ᵀ a, dθ⟩`` for every pair of the block."""
    case, selected, cell, _ = linearised(name)
    rng = np.random.default_rng(2)
    h = case.h0.T
    shape = (len(h), 2, h.shape[1])
    block, dh, a = block_like(selected, 2), jnp.asarray(rng.normal(size=shape)), jnp.asarray(rng.normal(size=shape))
    site = cell.site(h, cell.step(h))
    pushed = cell.push(site, dh, cell.drive(block))
    pulled, increment = cell.pull(site, a)
    total = jax.tree.map(jnp.add, cell.gradient_like(2), increment)
    gradient = flat(cell.gradient(total))
    expected = np.einsum("nib,njb->ij", pulled, dh) + gradient @ flat(block).T
    close(np.einsum("nib,njb->ij", a, pushed), expected, 1e-13)


@pytest.mark.parametrize("name", ["outer bias", "inner bias", "gru"])
def test_tangent_with_and_without_a_stored_path(name):
    case, selected, cell, _ = linearised(name)
    drive = cell.drive(block_like(selected, 2))
    h0 = case.h0.T
    dh = jnp.zeros((len(h0), 2, h0.shape[1]))
    path = states_along(cell, h0, 5)
    emit = lambda h, dh: (h, dh)  # noqa: E731
    (last, tangent_last), stored = tangent(cell, h0, path, dh, drive, emit, 5)
    (again, tangent_again), recomputed = tangent(cell, h0, None, dh, drive, emit, 5)
    for a, b in zip((last, tangent_last, *stored), (again, tangent_again, *recomputed), strict=True):
        close(a, b, 1e-14)
    close(stored[0], path[1:], 0)
    close(stored[1][-1], tangent_last, 0)
    passed, dhs = retrace(cell, h0, dh, drive, 5)
    close(dhs, stored[1], 1e-14)
    for a, b in zip(jax.tree.leaves(passed), jax.tree.leaves(sites(cell, path)[0]), strict=True):
        close(a, b, 1e-14)


def test_a_site_of_any_cell_holds_numbers_of_its_columns_alone():
    """No weights at every step, and each gate once: r, z, n and W_n h + b_n beside the state."""
    cell = _linear(our_gru())
    state, batch, steps = 3, 9, 5
    passed = jax.eval_shape(lambda path: sites(cell, path)[0], jax.ShapeDtypeStruct((steps + 1, state, batch), float))
    assert sum(leaf.size for leaf in jax.tree.leaves(passed)) <= 5 * steps * state * batch


def _linear(case):
    return linear_cell(*partition(case.model, case.wrt))


@pytest.mark.parametrize("name", ["outer bias", "inner bias", "gru"])
def test_adjoint_carries_on_where_another_stopped(name):
    """Two halves, the second first, are the whole; the gradient is added to."""
    case, _, cell, _ = linearised(name)
    path = states_along(cell, case.h0.T, 6)
    y = jnp.asarray(np.random.default_rng(0).normal(size=(6, case.h0.shape[1], 2, len(case.h0))))
    start = jnp.zeros(y.shape[1:]), cell.gradient_like(2)
    lift = lambda h, y: y  # noqa: E731
    whole = adjoint(cell, sites(cell, path), y, lift, *start)
    half = adjoint(cell, (sites(cell, path[2:])[0], None), y[2:], lift, *start)
    both = adjoint(cell, sites(cell, path[:3]), y[:2], lift, *half)
    for a, b in zip(jax.tree.leaves(both), jax.tree.leaves(whole), strict=True):
        close(a, b, 1e-13)


@pytest.mark.parametrize(
    ("horizon", "held", "k", "expected"),
    [
        (1, 0, 1, (1, 0)),
        (16, 16, 1, (4, 0)),  # starts and one segment take it all
        (16, 20, 1, (4, 1)),
        (16, 23, 1, (4, 1)),
        (17, 99, 1, (5, 3)),  # never more than there are
        (16, 39, 3, (4, 0)),
        (16, 44, 3, (4, 1)),
    ],
)
def test_tangents_are_kept_where_there_is_room(horizon, held, k, expected):
    assert segmented(horizon, held, k) == expected


@pytest.mark.parametrize("horizon", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 24, 25, 26, 30])
def test_checkpointed_visits_every_step_once_from_last_to_first(horizon):
    """Horner's rule in reverse time on ``x_t = t``: any step left out, doubled or moved shows."""
    seen = checkpointed(
        horizon,
        segmented(horizon)[0],
        jnp.asarray(0.0),
        lambda t, steps, x: t + x.sum(),
        lambda t, total, y, steps, x: _horner(t, total, y * x, steps),
        lambda end: end - horizon,
        jnp.arange(horizon, dtype=float) ** 2,
        jnp.ones(horizon),
    )
    expected = 0.0
    for t in reversed(range(horizon)):
        expected = expected / 2 + t + t**2
    np.testing.assert_allclose(seen, expected, rtol=1e-14)


def _horner(start, total, y, steps):
    for i in reversed(range(steps)):
        total = total / 2 + (start + i) + y[i]
    return total


@pytest.mark.parametrize("name", ["outer bias", "inner bias", "weight alone", "bias alone", "gru"])
def test_probes_are_random_signs_of_each_trajectory_with_the_overlaps_they_state(name):
    """Their forcing is that of a direction z_b with entries ±1 and ``⟨v_i, z_b⟩`` as stated, recovered by solving."""
    case, selected, cell, _ = linearised(name)
    directions = block_like(selected, 2)
    batch, count = len(case.h0), 3
    probes = cell.probes(jax.random.key(0), jnp.arange(batch), count, directions)
    m = sum(p.size for p in jax.tree.leaves(selected))
    units = jax.tree.map(jnp.asarray, _units(selected))

    def forced(state):
        h = jnp.tile(state[:, None], (1, batch))
        site = cell.site(h, cell.step(h))
        return cell.drive(units)(site)[:, :, 0].T, probes.drive(site).T  # (m, state), (batch, count, state)

    many = np.random.default_rng(5).normal(size=(2 * m, case.h0.shape[1]))  # D_θF z_b at them determines z_b
    rows, seen = map(np.asarray, jax.jit(lambda states: jax.lax.map(forced, states))(many))
    operator = np.concatenate(rows, axis=1)  # (m, 2m · state)
    image = np.concatenate(seen, axis=2).reshape(batch * count, -1)
    z = np.linalg.lstsq(operator.T, image.T, rcond=None)[0].T
    if np.linalg.matrix_rank(operator) == m:
        np.testing.assert_allclose(np.abs(z), 1, atol=1e-6)
        overlap = z @ flat(directions).T
        np.testing.assert_allclose(np.moveaxis(probes.overlap, 2, 0).reshape(batch * count, -1), overlap, atol=1e-6)
        assert len({tuple(np.sign(row)) for row in z}) > 1
    else:
        assert name == "gru"  # under a constant input some of its parameters act alike


def _units(selected):
    leaves, structure = jax.tree.flatten(selected)
    m, start, blocks = sum(p.size for p in leaves), 0, []
    for p in leaves:
        block = np.zeros((m, p.size))
        block[np.arange(start, start + p.size), np.arange(p.size)] = 1
        blocks.append(block.reshape(m, *p.shape))
        start += p.size
    return jax.tree.unflatten(structure, blocks)


@pytest.mark.parametrize("name", ["outer bias", "inner no bias", "gru"])
def test_the_mean_square_of_a_probed_tangent_is_the_squared_norm(name):
    case, _, cell, _ = linearised(name)
    kernel = case.kernel()
    J = np.asarray(kernel.as_matrix()).reshape(len(case.h0), -1, kernel.shape[1])
    directions = kernel.unflatten(jnp.zeros((1, kernel.shape[1])))

    def probed(key):
        probes = cell.probes(key, jnp.arange(len(case.h0)), 1, directions)
        dh = jnp.zeros((case.h0.shape[1], 1, len(case.h0)))
        emit = lambda h, dh: jnp.sum(dh**2, axis=(0, 1))  # noqa: E731
        return tangent(cell, case.h0.T, None, dh, probes.drive, emit, case.horizon)[1].sum(axis=0)

    energy = np.asarray(jax.jit(jax.vmap(probed))(jax.random.split(jax.random.key(1), 4000))).T
    expected = np.sum(J**2, axis=(1, 2))
    np.testing.assert_array_less(np.abs(energy.mean(axis=1) - expected), 5 * energy.std(axis=1) / np.sqrt(4000))
    off = energy - energy.mean(axis=1, keepdims=True)
    correlation = np.corrcoef(off)  # the trajectories' scatter is uncorrelated over keys
    np.testing.assert_allclose(correlation, np.eye(len(off)), atol=5 / np.sqrt(4000))
