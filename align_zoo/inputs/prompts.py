"""Prompt templates: the sentences that class names are put into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from align_zoo.errors import InvalidText
from align_zoo.inputs.strings import is_utf8

__all__ = ["PHOTO", "TEMPLATE_SETS", "check_classnames", "fill", "read_templates"]

PHOTO = "a photo of a {}"
"""The prompt of the CLIP paper (arXiv:2103.00020, section 3.1.4)."""

_PLACEHOLDER = "{}"


def _imagenet_templates() -> tuple[str, ...]:
    path = Path(__file__).parents[1] / "assets" / "imagenet_templates.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


TEMPLATE_SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"none": (_PLACEHOLDER,), "photo": (PHOTO,), "imagenet": _imagenet_templates()}
)
"""The sets of templates: the class name alone, one prompt, and CLIP's ensemble of 80."""


def read_templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    """Read the templates given by the name of a set, one template or several.

    Raises:
        InvalidText: there is no template, or a template has not exactly one placeholder ``{}``
            or cannot be written in UTF-8.
    """
    if isinstance(templates, str):
        templates = TEMPLATE_SETS.get(templates, (templates,))
    templates = tuple(templates)
    if not templates:
        raise InvalidText("there is no prompt template; for the class name alone, use 'none'")
    for template in templates:
        if not isinstance(template, str):
            raise InvalidText(f"prompt template {template!r} is not a string")
        if not is_utf8(template):
            raise InvalidText(f"prompt template {template!r} cannot be written in UTF-8")
        if template.count(_PLACEHOLDER) != 1:
            raise InvalidText(
                f"prompt template {template!r} needs {_PLACEHOLDER} exactly once, where the class "
                f"name goes; or name a set: {', '.join(TEMPLATE_SETS)}"
            )
    return templates


def check_classnames(classnames: Iterable[str], noun: str = "class name") -> list[str]:
    """Return the class names as a list.

    Args:
        classnames: any iterable of strings.
        noun: the caller's word for a class name, for messages.

    Raises:
        InvalidText: there is no name, or a name is blank, no string or cannot be written in
            UTF-8.
    """
    if isinstance(classnames, str):
        raise InvalidText(f"the {noun}s are one string, {classnames!r}; give a list")
    if not isinstance(classnames, Iterable) or isinstance(classnames, bytes):
        raise InvalidText(f"the {noun}s are {classnames!r}; give a list of strings")
    names = list(classnames)
    if not names:
        raise InvalidText(f"there are no {noun}s")
    for i, name in enumerate(names):
        if not isinstance(name, str):
            raise InvalidText(f"{noun} {i} is a {type(name).__name__}, not a string")
        if not name.strip():
            raise InvalidText(f"{noun} {i} is blank")
        if not is_utf8(name):
            raise InvalidText(f"{noun} {i}, {name!r}, cannot be written in UTF-8")
    return names


def fill(template: str, classname: str) -> str:
    """Make the prompt for a class; braces in the class's name stay as they are."""
    return template.replace(_PLACEHOLDER, classname)
