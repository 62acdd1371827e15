"""Labels of devices with QR codes, as SVG files, a PDF file of A4 sheets, or a CSV file.

Lengths are in millimetres. The sheets are for labels of 63.5 x 38.1 mm, three across and seven down (Avery L7160).
"""

import csv
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, NamedTuple
from xml.sax.saxutils import escape

from tools.cli.client import Exit, Failure

WIDTH, HEIGHT = 63.5, 38.1
PAGE_WIDTH, PAGE_HEIGHT = 210.0, 297.0
ACROSS, DOWN = 3, 7
LEFT, TOP, PITCH = 7.25, 15.15, 66.0

MARGIN = 2.0
QR_SIZE = 30.0
"""With the quiet zone."""
QUIET_ZONE = 4
"""Modules."""
TEXT_LEFT = MARGIN + QR_SIZE + 1
SERIAL_SIZE, CODE_SIZE = 7.0, 10.0
"""Font sizes in points."""
LINE_LENGTH = 18
"""Characters of a serial number per line."""

PDF_TEXT = "cp1252"
"""Character set of the fonts that every PDF viewer has."""

_POINT = 25.4 / 72


class Label(NamedTuple):
    """A device's label. The QR code contains `text`."""

    serial: str
    claim_code: str
    text: str

    def code(self) -> str:
        """Return the claim code in two groups."""
        half = len(self.claim_code) // 2
        return f"{self.claim_code[:half]} {self.claim_code[half:]}"


class Line(NamedTuple):
    """A line of text and its baseline, from the top of the label."""

    text: str
    baseline: float
    size: float
    bold: bool


class Bar(NamedTuple):
    """Adjacent dark modules of a QR code, from the top left corner of the label."""

    left: float
    top: float
    width: float
    height: float


def lines(label: Label) -> Iterator[Line]:
    """Yield the lines beside the QR code: the claim code, then the serial number."""
    baseline = MARGIN + 6.0
    yield Line(label.code(), baseline, CODE_SIZE, bold=True)
    for start in range(0, len(label.serial), LINE_LENGTH):
        baseline += 3.2 if start else 5.0
        yield Line(label.serial[start : start + LINE_LENGTH], baseline, SERIAL_SIZE, bold=False)


def bars(text: str) -> Iterator[Bar]:
    """Yield the dark parts of a QR code."""
    import segno  # slow to import, and needed only here

    # ASCII text gets the shortest encoding. Scanners take other bytes for UTF-8.
    code = segno.make_qr(text, error="m", encoding=None if text.isascii() else "utf-8")
    module = QR_SIZE / (len(code.matrix) + 2 * QUIET_ZONE)
    first = MARGIN + QUIET_ZONE * module
    for row, modules in enumerate(code.matrix):
        column = 0
        for dark, run in groupby(modules):
            length = len(list(run))
            if dark:
                yield Bar(first + column * module, first + row * module, length * module, module)
            column += length


def svg(label: Label) -> str:
    """Return a label as an SVG document."""
    path = "".join(
        f"M{_mm(bar.left)} {_mm(bar.top)}h{_mm(bar.width)}v{_mm(bar.height)}h-{_mm(bar.width)}z"
        for bar in bars(label.text)
    )
    texts = "".join(
        f'<text x="{_mm(TEXT_LEFT)}" y="{_mm(line.baseline)}" font-size="{_mm(line.size * _POINT)}" '
        f'font-weight="{"bold" if line.bold else "normal"}" xml:space="preserve">{escape(line.text)}</text>'
        for line in lines(label)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}mm" height="{HEIGHT}mm" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="Courier, monospace">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f'<path shape-rendering="crispEdges" d="{path}"/>{texts}</svg>\n'
    )


def pdf(labels: Sequence[Label], output: BinaryIO) -> None:
    """Write labels as a PDF document of A4 sheets."""
    import pydyf  # needed only here

    document = pydyf.PDF()
    fonts = {}
    for name, base in (("F1", "Courier"), ("F2", "Courier-Bold")):
        described = {"Type": "/Font", "Subtype": "/Type1", "BaseFont": f"/{base}", "Encoding": "/WinAnsiEncoding"}
        font = pydyf.Dictionary(described)
        document.add_object(font)
        fonts[name] = font.reference
    for start in range(0, len(labels), ACROSS * DOWN):
        drawn = zlib.compress("\n".join(_sheet(labels[start : start + ACROSS * DOWN])).encode())
        content = pydyf.Stream([drawn], extra={"Filter": "/FlateDecode"})
        document.add_object(content)
        page = pydyf.Dictionary(
            {
                "Type": "/Page",
                "Parent": document.pages.reference,
                "MediaBox": pydyf.Array([0, 0, PAGE_WIDTH / _POINT, PAGE_HEIGHT / _POINT]),
                "Contents": content.reference,
                "Resources": pydyf.Dictionary({"Font": pydyf.Dictionary(fonts)}),
            }
        )
        document.add_page(page)
    document.write(output)


def _sheet(labels: Sequence[Label]) -> Iterator[str]:
    """Yield the operators that draw a page. PDF's origin is the bottom left corner."""
    yield f"{1 / _POINT:.6f} 0 0 {1 / _POINT:.6f} 0 0 cm"
    for number, label in enumerate(labels):
        row, column = divmod(number, ACROSS)
        left, top = LEFT + column * PITCH, PAGE_HEIGHT - TOP - row * HEIGHT
        for bar in bars(label.text):
            yield f"{_mm(left + bar.left)} {_mm(top - bar.top - bar.height)} {_mm(bar.width)} {_mm(bar.height)} re"
        yield "f"
        for line in lines(label):
            text = line.text.encode(PDF_TEXT).hex()
            font = f"/{'F2' if line.bold else 'F1'} {_mm(line.size * _POINT)} Tf"
            yield f"BT {font} {_mm(left + TEXT_LEFT)} {_mm(top - line.baseline)} Td <{text}> Tj ET"


def write(labels: Sequence[Label], form: str, output: Path) -> None:
    """Write labels to a new file, or as SVG to an empty folder. Raises `Failure`."""
    try:
        if form == "svg":
            _write_folder(labels, output)
        elif form == "pdf":
            _check_characters(labels)
            with open(output, "xb", opener=_private) as file:
                pdf(labels, file)
        else:
            with open(output, "x", opener=_private, encoding="utf-8", newline="") as table:
                csv.writer(table).writerows([("serial", "claim_code", "text"), *labels])
    except FileExistsError:
        raise Failure(Exit.USAGE, f"{output} already exists. Remove it, or choose another --output") from None
    except OSError as error:
        raise Failure(Exit.USAGE, f"{error.filename or output}: {error.strerror or error}") from None


def _write_folder(labels: Sequence[Label], folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Failure(Exit.USAGE, f"{folder} is not empty. Choose another --output")
    digits = len(str(len(labels)))
    for number, label in enumerate(labels, 1):
        # The number keeps names apart that differ only in other characters or in case.
        name = f"{number:0{digits}}-{re.sub('[^A-Za-z0-9._-]', '_', label.serial)}.svg"
        with open(folder / name, "x", opener=_private, encoding="utf-8") as file:
            file.write(svg(label))


def _check_characters(labels: Sequence[Label]) -> None:
    for label in labels:
        try:
            label.serial.encode(PDF_TEXT)
        except UnicodeEncodeError as error:
            raise Failure(
                Exit.USAGE,
                f"{label.serial!r} cannot be printed: the PDF's font has no {label.serial[error.start]!r}. "
                "Use --format svg",
            ) from None


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, mode=0o600)


def _mm(length: float) -> str:
    return f"{length:.4f}".rstrip("0").rstrip(".")
