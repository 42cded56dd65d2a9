#!/usr/bin/perl

# FastCGI, uwsgi, SCGI and memcached in front of upstream.pl: each listener
# translates to HTTP for one of its peers, so that scripts, control and log are
# those described there.  One process, one event loop.
#
#   protocols.pl --protocol fastcgi|uwsgi|scgi|memcached|closed
#                --listen ADDR:PORT,... --to ADDR:PORT,...
#
# The n-th listener relays to the n-th address of --to.  Port 0 takes a free
# port; the addresses in use are printed on one line of stdout.  It exits when
# stdin ends; a line there is answered by the number of connections accepted
# since the last one.
#
# A request is read whole and sent on with REQUEST_METHOD, REQUEST_URI, the
# body, and each HTTP_NAME as header Name.  A request of memcached is "get KEY",
# its key is the uri.  When the client closes, so does the connection to
# upstream.pl, and the other way round; what is slow or broken there is so
# here.  In an answer,
#
#   the status line    is "Status: 200 OK" in FastCGI and SCGI, as it is in
#                      uwsgi; memcached has VALUE for 200, END for 404 and
#                      SERVER_ERROR for the rest
#   what is no HTTP    is passed on outside of all framing
#   close, cut         leave the end of a FastCGI request or a value out
#   X-Record: none     what is no record takes the place of that end
#
# FastCGI connections are kept where the client asks for it, those of memcached
# always, those of uwsgi and SCGI never.  "closed" closes whatever comes.

use strict;
use warnings;

use Errno qw( EAGAIN EINTR ECONNRESET );
use Getopt::Long;
use IO::Socket::INET;
use Socket qw( SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY );

use constant {
    READ_SIZE => 65536,
    BACKLOG   => 262144,     # of an answer, then upstream.pl has to wait
};

my %PARSE = (fastcgi => \&parse_fastcgi, uwsgi => \&parse_uwsgi,
             scgi => \&parse_scgi, memcached => \&parse_memcached,
             closed => sub { close_conn(@_); return });

my (%opt, @listeners, @to, %conn);
my $accepted = 0;

main();


sub main {
    GetOptions(\%opt, 'protocol=s', 'listen=s', 'to=s')
        && $PARSE{ $opt{protocol} // '' } && $opt{listen} && $opt{to}
        or die "usage: protocols.pl --protocol NAME --listen ADDR:PORT,... "
               . "--to ADDR:PORT,...\n";

    $SIG{PIPE} = 'IGNORE';
    @to = split /,/, $opt{to};

    for my $addr (split /,/, $opt{listen}) {
        push @listeners, IO::Socket::INET->new(
            LocalAddr => $addr, Proto => 'tcp', Listen => 1024,
            ReuseAddr => 1, Blocking => 0,
        ) || die "cannot listen on $addr: $@\n";
    }

    STDOUT->autoflush(1);
    print join(' ', map { $_->sockhost . ':' . $_->sockport } @listeners),
        "\n";

    loop();
}


sub loop {
    for ( ;; ) {
        my ($r, $w) = ('', '');
        my @all = values %conn;

        vec($r, fileno $_, 1) = 1 for @listeners;
        vec($r, 0, 1) = 1;

        for my $c (@all) {
            my $other = $c->{other};

            vec($r, $c->{fd}, 1) = 1
                if !$other || length $other->{out} < BACKLOG;
            vec($w, $c->{fd}, 1) = 1 if length $c->{out};
        }

        next if select($r, $w, undef, undef) <= 0;

        for my $i (0 .. $#listeners) {
            accept_all($i) if vec $r, fileno $listeners[$i], 1;
        }

        if (vec $r, 0, 1) {
            exit if !sysread STDIN, my $line, 4096;
            print "$accepted\n";
            $accepted = 0;
        }

        for my $c (@all) {

            # it may have gone since, with more of its answer; a write of
            # nothing would pass for an error

            on_writable($c)
                if !$c->{dead} && length $c->{out} && vec $w, $c->{fd}, 1;
            on_readable($c) if !$c->{dead} && vec $r, $c->{fd}, 1;
        }
    }
}


sub accept_all {
    my ($i) = @_;

    while (my $socket = $listeners[$i]->accept) {
        add_conn($socket)->{to} = $to[$i];
        $accepted++;
    }
}


sub add_conn {
    my ($socket) = @_;

    $socket->blocking(0);
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;

    my $fd = fileno $socket;

    return $conn{$fd} = { fd => $fd, socket => $socket, in => '', out => '' };
}


sub close_conn {
    my ($c, $reset) = @_;

    return if $c->{dead};

    $c->{dead} = 1;
    setsockopt $c->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $reset;
    delete $conn{$c->{fd}};
    close delete $c->{socket};

    my $other = delete $c->{other};

    if ($other) {
        delete $other->{other};
        close_conn($other);
    }
}


sub on_readable {
    my ($c) = @_;

    my $n = sysread $c->{socket}, $c->{in}, READ_SIZE, length $c->{in};

    if ($n) {
        $c->{back} ? on_answer($c) : on_request($c);

    } elsif (defined $n || ($! != EAGAIN && $! != EINTR)) {
        my $reset = !defined $n && $! == ECONNRESET;

        $c->{back} ? on_end($c, $reset) : close_conn($c);
    }
}


sub on_writable {
    my ($c) = @_;

    my $n = syswrite $c->{socket}, $c->{out};

    if ($n) {
        substr $c->{out}, 0, $n, '';
        close_conn($c) if $c->{closing} && !length $c->{out};

    } elsif ($! != EAGAIN && $! != EINTR) {
        close_conn($c);
    }
}


sub send_out {
    my ($c, $data) = @_;

    $c->{out} .= $data;
    on_writable($c);
}


# requests

sub on_request {
    my ($c) = @_;

    return if $c->{other} || $c->{closing}
              || length $c->{in} < ($c->{need} // 0);

    my ($params, $body) = $PARSE{$opt{protocol}}->($c) or return;
    my $socket = IO::Socket::INET->new(PeerAddr => $c->{to}, Proto => 'tcp');

    if (!$socket) {
        close_conn($c);
        return;
    }

    my $back = add_conn($socket);

    $back->{back} = 1;
    $back->{other} = $c;
    $c->{other} = $back;
    $c->{method} = $params->{REQUEST_METHOD} // 'GET';

    my $text = "$c->{method} " . ($params->{REQUEST_URI} // '/')
             . " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";

    for my $name (sort keys %$params) {
        next if $name !~ /^HTTP_(.*)/
                || $1 =~ /^(?:HOST|CONNECTION|CONTENT_LENGTH|EXPECT
                              |TRANSFER_ENCODING)$/x;

        $text .= join('-', map { ucfirst lc } split /_/, $1)
               . ": $params->{$name}\r\n";
    }

    $text .= 'Content-Length: ' . length($body) . "\r\n"
        if length $body || $c->{method} eq 'POST';

    send_out($back, "$text\r\n$body");
}


sub parse_fastcgi {
    my ($c) = @_;

    while (length $c->{in} >= 8) {
        my ($type, $id, $length, $padding) = unpack 'x C n n C', $c->{in};

        return if length $c->{in} < 8 + $length + $padding;

        my $data = substr $c->{in}, 8, $length;
        substr $c->{in}, 0, 8 + $length + $padding, '';

        if ($type == 1) {
            $c->{id} = $id;
            $c->{keep} = unpack('x2 C', $data) & 1;
            $c->{params} = $c->{stdin} = '';

        } elsif ($type == 4) {
            $c->{params} .= $data;

        } elsif ($type == 5) {
            $c->{stdin} .= $data;
            return fastcgi_params($c->{params}), $c->{stdin} if !$length;
        }
    }

    return;
}


sub fastcgi_params {
    my ($s) = @_;

    my %params;
    my $i = 0;

    while ($i < length $s) {
        my @length = map {
            my $n = unpack 'C', substr $s, $i, 1;

            if ($n < 128) {
                $i++;

            } else {
                $n = unpack('N', substr $s, $i, 4) & 0x7fffffff;
                $i += 4;
            }

            $n;
        } 0, 1;

        $params{substr $s, $i, $length[0]} =
            substr $s, $i + $length[0], $length[1];
        $i += $length[0] + $length[1];
    }

    return \%params;
}


sub parse_uwsgi {
    my ($c) = @_;

    return if length $c->{in} < 4;

    my $size = unpack 'x v', $c->{in};

    return if length $c->{in} < 4 + $size;

    my %params = unpack '(v/a)*', substr $c->{in}, 4, $size;

    return with_body($c, 4 + $size, \%params);
}


sub parse_scgi {
    my ($c) = @_;

    my ($size) = $c->{in} =~ /^(\d+):/ or return;
    my $start = length($size) + 1;

    return if length $c->{in} < $start + $size + 1;

    my %params = unpack '(Z*)*', substr $c->{in}, $start, $size;

    return with_body($c, $start + $size + 1, \%params);
}


sub with_body {
    my ($c, $start, $params) = @_;

    my $length = $params->{CONTENT_LENGTH} || 0;

    # a large body is not looked at again before all of it is there

    $c->{need} = $start + $length;
    return if length $c->{in} < $c->{need};

    my $body = substr $c->{in}, $start, $length;
    $c->{in} = '';
    $c->{need} = 0;

    return $params, $body;
}


sub parse_memcached {
    my ($c) = @_;

    $c->{in} =~ s/^get (\S+)\r\n// or return;
    $c->{key} = $1;

    return { REQUEST_URI => $1 }, '';
}


# answers

sub on_answer {
    my ($back) = @_;

    my $c = $back->{other};

    if (!$back->{head}) {
        my $end = index $back->{in}, "\r\n\r\n";

        return if $end < 0;

        if ($back->{in} !~ m{^HTTP/1\.1 (\d+)}) {
            send_out($c, $back->{in});
            return;
        }

        my $code = $1;
        my $head = substr $back->{in}, 0, $end + 4, '';

        return on_answer($back) if $code < 200;

        $back->{head} = 1;
        $back->{length} = $head =~ /^Content-Length: (\d+)/mi ? $1 : undef;
        $back->{chunked} = $head =~ /^Transfer-Encoding: chunked/mi;
        $c->{garbage} = $head =~ /^X-Record: none/mi;
        $back->{length} = 0 if $c->{method} eq 'HEAD' || $code =~ /^[23]04$/;
        send_header($c, $head, $code, $back->{length});
    }

    send_body($back);
}


sub send_body {
    my ($back) = @_;

    my $c = $back->{other} or return;

    for ( ;; ) {
        if ($back->{chunked} && !$back->{length}) {
            $back->{in} =~ s/^(?:\r\n)?([0-9A-Fa-f]+)\r\n// or return;
            $back->{length} = hex $1;

            return on_done($c) if !$back->{length};
        }

        my $n = length $back->{in};

        $n = $back->{length} if defined $back->{length}
                                && $n > $back->{length};

        if ($n) {
            my $piece = substr $back->{in}, 0, $n, '';

            $back->{length} -= $n if defined $back->{length};
            send_out($c, framed($c, $piece)) if !$c->{quiet};

            return if $c->{dead};
        }

        last if !$back->{chunked} || !length $back->{in};
    }

    on_done($c) if !$back->{chunked} && defined $back->{length}
                   && !$back->{length};
}


sub send_header {
    my ($c, $head, $code, $length) = @_;

    if ($opt{protocol} eq 'memcached') {
        $c->{quiet} = $code != 200;
        $c->{tail} = $code == 200 ? "\r\nEND\r\n"
                   : $code == 404 ? "END\r\n"
                   : "SERVER_ERROR $code\r\n";
        send_out($c, "VALUE $c->{key} 0 " . ($length // 0) . "\r\n")
            if $code == 200;
        return;
    }

    send_out($c, framed($c, cgi_header($head)));
}


sub cgi_header {
    my ($head) = @_;

    $head =~ s/^(?:Connection|Transfer-Encoding):[^\n]*\n//mig;
    $head =~ s{^HTTP/1\.1 }{Status: } if $opt{protocol} ne 'uwsgi';

    return $head;
}


sub framed {
    my ($c, $data) = @_;

    return $data if $opt{protocol} ne 'fastcgi';

    my $out = '';

    # a padding of each length

    for my $piece (unpack '(a30000)*', $data) {
        my $padding = length($piece) % 8;

        $out .= pack 'C C n n C x a* x' . $padding, 1, 6, $c->{id},
                     length $piece, $padding, $piece;
    }

    return $out;
}


sub on_done {
    my ($c) = @_;

    my $back = delete $c->{other};

    delete $back->{other};
    close_conn($back);

    if ($c->{garbage}) {
        $c->{out} .= 'what is no record';
        $c->{closing} = 1;

    } elsif ($opt{protocol} eq 'fastcgi') {
        $c->{out} .= pack 'C C n n x2', 1, 6, $c->{id}, 0;
        $c->{out} .= pack 'C C n n x2 x8', 1, 3, $c->{id}, 8;
        $c->{closing} = !$c->{keep};

    } elsif ($opt{protocol} eq 'memcached') {
        $c->{out} .= $c->{tail};

    } else {
        $c->{closing} = 1;
    }

    if (length $c->{out}) {
        on_writable($c);

    } else {
        close_conn($c);
    }
}


# upstream.pl has closed: that ends a body without length, or breaks

sub on_end {
    my ($back, $reset) = @_;

    my $c = $back->{other};

    if ($back->{head} && !defined $back->{length} && !$back->{chunked}
        && !$reset)
    {
        on_done($c);
        return;
    }

    if (!$back->{head} && $opt{protocol} ne 'memcached'
        && $back->{in} =~ m{^HTTP/})
    {
        $c->{out} .= framed($c, cgi_header($back->{in}));
    }

    delete $back->{other};
    delete $c->{other};
    close_conn($back);

    if (length $c->{out} && !$reset) {
        $c->{closing} = 1;
        on_writable($c);

    } else {
        close_conn($c, $reset);
    }
}
