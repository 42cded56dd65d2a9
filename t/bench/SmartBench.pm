package SmartBench;

# What the benches of the policy have in common: nginx between a generator of
# load and simulated upstreams, and a verdict on figures.
#
#   my $bench = SmartBench->new('stragglers', 'p99 of ...');
#   my @arms = (
#       { name => 'off', smart => '' },
#       { name => 'on', smart => 'smart_hedge p95;' },
#   );
#
#   $bench->start(\@arms, dist => 'lognormal:5,0.4+slow:0.05,10',
#                 workers => 4);
#   my @runs = map { $bench->pair(rate => 500, n => 10000) } 1 .. 5;
#   $bench->stop;
#
# An arm is a server of nginx with an upstream of its own:
#
#   name        for the tables
#   smart       directives of its location
#   upstream    lines of its upstream block (server lines are made, and
#               "keepalive" and "zone" after them)
#   dist, seed, peers, servers     of peers.c; what is missing here is taken
#               from start()
#   server      parameters of the server lines ("max_fails=0")
#   extra       further server lines, e.g. of a black hole
#   arrivals    a file for what peers.c writes with -o
#
# pair(rate, n, skip, fan, seed, still) sends the same requests, at the same
# moments, to all arms at the same time, each of which draws the same times for
# them: all that differs is the directives.  It returns a hash: name => what load.c
# says, with more members: us (latencies by number), hedges (extra attempts a
# request), suppressed {reason}, metrics (differences of counters, see
# counters()), and used (share of the servers' time that was worked, with
# servers).  "cpu" is the share of a core that nginx took.  Where the machine
# stood still for more than "still" ms, the pair is repeated, and counted in
# the JSON as "disturbed".
#
# medians(runs, code) is the median of code->(run) over runs, ratio(runs, a, b,
# key) that of the ratios of two arms' latencies.
#
# table(head, rows) prints one; check(what, value, op, bar) is a verdict;
# note(key, value) puts something into the JSON; done() writes that into
# build/bench/NAME.json and returns the exit code.

use strict;
use warnings;

use Cwd ();
use File::Basename qw( dirname );
use File::Path qw( make_path );
use File::Temp ();
use IPC::Open2 qw( open2 );
use JSON::PP ();
use List::Util qw( max min sum0 );
use SmartMetrics;
use SmartServer;
use Time::HiRes qw( sleep time );

my $here = dirname(Cwd::abs_path(__FILE__));
my $root = dirname(dirname($here));


sub new {
    my ($class, $name, $about) = @_;

    my $temp = File::Temp->newdir;
    my $self = bless {
        name => $name, temp => $temp, failed => 0, seed => 0,
        report => { name => $name, about => $about, checks => [] },
    }, $class;

    $| = 1;

    # a busy machine shall not be what is measured: little is used, but at once

    system("chrt -r -p 1 $$ 2>/dev/null") if $> == 0;

    $self->program($_) for qw( load peers );

    print "$name: $about\n\n" if defined $about;

    return $self;
}


# compiled once

sub program {
    my ($self, $name) = @_;

    my $file = "$self->{temp}/$name";
    my $cc = $ENV{CC} || 'cc';

    if (!-x $file) {
        system("$cc -std=c99 -O2 -Wall -Wextra -o '$file' "
               . "'$here/$name.c' -lm") == 0
            or die "$name.c does not compile\n";
    }

    return $file;
}


# one line of JSON of the oracle

sub oracle {
    my ($self, @args) = @_;

    my $file = $self->program('oracle');

    open my $out, '-|', $file, @args or die "oracle: $!\n";
    my $line = readline $out;
    close $out or die "oracle @args\n";

    return JSON::PP::decode_json($line);
}


# a program of simulated peers: a hash with its ports

sub peers {
    my ($self, %opt) = @_;

    my @args = ('-d', $opt{dist}, '-s', $opt{seed} // 1, '-p',
                $opt{peers} // 3, '-k', $opt{servers} // 0,
                defined $opt{arrivals} ? ('-o', $opt{arrivals}) : ());
    my $pid = open2(my $out, my $in, "$self->{temp}/peers", @args);
    my $line = readline $out;

    die "peers @args\n" if !defined $line;

    return { pid => $pid, in => $in, ports => [split ' ', $line], %opt };
}


sub ctl {
    my ($self, $peers, $what) = @_;

    my $c = SmartServer::Client->connect(addr => "127.0.0.1:$peers->{ports}[0]")
        or die "the peers are gone\n";

    $c->request("/_ctl/$what", close => 1);
    $c->read_header or die "peers: /_ctl/$what: " . $c->error . "\n";

    return $c->read_body->{body};
}


sub stats {
    my ($self, $peers) = @_;

    return JSON::PP::decode_json($self->ctl($peers, 'stats'));
}


sub start {
    my ($self, $arms, %opt) = @_;

    my $conf = $opt{http} // '';
    my $n = 0;

    for my $arm (@$arms) {
        $n++;
        $arm->{$_} //= $opt{$_} for qw( dist peers servers upstream server );
        $arm->{seed} //= $opt{seed} // 1;
        $arm->{upstream} //= '';
        $arm->{n} = $n;
        $arm->{sim} = $self->peers(map { $_ => $arm->{$_} }
                                   qw( dist seed peers servers arrivals ));
        $conf .= conf($arm);
    }

    $self->{arms} = $arms;
    $self->{nginx} = SmartServer->start(
        workers => $opt{workers} // 1, connections => 8192,
        log_level => 'warn', conf => <<"CONF");
access_log off;
keepalive_requests 100000000;
proxy_http_version 1.1;
proxy_set_header Connection "";
proxy_next_upstream_tries 1;
$conf
server {
    listen 127.0.0.1:%%PORT_99%%;
    location = /metrics { smart_metrics; }
}
CONF
}


sub conf {
    my ($arm) = @_;

    my $server = $arm->{server} // 'max_fails=0';
    my $servers = join '', map { "    server 127.0.0.1:$_ $server;\n" }
                           @{ $arm->{sim}{ports} };
    my $smart = ref $arm->{smart} ? join ' ', @{ $arm->{smart} }
              : $arm->{smart};
    my $extra = $arm->{extra} // '';

    return <<"CONF";
upstream u$arm->{n} {
    zone u$arm->{n} 256k;
    $arm->{upstream}
$servers
    $extra
    keepalive 512;
}

server {
    listen 127.0.0.1:%%PORT_$arm->{n}%%;
    location / { $smart proxy_pass http://u$arm->{n}; }
}
CONF
}


sub addr {
    my ($self, $arm) = @_;

    return $self->{nginx}->addr($arm->{n});
}


sub cpu {
    my ($self) = @_;

    my $ns = 0;

    for my $pid ($self->{nginx}->worker_pids) {
        open my $fh, '<', "/proc/$pid/schedstat" or next;
        $ns += (split ' ', readline $fh)[0];
    }

    return $ns / 1e9;
}


# counters and gauges of an arm

sub counters {
    my ($self, $arm) = @_;

    my $m = $self->{metrics}
        //= SmartMetrics->scrape($self->{nginx}->addr(99), '/metrics');
    my @of = (server => $self->addr($arm));
    my %now = map { $_ => $m->value($_, @of) // 0 }
                  qw( saved_seconds_total wasted_seconds_total
                      dry_run_hedges_total delay_seconds budget_tokens );

    # a server without the module's directives has none

    $now{$_} = $m->value('attempts_total', @of, attempt => $_) // 0
        for qw( primary hedge );
    $now{won} = $m->value('attempts_finished_total', @of, attempt => 'hedge',
                          result => 'won') // 0;
    $now{"no_$_"} = $m->value('suppressed_total', @of, reason => $_) // 0
        for @{ $SmartMetrics::VALUES{reason} };

    return \%now;
}


# once more, with another seed, where the machine itself stood still: when the
# timers of the peers or of the generator were far too late

sub pair {
    my ($self, %opt) = @_;

    for my $try (1 .. 4) {
        my $run = $self->try_pair(%opt);

        return $run if !defined $opt{still} || $try == 4
                       || $run->{late_ms} <= $opt{still};

        $self->{report}{disturbed}++;
        printf "(once more: the machine stood still for %.0f ms)\n",
               $run->{late_ms};
    }
}


sub try_pair {
    my ($self, %opt) = @_;

    my @arms = @{ $self->{arms} };
    my $seed = $opt{seed} // ++$self->{seed};
    my (%run, %before);

    $self->{metrics} = undef;

    for my $arm (@arms) {
        $self->ctl($arm->{sim}, "seed?$seed");
        $before{$arm->{name}} = [$self->counters($arm),
                                 $self->stats($arm->{sim})];
    }

    my ($begin, $cpu) = (time, $self->cpu);

    for my $arm (@arms) {
        my @args = ('-c', $opt{connections} // 2000, '-n', $opt{n}, '-r',
                    $opt{rate}, '-p', '-s', $seed, '-N', '-w',
                    $opt{skip} // 0, '-f', $opt{fan} // 1, '-o',
                    "$self->{temp}/us.$arm->{n}", $self->addr($arm), '/');

        open $run{$arm->{name}}{out}, '-|', "$self->{temp}/load", @args
            or die "load: $!\n";
    }

    $opt{meanwhile}->() if $opt{meanwhile};

    for my $arm (@arms) {
        my $run = $run{$arm->{name}};
        my $out = delete $run->{out};
        my $line = readline $out;

        close $out;
        die "load ended badly\n" if !defined $line;
        %$run = (%{ JSON::PP::decode_json($line) },
                 us => slurp_us("$self->{temp}/us.$arm->{n}"));
    }

    my $seconds = time - $begin;

    $run{cpu} = ($self->cpu - $cpu) / $seconds;

    # the last ones are counted just after their answers

    sleep 0.2;
    $self->{metrics} = undef;

    for my $arm (@arms) {
        my $run = $run{$arm->{name}};
        my ($was, $worked) = @{ $before{$arm->{name}} };

        $self->finish_arm($arm, $run, $was, $worked, $seconds);
    }

    $run{late_ms} = max(map { $run{$_->{name}}{late_ms} } @arms);

    return \%run;
}


sub finish_arm {
    my ($self, $arm, $run, $was, $before, $seconds) = @_;

    my $now = $self->counters($arm);
    my $stats = $self->stats($arm->{sim});

    $run->{delay} = delete $now->{delay_seconds};
    $run->{tokens} = delete $now->{budget_tokens};
    $run->{metrics} = { map { $_ => $now->{$_} - $was->{$_} } keys %$now };
    $run->{hedges} = $run->{metrics}{hedge} / $run->{requests};
    $run->{received} = [map { $stats->{peers}[$_]{received}
                              - $before->{peers}[$_]{received} }
                        0 .. $#{ $stats->{peers} }];
    $run->{late_ms} = max($run->{late_ms}, $stats->{latest_ms});

    if ($arm->{servers}) {
        $run->{used} = sum0(map { $stats->{peers}[$_]{worked}
                                  - $before->{peers}[$_]{worked} }
                            0 .. $#{ $stats->{peers} })
                       / $seconds / @{ $stats->{peers} } / $arm->{servers};
    }
}


sub slurp_us {
    my ($file) = @_;

    open my $fh, '<:raw', $file or die "$file: $!\n";
    local $/;

    return [unpack 'L*', readline $fh];
}


# pairs of a moment, us, and whether it is an extra request

sub slurp_arrivals {
    my ($file, $from) = @_;

    open my $fh, '<:raw', $file or die "$file: $!\n";
    seek $fh, $from // 0, 0;
    local $/;

    return [unpack 'Q*', readline $fh];
}


sub stop {
    my ($self) = @_;

    (delete $self->{nginx})->kill('QUIT') if $self->{nginx};

    for my $arm (@{ delete $self->{arms} || [] }) {
        my $sim = delete $arm->{sim};

        close $sim->{in};
        waitpid $sim->{pid}, 0;
    }
}


sub DESTROY {
    my ($self) = @_;

    local ($?, $@);

    $self->stop;
}


# figures

sub median {
    my @sorted = sort { $a <=> $b } @_;

    return @sorted % 2 ? $sorted[$#sorted / 2]
         : ($sorted[@sorted / 2 - 1] + $sorted[@sorted / 2]) / 2;
}


sub medians {
    my ($runs, $code) = @_;

    return median(map { $code->($_) } @$runs);
}


sub latency {
    my ($runs, $arm, $key) = @_;

    return medians($runs, sub { $_[0]{$arm}{latency}{$key} });
}


sub ratio {
    my ($runs, $arm, $to, $key) = @_;

    return medians($runs, sub {
        $_[0]{$arm}{latency}{$key} / $_[0]{$to}{latency}{$key}
    });
}


# of a list of numbers; p from 0 to 1

sub quantile {
    my ($p, $values) = @_;

    my @sorted = sort { $a <=> $b } @$values;
    my $rank = int($p * @sorted + 0.999999);

    return $sorted[max(0, min($rank, scalar @sorted) - 1)];
}


# said

sub table {
    my ($self, $head, @rows) = @_;

    my @width = map { my $i = $_; max(map { length $_->[$i] } $head, @rows) }
                0 .. $#$head;

    for my $row ($head, @rows) {
        print join('  ', map {
            sprintf $_ ? "%$width[$_]s" : "%-$width[$_]s", $row->[$_]
        } 0 .. $#$head), "\n";
    }

    print "\n";
    push @{ $self->{report}{tables} }, { head => $head, rows => \@rows };
}


sub check {
    my ($self, $what, $value, $op, $bar) = @_;

    my $ok = $op eq '<=' ? $value <= $bar : $value >= $bar;

    printf "%s %s: %.4g (bar: %s %.4g)\n", $ok ? 'ok    ' : 'not ok', $what,
           $value, $op, $bar;

    $self->{failed}++ if !$ok;
    push @{ $self->{report}{checks} },
         { what => $what, value => $value + 0, op => $op, bar => $bar + 0,
           ok => $ok ? JSON::PP::true : JSON::PP::false };
}


sub note {
    my ($self, $key, $value) = @_;

    $self->{report}{$key} = $value;
}


sub done {
    my ($self) = @_;

    $self->stop;

    my $dir = $ENV{SMART_BENCH_OUT} || "$root/build/bench";

    make_path($dir);
    open my $fh, '>', "$dir/$self->{name}.json" or die "$dir: $!\n";
    print $fh JSON::PP->new->canonical->pretty->encode($self->{report});
    close $fh;

    print "\n", $self->{failed} ? "$self->{failed} of " : 'all ',
          scalar @{ $self->{report}{checks} },
          $self->{failed} ? ' missed their bar' : ' within their bars', "\n";

    return $self->{failed} ? 1 : 0;
}


1;
