-- What an undo has still to decide, said by each chunk for itself and those behind it when the undo is fenced: deletions go through an
-- import in its order, so that a look at one that runs adds up what lies ahead of the first chunk that is open, and not what is open.
SET LOCAL lock_timeout = '5s';
ALTER TABLE pgimport.import_chunk
    ADD COLUMN undo_rows        bigint,
    ADD COLUMN undo_rows_left   bigint,
    ADD COLUMN undo_chunks_left integer;
COMMENT ON COLUMN pgimport.import_chunk.undo_rows IS 'Rows that the undo has to decide about in this chunk, as of its fence. NULL: no undo has come to it since it was loaded, or an older worker set the fence.';
COMMENT ON COLUMN pgimport.import_chunk.undo_rows_left IS 'The same of this chunk and all behind it that were open at the fence.';
COMMENT ON COLUMN pgimport.import_chunk.undo_chunks_left IS 'How many chunks those are, this one included.';
