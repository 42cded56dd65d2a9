use strict;
use warnings;

# The delay is a percentile of the latencies of about the last 30 s.

use Test::More;
use SmartMetrics;
use SmartServer;

SmartServer->upstream;

my $conf = <<'CONF';
map $arg_policy $policy {
    p50      "p50 warmup=20";
    p95      "p95 warmup=20 extra=2";
    min      "p50 warmup=20 min=700ms max=900ms";
    max      "p95 warmup=20 max=25ms";
    off      "off";
    bad      "p49";
    default  "p90 warmup=0";
}

upstream u {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
    server $TEST_NGINX_UP3 max_fails=0;
}

smart_hedge_budget off;

add_header X-Delay       $smart_delay       always;
add_header X-Suppressed  $smart_suppressed  always;
add_header X-Outcome     $smart_outcome     always;
add_header X-Attempts    $smart_attempts    always;

server {
    listen 127.0.0.1:%%PORT%%;
    server_name test;
    proxy_next_upstream off;

    location /a { smart_hedge p90 warmup=50; proxy_pass http://u; }
    location /b { smart_hedge p90 warmup=50; proxy_pass http://u; }
    location /losers { smart_hedge p90 warmup=50; proxy_pass http://u; }
    location /many { smart_hedge p50 warmup=2000; proxy_pass http://u; }
    location /fixed { smart_hedge 50ms; proxy_pass http://u; }
    location /v { smart_hedge $policy; proxy_pass http://u; }
    location /metrics { smart_metrics; }
}
CONF

my $ngx = SmartServer->start(workers => 2, conf => $conf);
my $id = 0;


# no hedge before there are enough latencies

is(delay_seconds('/a'), 0, 'no delay in force yet');

my $r = get('/a', 'delay:300;body:first|body:second');
is $r->{body}, 'first', 'the first request ever is not hedged';
is said($r), '- warmup primary 1', 'for that reason';

$r = get('/a', 'status:503|body:second');
is $r->{status}, 503, 'nor is a failure';
is said($r), '- warmup failed 1', 'for that reason';

load('/a', 46, 'delay:20');
pass_time();
$r = get('/a', 'delay:200;body:first|body:second');
is said($r), '- warmup primary 1', 'the 48th, the failure does not count';

load('/a', 2, 'delay:20');
pass_time();
$r = get('/a', 'hang|body:second');
is $r->{body}, 'second', 'the 51st is';
like said($r), qr/^\d+ - hedge 2$/, 'without a reason';

my $d = $r->{headers}{'x-delay'};
cmp_ok $d, '>=', 20, 'after the 90th percentile, not before';
cmp_ok $d, '<', 200, 'long before the longest';
cmp_ok $r->{ms}, '>=', $d, 'the hedge waited for the delay';
is(delay_seconds('/a'), $d / 1000, 'the metric says so');
is(value('suppressed_total', '/a', reason => 'warmup'), 3, 'what is counted');

$r = get('/b', 'delay:300;body:first|body:second');
is said($r), '- warmup primary 1', 'another location has its own';

$r = get('/a', 'status:503|body:second');
is $r->{body}, 'second', 'a failure is hedged after the warm-up';


# fast failures say nothing of latency

load('/b', 200, 'status:503');
pass_time();
$r = get('/b', 'delay:500;body:first|body:second');
is said($r), '- warmup primary 1', 'fast failures do not count';


# losers count at their age: the delay goes up, it would not by winners alone

load('/losers', 60, 'delay:30');
pass_time();
$r = get('/losers', 'delay:30');
$d = $r->{headers}{'x-delay'};
cmp_ok $d, '>=', 30, 'a delay by winners';

for (1 .. 30) {
    get('/losers', "hang|delay:$d");
}

pass_time();
$r = get('/losers', 'delay:30');
cmp_ok $r->{headers}{'x-delay'}, '>=', $d * 1.3, 'losers raise it';


# as a variable says, request by request

is(get('/v', 'delay:300', 'p50')->{headers}{'x-suppressed'}, 'warmup',
   'nothing is known yet');

load('/v', 60, 'delay:10', 'off');
pass_time();
is(get('/v', 'delay:600', 'p50')->{headers}{'x-suppressed'}, 'warmup',
   'what is not to be hedged does not count');

load('/v', 60, 'delay:10', 'p50');
load('/v', 40, 'delay:500', 'min');
pass_time();

my %delay = map { $_ => get('/v', 'ok', $_)->{headers}{'x-delay'} // '-' }
                qw( p50 p95 min max off bad other );

cmp_ok $delay{p50}, '>=', 10, 'p50 is not below the fast ones';
cmp_ok $delay{p50}, '<', 400, 'p50 is not up to the slow ones';
cmp_ok $delay{p95}, '>=', 25, 'p95 is beyond the fast ones';
is $delay{min}, 700, 'min holds';
is $delay{max}, 25, 'max holds';
is $delay{off}, '-', 'off has no delay';
is $delay{bad}, '-', 'nor has what is wrong';
cmp_ok $delay{other}, '>=', $delay{p50}, 'no warm-up at all';

$r = get('/v', 'hang|hang|body:third', 'p95');
is $r->{body}, 'third', 'two hedges';
$r = get('/v', 'hang|body:second', 'p50');
is $r->{body}, 'second', 'one hedge';


# what is known outlives a reload and the death of workers

load('/many', 700, 'ok');
$ngx->reload;
load('/many', 700, 'ok');

$r = get('/a', 'hang|body:second');
is $r->{body}, 'second', 'a hedge after the reload';
cmp_ok $r->{headers}{'x-delay'}, '>=', 20, 'after the same delay';

my @pids = $ngx->worker_pids;
kill KILL => @pids;

ok(SmartServer::wait_for(sub {
       my %old = map { $_ => 1 } @pids;
       return 2 == grep { !$old{$_} } $ngx->worker_pids;
   }, 10), 'new workers');

$r = get('/many', 'delay:100');
is said($r), '- warmup primary 1', 'a long warm-up goes on';

load('/many', 700, 'ok');
pass_time();
$r = get('/many', 'hang|body:second');
is $r->{body}, 'second', 'and ends';

$r = get('/a', 'hang|body:second');
is $r->{body}, 'second', 'a hedge after the workers were killed';


# a latency of milliseconds gives a delay of milliseconds

load('/b', 300, 'ok', '', 2);
pass_time();
$r = get('/b', 'hang|body:second');
is $r->{body}, 'second', 'fast answers, a fast hedge';
cmp_ok $r->{headers}{'x-delay'}, '>=', 1, 'at least a millisecond';
cmp_ok $r->{headers}{'x-delay'}, '<', 100, 'and not many';

is(delay_seconds('/fixed'), 0.05, 'a fixed delay is always in force');
is_deeply([metrics()->errors, metrics()->contract], [], 'metrics');

$ngx->stop(alerts => 1);
$ngx->log_unlike(qr/\[(?:crit|emerg)\]/, 'no errors');

done_testing;


sub get {
    my ($uri, $script, $policy) = @_;

    return $ngx->get("$uri?id=" . ++$id . '&policy=' . ($policy // '')
                     . "&s=$script");
}


sub load {
    my ($uri, $n, $script, $policy, $concurrency) = @_;

    my @all = $ngx->load(uri => "$uri?s=$script&policy=" . ($policy // ''),
                         requests => $n,
                         concurrency => $concurrency // 20);

    is scalar(grep { $_->[0] } @all), $n, "$n answers of $uri, $script";
}


# delay, reason, outcome and attempts that an answer tells of

sub said {
    my ($r) = @_;

    return join ' ', map { $r->{headers}{"x-$_"} // '-' }
                         qw( delay suppressed outcome attempts );
}


# workers remember what they have read for 100 ms

sub pass_time { select undef, undef, undef, 0.15 }


sub metrics { return SmartMetrics->scrape($ngx->addr, '/metrics') }


sub value {
    my ($name, $location, @labels) = @_;

    return metrics()->value($name, location => $location, @labels);
}


sub delay_seconds { return value('delay_seconds', $_[0]) }
