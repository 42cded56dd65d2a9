use SmartTest 'no_plan';
use SmartProtocol;

# fastcgi_pass: what hedge_basic.t shows for HTTP, and what differs

SmartProtocol->start('fastcgi');
SmartProtocol->blocks(config => <<'CONF');
fastcgi_param REQUEST_METHOD $request_method;
fastcgi_param REQUEST_URI $request_uri;
fastcgi_param HTTP_X_ATTEMPT $smart_attempt;
CONF

run_tests();

__DATA__

=== TEST 1: a fast primary is not hedged
--- config
location / { smart_hedge 500ms; fastcgi_pass u; }
--- request
GET /?id=a&s=body:primary|body:hedge
--- response_headers
X-Try: 1
X-Peer: 1
--- response_body: primary
--- logged
200 primary attempts=1 winner=0
--- ctl
cancelled?id=a => attempts=1 done=1 cancelled=0 open=0



=== TEST 2: a slow primary is hedged, the hedge wins
--- config
location / { smart_hedge 50ms; fastcgi_pass u; }
--- request
GET /?id=a&s=hang|body:hedge;status:201;h:X-Own=1;type:text/x-own
--- error_code: 201
--- response_headers
X-Try: 2
X-Peer: 2
X-Own: 1
Content-Type: text/x-own
--- response_body: hedge
--- logged
201 hedge attempts=2 winner=1
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0
--- no_error_log
[error]
[warn]



=== TEST 3: the primary wins although a hedge has been sent
--- config
location / { smart_hedge 50ms; fastcgi_pass u; }
--- request
GET /?id=a&s=delay:500;body:primary|hang
--- response_headers
X-Try: 1
--- response_body: primary
--- logged
200 primary attempts=2 winner=0
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0
--- no_error_log
[error]
[warn]



=== TEST 4: the losers are closed before the winner's body has come
--- config
location / { smart_hedge 50ms extra=2; fastcgi_pass u; }
location /one { smart_hedge 50ms extra=2; fastcgi_buffering off; fastcgi_pass u; }
--- request eval
['GET /?id=a&s=hang|chunked:3,1000,200|hang',
 'GET /one?id=b&s=hang|chunked:3,1000,200|hang',
 'GET /?id=c&s=delay:300;chunked:3,1000,200|hang|hang']
--- response_body_like eval
[(qr/\A.{3000}\z/s) x 3]
--- error_code eval
[(200) x 3]
--- ctl
cancelled?id=a => attempts=3 done=1 cancelled=2 open=0
cancelled?id=b => attempts=3 done=1 cancelled=2 open=0
cancelled?id=c => attempts=3 done=1 cancelled=2 open=0
--- after
for my $id (qw( a b c )) {
    is(join(' ', map { $_->{event} } grep { $_->{event} =~ /done|closed/ }
                 @{ ctl_json("json?id=$id") }),
       'closed_by_peer closed_by_peer done', "$name - $id");
}



=== TEST 5: a primary that fails with a 5xx or 429 starts all hedges at once
--- config
location / { smart_hedge 60s extra=2; fastcgi_pass u; }
--- request eval
[map { "GET /?id=$_&s=status:$_;body:bad|hang|body:third" }
     qw( 429 500 502 503 504 599 )]
--- response_body eval
[('third') x 6]
--- error_code eval
[(200) x 6]
--- logged eval
qr/\A(?:200 hedge attempts=3 winner=[12]\n){6}\z/
--- ctl
cancelled?id=429 => attempts=3 done=2 cancelled=1 open=0
cancelled?id=500 => attempts=3 done=2 cancelled=1 open=0
cancelled?id=503 => attempts=3 done=2 cancelled=1 open=0
cancelled?id=599 => attempts=3 done=2 cancelled=1 open=0
--- no_error_log
[error]



=== TEST 6: a primary that fails without an answer starts all hedges at once
--- config
location / {
    smart_hedge 60s extra=2;
    fastcgi_next_upstream off;
    fastcgi_pass u;
}
--- request eval
[map { "GET /?id=$_&s=$_|hang|body:third" }
     qw( close reset cuthead badhead garbage )]
--- response_body eval
[('third') x 5]
--- error_code eval
[(200) x 5]
--- logged eval
qr/\A(?:200 hedge attempts=3 winner=[12]\n){5}\z/
--- ctl
cancelled?id=close => attempts=3 done=1 cancelled=1 open=0 broken=1
cancelled?id=reset => attempts=3 done=1 cancelled=1 open=0 broken=1
cancelled?id=cuthead => attempts=3 done=1 cancelled=1 open=0 broken=1
--- no_error_log
smart: failed
--- after
like(error_log(), qr/upstream $_/, "$name - upstream $_")
    for 'prematurely closed connection', 'sent invalid header',
        'sent unsupported FastCGI protocol version';



=== TEST 7: the first peer refuses connections
--- http_config
upstream u { server $TEST_NGINX_DEAD; server $TEST_NGINX_PEER2; }
--- config
location / {
    smart_hedge 60s;
    fastcgi_next_upstream off;
    fastcgi_pass u;
}
--- request
GET /?id=a&s=body:hedge
--- response_body: hedge
--- logged
200 hedge attempts=2 winner=1
--- error_log
Connection refused
--- no_error_log
smart: failed



=== TEST 8: the first peer swallows connections
--- http_config
upstream u { server $TEST_NGINX_BLACKHOLE; server $TEST_NGINX_PEER2; }
--- config
location / { smart_hedge 50ms; fastcgi_pass u; }
--- request
GET /?id=a&s=body:hedge
--- response_body: hedge
--- logged
200 hedge attempts=2 winner=1



=== TEST 9: the last failure is passed on where all have failed
--- config
location / {
    smart_hedge 60s extra=2;
    fastcgi_next_upstream off;
    fastcgi_pass u;
}
location /slow {
    smart_hedge 50ms;
    fastcgi_next_upstream off;
    fastcgi_read_timeout 200ms;
    fastcgi_pass u;
}
--- request eval
['GET /?id=a&s=status:500|status:501|delay:900;status:503;body:last',
 'GET /?id=b&s=close', 'GET /slow?id=c&s=hang']
--- error_code eval
[503, 502, 504]
--- response_body_like eval
[qr/\Alast\z/, qr/502 Bad Gateway/, qr/504 Gateway Time-out/]
--- logged eval
qr/\A503 failed attempts=3 winner=-\n502 failed attempts=3 winner=-
504 failed attempts=2 winner=-\n\z/
--- ctl
cancelled?id=a => attempts=3 done=3 cancelled=0 open=0
cancelled?id=b => attempts=3 done=0 cancelled=0 open=0 broken=3
cancelled?id=c => attempts=2 done=0 cancelled=2 open=0
--- after
like(error_log(), qr/smart: failed after \d+ ms, 3 attempts: /, "$name - error log");



=== TEST 10: 5 MB through a hedge, and through a primary that was hedged
--- config
location /hedge/ { smart_hedge 50ms; fastcgi_pass u; }
location /hedge/one { smart_hedge 50ms; fastcgi_buffering off; fastcgi_pass u; }
location /primary/ { smart_hedge 50ms; fastcgi_pass u; }
location /primary/one { smart_hedge 50ms; fastcgi_buffering off; fastcgi_pass u; }
--- timeout: 30
--- request eval
[(map { ("GET /hedge/$_?id=$_-l&s=hang|size:5000000,1",
         "GET /hedge/$_?id=$_-c&s=hang|size:5000000,1;chunked",
         "GET /hedge/$_?id=$_-n&s=hang|size:5000000,1;nolen") }
      qw( all one )),
 (map { "GET /primary/$_?id=$_-p&s=delay:300;size:5000000,1|hang" }
      qw( all one ))]
--- response_body_filters eval
\&SmartProtocol::body_md5
--- response_body eval
[(SmartProtocol->md5(5_000_000, 1)) x 8]
--- error_code eval
[(200) x 8]
--- ctl
cancelled?id=all-l => /attempts=2 .* open=0/
cancelled?id=one-l => /attempts=2 .* open=0/
cancelled?id=one-p => /attempts=2 .* open=0/



=== TEST 11: a body that breaks off does so as without hedging
--- config
location / { smart_hedge 50ms; fastcgi_pass u; }
location /one { smart_hedge 50ms; fastcgi_buffering off; fastcgi_pass u; }
location /off { fastcgi_pass u; }
location /off/one { fastcgi_buffering off; fastcgi_pass u; }
--- request eval
["GET /?id=a&s=hang|size:100000,1;cut:50000",
 "GET /one?id=b&s=hang|size:100000,1;cut:50000"]
--- error_code eval
[200, 200]
--- ignore_response
--- ctl
cancelled?id=a => attempts=2 done=0 cancelled=1 open=0 broken=1
cancelled?id=b => attempts=2 done=0 cancelled=1 open=0 broken=1
--- after
for my $body ('size:100000,1', 'size:100000,1;chunked') {
    for my $uri ('/', '/one') {
        my $off = get("/off$uri?s=$body;cut:50000");
        my $on = get("$uri?id=$uri-$body&s=hang|$body;cut:50000");

        is("$on->{size} $on->{complete}", "$off->{size} $off->{complete}",
           "$name - $uri $body");
        cmp_ok($on->{size}, '<', 100000, "$name - $uri $body breaks");
    }
}



=== TEST 12: HEAD
--- config
location / {
    smart_hedge 50ms;
    fastcgi_next_upstream off;
    fastcgi_pass u;
}
location /one {
    smart_hedge 50ms;
    fastcgi_next_upstream off;
    fastcgi_buffering off;
    fastcgi_pass u;
}
--- request eval
[map { ("HEAD $_?id=$_-a&s=hang|size:5000",
        "HEAD $_?id=$_-b&s=status:503|size:5000",
        "HEAD $_?id=$_-c&s=close|size:5000",
        "HEAD $_?id=$_-d&s=delay:300;size:5000|hang") } qw( / /one )]
--- error_code eval
[(200) x 8]
--- response_headers eval
[(("X-Try: 2\nContent-Length: 5000") x 3,
  "X-Try: 1\nContent-Length: 5000") x 2]
--- response_body eval
[('') x 8]
--- ctl
cancelled?id=/-a => attempts=2 done=1 cancelled=1 open=0
cancelled?id=/one-d => attempts=2 done=1 cancelled=1 open=0



=== TEST 13: POST is not hedged
--- config
location / { smart_hedge 50ms; fastcgi_pass u; }
--- request
POST /?id=a&s=delay:300;body:primary|body:hedge
hello
--- response_body: primary
--- logged
200 primary attempts=1 winner=0
--- ctl
count?id=a => 1



=== TEST 14: where POST is allowed its body goes with each attempt
--- config
smart_hedge_methods GET POST;
client_body_buffer_size 16k;
location / {
    smart_hedge 50ms extra=2;
    fastcgi_next_upstream off;
    fastcgi_pass u;
}
location /now {
    smart_hedge 50ms extra=2;
    fastcgi_next_upstream off;
    fastcgi_request_buffering off;
    fastcgi_pass u;
}
--- request eval
['POST /?id=a&s=hang|hang|delay:100;body:third' . "\nhello",
 'POST /?id=b&s=close|hang|delay:100;body:third' . "\n" . 'x' x 300_000,
 'POST /now?id=c&s=status:503|hang|delay:100;body:third' . "\n"
     . 'x' x 300_000]
--- response_body eval
[('third') x 3]
--- error_code eval
[(200) x 3]
--- ctl
cancelled?id=a => attempts=3 done=1 cancelled=2 open=0
--- after
for my $id (qw( a b c )) {
    my $body = $id eq 'a' ? 'hello' : 'x' x 300_000;

    is(join(' ', map { "$_->{method} $_->{body_md5}" }
                     @{ ctl_json("requests?id=$id") }),
       join(' ', ('POST ' . SmartProtocol::body_md5($body)) x 3),
       "$name - $id");
}



=== TEST 15: each attempt has its own index
--- config
location / { smart_hedge 50ms extra=2; fastcgi_pass u; }
--- request
GET /?id=a&s=hang|hang|delay:100;body:third
--- response_body: third
--- after
is(join(' ', sort map { $_->{headers}{'x-attempt'} }
                      @{ ctl_json('requests?id=a') }),
   '0 1 2', "$name - indexes");



=== TEST 16: kept connections: winners' are used again, losers' are not
--- http_config
upstream u { server $TEST_NGINX_PEER1 max_fails=0; keepalive 8; }
--- init
SmartProtocol->accepted;
--- config
fastcgi_keep_conn on;
location / { smart_hedge 100ms; fastcgi_pass u; }
location /one { smart_hedge 100ms; fastcgi_buffering off; fastcgi_pass u; }
--- request eval
[map { ("GET /?id=p$_&s=size:1000", "GET /?id=h$_&s=hang|size:1000",
        "GET /one?id=o$_&s=hang|size:1000;chunked") } 1 .. 3]
--- response_body_like eval
[(qr/\A.{1000}\z/s) x 9]
--- error_code eval
[(200) x 9]
--- ctl
cancelled?id=h1 => attempts=2 done=1 cancelled=1 open=0
cancelled?id=o3 => attempts=2 done=1 cancelled=1 open=0
--- no_error_log
[error]
[warn]
--- after
is(SmartProtocol->accepted, 7, "$name - a connection and one per loser");



=== TEST 17: an intercepted 404 wins, with its page
--- config
location / {
    smart_hedge 50ms;
    fastcgi_intercept_errors on;
    fastcgi_pass u;
    error_page 404 /none.html;
}
location = /none.html { return 200 "page\n"; }
--- request
GET /x?id=a&s=hang|status:404;body:bad
--- error_code: 404
--- response_body
page
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0



=== TEST 18: X-Accel-Redirect of a hedge
--- config
location / { smart_hedge 50ms; fastcgi_pass u; }
location /inner { internal; return 200 "inner\n"; }
--- request
GET /?id=a&s=hang|h:X-Accel-Redirect=/inner;h:X-Own=1
--- response_body
inner
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0



=== TEST 19: a hedge fills the cache, and a cached answer needs none
--- http_config
upstream u { server $TEST_NGINX_PEER1; server $TEST_NGINX_PEER2; }
fastcgi_cache_path html/cache keys_zone=c:1m;
fastcgi_cache_key $request_uri;
fastcgi_cache_valid 200 1m;
--- config
location / {
    smart_hedge 50ms;
    fastcgi_cache c;
    fastcgi_cache_lock on;
    fastcgi_pass u;
    add_header X-Cache $upstream_cache_status;
}
--- timeout: 30
--- pipelined_requests eval
["GET /?id=a&s=hang|body:hedge|body:third",
 "GET /?id=a&s=hang|body:hedge|body:third",
 "GET /?id=b&s=status:503|size:5000000,2|hang",
 "GET /?id=b&s=status:503|size:5000000,2|hang"]
--- response_headers eval
["X-Cache: MISS", "X-Cache: HIT", "X-Cache: MISS", "X-Cache: HIT"]
--- response_body_filters eval
\&SmartProtocol::body_md5
--- response_body eval
[(SmartProtocol::body_md5('hedge')) x 2, (SmartProtocol->md5(5_000_000, 2)) x 2]
--- logged
200 hedge attempts=2 winner=1
200 bypass attempts=0 winner=-
200 hedge attempts=2 winner=1
200 bypass attempts=0 winner=-
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0
cancelled?id=b => attempts=2 done=2 cancelled=0 open=0



=== TEST 20: a failed hedge does not beat a primary that is still alive
--- config
location / {
    smart_hedge 20ms extra=3;
    fastcgi_next_upstream off;
    fastcgi_pass u;
}
--- request
GET /?id=a&s=delay:500;body:primary|status:503|close|delay:50;status:503
--- response_headers
X-Try: 1
--- response_body: primary
--- logged
200 primary attempts=4 winner=0
--- ctl
cancelled?id=a => attempts=4 done=3 cancelled=0 open=0 broken=1
--- no_error_log
smart: failed



=== TEST 21: each attempt has what the location's pattern has captured
--- config
location ~ ^/(?<name>[^/]+)\.php(/.*)$ {
    smart_hedge 50ms extra=2;
    fastcgi_split_path_info ^(/[^/]+\.php)(/.*)$;
    fastcgi_param REQUEST_METHOD $request_method;
    fastcgi_param REQUEST_URI $request_uri;
    fastcgi_param HTTP_X_NAME $name;
    fastcgi_param HTTP_X_REST $2;
    fastcgi_param HTTP_X_NAME_OF $fastcgi_script_name;
    fastcgi_param HTTP_X_PATH_INFO $fastcgi_path_info;
    fastcgi_pass u;
}
--- request
GET /a.php/b%20c?id=a&s=hang|status:503|delay:100;body:third
--- response_body: third
--- after
my %seen;

$seen{$_}++ for map { "$_->{headers}{'x-name'} $_->{headers}{'x-rest'} "
                   . "$_->{headers}{'x-name-of'} $_->{headers}{'x-path-info'}" }
                      @{ ctl_json('requests?id=a') };
is_deeply(\%seen, { 'a /b c /a.php /b c' => 3 }, "$name - parameters");
