# The journal's section of the live page, in a browser: what it lists and finds
# is what the journal has, whatever its urls look like.

use strict;
use warnings;

use FindBin;
use JSON::PP ();
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartBrowser;
use SmartServer;

plan skip_all => 'once is enough' if $ENV{SMART_TEST_ASAN};
plan skip_all => 'no journal module'
    if ($ENV{TEST_NGINX_LOAD_MODULES} // '') !~ /journal/;

my $ngx = SmartServer->start(conf => <<'CONF');
smart_journal_store sqlite:%%DIR%%/journal.db retain=off;
server {
    listen 127.0.0.1:%%PORT%%;
    location /smart/ { smart_dashboard; }
    location /api/v1/requests/ { smart_journal_api write; }
}
CONF

if ($ngx->get('/smart/', addr => $ngx->addr(1))->{status} != 200) {
    plan skip_all => 'built without the page';
}

my $page = 'http://' . $ngx->addr(1) . '/smart/';
my $browser = SmartBrowser->start;

$browser->open(url => $page);
ok $browser->wait('document.getElementById("journal").hidden === false'),
   'the section is there' or BAIL_OUT($browser->error);
is rows(), 0, 'nothing yet';

for my $n (1 .. 45) {
    put($n, url => $n == 45 ? 'http://a/<img src=x onerror=alert(1)>'
                            : 'http://host' . $n % 3 . "/p/$n",
        code => $n % 5 ? 200 : 404);
}

ok $browser->wait('document.querySelectorAll("#journal-rows tr").length === 20'),
   'the latest come by themselves';
like $browser->text('#journal-rows tr:first-child td.url'), qr{^http://a/<img%20src},
     'the newest first, as text';

$browser->click('#journal-more');
ok $browser->wait('document.querySelectorAll("#journal-rows tr").length === 40'),
   'more';
$browser->click('#journal-more');
ok $browser->wait('document.querySelectorAll("#journal-rows tr").length === 45'
                  . ' && document.getElementById("journal-more").hidden'),
   'all of them';

search(url => 'HOST1/', 15);
search(code => '404', 9);
search(state => 'aborted', 0);
search(url => 'p/7', 1);
search(from => '2030-01-01T00:00', 0);
search(to => '2030-01-01T00:00', 45);

fill(code => '999');
$browser->click('#journal-search button[type=submit]');
ok $browser->wait('document.getElementById("journal-note").textContent'
                  . '.includes("\"code\" must be")'), 'what is wrong is told';

$browser->click('#journal-search button[type=reset]');
ok $browser->wait('document.querySelectorAll("#journal-rows tr").length === 20'),
   'the latest again';

is_deeply [$browser->axe], [], 'axe';
is_deeply [grep { !/status of 400/ } $browser->bad], [], 'no error in the page';

$ngx->stop;

done_testing;


sub put {
    my ($n, %o) = @_;

    my $r = $ngx->get('/api/v1/requests/get', addr => $ngx->addr(1),
        method => 'PUT', body => JSON::PP::encode_json({
            id => sprintf('01900000-0000-4000-8000-%012x', $n),
            timestamp => 1_700_000_000 + $n, duration => 0.5,
            target_url => $o{url}, response_code => $o{code},
        }));

    die "PUT: $r->{status}" if $r->{status} != 201;
}


sub rows {
    return $browser->value(
        'document.querySelectorAll("#journal-rows tr").length');
}


sub fill {
    my ($name, $value) = @_;

    $browser->value("(document.querySelector('#journal-search').elements"
                    . "['$name'].value = '$value', 1)");
}


sub search {
    my ($name, $value, $expected) = @_;

    $browser->value('(document.querySelectorAll("#journal-search input,'
                    . ' #journal-search select").forEach(e => e.value = ""), 1)');
    fill($name, $value);
    $browser->click('#journal-search button[type=submit]');

    my $there = $expected > 20 ? 20 : $expected;

    ok $browser->wait("document.getElementById('journal-note').textContent"
                      . ".startsWith('$there found')"),
       "$name=$value: $there are found";
    is rows(), $there, "$name=$value: rows";
}
