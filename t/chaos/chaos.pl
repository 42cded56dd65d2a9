#!/usr/bin/perl

# Random requests with random scripts of the upstream, by clients of all
# manners, while nginx is reloaded every three seconds. A quarter of the
# requests are left. See run.sh for how it is called.
#
#   --requests N      2000; a fifth of them over HTTP/2
#   --seed N          of the random numbers; printed, so that a run can be had
#                     again (the timing of events is another one, though)
#   --concurrency N   48
#   --reload SECONDS  3, 0 for never
#   --only NAME,...   kinds of requests, see %kinds
#   --keep            leaves the server's directory, with logs
#   --verbose         every request that is not as expected
#
# Then: nothing in the error log from "crit" on, no sanitizer report, no crash;
# what is complete is right, what has to succeed did; the upstream has no
# request any more, and nginx has the connections that it started with.

use strict;
use warnings;

use Digest::MD5 qw( md5_hex );
use Errno qw( EAGAIN EINTR );
use Getopt::Long;
use IO::Socket::INET;
use IO::Uncompress::Gunzip qw( gunzip );
use POSIX ();
use Socket;
use Test::More;
use Time::HiRes qw( sleep time );

use H2;
use SmartMetrics;
use SmartServer;

use constant READ_TIMEOUT => 3;

my %opt = (requests => 2000, concurrency => 48, reload => 3,
           seed => (time ^ $$) & 0xffffff);

GetOptions(\%opt, 'requests=i', 'seed=i', 'concurrency=i', 'reload=f', 'only=s',
           'keep', 'verbose')
    or die "see the head of $0 for the options\n";

$ENV{TEST_NGINX_NO_CLEAN} = 1 if $opt{keep};

# kinds of requests: how often, and what makes one

my %kinds = (
    plain     => [10, \&pattern_request],
    unbuf     => [8, \&pattern_request],
    nofile    => [4, \&pattern_request],
    three     => [8, \&pattern_request],
    step      => [4, \&pattern_request],
    other     => [4, \&pattern_request],
    keepalive => [10, \&pattern_request],
    least     => [4, \&pattern_request],
    holes     => [4, \&pattern_request],
    next      => [4, \&pattern_request],
    ignore    => [4, \&pattern_request],
    limited   => [2, \&pattern_request],
    type      => [4, \&pattern_request],
    threads   => [4, \&pattern_request],
    error     => [4, \&pattern_request],
    gzip      => [5, \&gzip_request],
    cache     => [12, \&cache_request],
    lock      => [8, \&cache_request],
    deadline  => [6, \&deadline_request],
    post      => [6, \&post_request],
    head      => [3, \&head_request],
    sub       => [4, \&sub_request],
    ssi       => [4, \&ssi_request],
    accel     => [5, \&accel_request],
    json      => [8, \&json_request],
    jsonunbuf => [6, \&json_request],
    jsonfiles => [4, \&json_request],
    jsoncache => [8, \&json_request],
    jsonpost  => [4, \&json_request],
    jsonpass  => [6, \&refused_request],
);

# weighted; what a location of one kind is called is its kind, but for these
my %location = (head => 'plain');
my @kinds = map { ($_) x $kinds{$_}[0] } sort keys %kinds;

if ($opt{only}) {
    my %only = map { $_ => 1 } split /,/, $opt{only};
    @kinds = grep { $only{$_} } @kinds or die "no such kind\n";
}

# older versions pass 1xx on as the answer
my ($minor) = SmartServer::build_options() =~ m{nginx/1\.(\d+)};
my $interim = $minor >= 29;

my $pattern = pattern();
my $run = sprintf '%x', $opt{seed};
my ($serial, @wrong) = (0);
my %count;

run();


sub run {
    print "# seed $opt{seed}, $opt{requests} requests\n";

    SmartServer->upstream;
    $ENV{TEST_NGINX_DEAD} = SmartServer::dead_addr();
    $ENV{TEST_NGINX_BLACKHOLE} = SmartServer::blackhole_addr();

    my $ngx = SmartServer->start(
        conf => conf(), workers => 2, connections => 4096,
        main => threads() ? 'thread_pool default threads=4;' : '',
        files => { map { ("html/file$_" => text_of($_ * 5000, $_)) } 1 .. 4 },
    );

    print '# ', $ngx->dir, "\n" if $opt{keep};

    # workers that have done nothing
    my %rest = map { $_ => $ngx->fds($_) } $ngx->worker_pids;
    my ($rest) = sort { $b <=> $a } values %rest;

    my $h2 = int($opt{requests} / 5);
    my ($pid, $pipe) = h2_start($ngx, $h2);

    srand $opt{seed};
    clients($ngx, $opt{requests} - $h2);
    h2_end($pid, $pipe);

    ok(1, "requests: $count{over} over, $count{right} right, "
          . "$count{failed} failed, $count{broken} broken, $count{left} left, "
          . "$count{late} late, " . ($count{reloads} // 0) . ' reloads');

    is($count{over}, $opt{requests}, 'every request has come to an end');
    cmp_ok($count{left}, '>', $opt{requests} / 6, 'many of them by leaving')
        if !$opt{only};
    cmp_ok($count{late}, '<=', $opt{requests} / 100, 'the upstream is in time');
    is(scalar @wrong, 0, 'what is complete is right')
        or diag map { "$_\n" } @wrong[0 .. ($#wrong < 19 ? $#wrong : 19)];

    # else nothing of this says much
    my $enough = $opt{only} ? 0 : $opt{requests} / 4;
    cmp_ok($count{right}, '>', $enough, 'most requests are answered');

    at_rest($ngx, $rest);

    outcomes($ngx);

    $ngx->stop(name => 'stops in good order, no sanitizer report',
               timeout => 20, alerts => 1);

    my $log = $ngx->error_log;
    my @bad = alerts($log);

    is(scalar @bad, 0, 'no alert, crit or emerg')
        or diag map { "$_\n" } @bad[0 .. ($#bad < 9 ? $#bad : 9)];
    unlike($log, qr/exited on signal/, 'no worker has crashed');

    done_testing;
}


sub at_rest {
    my ($ngx, $rest) = @_;

    is(SmartServer->ctl('busy?ms=10000'), "0\n",
       'no request is left at the upstream');

    # old workers, and connections that the upstream blocks keep a second

    ok(SmartServer::wait_for(sub {
           return 2 == grep {
               SmartServer::slurp("/proc/$_/cmdline") =~ /worker process/
           } SmartServer::children($ngx->pid);
       }, 15), 'old workers have left');

    SKIP: {
        skip 'no stub_status', 2 if !defined $ngx->stub_status->{active};

        # the asking one
        ok(SmartServer::wait_for(sub { $ngx->stub_status->{active} == 1 }, 10),
           'no connection is active')
            or diag explain $ngx->stub_status;

        my $now;

        # one event more: the asking connection may still be there
        ok(SmartServer::wait_for(sub {
               $now = join ' ', map { $ngx->fds($_) } $ngx->worker_pids;
               return !grep { $_ > $rest } split / /, $now;
           }, 10), 'workers have the descriptors that they started with')
            or diag "$now after $rest";
    }

    # every request and every attempt is accounted for

    my $m = SmartMetrics->settle(
        sub { ($_[0]->value('requests_in_flight') // 1) == 0 },
        $ngx->addr, '/metrics');

    is_deeply([$m->errors], [], 'metrics can be read');
    is_deeply([$m->identities], [], 'their identities hold');
    is($m->value('requests_in_flight'), 0, 'nothing is in flight');
    is($m->value('attempts_total'), $m->value('attempts_finished_total'),
       'every attempt has ended');
}


# nginx without the module says so, too: an entry of the cache with a longer
# header has replaced the one that was found before its file was read

sub alerts {
    my ($log) = @_;

    return grep { !/cache file ".*" has too long header/ }
                $log =~ /^.*\[(?:alert|crit|emerg)\].*$/mg;
}


# each way for a race to end was there

sub outcomes {
    my ($ngx) = @_;

    my %n = (primary => 0, hedge => 0, failed => 0, timeout => 0, aborted => 0,
             bypass => 0);

    my $log = $ngx->access_log;

    $n{$1}++ while $log =~ /^\d+ (\w+) /mg;

    my $text = join ', ', map { "$_ $n{$_}" } sort keys %n;

    ok(1, "outcomes: $text");

    return if $opt{only} || $opt{requests} < 1000;

    is(join(' ', grep { !$n{$_} } qw( primary hedge failed timeout aborted )),
       '', 'each outcome was there');
}


sub threads {
    return SmartServer::build_options() =~ /--with-threads/;
}


# requests: kind, uri, script, method, headers, body; what is right: text; all
# attempts good: must; a sink of 200 without that body: status

sub make_request {
    my $kind = $kinds[rand @kinds];
    my $r = { kind => $kind, n => ++$serial, method => 'GET', headers => [] };

    $r->{path} = '/' . ($location{$kind} // $kind) . '/';
    $r->{id} = "$run-$$-$serial";

    $kinds{$kind}[1]->($r);

    my $args = join '&', "id=$r->{id}", "s=$r->{script}", $r->{args} // ();

    $r->{uri} //= "$r->{path}?$args";

    return $r;
}


sub one_of { return $_[rand @_] }


sub size {
    my $x = rand;

    return $x < 0.1 ? 0
         : $x < 0.6 ? int rand 3000
         : $x < 0.9 ? int rand 100_000
         : $x < 0.99 ? int rand 500_000 : int rand 4_000_000;
}


# The scripts of up to four attempts; good is what the answer says. With
# certainty the last one is good, which does not mean that it is asked.

sub script {
    my ($r, $good) = @_;

    my @scripts;
    my $must = 1;
    my $bad = one_of(0, 0.3, 0.6, 0.9);

    for (1 .. 1 + int rand 4) {
        if (rand() < $bad) {
            push @scripts, bad_script($good);
            $must = 0;

        } else {
            push @scripts, good_script($good);
        }
    }

    $r->{must} = $must;
    $r->{script} = join '|', @scripts;
}


sub good_script {
    my ($good) = @_;

    my @steps = ($good);

    unshift @steps, 'delay:' . int(rand() ** 3 * 400) if rand() < 0.6;
    unshift @steps, 'interim:103' if $interim && rand() < 0.05;
    push @steps, 'parthead:' . int rand 200 if rand() < 0.1;
    push @steps, 'bodydelay:' . int rand 200 if rand() < 0.1;
    push @steps, one_of('chunked', 'chunked', 'nolen', 'close-after')
        if rand() < 0.3;

    return join ';', @steps;
}


sub bad_script {
    my ($good) = @_;

    my @steps = one_of(
        'close', 'reset', 'hang', 'cuthead', 'badhead',
        'status:500;body:bad', 'status:503;body:bad', 'status:502;size:9000,9',
        'status:429;body:bad', 'status:504;body:', 'status:503;chunked;body:x',
        "$good;cut:" . int(rand 3000), "$good;cut:0;reset",
        "$good;chunked;cut:" . int(rand 3000), 'cuthead;hang',
        "$good;cut:" . int(rand 3000) . ';hang', "$good;chunked;cut:9;reset",
    );

    unshift @steps, 'delay:' . int(rand() ** 3 * 400) if rand() < 0.5;

    return join ';', @steps;
}


sub pattern_request {
    my ($r) = @_;

    my ($size, $seed) = (size(), int rand 8);
    my $type = $r->{kind} eq 'type' && rand() < 0.4 ? ';type:text/html' : '';

    script($r, "size:$size,$seed$type");
    $r->{text} = [$size, $seed];

    # the client's own answer is an empty page of nginx
    $r->{must} = 0 if $r->{kind} eq 'holes';
}


sub gzip_request {
    my ($r) = @_;

    pattern_request($r);
    push @{ $r->{headers} }, 'Accept-Encoding' => 'gzip';
}


# few uris, so that requests meet

sub cache_request {
    my ($r) = @_;

    my $n = int rand 12;
    my ($size, $seed) = ($n * $n * 700, $n);

    $r->{path} .= $n;
    script($r, "h:Cache-Control=max-age=1;size:$size,$seed");
    $r->{text} = [$size, $seed];

    # one that waits for another one's lock may find that one's failure
    $r->{must} = 0;
}


sub deadline_request {
    my ($r) = @_;

    pattern_request($r);
    $r->{args} = 'timeout=' . int rand 700;
    $r->{must} = 0;
}


sub post_request {
    my ($r) = @_;

    $r->{method} = 'POST';
    $r->{body} = text_of(int rand one_of(10, 5000, 60_000), int rand 8);
    script($r, 'echo');
    $r->{like} = '"body_md5":"' . md5_hex($r->{body}) . '"';
}


sub head_request {
    my ($r) = @_;

    pattern_request($r);
    $r->{method} = 'HEAD';
    $r->{text} = [0, 0];
}


sub sub_request {
    my ($r) = @_;

    my $n = int rand 1000;

    script($r, "type:text/html;body:one-$n-two");
    $r->{exact} = "one-$n-TWO";
}


sub ssi_request {
    my ($r) = @_;

    my ($size, $seed) = (1 + int rand 20_000, int rand 8);
    my $part = "<!--# include virtual=\"/part/?s=size:$size,$seed\" -->";

    # decoded as an argument, and as a step
    $part =~ s/([^\w.])/sprintf '%%25%02X', ord $1/ge;
    script($r, "type:text/html;body:a-$part-z");
    $r->{exact} = 'a-' . text_of($size, $seed) . '-z';

    # the part is not hedged, and two of its peers may be busy with failing
    $r->{must} = 0;
}


sub accel_request {
    my ($r) = @_;

    my $n = 1 + int rand 4;
    my ($size, $seed) = ($n * 5000, $n);

    script($r, 'h:X-Accel-Redirect='
               . one_of("/file$n", "/internal/${size}_$seed"));
    $r->{text} = [$size, $seed];
}


# a body that is judged, and may be none of JSON

sub refused_request {
    my ($r) = @_;

    my $n = int rand 1000;
    my $text = sprintf '{"n":%d,"s":"%s"}', $n, 'x' x rand 900;

    # decoded as an argument, and as a step
    my $body = $text =~ s/([^\w.])/sprintf '%%25%02X', ord $1/ger;

    script($r, "type:application/json;body:$body");
    $r->{exact} = $text;

    return if rand() < 0.6;

    my @scripts = split /\|/, $r->{script};
    $scripts[rand @scripts] = one_of('type:application/json;body:none',
                                     'type:application/json;size:20000',
                                     "type:application/json;body:$body;cut:5");
    $r->{script} = join '|', @scripts;
    $r->{must} = 0;
    $r->{refused} = 1;
}


# Bodies that are looked into: whatever is wrong with one, the client does not
# get it. A cache has few uris.

sub json_request {
    my ($r) = @_;

    my $n = $r->{kind} eq 'jsoncache' ? 3 + int rand 9 : 3 + int rand 200;
    my $size = 30 + int($n ** 1.8);
    my ($good, $text);

    if ($n % 3) {
        $text = qq({"time":$n});
        $good = "body:$text";

    } else {
        $text = '{"time": 1, "pad": "' . 'x' x ($size - 23) . qq("}\n);
        $good = "json:$size";
    }

    $good .= ';h:Cache-Control=max-age=1' if $r->{kind} eq 'jsoncache';
    $good .= ';chunked' if rand() < 0.4;
    $good .= ';split:' . (1 + int rand 9) . ',' . int rand 20
        if $n % 3 && rand() < 0.4;
    $good .= ';split:' . (100 + int rand 2000) . ',' . int rand 5
        if !($n % 3) && rand() < 0.4;

    my @scripts;
    my $must = 1;
    my $bad = one_of(0, 0.3, 0.6, 0.9);

    for (1 .. 1 + int rand 4) {
        if (rand() < $bad) {
            $must = 0;
            push @scripts, rand() < 0.3 ? bad_script($good) : one_of(
                "body:{\"time\":$n", 'body:{"time":"x"}', 'body:{}', 'body:',
                'body:nonsense;chunked;split:1,5', 'json:50000',
                'json:90000;chunked;split:900,' . int rand 3,
                'json:90000;nolen', "$good;chunked;badchunk",
                'body:{};chunked;badchunk', 'gzip:5;json:3000',
                'gzip;json:3000000', 'body:;chunked', 'body:;nolen',
                "$good;bodydelay:" . int rand 600, "$good;cut:5;hang");

        } else {
            push @scripts, good_script($good);
        }
    }

    # an answer is not late, where a client waits for the entry of another
    $r->{must} = $r->{kind} eq 'jsoncache' ? 0 : $must;
    $r->{script} = join '|', @scripts;
    $r->{exact} = $text;
    $r->{path} .= $n if $r->{kind} eq 'jsoncache';

    if ($r->{kind} eq 'jsonpost') {
        $r->{method} = 'POST';
        $r->{body} = text_of(int rand 60_000, int rand 8);
    }
}


# the verdict on an answer: status, complete, body (or md5)

sub judge {
    my ($r, $a) = @_;

    $count{over}++;

    if ($a->{left}) {
        $count{left}++;
        return;
    }

    if (!$a->{complete}) {
        $count{broken}++;
        wrong($r, $a, 'must be complete') if must($r, $a);
        return;
    }

    if ($a->{status} != 200) {
        $count{failed}++;

        wrong($r, $a, 'must be 200') if must($r, $a);
        wrong($r, $a, 'unexpected status')
            if $a->{status} !~ /^(?:429|50[0234])$/;
        return;
    }

    my $right = $r->{exact}  ? md5_hex($r->{exact}) eq $a->{md5}
              : $r->{like}   ? index($a->{body} // $r->{like}, $r->{like}) >= 0
              : md5_of(@{ $r->{text} }) eq $a->{md5};

    # the last one is passed on as it came, whatever it is
    $right ||= $r->{refused};

    if ($right || fallback($r, $a) || part_late($r, $a)) {
        $count{right}++;
        return;
    }

    wrong($r, $a, 'wrong body');
}


# error_page gives another text
sub fallback {
    my ($r, $a) = @_;

    return $r->{kind} eq 'error' && $a->{md5} eq md5_hex("fallback\n")
           && !must($r, $a);
}


# the part of a page is neither hedged nor logged

sub part_late {
    my ($r, $a) = @_;

    return 0 if $r->{kind} ne 'ssi' || time - $a->{start} < READ_TIMEOUT;

    $count{late}++;

    return 1;
}


# On a machine that stands still nginx may have given up before the upstream
# came to its answer: that one tells, but for the second answer of a redirect.
# It is not to happen often.

sub must {
    my ($r, $a) = @_;

    return 0 if !$r->{must};
    return 1 if time - $a->{start} < READ_TIMEOUT;

    my $log = SmartServer->ctl_json("json?id=$r->{id}");
    my $soon = (time - $a->{start} - READ_TIMEOUT + 0.5) * 1000;

    return 1 if $r->{kind} ne 'accel'
                && grep { $_->{event} eq 'done' && $_->{ago} > $soon } @$log;

    $count{late}++;

    return 0;
}


sub wrong {
    my ($r, $a, $why) = @_;

    my $text = join ' ', "$why:", $r->{method}, $r->{uri},
               ($r->{version} // '1.1'), map { "$_=" . ($a->{$_} // '') }
               qw( status complete size md5 error );

    push @wrong, $text;
    print "# $text\n" if $opt{verbose};
}


# clients: HTTP/1.1

sub clients {
    my ($ngx, $requests) = @_;

    my %c;
    my $started = 0;
    my $stop = time + 600;
    my $reload = $opt{reload} ? time + $opt{reload} : $stop + 1;
    my $reloaded = 0;

    while (($started < $requests || %c) && time < $stop) {

        my $now = time;

        if ($now >= $reload) {
            $ngx->signal('HUP');
            $reload = $now + $opt{reload};
            $reloaded = $now;
            $count{reloads}++;
        }

        while ($started < $requests && keys %c < $opt{concurrency}) {
            my $left = $requests - $started;
            my $n = 1 + int rand 5;
            $n = $left if $n > $left;

            my $c = client_new($ngx, $n);

            $started += $n;
            $c{fileno $c->{socket}} = $c;
        }

        my ($r, $w) = ('', '');

        for my $fd (keys %c) {
            vec($r, $fd, 1) = 1 if $c{$fd}{resume} <= $now;
            vec($w, $fd, 1) = 1 if length $c{$fd}{out};
        }

        select $r, $w, undef, 0.01;
        $now = time;

        for my $fd (keys %c) {
            my $c = $c{$fd};

            client_write($c) if vec($w, $fd, 1);
            client_read($c, $now) if vec($r, $fd, 1);
            client_check($c, $now) if !$c->{over};

            next if !$c->{over};

            delete $c{$fd};

            next if !$c->{again};

            # an old worker may close a connection that it has kept, and does
            # not go away at once; else the close is the answer to a request
            if (!$c->{fair} && $reloaded < $c->{opened} - 2) {
                judge(shift @{ $c->{again} }, { start => $now,
                    error => "closed, not answered after $c->{last}" });
            }

            if (@{ $c->{again} }) {
                my $again = client_new($ngx, 0);
                $again->{todo} = $c->{again};
                client_next($again);
                $c{fileno $again->{socket}} = $again;
            }
        }
    }

    for my $c (values %c) {
        wrong($_, { error => 'never answered' }, 'hangs') for @{ $c->{todo} };
    }
}


sub client_new {
    my ($ngx, $n) = @_;

    socket my $socket, PF_INET, SOCK_STREAM, 0 or die "socket: $!";

    my $slow = rand() < 0.1;

    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 8192 if $slow;
    connect($socket, pack_sockaddr_in($ngx->port, INADDR_LOOPBACK))
        or die "connect: $!";

    my $c = { socket => $socket, in => '', out => '', resume => 0, used => 0,
              slow => $slow, opened => time,
              todo => [map { make_request() } 1 .. $n] };

    IO::Handle::blocking($socket, 0);
    client_next($c) if $n;

    return $c;
}


# sends the next request, sometimes more than one

sub client_next {
    my ($c) = @_;

    if (!@{ $c->{todo} }) {
        close $c->{socket};
        $c->{over} = 1;
        return;
    }

    my $ahead = rand() < 0.1 ? 2 : 1;
    my $sent = $c->{sent} // 0;

    while ($sent < $ahead && $sent < @{ $c->{todo} }) {
        $c->{out} .= request_text($c->{todo}[$sent]);
        $c->{todo}[$sent]{sent} = time;
        $sent++;
    }

    $c->{sent} = $sent - 1;

    my $r = $c->{todo}[0];

    delete @$c{qw( head left_at left_after )};
    $c->{answer} = { size => 0, body => '', start => $r->{sent} };
    $c->{start} = time;

    # many of them are answered first
    if (rand() < 0.75) {
        if (rand() < 0.6) {
            $c->{left_at} = $c->{start} + rand() ** 2 * 0.6;

        } else {
            $c->{left_after} = int rand 30_000;
        }
    }
}


sub request_text {
    my ($r) = @_;

    my @headers = @{ $r->{headers} };
    my $text = "$r->{method} $r->{uri} HTTP/1.1\r\nHost: localhost\r\n";

    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }

    $text .= 'Content-Length: ' . length($r->{body}) . "\r\n"
        if defined $r->{body};

    return "$text\r\n" . ($r->{body} // '');
}


sub client_write {
    my ($c) = @_;

    local $SIG{PIPE} = 'IGNORE';
    my $n = syswrite $c->{socket}, $c->{out};

    if ($n) {
        substr $c->{out}, 0, $n, '';

    } elsif ($! != EAGAIN && $! != EINTR) {
        $c->{out} = '';
    }
}


sub client_read {
    my ($c, $now) = @_;

    my $n = sysread $c->{socket}, $c->{in}, $c->{slow} ? 4096 : 262144,
                    length $c->{in};

    return if !defined $n && ($! == EAGAIN || $! == EINTR);

    $c->{resume} = $now + 0.005 if $c->{slow};

    if (!$n) {
        client_gone($c, defined $n ? 'closed' : "$!");
        return;
    }

    1 while !$c->{over} && client_parse($c);
}


# true if there may be more to parse

sub client_parse {
    my ($c) = @_;

    my $a = $c->{answer};

    if (!$c->{head}) {
        my $end = index $c->{in}, "\r\n\r\n";
        return 0 if $end < 0;

        my $head = substr $c->{in}, 0, $end + 4, '';
        my ($status) = $head =~ m{^HTTP/1\.1 (\d{3})};

        if (!defined $status) {
            wrong($c->{todo}[0], $a,
                  'malformed header: ' . substr $head, 0, 80);
            client_gone($c, 'malformed');
            return 0;
        }

        return 1 if $status < 200;

        $a->{status} = $status;
        $c->{head} = $head;
        $c->{gzip} = $head =~ /^Content-Encoding: gzip/mi;
        $c->{close} = $head =~ /^Connection: close/mi;
        $c->{chunk} = $head =~ /^Transfer-Encoding: chunked/mi ? 'size' : '';
        $c->{length} = $head =~ /^Content-Length: (\d+)/mi ? $1 : undef;

        if ($c->{todo}[0]{method} eq 'HEAD' || $status == 204
            || $status == 304)
        {
            $c->{length} = 0;
            $c->{chunk} = '';
        }
    }

    if (!$c->{chunk}) {
        client_take($c, $c->{length} // length $c->{in});
        return client_done($c) if defined $c->{length} && !$c->{length};
        return 0;
    }

    if ($c->{chunk} eq 'size') {
        $c->{in} =~ s/^(?:\r\n)?([0-9A-Fa-f]+)[^\n]*\n// or return 0;
        $c->{length} = hex $1;
        $c->{chunk} = $c->{length} ? 'data' : 'end';
    }

    if ($c->{chunk} eq 'data') {
        client_take($c, $c->{length});
        return 0 if $c->{length};
        $c->{chunk} = 'size';
        return length $c->{in};
    }

    $c->{in} =~ s/^(?:[^\r\n]+\r\n)*\r\n// or return 0;

    return client_done($c);
}


sub client_take {
    my ($c, $size) = @_;

    my $piece = substr $c->{in}, 0, $size, '';

    $c->{answer}{size} += length $piece;
    $c->{answer}{body} .= $piece;
    $c->{length} -= length $piece if defined $c->{length};
}


sub client_done {
    my ($c) = @_;

    client_judge($c, 1);
    my $r = shift @{ $c->{todo} };

    $c->{last} = $r->{uri};
    $c->{used}++;

    # with hedging off, too, nginx closes the connection where the update in
    # the background of a stale answer breaks
    $c->{fair} = 1 if $r->{kind} eq 'cache';

    if ($c->{close}) {
        # what is left was not answered, and is asked again elsewhere
        close $c->{socket};
        $c->{over} = 1;

        if (@{ $c->{todo} }) {
            $c->{again} = $c->{todo};
            $c->{fair} = 1;
        }

        return 0;
    }

    client_next($c);

    return !$c->{over} && length $c->{in};
}


sub client_judge {
    my ($c, $complete) = @_;

    my $a = $c->{answer};

    if ($c->{gzip} && $complete) {
        my ($zipped, $text) = ($a->{body}, '');
        $complete = gunzip(\$zipped => \$text) ? 1 : 0;
        wrong($c->{todo}[0], $a, 'bad gzip') if !$complete;
        $a->{body} = $text;
    }

    $a->{complete} = $complete;
    $a->{md5} = md5_hex($a->{body});

    judge($c->{todo}[0], $a);
}


# the server has closed

sub client_gone {
    my ($c, $error) = @_;

    close $c->{socket};
    $c->{over} = 1;

    # nothing of an answer: on a connection that was kept this may be a reload
    if (!$c->{head} && !length $c->{in} && $c->{used}) {
        $c->{again} = $c->{todo};
        return;
    }

    $c->{answer}{error} = $error;

    my $complete = $c->{head} && !$c->{chunk} && !defined $c->{length}
                   && $error eq 'closed';

    client_judge($c, $complete ? 1 : 0);
    shift @{ $c->{todo} };

    if (@{ $c->{todo} }) {
        $c->{again} = $c->{todo};
        $c->{fair} = 1;
    }
}


# whether the client's time has come to leave

sub client_check {
    my ($c, $now) = @_;

    my $r = $c->{todo}[0];

    if ($now > $c->{start} + 30) {
        wrong($r, $c->{answer}, 'hangs');
        close $c->{socket};

    } elsif ((defined $c->{left_at} && $now >= $c->{left_at})
             || (defined $c->{left_after}
                 && $c->{answer}{size} > $c->{left_after}))
    {
        setsockopt $c->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0
            if rand() < 0.5;
        close $c->{socket};

    } else {
        return;
    }

    judge($r, { left => 1 });
    shift @{ $c->{todo} };
    $c->{over} = 1;

    if (@{ $c->{todo} }) {
        $c->{again} = $c->{todo};
        $c->{fair} = 1;
    }
}


# clients: HTTP/2, in a process of their own

sub h2_start {
    my ($ngx, $requests) = @_;

    pipe my $in, my $out or die "pipe: $!";

    my $pid = fork;
    die "fork: $!" if !defined $pid;

    if ($pid) {
        close $out;
        return $pid, $in;
    }

    close $in;
    srand $opt{seed} + 1;
    h2_clients($ngx, $requests);

    print $out "$_ $count{$_}\n" for sort keys %count;
    print $out "wrong $_\n" for @wrong;
    close $out;
    POSIX::_exit(0);
}


sub h2_end {
    my ($pid, $pipe) = @_;

    while (my $line = readline $pipe) {
        chomp $line;

        if ($line =~ /^wrong (.*)/) {
            push @wrong, "HTTP/2: $1";

        } elsif ($line =~ /^(\w+) (\d+)$/) {
            $count{$1} += $2;
        }
    }

    waitpid $pid, 0;
    is($?, 0, 'the HTTP/2 clients have done their work');

    $count{$_} //= 0 for qw( over right failed broken left late );
}


sub h2_clients {
    my ($ngx, $requests) = @_;

    my $stop = time + 600;
    my $started = 0;
    my @open;

    while (($started < $requests || @open) && time < $stop) {

        while ($started < $requests && @open < 8) {
            my $n = 1 + int rand 8;
            $n = $requests - $started if $n > $requests - $started;

            push @open, h2_connect($ngx, $n);
            $started += $n;
        }

        for my $h (@open) {
            h2_turn($h);
        }

        @open = grep { !$_->{finished} } @open;
        sleep 0.002;
    }
}


sub h2_connect {
    my ($ngx, $n) = @_;

    my %conn = (streams => {}, rst => {}, start => time);

    $conn{h2} = H2->connect($ngx->addr(2), done => sub {
        my ($s) = @_;
        my $r = delete $conn{streams}{$s->{id}} or return;

        $s->{left} = 1 if delete $conn{rst}{$s->{id}} || $conn{leaving};

        # a worker that goes away refuses new streams
        $r->{must} = 0 if $conn{h2}{gone};
        $s->{error} = 'over';

        # a body that is not kept cannot be looked into
        judge($r, { %$s, status => $s->{status} // 0, start => $conn{start} });
    }) or die "connect: $!";

    for (1 .. $n) {
        my $r = make_request();

        my $id = $conn{h2}->request($r->{uri}, method => $r->{method},
                                    body => $r->{body});

        $conn{streams}{$id} = $r;
        $conn{rst}{$id} = time + rand() ** 2 * 0.6 if rand() < 0.7;
    }

    $conn{leave_at} = time + rand() * 0.6 if rand() < 0.1;

    return \%conn;
}


sub h2_turn {
    my ($conn) = @_;

    my $h = $conn->{h2};
    my $now = time;

    $h->pump(0) for 1 .. 4;

    for my $id (keys %{ $conn->{rst} }) {
        if ($conn->{rst}{$id} <= $now) {
            $h->rst($id);
        }
    }

    if ($conn->{leave_at} && $conn->{leave_at} <= $now) {
        $conn->{leaving} = 1;
        rand() < 0.5 ? $h->close : $h->reset;
    }

    if ($now > $conn->{start} + 30) {
        wrong($_, {}, 'hangs') for values %{ $conn->{streams} };
        $conn->{leaving} = 1;
    }

    if ($conn->{leaving}) {
        judge($_, { left => 1 }) for values %{ $conn->{streams} };
        $conn->{streams} = {};
    }

    if (!%{ $conn->{streams} }) {
        $h->close;
        $conn->{finished} = 1;
    }
}


# the upstream's pattern

sub pattern {
    my ($s, $seed) = ('', 'smart');

    while (length $s < 65521) {
        $seed = md5_hex($seed);
        $s .= "$seed\n";
    }

    return substr $s, 0, 65521;
}


sub text_of {
    my ($size, $seed) = @_;

    my $offset = $seed * 7919 % 65521;

    $pattern x= 2 if length $pattern < 2 * 65521;

    my $text = substr $pattern, $offset, 65521;

    return substr $text x (int($size / 65521) + 1), 0, $size;
}


sub md5_of {
    my ($size, $seed) = @_;

    return md5_hex(text_of($size, $seed));
}


sub conf {
    my $threads = threads() ? 'aio threads; aio_write on;' : '';

    my $conf = <<'CONF';
log_format smart '$status $smart_outcome $smart_attempts $smart_winner '
                 '"$request" $upstream_addr $upstream_status '
                 '$upstream_response_time $request_time';
access_log %%DIR%%/logs/access.log smart;

keepalive_timeout 20s;
keepalive_requests 1000;
lingering_time 2s;
lingering_timeout 1s;
send_timeout 10s;
sendfile on;

proxy_connect_timeout 1s;
proxy_read_timeout READ_TIMEOUTs;
proxy_http_version 1.1;
proxy_set_header Connection close;
proxy_next_upstream off;
client_body_buffer_size 16k;

proxy_cache_path %%DIR%%/temp/cache keys_zone=cache:1m;

smart_hedge_budget off;
smart_hedge 40ms;
smart_hedge_methods GET HEAD POST;

upstream two {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
}

upstream pool {
    zone pool 64k;
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
    server $TEST_NGINX_UP3 max_fails=0;
    keepalive 8;
    keepalive_timeout 1s;
}

upstream least {
    zone least 64k;
    least_conn;
    server $TEST_NGINX_UP3 max_fails=0;
    server $TEST_NGINX_UP4 max_fails=3 fail_timeout=1s;
    server $TEST_NGINX_UP5 max_fails=0 max_conns=20;
    server $TEST_NGINX_UP6 backup;
}

upstream holes {
    server $TEST_NGINX_UP1 max_fails=3 fail_timeout=1s;
    server $TEST_NGINX_BLACKHOLE max_fails=3 fail_timeout=1s;
    server $TEST_NGINX_UP2 max_fails=3 fail_timeout=1s;
    server $TEST_NGINX_DEAD max_fails=3 fail_timeout=1s;
}

server {
    listen 127.0.0.1:%%PORT%%;
    listen 127.0.0.1:%%PORT_2%% http2;

    root %%DIR%%/html;

    location = /metrics { smart_metrics; }

    location /plain/ {
        proxy_pass http://two;
    }

    location /unbuf/ {
        proxy_buffering off;
        proxy_pass http://two;
    }

    location /nofile/ {
        proxy_max_temp_file_size 0;
        proxy_buffers 4 4k;
        proxy_busy_buffers_size 8k;
        proxy_pass http://two;
    }

    location /three/ {
        smart_hedge 30ms extra=3;
        proxy_pass http://two;
    }

    location /step/ {
        smart_hedge 30ms extra=4 step=30ms;
        proxy_pass http://pool;
    }

    location /other/ {
        smart_hedge_peer other;
        proxy_pass http://pool;
    }

    location /keepalive/ {
        proxy_set_header Connection "";
        proxy_pass http://pool;
    }

    location /least/ {
        smart_hedge 30ms extra=2;
        smart_hedge_peer other;
        proxy_pass http://least;
    }

    location /holes/ {
        smart_hedge 30ms extra=2;
        proxy_pass http://holes;
    }

    location /next/ {
        proxy_next_upstream error timeout http_503 http_429;
        proxy_set_header Connection "";
        proxy_pass http://pool;
    }

    location /ignore/ {
        proxy_ignore_client_abort on;
        proxy_pass http://two;
    }

    location /limited/ {
        limit_rate 500k;
        proxy_pass http://two;
    }

    location /type/ {
        smart_success_type text/plain;
        smart_success_status 2xx;
        proxy_pass http://two;
    }

    location /jsonpass/ {
        smart_success_json /n:integer /s:string;
        proxy_pass http://two;
    }

    location /threads/ {
        THREADS
        proxy_buffers 4 4k;
        proxy_busy_buffers_size 8k;
        proxy_pass http://two;
    }

    location /error/ {
        proxy_intercept_errors on;
        error_page 429 500 502 503 504 =200 /fallback;
        proxy_pass http://two;
    }

    location = /fallback {
        return 200 "fallback\n";
    }

    location /gzip/ {
        gzip on;
        gzip_types *;
        proxy_pass http://two;
    }

    location /cache/ {
        proxy_cache cache;
        proxy_cache_key $uri;
        proxy_cache_use_stale error timeout invalid_header updating http_500
                              http_502 http_503 http_504 http_429;
        proxy_cache_background_update on;
        proxy_pass http://two;
    }

    location /lock/ {
        proxy_cache cache;
        proxy_cache_key $uri;
        proxy_cache_lock on;
        proxy_cache_lock_timeout 2s;
        proxy_cache_use_stale updating error;
        proxy_pass http://two;
    }

    location /deadline/ {
        smart_timeout $arg_timeout;
        smart_errors json;
        proxy_pass http://two;
    }

    location /post/ {
        proxy_pass http://two;
    }

    location /sub/ {
        sub_filter two TWO;
        proxy_pass http://two;
    }

    location /ssi/ {
        ssi on;
        proxy_pass http://two;
    }

    location /part/ {
        proxy_pass http://two;
    }

    location /accel/ {
        proxy_pass http://two;
    }

    location /json/ {
        smart_success_json /time:integer;
        smart_success_buffer 32k;
        smart_errors json;
        proxy_pass http://pool;
    }

    location /jsonunbuf/ {
        smart_hedge 30ms extra=2;
        smart_success_json /time:integer;
        smart_success_buffer 32k;
        smart_errors json;
        proxy_buffering off;
        proxy_set_header Connection "";
        proxy_pass http://pool;
    }

    location /jsonfiles/ {
        smart_success_json /time:integer;
        smart_success_buffer 32k;
        smart_errors json;
        THREADS
        proxy_buffers 4 4k;
        proxy_busy_buffers_size 8k;
        proxy_pass http://two;
    }

    location /jsoncache/ {
        smart_success_json /time:integer;
        smart_success_buffer 32k;
        smart_errors json;
        proxy_cache cache;
        proxy_cache_key $uri;
        proxy_cache_lock on;
        proxy_cache_lock_timeout 2s;
        proxy_cache_use_stale updating error;
        proxy_pass http://two;
    }

    location /jsonpost/ {
        smart_success_json /time:integer;
        smart_success_buffer 32k;
        smart_errors json;
        proxy_pass http://two;
    }

    location ~ ^/file {
        internal;
    }

    location ~ ^/internal/(\d+)_(\d+)$ {
        internal;
        proxy_pass "http://two/?s=delay:30;size:$1,$2";
    }
}
CONF

    $conf =~ s/THREADS/$threads/g;
    $conf =~ s/READ_TIMEOUT/READ_TIMEOUT/e;

    return $conf;
}
