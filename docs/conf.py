"""Sphinx configuration; `make docs` builds into docs/_build."""

project = "mgcore"
author = "The mgcore developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]
myst_enable_extensions = ["dollarmath"]
html_theme = "furo"
exclude_patterns = ["_build"]
numpydoc_show_class_members = False
autodoc_typehints = "none"  # the docstrings say shapes and units, which types cannot
suppress_warnings = ["myst.xref_missing"]  # links to files of the repository
