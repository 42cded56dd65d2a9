#!/usr/bin/perl

# The demo's upstream: slow, flaky, and plain HTTP.
#
#   upstream.pl [--listen 127.0.0.1:8081] [--min 100] [--max 600]
#               [--error 5] [--html 3] [--never 2] [--seed N] [--with-parent]
#
#   GET /api/work    after --min to --max ms, uniformly: 200 and {"time": ms}.
#                    Of 100 requests --error are answered by 500, --html by 200
#                    with a page instead of JSON, --never not at all
#   GET /health      200 at once
#
# One process, one event loop.  --seed makes it repeatable; --with-parent exits
# when the process that started it is gone.

use strict;
use warnings;

use Errno qw( EAGAIN EINTR );
use Getopt::Long;
use IO::Socket::INET;
use Socket qw( IPPROTO_TCP TCP_NODELAY );
use Time::HiRes qw( clock_gettime CLOCK_MONOTONIC );

use constant HEADER_MAX => 16384;

my %opt = (listen => '127.0.0.1:8081', min => 100, max => 600,
           error => 5, html => 3, never => 2);

my %reason = (200 => 'OK', 400 => 'Bad Request', 404 => 'Not Found',
              405 => 'Method Not Allowed', 500 => 'Internal Server Error');

my (%conn, @timers, $quit);
my ($rvec, $wvec) = ('', '');
my $parent = getppid;


main();


sub main {
    GetOptions(\%opt, 'listen=s', 'min=f', 'max=f', 'error=f', 'html=f',
               'never=f', 'seed=i', 'with-parent')
        && !@ARGV && $opt{min} <= $opt{max}
        or die "usage: upstream.pl [--listen ADDR:PORT] [--min MS] [--max MS]"
               . " [--error %] [--html %] [--never %] [--seed N]"
               . " [--with-parent]\n";

    srand $opt{seed} if defined $opt{seed};

    $SIG{PIPE} = 'IGNORE';
    $SIG{$_} = sub { $quit = 1 } for qw( INT TERM HUP QUIT );

    my $listener = IO::Socket::INET->new(
        LocalAddr => $opt{listen}, Proto => 'tcp', Listen => 1024,
        ReuseAddr => 1, Blocking => 0,
    ) or die "cannot listen on $opt{listen}: $@\n";

    vec($rvec, fileno $listener, 1) = 1;

    loop($listener) until $quit;
}


sub loop {
    my ($listener) = @_;

    my $timeout = @timers ? $timers[0][0] - now() : 1000;
    $timeout = 1000 if $timeout > 1000;
    $timeout = 0 if $timeout < 0;

    my ($r, $w) = ($rvec, $wvec);
    my $n = select $r, $w, undef, $timeout / 1000;

    $quit = 1 if $opt{'with-parent'} && getppid != $parent;

    while (@timers && $timers[0][0] <= now()) {
        my (undef, $c, $answer) = @{ shift @timers };
        answer($c, @$answer) if !$c->{closed};
    }

    return if $n <= 0;

    accept_all($listener) if vec($r, fileno $listener, 1);

    for my $fd (ready($r)) {
        on_readable($conn{$fd}) if $conn{$fd};
    }

    for my $fd (ready($w)) {
        flush_out($conn{$fd}) if $conn{$fd};
    }
}


sub now {
    return clock_gettime(CLOCK_MONOTONIC) * 1000;
}


sub ready {
    my $bits = unpack 'b*', $_[0];
    my ($pos, @fds) = (-1);

    push @fds, $pos while ($pos = index $bits, '1', $pos + 1) >= 0;

    return @fds;
}


sub accept_all {
    my ($listener) = @_;

    while (my $socket = $listener->accept) {
        my $fd = fileno $socket;

        $socket->blocking(0);
        setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
        $conn{$fd} = { socket => $socket, fd => $fd, in => '', out => '' };
        vec($rvec, $fd, 1) = 1;
    }
}


sub close_conn {
    my ($c) = @_;

    $c->{closed} = 1;
    vec($rvec, $c->{fd}, 1) = 0;
    vec($wvec, $c->{fd}, 1) = 0;
    delete $conn{$c->{fd}};
    close $c->{socket};
}


sub on_readable {
    my ($c) = @_;

    my $n = sysread $c->{socket}, $c->{in}, HEADER_MAX, length $c->{in};

    if (!$n) {
        close_conn($c)
            if defined $n || ($! != EAGAIN && $! != EINTR);
        return;
    }

    if (length $c->{in} > HEADER_MAX) {
        close_conn($c);
        return;
    }

    request($c) if !$c->{busy};
}


# a request with a body is answered and its connection closed: the service has
# no use for one

sub request {
    my ($c) = @_;

    $c->{in} =~ s/^(.*?\r\n)\r\n//s or return;

    my $head = $1;
    my ($method, $path, $minor) =
        $head =~ m{^([A-Z]+) ([^? ]*)\S* HTTP/1\.([01])\r\n};

    $c->{busy} = 1;
    $c->{head_only} = defined $method && $method eq 'HEAD';
    $c->{close} = !$minor || $head =~ /^connection:.*\bclose\b/mi
                  || $head =~ /^content-length: *[1-9]/mi
                  || $head =~ /^transfer-encoding:/mi;

    if (!defined $method) {
        $c->{close} = 1;
        answer($c, 400, 'text/plain', "bad request\n");

    } elsif ($method ne 'GET' && $method ne 'HEAD') {
        answer($c, 405, 'text/plain', "method not allowed\n",
               "Allow: GET, HEAD\r\n");

    } elsif ($path eq '/health') {
        answer($c, 200, 'application/json', qq({"status": "ok"}\n));

    } elsif ($path eq '/api/work') {
        work($c);

    } else {
        answer($c, 404, 'text/plain', "not found\n");
    }
}


sub work {
    my ($c) = @_;

    my $ms = int($opt{min} + rand($opt{max} - $opt{min}) + 0.5);
    my $luck = rand 100;

    if (($luck -= $opt{never}) < 0) {
        return;
    }

    my @answer = ($luck -= $opt{error}) < 0
               ? (500, 'application/json', qq({"error": "bad luck"}\n))
               : ($luck -= $opt{html}) < 0
               ? (200, 'text/html', "<p>We will be back soon.</p>\n")
               : (200, 'application/json', qq({"time": $ms}\n));

    add_timer($ms, $c, \@answer);
}


sub add_timer {
    my ($ms, $c, $answer) = @_;

    my $at = now() + $ms;
    my ($low, $high) = (0, scalar @timers);

    while ($low < $high) {
        my $mid = ($low + $high) >> 1;

        if ($timers[$mid][0] <= $at) {
            $low = $mid + 1;

        } else {
            $high = $mid;
        }
    }

    splice @timers, $low, 0, [$at, $c, $answer];
}


sub answer {
    my ($c, $code, $type, $body, $more) = @_;

    my $connection = $c->{close} ? 'close' : 'keep-alive';

    $c->{out} .= "HTTP/1.1 $code $reason{$code}\r\nContent-Type: $type\r\n"
        . 'Content-Length: ' . length($body) . "\r\n"
        . "Connection: $connection\r\n" . ($more // '') . "\r\n"
        . ($c->{head_only} ? '' : $body);
    $c->{busy} = 0;

    flush_out($c);
}


sub flush_out {
    my ($c) = @_;

    while (length $c->{out}) {
        my $n = syswrite $c->{socket}, $c->{out};

        if (!defined $n) {
            next if $! == EINTR;

            if ($! == EAGAIN) {
                vec($wvec, $c->{fd}, 1) = 1;

            } else {
                close_conn($c);
            }

            return;
        }

        substr $c->{out}, 0, $n, '';
    }

    vec($wvec, $c->{fd}, 1) = 0;

    if ($c->{close} && !$c->{busy}) {
        close_conn($c);

    } elsif (!$c->{busy} && length $c->{in}) {
        request($c);
    }
}
