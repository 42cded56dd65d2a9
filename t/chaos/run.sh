#!/bin/sh
#
# Chaos: random requests, faults, clients and reloads on a real nginx.
#
#   NGX=/path/to/nginx SMART_MODULES=/dir/with/so t/chaos/run.sh [options]
#
# SMART_MODULES may be empty where nginx has the module built in. The options
# and what is asserted: see chaos.pl. TAP on stdout; exit code 0 if all is well.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

all=

for so in "${SMART_MODULES:-/nonexistent}"/*.so; do
    if [ -f "$so" ]; then
        all="$all${all:+ }$so"
    fi
done

TEST_NGINX_BINARY=${NGX:-nginx}
TEST_NGINX_LOAD_MODULES=$all
TEST_NGINX_SERVROOT=${TEST_NGINX_SERVROOT:-$root/build/servroot}
export TEST_NGINX_BINARY TEST_NGINX_LOAD_MODULES TEST_NGINX_SERVROOT

exec perl -I "$root/t/lib" -I "$here" "$here/chaos.pl" "$@"
