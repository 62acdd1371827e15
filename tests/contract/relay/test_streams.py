"""relay: lost, repeated and reordered messages, and devices that leave, restart or do not respond."""

import base64
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from bindery.aws.errors import ServiceError
from bindery.relay import exchanges
from tests import device_link
from tests.device_link import gateway
from tests.relay import FRAME, Faults, Message, Part, World, echo, plain

pytestmark = pytest.mark.usefixtures("registry")

LARGE = random.Random(0).randbytes(10 * FRAME)


def slow(*seconds: float) -> Callable[[bytes], list[Part]]:
    return lambda _: [*seconds, plain(b"hi")]


def drop(world: World, **members: Any) -> list[Message]:
    """Lose the first message that has these members, and return the messages lost so far."""
    lost: list[Message] = []

    def first(message: Message) -> bool:
        if lost or any(message.get(name) != value for name, value in members.items()):
            return False
        lost.append(message)
        return True

    world.agent.drop = first
    return lost


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "faults", [{"lost": 0.1}, {"repeated": 0.5, "delay": 0.15}, {"lost": 0.05, "repeated": 0.2, "delay": 0.4}]
)
def test_unreliable_messages_change_no_body(faults: dict[str, float], seed: int) -> None:
    world = World(echo, faults=Faults(**faults, seed=seed))  # type: ignore[arg-type]
    answer = world.ask("POST", body=LARGE)
    assert (answer.status, answer.body == LARGE) == (200, True)
    (request,) = world.agent.requests
    assert request.endswith(LARGE)


@pytest.mark.parametrize("size", [0, 10 * FRAME])
@pytest.mark.parametrize(
    "members",
    [{"type": "open"}, {"n": 0}, {"n": 1}, {"n": 9}, {"fin": True}, {"type": "ack"}, {"type": "ack", "n": 8}],
    ids=json.dumps,
)
def test_single_lost_message_is_made_up_for(size: int, members: dict[str, Any]) -> None:
    world = World(echo)
    lost = drop(world, **members)
    answer = world.ask("POST", body=LARGE[:size])
    assert (answer.status, answer.body == LARGE[:size]) == (200, True)
    assert len(world.agent.requests) == 1
    assert lost or size == 0


def test_lost_last_frame_of_the_response_is_asked_for() -> None:
    world = World(lambda _: [plain(LARGE)])
    world.agent.drop = lambda message: message.get("fin", False) and message["n"] == 10 and world.time.now < 1
    assert world.ask().body == LARGE
    assert {"type": "need", "from": 10, "not": []} in [
        {name: value for name, value in message.items() if name != "s"} for message in world.agent.got
    ]


def test_lost_acknowledgements_of_the_request_do_not_stop_it() -> None:
    world = World(echo)
    world.agent.drop = lambda message: message["type"] == "ack" and message["n"] in (4, 8)
    body = LARGE * 2
    answer = world.ask("POST", body=body)
    assert (answer.status, answer.body == body) == (200, True)


def test_window_limits_what_is_sent_without_acknowledgement() -> None:
    world = World(echo)
    world.agent.frozen = True
    world.ask("POST", body=LARGE * 2)
    before_silence = [message for message in world.agent.got if message["type"] in ("open", "data")][:9]
    assert [message["n"] for message in before_silence] == [*range(8), 8]
    assert world.agent.got[8]["type"] == "need"


def test_every_four_frames_of_a_response_are_acknowledged() -> None:
    world = World(lambda _: [plain(LARGE)])
    assert world.ask().body == LARGE
    acknowledged = world.sent("ack")
    assert [(message["n"], message["window"]) for message in acknowledged] == [(4, 8), (8, 8), (11, 8)]


BUSY = ServiceError("LimitExceededException", 429, {})


def refuse(monkeypatch: pytest.MonkeyPatch, error: ServiceError, calls: int = 10**6) -> list[int]:
    """Let the next calls of the management API fail, and return the number of those that are left."""
    call, left = gateway().call, [calls]

    def refused(operation: str, **request: Any) -> dict[str, Any]:
        if left[0]:
            left[0] -= 1
            raise error
        return call(operation, **request)

    monkeypatch.setattr(gateway(), "call", refused)
    return left


def test_busy_connection_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(echo)
    left = refuse(monkeypatch, BUSY, 3)
    assert world.ask("POST", body=LARGE).body == LARGE
    assert left == [0]


def test_connection_that_stays_busy_is_504(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(echo)
    refuse(monkeypatch, BUSY)
    assert world.ask().status == 504
    assert 25 < world.took <= 27


def test_unreachable_management_api_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(echo)
    refuse(monkeypatch, ServiceError("InternalServerError", 500, {}))
    answer = world.ask()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("connected", [False, True])
def test_offline_device_is_503_at_once(connected: bool) -> None:
    world = World(echo, online=connected)
    if connected:
        world.agent.connection.end()
    answer = world.ask()
    assert (answer.status, answer.text, answer.headers["retry-after"]) == (503, "The device is offline.\n", "60")
    assert world.took == 0


def test_device_whose_disconnect_was_lost_is_503() -> None:
    world = World(echo)
    gateway().open.clear()
    answer = world.ask()
    assert (answer.status, answer.text, answer.headers["retry-after"]) == (503, "The device is offline.\n", "60")
    assert world.took < 3


def test_slow_service_is_waited_for() -> None:
    world = World(slow(10.0))
    assert world.ask().body == b"hi"
    assert 10 <= world.took < 10.2
    assert 5 < len(world.sent("need")) < 10
    assert len(world.sent("open")) == 1


def test_service_that_takes_over_27_seconds_is_504() -> None:
    world = World(slow(30.0))
    answer = world.ask()
    assert (answer.status, "27 seconds" in answer.text) == (504, True)
    assert 26.8 < world.took <= 27
    assert world.agent.got[-1]["type"] == "reset"
    assert world.agent.streams == {}


def test_frozen_device_is_504_after_four_seconds() -> None:
    world = World(echo)
    world.agent.frozen = True
    answer = world.ask()
    assert (answer.status, answer.text) == (504, "The device does not respond.\n")
    assert 4 <= world.took < 4.5
    assert [message["type"] for message in world.agent.got] == ["open", "need", "need", "need", "reset"]


def test_device_that_freezes_later_is_504() -> None:
    world = World(slow(20.0))
    world.time.at(3.0, lambda: setattr(world.agent, "frozen", True))
    assert world.ask().status == 504
    assert 6 < world.took < 7.5


@pytest.mark.parametrize("size", [1, 10 * FRAME])
def test_device_that_leaves_is_502_within_two_seconds(size: int) -> None:
    world = World(lambda _: [LARGE[:1], 20.0])
    world.time.at(0.012, lambda: world.agent.connection.end())
    answer = world.ask("POST", body=LARGE[:size])
    assert (answer.status, answer.text) == (502, "The device went offline.\n")
    assert world.took < 2


def test_device_that_leaves_after_its_last_frame_has_responded() -> None:
    world = World(lambda _: [plain(LARGE[: 7 * FRAME])])
    sent = world.agent.send

    def leave(message: Message) -> None:
        sent(message)
        if message.get("fin"):
            world.time.after(0.006, world.agent.connection.end)

    world.agent.send = leave  # type: ignore[method-assign]
    assert world.ask().body == LARGE[: 7 * FRAME]


def test_lost_disconnect_of_a_device_that_leaves_is_502() -> None:
    world = World(slow(20.0))
    world.time.at(0.5, gateway().open.clear)
    assert world.ask().status == 502
    assert world.took < 2


def test_stream_goes_on_over_a_new_connection() -> None:
    world = World(lambda _: [LARGE[:0], 2.0, plain(LARGE)])
    world.time.at(1.5, world.agent.connect)
    answer = world.ask("POST", body=LARGE)
    assert (answer.status, answer.body == LARGE) == (200, True)
    first, second = world.agent.connections
    assert not first.is_open
    assert "ack" in [message["type"] for message in second.received]


def test_new_connection_that_is_not_known_yet_is_waited_for() -> None:
    world = World(slow(5.0))

    def replace() -> None:
        world.agent.connect()
        made = world.agent.connection
        del gateway().open[made.id]
        world.time.after(0.9, lambda: gateway().open.update({made.id: made}))

    world.time.at(0.9, replace)
    assert world.ask().body == b"hi"


def test_restarted_agent_is_502_and_gets_the_request_only_once() -> None:
    world = World(slow(20.0))
    world.time.at(2.5, world.agent.restart)
    answer = world.ask()
    assert (answer.status, answer.text) == (502, "The device restarted while it processed the request.\n")
    assert world.took < 4
    assert len(world.sent("open")) == 1


def test_agent_that_restarted_before_any_message_gets_the_request_only_once() -> None:
    world = World(slow(20.0))
    world.time.at(0.5, world.agent.restart)
    answer = world.ask("POST", body=b"unlock")
    assert (answer.status, answer.text) == (502, "The device restarted while it processed the request.\n")
    assert len(world.sent("open")) == len(world.agent.requests) == 1


def test_delayed_need_of_a_device_that_has_responded_changes_nothing() -> None:
    world = World(slow(3.0))
    name: list[str] = []
    world.time.at(0.5, lambda: name.extend(world.agent.streams))
    # Sent before the first frame arrived, and delayed.
    world.time.at(1.5, lambda: world.agent.send({"type": "need", "s": name[0], "from": 0, "not": []}))
    assert world.ask().body == b"hi"
    assert len(world.sent("open")) == 1


@pytest.mark.parametrize(
    ("why", "text"),
    [
        ("unknown-service", "The device's agent offers no service with the name http."),
        ("refused", "The device's service refused the connection."),
        ("unreachable", "The device's agent cannot reach its service."),
        ("busy", "The device has too many open connections. Try again."),
        ("unknown", "The device restarted while it processed the request."),
        ("closed", "The device's service closed the connection before the end of its response."),
        ("<b>", "The device ended the connection."),
    ],
)
def test_reset_of_the_device_is_502_with_its_reason(why: str, text: str) -> None:
    world = World(slow(20.0))
    world.time.at(0.2, lambda: world.agent.reset(why))
    answer = world.ask()
    assert (answer.status, answer.text) == (502, text + "\n")
    assert world.sent("reset") == [], "a reset is not answered"


def test_reset_after_the_whole_response_is_too_late() -> None:
    world = World(lambda _: [plain(b"hi"), 20.0])
    world.time.at(0.009, lambda: world.agent.reset("closed"))
    assert world.ask().body == b"hi"


def test_frames_of_another_device_never_arrive() -> None:
    world = World(slow(1.0))
    other = device_link.connected(world.other())
    forged = base64.b64encode(plain(b"forged")).decode()

    def forge() -> None:
        (name,) = world.agent.streams
        other.send({"type": "data", "s": name, "n": 0, "d": forged, "fin": True})

    world.time.at(0.5, forge)
    assert world.ask().body == b"hi"
    assert other.received[-1]["type"] == "reset"


def test_longest_wait_between_reads_is_a_tenth_of_a_second() -> None:
    world = World(slow(0.99))
    world.ask()
    reads = world.round_trips.count("Query") - 1
    # 10, 20, 40 and 80 ms, then every 100 ms.
    assert reads == 13
    assert exchanges.FRAME == FRAME


def test_frames_beyond_the_window_are_not_kept() -> None:
    world = World(slow(1.5))

    def flood() -> None:
        (name,) = world.agent.streams
        for number in (7, 8, 50):
            world.agent.send({"type": "data", "s": name, "n": number, "d": "eA=="})

    world.time.at(0.1, flood)
    assert world.ask().body == b"hi"
    assert [message["not"] for message in world.sent("need")] == [[7]]
