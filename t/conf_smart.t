use strict;
use warnings;

# conf/smart.conf as it is, but for the addresses

use JSON::PP ();
use Test::More;
use SmartServer;

SmartServer->upstream;

my $ngx = SmartServer->start(conf => SmartServer->example('smart.conf'));
my $json = 'type:application/json';
my $good = $json . ';body:{"time":2}';
my $n = 0;


# the shape of answers

my $r = $ngx->get("/api/smart?timeout=2000&id=fast&s=$good|hang");
is $r->{status}, 200, 'a fast answer';
is $r->{body}, '{"time":2}', 'is passed on';
is(SmartServer->ctl('cancelled?id=fast'),
   "attempts=1 done=1 cancelled=0 open=0\n", 'by one attempt');

$r = $ngx->get("/api/smart?timeout=9000&id=slow&s=hang|delay:50;$good|hang");
is $r->{body}, '{"time":2}', 'a slow server is asked twice more';
is(SmartServer->ctl('cancelled?id=slow'),
   "attempts=3 done=1 cancelled=2 open=0\n", 'by three attempts');
cmp_ok $r->{ms}, '>=', 300, 'after 300 ms';

for my $bad ('status:500', 'type:text/html;body:{"time":1}',
             'status:404;' . $good, 'reset', "$json;body:{\"time\":1",
             "$json;body:{}", "$json;body:{\"time\":1.5}",
             "$json;body:{\"time\":\"1\"}", "$json;body:2")
{
    my $id = 'bad' . $n++;
    $r = $ngx->get("/api/smart?timeout=9000&id=$id&s=$bad|$good|hang");
    is $r->{status}, 200, "not successful: $bad";
    is $r->{body}, '{"time":2}', "another attempt is: $bad";
}

$r = $ngx->get("/api/smart?timeout=400&id=never&s=hang");
is $r->{status}, 504, 'past the timeout';
like $r->{headers}{'content-type'}, qr{^application/problem\+json},
    'a problem document';

my $doc = JSON::PP::decode_json($r->{body});
is $doc->{timeout}, 0.4, 'tells the timeout';
is $doc->{attempts}, 3, 'and the attempts';
# two clocks, each counted in whole milliseconds
cmp_ok $doc->{time_spent}, '>=', 0.398, 'and the time';

$r = $ngx->get("/api/smart?timeout=400&id=body&s=$good;bodydelay:5000");
is $r->{status}, 504, 'a body that comes past the timeout';

$r = $ngx->get("/api/smart?timeout=900&id=all&s=status:500|reset|type:text/plain");
is $r->{status}, 502, 'all failed';
is_deeply [sort @{JSON::PP::decode_json($r->{body})->{failures}}],
    ['200', '500', 'connection closed'], 'each in its way';

$r = $ngx->get("/api/smart?timeout=900&id=json&s=$json|$json;body:{}|$good;cut:5");
is $r->{status}, 502, 'all bodies failed';
is_deeply [sort @{JSON::PP::decode_json($r->{body})->{failures}}],
    ['connection closed', 'invalid JSON', 'unexpected JSON'],
    'each in its way';


# wrong calls

for my $bad ('', '?timeout=', '?timeout=-1', '?timeout=1.5', '?timeout=x',
             '?timeout=1&timeout=2')
{
    $r = $ngx->get("/api/smart$bad");
    is $r->{status}, 400, "bad call: \"$bad\"";
    like JSON::PP::decode_json($r->{body})->{detail}, qr/"timeout"/,
        'names the parameter';
}

for my $method (qw( POST PUT DELETE )) {
    my $c = $ngx->connect;
    $c->request('/api/smart?timeout=900', method => $method);
    my $head = $c->read_header;
    is $head->{status}, 405, "$method is not allowed";
    is $head->{headers}{allow}, 'GET, HEAD', 'what is';
}

my $c = $ngx->connect;
$c->request("/api/smart?timeout=900&id=head&s=$json;body:{}", method => 'HEAD',
            header_only => 1);
is $c->read_header->{status}, 200, 'HEAD is';


# metrics

$r = $ngx->get('/metrics');
is $r->{status}, 200, 'metrics';
like $r->{body}, qr/^nginx_smart_outcomes_total\{server="smart",location="\/api\/smart",outcome="timeout"\}\ 2$/m,
    'count';
like $r->{body}, qr/^nginx_smart_outcomes_total\{server="smart",location="\/api\/smart",outcome="invalid"\}\ 6$/m,
    'everything';



# schema

$r = $ngx->get('/schema');
is $r->{status}, 200, 'schema';
is_deeply [sort keys %{ JSON::PP::decode_json($r->{body})->{paths} }],
    ['/api/smart', '/metrics', '/schema'], 'all of it';

$ngx->stop;

done_testing;
