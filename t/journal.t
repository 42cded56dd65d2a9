# The journal's records: what is in them, and which requests have one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/chaos";
use Encode ();
use H2;
use SmartJournal qw( metric );
use SmartServer;
use Test::More;
use Time::HiRes qw( sleep time );

SmartServer->upstream;

my $conf = <<'CONF';
smart_journal_store sqlite:%%DIR%%/db/journal.db flush=20ms node=here;
smart_journal on;

upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; }

map $uri $fixed { default 'https://Other.Example:8443/x?api_key=1#f'; }

server {
    listen 127.0.0.1:%%PORT%%;
    listen 127.0.0.1:%%PORT_2%% HTTP2;
    server_name first.example second.example;
    HTTP2_ON

    error_page 404 /error/404;

    location / { return 204; }
    location /off/ { smart_journal off; return 204; }
    location /url/ { smart_journal_url $fixed; return 204; }
    location /plain/ { smart_journal_url $uri; return 204; }
    location /redact/ { smart_journal_redact word; return 204; }
    location /last/ { rewrite ^ /other/ last; }
    location /missing/ { root %%DIR%%/html; }
    location /error/ { return 200 "gone\n"; }
    location /up/ { proxy_pass http://u; }
    location /internal/ { mirror /mirrored/; proxy_pass http://u; }
    location /mirrored/ { internal; proxy_pass http://u; }
    location /hedge/ { HEDGE proxy_pass http://u; }
    location = /journal_metrics { smart_journal off; smart_journal_metrics; }
}

server {
    listen 127.0.0.1:%%PORT_3%%;
    return 403;
}
CONF

my $version = SmartServer::build_options() =~ m{nginx/1\.(\d+)} ? $1 : 0;
my $new = $version >= 26;

$conf =~ s/ HTTP2;/$new ? ';' : ' http2;'/e;
$conf =~ s/HTTP2_ON/$new ? 'http2 on;' : ''/e;

my $hedging = ($ENV{TEST_NGINX_LOAD_MODULES} // '')
              =~ /ngx_http_smart_module/;

$conf =~ s/HEDGE/$hedging ? 'smart_hedge 50ms;' : ''/e;

my $ngx = SmartServer->start(conf => $conf, files => { 'db/x' => '' });
my $j = SmartJournal->new($ngx->dir . '/db/journal.db');
my $addr = $ngx->addr;
my $requests = 0;

zeros();
fields();
urls();
which();
protocols();
ends();
attempts() if $hedging;
metrics();

$j->consistent;
$ngx->stop(name => 'the server stops in good order');

done_testing;


# a request, and the record of it

sub ask {
    my ($uri, %opt) = @_;

    my $r = $ngx->get($uri, %opt);

    return ($r, record());
}


sub record {
    $requests++;

    ok(0, 'a record has been written'), return {}
        if !$j->wait('select count(*) from requests where state <> 0',
                     $requests);

    return ($j->records('id = (select id from requests'
                        . ' order by timestamp desc, id desc limit 1)'))[0];
}


sub zeros {
    my $text = $ngx->get('/journal_metrics')->{body};

    my %seen;
    $seen{$1} = $2 while $text =~ /^nginx_smart_journal_(\S+) (\S+)$/mg;

    for my $event (qw( begun completed aborted interrupted )) {
        is($seen{"records_total{event=\"$event\"}"}, 0, "none is $event");
    }

    for my $reason (qw( full exit refused )) {
        is($seen{"dropped_total{reason=\"$reason\"}"}, 0, "none is $reason");
    }

    for my $name (qw( written_total interrupted_records_total queue_records
                      pruned_records_total batch_records write_errors_total
                      last_write_timestamp_seconds
                      write_duration_seconds_count ))
    {
        is($seen{$name}, 0, "$name is 0");
    }

    is($seen{queue_capacity_records}, 65536, 'the capacity is told');
    ok(SmartServer::wait_for(sub { metric($ngx, 'store_up') == 1 }, 2),
       'the store is up before the first record');
}


sub fields {
    my $before = time;
    my $trace = '0af7651916cd43dd8448eb211c80319c';
    my ($r, $record) = ask('/a/b?c=d', headers => [
        traceparent => "00-$trace-b7ad6b7169203331-01",
        Host => 'First.Example:81',
    ]);

    is($r->{status}, 204, 'the request is answered');
    like($record->{hex}, qr/^[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/,
         'the id is a UUIDv7');
    no warnings 'portable';
    is(hex(substr $record->{hex}, 0, 12), int($record->{timestamp} / 1000),
       'and has the time of the record');
    cmp_ok(abs($record->{timestamp} / 1e6 - $before), '<', 5,
           'the timestamp is in microseconds');
    ok($record->{duration} >= 0 && $record->{duration} < 5e6,
       'the duration, too');
    is($record->{url}, 'http://First.Example:81/a/b?c=d',
       'the url has the authority as the client sent it');
    is($record->{website}, 'http://first.example:81',
       'the website is in lower case');
    is($record->{host}, 'first.example', 'the host has no port');
    is($record->{code}, 204, 'the code');
    is($record->{state}, 1, 'it is complete');
    is($record->{method}, 'GET', 'the method');
    is($record->{node}, 'here', 'the node');
    is($record->{trace_id}, $trace, 'the trace id');
    is($record->{upstream}, undef, 'no upstream');
    is($record->{instance}, undef, 'nobody has it open');

    for my $bad ('00-' . '0' x 32 . '-b7ad6b7169203331-01',
                 "ff-$trace-b7ad6b7169203331-01", "00-$trace-b7",
                 '00-' . uc($trace) . '-b7ad6b7169203331-01')
    {
        (undef, $record) = ask('/', headers => [traceparent => $bad]);
        is($record->{trace_id}, undef, "no trace id by $bad");
    }
}


sub urls {
    my $record;

    (undef, $record) = ask('/a?token=secret&b=1&Password=x');
    is($record->{url}, 'http://localhost/a?token=REDACTED&b=1'
       . '&Password=REDACTED', 'secrets are redacted');
    is($record->{website}, 'http://localhost', 'its website');
    is($record->{host}, 'localhost', 'its host');

    # one is found out about after the other, and the first one again

    for my $site ('[::1]:8080', 'a.example:81', 'b.example:81',
                  'A.example:81', 'a.example:81')
    {
        my ($host) = $site =~ /(.*):/;

        (undef, $record) = ask('/x', headers => [Host => $site]);
        is($record->{url}, "http://$site/x", "$site - url");
        is($record->{website}, 'http://' . lc $site, "$site - website");
        is($record->{host}, lc $host, "$site - host");
    }

    (undef, $record) = ask('/redact/?token=seen&word=x');
    is($record->{url}, 'http://localhost/redact/?token=seen&word=REDACTED',
       'smart_journal_redact names others');

    (undef, $record) = ask('/url/');
    is($record->{url}, 'https://Other.Example:8443/x?api_key=REDACTED',
       'smart_journal_url, redacted, without the fragment');
    is($record->{website}, 'https://other.example:8443', 'its website');
    is($record->{host}, 'other.example', 'its host');

    (undef, $record) = ask('/plain/');
    is($record->{url}, '/plain/', 'a url without an authority');
    is($record->{website}, '', 'has no website');
    is($record->{host}, undef, 'and no host');

    for my $size (200, 256, 450, 500, 1000, 1500, 2000, 2048) {
        my $url = 'http://localhost/';
        my $rest = 'x' x ($size - length $url);

        (undef, $record) = ask("/$rest");
        is($record->{url}, "$url$rest", "a url of $size bytes is whole");
    }

    for my $size (2049, 3000, 7000) {
        (undef, $record) = ask('/' . 'x' x ($size - 17));
        is(length(Encode::encode('UTF-8', $record->{url})), 2048,
           "one of $size bytes is cut");
        is(substr($record->{url}, -2), "x\x{2026}", 'and marked');
    }
}


sub which {
    $ngx->get('/off/');
    is($ngx->get('/missing/x')->{body}, "gone\n", 'an error page');
    my $record = record();
    is($record->{url}, 'http://localhost/missing/x',
       'what is redirected internally has one record');
    is($record->{code}, 404, 'with the last code');

    (undef, $record) = ask('/last/');
    is($record->{url}, 'http://localhost/last/',
       'what is rewritten has one record');

    (undef, $record) = ask('/internal/?id=mirror&s=ok');
    is($record->{code}, 200, 'what has subrequests has one record');
    is($j->value("select count(*) from requests where url like '%mirror%'"),
       1, 'and its subrequest none');

    my $r = $ngx->get('/x', addr => $ngx->addr(3));
    is($r->{status}, 403, 'a request that ends before it has a location');
    $record = record();
    is($record->{code}, 403, 'is recorded');
    is($j->value("select count(*) from requests where url like '%/off/%'"),
       0, 'smart_journal off');
}


sub protocols {
    my $record;

    my $c = $ngx->connect;
    $c->send("GET /old HTTP/1.0\r\n\r\n");
    $c->read_header;
    $record = record();
    is($record->{url}, 'http://first.example/old', 'HTTP/1.0 without a host');

    $c = $ngx->connect;
    $c->send("GET http://Absolute.example:8080/x?y HTTP/1.1\r\n"
             . "Host: other\r\nConnection: close\r\n\r\n");
    $c->read_header;
    $record = record();
    is($record->{url}, 'http://Absolute.example:8080/x?y',
       'the absolute form');

    $c = $ngx->connect;
    $c->send("GET http://Absolute.example:8080?y HTTP/1.1\r\n"
             . "Host: other\r\nConnection: close\r\n\r\n");
    $c->read_header;
    $record = record();
    like($record->{url}, qr{^http://Absolute\.example:8080/?\?y$},
         'the absolute form without a path');

    # a path is no place to be connected to, and nginx 1.31 reads none

    if ((SmartServer::build_options() =~ m{nginx/1\.(\d+)})[0] < 31) {
        $c = $ngx->connect;
        $c->send("CONNECT /x HTTP/1.1\r\nHost: c.example:1\r\n\r\n");
        $c->read_header;
        $record = record();
        is($record->{url}, 'c.example:1', 'CONNECT');
    }

    my $h2 = H2->connect($ngx->addr(2));
    $h2->request('/two');
    ok(SmartServer::wait_for(sub {
           $j->value("select count(*) from requests where url like '%/two'")
       }, 3), 'HTTP/2');
    $record = record();
    like($record->{url}, qr{^https?://[^/]+/two$}, 'its url');
}


sub ends {
    my $c = $ngx->connect;
    $c->request('/up/?id=open&s=hang');

    ok($j->wait("select count(*) from requests where url like '%id=open%'",
                1), 'a record is there before its request ends');

    my ($record) = $j->records("url like '%id=open%'");
    is($record->{state}, 0, 'it is open');
    is($record->{code}, undef, 'without a code');
    is($record->{duration}, undef, 'and a duration');
    ok($record->{instance}, 'it belongs to an instance');
    is($j->value('select count(*) from instances'), 1, 'which is known');

    sleep 0.1;
    $c->close;
    $record = record();
    is($record->{state}, 2, 'when the client leaves it is aborted');
    is($record->{code}, 499, 'with the code 499');
    ok($record->{duration} > 50_000, 'and a duration');
    like($record->{upstream}, qr/^127\.0\.0\.1:\d+$/, 'the upstream');
    is($record->{instance}, undef, 'it belongs to nobody any more');

    $c = $ngx->connect(rcvbuf => 4096);
    $c->request('/up/?id=body&s=size:20000000');
    $c->read_header;
    $c->reset;
    $record = record();
    is($record->{state}, 2, 'left within the body: aborted');
    is($record->{code}, 200, 'with the code that was sent');
}


sub attempts {
    my ($r, $record) = ask('/hedge/?id=h1&s=hang|size:5');

    is($r->{status}, 200, 'a hedge answers');
    is($record->{attempts}, 2, 'two attempts');
    is($record->{winner}, 1, 'the second won');
    like($record->{upstream}, qr/^127\.0\.0\.1:\d+, 127\.0\.0\.1:\d+$/,
         'both upstreams');

    (undef, $record) = ask('/hedge/?id=h2&s=size:5');
    is($record->{attempts}, 1, 'one attempt');
    is($record->{winner}, 0, 'which won');

    (undef, $record) = ask('/up/?id=h3&s=size:5');
    is($record->{attempts}, undef, 'where nothing is hedged it is not told');
}


sub metrics {
    my $begun = $j->value('select count(*) from requests');

    is(metric($ngx, 'records_total{event="begun"}'), $begun,
       'as many begun as there are records');
    is(metric($ngx, 'records_total{event="aborted"}'),
       $j->value('select count(*) from requests where state = 2'),
       'as many aborted');
    is(metric($ngx, 'records_total{event="completed"}'),
       $j->value('select count(*) from requests where state = 1'),
       'as many completed');
    cmp_ok(metric($ngx, 'written_total'), '>=', $begun, 'written');
    cmp_ok(metric($ngx, 'write_duration_seconds_count'), '>', 0, 'batches');
    cmp_ok(abs(time - metric($ngx, 'last_write_timestamp_seconds')), '<', 10,
           'the time of the last write');
    is(metric($ngx, 'queue_records'), 0, 'nothing waits');

    my $r = $ngx->get('/journal_metrics', headers =>
                      [Accept => 'application/openmetrics-text']);
    like($r->{headers}{'content-type'}, qr{^application/openmetrics-text},
         'OpenMetrics');
    like($r->{body}, qr/^# TYPE nginx_smart_journal_written counter$/m,
         'its types');
    like($r->{body}, qr/\n# EOF\n$/, 'its end');

    is($ngx->get('/journal_metrics', method => 'POST')->{status}, 405,
       'POST is not allowed');
}
