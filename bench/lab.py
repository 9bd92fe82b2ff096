"""What the measurements share: a Postgres of their own, the programs, the clock, and the machine's description.

Needs Python 3.9, the Postgres programs (psql included), and builds of enqueue, worker and the example `generate`, release builds unless
the caller names others.
"""

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"), "release")
COLUMNS = '"PointOfSale", "Product", "Date", "Stock"'
EMPTY = ("TRUNCATE public.sale_order RESTART IDENTITY", "TRUNCATE pgimport.import CASCADE", "TRUNCATE apalis.jobs CASCADE", "CHECKPOINT")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def find_bin_dir():
    candidates = [os.environ.get("PG_IMPORT_PG_BIN"), os.path.dirname(shutil.which("initdb") or "")]
    candidates += sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    for candidate in filter(None, candidates):
        if all(Path(candidate, program).exists() for program in ("initdb", "pg_ctl", "psql")):
            return Path(candidate)
    sys.exit("bench: no Postgres programs found; install postgresql, or set PG_IMPORT_PG_BIN")


def processor_seconds(*kinds):
    """Seconds of all processors, by the kinds of proc(5)'s first line of /proc/stat."""
    fields = Path("/proc/stat").read_text().split(maxsplit=9)
    return sum(int(fields[kind]) for kind in kinds) / TICKS_PER_SECOND


def cpu_seconds():
    """Seconds that all processors of the machine have worked."""
    user, nice, system = 1, 2, 3
    return processor_seconds(user, nice, system)


def process_seconds(pid, ended=False):
    """Processor time of a process, and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15 if ended else 13])) / TICKS_PER_SECOND


def stolen_seconds():
    """Seconds in which the hypervisor gave processors of this machine to others."""
    return processor_seconds(8)


class Timed:
    """From the start of a run until `end`: seconds by the clock and of all processors, and the part of the machine that was stolen."""

    def __init__(self):
        self.cpu, self.stolen, self.clock = cpu_seconds(), stolen_seconds(), time.time()

    def end(self, clock=None):
        now = time.time()
        stolen = (stolen_seconds() - self.stolen) / os.cpu_count() / (now - self.clock)
        return {"seconds": (clock or now) - self.clock, "cpu_seconds": cpu_seconds() - self.cpu, "stolen": stolen}


class Server:
    """A Postgres with its default settings, on loopback, for one run of a script."""

    def __init__(self, directory, settings=()):
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
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "admin", "-E", "UTF8", "--locale=C.UTF-8", "--data-checksums")
        options = f"-p {self.port} -k '' -c listen_addresses=127.0.0.1" + "".join(f" -c {setting}" for setting in settings)
        self.run("pg_ctl", "-D", self.data, "-o", options, "-l", Path(directory, "log"), "-w", "start")
        self.url = f"postgres://admin@127.0.0.1:{self.port}/postgres"

    def run(self, program, *arguments):
        command = [str(self.bin / program), *map(str, arguments)]
        done = subprocess.run(command, user=self.account, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"bench: {program}: {done.stderr}")

    def psql_command(self, *statements):
        command = [str(self.bin / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.url]
        for statement in ("SET client_min_messages = warning", *statements):
            command += ["-c", statement]
        return command

    def psql(self, *statements):
        return subprocess.run(self.psql_command(*statements), check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def start_psql(self, *statements):
        return subprocess.Popen(self.psql_command(*statements), stdout=subprocess.DEVNULL)

    def wait_until(self, condition):
        """Waits within one session: a client started again and again would take its share of the machine. Each look is a transaction
        of its own, for one that stays open keeps the server from cleaning up, and so makes a queue slower and slower."""
        self.psql(f"DO $$BEGIN WHILE NOT ({condition}) LOOP COMMIT; PERFORM pg_sleep(0.05); END LOOP; END$$")

    def describe(self):
        cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
        settings = ("server_version", "shared_buffers", "max_wal_size", "fsync", "synchronous_commit", "wal_level")
        return {"cpu": cpu, "cores": os.cpu_count(), **{name: self.psql(f"SHOW {name}") for name in settings}}

    def seconds(self):
        """Processor time of all its processes, those that have ended among them."""
        postmaster = (self.data / "postmaster.pid").read_text().split()[0]
        seconds = process_seconds(postmaster, ended=True)
        for child in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split():
            try:
                seconds += process_seconds(child)
            except FileNotFoundError:
                pass
        return seconds

    def stop(self):
        self.run("pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop")


class Lab:
    """A migrated server, and our programs against it."""

    def __init__(self, directory, settings=(), programs=RELEASE):
        self.directory, self.programs = Path(directory), Path(programs)
        self.server = Server(directory, settings)
        self.environment = {**os.environ, "DATABASE_URL": self.server.url, "RUST_LOG": "error"}
        self.peak_kib = {}
        subprocess.run([self.programs / "enqueue", "migrate"], env=self.environment, check=True, stderr=subprocess.DEVNULL)

    def generate(self, rows):
        path = self.directory / f"orders-{rows}.csv"
        if not path.exists():
            subprocess.run([self.programs / "examples" / "generate", "--rows", str(rows), "--output", path], check=True)
        return path

    def reset(self):
        self.server.psql(*EMPTY)

    def start(self, program, *arguments, **environment):
        return subprocess.Popen([str(self.programs / program), *map(str, arguments)], env={**self.environment, **environment},
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def reap(self, name, process):
        """Waits, and keeps the peak memory of each program."""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.peak_kib[name] = max(self.peak_kib.get(name, 0), usage.ru_maxrss)
        if process.returncode not in (0, -signal.SIGTERM):
            sys.exit(f"bench: {name} failed with {process.returncode}")

    @contextmanager
    def workers(self, count, concurrency, label="worker"):
        running = [self.start("worker", "--concurrency", concurrency) for _ in range(count)]
        self.server.wait_until(f"(SELECT count(*) FROM pgimport.worker WHERE last_seen > now() - interval '2 s') >= {count}")
        yield running
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            self.reap(label, process)

    def submit(self, label, path, *options):
        """Returns the import's id; it may not be loaded yet."""
        process = self.start("enqueue", "-i", path, *options)
        imported = process.stdout.read().strip()
        self.reap(label, process)
        return imported

    def ended(self, imported, state):
        """When the import reached the state, by the clock of the database, which is this machine's."""
        self.server.wait_until(f"EXISTS (SELECT FROM pgimport.import WHERE id = {imported} AND state = '{state}')")
        return float(self.server.psql(f"SELECT extract(epoch FROM ended_at) FROM pgimport.import WHERE id = {imported}"))

    def own_seconds(self, workers):
        """Processor time of the server, with the sessions that have ended, of the workers, and of the other programs that have ended."""
        ended = os.times()
        return {"server": self.server.seconds(), "workers": sum(process_seconds(worker.pid) for worker in workers),
                "enqueue": ended.children_user + ended.children_system}

    def left_behind(self):
        return self.server.psql(
            "SELECT string_agg(format('%s %s', c.relname, pg_size_pretty(pg_total_relation_size(c.oid))), ', ' ORDER BY "
            "pg_total_relation_size(c.oid) DESC) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname IN ('pgimport', 'apalis') AND c.relkind = 'r' AND pg_total_relation_size(c.oid) > 65536")


@contextmanager
def lab(settings=(), programs=RELEASE):
    directory = tempfile.mkdtemp(prefix="pg_import-bench-")
    os.chmod(directory, 0o755)
    laboratory = None
    try:
        laboratory = Lab(directory, settings, programs)
        yield laboratory
    finally:
        if laboratory:
            laboratory.server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def say(text):
    print(text, file=sys.stderr, flush=True)
