"""One byte range of a GET (RFC 9110, section 14), and whether If-Range lets it stand."""

from __future__ import annotations

import re
from dataclasses import dataclass

from freehold.node.refusals import RangeError

_SPEC = re.compile(r"bytes=[ \t]*(?P<first>\d{0,20})-(?P<last>\d{0,20})[ \t]*")


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes ``start`` to ``start + length`` of a piece of ``total`` bytes.

    ``partial`` when a range was asked for: it is answered with 206 even if it is the whole.
    """

    start: int
    length: int
    total: int
    partial: bool = False

    def content_range(self) -> str:
        """The Content-Range header of a 206."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{self.total}"


def parse_range(header: str, total: int) -> Span:
    """The range that ``header`` asks for, cut to the piece; RangeError when nothing is left.

    Several ranges in one request are refused: a client asks once per range.
    """
    match = _SPEC.fullmatch(header.strip())
    if match is None or not (match["first"] or match["last"]):
        raise _unsatisfiable(header, total)
    if match["first"]:
        first = int(match["first"])
        last = min(int(match["last"]), total - 1) if match["last"] else total - 1
        if match["last"] and int(match["last"]) < first:
            raise _unsatisfiable(header, total)
    else:
        first = max(total - int(match["last"]), 0)
        last = total - 1
    if first > last:
        raise _unsatisfiable(header, total)
    return Span(first, last - first + 1, total, partial=True)


def requested(*, range_header: str | None, if_range: str | None, etag: str, total: int) -> Span:
    """The span to serve: the whole piece unless a range is asked for and If-Range agrees.

    Pieces never change under a name, so If-Range holds exactly when its strong tag is ours; a
    date never does.
    """
    whole = Span(0, total, total)
    if range_header is None or (if_range is not None and if_range.strip() != etag):
        return whole
    return parse_range(range_header, total)


def _unsatisfiable(header: str, total: int) -> RangeError:
    return RangeError(
        f"the range {header[:80]!r} cannot be served",
        remedy=f"Ask for one range inside bytes 0-{total - 1}.",
    )
