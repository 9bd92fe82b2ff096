//! Functions, operators, casts, types and tables in `public` that look like the server's own: none of them is ever used.

use crate::support::{World, assert_json, role::Role};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Arguments that fit better than those of the server's own function, or just as well.
const FUNCTIONS: [(&str, &[&str]); 57] = [
    ("array_agg", &["bigint", "integer", "text"]),
    ("array_length", &["bigint[], integer"]),
    ("cardinality", &["text[]", "bigint[]"]),
    ("ceil", &["double precision", "numeric"]),
    ("clock_timestamp", &[""]),
    ("concat", &["text, text", "bigint, text"]),
    ("convert", &["bytea, text, text"]),
    ("count", &["bigint", "text", "integer"]),
    ("current_database", &[""]),
    ("current_setting", &["text"]),
    ("date_part", &["text, timestamptz", "text, interval"]),
    ("decode", &["text, text"]),
    ("encode", &["bytea, text"]),
    ("floor", &["double precision", "numeric"]),
    ("format", &["text, name, name", "text, text, text", "text, text"]),
    ("format_type", &["oid, integer"]),
    ("gcd", &["bigint, bigint", "bigint, integer"]),
    (
        "generate_series",
        &[
            "bigint, bigint, bigint",
            "integer, integer",
            "integer, bigint",
            "bigint, bigint",
        ],
    ),
    ("has_sequence_privilege", &["oid, text", "name, text"]),
    ("has_table_privilege", &["oid, text", "text, text", "name, text"]),
    ("hashtext", &["text", "name"]),
    ("hashtextextended", &["text, integer", "text, bigint"]),
    ("json_build_object", &["text, text, text, text, text, timestamptz"]),
    ("jsonb_array_elements", &["jsonb"]),
    ("length", &["text"]),
    ("max", &["bigint", "integer"]),
    ("min", &["bigint", "integer", "text"]),
    ("nextval", &["regclass", "oid", "text", "integer", "bigint"]),
    ("now", &[""]),
    ("pg_advisory_lock", &["bigint", "integer"]),
    ("pg_advisory_unlock", &["bigint", "integer"]),
    ("pg_advisory_xact_lock", &["bigint", "integer"]),
    ("pg_advisory_xact_lock_shared", &["bigint"]),
    ("pg_backend_pid", &[""]),
    ("pg_current_xact_id", &[""]),
    ("pg_has_role", &["oid, text", "name, text"]),
    ("pg_is_in_recovery", &[""]),
    ("pg_notify", &["text, text"]),
    ("pg_partition_tree", &["regclass", "oid"]),
    ("pg_postmaster_start_time", &[""]),
    ("pg_relation_filenode", &["regclass", "oid", "integer", "bigint"]),
    ("pg_sequence_last_value", &["regclass", "oid"]),
    ("pg_sequence_parameters", &["oid", "integer", "bigint"]),
    ("pg_terminate_backend", &["integer"]),
    ("pg_try_advisory_lock", &["bigint", "integer"]),
    ("pg_try_advisory_xact_lock", &["bigint"]),
    ("quote_ident", &["text", "name"]),
    ("row_security_active", &["oid", "text"]),
    ("set_config", &["text, text, boolean"]),
    ("starts_with", &["text, text", "name, text"]),
    ("statement_timestamp", &[""]),
    ("sum", &["bigint", "integer"]),
    ("timezone", &["text, timestamptz"]),
    ("to_char", &["timestamp, text", "timestamptz, text"]),
    ("to_regclass", &["text", "varchar", "name"]),
    ("to_timestamp", &["double precision", "bigint", "integer", "numeric"]),
    (
        "unnest",
        &[
            "bigint[]",
            "bytea[]",
            "date[]",
            "integer[]",
            "numeric[]",
            "smallint[]",
            "text[]",
            "timestamp[]",
            "varchar[]",
        ],
    ),
];

/// Of which the server has none with just these types, or the same.
const OPERATORS: [(&str, &str, &str); 25] = [
    ("=", "bigint", "integer"),
    ("=", "bigint", "bigint"),
    ("=", "name", "text"),
    ("=", "numeric", "integer"),
    ("=", "oid", "oid"),
    ("=", "oid", "regclass"),
    ("=", "oid", "regtype"),
    ("=", "regclass", "oid"),
    ("=", "text", "text"),
    ("=", "text", "varchar"),
    ("=", "varchar", "text"),
    ("=", "varchar", "varchar"),
    ("<>", "name", "text"),
    ("<>", "\"char\"", "text"),
    ("=", "\"char\"", "text"),
    ("<", "numeric", "integer"),
    ("<", "timestamptz", "timestamptz"),
    (">", "integer", "bigint"),
    ("%", "bigint", "integer"),
    ("%", "bigint", "bigint"),
    ("*", "double precision", "interval"),
    ("*", "numeric", "integer"),
    ("*", "integer", "bigint"),
    ("-", "timestamptz", "interval"),
    ("||", "bigint", "text"),
];

/// What looks like the server's own, made by a role that may create in `public`; whatever is used says so in the server's log, for a
/// transaction that is rolled back would take any other trace with it.
fn shadows() -> String {
    let body = |name: &str, arguments: &str, end: &str| {
        format!(
            "LANGUAGE plpgsql AS $shadow$ BEGIN
             RAISE LOG '%', pg_catalog.concat('sha', 'dow {name}({arguments}) for ', current_user, ';'); {end} END $shadow$;"
        )
    };
    let mut sql = String::new();
    for (name, signatures) in FUNCTIONS {
        for arguments in signatures {
            let returns = match name {
                "unnest" => format!("SETOF {}", arguments.trim_end_matches("[]")),
                "generate_series" => "SETOF bigint".to_owned(),
                _ => "text".to_owned(),
            };
            let end = if returns.starts_with("SETOF") {
                "RETURN;"
            } else {
                "RETURN NULL;"
            };
            if matches!(name, "array_agg" | "count" | "max" | "min" | "sum") {
                sql.push_str(&format!(
                    "CREATE FUNCTION public.step_{name}(text, {arguments}) RETURNS text {}
                     CREATE AGGREGATE public.{name}({arguments}) (SFUNC = public.step_{name}, STYPE = pg_catalog.text);\n",
                    body(name, arguments, end)
                ));
            } else {
                sql.push_str(&format!(
                    "CREATE FUNCTION public.{name}({arguments}) RETURNS {returns} {}\n",
                    body(name, arguments, end)
                ));
            }
        }
    }
    for (index, (operator, left, right)) in OPERATORS.into_iter().enumerate() {
        let returns = if matches!(operator, "=" | "<>" | "<" | ">") {
            "boolean"
        } else {
            left
        };
        sql.push_str(&format!(
            "CREATE FUNCTION public.operator_{index}({left}, {right}) RETURNS {returns} {}
             CREATE OPERATOR public.{operator} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = public.operator_{index});\n",
            body(operator, &format!("{left}, {right}"), "RETURN NULL;")
        ));
    }
    // A type to which everything casts by itself, and functions that take it.
    sql.push_str("CREATE TYPE public.anything AS (of_it text);\n");
    for from in [
        "bigint",
        "integer",
        "text",
        "oid",
        "regclass",
        "timestamptz",
        "bigint[]",
    ] {
        sql.push_str(&format!(
            "CREATE FUNCTION public.to_anything({from}) RETURNS public.anything {}
             CREATE CAST ({from} AS public.anything) WITH FUNCTION public.to_anything({from}) AS IMPLICIT;\n",
            body("to_anything", from, "RETURN NULL;")
        ));
    }
    for name in [
        "unnest",
        "array_agg",
        "nextval",
        "to_regclass",
        "pg_sequence_parameters",
        "count",
    ] {
        sql.push_str(&format!(
            "CREATE FUNCTION public.{name}(public.anything{}) RETURNS text {}\n",
            // The aggregates of these names are there already.
            if matches!(name, "array_agg" | "count") {
                ", text"
            } else {
                ""
            },
            body(name, "anything", "RETURN NULL;")
        ));
    }
    for table in [
        "import",
        "import_chunk",
        "import_payload",
        "import_reference",
        "import_registry",
        "import_reject",
        "import_segment",
        "jobs",
        "pg_attribute",
        "pg_class",
        "pg_constraint",
        "pg_roles",
        "pg_sequence",
        "pg_stat_activity",
        "pg_trigger",
        "pg_type",
        "worker",
        "workers",
        "_sqlx_migrations",
    ] {
        sql.push_str(&format!("CREATE TABLE public.{table} (shadow text);\n"));
    }
    for domain in [
        "bytea",
        "int4",
        "int8",
        "name",
        "numeric",
        "oid",
        "regclass",
        "regtype",
        "text",
        "timestamptz",
        "interval",
        "jsonb",
    ] {
        sql.push_str(&format!("CREATE DOMAIN public.\"{domain}\" AS pg_catalog.int2;\n"));
    }
    sql
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_stranger_put_into_public_is_used() {
    let world = World::new().await;
    let mut roles = Vec::new();
    for name in ["submitter", "worker", "stranger"] {
        roles.push(Role::named(&world, name, "").await);
    }
    let [submitter, worker, stranger] = roles.as_slice() else {
        unreachable!()
    };
    // A sequence that gives blocks, a trigger that makes the loader ask for the rows, types that are sent as they are and one that is not.
    world
        .execute(
            "CREATE TABLE public.t (id bigint GENERATED ALWAYS AS IDENTITY (CACHE 100) PRIMARY KEY, a varchar(20), b int, n numeric, d date, j jsonb);
             CREATE TABLE public.s (id smallserial PRIMARY KEY, a text, b int);
             CREATE UNIQUE INDEX large ON public.t (b) WHERE b > 1000; CREATE UNIQUE INDEX large_too ON public.s (b) WHERE b > 1000;
             CREATE FUNCTION public.idle() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN
                     IF NEW.b = 666 THEN RAISE 'never' USING ERRCODE = 'insufficient_privilege'; END IF;
                     RETURN NEW;
                 END $$;
             CREATE TRIGGER idle BEFORE INSERT ON public.s FOR EACH ROW EXECUTE FUNCTION public.idle()",
        )
        .await;
    let mut grants = [submitter.submitter_grants(), worker.worker_grants()].concat();
    grants.extend(stranger.grants(&["CREATE, USAGE ON SCHEMA public"]));
    grants.push(format!("GRANT {} TO {}", submitter.name, worker.name));
    for role in [submitter, worker] {
        grants.extend(role.grants_on("t"));
        grants.extend(role.grants_on("s"));
    }
    for grant in grants {
        world.execute(&grant).await;
    }
    let mut conn = PgConnection::connect(&stranger.url).await.unwrap();
    for statement in shadows().split(";\n").filter(|statement| !statement.is_empty()) {
        let made = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut conn).await;
        made.unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
    conn.close().await.unwrap();

    let working = worker.run(world.worker(&[])).start();
    let enqueue = |arguments: &[&str]| submitter.run(world.enqueue(arguments)).run();
    let rows = |columns: &str, row: &str| format!("{columns}\n{}", format!("{row}\n").repeat(250));
    let t = world.file("t.csv", rows("a;b;n;d;j", "x;1;1.5;2025-01-01;{}"));
    let s = world.file("s.csv", format!("{}x;no number\n", rows("a;b", "x;1")));
    let copied = world.file("copied.csv", rows("a;b;n;d", "x;1;1.5;2025-01-01"));
    for (file, arguments, code) in [
        (&t, &["--table", "t"][..], 0),
        (&t, &["--table", "t", "--force", "--chunk-rows", "30"], 0),
        (&copied, &["--table", "t", "--load-method", "copy"], 0),
        (&s, &["--table", "s"], 3),
        (
            &s,
            &[
                "--table",
                "public.s",
                "--force",
                "--chunk-rows",
                "100",
                "--load-method",
                "copy",
            ],
            3,
        ),
    ] {
        let all = [&["-i", file.as_str(), "--wait"], arguments].concat();
        let id = enqueue(&all).exits(code).id().to_string();
        enqueue(&["status", &id]).exits(0);
        enqueue(&["verify", &id, file]).exits(0);
        enqueue(&["rejects", &id]).exits(0);
        enqueue(&["cancel", &id, "--dry-run"]).exits(0);
        enqueue(&["cancel", &id, "--wait", "--keep-edited"]).exits(0);
        assert_json(
            &world.status(id.parse().unwrap()),
            &json!({"state": "cancelled", "deleted": 250}),
        );
    }
    enqueue(&["-i", &t, "--table", "t", "--replace", "--wait"]).exits(0);
    let replacing = enqueue(&["-i", &t, "--table", "t", "--replace", "--force", "--wait"])
        .exits(0)
        .id();
    // Records that the server refuses, one by one.
    let refused = world.file(
        "refused.csv",
        "a;b;n;d;j\nx;1;1;2025-01-01;{\nx;2000;1;2025-01-01;{}\nx;2000;1;2025-01-01;{}\n",
    );
    let twice = world.file("twice.csv", "a;b\nx;1\nx;2000\nx;2000\n");
    for (file, table, method) in [
        (&refused, "t", "insert"),
        (&twice, "s", "insert"),
        (&twice, "s", "copy"),
    ] {
        let all = [
            "-i",
            file,
            "--table",
            table,
            "--load-method",
            method,
            "--force",
            "--wait",
        ];
        let id = enqueue(&all).exits(3).id().to_string();
        enqueue(&["verify", &id, file]).exits(0);
        enqueue(&["cancel", &id, "--wait"]).exits(0);
    }
    // What fails is tried again by hand.
    let never = world.file("never.csv", "a;b\nx;666\n");
    let failed = enqueue(&["-i", &never, "--table", "s", "--wait"])
        .exits(1)
        .id()
        .to_string();
    enqueue(&["retry", &failed, "--wait"]).exits(1);
    enqueue(&["forget", &failed]).exits(0);
    // A stream whose submitter is gone, another's sessions, finished jobs: maintenance.
    let mut stream = submitter
        .run(world.enqueue(&["--table", "s", "--chunk-rows", "1"]))
        .pipe()
        .start();
    std::io::Write::write_all(&mut stream.stdin(), b"a;b\nx;1\ny;2\n").unwrap();
    stream.finish().exits(0);
    crate::support::until_true("maintenance has passed", async || {
        world.number("SELECT pg_catalog.count(*) FROM apalis.jobs").await == 0
    })
    .await;
    enqueue(&["status"]).exits(0);
    enqueue(&["cancel", &replacing.to_string(), "--wait"]).exits(0);
    drop(working);
    worker.run(world.worker(&["--drain"])).run().exits(0);

    let log = world.db.log();
    let used: std::collections::BTreeSet<&str> = log
        .lines()
        .filter_map(|line| line.split_once("LOG:  shadow ").map(|(_, used)| used))
        .filter(|used| {
            [submitter, worker]
                .iter()
                .any(|role| used.ends_with(&format!(" for {};", role.name)))
        })
        .collect();
    assert!(used.is_empty(), "{used:#?}");
}
