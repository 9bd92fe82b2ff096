//! The recipes of docs/FORMATS.md do what they say.

mod support;

use support::World;

const FORMATS: &str = include_str!("../../docs/FORMATS.md");

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
            let kind = if section.contains("```json\n") { "json" } else { "csv" };
            Recipe {
                file_name: if kind == "json" { "file.json" } else { "file.csv" },
                title: section.lines().next().unwrap_or_default().to_owned(),
                table: text("sql"),
                file: encoded(&text(kind), &text("sh")),
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
