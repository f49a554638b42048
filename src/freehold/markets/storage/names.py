"""Names of objects: ``bucket/key``, where a key may hold further slashes as in S3.

A name's parts are what lies between its slashes, empty ones included, so that parts and name
determine each other. Its directory is everything before the last slash.
"""

from __future__ import annotations

from unicodedata import category

from freehold.domain.errors import UsageError

MAX_NAME = 1152
"""Bytes of UTF-8: a bucket of 63 and a key of 1,024, with room for the slash."""

MAX_PART = 255
"""Bytes of UTF-8 of what a file system takes as a name."""
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of a line, and with it what a name seems to end in."""


def check(name: str) -> str:
    """``name`` itself; UsageError when it is no bucket and key."""
    bucket, slash, key = name.partition("/")
    if not (bucket and slash and key) or not _is_text(name):
        raise UsageError(
            f"{name[:80]!r} does not name an object",
            remedy=f"Write bucket/key, at most {MAX_NAME} bytes of UTF-8 without NUL.",
        )
    return name


def check_new(name: str) -> str:
    """``name`` itself; UsageError unless people and file systems can tell it from others.

    Stricter than ``check``, which takes all that S3 does: nothing between slashes is empty, a dot
    or two, begins or ends with a blank, or holds what cannot be seen.
    """
    check(name)
    for part in parts(name):
        if reason := _unclear(part):
            raise UsageError(
                f"{name[:80]!r} is no name for a new object: {reason}",
                remedy="Write bucket/key, such as photos/2026/sea.jpg, each part a plain name.",
            )
    return name


def _unclear(part: str) -> str:
    if not part:
        return "there is nothing between two of its slashes, or after the last"
    if part in (".", ".."):
        return f"{part!r} means another folder"
    if part != part.strip():
        return f"{part!r} begins or ends with a blank"
    if any(category(c) in _UNSEEN or c in _TURNING for c in part):
        return f"{part!r} holds characters that control a terminal"
    if len(part.encode()) > MAX_PART:
        return f"one of its parts is longer than {MAX_PART} bytes"
    return ""


def check_prefix(prefix: str) -> str:
    """``prefix`` itself, ``bucket`` or ``bucket/directory``; UsageError when it is neither."""
    if not prefix.partition("/")[0] or not _is_text(prefix):
        raise UsageError(
            f"{prefix[:80]!r} does not name a bucket or directory",
            remedy="Write bucket or bucket/directory, without the last slash.",
        )
    return prefix


def directory(name: str) -> str:
    """Everything before the last slash of a checked name."""
    return name.rpartition("/")[0]


def parts(name: str) -> tuple[str, ...]:
    """The texts between the slashes."""
    return tuple(name.split("/"))


def _is_text(name: str) -> bool:
    try:
        return len(name.encode()) <= MAX_NAME and "\0" not in name
    except UnicodeEncodeError:
        return False
