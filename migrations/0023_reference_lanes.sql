-- Loads of imports by reference wait in a lane of their own within their queue, which only workers ask that may read what imports refer to:
-- others took each such job, found that they may not read it, and left it for a while. Both lanes of a queue are one line: a turn means the same in both.
SET LOCAL lock_timeout = '5s';

ALTER TABLE pgimport.import
    ADD COLUMN by_reference boolean NOT NULL DEFAULT false;
ALTER TABLE pgimport.worker
    ADD COLUMN reads_references boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN pgimport.import.by_reference IS 'Whether its chunks are read by workers where they are: see import_reference.';
COMMENT ON COLUMN pgimport.worker.reads_references IS 'Whether it takes loads of imports by reference, as worker --allow-reference does.';

-- Jobs that wait stay where they are: who may not read hands them on.
UPDATE pgimport.import AS i SET by_reference = true
WHERE EXISTS (SELECT FROM pgimport.import_reference AS r WHERE r.import_id = i.id);

-- As queue::job_type has it.
CREATE FUNCTION pgimport.job_type(of_queue text, by_reference boolean) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN by_reference THEN 'pg_import/' || of_queue || '/reference' ELSE pgimport.job_type(of_queue) END;

COMMENT ON FUNCTION pgimport.job_type(text, boolean) IS 'What the jobs of a lane of a queue are called in apalis.jobs.';

CREATE OR REPLACE FUNCTION pgimport.current_turn(of_queue text) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        -- Of the first load in line that is due, in whichever lane. -2147483648 have those that only newer workers can do.
        SELECT coalesce(
            (SELECT min(1 - j.priority::bigint)
             FROM (VALUES (false), (true)) AS lane (by_reference) CROSS JOIN LATERAL (
                 SELECT w.priority FROM apalis.jobs AS w
                 WHERE w.job_type = pgimport.job_type(of_queue, lane.by_reference)
                   AND (w.status = 'Pending' OR w.status = 'Failed' AND w.attempts < w.max_attempts)
                   AND w.priority <= 1 AND w.priority > -2147483648 AND w.run_at < now()
                 ORDER BY w.priority DESC, w.run_at LIMIT 1) AS j),
            -- Beyond that all are the same.
            (SELECT least(max(i.turn), 2147483647) FROM pgimport.import AS i WHERE i.state IN ('splitting', 'loading') AND i.queue = of_queue),
            0)
    $$;

COMMENT ON FUNCTION pgimport.current_turn(text) IS 'Where the line of loads of a queue is: a chunk that takes this turn is loaded next.';

DO $$
DECLARE
    owner regrole := (SELECT c.relowner::regrole FROM pg_catalog.pg_class AS c WHERE c.oid = 'pgimport.import'::regclass);
BEGIN
    IF owner::oid <> (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) THEN
        EXECUTE format('ALTER FUNCTION pgimport.job_type(text, boolean) OWNER TO %s', owner);
    END IF;
END
$$;
