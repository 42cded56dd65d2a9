# Connections that outlive a hedged request: the client's, on which the next
# request must not wait for losers, and those that an upstream keeps.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartServer;

# how long a loser would go on, ms; "no wait" is a small part of that
use constant LONG => 20000;

SmartServer->upstream;

my $ngx = SmartServer->start(conf => conf());

my $id = 0;


# the client's connection

for my $mode (qw( /buffered/ /unbuffered/ )) {
    next_request($mode, 'a hedge has won', 's=hang|size:1000,1', 1000, 1);
    next_request($mode, 'a hedge has won, chunked',
                 's=hang|size:1000,1;chunked', 1000, 1);
    next_request($mode, 'a hedge has won, without a length',
                 's=hang|size:1000,1;nolen', 1000, 1);
    next_request($mode, 'a hedge has won with a long body',
                 's=hang|size:3000000,1', 3_000_000, 1);
    next_request($mode, 'the primary has won',
                 's=delay:200;size:1000,1|hang', 1000, 1);
    next_request($mode, 'a hedge has won after a bad status',
                 's=status:503|delay:50;size:1000,1', 1000, 1);
    next_request($mode, 'a hedge has won after a broken connection',
                 's=close|delay:50;size:1000,1', 1000, 1);
    next_request($mode, 'a hedge has won after a reset',
                 's=reset|delay:50;size:1000,1', 1000, 1);
}

next_request('/three/', 'the third of four has won',
             's=hang|hang|delay:100;size:1000,1|hang', 1000, 1);
next_request('/buffered/', 'a request with a body',
             's=hang|size:1000,1', 1000, 1, method => 'POST',
             body => 'x' x 200_000);
next_request('/buffered/', 'HTTP/1.0', 's=hang|size:1000,1', 1000, 1,
             version => '1.0', headers => [Connection => 'keep-alive']);

next_after_failure('every attempt has failed', '/buffered/',
                   's=status:503;body:bad', 503);
next_after_failure('every attempt has broken', '/buffered/', 's=close', 502);
next_after_failure('all failed, as JSON', '/json/', 's=status:503;body:bad',
                   502);
next_after_failure('the deadline has passed', '/deadline/', 's=hang', 504);
next_after_failure('a hedge found nothing', '/buffered/',
                   's=hang|status:404;body:bad', 404);
next_after_failure('a hedge found nothing, intercepted', '/intercept/',
                   's=hang|status:404;body:bad', 404);
next_after_failure('HEAD', '/buffered/', 's=hang|size:1000', 200,
                   method => 'HEAD');
next_after_failure('204', '/buffered/', 's=hang|status:204', 204);
next_after_failure('304', '/buffered/', 's=hang|status:304', 304);

many();


# pipelined requests

pipelined('a hedge wins', '/buffered/', 's=hang|size:1000,1');
pipelined('a hedge wins, unbuffered', '/unbuffered/', 's=hang|size:1000,1');
pipelined('the primary wins', '/buffered/', 's=delay:200;size:1000,1|hang');
pipelined('a hedge wins after a bad status', '/buffered/',
          's=status:503|delay:200;size:1000,1');
pipelined('a hedge wins after a broken connection', '/unbuffered/',
          's=close|delay:200;size:1000,1');
pipelined('a hedge wins with a long body', '/buffered/',
          's=hang|size:1000,1;bodydelay:200');


# the upstream's connections

pooled('untouched by a losing primary', '/pool/', 's=delay:LONG|body:hedge');
pooled('untouched by a losing primary, in its header', '/pool/',
       's=parthead:LONG|body:hedge');
pooled('untouched by a losing hedge', '/pool/',
       's=delay:200;body:primary|delay:LONG');
pooled('untouched by a losing primary, unbuffered', '/pool_unbuffered/',
       's=delay:LONG|body:hedge');
pooled('untouched by a losing primary, zone', '/pool_zone/',
       's=delay:LONG|body:hedge');

reused('a hedge', '/reuse/', 's=hang|size:100,1', 2, 1);
reused('a hedge, unbuffered', '/reuse_unbuffered/', 's=hang|size:100,1', 2, 1);
reused('a hedge, chunked', '/reuse/', 's=hang|size:100,1;chunked', 2, 1);
reused('a hedge, without a body', '/reuse/', 's=hang|body:', 2, 1);
reused('a hedge that came after a failure', '/reuse/',
       's=close|size:100,1', 2, 1);
reused('the primary', '/reuse/', 's=delay:150;size:100,1|hang', 2, 1);


is(SmartServer->ctl('busy?ms=900'), "0\n", 'no request left at the upstream');

SKIP: {
    skip 'no stub_status', 2 if !defined $ngx->stub_status->{active};

    ok(SmartServer::wait_for(sub { $ngx->stub_status->{active} == 1 }, 5),
       'no connection is active');
    is($ngx->stub_status->{waiting}, 0, 'no connection waits');
}

$ngx->stop(name => 'no socket is left');

done_testing;


sub answer {
    my ($c) = @_;

    my $head = $c->read_header or return { status => $c->error };

    return { %$head, %{ $c->read_body } };
}


# Two requests on a connection; the other one's time is that of an upstream that
# answers at once.

sub next_request {
    my ($mode, $name, $script, $size, $seed, %opt) = @_;

    $name = "$mode $name";

    my $c = $ngx->connect;
    my $uri = "$mode?id=" . ++$id . "&$script";

    $c->request($uri, %opt);

    my $first = answer($c);

    is("$first->{status} $first->{complete} $first->{md5}",
       '200 1 ' . SmartServer->pattern_md5($size, $seed), "$name: answer");

    if (($first->{headers}{connection} // '') eq 'close') {
        fail("$name: connection is kept") for 1 .. 2;
        return;
    }

    $c->request('/plain/?s=size:2000,2', %opt);

    my $next = answer($c);

    is("$next->{status} $next->{complete} $next->{md5}",
       '200 1 ' . SmartServer->pattern_md5(2000, 2),
       "$name: the next answer on that connection");
    cmp_ok($next->{ms}, '<', LONG / 10, "$name: comes at once");

    is(SmartServer->ctl("cancelled?id=$id&ms=5000") =~ /open=(\d+)/ && $1, 0,
       "$name: nothing left of the first");

    $c->close;
}


sub next_after_failure {
    my ($name, $uri, $script, $status, %opt) = @_;

    my $c = $ngx->connect;

    $c->request("$uri?id=" . ++$id . "&$script", %opt);
    is(answer($c)->{status}, $status, "$name: answer");

    $c->request('/plain/?s=size:2000,2');

    my $next = answer($c);

    is("$next->{status} " . ($next->{md5} // ''),
       '200 ' . SmartServer->pattern_md5(2000, 2),
       "$name: the next answer on that connection");
    cmp_ok($next->{ms} // 'inf', '<', LONG / 10, "$name: comes at once");

    $c->close;
}


# each kind of race in turn, all on one connection

sub many {
    my @scripts = ('hang|size:500,1', 'size:500,1|hang', 'close|size:500,1',
                   'delay:70;size:500,1|hang', 'status:503|size:500,1',
                   'hang|close|size:500,1', 'hang|size:500,1;chunked',
                   'parthead:' . LONG . '|size:500,1');

    my $c = $ngx->connect;
    my $md5 = SmartServer->pattern_md5(500, 1);
    my @bad;

    for my $n (0 .. 63) {
        my $script = $scripts[$n % @scripts];

        $c->request("/three/?id=" . ++$id . "&s=$script");

        my $r = answer($c);

        push @bad, "$n $script: $r->{status}"
            if $r->{status} ne 200 || $r->{md5} ne $md5
               || $r->{ms} > LONG / 4;
        last if $r->{status} !~ /^\d/;
    }

    is(join(', ', @bad), '', 'many races on one connection');
    $c->close;
}


# the other request is in nginx's buffer while the first one races

sub pipelined {
    my ($name, $uri, $script) = @_;

    my $c = $ngx->connect;

    $c->send(join '', map { "GET $_ HTTP/1.1\r\nHost: localhost\r\n\r\n" }
             "$uri?id=" . ++$id . "&$script", '/plain/?s=size:2000,2',
             "$uri?id=" . ++$id . "&$script");

    my @got = map { answer($c) } 1 .. 3;

    is(join(' ', map { "$_->{status} " . ($_->{md5} // '') } @got),
       join(' ', map { '200 ' . SmartServer->pattern_md5(@$_) }
                     [1000, 1], [2000, 2], [1000, 1]),
       "pipelined: $name");
    cmp_ok($got[2]{ms} // 'inf', '<', LONG / 5, "pipelined, at once: $name");

    $c->close;
}


# Four idle connections to one peer; a race takes two of them, and one comes
# back.

sub pooled {
    my ($name, $uri, $script) = @_;

    my $long = LONG;

    $script =~ s/LONG/$long/;

    at_once($uri, 4);

    my $accepted = SmartServer->ctl('accepted?');
    my $r = $ngx->get("$uri?id=" . ++$id . "&$script");

    is($r->{status}, 200, "pool $name: answer");
    is(SmartServer->ctl("cancelled?id=$id&ms=5000"),
       "attempts=2 done=1 cancelled=1 open=0\n", "pool $name: a race");

    at_once($uri, 3);
    is(SmartServer->ctl('accepted?') - $accepted, 0, "pool $name");

    at_once($uri, 4);
    is(SmartServer->ctl('accepted?') - $accepted, 1,
       "pool $name: but for the loser's own");
}


# so many requests at the same time that each needs a connection

sub at_once {
    my ($uri, $n) = @_;

    my @clients = map {
        my $c = $ngx->connect;
        $c->request("$uri?nohedge=1&id=" . ++$id . '&s=delay:150', close => 1);
        $c;
    } 1 .. $n;

    answer($_) for @clients;
    $_->close for @clients;
}


# how many connections the first request costs, and each further one

sub reused {
    my ($name, $uri, $script, $first, $further) = @_;

    # the pool is empty, which is what a peer that closes achieves
    empty($uri);

    my @cost;

    for my $n (1 .. 5) {
        my $accepted = SmartServer->ctl('accepted?');

        $ngx->get("$uri?id=" . ++$id . "&$script");
        SmartServer->ctl("cancelled?id=$id&ms=5000");

        push @cost, SmartServer->ctl('accepted?') - $accepted;
    }

    is("@cost", join(' ', $first, ($further) x 4),
       "the connection is kept of $name");
}


sub empty {
    my ($uri) = @_;

    my $open = SmartServer->ctl('open?');

    SmartServer::wait_for(sub {
        $ngx->get("$uri?nohedge=1&s=close-after");
        my $now = SmartServer->ctl('open?');
        my $same = $now == $open;
        $open = $now;
        return $same;
    }, 5);
}


sub conf {
    return <<'CONF';
proxy_read_timeout 60s;
proxy_http_version 1.1;
proxy_set_header Connection "";
proxy_next_upstream off;
keepalive_timeout 60s;
keepalive_requests 1000;

map $arg_nohedge $policy {
    1       off;
    default "50ms";
}

map $arg_nohedge $policy_three {
    1       off;
    default "50ms extra=3";
}

smart_hedge_budget off;
smart_hedge $policy;
smart_hedge_methods GET HEAD POST;

# what the scripts break is no reason to leave a peer alone
upstream two {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
}

upstream pool {
    server $TEST_NGINX_UP3 max_fails=0;
    keepalive 8;
}

upstream pool_zone {
    zone pool_zone 64k;
    server $TEST_NGINX_UP4 max_fails=0;
    keepalive 8;
}

upstream reuse {
    server $TEST_NGINX_UP5 max_fails=0;
    keepalive 8;
}

server {
    listen 127.0.0.1:%%PORT%%;

    location /plain/ {
        smart_hedge off;
        proxy_pass http://two;
    }

    location /buffered/ {
        proxy_pass http://two;
    }

    location /unbuffered/ {
        proxy_buffering off;
        proxy_pass http://two;
    }

    location /three/ {
        smart_hedge $policy_three;
        proxy_pass http://two;
    }

    location /json/ {
        smart_errors json;
        proxy_pass http://two;
    }

    location /deadline/ {
        smart_timeout 300ms;
        proxy_pass http://two;
    }

    location /intercept/ {
        proxy_intercept_errors on;
        proxy_pass http://two;
    }

    location /pool/ {
        proxy_pass http://pool;
    }

    location /pool_unbuffered/ {
        proxy_buffering off;
        proxy_pass http://pool;
    }

    location /pool_zone/ {
        proxy_pass http://pool_zone;
    }

    location /reuse/ {
        proxy_pass http://reuse;
    }

    location /reuse_unbuffered/ {
        proxy_buffering off;
        proxy_pass http://reuse;
    }
}
CONF
}
