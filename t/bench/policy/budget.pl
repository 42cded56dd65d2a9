# The budget, as one who pays for the upstream sees it: of all windows of ten
# seconds, in which do the peers get the most extra requests?
#
# A percentile asks for about as much as its budget. One arm asks for far more,
# all the time; all of them do once the peers take three times as long. What is
# counted are requests that arrive at the peers, each with its moment.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..", "$FindBin::Bin/../../lib";
use List::Util qw( max min );
use SmartBench;
use Time::HiRes qw( sleep );

my $runs = $ENV{SMART_BENCH_PAIRS} || 3;
my $dist = 'lognormal:5,0.4+slow:0.05,10';
my ($rate, $seconds, $window) = (1150, 40, 10_000_000);
my $bench = SmartBench->new('budget', "latency $dist, $rate requests/s, 4 "
    . 'workers; three times as long after half of the time');

my @arms = (
    { name => 'p95, defaults', smart => 'smart_hedge p95;', budget => 5 },
    { name => 'p90, budget 10 %', budget => 10,
      smart => 'smart_hedge p90; smart_hedge_budget 10%;' },
    { name => '4ms, budget 10 %', budget => 10,
      smart => 'smart_hedge 4ms; smart_hedge_budget 10%;' },
    { name => 'p95, no budget',
      smart => 'smart_hedge p95; smart_hedge_budget off;' },
);

$_->{arrivals} = "$bench->{temp}/arrivals.$_->{name}" for @arms;

$bench->start(\@arms, dist => $dist, workers => 4);
$bench->pair(rate => $rate, n => 2000);

my (%most, %least, %all, %counted, @cpu);

for (1 .. $runs) {
    my %from = map { $_->{name} => -s $_->{arrivals} } @arms;

    my $run = $bench->pair(rate => $rate, n => $rate * $seconds,
                           meanwhile => sub {
        sleep $seconds / 2;
        $bench->ctl($_->{sim}, 'scale?3') for @arms;
    });

    push @cpu, $run->{cpu};

    for my $arm (@arms) {
        my $name = $arm->{name};
        my ($most, $least, $all) = windows(
            SmartBench::slurp_arrivals($arm->{arrivals}, $from{$name}));

        push @{ $most{$name} }, $most;
        push @{ $least{$name} }, $least;
        push @{ $all{$name} }, $all;
        push @{ $counted{$name} }, $run->{$name}{hedges};

        $bench->ctl($arm->{sim}, 'scale?1');
    }
}

$bench->stop;

$bench->table(['extra, percent', 'most in 10 s', 'in all', 'counted',
               'requests/s, least'],
    map {
        my $name = $_->{name};
        [$name, sprintf('%.2f', 100 * max(@{ $most{$name} })),
         (map { sprintf '%.2f', 100 * SmartBench::median(@{ $_->{$name} }) }
              (\%all, \%counted)),
         sprintf '%.0f', min(@{ $least{$name} })];
    } @arms);

for my $arm (@arms) {
    my $name = $arm->{name};
    my $most = 100 * max(@{ $most{$name} });

    # without a budget there is more, and it is seen

    if (!defined $arm->{budget}) {
        $bench->check("$name: extra in 10 s, percent", $most, '>=', 6);
        next;
    }

    $bench->check("$name: extra in 10 s, percent", $most, '<=',
                  $arm->{budget} + 0.5);
    $bench->check("$name: requests/s in 10 s, the least",
                  min(@{ $least{$name} }), '>=', 1000);
}

$bench->check('4ms: extra in all, of the budget',
              SmartBench::median(@{ $all{$arms[2]{name}} }) * 10, '>=', 0.9);
$bench->check("nginx's share of a core", SmartBench::median(@cpu), '<=', 1);

exit $bench->done;


# of the windows that begin with any arrival and end before the last one: the
# largest share of extra requests, and the least requests a second; and the
# share in all

sub windows {
    my ($at) = @_;

    my ($requests, $extra, $end, $most, $least) = (0, 0, 0, 0, undef);
    my @sum = (0, 0);

    $sum[$at->[2 * $_ + 1]]++ for 0 .. @$at / 2 - 1;

    for (my $begin = 0; $begin < @$at; $begin += 2) {
        while ($end < @$at && $at->[$end] < $at->[$begin] + $window) {
            $at->[$end + 1] ? $extra++ : $requests++;
            $end += 2;
        }

        last if $end >= @$at;

        my $rate = $requests / $window * 1e6;

        $most = $extra / $requests if $extra / $requests > $most;
        $least = $rate if !defined $least || $rate < $least;

        $at->[$begin + 1] ? $extra-- : $requests--;
    }

    return ($most, $least, $sum[1] / $sum[0]);
}
