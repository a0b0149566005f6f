"""The errors in docs/operations.md agree with the gateway and with the client."""

import re
from pathlib import Path

import pytest
from tritonclient.utils import InferenceServerException

import align_client
from align_client.rules import Again, failure_of
from align_zoo.serving.gateway.refusal import Reason

DOCS = Path(__file__).parents[2] / "docs" / "operations.md"
_ROW = re.compile(r"\| ([^|]+) \| `([A-Z_]+)`(?: \"([^|\"]*)\")? \| (\d+) \| `(\w+)`([^|]*) \|")
_AGAIN = {"": Again.NEVER, ", tried again": Again.ALWAYS, ", tried again once": Again.ONCE}


def rows():
    table = DOCS.read_text().split("## Errors that a caller gets")[1].split("\n## ")[0]
    return [pytest.param(*match.groups()[1:], id=match[1]) for match in _ROW.finditer(table)]


def test_table_has_rows():
    assert len(rows()) >= 9


@pytest.mark.parametrize(("code", "words", "status", "kind", "again"), rows())
def test_documented_refusal_becomes_documented_exception(code, words, status, kind, again):
    assert any((reason.code.name, reason.http) == (code, int(status)) for reason in Reason)
    said = InferenceServerException((words or "").replace("...", "it died"), f"StatusCode.{code}")
    failure = failure_of(said, url="host:1", model="align_text", timeout=1)
    assert type(failure.error) is getattr(align_client, kind)
    assert failure.again is _AGAIN[again]
