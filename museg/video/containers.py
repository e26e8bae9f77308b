"""Told by its first bytes: is a file a video, or one that makes a decoder open other files?"""

from __future__ import annotations

import re

HEADER_BYTES = 16
"""As much of a file's beginning as `is_video_container` looks at."""

_BOXES = b"ftyp|moov|mdat|free|skip|wide|pnot|uuid|styp|sidx|moof|pdin|meta"
"""First boxes of MP4, QuickTime and 3GP files, fragments included."""

_CONTAINERS = re.compile(
    b"(?s)(?!ID3)(?:"  # FFmpeg skips such a tag and looks again behind it
    b"....(?:" + _BOXES + b")"
    b"|\x1aE\xdf\xa3"  # Matroska, WebM
    b"|RIFF....AVI |RIFF....AVIX|ON2 ....AVI "
    b"|0&\xb2u\x8ef\xcf\x11"  # ASF, WMV
    b"|FLV\x01|OggS\x00|\\.RMF\x00|nut/multimedia|DKIF\x00"
    b"|\x06\x0e\\+4"  # MXF
    b"|\x00\x00\x01[\xba\xb3\xb0\xb5]"  # MPEG program stream, and video without a container
    b"|\x00\x00(?:\x00)?\x01[\x00-\x7f]"  # H.264, HEVC without a container
    b"|\x47[\x00-\x7f].[\x10-\x3f\x90-\xbf\xd0-\xff]"  # MPEG transport stream
    b"|....\x47[\x00-\x7f].[\x10-\x3f\x90-\xbf\xd0-\xff]"  # with a time stamp before each packet (M2TS)
    b"|GIF8[79]a"
    b")"
)


def is_video_container(header: bytes) -> bool:
    """Whether a file that begins with `header` is in a format that holds its pictures itself.

    FFmpeg, inside every decoder, chooses the format by content, and some formats are texts that name other files or
    addresses to read (HLS and DASH playlists, `ffconcat`, SDP), which would undo the check of a video's path.
    """
    return _CONTAINERS.match(header) is not None
