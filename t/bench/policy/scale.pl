# The Tail at Scale: a page needs a hundred leaves, whose latencies are about 1,
# 5 and 10 ms (p50, p95, p99), and one of a thousand stalls for 0.5 to 2.5 s.
#
# The p99.9 of the whole is the quantile 0.999 ** (1/100) of a leaf, as if the
# hundred leaves were any of those measured; real fan-outs, all leaves at once,
# are beside it. So is an oracle: the same policy, the same requests, no costs.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..", "$FindBin::Bin/../../lib";
use SmartBench;

my $runs = $ENV{SMART_BENCH_PAIRS} || 5;
my $dist = 'table:0=0.3,50=1,95=5,99=10,100=20+stall:0.001,500,2500';
my ($rate, $n, $skip) = (1200, 42_000, 2000);
my $bench = SmartBench->new('scale', "leaves $dist, $rate/s, three peers, "
    . 'a fan-out of 100');

my @arms = (
    { name => 'off', smart => '' },
    { name => 'on', smart => 'smart_hedge p99; smart_hedge_budget 2%;' },
);

$bench->start(\@arms, dist => $dist);
$bench->pair(rate => $rate, n => 5000);

my %us;
my (@runs, %ideal, $ideal_hedges);

for my $seed (1 .. $runs) {
    my $run = $bench->pair(rate => $rate, n => $n, seed => $seed);

    push @runs, $run;

    for my $arm (@arms) {
        my $all = $run->{$arm->{name}}{us};
        push @{ $us{$arm->{name}} }, @$all[$skip .. $#$all];
    }
}

# a few real fan-outs: a page of them costs nginx as much at once as a hundred
# requests do

my $fan = $bench->pair(rate => 500, n => 20_000, fan => 100, skip => 2000);

$bench->stop;

for my $arm (['off'], ['on', qw( -h 99 -b 2 )]) {
    my ($name, @policy) = @$arm;

    for my $seed (1 .. $runs) {
        my $o = $bench->oracle('-d', $dist, '-r', $rate, '-n', $n, '-s',
                               $seed, '-w', $skip, '-o',
                               "$bench->{temp}/ideal", @policy);

        my $all = SmartBench::slurp_us("$bench->{temp}/ideal");
        push @{ $ideal{$name} }, @$all[$skip .. $#$all];
        $ideal_hedges = $o->{hedges};
    }
}

my %whole;

for my $set ([measured => \%us], [oracle => \%ideal]) {
    my ($where, $us) = @$set;

    for my $name (qw( off on )) {
        $whole{$where}{$name} = {
            map { $_ => SmartBench::quantile(($_ / 100) ** 0.01,
                                             $us->{$name}) / 1e3 }
                (50, 99, 99.9)
        };
    }
}

my $hedges = SmartBench::medians(\@runs, sub { $_[0]{on}{hedges} });

$bench->table(['whole, ms', qw( p50 p99 p99.9 extra )],
    (map {
        my ($where, $name, $extra) = @$_;
        my $w = $whole{$where}{$name};
        ["$where, $name", (map { sprintf '%.1f', $w->{$_} } (50, 99, 99.9)),
         sprintf '%.2f %%', 100 * $extra];
    } (['measured', 'off', 0], ['measured', 'on', $hedges],
       ['oracle', 'off', 0], ['oracle', 'on', $ideal_hedges])));

$bench->table(['leaf, ms', qw( p50 p95 p99 p99.9 )],
    map {
        my $name = $_;
        [$name, map { sprintf '%.1f', SmartBench::latency(\@runs, $name, $_) }
                    qw( p50 p95 p99 p99.9 )];
    } qw( off on ));

$bench->table(['180 real fan-outs, ms', qw( p50 p90 p99 extra )],
    map {
        my $name = $_;
        [$name, (map { sprintf '%.1f', $fan->{$name}{whole}{$_} }
                     qw( p50 p90 p99 )),
         sprintf '%.2f %%', 100 * $fan->{$name}{hedges}];
    } qw( off on ));

my $gain = $whole{measured}{off}{99.9} / $whole{measured}{on}{99.9};
my $ideal = $whole{oracle}{off}{99.9} / $whole{oracle}{on}{99.9};

$bench->note(gain => { measured => $gain, oracle => $ideal });
$bench->check('p99.9 of the whole, times better', $gain, '>=', 20);
$bench->check('more requests, percent', 100 * $hedges, '<=', 2);
$bench->check('the oracle reaches, times better', $ideal, '>=', 20);
$bench->check('p99.9 of the whole, to that of the oracle',
              $whole{measured}{on}{99.9} / $whole{oracle}{on}{99.9}, '<=', 2);
$bench->check('real fan-outs: p99, times better',
              $fan->{off}{whole}{p99} / $fan->{on}{whole}{p99}, '>=', 10);
$bench->check('real fan-outs: more requests, percent',
              100 * $fan->{on}{hedges}, '<=', 2);

exit $bench->done;
