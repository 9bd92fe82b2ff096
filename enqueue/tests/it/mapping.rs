//! Which column is filled by what: fields by other names or none, and what no field says.

use std::fs;

use crate::support::{World, assert_json};
use serde_json::{Value, json};

const THINGS: &str =
    "CREATE TABLE things (id bigserial PRIMARY KEY, name text NOT NULL, pieces int, price numeric, shop text,
    source text, line int, import_id bigint)";
const ROWS: &str = "SELECT concat_ws('|', name, pieces, price, shop) FROM things ORDER BY name";

async fn with_things() -> World {
    let world = World::new().await;
    world.execute(THINGS).await;
    world
}

/// Loads what can be loaded.
fn load(world: &World, arguments: &[&str]) -> Value {
    let id = world.enqueue(arguments).run().exits(0).id();
    world.drain();
    world.status(id)
}

/// The arguments of a submission.
fn with<'a>(first: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [first, more].concat()
}

#[tokio::test]
async fn fields_fill_the_columns_that_they_are_mapped_to_and_others_are_passed_over() {
    let world = with_things().await;
    let file = world.file("a.csv", "Qty;\"Unit; Price\";remark;NAME\n1;1.5;x;a\n2;;;b\n");
    let mapped = [
        "-i",
        &file,
        "--table",
        "things",
        "--map",
        "qty=pieces,\"Unit; Price\"=Price",
    ];
    let refused = world.run(&mapped).await.exits(1);
    assert!(refused.stderr.contains("'remark' (field 3)"), "{refused:?}");
    assert!(refused.stderr.contains("--extra-columns ignore"), "{refused:?}");
    for method in ["insert", "copy"] {
        let load = with(
            &mapped,
            &["--extra-columns", "ignore", "--force", "--load-method", method],
        );
        let status = world.load(&load);
        assert_json(&status, &json!({"loaded": 2, "rejected": 0}));
        assert_eq!(world.texts(ROWS).await, ["a|1|1.5", "b|2"]);
        let id = status["import_id"].to_string();
        world.run(&["verify", &id, &file]).await.exits(0);
        world.execute("UPDATE things SET price = 2 WHERE name = 'b'").await;
        world.run(&["verify", &id, &file]).await.exits(1);
        world.execute("TRUNCATE things").await;
    }
}

#[tokio::test]
async fn a_minus_among_the_columns_passes_a_field_over_with_a_header_and_without() {
    let world = with_things().await;
    let with_header = world.file("h.csv", "x;y;z;x\na;1;?;1\nb;2;?;2;\n");
    let without = world.file("n.csv", "a;1;?;1\nb;2;?;2;\n");
    for (file, header) in [(&with_header, &[][..]), (&without, &["--no-header"])] {
        let arguments = [
            &["-i", file, "--table", "things", "--columns", "name, pieces, -,-"],
            header,
        ]
        .concat();
        let status = load(&world, &arguments);
        // A field too many, also where the last ones fill nothing.
        assert_json(&status, &json!({"loaded": 1, "rejected": 1}));
        assert_eq!(world.texts(ROWS).await, ["a|1"]);
        world.execute("TRUNCATE things").await;
        let joined = with(&arguments, &["--long-rows", "join", "--force"]);
        assert_json(&world.load(&joined), &json!({"loaded": 2}));
        world.execute("TRUNCATE things").await;
    }
    // Joined is what fills the last column, if that is the last field; padded are the fields, whatever they fill.
    let ragged = world.file("r.csv", "a;-;1;x;y\nb;-\n");
    let load = [
        "-i",
        &ragged,
        "--no-header",
        "--table",
        "things",
        "--long-rows",
        "join",
        "--short-rows",
        "pad",
    ];
    world.load(&with(&load, &["--columns", "name,-,pieces,shop"]));
    assert_eq!(world.texts(ROWS).await, ["a|1|x;y", "b"]);
}

#[tokio::test]
async fn a_reject_names_the_column_and_comes_back_as_its_file_had_it() {
    let world = with_things().await;
    let file = world.file("a.csv", "gone;Qty;name\n?;1;a\n?;many;b\n?;3;c\"c\n");
    let options = ["--table", "things", "--map", "Qty=pieces", "--extra-columns", "ignore"];
    let status = load(&world, &with(&["-i", &file], &options));
    assert_json(&status, &json!({"loaded": 1, "rejected": 2}));
    let id = status["import_id"].to_string();
    let why = world.path("why.csv");
    let rejects = world
        .run(&["rejects", &id, "--reasons", why.to_str().unwrap()])
        .await
        .exits(0);
    assert_eq!(rejects.stdout, "gone;Qty;name\n?;many;b\n?;3;c\"c\n");
    let why = fs::read_to_string(why).unwrap();
    assert!(why.contains("3,pieces,not an integer,"), "{why}");
    assert!(why.contains("4,name,a quote inside an unquoted field,"), "{why}");
    let mended = world.file("mended.csv", rejects.stdout.replace("many", "2").replace("c\"c", "c"));
    world.load(&with(&["-i", &mended], &options));
    assert_eq!(world.texts(ROWS).await, ["a|1", "b|2", "c|3"]);
}

#[tokio::test]
async fn columns_hold_what_no_field_says_and_go_with_their_import() {
    let world = with_things().await;
    world.execute("INSERT INTO things (name) VALUES ('theirs')").await;
    let first = world.file("1.csv", "name\n\na\n\"b\nb\"\n");
    let second = world.file("2.csv", "name\nc\n\nd\n");
    let names: Vec<String> = [&first, &second]
        .map(|file| fs::canonicalize(file).unwrap().display().to_string())
        .into();
    let load = [
        "-i",
        &first,
        "-i",
        &second,
        "--table",
        "things",
        "--set",
        "shop=O'Neill; \"x\"=\\",
        "--set",
        "price=007.50",
        "--set",
        "pieces=",
        "--file-column",
        "source",
        "--line-column",
        "Line",
        "--import-column",
        "import_id",
        "--chunk-rows",
        "1",
    ];
    for method in ["insert", "copy"] {
        let status = world.load(&with(&load, &["--force", "--load-method", method]));
        let id = status["import_id"].to_string();
        let rows = "SELECT concat_ws('|', replace(name, chr(10), ' '), pieces, price, shop, line, source) FROM things
             WHERE import_id IS NOT NULL ORDER BY name";
        let of = |row: &str, source: &str| {
            let (name, line) = row.split_once('|').unwrap();
            format!("{name}|7.50|O'Neill; \"x\"=\\|{line}|{source}")
        };
        assert_eq!(
            world.texts(rows).await,
            [
                of("a|3", &names[0]),
                of("b b|4", &names[0]),
                of("c|2", &names[1]),
                of("d|4", &names[1])
            ]
        );
        assert_eq!(
            world
                .texts("SELECT DISTINCT import_id::text FROM things WHERE import_id IS NOT NULL")
                .await,
            std::slice::from_ref(&id)
        );
        world.run(&["verify", &id, &first, &second]).await.exits(0);
        for wrong in ["line = line + 1", "source = 'x'", "shop = NULL", "import_id = 0"] {
            world
                .execute(&format!("BEGIN; UPDATE things SET {wrong} WHERE name = 'c'; COMMIT"))
                .await;
            world.run(&["verify", &id, &first, &second]).await.exits(1);
            world
                .execute(&format!(
                    "UPDATE things SET line = 2, source = '{}', shop = (SELECT shop FROM things WHERE name = 'a'), import_id = {id} WHERE name = 'c'",
                    names[1]
                ))
                .await;
        }
        // The row that was edited, if back again, is another one.
        world.undo(id.parse().unwrap(), &["--include-edited"]);
        assert_eq!(world.texts("SELECT name FROM things").await, ["theirs"]);
    }
    // The same content with another value is another import.
    let one = ["-i", &first, "--table", "things", "--set"];
    let ids: Vec<_> = ["shop=A", "shop=B", "shop=A"]
        .map(|set| world.load(&with(&one, &[set]))["import_id"].clone())
        .into();
    assert!(ids[0] != ids[1] && ids[0] == ids[2], "{ids:?}");
}

#[tokio::test]
async fn json_lines_are_mapped_by_their_keys() {
    let world = with_things().await;
    let file = world.file(
        "a.jsonl",
        "{\"Name\": \"a\", \"Qty\": 1, \"no\": {\"x\": [1]}}\n{\"Qty\": null, \"Name\": \"b\", \"late\": 1}\n{\"Name\": \"c\", \"Preis\": 2.50}\n",
    );
    let load = [
        "-i",
        &file,
        "--format",
        "jsonl",
        "--table",
        "things",
        "--map",
        "qty=pieces,Preis=price",
        "--extra-columns",
        "ignore",
        "--line-column",
        "line",
    ];
    let status = world.load(&load);
    assert_json(&status, &json!({"loaded": 3, "rejected": 0}));
    let rows = "SELECT concat_ws('|', name, pieces, price, line) FROM things ORDER BY name";
    assert_eq!(world.texts(rows).await, ["a|1|1", "b|2", "c|2.50|3"]);
    world
        .run(&["verify", &status["import_id"].to_string(), &file])
        .await
        .exits(0);
    // A key that no object at the beginning has.
    world.execute("TRUNCATE things").await;
    let mut many: String = (0..20_000).map(|_| "{\"Name\": \"m\", \"Qty\": 1}\n").collect();
    many.push_str(&fs::read_to_string(&file).unwrap());
    let many = world.file("many.jsonl", many);
    let submitted = world.enqueue(&with(&["-i", &many], &load[2..])).run().exits(0);
    assert!(submitted.stderr.contains("has the key 'Preis'"), "{submitted:?}");
    world.drain();
    assert_json(&world.status(submitted.id()), &json!({"loaded": 20_003, "rejected": 0}));
    assert_eq!(
        world.texts("SELECT name || line FROM things WHERE price = 2.5").await,
        ["c20003"]
    );
}

#[tokio::test]
async fn what_cannot_be_filled_is_refused_before_anything_is_stored() {
    let world = with_things().await;
    let file = world.file("a.csv", "name;pieces\na;1\n");
    let load = ["-i", &file, "--table", "things"];
    for (more, says) in [
        (
            &["--map", "nmae=name"][..],
            "no column 'nmae', for which a column of the table was named; it has: name, pieces",
        ),
        (
            &["--map", "name=nmae"],
            "'nmae' (field 1) is not a column of public.things",
        ),
        (&["--map", "pieces=name"], "'name' is named twice (field 2)"),
        (&["--set", "pieces=1"], "'pieces' is filled twice"),
        (&["--set", "price=1", "--set", "Price=2"], "'price' is filled twice"),
        (&["--set", "price=cheap"], "'price' cannot hold 'cheap': not a number"),
        (&["--set", "id=1"], "'id' is not one that an import can fill"),
        (
            &["--set", "nope=1"],
            "'nope' is not one that an import can fill in public.things; it has: name, pieces",
        ),
        (
            &["--file-column", "price"],
            "'price' cannot hold the name of a file: it is of numeric",
        ),
        (
            &["--import-column", "line"],
            "'line' cannot hold the id of an import: it is of integer",
        ),
        (&["--line-column", "name"], "'name' is filled twice"),
        (
            &["--columns", "-,pieces"],
            "no column 'name', which public.things requires",
        ),
        (
            &["--columns", "name,-", "--force-null", "pieces"],
            "'pieces', which the file does not fill",
        ),
    ] {
        let refused = world.run(&with(&load, more)).await.exits(1);
        assert!(refused.stderr.contains(says), "{more:?}: {}", refused.stderr);
    }
    for more in [
        &["--map", "name"][..],
        &["--set", "price"],
        &["--map", "name=name", "--columns", "name,pieces"],
        &["--extra-columns", "ignore", "--no-header"],
    ] {
        world.run(&with(&load, more)).await.exits(2);
    }
    assert_eq!(world.imports().await, 0);
    // NOT NULL is known beforehand, and what the file lacks may be set.
    let other = world.file("b.csv", "pieces\n1\n");
    let load = ["-i", &other, "--table", "things"];
    world.run(&load).await.exits(1);
    world.load(&with(&load, &["--set", "name="]));
    assert_eq!(world.texts("SELECT quote_literal(name) FROM things").await, ["''"]);
}

#[tokio::test]
async fn a_check_knows_the_mapping() {
    let world = with_things().await;
    let file = world.file("a.csv", "x;name;qty\n?;a;1\n?;b;many\n");
    let checked = world
        .run(&[
            "-i",
            &file,
            "--table",
            "things",
            "--map",
            "qty=pieces",
            "--extra-columns",
            "ignore",
            "--set",
            "shop=A",
            "--file-column",
            "source",
            "--import-column",
            "import_id",
            "--check",
        ])
        .await
        .exits(3);
    assert!(checked.stdout.contains("3,pieces,not an integer,"), "{checked:?}");
    assert_eq!(world.imports().await, 0);
}
