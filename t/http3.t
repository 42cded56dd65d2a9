# Clients of HTTP/3, by ngtcp2's gtlsclient (Debian package ngtcp2-client)

use strict;
use warnings;

use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartServer;
use SmartProtocol;

plan skip_all => 'no HTTP/3 in this nginx'
    if SmartServer::build_options() !~ /http_v3_module/;
plan skip_all => 'no gtlsclient'
    if system('command -v gtlsclient > /dev/null');

SmartServer->upstream;

my $dir = File::Temp->newdir;

system("openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost"
       . " -keyout $dir/key -out $dir/cert 2>/dev/null") == 0
    or die "openssl: $?";

my $server = SmartProtocol->grpc;
my $port = SmartServer::free_port();
my $ngx = SmartServer->start(conf => conf());

# a message of gRPC: not compressed, its length
my $hello = pack('x N/a', 'hello');

streams();
failures();
all_failed();
long_answers();
losers();
methods();
grpc();
many();
uploads();
held();
client_leaves();

$ngx->no_alerts('no alerts');
$ngx->stop;
$server->stop;
done_testing;


sub conf {
    return <<"CONF";
smart_hedge_budget off;
smart_hedge_methods GET HEAD POST;
proxy_next_upstream off;
proxy_http_version 1.1;
add_header X-Outcome \$smart_outcome always;
add_trailer X-Attempts \$smart_attempts;

upstream u {
    server \$TEST_NGINX_UP1 max_fails=0;
    server \$TEST_NGINX_UP2 max_fails=0;
    server \$TEST_NGINX_UP3 max_fails=0;
}
upstream g {
    server \$TEST_NGINX_PEER1 max_fails=0;
    server \$TEST_NGINX_PEER2 max_fails=0;
}

server {
    listen 127.0.0.1:$port quic;
    listen 127.0.0.1:%%PORT%% ssl;
    ssl_certificate $dir/cert;
    ssl_certificate_key $dir/key;
    client_max_body_size 0;

    location / { smart_hedge 500ms; proxy_pass http://u; }
    location /soon { smart_hedge 50ms; proxy_pass http://u; }
    location /one { smart_hedge 50ms; proxy_buffering off; proxy_pass http://u; }
    location /three { smart_hedge 50ms extra=2; proxy_pass http://u; }
    location /late { smart_hedge 60s extra=2; proxy_pass http://u; }
    location /deadline { smart_hedge 50ms; smart_timeout 300ms; smart_errors json; proxy_pass http://u; }
    location /grpc { smart_hedge 50ms; grpc_pass grpc://g; }

    smart_hedge_body_size 1500m;
    proxy_request_buffering off;

    location /memory { smart_hedge 60s extra=2; client_body_buffer_size 8m; proxy_pass http://u; }
    location /file { smart_hedge 60s extra=2; client_body_buffer_size 16k; proxy_pass http://u; }
    location /limited { smart_hedge 60s; smart_hedge_body_size 1000; proxy_pass http://u; }
    location /held { smart_hedge 60s; smart_success_json on; proxy_pass http://u; }
    location /held_one { smart_hedge 60s; smart_success_json on; proxy_buffering off; proxy_pass http://u; }
    location /held_soon { smart_hedge 50ms; smart_success_json on; smart_timeout 800ms; proxy_pass http://u; }
}
CONF
}


# all uris at once on one connection; one hash each: status, headers, trailers
# (text), size, md5, code (256 is no error)

sub h3 {
    my ($opt, @uris) = @_;

    my $files = File::Temp->newdir;
    my @command = (qw( gtlsclient --disable-early-data --no-quic-dump
                       --no-http-dump --timeout=20s ),
                   "--download=$files", @$opt);

    push @command, '--exit-on-all-streams-close'
        if !grep { /^--exit/ } @$opt;

    my $pid = open my $out, '-|' // die "fork: $!";

    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec @command, '127.0.0.1', $port,
            map { "https://localhost:$port$_" } @uris
            or POSIX::_exit(1);
    }

    my %stream;

    while (readline $out) {
        if (/^http: stream 0x([0-9a-f]+) \[(:?[^:]+): (.*)\]/) {
            my $s = $stream{hex $1} //= { trailers => '' };

            if ($s->{in_trailers}) {
                $s->{trailers} .= "$2: $3\n";

            } else {
                $s->{headers}{$2} = $3;
            }

        } elsif (/^http: stream 0x([0-9a-f]+) trailers started/) {
            $stream{hex $1}{in_trailers} = 1;

        } elsif (/^HTTP stream (\d+) closed with error code (\d+)/) {
            $stream{$1}{code} = $2;
        }
    }

    close $out;

    return map {
        my $s = $stream{$_ * 4} // {};
        my ($name) = $uris[$_] =~ m{([^/]*)$};
        my $body = SmartServer::slurp("$files/$name");

        { status => $s->{headers}{':status'} // 0,
          headers => $s->{headers} // {}, trailers => $s->{trailers} // '',
          code => $s->{code} // -1, body => $body, size => length $body,
          md5 => SmartProtocol::body_md5($body) };
    } 0 .. $#uris;
}


sub cancelled {
    my ($id, $expected, $name) = @_;

    like(SmartServer->ctl("cancelled?id=$id"), qr/\A$expected\n/, $name);
}


sub streams {
    my @r = h3([], '/?id=a&s=body:primary|body:hedge',
               '/soon?id=b&s=hang|body:hedge;h:X-Own=1',
               '/soon?id=c&s=delay:500;body:primary|hang',
               '/one?id=d&s=hang|body:hedge;nolen');
    my @body = qw( primary hedge primary hedge );

    for my $i (0 .. 3) {
        is("$r[$i]{code} $r[$i]{status} $r[$i]{body}", "256 200 $body[$i]",
           "stream $i");
        is($r[$i]{headers}{'x-outcome'}, $body[$i], "stream $i - outcome");
    }

    is($r[1]{headers}{'x-own'}, 1, 'stream 1 - header');
    is($r[0]{trailers}, "x-attempts: 1\n", 'stream 0 - trailer');
    is($r[1]{trailers}, "x-attempts: 2\n", 'stream 1 - trailer');

    cancelled('a', 'attempts=1 done=1 cancelled=0 open=0', 'stream 0');
    cancelled('b', 'attempts=2 done=1 cancelled=1 open=0', 'stream 1');
    cancelled('c', 'attempts=2 done=1 cancelled=1 open=0', 'stream 2');
    cancelled('d', 'attempts=2 done=1 cancelled=1 open=0', 'stream 3');
}


sub failures {
    my @steps = qw( status:503 status:429 close reset badhead cuthead );
    my @r = h3([], map { "/late?id=$_&s=$_|hang|body:third" } @steps);

    for my $i (0 .. $#steps) {
        my $name = "a primary with $steps[$i] starts the hedges at once";

        is("$r[$i]{code} $r[$i]{status} $r[$i]{body}", '256 200 third', $name);
        cancelled($steps[$i], 'attempts=3 .*cancelled=1 open=0.*',
                  "$name - attempts");
    }
}


sub all_failed {
    my ($last, $broken, $late) =
        h3([], '/late?id=f1&s=status:503;body:bad', '/late?id=f2&s=close',
           '/deadline?id=f3&s=hang');

    is("$last->{code} $last->{status} $last->{body}", '256 503 bad',
       'the last failure is passed on');
    is("$broken->{code} $broken->{status}", '256 502', 'all have broken');
    is("$late->{code} $late->{status} $late->{headers}{'content-type'}",
       '256 504 application/problem+json', 'the deadline has passed');
    cancelled('f3', 'attempts=2 done=0 cancelled=2 open=0',
              'the deadline has passed - attempts');
}


sub long_answers {
    my $md5 = SmartServer->pattern_md5(5_000_000, 1);
    my $window = '--max-stream-data-bidi-local=64K';

    for my $uri ('/soon?id=l1&s=hang|size:5000000,1',
                 '/one?id=l2&s=hang|size:5000000,1',
                 '/one?id=l3&s=hang|size:5000000,1;chunked',
                 '/soon?id=l4&s=status:503|size:5000000,1;nolen',
                 '/soon?id=l5&s=delay:300;size:5000000,1|hang')
    {
        my ($r) = h3([$window], $uri);

        is("$r->{code} $r->{status} $r->{size} $r->{md5}",
           "256 200 5000000 $md5", "5 MB of $uri");
        is($r->{trailers}, "x-attempts: 2\n", "5 MB of $uri - trailer");
    }
}


sub losers {
    for my $script ('hang|chunked:3,1000,200|hang',
                    'delay:300;chunked:3,1000,200|hang|hang')
    {
        my $name = "losers are closed before the winner's body has come, "
                 . $script;
        my ($r) = h3([], "/three?id=$script&s=$script");

        is("$r->{code} $r->{size}", '256 3000', $name);
        cancelled($script, 'attempts=3 done=1 cancelled=2 open=0',
                  "$name - attempts");
        is(join(' ', map { $_->{event} }
                     grep { $_->{event} =~ /done|closed/ }
                     @{ SmartServer->ctl_json("json?id=$script") }),
           'closed_by_peer closed_by_peer done', "$name - order");
    }
}


sub methods {
    my ($r) = h3(['-m', 'HEAD'], '/soon?id=m1&s=hang|size:5000');

    is("$r->{code} $r->{status} $r->{size} $r->{headers}{'content-length'}",
       '256 200 0 5000', 'HEAD');
    cancelled('m1', 'attempts=2 done=1 cancelled=1 open=0', 'HEAD - attempts');

    my $body = 'x' x 300_000;

    SmartServer::spew("$dir/body", $body);
    ($r) = h3(['-m', 'POST', '-d', "$dir/body"],
              '/three?id=m2&s=status:503|hang|delay:100;body:third');

    is("$r->{code} $r->{status} $r->{body}", '256 200 third', 'POST');

    my $md5 = SmartProtocol::body_md5($body);

    is(join(' ', map { $_->{body_md5} }
                     @{ SmartServer->ctl_json('requests?id=m2') }),
       "$md5 $md5 $md5", 'POST - bodies');
}


sub grpc {
    SmartServer::spew("$dir/hello", $hello);

    my ($r) = h3(['-m', 'POST', '-d', "$dir/hello"],
                 '/grpc?id=g&s=hang|echo;chunked;type:application%2Fgrpc'
                 . ';h:X-Status=0;h:X-Message=two');

    is("$r->{code} $r->{status}", '256 200', 'gRPC');
    like($r->{trailers}, qr/^grpc-status: 0$/m, 'gRPC - status');
    like($r->{trailers}, qr/^grpc-message: two$/m, 'gRPC - message');
    cancelled('g', 'attempts=2 done=1 cancelled=1 open=0', 'gRPC - attempts');
}


sub many {
    my $md5 = SmartServer->pattern_md5(20_000, 1);
    my @r = h3([], map { "/three?n=$_&p1=hang&p2=size:20000,1"
                         . "&p3=delay:100;size:20000,1" } 1 .. 40);

    is(scalar(grep { "$_->{code} $_->{status} $_->{md5}" eq "256 200 $md5" }
                   @r), 40, 'many streams of one connection');
    is(SmartServer->ctl('busy?ms=900'), "0\n",
       'many streams of one connection - losers');
}


# sent whole with each attempt

sub uploads {
    for my $size (10, 1000, 4_000_000) {
        my $body = substr 'an upload ' x ($size / 10 + 1), 0, $size;
        my $md5 = SmartProtocol::body_md5($body);

        SmartServer::spew("$dir/upload", $body);

        for my $place (qw( memory file )) {
            my $id = "$place-$size";
            my $name = "$size bytes, in $place";
            my ($r) = h3(['-m', 'POST', '-d', "$dir/upload"],
                         "/$place?id=$id&s=status:503|close|echo");

            is("$r->{code} $r->{status}", '256 200', "$name: three attempts");
            is(bodies($id), "$md5 $md5 $md5", "$name: each has it all");
        }

        my ($r) = h3(['-m', 'POST', '-d', "$dir/upload"],
                     "/soon?id=soon-$size&s=hang|echo",
                     "/held?id=held-$size&s=body:no|echo",
                     "/limited?id=limited-$size&s=status:503|echo");
        my $limited = $size > 1000 ? $md5 : "$md5 $md5";

        is("$r->{code} $r->{status}", '256 200', "$size bytes: a slow primary");
        is(bodies("soon-$size"), "$md5 $md5", "$size bytes: its hedge has it");
        is(bodies("held-$size"), "$md5 $md5", "$size bytes: a refused answer");
        is(bodies("limited-$size"), $limited, "$size bytes: the limit");
    }
}


# the checksums of what the upstreams have got

sub bodies {
    my ($id) = @_;

    SmartServer->ctl("cancelled?id=$id&ms=5000");

    return join ' ', map { $_->{body_md5} }
                     @{ SmartServer->ctl_json("requests?id=$id") };
}


sub held {
    my $json = '{"time": 1, "pad": "' . 'x' x 59977 . qq("}\n);
    my $other = 'body:{"time": 2}';
    my @tests = (
        ['json:60000|hang', '200 primary 1', $json],
        ['json:60000;chunked;split:999|hang', '200 primary 1', $json],
        ['body:no|json:60000', '200 hedge 2', $json],
        ["json:60000;cut:59999|$other", '200 hedge 2', '{"time": 2}'],
        ["json:60000;chunked;badchunk|$other", '200 hedge 2', '{"time": 2}'],
        ['close|json:60000;nolen', '200 hedge 2', $json],
        ['body:no|body:neither;h:X-Own=1', '200 failed 2', 'neither'],
    );

    for my $mode (qw( held held_one )) {
        my $n = 0;
        my @r = h3([], map { $n++; "/$mode?id=$mode$n&s=" . encoded($_->[0]) }
                       @tests);

        for my $i (0 .. $#tests) {
            my ($script, $race, $body) = @{ $tests[$i] };
            my $h = $r[$i]{headers};

            is("$r[$i]{code} $r[$i]{status} $h->{'x-outcome'}"
               . ($r[$i]{trailers} =~ /^x-attempts:( \d)$/m ? $1 : ''),
               "256 $race", "$mode: $script");
            ok($r[$i]{body} eq $body, "$mode: $script - as it came");
        }

        is($r[-1]{headers}{'x-own'}, 1, "$mode: the header of the last");
        is($r[2]{headers}{'x-own'}, undef, "$mode: and of no other");
    }

    my $slow = 'body:{"time": 3};chunked;split:1,120';
    my ($won, $late) = h3([], "/held_soon?id=h1&s="
                              . encoded("$slow|$other"),
                          '/held_soon?id=h2&s=' . encoded($slow));

    is("$won->{code} $won->{status} $won->{body}", '256 200 {"time": 2}',
       'a held primary is overtaken');
    cancelled('h1', 'attempts=2 done=1 cancelled=1 open=0',
              'a held primary is overtaken - attempts');
    is("$late->{code} $late->{status}", '256 504',
       'the deadline covers the bodies');
    cancelled('h2', 'attempts=2 done=0 cancelled=2 open=0',
              'the deadline covers the bodies - attempts');
}


sub encoded {
    my ($script) = @_;

    $script =~ s/([^!-~]|["{}%])/sprintf '%%%02X', ord $1/ge;

    return $script;
}


# a client that is interrupted once something has happened

sub leave {
    my ($opt, $uri, $when) = @_;

    my $pid = fork // die "fork: $!";

    if (!$pid) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
        exec qw( gtlsclient --disable-early-data --no-quic-dump --no-http-dump
                 --timeout=20s ), @$opt, '127.0.0.1', $port,
             "https://localhost:$port$uri"
            or POSIX::_exit(1);
    }

    my $happened = $when->();

    kill INT => $pid;
    waitpid $pid, 0;

    return $happened;
}


sub client_leaves {
    # larger than what can be sent before it is interrupted
    truncate_to("$dir/huge", 1_000_000_000);

    my ($worker) = $ngx->worker_pids;
    my $files = sub {
        return grep { (readlink $_ // '') =~ m{/temp/body/} }
               glob "/proc/$worker/fd/*";
    };

    ok(leave(['-m', 'POST', '-d', "$dir/huge"], '/file?id=c3&s=echo', sub {
           SmartServer::wait_for($files, 10);
       }), 'a client that leaves in its upload');
    ok(SmartServer::wait_for(sub { !$files->() }, 5),
       'a client that leaves in its upload - no file is left');
    is(SmartServer->ctl('count?id=c3'), "0\n",
       'a client that leaves in its upload - nothing is sent');

    for my $uri ('/soon?id=c4&s=hang', '/held_soon?id=c5&s='
                 . encoded('body:{"time": 3};chunked;split:1,200'))
    {
        my ($id) = $uri =~ /id=(\w+)/;

        SmartServer::spew("$dir/upload", 'x' x 100_000);
        leave(['-m', 'POST', '-d', "$dir/upload"], $uri, sub {
            SmartServer->ctl("wait?id=$id&event=request&count=2&ms=5000");
        });
        cancelled($id, 'attempts=2 done=0 cancelled=2 open=0',
                  "a client that leaves after its upload, $uri");
    }

    h3(['--exit-on-first-stream-close'], '/soon?id=c1&s=hang',
       '/?id=c2&s=delay:400');

    cancelled('c1', 'attempts=2 done=0 cancelled=2 open=0',
              'a client that leaves cancels all');
}


sub truncate_to {
    my ($file, $size) = @_;

    SmartServer::spew($file, '');
    truncate $file, $size or die "$file: $!";
}
