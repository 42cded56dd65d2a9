# The journal's export: complete in each format, streamed in constant memory,
# to slow clients and to those that leave.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartServer;
use Time::HiRes qw( time );

plan skip_all => 'no journal module'
    if ($ENV{TEST_NGINX_LOAD_MODULES} // '') !~ /journal/;

my $n = 8000;
my $ngx = SmartServer->start(conf => <<'CONF');
smart_journal_store sqlite:%%DIR%%/journal.db retain=off;
server {
    listen 127.0.0.1:%%PORT%%;
    listen 127.0.0.1:%%PORT_2%% sndbuf=16k;
    location /j { smart_journal_api; }
    location /rate { smart_journal_api; limit_rate 500k; }
    location /gzip { smart_journal_api; gzip on; gzip_types *; }
}
CONF

my $db = $ngx->dir . '/journal.db';
my $fill = "$FindBin::Bin/lib/journal_fill.py";

is system('python3', $fill, $db, 0) >> 8, 0, 'a store is there';

for my $format ('ndjson', 'csv', 'har') {
    my $r = get("/j/export?format=$format");
    is $r->{status}, 200, "nothing as $format";
    is $r->{complete}, 1, "nothing as $format: complete";
    check($format, $r->{body}, 0);
}

# what a request lacks that has not ended, and what is unusual

is system('sqlite3', '-cmd', '.timeout 5000', $db, join ' ', map {
    my ($i, $url, $rest) = ($_->[0], @$_[1, 2]);

    "INSERT INTO requests (id, timestamp, url, website, state, duration, code,"
    . " method) VALUES (randomblob(16), $i, '$url', 'http://a', $rest);"
} [1, 'http://a/', "0, NULL, NULL, 'GET'"],
  [2, 'http://a/?', "3, NULL, NULL, NULL"],
  [3, 'http://a/\x{c3}\x{a9}?a=%C3%A9&b&=c&a=%zz', "2, 0, 499, 'M-X'"],
  [4, 'http://[::1]:8080?q', "2, 5, NULL, 'POST'"],
  [5, 'a:443', "1, 99999999999, 200, 'CONNECT'"]) >> 8, 0, 'five records';

har(get('/j/export?format=har')->{body}, 5);

is system('sqlite3', '-cmd', '.timeout 5000', $db, 'DELETE FROM requests') >> 8,
   0, 'and none';

is system('python3', $fill, $db, $n) >> 8, 0, "$n records";


# all of them, in each format

my ($worker) = $ngx->worker_pids;
my %size;

get('/j/export');
my $rss = $ngx->rss_kb($worker);

for my $row (['ndjson', 'application/x-ndjson'],
             ['csv', 'text/csv; charset=utf-8'],
             ['har', 'application/json'])
{
    my ($format, $type) = @$row;
    my $r = get("/j/export?format=$format");

    is $r->{status}, 200, "$format: status";
    is $r->{complete}, 1, "$format: complete";
    is $r->{headers}{'content-type'}, $type, "$format: type";
    is $r->{headers}{'content-disposition'},
       "attachment; filename=\"requests.$format\"", "$format: name";
    check($format, $r->{body}, $n);
    $size{$format} = $r->{size};

    my $head = get("/j/export?format=$format", '-I');
    is $head->{status}, 200, "$format: HEAD";
    is $head->{headers}{'content-type'}, $type, "$format: HEAD: type";
}

cmp_ok $ngx->rss_kb($worker) - $rss, '<', 4096 * asan(100),
       "memory after @{[int($size{har} / 1_000_000)]} MB in each format";


# what matches

for my $row (['code=404', 'code', qr/^404$/],
             ['method=POST', 'method', qr/^POST$/],
             ['url=path/17%3f', 'url', qr{path/17\?}],
             ['host=host0.example', 'host', qr/^host0/])
{
    my ($args, $what, $re) = @$row;
    my @all = records(get("/j/export")->{body});
    my %name = (code => 'response_code', url => 'target_url');
    my $key = $name{$what} // $what;
    my @expected = map { $_->{id} } grep { $_->{$key} =~ $re } @all;
    my @got = map { $_->{id} } records(get("/j/export?$args")->{body});

    cmp_ok scalar @expected, '>', 0, "$args: some";
    is_deeply \@got, \@expected, "$args: these";
}

{
    my @all = records(get('/j/export')->{body});
    my ($to, $from) = map { $_->{timestamp} } @all[500, 2500];
    my @got = records(get("/j/export?from=$from&to=$to")->{body});
    my @frame;
    my $next = "?from=$from&to=$to&limit=1000";

    while ($next) {
        my $r = get("/j/time-frame$next");
        push @frame, $r->{body} =~ /"id":"([^"]*)/g;
        ($next) = ($r->{headers}{link} // '') =~ /^<(\?[^>]*)>/;
    }

    cmp_ok scalar @got, '>=', 2001, 'a frame of the export';
    is_deeply [map { $_->{id} } @got], \@frame, 'as time-frame has it';
}


# through filters

{
    my $start = time;
    my $r = get('/rate/export?format=csv&code=404');

    is $r->{complete}, 1, 'limit_rate: complete';
    cmp_ok time - $start, '>', $r->{size} / 500_000 * 0.4, 'and slow';

    $r = get('/gzip/export', '-H "Accept-Encoding: gzip"');
    is $r->{headers}{'content-encoding'}, 'gzip', 'gzip';
    is $r->{complete}, 1, 'gzip: complete';
    cmp_ok $r->{size}, '<', $size{ndjson} / 3, 'gzip: smaller';
}


# slow clients hold the memory of a batch each, and more are turned away

{
    $rss = $ngx->rss_kb($worker);

    my @clients = map {
        my $c = $ngx->connect(addr => $ngx->addr(2), rcvbuf => 4096,
                              timeout => 60);
        $c->request('/j/export?format=har');
        is $c->read_header->{status}, 200, 'a slow client begins';
        $c;
    } 1 .. 16;

    my $start = time;
    is get('/j/get?limit=5')->{status}, 200, 'others are answered';
    cmp_ok time - $start, '<', 1, 'and at once';

    my $r = get('/j/export');
    is $r->{status}, 503, 'one more';
    is $r->{headers}{'retry-after'}, 1, 'is told to come again';

    SmartServer::wait_for(sub { 0 }, 0.5);
    cmp_ok $ngx->rss_kb($worker) - $rss, '<', 16 * 1024 * asan(25),
           'their memory';

    my $body = $clients[0]->read_body(keep => 0);
    is $body->{complete}, 1, 'the slow one has it all in the end';
    cmp_ok $body->{size}, '>=', $size{har}, 'not less than the fast one';

    $_->reset for @clients[1 .. 15];

    ok SmartServer::wait_for(sub { get('/j/export?code=499')->{status} == 200 },
                             5), 'there is room again';
    ok SmartServer::wait_for(sub { $ngx->fds($worker) < 12 }, 5),
       'nothing is left of those that went';
}


# clients that leave while a thread works for them

for my $ms (0, 1, 3, 10) {
    for my $uri ('/j/export?url=nowhere', '/j/get?url=nowhere') {
        for (1 .. 10) {
            my $c = $ngx->connect(addr => $ngx->addr(1));
            $c->request($uri);
            select undef, undef, undef, $ms / 1000 if $ms;
            $c->reset;
        }
    }
}

is get('/j/get?limit=1')->{status}, 200, 'it goes on';


# a reload ends no export

{
    my $c = $ngx->connect(addr => $ngx->addr(2), rcvbuf => 4096,
                             timeout => 60);
    $c->request('/j/export?format=har');
    $c->read_header;
    ok $ngx->reload, 'reload';
    my $body = $c->read_body(keep => 0);
    is $body->{complete}, 1, 'an export outlives it';
}


# a store that fails on the way is no complete export

{
    my $c = $ngx->connect(addr => $ngx->addr(2), rcvbuf => 4096,
                             timeout => 60);
    $c->request('/j/export?format=har');
    $c->read_header;

    is system('python3', '-c', 'import sqlite3, sys; sqlite3.connect('
              . 'sys.argv[1], timeout=30).execute("DROP TABLE requests")',
              $db) >> 8, 0, 'the table is gone';

    my $body = $c->read_body(keep => 0);
    is $body->{complete}, 0, 'the client sees it';
    $ngx->log_like(qr/\[error\].*export breaks off.*no such table/,
                   'the log too');

    my $r = get('/j/get');
    is $r->{status}, 503, 'and 503 from now on';
    is $r->{headers}{'content-type'}, 'application/problem+json', 'a problem';
}

$ngx->stop(alerts => 1);

done_testing;


# freed memory is kept for a while there

sub asan { return $ENV{SMART_TEST_ASAN} ? $_[0] : 1 }


sub get {
    my ($uri, @options) = @_;

    my $out = $ngx->dir . '/answer';
    my $url = 'http://' . $ngx->addr(1) . $uri;
    my $head = qx{curl -s -g -D - -o '$out' @options '$url'};
    my %r = (complete => $? == 0, headers => {});

    ($r{status}) = $head =~ m{^HTTP/1\.1 (\d+)};
    $r{headers}{lc $1} = $2 while $head =~ /^([\w-]+): (.*?)\r$/mg;

    open my $in, '<', $out or die "$out: $!";
    local $/;
    $r{body} = <$in>;
    $r{size} = length $r{body};

    return \%r;
}


# the members as text: a parser in Perl would take its time

sub records {
    return map { { /"(\w+)":"?([^",}]*)/g } } split /\n/, $_[0];
}


# a parser that is not ours, and what it sees

sub check {
    my ($format, $text, $count) = @_;

    my $file = $ngx->dir . "/export.$format";

    open my $out, '>', $file or die "$file: $!";
    print $out $text;
    close $out;

    my $program = "$FindBin::Bin/lib/export_check.py";
    my $answer = qx{python3 '$program' $format '$file'};

    is $answer, "$count\n", "$format: $count records, in order, once";

    har($text, $count) if $format eq 'har';
}


sub har {
    my ($text, $count) = @_;

    my $file = $ngx->dir . '/export.har';

    open my $out, '>', $file or die "$file: $!";
    print $out $text;
    close $out;

    SKIP: {
        skip 'no NODE_PATH', 1 if !$ENV{NODE_PATH};

        is qx{node '$FindBin::Bin/lib/har.js' '$file' 2>&1}, "$count\n",
           "har: a validator of HAR takes all $count";
    }
}
