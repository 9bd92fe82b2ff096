-- no-transaction
-- The errors of an import's chunks, without a look at those that have none.
CREATE INDEX CONCURRENTLY import_chunk_error ON pgimport.import_chunk (import_id, ordinal) WHERE last_error IS NOT NULL;
