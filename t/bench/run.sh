#!/bin/sh
#
# Runs benches: those named, or all of them one after another.
#
#     NGX=BINARY SMART_MODULES=DIRECTORY t/bench/run.sh [NAME ..]
#
# Without the two they take the nginx and the modules that ./build.sh built last.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
failed=0

if [ $# -eq 0 ]; then
    set -- cost memory scrape exact document \
        stragglers scale harm budget shift sick controls dryrun
fi

if [ -z "${SMART_MODULES+set}" ]; then
    # shellcheck disable=SC2012
    SMART_MODULES=$(ls -td "$root"/build/*/modules | head -n 1)
    export SMART_MODULES
fi

NGX=${NGX:-$(command -v nginx || echo /usr/sbin/nginx)}
export NGX

# for those in Perl; an empty directory: the binary has the modules built in

all=
if [ -n "$SMART_MODULES" ]; then
    for so in "$SMART_MODULES"/*.so; do
        all="$all${all:+ }$so"
    done
fi

temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
trap 'exit 130' INT TERM

for bench in "$@"; do
    if [ -x "$here/$bench.sh" ]; then
        printf '\n%s.sh\n\n' "$bench"
        "$here/$bench.sh" || failed=1

    elif [ -f "$here/$bench.pl" ]; then
        printf '\n%s.pl\n\n' "$bench"
        TEST_NGINX_BINARY=$NGX TEST_NGINX_LOAD_MODULES=$all \
        TEST_NGINX_SERVROOT=$temp/servroot \
            perl "$here/$bench.pl" || failed=1

    elif [ -f "$here/policy/$bench.pl" ]; then
        printf '\n%s.pl\n\n' "$bench"
        TEST_NGINX_BINARY=$NGX TEST_NGINX_LOAD_MODULES=$all \
        TEST_NGINX_SERVROOT=$temp/servroot \
            perl "$here/policy/$bench.pl" || failed=1

    else
        echo "run.sh: there is no bench \"$bench\"" >&2
        exit 2
    fi
done

exit "$failed"
