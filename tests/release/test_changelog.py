"""CHANGELOG.md has a dated section for each tag, and names what is not tagged yet."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from release.changelog import faults

ROOT = Path(__file__).parents[2]
CHANGE = "\n\n### Added\n\n- A thing.\n\n"


def changelog(*headings: str) -> str:
    """Return a changelog; a heading that ends with "!" has no change below it."""
    return "# Changelog\n\n" + "".join(
        f"## {heading.rstrip('!')}\n\n" if heading.endswith("!") else f"## {heading}{CHANGE}"
        for heading in headings
    )


@pytest.mark.parametrize(
    ("headings", "tags", "at_head"),
    [
        (["[Unreleased]"], [], None),
        (["[Unreleased]!", "[1.0.0] - 2026-11-30"], [], None),
        (["[Unreleased]!", "[1.0.0] - 2026-11-30"], ["1.0.0"], "1.0.0"),
        (["[Unreleased]", "[1.0.0] - 2026-11-30"], ["1.0.0"], None),
        (["[Unreleased]!", "[1.1.0] - 2026-11-30", "[1.0.0] - 2026-11-01"], ["1.0.0"], None),
    ],
    ids=["before the first", "about to be tagged", "tagged", "after a tag", "the second"],
)
def test_sound_changelog_has_no_faults(headings, tags, at_head):
    assert faults(changelog(*headings), tags, at_head) == []


@pytest.mark.parametrize(
    ("headings", "tags", "fault"),
    [
        (["[1.0.0] - 2026-11-30"], [], "the first section is not [Unreleased]"),
        (["[Unreleased]!"], [], "[Unreleased] names no change since the newest tag"),
        (
            ["[Unreleased]!", "[1.0.0] - 2026-11-30"],
            ["1.0.0"],
            "[Unreleased] names no change since the newest tag",
        ),
        (["[Unreleased]"], ["1.0.0"], "there is no section [1.0.0]"),
        (
            ["[Unreleased]", "[1.0.0]"],
            ["1.0.0"],
            "[1.0.0] needs a date: ## [1.0.0] - 2026-12-31",
        ),
        (
            ["[Unreleased]", "[1.0.0] - 2999-01-01"],
            [],
            "[1.0.0] needs a date: ## [1.0.0] - 2026-12-31",
        ),
        (["[Unreleased]", "[1.0.0] - 2026-11-30!"], ["1.0.0"], "[1.0.0] names no change"),
        (
            ["[Unreleased]", "[1.0.0] - 2026-11-30", "[1.0.0] - 2026-11-30"],
            ["1.0.0"],
            "[1.0.0] has two sections",
        ),
    ],
    ids=[
        "no Unreleased",
        "nothing at all",
        "nothing since the tag",
        "no section",
        "no date",
        "a date to come",
        "an empty section",
        "two sections",
    ],
)
def test_each_fault_is_named(headings, tags, fault):
    assert faults(changelog(*headings), tags) == [fault]


def test_changelog_of_this_checkout_is_sound():
    listed = [
        subprocess.run(
            ["git", "tag", "--list", "v[0-9]*", *options], cwd=ROOT, capture_output=True, text=True
        ).stdout.split()
        for options in ([], ["--points-at", "HEAD", "--sort=-v:refname"])
    ]
    tags, here = ([tag.removeprefix("v") for tag in each] for each in listed)
    assert faults((ROOT / "CHANGELOG.md").read_text("utf-8"), tags, *here[:1]) == []
