"""Progress on stderr: one line rewritten on a terminal, a line per stage elsewhere."""

from __future__ import annotations

import argparse
import sys

__all__ = ["Meter"]


class Meter:
    """Progress on stderr: one line rewritten on a terminal, a line per stage elsewhere, nothing beside ``--json``."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.check = arguments.check
        self.quiet = arguments.json
        self.live = sys.stderr.isatty() and not self.quiet
        self.stage = ""

    def __call__(self, stage: str, share: float, left: float) -> None:
        self.check()
        if self.quiet:
            return
        rest = f", {left:.0f} s left" if left == left and left < 1e6 else ""
        if self.live:
            bar = "█" * round(24 * share)
            print(f"\r\x1b[K{stage:<22} {bar:<24} {share:4.0%}{rest}", end="", file=sys.stderr, flush=True)
        elif stage != self.stage:
            print(f"{stage} …", file=sys.stderr, flush=True)
        self.stage = stage

    def close(self) -> None:
        """End the rewritten line."""
        if self.live:
            print(file=sys.stderr)
