use SmartTest 'no_plan';

use File::Temp ();

my $certs = File::Temp->newdir;

system("openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost"
       . " -keyout $certs/key -out $certs/cert 2>/dev/null") == 0
    or die "openssl: $?";

$ENV{TEST_NGINX_CERTS} = "$certs";
$ENV{"TEST_NGINX_TLS$_"} = '127.0.0.1:' . SmartServer::free_port() for 1 .. 3;

# before 1.25.1 http2 is a parameter of listen

my ($minor, $patch) = `\${TEST_NGINX_BINARY:-nginx} -v 2>&1`
                      =~ m{nginx/1\.(\d+)\.(\d+)};
my $new = $minor > 25 || $minor == 25 && $patch > 0;

$ENV{TEST_NGINX_H2} = '127.0.0.1:' . SmartServer::free_port();
$ENV{TEST_NGINX_H2_SSL} = $new ? 'ssl; http2 on;' : 'ssl http2;';
$ENV{TEST_NGINX_H2_PLAIN} = $new ? '; http2 on;' : 'http2;';

my @balancers = ('', 'least_conn;', 'hash $arg_id;',
                 'hash $arg_id consistent;', 'ip_hash;', 'random;',
                 'random two least_conn;');

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


# an upstream and a location of each balancer, with zone and keepalive or not

sub balancers {
    my ($servers) = @_;

    my ($http, $config) = ('', '');
    my $n = 0;

    for my $balancer (@balancers) {
        for my $more ('', 'zone z 256k;', 'keepalive 4;',
                      'zone z 256k; keepalive 4;')
        {
            my $after = $more =~ s/zone z 256k;//r;
            my $before = $more ne $after ? "zone z$n 256k;" : '';

            $http .= "upstream u$n { $before $balancer $servers $after }\n";
            $config .= "location /$n { proxy_pass http://u$n; }\n";
            $n++;
        }
    }

    return ($http, $config, $n);
}


# peers of the attempts of an id, sorted

sub peers {
    return CORE::join ' ', sort map { $_->{peer} }
                                    @{ ctl_json("requests?id=$_[0]") };
}


run_tests();

__DATA__

=== TEST 1: every attempt goes to another peer, whatever the balancer
--- http_config eval
(main::balancers('server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; '
                 . 'server $TEST_NGINX_UP3;'))[0]
--- config eval
'smart_hedge 30ms extra=2 step=30ms; proxy_http_version 1.1; '
. 'proxy_set_header Connection ""; ' . (main::balancers(''))[1]
--- request eval
[map { "GET /$_?id=$_&s=hang|hang|body:third" } 0 .. 27]
--- response_body eval
[('third') x 28]
--- after
is(peers($_), '1 2 3', "$name - peers of $_") for 0 .. 27;
--- logged eval
qr/\A(?:200 hedge attempts=3 winner=[1-9] delay=30 suppressed=-\n){28}\z/



=== TEST 2: the same when the primary has failed
--- http_config eval
(main::balancers('server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; '
                 . 'server $TEST_NGINX_UP3;'))[0]
--- config eval
'smart_hedge 60s extra=2; proxy_http_version 1.1; '
. 'proxy_set_header Connection ""; ' . (main::balancers(''))[1]
--- request eval
[map { "GET /$_?id=$_&s=status:503|hang|body:third" } 0 .. 27]
--- response_body eval
[('third') x 28]
--- after
is(peers($_), '1 2 3', "$name - peers of $_") for 0 .. 27;



=== TEST 3: smart_hedge_peer other, whatever the balancer: no more than peers
--- http_config eval
(main::balancers('server $TEST_NGINX_UP1; server $TEST_NGINX_UP2;'))[0]
--- config eval
'smart_hedge 30ms extra=3; smart_hedge_peer other; '
. (main::balancers(''))[1]
--- request eval
[map { "GET /$_?id=$_&s=delay:150;body:first|hang|body:third" } 0 .. 27]
--- response_body eval
[('first') x 28]
--- after
is(peers($_), '1 2', "$name - peers of $_") for 0 .. 27;
--- logged eval
"200 primary attempts=2 winner=0 delay=30 suppressed=-\n" x 28



=== TEST 4: prefer: a tried peer where there is no other
--- http_config eval
(main::balancers('server $TEST_NGINX_UP1; server $TEST_NGINX_UP2;'))[0]
--- config eval
'smart_hedge 30ms extra=3 step=20ms; ' . (main::balancers(''))[1]
--- request eval
[map { "GET /$_?id=$_&s=hang|hang|hang|body:fourth" } 0 .. 27]
--- response_body eval
[('fourth') x 28]
--- after
like(peers($_), qr/^1 .*2$/, "$name - peers of $_") for 0 .. 27;



=== TEST 5: prefer: the only peer
--- http_config eval
(main::balancers('server $TEST_NGINX_UP1;'))[0]
--- config eval
'smart_hedge 30ms extra=2; ' . (main::balancers(''))[1]
--- request eval
[map { "GET /$_?id=$_&s=hang|hang|body:third" } 0 .. 27]
--- response_body eval
[('third') x 28]
--- after
is(peers($_), '1 1 1', "$name - peers of $_") for 0 .. 27;



=== TEST 6: other: the only peer
--- http_config eval
(main::balancers('server $TEST_NGINX_UP1;'))[0]
--- config eval
'smart_hedge 20ms extra=2; smart_hedge_peer other; '
. (main::balancers(''))[1]
--- request eval
[map { "GET /$_?id=$_&s=delay:100;body:primary|body:hedge" } 0 .. 27]
--- response_body eval
[('primary') x 28]
--- logged eval
"200 primary attempts=1 winner=0 delay=20 suppressed=no_peer\n" x 28



=== TEST 7: other: the only peer has failed
--- http_config
upstream u { server $TEST_NGINX_UP1 max_fails=0; }
--- config
location / { smart_hedge 60s; smart_hedge_peer other; proxy_pass http://u; }
--- request
GET /?id=a&s=status:503;body:primary|body:hedge
--- error_code: 503
--- response_body: primary
--- logged
503 failed attempts=1 winner=- delay=60000 suppressed=no_peer



=== TEST 8: a backup server gets no hedge
--- http_config
upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2 backup; }
upstream two {
    server $TEST_NGINX_UP1; server $TEST_NGINX_UP3;
    server $TEST_NGINX_UP2 backup;
}
upstream zone {
    zone z 256k; server $TEST_NGINX_UP1; server $TEST_NGINX_UP2 backup;
}
--- config
location / { smart_hedge 30ms extra=2; proxy_pass http://u; }
location /other {
    smart_hedge 30ms extra=2; smart_hedge_peer other; proxy_pass http://u;
}
location /two { smart_hedge 30ms extra=4; proxy_pass http://two; }
location /zone {
    smart_hedge 30ms extra=2; smart_hedge_peer other; proxy_pass http://zone;
}
--- request eval
['GET /?id=a&s=hang|hang|body:third',
 'GET /other?id=b&s=delay:150;body:primary|body:hedge',
 'GET /two?id=c&s=hang|hang|hang|hang|body:fifth',
 'GET /zone?id=d&s=delay:150;body:primary|body:hedge']
--- response_body eval
['third', 'primary', 'fifth', 'primary']
--- after
is(peers('a'), '1 1 1', "$name - prefer");
is(peers('b'), '1', "$name - other");
like(peers('c'), qr/^[13 ]{9}$/, "$name - prefer, two");



=== TEST 9: a hedge does not flee to the backup when its peer fails
--- http_config
upstream u {
    server $TEST_NGINX_UP1 max_fails=0; server $TEST_NGINX_UP3 max_fails=0;
    server $TEST_NGINX_UP2 backup;
}
--- config
location / { smart_hedge 30ms; proxy_pass http://u; }
--- request
GET /?id=a&s=delay:400;body:primary|close
--- response_body: primary
--- after
unlike(peers('a'), qr/2/, "$name - peers");



=== TEST 10: peers that are down get no hedge
--- http_config eval
(main::balancers('server $TEST_NGINX_UP1; server $TEST_NGINX_UP2 down; '
                 . 'server $TEST_NGINX_UP3;'))[0]
--- config eval
'smart_hedge 30ms extra=2; smart_hedge_peer other; '
. (main::balancers(''))[1]
--- request eval
[map { "GET /$_?id=$_&s=hang|body:second" } 0 .. 27]
--- response_body eval
[('second') x 28]
--- after
is(peers($_), '1 3', "$name - peers of $_") for 0 .. 27;



=== TEST 11: peers that have failed too often get no hedge
--- http_config
upstream u {
    server $TEST_NGINX_UP1 max_fails=0; server $TEST_NGINX_UP2 max_fails=1;
    server $TEST_NGINX_UP3 max_fails=0;
}
--- config
location / {
    smart_hedge 30ms extra=3; smart_hedge_peer other; proxy_pass http://u;
}
location /warm { proxy_next_upstream error; proxy_pass http://u; }
--- request eval
['GET /warm?p2=close', 'GET /warm?p2=close', 'GET /warm?p2=close',
 'GET /?id=a&s=hang|body:second', 'GET /?id=b&s=hang|body:second',
 'GET /?id=c&s=hang|body:second']
--- error_code eval
[(200) x 6]
--- after
is(peers($_), '1 3', "$name - $_") for qw( a b c );



=== TEST 12: max_conns holds for hedges
--- http_config
upstream u {
    zone z 256k;
    server $TEST_NGINX_UP1; server $TEST_NGINX_UP2 max_conns=1;
}
--- config
location / { smart_hedge 30ms extra=4; proxy_pass http://u; }
--- request
GET /?id=a&s=hang|hang|hang|hang|body:fifth
--- response_body: fifth
--- after
is(peers('a'), '1 1 1 1 2', "$name - peers");



=== TEST 13: more peers than bits in a word
--- http_config eval
'upstream u { ' . 'server $TEST_NGINX_DEAD down;' x 66
. 'server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; server $TEST_NGINX_UP3; }
upstream l { least_conn; ' . 'server $TEST_NGINX_DEAD down;' x 126
. 'server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; server $TEST_NGINX_UP3; }'
--- config
location / {
    smart_hedge 30ms extra=4; smart_hedge_peer other; proxy_pass http://u;
}
location /l {
    smart_hedge 30ms extra=4; smart_hedge_peer other; proxy_pass http://l;
}
--- request eval
['GET /?id=a&s=hang|hang|body:third', 'GET /?id=b&s=hang|hang|body:third',
 'GET /l?id=c&s=hang|hang|body:third', 'GET /l?id=d&s=hang|hang|body:third']
--- response_body eval
[('third') x 4]
--- after
is(peers($_), '1 2 3', "$name - $_") for qw( a b c d );



=== TEST 14: a cancelled loser is not charged
--- http_config
upstream u {
    server $TEST_NGINX_UP1 max_fails=1 fail_timeout=60s;
    server $TEST_NGINX_UP2 max_fails=1 fail_timeout=60s;
}
--- config
location / {
    smart_hedge 30ms; smart_hedge_peer other; proxy_pass http://u;
}
location /delayed {
    smart_hedge 30ms; smart_hedge_peer other; proxy_pass http://u;
}
--- request eval
[(map { "GET /?id=h$_&s=hang|body:hedge" } 1 .. 4),
 (map { "GET /?id=p$_&s=delay:200;body:primary|hang" } 1 .. 4)]
--- response_body eval
[('hedge') x 4, ('primary') x 4]
--- after
is(peers($_), '1 2', "$name - $_") for map { ("h$_", "p$_") } 1 .. 4;



=== TEST 15: three losers that waited for connections are charged
--- http_config
upstream u {
    server $TEST_NGINX_BLACKHOLE max_fails=1 fail_timeout=60s;
    server $TEST_NGINX_UP2; server $TEST_NGINX_UP3;
}
--- config
location / { smart_hedge 100ms; proxy_pass http://u; }
--- request eval
[map { "GET /?id=$_&s=body:x" } 1 .. 20]
--- response_body eval
[('x') x 20]
--- logged eval
qr/\A(?:(?:200 primary attempts=1 .*\n){0,5}200 hedge attempts=2 .*\n){3}(?:200 primary attempts=1 .*\n){8,}\z/



=== TEST 16: an address, no upstream block
--- config
location / { smart_hedge 50ms; proxy_pass http://$TEST_NGINX_UP4; }
location /other {
    smart_hedge 50ms; smart_hedge_peer other; proxy_pass http://$TEST_NGINX_UP4;
}
--- request eval
['GET /?id=a&s=hang|body:hedge',
 'GET /other?id=b&s=delay:200;body:primary|body:hedge']
--- response_body eval
['hedge', 'primary']
--- logged
200 hedge attempts=2 winner=1 delay=50 suppressed=-
200 primary attempts=1 winner=0 delay=50 suppressed=no_peer
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0



=== TEST 17: a name with several addresses
--- http_config
upstream unused { server $TEST_NGINX_UP1; }
--- config
location / {
    set $where localhost;
    smart_hedge 50ms;
    proxy_pass http://localhost:$TEST_NGINX_SERVER_PORT/target/;
}
location /target/ {
    access_log off; smart_hedge off; proxy_pass http://$TEST_NGINX_UP1;
}
--- request
GET /?id=a&s=hang|body:hedge
--- response_body: hedge



=== TEST 18: variables in proxy_pass
--- http_config
upstream u {
    server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; server $TEST_NGINX_UP3;
}
map $arg_to $to { default u; one $TEST_NGINX_UP1; dead $TEST_NGINX_DEAD; }
--- config
location / { smart_hedge 50ms extra=2; proxy_pass http://$to; }
location /uri { smart_hedge 50ms extra=2; proxy_pass http://$to/x$is_args$args; }
location /other {
    smart_hedge 50ms; smart_hedge_peer other; proxy_pass http://$to;
}
--- request eval
['GET /?id=a&s=hang|hang|body:third', 'GET /?id=b&s=hang|hang|body:third&to=one',
 'GET /uri?id=c&s=hang|hang|body:third',
 'GET /uri?id=d&s=hang|hang|body:third&to=one',
 'GET /other?id=e&s=delay:200;body:primary|body:hedge&to=one',
 'GET /other?id=f&s=hang|body:second', 'GET /?id=g&to=dead']
--- response_body_like eval
['^third', '^third', '^third', '^third', '^primary', '^second', '502 Bad Gateway']
--- error_code eval
[(200) x 6, 502]
--- after
is(peers($_), '1 2 3', "$name - peers of $_") for qw( a c );
is(peers($_), '1 1 1', "$name - peers of $_") for qw( b d );
is($_->{uri}, '/x?id=c&s=hang|hang|body:third', "$name - uri")
    for @{ ctl_json('requests?id=c') };
my @lines = access_log();
like($lines[4], qr/suppressed=no_peer/, "$name - an address is no other peer");
like($lines[6], qr/502 failed attempts=3/, "$name - refused");



=== TEST 19: the URI of a hedge is that of the primary
--- http_config
upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; }
--- config
location / { smart_hedge 30ms; proxy_pass http://u; }
location /part/ { smart_hedge 30ms; proxy_pass http://u/other%20uri/; }
location /rewrite/ {
    smart_hedge 30ms; rewrite ^/rewrite/(.*)$ /to/$1?x=%2f&y break; proxy_pass http://u;
}
location /break { smart_hedge 30ms; rewrite ^ /a%20b/%3f break; proxy_pass http://u/ignored; }
location /internal/ { rewrite ^/internal/(.*) /target/$1?more; }
location /target/ { smart_hedge 30ms; proxy_pass http://u; }
location /named { try_files /none @named; }
location @named { smart_hedge 30ms; proxy_pass http://u; }
location /set { smart_hedge 30ms; set $x "/set%20to?$args&z=1"; proxy_pass http://u$x; }
location /method { smart_hedge 30ms; proxy_method POST; proxy_set_body "$uri|$args"; proxy_pass http://u; }
--- more_headers eval
[map { "X-Script: hang|echo\nX-Script-Id: $_" } 1 .. 10]
--- request eval
['GET /a%20b//c/../d%2Fe/%C3%A4+?q=1%20&a=b+c&&x=%2f%00;?', 'GET /part/a%20b%2Fc/./d?q=%20&',
 'GET /rewrite/a%20b%3fc?q=%20', 'GET /break?q=1', 'GET /internal/a%20b?q=%20',
 'GET /named/a%20b//x?q=1', 'GET /set?q=%26', 'GET /method/a%20b?q=%26', 'GET /?', 'GET /x%3fy%23z']
--- response_body_like eval
[qr{"uri":"/a%20b//c/\.\./d%2Fe/%C3%A4\+\?q=1%20&a=b\+c&&x=%2f%00;\?"}, qr{"uri":"/other%20uri/a%20b/c/d\?q=%20&"},
 qr{"uri":"/to/a%20b%3Fc\?x=%2f&y&q=%20"}, qr{"uri":"/a%2520b/%253f\?q=1"}, qr{"uri":"/target/a%20b\?more&q=%20"},
 qr{"uri":"/named/a%20b//x\?q=1"}, qr{"uri":"/set%20to\?q=%26&z=1"}, qr{"body_size":17.*"method":"POST".*"uri":"/method/a%20b\?q=%26"}, qr{"uri":"/\?"},
 qr{"uri":"/x%3fy%23z"}]
--- error_code eval
[(200) x 10]
--- after
for my $id (1 .. 10) {
    my ($primary, $hedge) = @{ ctl_json("requests?id=$id") };
    is($hedge->{uri}, $primary->{uri}, "$name - $id");
}
--- logged eval
"200 hedge attempts=2 winner=1 delay=30 suppressed=-\n" x 10



=== TEST 20: the URI of a hedge is that of the primary, headers too
--- http_config
upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; }
--- config
location / { smart_hedge 30ms; proxy_pass http://u; }
location /part/ {
    smart_hedge 30ms; proxy_pass http://u/other/; proxy_set_header Host $host;
    proxy_set_header X-Real $remote_addr; proxy_set_header X-Uri $request_uri;
    proxy_set_header X-Via $proxy_add_x_forwarded_for;
    proxy_set_header X-Id $request_id;
}
location ~ ^/re/(?<name>[^/]+)/(.*)$ {
    smart_hedge 30ms; proxy_pass http://u/$name/$2$is_args$args;
    proxy_set_header X-Cap "$name $2";
}
--- more_headers
X-Script: hang|echo
Cookie: a=b; c=d
X-Multi: one
X-Multi: two
X-Forwarded-For: 1.2.3.4
Range: bytes=1-2
If-None-Match: "x"
Authorization: Basic abc
Accept-Encoding: gzip
--- request eval
['GET /x?id=a', 'GET /part/y%20z?id=b', 'GET /re/one/two%2Fthree?id=c']
--- error_code eval
[(200) x 3]
--- after
for my $id (qw( a b c )) {
    my @all = @{ ctl_json("requests?id=$id") };
    is(scalar @all, 2, "$name - attempts of $id");
    is_deeply($all[0]{headers}, $all[1]{headers}, "$name - headers of $id");
    is($all[0]{uri}, $all[1]{uri}, "$name - uri of $id");
}
my $h = ctl_json('requests?id=b')->[1]{headers};
is($h->{'x-multi'}, 'one, two', "$name - repeated header");
is($h->{'x-via'}, '1.2.3.4, 127.0.0.1', "$name - forwarded for");
like(ctl_json('requests?id=c')->[1]{headers}{'x-cap'}, qr{^one two/three$}, "$name - captures");



=== TEST 21: access, rewrite and limit phases run once
--- http_config
upstream u { server $TEST_NGINX_UP1 max_fails=0; server $TEST_NGINX_UP2 max_fails=0; }
limit_req_zone $binary_remote_addr zone=l:1m rate=1r/m;
limit_conn_zone $binary_remote_addr zone=c:1m;
--- config
location / {
    smart_hedge 30ms extra=3; limit_req zone=l; limit_conn c 1;
    auth_request /auth; proxy_pass http://u;
}
location = /auth {
    internal; smart_hedge off; proxy_pass http://u/?id=auth;
    proxy_pass_request_body off;
}
--- request
GET /?id=a&s=status:503|hang|hang|body:fourth
--- response_body: fourth
--- ctl
count?id=auth => 1
count?id=a => 4



=== TEST 22: TLS to the upstream
--- http_config
ssl_certificate $TEST_NGINX_CERTS/cert;
ssl_certificate_key $TEST_NGINX_CERTS/key;
smart_hedge off;
server { listen $TEST_NGINX_TLS1 ssl; access_log off; location / { proxy_pass http://$TEST_NGINX_UP1; } }
server { listen $TEST_NGINX_TLS2 ssl; access_log off; location / { proxy_pass http://$TEST_NGINX_UP2; } }
upstream u { server $TEST_NGINX_TLS1 max_fails=0; server $TEST_NGINX_TLS2 max_fails=0; }
upstream v { server $TEST_NGINX_TLS1; server $TEST_NGINX_TLS2; }
upstream k { server $TEST_NGINX_TLS1; server $TEST_NGINX_TLS2; keepalive 4; }
--- config
location / { smart_hedge 150ms; proxy_pass https://u; }
location /k {
    smart_hedge 150ms; proxy_pass https://k; proxy_http_version 1.1;
    proxy_set_header Connection "";
}
location /v {
    smart_hedge 150ms; proxy_pass https://v; proxy_ssl_verify on;
    proxy_ssl_trusted_certificate $TEST_NGINX_CERTS/cert; proxy_ssl_name localhost;
}
location /no {
    smart_hedge 150ms; proxy_pass https://v; proxy_ssl_verify on;
    proxy_ssl_trusted_certificate $TEST_NGINX_CERTS/cert; proxy_ssl_name other;
}
--- request eval
['GET /?id=a&s=hang|size:20000', 'GET /?id=b&s=status:503|size:20000', 'GET /?id=c&s=delay:500;size:20000|hang',
 'GET /k?id=d&s=hang|size:20000', 'GET /k?id=e&s=status:503|size:20000', 'GET /k?id=f&s=hang|size:20000',
 'GET /v?id=g&s=hang|size:20000', 'GET /no?id=h']
--- error_code eval
[(200) x 7, 502]
--- response_body_like eval
[(qr/\A.{20000}\z/s) x 7, qr/502 Bad Gateway/]
--- after
is(scalar(grep { /smart: failed/ } error_log()), 1, "$name - failures");
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0
cancelled?id=b => attempts=2 done=2 cancelled=0 open=0
cancelled?id=c => attempts=2 done=1 cancelled=1 open=0
cancelled?id=d => attempts=2 done=1 cancelled=1 open=0
cancelled?id=f => attempts=2 done=1 cancelled=1 open=0
cancelled?id=h => attempts=0 done=0 cancelled=0 open=0



=== TEST 23: TLS to an upstream that never shakes hands
--- http_config
ssl_certificate $TEST_NGINX_CERTS/cert;
ssl_certificate_key $TEST_NGINX_CERTS/key;
server { listen $TEST_NGINX_TLS2 ssl; access_log off; location / { proxy_pass http://$TEST_NGINX_UP2; } }
upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_TLS2; }
upstream b { server $TEST_NGINX_BLACKHOLE; server $TEST_NGINX_TLS2; }
--- config
location / { smart_hedge 100ms; proxy_pass https://u; }
location /b { smart_hedge 100ms; proxy_pass https://b; }
--- request eval
['GET /?id=a&s=body:x', 'GET /b?id=b&s=body:x']
--- response_body eval
['x', 'x']
--- logged
200 hedge attempts=2 winner=1 delay=100 suppressed=-
200 hedge attempts=2 winner=1 delay=100 suppressed=-



=== TEST 24: TLS and HTTP/2 to the client
--- http_config
upstream u {
    server $TEST_NGINX_UP1 max_fails=0; server $TEST_NGINX_UP2 max_fails=0;
    server $TEST_NGINX_UP3 max_fails=0;
}
proxy_next_upstream off;
server {
    listen $TEST_NGINX_TLS1 $TEST_NGINX_H2_SSL
    ssl_certificate $TEST_NGINX_CERTS/cert;
    ssl_certificate_key $TEST_NGINX_CERTS/key;
    location / { smart_hedge 50ms extra=2; proxy_pass http://u; }
}
server {
    listen $TEST_NGINX_H2 $TEST_NGINX_H2_PLAIN
    location / { smart_hedge 50ms extra=2; proxy_pass http://u; }
}
--- config
--- request
GET /
--- after
for (['https', '1.1', '--http1.1', $ENV{TEST_NGINX_TLS1}],
     ['https', '2', '--http2', $ENV{TEST_NGINX_TLS1}],
     ['http', '2', '--http2-prior-knowledge', $ENV{TEST_NGINX_H2}])
{
    my ($scheme, $version, $option, $addr) = @$_;
    my $what = "$scheme $version";
    my $n = 0;

    for (['hang|hang|size:20000', '200 20000 3', 'done=1 cancelled=2'],
         ['status:503;h:X-Bad=1|hang|size:20000', '200 20000 3',
          'done=2 cancelled=1'],
         ['close|close|delay:50;size:20000', '200 20000 3',
          'done=1 cancelled=0'],
         ['delay:300;size:20000|hang|status:503', '200 20000 1',
          'done=2 cancelled=1'],
         ['status:503;h:X-Bad=1|status:500|delay:100;status:502;body:last',
          '502 4 3', 'done=3 cancelled=0'],
         ['-I', '200 0 3', 'done=1 cancelled=2'])
    {
        my ($s, $expected, $done) = @$_;
        my $id = "$scheme$version-" . ++$n;
        my $more = $s eq '-I' ? $s : '';

        $s = 'hang|hang|size:20000' if $more;

        my $out = `curl -sk $more --max-time 9 $option -D - -o /dev/null -w 'is %{http_version} %{http_code} %{size_download}' '$scheme://$addr/?id=$id&s=$s' 2>&1`;
        my ($try) = $out =~ /^x-try: (\d)/mi;

        unlike($out, qr/x-bad/i, "$name - $what, $s: header");
        is(($out =~ /^is (.*)/m)[0] . " $try", "$version $expected",
           "$name - $what, $s");
        like(ctl("cancelled?id=$id"), qr/^attempts=3 $done open=0/,
             "$name - $what, $s: attempts");
    }
}



=== TEST 25: an HTTP/2 client that gives up
--- http_config
upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; }
server {
    listen $TEST_NGINX_H2 $TEST_NGINX_H2_PLAIN
    location / { smart_hedge 50ms extra=2; proxy_pass http://u; }
    location /park { smart_hedge 60s extra=2; proxy_pass http://u; }
}
--- config
--- request
GET /
--- after
my $curl = 'curl -s --max-time 0.4 --http2-prior-knowledge -o /dev/null';

system("$curl 'http://$ENV{TEST_NGINX_H2}/?id=a&s=hang'");
is(ctl('cancelled?id=a'), "attempts=3 done=0 cancelled=3 open=0\n",
   "$name - all alive");

system("$curl 'http://$ENV{TEST_NGINX_H2}/park?id=b&s=status:503|hang'");
is(ctl('cancelled?id=b'), "attempts=3 done=1 cancelled=2 open=0\n",
   "$name - parked");



=== TEST 26: a peer that lets a TLS handshake wait for long is charged
--- http_config
ssl_certificate $TEST_NGINX_CERTS/cert;
ssl_certificate_key $TEST_NGINX_CERTS/key;
server { listen $TEST_NGINX_TLS2 ssl; access_log off; location / { proxy_pass http://$TEST_NGINX_UP2; } }
upstream u {
    server $TEST_NGINX_UP1 max_fails=1 fail_timeout=1m;
    server $TEST_NGINX_TLS2;
}
--- config
location / { smart_timeout $arg_timeout; proxy_pass https://u; }
--- pipelined_requests eval
["GET /?timeout=1200", "GET /?timeout=900", "GET /?timeout=300"]
--- error_code eval
[504, 200, 200]



=== TEST 27: one that is overtaken within a handshake is not
--- http_config
ssl_certificate $TEST_NGINX_CERTS/cert;
ssl_certificate_key $TEST_NGINX_CERTS/key;
server { listen $TEST_NGINX_TLS2 ssl; access_log off; location / { proxy_pass http://$TEST_NGINX_UP2; } }
upstream u {
    server $TEST_NGINX_UP1 max_fails=1 fail_timeout=1m;
    server $TEST_NGINX_TLS2;
}
--- config
location / { smart_hedge 50ms; proxy_pass https://u; }
--- pipelined_requests eval
[map { "GET /?id=$_&s=body:x" } qw( a b c d )]
--- response_body eval
[('x') x 4]
--- logged
200 hedge attempts=2 winner=1 delay=50 suppressed=-
200 primary attempts=1 winner=0 delay=50 suppressed=-
200 hedge attempts=2 winner=1 delay=50 suppressed=-
200 primary attempts=1 winner=0 delay=50 suppressed=-
