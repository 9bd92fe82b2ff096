#!/usr/bin/env python3
"""Measures what records that the server refuses cost: one in so many, by each kind of rule, beside the same file without them.

On a Postgres of its own; see docs/BENCHMARKS.md. `just bench-salvage` builds and calls this.
"""

import argparse
import json
import statistics
from pathlib import Path

from lab import ROOT, Timed, lab, say

# The table's rule, and what the column `k` of a record is that keeps it, and of one that breaks it.
RULES = {
    "check": ("k int CHECK (k >= 0)", lambda n: n, lambda n: -1),
    "foreign key": ("k int REFERENCES public.parent", lambda n: n % 1000, lambda n: 1000),
    "unique": ("k int UNIQUE", lambda n: n, lambda n: n - 1),
    "cast": ("k inet", lambda n: f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", lambda n: "nowhere"),
}


def write(path, rows, kept, broken, every):
    with open(path, "w") as file:
        file.write("shop;product;day;stock;k\n")
        for n in range(rows):
            k = broken(n) if every and n % every == every // 2 else kept(n)
            file.write(f"POS-{n % 500:04};Product {n * 7919 % 90000:06};2024-05-{n % 28 + 1:02};{n % 1000};{k}\n")


def load(laboratory, column, path, options, rejected):
    laboratory.server.psql(
        "DROP TABLE IF EXISTS public.salvaged", "TRUNCATE pgimport.import CASCADE", "TRUNCATE apalis.jobs CASCADE",
        f"CREATE TABLE public.salvaged (id bigserial PRIMARY KEY, shop text, product text, day date, stock int, {column})", "CHECKPOINT")
    with laboratory.workers(1, 2):
        timed = Timed()
        imported = laboratory.submit("enqueue", path, "--table", "public.salvaged", *options)
        result = timed.end(laboratory.ended(imported, "loaded"))
    found = int(laboratory.server.psql(f"SELECT count(*) FROM pgimport.import_reject WHERE import_id = {imported}"))
    if found != rejected:
        raise SystemExit(f"bench: {found} records were rejected, not {rejected}")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--every", type=int, nargs="+", default=[10_000], help="one bad record in so many")
    parser.add_argument("--rules", nargs="+", default=list(RULES), choices=RULES)
    parser.add_argument("--methods", nargs="+", default=["insert", "copy"])
    parser.add_argument("--chunk-rows", type=int, default=50_000, help="a batch has a fiftieth, and at least 1,000")
    args = parser.parse_args()
    results = {}
    with lab() as laboratory:
        laboratory.server.psql("CREATE TABLE public.parent (k int PRIMARY KEY)", "INSERT INTO public.parent SELECT generate_series(0, 999)")
        for rule in args.rules:
            column, kept, broken = RULES[rule]
            paths = {every: Path(laboratory.directory, f"{every}.csv") for every in (0, *args.every)}
            for every, path in paths.items():
                write(path, args.rows, kept, broken, every)
            for method in args.methods:
                # Types that the server casts cannot be sent by COPY.
                if (rule, method) == ("cast", "copy"):
                    continue
                options = ("--load-method", method, "--chunk-rows", args.chunk_rows)
                for number in range(args.rounds):
                    # Each first in its turn, for a machine that grows slower as for one that grows quicker.
                    order = (0, *args.every) if number % 2 == 0 else (*args.every, 0)
                    found = {}
                    for every in order:
                        found[every] = load(laboratory, column, paths[every], options, args.rows // every if every else 0)
                        say(f"{rule}, {method}, one in {every or 'none'}: {found[every]}")
                    for every in args.every:
                        clean, bad = found[0], found[every]
                        results.setdefault(f"{rule}, {method}, one in {every}", []).append(
                            {"clean": clean, "bad": bad, "ratio": bad["seconds"] / clean["seconds"],
                             "cpu_ratio": bad["cpu_seconds"] / clean["cpu_seconds"]})
        machine = laboratory.server.describe()
    for name, rounds in results.items():
        ratios = [one["ratio"] for one in rounds]
        cpu = statistics.median(one["cpu_ratio"] for one in rounds)
        seconds = [statistics.median(one[which]["seconds"] for one in rounds) for which in ("clean", "bad")]
        print(f"| {name} | {seconds[0]:.2f} | {seconds[1]:.2f} | {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} | {cpu:.2f} |")
    out = ROOT / "target" / "bench"
    out.mkdir(parents=True, exist_ok=True)
    (out / "salvage.json").write_text(json.dumps({"machine": machine, "rows": args.rows, "results": results}, indent=2))


if __name__ == "__main__":
    main()
