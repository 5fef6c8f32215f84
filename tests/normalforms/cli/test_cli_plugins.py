"""Commands that other packages bring: found as entry points, named where they fail, cheap until they run."""

import os
import subprocess
import sys

import pytest

import normalforms
from normalforms.cli import main

PACKAGE = "greetings"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package on the search path that offers the commands ``greet``, ``broken`` and ``missing``."""
    (tmp_path / f"{PACKAGE}.py").write_text(
        "def greet(commands):\n"
        "    parser = commands.add_parser('greet', help='say hello')\n"
        "    parser.add_argument('name')\n"
        "    parser.set_defaults(run=run)\n"
        "def run(arguments):\n"
        "    if arguments.name == 'nobody':\n"
        "        raise ValueError('name nobody')\n"
        "    if arguments.name == 'fault':\n"
        "        return 1 + 'one'\n"
        "    print('hello', arguments.name)\n"
        "    return 0\n"
        "def broken(commands):\n"
        "    raise RuntimeError('out of order')\n"
    )
    info = tmp_path / f"{PACKAGE}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1\n")
    lines = [f"greet = {PACKAGE}:greet", f"broken = {PACKAGE}:broken", "missing = greetings_of_nobody:add"]
    (info / "entry_points.txt").write_text("\n".join(["[normalforms.commands]", *lines, ""]))
    monkeypatch.syspath_prepend(tmp_path)


def test_a_command_of_another_package_runs(installed, capsys):
    assert main(["greet", "world"]) == 0
    assert capsys.readouterr().out == "hello world\n"


def test_commands_that_cannot_be_loaded_are_named_and_the_others_work(installed, capsys):
    assert main(["law", "stability_flip", "--form", "exact", "--horizon", "1"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "h0**2\n"
    lines = captured.err.strip().splitlines()
    assert [line for line in lines if "'broken' of greetings" in line and "out of order" in line]
    assert [line for line in lines if "'missing' of greetings" in line and "greetings_of_nobody" in line]
    assert len(lines) == 2
    assert main(["broken", "--some", "option"]) == 1


def test_bad_input_is_a_refusal_and_a_fault_of_the_program_is_not(installed, capsys):
    assert main(["greet", "nobody"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "normalforms: name nobody"
    with pytest.raises(TypeError):
        main(["greet", "fault"])


def test_a_fault_in_a_law_is_not_called_bad_input(monkeypatch):
    def faulty(*_, **__):
        raise KeyError("a slip of ours")

    monkeypatch.setattr(normalforms, "amplification", faulty)
    with pytest.raises(KeyError):
        main(["law", "pitchfork"])


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"normalforms {normalforms.__version__}\n"


def test_a_formula_may_begin_with_a_minus(capsys):
    # "-g*h+h^3" would be read as options -g, -*, …
    assert main(["reduce", "--map", "-g*h+h^3", "--state", "h", "--parameter", "g", "--at", "h=0,g=1"]) == 0
    assert "period_doubling" in capsys.readouterr().out


def test_help_names_every_command_and_loads_nothing_heavy():
    code = (
        "import sys\nfrom normalforms.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(any(m in sys.modules for m in ('sympy', 'numpy', 'flint', 'jax', 'matplotlib')))"
    )
    before = os.times().children_user
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(
        f"\n    {name} " in done.stdout.replace("\n              ", " ")
        for name in ("law", "reduce", "analyze", "reproduce")
    )
    assert os.times().children_user - before < 1


def test_the_package_is_the_command_too():
    done = subprocess.run(
        [sys.executable, "-m", "normalforms", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("normalforms ")
