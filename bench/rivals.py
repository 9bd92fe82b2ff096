"""Loads a file into `public.sale_order` with what a reader may use in place of pg_import, each as its documentation has it.

`bench.py --rivals` takes `RIVALS` from here, which needs nothing but Python, and runs each as a process of its own, in the environment
that `bench/rivals-env` makes: `python bench/rivals.py NAME URL FILE`. Its start and its imports are part of the time, as they are of a
user's script.
"""

import csv
import os
import sys
import tempfile
from datetime import date
from itertools import islice
from pathlib import Path

COPY = 'COPY public.sale_order ("PointOfSale", "Product", "Date", "Stock") FROM STDIN'
# Records that a script which works by batches holds at a time.
BATCH = 10_000


def with_driver(url, driver="psycopg2"):
    """The URL as SQLAlchemy has it."""
    return url.replace("postgres://", f"postgresql+{driver}://")


def records(path):
    with open(path, newline="") as source:
        for record in csv.DictReader(source, delimiter=";"):
            yield {**record, "Date": date.fromisoformat(record["Date"]), "Stock": int(record["Stock"])}


def sqlalchemy(url, path, driver="psycopg2"):
    """The table as the database describes it, and `insert()` with a list of dicts for each batch, in one transaction."""
    from sqlalchemy import MetaData, Table, create_engine, insert
    found = records(path)
    with create_engine(with_driver(url, driver)).begin() as connection:
        table = Table("sale_order", MetaData(), schema="public", autoload_with=connection)
        while batch := list(islice(found, BATCH)):
            connection.execute(insert(table), batch)


def sqlalchemy_psycopg3(url, path):
    sqlalchemy(url, path, "psycopg")


def pandas(url, path, **options):
    """Frames of a batch, appended in one transaction."""
    from pandas import read_csv
    from sqlalchemy import create_engine
    with create_engine(with_driver(url)).begin() as connection, read_csv(path, sep=";", parse_dates=["Date"], chunksize=BATCH) as frames:
        for frame in frames:
            frame.to_sql("sale_order", connection, schema="public", if_exists="append", index=False, **options)


def pandas_multi(url, path):
    """One INSERT for a thousand rows: a longer one takes longer to compile than it saves."""
    pandas(url, path, method="multi", chunksize=1_000)


def pandas_copy(url, path):
    """The `method` for COPY that the user guide of pandas has."""
    def copy(table, connection, keys, rows):
        from io import StringIO
        lines = StringIO()
        csv.writer(lines).writerows(rows)
        lines.seek(0)
        with connection.connection.cursor() as cursor:
            cursor.copy_expert(f"{COPY} WITH (FORMAT csv)", lines)

    pandas(url, path, method=copy)


def psycopg3(url, path):
    """COPY of what the csv module reads, row by row."""
    import psycopg
    with psycopg.connect(url) as connection, connection.cursor().copy(COPY) as copy, open(path, newline="") as source:
        rows = csv.reader(source, delimiter=";")
        next(rows)
        for row in rows:
            copy.write_row(row)


def csvkit(url, path):
    """Neither dialect nor types are guessed: the delimiter is told, and the table is there."""
    os.execv(Path(sys.executable).with_name("csvsql"), [
        "csvsql", "--db", with_driver(url), "--db-schema", "public", "--tables", "sale_order",
        "--no-create", "--insert", "--no-inference", "--chunk-size", str(BATCH), "--snifflimit", "0", "--delimiter", ";", path])


def dlt(url, path):
    """Arrow batches from the CSV, loaded as files by COPY, names kept as they are. It insists on a password."""
    with tempfile.TemporaryDirectory() as state:
        os.environ.update(DLT_DATA_DIR=state, RUNTIME__DLTHUB_TELEMETRY="false", SCHEMA__NAMING="sql_cs_v1")
        import dlt
        from dlt.sources.filesystem import readers
        source = readers(str(Path(path).parent), file_glob=Path(path).name).read_csv_duckdb(chunk_size=BATCH, use_pyarrow=True, delimiter=";")
        pipeline = dlt.pipeline("orders", destination=dlt.destinations.postgres(url.replace("@", ":unused@")), dataset_name="public")
        pipeline.run(source.with_name("sale_order"), write_disposition="append", loader_file_format="csv").raise_on_failed_jobs()


def duckdb(url, path):
    """Its CSV reader, and COPY, by which the extension inserts."""
    import duckdb
    import duckdb_extension_postgres_scanner as package
    [extension] = Path(package.__file__).parent.glob("extensions/*/*.duckdb_extension")
    session = duckdb.connect()
    session.execute(f"LOAD '{extension}'")
    session.execute(f"ATTACH '{url}' AS target (TYPE postgres)")
    session.execute('INSERT INTO target.public.sale_order ("PointOfSale", "Product", "Date", "Stock") SELECT * FROM read_csv(?)', [path])


def adbc(url, path):
    """Record batches of Arrow's CSV reader, which the driver sends by COPY."""
    import pyarrow
    from adbc_driver_postgresql import dbapi
    from pyarrow import csv as arrow_csv
    batches = arrow_csv.open_csv(path, parse_options=arrow_csv.ParseOptions(delimiter=";"),
                                 convert_options=arrow_csv.ConvertOptions(column_types={"Stock": pyarrow.int32()}))
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("sale_order", batches, mode="append", db_schema_name="public")
        connection.commit()


def polars(url, path):
    """The whole file as one frame, written by ADBC."""
    import polars
    frame = polars.read_csv(path, separator=";", try_parse_dates=True, schema_overrides={"Stock": polars.Int32})
    frame.write_database("public.sale_order", url, engine="adbc", if_table_exists="append")


RIVALS = {
    "SQLAlchemy insert(), psycopg2": sqlalchemy,
    "SQLAlchemy insert(), psycopg 3": sqlalchemy_psycopg3,
    "pandas to_sql": pandas,
    'pandas to_sql, method="multi"': pandas_multi,
    "pandas to_sql, method for COPY": pandas_copy,
    "csvkit, csvsql --insert": csvkit,
    "dlt, csv files": dlt,
    "DuckDB, INSERT into the attached Postgres": duckdb,
    "psycopg 3, COPY of rows from csv": psycopg3,
    "ADBC ingest of Arrow's CSV": adbc,
    "polars write_database, ADBC": polars,
}

if __name__ == "__main__":
    name, url, path = sys.argv[1:]
    RIVALS[name](url, path)
