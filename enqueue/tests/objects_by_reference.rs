//! Imports by reference: nothing of a source is stored, and workers read its parts themselves, where they may.

mod support;

use std::{fs, os::unix::fs::symlink};

use axum::{
    Router,
    http::{StatusCode, header},
};
use serde_json::json;
use support::{
    Proc, World, assert_json,
    by_reference::{PATIENT, json_lines, kinds},
    objects::{bucket, long_orders},
    open_directory, orders,
    process::worker_in,
    unreliable::{Asked, Faults, Unreliable},
    until_true,
    website::{GOOD, Website},
};

/// Rows of the default table, without their ids.
const ROWS: &str = "SELECT ROW(\"PointOfSale\", \"Product\", \"Date\", \"Stock\")::text FROM sale_order ORDER BY 1";
const REFUSED: &str = "pgimport.import_chunk WHERE last_error LIKE '%allow%'";

impl World {
    /// A worker said that it may not read something.
    async fn has_refused(&self) -> bool {
        self.count(REFUSED).await > 0
    }
}

fn bytes(asked: &[Asked]) -> usize {
    asked.iter().map(|asked| asked.bytes).sum()
}

// The same as ever ------------------------------------------------------------------------------------------------

/// Three workers load it over a network on which half of all requests fail; one of them is killed when half is loaded. Then the table is
/// what it is after an import of the same file.
async fn is_what_the_file_gives(content: &str, options: &[&str]) {
    let (world, bucket) = (World::new().await, bucket!());
    let options = [&["--chunk-rows", "500"], options].concat();
    let file = world.file("local", content);
    let local = world.load(&[&["-i", &file], &options[..]].concat());
    let expected = world.texts(ROWS).await;
    assert_eq!(expected.len(), 12_000);
    world.undo(local["import_id"].as_i64().unwrap(), &[]);
    assert_eq!(world.sale_orders().await, 0);

    bucket.put("in/remote", content).await;
    bucket.network.fail(Faults::Half);
    let url = bucket.url("in/remote");
    let id = world.by_reference(&url, &options).with(&bucket).run().exits(0).id();
    world.assert_no_payload().await;
    bucket.network.hold_from(content.len() as u64 / 2);
    let prefix = bucket.url("in/");
    let start = || world.allowed(&prefix, &PATIENT).with(&bucket).start();
    let mut workers: Vec<Proc> = (0..3).map(|_| start()).collect();
    world
        .until_some("pgimport.import_chunk WHERE state = 'loaded' AND worker IS NOT NULL")
        .await;
    bucket.network.until_held().await;
    workers[0].kill();
    bucket.network.release();
    world.assert_settled(id, "loaded").await;
    assert_eq!(world.texts(ROWS).await, expected);
    let status = world.status(id);
    assert_json(&status, &json!({"loaded": 12_000, "records": 12_000, "rejected": 0}));
    assert!(status["chunks"].as_u64().unwrap() >= 20, "{status:#}");
    world.assert_no_payload().await;
    world.assert_no_job_stranded().await;
    drop(workers);

    bucket.network.fail(Faults::None);
    world.enqueue(&["cancel", &id.to_string()]).run().exits(0);
    // An undo needs nothing of the source.
    world.drain();
    assert_json(&world.status(id), &json!({"state": "cancelled", "deleted": 12_000}));
    assert_eq!(world.sale_orders().await, 0);
}

/// 12,000 orders of a KiB each, so that workers split them in several parts.
fn wide_orders(header: &str, order: impl Fn(usize, &str) -> String) -> String {
    let pad = "x".repeat(1000);
    let orders = (0..12_000).map(|row| order(row, &pad));
    header.to_owned() + &orders.collect::<String>()
}

const HEADER: &str = "PointOfSale;Product;Date;Stock\n";

#[tokio::test(flavor = "multi_thread")]
async fn csv_with_quotes_by_reference_is_what_the_file_gives() {
    let content = wide_orders(HEADER, |row, pad| {
        format!(
            "A;\"Tea; \"\"green\"\"\n{row} {pad}\";2025-01-{:02};{row}\n",
            row % 28 + 1
        )
    });
    is_what_the_file_gives(&content, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_without_quotes_by_reference_is_what_the_file_gives() {
    let content = wide_orders(HEADER, |row, pad| {
        format!("A;\"{row} {pad};2025-01-{:02};{row}\r\n", row % 28 + 1)
    });
    is_what_the_file_gives(&content, &["--quote", "none"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_by_reference_are_what_the_file_gives() {
    let content = wide_orders("", |row, pad| {
        format!("{{\"PointOfSale\":\"A\",\"Product\":\"\\\"{row}\\n{pad}\",\"Date\":\"2025-01-01\",\"Stock\":{row}}}\n")
    });
    is_what_the_file_gives(&content, &["--format", "jsonl"]).await;
}

/// However a file is written, and whatever is asked of it: its rows, in number and content, and its rejects are those of the local import,
/// or it is said why it cannot be read by reference.
/// Loads every third source, from this one on, by reference and as a file.
async fn rows_and_rejects_are_the_same(first: usize) {
    let (world, bucket) = (World::new().await, bucket!());
    world
        .execute("CREATE TABLE things (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, a text, b int, line bigint, source text)")
        .await;
    let records = |end: &str| (0..3_000).map(|n| format!("a {n};{n}{end}")).collect::<String>();
    let plain = format!("a;b\n{}", records("\n"));
    let lines: String = (0..3_000).map(|n| format!("{{\"a\":\"a {n}\",\"b\":{n}}}\n")).collect();
    let bad: String = (0..3_000)
        .map(|n| {
            if n % 97 == 0 {
                format!("a {n};x\n")
            } else {
                format!("a {n};{n}\n")
            }
        })
        .collect();
    let bad_lines: String = (0..3_000)
        .map(|n| {
            if n % 97 == 0 {
                format!("{{\"a\":{n}\n")
            } else {
                format!("{{\"a\":\"a\",\"b\":{n}}}\n")
            }
        })
        .collect();
    let none = "--quote none";
    let cases: Vec<(String, String)> = vec![
        (plain.clone(), none.to_owned()),
        (format!("a;b\r\n{}", records("\r\n")), none.to_owned()),
        (records("\n"), format!("{none} --no-header --columns a,b")),
        (format!("\u{feff}{plain}"), none.to_owned()),
        (plain.trim_end().to_owned(), none.to_owned()),
        (format!("a;b\n{}", records("\n\n\n")), none.to_owned()),
        (format!("one\ntwo\n{plain}"), format!("{none} --skip-lines 2")),
        (format!("A;B\n{plain}"), format!("{none} --header-lines 2")),
        (format!("{plain}total;3000\n"), format!("{none} --skip-footer 1")),
        (format!("{plain}a;b\nx;1\n"), format!("{none} --stop-at-header")),
        (
            format!("a;b\n{}", records("\n# no record\n")),
            format!("{none} --comment #"),
        ),
        (plain.replace(';', "||"), format!("{none} -d ||")),
        (plain.clone(), format!("{none} --line-column line")),
        (plain.clone(), format!("{none} --set source=x --max-parallel 1")),
        (format!("a;b\n{bad}"), none.to_owned()),
        (format!("a;b\n{bad}"), "".to_owned()),
        (format!("a;b\n{bad}"), format!("{none} --line-column line")),
        (lines.clone(), "--format jsonl".to_owned()),
        (lines.trim_end().to_owned(), "--format jsonl".to_owned()),
        (lines.replace('\n', "\r\n\n"), "--format jsonl".to_owned()),
        (format!("\u{feff}{lines}"), "--format jsonl".to_owned()),
        (lines, "--format jsonl --line-column line".to_owned()),
        (bad_lines, "--format jsonl".to_owned()),
        (plain.replace("a 1", "\"a\n 1\""), "".to_owned()),
        (
            plain.replace("a 1", "'a\n''1'"),
            "--quote ' --line-column line".to_owned(),
        ),
        ("a;b\n".to_owned(), none.to_owned()),
        ("a;b\n1;1".to_owned(), none.to_owned()),
        (String::new(), "--format jsonl".to_owned()),
    ];
    let rows = "SELECT ROW(a, b, line, source)::text FROM things ORDER BY 1";
    let rejects = "SELECT concat_ws('|', line, column_name, reason, encode(raw, 'escape')) FROM pgimport.import_reject ORDER BY 1";
    let _worker = world.allowed(&bucket.all(), &[]).with(&bucket).start();
    let take_back = async |id: i64| {
        let id = id.to_string();
        world.run(&["cancel", &id, "--wait"]).await.exits(0);
        world.run(&["forget", &id]).await.exits(0);
    };
    for (number, (content, options)) in cases.iter().enumerate().skip(first).step_by(3) {
        let options = [
            &["--table", "things", "--chunk-rows", "100"][..],
            &options.split_whitespace().collect::<Vec<_>>(),
        ]
        .concat();
        let case = format!("case {number}, {options:?}");
        let file = world.file("local", content);
        let local = world.run(&[&["-i", &file, "--wait"][..], &options].concat()).await;
        let name = format!("{number}.csv");
        bucket.put(&name, content.as_bytes()).await;
        let remote = world.by_reference(&bucket.url(&name), &options).with(&bucket);
        if local.stdout.is_empty() {
            assert_eq!(remote.run().code, local.code, "{case}: {local:#?}");
            continue;
        }
        let expected = (world.texts(rows).await, world.texts(rejects).await);
        let state = world.state(local.id()).await;
        take_back(local.id()).await;
        let remote = remote.run().exits(0).id();
        world.until_state(remote, &state).await;
        let found = (world.texts(rows).await, world.texts(rejects).await);
        assert!(
            found.0 == expected.0,
            "{case}: {} rows for {}: {:#?}",
            found.0.len(),
            expected.0.len(),
            &found.0[..found.0.len().min(3)]
        );
        assert_eq!(found.1, expected.1, "{case}");
        take_back(remote).await;
        assert_eq!(world.count("things").await, 0, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_source_is_like_its_rows_and_rejects_are_the_same() {
    rows_and_rejects_are_the_same(0).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: just test-long"]
async fn whatever_a_source_is_like_its_rows_and_rejects_are_the_same_of_others() {
    rows_and_rejects_are_the_same(1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: just test-long"]
async fn whatever_a_source_is_like_its_rows_and_rejects_are_the_same_of_yet_others() {
    rows_and_rejects_are_the_same(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rejected_is_written_out_as_it_was() {
    let (world, bucket) = (World::new().await, bucket!());
    let content = orders("A", 2_000).replace(";2025-01-07;", ";never;");
    bucket.put("a.csv", content.as_bytes()).await;
    let file = world.file("a.csv", &content);
    let of = |id: i64| world.enqueue(&["rejects", &id.to_string()]).run().exits(0).stdout;
    let local = world.submit("b.csv", &content, &[]);
    world.drain();
    let expected = of(local);
    assert!(expected.lines().count() > 50, "{expected}");
    for options in [
        &["--chunk-rows", "100"][..],
        &["--chunk-rows", "100", "--quote", "none"],
    ] {
        for (source, prefix) in [
            (bucket.url("a.csv"), bucket.all()),
            (file.clone(), world.dir().to_str().unwrap().to_owned()),
        ] {
            let options = [options, &["--force"]].concat();
            let id = world.by_reference(&source, &options).with(&bucket).run().exits(0).id();
            world.allowed(&prefix, &["--drain"]).with(&bucket).run().exits(0);
            assert_json(&world.status(id), &json!({"state": "loaded"}));
            assert_eq!(of(id), expected, "{source} {options:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_under_a_prefix_are_one_import_by_reference_or_several() {
    let (world, bucket) = (World::new().await, bucket!());
    for shop in ["A", "B", "C"] {
        bucket.put(&format!("in/{shop}.csv"), orders(shop, 300)).await;
    }
    let url = bucket.url("in/");
    for options in [
        &["--quote", "none", "--chunk-rows", "100"][..],
        &["--chunk-rows", "100"],
    ] {
        let one = world.by_reference(&url, options).with(&bucket).run().exits(0).id();
        world.allowed(&url, &["--drain"]).with(&bucket).run().exits(0);
        assert_json(&world.status(one), &json!({"state": "loaded", "loaded": 900}));
        assert_eq!(world.shops().await, ["A", "B", "C"]);
        assert_json(&world.undo(one, &[]), &json!({"state": "cancelled"}));
        let each = [options, &["--each"]].concat();
        let three = world.by_reference(&url, &each).with(&bucket).run().exits(0).stdout;
        assert_eq!(three.lines().count(), 3, "{three}");
        world.allowed(&url, &["--drain"]).with(&bucket).run().exits(0);
        assert_eq!(world.sale_orders().await, 900);
        for id in three.lines() {
            world.undo(id.parse().unwrap(), &[]);
        }
        assert_eq!(world.sale_orders().await, 0);
    }
    world.assert_no_payload().await;
}

// Who reads what --------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn of_what_workers_can_split_the_submitter_reads_the_beginning_alone() {
    let (world, bucket) = (World::new().await, bucket!());
    const ROWS: usize = 40 * 1024;
    let csv = long_orders("A", ROWS);
    let name = "x".repeat(900);
    let lines: String = (0..ROWS)
        .map(|n| {
            format!("{{\"PointOfSale\":\"J\",\"Product\":\"{n} {name}\",\"Date\":\"2025-01-01\",\"Stock\":{n}}}\n")
        })
        .collect();
    for (content, options, splits) in [
        (&csv, &["--quote", "none"][..], false),
        (&lines, &["--format", "jsonl"], false),
        (&csv, &[], true),
    ] {
        bucket.put("large", content.as_bytes()).await;
        bucket.network.asked();
        let finished = world
            .by_reference(&bucket.url("large"), options)
            .with(&bucket)
            .run()
            .exits(0);
        let asked = bucket.network.asked();
        let of_submitter = bytes(&asked);
        world.assert_no_payload().await;
        assert_eq!(finished.stderr.contains("split here"), splits, "{finished:#?}");
        assert_eq!(finished.stderr.contains("workers split it"), !splits, "{finished:#?}");
        if splits {
            assert!(finished.stderr.contains("quote"), "why: {finished:#?}");
            assert!(
                of_submitter < content.len() + (8 << 20),
                "read more than once: {of_submitter} bytes"
            );
        } else {
            assert!(of_submitter < 20 << 20, "{of_submitter} of {} bytes", content.len());
        }
        world.allowed(&bucket.all(), &["--drain"]).with(&bucket).run().exits(0);
        let asked = bucket.network.asked();
        let id = finished.id();
        assert_json(&world.status(id), &json!({"state": "loaded", "loaded": ROWS}));
        let most = asked.iter().map(|asked| asked.bytes).max().unwrap();
        assert!(most < content.len() / 2, "{most} of {} bytes at once", content.len());
        // Finding the ends of records and reading them may take two turns, but no more.
        let of_worker = bytes(&asked);
        assert!(
            of_worker < content.len() * 5 / 2,
            "{of_worker} of {} bytes",
            content.len()
        );
        world.undo(id, &[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_reads_nothing_but_what_it_may() {
    let (world, bucket) = (World::new().await, bucket!());
    bucket.put("in/a.csv", orders("A", 100)).await;
    let url = bucket.url("in/a.csv");
    let id = world.by_reference(&url, &[]).with(&bucket).run().exits(0).id();
    bucket.network.asked();
    let others = [
        bucket.url("other/"),
        bucket.url("in/a.csv.old"),
        "s3://other/".to_owned(),
        "/".to_owned(),
    ];
    let others: Vec<_> = others
        .iter()
        .flat_map(|prefix| ["--allow-reference", prefix.as_str()])
        .collect();
    let worker = world.worker(&others).with(&bucket).start();
    world.until_some(REFUSED).await;
    drop(worker);
    let error = world.errors(id).await;
    assert!(error.contains(&url), "{error}");
    assert_json(
        &world.status(id),
        &json!({"state": "loading", "loaded": 0, "rejected": 0}),
    );
    assert_eq!(bytes(&bucket.network.asked()), 0);
    // One that may not beside one that may.
    let _may_not = world.worker(&[]).start();
    let list = format!("/mnt/share/,{}", bucket.url("in/"));
    let _may = world
        .worker(&[])
        .with(&bucket)
        .env("PG_IMPORT_ALLOW_REFERENCE", list)
        .start();
    world.assert_settled(id, "loaded").await;
    assert_eq!(world.sale_orders().await, 100);
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_read_nothing_is_given_nothing_to_read_and_takes_it_out_all_the_same() {
    let (world, bucket) = (World::new().await, bucket!());
    bucket.put("in/a.jsonl", json_lines("A", 1_000)).await;
    world
        .execute(
            "CREATE TABLE added AS SELECT job_type, priority FROM apalis.jobs WITH NO DATA;
             CREATE FUNCTION note_job() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN INSERT INTO public.added VALUES (NEW.job_type, NEW.priority); RETURN NEW; END $$;
             CREATE TRIGGER note_job BEFORE INSERT ON apalis.jobs FOR EACH ROW EXECUTE FUNCTION note_job()",
        )
        .await;
    let may_not = world.worker(&[]).start();
    may_not.until_says("worker ready").await;
    let options = ["--format", "jsonl", "--chunk-rows", "100"];
    let call = world.by_reference(&bucket.url("in/a.jsonl"), &options);
    let id = call.with(&bucket).run().exits(0).id();
    let status = world.enqueue(&["status", &id.to_string()]).run().exits(0);
    let words = "NO WORKER SERVES THE QUEUE 'default' by reference: start one (`worker --allow-reference PREFIX`)";
    assert!(status.stdout.contains(words), "{}", status.stdout);
    let doctor = world.enqueue(&["doctor"]).run();
    assert!(
        doctor.stdout.contains("imports wait in 'default' by reference"),
        "{}",
        doctor.stdout
    );

    let may = world.allowed(&bucket.url("in/"), &[]).with(&bucket).start();
    world.assert_settled(id, "loaded").await;
    // One segment and ten chunks, none of them twice: nothing was handed on.
    let added = "SELECT count(*) || ' ' || bool_or(priority < -1000000) FROM added WHERE job_type = 'pg_import/default/reference'";
    assert_eq!(world.texts(added).await, ["11 false"]);
    assert_eq!(world.count("added WHERE job_type = 'pg_import'").await, 0);

    drop(may);
    world.run(&["cancel", &id.to_string(), "--wait"]).await.exits(0);
    assert_eq!(world.sale_orders().await, 0);
    drop(may_not);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_by_reference_and_what_is_not_is_one_line() {
    let (world, bucket) = (World::new().await, bucket!());
    bucket.put("a.csv", orders("A", 2_000)).await;
    let options = ["--chunk-rows", "100"];
    let call = world.by_reference(&bucket.url("a.csv"), &options);
    let referring = call.with(&bucket).run().exits(0).id();
    let stored = world.submit("b.csv", &orders("B", 2_000), &["--priority", "low"]);
    // They stand where they would if both were stored.
    let turns = "SELECT DISTINCT (SELECT min(priority) FROM apalis.jobs WHERE job_type = j.job_type) || ' ' || pgimport.current_turn('default') FROM apalis.jobs AS j ORDER BY 1";
    assert_eq!(world.texts(turns).await, ["-303 0", "-75 0"]);
    let worker = world.allowed(&bucket.all(), &["--concurrency", "1", "--drain"]);
    worker.with(&bucket).run().exits(0);
    for id in [referring, stored] {
        assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 2_000}));
    }
    // By turns of both lanes it would be ten of the first twenty.
    let first = format!(
        "(SELECT import_id FROM pgimport.import_chunk ORDER BY started_at LIMIT 20) AS f WHERE import_id = {stored}"
    );
    let of_stored = world.count(&first).await;
    assert!((1..=6).contains(&of_stored), "{of_stored}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_workers_split_waits_for_one_that_may_read_it_too() {
    let (world, bucket) = (World::new().await, bucket!());
    bucket.put("in/a.jsonl", json_lines("A", 1_000)).await;
    let url = bucket.url("in/a.jsonl");
    let options = ["--format", "jsonl", "--chunk-rows", "100"];
    let id = world.by_reference(&url, &options).with(&bucket).run().exits(0).id();
    bucket.network.asked();
    let may_not = world.allowed(&bucket.url("other/"), &[]).with(&bucket).start();
    until_true("somebody says that it may not", async || {
        world.errors(id).await.contains("allow")
    })
    .await;
    assert_eq!(bytes(&bucket.network.asked()), 0);
    // While it lives, it gets about every second job, too, and leaves it for a while: it may read something.
    drop(may_not);
    let _may = world.allowed(&bucket.url("in/"), &[]).with(&bucket).start();
    world.assert_settled(id, "loaded").await;
    assert_eq!(world.sale_orders().await, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_shared_directory_are_read_by_reference_and_no_others() {
    let world = World::new().await;
    let inside = world.path("share");
    fs::create_dir(&inside).unwrap();
    let prefix = format!("{}/", inside.display());
    let path = |name: &str| inside.join(name).to_str().unwrap().to_owned();
    let put = |name: &str, content: &str| fs::write(path(name), content).unwrap();
    let elsewhere = open_directory();
    put("a.csv", &orders("A", 1_000));
    put("b.jsonl", &json_lines("B", 1_000));
    for (source, options) in [
        (path("a.csv"), &["--chunk-rows", "100"][..]),
        (path("a.csv"), &["--chunk-rows", "100", "--quote", "none", "--force"]),
        (path("b.jsonl"), &["--chunk-rows", "100", "--format", "jsonl"]),
        // A relative name means the same file for a worker elsewhere.
        ("share/a.csv".to_owned(), &["--force"]),
    ] {
        let id = world.by_reference(&source, options).run().exits(0).id();
        world.assert_no_payload().await;
        let worker = worker_in(elsewhere.path(), &["--drain", "--allow-reference", &prefix]);
        worker.env("DATABASE_URL", world.db.url()).run().exits(0);
        assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 1_000}));
        world.undo(id, &[]);
    }

    // What only seems to be inside.
    let secret = world.file("secret.csv", orders("S", 10));
    fs::create_dir(world.path("share-2")).unwrap();
    world.file("share-2/c.csv", orders("C", 10));
    symlink(&secret, inside.join("link.csv")).unwrap();
    for source in [
        secret.clone(),
        format!("{prefix}../secret.csv"),
        path("link.csv"),
        world.path("share-2/c.csv").to_str().unwrap().to_owned(),
    ] {
        let submitted = world.by_reference(&source, &["--force"]).run();
        if submitted.code == Some(0) {
            let worker = world.allowed(&prefix, &[]).start();
            world.until_some(REFUSED).await;
            drop(worker);
            assert_eq!(world.sale_orders().await, 0, "{source}");
            world.undo(submitted.id(), &[]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_somebody_writes_into_the_ledger_leads_nowhere_else() {
    let world = World::new().await;
    let inside = world.path("share");
    fs::create_dir(&inside).unwrap();
    let file = world.file("share/a.csv", orders("A", 10));
    // As long as the other, so that the places of its records fit.
    world.file("secret.csv", orders("S", 10));
    let id = world.by_reference(&file, &[]).run().exits(0).id();
    world
        .execute(
            "ALTER TABLE pgimport.import DISABLE TRIGGER USER; ALTER TABLE pgimport.import_chunk DISABLE TRIGGER USER",
        )
        .await;
    let tables = "SELECT format('%I.%I', table_schema, table_name) || ' ' || quote_ident(column_name) || ' ' || data_type
                  FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
                  WHERE table_schema = 'pgimport' AND table_type = 'BASE TABLE' AND data_type IN ('text', 'jsonb', 'json')
                  AND is_generated = 'NEVER'";
    for column in world.texts(tables).await {
        let mut words = column.split(' ');
        let (table, name, kind) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        world
            .execute(&format!(
                "UPDATE {table} SET {name} = replace({name}::text, 'share/a.csv', 'share/../secret.csv')::{kind}
                 WHERE {name}::text LIKE '%share/a.csv%'"
            ))
            .await;
    }
    let worker = world.allowed(&format!("{}/", inside.display()), &[]).start();
    until_true("it is refused", async || !world.errors(id).await.is_empty()).await;
    drop(worker);
    assert_eq!(world.sale_orders().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_not_the_beginning_of_another_ones_name() {
    let (world, bucket, site) = (World::new().await, bucket!(), Website::new(GOOD).await);
    for folder in ["share", "share-2"] {
        fs::create_dir(world.path(folder)).unwrap();
    }
    let file = world.file("share-2/a.csv", orders("A", 10));
    bucket.put("a.csv", orders("B", 10)).await;
    site.put("/a.csv", orders("C", 10));
    let almost = |text: &str| text[..text.len() - 1].to_owned();
    for (source, prefix) in [
        (file, world.path("share").to_str().unwrap().to_owned()),
        (bucket.url("a.csv"), almost(bucket.url("").trim_end_matches('/'))),
        (site.url("/a.csv"), almost(&site.network.url)),
    ] {
        let id = world.by_reference(&source, &[]).with(&bucket).run().exits(0).id();
        // Either nobody may say it so, or it does not mean that.
        let mut worker = world.allowed(&prefix, &[]).with(&bucket).start();
        until_true("it is refused", async || {
            worker.ended().is_some() || world.has_refused().await || world.state(id).await == "loaded"
        })
        .await;
        drop(worker);
        assert_eq!(world.sale_orders().await, 0, "{source} with {prefix}");
        world.undo(id, &[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_not_led_elsewhere_by_a_server() {
    let (world, site) = (World::new().await, Website::new(GOOD).await);
    site.put("/secret.csv", orders("S", 10));
    let elsewhere = site.url("/secret.csv");
    let guide = Router::new().fallback(async move || (StatusCode::FOUND, [(header::LOCATION, elsewhere)]));
    let guide = Unreliable::new(guide).await;
    let source = format!("{}/a.csv", guide.url);
    let submitted = world.by_reference(&source, &[]).run();
    // Where the submitter is not led there either, there is nothing to load.
    if submitted.code == Some(0) {
        site.network.asked();
        let worker = world.allowed(&format!("{}/", guide.url), &["--retry-for", "0"]).start();
        let id = submitted.id();
        until_true("it ends", async || {
            !world.errors(id).await.is_empty() || world.state(id).await != "loading"
        })
        .await;
        drop(worker);
        assert_eq!(world.sale_orders().await, 0);
        assert!(site.network.asked().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_wrong_credentials_says_so_and_one_with_right_ones_loads() {
    let (world, bucket) = (World::new().await, bucket!());
    bucket.put("a.csv", orders("A", 100)).await;
    let url = bucket.url("a.csv");
    let id = world.by_reference(&url, &[]).with(&bucket).run().exits(0).id();
    let wrong = world
        .allowed(&bucket.all(), &[])
        .with(&bucket)
        .env("AWS_ACCESS_KEY_ID", "AKIDOFNOBODY")
        .start();
    until_true("it says so", async || {
        let errors = world.errors(id).await;
        errors.contains(&url) && errors.contains("credentials")
    })
    .await;
    drop(wrong);
    let _right = world.allowed(&bucket.all(), &[]).with(&bucket).start();
    if world.state(id).await == "failed" {
        world.run(&["retry", &id.to_string()]).await.exits(0);
    }
    world.assert_settled(id, "loaded").await;
    assert_eq!(world.sale_orders().await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_compares_rows_with_a_source_by_reference() {
    let (world, bucket) = (World::new().await, bucket!());
    let directory = format!("{}/", world.dir().display());
    let mut wrong = Vec::new();
    for (name, content, other, options) in kinds() {
        for source in [bucket.url(name), world.path(name).to_str().unwrap().to_owned()] {
            let put = async |content: &str| {
                bucket.put(name, content).await;
                world.file(name, content);
            };
            put(&content).await;
            let submitted = world.by_reference(&source, &options).with(&bucket).run().exits(0);
            let id = submitted.id().to_string();
            let worker = world.allowed(&directory, &["--allow-reference", &bucket.all(), "--drain"]);
            worker.with(&bucket).run().exits(0);
            world.enqueue(&["verify", &id]).run().exits(0);
            let verify = || world.enqueue(&["verify", &id, &source]).with(&bucket).run();
            let verified = verify();
            if verified.code != Some(0) {
                wrong.push(format!("{source}: {verified:#?}"));
            }
            put(&other).await;
            verify().exits(1);
            world.undo(submitted.id(), &[]);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
