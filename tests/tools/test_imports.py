"""`bindery devices import` and `bindery issued import`: files of any kind, interrupted anywhere."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.command_line import connected
from tests.tools.conftest import Bindery
from tools.cli import bulk_import, import_job, import_rows, working
from tools.cli.client import Client, Exit, Failure
from tools.cli.devices import IMPORTED
from tools.template import ROOT

HEADER = "product_key,serial,device_key"


def rows(prefix: str, count: int) -> list[str]:
    return [f"p1117e,{prefix}{number:04d},{number:012X}" for number in range(count)]


ISSUED = "customer,device_id,kind"


def issued(customer: str, count: int) -> list[str]:
    return [f"{customer},{customer}{number:04d},otp-token" for number in range(count)]


def write(path: Path, *lines: str, encoding: str = "utf-8", ending: str = "\n") -> Path:
    path.write_bytes("".join(line + ending for line in lines).encode(encoding))
    return path


def report(created: int = 0, changed: int = 0, unchanged: int = 0, errors: int = 0, dry_run: bool = False) -> Any:
    counts = {"created": created, "changed": changed, "unchanged": unchanged, "errors": errors}
    return {"lines": sum(counts.values()), **counts, "dry_run": dry_run}


def errors(path: Path) -> list[tuple[int, str]]:
    return [(error["line"], error["problem"]) for error in map(json.loads, path.read_text().splitlines())]


@pytest.fixture
def small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send ten rows in a request."""
    monkeypatch.setattr(import_job, "ROWS", 10)


def run(bindery: Bindery, line: str) -> tuple[int, Any]:
    result = bindery(line)
    assert result.stdout, result.output
    return result.exit_code, json.loads(result.stdout)


def test_importing_a_file_is_idempotent(bindery: Bindery, tmp_path: Path, small_requests: None) -> None:
    file = write(tmp_path / "a.csv", ISSUED, *issued("A", 32))
    assert run(bindery, f"issued import {file} --dry-run") == (0, report(created=32, dry_run=True))
    assert run(bindery, f"issued import {file}") == (0, report(created=32))
    assert run(bindery, f"issued import {file}") == (0, report(unchanged=32))
    assert os.listdir(tmp_path) == ["a.csv"]
    listed = json.loads(bindery("issued list A --all").stdout)
    assert [device["device_id"] for device in listed] == [f"A{number:04d}" for number in range(32)]


@pytest.mark.parametrize(("encoding", "ending"), [("utf-8", "\n"), ("utf-8-sig", "\r\n")])
def test_csv_may_have_quotes_padding_and_a_byte_order_mark(
    bindery: Bindery, tmp_path: Path, encoding: str, ending: str
) -> None:
    customer = f"Q-{encoding}-{len(ending)}"
    lines = [
        '"customer", device_id ,kind,card_status,cardholder_name,holder_id',
        "",
        f'{customer},P1,payment-card,valid,"a,""ü""",',
        "",
        "",
    ]
    file = write(tmp_path / "q.csv", *lines, encoding=encoding, ending=ending)
    assert run(bindery, f"issued import {file}") == (0, report(created=1))
    (found,) = json.loads(bindery(f"issued list {customer}").stdout)
    assert found["cardholder_name"] == 'a,"ü"'


def test_failed_lines_are_reported_by_number(bindery: Bindery, tmp_path: Path) -> None:
    lines = [
        ISSUED,
        "E,E1,otp-token",
        "E,E2",
        "",
        "E,E3,no-kind",
        'E,"E\n4",otp-token',
        "E,E5,",
        "E,E1,otp-token",
        'E,"E7"x,otp-token',
        "E,\udce4,otp-token",
        "E," + "x" * import_rows.ROW_SIZE + ",otp-token",
        "E,E10,otp-token",
        'E,"E11',
    ]
    file = tmp_path / "e.csv"
    file.write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    result = bindery(f"issued import {file}")
    assert (result.exit_code, json.loads(result.stdout)) == (1, report(created=2, errors=9))
    assert result.stderr.startswith(
        f"9 of 11 rows failed: {tmp_path / 'e.failed.csv'}"
        " (fix and import that file; it does not contain 4 unreadable rows)\n"
    )
    assert re.search(r"\n  line 3 +E2 +2 cells, but the header line has 3\n", result.stderr)
    assert result.stderr.endswith(f"All errors: {file}.errors.ndjson\n")
    assert (tmp_path / "e.failed.csv").read_text().splitlines() == [
        *(ISSUED, "E,E2", "E,E3,no-kind", 'E,"E', '4",otp-token', "E,E5,", "E,E1,otp-token")
    ]
    found = errors(tmp_path / "e.csv.errors.ndjson")
    assert [line for line, _ in found] == [3, 5, 6, 8, 9, 10, 11, 12, 14]
    assert {problem for line, problem in found if line in (3, 10, 11, 12, 14)} == {"unreadable"}
    assert (dict(found)[8], dict(found)[9]) == ("missing", "repeated")
    assert run(bindery, f"issued import {file} --errors {tmp_path / 'other'}")[1] == report(unchanged=2, errors=9)
    assert errors(tmp_path / "other") == found


def test_ndjson_is_read_line_by_line(bindery: Bindery, tmp_path: Path) -> None:
    device = {"customer": "N", "device_id": "N1", "kind": "otp-token"}
    bad = ["{", "[]", "NaN", '{"customer": NaN}', '"x"', "[" * 30000, '{"customer": "\\ud800"}', '{"typo": 1}']
    file = write(tmp_path / "n.ndjson", json.dumps(device), "", *bad, json.dumps(device | {"device_id": "N2"}))
    code, told = run(bindery, f"issued import {file}")
    assert (code, told) == (1, report(created=2, errors=len(bad)))
    assert sorted({line for line, _ in errors(tmp_path / "n.ndjson.errors.ndjson")}) == list(range(3, 3 + len(bad)))
    assert "unknown members 'typo'. Known members: customer, " in (tmp_path / "n.ndjson.errors.ndjson").read_text()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "", "the file has no header line"),
        ("a.csv", "product_key,serial\n", "the header line lacks device_key"),
        ("a.csv", f"{HEADER},color\n", "unknown columns 'color'. Known columns: product_key, serial, device_key"),
        ("a.csv", f"{HEADER},serial\n", "the header line has duplicate columns"),
        ("a.csv", f'{HEADER},"x"y\n', "the header line cannot be read"),
        ("a.txt", f"{HEADER}\n", "Use --format csv or --format ndjson"),
        ("a.csv --format xml", "", "Use --format csv or --format ndjson"),
        ("b.csv", None, "b.csv: No such file or directory"),
    ],
)
def test_unusable_file_is_refused_before_any_request(
    bindery: Bindery, tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name.split()[0]).write_text(content)
    result = bindery(f"devices import {tmp_path / name}")
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr
    assert not (tmp_path / "a.csv.progress.json").exists()


def test_unbindable_devices_are_imported_only_if_requested(bindery: Bindery, tmp_path: Path) -> None:
    file = write(tmp_path / "u.csv", HEADER, "p1117e,U1,", "p1117e,U2,84:15")
    assert run(bindery, f"devices import {file}") == (1, report(errors=2))
    assert run(bindery, f"devices import {file} --unbindable") == (0, report(created=2))


def test_issued_devices_are_imported_with_lists_and_flags(bindery: Bindery, tmp_path: Path) -> None:
    file = write(
        tmp_path / "issued.csv",
        "customer,device_id,kind,capabilities,is_primary,card_status,expiration_date",
        "C7,T1,otp-token,hmac display,,,",
        "C7,P1,payment-card,icc;nfc,TRUE,valid,2099-12-31",
        "C7,P2,payment-card,icc,maybe,valid,",
    )
    assert run(bindery, f"issued import {file}") == (1, report(created=2, errors=1))
    shown = {device["device_id"]: device for device in json.loads(bindery("issued list C7").stdout)}
    assert shown["T1"]["capabilities"] == ["hmac", "display"]
    assert (shown["P1"]["is_primary"], shown["P1"]["capabilities"]) == (True, ["icc", "nfc"])
    assert [line for line, _ in errors(tmp_path / "issued.csv.errors.ndjson")] == [4]


def test_killed_import_resumes(bindery: Bindery, environment: Mapping[str, str], tmp_path: Path) -> None:
    lines = issued("K", 200)
    lines[3] = "K,K0003"
    file = write(tmp_path / "k.csv", ISSUED, *lines)
    progress = tmp_path / "k.csv.progress.json"
    smaller = "from tools.cli import import_job; import_job.ROWS = 4; from tools.cli.main import app; app()"
    process = subprocess.Popen(
        [sys.executable, "-c", smaller, "issued", "import", str(file)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
    )
    while not progress.exists() or json.loads(progress.read_text())["done"]["lines"] == 0:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert 0 < json.loads(progress.read_text())["done"]["lines"] < 200
    with (tmp_path / "k.csv.errors.ndjson").open("a") as written:
        # Of a request whose outcome was not written down any more.
        written.write('{"line": 4')

    told = bindery(f"issued import {file} --dry-run")
    assert (told.exit_code, "is not finished. To start from the beginning: --restart" in told.stderr) == (2, True)
    code, counted = run(bindery, f"issued import {file}")
    # The killed process may not have recorded the outcome of its last requests.
    again = counted["unchanged"]
    assert (code, counted) == (1, report(created=199 - again, unchanged=again, errors=1))
    assert errors(tmp_path / "k.csv.errors.ndjson") == [(5, "unreadable")]
    assert not progress.exists()
    assert run(bindery, f"issued import {file}")[1] == report(unchanged=199, errors=1)


class Api(Client):
    """An API that takes every row, and fails at the request that holds a certain serial."""

    def __init__(self, fails: str | None = None, *, had: Sequence[str] = (), response_is_lost: bool = False) -> None:
        self.endpoint = "https://api.example.com"
        self.fails = fails
        self.response_is_lost = response_is_lost
        self.had = set(had)
        self.taken: list[str] = []
        self.sizes: list[int] = []
        """Rows of each request."""

    def ask(self, method: str, *path: str, **request: Any) -> Any:
        serials = [row["serial"] for row in request["body"]["rows"]]
        created = len(set(serials) - self.had)
        self.sizes.append(len(serials))
        if not request["body"]["dry_run"]:
            if self.response_is_lost or self.fails not in serials:
                self.had |= set(serials)
            if self.fails in serials:
                raise Failure(Exit.UNAVAILABLE, "gone")
            self.taken += serials
        return {"created": created, "changed": 0, "unchanged": len(serials) - created, "errors": []}


def take(
    api: Client, file: Path, *, restart: bool = False, dry_run: bool = False, errors: Path | None = None
) -> dict[str, Any]:
    return bulk_import.run(api, "devices", IMPORTED, file, form=None, dry_run=dry_run, errors=errors, restart=restart)


def test_import_resumes_after_a_refused_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], small_requests: None
) -> None:
    file = write(tmp_path / "r.csv", HEADER, *rows("R", 1000))
    with pytest.raises(Failure, match="gone"):
        take(Api("R0500"), file)
    assert "Run the same command again to resume" in capsys.readouterr().err
    assert json.loads((tmp_path / "r.csv.progress.json").read_text())["done"]["lines"] == 500
    again = Api()
    assert take(again, file) == report(created=1000)
    assert sorted(again.taken) == [f"R{number:04d}" for number in range(500, 1000)]


def test_request_with_a_lost_response_is_counted_correctly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_requests: None
) -> None:
    file = write(tmp_path / "l.csv", HEADER, *rows("L", 100))
    dying = Api("L0050", had=["L0000", "L0051"], response_is_lost=True)
    with pytest.raises(Failure, match="gone"):
        take(dying, file)
    monkeypatch.setattr(import_job, "ROWS", 7)
    assert take(Api(had=sorted(dying.had)), file) == report(created=98, unchanged=2)


def test_progress_of_another_file_is_ignored(tmp_path: Path, small_requests: None) -> None:
    file = write(tmp_path / "o.csv", HEADER, *rows("O", 100))
    with pytest.raises(Failure, match="gone"):
        take(Api("O0050"), file)
    write(file, HEADER, *rows("P", 100))
    with pytest.raises(Failure, match="To start from the beginning: --restart"):
        take(Api(), file)
    whole = Api()
    assert take(whole, file, restart=True) == report(created=100)
    assert len(whole.taken) == 100
    for restart in (False, True):
        (tmp_path / "o.csv.progress.json").write_text("{")
        with pytest.raises(Failure, match="is not the progress file of an import"):
            take(whole, file, restart=restart)
    assert (tmp_path / "o.csv.progress.json").read_text() == "{"


def test_output_never_overwrites_the_input_or_another_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "in.csv", HEADER, *rows("I", 3))
    given = file.read_bytes()
    link, log = tmp_path / "link.csv", write(tmp_path / "import.log", "kept")
    os.link(file, link)
    (tmp_path / "symlink").symlink_to(file)
    for dry_run in (True, False):
        for path, why in (
            *((text, "is the file to import") for text in (file, link, tmp_path / "symlink")),
            (log, "exists but is not the errors file of an import"),
            (tmp_path, "exists but is not the errors file of an import"),
        ):
            api = Api()
            with pytest.raises(Failure, match=why) as refused:
                take(api, file, errors=path, dry_run=dry_run)
            assert (refused.value.code, api.taken) == (Exit.USAGE, [])
    assert (file.read_bytes(), log.read_text()) == (given, "kept\n")
    assert capsys.readouterr().err == ""
    empty = tmp_path / "empty"
    empty.touch()
    take(Api(), file, errors=empty)
    assert empty.read_bytes() == b""
    before = sorted(os.listdir(tmp_path))
    take(Api(), file)
    assert sorted(os.listdir(tmp_path)) == before


def test_failed_rows_are_written_to_a_new_file_each_time(tmp_path: Path) -> None:
    file = write(tmp_path / "f.csv", HEADER, "p,F1,ABCD", "p,F1,ABCE")
    for failed in ("f.failed.csv", "f.failed-2.csv"):
        assert take(Api(), file)["errors"] == 1
        assert (tmp_path / failed).read_text() == f"{HEADER}\np,F1,ABCE\n"
        assert errors(tmp_path / "f.csv.errors.ndjson") == [(3, "repeated")]
    (tmp_path / "f.failed.csv").write_text(f"{HEADER}\np,F2,ABCE\n")
    assert take(Api(), tmp_path / "f.failed.csv") == report(created=1)
    file.write_text(f"{HEADER}\np,F1,ABCD\n")
    assert take(Api(), file)["errors"] == 0
    assert not (tmp_path / "f.csv.errors.ndjson").exists()


def test_distant_duplicate_is_an_error_and_the_first_row_counts(tmp_path: Path, small_requests: None) -> None:
    lines = rows("D", 100)
    lines += [" p1117e , D0001,FFFF00000001", "p1117e,OTHER,000000000002", "p2,D9999,000000000003"]
    api = Api()
    file = write(tmp_path / "d.csv", HEADER, *lines)
    assert take(api, file) == report(created=100 + 1, errors=2) | {"lines": 103}
    assert api.taken.count("D0001") == 1
    found = [json.loads(line) for line in (tmp_path / "d.csv.errors.ndjson").read_text().splitlines()]
    assert [(error["line"], error["serial"], error["message"]) for error in found] == [
        (102, " D0001", "repeats line 3"),
        (103, "OTHER", "device_key is the same as in line 4"),
    ]
    api.fails = "D0050"
    with pytest.raises(Failure, match="gone"):
        take(api, file, restart=True)
    api.fails = None
    assert take(api, file)["errors"] == 2


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiter_of_the_header_is_used(tmp_path: Path, delimiter: str) -> None:
    lines = [line.replace(",", delimiter) for line in (HEADER, *rows("S", 2), "p,S9,ABCD")]
    api = Api()
    assert take(api, write(tmp_path / "s.csv", *lines))["created"] == 3
    assert api.taken == ["S0000", "S0001", "S9"]


def test_spreadsheet_damage_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(
        tmp_path / "x.csv", HEADER, 'p,="0007",ABCD', 'p,"=""0008""",ABCE', "p,8.6E+14,ABCF", ",,", "p,X1,ABCG", ",,"
    )
    assert take(Api(), file) == report(created=1, errors=3)
    found = errors(tmp_path / "x.csv.errors.ndjson")
    assert found == [(2, "formula"), (3, "formula"), (4, "number")]
    told = capsys.readouterr().err
    assert "Skipped 2 empty rows.\n" in told
    assert "serial '8.6E+14': a number shortened by a spreadsheet. Format the column as text" in told
    assert "serial '=\"0007\"': a spreadsheet formula." in told
    (tmp_path / "u.csv").write_text(f"{HEADER}\n", encoding="utf-16")
    with pytest.raises(Failure, match=r"is UTF-16\. Save it as UTF-8"):
        take(Api(), tmp_path / "u.csv")


def test_missing_product_is_one_error(bindery: Bindery, tmp_path: Path, small_requests: None) -> None:
    file = write(tmp_path / "m.csv", HEADER, *(f"p9,M{number},{number:08X}" for number in range(12)))
    result = bindery(f"devices import {file}")
    assert (result.exit_code, json.loads(result.stdout)) == (1, report(errors=12))
    _, *told, _ = result.stderr.splitlines()
    assert told == ["  line 2 and 11 more  product_key 'p9': the product does not exist"]


def test_import_of_standard_input_writes_to_the_state_folder(
    bindery: Bindery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "\n".join([ISSUED, "I,I1,otp-token", "I,I2"])
    env = {"XDG_STATE_HOME": str(tmp_path / "state")}
    result = bindery("issued import - --format csv", stdin=text, env=env)
    assert (result.exit_code, json.loads(result.stdout)) == (1, report(created=1, errors=1))
    assert os.listdir(tmp_path) == ["state"]
    kept = {name.partition("-")[2] for name in os.listdir(tmp_path / "state" / "bindery" / "imports")}
    assert kept == {"stdin.csv.errors.ndjson", "stdin.failed.csv"}


def test_file_on_a_read_only_medium_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    medium = tmp_path / "medium"
    medium.mkdir()
    file = write(medium / "r.csv", HEADER, "p,R1,ABCD", "p,R1,ABCD")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != medium)
    for dry_run in (True, False):
        assert take(Api(), file, dry_run=dry_run)["errors"] == 1
        assert os.listdir(medium) == ["r.csv"]


def test_failure_before_the_first_row_prints_no_resume_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        return httpx.Response(403, json={"message": "Forbidden"})

    with pytest.raises(Failure, match="Forbidden"):
        take(connected(refuse), write(tmp_path / "n.csv", HEADER, "p,N1,ABCD"))
    assert capsys.readouterr().err == ""


def test_file_is_read_only_as_fast_as_requests_are_sent(tmp_path: Path, small_requests: None) -> None:
    file = write(tmp_path / "w.csv", HEADER, *rows("W", 1000))
    api = Api("W0000")
    with pytest.raises(Failure, match="gone"):
        take(api, file)
    assert len(api.taken) <= 2 * working.THREADS * 10


def test_request_size_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_job, "BATCH_SIZE", 1000)
    api = Api()
    assert take(api, write(tmp_path / "s.csv", HEADER, *rows("S", 200)))["created"] == 200
    assert max(api.sizes) == 44


def test_unavailable_response_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [httpx.ConnectTimeout("late"), 503, 429, 200]
    pauses: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        given = answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return httpx.Response(given, json={"title": "no"})

    monkeypatch.setattr(time, "sleep", pauses.append)
    api = connected(answer)
    assert api.ask("POST", "devices", "import", body={}, attempts=4) == {"title": "no"}
    assert len(pauses) == 3
    answers += [503, 503]
    with pytest.raises(Failure) as refused:
        api.ask("POST", "devices", "import", body={}, attempts=2)
    assert refused.value.code is Exit.UNAVAILABLE
