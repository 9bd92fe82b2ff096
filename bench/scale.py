#!/usr/bin/env python3
"""Measures what limits pg_import as it grows: loader connections, the number of chunks, history, workers that wait, and imports beside others.

On a Postgres of its own; see docs/SCALING.md. `just bench-scale` builds and calls this.
"""

import argparse
import json
import time
from pathlib import Path

from lab import ROOT, Timed, cpu_seconds, lab, say


def load(laboratory, path, workers, concurrency, *options):
    laboratory.reset()
    with laboratory.workers(workers, concurrency):
        timed = Timed()
        imported = laboratory.submit("enqueue", path, *options)
        return timed.end(laboratory.ended(imported, "loaded"))


def connections(laboratory, rows, counts, rounds):
    """Loader connections of one worker, both methods, interleaved."""
    path = laboratory.generate(rows)
    results = {}
    for _ in range(rounds):
        for count in counts:
            for method in ("insert", "copy"):
                result = load(laboratory, path, 1, count, "--load-method", method)
                say(f"{count} connections, {method}: {result}")
                results.setdefault(f"{count} {method}", []).append(result)
    return results


def chunks(laboratory, counts, concurrency=4):
    """Chunks of ten records, so that nearly all of the cost is the queue's and the ledger's."""
    results = {}
    for count in counts:
        path = laboratory.generate(count * 10)
        result = load(laboratory, path, 1, concurrency, "--chunk-rows", 10)
        result |= {"ms_per_chunk": result["seconds"] / count * 1e3, "cpu_ms_per_chunk": result["cpu_seconds"] / count * 1e3,
                   "left_behind": laboratory.left_behind()}
        say(f"{count} chunks: {result}")
        results[count] = result
    return results


def make_history(laboratory, chunk_count):
    """Loaded imports of 10,000 chunks each, with their registry, as loads of long ago would have left them."""
    imports = max(1, chunk_count // 10_000)
    load(laboratory, laboratory.generate(10), 1, 1)
    laboratory.server.psql(
        f"""INSERT INTO pgimport.import (state, source, resumable, target, target_oid, id_column, columns, options, submitter, lease_until,
                split_at, ended_at)
            SELECT 'loaded', 'history', false, target, target_oid, id_column, columns, options, submitter, now(), now(), now()
            FROM pgimport.import, generate_series(1, {imports})""",
        """INSERT INTO pgimport.import_chunk (import_id, ordinal, state, start_byte, end_byte, first_line, record_count, payload_bytes,
               loaded_count, rejected_count, finished_at)
           SELECT i.id, n, 'loaded', n * 10, n * 10 + 10, n + 1, 1, 10, 1, 0, now()
           FROM pgimport.import AS i, generate_series(0, 9999) AS n WHERE i.source = 'history'""",
        # Below what the sequence will give, as ids of long ago are.
        """INSERT INTO pgimport.import_registry (import_id, ordinal, start_id, end_id, step, target_oid, row_xids)
           SELECT import_id, ordinal, -1000000000000 + import_id * 10000 + ordinal, -1000000000000 + import_id * 10000 + ordinal, 1,
               'public.sale_order'::regclass, '{3}' FROM pgimport.import_chunk WHERE import_id IN
               (SELECT id FROM pgimport.import WHERE source = 'history')""",
        "VACUUM ANALYZE pgimport.import_chunk, pgimport.import_registry")


def history(laboratory, chunk_count, count=1000):
    path = laboratory.generate(count * 10)
    results = {}
    for label in ("without", "with"):
        laboratory.reset()
        if label == "with":
            make_history(laboratory, chunk_count)
        with laboratory.workers(1, 4):
            before, begin = cpu_seconds(), time.time()
            time.sleep(10)
            idle = (cpu_seconds() - before) / (time.time() - begin)
            timed = Timed()
            imported = laboratory.submit("enqueue", path, "--chunk-rows", 10)
            result = timed.end(laboratory.ended(imported, "loaded"))
            begin = time.time()
            laboratory.reap("enqueue status", laboratory.start("enqueue", "status"))
            result |= {"idle_cores": idle, "status_seconds": time.time() - begin}
        say(f"{label} a history of {chunk_count} chunks: {result}")
        results[label] = result
    return results


def idle_workers(laboratory, counts, seconds=20):
    """Processors used while nothing is to be done, by the server, and by the workers together."""
    results = {}
    laboratory.reset()
    path = laboratory.generate(10_000)
    for count in counts:
        with laboratory.workers(count, 1) as running:
            time.sleep(10)
            before = laboratory.own_seconds(running)
            time.sleep(seconds)
            after = laboratory.own_seconds(running)
            results[count] = {"server_cores": (after["server"] - before["server"]) / seconds,
                              "worker_cores": (after["workers"] - before["workers"]) / seconds,
                              "sessions": int(laboratory.server.psql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"))}
            timed = Timed()
            imported = laboratory.submit("enqueue", path, "--chunk-rows", 10)
            results[count]["thousand_chunks"] = timed.end(laboratory.ended(imported, "loaded"))
        say(f"{count} workers: {results[count]}")
        laboratory.reset()
    return results


def waits(laboratory, rows, counts):
    """What the sessions that load wait for, looked at every 20 ms: parts of their time, of all together."""
    path = laboratory.generate(rows)
    look = """SELECT coalesce(wait_event_type || ': ' || wait_event, 'at work') FROM pg_stat_activity
              WHERE state = 'active' AND (query LIKE 'INSERT INTO public.%' OR query LIKE 'COPY public.%' OR query LIKE '%nextval%' OR query = 'COMMIT')
                AND pid <> pg_backend_pid() AND application_name LIKE 'pg_import-worker%'"""
    results = {}
    for count in counts:
        for method in ("insert", "copy"):
            laboratory.reset()
            laboratory.server.psql("DROP TABLE IF EXISTS waits", "CREATE UNLOGGED TABLE waits (what text)")
            with laboratory.workers(1, count):
                watcher = laboratory.server.start_psql(
                    # It has to hear that its client is gone.
                    "SET client_connection_check_interval = '100ms'", f"DO $$BEGIN LOOP INSERT INTO waits {look}; COMMIT; PERFORM pg_sleep(0.02); END LOOP; END$$")
                timed = Timed()
                imported = laboratory.submit("enqueue", path, "--load-method", method)
                result = timed.end(laboratory.ended(imported, "loaded"))
                watcher.terminate()
                watcher.wait()
            seen = laboratory.server.psql("SELECT what || '|' || round(count(*) * 100.0 / sum(count(*)) OVER (), 1) FROM waits GROUP BY what "
                                          "ORDER BY count(*) DESC LIMIT 8")
            result["percent"] = {what: float(part) for what, part in (line.split("|") for line in seen.splitlines())}
            say(f"{count} connections, {method}: {result}")
            results[f"{count} {method}"] = result
    return results


def beside(laboratory, rows, count=20):
    """Small imports beside a large one: from the start of `enqueue` to `loaded`, and to the start of the first chunk."""
    large = laboratory.generate(rows)
    small = [laboratory.generate(100 + n) for n in range(count)]
    laboratory.reset()
    with laboratory.workers(1, 2):
        reading = laboratory.start("enqueue", "-i", large)
        laboratory.server.wait_until("(SELECT count(*) FROM pgimport.import_chunk WHERE state = 'loaded') >= 5")
        waits, starts = [], []
        for path in small:
            begin = time.time()
            other = laboratory.submit("enqueue", path)
            waits.append(laboratory.ended(other, "loaded") - begin)
            started = f"SELECT extract(epoch FROM min(started_at)) FROM pgimport.import_chunk WHERE import_id = {other}"
            starts.append(float(laboratory.server.psql(started)) - begin)
        imported = laboratory.server.psql("SELECT min(id) FROM pgimport.import")
        running = laboratory.server.psql(f"SELECT state FROM pgimport.import WHERE id = {imported}")
        laboratory.reap("enqueue", reading)
        laboratory.ended(imported, "loaded")
    result = {"large": running, "loaded_seconds": {"median": sorted(waits)[count // 2], "worst": max(waits)},
              "start_seconds": {"median": sorted(starts)[count // 2], "worst": max(starts)}}
    say(f"{count} imports of 100 rows beside {rows}: {result}")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["connections", "chunks", "history", "idle", "beside"],
                        help="connections, chunks, history, idle, beside, waits; without, all but the last")
    parser.add_argument("--rows", type=int, default=2_000_000, metavar="N", help="for connections and waits")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="for connections")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 2, 4, 8], metavar="N")
    parser.add_argument("--chunks", type=int, nargs="+", default=[1_000, 10_000, 100_000], metavar="N")
    parser.add_argument("--history", type=int, default=1_000_000, metavar="CHUNKS")
    parser.add_argument("--idle", type=int, nargs="+", default=[1, 20, 200], metavar="WORKERS")
    parser.add_argument("--beside", type=int, default=17_000_000, metavar="ROWS", help="of the large import")
    parser.add_argument("--out", type=Path, default=ROOT / "target" / "bench", metavar="DIRECTORY")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    parts = {
        "connections": lambda at: connections(at, arguments.rows, arguments.connections, arguments.rounds),
        "chunks": lambda at: chunks(at, arguments.chunks),
        "history": lambda at: history(at, arguments.history),
        "idle": lambda at: idle_workers(at, arguments.idle),
        "beside": lambda at: beside(at, arguments.beside),
        "waits": lambda at: waits(at, arguments.rows, arguments.connections),
    }
    document = {}
    for what in arguments.what:
        settings = ("max_connections=2000",) if what == "idle" else ()
        with lab(settings) as laboratory:
            document["machine"] = laboratory.server.describe()
            document[what] = parts[what](laboratory)
    (arguments.out / f"scale-{'-'.join(arguments.what)}.json").write_text(json.dumps(document, indent=1))
    print(json.dumps(document, indent=1))


main()
