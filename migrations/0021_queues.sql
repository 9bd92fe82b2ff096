-- Named queues: an import waits in one, and each worker serves one or several. What a program of before submits, and what a worker of before
-- serves, is the queue 'default', whose jobs have the name that they always had.
SET LOCAL lock_timeout = '5s';

ALTER TABLE pgimport.import
    ADD COLUMN queue text NOT NULL DEFAULT 'default' CHECK (queue ~ '^[A-Za-z0-9._-]{1,63}$');
ALTER TABLE pgimport.worker
    ADD COLUMN queues text[] NOT NULL DEFAULT '{default}';

COMMENT ON COLUMN pgimport.import.queue IS 'The queue that all its jobs are in; as it was submitted.';
COMMENT ON COLUMN pgimport.worker.queues IS 'The queues whose jobs it takes.';

-- As queue::job_type has it. It is parsed here, once and for all, and can be inlined: maintenance asks for each chunk that waits.
CREATE FUNCTION pgimport.job_type(of_queue text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN of_queue = 'default' THEN 'pg_import' ELSE 'pg_import/' || of_queue END;

COMMENT ON FUNCTION pgimport.job_type(text) IS 'What the jobs of a queue are called in apalis.jobs.';

-- With the owner's rights, for submitters read no jobs.
CREATE FUNCTION pgimport.current_turn(of_queue text) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        -- Of the first load in line that is due. -2147483648 have those that only newer workers can do.
        SELECT coalesce(
            (SELECT 1 - j.priority::bigint FROM apalis.jobs AS j
             WHERE j.job_type = pgimport.job_type(of_queue) AND (j.status = 'Pending' OR j.status = 'Failed' AND j.attempts < j.max_attempts)
               AND j.priority <= 1 AND j.priority > -2147483648 AND j.run_at < now()
             ORDER BY j.priority DESC, j.run_at LIMIT 1),
            -- Beyond that all are the same.
            (SELECT least(max(i.turn), 2147483647) FROM pgimport.import AS i WHERE i.state IN ('splitting', 'loading') AND i.queue = of_queue),
            0)
    $$;

COMMENT ON FUNCTION pgimport.current_turn(text) IS 'Where the line of loads of a queue is: a chunk that takes this turn is loaded next.';

REVOKE EXECUTE ON FUNCTION pgimport.current_turn(text) FROM PUBLIC;

-- For programs of before, which know one queue.
CREATE OR REPLACE FUNCTION pgimport.current_turn() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT pgimport.current_turn('default') $$;

COMMENT ON FUNCTION pgimport.current_turn() IS 'The same of the queue ''default''.';

CREATE OR REPLACE FUNCTION pgimport.guard_share() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            NEW.turn := 0;
        ELSIF (NEW.stride, NEW.max_parallel, NEW.queue) IS DISTINCT FROM (OLD.stride, OLD.max_parallel, OLD.queue)
              OR NEW.turn > greatest(OLD.turn, pgimport.current_turn(NEW.queue)) + 1000000 AND NOT pgimport.is_worker() THEN
            RAISE EXCEPTION 'the share of import % cannot be changed after its submission', OLD.id USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NEW;
    END
    $$;

COMMENT ON FUNCTION pgimport.guard_share() IS 'Keeps the line of loads from being moved by more than chunks are stored, and shares and queues as they were asked for.';

DROP TRIGGER guard_share ON pgimport.import;
CREATE TRIGGER guard_share BEFORE INSERT OR UPDATE OF turn, stride, max_parallel, queue ON pgimport.import
    FOR EACH ROW EXECUTE FUNCTION pgimport.guard_share();

CREATE FUNCTION pgimport.guard_queue() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        IF EXISTS (SELECT FROM pgimport.import AS i JOIN pgimport.worker AS w ON w.name = NEW.worker
                   WHERE i.id = NEW.import_id AND i.queue <> ALL (w.queues)) THEN
            RETURN NULL;
        END IF;
        RETURN NEW;
    END
    $$;

COMMENT ON FUNCTION pgimport.guard_queue() IS 'Keeps a worker from beginning a chunk of a queue that it does not serve, as one of before would whose maintenance, or whose submitter, added a job for it.';

-- Such a worker finds nothing to do, and its job is done.
CREATE TRIGGER guard_queue BEFORE UPDATE OF attempts ON pgimport.import_chunk
    FOR EACH ROW WHEN (NEW.attempts > OLD.attempts) EXECUTE FUNCTION pgimport.guard_queue();

-- Who may take turns may ask for them. All belongs to whoever owns the rest, whoever runs this.
DO $$
DECLARE
    held record;
    owner regrole := (SELECT c.relowner::regrole FROM pg_catalog.pg_class AS c WHERE c.oid = 'pgimport.import'::regclass);
BEGIN
    FOR held IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
        FROM pg_catalog.pg_class AS c CROSS JOIN pg_catalog.aclexplode(c.relacl) AS a
        WHERE c.oid = 'pgimport.import'::regclass AND a.privilege_type = 'UPDATE' AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION pgimport.current_turn(text) TO %s', held.grantee);
    END LOOP;
    IF owner::oid <> (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) THEN
        EXECUTE format('ALTER FUNCTION pgimport.job_type(text) OWNER TO %s', owner);
        EXECUTE format('ALTER FUNCTION pgimport.current_turn(text) OWNER TO %s', owner);
        EXECUTE format('ALTER FUNCTION pgimport.guard_queue() OWNER TO %s', owner);
    END IF;
END
$$;
