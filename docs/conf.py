"""The documentation site: ``sphinx-build -W docs DIRECTORY``, with the dependency group ``docs`` installed."""

import re
from importlib import import_module

project = "normalforms"
author = "The normalforms authors"
copyright = author
version = release = import_module("normalforms").__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "normalforms"
html_static_path: list[str] = []

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_fence_as_directive = ["math"]  # GitHub's blocks of mathematics
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
default_role = "code"
# names of attributes that several classes have, in docstrings
suppress_warnings = ["ref.python"]


def _bars(app, what, name, obj, options, lines):
    """Bars in docstrings are absolute values: outside literals they are no substitutions of reStructuredText."""
    for k, line in enumerate(lines):
        parts = re.split(r"(``.*?``|`[^`]*`)", line)
        lines[k] = "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in parts)


def setup(app):
    """What Sphinx calls when it reads this file."""
    app.connect("autodoc-process-docstring", _bars)
