# What the module must not change: as long as no hedge is sent, an answer is
# byte by byte what nginx gives without it, and so is the access log. Servers
# with the same locations, with the module's directives in different states,
# answer the same requests as one without them: of an nginx without the module,
# where it can be left out.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartServer;
use SmartCompare;

SmartServer->upstream;
$ENV{TEST_NGINX_DEAD} = SmartServer::dead_addr();

my %smart = (
    off     => 'smart_hedge off; smart_timeout off;',
    timeout => 'smart_timeout 60s;',
    idle    => 'smart_hedge 60s; smart_timeout 60s;',
    bodies  => 'smart_hedge 60s; smart_hedge_methods GET HEAD POST PUT;',
    denied  => 'smart_hedge 1ms; smart_hedge_peer other;',
    dry     => 'smart_hedge 1ms; smart_hedge_dry_run on;
                smart_hedge_budget off;',
);

my ($unknown) = SmartServer->test_config(conf => 'smart_hedge_dry_run on;');
my @names = (qw( off timeout idle bodies denied ), $unknown ? () : 'dry');
my $port = 0;
my %port = map { $_ => ++$port } @names;

my $conf = SmartCompare::http();

for my $name (@names) {
    $conf .= SmartCompare::server(
        name => $name, port => $port{$name},
        smart => "access_log %%DIR%%/logs/smart_$name.log smart;\n"
                 . $smart{$name});
}

my $ngx = SmartServer->start(conf => $conf, files => SmartCompare::files());
my $plain = plain_server();

# the same tags, whatever the second in which each of them was started
for my $dir ($ngx->dir, $plain->{ngx}->dir) {
    utime 1577836800, 1577836800,
        map { "$dir/$_" } keys %{ SmartCompare::files() };
}

compare($_) for SmartCompare::cases();

seen('idle', qr/ primary attempts=1 /, 100);
seen('bodies', qr/ primary attempts=1 /, 100);
seen('denied', qr/ suppressed=no_peer/, 10);
unseen('denied', qr/ attempts=[2-9]/);
unseen('dry', qr/ attempts=[2-9]/) if !$unknown;
unseen('off', qr/ attempts=[1-9]/);

$ngx->stop;
$plain->{ngx}->stop if $plain->{ngx} != $ngx;

done_testing;


# the module is left out where it is loaded, and off where it is linked

sub plain_server {
    my $modules = $ENV{TEST_NGINX_LOAD_MODULES} // '';

    return { ngx => $ngx, name => 'off', port => $port{off} }
        if $modules !~ /ngx_http_smart_module/;

    local $ENV{TEST_NGINX_LOAD_MODULES} = '';

    my $text = SmartCompare::http()
             . SmartCompare::server(name => 'plain', port => 1);

    $text =~ s/^log_format smart .*?;\n//ms;

    return { name => 'plain', port => 1,
             ngx => SmartServer->start(conf => $text, modules => [],
                                       files => SmartCompare::files()) };
}


sub compare {
    my ($case) = @_;

    my $name = $case->{name};
    my @want = SmartCompare::ask($plain->{ngx}->addr($plain->{port}), $case);
    my @log = lines($plain->{ngx}, $plain->{name}, $case, scalar @want);

    like($want[-1], qr{^HTTP/1\.1 $case->{status} }m, "$name: status");
    like($want[-1], $case->{has}, "$name: content") if $case->{has};

    for my $state (@names) {
        next if $state eq $plain->{name} && $ngx == $plain->{ngx};
        next if $state eq 'bodies' && $case->{stream}
                && $case->{uri} =~ /stream/;

        my @got = SmartCompare::ask($ngx->addr($port{$state}), $case);

        my $more = $case->{fails} && $state =~ /^(?:idle|bodies)$/;

        is_deeply([one(@got)], [one(@want)], "$name: $state") if $more;
        is_deeply(\@got, \@want, "$name: $state") if !$more;

        my @got_log = lines($ngx, $state, $case, scalar @got);
        my @want_log = @log;

        # more of the same where a failure lets the next one start at once
        if ($more) {
            s/(?:\|[^|]*){3}\n\z//, s/(\|\d+)\|\d+\|\d+\|/$1|/
                for @got_log, @want_log;
        }

        is_deeply(\@got_log, \@want_log, "$name: $state, log");
    }
}


# an answer that shows $upstream_status

sub one {
    return map {
        s/\b(5\d\d), \1\b/$1/gr =~ s/^Content-Length: \d+/Content-Length: n/mr
    } @_;
}


sub lines {
    my ($server, $name, $case, $count) = @_;

    my @lines = map { s/_$name\b//gr }
                SmartCompare::logged($server, $name, $case->{name}, $count);

    # what is echoed has the number of the connection
    if (($case->{script} // '') eq 'echo') {
        s/(?<=\|)\d{3,}(?=\|)/n/g for @lines;
    }

    return @lines;
}


sub seen {
    my ($state, $re, $least) = @_;

    my @lines = grep { $_ =~ $re }
                split /^/, SmartServer::slurp($ngx->dir
                                              . "/logs/smart_$state.log");

    cmp_ok(scalar @lines, '>=', $least, "$state: requests that could hedge");
}


sub unseen {
    my ($state, $re) = @_;

    my @lines = grep { $_ =~ $re }
                split /^/, SmartServer::slurp($ngx->dir
                                              . "/logs/smart_$state.log");

    is_deeply(\@lines, [], "$state: no more attempts");
}
