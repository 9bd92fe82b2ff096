-- no-transaction
-- What an import that runs has rejected so far: few chunks have rejects.
CREATE INDEX CONCURRENTLY import_chunk_rejected ON pgimport.import_chunk (import_id) INCLUDE (rejected_count) WHERE rejected_count > 0;
