# Shift: all peers suddenly take three times as long. Beside hedging, retrying
# by proxy_next_upstream with a short read timeout: what is late there is lost.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..", "$FindBin::Bin/../../lib";
use SmartBench;
use Time::HiRes qw( sleep time );

my $dist = 'lognormal:5,0.4+slow:0.05,10';
my ($rate, $before, $after) = (500, 20, 30);
my $n = $rate * ($before + $after);

# quantiles of the distribution, by its formula

my %p90 = (before => 8.82, after => 26.5);

my $bench = SmartBench->new('shift', "latency $dist, $rate requests/s; after "
    . "$before s three times as long");

my @arms = (
    { name => 'off', smart => '' },
    { name => 'p95, defaults', smart => 'smart_hedge p95;', budget => 5 },
    { name => 'p90, budget 10 %', budget => 10,
      smart => 'smart_hedge p90; smart_hedge_budget 10%;' },
    { name => 'retry after 12 ms', smart => 'proxy_read_timeout 12ms; '
        . 'proxy_next_upstream error timeout; '
        . 'proxy_next_upstream_tries 2;' },
);

$bench->start(\@arms, dist => $dist);

my (%delay, %at, @seen);
my $run = $bench->pair(rate => $rate, n => $n, meanwhile => \&shift_it);

$bench->stop;

# it is not repeated as others are: say what it may be due to

$bench->note(late_ms => $run->{late_ms});
printf "the machine stood still for %.0f ms at most\n\n", $run->{late_ms};

my @rows;

for my $arm (@arms) {
    my $r = $run->{$arm->{name}};
    my $all = $r->{us};
    my @was = @$all[$rate * 5 .. $rate * $before - 1];
    my @is = @$all[$rate * $before .. $n - 1];
    my $delay = $delay{$arm->{name}};

    push @rows, [$arm->{name},
        (map { sprintf '%.1f', SmartBench::quantile($_, \@was) / 1e3 }
             (0.5, 0.99)),
        (map { sprintf '%.1f', SmartBench::quantile($_, \@is) / 1e3 }
             (0.5, 0.99)),
        sprintf('%.2f %%', 100 * $r->{'2xx'} / $n),
        sprintf('%.2f %%', 100 * $at{$arm->{name}}{hedges}),
        map { $_ ? sprintf '%.1f', 1e3 * $_ : '' }
            @$delay{qw( 0 2 5 10 20 28 )},
    ];
}

$bench->table(['ms', 'p50', 'p99', 'then p50', 'p99', 'succeeded',
               'extra after', 'delay', 'in 2 s', '5 s', '10 s', '20 s',
               '28 s'], @rows);

for my $arm (@arms[1, 2]) {
    my $name = $arm->{name};

    $bench->check("$name: requests that succeed, percent",
                  100 * $run->{$name}{'2xx'} / $n, '>=', 100);

    # burst and half a point

    $bench->check("$name: extra after the shift, percent",
                  100 * $at{$name}{hedges}, '<=', $arm->{budget} + 0.5);
}

my $p90 = $delay{$arms[2]{name}};

$bench->check('p90: delay before, of the quantile', 1e3 * $p90->{0}
              / $p90{before}, '>=', 0.85);
$bench->check('p90: delay before, of the quantile', 1e3 * $p90->{0}
              / $p90{before}, '<=', 1.25);
$bench->check('p90: delay 10 s after, of the quantile', 1e3 * $p90->{10}
              / $p90{after}, '>=', 0.85);
$bench->check('p90: delay 10 s after, of the quantile', 1e3 * $p90->{10}
              / $p90{after}, '<=', 1.25);
$bench->check('retry: requests that succeed, percent',
              ($run->{$arms[3]{name}}{'2xx'} - lost_before())
                  / ($rate * $after) * 100, '<=', 70);

exit $bench->done;


sub shift_it {
    my $start = time;
    my %hedges;

    sleep $before;

    $bench->{metrics} = undef;

    for my $arm (@arms) {
        my $now = $bench->counters($arm);

        $hedges{$arm->{name}} = $now->{hedge};
        $delay{$arm->{name}}{0} = $now->{delay_seconds};
    }

    my $shifted = time;

    $bench->ctl($_->{sim}, 'scale?3') for @arms;

    for my $second (2, 5, 10, 20, 28) {
        sleep $second - (time - $shifted);
        $bench->{metrics} = undef;

        for my $arm (@arms) {
            my $now = $bench->counters($arm);

            $delay{$arm->{name}}{$second} = $now->{delay_seconds};
            $at{$arm->{name}}{hedges} = ($now->{hedge}
                - $hedges{$arm->{name}}) / ($rate * $second);
        }
    }
}


# as many succeeded before the shift, nearly: a few in a thousand do not

sub lost_before {
    return $rate * $before;
}
