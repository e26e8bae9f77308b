"""What a decoding process and its owner say to each other over a socket: JSON, each with at most one open file.

Owner → process             process → owner
                            {"ready"}                      once
{"fps", …} + the video      {"plan", "shape"}              before the first frame, and where their size changes
{"slots"} + shared memory   {"place", "slot"}              a frame lies in a slot
{}                                                         that slot may be written again
                            {"done"} or {"bad"}, {"storage"}
Nothing that the process says is code to its owner: it has read videos from anybody.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

SLOTS = 2
"""Frames in the shared memory: one is written while one is read."""

OUT_OF_MEMORY = 77
"""Exit code of a process that may not have as much memory as it needs."""

_LENGTH = struct.Struct("<Q")
_MAX_BYTES = 1 << 26
"""Of a message; a plan of a million frames is shorter."""


def send(channel: socket.socket, message: Mapping[str, object], descriptor: int | None = None) -> None:
    """Send a message, with an open file where one is given. Raises OSError if the other side is gone."""
    body = json.dumps(message).encode()
    socket.send_fds(channel, [_LENGTH.pack(len(body))], [] if descriptor is None else [descriptor])
    channel.sendall(body)


def receive(channel: socket.socket) -> tuple[dict[str, Any], int | None]:
    """The next message and the file that came with it, which is the receiver's to close.

    Raises EOFError if the other side is gone, TimeoutError after the channel's timeout, ValueError for what is no
    message.
    """
    head, descriptors, _, _ = socket.recv_fds(channel, _LENGTH.size, 1)
    head += _exactly(channel, _LENGTH.size - len(head), end=not head)
    (length,) = _LENGTH.unpack(head)
    if length > _MAX_BYTES:
        raise ValueError(f"a message of {length} bytes")
    message = json.loads(_exactly(channel, length))
    if not isinstance(message, dict):
        raise ValueError("a message that isn't an object")
    return message, descriptors[0] if descriptors else None


def _exactly(channel: socket.socket, count: int, *, end: bool = False) -> bytes:
    received = b""
    while len(received) < count and not end:
        part = channel.recv(count - len(received))
        end = not part
        received += part
    if end:
        raise EOFError
    return received
