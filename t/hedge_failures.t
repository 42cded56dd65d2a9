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

=== TEST 1: all failed: the last failure as it came, a hedge's
--- config
location / { smart_hedge 60s; proxy_pass http://u; }
--- request
GET /?id=a&s=status:503;body:first;h:X-First=1|delay:100;status:500;body:second;type:text/x;h:X-Last=2
--- error_code: 500
--- response_headers
X-Try: 2
X-Last: 2
X-First:
Content-Type: text/x
--- response_body: second
--- logged
500 failed attempts=2 winner=- delay=60000 suppressed=-
--- ctl
cancelled?id=a => attempts=2 done=2 cancelled=0 open=0
--- grep_error_log eval
qr/\[error\] .*?smart: .*?(?= while |, client)/
--- grep_error_log_out eval
qr/\A.*smart: failed after \d+ ms, 2 attempts: \S+:\d+ answered 503, \S+:\d+ answered 500\n\z/



=== TEST 2: all failed: the last failure as it came, the primary's
--- config
location / { smart_hedge 30ms; proxy_pass http://u; }
--- request
GET /?id=a&s=delay:300;status:503;body:first;h:X-First=1|status:500;body:second;h:X-Last=2
--- error_code: 503
--- response_headers
X-Try: 1
X-First: 1
X-Last:
--- response_body: first
--- logged
503 failed attempts=2 winner=- delay=30 suppressed=-
--- grep_error_log eval
qr/\[error\] .*?smart: .*?(?= while |, client)/
--- grep_error_log_out eval
qr/\A.*smart: failed after \d+ ms, 2 attempts: \S+ answered 503, \S+ answered 500\n\z/



=== TEST 3: all failed, the last of three: the one in the middle
--- config
location / {
    smart_hedge 30ms extra=2; proxy_next_upstream off; proxy_pass http://u;
}
--- request
GET /?id=a&s=status:503;body:first|delay:300;status:502;body:second|close
--- error_code: 502
--- response_headers
X-Try: 2
--- response_body: second
--- logged
502 failed attempts=3 winner=- delay=30 suppressed=-
--- ctl
cancelled?id=a => attempts=3 done=2 cancelled=0 open=0 broken=1
--- grep_error_log eval
qr/smart: .*?(?= while |, client)/
--- grep_error_log_out eval
qr/\Asmart: failed after \d+ ms, 3 attempts: \S+ answered 503, (?:\S+ answered 502, \S+ connection closed|\S+ connection closed, \S+ answered 502)\n\z/



=== TEST 4: all failed, the last without an answer: nginx's own page
--- config
location / {
    smart_hedge 60s; proxy_next_upstream off; proxy_pass http://u;
}
--- request
GET /?id=a&s=status:503;body:first;h:X-First=1|delay:50;close
--- error_code: 502
--- response_headers
X-Try:
X-First:
Content-Type: text/html
--- response_body_like: <title>502 Bad Gateway</title>
--- logged
502 failed attempts=2 winner=- delay=60000 suppressed=-
--- grep_error_log eval
qr/smart: .*?(?= while |, client)/
--- grep_error_log_out eval
qr/\Asmart: failed after \d+ ms, 2 attempts: \S+ answered 503, \S+ connection closed\n\z/



=== TEST 5: all failed, the primary the last without an answer
--- config
location / {
    smart_hedge 30ms; proxy_next_upstream off; proxy_pass http://u;
}
--- request
GET /?id=a&s=delay:300;close|status:503;body:second
--- error_code: 502
--- response_headers
X-Try:
Content-Type: text/html
--- response_body_like: <title>502 Bad Gateway</title>
--- logged
502 failed attempts=2 winner=- delay=30 suppressed=-
--- grep_error_log eval
qr/smart: .*?(?= while |, client)/
--- grep_error_log_out eval
qr/\Asmart: failed after \d+ ms, 2 attempts: \S+ connection closed, \S+ answered 503\n\z/



=== TEST 6: all failed, a hedge timed out last: 504 of nginx
--- config
location / {
    smart_hedge 60s; proxy_next_upstream off; proxy_read_timeout 200ms;
    proxy_pass http://u;
}
--- request
GET /?id=a&s=status:503|hang
--- error_code: 504
--- response_body_like: <title>504 Gateway Time-out</title>
--- logged
504 failed attempts=2 winner=- delay=60000 suppressed=-
--- grep_error_log eval
qr/smart: .*?(?= while |, client)/
--- grep_error_log_out eval
qr/\Asmart: failed after \d+ ms, 2 attempts: \S+ answered 503, \S+ timed out\n\z/



=== TEST 7: all refused
--- http_config
upstream u { server $TEST_NGINX_DEAD; server $TEST_NGINX_DEAD; }
--- config
location / {
    smart_hedge 60s; proxy_next_upstream off; proxy_pass http://u;
}
--- request
GET /
--- error_code: 502
--- response_body_like: <title>502 Bad Gateway</title>
--- logged
502 failed attempts=2 winner=- delay=60000 suppressed=-
--- grep_error_log eval
qr/smart: .*?(?= while |, client)/
--- grep_error_log_out eval
qr/\Asmart: failed after \d+ ms, 2 attempts: (\S+) connection failed, \1 connection failed\n\z/



=== TEST 8: an attempt that failed alone is no line of ours
--- config
location / { smart_hedge off; proxy_pass http://u; }
location /h {
    smart_hedge 60s; smart_hedge_methods HEAD; proxy_pass http://u;
}
--- request eval
['GET /?s=status:503', 'GET /h?s=status:503']
--- error_code eval
[503, 503]
--- no_error_log
smart:



=== TEST 9: the error page of nginx is taken once
--- config
error_page 502 /fallback;
location / {
    smart_hedge 60s extra=2; proxy_next_upstream off; proxy_pass http://u;
}
location = /fallback {
    smart_hedge off;
    proxy_pass http://u/?id=fb&s=body:page;
}
--- request
GET /?id=a&s=close|close|delay:50;close
--- error_code: 502
--- response_body: page
--- logged
502 failed attempts=3 winner=- delay=60000 suppressed=-
--- ctl
count?id=a => 3
count?id=fb => 1
--- grep_error_log eval
qr/smart: \w+/
--- grep_error_log_out
smart: failed



=== TEST 10: error_page with another status, static
--- config
location / {
    smart_hedge 60s; proxy_next_upstream off; proxy_pass http://u;
    error_page 502 =200 /static.html;
}
location = /static.html { root html; }
--- user_files
>>> static.html
static
--- request
GET /?id=a&s=status:503;type:text/y;h:X-First=1;h:Set-Cookie=a%253Db|close
--- response_headers
X-First:
Set-Cookie:
Content-Type: text/html
--- response_body
static



=== TEST 11: error_page with a named location
--- config
location / {
    smart_hedge 60s; proxy_next_upstream off; proxy_pass http://u;
    error_page 502 504 = @fb;
}
location @fb {
    smart_hedge off; proxy_pass http://u; proxy_set_header X-Script-Id fb;
    proxy_set_header X-Script "body:named";
}
--- request
GET /?id=a&s=close|delay:30;close
--- error_code: 200
--- response_body: named
--- ctl
count?id=a => 2
count?id=fb => 1



=== TEST 12: error_page with a named location that is hedged itself
--- config
location / {
    smart_hedge 60s; proxy_next_upstream off; proxy_pass http://u;
    error_page 502 504 = @fb;
}
location @fb {
    smart_hedge 50ms; proxy_pass http://u; proxy_set_header X-Script-Id fb;
    proxy_set_header X-Script "hang|body:named";
}
--- request
GET /?id=a&s=close|delay:30;close
--- error_code: 200
--- response_headers
X-Try: 2
--- response_body: named
--- logged
200 hedge attempts=2 winner=1 delay=50 suppressed=-
--- ctl
cancelled?id=a => attempts=2 done=0 cancelled=0 open=0 broken=2
cancelled?id=fb => attempts=2 done=1 cancelled=1 open=0



=== TEST 13: proxy_intercept_errors: all failed
--- config
location / {
    smart_hedge 60s; proxy_intercept_errors on; proxy_pass http://u;
    error_page 500 503 /fallback;
}
location = /fallback { smart_hedge off; proxy_pass http://u/?id=fb&s=body:page; }
--- request eval
['GET /?id=a&s=status:503;body:x|status:500;body:y',
 'GET /?id=b&s=delay:200;status:503;body:x|status:500;body:y']
--- error_code eval
[500, 500]
--- response_body eval
['page', 'page']
--- logged eval
"500 failed attempts=2 winner=- delay=60000 suppressed=-\n" x 2
--- ctl
count?id=a => 2
count?id=b => 2
count?id=fb => 2



=== TEST 14: proxy_intercept_errors: a failed primary is not intercepted
--- config
location / {
    smart_hedge 60s; proxy_intercept_errors on; proxy_pass http://u;
    error_page 500 503 404 /fallback;
}
location = /fallback { smart_hedge off; proxy_pass http://u/?id=fb&s=body:page; }
--- request
GET /?id=a&s=status:503;body:x|body:hedge
--- response_body: hedge
--- logged
200 hedge attempts=2 winner=1 delay=60000 suppressed=-
--- ctl
count?id=fb => 0



=== TEST 15: proxy_intercept_errors: a hedge that wins is intercepted
--- config
location / {
    smart_hedge 50ms; proxy_intercept_errors on; proxy_pass http://u;
    error_page 404 /fallback;
}
location /auth {
    smart_hedge 50ms; proxy_intercept_errors on; proxy_pass http://u;
    error_page 401 /fallback;
}
location = /fallback { smart_hedge off; proxy_pass http://u/?id=fb&s=body:page; }
--- request eval
['GET /?id=a&s=hang|status:404;body:x;h:X-A=1',
 'GET /auth?id=b&s=hang|status:401;h:WWW-Authenticate=Basic%20realm=x']
--- error_code eval
[404, 401]
--- response_headers eval
['X-A:', 'WWW-Authenticate: Basic realm=x']
--- response_body eval
['page', 'page']
--- logged
404 hedge attempts=2 winner=1 delay=50 suppressed=-
401 hedge attempts=2 winner=1 delay=50 suppressed=-
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0
count?id=fb => 2



=== TEST 16: proxy_intercept_errors: a primary that wins after a hedge
--- config
location / {
    smart_hedge 50ms; proxy_intercept_errors on; proxy_pass http://u;
    error_page 404 /fallback;
}
location = /fallback { smart_hedge off; proxy_pass http://u/?id=fb&s=body:page; }
--- request
GET /?id=a&s=delay:400;status:404|hang
--- error_code: 404
--- response_body: page
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0
count?id=fb => 1



=== TEST 17: all failed, json
--- config
location / {
    smart_hedge 60s extra=2; smart_errors json; proxy_next_upstream off;
    proxy_pass http://u;
}
--- request
GET /?id=a&s=status:503;h:X-First=1|status:500;h:X-Second=1|close
--- error_code: 502
--- response_headers
Content-Type: application/problem+json
X-First:
X-Second:
X-Try:
--- response_body_like: "title": ?"Bad Gateway"
--- logged
502 failed attempts=3 winner=- delay=60000 suppressed=-
--- ctl
cancelled?id=a => attempts=3 done=2 cancelled=0 open=0 broken=1
--- grep_error_log eval
qr/smart: \w+/
--- grep_error_log_out
smart: failed



=== TEST 18: all failed, json, the primary the last
--- config
location / {
    smart_hedge 30ms; smart_errors json; proxy_next_upstream off;
    proxy_pass http://u;
}
--- request eval
['GET /?id=a&s=delay:300;status:503;h:X-First=1|status:500',
 'GET /?id=b&s=delay:300;close|status:500',
 'GET /?id=c&s=delay:300;cuthead|close']
--- error_code eval
[502, 502, 502]
--- response_headers eval
[("Content-Type: application/problem+json\nX-First:\nX-Try:") x 3]
--- response_body_like eval
[(qr/"Bad Gateway"/) x 3]
--- logged eval
"502 failed attempts=2 winner=- delay=30 suppressed=-\n" x 3



=== TEST 19: all failed, json, HEAD
--- config
location / {
    smart_hedge 60s; smart_errors json; proxy_next_upstream off;
    proxy_pass http://u;
}
--- request eval
['HEAD /?id=a&s=status:503|status:500', 'HEAD /?id=b&s=close|close']
--- error_code eval
[502, 502]
--- response_headers eval
[("Content-Type: application/problem+json") x 2]
--- response_body eval
['', '']



=== TEST 20: json only for hedged requests: others fail as upstream says
--- config
location / {
    smart_hedge 60s; smart_errors json; smart_hedge_methods HEAD;
    proxy_pass http://u;
}
--- request
GET /?id=a&s=status:503;body:mine
--- error_code: 503
--- response_body: mine



=== TEST 21: nothing of a failed primary is in the response
--- config
location / { smart_hedge 60s; proxy_pass http://u; }
--- request
GET /?id=a&s=status:503;type:text/html%253B%20charset=utf-8;size:77;h:Set-Cookie=a;h:Set-Cookie=b;h:X-Bad=1;h:Last-Modified=Thu,%2001%20Jan%202026%2000:00:00%20GMT;h:Location=/x;h:Refresh=5;h:ETag=%22x%22;h:Expires=Thu,%2001%20Jan%202026%2000:00:00%20GMT;h:Cache-Control=no-store;h:Cache-Control=private;h:Vary=X;h:Link=x;h:WWW-Authenticate=Basic;h:Content-Language=de;h:Content-Encoding=br;h:Accept-Ranges=bytes;h:Retry-After=9;h:Content-Disposition=inline;h:X-Accel-Charset=koi8-r|bare;body:hedge
--- raw_response_headers_like eval
qr/\AHTTP\/1.1 200 OK\r\nServer: \S+\r\nDate: [^\r]+\r\nContent-Type: text\/plain\r\nContent-Length: 5\r\nConnection: close\r\n\z/
--- response_body: hedge



=== TEST 22: nothing of failed primaries and hedges is in the response
--- config
location / { smart_hedge 60s extra=3; proxy_pass http://u; }
--- request
GET /?id=a&s=status:503;h:Set-Cookie=a;h:X-A=1;h:Location=/x;h:ETag=a|status:500;h:Set-Cookie=b;h:X-B=1;h:Cache-Control=x;type:text/y|status:500;h:X-C=1|delay:100;bare;body:hedge
--- raw_response_headers_like eval
qr/\AHTTP\/1.1 200 OK\r\nServer: \S+\r\nDate: [^\r]+\r\nContent-Type: text\/plain\r\nContent-Length: 5\r\nConnection: close\r\n\z/
--- response_body: hedge



=== TEST 23: nothing of a failed primary is in nginx's own error page
--- config
location / {
    smart_hedge 60s; proxy_next_upstream off; proxy_pass http://u;
}
--- request
GET /?id=a&s=status:503;size:99;h:Set-Cookie=a;h:X-A=1;h:Location=/x;h:ETag=a;h:Last-Modified=Thu,%2001%20Jan%202026%2000:00:00%20GMT;h:Content-Encoding=br|delay:50;close
--- error_code: 502
--- raw_response_headers_like eval
qr/\AHTTP\/1.1 502 Bad Gateway\r\nServer: \S+\r\nDate: [^\r]+\r\nContent-Type: text\/html\r\nContent-Length: \d+\r\nConnection: close\r\n\z/



=== TEST 24: the winner's own headers, repeated ones too
--- config
location / { smart_hedge 60s; add_header X-Own $smart_outcome; proxy_pass http://u; }
--- request
GET /?id=a&s=status:503;h:Set-Cookie=bad|status:201;h:Set-Cookie=a;h:Set-Cookie=b;h:Last-Modified=Thu,%2001%20Jan%202026%2000:00:00%20GMT;h:Location=/here;h:Cache-Control=x;h:Cache-Control=y;h:ETag=%22e%22
--- error_code: 201
--- raw_response_headers_like eval
qr/\AHTTP\/1.1 201 Created\r\n(?!.*bad).*Set-Cookie: a\r\nSet-Cookie: b\r\n.*Cache-Control: x\r\nCache-Control: y\r\n/s
--- response_headers
Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT
ETag: "e"
X-Own: hedge
--- raw_response_headers_unlike eval
qr/X-Own.*X-Own/s



=== TEST 25: a rate that a failed primary set does not slow the winner down
--- config
location / { smart_hedge 60s; proxy_pass http://u; }
--- request
GET /?id=0
--- after
my $c = SmartServer::Client->connect(
    addr => "127.0.0.1:$ENV{TEST_NGINX_SERVER_PORT}");

$c->request('/?id=a&s=status:503;h:X-Accel-Limit-Rate=1000|size:4000');
is($c->read_header->{status}, 200, "$name - status");

my $body = $c->read_body;
is($body->{size}, 4000, "$name - size");
cmp_ok($body->{ms}, '<', 2000, "$name - time, 4000 at that rate");



=== TEST 26: keepalive of the client after a parked primary
--- config
location / {
    smart_hedge 60s; proxy_next_upstream off; proxy_pass http://u;
}
--- pipelined_requests eval
['GET /?id=a&s=status:503|delay:100;body:one',
 'GET /?id=b&s=close|delay:100;body:two',
 'GET /?id=c&s=status:503|delay:100;close',
 'GET /?id=d&s=body:four']
--- error_code eval
[200, 200, 502, 200]
--- response_body_like eval
['^one$', '^two$', '502 Bad Gateway', '^four$']



=== TEST 27: keepalive of the client, one after the other
--- config
location / {
    smart_hedge 50ms; proxy_next_upstream off; proxy_pass http://u;
}
location /60 {
    smart_hedge 60s; proxy_next_upstream off; proxy_pass http://u;
}
--- request
GET /?id=0&s=ok
--- after
my $c = SmartServer::Client->connect(addr => "127.0.0.1:$ENV{TEST_NGINX_SERVER_PORT}");

for (['/?id=a&s=hang|body:hedge', 200], ['/60?id=b&s=status:503|body:hedge', 200],
     ['/60?id=c&s=close|body:hedge', 200], ['/60?id=d&s=close|delay:50;close', 502],
     ['/60?id=e&s=status:503|status:500;body:hedge', 500], ['/?id=f&s=hang|body:hedge', 200])
{
    $c->request($_->[0]);
    my $head = $c->read_header;
    my $body = $c->read_body;

    is($head->{status}, $_->[1], "$name - $_->[0]");
    like($body->{body}, $_->[1] == 502 ? qr/502 Bad/ : qr/\Ahedge\z/, "$name - $_->[0] body");
    is($head->{headers}{connection}, 'keep-alive', "$name - $_->[0] keepalive");
}



=== TEST 28: pooled connections of others survive a cancel
--- http_config
upstream u {
    server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; keepalive 8;
}
--- config
location / {
    smart_hedge 50ms; proxy_pass http://u;
    proxy_http_version 1.1; proxy_set_header Connection "";
}
--- request eval
['GET /?id=a', 'GET /?id=b', 'GET /?id=c&p1=hang&p2=body:two', 'GET /?id=d',
 'GET /?id=e', 'GET /?id=f']
--- error_code eval
[(200) x 6]
--- after
my @conn = map { ctl_json("requests?id=$_")->[0] } qw( a b d e f );
my ($loser, $winner) = sort { $a->{peer} <=> $b->{peer} } @{ ctl_json('requests?id=c') };

is($loser->{conn}, $conn[0]{conn}, "$name - the loser had a pooled connection");
is($winner->{conn}, $conn[1]{conn}, "$name - the winner, too");
is(ctl('open'), "2\n", "$name - open");

my %two = map { $_->{conn} => 1 } grep { $_->{peer} == 2 } @conn[2 .. 4];
is(CORE::join(' ', keys %two), $conn[1]{conn}, "$name - it is pooled again");

my %one = map { $_->{conn} => 1 } grep { $_->{peer} == 1 } @conn[2 .. 4];
ok(!$one{$loser->{conn}}, "$name - that of the loser is gone");
--- ctl
cancelled?id=c => attempts=2 done=1 cancelled=1 open=0



=== TEST 29: pooled connections of others survive failures
--- http_config
upstream u {
    server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; keepalive 8;
}
--- config
location / {
    smart_hedge 60s; proxy_pass http://u;
    proxy_http_version 1.1; proxy_set_header Connection "";
}
--- request eval
['GET /?id=a', 'GET /?id=b', 'GET /?id=c&s=status:503|body:hedge',
 'GET /?id=d', 'GET /?id=e']
--- error_code eval
[(200) x 5]
--- after
my @conn = map { @{ ctl_json("requests?id=$_") } } qw( a b c d e );
my %seen;

$seen{$_->{peer}}{$_->{conn}}++ for @conn;
is(scalar @conn, 6, "$name - requests");
cmp_ok(keys(%{ $seen{1} }) + keys(%{ $seen{2} }), '<=', 3, "$name - connections");



=== TEST 30: the primary's answer is cut after its header: no hedge
--- config
location / { smart_hedge 60s; proxy_pass http://u; }
--- request
GET /?id=a&s=size:1000;cut:100|body:hedge
--- ignore_response
--- ctl
count?id=a => 1



=== TEST 31: unread answers of any size of failed attempts
--- config
location / { smart_hedge 60s extra=2; proxy_pass http://u; }
location /off { smart_hedge 60s extra=2; proxy_buffering off; proxy_pass http://u; }
--- request eval
['GET /?id=a&s=status:503;size:3000000|status:500;size:3000000|delay:100;body:third',
 'GET /off?id=b&s=status:503;size:3000000|status:500;size:3000000|delay:100;body:third']
--- response_body eval
['third', 'third']
--- logged eval
qr/\A(200 hedge attempts=3 winner=[12] delay=60000 suppressed=-\n){2}\z/



=== TEST 32: an intercepted 401 of a failed primary leaves no trace
--- config
location / {
    smart_hedge 60s; smart_success_status 200; proxy_next_upstream off;
    proxy_intercept_errors on; error_page 401 503 /page; proxy_pass http://u;
}
location = /page { return 200 page; }
--- request eval
[map { "GET /?id=$_->[0]&s=status:401;h:WWW-Authenticate=Basic%20realm=bad|$_->[1]" }
     (['a', 'body:hedge'], ['b', 'status:503'],
      ['c', 'status:401;h:WWW-Authenticate=Basic%20realm=good'], ['d', 'close'])]
--- error_code eval
[200, 503, 401, 502]
--- response_headers eval
['WWW-Authenticate:', 'WWW-Authenticate:',
 'WWW-Authenticate: Basic realm=good', 'WWW-Authenticate:']



=== TEST 33: trailers that a failed primary announced
--- skip_nginx: 4: < 1.27.2
--- config
location / {
    smart_hedge 60s; proxy_http_version 1.1; proxy_pass_trailers on;
    proxy_set_header TE trailers; proxy_set_header Connection TE;
    proxy_pass http://u;
}
--- request
GET /?id=a&s=status:503;chunked;body:x;h:Trailer=X-T;trailer:X-T=1|body:hedge
--- response_headers
Content-Length: 5
Transfer-Encoding:
Trailer:
--- response_body: hedge
