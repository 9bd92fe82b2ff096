//! Several hosts of one database: whatever is opened goes to the primary, whichever that is at the time.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, path::Path};

use crate::support::{
    CsvFile, World, assert_json, orders,
    pair::{FIRST, Pair, SECOND, free_port},
    until, until_true,
};
use local_server::ShutdownMode;
use testkit::TestServer;

/// Each record of the files is there once, the imports know of it, and nothing is left to do. Needs a worker that lives.
async fn assert_exact(world: &World, imports: &[i64], files: &[&CsvFile]) {
    for &import in imports {
        world.assert_settled(import, "loaded").await;
    }
    world.assert_loaded_once(files).await;
    world.assert_no_job_stranded().await;
    for import in imports {
        world.enqueue(&["verify", &import.to_string()]).run().exits(0);
    }
}

/// Submits and works until the primary dies, and goes on with the standby once that is promoted.
async fn follow(order: [usize; 2]) {
    let (mut pair, mut world) = Pair::start().await;
    let url = pair.url(&order);
    let (file, other) = (world.csv_file(20_000).await, world.csv_file(500).await);
    let worker = world
        .worker(&["--concurrency", "1", "--listen", "127.0.0.1:0"])
        .env("DATABASE_URL", &url)
        .start();
    let page = world.serve_as(&[], |call| call.env("DATABASE_URL", &url)).await;
    let command = [
        "-i",
        file.path(),
        "--chunk-rows",
        "200",
        "--max-pending",
        "64K",
        "--wait",
    ];
    let submitter = world.enqueue(&command).env("DATABASE_URL", &url).start();
    world.until_some("pgimport.import_chunk WHERE state = 'loaded'").await;
    assert_eq!(page.get("/api/v1/imports").await.status, 200);

    pair.kill(FIRST);
    // The standby does not say yet that it is the one.
    worker.until_says("is a standby").await;
    worker.until_says(&pair.place(FIRST)).await;
    submitter.until_says("standby").await;
    assert!(
        !submitter.words().contains("cannot be reached"),
        "{}",
        submitter.words()
    );
    pair.promote(SECOND, &mut world).await;
    // Whatever this world does from here on is done with it.
    let finished = submitter.finished().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    until("the page is back", async || {
        (page.get("/api/v1/imports").await.status == 200).then_some(())
    })
    .await;
    let second = world
        .enqueue(&["-i", other.path(), "--wait"])
        .env("DATABASE_URL", &url)
        .start()
        .finished()
        .await
        .exits(0)
        .id();
    assert_exact(&world, &[finished.id(), second], &[&file, &other]).await;
    let mut worker = worker;
    assert!(worker.ended().is_none(), "{}", worker.words());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_goes_on_with_the_standby_that_is_promoted() {
    follow([FIRST, SECOND]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_may_be_named_first() {
    follow([SECOND, FIRST]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_of_before_that_is_back_is_not_taken_for_the_one() {
    let (mut pair, mut world) = Pair::start().await;
    pair.kill(FIRST);
    pair.promote(SECOND, &mut world).await;
    pair.run(FIRST).await;
    let path = world.file("a.csv", orders("A", 10));
    for (number, order) in [[FIRST, SECOND], [SECOND, FIRST]].iter().enumerate() {
        world
            .bare(&["-i", &path, "--force"])
            .env("DATABASE_URL", pair.url(order))
            .run()
            .exits(0);
        assert_eq!(world.imports().await, number as i64 + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_host_is_right_each_is_named_with_the_reason() {
    let server = TestServer::start().await;
    let world = World::on(&server).await.over_tcp();
    let credentials = world.db.credentials().clone();
    let dead = free_port();
    let url = format!(
        "postgres://{}:{}@127.0.0.1:{dead},{}:{}/{}",
        credentials.user, credentials.password, credentials.host, credentials.port, credentials.database
    );
    let path = world.file("a.csv", orders("A", 10));
    let with = |arguments: &[&str]| world.bare(arguments).env("DATABASE_URL", &url);
    let id = with(&["-i", &path]).run().exits(0).id().to_string();
    // The role may not write: with this the host is passed over, and without it the check says so.
    let alter = format!("ALTER ROLE {} SET default_transaction_read_only = ", credentials.user);
    world.execute(&format!("{alter}on")).await;
    for (wanted, says) in [
        ("any", "default_transaction_read_only is on, for the role"),
        ("primary", "default_transaction_read_only is on, for the role"),
        (
            "read-write",
            "its sessions may not write (default_transaction_read_only)",
        ),
    ] {
        let asked = with(&["cancel", &id]).env("PGTARGETSESSIONATTRS", wanted);
        let said = asked.run().exits(1).stderr;
        assert!(said.contains(says), "{said}");
        // One host can be asked too.
        let asked = world.enqueue(&["cancel", &id]).env("PGTARGETSESSIONATTRS", wanted);
        let said = asked.run().exits(1).stderr;
        assert!(said.contains(says), "{said}");
    }
    let worker = world.worker(&[]).env("DATABASE_URL", &url);
    worker
        .env("PGTARGETSESSIONATTRS", "read-write")
        .start()
        .until_says("its sessions may not write")
        .await;
    let mut conn = world.connect().await;
    for statement in [
        "SET default_transaction_read_only = off".to_owned(),
        format!("{alter}off"),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut conn)
            .await
            .unwrap();
    }
    let data = world.texts("SHOW data_directory").await.remove(0);
    fs::write(format!("{data}/standby.signal"), "").unwrap();
    server.restart(ShutdownMode::Fast).await;
    for arguments in [
        &["status"][..],
        &["-i", &path, "--force"],
        &["cancel", &id],
        &["doctor"],
    ] {
        let outcome = with(arguments).run().exits(1);
        let words = format!("{}{}", outcome.stdout, outcome.stderr);
        for part in [
            &format!("127.0.0.1:{dead}: "),
            "Connection refused",
            &format!("{}:{}: is a standby", credentials.host, credentials.port),
        ] {
            assert!(words.contains(part), "{part}: {outcome:#?}");
        }
        assert!(!words.contains(&credentials.password), "{outcome:#?}");
    }
    for wanted in ["standby", "prefer-standby", "read-only", "primry"] {
        let asked = with(&["status"]).env("PGTARGETSESSIONATTRS", wanted);
        asked
            .run()
            .exits(1)
            .says("PGTARGETSESSIONATTRS cannot be used: expected any, primary or read-write");
        let url = format!("{url}?target_session_attrs={wanted}");
        let asked = world.bare(&["status"]).env("DATABASE_URL", url);
        asked.run().exits(1).says("'target_session_attrs'");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_never_answers_keeps_nobody_from_the_other() {
    let world = World::new().await.over_tcp();
    let credentials = world.db.credentials().clone();
    // Whoever connects is in its queue, and hears nothing.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent = silent.local_addr().unwrap().port();
    let path = world.file("a.csv", orders("A", 100));
    for (host, port) in [
        (
            format!("127.0.0.1,{}", credentials.host),
            format!("{silent},{}", credentials.port),
        ),
        (
            format!("{},127.0.0.1", credentials.host),
            format!("{},{silent}", credentials.port),
        ),
    ] {
        let variables = [
            ("PGHOST", host.as_str()),
            ("PGPORT", &port),
            ("PGUSER", &credentials.user),
            ("PGPASSWORD", &credentials.password),
            ("PGDATABASE", &credentials.database),
        ];
        let submitted = world.bare(&["-i", &path, "--force"]).envs(variables).run().exits(0);
        let drained = world.worker(&["--drain"]).env_remove("DATABASE_URL").envs(variables);
        drained.run().exits(0);
        assert_json(
            &world.status(submitted.id()),
            &serde_json::json!({"state": "loaded", "loaded": 100}),
        );
        // A URL that says nothing of hosts has them from the variables.
        let url = world
            .bare(&["status"])
            .envs(variables)
            .env("DATABASE_URL", "postgres:///");
        url.run().exits(0);
        let words = world.bare(&["doctor"]).envs(variables).run().exits(0).stdout;
        assert!(words.contains("127.0.0.1:") && words.contains("no answer"), "{words}");
        assert!(words.contains("the primary"), "{words}");
    }
}

/// Writes a staging of these files.
fn staging(world: &World, name: &str, files: &[(&str, &str)]) {
    let dir = world.path(&format!("credentials/{name}"));
    fs::create_dir_all(&dir).unwrap();
    for (file, text) in files {
        fs::write(dir.join(format!(".postgres.{file}")), format!("{text}\n")).unwrap();
    }
}

/// Writes a file that its owner alone may read.
fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staging_names_several_hosts_and_each_has_its_password() {
    let (server, other) = (TestServer::start().await, TestServer::start().await);
    let world = World::on(&server).await.over_tcp();
    let (right, wrong) = (world.db.credentials().clone(), other.credentials().clone());
    assert_ne!(right.password, wrong.password);
    let standby = World::on(&other).await;
    standby.execute(&format!("CREATE DATABASE {}", right.database)).await;
    let data = standby.texts("SHOW data_directory").await.remove(0);
    fs::write(format!("{data}/standby.signal"), "").unwrap();
    other.restart(ShutdownMode::Fast).await;
    let passwords = world.path("passwords");
    let line = |port: u16, password: &str| format!("127.0.0.1:{port}:*:{}:{password}\n", right.user);
    private(
        &passwords,
        &(line(right.port, &right.password) + &line(wrong.port, &wrong.password)),
    );
    let ports = format!("{},{}", wrong.port, right.port);
    let common = [("host", "127.0.0.1,127.0.0.1"), ("user", &right.user)];
    let here = [&common[..], &[("port", &ports), ("db", &right.database)]].concat();
    let ask = |name: &str, arguments: &[&str]| {
        world
            .bare(arguments)
            .env("PG_IMPORT_STAGING", name)
            .env("PGPASSFILE", &passwords)
    };
    staging(&world, "here", &here);
    ask("here", &["status"]).run().exits(0);
    staging(
        &world,
        "primary",
        &[&here[..], &[("target_session_attrs", "primary")]].concat(),
    );
    ask("primary", &["status"]).run().exits(0);
    // The other one let us in as well, and said what it is.
    let said = ask("here", &["doctor"]).run().exits(0).stdout;
    assert!(said.contains(&format!("{}: a standby", wrong.port)), "{said}");
    // psql has the whole list.
    let psql = ask("here", &["psql", "--", "-Atc", "SELECT inet_server_port()"]);
    assert_eq!(psql.run().exits(0).stdout.trim(), right.port.to_string());
    for (name, more, says) in [
        (
            "ports",
            ("port", "1,2,3"),
            "are 2, their ports 3: name one port for all",
        ),
        ("port", ("port", "1,x"), ".postgres.port holds no port"),
        ("gap", ("host", "127.0.0.1,,127.0.0.1"), "have one without a name"),
        (
            "wanted",
            ("target_session_attrs", "standby"),
            ".postgres.target_session_attrs cannot be used: expected any, primary or read-write",
        ),
    ] {
        staging(&world, name, &[&here[..], &[more]].concat());
        ask(name, &["status"]).run().exits(1).says(says);
    }
    until_true("nothing was stored", async || world.imports().await == 0).await;
}
