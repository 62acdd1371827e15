"""`bindery export`: columns, CSV and NDJSON, and exports that are killed at any request or write."""

import csv
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from bindery.core import clock, env
from bindery.directory import accounts, users
from bindery.feed import chain
from bindery.feed.chain import Draft
from bindery.registry import identity
from tests.command_line import Bindery, run
from tests.operators.interrupted import Api, Kills
from tests.records import company_device
from tools import template
from tools.cli import client, export, history, working
from tools.cli.client import Exit

pytestmark = pytest.mark.usefixtures("registry")

DOCUMENT = json.loads((template.ROOT / "docs/openapi/bindery.json").read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Api:
    made = Api()
    monkeypatch.setattr(client, "connect", lambda *_: made)
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def bindery(api: Api) -> Bindery:
    return run


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "PAGE", 2)


def made(count: int) -> None:
    for number in range(count):
        accounts.create(f"a{number}", name=f"Account {number}")


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def schemas(entry: Any) -> list[Any]:
    """Return the schemas of a list's entries."""
    return [SCHEMAS[each["$ref"].rpartition("/")[2]] for each in entry.get("anyOf", [entry])]


def listed() -> dict[str, set[str]]:
    """Return the members of the entries of every list of the API with pages."""
    found = {}
    for path, operations in DOCUMENT["paths"].items():
        if not path.startswith("/admin/v1/") or "get" not in operations:
            continue
        answer = operations["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        members = SCHEMAS.get(answer.get("$ref", "").rpartition("/")[2], {}).get("properties", {})
        if "items" in members and "next" in members:
            entries = schemas(members["items"]["items"])
            found[path.removeprefix("/admin/v1/")] = {name for entry in entries for name in entry["properties"]}
    return found


GIVEN = {"webhook": "{webhook}", "customer": "c", "owner": "o", "account": "a"}
NOT_EXPORTED = {
    # `bindery stats` and `bindery settings list` print them whole.
    "devices/counts",
    # For `bindery domains delete`.
    "domains/{domain}/dependents",
    "settings",
    # They name the person's pseudonym, which `bindery users history` prints.
    "history/users/{uid}",
    "history/customers/{customer}",
}


def test_every_list_is_exported_with_all_members() -> None:
    lists = listed()
    covered = set()
    for name, each in export.LISTS.items():
        options = {option: GIVEN.get(option) for option in each.options}
        for more in {"history": [{}, {"operator": "arn"}], "connections": [{"caller": "ada"}]}.get(name, [{}]):
            path = "/".join(each.path(options | more)[0])
            assert set(each.columns) == lists[path], name
            covered.add(path)
    assert lists.keys() - covered - NOT_EXPORTED <= {"history/devices/{device}"}


def test_list_is_written_as_csv_or_json_lines(bindery: Bindery, small_pages: None) -> None:
    made(5)
    ran = bindery("export accounts --format csv")
    assert ran.exit_code == 0
    assert ran.stdout_bytes.startswith(b"account,name,enabled,deleting_at,parts,created_at,per_second,burst\r\na0,")
    assert [row[:3] for row in rows(ran.stdout)[1:]] == [[f"a{n}", f"Account {n}", "true"] for n in range(5)]
    lines = bindery("export accounts").stdout.splitlines()
    assert [json.loads(line)["account"] for line in lines] == [f"a{number}" for number in range(5)]
    shown = json.loads(bindery("export accounts --file a.csv").stdout)
    assert shown == {"list": "accounts", "rows": 5, "file": "a.csv"}
    assert Path("a.csv").read_bytes() == ran.stdout_bytes
    assert Path("a.csv").stat().st_mode & 0o077 == 0
    assert os.listdir() == ["a.csv"]
    assert bindery("export products --format csv").stdout_bytes.count(b"\r\n") == 1
    assert bindery("export products").stdout == ""


def test_spreadsheets_do_not_run_what_holders_wrote(bindery: Bindery) -> None:
    for number, name in enumerate(("=1+1", "+49", "-1", "@x", 'a "b", c', "ä")):
        accounts.create(f"a{number}", name=name)
    names = [row[1] for row in rows(bindery("export accounts --format csv").stdout)[1:]]
    assert names == ["'=1+1", "'+49", "'-1", "'@x", 'a "b", c', "ä"]
    names = [row[1] for row in rows(bindery("export accounts --format csv --raw").stdout)[1:]]
    assert names == ["=1+1", "+49", "-1", "@x", 'a "b", c', "ä"]
    assert json.loads(bindery("export accounts").stdout.splitlines()[0])["name"] == "=1+1"


def test_history_is_exported(bindery: Bindery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PAGE", 16)
    monkeypatch.setenv("HISTORY_DAYS", "1")
    env.clear_cache()
    device = company_device("acme", "R1")
    for number in range(20):
        facts = {"api": "rufus", "device": identity.opaque(device), "binding": f"b{number}"}
        chain.append(Draft(f"{number:032x}", "device.bound", clock.now(), device, facts, "record"))
    assert len(bindery("export history").stdout.splitlines()) == 20
    of_device = bindery(f"export history --device {identity.opaque(device)} --format csv").stdout
    assert rows(of_device)[1][1] == "device.bound"
    assert bindery("export history --operator arn:none").stdout == ""
    assert bindery("export history --file h.ndjson").exit_code == 0
    assert len(Path("h.ndjson").read_text().splitlines()) == 20
    assert bindery("export history --device x").exit_code == Exit.USAGE


def test_other_lists_are_exported(bindery: Bindery) -> None:
    accounts.create("acme", name="Acme")
    users.create("ada", "acme")
    lines = ["users --account acme", "keys --account acme", "domains", "products", "families --owner ada"]
    lines += ["issued --customer c1", "connections --caller ada", "webhooks", "devices --state bound", "online"]
    for line in [*lines, "unrecorded"]:
        assert bindery(f"export {line} --format csv").exit_code == 0, line
    for line in ("deliveries --webhook wh_0", "dead --webhook wh_0"):
        assert bindery(f"export {line}").exit_code == Exit.NOT_FOUND
    assert bindery("export connections").exit_code == Exit.USAGE
    assert rows(bindery("export users --account acme --format csv").stdout)[1][:2] == ["ada", "acme"]


def test_export_never_overwrites_a_file(bindery: Bindery, api: Api) -> None:
    made(1)
    for name, said in (
        ("a", "a already exists. Choose another file, or delete it first"),
        ("a.part", "a.part exists but is not of an export. Move it elsewhere"),
        ("a.part.json", "a.part.json exists but is not the progress file of an export. Move it elsewhere"),
    ):
        Path(name).write_text("kept")
        ran = bindery("export accounts --file a")
        assert (ran.exit_code, ran.stderr) == (2, f"bindery: {said}\n")
        assert (os.listdir(), Path(name).read_text()) == ([name], "kept")
        Path(name).unlink()
    assert bindery("export accounts --file none/a").exit_code == 2
    assert api.asked == []


def test_killed_export_resumes_without_losing_or_repeating_rows(
    bindery: Bindery, api: Api, small_pages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(3)
    whole = bindery("export accounts --format csv").stdout_bytes
    kills = Kills(api, monkeypatch)
    for number, ran in kills.everywhere(lambda _: bindery("export accounts --file a.csv")):
        assert (ran.exit_code, json.loads(ran.stdout)["rows"]) == (0, 3), number
        assert (Path("a.csv").read_bytes(), os.listdir()) == (whole, ["a.csv"])
        Path("a.csv").unlink()


def test_interrupted_export_says_how_to_resume(bindery: Bindery, api: Api, small_pages: None) -> None:
    made(7)
    api.fail_after = 2
    ran = bindery("export accounts --file a.csv")
    said = "Interrupted after 4 rows. Run the same command again to resume.\nbindery: unavailable\n"
    assert (ran.exit_code, ran.stderr) == (6, said)
    assert sorted(os.listdir()) == ["a.csv.part", "a.csv.part.json"]
    api.fail_after = 2
    streamed = bindery("export accounts")
    assert streamed.stderr.splitlines()[0] == "Interrupted after 4 rows. An export with --file can be resumed."
    api.fail_after = None
    other = bindery("export accounts --file a.csv --raw")
    assert (other.exit_code, "To start from the beginning: --restart" in other.stderr) == (2, True)
    api.asked.clear()
    with Path("a.csv.part").open() as part, working.held(part, "the export"):
        running = bindery("export accounts --file a.csv")
    assert running.stderr == "bindery: the export to a.csv is running in another process\n"
    assert json.loads(bindery("export accounts --file a.csv").stdout)["rows"] == 7
    assert len(api.asked) == 2
    Path("a.csv").rename("b.csv.part")
    Path("b.csv.part.json").write_text(json.dumps({"about": {}, "query": {}}))
    assert json.loads(bindery("export accounts --file b.csv --restart").stdout)["rows"] == 7


def test_relative_time_is_fixed_when_an_export_begins(bindery: Bindery, api: Api) -> None:
    api.fail_after = 0
    bindery("export history --since 2d --file h")
    first = json.loads(Path("h.part.json").read_text())
    assert first["about"]["options"]["since"] == "2d"
    assert abs(first["query"]["since"] - (clock.now() - 2 * 86_400_000)) < 60_000
    api.fail_after = None
    assert bindery("export history --since 2d --file h").exit_code == 0


def test_closed_output_ends_an_export(bindery: Bindery, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    made(1)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        export._to_stdout(api, ["accounts"], {}, export._Writer(export.Form.CSV, ("account",), raw=False))
