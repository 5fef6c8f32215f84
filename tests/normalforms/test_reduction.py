"""Normal forms of maps from textbooks, exact."""

import pytest
import sympy as sp

import normalforms as nf


@pytest.mark.parametrize("name", ["stability_flip", "pitchfork", "transcritical", "saddle_node", "period_doubling"])
def test_named_families_are_their_own_kind(name):
    assert nf.reduce(getattr(nf, name)()).kind == name


def test_flip_of_the_logistic_map():
    form = nf.reduce(nf.parse_map("r*x*(1-x)", state="x", parameter="r"), at={"x": "2/3", "r": 3})
    assert form.kind == "period_doubling"
    assert form.coefficients["c3"] == 9
    assert form.coefficients["dlambda"] == -1


def test_transcritical_of_the_logistic_map():
    form = nf.reduce(nf.parse_map("r*x*(1-x)", state="x", parameter="r"), at={"x": 0, "r": 1})
    assert form.kind == "transcritical"
    assert form.coefficients["c2"] == -1


def test_fold_coefficient():
    form = nf.reduce(nf.parse_map("x + m + x**2", state="x", parameter="m"), at={"x": 0, "m": 0})
    assert form.kind == "saddle_node"
    assert (form.coefficients["c0"], form.coefficients["c2"]) == (1, 1)


def test_neimark_sacker_of_the_planar_family():
    form = nf.reduce(nf.neimark_sacker(1, -1))
    assert form.kind == "neimark_sacker"
    assert sp.re(sp.N(form.coefficients["d"])) < 0


def test_a_point_that_is_not_critical_is_refused():
    with pytest.raises(ValueError, match="critical"):
        nf.reduce(nf.parse_map("r*x*(1-x)", state="x", parameter="r"), at={"x": 0, "r": 2})


def test_a_point_that_is_not_fixed_is_refused():
    with pytest.raises(ValueError, match="fixed point"):
        nf.reduce(nf.parse_map("r*x*(1-x)", state="x", parameter="r"), at={"x": "1/3", "r": 3})


def test_quartic_point_is_degenerate():
    form = nf.reduce(nf.parse_map("g*x - x**5", state="x", parameter="g"), at={"x": 0, "g": 1})
    assert form.kind == "degenerate"
