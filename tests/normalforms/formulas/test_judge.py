"""A truncated law is judged on a grid from a few of its points as it is judged at every point."""

import warnings

import numpy as np
import pytest

import normalforms as nf
from normalforms.formulas import Formula, judge

TOLERANCE = 0.01


def classes(error, value):
    """0 where the law is right, 1 where it is wrong, 2 where it has no digit."""
    return (error > TOLERANCE * np.abs(value)).astype(int) + (error >= np.abs(value))


def judged(monkeypatch, value, truth, values):
    """The classes by a grid's cells and point by point, and the part of the points that the cells measured."""
    counted = [0]

    def counting(*arguments):
        found = np.asarray(truth(*arguments))
        counted[0] += found.size
        return found

    by_cells = classes(judge.truncation(value, counting, values, TOLERANCE), value)
    part = counted[0] / value.size
    monkeypatch.setattr(judge, "_SMALLEST", value.size + 1)
    return by_cells, classes(judge.truncation(value, counting, values, TOLERANCE), value), part


def geometric(g, x, order=6):
    return sum((g * x) ** k for k in range(order + 1)), lambda g, x: np.where(g * x < 1, 1 / (1 - g * x), np.inf)


@pytest.mark.parametrize(
    ("g", "x"),
    [
        (np.linspace(0.5, 1.5, 300)[:, None], np.linspace(-0.9, 1.2, 280)),
        (np.linspace(0.5, 1.5, 300), np.linspace(-0.9, 1.2, 280)[:, None, None]),
        (np.linspace(0.5, 1.5, 300)[:, None], np.random.default_rng(0).uniform(0, 1.2, 280)),
        (0.9, np.linspace(-0.9, 1.2, 90_000)),
    ],
    ids=["grid", "transposed", "unsorted", "one axis"],
)
def test_cells_decide_as_points_do(monkeypatch, g, x):
    value, truth = geometric(g, x)
    by_cells, by_points, part = judged(monkeypatch, value, truth, [g, x])
    assert set(np.unique(by_points)) == {0, 1, 2}
    assert np.array_equal(by_cells, by_points)
    assert part < 0.5


def test_a_pole_between_the_measured_points_is_seen(monkeypatch):
    """A defect of a fraction, a few points wide; by its own nine points a cell of the grid would be right."""
    g, x = np.linspace(0.1, 0.4, 500)[:, None], np.linspace(0.1, 1, 500)
    value, truth = geometric(g, x, 30)
    value = value * (1 + 5e-5 / (x - 0.4321 + 0 * g))
    by_cells, by_points, _ = judged(monkeypatch, value, truth, [g, x])
    assert np.any(by_points)
    assert not np.any((by_cells == 0) & (by_points > 0))


def test_arguments_that_span_no_grid_are_measured_everywhere(monkeypatch):
    rng = np.random.default_rng(1)
    g, x = rng.uniform(0.5, 1.5, 20_000), rng.uniform(-0.9, 1.2, 20_000)
    value, truth = geometric(g, x)
    by_cells, by_points, part = judged(monkeypatch, value, truth, [g, x])
    assert np.array_equal(by_cells, by_points)
    assert part == 1


def test_a_law_on_a_grid_is_what_it_is_at_its_points():
    """Cancelling coefficients: at g = 1 the error changes its sign within the grid."""
    law = nf.amplification(nf.parse_map("r*x - x^3 + 20*x^5", state="x", parameter="r"), at={"x": 0, "r": 1}).series(4)
    assert isinstance(law, Formula)
    g, x = np.linspace(0.97, 1.03, 90)[:, None], np.linspace(-0.3, 0.3, 91)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nf.DomainWarning)
        found = law(g, x, 40)
        single = np.array([[law(g[i, 0], x[j], 40) for j in range(0, 91, 10)] for i in range(0, 90, 15)])
    assert np.array_equal(found[::15, ::10], single, equal_nan=True)
    assert 0.05 < np.mean(np.isnan(found)) < 0.95
