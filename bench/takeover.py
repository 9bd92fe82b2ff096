#!/usr/bin/env python3
"""Measures how long the chunk of a worker that was killed, or frozen for good, waits until another worker begins it.

Two workers of one slot load an import; one of them gets the signal while it is at a chunk. Each round checks that every row is there
once. On a Postgres of its own; `just bench-takeover` builds and calls this.
"""

import argparse
import json
import os
import signal
import statistics
import time

from lab import ROOT, lab, say

ROWS, CHUNK_ROWS = 1_000_000, 100_000


def takeover(laboratory, path, how):
    laboratory.reset()
    with laboratory.workers(2, 1) as running:
        imported = laboratory.submit("enqueue", path, "--chunk-rows", CHUNK_ROWS)
        victim = running[0]
        # Within its load: long enough after the start that the rows are on their way, long before the end.
        held = laboratory.server.psql(
            f"""DO $$BEGIN WHILE NOT EXISTS (SELECT FROM pgimport.import_chunk WHERE state = 'pending' AND worker LIKE '%:{victim.pid}:%'
                    AND started_at < clock_timestamp() - interval '50 ms') LOOP PERFORM pg_sleep(0.01); END LOOP; END$$""",
            f"SELECT string_agg(ordinal::text, ',') FROM pgimport.import_chunk WHERE state = 'pending' AND worker LIKE '%:{victim.pid}:%'")
        at = time.time()
        os.kill(victim.pid, how)
        if not held:
            say("  the chunk was done already; again")
        ended = laboratory.ended(imported, "loaded")
        # Those that the victim still finished before the signal reached it were not taken over.
        begun = laboratory.server.psql(
            f"""SELECT max(extract(epoch FROM started_at)) FROM pgimport.import_chunk
                WHERE ordinal IN ({held or -1}) AND worker NOT LIKE '%:{victim.pid}:%'""")
        exact = laboratory.server.psql("SELECT count(*), count(DISTINCT id) FROM sale_order") == f"{ROWS}|{ROWS}"
        if not exact:
            raise SystemExit("bench: rows are missing or doubled")
        if how == signal.SIGSTOP:
            os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        running.remove(victim)
    return (float(begun) - at, ended - at) if begun else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, metavar="N")
    arguments = parser.parse_args()
    results = {}
    with lab() as laboratory:
        path = laboratory.generate(ROWS)
        for name, how in (("killed", signal.SIGKILL), ("frozen for good", signal.SIGSTOP)):
            times = []
            while len(times) < arguments.rounds:
                if (found := takeover(laboratory, path, how)) is not None:
                    times.append(found[0])
                    say(f"{name}: begun by another after {found[0]:.1f} s, import loaded after {found[1]:.1f} s")
            results[name] = times
            print(f"{name}: median {statistics.median(times):.1f} s, worst {max(times):.1f} s of {len(times)}")
    out = ROOT / "target" / "bench"
    out.mkdir(parents=True, exist_ok=True)
    (out / "takeover.json").write_text(json.dumps(results, indent=1))


main()
