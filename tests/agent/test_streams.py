"""Streams between the agent and both kinds of peers: what arrives is what was sent, or the stream is reset."""

import asyncio
import random
from typing import Any

import pytest

from agent.bindery_agent import MAX_DATA, MAX_HELD, MAX_STREAMS, WINDOW, Stream, Streams
from tests.agent.simulation import Network, Pair, Poller, Reset, Service, faulty, simulated

SIZES = [0, 1, 92_159, 92_160, 1024 * 1024, 4_500_000]


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


async def carried(stream: Stream) -> tuple[Pair, asyncio.Future[None]]:
    """Carry bytes between a stream and a new pair."""
    pair = await Pair().open()
    return pair, pair.carry(stream)


async def ignore(stream: Stream) -> None:
    """Serve a stream with a connection that neither sends nor reads."""
    pair = await Pair().open()
    await pair.carry(stream)


async def settle(stream: Stream) -> None:
    while not stream.settled:
        await asyncio.sleep(0.1)


# ── with acks ──


@pytest.mark.parametrize("seed", range(12))
@simulated
async def test_both_directions_survive_a_faulty_network(seed: int) -> None:
    request, response = content(SIZES[seed % 6], seed), content(SIZES[seed // 2 % 6], -seed)
    service = Service(response)
    async with Network(service.serve, faulty(seed)) as network:
        stream = network.client.open("s", "ssh")
        pair, carrying = await carried(stream)
        assert await pair.exchange(request) == response
        await carrying
        await settle(stream)
        assert stream.why is None
    assert service.requests == [request]


@simulated
async def test_opener_may_end_its_direction_last() -> None:
    async def serve(stream: Stream) -> None:
        pair, carrying = await carried(stream)
        await pair.send(b"SSH-2.0")
        assert await pair.reader.read() == b"bye"
        await carrying

    async with Network(serve, faulty(1)) as network:
        stream = network.client.open("s", "ssh")
        pair, carrying = await carried(stream)
        assert await pair.reader.read() == b"SSH-2.0"
        await pair.send(b"bye")
        await carrying
        await settle(stream)
        assert stream.why is None


@pytest.mark.parametrize("reader", ["agent's", "client's"])
@simulated
async def test_slow_reader_stops_the_sender_and_loses_nothing(reader: str) -> None:
    """Ten minutes in which one end's program reads nothing."""
    data = content(4_000_000)
    streams: list[Stream] = []
    wakes = asyncio.Event()
    received: list[bytes] = []

    async def consume(pair: Pair) -> None:
        await wakes.wait()
        received.append(await pair.reader.read())
        pair.writer.write_eof()

    async def produce(pair: Pair) -> None:
        await pair.send(data)
        assert await pair.reader.read() == b""

    async def serve(stream: Stream) -> None:
        streams.append(stream)
        pair = await Pair().open()
        await asyncio.gather(pair.carry(stream), consume(pair) if reader == "agent's" else produce(pair))

    async with Network(serve, faulty(3, loss=0.05)) as network:
        pair = await Pair().open()
        streams.append(network.client.open("s", "vnc"))
        both = asyncio.gather(pair.carry(streams[0]), produce(pair) if reader == "agent's" else consume(pair))
        for _ in range(600):
            await asyncio.sleep(1)
            assert all(stream.held <= WINDOW * MAX_DATA for stream in streams)
        sent = sum("d" in message for message in [*network.to_agent, *network.to_peer])
        assert sent <= 3 * WINDOW, "what arrived is not sent again"
        wakes.set()
        await both
    assert received == [data]


@pytest.mark.parametrize("writes", [True, False], ids=["writing", "idle"])
@simulated
async def test_stream_to_a_vanished_peer_is_lost(writes: bool) -> None:
    ended = asyncio.Event()

    async def serve(stream: Stream) -> None:
        pair, carrying = await carried(stream)
        if writes:
            pair.writer.write(b"hello")
        assert await pair.reader.read() == b""
        await carrying
        assert stream.why == "lost"
        ended.set()

    async with Network(serve) as network:
        network.send({"type": "open", "s": "s", "svc": "ssh", "n": 0, "acks": True})
        network.peer = lambda message: None
        began = network.loop.time()
        await ended.wait()
        assert network.loop.time() - began == pytest.approx(60 if writes else 120, abs=6)
        await asyncio.sleep(1)
        first = {"type": "data", "s": "s", "n": 0, "d": "aGVsbG8=", "ack": 1}
        assert network.to_peer[0] == (first if writes else {"type": "ack", "s": "s", "n": 1, "window": 8})
        if writes:
            assert [message | {"ack": 1} for message in network.to_peer[1:-1]] == [first] * 13
        assert network.to_peer[-1] == {"type": "reset", "s": "s", "why": "lost"}


@simulated
async def test_idle_stream_is_probed_and_stays() -> None:
    async with Network(ignore) as network:
        stream = network.client.open("s", "ssh")
        await asyncio.sleep(3600)
        assert stream.why is None
        assert 50 <= network.types().count("need") + network.types().count("ack") <= 130


@simulated
async def test_lost_last_acknowledgement_is_repeated() -> None:
    service = Service(b"")
    async with Network(service.serve) as network:
        stream = network.client.open("s", "ssh")
        stream.finish()
        network.faults = lambda message: [] if message.get("n") == 1 and message["type"] == "ack" else [0.02]
        await asyncio.sleep(10)
        network.faults = lambda message: [0.02]
        await settle(stream)
        assert stream.why is None


@simulated
async def test_reset_of_either_end_reaches_the_other() -> None:
    agents: list[Stream] = []

    async def serve(stream: Stream) -> None:
        agents.append(stream)
        await ignore(stream)

    async with Network(serve) as network:
        streams = [network.client.open(s, "ssh") for s in ("a", "b")]
        await asyncio.sleep(1)
        streams[0].reset("ended")
        agents[1].reset("closed")
        await asyncio.sleep(1)
        assert [stream.why for stream in [*streams, *agents]] == ["ended", "closed", "ended", "closed"]
        assert [message for message in network.to_agent if message["type"] == "reset"] == [
            {"type": "reset", "s": "a", "why": "ended"}
        ]


@simulated
async def test_broken_connection_resets_the_stream() -> None:
    async def serve(stream: Stream) -> None:
        pair, carrying = await carried(stream)
        pair.writer.transport.abort()
        await carrying

    async with Network(serve) as network:
        stream = network.client.open("s", "ssh")
        pair, carrying = await carried(stream)
        for _ in range(100):
            pair.writer.write(content(10_000))
        await carrying
        assert stream.why == "closed"


@simulated
async def test_client_that_leaves_before_the_answer_resets_the_stream() -> None:
    async with Network(Service(content(2_000_000)).serve) as network:
        stream = network.client.open("s", "http")
        pair, carrying = await carried(stream)
        pair.writer.close()
        await carrying
        assert stream.why == "closed"


# ── without acks ──


@pytest.mark.parametrize("seed", range(12))
@simulated
async def test_request_and_answer_survive_a_faulty_network(seed: int) -> None:
    request, response = content(SIZES[seed % 6], seed), content(SIZES[seed // 2 % 6], -seed)
    service = Service(response)
    async with Network(service.serve, faulty(seed)) as network:
        assert await Poller(network).request(request) == response
    assert service.requests == [request]


@simulated
async def test_large_answer_has_full_frames() -> None:
    async with Network(Service(content(1024 * 1024)).serve) as network:
        await Poller(network).request(b"GET")
        assert network.types() == ["data"] * 12


@simulated
async def test_lost_last_frame_is_sent_again_only_when_needed() -> None:
    async with Network(Service(b"answer").serve) as network:
        network.faults = lambda message: [] if message["type"] == "data" and not network.to_agent[1:] else [0.02]
        assert await Poller(network).request(b"") == b"answer"
        assert network.types() == ["data", "data"]
        assert network.to_agent[1] == {"type": "need", "s": "s", "from": 0, "not": []}


@simulated
async def test_slow_service_is_still_alive() -> None:
    async with Network(Service(b"answer", pause=10).serve) as network:
        assert await Poller(network).request(b"") == b"answer"
        assert network.types() == ["still"] * 9 + ["data"]


@simulated
async def test_service_may_answer_without_reading_the_request() -> None:
    async def serve(stream: Stream) -> None:
        pair, carrying = await carried(stream)
        await pair.send(b"HTTP/1.1 413 Content Too Large\r\n\r\n")
        await asyncio.sleep(0.1)
        await carrying

    async with Network(serve) as network:
        assert await Poller(network).request(content(4_500_000)) == b"HTTP/1.1 413 Content Too Large\r\n\r\n"


@pytest.mark.parametrize("answered", [True, False])
@simulated
async def test_stream_ends_when_its_poller_vanished(answered: bool) -> None:
    ended = asyncio.Event()

    async def serve(stream: Stream) -> None:
        await (Service(b"answer").serve if answered else ignore)(stream)
        ended.set()

    async with Network(serve) as network:
        network.send({"type": "open", "s": "s", "svc": "http", "n": 0, "fin": True})
        network.peer = lambda message: None
        await asyncio.sleep(1)
        assert ended.is_set() == answered
        await asyncio.sleep(28)
        network.send({"type": "need", "s": "s", "from": 0, "not": []})
        await asyncio.sleep(62)
        assert ended.is_set()
        network.send({"type": "need", "s": "s", "from": 0, "not": []})
        await asyncio.sleep(1)
        assert network.to_peer[-1] == {"type": "reset", "s": "s", "why": "unknown" if answered else "lost"}
        assert network.types() == (["data", "data", "reset"] if answered else ["still", "reset", "reset"])


# ── messages that are early, late, unknown or invalid ──


@simulated
async def test_frames_before_open_are_kept_for_five_seconds() -> None:
    service = Service(b"")
    async with Network(service.serve) as network:
        network.peer = lambda message: None
        for s, late in (("a", 4), ("b", 6)):
            network.send({"type": "data", "s": s, "n": 1, "d": "dHdv", "fin": True})
            await asyncio.sleep(late)
            network.send({"type": "open", "s": s, "svc": "http", "n": 0, "d": "b25l"})
        await asyncio.sleep(1)
        network.send({"type": "need", "s": "b", "from": 0, "not": []})
        await asyncio.sleep(1)
        assert service.requests == [b"onetwo"]
        assert network.to_peer[1:] == [
            {"type": "ack", "s": "b", "n": 1, "window": 8},
            {"type": "need", "s": "b", "from": 1, "not": []},
        ]


@simulated
async def test_at_most_64_frames_wait_for_open() -> None:
    async with Network(ignore) as network:
        for s in range(40):
            for number in (1, 2):
                network.agent.receive({"type": "data", "s": str(s), "n": number, "d": "AA=="})
        for s in range(40):
            network.agent.receive({"type": "open", "s": str(s), "svc": "x", "n": 0})
            network.agent.receive({"type": "need", "s": str(s), "from": 0, "not": []})
        await asyncio.sleep(1)
        assert [message["n"] for message in network.to_peer if message["type"] == "ack"] == [3] * 32 + [1] * 8


@simulated
async def test_need_of_an_unknown_stream_asks_for_its_beginning() -> None:
    async with Network(ignore) as network:
        network.send({"type": "need", "s": "s", "from": 0, "not": []})
        for kind in ("ack", "still", "reset"):
            network.send({"type": kind, "s": "t", "n": 0, "window": 8, "why": "closed"})
        await asyncio.sleep(1)
        assert network.to_peer == [{"type": "need", "s": "s", "from": 0, "not": []}]


@simulated
async def test_ended_stream_is_not_opened_again() -> None:
    service = Service(b"answer")
    async with Network(service.serve) as network:
        opening = {"type": "open", "s": "s", "svc": "http", "n": 0, "fin": True}
        network.send(opening)
        await asyncio.sleep(1)
        network.send({"type": "ack", "s": "s", "n": 1, "window": 8})
        network.send(opening)
        await asyncio.sleep(1)
        assert len(service.requests) == 1
        assert network.to_peer[1:] == [{"type": "reset", "s": "s", "why": "unknown"}]


@simulated
async def test_65th_stream_is_refused() -> None:
    async with Network(ignore) as network:
        for s in range(MAX_STREAMS + 1):
            network.agent.receive({"type": "open", "s": str(s), "svc": "ssh", "n": 0})
        await asyncio.sleep(1)
        assert network.to_peer == [{"type": "reset", "s": "64", "why": "busy"}]
        network.send({"type": "reset", "s": "0", "why": "closed"})
        await asyncio.sleep(1)
        network.send({"type": "open", "s": "64", "svc": "ssh", "n": 0})
        network.send({"type": "open", "s": "65", "svc": "ssh", "n": 0})
        await asyncio.sleep(1)
        assert network.to_peer[1:] == [{"type": "reset", "s": "64", "why": "busy"}]


@simulated
async def test_answered_requests_do_not_count_as_open() -> None:
    async with Network(Service(b"answer").serve) as network:
        for s in range(3 * MAX_STREAMS):
            network.send({"type": "open", "s": str(s), "svc": "http", "n": 0, "fin": True})
            await asyncio.sleep(0.1)
        assert network.types() == ["data"] * 3 * MAX_STREAMS


@pytest.mark.parametrize("acks", [True, False])
@simulated
async def test_memory_is_bounded_and_streams_share_it(acks: bool) -> None:
    async with Network(Service(content(1_000_000)).serve) as network:
        network.peer = lambda message: None
        for s in range(20):
            network.send({"type": "open", "s": str(s), "svc": "http", "n": 0, "fin": True, "acks": acks})
        await asyncio.sleep(1)
        held = sum(stream.held for stream in network.agent._streams.values())
        assert MAX_HELD - MAX_DATA <= held <= MAX_HELD + 20 * MAX_DATA
        assert {message["s"] for message in network.to_peer} == {str(s) for s in range(20)}


@simulated
async def test_old_answers_make_room_for_new_ones() -> None:
    async with Network(Service(content(1_000_000)).serve) as network:
        network.peer = lambda message: None
        for s in range(6):
            network.send({"type": "open", "s": str(s), "svc": "http", "n": 0, "fin": True})
            await asyncio.sleep(0.1)
            network.send({"type": "ack", "s": str(s), "n": 4, "window": 8})
        await asyncio.sleep(6)
        network.send({"type": "open", "s": "new", "svc": "http", "n": 0, "fin": True})
        await asyncio.sleep(1)
        for s in ("0", "1"):
            network.send({"type": "need", "s": s, "from": 4, "not": []})
            await asyncio.sleep(1)
        sizes = [len(message["d"]) for message in network.to_peer if message["s"] == "new"]
        assert sizes == [MAX_DATA * 4 // 3] * WINDOW
        assert [message["n"] for message in network.to_peer[-12:] if message["s"] == "0"] == list(range(4, 11))
        assert network.to_peer[-1] == {"type": "reset", "s": "1", "why": "unknown"}


@simulated
async def test_memory_is_bounded_when_no_service_reads() -> None:
    async with Network(ignore) as network:
        data = base64_of(MAX_DATA)
        for number in range(WINDOW):
            for s in range(20):
                kind = {"type": "data"} if number else {"type": "open", "svc": "http"}
                network.agent.receive({**kind, "s": str(s), "n": number, "d": data})
        streams = network.agent._streams.values()
        assert sum(stream.held for stream in streams) <= MAX_HELD
        await asyncio.sleep(1)
        assert len(streams) == 20


INVALID: list[dict[str, Any]] = [
    *({"type": "data", "n": 1, "d": data} for data in ("not base64", "AA", "é", 5)),
    {"type": "data", "n": 1, "fin": "yes"},
    *({"type": "data", "n": number} for number in (-1, True, 1.0, 1e300, None, [1], 9, 2**64)),
    {"type": "data"},
    {"type": "data", "n": 0, "d": "AA=="},
    *({"type": "open", **more} for more in ({"n": 1, "svc": "x"}, {"n": 0}, {"n": 0, "svc": 7})),
    *({"type": "ack", "n": number, "window": 8} for number in (5, "1")),
    *({"type": "ack", "n": 0, "window": window} for window in (-1, {})),
    *({"type": "need", "from": 0, "not": others} for others in ("x", None)),
    *({"type": "need", "from": first} for first in (9, -1)),
    *({"type": kind} for kind in ("ack", "need", "other", ["data"])),
    {},
]


@pytest.mark.parametrize("acks", [True, False])
@simulated
async def test_invalid_messages_have_no_effect(acks: bool) -> None:
    service = Service(b"answer")
    async with Network(service.serve) as network:
        too_large = {"type": "data", "n": 1, "d": base64_of(MAX_DATA + 1)}
        for message in [*INVALID, too_large]:
            for s in ("new", None, 5, "", "x" * 201, ["s"]):
                network.agent.receive(message | {"s": s})
        network.agent.receive({"type": "open", "s": "s", "svc": "http", "n": 0, "d": "b25l", "acks": acks})
        for message in [*INVALID, too_large]:
            network.agent.receive(message | {"s": "s"})
        network.agent.receive({"type": "data", "s": "s", "n": 1, "d": "dHdv", "fin": True})
        await asyncio.sleep(0.5)
        assert service.requests == [b"onetwo"]
        answers = [message for message in network.to_peer if message["s"] == "s" and "d" in message]
        assert [message["d"] for message in answers] == ["YW5zd2Vy"]


def base64_of(size: int) -> str:
    return "AAAA" * (size // 3) + {0: "", 1: "AA==", 2: "AAA="}[size % 3]


@pytest.mark.parametrize("seed", range(12))
@simulated
async def test_forged_messages_never_raise(seed: int) -> None:
    """Random messages with members of the right names: the agent survives, and then serves a stream."""
    chance = random.Random(seed)
    values: list[Any] = [0, 1, 2, 7, 8, 64, 2**53, -1, 1.5, True, None, "", "a", "AAAA", "x" * 300, [], [1, "x"], {}]
    names = ("n", "d", "fin", "ack", "acks", "window", "from", "not", "svc", "why")
    service = Service(b"answer")
    async with Network(service.serve) as network:
        for _ in range(300):
            message = {name: chance.choice(values) for name in names if chance.random() < 0.6}
            kind = chance.choice(["open", "data", "ack", "need", "still", "reset", 1])
            network.agent.receive(message | {"type": kind, "s": chance.choice(["a", "b", "c", None])})
            if chance.random() < 0.2:
                await asyncio.sleep(chance.choice([0.1, 1, 70]))
        await asyncio.sleep(200)
        assert await Poller(network, "s").request(b"request") == b"answer"
        assert service.requests[-1] == b"request"


@simulated
async def test_frames_wait_until_they_can_be_sent() -> None:
    """While the agent is offline, nothing is lost and the streams stop."""
    online = asyncio.Event()
    arrived: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        await online.wait()
        arrived.append(message)

    streams = Streams(Service(content(4_000_000)).serve, asyncio.get_running_loop().time)
    running = asyncio.ensure_future(streams.run(send))
    streams.receive({"type": "open", "s": "s", "svc": "http", "n": 0, "fin": True})
    await asyncio.sleep(20)
    assert arrived == []
    online.set()
    await asyncio.sleep(1)
    assert [message["n"] for message in arrived] == list(range(WINDOW))
    running.cancel()
    await asyncio.wait({running})


@simulated
async def test_reset_reason_survives_its_loss() -> None:
    async def refuse(stream: Stream) -> None:
        stream.reset("refused")

    async with Network(refuse) as network:
        network.faults = lambda message: [] if message["type"] == "reset" and len(network.to_peer) == 1 else [0.02]
        with pytest.raises(Reset, match="refused"):
            await Poller(network).request(b"")
