# What smart_schema says of the journal's API: redocly has nothing to say
# against it, and live answers are as it promises.

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

my $ngx = SmartServer->start(conf => <<'CONF');
smart_journal_store sqlite:%%DIR%%/journal.db retain=off;
server {
    listen 127.0.0.1:%%PORT%%;
    location = /schema { smart_schema; }
    location /api/v1/requests/ { smart_journal_api write; }
    location "/re ad" { smart_journal_api; }
}
server {
    listen 127.0.0.1:%%PORT_2%%;
    location = /schema { smart_schema; }
}
CONF

my $text = $ngx->get('/schema', addr => $ngx->addr(1))->{body};
my $doc = JSON::PP::decode_json($text);
my @calls = qw( export frequent-website get time-frame );

is_deeply [sort keys %{ $doc->{paths} }],
          [sort "/schema", map { ("/api/v1/requests/$_", "/re%20ad/$_") }
                            @calls],
          'the calls of both locations';
ok $doc->{paths}{'/api/v1/requests/get'}{put}, 'PUT with write';
ok !$doc->{paths}{'/re%20ad/get'}{put}, 'no PUT without';

my %ids;
$ids{$_}++ for map { $_->{operationId} }
               map { grep { ref eq 'HASH' } values %$_ }
               values %{ $doc->{paths} };
is_deeply [grep { $ids{$_} > 1 } keys %ids], [], 'no operation by two names';

is_deeply [keys %{ JSON::PP::decode_json(
                       $ngx->get('/schema', addr => $ngx->addr(2))->{body})
                   ->{paths} }], ['/schema'], 'a server without it';

my $file = $ngx->dir . '/schema.json';

open my $out, '>', $file or die "$file: $!";
print $out $text;
close $out;

my $lint = qx{node '$ENV{NODE_PATH}/\@redocly/cli/bin/cli.js' lint \\
              --extends recommended --skip-rule info-license '$file' 2>&1};

is $? >> 8, 0, 'redocly' or diag $lint;
unlike $lint, qr/\d+ warning/, 'no warning' or diag $lint;

my $url = 'http://' . $ngx->addr(1);
my @lines = qx{node '$FindBin::Bin/lib/journal_contract.js' $url /schema \\
               /api/v1/requests 2>&1};

ok scalar(grep { /^ok/ } @lines) > 80, 'the contract is gone through';
is_deeply [grep { !/^ok|^1\.\./ } @lines], [], 'live answers are as promised';

$ngx->stop;

done_testing;
