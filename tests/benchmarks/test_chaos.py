"""The short form of `make chaos`: a fault, a drain, an overload and a soak, each answer compared.

All other faults are in tests/serving/test_supervisor.py, without load.
"""

import numpy as np
import pytest

from align_client import AlignClient, DeadlineExceeded
from align_zoo import load_encoder
from benchmarks.chaos.drain import drain
from benchmarks.chaos.faults import FAULTS, suffer
from benchmarks.chaos.overload import overload
from benchmarks.chaos.soak import soak
from tests.support.known import Known, heavy_images, known_requests, mixed

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("align_tiny")


@pytest.fixture(scope="module")
def requests(encoder):
    return known_requests(encoder)


@pytest.mark.served
def test_retrying_clients_survive_a_dead_model(requests):
    (fault,) = (each for each in FAULTS if each.name == "text model's process killed")
    row = suffer(fault, requests)
    assert (row.verdict, row.wrong, row.lost) == ("pass", 0, 0), row.line()


@pytest.mark.served
def test_sigterm_under_load_answers_every_caller(requests):
    row = drain(requests)
    assert row.verdict == "pass", row.line()


@pytest.mark.served
def test_a_short_soak_has_no_wrong_answer(requests):
    row = soak(requests, 1500)
    assert (row.wrong, row.lost) == (0, 0), row.line()


@pytest.mark.served
def test_overload_is_refused_at_once(encoder):
    row = overload(heavy_images(encoder), seconds=5)
    assert (row.wrong, row.lost) == (0, 0), row.line()
    assert "accepted p99" not in row.missed, row.line()
    assert "refused p99" not in row.missed, row.line()


def test_comparison_detects_wrong_answers(server, requests):
    """Else the tests above could not fail."""
    good = next(each for each in requests if each.vector is not None)
    with AlignClient(server.grpc_url, timeout=60) as client:
        assert good.ask(client)
        assert not Known(good.item, np.roll(good.vector, 1)).ask(client)
        assert not Known(good.item, None).ask(client)
    with AlignClient(server.grpc_url, timeout=1e-6) as hurried, pytest.raises(DeadlineExceeded):
        good.ask(hurried)


def test_invalid_requests_do_not_harm_valid_requests(requests):
    bad = [each for each in requests if each.vector is None]
    assert len(bad) == 10
    some = mixed(requests, seed=1)
    assert {id(next(some)) for _ in requests} == {id(each) for each in requests}
