"""Each page of docs/developing is done, in a copy of the project: its files written, its lines added, its code run."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "developing"
FILES = {"family": 2, "cell": 3, "form": 2, "study": 2}  # how many files of the project each takes, at most

_RUN = """
import sys
from normalforms.cli import main
sys.exit(main(sys.argv[1:]))
"""

_MODULE = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def blocks(page):
    """``(language, path or None, code)`` of each block; a path is its first line, ``# folder/file.py``."""
    for language, code in re.findall(r"^```(python|diff|sh)\n(.*?)^```$", page.read_text(), re.M | re.S):
        named = re.match(r"# ((?:normalforms|rnn)/\S+\.py)\n", code)
        yield language, named and named[1], code[named.end() :] if named else code


def changed(text, change):
    """``text`` after a change of whole lines; those that it repeats or marks ``-`` are there, once."""
    lines = change.splitlines()
    assert all(line[0] in " +-" for line in lines)
    before, after = ("\n".join(line[1:] for line in lines if line[0] in kinds) for kinds in (" -", " +"))
    place = rf"^{re.escape(before)}$"
    assert len(re.findall(place, text, re.M)) == 1, before
    return re.sub(place, lambda _: after, text, flags=re.M)


def copied(folder):
    """The two packages, and what an installer writes so that commands of ``rnn`` are found."""
    for package in ("normalforms", "rnn"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project.get("entry-points", {})
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in found.items()) for group, found in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))


def started(folder, code, *arguments):
    """A process that sees the copy alone, in the copy's folder."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_every_page_is_done_here():
    assert {page.stem for page in PAGES.glob("*.md")} == set(FILES)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_what_a_page_says_is_enough(name, tmp_path):
    copied(tmp_path)
    touched, ran = set(), 0
    for language, path, code in blocks(PAGES / f"{name}.md"):
        if path is not None:
            touched.add(path)
            target = tmp_path / path
            assert target.exists() == (language == "diff")
            target.write_text(changed(target.read_text(), code) if language == "diff" else code)
            continue
        ran += 1
        for program in [(code,)] if language == "python" else [(_RUN, *line.split()[1:]) for line in code.splitlines()]:
            done = started(tmp_path, *program)
            assert done.returncode == 0, f"{program}\n{done.stdout}\n{done.stderr}"
    assert ran
    assert len(touched) <= FILES[name]
    (tmp_path / "tests").mkdir()
    for kept in ("pyproject.toml", "tests/test_architecture.py"):
        shutil.copy(ROOT / kept, tmp_path / kept)
    written = " or ".join(Path(path).stem for path in touched if not path.endswith("__init__.py"))
    pytest_ = "pytest -q -x -p no:cacheprovider tests/test_architecture.py -k"
    for tool in (["ruff", "check"], ["ruff", "format", "--check"], [*pytest_.split(), f"{written} or circle or floor"]):
        module, *arguments = tool
        done = started(tmp_path, _MODULE, module, *arguments, *(sorted(touched) if module == "ruff" else ()))
        assert done.returncode == 0, f"{tool}\n{done.stdout}\n{done.stderr}"
