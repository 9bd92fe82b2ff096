//! The recipes of docs/FORMATS.md do what they say.

use std::sync::Arc;

use crate::support::World;
use arrow_array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use jiff::civil::{Date, date};
use parquet::arrow::ArrowWriter;

const FORMATS: &str = include_str!("../../../docs/FORMATS.md");

/// A recipe: a table, a file, a command, and what the table holds then.
struct Recipe {
    title: String,
    table: String,
    file_name: &'static str,
    file: Vec<u8>,
    command: String,
    rows: String,
}

/// The text of the block that is marked as `kind`.
fn block<'a>(section: &'a str, kind: &str) -> Option<&'a str> {
    let (_, rest) = section.split_once(&format!("```{kind}\n"))?;
    Some(rest.split_once("```").expect("a block ends").0)
}

/// The file in the encoding that the command names.
fn encoded(text: &str, command: &str) -> Vec<u8> {
    let Some((_, label)) = command.split_once("--encoding ") else {
        return text.into();
    };
    let label = label.split_whitespace().next().expect("a label");
    let encoding = encoding_rs::Encoding::for_label(label.as_bytes()).expect("an encoding");
    let (bytes, _, lossy) = encoding.encode(text);
    assert!(!lossy, "{label}");
    bytes.into_owned()
}

/// Since 1970.
fn days(text: &str) -> i32 {
    let day: Date = text.parse().expect("a date");
    (day - date(1970, 1, 1)).get_days()
}

/// The Parquet file of a table: a line of names with their types, then a line of values for each row, `~` for NULL.
fn parquet_file(table: &str) -> Vec<u8> {
    let mut lines = table.lines().map(|line| line.split(" | ").collect::<Vec<_>>());
    let header = lines.next().expect("a line of names");
    let rows: Vec<_> = lines.collect();
    let columns = header.iter().enumerate().map(|(at, name)| {
        let (name, kind) = name.split_once(' ').expect("a name and a type");
        let values = rows.iter().map(|row| Some(row[at]).filter(|value| *value != "~"));
        let values: ArrayRef = match kind {
            "STRING" => Arc::new(StringArray::from_iter(values)),
            "INT64" => Arc::new(
                values
                    .map(|value| value.map(|value| value.parse().expect("INT64")))
                    .collect::<Int64Array>(),
            ),
            "DOUBLE" => Arc::new(
                values
                    .map(|value| value.map(|value| value.parse().expect("DOUBLE")))
                    .collect::<Float64Array>(),
            ),
            "DATE" => Arc::new(values.map(|value| value.map(days)).collect::<Date32Array>()),
            other => panic!("{other} is not written here"),
        };
        (name, values, true)
    });
    let batch = RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length");
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).expect("a schema");
    writer.write(&batch).expect("rows");
    writer.close().expect("memory can be written to");
    bytes
}

fn recipes() -> Vec<Recipe> {
    let (_, section) = FORMATS.split_once("\n## Recipes\n").expect("there are recipes");
    section
        .split("\n### ")
        .skip(1)
        .map(|section| {
            let text = |kind| {
                block(section, kind)
                    .unwrap_or_else(|| panic!("no {kind} in: {section}"))
                    .to_owned()
            };
            let (file_name, file) = if let Some(rows) = block(section, "parquet") {
                ("file.parquet", parquet_file(rows))
            } else if let Some(json) = block(section, "json") {
                ("file.json", json.into())
            } else {
                ("file.csv", encoded(&text("csv"), &text("sh")))
            };
            Recipe {
                file_name,
                file,
                title: section.lines().next().unwrap_or_default().to_owned(),
                table: text("sql"),
                command: text("sh"),
                rows: text("text"),
            }
        })
        .collect()
}

#[tokio::test]
async fn each_recipe_does_what_it_says() {
    let recipes = recipes();
    assert!(recipes.len() > 20, "{}", recipes.len());
    let world = World::new().await;
    for recipe in recipes {
        let title = &recipe.title;
        let table = recipe.table.split_whitespace().nth(2).expect("a table's name");
        world
            .execute(&format!("DROP TABLE IF EXISTS {table}; {}", recipe.table))
            .await;
        world.file(recipe.file_name, &recipe.file);
        let words = shlex::split(&recipe.command).expect("a command");
        let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(arguments.first(), Some(&"enqueue"), "{title}");
        let status = world.load(&arguments[1..]);
        assert_eq!(status["rejected"], 0, "{title}");
        let columns = world
            .texts(&format!(
                "SELECT format('coalesce(%I::text, ''~'')', attname) FROM pg_attribute
                 WHERE attrelid = '{table}'::regclass AND attnum > 0 AND attname <> 'id' ORDER BY attnum"
            ))
            .await;
        let rows = world
            .texts(&format!(
                "SELECT concat_ws('|', {}) FROM {table} ORDER BY id",
                columns.join(", ")
            ))
            .await;
        assert_eq!(rows.join("\n") + "\n", recipe.rows, "{title}");
    }
}
