//! Values of every type go through a file, an update, an undo and a deletion that is taken back, and are what they were.

use crate::support::{World, assert_json, skipped::skipped};
use serde_json::json;

const TYPES: &str = r#"
    CREATE TYPE mood AS ENUM ('fine', 'so, so', 'b"ad');
    CREATE DOMAIN small AS integer CHECK (value < 1000);
    CREATE DOMAIN tag AS varchar(8);
    CREATE DOMAIN tags AS text[] CHECK (cardinality(value) < 9);
    CREATE TYPE pair AS (a integer, "B b" text);
    CREATE TYPE nest AS (inner_pair pair, list integer[]);
    CREATE EXTENSION IF NOT EXISTS hstore;
"#;

/// Name, type, and two values of it.
const COLUMNS: &[(&str, &str, &str, &str)] = &[
    ("a_smallint", "smallint", "-32768", "32767"),
    ("a_bigint", "bigint", "-9223372036854775808", "9223372036854775807"),
    ("a_numeric", "numeric", "'NaN'", "'-0.000000000000000000000000000010'"),
    ("a_numeric_12_3", "numeric(12, 3)", "123456789.125", "-0.001"),
    ("a_real", "real", "'-0'", "1.1754944e-38"),
    ("a_double", "double precision", "'Infinity'", "0.1::float8 + 0.2"),
    ("a_boolean", "boolean", "true", "false"),
    ("a_text", "text", "''", "E'ä;\"quoted\"\n\\\\N, line two '"),
    ("a_varchar", "varchar(20)", "' x '", "'null'"),
    ("a_char", "char(5)", "'ab'", "''"),
    ("a_byte", "\"char\"", "'x'", "'~'"),
    ("a_name", "name", "'name'", "'Ünïcode'"),
    ("a_bytea", "bytea", "'\\x00ff5c'", "'\\x'"),
    ("a_date", "date", "'0044-03-15 BC'", "'infinity'"),
    ("a_time", "time", "'23:59:59.999999'", "'00:00'"),
    ("a_timetz", "timetz", "'12:30:00.5+05:45'", "'00:00-12'"),
    (
        "a_timestamp",
        "timestamp",
        "'1999-12-31 23:59:59.000001'",
        "'-infinity'",
    ),
    ("a_timestamp_0", "timestamp(0)", "'2024-02-29 12:00'", "'0001-01-01 BC'"),
    (
        "a_timestamptz",
        "timestamptz",
        "'2024-10-27 02:30:00+01'",
        "'2024-10-27 02:30:00+02'",
    ),
    ("an_interval", "interval", "'-1 year 2 mons -3 days 04:05:06.7'", "'0'"),
    (
        "a_uuid",
        "uuid",
        "'00000000-0000-0000-0000-000000000001'",
        "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
    ),
    ("a_json", "json", "'{\"a\" :1,\"a\": 1e400}'", "'\"text\"'"),
    ("a_jsonb", "jsonb", "'{\"b\": [1.50, null, \"ä\"]}'", "'0'"),
    ("an_xml", "xml", "'<a b=\"c\">d &amp; e</a>'", "'text'"),
    ("an_inet", "inet", "'192.168.1.7/24'", "'::1'"),
    ("a_cidr", "cidr", "'10.0.0.0/8'", "'2001:db8::/32'"),
    ("a_macaddr", "macaddr", "'08:00:2b:01:02:03'", "'ff:ff:ff:ff:ff:ff'"),
    (
        "a_macaddr8",
        "macaddr8",
        "'08:00:2b:01:02:03:04:05'",
        "'ff:ff:ff:ff:ff:ff:ff:ff'",
    ),
    ("some_bits", "bit(4)", "'1010'", "'0000'"),
    ("more_bits", "bit varying", "''", "'101010101'"),
    ("an_amount", "money", "'-1234567.89'", "0"),
    ("a_point", "point", "'(1.5,-2)'", "'(0.1,1e-300)'"),
    ("a_line", "line", "'{1,-1,0}'", "'{0,1,2}'"),
    ("an_lseg", "lseg", "'[(0,0),(1,1)]'", "'[(1,2),(3,4)]'"),
    ("a_box", "box", "'(1,1),(0,0)'", "'(0,0),(0,0)'"),
    ("a_path", "path", "'[(0,0),(1,1),(2,0)]'", "'((0,0),(1,1))'"),
    ("a_polygon", "polygon", "'((0,0),(1,1),(2,0))'", "'((0,0))'"),
    ("a_circle", "circle", "'<(1,2),3>'", "'<(0,0),0>'"),
    ("a_tsvector", "tsvector", "'a:1A fat:2B,4 ''it''''s'''", "''"),
    ("a_tsquery", "tsquery", "'fat & (rat | cat:*)'", "'!a'"),
    ("an_int4range", "int4range", "'[1,10)'", "'empty'"),
    ("an_int8range", "int8range", "'(,5)'", "'(,)'"),
    ("a_numrange", "numrange", "'(1.10,2.5]'", "'[0,)'"),
    (
        "a_tsrange",
        "tsrange",
        "'[2024-01-01,2024-02-01)'",
        "'[2024-01-01 00:00:00.5,infinity]'",
    ),
    (
        "a_tstzrange",
        "tstzrange",
        "'[2024-01-01 00:00+00,2024-02-01 00:00+00)'",
        "'empty'",
    ),
    (
        "a_daterange",
        "daterange",
        "'[2024-01-01,2024-02-01)'",
        "'(,2024-01-01)'",
    ),
    ("a_multirange", "int4multirange", "'{[1,3),[5,7)}'", "'{}'"),
    ("an_lsn", "pg_lsn", "'16/B374D848'", "'0/0'"),
    ("a_jsonpath", "jsonpath", "'$.a[*] ? (@ > 1)'", "'$'"),
    ("an_enum", "mood", "'so, so'", "'b\"ad'"),
    ("a_small", "small", "999", "-1"),
    ("a_tag", "tag", "'tag;1'", "''"),
    ("some_tags", "tags", "'{a,\"b c\",\"NULL\",NULL}'", "'{}'"),
    ("a_pair", "pair", "'(1,\"a \"\"b\"\" (c)\")'", "'(,)'"),
    ("a_nest", "nest", "'(\"(2,\"\"x,y\"\")\",\"{1,2}\")'", "'(,)'"),
    ("ints", "integer[]", "'{1,NULL,3}'", "'[0:1]={7,8}'"),
    (
        "texts",
        "text[]",
        "ARRAY['', 'NULL', 'a,b', E'q\"\\\\{}\n', NULL]",
        "'{}'",
    ),
    ("grid", "numeric[]", "'{{1.10,2},{3,NaN}}'", "'{NULL}'"),
    ("moods", "mood[]", "'{fine,\"so, so\"}'", "'{\"b\\\"ad\"}'"),
    (
        "jsons",
        "json[]",
        "ARRAY['{\"a\" : [1, \"x\"]}'::json, '\"s\"', '[1, 2]', NULL]",
        "'{}'",
    ),
    ("jsonbs", "jsonb[]", "ARRAY['{\"a\": 1}'::jsonb, 'true']", "'{}'"),
    ("pairs", "pair[]", "ARRAY[ROW(1, 'a,b')::pair, NULL]", "'{}'"),
    ("uuids", "uuid[]", "'{00000000-0000-0000-0000-000000000001}'", "'{}'"),
    ("times", "timestamptz[]", "'{2024-10-27 02:30:00+01}'", "'{infinity}'"),
    ("a_store", "hstore", "'a=>1, \"b c\"=>NULL'", "''"),
];

impl World {
    /// A table with a key and a column of every type, with one row of each value, and one of NULLs.
    async fn every_type(&self, table: &str, columns: &[(&str, &str, &str, &str)]) {
        let list =
            |part: fn(&(&str, &str, &str, &str)) -> String| columns.iter().map(part).collect::<Vec<_>>().join(", ");
        let defined = list(|column| format!("{} {}", column.0, column.1));
        let nulls = list(|_| "NULL".to_owned());
        let (first, second) = (list(|column| column.2.to_owned()), list(|column| column.3.to_owned()));
        self.execute(&format!(
            "CREATE TABLE {table} (k integer PRIMARY KEY, {defined});
             INSERT INTO {table} VALUES (1, {first}); INSERT INTO {table} VALUES (2, {second}); INSERT INTO {table} VALUES (3, {nulls});"
        ))
        .await;
    }

    /// As the server writes it.
    fn copied(&self, table: &str) -> String {
        self.psql(&[
            "-c",
            &format!("COPY (SELECT * FROM {table} ORDER BY k) TO STDOUT (FORMAT csv, HEADER, DELIMITER ';')"),
        ])
    }
}

#[tokio::test]
async fn a_table_of_every_type_goes_through_a_file_and_is_what_it_was() {
    let world = World::new().await;
    world.execute(TYPES).await;
    let mut columns = COLUMNS.to_vec();
    let has_gis = world
        .number("SELECT count(*) FROM pg_available_extensions WHERE name = 'postgis'")
        .await;
    if has_gis > 0 {
        world.execute("CREATE EXTENSION postgis").await;
        columns.extend([
            (
                "a_geometry",
                "geometry(Point, 4326)",
                "'SRID=4326;POINT(1.5 -2)'",
                "'SRID=4326;POINT EMPTY'",
            ),
            (
                "a_geography",
                "geography",
                "'POINT(13.4 52.5)'",
                "'LINESTRING(0 0,1 1)'",
            ),
        ]);
    } else {
        skipped("geometry and geography, for the server has no PostGIS: all other types are loaded");
    }
    world.every_type("every", &columns).await;
    assert!(columns.len() > 40);
    let text = world.copied("every");
    world.execute("CREATE TABLE again (LIKE every INCLUDING ALL)").await;
    let file = world.file("every.csv", &text);
    let status = world.load(&["-i", &file, "--table", "again"]);
    assert_eq!(world.copied("again"), text);
    let id = status["import_id"].as_i64().unwrap();
    world.enqueue(&["verify", &id.to_string(), &file]).run().exits(0);

    // The row of NULLs gets values, the others go, and two come.
    let named: Vec<&str> = columns.iter().map(|column| column.0).collect();
    let query = format!("SELECT k + 2 AS k, {} FROM every ORDER BY 1", named.join(", "));
    let moved = world.psql(&[
        "-c",
        &format!("COPY ({query}) TO STDOUT (FORMAT csv, HEADER, DELIMITER ';')"),
    ]);
    let file = world.file("moved.csv", moved);
    let over = world.load(&[
        "-i",
        &file,
        "--table",
        "again",
        "--on-conflict",
        "update",
        "--delete-missing",
        "--max-deletes",
        "2",
    ]);
    assert_json(&over, &json!({"inserted": 2, "updated": 1, "removed": 2}));
    let id = over["import_id"].as_i64().unwrap();
    world.enqueue(&["verify", &id.to_string(), &file]).run().exits(0);
    // With the settings of a role that has others.
    world
        .execute(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET datestyle = ''German, DMY''', current_database());
                 EXECUTE format('ALTER DATABASE %I SET intervalstyle = iso_8601', current_database());
                 EXECUTE format('ALTER DATABASE %I SET extra_float_digits = -5', current_database());
                 EXECUTE format('ALTER DATABASE %I SET bytea_output = escape', current_database()); END $$",
        )
        .await;
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "cancelled", "deleted": 2, "restored": 1, "returned": 2}),
    );
    world
        .execute("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET ALL', current_database()); END $$")
        .await;
    assert_eq!(world.copied("again"), text);
}

#[tokio::test]
async fn the_same_through_json() {
    let world = World::new().await;
    world.execute(TYPES).await;
    // A composite has no form in JSON that says which of its columns a value is of, and a lower bound none at all.
    let columns: Vec<_> = COLUMNS
        .iter()
        .copied()
        .filter(|column| !column.1.starts_with("pair") && column.1 != "nest" && column.0 != "a_store")
        .map(|(name, kind, first, second)| {
            (
                name,
                kind,
                first,
                second.strip_prefix("'[0:1]=").map_or(second, |_| "'{7,8}'"),
            )
        })
        .collect();
    world.every_type("every", &columns).await;
    let text = world.copied("every");
    world.execute("CREATE TABLE again (LIKE every INCLUDING ALL)").await;
    let objects = world
        .texts("SELECT pg_catalog.row_to_json(e)::text FROM every AS e ORDER BY k")
        .await;
    let file = world.file("every.jsonl", objects.join("\n") + "\n");
    let status = world.load(&["-i", &file, "--format", "jsonl", "--table", "again"]);
    assert_eq!(world.copied("again"), text);
    let id = status["import_id"].as_i64().unwrap();
    world.enqueue(&["verify", &id.to_string(), &file]).run().exits(0);
}

#[tokio::test]
async fn a_bad_value_of_any_type_is_a_reject() {
    let world = World::new().await;
    world.execute(TYPES).await;
    world.every_type("every", COLUMNS).await;
    world.execute("TRUNCATE every").await;
    let mut text = String::from("k;");
    text.push_str(&COLUMNS.iter().map(|column| column.0).collect::<Vec<_>>().join(";"));
    let none = ";".repeat(COLUMNS.len() - 1);
    text.push_str(&format!("\n0;{none}\n"));
    // These take any text, or cut it as SQL does.
    let takes_all = ["a_text", "a_name", "a_byte", "a_bytea"];
    let mut bad = 0;
    for (index, column) in COLUMNS.iter().enumerate() {
        if takes_all.contains(&column.0) {
            continue;
        }
        bad += 1;
        let (before, after) = (";".repeat(index), ";".repeat(COLUMNS.len() - 1 - index));
        let value = "'<{\"\"no, such value, not here";
        text.push_str(&format!("{bad};{before}\"{value}\"{after}\n"));
    }
    text.push_str(&format!("1000;{none}\n"));
    let nulls = ",".repeat(COLUMNS.len() - 1);
    let file = world.file("bad.csv", text);
    let id = world.enqueue(&["-i", &file, "--table", "every"]).run().exits(0).id();
    world.drain();
    let loaded = world.texts("SELECT t::text FROM every AS t ORDER BY k").await;
    assert_eq!(loaded, [format!("(0,{nulls})"), format!("(1000,{nulls})")]);
    assert_json(&world.status(id), &json!({"state": "loaded", "rejected": bad}));
}
