//! Whose a row is, its transaction says: what is not as the import left it stays, and what only looks touched goes.

use std::{
    fs,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    process::Command,
};

use crate::support::{World, assert_json, open_directory, process::enqueue_in, process::worker_in};
use local_server::{EmbeddedConfig, EmbeddedServer};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

impl World {
    async fn numbers(&self, rows: usize, arguments: &[&str]) -> i64 {
        let lines: String = (0..rows).map(|n| format!("{n}\n")).collect();
        let id = self.submit(
            "n.csv",
            &format!("n\n{lines}"),
            &[&["--table", "public.t"], arguments].concat(),
        );
        self.worker(&["--drain", "--concurrency", "1"]).run().exits(0);
        id
    }

    async fn with_table() -> Self {
        let world = Self::new().await;
        world
            .execute("CREATE TABLE public.t (id bigserial PRIMARY KEY, n int)")
            .await;
        world
    }

    async fn left(&self) -> i64 {
        self.number("SELECT count(*) FROM public.t").await
    }

    #[track_caller]
    fn assert_reason(&self, id: i64, word: &str) {
        let status = self.status(id);
        let error = status["chunk_errors"][0]["error"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(error.contains(word), "no '{word}': {status:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_made_of_rows_stays_and_the_rest_goes() {
    for (change, kept, missing) in [
        ("UPDATE public.t SET n = n WHERE n < 10", 10, 0),
        ("UPDATE public.t SET id = id + 100000 WHERE n < 10", 0, 10),
        (
            "CREATE TEMP TABLE x AS SELECT * FROM public.t WHERE n < 10; DELETE FROM public.t WHERE n < 10; INSERT INTO public.t SELECT * FROM x",
            10,
            0,
        ),
        (
            "INSERT INTO public.t SELECT id, -1 FROM public.t WHERE n < 10 ON CONFLICT (id) DO UPDATE SET n = EXCLUDED.n",
            10,
            0,
        ),
        ("DELETE FROM public.t WHERE n < 10", 0, 10),
    ] {
        let world = World::with_table().await;
        let id = world.numbers(250, &[]).await;
        world.execute(change).await;
        let before = world.left().await;
        let dry = json!({"would_delete": 240, "would_keep": kept, "edited": kept, "missing": missing});
        assert_json(&world.dry_run(id, &[]), &dry);
        let state = if kept > 0 { "kept" } else { "cancelled" };
        let expected = json!({"state": state, "deleted": 240, "kept": kept, "missing": missing});
        assert_json(&world.undo(id, &[]), &expected);
        assert_eq!(world.left().await, before - 240, "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_was_rolled_back_is_no_edit_and_neither_is_a_lock() {
    let world = World::with_table().await;
    world
        .execute("CREATE TABLE public.refers (t bigint REFERENCES public.t)")
        .await;
    let id = world.numbers(250, &[]).await;
    for change in [
        "BEGIN; UPDATE public.t SET n = -1; ROLLBACK",
        "BEGIN; DELETE FROM public.t; ROLLBACK",
        "BEGIN; SELECT FROM public.t FOR UPDATE; COMMIT",
        "BEGIN; SELECT FROM public.t FOR SHARE; COMMIT",
        // A foreign key locks what it refers to.
        "INSERT INTO public.refers SELECT id FROM public.t; DELETE FROM public.refers",
        "ANALYZE public.t",
    ] {
        world.execute(change).await;
    }
    assert_json(&world.dry_run(id, &[]), &json!({"would_delete": 250, "edited": 0}));
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "cancelled", "deleted": 250, "kept": 0}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_freezes_or_moves_rows_as_they_are_is_no_edit() {
    for maintenance in [
        &["VACUUM (FREEZE) public.t"][..],
        &["VACUUM (FULL) public.t"],
        &["VACUUM (FULL, FREEZE) public.t"],
        &["CLUSTER public.t USING t_pkey"],
        &[
            "REINDEX TABLE public.t",
            "VACUUM (FREEZE) public.t",
            "CLUSTER public.t USING t_pkey",
        ],
        &["ALTER TABLE public.t ADD COLUMN later int DEFAULT 7"],
    ] {
        let world = World::with_table().await;
        let id = world.numbers(250, &[]).await;
        world.execute("UPDATE public.t SET n = -1 WHERE n < 10").await;
        for statement in maintenance {
            world.execute(statement).await;
        }
        assert_json(&world.dry_run(id, &[]), &json!({"would_delete": 240, "edited": 10}));
        let expected = json!({"state": "kept", "deleted": 240, "kept": 10, "missing": 0});
        assert_json(&world.undo(id, &[]), &expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_by_alter_table_keeps_all_rows_says_so_and_leaves_the_choice() {
    for alter in [
        "ALTER TABLE public.t ALTER n TYPE bigint",
        "ALTER TABLE public.t ADD COLUMN at timestamptz DEFAULT clock_timestamp()",
    ] {
        let world = World::with_table().await;
        let id = world.numbers(250, &[]).await;
        world.execute(alter).await;
        let expected = json!({"state": "kept", "deleted": 0, "kept": 250});
        assert_json(&world.undo(id, &[]), &expected);
        world.assert_reason(id, "rewrite");
        assert_eq!(world.left().await, 250);
        let expected = json!({"state": "cancelled", "deleted": 250, "kept": 0});
        assert_json(&world.undo(id, &["--include-edited"]), &expected);
        assert_eq!(world.left().await, 0, "{alter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_a_later_import_was_given_are_the_later_ones_whatever_is_asked_for() {
    for option in [&[][..], &["--include-edited"]] {
        let world = World::with_table().await;
        let first = world.numbers(250, &[]).await;
        world.execute("TRUNCATE public.t RESTART IDENTITY").await;
        let second = world.numbers(200, &["--force"]).await;
        let ids = "SELECT count(DISTINCT start_id) FROM pgimport.import_registry";
        assert_eq!(world.number(ids).await, 3, "they have the same ids");
        let expected = json!({"state": "cancelled", "deleted": 0, "missing": 250});
        assert_json(&world.undo(first, option), &expected);
        assert_eq!(world.left().await, 200);
        let expected = json!({"state": "cancelled", "deleted": 200, "missing": 0});
        assert_json(&world.undo(second, option), &expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_another_import_put_back_under_the_ids_of_an_import_are_not_its_own() {
    // The trigger of a later import's transaction rewrites rows of the first.
    let world = World::with_table().await;
    let first = world.numbers(100, &[]).await;
    world
        .execute(
            "CREATE FUNCTION public.older() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 UPDATE public.t SET n = -1 WHERE n = NEW.n AND id <> NEW.id; RETURN NULL; END $$;
             CREATE TRIGGER older AFTER INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.older()",
        )
        .await;
    let second = world.numbers(30, &["--force"]).await;
    assert_eq!(world.number("SELECT count(*) FROM public.t WHERE n = -1").await, 30);
    let second = world.undo(second, &[]);
    assert_json(&second, &json!({"state": "cancelled", "deleted": 30}));
    assert_eq!(world.left().await, 100);
    let status = world.undo(first, &[]);
    assert_json(&status, &json!({"deleted": 70}));
    assert_eq!(world.number("SELECT count(*) FROM public.t WHERE n = -1").await, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_so_old_that_its_transaction_may_be_anothers_is_refused_loudly() {
    let data_dir = open_directory();
    let config = || EmbeddedConfig {
        data_dir: data_dir.path().to_owned(),
        settings: vec![("fsync".to_owned(), "off".to_owned())],
    };
    let server = EmbeddedServer::start(config()).await.unwrap();
    let (bin_dir, data) = (server.bin_dir().to_owned(), server.data_dir().join("cluster/data"));
    let dir = open_directory();
    let connect = |server: &EmbeddedServer| server.credentials().connect_options();
    let url = |server: &EmbeddedServer| testkit::url(server.credentials());
    let file = dir.path().join("n.csv");
    fs::write(&file, "n\n1\n2\n3\n").unwrap();
    let submit = ["-i", file.to_str().unwrap(), "--table", "public.t", "--force"];
    let enqueue = |server: &EmbeddedServer, arguments: &[&str]| {
        enqueue_in(dir.path(), arguments).env("DATABASE_URL", url(server)).run()
    };
    let left = async |server: &EmbeddedServer| -> i64 {
        let mut conn = PgConnection::connect_with(&connect(server)).await.unwrap();
        sqlx::query_scalar("SELECT count(*) FROM public.t")
            .fetch_one(&mut conn)
            .await
            .unwrap()
    };
    enqueue(&server, &["migrate"]).exits(0);
    let mut conn = PgConnection::connect_with(&connect(&server)).await.unwrap();
    sqlx::raw_sql("CREATE TABLE public.t (id bigserial PRIMARY KEY, n int)")
        .execute(&mut conn)
        .await
        .unwrap();
    drop(conn);
    let drain = |server: &EmbeddedServer| {
        worker_in(dir.path(), &["--drain"])
            .env("DATABASE_URL", url(server))
            .run()
            .exits(0)
    };
    let first = enqueue(&server, &submit).exits(0).id().to_string();
    drain(&server);
    server.release().await.unwrap();
    // Four billion transactions later, at once. Rows have the lower halves, which are small again.
    let owner = fs::metadata(&data).unwrap();
    let reset = Command::new(bin_dir.join("pg_resetwal"))
        .args(["-e", "1", "-D"])
        .arg(&data)
        .uid(owner.uid())
        .gid(owner.gid())
        .current_dir("/")
        .output()
        .unwrap();
    assert!(reset.status.success(), "{reset:?}");
    let server = EmbeddedServer::start(config()).await.unwrap();
    let dry = enqueue(&server, &["cancel", &first, "--dry-run"]);
    assert!(
        dry.code == Some(1) && dry.stderr.contains("two billion transactions"),
        "{dry:#?}"
    );
    let second = enqueue(&server, &submit).exits(0).id().to_string();
    drain(&server);
    assert_eq!(left(&server).await, 6);
    let status = |server: &EmbeddedServer, id: &str| enqueue(server, &["status", id, "--json"]).exits(0).json();
    for (id, expected, rows) in [
        (&first, json!({"state": "kept", "deleted": 0, "kept": 3}), 6),
        // One of this round is as any other.
        (&second, json!({"state": "cancelled", "deleted": 3}), 3),
    ] {
        enqueue(&server, &["cancel", id]).exits(0);
        drain(&server);
        assert_json(&status(&server, id), &expected);
        assert_eq!(left(&server).await, rows);
    }
    let kept = status(&server, &first);
    let error = kept["chunk_errors"][0]["error"].as_str().unwrap_or_default();
    assert!(error.contains("two billion transactions"), "{kept:#}");
    enqueue(&server, &["cancel", &first, "--include-edited"]).exits(0);
    drain(&server);
    assert_eq!(left(&server).await, 0);
    server.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_more_rows_look_like_the_imports_than_it_put_there_all_of_them_stay() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE public.t (id bigserial, n int);
             CREATE INDEX ON public.t (id);
             CREATE FUNCTION public.twice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO public.t VALUES (NEW.id, -NEW.n); RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER twice AFTER INSERT ON public.t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.n = 7) EXECUTE FUNCTION public.twice()",
        )
        .await;
    let id = world.numbers(250, &[]).await;
    assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 250}));
    assert_eq!(world.left().await, 251);
    let status = world.undo(id, &[]);
    // The chunk of the row that is there twice, whole; the others go.
    assert_json(&status, &json!({"state": "kept", "deleted": 150, "kept": 100}));
    world.assert_reason(id, "101 rows look as the import left them where it put 100");
    assert_eq!(world.left().await, 101);
    assert_json(
        &world.undo(id, &["--include-edited"]),
        &json!({"state": "kept", "kept": 100}),
    );
    assert_eq!(world.left().await, 101);
}
