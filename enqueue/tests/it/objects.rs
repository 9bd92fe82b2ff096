//! Objects of a store are submitted as files are, over a network that fails, and are those that were seen first.

use std::{fs, io::Write as _};

use crate::support::{
    Call, World, assert_json, http,
    objects::{ACCESS_KEY, Bucket, bucket, long_orders},
    open_directory, orders,
    process::enqueue_in,
    unreliable::Faults,
    website::{GOOD, Manners, Website},
};
use serde_json::json;

fn gzip(content: &str) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(content.as_bytes()).unwrap();
    out.finish().unwrap()
}

/// The inputs of the imports that have several, in the order in which they are read.
const INPUTS: &str = "SELECT name FROM pgimport.import_input ORDER BY import_id, input";

impl World {
    /// Submits an object and loads it.
    #[track_caller]
    fn load_object(&self, bucket: &Bucket, arguments: &[&str]) -> serde_json::Value {
        let id = self.enqueue(arguments).with(bucket).run().exits(0).id();
        self.drain();
        let status = self.status(id);
        assert_json(&status, &json!({"state": "loaded", "rejected": 0}));
        status
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_of_these_tests_fails_as_it_is_told() {
    let site = Website::new(GOOD).await;
    let content = "0123456789".repeat(1000);
    site.put("/a", content.clone());
    let client = http();
    let ask = async |range: &str| {
        let answer = client.get(site.url("/a")).header("Range", range).send().await.unwrap();
        let (status, body) = (answer.status().as_u16(), answer.text().await);
        body.ok().map(|body| (status, body))
    };
    assert_eq!(ask("bytes=10-19").await, Some((206, "0123456789".to_owned())));
    assert_eq!(ask("bytes=10000-").await.unwrap().0, 416);
    for first in 0..20 {
        site.network.fail(Faults::EveryFirst);
        let range = format!("bytes={first}-");
        let failed = ask(&range).await;
        assert!(failed.is_none_or(|(status, _)| status == 503));
        assert_eq!(ask(&range).await, Some((206, content[first..].to_owned())));
    }
    site.network.fail(Faults::Half);
    site.network.asked();
    let mut good = 0;
    for _ in 0..40 {
        good += u32::from(ask("bytes=0-").await.is_some_and(|(status, _)| status == 206));
    }
    assert!((5..36).contains(&good), "{good}");
    let cut_or_good = site.network.asked();
    assert!(
        cut_or_good.len() > good as usize && cut_or_good.len() < 40,
        "{}",
        cut_or_good.len()
    );
    assert!(cut_or_good.iter().all(|asked| asked.bytes == content.len()));

    site.network.fail(Faults::None);
    site.network.hold_from(5);
    assert!(ask("bytes=4-5").await.is_some());
    let held = tokio::spawn(client.get(site.url("/a")).header("Range", "bytes=5-6").send());
    site.network.until_held().await;
    site.network.release();
    assert_eq!(held.await.unwrap().unwrap().text().await.unwrap(), "56");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_of_these_tests_answers_as_s3_does() {
    let bucket = bucket!();
    bucket.put("a b.csv", "0123456789").await;
    bucket.put("b.csv", "x").await;
    let address = format!("{}/{}", bucket.network.url, bucket.name);
    let client = http();
    let ask = async |what: &str, key: &str| {
        let request = client.get(format!("{address}{what}")).header("Range", "bytes=2-3");
        let answer = request
            .header("Authorization", format!("Credential={key}/"))
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(ask("/a%20b.csv", ACCESS_KEY).await, (206, "23".to_owned()));
    assert_eq!(ask("/missing.csv", ACCESS_KEY).await.0, 404);
    assert_eq!(ask("/b.csv", "nobody").await.0, 403);
    let (_, list) = ask("?list-type=2&max-keys=1", ACCESS_KEY).await;
    assert!(
        list.contains("<Key>a b.csv</Key>") && list.contains("NextContinuationToken"),
        "{list}"
    );
    bucket.keep_versions().await;
    bucket.put("b.csv", "y").await;
    bucket.delete("a b.csv").await;
    assert_eq!(ask("/a%20b.csv", ACCESS_KEY).await.0, 404);
}

// What is loaded --------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_loaded_as_a_file_is() {
    let (world, bucket) = (World::new().await, bucket!());
    let file = world.csv_file(5_000).await;
    bucket.put("orders/january 1.csv", fs::read(&file.path).unwrap()).await;
    let url = bucket.url("orders/january 1.csv");
    let status = world.load_object(&bucket, &["-i", &url, "--chunk-rows", "400"]);
    assert_json(&status, &json!({"loaded": 5_000, "chunks": 13}));
    world.assert_loaded_once(&[&file]).await;
    let id = status["import_id"].as_i64().unwrap();
    let shown = world.enqueue(&["status", &id.to_string()]).run().exits(0).stdout;
    assert!(shown.contains("january 1.csv"), "{shown}");
    world.enqueue(&["verify", &id.to_string()]).run().exits(0);
    assert_json(&world.undo(id, &[]), &json!({"state": "cancelled"}));
    assert_eq!(world.sale_orders().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_name_an_object_has_it_is_that_one() {
    let (world, bucket) = (World::new().await, bucket!());
    // What names mean elsewhere: an escape, a query, a fragment, a pattern, a file without an ending.
    let names = ["50%25.csv", "a+b.csv", "ä ö.csv", "c=d&e.csv", "plain"];
    for (number, name) in names.iter().enumerate() {
        // moto decodes what an address has.
        let encoded = name.replace('%', "%25").replace('+', "%2B").replace(' ', "%20");
        bucket
            .put(&encoded, orders(&format!("shop {number}"), number + 1))
            .await;
        let id = world
            .enqueue(&["-i", &bucket.url(name)])
            .with(&bucket)
            .run()
            .exits(0)
            .id();
        world.drain();
        assert_json(&world.status(id), &json!({"loaded": number + 1}));
    }
    let shops: Vec<_> = (0..names.len()).map(|number| format!("shop {number}")).collect();
    assert_eq!(world.shops().await, shops);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_requests_fail() {
    let (world, bucket) = (World::new().await, bucket!());
    for faults in [Faults::Half, Faults::EveryFirst] {
        let file = world.csv_file(20_000).await;
        let name = format!("{faults:?}.csv");
        bucket.put(&name, fs::read(&file.path).unwrap()).await;
        bucket.network.fail(faults);
        let status = world.load_object(&bucket, &["-i", &bucket.url(&name), "--chunk-rows", "1000"]);
        world.assert_loaded_once(&[&file]).await;
        world.undo(status["import_id"].as_i64().unwrap(), &[]);
        assert_eq!(world.sale_orders().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_more_than_a_part_of_a_large_object() {
    let (world, bucket) = (World::new().await, bucket!());
    const ROWS: usize = 48 * 1024;
    bucket.put("large.csv", long_orders("L", ROWS)).await;
    let status = world.load_object(&bucket, &["-i", &bucket.url("large.csv")]);
    assert_json(&status, &json!({"loaded": ROWS}));
    let asked = bucket.network.asked();
    let most = asked.iter().map(|asked| asked.bytes).max().unwrap();
    assert!(most <= 16 << 20, "{most} bytes at once: {asked:#?}");
    // And nearly nothing is read twice.
    let all: usize = asked.iter().map(|asked| asked.bytes).sum();
    assert!(all < 60 << 20, "{all} bytes: {asked:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submitter_needs_little_memory_however_large_the_object_is() {
    let (world, bucket) = (World::new().await, bucket!());
    let peak_at_the_end = async |rows: usize| {
        let content = long_orders("L", rows);
        let last = content.len() as u64 - 1;
        let name = format!("{rows}.csv");
        bucket.put(&name, content).await;
        let call = world
            .enqueue(&["-i", &bucket.url(&name), "--max-pending", "4G"])
            .with(&bucket);
        // Its last request waits, so that it can be looked at when it has read all the rest.
        bucket.network.hold_from(last - (8 << 20));
        let submitter = call.start();
        bucket.network.until_held().await;
        let status = fs::read_to_string(format!("/proc/{}/status", submitter.pid())).unwrap();
        bucket.network.release();
        submitter.finished().await.exits(0);
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib << 10
    };
    let (small, large) = (peak_at_the_end(24 * 1024).await, peak_at_the_end(96 * 1024).await);
    println!("{small} and {large} bytes");
    assert!(large < small + (40 << 20), "{small} and {large} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_objects_and_json_lines_are_loaded() {
    let (world, bucket) = (World::new().await, bucket!());
    bucket.put("orders.csv.gz", gzip(&orders("G", 3_000))).await;
    // No name says what it is.
    bucket.put("zipped", gzip(&orders("H", 2_000))).await;
    bucket.network.fail(Faults::Half);
    for (name, rows) in [("orders.csv.gz", 3_000), ("zipped", 2_000)] {
        let status = world.load_object(&bucket, &["-i", &bucket.url(name), "--chunk-rows", "500"]);
        assert_json(&status, &json!({"loaded": rows}));
    }
    let lines: String = (0..100)
        .map(|n| format!("{{\"PointOfSale\":\"J\",\"Product\":\"{n}\",\"Date\":\"2025-01-01\",\"Stock\":{n}}}\n"))
        .collect();
    bucket.put("orders.jsonl", lines).await;
    let url = bucket.url("orders.jsonl");
    assert_json(
        &world.load_object(&bucket, &["-i", &url, "--format", "jsonl"]),
        &json!({"loaded": 100}),
    );
    assert_eq!(world.shops().await, ["G", "H", "J"]);

    bucket.network.fail(Faults::None);
    let whole = gzip(&orders("K", 3_000));
    bucket.put("cut.csv.gz", &whole[..whole.len() - 9]).await;
    world
        .enqueue(&["-i", &bucket.url("cut.csv.gz")])
        .with(&bucket)
        .run()
        .exits(1)
        .says("cut.csv.gz")
        .says("the gzip data is damaged or cut off");
}

#[tokio::test(flavor = "multi_thread")]
async fn sniff_and_check_look_at_objects() {
    let (world, bucket) = (World::new().await, bucket!());
    let bad = format!("{}M;x;never;1\n", orders("M", 10));
    bucket.put("mixed.csv", bad).await;
    let url = bucket.url("mixed.csv");
    let checked = world.enqueue(&["-i", &url, "--check"]).with(&bucket).run().exits(3);
    assert!(
        checked
            .stdout
            .contains(&format!("12,Date,not a date (YYYY-MM-DD),{url}")),
        "{checked:#?}"
    );
    let sniffed = world.bare(&["sniff", &url]).with(&bucket).run().exits(0);
    assert!(sniffed.stdout.contains(&url), "the command that loads it: {sniffed:#?}");
    assert_eq!(world.imports().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn local_loads_objects_too() {
    let bucket = bucket!();
    bucket.put("a.csv", orders("A", 50)).await;
    let machine = open_directory();
    let call = |arguments: &[&str]| {
        enqueue_in(machine.path(), arguments)
            .env("PG_IMPORT_DATA_DIR", machine.path().join("data"))
            .env("PG_IMPORT_CONFIG_PATH", machine.path().join("credentials"))
    };
    let url = bucket.url("a.csv");
    let finished = call(&["--local", "-i", &url, "--wait", "--json"]).with(&bucket).run();
    assert_json(&finished.exits(0).json(), &json!({"state": "loaded", "loaded": 50}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_without_records_or_bytes_is_what_such_a_file_is() {
    let (world, bucket) = (World::new().await, bucket!());
    for (name, content) in [("empty.csv", String::new()), ("header.csv", orders("A", 0))] {
        bucket.put(name, content.as_bytes()).await;
        let file = world.file(name, &content);
        for options in [&["--force"][..], &["--each", "--force"], &["--check"]] {
            let of_file = world.enqueue(&[&["-i", &file], options].concat()).run();
            let of_object = world
                .enqueue(&[&["-i", &bucket.url(name)], options].concat())
                .with(&bucket)
                .run();
            assert_eq!(of_object.code, of_file.code, "{of_object:#?} {of_file:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_compares_rows_with_an_object_and_finds_that_it_was_overwritten() {
    let (world, bucket) = (World::new().await, bucket!());
    bucket.put("a.csv", orders("A", 300)).await;
    let url = bucket.url("a.csv");
    let id = world.load_object(&bucket, &["-i", &url])["import_id"].to_string();
    bucket.network.fail(Faults::EveryFirst);
    let verify = || world.enqueue(&["verify", &id, &url]).with(&bucket).run();
    verify().exits(0);
    bucket.put("a.csv", orders("B", 300)).await;
    verify().exits(1);
    bucket.delete("a.csv").await;
    verify().exits(1).says(&url);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_made_for_an_object_by_all_that_it_holds() {
    let (world, bucket) = (World::new().await, bucket!());
    // The last value decides what the column is.
    let content = format!("{}L;x;2025-01-01;1.5\n", long_orders("L", 20 * 1024));
    let size = content.len() as u64;
    bucket.put("a.csv", content).await;
    bucket.network.fail(Faults::Half);
    let url = bucket.url("a.csv");
    let arguments = ["-i", &url, "--table", "made", "--create-table"];
    assert_json(
        &world.load_object(&bucket, &arguments),
        &json!({"loaded": 20 * 1024 + 1}),
    );
    let columns = world.columns("made").await;
    assert!(
        columns
            .iter()
            .any(|column| column.starts_with("stock numeric") || column.starts_with("Stock numeric")),
        "{columns:?}"
    );

    // It changes between the look at its values and the reading of them, or in the middle of either.
    bucket.network.fail(Faults::None);
    bucket.network.hold_from(size / 2);
    let submitter = world
        .enqueue(&["-i", &url, "--table", "other", "--create-table"])
        .with(&bucket)
        .start();
    bucket.network.until_held().await;
    bucket
        .put(
            "a.csv",
            format!("{}L;x;2025-01-01;never\n", long_orders("L", 20 * 1024)),
        )
        .await;
    bucket.network.release();
    let finished = submitter.finished().await.exits(1);
    assert!(
        finished.stderr.contains(&url) && finished.stderr.contains("changed"),
        "{finished:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_never_well_is_given_up() {
    let (world, bucket) = (World::new().await, bucket!());
    bucket.put("a.csv", orders("A", 10)).await;
    bucket.network.fail(Faults::All);
    let url = bucket.url("a.csv");
    world.enqueue(&["-i", &url]).with(&bucket).run().refuses(&[&url, "503"]);
    assert_eq!(world.imports().await, 0);
}

// Several of them -------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_stands_for_its_objects_in_the_order_of_their_names() {
    let (world, bucket) = (World::new().await, bucket!());
    for name in ["b", "c", "a"] {
        bucket.put(&format!("inbox/{name}.csv"), orders(name, 10)).await;
    }
    bucket.put("inbox/notes.txt", "no;header\n1;2\n").await;
    bucket.put("inbox-2/z.csv", orders("z", 10)).await;
    bucket.put("z.csv", orders("z", 10)).await;

    let status = world.load_object(&bucket, &["-i", &bucket.url("inbox/*.csv")]);
    assert_json(&status, &json!({"loaded": 30}));
    let in_order = world.texts(INPUTS).await;
    assert_eq!(
        in_order,
        ["a", "b", "c"].map(|name| bucket.url(&format!("inbox/{name}.csv")))
    );
    world.undo(status["import_id"].as_i64().unwrap(), &[]);

    bucket.delete("inbox/notes.txt").await;
    let status = world.load_object(&bucket, &["-i", &bucket.url("inbox/")]);
    assert_json(&status, &json!({"loaded": 30}));
    assert_eq!(world.shops().await, ["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_object_of_the_prefix_is_not_loaded_with_it() {
    let (world, bucket) = (World::new().await, bucket!());
    bucket.put("inbox/a.csv", orders("A", 10)).await;
    // What a console makes for a folder.
    bucket.put("inbox/", "").await;
    bucket.put("b.csv", orders("B", 10)).await;
    // A pattern is about one level, as it is with files.
    bucket.put("inbox/below/c.csv", orders("C", 10)).await;
    let id = world
        .enqueue(&["-i", &bucket.url("inbox/*.csv")])
        .with(&bucket)
        .run()
        .exits(0)
        .id();
    world.drain();
    assert_json(&world.status(id), &json!({"loaded": 10}));
    world.undo(id, &[]);
    bucket.delete("inbox/below/c.csv").await;
    let id = world
        .enqueue(&["-i", &bucket.url("inbox/")])
        .with(&bucket)
        .run()
        .exits(0)
        .id();
    world.drain();
    assert_eq!(world.shops().await, ["A"]);
    world.undo(id, &[]);

    // Files and objects go together.
    let file = world.file("f.csv", orders("F", 10));
    let both = ["-i", &bucket.url("b.csv"), "-i", &file];
    let id = world.enqueue(&both).with(&bucket).run().exits(0).id();
    world.drain();
    assert_json(&world.status(id), &json!({"loaded": 20}));
    assert_eq!(world.texts(INPUTS).await.len(), 2);
    assert_eq!(world.shops().await, ["B", "F"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_object_is_read_in_place_of_one_with_an_odd_name() {
    let (world, bucket) = (World::new().await, bucket!());
    bucket.put("a/b.csv", orders("wrong", 10)).await;
    bucket.put("b.csv", orders("wrong too", 10)).await;
    let names = [
        "a//b.csv",
        "a/./b.csv",
        "a/../b.csv",
        "/b.csv",
        "b.csv/",
        "b.csv?x",
        "b.csv#x",
    ];
    let is_loaded = |name: &&str| world.enqueue(&["-i", &bucket.url(name)]).with(&bucket).run().code == Some(0);
    let wrong: Vec<_> = names.into_iter().filter(is_loaded).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(world.imports().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_each_an_object_is_an_import_and_only_new_ones_are_loaded() {
    let (world, bucket) = (World::new().await, bucket!());
    let each = |name: &str| world.enqueue(&["-i", &bucket.url(name), "--each"]).with(&bucket).run();
    bucket.put("inbox/b.csv", orders("B", 20)).await;
    bucket.put("inbox/a.csv", orders("A", 10)).await;
    assert_eq!(each("inbox/").exits(0).stdout, "1\n2\n");
    world.drain();
    assert_eq!(
        (world.shops().await, world.sale_orders().await),
        (vec!["A".to_owned(), "B".to_owned()], 30)
    );

    bucket.put("inbox/bad.csv", "no;header\n1;2\n").await;
    bucket.put("inbox/d.csv", orders("D", 5)).await;
    let second = each("inbox/*.csv").exits(1).says("bad.csv");
    assert_eq!(
        second.stdout.lines().collect::<Vec<_>>(),
        ["1", "2", "3"],
        "{second:#?}"
    );
    world.drain();
    assert_eq!((world.sale_orders().await, world.imports().await), (35, 3));
    world.undo(2, &[]);
    assert_eq!(world.shops().await, ["A", "D"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_of_more_objects_than_a_page_of_the_list_has() {
    const OBJECTS: usize = 1_050;
    let (world, bucket) = (World::new().await, bucket!());
    for number in 0..OBJECTS {
        bucket
            .put(&format!("many/{number:04}.csv"), orders(&format!("{number:04}"), 1))
            .await;
    }
    let listed = world.enqueue(&["-i", &bucket.url("many/")]).with(&bucket).run();
    let id = listed.exits(0).id();
    let pages = bucket.network.asked();
    let pages = pages
        .iter()
        .filter(|asked| asked.path.contains("continuation-token"))
        .count();
    assert!(pages >= 1, "the list was not followed");
    world.drain();
    assert_json(
        &world.status(id),
        &json!({"state": "loaded", "loaded": OBJECTS, "rejected": 0}),
    );
    let in_order = world.texts(INPUTS).await;
    let expected: Vec<_> = (0..OBJECTS)
        .map(|number| bucket.url(&format!("many/{number:04}.csv")))
        .collect();
    assert_eq!(in_order, expected);
    assert_eq!(
        world
            .number("SELECT count(DISTINCT \"PointOfSale\") FROM sale_order")
            .await,
        1_050
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_breaks_off_is_asked_for_again() {
    let (world, bucket) = (World::new().await, bucket!());
    bucket.put("inbox/a.csv", orders("A", 10)).await;
    bucket.put("inbox/b.csv", orders("B", 10)).await;
    for faults in [Faults::EveryFirst, Faults::Half] {
        for _ in 0..5 {
            bucket.network.fail(faults);
            let listed = world.enqueue(&["-i", &bucket.url("inbox/"), "--force"]).with(&bucket);
            listed.run().exits(0);
        }
    }
}

// Other stores ----------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn files_of_web_servers_are_loaded_whole_or_refused_with_the_reason() {
    for ranges in [true, false] {
        for (etags, times) in [(true, true), (false, true), (false, false)] {
            let manners = Manners { ranges, etags, times };
            let (world, site) = (World::new().await, Website::new(manners).await);
            site.put("/files/a.csv", long_orders("A", 12 * 1024));
            site.network.fail(Faults::EveryFirst);
            let url = site.url("/files/a.csv");
            let finished = world.enqueue(&["-i", &url]).run();
            println!("{manners:?}: {:?} {}", finished.code, finished.stderr);
            if finished.code == Some(0) {
                assert!(etags || times, "{manners:?} {finished:#?}");
                world.drain();
                assert_eq!(world.sale_orders().await, 12 * 1024, "{manners:?}");
                assert_eq!(
                    world.number("SELECT count(DISTINCT \"Stock\") FROM sale_order").await,
                    12 * 1024
                );
            } else {
                // What changes unseen is not to be read in parts.
                assert!(!(ranges && (etags || times)), "{manners:?} {finished:#?}");
                finished.refuses(&[&url]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_web_server_that_changes_while_it_is_read_is_refused() {
    // By its ETag, or its time.
    for (etags, times) in [(true, true), (true, false), (false, true)] {
        let manners = Manners {
            ranges: true,
            etags,
            times,
        };
        let (world, site) = (World::new().await, Website::new(manners).await);
        let content = long_orders("A", 40 * 1024);
        site.network.hold_from(content.len() as u64 / 2);
        site.put("/a.csv", content);
        let submitter = world.enqueue(&["-i", &site.url("/a.csv")]).start();
        site.network.until_held().await;
        site.put("/a.csv", long_orders("B", 40 * 1024));
        site.network.release();
        let finished = submitter.finished().await;
        assert_eq!(finished.code, Some(1), "{manners:?}: {finished:#?}");
        assert!(
            finished.stderr.contains(&site.url("/a.csv")) && finished.stderr.contains("changed"),
            "{manners:?}: {finished:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_web_server_is_one_import_as_long_as_it_stays_the_same() {
    let (world, site) = (World::new().await, Website::new(GOOD).await);
    site.put("/a.csv", orders("A", 10));
    let url = site.url("/a.csv");
    let submit = || world.enqueue(&["-i", &url]).run().exits(0).id();
    let first = submit();
    assert_eq!(submit(), first);
    site.put("/a.csv", orders("B", 10));
    assert_ne!(submit(), first);
    world.drain();
    assert_eq!(world.shops().await, ["A", "B"]);
    world
        .enqueue(&["-i", &site.url("/none.csv")])
        .run()
        .refuses(&[&site.url("/none.csv")]);
    // A web server has no list of its files.
    world
        .enqueue(&["-i", &site.url("/files/")])
        .run()
        .refuses(&[&site.url("/files/")]);
    assert_eq!(world.imports().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_google_and_azure_are_read_by_their_own_settings() {
    let (world, bucket, site) = (World::new().await, bucket!(), Website::new(GOOD).await);
    let google = |call: Call| {
        call.env("GOOGLE_BASE_URL", &bucket.network.url)
            .env("GOOGLE_SKIP_SIGNATURE", "true")
    };
    bucket.put("inbox/a.csv", orders("A", 10)).await;
    bucket.put("inbox/b.csv", orders("B", 10)).await;
    bucket.network.fail(Faults::EveryFirst);
    let prefix = format!("gs://{}/inbox/", bucket.name);
    let finished = google(world.enqueue(&["-i", &format!("{prefix}a.csv")])).run();
    assert_eq!(finished.code, Some(0), "{finished:#?} {:#?}", bucket.network.asked());
    bucket.network.fail(Faults::None);
    google(world.enqueue(&["-i", &format!("{prefix}b*"), "--each"]))
        .run()
        .exits(0);

    site.put("/box/inbox/c.csv", orders("C", 10));
    let azure = |call: Call| {
        call.env("AZURE_STORAGE_ACCOUNT_NAME", "account")
            .env("AZURE_STORAGE_ENDPOINT", &site.network.url)
            .env("AZURE_SKIP_SIGNATURE", "true")
            .env("AZURE_ALLOW_HTTP", "true")
    };
    site.network.fail(Faults::EveryFirst);
    let finished = azure(world.enqueue(&["-i", "az://box/inbox/c.csv"])).run();
    assert_eq!(finished.code, Some(0), "{finished:#?} {:#?}", site.network.asked());
    world.drain();
    assert_eq!(
        (world.shops().await, world.sale_orders().await),
        (["A", "B", "C"].map(String::from).to_vec(), 30)
    );
}
