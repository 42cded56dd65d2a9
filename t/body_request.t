# Requests with a body: read whole, and sent with each attempt.
#
# 4 MB, but for a file of 50 MB to proxy_pass; with SMART_TEST_LARGE=1 it is
# 50 MB everywhere.

use strict;
use warnings;

use Digest::MD5 qw( md5_hex );
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/chaos";
use H2;
use Test::More;
use Time::HiRes qw( sleep time );
use SmartServer;
use SmartProtocol;

use constant {
    HUGE  => 50_000_000,
    LARGE => $ENV{SMART_TEST_LARGE} ? 50_000_000 : 4_000_000,
};

SmartServer->upstream;

$ENV{"TEST_NGINX_PEER$_"} = $ENV{"TEST_NGINX_UP$_"} for 1 .. 3;

my $id = 0;
my $large = join '', map { chr(33 + $_ % 91) } 1 .. 9973;
$large = substr $large x (LARGE / length($large) + 1), 0, LARGE;

my $large_md5 = md5_hex($large);
my $small = substr $large, 0, 200_000;
my $small_md5 = md5_hex($small);

{
    my $ngx = SmartServer->start(conf => conf('proxy_pass http://u;',
                                              'proxy_request_buffering'));

    attempts($ngx, 'proxy');
    huge($ngx) if !$ENV{SMART_TEST_ASAN};
    sizes($ngx);
    expect($ngx);
    chunked($ngx);
    http2($ngx);
    slow($ngx);
    leaves($ngx);

    is(join(' ', glob($ngx->dir . '/temp/body/*')), '', 'no file is left');
    $ngx->stop;
}

for my $protocol (qw( fastcgi uwsgi scgi )) {
    SmartProtocol->start($protocol);

    my $params = $protocol ne 'fastcgi'
               ? "${protocol}_param CONTENT_LENGTH \$content_length;" : '';
    my $ngx = SmartServer->start(conf => conf(<<"PASS"));
${protocol}_param REQUEST_METHOD \$request_method;
    ${protocol}_param REQUEST_URI \$request_uri;
    $params
    ${protocol}_pass u;
PASS

    attempts($ngx, $protocol);
    $ngx->stop;
}

SKIP: {
    skip 'no HTTP/2', 1 if SmartServer::build_options() !~ /http_v2_module/;

    my $server = SmartProtocol->grpc;
    my $ngx = SmartServer->start(conf => conf('grpc_pass grpc://u;'));

    attempts($ngx, 'grpc');
    $ngx->stop;
    $server->stop;
}

done_testing();


# the body with each of three attempts, from memory and from a file

sub attempts {
    my ($ngx, $name) = @_;

    for my $place (qw( memory file )) {
        my $got = post($ngx, "/$place", 'status:503|status:503|echo', $large);

        is($got->{status}, 200, "$name, in $place: three attempts");
        is(seen(), "$large_md5 $large_md5 $large_md5", 'with all of the body');
    }

    # a trigger while the primary is sent, and bodies that are held

    my $got = post($ngx, '/soon', 'hang|echo', $large);

    is($got->{status}, 200, "$name: a hedge at once");
    like(seen(), qr/^(?:$large_md5 ?){1,2}$/, 'with all of the body');

    $got = post($ngx, '/json', 'body:no|echo', $small);

    is($got->{status}, 200, "$name: a refused answer");
    is(seen(), "$small_md5 $small_md5", 'its hedge has the body, too');
}


sub huge {
    my ($ngx) = @_;

    my $body = substr $large x (HUGE / length($large) + 1), 0, HUGE;
    my $md5 = md5_hex($body);
    my $got = post($ngx, '/file', 'status:503|status:503|echo', $body);

    is($got->{status}, 200, '50 MB from a file');
    is(seen(), "$md5 $md5 $md5", 'to each of three attempts');
}


sub sizes {
    my ($ngx) = @_;

    for my $case ([1000, 2, '-'], [1001, 1, 'body'], [100_000, 1, 'body']) {
        my ($size, $attempts, $reason) = @$case;
        my $body = substr $large, 0, $size;
        my $got = post($ngx, '/limited', 'delay:400;echo|hang', $body);

        is($got->{status}, 200, "$size bytes of 1000");
        is(seen(), join(' ', (md5_hex($body)) x $attempts), 'attempts');
        logged($ngx, qr/suppressed=\Q$reason\E /, "suppressed: $reason");

        $got = post($ngx, '/limited', 'delay:400;echo|hang', $body,
                    chunked => 1);

        is($got->{status}, 200, "$size bytes of 1000, chunked");
        is(seen(), join(' ', (md5_hex($body)) x $attempts), 'attempts');
        logged($ngx, qr/suppressed=\Q$reason\E /, "suppressed: $reason");

        $got = post($ngx, '/limited', 'status:503|echo', $body);
        is($got->{status}, $attempts == 2 ? 200 : 503, 'after a failure');
    }

    my $got = post($ngx, '/limited_off', 'status:503|echo',
                   substr $large, 0, 100_000);
    is($got->{status}, 200, 'as large as may be, and request buffering is off');

    $got = post($ngx, '/put', 'delay:400;echo|hang', $small);

    is(seen(), $small_md5, 'a method that is not listed');
    logged($ngx, qr/suppressed=method /, 'suppressed: method');

    $got = post($ngx, '/unbuffered', 'status:503|echo', $small);
    is($got->{status}, 200, 'request buffering is off');
    is(seen(), "$small_md5 $small_md5", 'and the body read all the same');

    $got = post($ngx, '/memory', 'status:503|echo', '');
    is($got->{status}, 200, 'an empty body');

    $got = post($ngx, '/tiny', 'echo', $small);
    is($got->{status}, 413, 'above client_max_body_size');
    is(SmartServer->ctl("count?id=b$id"), "0\n", 'nothing is sent');
}


sub expect {
    my ($ngx) = @_;

    my $c = $ngx->connect;

    $id++;
    $c->send("POST /twice?id=b$id HTTP/1.1\r\nHost: localhost\r\n"
             . "X-Script: status:503|echo\r\nX-Script-Id: b$id\r\n"
             . "Expect: 100-continue\r\nContent-Length: " . length($small)
             . "\r\n\r\n");
    sleep 0.1;
    is(SmartServer->ctl("count?id=b$id"), "0\n", 'the body is waited for');
    $c->send($small);

    my $head = $c->read_header;

    like("@{ $head->{interim} }", qr/^HTTP\/1\.1 100 Continue\s*$/,
         'Expect: 100-continue');
    is($head->{status}, 200, 'answered');
    $c->read_body;
    is(seen(), "$small_md5 $small_md5", 'with the body twice');
}


sub chunked {
    my ($ngx) = @_;

    my $got = post($ngx, '/file', 'status:503|status:503|echo', $small,
                   chunked => 1);

    is($got->{status}, 200, 'chunked');
    is(seen(), "$small_md5 $small_md5 $small_md5", 'sent with each attempt');

    my $c = $ngx->connect;

    $id++;
    $c->send("POST /file?id=b$id HTTP/1.1\r\nHost: localhost\r\n"
             . "X-Script-Id: b$id\r\nTransfer-Encoding: chunked\r\n\r\n"
             . "5\r\nhello\r\nnonsense\r\n\r\n");
    is($c->read_header->{status}, 400, 'chunks that are none');
    $c->close;
    ok(SmartServer::wait_for(sub { ($ngx->access_log)[-1] =~ / 400 POST / }, 2),
       'logged as that');
    is(SmartServer->ctl("count?id=b$id"), "0\n", 'nothing is sent');
}


sub http2 {
    my ($ngx) = @_;

    for my $more ([], ['-T', '-']) {
        my @headers = ('X-Script' => 'status:503|echo',
                       'X-Script-Id' => 'b' . ++$id);
        my $dir = File::Temp->newdir;

        SmartServer::spew("$dir/data", $small);

        # from a pipe there is no length

        my @what = @$more ? ('-X', 'POST', '-T', '-')
                          : ('--data-binary', "\@$dir/data");
        my $got = `cat $dir/data | curl -s --http2-prior-knowledge \\
                   --max-time 30 -o /dev/null -w '%{http_code}' @what \\
                   -H 'X-Script: $headers[1]' -H 'X-Script-Id: b$id' \\
                   http://@{[ $ngx->addr(2) ]}/unbuffered?id=b$id`;

        is($got, 200, 'HTTP/2' . (@$more ? ' without a length' : ''));
        is(seen(), "$small_md5 $small_md5", 'sent with each attempt');
    }
}


# the clock of the primary starts after the upload, that of the deadline before

sub slow {
    my ($ngx) = @_;

    my $got = post($ngx, '/soon', 'echo', substr($small, 0, 1000), slow => 1);

    is($got->{status}, 200, 'a slow upload');
    is(SmartServer->ctl("cancelled?id=b$id"),
       "attempts=1 done=1 cancelled=0 open=0\n", 'is no slow upstream');

    $got = post($ngx, '/soon', 'hang|echo', substr($small, 0, 1000),
                slow => 1);
    is($got->{status}, 200, 'a slow upload and a slow upstream');
    is(SmartServer->ctl("cancelled?id=b$id"),
       "attempts=2 done=1 cancelled=1 open=0\n", 'which is hedged');

    $got = post($ngx, '/deadline', 'echo', substr($small, 0, 1000),
                slow => 1);
    is($got->{status}, 504, 'the deadline passes in the upload');
    is(SmartServer->ctl("count?id=b$id"), "0\n", 'nothing is sent');

    my $c = $ngx->connect(timeout => 5);

    $c->send("POST /deadline HTTP/1.1\r\nHost: localhost\r\n"
             . "Content-Length: 1000\r\n\r\nsome");
    is(($c->read_header // { status => $c->error })->{status}, 504,
       'an upload without an end');
    $c->close;
}


sub leaves {
    my ($ngx) = @_;

    for my $uri (qw( /file /memory /unbuffered /json )) {
        my $c = $ngx->connect;

        $id++;
        $c->send("POST $uri?id=b$id HTTP/1.1\r\nHost: localhost\r\n"
                 . "X-Script-Id: b$id\r\nContent-Length: 300000\r\n\r\n"
                 . $small);
        sleep 0.1;
        $c->reset;
        sleep 0.1;

        is(SmartServer->ctl("count?id=b$id"), "0\n",
           "$uri: a client that leaves in its body");
    }

    my $h2 = H2->connect($ngx->addr(2));
    my $stream = $h2->request('/unbuffered?id=b' . ++$id, method => 'POST',
                              body => substr($small, 0, 10_000),
                              unfinished => 1,
                              headers => ['x-script-id' => "b$id"]);

    $h2->pump(0.1);
    $h2->rst($stream);
    sleep 0.1;

    is(SmartServer->ctl("count?id=b$id"), "0\n", 'a stream that is reset in it');

    $stream = $h2->request('/unbuffered?id=b' . ++$id, method => 'POST',
                           body => substr($small, 0, 10_000),
                           headers => ['x-script-id' => "b$id",
                                       'x-script' => 'status:503|echo']);
    $h2->wait($stream, 5);

    is($h2->stream($stream)->{status}, 200, 'the next one on its connection');
    is(seen(), join(' ', (md5_hex(substr $small, 0, 10_000)) x 2),
       'with all of its body');
    $h2->close;

    my $c = $ngx->connect;

    $id++;
    $c->request("/soon?id=b$id", method => 'POST', body => $large,
                headers => ['X-Script' => 'hang', 'X-Script-Id' => "b$id"]);
    SmartServer->ctl("wait?id=b$id&event=request&count=2&ms=5000");
    $c->reset;
    is(SmartServer->ctl('busy?ms=5000'), "0\n", 'one that leaves after it');
}


sub post {
    my ($ngx, $uri, $script, $body, %opt) = @_;

    my $c = $ngx->connect(timeout => 60);

    $id++;
    $uri .= "?id=b$id";

    if (!$opt{chunked} && !$opt{slow}) {
        $c->request($uri, method => 'POST', body => $body,
                    headers => ['X-Script' => $script, 'X-Script-Id' => "b$id",
                                'Content-Length' => length $body]);

    } else {
        my @pieces = $body =~ /(.{1,30000})/gs;
        @pieces = $body =~ /(.{1,250})/gs if $opt{slow};

        $c->send("POST $uri HTTP/1.1\r\nHost: localhost\r\n"
                 . "X-Script: $script\r\nX-Script-Id: b$id\r\n"
                 . ($opt{chunked} ? 'Transfer-Encoding: chunked'
                                  : 'Content-Length: ' . length $body)
                 . "\r\n\r\n");

        for my $piece (@pieces) {
            sleep 0.15 if $opt{slow};
            $c->send($opt{chunked} ? sprintf("%x\r\n%s\r\n", length $piece,
                                             $piece) : $piece);
        }

        $c->send("0\r\n\r\n") if $opt{chunked};
    }

    my $head = $c->read_header or return { status => 0 };
    my $got = $c->read_body;

    $c->close;

    return { %$head, %$got };
}


# the checksums of the bodies that upstreams have got

sub seen {
    SmartServer->ctl("cancelled?id=b$id&ms=5000");

    return join ' ', map { $_->{body_md5} }
                     @{ SmartServer->ctl_json("requests?id=b$id") };
}


sub logged {
    my ($ngx, $re, $name) = @_;

    like(($ngx->access_log)[-1], $re, $name);
}


sub conf {
    my ($pass, $unbuffered) = @_;

    my $off = $unbuffered ? "$unbuffered off;" : '';
    my $version = $unbuffered ? 'proxy_http_version 1.1;' : '';
    my $http2 = SmartProtocol::http2_listen('127.0.0.1:%%PORT_2%%');

    return <<"CONF";
log_format smart 'suppressed=\$smart_suppressed \$status \$request';
access_log %%DIR%%/logs/access.log smart;

upstream u {
    server \$TEST_NGINX_PEER1 max_fails=0;
    server \$TEST_NGINX_PEER2 max_fails=0;
    server \$TEST_NGINX_PEER3 max_fails=0;
}

proxy_next_upstream off;
fastcgi_next_upstream off;
uwsgi_next_upstream off;
scgi_next_upstream off;
grpc_next_upstream off;

client_max_body_size    100m;
client_body_buffer_size 16k;

smart_hedge           60s;
smart_hedge_budget    off;
smart_hedge_methods   POST;
smart_hedge_body_size 64m;

server {
    listen 127.0.0.1:%%PORT%%;

    $version

    location /memory { smart_hedge 60s extra=2; client_body_buffer_size 64m;
                       $pass }
    location /file   { smart_hedge 60s extra=2; $pass }
    location /twice  { $pass }
    location /soon   { smart_hedge 200ms; $pass }
    location /json   { smart_success_json on; $pass }
    location /limited { smart_hedge 100ms; smart_hedge_body_size 1000; $pass }
    location /limited_off { smart_hedge_body_size 100000; $off $pass }
    location /put    { smart_hedge 100ms; smart_hedge_methods PUT; $pass }
    location /unbuffered { $off $pass }
    location /tiny   { client_max_body_size 1k; $pass }
    location /deadline { smart_timeout 300ms; $pass }
}

server {
    $http2

    $version

    location / { $off $pass }
}
CONF
}
