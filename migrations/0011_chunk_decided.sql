-- no-transaction
-- What an undo that runs has decided: looked at behind the first chunk that is open, where there is little.
CREATE INDEX CONCURRENTLY import_chunk_decided ON pgimport.import_chunk (import_id, ordinal) INCLUDE (undo_rows)
    WHERE undo_rows IS NOT NULL AND (state = 'deleted' OR kept_count IS NOT NULL);
