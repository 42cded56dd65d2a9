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
                                . $block->config)
        if $block->config !~ /access_log/;
});

run_tests();

__DATA__

=== TEST 1: the policy comes from a variable
--- http_config
map $arg_p $policy {
    default off; fast 50ms; two "50ms extra=2"; bad soon; tail "50ms extra=9";
    none ""; late 60s;
}
upstream u {
    server $TEST_NGINX_UP1 max_fails=0; server $TEST_NGINX_UP2 max_fails=0;
}
--- config
location / { smart_hedge $policy; proxy_pass http://u; }
--- request eval
['GET /?p=off&id=a&s=delay:200;body:primary|body:hedge',
 'GET /?p=fast&id=b&s=hang|body:hedge',
 'GET /?p=two&id=c&s=hang|hang|body:third',
 'GET /?p=late&id=d&s=status:503|body:hedge']
--- response_body eval
['primary', 'hedge', 'third', 'hedge']
--- logged eval
qr/\A200 bypass attempts=- winner=- delay=- suppressed=-
200 hedge attempts=2 winner=1 delay=50 suppressed=-
200 hedge attempts=3 winner=[12] delay=50 suppressed=-
200 hedge attempts=2 winner=1 delay=60000 suppressed=-
\z/
--- ctl
cancelled?id=a => attempts=1 done=1 cancelled=0 open=0
cancelled?id=b => attempts=2 done=1 cancelled=1 open=0
cancelled?id=c => attempts=3 done=1 cancelled=2 open=0
--- no_error_log
[warn]
[error]



=== TEST 2: a policy that does not parse means off, with a warning
--- http_config
map $arg_p $policy {
    default off; bad soon; tail "50ms extra=9"; none ""; more "off now";
    twice "50ms extra=1 extra=1"; step "50ms step=x"; neg "-1ms";
}
upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; }
--- config
location / { smart_hedge $policy; proxy_pass http://u; }
--- request eval
[map { "GET /?p=$_&id=$_&s=delay:150;body:primary|body:hedge" }
     qw( bad tail none more twice step neg )]
--- response_body eval
[('primary') x 7]
--- logged eval
"200 bypass attempts=- winner=- delay=- suppressed=-\n" x 7
--- after
my @warn = map { /\[warn\] \S+ \S+ smart: (.*?), client/ } error_log();
is(CORE::join("\n", @warn, ''), <<'END', "$name - warnings");
not hedged, invalid value "soon" in "smart_hedge", it must be "off", a time such as "300ms", or a percentile from "p50" to "p99.9"
not hedged, invalid value "extra=9" in "smart_hedge", it must be a number from 1 to 7
not hedged, invalid value "" in "smart_hedge", it must be "off", a time such as "300ms", or a percentile from "p50" to "p99.9"
not hedged, invalid value "now" in "smart_hedge", it must be nothing after "off"
not hedged, invalid value "extra=1" in "smart_hedge", it must be "extra=N" or "step=time", each once
not hedged, invalid value "step=x" in "smart_hedge", it must be a time such as "50ms"
not hedged, invalid value "-1ms" in "smart_hedge", it must be "off", a time such as "300ms", or a percentile from "p50" to "p99.9"
END
--- ctl
count?id=bad => 1
count?id=tail => 1
count?id=none => 1



=== TEST 3: the policy is a text with variables
--- config
location / { smart_hedge ${arg_d}ms extra=$arg_n step=10ms; proxy_pass http://u; }
--- request eval
['GET /?d=30&n=2&id=a&s=hang|hang|body:third',
 'GET /?d=60000&n=1&id=b&s=status:503|body:second']
--- response_body eval
['third', 'second']
--- logged
200 hedge attempts=3 winner=2 delay=30 suppressed=-
200 hedge attempts=2 winner=1 delay=60000 suppressed=-



=== TEST 4: in an if
--- config
location / {
    smart_hedge off;
    proxy_pass http://u;

    if ($arg_h) { smart_hedge 50ms extra=2; }
}
--- request eval
['GET /?h=1&id=a&s=hang|hang|body:third',
 'GET /?id=b&s=delay:200;body:primary|body:hedge']
--- response_body eval
['third', 'primary']
--- ctl
cancelled?id=a => attempts=3 done=1 cancelled=2 open=0
cancelled?id=b => attempts=1 done=1 cancelled=0 open=0



=== TEST 5: off in an if
--- config
location / {
    smart_hedge 50ms;
    proxy_pass http://u;

    if ($arg_off) { smart_hedge off; }
}
--- request eval
['GET /?id=a&s=hang|body:hedge',
 'GET /?off=1&id=b&s=delay:200;body:primary|body:hedge']
--- response_body eval
['hedge', 'primary']
--- logged
200 hedge attempts=2 winner=1 delay=50 suppressed=-
200 - attempts=- winner=- delay=- suppressed=-



=== TEST 6: inherited from http
--- http_config
upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; }
smart_hedge 50ms extra=2;
--- config
location / { proxy_pass http://u; }
location /off { smart_hedge off; proxy_pass http://u; }
location /own { smart_hedge 60s; proxy_pass http://u; }
location /out/ {
    smart_hedge off;
    location /out/in/ { proxy_pass http://u; }
    location /out/on/ { smart_hedge 40ms; proxy_pass http://u; }
}
--- request eval
['GET /?id=a&s=hang|hang|body:third',
 'GET /off?id=b&s=delay:200;body:primary|body:hedge',
 'GET /own?id=c&s=delay:200;body:primary|body:hedge',
 'GET /out/in/?id=d&s=delay:200;body:primary|body:hedge',
 'GET /out/on/?id=e&s=hang|body:hedge']
--- response_body eval
['third', 'primary', 'primary', 'primary', 'hedge']
--- logged eval
qr/\A200 hedge attempts=3 winner=[12] delay=50 suppressed=-
200 - attempts=- winner=- delay=- suppressed=-
200 primary attempts=1 winner=0 delay=60000 suppressed=-
200 - attempts=- winner=- delay=- suppressed=-
200 hedge attempts=2 winner=1 delay=40 suppressed=-
\z/



=== TEST 7: inherited from a server, which overrides http
--- http_config
upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; }
smart_hedge 60s;
smart_success_status 5xx;
smart_success_type a/b;
--- config
smart_hedge 50ms;
smart_success_status 200;
smart_success_type text/*;
location / { proxy_pass http://u; }
--- request eval
['GET /?id=a&s=hang|body:hedge', 'GET /?id=b&s=status:404|body:hedge',
 'GET /?id=c&s=type:a/b|body:hedge']
--- response_body eval
['hedge', 'hedge', 'hedge']
--- error_code eval
[200, 200, 200]



=== TEST 8: POST is not hedged, and says so when a hedge is due
--- config
location / { smart_hedge 100ms; proxy_pass http://u; }
--- request eval
["POST /?id=a&s=delay:400;body:primary|body:hedge\nabc",
 "POST /?id=b&s=body:primary|body:hedge\nabc",
 "POST /?id=c&s=status:503;body:primary|body:hedge\nabc",
 "DELETE /?id=d&s=delay:400;body:primary|body:hedge"]
--- response_body eval
[('primary') x 4]
--- error_code eval
[200, 200, 503, 200]
--- logged
200 primary attempts=1 winner=0 delay=100 suppressed=method
200 primary attempts=1 winner=0 delay=100 suppressed=-
503 failed attempts=1 winner=- delay=100 suppressed=method
200 primary attempts=1 winner=0 delay=100 suppressed=method
--- ctl
count?id=a => 1
count?id=b => 1
count?id=c => 1
count?id=d => 1



=== TEST 9: smart_hedge_methods replaces the list
--- config
smart_hedge_methods PUT OPTIONS;
location / { smart_hedge 60ms; proxy_pass http://u; }
--- request eval
["PUT /?id=a&s=hang|body:hedge\nabc",
 "OPTIONS /?id=b&s=hang|body:hedge",
 "GET /?id=c&s=delay:300;body:primary|body:hedge"]
--- response_body eval
['hedge', 'hedge', 'primary']
--- logged
200 hedge attempts=2 winner=1 delay=60 suppressed=-
200 hedge attempts=2 winner=1 delay=60 suppressed=-
200 primary attempts=1 winner=0 delay=60 suppressed=method



=== TEST 10: a request body goes to every attempt
--- config
location / {
    smart_hedge_methods PUT POST;
    smart_hedge 50ms extra=2;
    proxy_pass http://u;
}
location /file {
    smart_hedge_methods PUT;
    smart_hedge 50ms extra=2;
    client_body_in_file_only clean;
    proxy_pass http://u;
}
--- request eval
my $body = "0123456789\n" x 10000 . 'x';
["PUT /?id=a&s=hang|hang|echo\nabcdef", "POST /?id=b&s=hang|hang|echo\n$body",
 "PUT /file?id=c&s=status:503|hang|echo\n$body"]
--- error_code eval
[(200) x 3]
--- response_body_like eval
[qr/"body_size":6/, (qr/"body_size":110001/) x 2]
--- after
use Digest::MD5 'md5_hex';
my $body = "0123456789\n" x 10000 . 'x';
my %md5 = (a => md5_hex('abcdef'), map { $_ => md5_hex($body) } qw( b c ));

for my $id (sort keys %md5) {
    my $all = ctl_json("requests?id=$id");
    is(scalar @$all, 3, "$name - attempts of $id");
    is($_->{body_md5}, $md5{$id}, "$name - body of $id, $_->{try}") for @$all;
    is($_->{headers}{'content-length'}, length($id eq 'a' ? 'abcdef' : $body),
       "$name - Content-Length of $id, $_->{try}") for @$all;
}



=== TEST 11: a request body is read whole where its method is allowed
--- config
location / {
    smart_hedge_methods PUT; smart_hedge 60s; proxy_request_buffering off;
    proxy_http_version 1.1; proxy_pass http://u;
}
--- request eval
"PUT /?id=a&s=status:503|echo\n" . "0123456789" x 10000
--- response_body_like: "body_size":100000
--- logged
200 hedge attempts=2 winner=1 delay=60000 suppressed=-
--- ctl
cancelled?id=a => attempts=2 done=2 cancelled=0 open=0



=== TEST 12: where its method is not allowed it streams
--- config
location / {
    smart_hedge 60s; proxy_request_buffering off;
    proxy_http_version 1.1; proxy_pass http://u;
}
--- request
PUT /?id=a&s=echo
abcdef
--- response_body_like: "body_size":6
--- logged
200 primary attempts=1 winner=0 delay=60000 suppressed=-



=== TEST 13: a chunked request body goes to every attempt
--- config
location / {
    smart_hedge_methods PUT; smart_hedge 50ms extra=2; proxy_pass http://u;
}
--- raw_request eval
"PUT /?id=a&s=hang|hang|echo HTTP/1.1\r
Host: localhost\r
Connection: close\r
Transfer-Encoding: chunked\r
\r
5\r
abcde\r
3\r
fgh\r
0\r
\r
"
--- response_body_like: "body_md5":"e8dc4081b13434b45189a720b77b6818"
--- after
my $all = ctl_json('requests?id=a');
is(scalar @$all, 3, "$name - attempts");
is($_->{body_md5}, 'e8dc4081b13434b45189a720b77b6818', "$name - body") for @$all;



=== TEST 14: smart_hedge_body_size
--- config
location / {
    smart_hedge_methods PUT; smart_hedge_body_size 10;
    smart_hedge 60ms; proxy_pass http://u;
}
location /zero {
    smart_hedge_methods PUT GET; smart_hedge_body_size 0;
    smart_hedge 60ms; proxy_pass http://u;
}
--- request eval
["PUT /?id=a&s=hang|body:hedge\n1234567890",
 "PUT /?id=b&s=delay:300;body:primary|body:hedge\n12345678901",
 "PUT /?id=c&s=status:503;body:primary|body:hedge\n12345678901",
 "PUT /zero?id=d&s=delay:300;body:primary|body:hedge\n1",
 "GET /zero?id=e&s=hang|body:hedge"]
--- response_body eval
['hedge', 'primary', 'primary', 'primary', 'hedge']
--- error_code eval
[200, 200, 503, 200, 200]
--- logged
200 hedge attempts=2 winner=1 delay=60 suppressed=-
200 primary attempts=1 winner=0 delay=60 suppressed=body
503 failed attempts=1 winner=- delay=60 suppressed=body
200 primary attempts=1 winner=0 delay=60 suppressed=body
200 hedge attempts=2 winner=1 delay=60 suppressed=-



=== TEST 15: smart_hedge_body_size: a chunked body that is larger
--- config
location / {
    smart_hedge_methods PUT; smart_hedge_body_size 10;
    smart_hedge 60ms; proxy_pass http://u;
}
--- raw_request eval
"PUT /?id=a&s=delay:300;body:primary|body:hedge HTTP/1.1\r
Host: localhost\r
Connection: close\r
Transfer-Encoding: chunked\r
\r
b\r
12345678901\r
0\r
\r
"
--- response_body: primary
--- logged
200 primary attempts=1 winner=0 delay=60 suppressed=body



=== TEST 16: no hedge before the body of a request has been read
--- config
location / {
    smart_hedge_methods PUT; smart_hedge 60ms; proxy_pass http://u;
}
--- raw_request eval
["PUT /?id=a&s=body:primary|body:hedge HTTP/1.1\r
Host: localhost\r
Connection: close\r
Content-Length: 10\r
\r
12345", "67890"]
--- raw_request_middle_delay: 0.4
--- response_body: primary
--- logged
200 primary attempts=1 winner=0 delay=60 suppressed=-
--- ctl
count?id=a => 1



=== TEST 17: outcome: bypass where there is no upstream
--- config
smart_hedge 50ms;
location /return { return 200 "x"; }
location /static { root html; }
location /gone { return 404; }
--- user_files
>>> static
x
--- request eval
['GET /return', 'GET /static', 'GET /gone']
--- error_code eval
[200, 200, 404]
--- logged
200 bypass attempts=- winner=- delay=- suppressed=-
200 bypass attempts=- winner=- delay=- suppressed=-
404 bypass attempts=- winner=- delay=- suppressed=-



=== TEST 18: outcome: none without the directives
--- config
location / { proxy_pass http://u; add_header X-Outcome "[$smart_outcome]"; }
--- request
GET /
--- response_headers
X-Outcome: []
--- logged
200 - attempts=- winner=- delay=- suppressed=-



=== TEST 19: outcome: a cached answer
--- http_config
upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; }
proxy_cache_path cache keys_zone=c:1m;
--- config
location / {
    smart_hedge 300ms; proxy_cache c; proxy_cache_valid 1h; proxy_pass http://u;
    add_header X-Cache $upstream_cache_status;
}
--- request eval
['GET /?id=a&s=hang|body:hedge', 'GET /?id=a&s=hang|body:hedge',
 'GET /?id=b&s=body:primary', 'GET /?id=b&s=body:primary']
--- response_body eval
['hedge', 'hedge', 'primary', 'primary']
--- response_headers eval
['X-Cache: MISS', 'X-Cache: HIT', 'X-Cache: MISS', 'X-Cache: HIT']
--- logged
200 hedge attempts=2 winner=1 delay=300 suppressed=-
200 bypass attempts=0 winner=- delay=300 suppressed=-
200 primary attempts=1 winner=0 delay=300 suppressed=-
200 bypass attempts=0 winner=- delay=300 suppressed=-
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0
count?id=b => 1



=== TEST 20: outcome: timeout, failed, invalid
--- config
location / {
    smart_hedge 50ms; smart_timeout $arg_timeout; proxy_pass http://u;
}
--- request eval
['GET /?id=a&s=hang&timeout=300', 'GET /?id=b&s=status:503&timeout=9000',
 'GET /?id=c&timeout=x', 'GET /?id=d&timeout=0']
--- error_code eval
[504, 503, 400, 504]
--- logged
504 timeout attempts=2 winner=- delay=50 suppressed=-
503 failed attempts=2 winner=- delay=50 suppressed=-
400 invalid attempts=0 winner=- delay=50 suppressed=-
504 timeout attempts=0 winner=- delay=50 suppressed=-
--- ctl
count?id=c => 0
count?id=d => 0



=== TEST 21: outcome: aborted
--- config
location / { smart_hedge 50ms extra=2; proxy_pass http://u; }
location /late { smart_hedge 60s; proxy_pass http://u; }
location /park { smart_hedge 60s; proxy_pass http://u; }
--- request
GET /?id=0
--- after
for (['/', 'hang', 3, 3], ['/late', 'hang', 1, 1],
     ['/park', 'status:503|hang', 2, 1])
{
    my ($uri, $s, $attempts, $cancelled) = @$_;
    my $c = SmartServer::Client->connect(
        addr => "127.0.0.1:$ENV{TEST_NGINX_SERVER_PORT}");

    $c->request("$uri?id=$uri&s=$s");
    ctl("wait?id=$uri&event=request&count=$attempts");
    $c->close;

    like(ctl("cancelled?id=$uri"),
         qr/^attempts=$attempts done=\d cancelled=$cancelled open=0$/,
         "$name - cancelled, $uri");
}

SmartServer::wait_for(sub { my @lines = access_log(); @lines == 4 }, 2);

is(scalar access_log(), <<'END', "$name - log");
200 primary attempts=1 winner=0 delay=50 suppressed=-
499 aborted attempts=3 winner=- delay=50 suppressed=-
499 aborted attempts=1 winner=- delay=60000 suppressed=-
499 aborted attempts=2 winner=- delay=60000 suppressed=-
END



=== TEST 22: variables in response headers
--- config
location / {
    smart_hedge 50ms extra=2 step=60s; smart_timeout 50s; proxy_pass http://u;
    add_header X-Smart "$smart_outcome,$smart_attempts,$smart_winner,$smart_delay,$smart_suppressed,$smart_attempt" always;
    add_header X-Left $smart_remaining always;
}
--- request eval
['GET /?id=a&s=hang|body:hedge', 'GET /?id=b&s=body:primary',
 'GET /?id=c&s=status:503|status:503;delay:50|status:500']
--- error_code_like eval
[qr/200/, qr/200/, qr/50[03]/]
--- response_headers_like eval
["X-Smart: hedge,2,1,50,,0\nX-Left: 49\\d\\d\\d",
 "X-Smart: primary,1,0,50,,0\nX-Left: (?:50000|49\\d\\d\\d)",
 "X-Smart: failed,3,,50,,0\nX-Left: 49\\d\\d\\d"]



=== TEST 23: $smart_attempt and $smart_remaining of each attempt
--- config
location / {
    smart_hedge 100ms extra=3; smart_timeout 20s; proxy_pass http://u;
    proxy_set_header X-Attempt $smart_attempt;
    proxy_set_header X-Left $smart_remaining;
    proxy_set_header X-Tries $smart_attempts;
}
--- request
GET /?id=a&s=hang|hang|hang|echo
--- error_code: 200
--- after
my @all = sort { $a->{headers}{'x-attempt'} <=> $b->{headers}{'x-attempt'} }
          @{ ctl_json('requests?id=a') };

is(CORE::join(' ', map { $_->{headers}{'x-attempt'} } @all), '0 1 2 3',
   "$name - attempts");

my @left = map { $_->{headers}{'x-left'} } @all;

like($left[0], qr/^(?:20000|19\d\d\d)$/, "$name - left, primary");
like($left[1], qr/^\d{1,5}$/, "$name - left, hedge");
cmp_ok($left[0] - $left[1], '>=', 90, "$name - less for a hedge");
cmp_ok($left[0] - $left[3], '>=', 90, "$name - less for another");



=== TEST 24: $smart_remaining without a deadline
--- config
location / {
    smart_hedge 50ms; proxy_pass http://u;
    proxy_set_header X-Left $smart_remaining;
    add_header X-Left "[$smart_remaining]";
}
--- request
GET /?id=a&s=hang|echo
--- response_headers
X-Left: []
--- response_body_unlike: x-left



=== TEST 25: $upstream_* variables list every attempt
--- http_config
upstream u {
    server $TEST_NGINX_UP1 max_fails=0; server $TEST_NGINX_UP2 max_fails=0;
}
log_format up '$upstream_addr|$upstream_status|$upstream_response_time|'
              '$upstream_connect_time|$upstream_header_time';
--- config
access_log logs/access.log up;
location / { smart_hedge 50ms; proxy_next_upstream off; proxy_pass http://u; }
--- request eval
['GET /?id=a&s=delay:300|hang', 'GET /?id=b', 'GET /?id=c&s=status:503|body:x',
 'GET /?id=d&s=close|delay:20;status:500']
--- error_code eval
[200, 200, 200, 500]
--- after
my ($one, $two) = @ENV{qw( TEST_NGINX_UP1 TEST_NGINX_UP2 )};
my $time = qr/\d+\.\d{3}/;
my @lines = grep { /\|/ } access_log();

like($lines[0], qr/^$one, $two\|200, (?:-|499)\|0\.[3-9]\d\d, 0\.[2-9]\d\d\|/,
     "$name - primary wins");
like($lines[1], qr/^(?:$one|$two)\|200\|$time\|$time\|$time$/, "$name - alone");
like($lines[2], qr/^(?:$one, $two|$two, $one)\|503, 200\|$time, $time\|$time, $time\|$time, $time$/,
     "$name - a failed primary");
like($lines[3], qr/^(?:$one, $two|$two, $one)\|502, 500\|$time, $time\|$time, $time\|-, $time$/,
     "$name - all failed");



=== TEST 26: $upstream_* variables with a cancelled primary
--- http_config
upstream u {
    server $TEST_NGINX_UP1 max_fails=0; server $TEST_NGINX_UP2 max_fails=0;
    server $TEST_NGINX_UP3 max_fails=0;
}
log_format up '$upstream_addr|$upstream_status|$upstream_response_time|'
              '$upstream_bytes_received';
--- config
access_log logs/access.log up;
location / {
    smart_hedge 200ms extra=2 step=200ms; proxy_next_upstream off;
    proxy_pass http://u; add_header X-Up "$upstream_addr $upstream_status";
}
--- request
GET /?id=a&s=hang|hang|bodydelay:200;size:500
--- error_code: 200
--- after
my ($one, $two, $three) = map { $ENV{"TEST_NGINX_UP$_"} } 1 .. 3;
my ($line) = access_log();

like($line, qr/^$one, $two, $three\|\S+, \S+, 200\|\S+, \S+, \S+\|0, 0, \d{3}$/,
     "$name - list");

my ($t1, $t2, $t3) = (split /\|/, $line)[2] =~ /(\d+\.\d+)/g;
cmp_ok($t1, '>', $t2 + 0.1, "$name - the primary took longer");
cmp_ok($t3, '>=', 0.2, "$name - the winner's body counts");



=== TEST 27: the retries of nginx are in the list, too
--- http_config
upstream u {
    server $TEST_NGINX_UP1 max_fails=0; server $TEST_NGINX_UP2 max_fails=0;
    server $TEST_NGINX_UP3 max_fails=0;
}
log_format up '$upstream_addr|$upstream_status|$smart_attempts';
--- config
access_log logs/access.log up;
location / { smart_hedge 50ms; proxy_pass http://u; }
--- request
GET /?id=a&p1=close&p2=hang&p3=body:hedge
--- response_body: hedge
--- after
my ($one, $two, $three) = map { $ENV{"TEST_NGINX_UP$_"} } 1 .. 3;

like(scalar access_log(), qr/^$one, $two, $three\|502, \S+, 200\|2$/, "$name - list");



=== TEST 28: a policy that cannot be hedged and one that can share a location
--- config
location / {
    smart_hedge $arg_h; smart_hedge_methods GET; proxy_pass http://u;
    smart_errors json;
}
--- request eval
["POST /?h=30ms&id=a&s=delay:150;status:503;body:mine|body:hedge\nx",
 "GET /?h=30ms&id=b&s=hang|body:hedge",
 "GET /?h=off&id=c&s=delay:150;status:503;body:mine|body:hedge"]
--- error_code eval
[503, 200, 503]
--- response_body eval
['mine', 'hedge', 'mine']
--- logged
503 failed attempts=1 winner=- delay=30 suppressed=method
200 hedge attempts=2 winner=1 delay=30 suppressed=-
503 bypass attempts=- winner=- delay=- suppressed=-



=== TEST 29: in map, if, a log format and headers
--- http_config
upstream u {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
    server $TEST_NGINX_UP3 max_fails=0;
}
map $smart_outcome $who { default nobody; primary first; hedge second; }
map $smart_attempts $many { volatile; default few; 2 two; 3 three; }
map $upstream_status $how { volatile; default plain; "~, " several; }
log_format all '$who $many $how $smart_outcome $smart_attempts $smart_winner '
               '$smart_delay $smart_suppressed';
--- config
access_log logs/access.log all;
location / {
    smart_hedge 40ms extra=2 step=40ms;
    proxy_next_upstream off;
    if ($many = two) { return 500; }
    if ($smart_winner = 1) { return 500; }
    set $early "$smart_outcome/$smart_attempts";
    add_header X-Many $many;
    add_header X-How "$how $upstream_status";
    add_header X-Early $early;
    proxy_pass http://u;
}
--- request eval
['GET /?id=a&s=body:x', 'GET /?id=b&s=hang|body:x',
 'GET /?id=c&s=status:503|close|body:x']
--- error_code eval
[200, 200, 200]
--- response_headers eval
["X-Many: few\nX-How: plain 200\nX-Early: bypass/",
 "X-Many: two\nX-How: several -, 200\nX-Early: bypass/",
 "X-Many: three\nX-How: several 503, 502, 200\nX-Early: bypass/"]
--- logged
first few plain primary 1 0 40 -
second two several hedge 2 1 40 -
second three several hedge 3 2 40 -
