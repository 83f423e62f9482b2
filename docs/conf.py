"""Sphinx configuration; `make docs` builds into docs/_build."""

import importlib
import pkgutil
import sys
import types
from pathlib import Path

import mathjax  # the package django-static-mathjax: MathJax's files, nothing of Django
from sphinx import addnodes

import mgcore
import mgnet

sys.path.insert(0, str(Path(__file__).parent))  # where frames.py lies

project = "mgcore"
author = "The mgcore developers"
copyright = author
version = release = mgcore.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "frames",
]
exclude_patterns = ["_build"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(numba|torch)\..*"),  # their pages are elsewhere
    ("py:.*", r"mgcore\.kernels\..*"),  # has no pages: it is to be read as code
]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"mgcore {release}"
html_theme_options = {"navigation_with_keys": True}
# No page needs the network: MathJax comes along as one file, fonts and all.
html_static_path = ["static", str(Path(mathjax.__path__[0], "static/mathjax/es5/tex-svg-full.js"))]
mathjax_path = "tex-svg-full.js"

autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "ignore-module-all": True,  # whose order is the alphabet's, not that of reading
}
autodoc_typehints = "none"  # the docstrings say shapes and units, which types cannot
add_module_names = False
autosummary_generate = False  # the pages of the modules are made below
numpydoc_show_class_members = False

#: The names that `mgcore.solve` and its like stand for.
FRONT_DOORS = {
    f"{package.__name__}.{name}": f"{thing.__module__}.{thing.__qualname__}"
    for package in (mgcore, mgnet)
    for name in package.__all__
    if hasattr(thing := getattr(package, name), "__qualname__")
}


def write_module_pages(app):
    """A page for each module that is not private, and for each package a list of them."""
    folder = Path(app.srcdir, "reference/modules")
    folder.mkdir(exist_ok=True)
    for package in (mgcore, mgnet):
        names = [
            f"{package.__name__}.{module.name}"
            for module in pkgutil.iter_modules(package.__path__)
            if module.name not in ("__main__", "numba_private", "kernels")
        ]
        rows = []
        for name in names:
            module = importlib.import_module(name)
            summary = module.__doc__.split("\n\n")[0].replace("\n", " ")
            rows.append(f"* - [{name}]({name}.rst)\n  - {summary}")
            public = getattr(module, "__all__", ())
            own = [key for key, thing in vars(module).items() if _defined_in(thing, name)]
            inner = ", ".join(key for key in own if key not in public)
            page = f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n"
            _write(folder / f"{name}.rst", page + f"   :exclude-members: {inner}\n" * bool(inner))
        for path in folder.glob(f"{package.__name__}.*.rst"):
            if path.stem not in names:
                path.unlink()  # of a module that is gone
        lines = [f"# {package.__name__}, module by module", "", "```{list-table}", *rows, "```"]
        lines += ["", "```{toctree}", ":hidden:", "", *names, "```", ""]
        _write(folder / f"{package.__name__}.md", "\n".join(lines))


def _defined_in(thing, module):
    return getattr(thing, "__module__", None) == module


def _write(path, text):
    """Leave a page alone that is there already, so that it is not read again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def to_module(app, env, node, contnode):
    """Find what is referred to by its front door in the page of its module."""
    package, _, name = node.get("reftarget", "").partition(".")
    door, *rest = name.split(".")
    module = FRONT_DOORS.get(f"{package}.{door}")
    if module is None or node.get("refdomain") != "py":
        return None
    name = ".".join([module, *rest])
    target = node.copy()
    target["reftarget"] = name
    domain, place = env.get_domain("py"), node["refdoc"]
    return domain.resolve_xref(env, place, app.builder, "obj", name, target, contnode)


def skip(app, what, name, thing, skipped, options):
    """Leave out names for types, and fields of a NamedTuple: the class's docstring has them."""
    alias = isinstance(thing, types.GenericAlias)
    return alias or (thing.__doc__ or "").startswith("Alias for field number") or None


def hide_values(app, doctree):
    """Leave out values of constants that are no short text."""
    for note in list(doctree.findall(addnodes.desc_annotation)):
        text = note.astext().strip()
        if text.startswith("=") and (len(text) > 30 or "<" in text):
            note.parent.remove(note)


def setup(app):
    """Connect what is above."""
    app.connect("builder-inited", write_module_pages)
    app.connect("missing-reference", to_module)
    app.connect("autodoc-skip-member", skip)
    app.connect("doctree-read", hide_values)
