#!/bin/sh
#
# How many records a second does the journal's writer put into a file?
#
#     t/bench/journal_store.sh [RECORDS [RUNS]]
#
# A million (RECORDS) in batches of a thousand, synchronous=FULL, in a file in
# $TMPDIR: of a thousand urls, so that nearly each record of a batch has one of
# its own; of four; each record one that is new; and each record written twice,
# when it begins and when it ends. Prints the median of three RUNS by the clock
# and by processor time. Fails below 50,000 of the first.
#
#     t/bench/journal_store.sh retain [RECORDS [KEEP]]
#
# Ten million, of which the newest million is kept. Fails where file, log or
# memory are larger at the end than 1.25 of what they were once the first ones
# had been removed.

set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
trap 'exit 130' INT TERM

journal=$root/ngx_smart_module/journal

${CC:-cc} -std=gnu99 -O2 -I "$root/ngx_smart_module/core" -I "$journal" \
    -o "$temp/journal_store" "$root/t/bench/journal_store.c" \
    "$journal"/ngx_http_smart_journal_sqlite*.c \
    "$root"/ngx_smart_module/core/*.c -lsqlite3 -lm


# run NAME=VALUE ..: lines of JSON

run()
{
    rm -f "$temp"/file.db*
    "$temp/journal_store" "$temp/file.db" "$@"
}


if [ "${1:-}" = retain ]; then
    records=${2:-10000000}
    keep=${3:-1000000}

    run "records=$records" "keep=$keep" "urls=0" \
        | tee /dev/stderr | perl -MJSON::PP -ne '
        my $r = decode_json($_);
        my $all = $r->{what} eq "all";
        $pruned ||= $r->{pruned} && !$all && { %$r };
        $last = $r if !$all;
        $total = $r if $all;
        END {
            die "nothing was removed\n" if !$pruned || $last == $pruned;
            for my $name (qw( file_mb wal_mb rss_mb )) {
                my $ratio = $last->{$name} / ($pruned->{$name} || 1);
                my $good = $ratio <= 1.25;
                printf "%s: %s %d at first, %d at the end, %.2f; the bar is " .
                       "<= 1.25\n", $good ? "passed" : "MISSED", $name,
                       $pruned->{$name}, $last->{$name}, $ratio;
                $bad ||= !$good;
            }
            printf "%d records/s, %d removed\n", $total->{per_second},
                   $total->{pruned};
            exit($bad ? 1 : 0);
        }'
    exit
fi

records=${1:-1000000}
runs=${2:-3}

for case in urls=1000 urls=4 urls=0 "urls=1000 open=100"; do

    for _ in $(seq "$runs"); do
        # shellcheck disable=SC2086
        run "records=$records" $case | tail -n 1
    done | perl -MJSON::PP -e '
        my ($case) = @ARGV;
        my @runs = map { decode_json($_) } <STDIN>;
        my ($clock, $cpu) = map {
            my $name = $_;
            (sort { $a <=> $b } map { $_->{$name} } @runs)[$#runs / 2]
        } qw( per_second per_cpu_second );
        printf "%-20s %7d records/s, %7d a second of CPU\n", $case, $clock,
               $cpu;
        exit if $case ne "urls=1000";
        printf "%s: %d records/s, the bar is >= 50000\n",
               $clock >= 50000 ? "passed" : "MISSED", $clock;
        exit($clock >= 50000 ? 0 : 1);' "$case" || failed=1
done

exit "${failed:-0}"
