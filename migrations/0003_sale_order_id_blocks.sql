-- Ids of the default target come in blocks: a worker takes the 50,000 of a chunk with 50 calls in place of 50,000, and a session that inserts
-- row by row asks the sequence once for 1,000 rows. In return, a session that inserts by itself leaves the rest of its last block unused.
-- A table of that name that was there before, and has another kind of id, stays as it is.

DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.sale_order') AND attname = 'id' AND attidentity <> ''
    ) THEN
        ALTER TABLE public.sale_order ALTER COLUMN id SET CACHE 1000;
    END IF;
END
$$;
