//! A person at a terminal: the bar, Ctrl+C, and the signals of a reboot.

use std::process::Command;

use crate::support::{Held, Proc, World, assert_json, orders, until_true};
use nix::sys::wait::WaitStatus;
use rexpect::session::{PtySession, spawn_command};
use rustix::process::Signal;
use serde_json::json;

/// Milliseconds after which a terminal hangs. No test is about it.
const HANGS: u64 = 120_000;

impl World {
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
    async fn hold_back(&self, ordinal: i32) -> Held {
        let statement = format!("SELECT FROM pgimport.import_chunk WHERE ordinal >= {ordinal} FOR UPDATE");
        Held::take(self, &statement).await
    }

    async fn wait_for_state(&self, state: &str) -> i64 {
        let count = format!("SELECT count(*) FROM pgimport.import WHERE state = '{state}'");
        until_true(&format!("the import is {state}"), async || {
            self.number(&count).await == 1
        })
        .await;
        self.number("SELECT id FROM pgimport.import").await
    }

    fn two_workers(&self) -> Proc {
        self.worker(&["--concurrency", "2"]).start()
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
    let world = World::new().await;
    let file = world.file("orders.csv", orders("mine", 500));
    let worker = world.two_workers();
    let mut terminal = world.terminal(&["-i", &file, "--wait"]);
    terminal.exp_string("500/500 records").unwrap();
    terminal.exp_string("rejected").unwrap();
    terminal.exp_string("undo").unwrap();
    terminal.exp_eof().unwrap();
    assert_eq!(exit_code(&mut terminal), 0);
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_read_shows_a_bar_too_whether_it_is_followed_or_not() {
    let world = World::new().await;
    for (name, follow) in [("a", None), ("b", Some("--wait"))] {
        // It pauses half-way, for there is nobody who loads.
        let file = world.file(&format!("{name}.csv"), orders(name, 100_000));
        let arguments = ["-i", &file, "--max-pending", "64K", "--chunk-rows", "1000"];
        let mut terminal = world.terminal(&[&arguments, follow.as_slice()].concat());
        terminal.exp_string("splitting").unwrap();
        terminal.exp_regex("0/[0-9,]+ records, [1-9][0-9]* % read").unwrap();
        let worker = world.two_workers();
        let last = if follow.is_some() { "undo" } else { "\n" };
        terminal.exp_string(last).unwrap();
        terminal.exp_eof().unwrap();
        assert_eq!(exit_code(&mut terminal), 0);
        drop(worker);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_undoes_ones_own_import_and_follows_its_deletions() {
    let world = World::new().await;
    let file = world.file("orders.csv", orders("mine", 1_000));
    let mut terminal = world.terminal(&["-i", &file, "--wait", "--chunk-rows", "100"]);
    world.wait_for_state("loading").await;
    let held = world.hold_back(5).await;
    let worker = world.two_workers();
    until_true("some chunks are loaded", async || world.sale_orders().await == 500).await;
    terminal.send_control('c').unwrap();
    terminal.exp_string("cancelling import").unwrap();
    world.wait_for_state("cancelling").await;
    held.release().await;
    terminal.exp_string("rows deleted, 0 remain").unwrap();
    terminal.exp_eof().unwrap();
    assert_eq!(exit_code(&mut terminal), 4);
    assert_eq!(world.sale_orders().await, 0);
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_ctrl_c_keeps_what_is_left() {
    let world = World::new().await;
    let file = world.file("orders.csv", orders("mine", 300));
    let mut terminal = world.terminal(&["-i", &file, "--wait", "--chunk-rows", "100"]);
    world.wait_for_state("loading").await;
    let held = world.hold_back(1).await;
    let worker = world.two_workers();
    until_true("one chunk is loaded", async || world.sale_orders().await == 100).await;
    // Nobody is left to delete it.
    drop(worker);
    held.release().await;
    terminal.send_control('c').unwrap();
    let id = world.wait_for_state("cancelling").await;
    terminal.send_control('c').unwrap();
    terminal.exp_string("0 rows deleted, 100 remain").unwrap();
    terminal.exp_eof().unwrap();
    assert_eq!(exit_code(&mut terminal), 4);
    world.drain();
    assert_json(
        &world.status(id),
        &json!({"state": "kept", "loaded": 100, "deleted": 0}),
    );
    assert_eq!(world.sale_orders().await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_while_the_source_is_still_read_undoes_it() {
    let world = World::new().await;
    let worker = world.two_workers();
    let mut terminal = world.terminal(&["--chunk-rows", "1", "--no-header"]);
    for row in 0..20 {
        terminal.send_line(&format!("mine;p;2025-01-01;{row}")).unwrap();
    }
    until_true("the first rows are loaded", async || world.sale_orders().await >= 10).await;
    terminal.send_control('c').unwrap();
    terminal.exp_string("rows deleted, 0 remain").unwrap();
    terminal.exp_eof().unwrap();
    assert_eq!(exit_code(&mut terminal), 4);
    assert_eq!(world.sale_orders().await, 0);
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_while_following_somebody_elses_import_only_detaches() {
    let world = World::new().await;
    let file = world.file("orders.csv", orders("mine", 300));
    let id = world.enqueue(&["-i", &file]).run().exits(0).id();
    for arguments in [
        &["-i", &file, "--wait"][..],
        &["status", &id.to_string(), "--watch"][..],
    ] {
        let mut terminal = world.terminal(arguments);
        terminal.exp_string("loading").unwrap();
        terminal.send_control('c').unwrap();
        terminal.exp_eof().unwrap();
        assert_eq!(exit_code(&mut terminal), 0, "{arguments:?}");
    }
    world.drain();
    assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 300}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_or_a_lost_connection_leaves_the_import_to_go_on() {
    let world = World::new().await;
    for (shop, signal) in [("term", Signal::TERM), ("hangup", Signal::HUP)] {
        let file = world.file("orders.csv", orders(shop, 300));
        let follower = world.enqueue(&["-i", &file, "--wait"]).start();
        let id = world.wait_for_state("loading").await;
        follower.signal(signal);
        assert_eq!(follower.finish().exits(0).says("goes on").id(), id);
        world.drain();
        assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 300}));
        world.execute("DELETE FROM pgimport.import").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bar_fits_a_terminal_and_says_speed_time_left_and_rejects() {
    let world = World::new().await;
    let content = orders("mine", 4_000).replacen(";17\n", ";seventeen\n", 1);
    let file = world.file("orders.csv", content);
    let worker = world
        .worker(&["--concurrency", "1"])
        .env("FAILPOINTS", "before-commit=sleep(150)")
        .start();
    world.until_working(&worker).await;
    let mut terminal = world.terminal(&["-i", &file, "--wait", "--chunk-rows", "100"]);
    // A pseudo-terminal of 24 lines of 80 columns.
    let seen = terminal
        .exp_regex(r"[0-9,]+/4,000 records, [0-9,]+/s, [0-9.]+ s left, 1 rejected")
        .unwrap();
    for line in seen.0.split(['\r', '\n']).chain([seen.1.as_str()]) {
        assert!(width(line) <= 80, "{} columns: {line:?}", width(line));
    }
    terminal.exp_string("undo").unwrap();
    terminal.exp_eof().unwrap();
    assert_eq!(exit_code(&mut terminal), 3);
}

/// The columns that a line takes, without what moves the cursor.
fn width(line: &str) -> usize {
    // What rexpect takes for characters are bytes.
    let bytes: Vec<u8> = line.chars().filter_map(|c| u8::try_from(c).ok()).collect();
    let line = String::from_utf8_lossy(&bytes);
    let (mut columns, mut chars) = (0, line.chars());
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // Up to the letter that ends it.
            chars.by_ref().skip(1).find(|c| c.is_ascii_alphabetic());
        } else {
            columns += 1;
        }
    }
    columns
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_says_only_what_went_wrong() {
    let world = World::new().await;
    let worker = world.two_workers();
    let file = world.file("orders.csv", orders("mine", 100));
    let done = world.enqueue(&["-q", "-i", &file, "--wait"]).run().exits(0);
    assert_eq!((done.id(), done.stderr.as_str()), (1, ""));
    let cancelled = world.enqueue(&["cancel", "1", "--wait", "--quiet"]).run().exits(0);
    assert_eq!((cancelled.stdout.as_str(), cancelled.stderr.as_str()), ("", ""));
    world
        .enqueue(&["--quiet", "-i", "nowhere.csv"])
        .run()
        .exits(1)
        .says("enqueue: cannot open nowhere.csv");
    drop(worker);
}
