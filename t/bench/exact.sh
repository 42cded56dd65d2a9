#!/bin/sh
#
# t/metrics_exact.t at length: are counters exact over a million requests, four
# workers and a reload every moment?
#
#     NGX=BINARY SMART_MODULES=DIRECTORY t/bench/exact.sh [REQUESTS]
#
# Without the two it takes the nginx and the modules that ./build.sh built last.

set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
requests=${1:-1000000}
ngx=${NGX:-$(command -v nginx || echo /usr/sbin/nginx)}

if [ -z "${SMART_MODULES+set}" ]; then
    # shellcheck disable=SC2012
    SMART_MODULES=$(ls -td "$root"/build/*/modules | head -n 1)
fi

# an empty directory name is for a binary that has them built in

all=
if [ -n "$SMART_MODULES" ]; then
    for so in "$SMART_MODULES"/*.so; do
        all="$all${all:+ }$so"
    done
fi

temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
trap 'exit 130' INT TERM

cd "$root"

TEST_NGINX_BINARY=$ngx TEST_NGINX_LOAD_MODULES=$all \
TEST_NGINX_SERVROOT=$temp/servroot SMART_EXACT_REQUESTS=$requests \
    prove -I t/lib -I build/perl -v t/metrics_exact.t
