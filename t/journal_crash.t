# The journal when processes die: workers, the writer, the master, all of them,
# an upgrade of the binary, a second nginx on the same file. Clients note what
# they have sent and what was answered; the records are compared with that.
#
#   SMART_JOURNAL_ROUNDS=100 prove t/journal_crash.t     (1 by default)
#   perl t/journal_crash.t CASE                          one of the cases

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Errno;
use IO::Socket::INET;
use POSIX ();
use SmartJournal qw( metric run_cases );
use SmartServer;
use Test::More;
use Time::HiRes qw( sleep time );

my $rounds = $ENV{SMART_JOURNAL_ROUNDS} || 1;
my $verbose = $rounds < 3;

# accepts by its backlog, and never answers
my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1024)
    or die "listen: $!";

my $base = SmartServer::make_dir(
    ($ENV{TEST_NGINX_SERVROOT} || '/tmp/servroot') . "_journal_crash_$$");
my $nfiles = 0;
my $nids = 0;
my (%kills, @daemons);
my $slowest = 0;

END {
    for my $file (@daemons) {
        for my $pid (map { SmartServer::slurp($_) } $file, "$file.oldbin") {
            kill TERM => $pid if $pid;
        }
    }

    system 'rm', '-rf', $base if $base;
}

my @cases = qw( workers beside everything master upgrade );

# one round is five cases, two at a time; many are a soak, and run in turn

if ($rounds == 1) {
    run_cases(2, @cases);

    if (!@ARGV) {
        done_testing;
        exit;
    }
}

for my $round ($rounds > 1 ? 1 .. $rounds : ()) {
    workers($round);
    everything($round);
    master($round) if $round % 10 == 1;
    upgrade($round) if $round % 5 == 1;
    beside($round) if $round % 5 == 1;
}

# a second, and what the machine takes to start a worker and ask the file
cmp_ok($slowest, '<', 5, 'open records of a dead worker do not stay open')
    if $slowest;
note sprintf 'the slowest: %.2f s', $slowest;
note join ', ', map { "$_: $kills{$_}" } sort keys %kills;

done_testing;


sub start {
    my ($file, %opt) = @_;

    return SmartServer->start(options($file), %opt);
}


sub options {
    my ($file) = @_;

    return (workers => 2, conf => <<"CONF");
smart_journal_store sqlite:$file flush=20ms batch=200;

server {
    listen 127.0.0.1:%%PORT%%;
    smart_journal on;
    proxy_read_timeout 1h;

    location / { return 204; }
    location /hang { proxy_pass http://127.0.0.1:@{[$silent->sockport]}; }
    location = /journal_metrics { smart_journal off; smart_journal_metrics; }
}
CONF
}


# nginx upgrades itself only where its parent is not that of its beginning

sub start_daemon {
    my ($file) = @_;

    my $ngx = SmartServer->_prepare(options($file));
    my $conf = SmartServer::slurp($ngx->dir . '/nginx.conf');

    $conf =~ s/daemon off;//;
    SmartServer::spew($ngx->dir . '/nginx.conf', $conf);
    system $ngx->_command;

    SmartServer::wait_for(sub {
        $ngx->{pid} = SmartServer::slurp($ngx->dir . '/logs/nginx.pid') + 0;
        return $ngx->{pid} && $ngx->worker_pids == 2;
    }, 10);

    push @daemons, $ngx->dir . '/logs/nginx.pid';

    return $ngx;
}


sub new_file { return SmartJournal->new("$base/" . ++$nfiles . '.db') }


# in many rounds a line for each thing that is true would be too much

sub fine {
    my ($good, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok($good, $name) if $verbose || !$good;

    return $good;
}


# clients: each sends one request after the other until it is told to stop,
# and then tells: [id, time of sending, time of the answer or undef]

sub clients {
    my ($ngx, $n) = @_;

    my @clients;

    for (1 .. $n) {
        my $first = $nids + 1;
        $nids += 1_000_000;

        pipe my $in, my $out or die "pipe: $!";
        my $pid = fork // die "fork: $!";

        if (!$pid) {
            close $in;
            client($ngx->addr, $first, $out);
            POSIX::_exit(0);
        }

        close $out;
        push @clients, { pid => $pid, in => $in };
    }

    return @clients;
}


sub client {
    my ($addr, $id, $out) = @_;

    my ($stop, $socket, @log) = (0);

    local $SIG{TERM} = sub { $stop = 1 };
    local $SIG{PIPE} = 'IGNORE';

    for ( ; !$stop; $id++) {
        $socket //= IO::Socket::INET->new(PeerAddr => $addr);

        if (!$socket) {
            sleep 0.01;
            next;
        }

        my $sent = time;
        my $answer = '';

        print $socket "GET /r?id=$id HTTP/1.1\r\nHost: h\r\n\r\n";
        $socket->flush;

        while ($answer !~ /\r\n\r\n/) {
            my $got = sysread $socket, $answer, 4096, length $answer;
            next if !defined $got && $!{EINTR};
            last if !$got;
        }

        my $whole = $answer =~ /^HTTP\/1\.1 204.*\r\n\r\n/s;

        push @log, join ' ', $id, $sent, $whole ? time : '-';
        undef $socket if !$whole || $answer =~ /^Connection: close/mi;

        # as many as can be written, whatever else the machine does
        sleep 0.002;
    }

    print $out "$_\n" for @log;
    close $out;
}


sub finish {
    my (@clients) = @_;

    my %log;

    kill TERM => map { $_->{pid} } @clients;

    for my $client (@clients) {
        while (my $line = readline $client->{in}) {
            my ($id, $sent, $answered) = split ' ', $line;
            $log{$id} = { sent => $sent,
                          answered => $answered eq '-' ? undef : $answered };
        }

        waitpid $client->{pid}, 0;
    }

    return \%log;
}


# requests that never end

sub hangs {
    my ($ngx, $n) = @_;

    return map {
        my $c = $ngx->connect;
        my $id = ++$nids;
        $c->request("/hang?id=$id");
        { id => $id, client => $c };
    } 1 .. $n;
}


sub states {
    my ($j) = @_;

    my %states;

    for my $row ($j->rows("select substr(url, instr(url, 'id=') + 3) as id,"
                          . ' state from requests'))
    {
        $states{$row->{id}} = $row->{state};
    }

    return \%states;
}


sub sound {
    my ($j, $name) = @_;

    if ($verbose) {
        $j->consistent("$name: the counts are right, the file is sound");
        return;
    }

    my $wrong = $j->value(
        'select (select ifnull(sum(count), 0) from urls)'
        . ' <> (select count(*) from requests)'
        . ' or (select ifnull(sum(count), 0) from websites)'
        . ' <> (select count(*) from requests)');

    fine(!$wrong, "$name: the counts are right");
}


# every answered request has a complete record; one that was not may have any,
# or none, but no second one: an id is in one url. A worker may die after it
# sent an answer and before it logged that

sub compare {
    my ($j, $log, $name, $deaths) = @_;

    my $states = states($j);
    my ($lost, $unknown, $cut) = (0, 0, 0);

    for my $id (keys %$log) {
        my $state = $states->{$id};

        if (defined $log->{$id}{answered} && ($state // -1) != 1) {
            ($state // -1) == 3 ? $cut++ : $lost++;
        }

        $unknown++ if defined $state && $state == 0;
    }

    fine(!$lost && $cut <= ($deaths // 0),
         "$name: all " . keys(%$log) . ' requests are there')
        or diag("$lost are not, $cut are interrupted");
    fine(!$unknown, "$name: none of them is open")
        or diag("$unknown are");
    fine($j->value('select count(*) - count(distinct url) from requests')
         == 0, "$name: none is there twice");
}


# a worker dies, three times: any, the writer, any but the writer

sub workers {
    my $round = shift // 1;

    my $j = new_file();
    my $ngx = start($j->file);
    my (%log, @hangs);

    for my $which ('any', 'writer', 'other') {
        my $name = "round $round, kill -9 of a worker ($which)";

        my @new = hangs($ngx, 6);
        push @hangs, @new;
        my @clients = clients($ngx, 3);

        sleep 0.1 + rand 0.1;

        my $writer = $j->value('select writer_pid from instances');
        my @pids = $ngx->worker_pids;
        my ($pid) = $which eq 'writer' ? $writer
                  : $which eq 'other' ? grep { $_ != ($writer // 0) } @pids
                  : $pids[rand @pids];

        fine($pid && kill(KILL => $pid), "$name: killed");
        $kills{"worker ($which)"}++;

        my $start = time;

        # those that it had open are interrupted, and only those

        my (@dead, @alive);

        # its connections are closed when it is gone

        SmartServer::wait_for(sub {
            return !-d "/proc/$pid" && $ngx->worker_pids == 2;
        }, 10);

        for my $hang (@hangs) {
            if (!$hang->{dead} && $hang->{client}->closed(0.001)) {
                $hang->{dead} = 1;
            }
        }

        my $all = SmartServer::wait_for(sub {
            my $states = states($j);

            # a millisecond may have been too short to see it

            for my $hang (grep { !$_->{dead} } @hangs) {
                $hang->{dead} = 1 if ($states->{$hang->{id}} // 0) == 3
                                     && $hang->{client}->closed(0.2);
            }

            return !grep {
                ($states->{$_->{id}} // -1) != ($_->{dead} ? 3 : 0)
            } @hangs;
        }, 5);

        fine($all, "$name: what it had open is interrupted, and only that")
            or diag(join ', ', map {
                "$_->{id} " . ($_->{dead} ? 'dead ' : 'alive ')
                . (states($j)->{$_->{id}} // 'none')
            } @hangs);
        $slowest = time - $start if time - $start > $slowest;

        sleep 0.05;

        my $log = finish(@clients);
        %log = (%log, %$log);
    }

    my $name = "round $round, workers";

    $_->{client}->close for @hangs;
    quit($ngx, $name);

    compare($j, \%log, $name, 3);
    sound($j, $name);
}


# a worker that was killed is an alert of nginx, which stop() would not like

sub quit {
    my ($ngx, $name) = @_;

    my $pid = $ngx->pid;

    $ngx->signal('QUIT');

    fine(SmartServer::wait_for(sub { waitpid($pid, POSIX::WNOHANG()) }, 10),
         "$name: nginx exits");

    my @bad = grep {
        /\[(?:alert|crit|emerg)\]|Sanitizer|runtime error/
            && !/exited on signal 9|open socket #\d+ left in connection/
            && !/aborting/
            || /records are dropped/
    } $ngx->error_log;

    fine(!@bad, "$name: the log is clean") or diag(@bad);

    delete $ngx->{pid};
}


# power fails, as far as a process can tell

sub everything {
    my $round = shift // 1;

    my $name = "round $round, kill -9 of all";
    my $j = new_file();
    my $ngx = start($j->file);
    my @hangs = hangs($ngx, 4);
    my @clients = clients($ngx, 3);

    sleep 0.5 + rand 0.3;

    my $before = states($j);
    my @pids = ($ngx->pid, $ngx->worker_pids);

    kill KILL => @pids;
    my $killed = time;
    waitpid $ngx->pid, 0;
    delete $ngx->{pid};
    $kills{all}++;

    my $log = finish(@clients);

    my $other = start($j->file);

    my $swept = SmartServer::wait_for(sub {
        return ($j->value('select count(*) from requests where state = 0')
                // 1) == 0;
    }, 10);

    fine($swept, "$name: at the next start nothing is open");

    my $after = states($j);

    my @gone = grep { !defined $after->{$_} } keys %$before;
    my @changed = grep { $before->{$_} == 1 && $after->{$_} != 1 }
                  keys %$before;

    fine(!@gone, "$name: of " . keys(%$before) . ' committed records none is'
         . ' gone') or diag("@gone");
    fine(!@changed, "$name: complete ones are as they were")
        or diag("@changed");

    # the last flush: whatever ended before something began that is in the file
    # was written before it, or with it

    my $flushed = 0;

    for my $id (grep { ($after->{$_} // -1) == 1 } keys %$log) {
        my $sent = $log->{$id}{sent};
        $flushed = $sent if $sent > $flushed;
    }

    my @early = grep { ($log->{$_}{answered} // $killed) < $flushed }
                keys %$log;
    my @late = grep { ($after->{$_} // -1) != 1 } @early;

    fine(@early && !@late,
         "$name: what was answered before the last flush is there")
        or diag(scalar(@late) . ' of ' . keys %$log);
    fine($killed - $flushed < 3, "$name: which was not long ago")
        or diag($killed - $flushed);

    my @interrupted = grep { ($after->{$_->{id}} // -1) == 3 } @hangs;

    fine(@interrupted == @hangs, "$name: open ones are interrupted")
        or diag(scalar @interrupted);

    my @wrong = grep {
        ($after->{$_} // 1) == 3 && $log->{$_}{answered}
            && $log->{$_}{answered} < $flushed
    } keys %$log;

    fine(!@wrong, "$name: and only those") or diag("@wrong");

    is($other->get('/r?id=' . ++$nids)->{status}, 204, "$name: it goes on")
        if $verbose;

    quit($other, $name);
    sound($j, $name);
}


# the master dies: its workers go on, and a new nginx beside them must not take
# what they have open for lost; when they die, too, it must

sub master {
    my $round = shift // 1;

    my $name = "round $round, kill -9 of the master";
    my $j = new_file();
    my $ngx = start($j->file);
    my @hangs = hangs($ngx, 3);
    my @workers = $ngx->worker_pids;

    fine($j->wait('select count(*) from requests where state = 0', 3),
         "$name: three are open");

    kill KILL => $ngx->pid;
    waitpid $ngx->pid, 0;
    $kills{master}++;

    fine($ngx->get('/r?id=' . ++$nids)->{status} == 204,
         "$name: its workers answer");
    fine($j->wait("select count(*) from requests where state = 1"
                  . " and url like '%id=$nids'", 1),
         "$name: and write");

    my $other = start($j->file);

    fine($j->wait('select count(*) from instances', 2),
         "$name: a second nginx is there");
    sleep 0.5;
    fine($j->value('select count(*) from requests where state = 0') == 3,
         "$name: what the orphans have open is open");

    kill KILL => @workers;
    delete $ngx->{pid};

    fine($j->wait('select count(*) from requests where state = 3', 3, 12),
         "$name: after their death it is interrupted");
    fine($j->value('select count(*) from instances') == 1,
         "$name: one nginx is left");

    quit($other, $name);
    sound($j, $name);
}


sub upgrade {
    my $round = shift // 1;

    my $name = "round $round, USR2";
    my $j = new_file();
    my $ngx = start_daemon($j->file);
    my $old = $ngx->pid;
    my @clients = clients($ngx, 3);
    my ($hang) = hangs($ngx, 1);

    sleep 0.2;
    kill USR2 => $old;
    $kills{upgrade}++;

    my $file = $ngx->dir . '/logs/nginx.pid';

    if (!fine(SmartServer::wait_for(sub { -s $file && -s "$file.oldbin" }, 20),
              "$name: a new master"))
    {
        finish(@clients);
        kill TERM => $old;
        delete $ngx->{pid};
        return;
    }

    my $new = SmartServer::slurp($file) + 0;

    sleep 0.3;
    fine(states($j)->{$hang->{id}} == 0, "$name: what was open is open");

    kill QUIT => $old;
    sleep 0.1;
    fine(states($j)->{$hang->{id}} == 0, "$name: still, while it exits");

    $hang->{client}->close;
    fine(SmartServer::wait_for(sub { !kill 0, $old }, 10),
         "$name: the old one exits");

    sleep 0.1;
    my $log = finish(@clients);

    delete $ngx->{pid};
    kill QUIT => $new;
    fine(SmartServer::wait_for(sub { !kill 0, $new }, 10),
         "$name: the new one exits");

    compare($j, $log, $name);
    fine(states($j)->{$hang->{id}} == 2, "$name: the open one was aborted");
    fine($j->value('select count(*) from requests where state = 3') == 0,
         "$name: nothing is interrupted");
    sound($j, $name);
}


sub beside {
    my $round = shift // 1;

    my $name = "round $round, two on one file";
    my $j = new_file();
    my @ngx = map { start($j->file) } 1, 2;
    my @hangs = map { [hangs($_, 3)] } @ngx;
    my @clients = map { clients($_, 2) } @ngx;

    sleep 0.4;
    fine($j->value('select count(*) from requests where state = 0') >= 6,
         "$name: both have some open");

    kill KILL => $ngx[1]->pid, $ngx[1]->worker_pids;
    waitpid $ngx[1]->pid, 0;
    delete $ngx[1]{pid};
    $kills{'second nginx'}++;

    fine($j->wait('select count(*) from requests where state = 3'
                  . " and url like '%/hang%'", 3, 12),
         "$name: those of the dead one are interrupted");

    my $states = states($j);
    fine(!(grep { ($states->{$_->{id}} // -1) != 0 } @{ $hangs[0] }),
         "$name: those of the other one are open");

    my $log = finish(@clients[0, 1]);
    finish(@clients[2, 3]);

    $_->{client}->close for @{ $hangs[0] };
    quit($ngx[0], $name);
    compare($j, $log, $name);
    sound($j, $name);
}
