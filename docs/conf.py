"""Sphinx builds the documentation with this: `make docs`."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

from reference import write_all  # noqa: E402 - the path is set above

write_all(HERE / "generated")

project = "l1db-pipeline"
copyright = "the l1db-pipeline authors, GPL-3.0-or-later"  # noqa: A001 - Sphinx's name
version = release = version_of("l1db-pipeline")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["generated", "README.md"]
html_theme = "pydata_sphinx_theme"
html_title = "l1db-pipeline"
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_rtype = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
suppress_warnings = ["misc.highlighting_failure"]
