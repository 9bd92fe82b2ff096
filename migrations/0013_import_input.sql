-- The inputs of an import of several files. An import of one has none here: its own row says everything.
SET LOCAL lock_timeout = '5s';

CREATE TABLE pgimport.import_input (
    import_id   bigint NOT NULL REFERENCES pgimport.import ON DELETE CASCADE,
    input       integer NOT NULL CHECK (input >= 0),
    name        text NOT NULL,
    key         text,
    fingerprint text NOT NULL,
    size_bytes  bigint NOT NULL CHECK (size_bytes >= 0),
    PRIMARY KEY (import_id, input)
);

COMMENT ON TABLE pgimport.import_input IS 'One row for each input of an import that has several, in the order in which they are read.';
COMMENT ON COLUMN pgimport.import_input.import_id IS 'The import.';
COMMENT ON COLUMN pgimport.import_input.input IS 'Its number, from 0: that of import_chunk.input and import_reject.input.';
COMMENT ON COLUMN pgimport.import_input.name IS 'The file: an absolute path.';
COMMENT ON COLUMN pgimport.import_input.key IS 'The key that an import of this input alone would have: who submits it again finds this import. Null where the input has no records, and where the import was not to be found by its content.';
COMMENT ON COLUMN pgimport.import_input.fingerprint IS 'BLAKE3 of its bytes as they are, compressed or not; hexadecimal.';
COMMENT ON COLUMN pgimport.import_input.size_bytes IS 'How many bytes those are.';

CREATE INDEX import_input_key ON pgimport.import_input (key);

CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON pgimport.import_input
    FOR EACH ROW EXECUTE FUNCTION pgimport.guard_part();

-- Programs of before know no imports of several files, and look at import.key alone. Newer ones look under this lock before they insert, and
-- say so; for the others it is done here.
CREATE FUNCTION pgimport.guard_key() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        holder bigint;
    BEGIN
        IF current_setting('pgimport.keys_locked', true) IS DISTINCT FROM 'on' THEN
            PERFORM pg_advisory_xact_lock_shared((107::bigint << 56) | NEW.target_oid::bigint);
            -- A statement of its own: it sees what the lock was waited for.
            SELECT p.import_id INTO holder
            FROM pgimport.import_input AS p JOIN pgimport.import AS i ON i.id = p.import_id
            WHERE p.key = NEW.key AND i.state <> 'cancelled' AND i.key IS NOT NULL
            LIMIT 1;
            IF FOUND THEN
                RAISE EXCEPTION 'a file with this content is one of import %, which has several', holder
                    USING ERRCODE = 'unique_violation', HINT = 'This program is older than imports of several files: use a newer one.';
            END IF;
        END IF;
        RETURN NEW;
    END
    $$;

COMMENT ON FUNCTION pgimport.guard_key() IS 'Keeps programs that know no imports of several files from loading one of those files again.';

CREATE TRIGGER guard_key BEFORE INSERT ON pgimport.import
    FOR EACH ROW WHEN (NEW.key IS NOT NULL) EXECUTE FUNCTION pgimport.guard_key();

-- Who may see an import may see its inputs, who may submit imports may add some. It belongs to whoever owns the rest, whoever
-- runs this.
DO $$
DECLARE
    held record;
    owner regrole := (SELECT c.relowner::regrole FROM pg_catalog.pg_class AS c WHERE c.oid = 'pgimport.import'::regclass);
BEGIN
    FOR held IN
        SELECT DISTINCT a.grantee, a.privilege_type
        FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS a
        WHERE c.oid = 'pgimport.import'::regclass AND a.privilege_type IN ('SELECT', 'INSERT') AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT %s ON pgimport.import_input TO %s', held.privilege_type,
            CASE held.grantee WHEN 0 THEN 'PUBLIC' ELSE held.grantee::regrole::text END);
    END LOOP;
    IF owner::oid <> (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) THEN
        EXECUTE format('ALTER TABLE pgimport.import_input OWNER TO %s', owner);
        EXECUTE format('ALTER FUNCTION pgimport.guard_key() OWNER TO %s', owner);
    END IF;
END
$$;
