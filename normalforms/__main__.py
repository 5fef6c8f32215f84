"""``python -m normalforms``: the command line."""

import sys

from normalforms.cli import main

if __name__ == "__main__":
    sys.exit(main())
