-- Undo learns whether the ids of an import may have been given to others since, however far the sequence went afterwards.

-- Takes a moment, but waits for whoever reads or writes the table, and everybody else behind it: rather give up, and be run again.
SET LOCAL lock_timeout = '5s';

ALTER TABLE pgimport.import_registry ADD COLUMN sequence_filenode oid;

COMMENT ON COLUMN pgimport.import_registry.sequence_filenode IS 'pg_relation_filenode of the sequence that gave the ids, as it was then: RESTART, TRUNCATE … RESTART IDENTITY and every other ALTER of its values give it a new one. Null in rows written before this column was.';
