use SmartTest 'no_plan';
use SmartProtocol;

# memcached_pass: a scripted server, and a real one where there is one

my $large = join '', map { "line $_\n" } 1 .. 420_000;

$ENV{TEST_NGINX_REAL} = SmartProtocol->memcached;
$ENV{TEST_NGINX_MEMCACHED} //= $ENV{TEST_NGINX_DEAD};

SmartProtocol->memcached_set(
    "/?id=a&s=hang" => "real\n", "/?id=b&s=status:503" => "real\n",
    "/?id=c&s=close" => "real\n", "/empty?id=d&s=hang" => '',
    "/large?id=e&s=hang" => $large, "/one?id=f&s=hang" => $large,
    "/range?id=g&s=hang" => '0123456789',
) if $ENV{TEST_NGINX_REAL};

$ENV{TEST_NGINX_LARGE} = SmartProtocol::body_md5($large);

SmartProtocol->cases('memcached');

run_tests();

__DATA__

=== TEST 1: a fast primary is not hedged
--- config
location / { smart_hedge 500ms; memcached_pass u; }
--- request
GET /?id=a&s=body:primary|body:hedge
--- response_headers
Content-Type: text/plain
Content-Length: 7
--- response_body: primary
--- logged
200 primary attempts=1 winner=0
--- ctl
cancelled?id=a => attempts=1 done=1 cancelled=0 open=0



=== TEST 2: a slow primary is hedged, the hedge wins
--- config
location / { smart_hedge 50ms; memcached_pass u; }
location /one { smart_hedge 50ms; memcached_buffer_size 4k; memcached_pass u; }
--- request eval
['GET /?id=a&s=hang|body:hedge', 'GET /one?id=b&s=hang|size:60000',
 'GET /?id=c&s=hang|body:']
--- response_headers eval
['Content-Type: text/plain', 'Content-Length: 60000', 'Content-Length: 0']
--- response_body_like eval
[qr/\Ahedge\z/, qr/\A.{60000}\z/s, qr/\A\z/]
--- error_code eval
[200, 200, 200]
--- logged
200 hedge attempts=2 winner=1
200 hedge attempts=2 winner=1
200 hedge attempts=2 winner=1
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0
cancelled?id=b => attempts=2 done=1 cancelled=1 open=0
cancelled?id=c => attempts=2 done=1 cancelled=1 open=0
--- no_error_log
[error]
[warn]



=== TEST 3: the losers are closed before the winner's body has come
--- config
location / { smart_hedge 50ms extra=2; memcached_pass u; }
--- request eval
['GET /?id=a&s=hang|size:3000;bodydelay:400|hang',
 'GET /?id=b&s=delay:300;size:3000;bodydelay:400|hang|hang']
--- response_body_like eval
[(qr/\A.{3000}\z/s) x 2]
--- error_code eval
[200, 200]
--- ctl
cancelled?id=a => attempts=3 done=1 cancelled=2 open=0
cancelled?id=b => attempts=3 done=1 cancelled=2 open=0
--- after
for my $id (qw( a b )) {
    is(CORE::join(' ', map { $_->{event} }
                       grep { $_->{event} =~ /done|closed/ }
                       @{ ctl_json("json?id=$id") }),
       'closed_by_peer closed_by_peer done', "$name - $id");
}



=== TEST 4: a miss wins by default, of a primary and of a hedge
--- config
location / { smart_hedge 50ms; memcached_pass u; }
--- request eval
['GET /?id=a&s=status:404|body:hedge', 'GET /?id=b&s=hang|status:404',
 'GET /?id=c&s=delay:300;status:404|hang']
--- error_code eval
[404, 404, 404]
--- logged
404 primary attempts=1 winner=0
404 hedge attempts=2 winner=1
404 primary attempts=2 winner=0
--- ctl
cancelled?id=a => attempts=1 done=1 cancelled=0 open=0
cancelled?id=b => attempts=2 done=1 cancelled=1 open=0
cancelled?id=c => attempts=2 done=1 cancelled=1 open=0



=== TEST 5: with smart_success_status 200 a miss has failed
--- config
smart_success_status 200;
location / { smart_hedge 60s extra=2; memcached_pass u; }
location /soon { smart_hedge 50ms extra=2; memcached_pass u; }
--- request eval
['GET /?id=a&s=status:404|hang|body:third',
 'GET /soon?id=b&s=hang|status:404|delay:100;body:third',
 'GET /?id=c&s=status:404']
--- error_code eval
[200, 200, 404]
--- response_body_like eval
[qr/\Athird\z/, qr/\Athird\z/, qr/404 Not Found/]
--- logged eval
qr/\A(?:200 hedge attempts=3 winner=[12]\n){2}404 failed attempts=3 winner=-\n\z/
--- ctl
cancelled?id=a => attempts=3 done=2 cancelled=1 open=0
cancelled?id=b => attempts=3 done=2 cancelled=1 open=0
cancelled?id=c => attempts=3 done=3 cancelled=0 open=0



=== TEST 6: error_page is taken for a miss that wins, once
--- config
location / {
    smart_hedge 50ms;
    memcached_pass u;
    error_page 404 = @filled;
}
location @filled { return 200 "filled\n"; }
--- request eval
['GET /?id=a&s=hang|status:404', 'GET /?id=b&s=status:404']
--- response_body eval
["filled\n", "filled\n"]
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0



=== TEST 7: and where a fallback is hedged, too
--- config
smart_success_status 200;
location / {
    smart_hedge 50ms;
    memcached_pass u;
    error_page 404 502 504 = @origin;
}
location @origin {
    smart_hedge 50ms;
    proxy_pass http://$TEST_NGINX_UP4$uri?s=body:origin;
}
--- request eval
['GET /?id=a&s=status:404', 'GET /?id=b&s=status:503']
--- response_body eval
['origin', 'origin']
--- error_code eval
[200, 200]



=== TEST 8: a primary that fails starts all hedges at once
--- config
location / {
    smart_hedge 60s extra=2;
    memcached_next_upstream off;
    memcached_pass u;
}
--- request eval
[map { "GET /?id=$_&s=$_|hang|body:third" }
     qw( status:503 close reset garbage )]
--- response_body eval
[('third') x 4]
--- error_code eval
[(200) x 4]
--- logged eval
qr/\A(?:200 hedge attempts=3 winner=[12]\n){4}\z/
--- ctl
cancelled?id=status:503 => attempts=3 done=2 cancelled=1 open=0
cancelled?id=close => attempts=3 done=1 cancelled=1 open=0 broken=1
cancelled?id=reset => attempts=3 done=1 cancelled=1 open=0 broken=1
--- no_error_log
smart: failed
--- after
like(error_log(), qr/$_/, "$name - $_")
    for 'prematurely closed', 'memcached sent invalid response';



=== TEST 9: all have failed
--- config
location / {
    smart_hedge 50ms extra=2;
    memcached_next_upstream off;
    memcached_pass u;
}
location /slow {
    smart_hedge 50ms;
    memcached_next_upstream off;
    memcached_read_timeout 200ms;
    memcached_pass u;
}
--- request eval
['GET /?id=a&s=delay:300;status:503|close|status:503', 'GET /?id=b&s=close',
 'GET /slow?id=c&s=hang']
--- error_code eval
[502, 502, 504]
--- logged eval
qr/\A502 failed attempts=3 winner=-\n502 failed attempts=3 winner=-
504 failed attempts=2 winner=-\n\z/
--- after
like(error_log(), qr/smart: failed after \d+ ms, 3 attempts: /,
     "$name - error log");



=== TEST 10: 5 MB through a hedge, and through a primary that was hedged
--- config
location / { smart_hedge 50ms; memcached_pass u; }
location /small { smart_hedge 50ms; memcached_buffer_size 4k; memcached_pass u; }
--- timeout: 30
--- request eval
['GET /?id=a&s=hang|size:5000000,1', 'GET /small?id=b&s=hang|size:5000000,1',
 'GET /?id=c&s=status:503|size:5000000,1',
 'GET /?id=d&s=delay:300;size:5000000,1|hang']
--- response_body_filters eval
\&SmartProtocol::body_md5
--- response_body eval
[(SmartProtocol->md5(5_000_000, 1)) x 4]
--- error_code eval
[(200) x 4]
--- ctl
cancelled?id=a => /attempts=2 .* open=0/
cancelled?id=b => /attempts=2 .* open=0/
cancelled?id=d => /attempts=2 .* open=0/



=== TEST 11: a value that breaks off does so as without hedging
--- config
location / { smart_hedge 50ms; memcached_pass u; }
location /off { memcached_pass u; }
--- request
GET /?id=a&s=hang|size:100000,1;cut:50000
--- ignore_response
--- after
my $off = get('/off?s=size:100000,1;cut:50000');
my $on = get('/?id=b&s=hang|size:100000,1;cut:50000');

is("$on->{size} $on->{complete}", "$off->{size} $off->{complete}",
   "$name - as without");
cmp_ok($on->{size}, '<', 100000, "$name - breaks");
--- error_log
upstream prematurely closed connection



=== TEST 12: HEAD
--- config
location / {
    smart_hedge 50ms;
    memcached_next_upstream off;
    memcached_pass u;
}
--- request eval
['HEAD /?id=a&s=hang|size:5000', 'HEAD /?id=b&s=status:503|size:5000',
 'HEAD /?id=c&s=close|size:5000', 'HEAD /?id=d&s=delay:300;size:5000|hang',
 'HEAD /?id=e&s=hang|status:404']
--- error_code eval
[200, 200, 200, 200, 404]
--- response_headers eval
[('Content-Length: 5000') x 4, '']
--- response_body eval
[('') x 5]
--- ctl
cancelled?id=b => /attempts=2 done=[12] cancelled=[01] open=0/
cancelled?id=e => attempts=2 done=1 cancelled=1 open=0



=== TEST 13: kept connections: winners' are used again, losers' are not
--- http_config
upstream u { server $TEST_NGINX_PEER1 max_fails=0; keepalive 8; }
--- init
SmartProtocol->accepted;
--- config
location / { smart_hedge 100ms; memcached_pass u; }
--- request eval
[map { ("GET /?id=p$_&s=size:1000", "GET /?id=h$_&s=hang|size:1000",
        "GET /?id=m$_&s=hang|status:404", "GET /?id=n$_&s=size:1000") } 1 .. 3]
--- error_code eval
[(200, 200, 404, 200) x 3]
--- ctl
cancelled?id=h1 => attempts=2 done=1 cancelled=1 open=0
cancelled?id=m3 => attempts=2 done=1 cancelled=1 open=0
--- no_error_log
[warn]
--- after
is(SmartProtocol->accepted, 1 + SmartProtocol->losers(qw( p h m n )),
   "$name - a connection and one per loser");



=== TEST 14: a real memcached answers for one that hangs or fails
--- skip_eval: 3: !$ENV{TEST_NGINX_REAL}
--- http_config
upstream u { server $TEST_NGINX_PEER1; server $TEST_NGINX_MEMCACHED; }
--- config
location / { smart_hedge 50ms; memcached_next_upstream off; memcached_pass u; }
--- request eval
['GET /?id=a&s=hang', 'GET /?id=b&s=status:503', 'GET /?id=c&s=close',
 'GET /empty?id=d&s=hang', 'GET /missing?id=m&s=hang']
--- response_body_like eval
[qr/\Areal\n\z/, qr/\Areal\n\z/, qr/\Areal\n\z/, qr/\A\z/, qr/404 Not Found/]
--- error_code eval
[200, 200, 200, 200, 404]
--- ctl
cancelled?id=a => attempts=1 done=0 cancelled=1 open=0
cancelled?id=m => attempts=1 done=0 cancelled=1 open=0



=== TEST 15: 5 MB of a real memcached
--- skip_eval: 3: !$ENV{TEST_NGINX_REAL}
--- http_config
upstream u { server $TEST_NGINX_PEER1; server $TEST_NGINX_MEMCACHED; keepalive 4; }
--- config
location / { smart_hedge 50ms; memcached_pass u; }
location /one { smart_hedge 50ms; memcached_buffer_size 4k; memcached_pass u; }
--- timeout: 30
--- request eval
['GET /large?id=e&s=hang', 'GET /one?id=f&s=hang', 'GET /large?id=e&s=hang']
--- response_body_filters eval
\&SmartProtocol::body_md5
--- response_body eval
[($ENV{TEST_NGINX_LARGE}) x 3]
--- error_code eval
[200, 200, 200]



=== TEST 16: ranges and gzip of a value that a hedge brought
--- skip_eval: 3: !$ENV{TEST_NGINX_REAL}
--- http_config
upstream u { server $TEST_NGINX_PEER1; server $TEST_NGINX_MEMCACHED; }
--- config
location / { smart_hedge 50ms; memcached_pass u; }
--- request
GET /range?id=g&s=hang
--- more_headers
Range: bytes=2-5
--- error_code: 206
--- response_headers
Content-Range: bytes 2-5/10
--- response_body: 2345
