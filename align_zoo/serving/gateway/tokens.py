"""Bearer tokens: which calls may come in."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path

from align_zoo.errors import AlignZooError
from align_zoo.serving.gateway.refusal import Reason, Refusal

__all__ = ["Tokens", "read_tokens"]


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


def read_tokens(file: Path) -> list[str]:
    """The tokens of a file, one a line.

    Raises:
        AlignZooError: it cannot be read, has no token, or one that no header can carry.
    """
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise AlignZooError(f"--token-file {file} cannot be read: {error.strerror}") from error
    tokens = [line.strip() for line in lines if line.strip()]
    if not tokens:
        raise AlignZooError(f"there is no token in --token-file {file}: write one, a line each")
    if not all(token.isascii() and token.isprintable() and " " not in token for token in tokens):
        raise AlignZooError(
            f"a token in --token-file {file} has blanks or letters other than ASCII; "
            "`openssl rand -hex 32` makes one"
        )
    return tokens


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
