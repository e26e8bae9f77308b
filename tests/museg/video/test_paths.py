from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from museg.errors import VideoError
from museg.video.paths import opened_video, resolve_video, unsafe_name

HEADER = b"\x00\x00\x00 ftypisom"
INSIDE, OUTSIDE = HEADER + b"inside", HEADER + b"outside"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video root with files, links within it, and every way out of it that a file system has."""
    base = tmp_path_factory.mktemp("base")
    root = base / "videos"
    (root / "a" / "b").mkdir(parents=True)
    (base / "videos-of-others").mkdir()
    for secret in (base / "secret.mp4", base / "videos-of-others" / "secret.mp4"):
        secret.write_bytes(OUTSIDE)
    for name in ("a.mp4", "a/b/c.mp4", "%41.mp4", "~", "$HOME", "-i.mp4", "über 1.mp4", "a/1:2.mp4"):
        (root / name).write_bytes(INSIDE)
    (root / "empty.mp4").touch()
    (root / "text.mp4").write_text("a text")
    os.mkfifo(root / "pipe.mp4")
    links = {"near": "a/b/c.mp4", "a/up": "../a.mp4", "out": "../secret.mp4", "etc": "/etc", "null": "/dev/null"}
    links |= {"a/out": "../..", "loop": "loop", "sibling": "../videos-of-others", "self": "/proc/self", "dead": "gone"}
    for name, target in links.items():
        (root / name).symlink_to(target)
    (base / "link-to-root").symlink_to("videos")
    return root


def read(root: Path, video: str, *, allow_outside: bool = False) -> bytes:
    with opened_video(root, video, allow_outside=allow_outside) as path:
        return path.read_bytes()


def refusal(root: Path, video: str, *, allow_outside: bool = False) -> str:
    with pytest.raises(VideoError) as caught, opened_video(root, video, allow_outside=allow_outside):
        pass
    return str(caught.value)


@pytest.mark.parametrize(
    "video", ["a.mp4", "a/b/c.mp4", "./a//b/./c.mp4", "near", "a/up", "%41.mp4", "~", "$HOME", "-i.mp4", "a/1:2.mp4"]
)
def test_files_below_the_root_are_read_by_their_literal_names(root: Path, video: str) -> None:
    assert read(root, video) == INSIDE
    assert read(root.parent / "link-to-root", video) == INSIDE
    assert resolve_video(root, video) == (root / video).resolve()


@pytest.mark.parametrize(
    ("video", "reason"),
    [
        ("../secret.mp4", "holds '..'"),
        ("a/../a.mp4", "holds '..'"),
        ("out", "leads out of data.video_root"),
        ("a/out/secret.mp4", "leads out"),
        ("sibling/secret.mp4", "leads out"),
        ("etc/passwd", "leads out"),
        ("self/environ", "leads out"),
        ("null", "leads out"),
        ("loop", "can't be opened"),
        ("dead", "there is no file"),
        ("gone.mp4", "there is no file"),
        ("a.mp4/b.mp4", "there is no file"),
        ("a", "isn't a file"),
        (".", "isn't a file"),
        ("pipe.mp4", "isn't a file"),
        ("empty.mp4", "is empty"),
        ("text.mp4", "isn't a video, by its first bytes"),
        ("", "is empty"),
        ("  ", "is empty"),
        ("a\x00.mp4", "control character"),
        ("a.mp4\n", "control character"),
        ("\x1b]0;title\x07.mp4", "control character"),
        ("a\u2028.mp4", "control character"),
        ("\udcff.mp4", "control character"),
        ("x" * 256, "too long"),
        ("a/" * 3000 + "a.mp4", "too long"),
    ],
)
def test_anything_else_is_refused_in_one_printable_line(root: Path, video: str, reason: str) -> None:
    message = refusal(root, video)
    assert reason in message
    assert message.isprintable()
    assert len(message) < 600


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "http://169.254.169.254/", "HTTPS://a/b.mp4", "rtsp://a", "concat:a.mp4|a.mp4", "pipe:0",
     "subfile,,start,0,end,9,,:a.mp4", "data:video/mp4;base64,AAAA", " file:a.mp4", "C:\\a.mp4", "s3+https://a"],
)  # fmt: skip
@pytest.mark.parametrize("allow_outside", [False, True])
def test_urls_are_always_refused(root: Path, url: str, *, allow_outside: bool) -> None:
    assert "is a URL" in refusal(root, url, allow_outside=allow_outside)


def test_outside_files_are_read_only_where_the_configuration_allows_them(root: Path) -> None:
    absolute = str(root.parent / "secret.mp4")
    assert "is absolute" in refusal(root, absolute)
    assert read(root, absolute, allow_outside=True) == OUTSIDE
    assert read(root, "out", allow_outside=True) == OUTSIDE
    assert "'..'" in refusal(root, "../secret.mp4", allow_outside=True)
    for device in ("/dev/zero", "/dev/stdin", "null", str(root / "pipe.mp4"), "/etc"):
        assert "isn't a file" in refusal(root, device, allow_outside=True)


def names() -> st.SearchStrategy[str]:
    """Paths put together from the root's own names, ways out, and text of any kind."""
    known = st.sampled_from(
        ["..", ".", "", "a", "b", "a.mp4", "c.mp4", "near", "up", "out", "etc", "passwd", "self", "root", "cwd", "fd",
         "sibling", "secret.mp4", "videos", "videos-of-others", "loop", "dead", "pipe.mp4", "null", "~", "file:", "\0"]
    )  # fmt: skip
    parts = st.lists(st.one_of(known, known, known, st.text(max_size=8)), min_size=1, max_size=7)
    return st.builds(lambda parts, slash: slash + "/".join(parts), parts, st.sampled_from(["", "", "", "/", "//"]))


@given(video=names())
@example(video="a/out/videos/a.mp4")
@example(video="self/cwd/etc/passwd")
def test_no_path_ever_leads_out_of_the_root(root: Path, video: str) -> None:
    place, content = outcome(root, video)
    if place is None:
        assert content.isprintable()
    else:
        assert place.is_relative_to(root.resolve())
        assert content == INSIDE.decode()
        assert unsafe_name(video) is None


def outcome(root: Path, video: str) -> tuple[Path | None, str]:
    """Where the video lies and what it holds, or None and why it is refused."""
    try:
        return resolve_video(root, video), read(root, video).decode()
    except VideoError as error:
        return None, str(error)


@given(video=st.text(max_size=40))
def test_text_of_any_kind_names_a_file_or_is_refused(root: Path, video: str) -> None:
    with pytest.raises(VideoError) as caught:
        read(root, "there-is-no-such-folder/" + video)
    assert len(str(caught.value).splitlines()) == 1


@pytest.fixture
def swapped(tmp_path: Path) -> Iterator[Path]:
    """A root whose `a/video.mp4` is now a file of its own, now leads to a secret, as fast as a thread can swap it."""
    secret, root = tmp_path / "secret", tmp_path / "root"
    for folder, content in ((secret, OUTSIDE), (root / "honest", INSIDE)):
        folder.mkdir(parents=True)
        (folder / "video.mp4").write_bytes(content)
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for target in ("honest", "../secret"):
                (root / "aside").symlink_to(target)
                (root / "aside").replace(root / "a")

    attacker = threading.Thread(target=swap)
    attacker.start()
    yield root
    over.set()
    attacker.join()


def test_a_link_that_is_swapped_after_the_check_doesnt_lead_out(swapped: Path) -> None:
    honest = refused = 0
    while honest < 200 or refused < 200:
        try:
            assert read(swapped, "a/video.mp4") == INSIDE
            honest += 1
        except VideoError:
            refused += 1


def test_an_open_video_stays_the_file_that_was_checked(root: Path) -> None:
    (root / "late.mp4").write_bytes(INSIDE)
    with opened_video(root, "late.mp4") as path:
        (root / "late.mp4").unlink()
        (root / "late.mp4").symlink_to(root.parent / "secret.mp4")
        assert path.read_bytes() == INSIDE
    (root / "late.mp4").unlink()
    assert not path.exists()
