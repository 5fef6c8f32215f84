"""Products of the state-space NTK against the dense Jacobian."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernels import CASES, MATRIX, close, dense, flat, gated, observe_three, partial_model, vanilla

from rnn import VanillaRNN, sntk
from rnn.kernel.sntk import fisher_product

# every kind of cell and of readout in every way to save memory, once
WAYS = [
    ("outer bias", {"chunk": 1}),
    ("inner bias", {"chunk": 2}),
    ("weight alone", {"remat": True}),
    ("outer bias", {"chunk": 3, "remat": True}),
    ("inner no bias", {"remat": True}),
    ("inner, bias alone", {"chunk": 3, "remat": True}),
    ("gru", {"chunk": 3, "remat": True}),
    ("gru, readout", {"remat": True}),
    ("function of a dictionary", {"chunk": 2}),
    ("matrix readout", {"chunk": 2, "remat": True}),
    ("function readout", {"chunk": 3}),
]


@functools.cache
def jacobian(name):
    return dense(CASES[name])


def vectors(kernel, count=None, seed=3):
    rng = np.random.default_rng(seed)
    lead = () if count is None else (count,)
    rows = (kernel.h0.shape[0], kernel.horizon, kernel.outputs)
    draw = lambda *shape: jnp.asarray(rng.normal(size=(*lead, *shape)), kernel.dtype)  # noqa: E731
    return draw(*rows), draw(kernel.shape[1])


def check_products(kernel, J):
    """Every product of a block of as many vectors as J has columns: one program for each."""
    m = kernel.shape[1]
    rows = np.random.default_rng(3).normal(size=(m, J.shape[0]))
    y = rows.reshape(m, kernel.h0.shape[0], kernel.horizon, kernel.outputs)
    close(kernel.jvp(np.eye(m)).reshape(m, -1).T, J)
    close(kernel.flatten(kernel.vjp(y)), rows @ J)
    close(kernel.mv(y), (rows @ J @ J.T).reshape(y.shape))
    close(kernel.fisher_mv(np.eye(m)), J.T @ J)


@pytest.mark.parametrize("name", CASES)
def test_every_product_is_that_of_the_dense_jacobian(name):
    J, kernel = jacobian(name), CASES[name].kernel()
    assert kernel.shape == J.shape
    assert kernel.size == J.size
    close(kernel.as_matrix(), J)
    check_products(kernel, J)


@pytest.mark.parametrize(("name", "options"), WAYS, ids=str)
def test_products_are_the_same_however_memory_is_saved(name, options):
    check_products(CASES[name].kernel(**options), jacobian(name))


def test_the_dense_twin_is_jaxs():
    """The oracle itself, against reverse mode through an unrolled loop."""
    case = vanilla(batch=2, horizon=3)

    @jax.jit
    @jax.jacrev
    def rows(model):
        h, seen = case.h0, []
        for _ in range(3):
            h = jax.vmap(model)(h)
            seen.append(h)
        return jnp.stack(seen, axis=1).ravel()

    found = rows(case.model)
    close(dense(case), np.concatenate([found.weight.reshape(24, -1), found.bias], axis=1))


@pytest.mark.parametrize("name", ["outer bias", "gru, some"])
def test_a_single_vector_is_a_block_of_one(name):
    J, kernel = jacobian(name), CASES[name].kernel()
    y, v = vectors(kernel)
    close(kernel.jvp(v), (J @ v).reshape(y.shape))
    close(flat(kernel.vjp(y)), J.T @ flat(y))
    close(kernel.mv(y), (J @ (J.T @ flat(y))).reshape(y.shape))
    close(kernel.fisher_mv(v), J.T @ (J @ v))


@pytest.mark.parametrize(("name", "count"), [("outer bias", None), ("gru, some", 3), ("function of a dictionary", 1)])
def test_trees_and_flat_vectors_mean_the_same(name, count):
    kernel = CASES[name].kernel()
    _, v = vectors(kernel, count)
    tree = kernel.unflatten(v)
    assert jax.tree.structure(tree) == jax.tree.structure(kernel.parameters)
    np.testing.assert_array_equal(kernel.flatten(tree), v)
    np.testing.assert_array_equal(kernel.jvp(tree), kernel.jvp(v))
    product = kernel.fisher_mv(tree)
    assert jax.tree.structure(product) == jax.tree.structure(kernel.parameters)
    np.testing.assert_array_equal(kernel.flatten(product), kernel.fisher_mv(v))


def test_numpy_vectors_are_taken():
    kernel = CASES["outer bias"].kernel()
    y, v = vectors(kernel)
    np.testing.assert_array_equal(kernel.jvp(np.asarray(v)), kernel.jvp(v))
    np.testing.assert_array_equal(kernel.mv(np.asarray(y)), kernel.mv(y))


@pytest.mark.parametrize(
    ("horizon", "readout", "remat"),
    [(1, None, True), (2, MATRIX, True), (4, None, 99), (7, None, 99), (10, MATRIX, True), (10, None, 16)],
)
def test_rematerialisation_is_exact_at_every_horizon(horizon, readout, remat):
    """With room for no tangent, for those of every segment and for those of the second of two."""
    case = vanilla(horizon=horizon, readout=readout, batch=2)
    plain, remat = case.kernel(), case.kernel(remat=remat)
    y, v = vectors(plain)
    close(remat.fisher_mv(v), plain.fisher_mv(v), 1e-14)
    close(flat(remat.vjp(y)), flat(plain.vjp(y)), 1e-14)


def test_over_one_step_the_kernel_is_that_of_the_inputs():
    """``K = (φφᵀ + 1) ⊗ I`` for ``h' = W tanh(h) + b``."""
    case = vanilla(horizon=1)
    kernel = case.kernel()
    phi = np.tanh(case.h0)
    J = np.asarray(kernel.as_matrix())
    close(J @ J.T, np.kron(phi @ phi.T + 1, np.eye(4)), 1e-14)


def test_the_attributes_say_what_was_asked():
    case = CASES["matrix readout"]
    kernel = case.kernel(chunk=2)
    assert (kernel.chunk, kernel.remat, kernel.horizon, kernel.outputs) == (2, 0, 5, 2)
    assert kernel.dtype == jnp.float64
    np.testing.assert_array_equal(kernel.readout, MATRIX)
    np.testing.assert_array_equal(kernel.model.weight, case.model.weight)
    assert CASES["function readout"].kernel().readout is observe_three
    some = CASES["gru, some"].kernel()
    np.testing.assert_array_equal(some.model.steps, jnp.arange(3))


def test_a_batch_that_fits_is_not_chunked():
    assert CASES["outer bias"].kernel(chunk=5).chunk is None


# inside transformations


@pytest.mark.parametrize(
    ("name", "options"), [("outer bias", {}), ("function readout", {"chunk": 2}), ("gru", {"remat": True})], ids=str
)
def test_a_kernel_may_be_closed_over_or_passed_to_jit(name, options):
    kernel, J = CASES[name].kernel(**options), jacobian(name)
    _, v = vectors(kernel)
    expected = J.T @ (J @ v)
    close(jax.jit(lambda v: kernel.fisher_mv(v))(v), expected)
    close(eqx.filter_jit(lambda k, v: k.fisher_mv(v))(kernel, v), expected)


@pytest.mark.parametrize("name", ["outer bias", "function of a dictionary"])
def test_a_kernel_may_be_made_inside_jit(name):
    case, J = CASES[name], jacobian(name)
    _, v = vectors(case.kernel())
    constant = jax.jit(lambda v: case.kernel().fisher_mv(v))
    close(constant(v), J.T @ (J @ v))
    traced = eqx.filter_jit(lambda model, h0, v: fisher_product(model, h0, case.horizon, v))
    close(traced(case.model, case.h0, v), J.T @ (J @ v))
    states_alone = jax.jit(lambda h0, v: fisher_product(case.model, h0, case.horizon, v))
    close(states_alone(case.h0, v), J.T @ (J @ v))
    close(jax.jit(lambda: case.kernel().as_matrix())(), J)


@pytest.mark.parametrize(("name", "options"), [("gru", {}), ("inner no bias", {"chunk": 2, "remat": True})], ids=str)
def test_products_inside_a_compiled_scan(name, options):
    """Three power iterations, the kernel made anew in every step."""
    case, J = CASES[name], jacobian(name)
    _, v = vectors(case.kernel())

    @jax.jit
    def power(v):
        def step(v, _):
            v = case.kernel(**options).fisher_mv(v)
            v = v / jnp.linalg.norm(v)
            return v, case.kernel(**options).mv(case.kernel(**options).jvp(v))

        return jax.lax.scan(step, v, length=3)

    last, images = power(v)
    for i in range(3):
        v = J.T @ (J @ v)
        v = v / np.linalg.norm(v)
        close(images[i].ravel(), J @ (J.T @ (J @ v)))
    close(last, v)


def test_a_product_along_a_scan_of_models():
    """As in training: the parameters are carried and the kernel follows them."""
    case = CASES["outer bias"]
    _, v = vectors(case.kernel())

    @jax.jit
    def descend(model, v):
        def step(model, _):
            moved = eqx.tree_at(lambda m: m.weight, model, 0.9 * model.weight)
            return moved, fisher_product(model, case.h0, case.horizon, v)

        return jax.lax.scan(step, model, length=3)[1]

    images = descend(case.model, v)
    for i in range(3):
        J = dense(case._replace(model=VanillaRNN(0.9**i * case.model.weight, case.model.bias)))
        close(images[i], J.T @ (J @ v))


@pytest.mark.parametrize("options", [{}, {"chunk": 2, "remat": True}], ids=str)
def test_products_under_vmap(options):
    case, J = CASES["outer bias"], jacobian("outer bias")
    kernel = case.kernel(**options)
    y, v = vectors(kernel, 3)
    close(jax.vmap(kernel.fisher_mv)(v), v @ J.T @ J)
    close(jax.vmap(kernel.mv)(y).reshape(3, -1), np.asarray(y).reshape(3, -1) @ J @ J.T)
    gains = jnp.asarray([0.5, 1.0, 1.5])
    model = lambda gain: VanillaRNN(gain * case.model.weight, case.model.bias)  # noqa: E731
    found = jax.vmap(lambda g: sntk(model(g), case.h0, 5, **options).fisher_mv(v[0]))(gains)
    for gain, image in zip(gains, found, strict=True):
        J = dense(case._replace(model=model(gain)))
        close(image, J.T @ (J @ v[0]))


def test_products_can_be_differentiated():
    case = CASES["outer bias"]
    _, v = vectors(case.kernel())

    def energy(gain):
        model = VanillaRNN(gain * case.model.weight, case.model.bias)
        return v @ fisher_product(model, case.h0, case.horizon, v)

    step = 1e-5
    slope = (energy(1 + step) - energy(1 - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(energy)(1.0), slope, rtol=1e-8)
    np.testing.assert_allclose(jax.jvp(energy, (1.0,), (1.0,))[1], slope, rtol=1e-8)


# precision


@pytest.mark.parametrize(
    ("form", "options"), [("W@tanh(h)+b", {}), ("tanh(W@h+b)", {"chunk": 3, "remat": True})], ids=str
)
def test_float32_is_float32_to_rounding(form, options):
    J = dense(vanilla(form))
    kernel = vanilla(form, dtype=np.float32).kernel(**options)
    y, v = (np.asarray(x, np.float64) for x in vectors(kernel))
    narrow_y, narrow_v = jnp.asarray(y, jnp.float32), jnp.asarray(v, jnp.float32)
    for found, expected in [
        (kernel.jvp(narrow_v).ravel(), J @ v),
        (kernel.flatten(kernel.vjp(narrow_y)), J.T @ flat(y)),
        (kernel.mv(narrow_y).ravel(), J @ (J.T @ flat(y))),
        (kernel.fisher_mv(narrow_v), J.T @ (J @ v)),
        (kernel.as_matrix(), J),
    ]:
        assert found.dtype == jnp.float32
        close(found, expected, 3e-6)


# bad input


@pytest.mark.parametrize("horizon", [0, -1, 2.0, True, None])
def test_a_bad_horizon_is_named(horizon):
    case = vanilla()
    with pytest.raises(ValueError, match="horizon must be a positive integer"):
        sntk(case.model, case.h0, horizon)


@pytest.mark.parametrize(
    ("name", "value"), [("chunk", 0), ("chunk", -2), ("chunk", 1.5), ("chunk", True), ("remat", 0), ("remat", 2.0)]
)
def test_a_bad_count_is_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a positive integer"):
        vanilla().kernel(**{name: value})


@pytest.mark.parametrize("shape", [(4,), (0, 4), (2, 0), (2, 3, 4)])
def test_bad_initial_states_are_named(shape):
    with pytest.raises(ValueError, match=r"h0 must have shape \(batch, state\)"):
        sntk(vanilla().model, jnp.ones(shape), 3)


def test_initial_states_of_another_size_are_named():
    with pytest.raises((ValueError, TypeError), match="model must map a state"):
        sntk(vanilla().model, jnp.ones((2, 3)), 3)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.int32, jnp.complex128])
def test_a_dtype_that_does_not_fit_is_named(dtype):
    case = vanilla()
    with pytest.raises(ValueError, match="share one real floating dtype"):
        sntk(case.model, case.h0.astype(dtype), 3)


@pytest.mark.parametrize(
    "wrt",
    [
        lambda m: m.nothing,
        lambda m: (),
        VanillaRNN(jnp.zeros((4, 4)), jnp.zeros(4)),
    ],
)
def test_selecting_nothing_is_an_error(wrt):
    if not callable(wrt) or isinstance(wrt, VanillaRNN):
        wrt = eqx.tree_at(lambda m: (m.weight, m.bias), wrt, (False, False))
    with pytest.raises(ValueError, match="wrt selects"):
        vanilla(wrt=wrt).kernel()


def test_a_missing_bias_cannot_be_selected():
    with pytest.raises(ValueError, match="wrt selects"):
        vanilla(bias=False, wrt=lambda m: m.bias).kernel()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_initial_states_that_are_not_finite_are_an_error(bad):
    case = vanilla()
    with pytest.raises(ValueError, match=r"not finite from step 0 on \(trajectory 2\)"):
        case._replace(h0=case.h0.at[2, 1].set(bad)).kernel()


@pytest.mark.parametrize("options", [{}, {"chunk": 2}, {"remat": True}], ids=str)
def test_states_that_overflow_name_step_and_trajectory(options):
    model = jax.tree_util.Partial(lambda a, h: a * h * h, jnp.asarray(1.0))
    h0 = jnp.asarray([[0.5], [1e100], [0.1]])
    with pytest.raises(ValueError, match=r"not finite from step 2 on \(trajectory 1\): lower horizon"):
        sntk(model, h0, 6, **options)
    assert sntk(model, h0, 1, **options).shape == (3, 1)


def test_constant_states_are_checked_inside_jit_too():
    case = vanilla()
    bad = case._replace(h0=case.h0.at[0, 0].set(np.nan))
    with pytest.raises(ValueError, match="not finite"):
        jax.jit(lambda: bad.kernel().as_matrix())()


@pytest.mark.parametrize("shape", [(3,), (21,), (2, 3, 20), ()])
def test_a_direction_that_does_not_fit_is_named(shape):
    kernel = vanilla().kernel()
    for product in (kernel.jvp, kernel.fisher_mv):
        with pytest.raises(ValueError, match=r"dtheta must have shape \(20,\)"):
            product(jnp.ones(shape))


def test_a_tree_that_does_not_fit_is_named():
    kernel = vanilla().kernel()
    with pytest.raises(ValueError, match="pytree like the selected parameters"):
        kernel.jvp({"weight": jnp.ones((4, 4))})
    with pytest.raises(ValueError, match="leaves of shapes"):
        kernel.jvp(VanillaRNN(jnp.ones((3, 3)), jnp.ones(3)))
    mixed = VanillaRNN(jnp.ones((4, 4)), jnp.ones(4))
    mixed = eqx.tree_at(lambda m: m.weight, mixed, jnp.ones((2, 4, 4)))
    with pytest.raises(ValueError, match="leading axis"):
        kernel.jvp(mixed)


@pytest.mark.parametrize("shape", [(5, 5), (5, 4, 4), (2, 2, 5, 5, 4), (5, 5, 3)])
def test_a_trajectory_that_does_not_fit_is_named(shape):
    kernel = vanilla().kernel()
    for product in (kernel.vjp, kernel.mv):
        with pytest.raises(ValueError, match=r"y must have shape \(5, 5, 4\)"):
            product(jnp.ones(shape))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.int64])
def test_a_vector_of_another_dtype_is_named(dtype):
    kernel = vanilla().kernel()
    with pytest.raises(ValueError, match="dtheta must have dtype float64"):
        kernel.jvp(jnp.ones(20, dtype))
    with pytest.raises(ValueError, match="y must have dtype float64"):
        kernel.vjp(jnp.ones((5, 5, 4), dtype))


def test_an_empty_block_is_an_error():
    kernel = vanilla().kernel()
    with pytest.raises(ValueError, match="dtheta"):
        kernel.jvp(jnp.ones((0, 20)))
    with pytest.raises(ValueError, match="y must have"):
        kernel.mv(jnp.ones((0, 5, 5, 4)))


@pytest.mark.parametrize(
    "readout",
    [
        jnp.ones(4),
        jnp.ones((2, 3)),
        lambda h: h[0],
        lambda h: h.astype(jnp.float32),
        lambda h: (h, h),
        jnp.ones((0, 4)),
    ],
)
def test_a_bad_readout_is_named(readout):
    with pytest.raises(ValueError, match="readout must"):
        vanilla(readout=readout).kernel()


@pytest.mark.parametrize("readout", [np.ones((2, 4)), jnp.ones((2, 4), jnp.float32)])
def test_a_readout_matrix_may_be_numpy_but_has_the_states_dtype(readout):
    case = vanilla(readout=readout)
    if readout.dtype == np.float32:
        with pytest.raises(ValueError, match="readout must"):
            case.kernel()
    else:
        close(case.kernel().as_matrix(), dense(vanilla(readout=jnp.asarray(readout))))


def test_a_model_that_changes_the_state_is_named():
    with pytest.raises(ValueError, match="model must map a state"):
        sntk(jax.tree_util.Partial(lambda p, h: p * h[:2], jnp.asarray(1.0)), jnp.ones((2, 3)), 2)
    with pytest.raises(ValueError, match="model must map a state"):
        sntk(jax.tree_util.Partial(lambda p, h: (p * h).astype(jnp.float32), jnp.asarray(1.0)), jnp.ones((2, 3)), 2)


def test_a_large_matrix_is_refused():
    case = vanilla(state=64, batch=200, horizon=64)
    with pytest.raises(ValueError, match="too large to form"):
        case.kernel().as_matrix()


def test_the_cases_are_what_they_say():
    assert gated().kernel().shape[1] == sum(
        x.size for x in jax.tree.leaves(eqx.filter(gated().model, eqx.is_inexact_array))
    )
    assert partial_model().kernel().shape == (36, 10)
