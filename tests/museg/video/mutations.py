"""Seeded damage to real videos, and what a decoder makes of it.

    python -m tests.museg.video.mutations --count 1000 --seed 0

One of five files is left as it is: its frames must be the same as alone. Every other one is decoded, or refused with a
reason; whatever it does to the decoding process, this one neither dies, nor hangs, nor grows.
"""

from __future__ import annotations

import argparse
import random
import re
import resource
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from museg.errors import VideoError
from museg.video.decoder import Decoder
from museg.video.decoding import decode_clip
from museg.video.limits import GIB, DecodeLimits
from museg.video.pixel_budget import FrameBudget
from tests.museg.video.footage import write_video

BUDGET = FrameBudget(fps=2, min_frames=4, max_frames=64, min_pixels=784, max_pixels=602_112, total_pixels=20_000)
LIMITS = DecodeLimits(timeout_s=10.0, memory_bytes=GIB)

Damage = Callable[[bytearray, random.Random], bytes | bytearray]


@dataclass(slots=True)
class Outcomes:
    """What became of the files."""

    decoded: Counter[str] = field(default_factory=Counter)
    """By kind of damage."""
    refused: Counter[str] = field(default_factory=Counter)
    """By kind of damage and reason, numbers left out."""
    changed: list[str] = field(default_factory=list)
    """Files without damage whose frames weren't the same as alone: must be empty."""
    longest_s: float = 0.0
    grown_bytes: int = 0
    """Of this process's largest resident size, after the first tenth of the files."""
    num_processes: int = 0
    """Decoding processes that were used."""


def flipped_bits(content: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice([1, 1, 4, 64])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return content


def truncated(content: bytearray, rng: random.Random) -> bytearray:
    return content[: rng.randrange(len(content))]


def zeroed(content: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(content))
    length = min(rng.choice([16, 256, 4096]), len(content) - start)
    content[start : start + length] = bytes(length)
    return content


def with_edited(*boxes: bytes) -> Damage:
    """Damage to a random word within, or just before, one of the boxes of an mp4's header."""

    def edit(content: bytearray, rng: random.Random) -> bytearray:
        at = content.find(rng.choice(boxes))
        if at >= 0:
            word = at - 4 + 4 * rng.randrange(12)
            values = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, rng.randrange(1 << 32))
            content[word : word + 4] = struct.pack(">I", rng.choice(values))
        return content

    return edit


def endless(content: bytearray, rng: random.Random) -> bytearray:
    """An edit list that shows the same second over and over, and sample tables that announce as much as they can."""
    at = content.find(b"elst")
    if at >= 0:
        content[at + 8 : at + 12] = struct.pack(">I", 0x7FFFFFFF)
        content[at + 12 : at + 16] = struct.pack(">I", rng.choice([1, 1000, 0xFFFFFFFF]))
    at = content.find(b"stts")
    if at >= 0:
        content[at + 12 : at + 20] = struct.pack(">II", rng.choice([0x7FFFFFFF, 1_900_000]), rng.choice([0, 1, 512]))
    return content


def with_huge_pictures(content: bytearray, rng: random.Random) -> bytearray:
    """16,384 × 16,384 wherever the header of an mp4 or the pictures of an MJPEG say how large they are."""
    for description in (b"avc1", b"hev1", b"av01"):
        if (at := content.find(description, max(0, content.find(b"stsd")))) >= 0:
            content[at + 28 : at + 32] = struct.pack(">HH", 16_384, 16_384)
    if (header := content.find(b"tkhd")) >= 0:
        content[header + 80 : header + 88] = struct.pack(">II", 16_384 << 16, 16_384 << 16)
    frame_header, size = b"\xff\xc0\x00\x11\x08", struct.pack(">HH", 16_384, 16_384)
    at = content.find(frame_header)
    while at >= 0:
        content[at + len(frame_header) : at + len(frame_header) + len(size)] = size
        at = content.find(frame_header, at + 1)
    return content


def spliced(content: bytearray, rng: random.Random) -> bytearray:
    """A piece of the file in the place of another."""
    length = rng.randrange(1, 2000)
    source, target = (rng.randrange(max(1, len(content) - length)) for _ in range(2))
    content[target : target + length] = content[source : source + length]
    return content


DAMAGES: dict[str, Damage] = {
    "bits flipped": flipped_bits,
    "truncated": truncated,
    "zeroed": zeroed,
    "moov edited": with_edited(b"moov", b"mvhd", b"tkhd", b"mdhd", b"stsd", b"elst"),
    "sample tables edited": with_edited(b"stsz", b"stts", b"stsc", b"stco", b"stss", b"ctts"),
    "codec's header edited": with_edited(b"avcC", b"avc1", b"hvcC"),
    "endless": endless,
    "huge pictures": with_huge_pictures,
    "spliced": spliced,
    "empty": lambda content, rng: b"",
    "text": lambda content, rng: b"This is not a video.\n" * rng.randrange(1, 500),
    "noise": lambda content, rng: rng.randbytes(rng.randrange(1, 20_000)),
}


def sources(folder: Path) -> list[Path]:
    """Small healthy videos of different kinds."""
    made = (
        ("h264.mp4", {"num_frames": 100, "fps": Fraction(25), "audio": True}),
        ("open.mp4", {"num_frames": 80, "fps": Fraction(30_000, 1001), "options": {"x264-params": "open-gop=1"}}),
        ("hevc.mp4", {"num_frames": 60, "fps": Fraction(25), "codec": "libx265"}),
        ("vp9.webm", {"num_frames": 60, "fps": Fraction(25), "codec": "libvpx-vp9"}),
        ("mjpeg.avi", {"num_frames": 30, "fps": Fraction(25), "codec": "mjpeg", "pixel_format": "yuvj420p"}),
        ("av1.mp4", {"num_frames": 60, "fps": Fraction(25), "codec": "libsvtav1"}),
    )
    return [write_video(folder / name, height=96, width=128, **settings) for name, settings in made]  # type: ignore[arg-type]


def mutated(videos: Sequence[Path], folder: Path, *, count: int, seed: int) -> Iterator[tuple[str, Path, Path]]:
    """Kind of damage (`none` for every fifth file), the file, and what it was made of; each file is gone after use."""
    rng = random.Random(seed)
    for index in range(count):
        source = rng.choice(videos)
        kind = "none" if index % 5 == 4 else rng.choice(list(DAMAGES))
        content = bytearray(source.read_bytes())
        path = folder / f"{index}-{source.name}"
        path.write_bytes(content if kind == "none" else DAMAGES[kind](content, rng))
        yield kind, path, source
        path.unlink()


def decode_all(files: Iterator[tuple[str, Path, Path]], *, count: int, limits: DecodeLimits = LIMITS) -> Outcomes:
    """Decode one after the other, as a reward worker does."""
    outcomes, alone, pids, warm_bytes = Outcomes(), {}, set(), 0
    with Decoder(limits) as decoder:
        for index, (kind, path, source) in enumerate(files):
            if source not in alone:
                alone[source] = decode_clip(source, video=source.name, budget=BUDGET).frames
            began = time.monotonic()
            _decode(decoder, kind, path, alone[source], outcomes)
            outcomes.longest_s = max(outcomes.longest_s, time.monotonic() - began)
            pids.add(decoder.pid)
            if index == count // 10:
                warm_bytes = _peak_bytes()
    outcomes.grown_bytes, outcomes.num_processes = _peak_bytes() - warm_bytes, len(pids - {None})
    return outcomes


def _decode(decoder: Decoder, kind: str, path: Path, expected: npt.NDArray[np.uint8], outcomes: Outcomes) -> None:
    try:
        frames = decoder.clip(path, video=path.name, budget=BUDGET).frames
    except VideoError as error:
        reason = re.sub(r"\d+", "N", str(error).partition(": ")[2])
        outcomes.refused[f"{kind}: {reason[:100]}"] += 1
        if kind == "none":
            outcomes.changed.append(path.name)
        return
    outcomes.decoded[kind] += 1
    if kind == "none" and not np.array_equal(frames, expected):
        outcomes.changed.append(path.name)


def _peak_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="museg-mutations-") as folder:
        began = time.monotonic()
        files = mutated(sources(Path(folder)), Path(folder), count=args.count, seed=args.seed)
        outcomes = decode_all(files, count=args.count)
        for kind, count in sorted(outcomes.decoded.items()):
            print(f"{count:5d} decoded  {kind}")
        for reason, count in sorted(outcomes.refused.items()):
            print(f"{count:5d} refused  {reason}")
        print(
            f"{args.count} files in {time.monotonic() - began:.0f} s, longest {outcomes.longest_s:.1f} s, "
            f"{outcomes.num_processes} decoding processes, grown by {outcomes.grown_bytes / 2**20:.0f} MiB, "
            f"healthy files that changed: {outcomes.changed}"
        )
    raise SystemExit(1 if outcomes.changed else 0)


if __name__ == "__main__":
    main()
