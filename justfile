# Short names for what is done often. .ci/run needs no just: a change to a command here belongs there too.

# The version before this one, whose workers `soak-mixed` runs beside this one's. A release that changes the schema moves it on.
before := "a2a21db4d819e5a94e4d6cfa0630007d6d7d42a8"

# List the recipes
default:
    @just --list

# Format the sources
fmt:
    cargo fmt --all

# Fail when a source is not formatted
fmt-check:
    cargo fmt --all --check

# Warnings of the compiler and of clippy are errors
lint:
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# Run the tests; each has its own database in a private Postgres
test:
    cargo test

# Run the tests that take long, too: other machines and networks, more sources, more orders
test-long:
    cargo test --workspace --no-fail-fast -- --include-ignored

# Run the tests, or some of them, against Postgres VERSION (14 to 18): just test-postgres 18 --test it undo::
test-postgres VERSION *TESTS:
    cargo build --workspace --bins
    PG_IMPORT_PG_BIN="$(.ci/postgres {{ VERSION }})" cargo test --workspace --no-fail-fast {{ TESTS }}

# Describe the checked queries anew, after a change of a query or a migration; commit .sqlx
prepare:
    .ci/sqlx-metadata write

# Fail when .sqlx does not fit the queries and migrations
prepare-check:
    .ci/sqlx-metadata check

# Do what the README's first command says, on a clone of what is committed
first-run:
    .ci/first-run

# Everything, in the order of CI
ci:
    .ci/run

# Fuzz TARGET (csv, jsonl, decoder, sniffer or values) for SECONDS (needs cargo-fuzz, a C++ compiler and Python 3)
fuzz TARGET SECONDS="600":
    python3 fuzz/seeds.py
    cargo fuzz run -s none {{ quote(TARGET) }} -- -max_total_time={{ SECONDS }} -rss_limit_mb=2048

# Write a CSV file of ROWS made-up records to OUT
generate ROWS OUT:
    cargo run --release --example generate -p testkit -- --rows {{ ROWS }} --output {{ quote(OUT) }}

# Break everything at random for MINUTES, and check after each import that no row was lost or doubled
soak MINUTES:
    cargo build --workspace
    cargo run -p enqueue --example soak -- {{ MINUTES }}

# The same with workers of the version before beside this one's, which work when the database is migrated
soak-mixed MINUTES:
    rm -rf target/before/source
    mkdir -p target/before/source
    git archive {{ before }} | tar -x -C target/before/source
    cargo build --locked --manifest-path target/before/source/Cargo.toml --target-dir target/before/target --bins
    cargo build --workspace
    SOAK_OLD_WORKER=target/before/target/debug/worker cargo run -p enqueue --example soak -- {{ MINUTES }}

# Build what the measurements run
[private]
bench-build:
    cargo build --release --bins
    cargo build --release -p testkit --example generate

# Measure against \copy, pgloader and the server's floors, ROWS rows in ROUNDS interleaved rounds (needs Python 3.9)
bench ROWS="2000000" ROUNDS="5": bench-build
    python3 bench/bench.py --rows {{ ROWS }} --rounds {{ ROUNDS }}

# The same with 17,000,000 rows
bench-full:
    just bench 17000000 2

# Measure against what else loads a CSV file, too: SQLAlchemy, pandas, csvkit, dlt, DuckDB, ADBC, polars (needs Python 3.11 and 0.8 GB)
bench-rivals ROWS="200000" ROUNDS="3": bench-build
    bench/rivals-env
    python3 bench/bench.py --rivals --rows {{ ROWS }} --rounds {{ ROUNDS }}

# Measure other tables: one without a sequence, one with three more indexes
bench-tables ROWS="2000000" ROUNDS="3": bench-build
    python3 bench/bench.py --tables --rows {{ ROWS }} --rounds {{ ROUNDS }}

# Measure chunk sizes
bench-chunks ROWS="2000000" ROUNDS="3": bench-build
    python3 bench/bench.py --rows {{ ROWS }} --rounds {{ ROUNDS }} --chunk-sizes 1000 10000 25000 50000 100000 1000000

# Measure what limits growth: WHAT is connections, chunks, history, idle, beside or waits, or nothing for all but the last
bench-scale *WHAT: bench-build
    python3 bench/scale.py {{ WHAT }}

# Measure how long a small import takes, and how many go through at once
bench-small *ARGS: bench-build
    python3 bench/small.py {{ ARGS }}

# Measure what records that the server refuses cost
bench-salvage *ARGS: bench-build
    python3 bench/salvage.py {{ ARGS }}

# Measure updates of rows that are there already beside INSERT … ON CONFLICT by hand
bench-upsert *ARGS: bench-build
    python3 bench/upsert.py {{ ARGS }}

# Measure how long the chunk of a dead worker waits for another
bench-takeover: bench-build
    python3 bench/takeover.py

# Measure the splitter, the parser, the encoders and compression by themselves
bench-steps:
    cargo bench -p worker --bench pipeline
