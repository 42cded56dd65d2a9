#!/bin/sh
#
# How long does the journal's API take at a million records, while 2,000 a
# second are being written, and how much longer than at a thousand?
#
#     NGX=BINARY SMART_MODULES=DIRECTORY t/bench/journal_api.sh [RECORDS [RUNS]]
#
# Prints the medians over five RUNS, which take both stores in turn, of the 50th
# and 99th percentile.  Fails above 20 ms, and above 3 times the small store,
# which is made anew for each run: it grows by what is written.

set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
ngx=${NGX:-$(command -v nginx || echo /usr/sbin/nginx)}

if [ -z "${SMART_MODULES+set}" ]; then
    # shellcheck disable=SC2012
    SMART_MODULES=$(ls -td "$root"/build/*/modules | head -n 1)
fi

all=
if [ -n "$SMART_MODULES" ]; then
    for so in "$SMART_MODULES"/*.so; do
        all="$all${all:+ }$so"
    done
fi

temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
trap 'exit 130' INT TERM

${CC:-cc} -std=c99 -O2 -o "$temp/load" "$root/t/bench/load.c" -lm

TEST_NGINX_BINARY=$ngx TEST_NGINX_LOAD_MODULES=$all \
TEST_NGINX_SERVROOT=$temp/servroot PERL5LIB=$root/t/lib \
    perl "$root/t/bench/journal_api.pl" "$temp/load" "$@"
