-- An import may delete the rows of its target that its source does not have, when all else is loaded: a chunk without records does it, the
-- last one. What it deletes is kept in import_before, whole, and comes back when the import is undone.
-- Programs of before leave such imports alone, by the version of their spec.
SET LOCAL lock_timeout = '5s';

ALTER TABLE pgimport.import_chunk
    ADD COLUMN sweep boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT import_chunk_record_count_check,
    ADD CONSTRAINT import_chunk_record_count_check CHECK (CASE WHEN sweep THEN record_count = 0 ELSE record_count > 0 END);

COMMENT ON COLUMN pgimport.import_chunk.sweep IS 'Whether it has no records, but deletes rows of the target that the source does not have.';

ALTER TABLE pgimport.import_conflict
    ADD COLUMN removed_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN removed_xid bigint,
    ADD COLUMN returned_count bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN pgimport.import_conflict.removed_count IS 'Rows that it deleted, for the source did not have them.';
COMMENT ON COLUMN pgimport.import_conflict.removed_xid IS 'The transaction that deleted them, in full.';
COMMENT ON COLUMN pgimport.import_conflict.returned_count IS 'Of these, rows that its undo put back.';

COMMENT ON TABLE pgimport.import_before IS 'Rows as they were before a chunk overwrote or deleted them, so that an undo can restore them. Values are as the server writes them.';
COMMENT ON COLUMN pgimport.import_before.ordinal IS 'The chunk that overwrote or deleted the row.';
COMMENT ON COLUMN pgimport.import_before.existed IS 'Whether there was such a row before the import: one that a chunk before this one of the same import had put there was not, nor one of an import that was undone since.';
COMMENT ON COLUMN pgimport.import_before.image IS 'What it had in the columns that the import updates, in the spec''s order; of one that was deleted, in all.';

CREATE TABLE pgimport.import_seen (
    import_id  bigint NOT NULL,
    ordinal    integer NOT NULL,
    keys       text[] NOT NULL,
    FOREIGN KEY (import_id, ordinal) REFERENCES pgimport.import_chunk (import_id, ordinal) ON DELETE CASCADE
);

CREATE INDEX import_seen_chunk ON pgimport.import_seen (import_id, ordinal);

COMMENT ON TABLE pgimport.import_seen IS 'The keys of the rows that a chunk put into the target or found there, until the rows are deleted that the source does not have.';
COMMENT ON COLUMN pgimport.import_seen.import_id IS 'The import.';
COMMENT ON COLUMN pgimport.import_seen.ordinal IS 'The chunk.';
COMMENT ON COLUMN pgimport.import_seen.keys IS 'Each as the text of an array of what the row has in the columns of the key.';

-- For those who write rows that were overwritten, and for nobody else: keys come from tables that others may not read.
DO $$
DECLARE
    grantee text;
    owner regrole := (SELECT c.relowner::regrole FROM pg_catalog.pg_class AS c WHERE c.oid = 'pgimport.import'::regclass);
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
        FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS a
        WHERE c.oid = 'pgimport.import_before'::regclass AND a.privilege_type = 'INSERT' AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON pgimport.import_seen TO %s', grantee);
        EXECUTE format('GRANT UPDATE ON pgimport.import_before TO %s', grantee);
    END LOOP;
    IF owner::oid <> (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) THEN
        EXECUTE format('ALTER TABLE pgimport.import_seen OWNER TO %s', owner);
    END IF;
END
$$;
