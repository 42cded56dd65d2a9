#!/bin/sh
#
# What does the module cost a request, in instructions by callgrind, system
# libraries included, and in CPU time and requests a second?
#
#     NGX=BINARY SMART_MODULES=DIRECTORY t/bench/cost.sh [REQUESTS [ROUNDS]]
#
# CASES="plain on" leaves out all others; with 0 ROUNDS instructions are all.
# Without the two it takes the nginx and the modules that ./build.sh built last.
# A request is a small one: proxied over keepalive connections on both sides,
# an answer of eleven bytes. Each figure is the difference of two runs, so that
# starting up does not count. The cases:
#
#     plain   nginx without the module
#     off     the module is loaded, nothing is hedged anywhere
#     on      smart_hedge, with metrics, and no request is slow
#     p99.9   the same with a percentile, from microseconds
#     idle    the same, and the peers' requests in flight are counted
#     json    the same, and smart_success_json looks into the answer
#     journal each request is recorded; where the file should be is a directory,
#             so that nothing is written and the event loop is all that counts
#     three   each request makes three attempts at once
#     lua     the same by lua-nginx-module, where Debian's is installed: three
#             light threads with cosockets, the first success is passed on
#
# Fails where instructions of off are above 1.01 of plain, of on above 1.05, of
# p99.9 above 1.06, of idle above 1.07, of journal above 1.15, or of three above
# 3.0. CPU time and requests a second are those of one process, medians of ROUNDS
# (5) rounds in which the cases take turns.

set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
requests=${1:-2000}
rounds=${2:-5}
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
        location / { return 200 '{"time": 5}'; }
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
        location / { ${4:-proxy_pass http://u;} }
        ${5:-}
    }
}
END
    } > "$temp/$1.conf"
}

metrics="location = /metrics { smart_metrics; }"

conf plain "" ""
conf off "$SMART_MODULES" ""
conf on "$SMART_MODULES" "smart_hedge 30s;" "" "$metrics"
conf json "$SMART_MODULES" "smart_hedge 30s; smart_success_json /time:integer;" \
     "" "$metrics"
conf p99.9 "$SMART_MODULES" "smart_hedge p99.9 min=30s;" "" "$metrics"
conf idle "$SMART_MODULES" \
    "smart_hedge p99.9 min=30s; smart_hedge_peer idle;" "" "$metrics"
conf journal "$SMART_MODULES" \
    "smart_journal_store sqlite:$temp/logs; smart_journal on;"
conf three "$SMART_MODULES" "smart_hedge 0 extra=2; smart_hedge_budget off;" \
     "" "$metrics"

cases="plain off on p99.9 idle json journal three"
lua=/usr/lib/nginx/modules

if [ -f $lua/ngx_http_lua_module.so ] && [ -f $lua/ndk_http_module.so ]; then
    mkdir "$temp/lua"
    ln -s $lua/ndk_http_module.so "$temp/lua/1.so"
    ln -s $lua/ngx_http_lua_module.so "$temp/lua/2.so"

    cat > "$temp/race.lua" << END
local ports = { $up1, $up2, $up3 }

local function attempt(port)
    local sock = ngx.socket.tcp()
    sock:settimeout(60000)

    local ok, err = sock:connect("127.0.0.1", port)
    if not ok then
        return nil, err
    end

    ok, err = sock:send("GET " .. ngx.var.request_uri
                        .. " HTTP/1.1\\r\\nHost: u\\r\\n\\r\\n")
    if not ok then
        return nil, err
    end

    local line, header, length = sock:receive("*l"), {}, 0
    if not line then
        return nil, "closed"
    end

    local status = tonumber(line:match("^HTTP/1%.%d (%d+)"))

    while true do
        line, err = sock:receive("*l")
        if not line then
            return nil, err
        end

        if line == "" then
            break
        end

        local name, value = line:match("^([^:]+):%s*(.*)")
        header[name:lower()] = value
    end

    local body = sock:receive(tonumber(header["content-length"]))
    if not body then
        return nil, "closed"
    end

    sock:setkeepalive(60000, 64)

    return status, header, body
end

local threads, last = {}, 502

for i, port in ipairs(ports) do
    threads[i] = ngx.thread.spawn(attempt, port)
end

for _ = 1, #threads do
    local _, status, header, body = ngx.thread.wait(unpack(threads))

    if status and status < 500 and status ~= 429 then
        for _, thread in ipairs(threads) do
            ngx.thread.kill(thread)
        end

        ngx.status = status
        ngx.header.content_type = header["content-type"]
        ngx.header.content_length = #body
        ngx.print(body)
        return
    end

    last = status or last
end

ngx.exit(last)
END

    conf lua "$temp/lua" "" "content_by_lua_file $temp/race.lua;"
    cases="$cases lua"
fi

cases=${CASES:-$cases}


# start NAME [VALGRIND..]: an nginx that answers, its process is $pid

start()
{
    name=$1
    shift

    "$@" "$ngx" -p "$temp" -c "$temp/$name.conf" -e "$temp/logs/$name.log" \
        > "$temp/valgrind" 2>&1 &
    pid=$!

    tries=0
    until "$temp/load" -c 1 -n 1 "127.0.0.1:$port" / > "$temp/first" 2>&1 \
          && grep -q '"2xx":1' "$temp/first"
    do
        tries=$((tries + 1))

        if [ "$tries" -gt 300 ] || ! kill -0 "$pid" 2>/dev/null; then
            cat "$temp/valgrind" "$temp/logs/$name.log" >&2
            exit 1
        fi

        sleep 0.1
    done
}


stop()
{
    kill -QUIT "$pid"
    wait "$pid" || :
}


# load REQUESTS

load()
{
    "$temp/load" -c 4 -n "$1" "127.0.0.1:$port" / > "$temp/load.json"

    grep -q "\"2xx\":$1\\b" "$temp/load.json" || {
        cat "$temp/load.json" "$temp/logs/$name.log" >&2
        exit 1
    }
}


# instructions NAME REQUESTS

instructions()
{
    start "$1" valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        --smc-check=all-non-file
    load "$2"
    stop

    sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$temp/valgrind"
}


plain=
three=

for case in $cases; do
    few=$(instructions "$case" "$requests")
    many=$(instructions "$case" $((requests * 3)))
    each=$(((many - few) / (requests * 2)))
    plain=${plain:-$each}

    echo "$case $each $plain" | awk '{
        bar["off"] = 1.01; bar["on"] = 1.05; bar["three"] = 3.0
        bar["p99.9"] = 1.06; bar["idle"] = 1.07; bar["journal"] = 1.15
        ratio = $2 / $3
        printf "%-7s %7d instructions a request, %.3f of plain\n", $1, $2, ratio
        exit ($1 in bar) && ratio > bar[$1]
    }' || failed=1

    case $case in
        three) three=$each ;;
        lua)   echo "$each $three" | awk '{
                   printf "three attempts by lua take %.2f times the" \
                          " instructions of three\n", $1 / $2 }' ;;
    esac
done

if [ "$rounds" -eq 0 ]; then
    exit "${failed:-0}"
fi


# pace NAME: CPU time of nginx in us and elapsed time in us, a request

pace()
{
    start "$1"
    load 1000

    before=$(ticks)
    begin=$(date +%s%N)
    load "$paced"
    end=$(date +%s%N)
    after=$(ticks)

    stop

    echo "$1 $before $after $begin $end" | awk -v n="$paced" \
        -v hz="$(getconf CLK_TCK)" '{
            printf "%s %.2f %.2f\n", $1, ($3 - $2) * 1e6 / hz / n,
                   ($5 - $4) / 1e3 / n }'
}


# of the process and its threads, user and system

ticks()
{
    awk '{ print $14 + $15 }' "/proc/$pid/stat"
}


paced=$((requests * 10))
round=0

while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))

    for case in $cases; do
        pace "$case"
    done
done > "$temp/paces"

echo

for case in $cases; do
    cpu=$(awk -v c="$case" '$1 == c { print $2 }' "$temp/paces" | sort -n \
          | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')
    wall=$(awk -v c="$case" '$1 == c { print $3 }' "$temp/paces" | sort -n \
           | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')
    plain_cpu=${plain_cpu:-$cpu}
    plain_wall=${plain_wall:-$wall}

    echo "$case $cpu $plain_cpu $wall $plain_wall" | awk '{
        printf "%-7s %6.1f us CPU a request, %.2f of plain; " \
               "%6d requests a second, %.2f of plain\n",
               $1, $2, $2 / $3, 1e6 / $4, $5 / $4 }'
done

exit "${failed:-0}"
