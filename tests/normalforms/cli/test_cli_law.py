"""``normalforms law`` and ``reduce``: every form and format, and bad input refused in one line, unexecuted."""

import json
import re
import subprocess
import sys
import time

import mpmath
import pytest

import normalforms as nf
from normalforms.cli.main import main
from normalforms.families import NAMES

FAMILIES = NAMES
LOGISTIC = ["--map", "r*x*(1-x)", "--state", "x", "--parameter", "r"]


def out(capsys, *arguments):
    assert main(list(arguments)) == 0
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("form", ["scaling", "regimes"])
@pytest.mark.parametrize("style", ["text", "latex"])
def test_forms_that_every_family_has(family, form, style, capsys):
    text = out(capsys, "law", family, "--form", form, "--format", style)
    assert len(text) > 20
    if form == "regimes":
        assert [line.split(":")[0] for line in text.splitlines() if re.match(r"\w+: ", line)] == [
            "subcritical", "critical", "supercritical",
        ]  # fmt: skip
    if style == "latex":
        assert text.count("{") == text.count("}")


@pytest.mark.parametrize("form", ["series", "uniform", "reference", "regimes"])
@pytest.mark.parametrize("language", ["python", "c", "julia"])
def test_code(form, language, capsys):
    text = out(capsys, "law", "pitchfork", "--form", form, "--format", language)
    sign = {"python": "def ", "c": "double ", "julia": "function "}[language]
    assert sign + ("critical(" if form == "regimes" else "law(") in text
    if language == "python":
        namespace: dict = {}
        exec(text, namespace)
        function = namespace["critical" if form == "regimes" else "law"]
        assert function(1.0, 0.02, 30) == pytest.approx(nf.amplification(nf.pitchfork())(1.0, 0.02, 30), rel=0.2)


@pytest.mark.parametrize("family", ["pitchfork", "transcritical", "saddle_node", "neimark_sacker"])
def test_scaling_source_is_right_also_at_its_removable_singularities(family, capsys):
    namespace: dict = {}
    exec(out(capsys, "law", family, "--form", "scaling", "--format", "python"), namespace)
    m = nf.neimark_sacker(1, -1) if family == "neimark_sacker" else getattr(nf, family)()
    law = nf.amplification(m).scaling()
    for x, y in [(1, 0.5), (0, 0.5), (-2, 0.3), (0.5, 0.5), (1e-9, 0.4)]:
        assert float(mpmath.mpf(namespace["psi"](x, y))) == pytest.approx(law.evaluate(x, y), rel=1e-12)


def test_exact_and_orders(capsys):
    assert out(capsys, "law", "stability_flip", "--form", "exact", "--horizon", "2") == "h0**2*(4*g**2 + 1)"
    assert "h0**4" in out(capsys, "law", "pitchfork", "--order", "4")
    assert "h0**4" not in out(capsys, "law", "pitchfork")


def test_a_uniform_law_is_printed_line_by_line(capsys):
    assert out(capsys, "law", "pitchfork", "--form", "uniform").splitlines() == [
        "A = Sum(Abs(Derivative(h_t, g))**2, (t, 1, T))",
        "h_t = g**t*h0/sqrt(h0**2*(g**(2*t) - 1)/(g - 1) + 1)",
    ]
    planar = out(capsys, "law", "neimark_sacker", "--form", "uniform", "--order", "1").splitlines()
    assert "theta_t = -chi*log(D) + t + theta_0 + vartheta_1*(u - u_0)" in planar
    assert "chi = 0" in planar
    cusp = out(capsys, "law", "cusp", "--form", "uniform", "--order", "1")
    assert cusp.startswith("RootSum(")
    assert cusp.endswith(" = t")


def test_the_reference_is_the_recursion_of_every_state_and_parameter(capsys):
    rows = dict(line.split(" = ", 1) for line in out(capsys, "law", "pitchfork", "--form", "reference").splitlines())
    assert rows == {"A": "sum(s_t**2, t = 1..T)", "h'": "g*h - h**3", "s'": "h + s*(g - 3*h**2)"}
    for family, names in (("neimark_sacker", ["x'", "y'", "s_x'", "s_y'"]), ("cusp", ["h'", "s_beta'", "s_g'"])):
        rows = dict(line.split(" = ", 1) for line in out(capsys, "law", family, "--form", "reference").splitlines())
        assert list(rows) == ["A", *names]
    assert rows["s_g'"] == "h + s_g*(g - 3*h**2)"


def test_the_uniform_law_of_a_fold_in_its_own_parameter(capsys):
    own = ["--map", "r + x - x^2 + x^3", "--state", "x", "--parameter", "r", "--at", "x=0,r=0", "--form", "uniform"]
    text = out(capsys, "law", *own, "--order", "2", "--evaluate", "r=0.01,h0=0.02", "--horizon", "40", "--json")
    facts = json.loads(text)
    assert facts["values"]["law"] == pytest.approx(facts["reference"], rel=2e-4)
    assert out(capsys, "law", *own).splitlines()[-1] == "mu = r"


def test_a_terminal_is_told_where_the_law_holds(capsys, monkeypatch):
    assert main(["law", "pitchfork", "--form", "uniform"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["law", "pitchfork", "--form", "uniform"]) == 0
    assert capsys.readouterr().err.startswith("It holds for 69/100 ≤ g ≤ 73/50")


def test_json_says_where_it_holds(capsys):
    facts = json.loads(out(capsys, "law", "pitchfork", "--form", "uniform", "--json"))
    assert facts["form"] == "uniform"
    assert facts["symbols"] == ["g", "h0", "T"]
    assert "h0" in facts["domain"]
    regimes = json.loads(out(capsys, "law", "pitchfork", "--form", "regimes", "--json"))
    assert set(regimes["law"]) == {"subcritical", "critical", "supercritical"}


@pytest.mark.parametrize("form", ["series", "uniform", "scaling", "reference", "regimes"])
def test_evaluation_beside_direct_iteration_and_certified_digits(form, capsys):
    arguments = ["law", "pitchfork", "--form", form, "--evaluate", "g=1.001,h0=1/100", "--horizon", "30", "--json"]
    facts = json.loads(out(capsys, *arguments))
    direct = nf.amplification(nf.pitchfork())(1.001, 0.01, 30)
    assert facts["reference"] == pytest.approx(direct, rel=1e-13)
    middle, radius = (mpmath.mpf(v) for v in facts["certified"].split(" ± "))
    assert abs(middle / direct - 1) < 1e-13
    assert radius < 1e-14 * middle
    best = [v for v in facts["values"].values() if v is not None]
    assert min(abs(v / direct - 1) for v in best) < 0.12


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_evaluated(family, capsys):
    point = "beta=0.001,g=1.01,h0=0.03" if family == "cusp" else "g=1.01,h0=0.03"
    text = out(capsys, "law", family, "--form", "scaling", "--evaluate", point, "--horizon", "20")
    values = dict(line.split(" = ") for line in text.splitlines())
    assert float(values["law"]) == pytest.approx(float(values["direct iteration"]), rel=0.3)
    assert values["certified"].split()[0][:12] == f"{float(values['direct iteration']):.17g}"[:12]


def test_outside_its_domain_evaluation_says_so(capsys):
    text = out(capsys, "law", "pitchfork", "--order", "6", "--evaluate", "g=1.1,h0=0.1", "--horizon", "30")
    assert "law = nan" in text
    assert "note: law: outside its domain: it holds for h0 so small" in text
    facts = out(
        capsys, "law", "saddle_node", "--form", "scaling", "--evaluate", "g=0.9,h0=0.1", "--horizon", "99", "--json"
    )
    assert json.loads(facts)["certified"] is None
    assert json.loads(facts)["escape"] > 0


def test_maps_through_their_normal_form(capsys):
    text = out(capsys, "law", *LOGISTIC, "--at", "x=2/3,r=3", "--form", "scaling")
    assert "prefactor" not in text
    assert "y = 9*T*h0**2" in text
    series = out(capsys, "law", *LOGISTIC, "--at", "x=0,r=1", "--order", "2")
    assert "r**(2*T)" in series


def test_neimark_sacker_takes_its_coefficients(capsys):
    text = out(capsys, "law", "neimark_sacker", "--omega", "pi/5", "--d=-1/2,3/10", "--form", "scaling")
    assert "y = T*h0**2/2" in text


def test_reduce(capsys):
    facts = json.loads(out(capsys, "reduce", *LOGISTIC, "--at", "x=2/3,r=3", "--json"))
    assert facts["kind"] == "period_doubling"
    assert "c3 = 9" in out(capsys, "reduce", *LOGISTIC, "--at", "x=2/3,r=3")


BAD = {
    "unknown family": ["law", "hopf"],
    "nothing": ["law"],
    "both": ["law", "pitchfork", *LOGISTIC],
    "no state": ["law", "--map", "r*x"],
    "import": ["law", "--map", "__import__('os').system('touch hacked')", "--state", "x", "--parameter", "r"],
    "attribute": ["law", "--map", "x.__class__.__base__", "--state", "x", "--parameter", "r"],
    "call of an attribute": ["law", "--map", "().__class__()", "--state", "x", "--parameter", "r"],
    "f-string": ["law", "--map", "f'{x}'", "--state", "x", "--parameter", "r"],
    "walrus": ["law", "--map", "(x:=r)", "--state", "x", "--parameter", "r"],
    "state that is code": [
        "law",
        "--map",
        "r*x",
        "--state",
        "__import__('os').system('touch hacked')",
        "--parameter",
        "r",
    ],
    "parameter that is code": ["law", "--map", "x", "--state", "x", "--parameter", "r);open('hacked','w').close("],
    "keyword": ["law", "--map", "r*x", "--state", "lambda", "--parameter", "r"],
    "value that is code": ["law", *LOGISTIC, "--at", "x=open('hacked','w'),r=1"],
    "number that is code": ["law", "pitchfork", "--evaluate", "g=open('hacked','w'),h0=1", "--horizon", "3"],
    "huge power": ["law", "--map", "9**9**9*x", "--state", "x", "--parameter", "r"],
    "tower": ["law", "--map", "exp(exp(exp(1000)))", "--state", "x", "--parameter", "r"],
    "tower of small steps": ["law", "--map", "x*exp(exp(exp(exp(3))))", "--state", "x", "--parameter", "r"],
    "power of power": ["law", "--map", "((r+x)**200)**200", "--state", "x", "--parameter", "r", "--at", "x=0,r=1"],
    "power of a decimal": ["law", "--map", "x*(0.123456789**99)**99", "--state", "x", "--parameter", "r"],
    "product of powers": ["law", "--map", "(r+x)**200*(r-x)**201", "--state", "x", "--parameter", "r"],
    "long": ["law", "--map", "x+" * 6000 + "x", "--state", "x", "--parameter", "r"],
    "long sum": ["law", "--map", "x+" * 2000 + "x", "--state", "x", "--parameter", "r"],
    "deep": ["law", "--map", "(" * 3000 + "x" + ")" * 3000, "--state", "x", "--parameter", "r"],
    "deep signs": ["law", "--map", "-" * 4000 + "x", "--state", "x", "--parameter", "r"],
    "deep calls": ["law", "--map", "tanh(" * 300 + "x" + ")" * 300, "--state", "x", "--parameter", "r"],
    "malformed": ["law", "--map", "r*x*(1-", "--state", "x", "--parameter", "r"],
    "null byte": ["law", "--map", "r*x\0", "--state", "x", "--parameter", "r"],
    "complex": ["law", "--map", "x*sqrt(-1)", "--state", "x", "--parameter", "r"],
    "infinite": ["law", "--map", "x*log(0)", "--state", "x", "--parameter", "r"],
    "division by zero": ["law", "--map", "x/(r-r)", "--state", "x", "--parameter", "r"],
    "no point": ["law", *LOGISTIC],
    "not a fixed point": ["law", *LOGISTIC, "--at", "x=1/2,r=1"],
    "not critical": ["law", *LOGISTIC, "--at", "x=1/2,r=2"],
    "not critical, reduced": ["law", *LOGISTIC, "--at", "x=1/2,r=2", "--form", "uniform"],
    "no such name in at": ["law", *LOGISTIC, "--at", "y=0,r=1"],
    "malformed at": ["law", *LOGISTIC, "--at", "x"],
    "name twice in at": ["law", *LOGISTIC, "--at", "x=0,x=1,r=1"],
    "order too high": ["law", "pitchfork", "--order", "401"],
    "order negative": ["law", "pitchfork", "--order", "-1"],
    "order no integer": ["law", "pitchfork", "--order", "1.5"],
    "order of a form without one": ["law", "pitchfork", "--form", "scaling", "--order", "2"],
    "horizon zero": ["law", "pitchfork", "--form", "exact", "--order", "2", "--horizon", "0"],
    "horizon missing": ["law", "pitchfork", "--form", "exact"],
    "whole polynomial": ["law", "pitchfork", "--form", "exact", "--horizon", "50"],
    "unknown form": ["law", "pitchfork", "--form", "magic"],
    "unknown format": ["law", "pitchfork", "--format", "fortran"],
    "scaling in c": ["law", "pitchfork", "--form", "scaling", "--format", "c"],
    "evaluation without horizon": ["law", "pitchfork", "--evaluate", "g=1,h0=0.1"],
    "evaluation without a name": ["law", "pitchfork", "--evaluate", "g=1", "--horizon", "3"],
    "evaluation of nan": ["law", "pitchfork", "--evaluate", "g=nan,h0=0.1", "--horizon", "3"],
    "evaluation of a complex number": ["law", "pitchfork", "--evaluate", "g=sqrt(-1),h0=0.1", "--horizon", "3"],
    "omega of another family": ["law", "pitchfork", "--omega", "1"],
    "malformed d": ["law", "neimark_sacker", "--d", "1"],
    "degenerate d": ["law", "neimark_sacker", "--d=0,1", "--form", "scaling"],
    "reduce without a point": ["reduce", *LOGISTIC],
}


@pytest.mark.parametrize("arguments", BAD.values(), ids=list(BAD))
def test_bad_input_is_one_line_within_a_second_and_nothing_runs(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    began = time.process_time()
    status = main(arguments)
    seconds = time.process_time() - began
    captured = capsys.readouterr()
    assert status == 2
    assert captured.out == ""
    (line,) = captured.err.strip().splitlines()
    assert line.startswith("normalforms: ")
    assert 20 < len(line) < 400
    assert seconds < 1
    assert list(tmp_path.iterdir()) == []


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom normalforms.cli.main import main\n"
        "try:\n    main(['law', '--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(any(m in sys.modules for m in ('sympy', 'numpy', 'flint', 'jax')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0
    assert "normalforms law pitchfork --evaluate" in done.stdout


def test_pade_resums_the_series(capsys):
    text = out(capsys, "law", "pitchfork", "--order", "6", "--pade", "--format", "python")
    namespace = {}
    exec(text, namespace)
    law = nf.amplification(nf.pitchfork())
    assert namespace["law"](1.01, 0.02, 20) == pytest.approx(law.series(6, pade=True)(1.01, 0.02, 20), rel=1e-12)
    assert out(capsys, "law", "pitchfork", "--order", "6", "--pade") != out(capsys, "law", "pitchfork", "--order", "6")


def test_pade_belongs_to_the_series(capsys):
    assert main(["law", "pitchfork", "--form", "uniform", "--pade"]) == 2
    assert "--pade does not belong to --form uniform" in capsys.readouterr().err


FLIP = ["--map", "r*x*(1-x)", "--state", "x", "--parameter", "r", "--at", "x=2/3,r=3", "--horizon", "30", "--json"]


@pytest.mark.parametrize("form", ["series", "uniform", "scaling", "regimes", "reference"])
def test_certified_digits_are_those_of_the_map_that_was_given(form, capsys):
    truth = nf.amplification(nf.parse_map("r*x*(1-x)", state="x", parameter="r"))
    own = json.loads(out(capsys, "law", *FLIP, "--form", form, "--evaluate", "r=3.02,h0=0.7"))
    assert own["reference"] == pytest.approx(truth(3.02, 0.7, 30), rel=1e-12)
    assert float(own["certified"].split()[0]) == pytest.approx(truth(3.02, 0.7, 30), rel=1e-12)


def test_numbers_of_the_normal_form_are_brought_to_the_map(capsys):
    found = json.loads(out(capsys, "law", *FLIP, "--form", "regimes", "--evaluate", "g=1.02,h0=0.05"))
    truth = nf.amplification(nf.parse_map("r*x*(1-x)", state="x", parameter="r"))
    assert found["reference"] == pytest.approx(truth(3.02, 1 - 1 / 3.02 + 0.05, 30), rel=1e-9)
    assert any("r = 3.02" in note for note in found["notes"])


def test_reduce_says_what_unfolds_and_what_was_moved(capsys):
    two = ["--map", "b+r*x-x^3", "--state", "x", "--parameter", "b,r", "--at", "x=0,r=1,b=0"]
    assert "unfolded by b" in out(capsys, "reduce", *two, "--unfolding", "b")
    cycle = ["--map", "r*x*(1-x)", "--state", "x", "--parameter", "r", "--at", "x=0.4400,r=3.44949", "--period", "2"]
    moved = json.loads(out(capsys, "reduce", *cycle, "--json"))
    assert (moved["kind"], moved["period"]) == ("period_doubling", 2)
    assert 0 < abs(moved["correction"]["r"]) < 1e-6
