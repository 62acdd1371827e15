"""The cost table adds up, and the documented costs match the template."""

import re

import pytest

from tools import template
from tools.generate import costs
from tools.template import ROOT

ROWS = list(costs.rows())


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def test_cost_table_matches_the_recorded_requests():
    assert costs.rendered(page("performance.md")) == page("performance.md"), "make generate"


def cells(table: str) -> list[list[float]]:
    """Return the numbers in the rows of a table."""
    rows = [row.split("|")[2:-1] for row in table.splitlines()[2:]]
    return [[float(cell.strip("* ").replace("-", "0")) for cell in row] for row in rows]


def test_columns_of_a_row_add_up_to_its_totals():
    rows = cells(costs.table())
    assert len(rows) == len(ROWS)
    for *warm, total, init, secrets, handshake, cold in rows:
        assert round(sum(warm), 2) == total
        assert round(total + init + secrets + handshake, 2) == cold
        assert min(warm) > 0


@pytest.mark.parametrize(
    ("table", "count"), [(costs.link_table(), len(costs.LINK_SHOWN)), (costs.feed_table(), len(costs.FEED_SHOWN))]
)
def test_rows_of_the_device_link_and_the_feed_add_up_to_their_totals(table: str, count: int):
    rows = cells(table)
    assert len(rows) == count
    for *parts, total in rows:
        assert round(sum(parts), 2) == total
        assert parts[0] > 0


@pytest.mark.parametrize("name", ["operating.md", "deploying.md"])
def test_documented_cost_of_the_search_for_deliveries_matches_the_table(name: str):
    (total,) = [cost.total() for text, cost in costs.feed_rows() if text == "a month with nothing to deliver"]
    assert f"${total:.2f}" in page(name)


def test_tunnel_costs_less_than_the_relay_for_large_data():
    totals = {text: cost.total() for text, cost in costs.link_rows()}
    relayed = totals["a million HTTP requests, with responses of 1 MB"]
    for text in ("1,000 GB through tunnels, from devices", "1,000 GB through tunnels, to devices"):
        assert totals[text] < relayed / 2


def test_larger_message_counts_as_several():
    case = {"messages received": [1], "messages sent": [], "invocations": [], "read units": {}, "write units": {}}
    sizes = [1, costs.MESSAGE_BYTES, costs.MESSAGE_BYTES + 1, 122_880]
    prices = [costs.traffic(case | {"messages received": [size], "bytes logged": 0}).requests for size in sizes]
    assert prices == [1, 1, 2, 4]


def test_login_cost_includes_hashing_time():
    totals = {name: cost for name, _, cost, _ in ROWS}
    full_processor = {
        properties["Handler"].removesuffix(".handler")
        for _, properties in template.resources("AWS::Serverless::Function")
        if properties.get("MemorySize") == 1769
    }
    assert costs.HASH_SECONDS.keys() == full_processor
    for name in costs.HASH_SECONDS.keys() & totals.keys():
        # Half a second of 1,769 MB.
        assert totals[name].lambda_time >= round(0.5 * 1769 / 1024 * costs.GB_SECONDS, 2)
        assert totals[name].total() > 4 * totals["rufus.get_device"].total()


def test_documented_cost_of_an_attack_on_logins_matches_the_table():
    totals = {name: cost.total() for name, _, cost, _ in ROWS}
    rate = template.document()["Parameters"]["LoginRate"]["Default"]
    day = 86_400 / 1_000_000 * totals["quectel.email_pwd_login"]
    told = re.search(
        r"about \$(\d+) a day per login route.*?at 1,000 it would be \$([\d,]+) and", page("deploying.md"), re.DOTALL
    )
    assert told
    assert float(told[1]) == pytest.approx(rate * day, rel=0.05)
    assert float(told[2].replace(",", "")) == pytest.approx(1000 * day, rel=0.05)


def test_cold_start_reads_each_secret_of_the_function():
    assert costs.cold("rufus.get_device").secrets == 0
    assert costs.cold("quectel.bind_device_sn").secrets == 3 * costs.SECRETS


@pytest.mark.parametrize("name", ["operating.md", "deploying.md"])
def test_idle_cost_matches_the_secrets_and_alarms(name: str):
    assert f"about ${costs.idle():.2f} a month**" in page(name).replace("**About", "**about")
    assert f"with {costs.alarm_metrics()} metrics" in page(name)


def test_lambda_writes_no_system_log_for_successful_requests():
    # ErrorsMetricFilter needs the lines that Lambda writes for failures, at level WARN.
    assert template.document()["Globals"]["Function"]["LoggingConfig"]["SystemLogLevel"] == "WARN"
