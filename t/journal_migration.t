# What the README says to whoever comes from webcheck, run as it stands there:
# records of the old database move over, as often as one likes.

use strict;
use warnings;

use FindBin;
use JSON::PP ();
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartServer;

plan skip_all => 'once is enough' if $ENV{SMART_TEST_ASAN};
plan skip_all => 'no journal module'
    if ($ENV{TEST_NGINX_LOAD_MODULES} // '') !~ /journal/;

my $readme = SmartServer::slurp("$FindBin::Bin/../README.md");
my ($section) = $readme =~ /^## From webcheck\n(.*?)^## /ms;
my @snippets = ($section // '') =~ /^```sh\n(.*?)^```/msg;

is scalar @snippets, 1, 'the section has one snippet';

my $ngx = SmartServer->start(conf => <<'CONF');
smart_journal_store sqlite:%%DIR%%/journal.db retain=off;
server {
    listen 127.0.0.1:%%PORT%%;
    location /api/v1/requests/ { smart_journal_api write; }
}
CONF

my $dir = $ngx->dir;
my $addr = $ngx->addr;
my $snippet = $snippets[0] // '';

is $snippet =~ s/127\.0\.0\.1:5001/$addr/g, 1, 'which names the API';

# as the old program made it

my @old = map { {
    id => sprintf('%08x-1111-4111-8111-%012x', $_, $_),
    timestamp => 1_700_000_000 + $_ / 4,
    duration => $_ / 8,
    url => "http://host$_.example/a?q=it's \"$_\"&token=$_",
    code => (200, 404, 500)[$_ % 3],
} } 1 .. 40;

my $old = join '', 'CREATE TABLE requests (id TEXT PRIMARY KEY, timestamp TEXT,'
    . ' duration REAL, target_url TEXT, response_code INTEGER);',
    map {
        my $url = $_->{url} =~ s/'/''/gr;

        "INSERT INTO requests VALUES ('$_->{id}', '$_->{timestamp}',"
        . " $_->{duration}, '$url', $_->{code});"
    } @old;

SmartServer::spew("$dir/old.sql", $old);
is system("cd '$dir' && sqlite3 old.db < old.sql"), 0, 'an old database';

SmartServer::spew("$dir/snippet.sh", $snippet);

for my $status (201, 200) {
    my $said = qx{cd '$dir' && sh snippet.sh 2>&1};

    like $said, qr/^\s*40 $status$/, "all are $status" or diag $said;
}

my $r = $ngx->get('/api/v1/requests/get?limit=1000', keep => 1 << 20);
my %got = map { $_->{id} => $_ } @{ JSON::PP::decode_json($r->{body}) };

is scalar keys %got, scalar @old, 'all of them are there';

for my $record (@old[0, 20, 39]) {
    my $got = $got{ $record->{id} } // {};
    my @t = gmtime int $record->{timestamp};
    my $us = ($record->{timestamp} - int $record->{timestamp}) * 1e6;

    is $got->{timestamp}, sprintf('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ',
                                  $t[5] + 1900, $t[4] + 1, @t[3, 2, 1, 0], $us),
       'when';
    cmp_ok $got->{duration}, '==', $record->{duration}, 'how long';
    cmp_ok $got->{response_code}, '==', $record->{code}, 'the answer';
    like $got->{target_url}, qr{^http://host\d+\.example/a\?q=it's%20.*
                                &token=REDACTED$}x, 'where, without a secret';
}

$ngx->stop;

done_testing;
