"""Certificates and tokens are replaced while the service runs."""

import asyncio
import json
import os
import shutil
from contextlib import asynccontextmanager

import grpc
import pytest
from authorities import NO_CONNECTION, TEXT, Authority, over_grpc, over_http
from doors import stub_at
from messages import refused
from waiting import wait_until

from align_zoo import AlignZooError
from align_zoo.serving.gateway import renewal


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(renewal, "_LOOK_SECONDS", 0.02)


@pytest.fixture
def old(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def new(tmp_path):
    return Authority(tmp_path)


@pytest.fixture(params=[over_grpc, over_http])
def over(request):
    return request.param


def connects(over, *arguments):
    try:
        over(*arguments)
    except NO_CONNECTION:
        return False
    return True


def put(files, others):
    """Other content under the same names."""
    for name, file in others.items():
        shutil.copyfile(file, files[name])


def events(capsys, seen):
    seen += [json.loads(line) for line in capsys.readouterr().err.splitlines() if line[:1] == "{"]
    return [each["event"] for each in seen]


def test_new_connections_get_the_renewed_certificate(own_doors, old, new, over):
    files = old.issue("localhost")
    doors = own_doors(**files)
    over(doors, old)
    credentials = grpc.ssl_channel_credentials(old.ca_file.read_bytes())
    with stub_at(doors.grpc_url.replace("127.0.0.1", "localhost"), credentials) as before:
        before.ModelInfer(TEXT, timeout=10)
        put(files, new.issue("localhost"))
        wait_until(lambda: connects(over, doors, new))
        assert not connects(over, doors, old)
        before.ModelInfer(TEXT, timeout=10)


def test_new_authority_replaces_the_old_one(own_doors, old, new, over, tmp_path):
    callers = tmp_path / "callers.pem"
    shutil.copyfile(old.ca_file, callers)
    doors = own_doors(**old.issue("localhost"), tls_client_ca=callers)
    ours, theirs = old.issue("caller.example"), new.issue("caller.example")
    over(doors, old, ours)
    assert not connects(over, doors, old, theirs)
    shutil.copyfile(new.ca_file, callers)
    wait_until(lambda: connects(over, doors, old, theirs))
    assert not connects(over, doors, old, ours)


def test_tokens_are_replaced(own_doors, tmp_path):
    file = tmp_path / "tokens"
    file.write_text("old")
    doors = own_doors(token_file=file)
    with stub_at(doors.grpc_url) as stub:

        def let_in(token):
            try:
                stub.ModelInfer(TEXT, metadata=[("authorization", f"Bearer {token}")], timeout=10)
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.UNAUTHENTICATED
                return False
            return True

        assert let_in("old")
        assert not let_in("new")
        file.write_text("new")
        wait_until(lambda: let_in("new"))
        assert not let_in("old")


def test_invalid_files_change_nothing_and_are_reported(own_doors, old, new, capsys, tmp_path):
    tokens, files, seen = tmp_path / "tokens", old.issue("localhost"), []
    tokens.write_text("secret")
    doors = own_doors(**files, token_file=tokens)
    others = new.issue("localhost")
    put(files, {"tls_cert": others["tls_cert"]})
    wait_until(lambda: "not_renewed" in events(capsys, seen))
    assert "are not a certificate and its" in seen[-1]["reason"]
    with refused("UNAUTHENTICATED", "a bearer token is needed"):
        over_grpc(doors, old)
    put(files, others)
    wait_until(lambda: "renewed" in events(capsys, seen))
    with refused("UNAUTHENTICATED", "a bearer token is needed"):
        over_grpc(doors, new)
    tokens.unlink()  # not: everybody may come in
    wait_until(lambda: seen[-1]["event"] == "not_renewed" or events(capsys, seen)[-1] != "renewed")
    assert "cannot be read" in seen[-1]["reason"]
    with refused("UNAUTHENTICATED", "a bearer token is needed"):
        over_grpc(doors, new)


@asynccontextmanager
async def looking(file, renew):
    """Within the block somebody looks whether the file has changed."""
    task = asyncio.create_task(renewal.renewal([file], renew))
    await asyncio.sleep(0)  # it has seen what was before

    async def until(true):
        while not true():
            assert not task.done()
            await asyncio.sleep(0.01)

    try:
        async with asyncio.timeout(30):
            yield until
    finally:
        task.cancel()


def test_file_vanishing_while_read_does_not_stop_watching(tmp_path):
    file, tries = tmp_path / "tokens", []

    async def renew():
        tries.append(file.read_text())
        raise FileNotFoundError(file)

    async def look():
        async with looking(file, renew) as until:
            for content in ("a", "bb", "ccc"):
                file.write_text(content)
                await until(lambda content=content: content in tries)

    asyncio.run(look())


def test_invalid_files_are_retried_and_reported_once(tmp_path, capsys):
    file, tries = tmp_path / "tokens", []

    async def renew():
        tries.append(None)
        if len(tries) < 5:
            raise AlignZooError("the disk cannot be read" if len(tries) < 3 else "it has no token")

    async def look():
        async with looking(file, renew) as until:
            file.write_text("new")
            await until(lambda: len(tries) == 5)
            await asyncio.sleep(5 * renewal._LOOK_SECONDS)
        assert len(tries) == 5, "there is nothing more to be done"

    asyncio.run(look())
    seen = []
    assert events(capsys, seen) == ["not_renewed", "not_renewed", "renewed"]
    assert [each.get("reason") for each in seen[:2]] == [
        "the disk cannot be read",
        "it has no token",
    ]


def test_other_invalid_files_are_reported_again(tmp_path, capsys):
    file, seen = tmp_path / "tokens", []

    async def renew():
        raise AlignZooError("it has no token")

    async def look():
        async with looking(file, renew) as until:
            for content in ("a", "bb"):
                file.write_text(content)
                before = len(seen)
                await until(lambda before=before: len(events(capsys, seen)) > before)

    asyncio.run(look())
    assert [each["event"] for each in seen] == ["not_renewed", "not_renewed"]


def test_change_with_same_date_and_size_is_noticed(tmp_path):
    file, tries = tmp_path / "tokens", []
    file.write_text("old")
    dates = file.stat().st_atime_ns, file.stat().st_mtime_ns

    async def renew():
        tries.append(file.read_text())

    async def look():
        async with looking(file, renew) as until:
            file.write_text("new")
            os.utime(file, ns=dates)
            await until(lambda: tries)

    asyncio.run(look())
    assert tries == ["new"]
