# A dry run sends nothing. Does it foretell what hedging will do?

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..", "$FindBin::Bin/../../lib";
use SmartBench;

my $pairs = $ENV{SMART_BENCH_PAIRS} || 5;
my ($rate, $n) = (500, 10_000);
my $bench = SmartBench->new('dryrun', "$rate requests/s, three peers, "
    . 'medians of pairs');
my @figures;

for my $dist ('lognormal:5,0.4+slow:0.05,10', 'lognormal:10,1') {
    for my $policy (['p95, defaults', 'smart_hedge p95;'],
                    ['p90, budget 10 %',
                     'smart_hedge p90; smart_hedge_budget 10%;'])
    {
        my ($name, $smart) = @$policy;
        my @arms = (
            { name => 'off', smart => '' },
            { name => 'dry', smart => "$smart smart_hedge_dry_run on;" },
            { name => 'real', smart => $smart },
        );

        $bench->start(\@arms, dist => $dist);
        $bench->pair(rate => $rate, n => 2500);

        my @runs = map { $bench->pair(rate => $rate, n => $n, still => 60) }
                   1 .. $pairs;

        $bench->stop;

        my %is = (
            foretold => SmartBench::medians(\@runs, sub {
                $_[0]{dry}{metrics}{dry_run_hedges_total} / $n
            }),
            hedges => SmartBench::medians(\@runs, sub { $_[0]{real}{hedges} }),
            guess => SmartBench::medians(\@runs, sub {
                $_[0]{dry}{metrics}{saved_seconds_total}
            }),
            saved => SmartBench::medians(\@runs, sub {
                $n * ($_[0]{off}{latency}{mean} - $_[0]{real}{latency}{mean})
                   / 1e3
            }),
            least => SmartBench::medians(\@runs, sub {
                $_[0]{real}{metrics}{saved_seconds_total}
            }),
        );

        push @figures, [$dist, $name,
            (map { sprintf '%.2f %%', 100 * $is{$_} } qw( foretold hedges )),
            (map { sprintf '%.1f s', $is{$_} } qw( guess saved least )),
            (map { sprintf '%.1f', SmartBench::latency(\@runs, $_, 'p99') }
                 qw( off dry real )),
        ];

        my $ratio = $is{foretold} / ($is{hedges} || 1e-9);

        $bench->check("$name: hedges foretold, ratio", $ratio, '<=', 1.1);
        $bench->check("$name: hedges foretold, ratio", $ratio, '>=', 0.9);

        $ratio = $is{guess} / ($is{saved} || 1e-9);

        $bench->check("$name: time saved foretold, ratio", $ratio, '<=', 1.2);
        $bench->check("$name: time saved foretold, ratio", $ratio, '>=', 0.8);
        $bench->check("$name: dry run sends, attempts",
                      SmartBench::medians(\@runs, sub {
                          $_[0]{dry}{metrics}{hedge}
                      }), '<=', 0);
    }
}

print "\n";
$bench->table(['latency', 'policy', 'foretold', 'hedges', 'saved: foretold',
               'by clients', 'counted', 'p99 off', 'dry', 'real'], @figures);

exit $bench->done;
