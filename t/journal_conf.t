# The journal's directives: what is wrong is told, where modules are loaded in
# either order, alone, or into a single process.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use SmartJournal qw( metric );
use SmartServer;
use Test::More;

my @modules = split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';
my ($journal) = grep { /ngx_http_smart_journal_module/ } @modules;
my ($hedging) = grep { /ngx_http_smart_module/ } @modules;
my $store = 'smart_journal_store sqlite:j.db';
my $server = 'server { listen 127.0.0.1:%%PORT%%; }';

errors();
accepted();
untouched();
orders() if $journal && $hedging;
single_process();

done_testing;


sub errors {
    my @errors = (
        ['smart_journal_store x;',
         qr/invalid value "x" of "smart_journal_store", it must be "sqlite:/],
        ['smart_journal_store sqlite:;', qr/invalid value "sqlite:"/],
        ['smart_journal_store sqlite:/tmp/;', qr/is not the path of a file/],
        ['smart_journal_store sqlite::memory:;',
         qr/is not the path of a file/],
        ["$store x=1;",
         qr/invalid parameter "x=1" of "smart_journal_store", it must be "fl/],
        ["$store flush=0;",
         qr/invalid value "0" of "flush=" in .*, it must be a time from 1ms/],
        ["$store flush=61s;", qr/it must be a time from 1ms to 60s/],
        ["$store batch=0;", qr/it must be a number from 1 to 10000/],
        ["$store batch=x;", qr/it must be a number from 1 to 10000/],
        ["$store queue=15;", qr/it must be a number from 16 to 4194304/],
        ["$store batch=100 queue=50;",
         qr/"batch=100" is more than "queue=50"/],
        ["$store retain=0;", qr/it must be a time of 1s or more, or "off"/],
        ["$store retain=-1;", qr/it must be a time of 1s or more, or "off"/],
        ["$store node=;", qr/it must be a name of at most 255 printable/],
        ["$store sync=maybe;", qr/it must be "full" or "normal"/],
        ["$store; $store;", qr/"smart_journal_store" directive is duplicate/],
        ['smart_journal on;',
         qr/"smart_journal on" .* a "smart_journal_store" in "http"/],
        ["$store; smart_journal maybe;", qr/it must be "on" or "off"/],
        ["$store; smart_journal_redact '';",
         qr/empty value in "smart_journal_redact"/],
        ["$store; smart_journal_redact a; smart_journal_redact b;",
         qr/"smart_journal_redact" directive is duplicate/],
        ['server { location / { smart_journal_store sqlite:x; } }',
         qr/"smart_journal_store" directive is not allowed here/],
        ['smart_journal_metrics;', qr/directive is not allowed here/],
        ['server { location / { smart_journal_metrics; '
         . 'smart_journal_metrics; } }', qr/directive is duplicate/],
        ["$store; smart_journal_url \$no_such;", qr/unknown "no_such" var/],
    );

    for my $case (@errors) {
        my ($conf, $re) = @$case;
        my ($code, $output) = SmartServer->test_config(conf => "$conf $server");

        is($code, 1, "refused: $conf");
        like($output, $re, 'and told why');
    }

    my ($code, $output) = SmartServer->test_config(
        conf => "smart_journal_store postgresql:host=x; $server");

    is($code, 1, 'PostgreSQL is refused') or return;
    like($output, qr/this build has no PostgreSQL store/, 'and told why');
}


sub accepted {
    for my $params ('', 'flush=1ms', 'flush=60s batch=1 queue=16 retain=1s',
                    'batch=10000 queue=65536 retain=1y node=a',
                    'retain=off sync=normal', 'sync=full', "'node=a b'")
    {
        my ($code, $output) = SmartServer->test_config(
            conf => "$store $params; smart_journal on; $server");

        is($code, 0, "accepted: $params") or diag($output);
    }
}


# neither the test of a configuration nor the master opens the file

sub untouched {
    my $file = ($ENV{TEST_NGINX_SERVROOT} || '/tmp/servroot')
               . "_untouched_$$.db";
    my ($code) = SmartServer->test_config(
        conf => "smart_journal_store sqlite:$file; smart_journal on; $server");

    is($code, 0, 'a configuration is tested');
    ok(!-e $file, 'and no file is there');

    # no store: nothing of the journal is in the metrics

    my $ngx = SmartServer->start(conf => <<'CONF');
server {
    listen 127.0.0.1:%%PORT%%;
    location / { return 204; }
    location = /journal_metrics { smart_journal_metrics; }
}
CONF

    is($ngx->get('/')->{status}, 204, 'without a store');
    is($ngx->get('/journal_metrics')->{body}, '', 'there are no metrics');
    $ngx->stop;
}


sub served {
    my ($name, %opt) = @_;

    my $metrics = $opt{metrics} // 'smart_journal_metrics';
    my $ngx = SmartServer->start(files => { 'db/x' => '' }, %opt,
                                 conf => <<"CONF");
smart_journal_store sqlite:db/journal.db flush=10ms;

server {
    listen 127.0.0.1:%%PORT%%;
    smart_journal on;
    location / { return 204; }
    location = /journal_metrics { smart_journal off; $metrics; }
}
CONF

    my $j = SmartJournal->new($ngx->dir . '/db/journal.db');

    is($ngx->get('/a')->{status}, 204, "$name: a request");
    ok($j->wait('select count(*) from requests where state = 1', 1),
       "$name: is recorded");
    is(metric($ngx, 'records_total{event="begun"}'), 1,
       "$name: and counted");

    return $ngx;
}


sub orders {
    for my $modules ([$journal, $hedging], [$hedging, $journal]) {
        my $ngx = served('both modules', modules => $modules,
                         metrics => 'smart_metrics');
        my $r = $ngx->get('/journal_metrics', headers =>
                          [Accept => 'application/openmetrics-text']);

        like($r->{body}, qr/^# TYPE nginx_smart_journal_written counter\n/m,
             'OpenMetrics, too');
        like($r->{body}, qr/\n# EOF\n\z/, 'with one end');
        is(() = $r->{body} =~ /# EOF/g, 1, 'and not two');
        like($r->{body}, qr/^nginx_smart_build_info/m,
             'beside those of the other module');
        $ngx->stop;
    }

    local $ENV{TEST_NGINX_LOAD_MODULES} = $journal;
    my $ngx = served('without the hedging module', modules => [$journal]);
    $ngx->stop;
}


sub single_process {
    my $ngx = SmartServer->_prepare(files => { 'db/x' => '' },
                                    main => 'master_process off;',
                                    conf => <<'CONF');
smart_journal_store sqlite:db/journal.db flush=10ms;
server { listen 127.0.0.1:%%PORT%%; smart_journal on; return 204; }
CONF

    my $pid = fork // die "fork: $!";

    if (!$pid) {
        exec $ngx->_command or POSIX::_exit(1);
    }

    $ngx->{pid} = $pid;

    my $j = SmartJournal->new($ngx->dir . '/db/journal.db');

    ok(SmartServer::wait_for(sub {
           IO::Socket::INET->new(PeerAddr => $ngx->addr(0))
       }, 5), 'a single process');

    for my $n (1 .. 3) {
        is($ngx->get("/$n")->{status}, 204, 'answers');
        ok($j->wait('select count(*) from requests where state = 1', $n),
           'and records');
    }

    $ngx->stop;
}
