-- The control schema: what was submitted, how far it came, and which rows it put where.
-- Rules for changing it are in README.md of this directory.

-- (The schema is not called pg_import: Postgres keeps the prefix pg_ for itself.)
CREATE SCHEMA IF NOT EXISTS pgimport;

COMMENT ON SCHEMA pgimport IS 'pg_import''s ledger of imports. The queue''s own tables are in the schema apalis.';

-- One submitted source and all that came of it ------------------------------------------------------------------

CREATE TABLE pgimport.import (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state        text NOT NULL CHECK (state IN ('splitting', 'loading', 'loaded', 'failed', 'cancelling', 'cancelled', 'kept')),
    source       text NOT NULL,
    resumable    boolean NOT NULL,
    target       text NOT NULL,
    target_oid   oid NOT NULL,
    id_column    text NOT NULL,
    columns      text[] NOT NULL,
    options      jsonb NOT NULL,
    key          text,
    fingerprint  text,
    size_bytes   bigint,
    submitter    text NOT NULL,
    lease_until  timestamptz NOT NULL,
    undo         jsonb,
    job_id       text,
    error        text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    split_at     timestamptz,
    ended_at     timestamptz
);

COMMENT ON TABLE pgimport.import IS 'One row per submitted source.';
COMMENT ON COLUMN pgimport.import.id IS 'What enqueue prints; names the import in every command.';
COMMENT ON COLUMN pgimport.import.state IS 'splitting → loading → loaded | failed; any of these → cancelling → cancelled | kept; failed → loading by retry.';
COMMENT ON COLUMN pgimport.import.source IS 'Where the bytes came from, for people: an absolute path, or ''standard input''.';
COMMENT ON COLUMN pgimport.import.resumable IS 'True when an interrupted submission can go on: the source is a regular file.';
COMMENT ON COLUMN pgimport.import.target IS 'The table loaded, schema-qualified and quoted where SQL needs it.';
COMMENT ON COLUMN pgimport.import.target_oid IS 'The table''s oid at submission; a table that was dropped and made again has another, and is never touched.';
COMMENT ON COLUMN pgimport.import.id_column IS 'The target''s column that holds the ids of the registry.';
COMMENT ON COLUMN pgimport.import.columns IS 'The target''s column for each field of a record, in the order of the fields.';
COMMENT ON COLUMN pgimport.import.options IS 'How the bytes are read and loaded (delimiter, header, null text, load method, chunk size).';
COMMENT ON COLUMN pgimport.import.key IS 'Makes a double submission harmless: blake3:… over the content and every option that changes rows, or key:… as given by --key. Null with --force, and for standard input without --key.';
COMMENT ON COLUMN pgimport.import.fingerprint IS 'BLAKE3 of the source''s bytes, hexadecimal; known at submission for a file, at its end for a stream.';
COMMENT ON COLUMN pgimport.import.size_bytes IS 'Bytes of the source; known at submission for a file, at its end for a stream.';
COMMENT ON COLUMN pgimport.import.submitter IS 'The process that splits the source; also the application_name of its sessions.';
COMMENT ON COLUMN pgimport.import.lease_until IS 'While splitting: past this instant the submitter counts as dead, and another may go on in its place.';
COMMENT ON COLUMN pgimport.import.undo IS 'While cancelling and after: the options of the cancel (keep_edited, cascade, reason).';
COMMENT ON COLUMN pgimport.import.job_id IS 'The queue''s job that runs the cancel, while there is one.';
COMMENT ON COLUMN pgimport.import.error IS 'Why it failed, was kept, or was cancelled by the system; for people.';
COMMENT ON COLUMN pgimport.import.created_at IS 'When it was submitted.';
COMMENT ON COLUMN pgimport.import.split_at IS 'When the last chunk was stored: from here on neither the source nor the submitter is needed.';
COMMENT ON COLUMN pgimport.import.ended_at IS 'When it reached loaded, failed, cancelled or kept.';

CREATE UNIQUE INDEX import_key ON pgimport.import (key) WHERE state <> 'cancelled';
CREATE INDEX import_open ON pgimport.import (state) WHERE state IN ('splitting', 'loading', 'cancelling');
CREATE INDEX import_target ON pgimport.import (target_oid, state);

-- A run of whole records: the unit of work, retry and undo -------------------------------------------------------

CREATE TABLE pgimport.import_chunk (
    import_id      bigint NOT NULL REFERENCES pgimport.import (id) ON DELETE CASCADE,
    ordinal        integer NOT NULL CHECK (ordinal >= 0),
    state          text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'loaded', 'failed', 'cancelled', 'deleted')),
    start_byte     bigint NOT NULL,
    end_byte       bigint NOT NULL CHECK (end_byte > start_byte),
    first_line     bigint NOT NULL,
    record_count   bigint NOT NULL CHECK (record_count > 0),
    payload_bytes  integer NOT NULL,
    loaded_count   bigint,
    rejected_count bigint,
    deleted_count  bigint,
    kept_count     bigint,
    missing_count  bigint,
    attempts       integer NOT NULL DEFAULT 0,
    retries        integer NOT NULL DEFAULT 0,
    retrying_since timestamptz,
    retried_at     timestamptz,
    last_error     text,
    worker         text,
    started_at     timestamptz,
    finished_at    timestamptz,
    job_id         text,
    PRIMARY KEY (import_id, ordinal)
) WITH (fillfactor = 80);

COMMENT ON TABLE pgimport.import_chunk IS 'One row per chunk. Every count of an import is derived from these rows.';
COMMENT ON COLUMN pgimport.import_chunk.import_id IS 'The import it belongs to.';
COMMENT ON COLUMN pgimport.import_chunk.ordinal IS 'Its number within the import, from 0, in the order of the source.';
COMMENT ON COLUMN pgimport.import_chunk.state IS 'pending → loaded | failed; failed → pending by retry; pending, failed → cancelled; loaded → deleted.';
COMMENT ON COLUMN pgimport.import_chunk.start_byte IS 'First byte in the decompressed source, header included.';
COMMENT ON COLUMN pgimport.import_chunk.end_byte IS 'The byte after its last.';
COMMENT ON COLUMN pgimport.import_chunk.first_line IS 'Line of its first byte, from 1.';
COMMENT ON COLUMN pgimport.import_chunk.record_count IS 'Records in it; loaded_count + rejected_count once it is loaded.';
COMMENT ON COLUMN pgimport.import_chunk.payload_bytes IS 'Stored size of its payload.';
COMMENT ON COLUMN pgimport.import_chunk.loaded_count IS 'Rows it put into the target; null until it is loaded.';
COMMENT ON COLUMN pgimport.import_chunk.rejected_count IS 'Records it put into import_reject; null until it is loaded.';
COMMENT ON COLUMN pgimport.import_chunk.deleted_count IS 'Rows its undo deleted; null until then.';
COMMENT ON COLUMN pgimport.import_chunk.kept_count IS 'Rows its undo left in the target; not null once its undo was decided.';
COMMENT ON COLUMN pgimport.import_chunk.missing_count IS 'Rows its undo no longer found.';
COMMENT ON COLUMN pgimport.import_chunk.attempts IS 'Starts without a recorded outcome, and real failures; counted before the work.';
COMMENT ON COLUMN pgimport.import_chunk.retries IS 'Transient errors in a row; sets the backoff.';
COMMENT ON COLUMN pgimport.import_chunk.retrying_since IS 'When the current run of transient errors began.';
COMMENT ON COLUMN pgimport.import_chunk.retried_at IS 'The last transient error; after a long silence a new run begins.';
COMMENT ON COLUMN pgimport.import_chunk.last_error IS 'The last error, for people.';
COMMENT ON COLUMN pgimport.import_chunk.worker IS 'The worker that started it last.';
COMMENT ON COLUMN pgimport.import_chunk.started_at IS 'When that worker started it.';
COMMENT ON COLUMN pgimport.import_chunk.finished_at IS 'When it was loaded, failed, cancelled or deleted.';
COMMENT ON COLUMN pgimport.import_chunk.job_id IS 'The queue''s job for it; a hint, checked and renewed by maintenance.';

CREATE INDEX import_chunk_pending ON pgimport.import_chunk (import_id, ordinal) WHERE state = 'pending';
CREATE INDEX import_chunk_failed ON pgimport.import_chunk (import_id, ordinal) WHERE state = 'failed';
CREATE INDEX import_chunk_undecided ON pgimport.import_chunk (import_id, ordinal) WHERE state = 'loaded' AND kept_count IS NULL;

-- The bytes of a chunk, until they are loaded or cancelled -------------------------------------------------------

CREATE TABLE pgimport.import_payload (
    import_id bigint NOT NULL,
    ordinal   integer NOT NULL,
    codec     text NOT NULL CHECK (codec IN ('none', 'lz4', 'zstd')),
    data      bytea NOT NULL,
    PRIMARY KEY (import_id, ordinal),
    FOREIGN KEY (import_id, ordinal) REFERENCES pgimport.import_chunk (import_id, ordinal) ON DELETE CASCADE
);

-- The data is compressed already, or not worth it: the server shall not try again.
ALTER TABLE pgimport.import_payload ALTER COLUMN data SET STORAGE EXTERNAL;

COMMENT ON TABLE pgimport.import_payload IS 'A chunk''s bytes; deleted in the transaction that loads or cancels the chunk.';
COMMENT ON COLUMN pgimport.import_payload.import_id IS 'The import.';
COMMENT ON COLUMN pgimport.import_payload.ordinal IS 'The chunk.';
COMMENT ON COLUMN pgimport.import_payload.codec IS 'How data is compressed.';
COMMENT ON COLUMN pgimport.import_payload.data IS 'The source''s bytes [start_byte, end_byte) of the chunk.';

-- Which ids of the target are whose ------------------------------------------------------------------------------

CREATE TABLE pgimport.import_registry (
    import_id  bigint NOT NULL,
    ordinal    integer NOT NULL,
    start_id   bigint NOT NULL,
    end_id     bigint NOT NULL CHECK (end_id >= start_id),
    step       bigint NOT NULL CHECK (step > 0),
    target_oid oid NOT NULL,
    row_xids   bigint[] NOT NULL,
    voided_by  bigint,
    PRIMARY KEY (import_id, ordinal, start_id),
    FOREIGN KEY (import_id, ordinal) REFERENCES pgimport.import_chunk (import_id, ordinal) ON DELETE CASCADE
);

COMMENT ON TABLE pgimport.import_registry IS 'Closed ranges of ids that a chunk put into the target: exactly start_id, start_id + step, … end_id.';
COMMENT ON COLUMN pgimport.import_registry.import_id IS 'The import.';
COMMENT ON COLUMN pgimport.import_registry.ordinal IS 'The chunk.';
COMMENT ON COLUMN pgimport.import_registry.start_id IS 'Smallest id of the range.';
COMMENT ON COLUMN pgimport.import_registry.end_id IS 'Largest id of the range.';
COMMENT ON COLUMN pgimport.import_registry.step IS 'Distance of neighbouring ids: the sequence''s increment, without its sign.';
COMMENT ON COLUMN pgimport.import_registry.target_oid IS 'The table the ids belong to.';
COMMENT ON COLUMN pgimport.import_registry.row_xids IS 'The xmin values of the rows as they were loaded: a row with another xmin was edited since.';
COMMENT ON COLUMN pgimport.import_registry.voided_by IS 'A later import that was given some of these ids again (the table was truncated and its sequence restarted): the range no longer names rows of this import.';

-- Voided ranges stay for the account only: a table that is emptied and loaded anew each day would have them looked through by every chunk.
CREATE INDEX import_registry_target ON pgimport.import_registry (target_oid, end_id) WHERE voided_by IS NULL;

-- Records that could not be loaded -------------------------------------------------------------------------------

CREATE TABLE pgimport.import_reject (
    import_id   bigint NOT NULL,
    ordinal     integer NOT NULL,
    start_byte  bigint NOT NULL,
    line        bigint NOT NULL,
    column_name text,
    reason      text NOT NULL,
    raw         bytea NOT NULL,
    PRIMARY KEY (import_id, start_byte),
    FOREIGN KEY (import_id, ordinal) REFERENCES pgimport.import_chunk (import_id, ordinal) ON DELETE CASCADE
);

COMMENT ON TABLE pgimport.import_reject IS 'Records that could not be loaded.';
COMMENT ON COLUMN pgimport.import_reject.import_id IS 'The import.';
COMMENT ON COLUMN pgimport.import_reject.ordinal IS 'The chunk it was found in.';
COMMENT ON COLUMN pgimport.import_reject.start_byte IS 'Where the record starts in the decompressed source.';
COMMENT ON COLUMN pgimport.import_reject.line IS 'Line on which the record starts, from 1.';
COMMENT ON COLUMN pgimport.import_reject.column_name IS 'The target''s column at fault; null when the record as a whole does not fit.';
COMMENT ON COLUMN pgimport.import_reject.reason IS 'What is wrong with it.';
COMMENT ON COLUMN pgimport.import_reject.raw IS 'The record''s bytes as they stood in the source, without the line end; not necessarily text.';

CREATE INDEX import_reject_chunk ON pgimport.import_reject (import_id, ordinal);

-- Who works ------------------------------------------------------------------------------------------------------

CREATE TABLE pgimport.worker (
    name        text PRIMARY KEY,
    host        text NOT NULL,
    pid         integer NOT NULL,
    concurrency integer NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    last_seen   timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE pgimport.worker IS 'Workers that said so within the last seconds; maintenance removes the others.';
COMMENT ON COLUMN pgimport.worker.name IS 'Unique for every start of a worker; also the application_name of its sessions.';
COMMENT ON COLUMN pgimport.worker.host IS 'The machine it runs on.';
COMMENT ON COLUMN pgimport.worker.pid IS 'Its process there.';
COMMENT ON COLUMN pgimport.worker.concurrency IS 'How many chunks it works on at once.';
COMMENT ON COLUMN pgimport.worker.started_at IS 'When it registered.';
COMMENT ON COLUMN pgimport.worker.last_seen IS 'Its last heartbeat.';
