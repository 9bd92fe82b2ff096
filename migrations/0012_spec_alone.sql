-- Oldest protocol: 1
-- Since version 3 of the spec an import is read by its spec alone: what the programs before the spec knew of it (import.options) cannot
-- say how its quotes are meant, and is written no more. Those programs would fail its chunks, and cannot live with this.
CREATE OR REPLACE FUNCTION pgimport.oldest_protocol() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 1';

COMMENT ON COLUMN pgimport.import.options IS 'Of imports without a spec: how the bytes are read and loaded. Empty in those that have one of version 3 or later.';
