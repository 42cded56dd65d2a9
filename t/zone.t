# The shared zone: its size, what survives a reload, and what a worker leaves
# behind that was killed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartServer;
use SmartMetrics;

# how long a request takes that is to be in flight, ms
use constant LONG => 20000;

SmartServer->upstream;

too_small();
bad_sizes();
many_locations();
no_directive();
reload_keeps();
other_size();
vanishes();
used_again();
longer_names();
other_kinds();
failed_reloads();
long_request();
config_test();
killed_worker();
killed_old_worker();

done_testing;


# a size that the message names is one that will do

sub too_small {
    my %need;

    for my $case (['five locations', 5, 1, 4],
                  ['a hundred locations', 100, 1, 4],
                  ['two hundred locations', 200, 1, 4],
                  ['names of 300 bytes', 30, 1, 300],
                  ['four hundred peers', 1, 400, 4],
                  ['a hundred of both', 100, 100, 200])
    {
        my ($name, $locations, $peers, $length) = @$case;
        my @conf = (locations => [names($locations, $length)],
                    peers => $peers);
        my ($code, $output) = test_config('32k', @conf);
        my ($size) = $output =~ /it takes "smart_zone (\d+)k"/;

        isnt($code, 0, "$name do not fit into 32k");
        like($output, qr/\[emerg\] .*"smart_zone" of 32k is too small/,
             "$name: a message");
        unlike($output, qr/no memory/, "$name: no other message");

        ok($size, "$name: it names a size") or next;
        $need{$name} = $size;

        ($code, $output) = test_config("${size}k", @conf);
        is($code, 0, "$name fit into ${size}k") or diag $output;
    }

    my $each = (($need{'two hundred locations'} // 9e9)
                - ($need{'a hundred locations'} // 0)) / 100;

    cmp_ok($each, '<=', 16, 'KiB per location');

    # and it runs in it

    my @conf = (locations => [names(100, 4)], peers => 1);
    my $ngx = SmartServer->start(conf => conf(
        "$need{'a hundred locations'}k", @conf));
    my $m = metrics($ngx);

    is(scalar $m->owners, 100, 'all of a hundred are there');
    cmp_ok($m->value('zone_used_bytes'), '<=', $m->value('zone_size_bytes'),
           'no more is used than there is');
    is($m->value('zone_size_bytes'), 1024 * $need{'a hundred locations'},
       'and that is its size');

    $ngx->stop(name => 'a zone that just fits');
}


sub bad_sizes {
    for my $size (qw( 0 1 31k -1 8x m k 8mm 1.5m 99999999999999999999 off ),
                  '""')
    {
        my ($code, $output) = test_config($size, locations => ['a']);

        isnt($code, 0, "size $size is refused");
        like($output, qr/\[emerg\] .*invalid (?:value|.*"smart_zone")/,
             "size $size: a message");
    }

    for my $size (qw( 256k 1m 8M 9000k 262144 )) {
        my ($code, $output) = test_config($size, locations => ['a']);

        is($code, 0, "size $size") or diag $output;
    }

    my ($code, $output) = test_config('8m; smart_zone 8m',
                                      locations => ['a']);

    isnt($code, 0, 'two of them');
    like($output, qr/"smart_zone" directive is duplicate/, 'and the message');
}


sub many_locations {
    my $ngx = SmartServer->start(conf => conf(undef,
        locations => [names(200, 20)]));
    my $m = metrics($ngx);

    is_deeply([$m->errors], [], '200 locations: a text');
    is(scalar $m->owners, 200, '200 locations fit the default size');
    is($m->value('zone_size_bytes'), 8 << 20, 'which is 8m');

    $ngx->stop(name => '200 locations');
}


# the mapping of the zone is in the master's memory map

sub no_directive {
    my $ngx = SmartServer->start(conf => <<'CONF');
server { listen 127.0.0.1:%%PORT%%; return 200 ok; }
CONF

    is(zones($ngx), 0, 'no zone without a directive');
    is($ngx->get('/')->{status}, 200, 'and nginx runs');
    $ngx->stop(name => 'no zone');

    $ngx = SmartServer->start(conf => <<'CONF');
server {
    listen 127.0.0.1:%%PORT%%;
    location / { smart_hedge 1s; return 200 ok; }
}
CONF

    is(zones($ngx), 1, 'one with a directive');
    $ngx->stop(name => 'a zone');

    my ($code, $output) = SmartServer->test_config(conf => <<'CONF');
server { listen 127.0.0.1:%%PORT%%; location /m { smart_metrics; } }
CONF

    is($code, 0, 'smart_metrics alone') or diag $output;
}


sub reload_keeps {
    my $ngx = SmartServer->start(workers => 2,
        conf => conf(undef, locations => [qw( a b )]));
    my $before = metrics($ngx);

    requests($ngx, '/a', 5);
    requests($ngx, '/b', 3);

    my $m = settled($ngx, 8);

    for my $n (1 .. 5) {
        ok($ngx->reload, "reload $n");

        my $again = metrics($ngx);

        is_deeply(counters($again), counters($m), "the same after $n");
        is($again->value($_), $m->value($_), "$_ is the same after $n")
            for qw( start_time_seconds zone_used_bytes );
    }

    requests($ngx, '/a', 2);
    $m = settled($ngx, 10);
    is(count($m, 'a'), 7, 'counting goes on');
    is($m->value('peer_attempts_total', upstream => 'u', result => 'won'), 10,
       'that of peers, too');
    is_deeply([$m->identities], [], 'identities');

    ok($ngx->reload(conf(undef, locations => [qw( b c a )])),
       'reload, another order and one more');
    $m = metrics($ngx);
    is(count($m, 'a'), 7, 'the first keeps its counters');
    is(count($m, 'b'), 3, 'the second, too');
    is(count($m, 'c'), 0, 'the new one has none');

    $ngx->log_unlike(qr/counters start again/, 'nothing is said of that');
    $ngx->stop(name => 'reload');
}


sub other_size {
    my $ngx = SmartServer->start(
        conf => conf('2m', locations => ['a']));

    requests($ngx, '/a', 3);
    my $m = settled($ngx, 3);
    my $start = $m->value('start_time_seconds');

    my $busy = $ngx->connect;
    $busy->request('/a?id=busy&s=delay:600');
    in_flight($ngx, 1);

    ok($ngx->reload(conf('4m', locations => ['a'])), 'another size');
    $m = metrics($ngx);
    is(count($m, 'a'), 0, 'counters start again');
    is($m->value('zone_size_bytes'), 4 << 20, 'the new size');
    cmp_ok($m->value('start_time_seconds'), '>=', $start, 'the new time');
    $ngx->log_like(qr/\[notice\] .*"smart_zone".*counters start again/,
                   'the log says so');

    is($busy->read_header->{status}, 200, 'a request in the old zone ends');
    requests($ngx, '/a', 2);
    $m = settled($ngx, 2);
    is(count($m, 'a'), 2, 'and is not counted in the new one');
    is_deeply([$m->identities], [], 'identities in the new zone');

    $ngx->stop(name => 'another size');
}


sub vanishes {
    my $ngx = SmartServer->start(
        conf => conf(undef, locations => [qw( a b )]));

    requests($ngx, '/a', 4);
    requests($ngx, '/b', 2);
    settled($ngx, 6);

    ok($ngx->reload(conf(undef, locations => ['b'])), 'a location vanishes');
    my $m = metrics($ngx);
    is_deeply([$m->values('requests_in_flight', 'location')], ['/b'],
              'and has no series');
    is(count($m, 'b'), 2, 'the other one keeps them');

    ok($ngx->reload(conf(undef, locations => [qw( b a )])), 'it returns');
    $m = metrics($ngx);
    is(count($m, 'a'), 4, 'it goes on where it was');
    is(count($m, 'b'), 2, 'so does the other one');

    $ngx->stop(name => 'a location that vanishes');
}


# more names over time than the zone has room for

sub used_again {
    my $size = least(locations => [names(5, 4)]);
    my $ngx = SmartServer->start(
        conf => conf($size, locations => [qw( keep aaaa )]));
    my ($good, $wrong, $kept) = (0, 0, 0);

    requests($ngx, '/keep', 3);
    settled($ngx, 3);

    for my $name ('aaab' .. 'aabn') {
        next if !reload($ngx, conf($size, locations => ['keep', $name]));
        $good++;

        my $m = metrics($ngx);
        $wrong += $m->errors || $m->owners != 2 || count($m, $name) != 0;

        requests($ngx, "/$name", 2);
        $m = settled($ngx, 5);
        $wrong += count($m, $name) != 2;
        $kept += count($m, 'keep') == 3;
    }

    is($good, 39, "39 reloads with a new name each in a zone of $size");
    is($wrong, 0, 'each name began at 0');
    is($kept, 39, 'the one that stayed kept its counters');
    unlike(scalar $ngx->error_log, qr/too small|\[emerg\]/, 'it was no matter');

    my $m = metrics($ngx);
    cmp_ok($m->value('zone_used_bytes'), '<=', $m->value('zone_size_bytes'),
           'no more is used than there is');

    $ngx->stop(name => 'a full zone');
}


# what nginx -t finds to fit has to fit on a reload, too, whatever the zone
# was used for before

sub longer_names {
    my $long = 'x' x 250;
    my $size = least(locations => [names(4, 4), $long]);
    my $ngx = SmartServer->start(conf => conf($size, locations => ['a']));
    my $good = 0;

    $good += reload($ngx, conf($size, locations => [$_])) for 'aaaa' .. 'aaat';
    is($good, 20, 'reloads with short names');

    ok(reload($ngx, conf($size, locations => [$long])),
       'a long name after many short ones');
    like(join(' ', metrics($ngx)->values('requests_in_flight', 'location')),
         qr/xxx/, 'and it is there');

    $ngx->stop(name => 'longer names', alerts => 1);
}


sub other_kinds {
    my @many = (locations => [names(8, 4)], peers => 1);
    my $size = least(@many);
    my $ngx = SmartServer->start(conf => conf($size, locations => ['a']));
    my ($good, $all) = (0, 40);

    for my $n (1 .. $all) {
        $good += reload($ngx, conf($size, locations => ['a'], peers => 30,
                                   first => $n * 100));
    }

    is($good, $all, "$all reloads with other peers each");

    ok(reload($ngx, conf($size, @many)), 'locations after many peers');
    is(scalar metrics($ngx)->owners, 8, 'and they are there');

    $ngx->stop(name => 'other kinds', alerts => 1);
}


# the configuration in force is the one that counts; a reload fails late here,
# when zones are made already: there is no such address to listen on

sub failed_reloads {
    my $size = least(locations => [names(5, 4)]);
    my $ngx = SmartServer->start(conf => conf($size, locations => ['b00']));

    requests($ngx, '/b00', 3);
    settled($ngx, 3);

    my $busy = $ngx->connect;
    $busy->request('/b00?id=failed&s=delay:' . LONG);
    in_flight($ngx, 1);

    my $failed = 0;

    for my $name ('b01' .. 'b20') {
        $failed += !reload($ngx, conf($size, locations => [$name])
                                 . 'server { listen 192.0.2.1:9; }');
    }

    is($failed, 20, 'reloads that fail');
    $ngx->log_like(qr/bind\(\) to 192\.0\.2\.1:9 failed/, 'at the right place');
    requests($ngx, '/b00', 2);

    my $m = SmartMetrics->settle(sub { count($_[0], 'b00') >= 5 },
                                 $ngx->addr, '/metrics');

    is(count($m, 'b00'), 5, 'counters keep over reloads that fail');
    is($m->value('requests_in_flight', location => '/b00'), 1,
       'what is in flight, too');
    is_deeply([$m->values('requests_in_flight', 'location')], ['/b00'],
              'and it is the location in force');

    SmartServer->ctl('reset?close=1');
    $busy->close;
    $ngx->stop(name => 'reloads that fail', alerts => 1);
}


# an old worker with requests counts in the slots it knows for as long as it
# lives: no other location may have them until then

sub long_request {
    my $size = least(locations => [names(5, 4)]);
    my $n = 5;

    $n++ while (test_config($size, locations => [names($n + 1, 4)]))[0] == 0;

    my $ngx = SmartServer->start(
        conf => conf($size, locations => [names($n, 4)]));
    my @busy = map {
        my $c = $ngx->connect;
        $c->request("/$_?id=long&s=delay:" . LONG);
        $c;
    } names($n, 4);

    in_flight($ngx, $n);

    ok(reload($ngx, conf($size, locations => ['0001'])),
       "reload $_, $n locations less one vanish") for 1 .. 3;

    my $name = reload($ngx, conf($size, locations => ['late'])) ? 'late'
                                                                : '0001';
    my $others = $name eq 'late' ? 0 : 1;

    diag 'the zone was full' if $others;

    my $own = $ngx->connect;
    $own->request("/$name?id=own&s=delay:" . LONG);

    my $m = SmartMetrics->settle(
        sub { $_[0]->value('requests_in_flight') == $others + 1 },
        $ngx->addr, '/metrics');
    is($m->value('requests_in_flight'), $others + 1,
       'in flight in the location of the day');

    SmartServer->ctl('reset?id=long&close=1');
    $_->close for @busy;
    ok(SmartServer::wait_for(sub { workers($ngx) == 1 }, 5),
       'the old worker has ended');

    $m = metrics($ngx);

    is($m->value('requests_in_flight', location => "/$name"), 1,
       'its requests are not taken from that location');
    is(count($m, $name), $others, 'nor counted there');

    SmartServer->ctl('reset?close=1');
    $own->close;
    $ngx->stop(name => 'a long request', alerts => 1);
}


sub config_test {
    my $ngx = SmartServer->start(workers => 2,
        conf => conf(undef, locations => [qw( a b )]));

    requests($ngx, '/a', 4);

    my $m = settled($ngx, 4);
    my @pids = $ngx->worker_pids;
    my $binary = $ENV{TEST_NGINX_BINARY} || 'nginx';

    for my $n (1 .. 3) {
        my $output = `'$binary' -t -e '@{[ $ngx->dir ]}/logs/test.log' \\
            -p '@{[ $ngx->dir ]}/' -c '@{[ $ngx->dir ]}/nginx.conf' 2>&1`;
        is($?, 0, "nginx -t beside it, $n") or diag $output;
    }

    is_deeply(counters(metrics($ngx)), counters($m), 'harms no counter');
    is_deeply([$ngx->worker_pids], \@pids, 'and no worker');
    requests($ngx, '/a', 1);
    is(count(settled($ngx, 5), 'a'), 5, 'counting goes on');

    $ngx->stop(name => 'nginx -t');
}


sub killed_worker {
    my $ngx = SmartServer->start(workers => 2,
        conf => conf(undef, locations => ['a']));

    requests($ngx, '/a', 10);
    my $before = settled($ngx, 10);

    my @busy = map { $ngx->connect } 1 .. 20;
    $_->request('/a?id=busy&s=delay:' . LONG) for @busy;
    in_flight($ngx, 20);

    # the kernel may give one worker all of them

    my ($victim) = sort { $ngx->fds($b) <=> $ngx->fds($a) } $ngx->worker_pids;
    CORE::kill('KILL', $victim);

    ok(SmartServer::wait_for(sub {
        my @pids = $ngx->worker_pids;
        return @pids == 2 && !grep { $_ == $victim } @pids;
    }, 5), 'the killed worker is replaced');

    my $left = grep { !$_->closed(0.01) } @busy;

    cmp_ok($left, '<', 20, "the killed worker had requests, $left are left");

    my $m = SmartMetrics->settle(
        sub { $_[0]->value('requests_in_flight') == $left },
        $ngx->addr, '/metrics');

    is($m->value('requests_in_flight', location => '/a'), $left,
       'in flight is what the other one has');
    is(count($m, 'a'), 10, 'counters keep');
    is_deeply(finished($m), finished($before), 'nothing else was counted');

    requests($ngx, '/a', 10);
    $m = SmartMetrics->settle(sub { count($_[0], 'a') >= 20 },
                              $ngx->addr, '/metrics');
    is(count($m, 'a'), 20, 'counting goes on');
    is($m->value('requests_in_flight', location => '/a'), $left,
       'what is in flight is the same');

    SmartServer->ctl('reset?close=1');
    $_->close for @busy;

    $m = SmartMetrics->settle(sub { $_[0]->value('requests_in_flight') == 0 },
                              $ngx->addr, '/metrics');
    is($m->value('requests_in_flight'), 0, 'nothing is in flight at the end');
    is(count($m, 'a'), 20 + $left, 'all but those of the killed worker count');
    is($m->value('attempts_total', attempt => 'primary')
       - $m->value('attempts_finished_total', attempt => 'primary'),
       20 - $left, 'only attempts of the killed worker have no end');

    $ngx->stop(name => 'a killed worker', alerts => 1);
}


# one that was about to end is not replaced

sub killed_old_worker {
    my $ngx = SmartServer->start(
        conf => conf(undef, locations => ['a']));
    my ($old) = $ngx->worker_pids;

    my $busy = $ngx->connect;
    $busy->request('/a?id=old&s=delay:' . LONG);
    in_flight($ngx, 1);

    ok($ngx->reload, 'reload, the old worker has a request');
    is(metrics($ngx)->value('requests_in_flight'), 1, 'which is in flight');

    CORE::kill('KILL', $old);
    ok(SmartServer::wait_for(sub { workers($ngx) == 1 }, 5),
       'the old worker is gone');

    my $m = SmartMetrics->settle(
        sub { $_[0]->value('requests_in_flight') == 0 },
        $ngx->addr, '/metrics');
    is($m->value('requests_in_flight'), 0, 'so is its request');

    $busy->close;
    SmartServer->ctl('reset?close=1');
    $ngx->stop(name => 'a killed old worker', alerts => 1);
}


# configurations

sub conf {
    my ($size, %opt) = @_;

    my $zone = defined $size ? "smart_zone $size;" : '';
    my $peers = join "\n", map {
        "    server 127.1." . int($_ / 250) . '.' . ($_ % 250 + 1) . ':9;'
    } map { $_ + ($opt{first} // 0) } 1 .. ($opt{peers} // 1) - 1;
    my $locations = join "\n", map {
        "    location /$_ { smart_hedge 600s; proxy_pass http://u; }"
    } @{ $opt{locations} };

    return <<"CONF";
$zone
proxy_next_upstream off;
keepalive_timeout 0;
upstream u {
    server \$TEST_NGINX_UP1;
    ${\( $opt{peers} ? 'least_conn;' : '' )}
$peers
}
server {
    listen 127.0.0.1:%%PORT%%;
    location = /metrics { smart_metrics; access_log off; }
$locations
}
CONF
}


sub names {
    my ($n, $length) = @_;

    return map { sprintf('%04d', $_) . 'x' x ($length - 4) } 1 .. $n;
}


sub test_config {
    my ($size, @conf) = @_;

    return SmartServer->test_config(conf => conf($size, @conf));
}


# the size that the message names for a configuration

sub least {
    my (@conf) = @_;

    my ($code, $output) = test_config('32k', @conf);
    my ($size) = $output =~ /it takes "smart_zone (\d+k)"/
        or die "no size in: $output";

    return $size;
}


# reloads; false where nginx stays with the old configuration

sub reload_start {
    my ($ngx, $conf) = @_;

    $ngx->{opt}{conf} = $conf;
    $ngx->_write_conf;
    $ngx->signal('HUP');
}


sub reload {
    my ($ngx, $conf) = @_;

    my %old = map { $_ => 1 } $ngx->worker_pids;
    my $emerg = () = $ngx->error_log =~ /\[emerg\]/g;

    reload_start($ngx, $conf);

    return SmartServer::wait_for(sub {
        my @pids = $ngx->worker_pids;
        my $now = () = $ngx->error_log =~ /\[emerg\]/g;

        return -1 if $now > $emerg;
        return @pids && !grep { $old{$_} } @pids;
    }, 10) > 0 ? 1 : 0;
}


# those that are about to end, too

sub workers {
    my ($ngx) = @_;

    my @pids = SmartServer::children($ngx->pid);

    return scalar @pids;
}


sub zones {
    my ($ngx) = @_;

    my @shared = grep { /^\S+ rw-s \S+ \S+ \d+ +\S+zero/ }
                 split /^/, SmartServer::slurp('/proc/' . $ngx->pid . '/maps');

    no warnings 'portable';

    return scalar grep {
        my ($from, $to) = /^([0-9a-f]+)-([0-9a-f]+)/;
        hex($to) - hex($from) >= 32768;
    } @shared;
}


# requests and what is counted of them

sub requests {
    my ($ngx, $uri, $n) = @_;

    my $good = grep { $ngx->get("$uri?s=ok")->{status} == 200 } 1 .. $n;

    is($good, $n, "$n requests to $uri") if $good != $n;
}


sub metrics {
    my ($ngx) = @_;

    return SmartMetrics->scrape($ngx->addr, '/metrics');
}


sub settled {
    my ($ngx, $n) = @_;

    return SmartMetrics->settle(sub {
        return $_[0]->value('requests_total') >= $n
               && $_[0]->value('requests_in_flight') == 0;
    }, $ngx->addr, '/metrics');
}


sub in_flight {
    my ($ngx, $n) = @_;

    my $m = SmartMetrics->settle(
        sub { ($_[0]->value('requests_in_flight') // -1) == $n },
        $ngx->addr, '/metrics');

    is($m->value('requests_in_flight'), $n, "$n in flight");
}


sub count {
    my ($m, $name) = @_;

    return $m->value('requests_total', location => "/$name") // -1;
}


sub counters {
    my ($m) = @_;

    my %counters;

    for my $sample (@{ $m->{samples} }) {
        my ($name, $labels, $value) = @$sample;

        next if $name !~ /_(?:total|bucket|sum|count)$/;

        $counters{join ' ', $name, map { "$_=$labels->{$_}" }
                                   sort keys %$labels} = $value;
    }

    return \%counters;
}


sub finished {
    my ($m) = @_;

    my %all = %{ counters($m) };

    return { map { $_ => $all{$_} } grep { !/attempts_total/ } keys %all };
}
