# conf/intercept.conf: nginx as the gateway of programs that know nothing of
# it, by names that are resolved; who is refused; and CONNECT, where nginx has
# tunnel_pass.

use strict;
use warnings;

use FindBin;
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartServer;

plan skip_all => 'no journal module'
    if ($ENV{TEST_NGINX_LOAD_MODULES} // '') !~ /journal/;

my $text = slurp('conf/intercept.conf');
my $connect = slurp('conf/intercept_connect.conf');

# what the example has, elsewhere

my $dns = start_dns();
my %there = (
    'sqlite:/var/lib/nginx/journal/requests.db' =>
        'sqlite:%%DIR%%/j.db flush=10ms',
    '127.0.0.1:5000;' => '127.0.0.1:%%PORT%%;',
    '127.0.0.1:5001;' => '127.0.0.1:%%PORT_2%%;',
    '127.0.0.53 ' => "127.0.0.1:$dns ",
);

for my $what (sort keys %there) {
    my $n = $text =~ s/\Q$what\E/$there{$what}/g;
    is $n, 1, "the example has $what";
}

# another address of this machine, which the example refuses

$text =~ s/(listen\s+127\.0\.0\.1:%%PORT%%;)/$1 listen 127.0.0.2:%%PORT%%;/;

my $tunnel = has_tunnel();

my $ngx = SmartServer->start(
    conf => $text . <<'CONF',
server {
    listen 127.0.0.1:%%PORT_3%%;
    location / {
        add_header X-Method $request_method;
        add_header X-Seen "$http_host $http_via $http_proxy_authorization";
        add_header X-Accel-Redirect /other;
        return 200 "$request_uri\n";
    }
    location /slow { limit_rate 1k; return 404 "not here"; }
}
CONF
    files => $tunnel ? { 'intercept_connect.conf' => $connect } : {},
);

my $proxy = $ngx->addr(1);
my $port = $ngx->port(3);


# programs that are told by the environment alone

my @programs = (
    ['curl', q{curl -s -A x '%s'}],
    ['python', q{python3 -c "import urllib.request as r, sys; }
               . q{print(r.urlopen(sys.argv[1]).read().decode(), end='')" '%s'}],
    ['perl', q{perl -MLWP::UserAgent -e 'my $u = LWP::UserAgent->new; }
             . q{$u->env_proxy; print $u->get(shift)->content' '%s'}],
);

my @urls;

for my $row (@programs) {
    my ($name, $command) = @$row;
    my $url = "http://$name.example:$port/a/b?q=1&token=secret";
    my $answer = run(sprintf $command, $url);

    is $answer, "/a/b?q=1&token=secret\n", "$name gets its answer";
    push @urls, "http://$name.example:$port/a/b?q=1&token=REDACTED";
}

is_deeply [map { $_->{target_url} } records(3)], [reverse @urls],
          'each is on record';

{
    my ($record) = records(3);

    is $record->{host}, 'perl.example', 'host';
    is $record->{website}, "http://perl.example:$port", 'website';
    is $record->{response_code}, 200, 'code';
    is $record->{state}, 'complete', 'state';
    is $record->{method}, 'GET', 'method';
}


# what the other server sees, and what comes back

{
    my $head = run("curl -s -D - -o /dev/null -X POST -d x -U me:secret "
                   . "'http://seen.example:$port/'");

    like $head, qr{^X-Seen: seen\.example:$port 1\.1 smart-intercept ?\r}m,
         'Host and Via, and no password of a proxy';
    like $head, qr{^X-Method: POST\r}m, 'a method and its body';
    like $head, qr{^X-Accel-Redirect: /other\r}m,
         'what was not for this nginx';
}


# what is refused

for my $case (
    ["GET / HTTP/1.1\r\nHost: a.example\r\n", 400, 'no request to a proxy'],
    ["GET http:///x HTTP/1.1\r\nHost: a\r\n", 400, 'no server'],
    ["GET https://a.example/ HTTP/1.1\r\nHost: a.example\r\n", 400,
     'https in clear'],
    ["GET http://$proxy/ HTTP/1.1\r\nHost: $proxy\r\n", 400,
     'a loop: the proxy itself gets no request to a proxy'],
    ["GET http://nowhere.invalid/ HTTP/1.1\r\nHost: nowhere.invalid\r\n", 502,
     'no such server'],
) {
    my ($request, $status, $name) = @$case;

    is raw($proxy, $request), $status, $name;
}

is raw('127.0.0.2:' . $ngx->port(1),
       "GET http://a.example:$port/ HTTP/1.1\r\nHost: a.example\r\n",
       '127.0.0.2'),
   403, 'a client from elsewhere';


# CONNECT

SKIP: {
    skip 'nginx has no tunnel_pass', 5 if !$tunnel;

    my $answer = run("curl -s -p -A x 'http://far.example:$port/through'");

    is $answer, "/through\n", 'through a tunnel';

    my $record;

    SmartServer::wait_for(sub {
        ($record) = grep { $_->{method} eq 'CONNECT' } records(1);
        return $record;
    }, 10);

    is $record->{target_url}, "far.example:$port", 'its record: the authority';
    is $record->{host}, 'far.example', 'host';
    is $record->{response_code}, 200, 'code';
    is $record->{state}, 'complete', 'state';
}

if (!$tunnel) {
    like raw($proxy, "CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n"),
         qr/^40[05]$/, 'CONNECT is not allowed';
}

$ngx->stop;
kill TERM => $dns::pid;
waitpid $dns::pid, 0;

done_testing;


sub slurp {
    my ($file) = @_;

    open my $in, '<', "$FindBin::Bin/../$file" or die "$file: $!";
    local $/;

    return scalar <$in>;
}


sub run {
    my ($command) = @_;

    return scalar qx{http_proxy=http://$proxy no_proxy= $command 2>&1};
}


# the newest records that have ended, once there are so many

sub records {
    my ($n) = @_;

    my @records;

    SmartServer::wait_for(sub {
        my $r = $ngx->get('/api/v1/requests/get?state=complete',
                          addr => $ngx->addr(2));
        @records = @{ JSON::PP::decode_json($r->{body}) };
        return @records >= $n;
    }, 10);

    return @records;
}


sub raw {
    my ($addr, $head, $from) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => $addr, Proto => 'tcp',
                                       LocalAddr => $from, Timeout => 10)
        or return "no connection to $addr: $!";

    print $socket $head . "Connection: close\r\n\r\n";

    return IO::Select->new($socket)->can_read(10)
           && (readline($socket) // '') =~ m{^HTTP/1\.1 (\d+)} ? $1 : 'nothing';
}


sub has_tunnel {
    my ($code) = SmartServer->test_config(
        conf => 'server { location / { tunnel_pass; } }');

    return $code == 0;
}


# answers 127.0.0.1 for all of .example, and that there is nothing else

sub start_dns {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'udp')
        or die "udp: $!";

    $dns::pid = fork // die "fork: $!";
    return $socket->sockport if $dns::pid;

    my $parent = getppid;

    while (getppid == $parent) {
        IO::Select->new($socket)->can_read(1) or next;
        defined $socket->recv(my $query, 512) or next;

        my $id = substr $query, 0, 2;
        my ($name) = substr($query, 12) =~ /^(.*?\0)/s;
        my $question = substr $query, 12, length($name) + 4;
        my $known = $name =~ /\x07example\0$/
                    && substr($question, -4, 2) eq "\0\x01";

        $socket->send($known
            ? $id . "\x81\x80\0\x01\0\x01\0\0\0\0" . $question
              . "\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0\x01"
            : $id . "\x81\x83\0\x01\0\0\0\0\0\0" . $question);
    }

    POSIX::_exit(0);
}
