# Stragglers: three peers answer after lognormal times of 5 ms in the mean, and
# 5 % of the answers take ten times as long.  What becomes of the tail, and of
# the median?

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..", "$FindBin::Bin/../../lib";
use SmartBench;

my $pairs = $ENV{SMART_BENCH_PAIRS} || 5;
my $dist = 'lognormal:5,0.4+slow:0.05,10';
my $n = 10_000;
my $bench = SmartBench->new('stragglers', "latency $dist, 500 requests/s, "
    . 'three peers, medians of pairs');

my @figures;

for my $workers (split ' ', $ENV{SMART_BENCH_WORKERS} || '1 4') {
    my @arms = (
        { name => 'off', smart => '' },
        { name => 'p90, budget 10 %',
          smart => 'smart_hedge p90; smart_hedge_budget 10%;' },
        { name => 'p95, defaults', smart => 'smart_hedge p95;' },
    );

    $bench->start(\@arms, dist => $dist, workers => $workers);
    $bench->pair(rate => 500, n => 2000);

    my @runs = map { $bench->pair(rate => 500, n => $n, still => 30) }
               1 .. $pairs;

    $bench->stop;

    for my $arm (@arms) {
        my $name = $arm->{name};

        push @figures, [$name, $workers,
            (map { sprintf '%.1f', SmartBench::latency(\@runs, $name, $_) }
                 qw( mean p50 p90 p95 p99 p99.9 )),
            sprintf('%.3f', SmartBench::ratio(\@runs, $name, 'off', 'p50')),
            sprintf('%.2f %%', 100 * SmartBench::medians(\@runs, sub {
                $_[0]{$name}{hedges}
            })),
        ];
    }

    my ($off, $p90, $p95) = map { $_->{name} } @arms;

    $bench->check("$workers workers: p99 without hedges, ms",
                  SmartBench::latency(\@runs, $off, 'p99'), '>=', 50);
    $bench->check("$workers workers: p99 of $p90, ms",
                  SmartBench::latency(\@runs, $p90, 'p99'), '<=', 20);
    $bench->check("$workers workers: p99 of $p95, ms",
                  SmartBench::latency(\@runs, $p95, 'p99'), '<=', 28);

    for my $name ($p90, $p95) {
        my $ratio = SmartBench::ratio(\@runs, $name, $off, 'p50');

        $bench->check("$workers workers: median of $name, ratio", $ratio,
                      '<=', 1.02);
        $bench->check("$workers workers: median of $name, ratio", $ratio,
                      '>=', 0.98);
    }

    $bench->check("$workers workers: nginx's share of a core",
                  SmartBench::medians(\@runs, sub { $_[0]{cpu} }), '<=', 0.7);
    print "\n";
}

for my $policy ([off => ()], ['p90, budget 10 %' => qw( -h 90 -b 10 )],
                ['p95, defaults' => qw( -h 95 -b 5 )])
{
    my ($name, @args) = @$policy;
    my $o = $bench->oracle('-d', $dist, '-r', 500, '-n', 300_000, '-w',
                           2000, @args);

    push @figures, [$name, 'oracle',
        (map { sprintf '%.1f', $o->{latency}{$_} }
             qw( mean p50 p90 p95 p99 p99.9 )),
        '', sprintf '%.2f %%', 100 * $o->{hedges}];
}

$bench->table(['ms', 'workers', qw( mean p50 p90 p95 p99 p99.9 ),
               'p50 ratio', 'extra'], @figures);

exit $bench->done;
