-- One versioned spec for an import, its events, where its records lie, and who may act for whom.
--
-- Expands only: programs of before go on beside it. What they alone need (import.options, columns and id_column;
-- import_registry.row_xids, voided_by and sequence_filenode) is removed by a later release.

-- Takes a moment, but waits for whoever reads or writes the tables, and everybody else behind it: rather give up, and be run again.
SET LOCAL lock_timeout = '5s';

-- The spec, who asked, and what it came to ------------------------------------------------------------------------

ALTER TABLE pgimport.import
    ADD COLUMN spec           jsonb,
    ADD COLUMN spec_version   integer,
    ADD COLUMN submitted_by   name,
    ADD COLUMN undo_version   integer,
    ADD COLUMN cancelled_by   name,
    ADD COLUMN fenced_at      timestamptz,
    ADD COLUMN cancel_retries integer NOT NULL DEFAULT 0,
    ADD COLUMN cancel_error   text,
    ADD COLUMN replacing      boolean NOT NULL DEFAULT false,
    ADD COLUMN chunk_count    bigint,
    ADD COLUMN record_count   bigint,
    ADD COLUMN totals         jsonb;

COMMENT ON COLUMN pgimport.import.spec IS 'How the source is read, mapped, loaded and told again: ImportSpec. Read by programs alone, never by SQL. Null in rows of before, of which options, columns and id_column say it.';
COMMENT ON COLUMN pgimport.import.spec_version IS 'Version of spec; who does not know it leaves the import to newer workers. Null means 1: options, columns and id_column.';
COMMENT ON COLUMN pgimport.import.submitted_by IS 'The role that submitted it, as the server knows it (session_user): its own rights decide what may be loaded. Null in rows of before.';
COMMENT ON COLUMN pgimport.import.undo_version IS 'Version of undo; who does not know it leaves the undo to newer workers. Null means 1.';
COMMENT ON COLUMN pgimport.import.cancelled_by IS 'The role that asked for the undo, as the server knows it: its own rights decide what may be deleted.';
COMMENT ON COLUMN pgimport.import.fenced_at IS 'When the undo closed what was not loaded: from here on nothing is added, and deletions may begin. Null before, and after a new request.';
COMMENT ON COLUMN pgimport.import.cancel_retries IS 'Times in a row that the cancel could not be run; sets the backoff.';
COMMENT ON COLUMN pgimport.import.cancel_error IS 'Why the cancel could not be run the last time, for people; null once it was.';
COMMENT ON COLUMN pgimport.import.replacing IS 'True when it took the place of the earlier loaded imports of its table.';
COMMENT ON COLUMN pgimport.import.chunk_count IS 'Chunks stored so far. Null in rows of before.';
COMMENT ON COLUMN pgimport.import.record_count IS 'Records in them. Null in rows of before.';
COMMENT ON COLUMN pgimport.import.totals IS 'What its chunks added up to when it ended, or when its undo was fenced. Read by programs alone, never by SQL.';
COMMENT ON COLUMN pgimport.import.options IS 'For programs of before: what they can know of spec.';
COMMENT ON COLUMN pgimport.import.columns IS 'For programs of before: the target''s column for each field of a record.';
COMMENT ON COLUMN pgimport.import.id_column IS 'For programs of before: the target''s column that holds the ids of the registry.';

-- Once, for the rows of before: which of them replaced their predecessors.
UPDATE pgimport.import AS i SET replacing = true
WHERE i.state = 'loaded' AND i.options -> 'replace' = 'true'
  AND EXISTS (SELECT FROM pgimport.import_chunk AS c WHERE c.import_id = i.id AND c.loaded_count > 0)
  AND (i.options -> 'replace_anyway' = 'true'
       OR NOT EXISTS (SELECT FROM pgimport.import_chunk AS c WHERE c.import_id = i.id AND c.rejected_count > 0));

-- Where records lie: input and record, and with some formats byte and line ---------------------------------------

ALTER TABLE pgimport.import_chunk
    ADD COLUMN input        integer NOT NULL DEFAULT 0,
    ADD COLUMN first_record bigint,
    ALTER COLUMN start_byte DROP NOT NULL,
    ALTER COLUMN end_byte DROP NOT NULL,
    ALTER COLUMN first_line DROP NOT NULL;

COMMENT ON COLUMN pgimport.import_chunk.input IS 'Which of the import''s inputs it comes from, from 0.';
COMMENT ON COLUMN pgimport.import_chunk.first_record IS 'Number of its first record within the input, from 1, a header not counted. Null in rows of before.';
COMMENT ON COLUMN pgimport.import_chunk.start_byte IS 'First byte in the decompressed input, header included; null where the format has no bytes of its own.';
COMMENT ON COLUMN pgimport.import_chunk.end_byte IS 'The byte after its last.';
COMMENT ON COLUMN pgimport.import_chunk.first_line IS 'Line of its first byte, from 1; null where the format has no lines.';

ALTER TABLE pgimport.import_reject
    ADD COLUMN input  integer NOT NULL DEFAULT 0,
    ADD COLUMN record bigint,
    DROP CONSTRAINT import_reject_pkey;
ALTER TABLE pgimport.import_reject
    ALTER COLUMN start_byte DROP NOT NULL,
    ALTER COLUMN line DROP NOT NULL,
    -- It has no primary key: where all tables are published, its rows could not be deleted.
    REPLICA IDENTITY FULL;

COMMENT ON COLUMN pgimport.import_reject.input IS 'Which of the import''s inputs it comes from, from 0.';
COMMENT ON COLUMN pgimport.import_reject.record IS 'Number of the record within the input, from 1, a header not counted. Null where a worker of before rejected it.';
COMMENT ON COLUMN pgimport.import_reject.start_byte IS 'Where the record starts in the decompressed input; null where the format has no bytes of its own.';
COMMENT ON COLUMN pgimport.import_reject.line IS 'Line on which the record starts, from 1; null where the format has no lines.';

-- Whose rows are: the transactions, in full ----------------------------------------------------------------------

ALTER TABLE pgimport.import_registry ADD COLUMN xids bigint[];

COMMENT ON COLUMN pgimport.import_registry.xids IS 'The 64-bit transaction ids that wrote the chunk''s rows: a row with another xmin is not as it was loaded, and nobody deletes it unasked. Null in rows of before, of which row_xids has the lower halves.';
COMMENT ON COLUMN pgimport.import_registry.row_xids IS 'For programs of before: the lower halves of xids.';
COMMENT ON COLUMN pgimport.import_registry.voided_by IS 'Written by programs of before alone, and no longer read: whose a row is, its transaction says.';
COMMENT ON COLUMN pgimport.import_registry.sequence_filenode IS 'Written by programs of before alone, and no longer read: whose a row is, its transaction says.';

-- What happened to an import, and who did it ---------------------------------------------------------------------

CREATE TABLE pgimport.import_event (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    import_id  bigint NOT NULL REFERENCES pgimport.import (id) ON DELETE CASCADE,
    event      text NOT NULL,
    from_state text,
    to_state   text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    role       name NOT NULL DEFAULT session_user,
    process    text NOT NULL DEFAULT current_setting('application_name'),
    note       text,
    totals     jsonb
);

COMMENT ON TABLE pgimport.import_event IS 'One row for each change of an import''s state, in their order.';
COMMENT ON COLUMN pgimport.import_event.id IS 'Orders the events.';
COMMENT ON COLUMN pgimport.import_event.import_id IS 'The import.';
COMMENT ON COLUMN pgimport.import_event.event IS 'What happened: submitted, source_ended, split_failed, all_loaded, some_failed, retry, cancel, all_deleted, keep.';
COMMENT ON COLUMN pgimport.import_event.from_state IS 'The state before; null for the submission.';
COMMENT ON COLUMN pgimport.import_event.to_state IS 'The state after.';
COMMENT ON COLUMN pgimport.import_event.at IS 'When.';
COMMENT ON COLUMN pgimport.import_event.role IS 'Whose session it was, as the server knows it.';
COMMENT ON COLUMN pgimport.import_event.process IS 'Which process: the application_name of its session.';
COMMENT ON COLUMN pgimport.import_event.note IS 'Why, for people; null where the event says it.';
COMMENT ON COLUMN pgimport.import_event.totals IS 'What the import''s chunks added up to then, where it ended. Read by programs alone, never by SQL.';

CREATE INDEX import_event_import ON pgimport.import_event (import_id, id);

-- Who may see an import may see its events, who may change it may add one.
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT DISTINCT a.grantee, a.privilege_type
        FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS a
        WHERE c.oid = 'pgimport.import'::regclass AND a.privilege_type IN ('SELECT', 'UPDATE') AND a.grantee <> c.relowner
        UNION
        SELECT DISTINCT a.grantee, a.privilege_type
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_attribute AS t ON t.attrelid = c.oid, pg_catalog.aclexplode(t.attacl) AS a
        WHERE c.oid = 'pgimport.import'::regclass AND t.attname = 'state' AND a.privilege_type IN ('SELECT', 'UPDATE')
          AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT %s ON pgimport.import_event TO %s',
            CASE held.privilege_type WHEN 'SELECT' THEN 'SELECT' ELSE 'INSERT' END,
            CASE held.grantee WHEN 0 THEN 'PUBLIC' ELSE held.grantee::regrole::text END);
    END LOOP;
END
$$;

-- Workers say what they can ---------------------------------------------------------------------------------------

ALTER TABLE pgimport.worker
    ADD COLUMN protocol integer NOT NULL DEFAULT 0,
    ADD COLUMN version  text NOT NULL DEFAULT '';

COMMENT ON COLUMN pgimport.worker.protocol IS 'What it can live with: see pgimport.oldest_protocol(). 0 for workers of before.';
COMMENT ON COLUMN pgimport.worker.version IS 'The version of its program, for people.';

CREATE FUNCTION pgimport.oldest_protocol() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 0';

COMMENT ON FUNCTION pgimport.oldest_protocol() IS 'The oldest protocol that can live with this schema. A migration that older programs cannot live with replaces this function, and is refused while such a worker is alive.';

CREATE FUNCTION pgimport.may_end_session_of(role oid) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT (pg_has_role(role, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE'))
           AND (current_setting('is_superuser')::boolean OR NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = role AND r.rolsuper))
    $$;

COMMENT ON FUNCTION pgimport.may_end_session_of(oid) IS 'Whether this session''s role may end sessions of that role: to try where it may not is an error.';

-- Who may act for whom -----------------------------------------------------------------------------------------------
--
-- Roles that submit write rows of the ledger themselves, but only those of their own imports; and what names the target of an import is
-- nobody's to change. Without that, who may submit could have the workers write to tables, and delete from them, with the workers'
-- rights. A worker is told by the right to write the registry, which submitters do not have. The functions run in the session of whoever
-- is to be held back: hence their own search_path, and session_user, which SET ROLE does not change.

CREATE FUNCTION pgimport.is_worker() RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT has_table_privilege(session_user, 'pgimport.import_registry', 'INSERT') $$;

COMMENT ON FUNCTION pgimport.is_worker() IS 'Whether this session''s role is a worker''s: it may write the registry.';

CREATE FUNCTION pgimport.may_act_for(submitter name, target oid) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT pgimport.is_worker()
            OR CASE WHEN submitter IS NULL THEN coalesce(has_table_privilege(session_user, target, 'INSERT'), false)
                    ELSE submitter = session_user
                      OR EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = submitter AND pg_has_role(session_user, r.oid, 'MEMBER'))
               END
    $$;

COMMENT ON FUNCTION pgimport.may_act_for(name, oid) IS 'Whether this session may write rows of an import of that submitter into that table: its role, a member of it, or a worker. Of rows of before, whose submitter nobody knows, whoever may insert into the table.';

CREATE FUNCTION pgimport.guard_id() RETURNS trigger
    -- The owner's rights for currval alone: who inserts needs none on the sequence.
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        IF NOT pgimport.is_worker()
           AND NEW.id IS DISTINCT FROM currval(pg_get_serial_sequence(format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME), 'id')) THEN
            RAISE EXCEPTION 'the ids of % are not chosen', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NEW;
    END
    $$;

COMMENT ON FUNCTION pgimport.guard_id() IS 'Keeps ids from being taken before others are given them.';

CREATE TRIGGER guard_id BEFORE INSERT ON pgimport.import FOR EACH ROW EXECUTE FUNCTION pgimport.guard_id();
CREATE TRIGGER guard_id BEFORE INSERT ON pgimport.import_event FOR EACH ROW EXECUTE FUNCTION pgimport.guard_id();

CREATE FUNCTION pgimport.guard_import() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        worker boolean := pgimport.is_worker();
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF NOT pgimport.may_act_for(OLD.submitted_by, OLD.target_oid) THEN
                RAISE EXCEPTION 'import % was submitted by the role %', OLD.id, OLD.submitted_by
                    USING ERRCODE = 'insufficient_privilege', HINT = 'Only that role, its members and workers may forget it.';
            END IF;
            RETURN OLD;
        END IF;

        IF TG_OP = 'INSERT' THEN
            NEW.submitted_by := session_user;
            NEW.cancelled_by := NULL;
            IF EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                       WHERE c.oid = NEW.target_oid AND n.nspname IN ('pgimport', 'apalis')) THEN
                RAISE EXCEPTION 'pg_import does not load its own tables' USING ERRCODE = 'insufficient_privilege';
            END IF;
            IF worker THEN
                RETURN NEW;
            END IF;
            IF NOT coalesce(has_table_privilege(session_user, NEW.target_oid, 'INSERT')
                   AND has_schema_privilege(session_user, (SELECT relnamespace FROM pg_class WHERE oid = NEW.target_oid), 'USAGE'), false) THEN
                RAISE EXCEPTION 'the role % may not insert into %', session_user, NEW.target USING ERRCODE = 'insufficient_privilege';
            END IF;
            IF NEW.state <> 'splitting' THEN
                RAISE EXCEPTION 'an import begins as splitting' USING ERRCODE = 'insufficient_privilege';
            END IF;
            NEW.created_at := now();
            NEW.undo := NULL;
            NEW.undo_version := NULL;
            NEW.fenced_at := NULL;
            NEW.cancel_retries := 0;
            NEW.replacing := false;
            NEW.totals := NULL;
            NEW.split_at := NULL;
            NEW.ended_at := NULL;
            RETURN NEW;
        END IF;

        IF (NEW.id, NEW.source, NEW.resumable, NEW.target, NEW.target_oid, NEW.id_column, NEW.columns, NEW.options,
            NEW.spec, NEW.spec_version, NEW.submitted_by, NEW.created_at)
           IS DISTINCT FROM
           (OLD.id, OLD.source, OLD.resumable, OLD.target, OLD.target_oid, OLD.id_column, OLD.columns, OLD.options,
            OLD.spec, OLD.spec_version, OLD.submitted_by, OLD.created_at) THEN
            RAISE EXCEPTION 'what import % is, and where it goes, cannot be changed after its submission', OLD.id
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        -- A new undo has a fence of its own, and does not end before it: a worker of before, which knows none, finds nothing to end.
        IF NEW.state = 'cancelling' AND OLD.state <> 'cancelling' THEN
            NEW.fenced_at := NULL;
        ELSIF OLD.state = 'cancelling' AND NEW.state <> 'cancelling' AND NEW.fenced_at IS NULL THEN
            RETURN NULL;
        END IF;
        -- Such a worker would leave the totals of an earlier end: none are better. Who knows totals writes them after the state.
        IF NEW.state <> OLD.state AND NEW.state IN ('loaded', 'failed', 'cancelled', 'kept') THEN
            NEW.totals := NULL;
        END IF;
        IF worker THEN
            -- What it asks for itself is its own; a replacement is asked for by the import that replaces, and the worker says whose that is.
            IF NEW.state = 'cancelling' AND OLD.state <> 'cancelling' AND NEW.cancelled_by IS NOT DISTINCT FROM OLD.cancelled_by THEN
                NEW.cancelled_by := session_user;
            END IF;
            RETURN NEW;
        END IF;

        IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
               ('splitting', 'loading'), ('splitting', 'failed'), ('loading', 'loaded'), ('loading', 'failed'), ('failed', 'loading'),
               ('splitting', 'cancelling'), ('loading', 'cancelling'), ('loaded', 'cancelling'), ('failed', 'cancelling'),
               ('kept', 'cancelling'), ('cancelling', 'kept'), ('cancelling', 'cancelled')) THEN
            RAISE EXCEPTION 'import % is %: it cannot become %', OLD.id, OLD.state, NEW.state USING ERRCODE = 'insufficient_privilege';
        END IF;
        IF NEW.key IS DISTINCT FROM OLD.key AND NEW.key IS NOT NULL
           OR NEW.replacing AND NOT OLD.replacing AND NOT coalesce(has_table_privilege(session_user, OLD.target_oid, 'DELETE'), false) THEN
            RAISE EXCEPTION 'import % cannot be given a key, or take the place of others, by the role %', OLD.id, session_user
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        -- Who may delete from the table may also have an import's rows deleted, and nothing else.
        IF NOT pgimport.may_act_for(OLD.submitted_by, OLD.target_oid)
           AND (NOT coalesce(has_table_privilege(session_user, OLD.target_oid, 'DELETE'), false)
                OR NEW.state <> 'cancelling'
                OR NEW.fenced_at IS DISTINCT FROM OLD.fenced_at AND NEW.fenced_at IS NOT NULL
                OR (NEW.key, NEW.fingerprint, NEW.size_bytes, NEW.submitter, NEW.lease_until, NEW.split_at,
                    NEW.replacing, NEW.chunk_count, NEW.record_count, NEW.totals)
                   IS DISTINCT FROM
                   (OLD.key, OLD.fingerprint, OLD.size_bytes, OLD.submitter, OLD.lease_until, OLD.split_at,
                    OLD.replacing, OLD.chunk_count, OLD.record_count, OLD.totals)) THEN
            RAISE EXCEPTION 'import % was submitted by the role %', OLD.id, OLD.submitted_by
                USING ERRCODE = 'insufficient_privilege',
                      HINT = 'Only that role, its members and workers may change it; who may DELETE from its table may cancel it.';
        END IF;
        -- Whoever asked for the undo as it is now.
        NEW.cancelled_by := CASE
            WHEN NEW.state = 'cancelling' AND OLD.state <> 'cancelling' OR NEW.undo IS DISTINCT FROM OLD.undo THEN session_user
            ELSE OLD.cancelled_by END;
        RETURN NEW;
    END
    $$;

COMMENT ON FUNCTION pgimport.guard_import() IS 'Records who submits and who cancels, and keeps what an import is from being changed, and others from changing how it stands.';

CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON pgimport.import
    FOR EACH ROW EXECUTE FUNCTION pgimport.guard_import();

CREATE FUNCTION pgimport.guard_part() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        import record;
        of_import bigint := CASE WHEN TG_OP = 'DELETE' THEN OLD.import_id ELSE NEW.import_id END;
    BEGIN
        -- Workers first: theirs are nearly all the changes, and no table has to be read for them.
        IF NOT pgimport.is_worker() THEN
            -- Locked: the foreign key is checked at the statement's end, and until then the id could become another's.
            SELECT i.submitted_by, i.target_oid INTO import FROM pgimport.import AS i WHERE i.id = of_import FOR KEY SHARE;
            IF NOT FOUND AND TG_OP = 'DELETE' THEN
                -- The import itself is being forgotten.
                RETURN OLD;
            ELSIF NOT FOUND THEN
                RAISE EXCEPTION 'there is no import %', of_import USING ERRCODE = 'foreign_key_violation';
            ELSIF NOT pgimport.may_act_for(import.submitted_by, import.target_oid)
                  OR TG_OP = 'UPDATE' AND NEW.import_id IS DISTINCT FROM OLD.import_id THEN
                RAISE EXCEPTION 'import % was submitted by the role %', of_import, import.submitted_by
                    USING ERRCODE = 'insufficient_privilege', HINT = 'Only that role, its members and workers may change its chunks.';
            END IF;
        END IF;
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        RETURN NEW;
    END
    $$;

COMMENT ON FUNCTION pgimport.guard_part() IS 'Keeps those who may not act for an import''s submitter from writing its chunks and payloads.';

CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON pgimport.import_chunk
    FOR EACH ROW EXECUTE FUNCTION pgimport.guard_part();
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON pgimport.import_payload
    FOR EACH ROW EXECUTE FUNCTION pgimport.guard_part();

CREATE FUNCTION pgimport.guard_event() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        import record;
    BEGIN
        NEW.role := session_user;
        NEW.at := clock_timestamp();
        NEW.process := current_setting('application_name');
        IF NOT pgimport.is_worker() THEN
            SELECT i.submitted_by, i.target_oid, i.state INTO import FROM pgimport.import AS i WHERE i.id = NEW.import_id FOR KEY SHARE;
            IF NOT FOUND OR NEW.to_state <> import.state
               OR NOT (pgimport.may_act_for(import.submitted_by, import.target_oid)
                       OR NEW.event = 'cancel' AND coalesce(has_table_privilege(session_user, import.target_oid, 'DELETE'), false)) THEN
                RAISE EXCEPTION 'the role % may not write this event of import %', session_user, NEW.import_id
                    USING ERRCODE = 'insufficient_privilege';
            END IF;
        END IF;
        RETURN NEW;
    END
    $$;

COMMENT ON FUNCTION pgimport.guard_event() IS 'Says who it was and when, and keeps events from being written that others would have to answer for.';

CREATE TRIGGER guard BEFORE INSERT ON pgimport.import_event FOR EACH ROW EXECUTE FUNCTION pgimport.guard_event();

-- What is new belongs to whoever owns the rest, whoever runs this.
DO $$
DECLARE
    owner regrole := (SELECT c.relowner::regrole FROM pg_catalog.pg_class AS c WHERE c.oid = 'pgimport.import'::regclass);
    made regprocedure;
BEGIN
    IF owner::oid <> (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) THEN
        EXECUTE format('ALTER TABLE pgimport.import_event OWNER TO %s', owner);
        FOR made IN SELECT p.oid FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'pgimport'::regnamespace LOOP
            EXECUTE format('ALTER FUNCTION %s OWNER TO %s', made, owner);
        END LOOP;
    END IF;
END
$$;
