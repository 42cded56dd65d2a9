#!/bin/sh
#
# Every bench, one after another; build.sh sets NGX and SMART_MODULES.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
failed=0

for bench in cost scrape exact; do
    printf '\n%s.sh\n\n' "$bench"
    "$here/$bench.sh" || failed=1
done

exit "$failed"
