#!/usr/bin/perl

# What a request that waits for its upstream costs in memory: resident memory of
# one worker before and after N (1000) requests, divided by N.
#
#     ./build.sh bench memory
#
# The cases, each of which is an nginx of its own, take turns in ROUNDS rounds;
# medians count:
#
#     plain   nginx without the module
#     on      smart_hedge, with metrics, and nothing is hedged
#     three   each request has three attempts
#
# Fails where on takes above 512 bytes more than plain, or three above twice as
# much as plain.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use SmartServer;

use constant { N => 1000, ROUNDS => 3 };

my @ours = split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';

my @cases = (
    ['plain', [], 'proxy_pass http://u;'],
    ['on', \@ours, 'smart_hedge 60s; proxy_pass http://u;'],
    ['three', \@ours, 'smart_hedge 0 extra=2; smart_hedge_budget off;
                       proxy_pass http://u;'],
);

SmartServer->upstream;

my %bytes;

for (1 .. ROUNDS) {
    push @{ $bytes{$_->[0]} }, measure(@$_) for @cases;
}

my %median = map { $_ => median(@{ $bytes{$_} }) } keys %bytes;
my $failed = 0;

for my $case (@cases) {
    my $name = $case->[0];

    printf "%-6s %7d bytes a waiting request, %.2f of plain\n", $name,
        $median{$name}, $median{$name} / $median{plain};
}

if ($median{on} > $median{plain} + 512) {
    print "on: more than 512 bytes above plain\n";
    $failed = 1;
}

if ($median{three} > 2 * $median{plain}) {
    print "three: more than twice as much as plain\n";
    $failed = 1;
}

exit $failed;


sub measure {
    my ($name, $modules, $location) = @_;

    local $ENV{TEST_NGINX_LOAD_MODULES} = join ' ', @$modules;

    my $metrics = $location =~ /smart/
                ? 'location = /metrics { smart_metrics; }' : '';

    my $ngx = SmartServer->start(connections => 16384, conf => <<"CONF");
access_log off;
proxy_read_timeout 60s;
upstream u {
    server \$TEST_NGINX_UP1;
    server \$TEST_NGINX_UP2;
    server \$TEST_NGINX_UP3;
}
server {
    listen 127.0.0.1:%%PORT%%;
    location / { $location }
    $metrics
}
CONF

    my ($pid) = $ngx->worker_pids;
    my $attempts = $location =~ /extra=2/ ? 3 : 1;

    # what is allocated once
    my @clients = waiting($ngx, 20, $attempts);
    my $before = $ngx->rss_kb($pid);

    push @clients, waiting($ngx, N, $attempts);

    my $after = $ngx->rss_kb($pid);

    $_->close for @clients;
    SmartServer->ctl('reset?close=1');
    $ngx->kill;

    return ($after - $before) * 1024 / N;
}


# clients whose requests have all their attempts at the upstream

sub waiting {
    my ($ngx, $n, $attempts) = @_;

    my @clients;
    my $busy = SmartServer->ctl('busy?ms=0') + 0;

    for (1 .. $n) {
        my $c = $ngx->connect(timeout => 60);

        $c->request('/?s=hang');
        push @clients, $c;
    }

    SmartServer::wait_for(sub {
        return SmartServer->ctl('busy?ms=0') >= $busy + $n * $attempts;
    }, 120) or die "not all of the attempts have come\n";

    return @clients;
}


sub median {
    my @sorted = sort { $a <=> $b } @_;

    return $sorted[@sorted / 2];
}
