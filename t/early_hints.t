# Early hints (103) of nginx 1.29 and later: those of the primary come to the
# client, and a hedge's do not, whoever wins.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartServer;
use SmartProtocol;

my ($minor) = SmartServer::build_options() =~ m{nginx/1\.(\d+)};

plan skip_all => 'this nginx drops early hints' if $minor < 29;

SmartServer->upstream;

my $id = 0;
my $http2 = SmartServer::build_options() =~ /http_v2_module/;
my $ngx = SmartServer->start(conf => conf());


# location, script, attempts whose hints come, status and body, outcome

my @tests = (
    ['hints alone', 'any', 'interim:103;body:primary', '1', '200 primary',
     'primary 1'],
    ['hints, and then nothing', 'any', 'interim:103;hang|body:hedge', '1',
     '200 hedge', 'hedge 2'],
    ['twice, and then nothing', 'any',
     'interim:103;interim:103;hang|body:hedge', '1 1', '200 hedge', 'hedge 2'],
    ['of a hedge that wins', 'any', 'hang|interim:103;delay:30;body:hedge', '',
     '200 hedge', 'hedge 2'],
    ['of both, the hedge wins', 'any',
     'interim:103;hang|interim:103;delay:30;body:hedge', '1', '200 hedge',
     'hedge 2'],
    ['of both, the primary wins', 'any',
     'interim:103;delay:250;body:primary|interim:103;hang', '1', '200 primary',
     'primary 2'],
    ['of a hedge, the primary wins with some of its own', 'any',
     'delay:250;interim:103;body:primary|interim:103;hang', '1', '200 primary',
     'primary 2'],
    ['of a primary that fails', 'any',
     'interim:103;status:503|interim:103;body:hedge', '1', '200 hedge',
     'hedge 2'],
    ['of a primary that breaks', 'any',
     'interim:103;close|interim:103;body:hedge', '1', '200 hedge', 'hedge 2'],
    ['of a primary that fails late', 'any',
     'interim:103;delay:250;status:503|interim:103;delay:350;body:hedge', '1',
     '200 hedge', 'hedge 2'],
    ['of all, and all fail', 'any',
     'interim:103;status:503|interim:103;status:500;body:last', '1', '500 last',
     'failed 2'],
    ['before a body that is refused', 'json',
     'interim:103;body:{|interim:103;body:{"a": 1}', '1', '200 {"a": 1}',
     'hedge 2'],
    ['before a body that is held', 'json', 'interim:103;body:{"a": 1}', '1',
     '200 {"a": 1}', 'primary 1'],
    ['before the deadline', 'deadline', 'interim:103;hang|interim:103;hang',
     '1', '504 timeout', 'timeout 2'],
    ['in a location that sends none', 'none',
     'interim:103;hang|interim:103;body:hedge', '', '200 hedge', 'hedge 2'],
);

for my $test (@tests) {
    http1(@$test);
    http2(@$test) if $http2;
}

unread();

is(SmartServer->ctl('busy?ms=900'), "0\n", 'nothing is left at the upstream');
$ngx->stop(name => 'no connection is left');

done_testing;


sub http1 {
    my ($name, $uri, $script, $hints, $answer, $race) = @_;

    my $c = $ngx->connect;

    $id++;
    $c->request("/$uri?id=$id", headers => ['X-Script' => $script,
                                            'X-Script-Id' => $id]);

    my $head = $c->read_header;
    my $body = $c->read_body;

    checked("HTTP/1.1, $name", $hints, join('', @{ $head->{interim} }),
            $head->{header});
    is("$head->{status} $body->{body}", $answer, 'the answer');
    is($head->{headers}{'x-race'}, $race, 'of whom');

    # and what follows on the connection is the next answer
    $c->request("/$uri?id=next", headers => ['X-Script' => 'body:{}']);
    is($c->read_header->{status}, 200, 'the next one');
    is($c->read_body->{body}, '{}', 'is sound');
    $c->close;
}


sub http2 {
    my ($name, $uri, $script, $hints, $answer, $race) = @_;

    $id++;

    my $got = `curl -s -i --http2-prior-knowledge --max-time 10 \\
               -H 'X-Script: $script' -H 'X-Script-Id: $id' \\
               'http://@{[ $ngx->addr(2) ]}/$uri?id=$id'`;
    my ($interim, $head, $body)
        = $got =~ m{^((?:HTTP/2\ 1.*?\r\n\r\n)*)(HTTP/2.*?\r\n\r\n)(.*)}s;

    checked("HTTP/2, $name", $hints, $interim, $head);

    my ($status) = $head =~ m{^HTTP/2 (\d+)};

    is("$status $body", $answer, 'the answer');
}


sub checked {
    my ($name, $hints, $interim, $head) = @_;

    my @hints = $interim =~ m{^HTTP/\S+ (.*)}mg;

    is(join(' ', $interim =~ /^X-Try: (\d+)/mig), $hints, $name);
    is(scalar @hints, scalar split(' ', $hints), 'no other interim answer');
    is(scalar(() = $interim =~ /^Link:/mig), scalar @hints, 'nothing twice');
    unlike($head, qr/^Link:/mi, 'no hint in the header');
    cmp_ok(scalar(() = $head =~ /^X-Try:/mig), '<=', 1, 'no header twice');
}


# hints that a client does not read are not lost when a hedge wins

sub unread {
    for my $script ('hang', 'status:503', 'close') {
        my $c = $ngx->connect(addr => $ngx->addr(3), rcvbuf => 4096);
        my $pads = 'interim:103,60000;' x 8;

        $id++;
        $c->request("/any?id=$id",
                    headers => ['X-Script' => "$pads$script|delay:200;"
                                              . 'interim:103;body:hedge',
                                'X-Script-Id' => $id]);
        SmartServer->ctl("wait?id=$id&event=done&ms=5000");

        my $head = $c->read_header;
        my $body = $c->read_body;
        my @pads = join('', @{ $head->{interim} }) =~ /^X-Fill: (x*)\r$/mg;

        is("@{[ map { length } @pads ]}", join(' ', (60000) x 8),
           "unread, $script: all of the hints");
        is("$head->{status} $body->{body}", '200 hedge',
           "unread, $script: and the answer");
        $c->close;
    }
}


sub conf {
    my $listen = $http2 ? SmartProtocol::http2_listen('127.0.0.1:%%PORT_2%%')
                        : 'listen 127.0.0.1:%%PORT_2%%;';

    return <<"CONF";
upstream u {
    server \$TEST_NGINX_UP1 max_fails=0;
    server \$TEST_NGINX_UP2 max_fails=0;
}

add_header X-Race "\$smart_outcome \$smart_attempts" always;

proxy_next_upstream off;
proxy_buffer_size 512k;
proxy_buffers 4 512k;

smart_hedge 100ms;
smart_hedge_budget off;

server {
    listen 127.0.0.1:%%PORT%%;
    listen 127.0.0.1:%%PORT_3%% sndbuf=4k;
    $listen

    early_hints 1;

    location /any      { proxy_pass http://u; }
    location /none     { early_hints 0; proxy_pass http://u; }
    location /json     { smart_success_json on; proxy_pass http://u; }
    location /deadline { smart_timeout 300ms; error_page 504 /timeout;
                         proxy_pass http://u; }
    location = /timeout { return 200 "timeout"; }
}
CONF
}
