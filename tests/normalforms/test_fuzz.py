"""Random maps and random formulas: no number off its claim, no traceback, nothing slow. Larger in `bench_fuzz`."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms.maps import parse_expression

sys.path.insert(0, str(Path(__file__).parent))
import random_maps

X, R = sp.symbols("x r", real=True)


def parsed(count, seed, deepest):
    """CPU seconds of the slowest text, and the names of whatever was raised beside `MapSyntaxError`."""
    rng, slowest, raised = random.Random(seed), 0.0, Counter()
    for _ in range(count):
        text, start = random_maps.text(rng, deepest), time.process_time()
        try:
            parse_expression(text, (X, R))
        except nf.MapSyntaxError:
            pass
        except Exception as error:
            raised[f"{type(error).__name__} of {text}"] += 1
        slowest = max(slowest, time.process_time() - start)
    return slowest, raised


def test_random_texts_are_read_or_refused_at_once():
    slowest, raised = parsed(1500, 0, 6)
    assert not raised
    assert slowest < 1.0


@pytest.mark.slow
def test_ten_thousand_random_texts():
    slowest, raised = parsed(10_000, 1, 14)
    assert not raised
    assert slowest < 1.0


@pytest.mark.parametrize("seed", range(8))
def test_a_random_map_gets_no_wrong_number(seed):
    rng = np.random.default_rng(seed)
    case = random_maps.case(rng)
    for _ in range(2):
        for verdict in random_maps.judged(case, rng, 300):
            assert verdict.status in ("right", "warned", "refused"), str(verdict)
            assert verdict.seconds < 5, str(verdict)


def test_the_judge_sees_a_wrong_number():
    rng = np.random.default_rng(0)
    case = random_maps.Case("r*x - x^3", lambda x, r: (r * x - x**3, r - 3 * x * x, x))
    true, radius = random_maps.truth(case.step, 1.0, 0.1, 30)
    assert random_maps._status(1.02 * float(true), true, radius, 0.01, False) == "wrong"
    assert random_maps._status(float(true), true, radius, 0.01, False) == "right"
    assert {v.form for v in random_maps.judged(case, rng, 10)} >= {"reference", "enclosure"}
