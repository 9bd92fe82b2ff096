//! Files that are submitted one by one: a directory, a pattern, several names.

use std::fs;

use crate::support::{World, orders};

#[tokio::test]
async fn a_directory_that_is_submitted_again_loads_only_what_is_new() {
    let world = World::new().await;
    let inbox = world.path("inbox");
    fs::create_dir_all(inbox.join("below")).unwrap();
    let put = |name: &str, content: &str| fs::write(inbox.join(name), content).unwrap();
    let inbox_name = inbox.to_str().unwrap();
    let each = || world.enqueue(&["-i", inbox_name, "--each"]).run();

    each().exits(0).says("no file to load");
    put("b.csv", &orders("B", 20));
    put("a.csv", &orders("A", 10));
    put(".hidden", "no;header");
    put("below/c.csv", &orders("C", 30));
    assert_eq!(each().exits(0).stdout, "1\n2\n");
    world.drain();
    assert_eq!(
        (world.shops().await, world.sale_orders().await),
        (vec!["A".to_owned(), "B".to_owned()], 30)
    );

    // The same content under another name, a new one, and one that cannot be read.
    put("again.csv", &orders("A", 10));
    put("bad.csv", "no;header\n1;2\n");
    put("d.csv", &orders("D", 5));
    let second = each().exits(1).says("bad.csv: the file's column 'no'");
    assert_eq!(second.stdout.lines().collect::<Vec<_>>(), ["1", "1", "2", "3"]);
    world.drain();
    assert_eq!(world.sale_orders().await, 35);
    assert_eq!(world.imports().await, 3);
    // Each can be taken back alone.
    world.undo(2, &[]);
    assert_eq!(world.shops().await, ["A", "D"]);
}

#[tokio::test]
async fn files_are_named_by_patterns_and_one_by_one() {
    let world = World::new().await;
    let (a, b) = (world.file("a.csv", orders("A", 1)), world.file("b.csv", orders("B", 2)));
    let bad = world.file("c.csv", "PointOfSale;Product;Date;Stock\nC;x;never;1\n");
    let pattern = world.path("*.csv");
    world.enqueue(&["-i", "-", "--each"]).run().exits(2);
    world.enqueue(&["--each"]).run().exits(2);
    world.enqueue(&["-i", &a, "--each", "--key", "k"]).run().exits(2);
    let missing = world.path("none.csv");
    world
        .enqueue(&["-i", missing.to_str().unwrap(), "-i", &b, "--each"])
        .run()
        .exits(1)
        .says("none.csv");
    let worker = world.worker(&[]).start();
    let all = ["-i", &b, "-i", pattern.to_str().unwrap(), "--each", "--wait", "--json"];
    let finished = world.enqueue(&all).run().exits(3);
    drop(worker);
    assert_eq!(finished.stdout.lines().count(), 3, "{}", finished.stdout);
    assert!(finished.stdout.contains("\"rejected\":1") && finished.stderr.contains(&bad));
    assert_eq!(world.shops().await, ["A", "B"]);
}
