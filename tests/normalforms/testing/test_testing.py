"""Golden forms: equal mathematics passes however it is written, and a changed coefficient never does."""

import json
from pathlib import Path

import pytest
import sympy as sp

import normalforms as nf
from normalforms.formulas.formula import symbols
from normalforms.testing.canonical import canonical, read_canonical
from normalforms.testing.golden import GoldenMismatchError, assert_matches, differences, families, main, regenerate

GOLDEN = Path(__file__).resolve().parent.parent.parent / "golden" / "families.json"
g, h0, T = symbols("g h0 T")
FORMULAS = families()


def equal(a, b):
    return canonical(a).differences(canonical(b)) == []


@pytest.mark.parametrize("key", list(FORMULAS))
def test_formulas_of_the_named_families(key):
    assert_matches(FORMULAS[key], GOLDEN, key)


def test_the_golden_file_holds_nothing_else():
    assert regenerate(GOLDEN, FORMULAS) == []


@pytest.mark.parametrize("key", ["pitchfork/series/4", "transcritical/exact/8,6", "saddle_node/uniform/0/orbit"])
def test_every_changed_coefficient_is_found(key):
    """Each number of the golden form, off by one, makes the test fail and names the coefficient."""
    expr = FORMULAS[key].expr
    terms = canonical(expr).as_json()
    for monomial, text in terms.items():
        changed = read_canonical(terms | {monomial: _bumped(text)})
        (line,) = changed.differences(canonical(expr))
        assert line.startswith(f"coefficient of {monomial}: ")


def _bumped(text):
    top, slash, bottom = text.partition(") / (")
    return f"{top} + 1{slash}{bottom}" if slash else f"{text} + 1"


@pytest.mark.parametrize(
    "change", [lambda e: e + h0**2, lambda e: e.subs(g, g + 1), lambda e: -e, lambda e: e.replace(T, T + 1)]
)
def test_another_formula_is_refused(change):
    with pytest.raises(GoldenMismatchError, match=r"pitchfork/series/4 differs .*\n  coefficient of"):
        assert_matches(change(FORMULAS["pitchfork/series/4"].expr), GOLDEN, "pitchfork/series/4")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((g**2 - 1) / (g - 1), g + 1),
        ((g**T + 1) * (g**T - 1), g ** (2 * T) - 1),
        ((g**T - g ** (-T)) / 2, sp.sinh(T * sp.log(g))),
        ((-g) ** (2 * T), g ** (2 * T)),
        (sp.sqrt(1 + g) ** 3, (1 + g) * sp.sqrt(1 + g)),
        (1 / sp.sqrt(h0) * sp.sqrt(h0) ** 3, h0),
        (sp.log((g**2 - 1) / (g - 1)), sp.log(g + 1)),
        (sp.exp(2 * T * sp.log(g)), g ** (2 * T)),
        (sp.exp(sp.I * sp.pi * T), (-1) ** T),
        (1 / (2 * sp.log(g) + 2 * h0), sp.Rational(1, 2) / (sp.log(g) + h0)),
        (0.25 * g, g / 4),
        (h0 * (g + T) / (g * T), h0 / g + h0 / T),
        (g - g, sp.Integer(0)),
    ],
)
def test_spelling_does_not_matter(a, b):
    assert equal(sp.sympify(a), b)
    assert not equal(sp.sympify(a), b + g**5 / 7)


def test_golden_text_reads_back():
    for formula in FORMULAS.values():
        form = canonical(getattr(formula, "expr", formula))
        assert form.differences(read_canonical(json.loads(json.dumps(form.as_json())))) == []


@pytest.mark.parametrize("text", ["__import__('os')", "g.x", "g**", "[log(g)", "g h", "(1) / (g) / (g)", "", "g**-1.5"])
def test_golden_text_is_never_evaluated(text):
    with pytest.raises(ValueError, match=r"\w|''"):
        read_canonical({"1": text})


def test_the_tool_writes_shows_and_keeps(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(
        "import sympy as sp\ng = sp.Symbol('g')\nk = 3\ndef formulas():\n    return {'a': k * g / (1 + g), 'b': g}\n"
    )
    monkeypatch.chdir(tmp_path)
    arguments = ["golden.json", "--from", "mine:formulas"]
    assert main([*arguments, "--update"]) == 0
    assert main(arguments) == 0
    before = (tmp_path / "golden.json").read_bytes()
    import mine  # type: ignore[import-not-found]

    monkeypatch.setattr(mine, "k", 4)
    capsys.readouterr()
    assert main(arguments) == 1
    assert "! a: coefficient of 1: (3*g) / (g + 1)  →  (4*g) / (g + 1)" in capsys.readouterr().out
    assert (tmp_path / "golden.json").read_bytes() == before
    assert main([*arguments, "--update"]) == 0
    assert main(arguments) == 0


def test_bad_files_and_keys_say_so(tmp_path, capsys):
    with pytest.raises(GoldenMismatchError, match="is not in the golden file"):
        assert_matches(g, GOLDEN, "no/such/key")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ValueError, match=r"bad.json cannot be read .* --update"):
        differences(g, tmp_path / "bad.json", "a")
    assert main([str(tmp_path / "none.json")]) == 2
    assert main(["--from", "no_such_module:f"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 2


def test_users_families(tmp_path):
    m = nf.parse_map("r*x + x^2 - x^3", state="x", parameter="r")
    law = nf.amplification(m, at={"x": 0, "r": 1})
    path = tmp_path / "golden.json"
    assert regenerate(path, {"mine": law.series(3)}, update=True) == ["+ mine is new"]
    assert_matches(law.series(3), path, "mine")
    with pytest.raises(GoldenMismatchError):
        assert_matches(law.series(4), path, "mine")
