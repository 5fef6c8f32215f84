"""The command line: ``normalforms law | reduce | reproduce | analyze``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from normalforms.cli import law as cli_law
from normalforms.report import Meter

__all__ = ["main"]

_FORMAT = 1
_STUDIES = {"fig3", "fig4"}
_FIGURES = ("fig1", "fig2", "fig3", "fig4")


class _RefusedError(Exception):
    """Bad input: its text is the one line that the user sees."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _RefusedError(f"{message} (see {self.prog} --help)")


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand; 0 ok, 2 bad input with one line on stderr, 1 failure, 130 interrupted."""
    try:
        arguments = _parser().parse_args(argv)
        with _interruptible() as arguments.check:
            return arguments.run(arguments)
    except (_RefusedError, ValueError) as error:
        return _say(error, 2)
    except (FloatingPointError, OSError) as error:
        return _say(error, 1)
    except KeyboardInterrupt:
        return _say("interrupted", 130)


@contextmanager
def _interruptible() -> Iterator[Callable[[], None]]:
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
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    cli_law.add_commands(commands)

    story = commands.add_parser("reproduce", help="train, find the bifurcations, predict the kernel, write a report")
    story.add_argument("--preset", choices=("paper", "quick"), default="paper")
    story.add_argument("--out", default="reproduction", help="output folder")
    story.add_argument("--seed", type=int, default=0)
    story.add_argument("--resume", action="store_true", help="continue, or redraw, what the output folder holds")
    story.add_argument("--only", help="figures, of " + ",".join(_FIGURES) + "; fig1,fig2 unless given")
    story.add_argument("--devices", type=int, metavar="N", help="train the seeds of fig3 together on N local devices")
    story.add_argument("--json", action="store_true", help="print the summary as JSON, and nothing else")
    story.set_defaults(run=_reproduce)

    analysis = commands.add_parser("analyze", help="fixed points and bifurcations of your own network's checkpoints")
    analysis.add_argument("paths", nargs="+", metavar="PATH", help=".safetensors or .npz, in the order of training")
    analysis.add_argument("--cell", help="vanilla, W@tanh(h)+b, gru or lstm; told from the weights unless given")
    analysis.add_argument("--horizon", type=int, default=25, help="T of the kernel, in steps")
    analysis.add_argument("--devices", type=int, metavar="N", help="share the kernel's batch among N local devices")
    analysis.add_argument("--out", default="analysis", help="output folder")
    analysis.add_argument("--json", action="store_true", help="print the summary as JSON, and nothing else")
    analysis.set_defaults(run=_analyze)
    return parser


def _reproduce(arguments: argparse.Namespace) -> int:
    only = tuple((arguments.only or "fig1,fig2").split(","))
    unknown = set(only) - set(_FIGURES)
    if unknown:
        raise _RefusedError(f"--only names {', '.join(sorted(unknown))}; known are {', '.join(_FIGURES)}")
    if arguments.devices is not None and "fig3" not in only:
        raise _RefusedError("--devices shares the seeds of fig3; add --only fig3, or leave --devices off")
    devices = _devices(arguments)
    out = Path(arguments.out)
    _claim(out, arguments)
    try:
        return _tell(out, only, arguments, devices)
    except KeyboardInterrupt:
        again = f"normalforms reproduce --preset {arguments.preset} --seed {arguments.seed} --out {out} --resume"
        again += f" --only {arguments.only}" if arguments.only else ""
        again += f" --devices {arguments.devices}" if devices else ""
        return _say(f"interrupted; continue with: {again}", 130)


def _claim(out: Path, arguments: argparse.Namespace) -> None:
    """Make the output folder ours, or check that it is; nothing of anybody else's is touched."""
    from normalforms import __version__

    settings = {"format": _FORMAT, "version": __version__, "preset": arguments.preset, "seed": arguments.seed}
    manifest = out / "reproduction.json"
    if out.exists() and not out.is_dir():
        raise _RefusedError(f"--out {out} is a file; choose a folder")
    if manifest.exists():
        try:
            present = json.loads(manifest.read_text())
            differs = [name for name in settings if present.get(name) != settings[name]]
        except (OSError, ValueError, AttributeError):
            raise _RefusedError(f"{manifest} cannot be read; remove {out} or choose another --out") from None
        if differs:
            name = differs[0]
            raise _RefusedError(
                f"{out} holds a reproduction with {name} {present.get(name)!r}, not {settings[name]!r}; "
                "choose another --out"
            )
        if not arguments.resume:
            raise _RefusedError(
                f"{out} already holds a reproduction; add --resume to continue it, or choose another --out"
            )
        return
    if out.exists() and any(out.iterdir()):
        raise _RefusedError(f"--out {out} holds files that are not a reproduction; choose an empty or new folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        manifest.write_text(json.dumps(settings))
    except OSError as error:
        raise _RefusedError(f"cannot write to --out {out}: {error.strerror}; choose another folder") from None


def _devices(arguments: argparse.Namespace) -> list[Any] | None:
    """The devices asked for, if any were."""
    if arguments.devices is None:
        return None
    from rnn.kernel import local_devices

    return local_devices(arguments.devices)


def _tell(out: Path, only: tuple[str, ...], arguments: argparse.Namespace, devices: list[Any] | None) -> int:
    began = time.perf_counter()
    from rnn.studies.laws import figure2

    figures: dict[str, Any] = {}

    def laws() -> None:
        if "fig2" in only:
            figures["figure2"] = figure2()

    show = Meter(arguments)
    run = {"seed": arguments.seed, "out": out / "run", "resume": arguments.resume}
    if "fig1" not in only:
        laws()
        facts = {}
        if set(only) & _STUDIES:
            from rnn.studies import studies

            made = studies(only, arguments.preset, **run, devices=devices, progress=show)
            figures.update({study.name: study.figure for study in made})
            facts = {study.key: study.facts for study in made}
            (out / "summary.json").write_text(json.dumps(facts, indent=1))
        _draw(out, figures)
        if arguments.json and facts:
            print(json.dumps(facts))
        print(f"wrote {out / 'figures'}", file=sys.stderr)
        return 0
    from rnn.studies import studies
    from rnn.studies.experiment import document, figure1, figure_bias, headline, reproduce, summary
    from rnn.training import write_atomic

    story = reproduce(arguments.preset, **run, progress=show, meanwhile=laws)
    made = studies(only, arguments.preset, **run, devices=devices, progress=show)
    drawing = time.perf_counter()
    figures["figure1"] = figure1(story)
    if story.bias is not None:
        figures["figure_bias"] = figure_bias(story)
    figures.update({study.name: study.figure for study in made})
    images = _draw(out, figures)
    done = time.perf_counter()
    seconds = story.seconds | {"figures": done - drawing, "total": done - began}
    facts = summary(story, seconds) | {study.key: study.facts for study in made}
    page = document(story, seconds, images, [study.section(images[study.name]) for study in made])
    write_atomic(out / "summary.json", lambda f: f.write(json.dumps(facts, indent=1).encode()))
    write_atomic(out / "report.html", lambda f: f.write(page.encode()))
    show.close()
    lines = [json.dumps(facts)] if arguments.json else [*headline(story), f"report: {out / 'report.html'}"]
    print("\n".join(lines))
    return 0


def _analyze(arguments: argparse.Namespace) -> int:
    out = Path(arguments.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise _RefusedError(f"--out {out} is there already; choose an empty or new folder")
    from rnn.models import load, state_size
    from rnn.studies.analysis import analyze, document, draw, summary
    from rnn.training import write_atomic

    devices = _devices(arguments)
    models = [load(path, arguments.cell) for path in arguments.paths]
    show = Meter(arguments)
    size = state_size(models[0])
    options = {"size": size, "horizon": arguments.horizon, "devices": devices}
    found = analyze(models, arguments.paths, **options, progress=show)
    facts, figure = summary(found), draw(found)
    out.mkdir(parents=True, exist_ok=True)
    images = _draw(out, {"analysis": figure})
    write_atomic(out / "summary.json", lambda f: f.write(json.dumps(facts, indent=1).encode()))
    write_atomic(out / "report.html", lambda f: f.write(document(found, images["analysis"]).encode()))
    show.close()
    lines = [f"{m['name']}: {m['fixed_points']} fixed points, {m['stable']} stable" for m in facts["models"]]
    lines += [f"{e['kind'].replace('_', ' ')} at step {e['step']:.3f}" for e in facts["bifurcations"] or []]
    print(json.dumps(facts) if arguments.json else "\n".join([*lines, f"report: {out / 'report.html'}"]))
    return 0


def _draw(out: Path, figures: dict[str, Any]) -> dict[str, bytes]:
    """Write every figure as PNG and SVG; returns the PNGs."""
    from normalforms.report import page as report

    folder = out / "figures"
    folder.mkdir(exist_ok=True)
    images = {name: report.png(figure) for name, figure in figures.items()}
    for name, figure in figures.items():
        (folder / f"{name}.png").write_bytes(images[name])
        figure.savefig(folder / f"{name}.svg")
    return images
