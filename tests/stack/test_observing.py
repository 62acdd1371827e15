"""Alarms, dashboard, metric filters and queries use existing metrics and log fields, and the runbook explains them."""

import io
import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any
from unittest.mock import Mock

import boto3
import pytest

from bindery.aws.dynamodb import Table
from bindery.core import env
from bindery.http import fallback, operation
from tests import aws_calls
from tests.http_api import event, invoke
from tools import template
from tools.template import ROOT

RUNBOOK = (ROOT / "docs/runbook.md").read_text()
OWN = "Bindery/${AWS::StackName}"
PSEUDO = {"AWS::StackName": "bindery", "AWS::Region": "eu-central-1"}
DIALECTS = sorted(set(fallback.DIALECTS.values()))

AWS = {
    *(
        ("AWS/ApiGateway", name, ("ApiId",))
        for name in (
            *("4xx", "5xx", "Latency", "ConnectCount", "MessageCount", "IntegrationLatency"),
            *("ClientError", "ExecutionError", "IntegrationError"),
        )
    ),
    *(
        ("AWS/DynamoDB", f"{kind}ThrottleEvents", dimensions)
        for kind in ("Read", "Write")
        for dimensions in (("TableName",), ("TableName", "GlobalSecondaryIndexName"))
    ),
    ("AWS/Lambda", "ConcurrentExecutions", ()),
    ("AWS/Lambda", "Throttles", ()),
    *(("AWS/Lambda", name, ("FunctionName",)) for name in ("Errors", "Invocations", "IteratorAge")),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", ("QueueName",)),
}
"""Metrics of AWS services, as named in the AWS documentation."""

HOT = "TableReadKeyRangeThroughputExceeded"
LAMBDAS = {"record.status"}
"""Fields of the log lines that Lambda writes."""

Metric = tuple[str, str, tuple[str, ...]]
alarms = dict(template.resources("AWS::CloudWatch::Alarm"))
queries = dict(template.resources("AWS::Logs::QueryDefinition"))


@pytest.fixture
def lines(registry: None, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Log lines of a success, two refusals, an admin request, a throttled key range and an internal error."""
    written = io.StringIO()
    monkeypatch.setattr(operation.logger.registered_handler, "stream", written)
    invoke("vodlix.get_configs", event("GET", "/api/base/configs"))
    invoke("rufus.list_devices", event("GET", "/v0/devices"))
    invoke("default.no_route", event("GET", "/v0/nothing", route="$default"))
    invoke("admin.accounts", json.loads(template.function("admin.accounts").event.read_text()))
    with_key = event("GET", "/v0/devices", headers={"api_key": "unknown"})
    with monkeypatch.context() as patch:
        throttled = aws_calls.error("ThrottlingException", ThrottlingReasons=[{"reason": HOT}])
        aws_calls.replace(patch, "GetItem", Mock(side_effect=throttled))
        invoke("rufus.list_devices", with_key)
    boto3.client("dynamodb").delete_table(TableName=env.read(Table.DIRECTORY.value))
    invoke("rufus.list_devices", with_key)
    found = [json.loads(line) for line in written.getvalue().splitlines()]
    assert {line["level"] for line in found} == {"INFO", "WARNING", "ERROR"}
    return found


def emitted(lines: list[dict[str, Any]]) -> set[Metric]:
    """Return the metrics that log lines and metric filters emit."""
    found: set[Metric] = {
        (made["MetricNamespace"]["Fn::Sub"], made["MetricName"], ())
        for _, properties in template.resources("AWS::Logs::MetricFilter")
        for made in properties["MetricTransformations"]
    }
    for directive in (each for line in lines for each in line.get("_aws", {}).get("CloudWatchMetrics", [])):
        assert directive["Namespace"] == OWN.replace("${AWS::StackName}", "bindery")
        found |= {
            (OWN, metric["Name"], tuple(dimensions))
            for metric in directive["Metrics"]
            for dimensions in directive["Dimensions"]
        }
    return found


def measured(alarm: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the metrics that an alarm uses."""
    for query in alarm.get("Metrics", [{"MetricStat": {"Metric": alarm}}]):
        if "MetricStat" in query:
            yield query["MetricStat"]["Metric"]


def named(metric: dict[str, Any]) -> Metric:
    namespace = metric["Namespace"]
    return (
        namespace["Fn::Sub"] if isinstance(namespace, dict) else namespace,
        metric["MetricName"],
        tuple(dimension["Name"] for dimension in metric.get("Dimensions", [])),
    )


@cache
def dashboard() -> dict[str, Any]:
    ((_, properties),) = template.resources("AWS::CloudWatch::Dashboard")

    def replaced(found: re.Match[str]) -> str:
        name = found[1].removesuffix(".Arn").removesuffix(".QueueName")
        if name.startswith("!"):
            return "${" + name[1:] + "}"
        if name not in PSEUDO:
            assert name in template.document()["Resources"], name
        return PSEUDO.get(name, name)

    body: dict[str, Any] = json.loads(re.sub(r"\$\{([^}]+)\}", replaced, properties["DashboardBody"]["Fn::Sub"]))
    return body


def drawn() -> Iterator[Metric]:
    """Yield the metrics that the dashboard shows."""
    own = OWN.replace("${AWS::StackName}", "bindery")
    for widget in dashboard()["widgets"]:
        for row in widget["properties"].get("metrics", []):
            if isinstance(row[0], dict):
                found = re.fullmatch(
                    r"SEARCH\('\{\"([^\"]+)\",([a-z,]+)\} MetricName=\"(\w+)\"( dialect=\"(?:DIALECT|link|relay)\")?', "
                    r"'\w+', 300\)",
                    row[0]["expression"],
                )
                assert found, row
                namespace, dimensions, name, _ = found.groups()
                yield namespace.replace(own, OWN), name, tuple(dimensions.split(","))
            else:
                namespace, name, *dimensions = [part for part in row if isinstance(part, str)]
                yield namespace.replace(own, OWN), name, tuple(dimensions[::2])


def counts(name: str, line: dict[str, str]) -> bool:
    """Return True if a metric filter counts a line: in each of its groups, at least one selector matches."""
    pattern: str = dict(template.resources("AWS::Logs::MetricFilter"))[name]["FilterPattern"]

    def holds(selector: str) -> bool:
        found = re.fullmatch(r'[{( ]*\$\.([\w.]+) (=|!=) "([^"]*)"[)} ]*', selector)
        assert found, selector
        field, sign, text = found.groups()
        return field in line and fnmatchcase(line[field], text) == (sign == "=")

    return all(any(holds(selector) for selector in group.split("||")) for group in pattern.split("&&"))


@pytest.mark.parametrize(
    ("status", "integration", "error", "counted"),
    [
        pytest.param("200", "200", "-", False, id="success"),
        pytest.param("503", "200", "-", False, id="a function returns 503"),
        pytest.param("500", "200", "-", False, id="a function returns and logs an internal error"),
        pytest.param("429", "-", "-", False, id="throttled by the gateway"),
        pytest.param("403", "-", "-", False, id="request is not signed"),
        pytest.param("500", "200", "Internal Server Error", True, id="a function crashed"),
        pytest.param("503", "429", "Rate exceeded", True, id="throttled by Lambda"),
        pytest.param("500", "403", "-", True, id="the gateway lacks permission to invoke"),
        pytest.param("503", "-", "-", True, id="timeout"),
    ],
)
def test_gateway_error_is_a_5xx_not_returned_by_a_function(
    status: str, integration: str, error: str, counted: bool
) -> None:
    line = dict.fromkeys(access_log(), "-")
    line |= {"status": status, "integrationStatus": integration, "integrationError": error}
    assert counts("GatewayErrors", line) is counted


def test_hot_key_is_counted_without_triggering_a_rollback(lines: list[dict[str, Any]]) -> None:
    (warning,) = [line for line in lines if line["level"] == "WARNING"]
    assert counts("HotKeys", warning)
    assert not counts("ErrorsMetricFilter", warning)
    assert not any(counts("HotKeys", line) for line in lines if line is not warning)
    assert [line["message"] for line in lines if counts("ErrorsMetricFilter", line)] == ["internal error"]


@pytest.mark.parametrize(
    ("name", "module", "messages"),
    [
        ("Unrecorded", "recording", ["a change cannot be recorded"]),
        ("Undelivered", "delivery", ["an event was given up", "a webhook was disabled"]),
    ],
)
def test_failure_of_the_feed_is_counted(name: str, module: str, messages: list[str]) -> None:
    source = (ROOT / f"layers/bindery/bindery/feed/{module}.py").read_text()
    logged = re.findall(r'logger\.\w+\("([^"]+)"', source)
    assert [message for message in logged if counts(name, {"message": message})] == messages


def test_every_table_and_index_has_throttle_alarms() -> None:
    indexes = {
        index["IndexName"]
        for _, table in template.resources("AWS::DynamoDB::Table")
        for index in table.get("GlobalSecondaryIndexes", ())
    }
    expected = {"ThrottledTablesAlarm": len(Table) - 1, "ThrottledIndexesAlarm": len(indexes) - 1}
    seen: list[tuple[str, str]] = []
    for name, count in (expected | {"ThrottledHistoryAlarm": 2}).items():
        found = [(json.dumps(metric["Dimensions"]), metric["MetricName"]) for metric in measured(alarms[name])]
        assert len(found) == 2 * count
        seen += found
    assert len(set(seen)) == len(seen)
    shown = json.dumps(seen)
    assert all(f'\\"{index}\\"' in shown for index in indexes)


def access_log() -> list[str]:
    """Return the fields of the gateway's log."""
    (gateway,) = template.resources("AWS::Serverless::HttpApi")
    return [*json.loads(gateway[1]["AccessLogSettings"]["Format"])]


def fields(lines: list[dict[str, Any]]) -> dict[str, set[str]]:
    return {"FunctionLogGroup": {*LAMBDAS}.union(*lines), "AccessLogGroup": {*access_log()}}


def test_metric_filter_reads_existing_log_fields(lines: list[dict[str, Any]]) -> None:
    for _, properties in template.resources("AWS::Logs::MetricFilter"):
        read = set(re.findall(r"\$\.([\w.]+)", properties["FilterPattern"]))
        assert read
        assert read <= fields(lines)[properties["LogGroupName"]["Ref"]]


def section(name: str) -> str:
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]


def test_runbook_explains_every_alarm() -> None:
    of_dialects = {f"{dialect.capitalize()}RefusalsAlarm" for dialect in DIALECTS}
    assert of_dialects <= alarms.keys()
    sections = re.findall(r"^## (\w+Alarm)$", RUNBOOK, re.MULTILINE)
    assert sorted(sections) == sorted({*(alarms.keys() - of_dialects), "RefusalsAlarm"})
    for name in sections:
        assert "**What it means.**" in section(name)
        assert "**What to do.**" in section(name)


@pytest.mark.parametrize("name", alarms)
def test_alarm_notifies_the_topic_and_names_its_runbook_section(name: str) -> None:
    alarm = alarms[name]
    assert alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}]
    assert alarm["AlarmDescription"].endswith(f" docs/runbook.md, {re.sub('.+RefusalsAlarm', 'RefusalsAlarm', name)}.")
    assert alarm["TreatMissingData"] == "notBreaching"
    assert sum(1 for _ in measured(alarm)) <= 10


@pytest.mark.parametrize("alarm", alarms.values(), ids=alarms)
def test_alarm_uses_existing_metrics(alarm: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    assert {named(metric) for metric in measured(alarm)} <= emitted(lines) | AWS
    for metric in measured(alarm):
        for dimension in metric.get("Dimensions", []):
            if dimension["Name"] == "dialect":
                assert dimension["Value"] in DIALECTS


def test_dashboard_shows_every_emitted_metric(lines: list[dict[str, Any]]) -> None:
    assert set(drawn()) <= emitted(lines) | AWS
    assert set(drawn()) >= emitted(lines)


def test_dashboard_shows_all_alarms_and_apis_without_overlap() -> None:
    (shown,) = [widget for widget in dashboard()["widgets"] if widget["type"] == "alarm"]
    assert sorted(shown["properties"]["alarms"]) == sorted(alarms)
    (variable,) = dashboard()["variables"]
    assert {value["value"] for value in variable["values"]} == {*DIALECTS, "link", "relay", "admin"}
    assert variable["pattern"] in json.dumps(dashboard()["widgets"])
    taken: set[tuple[int, int]] = set()
    for widget in dashboard()["widgets"]:
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def asked(query: dict[str, Any]) -> set[str]:
    """Return the log fields that a query names: all words except keywords, aliases and strings."""
    text = re.sub(r'"[^"]*"', "", query["QueryString"])
    made = set(re.findall(r"\bas (\w+)", text))
    words = set(re.findall(r"(?<![\w.@])([a-zA-Z_][\w.]*)\b(?!\()", text))
    own = {"fields", "filter", "stats", "sort", "as", "by", "and", "or", "in", "like", "asc", "desc", "display"}
    # `by` is both a keyword and a field of an admin request's log line.
    return words - made - (own - {"by"} if re.search(r"fields[^|]*\bby\b", text) else own)


@pytest.mark.parametrize("query", queries.values(), ids=queries)
def test_query_uses_existing_log_fields(query: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    (group,) = query["LogGroupNames"]
    assert asked(query)
    assert asked(query) <= fields(lines)[group["Ref"]]


def test_runbook_lists_exactly_the_existing_queries() -> None:
    (table,) = re.findall(r"^\| the question \|.*?\n\n", RUNBOOK, re.MULTILINE | re.DOTALL)
    names = re.findall(r"^\| .* \| `([^`]+)` \|", table, re.MULTILINE)
    assert sorted(names) == sorted(
        query["Name"]["Fn::Sub"].removeprefix("${AWS::StackName}/") for query in queries.values()
    )
