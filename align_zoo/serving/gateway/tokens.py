"""Bearer tokens: which calls may come in."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from align_zoo.serving.gateway.refusal import Reason, Refusal

__all__ = ["Tokens"]


class Tokens:
    """The bearer tokens that are accepted.

    Args:
        tokens: any of them is; if there are none, every call is accepted.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self.replace(tokens)

    def replace(self, tokens: Sequence[str]) -> None:
        """Accept these from now on, and no others."""
        self._digests = [_digest(token) for token in tokens]

    def check(self, header: str | bytes | None) -> None:
        """Return if a call with this ``authorization`` header may come in.

        Raises:
            Refusal: there is no token in it, or one that is not accepted.
        """
        if not self._digests:
            return
        scheme, _, token = header.partition(" ") if isinstance(header, str) else ("", "", "")
        if scheme.lower() != "bearer" or not token.strip():
            raise Refusal(Reason.UNAUTHORIZED, "a bearer token is needed")
        digest = _digest(token.strip())
        # All of them, each in constant time: how long it takes tells nothing of any.
        matches = [hmac.compare_digest(digest, each) for each in self._digests]
        if not any(matches):
            raise Refusal(Reason.UNAUTHORIZED, "the bearer token is not accepted")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
