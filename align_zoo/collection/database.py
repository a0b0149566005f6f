"""The database of a collection in LanceDB: its tables, and its errors in words."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from align_zoo.errors import AlignZooError

if TYPE_CHECKING:
    from lancedb.db import DBConnection

__all__ = ["connect", "create", "drop_others", "error_of", "in_words"]

R = TypeVar("R")

_UNREACHABLE = ("Generic", "Unauthenticated", "PermissionDenied")
"""The kinds of errors of Lance's client of object stores when a store fails or refuses."""
_LONGEST = 300


def connect(where: str) -> DBConnection:
    """Open the database in a folder or at an object store's address."""
    # Its own log has warnings by the thousand while an index is built.
    os.environ.setdefault("LANCEDB_LOG", "error")
    import lancedb

    # It reads AWS_ENDPOINT_URL and the other names, but wants to be told that http is meant.
    plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    options = {"allow_http": "true"} if "://" in where and plain else None
    try:
        return lancedb.connect(
            where, read_consistency_interval=timedelta(0), storage_options=options
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise error_of(where, error) from error


def in_words(function: Callable[..., R]) -> Callable[..., R]:
    """Turn the errors of LanceDB and Arrow into errors of align-zoo with the first line.

    For methods of an object that knows its place as ``where``.
    """

    @wraps(function)
    def call(self: Any, *args: Any, **options: Any) -> R:
        try:
            return function(self, *args, **options)
        except AlignZooError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            raise error_of(self.where, error) from error

    return call


def error_of(where: str, error: Exception) -> AlignZooError:
    """Return what to raise for an error of LanceDB or Arrow at a place."""
    said = str(error).partition("\n")[0]
    if "://" in where and any(sign in said for sign in _UNREACHABLE):
        return AlignZooError(
            f"{where} cannot be reached; what is finished is kept: check the address, the keys and "
            f"the network, and run the command again ({said[:_LONGEST]})"
        )
    return AlignZooError(f"{where}: {said}")


def create(base: DBConnection, name: str, schema: pa.Schema) -> None:
    """Make an empty table, also in the place of one that a killed run left."""
    try:
        base.create_table(name, schema=schema, mode="overwrite")
    except (OSError, RuntimeError, ValueError) as error:
        raise error_of(base.uri, error) from error


def drop_others(base: DBConnection, name: str) -> None:
    """Delete all tables but one."""
    for other in base.list_tables().tables:
        if other != name:
            base.drop_table(other)
