-- Who is to be told when an import ends, and what came of telling it. A trigger writes down what is to be sent, in the transaction of the
-- event itself and whichever program made it; workers send it, and try again until it is answered or given up.
SET LOCAL lock_timeout = '5s';

CREATE TABLE pgimport.import_notification (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    import_id bigint NOT NULL REFERENCES pgimport.import (id) ON DELETE CASCADE,
    url       text NOT NULL CHECK (length(url) <= 2048),
    host      text GENERATED ALWAYS AS (coalesce(substring(url FROM '^[a-z]+://(?:[^/?#@]*@)?(\[[^]]*\]|[^/?#:]*)'), '')) STORED
);

-- An address is told once, however often it is asked for. By its hash, for an index takes no text of that length.
CREATE UNIQUE INDEX import_notification_once ON pgimport.import_notification (import_id, (pg_catalog.md5(url)));

COMMENT ON TABLE pgimport.import_notification IS 'Where messages are sent to when an import ends.';
COMMENT ON COLUMN pgimport.import_notification.id IS 'Names it.';
COMMENT ON COLUMN pgimport.import_notification.import_id IS 'The import.';
COMMENT ON COLUMN pgimport.import_notification.url IS 'An address of the web. It may hold a secret, so that only workers read it.';
COMMENT ON COLUMN pgimport.import_notification.host IS 'Its host: one that does not answer shall not keep others waiting.';

CREATE TABLE pgimport.notification_delivery (
    event_id        bigint NOT NULL REFERENCES pgimport.import_event (id) ON DELETE CASCADE,
    notification_id bigint NOT NULL REFERENCES pgimport.import_notification (id) ON DELETE CASCADE,
    message_id      uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    claims          integer NOT NULL DEFAULT 0,
    attempts        integer NOT NULL DEFAULT 0,
    due_at          timestamptz DEFAULT clock_timestamp(),
    delivered_at    timestamptz,
    error           text,
    PRIMARY KEY (event_id, notification_id)
);

CREATE INDEX notification_delivery_due ON pgimport.notification_delivery (due_at) WHERE delivered_at IS NULL;
CREATE INDEX notification_delivery_notification ON pgimport.notification_delivery (notification_id);

COMMENT ON TABLE pgimport.notification_delivery IS 'One row for each message that is, or was, to be sent: one for each end of an import and each of its addresses.';
COMMENT ON COLUMN pgimport.notification_delivery.event_id IS 'The event that it tells of.';
COMMENT ON COLUMN pgimport.notification_delivery.notification_id IS 'Where it goes.';
COMMENT ON COLUMN pgimport.notification_delivery.message_id IS 'By which the receiver knows a message that comes again: the header webhook-id.';
COMMENT ON COLUMN pgimport.notification_delivery.claims IS 'How often a worker set out to send it.';
COMMENT ON COLUMN pgimport.notification_delivery.attempts IS 'How often something came of that.';
COMMENT ON COLUMN pgimport.notification_delivery.due_at IS 'When it is sent next; while a worker sends it, when others may. Null when it was given up.';
COMMENT ON COLUMN pgimport.notification_delivery.delivered_at IS 'When the receiver took it.';
COMMENT ON COLUMN pgimport.notification_delivery.error IS 'Why the last attempt failed, for people; never the address.';

CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON pgimport.import_notification
    FOR EACH ROW EXECUTE FUNCTION pgimport.guard_part();

-- With the owner's rights, for submitters end imports too, and write no deliveries otherwise.
CREATE FUNCTION pgimport.owe_notification() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        IF TG_RELID <> 'pgimport.import_event'::regclass THEN
            RAISE EXCEPTION 'this is a trigger of pgimport.import_event alone' USING ERRCODE = 'insufficient_privilege';
        END IF;
        INSERT INTO pgimport.notification_delivery (event_id, notification_id)
        SELECT NEW.id, n.id FROM pgimport.import_notification AS n WHERE n.import_id = NEW.import_id;
        RETURN NULL;
    END
    $$;

COMMENT ON FUNCTION pgimport.owe_notification() IS 'Writes down that somebody is to be told of an import''s end.';

-- Who may only cancel an import can write that event of it, whatever its state, and is not heard.
CREATE TRIGGER owe_notification AFTER INSERT ON pgimport.import_event FOR EACH ROW
    WHEN (NEW.to_state IN ('loaded', 'failed', 'cancelled', 'kept') AND NEW.event <> 'cancel')
    EXECUTE FUNCTION pgimport.owe_notification();

-- A function of triggers that has its owner's rights is nobody else's to put on a table of their own, where types and casts of theirs would
-- run with these rights. That was open for guard_id, since 0004.
REVOKE EXECUTE ON FUNCTION pgimport.owe_notification(), pgimport.guard_id() FROM PUBLIC;

-- Who may submit may say where to, and cannot read it again; who may see events may see what came of telling them; who may write the registry,
-- the workers, send. All belongs to whoever owns the rest, whoever runs this.
DO $$
DECLARE
    held record;
    owner regrole := (SELECT c.relowner::regrole FROM pg_catalog.pg_class AS c WHERE c.oid = 'pgimport.import'::regclass);
BEGIN
    FOR held IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee, g.privileges
        FROM pg_catalog.pg_class AS c CROSS JOIN pg_catalog.aclexplode(c.relacl) AS a
        JOIN (VALUES
            ('pgimport.import'::regclass, 'INSERT', 'INSERT ON pgimport.import_notification'),
            ('pgimport.import_event'::regclass, 'SELECT', 'SELECT ON pgimport.notification_delivery'),
            ('pgimport.import_registry'::regclass, 'INSERT', 'SELECT ON pgimport.import_notification, pgimport.import_event'),
            ('pgimport.import_registry'::regclass, 'INSERT', 'SELECT, UPDATE ON pgimport.notification_delivery')
        ) AS g (on_table, privilege, privileges) ON g.on_table = c.oid AND g.privilege = a.privilege_type
        WHERE a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT %s TO %s', held.privileges, held.grantee);
    END LOOP;
    IF owner::oid <> (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) THEN
        EXECUTE format('ALTER TABLE pgimport.import_notification OWNER TO %s', owner);
        EXECUTE format('ALTER TABLE pgimport.notification_delivery OWNER TO %s', owner);
        EXECUTE format('ALTER FUNCTION pgimport.owe_notification() OWNER TO %s', owner);
    END IF;
END
$$;
