"""The commands ``reproduce``, ``analyze`` and ``forecast``, which ``normalforms`` finds as entry points.

Nothing heavy is imported before one of them runs.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normalforms.report import Meter
    from rnn.studies import Made

__all__ = ["analyze", "forecast", "reproduce"]

_ANALYZE = ("paths", "cell", "activation", "leak", "layers", "input", "inputs", "states", "horizon", "slow")
_PATIENCE = 4.0  # seconds without a word
_ANALYZE_HELP = """examples:
  normalforms analyze model.safetensors --activation relu
  normalforms analyze checkpoints/                     (steps are read from the names)
  normalforms analyze 'run/step_*.npz' --input 1,0,0
  normalforms analyze model.npz --inputs sweep.npy     (one network along held inputs)
"""


def reproduce(commands: Any) -> None:
    """Add ``normalforms reproduce`` to the subcommands of a parser."""
    parser = commands.add_parser("reproduce", help="train, find the bifurcations, predict the kernel, write a report")
    parser.fill = _reproduce_options


def _reproduce_options(parser: argparse.ArgumentParser) -> None:
    from rnn.studies import PRESETS, chosen, find

    names = ",".join(entry.name for entry in find("reproduce"))
    default = ",".join(entry.name for entry in chosen("reproduce"))
    parser.add_argument("--preset", choices=PRESETS, default=PRESETS[0])
    parser.add_argument("--out", default="reproduction", help="output folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="continue, or redraw, what the output folder holds")
    parser.add_argument("--only", help=f"studies, of {names}; {default} unless given")
    parser.add_argument("--devices", type=int, metavar="N", help="share the work of a study among N local devices")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON, and nothing else")
    parser.set_defaults(run=_reproduce)


def analyze(commands: Any) -> None:
    """Add ``normalforms analyze`` to the subcommands of a parser."""
    parser = commands.add_parser(
        "analyze",
        help="fixed points and bifurcations of your own network's checkpoints",
        epilog=_ANALYZE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files of weights, folders, patterns: natural order")
    parser.add_argument("--cell", help="vanilla, W@tanh(h)+b, W@phi(h)+b, gru, lstm or mgu; told from the weights")
    parser.add_argument("--activation", help="of an RNN: tanh, relu, sigmoid, softplus or identity")
    parser.add_argument("--leak", type=float, help="α of h' = (1 − α) h + α …, where the file does not say")
    parser.add_argument("--layers", help="which of several layers, by number or name, with commas; all of a module")
    parser.add_argument("--input", metavar="X", help="constant input, numbers with commas; zero unless given")
    parser.add_argument("--inputs", metavar="FILE", help="constant inputs to go through, .npy of shape (count, inputs)")
    parser.add_argument("--states", metavar="FILE", help="states to search from, .npy of shape (count, state)")
    parser.add_argument("--horizon", type=int, default=25, help="T of the kernel, in steps")
    parser.add_argument("--slow", action="store_true", help="look for slow points and ghosts too")
    parser.add_argument("--devices", type=int, metavar="N", help="share the kernel's batch among N local devices")
    parser.add_argument("--out", default="analysis", help="output folder")
    parser.add_argument("--resume", action="store_true", help="continue, or redraw, what the output folder holds")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON, and nothing else")
    parser.set_defaults(run=_analyze)


def forecast(commands: Any) -> None:
    """Add ``normalforms forecast`` to the subcommands of a parser."""
    parser = commands.add_parser("forecast", help="when a training run will cross its next bifurcation")
    parser.add_argument("folder", metavar="RUN", help="folder of a reproduction, or of one of its runs")
    parser.add_argument("--at", type=int, metavar="STEP", help="training step to forecast from, the last unless given")
    parser.add_argument("--method", choices=("flow", "law", "twin"), default="flow")
    parser.add_argument("--size", type=int, help="neurons of the twin")
    parser.add_argument("--rate", type=float, help="learning rate of plain descent, 5e-3 unless given")
    parser.add_argument("--ahead", type=int, default=5000, help="steps to look ahead at most")
    parser.add_argument("--after", type=int, default=0, help="steps to go on past the crossing")
    parser.add_argument("--seed", type=int, help="of the task, where the folder does not say it")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_forecast)


def _forecast(arguments: argparse.Namespace) -> int:
    from rnn.forecasting import run_in, told  # here, because it starts JAX

    if arguments.rate is not None and not arguments.rate > 0:
        raise ValueError(f"--rate must be positive, got {arguments.rate}")
    run = run_in(arguments.folder, arguments.seed)
    options = {"at": arguments.at, "method": arguments.method, "size": arguments.size}
    facts, sentence = told(run, arguments.rate, ahead=arguments.ahead, after=arguments.after, **options)
    print(json.dumps(facts, allow_nan=False) if arguments.json else sentence)
    return 0


def _reproduce(arguments: argparse.Namespace) -> int:
    from rnn.studies import Settings, chosen, find

    only = None if arguments.only is None else arguments.only.split(",")
    try:
        entries = chosen("reproduce", only)
    except ValueError as error:
        raise ValueError(f"--{error}") from None
    if arguments.devices is not None and not any(entry.study.devices for entry in entries):
        able = ", ".join(entry.name for entry in find("reproduce") if entry.study.devices)
        raise ValueError(f"--devices shares the work of {able}; add it to --only, or leave --devices off")
    again = ["normalforms", "reproduce", "--preset", arguments.preset, "--seed", str(arguments.seed)]
    again += ["--out", arguments.out, "--resume"]
    again += ["--only", arguments.only] if arguments.only else []
    again += ["--devices", str(arguments.devices)] if arguments.devices else []
    settings = Settings(
        preset=arguments.preset,
        seed=arguments.seed,
        out=Path(arguments.out) / "run",
        resume=arguments.resume,
        devices=_devices(arguments),
        meter=_meter(arguments),
    )
    return _tell(_made("reproduce", entries, settings, arguments, "reproduction", again), arguments)


def _analyze(arguments: argparse.Namespace) -> int:
    meter = _meter(arguments)
    from rnn.studies import Settings, chosen

    settings = Settings(
        out=Path(arguments.out) / "run",
        resume=arguments.resume,
        devices=_devices(arguments),
        meter=meter,
        options={name: getattr(arguments, name) for name in _ANALYZE},
    )
    again = ["normalforms", "analyze", *arguments.paths, "--out", arguments.out, "--resume"]
    again += ["--slow"] if arguments.slow else []
    for name in _ANALYZE[1:-1]:
        value = getattr(arguments, name)
        again += [] if value is None else [f"--{name}", str(value)]
    # JAX takes seconds to load; what is refused before that is one line
    first = threading.Timer(0 if meter.live else _PATIENCE, lambda: meter.stage or meter("starting", 0.0))
    first.daemon = True
    first.start()
    try:
        made = _made("analyze", chosen("analyze"), settings, arguments, "analysis", again)
    except BaseException:
        meter.close()  # what is said of it begins a line of its own
        raise
    finally:
        first.cancel()
    _tell(made, arguments)
    from rnn.studies.analysis import failed  # after the studies, which bring JAX with them

    missed = failed(made.facts["models"])
    if missed:
        print(f"normalforms: the search failed: {'; '.join(missed)}", file=sys.stderr)
    return 3 if missed else 0


def _made(
    command: str, entries: Any, settings: Any, arguments: argparse.Namespace, noun: str, again: list[str]
) -> Made:
    """The studies, made; an interruption and a full disk say how to go on.

    Raises:
        KeyboardInterrupt: with the command that continues.
        OSError: with the reason and the remedy.
    """
    from rnn.studies import make

    try:
        return make(command, entries, settings, Path(arguments.out), noun)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"continue with: {shlex.join(again)}") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(
            f"cannot write to --out {arguments.out}: {reason}; free some space or give another --out; what is finished "
            f"is kept, continue with: {shlex.join(again)}"
        ) from None


def _tell(made: Made, arguments: argparse.Namespace) -> int:
    text = json.dumps(made.facts) if arguments.json else "\n".join([*made.headline, f"report: {made.report}"])
    print(text.encode(errors="backslashreplace").decode())  # names of files need not be text
    return 0


def _meter(arguments: argparse.Namespace) -> Meter:
    from normalforms.report import Meter

    return Meter(quiet=arguments.json, check=arguments.check)


def _devices(arguments: argparse.Namespace) -> list[Any] | None:
    """The devices asked for, if any were."""
    if arguments.devices is None:
        return None
    from rnn.kernel import local_devices  # here, because it starts JAX

    return local_devices(arguments.devices)
