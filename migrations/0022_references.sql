-- Imports by reference store no bytes: their chunks are ranges of objects, or of files that several machines see, which workers read themselves.
-- Where record ends can be found from the middle, workers find the chunks, too, segment by segment.
-- Programs of before leave such imports alone, by the version of their spec.
SET LOCAL lock_timeout = '5s';

CREATE TABLE pgimport.import_reference (
    import_id   bigint NOT NULL REFERENCES pgimport.import ON DELETE CASCADE,
    input       integer NOT NULL CHECK (input >= 0),
    address     text NOT NULL,
    size_bytes  bigint NOT NULL CHECK (size_bytes >= 0),
    etag        text,
    modified_ns bigint,
    PRIMARY KEY (import_id, input)
);

COMMENT ON TABLE pgimport.import_reference IS 'One row for each input of an import by reference: where workers read it, and what it has to be still.';
COMMENT ON COLUMN pgimport.import_reference.import_id IS 'The import.';
COMMENT ON COLUMN pgimport.import_reference.input IS 'The input''s number, from 0: that of import_chunk.input.';
COMMENT ON COLUMN pgimport.import_reference.address IS 'Where it is: s3://bucket/key, gs://, az://, https://, or an absolute path. No credentials are in it.';
COMMENT ON COLUMN pgimport.import_reference.size_bytes IS 'How many bytes it had when it was submitted.';
COMMENT ON COLUMN pgimport.import_reference.etag IS 'What its store called its content then (RFC 9110); null where the store says nothing.';
COMMENT ON COLUMN pgimport.import_reference.modified_ns IS 'When it had been written last, in nanoseconds since 1970, where there is no etag.';

CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON pgimport.import_reference
    FOR EACH ROW EXECUTE FUNCTION pgimport.guard_part();

ALTER TABLE pgimport.import_chunk ADD COLUMN digest bytea CHECK (length(digest) = 32);

COMMENT ON COLUMN pgimport.import_chunk.digest IS 'BLAKE3 of its bytes, of an import by reference: what workers read has to have it. Null where the bytes are in import_payload.';

CREATE TABLE pgimport.import_segment (
    import_id     bigint NOT NULL REFERENCES pgimport.import ON DELETE CASCADE,
    segment       integer NOT NULL CHECK (segment >= 0),
    state         text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'split', 'stored')),
    input         integer NOT NULL,
    start_byte    bigint NOT NULL,
    end_byte      bigint NOT NULL CHECK (end_byte >= start_byte),
    first_line    bigint,
    begins_at     bigint,
    ends_at       bigint,
    chunk_starts  bigint[],
    chunk_ends    bigint[],
    chunk_records bigint[],
    chunk_lines   bigint[],
    chunk_digests bytea[],
    lines         bigint,
    attempts      integer NOT NULL DEFAULT 0,
    retries       integer NOT NULL DEFAULT 0,
    retrying_since timestamptz,
    worker        text,
    last_error    text,
    job_id        text,
    PRIMARY KEY (import_id, segment)
);

COMMENT ON TABLE pgimport.import_segment IS 'One row for each part of an import by reference that a worker cuts into chunks. A record belongs to the segment in which it begins.';
COMMENT ON COLUMN pgimport.import_segment.import_id IS 'The import.';
COMMENT ON COLUMN pgimport.import_segment.segment IS 'Its number within the import, from 0, in the order of the source.';
COMMENT ON COLUMN pgimport.import_segment.state IS 'pending -> split (its chunks are known) -> stored (they are in import_chunk: once those of all segments before are).';
COMMENT ON COLUMN pgimport.import_segment.input IS 'The input it is part of.';
COMMENT ON COLUMN pgimport.import_segment.start_byte IS 'Where it begins in the input, wherever that is in a record; of the first segment of an input, where its first record may begin.';
COMMENT ON COLUMN pgimport.import_segment.end_byte IS 'Where the next one begins, or the input ends.';
COMMENT ON COLUMN pgimport.import_segment.first_line IS 'The line on which start_byte is, of the first segment of an input; null of the others.';
COMMENT ON COLUMN pgimport.import_segment.begins_at IS 'Where its first record begins: the first line behind start_byte; null before it is split.';
COMMENT ON COLUMN pgimport.import_segment.ends_at IS 'Where its last record ends: where the next segment has to begin.';
COMMENT ON COLUMN pgimport.import_segment.chunk_starts IS 'Where each of its chunks begins; null before it is split, and once they are stored.';
COMMENT ON COLUMN pgimport.import_segment.chunk_ends IS 'The byte after each.';
COMMENT ON COLUMN pgimport.import_segment.chunk_records IS 'The records of each.';
COMMENT ON COLUMN pgimport.import_segment.chunk_lines IS 'The line on which each begins, counted from 0 at the first record of the segment.';
COMMENT ON COLUMN pgimport.import_segment.chunk_digests IS 'BLAKE3 of the bytes of each.';
COMMENT ON COLUMN pgimport.import_segment.lines IS 'How many lines its records have together.';
COMMENT ON COLUMN pgimport.import_segment.attempts IS 'Starts without a recorded outcome; counted before the work.';
COMMENT ON COLUMN pgimport.import_segment.retries IS 'Errors in a row that pass by themselves; sets the pause.';
COMMENT ON COLUMN pgimport.import_segment.retrying_since IS 'When the current run of such errors began.';
COMMENT ON COLUMN pgimport.import_segment.worker IS 'The worker that began it last.';
COMMENT ON COLUMN pgimport.import_segment.last_error IS 'The last error, for people.';
COMMENT ON COLUMN pgimport.import_segment.job_id IS 'The queue''s job for it; a hint, checked and renewed by maintenance.';

CREATE INDEX import_segment_open ON pgimport.import_segment (import_id, segment) WHERE state <> 'stored';

CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON pgimport.import_segment
    FOR EACH ROW EXECUTE FUNCTION pgimport.guard_part();

-- Who may submit imports may add both, who may see imports sees how far they are split; who works reads them, and adds the chunks that it finds. They belong to whoever owns the rest, whoever
-- runs this.
DO $$
DECLARE
    grantee text;
    owner regrole := (SELECT c.relowner::regrole FROM pg_catalog.pg_class AS c WHERE c.oid = 'pgimport.import'::regclass);
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
        FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS a
        WHERE c.oid = 'pgimport.import_input'::regclass AND a.privilege_type = 'INSERT' AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT INSERT ON pgimport.import_reference, pgimport.import_segment TO %s', grantee);
    END LOOP;
    FOR grantee IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
        FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS a
        WHERE c.oid = 'pgimport.import_input'::regclass AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT SELECT ON pgimport.import_segment TO %s', grantee);
    END LOOP;
    FOR grantee IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
        FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS a
        WHERE c.oid = 'pgimport.import_registry'::regclass AND a.privilege_type = 'INSERT' AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT SELECT ON pgimport.import_reference TO %s', grantee);
        EXECUTE format('GRANT SELECT, UPDATE ON pgimport.import_segment TO %s', grantee);
        EXECUTE format('GRANT INSERT ON pgimport.import_chunk TO %s', grantee);
    END LOOP;
    IF owner::oid <> (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) THEN
        EXECUTE format('ALTER TABLE pgimport.import_reference OWNER TO %s', owner);
        EXECUTE format('ALTER TABLE pgimport.import_segment OWNER TO %s', owner);
    END IF;
END
$$;
