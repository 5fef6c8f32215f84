"""The command line."""

from normalforms.cli.main import main

__all__ = ["main"]
