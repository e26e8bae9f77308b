"""Reads a written report back: its elements as a browser sees them, and its packed data."""

from __future__ import annotations

import base64
import gzip
import json
from html.parser import HTMLParser
from typing import Any


class Page(HTMLParser):
    """Tags, attributes, text (scripts and styles left out) and the data blocks of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.blocks: dict[str, str] = {}
        self._block: str | None = None
        self._is_code = False
        self.feed(html)

    def index(self) -> Any:
        return self.unpacked("index")

    def unpacked(self, name: str) -> Any:
        return json.loads(gzip.decompress(base64.b64decode(self.blocks[name])))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._is_code = tag in {"script", "style"}
        self._block = dict(attrs).get("id") if tag == "script" else None

    def handle_data(self, data: str) -> None:
        if self._block is not None:
            self.blocks[self._block] = data
        elif not self._is_code:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._is_code, self._block = False, None
