use SmartTest 'no_plan';

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
                                . $block->config);
});

run_tests();

__DATA__

=== TEST 1: a fast primary is not hedged
--- config
location / { smart_hedge 500ms; proxy_pass http://u; }
--- request
GET /?id=a&s=body:primary|body:hedge
--- response_headers
X-Try: 1
X-Peer: 1
--- response_body: primary
--- logged
200 primary attempts=1 winner=0 delay=500 suppressed=-
--- ctl
cancelled?id=a => attempts=1 done=1 cancelled=0 open=0



=== TEST 2: a slow primary is hedged, the hedge wins
--- config
location / { smart_hedge 50ms; proxy_pass http://u; }
--- request
GET /?id=a&s=hang|body:hedge
--- response_headers
X-Try: 2
X-Peer: 2
--- response_body: hedge
--- logged
200 hedge attempts=2 winner=1 delay=50 suppressed=-
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0
--- no_error_log
[error]
[warn]



=== TEST 3: the hedge is sent after the delay, not before
--- config
location / { smart_hedge 200ms; proxy_pass http://u; }
--- request
GET /?id=a&s=hang|body:hedge
--- response_body: hedge
--- after
my @t = map { $_->{t} } grep { $_->{event} eq 'request' }
        @{ ctl_json('json?id=a') };
cmp_ok($t[1] - $t[0], '>', 100, "$name - the attempts lie apart");



=== TEST 4: the primary wins although a hedge has been sent
--- config
location / { smart_hedge 50ms; proxy_pass http://u; }
--- request
GET /?id=a&s=delay:500;body:primary|hang
--- response_headers
X-Try: 1
--- response_body: primary
--- logged
200 primary attempts=2 winner=0 delay=50 suppressed=-
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0
--- no_error_log
[error]
[warn]



=== TEST 5: a delay of zero hedges at once
--- config
location / { smart_hedge 0; proxy_pass http://u; }
--- request
GET /?id=a&s=hang|body:hedge
--- response_body: hedge
--- logged
200 hedge attempts=2 winner=1 delay=0 suppressed=-
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0



=== TEST 6: from 1 to 7 extra attempts
--- config
location /1 { smart_hedge 30ms; proxy_pass http://u; }
location /2 { smart_hedge 30ms extra=2; proxy_pass http://u; }
location /3 { smart_hedge 30ms extra=3; proxy_pass http://u; }
location /4 { smart_hedge 30ms extra=4; proxy_pass http://u; }
location /5 { smart_hedge 30ms extra=5; proxy_pass http://u; }
location /6 { smart_hedge 30ms extra=6; proxy_pass http://u; }
location /7 { smart_hedge 30ms extra=7; proxy_pass http://u; }
--- request eval
[map { "GET /$_?id=$_&s=" . 'hang|' x $_ . "body:last" } 1 .. 7]
--- response_body eval
[('last') x 7]
--- ctl
cancelled?id=1 => attempts=2 done=1 cancelled=1 open=0
cancelled?id=2 => attempts=3 done=1 cancelled=2 open=0
cancelled?id=3 => attempts=4 done=1 cancelled=3 open=0
cancelled?id=4 => attempts=5 done=1 cancelled=4 open=0
cancelled?id=5 => attempts=6 done=1 cancelled=5 open=0
cancelled?id=6 => attempts=7 done=1 cancelled=6 open=0
cancelled?id=7 => attempts=8 done=1 cancelled=7 open=0



=== TEST 7: no more hedges than extra
--- config
location / {
    smart_hedge 20ms extra=2;
    proxy_read_timeout 300ms;
    proxy_next_upstream off;
    proxy_pass http://u;
}
--- request
GET /?id=a&s=hang
--- error_code: 504
--- ctl
cancelled?id=a => attempts=3 done=0 cancelled=3 open=0
--- error_log
smart: failed after



=== TEST 8: without a step all hedges start together
--- config
location / { smart_hedge 200ms extra=3; proxy_pass http://u; }
--- request
GET /?id=a&s=hang|hang|hang|delay:20;body:last
--- response_body: last
--- after
my @t = map { $_->{t} } grep { $_->{event} eq 'request' }
        @{ ctl_json('json?id=a') };
is(scalar @t, 4, "$name - attempts");
cmp_ok($t[3] - $t[1], '<', ($t[1] - $t[0]) / 2, "$name - together");



=== TEST 9: with a step the hedges start one after the other
--- config
location / { smart_hedge 50ms extra=3 step=200ms; proxy_pass http://u; }
--- request
GET /?id=a&s=hang|hang|hang|body:last
--- response_headers
X-Try: 4
--- response_body: last
--- logged
200 hedge attempts=4 winner=3 delay=50 suppressed=-
--- ctl
cancelled?id=a => attempts=4 done=1 cancelled=3 open=0
--- after
my @t = map { $_->{t} } grep { $_->{event} eq 'request' }
        @{ ctl_json('json?id=a') };
cmp_ok($t[2] - $t[1], '>', 100, "$name - first step");
cmp_ok($t[3] - $t[2], '>', 100, "$name - second step");



=== TEST 10: with a step no further hedge starts once there is an answer
--- config
location / { smart_hedge 50ms extra=2 step=200ms; proxy_pass http://u; }
--- request
GET /?id=a&s=hang|body:second|body:third
--- response_body: second
--- logged
200 hedge attempts=2 winner=1 delay=50 suppressed=-
--- after
select undef, undef, undef, 0.5;
is(ctl('count?id=a'), "2\n", "$name - no third attempt");



=== TEST 11: without a step a failed hedge is not replaced, one of a step is
--- config
location / { smart_hedge 30ms extra=2 step=60ms; proxy_pass http://u; }
--- request
GET /?id=a&s=hang|status:503|body:third
--- response_body: third
--- logged
200 hedge attempts=3 winner=2 delay=30 suppressed=-
--- ctl
cancelled?id=a => attempts=3 done=2 cancelled=1 open=0



=== TEST 12: a primary that fails with a 5xx or 429 starts all hedges at once
--- config
location / { smart_hedge 60s extra=2; proxy_pass http://u; }
--- request eval
[map { "GET /?id=$_&s=status:$_;body:bad|hang|body:third" }
     qw( 429 500 501 502 503 504 507 599 )]
--- response_body eval
[('third') x 8]
--- response_headers eval
[('X-Try: 3') x 8]
--- error_code eval
[(200) x 8]
--- logged eval
qr/\A(?:200 hedge attempts=3 winner=[12] delay=60000 suppressed=-\n){8}\z/
--- ctl
cancelled?id=429 => attempts=3 done=2 cancelled=1 open=0
cancelled?id=500 => attempts=3 done=2 cancelled=1 open=0
cancelled?id=503 => attempts=3 done=2 cancelled=1 open=0
cancelled?id=599 => attempts=3 done=2 cancelled=1 open=0
--- no_error_log
[error]



=== TEST 13: a primary that fails without an answer starts all hedges at once
--- config
location / {
    smart_hedge 60s extra=2;
    proxy_next_upstream off;
    proxy_pass http://u;
}
--- request eval
[map { "GET /?id=$_&s=$_|hang|body:third" }
     ( 'close', 'reset', 'cuthead', 'cuthead;reset', 'badhead' )]
--- response_body eval
[('third') x 5]
--- error_code eval
[(200) x 5]
--- logged eval
qr/\A(?:200 hedge attempts=3 winner=[12] delay=60000 suppressed=-\n){5}\z/
--- ctl
cancelled?id=close => attempts=3 done=1 cancelled=1 open=0 broken=1
cancelled?id=reset => attempts=3 done=1 cancelled=1 open=0 broken=1
cancelled?id=cuthead => attempts=3 done=1 cancelled=1 open=0 broken=1
cancelled?id=badhead => attempts=3 done=1 cancelled=1 open=0 broken=1



=== TEST 14: a step does not hold hedges back when the primary has failed
--- config
location / { smart_hedge 60s extra=2 step=60s; proxy_pass http://u; }
--- request
GET /?id=a&s=status:503|hang|body:third
--- response_body: third
--- ctl
cancelled?id=a => attempts=3 done=2 cancelled=1 open=0



=== TEST 15: with a hedge under way, a failing primary starts those left
--- config
location / { smart_hedge 50ms extra=3 step=60s; proxy_pass http://u; }
--- request
GET /?id=a&s=delay:300;status:503|hang|hang|body:fourth
--- response_body: fourth
--- logged eval
qr/\A200 hedge attempts=4 winner=[23] delay=50 suppressed=-\n\z/
--- ctl
cancelled?id=a => attempts=4 done=2 cancelled=2 open=0



=== TEST 16: the first peer refuses connections
--- http_config
upstream u { server $TEST_NGINX_DEAD; server $TEST_NGINX_UP2; }
--- config
location / {
    smart_hedge 60s;
    proxy_next_upstream off;
    proxy_pass http://u;
}
--- request
GET /?id=a&s=body:hedge
--- response_body: hedge
--- logged
200 hedge attempts=2 winner=1 delay=60000 suppressed=-
--- ctl
cancelled?id=a => attempts=1 done=1 cancelled=0 open=0
--- error_log
Connection refused
--- no_error_log
smart: failed



=== TEST 17: the first peer swallows connections
--- http_config
upstream u { server $TEST_NGINX_BLACKHOLE; server $TEST_NGINX_UP2; }
--- config
location / { smart_hedge 50ms; proxy_pass http://u; }
--- request
GET /?id=a&s=body:hedge
--- response_body: hedge
--- logged
200 hedge attempts=2 winner=1 delay=50 suppressed=-
--- ctl
cancelled?id=a => attempts=1 done=1 cancelled=0 open=0



=== TEST 18: the retries of nginx are not attempts of ours
--- config
location / { smart_hedge 60s; proxy_pass http://u; }
--- request
GET /?id=a&s=close|body:retried
--- response_body: retried
--- logged
200 primary attempts=1 winner=0 delay=60000 suppressed=-
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=0 open=0 broken=1



=== TEST 19: smart_success_status names what wins
--- config
smart_success_status 200;
location / { smart_hedge 60s extra=2; proxy_pass http://u; }
--- request eval
[map { "GET /?id=$_&s=status:$_|hang|body:third" } qw( 201 204 301 404 503 )]
--- response_body eval
[('third') x 5]
--- error_code eval
[(200) x 5]
--- logged eval
qr/\A(?:200 hedge attempts=3 winner=[12] delay=60000 suppressed=-\n){5}\z/



=== TEST 20: smart_success_status with classes and codes
--- config
location / {
    smart_hedge 60s;
    smart_success_status 2xx 404 503;
    proxy_pass http://u;
}
--- request eval
[map { "GET /?id=$_&s=status:$_;body:primary|body:hedge" }
     qw( 206 404 503 302 400 500 )]
--- response_body eval
['primary', 'primary', 'primary', 'hedge', 'hedge', 'hedge']
--- error_code eval
[206, 404, 503, 200, 200, 200]
--- ctl
count?id=206 => 1
count?id=404 => 1
count?id=503 => 1
count?id=302 => 2
count?id=400 => 2
count?id=500 => 2



=== TEST 21: everything but 429 and 5xx wins by default
--- config
location / { smart_hedge 60s; proxy_pass http://u; }
--- request eval
[map { "GET /?id=$_&s=status:$_;body:primary|body:hedge" }
     qw( 200 203 301 304 400 401 404 428 430 499 )]
--- error_code eval
[200, 203, 301, 304, 400, 401, 404, 428, 430, 499]
--- logged eval
CORE::join '', map { "$_ primary attempts=1 winner=0 delay=60000 suppressed=-\n" }
                   qw( 200 203 301 304 400 401 404 428 430 499 )
--- ctl
count?id=301 => 1
count?id=304 => 1
count?id=404 => 1
count?id=499 => 1



=== TEST 22: a 404 of a hedge wins by default
--- config
location / { smart_hedge 50ms; proxy_pass http://u; }
--- request
GET /?id=a&s=hang|status:404;body:none
--- error_code: 404
--- response_body: none
--- logged
404 hedge attempts=2 winner=1 delay=50 suppressed=-



=== TEST 23: smart_success_type: another type does not win
--- config
smart_success_type application/json;
location / { smart_hedge 60s extra=2; proxy_pass http://u; }
--- request eval
['GET /?id=html&s=type:text/html;body:a|hang|type:application/json;body:{}',
 'GET /?id=none&s=type:-;body:a|hang|type:application/json;body:{}',
 'GET /?id=more&s=type:application/json5;body:a|hang|'
     . 'type:application/json;body:{}',
 'GET /?id=less&s=type:application/jso;body:a|hang|'
     . 'type:application/json;body:{}']
--- response_body eval
[('{}') x 4]
--- response_headers eval
[("X-Try: 3\nContent-Type: application/json") x 4]



=== TEST 24: smart_success_type: case and parameters do not matter
--- config
smart_success_type application/JSON text/*;
location / { smart_hedge 60s; proxy_pass http://u; }
--- request eval
['GET /?id=1&s=type:application/json|hang',
 'GET /?id=2&s=type:Application/Json|hang',
 'GET /?id=3&s=type:application/json%253B%20charset=utf-8|hang',
 'GET /?id=4&s=type:application/json%20%253B%20charset=utf-8|hang',
 'GET /?id=5&s=type:TEXT/csv%253Bheader=present|hang',
 'GET /?id=6&s=type:text/html|hang']
--- error_code eval
[(200) x 6]
--- ctl
count?id=1 => 1
count?id=2 => 1
count?id=3 => 1
count?id=4 => 1
count?id=5 => 1
count?id=6 => 1



=== TEST 25: smart_success_type: of a hedge
--- config
smart_success_type application/json;
location / { smart_hedge 50ms extra=2; proxy_pass http://u; }
--- request
GET /?id=a&s=hang|type:text/html|delay:100;type:application/json;body:{}
--- response_body: {}
--- logged eval
qr/\A200 hedge attempts=3 winner=[12] delay=50 suppressed=-\n\z/
--- ctl
cancelled?id=a => attempts=3 done=2 cancelled=1 open=0



=== TEST 26: smart_success_type: 204 and 304 need none
--- config
smart_success_type application/json;
location / { smart_hedge 60s; proxy_pass http://u; }
--- request eval
['GET /?id=1&s=status:204;type:-|hang', 'GET /?id=2&s=status:304;type:-|hang']
--- error_code eval
[204, 304]
--- ctl
count?id=1 => 1
count?id=2 => 1



=== TEST 27: a failed hedge does not beat a primary that is still alive
--- config
location / {
    smart_hedge 20ms extra=3;
    proxy_next_upstream off;
    proxy_pass http://u;
}
--- request
GET /?id=a&s=delay:500;body:primary|status:503|close|delay:50;status:429
--- response_headers
X-Try: 1
--- response_body: primary
--- logged
200 primary attempts=4 winner=0 delay=20 suppressed=-
--- ctl
cancelled?id=a => attempts=4 done=3 cancelled=0 open=0 broken=1
--- no_error_log
smart: failed



=== TEST 28: a hedge fails, another wins
--- config
location / {
    smart_hedge 20ms extra=3;
    proxy_next_upstream off;
    proxy_pass http://u;
}
--- request
GET /?id=a&s=hang|status:503|reset|delay:200;body:fourth
--- response_headers
X-Try: 4
--- response_body: fourth
--- logged eval
qr/\A200 hedge attempts=4 winner=[123] delay=20 suppressed=-\n\z/
--- ctl
cancelled?id=a => attempts=4 done=2 cancelled=1 open=0 broken=1



=== TEST 29: an interim response is no success
--- config
location / { smart_hedge 50ms; proxy_pass http://u; }
--- request eval
['GET /?id=a&s=interim:103;hang|body:hedge',
 'GET /?id=b&s=interim:103;interim:103;hang|body:hedge']
--- error_code eval
[200, 200]
--- response_headers eval
["X-Try: 2\nLink:", "X-Try: 2\nLink:"]
--- response_body eval
['hedge', 'hedge']
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0
cancelled?id=b => attempts=2 done=1 cancelled=1 open=0



=== TEST 30: a hedge's interim response is no success
--- skip_nginx: 3: < 1.29.0
--- config
location / { smart_hedge 50ms; proxy_pass http://u; }
--- request
GET /?id=a&s=delay:500;body:primary|interim:103;hang
--- response_headers
X-Try: 1
Link:
--- response_body: primary
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0



=== TEST 31: the answer after an interim response wins
--- skip_nginx: 3: < 1.29.0
--- config
location / { smart_hedge 50ms; proxy_pass http://u; }
--- request
GET /?id=a&s=hang|interim:103;delay:50;body:hedge
--- response_headers
X-Try: 2
Link:
--- response_body: hedge



=== TEST 32: HEAD is hedged
--- config
location / {
    smart_hedge 50ms;
    proxy_next_upstream off;
    proxy_pass http://u;
}
--- request eval
['HEAD /?id=a&s=hang|size:5000', 'HEAD /?id=b&s=status:503|size:5000',
 'HEAD /?id=c&s=close|size:5000', 'HEAD /?id=d&s=delay:300;size:4000|hang']
--- error_code eval
[(200) x 4]
--- response_headers eval
[("X-Try: 2\nContent-Length: 5000") x 3, "X-Try: 1\nContent-Length: 4000"]
--- response_body eval
[('') x 4]
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0
cancelled?id=b => attempts=2 done=2 cancelled=0 open=0
cancelled?id=c => attempts=2 done=1 cancelled=0 open=0 broken=1
cancelled?id=d => attempts=2 done=1 cancelled=1 open=0



=== TEST 33: bodies of any framing come from the hedge
--- config
location / { smart_hedge 30ms; proxy_pass http://u; }
location /one { smart_hedge 30ms; proxy_buffering off; proxy_pass http://u; }
location /old {
    smart_hedge 30ms; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_pass http://u;
}
--- request eval
[map { ("GET $_?id=$_-l&s=hang|size:30000,2",
        "GET $_?id=$_-c&s=hang|chunked:3,10000,10",
        "GET $_?id=$_-n&s=hang|size:30000,2;nolen") } qw( / /one /old )]
--- response_body_like eval
[(qr/\A.{30000}\z/s) x 9]
--- error_code eval
[(200) x 9]



=== TEST 34: a client of HTTP/1.0
--- config
location / { smart_hedge 50ms; proxy_pass http://u; }
--- request
GET /?id=a&s=hang|size:10000 HTTP/1.0
--- response_headers
X-Try: 2
--- response_body_like eval
qr/\A.{10000}\z/s



=== TEST 35: two hedges with more headers than there is room for
--- config
location / { smart_hedge 30ms extra=2; proxy_pass http://u; }
--- request eval
my $many = CORE::join ';', map { "h:X-H$_=" . "v$_" x 20 } 1 .. 40;
["GET /?id=a&s=hang|hang|$many;size:10000", "GET /?id=b&s=hang|$many|hang"]
--- response_headers eval
my $all = CORE::join "\n", map { "X-H$_: " . "v$_" x 20 } 1 .. 40;
["X-Try: 3\n$all", "X-Try: 2\n$all"]
--- response_body_like eval
[qr/\A.{10000}\z/s, qr/./]
--- ctl
cancelled?id=a => attempts=3 done=1 cancelled=2 open=0
cancelled?id=b => attempts=3 done=1 cancelled=2 open=0
