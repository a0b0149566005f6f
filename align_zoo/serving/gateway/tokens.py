"""The check of bearer tokens."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from align_zoo.serving.gateway.refusal import Reason, Refusal

__all__ = ["Tokens"]


class Tokens:
    """The accepted bearer tokens.

    >>> Tokens(["s3cret"]).check("Bearer s3cret")

    Args:
        tokens: the accepted tokens; an empty sequence accepts every call.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self.replace(tokens)

    def replace(self, tokens: Sequence[str]) -> None:
        """Accept only these tokens from now on."""
        self._digests = [_digest(token) for token in tokens]

    def __bool__(self) -> bool:
        """Return whether a call needs a token."""
        return bool(self._digests)

    def check(self, header: str | bytes | None) -> None:
        """Return if a call with this ``authorization`` header is accepted.

        Raises:
            Refusal: the header has no token, or a token that is not accepted.
        """
        if not self._digests:
            return
        scheme, _, token = header.partition(" ") if isinstance(header, str) else ("", "", "")
        if scheme.lower() != "bearer" or not token.strip():
            raise Refusal(Reason.UNAUTHORIZED, "a bearer token is needed")
        digest = _digest(token.strip())
        # Compare with all tokens, each in constant time: the duration reveals nothing of a token.
        matches = [hmac.compare_digest(digest, each) for each in self._digests]
        if not any(matches):
            raise Refusal(Reason.UNAUTHORIZED, "the bearer token is not accepted")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
