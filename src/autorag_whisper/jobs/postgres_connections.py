"""Connections to the database: a pool of them, one that listens, and what their errors mean."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

from autorag_whisper.domain.job_errors import StoreUnavailable
from autorag_whisper.jobs.postgres_schema import CHANNEL, SCHEMA
from autorag_whisper.jobs.silence import Silence

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from psycopg.abc import PQGen

    from autorag_whisper.jobs.postgres_address import Address

_log = logging.getLogger(__name__)

ANSWER_S = 20.0
"""What takes longer is given up: by the server, which counts statements, and a little later by us: it may be silent."""
_MARGIN_S = 2.0
SIGN_S = 3.0
"""How long a server may take to say that it is there, before it is asked for more."""
_AGAIN_S = 1.0

_ADVICE = {
    "28": "mend the user or the password (in the address, PGPASSWORD or ~/.pgpass)",
    "3D": "create that database, or name another",
    "42501": "let the user create a schema, and use the schema autorag_whisper",
    "25006": "name the primary server: this one only reads",
    "53100": "make room on the database's disk",
    "53200": "give the database server more memory",
    "53300": "raise the database's max_connections, or run fewer servers",
    "57014": "see what holds the database up: its load, its disk, locks of other sessions",
    "42P01": "restore the schema autorag_whisper from a back-up, or drop it and begin anew",
}
_SILENT = _ADVICE["57014"]
_ABSENT = "start the database, or mend the address; jobs go on by themselves once it answers"


class Silent(psycopg.OperationalError):
    """The server did not answer in time."""


class AllInUse(psycopg.OperationalError):
    """Other calls have all connections."""


class BoundedConnection(psycopg.Connection[DictRow]):
    """Waits so long for an answer and no longer, as a server that was stopped, or its disk, may never give one."""

    answer_s = ANSWER_S + _MARGIN_S

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Wait no longer than that for each answer in the `with` block."""
        before, self.answer_s = self.answer_s, min(seconds, self.answer_s)
        try:
            yield
        finally:
            self.answer_s = before

    def wait(self, gen: PQGen[Any], *args: Any, **given: Any) -> Any:
        return super().wait(self._bounded(gen), *args, **given)

    def _bounded(self, gen: PQGen[Any]) -> Generator[Any, Any, Any]:
        ends = time.monotonic() + self.answer_s
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > ends:
                    self.pgconn.finish()
                    raise Silent(f"it did not answer within {self.answer_s:.0f} s")
                wanted = gen.send(ready)
        except StopIteration as over:
            return over.value


class Connections:
    """At most so many, made when they are needed and kept. Thread-safe.

    Every error of the database leaves `using` as StoreUnavailable with its reason and what to do. While the server is
    known to be silent, one call a second finds out whether it still is, and all others are refused at once.
    """

    def __init__(self, address: Address, most: int, answer_s: float = ANSWER_S, silence: Silence | None = None) -> None:
        self.address, self._most, self._answer_s = address, most, answer_s
        self._silence = silence or Silence()
        self._free = threading.BoundedSemaphore(most)
        self._idle: list[BoundedConnection] = []
        self._lock = threading.Lock()
        self._closed = False

    def connect(self, answer_s: float | None = None) -> BoundedConnection:
        """One that is not set up for our tables; the caller's to close. Raises psycopg.Error."""
        connection = BoundedConnection.connect(autocommit=True, row_factory=dict_row, **self.address.options)
        connection.answer_s = (answer_s or self._answer_s) + _MARGIN_S
        return connection

    @contextmanager
    def using(self) -> Iterator[BoundedConnection]:
        """A connection; what is not in a transaction is on the disk when its statement is over."""
        with self.told():
            connection = self._acquired()
            try:
                yield connection
            except Silent as error:
                self._silence.began(str(error))
                raise
            finally:
                self._give_back(connection)
                self._free.release()

    def has_answered(self) -> None:
        """The server is there."""
        self._silence.over()

    def _acquired(self) -> BoundedConnection:
        """One that the server has just answered on, and is to be given back."""
        if reason := self._silence.why_refused():
            raise Silent(reason)
        try:
            connection = self._taken()
        except (Silent, psycopg.errors.ConnectionTimeout) as error:
            self._silence.began(str(error))
            raise
        except BaseException:
            self.has_answered()
            raise
        self.has_answered()
        return connection

    def _taken(self) -> BoundedConnection:
        if not self._free.acquire(timeout=self._answer_s):
            raise AllInUse(f"all {self._most} connections have been in use for {self._answer_s:.0f} s")
        try:
            return self._found()
        except BaseException:
            self._free.release()
            raise

    def _found(self) -> BoundedConnection:
        """One that the server answers on."""
        while True:
            with self._lock:
                if self._closed:
                    raise StoreUnavailable(self.address.shown, "this process is ending", "ask another server")
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._made()
            try:
                with connection.within(SIGN_S):
                    connection.execute("")
            except psycopg.OperationalError as error:  # the server was begun anew, or its network; so it is with all
                connection.close()
                if isinstance(error, Silent):  # each of the others would take as long to find out
                    self._close_idle()
            else:
                return connection

    def _made(self) -> BoundedConnection:
        connection = self.connect()
        try:
            with connection.within(SIGN_S):
                self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: BoundedConnection) -> None:
        # What a call has returned from is on the disk, whatever the database's default.
        connection.execute(
            "SELECT set_config('search_path', %s, false), set_config('statement_timeout', %s, false), "
            "set_config('idle_in_transaction_session_timeout', '1min', false), "
            "set_config('default_transaction_isolation', 'read committed', false), "
            "set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') "
            "THEN 'on' ELSE current_setting('synchronous_commit') END, false)",
            (SCHEMA, f"{self._answer_s * 1000:.0f}"),
        )

    def _give_back(self, connection: BoundedConnection) -> None:
        with self._lock:
            if not self._closed and connection.info.transaction_status == TransactionStatus.IDLE:
                self._idle.append(connection)
                return
        connection.close()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Errors of the database become ours."""
        try:
            yield
        except psycopg.Error as error:
            raise self.unavailable(error) from None

    def unavailable(self, error: psycopg.Error) -> StoreUnavailable:
        """What is wrong, without a secret."""
        state = error.sqlstate or ""
        advice = _ADVICE.get(state) or _ADVICE.get(state[:2], "")
        if not advice and isinstance(error, Silent | AllInUse):
            advice = _SILENT
        if not advice and (tried := error.pgconn) is not None and (tried.used_password or tried.needs_password):
            advice = _ADVICE["28"]
        reason = self.address.without_secrets(error.diag.message_primary or str(error))
        return StoreUnavailable(self.address.shown, reason, advice or _ABSENT)

    def close(self) -> None:
        """Those that are idle now, the others when they are given back. Again is fine."""
        with self._lock:
            self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


class Listener:
    """Calls `heard` when a job may be claimed, or is to be cancelled, in a thread of its own, until `close`.

    Also where that may have been missed: at the first connection, and after each that was lost.
    """

    def __init__(self, connections: Connections, heard: Callable[[], None]) -> None:
        self._connections, self._heard = connections, heard
        self._wakes, self._waker = os.pipe()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="autorag-whisper-jobs-heard", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        is_lost = False
        while not self._ended.is_set():
            try:
                with self._connections.connect() as connection:
                    connection.execute(f"LISTEN {CHANNEL}".encode())
                    is_lost = False
                    self._connections.has_answered()
                    self._heard()
                    self._hear(connection)
            except psycopg.Error as error:
                if not is_lost and not self._ended.is_set():
                    _log.warning("jobs of other servers are looked for at intervals: %s", self._reason(error))
                is_lost = True
                self._ended.wait(_AGAIN_S)

    def _hear(self, connection: BoundedConnection) -> None:
        poll = select.poll()
        for waited in (connection.fileno(), self._wakes):
            poll.register(waited, select.POLLIN)
        while not self._ended.is_set():
            poll.poll()
            if list(connection.notifies(timeout=0)):  # all of them, else the rest wait for the next
                self._heard()

    def _reason(self, error: psycopg.Error) -> str:
        return self._connections.unavailable(error).reason

    def close(self) -> None:
        """Hear no more. Again is fine."""
        if not self._ended.is_set():
            self._ended.set()
            os.write(self._waker, b"x")
            self._thread.join()
            os.close(self._wakes)
            os.close(self._waker)
