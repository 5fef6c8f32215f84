"""Golden tests of formulas, compared as mathematics: for this package's families and for those of its users.

A golden file keeps the canonical form of each formula under a key. A test compares,

    from normalforms.testing import assert_matches
    def test_my_family():
        assert_matches(nf.amplification(my_map).series(4), "golden.json", "mine/series/4")

and one command writes the file, or shows what has changed since and leaves it alone:

    python -m normalforms.testing golden.json --from my_tests:formulas [--update]

where ``formulas()`` returns the mapping from keys to formulas.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from normalforms.testing.canonical import Canonical, canonical, read_canonical

__all__ = ["GoldenMismatchError", "assert_matches", "differences", "families", "regenerate"]

_FORMAT = 1
_UNKNOWN = "is not in the golden file"


class GoldenMismatchError(AssertionError):
    """A formula is not the one in the golden file; the message lists the coefficients that differ."""


def assert_matches(formula: Any, path: str | Path, key: str) -> None:
    """Pass if ``formula`` is, as mathematics, the one that the golden file keeps under ``key``.

    Args:
        formula: a `Formula`, or anything else with an ``expr``, or a SymPy expression.
        path: the golden file.
        key: name of the formula in the file.

    Raises:
        GoldenMismatchError: it is another formula, or there is none under this key.
        ValueError: the file cannot be read.

    >>> import tempfile, sympy as sp
    >>> g = sp.Symbol("g", real=True)
    >>> path = Path(tempfile.mkdtemp()) / "golden.json"
    >>> _ = regenerate(path, {"square": (1 + g) ** 2}, update=True)
    >>> assert_matches(1 + 2 * g + g**2, path, "square")
    >>> assert_matches(1 + 3 * g + g**2, path, "square")
    Traceback (most recent call last):
    normalforms.testing.golden.GoldenMismatchError: square differs from its golden form (golden → now):
      coefficient of g: 2  →  3
    """
    lines = differences(formula, path, key)
    if lines:
        raise GoldenMismatchError(f"{key} differs from its golden form (golden → now):\n  " + "\n  ".join(lines))


def differences(formula: Any, path: str | Path, key: str) -> list[str]:
    """One line per coefficient that differs from the golden form under ``key``; empty where they are equal."""
    golden = _read(Path(path))
    if key not in golden:
        return [f"{key} {_UNKNOWN} {path}; write it with python -m normalforms.testing … --update"]
    return golden[key].differences(_canonical(formula))


def regenerate(path: str | Path, formulas: Mapping[str, Any], *, update: bool = False) -> list[str]:
    """The differences between a golden file and formulas; with ``update`` the file is written anew.

    Args:
        path: the golden file; with ``update`` it need not exist.
        formulas: the formulas by key, all that the file shall hold.
        update: write.

    Returns:
        One line per key that is new or gone and per coefficient that has changed.
    """
    path = Path(path)
    golden = _read(path) if path.exists() or not update else {}
    now = {key: _canonical(formula) for key, formula in formulas.items()}
    lines = [f"- {key} is gone" for key in sorted(golden.keys() - now.keys())]
    for key, form in sorted(now.items()):
        if key not in golden:
            lines.append(f"+ {key} is new")
        else:
            lines += [f"! {key}: {line}" for line in golden[key].differences(form)]
    if update:
        kept = {key: form.as_json() for key, form in sorted(now.items())}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"format": _FORMAT, "formulas": kept}, indent=1, ensure_ascii=False) + "\n")
    return lines


def families() -> dict[str, Any]:
    """The formulas of the named families that this package keeps golden, by ``family/form``.

    Exact and series laws, the orbit of the uniform law (the law is ``Σ_t ‖∂_g h_t‖²`` of it), the scaling function
    at the bifurcation, and the regimes with their errors. A form that a family lacks is left out.
    """
    # users' golden files need neither
    import sympy as sp

    import normalforms as nf
    from normalforms.families import families as known

    twisted = {"d": sp.Rational(-1, 2) + 3 * sp.I / 10}
    maps = [f.map(**(twisted if f.options else {})) for f in known().values()]
    found: dict[str, Any] = {}
    for m in maps:
        law = nf.amplification(m)
        made = {
            "exact/8,6": lambda law=law: law.exact(8, 6),
            "series/4": lambda law=law: law.series(4),
            "uniform/0/orbit": lambda law=law: law.uniform(0).orbit,
            "scaling/at_zero": lambda law=law: law.scaling().at_zero,
        }
        for form, make in made.items():
            try:
                found[f"{m.name}/{form}"] = make()
            except (ValueError, KeyError, AttributeError):
                continue
        for name, regime in law.regimes().items():
            found[f"{m.name}/{name}"] = regime
            found[f"{m.name}/{name}/error"] = regime.error
    return found


def _canonical(formula: Any) -> Canonical:
    return canonical(getattr(formula, "expr", formula))


def _read(path: Path) -> dict[str, Canonical]:
    try:
        kept = json.loads(path.read_text())
        if kept["format"] != _FORMAT:
            raise ValueError(f"format {kept['format']}, not {_FORMAT}")
        return {key: read_canonical(terms) for key, terms in kept["formulas"].items()}
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"golden file {path} cannot be read ({error}); write it with --update") from None


def main(argv: list[str] | None = None) -> int:
    """``python -m normalforms.testing``: 0 where all formulas match or were written, 1 where they differ."""
    parser = argparse.ArgumentParser(prog="python -m normalforms.testing", description=main.__doc__)
    parser.add_argument("file", nargs="?", default="tests/golden/families.json", help="the golden file")
    parser.add_argument("--from", dest="source", default="normalforms.testing:families", help="MODULE:FUNCTION")
    parser.add_argument("--update", action="store_true", help="write the file")
    arguments = parser.parse_args(argv)
    module, _, function = arguments.source.partition(":")
    sys.path.insert(0, "")
    try:
        formulas = getattr(import_module(module), function)()
        lines = regenerate(arguments.file, formulas, update=arguments.update)
    except (ImportError, AttributeError, ValueError) as error:
        print(f"normalforms.testing: {error}", file=sys.stderr)
        return 2
    finally:
        sys.path.remove("")
    print("\n".join([*lines, f"{len(formulas)} formulas, {len(lines)} differences"]))
    return 1 if lines and not arguments.update else 0


if __name__ == "__main__":
    sys.exit(main())
