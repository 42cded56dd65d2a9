# A sick peer: one of three takes ten times as long. How near does the client's
# p99 come to that of healthy peers?
#
# A budget bounds what hedges can hide. A third of all requests meets the sick
# peer under round robin, so that takes "max", which keeps the delay where the
# healthy peers have it, and a budget for that third.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..", "$FindBin::Bin/../../lib";
use SmartBench;

my $pairs = $ENV{SMART_BENCH_PAIRS} || 5;
my $dist = 'lognormal:20,0.6';
my $rate = 300;
my $hide = 'smart_hedge p95 max=32ms; smart_hedge_budget 50%;';
my $bench = SmartBench->new('sick', "latency $dist, $rate requests/s, one of "
    . 'three peers ten times slower, medians of pairs');

my @arms = (
    { name => 'healthy', smart => '' },
    { name => 'healthy, max and 50 %', smart => $hide },
    { name => 'sick', smart => '', sick => 1 },
    { name => 'sick, p95 and defaults', smart => 'smart_hedge p95;',
      sick => 1 },
    { name => 'sick, max and 50 %', smart => $hide, sick => 1 },
    { name => 'sick, least_conn', smart => '', sick => 1,
      upstream => 'least_conn;' },
    { name => 'sick, least_conn, max and 50 %', smart => $hide, sick => 1,
      upstream => 'least_conn;' },
);

$bench->start(\@arms, dist => $dist);
$bench->ctl($_->{sim}, 'peer?1=10') for grep { $_->{sick} } @arms;
$bench->pair(rate => $rate, n => 5 * $rate);

my @runs = map { $bench->pair(rate => $rate, n => 20 * $rate,
                               still => 60) }
           1 .. $pairs;

$bench->stop;

$bench->table(['ms', qw( p50 p90 p95 p99 ), 'p99 of healthy', 'extra'],
    map {
        my $name = $_->{name};
        [$name, (map { sprintf '%.1f', SmartBench::latency(\@runs, $name, $_) }
                     qw( p50 p90 p95 p99 )),
         sprintf('%.2f', SmartBench::ratio(\@runs, $name, 'healthy', 'p99')),
         sprintf('%.1f %%', 100 * SmartBench::medians(\@runs, sub {
             $_[0]{$name}{hedges}
         }))];
    } @arms);

for my $name ('sick, max and 50 %', 'sick, least_conn, max and 50 %') {
    $bench->check("$name: p99 of healthy",
                  SmartBench::ratio(\@runs, $name, 'healthy', 'p99'), '<=',
                  1.3);
}

$bench->check('sick, without hedges: p99 of healthy',
              SmartBench::ratio(\@runs, 'sick', 'healthy', 'p99'), '>=', 4);
$bench->check("nginx's share of a core",
              SmartBench::medians(\@runs, sub { $_[0]{cpu} }), '<=', 0.7);

exit $bench->done;
