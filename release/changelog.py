"""What CHANGELOG.md says of each version, and what is missing there."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date

__all__ = ["faults"]

_SECTION = re.compile(r"^## \[(.+?)\](.*)$", re.MULTILINE)


def faults(text: str, tags: Collection[str], at_head: str | None = None) -> list[str]:
    """Return what a changelog lacks; an empty list if nothing.

    Each tag needs a section with a date. Changes since the newest tag stand under Unreleased, or
    under the version that gets the next tag.

    Args:
        text: the changelog.
        tags: the versions that have tags, "1.2.0".
        at_head: the version whose tag is at the present commit.
    """
    parts = _SECTION.split(text)[1:]
    sections = list(zip(parts[::3], parts[1::3], parts[2::3], strict=True))
    names = [name for name, _, _ in sections]
    if names[:1] != ["Unreleased"]:
        return ["the first section is not [Unreleased]"]
    found = [f"there is no section [{tag}]" for tag in sorted(tags) if tag not in names]
    found += [f"[{name}] has two sections" for name in sorted({*names}) if names.count(name) > 1]
    for name, rest, content in sections[1:]:
        if not _is_date(rest.removeprefix(" - ")):
            found.append(f"[{name}] needs a date: ## [{name}] - 2026-12-31")
        if "\n- " not in content:
            found.append(f"[{name}] names no change")
    newest = names[1] if len(names) > 1 else None
    if "\n- " not in sections[0][2] and (newest is None or newest in {*tags} - {at_head}):
        found.append("[Unreleased] names no change since the newest tag")
    return found


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text) <= date.today() and len(text) == 10
    except ValueError:
        return False
