"""Text of strangers, such as the name of an object that they share, made safe to print."""

from __future__ import annotations

from unicodedata import category


def plain(text: str) -> str:
    """``text`` for a line that may hold markup: its brackets mean nothing, and what could steer
    a terminal is spelled out; blanks of all widths stay, so that a name can be copied."""
    from rich.markup import escape

    seen = (c if _harmless(c) else c.encode("unicode_escape").decode() for c in text)
    return escape("".join(seen))


def _harmless(c: str) -> bool:
    return c.isprintable() or category(c) == "Zs"
