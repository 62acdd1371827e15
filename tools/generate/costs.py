"""Generate the cost tables of docs/performance.md (`make generate`)."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from tools import template
from tools.template import ROOT

PAGE = ROOT / "docs/performance.md"
RECORDED = ROOT / "tests/performance/recorded.json"

WRITE_UNITS, READ_UNITS, GATEWAY, INVOCATIONS, SECRETS = 0.625, 0.125, 1.00, 0.20, 5.00
"""Dollars per million, in us-east-1 in September 2026."""
GB_SECONDS = 13.3334
"""Dollars per million, on arm64."""
LOGGED_GB, SENT_GB = 0.50, 0.09
MESSAGES, CONNECTION_MINUTES = 1.00, 0.25
"""Dollars per million, of a WebSocket API."""
MESSAGE_BYTES, REQUEST_BYTES = 32 * 1024, 512 * 1024
"""A larger message of a WebSocket API, or request of an HTTP API, counts as several."""

OWN_SECONDS = 0.002
"""Duration of a request without its calls: 0.6 ms of CPU time on 0.289 of a processor."""
CALL_SECONDS = {"TransactWriteItems": 0.015}
OTHER_CALL_SECONDS = 0.006
"""Assumed durations of DynamoDB calls in the same region."""
POST_SECONDS = 0.010
"""Assumed duration of sending a message to a device or client."""
HASH_SECONDS = {"quectel.email_pwd_login": 0.5, "quectel.phone_pwd_login": 0.5, "remoteit.login": 0.5}
"""Duration of password hashing."""
INIT_SECONDS = 0.3
"""Assumed duration of a cold start: the runtime, the function's init, and what a first request takes longer."""
RESPONSE_BYTES, CONNECTION_BYTES = 1000, 5000
"""Assumed bytes sent for a response with its headers, and for a caller's TLS handshake."""

SHOWN = (
    ("rufus.bind_device", "first bind"),
    ("rufus.get_device", "shown"),
    ("rufus.list_devices", "four of them"),
    ("quectel.bind_device_sn", "unique mode"),
    ("quectel.user_device_list", "success"),
    ("quectel.email_pwd_login", "success"),
    ("asseco.register_owned_device", "success"),
    ("asseco.get_device", "success"),
    ("remoteit.login", "success"),
    ("remoteit.connect_device", "connected again"),
    ("remoteit.list_all", "success"),
    ("vodlix.add_device", "first"),
    ("vodlix.record_activity", "success"),
)
"""Operations and cases in the table."""


MONTH_MINUTES = 30 * 24 * 60
PING_MINUTES, RENEWAL_MINUTES = 9, 104.5
"""Minutes between an agent's `ping` messages, and on average between its connections."""
PINGS, PONGS = [15], [15]
"""Sizes of a `ping` message and its response."""

GIGABYTES = 1e9 / (11 * 92_160)
"""Recorded tunnel cases, of 11 full frames, in a gigabyte."""

LINK_SHOWN = (
    ("1,000 idle devices, a month", None),
    ("a million ends and beginnings of a connection", "connection"),
    ("a million messages with a reported property", "report"),
    ("a million HTTP requests, with responses of 1 KB", "request"),
    ("a million HTTP requests, with responses of 1 MB", "large_response"),
    ("1,000 GB through tunnels, from devices", "from_device"),
    ("1,000 GB through tunnels, to devices", "to_device"),
)
"""Rows of the table of the device link, and their recorded cases."""

EVENTS = 1.00
"""Dollars per million events published to an event bus."""
RECEIVER_SECONDS = 0.1
"""Assumed duration of a webhook's receiver."""

FEED_SHOWN = (
    ("a million first bindings of rufus devices: two events each", "first_bind"),
    ("a million bindings by quectel users", "bind_by_user"),
    ("a million connections of devices and their ends: two events", "online_and_offline"),
    ("a million changes that become no event", "no_event"),
    ("a million deliveries to a webhook", "delivery"),
    ("a month with nothing to deliver", "nothing_due"),
)
"""Rows of the table of the change feed, and their recorded cases."""


class Cost(NamedTuple):
    """Dollars per million requests, rounded to cents."""

    requests: float
    lambda_time: float
    dynamodb: float
    logs: float
    sent: float

    def total(self) -> float:
        """Return the sum of the rounded parts."""
        return round(sum(self), 2)


class Cold(NamedTuple):
    """Additional cost of a million requests that each meet a cold start and open a connection."""

    init: float
    secrets: float
    sent: float


def million(operation: str, case: dict[str, Any]) -> Cost:
    """Return the cost of a million recorded requests to warm functions."""
    calls = sum(CALL_SECONDS.get(call, OTHER_CALL_SECONDS) for call in case["calls"])
    seconds = OWN_SECONDS + calls + HASH_SECONDS.get(operation, 0)
    units = sum(case["read units"].values()) * READ_UNITS + sum(case["write units"].values()) * WRITE_UNITS
    # One byte per line is one megabyte per million lines.
    logged = (case["bytes logged"] + access_line()) / 1000 * LOGGED_GB
    sent = RESPONSE_BYTES / 1000 * SENT_GB
    parts = (GATEWAY + INVOCATIONS, seconds * _memory_gb(operation) * GB_SECONDS, units, logged, sent)
    return Cost(*(round(part, 2) for part in parts))


def traffic(case: dict[str, Any]) -> Cost:
    """Return the cost of a million recorded cases of the device link or the relay."""
    messages = [*case["messages received"], *case["messages sent"]]
    sent = sum(case["messages sent"])
    gateway = MESSAGES * sum(math.ceil(size / MESSAGE_BYTES) for size in messages)
    seconds = len(case["messages sent"]) * POST_SECONDS * _memory_gb("link.message")
    for name, *calls in case["invocations"]:
        used = OWN_SECONDS + sum(CALL_SECONDS.get(call, OTHER_CALL_SECONDS) for call in calls)
        if name == "relay.forward":
            # The relay waits for the device, and returns what the device has sent.
            used += case["milliseconds waited"] / 1000
            response = sum(case["messages received"]) * 3 // 4
            gateway += GATEWAY * math.ceil(response / REQUEST_BYTES)
            sent += RESPONSE_BYTES + response
        seconds += used * _memory_gb(name)
    parts = (
        gateway + INVOCATIONS * len(case["invocations"]),
        seconds * GB_SECONDS,
        sum(case["read units"].values()) * READ_UNITS + sum(case["write units"].values()) * WRITE_UNITS,
        case["bytes logged"] / 1000 * LOGGED_GB,
        sent / 1000 * SENT_GB,
    )
    return Cost(*(round(part, 2) for part in parts))


def idle_devices(renewal: dict[str, Any]) -> Cost:
    """Return the monthly cost of a thousand devices that are connected but send nothing."""
    pings = MONTH_MINUTES / PING_MINUTES * (len(PINGS) + len(PONGS)) * MESSAGES
    kept = traffic(renewal)
    renewals = MONTH_MINUTES / RENEWAL_MINUTES
    parts = [part * renewals for part in kept]
    parts[0] += pings + MONTH_MINUTES * CONNECTION_MINUTES
    parts[4] += MONTH_MINUTES / PING_MINUTES * sum(PONGS) / 1000 * SENT_GB
    return Cost(*(round(part / 1000, 2) for part in parts))


def link_rows() -> Iterator[tuple[str, Cost]]:
    """Yield the text and costs of each row of the table of the device link."""
    recorded = json.loads(RECORDED.read_text())
    for text, case in LINK_SHOWN:
        if case is None:
            yield text, idle_devices(recorded["link: renewal"])
            continue
        cost = traffic(recorded[f"link: {case}"])
        # A thousand gigabytes are about a million cases.
        cases = GIGABYTES / 1000 if "GB" in text else 1
        yield text, Cost(*(round(part * cases, 2) for part in cost))


def feed_rows() -> Iterator[tuple[str, Cost]]:
    """Yield the text and costs of each row of the table of the change feed."""
    recorded = json.loads(RECORDED.read_text())
    for text, case in FEED_SHOWN:
        cost = _feed(recorded[f"feed: {case}"], RECEIVER_SECONDS if case == "delivery" else 0)
        millions = MONTH_MINUTES / 1_000_000 if case == "nothing_due" else 1
        yield text, Cost(*(round(part * millions, 2) for part in cost))


def _feed(case: dict[str, Any], waited: float) -> Cost:
    """Return the cost of a million recorded cases of the change feed, if each change has an invocation of its own."""
    seconds = waited * _memory_gb("feed.deliver")
    for name, *calls in case["invocations"]:
        # The event bus is called once for a batch.
        calls += ["PutEvents"] if calls and name == "feed.record" else []
        used = OWN_SECONDS + sum(CALL_SECONDS.get(call, OTHER_CALL_SECONDS) for call in calls)
        seconds += used * _memory_gb(name)
    return Cost(
        EVENTS * case["events"] + INVOCATIONS * len(case["invocations"]),
        seconds * GB_SECONDS,
        sum(case["read units"].values()) * READ_UNITS + sum(case["write units"].values()) * WRITE_UNITS,
        case["bytes logged"] / 1000 * LOGGED_GB,
        0,
    )


def feed_table() -> str:
    """Return the table of the change feed in Markdown."""
    heads = "US dollars|invocations, events|Lambda time|DynamoDB|logs|**total**"
    lines = [f"| {heads.replace('|', ' | ')} |", f"|---{'|--:' * 5}|"]
    for text, cost in feed_rows():
        lines.append(f"| {text} | {' | '.join(map(_cents, cost[:-1]))} | **{cost.total():.2f}** |")
    return "\n".join([*lines, ""])


def link_table() -> str:
    """Return the table of the device link in Markdown."""
    heads = "US dollars|API Gateway, invocations|Lambda time|DynamoDB|logs|sent|**total**"
    lines = [f"| {heads.replace('|', ' | ')} |", f"|---{'|--:' * 6}|"]
    for text, cost in link_rows():
        lines.append(f"| {text} | {' | '.join(map(_cents, cost))} | **{cost.total():.2f}** |")
    return "\n".join([*lines, ""])


def cold(operation: str) -> Cold:
    """Return the additional cost of a million cold starts. Lambda bills an init like a request's duration."""
    read = sum(value in _secrets() for value in template.function(operation).environment.values())
    parts = (INIT_SECONDS * _memory_gb(operation) * GB_SECONDS, read * SECRETS, CONNECTION_BYTES / 1000 * SENT_GB)
    return Cold(*(round(part, 2) for part in parts))


def _secrets() -> list[Any]:
    return [{"Ref": logical_id} for logical_id, _ in template.resources("AWS::SecretsManager::Secret")]


def _memory_gb(operation: str) -> float:
    document = template.document()
    own = document["Resources"][template.function(operation).logical_id]["Properties"]
    megabytes: int = own.get("MemorySize", document["Globals"]["Function"]["MemorySize"])
    return megabytes / 1024


def access_line() -> int:
    """Return the typical bytes of an access log line."""
    api = dict(template.resources("AWS::Serverless::HttpApi"))["Api"]
    values = {
        "requestId": "JKJaXmPLvHcESHA=",
        "requestTime": "20/Nov/2026:12:00:00 +0000",
        "routeKey": "POST /v2/binding/enduserapi/bindDeviceSn",
        "error.message": "-",
        "integrationErrorMessage": "-",
    }
    line = re.sub(r"\$context\.([\w.]+)", lambda found: values.get(found[1], "200"), api["AccessLogSettings"]["Format"])
    return len(line)


def rows() -> Iterator[tuple[str, str, Cost, Cold]]:
    """Yield operation, case and costs of each row."""
    recorded = json.loads(RECORDED.read_text())
    for name, case in SHOWN:
        yield name, case, million(name, recorded[name.partition(".")[0]][name][case]), cold(name)


def table() -> str:
    """Return the table in Markdown."""
    heads = "one million requests|requests|Lambda time|DynamoDB|logs|sent|**warm**|init|secrets|handshake|**cold**"
    lines = [f"| {heads.replace('|', ' | ')} |", f"|---{'|--:' * 10}|"]
    for name, case, warm, extra in rows():
        total = warm.total()
        figures = [*map(_cents, warm), f"**{total:.2f}**", *map(_cents, extra), f"**{total + sum(extra):.2f}**"]
        lines.append(f"| `{name}`, {case} | {' | '.join(figures)} |")
    return "\n".join([*lines, ""])


def _cents(part: float) -> str:
    return f"{part:.2f}" if part else "-"


def alarm_metrics() -> int:
    """Return the number of billed alarm metrics. An anomaly detection band counts three."""
    found = 0
    for _, alarm in template.resources("AWS::CloudWatch::Alarm"):
        queries = alarm.get("Metrics", [{"MetricStat": alarm}])
        learnt = any("ANOMALY_DETECTION_BAND" in query.get("Expression", "") for query in queries)
        found += sum("MetricStat" in query for query in queries) * (3 if learnt else 1)
    return found


def idle() -> float:
    """Return the monthly dollars for secrets and alarms."""
    return len(_secrets()) * 0.40 + alarm_metrics() * 0.10


def rendered(page: str) -> str:
    """Return the page with the costs regenerated."""
    monthly = (
        f"An idle installation costs ${idle():.2f} a month: {len(_secrets())} secrets, {alarm_metrics()} alarm metrics"
    )
    more = "Metrics in use and stored data cost more: [operating.md](operating.md#costs)."
    page = filled(page, "link costs", link_table())
    page = filled(page, "feed costs", feed_table())
    return filled(page, "costs", f"{table()}\n{monthly}.\n{more}\n")


def filled(page: str, name: str, text: str) -> str:
    """Return a page with new text between `<!-- name -->` and `<!-- end -->`."""
    head, begin, rest = page.partition(f"<!-- {name} -->\n")
    _, end, tail = rest.partition("<!-- end -->\n")
    if not end:
        raise ValueError(f"the page has no place for {name}")
    return head + begin + text + end + tail


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text()))
