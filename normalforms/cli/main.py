"""The command ``normalforms``: its own subcommands, and those that installed packages offer as entry points."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

from normalforms import __version__
from normalforms.cli.plugins import Plugin, plugins

__all__ = ["GROUP", "interruptible", "main"]

GROUP = "normalforms.commands"
"""Entry points of this group are functions that add one subcommand to argparse's subparsers. Such a subcommand sets
``run``, a function of the parsed arguments that returns the exit status; a ``ValueError`` of it is bad input. Where its
options take time to make, it sets ``fill`` on its parser instead: a function of the parser that adds them when the
subcommand is the one asked for."""

_OWN = ("law", "reduce", "data", "learn")
# argparse takes a value that begins with a minus for an option, but "-r*x" is a map and "-1/2" a number
_SIGNED = ("--map", "--at", "--evaluate", "--omega", "--d", "--teacher", "--initial", "--start")


class _RefusedError(ValueError):
    """Bad input on the command line itself."""


class _Parser(argparse.ArgumentParser):
    fill: Callable[[argparse.ArgumentParser], None] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.fill is not None:
            fill, self.fill = self.fill, None
            fill(self)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        raise _RefusedError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        argv: the command line, without the program's name; that of the process unless given.

    Returns:
        0 ok, 1 failure, 2 bad input with one line on stderr, 3 a search that missed what there is, 130 interrupted.
        What none of these is, a fault of the program, ends in its traceback.
    """
    try:
        arguments = _parser().parse_args(_joined(sys.argv[1:] if argv is None else argv))
        with interruptible() as arguments.check:
            return arguments.run(arguments)
    except ValueError as error:
        return _say(error, 2)
    except (FloatingPointError, OSError) as error:
        return _say(error, 1)
    except KeyboardInterrupt as error:
        return _say(f"interrupted; {error}" if error.args else "interrupted", 130)


def _joined(argv: Sequence[str]) -> list[str]:
    """``--map -x`` as ``--map=-x``."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in _SIGNED and word.startswith("-") and not word.startswith("--"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Yields what raises an interruption (Ctrl-C) once more, if there was one.

    Python drops an exception that is raised inside a callback of its garbage collector, and JAX has such a callback.
    """
    asked = []

    def stop(*_: Any) -> None:
        asked.append(True)
        raise KeyboardInterrupt

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    ours = before is signal.default_int_handler and threading.current_thread() is threading.main_thread()
    if ours:  # else interruptions are ignored, or somebody else's
        signal.signal(signal.SIGINT, stop)
    try:
        yield check
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)


def _say(error: Any, status: int) -> int:
    print(f"normalforms: {' '.join(str(error).split())}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="normalforms", description="Amplification laws of bifurcations, and networks that meet them.")
    parser.add_argument("--version", action="version", version=f"normalforms {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    for name in _OWN:
        import_module(f"normalforms.cli.{name}").add_command(commands)
    for entry in plugins(GROUP):
        try:
            entry.load()(commands)
        except Exception as error:  # somebody else's package: whatever fails in it, the other commands work
            _broken(commands, entry, error)
    return parser


def _broken(commands: Any, entry: Plugin, error: Exception) -> None:
    """Name a plug-in that cannot be loaded, and its command once more where it is asked for."""
    reason = f"command {entry.name!r} of {entry.package} cannot be loaded: {type(error).__name__}: {error}"
    _say(reason, 1)
    if entry.name in commands.choices:
        return
    help_text = "(cannot be loaded)"
    parser = commands.add_parser(entry.name, help=help_text, add_help=False, prefix_chars="\0")
    parser.add_argument("rest", nargs="*")
    parser.set_defaults(run=lambda _: 1)
