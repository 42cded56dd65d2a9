# The budget shrinks where the upstream is near its limits: with queues, not
# with slow answers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/bench", "$FindBin::Bin/lib";
use SmartBench;
use Test::More;

# under sanitizers nginx itself is what is near its limits

plan(skip_all => 'once is enough') if $ENV{SMART_TEST_ASAN};

my $bench = SmartBench->new('load', undef);
my $smart = 'smart_hedge p50 max=1ms; smart_hedge_budget 20%;';
my @arms = (
    { name => 'free', smart => $smart, servers => 0 },
    { name => 'full', smart => $smart, servers => 2 },
);

# 12 ms each by six servers: 500 requests/s would be all that they can do

$bench->start(\@arms, dist => 'lognormal:12,0.3', workers => 2);
$bench->pair(rate => 400, n => 1600);

my $run = $bench->pair(rate => 400, n => 1600);

$bench->stop;

for my $arm (@arms) {
    my $r = $run->{$arm->{name}};

    is($r->{'2xx'}, 1600, "$arm->{name}: all answered");
    note "$arm->{name}: $r->{hedges} hedges a request, p50 "
        . "$r->{latency}{p50} ms";
}

# a machine that is busy otherwise is a queue itself

cmp_ok($run->{free}{hedges}, '>', 0.1, 'no queue: most of the budget');
cmp_ok($run->{free}{hedges}, '<=', 0.21, 'no queue: no more than all of it');
cmp_ok($run->{full}{hedges}, '<', $run->{free}{hedges} / 2,
       'queues: less than half of that');
cmp_ok($run->{full}{hedges}, '>', 0.01, 'queues: some of it');
cmp_ok($run->{full}{metrics}{no_budget}, '>', 1000, 'the reason is "budget"');

done_testing;
