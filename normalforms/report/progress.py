"""Progress on stderr: one line rewritten on a terminal, a line per stage elsewhere; and the wall time of each stage."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO, TypeVar

__all__ = ["Meter", "Report"]

T = TypeVar("T")


class Report(Protocol):
    """What a stage calls with the share done, and with the seconds left where it knows better than proportion."""

    def __call__(self, share: float, left: float | None = None) -> None: ...


class Meter:
    """Shows how far a command's stages are, and keeps how long each of them took.

    Args:
        quiet: show nothing; times are kept all the same.
        check: called at every report; raises where the work has to stop, as after an interruption.
        stream: where to write, stderr unless given.

    Attributes:
        seconds: wall time of the finished stages by name; a stage that runs twice counts with the sum.

    >>> meter = Meter(quiet=True)
    >>> meter.run("halves", lambda report: [report(share) for share in (0.5, 1.0)])
    [None, None]
    >>> list(meter.seconds)
    ['halves']
    """

    def __init__(
        self, *, quiet: bool = False, check: Callable[[], Any] | None = None, stream: TextIO | None = None
    ) -> None:
        self.quiet = quiet
        self.check = check or (lambda: None)
        self.stream = stream or sys.stderr
        self.live = not quiet and self.stream.isatty()
        self.seconds: dict[str, float] = {}
        self.stage = ""

    def __call__(self, stage: str, share: float, left: float = float("nan")) -> None:
        """Show that a ``share`` (0 to 1) of ``stage`` is done, with ``left`` seconds to go where that is known."""
        self.check()
        if self.quiet:
            return
        rest = f", {left:.0f} s left" if left == left and left < 1e6 else ""
        if self.live:
            bar = "█" * round(24 * share)
            print(f"\r\x1b[K{stage:<30} {bar:<24} {share:4.0%}{rest}", end="", file=self.stream, flush=True)
        elif stage != self.stage:
            print(f"{stage} …", file=self.stream, flush=True)
        self.stage = stage

    def run(self, stage: str, work: Callable[[Report], T]) -> T:
        """``work(report)``, timed under the name of its stage.

        Args:
            stage: its name.
            work: called with a :class:`Report`.
        """
        began = time.perf_counter()

        def report(share: float, left: float | None = None) -> None:
            if left is None:
                left = (time.perf_counter() - began) * (1 / share - 1) if share > 0 else float("nan")
            self(stage, share, left)

        report(0.0)
        result = work(report)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began
        return result

    def close(self) -> None:
        """End the rewritten line."""
        if self.live:
            print(file=self.stream)
