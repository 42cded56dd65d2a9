"""Reads an export of the journal: export_check.py FORMAT FILE.  Prints how many
records it has, or what is wrong."""

import csv
import datetime
import json
import sys


def ndjson(path):
    with open(path, encoding="utf-8", newline="") as file:
        for line in file:
            assert line.endswith("\n"), "the last line has no end"
            record = json.loads(line)
            yield record["id"], record["timestamp"]


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.reader(file, strict=True)
        names = next(rows)
        assert names[:5] == ["id", "timestamp", "duration", "target_url",
                             "response_code"], names
        for row in rows:
            assert len(row) == len(names), row
            float(row[2])
            yield row[0], row[1]


def member(value, name, kind):
    assert isinstance(value[name], kind), name
    return value[name]


def har(path):
    """What HAR 1.2 requires of a log without pages."""

    with open(path, encoding="utf-8") as file:
        log = member(json.load(file), "log", dict)

    assert log["version"] == "1.2"
    for name in ("name", "version"):
        member(member(log, "creator", dict), name, str)

    for entry in member(log, "entries", list):
        datetime.datetime.strptime(member(entry, "startedDateTime", str),
                                   "%Y-%m-%dT%H:%M:%S.%fZ")
        timings = member(entry, "timings", dict)
        total = sum(member(timings, name, (int, float))
                    for name in ("send", "wait", "receive"))
        assert abs(total - member(entry, "time", (int, float))) < 1e-6
        member(entry, "cache", dict)

        request = member(entry, "request", dict)
        response = member(entry, "response", dict)

        for name in ("method", "url"):
            assert member(request, name, str), name
        for item in member(request, "queryString", list):
            member(item, "name", str)
            member(item, "value", str)
        for message in (request, response):
            member(message, "httpVersion", str)
            member(message, "cookies", list)
            member(message, "headers", list)
            member(message, "headersSize", int)
            member(message, "bodySize", int)

        member(response, "status", int)
        member(response, "statusText", str)
        member(response, "redirectURL", str)
        member(member(response, "content", dict), "size", int)
        member(response["content"], "mimeType", str)

        yield entry["_id"], entry["startedDateTime"]


def main():
    seen = set()
    last = None

    for ident, when in {"ndjson": ndjson, "csv": table,
                        "har": har}[sys.argv[1]](sys.argv[2]):
        assert ident not in seen, "twice: " + ident
        assert last is None or (when, ident) < last, "out of order: " + ident
        seen.add(ident)
        last = when, ident

    print(len(seen))


main()
