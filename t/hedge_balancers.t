# Balancers that only newer versions of nginx have, those that keep clients at a
# peer, pools of connections before and after the balancer, and peers that come
# from names and change while requests are under way. See also hedge_peers.t.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartDNS;
use SmartServer;

SmartServer->upstream;
SmartDNS->start;

my $three = 'server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; '
          . 'server $TEST_NGINX_UP3;';

# what takes the place of %s are a zone, or nothing, and the servers

my @balancers = (
    ['round robin', '%s %s'],
    ['least_time header', '%s least_time header; %s'],
    ['least_time last_byte', '%s least_time last_byte; %s'],
    ['least_time inflight', '%s least_time last_byte inflight; %s'],
    ['keepalive before least_conn', 'keepalive 4; %s least_conn; %s'],
    ['keepalive before hash', 'keepalive 4; %s hash $arg_id; %s'],
    ['keepalive after least_conn', '%s least_conn; %s keepalive 4;'],
    ['keepalive after least_time', '%s least_time header; %s keepalive 4;'],
    ['keepalive, few', '%s %s keepalive 1; keepalive_requests 2;'],
    ['random two least_time', '%s random two least_time=header; %s'],
);

# balancers that this nginx knows, with a zone and without

my @known;

for my $balancer (@balancers) {
    for my $zone ('', 'zone') {
        my ($name, $text) = @$balancer;
        my $n = @known;
        my $http = "upstream u$n { "
                 . sprintf($text, $zone && "zone z$n 256k;", $three) . ' }';

        push @known, [$name . ($zone && ', zone'), $http]
            if knows($http);
    }
}

my $sticky = knows(stickies());
my $resolve = knows('upstream r { zone r 256k; resolver $TEST_NGINX_DNS; '
                    . 'server a.test:80 resolve; }');

my $ngx = SmartServer->start(conf => conf());
my $id = 0;

cmp_ok(scalar @known, '>=', 10, 'balancers that every version has');

for my $n (0 .. $#known) {
    uncharged($n);
    others($n);
}

SKIP: {
    skip 'no "sticky" in this nginx', 1 if !$sticky;

    sessions();
}

SKIP: {
    skip 'no "resolve" in this nginx', 1 if !$resolve;

    names();
}

is(SmartServer->ctl('busy?ms=5000'), "0\n", 'no request left at the upstream');
$ngx->stop(name => 'no socket is left');

done_testing;


sub knows {
    my ($http) = @_;

    my ($status) = SmartServer->test_config(
        conf => "$http server { listen 127.0.0.1:%%PORT%%; }");

    return $status == 0;
}


sub peers {
    my ($id) = @_;

    return join ' ', sort map { $_->{peer} }
                              @{ SmartServer->ctl_json("requests?id=$id") };
}


# losers are not charged: peers that failed once are out for a minute

sub uncharged {
    my ($n) = @_;

    my $name = $known[$n][0];
    my @bad;

    for (1 .. 4) {
        my $r = $ngx->get("/$n/?id=" . ++$id . '&s=hang|hang|body:third');

        SmartServer->ctl("cancelled?id=$id&ms=5000");
        push @bad, peers($id) if $r->{body} ne 'third'
                                 || peers($id) ne '1 2 3';
    }

    is("@bad", '', "$name: losers are not charged");
}


# each attempt goes to another peer; in the end two are charged, by nginx

sub others {
    my ($n) = @_;

    my $name = $known[$n][0];

    for my $script ('hang|hang|body:third', 'status:503|hang|body:third',
                    'close|close|body:third')
    {
        my $r = $ngx->get("/$n/?id=" . ++$id . "&s=$script");

        is("$r->{status} $r->{body}", '200 third', "$name, $script: answer");
        is(peers($id), '1 2 3', "$name, $script: peers");
    }
}


# a client stays at its peer, hedges included

sub stickies {
    return <<"CONF";
upstream cookie { zone cookie 256k; $three sticky cookie sid; }
upstream route {
    zone route 256k;
    server \$TEST_NGINX_UP1 route=a; server \$TEST_NGINX_UP2 route=b;
    server \$TEST_NGINX_UP3 route=c;
    sticky route \$arg_route;
}
upstream learn {
    zone learn 256k;
    $three
    sticky learn create=\$upstream_cookie_sid lookup=\$cookie_sid
                 zone=sessions:1m;
}
CONF
}


sub sessions {
    for my $script ('body:x', 'hang|body:x', 'status:503|body:x',
                    'close|body:x', 'delay:200;body:x|hang')
    {
        my $r = $ngx->get('/cookie/?id=' . ++$id . "&s=$script");
        my @cookies = $r->{header} =~ /^Set-Cookie: (sid=\w+)/mg;
        my $peer = $r->{headers}{'x-peer'};

        is(scalar @cookies, 1, "sticky cookie, $script: one cookie");

        my $next = $ngx->get('/cookie/?s=body:y',
                             headers => [Cookie => $cookies[0]]);

        is($next->{headers}{'x-peer'}, $peer,
           "sticky cookie, $script: of the peer that has answered");

        # the same peer is asked again
        $next = $ngx->get('/cookie/?id=' . ++$id . '&s=hang|body:y',
                          headers => [Cookie => $cookies[0]]);

        is("$next->{body} " . peers($id), "y $peer $peer",
           "sticky cookie, $script: a hedge follows");
        is(join(' ', $next->{header} =~ /^Set-Cookie: (sid=\w+)/mg),
           $cookies[0], "sticky cookie, $script: the cookie stays, once");
    }

    for my $peer (1 .. 3) {
        my $route = (qw( a b c ))[$peer - 1];
        my $r = $ngx->get('/route/?id=' . ++$id
                          . "&route=$route&s=hang|body:x");

        is("$r->{body} " . peers($id), "x $peer $peer",
           "sticky route $route: a hedge follows");

        $r = $ngx->get('/other/?id=' . ++$id
                       . "&route=$route&s=delay:150;body:x|body:y");

        is("$r->{body} " . peers($id), "x $peer",
           "sticky route $route, other: no hedge");
        is($r->{headers}{'x-suppressed'}, 'no_peer',
           "sticky route $route, other: and why");
    }

    my $r = $ngx->get('/learn/?id=' . ++$id
                      . '&s=hang|h:Set-Cookie=sid=' . $id . ';body:x');
    my $peer = $r->{headers}{'x-peer'};

    is($r->{body}, 'x', 'sticky learn: answer of a hedge');

    $r = $ngx->get('/learn/?id=' . ++$id . '&s=hang|body:y',
                   headers => [Cookie => 'sid=' . ($id - 1)]);

    is("$r->{body} " . peers($id), "y $peer $peer",
       'sticky learn: the session is that of the hedge, which is followed');
}


# peers of names, which go while requests wait for them

sub names {
    my @all = map { "127.0.0.$_" } 1 .. 3;

    my $found = SmartServer::wait_for(sub {
        my $r = $ngx->get('/names/?s=ok');
        return $r->{status} == 200;
    }, 5);

    ok($found, 'resolve: names are resolved');

    for my $script ('hang|hang|body:third', 'close|hang|body:third') {
        my $r = $ngx->get('/names/?id=' . ++$id . "&s=$script");

        is("$r->{status} $r->{body}", '200 third', "resolve, $script: answer");
        is(peers($id), '1 2 3', "resolve, $script: peers");
    }

    # each time, primaries and their hedges begin before and end after

    for my $addresses ([$all[1]], \@all, [@all[0, 2]]) {
        my $asked = SmartDNS->asked('peers.test');
        my @clients;

        for (1 .. 6) {
            my $c = $ngx->connect(timeout => 20);

            $c->request('/late/?id=' . ++$id . '&s=hang|delay:300;body:hedge');
            push @clients, [$c, $id];
        }

        SmartServer->ctl("wait?id=$id&event=request&ms=5000");
        SmartDNS->set('peers.test', @$addresses);

        ok(SmartServer::wait_for(sub {
               SmartDNS->asked('peers.test') > $asked
           }, 10), "resolve: asked again, now @$addresses");

        for my $client (@clients) {
            my ($c, $id) = @$client;
            my $head = $c->read_header;
            my $body = $c->read_body;

            is(($head->{status} // '') . " $body->{body}", '200 hedge',
               "resolve, @$addresses: answer");
            like(SmartServer->ctl("cancelled?id=$id&ms=5000"),
                 qr/^attempts=2 done=1 cancelled=1 open=0$/,
                 "resolve, @$addresses: attempts");
            $c->close;
        }
    }
}


sub conf {
    my $http = join "\n", map { $_->[1] } @known;
    my $server = join '', map { "location /$_/ { proxy_pass http://u$_; }\n" }
                              0 .. $#known;

    if ($sticky) {
        $http .= stickies();
        $server .= join '', map { <<"CONF" } qw( cookie route learn );
location /$_/ { smart_hedge 40ms; proxy_pass http://$_; }
CONF
        $server .= <<'CONF';
location /other/ {
    smart_hedge 40ms;
    smart_hedge_peer other;
    add_header X-Suppressed $smart_suppressed;
    proxy_pass http://route;
}
CONF
    }

    if ($resolve) {
        SmartDNS->set('peers.test', map { "127.0.0.$_" } 1 .. 3);

        $http .= <<'CONF';
upstream names {
    zone names 256k;
    resolver $TEST_NGINX_DNS ipv6=off;
    server peers.test:%%PORT_2%% resolve max_fails=0;
}
CONF
        $http .= join '', map { <<"CONF" } 1 .. 3;
server {
    listen 127.0.0.$_:%%PORT_2%%;
    access_log off;
    smart_hedge off;
    location / {
        proxy_pass http://\$TEST_NGINX_UP$_;
        error_page 502 = \@drop;
    }
    location \@drop { return 444; }
}
CONF
        $server .= <<'CONF';
location /names/ { proxy_pass http://names; }
location /late/ { smart_hedge 800ms; proxy_pass http://names; }
CONF
    }

    return <<"CONF";
$http

proxy_http_version 1.1;
proxy_set_header Connection "";
proxy_next_upstream off;
proxy_read_timeout 60s;

smart_hedge 30ms extra=2 step=30ms;
smart_hedge_budget off;

server {
    listen 127.0.0.1:%%PORT%%;
    $server
}
CONF
}
