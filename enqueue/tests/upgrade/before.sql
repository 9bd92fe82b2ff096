-- A database of an earlier version, with imports in every state: written by make-fixture, read by the test of the upgrade.

-- The next table gets this oid: the key of an import holds that of its table.
CREATE FUNCTION pg_temp.next_table_gets(wanted bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE taken bigint;
BEGIN
  LOOP
    taken := pg_nextoid('pg_catalog.pg_class', 'oid', 'pg_catalog.pg_class_oid_index')::bigint;
    EXIT WHEN taken = wanted - 1;
    IF taken >= wanted THEN RAISE 'the server has given the oid % already', wanted; END IF;
  END LOOP;
END $$;

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

CREATE SCHEMA apalis;

CREATE SCHEMA pgimport;

CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;

CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA public;

CREATE FUNCTION apalis.generate_ulid() RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
  -- Crockford's Base32
  encoding   BYTEA = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  timestamp  BYTEA = E'\\000\\000\\000\\000\\000\\000';
  output     TEXT = '';

  unix_time  BIGINT;
  ulid       BYTEA;
  rand       BYTEA;
BEGIN
  -- 6 timestamp bytes
  unix_time = (EXTRACT(EPOCH FROM CLOCK_TIMESTAMP()) * 1000)::BIGINT;
  timestamp = SET_BYTE(timestamp, 0, (unix_time >> 40)::BIT(8)::INTEGER);
  timestamp = SET_BYTE(timestamp, 1, (unix_time >> 32)::BIT(8)::INTEGER);
  timestamp = SET_BYTE(timestamp, 2, (unix_time >> 24)::BIT(8)::INTEGER);
  timestamp = SET_BYTE(timestamp, 3, (unix_time >> 16)::BIT(8)::INTEGER);
  timestamp = SET_BYTE(timestamp, 4, (unix_time >> 8)::BIT(8)::INTEGER);
  timestamp = SET_BYTE(timestamp, 5, unix_time::BIT(8)::INTEGER);

  -- 10 entropy bytes, taken from a core gen_random_uuid(). Bytes 1-6 and 11-14
  -- of the UUID are fully random (we skip the version/variant bytes at offsets
  -- 7 and 9), preserving the full 80 bits of ULID entropy.
  rand = uuid_send(gen_random_uuid());
  ulid = timestamp || substr(rand, 1, 6) || substr(rand, 11, 4);

  -- Encode the timestamp
  output = output || CHR(GET_BYTE(encoding, (GET_BYTE(ulid, 0) & 224) >> 5));
  output = output || CHR(GET_BYTE(encoding, (GET_BYTE(ulid, 0) & 31)));
  output = output || CHR(GET_BYTE(encoding, (GET_BYTE(ulid, 1) & 248) >> 3));
  output = output || CHR(GET_BYTE(encoding, ((GET_BYTE(ulid, 1) & 7) << 2) | ((GET_BYTE(ulid, 2) & 192) >> 6)));
  output = output || CHR(GET_BYTE(encoding, (GET_BYTE(ulid, 2) & 62) >> 1));
  output = output || CHR(GET_BYTE(encoding, ((GET_BYTE(ulid, 2) & 1) << 4) | ((GET_BYTE(ulid, 3) & 240) >> 4)));
  output = output || CHR(GET_BYTE(encoding, ((GET_BYTE(ulid, 3) & 15) << 1) | ((GET_BYTE(ulid, 4) & 128) >> 7)));
  output = output || CHR(GET_BYTE(encoding, (GET_BYTE(ulid, 4) & 124) >> 2));
  output = output || CHR(GET_BYTE(encoding, ((GET_BYTE(ulid, 4) & 3) << 3) | ((GET_BYTE(ulid, 5) & 224) >> 5)));
  output = output || CHR(GET_BYTE(encoding, (GET_BYTE(ulid, 5) & 31)));

  -- Encode the entropy
  output = output || CHR(GET_BYTE(encoding, (GET_BYTE(ulid, 6) & 248) >> 3));
  output = output || CHR(GET_BYTE(encoding, ((GET_BYTE(ulid, 6) & 7) << 2) | ((GET_BYTE(ulid, 7) & 192) >> 6)));
  output = output || CHR(GET_BYTE(encoding, (GET_BYTE(ulid, 7) & 62) >> 1));
  output = output || CHR(GET_BYTE(encoding, ((GET_BYTE(ulid, 7) & 1) << 4) | ((GET_BYTE(ulid, 8) & 240) >> 4)));
  output = output || CHR(GET_BYTE(encoding, ((GET_BYTE(ulid, 8) & 15) << 1) | ((GET_BYTE(ulid, 9) & 128) >> 7)));
  output = output || CHR(GET_BYTE(encoding, (GET_BYTE(ulid, 9) & 124) >> 2));
  output = output || CHR(GET_BYTE(encoding, ((GET_BYTE(ulid, 9) & 3) << 3) | ((GET_BYTE(ulid, 10) & 224) >> 5)));
  output = output || CHR(GET_BYTE(encoding, (GET_BYTE(ulid, 10) & 31)));
  output = output || CHR(GET_BYTE(encoding, (GET_BYTE(ulid, 11) & 248) >> 3));
  output = output || CHR(GET_BYTE(encoding, ((GET_BYTE(ulid, 11) & 7) << 2) | ((GET_BYTE(ulid, 12) & 192) >> 6)));
  output = output || CHR(GET_BYTE(encoding, (GET_BYTE(ulid, 12) & 62) >> 1));
  output = output || CHR(GET_BYTE(encoding, ((GET_BYTE(ulid, 12) & 1) << 4) | ((GET_BYTE(ulid, 13) & 240) >> 4)));
  output = output || CHR(GET_BYTE(encoding, ((GET_BYTE(ulid, 13) & 15) << 1) | ((GET_BYTE(ulid, 14) & 128) >> 7)));
  output = output || CHR(GET_BYTE(encoding, (GET_BYTE(ulid, 14) & 124) >> 2));
  output = output || CHR(GET_BYTE(encoding, ((GET_BYTE(ulid, 14) & 3) << 3) | ((GET_BYTE(ulid, 15) & 224) >> 5)));
  output = output || CHR(GET_BYTE(encoding, (GET_BYTE(ulid, 15) & 31)));

  RETURN output;
END
$$;

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE apalis.jobs (
    job bytea NOT NULL,
    id text NOT NULL,
    job_type text NOT NULL,
    status text DEFAULT 'Pending'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    max_attempts integer DEFAULT 25 NOT NULL,
    run_at timestamp with time zone DEFAULT now() NOT NULL,
    last_result jsonb,
    lock_at timestamp with time zone,
    lock_by text,
    done_at timestamp with time zone,
    priority integer DEFAULT 0,
    idempotency_key text,
    metadata public.hstore
);

CREATE FUNCTION apalis.get_jobs(worker_id text, v_job_type text, v_job_count integer DEFAULT 5) RETURNS SETOF apalis.jobs
    LANGUAGE sql
    AS $$
    WITH jobs AS (
        SELECT id
        FROM apalis.jobs
        WHERE
            (
                status = 'Pending'
                OR (
                    status = 'Failed'
                    AND attempts < max_attempts
                )
            )
            AND run_at < now()
            AND job_type = v_job_type
        ORDER BY priority DESC, run_at ASC
        LIMIT v_job_count
        FOR UPDATE SKIP LOCKED
    )
    UPDATE apalis.jobs j
    SET
        status = 'Queued',
        lock_by = worker_id,
        lock_at = now()
    FROM jobs
    WHERE j.id = jobs.id
    RETURNING j.*;
$$;

CREATE FUNCTION apalis.notify_new_jobs() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NEW.run_at <= now() THEN
        PERFORM pg_notify(
            'apalis::job::insert',
            json_build_object(
                'job_type', NEW.job_type,
                'id', NEW.id,
                'run_at', NEW.run_at
            )::text
        );
    END IF;
    RETURN NEW;
END;
$$;

CREATE FUNCTION apalis.push_job(job_type text, job json DEFAULT NULL::json, status text DEFAULT 'Pending'::text, run_at timestamp with time zone DEFAULT now(), max_attempts integer DEFAULT 25, priority integer DEFAULT 0) RETURNS apalis.jobs
    LANGUAGE plpgsql
    AS $$

        DECLARE
            v_job_row apalis.jobs;
            v_job_id text;

        BEGIN
        IF job_type is not NULL and length(job_type) > 512 THEN raise exception 'Job_type is too long (max length: 512).' USING errcode = 'APAJT';
        END IF;

        IF max_attempts < 1 THEN raise exception 'Job maximum attempts must be at least 1.' USING errcode = 'APAMA';
        end IF;

        SELECT
            apalis.generate_ulid() INTO v_job_id;
        INSERT INTO
            apalis.jobs
        VALUES
            (
                job,
                v_job_id,
                job_type,
                status,
                0,
                max_attempts,
                run_at,
                NULL,
                NULL,
                NULL,
                NULL,
                priority
            )
            returning * INTO v_job_row;
            RETURN v_job_row;
END;
$$;

CREATE TABLE apalis._sqlx_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);

CREATE TABLE apalis.workers (
    id text NOT NULL,
    worker_type text NOT NULL,
    storage_name text NOT NULL,
    layers text DEFAULT ''::text NOT NULL,
    last_seen timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone
);

CREATE TABLE pgimport._sqlx_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);

CREATE TABLE pgimport.import (
    id bigint NOT NULL,
    state text NOT NULL,
    source text NOT NULL,
    resumable boolean NOT NULL,
    target text NOT NULL,
    target_oid oid NOT NULL,
    id_column text NOT NULL,
    columns text[] NOT NULL,
    options jsonb NOT NULL,
    key text,
    fingerprint text,
    size_bytes bigint,
    submitter text NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    undo jsonb,
    job_id text,
    error text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    split_at timestamp with time zone,
    ended_at timestamp with time zone,
    CONSTRAINT import_state_check CHECK ((state = ANY (ARRAY['splitting'::text, 'loading'::text, 'loaded'::text, 'failed'::text, 'cancelling'::text, 'cancelled'::text, 'kept'::text])))
);

CREATE TABLE pgimport.import_chunk (
    import_id bigint NOT NULL,
    ordinal integer NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL,
    start_byte bigint NOT NULL,
    end_byte bigint NOT NULL,
    first_line bigint NOT NULL,
    record_count bigint NOT NULL,
    payload_bytes integer NOT NULL,
    loaded_count bigint,
    rejected_count bigint,
    deleted_count bigint,
    kept_count bigint,
    missing_count bigint,
    attempts integer DEFAULT 0 NOT NULL,
    retries integer DEFAULT 0 NOT NULL,
    retrying_since timestamp with time zone,
    retried_at timestamp with time zone,
    last_error text,
    worker text,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    job_id text,
    CONSTRAINT import_chunk_check CHECK ((end_byte > start_byte)),
    CONSTRAINT import_chunk_ordinal_check CHECK ((ordinal >= 0)),
    CONSTRAINT import_chunk_record_count_check CHECK ((record_count > 0)),
    CONSTRAINT import_chunk_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'loaded'::text, 'failed'::text, 'cancelled'::text, 'deleted'::text])))
)
WITH (fillfactor='80');

ALTER TABLE pgimport.import ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgimport.import_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE pgimport.import_payload (
    import_id bigint NOT NULL,
    ordinal integer NOT NULL,
    codec text NOT NULL,
    data bytea NOT NULL,
    CONSTRAINT import_payload_codec_check CHECK ((codec = ANY (ARRAY['none'::text, 'lz4'::text, 'zstd'::text])))
);
ALTER TABLE ONLY pgimport.import_payload ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE pgimport.import_registry (
    import_id bigint NOT NULL,
    ordinal integer NOT NULL,
    start_id bigint NOT NULL,
    end_id bigint NOT NULL,
    step bigint NOT NULL,
    target_oid oid NOT NULL,
    row_xids bigint[] NOT NULL,
    voided_by bigint,
    sequence_filenode oid,
    CONSTRAINT import_registry_check CHECK ((end_id >= start_id)),
    CONSTRAINT import_registry_step_check CHECK ((step > 0))
);

CREATE TABLE pgimport.import_reject (
    import_id bigint NOT NULL,
    ordinal integer NOT NULL,
    start_byte bigint NOT NULL,
    line bigint NOT NULL,
    column_name text,
    reason text NOT NULL,
    raw bytea NOT NULL
);

CREATE TABLE pgimport.worker (
    name text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    concurrency integer NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    last_seen timestamp with time zone DEFAULT now() NOT NULL
);

SELECT pg_temp.next_table_gets(40347);
CREATE TABLE public.sale_order (
    id bigint NOT NULL,
    "PointOfSale" text NOT NULL,
    "Product" text NOT NULL,
    "Date" date NOT NULL,
    "Stock" integer NOT NULL
);

ALTER TABLE public.sale_order ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.sale_order_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

SELECT pg_temp.next_table_gets(40355);
CREATE TABLE public.stock (
    id bigint NOT NULL,
    product text NOT NULL,
    day date NOT NULL,
    pieces integer
);

CREATE SEQUENCE public.stock_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.stock_id_seq OWNED BY public.stock.id;

SELECT pg_temp.next_table_gets(40364);
CREATE TABLE public.tariff (
    id integer NOT NULL,
    product text NOT NULL,
    price numeric(10,2)
);

ALTER TABLE public.tariff ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.tariff_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

SELECT pg_temp.next_table_gets(40372);
CREATE TABLE public.transfer (
    id bigint NOT NULL,
    payer text NOT NULL,
    amount integer NOT NULL,
    CONSTRAINT transfer_amount CHECK ((amount > 0))
);

CREATE SEQUENCE public.transfer_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.transfer_id_seq OWNED BY public.transfer.id;

ALTER TABLE ONLY public.stock ALTER COLUMN id SET DEFAULT nextval('public.stock_id_seq'::regclass);

ALTER TABLE ONLY public.transfer ALTER COLUMN id SET DEFAULT nextval('public.transfer_id_seq'::regclass);

INSERT INTO apalis._sqlx_migrations VALUES
	(20220530084123, 'jobs workers', '2025-01-01 23:15:25.654101+00', true, '\xd0839c6f57a379769dc27ccd581feb3d2709239c8f138e05271c9e3c760c4517a78a4d8912ab3d63b074b28d15ec74e9', 13027307),
	(20220709210445, 'add job fn', '2025-01-01 23:15:25.667836+00', true, '\x14f906e53a627f1b27996e74e8e69dbc29ee70519e7af4f0032a27c75ed706a34af8bafecc8f8572855f314cbc5a7ba9', 1011667),
	(20230330210841, 'replace add job fn', '2025-01-01 23:15:25.669073+00', true, '\xd9b6e57e6de60db1647e2447cf36bf0eafbec266f1d482bd196affc97617efbc4c07bad826706c7b3a0b3960cf9f727b', 5665908),
	(20230408110421, 'drop old push job', '2025-01-01 23:15:25.675048+00', true, '\x3656a91fe9c652ca23df775a601409a9252357f47088d6bcf2025fda2dd67e50c99ad94d1d2ca569c91c343189c58e33', 828995),
	(20230408234928, 'add get jobs fn ', '2025-01-01 23:15:25.67609+00', true, '\x176c3acaf1097ff45da76d4c746af766640027b6721a056b3fc3fcc4ab8192344920b4415e8dae46f5136ee223ed5f6b', 781116),
	(20240225141841, 'replace add job fn remove jid', '2025-01-01 23:15:25.677095+00', true, '\xc53560b7a312915d696ed6c7e18bda478d9bf1278c4d59e3c53b47c45d8a903f089c728a5ff2e131cd5b629cdfe7d4cb', 1436145),
	(20250210092135, 'include failed in get jobs', '2025-01-01 23:15:25.678777+00', true, '\x810786bd8f1007bf523bec8ed9de0a9ae789e634e5434a1a5cc9c1b766bd758b4d37912ef390dcf95e8de23910eeef55', 709671),
	(20250223193249, 'fix get jobs conditional', '2025-01-01 23:15:25.679649+00', true, '\xcfda3f3d62b4122b6321af0e45ba162fd3ad5d07f95e4eefe858600551167e31454ebd57d45b62e880336fcfef3ef2a7', 728216),
	(20250307001101, 'add job priority', '2025-01-01 23:15:25.680521+00', true, '\xb5d318f2da5e909d66db190f58b76ae52f6808733d2a88d180555430d28518fee783fb0ff1e1c37ed1dc79627abd9694', 1133255),
	(20250404160441, 'cleanup old push jobs fn', '2025-01-01 23:15:25.681832+00', true, '\x962242ef0971de54905cafbdefe26a3c1f32c1c52ef13b6937c2920445b1ce97cd2dcf7db9c293becc95dc55412e7a15', 505919),
	(20250722071207, 'improve notify', '2025-01-01 23:15:25.682483+00', true, '\xb3a1f712f8fbdfe38004134d8f55e49857b764f3277f38dd9d13299d5e0afbc895005b62fa0355b8a0d8595a38be6db7', 821542),
	(20251018164839, 'update result', '2025-01-01 23:15:25.683461+00', true, '\xe4e3d1efc77746e4db164b49017c90785613b35520da84f9a5a3f8981d60420d9dec3c94af9e8632ab711ffac7c1e199', 6016276),
	(20251018164912, 'add metadata', '2025-01-01 23:15:25.689784+00', true, '\x803a4510201392a36e20ef81c9b05230ffa734a292c875f87ea65bc73944642b1d260a38741c4bdb88c0096338c152c0', 676579),
	(20251018165007, 'move to bytes', '2025-01-01 23:15:25.690644+00', true, '\xdcbb8181c56cc4b9511ddc940f81f5bb9420436d0f4edf1bc9978011324e6b8d5437c50830b8651e2168608d04977272', 5134021),
	(20251018165033, 'add started at', '2025-01-01 23:15:25.69606+00', true, '\x21b1264f3881a4cf4fb209ff2cc75c21946441691745d7cbc9ab1dd812a1e1c08648e47ea8b4de060784da581dab2246', 683572),
	(20251018165056, 'queue jobs', '2025-01-01 23:15:25.696923+00', true, '\xdd02b7e9c23a7da0f71bff73b469c51b7305d1830e7f4bd6de083c11315e8492801e242755d9981381760a5ace6d8fe7', 803166),
	(20251018165121, 'notify run at', '2025-01-01 23:15:25.697921+00', true, '\xa99e6c60687ec15c1bf8132763db63a0d9d18e1ee814527254fc95ee733e65bdf2f0ae64ca86cae0d1f232654d189fda', 951675),
	(20251225090252, 'include primary keys', '2025-01-01 23:15:25.699069+00', true, '\xfd9f16bd772c5682ecb3f6b0a21efed5581a85316770ab8d620b38346e9319ae239ef784e8eb46735d6be735e7b3b5be', 1979483),
	(20260508093314, 'idempotency key', '2025-01-01 23:15:25.701245+00', true, '\xf2686534e1abbba2fcde715c1ca724e7937a4e1f49d6a9a462ed4f1c2e8b83518f4f78868a111d6451afba770207c2d0', 1257919),
	(20260605000000, 'confine generate ulid to apalis', '2025-01-01 23:15:25.702723+00', true, '\xc56dbd61156387934579af19b51ba95bd0cbe203f9528f0cd619c191730788858eca89044a7aa0622d308b9a3028e2c5', 1702995),
	(20260824233636, 'streamline indices', '2025-01-01 23:15:25.704604+00', true, '\x09c57f5bd9cce210564e8b12da0520289290ad729ef4205cdd55bd2a60ac85f889df8c23b20a4a01d959f0c8b5775a6d', 4041682),
	(20260826101335, 'metadata hstore', '2025-01-01 23:15:25.708901+00', true, '\xcc38c9e6fd38157b443f6dd584e322405d49dedfd3a60867604102078a99320f97279e6c244cb87f84152ab9be7d41be', 15001821),
	(20260902075949, 'remove pl in get jobs', '2025-01-01 23:15:25.724361+00', true, '\x0dc0483d69bf530508d451bec9346f7d14be68c37308b130910462d130cab0827eb2825d20072105c83ae3a66ed82c6b', 1175055);

INSERT INTO apalis.jobs VALUES
	('\x7b2276657273696f6e223a312c226b696e64223a2264656c6574655f6368756e6b222c22696d706f7274223a31342c226f7264696e616c223a337d', '01M87XFKN60V2X105Q1DJN9SKH', 'pg_import', 'Running', 0, 1, '2025-01-01 23:15:30+00', NULL, '2025-01-01 23:15:31.174821+00', 'pg_import-worker:host:31798:855693ca#0', NULL, 10, NULL, ''),
	('\x7b2276657273696f6e223a312c226b696e64223a2264656c6574655f6368756e6b222c22696d706f7274223a31342c226f7264696e616c223a317d', '01M87XFNNN172MB36QERVN7J2H', 'pg_import', 'Pending', 0, 1, '2025-01-01 23:15:34+00', NULL, NULL, NULL, NULL, 10, NULL, ''),
	('\x7b2276657273696f6e223a312c226b696e64223a2264656c6574655f6368756e6b222c22696d706f7274223a31342c226f7264696e616c223a337d', '01M87XFNPGKRFPSAYZPFC2YXB4', 'pg_import', 'Pending', 0, 1, '2025-01-01 23:15:35+00', NULL, NULL, NULL, NULL, 10, NULL, ''),
	('\x7b2276657273696f6e223a312c226b696e64223a226c6f61645f6368756e6b222c22696d706f7274223a31352c226f7264696e616c223a337d', '01M87XFNV64PBABHX3MGVRFAVY', 'pg_import', 'Pending', 0, 1, '2025-01-01 23:15:32+00', NULL, NULL, NULL, NULL, 1, NULL, ''),
	('\x7b2276657273696f6e223a312c226b696e64223a226c6f61645f6368756e6b222c22696d706f7274223a31352c226f7264696e616c223a347d', '01M87XFNV6Y82JKH2ZAD4CXHDA', 'pg_import', 'Pending', 0, 1, '2025-01-01 23:15:32+00', NULL, NULL, NULL, NULL, 1, NULL, ''),
	('\x7b2276657273696f6e223a312c226b696e64223a226c6f61645f6368756e6b222c22696d706f7274223a31352c226f7264696e616c223a357d', '01M87XFNV6200SM181K687TSX8', 'pg_import', 'Pending', 0, 1, '2025-01-01 23:15:32+00', NULL, NULL, NULL, NULL, 1, NULL, ''),
	('\x7b2276657273696f6e223a312c226b696e64223a2263616e63656c5f696d706f7274222c22696d706f7274223a31337d', '01M87XFNYVHZ3X1ATRYK0YG7DH', 'pg_import', 'Pending', 0, 1, '2025-01-01 23:15:32+00', NULL, NULL, NULL, NULL, 10, NULL, ''),
	('\x7b2276657273696f6e223a312c226b696e64223a226c6f61645f6368756e6b222c22696d706f7274223a31362c226f7264696e616c223a307d', '01M87XFP0JJZ9HZQP2Z4T6R3FZ', 'pg_import', 'Pending', 0, 1, '2025-01-01 23:15:32+00', NULL, NULL, NULL, NULL, 1, NULL, ''),
	('\x7b2276657273696f6e223a312c226b696e64223a226c6f61645f6368756e6b222c22696d706f7274223a31362c226f7264696e616c223a317d', '01M87XFP0J7PZEXAX6PAGV3AG1', 'pg_import', 'Pending', 0, 1, '2025-01-01 23:15:32+00', NULL, NULL, NULL, NULL, 1, NULL, ''),
	('\x7b2276657273696f6e223a312c226b696e64223a226c6f61645f6368756e6b222c22696d706f7274223a31362c226f7264696e616c223a327d', '01M87XFP0J6JJ0RTP6VA75JJSW', 'pg_import', 'Pending', 0, 1, '2025-01-01 23:15:32+00', NULL, NULL, NULL, NULL, 1, NULL, ''),
	('\x7b2276657273696f6e223a312c226b696e64223a2263616e63656c5f696d706f7274222c22696d706f7274223a31367d', '01M87XFP2BC32HA14DD9P1119T', 'pg_import', 'Pending', 0, 1, '2025-01-01 23:15:32+00', NULL, NULL, NULL, NULL, 10, NULL, ''),
	('\x7b2276657273696f6e223a312c226b696e64223a226c6f61645f6368756e6b222c22696d706f7274223a31372c226f7264696e616c223a307d', '01M87XFP447KPJ28Y9RKYP47WX', 'pg_import', 'Pending', 0, 1, '2025-01-01 23:15:32+00', NULL, NULL, NULL, NULL, 1, NULL, ''),
	('\x7b2276657273696f6e223a312c226b696e64223a226c6f61645f6368756e6b222c22696d706f7274223a31372c226f7264696e616c223a317d', '01M87XFP44BR6QZHCHEXJQ1X3R', 'pg_import', 'Pending', 0, 1, '2025-01-01 23:15:32+00', NULL, NULL, NULL, NULL, 1, NULL, ''),
	('\x7b2276657273696f6e223a312c226b696e64223a226c6f61645f6368756e6b222c22696d706f7274223a31372c226f7264696e616c223a327d', '01M87XFP44GEYMEXWRG874XK10', 'pg_import', 'Pending', 0, 1, '2025-01-01 23:15:32+00', NULL, NULL, NULL, NULL, 1, NULL, '');

INSERT INTO apalis.workers VALUES
	('pg_import-worker:host:31798:855693ca#0', 'pg_import', 'PgStorage', 'tower::limit::concurrency::service::ConcurrencyLimit<apalis_core::task::data::AddExtension<apalis_core::worker::lifecycle::LifecycleService<apalis_core::task::task_fn::TaskFn<worker::lifecycle::session::handle, alloc::vec::Vec<u8>, apalis_core::task::data::Data<alloc::sync::Arc<worker::jobs::JobContext>>>>, alloc::sync::Arc<worker::jobs::JobContext>>>', '2025-01-01 23:15:33.064663+00', NULL);

INSERT INTO pgimport._sqlx_migrations VALUES
	(1, 'control schema', '2025-01-01 23:15:25.730859+00', true, '\x2c78712c51666609811dbca70be7ac92eecc4329891ac7ec6e942d8530a0e2579ffb108d3d3f95e80fed4c546905eb60', 25798544),
	(2, 'sale order', '2025-01-01 23:15:25.757345+00', true, '\x101170055502e90586ace27502a2a0d4fbe31dc1d8a7324e2a746262c4005c59ca10255666bf4878e6e93f117b27c026', 3755776),
	(3, 'sequence filenode', '2025-01-01 23:15:25.761431+00', true, '\xfabe7e52492522fd96d46a7ca2cb3a8e83f70d9e26f6ad3abc75bcc284c52a00bcb11756bc5ecf7affd5dea52cb94589', 913974);

INSERT INTO pgimport.import OVERRIDING SYSTEM VALUE VALUES
	(1, 'loaded', '@directory@/orders.csv', true, 'public.sale_order', 40347, 'id', '{PointOfSale,Product,Date,Stock}', '{"header": true, "replace": false, "delimiter": 59, "chunk_rows": 5, "max_record": 8388608, "chunk_bytes": 8388608, "load_method": "insert", "replace_anyway": false}', 'blake3:0b973b0bc29cf4804dbc7a432b5792422ac61c8f909da5c4f5b55adedd2189fb', 'f802480730eb7357f21cf0e57472f3d295b922d40949b154cdae98029d2ed1f4', 404, 'pg_import-enqueue:host:31359:d60f5413', '2025-01-01 23:15:33.847524+00', NULL, NULL, NULL, '2025-01-01 23:15:25.835969+00', '2025-01-01 23:15:25.864359+00', '2025-01-01 23:15:26.001691+00'),
	(2, 'loaded', '@directory@/rejects.csv', true, 'public.sale_order', 40347, 'id', '{PointOfSale,Product,Date,Stock}', '{"header": true, "replace": false, "delimiter": 59, "chunk_rows": 5, "max_record": 8388608, "chunk_bytes": 8388608, "load_method": "insert", "replace_anyway": false}', 'blake3:c4482293080d62372a2dbf4e1091e01ba8feef684ceaa2d9e0e887d28150218a', '3cdb0a2f20d98e48885ecd725f9cc1aaee2a54ee4d904bb8186b65fdbead34a9', 414, 'pg_import-enqueue:host:31384:3db3f759', '2025-01-01 23:15:34.17926+00', NULL, NULL, NULL, '2025-01-01 23:15:26.173528+00', '2025-01-01 23:15:26.191954+00', '2025-01-01 23:15:26.312848+00'),
	(4, 'loaded', '@directory@/keyed.csv', true, 'public.sale_order', 40347, 'id', '{PointOfSale,Product,Date,Stock}', '{"header": true, "replace": false, "delimiter": 59, "chunk_rows": 5, "max_record": 8388608, "chunk_bytes": 8388608, "load_method": "insert", "replace_anyway": false}', 'key:monday', 'e4d9bbf082ece273fdfd902e4f1bb4d7bd7774cfaac6ff0d3ed329a7902ba0af', 392, 'pg_import-enqueue:host:31437:b5e70f1f', '2025-01-01 23:15:34.841573+00', NULL, NULL, NULL, '2025-01-01 23:15:26.831205+00', '2025-01-01 23:15:26.855992+00', '2025-01-01 23:15:26.973284+00'),
	(3, 'loaded', '@directory@/copied.csv', true, 'public.sale_order', 40347, 'id', '{PointOfSale,Product,Date,Stock}', '{"header": true, "replace": false, "delimiter": 59, "chunk_rows": 5, "max_record": 8388608, "chunk_bytes": 8388608, "load_method": "copy", "replace_anyway": false}', 'blake3:4acc3150aeb97e9c1d33e5a9199286f7a9650a61d2445086d977f8151707e1df', '3185a13ca3bd96bc8a3882dda538bf80c3b6090bedd269dd8fd27f7f6aef475d', 410, 'pg_import-enqueue:host:31410:9265a2af', '2025-01-01 23:15:34.496797+00', NULL, NULL, NULL, '2025-01-01 23:15:26.486681+00', '2025-01-01 23:15:26.51162+00', '2025-01-01 23:15:26.661932+00'),
	(6, 'loaded', '@directory@/bare.csv', true, 'public.stock', 40355, 'id', '{day,product,pieces}', '{"header": false, "replace": false, "delimiter": 44, "chunk_rows": 5, "max_record": 8388608, "chunk_bytes": 8388608, "load_method": "insert", "replace_anyway": false}', 'blake3:9fc35a664671bc2a621ef5061bca77236d4ccdc9b3f083fbbd7297d9918ab0ef', 'e463d8ea061cba2ed3b3adc9f45482afe8ad12c94206a135902c8337ff45c033', 200, 'pg_import-enqueue:host:31494:86ee177a', '2025-01-01 23:15:35.485589+00', NULL, NULL, NULL, '2025-01-01 23:15:27.477441+00', '2025-01-01 23:15:27.496872+00', '2025-01-01 23:15:27.604459+00'),
	(5, 'loaded', '@directory@/stock.csv', true, 'public.stock', 40355, 'id', '{product,day,pieces}', '{"null": "\\N", "header": true, "replace": false, "delimiter": 44, "chunk_rows": 5, "max_record": 8388608, "chunk_bytes": 8388608, "load_method": "insert", "replace_anyway": false}', 'blake3:44c6cb44a4c5e0ebfb11d495b7a6a1f4a639cfcc06fcbab4a59eaf55b8a1924d', '948df6e4c7ec58a4eda42baec1f2ee85a3c7f8a02dc07f653674a59a8d68b5ef', 236, 'pg_import-enqueue:host:31465:b316d8f7', '2025-01-01 23:15:35.16367+00', NULL, NULL, NULL, '2025-01-01 23:15:27.155221+00', '2025-01-01 23:15:27.175343+00', '2025-01-01 23:15:27.306363+00'),
	(7, 'cancelled', '@directory@/tariff-old.csv', true, 'public.tariff', 40364, 'id', '{price,product}', '{"header": true, "replace": false, "delimiter": 59, "chunk_rows": 5, "max_record": 8388608, "chunk_bytes": 8388608, "load_method": "insert", "replace_anyway": false}', 'blake3:5911445f8da043a4a96122999642ea6d07d7bf8ebed5a330864789a436743af0', 'cbae456a363702a1944ca768c47bb07260a97fca035b6fe91e4dcc4446988545', 204, 'pg_import-enqueue:host:31520:3adbedbc', '2025-01-01 23:15:35.811006+00', '{"cascade": false, "trust_ids": false, "ids_reused": false, "keep_edited": false}', NULL, 'replaced by import 8', '2025-01-01 23:15:27.799426+00', '2025-01-01 23:15:27.828943+00', '2025-01-01 23:15:28.381087+00'),
	(8, 'loaded', '@directory@/tariff.csv', true, 'public.tariff', 40364, 'id', '{price,product}', '{"header": true, "replace": true, "delimiter": 59, "chunk_rows": 5, "max_record": 8388608, "chunk_bytes": 8388608, "load_method": "insert", "replace_anyway": false}', 'blake3:e0975a986f86dc8f9429e0915c12f4ce9109aa8ae9dc52ad403c1c7711c5c690', '809b63b04a22f8038bcccf952c6f7acdadd548b389c724d86d40c112a49c79b6', 164, 'pg_import-enqueue:host:31546:c6a472a8', '2025-01-01 23:15:36.137573+00', NULL, NULL, NULL, '2025-01-01 23:15:28.126892+00', '2025-01-01 23:15:28.152295+00', '2025-01-01 23:15:28.288123+00'),
	(9, 'failed', '@directory@/transfer.csv', true, 'public.transfer', 40372, 'id', '{payer,amount}', '{"header": true, "replace": false, "delimiter": 59, "chunk_rows": 5, "max_record": 8388608, "chunk_bytes": 8388608, "load_method": "insert", "replace_anyway": false}', 'blake3:42f4d1200ec9deec5babbd8ab92ef6a7ae998a2ee5c248ec28a9ce9097c2ed16', '056eef28de5b5af97b0e720b0ee4431a0f61342b559ea4f9b458cc03830ccf86', 220, 'pg_import-enqueue:host:31573:872989e5', '2025-01-01 23:15:36.46274+00', NULL, NULL, 'new row for relation "transfer" violates check constraint "transfer_amount"; Failing row contains (9, transfer 6, -7).', '2025-01-01 23:15:28.452499+00', '2025-01-01 23:15:28.478675+00', '2025-01-01 23:15:28.618079+00'),
	(10, 'failed', '@directory@/unsplit.csv', true, 'public.transfer', 40372, 'id', '{payer,amount}', '{"header": true, "replace": false, "delimiter": 59, "chunk_rows": 5, "max_record": 60, "chunk_bytes": 8388608, "load_method": "insert", "replace_anyway": false}', 'blake3:14b0540c12b5afb536ea893771d32c0f8a760311a1ce2cf69f82bd68898b2a97', 'fac23e30a7cfb5f9135f7e0b0bedbca4b7070ae4de7e7bd50671f20a9067e69d', 315, 'pg_import-enqueue:host:31601:2f4ff166', '2025-01-01 23:15:36.901667+00', NULL, NULL, 'the source cannot be split into chunks: the record at line 17 (byte 204) is longer than 60 bytes: close its quote if one is left open, or allow longer records with --max-record', '2025-01-01 23:15:28.784788+00', NULL, '2025-01-01 23:15:28.937313+00'),
	(11, 'cancelled', '@directory@/gone.csv', true, 'public.sale_order', 40347, 'id', '{PointOfSale,Product,Date,Stock}', '{"header": true, "replace": false, "delimiter": 59, "chunk_rows": 5, "max_record": 8388608, "chunk_bytes": 8388608, "load_method": "insert", "replace_anyway": false}', 'blake3:ab60352efcebe1daf914fefc09f5b2f310b823b01c9181632909cc7b7b1203d6', 'ca654a9f9c9b3757e54c787c218df868d664ba24432103dae2048bab61e4fffc', 380, 'pg_import-enqueue:host:31625:0f2876ce', '2025-01-01 23:15:37.021706+00', '{"cascade": false, "trust_ids": false, "ids_reused": false, "keep_edited": false}', NULL, NULL, '2025-01-01 23:15:29.011821+00', '2025-01-01 23:15:29.035797+00', '2025-01-01 23:15:29.486039+00'),
	(12, 'kept', '@directory@/kept.csv', true, 'public.sale_order', 40347, 'id', '{PointOfSale,Product,Date,Stock}', '{"header": true, "replace": false, "delimiter": 59, "chunk_rows": 5, "max_record": 8388608, "chunk_bytes": 8388608, "load_method": "insert", "replace_anyway": false}', 'blake3:d3dd978ad6136d4815f0535783c9212cccdaf4ead63cdaa852fc177349a8f9d3', '322d9141d2b232506c2d9d344a274570a9bd8d5dc5896fe3e9f76ffe37f6f547', 380, 'pg_import-enqueue:host:31672:119d7432', '2025-01-01 23:15:37.642205+00', '{"cascade": false, "trust_ids": false, "ids_reused": false, "keep_edited": true}', NULL, NULL, '2025-01-01 23:15:29.631346+00', '2025-01-01 23:15:29.657384+00', '2025-01-01 23:15:30.093535+00'),
	(15, 'splitting', '@directory@/cut.csv', true, 'public.sale_order', 40347, 'id', '{PointOfSale,Product,Date,Stock}', '{"header": true, "replace": false, "delimiter": 59, "chunk_rows": 5, "max_record": 8388608, "chunk_bytes": 8388608, "load_method": "insert", "replace_anyway": false}', 'blake3:aa7f0a3da49b55f0b3e6c65ed82dafbb36478a54551dd8bec3ac04483fbf8f2c', 'b147145adac3de897a1973cb4efd75a761f8ccd4b75891fb00ff53fca978e9dc', 1207, 'pg_import-enqueue:host:31772:8e113eac', '2025-01-01 23:15:41.347985+00', NULL, NULL, NULL, '2025-01-01 23:15:30.912126+00', NULL, NULL),
	(14, 'cancelling', '@directory@/fenced.csv', true, 'public.sale_order', 40347, 'id', '{PointOfSale,Product,Date,Stock}', '{"header": true, "replace": false, "delimiter": 59, "chunk_rows": 5, "max_record": 8388608, "chunk_bytes": 8388608, "load_method": "insert", "replace_anyway": false}', 'blake3:d9675a989d43f53f5a387fac1c0247bc5f041581cd13a83a9e799273e652c669', '2c2dd37e9beb8bbc8570df9191cbe19a5751658dfb5e80b38478d5e207b8f7a0', 669, 'pg_import-enqueue:host:31744:a654f786', '2025-01-01 23:15:38.571983+00', '{"cascade": false, "trust_ids": false, "ids_reused": false, "keep_edited": false}', '01M87XFKJE0S41H5EHCNNPGA24', NULL, '2025-01-01 23:15:30.561289+00', '2025-01-01 23:15:30.588288+00', NULL),
	(13, 'cancelling', '@directory@/unfenced.csv', true, 'public.sale_order', 40347, 'id', '{PointOfSale,Product,Date,Stock}', '{"header": true, "replace": false, "delimiter": 59, "chunk_rows": 5, "max_record": 8388608, "chunk_bytes": 8388608, "load_method": "insert", "replace_anyway": false}', 'blake3:f5a88f1fa74b7ebee669201fc73cdb15efe3d7476ca407f95dd4565e3bef933f', '9a0f33d20fac8a54d047150bdf9cbde39477640094ccf00ecf64a8d1c314e196', 428, 'pg_import-enqueue:host:31719:efa5dd92', '2025-01-01 23:15:38.266653+00', '{"cascade": false, "trust_ids": false, "ids_reused": false, "keep_edited": false}', '01M87XFNYVHZ3X1ATRYK0YG7DH', NULL, '2025-01-01 23:15:30.256061+00', '2025-01-01 23:15:30.277567+00', NULL),
	(17, 'loading', '@directory@/waiting.csv', true, 'public.sale_order', 40347, 'id', '{PointOfSale,Product,Date,Stock}', '{"header": true, "replace": false, "delimiter": 59, "chunk_rows": 5, "max_record": 8388608, "chunk_bytes": 8388608, "load_method": "insert", "replace_anyway": false}', 'blake3:38171482544849cdcd9337b298161ab60c97ef31e322bd6da9f713987fe68dca', 'cf015a81364d7efb526593822102a890b8eb3bb0c477bc0df1687375d28f6024', 416, 'pg_import-enqueue:host:31947:5876d15a', '2025-01-01 23:15:41.633755+00', NULL, NULL, NULL, '2025-01-01 23:15:33.62786+00', '2025-01-01 23:15:33.648478+00', NULL),
	(16, 'cancelling', '@directory@/early.csv', true, 'public.sale_order', 40347, 'id', '{PointOfSale,Product,Date,Stock}', '{"header": true, "replace": false, "delimiter": 59, "chunk_rows": 5, "max_record": 8388608, "chunk_bytes": 8388608, "load_method": "insert", "replace_anyway": false}', 'blake3:41a741914e705b8c3e3b29026dd527e44eb3d18103176bde2c5dc4fd05d6da43', '8ae0184b2016e73d048f95cd1b99e5fc0da3b195441abe1d414eb30730ee2806', 392, 'pg_import-enqueue:host:31932:0ce44b37', '2025-01-01 23:15:41.51943+00', '{"cascade": false, "trust_ids": false, "ids_reused": false, "keep_edited": false}', '01M87XFP2BC32HA14DD9P1119T', NULL, '2025-01-01 23:15:33.514399+00', '2025-01-01 23:15:33.532757+00', NULL);

INSERT INTO pgimport.import_chunk VALUES
	(5, 0, 'loaded', 19, 126, 2, 5, 71, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31474:97a05366', '2025-01-01 23:15:27.243501+00', '2025-01-01 23:15:27.271674+00', '01M87XFFSX76C28H75ND380WN4'),
	(1, 0, 'loaded', 31, 181, 2, 5, 79, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31368:9a8b7a5f', '2025-01-01 23:15:25.945446+00', '2025-01-01 23:15:25.970849+00', '01M87XFEGT3H44SP7KZFMRBYRV'),
	(1, 1, 'loaded', 181, 340, 7, 5, 100, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31368:9a8b7a5f', '2025-01-01 23:15:25.961749+00', '2025-01-01 23:15:25.975515+00', '01M87XFEGTW44WNHPQP9FCTJ2N'),
	(1, 2, 'loaded', 340, 404, 12, 2, 51, 2, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31368:9a8b7a5f', '2025-01-01 23:15:25.980224+00', '2025-01-01 23:15:25.985401+00', '01M87XFEGTP64K5AW7XH3A1HHA'),
	(2, 0, 'loaded', 31, 186, 2, 5, 84, 4, 1, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31393:450f761e', '2025-01-01 23:15:26.263462+00', '2025-01-01 23:15:26.293214+00', '01M87XFEV5GTXJ5SJGFNJ13ASQ'),
	(2, 1, 'loaded', 186, 348, 7, 5, 99, 4, 1, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31393:450f761e', '2025-01-01 23:15:26.271816+00', '2025-01-01 23:15:26.294254+00', '01M87XFEV5A0F2X55TMFYX47TC'),
	(2, 2, 'loaded', 348, 414, 12, 2, 52, 2, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31393:450f761e', '2025-01-01 23:15:26.291923+00', '2025-01-01 23:15:26.305923+00', '01M87XFEV5ZWTY96HT0WYC49ES'),
	(3, 0, 'loaded', 31, 187, 2, 5, 94, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31419:9bc2d231', '2025-01-01 23:15:26.590805+00', '2025-01-01 23:15:26.629842+00', '01M87XFF534J3WXRBAY1KB2C28'),
	(3, 2, 'loaded', 346, 410, 13, 2, 51, 2, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31419:9bc2d231', '2025-01-01 23:15:26.619925+00', '2025-01-01 23:15:26.637831+00', '01M87XFF53DDPGDBT0C2VZC8GQ'),
	(3, 1, 'loaded', 187, 346, 8, 5, 100, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31419:9bc2d231', '2025-01-01 23:15:26.604756+00', '2025-01-01 23:15:26.644256+00', '01M87XFF53K68PSJXAHEMHPJQF'),
	(4, 0, 'loaded', 31, 176, 2, 5, 78, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31446:f72a1cb2', '2025-01-01 23:15:26.922565+00', '2025-01-01 23:15:26.95457+00', '01M87XFFFW30Y8BREWNVFABW6A'),
	(4, 1, 'loaded', 176, 330, 7, 5, 99, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31446:f72a1cb2', '2025-01-01 23:15:26.934636+00', '2025-01-01 23:15:26.959027+00', '01M87XFFFW8130CDMSHN3D0MGM'),
	(4, 2, 'loaded', 330, 392, 12, 2, 50, 2, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31446:f72a1cb2', '2025-01-01 23:15:26.947868+00', '2025-01-01 23:15:26.965613+00', '01M87XFFFWXQ5Q98SW2GTXQXVY'),
	(5, 1, 'loaded', 126, 236, 7, 5, 74, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31474:97a05366', '2025-01-01 23:15:27.26483+00', '2025-01-01 23:15:27.28596+00', '01M87XFFSX6ZEPR2J056BECDKE'),
	(9, 1, 'failed', 78, 145, 7, 5, 46, NULL, NULL, NULL, NULL, NULL, 1, 0, NULL, NULL, 'new row for relation "transfer" violates check constraint "transfer_amount"; Failing row contains (9, transfer 6, -7).', 'pg_import-worker:host:31582:a29f1100', '2025-01-01 23:15:28.564548+00', '2025-01-01 23:15:28.58791+00', '01M87XFH2HEXPWK6HYMSX6YCQ3'),
	(9, 2, 'loaded', 145, 220, 12, 5, 51, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31582:a29f1100', '2025-01-01 23:15:28.578811+00', '2025-01-01 23:15:28.599324+00', '01M87XFH2HB08FCBD56FWRHXFV'),
	(6, 0, 'loaded', 0, 100, 1, 5, 70, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31503:06b0929c', '2025-01-01 23:15:27.563246+00', '2025-01-01 23:15:27.581228+00', '01M87XFG3Z26KZ5FVR110VQQ56'),
	(6, 1, 'loaded', 100, 200, 6, 5, 71, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31503:06b0929c', '2025-01-01 23:15:27.579762+00', '2025-01-01 23:15:27.59028+00', '01M87XFG3ZPQKTTF69PDW1D5WB'),
	(10, 0, 'loaded', 13, 73, 2, 5, 44, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31599:cc98786b', '2025-01-01 23:15:28.808851+00', '2025-01-01 23:15:28.829339+00', '01M87XFHCS43MW0RZCSCHGQBMC'),
	(8, 1, 'loaded', 89, 164, 7, 5, 64, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31555:27bee7d1', '2025-01-01 23:15:28.24811+00', '2025-01-01 23:15:28.261277+00', '01M87XFGRC7KQZC21DY0DNXKCY'),
	(8, 0, 'loaded', 14, 89, 2, 5, 64, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31555:27bee7d1', '2025-01-01 23:15:28.225667+00', '2025-01-01 23:15:28.264581+00', '01M87XFGRCG2XB5EZ503DKCC55'),
	(10, 1, 'loaded', 73, 134, 7, 5, 44, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31599:cc98786b', '2025-01-01 23:15:28.8828+00', '2025-01-01 23:15:28.885046+00', '01M87XFHF9CCMJKYSXFCTTBHDZ'),
	(7, 0, 'deleted', 14, 109, 2, 5, 65, 5, 0, 5, 0, 0, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31555:27bee7d1', '2025-01-01 23:15:27.89998+00', '2025-01-01 23:15:28.351303+00', '01M87XFGYGT6ZPJKHEP0C5VB78'),
	(7, 1, 'deleted', 109, 204, 7, 5, 65, 5, 0, 5, 0, 0, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31555:27bee7d1', '2025-01-01 23:15:27.913138+00', '2025-01-01 23:15:28.358135+00', '01M87XFGYG40PZFRCQNCN4HMJG'),
	(9, 0, 'loaded', 13, 78, 2, 5, 45, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31582:a29f1100', '2025-01-01 23:15:28.548555+00', '2025-01-01 23:15:28.575931+00', '01M87XFH2H1MPJN9KCYFRSYPZS'),
	(11, 0, 'deleted', 31, 171, 2, 5, 77, 5, 0, 5, 0, 0, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31656:789e4462', '2025-01-01 23:15:29.110945+00', '2025-01-01 23:15:29.44653+00', '01M87XFJ0EQK33VWJ29GVWK1BM'),
	(10, 2, 'loaded', 134, 204, 12, 5, 49, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31599:cc98786b', '2025-01-01 23:15:28.917468+00', '2025-01-01 23:15:28.920747+00', '01M87XFHG74PCHTEC27ED7J2ZV'),
	(11, 1, 'deleted', 171, 320, 7, 5, 98, 5, 0, 5, 0, 0, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31656:789e4462', '2025-01-01 23:15:29.126534+00', '2025-01-01 23:15:29.462127+00', '01M87XFJ0EY7AQD2FMG0X3KPNT'),
	(11, 2, 'deleted', 320, 380, 12, 2, 49, 2, 0, 2, 0, 0, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31656:789e4462', '2025-01-01 23:15:29.136841+00', '2025-01-01 23:15:29.475085+00', '01M87XFJ0EB3VN7APQNB87QVKX'),
	(12, 0, 'loaded', 31, 171, 2, 5, 77, 5, 0, 4, 1, 0, 1, 0, NULL, NULL, 'rows were kept: edited since they were loaded, protected by a trigger, or not to be told from rows of others', 'pg_import-worker:host:31704:3d18f63b', '2025-01-01 23:15:29.735098+00', '2025-01-01 23:15:30.065143+00', '01M87XFJKP8S25YB69XHYXSBFS'),
	(12, 1, 'deleted', 171, 320, 7, 5, 98, 5, 0, 5, 0, 0, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31704:3d18f63b', '2025-01-01 23:15:29.746441+00', '2025-01-01 23:15:30.067167+00', '01M87XFJKPYVAY4DQ60FRWR5ZC'),
	(12, 2, 'loaded', 320, 380, 12, 2, 49, 2, 0, 1, 1, 0, 1, 0, NULL, NULL, 'rows were kept: edited since they were loaded, protected by a trigger, or not to be told from rows of others', 'pg_import-worker:host:31704:3d18f63b', '2025-01-01 23:15:29.759616+00', '2025-01-01 23:15:30.083075+00', '01M87XFJKP9KTY25C1FF1YZDNT'),
	(13, 0, 'loaded', 31, 191, 2, 5, 81, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31728:91def6aa', '2025-01-01 23:15:30.328739+00', '2025-01-01 23:15:30.351767+00', '01M87XFJTXK46D3E6SHWEABFRN'),
	(13, 1, 'loaded', 191, 360, 7, 5, 102, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31728:91def6aa', '2025-01-01 23:15:30.345229+00', '2025-01-01 23:15:30.357596+00', '01M87XFJTXKHZFYV76RKEJMR61'),
	(13, 2, 'loaded', 360, 428, 12, 2, 53, 2, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31728:91def6aa', '2025-01-01 23:15:30.357981+00', '2025-01-01 23:15:30.363807+00', '01M87XFJTXAVJTCXMWWZ5S3BQE'),
	(15, 0, 'loaded', 31, 166, 2, 5, 76, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31798:855693ca', '2025-01-01 23:15:31.09207+00', '2025-01-01 23:15:31.115132+00', '01M87XFKF9DJHMDJF1YHQ8PMX6'),
	(15, 1, 'loaded', 166, 310, 7, 5, 97, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31798:855693ca', '2025-01-01 23:15:31.107672+00', '2025-01-01 23:15:31.118587+00', '01M87XFKF94HR8EWJTQZKCTZ23'),
	(14, 0, 'deleted', 31, 181, 2, 5, 79, 5, 0, 5, 0, 0, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31798:855693ca', '2025-01-01 23:15:30.665888+00', '2025-01-01 23:15:31.147513+00', '01M87XFKN60ZHWK4W47V8DQ46F'),
	(14, 2, 'deleted', 340, 500, 12, 5, 84, 5, 0, 5, 0, 0, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31798:855693ca', '2025-01-01 23:15:30.704059+00', '2025-01-01 23:15:31.171167+00', '01M87XFKN61DXWGW17BYGF48TF'),
	(14, 1, 'loaded', 181, 340, 7, 5, 100, 5, 0, NULL, NULL, NULL, 1, 1, '2025-01-01 23:15:33.170674+00', '2025-01-01 23:15:33.170674+00', 'the database refused a statement: error returned from database: canceling statement due to lock timeout at line 3312', 'pg_import-worker:host:31753:43f0aa33', '2025-01-01 23:15:30.687533+00', '2025-01-01 23:15:30.702741+00', '01M87XFNNN172MB36QERVN7J2H'),
	(15, 2, 'loaded', 310, 455, 12, 5, 81, 5, 0, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, 'pg_import-worker:host:31798:855693ca', '2025-01-01 23:15:31.183466+00', '2025-01-01 23:15:33.176452+00', '01M87XFKF94JKAY3HGFZ0FD6H4'),
	(14, 3, 'loaded', 500, 669, 17, 5, 106, 5, 0, NULL, NULL, NULL, 1, 1, '2025-01-01 23:15:33.194349+00', '2025-01-01 23:15:33.194349+00', 'the database refused a statement: error returned from database: canceling statement due to lock timeout at line 3312', 'pg_import-worker:host:31753:43f0aa33', '2025-01-01 23:15:30.716967+00', '2025-01-01 23:15:30.723192+00', '01M87XFNPGKRFPSAYZPFC2YXB4'),
	(15, 3, 'pending', 455, 609, 17, 5, 103, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, '01M87XFNV64PBABHX3MGVRFAVY'),
	(15, 4, 'pending', 609, 754, 22, 5, 83, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, '01M87XFNV6Y82JKH2ZAD4CXHDA'),
	(15, 5, 'pending', 754, 908, 27, 5, 104, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, '01M87XFNV6200SM181K687TSX8'),
	(16, 0, 'pending', 31, 176, 2, 5, 78, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, '01M87XFP0JJZ9HZQP2Z4T6R3FZ'),
	(16, 1, 'pending', 176, 330, 7, 5, 99, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, '01M87XFP0J7PZEXAX6PAGV3AG1'),
	(16, 2, 'pending', 330, 392, 12, 2, 50, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, '01M87XFP0J6JJ0RTP6VA75JJSW'),
	(17, 0, 'pending', 31, 186, 2, 5, 80, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, '01M87XFP447KPJ28Y9RKYP47WX'),
	(17, 1, 'pending', 186, 350, 7, 5, 101, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, '01M87XFP44BR6QZHCHEXJQ1X3R'),
	(17, 2, 'pending', 350, 416, 12, 2, 52, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, '01M87XFP44GEYMEXWRG874XK10');

INSERT INTO pgimport.import_payload VALUES
	(9, 1, 'lz4', '\x43000000d57472616e7366657220353b360a0d0046363b2d370e0036373b380d0035383b390d006020393b31300a'),
	(15, 3, 'lz4', '\x9a000000f90e6375743b50726f647563742031353b323032352d30332d31363b31350a1d0016361d0041373b31361d00f604225465613b202222677265656e222220313722260041383b3137260005600016381d004a393b31381d0015391d006032303b31390a'),
	(15, 4, 'lz4', '\x91000000f90e6375743b50726f647563742032303b323032352d30332d32313b32300a1d00001200031d004a323b32311d0016323a004a333b32321d0016331d004a343b32331d0015341d006032353b32340a'),
	(15, 5, 'lz4', '\x9a000000f90e6375743b50726f647563742032353b323032352d30332d32363b32350a1d0016361d0041373b32361d00f604225465613b202222677265656e222220323722260041383b3237260005600015381d005a30313b32381d0015391d006030323b32390a'),
	(16, 0, 'lz4', '\x91000000fa0e6561726c793b50726f6475637420303b323032352d30332d30313b300a1d0016311d003b323b311d0016321d003b333b321d0016331d003b343b331d0014341d00602d30353b340a'),
	(16, 1, 'lz4', '\x9a000000fa0e6561726c793b50726f6475637420353b323032352d30332d30363b350a1d0016361d0033373b361d00f603225465613b202222677265656e2222203722260033383b37260004600016381d003b393b381d0014391d00602d31303b390a'),
	(16, 2, 'lz4', '\x3e000000fb106561726c793b50726f647563742031303b323032352d30332d31313b31300a1f0015311f006031323b31310a'),
	(17, 0, 'lz4', '\x9b000000fc1077616974696e673b50726f6475637420303b323032352d30332d30313b300a1f0016311f003d323b311f0016321f003d333b321f0016331f003d343b331f0014341f00602d30353b340a'),
	(17, 1, 'lz4', '\xa4000000fc1077616974696e673b50726f6475637420353b323032352d30332d30363b350a1f0016361f0035373b361f00f603225465613b202222677265656e2222203722280035383b37280004660016381f003d393b381f0014391f00602d31303b390a'),
	(17, 2, 'lz4', '\x42000000fd1277616974696e673b50726f647563742031303b323032352d30332d31313b31300a2100153121006031323b31310a');

INSERT INTO pgimport.import_registry VALUES
	(1, 0, 3, 7, 1, 40347, '{795}', NULL, 40346),
	(1, 2, 13, 14, 1, 40347, '{800}', NULL, 40346),
	(1, 1, 8, 12, 1, 40347, '{797}', NULL, 40346),
	(2, 0, 15, 18, 1, 40347, '{821}', NULL, 40346),
	(2, 1, 19, 22, 1, 40347, '{822}', NULL, 40346),
	(2, 2, 23, 24, 1, 40347, '{823}', NULL, 40346),
	(3, 0, 25, 29, 1, 40347, '{843}', NULL, 40346),
	(3, 1, 32, 36, 1, 40347, '{846}', NULL, 40346),
	(3, 2, 30, 31, 1, 40347, '{845}', NULL, 40346),
	(4, 0, 37, 41, 1, 40347, '{867}', NULL, 40346),
	(4, 1, 42, 46, 1, 40347, '{868}', NULL, 40346),
	(4, 2, 47, 48, 1, 40347, '{869}', NULL, 40346),
	(5, 0, 2, 6, 1, 40355, '{887}', NULL, 40354),
	(5, 1, 7, 11, 1, 40355, '{888}', NULL, 40354),
	(6, 0, 13, 17, 1, 40355, '{906}', NULL, 40354),
	(6, 1, 18, 22, 1, 40355, '{907}', NULL, 40354),
	(8, 0, 18, 22, 1, 40364, '{943}', NULL, 40363),
	(8, 1, 13, 17, 1, 40364, '{942}', NULL, 40363),
	(9, 0, 3, 7, 1, 40372, '{972}', NULL, 40371),
	(9, 2, 13, 17, 1, 40372, '{980}', NULL, 40371),
	(10, 0, 18, 22, 1, 40372, '{992}', NULL, 40371),
	(10, 1, 23, 27, 1, 40372, '{998}', NULL, 40371),
	(10, 2, 28, 32, 1, 40372, '{1004}', NULL, 40371),
	(12, 0, 63, 67, 1, 40347, '{1066}', NULL, 40346),
	(12, 2, 68, 69, 1, 40347, '{1067}', NULL, 40346),
	(13, 0, 75, 79, 1, 40347, '{1108}', NULL, 40346),
	(13, 2, 85, 86, 1, 40347, '{1113}', NULL, 40346),
	(13, 1, 80, 84, 1, 40347, '{1110}', NULL, 40346),
	(14, 1, 92, 96, 1, 40347, '{1134}', NULL, 40346),
	(14, 3, 102, 106, 1, 40347, '{1142}', NULL, 40346),
	(15, 1, 114, 118, 1, 40347, '{1165}', NULL, 40346),
	(15, 0, 109, 113, 1, 40347, '{1164}', NULL, 40346),
	(15, 2, 119, 123, 1, 40347, '{1190}', NULL, 40346);

INSERT INTO pgimport.import_reject VALUES
	(2, 0, 124, 5, 'Date', 'no such day in the calendar', '\x72656a656374733b50726f6475637420333b323032352d30322d33303b33'),
	(2, 1, 288, 10, NULL, 'expected 4 fields, found 3', '\x72656a656374733b50726f6475637420383b323032352d30332d3039');

INSERT INTO pgimport.worker VALUES
	('pg_import-worker:host:31798:855693ca', 'host', 31798, 2, '2025-01-01 23:15:31.053662+00', '2025-01-01 23:15:33.065369+00');

INSERT INTO public.sale_order VALUES
	(1, 'others', 'first', '2025-01-01', 1),
	(2, 'others', 'first', '2025-01-01', 2),
	(3, 'orders', 'Product 0', '2025-03-01', 0),
	(4, 'orders', 'Product 1', '2025-03-02', 1),
	(5, 'orders', 'Product 2', '2025-03-03', 2),
	(6, 'orders', 'Product 3', '2025-03-04', 3),
	(7, 'orders', 'Product 4', '2025-03-05', 4),
	(8, 'orders', 'Product 5', '2025-03-06', 5),
	(9, 'orders', 'Product 6', '2025-03-07', 6),
	(10, 'orders', 'Tea; "green" 7', '2025-03-08', 7),
	(11, 'orders', 'Product 8', '2025-03-09', 8),
	(12, 'orders', 'Product 9', '2025-03-10', 9),
	(13, 'orders', 'Product 10', '2025-03-11', 10),
	(14, 'orders', 'Product 11', '2025-03-12', 11),
	(15, 'rejects', 'Product 0', '2025-03-01', 0),
	(16, 'rejects', 'Product 1', '2025-03-02', 1),
	(17, 'rejects', 'Product 2', '2025-03-03', 2),
	(18, 'rejects', 'Product 4', '2025-03-05', 4),
	(19, 'rejects', 'Product 5', '2025-03-06', 5),
	(20, 'rejects', 'Product 6', '2025-03-07', 6),
	(21, 'rejects', 'Tea; "green" 7', '2025-03-08', 7),
	(22, 'rejects', 'Product 9', '2025-03-10', 9),
	(23, 'rejects', 'Product 10', '2025-03-11', 10),
	(24, 'rejects', 'Product 11', '2025-03-12', 11),
	(25, 'copied', 'Product 0', '2025-03-01', 0),
	(26, 'copied', 'Product 1', '2025-03-02', 1),
	(27, 'copied', 'Product 2', '2025-03-03', 2),
	(28, 'copied', 'Product 3', '2025-03-04', 3),
	(29, 'copied', 'Coffee
ground', '2025-03-05', 4),
	(30, 'copied', 'Product 10', '2025-03-11', 10),
	(31, 'copied', 'Product 11', '2025-03-12', 11),
	(32, 'copied', 'Product 5', '2025-03-06', 5),
	(33, 'copied', 'Product 6', '2025-03-07', 6),
	(34, 'copied', 'Tea; "green" 7', '2025-03-08', 7),
	(35, 'copied', 'Product 8', '2025-03-09', 8),
	(36, 'copied', 'Product 9', '2025-03-10', 9),
	(37, 'keyed', 'Product 0', '2025-03-01', 0),
	(38, 'keyed', 'Product 1', '2025-03-02', 1),
	(39, 'keyed', 'Product 2', '2025-03-03', 2),
	(40, 'keyed', 'Product 3', '2025-03-04', 3),
	(41, 'keyed', 'Product 4', '2025-03-05', 4),
	(42, 'keyed', 'Product 5', '2025-03-06', 5),
	(43, 'keyed', 'Product 6', '2025-03-07', 6),
	(44, 'keyed', 'Tea; "green" 7', '2025-03-08', 7),
	(45, 'keyed', 'Product 8', '2025-03-09', 8),
	(46, 'keyed', 'Product 9', '2025-03-10', 9),
	(47, 'keyed', 'Product 10', '2025-03-11', 10),
	(48, 'keyed', 'Product 11', '2025-03-12', 11),
	(49, 'others', 'second', '2025-01-01', 1),
	(50, 'others', 'second', '2025-01-01', 2),
	(66, 'kept', 'Product 3', '2025-03-04', -1),
	(69, 'kept', 'Product 11', '2025-03-12', -1),
	(75, 'unfenced', 'Product 0', '2025-03-01', 0),
	(76, 'unfenced', 'Product 1', '2025-03-02', 1),
	(77, 'unfenced', 'Product 2', '2025-03-03', 2),
	(78, 'unfenced', 'Product 3', '2025-03-04', 3),
	(79, 'unfenced', 'Product 4', '2025-03-05', 4),
	(85, 'unfenced', 'Product 10', '2025-03-11', 10),
	(86, 'unfenced', 'Product 11', '2025-03-12', 11),
	(80, 'unfenced', 'Product 5', '2025-03-06', 5),
	(81, 'unfenced', 'Product 6', '2025-03-07', 6),
	(82, 'unfenced', 'Tea; "green" 7', '2025-03-08', 7),
	(83, 'unfenced', 'Product 8', '2025-03-09', 8),
	(84, 'unfenced', 'Product 9', '2025-03-10', 9),
	(92, 'fenced', 'Product 5', '2025-03-06', 5),
	(93, 'fenced', 'Product 6', '2025-03-07', 6),
	(94, 'fenced', 'Tea; "green" 7', '2025-03-08', 7),
	(95, 'fenced', 'Product 8', '2025-03-09', 8),
	(96, 'fenced', 'Product 9', '2025-03-10', 9),
	(102, 'fenced', 'Product 15', '2025-03-16', 15),
	(103, 'fenced', 'Product 16', '2025-03-17', 16),
	(104, 'fenced', 'Tea; "green" 17', '2025-03-18', 17),
	(105, 'fenced', 'Product 18', '2025-03-19', 18),
	(106, 'fenced', 'Product 19', '2025-03-20', 19),
	(107, 'others', 'third', '2025-01-01', 1),
	(108, 'others', 'third', '2025-01-01', 2),
	(109, 'cut', 'Product 0', '2025-03-01', 0),
	(110, 'cut', 'Product 1', '2025-03-02', 1),
	(111, 'cut', 'Product 2', '2025-03-03', 2),
	(112, 'cut', 'Product 3', '2025-03-04', 3),
	(113, 'cut', 'Product 4', '2025-03-05', 4),
	(114, 'cut', 'Product 5', '2025-03-06', 5),
	(115, 'cut', 'Product 6', '2025-03-07', 6),
	(116, 'cut', 'Tea; "green" 7', '2025-03-08', 7),
	(117, 'cut', 'Product 8', '2025-03-09', 8),
	(118, 'cut', 'Product 9', '2025-03-10', 9),
	(119, 'cut', 'Product 10', '2025-03-11', 10),
	(120, 'cut', 'Product 11', '2025-03-12', 11),
	(121, 'cut', 'Product 12', '2025-03-13', 12),
	(122, 'cut', 'Product 13', '2025-03-14', 13),
	(123, 'cut', 'Product 14', '2025-03-15', 14);

INSERT INTO public.stock VALUES
	(1, 'others first', '2025-01-01', 1),
	(2, 'stock 0', '2025-03-01', 0),
	(3, 'stock 1', '2025-03-02', 3),
	(4, 'stock 2', '2025-03-03', NULL),
	(5, 'stock 3', '2025-03-04', 9),
	(6, 'stock 4', '2025-03-05', 12),
	(7, 'stock 5', '2025-03-06', 15),
	(8, 'stock 6', '2025-03-07', NULL),
	(9, 'stock 7', '2025-03-08', 21),
	(10, 'stock 8', '2025-03-09', 24),
	(11, 'stock 9', '2025-03-10', 27),
	(12, 'others second', '2025-01-01', 1),
	(13, 'bare 0', '2025-04-01', 0),
	(14, 'bare 1', '2025-04-02', 1),
	(15, 'bare 2', '2025-04-03', 2),
	(16, 'bare 3', '2025-04-04', 3),
	(17, 'bare 4', '2025-04-05', 4),
	(18, 'bare 5', '2025-04-06', 5),
	(19, 'bare 6', '2025-04-07', 6),
	(20, 'bare 7', '2025-04-08', 7),
	(21, 'bare 8', '2025-04-09', 8),
	(22, 'bare 9', '2025-04-10', 9),
	(23, 'others third', '2025-01-01', 1);

INSERT INTO public.tariff VALUES
	(1, 'others first', 1.00),
	(2, 'others second', 1.00),
	(13, 'tariff 5', 25.55),
	(14, 'tariff 6', 26.65),
	(15, 'tariff 7', 27.75),
	(16, 'tariff 8', 28.85),
	(17, 'tariff 9', 29.95),
	(18, 'tariff 0', 20.05),
	(19, 'tariff 1', 21.15),
	(20, 'tariff 2', 22.25),
	(21, 'tariff 3', 23.35),
	(22, 'tariff 4', 24.45),
	(23, 'others third', 1.00);

INSERT INTO public.transfer VALUES
	(1, 'others first', 1),
	(2, 'others second', 1),
	(3, 'transfer 0', 1),
	(4, 'transfer 1', 2),
	(5, 'transfer 2', 3),
	(6, 'transfer 3', 4),
	(7, 'transfer 4', 5),
	(13, 'transfer 10', 11),
	(14, 'transfer 11', 12),
	(15, 'transfer 12', 13),
	(16, 'transfer 13', 14),
	(17, 'transfer 14', 15),
	(18, 'unsplit 0', 1),
	(19, 'unsplit 1', 2),
	(20, 'unsplit 2', 3),
	(21, 'unsplit 3', 4),
	(22, 'unsplit 4', 5),
	(23, 'unsplit 5', 6),
	(24, 'unsplit 6', 7),
	(25, 'unsplit 7', 8),
	(26, 'unsplit 8', 9),
	(27, 'unsplit 9', 10),
	(28, 'unsplit 10', 11),
	(29, 'unsplit 11', 12),
	(30, 'unsplit 12', 13),
	(31, 'unsplit 13', 14),
	(32, 'unsplit 14', 15),
	(33, 'others third', 1);

SELECT pg_catalog.setval('pgimport.import_id_seq', 17, true);

SELECT pg_catalog.setval('public.sale_order_id_seq', 123, true);

SELECT pg_catalog.setval('public.stock_id_seq', 23, true);

SELECT pg_catalog.setval('public.tariff_id_seq', 23, true);

SELECT pg_catalog.setval('public.transfer_id_seq', 33, true);

ALTER TABLE ONLY apalis._sqlx_migrations
    ADD CONSTRAINT _sqlx_migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY apalis.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY apalis.workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgimport._sqlx_migrations
    ADD CONSTRAINT _sqlx_migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY pgimport.import_chunk
    ADD CONSTRAINT import_chunk_pkey PRIMARY KEY (import_id, ordinal);

ALTER TABLE ONLY pgimport.import_payload
    ADD CONSTRAINT import_payload_pkey PRIMARY KEY (import_id, ordinal);

ALTER TABLE ONLY pgimport.import
    ADD CONSTRAINT import_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgimport.import_registry
    ADD CONSTRAINT import_registry_pkey PRIMARY KEY (import_id, ordinal, start_id);

ALTER TABLE ONLY pgimport.import_reject
    ADD CONSTRAINT import_reject_pkey PRIMARY KEY (import_id, start_byte);

ALTER TABLE ONLY pgimport.worker
    ADD CONSTRAINT worker_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.sale_order
    ADD CONSTRAINT sale_order_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.stock
    ADD CONSTRAINT stock_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.tariff
    ADD CONSTRAINT tariff_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.transfer
    ADD CONSTRAINT transfer_pkey PRIMARY KEY (id);

CREATE INDEX idx_apalis_jobs_fetch_partial ON apalis.jobs USING btree (job_type, priority DESC, run_at) WHERE ((status = 'Pending'::text) OR ((status = 'Failed'::text) AND (attempts < max_attempts)));

CREATE INDEX idx_apalis_jobs_lock_by ON apalis.jobs USING btree (lock_by);

CREATE INDEX idx_apalis_workers_last_seen ON apalis.workers USING btree (last_seen);

CREATE INDEX idx_apalis_workers_worker_type ON apalis.workers USING btree (worker_type);

CREATE UNIQUE INDEX idx_jobs_idempotency_key ON apalis.jobs USING btree (job_type, idempotency_key);

CREATE INDEX lidx ON apalis.jobs USING btree (lock_by);

CREATE INDEX lsidx ON apalis.workers USING btree (last_seen);

CREATE UNIQUE INDEX unique_job_id ON apalis.jobs USING btree (id);

CREATE UNIQUE INDEX unique_worker_id ON apalis.workers USING btree (id);

CREATE INDEX wtidx ON apalis.workers USING btree (worker_type);

CREATE INDEX import_chunk_failed ON pgimport.import_chunk USING btree (import_id, ordinal) WHERE (state = 'failed'::text);

CREATE INDEX import_chunk_pending ON pgimport.import_chunk USING btree (import_id, ordinal) WHERE (state = 'pending'::text);

CREATE INDEX import_chunk_undecided ON pgimport.import_chunk USING btree (import_id, ordinal) WHERE ((state = 'loaded'::text) AND (kept_count IS NULL));

CREATE UNIQUE INDEX import_key ON pgimport.import USING btree (key) WHERE (state <> 'cancelled'::text);

CREATE INDEX import_open ON pgimport.import USING btree (state) WHERE (state = ANY (ARRAY['splitting'::text, 'loading'::text, 'cancelling'::text]));

CREATE INDEX import_registry_target ON pgimport.import_registry USING btree (target_oid, end_id) WHERE (voided_by IS NULL);

CREATE INDEX import_reject_chunk ON pgimport.import_reject USING btree (import_id, ordinal);

CREATE INDEX import_target ON pgimport.import USING btree (target_oid, state);

CREATE TRIGGER notify_workers AFTER INSERT ON apalis.jobs FOR EACH ROW EXECUTE FUNCTION apalis.notify_new_jobs();

ALTER TABLE ONLY apalis.jobs
    ADD CONSTRAINT fk_worker_lock_by FOREIGN KEY (lock_by) REFERENCES apalis.workers(id);

ALTER TABLE ONLY pgimport.import_chunk
    ADD CONSTRAINT import_chunk_import_id_fkey FOREIGN KEY (import_id) REFERENCES pgimport.import(id) ON DELETE CASCADE;

ALTER TABLE ONLY pgimport.import_payload
    ADD CONSTRAINT import_payload_import_id_ordinal_fkey FOREIGN KEY (import_id, ordinal) REFERENCES pgimport.import_chunk(import_id, ordinal) ON DELETE CASCADE;

ALTER TABLE ONLY pgimport.import_registry
    ADD CONSTRAINT import_registry_import_id_ordinal_fkey FOREIGN KEY (import_id, ordinal) REFERENCES pgimport.import_chunk(import_id, ordinal) ON DELETE CASCADE;

ALTER TABLE ONLY pgimport.import_reject
    ADD CONSTRAINT import_reject_import_id_ordinal_fkey FOREIGN KEY (import_id, ordinal) REFERENCES pgimport.import_chunk(import_id, ordinal) ON DELETE CASCADE;

