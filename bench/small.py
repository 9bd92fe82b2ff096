#!/usr/bin/env python3
"""Measures small imports: how long one takes from the start of `enqueue` to `loaded`, and how many go through at once.

On a Postgres of its own; see docs/SCALING.md. `just bench-small` builds and calls this.
"""

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import RELEASE, ROOT, lab, say

ROWS = 1_000


def each(before, after, count):
    """Milliseconds an import."""
    return {name: round((after[name] - before[name]) / count * 1000, 1) for name in after}


def one_by_one(laboratory, count):
    """From the start of `enqueue` to `loaded`, each when the one before has ended; a worker is alive."""
    paths = [laboratory.generate(ROWS + n) for n in range(count)]
    laboratory.reset()
    with laboratory.workers(1, 2) as workers:
        times, before = [], laboratory.own_seconds(workers)
        for path in paths:
            begin = time.time()
            imported = laboratory.submit("enqueue", path)
            times.append(laboratory.ended(imported, "loaded") - begin)
        cpu = each(before, laboratory.own_seconds(workers), count)
    times.sort()
    result = {"median_ms": round(times[count // 2] * 1000), "worst_ms": round(times[-1] * 1000), "cpu_ms": cpu}
    say(f"{count} imports one after the other: {result}")
    return result


def at_once(laboratory, count, together):
    """Files a second, so many `enqueue --wait` at once, with two workers."""
    paths = [laboratory.generate(ROWS + n) for n in range(count)]
    laboratory.reset()
    with laboratory.workers(2, 2) as workers:
        before, begin = laboratory.own_seconds(workers), time.time()
        with ThreadPoolExecutor(together) as pool:
            ended = list(pool.map(lambda path: laboratory.start("enqueue", "-i", path, "--wait").wait(), paths))
        seconds = time.time() - begin
        cpu = each(before, laboratory.own_seconds(workers), count)
    if any(ended):
        raise SystemExit("bench: an import failed")
    result = {"files_per_s": round(count / seconds, 1), "cpu_ms": cpu}
    say(f"{count} files, {together} at once: {result}")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, metavar="N", help="imports one after the other")
    parser.add_argument("--files", type=int, default=1_000, metavar="N", help="imports at once, in all")
    parser.add_argument("--together", type=int, default=30, metavar="N", help="of these at the same time")
    parser.add_argument("--rounds", type=int, default=1, metavar="N")
    parser.add_argument("--programs", type=Path, nargs="+", default=[RELEASE], metavar="DIRECTORY", help="builds, measured in turn")
    parser.add_argument("--out", type=Path, default=ROOT / "target" / "bench", metavar="DIRECTORY")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    document = {}
    for _ in range(arguments.rounds):
        for programs in arguments.programs:
            with lab(programs=programs) as laboratory:
                document["machine"] = laboratory.server.describe()
                results = document.setdefault(str(programs), [])
                say(str(programs))
                results.append({"one_by_one": one_by_one(laboratory, arguments.count),
                                "at_once": at_once(laboratory, arguments.files, arguments.together)})
    (arguments.out / "small.json").write_text(json.dumps(document, indent=1))


main()
