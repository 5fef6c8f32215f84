"""The registry of families: one record is enough for every form that it declares, the command line, gallery and fit."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms.cli import main
from normalforms.families import NAMES, Family, families, family, find, recognise, registered
from normalforms.families.units import critical_map, one_term
from normalforms.forms.uniform import Bernoulli, Measured, bernoulli_flow, check_order, uniform_law
from normalforms.gallery import section

MEASURED = Measured((0.25,), "9/10", "11/10", ("1/40", "1/40"))


def quintic() -> nf.Map:
    """``h' = g h − h⁵``: a pitchfork whose cubic term vanishes."""
    return critical_map("quintic_pitchfork", lambda h, g: g * h - h**5)


def quintic_uniform(member, order, stretch, gain):
    check_order(order, 0, "the quintic pitchfork")
    g, h0, _ = member.inputs
    law = Bernoulli(g, 4, sp.S.One, member.coefficient * (stretch * h0) ** 4, ())
    return uniform_law(bernoulli_flow(law, MEASURED, (g, h0), lambda s: h0 * sp.sqrt(s.root)), gain * stretch**2)


QUINTIC = Family(
    name="quintic_pitchfork",
    title="Quintic pitchfork",
    build=quintic,
    recognise=one_term(1, 5),
    uniform=quintic_uniform,
    orders=0,
    measured=MEASURED,
    law_class="quintic",
)


@pytest.fixture
def toy():
    with registered(QUINTIC):
        yield QUINTIC


def test_a_family_of_ones_own_has_every_form_that_it_declares(toy):
    law = nf.amplification(quintic())
    assert recognise(nf.parse_map("r*x - 3*x^5", state="x", parameter="r")).coefficient == 3
    for g in (0.98, 1.0, 1.03):
        assert law.uniform(0)(g, 0.3, 60) == pytest.approx(law(g, 0.3, 60), rel=MEASURED.errors[0])
    assert law.series(14)(1.0, 0.1, 20) == pytest.approx(law(1.0, 0.1, 20), rel=1e-6)
    assert law.enclosure("1.02", "0.3", 20).rad < 1e-12
    assert law.averaged(nf.Uniform(-0.2, 0.2)).uniform(0)(1.0, 20) > 0
    with pytest.raises(ValueError, match="declares no scaling function"):
        law.scaling()
    with pytest.raises(ValueError, match="declares no regimes"):
        law.regimes()


def test_the_command_line_and_the_gallery_know_it(toy, capsys):
    assert main(["law", "quintic_pitchfork", "--form", "uniform", "--evaluate", "g=1.01,h0=0.2", "--horizon", "30",
                 "--json"]) == 0  # fmt: skip
    found = json.loads(capsys.readouterr().out)
    assert found["values"]["law"] == pytest.approx(found["reference"], rel=MEASURED.errors[0])
    assert "Quintic pitchfork" in section()
    assert main(["law", "quintic"]) == 2
    assert "quintic_pitchfork" in capsys.readouterr().err


def test_a_fit_finds_it(toy):
    g, h = np.linspace(0.94, 1.06, 25), np.linspace(-0.5, 0.5, 15)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = 2.5 * nf.amplification(quintic())(g[:, None], h, 30).sum(axis=1)
        found = nf.fit(g, data, horizon=30, initial=h, laws=("pitchfork", "quintic_pitchfork", "transcritical"))
    assert found.kind == "quintic_pitchfork"


def test_it_is_gone_afterwards():
    with registered(QUINTIC):
        assert family("quintic_pitchfork") is QUINTIC
        with pytest.raises(ValueError, match="is known already"), registered(QUINTIC):
            pass
    assert "quintic_pitchfork" not in families()
    assert find(quintic()) is None
    with pytest.raises(ValueError, match="known are stability_flip, pitchfork"):
        family("quintic_pitchfork")


@pytest.mark.parametrize("name", NAMES)
def test_every_family_recognises_its_own_member_and_no_other_does(name):
    m = family(name).map()
    assert getattr(nf, name) is family(name).build
    assert [record.name for record in families().values() if record.member(m) is not None] == [name]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "neimark_sacker"])  # known by its constructor
def test_a_member_under_other_names_needs_no_point(name):
    """A user's own map that is a family's has the forms of the family's, without at=."""
    m = family(name).map()
    other = {s: sp.Symbol(f"{s.name}_own", real=True) for s in (*m.states, *m.parameters)}
    step = tuple(e.xreplace(other) for e in m.steps)
    own = nf.Map(
        step if isinstance(m.step, tuple) else step[0],
        tuple(other[s] for s in m.states) if isinstance(m.state, tuple) else other[m.state],
        tuple(other[p] for p in m.parameters) if isinstance(m.parameter, tuple) else other[m.parameter],
    )
    place = {other[s].name: v for s, v in dict(m.critical).items()}
    assert nf.amplification(own) == nf.amplification(own, at=place)
    assert nf.amplification(own).map.critical is not None


def test_options_are_those_of_the_record():
    assert family("neimark_sacker").map(omega=2).steps[0].has(sp.cos(2))
    with pytest.raises(ValueError, match="pitchfork has no option omega; it has none"):
        family("pitchfork").map(omega=1)


# --- one convention for states and parameters -----------------------------------------------------------------

STATE = (0.03, 0.04)
FORMS = {
    "iteration": lambda law: law,
    "series": lambda law: law.series(8),
    "exact": lambda law: lambda g, h0, T: law.exact(T, 8)(g, h0),
    "uniform": lambda law: law.uniform(2),
    "scaling": lambda law: law.scaling(),
    "critical": lambda law: law.regimes()["critical"],
    "reference": lambda law: law.reference,
}


@pytest.mark.parametrize("name", FORMS)
def test_a_planar_state_is_one_state_in_every_form(name):
    form = FORMS[name](nf.amplification(nf.neimark_sacker(1, -1)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nf.DomainWarning)
        one = form(1.001, STATE, 12)
        assert np.ndim(one) == 0
        assert form(1.001, np.array(STATE), 12) == one
        assert form(1.001, 0.05, 12) == pytest.approx(one, rel=1e-12)
        many = form(1.001, np.array([STATE, (0.01, 0.0)]), 12)
        assert many.shape == (2,)
        assert many[0] == pytest.approx(one, rel=1e-12)
        grid = form(np.array([[1.0], [1.001]]), (np.array([0.03, 0.01]), np.array([0.04, 0.0])), 12)
        assert grid.shape == (2, 2)
        assert grid[1] == pytest.approx(many, rel=1e-9)
        with pytest.raises(ValueError, match="give a tuple of the map's 2 states"):
            form(1.001, np.array([0.01, 0.02, 0.03]), 12)


def test_an_enclosure_takes_planar_states_alike():
    law = nf.amplification(nf.neimark_sacker(1, -1))
    assert float(law.enclosure("1.001", ("0.03", "0.04"), 12).mid) == pytest.approx(law(1.001, STATE, 12), rel=1e-13)
    assert float(law.enclosure("1.001", "0.05", 12).mid) == pytest.approx(law(1.001, 0.05, 12), rel=1e-13)


@pytest.mark.parametrize("name", [n for n in FORMS if n != "reference"])
def test_every_form_of_the_cusp_gives_the_amplification(name):
    law = nf.amplification(nf.cusp())
    form, place = FORMS[name](law), (1e-5, 1.0005)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nf.DomainWarning)
        value = form(place, 0.01, 30)
        assert np.ndim(value) == 0
        assert value == pytest.approx(law(place, 0.01, 30), rel=0.1)
        if name in ("series", "uniform", "scaling"):
            top = np.linalg.eigvalsh(form.gram(place, 0.01, 30))[-1]
            assert value == pytest.approx(top, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("stability_flip", "every g and h0"),
        ("pitchfork", "h0² (g^{2T} − 1)/(g − 1)"),
        ("transcritical", "h0 (g^{T} − 1)/(g − 1)"),
        ("period_doubling", "h0² (g^{2T} − 1)/(g − 1)"),
    ],
)
def test_what_has_to_be_small_is_the_familys_own(name, says):
    assert says in str(nf.amplification(getattr(nf, name)()).series(4).domain)


@pytest.mark.parametrize("name", NAMES)
def test_every_form_answers_the_same_questions(name):
    law = nf.amplification(family(name).map())
    for form in (law.series(2), law.uniform(0), law.scaling(), law.regimes(), law.reference):
        assert str(form.domain)
        assert form.symbols
        assert len(form.printed()) >= 1
        assert form.latex().count("{") == form.latex().count("}")
        assert callable(form.code)
