"""The site builds without a warning, and each of its links leads somewhere."""

from __future__ import annotations

import re
import runpy
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from site_pages import ROOT, SITE, build_site


class Page(HTMLParser):
    """The anchors of a page, its links, and what a browser loads with the page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors, self.links, self.loaded = {""}, set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors.add(found.get("id", ""))
        if tag == "a" and "href" in found:
            self.links.add(found["href"])
        self.loaded |= {found[key] for key in ("src", "href") if key in found and tag != "a"}


@pytest.fixture(scope="module")
def build():
    return build_site(whole=True)


@pytest.fixture(scope="module")
def pages(build):
    return {path: Page(path) for path in SITE.rglob("*.html")}


def test_site_builds_without_warning(build):
    assert (build.returncode, build.stderr) == (0, "")


def test_every_link_of_the_site_leads_somewhere(pages):
    assert len(pages) > 20
    for path, page in pages.items():
        for link in page.links | page.loaded:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert there.is_relative_to(SITE) and there.exists(), f"{path.name}: {link}"
            if parts.fragment and there.suffix == ".html":
                assert unquote(parts.fragment) in pages[there].anchors, f"{path.name}: {link}"


def test_site_loads_nothing_from_elsewhere(pages):
    loaded = set().union(*(page.loaded for page in pages.values()))
    assert [each for each in loaded if urlsplit(each).scheme not in ("", "data")] == []


def test_site_has_every_document():
    contents = runpy.run_path(str(ROOT / "docs" / "conf.py"))["CONTENTS"]
    listed = [page for part in contents.values() for page in part]
    documents = [*ROOT.glob("docs/*.md"), *ROOT.glob("client/*.md"), *ROOT.glob("deploy/*.md")]
    documents += ROOT.glob("*.md")
    names = {path.relative_to(ROOT).with_suffix("").as_posix() for path in documents}
    assert sorted(listed) == sorted(names - {"README"})


def test_documents_hold_no_directives():
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    assert [path.name for path in documents if re.search(r"```\{|^:::", path.read_text())] == []
