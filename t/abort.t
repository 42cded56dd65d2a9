# A client that leaves: every attempt is closed, unless nginx itself would go
# on; the access log has 499 and "aborted".

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/chaos";
use H2;
use Test::More;
use Time::HiRes qw( sleep );
use SmartServer;

# how long an attempt would go on, ms
use constant LONG => 20000;

SmartServer->upstream;
$ENV{TEST_NGINX_BLACKHOLE} = SmartServer::blackhole_addr();

my $ngx = SmartServer->start(conf => conf());

my $id = 0;

# of the whole test: a descriptor that an aborted request leaves is seen here
$ngx->get('/plain/?s=ok');

my $rest = $ngx->fds(($ngx->worker_pids)[0]);


# how clients leave: [name, what to do with a client that has sent a request]

my @ways = (
    ['close',        \&plain, sub { $_[0]->close }],
    ['reset',        \&plain, sub { $_[0]->reset }],
    ['h2 close',     \&h2,    sub { $_[0]->close }],
    ['h2 reset',     \&h2,    sub { $_[0]->reset }],
    ['h2 RST_STREAM', \&h2,   sub { $_[0]->rst($_[1]); $_[0]->drain(0.1) }],
);

for my $way (@ways) {
    my $name = $way->[0];

    leaves($way, 'before the hedge', '/late/', 's=hang', 1,
           'attempts=1 done=0 cancelled=1 open=0', '499 aborted 1');

    leaves($way, 'with a hedge', '/soon/', 's=hang', 2,
           'attempts=2 done=0 cancelled=2 open=0', '499 aborted 2');

    leaves($way, 'with three hedges', '/three/', 's=hang|parthead:LONG|hang', 4,
           'attempts=4 done=0 cancelled=4 open=0', '499 aborted 4');

    leaves($way, 'parked after a bad status', '/late/',
           's=status:503|delay:LONG', 2,
           'attempts=2 done=1 cancelled=1 open=0', '499 aborted 2');

    leaves($way, 'parked after a broken connection', '/late/', 's=close|hang',
           2, 'attempts=2 done=0 cancelled=1 open=0 broken=1',
           '499 aborted 2');

    leaves($way, 'parked with some hedges', '/three/',
           's=close|hang|parthead:LONG|delay:LONG', 4,
           'attempts=4 done=0 cancelled=3 open=0 broken=1', '499 aborted 4');

    leaves($way, 'while a hedge has failed', '/soon/', 's=hang|close', 2,
           'attempts=2 done=0 cancelled=1 open=0 broken=1', '499 aborted 2');

    for my $mode (qw( soon unbuffered )) {
        leaves($way, "within the hedge's body, $mode", "/$mode/",
               's=hang|chunked:400,3000,50', 2,
               'attempts=2 done=0 cancelled=2 open=0', qr/^\d+ hedge 2$/, 1);

        leaves($way, "within the hedge's large body, $mode", "/$mode/",
               's=hang|size:300000000', 2,
               'attempts=2 done=0 cancelled=2 open=0', qr/^\d+ hedge 2$/, 1);

        leaves($way, "within the primary's body, $mode", "/$mode/",
               's=delay:300;chunked:400,3000,50|hang', 2,
               'attempts=2 done=0 cancelled=2 open=0', qr/^\d+ primary 2$/, 1);
    }

    leaves($way, 'with a deadline', '/deadline/', 's=hang', 2,
           'attempts=2 done=0 cancelled=2 open=0', '499 aborted 2');

    leaves($way, 'with a request body', '/soon/', 's=hang', 2,
           'attempts=2 done=0 cancelled=2 open=0', '499 aborted 2', 0,
           method => 'POST', body => 'b' x 20_000);

    leaves($way, 'unbuffered, with a hedge', '/unbuffered/', 's=hang', 2,
           'attempts=2 done=0 cancelled=2 open=0', '499 aborted 2');

    leaves($way, 'connecting to black holes', '/holes/', 's=hang', undef,
           undef, '499 aborted 2');
}

others_stay();
pipelined();
half_closed();


# nginx goes on where it is told to

goes_on('with a hedge', '/ignore/', 's=hang|delay:400', 2,
        'attempts=2 done=1 cancelled=1 open=0', 'hedge 2');
goes_on('with a hedge, the primary wins', '/ignore/', 's=delay:500|hang', 2,
        'attempts=2 done=1 cancelled=1 open=0', 'primary 2');
goes_on('before the hedge', '/ignore_late/', 's=hang|delay:100', 1,
        'attempts=2 done=1 cancelled=1 open=0', 'hedge 2');
goes_on('parked after a bad status', '/ignore/', 's=status:503|delay:400', 2,
        'attempts=2 done=2 cancelled=0 open=0', 'hedge 2');
goes_on('parked after a broken connection', '/ignore/', 's=close|delay:400', 2,
        'attempts=2 done=1 cancelled=0 open=0 broken=1', 'hedge 2');
goes_on('all fail', '/ignore/', 's=hang|delay:300;close|close', 2,
        undef, 'failed 2', 1);


# cacheable: nginx goes on though the client has left; it fills the entry where
# the header was there before

fills("within the primary's body", 's=delay:200;CACHE;chunked:10,300,40|hang');
fills("within the hedge's body", 's=hang|CACHE;chunked:10,300,40');
fills("within the hedge's body, by length",
      's=hang|CACHE;size:3000,1;bodydelay:300', 1);
fills("within the hedge's large body", 's=hang|CACHE;size:20000000,1', 1);
fills("within the hedge's body, parked by a close",
      's=close|CACHE;chunked:10,300,40');
fills("within the hedge's body, parked by a status",
      's=status:503|CACHE;chunked:10,300,40');

goes_on_cached('before the hedge', 's=delay:400;CACHE;size:3000,1|hang', 1, 1);
goes_on_cached('with a hedge', 's=delay:600;CACHE;size:3000,1|hang', 2, 1);
goes_on_cached('with a hedge that fails',
               's=delay:600;CACHE;size:3000,1|delay:300;close', 2, 1);
goes_on_cached('with a hedge that would answer first',
               's=delay:700;CACHE;size:3000,1|delay:300;CACHE;size:3000,1', 2,
               1);
goes_on_cached('with a hedge that would find nothing',
               's=delay:700;CACHE;size:3000,1|delay:300;status:404', 2, 1);
goes_on_cached('parked by a close', 's=close|delay:400;CACHE;size:3000,1', 2);
goes_on_cached('parked by a status',
               's=status:503|delay:400;CACHE;size:3000,1', 2);
goes_on_cached('with nothing that answers', 's=hang|delay:300;close', 2);

stores("within the hedge's body", 's=hang|chunked:10,300,40');
stores("within the primary's body", 's=delay:200;chunked:10,300,40|hang');

waits_for_lock();


is(SmartServer->ctl('busy?ms=5000'), "0\n", 'no request left at the upstream');

ok(SmartServer::wait_for(sub {
       $ngx->fds(($ngx->worker_pids)[0]) <= $rest
   }, 5), 'descriptors are as many as before')
    or diag $ngx->fds(($ngx->worker_pids)[0]), " after $rest";

SKIP: {
    skip 'no stub_status', 1 if !defined $ngx->stub_status->{active};

    ok(SmartServer::wait_for(sub { $ngx->stub_status->{active} == 1 }, 5),
       'no connection is active');
}

my ($pid) = $ngx->worker_pids;

$ngx->log_unlike(qr/worker process \d+ exited/, 'the worker has lived on');
$ngx->stop(name => 'no socket is left');

done_testing;


# clients that have sent a request: (client, stream)

sub plain {
    my ($uri, %opt) = @_;

    my $c = $ngx->connect(rcvbuf => 65536);

    $c->request($uri, %opt);

    return $c, undef;
}


sub h2 {
    my ($uri, %opt) = @_;

    my $h = H2->connect($ngx->addr(2));

    return $h, $h->request($uri, %opt);
}


# waits for the first bytes of the answer

sub begin {
    my ($c, $stream) = @_;

    return defined $stream ? $c->wait_header($stream, 10)
                           : ($c->read_header || {})->{status};
}


sub leaves {
    my ($way, $name, $uri, $script, $attempts, $expected, $log, $begun, %opt)
        = @_;

    my ($how, $request, $leave) = @$way;
    my $long = LONG;

    $script =~ s/LONG/$long/g;
    $id++;
    $name = "client leaves ($how) $name";

    my ($c, $stream) = $request->("$uri?id=$id&$script", %opt);

    if ($begun) {
        is(begin($c, $stream), 200, "$name: answer has begun");

    } elsif (defined $attempts) {
        SmartServer->ctl("wait?id=$id&event=request&count=$attempts&ms=5000");

    } else {
        # attempts that nobody sees
        sleep 0.3;
    }

    $leave->($c, $stream);

    if (defined $expected) {
        is(SmartServer->ctl("cancelled?id=$id&ms=" . LONG / 4), "$expected\n",
           "$name: attempts are closed");
    }

    my $logged = logged($id);

    if (ref $log) {
        like($logged, $log, "$name: access log");

    } else {
        is($logged, $log, "$name: access log");
    }

    if ($uri eq '/late/' && $attempts == 1) {
        # past the time of the hedge
        sleep 0.5;
        is(SmartServer->ctl("count?id=$id"), "1\n", "$name: no late hedge");
    }

    $c->close;
}


# "status outcome attempts" of a request when it is over

sub logged {
    my ($id) = @_;

    my $line;

    SmartServer::wait_for(sub {
        ($line) = $ngx->access_log =~ /^id=$id (.*)$/m;
        return defined $line;
    }, 5);

    return $line // 'not logged';
}


# a stream is reset, the connection and its other streams are not

sub others_stay {
    my $h = H2->connect($ngx->addr(2));
    my @ids = map { ++$id } 1 .. 6;
    my @streams = map {
        $h->request("/soon/?id=$ids[$_]&s=hang|delay:500;size:1000,$_")
    } 0 .. 5;

    SmartServer->ctl("wait?id=$_&event=request&count=2&ms=5000") for @ids;

    $h->rst($streams[$_]) for 0, 2, 4;
    $h->wait($streams[$_], 10) for 1, 3, 5;

    for my $n (0 .. 5) {
        my $s = $h->stream($streams[$n]);

        is(SmartServer->ctl("cancelled?id=$ids[$n]&ms=5000"),
           $n % 2 ? "attempts=2 done=1 cancelled=1 open=0\n"
                  : "attempts=2 done=0 cancelled=2 open=0\n",
           "stream $n of six: attempts");

        next if $n % 2 == 0;

        is("$s->{status} $s->{complete} $s->{md5}",
           '200 1 ' . SmartServer->pattern_md5(1000, $n),
           "stream $n of six: the others are reset, this one is answered");
    }

    $h->close;
}


# bytes of a next request are no reason to think that the client is there

sub pipelined {
    my $c = $ngx->connect;

    $c->send("GET /soon/?id=" . ++$id . "&s=status:503|hang HTTP/1.1\r\n"
             . "Host: localhost\r\n\r\nGET /plain/ HTTP/1.1\r\n");
    SmartServer->ctl("wait?id=$id&event=request&count=2&ms=5000");
    $c->reset;

    is(SmartServer->ctl("cancelled?id=$id&ms=" . LONG / 4),
       "attempts=2 done=1 cancelled=1 open=0\n",
       'client resets with a pipelined request: attempts are closed');
}


# for nginx a client that closes its half has left

sub half_closed {
    my $c = $ngx->connect;

    $c->request('/soon/?id=' . ++$id . '&s=hang');
    SmartServer->ctl("wait?id=$id&event=request&count=2&ms=5000");
    shutdown $c->{socket}, 1;

    is(SmartServer->ctl("cancelled?id=$id&ms=" . LONG / 4),
       "attempts=2 done=0 cancelled=2 open=0\n",
       'client closes its half: attempts are closed');
    is(logged($id), '499 aborted 2', 'client closes its half: access log');
    $c->close;
}


sub goes_on {
    my ($name, $uri, $script, $attempts, $expected, $log, $any) = @_;

    $name = "proxy_ignore_client_abort, $name";

    my ($c) = plain("$uri?id=" . ++$id . "&$script");

    SmartServer->ctl("wait?id=$id&event=request&count=$attempts&ms=5000");
    $c->close;

    if ($any) {
        # the primary's hang goes on for ever
        is(SmartServer->ctl("wait?id=$id&event=closed&ms=2000"), "ok 1\n",
           "$name: the hedge fails");
        is(SmartServer->ctl("wait?id=$id&event=closed_by_peer&ms=300"),
           "timeout 0\n", "$name: the primary is waited for");
        SmartServer->ctl('reset?close=1');
        is(logged($id) =~ s/^\d+ //r, $log, "$name: access log");
        return;
    }

    is(SmartServer->ctl("cancelled?id=$id&ms=5000"), "$expected\n",
       "$name: attempts");

    my $logged = logged($id);

    # as nginx without the module logs it
    my ($p) = plain('/ignore_plain/?id=' . ++$id . '&s=delay:200');

    SmartServer->ctl("wait?id=$id&event=request&ms=5000");
    $p->close;

    my ($status) = logged($id) =~ /^(\d+)/;

    is($logged, "$status $log", "$name: access log");
}


# The client leaves within a cacheable answer; the next one finds it in the
# cache, as it would without a hedge.

sub fills {
    my ($name, $script, $seed) = @_;

    for my $way (@ways) {
        my ($how, $request, $leave) = @$way;
        my $text = "cache, client leaves ($how) $name";
        my $path = '/cached/?id=' . ++$id . '&' . cache_script($script);
        my ($c, $stream) = $request->($path);

        is(begin($c, $stream), 200, "$text: answer has begun");
        $leave->($c, $stream);

        like(logged($id), qr/^\d+ (?:primary|hedge) \d$/, "$text: access log");

        my $count = SmartServer->ctl("count?id=$id");
        my $r = $ngx->get("/cached/?id=$id&s=status:404");
        my $size = $script =~ /size:(\d+)/ ? $1 : 3000;

        is("$r->{status} " . ($r->{headers}{'x-cache'} // ''), '200 HIT',
           "$text: HIT");
        is("$r->{complete} $r->{md5}",
           '1 ' . SmartServer->pattern_md5($size, $seed // 0), "$text: body");
        is(SmartServer->ctl("count?id=$id"), $count,
           "$text: no other request");
        like(SmartServer->ctl("cancelled?id=$id&ms=2000"), qr/ open=0/,
             "$text: nothing is left");

        $c->close;
    }
}


sub cache_script {
    my ($script) = @_;

    return $script =~ s/CACHE/h:Cache-Control=max-age=60/gr;
}


# The client leaves a cacheable request before there is a header: nginx goes on
# with the primary; the cache must not be a wreck.

sub goes_on_cached {
    my ($name, $script, $attempts, $done) = @_;

    for my $way (@ways) {
        my ($how, $request, $leave) = @$way;
        my $text = "cacheable, client leaves ($how) $name";
        my ($c, $stream) = $request->('/cached/?id=' . ++$id . '&'
                                      . cache_script($script));

        is(SmartServer->ctl("wait?id=$id&event=request&ms=5000"
                            . "&count=$attempts"),
           "ok $attempts\n", "$text: attempts have begun");

        $leave->($c, $stream);

        if ($done) {
            is(SmartServer->ctl("wait?id=$id&event=done&ms=5000"), "ok 1\n",
               "$text: nginx goes on");
            isnt(logged($id), 'not logged', "$text: access log");
        }

        # what still hangs
        SmartServer->ctl('reset?close=1');

        isnt(logged($id), 'not logged', "$text: comes to an end");

        my $r = $ngx->get("/cached/?id=$id&"
                          . cache_script('s=CACHE;size:3000,1'));

        is("$r->{status} $r->{complete} $r->{md5}",
           '200 1 ' . SmartServer->pattern_md5(3000, 1),
           "$text: the next client is served");

        $c->close;
    }
}


sub stores {
    my ($name, $script) = @_;

    my ($c, $stream) = plain('/store/' . ++$id . "?id=$id&$script");

    is(begin($c, $stream), 200,
       "proxy_store, client leaves $name: answer has begun");
    $c->close;

    my $file = $ngx->dir . "/store/$id";

    ok(SmartServer::wait_for(sub { -s $file }, 5),
       "proxy_store, client leaves $name: stored");
    is(-s $file, 3000, "proxy_store, client leaves $name: whole");
}


# two clients, one holds the lock of a cache entry, the other one waits for it

sub waits_for_lock {
    for my $gone (0, 1) {
        my $path = '/locked/?id=' . ++$id . '&' . cache_script(
                       's=delay:900;CACHE;size:3000,1|hang|CACHE;size:3000,1');
        my ($one) = plain($path);

        is(SmartServer->ctl("wait?id=$id&event=request&count=2&ms=600"),
           "ok 2\n", 'cache lock: a hedge does not wait for its primary');

        my ($two) = plain($path);

        # the other one is in the queue by then
        sleep 0.2;

        ($gone ? $two : $one)->close;

        my $left = $gone ? $one : $two;
        my $head = $left->read_header;
        my $body = $left->read_body;

        is("$head->{status} $body->{complete} $body->{md5}",
           '200 1 ' . SmartServer->pattern_md5(3000, 1),
           'cache lock, client ' . ($gone ? 'in the queue' : 'with the lock')
           . ' leaves: the other one is served');
        $left->close;
    }
}


sub conf {
    return <<'CONF';
log_format smart 'id=$arg_id $status $smart_outcome $smart_attempts';
access_log %%DIR%%/logs/access.log smart;

proxy_read_timeout 60s;
proxy_connect_timeout 60s;
proxy_http_version 1.1;
proxy_set_header Connection close;
proxy_next_upstream off;

proxy_cache_path %%DIR%%/temp/cache keys_zone=cache:1m inactive=10m;

smart_hedge_budget off;
smart_hedge 100ms;
smart_hedge_methods GET HEAD POST;

upstream two {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
}

upstream holes {
    server $TEST_NGINX_BLACKHOLE max_fails=0;
    server $TEST_NGINX_BLACKHOLE max_fails=0;
}

server {
    listen 127.0.0.1:%%PORT%%;
    listen 127.0.0.1:%%PORT_2%% http2;

    location /plain/ {
        smart_hedge off;
        proxy_pass http://two;
    }

    location /soon/ {
        proxy_pass http://two;
    }

    location /late/ {
        smart_hedge 400ms;
        proxy_pass http://two;
    }

    location /three/ {
        smart_hedge 100ms extra=3;
        proxy_pass http://two;
    }

    location /unbuffered/ {
        proxy_buffering off;
        proxy_pass http://two;
    }

    location /deadline/ {
        smart_timeout 30s;
        proxy_pass http://two;
    }

    location /holes/ {
        proxy_pass http://holes;
    }

    location /ignore/ {
        proxy_ignore_client_abort on;
        proxy_pass http://two;
    }

    location /ignore_late/ {
        smart_hedge 400ms;
        proxy_ignore_client_abort on;
        proxy_pass http://two;
    }

    location /ignore_plain/ {
        smart_hedge off;
        proxy_ignore_client_abort on;
        proxy_pass http://two;
    }

    location /cached/ {
        add_header X-Cache $upstream_cache_status;
        proxy_cache cache;
        proxy_cache_key $uri$arg_id;
        proxy_pass http://two;
    }

    location /locked/ {
        proxy_cache cache;
        proxy_cache_key $uri$arg_id;
        proxy_cache_lock on;
        proxy_pass http://two;
    }

    location /store/ {
        root %%DIR%%;
        proxy_store %%DIR%%$uri;
        proxy_temp_path %%DIR%%/temp/store;
        proxy_pass http://two;
    }
}
CONF
}
