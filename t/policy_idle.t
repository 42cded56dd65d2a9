use strict;
use warnings;

# smart_hedge_peer idle: hedges go only to a peer that is less busy than the one
# that is waited for, counted over all workers.

use Test::More;
use SmartMetrics;
use SmartServer;

SmartServer->upstream;

my @kinds = (
    ['round robin', '', ''],
    ['round robin, zone and keepalive', 'zone z 256k;', 'keepalive 4;'],
    ['least_conn', 'least_conn;', 'keepalive 4;'],
    ['hash', 'hash $arg_key;', ''],
    ['random', 'zone z 256k; random;', ''],
);

for my $kind (@kinds) {
    my ($name, $before, $after) = @$kind;

    two_peers($name, start(<<"CONF", 1));
upstream u {
    $before
    server \$TEST_NGINX_UP1 max_fails=0;
    server \$TEST_NGINX_UP2 max_fails=0;
    $after
}
CONF
}

workers();
weights();
least();
others();

done_testing;


sub start {
    my ($upstream, $workers) = @_;

    return SmartServer->start(workers => $workers, conf => <<"CONF");
$upstream

upstream one { server \$TEST_NGINX_UP1 max_fails=0; }
upstream two { server \$TEST_NGINX_UP2 max_fails=0; }
upstream three { server \$TEST_NGINX_UP3 max_fails=0; }

add_header X-Suppressed  \$smart_suppressed  always;
add_header X-Outcome     \$smart_outcome     always;
add_header X-Attempts    \$smart_attempts    always;

proxy_http_version  1.1;
proxy_set_header    Connection  "";
proxy_next_upstream off;

smart_hedge_budget  off;

server {
    listen 127.0.0.1:%%PORT%%;
    server_name test;

    location /idle {
        smart_hedge 100ms;
        smart_hedge_peer idle;
        proxy_pass http://u;
    }

    location /many {
        smart_hedge 100ms extra=3;
        smart_hedge_peer idle;
        proxy_pass http://u;
    }

    location /only {
        smart_hedge 100ms;
        smart_hedge_peer idle;
        proxy_pass http://one;
    }

    location /variable {
        smart_hedge 100ms;
        smart_hedge_peer idle;
        set \$where $ENV{TEST_NGINX_UP1};
        proxy_pass http://\$where;
    }

    # these are not hedged, and count, too
    location /load { proxy_pass http://u; }
    location /metrics { smart_metrics; }
}
CONF
}


my $id;

sub get {
    my ($ngx, $uri, $script) = @_;

    return $ngx->get("$uri?id=" . ++$id . "&$script");
}


sub said {
    my ($r) = @_;

    return join ' ', map { $r->{headers}{"x-$_"} // '-' }
                         qw( suppressed outcome attempts peer );
}


# n requests that stay at a peer until their clients are closed

sub hold {
    my ($ngx, $peer, $n) = @_;

    my @held;
    my $other = $peer == 1 ? 2 : 1;

    while (@held < $n) {
        my $c = $ngx->connect;
        my $hold = 'hold' . ++$id;

        # the balancer decides: those that get another peer are answered
        $c->request("/load?key=$id&id=$hold&s=ok&p$peer=hang");

        if (SmartServer->ctl("wait?id=$hold&event=request&ms=900") =~ /ok/
            && SmartServer->ctl("count?id=$hold") > 0
            && peer_of($hold) == $peer)
        {
            push @held, $c;

        } else {
            $c->close;
        }
    }

    return @held;
}


sub peer_of { return SmartServer->ctl_json("requests?id=$_[0]")->[0]{peer} }


sub release {
    $_->close for @_;
    SmartServer->ctl('busy?ms=900');
    select undef, undef, undef, 0.1;
}


# a request whose primary is at that peer and slow; the answer tells its peer

sub slow_at {
    my ($ngx, $uri, $peer, $script) = @_;

    for (1 .. 100) {
        my $key = ++$id;
        my $r = $ngx->get("$uri?key=$key&id=slow$key&s=ok&p$peer="
                          . ($script // 'delay:400'));

        next if peer_of("slow$key") != $peer;
        return $r;
    }

    die "the balancer never chose peer $peer";
}


sub two_peers {
    my ($name, $ngx) = @_;

    my $r = slow_at($ngx, '/idle', 1);
    is said($r), '- hedge 2 2', "$name: the other one is idle";

    # least_conn would not choose the busier one in the first place

    if ($name !~ /least/) {
        my @held = hold($ngx, 1, 2);

        $r = slow_at($ngx, '/idle', 1);
        is said($r), '- hedge 2 2', "$name: the other one is less busy";

        $r = slow_at($ngx, '/idle', 2);
        is said($r), 'busy primary 1 2', "$name: the other one is busier";

        push @held, hold($ngx, 2, 3);

        $r = slow_at($ngx, '/idle', 1);
        is said($r), 'busy primary 1 1', "$name: the other one is as busy";

        release(@held);
    }

    $r = slow_at($ngx, '/idle', 1);
    is said($r), '- hedge 2 2', "$name: nothing else is under way";

    is(in_flight($ngx), 0, "$name: nothing is in flight");

    $ngx->stop;
}


sub in_flight {
    my ($ngx) = @_;

    return SmartMetrics->settle(sub { $_[0]->value('requests_in_flight') == 0 },
                                $ngx->addr, '/metrics')
                       ->value('requests_in_flight');
}


# all workers count together; what killed ones had in flight does not count

sub workers {
    my $ngx = start(<<'CONF', 4);
upstream u {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
}
CONF

    my @held = hold($ngx, 2, 12);
    my %said;

    $said{said(slow_at($ngx, '/idle', 1))}++ for 1 .. 8;
    is_deeply \%said, { 'busy primary 1 1' => 8 },
        'every worker knows what the others have in flight';

    my @pids = $ngx->worker_pids;
    kill KILL => @pids;

    ok(SmartServer::wait_for(sub {
           my %old = map { $_ => 1 } @pids;
           return 4 == grep { !$old{$_} } $ngx->worker_pids;
       }, 10), 'the workers were killed');

    %said = ();
    $said{said(slow_at($ngx, '/idle', 1))}++ for 1 .. 8;
    is_deeply \%said, { '- hedge 2 2' => 8 },
        'what they had in flight is forgotten';

    $_->close for @held;

    # those of a reload are not replaced when they are killed

    @held = hold($ngx, 2, 12);
    @pids = $ngx->worker_pids;
    $ngx->reload;

    is said(slow_at($ngx, '/idle', 1)), 'busy primary 1 1',
        'what old workers have in flight counts';

    kill KILL => @pids;
    SmartServer::wait_for(sub { !grep { kill 0 => $_ } @pids }, 10);
    select undef, undef, undef, 1.1;

    is said(slow_at($ngx, '/idle', 1)), '- hedge 2 2',
        'until they are gone, however that was';

    $_->close for @held;
    $ngx->stop(alerts => 1);
}


# a peer of twice the weight may have twice as much

sub weights {
    my $ngx = start(<<'CONF', 1);
upstream u {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0 weight=3;
}
CONF

    my @held = hold($ngx, 2, 2);

    is said(slow_at($ngx, '/idle', 1)), '- hedge 2 2', '2/3 is below 1';

    push @held, hold($ngx, 2, 2);

    is said(slow_at($ngx, '/idle', 1)), 'busy primary 1 1', '4/3 is not';

    release(@held);
    $ngx->stop;
}


# the least busy of several; after a failure also where it is busier

sub least {
    my $ngx = start(<<'CONF', 1);
upstream u {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
    server $TEST_NGINX_UP3 max_fails=0;
}
CONF

    my @held = (hold($ngx, 1, 4), hold($ngx, 2, 2), hold($ngx, 3, 1));

    is said(slow_at($ngx, '/idle', 1)), '- hedge 2 3', 'the least busy one';
    is said(slow_at($ngx, '/idle', 2)), '- hedge 2 3', 'of three';
    is said(slow_at($ngx, '/idle', 3)), 'busy primary 1 3', 'it has none';

    my $r = slow_at($ngx, '/many', 2, 'delay:800');
    is said($r), '- hedge 2 3', 'one of three: only one is less busy';

    $r = slow_at($ngx, '/many', 1, 'delay:800');
    like said($r), qr/^- hedge 3 [23]$/, 'two of three: there are two';

    is said(slow_at($ngx, '/idle', 3, 'status:503')), '- hedge 2 2',
        'a failure has nothing to be compared with';

    release(@held);

    my %peers;
    $peers{slow_at($ngx, '/idle', 1)->{headers}{'x-peer'}}++ for 1 .. 12;
    is_deeply [sort keys %peers], [2, 3], 'all that are idle get some';

    $ngx->stop;
}


sub others {
    my $ngx = start(<<'CONF', 1);
upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2 down; }
CONF

    is said(get($ngx, '/idle', 's=delay:300')), 'no_peer primary 1 1',
        'the other one is down';
    is said(get($ngx, '/only', 's=delay:300')), 'no_peer primary 1 1',
        'there is only one';
    is said(get($ngx, '/variable', 's=delay:300')), 'no_peer primary 1 1',
        'an address of a variable';

    my $m = SmartMetrics->scrape($ngx->addr, '/metrics');
    is $m->value('suppressed_total', reason => 'no_peer'), 3, 'counted';
    is_deeply [$m->errors, $m->contract], [], 'metrics';

    $ngx->stop;
}
