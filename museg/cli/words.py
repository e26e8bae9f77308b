"""Words of a command line on either side of its options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def let_words_stand_between_options(parser: argparse.ArgumentParser) -> None:
    """Let the parser of a command take `CONFIG --data FILE key=value`.

    argparse does so only from a parser that isn't a command of another.
    """
    parse_known_args = parser.parse_known_args

    def parse(args: Sequence[str], namespace: argparse.Namespace | None) -> tuple[argparse.Namespace, list[str]]:
        # What the intermixed parsing rests on, which would otherwise call itself.
        parser.parse_known_args = parse_known_args  # type: ignore[method-assign]
        try:
            return parser.parse_known_intermixed_args(args, namespace)
        finally:
            parser.parse_known_args = parse  # type: ignore[method-assign,assignment]

    parser.parse_known_args = parse  # type: ignore[method-assign,assignment]
