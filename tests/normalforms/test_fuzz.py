"""Random maps and random formulas: no number off its claim, no traceback, nothing slow. Larger in `bench_fuzz`."""

import random
import sys
import time
from collections import Counter
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms.maps import parse_expression

sys.path.insert(0, str(Path(__file__).parent))
import random_maps
import random_texts
from referee import Referee, Truth

X, R = sp.symbols("x r", real=True)


def test_ten_thousand_random_texts_are_read_or_refused_at_once():
    rng, slowest, read, raised = random.Random(0), 0.0, 0, Counter()
    for _ in range(10_000):
        text, start = random_texts.text(rng), time.process_time()
        try:
            parse_expression(text, (X, R))
            read += 1
        except nf.MapSyntaxError:
            pass
        except Exception as error:
            raised[f"{type(error).__name__} of {text}"] += 1
        slowest = max(slowest, time.process_time() - start)
    assert not raised
    assert slowest < 1.0
    assert read > 1000


@pytest.mark.parametrize("name", random_texts.NAMES)
def test_names_of_any_kind_are_taken_or_refused(name):
    try:
        made = nf.parse_map("x*x", state="x", parameter=name)
    except ValueError:  # `MapSyntaxError`, or two symbols of one name
        assert name not in ("r", "x1", "J_0_0", "S", "N", "Q", "I", "été", "ℏ")
    else:
        assert made.parameters[0].name == name


@pytest.mark.parametrize("kind", dict.fromkeys(random_maps.KINDS))
def test_a_random_map_gets_no_wrong_number(kind):
    rng = np.random.default_rng(3)
    case = kind(rng)
    verdicts = list(random_maps.judged(case, rng, 300, 2))
    if random_maps.averaged(case):
        verdicts += random_maps.averages(case, rng)
    assert {v.form for v in verdicts} >= {"reference", "enclosure"}
    for verdict in verdicts:
        assert verdict.status in random_maps.GOOD, str(verdict)
        assert verdict.seconds < 5, str(verdict)


def test_the_referee_knows_the_digits_of_a_chaotic_orbit():
    """Beside an iteration with 300 digits; the radius holds the distance, and horizons share one orbit."""
    found = Referee(("r*x*(1-x)",), ("x",), ("r",)).truths((3.9,), (0.3,), (40, 150))
    with mp.workdps(300):
        g, x, s, total = mp.mpf(3.9), mp.mpf(0.3), mp.mpf(0), mp.mpf(0)
        for t in range(1, 151):
            x, s = g * x * (1 - x), g * (1 - 2 * x) * s + x * (1 - x)
            total += s * s
            if t in found:
                assert abs(found[t].value / total - 1) < 1e-15
                assert found[t].radius < 1e-20
    assert set(found) == {40, 150}


def test_the_referee_follows_two_states_and_two_parameters():
    """Rotation at r = 1 with d = 0: ``s_t`` grows like t; the cusp beside its own enclosure."""
    turn = Referee(("r*(0.6*x - 0.8*y)", "r*(0.8*x + 0.6*y)"), ("x", "y"), ("r",))
    assert turn.truths((1.0,), (3.0, 4.0), (20,))[20].value == pytest.approx(25 * sum(t * t for t in range(1, 21)))
    cusp = Referee(("b + g*x - x^3",), ("x",), ("b", "g")).truths((0.01, 1.02), (0.1,), (50,))[50]
    assert cusp.value == pytest.approx(float(nf.amplification(nf.cusp()).enclosure((0.01, 1.02), 0.1, 50)), rel=1e-14)


def test_the_judge_sees_a_wrong_number():
    true = Truth(2.0, 1e-21)
    assert random_maps.verdict_on(2.05, true, 0.01, []) == "wrong"
    assert random_maps.verdict_on(2.01, true, 0.01, []) == "right"
    assert random_maps.verdict_on(float("nan"), true, 0.01, []) == "silent nan"
    assert random_maps.verdict_on(1.0, Truth(np.inf, 0.0), 0.01, []) == "wrong"
