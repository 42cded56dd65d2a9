use SmartTest 'no_plan';
use SmartProtocol;

# fastcgi_pass: what hedge_basic.t shows for HTTP, and what differs

SmartProtocol->cases('fastcgi');

run_tests();

__DATA__

=== TEST 1: kept connections: winners' are used again, losers' are not
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
is(SmartProtocol->accepted, 1 + SmartProtocol->losers(qw( p h o )),
   "$name - a connection and one per loser");



=== TEST 2: a hedge fills the cache, and a cached answer needs none
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



=== TEST 3: each attempt has what the location's pattern has captured
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
