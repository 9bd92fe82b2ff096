-- The default table's ids come in blocks: an undo does not depend on the sequence any more, and nextval for each row is a large part of
-- what an import costs the server.

SET LOCAL lock_timeout = '5s';

DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_catalog.pg_sequence AS q
        WHERE q.seqrelid = pg_catalog.pg_get_serial_sequence('public.sale_order', 'id')::regclass AND q.seqcache = 1
    ) THEN
        ALTER SEQUENCE public.sale_order_id_seq CACHE 1000;
    END IF;
EXCEPTION
    -- The table is somebody else's, or has another shape, or is being loaded in this moment: it works as it is.
    WHEN insufficient_privilege OR invalid_schema_name OR undefined_table OR undefined_column OR invalid_parameter_value
         OR lock_not_available THEN NULL;
END
$$;
