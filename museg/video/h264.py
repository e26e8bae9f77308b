"""What an H.264 stream says about its pictures before any is decoded: which are needed by others (ITU-T H.264, 7.4.1).

A picture whose slices all have `nal_ref_idc` 0 is referenced by no other. No picture that follows an IDR picture in
decoding order references one before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

_SLICES = range(1, 6)
"""`nal_unit_type` of coded slices, of their partitions, and (the last) of IDR slices."""
_IDR_SLICE = 5
_PARAMETER_SETS = (7, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedPicture:
    """One packet of the stream."""

    pts: int
    """Presentation time in the stream's time base."""
    idr: bool
    """Nothing after it in decoding order depends on anything before it."""
    referenced: bool
    """Others may be predicted from it."""
    carries_parameters: bool
    """Parameter sets of the pictures that follow travel with it."""

    @classmethod
    def of(cls, packet: memoryview, pts: int, length_size: int) -> CodedPicture:
        """Raises ValueError if the packet isn't a sequence of NAL units with lengths of `length_size` bytes."""
        headers = list(_nal_headers(packet, length_size))
        types = [header & 31 for header in headers]
        slices = [header for header in headers if header & 31 in _SLICES]
        if not slices:
            raise ValueError("a packet without slices")
        return cls(
            pts=pts,
            idr=_IDR_SLICE in types,
            referenced=any(header >> 5 & 3 for header in slices),
            carries_parameters=any(kind in _PARAMETER_SETS for kind in types),
        )


def nal_length_size(extradata: bytes | None) -> int | None:
    """Bytes of the length before each NAL unit (ISO/IEC 14496-15, avcC); None where units have start codes instead."""
    if not extradata or len(extradata) < 5 or extradata[0] != 1:
        return None
    return (extradata[4] & 3) + 1


def needed_pictures(pictures: Sequence[CodedPicture], wanted: Collection[int]) -> list[bool]:
    """Which pictures, in decoding order, have to be decoded so that those with a `wanted` pts come out exact.

    Left out are pictures that nothing refers to, and the rest of a group of pictures after its last wanted one, up to
    the next IDR picture.
    """
    needed = []
    wanted_later = False
    for picture in reversed(pictures):
        is_wanted = picture.pts in wanted
        wanted_later |= is_wanted
        needed.append(is_wanted or picture.carries_parameters or (wanted_later and picture.referenced))
        if picture.idr:
            wanted_later = False
    return needed[::-1]


def _nal_headers(packet: memoryview, length_size: int) -> Iterator[int]:
    start = 0
    while start < len(packet):
        length = int.from_bytes(packet[start : start + length_size])
        start += length_size
        if not 0 < length <= len(packet) - start:
            raise ValueError("a NAL unit reaches beyond its packet")
        yield packet[start]
        start += length
