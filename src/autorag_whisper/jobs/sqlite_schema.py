"""How the file of jobs is laid out: one migration for each version of it, forward only."""

MIGRATIONS = (
    """
    CREATE TABLE jobs (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        client TEXT NOT NULL,
        idempotency_key TEXT,
        request TEXT NOT NULL,
        priority INTEGER NOT NULL,
        state TEXT NOT NULL,
        created_s REAL NOT NULL,
        ready_s REAL NOT NULL,
        started_s REAL NOT NULL DEFAULT 0,
        finished_s REAL NOT NULL DEFAULT 0,
        audio_s REAL NOT NULL DEFAULT 0,
        total_s REAL NOT NULL DEFAULT 0,
        deaths INTEGER NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0,
        error TEXT NOT NULL DEFAULT '',
        wants_cancel INTEGER NOT NULL DEFAULT 0,
        fence INTEGER NOT NULL DEFAULT 0,
        lease_until_s REAL NOT NULL DEFAULT 0
    );
    CREATE UNIQUE INDEX by_key ON jobs (client, idempotency_key) WHERE idempotency_key IS NOT NULL;
    CREATE INDEX waiting ON jobs (ready_s, priority) WHERE state = 'queued';
    CREATE INDEX leased ON jobs (lease_until_s) WHERE state = 'running';
    CREATE INDEX ended ON jobs (finished_s) WHERE state IN ('done', 'failed', 'cancelled');
    CREATE TABLE chunks (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, number INTEGER NOT NULL, checkpoint BLOB NOT NULL,
        PRIMARY KEY (job, number)
    ) WITHOUT ROWID;
    CREATE TABLE events (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, number INTEGER NOT NULL, kind TEXT NOT NULL,
        data TEXT NOT NULL, PRIMARY KEY (job, number)
    ) WITHOUT ROWID;
    """,
    # turn_s: who has the smallest is next, ready_s less what the priority is worth. delayed: not before ready_s.
    # totals: counted by the triggers, so that nobody counts a hundred thousand rows.
    """
    ALTER TABLE jobs ADD COLUMN turn_s REAL NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN delayed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN claimed_s REAL NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN claimed_audio_s REAL NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN result TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN kept_bytes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN notes TEXT NOT NULL DEFAULT '[]';
    UPDATE jobs SET turn_s = ready_s - priority * 60.0, delayed = (state = 'queued' AND failures > 0),
        result = CASE state WHEN 'done' THEN id || '.json' ELSE '' END;
    DROP INDEX waiting;
    DROP INDEX ended;
    CREATE INDEX queue ON jobs (delayed, turn_s, place) WHERE state = 'queued';
    CREATE INDEX postponed ON jobs (ready_s) WHERE state = 'queued' AND delayed = 1;
    CREATE INDEX ended ON jobs (finished_s, place) WHERE state IN ('done', 'failed', 'cancelled');
    CREATE INDEX by_client ON jobs (client, place);
    CREATE INDEX by_state ON jobs (state, place);
    CREATE INDEX by_client_state ON jobs (client, state, place);
    CREATE TABLE totals (
        client TEXT NOT NULL, state TEXT NOT NULL, jobs INTEGER NOT NULL, bytes INTEGER NOT NULL,
        PRIMARY KEY (client, state)
    ) WITHOUT ROWID;
    INSERT INTO totals SELECT client, state, count(*), sum(kept_bytes) FROM jobs GROUP BY client, state;
    CREATE TRIGGER counted_in AFTER INSERT ON jobs BEGIN
        INSERT INTO totals VALUES (new.client, new.state, 1, new.kept_bytes)
        ON CONFLICT DO UPDATE SET jobs = jobs + 1, bytes = bytes + excluded.bytes;
    END;
    CREATE TRIGGER counted_out AFTER DELETE ON jobs BEGIN
        UPDATE totals SET jobs = jobs - 1, bytes = bytes - old.kept_bytes
        WHERE client = old.client AND state = old.state;
    END;
    CREATE TRIGGER counted_over AFTER UPDATE OF state, kept_bytes ON jobs BEGIN
        UPDATE totals SET jobs = jobs - 1, bytes = bytes - old.kept_bytes
        WHERE client = old.client AND state = old.state;
        INSERT INTO totals VALUES (new.client, new.state, 1, new.kept_bytes)
        ON CONFLICT DO UPDATE SET jobs = jobs + 1, bytes = bytes + excluded.bytes;
    END;
    CREATE TABLE deliveries (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        url TEXT NOT NULL,
        payload TEXT NOT NULL,
        created_s REAL NOT NULL,
        due_s REAL NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        ended_s REAL NOT NULL DEFAULT 0,
        delivered INTEGER NOT NULL DEFAULT 0,
        response TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX due ON deliveries (due_s, number) WHERE ended_s = 0;
    CREATE INDEX deliveries_of ON deliveries (job, number);
    """,
    # version: the newest of the transcript, 0 without one; indexed: the one that the search finds. name_key, folder:
    # for lists. media_bytes: of a done job, what is kept of its upload. Texts go with their jobs, terms with them.
    """
    ALTER TABLE jobs ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN indexed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN name_key TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN folder TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN media_bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE jobs SET version = 1 WHERE state = 'done';
    CREATE INDEX named ON jobs (client, name_key, place);
    CREATE INDEX in_folder ON jobs (client, folder, place) WHERE folder <> '';
    CREATE INDEX with_media ON jobs (finished_s, place, media_bytes) WHERE media_bytes > 0;
    CREATE INDEX not_indexed ON jobs (place) WHERE state = 'done' AND indexed < version;
    CREATE TABLE versions (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, number INTEGER NOT NULL, created_s REAL NOT NULL,
        author TEXT NOT NULL, note TEXT NOT NULL, draft INTEGER NOT NULL, words INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (job, number)
    );
    CREATE TABLE texts (
        place INTEGER PRIMARY KEY REFERENCES jobs (place) ON DELETE CASCADE, terms TEXT NOT NULL, lines TEXT NOT NULL
    );
    CREATE VIRTUAL TABLE texts_terms USING fts5(
        terms, content='texts', content_rowid='place', prefix='2 3',
        tokenize="unicode61 remove_diacritics 0 categories 'L* N* M*'"
    );
    CREATE TRIGGER terms_in AFTER INSERT ON texts BEGIN
        INSERT INTO texts_terms (rowid, terms) VALUES (new.place, new.terms);
    END;
    CREATE TRIGGER terms_out AFTER DELETE ON texts BEGIN
        INSERT INTO texts_terms (texts_terms, rowid, terms) VALUES ('delete', old.place, old.terms);
    END;
    """,
)
"""`user_version` of the file counts those that were applied. One that was released is never changed: add another."""
