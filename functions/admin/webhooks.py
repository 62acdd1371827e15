"""/admin/v1/webhooks: URLs to which events are delivered."""

from typing import Annotated, Literal

from bindery.core.errors import Reason
from bindery.feed import catalogue, chain, delivery, replays, sending, subscribers, webhooks
from bindery.feed.subscriptions import EVERY_TYPE
from bindery.operators import webhook_log
from bindery.operators.resource import Cursor, Limit, Page, PathId, RequestBody, Resource, explained
from bindery.registry import items

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt
from pydantic_core import PydanticCustomError

handler = Resource("webhooks")

_TOO_MANY = f"There are {webhooks.LIMIT} webhooks. Delete one first."
_TOO_MANY_SECRETS = f"The webhook has {webhooks.SECRETS_LIMIT} valid secrets. The oldest one ends within 24 hours."


_TYPES = [name for name in catalogue.TYPES if name != delivery.TEST]


def _known(name: str) -> str:
    if name not in _TYPES:
        raise PydanticCustomError("type", "is not a type of events. Types: {types}", {"types": ", ".join(_TYPES)})
    return name


Types = Annotated[list[Annotated[str, Field(max_length=64), AfterValidator(_known)]], Field(max_length=100)]
Error = Literal["unresolved", "not_public", "unreachable", "tls", "timed_out", "malformed"]


class NewWebhook(RequestBody):
    """A webhook to create, for these types of events, or for all if there are none."""

    url: Annotated[str, Field(min_length=1, max_length=sending.LONGEST_URL)]
    types: Types = Field(default_factory=list)


class ChangedTypes(RequestBody):
    """Types of events to deliver from now on, or all if there are none."""

    types: Types


class Disabling(RequestBody):
    """The reason for disabling a webhook."""

    reason: Annotated[str, Field(min_length=1, max_length=128)]


class Replay(RequestBody):
    """Events to deliver again: those recorded since a time (milliseconds), or without it, the dead letters."""

    since: Annotated[StrictInt, Field(ge=10**12, lt=10**13)] | None = None
    cursor: Annotated[str, Field(max_length=100)] | None = None


class Webhook(BaseModel):
    """A webhook. Without `types`, it receives all events. `secrets` is the number of secrets that sign now."""

    model_config = ConfigDict(hide_input_in_errors=True)

    id: str
    url: str
    types: list[str]
    enabled: bool
    disabled_reason: str | None = None
    secrets: int
    created_at: int


class WebhookWithSecret(Webhook):
    """A webhook and its new secret, which is shown only once."""

    secret: str


class Deleted(BaseModel):
    """A deleted webhook."""

    id: str


class Tested(BaseModel):
    """Result of a test delivery: the status of the response, or why there was none."""

    delivered: bool
    status: int | None
    error: Error | None
    milliseconds: int


class Delivery(BaseModel):
    """An attempt to deliver an event."""

    event: str
    type: str
    chain: str
    at: int
    attempt: int
    status: int | None
    error: Error | None = None
    milliseconds: int


class DeadLetter(BaseModel):
    """An event that was given up, with the status of the last response, or why there was none."""

    event: str
    type: str
    chain: str
    sequence: int
    at: int
    status: int | None
    error: Error | None = None


class Replayed(BaseModel):
    """Number of events that will be delivered again. If `next` is not null, repeat the request with it as `cursor`."""

    events: int
    next: str | None


def _members(webhook: items.Webhook) -> dict[str, object]:
    types = [] if EVERY_TYPE in webhook["types"] else sorted(webhook["types"])
    return {**webhook, "types": types, "secrets": len(webhooks.valid_secrets(webhook))}


def _from_item(webhook: items.Webhook) -> Webhook:
    return Webhook.model_validate(_members(webhook))


def _with_secret(webhook: str, secret: str) -> WebhookWithSecret:
    return WebhookWithSecret.model_validate({**_members(webhooks.show(webhook)), "secret": secret})


@handler.app.post("/admin/v1/webhooks")
def create(new: NewWebhook) -> WebhookWithSecret:
    """Create a webhook. It receives events that are recorded from now on, signed with the secret."""
    with explained({Reason.LIMIT_REACHED: _TOO_MANY}):
        webhook, secret = webhooks.create(new.url, new.types)
    return _with_secret(webhook, secret)


@handler.app.get("/admin/v1/webhooks")
def list_webhooks(limit: Limit = 50, cursor: Cursor = None) -> Page[Webhook]:
    """List webhooks, by id."""
    return Page.of(webhooks.list_webhooks(limit, cursor), _from_item)


@handler.app.get("/admin/v1/webhooks/<webhook>")
def show(webhook: PathId) -> Webhook:
    """Show a webhook."""
    return _from_item(webhooks.show(webhook))


@handler.app.delete("/admin/v1/webhooks/<webhook>")
def delete(webhook: PathId) -> Deleted:
    """Delete a webhook, and discard the events that wait for it."""
    webhooks.delete(webhook)
    return Deleted(id=webhook)


@handler.app.put("/admin/v1/webhooks/<webhook>/types")
def change_types(webhook: PathId, changed: ChangedTypes) -> Webhook:
    """Replace the types of events. New types apply to events that are recorded from now on."""
    webhooks.change_types(webhook, changed.types)
    return show(webhook)


@handler.app.post("/admin/v1/webhooks/<webhook>/rotate")
def rotate(webhook: PathId) -> WebhookWithSecret:
    """Replace the secret of a webhook. Both secrets sign deliveries for 24 hours."""
    with explained({Reason.LIMIT_REACHED: _TOO_MANY_SECRETS}):
        secret = webhooks.rotate(webhook)
    return _with_secret(webhook, secret)


@handler.app.post("/admin/v1/webhooks/<webhook>/disable")
def disable(webhook: PathId, disabling: Disabling) -> Webhook:
    """Disable a webhook. Its events are kept until it is enabled."""
    webhooks.disable(webhook, disabling.reason)
    return show(webhook)


@handler.app.post("/admin/v1/webhooks/<webhook>/enable")
def enable(webhook: PathId) -> Webhook:
    """Enable a webhook, and deliver the events that it missed while disabled."""
    webhooks.enable(webhook)
    subscribers.wake_all()
    return show(webhook)


@handler.app.post("/admin/v1/webhooks/<webhook>/test")
def test(webhook: PathId) -> Tested:
    """Send a signed `webhook.test` event now, once, and return the result."""
    outcome = delivery.test(webhook)
    return Tested(
        delivered=delivery.is_accepted(outcome),
        status=outcome.status,
        error=None if outcome.error is None else outcome.error.value,
        milliseconds=outcome.milliseconds,
    )


@handler.app.get("/admin/v1/webhooks/<webhook>/deliveries")
def list_deliveries(webhook: PathId, limit: Limit = 50, cursor: Cursor = None) -> Page[Delivery]:
    """List the attempts of the last 30 days to deliver events, newest first."""
    return Page.of(
        webhook_log.deliveries(webhook, limit, cursor),
        lambda attempt: Delivery.model_validate({**attempt, "chain": chain.public_name(attempt["chain"])}),
    )


@handler.app.get("/admin/v1/webhooks/<webhook>/dead-letters")
def list_dead_letters(webhook: PathId, limit: Limit = 50, cursor: Cursor = None) -> Page[DeadLetter]:
    """List the events that were given up, oldest first."""
    return Page.of(
        webhook_log.dead_letters(webhook, limit, cursor),
        lambda letter: DeadLetter.model_validate(
            {**letter, "chain": chain.public_name(letter["chain"]), "sequence": letter["seq"]}
        ),
    )


@handler.app.post("/admin/v1/webhooks/<webhook>/replay")
def replay(webhook: PathId, asked: Replay) -> Replayed:
    """Deliver events again, in order, before the others of their device, even if they were accepted.

    Without `since`, deliver the dead letters again.
    """
    if asked.since is None:
        replayed = replays.dead_letters(webhook)
    else:
        replayed = replays.since(webhook, asked.since, asked.cursor)
    subscribers.wake_all()
    return Replayed(events=replayed.events, next=replayed.cursor)
