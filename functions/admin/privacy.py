"""/admin/v1/privacy: export and erasure of a person's data, and receipts of erasures."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from bindery.operators import data_notice, privacy, receipts
from bindery.operators.receipts import Progress
from bindery.operators.resource import PathCustomer, PathId, QueryProgress, Resource

from pydantic import BaseModel, ConfigDict, Field, StrictInt

handler = Resource("privacy")

Records = Sequence[Mapping[str, Any]]


class Category(BaseModel):
    """A kind of data: what it is, from whom it comes, and how long it is stored."""

    what: str
    source: str
    stored: str


class Recipient(BaseModel):
    """A webhook's host, and the types of events that it receives ([] for all)."""

    host: str
    types: Sequence[str]


class About(BaseModel):
    """Description of an export: its members, who receives events by pseudonym, and how long data is kept."""

    exported_at: int
    categories: Mapping[str, Category]
    recipients: Sequence[Recipient]
    history_days: int
    log_days: int
    backup_days: int


class Export(BaseModel):
    """Everything stored about a user. `user` is null if only other records are left.

    `complete` is false if a kind has more than a thousand records.
    """

    user: Mapping[str, Any] | None
    bindings: Records
    shares: Records
    families: Records
    bars: Records
    offers: Records
    connections: Records
    tunnels: Records
    presences: Records
    properties: Records
    registrations: Records
    issued_devices: Records
    cards_held: Records
    service_names: Records
    pseudonyms: Records
    events: Records
    complete: bool
    about: About


Text = Annotated[str, Field(max_length=2048)]


class Receipt(BaseModel):
    """Proof of an erasure: who was erased, when, by which operator, and the number of removed records, by kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    id: Text
    uid: Text | None
    customer: Text | None
    began_at: StrictInt
    erased_at: StrictInt
    operator: Text | None
    removed: Mapping[str, StrictInt]
    signature: Text


class Erasure(BaseModel):
    """Number of records removed by this request, by kind.

    Repeat the request with `progress` until `complete` is true. The receipt covers all requests.
    """

    uid: str | None
    customer: str | None
    removed: Mapping[str, int]
    complete: bool
    progress: str | None = None
    receipt: Receipt | None = None


class Verification(BaseModel):
    """Result for a receipt: the number of records stored now, by kind, if it is genuine.

    `created_at` is when a user with the erased user's id was created.
    """

    genuine: bool
    stored: Mapping[str, int]
    created_at: int | None


@handler.app.get("/admin/v1/privacy/<uid>")
def export(uid: PathId) -> Export:
    """Show everything stored about a user, except secrets."""
    return Export.model_validate(privacy.export(uid) | {"about": data_notice.about()})


@handler.app.delete("/admin/v1/privacy/<uid>")
def erase(uid: PathId, progress: QueryProgress = None) -> Erasure:
    """Remove up to two hundred records about a user, and finally the user. 404: nothing is stored."""
    if progress is None:
        begun = receipts.begin(uid=uid, customer=privacy.customer_of(uid))
    else:
        begun = receipts.resume(progress, uid=uid)
    removed, complete = privacy.erase(uid, begun=bool(begun.removed))
    return _erasure(begun, removed, complete)


@handler.app.get("/admin/v1/privacy/customers/<customer>")
def export_customer(customer: PathCustomer) -> Export:
    """Show everything stored about a bank's customer, except secrets."""
    return Export.model_validate(privacy.export_customer(customer) | {"about": data_notice.about()})


@handler.app.delete("/admin/v1/privacy/customers/<customer>")
def erase_customer(customer: PathCustomer, progress: QueryProgress = None) -> Erasure:
    """Remove up to two hundred records about a bank's customer. 404: nothing is stored."""
    begun = receipts.begin(customer=customer) if progress is None else receipts.resume(progress, customer=customer)
    removed, complete = privacy.erase_customer(customer, begun=bool(begun.removed))
    return _erasure(begun, removed, complete)


def _erasure(begun: Progress, removed: Mapping[str, int], complete: bool) -> Erasure:
    reached = begun.with_removed(removed)
    return Erasure(
        uid=begun.uid,
        customer=begun.customer,
        removed=removed,
        complete=complete,
        progress=None if complete else receipts.encoded(reached),
        receipt=Receipt.model_validate(receipts.receipt(reached)) if complete else None,
    )


@handler.app.post("/admin/v1/privacy/receipts")
def verify(receipt: Receipt) -> Verification:
    """Check that a receipt is genuine, and what is stored about the person now."""
    if not receipts.is_genuine(receipt.model_dump(exclude={"signature"}), receipt.signature):
        return Verification(genuine=False, stored={}, created_at=None)
    created_at = None if receipt.uid is None else privacy.created_at(receipt.uid)
    stored = privacy.stored(receipt.uid, receipt.customer)
    return Verification(genuine=True, stored=stored, created_at=created_at)
