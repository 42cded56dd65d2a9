package H2;

# An HTTP/2 client over plain TCP with prior knowledge, as little of one as the
# tests need: several streams on a connection, RST_STREAM, GOAWAY, and the
# close of a connection.  Of a response's header only the status is decoded.
#
#   my $h = H2->connect('127.0.0.1:8080') or die;
#   my $id = $h->request('/?s=ok', method => 'GET', headers => [a => 'b']);
#   $h->wait($id, 5);                       # until it is over, 5 s at most
#   my $s = $h->stream($id);                # status size md5 complete reset
#   $h->rst($id); $h->drain(0.1);           # RST_STREAM; what was on its way
#   $h->close;                              # FIN
#   $h->reset;                              # TCP's RST
#
# pump(seconds) reads what has come, once, and returns false after the end of
# the connection.  With window => bytes a stream's window is that, and is never
# opened again: a client that does not read.  A request with unfinished => 1 does
# not end its body.  "done" calls back with the stream
# when it is over.

use strict;
use warnings;

use Digest::MD5;
use IO::Socket::INET;
use Socket;
use Time::HiRes qw( time );

use constant {
    DATA => 0, HEADERS => 1, RST_STREAM => 3, SETTINGS => 4, PING => 6,
    GOAWAY => 7, WINDOW_UPDATE => 8,
    END_STREAM => 1, ACK => 1, END_HEADERS => 4, PADDED => 8, PRIORITY => 32,
    WINDOW => 0x7fff_ffff,
};

# the table that every HTTP/2 peer knows
my %STATUS = (8 => 200, 9 => 204, 10 => 206, 11 => 304, 12 => 400, 13 => 404,
              14 => 500);


sub connect {
    my ($class, $addr, %opt) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => $addr) or return undef;

    my $self = bless { socket => $socket, in => '', next => 1, streams => {},
                       window => $opt{window}, done => $opt{done} }, $class;

    # INITIAL_WINDOW_SIZE, and the connection's own window to the full
    $self->_write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                  . _frame(SETTINGS, 0, 0,
                           pack 'nN', 4, $opt{window} // WINDOW)
                  . _frame(WINDOW_UPDATE, 0, 0, pack 'N', WINDOW - 65535));

    return $self;
}


sub request {
    my ($self, $uri, %opt) = @_;

    my $id = $self->{next};
    my @headers = (':method' => $opt{method} // 'GET', ':scheme' => 'http',
                   ':path' => $uri, ':authority' => 'localhost',
                   @{ $opt{headers} || [] });
    my $block = '';

    $self->{next} += 2;

    # literals without indexing, names spelled out
    while (my ($name, $value) = splice @headers, 0, 2) {
        $block .= "\0" . _string($name) . _string($value);
    }

    my $body = $opt{body};

    $self->{streams}{$id} = {
        id => $id, size => 0, md5_state => Digest::MD5->new, start => time,
        complete => 0, reset => 0, over => 0, tag => $opt{tag},
    };

    my $text = _frame(HEADERS, END_HEADERS | (defined $body ? 0 : END_STREAM),
                      $id, $block);

    # short enough for the server's windows
    $text .= _frame(DATA, $opt{unfinished} ? 0 : END_STREAM, $id, $body)
        if defined $body;

    $self->_write($text);

    return $id;
}


sub stream { return $_[0]{streams}{$_[1]} }


sub rst {
    my ($self, $id) = @_;

    $self->_write(_frame(RST_STREAM, 0, $id, pack 'N', 8));
    $self->_over($self->{streams}{$id});
}


sub goaway {
    my ($self) = @_;

    $self->_write(_frame(GOAWAY, 0, 0, pack 'NN', 0, 0));
}


sub wait {
    my ($self, $id, $seconds) = @_;

    my $end = time + $seconds;

    until ($self->{streams}{$id}{over}) {
        my $left = $end - time;
        return 0 if $left <= 0;
        $self->pump($left) or last;
    }

    return $self->{streams}{$id}{complete};
}


sub wait_header {
    my ($self, $id, $seconds) = @_;

    my $end = time + $seconds;

    until ($self->{streams}{$id}{status} || $self->{streams}{$id}{over}) {
        my $left = $end - time;
        return 0 if $left <= 0;
        $self->pump($left) or last;
    }

    return $self->{streams}{$id}{status};
}


# reads what is on its way, until nothing came for so many seconds

sub drain {
    my ($self, $seconds) = @_;

    my $end = time + 10;

    while ($self->{socket} && time < $end) {
        my $r = '';
        vec($r, fileno $self->{socket}, 1) = 1;
        last if select($r, undef, undef, $seconds) <= 0;
        $self->pump(0);
    }
}


sub open { return grep { !$_->{over} } values %{ $_[0]{streams} } }


sub pump {
    my ($self, $seconds) = @_;

    return 0 if !$self->{socket};

    my $r = '';
    vec($r, fileno $self->{socket}, 1) = 1;

    return 1 if select($r, undef, undef, $seconds) <= 0;

    my $n = sysread $self->{socket}, $self->{in}, 262144, length $self->{in};

    if (!$n) {
        $self->_over($_) for values %{ $self->{streams} };
        CORE::close delete $self->{socket};
        return 0;
    }

    my $pos = 0;

    while (length($self->{in}) - $pos >= 9) {
        my ($high, $low, $type, $flags, $id)
            = unpack 'Cn CCN', substr $self->{in}, $pos, 9;
        my $length = $high << 16 | $low;

        last if length($self->{in}) - $pos < 9 + $length;

        $self->_receive($type, $flags, $id & 0x7fff_ffff,
                        substr $self->{in}, $pos + 9, $length);
        $pos += 9 + $length;
    }

    substr $self->{in}, 0, $pos, '';

    return 1;
}


sub _receive {
    my ($self, $type, $flags, $id, $data) = @_;

    my $s = $self->{streams}{$id};

    if ($type == SETTINGS && !($flags & ACK)) {
        $self->_write(_frame(SETTINGS, ACK, 0, ''));

    } elsif ($type == PING && !($flags & ACK)) {
        $self->_write(_frame(PING, ACK, 0, $data));

    } elsif ($type == GOAWAY) {
        $self->{gone} = 1;

    } elsif ($type == RST_STREAM && $s) {
        $s->{reset} = 1;
        $self->_over($s);

    } elsif ($type == HEADERS && $s) {
        my $status = _status(_unpad($flags, $data));
        $s->{status} = $status if !$s->{status} && $status >= 200;
        $self->_end($s) if $flags & END_STREAM;

    } elsif ($type == DATA) {
        $self->_write(_frame(WINDOW_UPDATE, 0, 0, pack 'N', length $data))
            if length $data;

        return if !$s || $s->{over};

        $data = _unpad($flags & PADDED, $data);
        $s->{size} += length $data;
        $s->{md5_state}->add($data);

        if ($flags & END_STREAM) {
            $self->_end($s);

        } elsif (length $data && !defined $self->{window}) {
            $self->_write(_frame(WINDOW_UPDATE, 0, $id,
                                 pack 'N', length $data));
        }
    }
}


sub _end {
    my ($self, $s) = @_;

    $s->{complete} = 1;
    $self->_over($s);
}


sub _over {
    my ($self, $s) = @_;

    return if $s->{over};

    $s->{over} = 1;
    $s->{md5} = delete($s->{md5_state})->hexdigest;
    $s->{ms} = (time - $s->{start}) * 1000;

    $self->{done}->($s) if $self->{done};
}


sub _unpad {
    my ($flags, $data) = @_;

    if ($flags & PADDED) {
        my $pad = unpack 'C', $data;
        $data = substr $data, 1, length($data) - 1 - $pad;
    }

    $data = substr $data, 5 if $flags & PRIORITY;

    return $data;
}


# the status comes first, but for a change of the table's size

sub _status {
    my ($block) = @_;

    $block =~ s/^(?:\x3f[\x80-\xff]*[\x00-\x7f]|[\x20-\x3e])+//;

    my $first = unpack 'C', $block;

    return $STATUS{$first & 0x7f} // 0 if $first & 0x80;

    # :status by its index, and three digits as they are, or as Huffman codes
    return $1 if $block =~ /^[\x08-\x0e\x48-\x4e\x18-\x1e]\x03(\d{3})/;

    return 599;
}


sub _string {
    my ($text) = @_;

    my $n = length $text;

    return pack('C', $n) . $text if $n < 127;

    $n -= 127;

    my $length = "\x7f";

    while ($n >= 128) {
        $length .= chr($n & 127 | 128);
        $n >>= 7;
    }

    return $length . chr($n) . $text;
}


sub _frame {
    my ($type, $flags, $id, $data) = @_;

    my $n = length $data;

    return pack('CnCCN', $n >> 16, $n & 0xffff, $type, $flags, $id) . $data;
}


sub _write {
    my ($self, $text) = @_;

    return if !$self->{socket};

    local $SIG{PIPE} = 'IGNORE';

    while (length $text) {
        my $n = syswrite $self->{socket}, $text or return;
        substr $text, 0, $n, '';
    }
}


sub close {
    my ($self) = @_;

    CORE::close delete $self->{socket} if $self->{socket};
}


sub reset {
    my ($self) = @_;

    return if !$self->{socket};

    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    $self->close;
}


1;
