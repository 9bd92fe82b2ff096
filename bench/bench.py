#!/usr/bin/env python3
"""Measures pg_import beside its rivals, in one run, on a Postgres of its own.

Needs Python 3.9, the Postgres programs (psql included), and release builds of enqueue, worker and the example `generate`; pgloader joins
in where it is installed. `just bench` builds and calls it. Every contender loads the same file into the same table, emptied before each
run; the rounds are interleaved, and what counts is the ratio of medians within one run, for times drift from run to run.
"""

import argparse, glob, json, os, pwd, shutil, signal, socket, statistics, subprocess, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = '"PointOfSale", "Product", "Date", "Stock"'


def find_bin_dir():
    candidates = [os.environ.get("PG_IMPORT_PG_BIN"), os.path.dirname(shutil.which("initdb") or "")]
    candidates += sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    for candidate in filter(None, candidates):
        if all(Path(candidate, program).exists() for program in ("initdb", "pg_ctl", "psql")):
            return Path(candidate)
    sys.exit("bench: no Postgres programs found; install postgresql, or set PG_IMPORT_PG_BIN")


class Server:
    """A Postgres with its default settings, on loopback, for this run alone."""

    def __init__(self, directory):
        self.bin = find_bin_dir()
        self.account = None
        if os.geteuid() == 0:
            names = [entry.pw_name for entry in pwd.getpwall()]
            self.account = "postgres" if "postgres" in names else "nobody"
            shutil.chown(directory, self.account)
        self.data = Path(directory, "data")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "admin", "-E", "UTF8", "--locale=C.UTF-8")
        options = f"-p {self.port} -k '' -c listen_addresses=127.0.0.1"
        self.run("pg_ctl", "-D", self.data, "-o", options, "-l", Path(directory, "log"), "-w", "start")
        self.url = f"postgres://admin@127.0.0.1:{self.port}/postgres"

    def run(self, program, *arguments):
        command = [str(self.bin / program), *map(str, arguments)]
        done = subprocess.run(command, user=self.account, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"bench: {program}: {done.stderr}")

    def psql(self, *statements):
        command = [str(self.bin / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.url, "-c", "SET client_min_messages = warning"]
        for statement in statements:
            command += ["-c", statement]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def psql_async(self, statement):
        return subprocess.Popen([str(self.bin / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", self.url, "-c", statement])

    def stop(self):
        self.run("pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop")


class Bench:
    def __init__(self, arguments, directory):
        self.rows, self.directory = arguments.rows, Path(directory)
        self.release = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"), "release")
        self.server = Server(directory)
        self.environment = {**os.environ, "DATABASE_URL": self.server.url, "RUST_LOG": "error"}
        self.memory = {}

    def prepare(self):
        subprocess.run([self.release / "enqueue", "migrate"], env=self.environment, check=True, stderr=subprocess.DEVNULL)
        self.file = self.directory / "orders.csv"
        subprocess.run([self.release / "examples" / "generate", "--rows", str(self.rows), "--output", self.file], check=True)
        self.parts = self.split()
        # For the floor: the same rows with their ids, as the server itself writes them.
        self.reset()
        self.copy(self.file, header=True).wait()
        half = self.rows // 2
        self.binaries = [self.directory / "data" / f"part{n}.bin" for n in (1, 2)]
        for path, condition in zip(self.binaries, (f"id <= {half}", f"id > {half}")):
            self.server.psql(f"COPY (SELECT * FROM sale_order WHERE {condition} ORDER BY id) TO '{path}' (FORMAT binary)")

    def split(self):
        """Two halves without the header, cut at a line's end."""
        data_start = len("PointOfSale;Product;Date;Stock\n")
        size = self.file.stat().st_size
        with open(self.file, "rb") as source:
            source.seek((data_start + size) // 2)
            source.readline()
            middle = source.tell()
            parts = []
            for number, (start, end) in enumerate(((data_start, middle), (middle, size))):
                path = self.directory / f"part{number}.csv"
                source.seek(start)
                with open(path, "wb") as part:
                    left = end - start
                    while left:
                        block = source.read(min(left, 1 << 20))
                        part.write(block)
                        left -= len(block)
                parts.append(path)
        return parts

    def reset(self):
        self.server.psql("TRUNCATE public.sale_order RESTART IDENTITY", "TRUNCATE pgimport.import CASCADE",
                         "TRUNCATE apalis.jobs CASCADE", "CHECKPOINT")

    def copy(self, path, header=False):
        options = f"FORMAT csv, DELIMITER ';', HEADER {str(header).lower()}"
        return self.server.psql_async(f"\\copy sale_order ({COLUMNS}) FROM '{path}' WITH ({options})")

    # Contenders: each returns seconds.

    def timed(self, *starts):
        begin = time.monotonic()
        running = [start() for start in starts]
        for process in running:
            if process.wait():
                sys.exit("bench: a contender failed")
        return time.monotonic() - begin

    def copy_one(self):
        return self.timed(lambda: self.copy(self.file, header=True))

    def copy_two(self):
        return self.timed(*[lambda part=part: self.copy(part) for part in self.parts])

    def floor(self):
        statement = "COPY sale_order FROM '{}' (FORMAT binary)"
        return self.timed(*[lambda path=path: self.server.psql_async(statement.format(path)) for path in self.binaries])

    def pgloader(self):
        script = self.directory / "orders.load"
        script.write_text(
            f"LOAD CSV FROM '{self.file}' HAVING FIELDS (\"PointOfSale\", \"Product\", \"Date\", \"Stock\")\n"
            f"INTO postgresql://admin@127.0.0.1:{self.server.port}/postgres?sale_order\n"
            f"TARGET COLUMNS ({COLUMNS})\nWITH skip header = 1, fields terminated by ';', workers = 2, concurrency = 1;\n")
        return self.timed(lambda: subprocess.Popen(["pgloader", script], stdout=subprocess.DEVNULL))

    def program(self, name, *arguments):
        return subprocess.Popen([str(self.release / name), *arguments], env=self.environment, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)

    def reap(self, name, process):
        """Waits, and keeps the peak memory of each program."""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.memory[name] = max(self.memory.get(name, 0), usage.ru_maxrss)
        if process.returncode not in (0, -signal.SIGTERM):
            sys.exit(f"bench: {name} failed with {process.returncode}")

    def ours(self, method, workers, undo=False):
        """From the start of `enqueue` to the state `loaded`, by the clock of the database, which is this machine's."""
        each = str(2 // workers)
        running = [self.program("worker", "--concurrency", each) for _ in range(workers)]
        while self.server.psql("SELECT count(*) FROM pgimport.worker WHERE last_seen > now() - interval '2 s'") != str(workers):
            time.sleep(0.05)
        begin = time.time()
        enqueue = self.program("enqueue", "-i", str(self.file), "--load-method", method)
        imported = enqueue.stdout.read().strip()
        self.reap(f"enqueue ({method})", enqueue)
        seconds = self.wait_for(imported, "loaded") - begin
        if self.server.psql("SELECT count(*) FROM sale_order") != str(self.rows):
            sys.exit("bench: rows are missing")
        if undo:
            begin = time.time()
            self.reap("enqueue (cancel)", self.program("enqueue", "cancel", imported))
            seconds = self.wait_for(imported, "cancelled") - begin
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            self.reap(f"worker ({method}, concurrency {each})", process)
        return seconds

    def wait_for(self, imported, state):
        """Waits within one session: a client started again and again would take its share of the machine."""
        self.server.psql(f"""DO $$BEGIN WHILE NOT EXISTS (SELECT FROM pgimport.import WHERE id = {imported} AND state = '{state}')
                             LOOP PERFORM pg_sleep(0.05); END LOOP; END$$""")
        return float(self.server.psql(f"SELECT extract(epoch FROM ended_at) FROM pgimport.import WHERE id = {imported}"))

    def contenders(self):
        found = {
            "psql \\copy, one session": self.copy_one,
            "psql \\copy, two sessions": self.copy_two,
            "server floor: binary COPY, two sessions": self.floor,
            "pg_import, insert, one worker of 2": lambda: self.ours("insert", 1),
            "pg_import, insert, two workers of 1": lambda: self.ours("insert", 2),
            "pg_import, copy, one worker of 2": lambda: self.ours("copy", 1),
            "pg_import, undo of an import": lambda: self.ours("insert", 1, undo=True),
        }
        if shutil.which("pgloader"):
            found["pgloader, two workers"] = self.pgloader
        return found


def machine(server):
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    return {"cpu": cpu, "cores": os.cpu_count(), "postgres": server.psql("SHOW server_version"),
            "shared_buffers": server.psql("SHOW shared_buffers"), "fsync": server.psql("SHOW fsync"),
            "max_wal_size": server.psql("SHOW max_wal_size")}


def plot(path, results, rows):
    """Bars of rows a second, by median."""
    medians = {name: statistics.median(times) for name, times in results.items()}
    best = max(rows / seconds for seconds in medians.values())
    parts = []
    for index, (name, seconds) in enumerate(medians.items()):
        rate, y = rows / seconds, 30 + 34 * index
        parts.append(f'<text x="0" y="{y}" font-size="12">{name}</text><rect x="0" y="{y + 4}" width="{500 * rate / best:.0f}" height="12" '
                     f'fill="{"#2a6" if "pg_import" in name else "#999"}"/><text x="{500 * rate / best + 6:.0f}" y="{y + 14}" '
                     f'font-size="11">{rate / 1000:.0f} k rows/s</text>')
    height = 50 + 34 * len(medians)
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="{height}" font-family="sans-serif">'
                    f'<text x="0" y="14" font-size="13">{rows:,} rows, rows a second by median</text>{"".join(parts)}</svg>\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="contenders whose name contains this, beside \\copy in one session")
    parser.add_argument("--out", type=Path, default=ROOT / "target" / "bench")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    directory = tempfile.mkdtemp(prefix="pg_import-bench-")
    os.chmod(directory, 0o755)
    bench = Bench(arguments, directory)
    try:
        bench.prepare()
        contenders = bench.contenders()
        if arguments.only:
            contenders = {n: c for n, c in contenders.items() if arguments.only in n or "one session" in n}
        results = {name: [] for name in contenders}
        for number in range(arguments.rounds):
            for name, contender in contenders.items():
                bench.reset()
                results[name].append(contender())
                print(f"round {number + 1}: {results[name][-1]:7.2f} s  {name}", file=sys.stderr, flush=True)
        facts = machine(bench.server)
        left = bench.server.psql("SELECT pg_size_pretty(sum(pg_total_relation_size(c.oid))) FROM pg_class c JOIN pg_namespace n "
                                 "ON n.oid = c.relnamespace WHERE n.nspname IN ('pgimport', 'apalis') AND c.relkind = 'r'")
    finally:
        bench.server.stop()
        shutil.rmtree(directory, ignore_errors=True)
    base = statistics.median(results["psql \\copy, one session"])
    print(f"| {arguments.rows:,} rows, {arguments.rounds} rounds | median s | rows/s | against \\copy, one session |\n|---|---|---|---|")
    for name, times in results.items():
        median = statistics.median(times)
        print(f"| {name} | {median:.2f} | {arguments.rows / median / 1000:.0f} k | {base / median:.2f} × |")
    print("\nPeak memory: " + ", ".join(f"{name} {kib / 1024:.0f} MiB" for name, kib in bench.memory.items()))
    print(f"Left in the control schemas: {left}\n{facts}")
    document = {"rows": arguments.rows, "seconds": results, "peak_memory_kib": bench.memory, "machine": facts}
    (arguments.out / f"bench-{arguments.rows}.json").write_text(json.dumps(document, indent=1))
    plot(arguments.out / f"bench-{arguments.rows}.svg", results, arguments.rows)


main()
