"""Generate the cost table of docs/performance.md (`make generate`)."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from tools import template
from tools.template import ROOT

PAGE = ROOT / "docs/performance.md"
RECORDED = ROOT / "tests/performance/recorded.json"

WRITE_UNITS, READ_UNITS, GATEWAY, INVOCATIONS = 0.625, 0.125, 1.00, 0.20
"""Dollars per million, in us-east-1 at the end of 2024."""
GB_SECONDS = 13.3334
"""Dollars per million, on arm64."""
LOGGED_GB = 0.50

OWN_SECONDS = 0.002
"""CPU time of a request without its calls."""
CALL_SECONDS = {"TransactWriteItems": 0.015}
OTHER_CALL_SECONDS = 0.006
"""Assumed durations of DynamoDB calls in the same region."""
HASH_SECONDS = {"quectel.email_pwd_login": 0.5, "quectel.phone_pwd_login": 0.5, "remoteit.login": 0.5}
"""Duration of password hashing."""

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


class Cost(NamedTuple):
    """Dollars per million requests, rounded to cents."""

    gateway: float
    lambda_requests: float
    lambda_time: float
    dynamodb: float
    logs: float

    def total(self) -> float:
        """Return the sum of the rounded parts."""
        return round(sum(self), 2)


def million(operation: str, case: dict[str, Any]) -> Cost:
    """Return the cost of a million recorded requests."""
    calls = sum(CALL_SECONDS.get(call, OTHER_CALL_SECONDS) for call in case["calls"])
    seconds = OWN_SECONDS + calls + HASH_SECONDS.get(operation, 0)
    units = sum(case["read units"].values()) * READ_UNITS + sum(case["write units"].values()) * WRITE_UNITS
    # One byte per line is one megabyte per million lines.
    logged = (case["bytes logged"] + access_line()) / 1000 * LOGGED_GB
    parts = (GATEWAY, INVOCATIONS, seconds * _memory_gb(operation) * GB_SECONDS, units, logged)
    return Cost(*(round(part, 2) for part in parts))


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


def rows() -> Iterator[tuple[str, str, Cost]]:
    """Yield operation, case and cost of each row."""
    recorded = json.loads(RECORDED.read_text())
    for name, case in SHOWN:
        yield name, case, million(name, recorded[name.partition(".")[0]][name][case])


def table() -> str:
    """Return the table in Markdown."""
    heads = ("one million requests", "API Gateway", "Lambda requests", "Lambda time", "DynamoDB", "logs", "total")
    head = f"| {' | '.join(heads)} |\n|---{'|--:' * 6}|\n"
    return head + "".join(
        f"| `{name}`, {case} | {' | '.join(f'{part:.2f}' for part in cost)} | **{cost.total():.2f}** |\n"
        for name, case, cost in rows()
    )


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
    secrets = len(list(template.resources("AWS::SecretsManager::Secret")))
    return secrets * 0.40 + alarm_metrics() * 0.10


def rendered(page: str) -> str:
    """Return the page with the table regenerated."""
    begin, end = "<!-- costs -->\n", "<!-- end -->"
    return re.sub(f"(?<={begin}).*?(?={end})", lambda _: table(), page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text()))
