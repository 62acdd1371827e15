"""Fuzz `identity` with texts in which the significant characters are frequent.

Canonical forms are stable, keys can be decoded and are therefore unique, and only documented refusals are raised.
"""

import sys
import unicodedata
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import StringConstraints, TypeAdapter, ValidationError

from bindery.http import fields
from bindery.registry import bindings, identity
from tests.properties.scale import FULL, rounds

MARKS = "#%23 \t\u00a0\x00:.-/?=+aAfFé\u0301\u0345ßſıKÅ１x"  # noqa: RUF001 (letters that look like others)
INVISIBLE = "\u00ad\u034f\u115f\u180e\u200b\u200d\u202e\u2060\u2066\u3164\ufe0f\ufeff\ufff9\ufdd0\U000e0041"
MARKS += INVISIBLE
PARTS = st.one_of(st.text(max_size=30), st.text(st.sampled_from(MARKS), max_size=12))
DIGITS = st.text("0123456789abcdefABCDEF", min_size=1, max_size=4)
GROUPS = st.builds(
    lambda groups, between: between.join(groups),
    st.lists(DIGITS, max_size=9),
    st.sampled_from(["", ":", "-", ".", "::", " ", "_", "\u2011"]),
)
ADDRESSES = st.one_of(
    PARTS,
    GROUPS,
    st.ip_addresses().map(str),
    st.ip_addresses(v=4).map(lambda address: f"::ffff:{address}"),
    st.ip_addresses(v=6).map(lambda address: f" {address.exploded.upper()}%eth0"),
    st.uuids().map(str),
    st.uuids().map(lambda made: f"{{{made.hex.upper()}}}"),
)

KEYS: dict[str, tuple[Callable[..., str], tuple[Callable[[str], str], ...], tuple[str, ...]]] = {
    "quectel": (identity.manufactured_device, (identity.canonical,) * 2, ("product_key", "serial")),
    "asseco": (identity.customer_device, (identity.imei,), ("imei",)),
    "vodlix": (identity.video_device, (identity.mac,), ("mac",)),
}
"""Device keys that encode their parts: function, and the normalization and name of each part."""
ACCOUNTS = st.from_regex(fields.ID["pattern"].replace("$", r"\Z"), fullmatch=True)
SEARCH = settings(
    max_examples=rounds(short=100, full=2_000),
    derandomize=not FULL,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
"""`make test` always tries the same inputs."""

# Keys of company devices depend on a secret of the installation.
pytestmark = pytest.mark.usefixtures("built")


def look(search: Callable[..., None], *drawn: st.SearchStrategy[Any]) -> None:
    """Search for an input that violates an assertion in `search`."""
    SEARCH(given(st.tuples(*drawn))(lambda values: search(*values)))()


CANONICAL: dict[str, Callable[[str], str | None]] = {
    "canonical": identity.canonical,
    "folded": identity.folded,
    "mac": identity.mac,
    "imei": identity.imei,
    "service_address": identity.service_address,
    "connection_id": identity.connection_id,
    "ip_address": identity.ip_address,
}


@pytest.mark.parametrize("name", CANONICAL)
def test_canonical_form_is_stable(name: str) -> None:
    canonical = CANONICAL[name]

    def search(text: str, around: str) -> None:
        made = canonical(text)
        if made is not None:
            assert canonical(made) == made
            assert canonical(f"{around}{text}{around}") == made
            assert canonical(unicodedata.normalize("NFD", text)) == made

    look(search, ADDRESSES, st.sampled_from(["", " ", "\t\n", "\u00a0"]))


def test_identifier_with_an_invisible_character_is_refused() -> None:
    identifier, plain = TypeAdapter(fields.Identifier128), st.text("aZ09-:. \u00e9", min_size=1, max_size=20)

    def search(left: str, hidden: str, right: str) -> None:
        made = f"a{left}{hidden}{right}a"
        with pytest.raises(ValidationError) as caught:
            identifier.validate_python(made)
        assert f"U+{ord(hidden):04X}" in caught.value.errors()[0]["msg"]
        assert identifier.validate_python(f"a{left}{right}a") == f"a{left}{right}a"
        assert identity.folded(made) == identity.folded(made.replace(hidden, "")) or hidden in "\ufff9\ufdd0"

    look(search, plain, st.sampled_from(INVISIBLE), plain)


@pytest.mark.parametrize("dialect", KEYS)
def test_device_key_is_unique_and_decodable(dialect: str) -> None:
    make, forms, names = KEYS[dialect]

    def search(given: list[str]) -> None:
        key = make(*given)
        canonical = [form(part) for form, part in zip(forms, given, strict=True)]
        assert identity.parts(key) == {"dialect": dialect} | dict(zip(names, canonical, strict=True))
        assert make(*canonical) == key
        assert identity.from_opaque(opaque := identity.opaque(key)) == key
        assert quote(opaque, safe="") == opaque

    look(search, st.lists(PARTS | GROUPS, min_size=len(names), max_size=len(names)))


def test_company_device_key_is_unique() -> None:
    def search(account: str, one: list[str], other: list[str]) -> None:
        same = list(map(identity.canonical, one)) == list(map(identity.canonical, other))
        assert (identity.company_device(account, *one) == identity.company_device(account, *other)) is same
        key = identity.company_device(account, *one)
        assert identity.parts(key)["account"] == account
        assert identity.company_device(account + "#", *one) != key

    pair = st.lists(PARTS, min_size=2, max_size=2)
    # Besides two random devices: the same device, the same in another spelling, and the same text split elsewhere.
    near = pair.flatmap(
        lambda one: st.tuples(
            st.just(one),
            st.one_of(
                pair,
                st.just([unicodedata.normalize("NFD", part) + " " for part in one]),
                st.just([one[0] + one[1][:1], one[1][1:]]),
                st.just([one[0].replace("#", "%23"), one[1]]),
                st.just([part.swapcase() for part in one]),
            ),
        )
    )
    look(lambda account, both: search(account, *both), PARTS, near)


def test_no_two_accounts_have_a_holder_in_common() -> None:
    def search(one: str, other: str) -> None:
        for part in range(identity.PARTS):
            held = {"holder": identity.account_holder(one, part)}
            assert identity.holder_parts(held["holder"]) == ("account", one)
            assert bindings.is_held_by(held, one)
            assert bindings.is_held_by(held, other) is (one == other)

    # Ids that a part of another could resemble.
    look(search, ACCOUNTS, ACCOUNTS | st.from_regex(r"[ab](:[0-9])?", fullmatch=True))


def test_parts_of_a_key_do_not_overlap() -> None:
    made: dict[tuple[int, str], list[str]] = {}

    def search(parts: list[str]) -> None:
        assert made.setdefault((len(parts), identity.join(*parts)), parts) == parts

    # A small alphabet, so that every pair of characters occurs.
    part = st.sampled_from(["#", "%23", "%", "", "%25", "#%"])
    look(search, st.one_of(st.lists(part, min_size=2, max_size=2), st.lists(PARTS, min_size=1, max_size=4)))


def test_deceptive_characters_match_the_unicode_data() -> None:
    """Use pydantic's regular expressions: Python's `unicodedata` does not have these properties."""
    known = r"[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Noncharacter_Code_Point}\p{White_Space}&&[^\x00-\x20\x7f-\x9f]]"
    characters = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point <= 0xDFFF]
    deceptive = {character for character in characters if identity.deceptive(character) is not None}
    odd = [character for character in characters if character in deceptive or not character.isprintable()]
    ignored = {character for character in odd if identity.folded(f"a{character}b") == "ab"}
    for pattern, found, those in ((known, deceptive, characters), (r"\p{Default_Ignorable_Code_Point}", ignored, odd)):
        by_data = TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])
        assert [hex(ord(character)) for character in found if not holds(by_data, character)] == []
        assert not holds(by_data, "".join(character for character in those if character not in found))


def holds(pattern: TypeAdapter[str], text: str) -> bool:
    try:
        pattern.validate_python(text)
    except ValidationError:
        return False
    return True
