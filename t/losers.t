# Losing attempts: they are cancelled as soon as the winner's header is there,
# whatever they are doing, and nothing else is harmed by that.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartServer;

# how long a loser would go on, ms; what is prompt is told by ratio to that
use constant LONG => 20000;

SmartServer->upstream;
$ENV{TEST_NGINX_HOLE1} = SmartServer::blackhole_addr();
$ENV{TEST_NGINX_HOLE2} = SmartServer::blackhole_addr();

my $ngx = SmartServer->start(conf => conf(), files => certificate());

my $id = 0;

# a first request and its log line, so that nothing lazy counts as a leak
$ngx->get('/one/?s=ok');

my $rest = $ngx->fds(($ngx->worker_pids)[0]);


# what the loser does, and which attempt it is

loses('a primary that waits for its header', '/one/', 'attempts=2 done=1',
      's=delay:LONG|size:1000,1', 1000, 1);

loses('a primary that never answers, unbuffered', '/unbuffered/',
      'attempts=2 done=1', 's=hang|size:1000,1', 1000, 1);

loses('a primary within its header', '/one/', 'attempts=2 done=1',
      's=parthead:LONG|size:1000,1', 1000, 1);

loses('a primary within its header, unbuffered', '/unbuffered/',
      'attempts=2 done=1', 's=parthead:LONG|size:1000,1', 1000, 1);

loses('a primary after an interim response', '/one/', 'attempts=2 done=1',
      's=interim:102;delay:LONG|size:1000,1', 1000, 1);

loses('a hedge that waits for its header', '/one/', 'attempts=2 done=1',
      's=delay:300;size:1000,2|delay:LONG', 1000, 2);

loses('a hedge within its header', '/one/', 'attempts=2 done=1',
      's=delay:300;size:1000,2|parthead:LONG', 1000, 2);

loses('a primary and two hedges', '/three/', 'attempts=4 done=1',
      's=delay:LONG|parthead:LONG|delay:200;size:1000,3|delay:LONG', 1000, 3,
      3);

loses('three hedges', '/three/', 'attempts=4 done=1',
      's=delay:300;size:1000,2|hang|parthead:LONG|delay:LONG', 1000, 2, 3);

loses('a hedge beside another one, the primary has failed', '/three/',
      'attempts=4 done=2',
      's=status:503|delay:200;size:1000,2|hang|parthead:LONG', 1000, 2, 2);

loses('hedges that start step by step', '/step/', 'attempts=3 done=1',
      's=hang|delay:LONG|size:1000,2', 1000, 2, 2);

# not longer, or the upstream may see the close before it notes that it is done
loses('a primary, before a long body of the hedge', '/one/',
      'attempts=2 done=1', 's=delay:LONG|size:900000,1', 900_000, 1);

loses('a primary that has a request body', '/one/', 'attempts=2 done=1',
      's=delay:LONG|size:1000,1', 1000, 1, 1, method => 'POST',
      body => 'b' x 100_000);

loses_early();


# not connected yet, or not through the handshake: only the descriptors tell

hidden('a primary that connects to a black hole', '/hole_first/',
       's=delay:300;body:hedge');
hidden('a hedge that connects to a black hole', '/hole_last/',
       's=delay:300;body:primary');
hidden('a primary in a TLS handshake', '/tls_first/', 's=delay:300;body:hedge');
hidden('a hedge in a TLS handshake', '/tls_last/', 's=delay:300;body:primary');


# max_fails

for my $upstream (qw( fails fails_zone fails_keepalive fails_least
                      fails_hash ))
{
    uncharged($upstream);
}

charged('holes', 'a primary that never connects');
charged('holes_zone', 'a primary that never connects, zone');
charged('hole_hedge', 'a hedge that never connects');


# at rest

is(SmartServer->ctl('busy?ms=900'), "0\n", 'no request left at the upstream');

SKIP: {
    skip 'no stub_status', 1 if !defined $ngx->stub_status->{active};

    # the asking connection is one of them
    ok(SmartServer::wait_for(sub { $ngx->stub_status->{active} == 1 }, 5),
       'no connection is active');
}

# without the pool of connections of fails_keepalive, which time out
ok(SmartServer::wait_for(sub { at_rest() }, 5),
   'descriptors are as many as before')
    or diag $ngx->fds(($ngx->worker_pids)[0]), " after $rest";

$ngx->stop(name => 'no socket is left');

done_testing;


sub loses {
    my ($name, $uri, $expected, $script, $size, $seed, $losers, %opt) = @_;

    my $long = LONG;

    $id++;
    $losers //= 1;
    $script =~ s/LONG/$long/g;

    my $r = $ngx->get("$uri?id=$id&$script", %opt);

    is("$r->{status} $r->{complete} $r->{md5}",
       '200 1 ' . SmartServer->pattern_md5($size, $seed),
       "loser: $name: the winner's answer");

    is(SmartServer->ctl("cancelled?id=$id&ms=" . LONG / 2),
       "$expected cancelled=$losers open=0\n", "loser: $name: is closed");

    my $lag = SmartServer->ctl("lag?id=$id");

    # -1 is no such event
    ok($lag > -LONG / 20 && $lag != -1 && $lag < LONG / 20,
       "loser: $name: at once") or diag "after $lag ms";
}


# the answer of the winner takes its time, losers do not wait for its end

sub loses_early {
    my $c = $ngx->connect;

    $c->request('/one/?id=early&s=hang|bodydelay:900;size:1000,1');

    is(SmartServer->ctl('wait?id=early&ms=5000'), "ok 1\n",
       'losers are closed before the body');
    unlike(SmartServer->ctl('log?id=early'), qr/ done /,
           'the body has not come by then');

    $c->read_header;
    is($c->read_body->{size}, 1000, 'the body comes in the end');
    $c->close;
}


sub hidden {
    my ($name, $uri, $script) = @_;

    my ($pid) = $ngx->worker_pids;

    SmartServer::wait_for(sub { at_rest() }, 5);

    my $open = SmartServer->ctl('open?');
    my $before = $ngx->fds($pid);

    # a client that stays, so that its descriptor is there for sure
    my $c = $ngx->connect;

    $c->request("$uri?id=" . ++$id . "&$script");

    my $most = 0;

    SmartServer::wait_for(sub {
        my $n = $ngx->fds($pid);
        $most = $n if $n > $most;
        return $most >= $before + 3;
    }, 1);

    my $head = $c->read_header;
    my $body = $c->read_body;

    is($head->{status}, 200, "loser: $name: the winner's answer");
    is($head->{headers}{'x-attempts'}, 2, "loser: $name: there was a hedge");
    cmp_ok($body->{ms}, '<', LONG / 5, "loser: $name: is not waited for");

    # two attempts and the client; a TLS server of our own would add to that
    cmp_ok($most, '>=', $before + 3, "loser: $name: had a descriptor");

    ok(SmartServer::wait_for(sub { $ngx->fds($pid) <= $before + 1 }, 5),
       "loser: $name: is closed")
        or diag $ngx->fds($pid), " descriptors after $before";

    SmartServer::wait_for(sub { SmartServer->ctl('open?') <= $open }, 5);
    cmp_ok(SmartServer->ctl('open?'), '<=', $open,
           "loser: $name: none at the upstream");

    $c->close;
}


sub at_rest {
    return $ngx->fds(($ngx->worker_pids)[0]) <= $rest;
}


# a lost race is no failure: both peers go on to get primaries

sub uncharged {
    my ($upstream) = @_;

    my (%primaries, @bad);

    for my $n (1 .. 16) {
        my $name = "$upstream-$n";
        my $r = $ngx->get("/$upstream/?k=$n&id=$name&s=hang|body:hedge");

        push @bad, $r->{status} if $r->{body} ne 'hedge';
        SmartServer->ctl("cancelled?id=$name&ms=5000");

        my ($first) = @{ SmartServer->ctl_json("requests?id=$name") };
        $primaries{$first->{peer}}++ if $n > 4;
    }

    is("@bad", '', "$upstream: every request is answered by a hedge");
    is(join(' ', sort keys %primaries), '1 2',
       "$upstream: max_fails is untouched by cancelled losers");
}


# three losers in a row that have waited for connections are a failure

sub charged {
    my ($upstream, $name) = @_;

    my (@attempts, @late);

    for my $n (1 .. 16) {
        my $slow = $upstream eq 'hole_hedge' ? 'delay:300;body:x' : 'body:x';
        my $r = $ngx->get("/$upstream/?s=$slow");

        push @attempts, $r->{headers}{'x-attempts'} // 'none';
        push @late, $r->{ms} if $r->{status} != 200 || $r->{ms} > LONG / 5;
    }

    is("@late", '', "$upstream: no request waits for the black hole");

    if ($upstream eq 'hole_hedge') {
        # the hedge finds no other peer than the primary's own in the end
        my $log = $ngx->access_log;
        my @holes = $log =~ m{^/hole_hedge/.*\Q$ENV{TEST_NGINX_HOLE1}\E}mg;

        cmp_ok(scalar @holes, '>=', 3, "$upstream: the hole was tried");
        cmp_ok(scalar @holes, '<=', 6, "$upstream: $name is charged");
        return;
    }

    is(scalar(grep { $_ == 2 } @attempts), 3, "$upstream: the hole was tried");
    is(join(' ', @attempts[-6 .. -1]), '1 1 1 1 1 1',
       "$upstream: $name is charged");
}


sub certificate {
    my $pem = qx(openssl req -x509 -newkey rsa:2048 -nodes -days 2 \\
                 -subj /CN=localhost -keyout - 2>/dev/null);

    return { 'cert.pem' => $pem };
}


sub conf {
    return <<'CONF';
log_format smart '$uri $status $smart_outcome $smart_attempts $upstream_addr';
access_log %%DIR%%/logs/access.log smart;

add_header X-Attempts $smart_attempts;

proxy_read_timeout 60s;
proxy_connect_timeout 60s;
proxy_http_version 1.1;
proxy_set_header Connection close;
proxy_next_upstream off;

smart_hedge_budget off;
smart_hedge 50ms;
smart_hedge_methods GET HEAD POST;

upstream one { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; }

upstream hole_first {
    server $TEST_NGINX_HOLE1 weight=1000 max_fails=0;
    server $TEST_NGINX_UP1;
}

upstream hole_last {
    server $TEST_NGINX_UP1 weight=1000;
    server $TEST_NGINX_HOLE1 max_fails=0;
}

# a scripted listener waits for the end of a header and so for ever
upstream tls_first {
    server $TEST_NGINX_UP3 weight=1000;
    server 127.0.0.1:%%PORT_2%%;
}

upstream tls_last {
    server 127.0.0.1:%%PORT_2%% weight=1000;
    server $TEST_NGINX_UP3;
}

upstream fails {
    server $TEST_NGINX_UP1 max_fails=1 fail_timeout=60s;
    server $TEST_NGINX_UP2 max_fails=1 fail_timeout=60s;
}

upstream fails_zone {
    zone fails_zone 64k;
    server $TEST_NGINX_UP1 max_fails=1 fail_timeout=60s;
    server $TEST_NGINX_UP2 max_fails=1 fail_timeout=60s;
}

upstream fails_keepalive {
    server $TEST_NGINX_UP1 max_fails=1 fail_timeout=60s;
    server $TEST_NGINX_UP2 max_fails=1 fail_timeout=60s;
    keepalive 8;
    keepalive_timeout 300ms;
}

upstream fails_least {
    least_conn;
    server $TEST_NGINX_UP1 max_fails=1 fail_timeout=60s;
    server $TEST_NGINX_UP2 max_fails=1 fail_timeout=60s;
}

upstream fails_hash {
    hash $arg_k;
    server $TEST_NGINX_UP1 max_fails=1 fail_timeout=60s;
    server $TEST_NGINX_UP2 max_fails=1 fail_timeout=60s;
}

upstream holes {
    server $TEST_NGINX_HOLE1 fail_timeout=60s;
    server $TEST_NGINX_UP1;
    server $TEST_NGINX_UP2;
}

upstream holes_zone {
    zone holes_zone 64k;
    server $TEST_NGINX_HOLE1 fail_timeout=60s;
    server $TEST_NGINX_UP1;
    server $TEST_NGINX_UP2;
}

upstream hole_hedge {
    server $TEST_NGINX_UP1 weight=1000;
    server $TEST_NGINX_HOLE1 fail_timeout=60s;
}

map $uri $target {
    "~^/(?<name>[^/]+)/" $name;
}

server {
    listen 127.0.0.1:%%PORT%%;

    location /one/ {
        proxy_pass http://one;
    }

    location ~ ^/holes {
        smart_hedge 100ms;
        proxy_pass http://$target;
    }

    location /unbuffered/ {
        proxy_buffering off;
        proxy_pass http://one;
    }

    location /three/ {
        smart_hedge 50ms extra=3;
        proxy_pass http://one;
    }

    location /step/ {
        smart_hedge 50ms extra=7 step=100ms;
        proxy_pass http://one;
    }

    location /tls_first/ {
        proxy_pass https://tls_first;
    }

    location /tls_last/ {
        proxy_pass https://tls_last;
    }

    location /fails_keepalive/ {
        proxy_set_header Connection "";
        proxy_pass http://fails_keepalive;
    }

    location ~ ^/(hole|fails)[^/]*/ {
        proxy_pass http://$target;
    }
}

server {
    listen 127.0.0.1:%%PORT_2%% ssl;
    access_log off;
    ssl_certificate %%DIR%%/cert.pem;
    ssl_certificate_key %%DIR%%/cert.pem;
    smart_hedge off;

    location / {
        keepalive_timeout 0;
        proxy_pass http://$TEST_NGINX_UP1;
    }
}
CONF
}
