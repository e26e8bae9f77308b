"""Hundreds of damaged videos (tests/museg/video/mutations.py has the thousand)."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from museg.video.decoder import Decoder
from museg.video.decoding import decode_clip
from tests.museg.video.mutations import BUDGET, DAMAGES, LIMITS, decode_all, mutated, sources

pytestmark = pytest.mark.slow

COUNT = 120
MIB = 1 << 20


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return sources(tmp_path_factory.mktemp("sources"))


def test_damaged_videos_are_decoded_or_refused_and_change_nothing_else(videos: list[Path], tmp_path: Path) -> None:
    outcomes = decode_all(mutated(videos, tmp_path, count=COUNT, seed=0), count=COUNT)
    assert outcomes.changed == []
    assert outcomes.decoded["none"] == COUNT // 5
    assert sum(outcomes.decoded.values()) + sum(outcomes.refused.values()) == COUNT
    kinds = {kind for kind in DAMAGES if any(refused.startswith(f"{kind}: ") for refused in outcomes.refused)}
    assert kinds >= {"truncated", "huge pictures", "empty", "text", "noise", "sample tables edited"}
    assert outcomes.longest_s < 3 * LIMITS.timeout_s
    assert outcomes.grown_bytes < 64 * MIB


def repeated(source: Path, target: Path, *, times: int) -> Path:
    """The same packets over and over, by a header that is long and true."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        packets = [packet for packet in reader.demux(video=0) if packet.size]
        length = sum(packet.duration or 0 for packet in packets)
        content = [(bytes(packet), packet.pts, packet.dts, packet.duration, packet.is_keyframe) for packet in packets]
        time_base = packets[0].time_base
        for turn in range(times):
            for data, pts, dts, duration, is_keyframe in content:
                packet = av.Packet(data)
                packet.pts, packet.dts = pts + turn * length, dts + turn * length
                packet.duration, packet.is_keyframe, packet.time_base = duration, is_keyframe, time_base
                packet.stream = stream
                writer.mux(packet)
    return target


def test_a_clip_of_thirty_thousand_frames_is_no_damage(videos: list[Path], tmp_path: Path) -> None:
    path = repeated(videos[0], tmp_path / "long.mp4", times=300)
    with Decoder(LIMITS) as decoder:
        clip = decoder.clip(path, video="long.mp4", budget=BUDGET)
    assert clip.num_native_frames == 30_000
    assert clip.duration_s == pytest.approx(1200.0, abs=0.1)
    np.testing.assert_array_equal(clip.frames, decode_clip(path, video="long.mp4", budget=BUDGET).frames)
