# Short names for what is done often. .ci/run needs no just: a change to a command here belongs there too.

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

# Write a CSV file of ROWS made-up records to OUT
generate ROWS OUT:
    cargo run --release --example generate -p shared -- --rows {{ ROWS }} --output {{ quote(OUT) }}

# Break everything at random for MINUTES, and check after each import that no row was lost or doubled
soak MINUTES:
    cargo build --workspace
    cargo run -p enqueue --example soak -- {{ MINUTES }}

# Measure against \copy, pgloader and the server's floor, ROWS rows in ROUNDS interleaved rounds (needs Python 3.9)
bench ROWS="2000000" ROUNDS="5":
    cargo build --release --bins
    cargo build --release -p shared --example generate
    python3 bench/bench.py --rows {{ ROWS }} --rounds {{ ROUNDS }}

# The same with 17,000,000 rows
bench-full:
    just bench 17000000 2
