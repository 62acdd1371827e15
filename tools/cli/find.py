"""`bindery find`."""

import re
import shlex
import sys
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any

import httpx
import typer

from tools.cli import lookup, output
from tools.cli.client import LOOPBACK, Client, Exit, Failure
from tools.cli.command import Context, command

COMMANDS = {
    "device": ["bindery devices show {id}", "bindery devices history {id}"],
    "user": ["bindery users show {id}", "bindery users history {id}"],
    "account": ["bindery accounts show {id}", "bindery users list {id}", "bindery keys list {id}"],
    "product": ["bindery products show {id}"],
    "user domain": ["bindery domains show {id}"],
    "family": ["bindery families show {id}"],
    "key": ["bindery keys show {id}"],
    "webhook": ["bindery webhooks show {id}", "bindery webhooks deliveries {id}"],
    "event": ["bindery history show {id}"],
    "connection": ["bindery connections list --device {device}", "bindery connections stop {device} {caller}"],
}
"""Commands to look closer, by the kind of a match."""

_CREDENTIALS = {
    "key id": "API key",
    "device key": "device's key",
    "deviceid or authKey": "device's deviceid or authKey",
    "deviceid": "device's deviceid",
}
"""Names of credentials, by what their SHA-256 is."""

IF_LEAKED = {"key id": "bindery keys revoke {id}", "device key": "bindery devices revoke-key {id}"}
"""Commands that make a leaked credential invalid."""

_CREDENTIAL = re.compile(
    # An API key, a device's key, or the beginning of one.
    r"ror-.*|bdk_.*"
    # A developer key, also in part: longer than the id of an event, shorter than that of a key.
    r"|[0-9a-f]{33,63}"
    # A deviceid (rufus); an authKey (quectel).
    r"|[0-9A-F]{64}|[A-Za-z0-9+/]{22}=="
)
_CHOSEN_KEY = re.compile("[A-Za-z0-9+/=_-]{20,128}")
"""Form of a key that released apps already had, and of many other identifiers."""

_UNKNOWN = re.compile(r"whsec_.*|(?i:bearer\s+)?eyJ[\w-]+\..*", re.DOTALL)
"""Secrets that cannot be looked up: those of webhooks, and tokens."""

_LABEL = re.compile(r"(?P<serial>.*[^ ]) *-[0-9A-Za-z]{5}[ -]?[0-9A-Za-z]{5}")
"""Text of a device's label: serial number and claim code, or another text that looks so."""

_CONNECTION = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_REQUEST = re.compile(rf"{_CONNECTION.pattern}|[0-9a-f]{{32}}|[A-Za-z0-9_-]{{15}}=")
"""Request id: of the local server 32 digits, of API Gateway 16 characters, also as a UUID."""

Text = Annotated[
    str | None,
    typer.Argument(
        metavar="[TEXT]",
        help="Text to look up. Without it, it is entered at a prompt or on standard input: use that for keys.",
        show_default=False,
    ),
]
Account = Annotated[
    str | None,
    typer.Option(
        help="Account in which to look up a deviceid (rufus) or only there an email address.", show_default=False
    ),
]
Domain = Annotated[
    str | None,
    typer.Option(
        help="User domain in which to look up a phone number or only there an email address.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, done=_blocks)(find)


def find(context: Context, text: Text = None, account: Account = None, domain: Domain = None) -> Any:
    """Identify a text from a label, a log or an email.

    It can be a device id, serial number, MAC address, IMEI, service address,
    user id, email address, phone number, account, product, user domain, family,
    id of a key, webhook, event or request, label of a device or connection, or
    a key itself, of which only the SHA-256 is sent.

    Of a serial number, the first characters are enough (at least three) if
    nothing else has this name. Phone numbers need --domain. Ids of connections
    and bindings cannot be looked up.
    """
    asked = (_entered() if text is None else text).strip()
    if not asked:
        raise Failure(Exit.USAGE, "no text. Specify it, or enter it on standard input")
    if _UNKNOWN.fullmatch(asked):
        raise Failure(Exit.NOT_FOUND, _NOT_SENT)
    scope = {"account": account, "domain": domain}
    if _may_be_credential(asked):
        found = _look_up(context.api, sha256(asked.encode()).hexdigest(), scope)
        of_key = [match for match in found["matches"] if match["named"] in _CREDENTIALS]
        if of_key:
            return {"matches": [_as_credential(match) for match in of_key], "more": False}
        if _CREDENTIAL.fullmatch(asked):
            raise Failure(Exit.NOT_FOUND, _NO_KEY)
    if (label := _LABEL.fullmatch(asked)) is not None:
        found = _look_up(context.api, label["serial"], scope)
        serial = label["serial"].upper()
        of_label = [match for match in found["matches"] if str(match["facts"].get("serial", "")).upper() == serial]
        if of_label:
            return {"matches": [_with_commands({**match, "named": "label"}) for match in of_label], "more": False}
    found = _look_up(context.api, asked, scope)
    matches = [_with_commands(match) for match in found["matches"]]
    if not matches and _REQUEST.fullmatch(asked):
        matches = [_request(asked, context.api.endpoint)]
    if not matches:
        raise Failure(Exit.NOT_FOUND, _nothing(asked, found["tried"], scope))
    return {"matches": matches, "more": found["more"]}


_NOT_SENT = (
    "this looks like a webhook's secret or a token, which cannot be looked up. It was not sent\n"
    "  If it has leaked: bindery webhooks rotate WEBHOOK, or bindery users revoke-tokens USER"
)
_NO_KEY = (
    "this looks like a key, but no key or device credential of this installation is the same\n"
    "  Only its SHA-256 was sent. It must be whole, and in the right case.\n"
    "  For the deviceid of a rufus device that is not bound, add --account.\n"
    "  If it is a serial number: bindery devices find --serial"
)


def _entered() -> str:
    """Return the text from a prompt, at which it is not shown, or from standard input."""
    if sys.stdin.isatty():
        entered: str = typer.prompt("Text", hide_input=True, err=True)
        return entered
    return sys.stdin.readline()


def _may_be_credential(text: str) -> bool:
    return _CREDENTIAL.fullmatch(text) is not None or (
        _CHOSEN_KEY.fullmatch(text) is not None and not lookup.is_device(text)
    )


def _look_up(api: Client, text: str, scope: Mapping[str, str | None]) -> Any:
    return api.get("find", text=text, **scope)


def _with_commands(match: Mapping[str, Any]) -> dict[str, Any]:
    names = {name: shlex.quote(str(value)) for name, value in {**match["facts"], "id": match["id"]}.items()}
    return {**match, "commands": [line.format_map(names) for line in COMMANDS[match["kind"]]]}


def _as_credential(match: Mapping[str, Any]) -> dict[str, Any]:
    """Return the match for a credential's SHA-256, with the command to use if it has leaked."""
    named = match["named"]
    name = "developer key" if match["facts"]["api"] == "remoteit" else _CREDENTIALS[named]
    shown = _with_commands({**match, "named": f"the {name} itself"})
    if named in IF_LEAKED:
        shown["if_leaked"] = IF_LEAKED[named].format(id=shlex.quote(match["id"]))
    return shown


def _request(text: str, endpoint: str) -> dict[str, Any]:
    """Return how to find the request whose id a text may be, or the connection."""
    if httpx.URL(endpoint).host in LOOPBACK:
        state = "not looked up; see the log that `make run LOG=json` prints"
        commands = []
    else:
        state = "not looked up; run the saved query `One request` in CloudWatch Logs Insights"
        commands = [f'filter request_id = "{text}"']
    if _CONNECTION.fullmatch(text):
        state += ", or list a user's connections, whose ids have the same form"
        commands.append("bindery connections list --caller USER")
    return {"kind": "request", "named": "request id", "id": text, "state": state, "facts": {}, "commands": commands}


def _nothing(text: str, tried: list[str], scope: Mapping[str, str | None]) -> str:
    """Return what was tried, and what to try next."""
    lines = [f"nothing found for {text!r}", *_wrapped(f"Tried: {', '.join(tried) or 'nothing'}.")]
    lines.append("  Ids must be whole and match exactly, including case.")
    if re.fullmatch(r"\+?[0-9 ().-]{5,}", text) and scope["domain"] is None:
        lines += _wrapped(
            "Phone numbers are unique within a user domain: add --domain, and begin the number with + and its "
            "country code."
        )
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    """Return lines of at most 80 columns, with the indentation of a failure's details."""
    lines = ["  "]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) > 79 and lines[-1].strip():
            lines.append("  ")
        lines[-1] += word if lines[-1] == "  " else f" {word}"
    return lines


_MORE = {
    "beginning of a serial number": "More serial numbers begin with this text. Enter more of it.",
    "email address": "There are more: bindery users list --all --email …",
    "serial number": "There are more: bindery devices find --all --serial …",
}
"""How to see more matches, by how the text identifies the first."""


def _blocks(found: Mapping[str, Any]) -> str:
    """Return a block of lines for each match."""
    blocks = [_block(match) for match in found["matches"]]
    if found["more"]:
        blocks.append(_MORE[found["matches"][0]["named"]])
    return "\n\n".join(blocks)


def _block(match: Mapping[str, Any]) -> str:
    kind, named = output.escape(match["kind"]), output.escape(match["named"])
    title = kind if named.removesuffix(" id") == kind else f"{kind}, by its {named}"
    if named.startswith("the "):
        title = f"{kind}: this is {named}"
    facts = [
        f"{name.removesuffix('_at').replace('_', ' ')} {output.word(name, value)}"
        for name, value in match["facts"].items()
        if value is not None
    ]
    lines = [title, f"  {output.escape(match['id'])}", *_wrapped(", ".join([output.escape(match["state"]), *facts]))]
    if "if_leaked" in match:
        lines += ["  If it has leaked, make it invalid:", f"    {match['if_leaked']}"]
    return "\n".join([*lines, *(f"  {output.escape(line)}" for line in match["commands"])])
