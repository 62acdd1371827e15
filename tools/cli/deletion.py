"""Deletion of records, and of what depends on them.

The registry itself is the record of the work: a command that was interrupted finds what is left when it is run again.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, NamedTuple

import typer

from tools.cli import output
from tools.cli.client import ATTEMPTS, Client, Exit, Failure
from tools.cli.command import confirm

Cascade = Annotated[bool, typer.Option("--cascade", help="First delete everything that depends on it.")]

THREADS = 8
SAMPLE = 5
PAUSE = 2.0
"""Seconds until lists are read again that may not show the last changes yet."""

ROUNDS = 30
"""Number of times that lists are read again without progress."""


class Dependent(NamedTuple):
    """A record that depends on another, and its step of the work."""

    kind: str
    id: str


Find = Callable[[Client, str], Iterator[Dependent]]


def repeat(api: Client, *path: str, **query: Any) -> Any:
    """Send a DELETE request until it has deleted everything, or dependents are left. Raises `Failure`."""
    begun = False
    while True:
        try:
            answer = api.ask("DELETE", *path, query=query, attempts=ATTEMPTS)
        except Failure as failure:
            # The response to the request before may have been lost.
            if failure.code is not Exit.NOT_FOUND or not begun:
                raise
            return {"complete": True}
        if answer["complete"] or answer.get("dependents"):
            return answer
        begun = True
        if wait := answer.get("wait_seconds", 0):
            output.note(f"Waiting {wait} s, until requests that began before have ended. To stop: Ctrl-C")
            time.sleep(wait)


def run(api: Client, path: str, name: str, find: Find | None = None, *, cascade: bool = False, yes: bool) -> Any:
    """Delete a record, with `cascade` after everything that depends on it. Raises `Failure`."""
    api.get(path, name)
    deleted: Counter[str] = Counter()
    if cascade and find is not None:
        _preview(name, list(find(api, name)))
    confirm(f"Permanently delete {name}{' and everything that depends on it' if cascade else ''}?", yes=yes)
    answer = repeat(api, path, name, cascade="true" if cascade else None)
    idle = 0
    while not answer["complete"] and find is not None:
        done = _delete_all(api, f"{path}/{name} is deleted", list(find(api, name)))
        deleted.update(done)
        idle = 0 if done else idle + 1
        if idle == ROUNDS:
            told = ", ".join(f"{number} {kind}" for kind, number in answer["dependents"].items())
            raise Failure(Exit.CONFLICT, f"{told} are left that are not listed yet. Run the same command again later")
        if not done:
            time.sleep(PAUSE)
        answer = repeat(api, path, name, cascade="true")
    return {"id": name, "deleted": dict(deleted), "complete": True}


def told(answer: Any) -> str:
    """Return the result as text."""
    counts = ", ".join(f"{number:,} {kind}" for kind, number in answer["deleted"].items())
    return f"Deleted {answer['id']}{f' and what depended on it: {counts}' if counts else ''}."


def _preview(name: str, found: list[Dependent]) -> None:
    for kind, number in Counter(each.kind for each in found).items():
        sample = [each.id for each in found if each.kind == kind][:SAMPLE]
        more = ", …" if number > SAMPLE else ""
        output.note(f"{kind} that depend on {name}: {number:,} ({', '.join(sample)}{more})")


def _delete_all(api: Client, why: str, found: list[Dependent]) -> Counter[str]:
    """Delete dependents, one kind after the other. Ones that are gone already do not count."""
    done: Counter[str] = Counter()
    for kind in dict.fromkeys(each.kind for each in found):
        left = [each.id for each in found if each.kind == kind]
        step = _STEPS[kind]
        with ThreadPoolExecutor(THREADS) as threads:
            try:
                for number, changed in enumerate(threads.map(step, [api] * len(left), left, [why] * len(left)), 1):
                    done[kind] += changed
                    if number % 1000 == 0:
                        output.note(f"{number:,} of {len(left):,} {kind}")
            except BaseException:
                threads.shutdown(cancel_futures=True)
                output.note("Interrupted. Run the same command again to resume.")
                raise
    return +done


def _gone(delete: Callable[[Client, str, str], object]) -> Callable[[Client, str, str], bool]:
    """Make a step return False for a record that does not exist any more."""

    def step(api: Client, identifier: str, why: str) -> bool:
        try:
            delete(api, identifier, why)
        except Failure as failure:
            if failure.code is not Exit.NOT_FOUND:
                raise
            return False
        return True

    return step


def _user(api: Client, uid: str, why: str) -> None:
    repeat(api, "privacy", uid)


def _key(api: Client, key: str, why: str) -> None:
    api.ask("POST", "keys", key, "revoke", attempts=ATTEMPTS)
    repeat(api, "keys", key)


def _device(api: Client, device: str, why: str) -> None:
    shown = api.ask("GET", "devices", device, attempts=ATTEMPTS)
    binding = shown["binding"]
    if binding is not None and binding["status"] != "unregistered":
        _unbind(api, device, why)
    for user in shown["users"]:
        if user["kind"] == "binding":
            _unbind(api, device, why, user["uid"])
    repeat(api, "devices", device)


def _unbind(api: Client, device: str, why: str, uid: str | None = None) -> None:
    try:
        api.ask("POST", "devices", device, "unbind", body={"reason": why}, query={"uid": uid}, attempts=ATTEMPTS)
    except Failure as failure:
        # The holder has ended the binding.
        if failure.code is not Exit.NOT_FOUND:
            raise


_STEPS = {"users": _gone(_user), "devices": _gone(_device), "keys": _gone(_key)}


def of_account(api: Client, account: str) -> Iterator[Dependent]:
    """Yield the dependents of an account."""
    yield from (Dependent("users", user["uid"]) for user in api.pages("users", account=account, limit=None))
    yield from of_devices(api, account=account)
    yield from (Dependent("keys", key["id"]) for key in api.pages("keys", account=account, limit=None))


def of_product(api: Client, product: str) -> Iterator[Dependent]:
    """Yield the devices of a product."""
    return of_devices(api, product=product)


def of_devices(api: Client, **scope: str) -> Iterator[Dependent]:
    """Yield the devices of a product or account."""
    yield from (Dependent("devices", each["device"]) for each in api.pages("devices", limit=None, **scope))


def of_domain(api: Client, domain: str) -> Iterator[Dependent]:
    """Yield the users of a domain, and the products that name it."""
    found = api.pages("domains", domain, "dependents", limit=None)
    yield from (
        Dependent(f"{each['kind']}s", f"{domain}/{each['id']}" if each["kind"] == "product" else each["id"])
        for each in found
    )


def of_family(api: Client, fid: str) -> Iterator[Dependent]:
    """Yield the members of a family."""
    yield from (Dependent("members", uid) for uid in api.get("families", fid)["members"])


def _product(api: Client, entry: str, why: str) -> None:
    """Remove a domain from a product. A product without one is for no domain."""
    domain, _, product = entry.partition("/")
    named = api.ask("GET", "products", product, attempts=ATTEMPTS)["domains"]
    left = [each for each in named or () if each != domain]
    if named is not None and left != named:
        api.ask("PATCH", "products", product, body={"domains": left}, attempts=ATTEMPTS)


_STEPS["products"] = _gone(_product)
