#!/bin/sh

# Writes the files of the live page as C:
#
#   embed.sh PAGES [UPLOT]
#
# PAGES is this directory, UPLOT the one with uPlot's files; without it the
# list of files is empty, and so there is no page.

set -eu

pages=$1
uplot=${2:-}

if [ -z "$uplot" ]; then
    set --
else
    # what it is called below the location, its type, its file
    set -- \
        ""            text/html        "$pages/page.html" \
        page.css      text/css         "$pages/page.css" \
        page.js       text/javascript  "$pages/page.js" \
        data.js       text/javascript  "$pages/data.js" \
        chart.js      text/javascript  "$pages/chart.js" \
        journal.js    text/javascript  "$pages/journal.js" \
        icon.svg      image/svg+xml    "$pages/icon.svg" \
        uplot.js      text/javascript  "$uplot/uPlot.iife.min.js" \
        uplot.css     text/css         "$uplot/uPlot.min.css" \
        uplot.txt     text/plain       "$uplot/LICENSE"
fi

cat << END

/* made by pages/embed.sh */


#include "ngx_http_smart_dashboard.h"


END

list=
n=0

while [ $# -gt 0 ]; do
    size=$(wc -c < "$3")
    size=$((size))

    echo "static const u_char  ngx_http_smart_page_${n}[] = {"
    od -A n -v -t u1 "$3" | sed 's/[0-9][0-9]*/&,/g'
    echo "};"
    echo

    list="$list    { \"$1\", \"$2\", ngx_http_smart_page_$n, $size },
"
    n=$((n + 1))
    shift 3
done

cat << END

const ngx_http_smart_page_t  ngx_http_smart_pages[] = {
$list    { NULL, NULL, NULL, 0 }
};
END
