-- no-transaction
-- What an undo that runs has left so far: few undos leave rows.
CREATE INDEX CONCURRENTLY import_chunk_kept ON pgimport.import_chunk (import_id) INCLUDE (kept_count, missing_count)
    WHERE kept_count > 0 OR missing_count > 0;
