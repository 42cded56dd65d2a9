#!/bin/sh
#
# What does the journal cost: requests per second, p99 and processor time of the
# workers with it, in ratio to the same nginx without it, one worker and two, in
# interleaved runs.
#
#     NGX=BINARY SMART_MODULES=DIRECTORY t/bench/journal.sh [ROUNDS [SECONDS]]
#
# Requests are small ones, proxied over keepalive connections on both sides, and
# each client sends the next one when it has the answer. There are two loads:
#
#     service    64 clients, and the peers of the other benches: lognormal times
#                of 5 ms in the mean, 5 % of the answers take ten times as long
#     saturated  32 clients, and an nginx that answers six bytes at once: as
#                much as the cores can do. Clients, upstream and the thread that
#                writes share them with nginx, so that on two of them whatever
#                the thread takes is missing elsewhere
#
# The database is a file in $TMPDIR. Each figure is the median of the rounds,
# and a ratio that of two runs which follow each other. Fails where requests per
# second of the service fall below 0.95, or its p99 rises above 1.05. What a
# request costs more is told in processor time: of event loops, which bound a
# worker where the thread has a core, and of the thread, in us a request.

set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
rounds=${1:-10}
seconds=${2:-3}
ngx=${NGX:-$(command -v nginx || echo /usr/sbin/nginx)}

if [ -z "${SMART_MODULES:-}" ]; then
    # shellcheck disable=SC2012
    SMART_MODULES=$(ls -td "$root"/build/*/modules | head -n 1)
fi

temp=$(mktemp -d)
chmod 755 "$temp"
mkdir "$temp/logs" "$temp/db"
pids=

# shellcheck disable=SC2317
finish()
{
    exec 9>&-

    for pid in $pids; do
        kill -QUIT "$pid" 2>/dev/null || :
    done

    for pid in $pids; do
        wait "$pid" || :
    done

    rm -rf "$temp"
}

trap finish EXIT
trap 'exit 130' INT TERM

for name in load peers; do
    ${CC:-cc} -std=c99 -O2 -o "$temp/$name" "$root/t/bench/$name.c" -lm
done

# shellcheck disable=SC2046
set -- $(perl -MIO::Socket::INET -e '
    my @s = map { IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1) }
            1 .. 5;
    print join " ", map { $_->sockport } @s')
upstream=$1
shift

# the peer ends when its input does

mkfifo "$temp/input"
"$temp/peers" -d lognormal:5,0.4+slow:0.05,10 -p 1 < "$temp/input" \
    > "$temp/port" &
pids="$pids $!"
exec 9> "$temp/input"

while [ ! -s "$temp/port" ]; do
    sleep 0.1
done

peer=$(cat "$temp/port")


# start NAME WORKERS HTTP-LINES

start()
{
    {
        for so in "$SMART_MODULES"/*.so; do
            echo "load_module $so;"
        done

        if [ "$(id -u)" -eq 0 ]; then
            echo "user root;"
        fi

        cat << END2
daemon off;
worker_processes $2;
pid $temp/$1.pid;
error_log $temp/logs/$1.log;
events { worker_connections 512; }
http {
    access_log off;
    keepalive_requests 100000000;
    $3
}
END2
    } > "$temp/$1.conf"

    "$ngx" -p "$temp" -c "$temp/$1.conf" -e "$temp/logs/$1.log" 9>&- &
    pids="$pids $!"
}


proxy="proxy_http_version 1.1; proxy_set_header Connection '';
    upstream saturated { server 127.0.0.1:$upstream; keepalive 64; }
    upstream service { server 127.0.0.1:$peer; keepalive 64; }
    server { listen 127.0.0.1:"
tail="; location /saturated { proxy_pass http://saturated; }
    location /service { proxy_pass http://service; } }"

start upstream 1 "server { listen 127.0.0.1:$upstream;
    location / { return 200 'hello\n'; } }"

for workers in 1 2; do
    start "off$workers" "$workers" "$proxy$1$tail"
    eval "off$workers=$1"
    store="smart_journal_store sqlite:$temp/db/$workers.db; smart_journal on;"
    start "on$workers" "$workers" "$store $proxy$2$tail"
    eval "on$workers=$2"
    shift 2
done


# spent NAME: processor time in ns, of event loops and of all threads of workers

spent()
{
    perl -e '
        my ($loop, $all) = (0, 0);
        my ($master) = split " ", `cat $ARGV[0]`;
        for my $pid (split " ", `cat /proc/$master/task/$master/children`) {
            for my $file (glob "/proc/$pid/task/*/schedstat") {
                open my $fh, "<", $file or next;
                my ($ns) = split " ", readline($fh) // next;
                $all += $ns;
                $loop += $ns if $file =~ m{/$pid/schedstat};
            }
        }
        print "$loop $all"' "$temp/$1.pid"
}


# measure LOAD NAME PORT: "LOAD NAME rate p99 us-of-loops us-of-threads"

measure()
{
    before=$(spent "$2")

    case $1 in
        service)   how="-c 64 -N -n $((service * seconds))" ;;
        saturated) how="-c 32 -n $((saturated * seconds))" ;;
    esac

    # the same times for each run

    curl -fs -o /dev/null "http://127.0.0.1:$peer/_ctl/seed?1"

    # shellcheck disable=SC2086
    "$temp/load" $how "127.0.0.1:$3" "/$1/a" "/$1/b" "/$1/c" "/$1/d" \
        > "$temp/json" || {
        cat "$temp/json" "$temp"/logs/*
        exit 1
    }

    # shellcheck disable=SC2046,SC2086
    perl -MJSON::PP -e '
        my $j = decode_json(join "", <STDIN>);
        my ($rate, $p99) = ($j->{rate}, $j->{latency}{p99});
        die "cannot read the result\n" if !defined $rate || !defined $p99;
        my ($load, $name, $loop, $all, $loop2, $all2) = @ARGV;
        my $us = 1 / 1000 / $j->{answers};
        $loop = ($loop2 - $loop) * $us;
        $all = ($all2 - $all) * $us;
        printf "%s %s %.0f %.2f %.2f %.2f\n", $load, $name, $rate, $p99,
            $loop, $all - $loop' "$1" "$2" $before $(spent "$2") \
        < "$temp/json"
}

# as many as are answered in a second

sleep 1
service=5000
saturated=10000

for load in service saturated; do
    # shellcheck disable=SC2154
    measure "$load" off1 "$off1" > "$temp/warm"
    eval "$load=$(awk '{ printf "%d", $3 }' "$temp/warm")"
done

for _ in $(seq "$rounds"); do
    for load in service saturated; do
        for name in off1 on1 off2 on2; do
            eval "measure $load $name \$$name"
        done
    done
done | tee /dev/stderr | awk '
    function median(from, w,    list, n, i, j, t) {
        n = rounds[w]
        for (i = 1; i <= n; i++) {
            t = from[w, i]
            for (j = i - 1; j >= 1 && list[j] > t; j--) list[j + 1] = list[j]
            list[j + 1] = t
        }
        return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
    }
    function verdict(w, what, value, bar, good) {
        printf "%s: %s, %s %.3f, the bar is %s\n",
               (good ? "passed" : "MISSED"), name(w), what, value, bar
        if (!good) bad = 1
    }
    function name(w) {
        sub(/ on1/, ", 1 worker", w)
        sub(/ on2/, ", 2 workers", w)
        return w
    }
    $2 ~ /^off/ { rate = $3; p99 = $4; loop = $5 }
    $2 ~ /^on/  {
        w = $1 " " $2
        if (!rounds[w]) order[++cases] = w
        i = ++rounds[w]
        rates[w, i] = $3 / rate
        tails[w, i] = $4 / p99
        loops[w, i] = $5 / loop
        more[w, i] = $5 - loop
        threads[w, i] = $6
    }
    END {
        for (k = 1; k <= cases; k++) {
            w = order[k]
            printf "%s: requests/s %.3f, p99 %.3f, event loops %.3f of that " \
                   "without; they take %.1f us more, writing %.1f us\n",
                   name(w), median(rates, w), median(tails, w),
                   median(loops, w), median(more, w), median(threads, w)
        }
        for (k = 1; k <= cases; k++) {
            w = order[k]
            if (w ~ /^service/) {
                r = median(rates, w)
                t = median(tails, w)
                verdict(w, "requests/s", r, ">= 0.95", r >= 0.95)
                verdict(w, "p99", t, "<= 1.05", t <= 1.05)
            }
        }
        exit bad
    }' || failed=1

grep -h "records are dropped" "$temp"/logs/on*.log | tail -n 1 || :

exit "${failed:-0}"
