#!/bin/sh
#
# What does a scrape cost a worker, and does another request wait for it?
#
#     NGX=BINARY SMART_MODULES=DIRECTORY t/bench/scrape.sh [LOCATIONS [SCRAPES]]
#
# Prints the CPU time of the only worker per scrape and per 1,000 series, and
# the latency of requests that come meanwhile at a steady rate, with and without
# scrapes one after another.  Fails above 2 ms for 1,000 series.

set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
locations=${1:-100}
scrapes=${2:-200}
bar=2000
ngx=${NGX:-$(command -v nginx || echo /usr/sbin/nginx)}

if [ -z "${SMART_MODULES+set}" ]; then
    # shellcheck disable=SC2012
    SMART_MODULES=$(ls -td "$root"/build/*/modules | head -n 1)
fi

temp=$(mktemp -d)
master=

finish()
{
    if [ -n "$master" ]; then
        kill "$master" || :
        wait "$master" || :
    fi

    rm -rf "$temp"
}

trap finish EXIT
trap 'exit 130' INT TERM

${CC:-cc} -std=c99 -O2 -o "$temp/load" "$root/t/bench/load.c" -lm


# a worker with that many locations

port=$(perl -MIO::Socket::INET -e '
    print IO::Socket::INET->new(LocalAddr => "127.0.0.1",
                                Listen => 1)->sockport')

{
    if [ -n "$SMART_MODULES" ]; then
        for so in "$SMART_MODULES"/*.so; do
            echo "load_module $so;"
        done
    fi

    if [ "$(id -u)" -eq 0 ]; then
        echo "user root;"
    fi

    cat << END
daemon off;
worker_processes 1;
pid $temp/nginx.pid;
error_log $temp/error.log;
events { worker_connections 1024; }
http {
access_log off;
keepalive_requests 1000000;
client_body_temp_path $temp/body;
proxy_temp_path $temp/proxy;
fastcgi_temp_path $temp/fastcgi;
uwsgi_temp_path $temp/uwsgi;
scgi_temp_path $temp/scgi;
upstream u { server 127.0.0.1:9; server 127.0.0.2:9; }
server {
listen 127.0.0.1:$port;
location = /metrics { smart_metrics; }
location = /other { return 204; }
END

    n=0
    while [ "$n" -lt "$locations" ]; do
        echo "location /api/v1/resource-$n { smart_hedge 1s;" \
            "proxy_pass http://u; }"
        n=$((n + 1))
    done

    echo "} }"
} > "$temp/nginx.conf"

"$ngx" -e "$temp/error.log" -p "$temp/" -c "$temp/nginx.conf" &
master=$!

tries=0
until worker=$(pgrep -P "$master") \
      && "$temp/load" 127.0.0.1:"$port" /metrics > "$temp/one" 2>&1
do
    tries=$((tries + 1))
    if [ "$tries" -gt 50 ]; then
        cat "$temp/error.log" >&2
        exit 1
    fi
    sleep 0.1
done


# load ARG ..: sets out to the generator's line

load()
{
    out=$("$temp/load" "$@")
}


field()
{
    echo "$out" | sed "s/.*\"$1\":\([0-9.]*\).*/\1/"
}


# the kernel's count in ns, the first field

cpu()
{
    cut -d ' ' -f 1 "/proc/$worker/schedstat"
}


series=$(perl -MIO::Socket::INET -e '
    my $s = IO::Socket::INET->new(PeerAddr => shift) or die;
    print $s "GET /metrics HTTP/1.0\r\n\r\n";
    my $n = 0;
    while (<$s>) { $n++ if /^nginx_smart_/ }
    print $n' 127.0.0.1:"$port")

load -n "$scrapes" 127.0.0.1:"$port" /metrics
bytes=$(($(field body_bytes) / scrapes))

before=$(cpu)
load -n "$scrapes" 127.0.0.1:"$port" /metrics
after=$(cpu)

us=$(((after - before) / scrapes / 1000))
each=$((us * 1000 / series))

echo "scrape: $series series, $bytes bytes, $us us of CPU;" \
     "$each us for 1000 series (bar: $bar)"


# others: the same rate alone and beside scrapes

load -c 20 -n 4000 -r 1000 127.0.0.1:"$port" /other
echo "others: alone            p50 $(field p50) ms, p99 $(field p99) ms," \
     "max $(field p100) ms"

"$temp/load" -n 1000000 127.0.0.1:"$port" /metrics \
    > /dev/null 2>&1 &
scraper=$!

load -c 20 -n 4000 -r 1000 127.0.0.1:"$port" /other
echo "others: beside scrapes   p50 $(field p50) ms, p99 $(field p99) ms," \
     "max $(field p100) ms; a scrape in one go would take $((us / 1000)) ms"

kill "$scraper"
wait "$scraper" 2>/dev/null || :

[ "$each" -lt "$bar" ]
