//! What can be seen from outside of a worker and of what it did: figures, readiness, the log, the status of an import, completions.

use std::collections::HashMap;

use crate::support::{Held, World, assert_json, http, orders, until_true};
use reqwest::StatusCode;
use serde_json::{Value, json};

async fn get(url: &str) -> (StatusCode, String) {
    let answer = http().get(url).send().await.expect("an answer");
    (answer.status(), answer.text().await.expect("its text"))
}

/// A worker's figures by their names.
async fn figures(worker: &str) -> HashMap<String, f64> {
    let (status, text) = get(&format!("{worker}/metrics")).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a name and a figure");
            (name.to_owned(), value.parse().expect("a figure"))
        })
        .collect()
}

const LOADED_CHUNKS: &str = "pg_import_chunks_total{outcome=\"loaded\"}";
const ROWS: &str = "pg_import_loaded_rows_total";

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_of_two_workers_one_of_them_killed_add_up_to_the_table() {
    let world = World::new().await;
    let content = orders("A", 2_000).replacen(";17\n", ";seventeen\n", 1);
    // It loads five chunks, and is killed in its sixth, with the rows in the table and not committed.
    let mut killed = world
        .worker(&["--listen", "127.0.0.1:0", "--concurrency", "1"])
        .env("FAILPOINTS", "before-commit=5*off->pause")
        .start();
    let first = killed.address().await;
    let id = world.submit("a.csv", &content, &[]);
    until_true("five chunks are loaded and one is held", async || {
        let figures = figures(&first).await;
        figures[LOADED_CHUNKS] >= 5.0 && figures["pg_import_running_chunks"] >= 1.0
    })
    .await;
    let of_first = figures(&first).await;
    killed.kill();
    let other = world.worker(&["--listen", "127.0.0.1:0"]).start();
    let second = other.address().await;
    until_true("all is loaded", async || world.state(id).await == "loaded").await;
    let of_second = figures(&second).await;
    let sum = |name: &str| of_first[name] + of_second[name];
    assert_eq!(world.count("public.sale_order").await, 1_999);
    assert_eq!(sum(ROWS), 1_999.0);
    assert_eq!(sum(LOADED_CHUNKS), 20.0);
    assert_eq!(sum("pg_import_rejected_records_total"), 1.0);
    assert_eq!(
        of_second["pg_import_load_duration_seconds_count"],
        of_second[LOADED_CHUNKS]
    );
    assert!(of_second["pg_import_commit_duration_seconds_count"] >= of_second[LOADED_CHUNKS]);
    let bytes = content.lines().skip(1).map(|line| line.len() + 1).sum::<usize>();
    assert_eq!(sum("pg_import_read_bytes_total"), bytes as f64);

    world.enqueue(&["cancel", &id.to_string()]).run().exits(0);
    until_true("all is undone", async || world.state(id).await == "cancelled").await;
    assert_eq!(figures(&second).await["pg_import_undone_rows_total"], 1_999.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_ready_as_long_as_the_database_hears_of_it() {
    let world = World::new().await;
    let worker = world.worker(&["--listen", "127.0.0.1:0"]).start();
    let url = worker.address().await;
    let ready = format!("{url}/readyz");
    let is_ready = async || get(&ready).await.0 == StatusCode::OK;
    until_true("the worker is ready", is_ready).await;
    let held = Held::take(&world, "LOCK TABLE pgimport.worker IN SHARE MODE").await;
    until_true("the worker is not ready any more", async || !is_ready().await).await;
    let (status, words) = get(&ready).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{words}");
    // It lives all the same.
    assert_eq!(get(&format!("{url}/healthz")).await.0, StatusCode::OK);
    held.release().await;
    until_true("the worker is ready again", is_ready).await;
    let taken = url.strip_prefix("http://").unwrap();
    world
        .worker(&["--listen", taken])
        .run()
        .exits(1)
        .says(&format!("cannot listen on {taken}: Address already in use"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_as_json_names_import_chunk_and_worker() {
    let world = World::new().await;
    let id = world.submit("a.csv", &orders("A", 150), &[]);
    let worker = world
        .worker(&["--drain", "--log-format", "json"])
        .env("RUST_LOG", "worker=debug")
        .run()
        .exits(0);
    let events: Vec<Value> = worker
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let loaded: Vec<&Value> = events
        .iter()
        .filter(|event| event["message"] == "chunk loaded")
        .collect();
    assert_eq!(loaded.len(), 2, "{events:#?}");
    let mut chunks: Vec<i64> = loaded
        .iter()
        .map(|event| event["chunk"].as_i64().expect("a number"))
        .collect();
    chunks.sort_unstable();
    assert_eq!(chunks, [0, 1]);
    for event in loaded {
        assert_json(event, &json!({"import": id.to_string(), "level": "DEBUG"}));
        assert!(
            event["worker"].as_str().unwrap().starts_with("pg_import-worker:"),
            "{event:#}"
        );
    }
    world
        .worker(&["--drain", "--log-format", "xml"])
        .run()
        .exits(2)
        .says("expected text or json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_says_when_what_happened_and_puts_errors_together() {
    let world = World::new().await;
    let content = orders("A", 90)
        .replacen(";17\n", ";seventeen\n", 1)
        .replacen(";18\n", ";eighteen\n", 1)
        .replacen(";19\n", "\n", 1);
    let id = world.submit("a.csv", &content, &[]).to_string();
    let waiting = world.enqueue(&["status", &id]).run().exits(0).stdout;
    assert!(waiting.contains("NO WORKER SERVES THE QUEUE 'default'"), "{waiting}");
    world.drain();
    let status = world.enqueue(&["status", &id]).run().exits(0).stdout;
    for expected in [
        "s submitted (by",
        "s source ended (by",
        "s all loaded (by",
        "2 × not an integer (Stock, from line 19)",
        "1 × expected 4 fields, found 3 (from line 21)",
    ] {
        assert!(status.contains(expected), "no '{expected}' in {status}");
    }
    assert!(
        !status.contains("eighteen") && !status.contains("NO WORKER"),
        "{status}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_are_listed() {
    let world = World::new().await;
    let none = world.enqueue(&["workers"]).run().exits(0).stdout;
    assert!(none.contains("no worker is alive"), "{none}");
    assert_eq!(world.enqueue(&["workers", "--json"]).run().exits(0).json(), json!([]));
    let worker = world.worker(&["--concurrency", "3"]).start();
    world.until_working(&worker).await;
    let listed = world.enqueue(&["workers", "--json"]).run().exits(0).json();
    assert_json(
        &listed[0],
        &json!({"pid": worker.pid(), "concurrency": 3, "chunks": []}),
    );
    let shown = world.enqueue(&["workers"]).run().exits(0).stdout;
    assert!(
        shown.contains(&worker.pid().to_string()) && shown.contains("idle"),
        "{shown}"
    );
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_complete_the_arguments_and_man_shows_them() {
    let world = World::new().await;
    for shell in ["bash", "zsh", "fish"] {
        let script = world.bare(&["completions", shell]).run().exits(0).stdout;
        assert!(script.contains("delete-missing") && script.contains("serve"), "{shell}");
    }
    let of_worker = crate::support::process::worker_in(world.dir(), &["completions", "bash"])
        .run()
        .exits(0);
    assert!(of_worker.stdout.contains("--max-attempts"));
    let pages = world.path("man/man1");
    world.bare(&["man", pages.to_str().unwrap()]).run().exits(0);
    crate::support::process::worker_in(world.dir(), &["man", pages.to_str().unwrap()])
        .run()
        .exits(0);
    for page in ["enqueue.1", "enqueue-cancel.1", "enqueue-serve.1", "worker.1"] {
        let text = std::fs::read_to_string(pages.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(text.contains(".TH") && text.contains("OPTIONS"), "{page}");
    }
    let file = world.file("file", "");
    world.bare(&["man", &file]).run().exits(1).says(&file);
}
