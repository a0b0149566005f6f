"""The site: Sphinx reads the repository's own pages, which stay as they are (``make docs``)."""

from __future__ import annotations

import inspect
from typing import Any

import align_client
import align_zoo

CONTENTS = {
    "Models": ["docs/models", "docs/align-tiny", "docs/align-emoji"],
    "Guides": [
        "docs/first-hour",
        "docs/library",
        "docs/zero-shot",
        "docs/explain",
        "docs/collections",
        "docs/page",
        "docs/fine-tuning",
        "docs/serving",
        "client/README",
        "docs/http",
        "docs/applications",
        "docs/operations",
        "SECURITY",
        "docs/scaling",
        "deploy/README",
        "docs/recipes",
        "docs/preprocessing",
    ],
    "Concepts": ["docs/concepts"],
    "Migration": ["docs/migration", "docs/migration-services", "docs/integrations"],
    "Reference": ["docs/python", "docs/commands"],
    "Measured": [
        "docs/parity",
        "docs/performance",
        "docs/serving-speed",
        "docs/comparison",
        "docs/platforms",
    ],
    "Inside": ["docs/architecture", "CONTRIBUTING", "docs/releasing", "CHANGELOG"],
}
"""The pages of each part, in the order of the site's navigation; README is the start."""

project = "align-zoo"
author = "the authors of align-zoo"
version = release = align_zoo.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
include_patterns = ["README.md", *(f"{page}.md" for pages in CONTENTS.values() for page in pages)]
exclude_patterns = [".*", "build", "dist"]

myst_heading_anchors = 6
myst_enable_extensions = ["html_image"]
myst_links_external_new_tab = False

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = "align-zoo"
html_extra_path = ["site"]
html_copy_source = False
html_show_search_summary = False  # a browser fetches nothing for a page that lies on the disk
html_show_sphinx = False
html_show_copyright = False


def _navigation() -> str:
    parts = []
    for part, pages in CONTENTS.items():
        lines = [
            "```{toctree}",
            ":hidden:",
            f":caption: {part}",
            "",
            *(f"/{page}" for page in pages),
        ]
        parts.append("\n".join([*lines, "```"]))
    return "\n\n" + "\n\n".join(parts)


def _descriptions() -> str:
    """Return a directive of autodoc for each public name of both packages."""
    lines = ["", "## In full", ""]
    for package in (align_zoo, align_client):
        lines += [f"### {package.__name__} in full", "", "```{eval-rst}"]
        for name in package.__all__:
            thing = getattr(package, name)
            if inspect.isclass(thing):
                lines += [f".. autoclass:: {package.__name__}.{name}", "   :members:", ""]
            elif inspect.isfunction(thing):
                lines += [f".. autofunction:: {package.__name__}.{name}", ""]
        lines += ["```", ""]
    return "\n".join(lines)


def _complete(app: Any, page: str, source: list[str]) -> None:
    """Add what a page needs on the site and not in the repository."""
    if page == root_doc:
        source[0] += _navigation()
    elif page == "docs/python":
        source[0] += _descriptions()


def setup(app: Any) -> None:
    """Register the hooks of this file."""
    app.connect("source-read", _complete)
