#!/usr/bin/env python3
"""Measures pg_import beside its rivals, in one run, on a Postgres of its own.

Every contender loads the same file into the same table, emptied before each run. The rounds are interleaved, and what counts is the
median of the ratios within each round: times drift from minute to minute. A virtual machine does not have its processors to itself: the
seconds of all processors are told beside those of the clock, and a round in which the hypervisor took too much is measured again.
pgloader joins in where it is installed, and with --rivals what `rivals.py` has. `just bench` and `just bench-rivals` build and call this.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
from pathlib import Path

from lab import COLUMNS, EMPTY, RELEASE, ROOT, Timed, lab, say
from plots import bars, lines
from rivals import RIVALS

BASE = "psql \\copy, one session"
FLOOR = "server floor"
UNDO = "pg_import, undo of an import"
# Tables beside the default one: what a table without a sequence saves, and what more indexes cost.
PLAIN, INDEXED = "public.order_without_id", "public.order_with_indexes"
TABLES = (
    f"DROP TABLE IF EXISTS {PLAIN}, {INDEXED}",
    f"CREATE TABLE {PLAIN} (LIKE public.sale_order); ALTER TABLE {PLAIN} DROP COLUMN id",
    f"CREATE TABLE {INDEXED} (LIKE public.sale_order INCLUDING ALL)",
    *[f'CREATE INDEX ON {INDEXED} ("{column}")' for column in ("Product", "Date", "Stock")],
)
# What `bench/rivals-env` makes.
ENVIRONMENT = RELEASE.parent / "rivals"
# Of one statement of the floors; that of an import without other options.
CHUNK_ROWS = 50_000
# The part of the machine that may be stolen in any run of a round. Above it, the round is measured again, within a limit.
MOST_STOLEN = 0.02
MOST_TRIES = 3


class Contenders:
    """Each returns what `Timed.end` does."""

    def __init__(self, laboratory, rows):
        self.lab, self.server, self.rows = laboratory, laboratory.server, rows
        self.file = laboratory.generate(rows)
        self.parts = self.split()

    def split(self):
        """Two halves without the header, cut at a line's end."""
        data_start = len("PointOfSale;Product;Date;Stock\n")
        size = self.file.stat().st_size
        parts = []
        with open(self.file, "rb") as source:
            source.seek((data_start + size) // 2)
            source.readline()
            middle = source.tell()
            for number, (start, end) in enumerate(((data_start, middle), (middle, size))):
                path = self.lab.directory / f"part{number}.csv"
                source.seek(start)
                with open(path, "wb") as part:
                    left = end - start
                    while left:
                        block = source.read(min(left, 1 << 20))
                        part.write(block)
                        left -= len(block)
                parts.append(path)
        return parts

    def prepare_floors(self):
        """The same rows with their ids, by chunks: as files that the server itself wrote, and as arrays in a table."""
        self.lab.reset()
        self.copy(self.file, header=True).wait()
        columns = f"id, {COLUMNS}"
        arrays = ", ".join(f"array_agg({column}) AS c{n}" for n, column in enumerate(columns.split(", ")))
        self.server.psql("DROP TABLE IF EXISTS arrays",
                         f"CREATE UNLOGGED TABLE arrays AS SELECT (id - 1) / {CHUNK_ROWS} AS chunk, {arrays} FROM sale_order GROUP BY 1",
                         "VACUUM ANALYZE arrays",
                         *[f"COPY (SELECT {columns} FROM sale_order WHERE id > {chunk * CHUNK_ROWS} AND id <= {(chunk + 1) * CHUNK_ROWS} ORDER BY id) "
                           f"TO '{self.chunk_file(chunk)}' (FORMAT binary)" for chunk in self.chunks()])

    def chunks(self, part=0, parts=1):
        return range(part, -(-self.rows // CHUNK_ROWS), parts)

    def chunk_file(self, chunk):
        return self.server.data / f"chunk{chunk}.bin"

    def copy(self, path, header=False, table="sale_order"):
        options = f"FORMAT csv, DELIMITER ';', HEADER {str(header).lower()}"
        return self.server.start_psql(f"\\copy {table} ({COLUMNS}) FROM '{path}' WITH ({options})")

    @staticmethod
    def timed(*starts):
        timed = Timed()
        for process in [start() for start in starts]:
            if process.wait():
                raise SystemExit("bench: a contender failed")
        return timed.end()

    def copy_one(self):
        return self.timed(lambda: self.copy(self.file, header=True))

    def copy_two(self, table="sale_order"):
        return self.timed(*[lambda part=part: self.copy(part, table=table) for part in self.parts])

    def floor(self, statement, take_ids):
        """What the server alone needs in two sessions; with `take_ids`, as many ids are taken first as the chunk has rows."""
        def statements(part):
            yield "SET synchronous_commit = off"
            for chunk in self.chunks(part, 2):
                if take_ids:
                    yield f"SELECT cardinality(array_agg(nextval('sale_order_id_seq'))) FROM generate_series(1, {CHUNK_ROWS})"
                yield statement(chunk)

        return self.timed(*[lambda part=part: self.server.start_psql(*statements(part)) for part in (0, 1)])

    def copy_floor(self, take_ids=False):
        return self.floor(lambda chunk: f"COPY sale_order FROM '{self.chunk_file(chunk)}' (FORMAT binary)", take_ids)

    def insert_floor(self, take_ids=False):
        rows = f"INSERT INTO sale_order (id, {COLUMNS}) OVERRIDING SYSTEM VALUE SELECT unnest(c0), unnest(c1), unnest(c2), unnest(c3), unnest(c4)"
        return self.floor(lambda chunk: f"{rows} FROM arrays WHERE chunk = {chunk}", take_ids)

    def pgloader(self):
        script = self.lab.directory / "orders.load"
        script.write_text(
            f"LOAD CSV FROM '{self.file}' HAVING FIELDS (\"PointOfSale\", \"Product\", \"Date\", \"Stock\")\n"
            f"INTO postgresql://admin@127.0.0.1:{self.server.port}/postgres?sale_order\n"
            f"TARGET COLUMNS ({COLUMNS})\nWITH skip header = 1, fields terminated by ';', workers = 2, concurrency = 1;\n")
        return self.timed(lambda: subprocess.Popen(["pgloader", script], stdout=subprocess.DEVNULL))

    def rival(self, name):
        """One of `RIVALS`, as a process of its own."""
        script = [ENVIRONMENT / "bin" / "python", ROOT / "bench" / "rivals.py", name, self.server.url, self.file]
        timed = Timed()
        self.lab.reap(name, subprocess.Popen(script, stdout=subprocess.DEVNULL))
        result = timed.end()
        self.check_rows()
        return result

    def check_rows(self, table="sale_order"):
        if self.server.psql(f"SELECT count(*) FROM {table}") != str(self.rows):
            raise SystemExit("bench: rows are missing")

    def into(self, table, load):
        """What `load` does with another table, which is empty, and left so."""
        result = load(table)
        self.server.psql(f"TRUNCATE {table} RESTART IDENTITY")
        return result

    def ours(self, method, workers, *options, table="public.sale_order", undo=False):
        """From the start of `enqueue` to the state `loaded`."""
        each = 2 // workers
        how = " ".join(map(str, (method, *options)))
        options += ("--table", table)
        with self.lab.workers(workers, each, f"worker --concurrency {each}, {how}"):
            timed = Timed()
            imported = self.lab.submit(f"enqueue, {how}", self.file, "--load-method", method, *options)
            result = timed.end(self.lab.ended(imported, "loaded"))
            self.check_rows(table)
            if undo:
                timed = Timed()
                self.lab.reap("enqueue cancel", self.lab.start("enqueue", "cancel", imported))
                result = timed.end(self.lab.ended(imported, "cancelled"))
        return result

    def local(self, method):
        """The whole command, with the private Postgres started before."""
        data = self.lab.directory / "local"
        environment = {"PG_IMPORT_DATA_DIR": str(data), "PG_IMPORT_CONFIG_PATH": str(self.lab.directory / "credentials")}
        environment = {**{key: value for key, value in os.environ.items() if key != "DATABASE_URL"}, **environment, "RUST_LOG": "error"}
        call = lambda *arguments: subprocess.Popen([RELEASE / "enqueue", *map(str, arguments)], env=environment, stdin=subprocess.PIPE,
                                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        # A session that stays open keeps the server running.
        keeper = call("psql", "--local", "--", "-X", "-q")
        keeper.stdin.write("".join(f"{statement};\n" for statement in (*EMPTY, "SELECT 'empty'")))
        keeper.stdin.flush()
        while "empty" not in keeper.stdout.readline():
            pass
        timed = Timed()
        process = call("--local", "-i", self.file, "--load-method", method)
        process.stdout.read()
        self.lab.reap(f"enqueue --local, {method}", process)
        result = timed.end()
        keeper.communicate()
        return result

    def all(self):
        found = {
            BASE: self.copy_one,
            "psql \\copy of two halves, two sessions": self.copy_two,
            f"{FLOOR} of copy: binary COPY of prepared files, two sessions": self.copy_floor,
            f"{FLOOR} of copy, as many ids taken first": lambda: self.copy_floor(take_ids=True),
            f"{FLOOR} of insert: INSERT … SELECT unnest of prepared arrays, two sessions": self.insert_floor,
            f"{FLOOR} of insert, as many ids taken first": lambda: self.insert_floor(take_ids=True),
            "pg_import, insert, one worker of 2": lambda: self.ours("insert", 1),
            "pg_import, insert, two workers of 1": lambda: self.ours("insert", 2),
            "pg_import, insert, --local": lambda: self.local("insert"),
            "pg_import, copy, one worker of 2": lambda: self.ours("copy", 1),
            "pg_import, copy, two workers of 1": lambda: self.ours("copy", 2),
            "pg_import, copy, --local": lambda: self.local("copy"),
            UNDO: lambda: self.ours("insert", 1, undo=True),
        }
        if shutil.which("pgloader"):
            found["pgloader, two workers"] = self.pgloader
        return found

    def tables(self):
        self.server.psql(*TABLES)
        found = {BASE: self.copy_one, "pg_import, insert": lambda: self.ours("insert", 1),
                 "pg_import, insert, a table without a sequence": lambda: self.into(PLAIN, lambda table: self.ours("insert", 1, table=table)),
                 "psql \\copy of two halves, three more indexes": lambda: self.into(INDEXED, self.copy_two)}
        for method in ("insert", "copy"):
            found[f"pg_import, {method}, three more indexes"] = lambda method=method: self.into(
                INDEXED, lambda table: self.ours(method, 1, table=table))
        return found

    def rivals(self):
        return {name: lambda name=name: self.rival(name) for name in RIVALS}

    def chunk_sizes(self, sizes):
        found = {BASE: self.copy_one}
        for size in sizes:
            for method in ("insert", "copy"):
                found[f"--chunk-rows {size:,}, {method}"] = lambda size=size, method=method: self.ours(method, 1, "--chunk-rows", size)
        return found


def measure(laboratory, contenders, rounds):
    """All rounds that were measured, the least disturbed first."""
    measured = []
    while quiet(measured) < rounds and len(measured) < MOST_TRIES * rounds:
        measured.append({})
        for name, contender in contenders.items():
            laboratory.reset()
            run = measured[-1][name] = contender()
            say(f"round {len(measured)}: {run['seconds']:7.2f} s {run['cpu_seconds']:7.2f} s of CPU {run['stolen']:4.0%} stolen  {name}")
    return sorted(measured, key=most_stolen)


def most_stolen(one_round):
    return max(run["stolen"] for run in one_round.values())


def quiet(measured):
    return sum(most_stolen(one_round) <= MOST_STOLEN for one_round in measured)


def median(times, what="seconds"):
    return statistics.median(time[what] for time in times)


def paired_ratios(base, times):
    """How much faster than the base, for each round by itself: what a machine drifts between two rounds is in neither."""
    return [one["seconds"] / other["seconds"] for one, other in zip(base, times)]


def table(results, rows, rounds):
    base_cpu = median(results[BASE], "cpu_seconds")
    head = (f"| {rows:,} rows, {rounds} rounds | median s | rows/s | × `\\copy` | lowest to highest | CPU s | × `\\copy`'s CPU |\n"
            "|---|---|---|---|---|---|---|")
    lines = []
    for name, times in results.items():
        ratios = paired_ratios(results[BASE], times)
        lines.append(f"| {name} | {median(times):.2f} | {rows / median(times) / 1000:.0f} k | {statistics.median(ratios):.2f} | "
                     f"{min(ratios):.2f} to {max(ratios):.2f} | {median(times, 'cpu_seconds'):.1f} | "
                     f"{median(times, 'cpu_seconds') / base_cpu:.2f} |")
    return "\n".join([head, *lines])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000_000], metavar="N", help="sizes, each measured by itself")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="contenders whose name contains one of these, beside \\copy in one session")
    also = parser.add_mutually_exclusive_group()
    also.add_argument("--rivals", action="store_true", help="measure what else loads a CSV file, too; bench/rivals-env installs it")
    also.add_argument("--chunk-sizes", type=int, nargs="+", metavar="N", help="measure these chunk sizes in place of the contenders")
    also.add_argument("--tables", action="store_true", help="measure other tables: one without a sequence, one with three more indexes")
    parser.add_argument("--id-cache", type=int, metavar="N", help="the CACHE of the id's sequence, for every contender but --local")
    parser.add_argument("--out", type=Path, default=ROOT / "target" / "bench", metavar="DIRECTORY")
    arguments = parser.parse_args()
    stem = "chunks" if arguments.chunk_sizes else "tables" if arguments.tables else "rivals" if arguments.rivals else "bench"
    installed = ENVIRONMENT / "installed"
    if arguments.rivals and not installed.exists():
        parser.error(f"no rivals in {ENVIRONMENT}; install them with bench/rivals-env")
    arguments.out.mkdir(parents=True, exist_ok=True)
    document = {"sizes": {}}
    per_row = {}
    with lab() as laboratory:
        document["machine"] = laboratory.server.describe()
        if arguments.rivals:
            document["rivals"] = installed.read_text().split()
        if arguments.id_cache:
            laboratory.server.psql(f"ALTER TABLE public.sale_order ALTER id SET CACHE {arguments.id_cache}")
        for rows in arguments.rows:
            made = Contenders(laboratory, rows)
            if arguments.chunk_sizes:
                contenders = made.chunk_sizes(arguments.chunk_sizes)
            elif arguments.tables:
                contenders = made.tables()
            else:
                contenders = made.all()
            if arguments.rivals:
                contenders.update(made.rivals())
            if arguments.only:
                contenders = {name: run for name, run in contenders.items() if name == BASE or any(text in name for text in arguments.only)}
            if any(name.startswith(FLOOR) for name in contenders):
                made.prepare_floors()
            laboratory.peak_kib.clear()
            measured = measure(laboratory, contenders, arguments.rounds)
            kept = measured[:arguments.rounds]
            results = {name: [one_round[name] for one_round in kept] for name in contenders}
            left = laboratory.left_behind() or "no table above 64 kB"
            document["sizes"][rows] = {"rounds": measured, "kept": len(kept), "peak_kib": dict(laboratory.peak_kib), "left_behind": left}
            print(table(results, rows, arguments.rounds))
            print(f"\nThe {len(kept)} least disturbed of {len(measured)} rounds: at most {most_stolen(kept[-1]):.0%} of the machine stolen in a run.")
            print("\nPeak memory: " + ", ".join(f"{name} {kib / 1024:.0f} MiB" for name, kib in laboratory.peak_kib.items()))
            payloads = laboratory.server.psql("SELECT count(*) FROM pgimport.import_payload")
            laboratory.server.psql("VACUUM pgimport.import_payload")
            vacuumed = laboratory.left_behind() or "no table above 64 kB"
            print(f"Left in the control schemas by the last run: {left}; {payloads} payloads; after VACUUM: {vacuumed}\n")
            loads = {name: rows / median(times) for name, times in results.items() if name != UNDO}
            for name, times in results.items():
                per_row.setdefault(name, []).append((rows, median(times) / rows * 1e6))
            bars(arguments.out / f"{stem}-{rows}.svg", f"{rows:,} rows: rows a second, median of {arguments.rounds}", loads)
    print(document["machine"])
    if len(arguments.rows) > 1:
        lines(arguments.out / "per-row.svg", "Time per row against size", "rows", "µs", per_row)
    (arguments.out / f"{stem}.json").write_text(json.dumps(document, indent=1))


main()
