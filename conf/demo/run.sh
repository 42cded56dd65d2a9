#!/bin/sh

# Runs the demo in the foreground until Ctrl-C: three upstreams on 8081 to 8083
# and nginx on 8080, all of 127.0.0.1. build.sh sets
#
#   NGX            the nginx binary
#   SMART_MODULES  the directory with the .so files

set -eu

: "${NGX:?names the nginx binary, see ./build.sh run}"
: "${SMART_MODULES:?names the directory of the modules, see ./build.sh run}"

here=$(cd "$(dirname "$0")" && pwd)
SMART_MODULES=$(cd "$SMART_MODULES" && pwd)

if ! command -v "$NGX" >/dev/null; then
    echo "run.sh: there is no nginx at $NGX" >&2
    exit 1
fi

pids=
prefix=


# who listens on a port, where that can be seen

holder() {
    if command -v ss >/dev/null; then
        ss -ltnpH "sport = :$1" 2>/dev/null \
            | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1, pid \2/p' \
            | sed 1q
    elif command -v lsof >/dev/null; then
        lsof -nP -iTCP:"$1" -sTCP:LISTEN -Fpc 2>/dev/null \
            | sed -n 's/^p//p; s/^c//p' | sed 2q | paste -sd ' ' -
    fi
}


check_port() {
    if perl -MIO::Socket::INET -e 'exit !IO::Socket::INET->new(
            LocalAddr => "127.0.0.1", LocalPort => shift, Proto => "tcp",
            Listen => 1, ReuseAddr => 1)' "$1"
    then
        return
    fi

    who=$(holder "$1")
    echo "run.sh: 127.0.0.1:$1 is taken${who:+ by $who}" >&2
    exit 1
}


# called once: the traps are gone before anything else happens

stop() {
    code=$?
    trap - EXIT
    trap '' INT TERM HUP

    for pid in $pids; do
        kill -TERM "$pid" 2>/dev/null || :
    done

    for pid in $pids; do
        wait "$pid" 2>/dev/null || :
    done

    if [ -n "$prefix" ]; then
        rm -rf "$prefix"
    fi

    exit "$code"
}


started() {
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        if perl -MIO::Socket::INET -e 'exit !IO::Socket::INET->new(
                PeerAddr => "127.0.0.1", PeerPort => shift)' "$1"
        then
            return
        fi

        sleep 0.1
    done

    echo "run.sh: nothing answers on 127.0.0.1:$1" >&2
    cat "$prefix/logs/error.log" >&2
    exit 1
}


for port in 8080 8081 8082 8083; do
    check_port "$port"
done

trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# not in the source tree: there the worker's user may have no way to it
prefix=$(mktemp -d "${TMPDIR:-/tmp}/smart-demo.XXXXXX")
chmod 755 "$prefix"
mkdir "$prefix/logs" "$prefix/temp" "$prefix/html" "$prefix/data"
chmod 777 "$prefix/data"
cp "$here/index.html" "$prefix/html/"
chmod 644 "$prefix/html/index.html"
cp -R "$here/nginx.conf" "$here/site" "$prefix/"

modules=

for module in "$SMART_MODULES"/*.so; do
    if [ -f "$module" ]; then
        modules="${modules}load_module '$module'; "
    fi
done

# without npm the modules are built without it
page=

if grep -q -a '<title>nginx smart</title>' "$SMART_MODULES"/*.so; then
    page=yes
else
    rm "$prefix/site/page.conf"
fi

# shellcheck disable=SC3045
ulimit -n 8192 2>/dev/null || :

for port in 8081 8082 8083; do
    perl "$here/upstream.pl" --listen "127.0.0.1:$port" --with-parent &
    pids="$pids $!"
done

for port in 8081 8082 8083; do
    started "$port"
done

"$NGX" -p "$prefix/" -c "$prefix/nginx.conf" -e "$prefix/logs/error.log" \
    -g "${modules}daemon off;" &
nginx=$!
pids="$nginx $pids"

started 8080

cat <<END

The demo is running. Open

    http://127.0.0.1:8080/

${page:+and, for what the counters tell of it, live,

    http://127.0.0.1:8080/smart/

}or compare, without hedging and with it:

    curl -i 'http://127.0.0.1:8080/plain/api/work'
    curl -i 'http://127.0.0.1:8080/api/smart?timeout=900'

    for url in plain/api/work 'api/smart?timeout=900'; do
        echo "\$url"
        for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            curl -s -o /dev/null -w '%{time_total} %{http_code}\n' \\
                "http://127.0.0.1:8080/\$url"
        done | sort -n
    done

Each request with its attempts is a line of

    tail -f $prefix/logs/access.log

Ctrl-C stops everything.
END

wait "$nginx"
