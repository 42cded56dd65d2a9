# Reload and graceful exit while requests race: they are answered by the old
# workers, which leave when the last one is done.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/chaos";
use H2;
use Test::More;
use Time::HiRes qw( sleep time );
use SmartServer;

SmartServer->upstream;

my $id = 0;

# [name, uri, script, attempts that have begun at the time of the signal]

my @races = (
    ['before the hedge', '/late/', 's=hang|delay:200;size:4000,1', 1],
    ['before the hedge, the primary wins', '/late/', 's=delay:500;size:4000,1',
     1],
    ['hedge under way', '/soon/', 's=hang|delay:700;size:4000,1', 2],
    ['hedge under way, the primary wins', '/soon/',
     's=delay:700;size:4000,1|hang', 2],
    ['steps', '/step/', 's=hang|hang|hang|delay:100;size:4000,1', 2],
    ['parked', '/soon/', 's=status:503|delay:700;size:4000,1', 2],
    ['parked after a close', '/soon/', 's=close|delay:700;size:4000,1', 2],
    ['parked, steps', '/step/', 's=close|hang|hang|delay:100;size:4000,1', 4],
    ["within the hedge's header", '/soon/', 's=hang|parthead:700;size:4000,1',
     2],
    ["within the hedge's body", '/soon/',
     's=hang|size:4000,1;bodydelay:700', 2],
    ["within the hedge's chunks", '/soon/', 's=hang|chunked:10,400,80', 2],
    ["within the hedge's chunks, unbuffered", '/unbuffered/',
     's=hang|chunked:10,400,80', 2],
    ['with a deadline', '/deadline/', 's=hang|delay:700;size:4000,1', 2],
    ['cached', '/cached/', 's=hang|delay:700;h:Cache-Control=max-age=60;'
     . 'size:4000,1', 2],
);

my $conf = conf();

for my $options ('', 'zone upstream 64k; keepalive 8;') {
    in_flight('HUP', $options);
    in_flight('QUIT', $options);
}

after_close();
expires();
under_load();
twice();

done_testing;


sub start {
    my ($options, %opt) = @_;

    return SmartServer->start(conf => $conf =~ s/OPTIONS/$options/r, %opt);
}


# every kind of race is under way when the signal comes

sub in_flight {
    my ($signal, $options) = @_;

    my $ngx = start($options);
    my @old = $ngx->worker_pids;
    my $text = "$signal" . ($options ? ', zone, keepalive' : '');
    my @flights;

    # a client that keeps its connection does not hold a worker up
    my $idle = $ngx->connect;
    $idle->request('/soon/?s=ok');
    $idle->read_header;
    $idle->read_body;

    for my $race (@races) {
        my ($name, $uri, $script, $begun) = @$race;

        my $c = $ngx->connect(timeout => 15);
        $c->request("$uri?id=" . ++$id . "&$script");

        push @flights, { name => $name, client => $c, id => $id,
                         script => $script, begun => $begun };
    }

    my $h2 = H2->connect($ngx->addr(2));
    my $stream = $h2->request('/soon/?id=' . ++$id
                              . '&s=hang|delay:700;size:4000,1');

    for my $flight (@flights) {
        SmartServer->ctl("wait?id=$flight->{id}&event=request&ms=3000"
                         . "&count=$flight->{begun}");
    }

    my $start = time;

    $ngx->signal($signal);

    if ($signal eq 'HUP') {
        ok(SmartServer::wait_for(sub {
               my %old = map { $_ => 1 } @old;
               return grep { !$old{$_} } $ngx->worker_pids;
           }, 10), "$text: a new worker");
        is($ngx->get('/soon/?s=size:10,1')->{status}, 200,
           "$text: the new worker answers");
        ok(-d "/proc/$old[0]", "$text: the old worker goes on");
    }

    for my $flight (@flights) {
        my $c = $flight->{client};
        my $head = $c->read_header || { status => $c->error };
        my $body = $c->read_body if $head->{headers};
        my $seed = $flight->{script} =~ /,1/ ? 1 : 0;

        is(join(' ', $head->{status},
                map { $_ // '' } @$body{qw( complete size md5 )}),
           '200 1 4000 ' . SmartServer->pattern_md5(4000, $seed),
           "$text: $flight->{name}: answer");
        ok($c->closed(5), "$text: $flight->{name}: connection is closed");
        like(SmartServer->ctl("cancelled?id=$flight->{id}&ms=5000"),
             qr/ open=0/, "$text: $flight->{name}: losers are closed");
    }

    $h2->wait($stream, 10);

    my $s = $h2->stream($stream);

    is(join(' ', map { $_ // '' } @$s{qw( status complete md5 )}),
       '200 1 ' . SmartServer->pattern_md5(4000, 1), "$text: HTTP/2: answer");
    $h2->close;

    # the last answer takes a second, what the losers would take is a minute
    ok(SmartServer::wait_for(sub { !-d "/proc/$old[0]" }, 10),
       "$text: the old worker has left soon")
        or diag SmartServer::slurp("/proc/$old[0]/cmdline");

    is(SmartServer->ctl('busy?ms=900'), "0\n",
       "$text: no request left at the upstream");

    if ($signal eq 'HUP') {
        is(scalar $ngx->worker_pids, 1, "$text: one worker is left");
        $ngx->stop(name => "$text: stops in good order");

    } else {
        # the master is gone by itself
        $ngx->stop(name => "$text: has stopped in good order");
    }
}


# losers that were cancelled leave nothing that a worker would wait for

sub after_close {
    my $ngx = start('');
    my ($old) = $ngx->worker_pids;

    for my $script ('hang|ok', 'delay:200|hang', 'close|ok', 'status:503|ok',
                    'parthead:20000|ok')
    {
        $ngx->get('/soon/?id=' . ++$id . "&s=$script");
    }

    my $c = $ngx->connect;

    $c->request('/soon/?id=' . ++$id . '&s=hang');
    SmartServer->ctl("wait?id=$id&event=request&count=2&ms=5000");
    $c->reset;
    SmartServer->ctl("cancelled?id=$id&ms=5000");

    ok($ngx->reload, 'after races: reload');
    ok(SmartServer::wait_for(sub { !-d "/proc/$old" }, 5),
       'after races: the old worker leaves');

    $ngx->stop(name => 'after races: stops in good order');
}


# the deadline holds in a worker that is shutting down, and where all timers of
# nginx itself are longer

sub expires {
    my $ngx = start('');
    my ($old) = $ngx->worker_pids;
    my $c = $ngx->connect;

    $c->request('/short/?id=' . ++$id . '&s=hang');
    SmartServer->ctl("wait?id=$id&event=request&count=2&ms=5000");

    $ngx->signal('HUP');

    my $head = $c->read_header || { status => $c->error };

    is($head->{status}, 504, 'the deadline passes after a reload');
    is(SmartServer->ctl("cancelled?id=$id&ms=5000"),
       "attempts=2 done=0 cancelled=2 open=0\n",
       'the deadline passes after a reload: attempts are closed');
    $c->close;
    ok(SmartServer::wait_for(sub { !-d "/proc/$old" }, 5),
       'the deadline passes after a reload: the old worker leaves');

    $ngx->stop(name => 'the deadline passes after a reload: good order');
}


# reload after reload, under load; every request must succeed

sub under_load {
    my $ngx = start('zone upstream 64k;', workers => 2);
    my $reloads = 0;

    my $pid = fork;
    die "fork: $!" if !defined $pid;

    if (!$pid) {
        for (1 .. 6) {
            sleep 0.25;
            CORE::kill('HUP', $ngx->pid);
        }

        POSIX::_exit(0);
    }

    my @kinds = ('hang|size:3000,1', 'size:3000,1', 'close|size:3000,1',
                 'delay:120;size:3000,1|hang', 'status:503|size:3000,1',
                 'hang|chunked:6,500,20');

    my @results = $ngx->load(
        uri => sub { "/soon/?id=load-$_[0]&s=$kinds[$_[0] % @kinds]" },
        requests => 800, concurrency => 40, keepalive => 0, timeout => 30,
    );

    waitpid $pid, 0;

    my @bad = grep { $_->[0] != 200 } @results;

    is(scalar @results, 800, 'reloads under load: every request is over');
    is(scalar @bad, 0, 'reloads under load: every request succeeds')
        or diag join ' ', map { $_->[0] } @bad;

    is(SmartServer->ctl('busy?ms=900'), "0\n",
       'reloads under load: no request left at the upstream');

    $ngx->log_unlike(qr/exited on signal/,
                     'reloads under load: no worker has crashed');
    ok(SmartServer::wait_for(sub {
           return 2 == grep {
               SmartServer::slurp("/proc/$_/cmdline") =~ /worker process/
           } SmartServer::children($ngx->pid);
       }, 10), 'reloads under load: only new workers are left');
    $ngx->stop(name => 'reloads under load: stops in good order');
}


# a new configuration takes hedging away, and gives it back

sub twice {
    my $ngx = start('');
    my $off = $conf =~ s/OPTIONS//r =~ s/smart_hedge [^;]+;/smart_hedge off;/gr;

    is(attempts($ngx), 2, 'hedging is on');

    my $c = $ngx->connect;

    $c->request('/late/?id=' . ++$id . '&s=hang|size:10,1');
    SmartServer->ctl("wait?id=$id&event=request&ms=5000");

    ok($ngx->reload($off), 'reload without hedging');
    is(($c->read_header || {})->{status}, 200,
       'the old worker hedges what it has begun');
    $c->close;
    is(attempts($ngx), 1, 'hedging is off');

    ok($ngx->reload($conf =~ s/OPTIONS//r), 'reload with hedging');
    is(attempts($ngx), 2, 'hedging is on again');

    $ngx->stop;
}


sub attempts {
    my ($ngx) = @_;

    $ngx->get('/soon/?id=' . ++$id . '&s=delay:300|hang');

    my ($n) = SmartServer->ctl("cancelled?id=$id&ms=5000") =~ /attempts=(\d+)/;

    return $n;
}


sub conf {
    return <<'CONF';
access_log off;

proxy_read_timeout 60s;
proxy_http_version 1.1;
proxy_set_header Connection "";
proxy_next_upstream off;
keepalive_timeout 60s;

proxy_cache_path %%DIR%%/temp/cache keys_zone=cache:1m;

smart_hedge_budget off;
smart_hedge 100ms;

upstream two {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
    OPTIONS
}

server {
    listen 127.0.0.1:%%PORT%%;
    listen 127.0.0.1:%%PORT_2%% http2;

    location /soon/ {
        proxy_pass http://two;
    }

    location /late/ {
        smart_hedge 900ms;
        proxy_pass http://two;
    }

    location /step/ {
        smart_hedge 100ms extra=3 step=500ms;
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

    location /short/ {
        smart_timeout 800ms;
        proxy_pass http://two;
    }

    location /cached/ {
        proxy_cache cache;
        proxy_pass http://two;
    }
}
CONF
}
