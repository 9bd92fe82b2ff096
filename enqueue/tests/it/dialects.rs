//! Files as people have them, by the options that say how they are written; and that COPY reads the same of those it can read.

use crate::support::World;
use rand::{RngExt as _, rngs::StdRng};

/// A table of text alone, so that what a field is shows.
const TABLE: &str = "CREATE TABLE notes (id bigserial PRIMARY KEY, a text, b text, c text)";

/// The rows in the order of the file; NULL is a tilde.
const ROWS: &str = "SELECT concat_ws('|', coalesce(a, '~'), coalesce(b, '~'), coalesce(c, '~')) FROM notes ORDER BY id";
const REJECTS: &str = "SELECT concat_ws('|', line, reason) FROM pgimport.import_reject ORDER BY line";

struct Sample {
    options: &'static [&'static str],
    file: &'static str,
    rows: &'static [&'static str],
    rejects: &'static [&'static str],
}

const SAMPLES: &[Sample] = &[
    Sample {
        options: &[],
        file: "c;a;b\n1;;\"\"\n\"x;\"\"y\"\"\n\";;\n",
        rows: &["~||1", "~|~|x;\"y\"\n"],
        rejects: &[],
    },
    Sample {
        options: &["-d", ", ", "--null", "NA", "--null", "-"],
        file: "a, b, c\nNA, -, \"NA\"\n\"x, y\", z,, \n",
        rows: &["~|~|NA", "x, y|z,|~"],
        rejects: &[],
    },
    Sample {
        options: &["-d", "\\t", "--quote", "none"],
        file: "a\tb\tc\n5\" pipe\t\"x\"\t\\\n",
        rows: &["5\" pipe|\"x\"|\\"],
        rejects: &[],
    },
    Sample {
        options: &["-d", ",", "--quote", "'", "--escape", "\\"],
        file: "a,b,c\n'it\\'s','C:\\\\x','\\n'\n",
        rows: &["it's|C:\\x|\\n"],
        rejects: &[],
    },
    Sample {
        options: &[
            "--skip-lines",
            "2",
            "--header-lines",
            "2",
            "--skip-footer",
            "1",
            "--comment",
            "#",
        ],
        file: "Report; \"2026\n\nfirst;second;third\na;b;c\n1;2;3\n# no record\n#\n4;5;6\nTotal: 2\n\n",
        rows: &["1|2|3", "4|5|6"],
        rejects: &[],
    },
    Sample {
        options: &["--trim", "--force-null", "a", "--force-not-null", "b,c"],
        file: "a;b;c\n \"\" ; ; \" x \"\n",
        rows: &["~|| x "],
        rejects: &[],
    },
    Sample {
        options: &["--short-rows", "pad", "--long-rows", "join"],
        file: "a;b;c\n1\n1;2;3;4;5\n",
        rows: &["1|~|~", "1|2|3;4;5"],
        rejects: &[],
    },
    Sample {
        options: &["--long-rows", "truncate"],
        file: "a;b;c\n1;2\n1;2;3;4\n",
        rows: &["1|2|3"],
        rejects: &["2|expected 3 fields, found 2"],
    },
    Sample {
        options: &[],
        file: "a;b;c\n5\" pipe;x;y\n1;2;3\nx;\"y\"z;1\nx;y;\"\n4;5;6\n",
        rows: &["1|2|3", "4|5|6"],
        rejects: &[
            "2|a quote inside an unquoted field",
            "4|text after a closing quote",
            "5|a quote that is never closed",
        ],
    },
    Sample {
        options: &["--stray-quotes", "keep"],
        file: "a;b;c\n5\" pipe;x;y\nx;\"say \"hi\" now\";1\nx;\"y\"z;1\nx;y;\"\n4;5;6\n",
        rows: &["5\" pipe|x|y", "x|say \"hi\" now|1", "x|y|\"", "4|5|6"],
        rejects: &["4|text after a closing quote"],
    },
    Sample {
        options: &["--no-header"],
        file: "1;2;3\r4;5;6\r\n7;8;9\n",
        rows: &["1|2|3", "4|5|6", "7|8|9"],
        rejects: &[],
    },
];

#[tokio::test]
async fn a_file_is_read_as_its_options_say() {
    let world = World::new().await;
    for method in ["insert", "copy"] {
        for sample in SAMPLES {
            world
                .execute(&format!(
                    "DROP TABLE IF EXISTS notes; {TABLE}; TRUNCATE pgimport.import_reject"
                ))
                .await;
            let file = world.file("notes.csv", sample.file);
            let mut arguments = vec![
                "-i",
                &file,
                "--table",
                "notes",
                "--load-method",
                method,
                "--force",
                "--chunk-rows",
                "2",
            ];
            arguments.extend(sample.options);
            world.enqueue(&arguments).run().exits(0);
            world.drain();
            let context = format!("{:?} {:?}", sample.options, sample.file);
            // Chunks are loaded in any order.
            let mut expected = sample.rows.to_vec();
            expected.sort_unstable();
            let mut rows = world.texts(ROWS).await;
            rows.sort_unstable();
            assert_eq!(rows, expected, "{context}");
            assert_eq!(world.texts(REJECTS).await, sample.rejects, "{context}");
        }
    }
}

#[tokio::test]
async fn rejects_can_be_submitted_again_in_the_dialect_of_their_file() {
    let world = World::new().await;
    world.execute(TABLE).await;
    let options = ["--table", "notes", "-d", ", ", "--quote", "'", "--comment", "#"];
    let file = world.file("notes.csv", "preamble\na, b, c\n1, 2\n#\n3, '4, 5', 6\n'x\ny', z\n");
    let mut arguments = vec!["-i", &file, "--skip-lines", "1"];
    arguments.extend(options);
    let import = world.enqueue(&arguments).run().exits(0).id().to_string();
    world.drain();
    let written = world.enqueue(&["rejects", &import]).run().exits(0);
    assert_eq!(written.stdout, "a, b, c\n1, 2\n'x\ny', z\n");
    let like = format!("-i FILE --like {import} --skip-lines 0");
    assert!(written.stderr.contains(&like), "{}", written.stderr);
    let again = world.file(
        "again.csv",
        written.stdout.replace("z", "z, ").replace("1, 2", "1, 2, 3"),
    );
    world.load(&["-i", &again, "--like", &import, "--skip-lines", "0"]);
    assert_eq!(world.texts(ROWS).await, ["3|4, 5|6", "1|2|3", "x\ny|z|~"]);
}

#[tokio::test]
async fn wrong_options_are_refused_before_anything_is_stored() {
    let world = World::new().await;
    world.execute(TABLE).await;
    let file = world.file("notes.csv", "a;b;c\n1;2;3\n");
    for (options, code, said) in [
        (&["-d", "12345"][..], 2, "1 to 4 bytes"),
        (&["-d", "\""], 2, "the delimiter and the quote cannot be told apart"),
        (&["--quote", ""], 2, "one ASCII character"),
        (&["--comment", ""], 2, "the comment is empty"),
        (&["--force-null", "nobody"], 1, "'nobody'"),
        (&["--date-format", "nobody=YYYY"], 1, "'nobody'"),
        (&["--date-format", "a=YYYY"], 1, "is no date or timestamp"),
        (&["--time-zone", "Berlin"], 1, "no time zone 'Berlin'"),
        (&["--decimal-separator", "1"], 1, "cannot be a digit"),
        (&["--no-header", "--header-lines", "2"], 2, "cannot be used with"),
        (&["--short-rows", "maybe"], 2, "possible values: reject, pad"),
    ] {
        let mut arguments = vec!["-i", file.as_str(), "--table", "notes"];
        arguments.extend(options);
        let finished = world.enqueue(&arguments).run().exits(code);
        assert!(finished.stderr.contains(said), "{options:?}: {}", finished.stderr);
    }
    let header = world.file("header.csv", "a;b\";c\n1;2;3\n");
    let finished = world.enqueue(&["-i", &header, "--table", "notes"]).run().exits(1);
    assert!(
        finished
            .stderr
            .contains("line 1: the header has a quote inside an unquoted field"),
        "{}",
        finished.stderr
    );
    assert_eq!(world.texts("SELECT id::text FROM pgimport.import").await, [""; 0]);
}

/// How a random file is written, and how COPY is told.
struct Writing {
    options: &'static [&'static str],
    copy: &'static str,
    delimiter: char,
    quote: char,
    escape: char,
    null: &'static str,
}

const WRITINGS: &[Writing] = &[
    Writing {
        options: &[],
        copy: "DELIMITER ';'",
        delimiter: ';',
        quote: '"',
        escape: '"',
        null: "",
    },
    Writing {
        options: &["-d", "\\t", "--quote", "'", "--escape", "\\"],
        copy: "DELIMITER E'\\t', QUOTE '''', ESCAPE '\\'",
        delimiter: '\t',
        quote: '\'',
        escape: '\\',
        null: "",
    },
    Writing {
        options: &["-d", ",", "--force-null", "a,b", "--force-not-null", "c"],
        copy: "DELIMITER ',', FORCE_NULL (a, b), FORCE_NOT_NULL (c)",
        delimiter: ',',
        quote: '"',
        escape: '"',
        null: "",
    },
];

/// A record of three fields of any characters, quoted where it must be and now and then where it need not.
fn record(random: &mut StdRng, writing: &Writing) -> String {
    let alphabet = ['a', 'é', ' ', '\n', ';', ',', '\t', '"', '\'', '\\', '0', '☃'];
    let mut fields = Vec::new();
    for _ in 0..3 {
        let length = random.random_range(0..6);
        let text: String = (0..length)
            .map(|_| alphabet[random.random_range(0..alphabet.len())])
            .collect();
        let special = [writing.delimiter, writing.quote, '\n'];
        let must = text.contains(special) || text == writing.null && random.random_bool(0.5);
        fields.push(if must || random.random_bool(0.2) {
            let mut quoted = String::from(writing.quote);
            for c in text.chars() {
                if c == writing.quote || c == writing.escape {
                    quoted.push(writing.escape);
                }
                quoted.push(c);
            }
            quoted.push(writing.quote);
            quoted
        } else {
            text
        });
    }
    let line = fields.join(&writing.delimiter.to_string());
    // To COPY this one ends the data, and an empty line is a record.
    if line == "\\." || line.is_empty() {
        "x".to_owned() + &line
    } else {
        line
    }
}

#[tokio::test]
async fn copy_reads_the_same_of_what_it_can_read() {
    let mut random = crate::support::seeded();
    let world = World::new().await;
    for (number, writing) in WRITINGS.iter().enumerate() {
        let lines: Vec<String> = (0..400).map(|_| record(&mut random, writing)).collect();
        let name = format!("random-{number}.csv");
        let file = world.file(&name, lines.join("\n") + "\n");
        world
            .execute(&format!(
                "DROP TABLE IF EXISTS notes, copied; {TABLE}; CREATE TABLE copied (a text, b text, c text)"
            ))
            .await;
        let mut arguments = vec!["-i", &file, "--table", "notes", "--no-header", "--chunk-rows", "37"];
        arguments.extend(writing.options);
        world.load(&arguments);
        let data = std::fs::read(&file).unwrap();
        let mut conn = world.connect().await;
        let mut copy = conn
            .copy_in_raw(&format!("COPY copied FROM STDIN WITH (FORMAT csv, {})", writing.copy))
            .await
            .unwrap();
        copy.send(data).await.unwrap();
        copy.finish().await.unwrap();
        let differing = world
            .texts("(SELECT a, b, c FROM notes EXCEPT ALL SELECT * FROM copied) UNION ALL (SELECT * FROM copied EXCEPT ALL SELECT a, b, c FROM notes)")
            .await;
        assert!(differing.is_empty(), "{name}: {differing:?}");
        assert_eq!(world.texts("SELECT count(*)::text FROM notes").await, ["400"]);
    }
}
