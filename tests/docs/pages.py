"""What the documentation holds, read from its Markdown: code blocks, links, headings, messages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}\S.*\n)+")
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_MESSAGE = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)
_ENDS_OF_COMMANDS = frozenset({"|", "&&", "||", ";", ">", "&"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One code block."""

    language: str
    """As the fence says; empty for commands, and for indented blocks."""
    text: str

    @property
    def title(self) -> str:
        """The file that a first line such as `# my_run.yaml` names."""
        named = re.match(r"# (\w+\.\w+)", self.text)
        return named[1] if named else ""


@dataclass(frozen=True)
class Page:
    """One file of the documentation."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """The text without code blocks."""
        return _INDENTED.sub("\n", _FENCED.sub("", self.text))

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        fenced = [Block(language=language, text=text) for language, text in _FENCED.findall(self.text)]
        indented = [Block(language="", text=text) for text in _INDENTED.findall(_FENCED.sub("", self.text))]
        return (*fenced, *indented)

    def block(self, title: str) -> str:
        """The text of the block that names itself so."""
        (text,) = [block.text for block in self.blocks if block.title == title]
        return text

    def lines_of_commands(self) -> Iterator[list[str]]:
        """The words of each command line, comments left out; a line that ends in a backslash goes on in the next."""
        for block in self.blocks:
            if not block.language:
                for line in block.text.replace("\\\n", " ").splitlines():
                    yield shlex.split(line, comments=True)

    def named_commands(self) -> Iterator[list[str]]:
        """The words of each `museg …` in the prose."""
        for code in _INLINE_CODE.findall(self.prose):
            if code.startswith("`museg "):
                yield shlex.split(code.strip("`").replace(r"\|", "|"))

    def links(self) -> Iterator[str]:
        return (target for target in _LINK.findall(_INLINE_CODE.sub("", self.prose)) if "://" not in target)

    def anchors(self) -> frozenset[str]:
        """What GitHub makes of the headings."""
        words = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in _HEADING.findall(self.prose))
        return frozenset(word.replace(" ", "-") for word in words)

    def messages(self) -> Iterator[str]:
        """The first cells of tables that are headed `message`."""
        for table in re.split(r"\n\n", self.prose):
            if table.startswith("| message |"):
                yield from (message.replace(r"\|", "|") for message in _MESSAGE.findall(table))


def pages() -> tuple[Page, ...]:
    """The README and every page in docs/."""
    return tuple(Page(path) for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))))


def museg_arguments(words: list[str]) -> list[str] | None:
    """What `museg` or `python -m museg` is given in a line, wherever it stands there; None if it isn't called."""
    for place, word in enumerate(words):
        if word == "museg" and (place == 0 or words[place - 1] == "-m"):
            after = words[place + 1 :]
            end = next((index for index, other in enumerate(after) if other in _ENDS_OF_COMMANDS), len(after))
            return [word for word in after[:end] if word != "…"]
    return None
