"""The systems that `pollock.py` compares, each told all of what is known of a file that its options can say.

A system has a name, a `version`, and `load(files)`, which gives an `Outcome` for each file: its data rows as text, without a header, or the
error that it ended with. NULL and the empty string are one, as they are for the benchmark.
"""

import csv
import io
import json
import re
import shlex
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

Rows = List[List[str]]
# A byte that no text has, for a system that cannot be told that there is no quote or no escape.
UNUSED = "\x01"
# How WHATWG, and so `--encoding`, calls what Python calls otherwise.
WHATWG_LABELS = {"cp949": "euc-kr"}
# What the server calls it.
POSTGRES_ENCODINGS = {"ascii": "UTF8", "utf-8": "UTF8", "latin1": "LATIN1", "cp949": "UHC"}


@dataclass(frozen=True)
class Parameters:
    """What the user of a file knows of it. An empty quote or escape says that there is none."""

    encoding: str
    delimiter: str
    quote: str
    escape: str
    line_end: str
    preamble_lines: int
    header_lines: int
    footer_lines: int
    names: Tuple[str, ...]
    width: int
    # Most records have fewer fields than the widest.
    ragged: bool = False
    # The preamble and the header are said in records, which may have several lines.
    lines_of_preamble: int = 0
    lines_before_data: int = 0

    @property
    def records_before_data(self) -> int:
        return self.preamble_lines + self.header_lines

    @property
    def columns(self) -> List[str]:
        """Names that suit any system. A file's own may be empty, or there twice."""
        return [f"c{number}" for number in range(1, self.width + 1)]

    @property
    def spaced_delimiter(self) -> bool:
        """One character and a space: what some systems call to skip the space before a field."""
        return len(self.delimiter) == 2 and self.delimiter[1] == " "


@dataclass(frozen=True)
class File:
    name: str
    path: Path
    parameters: Parameters


@dataclass
class Outcome:
    rows: Rows = field(default_factory=list)
    error: Optional[str] = None
    # Of ours: (line, reason) of each record that was not loaded.
    rejects: List[Tuple[int, str]] = field(default_factory=list)


class Single:
    """A system that loads one file after the other, in this process or in one of its own."""

    def load(self, files: Sequence[File]) -> Dict[str, Outcome]:
        return {file.name: self.try_one(file) for file in files}

    def try_one(self, file: File) -> Outcome:
        try:
            return Outcome([[text(value) for value in row] for row in self.rows(file.path, file.parameters)])
        except Exception as error:  # Whatever a library raises, this file is not loaded.
            return Outcome(error=f"{type(error).__name__}: {error}")

    def rows(self, path: Path, known: Parameters) -> Iterable[Sequence]:
        raise NotImplementedError


def text(value) -> str:
    """NULL is None, or the float NaN, which differs from itself."""
    return "" if value is None or value != value else str(value)


class PythonCsv(Single):
    name = "Python csv"

    def __init__(self):
        self.version = "{}.{}.{}".format(*sys.version_info)

    def rows(self, path, known):
        with open(path, newline="", encoding=known.encoding) as source:
            rows = list(csv.reader(source, **python_dialect(known)))
        rows = rows[known.records_before_data:len(rows) - known.footer_lines]
        return [row for row in rows if row]


def python_dialect(known: Parameters) -> Dict[str, object]:
    dialect = {"delimiter": known.delimiter[0] if known.spaced_delimiter else known.delimiter, "skipinitialspace": known.spaced_delimiter}
    if not known.quote:
        return {**dialect, "quoting": csv.QUOTE_NONE}
    doubled = known.escape == known.quote
    return {**dialect, "quotechar": known.quote, "doublequote": doubled, "escapechar": None if doubled else known.escape or None}


class Pandas(Single):
    name = "pandas"

    def __init__(self):
        import pandas
        self.pandas, self.version = pandas, pandas.__version__

    def rows(self, path, known):
        doubled = known.escape == known.quote
        options = {
            "sep": known.delimiter[0] if known.spaced_delimiter else known.delimiter,
            "skipinitialspace": known.spaced_delimiter,
            "header": None, "names": known.columns, "index_col": False, "skiprows": known.records_before_data,
            "dtype": str, "keep_default_na": False, "na_values": [], "encoding": known.encoding, "on_bad_lines": "skip",
            "doublequote": doubled, "escapechar": None if doubled or not known.quote else known.escape or None,
        }
        options.update({"quotechar": known.quote} if known.quote else {"quoting": csv.QUOTE_NONE})
        if known.footer_lines:
            options.update({"skipfooter": known.footer_lines, "engine": "python", "skiprows": known.lines_before_data})
        else:
            options["engine"] = "c"
        if known.line_end == "\r":
            options["lineterminator"] = "\r"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                frame = self.pandas.read_csv(path, **options)
        except self.pandas.errors.EmptyDataError:
            return []
        return frame.itertuples(index=False, name=None)


class DuckDb(Single):
    """With the options of the benchmark's own script, which are those for files as broken as these."""

    name = "DuckDB"

    def __init__(self):
        import duckdb
        self.duckdb, self.version = duckdb, duckdb.__version__

    def rows(self, path, known):
        options = {} if known.encoding in ("ascii", "utf-8") else {"encoding": known.encoding}
        with self.duckdb.connect() as connection:
            connection.execute("SET threads = 1")
            relation = connection.read_csv(
                str(path), delimiter=known.delimiter, quotechar=known.quote, escapechar=known.escape, skiprows=known.records_before_data,
                header=False, columns={name: "VARCHAR" for name in known.columns}, auto_detect=False, strict_mode=False,
                ignore_errors=True, null_padding=True, parallel=False, **options)
            return relation.fetchall()


class Sqlite(Single):
    """The shell's `.import`. It takes the quote and its escape from the format, and the text as UTF-8."""

    name = "SQLite"

    def __init__(self):
        self.version = subprocess.run(["sqlite3", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[0]

    def rows(self, path, known):
        columns = ", ".join(f"{name} TEXT" for name in known.columns)
        line_end = known.line_end.replace("\r", "\\r").replace("\n", "\\n") or "\\n"
        commands = (f"CREATE TABLE t ({columns});", ".mode csv", f'.separator {shell_quoted(known.delimiter)} "{line_end}"',
                    f".import --skip {known.records_before_data} {shell_quoted(str(path))} t",
                    ".mode csv", "SELECT * FROM t ORDER BY rowid;")
        done = subprocess.run(["sqlite3", ":memory:"], input="\n".join(commands), capture_output=True, encoding="utf-8",
                              errors="surrogateescape")
        failed = next((line for line in done.stderr.splitlines() if line.startswith("Error")), None)
        if failed:
            raise RuntimeError(failed)
        rows = list(csv.reader(io.StringIO(done.stdout, newline="")))
        return [[value.encode(errors="surrogateescape").decode(errors="replace") for value in row] for row in rows]


def shell_quoted(argument: str) -> str:
    """For a dot command of SQLite's shell."""
    return '"' + argument.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t") + '"'


def literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


class Tables:
    """A table of text columns with an id for each file, in a schema of its own."""

    def __init__(self, laboratory, schema: str, directory: Path):
        self.server, self.schema, self.directory = laboratory.server, schema, directory

    def run(self, lines: Iterable[str]) -> Tuple[str, Dict[int, str]]:
        """Runs lines of psql in one session, which goes on after an error. Returns what they write, and the error of each that failed."""
        command = [str(self.server.bin / "psql"), "-X", "-q", "-A", "-t", "-d", self.server.url, "-f", "-"]
        done = subprocess.run(command, input="\n".join(lines), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        errors = re.findall(r"^psql:<stdin>:(\d+): (?:ERROR: *|error: *)?(.*)$", done.stderr, re.M)
        return done.stdout, {int(line) - 1: message for line, message in errors}

    def script(self, lines: Iterable[str]) -> str:
        """The same for lines that must not fail."""
        said, errors = self.run(lines)
        if errors:
            sys.exit(f"pollock: psql: {next(iter(errors.values()))}")
        return said

    def create(self, files: Sequence[File]) -> None:
        columns = [", ".join(f"{name} text" for name in file.parameters.columns) for file in files]
        self.script([f"CREATE SCHEMA {self.schema};"] + [
            f"CREATE TABLE {self.table(number)} (id bigserial PRIMARY KEY, {names});" for number, names in enumerate(columns)])

    def table(self, number: int) -> str:
        return f"{self.schema}.f{number}"

    def rows(self, files: Sequence[File]) -> List[Rows]:
        """In the order of the ids, which is that of the file."""
        paths = [self.directory / f"{self.schema}-{number}" for number in range(len(files))]
        self.script(f"\\copy (SELECT {', '.join(file.parameters.columns)} FROM {self.table(number)} ORDER BY id) TO {literal(str(path))} "
                    "WITH (FORMAT csv)" for number, (file, path) in enumerate(zip(files, paths)))
        found = []
        for path in paths:
            with open(path, newline="", encoding="utf-8") as written:
                # A row of one NULL is an empty line.
                found.append([row or [""] for row in csv.reader(written)])
            path.unlink()
        return found


class Copy:
    """psql's `\\copy`, which takes all of a file or nothing."""

    name = "PostgreSQL COPY"

    def __init__(self, laboratory, directory: Path):
        self.tables = Tables(laboratory, "pollock_copy", directory)
        self.version = laboratory.server.psql("SHOW server_version").split()[0]

    def options(self, known: Parameters) -> str:
        quote = known.quote or UNUSED
        given = {"FORMAT": "csv", "DELIMITER": literal(known.delimiter), "QUOTE": literal(quote), "ESCAPE": literal(known.escape or UNUSED),
                 "HEADER": "true" if known.header_lines else "false", "ENCODING": literal(POSTGRES_ENCODINGS[known.encoding])}
        return ", ".join(" ".join(pair) for pair in given.items())

    def load(self, files):
        self.tables.create(files)
        _, errors = self.tables.run(
            f"\\copy {self.tables.table(number)} ({', '.join(file.parameters.columns)}) FROM {literal(str(file.path))} "
            f"WITH ({self.options(file.parameters)})" for number, file in enumerate(files))
        return {file.name: Outcome(error=errors[number]) if number in errors else Outcome(rows)
                for number, (file, rows) in enumerate(zip(files, self.tables.rows(files)))}


def known_options(help_text: str) -> Dict[str, str]:
    """Each long option of a program's help, with its description."""
    found = re.split(r"^\s+(?:-\w, )?(--[a-z-]+)", help_text, flags=re.M)
    return dict(zip(found[1::2], found[2::2]))


def our_options(known: Parameters, available: Dict[str, str], policy: Dict[str, str]) -> List[str]:
    """The options of `enqueue` for a file of which this is known, by one rule for all files. Those that the build lacks are left out.

    | known | option |
    |---|---|
    | delimiter | --delimiter, whole |
    | quote | --quote, `none` where there is none |
    | escape | --escape where it is another than the quote; `none` where there is none |
    | lines of the preamble | --skip-lines |
    | header lines | --no-header for none, --header-lines for more than one; without that option, --skip-lines for all but the last |
    | footer | --skip-footer |
    | encoding | --encoding where it is neither ASCII nor UTF-8 |
    | number of columns | --columns, which also names them |
    | most records have fewer fields than the table columns | --short-rows=pad |
    | for any file | the policy: --short-rows, --long-rows, --stray-quotes, and --stop-at-header where there is a header |
    """
    several = max(known.header_lines - 1, 0)
    skipped = known.lines_of_preamble + (0 if "--header-lines" in available else several)
    has_escape = known.quote and known.escape != known.quote and (known.escape or "none" in available.get("--escape", ""))
    wanted = {
        "--delimiter": known.delimiter,
        "--quote": (known.quote or "none") if known.quote != '"' else None,
        "--escape": (known.escape or "none") if has_escape else None,
        "--skip-lines": str(skipped) if skipped else None,
        "--header-lines": str(known.header_lines) if several else None,
        "--skip-footer": str(known.footer_lines) if known.footer_lines else None,
        "--encoding": WHATWG_LABELS.get(known.encoding, known.encoding) if known.encoding not in ("ascii", "utf-8") else None,
        "--columns": ",".join(known.columns),
        **policy,
    }
    if known.ragged:
        wanted["--short-rows"] = "pad"
    if not known.header_lines:
        del wanted["--stop-at-header"]
    options = [f"{option}={value}" if value else option for option, value in wanted.items() if value is not None and option in available]
    return options + ["--no-header"] * (known.header_lines == 0)


class PgImport:
    """Each file an import into a table of its own. One worker loads them all."""

    name = "pg_import"
    default_policy = {"--short-rows": "reject", "--long-rows": "reject", "--stray-quotes": "keep", "--stop-at-header": ""}

    def __init__(self, laboratory, directory: Path, policy: Dict[str, str], jobs: int, sniffs: bool):
        self.lab, self.jobs, self.policy, self.sniffs = laboratory, jobs, {**self.default_policy, **policy}, sniffs
        self.tables = Tables(laboratory, "pollock", directory)
        self.version = self.ask("--version").split()[-1]
        self.available = known_options(self.ask("--help"))
        unknown = sorted(option for option in policy if option not in self.available)
        if unknown:
            sys.exit(f"pollock: enqueue has no {', '.join(unknown)} yet; leave it out of --ours, or give a newer build by --bin-dir")

    def ask(self, argument: str) -> str:
        return subprocess.run([self.lab.programs / "enqueue", argument], check=True, stdout=subprocess.PIPE, text=True).stdout

    def describe(self) -> str:
        used = [f"{option} {value}".strip() for option, value in self.policy.items() if option in self.available]
        lacking = [option for option in ("--quote", "--escape", "--skip-lines", "--header-lines", "--skip-footer", "--encoding",
                                         *self.policy) if option not in self.available]
        told = self.sniffs and "what `enqueue sniff` proposes, and the columns' names"
        return "; ".join(filter(None, (told, " ".join(used), lacking and "this build has no " + ", ".join(lacking))))

    def sniffed(self, file: File) -> List[str]:
        """The options that `enqueue sniff` proposes, the names of the columns as they are known, and the policy."""
        done = subprocess.run([self.lab.programs / "enqueue", "sniff", str(file.path), "--json"], stdout=subprocess.PIPE, text=True)
        proposed = shlex.split(json.loads(done.stdout)["command"])[3:] if done.returncode == 0 else []
        if "--extra-columns" in proposed:
            # Which is about the header's names, and those that are known are given for every field.
            at = proposed.index("--extra-columns")
            del proposed[at:at + 2]
        policy = [f"{option}={value}" if value else option for option, value in self.policy.items()
                  if option != "--stop-at-header" or "--no-header" not in proposed]
        return [*proposed, "--columns=" + ",".join(file.parameters.columns), *policy]

    def submit(self, number: int, file: File) -> Tuple[Optional[int], str]:
        """The import's id, or why there is none."""
        command = [str(self.lab.programs / "enqueue"), "-i", str(file.path), "--table", self.tables.table(number),
                   *(self.sniffed(file) if self.sniffs else our_options(file.parameters, self.available, self.policy))]
        done = subprocess.run(command, env=self.lab.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        said = done.stdout.strip()
        return (int(said), "") if said.isdigit() else (None, done.stderr.strip() or f"enqueue ended with {done.returncode}")

    def load(self, files):
        self.tables.create(files)
        with self.lab.workers(1, 2), ThreadPoolExecutor(self.jobs) as pool:
            submitted = list(pool.map(self.submit, range(len(files)), files))
            self.lab.server.wait_until("NOT EXISTS (SELECT FROM pgimport.import WHERE ended_at IS NULL)")
        failures, rejects = self.failures(), self.rejects()
        outcomes = {}
        for file, rows, (imported, error) in zip(files, self.tables.rows(files), submitted):
            error = error or failures.get(imported)
            outcomes[file.name] = Outcome(error=error) if error else Outcome(rows, rejects=rejects.get(imported, []))
        return outcomes

    def failures(self) -> Dict[int, str]:
        found = self.tables.script([
            "SELECT i.id, i.state, replace(coalesce(i.error, max(c.last_error), ''), E'\\n', ' ') FROM pgimport.import i "
            "LEFT JOIN pgimport.import_chunk c ON c.import_id = i.id WHERE i.state <> 'loaded' GROUP BY i.id;"])
        lines = (line.split("|", 2) for line in found.splitlines())
        return {int(imported): f"{state}: {error}" for imported, state, error in lines}

    def rejects(self) -> Dict[int, List[Tuple[int, str]]]:
        found = self.tables.script([
            "SELECT import_id, line, replace(reason, E'\\n', ' ') FROM pgimport.import_reject ORDER BY import_id, line;"])
        rejects: Dict[int, List[Tuple[int, str]]] = {}
        for imported, line, reason in (row.split("|", 2) for row in found.splitlines()):
            rejects.setdefault(int(imported), []).append((int(line), reason))
        return rejects
