"""The tables of jobs in PostgreSQL, in a schema of their own, and the way from older versions of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

SCHEMA = "autorag_whisper"
CHANNEL = "autorag_whisper_jobs"
"""Where a job's id is told when it may be claimed, or is to be cancelled."""

_ONE_CHANGES = 0x6175746F72616721
"""Who changes the tables holds the advisory lock of this number."""
ONE_COUNTS = _ONE_CHANGES + 1
"""Who counts before he adds, this one."""

MIGRATIONS: tuple[LiteralString, ...] = (
    """
    CREATE TABLE jobs (
        place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id text NOT NULL UNIQUE,
        client text NOT NULL,
        idempotency_key text,
        request text NOT NULL,
        priority integer NOT NULL,
        state text NOT NULL,
        created_s double precision NOT NULL,
        ready_s double precision NOT NULL,
        turn_s double precision NOT NULL,
        started_s double precision NOT NULL DEFAULT 0,
        claimed_s double precision NOT NULL DEFAULT 0,
        finished_s double precision NOT NULL DEFAULT 0,
        audio_s double precision NOT NULL DEFAULT 0,
        claimed_audio_s double precision NOT NULL DEFAULT 0,
        total_s double precision NOT NULL DEFAULT 0,
        deaths integer NOT NULL DEFAULT 0,
        failures integer NOT NULL DEFAULT 0,
        error text NOT NULL DEFAULT '',
        notes text NOT NULL DEFAULT '[]',
        told integer NOT NULL DEFAULT 0,
        result text NOT NULL DEFAULT '',
        kept_bytes bigint NOT NULL DEFAULT 0,
        wants_cancel boolean NOT NULL DEFAULT false,
        fence bigint NOT NULL DEFAULT 0,
        lease_until_s double precision NOT NULL DEFAULT 0
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
    CREATE UNIQUE INDEX jobs_by_key ON jobs (client, idempotency_key) WHERE idempotency_key IS NOT NULL;
    CREATE INDEX jobs_waiting ON jobs (turn_s, place) WHERE state = 'queued';
    CREATE INDEX jobs_leased ON jobs (place) WHERE state = 'running';
    CREATE INDEX jobs_ended ON jobs (finished_s, place) WHERE state IN ('done', 'failed', 'cancelled');
    CREATE INDEX jobs_of_client ON jobs (client, place);
    CREATE INDEX jobs_in_state ON jobs (state, place);
    CREATE INDEX jobs_of_client_in_state ON jobs (client, state, place) INCLUDE (kept_bytes);
    CREATE TABLE chunks (
        job text NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, number integer NOT NULL, checkpoint bytea NOT NULL,
        PRIMARY KEY (job, number)
    );
    CREATE TABLE events (
        job text NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, number integer NOT NULL, kind text NOT NULL,
        data text NOT NULL, PRIMARY KEY (job, number)
    );
    CREATE TABLE deliveries (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id text NOT NULL UNIQUE,
        job text NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        url text NOT NULL,
        payload text NOT NULL,
        created_s double precision NOT NULL,
        due_s double precision NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        ended_s double precision NOT NULL DEFAULT 0,
        delivered boolean NOT NULL DEFAULT false,
        response text NOT NULL DEFAULT ''
    );
    CREATE INDEX deliveries_due ON deliveries (due_s, number) WHERE ended_s = 0;
    CREATE INDEX deliveries_of ON deliveries (job, number);
    CREATE FUNCTION tell_of_job() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_notify('autorag_whisper_jobs', NEW.id); RETURN NULL; END $$;
    CREATE TRIGGER tell AFTER INSERT OR UPDATE OF state, wants_cancel ON jobs FOR EACH ROW
        WHEN (NEW.state = 'queued' OR NEW.wants_cancel) EXECUTE FUNCTION tell_of_job();
    """,
    # version: the newest of the transcript, 0 without one; indexed: the one that the search finds. name_key, folder:
    # for lists. media_bytes: of a done job, what is kept of its upload.
    """
    ALTER TABLE jobs ADD COLUMN version integer NOT NULL DEFAULT 0, ADD COLUMN indexed integer NOT NULL DEFAULT 0,
        ADD COLUMN name_key text COLLATE "C" NOT NULL DEFAULT '', ADD COLUMN folder text NOT NULL DEFAULT '',
        ADD COLUMN media_bytes bigint NOT NULL DEFAULT 0;
    UPDATE jobs SET version = 1 WHERE state = 'done';
    CREATE INDEX jobs_named ON jobs (client, name_key, place);
    CREATE INDEX jobs_in_folder ON jobs (client, folder, place) WHERE folder <> '';
    CREATE INDEX jobs_with_media ON jobs (finished_s, place) INCLUDE (media_bytes) WHERE media_bytes > 0;
    CREATE INDEX jobs_not_indexed ON jobs (place) WHERE state = 'done' AND indexed < version;
    CREATE TABLE versions (
        job text NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, number integer NOT NULL,
        created_s double precision NOT NULL, author text NOT NULL, note text NOT NULL, draft integer NOT NULL,
        words integer NOT NULL, body bytea NOT NULL, PRIMARY KEY (job, number)
    );
    CREATE TABLE texts (
        place bigint PRIMARY KEY REFERENCES jobs (place) ON DELETE CASCADE, terms tsvector NOT NULL, lines text NOT NULL
    );
    CREATE INDEX texts_terms ON texts USING gin (terms);
    """,
)
"""One for each version of the tables, forward only; the table `version` counts those that were applied."""


class NewerSchemaError(Exception):
    """A newer version of this package has changed the tables. Its arguments: their version, and the one we know."""


def migrate(connection: Connection[Any], migrations: Sequence[LiteralString] = MIGRATIONS) -> None:
    """Bring the tables to the newest version, all of it or nothing, whoever else begins at the same moment.

    Raises NewerSchemaError.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ONE_CHANGES,))
        if connection.execute("SELECT to_regnamespace('autorag_whisper')::text AS it").fetchone()["it"] is None:  # type: ignore[index]  # always a row
            connection.execute("CREATE SCHEMA autorag_whisper")
        connection.execute("SET LOCAL search_path TO autorag_whisper")
        connection.execute("CREATE TABLE IF NOT EXISTS version (number integer NOT NULL, folder text NOT NULL)")
        found = connection.execute("SELECT number FROM version").fetchone()
        if found is None:
            connection.execute("INSERT INTO version VALUES (0, '')")
        version = found["number"] if found is not None else 0
        if version > len(migrations):
            raise NewerSchemaError(version, len(migrations))
        for number in range(version, len(migrations)):
            connection.execute(migrations[number])
            connection.execute("UPDATE version SET number = %s", (number + 1,))


def folder_of(connection: Connection[Any], folder: str) -> str:
    """The mark of the folder where uploads and results lie; `folder` from now on, if there was none."""
    with connection.transaction():
        connection.execute("UPDATE version SET folder = %s WHERE folder = ''", (folder,))
        found = connection.execute("SELECT folder FROM version").fetchone()
    return str(found["folder"]) if found is not None else ""
