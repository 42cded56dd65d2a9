use strict;
use warnings;

# Extra attempts stay within a share of the requests, over all workers.

use Test::More;
use SmartMetrics;
use SmartServer;

SmartServer->upstream;

my $conf = <<'CONF';
upstream u {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
    server $TEST_NGINX_UP3 max_fails=0;
}

add_header X-Suppressed  $smart_suppressed  always;
add_header X-Outcome     $smart_outcome     always;
add_header X-Attempts    $smart_attempts    always;

proxy_next_upstream off;

server {
    listen 127.0.0.1:%%PORT%%;
    server_name test;

    smart_hedge 20ms;

    location /default { proxy_pass http://u; }
    location /burst { smart_hedge_budget 0% burst=3; proxy_pass http://u; }
    location /none { smart_hedge_budget 0% burst=0; proxy_pass http://u; }
    location /off { smart_hedge_budget off; proxy_pass http://u; }
    location /three {
        smart_hedge 20ms extra=3;
        smart_hedge_budget 0% burst=4;
        proxy_pass http://u;
    }
    location /load {
        smart_hedge 0;
        smart_hedge_budget 10% burst=5;
        proxy_pass http://u;
    }
    location /metrics { smart_metrics; }
}
CONF

my $ngx = SmartServer->start(workers => 4, conf => $conf);
my $id = 0;

is(tokens('/default'), '10.000', 'by default ten tokens at the start');
is(tokens('/burst'), '3.000', 'another burst');
is(tokens('/off'), '+Inf', 'no budget');


# a denied hedge leaves the request as it was

for (1 .. 3) {
    is get('/burst', 'hang|body:second')->{body}, 'second', "hedge $_";
}

my $r = get('/burst', 'delay:300;body:first|body:second');
is $r->{body}, 'first', 'no token is left: the primary answers';
is said($r), 'budget primary 1', 'for that reason';
is(tokens('/burst'), '0.000', 'the metric says so');

$r = get('/burst', 'status:503;body:first|body:second');
is $r->{status}, 503, 'nor is one left for a failure';
is $r->{body}, 'first', 'which is passed on as it came';
is said($r), 'budget failed 1', 'for that reason';

is(value('suppressed_total', '/burst', reason => 'budget'), 2, 'counted');

$r = get('/none', 'delay:300;body:first|body:second');
is said($r), 'budget primary 1', 'a budget of nothing';

for (1 .. 15) {
    $r = get('/off', 'hang|body:second');
    is $r->{body}, 'second', "without a budget: hedge $_";
}


# fewer tokens than hedges: as many as there are

$r = get('/three', 'hang|hang|hang|body:fourth');
is said($r), '- hedge 4', 'three at once';
$r = get('/three', 'hang|body:second');
is said($r), '- hedge 2', 'one of three';
$r = get('/three', 'delay:200;body:first');
is said($r), 'budget primary 1', 'none of three';


# many at once, by all workers: the share and the burst, no more and no less

my $n = 2000;
my @all = $ngx->load(uri => '/load?s=delay:30', requests => $n,
                     concurrency => 50);

is scalar(grep { $_->[0] == 200 } @all), $n, 'all are answered';

my $m = SmartMetrics->settle(sub {
    $_[0]->value('requests_in_flight', location => '/load') == 0
}, $ngx->addr, '/metrics');

my $hedges = $m->value('attempts_total', location => '/load',
                       attempt => 'hedge');
my $denied = $m->value('suppressed_total', location => '/load',
                       reason => 'budget');

cmp_ok $hedges, '<=', $n / 10 + 5, 'at most 10 % and the burst';
cmp_ok $hedges, '>=', $n / 10 - 5, 'and not less';
is $hedges + $denied, $n, 'the others are denied';
is_deeply([$m->errors, $m->contract, $m->identities], [], 'metrics');


# a reload and the death of workers give no new tokens

$ngx->reload;
$r = get('/burst', 'delay:300;body:first|body:second');
is said($r), 'budget primary 1', 'after a reload';

my @pids = $ngx->worker_pids;
kill KILL => @pids;

ok(SmartServer::wait_for(sub {
       my %old = map { $_ => 1 } @pids;
       return 4 == grep { !$old{$_} } $ngx->worker_pids;
   }, 10), 'new workers');

$r = get('/burst', 'delay:300;body:first|body:second');
is said($r), 'budget primary 1', 'after the workers were killed';

ok $ngx->reload($conf =~ s/0% burst=3/0% burst=2/r), 'a smaller budget';
is(tokens('/burst'), '0.000', 'is as empty');

ok $ngx->reload($conf =~ s/0% burst=3/50% burst=5/r), 'a larger budget';
cmp_ok(tokens('/burst'), '<', 5, 'is not full at once');

get('/burst', 'ok') for 1 .. 3;
$r = get('/burst', 'hang|body:second');
is said($r), '- hedge 2', 'it fills by requests';

$ngx->stop(alerts => 1);
$ngx->log_unlike(qr/\[(?:crit|emerg)\]/, 'no errors');

done_testing;


sub get {
    my ($uri, $script) = @_;

    return $ngx->get("$uri?id=" . ++$id . "&s=$script");
}


# reason, outcome and attempts that an answer tells of

sub said {
    my ($r) = @_;

    return join ' ', map { $r->{headers}{"x-$_"} // '-' }
                         qw( suppressed outcome attempts );
}


sub value {
    my ($name, $location, @labels) = @_;

    return SmartMetrics->scrape($ngx->addr, '/metrics')
                       ->value($name, location => $location, @labels);
}


sub tokens {
    my ($location) = @_;

    my ($sample) = SmartMetrics->scrape($ngx->addr, '/metrics')
        ->samples('budget_tokens', location => $location);

    return $sample->[2];
}
