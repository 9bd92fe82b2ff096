#!/usr/bin/env python3
"""Measures `--on-conflict update`, with what it keeps for an undo, beside `INSERT … ON CONFLICT` by hand in one session; its undo; and both with
`--delete-missing`, which deletes all rows that have no record.

On a Postgres of its own; see docs/BENCHMARKS.md. `just bench-upsert` builds and calls this.
"""

import argparse
import json
import random
import statistics
from pathlib import Path

from lab import ROOT, Timed, lab, say

COLUMNS = "product int PRIMARY KEY, shop text, day date, stock int, note text"
SET = ", ".join(f"{column} = excluded.{column}" for column in ("shop", "day", "stock", "note"))
CHECKSUM = "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM public.upserted AS t"


def write(path, rows, existing):
    """So many records in no order; of the rows that are there, `existing` of them have a record."""
    products = list(range(rows - existing, 2 * rows - existing))
    random.Random(1).shuffle(products)
    with open(path, "w") as file:
        file.write("product;shop;day;stock;note\n")
        file.writelines(f"{n};shop {n % 100};2026-{n % 12 + 1:02}-{n % 28 + 1:02};{n % 1000};note of {n}\n" for n in products)


def prepare(server, rows):
    server.psql(
        "DROP TABLE IF EXISTS public.upserted", "TRUNCATE pgimport.import CASCADE", "TRUNCATE apalis.jobs CASCADE",
        f"CREATE TABLE public.upserted ({COLUMNS})",
        f"INSERT INTO public.upserted SELECT n, 'shop', '2025-01-01', 1, 'as it was ' || n FROM generate_series(0, {rows} - 1) AS n",
        "VACUUM ANALYZE public.upserted", "CHECKPOINT")


def by_hand(laboratory, path, rows):
    prepare(laboratory.server, rows)
    timed = Timed()
    laboratory.server.psql(
        "CREATE TEMP TABLE s (product int, shop text, day date, stock int, note text)",
        f"\\copy s FROM '{path}' (FORMAT csv, DELIMITER ';', HEADER)",
        f"INSERT INTO public.upserted SELECT * FROM s ON CONFLICT (product) DO UPDATE SET {SET}")
    return timed.end()


def ours(laboratory, path, rows, existing, *more):
    server = laboratory.server
    prepare(server, rows)
    before = server.psql(CHECKSUM)
    with laboratory.workers(1, 2):
        timed = Timed()
        imported = laboratory.submit("enqueue", path, "--table", "public.upserted", "--on-conflict", "update", *more)
        loaded = timed.end(laboratory.ended(imported, "loaded"))
        updated = int(server.psql("SELECT sum(updated_count) FROM pgimport.import_conflict"))
        if updated != existing:
            raise SystemExit(f"bench: {updated} rows were updated, not {existing}")
        timed = Timed()
        laboratory.reap("cancel", laboratory.start("enqueue", "cancel", imported))
        undone = timed.end(laboratory.ended(imported, "cancelled"))
    if server.psql(CHECKSUM) != before:
        raise SystemExit("bench: the table is not what it was")
    return loaded, undone


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--existing", type=int, nargs="+", help="how many of the records find a row; half of them if it is not said")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    results = {}
    with lab() as laboratory:
        for existing in args.existing or [args.rows // 2]:
            path = Path(laboratory.directory, f"{existing}.csv")
            write(path, args.rows, existing)
            for number in range(args.rounds):
                if number % 2 == 0:
                    hand = by_hand(laboratory, path, args.rows)
                    loaded, undone = ours(laboratory, path, args.rows, existing)
                else:
                    loaded, undone = ours(laboratory, path, args.rows, existing)
                    hand = by_hand(laboratory, path, args.rows)
                synced, put_back = ours(laboratory, path, args.rows, existing, "--delete-missing", "--max-deletes", "100%")
                say(f"{existing} of {args.rows} there: by hand {hand}, ours {loaded}, undo {undone}; with deletions {synced}, undo {put_back}")
                results.setdefault(existing, []).append(
                    {"hand": hand, "ours": loaded, "undo": undone, "ratio": loaded["seconds"] / hand["seconds"],
                     "cpu_ratio": loaded["cpu_seconds"] / hand["cpu_seconds"], "undo_ratio": undone["seconds"] / loaded["seconds"],
                     "synced": synced, "put_back": put_back, "synced_ratio": synced["seconds"] / loaded["seconds"],
                     "put_back_ratio": put_back["seconds"] / synced["seconds"]})
        machine = laboratory.server.describe()
    for existing, rounds in results.items():
        middle = {name: statistics.median(one[name] for one in rounds) for name in ("ratio", "cpu_ratio", "undo_ratio", "synced_ratio", "put_back_ratio")}
        seconds = [statistics.median(one[which]["seconds"] for one in rounds) for which in ("hand", "ours", "undo")]
        ratios = [one["ratio"] for one in rounds]
        print(f"| {existing:,} of {args.rows:,} | {seconds[0]:.2f} | {seconds[1]:.2f} | {middle['ratio']:.2f} | {min(ratios):.2f} to {max(ratios):.2f} "
              f"| {middle['cpu_ratio']:.2f} | {seconds[2]:.2f} | {middle['undo_ratio']:.2f} | {middle['synced_ratio']:.2f} | {middle['put_back_ratio']:.2f} |")
    out = ROOT / "target" / "bench"
    out.mkdir(parents=True, exist_ok=True)
    (out / "upsert.json").write_text(json.dumps({"machine": machine, "rows": args.rows, "results": {str(k): v for k, v in results.items()}}, indent=2))


if __name__ == "__main__":
    main()
