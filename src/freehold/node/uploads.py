"""Uploads that may stop and go on, also after a crash.

Bytes are taken as they come and made durable now and then, where a request breaks off, and
when the upload is finished: what is said to be durable is on the disk, and what was only taken
is still with its sender. The commitment is computed while bytes arrive, in the thread that
writes them, so that finishing a column of any size is quick. After a restart an upload goes on
from its last durable byte; what is on the disk up to there is hashed again first.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from freehold.domain.clock import Clock
from freehold.domain.errors import ConflictError, FreeholdError, NotFoundError, UsageError
from freehold.domain.ids import Address
from freehold.markets.storage.piece import Piece, parse_cid
from freehold.node.blockfile import block_memory, make_block_file
from freehold.node.database import Database, integer, text
from freehold.node.files import disk, remove_file, write_synced
from freehold.node.intake import Hasher, Session
from freehold.node.refusals import DiskFullError, QuotaError, TooLargeError
from freehold.node.settings import MIB, Settings
from freehold.node.store import Held, Store, check_name, footprint

CHECKPOINT = 64 * MIB
"""Bytes after which what arrived is made durable even if the request goes on."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload: ``offset`` of ``size`` bytes were taken, ``durable`` of them survive a crash; it
    is dropped at ``expires``."""

    id: str
    account: Address
    size: int
    offset: int
    durable: int
    expires: int


class Uploads:
    """All uploads of a node; methods block and may be called from any thread.

    A session is in ``_sessions`` from its opening until its record is gone or its file closed,
    and only who holds it ``busy`` touches its file. Sessions are looked up, opened and taken
    under one lock and from a record that is read under it: a request that found an upload
    which another one then finished or dropped gets a NotFoundError, never its file.
    """

    def __init__(
        self,
        store: Store,
        database: Database,
        settings: Settings,
        *,
        clock: Clock,
        hasher: Callable[[int], Hasher],
        token: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self._store = store
        self._database = database
        self._settings = settings
        self._clock = clock
        self._hasher = hasher
        self._token = token
        self._sessions: dict[str, Session] = {}
        self._memory = block_memory()
        self._lock = threading.Lock()

    def create(self, account: Address, size: int) -> Upload:
        """Promise room for ``size`` bytes; a CapacityError says which limit forbids it."""
        if size <= 0:
            raise UsageError("a piece has at least one byte", remedy="Send the column's true size.")
        if size > self._settings.max_piece:
            raise TooLargeError(
                f"a piece here has at most {self._settings.max_piece} bytes, not {size}",
                remedy="Split the object, or choose another node.",
            )
        upload = Upload(
            self._token(16), account, size, 0, 0, self._clock.now() + self._settings.upload_expiry
        )
        file = self._store.incoming / upload.id
        try:
            with self._database.write():
                self._check_quota(account, size)
                self._store.check_room(size)
                self._database.run(
                    "INSERT INTO uploads VALUES (?, ?, ?, ?, 0, ?)",
                    (upload.id, account, size, footprint(size), upload.expires),
                )
                make_block_file(file)
        except BaseException:
            remove_file(file)
            raise
        return upload

    def _check_quota(self, account: Address, size: int) -> None:
        total = self._database.number("SELECT count(*) FROM uploads")
        own = self._database.number("SELECT count(*) FROM uploads WHERE account = ?", (account,))
        if own >= self._settings.account_uploads or total >= self._settings.max_uploads:
            raise QuotaError(
                f"{own} uploads of {account} and {total} in all are open",
                remedy="Finish or delete an upload, or try again later.",
            )
        self._store.check_staged(account, size, limit=self._settings.staged)

    def find(self, upload: str, account: Address) -> Upload:
        """An upload of this account; NotFoundError also for those of others."""
        row = self._database.row(
            "SELECT size, offset, expires FROM uploads WHERE id = ? AND account = ?",
            (upload, account),
        )
        if row is None:
            raise NotFoundError(
                "there is no such upload of yours", remedy="Start another with POST /upload."
            )
        size, durable, expires = map(integer, row)
        return Upload(upload, account, size, durable, durable, expires)

    def offset(self, upload: str, account: Address) -> Upload:
        """As ``find``, with what was taken since, or after a look at what a crash left."""
        with self._lock:
            found = self.find(upload, account)
            session = self._sessions.get(upload)
            return self._checked(found) if session is None else _taken(found, session)

    def write_from(self, upload: str, account: Address, offset: int) -> Writer:
        """The one writer of an upload, from its ``offset``; close it for the next."""
        found = self.find(upload, account)
        session = self._held_session(found, offset)
        return Writer(self, found, session)

    def finish(self, upload: str, account: Address, cid: str) -> Held:
        """Make the upload the piece ``cid``; IntegrityError (and nothing kept) if it is not."""
        wanted = parse_cid(cid)
        found = self.find(upload, account)
        if found.size != wanted.raw_size:
            raise UsageError(
                f"the upload has {found.size} bytes, {cid} has {wanted.raw_size}",
                remedy="Finish the upload under the CID of its own bytes.",
            )
        session = self._held_session(found, found.size)
        # The session stays, held, until its record is gone: nobody else may open a file that
        # is about to be a piece.
        synced = again = False
        try:
            piece, tree = session.hasher.finish()
            session.trim()
            synced = True
            check_name(cid, piece)
            return self._adopt(found, session.file, piece, tree)
        except DiskFullError:
            again = synced  # After a failed sync as in ``keep``: nobody knows what the disk holds.
            raise
        except BaseException:
            self._delete(upload)
            self._remove_files(upload)
            raise
        finally:
            if again:
                session.busy.release()
            else:
                self._forget(upload)

    def _adopt(self, upload: Upload, data: Path, piece: Piece, tree: bytes) -> Held:
        tree_file = self._tree_file(upload.id)
        write_synced(tree_file, tree)
        return self._store.adopt(
            piece,
            data=data,
            tree=tree_file,
            upload=upload.id,
            account=upload.account,
            until=self._clock.now() + self._settings.hold,
        )

    def _held_session(self, upload: Upload, offset: int) -> Session:
        """The session of an upload that stands at ``offset``, held by the caller alone."""
        with self._lock:
            session = self._session(upload)
            if not session.busy.acquire(blocking=False):
                raise ConflictError(
                    "another request writes to this upload",
                    remedy="Wait for it to end, then ask for the offset with HEAD.",
                )
            if session.offset != offset:
                session.busy.release()
                raise OffsetError(session.offset, offset)
        try:
            session.rehash()
        except BaseException:
            self._forget(upload.id)
            raise
        return session

    def discard(self, upload: str, account: Address) -> None:
        """Give an upload up and its room back."""
        self.find(upload, account)
        self._drop_idle(upload)

    def expire(self) -> int:
        """Drop uploads whose time is over and that nobody writes to; returns how many."""
        rows = self._database.rows(
            "SELECT id FROM uploads WHERE expires <= ?", (self._clock.now(),)
        )
        dropped = 0
        for row in rows:
            try:
                self._drop_idle(text(row[0]))
            except ConflictError:
                continue
            dropped += 1
        return dropped

    def close(self) -> None:
        """Make durable what open uploads have taken and close their files; their records stay.

        An upload that a request still writes to goes on from what was recorded before.
        """
        with self._lock:
            sessions, self._sessions = self._sessions, {}
            for upload, session in sessions.items():
                try:
                    if session.busy.acquire(blocking=False):
                        self._sync(upload, session)
                except FreeholdError as error:
                    _log.warning("upload %s goes on from before: %s", upload, error)
                finally:
                    session.close()

    def keep(self, upload: Upload, session: Session) -> Upload:
        """Make what was taken durable; called by the writer.

        After a failed sync nobody knows what the disk holds, so the session is forgotten: the
        upload goes on from what was recorded before.
        """
        try:
            self._sync(upload.id, session)
        except BaseException:
            self._forget(upload.id)
            raise
        return _taken(upload, session)

    def _sync(self, upload: str, session: Session) -> None:
        session.sync()
        self.record(upload, session.offset)
        session.synced = session.offset

    def settle(self, upload: Upload, session: Session) -> Upload:
        """Write what was taken and give its memory back; called by the writer.

        A failed write leaves the disk in doubt, so the session is forgotten as in ``keep``.
        """
        try:
            session.settle()
        except BaseException:
            self._forget(upload.id)
            raise
        return _taken(upload, session)

    def abort(self, upload: Upload) -> None:
        """Forget a session whose last write failed; called by the writer."""
        self._forget(upload.id)

    def record(self, upload: str, offset: int) -> None:
        """Remember that so many bytes are durable; called by the writer."""
        with self._database.write():
            self._database.run("UPDATE uploads SET offset = ? WHERE id = ?", (offset, upload))

    def _session(self, upload: Upload) -> Session:
        """The open session of an upload that still exists; call it under the lock."""
        now = self.find(upload.id, upload.account)
        session = self._sessions.get(upload.id)
        if session is None:
            now = self._checked(now)
            file = self._store.incoming / now.id
            session = Session(file, now.offset, self._hasher(now.size), self._memory)
            self._sessions[upload.id] = session
        return session

    def _checked(self, upload: Upload) -> Upload:
        """The upload as its file is: from the start if a crash left less than was recorded."""
        file = self._store.incoming / upload.id
        with disk(file):
            length = file.stat().st_size if file.exists() else -1
        if length < 0:
            make_block_file(file)
        if length >= upload.offset or not upload.offset:
            return upload
        self.record(upload.id, 0)
        return replace(upload, offset=0, durable=0)

    def _drop_idle(self, upload: str) -> None:
        with self._lock:
            session = self._sessions.get(upload)
            if session is not None and not session.busy.acquire(blocking=False):
                raise ConflictError(
                    "a request writes to this upload", remedy="End it, then delete the upload."
                )
            self._delete(upload)
            self._sessions.pop(upload, None)
        if session is not None:
            session.close()
        self._remove_files(upload)

    def _tree_file(self, upload: str) -> Path:
        return self._store.incoming / f"{upload}.tree"

    def _remove_files(self, upload: str) -> None:
        remove_file(self._store.incoming / upload)
        remove_file(self._tree_file(upload))

    def _forget(self, upload: str) -> None:
        with self._lock:
            session = self._sessions.pop(upload, None)
        if session is not None:
            session.close()

    def _delete(self, upload: str) -> None:
        with self._database.write():
            self._database.run("DELETE FROM uploads WHERE id = ?", (upload,))


def _taken(upload: Upload, session: Session) -> Upload:
    return replace(upload, offset=session.offset, durable=session.synced)


class OffsetError(ConflictError):
    """The writer stands elsewhere than the upload; ``offset`` is where it must go on."""

    def __init__(self, offset: int, given: int) -> None:
        super().__init__(
            f"the upload stands at byte {offset}, not {given}",
            remedy="Ask for the offset with HEAD and go on from there.",
        )
        self.offset = offset

    def __reduce__(self) -> tuple[type[OffsetError], tuple[int, int]]:  # type: ignore[override]
        return (OffsetError, (self.offset, 0))


class Writer:
    """Writes blocks to one upload; end it with ``close``, or ``keep`` where it broke off."""

    def __init__(self, uploads: Uploads, upload: Upload, session: Session) -> None:
        self._uploads = uploads
        self._upload = upload
        self._session = session
        self._broken = False

    @property
    def left(self) -> int:
        """Bytes that the upload still lacks."""
        return self._upload.size - self._session.offset

    def room(self) -> memoryview:
        """Memory for the next bytes of the upload: none once it is complete."""
        return self._session.room()[: self.left]

    def take(self, count: int) -> Callable[[], None]:
        """``count`` bytes were put into the room: a job that hashes them and writes full blocks.

        At most one job may wait; jobs run in order, and before ``close``.
        """
        return partial(self._run, self._session.take(count), self._session.offset)

    def _run(self, job: Callable[[], bool], reached: int) -> None:
        try:
            if job() and reached - self._session.synced >= CHECKPOINT:
                self._session.flush()
                self._uploads.record(self._upload.id, reached)
                self._session.synced = reached
        except BaseException:
            self._broken = True
            raise

    def write(self, data: bytes | memoryview) -> None:
        """Take, hash and write ``data``; TooLargeError past the promised size."""
        if len(data) > self.left:
            raise self.too_large()
        view = memoryview(data)
        while view:
            room = self.room()
            part = view[: len(room)]
            room[: len(part)] = part
            self.take(len(part))()
            view = view[len(part) :]

    def too_large(self) -> TooLargeError:
        """The error of a body that is longer than what is missing."""
        return TooLargeError(
            f"the body is longer than the {self.left} bytes that are missing",
            remedy="Send what is missing, or start an upload with the true size.",
        )

    def close(self) -> Upload:
        """Let others write; returns the new state.

        After a failed write nothing new is recorded: the upload goes on from before it.
        """
        return self._end(self._uploads.settle)

    def keep(self) -> Upload:
        """As ``close``, and all that was taken is durable."""
        return self._end(self._uploads.keep)

    def _end(self, end: Callable[[Upload, Session], Upload]) -> Upload:
        try:
            if self._broken:
                self._uploads.abort(self._upload)
                return self._uploads.find(self._upload.id, self._upload.account)
            return end(self._upload, self._session)
        finally:
            self._session.busy.release()
