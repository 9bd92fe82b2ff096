//! Imports of which nothing is stored: how they are submitted, and who may read them.

use super::{Call, World, objects::Bucket, orders};

/// Many starts of a chunk are a test's own doing.
pub const PATIENT: [&str; 4] = ["--concurrency", "2", "--max-attempts", "1000"];

/// Orders as JSON Lines.
pub fn json_lines(shop: &str, rows: usize) -> String {
    let line = |n: usize| {
        format!(
            "{{\"PointOfSale\":\"{shop}\",\"Product\":\"\\\"Tea\\\"\\n{n}\",\"Date\":\"2025-01-01\",\"Stock\":{n}}}\n"
        )
    };
    (0..rows).map(line).collect()
}

/// The ways to split, each with a source that is split so.
pub fn kinds() -> [(&'static str, String, String, Vec<&'static str>); 3] {
    let csv = || (orders("A", 6_000), orders("B", 6_000));
    let (a, b) = csv();
    let (c, d) = csv();
    [
        ("quoted.csv", a, b, vec!["--chunk-rows", "200"]),
        ("plain.csv", c, d, vec!["--chunk-rows", "200", "--quote", "none"]),
        (
            "lines.jsonl",
            json_lines("A", 6_000),
            json_lines("B", 6_000),
            vec!["--chunk-rows", "200", "--format", "jsonl"],
        ),
    ]
}

impl World {
    pub fn by_reference(&self, source: &str, options: &[&str]) -> Call {
        let all = [&["-i", source, "--by-reference"], options].concat();
        self.enqueue(&all)
    }

    /// A worker that may read what begins like this.
    pub fn allowed(&self, prefix: &str, options: &[&str]) -> Call {
        let all = [&["--allow-reference", prefix], options].concat();
        self.worker(&all)
    }

    pub async fn assert_no_payload(&self) {
        assert_eq!(self.number("SELECT count(*) FROM pgimport.import_payload").await, 0);
    }

    /// What an import says of how it failed: its own error, and those of its chunks.
    pub async fn errors(&self, import: i64) -> String {
        let all = self
            .texts(&format!(
                "SELECT error FROM pgimport.import WHERE id = {import} AND error IS NOT NULL
                 UNION ALL SELECT last_error FROM pgimport.import_chunk WHERE import_id = {import} AND last_error IS NOT NULL"
            ))
            .await;
        all.join("\n")
    }
}

impl Bucket {
    pub fn all(&self) -> String {
        self.url("")
    }
}
