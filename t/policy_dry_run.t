use strict;
use warnings;

# A dry run, what hedges save, and hedges that would come too late.

use Test::More;
use SmartMetrics;
use SmartServer;

SmartServer->upstream;

my $ngx = SmartServer->start(workers => 2, conf => <<'CONF');
map $arg_policy $policy {
    feed     "p50 warmup=0 min=5s";
    default  "60ms";
}

upstream u {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
    server $TEST_NGINX_UP3 max_fails=0;
}

add_header X-Suppressed  $smart_suppressed  always;
add_header X-Outcome     $smart_outcome     always;
add_header X-Attempts    $smart_attempts    always;

proxy_next_upstream off;
smart_hedge_budget off;

server {
    listen 127.0.0.1:%%PORT%%;
    server_name test;

    location /deadline {
        smart_hedge 50ms;
        smart_timeout $arg_timeout;
        proxy_pass http://u;
    }

    location /percentile {
        smart_hedge p90 warmup=20;
        smart_timeout $arg_timeout;
        proxy_pass http://u;
    }

    location /dry {
        smart_hedge 60ms;
        smart_hedge_dry_run on;
        smart_hedge_methods GET POST;
        proxy_pass http://u;
    }

    location /steps {
        smart_hedge 50ms extra=3 step=50ms;
        smart_hedge_dry_run on;
        proxy_pass http://u;
    }

    location /together {
        smart_hedge 50ms extra=3;
        smart_hedge_dry_run on;
        proxy_pass http://u;
    }

    location /budget {
        smart_hedge 50ms;
        smart_hedge_dry_run on;
        smart_hedge_budget 0% burst=2;
        proxy_pass http://u;
    }

    location /percent {
        smart_hedge p95 warmup=50;
        smart_hedge_dry_run on;
        proxy_pass http://u;
    }

    location /real { smart_hedge $policy; proxy_pass http://u; }

    location /metrics { smart_metrics; }
}
CONF

my $id = 0;


# nothing is sent, all is counted

my $r = get('/dry', 'ok');
is said($r), '- primary 1', 'a fast request';
is(value('dry_run_hedges_total', '/dry'), 0, 'needs no hedge');

load('/dry', 60, 'delay:10');

my $before = value('dry_run_hedges_total', '/dry');
my $saved = value('saved_seconds_total', '/dry');

for (1 .. 5) {
    $r = get('/dry', 'delay:500;body:first|body:second');
    is $r->{body}, 'first', "slow request $_";
    is said($r), '- primary 1', 'is not hedged';
    is attempts(), 1, 'not at all';
}

is(value('dry_run_hedges_total', '/dry'), $before + 5,
   'but would have been, each by one');

$saved = value('saved_seconds_total', '/dry') - $saved;
cmp_ok $saved, '>=', 5 * 0.35, 'they would have saved about 430 ms each';
cmp_ok $saved, '<=', 5 * 0.5, 'and not more than they took';

$r = get('/dry', 'status:503;body:first|body:second');
is $r->{status}, 503, 'a failure';
is $r->{body}, 'first', 'is passed on';
is said($r), '- failed 1', 'without a hedge';
is(value('dry_run_hedges_total', '/dry'), $before + 6, 'it counts, too');

my $c = $ngx->connect;
$c->request('/dry?id=' . ++$id . '&s=delay:300;echo', method => 'POST',
            body => 'x' x 1000);
is $c->read_header->{status}, 200, 'a request with a body';
like $c->read_body->{body}, qr/"body_size":1000\b/, 'goes through';
is(value('dry_run_hedges_total', '/dry'), $before + 7, 'it counts, too');

get('/steps', 'delay:130');
is(value('dry_run_hedges_total', '/steps'), 2, 'two of three steps');
get('/steps', 'delay:600');
is(value('dry_run_hedges_total', '/steps'), 5, 'three of three');
get('/together', 'delay:300');
is(value('dry_run_hedges_total', '/together'), 3, 'three at once');
get('/together', 'delay:80|delay:80', 'status:503');
is(value('dry_run_hedges_total', '/together'), 6, 'and not once more');

get('/budget', 'delay:200') for 1 .. 2;
is said(get('/budget', 'delay:200')), 'budget primary 1',
    'the budget is used up';
is(value('dry_run_hedges_total', '/budget'), 2, 'as by real ones');

is said(get('/percent', 'delay:200')), 'warmup primary 1',
    'a percentile warms up';
load('/percent', 100, 'delay:10');
pass_time();
is said(get('/percent', 'delay:400')), '- primary 1', 'and is known then';
cmp_ok(value('dry_run_hedges_total', '/percent'), '>=', 1, 'counted');

is(value('attempts_total', $_, attempt => 'hedge'), 0, "none is sent by $_")
    for qw( /dry /steps /together /budget /percent );


# what a hedge that has won saved: as much as others take longer

load('/real', 40, 'delay:10');
load('/real', 10, 'delay:900', 'feed');

$saved = value('saved_seconds_total', '/real');

for (1 .. 5) {
    $r = get('/real', 'hang|body:second');
    is $r->{body}, 'second', "hedge $_";
}

$saved = value('saved_seconds_total', '/real') - $saved;
cmp_ok $saved, '>=', 5 * 0.3, 'hedges saved something';
cmp_ok $saved, '<=', 5 * 1, 'and not too much';

$saved = value('saved_seconds_total', '/real');

is said(get('/real', 'status:503|body:second')), '- hedge 2',
    'a hedge after a failure';
is said(get('/real', 'delay:100|delay:900')), '- primary 2',
    'a hedge that lost';
is(value('saved_seconds_total', '/real'), $saved, 'save no time');


# a hedge that would come too late is not sent

$r = get('/deadline', 'delay:100;body:first|hang', 'timeout=140');
is said($r), '- primary 2', 'nothing is known of the latency yet';

load('/deadline', 30, 'delay:200');
pass_time();

$r = get('/deadline', 'hang', 'timeout=150');
is $r->{status}, 504, 'the deadline passes';
is said($r), 'deadline timeout 1', 'a hedge would have come too late';

$r = get('/deadline', 'status:503', 'timeout=100');
is said($r), 'deadline failed 1', 'so would one after the failure';

$r = get('/deadline', 'hang|body:second', 'timeout=3000');
is said($r), '- hedge 2', 'there is time';

$r = get('/deadline', 'hang|body:second');
is said($r), '- hedge 2', 'there is no deadline';

is(value('suppressed_total', '/deadline', reason => 'deadline'), 2,
   'counted');

load('/percentile', 60, 'delay:150');
pass_time();
is said(get('/percentile', 'hang', 'timeout=300')), 'deadline timeout 1',
    'a percentile: 150 ms are too short';
is said(get('/percentile', 'hang|body:second', 'timeout=5000')), '- hedge 2',
    'some seconds are enough';

my $m = SmartMetrics->settle(sub { !$_[0]->identities }, $ngx->addr,
                             '/metrics');
is_deeply [$m->errors, $m->contract, $m->identities], [], 'metrics';

$ngx->stop;

done_testing;


sub get {
    my ($uri, $script, $more) = @_;

    return $ngx->get("$uri?id=" . ++$id . "&s=$script&" . ($more // ''));
}


sub attempts {
    my $n = SmartServer->ctl("count?id=$id");

    return $n + 0;
}


sub load {
    my ($uri, $n, $script, $policy) = @_;

    my @all = $ngx->load(uri => "$uri?s=$script&policy=" . ($policy // ''),
                         requests => $n, concurrency => 10);

    is scalar(grep { $_->[0] } @all), $n, "$n answers of $uri, $script";
}


# reason, outcome and attempts that an answer tells of

sub said {
    my ($r) = @_;

    return join ' ', map { $r->{headers}{"x-$_"} // '-' }
                         qw( suppressed outcome attempts );
}


# workers remember what they have read for 100 ms

sub pass_time { select undef, undef, undef, 0.15 }


sub value {
    my ($name, $location, @labels) = @_;

    return SmartMetrics->scrape($ngx->addr, '/metrics')
                       ->value($name, location => $location, @labels);
}
