-- Imports that are loaded at the same time have fair shares of the workers: chunks stand in line by turns, and an import takes its turns from
-- where the line is when its chunks are stored. How many of its chunks are loaded at once may be limited.
SET LOCAL lock_timeout = '5s';

ALTER TABLE pgimport.import
    ADD COLUMN turn         bigint NOT NULL DEFAULT 0,
    ADD COLUMN stride       integer NOT NULL DEFAULT 4 CHECK (stride BETWEEN 1 AND 16),
    ADD COLUMN max_parallel integer CHECK (max_parallel > 0);

COMMENT ON COLUMN pgimport.import.turn IS 'The first turn that its next chunk may have. The queue''s priority of a load is 1 - turn.';
COMMENT ON COLUMN pgimport.import.stride IS 'How many turns a chunk takes: 1 of an import of high priority, 4 of normal, 16 of low.';
COMMENT ON COLUMN pgimport.import.max_parallel IS 'Chunks that are in the queue or loaded at once, at most; null without a limit.';

-- With the owner's rights, for submitters read no jobs.
CREATE FUNCTION pgimport.current_turn() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        -- Of the first load in line that is due. -2147483648 have those that only newer workers can do.
        SELECT coalesce(
            (SELECT 1 - j.priority::bigint FROM apalis.jobs AS j
             WHERE j.job_type = 'pg_import' AND (j.status = 'Pending' OR j.status = 'Failed' AND j.attempts < j.max_attempts)
               AND j.priority <= 1 AND j.priority > -2147483648 AND j.run_at < now()
             ORDER BY j.priority DESC, j.run_at LIMIT 1),
            -- Beyond that all are the same.
            (SELECT least(max(i.turn), 2147483647) FROM pgimport.import AS i WHERE i.state IN ('splitting', 'loading')),
            0)
    $$;

COMMENT ON FUNCTION pgimport.current_turn() IS 'Where the line of loads is: a chunk that takes this turn is loaded next.';

CREATE FUNCTION pgimport.guard_share() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            NEW.turn := 0;
        ELSIF (NEW.stride, NEW.max_parallel) IS DISTINCT FROM (OLD.stride, OLD.max_parallel)
              OR NEW.turn > greatest(OLD.turn, pgimport.current_turn()) + 1000000 AND NOT pgimport.is_worker() THEN
            RAISE EXCEPTION 'the share of import % cannot be changed after its submission', OLD.id USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NEW;
    END
    $$;

COMMENT ON FUNCTION pgimport.guard_share() IS 'Keeps the line of loads from being moved by more than chunks are stored, and shares as they were asked for.';

CREATE TRIGGER guard_share BEFORE INSERT OR UPDATE OF turn, stride, max_parallel ON pgimport.import
    FOR EACH ROW EXECUTE FUNCTION pgimport.guard_share();

-- Belongs to whoever owns the rest, whoever runs this, and who must be able to read the queue.
DO $$
DECLARE
    owner regrole := (SELECT c.relowner::regrole FROM pg_catalog.pg_class AS c WHERE c.oid = 'pgimport.import'::regclass);
BEGIN
    IF owner::oid <> (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) THEN
        EXECUTE format('ALTER FUNCTION pgimport.current_turn() OWNER TO %s', owner);
        EXECUTE format('ALTER FUNCTION pgimport.guard_share() OWNER TO %s', owner);
        EXECUTE format('GRANT USAGE ON SCHEMA apalis TO %s', owner);
        EXECUTE format('GRANT SELECT ON apalis.jobs TO %s', owner);
    END IF;
END
$$;
