-- What the server refused a record for. Programs of before name the columns that they write and read, and leave these null.
SET LOCAL lock_timeout = '5s';

ALTER TABLE pgimport.import_reject
    ADD COLUMN sqlstate text,
    ADD COLUMN constraint_name text;

COMMENT ON COLUMN pgimport.import_reject.sqlstate IS 'The server''s error code, where the server refused the record; null where it was rejected before it was sent.';
COMMENT ON COLUMN pgimport.import_reject.constraint_name IS 'The constraint or unique index that the record breaks; null where it is something else.';
