"""quectel: share codes are encrypted, authenticated, and valid only in one account and domain."""

import base64
import json
from operator import xor

import pytest

from bindery.directory.sessions import Session
from bindery.quectel import share_codes
from bindery.quectel.share_codes import Offer

pytestmark = pytest.mark.usefixtures("registry")

OFFER = Offer(
    sharer="C31489-somebody",
    generation=1_795_176_000_123,
    product_key="p11uRP-product",
    device_key="8415D0A31B2C",
    binding="5b0c7d2e9f4a4c1f8e3d2a1b0c9d8e7f",
    series="0123456789abcdef0123456789abcdef",
    accepting_until=1_795_180_000,
    sharing_until=1_795_190_000,
)
READER = Session("C31490", "smart", "E.DM.1", 1)


def code(offer: Offer = OFFER, account: str = "smart", domain: str = "E.DM.1") -> str:
    return share_codes.encode(offer, account, domain)


def sealed(code: str) -> bytes:
    return base64.urlsafe_b64decode(code + "=" * (-len(code) % 4))


def refused(code: str, session: Session = READER) -> bool:
    return share_codes.decode(code, session) is None


def test_code_decrypts_to_its_offer() -> None:
    offers = [OFFER, OFFER._replace(sharer="Zoë \U0001f511"), OFFER._replace(device_key="", sharer="a" * 64)]
    for offer in offers:
        assert share_codes.decode(code(offer), READER) == offer
    for length in range(70):
        offer = OFFER._replace(series="s" * length)
        assert share_codes.decode(code(offer), READER) == offer


def test_share_code_does_not_reveal_its_offer() -> None:
    text = code()
    for shown in (text.encode(), sealed(text)):
        for value in OFFER:
            assert str(value).encode() not in shown


def test_codes_of_different_offers_share_no_key_stream() -> None:
    other = OFFER._replace(sharing_until=OFFER.sharing_until + 1)
    (one, two) = (sealed(code(offer)) for offer in (OFFER, other))
    assert one[:32] != two[:32]
    clear = [json.dumps(offer, separators=(",", ":")).encode() for offer in (OFFER, other)]
    for block in range(0, len(clear[0]) - 31, 32):
        part = slice(block, block + 32)
        masked = bytes(map(xor, one[32:][part], two[32:][part]))
        assert masked != bytes(map(xor, clear[0][part], clear[1][part]))
    streams = [bytes(map(xor, made[32:], said)) for made, said in zip((one, two), clear, strict=True)]
    blocks = [stream[start : start + 32] for stream in streams for start in range(0, len(stream) - 31, 32)]
    assert len(set(blocks)) == len(blocks)


def test_code_with_any_bit_changed_is_refused() -> None:
    made = sealed(code())
    for bit in range(8 * len(made)):
        changed = bytearray(made)
        changed[bit // 8] ^= 1 << bit % 8
        assert refused(base64.urlsafe_b64encode(changed).rstrip(b"=").decode()), bit


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 64, -1])
def test_truncated_code_is_refused(length: int) -> None:
    assert refused(base64.urlsafe_b64encode(sealed(code())[:length]).rstrip(b"=").decode())


@pytest.mark.parametrize(
    "session",
    [
        READER._replace(account="other"),
        READER._replace(domain="other"),
        READER._replace(domain=None),
        READER._replace(account="smartE", domain=".DM.1"),
    ],
)
def test_code_is_refused_in_another_account_or_domain(session: Session) -> None:
    assert refused(code(), session)
