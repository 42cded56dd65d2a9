#!/bin/sh
#
# What does the module cost a request, in instructions by callgrind, system
# libraries included?
#
#     NGX=BINARY SMART_MODULES=DIRECTORY t/bench/cost.sh [REQUESTS]
#
# Without the two it takes the nginx and the modules that ./build.sh built last.
# A request is a small one: proxied over keepalive connections on both sides,
# an answer of six bytes. Each figure is the difference of two runs, so that
# starting up does not count. The cases:
#
#     plain   nginx without the module
#     off     the module is loaded, nothing is hedged anywhere
#     on      smart_hedge, with metrics, and no request is slow
#     three   each request makes three attempts at once
#
# Fails where off is above 1.01 of plain, on above 1.06, or three above 3.0.

set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
requests=${1:-2000}
ngx=${NGX:-$(command -v nginx || echo /usr/sbin/nginx)}

if [ -z "${SMART_MODULES:-}" ]; then
    # shellcheck disable=SC2012
    SMART_MODULES=$(ls -td "$root"/build/*/modules | head -n 1)
fi

command -v valgrind > /dev/null || {
    echo "cost.sh: valgrind is missing, apt-get install valgrind" >&2
    exit 1
}

temp=$(mktemp -d)
chmod 755 "$temp"
mkdir "$temp/logs"
upstream=

# shellcheck disable=SC2317
finish()
{
    if [ -n "$upstream" ]; then
        kill "$upstream" || :
    fi

    rm -rf "$temp"
}

trap finish EXIT
trap 'exit 130' INT TERM

${CC:-cc} -std=c99 -O2 -o "$temp/load" "$root/t/bench/load.c" -lm

# shellcheck disable=SC2046
set -- $(perl -MIO::Socket::INET -e '
    my @s = map { IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1) }
            1 .. 4;
    print join " ", map { $_->sockport } @s')
port=$1 up1=$2 up2=$3 up3=$4


common()
{
    if [ "$(id -u)" -eq 0 ]; then
        echo "user root;"
    fi

    cat << END
daemon off;
master_process off;
pid $temp/$1.pid;
error_log $temp/logs/$1.log;
events { worker_connections 512; }
END
}


{
    common upstream
    cat << END
http {
    access_log off;
    keepalive_requests 100000000;

    server {
        listen 127.0.0.1:$up1;
        listen 127.0.0.1:$up2;
        listen 127.0.0.1:$up3;
        location / { return 200 "hello\n"; }
    }
}
END
} > "$temp/upstream.conf"

"$ngx" -p "$temp" -c "$temp/upstream.conf" -e "$temp/logs/upstream.log" &
upstream=$!


# conf NAME MODULE-DIRECTORY HTTP-LINES

conf()
{
    {
        if [ -n "$2" ]; then
            for so in "$2"/*.so; do
                echo "load_module $so;"
            done
        fi

        common "$1"
        cat << END
http {
    access_log off;
    keepalive_requests 100000000;
    proxy_http_version 1.1;
    proxy_set_header Connection "";

    upstream u {
        server 127.0.0.1:$up1;
        server 127.0.0.1:$up2;
        server 127.0.0.1:$up3;
        keepalive 64;
    }

    $3

    server {
        listen 127.0.0.1:$port;
        location / { proxy_pass http://u; }
    }
}
END
    } > "$temp/$1.conf"
}

conf plain "" ""
conf off "$SMART_MODULES" ""
conf on "$SMART_MODULES" "smart_hedge 30s;"
conf three "$SMART_MODULES" "smart_hedge 0 extra=2; smart_hedge_budget off;"


# instructions NAME REQUESTS

instructions()
{
    valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$ngx" -p "$temp" -c "$temp/$1.conf" -e "$temp/logs/$1.log" \
        > "$temp/valgrind" 2>&1 &
    pid=$!

    tries=0
    until "$temp/load" -c 1 -n 1 "127.0.0.1:$port" / > "$temp/first" 2>&1 \
          && grep -q '"2xx":1' "$temp/first"
    do
        tries=$((tries + 1))

        if [ "$tries" -gt 300 ] || ! kill -0 "$pid" 2>/dev/null; then
            cat "$temp/valgrind" "$temp/logs/$1.log" >&2
            exit 1
        fi

        sleep 0.1
    done

    "$temp/load" -c 4 -n "$2" "127.0.0.1:$port" / > "$temp/load.json"

    kill -QUIT "$pid"
    wait "$pid" || :

    sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$temp/valgrind"
}


plain=

for name in plain off on three; do
    few=$(instructions "$name" "$requests")
    many=$(instructions "$name" $((requests * 3)))
    each=$(((many - few) / (requests * 2)))
    plain=${plain:-$each}

    echo "$name $each $plain" | awk '{
        bar["off"] = 1.01; bar["on"] = 1.06; bar["three"] = 3.0
        ratio = $2 / $3
        printf "%-6s %7d instructions a request, %.3f of plain\n", $1, $2, ratio
        exit ($1 in bar) && ratio > bar[$1]
    }' || failed=1
done

exit "${failed:-0}"
