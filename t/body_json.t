# smart_success_json: which bodies win, and that what is passed on is what the
# upstream sent.

use strict;
use warnings;

use Digest::MD5 qw( md5_hex );
use FindBin;
use IO::Compress::Gzip qw( gzip );
use IO::Uncompress::Gunzip qw( gunzip );
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartServer;

use constant HEDGE => 'type:application/json;body:{"time": 2}';

SmartServer->upstream;

my $id = 0;
my $ngx = SmartServer->start(conf => conf());


# refused before or at its end, in each mode a body may come in

my $object = '{"time": 7, "a": {"b": [null, true, "x", {"~/": 1}]}, "": 0}';
my $nested = '[' x 1000 . ']' x 1000;

good('on', $_) for
    '{}', '[]', '"x"', '1', '-0.0e-1', 'true', 'false', 'null',
    " \t\r\n{ } \n", $object, '["\u0000\ud83d\ude00"]', '{"\u00e9": 1}',
    '123456789012345678901234567890', '[1e308]', $nested;

refused('on', $_, 'invalid JSON') for
    '', ' ', '{', '{"a": 1', '{"a"}', '{"a": 1}}', '{"a": 1} x', '{"a": 1,}',
    "{'a': 1}", '[1 2]', '[01]', '[.5]', '[1.]', '[+1]', '[1e]', '[0x1]',
    '[NaN]', '[Infinity]', 'nul', '"a', "\"\t\"", '["\x"]', '["\ud800"]',
    "[\"\xff\"]", "[\"\xc0\xaf\"]", "[\"\xed\xa0\x80\"]", "\xef\xbb\xbf{}",
    "{}\0", '<html></html>', '{"a": 1, "a": 1}', '[1e400]',
    '[' x 3000 . ']' x 3000;


# pointers and types

good($_, $object) for
    'time', 'integer', 'deep', 'escaped', 'empty', 'null', 'several', 'root';

refused($_->[0], $_->[1], 'unexpected JSON') for
    ['time', '{}'], ['time', '[]'], ['time', '"time"'], ['time', '{"Time": 1}'],
    ['integer', '{"time": 1.5}'], ['integer', '{"time": "1"}'],
    ['integer', '{"time": null}'], ['integer', '{"time": 1e-2}'],
    ['deep', '{"a": {"b": [1]}}'], ['deep', '{"a": {"b": {"0": null}}}'],
    ['deep', '{"a": {"b": [1, 2]}}'],
    ['null', '{"a": {"b": []}}'],
    ['several', '{"time": 1}'], ['several', '{"a": 1}'],
    ['root', '[]'];

good('integer', qq({"time": $_})) for
    0, -1, '1.0', '1e2', '1E+2', '12345678901234567890123', '0e0';


# the answer as a whole: what cannot be checked, and what need not be

answer('partial', 'status:206;body:{};h:Content-Range=bytes 0-1/2', 2);
answer('unknown encoding', 'body:{};h:Content-Encoding=br', 2);
answer('encoded twice', 'gzip;body:{};h:Content-Encoding=gzip', 2);
answer('identity', 'body:{};h:Content-Encoding=identity', 1);
answer('gzip', 'gzip;body:{"time": 1}', 1);
answer('gzip in pieces', 'gzip;body:{"time": 1};chunked;split:1', 1);
answer('x-gzip is none', 'body:{};h:Content-Encoding=x-gzip', 2,
       'invalid gzip');
answer('gzip that is cut', 'gzip:9;body:{"time": 1}', 2, 'invalid gzip');
answer('gzip without its checksum', 'gzip:8;body:{"time": 1}', 2,
       'invalid gzip');
answer('gzip without its length', 'gzip:1;body:{"time": 1}', 2,
       'invalid gzip');
answer('gzip of what is not JSON', 'gzip;body:x', 2, 'invalid JSON');
answer('gzip that is larger than the buffer', 'gzip;json:1500', 2,
       'body too large', '/small');
answer('a bomb', 'gzip;json:5000000', 2, 'body too large');
answer('gzip of as much as the buffer holds', 'gzip;json:1024', 1, undef,
       '/small');

for my $how ('', ';chunked', ';chunked;split:100', ';nolen;split:100,1') {
    my $name = $how || 'with a length';

    answer("as large as the buffer, $name", "json:1024$how", 1, undef,
           '/small');
    answer("a byte larger, $name", "json:1025$how", 2, 'body too large',
           '/small');
    answer("much larger, $name", "json:3000000$how", 2, 'body too large')
        if $how !~ /split/;
}

answer('in single bytes', 'body:{"time": 1};chunked;split:1', 1);
answer('in single bytes, and refused', 'body:{"time": 1;chunked;split:1', 2,
       'invalid JSON');
answer('in single bytes, without an end', 'body:{"time": 1};nolen;split:1', 1);

for my $status (204, 304) {
    my $got = request('/on', "status:$status", HEDGE);

    is($got->{status}, $status, "status $status");
    is($got->{headers}{'x-race'}, 'primary 1 0', "which has no body");
}

{
    my $got = request('/on', 'body:no', HEDGE, method => 'HEAD',
                      header_only => 1);

    is($got->{status}, 200, 'HEAD');
    is($got->{headers}{'x-race'}, 'primary 1 0', 'HEAD has no body');
}

{
    my $c = $ngx->connect;

    $c->request('/upgrade', headers => [Upgrade => 'echo', Connection =>
                'upgrade', 'X-Script' => 'status:101;h:Upgrade=echo']);
    is(($c->read_header // {})->{status}, 101, 'another protocol is no JSON');
    $c->close;
}

{
    my $got = request('/type', 'type:text/plain;body:{}', HEDGE);
    is($got->{headers}{'x-race'}, 'hedge 2 1', 'the type counts, too');
}

{
    my $got = request('/on', 'status:503;body:{}', HEDGE);
    is($got->{headers}{'x-race'}, 'hedge 2 1', 'the status counts, too');
}


# bodies that never end well

for my $mode (qw( on unbuffered )) {
    for my $cut ('', ';chunked', ';reset', ';chunked;reset') {
        broken("cut in $mode$cut", "/$mode", "body:{\"time\": 1};cut:5$cut",
               'connection closed');
    }

    broken("cut after the header in $mode", "/$mode",
           'body:{"time": 1};cut:0', 'connection closed');
    broken("a chunk that is none in $mode", "/$mode",
           'body:{"time": 1};chunked;badchunk', 'invalid body');
    broken("that chunk later in $mode", "/$mode",
           'body:{"time": 1};chunked;split:5,50;badchunk', 'invalid body');
    broken("a body that stalls in $mode", "/stall_$mode",
           'body:{"time": 1};cut:5;hang', 'timed out');
}


# what passes is what came

for my $mode (qw( on unbuffered )) {
    for my $how ('', ';chunked', ';chunked;split:1000', ';nolen',
                 ';chunked;split:9999,10')
    {
        same("$mode$how", "/$mode", "json:60000$how");
    }
}

{
    my $got = request('/on', 'json:60000;gzip', HEDGE,
                      headers => ['Accept-Encoding' => 'gzip']);
    my $body;

    gunzip(\$got->{body} => \$body);
    is($got->{headers}{'content-encoding'}, 'gzip', 'gzip comes as gzip');
    is(length $body, 60000, 'with all of its content');
}

{
    my $got = request('/gzip', 'json:60000', HEDGE,
                      headers => ['Accept-Encoding' => 'gzip']);
    my $body;

    gunzip(\$got->{body} => \$body);
    is($got->{headers}{'content-encoding'}, 'gzip', 'compressed on the way');
    is(md5_hex($body), json_md5(60000), 'to the same');
}

{
    my $got = request('/gzip', 'body:no', 'json:60000',
                      headers => ['Accept-Encoding' => 'gzip']);
    my $body;

    gunzip(\$got->{body} => \$body);
    is($got->{headers}{'content-encoding'}, 'gzip', "a hedge's, compressed");
    is(md5_hex($body), json_md5(60000), 'to the same');
}

{
    my $got = request('/sub', 'body:{"time": 1}', HEDGE);
    is($got->{body}, '{"date": 1}', 'sub_filter');

    $got = request('/sub', 'body:{"time": ', HEDGE);
    is($got->{body}, '{"date": 2}', 'sub_filter of a hedge');
}

for my $range (['0-3', '{"ti'], ['-3', "1}\n"], ['5-', "e\": 1}\n"],
               ['0-0', '{'])
{
    my $got = request('/range', 'body:{"time": 1}%0A;h:Accept-Ranges=bytes',
                      HEDGE, headers => [Range => "bytes=$range->[0]"]);

    is($got->{status}, 206, "range $range->[0]");
    is($got->{body}, $range->[1], "its bytes");

    $got = request('/range', 'body:no', 'body:{"time": 1}%0A;h:Accept-Ranges='
                   . 'bytes', headers => [Range => "bytes=$range->[0]"]);

    is($got->{status}, 206, "range $range->[0] of a hedge");
    is($got->{body}, $range->[1], "its bytes");
}

{
    my $got = request('/range', 'body:{"time": 1}%0A;h:Accept-Ranges=bytes',
                      HEDGE, headers => [Range => 'bytes=0-1,3-4']);
    is($got->{status}, 200, 'two ranges, which nginx does not serve here');

    $got = request('/range', 'body:{"time": 1}%0A;h:Accept-Ranges=bytes',
                   HEDGE, headers => [Range => 'bytes=100-']);
    is($got->{status}, 416, 'no such range');

    $got = request('/range', 'body:{"time": ;h:Accept-Ranges=bytes',
                   HEDGE . ';h:Accept-Ranges=bytes',
                   headers => [Range => 'bytes=100-']);
    is($got->{status}, 416, 'no such range of a hedge');
}

{
    my $c = $ngx->connect;
    my $uri = '/on?id=' . ++$id;

    for my $n (1 .. 5) {
        $c->request($uri, headers => ['X-Script' => 'body:{"a":|body:{"b": 1}'
                                                    . '|body:{"c": 2}']);
        my $head = $c->read_header;
        my $body = $c->read_body;

        is($body->{body}, $n == 1 ? '{"b": 1}' : '{"c": 2}',
           "request $n on a connection");
    }
}


# when nothing is good

{
    my $got = request('/on', 'body:first', 'body:second;h:X-Last=1');

    is($got->{status}, 200, 'all refused: the last as it came');
    is($got->{body}, 'second', 'with its body');
    is($got->{headers}{'x-last'}, 1, 'and its header');
    is($got->{headers}{'x-race'}, 'failed 2 ', 'a failure');

    $got = request('/on', 'body:first', 'json:200000;chunked');
    is($got->{md5}, json_md5(200000), 'too large, and the last');
    is($got->{complete}, 1, 'to its end');

    $got = request('/unbuffered', 'body:first', 'json:200000;chunked');
    is($got->{md5}, json_md5(200000), 'too large and unbuffered');

    for my $mode (qw( alone alone_unbuffered )) {
        $got = request("/$mode", 'json:3000000;chunked', HEDGE);
        is($got->{md5}, json_md5(3000000), "too large, and $mode");
        is($got->{headers}{'x-race'}, 'failed 1 ', 'nothing else was tried');

        $got = request("/$mode", 'body:no', HEDGE);
        is($got->{body}, 'no', "no JSON, and $mode");

        # its end comes with what is too much
        my $c = $ngx->connect;

        for my $n (1, 2) {
            $c->request("/$mode?id=end", headers => ['X-Script' =>
                                                     'json:1500;chunked']);
            is($c->read_header->{status}, 200, "too large at once, $mode: $n");
            is($c->read_body->{md5}, json_md5(1500), 'to its end');
        }

        $c->close;

        $got = request("/$mode", 'json:1025;chunked;split:100,1', HEDGE);
        is($got->{md5}, json_md5(1025), "a byte too large, and $mode");

        $got = request("/$mode", 'body:{};cut:1', HEDGE);
        is($got->{status}, 502, "cut, and $mode");
    }

    $got = request('/on', 'body:first', 'body:{"a": 1};cut:3;h:X-Cut=1');
    is($got->{status}, 502, 'a cut body as the last is a bad gateway');
    is($got->{headers}{'x-cut'}, undef, 'nothing of its header remains');

    for my $uri (qw( /on /unbuffered )) {
        my $cut = 'body:{"a": 1};h:X-Cut=1;cut:3';

        $got = request($uri, $cut, $cut);
        is($got->{status}, 502, "$uri: all are cut");
        is($got->{headers}{'x-cut'}, undef, 'nothing of their headers');

        $got = request("$uri/soon", "bodydelay:150;$cut", 'close');
        is($got->{status}, 502, "$uri: the last one, a primary, is cut");
        is($got->{headers}{'x-cut'}, undef, 'nothing of its header');
        is($got->{headers}{'x-race'}, 'failed 2 ', 'there was a hedge');

        $got = request("$uri/problem", $cut, $cut);
        is($got->{status}, 502, "$uri: smart_errors");
        like($got->{body}, qr/"failures": ?\["connection closed", ?"connection c/,
             'says why');
    }

    $got = request('/stall_on', 'body:{"a": 1};cut:3', 'hang');
    is($got->{status}, 504, 'the last one timed out');

    $got = request('/problem', 'body:first', 'json:200000;chunked');
    is($got->{status}, 502, 'smart_errors');
    like($got->{body}, qr/"failures": ?\["invalid JSON", ?"body too large"\]/,
         'says why');
}

is(SmartServer->ctl('busy'), "0\n", 'nothing is left at the upstream');

$ngx->log_like(qr{attempt 0 refused: unexpected JSON, no "/time:integer"},
               'the log names the pointer');
$ngx->log_like(qr/answered 200, invalid JSON, \S+ answered 200, body too large/,
               'the log says why a request failed');
$ngx->stop;

done_testing();


sub request {
    my ($uri, $primary, $hedge, %opt) = @_;

    $id++;
    $opt{headers} = ['X-Script' => "$primary|$hedge",
                     'X-Script-Id' => "r$id", @{ $opt{headers} || [] }];

    return $ngx->get("$uri?id=r$id", %opt);
}


# printable, for a script

sub escape {
    my ($text) = @_;

    $text =~ s/([^ -~]|[%;|])/sprintf '%%%02X', ord $1/ge;

    return $text;
}


sub name {
    my ($text) = @_;

    return escape(length $text > 50 ? substr($text, 0, 50) . '..' : $text);
}


sub good {
    my ($location, $text) = @_;

    my $got = request("/$location", 'body:' . escape($text), HEDGE);

    is($got->{body}, $text, "$location: " . name($text));
    is($got->{headers}{'x-race'}, 'primary 1 0', 'wins');
}


sub refused {
    my ($location, $text, $why) = @_;

    my $mark = length $ngx->error_log;
    my $got = request("/$location", 'body:' . escape($text), HEDGE_FOR($location));

    is($got->{headers}{'x-race'}, 'hedge 2 1', "$location: " . name($text));
    like(substr($ngx->error_log, $mark), qr/attempt 0 refused: $why/,
         "refused: $why");
}


sub HEDGE_FOR {
    return 'body:{"time": 2, "a": {"b": [null, true, "x", {"~/": 1}]}, "": 1}';
}


sub answer {
    my ($name, $script, $attempts, $why, $location) = @_;

    my $mark = length $ngx->error_log;
    my $got = request($location // '/on', $script, HEDGE);

    is($got->{headers}{'x-race'},
       $attempts == 1 ? 'primary 1 0' : 'hedge 2 1', $name);
    is($got->{complete}, 1, 'all of it');

    like(substr($ngx->error_log, $mark), qr/attempt 0 refused: $why/,
         "refused: $why")
        if defined $why;
}


sub broken {
    my ($name, $uri, $script, $why) = @_;

    my $got = request($uri, $script, HEDGE);

    is($got->{headers}{'x-race'}, 'hedge 2 1', $name);
    is($got->{body}, '{"time": 2}', 'the hedge instead');

    $got = request("$uri/problem", $script, 'close');
    like($got->{body}, qr/"failures": ?\["$why"/, $why);
}


sub same {
    my ($name, $uri, $script) = @_;

    my $got = request($uri, $script, HEDGE);

    is($got->{md5}, json_md5(60000), "$name: a primary's body");
    is($got->{headers}{'x-race'}, 'primary 1 0', 'it won');

    $got = request($uri, 'body:no', $script);

    is($got->{md5}, json_md5(60000), "$name: a hedge's body");
    is($got->{headers}{'x-race'}, 'hedge 2 1', 'it won');
}


sub json_md5 {
    my ($size) = @_;

    my ($head, $tail) = ('{"time": 1, "pad": "', qq("}\n));

    return md5_hex($head . 'x' x ($size - length($head) - length($tail))
                   . $tail);
}


sub conf {
    return <<'CONF';
upstream u {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
    keepalive 4;
}

server {
    listen 127.0.0.1:%%PORT%%;

    proxy_http_version 1.1;
    proxy_set_header   Connection "";
    proxy_next_upstream off;

    large_client_header_buffers 4 32k;

    smart_hedge          60s;
    smart_hedge_budget   off;
    smart_success_json   on;
    smart_success_buffer 64k;

    add_header X-Race "$smart_outcome $smart_attempts $smart_winner" always;

    location /on {
        proxy_pass http://u;
        location /on/problem { smart_errors json; proxy_pass http://u; }
        location /on/soon { smart_hedge 50ms; proxy_pass http://u; }
    }

    location /unbuffered {
        proxy_buffering off;
        proxy_pass http://u;

        location /unbuffered/problem {
            smart_errors json;
            proxy_pass http://u;
        }

        location /unbuffered/soon { smart_hedge 50ms; proxy_pass http://u; }
    }

    location /stall_on {
        proxy_read_timeout 600ms;
        proxy_pass http://u;
        location /stall_on/problem { smart_errors json; proxy_pass http://u; }
    }

    location /stall_unbuffered {
        proxy_read_timeout 600ms;
        proxy_buffering off;
        proxy_pass http://u;

        location /stall_unbuffered/problem {
            smart_errors json;
            proxy_pass http://u;
        }
    }

    location /small   { smart_success_buffer 1k; proxy_pass http://u; }
    location /problem { smart_errors json; proxy_pass http://u; }
    location /type    { smart_success_type application/json;
                        proxy_pass http://u; }

    location /time    { smart_success_json /time; proxy_pass http://u; }
    location /integer { smart_success_json /time:integer;
                        proxy_pass http://u; }
    location /deep    { smart_success_json /a/b/2:string /a/b/1:boolean;
                        proxy_pass http://u; }
    location /escaped { smart_success_json /a/b/3/~0~1:number;
                        proxy_pass http://u; }
    location /empty   { smart_success_json /:any; proxy_pass http://u; }
    location /null    { smart_success_json /a/b/0:null; proxy_pass http://u; }
    location /several { smart_success_json /time:number /a:object /a/b:array;
                        proxy_pass http://u; }
    location /root    { smart_success_json :object; proxy_pass http://u; }

    location /alone {
        smart_hedge off;
        smart_timeout 10s;
        smart_success_buffer 1k;
        proxy_pass http://u;
    }

    location /alone_unbuffered {
        smart_hedge off;
        smart_timeout 10s;
        smart_success_buffer 1k;
        proxy_buffering off;
        proxy_pass http://u;
    }

    location /upgrade {
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $http_connection;
        smart_timeout 10s;
        proxy_pass http://u;
    }

    location /gzip {
        gzip on;
        gzip_types *;
        gzip_proxied any;
        gzip_http_version 1.0;
        proxy_pass http://u;
    }

    location /sub {
        sub_filter '"time"' '"date"';
        sub_filter_types *;
        proxy_pass http://u;
    }

    location /range {
        proxy_set_header Range "";
        proxy_force_ranges on;
        proxy_pass http://u;
    }
}
CONF
}
