# The journal's API: what it lists, finds, counts and takes, held against a
# model of the same records in Perl; its errors; its pages.

use strict;
use warnings;

use JSON::PP ();
use Test::More;
use SmartServer;

plan skip_all => 'no journal module'
    if ($ENV{TEST_NGINX_LOAD_MODULES} // '') !~ /journal/;

my $json = JSON::PP->new->canonical->allow_nonref;

my $ngx = SmartServer->start(conf => <<'CONF');
smart_journal_store sqlite:%%DIR%%/journal.db node=n1 retain=off;
server {
    listen 127.0.0.1:%%PORT%%;
    location /api/v1/requests/ { smart_journal_api write; }
    location /read { smart_journal_api; }
    location /own/ {
        smart_journal_api write;
        smart_journal_redact foo;
        client_body_buffer_size 1k;
        client_body_in_file_only clean;
    }
}
CONF

my $api = '/api/v1/requests';
my $db = $ngx->dir . '/journal.db';

# until the file is there, writes are refused
SmartServer::wait_for(sub { $ngx->get("$api/get")->{status} == 200 }, 10);


# the old service's five members, and their way back

my $old = {
    id => '6ba7b810-9dad-41d1-80b4-00c04fd430c8',
    timestamp => 1700000000.25,
    duration => 0.125,
    target_url => 'http://u:p@Www.Example:8080/a?token=x&q=1#f',
    response_code => 200,
};

{
    my $r = put($old);
    my $got = decode($r);

    is $r->{status}, 201, 'a new record';
    is $r->{headers}{location}, "?id=$old->{id}", 'where it is';
    is_deeply $got, {
        id => $old->{id},
        timestamp => '2023-11-14T22:13:20.250000Z',
        duration => 0.125,
        target_url => 'http://REDACTED:REDACTED@Www.Example:8080/a'
                      . '?token=REDACTED&q=1',
        response_code => 200, state => 'complete', method => 'GET',
        host => 'www.example', website => 'http://www.example:8080',
        node => 'n1', attempts => undef, winner => undef, upstream => undef,
        trace_id => undef,
    }, 'all of it, without secrets';

    is_deeply decode(get("$api/get?id=$old->{id}")), [$got], 'by id';
    is_deeply decode(get("$api/get?id=" . uc $old->{id})), [$got],
              'by id in upper case';
    is_deeply decode(get("$api/get")), [$got], 'in the list';

    is put($old)->{status}, 200, 'the same again';
    is put({ %$old, timestamp => '2023-11-15T00:13:20.25+02:00' })->{status},
       200, 'the same, its time written otherwise';
    is put({ %$old, target_url => 'http://www.example/' })->{status}, 409,
       'another one under its id';
    is put({ %$old, response_code => 201 })->{status}, 409, 'another code';
    is_deeply decode(get("$api/frequent-website")),
              { website => 'http://www.example:8080', count => 1 },
              'counted once';
}


# bodies that are refused

for my $case (
    ['', 400, qr/no JSON/],
    ['{', 400, qr/no JSON: line 1/],
    ['[]', 400, qr/no JSON object/],
    ['{"id":1,"id":2}', 400, qr/duplicate/],
    [record(id => 7), 422, qr/"id" must be a uuid/],
    [record(id => undef), 422, qr/"id" must be a uuid/],
    [record(id => 'x'), 422, qr/"id" must be a uuid/],
    [record(timestamp => 'now'), 422, qr/"timestamp" must be/],
    [record(timestamp => 1e30), 422, qr/"timestamp" must be/],
    [record(timestamp => []), 422, qr/"timestamp" must be/],
    [record(duration => -1), 422, qr/"duration" must be/],
    [record(duration => undef), 422, qr/"duration" must be/],
    [record(duration => 1e9), 422, qr/"duration" must be/],
    [record(target_url => '/x'), 422, qr/"target_url" must be an absolute/],
    [record(target_url => ''), 422, qr/"target_url" must be an absolute/],
    [record(target_url => 'http://'), 422, qr/"target_url" must be an abso/],
    [record(response_code => 99), 422, qr/"response_code" must be/],
    [record(response_code => '200'), 422, qr/"response_code" must be/],
    [record(response_code => 200.5), 422, qr/"response_code" must be/],
    [record(method => 'G T'), 422, qr/"method" must be/],
    [record(method => ''), 422, qr/"method" must be/],
    [record(colour => 'red'), 422, qr/"colour" must be left out/],
    [$json->encode({ id => $old->{id} }), 422, qr/"timestamp" must be/],
    [' ' x 16385, 413, qr/longer than 16384/],
    ['"' . '\\u0000' x 10 . '"', 400, qr/no JSON/],
) {
    my ($body, $status, $detail) = @$case;

    problem(raw_put($body), $status, $detail,
            'PUT ' . substr $body, 0, 40);
}

problem(send_chunked(' ' x 20000), 413, qr/longer/, 'a chunked body');
problem(put($old, '/read/get'), 405, qr/lacks "write"/, 'PUT without write');

{
    my $r = put({ %$old, id => id(1), target_url => 'http://a/?foo=x&token=y' },
                '/own/get');

    is decode($r)->{target_url}, 'http://a/?foo=REDACTED&token=y',
       'a list of its own, the body in a file';
    is $r->{status}, 201, 'created';

    sql("DELETE FROM requests; DELETE FROM urls; DELETE FROM websites;");
}


# nothing there

is_deeply decode(get("$api/get")), [], 'an empty list';
is_deeply decode(get("$api/frequent-website")),
          { website => undef, count => 0 }, 'no website';
is_deeply decode(get("$api/frequent-website?by=url")),
          { url => undef, count => 0 }, 'no url';
is_deeply decode(get("$api/frequent-website?top=3")), [], 'no top';
problem(get("$api/get?id=" . id(1)), 404, qr/no record/, 'no such id');


# a model: records whose times collide and whose durations are of all decades

srand 1;

my $zero = 1_700_000_000;
my @durations = (0, 0.000001, 0.5, 0.999999, 1, 5, 9.999999, 10, 60, 100, 999,
                 1000, 5000, 90000);
my @model;

for my $n (1 .. 160) {
    my $state = $n % 10 == 0 ? 0 : $n % 13 == 0 ? 3 : $n % 7 == 0 ? 2 : 1;

    push @model, {
        id => id($n * 7919 % 1000 * 1000 + $n),
        us => $n % 3 && @model ? $model[-1]{us}
            : ($zero + int rand 3000) * 1_000_000 + 250_000 * int rand 4,
        duration => $state == 0 || $state == 3 ? undef
                  : int(1_000_000 * $durations[rand @durations] + 0.5),
        state => $state,
        code => $state == 1 ? (200, 404, 500, 503)[rand 4]
              : $state == 2 ? 499 : undef,
        url => 'http://' . ('a', 'b', 'c')[rand 3] . '.example/'
               . ('x', 'y', 'Z%20')[rand 3] . int rand 5,
        method => ('GET', 'POST')[rand 2],
    };
}

SmartServer::wait_for(sub { sql('SELECT id FROM instances') =~ /\d/ }, 10);

sql(join '', 'BEGIN;', (map { insert($_) } @model), 'COMMIT;');
@model = sort { $b->{us} <=> $a->{us} || $b->{id} cmp $a->{id} } @model;

# three each began at the same moment: the later id is the newer one
cmp_ok scalar(grep { $model[$_]{us} == $model[$_ - 1]{us} } 1 .. $#model), '>',
       100, 'times that collide';

is_deeply ids(get("$api/get?limit=1000")), [map { $_->{id} } @model],
          'all, newest first';
is scalar @{ decode(get("$api/get")) }, 100, 'a hundred, if not told';

for my $limit (1, 7, 159, 160, 161) {
    is_deeply pages("$api/get?limit=$limit"), [map { $_->{id} } @model],
              "page by page of $limit";
}

my @filters = (
    ['state=open', sub { $_->{state} == 0 }],
    ['state=complete', sub { $_->{state} == 1 }],
    ['state=aborted', sub { $_->{state} == 2 }],
    ['state=interrupted', sub { $_->{state} == 3 }],
    ['code=404', sub { ($_->{code} // 0) == 404 }],
    ['code=5xx', sub { int(($_->{code} // 0) / 100) == 5 }],
    ['code=204', sub { 0 }],
    ['host=A.example', sub { $_->{url} =~ m{//a\.} }],
    ['method=POST', sub { $_->{method} eq 'POST' }],
    ['url=example/Z%2520', sub { $_->{url} =~ m{example/Z%20} }],
    ['url=b.EXAMPLE&code=2xx&method=GET',
     sub { $_->{url} =~ /b\.e/ && ($_->{code} // 0) == 200
           && $_->{method} eq 'GET' }],
);

for my $filter (@filters) {
    my ($args, $match) = @$filter;
    my @expected = map { $_->{id} } grep { $match->() } @model;

    is_deeply pages("$api/get?limit=9&$args"), \@expected,
              "$args (" . @expected . ')';
}


# frames: by the model, with and without filters and pages

for my $n (1 .. 60) {
    my $from = ($zero - 200 + int rand 3400) * 1_000_000
               + 250_000 * int rand 4;
    my $to = $from + (0, 250_000, 1_000_000, 30_000_000, 900_000_000)[rand 5];
    my ($args, $match) = $n % 3 ? ('', sub { 1 })
                       : @{ $filters[rand @filters] };
    my $limit = (3, 50, 1000)[rand 3];

    my @expected = map { $_->{id} }
                   grep { $match->() && overlaps($_, $from, $to) } @model;

    is_deeply pages("$api/time-frame?from=" . iso($from) . '&to=' . iso($to)
                    . "&limit=$limit&$args"), \@expected,
              "frame $n $args (" . @expected . ')';
}

{
    # both ends are inclusive

    my $one = (grep { ($_->{duration} // 0) == 1_000_000 } @model)[0];
    my $end = $one->{us} + $one->{duration};

    for my $case ([$end, $end, 1], [$end + 1, $end + 1, 0],
                  [$one->{us} - 5, $one->{us}, 1],
                  [$one->{us} - 5, $one->{us} - 1, 0])
    {
        my ($from, $to, $there) = @$case;
        my $ids = pages("$api/time-frame?from=" . iso($from) . '&to='
                        . iso($to));

        is scalar(grep { $_ eq $one->{id} } @$ids), $there,
           'the frame of ' . ($from - $end) . " us to its end";
    }

    my $utc = ids(get("$api/time-frame?from=2023-11-14T22:13:20&"
                      . 'to=2023-11-14T22:23:20'));
    my $east = ids(get("$api/time-frame?from=2023-11-15T00:13:20+02:00&"
                       . 'to=2023-11-15T00:23:20%2B02:00'));

    cmp_ok scalar @$utc, '>', 10, 'a frame in UTC';
    is_deeply $east, $utc, 'the same by the time of another place';
}


# what is frequent

for my $by ('website', 'url') {
    my %count;

    for (@model) {
        my ($name) = $by eq 'url' ? $_->{url} : $_->{url} =~ m{^(\w+://[^/]+)};
        $count{$name}++;
    }

    my @top = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;

    is_deeply decode(get("$api/frequent-website?by=$by")),
              { $by => $top[0], count => $count{ $top[0] } },
              "the most frequent $by";

    for my $n (1, 2, 20, 1000) {
        my @first = @top[0 .. ($n < @top ? $n : @top) - 1];

        is_deeply decode(get("$api/frequent-website?top=$n&by=$by")),
                  [map { { $by => $_, count => $count{$_} } } @first],
                  "the first $n by $by";
    }
}


# parameters that are wrong

for my $case (
    ['get?id=x', 'id', 'a uuid'],
    ['get?id=', 'id', 'a uuid'],
    ['get?id=' . id(1) . '&limit=5', 'id', 'the only one'],
    ['get?limit=0', 'limit', 'from 1 to 1000'],
    ['get?limit=1001', 'limit', 'from 1 to 1000'],
    ['get?limit=x', 'limit', 'from 1 to 1000'],
    ['get?limit', 'limit', 'from 1 to 1000'],
    ['get?limit=5&limit=5', 'limit', 'given once'],
    ['get?limit=%zz', 'limit', 'percent encoded'],
    ['get?cursor=x', 'cursor', 'Link header'],
    ['get?cursor=' . 'A' x 33, 'cursor', 'Link header'],
    ['get?state=closed', 'state', '"open"'],
    ['get?code=600', 'code', 'a status'],
    ['get?code=2xy', 'code', 'a status'],
    ['get?code=20', 'code', 'a status'],
    ['get?host=', 'host', 'name of a host'],
    ['get?method=', 'method', 'a method'],
    ['get?url=', 'url', 'part of a url'],
    ['get?limits=5', 'limits', 'known to this call'],
    ['get?%zz=5', '%zz', 'known to this call'],
    ['get?from=2026-01-01', 'from', 'known to this call'],
    ['get?%22%0A=1', "\"\n", 'known to this call'],
    ['time-frame', 'from', 'ISO 8601'],
    ['time-frame?from=2026-01-01', 'to', 'ISO 8601'],
    ['time-frame?to=2026-01-01', 'from', 'ISO 8601'],
    ['time-frame?from=2026-01-01&to=x', 'to', 'ISO 8601'],
    ['time-frame?from=2026-02-30&to=2026-03-01', 'from', 'ISO 8601'],
    ['time-frame?from=2026-01-02&to=2026-01-01', 'from', 'no later than'],
    ['frequent-website?top=0', 'top', 'from 1 to 1000'],
    ['frequent-website?by=host', 'by', '"website" or "url"'],
    ['export?format=xml', 'format', '"ndjson"'],
    ['export?limit=5', 'limit', 'known to this call'],
) {
    my ($uri, $parameter, $must) = @$case;
    my $r = get("$api/$uri");

    problem($r, 400, qr/must be .*\Q$must\E/, $uri);
    is decode($r)->{parameter}, $parameter, "$uri: the name";
}


# paths and methods

problem(get("$api/"), 404, qr/no such call/, 'no call');
problem(get("$api/got"), 404, qr/no such call/, 'another call');
problem(get("$api/get/x"), 404, qr/no such call/, 'below a call');
problem(get('/readget'), 404, qr/no such call/, 'a prefix without a slash');
is get('/read/get')->{status}, 200, 'a location without the last slash';

for my $case (['OPTIONS', 'get', 'GET, HEAD, PUT'],
              ['POST', 'get', 'GET, HEAD, PUT'],
              ['DELETE', 'time-frame', 'GET, HEAD'],
              ['PUT', 'export', 'GET, HEAD'])
{
    my ($method, $call, $allow) = @$case;
    my $r = get("$api/$call", method => $method);

    problem($r, 405, qr/no such method/, "$method $call");
    is $r->{headers}{allow}, $allow, "$method $call: what is allowed";
}

for my $uri ('get', 'get?limit=1', 'frequent-website', 'get?id=x') {
    my $full = get("$api/$uri");
    my $head = get("$api/$uri", method => 'HEAD', header_only => 1);

    is $head->{status}, $full->{status}, "HEAD $uri: status";
    is $head->{headers}{'content-length'}, $full->{headers}{'content-length'},
       "HEAD $uri: length";
    is $head->{headers}{link} // '', $full->{headers}{link} // '',
       "HEAD $uri: link";
}

{
    my $r = get("$api/get?limit=0", headers => [Accept => 'application/json']);

    is $r->{headers}{'content-type'}, 'application/json',
       'an error for a client that knows only JSON';
    is get("$api/get")->{headers}{'cache-control'}, 'no-store', 'not cached';
}


# keepalive, and many at a time

{
    my @results = $ngx->load(uri => "$api/get?limit=20", requests => 300,
                             concurrency => 40);

    is scalar(grep { $_->[0] != 200 } @results), 0, '40 clients at a time';
}


# a store that is replaced by another one

rename $db, "$db.aside" or die;
unlink "$db-wal", "$db-shm";
is put({ %$old, id => id(5) })->{status} =~ /^(201|503)$/ ? 1 : 0, 1,
   'a new store is made, or next time';
SmartServer::wait_for(sub { put({ %$old, id => id(5) })->{status} == 200 }, 5);
is_deeply ids(get("$api/get")), [id(5)], 'the new store is read';

$ngx->stop;


# configurations that are wrong

for my $case (
    ['smart_journal_store sqlite:%%DIR%%/j.db; server { location = /x { '
     . 'smart_journal_api; } }', qr/must be in a location given by a prefix/],
    ['smart_journal_store sqlite:%%DIR%%/j.db; server { location ~ x { '
     . 'smart_journal_api; } }', qr/must be in a location given by a prefix/],
    ['smart_journal_store sqlite:%%DIR%%/j.db; server { location /x { '
     . 'smart_journal_api wrote; } }', qr/"wrote".*it must be "write"/],
    ['smart_journal_store sqlite:%%DIR%%/j.db; server { location /x { '
     . 'smart_journal_api; smart_journal_api; } }', qr/is duplicate/],
    ['server { location /x { smart_journal_api; } }',
     qr/need a "smart_journal_store"/],
) {
    my ($conf, $message) = @$case;
    my ($status, $output) = SmartServer->test_config(conf => $conf);

    is $status, 1, 'refused';
    like $output, $message, "says $message";
}

done_testing;


sub get {
    my ($uri, %opt) = @_;

    my $c = $ngx->connect(addr => $ngx->addr(1));
    $c->request($uri, close => 1, %opt);

    my $head = $c->read_header or return { status => 0, headers => {} };
    my $body = $c->read_body(keep => 1 << 24);

    return { %$head, %$body };
}


sub put {
    my ($record, $uri) = @_;

    return raw_put($json->encode($record), $uri);
}


sub raw_put {
    my ($body, $uri) = @_;

    return get($uri // "$api/get", method => 'PUT', body => $body);
}


sub send_chunked {
    my ($body) = @_;

    my $c = $ngx->connect(addr => $ngx->addr(1));

    $c->send("PUT $api/get HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
             . "Transfer-Encoding: chunked\r\n\r\n"
             . sprintf("%x\r\n%s\r\n0\r\n\r\n", length $body, $body));

    my $head = $c->read_header or return { status => 0, headers => {} };

    return { %$head, %{ $c->read_body } };
}


sub record {
    my (%member) = @_;

    return $json->encode({ %$old, %member });
}


sub problem {
    my ($r, $status, $detail, $name) = @_;

    is $r->{status}, $status, "$name: status";
    is $r->{headers}{'content-type'} // '', 'application/problem+json',
       "$name: type";

    my $got = decode($r);

    is $got->{status}, $status, "$name: member status";
    like $got->{detail}, $detail, "$name: detail";
}


sub decode {
    my ($r) = @_;

    my $value = eval { $json->decode($r->{body} // '') };

    return $value // { error => $@, body => $r->{body} };
}


sub ids {
    my $list = decode(shift);

    return ref $list eq 'ARRAY' ? [map { $_->{id} } @$list] : $list;
}


# the ids of all pages, by the links of each

sub pages {
    my ($uri) = @_;

    my ($path) = $uri =~ /^([^?]*)/;
    my @ids;

    for (1 .. 400) {
        my $r = get($uri);
        my $page = ids($r);

        return $page if ref $page ne 'ARRAY';
        push @ids, @$page;

        my $link = $r->{headers}{link} or return \@ids;

        $link =~ /^<(\?[^>]*)>; rel="next"$/ or return "bad link $link";
        $uri = "$path$1";
    }

    return 'no end';
}


sub overlaps {
    my ($record, $from, $to) = @_;

    my $end = $record->{state} == 0 ? 9e18
            : $record->{us} + ($record->{duration} // 0);

    return $record->{us} <= $to && $end >= $from;
}


sub id {
    my ($n) = @_;

    return sprintf '01900000-0000-7000-8000-%012x', $n;
}


sub iso {
    my ($us) = @_;

    my @t = gmtime int($us / 1_000_000);

    return sprintf '%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', $t[5] + 1900,
                   $t[4] + 1, @t[3, 2, 1, 0], $us % 1_000_000;
}


# as the writer does; open ones of nobody would be swept

sub insert {
    my ($r) = @_;

    my ($site, $host) = $r->{url} =~ m{^(\w+://([^/]+))};
    my $id = $r->{id} =~ tr/-//dr;
    my $living = '(SELECT id FROM instances LIMIT 1)';
    my ($duration, $code) = map { $_ // 'NULL' } @$r{qw( duration code )};

    return "INSERT INTO requests (id, timestamp, duration, url, code, state,"
           . " method, host, website, instance) VALUES (x'$id', $r->{us},"
           . " $duration, '$r->{url}', $code, $r->{state}, '$r->{method}',"
           . " '$host', '$site', " . ($r->{state} == 0 ? $living : 'NULL')
           . ");"
           . "INSERT INTO websites VALUES ('$site', 1) ON CONFLICT (website)"
           . " DO UPDATE SET count = count + 1;"
           . "INSERT INTO urls VALUES ('$r->{url}', 1) ON CONFLICT (url)"
           . " DO UPDATE SET count = count + 1;";
}


sub sql {
    my ($text) = @_;

    open my $file, '>', "$db.sql" or die "$db.sql: $!";
    print $file $text;
    close $file;

    my $answer = qx{python3 -c '
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
text = open(sys.argv[1] + ".sql").read()
rows = []
for part in text.split(";"):
    rows += db.execute(part).fetchall()
db.close()
print(rows)
' '$db'};

    die "the statement failed" if $?;

    return $answer;
}
