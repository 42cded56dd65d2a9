use SmartTest 'no_plan';

# X-Accel-Redirect: from the primary it is nginx's own; from a hedge the main
# request has to be redirected, through the access phase of the target

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(http_config => <<'CONF');
upstream u {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
    server $TEST_NGINX_UP3 max_fails=0;
}
CONF

    $block->set_value(config => $block->config . <<'CONF');
location / { smart_hedge 50ms extra=2; proxy_pass http://u; }
location /open/ { internal; return 200 "uri=$uri accel=$sent_http_x_accel_redirect"; }
location /secret/ { internal; deny all; root html; }
location @named { return 200 "named method=$request_method"; }
CONF
});

run_tests();

__DATA__

=== TEST 1: by the primary
--- config
--- request
GET /?id=a&s=h:X-Accel-Redirect=/open/x
--- response_body: uri=/open/x accel=
--- ctl
cancelled?id=a => attempts=1 done=1 cancelled=0 open=0



=== TEST 2: by a hedge, twice on one connection
--- config
--- pipelined_requests eval
["GET /?id=a&s=hang|h:X-Accel-Redirect=/open/x|hang",
 "GET /?id=b&s=hang|h:X-Accel-Redirect=/open/y|hang"]
--- response_body eval
["uri=/open/x accel=", "uri=/open/y accel="]
--- ctl
cancelled?id=a => attempts=3 done=1 cancelled=2 open=0
cancelled?id=b => attempts=3 done=1 cancelled=2 open=0



=== TEST 3: by a hedge, to a named location
--- config
--- request
GET /?id=a&s=hang|h:X-Accel-Redirect=@named|hang
--- response_body: named method=GET
--- ctl
cancelled?id=a => attempts=3 done=1 cancelled=2 open=0



=== TEST 4: access rules of the target hold for the primary
--- config
--- user_files
>>> secret/x
secret
--- request
GET /?id=a&s=h:X-Accel-Redirect=/secret/x
--- error_code: 403
--- response_body_unlike: secret



=== TEST 5: and for a hedge
--- config
--- user_files
>>> secret/x
secret
--- request
GET /?id=a&s=hang|h:X-Accel-Redirect=/secret/x|hang
--- error_code: 403
--- response_body_unlike: secret



=== TEST 6: and for a hedge that answers with a failure
--- config
--- user_files
>>> secret/x
secret
--- request
GET /?id=a&s=hang|status:503;h:X-Accel-Redirect=/secret/x|hang
--- error_code: 403
--- response_body_unlike: secret



=== TEST 7: an unsafe target of a hedge is not found
--- config
--- request
GET /?id=a&s=hang|h:X-Accel-Redirect=/open/../../x|hang
--- error_code: 404
--- error_log
unsafe URI



=== TEST 8: ignored where proxy_ignore_headers says so
--- config
proxy_ignore_headers X-Accel-Redirect;
--- request
GET /?id=a&s=hang|h:X-Accel-Redirect=/open/x;body:plain|hang
--- response_body: plain



=== TEST 9: headers that a redirect keeps
--- config
--- request
GET /?id=a&s=hang|h:X-Accel-Redirect=/open/x;h:Set-Cookie=a%253Db;h:X-Lost=1|hang
--- response_headers
Set-Cookie: a=b
X-Lost:
--- response_body: uri=/open/x accel=
