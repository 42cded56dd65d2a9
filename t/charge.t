# A peer that lets three losers in a row wait for a connection is charged; an
# answer of it in between makes up for it.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Test::More;
use SmartServer;

my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
    or die "no socket: $!";
my $peer = '127.0.0.1:' . $socket->sockport;

SmartServer->upstream;

my $ngx = SmartServer->start(conf => <<"CONF");
upstream u {
    server $peer max_fails=1 fail_timeout=1m;
    server \$TEST_NGINX_UP1 max_fails=0;
}

server {
    listen 127.0.0.1:%%PORT%%;

    smart_hedge 100ms;
    smart_hedge_budget off;
    add_header X-Attempts \$smart_attempts;

    location / { proxy_pass http://u; }
}
CONF

my @clients = SmartServer::fill_queue($socket);

ok(overtaken(), "it lets $_ wait and is asked again") for 1, 2;

opened();
ok(asked(sub { ($_[0]{headers}{'x-served'} // '') eq 'late' }), 'it answers');
wait;

@clients = SmartServer::fill_queue($socket);

ok(overtaken(), "it lets $_ more wait and is asked again") for 1, 2;
ok(overtaken(), 'the third in a row');
ok(!overtaken(), 'it is down');

$ngx->stop;

done_testing;


# a request of several that goes to that peer, and is won by a hedge

sub overtaken {
    return asked(sub { $_[0]{headers}{'x-attempts'} == 2 });
}


sub asked {
    my ($is) = @_;

    for (1 .. 4) {
        return 1 if $is->($ngx->get('/?s=ok'));
    }

    return 0;
}


# the peer takes what waits, and answers one request

sub opened {
    @clients = ();

    my $select = IO::Select->new($socket);

    $socket->accept while $select->can_read(0.1);

    return if fork;

    # nobody may ask, if it is down
    alarm 5;

    my $c = $socket->accept;

    while (defined(my $line = <$c>)) {
        last if $line eq "\r\n";
    }

    print $c "HTTP/1.0 200 OK\r\nX-Served: late\r\nContent-Length: 2\r\n\r\nok";
    close $c;

    POSIX::_exit(0);
}
