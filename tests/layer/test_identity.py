import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bindery import identity
from bindery.faults import Fault, Reason

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_part = st.text("a#%23", max_size=4)


@given(st.lists(_part, min_size=2, max_size=3), st.lists(_part, min_size=2, max_size=3))
@example(["a#", "a"], ["a%23", "a"])
@example(["a", "a#a"], ["a#a", "a"])
def test_different_parts_never_join_to_one_key(left: list[str], right: list[str]) -> None:
    assert len(left) != len(right) or (identity.join(*left) == identity.join(*right)) == (left == right)


@given(_text)
def test_the_canonical_form_of_a_canonical_form_is_itself(text: str) -> None:
    assert identity.canonical(identity.canonical(text)) == identity.canonical(text)
    assert identity.folded(identity.folded(text)) == identity.folded(text)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a1:b2:c3:d4:e5:f6", "A1B2C3D4E5F6"),
        ("A1-B2-C3-D4-E5-F6", "A1B2C3D4E5F6"),
        ("a1b2.c3d4.e5f6", "A1B2C3D4E5F6"),
        (" A1B2C3D4E5F6 ", "A1B2C3D4E5F6"),
        ("STT9.221129.002", "STT9.221129.002"),
        ("a1b2-c3d4-e5f6", "A1B2C3D4E5F6"),
        ("a1:b2:c3:d4:e5", "a1:b2:c3:d4:e5"),
        ("a1:b2:c3-d4:e5:f6", "a1:b2:c3-d4:e5:f6"),
        ("123.456.789.012", "123.456.789.012"),
        ("a1b2c3d4e5f6:", "a1b2c3d4e5f6:"),
        ("cafe\u0301", "caf\u00e9"),
        ("a1:b2:c3:d4:e5:\ufb00", "a1:b2:c3:d4:e5:\ufb00"),
    ],
)
def test_a_mac_is_its_twelve_digits_and_anything_else_stays(text: str, key: str) -> None:
    assert identity.mac(text) == key


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("80:00:00:00:00:00:00:f1", "80:00:00:00:00:00:00:F1"),
        ("80:00:00:00:00:00:00:F1\n", "80:00:00:00:00:00:00:F1"),
        ("80:00:00:00:00:00:00", None),
        ("80:00:00:00:00:00:00:F1:00", None),
        ("80-00-00-00-00-00-00-F1", None),
        ("80:00:00:00:00:00:00:G1", None),
        ("80:00:00:00:00:00:00:\ufb00", None),
        ("٨0:00:00:00:00:00:00:F1", None),
        ("", None),
    ],
)
def test_a_service_address_is_eight_hex_bytes(text: str, address: str | None) -> None:
    assert identity.service_address(text) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", None),
        ("fe80::1%;x", None),
        ("203.0.113.256", None),
        ("localhost", None),
        ("203.0.113.9/24", None),
        ("", None),
    ],
)
def test_an_ip_address_is_ipv4_or_ipv6(text: str, address: str | None) -> None:
    assert identity.ip_address(text) == address


@given(_text.filter(bool))
def test_a_devices_opaque_id_names_it_alone_and_stands_in_a_path(device: str) -> None:
    opaque = identity.opaque(device)
    assert identity.from_opaque(opaque) == device
    assert set(opaque) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize("text", ["", "=", "A", "YQ==", "YR", "Y Q", "a+b/", "gIA", "\u00e9", "YQ\n"])
def test_what_is_no_opaque_id_is_refused(text: str) -> None:
    with pytest.raises(Fault) as caught:
        identity.from_opaque(text)
    assert caught.value.reason is Reason.INVALID
