"""Each case of the device link and the relay causes the traffic that was recorded."""

from collections.abc import Callable
from itertools import count

import pytest

from bindery.http.operation import logger
from tests import device_link
from tests.conftest import clear_caches
from tests.performance import costs, recorded, traffic

costs.install()


@pytest.mark.parametrize("case", traffic.CASES, ids=lambda case: case.__name__)
def test_traffic_matches_the_recorded_traffic(
    case: Callable[[], traffic.Act],
    engine: object,
    environment: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clear_caches()
    # The log has the numbers of connections and messages.
    environment.setattr(device_link, "_numbers", count(1))
    act = case()
    caplog.clear()
    with costs.counting() as cost, traffic.counting() as found:
        waited = act()
    log = [logger.registered_formatter.format(line) for line in caplog.records if line.name == "bindery"]
    told = found.report(cost, log) | ({} if waited is None else {"milliseconds waited": waited})
    recorded.hold(f"link: {case.__name__}", told)
