"""Fills a journal of SQLite with records, as its writer would: journal_fill.py
FILE N [URL_LENGTH].  One record each 500 us, up to now; durations up to some
minutes, few of them long; all have ended."""

import os
import sqlite3
import sys
import time


def records(n, length):
    step = 500
    begin = int(time.time() * 1e6) - n * step

    for i in range(n):
        us = begin + i * step
        site = "http://host%d.example" % (i * i % 97)
        url = "%s/path/%d?q=%d" % (site, i % 5003, i)
        url += "&pad=" + "x" * (length - len(url) - 5) if length else ""
        ident = ((us // 1000 << 16) | 0x7000 | (us % 1000)).to_bytes(8, "big")
        ident += (1 << 63 | i * 0x9e3779b97f4a7c15 % (1 << 62)).to_bytes(8,
                                                                        "big")
        duration = 10 ** (i * 7919 % 900 / 100) if i % 50 == 0 else i % 90000
        state = 2 if i % 1000 == 7 else 1
        code = 499 if state == 2 else (200, 200, 200, 404, 500)[i % 5]

        yield (ident, us, int(duration), url, code, state,
               "GET" if i % 9 else "POST", site[7:], site, "n1", 1 + i % 2, 0,
               "10.0.0.1:80", "%032x" % i)


def main():
    path, n = sys.argv[1], int(sys.argv[2])
    length = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    db = sqlite3.connect(path, timeout=60, isolation_level=None)

    for _ in range(100):
        if db.execute("SELECT count(*) FROM sqlite_master WHERE name ="
                      " 'requests'").fetchone()[0]:
            break
        time.sleep(0.1)

    db.execute("PRAGMA synchronous = OFF")
    batch = []

    def flush():
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO requests (id, timestamp, duration, url,"
                       " code, state, method, host, website, node, attempts,"
                       " winner, upstream, trace_id)"
                       " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", batch)
        for table, column, at in (("urls", "url", 3),
                                  ("websites", "website", 8)):
            counts = {}
            for row in batch:
                counts[row[at]] = counts.get(row[at], 0) + 1
            db.executemany("INSERT INTO %s VALUES (?, ?) ON CONFLICT (%s)"
                           " DO UPDATE SET count = count + excluded.count"
                           % (table, column), counts.items())
        db.execute("COMMIT")
        batch.clear()

    for record in records(n, length):
        batch.append(record)
        if len(batch) == 20000:
            flush()

    flush()
    db.close()
    print(os.path.getsize(path))


main()
