#!/bin/sh
#
# What does the journal cost: requests per second, p99 and processor time of the
# workers with it, in ratio to the same nginx without it, one worker and two, in
# interleaved runs.
#
#     NGX=BINARY SMART_MODULES=DIRECTORY t/bench/journal.sh [ROUNDS [SECONDS]]
#
# Requests are small ones, proxied over keepalive connections on both sides to
# an nginx that answers six bytes; 32 clients send as fast as they are answered.
# The database is a file in $TMPDIR. Each figure is the median of the rounds,
# and a ratio that of two runs which follow each other. The time of event loops
# is what bounds a worker where a core is free for the thread that writes; that
# of the thread is told apart, in us a request.
#
# Fails where requests per second fall below 0.95, or p99 rises above 1.05.
# Clients and upstream take cores, too: on two of them all are busy all the
# time, and whatever the thread takes is missing elsewhere. SMART_BENCH_PACE=50
# sends half as many requests as were answered then, at their times: latency
# counts from those.

set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
rounds=${1:-10}
pace=${SMART_BENCH_PACE:-}
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

${CC:-cc} -std=c99 -O2 -o "$temp/load" "$root/t/bench/load.c" -lm

# shellcheck disable=SC2046
set -- $(perl -MIO::Socket::INET -e '
    my @s = map { IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1) }
            1 .. 5;
    print join " ", map { $_->sockport } @s')
upstream=$1
shift


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

    "$ngx" -p "$temp" -c "$temp/$1.conf" -e "$temp/logs/$1.log" &
    pids="$pids $!"
}


proxy="proxy_http_version 1.1; proxy_set_header Connection '';
    upstream u { server 127.0.0.1:$upstream; keepalive 64; }
    server { listen 127.0.0.1:"
tail="; location / { proxy_pass http://u; } }"

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


# measure NAME PORT SECONDS: "NAME rate p99 us-of-loops us-of-threads"

measure()
{
    before=$(spent "$1")

    # shellcheck disable=SC2086
    "$temp/load" -c 32 $paced -n "$((rate * $3))" "127.0.0.1:$2" \
        /a /b /c /d > "$temp/json" || {
        cat "$temp/json" "$temp"/logs/*
        exit 1
    }

    # shellcheck disable=SC2086,SC2046
    perl -MJSON::PP -e '
        my $j = decode_json(join "", <STDIN>);
        my ($rate, $p99) = ($j->{rate}, $j->{latency}{p99});
        die "cannot read the result\n" if !defined $rate || !defined $p99;
        my ($name, $loop, $all, $loop2, $all2) = @ARGV;
        my $us = 1 / 1000 / $j->{answers};
        $loop = ($loop2 - $loop) * $us;
        $all = ($all2 - $all) * $us;
        printf "%s %.0f %.2f %.2f %.2f\n", $name, $rate, $p99, $loop,
            $all - $loop' "$1" $before $(spent "$1") < "$temp/json"
}

sleep 1
rate=2000
paced=
# shellcheck disable=SC2154
measure off1 "$off1" 1 > "$temp/warm"
rate=$(awk '{ printf "%d", $2 }' "$temp/warm")

if [ -n "$pace" ]; then
    rate=$((rate * pace / 100))
    paced="-r $rate"
fi

for _ in $(seq "$rounds"); do
    for name in off1 on1 off2 on2; do
        eval "measure $name \$$name $seconds"
    done
done | tee /dev/stderr | awk '
    function median(list, n,    i, j, t) {
        for (i = 2; i <= n; i++) {
            t = list[i]
            for (j = i - 1; j >= 1 && list[j] > t; j--) list[j + 1] = list[j]
            list[j + 1] = t
        }
        return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
    }
    function verdict(w, what, value, bar, good) {
        printf "%s: %d worker%s, %s %.3f, the bar is %s\n",
               (good ? "passed" : "MISSED"), w, (w > 1 ? "s" : ""), what,
               value, bar
        if (!good) bad = 1
    }
    /^off/ { rate = $2; p99 = $3; loop = $4 }
    /^on/  {
        w = substr($1, 3)
        n[w]++
        rates[w, n[w]] = $2 / rate
        tails[w, n[w]] = $3 / p99
        loops[w, n[w]] = $4 / loop
        threads[w, n[w]] = $5
    }
    END {
        for (w = 1; w <= 2; w++) {
            for (i = 1; i <= n[w]; i++) {
                a[i] = rates[w, i]
                b[i] = tails[w, i]
                c[i] = loops[w, i]
                d[i] = threads[w, i]
            }
            r = median(a, n[w])
            t = median(b, n[w])
            printf "%d worker%s: requests/s %.3f, p99 %.3f, time of event " \
                   "loops %.3f of that without; writing %.1f us\n",
                   w, (w > 1 ? "s" : " "), r, t, median(c, n[w]),
                   median(d, n[w])
            verdict(w, "requests/s", r, ">= 0.95", r >= 0.95)
            verdict(w, "p99", t, "<= 1.05", t <= 1.05)
        }
        exit bad
    }' || failed=1

grep -h "records are dropped" "$temp"/logs/on*.log | tail -n 1 || :

exit "${failed:-0}"
