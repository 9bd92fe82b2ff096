-- Where the rows of an import are that finds them by the transactions that wrote them, and not by ids: the pages on which these put them.
-- Programs of before leave such imports alone, by the version of their spec.
SET LOCAL lock_timeout = '5s';

CREATE TABLE pgimport.import_pages (
    import_id  bigint NOT NULL,
    ordinal    integer NOT NULL,
    leaf_oid   oid NOT NULL,
    start_page bigint NOT NULL CHECK (start_page >= 0),
    end_page   bigint NOT NULL CHECK (end_page >= start_page),
    filenode   oid NOT NULL,
    row_count  bigint NOT NULL CHECK (row_count > 0),
    xids       bigint[] NOT NULL CHECK (cardinality(xids) > 0),
    PRIMARY KEY (import_id, ordinal, leaf_oid, start_page),
    FOREIGN KEY (import_id, ordinal) REFERENCES pgimport.import_chunk (import_id, ordinal) ON DELETE CASCADE
);

COMMENT ON TABLE pgimport.import_pages IS 'Runs of pages on which a chunk put rows, where the import finds them by transaction.';
COMMENT ON COLUMN pgimport.import_pages.import_id IS 'The import.';
COMMENT ON COLUMN pgimport.import_pages.ordinal IS 'The chunk.';
COMMENT ON COLUMN pgimport.import_pages.leaf_oid IS 'The table that holds the rows: the target, or a partition of it.';
COMMENT ON COLUMN pgimport.import_pages.start_page IS 'The first page, from 0.';
COMMENT ON COLUMN pgimport.import_pages.end_page IS 'The last page.';
COMMENT ON COLUMN pgimport.import_pages.filenode IS 'The file that held the table then. With another one, rows may be on any page.';
COMMENT ON COLUMN pgimport.import_pages.row_count IS 'How many rows the chunk put there.';
COMMENT ON COLUMN pgimport.import_pages.xids IS 'The 64-bit ids of the transactions that wrote them; a row with another xmin was edited since, or is somebody else''s.';

-- Whose a row is, where an undo is to delete edited ones.
CREATE INDEX import_pages_leaf ON pgimport.import_pages (leaf_oid);

-- Who may do something with the registry may do it with this. It belongs to whoever owns the rest, whoever runs this.
DO $$
DECLARE
    held record;
    owner regrole := (SELECT c.relowner::regrole FROM pg_catalog.pg_class AS c WHERE c.oid = 'pgimport.import'::regclass);
BEGIN
    FOR held IN
        SELECT DISTINCT a.grantee, a.privilege_type
        FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS a
        WHERE c.oid = 'pgimport.import_registry'::regclass AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
          AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT %s ON pgimport.import_pages TO %s', held.privilege_type,
            CASE held.grantee WHEN 0 THEN 'PUBLIC' ELSE held.grantee::regrole::text END);
    END LOOP;
    IF owner::oid <> (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) THEN
        EXECUTE format('ALTER TABLE pgimport.import_pages OWNER TO %s', owner);
    END IF;
END
$$;
