//! A real Prometheus that asks workers and `serve`, with the alerts of `deploy/`: what it has seen adds up to what the table has.

use std::path::Path;

use crate::support::{Call, Proc, World, http, orders, page::TOKEN, skipped::skipped_unless, until, until_true};
use serde_json::{Value, json};

const PROGRAM: &str = "/usr/bin/prometheus";
/// Set where its absence is a fault.
const REQUIRED: &str = "PG_IMPORT_REQUIRE_PROMETHEUS";
const ALERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus/alerts.yml");

struct Prometheus<'w> {
    world: &'w World,
    url: String,
    targets: Vec<Value>,
    _process: Proc,
}

impl<'w> Prometheus<'w> {
    /// `None` where it is not installed.
    async fn start(world: &'w World) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            skipped_unless(
                REQUIRED,
                "Prometheus is not installed (Debian: apt-get install prometheus)",
            );
            return None;
        }
        let targets = world.file("targets.json", "[]");
        let token = world.file("token", TOKEN);
        // Each target has the port of its own that it was given, so that it is told of when it is there.
        let config = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 1s}}
rule_files: [{ALERTS}]
scrape_configs:
  - job_name: any
    authorization: {{type: Bearer, credentials_file: {token}}}
    file_sd_configs: [{{files: [{targets}], refresh_interval: 1s}}]
    relabel_configs: [{{source_labels: [of], target_label: job}}]
"
        );
        let config = world.file("prometheus.yml", config);
        let data = world.path("prometheus");
        let arguments = [
            &format!("--config.file={config}"),
            &format!("--storage.tsdb.path={}", data.display()),
            "--web.listen-address=127.0.0.1:0",
        ];
        let process = Call::new(Path::new(PROGRAM), world.dir(), &arguments).start();
        let url = until("Prometheus listens", async || {
            let words = process.words();
            let (_, rest) = words.split_once("msg=\"Listening on\" address=")?;
            Some(format!("http://{}", rest.split_whitespace().next()?))
        })
        .await;
        Some(Self {
            world,
            url,
            targets: Vec::new(),
            _process: process,
        })
    }

    /// Has it ask somebody, too.
    fn add(&mut self, job: &str, url: &str) {
        let address = url.strip_prefix("http://").expect("an address");
        self.targets
            .push(json!({"targets": [address], "labels": {"of": job, "staging": "test"}}));
        // Renamed, so that it never reads half of it.
        let written = self.world.file("targets.new", json!(self.targets).to_string());
        std::fs::rename(written, self.world.path("targets.json")).expect("to rename");
    }

    async fn get(&self, path: &str) -> Value {
        let answer = http().get(format!("{}{path}", self.url)).send().await;
        let text = answer.expect("an answer").text().await.expect("its text");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The only value of a query; `None` while there is none.
    async fn query(&self, query: &str) -> Option<f64> {
        let path = format!(
            "/api/v1/query?{}",
            serde_urlencoded::to_string([("query", query)]).expect("a query")
        );
        let answer = self.get(&path).await;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_prometheus_saw_of_two_workers_and_of_the_database_adds_up_to_the_table() {
    let world = World::new().await;
    let Some(mut prometheus) = Prometheus::start(&world).await else {
        return;
    };
    let page = world.serve(&["--require-token"]).await;
    prometheus.add("pg_import-serve", &page.url);
    // It loads five chunks, and is killed in its sixth, with the rows in the table and not committed.
    let mut killed = world
        .worker(&["--listen", "127.0.0.1:0", "--concurrency", "1"])
        .env("FAILPOINTS", "before-commit=5*off->pause")
        .start();
    prometheus.add("pg_import-worker", &killed.address().await);
    let content = orders("A", 2_000).replacen(";17\n", ";seventeen\n", 1);
    let id = world.submit("a.csv", &content, &[]);
    let sees = async |words: &str, query: &str, expected: f64| {
        until_true(words, async || prometheus.query(query).await == Some(expected)).await;
    };
    sees(
        "five chunks of it are seen",
        "sum(pg_import_chunks_total{outcome=\"loaded\"})",
        5.0,
    )
    .await;
    sees("what waits is seen", "pg_import_queue_chunks", 15.0).await;
    killed.kill();
    let other = world.worker(&["--listen", "127.0.0.1:0"]).start();
    let address = other.address().await;
    prometheus.add("pg_import-worker", &address);
    until_true("all is loaded", async || world.state(id).await == "loaded").await;
    assert_eq!(world.count("public.sale_order").await, 1_999);
    // What the dead one had said last, and what the other says.
    let sum = |name: &str| format!("sum(max_over_time({name}[1h]))");
    let sees = async |words: &str, query: &str, expected: f64| {
        until_true(words, async || prometheus.query(query).await == Some(expected)).await;
    };
    sees("all rows", &sum("pg_import_loaded_rows_total"), 1_999.0).await;
    sees("the reject", &sum("pg_import_rejected_records_total"), 1.0).await;
    sees("all chunks", &sum("pg_import_chunks_total{outcome=\"loaded\"}"), 20.0).await;
    sees("the import", "pg_import_imports{state=\"loaded\"}", 1.0).await;
    sees("nothing that waits", "pg_import_queue_chunks", 0.0).await;
    sees("who lives", "pg_import_workers_alive", 1.0).await;
    sees("who does not", "count(up == 0)", 1.0).await;
    // The alerts can be worked out of what is really there.
    let rules = until("the alerts were worked out", async || {
        let rules = prometheus.get("/api/v1/rules").await;
        let groups = rules["data"]["groups"].as_array()?.clone();
        let rules: Vec<Value> = groups
            .iter()
            .filter_map(|group| group["rules"].as_array())
            .flatten()
            .cloned()
            .collect();
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    })
    .await;
    assert!(rules.len() > 10, "{rules:#?}");
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule:#}");
    }
}
