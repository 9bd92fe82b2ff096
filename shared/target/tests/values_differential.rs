//! Our value encoder beside Postgres's own input functions, over hand-picked and generated literals.
//!
//! For each literal the server says what its input function makes of it, limits of the column included. Then:
//! - what we accept the server accepts, and our bytes, sent by `COPY … BINARY`, read back as the same value;
//! - what has a documented form (a regular expression below) and the server accepts, we accept;
//! - what we accept has a documented form.

#[allow(clippy::format_push_string, clippy::needless_pass_by_value)] // plain generators, in no hurry
#[path = "values_differential/literals.rs"]
mod literals;

use std::collections::BTreeMap;

use rand::{SeedableRng, rngs::StdRng};
use sqlx::{PgConnection, Row as _};
use target::ColumnType;
use target::values;
use testkit::TestDb;

const SEED: u64 = 0x5eed_0001;
const GENERATED_PER_TYPE: usize = 6000;

const SPACE: &str = r"[ \t\n\v\f\r]";
const ANY: &str = ".*";
const INTEGER: &str = r"[+-]?\d+";
const BOOL: &str = "t|tr|tru|true|f|fa|fal|fals|false|y|ye|yes|n|no|on|of|off|1|0";
const FLOAT: &str = r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity|nan)";
const NUMERIC: &str = r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity)|nan";
const DATE: &str = r"(\d{4,7}-\d\d?-\d\d?|\d{4,7}/\d\d?/\d\d?|\d{8})";
const TIME: &str = r"\d\d?:\d\d(:\d\d(\.\d+)?)?";
/// Less than half a microsecond is midnight too.
const MIDNIGHT: &str = r"0?0:00(:00(\.(0+|0{6}([0-4]\d*|50*)))?)?";
const ZONE: &str = r"(z|utc|[+-]\d\d(\d\d|:\d\d(:\d\d)?)?)";
const UUID: &str = r"(\{)?([0-9a-f]{4}-?){7}[0-9a-f]{4}(\})?";

/// What the server rounds up to and stores, but would not take in binary or from its own dump.
const PAST_THE_END: &str = "294277-01-01 00:00:00";

struct Case {
    sql_type: &'static str,
    kind: ColumnType,
    /// What is accepted, spaces around it aside; case is ignored.
    form: String,
    spaces_around: bool,
    literals: fn(&mut StdRng) -> String,
    nasty: &'static str,
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_taken_as_postgres_takes_it() {
    let case = |sql_type, max_chars| Case {
        sql_type,
        kind: ColumnType::Text { max_chars },
        form: ANY.into(),
        spaces_around: false,
        literals: literals::text,
        nasty: literals::TEXTS,
    };
    check(&[
        case("text", None),
        case("varchar(5)", Some(5)),
        case("varchar(1)", Some(1)),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn integers_are_taken_as_postgres_takes_them() {
    let case = |sql_type, kind| Case {
        sql_type,
        kind,
        form: INTEGER.into(),
        spaces_around: true,
        literals: literals::integer,
        nasty: literals::INTEGERS,
    };
    check(&[
        case("int2", ColumnType::Int2),
        case("int4", ColumnType::Int4),
        case("int8", ColumnType::Int8),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn booleans_and_uuids_are_taken_as_postgres_takes_them() {
    let boolean = Case {
        sql_type: "bool",
        kind: ColumnType::Bool,
        form: BOOL.into(),
        spaces_around: true,
        literals: literals::boolean,
        nasty: literals::BOOLEANS,
    };
    let uuid = Case {
        sql_type: "uuid",
        kind: ColumnType::Uuid,
        form: UUID.into(),
        spaces_around: false,
        literals: literals::uuid,
        nasty: literals::UUIDS,
    };
    check(&[boolean, uuid]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floats_are_taken_as_postgres_takes_them() {
    let case = |sql_type, kind| Case {
        sql_type,
        kind,
        form: FLOAT.into(),
        spaces_around: true,
        literals: literals::number,
        nasty: literals::NUMBERS,
    };
    check(&[case("float4", ColumnType::Float4), case("float8", ColumnType::Float8)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numerics_are_taken_as_postgres_takes_them() {
    let case = |sql_type, precision_scale| Case {
        sql_type,
        kind: ColumnType::Numeric { precision_scale },
        form: NUMERIC.into(),
        spaces_around: true,
        literals: literals::number,
        nasty: literals::NUMBERS,
    };
    check(&[
        case("numeric", None),
        case("numeric(10,2)", Some((10, 2))),
        case("numeric(4)", Some((4, 0))),
        case("numeric(1,1)", Some((1, 1))),
        case("numeric(3,-2)", Some((3, -2))),
        case("numeric(5,-7)", Some((5, -7))),
        case("numeric(2,5)", Some((2, 5))),
        case("numeric(3,9)", Some((3, 9))),
        case("numeric(20,7)", Some((20, 7))),
        case("numeric(1000,1000)", Some((1000, 1000))),
        case("numeric(1000,-1000)", Some((1000, -1000))),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_are_taken_as_postgres_takes_them() {
    check(&[Case {
        sql_type: "date",
        kind: ColumnType::Date,
        form: format!("{DATE}((t|{SPACE}+){MIDNIGHT})?({SPACE}+bc)?|-?infinity"),
        spaces_around: true,
        literals: literals::datetime,
        nasty: literals::DATETIMES,
    }])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamps_are_taken_as_postgres_takes_them() {
    let plain = |sql_type, precision| Case {
        sql_type,
        kind: ColumnType::Timestamp { precision },
        form: format!("{DATE}((t|{SPACE}+){TIME})?({SPACE}+bc)?|-?infinity"),
        spaces_around: true,
        literals: literals::datetime,
        nasty: literals::DATETIMES,
    };
    let zoned = |sql_type, precision| Case {
        kind: ColumnType::Timestamptz { precision },
        form: format!("{DATE}((t|{SPACE}+){TIME}({SPACE}*{ZONE})?)?({SPACE}+bc)?|-?infinity"),
        ..plain(sql_type, None)
    };
    check(&[
        plain("timestamp", None),
        plain("timestamp(0)", Some(0)),
        plain("timestamp(3)", Some(3)),
        plain("timestamp(6)", Some(6)),
        zoned("timestamptz", None),
        zoned("timestamptz(0)", Some(0)),
        zoned("timestamptz(5)", Some(5)),
    ])
    .await;
}

/// What the server says of one literal.
struct Verdict {
    literal: String,
    documented: bool,
    value: Option<String>,
}

async fn check(cases: &[Case]) {
    let db = TestDb::create().await;
    let mut conn = db.pool().acquire().await.expect("a connection");
    prepare(&mut conn).await;
    for case in cases {
        let verdicts = ask_server(&mut conn, case).await;
        let ours: Vec<_> = verdicts
            .iter()
            .map(|verdict| {
                let mut bytes = vec![7];
                let outcome = values::encode(&case.kind, verdict.literal.as_bytes(), &mut bytes);
                assert_eq!(bytes[0], 7);
                assert!(
                    outcome.is_ok() || bytes.len() == 1,
                    "bytes left behind by {:?}",
                    verdict.literal
                );
                outcome.map(|()| bytes.split_off(1))
            })
            .collect();

        let mut complaints = Vec::new();
        let mut refused = BTreeMap::<_, Vec<&str>>::new();
        for (verdict, ours) in verdicts.iter().zip(&ours) {
            match (&verdict.value, ours) {
                (None, Ok(_)) => complaints.push(format!("only we accept {:?}", verdict.literal)),
                (Some(_), Ok(_)) if !verdict.documented => {
                    complaints.push(format!("undocumented, accepted: {:?}", verdict.literal));
                }
                (Some(value), Err(error)) if verdict.documented && !value.starts_with(PAST_THE_END) => {
                    complaints.push(format!("only we reject {:?} (value {value}): {error}", verdict.literal));
                }
                (Some(_), Err(error)) => refused.entry(error.to_string()).or_default().push(&verdict.literal),
                _ => {}
            }
        }
        let both: Vec<_> = verdicts
            .iter()
            .zip(&ours)
            .filter_map(|(verdict, ours)| Some((verdict, verdict.value.as_ref()?, ours.as_ref().ok()?)))
            .collect();
        if complaints.is_empty() {
            let stored = send_binary(
                &mut conn,
                case.sql_type,
                both.iter().map(|(_, _, bytes)| bytes.as_slice()),
            )
            .await;
            assert_eq!(stored.len(), both.len());
            for ((verdict, value, _), stored) in both.iter().zip(stored) {
                if **value != stored {
                    complaints.push(format!("{:?} is {value}, we send {stored}", verdict.literal));
                }
            }
        }

        println!(
            "{}: seed {SEED:#x}, {} literals, {} accepted alike",
            case.sql_type,
            verdicts.len(),
            both.len()
        );
        for (reason, literals) in &refused {
            println!(
                "  {} refused on purpose, {reason}: {:?}",
                literals.len(),
                &literals[..literals.len().min(12)]
            );
        }
        assert!(!both.is_empty(), "{}: nothing was compared", case.sql_type);
        complaints.truncate(40);
        assert!(complaints.is_empty(), "{}: {complaints:#?}", case.sql_type);
    }
}

async fn prepare(conn: &mut PgConnection) {
    // A column's input function, called as COPY calls it: with the column's limits. A cast would truncate varchar.
    const TRY_INPUT: &str = "
        create function pg_temp.try_input(literal text, type text) returns text language plpgsql as $$
        declare
            value text; base regtype; typmod int; input regproc; arguments int;
        begin
            select a.atttypid, a.atttypmod, t.typinput, p.pronargs into base, typmod, input, arguments
            from pg_attribute a join pg_type t on t.oid = a.atttypid join pg_proc p on p.oid = t.typinput
            where a.attrelid = 'pg_temp.probe'::regclass and a.attname = 'value';
            execute format('select %s(%L::cstring%s)::text', input, literal,
                case arguments when 3 then format(', 0, %s', typmod) else '' end) into value;
            return value;
        exception when data_exception then
            return null;
        end $$";
    let setup = [
        "set timezone = 'UTC'",
        "set datestyle = 'ISO, MDY'",
        "set extra_float_digits = 1",
        TRY_INPUT,
    ];
    for statement in setup {
        sqlx::query(statement).execute(&mut *conn).await.expect(statement);
    }
}

async fn ask_server(conn: &mut PgConnection, case: &Case) -> Vec<Verdict> {
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut literals: Vec<String> = case.nasty.split('|').map(String::from).collect();
    literals.extend((0..GENERATED_PER_TYPE).map(|_| (case.literals)(&mut rng)));
    literals.sort();
    literals.dedup();

    let table = format!("create temp table probe (ordinal int, value {})", case.sql_type);
    sqlx::query("drop table if exists pg_temp.probe")
        .execute(&mut *conn)
        .await
        .expect("drop");
    sqlx::query(sqlx::AssertSqlSafe(table))
        .execute(&mut *conn)
        .await
        .expect("a table");
    let spaces = if case.spaces_around {
        format!("{SPACE}*")
    } else {
        String::new()
    };
    let form = format!("^{spaces}({}){spaces}$", case.form);
    let rows = sqlx::query(
        "select literal, literal ~* $2 as documented, pg_temp.try_input(literal, $3) as value
         from unnest($1) with ordinality as l (literal, ordinal) order by ordinal",
    )
    .bind(literals)
    .bind(form)
    .bind(case.sql_type)
    .fetch_all(conn)
    .await
    .expect("verdicts");
    rows.into_iter()
        .map(|row| Verdict {
            literal: row.get("literal"),
            documented: row.get("documented"),
            value: row.get("value"),
        })
        .collect()
}

/// Stores the values by `COPY … BINARY`; answers how the server shows each.
async fn send_binary<'a>(
    conn: &mut PgConnection,
    sql_type: &str,
    values: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Vec<String> {
    let mut stream = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for (ordinal, value) in values.enumerate() {
        stream.extend_from_slice(&2_i16.to_be_bytes());
        stream.extend_from_slice(&4_i32.to_be_bytes());
        stream.extend_from_slice(&i32::try_from(ordinal).expect("few values").to_be_bytes());
        stream.extend_from_slice(&i32::try_from(value.len()).expect("short values").to_be_bytes());
        stream.extend_from_slice(value);
    }
    stream.extend_from_slice(&(-1_i16).to_be_bytes());
    let mut copy = conn
        .copy_in_raw("copy pg_temp.probe from stdin (format binary)")
        .await
        .expect("COPY starts");
    copy.send(stream).await.expect("COPY takes the bytes");
    copy.finish()
        .await
        .unwrap_or_else(|error| panic!("COPY of {sql_type}: {error}"));
    sqlx::query_scalar("select value::text from pg_temp.probe order by ordinal")
        .fetch_all(conn)
        .await
        .expect("values")
}
