-- What people look at with tools of their own: views whose columns stay, and a channel to listen on. And who asked for what through the
-- page or its API.
SET LOCAL lock_timeout = '5s';

CREATE VIEW pgimport.load_history AS
SELECT i.id AS import_id,
    i.state,
    i.source,
    coalesce((SELECT count(*) FROM pgimport.import_input AS p WHERE p.import_id = i.id AND p.input > 0), 0) + 1 AS files,
    coalesce((SELECT format('%I.%I', n.nspname, t.relname) FROM pg_catalog.pg_class AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
              WHERE t.oid = i.target_oid), i.target) AS table_name,
    i.submitted_by::text AS submitted_by,
    i.created_at AS submitted_at,
    i.ended_at,
    coalesce(i.ended_at, clock_timestamp()) - i.created_at AS duration,
    i.size_bytes,
    s.chunks,
    s.records,
    s.loaded_rows,
    s.loaded_rows - s.updated_rows AS inserted_rows,
    s.updated_rows,
    s.unchanged_records,
    s.skipped_records,
    s.rejected_records,
    s.removed_rows,
    s.undone_rows - s.restored_rows AS deleted_rows,
    s.restored_rows,
    s.returned_rows,
    s.kept_rows,
    s.missing_rows,
    coalesce(i.cancel_error, i.error) AS error
FROM pgimport.import AS i
CROSS JOIN LATERAL (
    SELECT count(*) AS chunks,
        coalesce(sum(c.record_count), 0)::bigint AS records,
        coalesce(sum(c.loaded_count), 0)::bigint AS loaded_rows,
        coalesce(sum(c.rejected_count), 0)::bigint AS rejected_records,
        coalesce(sum(c.deleted_count), 0)::bigint AS undone_rows,
        coalesce(sum(c.kept_count) FILTER (WHERE NOT c.sweep), 0)::bigint AS kept_rows,
        coalesce(sum(c.missing_count), 0)::bigint AS missing_rows,
        coalesce(sum(o.updated_count), 0)::bigint AS updated_rows,
        coalesce(sum(o.unchanged_count), 0)::bigint AS unchanged_records,
        coalesce(sum(o.skipped_count), 0)::bigint AS skipped_records,
        coalesce(sum(o.restored_count), 0)::bigint AS restored_rows,
        coalesce(sum(o.removed_count), 0)::bigint AS removed_rows,
        coalesce(sum(o.returned_count), 0)::bigint AS returned_rows
    FROM pgimport.import_chunk AS c
    LEFT JOIN pgimport.import_conflict AS o ON o.import_id = c.import_id AND o.ordinal = c.ordinal
    WHERE c.import_id = i.id) AS s;

COMMENT ON VIEW pgimport.load_history IS 'One row for each import, with what came of it. Columns are added, never changed or removed.';
COMMENT ON COLUMN pgimport.load_history.import_id IS 'What enqueue prints; names the import in every command.';
COMMENT ON COLUMN pgimport.load_history.state IS 'splitting, loading, loaded, failed, cancelling, cancelled, or kept: undone in part.';
COMMENT ON COLUMN pgimport.load_history.source IS 'Where the bytes came from, for people: an absolute path, several of them, or ''standard input''.';
COMMENT ON COLUMN pgimport.load_history.files IS 'How many files that are, or one stream.';
COMMENT ON COLUMN pgimport.load_history.table_name IS 'The table as it is called now, quoted where SQL needs it; of one that is gone, as it was called.';
COMMENT ON COLUMN pgimport.load_history.submitted_by IS 'The role that submitted it. Null of imports of before.';
COMMENT ON COLUMN pgimport.load_history.submitted_at IS 'When.';
COMMENT ON COLUMN pgimport.load_history.ended_at IS 'When it reached loaded, failed, cancelled or kept; null before.';
COMMENT ON COLUMN pgimport.load_history.duration IS 'From the submission to the end, or to now.';
COMMENT ON COLUMN pgimport.load_history.size_bytes IS 'Bytes of the source as it lay there; null of a stream that is still read.';
COMMENT ON COLUMN pgimport.load_history.chunks IS 'Chunks stored so far.';
COMMENT ON COLUMN pgimport.load_history.records IS 'Records in them.';
COMMENT ON COLUMN pgimport.load_history.loaded_rows IS 'Rows put into the table: inserted_rows + updated_rows.';
COMMENT ON COLUMN pgimport.load_history.inserted_rows IS 'Rows that were inserted.';
COMMENT ON COLUMN pgimport.load_history.updated_rows IS 'Rows that were there and were updated.';
COMMENT ON COLUMN pgimport.load_history.unchanged_records IS 'Records of which the table had the row, with the same values.';
COMMENT ON COLUMN pgimport.load_history.skipped_records IS 'Records that gave way to a row, or another record, of their key.';
COMMENT ON COLUMN pgimport.load_history.rejected_records IS 'Records that could not be loaded; load_rejects has them.';
COMMENT ON COLUMN pgimport.load_history.removed_rows IS 'Rows of the table that were deleted, for the source did not have them.';
COMMENT ON COLUMN pgimport.load_history.deleted_rows IS 'Rows that its undo deleted.';
COMMENT ON COLUMN pgimport.load_history.restored_rows IS 'Rows that its undo gave their former values back.';
COMMENT ON COLUMN pgimport.load_history.returned_rows IS 'Of removed_rows, those that its undo put back.';
COMMENT ON COLUMN pgimport.load_history.kept_rows IS 'Rows that its undo left, for they are not as it had loaded them.';
COMMENT ON COLUMN pgimport.load_history.missing_rows IS 'Rows that its undo no longer found.';
COMMENT ON COLUMN pgimport.load_history.error IS 'Why it failed, was kept, or was cancelled by the system, for people; while it is cancelled, what keeps that from being done.';

CREATE VIEW pgimport.load_rejects AS
SELECT r.import_id,
    coalesce(p.name, i.source) AS file,
    r.record,
    r.line,
    r.start_byte,
    r.column_name,
    r.reason,
    r.sqlstate,
    r.constraint_name,
    r.raw
FROM pgimport.import_reject AS r
JOIN pgimport.import AS i ON i.id = r.import_id
LEFT JOIN pgimport.import_input AS p ON p.import_id = r.import_id AND p.input = r.input;

COMMENT ON VIEW pgimport.load_rejects IS 'One row for each record that could not be loaded. Columns are added, never changed or removed.';
COMMENT ON COLUMN pgimport.load_rejects.import_id IS 'The import.';
COMMENT ON COLUMN pgimport.load_rejects.file IS 'The file it stood in.';
COMMENT ON COLUMN pgimport.load_rejects.record IS 'Its number within the file, from 1, a header not counted. Null where a worker of before rejected it.';
COMMENT ON COLUMN pgimport.load_rejects.line IS 'The line on which it starts, from 1; null where the format has no lines.';
COMMENT ON COLUMN pgimport.load_rejects.start_byte IS 'Where it starts in the decompressed file; null where the format has no bytes of its own.';
COMMENT ON COLUMN pgimport.load_rejects.column_name IS 'The table''s column at fault; null when the record as a whole does not fit.';
COMMENT ON COLUMN pgimport.load_rejects.reason IS 'What is wrong with it.';
COMMENT ON COLUMN pgimport.load_rejects.sqlstate IS 'The server''s code, of a record that the server refused.';
COMMENT ON COLUMN pgimport.load_rejects.constraint_name IS 'The constraint that it breaks, where it is one.';
COMMENT ON COLUMN pgimport.load_rejects.raw IS 'The record''s bytes as they stood in the source, without the line end; not necessarily text.';

CREATE TABLE pgimport.audit (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    role      name NOT NULL DEFAULT session_user,
    who       text NOT NULL,
    address   text,
    action    text NOT NULL,
    import_id bigint,
    details   jsonb,
    refused   text
);

CREATE INDEX audit_import ON pgimport.audit (import_id, id);

COMMENT ON TABLE pgimport.audit IS 'What was asked for through the page or its API. Rows stay when their import is forgotten.';
COMMENT ON COLUMN pgimport.audit.id IS 'Orders the rows.';
COMMENT ON COLUMN pgimport.audit.at IS 'When.';
COMMENT ON COLUMN pgimport.audit.role IS 'Whose session did it, as the server knows it.';
COMMENT ON COLUMN pgimport.audit.who IS 'Whose token it was.';
COMMENT ON COLUMN pgimport.audit.address IS 'Where the request came from: the address of the other end, or what the reverse proxy says.';
COMMENT ON COLUMN pgimport.audit.action IS 'submit, cancel, keep, retry, verify or forget.';
COMMENT ON COLUMN pgimport.audit.import_id IS 'The import; null where there is none yet.';
COMMENT ON COLUMN pgimport.audit.details IS 'How it was asked for.';
COMMENT ON COLUMN pgimport.audit.refused IS 'Why it was not done, for people; null where it was.';

-- Who listens hears of each change of an import's state when it is committed, whichever program made it.
CREATE FUNCTION pgimport.tell_event() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        PERFORM pg_notify('pgimport', json_build_object('import_id', NEW.import_id, 'event', NEW.event, 'state', NEW.to_state)::text);
        RETURN NULL;
    END
    $$;

COMMENT ON FUNCTION pgimport.tell_event() IS 'Tells those who LISTEN pgimport: {"import_id": 7, "event": "all_loaded", "state": "loaded"}.';

CREATE TRIGGER tell_event AFTER INSERT ON pgimport.import_event FOR EACH ROW EXECUTE FUNCTION pgimport.tell_event();

-- Who may see an import may see its row of the history, and who may see its rejects may see those. The audit is for its owner, who grants it.
-- All belongs to whoever owns the rest, whoever runs this.
DO $$
DECLARE
    held record;
    owner regrole := (SELECT c.relowner::regrole FROM pg_catalog.pg_class AS c WHERE c.oid = 'pgimport.import'::regclass);
BEGIN
    FOR held IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee,
            CASE c.oid WHEN 'pgimport.import'::regclass THEN 'load_history' ELSE 'load_rejects' END AS name
        FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS a
        WHERE c.oid IN ('pgimport.import'::regclass, 'pgimport.import_reject'::regclass) AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT SELECT ON pgimport.%I TO %s', held.name, held.grantee);
    END LOOP;
    IF owner::oid <> (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) THEN
        EXECUTE format('ALTER VIEW pgimport.load_history OWNER TO %s', owner);
        EXECUTE format('ALTER VIEW pgimport.load_rejects OWNER TO %s', owner);
        EXECUTE format('ALTER TABLE pgimport.audit OWNER TO %s', owner);
        EXECUTE format('ALTER FUNCTION pgimport.tell_event() OWNER TO %s', owner);
    END IF;
END
$$;
