# Negative controls: where there is nothing to gain, nothing is lost.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..", "$FindBin::Bin/../../lib";
use SmartBench;
use SmartServer;

my $pairs = $ENV{SMART_BENCH_PAIRS} || 5;
my $bench = SmartBench->new('controls', 'constant times; one peer; a peer '
    . 'behind a black hole');

constant();
one_peer();
black_hole();

exit $bench->done;


sub constant {
    my @arms = (
        { name => 'off', smart => '' },
        { name => 'on', smart => 'smart_hedge p95;' },
    );

    $bench->start(\@arms, dist => 'constant:40', upstream => 'least_conn;');
    $bench->pair(rate => 300, n => 1500);

    my @runs = map { $bench->pair(rate => 300, n => 3000, still => 30) }
               1 .. $pairs;

    $bench->stop;

    $bench->table(['constant 40 ms', qw( mean p50 p90 p95 p99 extra )],
        map {
            my $name = $_->{name};
            [$name, (map { sprintf '%.2f', SmartBench::latency(\@runs, $name,
                                                               $_) }
                         qw( mean p50 p90 p95 p99 )),
             sprintf('%.2f %%', 100 * SmartBench::medians(\@runs, sub {
                 $_[0]{$name}{hedges}
             }))];
        } @arms);

    for my $key (qw( mean p50 p95 )) {
        my $ratio = SmartBench::ratio(\@runs, 'on', 'off', $key);

        $bench->check("constant: $key, ratio", $ratio, '<=', 1.02);
        $bench->check("constant: $key, ratio", $ratio, '>=', 0.98);
    }

    $bench->check('constant: extra, percent', 100 * SmartBench::medians(
        \@runs, sub { $_[0]{on}{hedges} }), '<=', 5.5);
}


sub one_peer {
    my @arms = ({
        name => 'other', smart => 'smart_hedge p90; smart_hedge_peer other; '
                                  . 'smart_hedge_budget off;',
    });

    $bench->start(\@arms, dist => 'lognormal:5,0.4+slow:0.05,10', peers => 1);

    my $run = $bench->pair(rate => 300, n => 3000)->{other};

    $bench->stop;
    $bench->check('one peer, "other": hedges', $run->{metrics}{hedge}, '<=',
                  0);
    $bench->check('one peer, "other": reason "no_peer"',
                  $run->{metrics}{no_no_peer}, '>=', 100);
    $bench->check('one peer, "other": answered, percent',
                  100 * $run->{'2xx'} / 3000, '>=', 100);
}


# a loser that never connected counts as failed

sub black_hole {
    my $hole = SmartServer::blackhole_addr();
    my @arms = ({
        name => 'hole', server => 'max_fails=3 fail_timeout=60s',
        extra => "server $hole max_fails=3 fail_timeout=60s;",
        smart => 'smart_hedge 20ms; smart_hedge_budget off;',
    });

    $bench->start(\@arms, dist => 'constant:5');

    my $run = $bench->pair(rate => 200, n => 2000)->{hole};
    my $m = SmartMetrics->scrape($bench->{nginx}->addr(99), '/metrics');
    my $tries = $m->value('peer_attempts_total', peer => $hole);

    $bench->stop;

    # three, and those that were under way meanwhile

    $bench->check('a black hole: attempts until max_fails', $tries, '>=', 3);
    $bench->check('a black hole: attempts until max_fails', $tries, '<=', 20);
    $bench->check('a black hole: answered, percent',
                  100 * $run->{'2xx'} / 2000, '>=', 100);
    $bench->check('a black hole: the slowest, ms', $run->{latency}{p100},
                  '<=', 400);
}
