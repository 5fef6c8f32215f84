"""A cell as the sweeps see it: its step, where it is linearised, and its tangents and cotangents there.

This is what a cell is asked for: ``step``, ``site``, ``drive``, ``push``, ``pull``, ``gradient_like``, ``gradient`` and
``probes``. Any model can be linearised by JAX; :mod:`rnn.kernel.affine` does by hand those that are affine but for one
nonlinearity.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxpr_as_fun
from jaxtyping import Array, Float, PRNGKeyArray

from rnn.models import columns, over_columns

__all__ = ["Drive", "JaxCell", "Probes", "Site", "signs", "unpacked"]

_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}
_CHEAP = ("abs", "add", "add_any", "ge", "gt", "integer_pow", "le", "lt", "max", "min", "mul", "neg", "select_n")
_CHEAP += ("sign", "square", "sub")
Drive = Callable[[Any], Any]
"""``drive(site) -> (state, k, batch)``: the parameter forcing ``D_θF dθ`` of a block at one step."""


class Probes(NamedTuple):
    """Independent random parameter directions, one set for every trajectory.

    Attributes:
        drive: forcing of the probes, (state, probes, batch).
        overlap: coefficients ``⟨v_i, z_b⟩`` on given directions, (probes, k, batch).
    """

    drive: Drive
    overlap: Float[Array, "probes k batch"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Site:
    """Where any cell is linearised.

    Attributes:
        own: what tangents multiply there, the columns last, without what all columns share.
        widths: of the state, and of the step's input if there is one.
    """

    own: list[Array]
    widths: tuple[int, ...] = field(metadata={"static": True})

    def repeated(self, k: int) -> Site:
        """The same for a block of k vectors side by side."""
        if k == 1:
            return self
        wide = lambda x: jnp.broadcast_to(x[..., None, :], (*x.shape[:-1], k, x.shape[-1]))  # noqa: E731
        return Site([wide(x).reshape(*x.shape[:-1], -1) for x in self.own], self.widths)


class _Traced(NamedTuple):
    """The linearisation of one step of one column, traced once.

    Attributes:
        inputs: of ``parameters, *column``, as variables of the equations.
        consts: values of the variables that are no inputs.
        equations: of the step, with calls written out.
        shared: variables that tangents multiply and all columns share.
        bases: those that a site keeps: the column's own, each of few others computed from them at every use.
        tangents: of the state and of the parameters: a jaxpr, and the variables that are its constants.
    """

    inputs: list[Any]
    consts: dict[Any, Any]
    equations: list[Any]
    shared: list[Any]
    bases: list[Any]
    tangents: list[tuple[Jaxpr, list[Any]]]

    def numbers(self, wanted: list[Any], parameters: Any, *column: Array) -> list[Array]:
        """The values of variables at a column."""
        known = self.consts | dict(zip(self.inputs, [*jax.tree.leaves(parameters), *column], strict=True))
        return _evaluate(self.equations, known, wanted)

    def image(self, which: int, shared: list[Array], own: Sequence[Array], tangent: Any) -> Array:
        """``D_hF dh`` (0) or ``D_θF dθ`` (1) of one column, from what columns share and what is kept of this one."""
        jaxpr, consts = self.tangents[which]
        known = self.consts | dict(zip([*self.shared, *self.bases], [*shared, *own], strict=True))
        closed = ClosedJaxpr(jaxpr, _evaluate(self.equations, known, consts))
        return jaxpr_as_fun(closed)(*jax.tree.leaves(tangent))[0]


class JaxCell:
    """Any cell, linearised by JAX: what its tangents and cotangents multiply is computed once, at a site.

    Args:
        selected: the parameters θ.
        rest: everything else of the model.
    """

    stacked = False

    def __init__(self, selected: Any, rest: Any) -> None:
        self.selected = selected
        self._arrays, self._fixed = eqx.partition(rest, eqx.is_array)
        self._known: dict[Any, _Traced] = {}
        self.step = columns(eqx.combine(selected, rest))

    def _traced(self, widths: tuple[int, ...]) -> _Traced:
        place = widths, jax.sharding.get_abstract_mesh()  # equations of a device's part of the work are of no other's
        if place not in self._known:
            shape = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)  # and nothing of where it lies  # noqa: E731
            selected, arrays = jax.tree.map(shape, (self.selected, self._arrays))
            column = [jax.ShapeDtypeStruct((width,), jax.tree.leaves(selected)[0].dtype) for width in widths]
            self._known[place] = _trace(selected, arrays, self._fixed, column)
        return self._known[place]

    def _shared(self, widths: tuple[int, ...]) -> list[Array]:
        dtype = jax.tree.leaves(self.selected)[0].dtype
        column = [jnp.zeros(width, dtype) for width in widths]  # they do not depend on it
        traced = self._traced(widths)
        return traced.numbers(traced.shared, (self.selected, self._arrays), *column)

    def site(self, h: Array, h_next: Array, x: Array | None = None) -> Site:
        column = (h,) if x is None else (h, x)
        widths = tuple(part.shape[-2] for part in column)
        traced = self._traced(widths)
        given = dict(zip(traced.inputs[-len(column) :], column, strict=True))
        found = [var for var in traced.bases if var not in given]

        def numbers(column: tuple[Array, ...]) -> list[Array]:
            return over_columns(lambda p, *at: traced.numbers(found, p, *at), (self.selected, self._arrays), *column)

        if found:  # every step of a path by itself, since a common product would turn the states around
            given |= zip(found, numbers(column) if h.ndim == 2 else jax.lax.map(numbers, column), strict=True)
        return Site([given[var] for var in traced.bases], widths)

    def _pushed(self, site: Site, dh: Array) -> Array:
        traced = self._traced(site.widths)
        one = lambda shared, *at: traced.image(0, shared, at[:-1], at[-1])  # noqa: E731
        return over_columns(one, self._shared(site.widths), *site.own, dh)

    def _forced(self, site: Site, direction: Any) -> Array:
        traced = self._traced(site.widths)
        one = lambda tree, *own: traced.image(1, tree[0], own, tree[1])  # noqa: E731
        return over_columns(one, (self._shared(site.widths), direction), *site.own)

    def drive(self, block: Any) -> Drive:
        return lambda site: _over(lambda one: self._forced(site, one), 0, 1)(block)

    def push(self, site: Site, dh: Array, drive: Drive) -> Array:
        side_by_side = dh.reshape(dh.shape[0], -1)
        return self._pushed(site.repeated(dh.shape[1]), side_by_side).reshape(dh.shape) + drive(site)

    def pull(self, site: Site, a: Array) -> tuple[Array, Any]:
        side_by_side, several = a.reshape(a.shape[0], -1), site.repeated(a.shape[1])
        back = jax.linear_transpose(lambda dh: self._pushed(several, dh), side_by_side)
        gather = jax.linear_transpose(lambda direction: self._forced(site, direction), self.selected)
        return back(side_by_side)[0].reshape(a.shape), _over(lambda one: gather(one)[0], 1, 0)(a)

    def gradient_like(self, k: int) -> Any:
        return jax.tree.map(lambda p: jnp.zeros((k, *p.shape), p.dtype), self.selected)

    def gradient(self, accumulated: Any) -> Any:
        return accumulated

    def probes(self, key: PRNGKeyArray, index: Array, count: int, directions: Any) -> Probes:
        leaves, structure = jax.tree.flatten(self.selected)
        batch = index.shape[0]
        z = signs(key, index, [(count, *p.shape) for p in leaves], leaves[0].dtype)
        overlap = sum(
            jnp.einsum("bsm,km->skb", x.reshape(batch, count, -1), v.reshape(v.shape[0], -1))
            for x, v in zip(z, jax.tree.leaves(directions), strict=True)
        )

        def force(site: Site) -> Array:
            shared, traced = self._shared(site.widths), self._traced(site.widths)
            one = lambda own, direction: traced.image(1, shared, own, direction)  # noqa: E731
            return jax.vmap(jax.vmap(one, (None, 0), 1), (-1, 0), 2)(site.own, jax.tree.unflatten(structure, z))

        return Probes(force, jnp.asarray(overlap))


def _over(function: Callable[[Any], Any], given: int, found: int) -> Callable[[Any], Any]:
    """``function`` of every member of a block along that axis; a single one without ``jax.vmap``'s transposes."""

    def each(block: Any) -> Any:
        if jax.tree.leaves(block)[0].shape[given] > 1:
            return jax.vmap(function, given, found)(block)
        alone = function(jax.tree.map(lambda x: jnp.squeeze(x, given), block))
        return jax.tree.map(lambda x: jnp.expand_dims(x, found), alone)

    return each


def _trace(selected: Any, arrays: Any, fixed: Any, column: list[Any]) -> _Traced:
    """Trace one step at a column (state, input): what its tangents are, and what they multiply."""
    tangents: list[tuple[Jaxpr, list[int]]] = []

    def numbers(selected: Any, arrays: Any, h: Array, *x: Array) -> list[Array]:
        whole = jax.linearize(lambda h, p: eqx.combine(p, arrays, fixed)(h, *x), h, selected)[1]
        zero = jax.tree.map(lambda p: jnp.zeros(p.shape, p.dtype), (h, selected))
        kept: list[Array] = []
        for which, partial in enumerate((lambda dh: whole(dh, zero[1]), lambda direction: whole(zero[0], direction))):
            tangent = jax.linearize(partial, zero[which])[1]  # of one alone, and nothing of the other
            closed = jax.make_jaxpr(tangent)(zero[which])
            kept += [const for const in closed.consts if not any(const is one for one in kept)]
            places = [next(i for i, one in enumerate(kept) if one is const) for const in closed.consts]
            tangents.append((closed.jaxpr, places))
        return kept

    flat = _flat(jax.make_jaxpr(numbers)(selected, arrays, *column))
    jaxpr, inputs = flat.jaxpr, list(flat.jaxpr.invars)
    own = set(inputs[-len(column) :])
    for equation in jaxpr.eqns:
        if any(not isinstance(var, Literal) and var in own for var in equation.invars):
            own |= set(equation.outvars)
    variables = [var for var in jaxpr.outvars if not isinstance(var, Literal)]
    shared = list(dict.fromkeys(var for var in variables if var not in own and var not in jaxpr.constvars))
    mine = list(dict.fromkeys(var for var in variables if var in own))
    bases = _bases(jaxpr, mine, own) or [inputs[-len(column)]]  # something must tell how many columns there are
    read = [(tangent, [jaxpr.outvars[place] for place in places]) for tangent, places in tangents]
    consts = dict(zip(jaxpr.constvars, flat.consts, strict=True))
    return _Traced(inputs, consts, jaxpr.eqns, shared, bases, read)


def _bases(jaxpr: Jaxpr, wanted: list[Any], own: set[Any]) -> list[Any]:
    """From what the wanted variables follow by cheap equations; themselves where that were no fewer."""
    made = {var: equation for equation in jaxpr.eqns for var in equation.outvars}

    def below(var: Any) -> list[Any]:
        equation = made.get(var)
        if equation is None or equation.primitive.name not in _CHEAP:
            return [var]
        above = [one for one in equation.invars if not isinstance(one, Literal)]
        return [base for one in above for base in below(one)] if own.issuperset(above) else [var]

    found = list(dict.fromkeys(base for var in wanted for base in below(var)))
    size = lambda variables: sum(math.prod(var.aval.shape) for var in variables)  # noqa: E731
    return found if size(found) <= size(wanted) else wanted


def _flat(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The same with the equations of every call in its place."""
    evaluated = lambda *args: _evaluate(closed.jaxpr.eqns, _env(closed, args), closed.jaxpr.outvars)  # noqa: E731
    return jax.make_jaxpr(evaluated)(*closed.in_avals)


def _env(closed: ClosedJaxpr, args: Sequence[Any]) -> dict[Any, Any]:
    return dict(zip([*closed.jaxpr.constvars, *closed.jaxpr.invars], [*closed.consts, *args], strict=True))


def _evaluate(equations: list[Any], known: dict[Any, Any], wanted: list[Any]) -> list[Any]:
    """The values of wanted variables, and of nothing that they do not need."""
    needed = {var for var in wanted if not isinstance(var, Literal)} - known.keys()
    chosen = []
    for equation in reversed(equations):
        if not needed.isdisjoint(equation.outvars):
            chosen.append(equation)
            needed |= {var for var in equation.invars if not isinstance(var, Literal)} - known.keys()
    read = lambda var: var.val if isinstance(var, Literal) else known[var]  # noqa: E731
    for equation in reversed(chosen):
        values = list(map(read, equation.invars))
        within = equation.params.get(_CALLS.get(equation.primitive.name))
        if isinstance(within, ClosedJaxpr):
            found = _evaluate(within.jaxpr.eqns, _env(within, values), within.jaxpr.outvars)
        else:
            found = equation.primitive.bind(*values, **equation.params)
            found = found if equation.primitive.multiple_results else [found]
        known |= zip(equation.outvars, found, strict=True)
    return list(map(read, wanted))


def signs(key: PRNGKeyArray, index: Array, shapes: list[tuple[int, ...]], dtype: Any) -> list[Array]:
    """Random signs, those of trajectory ``index[b]`` at b, whichever part of the batch that is in."""
    words = -(-sum(map(math.prod, shapes)) // 32)
    each = jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(key, i), (words,), jnp.uint32))
    return unpacked(each(index), shapes, dtype)


def unpacked(words: Array, shapes: list[tuple[int, ...]], dtype: Any) -> list[Array]:
    """Every bit of ``words`` (…, count) a sign, cut into arrays of the given shapes after the leading axes."""
    lead, places = words.shape[:-1], jnp.arange(32, dtype=words.dtype)
    bits = 1 - 2 * (words[..., None] >> places & 1).astype(dtype).reshape(*lead, -1)
    ends = itertools.accumulate(map(math.prod, shapes))
    return [bits[..., end - math.prod(s) : end].reshape(*lead, *s) for end, s in zip(ends, shapes, strict=True)]
