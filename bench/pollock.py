#!/usr/bin/env python3
"""Runs the Pollock benchmark with pg_import beside other loaders, in one run, and prints a table in Markdown.

Pollock ("A Data Loading Benchmark", VLDB 2023) has 2,290 files: one CSV file, and what it becomes when it is polluted in one way. Each has
its clean records beside it, and parameters: what its user knows of it. Every system is told all of that which its options can say, by one
rule for all files. Where the parameters cannot be right, as those of some real files, it is told what a look at the file shows (the rule is
at `parameters`). What it loaded is written as CSV, below the names of the columns where the parameters have any, and compared.

The score, as Pollock's evaluate.py makes it: a file has ten measures between 0 and 1, which are success, and precision, recall and F1 of
the header, of the records and of the cells. The simple score is the sum of their means over all files; the weighted score takes the means
by how often each pollution was found in real files (pollock_weights.json). Two records are the same if their cells, normalised and put
together, are: so one whose values slipped into the next column still counts. The table therefore tells also:

wrong    loaded records that the clean file does not have
missing  clean records that were not loaded
shifted  loaded records that count as right, but not cell by cell
rejects  of ours: how many of the missing ones were rejected with their line

DIR is a checkout of https://github.com/HPI-Information-Systems/Pollock; nothing of it is in this repository. Of its code,
`normalize_cell` is called. Its survey_sample, files as they were found, has no weights; as in evaluate.py, only files that end in "csv"
count. `--results R` keeps what was loaded in their layout, to have it judged by their own evaluate.py.

Needs release builds, or --bin-dir; the Postgres programs and the shell `sqlite3`; and of PyPI: pip install duckdb pandas price-parser
"""

import argparse
import csv
import fnmatch
import functools
import importlib
import importlib.util
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter, deque
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import islice, takewhile
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from lab import RELEASE, lab, say
from pollock_systems import Copy, DuckDb, File, Outcome, Pandas, Parameters, PgImport, PythonCsv, Rows, Sqlite, python_dialect

SETS = ("polluted_files", "survey_sample")
SYSTEMS = {"pg_import": PgImport, "duckdb": DuckDb, "sqlite": Sqlite, "csv": PythonCsv, "pandas": Pandas, "copy": Copy}
PACKAGES = {"duckdb": "duckdb", "pandas": "pandas", "price_parser": "price-parser", "dateutil": "python-dateutil"}
HOME = "https://github.com/HPI-Information-Systems/Pollock"
FAILED = "Application Error"
USUAL_DELIMITERS = (";", "\t", "|", ",", ":")
COUNTED = ("records", "wrong", "missing", "shifted", "rejected")
# Of a server with thousands of tables that nobody keeps: what it writes need not reach the disk.
UNSAFE = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")


@dataclass
class Score:
    """Of one file, and of one system."""

    measures: List[float]
    records: int
    wrong: int
    missing: int
    shifted: int
    rejected: int
    error: Optional[str]

    @property
    def total(self) -> float:
        return sum(self.measures)


def parameters(said_path: Path, file: Path) -> Parameters:
    """What is said of a file, and where that cannot be, what a look at the file shows, never one at its clean file. It is the same rule for
    all files, and all systems are told the same:

    - A delimiter that no record has, where names of several columns are said, is the one that makes as many of the header.
    - Columns are as many as are said, or as records have: parameters of some real files give a number that no record has.
    - If so, empty names beyond the columns are none; and a header of one record with another number of names has them as they are there.
    - A preamble and a header are said in records, of which one may have several lines: for those who count lines, these are counted.
    - Where no footer is said, lines of delimiters alone at the end, which spreadsheets write, are one.
    """
    said = json.loads(said_path.read_text(encoding="utf-8"))
    names = tuple(name or "" for name in said["column_names"] or ())
    known = Parameters(
        encoding=said["encoding"].lower(), delimiter=said["delimiter"] or ",", quote=said["quotechar"], escape=said["escapechar"],
        line_end=said["row_delimiter"], preamble_lines=int(said["preamble_lines"]), header_lines=int(said["header_lines"]),
        footer_lines=int(said["footnote_lines"]), names=names, width=max(len(names), int(said.get("n_columns") or 0), 1))
    known = replace(known, delimiter=seen_delimiter(file, known))
    lines_of_preamble, lines_before_data, header, rows = look(file, known)
    widths = Counter(len(row) for row in rows if row)
    usual = max(widths, key=lambda width: (widths[width], width == known.width), default=known.width)
    width = max(usual, min(known.width, max(widths, default=known.width)))
    return replace(known, width=width, ragged=usual < width, names=seen_names(known, width, header), lines_of_preamble=lines_of_preamble,
                   lines_before_data=lines_before_data, footer_lines=known.footer_lines or blank_at_end(rows))


def look(file: Path, known: Parameters) -> Tuple[int, int, Rows, Rows]:
    """How many lines the preamble has, and with the header; the records of the header, and those after it."""
    with open(file, newline="", encoding=known.encoding, errors="replace") as source:
        reader = csv.reader(source, **python_dialect(known))
        deque(islice(reader, known.preamble_lines), maxlen=0)
        lines_of_preamble = reader.line_num
        header = list(islice(reader, known.header_lines))
        lines_before_data = reader.line_num
        return lines_of_preamble, lines_before_data, header, list(reader)


def seen_delimiter(file: Path, known: Parameters) -> str:
    *_, header, rows = look(file, known)
    if len(known.names) > 1 and all(len(row) <= 1 for row in header + rows):
        for delimiter in USUAL_DELIMITERS:
            *_, header, _ = look(file, replace(known, delimiter=delimiter))
            if header and len(header[-1]) == len(known.names):
                return delimiter
    return known.delimiter


def seen_names(known: Parameters, width: int, header: Rows) -> Tuple[str, ...]:
    if width == known.width:
        return known.names
    if len(header) == 1 and len(header[0]) != len(known.names):
        return tuple(header[0])
    names = known.names
    while len(names) > width and not names[-1]:
        names = names[:-1]
    return names


def blank_at_end(rows: Rows) -> int:
    """Not counted are empty lines after them."""
    rows = rows[:]
    while rows and not rows[-1]:
        rows.pop()
    return sum(1 for _ in takewhile(lambda row: len(row) > 1 and not any(row), reversed(rows)))


def find_files(directory: Path, dataset: str, pattern: str) -> List[File]:
    """Those that are there whole: a copy may lack its largest files."""
    found = sorted(path for path in (directory / dataset / "csv").glob("*csv") if fnmatch.fnmatch(path.name, pattern))
    files, lacking = [], 0
    for path in found:
        clean, known = directory / dataset / "clean" / path.name, directory / dataset / "parameters" / f"{path.name}_parameters.json"
        if clean.is_file() and known.is_file():
            files.append(File(path.name, path.resolve(), parameters(known, path)))
        else:
            lacking += 1
    if lacking:
        say(f"{lacking} files of {dataset} are left out: their clean file or their parameters are not in {directory}")
    if not files:
        sys.exit(f"pollock: {directory / dataset / 'csv'} has no file {pattern!r} with a clean file and parameters. Give a checkout of "
                 f"{HOME}; its data may need `git lfs pull`")
    return files


def normalizer(directory: Path) -> Callable[[str], str]:
    """Theirs. The same cells come again and again."""
    if not (directory / "pollock" / "data_types.py").is_file():
        sys.exit(f"pollock: {directory} is no checkout of Pollock: git clone {HOME} {directory}")
    sys.path.insert(0, str(directory))
    # This script bears the name of their package.
    own = sys.modules.pop("pollock", None)
    try:
        found = importlib.import_module("pollock.data_types").normalize_cell
    finally:
        sys.path.pop(0)
        if own:
            sys.modules["pollock"] = own
    return functools.lru_cache(maxsize=None)(found)


def check_packages(systems: Sequence[str]) -> None:
    needed = [name for name in PACKAGES if name in systems or name not in SYSTEMS]
    lacking = [PACKAGES[name] for name in needed if importlib.util.find_spec(name) is None]
    if lacking:
        sys.exit(f"pollock: packages are missing: {sys.executable} -m pip install {' '.join(lacking)} (or leave systems out by --systems)")


def write_outcome(path: Path, known: Parameters, outcome: Outcome, header_always: bool) -> None:
    with open(path, "w", newline="", encoding="utf-8") as out:
        if outcome.error is not None:
            out.write(f"{FAILED}\n{outcome.error}")
            return
        writer = csv.writer(out, lineterminator="\n")
        if known.names:
            writer.writerow(known.names)
        elif header_always:
            writer.writerow(f"col_{number}" for number in range(known.width))
        writer.writerows(outcome.rows)


def read_rows(path: Path) -> Rows:
    """As evaluate.py reads a clean file and a loaded one."""
    with open(path, encoding="utf-8-sig") as source:
        return list(csv.reader(source))


def measures(clean: Counter, loaded: Counter, empty: float) -> List[float]:
    """Precision, recall and F1, in the order and with the special cases of evaluate.py."""
    if not clean:
        return [1.0] * 3
    common = sum((clean & loaded).values())
    if not common:
        return [empty] * 3
    first, second = common / sum(clean.values()), common / sum(loaded.values())
    return [first, second, 2 * first * second / (first + second)]


def compare(clean: Rows, loaded: Rows, normalize: Callable[[str], str]) -> Score:
    def records(rows: Rows) -> Counter:
        return Counter(tuple(map(normalize, row)) for row in rows[1:])

    def joined(cells: Counter) -> Counter:
        together: Counter = Counter()
        for record, count in cells.items():
            together["".join(record)] += count
        return together

    exact_clean, exact_loaded = records(clean), records(loaded)
    clean_records, loaded_records = joined(exact_clean), joined(exact_loaded)
    right = sum((clean_records & loaded_records).values())
    parts = [1.0] * 9
    if clean:
        header = [Counter(map(normalize, rows[0])) if rows else Counter() for rows in (clean, loaded)]
        cells = [Counter(cell for row in rows for cell in row) for rows in (clean, loaded)]
        parts = measures(*header, 0.0) + measures(clean_records, loaded_records, 0.0) + measures(*cells, 0.0)
    in_place = sum((exact_clean & exact_loaded).values())
    total = sum(clean_records.values())
    return Score([1.0] + parts, records=total, wrong=sum(loaded_records.values()) - right, missing=total - right,
                 shifted=right - in_place, rejected=0, error=None)


def score_file(clean_path: Path, loaded_path: Path, outcome: Outcome, normalize: Callable[[str], str]) -> Score:
    clean = read_rows(clean_path)
    if outcome.error is not None:
        records = max(len(clean) - 1, 0)
        return Score([0.0] * 10, records, 0, records, 0, 0, outcome.error)
    try:
        score = compare(clean, read_rows(loaded_path), normalize)
    except csv.Error as error:
        # A field beyond the limit of Python's csv: evaluate.py gives no more than success.
        records = max(len(clean) - 1, 0)
        return Score([1.0] + [0.0] * 9, records, 0, records, 0, 0, str(error))
    score.rejected = min(score.missing, len(outcome.rejects))
    return score


def kind(name: str, dataset: str) -> str:
    """The kind of pollution, without the row and the column where it is."""
    if dataset != "polluted_files" or not name.startswith("row_"):
        return name
    return re.sub(r"(_row|(?<=quote)|(?<=delimiter)_)\d+(_col\d+|(?=_0x))", "", name)


def mean(values: Sequence[float], weights: Sequence[float]) -> float:
    total = sum(weights)
    return sum(value * weight for value, weight in zip(values, weights)) / total if total else 0.0


def summary(scores: Dict[str, Score], weights: Dict[str, float]) -> Dict[str, float]:
    totals = [score.total for score in scores.values()]
    counted = {name: sum(getattr(score, name) for score in scores.values()) for name in COUNTED}
    return {"simple": mean(totals, [1.0] * len(totals)), "weighted": mean(totals, [weights[name] for name in scores]), **counted,
            "failed": sum(score.error is not None for score in scores.values())}


def print_table(results: Dict[str, Dict[str, Score]], titles: Dict[str, str], weights: Optional[Dict[str, float]]) -> None:
    some = next(iter(results.values()))
    records = sum(score.records for score in some.values())
    weighted = ["weighted"] if weights else []
    heads = [f"{len(some):,} files", "simple", *weighted, "wrong", f"missing of {records:,}", "rejects", "shifted", "files failed"]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for system, scores in results.items():
        found = summary(scores, weights or dict.fromkeys(scores, 1.0))
        cells = [titles[system], *(f"{found[name]:.3f}" for name in ["simple", *weighted])]
        cells += [f"{found[name]:,}" if name != "rejected" or system == "pg_import" else ""
                  for name in ("wrong", "missing", "rejected", "shifted", "failed")]
        print(f"| {' | '.join(cells)} |")


def print_by_pollution(scores: Dict[str, Score], title: str, dataset: str, weights: Dict[str, float]) -> None:
    kinds: Dict[str, Dict[str, Score]] = {}
    for name, score in scores.items():
        kinds.setdefault(kind(name, dataset), {})[name] = score
    total = sum(weights[name] for name in scores)
    lines = []
    for pollution, of_kind in kinds.items():
        found = summary(of_kind, weights)
        if found["simple"] >= 10 - 1e-9:
            continue
        share = sum(weights[name] for name in of_kind) / total
        worst = min(of_kind, key=lambda name: of_kind[name].total)
        error = (of_kind[worst].error or "").splitlines() or [""]
        counts = " | ".join(f"{found[name]:,}" for name in ("wrong", "missing", "rejected", "shifted"))
        note = f"{worst if len(of_kind) > 1 else ''} {error[0][:80].replace('|', '/')}".strip()
        line = f"| {pollution} | {len(of_kind)} | {share:.2%} | {found['simple']:.3f} | {counts} | {note} |"
        lines.append(((10 - found["simple"]) * share, line))
    print(f"\n{title}: kinds of pollution below 10, the costliest by weight first\n")
    print("| pollution | files | weight | score | wrong | missing | rejects | shifted | worst |")
    print("|---|---|---|---|---|---|---|---|---|")
    for _, line in sorted(lines, reverse=True):
        print(line)


def read_weights(directory: Path, dataset: str, files: Sequence[File]) -> Optional[Dict[str, float]]:
    if dataset != "polluted_files":
        return None
    said = json.loads((directory / "pollock_weights.json").read_text())
    return {file.name: said.get(file.name, -1) for file in files}


def policy_options(text: str) -> Dict[str, str]:
    """`--short-rows=pad --long-rows=truncate` as a table."""
    options = {}
    for option in text.split():
        name, equals, value = option.partition("=")
        if not name.startswith("--") or not equals:
            sys.exit(f"pollock: --ours takes options of the form --name=value, not {option!r}")
        options[name] = value
    return options


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIR", help="a checkout of Pollock")
    parser.add_argument("--set", choices=SETS, default=SETS[0], help="which files of it (default: %(default)s)")
    parser.add_argument("--files", default="*", metavar="GLOB", help="only files whose name fits")
    parser.add_argument("--systems", default=",".join(SYSTEMS), metavar="A,B,…", help="of %(default)s")
    parser.add_argument("--by-pollution", metavar="SYSTEM", choices=list(SYSTEMS), help="list also its kinds of pollution below 10")
    parser.add_argument("--ours", default="", metavar="OPTIONS",
                        help="options of enqueue for all files: --ours='--short-rows=pad --long-rows=truncate'")
    parser.add_argument("--header-always", action="store_true",
                        help="write col_0, … where no names are known, as Pollock's own scripts do for most systems")
    parser.add_argument("--bin-dir", type=Path, default=RELEASE, metavar="DIR", help="where enqueue and worker are (default: %(default)s)")
    parser.add_argument("--sniff", action="store_true",
                        help="tell ours nothing but the columns' names, and what `enqueue sniff` proposes")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="submissions of ours at once (default: %(default)s)")
    parser.add_argument("--results", type=Path, metavar="DIR", help="keep what was loaded")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write each file's measures")
    arguments = parser.parse_args()
    arguments.systems = [name for name in arguments.systems.split(",") if name]
    unknown = [name for name in [*arguments.systems] if name not in SYSTEMS]
    if unknown or not arguments.systems:
        parser.error(f"--systems takes {', '.join(SYSTEMS)}; not {', '.join(unknown) or 'nothing'}")
    if arguments.by_pollution and arguments.by_pollution not in arguments.systems:
        parser.error("--by-pollution names a system that --systems leaves out")
    if "pg_import" in arguments.systems:
        lacking = [name for name in ("enqueue", "worker") if not os.access(arguments.bin_dir / name, os.X_OK)]
        if lacking:
            parser.error(f"{arguments.bin_dir} has no {', '.join(lacking)}: cargo build --release, or --bin-dir target/debug")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    directory = arguments.directory
    check_packages(arguments.systems)
    normalize = normalizer(directory)
    files = find_files(directory, arguments.set, arguments.files)
    weights = read_weights(directory, arguments.set, files)
    results: Dict[str, Dict[str, Score]] = {}
    titles: Dict[str, str] = {}
    notes: List[str] = []
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pollock-")))
        laboratory = stack.enter_context(lab(UNSAFE, arguments.bin_dir)) if {"pg_import", "copy"} & set(arguments.systems) else None
        for name in arguments.systems:
            system = make_system(name, laboratory, scratch, arguments)
            titles[name] = f"{system.name} {system.version}"
            if name == "pg_import":
                notes.append(f"{titles[name]}: {system.describe()}")
            started = time.time()
            outcomes = system.load(files)
            say(f"{titles[name]}: {len(files)} files in {time.time() - started:.0f} s")
            loaded = (arguments.results or scratch) / name / arguments.set / "loading"
            loaded.mkdir(parents=True, exist_ok=True)
            results[name] = {}
            for file in files:
                path = loaded / f"{file.name}_converted.csv"
                write_outcome(path, file.parameters, outcomes[file.name], arguments.header_always)
                results[name][file.name] = score_file(directory / arguments.set / "clean" / file.name, path, outcomes[file.name], normalize)
    print_table(results, titles, weights)
    for note in notes:
        print(f"\n{note}")
    equal = weights or {file.name: 1.0 for file in files}
    if arguments.by_pollution:
        print_by_pollution(results[arguments.by_pollution], titles[arguments.by_pollution], arguments.set, equal)
    if arguments.json:
        written = {name: {"summary": summary(scores, equal), "files": {file: asdict(score) for file, score in scores.items()}}
                   for name, scores in results.items()}
        arguments.json.write_text(json.dumps(written, indent=1))


def make_system(name: str, laboratory, scratch: Path, arguments: argparse.Namespace):
    if name == "pg_import":
        return PgImport(laboratory, scratch, policy_options(arguments.ours), arguments.jobs, arguments.sniff)
    if name == "copy":
        return Copy(laboratory, scratch)
    return SYSTEMS[name]()


if __name__ == "__main__":
    main()
