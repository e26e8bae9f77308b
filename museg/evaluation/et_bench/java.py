"""The two Java programs that pycocoevalcap carries: the tokenizer of the Penn Treebank, and METEOR 1.5.

Its own wrappers write into the installed package and wait without end; these pipe, and have deadlines.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from museg.errors import UserError

TOKENIZER_DEADLINE_S = 300
METEOR_DEADLINE_S = 300
"""For the captions of one video; METEOR needs about six seconds to start, more on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionPair:
    """A predicted caption and the one it is compared with."""

    predicted: str
    reference: str


def require_java() -> str:
    """Path of `java`. Raises UserError if it, or pycocoevalcap, isn't installed."""
    if find_spec("pycocoevalcap") is None:
        raise UserError(
            "E.T. Bench captions are scored by pycocoevalcap, which isn't installed: pip install pycocoevalcap, "
            "or score without captions (--no-captions)"
        )
    java = shutil.which("java")
    if java is None:
        raise UserError(
            "E.T. Bench captions are tokenized and scored (METEOR) by Java programs, and there is no `java` on PATH: "
            "install a JRE (Debian: default-jre-headless), or score without captions (--no-captions)"
        )
    return java


def tokenize(captions: Sequence[str]) -> list[str]:
    """Lower-case words of each caption, separated by spaces, without punctuation.

    Characters beyond ASCII become spaces, as in the benchmark's script. Raises UserError without Java.
    """
    java = require_java()
    from pycocoevalcap.tokenizer import ptbtokenizer

    jar = Path(ptbtokenizer.__file__).with_name(ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR)
    program = "edu.stanford.nlp.process.PTBTokenizer"
    command = [java, "-cp", str(jar), program, "-preserveLines", "-lowerCase"]
    lines = [" ".join(_ascii(caption).split()) for caption in captions]
    try:
        done = subprocess.run(
            command,
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            encoding="utf-8",
            timeout=TOKENIZER_DEADLINE_S,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"Java's tokenizer took over {TOKENIZER_DEADLINE_S} s for {len(captions)} captions") from error
    except subprocess.CalledProcessError as error:
        raise UserError(f"Java's tokenizer failed: {error.stderr.strip()[-300:]}") from error
    tokenized = done.stdout.split("\n")[:-1]
    return [
        " ".join(token for token in line.split() if token not in ptbtokenizer.PUNCTUATIONS)
        for _, line in zip(captions, tokenized, strict=True)
    ]


class Meteor:
    """METEOR 1.5 in a process of its own, which ends with the `with` block.

    with Meteor() as meteor:
        meteor.score([CaptionPair(predicted="a dog runs", reference="the dog ran")])
    """

    def __init__(self) -> None:
        """Raises UserError without Java."""
        java = require_java()
        from pycocoevalcap.meteor import meteor

        jar = Path(meteor.__file__).with_name(meteor.METEOR_JAR)
        options = ["-Xmx2G", "-XX:+UseSerialGC", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"]
        self._process = subprocess.Popen(
            [java, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )
        self._statistics: dict[CaptionPair, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def score(self, pairs: Sequence[CaptionPair]) -> float:
        """Of a corpus of tokenized pairs. Raises UserError if METEOR ends, or hasn't answered by the deadline."""
        deadline = threading.Timer(METEOR_DEADLINE_S, self._process.kill)
        deadline.start()
        try:
            statistics = [self._statistics_of(pair) for pair in pairs]
            self._send("EVAL", *statistics)
            # One score a pair, then that of all.
            return [float(self._receive()) for _ in range(len(pairs) + 1)][-1]
        except BrokenPipeError as error:
            raise self._ended() from error
        finally:
            deadline.cancel()

    def _statistics_of(self, pair: CaptionPair) -> str:
        """Matches of a pair, which METEOR combines into scores; unmatched captions recur at every threshold."""
        if pair not in self._statistics:
            self._send("SCORE", pair.reference, pair.predicted)
            self._statistics[pair] = self._receive()
        return self._statistics[pair]

    def _send(self, *fields: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ||| ".join(field.replace("|||", "") for field in fields) + "\n")
        self._process.stdin.flush()

    def _receive(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        return line.strip()

    def _ended(self) -> UserError:
        self._process.kill()
        return UserError(
            f"METEOR ended (exit code {self._process.wait()}), or took over {METEOR_DEADLINE_S} s for the captions of "
            "one video: its Java program needs 2 GB of memory"
        )


def _ascii(text: str) -> str:
    return "".join(character if ord(character) < 128 else " " for character in text)
