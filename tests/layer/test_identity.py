from collections.abc import Callable

import pytest

from bindery.core.errors import Reason, Refused
from bindery.registry import identity


@pytest.mark.parametrize(
    ("text", "key"),
    [
        *((text, "A1B2C3D4E5F6") for text in ("a1:b2:c3:d4:e5:f6", "A1-B2-C3-D4-E5-F6", "a1b2.c3d4.e5f6")),
        (" A1B2C3D4E5F6 ", "A1B2C3D4E5F6"),
        ("STT9.221129.002", "STT9.221129.002"),
        ("a1b2-c3d4-e5f6", "A1B2C3D4E5F6"),
        ("a1:b2:c3:d4:e5", "a1:b2:c3:d4:e5"),
        *((text, "A1B2C3D4E5F6") for text in ("a1:b2:c3-d4:e5:f6", "A1B2C3-D4E5F6", "a1b2c3:d4e5f6")),
        *((text, "A1B2C3D4E5F6") for text in ("a1 b2 c3 d4 e5 f6", "a1b2c3 d4e5f6", "a1b.2c3.d4e.5f6")),
        *((text, "A1B2C3D4E5F6") for text in ("a1_b2_c3_d4_e5_f6", "a1\u2011b2\u2011c3\u2011d4\u2011e5\u2011f6")),
        ("a1\u2013b2\u2013c3\u2013d4\u2013e5\u2013f6", "A1B2C3D4E5F6"),
        ("0:1c:c0:b:3:ef", "001CC00B03EF"),
        ("a1::b2:c3:d4:e5:f6", "a1::b2:c3:d4:e5:f6"),
        ("0-1c-c0-b-3-ef", "0-1c-c0-b-3-ef"),
        ("1.2.3.4.5.6", "1.2.3.4.5.6"),
        ("123E4567-E89B-12D3-A456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
        ("a1b2c3d4e5f6:", "a1b2c3d4e5f6:"),
        ("cafe\u0301", "caf\u00e9"),
        ("a1:b2:c3:d4:e5:\ufb00", "a1:b2:c3:d4:e5:\ufb00"),
    ],
)
def test_mac_is_reduced_to_its_twelve_digits(text: str, key: str) -> None:
    assert identity.mac(text) == key


@pytest.mark.parametrize(
    ("parse", "text", "address"),
    [
        (identity.service_address, "80:00:00:00:00:00:00:f1", "80:00:00:00:00:00:00:F1"),
        (identity.service_address, "80:00:00:00:00:00:00:F1\n", "80:00:00:00:00:00:00:F1"),
        *(
            (identity.service_address, text, None)
            for text in (
                *("80:00:00:00:00:00:00", "80:00:00:00:00:00:00:F1:00", "80-00-00-00-00-00-00-F1"),
                *("80:00:00:00:00:00:00:G1", "80:00:00:00:00:00:00:\ufb00", "٨0:00:00:00:00:00:00:F1", ""),
            )
        ),
        (identity.ip_address, "203.0.113.9", "203.0.113.9"),
        (identity.ip_address, "2001:DB8::0:1", "2001:db8::1"),
        (identity.ip_address, "::ffff:203.0.113.9", "203.0.113.9"),
        *(
            (identity.ip_address, text, None)
            for text in ("fe80::1%eth0", "fe80::1%;x", "203.0.113.256", "localhost", "203.0.113.9/24", "")
        ),
    ],
)
def test_address_is_normalized(parse: Callable[[str], str | None], text: str, address: str | None) -> None:
    assert parse(text) == address


@pytest.mark.parametrize("text", ["", "=", "A", "YQ==", "YR", "Y Q", "a+b/", "gIA", "\u00e9", "YQ\n"])
def test_invalid_opaque_id_is_refused(text: str) -> None:
    with pytest.raises(Refused) as caught:
        identity.from_opaque(text)
    assert caught.value.reason is Reason.INVALID


@pytest.mark.parametrize(
    ("text", "key"),
    [
        *((text, "990000862471854") for text in ("990000862471854", "99-000086-247185-4", "99 000086 247185 4")),
        ("35.209900.176148.1", "352099001761481"),
        ("9900008624718", "9900008624718"),
        ("99-000086-24718", "99-000086-24718"),
        ("99--000086-247185-4", "99--000086-247185-4"),
        ("\u0669\u0669-000086-247185-4", "\u0669\u0669-000086-247185-4"),
        ("com.example.App", "com.example.App"),
        ("123E4567-E89B-12D3-A456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
    ],
)
def test_imei_is_reduced_to_its_digits(text: str, key: str) -> None:
    assert identity.imei(text) == key
    assert identity.customer_device(text) == f"asseco#{key}"


@pytest.mark.parametrize(
    ("text", "placeholder"),
    [
        *((text, True) for text in ("02:00:00:00:00:00", "2:0:0:0:0:0", "00-00-00-00-00-00", "ffff.ffff.ffff")),
        *((text, True) for text in ("00904C-112233", "000000000000000", "00000000-0000-0000-0000-000000000000")),
        *((text, True) for text in ("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", " Unknown ", "To Be Filled By O.E.M.")),
        *((text, True) for text in ("0123456789ABCDEF", "00-499901-064000-0")),
        *((text, False) for text in ("02:00:00:00:00:01", "000000000001", "0000", "unknown-7", "A1B2C3D4E5F6")),
    ],
)
def test_placeholder_does_not_identify_a_device(text: str, placeholder: bool) -> None:
    assert identity.is_placeholder(text) is placeholder


def test_names_that_differ_in_invisible_characters_are_equal() -> None:
    assert identity.folded("\u200bAda\u200d@x.de\ufeff") == identity.folded("ada@x.de")
    assert identity.folded("Ada X") != identity.folded("AdaX")


@pytest.mark.parametrize(
    ("text", "seen"), [("\u200b", False), (" \u2800\u200e", True), ("\u3164\u00a0", False), ("a", True)]
)
def test_name_is_visible_if_one_character_is(text: str, seen: bool) -> None:
    assert identity.visible(text) is seen
