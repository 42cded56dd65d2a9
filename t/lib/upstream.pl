#!/usr/bin/perl

# A scripted HTTP/1.1 upstream for the tests: one process, one event loop.
#
#   upstream.pl --listen ADDR:PORT,ADDR:PORT,... [--pid FILE] [--log FILE]
#               [--until-eof]
#
# Port 0 takes a free port.  The addresses in use are printed on one line of
# stdout, in the order given, once all of them listen.  --log appends every
# event to FILE.  --until-eof exits when stdin ends, that is, with the parent.
# The listeners are numbered from 1; such a number is called a peer below.
#
# THE SCRIPT of an answer comes with the request:
#
#   ?s=SCRIPT        or header X-Script (wins over everything else)
#   ?p1=SCRIPT       for requests that arrive at peer 1, p2 at peer 2, ...;
#                    wins over s
#   ?id=NAME         or header X-Script-Id: names the request for the log, and
#                    makes attempts count
#
# SCRIPT is one script per attempt, separated by "|"; steps within one are
# separated by ";".  The n-th request with the same id runs the n-th script,
# the last one repeats.  A pN script counts the attempts at its peer alone.
# Without id it is always the first.  Arguments are percent-decoded ("+" is
# a plus sign); a text within a step is decoded once more, so that "%253B" in
# an argument, "%3B" in X-Script, is a literal ";" (%7C is "|").  An unknown
# step is answered by 599 and a message.
#
# Steps before the header run in the order in which they are written:
#
#   delay:MS             pause
#   interim:CODE[,BYTES] send a 1xx response, with a header of that length; more
#                        than one may be given
#
# The answer, by default 200, text/plain, "ok\n", in any order:
#
#   ok                   nothing but that default
#   status:CODE
#   type:MIME            "type:-" sends no Content-Type
#   h:Name=Value         one more header, repeatable
#   body:TEXT
#   size:BYTES[,SEED]    a pattern of that length; SEED shifts it, so that
#                        bodies of different attempts differ
#   chunked[:COUNT,BYTES,GAPMS]
#                        COUNT chunks of BYTES of the same pattern, GAPMS
#                        apart; without arguments, body or size as one chunk.
#                        An HTTP/1.0 request gets the pieces unframed
#   split:BYTES[,GAPMS]  body or json in pieces, GAPMS apart; with chunked
#                        each is a chunk
#   badchunk             after such a body, or an empty one, comes what is no
#                        chunk
#   json:BYTES           body is {"time": 1, "pad": "..."} of that length
#   gzip[:CUT]           body or json is compressed, without its last CUT bytes,
#                        and has its Content-Encoding
#   trailer:Name=Value   after a chunked body, repeatable
#   echo                 body is JSON: method, uri, version, headers
#                        (lower-cased names), body_size, body_md5, peer, try,
#                        conn, id
#   range                a "Range: bytes=A-B" on size: or body: is answered 206
#   nolen                no Content-Length, the end of connection ends the body
#   bare                 without X-Peer and X-Try
#   close-after          "Connection: close" and close when done
#
# Its pace:
#
#   bodydelay:MS         pause between header and body
#   parthead:MS          half of the header, pause, the other half
#
# What goes wrong, instead of the answer and after the delays:
#
#   close                close without an answer
#   reset                the same by RST
#   hang                 never answer
#   garbage              what is not HTTP, then close.  Older nginx takes it
#                        for HTTP/0.9 and passes it on with 200
#   badhead              a status line, then an invalid header line, close
#   cuthead              the first half of the header, then close
#   cut:BYTES            that much of the body (of its payload, chunk framing
#                        is extra), then close
#
# With cut or cuthead, reset and hang say how it ends in place of the close.
#
# Every answer has "X-Peer: N" and "X-Try: N" (the attempt, from 1).  Request
# bodies, by length or chunked, are read whole before the script starts;
# "Expect: 100-continue" is served.
#
# THE LOG has these events for each attempt of an id:
#
#   request          read completely
#   header           answer header handed to the kernel
#   done             answer complete and handed to the kernel
#   closed_by_peer   the other side closed or reset before that: cancelled
#   closed, reset    the script did it
#   aborted          the other side left within the request body (try is 0)
#
# CONTROL is on the same ports, below /_ctl/, never logged or counted.
# Arguments: id=NAME, ms=LONGEST_WAIT (900 by default, 0 answers at once).
#
#   log?id=            "try peer event ms conn" a line; ms since the start
#   json?id=           the same as JSON objects: n, peer, event, t, ago (ms
#                      before this answer), conn
#   requests?id=       JSON array of what echo would say, one per attempt
#   count?id=          attempts so far
#   wait?id=&event=&count=&ms=
#                      "ok N" when N >= count (1) such events are logged, or
#                      "timeout N"; event defaults to closed_by_peer
#   cancelled?id=&ms=  waits until no attempt is open, then answers
#                      "attempts=3 done=1 cancelled=2 open=0", followed by
#                      " broken=N" if the script broke some
#   lag?id=            ms from the winner's header (the first below 500 other
#                      than 429) to the last closed_by_peer; -1 without either
#   open               open connections, control excepted
#   busy?ms=           requests in progress, waits for 0 at most ms
#   accepted           connections so far, control excepted
#   md5?size=&seed=    md5 of that pattern, for comparison with a download
#   reset[?id=]        forgets the log; close=1 also resets busy connections

use strict;
use warnings;

use Digest::MD5;
use Errno qw( EAGAIN EWOULDBLOCK EINTR );
use Getopt::Long;
use IO::Compress::Gzip ();
use IO::Socket::INET;
use JSON::PP ();
use Socket qw( SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY );
use Time::HiRes qw( clock_gettime CLOCK_MONOTONIC );

use constant {
    PERIOD     => 65521,     # prime, so that no buffer size divides it
    PIECE      => 262084,    # four periods, the longest single write
    TURN       => 1 << 20,   # bytes written before others have their turn
    READ_SIZE  => 65536,
    HEADER_MAX => 65536,
};

my %REASON = (
    100 => 'Continue', 102 => 'Processing', 103 => 'Early Hints',
    200 => 'OK', 201 => 'Created', 202 => 'Accepted', 204 => 'No Content',
    206 => 'Partial Content', 301 => 'Moved Permanently', 302 => 'Found',
    304 => 'Not Modified', 400 => 'Bad Request', 401 => 'Unauthorized',
    403 => 'Forbidden', 404 => 'Not Found', 408 => 'Request Timeout',
    416 => 'Range Not Satisfiable', 429 => 'Too Many Requests',
    500 => 'Internal Server Error', 502 => 'Bad Gateway',
    503 => 'Service Unavailable', 504 => 'Gateway Timeout',
);

my %STEP = map { $_ => 1 } qw(
    ok delay interim status type h body size chunked split badchunk json gzip
    trailer echo range nolen bare close-after bodydelay parthead close reset
    hang garbage badhead cuthead cut
);

my $json    = JSON::PP->new->canonical;
my $start   = clock_gettime(CLOCK_MONOTONIC);
my $pattern = pattern();

my (%opt, @listeners, $log_fh);
my (%conn, %record, @timers, @waiters, @control);
my ($rvec, $wvec)     = ('', '');
my ($serial, $ctl_conns, $changed, $quit) = (0, 0, 0, 0);


main();


sub main {
    GetOptions(\%opt, 'listen=s', 'pid=s', 'log=s', 'until-eof')
        && defined $opt{listen}
        or die "usage: upstream.pl --listen ADDR:PORT,... "
               . "[--pid FILE] [--log FILE] [--until-eof]\n";

    $SIG{PIPE} = 'IGNORE';
    $SIG{$_} = sub { $quit = 1 } for qw( TERM INT QUIT HUP );

    listen_all();

    if (defined $opt{log}) {
        open $log_fh, '>>', $opt{log} or die "$opt{log}: $!\n";
        $log_fh->autoflush(1);
    }

    if (defined $opt{pid}) {
        open my $fh, '>', $opt{pid} or die "$opt{pid}: $!\n";
        print $fh "$$\n";
        close $fh;
    }

    STDOUT->autoflush(1);
    print join(' ', map { $_->sockhost . ':' . $_->sockport } @listeners),
        "\n";

    loop();

    unlink $opt{pid} if defined $opt{pid};
}


sub listen_all {
    for my $addr (split /,/, $opt{listen}) {
        my $socket = IO::Socket::INET->new(
            LocalAddr => $addr,
            Proto     => 'tcp',
            Listen    => 1024,
            ReuseAddr => 1,
            Blocking  => 0,
        ) or die "cannot listen on $addr: $@\n";

        push @listeners, $socket;
        vec($rvec, fileno $socket, 1) = 1;
    }

    vec($rvec, 0, 1) = 1 if $opt{'until-eof'};
}


# Listeners go first and control requests last, each after everything that was
# ready at the same time: what happened before a question is in its answer.

sub loop {
    until ($quit) {
        my $timeout = @timers ? $timers[0]{at} - now() : 60_000;
        $timeout = 0 if $timeout < 0;

        my ($r, $w) = ($rvec, $wvec);
        my $n = select $r, $w, undef, $timeout / 1000;

        run_timers();

        if ($n > 0) {
            for my $i (0 .. $#listeners) {
                accept_all($i) if vec($r, fileno $listeners[$i], 1);
            }

            if ($opt{'until-eof'} && vec($r, 0, 1)) {
                last if !sysread STDIN, my $rest, 4096;
            }

            for my $fd (ready($r)) {
                my $c = $conn{$fd};
                on_readable($c) if $c;
            }

            for my $fd (ready($w)) {
                my $c = $conn{$fd};
                run_plan($c) if $c && vec($wvec, $fd, 1);
            }
        }

        while (my $c = shift @control) {
            on_control($c) if !$c->{dead};
        }

        check_waiters() if $changed;
    }
}


sub ready {
    my $bits = unpack 'b*', $_[0];
    my ($pos, @fds) = (-1);

    push @fds, $pos while ($pos = index $bits, '1', $pos + 1) >= 0;

    return @fds;
}


sub now {
    return (clock_gettime(CLOCK_MONOTONIC) - $start) * 1000;
}


sub add_timer {
    my ($ms, $handler) = @_;

    my $timer = { at => now() + $ms, handler => $handler };
    my ($low, $high) = (0, scalar @timers);

    while ($low < $high) {
        my $mid = ($low + $high) >> 1;

        if ($timers[$mid]{at} <= $timer->{at}) {
            $low = $mid + 1;

        } else {
            $high = $mid;
        }
    }

    splice @timers, $low, 0, $timer;

    return $timer;
}


sub run_timers {
    my $now = now();

    while (@timers && $timers[0]{at} <= $now) {
        my $handler = shift(@timers)->{handler};
        $handler->() if $handler;
    }
}


sub drop_timer {
    delete $_[0]{handler} if $_[0];
}


# connections

sub accept_all {
    my ($i) = @_;

    while (my $socket = $listeners[$i]->accept) {
        $socket->blocking(0);
        setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;

        my $fd = fileno $socket;

        $conn{$fd} = {
            fd => $fd, socket => $socket, peer => $i + 1,
            serial => ++$serial, in => '', out => '', plan => [],
        };

        vec($rvec, $fd, 1) = 1;
    }
}


sub close_conn {
    my ($c) = @_;

    return if $c->{dead};

    $c->{dead} = 1;
    $changed = 1;

    vec($rvec, $c->{fd}, 1) = 0;
    vec($wvec, $c->{fd}, 1) = 0;

    drop_timer($c->{timer});
    delete $conn{$c->{fd}};
    close delete $c->{socket};
}


sub reset_conn {
    my ($c) = @_;

    return if $c->{dead};

    setsockopt $c->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    close_conn($c);
}


sub on_peer_gone {
    my ($c) = @_;

    if ($c->{attempt}) {
        event($c->{attempt}, 'closed_by_peer', 'cancelled');

    } elsif ($c->{request} && !$c->{busy} && defined $c->{request}{id}) {
        event({ record => record($c->{request}{id}), n => 0,
                peer => $c->{peer}, conn => $c->{serial} }, 'aborted');
    }

    close_conn($c);
}


sub on_readable {
    my ($c) = @_;

    my $n = sysread $c->{socket}, $c->{in}, READ_SIZE, length $c->{in};

    if (!defined $n) {
        on_peer_gone($c) if $! != EAGAIN && $! != EINTR;
        return;
    }

    if ($n == 0) {
        on_peer_gone($c);
        return;
    }

    if ($c->{busy}) {
        # pipelined: not read further, or memory would fill
        vec($rvec, $c->{fd}, 1) = 0 if length $c->{in} > HEADER_MAX;
        return;
    }

    on_input($c);
}


sub on_input {
    my ($c) = @_;

    return if !$c->{request} && !read_header($c);
    return if !read_body($c);

    my $r = $c->{request};

    delete $r->{chunk};
    $r->{body_md5} = delete($r->{md5})->hexdigest;
    $c->{busy} = 1;

    if ($r->{path} =~ m{^/_ctl/}) {
        $ctl_conns++ if !$c->{control};
        $c->{control} = 1;
        push @control, $c;
        return;
    }

    start_answer($c);
}


sub read_header {
    my ($c) = @_;

    $c->{in} =~ s/^(?:\r?\n)+//;

    my $end = index $c->{in}, "\r\n\r\n";

    if ($end < 0) {
        close_conn($c) if length $c->{in} > HEADER_MAX;
        return 0;
    }

    my ($line, @lines) = split /\r\n/, substr $c->{in}, 0, $end;

    substr $c->{in}, 0, $end + 4, '';

    if ($line !~ m{^([^ ]+) ([^ ]+) HTTP/1\.([01])$}) {
        syswrite $c->{socket}, "HTTP/1.1 400 Bad Request\r\n"
            . "Content-Length: 0\r\nConnection: close\r\n\r\n";
        close_conn($c);
        return 0;
    }

    my %r = (method => $1, uri => $2, minor => $3, headers => {},
             size => 0, md5 => Digest::MD5->new);

    for (@lines) {
        my ($name, $value) = /^([^:]+):[ \t]*(.*?)[ \t]*$/ or next;
        my $old = $r{headers}{lc $name};

        $r{headers}{lc $name} = defined $old ? "$old, $value" : $value;
    }

    my $h = $r{headers};
    my $connection = lc($h->{connection} // '');

    @r{qw( path args )} = split_uri($r{uri});
    $r{id} = $h->{'x-script-id'} // $r{args}{id};
    $r{keepalive} = $r{minor} ? $connection !~ /\bclose\b/
                              : $connection =~ /\bkeep-alive\b/;
    $r{chunk} = 'size' if lc($h->{'transfer-encoding'} // '') eq 'chunked';
    $r{left} = $r{chunk} ? 0 : $h->{'content-length'} || 0;

    if (($r{left} || $r{chunk}) && lc($h->{expect} // '') eq '100-continue') {
        syswrite $c->{socket}, "HTTP/1.1 100 Continue\r\n\r\n";
    }

    $c->{request} = \%r;

    return 1;
}


sub split_uri {
    my ($uri) = @_;

    my ($path, $query) = split /\?/, $uri, 2;
    my %args;

    for (split /&/, $query // '') {
        my ($name, $value) = split /=/, $_, 2;
        $args{$name // ''} //= unescape($value // '');
    }

    return $path, \%args;
}


sub unescape {
    my ($s) = @_;

    $s =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;

    return $s;
}


sub read_body {
    my ($c) = @_;

    my $r = $c->{request};

    for ( ;; ) {
        if ($r->{left}) {
            return 0 if !length $c->{in};

            my $piece = substr $c->{in}, 0, $r->{left}, '';

            $r->{left} -= length $piece;
            $r->{size} += length $piece;
            $r->{md5}->add($piece);
            next;
        }

        return 1 if !$r->{chunk};

        # the CRLF after a chunk is taken together with the next size

        if ($r->{chunk} eq 'size') {
            $c->{in} =~ s/^(?:\r\n)?([0-9A-Fa-f]+)[^\n]*\n// or return 0;
            $r->{left} = hex $1;
            $r->{chunk} = 'end' if !$r->{left};

        } else {
            $c->{in} =~ s/^((?:[^\r\n]+\r\n)*)\r\n// or return 0;
            return 1;
        }
    }
}


# scripts

sub start_answer {
    my ($c) = @_;

    my $r = $c->{request};
    my $record = defined $r->{id} ? record($r->{id}) : undef;
    my ($n, $at_peer) = (1, 1);

    if ($record) {
        $n = ++$record->{count};
        $at_peer = ++$record->{at_peer}{$c->{peer}};
    }

    my $attempt = { record => $record, n => $n, peer => $c->{peer},
                    conn => $c->{serial}, state => 'open' };

    $attempt->{seen} = {
        method => $r->{method}, uri => $r->{uri},
        version => "HTTP/1.$r->{minor}", headers => $r->{headers},
        body_size => $r->{size}, body_md5 => $r->{body_md5},
        peer => $c->{peer}, try => $n, conn => $c->{serial}, id => $r->{id},
    };

    push @{ $record->{attempts} }, $attempt if $record;

    $c->{attempt} = $attempt;
    event($attempt, 'request');

    my $args = $r->{args};
    my $by_peer = $args->{"p$c->{peer}"};
    my $script = $r->{headers}{'x-script'};

    if (!defined $script && defined $by_peer) {
        $script = $by_peer;
        $n = $at_peer;
    }

    $script //= $args->{s} // '';

    my @scripts = split /\|/, $script, -1;
    my $text = $scripts[$n > @scripts ? -1 : $n - 1] // '';

    $c->{plan} = compile($c, parse($text));
    run_plan($c);
}


sub parse {
    my ($text) = @_;

    my %s = (status => 200, type => 'text/plain', body => "ok\n", pre => [],
             h => [], trailer => []);

    for (split /;/, $text) {
        s/^\s+|\s+$//g;
        next if $_ eq '';

        my ($name, $value) = split /:/, $_, 2;

        if (!$STEP{$name}) {
            return { %s, status => 599, body => "unknown step \"$name\"\n" };
        }

        $value = unescape($value // '');

        if ($name eq 'delay' || $name eq 'interim') {
            push @{ $s{pre} }, [$name, $value];

        } elsif ($name eq 'h' || $name eq 'trailer') {
            push @{ $s{$name} }, [split /=/, $value, 2];

        } elsif ($name =~ /^(?:size|chunked|split)$/) {
            $s{$name} = [split /,/, $value];

        } elsif ($name =~ /^(?:status|type|body|json|gzip|bodydelay|parthead
                              |cut)$/x)
        {
            $s{$name} = $value;

        } else {
            $s{$name} = 1;
        }
    }

    return \%s;
}


# A plan is a list of actions: [send => bytes], [pattern => offset, bytes],
# [wait => ms], [mark => event, state], [finish => keepalive], or how it
# breaks: [close], [reset], [hang].

sub compile {
    my ($c, $s) = @_;

    my @plan = map {
        $_->[0] eq 'delay' ? [wait => $_->[1]]
                           : [send => interim($c, split /,/, $_->[1])]
    } @{ $s->{pre} };

    my $broken = $s->{reset} ? ['reset'] : $s->{hang} ? ['hang'] : ['close'];

    if ($s->{garbage}) {
        return [@plan, [send => "this is not a response\r\n\r\n"], ['close']];
    }

    if ($s->{badhead}) {
        return [@plan, [send => status_line(200) . "Bad\0: x\r\n\r\n"],
                ['close']];
    }

    if (!defined $s->{cut} && !$s->{cuthead}
        && ($s->{close} || $s->{reset} || $s->{hang}))
    {
        return [@plan, $broken];
    }

    my ($head, $body, $close) = answer($c, $s);
    my $half = int(length($head) / 2);

    if ($s->{cuthead}) {
        return [@plan, [send => substr $head, 0, $half], $broken];
    }

    if ($s->{parthead}) {
        push @plan, [send => substr $head, 0, $half, ''],
            [wait => $s->{parthead}];
    }

    if (@$body && $body->[0][0] eq 'send' && !$s->{bodydelay}
        && !defined $s->{cut})
    {
        $head .= shift(@$body)->[1];
    }

    push @plan, [send => $head], [mark => 'header'];
    push @plan, [wait => $s->{bodydelay}] if $s->{bodydelay};

    if (defined $s->{cut}) {
        return [@plan, cut($body, $s->{cut}), $broken];
    }

    return [@plan, @$body, [mark => 'done', 'done'], [finish => !$close]];
}


sub status_line {
    my ($code) = @_;

    return "HTTP/1.1 $code " . ($REASON{$code} // 'Unknown') . "\r\n";
}


sub interim {
    my ($c, $code, $size) = @_;

    my $head = status_line($code);

    $head .= "Link: </style.css>; rel=preload\r\nX-Try: $c->{attempt}{n}\r\n"
        if $code == 103;
    $head .= 'X-Fill: ' . 'x' x $size . "\r\n" if $size;

    return "$head\r\n";
}


# header, the actions that send the body, whether to close afterwards

sub answer {
    my ($c, $s) = @_;

    my $r = $c->{request};
    my $code = $s->{status};
    my ($body, $length) = body($c, $s);
    my $close = !$r->{keepalive} || $s->{nolen} || $s->{'close-after'};
    my @h;

    if ($s->{range} && $length
        && ($r->{headers}{range} // '') =~ /^bytes=(\d+)-(\d*)$/
        && $1 < $length)
    {
        my ($from, $to) = ($1, $2 ne '' && $2 < $length ? $2 : $length - 1);

        $code = 206;
        push @h, "Content-Range: bytes $from-$to/$length";
        $length = $to - $from + 1;
        $body = $s->{size}
              ? [[pattern => $from + ($s->{size}[1] // 0) * 7919, $length]]
              : [[send => substr $s->{body}, $from, $length]];
    }

    unshift @h, "Content-Type: $s->{type}" if $s->{type} ne '-';
    push @h, "Accept-Ranges: bytes" if $s->{range};
    push @h, "X-Peer: $c->{peer}", "X-Try: $c->{attempt}{n}" if !$s->{bare};
    push @h, map { $_->[0] . ': ' . ($_->[1] // '') } @{ $s->{h} };

    if ($code == 204 || $code == 304) {
        $body = [];

    } elsif (defined $length && !$s->{nolen}) {
        push @h, "Content-Length: $length";

    } elsif ($s->{chunked} && $r->{minor} && !$s->{nolen}) {
        push @h, "Transfer-Encoding: chunked";

    } else {
        $close = 1;
    }

    $body = [] if $r->{method} eq 'HEAD';

    push @h, "Connection: close" if $close;
    push @h, "Connection: keep-alive" if !$close && !$r->{minor};

    $c->{attempt}{status} = $code;

    return status_line($code) . join("\r\n", @h, '', ''), $body, $close;
}


# the actions and the length if there is one

sub body {
    my ($c, $s) = @_;

    my ($size, $seed) = @{ $s->{size} || [] };
    my $framed = $c->{request}{minor} && !$s->{nolen};
    my $offset = ($seed // 0) * 7919;

    $s->{body} = $json->encode($c->{attempt}{seen}) . "\n" if $s->{echo};

    if ($s->{json}) {
        my ($head, $tail) = ('{"time": 1, "pad": "', qq("}\n));
        my $pad = $s->{json} - length($head) - length($tail);

        $s->{body} = $head . 'x' x $pad . $tail;
    }

    if (defined $s->{gzip}) {
        my $packed;

        IO::Compress::Gzip::gzip(\$s->{body} => \$packed, Minimal => 1);
        $s->{body} = substr $packed, 0, length($packed) - ($s->{gzip} || 0);
        push @{ $s->{h} }, ['Content-Encoding', 'gzip'];
    }

    if (!$s->{chunked}) {
        return [[pattern => $offset, $size]], $size if defined $size;
        return [pieces($s, 0)], length $s->{body} if $s->{split};
        return [[send => $s->{body}]], length $s->{body};
    }

    my ($count, $bytes, $gap) = @{ $s->{chunked} };
    my @body;

    if ($s->{split} || $s->{badchunk}) {
        @body = pieces($s, $framed);
        return [@body, [send => "this is no chunk\r\n"]], undef
            if $s->{badchunk};

    } elsif (!defined $count) {
        my @piece = defined $size ? [pattern => $offset, $size]
                                  : [send => $s->{body}];

        $bytes = $size // length $s->{body};
        @body = $framed && $bytes
              ? ([frame => sprintf "%x\r\n", $bytes], @piece,
                 [frame => "\r\n"])
              : @piece;

    } else {
        for my $i (0 .. $count - 1) {
            push @body, [wait => $gap] if $i && $gap;
            push @body, [frame => sprintf "%x\r\n", $bytes] if $framed;
            push @body, [pattern => $offset + $i * $bytes, $bytes];
            push @body, [frame => "\r\n"] if $framed;
        }
    }

    if ($framed) {
        push @body, [frame => join "\r\n", '0',
                     (map { "$_->[0]: " . ($_->[1] // '') }
                          @{ $s->{trailer} }), '', ''];
    }

    return \@body, undef;
}


sub pieces {
    my ($s, $framed) = @_;

    my ($size, $gap) = @{ $s->{split} || [length $s->{body}] };
    my @body;

    for (my $at = 0; $at < length $s->{body}; $at += $size) {
        my $piece = substr $s->{body}, $at, $size;

        push @body, [wait => $gap] if $at && $gap;
        push @body, [frame => sprintf "%x\r\n", length $piece] if $framed;
        push @body, [send => $piece];
        push @body, [frame => "\r\n"] if $framed;
    }

    return @body;
}


sub cut {
    my ($body, $left) = @_;

    my @kept;

    for my $action (@$body) {
        last if $left <= 0;

        my ($what, $value, $bytes) = @$action;

        if ($what eq 'send') {
            $value = substr $value, 0, $left;
            $left -= length $value;

        } elsif ($what eq 'pattern') {
            $bytes = $left if $bytes > $left;
            $left -= $bytes;
        }

        push @kept, [$what, $value, $bytes];
    }

    return @kept;
}


sub pattern {
    my ($s, $seed) = ('', 'smart');

    while (length $s < PERIOD) {
        $seed = Digest::MD5::md5_hex($seed);
        $s .= "$seed\n";
    }

    return substr($s, 0, PERIOD) x (PIECE / PERIOD + 1);
}


sub pattern_md5 {
    my ($size, $seed) = @_;

    my $md5 = Digest::MD5->new;
    my $offset = $seed * 7919 % PERIOD;

    while ($size > 0) {
        my $n = $size < PIECE ? $size : PIECE;
        $md5->add(substr $pattern, $offset, $n);
        $size -= $n;
        $offset = ($offset + $n) % PERIOD;
    }

    return $md5->hexdigest;
}


sub run_plan {
    my ($c) = @_;

    my $turn = TURN;

    while (!$c->{dead}) {
        if (length $c->{out}) {
            my $n = put($c, \$c->{out}, 0, length $c->{out});
            return if !$n;

            substr $c->{out}, 0, $n, '';
            next;
        }

        my $action = $c->{plan}[0];

        if (!$action) {
            vec($wvec, $c->{fd}, 1) = 0;
            return;
        }

        if ($action->[0] eq 'pattern' && $action->[2] > 0) {
            my $size = $action->[2] < PIECE ? $action->[2] : PIECE;
            my $n = put($c, \$pattern, $action->[1] % PERIOD, $size);
            return if !$n;

            $action->[1] += $n;
            $action->[2] -= $n;
            $turn -= $n;

            if ($turn <= 0) {
                vec($wvec, $c->{fd}, 1) = 1;
                return;
            }

            next;
        }

        shift @{ $c->{plan} };
        act($c, @$action) or return;
    }
}


# the bytes that the kernel took; 0 after arming the write event or closing

sub put {
    my ($c, $data, $offset, $size) = @_;

    my $n = syswrite $c->{socket}, $$data, $size, $offset;

    return $n if $n;

    if ($! == EAGAIN || $! == EINTR) {
        vec($wvec, $c->{fd}, 1) = 1;

    } else {
        on_peer_gone($c);
    }

    return 0;
}


# false stops the plan here

sub act {
    my ($c, $what, @args) = @_;

    if ($what eq 'send' || $what eq 'frame') {
        $c->{out} .= $args[0];

    } elsif ($what eq 'wait') {
        vec($wvec, $c->{fd}, 1) = 0;
        $c->{timer} = add_timer($args[0], sub { run_plan($c) });
        return 0;

    } elsif ($what eq 'mark') {
        event($c->{attempt}, @args) if $c->{attempt};

    } elsif ($what eq 'hang') {
        vec($wvec, $c->{fd}, 1) = 0;
        return 0;

    } elsif ($what eq 'close') {
        event($c->{attempt}, 'closed', 'broken');
        close_conn($c);

    } elsif ($what eq 'reset') {
        event($c->{attempt}, 'reset', 'broken');
        reset_conn($c);

    } elsif ($what eq 'finish') {
        finish($c, @args);
        return 0;
    }

    return 1;
}


sub finish {
    my ($c, $keepalive) = @_;

    if (!$keepalive) {
        close_conn($c);
        return;
    }

    delete @$c{qw( request attempt busy timer )};
    vec($wvec, $c->{fd}, 1) = 0;
    vec($rvec, $c->{fd}, 1) = 1;
    $changed = 1;

    # pipelined; by a timer, so that the stack does not grow
    add_timer(0, sub { on_input($c) if !$c->{dead} && !$c->{busy} })
        if length $c->{in};
}


# the log

sub record {
    my ($id) = @_;

    return $record{$id} //= { id => $id, attempts => [], events => [] };
}


sub event {
    my ($attempt, $name, $state) = @_;

    my $t = now();

    $attempt->{state} = $state if $state;
    $attempt->{at}{$name} //= $t;
    $changed = 1;

    my $record = $attempt->{record} or return;
    my @e = ($attempt->{n}, $attempt->{peer}, $name, $t, $attempt->{conn});

    push @{ $record->{events} }, \@e;
    print $log_fh "$record->{id} ", event_line(\@e) if $log_fh;
}


sub event_line {
    my ($e) = @_;

    return sprintf "%d %d %s %.3f %d\n", @$e;
}


# control

sub on_control {
    my ($c) = @_;

    my ($name) = $c->{request}{path} =~ m{^/_ctl/(.*)};
    my $a = $c->{request}{args};
    my $id = $a->{id} // '';
    my $record = $record{$id} // { attempts => [], events => [] };

    if ($name eq 'log') {
        reply($c, join '', map { event_line($_) } @{ $record->{events} });

    } elsif ($name eq 'json') {
        reply($c, $json->encode([map {
            { n => $_->[0], peer => $_->[1], event => $_->[2],
              t => $_->[3], ago => now() - $_->[3], conn => $_->[4] }
        } @{ $record->{events} }]) . "\n", 'application/json');

    } elsif ($name eq 'requests') {
        reply($c, $json->encode([map { $_->{seen} }
                                     @{ $record->{attempts} }]) . "\n",
              'application/json');

    } elsif ($name eq 'count') {
        reply($c, scalar(@{ $record->{attempts} }) . "\n");

    } elsif ($name eq 'wait') {
        wait_until($c, sub { ctl_wait($a) });

    } elsif ($name eq 'cancelled') {
        wait_until($c, sub { ctl_cancelled($a) });

    } elsif ($name eq 'lag') {
        reply($c, ctl_lag($record));

    } elsif ($name eq 'open') {
        reply($c, scalar(grep { !$_->{control} } values %conn) . "\n");

    } elsif ($name eq 'busy') {
        wait_until($c, \&ctl_busy);

    } elsif ($name eq 'accepted') {
        reply($c, $serial - $ctl_conns . "\n");

    } elsif ($name eq 'md5') {
        reply($c, pattern_md5($a->{size} // 0, $a->{seed} // 0) . "\n");

    } elsif ($name eq 'reset') {
        ctl_reset($a);
        reply($c, "ok\n");

    } else {
        reply($c, "no such control\n", 'text/plain', 404);
    }
}


# Each returns whether the wait is over, the answer, and the answer on timeout
# where that is another one.

sub ctl_wait {
    my ($a) = @_;

    my $event = $a->{event} // 'closed_by_peer';
    my $events = $record{$a->{id} // ''}{events} // [];
    my $n = grep { $_->[2] eq $event } @$events;

    return $n >= ($a->{count} // 1), "ok $n\n", "timeout $n\n";
}


sub ctl_cancelled {
    my ($a) = @_;

    my $attempts = $record{$a->{id} // ''}{attempts} // [];
    my %n = (done => 0, cancelled => 0, open => 0, broken => 0);

    $n{$_->{state}}++ for @$attempts;

    return !$n{open}, 'attempts=' . @$attempts
        . " done=$n{done} cancelled=$n{cancelled} open=$n{open}"
        . ($n{broken} ? " broken=$n{broken}" : '') . "\n";
}


sub ctl_busy {
    my $n = grep { $_->{attempt} } values %conn;

    return !$n, "$n\n";
}


sub ctl_lag {
    my ($record) = @_;

    my ($won) = sort { $a <=> $b } map { $_->{at}{header} // () }
                grep { ($_->{status} // 500) < 500 && $_->{status} != 429 }
                @{ $record->{attempts} };
    my ($lost) = sort { $b <=> $a } map { $_->{at}{closed_by_peer} // () }
                 @{ $record->{attempts} };

    return defined $won && defined $lost ? sprintf("%.3f\n", $lost - $won)
                                         : "-1\n";
}


sub ctl_reset {
    my ($a) = @_;

    if (defined $a->{id}) {
        delete $record{$a->{id}};

    } else {
        %record = ();
    }

    if ($a->{close}) {
        reset_conn($_) for grep { $_->{attempt} } values %conn;
    }

    $changed = 1;
}


sub wait_until {
    my ($c, $check) = @_;

    my ($over, $text, $late) = $check->();
    my $ms = $c->{request}{args}{ms} // 900;

    if ($over || $ms <= 0) {
        reply($c, $over ? $text : $late // $text);
        return;
    }

    my $waiter = { conn => $c, check => $check };

    $c->{timer} = add_timer($ms, sub {
        @waiters = grep { $_ != $waiter } @waiters;
        my ($over, $text, $late) = $check->();
        reply($c, $over ? $text : $late // $text);
    });

    push @waiters, $waiter;
}


sub check_waiters {
    my @pending = splice @waiters;

    $changed = 0;

    for my $waiter (@pending) {
        my $c = $waiter->{conn};
        next if $c->{dead};

        my ($over, $text) = $waiter->{check}->();

        if ($over) {
            drop_timer($c->{timer});
            reply($c, $text);

        } else {
            push @waiters, $waiter;
        }
    }
}


sub reply {
    my ($c, $text, $type, $code) = @_;

    my $r = $c->{request};

    $c->{plan} = [
        [send => status_line($code // 200)
                 . 'Content-Type: ' . ($type // 'text/plain') . "\r\n"
                 . 'Content-Length: ' . length($text) . "\r\n"
                 . ($r->{keepalive} ? $r->{minor} ? ''
                                    : "Connection: keep-alive\r\n"
                                    : "Connection: close\r\n")
                 . "\r\n" . ($r->{method} eq 'HEAD' ? '' : $text)],
        [finish => $r->{keepalive}],
    ];

    run_plan($c);
}
