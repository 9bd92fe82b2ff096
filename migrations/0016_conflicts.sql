-- What an import does with a row that the table has already: how its chunks came out, and the rows as they were before it overwrote them.
-- Programs of before leave such imports alone, by the version of their spec.
SET LOCAL lock_timeout = '5s';

ALTER TABLE pgimport.import ADD COLUMN ordered boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN pgimport.import.ordered IS 'Whether its chunks are loaded one after the other, in the source''s order: of several records with the same key the last one counts.';

CREATE TABLE pgimport.import_conflict (
    import_id        bigint NOT NULL,
    ordinal          integer NOT NULL,
    updated_count    bigint NOT NULL,
    unchanged_count  bigint NOT NULL,
    skipped_count    bigint NOT NULL,
    superseded_count bigint NOT NULL DEFAULT 0,
    restored_count   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (import_id, ordinal),
    FOREIGN KEY (import_id, ordinal) REFERENCES pgimport.import_chunk (import_id, ordinal) ON DELETE CASCADE
);

COMMENT ON TABLE pgimport.import_conflict IS 'What came of a loaded chunk''s records whose key the table, or another record, had already. Only of imports that allow for it.';
COMMENT ON COLUMN pgimport.import_conflict.import_id IS 'The import.';
COMMENT ON COLUMN pgimport.import_conflict.ordinal IS 'The chunk.';
COMMENT ON COLUMN pgimport.import_conflict.updated_count IS 'Rows of others that it overwrote; they are among the chunk''s loaded_count.';
COMMENT ON COLUMN pgimport.import_conflict.unchanged_count IS 'Records of which the table had the row, with the same values: nothing was written.';
COMMENT ON COLUMN pgimport.import_conflict.skipped_count IS 'Records that gave way to the row of their key, or to another record of the file with the same key.';
COMMENT ON COLUMN pgimport.import_conflict.superseded_count IS 'Of these, rows that it had written and a later chunk of the same import overwrote.';
COMMENT ON COLUMN pgimport.import_conflict.restored_count IS 'Rows that its undo gave their former values back; they are among the chunk''s deleted_count.';

CREATE TABLE pgimport.import_before (
    import_id  bigint NOT NULL,
    ordinal    integer NOT NULL,
    key_hash   bigint NOT NULL,
    key        text[] NOT NULL,
    existed    boolean NOT NULL,
    image      text[] CHECK ((image IS NOT NULL) = existed),
    row_xmin   bigint NOT NULL,
    supersedes integer,
    FOREIGN KEY (import_id, ordinal) REFERENCES pgimport.import_chunk (import_id, ordinal) ON DELETE CASCADE
);

-- A key may be too long for an index, its hash is not.
CREATE INDEX import_before_key ON pgimport.import_before (import_id, ordinal, key_hash);

COMMENT ON TABLE pgimport.import_before IS 'Rows as they were before a chunk overwrote them, so that an undo can restore them. Values are as the server writes them.';
COMMENT ON COLUMN pgimport.import_before.import_id IS 'The import.';
COMMENT ON COLUMN pgimport.import_before.ordinal IS 'The chunk that overwrote the row.';
COMMENT ON COLUMN pgimport.import_before.key_hash IS 'Finds the key.';
COMMENT ON COLUMN pgimport.import_before.key IS 'What the row has in the columns of the key, in the spec''s order.';
COMMENT ON COLUMN pgimport.import_before.existed IS 'Whether there was such a row before the import: one that a chunk before this one of the same import had put there was not.';
COMMENT ON COLUMN pgimport.import_before.image IS 'What it had in the columns that the import updates, in the spec''s order.';
COMMENT ON COLUMN pgimport.import_before.row_xmin IS 'Which transaction had written it before the import: the lower half of its id.';
COMMENT ON COLUMN pgimport.import_before.supersedes IS 'The chunk of the same import that had written it, if one had; the image is what that one had found.';

-- A row that is restored is written anew: of another import that had put it there, it is on other pages then, and another transaction's.
-- What the import has already may begin on the same page.
ALTER TABLE pgimport.import_pages
    ADD COLUMN adopted boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT import_pages_pkey;
CREATE INDEX import_pages_chunk ON pgimport.import_pages (import_id, ordinal);

COMMENT ON COLUMN pgimport.import_pages.adopted IS 'Whether another import''s undo gave these rows back; the chunk''s other runs count them too.';

-- Who may look at chunks may look at what came of them, and who may write the registry may write these too. What rows hold is for those
-- alone who write it, for it comes from tables that others may not read; what a cancel would do can be told without it. All belongs to
-- whoever owns the rest, whoever runs this.
DO $$
DECLARE
    held record;
    grantee text;
    owner regrole := (SELECT c.relowner::regrole FROM pg_catalog.pg_class AS c WHERE c.oid = 'pgimport.import'::regclass);
BEGIN
    FOR held IN
        SELECT a.grantee, bool_or(c.oid = 'pgimport.import_registry'::regclass AND a.privilege_type = 'INSERT') AS writes,
            bool_or(c.oid = 'pgimport.import_registry'::regclass) AS reads_registry
        FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS a
        WHERE c.oid IN ('pgimport.import_chunk'::regclass, 'pgimport.import_registry'::regclass) AND a.privilege_type IN ('SELECT', 'INSERT')
          AND a.grantee <> c.relowner
        GROUP BY a.grantee
    LOOP
        grantee := CASE held.grantee WHEN 0 THEN 'PUBLIC' ELSE held.grantee::regrole::text END;
        EXECUTE format('GRANT SELECT ON pgimport.import_conflict TO %s', grantee);
        IF held.writes THEN
            EXECUTE format('GRANT INSERT, UPDATE ON pgimport.import_conflict TO %s', grantee);
            EXECUTE format('GRANT SELECT, INSERT, DELETE ON pgimport.import_before TO %s', grantee);
        ELSIF held.reads_registry THEN
            EXECUTE format('GRANT SELECT (import_id, ordinal, key_hash, existed) ON pgimport.import_before TO %s', grantee);
        END IF;
    END LOOP;
    IF owner::oid <> (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) THEN
        EXECUTE format('ALTER TABLE pgimport.import_conflict OWNER TO %s', owner);
        EXECUTE format('ALTER TABLE pgimport.import_before OWNER TO %s', owner);
    END IF;
END
$$;
