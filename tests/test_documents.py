"""The documents are true of the repository: links, anchors, files, quotes and rules."""

from __future__ import annotations

import math
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
PATTERNS = ("*.md", "docs/*.md", "client/*.md", "deploy/*.md")
DOCUMENTS = sorted(path for pattern in PATTERNS for path in ROOT.glob(pattern))
_LINK = re.compile(r"""\]\(([^()\s]+)\)|(?:src|href)="([^"]+)\"""")
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(
    r"(?<![\w/.-])((?:align_zoo|client/align_client|benchmarks|deploy|docs|model_repository|tests)"
    r"/[\w/.*-]+)"
)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    return _FENCED.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", prose(path), re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        copies = sum(1 for each in found if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", each))
        found.add(f"{anchor}-{copies}" if copies else anchor)
    return found


def links(path: Path) -> list[str]:
    found = ["".join(groups) for groups in _LINK.findall(prose(path))]
    return [link for link in found if not re.match(r"[a-z]+:", link)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_link_leads_somewhere(path):
    for link in links(path):
        target, _, anchor = unquote(link).partition("#")
        there = (path.parent / target).resolve() if target else path
        assert there.is_relative_to(ROOT), f"{link} leaves the repository"
        assert there.exists(), f"{link} is not there"
        assert not anchor or anchor in anchors(there), f"{link} has no such heading"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_file_named_exists(path):
    for named in _NAMED.findall(prose(path)):
        pattern = named.rstrip(".")
        assert any(ROOT.glob(pattern)), f"{pattern} is not there"


def test_the_links_are_found():
    assert {"docs/architecture.md", "docs/performance.md#without-avx-512"} <= set(
        links(ROOT / "README.md")
    )
    assert "tritons-queue" in anchors(ROOT / "docs" / "performance.md")


@pytest.mark.parametrize("page", sorted(path.name for path in ROOT.glob("docs/*.md")))
def test_the_readme_lists_every_document(page):
    assert f"docs/{page}" in links(ROOT / "README.md")


def test_code_and_messages_name_documents_that_exist():
    sources = [*ROOT.glob("align_zoo/**/*.py"), *ROOT.glob("client/align_client/*.py")]
    sources += [*ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("tests/**/*.py")]
    sources += [
        *(path for path in ROOT.glob("deploy/**/*") if path.is_file()),
        *ROOT.glob("model_repository/*/config.pbtxt"),
    ]
    named = {
        page
        for source in sources
        for page in re.findall(r"\b(?:docs|deploy|client)/[\w-]+\.md\b", source.read_text("utf-8"))
    }
    assert named
    assert {page for page in named if not (ROOT / page).is_file()} == set()


def test_contributing_quotes_code_that_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    quoted = re.findall(r"From `([\w/.]+)`:\s+```python\n(.*?)```", text, re.DOTALL)
    assert quoted
    for path, code in quoted:
        there = (ROOT / path).read_text(encoding="utf-8")
        assert all(line.strip() in there for line in code.splitlines()), path


def test_names_of_tests_have_at_most_eight_words():
    assert "in at most eight words" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    sources = [path.read_text("utf-8") for path in ROOT.glob("tests/**/*.py")]
    names = [
        name for text in sources for name in re.findall(r"^ *(?:async )?def test_(\w+)", text, re.M)
    ]
    assert len(names) > 1000
    assert [name for name in names if name.count("_") > 7] == []


def test_architecture_quotes_code_that_exists():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^ +```python\n(.*?)```", text, re.MULTILINE | re.DOTALL)
    assert len(quoted) == 3
    sources = "\n".join(path.read_text("utf-8") for path in ROOT.glob("align_zoo/**/*.py"))
    for code in quoted:
        assert all(line.strip() in sources for line in code.splitlines()), code


def test_the_package_is_as_large_as_told():
    assets = ROOT / "align_zoo" / "assets"
    count = f"{len(list((assets / 'emoji').glob('*.png'))):,}"
    tiny, emoji = (
        (assets / name / "model.safetensors").stat().st_size / 1e6
        for name in ("align_tiny", "align_emoji")
    )
    text = " ".join(" ".join(path.read_text("utf-8") for path in DOCUMENTS).split())
    counted = re.findall(r"(\d,\d{3}) (?:emoji|is searched)", text)
    assert set(counted) == {count}
    below = re.findall(r"under (\d+) MB", text)
    assert set(below) == {str(math.ceil(tiny))}
    assert f"small checkpoint ({emoji:.0f} MB)" in text
    assert f"| in the package, {emoji:.0f} MB |" in text
