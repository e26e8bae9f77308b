from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from museg.errors import VideoError
from museg.video.child import storage_fault
from museg.video.clip import VideoClip
from museg.video.decoder import Decoder
from museg.video.decoding import decode_clip
from museg.video.decoding_process import UnreadableError
from museg.video.limits import DecodeLimits
from museg.video.pixel_budget import FrameBudget
from tests.museg.video.footage import rotated, write_video

BUDGET = FrameBudget(fps=2, min_frames=4, max_frames=64, min_pixels=784, max_pixels=602_112, total_pixels=200_000)
LIMITS = DecodeLimits()


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`a.mp4`, and `wide.mp4` of other pictures."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "a.mp4", num_frames=100, fps=Fraction(25), height=96, width=128)
    write_video(folder / "wide.mp4", num_frames=60, fps=Fraction(30), height=96, width=256)
    return folder


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(LIMITS) as decoder:
        yield decoder


def assert_same(found: VideoClip, expected: VideoClip) -> None:
    np.testing.assert_array_equal(found.frames, expected.frames)
    np.testing.assert_array_equal(found.frame_times_s, expected.frame_times_s)
    assert (found.facts, found.video) == (expected.facts, expected.video)
    assert found.num_native_frames == expected.num_native_frames


def assert_decodes(decoder: Decoder, path: Path) -> VideoClip:
    clip = decoder.clip(path, video=path.name, budget=BUDGET)
    assert_same(clip, decode_clip(path, video=path.name, budget=BUDGET))
    return clip


def test_one_process_gives_the_same_clips_of_one_video_after_the_other(decoder: Decoder, videos: Path) -> None:
    pids = set()
    for name in ("a.mp4", "wide.mp4", "a.mp4"):
        assert_decodes(decoder, videos / name)
        pids.add(decoder.pid)
    assert len(pids) == 1


def test_a_bad_video_is_told_as_it_would_be_here_and_costs_no_process(
    decoder: Decoder, videos: Path, tmp_path: Path
) -> None:
    assert_decodes(decoder, videos / "a.mp4")
    before = decoder.pid
    content = bytearray((videos / "a.mp4").read_bytes())
    content[4_000:6_000] = bytes(2_000)
    (tmp_path / "hole.mp4").write_bytes(content)
    with pytest.raises(VideoError) as here:
        decode_clip(tmp_path / "hole.mp4", video="hole.mp4", budget=BUDGET)
    with pytest.raises(VideoError) as there:
        decoder.clip(tmp_path / "hole.mp4", video="hole.mp4", budget=BUDGET)
    assert str(there.value) == str(here.value)
    assert_decodes(decoder, videos / "a.mp4")
    assert decoder.pid == before


def test_frames_too_elongated_for_the_policy_are_told_and_the_next_video_is_decoded(
    decoder: Decoder, videos: Path, tmp_path: Path
) -> None:
    path = write_video(tmp_path / "long.mp4", num_frames=30, fps=Fraction(25), height=16, width=16 * 201)
    with pytest.raises(VideoError, match=r"^video long\.mp4: frames of 3216 × 16 pixels are too elongated"):
        decoder.clip(path, video="long.mp4", budget=BUDGET)
    assert_decodes(decoder, videos / "a.mp4")


def test_a_killed_process_is_replaced_in_the_midst_of_a_video(videos: Path) -> None:
    with Decoder(LIMITS) as decoder:
        assert_decodes(decoder, videos / "a.mp4")
        assert decoder.pid is not None
        os.kill(decoder.pid, signal.SIGSTOP)
        timer = threading.Timer(0.3, os.kill, (decoder.pid, signal.SIGKILL))
        timer.start()
        before = decoder.pid
        assert_decodes(decoder, videos / "a.mp4")
        assert decoder.pid != before


def ready(decoder: Decoder, videos: Path) -> int:
    decoder.clip(videos / "wide.mp4", video="wide.mp4", budget=BUDGET)
    assert decoder.pid is not None
    return decoder.pid


def test_a_video_that_takes_too_long_is_bad_after_a_second_try(videos: Path) -> None:
    with Decoder(replace(LIMITS, timeout_s=1.0)) as decoder:
        first = ready(decoder, videos)
        decoder.limits = replace(LIMITS, timeout_s=0.002)
        decoder.close()
        with pytest.raises(
            VideoError,
            match=r"^video a\.mp4: decoding it took longer than video\.decode_timeout_s=0\.002 2 times: re-encode or",
        ):
            decoder.clip(videos / "a.mp4", video="a.mp4", budget=BUDGET)
        assert decoder.pid is None
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)


def test_a_stopped_process_is_killed_when_its_time_is_over(videos: Path) -> None:
    with Decoder(replace(LIMITS, timeout_s=1.0)) as decoder:
        stopped = ready(decoder, videos)
        os.kill(stopped, signal.SIGSTOP)
        began = time.monotonic()
        assert_decodes(decoder, videos / "a.mp4")
        assert 1.0 <= time.monotonic() - began < 60
        with pytest.raises(ProcessLookupError):
            os.kill(stopped, 0)


def least_memory(video: Path) -> int:
    """Bytes that the process needs by itself and for a small video: libraries take more on some machines."""
    for mebibytes in range(320, 1024, 20):
        with Decoder(replace(LIMITS, memory_bytes=mebibytes << 20)) as decoder:
            try:
                decoder.clip(video, video=video.name, budget=BUDGET)
                return mebibytes << 20
            except RuntimeError:
                continue
    raise AssertionError("no decoding process began")


def test_a_video_that_needs_more_memory_than_may_be_is_bad(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    write_video(path, num_frames=2, fps=Fraction(2), height=2160, width=3840, options={"preset": "ultrafast"})
    small = write_video(tmp_path / "small.mp4", num_frames=50, fps=Fraction(25), height=96, width=128)
    with Decoder(replace(LIMITS, memory_bytes=least_memory(small))) as decoder:
        with pytest.raises(
            VideoError, match=r"^video large\.mp4: decoding it took more memory than .* 2 times: re-enc"
        ):
            decoder.clip(path, video="large.mp4", budget=BUDGET)
        assert_decodes(decoder, small)


def test_processes_that_never_begin_are_no_fault_of_the_video(videos: Path) -> None:
    with (
        Decoder(replace(LIMITS, memory_bytes=1 << 20)) as decoder,
        pytest.raises(RuntimeError, match=r"video\.decode_memory_gib=0.00.* before it began"),
    ):
        decoder.clip(videos / "a.mp4", video="a.mp4", budget=BUDGET)


@pytest.mark.parametrize(
    ("limits", "key"),
    [
        (replace(LIMITS, max_file_bytes=1000), r"video\.max_file_gib"),
        (replace(LIMITS, max_native_frames=99), r"100 frames, more than video\.max_native_frames=99"),
        (
            replace(LIMITS, max_native_pixels=96 * 128 - 1),
            r"12288 pixels a picture, more than video\.max_native_pixels",
        ),
    ],
)
def test_a_video_beyond_a_limit_is_refused_before_it_is_decoded(limits: DecodeLimits, key: str, videos: Path) -> None:
    with Decoder(limits) as decoder, pytest.raises(VideoError, match=rf"^video a\.mp4: .*{key}"):
        decoder.clip(videos / "a.mp4", video="a.mp4", budget=BUDGET)


def test_the_process_ends_with_its_parent(videos: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from museg.video.decoder import Decoder;"
        "from museg.video.limits import DecodeLimits; from tests.museg.video.test_decoder import BUDGET;"
        "decoder = Decoder(DecodeLimits());"
        "decoder.clip(Path(sys.argv[1]), video='a.mp4', budget=BUDGET);"
        "print(decoder.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(videos / "a.mp4")], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, signal.SIGSTOP)
        parent.kill()
    deadline = time.monotonic() + 30
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline and not is_dead(child):
            time.sleep(0.02)
    assert is_dead(child)


def is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_storage_that_fails_is_told_apart_from_damage(videos: Path) -> None:
    with (videos / "a.mp4").open("rb") as video, open("/proc/self/mem", "rb") as failing:
        assert storage_fault(video.fileno()) is None
        assert storage_fault(failing.fileno()) == "Input/output error"
    assert issubclass(UnreadableError, VideoError)


AV1: dict[str, Callable[[Path], Path]] = {
    "AV1": lambda path: path,
    "AV1 turned by 90 degrees": lambda path: rotated(path, path.with_name("turned.mp4"), degrees=90),
}


@pytest.fixture(scope="module")
def av1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(
        tmp_path_factory.mktemp("av1") / "av1.mp4",
        num_frames=90,
        fps=Fraction(30_000, 1001),
        height=96,
        width=128,
        codec="libsvtav1",
    )


@pytest.mark.parametrize("turn", AV1)
def test_what_decord_cant_open_is_decoded_by_pyav_and_says_so(turn: str, av1: Path, decoder: Decoder) -> None:
    clip = assert_decodes(decoder, AV1[turn](av1))
    assert clip.decoder == clip.facts.decoder == "pyav"
    assert clip.num_native_frames == 90
    assert clip.duration_s == pytest.approx(90 * 1001 / 30_000, abs=1e-3)
    height, width = clip.frames.shape[1:3]
    assert (height > width) == ("turned" in turn)
    red_corner = clip.frames[0][0, -1] if "turned" in turn else clip.frames[0][0, 0]
    np.testing.assert_allclose(red_corner, (255, 0, 0), atol=25)
