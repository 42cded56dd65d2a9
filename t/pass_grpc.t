# grpc_pass: HTTP/2 on both sides, unary calls, statuses in headers and trailers

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartServer;
use SmartProtocol;

plan skip_all => 'no HTTP/2 in this nginx'
    if SmartServer::build_options() !~ /http_v2_module/;

SmartServer->upstream;

$ENV{TEST_NGINX_DEAD} = SmartServer::dead_addr();
$ENV{TEST_NGINX_BLACKHOLE} = SmartServer::blackhole_addr();

SmartProtocol->start('closed');
$ENV{TEST_NGINX_CLOSED} = $ENV{TEST_NGINX_PEER1};

my $server = SmartProtocol->grpc;
my $ngx = SmartServer->start(conf => conf());
my $addr = $ngx->addr;

# a message of gRPC: not compressed, its length
my $hello = pack('x N/a', 'hello');
# without a length: after one curl does not wait for trailers
my $ok = 'type:application/grpc;chunked;h:X-Status=0';
my $bare = 'type:application/grpc;body:';


unary();
first_success();
losers();
statuses();
failures();
all_failed();
long_answers();
long_requests();
methods();
other_clients();
keepalive();
many();
client_leaves();

$ngx->no_alerts('no alerts');
$ngx->stop;
$server->stop;
done_testing;


sub conf {
    my $listen = SmartProtocol::http2_listen('127.0.0.1:%%PORT%%');
    my $plain = '127.0.0.1:%%PORT_2%%';

    return <<"CONF";
smart_hedge_budget off;
smart_hedge_methods GET HEAD POST;
log_format smart '\$status \$smart_outcome attempts=\$smart_attempts '
                 'winner=\$smart_winner';
access_log %%DIR%%/logs/access.log smart;
client_max_body_size 0;
client_body_buffer_size 16k;
grpc_next_upstream off;
grpc_set_header X-Attempt \$smart_attempt;
add_header X-Outcome \$smart_outcome always;

upstream u {
    server \$TEST_NGINX_PEER1 max_fails=0;
    server \$TEST_NGINX_PEER2 max_fails=0;
    server \$TEST_NGINX_PEER3 max_fails=0;
}
upstream kept { server \$TEST_NGINX_PEER1 max_fails=0; keepalive 8; }
upstream dead { server \$TEST_NGINX_DEAD max_fails=0; server \$TEST_NGINX_PEER2; }
upstream hole { server \$TEST_NGINX_BLACKHOLE; server \$TEST_NGINX_PEER2; }
upstream http { server \$TEST_NGINX_UP6 max_fails=0; server \$TEST_NGINX_PEER2; }
upstream shut { server \$TEST_NGINX_CLOSED max_fails=0; server \$TEST_NGINX_PEER2; }

server {
    $listen
    location / { smart_hedge 500ms; grpc_pass grpc://u; }
    location /soon { smart_hedge 50ms; grpc_pass grpc://u; }
    location /three { smart_hedge 50ms extra=2; grpc_pass grpc://u; }
    location /four { smart_hedge 20ms extra=3; grpc_pass grpc://u; }
    location /page {
        smart_hedge 60s;
        grpc_intercept_errors on;
        error_page 502 503 = /unavailable;
        grpc_pass grpc://u;
    }
    location = /unavailable {
        internal;
        default_type application/grpc;
        add_header grpc-status 14;
        return 204;
    }
    location /late { smart_hedge 60s extra=2; grpc_pass grpc://u; }
    location /get { smart_hedge 50ms; smart_hedge_methods GET; grpc_pass grpc://u; }
    location /slow { smart_hedge 50ms; grpc_read_timeout 200ms; grpc_pass grpc://u; }
    location /kept { smart_hedge 100ms; grpc_pass grpc://kept; }
    location /off { grpc_pass grpc://u; }
    location /dead { smart_hedge 60s; grpc_pass grpc://dead; }
    location /hole { smart_hedge 50ms; grpc_pass grpc://hole; }
    location /http { smart_hedge 60s; grpc_pass grpc://http; }
    location /shut { smart_hedge 60s; grpc_pass grpc://shut; }
}
server {
    listen $plain;
    location / { smart_hedge 50ms; grpc_pass grpc://u; }
    location /off { grpc_pass grpc://u; }
}
CONF
}


# a unary call

sub call {
    my ($uri, $body, @curl) = @_;

    return h2($addr, $uri, body => $body // $hello, curl => \@curl,
              headers => ['Content-Type' => 'application/grpc',
                          TE => 'trailers']);
}


sub cancelled {
    my ($id, $expected, $name) = @_;

    is(SmartServer->ctl("cancelled?id=$id"), "$expected\n", $name);
}


sub logged {
    my ($expected, $name) = @_;

    my $line;

    SmartServer::wait_for(sub {
        $line = ($ngx->access_log)[-1] // '';
        return $line =~ /^$expected$/;
    }, 1);

    like($line, qr/^$expected$/, "$name - log");
}


sub unary {
    my $name = 'a fast primary is not hedged';
    my $r = call("/?id=a&s=echo;$ok");

    is("$r->{exit} $r->{status}", '0 200', $name);
    is($r->{headers}{'x-try'}, 1, "$name - attempt");
    is($r->{headers}{'content-type'}, 'application/grpc', "$name - type");
    like($r->{trailers}, qr/^grpc-status: 0\r$/m, "$name - trailer");
    cancelled('a', 'attempts=1 done=1 cancelled=0 open=0', "$name - attempts");
    logged('200 primary attempts=1 winner=0', $name);
}


sub first_success {
    my $name = 'the hedge wins, with its trailers';
    my $r = call("/soon?id=b&s=hang|echo;$ok;h:X-Message=two;h:X-Own=1");

    is("$r->{exit} $r->{status}", '0 200', $name);
    is($r->{headers}{'x-try'}, 2, "$name - attempt");
    is($r->{headers}{'x-own'}, 1, "$name - header");
    like($r->{trailers}, qr/^grpc-status: 0\r$/m, "$name - status");
    like($r->{trailers}, qr/^grpc-message: two\r?$/m, "$name - message");
    is(() = "$r->{trailers}\n" =~ /grpc-status/g, 1, "$name - once")
        or diag $r->{trailers};
    cancelled('b', 'attempts=2 done=1 cancelled=1 open=0', "$name - attempts");
    logged('200 hedge attempts=2 winner=1', $name);

    my $md5 = SmartProtocol::body_md5($hello);

    is(join(' ', map { "$_->{method} $_->{headers}{'x-attempt'} "
                       . $_->{body_md5} }
                     @{ SmartServer->ctl_json('requests?id=b') }),
       "POST 0 $md5 POST 1 $md5", "$name - request bodies");

    $name = 'the primary wins although a hedge has been sent';
    $r = call("/soon?id=c&s=delay:500;echo;$ok;h:X-Message=one|hang");

    is("$r->{exit} $r->{status}", '0 200', $name);
    is($r->{headers}{'x-try'}, 1, "$name - attempt");
    like($r->{trailers}, qr/^grpc-message: one\r?$/m, "$name - message");
    cancelled('c', 'attempts=2 done=1 cancelled=1 open=0', "$name - attempts");
    logged('200 primary attempts=2 winner=0', $name);

    $name = 'failed hedges do not beat a primary that is still alive';
    $r = call("/four?id=d&s=delay:500;echo;$ok|status:503|close"
              . "|delay:50;h:grpc-status=14;$bare");

    is("$r->{exit} $r->{status}", '0 200', $name);
    is($r->{headers}{'x-try'}, 1, "$name - attempt");
    like($r->{trailers}, qr/^grpc-status: 0\r?$/m, "$name - status");
    logged('200 primary attempts=4 winner=0', $name);
}


sub losers {
    my $slow = $ok =~ s/chunked/chunked:3,1000,200/r;

    for my $script ("hang|$slow|hang", "delay:300;$slow|hang|hang") {
        my $name = "losers are closed before the winner's body has come, "
                 . $script;
        my $r = call("/three?id=$script&s=$script");

        is("$r->{exit} $r->{size}", '0 3000', $name);
        like($r->{trailers}, qr/^grpc-status: 0/m, "$name - trailer");
        cancelled($script, 'attempts=3 done=1 cancelled=2 open=0',
                  "$name - attempts");
        is(join(' ', map { $_->{event} }
                     grep { $_->{event} =~ /done|closed/ }
                     @{ SmartServer->ctl_json("json?id=$script") }),
           'closed_by_peer closed_by_peer done', "$name - order");
    }
}


sub statuses {
    for my $status (1, 4, 8, 14, 16) {
        my $name = "grpc-status $status in the header has failed";
        my $r = call("/late?id=s$status&s=h:grpc-status=$status;$bare"
                     . "|hang|body:third;$ok");

        is("$r->{exit} $r->{status} $r->{body}", '0 200 third', $name);
        is($r->{headers}{'grpc-status'}, undef, "$name - no such header");
        like($r->{trailers}, qr/^grpc-status: 0/m, "$name - trailer");
        cancelled("s$status", 'attempts=3 done=2 cancelled=1 open=0',
                  "$name - attempts");
        logged('200 hedge attempts=3 winner=[12]', $name);
    }

    my $name = 'of a hedge, too';
    my $r = call("/three?id=sh&s=hang|h:grpc-status=14;$bare"
                 . "|delay:200;body:third;$ok");

    is("$r->{exit} $r->{status} $r->{body}", '0 200 third', $name);
    cancelled('sh', 'attempts=3 done=2 cancelled=1 open=0',
              "$name - attempts");

    $name = 'grpc-status 0 in the header wins';
    $r = call("/late?id=s0&s=h:grpc-status=0;$bare|body:other");

    is("$r->{exit} $r->{status} $r->{headers}{'grpc-status'}", '0 200 0',
       $name);
    cancelled('s0', 'attempts=1 done=1 cancelled=0 open=0',
              "$name - attempts");

    $r = call("/soon?id=s0h&s=hang|h:grpc-status=0;$bare");

    is("$r->{exit} $r->{status} $r->{headers}{'grpc-status'}", '0 200 0',
       "$name, of a hedge");

    my $bad = 'type:application/grpc;chunked;h:X-Status=14;h:X-Message=no';

    $name = 'a status in trailers cannot be judged, and arrives';
    $r = call("/late?id=st&s=body:x;$bad|body:other");

    is("$r->{exit} $r->{status} $r->{body}", '0 200 x', $name);
    like($r->{trailers}, qr/^grpc-status: 14\r\ngrpc-message: no/m,
         "$name - trailers");
    cancelled('st', 'attempts=1 done=1 cancelled=0 open=0',
              "$name - attempts");

    $r = call("/soon?id=sth&s=hang|body:x;$bad");

    like($r->{trailers}, qr/^grpc-status: 14\r\ngrpc-message: no/m,
         "$name, of a hedge");
}


sub failures {
    for my $step (qw( status:503 status:429 status:500 close badhead )) {
        my $name = "a primary with $step starts the hedges at once";
        my $r = call("/late?id=$step&s=$step|hang|body:third;$ok");

        is("$r->{exit} $r->{status} $r->{body}", '0 200 third', $name);
        like($r->{trailers}, qr/^grpc-status: 0/m, "$name - trailer");
        is(SmartServer->ctl("count?id=$step"), "3\n", "$name - attempts");
        like(SmartServer->ctl("cancelled?id=$step"), qr/cancelled=1 open=0/,
             "$name - loser");
        logged('200 hedge attempts=3 winner=[12]', $name);
    }

    my %peer = (dead => 'refuses connections', hole => 'swallows them',
                http => 'speaks HTTP/1', shut => 'closes without an answer');

    for my $what (sort keys %peer) {
        my $name = "the first peer $peer{$what}";
        my $r = call("/$what?id=$what&s=echo;$ok");

        is("$r->{exit} $r->{status}", '0 200', $name);
        is($r->{headers}{'x-peer'}, 2, "$name - peer");
        like($r->{trailers}, qr/^grpc-status: 0/m, "$name - trailer");
        logged('200 hedge attempts=2 winner=1', $name);

        my ($seen) = @{ SmartServer->ctl_json("requests?id=$what") };

        is($seen->{body_md5}, SmartProtocol::body_md5($hello),
           "$name - request body");
    }
}


sub all_failed {
    my $name = 'the last failure is passed on';
    my $r = call('/late?id=f1&s=status:500|status:501'
                 . '|delay:900;status:503;body:last');

    is("$r->{exit} $r->{status} $r->{body}", '0 503 last', $name);
    cancelled('f1', 'attempts=3 done=3 cancelled=0 open=0',
              "$name - attempts");
    logged('503 failed attempts=3 winner=-', $name);
    $ngx->log_like(qr/smart: failed after \d+ ms, 3 attempts: /,
                   "$name - error log");

    $name = 'the last failure with a status of gRPC';
    $r = call('/late?id=f2&s=status:500|status:503|'
              . "delay:900;h:grpc-status=14;h:grpc-message=last;$bare");

    is("$r->{exit} $r->{status}", '0 200', $name);
    is($r->{headers}{'grpc-status'}, 14, "$name - status");
    is($r->{headers}{'grpc-message'}, 'last', "$name - message");
    logged('200 failed attempts=3 winner=-', $name);

    $name = 'all of them with a status of gRPC';
    $r = call("/late?id=f3&s=h:grpc-status=14;$bare");

    is("$r->{exit} $r->{status} $r->{headers}{'grpc-status'}", '0 200 14',
       $name);
    logged('200 failed attempts=3 winner=-', $name);

    $name = 'all streams are reset';
    $r = call('/late?id=f4&s=close');

    is("$r->{exit} $r->{status}", '0 502', $name);
    logged('502 failed attempts=3 winner=-', $name);

    $name = 'error_page is taken when all have failed';

    for my $step ('close', 'status:503') {
        $r = call("/page?id=p-$step&s=$step");

        is("$r->{exit} $r->{status} $r->{headers}{'grpc-status'}",
           '0 204 14', "$name, $step");
        logged('204 failed attempts=2 winner=-', "$name, $step");

        $r = call("/page?id=q-$step&s=$step|echo;$ok");

        is("$r->{exit} $r->{status}", '0 200', "and only then, $step");
        like($r->{trailers}, qr/^grpc-status: 0\r?$/m,
             "and only then, $step - trailer");
    }

    $name = 'all attempts time out';
    $r = call('/slow?id=f5&s=hang');

    is("$r->{exit} $r->{status}", '0 504', $name);
    cancelled('f5', 'attempts=2 done=0 cancelled=2 open=0',
              "$name - attempts");
    logged('504 failed attempts=2 winner=-', $name);
}


sub long_answers {
    my $md5 = SmartServer->pattern_md5(5_000_000, 1);
    my %script = (
        'a hedge' => "hang|size:5000000,1;$ok",
        'a hedge, without a length' => "hang|size:5000000,1;chunked;$ok",
        'a hedge after a failure' => "status:503|size:5000000,1;$ok",
        'a hedged primary' => "delay:300;size:5000000,1;$ok|hang",
    );

    for my $what (sort keys %script) {
        my $name = "5 MB of $what";
        my $r = call("/soon?id=$what&s=$script{$what}" =~ s/ /%20/gr);

        is("$r->{exit} $r->{status} $r->{md5}", "0 200 $md5", $name);
        like($r->{trailers}, qr/^grpc-status: 0/m, "$name - trailer");
    }

    my $name = '5 MB for a client that reads slowly';
    my $r = call("/soon?id=slow&s=hang|size:5000000,1;$ok", undef,
                 '--limit-rate', '8M');

    is("$r->{exit} $r->{md5}", "0 $md5", $name);
    like($r->{trailers}, qr/^grpc-status: 0/m, "$name - trailer");

    $name = 'a body that breaks off';
    $r = call("/soon?id=cut&s=hang|size:100000,1;cut:50000;$ok");

    isnt($r->{exit}, 0, "$name - not complete");
    cmp_ok($r->{size}, '<=', 50000, "$name - size");
    is($r->{trailers}, '', "$name - no trailers");
    is(h2($addr, '/off?s=size:100000,1;cut:50000')->{exit}, $r->{exit},
       "$name - as without hedging");
}


sub long_requests {
    my $body = pack 'x N/a', 'x' x 300_000;
    my $md5 = SmartProtocol::body_md5($body);
    my $name = 'a long message goes with each attempt';
    my $r = call("/three?id=l1&s=status:503|hang|delay:100;echo;$ok", $body);

    is("$r->{exit} $r->{status}", '0 200', $name);
    is(join(' ', map { $_->{body_md5} }
                     @{ SmartServer->ctl_json('requests?id=l1') }),
       "$md5 $md5 $md5", "$name - bodies");

    $body = pack 'x N/a', 'x' x 1_500_000;
    $md5 = SmartProtocol::body_md5($body);
    $name = 'a message above smart_hedge_body_size is not hedged';
    $r = call("/soon?id=l2&s=delay:300;echo;$ok|hang", $body);

    is("$r->{exit} $r->{status}", '0 200', $name);
    like($r->{body}, qr/"body_md5":"$md5"/, "$name - body");
    cancelled('l2', 'attempts=1 done=1 cancelled=0 open=0',
              "$name - attempts");
}


sub methods {
    my $name = 'POST where it is not allowed';
    my $r = call("/get?id=m1&s=delay:300;echo;$ok|hang");

    is("$r->{exit} $r->{status}", '0 200', $name);
    cancelled('m1', 'attempts=1 done=1 cancelled=0 open=0',
              "$name - attempts");

    $name = 'GET';
    $r = h2($addr, "/soon?id=m2&s=hang|body:x;$ok");

    is("$r->{exit} $r->{status} $r->{body}", '0 200 x', $name);
    cancelled('m2', 'attempts=2 done=1 cancelled=1 open=0',
              "$name - attempts");

    my $length = h2($addr, '/off?s=size:5000', method => 'HEAD')
                 ->{headers}{'content-length'};

    for my $script ('hang|size:5000', 'status:503|size:5000',
                    'close|size:5000', 'delay:300;size:5000|hang')
    {
        $name = "HEAD, $script";
        $r = h2($addr, "/three?id=m-$script&s=$script|hang", method => 'HEAD');

        is("$r->{exit} $r->{status}", '0 200', $name);
        is($r->{headers}{'content-length'}, $length, "$name - length");
        like(SmartServer->ctl("cancelled?id=m-$script"), qr/open=0/,
             "$name - losers");
    }
}


# trailers reach a client of HTTP/1.1, too, where it asks for them

sub other_clients {
    my $name = 'a client of HTTP/1.1';
    my @seen;

    for my $args ("/off?s=size:1000;chunked;$ok",
                  "/?id=o&s=hang|size:1000;chunked;$ok")
    {
        my $c = SmartServer::Client->connect(addr => $ngx->addr(2));

        $c->request($args, headers => [TE => 'trailers']);

        my $head = $c->read_header;
        my $body = $c->read_body;

        push @seen, "$head->{status} $body->{size} $body->{complete} "
                    . ($body->{trailers} // '');
    }

    like($seen[0], qr/^200 1000 1 /, $name);
    is($seen[1], $seen[0], "$name - as without hedging");
}


# of one peer: the winner's connection is kept, a loser's is not used again

sub keepalive {
    my @scripts = ("size:1000;$ok", "hang|size:1000;$ok",
                   "h:grpc-status=14;$bare|size:1000;$ok");

    for my $i (1 .. 3) {
        for my $script (@scripts) {
            my $id = "k$i-$script";
            my $r = call("/kept?id=$id&s=$script");

            is("$r->{exit} $r->{status} $r->{size}", '0 200 1000',
               "keepalive $i, $script");
            like(SmartServer->ctl("cancelled?id=$id"), qr/open=0/,
                 "keepalive $i, $script - losers");
        }
    }

    my (%by, @log);

    SmartServer::wait_for(sub {
        @log = grep { / k\d-/ } $server->access_log;
        return @log == 15;
    }, 1);

    $by{$_}++ for map { (split)[0] } @log;

    is(scalar @log, 15, 'keepalive - attempts');
    cmp_ok(scalar keys %by, '<=', 7,
           'keepalive - a connection, and one for each that did not win');

    my $md5 = SmartServer->pattern_md5(5_000_000, 1);

    for my $i (1 .. 3) {
        my $r = call("/kept?id=big$i&s=hang|size:5000000,1;$ok");

        is("$r->{exit} $r->{md5}", "0 $md5", "keepalive, 5 MB, $i");
        like($r->{trailers}, qr/^grpc-status: 0/m,
             "keepalive, 5 MB, $i - trailer");
    }
}


sub many {
    my $name = 'many streams of one connection';
    my $uri = "http://$addr/three?p1=hang&p2=size:100000,1;$ok"
            . "&p3=delay:100;size:100000,1;$ok";
    my $out = `h2load -n 60 -m 20 -c 1 '$uri' 2>&1`;

    like($out, qr/\b60 done, 60 succeeded, 0 failed/, $name) or diag $out;
    like($out, qr/\b60 2xx, 0 3xx/, "$name - statuses");
    like($out, qr/\(6000000\) data/, "$name - bytes");
    is(SmartServer->ctl('busy?ms=900'), "0\n", "$name - losers");
}


sub client_leaves {
    my $name = 'a client that leaves cancels all';
    my $r = call('/three?id=c1&s=hang', undef, '--max-time', '0.4');

    isnt($r->{exit}, 0, $name);
    cancelled('c1', 'attempts=3 done=0 cancelled=3 open=0',
              "$name - attempts");
    logged('499 aborted attempts=3 winner=-', $name);

    $name = 'a client that leaves within the body';
    $r = call("/soon?id=c2&s=hang|size:1000,1;bodydelay:900;$ok", undef,
              '--max-time', '0.4');

    isnt($r->{exit}, 0, $name);
    cancelled('c2', 'attempts=2 done=0 cancelled=2 open=0',
              "$name - attempts");
}
