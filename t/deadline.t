use SmartTest 'no_plan';

# before 1.25.1 http2 is a parameter of listen

my ($minor, $patch) = `\${TEST_NGINX_BINARY:-nginx} -v 2>&1`
                      =~ m{nginx/1\.(\d+)\.(\d+)};
my $new = $minor > 25 || $minor == 25 && $patch > 0;

$ENV{TEST_NGINX_H2} = '127.0.0.1:' . SmartServer::free_port();
$ENV{TEST_NGINX_H2_PLAIN} = $new ? '; http2 on;' : 'http2;';

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

run_tests();

__DATA__

=== TEST 1: a deadline that is kept does not show
--- config
location / { smart_timeout 20s; proxy_pass http://u; }
--- request
GET /?id=a&s=delay:50;body:primary
--- response_body: primary
--- logged
200 primary attempts=1 winner=0 delay=- suppressed=-
--- no_error_log
[error]
[warn]



=== TEST 2: a constant, without hedging
--- config
location / { smart_timeout 100ms; proxy_pass http://u; }
--- request
GET /?id=a&s=hang
--- error_code: 504
--- response_body_like: <title>504 Gateway Time-out</title>
--- logged
504 timeout attempts=1 winner=- delay=- suppressed=-
--- ctl
cancelled?id=a => attempts=1 done=0 cancelled=1 open=0
--- grep_error_log eval
qr/\[error\] .*?smart: .*?(?= while |, client)/
--- grep_error_log_out eval
qr/\A\[error\] \S+ \S+ smart: timeout after 1\d\d ms, 1 attempt: \S+:\d+ cancelled after 1\d\d ms\n\z/



=== TEST 3: from an argument, a header, a cookie, a map
--- http_config
upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; }
map $arg_who $deadline { slow 60000; fast 100; default ""; }
--- config
location / { smart_timeout $arg_timeout; proxy_pass http://u; }
location /header { smart_timeout $http_x_timeout; proxy_pass http://u; }
location /cookie { smart_timeout $cookie_timeout; proxy_pass http://u; }
location /map { smart_timeout $deadline; proxy_pass http://u; }
--- more_headers
X-Timeout: 100
Cookie: a=b; timeout=100
--- request eval
['GET /?s=hang&timeout=100', 'GET /header?s=hang', 'GET /cookie?s=hang',
 'GET /map?s=hang&who=fast', 'GET /map?s=delay:200&who=slow',
 'GET /map?s=delay:200', 'GET /?s=delay:200', 'GET /?s=delay:200&timeout=9000']
--- error_code eval
[504, 504, 504, 504, 200, 200, 200, 200]
--- logged
504 timeout attempts=1 winner=- delay=- suppressed=-
504 timeout attempts=1 winner=- delay=- suppressed=-
504 timeout attempts=1 winner=- delay=- suppressed=-
504 timeout attempts=1 winner=- delay=- suppressed=-
200 primary attempts=1 winner=0 delay=- suppressed=-
200 bypass attempts=0 winner=- delay=- suppressed=-
200 bypass attempts=0 winner=- delay=- suppressed=-
200 primary attempts=1 winner=0 delay=- suppressed=-



=== TEST 4: for every method, the body of a request included
--- config
location / { smart_timeout 100ms; proxy_pass http://u; }
--- request eval
["POST /?id=a&s=hang\nabc", "PUT /?id=b&s=hang\nabc", 'DELETE /?id=c&s=hang',
 'HEAD /?id=d&s=hang', 'OPTIONS /?id=e&s=hang']
--- error_code eval
[(504) x 5]
--- ctl
cancelled?id=a => attempts=1 done=0 cancelled=1 open=0
cancelled?id=b => attempts=1 done=0 cancelled=1 open=0
cancelled?id=d => attempts=1 done=0 cancelled=1 open=0



=== TEST 5: with POST where hedging is on
--- config
location / { smart_hedge 50ms; smart_timeout 200ms; proxy_pass http://u; }
--- request
POST /?id=a&s=hang
abc
--- error_code: 504
--- logged
504 timeout attempts=1 winner=- delay=50 suppressed=method
--- ctl
cancelled?id=a => attempts=1 done=0 cancelled=1 open=0



=== TEST 6: of all attempts together
--- config
location / { smart_hedge 50ms extra=2; smart_timeout 300ms; proxy_pass http://u; }
--- request
GET /?id=a&s=hang
--- error_code: 504
--- logged
504 timeout attempts=3 winner=- delay=50 suppressed=-
--- ctl
cancelled?id=a => attempts=3 done=0 cancelled=3 open=0
--- grep_error_log eval
qr/\[error\] .*?smart: .*?(?= while |, client)/
--- grep_error_log_out eval
qr/\A\[error\] \S+ \S+ smart: timeout after [34]\d\d ms, 3 attempts: \S+ cancelled after [34]\d\d ms, \S+ cancelled after [234]\d\d ms, \S+ cancelled after [234]\d\d ms\n\z/



=== TEST 7: before the first hedge would be sent
--- config
location / { smart_hedge 600ms; smart_timeout 100ms; proxy_pass http://u; }
--- request
GET /?id=a&s=hang
--- error_code: 504
--- logged
504 timeout attempts=1 winner=- delay=600 suppressed=-
--- after
select undef, undef, undef, 0.7;
is(ctl('count?id=a'), "1\n", "$name - no hedge later");



=== TEST 8: before the next step
--- config
location / { smart_hedge 50ms extra=2 step=60s; smart_timeout 300ms; proxy_pass http://u; }
--- request
GET /?id=a&s=hang
--- error_code: 504
--- logged
504 timeout attempts=2 winner=- delay=50 suppressed=-



=== TEST 9: an answer in time
--- config
location / { smart_hedge 50ms extra=2; smart_timeout 5s; proxy_pass http://u; }
--- request
GET /?id=a&s=hang|hang|delay:200;body:third
--- response_body: third
--- logged eval
qr/\A200 hedge attempts=3 winner=[12] delay=50 suppressed=-\n\z/
--- no_error_log
[error]



=== TEST 10: while connecting
--- http_config
upstream u { server $TEST_NGINX_BLACKHOLE; }
upstream two { server $TEST_NGINX_BLACKHOLE; server $TEST_NGINX_UP1; }
--- config
location / { smart_timeout 150ms; proxy_pass http://u; }
location /h { smart_timeout 150ms; smart_hedge 50ms; proxy_pass http://u; }
location /two { smart_timeout 300ms; smart_hedge 50ms; proxy_pass http://two; }
--- request eval
['GET /', 'GET /h', 'GET /two?id=a&s=hang']
--- error_code eval
[504, 504, 504]
--- logged
504 timeout attempts=1 winner=- delay=- suppressed=-
504 timeout attempts=2 winner=- delay=50 suppressed=-
504 timeout attempts=2 winner=- delay=50 suppressed=-



=== TEST 11: parked after a failure
--- config
location / {
    smart_hedge 60s extra=2; smart_timeout 200ms; proxy_next_upstream off;
    proxy_pass http://u;
}
--- request eval
['GET /?id=a&s=status:503;h:X-Bad=1|hang', 'GET /?id=b&s=close|hang',
 'HEAD /?id=c&s=status:503;h:X-Bad=1|hang', 'HEAD /?id=d&s=reset|hang']
--- error_code eval
[504, 504, 504, 504]
--- response_headers eval
["X-Bad:\nX-Try:\nContent-Type: text/html", 'Content-Type: text/html',
 "X-Bad:\nX-Try:\nContent-Type: text/html", 'Content-Type: text/html']
--- logged eval
"504 timeout attempts=3 winner=- delay=60000 suppressed=-\n" x 4
--- ctl
cancelled?id=a => attempts=3 done=1 cancelled=2 open=0
cancelled?id=b => attempts=3 done=0 cancelled=2 open=0 broken=1
--- after
is(scalar(grep { /\[error\].* smart: timeout/ } error_log()), 4,
   "$name - a line each");



=== TEST 12: a failed hedge and a primary that hangs
--- config
location / { smart_hedge 50ms; smart_timeout 250ms; proxy_pass http://u; }
--- request
GET /?id=a&s=hang|status:503
--- error_code: 504
--- logged
504 timeout attempts=2 winner=- delay=50 suppressed=-
--- grep_error_log eval
qr/smart: .*?(?= while |, client)/
--- grep_error_log_out eval
qr/\Asmart: timeout after \d+ ms, 2 attempts: \S+ cancelled after \d+ ms, \S+ answered 503\n\z/



=== TEST 13: zero: at once, and no upstream is contacted
--- config
location / { smart_hedge 0 extra=3; smart_timeout $arg_timeout; proxy_pass http://u; }
location /plain { smart_timeout $arg_timeout; proxy_pass http://u; }
--- request eval
['GET /?id=a&timeout=0', 'GET /?id=a&timeout=000', "POST /plain?id=a&timeout=0\nabc",
 'HEAD /plain?id=a&timeout=0']
--- error_code eval
[504, 504, 504, 504]
--- logged
504 timeout attempts=0 winner=- delay=0 suppressed=-
504 timeout attempts=0 winner=- delay=0 suppressed=-
504 timeout attempts=0 winner=- delay=- suppressed=-
504 timeout attempts=0 winner=- delay=- suppressed=-
--- ctl
count?id=a => 0



=== TEST 14: a constant of zero
--- config
location / { smart_timeout 0; proxy_pass http://u; }
--- request
GET /?id=a
--- error_code: 504
--- ctl
count?id=a => 0



=== TEST 15: beyond any integer: no deadline
--- config
location / { smart_hedge 50ms; smart_timeout $arg_timeout; proxy_pass http://u; }
--- request eval
[map { "GET /?id=$_&s=delay:200;body:x|hang&timeout=$_" }
     (2147483647, 2147483648, 4294967295, 4294967296, 4294967297,
      '9223372036854775807', '9223372036854775808', '18446744073709551615',
      '18446744073709551616', '18446744073709551617', '9' x 200,
      '0' x 200 . '99999')]
--- response_body eval
[('x') x 12]
--- logged eval
"200 primary attempts=2 winner=0 delay=50 suppressed=-\n" x 12



=== TEST 16: leading zeros
--- config
location / { smart_timeout $arg_timeout; proxy_pass http://u; }
--- request
GET /?id=a&s=hang&timeout=000000000000000000000000000000100
--- error_code: 504
--- ctl
cancelled?id=a => attempts=1 done=0 cancelled=1 open=0



=== TEST 17: what is no number of milliseconds, as an argument
--- config
location / { smart_timeout $arg_timeout; proxy_pass http://u; }
--- request eval
[map { "GET /?id=a&timeout=$_" }
     ('', '-1', '-0', '1.5', '1.', '.5', '+1', '%201', '1%20', '1%201', '%20',
      '0x10', '1e3', '1E3', '1%00', '%00', '1%000', 'abc', '12a', 'a12', '1s',
      '100ms', 'infinity', 'NaN', 'null', '1,000', '1_000', '%31', "1;2", '%D9%A1',
      '1%0a', '"1"', "1'", '1/2', '--1', '1-', '$1', 'off')]
--- error_code eval
[(400) x 38]
--- logged eval
"400 invalid attempts=0 winner=- delay=- suppressed=-\n" x 38
--- ctl
count?id=a => 0
--- no_error_log
[error]



=== TEST 18: an argument given twice
--- config
location / { smart_timeout $arg_timeout; proxy_pass http://u; }
--- request eval
['GET /?id=a&timeout=100&timeout=100', 'GET /?id=a&timeout=100&x=1&timeout=200',
 'GET /?timeout=100&id=a&timeout=', 'GET /?timeout=&id=a&timeout=100',
 'GET /?id=a&TIMEOUT=100&timeout=100', 'GET /?id=a&timeout=1&timeout']
--- error_code eval
[(400) x 6]
--- ctl
count?id=a => 0



=== TEST 19: other arguments that look like it
--- config
location / { smart_timeout $arg_timeout; proxy_pass http://u; }
--- request eval
['GET /?timeouts=x&xtimeout=y&s=delay:50', 'GET /?timeout=5000&timeout2=x&s=delay:50',
 'GET /?a=timeout=x&s=delay:50', 'GET /?timeouts=x&timeout=100&s=hang']
--- error_code eval
[200, 200, 200, 504]



=== TEST 20: what is no number of milliseconds, as a header
--- config
location / { smart_timeout $http_x_timeout; proxy_pass http://u; }
--- request eval
[('GET /?id=a') x 9]
--- more_headers eval
["X-Timeout: -1", "X-Timeout: 1 0", "X-Timeout: 1\t0", "X-Timeout:", "X-Timeout: 10ms",
 "X-Timeout: 1.5", "X-Timeout: +1", "X-Timeout: 1,2", "X-Timeout: \xd9\xa1"]
--- error_code eval
[(400) x 9]
--- ctl
count?id=a => 0



=== TEST 21: blanks around a header's value belong to no value
--- config
location / { smart_timeout $http_x_timeout; proxy_pass http://u; }
--- raw_request eval
"GET /?id=a&s=hang HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Timeout:   100  \r\n\r\n"
--- error_code: 504
--- ctl
count?id=a => 1



=== TEST 22: a header given twice
--- config
location / { smart_timeout $http_x_timeout; proxy_pass http://u; }
--- more_headers
X-Timeout: 100
X-Timeout: 100
--- request
GET /?id=a&s=delay:300
--- error_code: 400
--- ctl
count?id=a => 0



=== TEST 23: required
--- config
location / { smart_timeout $arg_timeout required; proxy_pass http://u; }
location /header { smart_timeout $http_x_timeout required; proxy_pass http://u; }
--- request eval
['GET /?id=a', 'GET /', 'GET /?timeouts=1&id=a', 'GET /header?id=a', 'GET /?id=a&timeout=',
 'GET /?timeout=9000', 'GET /?id=b&timeout=100&s=hang']
--- error_code eval
[400, 400, 400, 400, 400, 200, 504]
--- ctl
count?id=a => 0
--- after
is(scalar(grep { /\[error\]/ } error_log()), 1, "$name - only the timeout");



=== TEST 24: required, from a map
--- http_config
upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; }
map $arg_t $deadline { "" ""; default $arg_t; }
--- config
location / { smart_timeout $deadline required; proxy_pass http://u; }
location /may { smart_timeout $deadline; proxy_pass http://u; }
--- request eval
['GET /?id=a', 'GET /?id=a&t=x', 'GET /?t=9000', 'GET /may', 'GET /may?id=a&t=-1']
--- error_code eval
[400, 400, 200, 200, 400]
--- ctl
count?id=a => 0



=== TEST 25: the 504 and the 400 take an error_page
--- config
location / {
    smart_hedge 50ms; smart_timeout $arg_timeout; proxy_pass http://u;
    error_page 504 400 /page;
}
location /named {
    smart_timeout $arg_timeout; proxy_pass http://u; error_page 504 = @named;
}
location = /page { proxy_pass 'http://u/?id=page&s=delay:150;body:page'; }
location @named { smart_hedge 60s; proxy_set_header X-Script-Id named; proxy_set_header X-Script "delay:150;body:named"; proxy_pass http://u; }
--- request eval
['GET /?id=a&timeout=150&s=hang', 'GET /?id=b&timeout=x', 'GET /?id=b&timeout=0',
 'GET /named?id=c&timeout=150&s=hang']
--- error_code eval
[504, 400, 504, 200]
--- response_body eval
['page', 'page', 'page', 'named']
--- ctl
cancelled?id=a => attempts=2 done=0 cancelled=2 open=0
count?id=b => 0
count?id=page => 3
count?id=named => 1



=== TEST 26: the error page is not held to the deadline that has passed
--- config
smart_timeout 100ms;
error_page 504 /page;
location / { proxy_pass http://u; }
location = /page { proxy_pass 'http://u/?id=page&s=delay:300;body:page'; }
--- request
GET /?id=a&s=hang
--- error_code: 504
--- response_body: page
--- grep_error_log eval
qr/smart: \w+/
--- grep_error_log_out
smart: timeout



=== TEST 27: the body of an answer may take its time
--- config
location / { smart_timeout 250ms; proxy_pass http://u; }
location /hedge { smart_hedge 30ms; smart_timeout 250ms; proxy_pass http://u; }
location /plain { smart_timeout 250ms; proxy_buffering off; proxy_pass http://u; }
--- request eval
['GET /?s=bodydelay:600;body:slow', 'GET /hedge?id=a&s=hang|bodydelay:600;body:slow',
 'GET /hedge?id=b&s=chunked:6,10,100|hang', 'GET /plain?s=bodydelay:600;body:slow']
--- error_code eval
[(200) x 4]
--- response_body_like eval
['^slow$', '^slow$', qr/^.{60}$/s, '^slow$']
--- no_error_log
[error]



=== TEST 28: half a header is no header
--- config
location / { smart_timeout 150ms; proxy_pass http://u; }
--- request
GET /?id=a&s=parthead:900
--- error_code: 504
--- ctl
cancelled?id=a => attempts=1 done=0 cancelled=1 open=0



=== TEST 29: the clock is that of $request_time: the request's body counts
--- config
location / { smart_timeout 200ms; proxy_pass http://u; }
--- raw_request eval
["POST /?id=a&s=body:x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 10\r\n\r\n12345", "67890"]
--- raw_request_middle_delay: 0.6
--- error_code: 504
--- logged
504 timeout attempts=0 winner=- delay=- suppressed=-
--- ctl
count?id=a => 0



=== TEST 30: $smart_remaining counts down
--- config
location / {
    smart_timeout $arg_timeout; proxy_pass http://u;
    proxy_set_header X-Left $smart_remaining;
}
--- request
GET /?id=a&s=echo&timeout=30000
--- response_body_like: "x-left":"(30000|2[0-9]{4})"



=== TEST 31: keepalive of the client survives a 504
--- config
location / { smart_hedge 30ms; smart_timeout $arg_timeout; proxy_pass http://u; }
--- pipelined_requests eval
['GET /?s=hang&timeout=150', 'GET /?timeout=0', 'GET /?s=status:503|hang&id=a&timeout=150',
 "POST /?timeout=0\nabcdefgh", "POST /?s=echo&timeout=9000\nabc"]
--- error_code eval
[504, 504, 504, 504, 200]
--- response_body_like eval
[('504 Gateway') x 4, '"body_size":3']



=== TEST 32: a 400 closes the connection, as nginx's own does
--- config
location / { smart_timeout $arg_timeout; proxy_pass http://u; }
--- raw_request eval
"POST /?timeout=x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
--- error_code: 400
--- response_headers
Connection: close



=== TEST 33: in an if, inherited, off
--- config
smart_timeout 100ms;
location / { proxy_pass http://u; }
location /off { smart_timeout off; proxy_pass http://u; }
location /if { smart_timeout 60s; proxy_pass http://u; if ($arg_q) { smart_timeout 100ms; } }
location /own { smart_timeout 60s; proxy_pass http://u; }
--- request eval
['GET /?s=hang', 'GET /off?s=delay:300', 'GET /if?q=1&s=hang', 'GET /if?s=delay:300', 'GET /own?s=delay:300']
--- error_code eval
[504, 200, 504, 200, 200]



=== TEST 34: no upstream, no deadline
--- config
smart_timeout $arg_timeout;
location / { proxy_pass http://u; }
location /return { return 200 "x"; }
location /static { root html; }
--- user_files
>>> static
static
--- request eval
['GET /return?timeout=0', 'GET /static?timeout=0', 'GET /static?timeout=x']
--- error_code eval
[200, 200, 200]



=== TEST 35: an upstream's own timeouts still hold
--- config
location / { smart_timeout 60s; proxy_read_timeout 150ms; proxy_next_upstream off; proxy_pass http://u; }
--- request
GET /?id=a&s=hang
--- error_code: 504
--- logged
504 failed attempts=1 winner=- delay=- suppressed=-
--- no_error_log
smart:



=== TEST 36: an HTTP/2 client
--- http_config
upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; }
server {
    listen $TEST_NGINX_H2 $TEST_NGINX_H2_PLAIN
    location / { smart_hedge 50ms; smart_timeout $arg_timeout; proxy_pass http://u; }
}
--- config
--- request
GET /
--- after
for (['timeout=200&s=hang', 504], ['timeout=0', 504], ['timeout=x', 400], ['timeout=200&s=status:503|hang', 504],
     ['timeout=9000&s=body:x', 200])
{
    my ($args, $code) = @$_;
    my $id = "h$args" =~ s/\W/-/gr;
    my $out = `curl -s --max-time 9 --http2-prior-knowledge -o /dev/null -w '%{http_version} %{http_code}' 'http://$ENV{TEST_NGINX_H2}/?id=$id&$args'`;
    is($out, "2 $code", "$name - $args");
}
