//! Values that are written otherwise than Postgres writes them: what its own `to_char` writes by a pattern is read back by that pattern.

use crate::support::World;

/// Moments of all kinds: ends of months and years, leap days, midnight and noon.
const MOMENTS: &str = "SELECT t FROM generate_series(timestamp '1970-01-01', '2069-12-31', '29 days 11 hours 17 minutes 13.25 seconds') AS t
    UNION SELECT t::timestamp FROM unnest(ARRAY['2024-02-29 12:00', '2023-12-31 23:59:59.75', '2026-01-01', '2000-02-29 00:30']) AS t";

#[tokio::test]
async fn what_to_char_writes_is_read_back() {
    let world = World::new().await;
    for (number, (date, time)) in [
        ("DD.MM.YYYY", "DD.MM.YYYY HH24:MI:SS.US"),
        ("MM/DD/YY", "MM/DD/YYYY HH12:MI:SS.MS AM"),
        ("YYYYMMDD", "YYYYMMDDHH24MISSUS"),
        ("DD-Mon-YYYY", "YYYY-MM-DD\"T\"HH24:MI:SS.MS"),
        ("FMDD. FMMM. YYYY", "Mon DD YYYY HH:MI:SS.US P.M."),
    ]
    .into_iter()
    .enumerate()
    {
        world
            .execute(&format!(
                "DROP TABLE IF EXISTS moments, written;
                 CREATE TABLE moments (id bigserial PRIMARY KEY, n bigint, d date, t timestamp);
                 CREATE TABLE written AS SELECT row_number() OVER (ORDER BY t) AS n, t FROM ({MOMENTS}) AS m"
            ))
            .await;
        let lines = world
            .texts(&format!(
                "SELECT concat_ws(';', n, to_char(t, '{date}'), to_char(t, '{time}')) FROM written ORDER BY n"
            ))
            .await;
        let file = world.file(
            &format!("moments-{number}.csv"),
            format!("n;d;t\n{}\n", lines.join("\n")),
        );
        // FM only takes zeros away, which need not be there.
        let pattern = date.replace("FM", "");
        world.load(&[
            "-i",
            &file,
            "--table",
            "moments",
            "--date-format",
            &pattern,
            "--timestamp-format",
            time,
        ]);
        let differing = world
            .texts("SELECT w.t::text FROM written AS w LEFT JOIN moments AS m USING (n) WHERE m.t IS DISTINCT FROM w.t OR m.d IS DISTINCT FROM w.t::date")
            .await;
        assert!(differing.is_empty(), "{date} {time}: {differing:?}");
        assert!(lines.len() > 1000);
    }
}

#[tokio::test]
async fn times_are_those_that_the_server_reads_in_the_time_zone() {
    // Each hour in which clocks were changed in some of these, by whatever rule, is among them.
    const TIMES: &str = "SELECT t FROM generate_series(timestamp '2025-12-31 23:00', '2026-12-31', '30 minutes') AS t
        UNION SELECT t FROM generate_series(timestamp '1971-01-01', '2037-12-31', '9 days 5 hours 23 minutes 0.7 seconds') AS t";
    let world = World::new().await;
    for zone in [
        "Europe/Berlin",
        "america/new_york",
        "Australia/Lord_Howe",
        "Asia/Kolkata",
        "America/Sao_Paulo",
        "UTC",
    ] {
        world
            .execute(&format!(
                "BEGIN;
                 SET LOCAL TimeZone = '{zone}';
                 DROP TABLE IF EXISTS moments, written;
                 CREATE TABLE moments (id bigserial PRIMARY KEY, n bigint, t timestamptz(3), local timestamp, own timestamptz);
                 CREATE TABLE written AS
                     SELECT row_number() OVER (ORDER BY t) AS n, t AS local, t::timestamptz AS moment FROM ({TIMES}) AS times;
                 COMMIT"
            ))
            .await;
        let lines = world
            .texts("SELECT concat_ws(';', n, to_char(local, 'DD.MM.YYYY HH24:MI:SS.US'), local, local || '+03') FROM written ORDER BY n")
            .await;
        let file = world.file("times.csv", format!("n;t;local;own\n{}\n", lines.join("\n")));
        let pattern = "t=DD.MM.YYYY HH24:MI:SS.US";
        let status = world.load(&[
            "-i",
            &file,
            "--table",
            "moments",
            "--time-zone",
            zone,
            "--timestamp-format",
            pattern,
            "--chunk-rows",
            "5000",
        ]);
        let differing = world
            .texts(
                "SELECT w.local::text FROM written AS w LEFT JOIN moments AS m USING (n)
                 WHERE (m.t, m.local, m.own) IS DISTINCT FROM (w.moment, w.local, (w.local || '+03')::timestamptz)",
            )
            .await;
        assert!(differing.is_empty(), "{zone}: {differing:?}");
        assert!(lines.len() > 18_000);
        world
            .enqueue(&["verify", &status["import_id"].to_string(), &file])
            .run()
            .exits(0);
    }
}
