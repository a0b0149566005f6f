"""How often tests of random inputs try: in `make test` a quarter as often as in `make test-long`.

hypothesis has two profiles for that, `short` and `long`.
"""

from __future__ import annotations

from hypothesis import settings

__all__ = ["tries"]

_LONG = settings.get_profile("default").max_examples
_USUAL = {"parent": settings.default, "deadline": None}

settings.register_profile("long", max_examples=_LONG, **_USUAL)
settings.register_profile("short", max_examples=_LONG // 4, **_USUAL)
settings.load_profile("short")  # `--hypothesis-profile=long` is read later, and counts


def tries(count: int, *, short: int | None = None) -> int:
    """Return how many of ``count`` tries the profile has: all in `long`, a quarter in `short`.

    A test whose tries take seconds each says how many are enough in ``short``.
    """
    if short is not None and settings.default.max_examples < _LONG:
        return short
    return max(1, count * settings.default.max_examples // _LONG)
