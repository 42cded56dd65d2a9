package SmartProtocol;

# Upstreams that do not speak HTTP, for SmartTest's and SmartServer's tests.
#
#   use SmartTest 'no_plan';
#   use SmartProtocol;
#
#   SmartProtocol->start('fastcgi');
#
# start(protocol)      starts protocols.pl as fastcgi, uwsgi, scgi or memcached
#                      in front of peers 1 to 3 of upstream.pl and sets
#                      $TEST_NGINX_PEER1 .. PEER3 to its addresses; upstream.pl
#                      has to run.  One at a time; it ends with the
#                      test
# accepted()           connections to it since the last call, all peers
# losers(prefix, ...)  attempts but one of the requests with ids PREFIX1 to
#                      PREFIX3
# memcached()          starts a real memcached that takes values of 8 MB and
#                      sets $TEST_NGINX_MEMCACHED; false if there is none
# memcached_set(key => value, ...)
# md5(size, seed)      of upstream.pl's pattern, and that of a body, for
#                      response_body_filters: body_md5
# cases(protocol)      for SmartTest, before run_tests: starts the protocol; the
#                      test's own blocks are followed by those at the end of
#                      this file, where %%P%% is its name.  There are peers 1
#                      to 3 in upstream u, a log for the section "logged", and
#                      what the protocol needs goes before each config
#
# grpc()               starts an nginx whose ports speak HTTP/2, in front of
#                      peers 1 to 3, and sets $TEST_NGINX_PEER1 .. PEER3; what a
#                      script sends as header X-Status and X-Message become the
#                      trailers grpc-status and grpc-message; where it closes
#                      without a header the stream is reset.  Returns the server
# h2(addr, uri, %opt)  one request by curl on a new connection of HTTP/2;
#                      method, body, headers => [name => value, ...], curl =>
#                      [more of its options]; hash with status,
#                      headers, trailers (as SmartServer's), body, size, md5,
#                      exit (curl's, 0 when complete)
# get(uri, %opt)       one request to Test::Nginx's server, as SmartServer's
#
# Exports get and h2.

use strict;
use warnings;

use Cwd ();
use Digest::MD5 qw( md5_hex );
use Exporter qw( import );
use File::Basename qw( dirname );
use File::Temp ();
use IO::Socket::INET;
use POSIX ();
use SmartServer;

our @EXPORT = qw( get h2 );

my (@pids, $ask, $answer, $memcached);
my $owner = $$;


sub start {
    my ($class, $protocol) = @_;

    pipe my $in, my $stdin or die "pipe: $!";
    pipe my $stdout, my $out or die "pipe: $!";

    my $script = dirname(Cwd::abs_path(__FILE__)) . '/protocols.pl';
    my $pid = fork;

    die "fork: $!" if !defined $pid;

    if (!$pid) {
        open STDIN, '<&', $in or POSIX::_exit(1);
        open STDOUT, '>&', $out or POSIX::_exit(1);
        exec $^X, $script, '--protocol', $protocol,
            '--listen', join(',', ('127.0.0.1:0') x 3),
            '--to', join(',', @ENV{ map { "TEST_NGINX_UP$_" } 1 .. 3 })
            or POSIX::_exit(1);
    }

    close $in;
    close $out;
    push @pids, $pid;
    ($ask, $answer) = ($stdin, $stdout);

    my $line = readline $stdout;
    die "protocols.pl did not start\n" if !defined $line;

    @ENV{ map { "TEST_NGINX_PEER$_" } 1 .. 3 } = split ' ', $line;
}


sub accepted {
    syswrite $ask, "\n";
    return int readline $answer;
}


sub losers {
    my ($class, @prefixes) = @_;

    my $losers = 0;

    for my $id (map { ($_ . 1, $_ . 2, $_ . 3) } @prefixes) {
        $losers += SmartServer->ctl("count?id=$id") - 1;
    }

    return $losers;
}


sub memcached {
    my ($class) = @_;

    my $port = SmartServer::free_port();
    my @user = $> == 0 ? ('-u', 'root') : ();
    my $pid = fork;

    die "fork: $!" if !defined $pid;

    if (!$pid) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
        no warnings 'exec';
        exec 'memcached', '-l', '127.0.0.1', '-p', $port, '-U', 0,
            '-I', '8m', '-m', 64, @user
            or POSIX::_exit(127);
    }

    my $up = SmartServer::wait_for(sub {
        return -1 if waitpid($pid, POSIX::WNOHANG()) == $pid;
        return $memcached = IO::Socket::INET->new(
            PeerAddr => "127.0.0.1:$port");
    }, 5);

    return 0 if !$up || !ref $up;

    push @pids, $pid;
    $ENV{TEST_NGINX_MEMCACHED} = "127.0.0.1:$port";

    return 1;
}


sub memcached_set {
    my ($class, @pairs) = @_;

    while (my ($key, $value) = splice @pairs, 0, 2) {
        print $memcached "set $key 0 0 " . length($value)
                         . "\r\n$value\r\n";
        $memcached->flush;

        my $line = readline $memcached;
        die "memcached: $line" if $line ne "STORED\r\n";
    }
}


sub md5 {
    my ($class, $size, $seed) = @_;

    return SmartServer->pattern_md5($size, $seed);
}


# before 1.25.1 http2 is a parameter of listen

sub http2_listen {
    my ($addr) = @_;

    my $nginx = $ENV{TEST_NGINX_BINARY} || 'nginx';
    my ($minor, $patch) = `'$nginx' -v 2>&1` =~ m{nginx/1\.(\d+)\.(\d+)};

    return $minor > 25 || $minor == 25 && $patch > 0
           ? "listen $addr; http2 on;" : "listen $addr http2;";
}


sub grpc {
    my ($class) = @_;

    my $conf = "log_format conn '\$connection \$arg_id';\n"
             . "access_log %%DIR%%/logs/access.log conn;\n";

    for my $n (1 .. 3) {
        my $listen = http2_listen("127.0.0.1:%%PORT_$n%%");

        $conf .= <<"CONF";
server {
    $listen
    client_max_body_size 0;
    location / {
        proxy_http_version 1.1;
        proxy_buffering off;
        proxy_read_timeout 60s;
        proxy_hide_header X-Status;
        proxy_hide_header X-Message;
        add_trailer grpc-status \$upstream_http_x_status always;
        add_trailer grpc-message \$upstream_http_x_message always;
        proxy_pass http://\$TEST_NGINX_UP$n;
        error_page 502 = \@drop;
    }
    location \@drop { return 444; }
}
CONF
    }

    my $server = SmartServer->start(conf => $conf);

    $ENV{"TEST_NGINX_PEER$_"} = $server->addr($_) for 1 .. 3;

    return $server;
}


sub h2 {
    my ($addr, $uri, %opt) = @_;

    my $dir = File::Temp->newdir;
    my @headers = @{ $opt{headers} || [] };
    my @command = (qw( curl -s --http2-prior-knowledge --max-time 30 ),
                   '-D', "$dir/header", '-o', "$dir/body",
                   @{ $opt{curl} || [] });

    while (my ($name, $value) = splice @headers, 0, 2) {
        push @command, '-H', "$name: $value";
    }

    if (($opt{method} // '') eq 'HEAD') {
        push @command, '-I';

    } elsif ($opt{method}) {
        push @command, '-X', $opt{method};
    }

    if (defined $opt{body}) {
        SmartServer::spew("$dir/data", $opt{body});
        push @command, '--data-binary', "\@$dir/data";
    }

    system @command, "http://$addr$uri";

    my $exit = $? >> 8;
    my ($header, $trailers) = split /\r\n\r\n/,
                                    SmartServer::slurp("$dir/header");
    my $body = SmartServer::slurp("$dir/body");
    my %headers;

    $headers{lc $1} = $2
        while ($header // '') =~ /^([^:\s]+): *(.*?)\r?$/mg;

    return { status => ($header // '') =~ m{^HTTP/2 (\d+)} ? $1 : 0,
             headers => \%headers, trailers => $trailers // '',
             body => $body, size => length $body, md5 => md5_hex($body),
             exit => $exit };
}


sub get {
    my ($uri, %opt) = @_;

    my $c = SmartServer::Client->connect(
        addr => "127.0.0.1:$ENV{TEST_NGINX_PORT}", timeout => 20)
        or return { status => 0 };

    $c->request($uri, close => 1, %opt);

    my $head = $c->read_header or return { status => 0 };
    my $body = $c->read_body(%opt);

    return { %$head, %$body };
}


sub body_md5 { return md5_hex($_[0]) }


# what upstream.pl is told, and what it takes to say it

my $params = <<'CONF';
%%P%%_param REQUEST_METHOD $request_method;
%%P%%_param REQUEST_URI $request_uri;
%%P%%_param HTTP_X_ATTEMPT $smart_attempt;
CONF

my %params = (
    fastcgi   => $params,
    scgi      => $params,
    uwsgi     => $params
                 . "%%P%%_param CONTENT_LENGTH \$content_length;\n",
    memcached => "set \$memcached_key \$request_uri;\n"
                 . "default_type text/plain;\n",
);


sub cases {
    my ($class, $protocol) = @_;

    $class->start($protocol);
    Test::Base::spec_string(own_cases() . common_cases($protocol));
    prepare_blocks($params{$protocol} =~ s/%%P%%/$protocol/gr);
}


sub own_cases {
    no warnings 'once';
    local $/;

    return defined fileno main::DATA ? readline main::DATA : '';
}


sub common_cases {
    my ($protocol) = @_;

    my $text = '';

    for my $case (split /^(?==== )/m, do { local $/; readline DATA }) {
        next if $case !~ /^=== /;
        next if $case =~ s/^--- for: (.*)\n//m && $1 !~ /\b$protocol\b/;

        # it has no headers
        $case =~ s/^--- response_headers\n(?:X-.*\n)+//m
            if $protocol eq 'memcached';

        $case =~ s/%%PARAMS%%/$params{$protocol}/g;
        $text .= "\n\n\n" . $case =~ s/%%P%%/$protocol/gr;
    }

    return $text;
}


sub prepare_blocks {
    my ($config) = @_;

    Test::Nginx::Util::add_block_preprocessor(sub {
        my ($block) = @_;

        my $http = $block->http_config // <<'CONF';
upstream u {
    server $TEST_NGINX_PEER1 max_fails=0;
    server $TEST_NGINX_PEER2 max_fails=0;
    server $TEST_NGINX_PEER3 max_fails=0;
}
CONF

        $block->set_value(http_config => $http . <<'CONF');
smart_hedge_budget off;
log_format smart '$status $smart_outcome attempts=$smart_attempts '
                 'winner=$smart_winner';
CONF

        $block->set_value(config => "access_log logs/access.log smart;\n"
                                    . $config . $block->config);
    });
}


END {
    if ($$ == $owner) {
        local $?;

        kill TERM => $_ for @pids;
        waitpid $_, 0 for @pids;
    }
}


1;

__DATA__

=== a fast primary is not hedged
--- for: fastcgi scgi uwsgi
--- config
location / { smart_hedge 500ms; %%P%%_pass u; }
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



=== a slow primary is hedged, the hedge wins
--- for: fastcgi scgi uwsgi
--- config
location / { smart_hedge 50ms; %%P%%_pass u; }
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



=== the primary wins although a hedge has been sent
--- config
location / { smart_hedge 50ms; %%P%%_pass u; }
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



=== the losers are closed before the winner's body has come
--- for: fastcgi scgi uwsgi
--- config
location / { smart_hedge 50ms extra=2; %%P%%_pass u; }
location /one { smart_hedge 50ms extra=2; %%P%%_buffering off; %%P%%_pass u; }
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
    is(CORE::join(' ', map { $_->{event} }
                       grep { $_->{event} =~ /done|closed/ }
                       @{ ctl_json("json?id=$id") }),
       'closed_by_peer closed_by_peer done', "$name - $id");
}



=== a primary that fails with a 5xx or 429 starts all hedges at once
--- for: fastcgi scgi uwsgi
--- config
location / { smart_hedge 60s extra=2; %%P%%_pass u; }
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



=== a primary that fails without an answer starts all hedges at once
--- for: fastcgi scgi uwsgi
--- config
location / {
    smart_hedge 60s extra=2;
    %%P%%_next_upstream off;
    %%P%%_pass u;
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
        ('sent unsupported FastCGI protocol version') x ('%%P%%' eq 'fastcgi');



=== the first peer refuses connections
--- http_config
upstream u { server $TEST_NGINX_DEAD; server $TEST_NGINX_PEER2; }
--- config
location / {
    smart_hedge 60s;
    %%P%%_next_upstream off;
    %%P%%_pass u;
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



=== the first peer swallows connections
--- http_config
upstream u { server $TEST_NGINX_BLACKHOLE; server $TEST_NGINX_PEER2; }
--- config
location / { smart_hedge 50ms; %%P%%_pass u; }
--- request
GET /?id=a&s=body:hedge
--- response_body: hedge
--- logged
200 hedge attempts=2 winner=1



=== the last failure is passed on where all have failed
--- for: fastcgi scgi uwsgi
--- config
location / {
    smart_hedge 60s extra=2;
    %%P%%_next_upstream off;
    %%P%%_pass u;
}
location /slow {
    smart_hedge 50ms;
    %%P%%_next_upstream off;
    %%P%%_read_timeout 200ms;
    %%P%%_pass u;
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
like(error_log(), qr/smart: failed after \d+ ms, 3 attempts: /,
     "$name - error log");



=== 5 MB through a hedge, and through a primary that was hedged
--- for: fastcgi scgi uwsgi
--- config
location /hedge/ { smart_hedge 50ms; %%P%%_pass u; }
location /hedge/one { smart_hedge 50ms; %%P%%_buffering off; %%P%%_pass u; }
location /primary/ { smart_hedge 50ms; %%P%%_pass u; }
location /primary/one { smart_hedge 50ms; %%P%%_buffering off; %%P%%_pass u; }
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
--- no_error_log
[error]



=== a body that breaks off does so as without hedging
--- for: fastcgi scgi uwsgi
--- config
location / { smart_hedge 50ms; %%P%%_pass u; }
location /one { smart_hedge 50ms; %%P%%_buffering off; %%P%%_pass u; }
location /off { %%P%%_pass u; }
location /off/one { %%P%%_buffering off; %%P%%_pass u; }
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



=== HEAD
--- for: fastcgi scgi uwsgi
--- config
location / {
    smart_hedge 50ms;
    %%P%%_next_upstream off;
    %%P%%_pass u;
}
location /one {
    smart_hedge 50ms;
    %%P%%_next_upstream off;
    %%P%%_buffering off;
    %%P%%_pass u;
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



=== POST is not hedged
--- for: fastcgi scgi uwsgi
--- config
location / { smart_hedge 50ms; %%P%%_pass u; }
--- request
POST /?id=a&s=delay:300;body:primary|body:hedge
hello
--- response_body: primary
--- logged
200 primary attempts=1 winner=0
--- ctl
count?id=a => 1



=== where POST is allowed its body goes with each attempt
--- for: fastcgi scgi uwsgi
--- config
smart_hedge_methods GET POST;
client_body_buffer_size 16k;
location / {
    smart_hedge 50ms extra=2;
    %%P%%_next_upstream off;
    %%P%%_pass u;
}
location /now {
    smart_hedge 50ms extra=2;
    %%P%%_next_upstream off;
    %%P%%_request_buffering off;
    %%P%%_pass u;
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

    is(CORE::join(' ', map { "$_->{method} $_->{body_md5}" }
                           @{ ctl_json("requests?id=$id") }),
       CORE::join(' ', ('POST ' . SmartProtocol::body_md5($body)) x 3),
       "$name - $id");
}



=== each attempt has its own index
--- for: fastcgi scgi uwsgi
--- config
location / { smart_hedge 50ms extra=2; %%P%%_pass u; }
--- request
GET /?id=a&s=hang|hang|delay:100;body:third
--- response_body: third
--- after
is(CORE::join(' ', sort map { $_->{headers}{'x-attempt'} }
                            @{ ctl_json('requests?id=a') }),
   '0 1 2', "$name - indexes");



=== an upstream that keeps connections of other protocols
--- for: scgi uwsgi
--- http_config
upstream u { server $TEST_NGINX_PEER1 max_fails=0; keepalive 8; }
--- init
SmartProtocol->accepted;
--- config
location / { smart_hedge 100ms; %%P%%_pass u; }
location /one { smart_hedge 100ms; %%P%%_buffering off; %%P%%_pass u; }
--- request eval
[map { ("GET /?id=p$_&s=size:1000", "GET /?id=h$_&s=hang|size:1000",
        "GET /one?id=o$_&s=hang|size:1000;nolen") } 1 .. 3]
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
is(SmartProtocol->accepted, 9 + SmartProtocol->losers(qw( p h o )),
   "$name - a connection for each attempt");



=== an intercepted 404 wins, with its page
--- for: fastcgi scgi uwsgi
--- config
location / {
    smart_hedge 50ms;
    %%P%%_intercept_errors on;
    %%P%%_pass u;
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



=== X-Accel-Redirect of a hedge
--- for: fastcgi scgi uwsgi
--- config
location / { smart_hedge 50ms; %%P%%_pass u; }
location /inner { internal; return 200 "inner\n"; }
--- request
GET /?id=a&s=hang|h:X-Accel-Redirect=/inner;h:X-Own=1
--- response_body
inner
--- ctl
cancelled?id=a => attempts=2 done=1 cancelled=1 open=0



=== a failed hedge does not beat a primary that is still alive
--- config
location / {
    smart_hedge 20ms extra=3;
    %%P%%_next_upstream off;
    %%P%%_pass u;
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



=== each attempt has what the location's pattern has captured
--- for: scgi uwsgi
--- config
location ~ ^/(?<name>[^/]+)\.php(/.*)$ {
    smart_hedge 50ms extra=2;
    %%PARAMS%%
    %%P%%_param HTTP_X_NAME $name;
    %%P%%_param HTTP_X_REST $2;
    %%P%%_pass u;
}
--- request
GET /a.php/b%20c?id=a&s=hang|status:503|delay:100;body:third
--- response_body: third
--- after
my %seen;

$seen{$_}++ for map { "$_->{headers}{'x-name'} $_->{headers}{'x-rest'}" }
                      @{ ctl_json('requests?id=a') };
is_deeply(\%seen, { 'a /b c' => 3 }, "$name - parameters");
