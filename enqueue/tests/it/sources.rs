//! What a source may be: compressed, encoded otherwise, or a stream. The rows are the same.

use std::io::Write as _;

use crate::support::{World, assert_json, orders};
use serde_json::json;

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(content).unwrap();
    out.finish().unwrap()
}

/// The content in each form in which it can be read.
fn forms(content: &str) -> Vec<(&'static str, Vec<u8>)> {
    let (head, tail) = content.split_at(content.len() / 3);
    let bytes = content.as_bytes();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    bzip2.write_all(bytes).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
    xz.write_all(bytes).unwrap();
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(bytes).unwrap();
    let utf16 = |unit: fn(u16) -> [u8; 2]| {
        format!("\u{feff}{content}")
            .encode_utf16()
            .flat_map(unit)
            .collect::<Vec<u8>>()
    };
    vec![
        ("plain", bytes.to_vec()),
        (
            "gzip, in two members",
            [gzip(head.as_bytes()), gzip(tail.as_bytes())].concat(),
        ),
        ("zstd", zstd::encode_all(bytes, 3).unwrap()),
        ("bzip2", bzip2.finish().unwrap()),
        ("xz", xz.finish().unwrap()),
        ("lz4", lz4.finish().unwrap()),
        ("UTF-16, little end first", utf16(u16::to_le_bytes)),
        ("UTF-16, big end first, in gzip", gzip(&utf16(u16::to_be_bytes))),
    ]
}

#[tokio::test]
async fn the_rows_are_the_same_in_whatever_form_a_file_comes() {
    let content = orders("caf\u{e9} \u{2603}", 1500);
    let world = World::new().await;
    let mut imports = Vec::new();
    for (form, bytes) in forms(&content) {
        // No name says what it is.
        let file = world.file(&format!("{form}.csv"), &bytes);
        let of_file = world.enqueue(&["-i", &file, "--chunk-rows", "400"]).run().exits(0).id();
        let of_stream = world
            .enqueue(&["--chunk-rows", "400"])
            .input(&bytes)
            .run()
            .exits(0)
            .id();
        imports.extend([(form, of_file, file.clone()), (form, of_stream, file)]);
    }
    world.drain();
    for (form, id, file) in &imports {
        assert_json(
            &world.status(*id),
            &json!({"state": "loaded", "loaded": 1500, "rejected": 0, "chunks": 4}),
        );
        let verified = world.enqueue(&["verify", &id.to_string(), file]).run();
        assert_eq!(verified.code, Some(0), "{form}: {verified:?}");
    }
    let each =
        "SELECT DISTINCT count(*)::text FROM sale_order GROUP BY \"PointOfSale\", \"Product\", \"Date\", \"Stock\"";
    assert_eq!(world.texts(each).await, [imports.len().to_string()]);
    assert_eq!(world.sale_orders().await, 1500 * i64::try_from(imports.len()).unwrap());
}

#[tokio::test]
async fn an_encoding_may_be_named_and_bad_bytes_are_rejected_or_replaced() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE notes (id bigserial PRIMARY KEY, a text, b text)")
        .await;
    let rows = "SELECT concat_ws('|', a, b) FROM notes ORDER BY id";
    let load = |name: &str, content: &[u8], options: &[&str]| {
        let file = world.file(name, content);
        let mut arguments = vec!["-i", &file, "--table", "notes", "--no-header", "-d", ","];
        arguments.extend(options);
        let id = world.enqueue(&arguments).run().exits(0).id();
        world.drain();
        world.status(id)
    };
    load("a.csv", b"\x80\xe9,1\n", &["--encoding", "latin1"]);
    load("b.csv", b"\x82\xa0,2\n", &["--encoding", "shift_jis"]);
    load("c.csv", b"\xff,3\n", &["--on-bad-bytes", "replace"]);
    let status = load("d.csv", b"\x82,4\nx,5\n", &["--encoding", "euc-kr"]);
    assert_json(&status, &json!({"loaded": 1, "rejected": 1}));
    assert_eq!(
        world.texts(rows).await,
        ["\u{20ac}\u{e9}|1", "\u{3042}|2", "\u{fffd}|3", "x|5"]
    );
    let reasons = world
        .texts("SELECT concat_ws('|', line, column_name, reason) FROM pgimport.import_reject")
        .await;
    assert_eq!(reasons, ["1|a|not valid UTF-8"]);

    let file = world.file("e.csv", "a,1\n");
    let arguments = ["-i", &file, "--table", "notes", "--encoding", "klingon"];
    world
        .enqueue(&arguments)
        .run()
        .exits(2)
        .says("there is no encoding 'klingon'");
    let file = world.file("f.csv", b"\xff\xfe\0\0a\0\0\0");
    world.enqueue(&["-i", &file]).run().exits(1).says("UTF-32");
}

#[tokio::test]
async fn a_damaged_or_endless_source_is_refused_and_nothing_of_it_stays() {
    let world = World::new().await;
    let whole = gzip(orders("A", 5000).as_bytes());
    let file = world.file("orders.csv.gz", &whole[..whole.len() - 9]);
    let finished = world.enqueue(&["-i", &file, "--chunk-rows", "100"]).run().exits(1);
    assert!(
        finished.stderr.contains("the gzip data is damaged or cut off"),
        "{}",
        finished.stderr
    );
    let mut zeros = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..80 {
        zeros.write_all(&vec![b'0'; 1 << 20]).unwrap();
    }
    let bomb = world.file("bomb.csv", zeros.finish().unwrap());
    let finished = world.enqueue(&["-i", &bomb, "--max-record", "1G"]).run().exits(1);
    assert!(
        finished.stderr.contains("more than 1000 times as many"),
        "{}",
        finished.stderr
    );
    // The first can be mended, and goes on where it was.
    let file = world.file("orders.csv.gz", &whole);
    world.load(&["-i", &file, "--chunk-rows", "100"]);
    assert_eq!(world.count("public.sale_order WHERE \"PointOfSale\" = 'A'").await, 5000);
}
