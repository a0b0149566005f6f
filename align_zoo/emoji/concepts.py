"""The concepts: emoji that at least two training styles draw, with names, keywords and groups."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from align_zoo.emoji.packages import CAPTIONS, HELD_OUT_STYLE, STYLES

__all__ = ["Concept", "Icon", "find_icons", "held_out_concepts", "load_concepts", "load_icons"]

HELD_OUT = 100
_COMPONENTS = "component"
_VARIANT = re.compile(r"-\d$")


@dataclass(frozen=True)
class Concept:
    """An emoji without a skin tone.

    Attributes:
        hexcode: the code points, e.g. "1F431".
        name: the name of the Unicode CLDR, in lower case, e.g. "cat face".
        keywords: keywords of the CLDR, in lower case.
        group: one of nine, e.g. "animals & nature".
        subgroup: one of about a hundred, e.g. "animal mammal".
    """

    hexcode: str
    name: str
    keywords: tuple[str, ...]
    group: str
    subgroup: str

    @property
    def slug(self) -> str:
        """The name as the name of a file, e.g. "cat-face"."""
        return slug(self.name)


@dataclass(frozen=True)
class Icon:
    """A drawing of a concept: the body of an SVG.

    Attributes:
        hexcode: the concept's code points.
        style: the style's name.
        svg: the whole SVG.
    """

    hexcode: str
    style: str
    svg: str


def slug(name: str) -> str:
    """Write a name in ASCII letters, digits and hyphens: "piñata" as "pinata"."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    spelled = ascii_only.replace("#", "hash").replace("*", "asterisk").replace("'", "")
    return re.sub("[^a-z0-9]+", "-", spelled.lower()).strip("-")


def read_captions(folder: Path) -> list[Concept]:
    """Read all emoji of the captions' package, but for components such as skin tones."""
    messages = CAPTIONS.read("en/messages.json", folder)
    groups = {each["order"]: each["message"] for each in messages["groups"]}
    keys = {each["order"]: each["key"] for each in messages["groups"]}
    subgroups = {each["order"]: each["key"] for each in messages["subgroups"]}
    found = []
    for each in CAPTIONS.read("en/data.json", folder):
        if "group" not in each or keys[each["group"]] == _COMPONENTS:
            continue
        found.append(
            Concept(
                each["hexcode"],
                each["label"].lower().replace("\u201c", "").replace("\u201d", ""),
                tuple(tag.lower() for tag in each.get("tags", ())),
                groups[each["group"]],
                subgroups[each["subgroup"]].replace("-", " "),
            )
        )
    return found


def find_icons(
    files: Mapping[str, Mapping[str, Any]],
    characters: Mapping[str, Mapping[str, str]],
    captions: Iterable[Concept],
) -> list[Icon]:
    """Find the drawings of the concepts in the styles' files.

    A drawing belongs to a concept by the package's table of code points, or else by its name:
    the concept's own, or a name that another package gives the concept's code points. So
    drawings with skin tones are left out. Of several drawings in a style, all are found.

    Args:
        files: the content of each style's icons.json.
        characters: the content of each style's chars.json: names by code points; may be empty.
        captions: all emoji.
    """
    by_code = {_bare(each.hexcode): each.hexcode for each in captions}
    tables = {
        style: {
            name: by_code[_bare(code)] for code, name in table.items() if _bare(code) in by_code
        }
        for style, table in characters.items()
    }
    by_name: dict[str, str] = {}
    for each in captions:
        by_name.setdefault(each.slug, each.hexcode)
    for style, table in tables.items():
        for name, code in table.items():
            by_name.setdefault(name, code)
        for alias, about in files[style].get("aliases", {}).items():
            if about["parent"] in table and not about.keys() - {"parent"}:
                by_name.setdefault(alias, table[about["parent"]])
    joined = {name.replace("-", ""): code for name, code in by_name.items()}
    icons = []
    for style, content in files.items():
        for name, icon in content["icons"].items():
            spellings = _spellings(name)
            named = [by_name[each] for each in spellings if each in by_name]
            found = tables[style].get(name) or next(iter(named), "") or joined.get(name)
            if found:
                icons.append(Icon(found, style, _svg(content, icon)))
    return icons


def load_icons(folder: Path) -> list[Icon]:
    """Read the drawings of all packages; of emoji that too few styles draw as well.

    Raises:
        AlignZooError: npm is missing or fails, or a package has another hash.
    """
    files = {style: package.read("icons.json", folder) for style, package in STYLES.items()}
    characters = {style: package.read("chars.json", folder) for style, package in STYLES.items()}
    return find_icons(files, characters, read_captions(folder))


def load_concepts(folder: Path, icons: Iterable[Icon]) -> list[Concept]:
    """Read the concepts: the emoji that at least two training styles draw."""
    styles: dict[str, set[str]] = {}
    for icon in icons:
        if icon.style != HELD_OUT_STYLE:
            styles.setdefault(icon.hexcode, set()).add(icon.style)
    return [each for each in read_captions(folder) if len(styles.get(each.hexcode, ())) >= 2]


def held_out_concepts(count: int, seed: int = 0) -> np.ndarray:
    """Choose the concepts that no training sees, [count] bool with ``HELD_OUT`` True."""
    held_out = np.zeros(count, bool)
    held_out[np.random.default_rng([seed, count]).choice(count, HELD_OUT, replace=False)] = True
    return held_out


def _spellings(name: str) -> list[str]:
    """List ways to look up a drawing's name: "flag-for-flag-spain", "chicken-2"."""
    flag = re.sub("^flag-for-(flag-)?", "flag-", name)
    return [name, flag, _VARIANT.sub("", name)]


def _bare(code: str) -> str:
    """Write code points in upper case, without the selector of the coloured presentation."""
    return "-".join(part for part in code.upper().split("-") if part != "FE0F")


def _svg(content: Mapping[str, Any], icon: Mapping[str, Any]) -> str:
    """Write a whole SVG of an icon's body."""
    box = [
        icon.get(field, content.get(field, default))
        for field, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
    ]
    numbers = " ".join(map(str, box))
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {names} viewBox="{numbers}">{icon["body"]}</svg>'
