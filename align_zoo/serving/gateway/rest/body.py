"""The JSON of a request, read once and within bounds, and its fields by their kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import orjson

from align_zoo.serving.gateway.journal import shown_id
from align_zoo.serving.gateway.refusal import Reason, Refusal

__all__ = ["LARGE", "MOST_ITEMS", "Fields", "malformed", "read_json"]

LARGE = 2**18
"""The bytes of a body that is read in a thread, because it takes milliseconds."""
MOST_ITEMS = 2048
"""The most texts and images of a request, as OpenAI's."""
_MOST_BRACKETS = 20_000
"""The most brackets: the widest spelling has six for an item."""
_MOST_COMMAS = 100_000

_T = TypeVar("_T")


def read_json(body: bytes) -> Any:
    """Read a body of JSON.

    Raises:
        Refusal: MALFORMED; the body is no JSON, or has so many values that they would take far
            more memory than the body.
    """
    if body.count(b"[") + body.count(b"{") > _MOST_BRACKETS or body.count(b",") > _MOST_COMMAS:
        raise malformed(f"the JSON has too many values: at most {MOST_ITEMS} items are accepted")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise malformed(f"the body is not JSON: {error}") from None


class Fields:
    """The fields of an object of JSON; a field that is null counts as absent.

    >>> fields = Fields({"model": "align_tiny"}, ["model", "user"])
    >>> fields.string("model")
    'align_tiny'

    Args:
        found: the object.
        known: the names of the accepted fields.
        place: the object's place in the request; empty for the request itself.

    Every method raises a Refusal, MALFORMED with the field as ``param``, if the field has another
    kind of value than the method's.
    """

    def __init__(self, found: Any, known: Sequence[str], place: str = "") -> None:
        self._place = place
        if not isinstance(found, dict):
            raise malformed(f"{place or 'the body'} must be an object of JSON", place or None)
        for name in found:
            if name not in known:
                raise malformed(
                    f"the field {shown_id(name)!r} is not known here: known are {', '.join(known)}",
                    self.param(shown_id(name)),
                )
        self._found: Mapping[str, Any] = {k: v for k, v in found.items() if v is not None}

    def param(self, name: str) -> str:
        """Return the place of a field in the request."""
        return f"{self._place}.{name}" if self._place else name

    def given(self, names: Sequence[str]) -> str:
        """Return the one of ``names`` that the object has.

        Raises:
            Refusal: MALFORMED; the object has none of them, or several.
        """
        found = [name for name in names if name in self._found]
        if len(found) != 1:
            fault = f"both {' and '.join(found)}" if found else "no input"
            raise malformed(
                f"{self._place or 'the request'} has {fault}: give one of {', '.join(names)}",
                self.param(names[0]),
            )
        return found[0]

    def value(self, name: str) -> Any:
        """Return a field of any kind; None if it is absent."""
        return self._found.get(name)

    def string(self, name: str) -> str | None:
        """Return a string; None if it is absent."""
        return self._checked(name, lambda value: isinstance(value, str), "a string")

    def whole(self, name: str) -> int | None:
        """Return a whole number that is not negative; None if it is absent."""
        return self._checked(
            name, lambda value: type(value) is int and value >= 0, "a whole number, 0 or more"
        )

    def items(self, name: str) -> list[Any]:
        """Return a list of at least one item and at most ``MOST_ITEMS``."""
        found = self._checked(name, lambda value: isinstance(value, list), "a list") or []
        if not 1 <= len(found) <= MOST_ITEMS:
            raise malformed(
                f"{self.param(name)} has {len(found)} items: 1 to {MOST_ITEMS} are accepted",
                self.param(name),
            )
        return found

    def choice(self, name: str, choices: Sequence[_T], default: _T) -> _T:
        """Return a field with one of several values."""
        words = " or ".join(orjson.dumps(each).decode() for each in choices)
        found = self._checked(name, lambda value: value in choices, words)
        return default if found is None else found

    def _checked(self, name: str, right: Callable[[Any], bool], words: str) -> Any:
        found = self._found.get(name)
        if found is not None and not right(found):
            raise malformed(f"{self.param(name)} must be {words}", self.param(name))
        return found


def malformed(message: str, param: str | None = None) -> Refusal:
    """Return the refusal of a request that is not accepted as it is written."""
    return Refusal(Reason.MALFORMED, message, param=param)
