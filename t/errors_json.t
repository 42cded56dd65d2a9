use SmartTest 'no_plan';

use JSON::PP ();

add_block_preprocessor(sub {
    my ($block) = @_;

    my $http = $block->http_config // <<'CONF';
upstream u {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
    server $TEST_NGINX_UP3 max_fails=0;
}
CONF

    $block->set_value(http_config => $http . <<'CONF');
smart_hedge_budget off;
log_format smart '$status $smart_outcome attempts=$smart_attempts '
                 'winner=$smart_winner delay=$smart_delay '
                 'suppressed=$smart_suppressed';
CONF

    $block->set_value(config => "access_log logs/access.log smart;\n"
                                . $block->config)
        if $block->config !~ /access_log/;
});

# the document of the last response, after a check of what all have in common

sub problem {
    my ($name, $got, $status) = @_;

    my %title = (400 => 'Bad Request', 502 => 'Bad Gateway',
                 504 => 'Gateway Timeout');
    my $body = $got->{body};
    my $doc = eval { JSON::PP->new->decode($body) };

    is($got->{status}, $status, "$name - status");
    ok($doc, "$name - JSON") or return {};
    is_deeply([sort keys %$doc],
              [qw( attempts detail failures status time_spent timeout title
                   type )], "$name - members");
    is($doc->{type}, 'about:blank', "$name - type");
    is($doc->{title}, $title{$status}, "$name - title");
    like($body, qr/"status": ?$status\b/, "$name - status is a number");
    like($body, qr/"time_spent": ?\d+(?:\.\d+)?\b/, "$name - time is a number");
    like($body, qr/"attempts": ?\d+\b/, "$name - attempts is a number");
    is(ref $doc->{failures}, 'ARRAY', "$name - failures is an array");
    is(scalar @{ $doc->{failures} }, $doc->{attempts},
       "$name - a failure for each attempt");
    unlike($body, qr/127\.0\.0\.1|:\d{4,5}\b/, "$name - no address");
    is($got->{headers}{'content-length'}, length $body, "$name - length");

    return $doc;
}


sub get {
    my ($uri, @headers) = @_;

    my $c = SmartServer::Client->connect(
        addr => "127.0.0.1:$ENV{TEST_NGINX_SERVER_PORT}");

    $c->request($uri, close => 1, headers => \@headers);

    my $head = $c->read_header or return { status => 0, body => '' };

    return { %$head, %{ $c->read_body } };
}


run_tests();

__DATA__

=== TEST 1: 504: every member
--- config
location / {
    smart_errors json; smart_hedge 50ms extra=2; smart_timeout $arg_timeout;
    proxy_pass http://u;
}
--- request
GET /
--- after
my $got = get('/?id=a&timeout=300&s=status:503|hang|hang');
my $doc = problem($name, $got, 504);

is($got->{headers}{'content-type'}, 'application/problem+json',
   "$name - content type");
is($doc->{detail}, 'The deadline passed before a successful response',
   "$name - detail");
cmp_ok($doc->{timeout}, '==', 0.3, "$name - timeout");
cmp_ok($doc->{time_spent}, '>=', 0.3, "$name - time spent");
cmp_ok($doc->{time_spent}, '<', 3, "$name - time spent");
is($doc->{attempts}, 3, "$name - attempts");
is_deeply($doc->{failures}, ['503', 'cancelled', 'cancelled'], "$name - failures");



=== TEST 2: 504: one attempt, no hedging
--- config
location / { smart_errors json; smart_timeout 100ms; proxy_pass http://u; }
--- request
GET /
--- after
for my $id (qw( a b )) {
    my $doc = problem($name, get("/?id=$id&s=hang"), 504);

    cmp_ok($doc->{timeout}, '==', 0.1, "$name - timeout");
    is($doc->{attempts}, 1, "$name - attempts");
    is_deeply($doc->{failures}, ['cancelled'], "$name - failures");
}



=== TEST 3: 504: zero
--- config
location / { smart_errors json; smart_hedge 50ms; smart_timeout $arg_timeout; proxy_pass http://u; }
--- request
GET /
--- after
my $doc = problem($name, get('/?timeout=0&id=a'), 504);

cmp_ok($doc->{timeout}, '==', 0, "$name - timeout");
is($doc->{attempts}, 0, "$name - attempts");
is_deeply($doc->{failures}, [], "$name - failures");
is(ctl('count?id=a'), "0\n", "$name - no upstream");



=== TEST 4: 400: the detail names the parameter and what it should be
--- config
location / { smart_errors json; smart_timeout $arg_timeout required; proxy_pass http://u; }
location /header { smart_errors json; smart_timeout $http_x_deadline; proxy_pass http://u; }
--- request
GET /?timeout=5000
--- after
for (['/', 'timeout'], ['/?timeout=x', 'timeout'], ['/?timeout=-1', 'timeout'], ['/?timeout=', 'timeout'],
     ['/?timeout=1&timeout=2', 'timeout'], ['/header', 'x_deadline', 'X-Deadline' => 'soon'],
     ['/?timeout=%22%7D%0a', 'timeout'])
{
    my ($uri, $what, @headers) = @$_;
    my $got = get($uri, @headers);
    my $doc = problem("$name - $uri", $got, 400);

    like($doc->{detail}, qr/\b(?:http_)?$what\b.*whole number of milliseconds/, "$name - $uri: detail");
    is($doc->{timeout}, undef, "$name - $uri: timeout");
    is($doc->{attempts}, 0, "$name - $uri: attempts");
    is($got->{headers}{'content-type'}, 'application/problem+json', "$name - $uri: type");
}



=== TEST 5: 502: every attempt failed
--- config
location / {
    smart_errors json; smart_hedge 60s extra=2; proxy_next_upstream off;
    proxy_pass http://u;
}
--- request
GET /?s=body:x
--- after
my $got = get('/?id=a&s=status:503;h:X-Bad=1;h:Set-Cookie=a|delay:50;status:500;type:text/x|delay:150;close');
my $doc = problem($name, $got, 502);

is($got->{headers}{'content-type'}, 'application/problem+json', "$name - content type");
ok(!grep({ $got->{headers}{$_} } qw( x-bad set-cookie x-try )), "$name - no headers of upstream");
is($doc->{detail}, 'Every attempt failed', "$name - detail");
is($doc->{timeout}, undef, "$name - timeout");
is($doc->{attempts}, 3, "$name - attempts");
is($doc->{failures}[0], '503', "$name - first");
is(CORE::join(' ', sort @{ $doc->{failures} }), '500 503 connection closed', "$name - failures");



=== TEST 6: 502: how each attempt failed
--- http_config
upstream u { server $TEST_NGINX_UP1 max_fails=0; server $TEST_NGINX_UP2 max_fails=0; }
upstream dead { server $TEST_NGINX_DEAD max_fails=0; server $TEST_NGINX_DEAD max_fails=0; }
upstream mix { server $TEST_NGINX_DEAD max_fails=0; server $TEST_NGINX_UP1 max_fails=0; }
upstream hole { server $TEST_NGINX_BLACKHOLE max_fails=0; }
upstream down { server $TEST_NGINX_UP1 max_fails=1; }
--- config
smart_errors json; smart_hedge 60s; proxy_next_upstream off;
location / { proxy_pass http://u; }
location /slow { proxy_read_timeout 200ms; proxy_pass http://u; }
location /dead { proxy_pass http://dead; }
location /mix { proxy_pass http://mix; }
location /hole { proxy_connect_timeout 200ms; proxy_pass http://hole; }
location /type { smart_success_type a/b; proxy_pass http://u; }
location /status { smart_success_status 200; proxy_pass http://u; }
location /big { proxy_buffer_size 1k; proxy_pass http://u; }
--- request
GET /?s=body:x
--- after
for (['/', 'status:503|status:429', '503', '429'], ['/', 'close|reset', 'connection closed', 'connection (?:closed|reset)'],
     ['/', 'cuthead|badhead', 'connection closed', 'invalid header'],
     ['/slow', 'hang|status:500', 'timed out', '500'], ['/dead', '', 'connection (?:failed|refused)', 'connection (?:failed|refused)'],
     ['/mix', 'status:500', 'connection (?:failed|refused)', '500'], ['/hole', '', 'connection timed out', 'connection timed out'],
     ['/type', 'type:a/c|type:a/d', '200', '200'], ['/status', 'status:404|status:302', '404', '302'],
     ['/big', 'h:X-A=' . 'x' x 900 . ';h:X-B=' . 'x' x 900 . '|status:500', 'invalid header|too big header', '500'])
{
    my ($uri, $s, @failures) = @$_;
    my $id = $uri . $s =~ s/\W/-/gr;
    my $what = "$name - $uri " . substr $s, 0, 20;
    my $doc = problem($what, get("$uri?id=$id&s=$s"), 502);

    is($doc->{attempts}, 2, "$what: attempts");
    like($doc->{failures}[0], qr/^(?:$failures[0])$/, "$what: primary");
    like($doc->{failures}[1], qr/^(?:$failures[1])$/, "$what: hedge");
}



=== TEST 7: 502: no live upstreams
--- http_config
upstream u { server $TEST_NGINX_UP1 max_fails=1; server $TEST_NGINX_UP2 max_fails=1; }
--- config
location / { smart_errors json; smart_hedge 60s; proxy_next_upstream off; proxy_pass http://u; }
--- request
GET /?id=a&s=close
--- error_code: 502
--- after
my $doc = problem($name, get('/?id=b&s=close'), 502);
like($doc->{failures}[0], qr/^no live upstreams$/, "$name - failure");



=== TEST 8: 502 with a deadline: the timeout is told
--- config
location / { smart_errors json; smart_hedge 60s; smart_timeout 25s; proxy_pass http://u; }
--- request
GET /
--- after
my $doc = problem($name, get('/?id=a&s=status:503|delay:120;status:500'), 502);

cmp_ok($doc->{timeout}, '==', 25, "$name - timeout");
cmp_ok($doc->{time_spent}, '>=', 0.1, "$name - time spent");



=== TEST 9: the media type that the client accepts
--- config
location / { smart_errors json; smart_timeout $arg_timeout; proxy_pass http://u; }
--- request
GET /
--- after
for ([undef, 'problem+json'], ['*/*', 'problem+json'], ['application/json', 'json'], ['application/problem+json', 'problem+json'],
     ['application/json, application/problem+json', 'problem+json'], ['application/problem+json;q=0.5, application/json', 'problem+json'],
     ['text/html', 'problem+json'], ['text/html, application/json;q=0.9', 'json'], ['Application/JSON', 'json'],
     ['application/jsonx', 'problem+json'], ['application/*', 'problem+json'], ['application/json, */*', 'json'])
{
    my ($accept, $type) = @$_;
    my $got = get('/?timeout=0', defined $accept ? (Accept => $accept) : ());
    is($got->{headers}{'content-type'}, "application/$type", "$name - " . ($accept // 'none'));
    problem("$name - " . ($accept // 'none'), $got, 504);
}



=== TEST 10: by default the pages are nginx's
--- config
location / { smart_hedge 60s; smart_timeout $arg_timeout; proxy_next_upstream off; proxy_pass http://u; }
location /explicit { smart_errors default; smart_timeout $arg_timeout; proxy_pass http://u; }
--- request eval
['GET /?timeout=0', 'GET /?timeout=x', 'GET /?id=a&s=close', 'GET /explicit?timeout=0']
--- error_code eval
[504, 400, 502, 504]
--- response_headers eval
[('Content-Type: text/html') x 4]



=== TEST 11: smart_errors is inherited and overridden
--- config
smart_errors json;
smart_timeout $arg_timeout;
location / { proxy_pass http://u; }
location /html { smart_errors default; proxy_pass http://u; }
--- request eval
['GET /?timeout=0', 'GET /html?timeout=0']
--- error_code eval
[504, 504]
--- response_headers eval
['Content-Type: application/problem+json', 'Content-Type: text/html']



=== TEST 12: with json there is no error page
--- config
location / {
    smart_errors json; smart_hedge 60s; smart_timeout $arg_timeout; proxy_pass http://u;
    proxy_next_upstream off; error_page 400 502 504 /page;
}
location = /page { return 200 page; }
--- request eval
['GET /?timeout=0', 'GET /?timeout=x', 'GET /?id=a&s=close']
--- error_code eval
[504, 400, 502]
--- response_headers eval
[('Content-Type: application/problem+json') x 3]



=== TEST 13: HEAD: a header and no body, keepalive
--- config
location / {
    smart_errors json; smart_hedge 60s; smart_timeout $arg_timeout; proxy_next_upstream off;
    proxy_pass http://u;
}
--- request
GET /
--- after
my $c = SmartServer::Client->connect(addr => "127.0.0.1:$ENV{TEST_NGINX_SERVER_PORT}");

for (['timeout=0', 504], ['timeout=x', 400], ['id=a&s=close', 502], ['id=b&s=status:503', 502], ['id=c&timeout=150&s=hang', 504],
     ['s=body:x', 200])
{
    my ($args, $status) = @$_;

    $c->request("/?$args", method => 'HEAD');

    my $head = $c->read_header // {};

    is($head->{status}, $status, "$name - $args: status");
    is($head->{headers}{'content-type'}, $status == 200 ? 'text/plain' : 'application/problem+json', "$name - $args: type");
    is($head->{headers}{connection}, 'keep-alive', "$name - $args: keepalive");
}



=== TEST 14: keepalive of the client, a request body that was not read
--- config
location / {
    smart_errors json; smart_hedge 60s; smart_timeout $arg_timeout; proxy_next_upstream off;
    proxy_pass http://u;
}
--- pipelined_requests eval
["POST /?timeout=0\nabcdef", "POST /?timeout=x\nabcdef", 'GET /?id=a&s=close', 'GET /?id=b&s=status:503|status:500',
 "POST /?timeout=150&s=hang\nabcdef", "POST /?s=echo\nabcdef"]
--- error_code eval
[504, 400, 502, 502, 504, 200]
--- response_body_like eval
['"status": ?504', '"status": ?400', '"status": ?502', '"status": ?502', '"status": ?504', '"body_size":6']



=== TEST 15: add_header with "always" goes along
--- config
location / {
    smart_errors json; smart_timeout 0; proxy_pass http://u;
    add_header X-Always "$smart_outcome $status" always; add_header X-Ok 1;
}
--- request
GET /
--- error_code: 504
--- response_headers
X-Always: timeout 504
X-Ok:



=== TEST 16: 1xx, streaming answers and successes are no business of it
--- config
location / { smart_errors json; smart_hedge 30ms; smart_timeout 400ms; proxy_pass http://u; }
--- request eval
['GET /?id=a&s=status:404;body:mine', 'GET /?id=b&s=hang|status:404;body:mine', 'GET /?id=c&s=bodydelay:700;body:slow']
--- error_code eval
[404, 404, 200]
--- response_body eval
['mine', 'mine', 'slow']



=== TEST 17: at most 8 attempts fit
--- config
location / { smart_errors json; smart_hedge 0 extra=7; smart_timeout $arg_timeout; proxy_next_upstream off; proxy_pass http://u; }
--- request
GET /?id=0
--- after
my $doc = problem($name, get('/?id=a&timeout=300&s=hang'), 504);
is_deeply($doc->{failures}, [('cancelled') x 8], "$name - 504");
$doc = problem($name, get('/?id=b&s=delay:100;close'), 502);
is_deeply($doc->{failures}, [('connection closed') x 8], "$name - 502");



=== TEST 18: a long name of the parameter is cut
--- config
location / { smart_errors json; smart_timeout $arg_ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt required; proxy_pass http://u; }
--- request
GET /
--- error_code: 400
--- after
my $doc = problem($name, get('/'), 400);
like($doc->{detail}, qr/milliseconds/, "$name - detail");
