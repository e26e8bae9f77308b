"""The texts that the code can print, with … in the place of what it puts into them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.docs.pages import ROOT

PLACEHOLDER = "…"
_FIELD = re.compile(r"\{[^{}]*\}|%[sd]")
_FOLDERS = ("museg", "actors", "deploy/setup")


def texts_of_the_code() -> tuple[str, ...]:
    """Every string of the sources, pieces that stand side by side in one."""
    return tuple(
        text
        for folder in _FOLDERS
        for file in sorted((ROOT / folder).rglob("*.py"))
        for text in _texts(ast.parse(file.read_text(encoding="utf-8")))
    )


def occurs(message: str, texts: tuple[str, ...]) -> bool:
    """Whether one text has the fixed parts of a message in their order; between them stands anything but nothing."""
    parts = [part for part in message.split(PLACEHOLDER) if part.strip()]
    pattern = re.compile(".+?".join(map(re.escape, parts)), re.DOTALL)
    return any(pattern.search(text) for text in texts if parts[0] in text)


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else PLACEHOLDER for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield _FIELD.sub(PLACEHOLDER, node.value)
