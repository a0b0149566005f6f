"""Workers of Ray compute a collection as this process does, whatever happens to them."""

from __future__ import annotations

import copy
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import ray_cluster
from image_folders import rows_of
from ray_cluster import Faulty, processes, two_machines
from tries import tries
from waiting import wait_until

from align_zoo.collection import ray_engine, shards, writer
from align_zoo.collection.collection import Collection
from align_zoo.errors import AlignZooError


@pytest.fixture(scope="module")
def cluster():
    with two_machines() as address:
        yield address


@pytest.fixture
def images(images, monkeypatch):
    """Thirteen images in four shards; one image is broken."""
    (images / "broken.jpg").write_bytes(b"\xff\xd8\xffrubbish")
    monkeypatch.setattr(shards, "SHARD", 4)
    return images


@pytest.fixture(autouse=True)
def no_worker_stays():
    yield
    wait_until(lambda: workers() == 0)


@pytest.fixture
def expected(images, collection):
    report = collection.add(images)
    return rows_of(collection), report


def made(place: Path, embedder) -> Collection:
    return Collection.create(place, model=embedder)


def test_workers_compute_the_rows_of_this_process(cluster, images, expected, tmp_path):
    other = made(tmp_path / "other", "align_tiny")
    report = other.add(images, ray=cluster)
    assert (rows_of(other), report) == expected


@pytest.mark.parametrize("first", ["this-process", "workers"])
def test_one_engine_finishes_the_others_run(
    cluster, images, expected, tmp_path, monkeypatch, first
):
    other = made(tmp_path / "other", "align_tiny")
    engines = [{}, {"ray": cluster}]
    if first == "workers":
        engines.reverse()
    finish, finished = writer.Writer._finish, []

    def interrupted(self, shard, rows):
        finish(self, shard, rows)
        finished.append(shard.items)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writer.Writer, "_finish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            other.add(images, **engines[0])
    report = other.add(images, **engines[1])
    assert report.unchanged == len(finished[0])
    assert rows_of(other) == expected[0]


def test_a_killed_worker_is_replaced(cluster, images, expected, tmp_path):
    (tmp_path / "worker").touch()
    other = made(tmp_path / "other", Faulty("align_tiny", tmp_path))
    report = other.add(images, ray=cluster)
    assert not (tmp_path / "worker").exists()
    assert (rows_of(other), report) == expected


def test_images_that_kill_every_worker_end_the_run(cluster, images, tmp_path):
    (tmp_path / "always").touch()
    other = made(tmp_path / "other", Faulty("align_tiny", tmp_path))
    with pytest.raises(AlignZooError, match=r"4 images from /.* on could not be .* 3 times: .*\S"):
        other.add(images, ray=cluster)


def test_another_checkpoint_in_a_worker_is_refused(cluster, images, tmp_path, embedder):
    another = copy.copy(embedder)
    another.fingerprint, another.elsewhere = "another", Faulty("align_tiny", tmp_path).elsewhere
    other = made(tmp_path / "other", another)
    with pytest.raises(
        AlignZooError, match=r"align_tiny cannot be used on .*: there it is another"
    ):
        other.add(images, ray=cluster)


def test_a_checkpoint_that_cannot_be_loaded_is_named(cluster, images, tmp_path, embedder):
    gone = copy.copy(embedder)
    gone.model = str(tmp_path / "gone")
    other = made(tmp_path / "other", gone)
    with pytest.raises(AlignZooError, match=r"gone cannot be used on .*gone does not exist"):
        other.add(images, ray=cluster)


def test_images_that_workers_cannot_see_are_no_failures(cluster, images, tmp_path):
    (tmp_path / "blind").touch()
    other = made(tmp_path / "other", Faulty("align_tiny", tmp_path))
    with pytest.raises(AlignZooError, match=r"3 times: /.* is on this machine, and .* cannot read"):
        other.add(images, ray=cluster)
    assert rows_of(other) == {}


def test_a_checkpoint_that_never_loads_is_given_up(cluster, images, tmp_path, monkeypatch):
    (tmp_path / "wait").touch()
    monkeypatch.setattr(ray_engine, "_LOAD_SECONDS", 0.0)
    other = made(tmp_path / "other", Faulty("align_tiny", tmp_path))
    with pytest.raises(AlignZooError, match="still loads the checkpoint align_tiny"):
        other.add(images, ray=cluster)


def test_a_cluster_without_a_place_is_given_up(cluster, images, tmp_path, monkeypatch):
    (tmp_path / "wait").touch()
    first = made(tmp_path / "first", Faulty("align_tiny", tmp_path))
    second = made(tmp_path / "second", "align_tiny")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(first.add, images, ray=cluster)
        try:
            wait_until(lambda: workers() == 2)
            monkeypatch.setattr(ray_engine, "_PLACE_SECONDS", 0.0)
            with pytest.raises(AlignZooError, match=r"a worker asks for 1 CPU, .* 0 of 2 CPU free"):
                second.add(images, ray=cluster)
        finally:
            (tmp_path / "wait").unlink()
        assert running.result().embedded == 12


def test_the_end_of_ray_ends_the_run(cluster, images, tmp_path):
    (tmp_path / "wait").touch()
    other = made(tmp_path / "other", Faulty("align_tiny", tmp_path))
    with ThreadPoolExecutor(1) as pool:
        before = set(children(os.getpid()))
        running = pool.submit(other.add, images, ray=cluster)
        try:
            wait_until(lambda: workers() == 2)
            (driver,) = set(children(os.getpid())) - before
            os.kill(driver, signal.SIGKILL)
            with pytest.raises(AlignZooError, match=r"Ray has ended before the run did: .* kept"):
                running.result()
        finally:
            (tmp_path / "wait").unlink()


def test_a_lost_machine_is_done_without(cluster, images, expected, tmp_path):
    (tmp_path / "machine").touch()
    other = made(tmp_path / "other", Faulty("align_tiny", tmp_path))
    report = other.add(images, ray=cluster)
    assert not (tmp_path / "machine").exists()
    assert (rows_of(other), report) == expected


ENDED = textwrap.dedent(
    """
    import signal, sys
    from pathlib import Path
    from align_zoo.collection.collection import Collection
    from ray_cluster import Faulty
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs behind a shell ignores it
    place, images, orders = sys.argv[1:]
    model = Faulty("align_tiny", Path(orders))
    Collection.create(place, model=model).add(images, workers=1)
    """
)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL], ids=lambda each: each.name)
def test_an_ended_run_leaves_no_process(images, tmp_path, end):
    (tmp_path / "wait").touch()
    run = subprocess.Popen(
        [sys.executable, "-c", ENDED, tmp_path / "c", images, tmp_path],
        env={**os.environ, "PYTHONPATH": os.fspath(Path(ray_cluster.__file__).parent)},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: children(run.pid))
        (driver,) = children(run.pid)
        wait_until(lambda: any("Worker.load" in line for line in processes(driver)), 120)
        assert len(processes(driver)) > 5
    finally:
        run.send_signal(end)
        run.wait()
    wait_until(lambda: processes(driver) == [])


KILLED = textwrap.dedent(
    """
    import sys
    from align_zoo.collection import shards
    from align_zoo.collection.collection import Collection
    shards.SHARD = 4
    place, images, address = sys.argv[1:]
    collection = Collection.open(place, model="align_tiny")
    print("begun", flush=True)
    collection.add(images, ray=address)
    """
)


def test_a_killed_run_on_workers_goes_on(cluster, images, expected, tmp_path):
    chance, kills, rounds, wanted, longest = random.Random(0), 0, 0, tries(50, short=2), 5.0
    while kills < wanted:
        rounds += 1
        killed = made(tmp_path / f"killed-{rounds}", "align_tiny")
        command = [sys.executable, "-c", KILLED, killed.where, images, cluster]
        while True:
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout.readline() == "begun\n"
                begun = time.monotonic()
                try:
                    process.wait(chance.uniform(0, 1.2 * longest) if kills < wanted else 200)
                except subprocess.TimeoutExpired:
                    process.kill()
                    kills += 1
                    continue
            assert process.returncode == 0
            longest = time.monotonic() - begun
            break
        assert rows_of(killed) == expected[0]


def test_no_cluster_is_told_with_its_address(images, tmp_path):
    with pytest.raises(AlignZooError, match=r"127\.0\.0\.2:1 cannot be joined: .*refused; RAY_"):
        made(tmp_path / "c", "align_tiny").add(images, ray="127.0.0.2:1")


def workers() -> int:
    return sum(line.startswith("ray::Worker") for line in processes())


def children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")  # of each thread its own
    return [int(child) for each in lists for child in each.read_text().split()]
