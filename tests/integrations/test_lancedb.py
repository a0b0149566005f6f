"""LanceDB embeds and searches by the function "align"."""

from __future__ import annotations

import grpc
import lancedb
import numpy as np
import pyarrow as pa
import pytest
import trustme
from lancedb.embeddings import EmbeddingFunctionConfig, get_registry
from PIL import Image
from scripted import Scripted

import align_zoo.integrations.lancedb  # noqa: F401  registers "align"
from align_zoo.errors import AlignZooError, CheckpointError, InvalidImage

DAMAGED = b"\x89PNG\r\n\x1a\n, and then nothing"


def table_of(place, align, images, **options):
    kind = pa.binary() if isinstance(images[0], bytes) else pa.string()
    schema = pa.schema([("image", kind), ("vector", pa.list_(pa.float32(), align.ndims()))])
    config = EmbeddingFunctionConfig(source_column="image", vector_column="vector", function=align)
    database = lancedb.connect(place)
    table = database.create_table("images", schema=schema, embedding_functions=[config])
    table.add(pa.table({"image": pa.array(images, kind)}), **options)
    return table


@pytest.fixture
def align():
    return get_registry().get("align").create(model="align_tiny")


@pytest.mark.parametrize("read", [str, lambda path: path.read_bytes()], ids=["paths", "bytes"])
def test_rows_are_those_of_transformers(align, tmp_path, images, expected, read):
    rows = table_of(tmp_path, align, [read(path) for path in images]).to_arrow()
    np.testing.assert_allclose(
        np.array(rows["vector"].to_pylist()), expected["images"], rtol=0, atol=1e-5
    )


def test_queries_are_those_of_transformers(align, images, texts, expected):
    rows = [align.compute_query_embeddings(text)[0] for text in texts]
    np.testing.assert_allclose(rows, expected["texts"], rtol=0, atol=1e-5)
    rows = [align.compute_query_embeddings(Image.open(path))[0] for path in images]
    np.testing.assert_allclose(rows, expected["images"], rtol=0, atol=1e-5)


def test_server_answers_alike(server, tmp_path, images, texts, expected):
    align = get_registry().get("align").create(server=server.grpc_url)
    rows = table_of(tmp_path, align, list(map(str, images))).to_arrow()["vector"].to_pylist()
    np.testing.assert_allclose(np.array(rows), expected["images"], rtol=0, atol=1e-5)
    (row,) = align.compute_query_embeddings(texts[0])
    np.testing.assert_allclose(row, expected["texts"][0], rtol=0, atol=1e-5)


@pytest.fixture
def guarded(tmp_path):
    """A server that demands a token by TLS, and the certificate of its authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("localhost")
    pair = certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes()
    with Scripted(credentials=grpc.ssl_server_credentials([pair]), token="secret") as server:
        yield server.url.replace("127.0.0.1", "localhost"), str(tmp_path / "ca.pem")


def test_token_and_tls_go_to_the_server(guarded):
    registry, (server, authority) = get_registry(), guarded
    registry.set_var("align_token", "secret")
    options = {"server": server, "tls": authority, "token": "$var:align_token"}
    align = registry.get("align").create(**options)
    assert align.ndims() == 2
    assert align.safe_model_dump() == options
    with pytest.raises(AlignZooError, match="a bearer token is needed"):
        registry.get("align").create(server=server, tls=authority).ndims()


def test_token_in_plain_words_is_refused():
    with pytest.raises(ValueError, match="Sensitive key 'token'"):
        get_registry().get("align").create(server="localhost:1", token="secret")


@pytest.mark.parametrize("by", ["library", "server"])
def test_bad_row_has_no_vector(request, align, tmp_path, images, caplog, by):
    if by == "server":
        url = request.getfixturevalue("server").grpc_url
        align = get_registry().get("align").create(server=url)
    files = [images[0].read_bytes(), DAMAGED, None, images[1].read_bytes()]
    rows = table_of(tmp_path, align, files, on_bad_vectors="null").to_arrow()["vector"]
    assert [row is None for row in rows.to_pylist()] == [False, True, True, False]
    (message,) = [each.getMessage() for each in caplog.records if "vector" in each.getMessage()]
    assert message.startswith("row 1 of 4 has no vector: ")


def test_table_opens_again_and_is_searched(align, tmp_path, images):
    table_of(tmp_path, align, list(map(str, images)))
    table = lancedb.connect(tmp_path).open_table("images")
    for query in ("a green ring", Image.open(images[1]), images[1].read_bytes()):
        (hit,) = table.search(query).limit(1).to_list()
        assert hit["image"] == str(images[1])


def test_errors_are_raised_once(align, tmp_path, images):
    table = table_of(tmp_path, align, list(map(str, images)))
    with pytest.raises(InvalidImage, match="damaged header"):
        table.search(DAMAGED, query_type="vector")
    nowhere = get_registry().get("align").create(model="/no/such/folder")
    with pytest.raises(CheckpointError, match="/no/such/folder"):
        nowhere.compute_source_embeddings_with_retry(["image.png"])


def test_example_finds_the_image(example):
    (best,) = example("LanceDB")
    assert best.endswith("red-star.png")
