"""A client of /v1/embeddings with the errors of AlignClient, for callers that compare answers."""

from __future__ import annotations

import base64
import http.client
import json
import time
import urllib.error
import urllib.request

import numpy as np

from align_client import AlignClientError, InvalidInput, Overloaded, ServerUnavailable

__all__ = ["RestClient"]

_AGAIN = (Overloaded, ServerUnavailable)


class RestClient:
    """Embeds an image or a text over HTTP.

    Args:
        url: the service's HTTP, "http://localhost:8000".
        timeout: the seconds that a call may take.
        retries: whether a call that is refused is made again after `Retry-After` seconds.
    """

    def __init__(self, url: str, *, timeout: float, retries: bool = True) -> None:
        self._url, self._timeout, self._retries = url, timeout, retries
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def embed_text(self, text: str) -> np.ndarray:
        return self._embed({"text": text})

    def embed_image(self, image: bytes) -> np.ndarray:
        return self._embed({"image": base64.b64encode(image).decode()})

    def _embed(self, item: dict) -> np.ndarray:
        body = json.dumps({"input": [item], "encoding_format": "base64"}).encode()
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return self._once(body)
            except _AGAIN as error:
                pause = getattr(error, "pause", 0.1)
                if not self._retries or time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)

    def _once(self, body: bytes) -> np.ndarray:
        """The row [1, D] of one try."""
        try:
            with self._opener.open(
                f"{self._url}/v1/embeddings", body, timeout=self._timeout
            ) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            raise _error(error.code, json.load(error)["error"], error.headers) from None
        except (OSError, http.client.HTTPException) as error:
            raise ServerUnavailable(f"{self._url} cannot be reached: {error!r}") from None
        (each,) = found["data"]
        return np.frombuffer(base64.b64decode(each["embedding"]), "<f4")[None]


def _error(status: int, found: dict, headers: http.client.HTTPMessage) -> AlignClientError:
    kinds = {400: InvalidInput, 429: Overloaded, 503: ServerUnavailable}
    error = kinds.get(status, AlignClientError)(f"HTTP {status}: {found['message']}")
    error.pause = float(headers.get("Retry-After", 0))
    return error
