#!/usr/bin/env python3
"""Lays seeds into fuzz/corpus: the sample and the files in docs/FORMATS.md, behind some settings of each target's knobs."""

import hashlib
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
SAMPLE_LINES = 20


def write(target, *seeds):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (folder / hashlib.sha1(seed).hexdigest()).write_bytes(seed)


def blocks(language):
    text = (HERE.parent / "docs" / "FORMATS.md").read_text()
    return [block.encode() for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]


def knobs(count, *first):
    return bytes(first) + bytes(count - len(first))


def main():
    sample = (HERE.parent / "samples" / "sale_orders.csv").read_bytes()
    files = blocks("csv") + [b"".join(sample.splitlines(keepends=True)[:SAMPLE_LINES])]
    files += [file.replace(b"\n", b"\r\n") for file in files[:3]]
    delimiters = b";,\t|: \0\xef'"
    for file in files:
        likely = max(range(len(delimiters)), key=lambda at: file.count(delimiters[at]))
        for flags in (1, 0, 2 + 8, 4 + 8 + 16 + 32, 32):
            for stray in range(3):
                write("csv", knobs(11, likely, flags, 0, stray % 2, stray, 3, flags % 8, 2, 1, 0x53) + file)
        write("sniffer", knobs(3) + file, knobs(3, 1) + file, knobs(3, 3, 1, 1) + file)
        for compression in range(5):
            for what in range(6):
                write("decoder", knobs(6, what, 0, compression & 1, 0x71, compression, 40 * what) + file)
    for encoding in range(40):
        for flags in range(2):
            write("decoder", knobs(6, 0, encoding, flags, 0x12) + "Köln;5 €\n".encode("utf-16-le" if encoding & 1 else "utf-8"))

    for file in blocks("json") + [b'{"id":1,"name":"\\u00e4\\ud83d\\ude00\\n","a":[{"":1.50}]}\r\n \n{"a":1e400}\n[1]\n']:
        for flags in range(16):
            write("jsonl", knobs(5, flags, flags % 4, flags % 5, flags % 4, 0x53) + file)

    types = (b"id;n;b;u;d;t;z\n"
             b"1;1.50;true;0189aaaa-bbbb-7ccc-8ddd-eeeeffff0000;2026-01-31;2026-01-31 12:00;2026-01-31 12:00+02\n"
             b"-2;0.5;FALSE;0189aaaa-bbbb-7ccc-8ddd-eeeeffff0001;2024-02-29;2026-01-31T12:00:00.5;2026-01-31 12:00:00Z\n")
    write("sniffer", knobs(3, 1) + types, knobs(3, 1) + types.split(b"\n", 1)[1])
    values = ["", "abc ä ", "-32768", "2147483648", "9223372036854775807", "true", "off", "1.5e-3", "NaN", "-Infinity",
              "1234567.8950", "99999.5", "1e400", ".5", "2026-01-31", "20260131", "2026/1/31", "2026-01-31 12:00:59.999999",
              "2026-01-31T12:00:00", "2026-01-31 24:00:00", "2026-01-31 12:00:00+02:00", "2026-01-31 12:00:00.1234567",
              "2026-01-31T23:59:60Z", "0189aaaa-bbbb-7ccc-8ddd-eeeeffff0000", "{0189aaaabbbb7ccc8dddeeeeffff0000}", "10.0.0.1"]
    values += [line for block in blocks("csv") for line in block.decode().replace(";", "\n").replace(",", "\n").splitlines()]
    for value in values:
        for what in range(16):
            write("values", knobs(6, what, 2, 102, 0) + value.encode())
        for pattern in range(10):
            write("values", knobs(6, 16, 0, 0, 0, pattern, 2) + value.encode())
    patterns = ["DD.MM.YYYY", "MM/DD/YYYY HH12:MI AM", "DD Mon YYYY", "YYYY-MM-DD HH24:MI:SS.MS OF"]
    for pattern, value in zip(patterns, ["1.2.2026", "1/31/2026 1:05 PM", "10 Dec 1815", "2026-01-31 05:06:07.5 +02:00"]):
        write("values", knobs(6, 16, 0, 0, 0, 1) + pattern.encode() + b"\0" + value.encode())


main()
