# The thread that writes leaves the processor to others now and then, but where
# whole batches follow each other it has no time for that.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use SmartJournal;
use SmartServer;
use Test::More;

plan skip_all => 'no journal module'
    if ($ENV{TEST_NGINX_LOAD_MODULES} // '') !~ /journal/;

my $ngx = SmartServer->start(conf => <<'CONF');
smart_journal_store sqlite:%%DIR%%/journal.db flush=2s batch=400 sync=normal;
server {
    listen 127.0.0.1:%%PORT%%;
    location / { smart_journal on; return 204; }
}
CONF

my $j = SmartJournal->new($ngx->dir . '/journal.db');
my $sent = 0;

SmartServer::wait_for(sub { ($j->value('SELECT count(*) FROM instances') // 0)
                            == 1 }, 10);

# 31 records are written between two pauses

my $slow = slept(320);

cmp_ok $slow, '>=', 9, 'pauses in a batch that is not full';

# the first of five batches, and at most those before and after a flush that
# comes between

my $fast = slept(2000);

cmp_ok $fast, '>=', 11, 'pauses in the first one of many';
cmp_ok $fast, '<=', 48, 'not in those that follow it';

$ngx->stop;
$j->consistent('all of them');

done_testing;


# how often threads other than the event loop were asleep until all is written

sub slept {
    my ($n) = @_;

    my $before = switches();
    my @all = $ngx->load(uri => '/', requests => $n, concurrency => 20);

    $sent += $n;

    is scalar(grep { $_->[0] == 204 } @all), $n, "$n requests";
    ok $j->wait('SELECT count(*) FROM requests WHERE state = 1', $sent),
        'they are written';

    return switches() - $before;
}


sub switches {
    my ($worker) = $ngx->worker_pids;
    my $n = 0;

    for my $file (glob "/proc/$worker/task/*/status") {
        next if $file =~ m{/task/$worker/};
        $n += (SmartServer::slurp($file)
               =~ /^voluntary_ctxt_switches:\s+(\d+)/m)[0] // 0;
    }

    return $n;
}
