-- no-transaction
-- The order of the source, and one reject a record. What a worker of before wrote has its byte alone.
CREATE UNIQUE INDEX CONCURRENTLY import_reject_position
    ON pgimport.import_reject (import_id, input, (coalesce(record, 0)), (coalesce(start_byte, 0)));
