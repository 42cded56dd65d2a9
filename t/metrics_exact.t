# Counters are exact: what the load generator got, what the access log says and
# what the metrics say are the same numbers, over four workers and reloads.
#
# SMART_EXACT_REQUESTS is how many requests there are (50000).

use strict;
use warnings;

use File::Temp ();
use FindBin;
use JSON::PP ();
use lib "$FindBin::Bin/lib";
use POSIX qw( WNOHANG );
use Test::More;
use SmartServer;
use SmartMetrics;
use Time::HiRes qw( sleep time );

my $requests = $ENV{SMART_EXACT_REQUESTS} // 50_000;
my $temp = File::Temp->newdir;
my $load = "$temp/load";
my $cc = $ENV{CC} || 'cc';

is(system("$cc -std=c99 -O2 -Wall -Wextra -o '$load' "
          . "'$FindBin::Bin/bench/load.c' -lm"), 0, 'the generator compiles')
    or BAIL_OUT('no load generator');

SmartServer->upstream(3);

# the fast peers are servers of the same nginx: most is answered by them at
# once, the third one takes longer than the trigger

my $ngx = SmartServer->start(workers => 4, connections => 2048,
                             log_level => 'warn', conf => <<'CONF');
log_format exact '$uri $status $smart_outcome $smart_attempts';

keepalive_requests 2000;
proxy_http_version 1.1;
proxy_set_header Connection "";
proxy_set_header X-Script "delay:60";
proxy_next_upstream off;

smart_hedge_budget off;

upstream mixed {
    server 127.0.0.1:%%PORT_2%% weight=10 max_fails=0;
    server 127.0.0.1:%%PORT_3%% weight=9 max_fails=0;
    server $TEST_NGINX_UP1 max_fails=0;
    keepalive 64;
}

upstream bad {
    server 127.0.0.1:%%PORT_2%% max_fails=0;
    server 127.0.0.1:%%PORT_3%% max_fails=0;
    keepalive 64;
}

upstream slow {
    server $TEST_NGINX_UP2 max_fails=0;
    server $TEST_NGINX_UP3 max_fails=0;
}

server {
    listen 127.0.0.1:%%PORT%% backlog=2048;
    access_log %%DIR%%/logs/exact.log exact buffer=1m;

    location = /metrics { smart_metrics; access_log off; }
    location /mixed { smart_hedge 20ms extra=2; proxy_pass http://mixed; }
    location /bad { smart_hedge 1s; proxy_pass http://bad; }
    location /late { smart_timeout 20ms; proxy_pass http://slow; }
    location /own { smart_hedge 1s; return 204; }
    location /args { smart_timeout $arg_t; proxy_pass http://bad; }
}

server {
    listen 127.0.0.1:%%PORT_2%%;
    listen 127.0.0.1:%%PORT_3%%;
    access_log off;
    keepalive_requests 100000;

    location /mixed { return 200 "hello"; }
    location /mixed/moved { return 302 /; }
    location /mixed/none { return 404; }
    location /bad { return 503; }
    location /args { return 200 "hello"; }
}
CONF

# few that are late: each holds its connection for 20 ms

my @uris = ((('/mixed') x 12, '/mixed/moved', '/mixed/none', '/own') x 6,
            (('/args?t=5000', '/args?t=x') x 4), '/bad', '/late');

my ($last, $reloads, $fallen) = (undef, 0, 0);
my $result = run();

is($result->{answers}, $requests, 'every request was answered')
    or diag explain $result;
cmp_ok($reloads, '>=', 2, 'reloads meanwhile');
is($fallen, 0, 'no counter has ever gone down');

note "$reloads reloads, $result->{rate} requests/s, "
     . "$result->{connections} connections, $result->{repeated} repeated";

# old workers hold the rest of the log

ok(SmartServer::wait_for(sub {
    my @pids = SmartServer::children($ngx->pid);
    return @pids == 4;
}, 10), 'old workers have ended');

my $m = SmartMetrics->settle(sub { !$_[0]->identities }, $ngx->addr,
                             '/metrics');

$ngx->signal('USR1');
ok(SmartServer::wait_for(sub { -s log_name() && lines() == $requests }, 10),
   'as many lines in the access log');

is_deeply([$m->errors], [], 'the text is well-formed');
is_deeply([$m->identities], [], 'identities');
is_deeply([$m->wins], [], 'attempts that won, and outcomes');

is($m->value('requests_total', code => $_), $result->{$_} // 0,
   "as many $_ as the generator got") for qw( 1xx 2xx 3xx 4xx 5xx );

is($m->value('outcomes_total'), $requests, 'as many outcomes');
is($m->value('request_duration_seconds_count'), $requests,
   'as many durations');
is($m->value('requests_in_flight'), 0, 'nothing is in flight');

compare_log();

my $hedges = $m->value('attempts_total', attempt => 'hedge');

cmp_ok($hedges, '>', $requests / 100, "there were hedges: $hedges");
cmp_ok($m->value('attempts_finished_total', attempt => 'hedge',
                 result => $_), '>', 0, "hedges $_")
    for qw( won rejected );
cmp_ok($m->value('outcomes_total', outcome => $_), '>', 0, "outcome $_")
    for qw( primary hedge failed timeout invalid bypass );

is($m->value('peer_attempts_total', result => $_),
   $m->value('attempts_finished_total', result => $_), "at all peers, $_")
    for qw( won cancelled failed rejected );

$ngx->stop(name => 'nothing is wrong in the log');

done_testing;


# the generator, reloads and scrapes at the same time

sub run {
    my $seconds = 10 + $requests / 500;
    my @command = ($load, '-c', 64, '-n', $requests, $ngx->addr, @uris);
    my $pid = open my $out, '-|', @command or die "$load: $!\n";
    my $end = time + $seconds;
    my $running = 1;

    while ($running && time < $end) {
        $reloads += $ngx->reload ? 1 : 0;
        $fallen += fallen() for 1 .. 3;

        # it prints when it is done

        my $r = '';
        vec($r, fileno $out, 1) = 1;
        $running = !select $r, undef, undef, 0.2;
    }

    kill TERM => $pid if $running;

    my $line = readline $out;
    close $out;

    return defined $line ? JSON::PP::decode_json($line) : { answers => 0 };
}


# how many counters are lower than at the last scrape

sub fallen {
    my $m = SmartMetrics->scrape($ngx->addr, '/metrics');
    my ($n, %now) = 0;

    for my $sample (@{ $m->{samples} }) {
        my ($name, $labels, $value) = @$sample;

        next if $name !~ /_(?:total|bucket|sum|count)$/;

        my $key = join ' ', $name, map { "$_=$labels->{$_}" }
                                   sort keys %$labels;

        $now{$key} = $value;
        $n++ if $last && $value < ($last->{$key} // 0);
    }

    $last = \%now;

    return $n + $m->errors;
}


sub log_name { return $ngx->dir . '/logs/exact.log' }


sub lines {
    open my $fh, '<', log_name() or return 0;
    1 while readline $fh;

    return $.;
}


sub compare_log {
    my (%codes, %outcomes, %hedges);

    open my $fh, '<', log_name() or die "no log: $!\n";

    while (my $line = readline $fh) {
        my ($uri, $status, $outcome, $attempts) = split ' ', $line;
        my ($location) = $uri =~ m{^(/\w+)};

        $codes{"$location " . substr($status, 0, 1) . 'xx'}++;
        $outcomes{"$location $outcome"}++;
        $hedges{$location} += $attempts =~ /^\d/ && $attempts > 1
                             ? $attempts - 1 : 0;
    }

    for my $location (qw( /mixed /bad /late /own /args )) {
        my @at = (location => $location);

        for my $code (@{ $SmartMetrics::VALUES{code} }) {
            is($m->value('requests_total', @at, code => $code),
               $codes{"$location $code"} // 0, "log: $location $code");
        }

        for my $outcome (@{ $SmartMetrics::VALUES{outcome} }) {
            is($m->value('outcomes_total', @at, outcome => $outcome),
               $outcomes{"$location $outcome"} // 0,
               "log: $location $outcome");
        }

        is($m->value('attempts_total', @at, attempt => 'hedge'),
           $hedges{$location}, "log: $location hedges");
    }
}
