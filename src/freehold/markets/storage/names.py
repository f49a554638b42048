"""Names of objects: ``bucket/key``, where a key may hold further slashes as in S3.

A name's parts are what lies between its slashes, empty ones included, so that parts and name
determine each other. Its directory is everything before the last slash.
"""

from __future__ import annotations

from freehold.domain.errors import UsageError

MAX_NAME = 1152
"""Bytes of UTF-8: a bucket of 63 and a key of 1,024, with room for the slash."""


def check(name: str) -> str:
    """``name`` itself; UsageError when it is no bucket and key."""
    bucket, slash, key = name.partition("/")
    if not (bucket and slash and key) or not _is_text(name):
        raise UsageError(
            f"{name[:80]!r} does not name an object",
            remedy=f"Write bucket/key, at most {MAX_NAME} bytes of UTF-8 without NUL.",
        )
    return name


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
