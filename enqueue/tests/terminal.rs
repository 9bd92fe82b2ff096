//! A person at a terminal: the bar, Ctrl+C, and the signals of a reboot.

mod support;

use std::process::Command;

use nix::sys::wait::WaitStatus;
use rexpect::session::{PtySession, spawn_command};
use serde_json::json;
use sqlx::{Postgres, Transaction};
use support::{Bench, Running, assert_json, orders, until};

/// Milliseconds after which a terminal hangs. No test is about it.
const HANGS: u64 = 120_000;

impl Bench {
    /// `enqueue` on a terminal of its own.
    fn terminal(&self, arguments: &[&str]) -> PtySession {
        let mut command = Command::new(env!("CARGO_BIN_EXE_enqueue"));
        command
            .args(arguments)
            .env("DATABASE_URL", self.db.url())
            .env("TERM", "xterm");
        spawn_command(command, Some(HANGS)).unwrap()
    }

    /// Keeps workers from loading the chunks from `ordinal` on.
    async fn hold_back(&self, ordinal: i32) -> Transaction<'static, Postgres> {
        let mut held = self.db.pool().begin().await.unwrap();
        let statement = "SELECT FROM pgimport.import_chunk WHERE ordinal >= $1 FOR UPDATE";
        sqlx::query(statement).bind(ordinal).execute(&mut *held).await.unwrap();
        held
    }

    async fn wait_for_state(&self, state: &str) -> i64 {
        let count = format!("SELECT count(*) FROM pgimport.import WHERE state = '{state}'");
        until(&format!("the import is {state}"), async || {
            self.number(&count).await == 1
        })
        .await;
        self.number("SELECT id FROM pgimport.import").await
    }

    fn two_workers(&self) -> Running {
        self.worker(["--concurrency", "2"]).start()
    }
}

fn exit_code(session: &mut PtySession) -> i32 {
    match session.process_mut().wait().unwrap() {
        WaitStatus::Exited(_, code) => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_import_shows_a_bar_and_ends_with_a_summary() {
    let bench = Bench::new().await;
    let file = bench.file("orders.csv", orders("mine", 500));
    let worker = bench.two_workers();
    let mut terminal = bench.terminal(&["-i", &file, "--wait"]);
    terminal.exp_string("500/500 records").unwrap();
    terminal.exp_string("rejected").unwrap();
    terminal.exp_string("undo").unwrap();
    terminal.exp_eof().unwrap();
    assert_eq!(exit_code(&mut terminal), 0);
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_undoes_ones_own_import_and_follows_its_deletions() {
    let bench = Bench::new().await;
    let file = bench.file("orders.csv", orders("mine", 1_000));
    let mut terminal = bench.terminal(&["-i", &file, "--wait", "--chunk-rows", "100"]);
    bench.wait_for_state("loading").await;
    let held = bench.hold_back(5).await;
    let worker = bench.two_workers();
    until("some chunks are loaded", async || bench.sale_orders().await == 500).await;
    terminal.send_control('c').unwrap();
    terminal.exp_string("cancelling import").unwrap();
    bench.wait_for_state("cancelling").await;
    held.rollback().await.unwrap();
    terminal.exp_string("rows deleted, 0 remain").unwrap();
    terminal.exp_eof().unwrap();
    assert_eq!(exit_code(&mut terminal), 4);
    assert_eq!(bench.sale_orders().await, 0);
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_ctrl_c_keeps_what_is_left() {
    let bench = Bench::new().await;
    let file = bench.file("orders.csv", orders("mine", 300));
    let mut terminal = bench.terminal(&["-i", &file, "--wait", "--chunk-rows", "100"]);
    bench.wait_for_state("loading").await;
    let held = bench.hold_back(1).await;
    let worker = bench.two_workers();
    until("one chunk is loaded", async || bench.sale_orders().await == 100).await;
    // Nobody is left to delete it.
    drop(worker);
    held.rollback().await.unwrap();
    terminal.send_control('c').unwrap();
    let id = bench.wait_for_state("cancelling").await;
    terminal.send_control('c').unwrap();
    terminal.exp_string("0 rows deleted, 100 remain").unwrap();
    terminal.exp_eof().unwrap();
    assert_eq!(exit_code(&mut terminal), 4);
    bench.drain();
    assert_json(
        &bench.status(id),
        &json!({"state": "kept", "loaded": 100, "deleted": 0}),
    );
    assert_eq!(bench.sale_orders().await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_while_the_source_is_still_read_undoes_it() {
    let bench = Bench::new().await;
    let worker = bench.two_workers();
    let mut terminal = bench.terminal(&["--chunk-rows", "1", "--no-header"]);
    for row in 0..20 {
        terminal.send_line(&format!("mine;p;2025-01-01;{row}")).unwrap();
    }
    until("the first rows are loaded", async || bench.sale_orders().await >= 10).await;
    terminal.send_control('c').unwrap();
    terminal.exp_string("rows deleted, 0 remain").unwrap();
    terminal.exp_eof().unwrap();
    assert_eq!(exit_code(&mut terminal), 4);
    assert_eq!(bench.sale_orders().await, 0);
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_while_following_somebody_elses_import_only_detaches() {
    let bench = Bench::new().await;
    let file = bench.file("orders.csv", orders("mine", 300));
    let id = bench.enqueue(["-i", &file]).run().exits(0).id();
    for arguments in [
        &["-i", &file, "--wait"][..],
        &["status", &id.to_string(), "--watch"][..],
    ] {
        let mut terminal = bench.terminal(arguments);
        terminal.exp_string("loading").unwrap();
        terminal.send_control('c').unwrap();
        terminal.exp_eof().unwrap();
        assert_eq!(exit_code(&mut terminal), 0, "{arguments:?}");
    }
    bench.drain();
    assert_json(&bench.status(id), &json!({"state": "loaded", "loaded": 300}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_or_a_lost_connection_leaves_the_import_to_go_on() {
    let bench = Bench::new().await;
    for (shop, signal) in [("term", "TERM"), ("hangup", "HUP")] {
        let file = bench.file("orders.csv", orders(shop, 300));
        let follower = bench.enqueue(["-i", &file, "--wait"]).start();
        let id = bench.wait_for_state("loading").await;
        let kill = Command::new("kill")
            .args([format!("-{signal}"), follower.child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        assert_eq!(follower.finish().exits(0).says("goes on").id(), id);
        bench.drain();
        assert_json(&bench.status(id), &json!({"state": "loaded", "loaded": 300}));
        bench.execute("DELETE FROM pgimport.import").await;
    }
}
