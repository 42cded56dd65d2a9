# Attempts that are stopped in states that are rare and short: while a name is
# resolved, with another peer of nginx's own choice, waiting for a cache lock, with
# a file operation in a thread, launched but not begun. See also losers.t.

use strict;
use warnings;

use Digest::MD5 qw( md5_hex );
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/chaos";
use H2;
use Test::More;
use Time::HiRes qw( sleep time );
use SmartDNS;
use SmartProbe;
use SmartServer;

# how long a loser would go on, ms
use constant LONG => 20000;

SmartServer->upstream;
SmartDNS->start;

$ENV{TEST_NGINX_DEAD} = SmartServer::dead_addr();
($ENV{TEST_NGINX_PORT1}) = $ENV{TEST_NGINX_UP1} =~ /(\d+)$/;

my $threads = SmartServer::build_options() =~ /--with-threads/
              && !SmartProbe::missing();

my @ours = split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';

my $ngx = SmartServer->start(
    conf => conf(),
    modules => [$threads ? SmartProbe->probe : (), @ours],
    main => $threads ? 'thread_pool default threads=1;'
                       . 'thread_pool other threads=1;' : '',
);

my $id = 0;

# first requests, so that the resolver's socket counts as no leak
$ngx->get($_) for '/next/?s=ok', '/resolve/fast/fast?s=ok';

my $rest = $ngx->fds(($ngx->worker_pids)[0]);


resolving();
next_upstream();
waiting_for_lock();
not_begun();

SKIP: {
    skip 'no threads, or no probe', 1 if !$threads;

    in_thread();
    writing();
}


is(SmartServer->ctl('busy?ms=5000'), "0\n", 'no request left at the upstream');

SKIP: {
    skip 'no stub_status', 1 if !defined $ngx->stub_status->{active};

    # the asking connection is one of them
    ok(SmartServer::wait_for(sub { $ngx->stub_status->{active} == 1 }, 5),
       'no connection is active');
}

ok(SmartServer::wait_for(sub {
       $ngx->fds(($ngx->worker_pids)[0]) <= $rest
   }, 5), 'descriptors are as many as before')
    or diag $ngx->fds(($ngx->worker_pids)[0]), " after $rest";

$ngx->stop(name => 'no socket is left');

done_testing;


# one request; what is logged of it is "STATUS OUTCOME ATTEMPTS ADDRESSES"

sub ask {
    my ($uri, $script) = @_;

    $id++;

    my $sep = $uri =~ /\?/ ? '&' : '?';
    my $r = $ngx->get("$uri${sep}id=$id" . (defined $script ? "&s=$script"
                                                            : ''));

    $r->{log} = logged($id);

    return $r;
}


sub logged {
    my ($id) = @_;

    my $line;

    SmartServer::wait_for(sub {
        ($line) = $ngx->access_log =~ /^id=$id (.*)$/m;
        return defined $line;
    }, 5);

    return $line // 'not logged';
}


sub resolving {
    my @tests = (
        ['a primary', '/resolve/hang/fast', 'body:hedge', 'hedge', 'hedge 2'],
        ['a hedge', '/resolve/fast/hang', 'delay:200;body:primary', 'primary',
         'primary 2'],
        ['a primary whose name comes late', '/resolve/late-150/fast',
         'body:hedge', 'hedge', 'hedge 2'],
        ['a hedge whose name comes late', '/resolve/fast/late-150',
         'delay:120;body:primary', 'primary', 'primary 2'],
    );

    for my $test (@tests) {
        my ($name, $uri, $script, $body, $log) = @$test;

        # twice: names are kept
        for my $n (1, 2) {
            my $r = ask("$uri-$n", $script);

            is("$r->{status} $r->{body}", "200 $body",
               "resolving, $name, $n: the answer");
            like($r->{log}, qr/^200 $log /, "resolving, $name, $n: log");
            cmp_ok($r->{ms}, '<', LONG / 10,
                   "resolving, $name, $n: is not waited for");
        }
    }

    # no name: it fails, which starts the hedge
    my $r = ask('/resolve/none/fast', 'body:hedge');

    is("$r->{status} $r->{body}", '200 hedge', 'no such name: a hedge');
    like($r->{log}, qr/^200 hedge 2 /, 'no such name: log');

    # all of them, at a deadline, and by a client that leaves
    $r = ask('/resolve/hang/hang');

    like($r->{log}, qr/^504 timeout 2 /, 'resolving, all of them: deadline');
    cmp_ok($r->{ms}, '<', LONG / 10, 'resolving, all of them: in time');

    my $c = $ngx->connect;

    $c->request('/resolve/hang/hang-too?id=' . ++$id);
    sleep 0.15;
    $c->close;

    like(logged($id), qr/^499 aborted 2 /, 'resolving, client leaves: log');

    # the late names come by now, to nobody
    sleep 0.2;
}


# nginx has gone to another peer already

sub next_upstream {
    my $r = ask('/next/', 'close|hang|body:hedge');

    is("$r->{status} $r->{body}", '200 hedge', 'next peer, a primary: hedge');
    like($r->{log}, qr/^200 hedge 2 \S+, \S+, \S+$/,
         'next peer, a primary: log');
    is(SmartServer->ctl("cancelled?id=$id&ms=" . LONG / 2),
       "attempts=3 done=1 cancelled=1 open=0 broken=1\n",
       'next peer, a primary: is closed');

    $r = ask('/next/', 'delay:300;body:primary|close|hang');

    is("$r->{status} $r->{body}", '200 primary',
       'next peer, a hedge: primary');
    like($r->{log}, qr/^200 primary 2 \S+, \S+, \S+$/,
         'next peer, a hedge: log');
    is(SmartServer->ctl("cancelled?id=$id&ms=" . LONG / 2),
       "attempts=3 done=1 cancelled=1 open=0 broken=1\n",
       'next peer, a hedge: is closed');

    # each of the two attempts
    $r = ask('/next/', 'status:500|hang|status:500|body:x');

    is($r->{status}, 200, 'next peer, after a bad status: another one');
    is(SmartServer->ctl("cancelled?id=$id&ms=" . LONG / 2),
       "attempts=4 done=3 cancelled=1 open=0\n",
       'next peer, after a bad status: all are closed');
}


# a primary that waits for another request's lock

sub waiting_for_lock {
    my $key = 'lock-' . ++$id;
    my $first = $ngx->connect;

    $first->request("/locked/$key?id=$id&s=delay:700;body:first");
    SmartServer->ctl("wait?id=$id&event=request&ms=5000");

    my $lock = $id;
    my $r = ask("/locked/$key?timeout=150", 'body:second');

    like($r->{log}, qr/^504 timeout \d/, 'cache lock: deadline');
    cmp_ok($r->{ms}, '<', 600, 'cache lock: before the lock is free');

    my $left = $ngx->connect;

    $left->request("/locked/$key?id=" . ++$id . '&s=body:third');
    sleep 0.1;
    $left->close;

    # another one waits on
    my $third = $ngx->connect;

    $third->request("/locked/$key?id=" . ++$id . '&s=body:fourth');

    is($first->read_header->{status}, 200, 'cache lock: its owner');
    is($first->read_body->{body}, 'first', 'cache lock: its answer');

    $third->read_header;
    is($third->read_body->{body}, 'first', 'cache lock: and of who waits');
    is(SmartServer->ctl("count?id=$_"), "0\n", 'cache lock: nothing else sent')
        for $lock + 1 .. $id;

    # a loser lets go of a lock, and a hedge that fails leaves it
    $key = 'lock-' . ++$id;

    my $a = $ngx->connect;

    $a->request("/locked_hedge/$key?id=$id&s=hang|delay:200;body:hedge");
    SmartServer->ctl("wait?id=$id&event=request&count=2&ms=5000");

    my $b = $ngx->connect;
    my $waits = ++$id;

    $b->request("/locked_hedge/$key?id=$waits&s=body:own");

    my $head = $b->read_header;
    my $body = $b->read_body;

    $a->read_header;
    is($a->read_body->{body}, 'hedge', 'cache lock: a hedge fills the entry');
    is($body->{body}, 'hedge', 'cache lock: and ends the wait of others');
    is(SmartServer->ctl("count?id=$waits"), "0\n",
       'cache lock: which send nothing');

    $_->close for $first, $left, $third, $a, $b;
}


# three hedges at once, the first of which finds an answer in the cache

sub not_begun {
    for my $script ('close', 'status:503', 'hang') {
        my $key = 'begun-' . ++$id;
        my $mine = $id;
        my $c = $ngx->connect;

        $c->request("/three/$key?id=$mine&s=delay:150;$script");
        SmartServer->ctl("wait?id=$mine&event=request&ms=5000");

        is(ask("/three/$key", 'body:cached')->{body}, 'cached',
           "not begun, $script: another request fills the cache");

        $c->read_header;
        is($c->read_body->{body}, 'cached', "not begun, $script: answer");
        like(logged($mine), qr/^200 hedge 4 /, "not begun, $script: log");
        is(SmartServer->ctl("count?id=$mine"), "1\n",
           "not begun, $script: no other request");
        $c->close;
    }
}


# The only thread sleeps while a hedge reads an expired entry of the cache.

sub in_thread {
    my @tests = (
        ['the primary wins', 'delay:350;h:Cache-Control=no-store;body:primary',
         '', qr/^200 primary 2 /, 'primary'],
        ['the primary fails', 'delay:350;close', '', qr/^200 hedge 2 /, 'new'],
        ['deadline', 'hang', 'timeout=350', qr/^504 timeout 2 /, undef],
        # nginx goes on to fill the entry
        ['client leaves', 'delay:700;body:new', 'leave', qr/^\d+ primary 2 /,
         undef],
    );

    for my $test (@tests) {
        my ($name, $script, $how, $log, $body) = @$test;

        $name = "aio, $name";

        my $key = 'aio-' . ++$id;

        $ngx->get("/aio/$key?id=$id&s=h:X-Accel-Expires=\@1;body:old");

        my $c = $ngx->connect;
        my $args = $how =~ /=/ ? "&$how" : '';

        $c->request("/aio/$key?id=" . ++$id . "&s=$script|body:new$args");
        SmartServer->ctl("wait?id=$id&event=request&ms=5000");

        # the hedge is due in a while
        is($ngx->get('/clog')->{status}, 204, "$name: the thread is busy");

        if ($how eq 'leave') {
            sleep 0.35;
            $c->close;

        } else {
            $c->read_header;

            my $got = $c->read_body;

            is($got->{body}, $body, "$name: the answer") if defined $body;
        }

        like(logged($id), $log, "$name: log");

        my $count = $name =~ /fails/ ? 2 : 1;

        is(SmartServer->ctl("count?id=$id"), "$count\n",
           "$name: what was in the thread sends nothing") if $count == 1;

        is(ask("/aio/$key", 'body:after')->{status}, 200,
           "$name: the entry is sound");

        $c->close;
    }
}


# The only thread sleeps before it writes what came of primaries, which are held
# and lose meanwhile; hedges have threads of their own.

sub writing {
    my $primary = 's=delay:250;json:9000;chunked;split:3000,' . LONG;
    my $hedge = 'delay:250;type:application/json;body:{"b": 2}';
    my $clog = 1500;

    my %tests = (
        'kept alive' => { hedge => $hedge, body => '{"b": 2}' },
        'a cached answer' => { hedge => 'hang', body => 'any',
                               uri => '/written_late/' },
        'launched meanwhile' => { hedge => $hedge, body => '{"b": 2}',
                                  uri => '/written_late/' },
        'redirected' => { hedge => "$hedge;h:X-Accel-Redirect=/moved",
                          body => "moved\n" },
        'replaced' => { hedge => "$hedge;h:ETag=\"x\"", body => "gone\n",
                        headers => ['If-Match' => '"y"'] },
        'deadline' => { hedge => 'hang', args => '&timeout=500',
                        log => '504 timeout 2' },
        'left in the body' => { hedge => 'delay:250;json:60000', leave => 1,
                                args => '&rate=1k' },
        'left after it' => { hedge => $hedge, body => '{"b": 2}', leave => 1 },
        'left while another is waited for' => {
            hedge => $hedge, none => 1, leave => 1,
            uri => '/written/joined/' },
    );

    my $h2 = H2->connect($ngx->addr(2));

    for my $name (sort keys %tests) {
        my $t = $tests{$name};

        $t->{id} = ++$id;
        $t->{uri} = ($t->{uri} // '/written/') . $id;
        $t->{client} = $ngx->connect;
        $t->{client}->request("$t->{uri}?id=$id&$primary|"
                              . escape($t->{hedge}) . ($t->{args} // ''),
                              headers => $t->{headers});
    }

    my $h2_id = ++$id;
    my $stream = $h2->request("/written/$id?id=$id&$primary|"
                              . escape($hedge));
    $h2->pump(0.01);

    SmartServer->ctl("wait?id=$_&event=request&ms=5000")
        for $h2_id, map { $_->{id} } values %tests;

    # what is in the cache is not looked into
    is($ngx->get("/fill$tests{'a cached answer'}{uri}?s=status:503;body:any")
       ->{body}, 'any', 'writing: another request fills the cache');

    is($ngx->get("/clog/$clog")->{status}, 204, 'writing: the thread is busy');

    for my $name (sort keys %tests) {
        my $t = $tests{$name};

        if ($t->{none}) {
            SmartServer->ctl('wait?id=before&event=request&ms=1000');
            $t->{client}->reset;
            next;
        }

        $t->{client}->read_header;

        if ($t->{leave} && !defined $t->{body}) {
            is($t->{client}->read_body(limit => 500)->{size}, 500,
               "writing, $name: a part of the answer");

        } else {
            my $body = $t->{client}->read_body;

            is($body->{body}, $t->{body}, "writing, $name: the answer")
                if defined $t->{body};
            cmp_ok($body->{ms}, '<', $clog, "writing, $name: at once");
        }

        $t->{client}->reset if $t->{leave};
    }

    $h2->wait($stream, 5);
    is($h2->stream($stream)->{md5}, md5_hex('{"b": 2}'),
       'writing, HTTP/2: the answer');

    for my $name (sort keys %tests) {
        my $t = $tests{$name};

        # nginx closes the connection of an answer that a filter has replaced
        next if $t->{leave} || $name eq 'replaced';

        $t->{client}->request("/next/?id=" . ++$id . "&s=body:next");

        is($t->{client}->read_header->{status}, 200,
           "writing, $name: the next request");
        is($t->{client}->read_body->{body}, 'next', 'is answered');
        $t->{client}->close;
    }

    $stream = $h2->request("/next/?id=" . ++$id . "&s=body:next");
    $h2->wait($stream, 5);
    is($h2->stream($stream)->{md5}, md5_hex('next'),
       'writing, HTTP/2: the next one');
    $h2->close;

    for my $name (sort keys %tests) {
        my $log = $tests{$name}{log} // '\d+ hedge 2';

        like(logged($tests{$name}{id}), qr/^$log /, "writing, $name: log");
    }

    is(ask($tests{'kept alive'}{uri}, 'body:new')->{body}, '{"b": 2}',
       "writing: the hedge's answer is cached");
}


sub escape {
    my ($text) = @_;

    $text =~ s/([^!-~]|["{}%])/sprintf '%%%02X', ord $1/ge;

    return $text;
}


sub conf {
    my $aio = $threads ? <<'CONF' : '';
    location /aio/ {
        smart_hedge 150ms;
        smart_timeout $arg_timeout;
        aio threads;
        proxy_cache c;
        proxy_cache_key $uri;
        proxy_cache_valid any 1m;
        proxy_pass http://three;
    }
    location = /clog { smart_hedge off; probe_clog 600ms; }
    location = /clog/1500 { smart_hedge off; probe_clog 1500ms; }

    location /fill/ {
        smart_hedge off;
        proxy_cache c;
        proxy_cache_key $key;
        proxy_cache_valid any 1m;
        proxy_pass http://three;
    }

    location ~ ^/written(_late)?/ {
        smart_hedge $trigger;
        smart_timeout $arg_timeout;
        smart_success_json on;
        limit_rate $arg_rate;
        error_page 412 = /gone;
        aio threads=$pool;
        aio_write on;
        proxy_cache c;
        proxy_cache_key $key;
        proxy_cache_valid any 1m;
        proxy_buffers 4 1k;
        proxy_buffer_size 1k;
        proxy_busy_buffers_size 2k;
        proxy_http_version 1.1;
        proxy_pass http://three;

        location ~ ^/written/joined/ {
            add_before_body /before;
            addition_types *;
            proxy_pass http://three;
        }
    }
    location = /before {
        smart_hedge off;
        proxy_pass http://three/?s=hang&id=before;
    }
    location = /moved { return 200 "moved\n"; }
    location = /gone { return 410 "gone\n"; }
CONF

    return <<"CONF";
map \$request_uri \$id {
    "~[?&]id=([0-9]+)"  \$1;
}

log_format smart 'id=\$id \$status \$smart_outcome \$smart_attempts '
                 '\$upstream_addr';
access_log %%DIR%%/logs/access.log smart;

proxy_cache_path %%DIR%%/cache keys_zone=c:1m;
proxy_read_timeout 60s;
proxy_next_upstream off;
proxy_set_header Connection close;

resolver \$TEST_NGINX_DNS ipv6=off;
resolver_timeout 30s;

smart_hedge_budget off;

map \$smart_attempt \$which {
    volatile;
    0        1;
    default  2;
}
map \$which:\$uri \$name {
    volatile;
    "~^1:/resolve/([^/]+)/"  \$1.test;
    "~^2:/resolve/.*/(.*)"   \$1.test;
}

map \$uri \$trigger {
    volatile;
    ~_late   400ms;
    default  100ms;
}
map \$uri \$key {
    volatile;
    ~^/fill(?<rest>.*)  \$rest;
    default             \$uri;
}

# the primary's; and that of hedges, and of what a winner does
map \$smart_attempt:\$smart_winner \$pool {
    volatile;
    0:       default;
    default  other;
}

upstream three {
    server \$TEST_NGINX_UP1 max_fails=0;
    server \$TEST_NGINX_UP2 max_fails=0;
    server \$TEST_NGINX_UP3 max_fails=0;
    server \$TEST_NGINX_UP4 max_fails=0;
}

server {
    listen 127.0.0.1:%%PORT%%;
    listen 127.0.0.1:%%PORT_2%% http2;

    location /resolve/ {
        smart_hedge 50ms;
        smart_timeout 500ms;
        proxy_pass http://\$name:\$TEST_NGINX_PORT1;
    }
    location /next/ {
        smart_hedge 80ms;
        proxy_next_upstream error http_500;
        proxy_pass http://three;
    }
    location /locked/ {
        smart_timeout \$arg_timeout;
        proxy_cache c;
        proxy_cache_key \$uri;
        proxy_cache_valid any 1m;
        proxy_cache_lock on;
        proxy_pass http://three;
    }
    location /locked_hedge/ {
        smart_hedge 50ms;
        proxy_cache c;
        proxy_cache_key \$uri;
        proxy_cache_valid any 1m;
        proxy_cache_lock on;
        proxy_pass http://three;
    }
    location /three/ {
        smart_hedge 300ms extra=3;
        proxy_cache c;
        proxy_cache_key \$uri;
        proxy_cache_valid 200 1m;
        proxy_pass http://three;
    }
$aio
}
CONF
}
