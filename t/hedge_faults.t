use SmartTest 'no_plan';

# where an attempt fails in an unusual place

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(http_config => ($block->http_config // '') . <<'CONF');
log_format smart '$status $smart_outcome attempts=$smart_attempts '
                 'suppressed=$smart_suppressed upstream=$upstream_addr';
CONF

    $block->set_value(config => "access_log logs/access.log smart;\n"
                                . $block->config);
    $block->set_value(logged_filter => sub {
        $_[0] =~ s/127\.0\.0\.1:\d+/PEER/gr
    });
});

run_tests();

__DATA__

=== TEST 1: a deadline while a body is read, before an upstream of a variable
--- no_ctl
--- config
location / {
    smart_timeout 300ms;
    proxy_pass http://$arg_up;
}
--- raw_request eval
"POST /?up=$ENV{TEST_NGINX_UP1}&id=a&s=hang HTTP/1.1\r
Host: localhost\r
Connection: close\r
Content-Length: 10\r
\r
12345"
--- error_code: 504
--- logged
504 timeout attempts=0 suppressed=- upstream=-



=== TEST 2: a deadline of such an upstream after the body came in parts
--- no_ctl
--- config
location / {
    smart_timeout 600ms;
    proxy_pass http://$arg_up;
}
--- raw_request eval
["POST /?up=$ENV{TEST_NGINX_UP1}&id=a&s=hang HTTP/1.1\r
Host: localhost\r
Connection: close\r
Content-Length: 10\r
\r
12345", "67890"]
--- raw_request_middle_delay: 0.1
--- error_code: 504
--- logged
504 timeout attempts=1 suppressed=- upstream=PEER
--- error_log eval
qr/1 attempt: \S+ cancelled after \d{1,3} ms/
--- ctl
cancelled?id=a => attempts=1 done=0 cancelled=1 open=0



=== TEST 3: what an intercepted failure left behind
--- http_config
upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; }
--- config
location / {
    smart_hedge 5s;
    smart_success_status 2xx;
    proxy_intercept_errors on;
    error_page 401 /401;
    proxy_pass http://u;
}
--- request
GET /?id=a&s=status:401;h:WWW-Authenticate=Basic|body:hedge
--- response_headers
WWW-Authenticate:
--- response_body: hedge
--- logged
200 hedge attempts=2 suppressed=- upstream=PEER, PEER



=== TEST 4: an intercepted failure of all keeps its challenge
--- http_config
upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; }
--- config
location / {
    smart_hedge 5s;
    smart_success_status 2xx;
    proxy_intercept_errors on;
    error_page 401 /401;
    proxy_pass http://u;
}
location = /401 { internal; return 401 "page"; }
--- request
GET /?id=a&s=status:401;h:WWW-Authenticate=Basic
--- error_code: 401
--- response_headers
WWW-Authenticate: Basic
--- response_body: page



=== TEST 5: no hedge where a backup server is being asked
--- http_config
upstream u {
    server $TEST_NGINX_DEAD max_fails=1 fail_timeout=1m;
    server $TEST_NGINX_UP2 backup;
    server $TEST_NGINX_UP3 backup;
}
--- config
location / {
    smart_hedge 50ms;
    proxy_pass http://u;
}
--- request
GET /?id=a&s=delay:400;body:backup
--- response_body: backup
--- logged
200 primary attempts=1 suppressed=no_peer upstream=PEER, PEER
--- ctl
cancelled?id=a => attempts=1 done=1 cancelled=0 open=0



=== TEST 6: deadlines of clients' choice charge no peer
--- http_config
upstream u {
    server $TEST_NGINX_BLACKHOLE max_fails=1 fail_timeout=1m;
    server $TEST_NGINX_UP1;
}
--- config
location / {
    smart_timeout $arg_timeout;
    proxy_pass http://u;
}
--- pipelined_requests eval
["GET /?timeout=80", "GET /?timeout=900", "GET /?timeout=80"]
--- error_code eval
[504, 200, 504]



=== TEST 7: while a peer that took no connection for long is charged
--- http_config
upstream u {
    server $TEST_NGINX_BLACKHOLE max_fails=1 fail_timeout=1m;
    server $TEST_NGINX_UP1;
}
--- config
location / {
    smart_timeout $arg_timeout;
    proxy_pass http://u;
}
--- pipelined_requests eval
["GET /?timeout=1200", "GET /?timeout=900", "GET /?timeout=80"]
--- error_code eval
[504, 200, 200]
