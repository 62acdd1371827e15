"""`bindery export`.

An export to a file keeps `FILE.part` and `FILE.part.json` beside it until the end, and resumes from them.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Any, get_args

import typer

from tools import files
from tools.cli import history, lists, lookup, output, times, working
from tools.cli.client import ATTEMPTS, Client, Exit, Failure
from tools.cli.command import Context, command, group
from tools.cli.resource import declared

app = group(
    "Export lists as CSV or NDJSON.\n\n"
    "An export to a file can be resumed. Times are in milliseconds since 1970. An export is not a snapshot: it can "
    "miss what changes while it is written."
)


class Form(StrEnum):
    """Format of a file."""

    CSV = "csv"
    NDJSON = "ndjson"


_IDENTITY = ("device", "dialect", "account", "product_key", "serial", "imei", "mac")
_EVENT = ("id", "type", "at", "recorded_at", "chain", "seq", "previous", "hash", "data")
_Page = tuple[list[Any], str | None]
"""Entries, and the cursor of the next page."""

Query = tuple[list[str], Mapping[str, Any]]
"""Path and query of a list."""


@dataclass(frozen=True)
class Listed:
    """A list: its help, the columns of a CSV file, its options, and its path and query for given options."""

    text: str
    columns: Sequence[str]
    options: Mapping[str, Any]
    path: Callable[[Mapping[str, Any]], Query]


def _plain(*path: str) -> Callable[[Mapping[str, Any]], Query]:
    """Return the path of a list whose options are its query."""
    return lambda given: ([*path], given)


def _history(given: Mapping[str, Any]) -> Query:
    device, operator, since = given["device"], given["operator"], times.moment(given["since"])
    if device is not None and (operator is not None or since is not None):
        raise Failure(Exit.USAGE, "specify --device without --operator and --since")
    if device is not None:
        return ["history", "devices", lookup.checked(device)], {}
    if operator is not None:
        return ["history", "operators"], {"operator": operator, "since": since}
    return ["history", "events"], {"since": since}


def _connections(given: Mapping[str, Any]) -> Query:
    if (given["device"] is None) is (given["caller"] is None):
        raise Failure(Exit.USAGE, "specify either --device or --caller")
    return ["connections"], given


def _required(text: str) -> Any:
    return Annotated[str, typer.Option(help=text, show_default=False)]


def _optional(text: str) -> Any:
    return Annotated[str | None, typer.Option(help=text, show_default=False)]


_ACCOUNT = {"account": _required("Account id.")}
_WEBHOOK = {"webhook": _required("Webhook id.")}

LISTS = {
    "devices": Listed(
        "Export devices of a product, an account or an API, or all, or those in a state.",
        (
            *_IDENTITY,
            *("facts", "device_key_set", "enabled", "active", "services", "ban", "unbanned", "unbound"),
            *("created_at", "changed_at", "changed_by", "states"),
        ),
        {
            "product": lists.Product,
            "account": lists.Account,
            "api": lists.Api,
            "state": lists.State,
            "since": times.Since,
        },
        lambda given: (["devices"], lists.query(**given)),
    ),
    "online": Listed(
        "Export the connected devices.",
        (*_IDENTITY, "connected_at", "ip", "agent"),
        {},
        _plain("devices", "online"),
    ),
    "accounts": Listed(
        "Export accounts.",
        ("account", "name", "enabled", "deleting_at", "parts", "created_at", "per_second", "burst"),
        {},
        _plain("accounts"),
    ),
    "keys": Listed(
        "Export an account's keys, without their secrets.",
        (
            *("id", "account", "kind", "grant", "unbind", "alias", "created_at", "expires_at", "revoked_at"),
            *("last_used", "per_second", "burst"),
        ),
        _ACCOUNT,
        _plain("keys"),
    ),
    "users": Listed(
        "Export an account's users: personal data.",
        ("uid", "account", "domain", "role", "home_mode", "customer", "email", "phone", "enabled", "created_at"),
        _ACCOUNT,
        _plain("users"),
    ),
    "domains": Listed(
        "Export user domains.", ("domain", "enabled", "deleting_at", "binders", "created_at"), {}, _plain("domains")
    ),
    "products": Listed(
        "Export products.",
        (
            *("product_key", "name", "module_type", "mode", "domains", "data_center", "capabilities"),
            *("claim_codes", "claim_version", "deleting_at", "created_at"),
        ),
        {},
        _plain("products"),
    ),
    "families": Listed(
        "Export the families that a user owns.",
        ("fid", "owner", "members", "rooms", "common_count", "created_at"),
        {"owner": _required("User id of the owner.")},
        _plain("families"),
    ),
    "issued": Listed(
        "Export the devices issued to a customer.",
        (
            *("customer", "device_id", "kind", "holder_id", "capabilities", "status", "nickname"),
            *("masked_card_number", "is_primary", "card_status", "cardholder_name", "delivery_date"),
            *("activation_date", "expiration_date", "card_kind", "card_brand", "card_image_url"),
        ),
        {"customer": _required("Customer id, as in the issuer's tokens.")},
        _plain("issued-devices"),
    ),
    "connections": Listed(
        "Export the current connections to a device or of a caller.",
        ("id", "device", "caller", "account", "address", "client_ip", "created_at", "expires_at"),
        {"device": _optional("Device id."), "caller": _optional("User id of the caller.")},
        _connections,
    ),
    "webhooks": Listed(
        "Export webhooks, without their secrets.",
        ("id", "url", "types", "enabled", "disabled_reason", "secrets", "created_at"),
        {},
        _plain("webhooks"),
    ),
    "deliveries": Listed(
        "Export the attempts of the last 30 days to deliver events to a webhook.",
        ("event", "type", "chain", "at", "attempt", "status", "error", "milliseconds"),
        _WEBHOOK,
        lambda given: (["webhooks", given["webhook"], "deliveries"], {}),
    ),
    "dead": Listed(
        "Export the events that a webhook's receiver did not accept for three days.",
        ("event", "type", "chain", "sequence", "at", "status", "error"),
        _WEBHOOK,
        lambda given: (["webhooks", given["webhook"], "dead-letters"], {}),
    ),
    "history": Listed(
        "Export events: all, or those of a device or an operator.",
        _EVENT,
        {
            "since": times.Since,
            "device": _optional("Device id."),
            "operator": _optional("ARN of an operator."),
        },
        _history,
    ),
    "unrecorded": Listed(
        "Export the changes from which no event could be made.",
        ("id", "at", "error"),
        {},
        _plain("history", "unrecorded"),
    ),
}
"""Lists by the name of their command."""

FormOption = Annotated[
    Form | None, typer.Option("--format", help="Default: from the file name, else ndjson.", show_default=False)
]
File = Annotated[
    Path | None, typer.Option("--file", "-f", help="New file. Default: standard output.", show_default=False)
]
Raw = Annotated[
    bool, typer.Option("--raw", help="CSV: leave texts as they are that a spreadsheet would take for formulas.")
]
Restart = Annotated[bool, typer.Option("--restart", help="Start from the beginning instead of resuming.")]


def _add(name: str, listed: Listed) -> None:
    """Add the command for a list."""

    def export(
        context: Context, form: Form | None, file: Path | None, raw: bool, restart: bool, **given: Any
    ) -> dict[str, Any] | None:
        path, query = listed.path(given)
        form = form or (Form.CSV if file is not None and file.suffix.lower() == ".csv" else Form.NDJSON)
        writer = _Writer(form, listed.columns, raw=raw)
        if file is None:
            _to_stdout(context.api, path, query, writer)
            return None
        about = {"endpoint": context.api.endpoint, "list": name, "options": given, "format": form, "raw": raw}
        rows = _to_file(context.api, path, query, writer, file, json.loads(json.dumps(about)), restart=restart)
        return {"list": name, "rows": rows, "file": str(file)}

    arguments = {**listed.options, "form": FormOption, "file": File, "raw": Raw, "restart": Restart}
    optional = [option for option, annotation in listed.options.items() if get_args(annotation)[0] is not str]
    defaults: dict[str, Any] = dict.fromkeys([*optional, "form", "file"])
    defaults |= {"raw": False, "restart": False}
    command(app, name=name, done="Exported {rows} rows to {file}.")(
        declared(export, listed.text, arguments, **defaults)
    )


for _name, _listed in LISTS.items():
    _add(_name, _listed)


class _Writer:
    """Entries as text."""

    def __init__(self, form: Form, columns: Sequence[str], *, raw: bool) -> None:
        self._form, self._columns, self._raw = form, columns, raw

    def rows(self, entries: Sequence[Mapping[str, Any]], *, first: bool) -> bytes:
        """Return entries in UTF-8, the `first` ones with a header line."""
        if self._form is Form.NDJSON:
            return "".join(json.dumps(entry) + "\n" for entry in entries).encode()
        text = io.StringIO()
        writer = csv.writer(text)
        if first:
            writer.writerow(self._columns)
        writer.writerows([self._cell(entry.get(column)) for column in self._columns] for entry in entries)
        return text.getvalue().encode("utf-8", "backslashreplace")

    def _cell(self, value: Any) -> Any:
        match value:
            case bool() | list() | dict():
                return json.dumps(value, ensure_ascii=False)
            # Spreadsheets run formulas, and holders choose the names of their devices.
            case str() if not self._raw and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
                return f"'{value}"
        return value


def _pages(api: Client, path: Sequence[str], query: Mapping[str, Any], cursor: str | None) -> Iterator[_Page]:
    """Yield the entries of each page, and the cursor of the next, None after the last."""
    if list(path) == ["history", "events"]:
        yield from _log(api, path, query, cursor)
        return
    for page in working.pages(api, path, query, cursor):
        yield page["items"], page["next"]


def _log(api: Client, path: Sequence[str], query: Mapping[str, Any], cursor: str | None) -> Iterator[_Page]:
    """Yield the pages of the log, whose cursor continues after its end."""
    more = True
    while more:
        asked = query if cursor is None else {"after": cursor}
        page = api.ask("GET", *path, query={**asked, "limit": history.PAGE}, attempts=ATTEMPTS)
        cursor, more = page["next"], page["more"]
        yield page["items"], cursor if more else None


def _to_stdout(api: Client, path: Sequence[str], query: Mapping[str, Any], writer: _Writer) -> None:
    rows = 0
    try:
        for number, (entries, _) in enumerate(_pages(api, path, query, None)):
            if not output.data(writer.rows(entries, first=number == 0)):
                return
            rows += len(entries)
    except (Failure, KeyboardInterrupt):
        output.note(f"Interrupted after {rows:,} rows. An export with --file can be resumed.")
        raise


@dataclass
class _Progress:
    """Content of `FILE.part.json`."""

    about: dict[str, Any]
    """The command."""
    query: dict[str, Any]
    """Its query, in which relative times are fixed."""
    cursor: str | None = None
    size: int = 0
    """Bytes of `FILE.part` up to the cursor."""
    rows: int = 0
    complete: bool = False


def _to_file(
    api: Client,
    path: Sequence[str],
    query: Mapping[str, Any],
    writer: _Writer,
    file: Path,
    about: dict[str, Any],
    *,
    restart: bool,
) -> int:
    """Export to a new file, or resume. Return the number of rows. Raises `Failure`."""
    part, record = (file.with_name(file.name + end) for end in (".part", ".part.json"))
    try:
        progress = _resumed(record, about, restart=restart)
        if file.exists() and not (progress and progress.complete and not part.exists()):
            raise Failure(Exit.USAGE, f"{file} already exists. Choose another file, or delete it first")
        if progress is None:
            if part.exists() and not restart:
                raise Failure(Exit.USAGE, f"{part} exists but is not of an export. Move it elsewhere")
            progress = _Progress(about, dict(query))
            # Only a record shows that the part belongs to an export.
            files.replace(record, json.dumps(asdict(progress)) + "\n")
        if not progress.complete:
            with working.private(part, "ab") as opened, working.held(opened, f"the export to {file}"):
                opened.truncate(progress.size)
                with _note_if_interrupted(progress):
                    _fill(api, path, writer, opened, record, progress)
        if part.exists():
            part.rename(file)
        record.unlink()
    except OSError as error:
        raise Failure(Exit.USAGE, f"{error.filename or file}: {error.strerror or error}") from None
    return progress.rows


def _resumed(record: Path, about: Mapping[str, Any], *, restart: bool) -> _Progress | None:
    """Return the progress of an interrupted export. Raises `Failure` if it was another."""
    try:
        found = _Progress(**json.loads(record.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise Failure(
            Exit.USAGE, f"{record} exists but is not the progress file of an export. Move it elsewhere"
        ) from None
    if restart:
        return None
    if found.about != about:
        raise Failure(
            Exit.USAGE,
            f"the export in {record} is not finished, and had other options or another endpoint. "
            "To start from the beginning: --restart",
        )
    return found


def _fill(
    api: Client, path: Sequence[str], writer: _Writer, opened: IO[bytes], record: Path, progress: _Progress
) -> None:
    """Append the pages that are missing, and record the cursor after each."""
    with working.progress_bar() as bar:
        task = bar.add_task("", total=None, text="")
        for entries, cursor in _pages(api, path, progress.query, progress.cursor):
            opened.write(writer.rows(entries, first=progress.size == 0))
            working.sync(opened)
            progress.cursor, progress.size, progress.complete = cursor, opened.tell(), cursor is None
            progress.rows += len(entries)
            files.replace(record, json.dumps(asdict(progress)) + "\n")
            bar.update(task, text=f"{progress.rows:,} rows")


@contextmanager
def _note_if_interrupted(progress: _Progress) -> Iterator[None]:
    try:
        yield
    except (Failure, KeyboardInterrupt):
        output.note(f"Interrupted after {progress.rows:,} rows. Run the same command again to resume.")
        raise
