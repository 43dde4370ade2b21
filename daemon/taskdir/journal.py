"""The log's only writer: one batch, one write, one fdatasync. That is the commit point of everything (SPEC section 9).

Opening verifies the tail, past the page cache where the system allows it, and cuts off a batch that was in flight;
the cut bytes are kept in .taskdir/torn/. After a failed sync this object refuses to go on: a restart must verify.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator

from taskdir import lifecycle, logread, strictjson
from taskdir.disk import Disk
from taskdir.documents import Event
from taskdir.errors import LogDamaged
from taskdir.logread import Batch, Mark


class SyncFailed(OSError):
    """The log could not be written or synced in a way that leaves its end certain: stop, and verify on restart."""


class Journal:
    """The open log of a root. ``mark`` is its end."""

    def __init__(self, root: str, disk: Disk, segment_bytes: int, mode: int | None = None) -> None:
        """Prepare to open ``root``'s log; segments are closed at ``segment_bytes``. ``mode``: of a new log
        that its user alone reads."""
        self._root, self._disk, self._segment_bytes = root, disk, segment_bytes
        self._path = os.path.join(root, logread.LIVE)
        self._fd = -1
        self._broken, self._mode = False, mode
        self.mark = Mark()

    def open(self, known: Mark, replay: Callable[[Batch], None]) -> None:
        """Verify from ``known`` on, hand each later batch to ``replay``, cut a torn tail, be ready to append.

        May be asked again, for an index that has to follow. Raises LogDamaged when damage lies before the last batch,
        or when ``known``, or what was here before, is not in the log (index-ahead).
        """
        self.close()
        self._drop_cache()
        files = logread.segments(self._root)
        self._finish_rotation()
        reader = logread.Reader(files, self._resume(files, known))
        behind = known.seq > reader.mark.seq
        for batch in reader.batches():
            if behind and batch.mark.seq >= known.seq:
                behind = False
                self._compare(batch, known)
            if batch.mark.seq > known.seq:
                self._replay(batch, replay)
        if reader.damage is not None and not reader.damage.torn:
            logread.raise_damage(reader.damage)
        if behind or self.mark.seq > reader.mark.seq:
            self._refuse(max(known, self.mark, key=lambda mark: mark.seq), reader.mark.seq)
        self.mark = reader.mark
        self._fd = self._disk.open_log(self._path, self._mode or 0o644)
        if reader.damage is not None:
            self._cut(reader.damage.offset)
        if os.fstat(self._fd).st_size == 0:
            self._disk.sync_dir(self._root)  # a new file's name has to last as long as its first batch
            self.mark = Mark(self.mark.seq, self.mark.hash, self.mark.seq + 1, 0)

    def _replay(self, batch: Batch, replay: Callable[[Batch], None]) -> None:
        try:
            replay(batch)
        except (lifecycle.IllegalEvent, KeyError, ValueError) as error:
            raise LogDamaged(
                "log-event",
                f"an event up to seq {batch.mark.seq} breaks the rules of the log: {error}",
                path=self._path,
                hint="nothing was changed; `taskdir check` names each such event; restore the log from a copy",
            ) from error

    def _resume(self, files: list[tuple[int, str]], known: Mark) -> Mark:
        """Start at ``known`` if the log still shows that line there, else at the beginning."""
        for first, path in files:
            here = known.seq and first == known.first and not path.endswith(".gz")
            if here and logread.line_hash_before(path, known.offset) == known.hash:
                return known
        return Mark()

    def _compare(self, batch: Batch, known: Mark) -> None:
        if batch.mark.seq != known.seq or batch.mark.hash != known.hash:
            self._refuse(known, batch.mark.seq)

    def _refuse(self, known: Mark, last: int) -> None:
        raise LogDamaged(
            "index-ahead",
            f"the index has applied seq {known.seq}, which this log (ending at {last}) does not have: "
            "a committed fact was lost or history was changed",
            path=self._path,
            hint="put the right log back; or, to accept the loss, move .taskdir/index.sqlite* away and start again",
        )

    def _drop_cache(self) -> None:
        """Ask the kernel to forget its copy of the log, so that what is verified is what the device holds."""
        if hasattr(os, "posix_fadvise") and os.path.exists(self._path):
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)

    def _cut(self, offset: int) -> None:
        """Keep the torn tail aside, then cut the log back to its last whole batch."""
        size = os.fstat(self._fd).st_size
        tail = os.pread(self._fd, size - offset, offset)
        name = f"{self.mark.seq + 1:012d}.{hashlib.sha256(tail).hexdigest()[:12]}"
        kept = os.path.join(self._root, ".taskdir", "torn", name)
        if not os.path.exists(kept):
            self._disk.publish(kept, tail, aside=kept + ".new", sync=True)
        self._disk.truncate(self._fd, offset, self._path)

    def append(self, events: list[Event]) -> Batch | None:
        """Commit one batch: complete each event with ``prev`` (the last one with ``end``), write, sync.

        ``events`` carry their ``seq`` already. Raises OSError when it was not taken (the log is as before), SyncFailed
        when its end is uncertain.
        """
        if not events:
            return None
        if self._broken:
            raise SyncFailed("the log needs a restart")
        if self.mark.offset >= self._segment_bytes:
            self._rotate()
        first, prev = events[0]["seq"], self.mark.hash
        assert first == self.mark.seq + 1, "seq without gaps"
        lines: list[bytes] = []
        for event in events:
            event["prev"] = prev
            if event is events[-1]:
                event["end"] = first
            line = strictjson.dumps(event).encode()
            prev = hashlib.sha256(line).hexdigest()
            lines.append(line + b"\n")
        data = b"".join(lines)
        self._write(data)
        segment = self.mark.first if self.mark.offset else first
        self.mark = Mark(events[-1]["seq"], prev, segment, self.mark.offset + len(data))
        return Batch(events, self.mark)

    def _write(self, data: bytes) -> None:
        try:
            self._disk.append_log(self._fd, self._path, data)
        except OSError:
            if os.fstat(self._fd).st_size != self.mark.offset:  # else nothing of it is there, nor need be cut
                with self._certain():
                    self._disk.truncate(self._fd, self.mark.offset, self._path)
            raise
        with self._certain():
            self._disk.datasync(self._fd, self._path)  # commit point, SPEC section 9.3

    @contextlib.contextmanager
    def _certain(self) -> Iterator[None]:
        """Let nothing be appended after an error in here, nor after any other way out of it."""
        was, self._broken = self._broken, True
        try:
            yield
        except OSError as error:
            raise SyncFailed(error.errno, f"the log could not be synced: {error.strerror}", self._path) from error
        self._broken = was

    def _rotate(self) -> None:
        """Close the live segment: a second name in log/ first, then an empty file over the first name.

        Both names exist in between, so that no power cut leaves the segment without one. Once it has two, an error
        (the disk is full) may leave it so: the next append goes on from there.
        """
        old = os.path.join(self._root, logread.OLD)
        if self._disk.mkdir(old, 0o755 if self._mode is None else 0o700):
            with self._certain():
                self._disk.sync_dir(self._root)
        closed = os.path.join(old, f"{self.mark.first:012d}.jsonl")
        if not self._is_open_as(closed) and not self._disk.link(self._path, closed):
            raise LogDamaged("log-segment", "another file has the name that this segment is to get", path=closed)
        with self._certain():
            self._disk.sync_dir(old)
        fresh = os.path.join(self._root, ".log.jsonl.new")
        self._disk.publish(self._path, b"", aside=fresh, mode=self._mode, sync=True)
        with self._certain():
            self._disk.sync_dir(self._root)
            fresh_fd = self._disk.open_log(self._path, self._mode or 0o644)
        os.close(self._fd)
        self._fd = fresh_fd
        self.mark = Mark(self.mark.seq, self.mark.hash, self.mark.seq + 1, 0)

    def _is_open_as(self, path: str) -> bool:
        return os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(self._fd))

    def _finish_rotation(self) -> None:
        """Drop the second name that a rotation left when it was cut short before the switch."""
        if not os.path.exists(self._path):
            return
        live = os.stat(self._path)
        old = os.path.join(self._root, logread.OLD)
        for name in os.listdir(old) if live.st_nlink > 1 and os.path.isdir(old) else []:
            if os.stat(os.path.join(old, name)).st_ino == live.st_ino:
                self._disk.unlink(os.path.join(old, name))

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
