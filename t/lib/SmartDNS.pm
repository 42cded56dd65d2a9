package SmartDNS;

# A name server whose answers tests decide, one process, UDP on 127.0.0.1.
#
#   use SmartDNS;
#
#   SmartDNS->start;                        # $TEST_NGINX_DNS, for "resolver"
#   SmartDNS->set('peers.test', '127.0.0.1', '127.0.0.2');
#
# A name whose first label begins with one of these words behaves so:
#
#   hang         no answer, ever
#   none         NXDOMAIN
#   late-MS      the answer comes after MS milliseconds
#
# Every other name, and a late one, has the addresses that it was set to,
# 127.0.0.1 by default; set() without addresses means NXDOMAIN.  The time to
# live is one second.  AAAA records there are none.
#
#   set(name, addresses..)   from now on
#   asked(name)              queries for it so far

use strict;
use warnings;

use IO::Socket::INET;
use POSIX ();
use Socket;
use Time::HiRes qw( time );

my ($pid, $ask, $answer);
my $owner = $$;


sub start {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                       Proto => 'udp')
        or die "dns: $!";

    pipe my $in, $ask or die "pipe: $!";
    pipe $answer, my $out or die "pipe: $!";

    $_->autoflush(1) for $ask, $out;

    $pid = fork // die "fork: $!";

    if (!$pid) {
        close $ask;
        close $answer;
        serve($socket, $in, $out);
        POSIX::_exit(0);
    }

    close $in;
    close $out;

    $ENV{TEST_NGINX_DNS} = '127.0.0.1:' . $socket->sockport;
}


sub set {
    my ($class, $name, @addresses) = @_;

    syswrite $ask, "set $name @addresses\n";
    return readline $answer;
}


sub asked {
    my ($class, $name) = @_;

    syswrite $ask, "asked $name\n";
    return int readline $answer;
}


sub serve {
    my ($socket, $in, $out) = @_;

    my (%addresses, %asked, @late);

    while (1) {
        my $r = '';

        vec($r, fileno $_, 1) = 1 for $socket, $in;

        my ($next) = sort { $a <=> $b } map { $_->[0] } @late;

        select $r, undef, undef, defined $next ? $next - time : undef;

        @late = grep { $_->[0] > time || !send $socket, $_->[1], 0, $_->[2] }
                     @late;

        if (vec $r, fileno $in, 1) {
            sysread $in, my $line, 1024 or return;

            my ($what, $name, @list) = split ' ', $line;

            $addresses{$name} = \@list if $what eq 'set';
            print $out $asked{$name} // 0, "\n";
        }

        next if !vec $r, fileno $socket, 1;

        my $from = recv $socket, my $query, 512, 0 or next;
        my ($id, $name, $type, $question) = parse($query) or next;

        $asked{$name}++;

        next if $name =~ /^hang/;

        my $list = $name =~ /^none/ ? [] : $addresses{$name}
                                           // ['127.0.0.1'];
        my @records = $type == 1 ? @$list : ();
        my $reply = pack('n6', $id, @$list ? 0x8180 : 0x8183, 1,
                         scalar @records, 0, 0)
                  . $question;

        # the name by its place in the question, A, IN, TTL, length
        $reply .= pack 'n3Nn a4', 0xc00c, 1, 1, 1, 4, inet_aton($_)
            for @records;

        if ($name =~ /^late-(\d+)/) {
            push @late, [time + $1 / 1000, $reply, $from];

        } else {
            send $socket, $reply, 0, $from;
        }
    }
}


# id, name, type, the question as it came

sub parse {
    my ($query) = @_;

    return if length $query < 17;

    my $id = unpack 'n', $query;
    my @labels;
    my $at = 12;

    while (my $len = ord substr $query, $at, 1) {
        push @labels, substr $query, $at + 1, $len;
        $at += 1 + $len;
        return if $at >= length $query;
    }

    my $type = unpack 'n', substr $query, $at + 1, 2;

    return $id, lc CORE::join('.', @labels), $type,
           substr $query, 12, $at + 5 - 12;
}


END {
    if ($$ == $owner && $pid) {
        local $?;

        close $ask;
        kill TERM => $pid;
        waitpid $pid, 0;
    }
}


1;
