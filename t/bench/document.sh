#!/bin/sh
#
# How long does smart_success_json look into a body? Prints microseconds by the
# size and shape of the body; the largest size is that of smart_success_buffer.

set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT

${CC:-cc} -std=c99 -O2 -Wall -Wextra -o "$temp/document" \
    -I "$root/ngx_smart_module/core" "$root/t/bench/document.c" \
    "$root/ngx_smart_module/http/ngx_http_smart_json.c" \
    "$root"/ngx_smart_module/core/ngx_smart_pointer.c \
    "$root"/ngx_smart_module/core/ngx_smart_utf8.c \
    -ljansson -lz -lm

"$temp/document"
