"""Reading one object's bytes, whole or in part, from the columns of its deal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from freehold.client.catalog import Page
from freehold.client.download import Download, Recipe
from freehold.client.reading import Library
from freehold.client.sink import Write
from freehold.client.timing import Timing
from freehold.client.upload import Progress, silent
from freehold.domain.buffers import Buffers
from freehold.domain.errors import UsageError
from freehold.markets.storage.manifest import Location
from freehold.markets.storage.pack import extract

Range = tuple[int, int]
"""First byte and the byte after the last."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a get found: bytes delivered, columns that could not be read, columns that lied."""

    size: int
    lost: tuple[int, ...]
    liars: tuple[int, ...]


class Objects:
    """Delivers the bytes at locations."""

    def __init__(self, library: Library, buffers: Buffers) -> None:
        self._library, self._buffers = library, buffers

    def deliver(
        self,
        place: Location,
        page: Page,
        write: Write,
        *,
        span: Range,
        timing: Timing,
        progress: Progress = silent,
    ) -> Delivery:
        """Write bytes ``span`` of the object at ``place``, which lies in ``page``'s columns.

        Nothing unauthenticated is ever written. NotEnoughShardsError below k columns,
        IntegrityError when the key or the object is wrong.
        """
        recipe = Recipe(page.layout, page.object_id, place.content_key)
        columns = self._library.columns(page.deal)
        download = Download(recipe, columns, timing=timing, buffers=self._buffers)
        try:
            if place.member_key is None:
                self._stream(download, place, write, span, timing, progress)
            else:
                self._member(download, place, write, span)
        finally:
            download.close()
        lost, liars = tuple(sorted(download.lost)), tuple(sorted(download.liars))
        return Delivery(span[1] - span[0], lost, liars)

    def _stream(
        self,
        download: Download,
        place: Location,
        write: Write,
        span: Range,
        timing: Timing,
        progress: Progress,
    ) -> None:
        done = 0
        for part in _parts(download, place.offset + span[0], place.offset + span[1]):
            with timing.stage("disk"):
                write(part)
            done += part.nbytes
            progress(done, span[1] - span[0])

    def _member(self, download: Download, place: Location, write: Write, span: Range) -> None:
        stop = place.offset + place.stored_size
        stored = b"".join(bytes(part) for part in _parts(download, place.offset, stop))
        data = extract(stored, place, start=place.offset)
        write(memoryview(data)[span[0] : span[1]])


def clip(span: Range | None, size: int) -> Range:
    """The range to deliver of ``size`` bytes; UsageError when it lies outside."""
    start, stop = span or (0, size)
    if not 0 <= start <= stop <= size:
        raise UsageError(
            f"bytes {start} to {stop} lie outside an object of {size}",
            remedy=f"Ask for a range within 0 to {size}.",
        )
    return start, stop


def _parts(download: Download, start: int, stop: int) -> Iterator[memoryview]:
    slices = list(download.recipe.layout.slices(start, stop))
    by_segment = {index: list(items) for index, items in groupby(slices, lambda s: s.segment)}
    for index, data in zip(by_segment, download.segments(list(by_segment)), strict=True):
        for part in by_segment[index]:
            yield data[part.start : part.stop]
