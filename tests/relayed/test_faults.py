"""Bodies arrive unchanged although one message in ten is lost, half are repeated, and all are reordered."""

import hashlib
import random
from collections.abc import Iterator

import pytest

from tests.relayed.fleet import LARGE, Device, Site, Tenant

SIZES = (0, 90 * 1024, 1024 * 1024)


@pytest.fixture(scope="module")
def distant(faulty: Site) -> Iterator[Device]:
    made = Device(Tenant(faulty))
    with made.online():
        yield made
    made.service.close()


@pytest.mark.parametrize("size", SIZES)
def test_bodies_arrive_unchanged_in_both_directions_despite_faults(distant: Device, size: int):
    assert distant.answer(random.Random(size).randbytes(size)) == "right"


def test_largest_bodies_arrive_unchanged_despite_faults(distant: Device):
    sent, received = distant.insist("POST", "/hash", LARGE), distant.insist("GET", "/large")
    assert (sent.status_code, sent.text) == (200, hashlib.sha256(LARGE).hexdigest())
    assert (received.status_code, received.content == LARGE) == (200, True)
