"""How often a test with random inputs tries: `make test` a quarter as often as `make test-long`."""

from __future__ import annotations

from hypothesis import settings

__all__ = ["tries"]

_LONG = settings.get_profile("default").max_examples
_SHORT = _LONG // 4

settings.register_profile("long", max_examples=_LONG)
settings.register_profile("short", max_examples=_SHORT)
settings.load_profile("short")  # `--hypothesis-profile=long` comes later, and counts


def tries(count: int) -> int:
    """Return the share of ``count`` tries that fits the profile: all in the long one."""
    return max(1, count * settings().max_examples // _LONG)
