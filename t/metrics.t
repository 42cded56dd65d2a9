# The metrics: what is there, how it is written, and what counts.
#
#   --- metrics             of http://nginx/metrics, after the requests; each
#   NAME{LABEL=VALUE} => N  line is a sum over all samples that match; the last
#   NAME => N               scrape is also held to all that SmartMetrics knows
#   NAME > N

use SmartTest 'no_plan';

use SmartMetrics;
use IO::Uncompress::Gunzip ();

workers(2);

add_block_preprocessor(sub {
    my ($block) = @_;

    my $http = $block->http_config // <<'CONF';
upstream u {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
    server $TEST_NGINX_UP3 max_fails=0;
}
CONF

    $block->set_value(http_config => $http . "smart_hedge_budget off;\n");
    $block->set_value(config => $block->config . <<'CONF');

location = /metrics { smart_metrics; }
CONF
});

add_test_cleanup_handler(sub {
    my ($block) = @_;

    my $name = $block->name;

    if (defined $block->drive) {
        our $name = $name;
        eval "no strict 'vars'; " . $block->drive;
        fail("$name - drive: $@") if $@;
    }

    return if !defined $block->metrics;

    my @lines = grep { /\S/ } split /\n/, $block->metrics;
    my $m = settled(@lines);

    for my $line (@lines) {
        my ($what, $op, $expected) = line($line);
        my $got = value($m, $what);

        $op eq '=>' ? is($got, $expected, "$name - $what")
                    : cmp_ok($got // -1, $op, $expected, "$name - $what");
    }

    sound($name, $m);
    is_deeply([$m->wins], [], "$name - attempts that won, and outcomes")
        if !defined $block->redirects;
});


# a scrape when all of that holds, or will not any more

sub settled {
    my (@lines) = @_;

    return SmartMetrics->settle(sub {
        my ($m) = @_;

        for my $line (@lines) {
            my ($what, $op, $expected) = line($line);
            my $got = value($m, $what) // -1;

            return 0 if !($op eq '=>' ? $got == $expected
                        : $op eq '>'  ? $got > $expected
                        :               $got < $expected);
        }

        return !$m->identities;
    }, addr(), '/metrics');
}


sub line {
    my ($line) = @_;

    $line =~ /^\s*(.*?) +(=>|<|>) +(.*?)\s*$/
        or die "metrics: cannot read \"$line\"\n";

    return ($1, $2, $3);
}


sub value {
    my ($m, $what) = @_;

    my ($name, $labels) = $what =~ /^(\w+)(?:\{(.*)\})?$/;

    return $m->value($name, map { split /=/, $_, 2 } split /,/, $labels // '');
}


sub sound {
    my ($name, $m) = @_;

    is_deeply([$m->errors], [], "$name - the text is well-formed");
    is_deeply([$m->contract], [], "$name - families, types, labels");
    is_deeply([$m->identities], [], "$name - identities");
}


sub addr { return "127.0.0.1:$ENV{TEST_NGINX_PORT}" }


sub scrape { return SmartMetrics->scrape(addr(), '/metrics', @_) }


# a request of its own; hash with status, headers, body

sub ask {
    my ($uri, %opt) = @_;

    my $c = SmartServer::Client->connect(addr => addr());

    $c->request($uri, close => 1, %opt);

    my $head = $c->read_header // {};

    return { %$head, %{ $c->read_body(keep => 1 << 26) } };
}


# asks, waits until the upstream has that many requests, and leaves

sub leave {
    my ($uri, $id, $count) = @_;

    my $c = SmartServer::Client->connect(addr => addr());

    $c->request($uri);
    SmartServer->ctl("wait?id=$id&event=request&count=" . ($count // 1));
    $c->close;
}


run_tests();

__DATA__

=== TEST 1: every family, and every series at 0 from the start
--- config
location /a { smart_hedge 300ms; proxy_pass http://u; }
location /b { smart_hedge 60s; smart_timeout 1s; proxy_pass http://u; }
location /off { smart_hedge off; proxy_pass http://u; }
--- request
GET /metrics
--- response_headers
Content-Type: text/plain; version=0.0.4; charset=utf-8
Cache-Control: no-store
--- response_body_like: \A# HELP nginx_smart_build_info
--- after
my $m = scrape();
sound($name, $m);

is_deeply([map { "@$_" } $m->owners], ['localhost /a', 'localhost /b'],
          "$name - locations");
is_deeply([$m->values('peer_attempts_total', 'peer')],
          [sort @ENV{qw( TEST_NGINX_UP1 TEST_NGINX_UP2 TEST_NGINX_UP3 )},
                'other'],
          "$name - peers");

my %one = map { $_ => 1 } qw( build_info start_time_seconds zone_size_bytes
                              zone_used_bytes delay_seconds budget_tokens );
my @more = grep { $_->[0] =~ /^nginx_smart_(.*)/ && !$one{$1} && $_->[2] != 0 }
                @{ $m->{samples} };

is_deeply(\@more, [], "$name - all at 0");
cmp_ok(scalar @{ $m->{samples} }, '>', 2 * 80, "$name - and there are many");

my ($info) = $m->samples('build_info');
my ($version) = `'$ENV{TEST_NGINX_BINARY}' -v 2>&1` =~ m{nginx/(\S+)};

is($info->[2], 1, "$name - build info is 1");
is($info->[1]{nginx_version}, $version, "$name - version of nginx");
like($info->[1]{version}, qr/^\d+\.\d+\.\d+$/, "$name - and of the module");

cmp_ok(abs($m->value('start_time_seconds') - time), '<', 60,
       "$name - start time");
is($m->value('zone_size_bytes'), 8 << 20, "$name - size of the zone");
cmp_ok($m->value('zone_used_bytes'), '>', 0, "$name - used");
cmp_ok($m->value('zone_used_bytes'), '<', 1 << 20, "$name - not much of it");
is($m->value('delay_seconds', location => '/a'), '0.3', "$name - delay");
is($m->value('delay_seconds', location => '/b'), '60', "$name - longer delay");

SKIP: {
    skip 'no budget yet', 1 if !defined $m->value('budget_tokens');
    cmp_ok($m->value('budget_tokens'), '>=', 0, "$name - budget");
}



=== TEST 2: OpenMetrics
--- config
location /a { smart_hedge 300ms; proxy_pass http://u; }
--- request
GET /metrics
--- more_headers
Accept: application/openmetrics-text
--- response_headers
Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8
Cache-Control: no-store
--- response_body_like: \A# HELP nginx_smart_build_info(?s:.*)\n# EOF\n\z
--- after
my $m = scrape(Accept => 'application/openmetrics-text');
my $text = scrape();
sound($name, $m);

is($m->{openmetrics}, 1, "$name - that is one");
unlike($m->{text}, qr/_created/, "$name - no _created series");
like($m->{text}, qr/^# TYPE nginx_smart_requests counter$/m,
     "$name - counters without _total");
unlike($text->{text}, qr/# EOF/, "$name - no end mark in the other format");

is_deeply([map { [@$_[0 .. 2]] } grep { $_->[0] !~ /zone_used/ }
               @{ $m->{samples} }],
          [map { [@$_[0 .. 2]] } grep { $_->[0] !~ /zone_used/ }
               @{ $text->{samples} }],
          "$name - the same samples in both");



=== TEST 3: Accept
--- config
location /a { smart_hedge 300ms; proxy_pass http://u; }
--- request
GET /metrics
--- after
my %open = map { $_ => 1 } my @open = (
    'application/openmetrics-text',
    'application/openmetrics-text; version=1.0.0',
    'Application/OpenMetrics-Text;version=1.0.0',
    'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.9',
    'text/plain;version=0.0.4;q=0.5,application/openmetrics-text;q=0.1',
    'text/plain, application/openmetrics-text',
    'application/openmetrics-text;version=1.0.0,'
    . 'application/openmetrics-text;version=0.0.1;q=0.75,'
    . 'text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
    'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,'
    . 'text/plain;version=0.0.4;q=0.3,*/*;q=0.2',
);

my @text = (
    undef, '', '*/*', 'text/plain', 'text/*', 'text/plain;version=0.0.4',
    'application/json', 'text/html,application/xhtml+xml;q=0.9',
    'image/png;q=0', 'text/plain;q=0', '*/*;q=0', ',', ';;;', 'junk', '/',
    'application/openmetrics', 'application/openmetrics-text-not',
    'x-application/openmetrics-text', 'application/*',
    'text/plain;x="application/openmetrics-text"',
    'application/openmetrics-text;q=0', 'application/openmetrics-text; q=0.000',
    'application/openmetrics-text;version=1.0.0;q=0, text/plain',
    'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;'
    . 'encoding=delimited',
    'a' x 4000,
);

for my $accept (@open, @text) {
    my @header = defined $accept ? (Accept => $accept) : ();
    my $got = ask('/metrics', headers => \@header);
    my $type = ($open{$accept // ''}
                ? 'application/openmetrics-text; version=1.0.0'
                : 'text/plain; version=0.0.4') . '; charset=utf-8';
    my $what = defined $accept ? substr $accept, 0, 60 : 'none';

    is($got->{status}, 200, "$name - status, Accept: $what");
    is($got->{headers}{'content-type'}, $type, "$name - type, Accept: $what");
    is($got->{body} =~ /\n# EOF\n\z/ ? 1 : 0, $open{$accept // ''} ? 1 : 0,
       "$name - end, Accept: $what");
}

my $got = ask('/metrics',
              headers => [Accept => 'text/plain',
                          Accept => 'application/openmetrics-text']);
like($got->{headers}{'content-type'}, qr/openmetrics/,
     "$name - the second of two headers");



=== TEST 4: methods
--- config
location /a { smart_hedge 300ms; proxy_pass http://u; }
--- request
GET /metrics?a=b
--- after
my $get = ask('/metrics');
my $head = ask('/metrics', method => 'HEAD');

is($head->{status}, 200, "$name - HEAD");
is($head->{size}, 0, "$name - has no body");
is($head->{headers}{'content-type'}, $get->{headers}{'content-type'},
   "$name - HEAD, type");
is($head->{headers}{'cache-control'}, 'no-store', "$name - HEAD, no-store");

$head = ask('/metrics', method => 'HEAD',
            headers => [Accept => 'application/openmetrics-text']);
like($head->{headers}{'content-type'}, qr/openmetrics/, "$name - HEAD, Accept");

for my $method (qw( POST PUT DELETE OPTIONS PATCH PROPFIND )) {
    is(ask('/metrics', method => $method)->{status}, 405, "$name - $method");
    is(ask('/metrics', method => $method, body => 'x' x 10000)->{status}, 405,
       "$name - $method with a body");
}

my $got = ask('/metrics', body => 'x' x 100000);
is($got->{status}, 200, "$name - GET with a body");
is($got->{complete}, 1, "$name - and it is complete");

# the connection is as good as before

my $c = SmartServer::Client->connect(addr => addr());

for my $method (qw( GET HEAD GET GET )) {
    $c->request('/metrics', method => $method);
    is($c->read_header->{status}, 200, "$name - keepalive, $method");
    is($c->read_body->{complete}, 1, "$name - keepalive, complete");
}

$c->request('/metrics', version => '1.0');
my $old = $c->read_header;
unlike($old->{header}, qr/chunked/, "$name - HTTP/1.0");
like($c->read_body->{body}, qr/nginx_smart_series_dropped_total 0\n\z/,
     "$name - HTTP/1.0, the end");



=== TEST 5: gzip, where nginx is told so
--- config
gzip on;
gzip_min_length 1;
gzip_types text/plain application/openmetrics-text;
location /a { smart_hedge 300ms; proxy_pass http://u; }
--- request
GET /metrics
--- more_headers
Accept-Encoding: gzip
--- response_headers
Content-Encoding: gzip
--- after
for my $accept ('*/*', 'application/openmetrics-text') {
    my $got = ask('/metrics', headers => ['Accept-Encoding' => 'gzip',
                                          Accept => $accept]);
    my $plain = ask('/metrics', headers => [Accept => $accept]);
    my $text = '';

    is($got->{headers}{'content-encoding'}, 'gzip', "$name - $accept");
    is($plain->{headers}{'content-encoding'}, undef, "$name - or not");

    IO::Uncompress::Gunzip::gunzip(\$got->{body} => \$text);
    s/^(nginx_smart_zone_used_bytes) .*/$1/m for $text, $plain->{body};
    is($text, $plain->{body}, "$name - $accept, the text");
    cmp_ok($got->{size}, '<', $plain->{size} / 3, "$name - $accept, shorter");
}



=== TEST 6: the metrics' own location has no series, nor does what is off
--- http_config
smart_hedge 1s;
smart_timeout 5s;
--- config
location /a { proxy_pass http://$TEST_NGINX_UP1; }
location /off { smart_hedge off; smart_timeout off; return 204; }
location /_metrics { smart_metrics; }
--- request eval
["GET /a?s=ok", "GET /off", "GET /_metrics", "GET /metrics", "GET /_metrics"]
--- error_code eval
[200, 204, 200, 200, 200]
--- metrics
requests_total => 1
requests_total{location=/a} => 1
outcomes_total{outcome=primary} => 1
--- after
my $m = scrape();
is_deeply([grep { $_ ne '/_ctl/' }
                $m->values('requests_in_flight', 'location')], ['/', '/a'],
          "$name - locations");
is($m->value('requests_total', location => '/'), 0, "$name - not the root's");



=== TEST 7: the server's label: first name, else the address
--- http_config
upstream u { server $TEST_NGINX_UP1; }
smart_hedge 1s;
server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
         server_name first.example second.example;
         location /x { proxy_pass http://u; } }
server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
         server_name *.wild.example;
         location /x { proxy_pass http://u; } }
server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
         server_name .dot.example;
         location /x { proxy_pass http://u; } }
server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1; server_name _;
         location /x { proxy_pass http://u; } }
server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_2;
         location /x { proxy_pass http://u; } }
server { listen $TEST_NGINX_RAND_PORT_3; server_name "";
         location /x { proxy_pass http://u; } }
server { listen unix:$TEST_NGINX_SERVROOT/logs/x.sock;
         location /x { proxy_pass http://u; } }
--- config
--- request
GET /metrics
--- after
my $m = scrape();
my %got = map { $_->[1]{server} => 1 }
          $m->samples('requests_in_flight', location => '/x');

sound($name, $m);

for my $server ('first.example', '*.wild.example', '_') {
    ok($got{$server}, "$name - $server");
}

ok($got{'.dot.example'} || $got{'dot.example'}, "$name - .dot.example");
ok($got{"unix:$ENV{TEST_NGINX_SERVROOT}/logs/x.sock"}, "$name - unix socket");
is(scalar(grep { /^127\.0\.0\.1:\d+$/ } keys %got), 1, "$name - address");
is(scalar(grep { /^0\.0\.0\.0:\d+$|^\*:\d+$|^\d+$/ } keys %got), 1,
   "$name - port alone");
is(scalar(keys %got), 7, "$name - one each")
    or diag CORE::join ' ', sort keys %got;



=== TEST 8: smart_name, on its own, inherited, shared
--- config
location /own { smart_name "My API"; smart_hedge 1s; proxy_pass http://u; }
location /one { smart_name both; smart_hedge 1s; proxy_pass http://u; }
location /two { smart_name both; smart_hedge 1s; proxy_pass http://u; }
location /outer {
    smart_name outer;
    smart_hedge 1s;
    location /outer/in { proxy_pass http://u; }
    location /outer/own { smart_name own; proxy_pass http://u; }
    proxy_pass http://u;
}
location = /same { smart_hedge 1s; proxy_pass http://u; }
location /same { smart_hedge 2s; proxy_pass http://u; }
location @named { smart_hedge 1s; proxy_pass http://u; }
location ~ ^/re(\d+)$ { smart_hedge 1s; proxy_pass http://u; }
location /if {
    smart_hedge 1s;
    if ($arg_x) { smart_hedge 2s; proxy_pass http://u; }
    limit_except GET { deny all; }
    proxy_pass http://u;
}
location /none { error_page 404 = @named; return 404; }
--- request eval
["GET /own?s=ok", "GET /one?s=ok", "GET /two?s=ok", "GET /two?s=ok",
 "GET /outer?s=ok", "GET /outer/in?s=ok", "GET /outer/own?s=ok",
 "GET /same?s=ok", "GET /same/2?s=ok", "GET /re12?s=ok", "GET /none?s=ok",
 "GET /if?s=ok", "GET /if?s=ok&x=1"]
--- metrics
requests_total => 13
requests_total{location=My API} => 1
requests_total{location=both} => 3
requests_total{location=outer} => 2
requests_total{location=own} => 1
requests_total{location=/same} => 2
requests_total{location=^/re(\d+)$} => 1
requests_total{location=@named} => 1
requests_total{location=/if} => 2
attempts_finished_total{result=won} => 13
peer_attempts_total{upstream=u,result=won} => 13



=== TEST 9: labels are escaped
--- config eval
qq{
location /1 { smart_name 'qu"ote'; smart_hedge 1s; proxy_pass http://u; }
location /2 { smart_name 'back\\\\\\\\slash'; smart_hedge 1s;
              proxy_pass http://u; }
location /3 { smart_name "new\\nline"; smart_hedge 1s; proxy_pass http://u; }
location /4 { smart_name 'inv\xffalid \xc3\xa4'; smart_hedge 1s;
              proxy_pass http://u; }
location /5 { smart_name '{a="b",c=~"\\\\\\\\"} # 1'; smart_hedge 1s;
              proxy_pass http://u; }
location ~ ^/6"\\d+\\\\\$ { smart_hedge 1s; proxy_pass http://u; }
location ~ "^/\\xe2\\x82\\d{2}\$" { smart_hedge 1s; proxy_pass http://u; }
location /\xe4 { smart_hedge 1s; proxy_pass http://u; }
}
--- request eval
["GET /1?s=ok", "GET /2?s=ok", "GET /3?s=ok", "GET /4?s=ok", "GET /5?s=ok",
 "GET /%E4?s=ok"]
--- metrics
requests_total => 6
--- after
my $m = settled('requests_total => 6');
my %got = map { $_->[1]{location} => $_->[2] } $m->samples('requests_total',
                                                           code => '2xx');

sound($name, $m);

is($got{'qu"ote'}, 1, "$name - quote");
is($got{'back\\\\slash'} // $got{'back\\slash'}, 1, "$name - backslash");
is($got{"new\nline"}, 1, "$name - newline");
is($got{"inv\xef\xbf\xbdalid \xc3\xa4"}, 1, "$name - invalid byte");
is($got{"/\xef\xbf\xbd"}, 1, "$name - invalid byte of a location");
is((grep { /^\Q{a="b",c=~"\E\\+\Q"} # 1\E$/ } keys %got), 1, "$name - all");
is((grep { /^\Q^\/6"\d+\E\\+\$$/ } keys %got), 1, "$name - a pattern")
    or diag CORE::join "\n", sort keys %got;

like($m->{text}, qr/location="qu\\"ote"/, "$name - quote, as written");
like($m->{text}, qr/location="new\\nline"/, "$name - newline, as written");

my $open = scrape(Accept => 'application/openmetrics-text');
sound("$name, OpenMetrics", $open);



=== TEST 10: long names are cut and stay different
--- config eval
my $long = 'x' x 300;
"location ~ ^/${long}a { smart_hedge 1s; proxy_pass http://u; }
location ~ ^/${long}b { smart_hedge 1s; proxy_pass http://u; }
location /" . ("\xc3\xa4" x 200) . " { smart_hedge 1s; proxy_pass http://u; }
location /c { smart_name " . 'n' x 256 . "; smart_hedge 1s;
              proxy_pass http://u; }"
--- request eval
my $long = 'x' x 300;
["GET /${long}a?s=ok", "GET /${long}a?s=ok", "GET /${long}b?s=ok",
 "GET /c?s=ok"]
--- metrics
requests_total => 4
--- after
my $m = settled('requests_total => 4');
my @names = $m->values('requests_total', 'location');
my @sums = map { $m->value('requests_total', location => $_) } @names;

is_deeply([sort { $a <=> $b } @sums], [0, 1, 1, 2], "$name - four locations")
    or diag CORE::join "\n", map { "$sums[$_] $names[$_]" } 0 .. $#names;
is(scalar(grep { length($_) > 256 + 6 } @names), 0, "$name - of that length");
is($m->value('requests_total', location => 'n' x 256), 1, "$name - not cut");



=== TEST 11: a name that is too long for a label
--- config eval
"location /c { smart_name " . 'n' x 257 . "; smart_hedge 1s;
              proxy_pass http://u; }"
--- must_die
--- error_log
in "smart_name" directive, it must be a name of 1 to 256 bytes



=== TEST 12: the primary wins
--- config
location / { smart_hedge 60s; proxy_pass http://u; }
--- request eval
["GET /?s=ok", "GET /?s=status:204", "GET /?s=status:302;h:Location=/x",
 "GET /?s=status:404", "HEAD /?s=ok"]
--- error_code eval
[200, 204, 302, 404, 200]
--- metrics
requests_total{code=1xx} => 0
requests_total{code=2xx} => 3
requests_total{code=3xx} => 1
requests_total{code=4xx} => 1
requests_total{code=5xx} => 0
outcomes_total{outcome=primary} => 5
outcomes_total => 5
attempts_total{attempt=primary} => 5
attempts_total{attempt=hedge} => 0
attempts_finished_total{attempt=primary,result=won} => 5
attempts_finished_total => 5
request_duration_seconds_count => 5
attempt_duration_seconds_count{attempt=primary} => 5
attempt_duration_seconds_count{attempt=hedge} => 0
peer_attempts_total{upstream=u,result=won} => 5
peer_attempts_total{peer=other} => 0
peer_lost_total => 0
suppressed_total => 0
wasted_seconds_total => 0
delay_seconds{location=/} => 60
series_dropped_total => 0



=== TEST 13: a hedge wins, the primary is cancelled
--- http_config
upstream u {
    server $TEST_NGINX_UP1;
    server $TEST_NGINX_UP2;
}
--- config
location / { smart_hedge 120ms; proxy_pass http://u; }
--- request
GET /?id=a&s=hang|body:hedge
--- response_body: hedge
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0
--- metrics
requests_total{code=2xx} => 1
outcomes_total{outcome=hedge} => 1
outcomes_total => 1
attempts_total{attempt=primary} => 1
attempts_total{attempt=hedge} => 1
attempts_finished_total{attempt=primary,result=cancelled} => 1
attempts_finished_total{attempt=hedge,result=won} => 1
attempts_finished_total => 2
attempt_duration_seconds_count{attempt=primary} => 1
attempt_duration_seconds_count{attempt=hedge} => 1
attempt_duration_seconds_bucket{attempt=primary,le=0.1} => 0
attempt_duration_seconds_bucket{attempt=primary,le=10.0} => 1
request_duration_seconds_bucket{le=0.1} => 0
request_duration_seconds_bucket{le=10.0} => 1
peer_attempts_total{upstream=u,result=won} => 1
peer_attempts_total{upstream=u,result=cancelled} => 1
peer_attempts_total{upstream=u} => 2
peer_lost_total{upstream=u} => 1
suppressed_total => 0
wasted_seconds_total > 0.119
wasted_seconds_total < 5
--- after
my $m = settled('requests_total => 1');
my ($lost) = grep { $_->[2] } $m->samples('peer_lost_total');
my $peer = $lost->[1]{peer};

is($m->value('peer_attempts_total', upstream => 'u', peer => $peer,
             result => 'cancelled'), 1, "$name - the same peer lost it");
is($m->value('wasted_seconds_total'),
   $m->value('attempt_duration_seconds_sum', attempt => 'primary'),
   "$name - all of the primary's time is wasted");

# one of the two clocks may be a few ms ahead

cmp_ok($m->value('request_duration_seconds_sum') + 0.02, '>=',
       $m->value('attempt_duration_seconds_sum', attempt => 'primary'),
       "$name - a request lasts as long as its attempt");



=== TEST 14: the primary wins while hedges go on
--- config
location / { smart_hedge 60ms extra=2; proxy_pass http://u; }
--- request
GET /?id=a&s=delay:400;body:first|hang|hang
--- response_body: first
--- ctl
cancelled?id=a => attempts=3 done=1 cancelled=2 open=0
--- metrics
outcomes_total{outcome=primary} => 1
outcomes_total => 1
attempts_total{attempt=hedge} => 2
attempts_finished_total{attempt=primary,result=won} => 1
attempts_finished_total{attempt=hedge,result=cancelled} => 2
attempts_finished_total => 3
peer_attempts_total{result=won} => 1
peer_attempts_total{result=cancelled} => 2
peer_lost_total => 0
wasted_seconds_total > 0.1



=== TEST 15: hedges that fail, one without an answer and one that is refused
--- config
location / {
    smart_hedge 40ms extra=2; proxy_next_upstream off; proxy_pass http://u;
}
--- request
GET /?id=a&s=delay:500;body:first|close|status:503
--- response_body: first
--- metrics
outcomes_total{outcome=primary} => 1
outcomes_total => 1
attempts_total{attempt=hedge} => 2
attempts_finished_total{attempt=primary,result=won} => 1
attempts_finished_total{attempt=hedge,result=failed} => 1
attempts_finished_total{attempt=hedge,result=rejected} => 1
attempts_finished_total => 3
peer_attempts_total{result=failed} => 1
peer_attempts_total{result=rejected} => 1
peer_attempts_total{result=won} => 1
peer_attempts_total{upstream=u} => 3
peer_lost_total => 0



=== TEST 16: the primary is refused, or has no answer, and a hedge wins
--- config
location / {
    smart_hedge 60s; proxy_next_upstream off; proxy_pass http://u;
}
--- request eval
["GET /?id=a&s=status:503|body:second", "GET /?id=b&s=close|body:second",
 "GET /?id=c&s=status:429|status:404"]
--- error_code eval
[200, 200, 404]
--- metrics
outcomes_total{outcome=hedge} => 3
outcomes_total => 3
attempts_finished_total{attempt=primary,result=rejected} => 2
attempts_finished_total{attempt=primary,result=failed} => 1
attempts_finished_total{attempt=hedge,result=won} => 3
attempts_finished_total => 6
peer_attempts_total{result=rejected} => 2
peer_attempts_total{result=failed} => 1
peer_attempts_total{result=won} => 3
peer_lost_total => 0
requests_total{code=2xx} => 2
requests_total{code=4xx} => 1



=== TEST 17: all attempts fail
--- config
location / {
    smart_hedge 60s extra=2; proxy_next_upstream off; proxy_pass http://u;
}
--- request eval
["GET /?id=a&s=status:503", "GET /?id=b&s=close"]
--- error_code eval
[503, 502]
--- metrics
requests_total{code=5xx} => 2
requests_total => 2
outcomes_total{outcome=failed} => 2
outcomes_total => 2
attempts_total{attempt=hedge} => 4
attempts_finished_total{attempt=primary,result=rejected} => 1
attempts_finished_total{attempt=hedge,result=rejected} => 2
attempts_finished_total{attempt=primary,result=failed} => 1
attempts_finished_total{attempt=hedge,result=failed} => 2
attempts_finished_total => 6
peer_attempts_total => 6



=== TEST 18: the same with an answer of our own
--- config
location / {
    smart_hedge 60s; smart_errors json; proxy_next_upstream off;
    proxy_pass http://u;
}
--- request
GET /?id=a&s=status:503
--- error_code: 502
--- metrics
requests_total{code=5xx} => 1
outcomes_total{outcome=failed} => 1
attempts_finished_total{result=rejected} => 2
attempts_finished_total => 2



=== TEST 19: the deadline passes, or has passed
--- config
location /a { smart_timeout 150ms; proxy_pass http://u; }
location /b { smart_hedge 60ms; smart_timeout $arg_t; proxy_pass http://u; }
--- request eval
["GET /a?s=hang", "GET /b?s=hang&t=200", "GET /b?s=ok&t=0"]
--- error_code eval
[504, 504, 504]
--- metrics
requests_total{code=5xx} => 3
outcomes_total{outcome=timeout} => 3
outcomes_total => 3
attempts_total{location=/a,attempt=primary} => 1
attempts_total{location=/b,attempt=primary} => 1
attempts_total{location=/b,attempt=hedge} => 1
attempts_finished_total{result=cancelled} => 3
attempts_finished_total => 3
peer_lost_total => 0



=== TEST 20: a timeout that is none
--- config
location / {
    smart_hedge 60s; smart_timeout $arg_t required; proxy_pass http://u;
}
--- request eval
["GET /?t=abc", "GET /?t=-1", "GET /", "GET /?t=5000&s=ok"]
--- error_code eval
[400, 400, 400, 200]
--- metrics
requests_total{code=4xx} => 3
requests_total{code=2xx} => 1
outcomes_total{outcome=invalid} => 3
outcomes_total{outcome=primary} => 1
outcomes_total => 4
attempts_total => 1
attempts_finished_total => 1



=== TEST 21: the client leaves, before and after hedges
--- config
location /a { smart_hedge 60s; proxy_pass http://u; }
location /b { smart_hedge 30ms extra=2; proxy_pass http://u; }
location /ctl { smart_hedge off; return 200 ok; }
--- request
GET /ctl
--- drive
leave('/a?id=a&s=hang', 'a');
leave('/b?id=b&s=hang', 'b', 3);
like(ctl('cancelled?id=b'), qr/attempts=3 done=0 cancelled=3/,
     "$name - all are cancelled");
like(ctl('cancelled?id=a'), qr/attempts=1 done=0 cancelled=1/,
     "$name - and the other request's");
--- metrics
requests_total{code=4xx} => 2
requests_total => 2
outcomes_total{outcome=aborted} => 2
outcomes_total => 2
attempts_total{attempt=hedge} => 2
attempts_finished_total{attempt=primary,result=cancelled} => 2
attempts_finished_total{attempt=hedge,result=cancelled} => 2
attempts_finished_total => 4
peer_attempts_total{result=cancelled} => 4
peer_lost_total => 0



=== TEST 22: what is no matter of attempts
--- config
location /return { smart_hedge 60s; return 200 ok; }
location /static { smart_hedge 60s; alias html/; }
location /deny { smart_hedge 60s; deny all; proxy_pass http://u; }
location /mixed { smart_hedge 60s; if ($arg_x) { return 302 /; }
                  proxy_pass http://u; }
--- user_files
>>> a.txt
text
--- request eval
["GET /return", "GET /static/a.txt", "GET /static/none", "GET /deny",
 "GET /mixed?x=1", "GET /mixed?s=ok"]
--- error_code eval
[200, 200, 404, 403, 302, 200]
--- metrics
requests_total{code=2xx} => 3
requests_total{code=3xx} => 1
requests_total{code=4xx} => 2
outcomes_total{outcome=bypass} => 5
outcomes_total{outcome=primary} => 1
outcomes_total => 6
attempts_total => 1
attempts_finished_total => 1



=== TEST 23: a hedge that is due is not sent: method
--- config
location / { smart_hedge 40ms extra=2; proxy_pass http://u; }
--- request eval
["POST /?id=a&s=delay:300;body:one\n", "DELETE /?id=b&s=delay:300;body:one\n",
 "POST /?id=c&s=ok\n"]
--- response_body eval
["one", "one", "ok\n"]
--- metrics
suppressed_total{reason=method} => 2
suppressed_total => 2
outcomes_total{outcome=primary} => 3
attempts_total{attempt=hedge} => 0



=== TEST 24: a hedge that is due is not sent: body
--- config
location /big {
    smart_hedge 40ms; smart_hedge_methods GET POST; smart_hedge_body_size 10;
    proxy_pass http://u;
}
location /stream {
    smart_hedge 40ms; smart_hedge_methods GET POST;
    proxy_request_buffering off; proxy_http_version 1.1; proxy_pass http://u;
}
--- request eval
["POST /big?s=delay:300;body:one\n" . "x" x 100,
 "POST /big?id=a&s=hang|body:two\n" . "x" x 10,
 "POST /big?s=ok\n" . "x" x 100]
--- response_body eval
["one", "two", "ok\n"]
--- metrics
suppressed_total{location=/big,reason=body} => 1
suppressed_total{location=/big} => 1
outcomes_total{outcome=primary} => 2
outcomes_total{outcome=hedge} => 1



=== TEST 25: a hedge that is due is not sent: no peer
--- http_config
upstream one { server $TEST_NGINX_UP1; }
upstream u { server $TEST_NGINX_UP2; server $TEST_NGINX_UP3; }
--- config
location /one {
    smart_hedge 40ms; smart_hedge_peer other; proxy_pass http://one;
}
location /two {
    smart_hedge 40ms; smart_hedge_peer other; proxy_pass http://u;
}
--- request eval
["GET /one?s=delay:300;body:one", "GET /two?id=b&s=hang|body:two"]
--- response_body eval
["one", "two"]
--- metrics
suppressed_total{reason=no_peer} => 1
suppressed_total{location=/one} => 1
suppressed_total => 1
attempts_total{location=/one,attempt=hedge} => 0
attempts_total{location=/two,attempt=hedge} => 1
peer_attempts_total{upstream=one,result=won} => 1
peer_attempts_total{upstream=u,result=won} => 1



=== TEST 26: a hedge that is due is not sent: phase
--- config
location / {
    smart_hedge 60ms; smart_hedge_methods GET POST; smart_hedge_body_size 4;
    proxy_request_buffering off; proxy_http_version 1.1; proxy_pass http://u;
}
location /ctl { smart_hedge off; return 200 ok; }
--- request
GET /ctl
--- drive
my $c = SmartServer::Client->connect(addr => addr());
$c->request('/?s=body:one', method => 'POST', headers => ['Content-Length', 10],
            body => 'x' x 5);
Time::HiRes::sleep(0.4);
$c->send('y' x 5);
is($c->read_header->{status}, 200, "$name - answer");
is($c->read_body->{body}, 'one', "$name - body");
--- metrics
suppressed_total{reason=phase} => 1
suppressed_total => 1
outcomes_total{outcome=primary} => 1
attempts_total => 1
attempts_finished_total{result=won} => 1



=== TEST 27: peers: each by its name; an upstream named by a variable
--- http_config
upstream u {
    server $TEST_NGINX_UP1 weight=2;
    server $TEST_NGINX_UP2 down;
    server $TEST_NGINX_UP3 backup;
}
upstream v { server $TEST_NGINX_UP4; keepalive 4; }
upstream w { zone w 64k; least_conn; server $TEST_NGINX_UP5; }
--- config
smart_hedge 60s;
location /u { proxy_pass http://u; }
location /v { proxy_pass http://v; }
location /w { proxy_pass http://w; }
location /var { proxy_pass http://$arg_u; }
location /direct { proxy_pass http://$TEST_NGINX_UP6; }
--- request eval
["GET /u?s=ok", "GET /u?s=ok", "GET /v?s=ok", "GET /w?s=ok",
 "GET /var?u=v&s=ok", "GET /direct?s=ok"]
--- metrics
requests_total => 6
attempts_finished_total{result=won} => 6
peer_attempts_total{upstream=u,result=won} => 2
peer_attempts_total{upstream=v,result=won} => 2
peer_attempts_total{upstream=w,result=won} => 1
peer_attempts_total => 6
peer_attempts_total{peer=other} => 0
--- after
my $m = settled('requests_total => 6');
my %at = (u => [1, 2, 3], v => [4], w => [5], $ENV{TEST_NGINX_UP6} => [6]);

for my $upstream (sort keys %at) {
    my %peers = map { $_->[1]{peer} => 1 }
                $m->samples('peer_lost_total', upstream => $upstream);

    is_deeply([sort keys %peers],
              [sort 'other', map { $ENV{"TEST_NGINX_UP$_"} }
                                 @{ $at{$upstream} }],
              "$name - peers of $upstream");
}

for my $one ([u => 1, 2], [v => 4, 2], [w => 5, 1],
             [$ENV{TEST_NGINX_UP6}, 6, 1])
{
    is($m->value('peer_attempts_total', upstream => $one->[0],
                 peer => $ENV{"TEST_NGINX_UP$one->[1]"}, result => 'won'),
       $one->[2], "$name - at $one->[1]");
}



=== TEST 28: no peer can be reached
--- http_config
upstream u { server $TEST_NGINX_DEAD max_fails=0; }
upstream d { server $TEST_NGINX_DEAD down; server $TEST_NGINX_UP1 down; }
--- config
location /refused { smart_hedge 60s; proxy_pass http://u; }
location /down { smart_hedge 60s; proxy_pass http://d; }
--- request eval
["GET /refused", "GET /down"]
--- error_code eval
[502, 502]
--- metrics
requests_total{code=5xx} => 2
outcomes_total{outcome=failed} => 2
attempts_finished_total{location=/refused,attempt=primary,result=failed} => 1
attempts_finished_total{location=/refused,attempt=hedge,result=failed} => 1
attempts_finished_total{location=/down,attempt=primary,result=failed} => 1
peer_attempts_total{upstream=u,result=failed} => 2
peer_attempts_total{upstream=u,peer=other} => 0



=== TEST 29: an answer that redirects inside, try_files, error_page
--- config
location /c { smart_hedge 60s; proxy_pass http://u; }
location /d { internal; smart_hedge 60s; proxy_set_header X-Script ok;
              proxy_pass http://u; }
location /e { smart_hedge 60s; try_files /none @e; }
location @e { smart_hedge 60s; smart_name e; proxy_pass http://u; }
--- request eval
["GET /c?s=h:X-Accel-Redirect=/d", "GET /e?s=ok"]
--- error_code eval
[200, 200]
--- redirects
--- metrics
requests_total => 2
requests_total{code=2xx} => 2
request_duration_seconds_count => 2
outcomes_total => 2
requests_in_flight => 0



=== TEST 30: in flight
--- config
location /a { smart_hedge 60s; proxy_pass http://u; }
location /b { smart_hedge 60s; proxy_pass http://u; }
--- request
GET /a?s=ok
--- drive
my @busy = map { SmartServer::Client->connect(addr => addr()) } 1 .. 12;
$busy[$_]->request(($_ < 8 ? '/a' : '/b') . '?id=x&s=delay:20000') for 0 .. 11;

my $m = settled('requests_in_flight => 12', 'attempts_total => 13');

$m = SmartMetrics->settle(sub { $_[0]->value('requests_in_flight') == 12 },
                          addr(), '/metrics');
is($m->value('requests_in_flight', location => '/a'), 8, "$name - of one");
is($m->value('requests_in_flight', location => '/b'), 4, "$name - of another");
is($m->value('requests_total'), 1, "$name - not counted before their end");
is($m->value('attempts_finished_total'), 1, "$name - nor are attempts");

$_->close for @busy[0 .. 3];
$m = SmartMetrics->settle(sub { $_[0]->value('requests_in_flight') == 8 },
                          addr(), '/metrics');
is($m->value('requests_in_flight', location => '/a'), 4, "$name - some leave");

$_->close for @busy[4 .. 11];
--- metrics
requests_in_flight => 0
requests_total => 13
outcomes_total{outcome=aborted} => 12



=== TEST 31: a text of many parts: whole, to slow clients, and cut off
--- config eval
CORE::join '', map {
    "location /number/$_ { smart_hedge 1s; proxy_pass http://u; }\n"
} 1 .. 200
--- request
GET /metrics
--- response_body_like: nginx_smart_series_dropped_total 0\n\z
--- after
my $m = scrape();
sound($name, $m);
is(scalar $m->owners, 200, "$name - all locations");
cmp_ok(length $m->{text}, '>', 1_000_000, "$name - more than a buffer");

for my $accept ('*/*', 'application/openmetrics-text') {
    my $c = SmartServer::Client->connect(addr => addr(), rcvbuf => 4096);
    $c->request('/metrics', close => 1, headers => [Accept => $accept]);

    my $head = $c->read_header;
    my $body = $c->read_body(rate => 4_000_000, keep => 1 << 26);
    my $slow = SmartMetrics->parse($body->{body}, $accept =~ /open/);

    is($body->{complete}, 1, "$name - slow client, complete");
    is_deeply([$slow->errors], [], "$name - slow client, well-formed");
    is(scalar $slow->owners, 200, "$name - slow client, all locations");
}

for my $limit (1, 5000, 200_000) {
    my $c = SmartServer::Client->connect(addr => addr(), rcvbuf => 4096);
    $c->request('/metrics');
    $c->read_header;
    $c->read_body(limit => $limit);
    $limit == 5000 ? $c->reset : $c->close;
}

for my $n (1 .. 20) {
    my $c = SmartServer::Client->connect(addr => addr());
    $c->request('/metrics');
    $c->reset;
}

# pipelined: each of them whole, in order

my $c = SmartServer::Client->connect(addr => addr());
$c->send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" x 3);

for my $n (1 .. 3) {
    $c->read_header;
    my $body = $c->read_body(keep => 1 << 26);
    is(scalar SmartMetrics->parse($body->{body}, 0)->owners, 200,
       "$name - pipelined, number $n");
}

is(scrape()->errors, 0, "$name - still there after those that left");



=== TEST 32: a protocol upgrade
--- config
location / {
    smart_hedge 60ms; proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
    proxy_pass http://u;
}
--- request
GET /?s=ok
--- more_headers
Upgrade: x
--- metrics
requests_total{code=2xx} => 1
outcomes_total{outcome=bypass} => 1
outcomes_total => 1
attempts_total => 0



=== TEST 33: two /metrics in a configuration is no matter, twice in one is
--- config
location = /one { smart_metrics; smart_metrics; }
--- must_die
--- error_log
"smart_metrics" directive is duplicate
--- no_shutdown_error_log
nothing
