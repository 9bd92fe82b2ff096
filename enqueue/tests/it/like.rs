//! A submission with the options of an earlier import: the same spec, and what was rejected there is loaded.

use crate::support::{World, assert_json};
use serde_json::{Value, json};

const THINGS: &str = "CREATE TABLE \"odd things\" (id bigserial PRIMARY KEY, name text, \"a,b\" int, price numeric, day date, at timestamptz,
    shop text, line int)";
const TABLE: &str = "\"odd things\"";

async fn spec(world: &World, id: i64) -> Value {
    let text = world
        .texts(&format!(
            "SELECT jsonb_build_object('spec', spec, 'target', target, 'version', spec_version)::text FROM pgimport.import WHERE id = {id}"
        ))
        .await;
    serde_json::from_str(&text[0]).unwrap()
}

#[tokio::test]
async fn every_option_is_taken_over() {
    let world = World::new().await;
    world.execute(THINGS).await;
    let plain = world.file("a.csv", "name;a,b;price;day;at\nx;1;2;2024-01-01;2024-01-01 10:00\n");
    let json = world.file("a.jsonl", "{\"name\": \"x\", \"n\": 1}\n");
    let other = world.file("b.csv", "y;2\n");
    let all = [
        "--skip-lines 0 --skip-footer 1 --header-lines 1 --comment=-- --quote ' --escape \\ --trim --null NA --null - --stop-at-header",
        "--force-null name --short-rows pad --long-rows join --stray-quotes keep --encoding windows-1252",
        "--on-bad-bytes replace --max-record 1M --load-method copy",
    ];
    for options in [
        vec!["-i", &plain],
        ["-i", &plain]
            .into_iter()
            .chain(all.iter().flat_map(|line| line.split(' ')))
            .collect(),
        vec![
            "-i",
            &plain,
            "--long-rows",
            "truncate",
            "--force-null",
            "*",
            "--force-not-null",
            "*",
            "--quote",
            "none",
            "--escape",
            "none",
        ],
        vec![
            "-i",
            &plain,
            "--date-format",
            "DD.MM.YYYY",
            "--timestamp-format",
            "YYYYMMDD HH24",
            "--date-format",
            "day=YYYY-MM-DD",
            "--time-zone",
            "Europe/Berlin",
            "--decimal-separator",
            ",",
            "--thousands-separator",
            ".",
            "--on-nul",
            "strip",
        ],
        vec![
            "-i",
            &plain,
            "--map",
            "price=price,\"a,b\"=\"a,b\"",
            "--set",
            "shop=-x = \"y\"",
            "--line-column",
            "line",
        ],
        vec!["-i", &plain, "--columns", "name,\"a,b\",-,day,at"],
        vec!["-i", &other, "--no-header", "--columns", "name,\"a,b\""],
        vec!["-i", &other, "--no-header", "--columns", "-,\"a,b\"", "-d", "\\t"],
        vec![
            "-i",
            &json,
            "--format",
            "jsonl",
            "--map",
            "n=\"a,b\"",
            "--extra-columns",
            "ignore",
        ],
        vec!["-i", &json, "--format", "jsonl", "--columns", "name"],
    ] {
        let first = [&options[..], &["--table", TABLE, "--force"]].concat();
        let first = world.enqueue(&first).run().exits(0).id();
        let file = options[1];
        let again = world
            .enqueue(&["-i", file, "--force", "--like", &first.to_string()])
            .run()
            .exits(0)
            .id();
        assert_ne!(first, again);
        assert_eq!(spec(&world, again).await, spec(&world, first).await, "{options:?}");
    }
}

#[tokio::test]
async fn other_options_have_the_last_word_and_the_table_is_followed() {
    let world = World::new().await;
    world.execute(THINGS).await;
    world
        .execute("CREATE TABLE others (id bigserial PRIMARY KEY, name text, shop text)")
        .await;
    let file = world.file("a.csv", "name,shop\nNA,x\n");
    let other = world.file("b.csv", "name;shop\n-;y\n");
    let first = world.load(&["-i", &file, "--table", TABLE, "-d", ",", "--null", "NA"])["import_id"].to_string();
    world.execute("ALTER TABLE \"odd things\" RENAME TO renamed").await;
    world.load(&["-i", &other, "--like", &first, "-d", ";", "--null", "-"]);
    assert_eq!(
        world
            .texts("SELECT coalesce(name, 'NULL') || shop FROM renamed ORDER BY id")
            .await,
        ["NULLx", "NULLy"]
    );
    world.load(&[
        "-i",
        &file,
        "--like",
        &first,
        "--table",
        "others",
        "--columns",
        "shop,name",
    ]);
    assert_eq!(
        world
            .texts("SELECT name || '|' || coalesce(shop, 'NULL') FROM others")
            .await,
        ["x|NULL"]
    );
    // The same content in the same way is the same import.
    let same = world.run(&["-i", &file, "--like", &first]).await.exits(0);
    assert_eq!(same.id().to_string(), first);
    let none = world.run(&["-i", &file, "--like", "99"]).await.exits(1);
    assert!(none.stderr.contains("no import 99"), "{none:?}");
    world.execute("DROP TABLE renamed").await;
    world.run(&["-i", &file, "--like", &first]).await.exits(1);
}

#[tokio::test]
async fn what_was_rejected_is_loaded_by_the_command_that_is_proposed() {
    let world = World::new().await;
    world.execute(THINGS).await;
    let mut utf16 = vec![0xff, 0xfe];
    let text = "report\r\nof;Unit Price;secret\r\nname;Unit Price;secret\r\nä;1;?\r\nö;many;?\r\nsum;1;\r\n";
    utf16.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    let file = world.file("a.csv", utf16);
    let load = [
        "-i",
        &file,
        "--table",
        TABLE,
        "--skip-lines",
        "1",
        "--header-lines",
        "2",
        "--skip-footer",
        "1",
        "--map",
        "Unit Price=price",
        "--extra-columns",
        "ignore",
    ];
    let first = world.enqueue(&load).run().exits(0).id();
    world.drain();
    assert_json(&world.status(first), &json!({"loaded": 1, "rejected": 1}));
    let rejects = world.run(&["rejects", &first.to_string()]).await.exits(0);
    let mended = world.file("mended.csv", rejects.stdout.replace("many", "2"));
    let (_, command) = rejects.stderr.trim().rsplit_once("corrected: ").expect("a command");
    let words = shlex::split(command).unwrap();
    let words: Vec<&str> = words
        .iter()
        .skip(1)
        .map(|word| if word == "FILE" { mended.as_str() } else { word })
        .collect();
    world.load(&words);
    assert_eq!(
        world
            .texts("SELECT name || price FROM \"odd things\" ORDER BY id")
            .await,
        ["ä1", "ö2"]
    );
}
