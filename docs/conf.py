"""The documentation site: ``sphinx-build -W docs DIRECTORY``, with the dependency group ``docs`` installed."""

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
