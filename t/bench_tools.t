# The tools of t/bench: the generator of load, the simulated upstream and the
# oracle do what they say, alone and around nginx.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/bench", "$FindBin::Bin/lib";
use SmartBench;
use Test::More;

plan(skip_all => 'once is enough') if $ENV{SMART_TEST_ASAN};

my $bench = SmartBench->new('tools', undef);

quantiles();
queue();
together();
fan_out();

done_testing;


# a known distribution in, its quantiles out; the figures are of its formula

sub quantiles {
    my @cases = (
        ['constant:7', 7, 7, 7, 7],
        ['lognormal:5,0.4+slow:0.05,10', 4.739, 8.823, 17.574, 64.630],
        ['exponential:7', 4.852, 16.118, 20.970, 32.236],
        ['table:0=0.3,50=1,95=5,99=10,100=20+stall:0.002,500,2500',
         1.009, 4.572, 5.238, 11.984],
    );

    for my $case (@cases) {
        my ($dist, @expected) = @$case;
        my $o = $bench->oracle('-d', $dist, '-r', 100, '-n', 400_000);
        my @keys = qw( p50 p90 p95 p99 );

        for my $i (0 .. $#keys) {
            my $ratio = $o->{latency}{$keys[$i]} / $expected[$i];

            ok(abs($ratio - 1) < 0.03,
               "$dist: $keys[$i] is $o->{latency}{$keys[$i]}")
                or diag "expected $expected[$i]";
        }
    }

    for my $bad ('lognormal:5', 'table:0=1,50=2', 'table:0=1,100=0',
                 'constant:5+slow:1', 'linear:5')
    {
        is(system("'" . $bench->program('peers') . "' -d $bad 2>/dev/null "
                  . '</dev/null') >> 8, 2, "$bad is refused");
    }
}


# one server and a queue: each request takes as long as the oracle says

sub queue {
    my @args = ('-r', 60, '-n', 150, '-s', 7);
    my $dist = 'lognormal:10,0.5';
    my $sim = $bench->peers(dist => $dist, seed => 7, peers => 1,
                            servers => 1);
    my $real = run_load($sim->{ports}[0], @args, '-c', 100, '-p', '-N');
    my $o = $bench->oracle('-d', $dist, @args, '-p', 1, '-k', 1, '-o',
                           "$bench->{temp}/o");
    my $us = SmartBench::slurp_us("$bench->{temp}/us");
    my $ideal = SmartBench::slurp_us("$bench->{temp}/o");
    my @off = map { abs($us->[$_] - $ideal->[$_]) / 1e3 } 0 .. $#$us;

    is(@$us, 150, 'a latency of each request');
    is($real->{answers}, 150, 'all answered');
    cmp_ok($o->{latency}{mean}, '>', 12, 'there was a queue: mean '
           . $o->{latency}{mean} . ' ms');
    cmp_ok(SmartBench::median(@off), '<', 4,
           'a queue is what the oracle says, request by request');
    note 'off by ms: ' . join ' ', map { sprintf '%.2f', $_ }
                                   (sort { $a <=> $b } @off)[75, 135, 149];

    # a client that leaves does not free the server

    my @gone = map {
        my $c = SmartServer::Client->connect(
            addr => "127.0.0.1:$sim->{ports}[0]");
        $c->request('/');
        $c;
    } 1 .. 20;

    ok(SmartServer::wait_for(sub {
        $bench->stats($sim)->{peers}[0]{received} == 170;
    }, 5), 'received');

    $_->close for @gone;

    ok(SmartServer::wait_for(sub {
        $bench->stats($sim)->{peers}[0]{left};
    }, 5), 'the clients have left');

    my $peer = $bench->stats($sim)->{peers}[0];

    cmp_ok($peer->{busy} + $peer->{waiting}, '>', 0, 'work goes on');
    ok(SmartServer::wait_for(sub {
        my $p = $bench->stats($sim)->{peers}[0];
        $p->{busy} + $p->{waiting} == 0;
    }, 10), 'work ends');

    $peer = $bench->stats($sim)->{peers}[0];
    is($peer->{answered} + $peer->{left}, 170, 'counts add up');

    finish($sim);
}


# generator, nginx, upstreams

sub together {
    my @arms = (
        { name => 'off', smart => '' },
        { name => 'on', smart => 'smart_hedge 30ms; smart_hedge_budget off;' },
    );

    $_->{arrivals} = "$bench->{temp}/arrivals.$_->{name}" for @arms;

    $bench->start(\@arms, dist => 'constant:2+slow:0.1,100');

    my $run = $bench->pair(rate => 150, n => 300, skip => 10);

    for my $arm (@arms) {
        my $r = $run->{$arm->{name}};
        my $sum = 0;

        is($r->{'2xx'}, 300, "$arm->{name}: all answered");
        $sum += $_ for @{ $r->{received} };
        is($sum, 300 + $r->{metrics}{hedge},
           "$arm->{name}: the peers got what was sent");
        cmp_ok($r->{latency}{p50}, '>=', 2, "$arm->{name}: p50");

        my $at = SmartBench::slurp_arrivals($arm->{arrivals});
        my @again = map { $at->[2 * $_ + 1] } 0 .. $#$at / 2;
        my $early = grep { $at->[2 * $_] < $at->[2 * $_ - 2] } 1 .. $#again;

        is(@again, $sum, "$arm->{name}: each arrival is written");
        is(scalar(grep { $_ } @again), $r->{metrics}{hedge},
           "$arm->{name}: hedges arrive as extra ones");
        is($early, 0, "$arm->{name}: in the order of their moments");
        cmp_ok(abs(($at->[-2] - $at->[0]) / 2e6 - 1), '<', 0.4,
               "$arm->{name}: which are those of two seconds");
    }

    is($run->{off}{metrics}{hedge}, 0, 'off: no hedges');
    cmp_ok($run->{off}{latency}{p99}, '>=', 200, 'off: p99');

    # the same requests are slow in both: none that is not has to be hedged,
    # but on a machine that stands still now and then

    my @slow = grep { $run->{off}{us}[$_] >= 200_000 } 0 .. 299;

    cmp_ok(scalar @slow, '>=', 15, 'slow requests: ' . @slow);
    cmp_ok($run->{on}{metrics}{hedge}, '>=', @slow, 'on: each one is hedged');
    cmp_ok($run->{on}{latency}{p90}, '<', 200, 'on: most win');
    is($run->{on}{metrics}{primary}, 300, 'on: primary attempts');

    $bench->ctl($arms[0]{sim}, 'scale?10');
    cmp_ok($bench->pair(rate => 50, n => 10)->{off}{latency}{p50}, '>=', 20,
           'a shift');

    $bench->stop;
}


sub fan_out {
    my $sim = $bench->peers(dist => 'exponential:5');
    my $real = run_load($sim->{ports}[0], '-r', 1000, '-n', 600, '-f', 20,
                        '-c', 100, '-w', 100);
    my $us = SmartBench::slurp_us("$bench->{temp}/us");
    my @whole;

    for my $i (5 .. 29) {
        push @whole, (sort { $b <=> $a } @$us[20 * $i .. 20 * $i + 19])[0];
    }

    cmp_ok(abs($real->{whole}{p50} - SmartBench::median(@whole) / 1e3), '<',
           0.001, 'the whole is as slow as its slowest leaf');
    cmp_ok($real->{whole}{p50}, '>', 2 * $real->{latency}{p50},
           'which is far slower than a leaf');

    finish($sim);
}


sub run_load {
    my ($port, @args) = @_;

    my $load = $bench->program('load');

    open my $out, '-|', $load, @args, '-o', "$bench->{temp}/us",
        "127.0.0.1:$port", '/' or die "load: $!\n";
    my $line = readline $out;
    close $out;

    return JSON::PP::decode_json($line);
}


sub finish {
    my ($sim) = @_;

    close $sim->{in};
    waitpid $sim->{pid}, 0;
    is($?, 0, 'the upstream ends with its standard input');
}
