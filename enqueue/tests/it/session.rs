//! What a session finds: roles and servers with settings of their own, what a URL says, and what is said when it cannot be used.

use std::{collections::HashSet, fs};

use crate::support::{
    Held, World, assert_json, orders,
    role::{Role, submitter_and_worker},
    until_true,
};
use local_server::ShutdownMode;
use serde_json::json;
use session::database;
use sqlx::{Connection as _, PgConnection};
use testkit::TestServer;

const SECRET: &str = "s3cret";

#[tokio::test]
async fn a_role_whose_search_path_leads_nowhere_loads_and_undoes() {
    let world = World::new().await;
    let (submitter, worker) = submitter_and_worker(&world).await;
    for role in [&submitter, &worker] {
        world
            .execute(&format!("ALTER ROLE {} SET search_path = nowhere", role.name))
            .await;
    }
    let file = world.file("orders.csv", format!("{}B;x;never;1\n", orders("A", 2)));
    let enqueue = |arguments: &[&str]| submitter.run(world.enqueue(arguments)).run();
    let id = enqueue(&["-i", &file]).exits(0).id().to_string();
    worker.run(world.worker(&["--drain"])).run().exits(0);
    enqueue(&["verify", &id, &file]).exits(0);
    enqueue(&["cancel", &id, "--dry-run"]).exits(0);
    enqueue(&["cancel", &id]).exits(0);
    worker.run(world.worker(&["--drain"])).run().exits(0);
    assert_eq!(world.sale_orders().await, 0);
    // And a database can be prepared by such a role.
    let fresh = format!("fresh_{}", world.db.credentials().database);
    world.execute(&format!("ALTER ROLE {} SUPERUSER", submitter.name)).await;
    world.execute(&format!("CREATE DATABASE {fresh}")).await;
    let url = submitter.url.replace(&world.db.credentials().database, "");
    assert!(url.ends_with('/'), "the role's name has the database's in it");
    let url = submitter.url.rsplit_once('/').unwrap().0;
    let migrate = world.bare(&["migrate"]).env("DATABASE_URL", format!("{url}/{fresh}"));
    migrate.run().exits(0);
}

#[tokio::test]
async fn a_tables_name_means_what_it_means_to_the_role_and_so_it_does_to_its_triggers() {
    let world = World::new().await;
    let (submitter, worker) = submitter_and_worker(&world).await;
    world
        .execute(
            "CREATE SCHEMA shop; CREATE SCHEMA work;
             CREATE TABLE shop.stock (id bigserial PRIMARY KEY, a int);
             CREATE TABLE public.stock (id bigserial PRIMARY KEY, a int);
             CREATE TABLE work.audit (a int);
             CREATE FUNCTION shop.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit VALUES (NEW.a); RETURN NEW; END $$;
             CREATE TRIGGER note AFTER INSERT ON shop.stock FOR EACH ROW EXECUTE FUNCTION shop.note()",
        )
        .await;
    let mut grants = vec![
        format!("ALTER ROLE {} SET search_path = nowhere, shop, public", submitter.name),
        format!("ALTER ROLE {} SET search_path = work", worker.name),
    ];
    grants.extend(worker.grants(&["USAGE ON SCHEMA work", "INSERT ON work.audit"]));
    for role in [&submitter, &worker] {
        grants.extend(role.grants(&["USAGE ON SCHEMA shop"]));
        grants.extend(role.grants_on("shop.stock"));
    }
    for grant in grants {
        world.execute(&grant).await;
    }
    let id = submitter
        .run(world.enqueue(&["--table", "stock"]))
        .input("a\n1\n2\n")
        .run()
        .exits(0)
        .id();
    worker.run(world.worker(&["--drain"])).run().exits(0);
    assert_json(
        &world.status(id),
        &json!({"state": "loaded", "target": "shop.stock", "loaded": 2}),
    );
    assert_eq!(world.number("SELECT sum(a) FROM work.audit").await, 3);
}

#[tokio::test]
async fn an_error_of_the_server_does_not_name_a_line_of_the_servers_own_source() {
    let world = World::new().await;
    let url = format!("{}_none", world.db.url());
    let status = world.bare(&["status"]).env("DATABASE_URL", url).run().exits(1);
    assert!(status.stderr.contains("_none\" does not exist"), "{status:?}");
    assert!(!status.stderr.contains("at line"), "{status:?}");
    // What is kept in the ledger, and logged.
    world
        .execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION 'made to fail' USING ERRCODE = '53100'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON public.sale_order FOR EACH STATEMENT EXECUTE FUNCTION refuse()",
        )
        .await;
    let id = world.submit("a.csv", &orders("A", 1), &[]);
    let worker = world.worker(&[]).start();
    worker.until_says("will be tried again").await;
    let said = format!("{}{}", world.status(id), worker.words());
    assert!(said.contains("made to fail") && !said.contains("at line"), "{said}");
}

#[tokio::test]
async fn a_url_with_a_parameter_that_does_not_exist_is_refused_by_its_name() {
    let world = World::new().await;
    let url = world.db.url();
    for program in [world.bare(&["status"]), world.worker(&["--drain"])] {
        let refused = program
            .env("DATABASE_URL", format!("{url}?sslmod={SECRET}"))
            .env("RUST_LOG", "trace")
            .run()
            .exits(1)
            .says("sslmod");
        assert!(!format!("{refused:?}").contains(SECRET), "{refused:?}");
    }
    for (parameter, name) in [
        (format!("sslmode={SECRET}"), "sslmode"),
        (format!("port={SECRET}"), "port"),
        (format!("statement-cache-capacity={SECRET}"), "statement-cache-capacity"),
    ] {
        let refused = world
            .bare(&["status"])
            .env("DATABASE_URL", format!("{url}?{parameter}"))
            .env("RUST_LOG", "trace")
            .run()
            .exits(1)
            .says(name);
        assert!(!refused.stderr.contains(SECRET), "{refused:?}");
    }
    // Those that exist do.
    let database = &world.db.credentials().database;
    let url = url.replace(&format!("/{database}"), "/");
    world
        .bare(&["status"])
        .env(
            "DATABASE_URL",
            format!("{url}?dbname={database}&sslmode=prefer&application_name=a"),
        )
        .run()
        .exits(0);
}

#[tokio::test]
async fn a_url_that_is_none_or_has_a_bare_password_is_refused_and_not_repeated() {
    let world = World::new().await;
    for (url, says) in [
        ("mysql://admin:s3cret@localhost/orders", "PostgreSQL"),
        ("s3cret", "PostgreSQL"),
        ("postgres:s3cret", "PostgreSQL"),
        ("postgres://admin:pass@s3cret@localhost/orders", "percent-encode"),
        ("postgres://admin:pass/s3cret@localhost/orders", "percent-encode"),
        ("postgres://admin:5432/s3cret@localhost/orders", "percent-encode"),
        ("postgres://admin:pass#s3cret@localhost/orders", "percent-encode"),
        ("postgres://admin:pass?s3cret@localhost/orders", "percent-encode"),
        ("postgres://admin:5432?s3cret@localhost/orders", "percent-encode"),
        ("postgres://admin:5@h?s3cret@localhost/orders", "percent-encode"),
        ("postgres://admin:pass@localhost:s3cret/orders", "port"),
        ("postgres://admin:s3cret%ff@localhost/orders", "UTF-8"),
    ] {
        let refused = world
            .bare(&["status"])
            .env("DATABASE_URL", url)
            .env("RUST_LOG", "trace")
            .run()
            .exits(1)
            .says(says);
        let said = format!("{refused:?}");
        assert!(!said.contains(SECRET) && !said.contains("pass@"), "{url}: {said}");
    }
}

#[tokio::test]
async fn what_neither_a_url_nor_a_staging_says_comes_from_the_environment() {
    let world = World::new().await;
    let credentials = world.db.credentials().clone();
    let staging = world.path("credentials/dev");
    fs::create_dir_all(&staging).unwrap();
    let port = credentials.port.to_string();
    let with = |call: crate::support::Call, without: &str| {
        [
            ("PGHOST", credentials.host.as_str()),
            ("PGPORT", &port),
            ("PGUSER", &credentials.user),
            ("PGDATABASE", &credentials.database),
            ("PGPASSWORD", &credentials.password),
        ]
        .into_iter()
        .filter(|(name, _)| *name != without)
        .fold(call, |call, (name, value)| call.env(name, value))
    };
    with(world.bare(&["status"]), "").run().exits(0);
    // Each value by itself: what the staging has wins, and the others still come from the environment.
    for (file, value, variable) in [
        (".postgres.port", port.as_str(), "PGPORT"),
        (".postgres.db", &credentials.database, "PGDATABASE"),
        (".postgres.user", &credentials.user, "PGUSER"),
        (".postgres.psw", &credentials.password, "PGPASSWORD"),
        (".postgres.host", &credentials.host, "PGHOST"),
    ] {
        fs::write(staging.join(file), value).unwrap();
        with(world.bare(&["status"]), variable)
            .env(variable, "1")
            .run()
            .exits(0);
        fs::remove_file(staging.join(file)).unwrap();
    }
    // A URL wins over both.
    fs::write(staging.join(".postgres.db"), "none").unwrap();
    world
        .enqueue(&["status"])
        .env("PGDATABASE", "none")
        .env("PGPORT", "1")
        .run()
        .exits(0);
    let url = format!("postgres:///{}", credentials.database);
    let only_database = with(world.bare(&["status"]).env("DATABASE_URL", url), "PGDATABASE");
    only_database.run().exits(0);
    // A value that cannot be used is no reason to take another.
    for (variable, value) in [("PGPORT", "54x2"), ("PGSSLMODE", "verify-ful")] {
        with(world.bare(&["status"]), variable)
            .env(variable, value)
            .run()
            .exits(1)
            .says(variable);
    }
}

#[tokio::test]
async fn a_worker_without_grants_ends_at_once_and_names_them() {
    let world = World::new().await;
    let role = Role::new(&world, "").await;
    let name = &role.name;
    let work = || role.run(world.worker(&["--drain"])).run();
    let said = work().exits(1).says("GRANT USAGE ON SCHEMA pgimport");
    assert!(!said.stderr.contains("cannot reach"), "{said:?}");
    // Each grant that is not there yet is named, and none that is.
    let mut grants = role.worker_grants();
    while !grants.is_empty() {
        work().exits(1).says(&format!("TO \"{name}\""));
        world.execute(&grants.remove(0)).await;
    }
    work().exits(0);
    world
        .execute(&format!("REVOKE UPDATE ON pgimport.import_chunk FROM {name}"))
        .await;
    let said = work().exits(1).says("GRANT UPDATE ON pgimport.import_chunk TO");
    assert!(!said.stderr.contains("apalis.jobs"), "{said:?}");
}

#[tokio::test]
async fn a_command_without_grants_names_them() {
    let world = World::new().await;
    let role = Role::new(&world, "").await;
    let file = world.file("orders.csv", orders("A", 1));
    let id = world.enqueue(&["-i", &file]).run().exits(0).id().to_string();
    let run = |arguments: &[&str]| role.run(world.enqueue(arguments)).run();
    for arguments in [&["status"][..], &["-i", &file], &["cancel", &id], &["verify", &id]] {
        let said = run(arguments).exits(1).says("GRANT USAGE ON SCHEMA pgimport");
        assert!(!said.stderr.contains("cannot reach"), "{said:?}");
    }
    for grant in role.grants(&[
        "USAGE ON SCHEMA pgimport, apalis",
        "SELECT ON pgimport._sqlx_migrations",
    ]) {
        world.execute(&grant).await;
    }
    run(&["status"])
        .exits(1)
        .says("permission denied for table import")
        .says("docs/PRIVILEGES.md");
    let name = &role.name;
    run(&["-i", &file]).exits(1).says(&format!(
        "GRANT SELECT, INSERT, UPDATE ON pgimport.import TO \"{name}\""
    ));
    assert_eq!(world.imports().await, 1);
}

#[tokio::test]
async fn a_role_that_may_only_read_is_told_so_at_once() {
    let world = World::new().await;
    let (submitter, worker) = submitter_and_worker(&world).await;
    let file = world.file("orders.csv", orders("A", 1));
    let id = world.enqueue(&["-i", &file]).run().exits(0).id().to_string();
    for role in [&submitter, &worker] {
        let setting = format!("ALTER ROLE {} SET default_transaction_read_only = on", role.name);
        world.execute(&setting).await;
    }
    worker
        .run(world.worker(&["--drain"]))
        .run()
        .exits(1)
        .says("default_transaction_read_only");
    for arguments in [&["-i", &file, "--force"][..], &["cancel", &id]] {
        let said = submitter.run(world.enqueue(arguments)).run().exits(1);
        assert!(said.stderr.contains("default_transaction_read_only"), "{said:?}");
        assert!(!said.stderr.contains("cannot be reached"), "{said:?}");
    }
    assert_eq!(world.imports().await, 1);
    // Who only reads may.
    submitter.run(world.enqueue(&["status", &id])).run().exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_called_one_and_a_worker_waits_until_it_is_promoted() {
    let server = TestServer::start().await;
    let world = World::on(&server).await;
    let file = world.file("orders.csv", orders("A", 3));
    let id = world.enqueue(&["-i", &file]).run().exits(0).id();
    let data = world.texts("SHOW data_directory").await.remove(0);
    fs::write(format!("{data}/standby.signal"), "").unwrap();
    server.restart(ShutdownMode::Fast).await;
    for arguments in [&["-i", &file, "--force"][..], &["cancel", "1"]] {
        world.enqueue(arguments).run().exits(1).says("is a standby");
    }
    world.enqueue(&["status"]).run().exits(0);
    let worker = world.worker(&["--drain"]).start();
    worker.until_says("is a standby").await;
    assert!(!worker.words().contains("cannot reach"));
    world.execute("SELECT pg_promote()").await;
    worker.finish().exits(0);
    assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 3}));
}

#[tokio::test]
async fn a_lock_that_others_hold_is_called_one() {
    let world = World::new().await;
    let id = world.load_orders("A", 1, &[]);
    let other = Held::take(&world, "SELECT FROM pgimport.import FOR UPDATE").await;
    let cancel = world.enqueue(&["cancel", &id.to_string()]).start();
    cancel.until_says("lock").await;
    assert!(!cancel.words().contains("cannot be reached"));
    other.release().await;
    let said = cancel.finish().exits(0);
    assert!(!said.stderr.contains("cannot be reached"), "{said:?}");
}

#[tokio::test]
async fn who_finds_no_session_to_spare_waits_for_one() {
    let world = World::new().await;
    let submitter = Role::named(&world, "submitter", "CONNECTION LIMIT 1").await;
    for grant in submitter.submitter_grants() {
        world.execute(&grant).await;
    }
    let mut other = PgConnection::connect(&submitter.url).await.unwrap();
    let status = submitter.run(world.enqueue(&["status"])).start();
    status.until_says("no session to spare").await;
    other.ping().await.unwrap();
    other.close().await.unwrap();
    status.finish().exits(0);
}

#[tokio::test]
async fn a_session_that_is_in_order_is_there_at_once_and_none_is_kept_in_a_transaction() {
    let world = World::new().await;
    let pool = database::pool(world.db.connect_options().into(), 1);
    let process = async || {
        let process =
            async |conn: &mut PgConnection| sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(conn).await;
        pool.within::<i32, sqlx::Error>(process).await.unwrap()
    };
    let first = process().await;
    for _ in 0..20 {
        assert_eq!(process().await, first);
    }
    // What is left open is rolled back, though nobody asks for a session again.
    let leave_open = async |conn: &mut PgConnection| {
        let mut tx = conn.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(7)").execute(&mut *tx).await?;
        Ok(())
    };
    pool.within::<(), sqlx::Error>(leave_open).await.unwrap();
    until_true("the lock is free", async || {
        world
            .number(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            )
            .await
            == 0
    })
    .await;
    assert_eq!(process().await, first);
    pool.close().await;
    until_true("the session is closed", async || {
        world.count(&format!("pg_stat_activity WHERE pid = {first}")).await == 0
    })
    .await;
}

#[tokio::test]
async fn a_database_of_another_encoding_is_loaded_with_what_it_can_hold() {
    let world = World::new().await;
    for (encoding, locale, held, others) in [
        ("LATIN1", "C", "Zürich café ÿ\u{85}", ["€", "Łódź", "☃"]),
        ("WIN1252", "C", "Zürich €", ["Łódź", "\u{81}", "☃"]),
        ("LATIN2", "C", "Łódź ž", ["€", "ñ", "☃"]),
    ] {
        let database = format!("{}_{}", encoding.to_lowercase(), world.db.credentials().database);
        world
            .execute(&format!(
                "CREATE DATABASE {database} TEMPLATE template0 ENCODING {encoding} LC_COLLATE '{locale}' LC_CTYPE '{locale}'"
            ))
            .await;
        let url = world.db.url();
        let url = format!("{}/{database}", url.rsplit_once('/').unwrap().0);
        let enqueue = |arguments: &[&str]| world.bare(arguments).env("DATABASE_URL", &url).run();
        let drain = || world.worker(&["--drain"]).env("DATABASE_URL", &url).run().exits(0);
        enqueue(&["migrate"]).exits(0);
        for method in ["insert", "copy"] {
            let mut text = format!("PointOfSale;Product;Date;Stock\n{held};p;2025-01-01;1\n");
            for other in others {
                text.push_str(&format!("shop;{held} {other};2025-01-01;1\n"));
            }
            let file = world.file("orders.csv", format!("{text}last;p;2025-01-01;1\n"));
            let id = enqueue(&["-i", &file, "--load-method", method, "--force"])
                .exits(0)
                .id()
                .to_string();
            drain();
            let status = enqueue(&["status", &id, "--json"]).exits(0).json();
            assert_json(&status, &json!({"state": "loaded", "loaded": 2, "rejected": 3}));
            let reasons = world.path("reasons.csv");
            let reasons = reasons.to_str().unwrap();
            enqueue(&["rejects", &id, "--reasons", reasons]).exits(0);
            let reasons = fs::read_to_string(reasons).unwrap();
            assert_eq!(reasons.matches("Product").count(), 3, "{reasons}");
            assert_eq!(reasons.matches(encoding).count(), 3, "{reasons}");
            enqueue(&["verify", &id, &file]).exits(0);
            enqueue(&["cancel", &id]).exits(0);
            drain();
        }
    }
    // The text of a migration may not depend on it either.
    let log = world.db.log();
    assert!(!log.contains("has no equivalent in encoding \"LATIN"));
}

#[tokio::test]
async fn a_small_import_is_submitted_in_one_session_and_asked_for_in_another() {
    let world = World::new().await;
    let file = world.file("orders.csv", orders("A", 3));
    let database = format!(" {} LOG: ", world.db.credentials().database);
    let mut before = HashSet::new();
    for arguments in [&["-i", &file, "--json"][..], &["status", "1"], &["cancel", "1"]] {
        world.enqueue(arguments).run().exits(0);
        let log = world.db.log();
        let ours = log
            .lines()
            .filter(|line| line.contains(" pg_import-enqueue") && line.contains(&database));
        let sessions: HashSet<String> = ours
            .filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned()))
            .collect();
        assert_eq!(sessions.difference(&before).count(), 1, "{arguments:?}");
        before = sessions;
    }
}
