"""`bindery bulk`: previews, reports, undo, and jobs that are killed at any request or write."""

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bindery.aws import dynamodb
from bindery.operators import bulk as layer_bulk
from bindery.registry import devices, identity, items
from tests.command_line import Killed
from tests.operators import interrupted
from tests.operators.interrupted import ENDPOINT, Kills
from tests.quectel import PK, World
from tests.records import ADDRESS, company_device
from tests.tables import acts_in, everything, item_at
from tools.cli import bulk, bulk_job, client, working
from tools.cli.client import Exit
from tools.cli.main import app

pytestmark = pytest.mark.usefixtures("registry")

Bindery = Callable[..., Result]


class Api(interrupted.Api):
    """The functions, whose list of devices is `listed`."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: list[str] = []
        self.queries: list[Any] = []

    def ask(self, method: str, *path: str, **request: Any) -> Any:
        if (method, path) == ("GET", ("devices",)):
            self.queries.append(request["query"])
            return {"items": [{"device": device} for device in self.listed], "next": None}
        return super().ask(method, *path, **request)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Api:
    made = Api()
    monkeypatch.setattr(client, "connect", lambda *_: made)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # moto's transactions are not thread-safe.
    monkeypatch.setattr(working, "THREADS", 1)
    monkeypatch.setattr(layer_bulk, "_WRITERS", 1)
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def bindery(api: Api) -> Bindery:
    return lambda line, **more: CliRunner().invoke(app, shlex.split(line), **more)


def manufactured(count: int) -> list[str]:
    World()
    made = [devices.manufacture(PK, f"B{number:03}", device_key=f"{number:012X}") for number in range(count)]
    return [identity.opaque(device) for device in made]


def write(name: str, *lines: str) -> Path:
    file = Path(name)
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def report(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "report.ndjson").read_text().splitlines()]


def did() -> list[str]:
    return [act["did"] for act in acts_in(everything())]


def result(ran: Result) -> dict[str, int]:
    told = json.loads(ran.stdout)
    return {name: told[name] for name in ("devices", "done", "unchanged", "refused")}


def counts(done: int = 0, unchanged: int = 0, refused: int = 0) -> dict[str, int]:
    return {"devices": done + unchanged + refused, "done": done, "unchanged": unchanged, "refused": refused}


def test_acts_match_those_of_the_layer() -> None:
    assert {name: act.reason for name, act in bulk.ACTS.items()} == {
        name: act.needs_reason for name, act in layer_bulk.ACTS.items()
    }
    assert bulk_job.LINES == layer_bulk.LIMIT


def test_preview_report_and_undo(bindery: Bindery) -> None:
    made = manufactured(8)
    with dynamodb.acting("arn:other"):
        devices.ban(identity.device_from_opaque(made[7]), "stolen")
    rufus = identity.opaque(company_device("acme", "R1"))
    lines = [f"{PK},B{number:03}" for number in range(8)]
    write("b.csv", "product_key,serial", *lines, ",R1", f"{PK},none", ",R2", f"{PK}, B000", f'{PK},="B001"')
    unconfirmed = bindery("bulk ban --file b.csv --reason recalled", input="")
    assert (unconfirmed.exit_code, unconfirmed.stdout, did(), os.listdir()) == (2, "", [], ["b.csv"])
    assert unconfirmed.stderr.splitlines() == [
        f"ban at {ENDPOINT} (reason: recalled)",
        "8 devices to change, 1 are as they should be, 4 lines refused",
        *(f"  line {number + 2}  quectel {PK} B{number:03}" for number in range(5)),
        "  and 3 more",
        "  line 11: The device does not exist.",
        "  line 12: No device has this serial number.",
        "  line 13: Repeats an earlier line.",
        """  line 14: serial '="B001"': a spreadsheet formula. Format the column as text and export the file again""",
        "bindery: this changes many devices. Confirm with --yes",
    ]
    tried = bindery("bulk ban --file b.csv --reason recalled --dry-run")
    assert (tried.exit_code, json.loads(tried.stdout)["job"], did(), os.listdir()) == (1, None, [], ["b.csv"])
    shown = bindery("bulk ban --file b.csv --reason recalled --dry-run --output table")
    assert shown.stdout == "Nothing was changed.\n"
    ran = bindery("bulk ban --file b.csv --reason recalled --yes")
    assert (ran.exit_code, result(ran), did()) == (1, counts(8, 1, 4), ["banned"] * 8)
    found = report("b.csv.ban")
    assert found[0] == {"line": 2, "device": made[0], "outcome": "done"}
    assert found[8] == {"line": 10, "device": rufus, "outcome": "done"}
    refused = {"line": 12, "serial": "R2", "outcome": "refused", "problem": "No device has this serial number."}
    assert found[10] == refused
    assert [line["line"] for line in found] == list(range(2, 15))
    again = bindery("bulk resume b.csv.ban")
    assert (again.exit_code, result(again), len(did())) == (1, counts(8, 1, 4), 8)
    undone = bindery("bulk undo b.csv.ban --yes")
    assert (undone.exit_code, result(undone), did().count("unbanned")) == (0, counts(8), 8)
    assert "banned_at" in item_at(items.device(identity.device_from_opaque(made[7])))
    text = bindery("bulk status b.csv.ban.undo --output table").stdout
    assert text == "b.csv.ban.undo: unban, finished, 8 of 8 lines: 8 done, 0 unchanged, 0 refused\n"


def test_files_can_have_ids_or_json(bindery: Bindery) -> None:
    made = manufactured(4)
    write("ids.txt", made[0], "", f" {made[1]} ", "x")
    assert result(bindery("bulk disable --file ids.txt --yes")) == counts(2, 0, 1)
    write("d.ndjson", json.dumps({"device": made[2]}), json.dumps({"serial": "B003", "product_key": PK}))
    assert result(bindery("bulk deactivate -f d.ndjson --yes")) == counts(2)
    assert sorted(os.listdir("d.ndjson.deactivate")) == ["devices.ndjson", "job.json", "lock", "report.ndjson"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in Path("d.ndjson.deactivate").iterdir())
    assert result(bindery("bulk undo d.ndjson.deactivate --yes")) == counts(2)
    assert sorted(did()) == ["activated"] * 2 + ["deactivated"] * 2 + ["disabled"] * 2
    wrong = [{"serial": 7}, {"serial": "\ud800"}, {"serial": "x" * 1367}, {"device": made[0], "port": "22"}]
    wrong += [{"device": made[0], "service": "ftp"}, {"device": made[0], "port": 70000}, {"typo": "x"}]
    write("w.ndjson", *map(json.dumps, wrong))
    ran = bindery("bulk enable --file w.ndjson --yes")
    assert (ran.exit_code, result(ran)) == (1, counts(0, 0, 7))
    assert "There is nothing to do." in ran.stderr
    assert not Path("w.ndjson.enable").exists()


def test_addresses_are_assigned_from_a_file_and_removed(bindery: Bindery) -> None:
    manufactured(2)
    second = ADDRESS[:-1] + "9"
    header = "product_key,serial,address,service,port"
    # The job's own change of a device does not block its next.
    write("a.csv", header, f"{PK},B000,{ADDRESS},ssh,22", f"{PK},B000,{second},,", f"{PK},B001,x,,")
    assert result(bindery("bulk assign --file a.csv --yes")) == counts(2, 0, 1)
    device = items.device(identity.manufactured_device(PK, "B000"))
    assert item_at(device)["services"].keys() == {ADDRESS, second}
    assert result(bindery("bulk undo a.csv.assign --yes")) == counts(2)
    assert item_at(device)["services"] == {}
    write("u.csv", "product_key,serial", f"{PK},B000")
    assert result(bindery("bulk unassign --file u.csv --yes")) == counts(0, 1)


def test_devices_are_selected_by_a_list(bindery: Bindery, api: Api) -> None:
    api.listed = manufactured(3)
    # A device can be listed again, when it has entered the state again.
    api.listed.append(api.listed[0])
    line = f"bulk enable --product {PK} --state disabled --since 2026-12-01"
    assert result(bindery("bulk disable --product other --yes")) == counts(3)
    ran = bindery(f"{line} --yes")
    assert (ran.exit_code, result(ran)) == (0, counts(3))
    query = {"product": PK, "state": "disabled", "since": 1_796_083_200_000}
    assert query.items() <= api.queries[-1].items()
    folder = Path(json.loads(ran.stdout)["job"])
    assert folder.parent == Path.cwd() / "state" / "bindery" / "jobs"
    # Finished jobs are kept, and can be undone by name.
    assert result(bindery(f"{line} --yes")) == counts(0, 3)
    assert result(bindery(f"bulk undo {folder.name} --yes")) == counts(3)
    shown = [json.loads(line) for line in bindery("bulk status").stdout.splitlines()]
    assert sorted(job["act"] for job in shown) == ["disable", "disable", "enable"]


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("ban --reason x", 2, "specify either --file or a filter, such as --product"),
        ("ban --reason x --file d.txt --product p", 2, "specify either --file or a filter, such as --product"),
        ("assign", 2, "specify --file"),
        ("enable --file none.csv", 2, "none.csv: No such file or directory"),
        ("enable --file d.txt --format xml", 2, "'xml' is not a format. Use --format csv, ndjson or ids"),
        ("enable --file e.csv", 2, "e.csv: the header line has none of device, serial, imei, mac"),
        ("enable --state bound --since soon", 2, "'soon' is not a date or time"),
        ("resume none", 3, "no job in none. To list the jobs in the state folder: bindery bulk status"),
        ("resume folder", 2, "folder/job.json is not the record of a bulk job"),
        ("resume elsewhere", 2, f"the job in elsewhere is for https://other, not for {ENDPOINT}"),
        ("undo ended", 2, "unbind cannot be undone. The report has its devices: ended/report.ndjson"),
        ("undo lifted", 2, "to undo unban is to ban, which needs --reason"),
        ("resume stopped", 4, "the job in stopped was given up, so it cannot be resumed"),
    ],
)
def test_command_that_cannot_run_says_why(bindery: Bindery, line: str, code: int, said: str) -> None:
    write("d.txt", "x")
    write("e.csv", "address", "x")
    Path("folder").mkdir()
    write("folder/job.json", "{}")
    for name, act, endpoint in (
        ("elsewhere", "ban", "https://other"),
        ("ended", "unbind", ENDPOINT),
        ("lifted", "unban", ENDPOINT),
        ("stopped", "ban", ENDPOINT),
    ):
        Path(name).mkdir()
        job = bulk_job.Job(Path(name), bulk_job.Record(endpoint, act, "x", {}, 1))
        job.record.stopped = name == "stopped"
        job.save()
    ran = bindery(f"bulk {line}")
    assert (ran.exit_code, ran.stderr.startswith(f"bindery: {said}")) == (code, True), ran.stderr
    assert did() == []


@pytest.fixture
def kills(api: Api, monkeypatch: pytest.MonkeyPatch) -> Kills:
    monkeypatch.setattr(bulk_job, "LINES", 2)
    return Kills(api, monkeypatch)


def acts_of(prefix: str) -> list[str]:
    return [act["did"] for act in acts_in(everything()) if act["pk"].rpartition("#")[2].startswith(prefix)]


@pytest.mark.parametrize("undo", [False, True], ids=["job", "undo"])
def test_killed_job_does_nothing_twice(bindery: Bindery, kills: Kills, undo: bool) -> None:
    World()

    def run(number: int) -> Result:
        name = f"K{number}-.csv"
        ban = f"bulk ban --file {name} --reason recalled --yes"
        if not Path(name).exists():
            left, kills.left = kills.left, None
            serials = [f"K{number}-{device}" for device in range(3)]
            for serial in serials:
                devices.manufacture(PK, serial, device_key=serial.replace("-", "000"))
            write(name, "product_key,serial", *(f"{PK},{serial}" for serial in serials))
            if undo:
                bindery(ban)
            kills.left = left
        return bindery(f"bulk undo {name}.ban --yes" if undo else ban)

    # The last points are after the end of the job, so the same command finds nothing to do.
    again = (1, counts(0, 0, 3)) if undo else (0, counts(0, 3))
    for number, ran in kills.everywhere(run):
        assert (ran.exit_code, result(ran)) in ((0, counts(3)), again), number
        found = report(f"K{number}-.csv.ban{'.undo' if undo else ''}")
        assert [(line["line"], line["outcome"]) for line in found] == [(line, "done") for line in (2, 3, 4)]
        assert sorted(acts_of(f"K{number}-")) == ["banned"] * 3 + ["unbanned"] * (3 if undo else 0)


def test_change_between_kill_and_resume_is_kept(bindery: Bindery, kills: Kills) -> None:
    made = manufactured(6)
    write("b.txt", *made)
    kills.left = 14
    with pytest.raises(Killed):
        bindery("bulk ban --file b.txt --reason recalled --yes")
    banned = did().count("banned")
    assert 0 < banned < 6
    with dynamodb.acting("arn:other"):
        devices.unban(identity.device_from_opaque(made[0]))
    assert "not finished" in bindery("bulk status b.txt.ban --output table").stdout
    ran = bindery("bulk resume b.txt.ban")
    assert did().count("banned") == 6
    assert "banned_at" not in item_at(items.device(identity.device_from_opaque(made[0])))
    assert result(ran) in (counts(6), counts(5, 0, 1))


def test_unfinished_job_is_undone_and_given_up(bindery: Bindery, kills: Kills) -> None:
    made = manufactured(6)
    devices.ban(identity.device_from_opaque(made[5]), "stolen")
    write("b.txt", *made)
    kills.left = 14
    with pytest.raises(Killed):
        bindery("bulk ban --file b.txt --reason recalled --yes")
    banned = did().count("banned")
    ran = bindery("bulk undo b.txt.ban --yes")
    assert result(ran)["done"] == banned == did().count("unbanned")
    assert "banned_at" in item_at(items.device(identity.device_from_opaque(made[5])))
    assert bindery("bulk resume b.txt.ban").exit_code == Exit.CONFLICT
    # The same command starts another job.
    assert result(bindery("bulk ban --file b.txt --reason recalled --yes")) == counts(5, 1)
    assert Path("b.txt.ban-2").is_dir()


def test_failed_request_says_how_to_resume(bindery: Bindery, api: Api) -> None:
    write("b.txt", *manufactured(2))
    api.fail_after = 2
    ran = bindery("bulk ban --file b.txt --reason recalled --yes")
    said = ["Interrupted. To resume: bindery bulk resume b.txt.ban", "bindery: unavailable"]
    assert (ran.exit_code, ran.stderr.splitlines()[-2:]) == (6, said)
    api.fail_after = None
    other = bindery("bulk ban --file b.txt --reason stolen --yes")
    assert (other.exit_code, "To start a new job: --restart" in other.stderr) == (2, True)
    assert result(bindery("bulk ban --file b.txt --reason stolen --yes --restart")) == counts(2)
    assert json.loads(Path("b.txt.ban-2/job.json").read_text())["reason"] == "stolen"


def test_job_runs_in_one_process_at_a_time(bindery: Bindery, kills: Kills) -> None:
    write("b.txt", *manufactured(4))
    kills.left = 12
    with pytest.raises(Killed):
        bindery("bulk ban --file b.txt --reason recalled --yes")
    with bulk_job.find("b.txt.ban").locked():
        ran = bindery("bulk resume b.txt.ban")
    said = "bindery: the job in b.txt.ban is running in another process"
    assert (ran.exit_code, ran.stderr.splitlines()[-1]) == (4, said)
    assert result(bindery("bulk resume b.txt.ban")) == counts(4)
