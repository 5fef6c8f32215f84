"""``python -m normalforms.testing``: write or compare golden files."""

import sys

from normalforms.testing.golden import main

sys.exit(main())
