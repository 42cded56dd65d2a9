# smart_dashboard: how the live page is served, and its data.  What it does in
# a browser is in t/dashboard_browser.t.

use strict;
use warnings;

use FindBin;
use JSON::PP ();
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartServer;
use SmartMetrics;

my @modules = grep { m{/ngx_http_smart_module\.so$} }
              split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';

SmartServer->upstream;

# more than one buffer holds
my $many = join '', map {
    "location = /many/$_ { smart_hedge 1s; proxy_pass http://u; }\n"
} 1 .. 60;

my $journal = 'nginx_smart_journal_records_total{event="begin"} 3';
my $api = JSON::PP->new->canonical->encode({
    paths => { '/api/v1/requests/export' => {},
               '/api/v1/requests/get' => { get => {} } },
});

my $ngx = SmartServer->start(modules => \@modules, conf => <<"CONF");
smart_hedge_budget off;
upstream u {
    server \$TEST_NGINX_UP1 max_fails=0;
    server \$TEST_NGINX_UP2 max_fails=0;
}
server {
    listen 127.0.0.1:%%PORT%%;
    server_name shop.example;

    location = /metrics { smart_metrics; }
    location /smart/ { smart_dashboard; }
    location /live { smart_dashboard; }
    location "/w ide/" { location "/w ide/\xc3\xa9" { smart_dashboard; } }

    location /a { smart_hedge 40ms extra=2; proxy_pass http://u; }
    location /b { smart_timeout 100ms; proxy_pass http://u; }
    location /c { smart_name 'a "name" \\\\ <b> \t'; smart_hedge 1s;
                  proxy_pass http://u; }
    $many
}
server {
    listen 127.0.0.1:%%PORT_2%%;
    location / { smart_dashboard; }
    set \$smart_journal_metrics '$journal';
    set \$smart_journal_schema '$api';
}
server {
    listen 127.0.0.1:%%PORT_3%%;
    location / { smart_dashboard; }
    set \$smart_journal_metrics '$journal';
}
CONF

check_places();
check_files();
check_data();
check_journal();
check_slow_client();

$ngx->stop;

check_configuration();

done_testing;


sub check_places {
    for my $row (
        ['/smart' => 301, '/smart/'],
        ['/smart/' => 200],
        ['/smart/x' => 404],
        ['/smart//' => 200],
        ['/smart/data.jso' => 404],
        ['/smart/data.json/' => 404],
        ['/smart/page.css' => 200],
        ['/smart/../smart/page.js' => 200],
        ['/live' => 301, '/live/'],
        ['/live/' => 200],
        ['/live/icon.svg' => 200],
        ['/livex' => 404],
        ['/live/live/' => 404],
        ['/w%20ide/%C3%A9' => 301, '/w%20ide/%C3%A9/'],
        ['/w%20ide/%C3%A9/page.js' => 200],
    ) {
        my ($uri, $status, $location) = @$row;
        my $got = $ngx->get($uri);

        is($got->{status}, $status, "GET $uri");
        is($got->{headers}{location}, 'http://localhost:' . $ngx->port . $location,
           "$uri goes to $location") if $location;
    }

    for my $method (qw( POST PUT DELETE OPTIONS )) {
        for my $uri ('/smart/', '/smart/data.json', '/live') {
            is($ngx->get($uri, method => $method)->{status}, 405,
               "$method $uri");
        }
    }
}


sub check_files {
    my %types = (
        '' => 'text/html; charset=utf-8',
        'page.css' => 'text/css; charset=utf-8',
        'uplot.css' => 'text/css; charset=utf-8',
        'page.js' => 'text/javascript; charset=utf-8',
        'data.js' => 'text/javascript; charset=utf-8',
        'chart.js' => 'text/javascript; charset=utf-8',
        'journal.js' => 'text/javascript; charset=utf-8',
        'uplot.js' => 'text/javascript; charset=utf-8',
        'uplot.txt' => 'text/plain; charset=utf-8',
        'icon.svg' => 'image/svg+xml',
    );

    my %etags;

    for my $name (sort keys %types) {
        my $got = $ngx->get("/smart/$name");
        my $headers = $got->{headers};

        is($got->{status}, 200, "\"$name\"");
        is($headers->{'content-type'}, $types{$name}, "\"$name\": type");
        is($headers->{'cache-control'}, 'no-cache', "\"$name\": asked again");
        is($headers->{'x-content-type-options'}, 'nosniff',
           "\"$name\": nosniff");
        is($headers->{'content-length'}, $got->{size}, "\"$name\": length");
        like($headers->{'content-security-policy'}, qr/^default-src 'none';/,
             "\"$name\": policy");
        unlike($headers->{'content-security-policy'},
               qr/unsafe|\*|https?:|data:/, "\"$name\": and a strict one");

        my $etag = $headers->{etag};

        ok(!$etags{$etag}++, "\"$name\": an ETag of its own");

        my $again = $ngx->get("/smart/$name",
                              headers => ['If-None-Match' => $etag]);
        is($again->{status}, 304, "\"$name\": not twice");
        is($again->{size}, 0, "\"$name\": no body");

        my $c = $ngx->connect;
        $c->request("/smart/$name", method => 'HEAD', header_only => 1);
        is($c->read_header->{headers}{'content-length'}, $got->{size},
           "\"$name\": HEAD");

        is($got->{body}, slurp($name), "\"$name\": as it is")
            if $name ne '' && $name !~ /^uplot/;
    }

    my $html = $ngx->get('/smart/')->{body};

    is($html, slurp('page.html'), 'the page: as it is');

    for my $name ($html =~ /(?:src|href)="([^"]*)"/g) {
        ok($types{$name}, "the page names $name, which there is");
    }

    unlike($html, qr/<script(?![^>]*\bsrc=)|\bon[a-z]+=|<style|\bstyle=/i,
           'the page: nothing inline');
    unlike(slurp($_), qr/innerHTML|outerHTML|insertAdjacent|document\.write|eval\(/,
           "$_: text only") for grep { /\.js$/ && !/uplot/ } keys %types;
}


sub slurp {
    my ($name) = @_;

    return SmartServer::slurp("ngx_smart_module/pages/$name");
}


sub data {
    my ($addr, %opt) = @_;

    my $got = $ngx->get('/data.json', addr => $addr, keep => 1 << 22, %opt);

    is($got->{status}, 200, 'data');
    is($got->{headers}{'content-type'}, 'application/json', 'data: JSON');
    is($got->{headers}{'cache-control'}, 'no-store', 'data: of now');
    is($got->{headers}{'x-content-type-options'}, 'nosniff', 'data: nosniff');

    return JSON::PP::decode_json($got->{body});
}


# the same numbers as smart_metrics has, all of them

sub check_data {
    $ngx->get($_) for '/a?s=ok', '/a?id=a&s=hang|ok', '/b?s=hang', '/c?s=ok',
                      '/a?id=b&s=status:503|ok', '/c?s=status:404',
                      '/a?id=c&s=hang|delay:90;ok|hang', '/many/7?s=ok';

    my $m = SmartMetrics->settle(sub {
        return $_[0]->value('requests_total') == 8 && !$_[0]->identities;
    }, $ngx->addr, '/metrics');

    my $data = data($ngx->addr(2));

    is_deeply([map { 0 + $_ } @{ $data->{bounds} }],
              [map { 0 + $_ } grep { $_ ne '+Inf' } @SmartMetrics::BOUNDS],
              'bounds');
    is(scalar @{ $data->{locations} }, 63, 'locations');
    is(scalar(grep { $_->{location} eq "a \"name\" \\ <b> \t" }
              @{ $data->{locations} }), 1, 'a name as it is');

    my (%from_data, %from_metrics);

    flatten(\%from_data, $_, 'server', 'location') for @{ $data->{locations} };
    flatten(\%from_data, $_, 'upstream', 'peer') for @{ $data->{peers} };
    flatten(\%from_data, { map { $_ => $data->{$_} }
                           grep { /^nginx_smart/ } keys %$data });

    for my $sample (@{ $m->{samples} }) {
        my ($name, $labels, $value, undef, $names) = @$sample;
        my $le = $labels->{le};

        $name =~ s/_bucket$//;
        $name =~ s/(duration_seconds)_(sum|count)$/$1/ and $le = $2;

        $from_metrics{join "\0", $name, (map { $labels->{$_} }
                                         grep { $_ ne 'le' } @$names),
                                 defined $le ? $le : ()}
            = $value eq '+Inf' ? 'none' : 0 + $value;
    }

    # bytes there, characters here
    %from_data = map { my $key = $_; utf8::encode($key);
                       $key => $from_data{$_} } keys %from_data;

    is(scalar keys %from_data, scalar keys %from_metrics, 'as many numbers');
    is_deeply(\%from_data, \%from_metrics, 'the same numbers');

    my ($a) = grep { $_->{location} eq '/a' } @{ $data->{locations} };

    is($a->{cancelled}{buckets}[-1],
       $a->{'nginx_smart_attempts_finished_total/primary/cancelled'},
       'primaries cancelled');
    is($a->{failed}{buckets}[-1],
       $a->{'nginx_smart_attempts_finished_total/primary/failed'}
       + $a->{'nginx_smart_attempts_finished_total/primary/rejected'},
       'primaries failed');
    is($a->{rescued}{buckets}[-1],
       $a->{'nginx_smart_attempts_finished_total/hedge/won'}, 'hedges won');
    is($a->{rescued}{buckets}[-1], 3, 'three of them');
    cmp_ok($a->{rescued}{sum}, '>=', 0.17, 'as old as the primaries are');
    cmp_ok($a->{cancelled}{sum}, '<=', $a->{rescued}{sum} + 0.005,
           'which were cancelled then');
}


sub flatten {
    my ($all, $object, @labels) = @_;

    my @values = map { $object->{$_} } @labels;

    for my $key (grep { /^nginx_smart/ } keys %$object) {
        my ($name, @more) = split m{/}, $key, 3;
        my $value = $object->{$key};
        my $full = join "\0", $name, @values, @more;

        if (!ref $value) {
            $all->{$full} = defined $value ? 0 + $value : 'none';
            next;
        }

        my @buckets = @{ $value->{buckets} };

        $all->{"$full\0$SmartMetrics::BOUNDS[$_]"} = $buckets[$_]
            for 0 .. $#buckets;
        $all->{"$full\0sum"} = 0 + $value->{sum};
        $all->{"$full\0count"} = $buckets[-1];
    }
}


sub check_journal {
    my $data = data($ngx->addr(2));

    is_deeply($data->{journal},
              { metrics => $journal, api => '/api/v1/requests/get' },
              'the journal, and where it is asked');

    $data = data($ngx->addr(3));
    is_deeply($data->{journal}, { metrics => $journal, api => undef },
              'the journal without its API');

    my $got = $ngx->get('/smart/data.json', keep => 1 << 22);
    is(JSON::PP::decode_json($got->{body})->{journal}, undef, 'no journal');
}


sub check_slow_client {
    my @pids = $ngx->worker_pids;

    # where nginx keeps connections to upstreams they are among these
    my $rest = $ngx->fds($pids[0]);

    my $whole = $ngx->get('/smart/data.json', keep => 1 << 22);

    cmp_ok($whole->{size}, '>', 2 * 65536, 'several buffers');
    is($whole->{complete}, 1, 'complete');

    my $c = $ngx->connect(rcvbuf => 4096);
    $c->request('/smart/data.json', close => 1);
    is($c->read_header->{status}, 200, 'a slow client');
    my $body = $c->read_body(rate => 400_000, keep => 1 << 22);
    is($body->{complete}, 1, 'gets it whole');
    is(scalar @{ JSON::PP::decode_json($body->{body})->{locations} }, 63,
       'with all locations');

    $c = $ngx->connect(rcvbuf => 4096);
    $c->request('/smart/data.json');
    $c->read_header;
    $c->reset;

    $c = $ngx->connect;
    $c->request('/smart/data.json', method => 'HEAD', header_only => 1);
    is($c->read_header->{status}, 200, 'HEAD');
    $c->close;

    ok(SmartServer::wait_for(sub { $ngx->fds($pids[0]) <= $rest }, 2),
       'nothing is left of one that went away')
        or diag $ngx->fds($pids[0]) . " after $rest";
}


sub check_configuration {
    for my $row (
        ['location = /x { smart_dashboard; }', qr/needs a prefix location, .* not "\/x"/],
        ['location ~ /x { smart_dashboard; }', qr/needs a prefix location/],
        ['location @x { smart_dashboard; }', qr/needs a prefix location/],
        ['location /x { smart_dashboard; smart_dashboard; }',
         qr/"smart_dashboard" directive is duplicate/],
        ['location /x { smart_dashboard on; }', qr/invalid number of arguments/],
        ['smart_dashboard;', qr/"smart_dashboard" directive is not allowed/],
    ) {
        my ($text, $like) = @$row;
        my ($code, $output) = SmartServer->test_config(modules => \@modules,
                                                conf => "server { $text }");

        isnt($code, 0, $text);
        like($output, $like, "$text: why");
    }
}
