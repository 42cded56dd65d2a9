use SmartTest 'no_plan';

# hedging where answers are cached

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(http_config => <<'CONF');
upstream u {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
    server $TEST_NGINX_UP3 max_fails=0;
}
proxy_cache_path html/cache keys_zone=c:1m;
log_format smart '$status $smart_outcome attempts=$smart_attempts '
                 'cache=$upstream_cache_status';
CONF

    $block->set_value(config => "access_log logs/access.log smart;\n"
                                . $block->config . <<'CONF');
location / {
    smart_hedge 50ms;
    proxy_cache c;
    proxy_cache_valid 200 1m;
    proxy_pass http://u;
}
location /locked/ {
    smart_hedge 50ms;
    proxy_cache c;
    proxy_cache_valid 200 1m;
    proxy_cache_lock on;
    proxy_pass http://u;
}
location /stale/ {
    smart_hedge 50ms;
    proxy_cache c;
    proxy_cache_valid 200 1s;
    proxy_cache_use_stale updating error;
    proxy_pass http://u;
}
CONF
});

run_tests();

__DATA__

=== TEST 1: a hedge fills the cache
--- config
--- pipelined_requests eval
["GET /?id=a&s=hang|body:hedge|body:third",
 "GET /?id=a&s=hang|body:hedge|body:third"]
--- response_body eval
["hedge", "hedge"]
--- logged
200 hedge attempts=2 cache=MISS
200 bypass attempts=0 cache=HIT
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0



=== TEST 2: an empty answer of a hedge, from the cache, too
--- config
--- pipelined_requests eval
["GET /?id=a&s=hang|body:;h:X-Empty=1|body:third",
 "GET /?id=a&s=hang|body:;h:X-Empty=1|body:third"]
--- response_body eval
["", ""]



=== TEST 3: a filter that refuses the answer while the primary is alive
--- config
--- request
GET /?id=a&s=h:ETag=%2522y%2522;body:x
--- more_headers
If-Match: "x"
--- error_code: 412
--- logged
412 primary attempts=1 cache=MISS



=== TEST 4: and one that refuses the answer of a hedge
--- config
--- request
GET /?id=a&s=hang|h:ETag=%2522y%2522;body:x
--- more_headers
If-Match: "x"
--- error_code: 412
--- logged
412 hedge attempts=2 cache=MISS



=== TEST 5: a hedge does not wait for its primary's lock
--- config
--- pipelined_requests eval
["GET /locked/?id=a&s=hang|body:hedge|body:third",
 "GET /locked/?id=a&s=hang|body:hedge|body:third"]
--- response_body eval
["hedge", "hedge"]
--- logged
200 hedge attempts=2 cache=MISS
200 bypass attempts=0 cache=HIT
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0



=== TEST 6: a failed primary gives the lock up, a hedge fills the entry
--- config
--- pipelined_requests eval
["GET /locked/?id=a&s=status:503|delay:30;body:hedge|body:third",
 "GET /locked/?id=a&s=status:503|delay:30;body:hedge|body:third"]
--- response_body eval
["hedge", "hedge"]
--- ctl
cancelled?id=a => attempts=2 done=2 cancelled=0 open=0



=== TEST 7: a primary that wins keeps its entry
--- config
--- pipelined_requests eval
["GET /locked/?id=a&s=delay:200;body:primary|hang",
 "GET /locked/?id=a&s=delay:200;body:primary|hang"]
--- response_body eval
["primary", "primary"]
--- logged
200 primary attempts=2 cache=MISS
200 bypass attempts=0 cache=HIT
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0



=== TEST 8: an expired entry is fetched by a hedge, not served stale by it
--- config
location = /sleep { proxy_pass http://$TEST_NGINX_UP1/?s=delay:1000; proxy_read_timeout 5s; }
location = /sleep2 { proxy_pass http://$TEST_NGINX_UP1/?s=delay:1000; proxy_read_timeout 5s; }
--- timeout: 10
--- pipelined_requests eval
["GET /stale/?id=a&s=body:old|hang|body:new|hang",
 "GET /sleep", "GET /sleep2",
 "GET /stale/?id=a&s=body:old|hang|body:new|hang",
 "GET /stale/?id=a&s=body:old|hang|body:new|hang"]
--- response_body eval
["old", "ok\n", "ok\n", "new", "new"]



=== TEST 9: a refused answer leads to another hedged location
--- config
location /refused/ {
    smart_hedge 5s;
    proxy_cache c;
    proxy_cache_valid 200 1m;
    error_page 412 /fallback;
    proxy_pass http://u;
}
location = /fallback {
    internal;
    smart_hedge 5s;
    proxy_pass http://$TEST_NGINX_UP1/?s=body:fallback;
}
--- request
GET /refused/?id=a&s=h:ETag=%2522y%2522;body:x
--- more_headers
If-Match: "x"
--- error_code: 412
--- response_body: fallback



=== TEST 10: the same with the answer of a hedge, twice
--- config
location /refused/ {
    smart_hedge 50ms;
    proxy_cache c;
    proxy_cache_valid 200 1m;
    error_page 412 /fallback;
    proxy_pass http://u;
}
location = /fallback {
    internal;
    smart_hedge 5s;
    proxy_pass http://$TEST_NGINX_UP1/?s=body:fallback;
}
--- request eval
["GET /refused/?id=a&s=hang|h:ETag=%2522y%2522;body:x",
 "GET /refused/?id=b&s=hang|h:ETag=%2522y%2522;body:x"]
--- more_headers
If-Match: "x"
--- error_code eval
[412, 412]
--- response_body eval
["fallback", "fallback"]
--- ctl
cancelled?id=b => attempts=2 done=1 cancelled=1 open=0



=== TEST 11: an error that a hedge brought stays cached
--- config
location /negative/ {
    smart_hedge 50ms;
    proxy_cache c;
    proxy_cache_valid 404 1m;
    proxy_intercept_errors on;
    error_page 404 /404;
    proxy_pass http://u;
}
location = /404 { internal; return 404 "page"; }
--- pipelined_requests eval
["GET /negative/?id=a&s=hang|status:404", "GET /negative/?id=a&s=hang|status:404"]
--- error_code eval
[404, 404]
--- response_body eval
["page", "page"]
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0



=== TEST 12: an update in the background is not hedged, its failure drops nothing
--- config
location = /sleep { proxy_pass http://$TEST_NGINX_UP1/?s=delay:1000; proxy_read_timeout 5s; }
location = /sleep2 { proxy_pass http://$TEST_NGINX_UP1/?s=delay:1000; proxy_read_timeout 5s; }
location /background/ {
    smart_hedge 50ms;
    proxy_cache c;
    proxy_cache_valid 200 1s;
    proxy_cache_use_stale updating error;
    proxy_cache_background_update on;
    proxy_next_upstream off;
    proxy_pass http://u;
}
--- timeout: 10
--- pipelined_requests eval
my $get = 'GET /background/?id=a&s=hang|body:old|close|delay:300;body:new|hang';
[$get, 'GET /sleep', 'GET /sleep2', ($get) x 3]
--- response_body eval
["old", "ok\n", "ok\n", "old", "old", "new"]
--- logged
200 hedge attempts=2 cache=MISS
200 - attempts=- cache=-
200 - attempts=- cache=-
200 bypass attempts=0 cache=STALE
200 bypass attempts=0 cache=STALE
200 bypass attempts=0 cache=HIT
--- ctl
cancelled?id=a => attempts=4 done=2 cancelled=1 open=0 broken=1



=== TEST 13: a failure is no entry while others may succeed, the last one is
--- config
location /negative/ {
    smart_hedge 50ms extra=2;
    smart_hedge_budget off;
    proxy_cache c;
    proxy_cache_valid 404 502 503 1m;
    proxy_intercept_errors on;
    proxy_next_upstream off;
    error_page 404 503 /404;
    proxy_pass http://u;
}
location = /404 { internal; return 404 "page"; }
--- pipelined_requests eval
[map { ("GET /negative/?id=$_") x 2 }
     'a&s=delay:300;status:404|hang|hang',
     'b&s=close|hang|delay:200;status:404',
     'c&s=hang|close|delay:200;status:404',
     'd&s=status:503|hang|delay:200;status:404',
     'e&s=hang|status:503|delay:200;status:404',
     'f&s=delay:300;close|delay:100;close|close',
     'g&s=delay:300;status:503|delay:100;status:503|status:503']
--- error_code eval
[(404) x 10, (502) x 2, (503) x 2]
--- response_body_like eval
[(qr/^page$/) x 10, (qr/502 Bad Gateway/) x 2, (qr/^page$/) x 2]
--- logged
404 primary attempts=3 cache=MISS
404 bypass attempts=0 cache=HIT
404 hedge attempts=3 cache=MISS
404 bypass attempts=0 cache=HIT
404 hedge attempts=3 cache=MISS
404 bypass attempts=0 cache=HIT
404 hedge attempts=3 cache=MISS
404 bypass attempts=0 cache=HIT
404 hedge attempts=3 cache=MISS
404 bypass attempts=0 cache=HIT
502 failed attempts=3 cache=MISS
502 bypass attempts=0 cache=HIT
503 failed attempts=3 cache=MISS
503 bypass attempts=0 cache=HIT
--- ctl
cancelled?id=a => attempts=3 done=1 cancelled=2 open=0
cancelled?id=b => attempts=3 done=1 cancelled=1 open=0 broken=1
cancelled?id=c => attempts=3 done=1 cancelled=1 open=0 broken=1
cancelled?id=d => attempts=3 done=2 cancelled=1 open=0
cancelled?id=e => attempts=3 done=2 cancelled=1 open=0
cancelled?id=f => attempts=3 done=0 cancelled=0 open=0 broken=3
cancelled?id=g => attempts=3 done=3 cancelled=0 open=0
