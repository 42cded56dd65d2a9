# What bounds the journal's API: four calls read at a time in a worker, 64 wait
# for that and more are turned away; a call takes the store for two seconds at
# most; whoever leaves makes room. A view without end is what takes so long.

use strict;
use warnings;

use IO::Select;
use Test::More;
use SmartServer;
use Time::HiRes qw( time );

plan skip_all => 'no journal module'
    if ($ENV{TEST_NGINX_LOAD_MODULES} // '') !~ /journal/;

my $reading = 4;
my $waiting = 64;
my $seconds = 2;

my $ngx = SmartServer->start(workers => 1, conf => <<'CONF');
smart_journal_store sqlite:%%DIR%%/journal.db retain=off;
server {
    listen 127.0.0.1:%%PORT%%;
    location /j/ { smart_journal_api; }
}
CONF

my $db = $ngx->dir . '/journal.db';

SmartServer::wait_for(
    sub { (sql('SELECT count(*) FROM instances') // 0) == 1 }, 10);

sql('DROP TABLE websites; CREATE VIEW websites AS WITH RECURSIVE n (i) AS'
    . " (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'http://a' AS website,"
    . ' i AS count FROM n;');

is $ngx->get('/j/get')->{status}, 200, 'a list';

my $start = time;
my @clients = map { call() } 1 .. $reading + $waiting;

# all of them have been read before this one
my $refused = answer(call());
my $took = time - $start;

is $refused->{status}, 503, 'one more is turned away';
is $refused->{headers}{'retry-after'}, 1, 'until when';
like $refused->{body}, qr/Too many calls wait for the store/, 'why';
cmp_ok $took, '<', $seconds, 'at once';

my @early = IO::Select->new(map { $_->{socket} } @clients)->can_read(0);

is scalar @early, 0, 'none before it was';

# those that wait go, and those that read but one

my $first = shift @clients;
$_->close for @clients;

my $list = $ngx->get('/j/get?limit=1');

is $list->{status}, 200, 'whoever left makes room';
cmp_ok time - $start, '<', $seconds, 'at once, too';

my $ended = answer($first);
$took = time - $start;

is $ended->{status}, 503, 'a call that takes too long is ended';
like $ended->{body}, qr/The store has no time for this call/, 'and told so';
cmp_ok $took, '>=', $seconds, "not before $seconds s";
cmp_ok $took, '<', 4 * $seconds, 'nor long after';

is $ngx->get('/j/get')->{status}, 200, 'the next one is answered';

$ngx->stop;

my @log = grep { /\[(?:alert|crit|emerg)\]|Sanitizer/ } $ngx->error_log;
ok !@log, 'the log is clean' or diag @log;

done_testing;


sub call {
    my $c = $ngx->connect;

    $c->request('/j/frequent-website', close => 1);

    return $c;
}


sub answer {
    my ($c) = @_;

    my $head = $c->read_header or return { status => 0, headers => {} };

    return { %$head, %{ $c->read_body(keep => 4096) } };
}


sub sql {
    my ($text) = @_;

    my $answer = qx{sqlite3 -cmd '.timeout 5000' '$db' "$text" 2>/dev/null};

    return $answer =~ /(\d+)/ ? $1 : undef;
}
