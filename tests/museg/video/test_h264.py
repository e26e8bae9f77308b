from __future__ import annotations

import pytest

from museg.video.h264 import CodedPicture, nal_length_size, needed_pictures

IDR, P, B_REFERENCE, B = 0x65, 0x41, 0x21, 0x01
SEI, PARAMETERS = 0x06, 0x67


def packet(*headers: int, size: int = 4) -> memoryview:
    """NAL units of two bytes each, with their lengths."""
    return memoryview(b"".join((2).to_bytes(size) + bytes([header, 0]) for header in headers))


def pictures(kinds: str) -> list[CodedPicture]:
    """In decoding order, each with its place as its time: I (an IDR), P, b (not referenced), p (with parameters)."""
    return [
        CodedPicture(pts=place, idr=kind == "I", referenced=kind != "b", carries_parameters=kind == "p")
        for place, kind in enumerate(kinds)
    ]


def needed(kinds: str, *wanted: int) -> str:
    return "".join("x" if needed else "." for needed in needed_pictures(pictures(kinds), set(wanted)))


@pytest.mark.parametrize(
    ("headers", "idr", "referenced", "carries_parameters"),
    [
        ((SEI, IDR, IDR), True, True, False),
        ((P,), False, True, False),
        ((B_REFERENCE, B_REFERENCE), False, True, False),
        ((SEI, B, B), False, False, False),
        ((P, B), False, True, False),
        ((PARAMETERS, B), False, False, True),
    ],
)
def test_a_packet_tells_what_depends_on_its_picture(
    headers: tuple[int, ...], idr: bool, referenced: bool, carries_parameters: bool
) -> None:
    expected = CodedPicture(pts=7, idr=idr, referenced=referenced, carries_parameters=carries_parameters)
    assert CodedPicture.of(packet(*headers), 7, 4) == expected
    assert CodedPicture.of(packet(*headers, size=2), 7, 2) == expected


@pytest.mark.parametrize(
    "content", [packet(SEI), packet(P)[:-1], memoryview(b"\0\0\0\x01\x41\x9a\0\0\0\x01"), memoryview(b"\0\0\0\0")]
)
def test_what_isnt_a_coded_picture_is_refused(content: memoryview) -> None:
    with pytest.raises(ValueError, match=r"NAL unit reaches beyond|without slices"):
        CodedPicture.of(content, 0, 4)


def test_pictures_that_nothing_refers_to_are_needed_only_where_they_are_wanted() -> None:
    assert needed("IbbPbbP", 6) == "x..x..x"
    assert needed("IbbPbbP", 4, 6) == "x..xx.x"


def test_the_rest_of_a_closed_group_after_its_last_wanted_picture_is_left_out() -> None:
    assert needed("IPPPIPPPIPPP", 1, 9) == "xx......xx.."
    assert needed("IPPPIPPPIPPP") == "............"


def test_a_group_that_doesnt_begin_with_an_idr_picture_depends_on_the_one_before() -> None:
    assert needed("IPPPPPP", 6) == "xxxxxxx"


def test_parameters_are_always_passed_on() -> None:
    assert needed("IPpPIPP", 5) == "..x.xx."


def test_streams_with_start_codes_have_no_length_size() -> None:
    assert nal_length_size(b"\x01\x64\x00\x1e\xff\xe1") == 4
    assert nal_length_size(b"\x01\x64\x00\x1e\xfd\xe1") == 2
    assert nal_length_size(b"\0\0\0\x01\x67\x64") is None
    assert nal_length_size(None) is None
