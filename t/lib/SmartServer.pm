package SmartServer;

# A real nginx, the scripted upstream and a raw HTTP client, for tests that do
# not fit Test::Nginx blocks: large downloads, slow and aborting clients,
# keepalive, reload, memory and descriptors of the workers.
#
#   use Test::More;
#   use SmartServer;
#
#   SmartServer->upstream;                  # $TEST_NGINX_UP1 .. UP6, once
#
#   my $ngx = SmartServer->start(workers => 2, conf => <<'CONF');
#   upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; }
#   server {
#       listen 127.0.0.1:%%PORT%%;
#       location / { smart_hedge 50ms; proxy_pass http://u; }
#   }
#   CONF
#
#   my $c = $ngx->connect;
#   $c->request('/?id=a&s=size:200000000');
#   my $head = $c->read_header;
#   my $body = $c->read_body(rate => 50_000_000);
#   is $head->{status}, 200;
#   is $body->{md5}, SmartServer->pattern_md5(200_000_000);
#   is(SmartServer->ctl('cancelled?id=a'), "attempts=1 done=1 ...\n");
#   $ngx->stop;
#   done_testing;
#
# Environment: TEST_NGINX_BINARY, TEST_NGINX_LOAD_MODULES (.so files separated
# by spaces), TEST_NGINX_SERVROOT (the servers' directories lie beside it, in
# ${TEST_NGINX_SERVROOT}_servers), TEST_NGINX_NO_CLEAN keeps them.
#
# Everything that was started is stopped at the end, also when the test dies.
#
# Upstream:
#
#   SmartServer->upstream([count])   starts upstream.pl on count (6) free ports
#                                    and sets TEST_NGINX_UP1 ..
#   SmartServer->ctl('log?id=a')     asks its control, see upstream.pl
#   SmartServer->ctl_json(...)       the same, decoded
#   SmartServer->pattern_md5(size[, seed])
#   SmartServer->stop_upstream
#
#   SmartServer->example(file)       the text of conf/FILE for start(): it listens
#                                    on a free port, and its servers at port
#                                    8081 and up are those of upstream.pl
#
# Addresses, each reserved until the test ends:
#
#   SmartServer::free_port()         a port for a server to listen on
#   SmartServer::dead_addr()         refuses connections
#   SmartServer::blackhole_addr()    never completes a connection
#   SmartServer::fill_queue(socket)  clients: until they are gone, and accepted,
#                                    no other is let in
#
# Server; assertions count as tests:
#
#   start(%opt)      conf => the inside of http {}, main => top level, events =>
#                    inside of events {}, workers => 1, connections => 1024,
#                    log_level => info, files => { name => text },
#                    modules => [paths] in place of the environment's,
#                    must_fail => 1 returns undef and sets $SmartServer::error.
#                    In texts %%PORT%%, %%PORT_2%% .. are free ports, %%DIR%% is
#                    the server's directory, $TEST_NGINX_* are expanded.
#                    "access_log %%DIR%%/logs/access.log" in the default format
#                    is set unless conf has an access_log.
#   test_config(%opt)       (exit status, output) of nginx -t, nothing started
#   port([n]), addr([n])    n-th free port, and with 127.0.0.1 before it
#   dir, pid                directory, process id of the master
#   connect(%opt)           a client, see below
#   get(uri, %opt)          one request on a new connection; hash with status,
#                           header, headers, body, size, md5, complete, ms
#   load(%opt)              many requests at once, see below
#   error_log, access_log   content, in list context lines
#   worker_pids             those that are not shutting down
#   rss_kb(pid), fds(pid)   resident memory, number of open sockets
#   stub_status             hash: active accepts handled requests reading
#                           writing waiting; the asking connection included;
#                           undefined values where nginx lacks that module
#   reload([text])          HUP with the old or a new conf, waits until the
#                           workers are new ones; true if they are
#   signal(name)            to the master
#   stop(%opt)              assertion: graceful QUIT within timeout (10) s, exit
#                           status 0, no alert, crit or emerg in the log and no
#                           sanitizer report; alerts => 1 allows the former
#   kill                    TERM, no assertion
#   log_like(re, name), log_unlike(re, name), no_alerts(name)    assertions
#
#   SmartServer::wait_for(code, seconds)   polls until code returns true
#
# Client (SmartServer::Client); times are ms since the request was sent:
#
#   connect(addr => ..., timeout => 10, rcvbuf => bytes)
#   send(bytes)
#   request(uri, method => 'GET', headers => [name => value, ...], body => '',
#           version => '1.1', close => 0)      Host is added if missing
#   read_header      hash: status, header (raw), headers (lower-cased name =>
#                    value, repeated ones joined by ", "), interim (array of
#                    skipped 1xx), ms; undef if none came, see error
#   read_body(rate => bytes per s, limit => bytes, keep => 1048576)
#                    hash: size, md5, complete, ms, body (its first keep bytes),
#                    trailers; limit stops there, complete then stays 0
#   header_only => 1 in request for HEAD: read_body reads nothing
#   closed([s])      true once the server has closed, waits s (1)
#   close, reset     FIN, RST
#   error            what went wrong: 'timeout', 'closed', or errno's text
#
# Load:
#
#   load(uri => text or code (number of the request), requests => 1000,
#        concurrency => 100, keepalive => 1, timeout => 30, headers => [...])
#   returns a list of [status, ms, size] in order of completion; status is 0
#   for a request that got no complete response.

use strict;
use warnings;

use Cwd ();
use Errno qw( EAGAIN EINTR EINPROGRESS );
use File::Basename qw( basename dirname );
use File::Path qw( make_path remove_tree );
use IO::Socket::INET;
use JSON::PP ();
use POSIX qw( WNOHANG );
use Socket;
use Test::More ();
use Time::HiRes qw( sleep time );

our $error;

my $owner = $$;
my $count = 0;
my (@servers, @locks, @held, %upstream);


# addresses

# Ports below the ephemeral range; an abstract socket is the lock that keeps
# test files that run at the same time apart.

sub free_port {
    for (1 .. 1000) {
        my $port = 10000 + int rand 20000;

        socket my $lock, PF_UNIX, SOCK_DGRAM, 0 or die "socket: $!";
        bind $lock, pack_sockaddr_un("\0smart-test-port-$port") or next;

        my $probe = IO::Socket::INET->new(
            LocalAddr => '0.0.0.0', LocalPort => $port, Proto => 'tcp',
            Listen => 1, ReuseAddr => 1,
        ) or next;

        close $probe;
        push @locks, $lock;

        return $port;
    }

    die "no free port\n";
}


# bound and not listening: refused, and nobody else can take it

sub dead_addr {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                       Proto => 'tcp')
        or die "dead port: $!";

    push @held, $socket;

    return '127.0.0.1:' . $socket->sockport;
}


sub blackhole_addr {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                       Proto => 'tcp', Listen => 1)
        or die "black hole: $!";

    push @held, $socket, fill_queue($socket);

    return '127.0.0.1:' . $socket->sockport;
}


# clients that fill the accept queue: further SYNs are dropped

sub fill_queue {
    my ($socket) = @_;

    my @clients;

    listen $socket, 0;

    for (1 .. 16) {
        my $client = IO::Socket::INET->new(Proto => 'tcp', Blocking => 0)
            or die "black hole: $!";

        connect $client, $socket->sockname;
        push @clients, $client;

        my $w = '';
        vec($w, fileno $client, 1) = 1;
        return @clients if !select undef, $w, undef, 0.05;
    }

    die "the kernel accepts beyond the backlog: no black hole\n";
}


# the scripted upstream

sub upstream {
    my ($class, $n) = @_;

    return if $upstream{pid};

    $n //= 6;

    pipe my $in, $upstream{stdin} or die "pipe: $!";
    pipe $upstream{stdout}, my $out or die "pipe: $!";

    my $script = dirname(Cwd::abs_path(__FILE__)) . '/upstream.pl';
    my $pid = fork;

    die "fork: $!" if !defined $pid;

    if (!$pid) {
        open STDIN, '<&', $in or POSIX::_exit(1);
        open STDOUT, '>&', $out or POSIX::_exit(1);
        exec 'sh', '-c', 'ulimit -n 16384 2>/dev/null; exec "$@"', 'sh', $^X,
            $script, '--until-eof', '--listen',
            join(',', ('127.0.0.1:0') x $n)
            or POSIX::_exit(1);
    }

    close $in;
    close $out;
    $upstream{pid} = $pid;

    my $line = readline $upstream{stdout};
    die "upstream.pl did not start\n" if !defined $line;

    $upstream{addrs} = [split ' ', $line];
    $ENV{"TEST_NGINX_UP$_"} = $upstream{addrs}[$_ - 1] for 1 .. $n;
}


sub stop_upstream {
    my $pid = delete $upstream{pid} or return;

    close delete $upstream{stdin};
    kill TERM => $pid;
    waitpid $pid, 0;
    %upstream = ();
}


sub ctl {
    my ($class, $what) = @_;

    my $c = SmartServer::Client->connect(addr => $upstream{addrs}[0],
                                         timeout => 30)
        or die "upstream.pl is gone\n";

    $c->request("/_ctl/$what", close => 1);
    $c->read_header or die "upstream.pl: " . $c->error . "\n";

    return $c->read_body(keep => 1 << 26)->{body};
}


sub ctl_json {
    my ($class, $what) = @_;

    return JSON::PP::decode_json($class->ctl($what));
}


sub pattern_md5 {
    my ($class, $size, $seed) = @_;

    my $md5 = $class->ctl("md5?size=$size&seed=" . ($seed // 0));
    chomp $md5;

    return $md5;
}


# the server

sub start {
    my ($class, %opt) = @_;

    my $self = $class->_prepare(%opt);

    $error = undef;
    push @servers, $self;

    my $pid = fork;
    die "fork: $!" if !defined $pid;

    if (!$pid) {
        open STDOUT, '>', "$self->{dir}/logs/stdout.log";
        open STDERR, '>', "$self->{dir}/logs/stderr.log";
        exec $self->_command or POSIX::_exit(1);
    }

    $self->{pid} = $pid;

    my $up = wait_for(sub {
        return -1 if waitpid($pid, WNOHANG) == $pid;
        return $self->worker_pids == $self->{workers}
               && IO::Socket::INET->new(PeerAddr => $self->addr(0));
    }, 10);

    return $self if $up && ref $up;

    $error = $self->error_log . slurp("$self->{dir}/logs/stderr.log");

    if ($up) {
        delete $self->{pid};

    } else {
        $self->kill;
    }

    return undef if $opt{must_fail};
    die "nginx did not start:\n$error";
}


sub test_config {
    my ($class, %opt) = @_;

    my $self = $class->_prepare(%opt);

    push @servers, $self;

    my $command = join ' ', map { "'$_'" } $self->_command, '-t';
    my $output = `$command 2>&1`;

    return $? >> 8, $output;
}


sub _command {
    my ($self) = @_;

    my $log = "$self->{dir}/logs/error.log";

    return ($ENV{TEST_NGINX_BINARY} || 'nginx', '-e', $log, '-p',
            "$self->{dir}/", '-c', "$self->{dir}/nginx.conf");
}


sub _prepare {
    my ($class, %opt) = @_;

    my $base = $ENV{TEST_NGINX_SERVROOT} || Cwd::getcwd() . '/t/servroot';
    my $name = basename($0, '.t') . "-$$-" . ++$count;
    my $self = bless { opt => \%opt, workers => $opt{workers} // 1 }, $class;

    $self->{dir} = Cwd::abs_path(make_dir("${base}_servers")) . "/$name";
    make_dir("$self->{dir}/$_") for qw( logs temp html );

    for my $file (keys %{ $opt{files} || {} }) {
        make_dir(dirname("$self->{dir}/$file"));
        spew("$self->{dir}/$file", $self->_expand($opt{files}{$file}));
    }

    $self->{ports}[0] = free_port();
    $self->_write_conf;

    return $self;
}


sub _write_conf {
    my ($self) = @_;

    my $opt = $self->{opt};
    my @modules = $opt->{modules} ? @{ $opt->{modules} }
                : split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';
    my $modules = join '', map { "load_module $_;\n" } @modules;
    my $user = $> == 0 ? 'user ' . ($opt->{user} // 'root') . ';' : '';
    my $main = $opt->{main} // '';
    my $events = $opt->{events} // '';
    my $conf = $opt->{conf} // '';
    my $level = $opt->{log_level} // 'info';
    my $connections = $opt->{connections} // 1024;
    my $log = $conf =~ /\baccess_log\b/ ? ''
            : 'access_log %%DIR%%/logs/access.log;';
    my $off = smart_off();
    my $status = build_options() =~ /http_stub_status_module/
               ? 'stub_status;' : 'return 204;';

    spew("$self->{dir}/nginx.conf", $self->_expand(<<"CONF"));
$modules$user
daemon off;
worker_processes $self->{workers};
pid %%DIR%%/logs/nginx.pid;
error_log %%DIR%%/logs/error.log $level;
$main
events {
    worker_connections $connections;
    $events
}

http {
    default_type text/plain;
    $log
    client_body_temp_path %%DIR%%/temp/body;
    proxy_temp_path %%DIR%%/temp/proxy;
    fastcgi_temp_path %%DIR%%/temp/fastcgi;
    uwsgi_temp_path %%DIR%%/temp/uwsgi;
    scgi_temp_path %%DIR%%/temp/scgi;

    server {
        listen 127.0.0.1:$self->{ports}[0];
        access_log off;
        location = /stub_status { $status $off }
    }

$conf
}
CONF
}


# directives that take a location out of the module's way, if it is there

sub smart_off {
    return ($ENV{TEST_NGINX_LOAD_MODULES} // '') =~ /ngx_http_smart_module/
           || build_options() =~ /--add-module=\S*smart/
           ? 'smart_hedge off; smart_timeout off;' : '';
}


sub build_options {
    my $nginx = $ENV{TEST_NGINX_BINARY} || 'nginx';

    our $options //= `'$nginx' -V 2>&1`;

    return $options;
}


sub _expand {
    my ($self, $text) = @_;

    $text =~ s/%%PORT%%/$self->port(1)/ge;
    $text =~ s/%%PORT_(\d+)%%/$self->port($1)/ge;
    $text =~ s/%%DIR%%/$self->{dir}/g;
    $text =~ s/\$(TEST_NGINX_[A-Z0-9_]+)/
        $ENV{$1} \/\/ die "no environment $1\n"/ge;

    return $text;
}


# 0 is the port of stub_status

sub port {
    my ($self, $n) = @_;

    return $self->{ports}[$n // 1] //= free_port();
}


sub addr {
    my ($self, $n) = @_;

    return '127.0.0.1:' . $self->port($n);
}


sub dir { return $_[0]{dir} }
sub pid { return $_[0]{pid} }


sub connect {
    my ($self, %opt) = @_;

    return SmartServer::Client->connect(addr => $self->addr, %opt);
}


sub get {
    my ($self, $uri, %opt) = @_;

    my $c = $self->connect(%opt) or return { status => 0 };

    $c->request($uri, close => 1, %opt);

    my $head = $c->read_header or return { status => 0 };
    my $body = $c->read_body(%opt);

    return { %$head, %$body };
}


sub error_log { return log_file(wantarray, "$_[0]{dir}/logs/error.log") }
sub access_log { return log_file(wantarray, "$_[0]{dir}/logs/access.log") }


sub log_file {
    my ($list, $file) = @_;

    my $text = slurp($file);

    return $list ? split /^/, $text : $text;
}


sub children {
    my ($pid) = @_;

    my @pids;

    for my $stat (glob '/proc/[0-9]*/stat') {
        push @pids, $1
            if slurp($stat) =~ /^(\d+) \(.*\) \S (\d+)/s && $2 == $pid;
    }

    return sort { $a <=> $b } @pids;
}


sub worker_pids {
    my ($self) = @_;

    my @pids = grep {
        my $title = slurp("/proc/$_/cmdline");
        $title =~ /worker process/ && $title !~ /shutting down/;
    } children($self->{pid});

    return @pids;
}


sub rss_kb {
    my ($self, $pid) = @_;

    return slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m ? $1 : 0;
}


# without those that it has from the master: where it listens, and the channels
# of processes, which come and go

sub fds {
    my ($self, $pid) = @_;

    my %master = $pid == $self->{pid}
                 ? () : map { $_ => 1 } sockets($self->{pid});

    return scalar grep { !$master{$_} } sockets($pid);
}


sub sockets {
    my ($pid) = @_;

    return grep { /^socket:/ } map { readlink $_ // '' } glob "/proc/$pid/fd/*";
}


sub stub_status {
    my ($self) = @_;

    my $c = $self->connect(addr => $self->addr(0)) or return {};

    $c->request('/stub_status', close => 1);
    $c->read_header;

    my @n = $c->read_body->{body} =~ /(\d+)/g;
    my %status;

    @status{qw( active accepts handled requests reading writing waiting )}
        = @n;

    return \%status;
}


sub reload {
    my ($self, $conf) = @_;

    my %old = map { $_ => 1 } $self->worker_pids;

    if (defined $conf) {
        $self->{opt}{conf} = $conf;
        $self->_write_conf;
    }

    kill HUP => $self->{pid};

    return wait_for(sub {
        my @pids = $self->worker_pids;
        return @pids == $self->{workers} && !grep { $old{$_} } @pids;
    }, 10);
}


sub signal {
    my ($self, $name) = @_;

    return kill $name => $self->{pid};
}


sub stop {
    my ($self, %opt) = @_;

    my $pid = delete $self->{pid} or return 1;
    my @family = children($pid);
    my $status;

    kill QUIT => $pid;

    my $over = wait_for(sub {
        return 0 if waitpid($pid, WNOHANG) != $pid;
        $status = $?;
        return 1;
    }, $opt{timeout} // 10);

    if (!$over) {
        kill KILL => $pid, @family;
        waitpid $pid, 0;
    }

    my @bad = $opt{alerts} ? () : $self->_alerts;
    my @stderr = (slurp("$self->{dir}/logs/stderr.log") . $self->error_log)
                 =~ /^.*(?:Sanitizer|runtime error): .*$/mg;
    my $ok = $over && $status == 0 && !@bad && !@stderr;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::ok($ok, $opt{name} // 'server stops in good order');

    if (!$ok) {
        Test::More::diag($over ? "wait status $status" : 'did not stop',
                         "\n", @bad, join "\n", @stderr);
    }

    return $ok;
}


sub kill {
    my ($self, $name) = @_;

    my $pid = delete $self->{pid} or return;
    my @family = children($pid);

    CORE::kill($name // 'TERM', $pid);

    if (!wait_for(sub { waitpid($pid, WNOHANG) != 0 }, 5)) {
        CORE::kill('KILL', $pid, @family);
        waitpid $pid, 0;
    }
}


sub _alerts {
    my ($self) = @_;

    return grep { /\[(?:alert|crit|emerg)\]/ } $self->error_log;
}


sub no_alerts {
    my ($self, $name) = @_;

    my @bad = $self->_alerts;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::ok(!@bad, $name // 'no alert, crit or emerg')
        or Test::More::diag(@bad);
}


sub log_like {
    my ($self, $re, $name) = @_;

    wait_for(sub { $self->error_log =~ $re }, 1);

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::like(scalar $self->error_log, $re, $name);
}


sub log_unlike {
    my ($self, $re, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::unlike(scalar $self->error_log, $re, $name);
}


sub wait_for {
    my ($code, $seconds) = @_;

    my $end = time + $seconds;

    for ( ;; ) {
        my $value = $code->();
        return $value if $value;
        return 0 if time > $end;
        sleep 0.01;
    }
}


# load

sub load {
    my ($self, %opt) = @_;

    my %state = (
        uri => $opt{uri} // '/', left => $opt{requests} // 1000,
        keepalive => $opt{keepalive} // 1, sent => 0, results => [],
        headers => $opt{headers} // [], addr => $opt{addr} // $self->addr,
        clients => {},
    );

    my $end = time + ($opt{timeout} // 30);

    for (1 .. $opt{concurrency} // 100) {
        load_next(\%state, undef) if $state{left} > 0;
    }

    while (%{ $state{clients} } && time < $end) {
        my ($r, $w) = ('', '');

        for my $c (values %{ $state{clients} }) {
            vec(length $c->{out} ? $w : $r, fileno $c->{socket}, 1) = 1;
        }

        next if select($r, $w, undef, 0.5) <= 0;

        for my $c (values %{ $state{clients} }) {
            my $fd = fileno $c->{socket};

            if (vec($w, $fd, 1)) {
                load_write(\%state, $c);

            } elsif (vec($r, $fd, 1)) {
                load_read(\%state, $c);
            }
        }
    }

    load_end(\%state, $_, 0) for values %{ $state{clients} };

    return @{ $state{results} };
}


sub load_next {
    my ($state, $socket) = @_;

    my $n = $state->{sent}++;
    my $uri = ref $state->{uri} ? $state->{uri}->($n) : $state->{uri};
    my @headers = @{ $state->{headers} };
    my $text = "GET $uri HTTP/1.1\r\nHost: localhost\r\n";

    $state->{left}--;

    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }

    $text .= "Connection: close\r\n" if !$state->{keepalive};

    $socket //= IO::Socket::INET->new(PeerAddr => $state->{addr},
                                      Blocking => 0);

    if (!$socket) {
        push @{ $state->{results} }, [0, 0, 0];
        return;
    }

    $state->{clients}{fileno $socket} = {
        socket => $socket, out => "$text\r\n", in => '', start => time,
    };
}


sub load_write {
    my ($state, $c) = @_;

    my $n = syswrite $c->{socket}, $c->{out};

    if (defined $n) {
        substr $c->{out}, 0, $n, '';

    } elsif ($! != EAGAIN && $! != EINTR) {
        load_end($state, $c, 0);
    }
}


sub load_read {
    my ($state, $c) = @_;

    my $n = sysread $c->{socket}, $c->{in}, 65536, length $c->{in};

    return if !defined $n && ($! == EAGAIN || $! == EINTR);

    my ($head) = $c->{in} =~ /^(.*?\r\n\r\n)/s;
    my $size = defined $head ? length($c->{in}) - length $head : 0;

    if (!$n) {
        my $whole = defined $head
                    && $head !~ /^(?:content-length|transfer-encoding):/mi;
        load_end($state, $c, $whole ? 1 : 0, $size);
        return;
    }

    return if !defined $head;

    if ($head =~ /^HTTP\S+ (?:204|304)/) {
        load_end($state, $c, 1, 0);

    } elsif ($head =~ /^content-length: (\d+)/mi) {
        load_end($state, $c, 1, $size) if $size >= $1;

    } elsif ($head =~ /^transfer-encoding: chunked/mi) {
        load_end($state, $c, 1, $size) if $c->{in} =~ /\n0\r\n(?:.+\r\n)*\r\n$/;
    }
}


sub load_end {
    my ($state, $c, $whole, $size) = @_;

    my ($status) = $c->{in} =~ m{^HTTP/1\.[01] (\d+)};
    my $close = !$whole || $c->{in} =~ /^connection: close/mi;

    push @{ $state->{results} },
        [$whole ? $status : 0, (time - $c->{start}) * 1000, $size // 0];

    delete $state->{clients}{fileno $c->{socket}};

    if ($close || !$state->{keepalive}) {
        close $c->{socket};
        load_next($state, undef) if $state->{left} > 0;

    } elsif ($state->{left} > 0) {
        load_next($state, $c->{socket});
    }
}


# files

sub make_dir {
    make_path($_[0]);
    return $_[0];
}


sub example {
    my ($class, $file) = @_;

    my $conf = slurp("conf/$file") || die "conf/$file: $!\n";
    my $n = 0;

    $conf =~ s/127\.0\.0\.1:8080/127.0.0.1:%%PORT%%/
        or die "conf/$file does not listen on port 8080\n";
    $conf =~ s/127\.0\.0\.1:808[1-9]/'$TEST_NGINX_UP' . ++$n/ge
        or die "conf/$file has no servers\n";

    return $conf;
}


sub slurp {
    open my $fh, '<', $_[0] or return '';
    local $/;
    my $text = readline $fh;
    return $text // '';
}


sub spew {
    my ($file, $text) = @_;

    open my $fh, '>', $file or die "$file: $!\n";
    print $fh $text;
    close $fh or die "$file: $!\n";
}


END {
    if ($$ == $owner) {
        local $?;

        $_->kill for @servers;
        stop_upstream();

        if (!$ENV{TEST_NGINX_NO_CLEAN}) {
            remove_tree($_->{dir}) for @servers;
        }
    }
}


package SmartServer::Client;

use strict;
use warnings;

use Digest::MD5;
use Errno qw( EINTR );
use IO::Socket::INET;
use Socket;
use Time::HiRes qw( sleep time );


sub connect {
    my ($class, %opt) = @_;

    my ($host, $port) = split /:/, $opt{addr};

    socket my $socket, PF_INET, SOCK_STREAM, 0 or die "socket: $!";

    # before connect, or the window is already negotiated
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, $opt{rcvbuf} if $opt{rcvbuf};

    CORE::connect($socket, pack_sockaddr_in($port, inet_aton($host)))
        or return undef;

    return bless { socket => $socket, in => '', start => time,
                   timeout => $opt{timeout} // 10 }, $class;
}


sub send {
    my ($self, $text) = @_;

    local $SIG{PIPE} = 'IGNORE';
    my $sent = 0;

    while ($sent < length $text) {
        my $n = syswrite $self->{socket}, $text, length($text) - $sent, $sent;

        if (!defined $n) {
            next if $! == EINTR;
            $self->{error} = "$!";
            return 0;
        }

        $sent += $n;
    }

    $self->{start} = time;

    return 1;
}


sub request {
    my ($self, $uri, %opt) = @_;

    my $method = $opt{method} // 'GET';
    my @headers = @{ $opt{headers} || [] };
    my $text = "$method $uri HTTP/" . ($opt{version} // '1.1') . "\r\n";
    my %seen;

    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
        $seen{lc $name} = 1;
    }

    $text .= "Host: localhost\r\n" if !$seen{host};
    $text .= "Connection: close\r\n" if $opt{close};
    $text .= 'Content-Length: ' . length($opt{body}) . "\r\n"
        if defined $opt{body} && !$seen{'content-length'};

    $self->{bodiless} = $opt{header_only} || $method eq 'HEAD';

    return $self->send("$text\r\n" . ($opt{body} // ''));
}


# appends at most size bytes to the input; 0 on end, error or timeout

sub _read {
    my ($self, $size) = @_;

    my $r = '';
    vec($r, fileno $self->{socket}, 1) = 1;

    if (select($r, undef, undef, $self->{timeout}) <= 0) {
        $self->{error} = 'timeout';
        return 0;
    }

    my $n = sysread $self->{socket}, $self->{in}, $size,
                    length $self->{in};

    $self->{error} = defined $n ? 'closed' : "$!" if !$n;

    return $n || 0;
}


sub _ms {
    my ($self) = @_;

    return (time - $self->{start}) * 1000;
}


sub read_header {
    my ($self) = @_;

    my @interim;

    for ( ;; ) {
        my $end;

        while (($end = index $self->{in}, "\r\n\r\n") < 0) {
            $self->_read(65536) or return undef;
        }

        my $raw = substr $self->{in}, 0, $end + 4, '';
        my ($status) = $raw =~ m{^HTTP/\d\.\d (\d{3})};

        if (!defined $status) {
            $self->{error} = 'malformed';
            return undef;
        }

        if ($status < 200 && $status != 101) {
            push @interim, $raw;
            next;
        }

        my %headers;

        while ($raw =~ /^([^:\s]+):[ \t]*(.*?)\r$/mg) {
            my $name = lc $1;
            $headers{$name} = defined $headers{$name}
                            ? "$headers{$name}, $2" : $2;
        }

        $self->{head} = \%headers;
        $self->{status} = $status;

        return { status => $status, header => $raw, headers => \%headers,
                 interim => \@interim, ms => $self->_ms };
    }
}


sub read_body {
    my ($self, %opt) = @_;

    my $h = $self->{head};
    my $b = { size => 0, complete => 0, body => '',
              md5_state => Digest::MD5->new, opt => \%opt, start => time };

    if ($self->{bodiless} || $self->{status} =~ /^(?:204|304)$/) {
        $b->{complete} = 1;

    } elsif (lc($h->{'transfer-encoding'} // '') eq 'chunked') {
        $self->_read_chunked($b);

    } else {
        my $length = $h->{'content-length'};
        my $rest = $self->_take($b, $length // 9e15);

        $b->{complete} = defined $length ? !$rest
                       : $rest && $self->{error} eq 'closed' ? 1 : 0;
    }

    $b->{complete} = $b->{complete} ? 1 : 0;
    $b->{md5} = delete($b->{md5_state})->hexdigest;
    $b->{ms} = $self->_ms;
    delete @$b{qw( opt start )};

    return $b;
}


# what could not be had of size

sub _take {
    my ($self, $b, $size) = @_;

    my $opt = $b->{opt};
    my $limit = ($opt->{limit} // 9e15) - $b->{size};
    my $keep = $opt->{keep} // 1 << 20;

    while ($size > 0 && $limit > 0) {
        if (!length $self->{in}) {
            $self->_read($opt->{rate} && $opt->{rate} < 655360
                         ? int($opt->{rate} / 10) + 1 : 65536) or last;
        }

        my $n = length $self->{in};

        $n = $size if $n > $size;
        $n = $limit if $n > $limit;

        my $piece = substr $self->{in}, 0, $n, '';

        $b->{md5_state}->add($piece);
        $b->{body} .= substr $piece, 0, $keep - length $b->{body}
            if length $b->{body} < $keep;
        $b->{size} += $n;
        $size -= $n;
        $limit -= $n;

        if ($opt->{rate}) {
            my $ahead = $b->{size} / $opt->{rate} - (time - $b->{start});
            sleep $ahead if $ahead > 0;
        }
    }

    return $size;
}


sub _read_chunked {
    my ($self, $b) = @_;

    for ( ;; ) {
        my ($size) = $self->_read_line(qr/(?:\r\n)?([0-9A-Fa-f]+)[^\n]*\n/)
            or return;

        last if !hex $size;
        return if $self->_take($b, hex $size);
    }

    ($b->{trailers}) = $self->_read_line(qr/((?:[^\r\n]+\r\n)*)\r\n/)
        or return;

    $b->{complete} = 1;
}


# reads until the input begins with what the pattern says and takes it off

sub _read_line {
    my ($self, $re) = @_;

    for ( ;; ) {
        return $1 if $self->{in} =~ s/^$re//;
        $self->_read(65536) or return;
    }
}


sub closed {
    my ($self, $seconds) = @_;

    local $self->{timeout} = $seconds // 1;
    my $end = time + $self->{timeout};

    while (time < $end) {
        $self->_read(65536) or return $self->{error} ne 'timeout';
    }

    return 0;
}


sub close {
    my ($self) = @_;

    CORE::close($self->{socket});
}


sub reset {
    my ($self) = @_;

    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    CORE::close($self->{socket});
}


sub error { return $_[0]{error} // '' }


1;
