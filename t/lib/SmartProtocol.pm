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
# memcached()          starts a real memcached that takes values of 8 MB and
#                      sets $TEST_NGINX_MEMCACHED; false if there is none
# memcached_set(key => value, ...)
# md5(size, seed)      of upstream.pl's pattern, and that of a body, for
#                      response_body_filters: body_md5
# blocks(config => text)
#                      for SmartTest: peers 1 to 3 in upstream u, the section
#                      "logged" as in hedge_basic.t; the text goes before
#                      each config
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


sub blocks {
    my ($class, %opt) = @_;

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
                                    . ($opt{config} // "")
                                    . $block->config);
    });

    Test::Nginx::Util::add_test_cleanup_handler(sub {
        my ($block) = @_;

        return if !defined $block->logged;

        my $log = SmartTest::log_file('access');
        my $name = $block->name . ' - log';

        ref $block->logged ? Test::More::like($log, $block->logged, $name)
                           : Test::More::is($log, $block->logged, $name);
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
