# smart_success_json over everything but proxy_pass: an accepted answer passes
# as it came, and a refused one gives way to that of a hedge.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartServer;
use SmartProtocol;

use constant HEDGE => 'body:{"time": 2}';

# what upstreams make of json:60000 and json:70000
my ($long, $longer) = map {
    my ($head, $tail) = ('{"time": 1, "pad": "', qq("}\n));
    $head . 'x' x ($_ - length($head) - length($tail)) . $tail;
} 60000, 70000;

SmartServer->upstream;

# name, script, outcome and attempts, body, why the primary was refused, what it
# is not for: all that memcached answers has a length

my @tests = (
    ['accepted', 'json:60000|hang', 'primary 1', $long],
    ['accepted, in pieces', 'json:60000;split:999|hang', 'primary 1', $long],
    ['accepted, without a length', 'json:60000;chunked;split:999|hang',
     'primary 1', $long, undef, qr/memcached/],
    ['refused', 'body:no|json:60000', 'hedge 2', $long, 'invalid JSON'],
    ['refused, a hedge without a length', 'body:no|json:60000;chunked',
     'hedge 2', $long, 'invalid JSON', qr/memcached/],
    ['no such member', 'body:{"tim": 1}|' . HEDGE, 'hedge 2', '{"time": 2}',
     'unexpected JSON, no "/time:integer"'],
    ['another type', 'body:{"time": 1.5}|json:60000', 'hedge 2', $long,
     'unexpected JSON, no "/time:integer"'],
    ['empty', 'body:|' . HEDGE, 'hedge 2', '{"time": 2}', 'invalid JSON'],
    ['too large', 'json:70000|' . HEDGE, 'hedge 2', '{"time": 2}',
     'body too large'],
    ['too large, without a length', 'json:70000;chunked|' . HEDGE, 'hedge 2',
     '{"time": 2}', 'body too large', qr/memcached/],
    ['cut', 'json:60000;cut:59999|' . HEDGE, 'hedge 2', '{"time": 2}'],
    ['cut at once', 'json:60000;cut:0|' . HEDGE, 'hedge 2', '{"time": 2}'],
    ['reset', 'json:60000;cut:100;reset|' . HEDGE, 'hedge 2', '{"time": 2}'],
    ['cut, and a long one', 'json:60000;cut:100|json:60000', 'hedge 2', $long],
    ['overtaken', 'json:60000;split:6000,100|delay:50;json:60000', 'hedge 2',
     $long, undef, qr/-/, '/soon'],
    ['not overtaken', 'json:60000;split:20000,100|hang', 'primary 2', $long,
     undef, qr/-/, '/soon'],
    ['all refused', 'body:first|body:second', 'failed 2', 'second',
     'invalid JSON'],
    ['all refused, the last too large', 'body:first|json:70000', 'failed 2',
     $longer, 'invalid JSON'],
);

# what every attempt does, and which of them ends last

my $whole = 'body:{"time": 1}%0A%0A%0A;cut:11';
my @broken = (
    ['cut, twice', 'json:60000;cut:100|json:60000;cut:59999', '/'],
    ['cut at once, twice', 'json:60000;cut:0|json:60000;cut:0', '/'],
    ['cut after all that matters, twice', "$whole|$whole", '/'],
    ['reset, twice', 'json:60000;cut:100;reset|json:60000;cut:100;reset', '/'],
    ['refused, then cut', 'body:first|json:60000;cut:100', '/'],
    ['cut, the primary last', 'split:25,50;json:60;cut:50|close', '/soon'],
    ['cut after all that matters, the primary last',
     "bodydelay:120;$whole|$whole", '/soon'],
    ['cut, and nothing else', $whole, '/alone'],
);

# a record of FastCGI that is none

my $none = 'body:{"time": 1};h:X-Record=none;chunked';
my @records = (['no record', "$none|$none", '/'],
               ['no record, the primary last', "delay:100;$none|$none", '/soon'],
               ['no record, and nothing else', $none, '/alone']);

my $id = 0;

for my $protocol (qw( fastcgi uwsgi scgi memcached )) {
    SmartProtocol->start($protocol);
    protocol($protocol, "${protocol}_pass u;");
}

SKIP: {
    skip 'no HTTP/2', 1 if SmartServer::build_options() !~ /http_v2_module/;

    my $server = SmartProtocol->grpc;

    protocol('grpc', 'grpc_pass grpc://u;');
    $server->stop;
}

done_testing;


sub protocol {
    my ($protocol, $pass) = @_;

    my $ngx = SmartServer->start(conf => conf($protocol, $pass));

    for my $mode ($protocol =~ /cgi$|uwsgi/ ? ('', '/unbuffered') : ('')) {
        for my $test (@tests) {
            my ($name, $script, $race, $body, $why, $not, $uri) = @$test;

            next if $not && $protocol =~ $not;

            one($ngx, "$protocol$mode, $name", $mode . ($uri // '/'), $script,
                $race, $body, $why);
        }
    }

    for my $mode ($protocol =~ /cgi$|uwsgi/ ? ('', '/unbuffered') : ('')) {
        all_broken($ngx, "$protocol$mode", $mode, @$_)
            for @broken, $protocol eq 'fastcgi' ? @records : ();
    }

    is(SmartServer->ctl('busy?ms=900'), "0\n",
       "$protocol: nothing is left at the upstream");
    $ngx->stop(name => "$protocol: no connection is left");
}


sub one {
    my ($ngx, $name, $uri, $script, $race, $body, $why) = @_;

    my $mark = length $ngx->error_log;

    $id++;

    my $r = $ngx->get("$uri?id=b$id&s=" . escape($script));

    is("$r->{status} $r->{headers}{'x-race'}", "200 $race", $name);
    is($r->{complete}, 1, "$name - complete");
    ok($r->{body} eq $body, "$name - as it came")
        or diag substr $r->{body}, 0, 100;

    my $n = $race =~ /primary/ ? 1 : 2;

    is($r->{headers}{"x-try"}, $n, "$name - its header")
        if $n && $name !~ /^memcached/;

    return if !defined $why;

    like(substr($ngx->error_log, $mark), qr/attempt 0 refused: \Q$why\E/,
         "$name - why");
}


# nothing of such an answer is passed on, or kept

sub all_broken {
    my ($ngx, $protocol, $mode, $name, $script, $uri) = @_;

    my $tries = $uri eq '/alone' ? 1 : 2;
    my $answer = escape($script);
    my $why = $protocol eq 'grpc' || $script =~ /none/ ? 'invalid \\w+'
                                                       : 'connection closed';

    $name = "$protocol, $name";
    $id++;

    my $r = $ngx->get("$mode$uri?id=b$id&s=$answer");

    is("$r->{status} $r->{headers}{'x-race'}", "502 failed $tries", $name);
    like($r->{body}, qr/<h1>502 Bad Gateway/, "$name - nginx's page");
    is($r->{headers}{'x-try'}, undef, "$name - nothing of a header");

    $id++;
    $r = $ngx->get("$mode/problem$uri?id=b$id&s=$answer");

    is("$r->{status} $r->{headers}{'x-race'}", "502 failed $tries",
       "$name - smart_errors");
    like($r->{body}, $tries == 1 ? qr/<h1>502 Bad Gateway/
                     : qr/"failures": ?\[(?:"(?:$why|invalid JSON)",? ?){2}\]/,
         "$name - a problem document");

    return if $protocol =~ /grpc|memcached/ || $mode;

    $id++;

    my $cached = "/cache$uri$id";

    $ngx->get("$cached?id=b$id&s=$answer");

    $id++;
    $r = $ngx->get("$cached?id=b$id&s=" . escape(HEDGE));

    is("$r->{status} $r->{headers}{'x-cache'} $r->{body}",
       '200 MISS {"time": 2}', "$name - is not cached");
}


sub escape {
    my ($text) = @_;

    $text =~ s/([^!-~]|["{}%])/sprintf '%%%02X', ord $1/ge;

    return $text;
}


sub conf {
    my ($protocol, $pass) = @_;

    my $params = $protocol =~ /grpc|memcached/ ? '' : <<"CONF";
${protocol}_param REQUEST_METHOD \$request_method;
${protocol}_param REQUEST_URI    \$request_uri;
${protocol}_param CONTENT_LENGTH \$content_length;
CONF
    my $cache = "${protocol}_cache c; ${protocol}_cache_valid 200 1m;"
              . "${protocol}_cache_key \$document_uri;";
    my $path = $params ? "${protocol}_cache_path %%DIR%%/cache keys_zone=c:1m;"
                       : '';
    my @locations;

    for my $mode (['', ''], ['/unbuffered', "${protocol}_buffering off;"]) {
        for my $kind (['/', ''], ['/soon', 'smart_hedge 50ms;'],
                      ['/alone', 'smart_hedge off; smart_timeout 10s;'])
        {
            my ($uri, $is) = ($kind->[0], "$mode->[1] $kind->[1] $pass");

            push @locations, "location $mode->[0]$uri { $is }",
                "location $mode->[0]/problem$uri { smart_errors json; $is }";
            push @locations, "location /cache$uri { $cache $is }"
                if $params && $mode->[0] eq '';
        }

        last if !$params;
    }

    return <<"CONF";
upstream u {
    server \$TEST_NGINX_PEER1 max_fails=0;
    server \$TEST_NGINX_PEER2 max_fails=0;
}

$path

${protocol}_next_upstream off;
$params

add_header X-Race "\$smart_outcome \$smart_attempts" always;
add_header X-Cache \$upstream_cache_status always;

smart_hedge          60s;
smart_hedge_budget   off;
smart_success_json   /time:integer;
smart_success_buffer 64k;

server {
    listen 127.0.0.1:%%PORT%%;

    set \$memcached_key \$request_uri;

    @locations
}
CONF
}
