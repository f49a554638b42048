"""Text of strangers, such as the name of an object that they share, made safe to print."""

from __future__ import annotations


def plain(text: str) -> str:
    """``text`` for a line that may hold markup: its brackets mean nothing, and what could steer
    a terminal is spelled out."""
    from rich.markup import escape

    seen = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return escape("".join(seen))
