# The journal's store when it is not as it should be: locked, full, read-only,
# corrupt, of someone else; its retention, its queue, reload and exit.
#
#   perl t/journal_store.t CASE     one of the cases, and all that it checks

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::MD5 qw( md5_hex );
use IPC::Open2;
use POSIX ();
use SmartJournal qw( metric run_cases );
use SmartServer;
use Test::More;
use Time::HiRes qw( sleep time );

# file systems of our own, which vanish with us

if ($> == 0 && !$ENV{SMART_JOURNAL_UNSHARED}) {
    $ENV{SMART_JOURNAL_UNSHARED} = system('unshare -m true 2> /dev/null') == 0
                                 ? 'yes' : 'no';

    exec 'unshare', '-m', $^X, $0, @ARGV
        if $ENV{SMART_JOURNAL_UNSHARED} eq 'yes';
}

my $mounts = ($ENV{SMART_JOURNAL_UNSHARED} // 'no') eq 'yes';
my $hold;

# most of them wait for the writer, which tries once a second: three at a time
my @cases = qw( locked_at_exit locked foreign garbage read_only basic full
                permission queue_full retention corrupt_inside moved reload
                instances );

run_cases(3, @cases);
done_testing;


sub start {
    my (%opt) = @_;

    my $params = $opt{params} // '';
    my $store = $opt{store} // 'sqlite:%%DIR%%/db/journal.db';

    return SmartServer->start(
        files => { 'db/x' => '' }, %opt, conf => conf($store, $params));
}


sub conf {
    my ($store, $params) = @_;

    return <<"CONF";
smart_journal_store $store flush=20ms $params;

server {
    listen 127.0.0.1:%%PORT%%;
    smart_journal on;
    location / { return 204; }
    location = /journal_metrics { smart_journal off; smart_journal_metrics; }
    location /put/ { smart_journal off; smart_journal_api write; }
}
CONF
}


sub journal {
    my ($ngx, $name) = @_;

    return SmartJournal->new($ngx->dir . '/db/' . ($name // 'journal.db'));
}


# both, where the file is in its place

sub begin {
    my $ngx = start(@_);

    return ($ngx, journal($ngx));
}


# how often the file is opened, read and closed by others

sub look {
    my ($j, $n) = @_;

    $j->value('select count(*) from requests') for 1 .. $n;
}


# a record by the API, which has a connection of its own to the file; one that
# were too old for the retention would be pruned

sub put {
    my ($ngx, $n) = @_;

    my $id = sprintf '0190a000-0000-7000-8000-%012x', $n;
    my $body = qq({"id":"$id","timestamp":$^T,"duration":0.5,)
               . qq("target_url":"http://put.example/$n","response_code":200});

    return $ngx->get('/put/get', method => 'PUT', body => $body)->{status};
}


# n requests, each of which is answered at once

sub requests {
    my ($ngx, $n, $name) = @_;

    my $c = $ngx->connect;
    my $slowest = 0;
    my $good = 0;

    for (1 .. $n) {
        my $start = time;
        $c->request('/r?' . rand);
        my $head = $c->read_header || {};
        $good += ($head->{status} // 0) == 204;
        $slowest = time - $start if time - $start > $slowest;
    }

    $c->close;

    is($good, $n, "$name: $n requests are answered");
    cmp_ok($slowest, '<', 0.9, "$name: none waits for the store");
}


sub holds {
    my ($j, $n, $name) = @_;

    ok($j->wait('select count(*) from requests', $n, 8),
       "$name: all $n records are written")
        or diag($j->value('select count(*) from requests') // 'no table');
}


sub up {
    my ($ngx, $value, $name) = @_;

    ok(SmartServer::wait_for(sub { metric($ngx, 'store_up') == $value }, 8),
       "$name: store_up is $value");
}


sub hold_lock {
    my ($j) = @_;

    $hold = { file => $j->file };
    $hold->{pid} = open2($hold->{out}, $hold->{in}, 'sqlite3', '-batch',
                         $j->file);

    print { $hold->{in} } ".timeout 5000\nbegin immediate;\nselect 'held';\n";
    $hold->{in}->flush;
    readline $hold->{out};
}


sub release_lock {
    close $hold->{in};
    waitpid $hold->{pid}, 0;
    undef $hold;
}


END {
    local $?;
    kill KILL => $hold->{pid} if $hold;
}


sub stop {
    my ($ngx, $name, %opt) = @_;

    my $pid = $ngx->pid;
    my @alerts = grep { /\[(?:alert|emerg)\]/ } $ngx->error_log;

    ok(!@alerts, "$name: no alert") or diag(@alerts);

    return $ngx->stop(alerts => 1, name => "$name: nginx stops in good order",
                      %opt);
}


sub basic {
    my ($ngx, $j) = begin();

    requests($ngx, 20, 'well');
    holds($j, 20, 'well');

    my $mode = (stat $j->file)[2];
    is($mode & 07777, 0640, 'the file is not for everyone');
    is($j->value('select journal_mode from pragma_journal_mode'), 'wal',
       'WAL');
    is($j->value('select user_version from pragma_user_version'), 1,
       'the version of the schema');
    is($j->value("select count(*) from sqlite_schema where type = 'table'"
                 . " and sql like '%STRICT%'"), 4, 'strict tables');

    # others may open and close the file, as often as they like, and so may
    # the connections of the same process that take records and answer: locks
    # of a file belong to the process, and any close() could drop them

    look($j, 3);
    requests($ngx, 20, 'read by others');
    holds($j, 40, 'read by others');

    for my $n (1 .. 3) {
        is(put($ngx, $n), 201, "PUT $n");
        look($j, 2);
        is($ngx->get('/put/get?limit=1')->{status}, 200, "list $n");
        requests($ngx, 5, "after PUT $n");
        look($j, 2);
    }

    is(put($ngx, 2), 200, 'PUT again');
    requests($ngx, 5, 'and again');
    holds($j, 63, 'requests and PUT');

    kill KILL => $ngx->pid, $ngx->worker_pids;
    waitpid delete $ngx->{pid}, 0;

    is($j->value('select count(*) from requests'), 63,
       'what was committed survives kill -9 of all');
    is($j->value("select count(*) from requests where website ="
                 . " 'http://put.example'"), 3, 'and what was PUT');
    is($j->value('select count(distinct id) from requests where state = 1'),
       63, 'all of it complete, each once');
    $j->consistent;
}


sub locked {
    my ($ngx, $j) = begin(workers => 2);

    requests($ngx, 5, 'locked');
    holds($j, 5, 'locked');
    hold_lock($j);

    requests($ngx, 50, 'while locked');
    up($ngx, 0, 'while locked');
    cmp_ok(metric($ngx, 'write_errors_total'), '>', 0, 'errors are counted');

    my $start = time;
    my $errors = metric($ngx, 'write_errors_total');
    sleep 1.5;
    cmp_ok(metric($ngx, 'write_errors_total') - $errors, '<', 4,
           'it tries about once a second');
    is(metric($ngx, 'queue_records'), 50, 'the records wait');
    $ngx->log_like(qr/\[crit\].*smart: journal: "sqlite:\S+journal\.db"/,
                   'the log names the store');
    $ngx->log_like(qr/cannot write: database is locked; \d+ records wait/,
                   'and says why');

    release_lock();
    holds($j, 55, 'released');
    up($ngx, 1, 'released');
    $ngx->log_like(qr/\[notice\].*can be written again/, 'and so the log');

    $j->consistent;
    stop($ngx, 'locked');
}


sub locked_at_exit {
    my ($ngx, $j) = begin();

    requests($ngx, 5, 'at exit');
    holds($j, 5, 'at exit');
    hold_lock($j);
    requests($ngx, 30, 'at exit, locked');

    my $start = time;
    $ngx->signal('QUIT');
    sleep 0.5;
    release_lock();
    stop($ngx, 'at exit', timeout => 15);

    is($j->value('select count(*) from requests'), 35,
       'nginx waits for the store and writes what is left');

    $ngx = start();
    $j = journal($ngx);
    requests($ngx, 5, 'at exit');
    holds($j, 5, 'at exit');
    hold_lock($j);
    requests($ngx, 30, 'at exit, locked for long');

    $start = time;
    stop($ngx, 'locked for long', timeout => 20);
    cmp_ok(time - $start, '<', 12, 'but not for ever');
    $ngx->log_like(qr/\[crit\].*30 records could not be written before/,
                   'what is lost is counted');
    release_lock();
    is($j->value('select count(*) from requests'), 5, 'it is not there');
}


sub queue_full {
    my ($ngx, $j) = begin(params => 'queue=16 batch=16');

    requests($ngx, 5, 'a small queue');
    holds($j, 5, 'a small queue');
    hold_lock($j);

    requests($ngx, 40, 'a full queue');
    is(metric($ngx, 'dropped_total{reason="full"}'), 24,
       'what finds no slot is dropped and counted');
    is(metric($ngx, 'queue_records'), 16, 'the queue is full');
    $ngx->log_like(qr/\[warn\].*the queue of 16 is full, \d+ records are/,
                   'the log says so');

    release_lock();
    holds($j, 21, 'a full queue, released');
    requests($ngx, 10, 'a queue that was full');
    holds($j, 31, 'a queue that was full');
    stop($ngx, 'a full queue');
}


sub garbage {
    for my $text ('x' x 100_000, "SQLite format 3\0" . 'y' x 50_000, 'short') {
        my ($ngx, $j) = begin(files => { 'db/journal.db' => $text,
                                         'db/journal.db-wal' => 'old' });

        requests($ngx, 5, 'garbage');
        holds($j, 5, 'in place of garbage');

        my ($aside) = grep { !/-(?:wal|shm)$/ }
                      glob $ngx->dir . '/db/journal.db.corrupt-*';

        like($aside, qr/\.corrupt-\d{8}T\d{6}Z$/, 'it is set aside by name');
        is(md5_hex(SmartServer::slurp($aside // '')), md5_hex($text),
           'and as it was');
        $ngx->log_like(qr/\[crit\].*is corrupt: its name ends in "\.corrupt-/,
                       'the log says so');
        up($ngx, 1, 'garbage');
        stop($ngx, 'garbage');
    }
}


# the first page is good, all others are not

sub corrupt_inside {
    my ($ngx, $j) = begin();

    requests($ngx, 50, 'before');
    holds($j, 50, 'before');
    my $file = $j->file;
    stop($ngx, 'before');

    open my $fh, '+<', $file or die "$file: $!";
    seek $fh, 8192, 0;
    print $fh 'z' x ((-s $file) - 8192);
    close $fh;

    my $md5 = md5_hex(SmartServer::slurp($file));

    $ngx = start(store => "sqlite:$file");

    requests($ngx, 20, 'corrupt inside');
    holds($j, 20, 'in place of what is corrupt inside');

    my ($aside) = grep { !/-(?:wal|shm)$/ } glob "$file.corrupt-*";
    is(md5_hex(SmartServer::slurp($aside // '')), $md5,
       'it is set aside as it was');
    stop($ngx, 'corrupt inside');
}


sub foreign {
    my $dir = SmartServer::make_dir(
        ($ENV{TEST_NGINX_SERVROOT} || '/tmp/servroot') . "_foreign_$$");

    for my $sql ('create table mine (a); insert into mine values (7)',
                 'pragma application_id = 1313169226; pragma user_version = 3',
                 'create table t (a); pragma application_id = 1734824778;'
                 . ' pragma user_version = 99')
    {
        unlink glob "$dir/*";
        system 'sqlite3', "$dir/x.db", $sql;
        my $md5 = md5_hex(SmartServer::slurp("$dir/x.db"));

        my $ngx = start(store => "sqlite:$dir/x.db");

        requests($ngx, 5, 'not ours');
        $ngx->log_like(qr/\[crit\].*it is left alone/, 'the log says so');
        up($ngx, 0, 'not ours');
        is(md5_hex(SmartServer::slurp("$dir/x.db")), $md5,
           'it is left as it was');
        stop($ngx, 'not ours', timeout => 15);
    }

    unlink glob "$dir/*";
    mkdir "$dir/x.db";
    my $ngx = start(store => "sqlite:$dir/x.db");
    requests($ngx, 1, 'a directory');
    $ngx->log_like(qr/\[crit\].*is not a regular file/, 'a directory');
    stop($ngx, 'a directory', timeout => 15);

    system 'rm', '-rf', $dir;
}


sub permission {
  SKIP: {
        skip 'the user is not root', 1 if $> != 0;

        my $ngx = start(user => 'nobody nogroup');

        requests($ngx, 5, 'not permitted');
        $ngx->log_like(qr/\[crit\].*cannot be opened: Permission denied, the /,
                       'the log says it');
        $ngx->log_like(qr/must be able to write the file and its directory/,
                       'and what is missing');

        chmod 0777, $ngx->dir . '/db';
        holds(journal($ngx), 5, 'permitted');
        stop($ngx, 'not permitted');
    }
}


sub moved {
    my ($ngx, $j) = begin();

    requests($ngx, 5, 'moved');
    holds($j, 5, 'moved');

    rename $j->file, $j->file . '.old';
    rename $j->file . "-$_", $j->file . ".old-$_" for 'wal', 'shm';

    requests($ngx, 7, 'after it was moved');
    holds($j, 7, 'in a new file');
    is(SmartJournal->new($j->file . '.old')
       ->value('select count(*) from requests'), 5, 'the old one is whole');
    $ngx->log_like(qr/\[crit\].*has been moved or removed/, 'the log');
    stop($ngx, 'moved');
}


sub full {
  SKIP: {
        skip 'no file system of our own', 1 if !$mounts;

        my $dir = disk('size=2m');
        my $ngx = start(store => "sqlite:$dir/journal.db");
        my $j = SmartJournal->new("$dir/journal.db");

        requests($ngx, 5, 'a small disk');
        holds($j, 5, 'a small disk');

        # nothing is left

        open my $fh, '>', "$dir/fill";
        syswrite $fh, 'x' x 65536 for 1 .. 100;
        syswrite $fh, 'x' x 512 for 1 .. 300;
        close $fh;

        requests($ngx, 400, 'a full disk');
        up($ngx, 0, 'a full disk');
        $ngx->log_like(qr/\[crit\].*(?:disk is full|No space left)/,
                       'the log says so');

        unlink "$dir/fill";
        holds($j, 405, 'a disk that has room again');
        up($ngx, 1, 'a disk that has room again');
        $j->consistent;
        stop($ngx, 'a full disk');
    }
}


sub read_only {
  SKIP: {
        skip 'no file system of our own', 1 if !$mounts;

        my $dir = disk('size=20m');
        my $ngx = start(store => "sqlite:$dir/journal.db");
        my $j = SmartJournal->new("$dir/journal.db");

        requests($ngx, 5, 'read and write');
        holds($j, 5, 'read and write');
        stop($ngx, 'read and write');

        for my $file ('journal.db', 'new.db') {
            system('mount', '-o', 'remount,ro', $dir) == 0 or die 'remount';

            $ngx = start(store => "sqlite:$dir/$file");
            requests($ngx, 5, "read-only $file");
            up($ngx, 0, "read-only $file");
            $ngx->log_like(qr/\[crit\].*Read-only file system/, 'the log');

            system('mount', '-o', 'remount,rw', $dir) == 0 or die 'remount';
            holds(SmartJournal->new("$dir/$file"),
                  $file eq 'new.db' ? 5 : 10, "writable $file");
            stop($ngx, "read-only $file");
        }
    }
}


sub disk {
    my ($options) = @_;

    my $dir = SmartServer::make_dir(
        ($ENV{TEST_NGINX_SERVROOT} || '/tmp/servroot') . "_disk_$$");

    system('mount', '-t', 'tmpfs', '-o', "$options,mode=0777", 'tmpfs', $dir)
        == 0 or die "cannot mount $dir\n";

    return $dir;
}


sub retention {
    my ($ngx, $j) = begin(params => 'retain=1s');

    requests($ngx, 30, 'retained');
    ok(SmartServer::wait_for(sub {
           metric($ngx, 'pruned_records_total') == 30
       }, 8), 'what is too old is pruned');
    is($j->value('select count(*) from requests'), 0, 'no record is left');
    is($j->value('select count(*) from urls'), 0, 'no url is counted');
    is($j->value('select count(*) from websites'), 0, 'and no website');

    requests($ngx, 3, 'retained');
    holds($j, 3, 'new ones');
    $j->consistent;
    stop($ngx, 'retained');
}


# whose records are open, and who is gone

sub instances {
    my ($ngx, $j) = begin(params => 'node=here');

    requests($ngx, 1, 'instances');
    holds($j, 1, 'instances');
    my $file = $j->file;
    my $boot = $j->value('select boot from instances');
    stop($ngx, 'instances');

    my $now = int(time) * 1_000_000;
    my $old = $now - 60_000_000;
    my ($other) = $boot =~ /(\S+)$/;

    # [node, boot, pid, heartbeat, whether it is gone]
    my @instances = (
        ['here', $boot, $$, $now, 0],
        ['here', $boot, 4_194_303, $now, 1],
        ['here', $boot, $$, $old, 1],
        ['here', "old-boot $other", $$, $now, 1],
        ['elsewhere', "old-boot $other", $$, $now, 0],
        ['elsewhere', "old-boot $other", $$, $old, 1],
        ['here', "$boot+", 4_194_303, $now, 0],
        ['here', '- 1234', 4_194_303, $now, 0],
    );

    my $sql = "insert into requests (id, timestamp, url, state, website,"
              . " instance) values (x'00', 1, 'a', 0, '', 99);\n";
    my $id = 100;

    for my $row (@instances) {
        my ($node, $text, $pid, $beat) = @$row;

        $id++;
        $sql .= "insert into instances values ($id, '$node', '$text', $pid, 0,"
                . " $pid, 0, $beat);\n"
                . 'insert into requests (id, timestamp, url, state, website,'
                . " instance) values (x'0$id', $id, 'a', 0, '', $id);\n";
    }

    open my $in, '|-', 'sqlite3', '-batch', $file or die "sqlite3: $!";
    print $in $sql;
    close $in;

    $ngx = start(store => "sqlite:$file", params => 'node=here retain=off');
    $j = SmartJournal->new($file);

    ok($j->wait('select state from requests where timestamp = 1', 3),
       'an open record of nobody is interrupted');

    for my $n (0 .. $#instances) {
        my ($node, $text, $pid, $beat, $gone) = @{ $instances[$n] };

        is($j->value("select state from requests where timestamp = 101 + $n"),
           $gone ? 3 : 0,
           ($gone ? 'gone' : 'there') . ": $node, boot $text, pid $pid, $beat");
    }

    stop($ngx, 'instances');
}


# each worker writes where its configuration says

sub reload {
    my ($ngx, $j) = begin(workers => 2);
    my $pid = fork // die "fork: $!";

    if (!$pid) {
        my $good = () = grep { $_->[0] == 204 }
                        $ngx->load(uri => '/load', requests => 3000,
                                   concurrency => 8, keepalive => 0,
                                   timeout => 90);
        POSIX::_exit($good == 3000 ? 0 : 1);
    }

    for (1 .. 3) {
        sleep 0.1;
        ok($ngx->reload, 'reload');
    }

    waitpid $pid, 0;
    is($?, 0, 'all requests are answered while nginx reloads');
    ok($j->wait("select count(*) from requests where url like '%/load'"
                . ' and state = 1', 3000, 8),
       'each has a record, and not one is left out')
        or diag($j->value('select count(*) from requests'));

    ok($ngx->reload(conf('sqlite:%%DIR%%/db/other.db', '')),
       'reload with another file');

    my $before = $j->value('select count(*) from requests');

    requests($ngx, 5, 'another file');
    holds(journal($ngx, 'other.db'), 5, 'another file');
    is($j->value('select count(*) from requests'), $before,
       'and nothing in the first');
    $j->consistent;
    stop($ngx, 'reload');
}
