# Do no harm: peers of 16 servers each, with a queue before them, that go on
# working when their client has left. What do hedges do to all the others, the
# closer to its limits the upstream is?
#
# Beside it the same without a budget, for as long as it takes to see.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..", "$FindBin::Bin/../../lib";
use SmartBench;

my $pairs = $ENV{SMART_BENCH_PAIRS} || 5;
my @loads = split ' ', $ENV{SMART_BENCH_LOADS} || '30 60 80 90';
my $servers = $ENV{SMART_BENCH_SERVERS} || 16;
my $dist = 'lognormal:20,0.4+slow:0.05,10';
my $mean = 29;

my $bench = SmartBench->new('harm', "service $dist, three peers of $servers "
    . 'servers, least_conn, medians of pairs');

my @arms = (
    { name => 'off', smart => '' },
    { name => 'on', smart => 'smart_hedge p95;' },
);
my @none = (
    { name => 'p95', smart => 'smart_hedge p95; smart_hedge_budget off;' },
    { name => '30 ms', smart => 'smart_hedge 30ms; smart_hedge_budget off;' },
);
my (@figures, @collapse);

for my $load (@loads) {
    my $rate = 3 * $servers / $mean * 1000 * $load / 100;
    my @common = (rate => $rate, n => int(24 * $rate), skip => int(6 * $rate),
                  still => 60);

    $bench->start(\@arms, dist => $dist, servers => $servers,
                  upstream => 'least_conn;');
    $bench->pair(rate => $rate, n => int(8 * $rate));

    my @runs = map { $bench->pair(@common) } 1 .. $pairs;

    $bench->stop;

    push @figures, ["$load %",
        (map { sprintf '%.1f', SmartBench::latency(\@runs, @$_) }
             (['off', 'p50'], ['on', 'p50'], ['off', 'p99'], ['on', 'p99'])),
        (map { sprintf '%.3f', SmartBench::ratio(\@runs, 'on', 'off', $_) }
             qw( mean p50 p95 p99 p99.9 )),
        sprintf('%.2f %%', 100 * SmartBench::medians(\@runs, sub {
            $_[0]{on}{hedges}
        })),
        sprintf('%.2f %%', 100 * SmartBench::medians(\@runs, sub {
            ($_[0]{on}{metrics}{no_budget} + $_[0]{on}{metrics}{no_busy})
                / $_[0]{on}{requests}
        })),
        (map { my $name = $_; sprintf '%.0f %%', 100 * SmartBench::medians(
                  \@runs, sub { $_[0]{$name}{used} }) } qw( off on )),
        sprintf('%.2f', SmartBench::medians(\@runs, sub { $_[0]{cpu} })),
    ];

    my ($p50, $p99) = map { SmartBench::ratio(\@runs, 'on', 'off', $_) }
                          qw( p50 p99 );

    if ($load <= 80) {
        $bench->check("$load %: p50, ratio", $p50, '<=', 1.05);
        $bench->check("$load %: p99, ratio", $p99, '<=', 0.7);

    } else {
        $bench->check("$load %: p50, ratio", $p50, '<=', 1.1);
        $bench->check("$load %: p99, ratio", $p99, '<=', 1);
    }

    # no budget; one after the other, so that none is in another's way

    my @row = ("$load %", map {
        sprintf '%.0f', SmartBench::latency(\@runs, 'off', $_)
    } qw( p50 p99 ));

    for my $arm (@none) {
        $bench->start([$arm], dist => $dist, servers => $servers,
                      upstream => 'least_conn;');

        my $run = $bench->pair(rate => $rate, n => int(20 * $rate),
                               skip => int(15 * $rate),
                               connections => 3000)->{$arm->{name}};

        $bench->stop;

        push @row, (map { sprintf '%.0f', $run->{latency}{$_} } qw( p50 p99 )),
            sprintf '%.0f %%', 100 * $run->{hedges};
    }

    push @collapse, \@row;
}

print "\n";
$bench->table(['load', 'p50 off', 'on', 'p99 off', 'on',
               (map { "$_ ratio" } qw( mean p50 p95 p99 p99.9 )),
               'extra', 'refused', 'used off', 'on', 'cpu'], @figures);
$bench->table(['no budget, ms', 'off p50', 'p99',
               (map { ("$_->{name} p50", 'p99', 'extra') } @none)], @collapse);

exit $bench->done;
