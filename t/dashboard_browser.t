# The live page in a browser: what it shows is what smart_metrics says, and it
# stands what happens to a server.  Leaves screenshots in build/screenshots; with
# SMART_SCREENSHOTS=seconds, so long under load, they are worth showing.

use strict;
use warnings;

use FindBin;
use IO::Socket::INET;
use JSON::PP ();
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartBrowser;
use SmartMetrics;
use SmartServer;
use Time::HiRes qw( sleep );

plan skip_all => 'once is enough' if $ENV{SMART_TEST_ASAN};

my @modules = grep { m{/ngx_http_smart_module\.so$} }
              split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';
my $port = SmartServer::free_port();
my $page = "http://127.0.0.1:$port/smart/";
my $evil = $ENV{SMART_SCREENSHOTS} ? '/slow/' : '<img src=x onerror=alert(1)>';

SmartServer->upstream;

my %server = (modules => \@modules, workers => 2, conf => <<"CONF");
proxy_next_upstream off;
upstream u {
    server \$TEST_NGINX_UP1 max_fails=0;
    server \$TEST_NGINX_UP2 max_fails=0;
    server \$TEST_NGINX_UP3 max_fails=0;
}
server {
    listen 127.0.0.1:$port;
    server_name shop.example;

    location /smart/ { smart_dashboard; access_log off; }
    location = /metrics { smart_metrics; }
    location /api/ { smart_hedge 50ms; smart_hedge_budget off;
                     proxy_pass http://u; }
    location /search/ { smart_hedge 120ms extra=2; smart_hedge_budget 50%;
                        proxy_pass http://u; }
    location /slow/ { smart_timeout 150ms; smart_name '$evil';
                      proxy_pass http://u; }
}
CONF

my $ngx = SmartServer->start(%server);
my $browser = SmartBrowser->start;

$browser->open(url => $page);
ok($browser->wait('document.getElementById("state").dataset.state === "live"'),
   'the page is live') or BAIL_OUT($browser->error);

check_arithmetic();
check_numbers();
check_choices();
check_keyboard();
check_access();
check_reload();
check_death();
check_screenshots();
check_requests();

$browser->stop;
$ngx->stop;

done_testing;


sub well {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply([$browser->bad], [], "$name: no console error, nothing against policy");
}


sub get {
    my (%opt) = @_;

    return $ngx->get($opt{uri}, addr => "127.0.0.1:$port", %opt);
}


# what the page computes, of cases that can be done by hand

sub check_arithmetic {
    my $code = <<'JS';
(() => {
    const bounds = [1, 2, 3, 4];
    const h = list => {
        let sum = 0;
        return { sum: 0, buckets: list.map(n => sum += n) };
    };
    const sums = (all, cancelled, failed, rescued) => ({
        "nginx_smart_attempt_duration_seconds/primary": h(all),
        cancelled: h(cancelled), failed: h(failed), rescued: h(rescued),
        "nginx_smart_attempts_total/hedge": 1
    });
    const none = [0, 0, 0, 0, 0];
    const q = (s, p) => SmartData.latency({}, s, bounds, p);
    return {
        plain: q(sums([10, 10, 0, 0, 0], none, none, none), 0.75),
        /* half are cancelled in the third second, all others end by then */
        cut: q(sums([0, 50, 50, 0, 0], [0, 0, 50, 0, 0], none,
                    [0, 0, 50, 0, 0]), 0.9),
        /* of 40 that pass 2 s 20 end in the third, 20 are cancelled there */
        life: SmartData.waiting({}, sums([0, 60, 40, 0, 0], [0, 0, 20, 0, 0],
                                         none, none)),
        /* the failed one was rescued a second later */
        failed: SmartData.answered({}, sums([3, 0, 0, 0, 0], none,
                                            [1, 0, 0, 0, 0], [0, 1, 0, 0, 0])),
        over: q(sums([0, 0, 0, 0, 5], none, none, none), 0.5),
        empty: q(sums(none, none, none, none), 0.5)
    };
})()
JS

    my $got = $browser->value($code);

    is($got->{plain}{now}{value}, 1.5, 'a quantile is interpolated');
    is($got->{plain}{without}{value}, 1.5, 'the same without hedges');
    is_deeply($got->{cut}{now}, { value => 2.8, more => JSON::PP::false },
              'what hedges won counts when they did');
    is_deeply($got->{cut}{without}, { value => 2, more => JSON::PP::true },
              'without them it is longer than that was watched');
    is_deeply([map { sprintf '%.4f', $_ } @{ $got->{life} }],
              ['1.0000', '0.4000', '0.1333'],
              'a life table: 1 - 20 / (40 - 20 / 2) go on');
    is_deeply($got->{failed}, [2, 1, 0, 0, 0], 'a failure is no answer');
    is_deeply($got->{over}{now}, { value => 4, more => JSON::PP::true },
              'above all bounds');
    is($got->{empty}{now}, undef, 'nothing of nothing');
}


sub traffic {
    my @uris = ('/api/?s=ok') x 4;

    push @uris, map { "/api/?id=h$_&s=hang|ok" } 1 .. 3;
    push @uris, '/api/?id=f&s=status:503|ok', '/api/?id=g&s=status:500',
                '/search/?s=ok', '/search/?id=s&s=hang|ok', '/slow/?s=hang',
                '/slow/?s=ok';

    get(uri => $_) for @uris;
    get(uri => '/search/?id=p&s=delay:160;ok', method => 'POST', body => 'x');

    return @uris + 1;
}


sub settled {
    my ($n) = @_;

    return SmartMetrics->settle(sub {
        return $_[0]->value('requests_total') == $n && !$_[0]->identities;
    }, "127.0.0.1:$port", '/metrics');
}


sub number {
    my ($text) = @_;

    $text =~ s/,//g;

    return $text;
}


# the figures for one choice of locations

sub check_figures {
    my ($m, $name, @at) = @_;

    my %expected = (
        'requests-total' => $m->value('requests_total', @at),
        'errors-total' => $m->value('requests_total', @at, code => '5xx'),
        'in-flight' => 0,
        'hedges-total' => $m->value('attempts_total', @at, attempt => 'hedge'),
        'won-total' => $m->value('attempts_finished_total', @at,
                                 attempt => 'hedge', result => 'won'),
    );

    is(number($browser->text("#$_")), $expected{$_}, "$name: $_")
        for sort keys %expected;

    my %reasons;

    for my $reason ($m->values('suppressed_total', 'reason')) {
        my $n = $m->value('suppressed_total', @at, reason => $reason);

        $reasons{$reason} = $n if $n;
    }

    my $got = $browser->value('Object.fromEntries([...document.querySelectorAll('
        . '"#reasons [data-reason]")].map(e => [e.dataset.reason, '
        . 'Number(e.querySelector(".value").textContent)]))');

    is_deeply($got, \%reasons, "$name: hedges not sent, by reason");

    my $wasted = $m->value('wasted_seconds_total', @at);

    is($browser->text('#wasted-total'), seconds($wasted), "$name: wasted");
    is($browser->text('#saved-total'),
       seconds($m->value('saved_seconds_total', @at)), "$name: saved");
}


sub seconds {
    my ($s) = @_;

    return "\x{2013}" if !defined $s;
    return sprintf('%.0f', 1000 * $s) . ' ms' if $s < 0.9995 && $s >= 0.01;
    return (sprintf '%.3g', 1000 * $s) . ' ms' if $s < 0.01;
    return (sprintf '%.3g', $s) . ' s';
}


sub check_numbers {
    my $n = traffic();
    my $m = settled($n);

    ok($browser->wait("document.getElementById('requests-total').textContent === '$n'"
                . " && document.getElementById('in-flight').textContent === '0'"),
       'the page has them all') or diag $browser->error;

    check_figures($m, 'all');

    cmp_ok($m->value('suppressed_total'), '>', 0, 'some hedge was not sent');

    my @rows = map { [split /\t/] } $browser->texts('#peers tr');
    my %peers;

    for my $sample ($m->samples('peer_attempts_total')) {
        my ($peer, $result) = @{ $sample->[1] }{qw( peer result )};

        $peers{$peer}[0] += $sample->[2];
        $peers{$peer}[1] += $sample->[2] if $result =~ /failed|rejected/;
        $peers{$peer}[2] = $m->value('peer_lost_total', peer => $peer);
    }

    my %got = map { $_->[0] => [@$_[1 .. 3]] } @rows;

    is_deeply(\%got, { map { $_ => [map { $_ // 0 } @{ $peers{$_} }] }
                       grep { $peers{$_}[0] } keys %peers },
              'all: peers');

    my @shares = map { $_->[3] / ($_->[1] || 1) } @rows;

    is_deeply(\@shares, [reverse sort { $a <=> $b } @shares], 'the worst comes first');

    well('numbers');
}


sub check_choices {
    my $m = settled($browser->value('Number(document.getElementById('
                              . '"requests-total").textContent)'));

    is_deeply([$browser->texts('#where option')],
              ['All locations', sort('/api/', '/search/', $evil)],
              'the locations') or diag explain [$browser->texts('#where option')];

    for my $location ('/search/', '/api/', $evil) {
        $browser->choose('#where', $location);
        check_figures($m, $location, server => 'shop.example',
                      location => $location);
    }

    is($browser->value('document.images.length'), 1, 'a name is text');

    $browser->choose('#where', '/search/');
    is($browser->text('#delay'), '120 ms', 'the delay of one');
    $browser->choose('#where', 'All locations');
    is($browser->text('#delay'), "50 \x{2013} 120 ms", 'of all');

    is($browser->value('document.querySelectorAll("canvas").length'), 3, 'charts');
    like($browser->value('document.getElementById("chart-latency")'
                   . '.getAttribute("aria-label")'),
         qr/^p99 over time: now /, 'a chart in words');

    well('choices');
}


sub check_keyboard {
    $browser->value('document.activeElement.blur()');

    my @seen;

    for (1 .. 6) {
        $browser->press('Tab');
        push @seen, $browser->value('document.activeElement.id || '
            . 'document.activeElement.getAttribute("aria-labelledby")');
    }

    is_deeply(\@seen, [qw( where q99 theme peers-title locations-title ),
                       $seen[5]], 'all can be reached by keys')
        or diag explain \@seen;

    $browser->value('document.getElementById("q99").focus()');
    $browser->press('ArrowLeft');
    is($browser->text('#latency-q'), 'p95', 'the quantile, by an arrow key');
    $browser->press('ArrowRight');
    is($browser->text('#latency-q'), 'p99', 'and back');

    $browser->value('document.getElementById("theme").focus()');

    for my $dark ('true', 'false') {
        $browser->press('Space');
        is($browser->value('document.getElementById("theme")'
                     . '.getAttribute("aria-pressed")'), $dark,
           "dark colours: $dark");
        is($browser->value('getComputedStyle(document.body).backgroundColor'),
           $dark eq 'true' ? 'rgb(15, 18, 22)' : 'rgb(246, 247, 248)',
           'to be seen');
    }

    well('keyboard');
}


sub check_access {
    is_deeply([$browser->axe], [], 'axe: light');
    $browser->click('#theme');
    is_deeply([$browser->axe], [], 'axe: dark');
    $browser->click('#theme');

    is($browser->value('document.getElementById("state").getAttribute("role")'),
       'status', 'the state is told');
    is($browser->value('document.querySelectorAll("[aria-live],[role=status],'
                 . '[role=alert]").length'), 2, 'and little else');

    for my $width (1440, 1024, 768, 390, 320) {
        $browser->size($width, 800);
        cmp_ok($browser->value('document.documentElement.scrollWidth'), '<=', $width,
               "fits a width of $width");
    }

    $browser->size(1440, 900);
    cmp_ok($browser->value('document.documentElement.scrollHeight'), '<=', 900,
           'fits one screen');

    well('access');
}


sub live {
    my ($name) = @_;

    ok($browser->wait('document.getElementById("state").dataset.state === "live"',
                15), $name) or diag $browser->error;
}


sub check_reload {
    my $before = $browser->text('#requests-total');
    my $old = $browser->value('performance.now()');

    ok($ngx->reload, 'nginx is reloaded');

    sleep 2.5;

    is($browser->text('#state'), 'Live', 'the page does not notice');
    is($browser->text('#requests-total'), $before, 'nor do the numbers');
    is($browser->value('document.getElementById("notice").hidden'), JSON::PP::true,
       'nothing is said of it');

    get(uri => '/api/?s=ok');
    ok($browser->wait("document.getElementById('requests-total').textContent === '"
                . ($before + 1) . "'"), 'and it goes on');
    well('reload');
}


sub check_death {
    $ngx->stop;

    ok($browser->wait('document.getElementById("state").dataset.state === "lost"'),
       'nginx is stopped: the page notices');
    like($browser->text('#state'),
         qr/^The server is not reachable since \d\d:\d\d:\d\d, trying again$/,
         'and says so');
    ok($browser->value('document.body.classList.contains("stale")'),
       'what it shows is no longer of now');
    like($browser->value('document.title'), qr/no answer/, 'told in the title');

    my @bad = grep { !/Failed to load resource: net::ERR_CONNECTION_REFUSED/ }
              $browser->bad;
    is_deeply(\@bad, [], 'nothing but what the browser itself says of it');

    # one that listens and does not answer

    my $silent = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port",
                                       Listen => 8, ReuseAddr => 1)
        or die "listen: $!";

    ok($browser->wait('/does not answer/.test('
                . 'document.getElementById("state").textContent)', 25),
       'a server that is silent') or diag $browser->text('#state');
    close $silent;

    $ngx = SmartServer->start(%server);

    live('it is live again, by itself');
    ok(!$browser->value('document.body.classList.contains("stale")'), 'and fresh');
    is($browser->text('#notice'), 'The counters began again.',
       'the new nginx counts anew');
    is($browser->value('document.title'), 'nginx smart', 'the title');

    @bad = grep { !/Failed to load resource/ } $browser->bad;
    is_deeply(\@bad, [], 'no console error but of the network');

    my $n = traffic();

    ok($browser->wait("document.getElementById('requests-total').textContent"
                . " === '$n'"), 'it counts on');
    check_figures(settled($n), 'after it');
    well('recovery');
}


# light and dark, large and small

sub check_screenshots {
    my $seconds = $ENV{SMART_SCREENSHOTS} || 0;
    my $dir = "$FindBin::Bin/../build/screenshots";

    SmartServer::make_dir($dir);

    my $end = time + $seconds;

    for my $row (['light'], ['dark', dark => 1],
                 ['phone', width => 390, height => 844, scale => $seconds ? 1 : 2])
    {
        my ($name, @opt) = @$row;

        $browser->open(url => $page, @opt);
        live("$name: the page is live");

        $seconds ? load($end) : load(time + 1);
        $end = time + $seconds;

        $browser->shot("$dir/$name.png", $name eq 'phone');
        cmp_ok(-s "$dir/$name.png", '>', 20_000, "$name: a screenshot");
        well($name);
    }
}


# nine of ten are quick, and one waits for a peer that is slow

sub load {
    my ($end) = @_;

    my $n = 0;

    while (time < $end) {
        $ngx->load(addr => "127.0.0.1:$port", requests => 60,
                   concurrency => 6, uri => sub {
            my $ms = rand() < 0.9 ? 10 + int rand 30 : 150 + int rand 400;
            my $s = rand() < 0.01 ? 'status:503' : "delay:$ms;ok";
            my $at = rand() < 0.75 ? 'api' : rand() < 0.8 ? 'search' : 'slow';

            $n++;
            return "/$at/?id=$$.$end.$n&s=$s|delay:20;ok";
        });
    }
}


sub check_requests {
    my @elsewhere = grep { index($_, $page) } $browser->requests;

    is_deeply(\@elsewhere, [], 'nothing is asked of others');
}
