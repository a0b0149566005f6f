"""The table's index: built by itself, followed by new rows, and as good as every cosine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from align_zoo.collection import table as tables
from align_zoo.collection.database import connect, create
from align_zoo.collection.shards import rows_schema

DIM, ROWS = 64, 3000


def rows(seed: int, count: int) -> tuple[pa.Table, np.ndarray]:
    """Clustered unit vectors as rows without anything else."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(40, DIM))
    vectors = centres[rng.integers(0, 40, count)] + 0.5 * rng.normal(size=(count, DIM))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    columns = {
        "path": [f"/{seed}/{i}.png" for i in range(count)],
        "source": ["s"] * count,
        "size": [1] * count,
        "mtime_ns": [1] * count,
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), DIM),
    }
    return pa.table(columns), vectors


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "EXACT", 1000)
    base = connect(str(tmp_path))
    create(base, "rows", rows_schema(DIM))
    return tables.Table(base, "rows", str(tmp_path))


def test_the_index_finds_what_every_cosine_finds(table):
    first, vectors = rows(1, ROWS)
    table.append(first)
    assert table.stats()["indexes"] == []
    table.upkeep()
    assert table.stats()["indexes"] == ["vector_idx"]
    found = wanted = 0
    for query in vectors[:50]:
        exact = table.nearest(query, 10, exact=True)["path"].to_pylist()
        near = table.nearest(query, 10)["path"].to_pylist()
        cosines = vectors @ query
        assert exact[0] == f"/1/{cosines.argmax()}.png"
        found += len(set(exact) & set(near))
        wanted += 10
    assert found / wanted >= 0.98


def test_new_rows_are_found_before_and_after_indexing(table):
    table.append(rows(1, ROWS)[0])
    table.upkeep()
    more, vectors = rows(2, 500)
    table.append(more)
    for _ in range(2):
        (path,) = table.nearest(vectors[7], 1)["path"].to_pylist()
        assert path == "/2/7.png"
        table.upkeep()


def test_a_small_table_has_no_index(table):
    table.append(rows(1, 900)[0])
    table.upkeep(always=True)
    assert table.stats()["indexes"] == []


@pytest.mark.parametrize("indexed", [False, True], ids=["every cosine", "index"])
def test_rows_with_an_error_are_never_found(table, indexed):
    sound, vectors = rows(1, 1500)
    table.append(sound)
    failed = rows(3, 700)[0].drop_columns(["vector"])
    zeros = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(700 * DIM, np.float32)), DIM)
    failed = failed.append_column("error", pa.array(["damaged"] * 700))
    table.append(failed.append_column("vector", zeros))
    if indexed:
        table.upkeep()
        assert table.stats()["indexes"] == ["vector_idx"]
    for query in (vectors[0], -vectors[0]):
        for k in (5, 1500, 2200):
            found = table.nearest(query, k, exact=not indexed)["path"].to_pylist()
            assert all(path.startswith("/1/") for path in found)
            assert len(found) == min(k, 1500) or indexed
    assert table.nearest(vectors[0], 1)["path"].to_pylist() == ["/1/0.png"]


MERGE = """
import json, re, sys
import numpy as np, pyarrow as pa
from align_zoo.collection.shards import rows_schema
from align_zoo.collection.database import connect, create
from align_zoo.collection.table import Table

def greatest():
    return int(re.search("VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) // 1024

where, dim, count = sys.argv[1], 640, 8192
base = connect(where)
create(base, "rows", rows_schema(dim))
table = Table(base, "rows", where)
for part in range(8):
    numbers = np.random.default_rng(part).normal(size=count * dim).astype(np.float32)
    table.append(pa.table({
        "path": [f"/{part}/{i}.png" for i in range(count)],
        "source": ["s"] * count,
        "size": [1] * count,
        "mtime_ns": [1] * count,
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(numbers), dim),
    }))
before = greatest()
table.upkeep()
print(json.dumps([table.stats()["fragments"], before, greatest()]))
"""


def test_documented_settings_merge_in_little_memory(tmp_path):
    guide = Path("docs/collections.md").read_text()
    (line,) = re.findall(r"export (LANCE_DEFAULT_.*)", guide)
    settings = dict(each.split("=") for each in line.split())
    grown = []
    for environment in ({}, settings):
        where = str(tmp_path / str(len(environment)))
        done = subprocess.run(
            [sys.executable, "-c", MERGE, where],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            check=True,
            timeout=120,
        )
        fragments, before, after = json.loads(done.stdout.splitlines()[-1])
        assert fragments == 1
        grown.append(after - before)
    assert grown[1] < grown[0] / 2, grown
