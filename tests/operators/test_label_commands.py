"""`bindery devices labels` and the claim codes of products: what the files contain, and that their labels bind devices.

The QR codes are drawn as in the files, and read by a decoder.
"""

import csv
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import zxingcpp
from typer.testing import Result

from bindery.quectel import claim_codes
from bindery.registry import devices
from tests.command_line import Bindery, run
from tests.feed import Feed
from tests.operators.interrupted import Noted
from tests.quectel import ME, PK, SN, World, as_user, refused, succeeded
from tests.tables import everything
from tools.cli import client, label_files, labels

pytestmark = pytest.mark.usefixtures("registry")

PIXELS = 10
"""Per millimetre."""

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def api(registry: None, monkeypatch: pytest.MonkeyPatch) -> Noted:
    World()
    made = Noted()
    monkeypatch.setattr(client, "connect", made.connect)
    monkeypatch.setattr(client.time, "sleep", lambda seconds: None)
    return made


@pytest.fixture
def bindery(api: Noted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bindery:
    """Run a command line in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return run


def text(serial: str, version: int = 1) -> str:
    return f"{serial}-{claim_codes.of(PK, serial, version)}"


Rectangle = tuple[float, float, float, float]


def decoded(rectangles: list[Rectangle], width: float, height: float) -> list[str]:
    """Draw dark rectangles on white, and return the texts of the QR codes."""
    columns, rows = round(width * PIXELS), round(height * PIXELS)
    picture = bytearray(b"\xff" * columns * rows)
    for left, top, wide, high in rectangles:
        first, last = round(left * PIXELS), round((left + wide) * PIXELS)
        for row in range(round(top * PIXELS), round((top + high) * PIXELS)):
            picture[row * columns + first : row * columns + last] = bytes(last - first)
    found = zxingcpp.read_barcodes(memoryview(picture).cast("B", (rows, columns)))
    return [code.text for code in found]


def drawn_in_svg(document: str) -> tuple[list[Rectangle], list[str]]:
    """Return the dark rectangles and the lines of text of a label."""
    root = ElementTree.fromstring(document)
    path = root.find(f"{SVG}path")
    assert path is not None
    pieces = re.findall(r"M(\S+) (\S+?)h(\S+?)v(\S+?)h-\S+?z", path.attrib["d"])
    found = [(float(left), float(top), float(wide), float(high)) for left, top, wide, high in pieces]
    return found, [line.text or "" for line in root.iter(f"{SVG}text")]


def pages(document: bytes) -> Iterator[tuple[list[Rectangle], list[str]]]:
    """Yield the dark rectangles and the lines of text of each page."""
    for packed in re.findall(rb"/FlateDecode.*?>>\nstream\n(.*?)\nendstream", document, re.DOTALL):
        content = zlib.decompress(packed).decode()
        found = [[float(number) for number in line.split()[:4]] for line in content.splitlines() if line.endswith("re")]
        yield (
            [(left, 297 - bottom - high, wide, high) for left, bottom, wide, high in found],
            [bytes.fromhex(shown).decode("cp1252") for shown in re.findall(r"<(\w+)> Tj", content)],
        )


def test_text_of_the_qr_code_in_svg_binds_the_device(bindery: Bindery, tmp_path: Path) -> None:
    assert bindery(f"products change {PK} --claim-codes").exit_code == 0
    bindery(f"devices labels --product {PK} --serial {SN} --format svg --output out")
    (made,) = (tmp_path / "out").iterdir()
    assert (made.name, made.stat().st_mode & 0o777) == (f"1-{SN}.svg", 0o600)
    rectangles, (printed, serial) = drawn_in_svg(made.read_text())
    refused(as_user(ME), 5090)
    (scanned,) = decoded(rectangles, label_files.WIDTH, label_files.HEIGHT)
    succeeded(as_user(ME, sn=scanned))
    refused(as_user(ME, sn=serial, claimCode=printed), 5049)


SERIALS = [f"LK{number:010}" for number in range(21)] + ["Tür & <1>", "x" * 117]


def test_pdf_has_a_grid_of_labels_on_each_sheet(bindery: Bindery, tmp_path: Path) -> None:
    (tmp_path / "lamps.csv").write_text("serial\n" + "\n".join(f'"{serial}"' for serial in SERIALS) + "\n")
    result = bindery(f"devices labels --product {PK} --file lamps.csv --output lamps.pdf")
    assert result.exit_code == 0, result.output
    document = (tmp_path / "lamps.pdf").read_bytes()
    assert document.startswith(b"%PDF-1.")
    assert document.count(b"/Type /Page/") == 2
    found: list[str] = []
    for rectangles, lines in pages(document):
        assert all(x > 0 and x + wide < 210 and y > 0 and y + high < 297 for x, y, wide, high in rectangles)
        codes = decoded(rectangles, 210, 297)
        for serial in SERIALS[len(found) : len(found) + len(codes)]:
            code = claim_codes.of(PK, serial, 1)
            assert f"{code[:5]} {code[5:]}" in lines
            assert {serial[start : start + 18] for start in range(0, len(serial), 18)} <= set(lines)
        found += codes
    assert sorted(found) == sorted(map(text, SERIALS))


def test_labels_of_a_sheet_do_not_overlap(bindery: Bindery, tmp_path: Path) -> None:
    (tmp_path / "lamps.csv").write_text("serial\n" + "\n".join(SERIALS[:21]) + "\n")
    bindery(f"devices labels --product {PK} --file lamps.csv --output lamps.pdf")
    ((rectangles, _),) = pages((tmp_path / "lamps.pdf").read_bytes())
    columns, rows = label_files.PITCH, label_files.HEIGHT
    for left, top, wide, high in rectangles:
        column, x = divmod(left - label_files.LEFT, columns)
        row, y = divmod(top - label_files.TOP, rows)
        assert (0 <= column < 3, 0 <= row < 7, x + wide < label_files.WIDTH, y + high < rows) == (True,) * 4


def test_csv_has_serial_numbers_codes_and_qr_texts(bindery: Bindery, tmp_path: Path) -> None:
    result = bindery(f"devices labels --product {PK} --serial S1 --serial S2 --serial S1 --output codes.csv")
    told = {"product_key": PK, "claim_version": 1, "labels": 2, "format": "csv", "output": "codes.csv"}
    assert json.loads(result.stdout) == told
    with (tmp_path / "codes.csv").open(newline="") as made:
        assert list(csv.reader(made)) == [
            ["serial", "claim_code", "text"],
            *([serial, claim_codes.of(PK, serial, 1), text(serial)] for serial in ("S1", "S2")),
        ]
    assert (tmp_path / "codes.csv").stat().st_mode & 0o777 == 0o600


def test_file_of_an_import_is_accepted_without_rows_of_other_products(bindery: Bindery, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"product_key,serial,device_key\n{PK},S1,ABCD\np2,S2,ABCD\n")
    (tmp_path / "b.ndjson").write_text('{"serial": "S3"}\n{"product_key": "p2", "serial": "S4"}\n')
    for file, serial in (("a.csv", "S1"), ("b.ndjson", "S3")):
        assert bindery(f"devices labels --product {PK} --file {file} --output {serial}.csv").exit_code == 0
        assert (tmp_path / f"{serial}.csv").read_text().splitlines()[1:] == [
            f"{serial},{claim_codes.of(PK, serial, 1)},{text(serial)}"
        ]


def test_many_labels_take_several_requests_and_survive_an_unavailable_api(
    api: Noted, bindery: Bindery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert labels.PER_REQUEST == claim_codes.LABELS_LIMIT
    monkeypatch.setattr(labels, "PER_REQUEST", 2)
    (tmp_path / "many.csv").write_text("serial\nS1\nS2\nS3\nS4\nS5\n")
    api.failing = 2
    result = bindery(f"devices labels --product {PK} --file many.csv --format csv --output codes")
    assert json.loads(result.stdout)["labels"] == 5
    assert [len(json.loads(request.content)["serials"]) for request in api.sent] == [2, 2, 2, 2, 1]
    assert len((tmp_path / "codes").read_text().splitlines()) == 6


def test_labels_print_no_code_and_change_nothing(bindery: Bindery, tmp_path: Path) -> None:
    before = everything()
    result = bindery(f"devices labels --product {PK} --serial {SN} --output codes.csv")
    assert claim_codes.of(PK, SN, 1) not in result.output
    assert everything() == before
    assert f"To require them: bindery products change {PK} --claim-codes" in result.stderr


def test_listed_devices_of_the_product_get_labels(bindery: Bindery, tmp_path: Path, feed: Feed) -> None:
    for number in range(12):
        devices.manufacture(PK, f"S{number}", device_key=f"ABCD{number}")
    devices.manufacture("p2", "P1", device_key="ABCD")
    succeeded(as_user(ME, sn="S7"))
    feed.record()
    result = bindery(f"devices labels --product {PK} --output all.csv")
    assert (result.exit_code, json.loads(result.stdout)["labels"]) == (0, 12), result.output
    rows = (tmp_path / "all.csv").read_text().splitlines()[1:]
    assert {row.partition(",")[0] for row in rows} == {f"S{number}" for number in range(12)}
    assert bindery(f"devices labels --product {PK} --state bound --since 1h --output bound.csv").exit_code == 0
    assert (tmp_path / "bound.csv").read_text().splitlines()[1:] == [f"S7,{claim_codes.of(PK, 'S7', 1)},{text('S7')}"]


REFUSED = {
    "--serial S1 --output labels": (2, "cannot tell the format of labels. Use --format svg, pdf or csv"),
    "--serial S1 --file a.csv --output a.pdf": (2, "specify either --serial or --file"),
    "--file none.csv --output a.pdf": (2, "none.csv: No such file or directory"),
    "--file broken.csv --output a.pdf": (2, "broken.csv: unknown columns 'sn'. Known columns: serial, product_key"),
    "--file blank.csv --output a.pdf": (2, "blank.csv: line 3: no serial number"),
    "--file number.ndjson --output a.pdf": (2, "number.ndjson: line 1: no serial number"),
    "--file other.csv --output a.pdf": (3, f"no such devices of product '{PK}'. Import them, or use --file"),
    "--state lost --output a.pdf": (3, f"no such devices of product '{PK}'. Import them, or use --file"),
    "--serial S1 --state bound --output a.pdf": (2, "--state and --since cannot be used with --serial or --file"),
    "--serial S1 --output kept.csv": (2, "kept.csv already exists. Remove it, or choose another --output"),
    "--serial S1 --format svg --output full": (2, "full is not empty. Choose another --output"),
    "--serial S1 --format svg --output kept.csv": (2, "kept.csv already exists. Remove it, or choose another --output"),
    "--serial S1 --output none/a.pdf": (2, "none/a.pdf: No such file or directory"),
    "--serial 電球 --output a.pdf": (2, "'電球' cannot be printed: the PDF's font has no '電'. Use --format svg"),
    f"--serial {'x' * 118} --output a.pdf": (2, "with a claim code, is longer than 128 characters"),
    "--serial unknown --output a.pdf": (2, "a placeholder, which identifies no device"),
    "--product p9 --serial S1 --output a.pdf": (3, "bindery: product 'p9' not found"),
}


@pytest.mark.parametrize("options", REFUSED)
def test_refused_labels_write_no_file(bindery: Bindery, tmp_path: Path, options: str) -> None:
    (tmp_path / "full").mkdir()
    given = {
        "kept.csv": "kept",
        "full/x": "kept",
        "broken.csv": "sn\nS1\n",
        "blank.csv": "serial,device_key\nS1,ABCD\n,ABCD\n",
        "number.ndjson": '{"serial": 7}\n',
        "other.csv": "product_key,serial\np2,S1\n",
    }
    for name, content in given.items():
        (tmp_path / name).write_text(content)
    before = {path: path.is_file() and path.read_text() for path in tmp_path.rglob("*")}
    result = bindery(f"devices labels --product {PK} {options}")
    code, message = REFUSED[options]
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    assert {path: path.is_file() and path.read_text() for path in tmp_path.rglob("*")} == before


def test_qr_code_of_any_serial_number_can_be_read() -> None:
    for serial in ("電球-Ω", "a b", "<&\"'>"):
        label = label_files.Label(serial, "ABCDE12345", f"{serial}-ABCDE12345")
        rectangles, lines = drawn_in_svg(label_files.svg(label))
        assert decoded(rectangles, label_files.WIDTH, label_files.HEIGHT) == [label.text]
        assert lines == ["ABCDE 12345", serial]


def setting(answer: Result) -> tuple[bool, int]:
    product = json.loads(answer.stdout)
    return product["claim_codes"], product["claim_version"]


def test_product_can_be_created_with_claim_codes(bindery: Bindery) -> None:
    assert setting(bindery("products create p2 --name Lamp --module-type BC26")) == (False, 1)
    assert setting(bindery("products create p3 --name Lamp --module-type BC26 --claim-codes")) == (True, 1)


def test_new_claim_codes_end_all_labels_after_confirmation(bindery: Bindery, tmp_path: Path) -> None:
    assert setting(bindery(f"products change {PK} --claim-codes")) == (True, 1)
    unconfirmed = bindery(f"products change {PK} --new-claim-codes")
    assert (unconfirmed.exit_code, unconfirmed.stderr) == (2, "bindery: this cannot be undone. Confirm with --yes\n")
    assert setting(bindery(f"products show {PK}")) == (True, 1)
    assert setting(bindery(f"products change {PK} --new-claim-codes --yes")) == (True, 2)
    assert setting(bindery(f"products change {PK} --no-claim-codes")) == (False, 2)
    assert setting(bindery(f"products change {PK} --claim-codes")) == (True, 2)
    refused(as_user(ME, sn=text(SN)), 5090)
    bindery(f"devices labels --product {PK} --serial {SN} --output codes.csv")
    ((_, row),) = [(tmp_path / "codes.csv").read_text().splitlines()]
    assert row.endswith(text(SN, 2))
    succeeded(as_user(ME, sn=text(SN, 2)))
