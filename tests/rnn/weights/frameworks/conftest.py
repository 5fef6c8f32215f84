"""Tests against the real frameworks: an optional group, collected where the framework is installed.

``pip install torch flax keras``, then ``python -m pytest tests/rnn/weights/frameworks``.
"""

from importlib.util import find_spec

collect_ignore = [f"test_{name}.py" for name in ("torch", "flax", "keras") if find_spec(name) is None]
