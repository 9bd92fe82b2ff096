//! Several files that are one import.

use std::{fs, io::Write as _};

use crate::support::{
    Held, World, assert_json,
    faults::{HELD_BACK, OTHERS_WAIT},
    orders, until_true,
};
use serde_json::json;

const HEADER: &str = "PointOfSale;Product;Date;Stock\n";

#[tokio::test]
async fn several_files_are_one_import_and_records_keep_their_file_and_line() {
    let world = World::new().await;
    let inbox = world.path("inbox");
    fs::create_dir(&inbox).unwrap();
    let put = |name: &str, content: &[u8]| fs::write(inbox.join(name), content).unwrap();
    put("a.csv", orders("A", 5).as_bytes());
    // Compressed, it is the same text.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let with_reject = format!("{}B;bad;never;1\nB;good;2025-01-01;1\n", orders("B", 3));
    gzip.write_all(with_reject.as_bytes()).unwrap();
    put("b.csv.gz", &gzip.finish().unwrap());
    // Neither a file without anything in it nor one without records is in the way.
    put("c.csv", b"");
    put("d.csv", HEADER.as_bytes());
    put("e.csv", HEADER.as_bytes());
    put("f.csv", orders("F", 2).as_bytes());
    put(".hidden", b"no;header\n");
    let named = |name: &str| inbox.join(name).canonicalize().unwrap().display().to_string();

    world
        .enqueue(&["-i", inbox.to_str().unwrap(), "--chunk-rows", "2"])
        .run()
        .exits(0);
    world.drain();
    let finished = world.status(1);
    assert_json(
        &finished,
        &json!({"import_id": 1, "state": "loaded", "inputs": 6, "records": 12, "loaded": 11, "rejected": 1, "chunks": 7}),
    );
    assert_eq!(
        finished["source"],
        json!(format!("{} and 5 more files", named("a.csv")))
    );
    assert_eq!(world.shops().await, ["A", "B", "F"]);
    // No chunk has records of two files, and each counts its own.
    let chunks = "SELECT concat_ws(' ', input, first_record, first_line, record_count) FROM pgimport.import_chunk ORDER BY ordinal";
    assert_eq!(
        world.texts(chunks).await,
        [
            "0 1 2 2", "0 3 4 2", "0 5 6 1", "1 1 2 2", "1 3 4 2", "1 5 6 1", "5 1 2 2"
        ]
    );

    let reasons = world.path("reasons.csv");
    let rejects = world
        .enqueue(&["rejects", "1", "--reasons", reasons.to_str().unwrap()])
        .run()
        .exits(0);
    assert_eq!(rejects.stdout, format!("{HEADER}B;bad;never;1\n"));
    assert_eq!(
        fs::read_to_string(reasons).unwrap(),
        format!(
            "line,column,reason,file,constraint\n5,Date,not a date (YYYY-MM-DD),{},\n",
            named("b.csv.gz")
        )
    );

    // The files may be named in any order.
    let (a, b, f) = (named("a.csv"), named("b.csv.gz"), named("f.csv"));
    world
        .enqueue(&["verify", "1", &f, inbox.to_str().unwrap()])
        .run()
        .exits(0);
    let verified = world.enqueue(&["verify", "1", &a, &b]).run().exits(1);
    assert!(
        verified.stdout.contains("of the import's 6 files were not given"),
        "{verified:?}"
    );
    world
        .execute("UPDATE sale_order SET \"Stock\" = 77 WHERE \"PointOfSale\" = 'F' AND \"Product\" = 'Product 1'")
        .await;
    let verified = world.enqueue(&["verify", "1", inbox.to_str().unwrap()]).run().exits(1);
    assert!(
        verified.stdout.contains("rows that differ from the file: 1") && verified.stdout.contains(&f),
        "{verified:?}"
    );

    world.undo(1, &["--include-edited"]);
    assert_eq!(world.sale_orders().await, 0);
}

#[tokio::test]
async fn files_that_are_not_alike_are_refused_before_anything_is_stored() {
    let world = World::new().await;
    let a = world.file("a.csv", orders("A", 2));
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let arguments = [&["-i", a.as_str()], arguments].concat();
        world.enqueue(&arguments).run().exits(code).says(words);
    };
    let other = world.file("other.csv", "PointOfSale;Date;Product;Stock\nB;2025-01-01;p;1\n");
    refused(&["-i", &other], 1, "other.csv has another header than");
    refused(&["-i", &other], 1, "its column 2 is 'Date', there it is 'Product'");
    let fewer = world.file("fewer.csv", "PointOfSale;Product;Date\nB;p;2025-01-01\n");
    refused(&["-i", &fewer], 1, "it has 3 columns, there are 4 there");
    let utf16: Vec<u8> = format!("\u{feff}{}", orders("B", 2))
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let utf16 = world.file("utf16.csv", utf16);
    refused(&["-i", &utf16], 1, "utf16.csv is UTF-16LE text and");
    let copy = world.file("copy.csv", orders("A", 2));
    refused(&["-i", &copy], 1, "copy.csv has the same content as");
    refused(&["-i", &copy, "--key", "k"], 1, "copy.csv has the same content as");
    refused(&["-i", "none.csv"], 1, "cannot open none.csv");
    refused(&["-i", "/dev/null"], 1, "/dev/null can be read only once");
    refused(&["-i", "-"], 2, "standard input can be read only once");
    world
        .enqueue(&["-i", world.path("*.none").to_str().unwrap()])
        .run()
        .exits(1)
        .says("no file to load");
    assert_eq!(world.imports().await, 0);

    // With names that somebody gave, headers need not name columns, but must be the same.
    let (x, y) = (
        world.file("x.csv", "1;2;3;4\nX;p;2025-01-01;1\n"),
        world.file("y.csv", "1;2;3;5\nY;p;2025-01-01;1\n"),
    );
    let columns = "PointOfSale,Product,Date,Stock";
    world
        .enqueue(&["-i", &x, "-i", &y, "--columns", columns])
        .run()
        .exits(1)
        .says("its column 4 is '5'");
    // Who wants the same rows twice says so.
    world.enqueue(&["-i", &a, "-i", &copy, "--force"]).run().exits(0);
    world.drain();
    assert_eq!(world.sale_orders().await, 4);
}

#[tokio::test]
async fn a_file_is_loaded_once_whether_alone_or_among_others() {
    let world = World::new().await;
    let [a, b, c] = ["A", "B", "C"].map(|shop| world.file(&format!("{shop}.csv"), orders(shop, 3)));
    let both = ["-i", &a, "-i", &b];
    assert_eq!(world.enqueue(&both).run().exits(0).id(), 1);
    world.drain();
    // The same files again, one of them, and one of them with another.
    assert_eq!(world.enqueue(&both).run().exits(0).says("as import 1 (loaded)").id(), 1);
    assert_eq!(
        world
            .enqueue(&["-i", &a])
            .run()
            .exits(0)
            .says("as import 1 (loaded)")
            .id(),
        1
    );
    world
        .enqueue(&["-i", &c, "-i", &b])
        .run()
        .exits(1)
        .says("B.csv is in import 1 (loaded) already");
    // However it is spelled, it is one file.
    let spelled = format!("{}/./A.csv", world.dir().display());
    world
        .enqueue(&["-i", &a, "-i", &spelled, "-i", &b])
        .run()
        .exits(0)
        .says("as import 1 (loaded)");
    // Alone first, then among others.
    assert_eq!(world.enqueue(&["-i", &c]).run().exits(0).id(), 2);
    world
        .enqueue(&["-i", world.path("*.csv").to_str().unwrap()])
        .run()
        .exits(1)
        .says("C.csv is being loaded by import 2 (and 2 more of these files are in imports)");
    // One by one, each is answered by whoever has it.
    let each = world
        .enqueue(&["-i", world.path("*.csv").to_str().unwrap(), "--each"])
        .run()
        .exits(0);
    assert_eq!(each.stdout, "1\n1\n2\n");
    // Other options make other rows.
    world.enqueue(&["-i", &a, "-i", &b, "--null", "x"]).run().exits(0);
    world.drain();
    assert_eq!((world.sale_orders().await, world.imports().await), (15, 3));
    // What was taken back may be loaded again, in another company.
    for import in [1, 2, 3] {
        world.undo(import, &[]);
    }
    assert_eq!(world.enqueue(&["-i", &c, "-i", &b]).run().exits(0).id(), 4);
    assert_eq!(world.enqueue(&["-i", &a]).run().exits(0).id(), 5);
    world.drain();
    assert_eq!(world.sale_orders().await, 9);
    world.assert_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_submits_a_file_alone_and_who_submits_it_among_others_wait_for_one_another() {
    let world = World::new().await;
    let [a, b] = ["A", "B"].map(|shop| world.file(&format!("{shop}.csv"), orders(shop, 3)));
    // Of two files, stored with its inputs.
    let lock = Held::inserts(&world, "pgimport.import_input").await;
    let several = world.enqueue(&["-i", &a, "-i", &b]).start();
    world.until_some(HELD_BACK).await;
    let one = world.enqueue(&["-i", &a]).start();
    world.until_some(OTHERS_WAIT).await;
    lock.release().await;
    assert_eq!(several.finished().await.exits(0).id(), 1);
    assert_eq!(one.finished().await.exits(0).says("as import 1").id(), 1);
    world.drain();
    world.undo(1, &[]);
    // Of one file, stored with its event.
    let lock = Held::inserts(&world, "pgimport.import_event").await;
    let one = world.enqueue(&["-i", &b]).start();
    world.until_some(HELD_BACK).await;
    let several = world.enqueue(&["-i", &a, "-i", &b]).start();
    world.until_some(OTHERS_WAIT).await;
    lock.release().await;
    assert_eq!(one.finished().await.exits(0).id(), 2);
    several
        .finished()
        .await
        .exits(1)
        .says("B.csv is being loaded by import 2");
    world.drain();
    assert_eq!(world.sale_orders().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_several_files_goes_on_where_its_submitter_was_killed() {
    let world = World::new().await;
    let (a, b) = (world.csv_file(3_000).await, world.csv_file(4_000).await);
    let command = [
        "-i",
        a.path(),
        "-i",
        b.path(),
        "--chunk-rows",
        "200",
        "--max-pending",
        "1K",
    ];
    let mut submitter = world.enqueue(&command).start();
    submitter.until_says("NO WORKER SERVES THE QUEUE 'default'").await;
    let worker = world.worker(&[]).start();
    // Some of the second file is stored, and not all of it.
    world.until_some("pgimport.import_chunk WHERE input = 1").await;
    submitter.kill();
    let stored = world.count("pgimport.import_chunk").await;
    assert!((16..35).contains(&stored), "{stored} chunks are stored");
    until_true("the lease is over", async || {
        world
            .ask("SELECT lease_until < clock_timestamp() FROM pgimport.import WHERE id = 1")
            .await
            .as_deref()
            == Some("true")
    })
    .await;
    // One of the files alone is no way to go on.
    world
        .run(&["-i", b.path(), "--chunk-rows", "200"])
        .await
        .exits(1)
        .says("is one of import 1, which was interrupted");
    let listed = world.run(&["status", "1"]).await.exits(0);
    assert!(listed.stdout.contains(b.path()), "{listed:?}");
    let again = world.run(&command).await.exits(0).says("going on in its place");
    assert_eq!(again.id(), 1);
    world.assert_settled(1, "loaded").await;
    world.assert_loaded_once(&[&a, &b]).await;
    assert_eq!(world.count("pgimport.import").await, 1);
    world.assert_no_job_stranded().await;
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_before_its_turn_fails_the_import() {
    let world = World::new().await;
    let (a, b) = (world.csv_file(3_000).await, world.csv_file(1_000).await);
    let submitter = world
        .enqueue(&[
            "-i",
            a.path(),
            "-i",
            b.path(),
            "--chunk-rows",
            "200",
            "--max-pending",
            "1K",
        ])
        .start();
    submitter.until_says("NO WORKER SERVES THE QUEUE 'default'").await;
    let mut append = fs::OpenOptions::new().append(true).open(&b.path).unwrap();
    append.write_all(b"S;late;2025-01-01;1\n").unwrap();
    let _worker = world.worker(&[]).start();
    let name = b.path.file_name().unwrap().to_str().unwrap();
    submitter
        .finished()
        .await
        .exits(1)
        .says(&format!("{name} changed while it was read"));
    world.assert_settled(1, "failed").await;
    // What is to be done is said, whoever comes with one of them.
    for again in [&["-i", a.path()][..], &["-i", a.path(), "-i", b.path()]] {
        let again = world.run(again).await.exits(1);
        assert!(again.stderr.contains("is one of import 1, which failed"), "{again:?}");
    }
    world.run(&["cancel", "1", "--wait"]).await;
    world.assert_settled(1, "cancelled").await;
    assert_eq!(world.sale_orders().await, 0);
}

#[tokio::test]
async fn several_files_may_be_json_lines_checked_or_without_a_header() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE t (id bigserial PRIMARY KEY, a integer, b text)")
        .await;
    let one = world.file("one.jsonl", "{\"a\": 1}\n");
    // A key that only the second file has.
    let two = world.file("two.jsonl", "{\"b\": \"x\", \"a\": 2}\n");
    let json = ["-i", &one, "-i", &two, "--format", "jsonl", "--table", "t"];
    world.load(&json);
    assert_eq!(
        world.texts("SELECT concat_ws(' ', a, b) FROM t ORDER BY a").await,
        ["1", "2 x"]
    );
    // Alone, each has keys of its own, and is known all the same.
    for file in [&one, &two] {
        let alone = ["-i", file, "--format", "jsonl", "--table", "t"];
        assert_eq!(
            world.enqueue(&alone).run().exits(0).says("as import 1 (loaded)").id(),
            1
        );
    }
    let (x, y) = (world.file("x.csv", "3;y\n"), world.file("y.csv", "bad;z\n4;z\n"));
    let csv = ["-i", &x, "-i", &y, "--no-header", "--columns", "a,b", "--table", "t"];
    let checked = world.enqueue(&[&csv[..], &["--check"]].concat()).run().exits(3);
    assert_eq!(
        checked.stdout,
        format!(
            "line,column,reason,file,constraint\n1,a,not an integer,{},\n",
            fs::canonicalize(&y).unwrap().display()
        )
    );
    let checked = world
        .enqueue(&[&csv[..], &["--check", "--each"]].concat())
        .run()
        .exits(3);
    assert_eq!(checked.stdout.matches("line,column").count(), 2, "{checked:?}");
    world.enqueue(&csv).run().exits(0);
    world.drain();
    assert_eq!(world.number("SELECT count(*) FROM t").await, 4);
    // The delimiter is found in the first file.
    let (v, w) = (
        world.file("v.csv", "a,b\n5,v\n6,v\n"),
        world.file("w.csv", "a,b\n7,w\n"),
    );
    world.load(&["-i", &v, "-i", &w, "-d", "auto", "--table", "t"]);
    assert_eq!(world.number("SELECT sum(a) FROM t").await, 1 + 2 + 3 + 4 + 5 + 6 + 7);
}

#[tokio::test]
async fn records_of_spaces_are_records_and_a_file_without_any_is_not_read() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE t (id bigserial PRIMARY KEY, a text, b text)")
        .await;
    let one = world.file("one.tsv", "a\tb\nx\ty\n");
    let blank = world.file("blank.tsv", "a\tb\n\t\n");
    let load = ["-i", &one, "-i", &blank, "-d", "\\t", "--table", "t"];
    assert_eq!(world.enqueue(&load).run().exits(0).id(), 1);
    world
        .enqueue(&["-i", &blank, "-d", "\\t", "--table", "t"])
        .run()
        .exits(0)
        .says("as import 1");
    world.drain();
    assert_eq!(world.number("SELECT count(*) FROM t").await, 2);
    // A byte-order mark alone, beside text of another encoding, is nothing to read.
    let utf16: Vec<u8> = "\u{feff}u;v\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (utf16, mark) = (
        world.file("utf16.csv", utf16),
        world.file("mark.csv", b"\xef\xbb\xbf\n"),
    );
    world.load(&["-i", &utf16, "-i", &mark, "--no-header", "--table", "t"]);
    let empty = [world.file("e1.csv", ""), world.file("e2.csv", "\n")];
    let nothing = world
        .enqueue(&["-i", &empty[0], "-i", &empty[1], "-d", "auto", "--table", "t"])
        .run()
        .exits(0);
    assert!(!nothing.stderr.contains("the delimiter is"), "{nothing:?}");
    world.drain();
    let nothing = world.path("nothing");
    fs::create_dir(&nothing).unwrap();
    world
        .enqueue(&["verify", "1", nothing.to_str().unwrap()])
        .run()
        .exits(1)
        .says("no file was found to compare with");
}

#[tokio::test]
async fn a_set_that_takes_the_place_of_another_may_share_files_with_it() {
    let world = World::new().await;
    let [base, first, second] =
        ["base", "first", "second"].map(|shop| world.file(&format!("{shop}.csv"), orders(shop, 3)));
    world.load(&["-i", &base, "-i", &first, "--replace"]);
    world.load(&["-i", &base, "-i", &second, "--replace"]);
    world.drain();
    assert_eq!(world.shops().await, ["base", "second"]);
    assert_eq!(world.sale_orders().await, 6);
    // Alone, it is all that stays.
    world.load(&["-i", &base, "--replace"]);
    world.drain();
    assert_eq!(
        (world.shops().await, world.sale_orders().await),
        (vec!["base".to_owned()], 3)
    );
}

#[tokio::test]
async fn keys_of_the_failed_are_free_where_nothing_was_stored_and_names_are_told_where_they_stand() {
    let world = World::new().await;
    world.execute("CREATE TABLE t (id bigserial PRIMARY KEY, a text)").await;
    let long = world.file("long.csv", format!("a\n{}\n", "x".repeat(5000)));
    let short = world.file("short.csv", "a\ny\n");
    let both = ["-i", &long, "-i", &short, "--table", "t"];
    world
        .enqueue(&[&both[..], &["--max-record", "1K"]].concat())
        .run()
        .exits(1)
        .says("is longer than 1024 bytes");
    world.load(&both);
    let keys = ["a", "a", "zz"].map(|key| format!("{{\"{key}\":1}}\n"));
    let [k1, k2, k3] = [0, 1, 2].map(|n| world.file(&format!("k{n}.jsonl"), format!("{}{}", keys[n], "\n".repeat(n))));
    world
        .enqueue(&["-i", &k1, "-i", &k2, "-i", &k3, "--format", "jsonl", "--table", "t"])
        .run()
        .exits(1)
        .says("k2.jsonl: the file's column 'zz'");
}

#[tokio::test]
async fn a_program_that_knows_no_sets_cannot_load_one_of_their_files_again() {
    let world = World::new().await;
    let [a, b] = ["A", "B"].map(|shop| world.file(&format!("{shop}.csv"), orders(shop, 3)));
    world.load(&["-i", &a, "-i", &b]);
    // What such a program does, but for its words: it takes a key that it found free.
    let mut conn = world.connect().await;
    let taken = sqlx::query(
        "INSERT INTO pgimport.import (state, source, resumable, target, target_oid, id_column, columns, options, key, submitter, lease_until)
         SELECT 'splitting', 'x', true, i.target, i.target_oid, i.id_column, i.columns, i.options, p.key, 'x', now()
         FROM pgimport.import AS i JOIN pgimport.import_input AS p ON p.import_id = i.id WHERE p.input = 0",
    )
    .execute(&mut conn)
    .await
    .unwrap_err();
    assert!(taken.to_string().contains("one of import 1"), "{taken}");
    world.undo(1, &[]);
    assert!(world.enqueue(&["-i", &a]).run().exits(0).id() > 1);
}
