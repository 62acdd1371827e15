"""Labels with claim codes, for `bindery devices labels`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from tools.cli import import_rows, label_files, output
from tools.cli.client import ATTEMPTS, Client, Exit, Failure
from tools.cli.import_rows import Columns
from tools.cli.label_files import Label

PER_REQUEST = 500
"""Maximum number of labels per request."""

COLUMNS = Columns(
    ("serial",), ("product_key", "device_key", "module_type", "data_center"), identity=("product_key", "serial")
)
"""Those of an import of devices, of which only the serial number is needed."""


class LabelFormat(StrEnum):
    """File format of labels."""

    SVG = "svg"
    PDF = "pdf"
    CSV = "csv"


def make(api: Client, product: str, serials: Iterable[str], form: LabelFormat | None, to: Path) -> dict[str, Any]:
    """Write the labels of devices of a product. Raises `Failure`."""
    form = form or _format(to)
    # A label for each device, however often it is listed.
    found = list(dict.fromkeys(serials))
    if not found:
        raise Failure(Exit.NOT_FOUND, f"no such devices of product {product!r}. Import them, or use --file")
    labels: list[Label] = []
    answer: dict[str, Any] = {}
    for start in range(0, len(found), PER_REQUEST):
        body = {"serials": found[start : start + PER_REQUEST]}
        answer = api.ask("POST", "products", product, "claim-codes", body=body, attempts=ATTEMPTS)
        labels += (Label(**label) for label in answer["labels"])
    label_files.write(labels, form, to)
    if not answer["claim_codes"]:
        output.note(
            f"The product does not require claim codes yet. To require them: "
            f"bindery products change {product} --claim-codes"
        )
    return {
        "product_key": answer["product_key"],
        "claim_version": answer["claim_version"],
        "labels": len(labels),
        "format": form,
        "output": str(to),
    }


def summary(made: Mapping[str, Any]) -> str:
    """Return a sentence on the labels."""
    count = made["labels"]
    return f"Wrote {count:,} label{'s' * (count != 1)} of product {made['product_key']} to {made['output']}."


def _format(to: Path) -> LabelFormat:
    try:
        return LabelFormat(to.suffix.lower().removeprefix("."))
    except ValueError:
        raise Failure(Exit.USAGE, f"cannot tell the format of {to}. Use --format svg, pdf or csv") from None


def choose(api: Client, serials: Sequence[str] | None, file: Path | None, listed: Mapping[str, Any]) -> Iterable[str]:
    """Return the given serial numbers, those of a file, or else those of listed devices. Raises `Failure`."""
    if serials and file is not None:
        raise Failure(Exit.USAGE, "specify either --serial or --file")
    if (serials or file is not None) and (listed["state"], listed["since"]) != (None, None):
        raise Failure(Exit.USAGE, "--state and --since cannot be used with --serial or --file")
    if file is not None:
        return _from_file(file, listed["product"])
    return serials or (device["serial"] for device in api.pages("devices", limit=None, **listed))


def _from_file(file: Path, product: str) -> Iterator[str]:
    """Yield the serial numbers of a file, without those of other products."""
    form = "ndjson" if file.suffix.lower() in (".ndjson", ".jsonl") else "csv"
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            for row in import_rows.read(text, file, form, COLUMNS).rows:
                content = row.content or {}
                serial = content.get("serial")
                if row.problem is not None:
                    import_rows.refuse(file, f"line {row.line}: {row.message}")
                if str(content.get("product_key", product)).strip() != product:
                    continue
                if not isinstance(serial, str) or not serial.strip():
                    import_rows.refuse(file, f"line {row.line}: no serial number")
                yield serial.strip()
    except OSError as error:
        raise Failure(Exit.USAGE, f"{file}: {error.strerror or error}") from None
