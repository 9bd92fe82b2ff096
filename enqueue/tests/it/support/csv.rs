//! Files of sale orders: plain ones, and ones whose content the server itself knows.

use std::{fmt::Write as _, fs, path::PathBuf};

use super::World;

/// The columns of a file, as those of the table.
pub const COLUMNS: &str = r#""PointOfSale", "Product", "Date", "Stock""#;

/// A file of sale orders with a header; `shop` tells its rows from those of others.
pub fn orders(shop: &str, rows: usize) -> String {
    let mut text = "PointOfSale;Product;Date;Stock\n".to_owned();
    for row in 0..rows {
        text.push_str(&format!("{shop};Product {row};2025-01-{:02};{row}\n", row % 28 + 1));
    }
    text
}

/// A CSV file, and the same rows in a table that the server itself read from it.
pub struct CsvFile {
    pub path: PathBuf,
    pub rows: u64,
    /// The table.
    pub expected: String,
}

impl CsvFile {
    pub fn path(&self) -> &str {
        self.path.to_str().expect("a path in UTF-8")
    }
}

impl World {
    /// Writes a file of `rows` records, quoted ones and ones of several lines among them.
    pub async fn csv_file(&self, rows: u64) -> CsvFile {
        let number = self.next();
        let mut text = String::from("PointOfSale;Product;Date;Stock\n");
        for row in 0..rows {
            let (month, day, stock) = (row % 12 + 1, row % 28 + 1, row % 1009);
            match row % 50 {
                7 => writeln!(
                    text,
                    "S{number};\"Tea; \"\"green\"\" {row}\";2025-{month:02}-{day:02};{stock}"
                ),
                9 => writeln!(text, "S{number};\"Coffee\n{row}\";2025-{month:02}-{day:02};{stock}"),
                _ => writeln!(text, "S{number};Product {row};2025-{month:02}-{day:02};{stock}"),
            }
            .expect("a string");
        }
        let path = self.path(&format!("{number}.csv"));
        fs::write(&path, &text).expect("to write the file");
        let expected = format!("expected_{number}");
        self.execute(&format!(
            "CREATE TABLE {expected} AS SELECT {COLUMNS} FROM public.sale_order LIMIT 0"
        ))
        .await;
        let mut conn = self.connect().await;
        let mut copy = conn
            .copy_in_raw(&format!(
                "COPY {expected} FROM STDIN (FORMAT csv, DELIMITER ';', HEADER)"
            ))
            .await
            .expect("to copy");
        copy.send(text.as_bytes()).await.expect("to copy");
        assert_eq!(copy.finish().await.expect("to copy"), rows);
        CsvFile { path, rows, expected }
    }
}
