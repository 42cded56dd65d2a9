#!/usr/bin/perl

# Requests for the demo, so that there is something to see.
#
#   load.pl [--to 127.0.0.1:8080] [--rate 20] [--swing 50] [--period 300]
#           [--seconds N]
#
# Sends --rate requests per second on average, up to --swing percent more or
# less over --period seconds, until it is told to stop or --seconds are over;
# what it sends is in @mix.  At most 100 are under way at once.

use strict;
use warnings;

use Errno qw( EAGAIN EINPROGRESS EINTR );
use Getopt::Long;
use Socket qw( :DEFAULT SOCK_NONBLOCK );
use Time::HiRes qw( clock_gettime sleep CLOCK_MONOTONIC );

use constant {
    MOST => 100,
    PATIENCE => 15,
    PI => 4 * atan2(1, 1),
};

# weight and request
my @mix = (
    [55, '/api/smart?timeout=2000'],
    [8, '/api/smart?timeout=600'],
    [1, '/api/smart?timeout=soon'],
    [16, '/api/tail'],
    [12, '/api/dry-run'],
    [8, '/plain/api/work'],
);

my %opt = (to => '127.0.0.1:8080', rate => 20, swing => 50, period => 300);

my (%conn, %answers, $quit);
my $weights = 0;


main();


sub main {
    GetOptions(\%opt, 'to=s', 'rate=f', 'swing=f', 'period=f', 'seconds=f')
        && !@ARGV && $opt{to} =~ /^[^:]+:\d+$/ && $opt{rate} > 0
        && $opt{period} > 0
        or die "usage: load.pl [--to ADDR:PORT] [--rate N] [--swing %]"
               . " [--period S] [--seconds S]\n";

    $SIG{PIPE} = 'IGNORE';
    $SIG{$_} = sub { $quit = 1 } for qw( INT TERM HUP QUIT );
    $| = 1;

    $weights += $_->[0] for @mix;

    my $start = now();
    my $next = $start;
    my $report = $start + 60;

    until ($quit || $opt{seconds} && now() > $start + $opt{seconds}) {
        while ($next <= now()) {
            begin() if keys %conn < MOST;

            my $rate = $opt{rate}
                * (1 + $opt{swing} / 100
                       * sin(2 * PI * (now() - $start) / $opt{period}));

            # as from many clients that do not know of each other
            $next += -log(1 - rand) / ($rate < 0.1 ? 0.1 : $rate);
            $next = now() if $next < now() - 1;
        }

        turn($next);

        if (now() > $report) {
            report();
            $report += 60;
        }
    }

    report();
}


sub now {
    return clock_gettime(CLOCK_MONOTONIC);
}


sub report {
    print join(', ', map { "$_: $answers{$_}" } sort keys %answers), "\n"
        if %answers;
}


sub begin {
    my $luck = rand $weights;
    my ($choice) = grep { ($luck -= $_->[0]) < 0 } @mix;
    my ($host, $port) = split /:/, $opt{to};
    my $addr = inet_aton($host);

    socket my $socket, PF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0
        or die "socket: $!\n";

    if (!$addr || !connect($socket, pack_sockaddr_in($port, $addr))
                  && $! != EINPROGRESS)
    {
        $answers{'no connection'}++;
        sleep 0.5;
        return;
    }

    $conn{fileno $socket} = {
        socket => $socket, in => '', until => now() + PATIENCE,
        out => "GET $choice->[1] HTTP/1.1\r\nHost: $opt{to}\r\n"
               . "User-Agent: load.pl\r\nConnection: close\r\n\r\n",
    };
}


# until the next request is due

sub turn {
    my ($next) = @_;

    my ($r, $w) = ('', '');

    for my $fd (keys %conn) {
        vec(length $conn{$fd}{out} ? $w : $r, $fd, 1) = 1;
    }

    my $wait = $next - now();
    my $n = select $r, $w, undef, $wait < 0 ? 0 : $wait > 1 ? 1 : $wait;

    for my $fd (keys %conn) {
        my $c = $conn{$fd};

        if ($n > 0 && vec($w, $fd, 1)) {
            my $sent = syswrite $c->{socket}, $c->{out};

            substr($c->{out}, 0, $sent) = '' if defined $sent;
            end($c) if !defined $sent && $! != EAGAIN && $! != EINTR;

        } elsif ($n > 0 && vec($r, $fd, 1)) {
            my $got = sysread $c->{socket}, $c->{in}, 65536, length $c->{in};

            end($c) if defined $got ? !$got : $! != EAGAIN && $! != EINTR;

        } elsif (now() > $c->{until}) {
            end($c);
        }
    }
}


sub end {
    my ($c) = @_;

    my ($status) = $c->{in} =~ m{^HTTP/1\.[01] (\d+)};

    $answers{$status // 'no answer'}++;
    delete $conn{fileno $c->{socket}};
    close $c->{socket};
}
