# Features of nginx around an answer that a hedge gave: what the client gets is
# what nginx makes of that answer where it needs no hedge.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes ();
use SmartServer;
use SmartCompare;

SmartServer->upstream;
$ENV{TEST_NGINX_DEAD} = SmartServer::dead_addr();

my $smart = 'access_log %%DIR%%/logs/outcome.log smart; smart_hedge 40ms;
             smart_hedge_budget off; smart_hedge_methods GET HEAD POST PUT;';

# or nginx itself tries again where a kept connection breaks
my $once = 'proxy_next_upstream off;';

my $ngx = SmartServer->start(
    files => SmartCompare::files(),
    conf => SmartCompare::http()
          . SmartCompare::server(name => 'plain', port => 1,
                                 smart => "smart_hedge off; $once")
          . SmartCompare::server(name => 'smart', port => 2,
                                 smart => "$smart $once"),
);

my ($plain, $hedged) = ($ngx->addr(1), $ngx->addr(2));

# the attempts of one request, given the answer that the case is about
my %attempts = (
    slow    => sub { "hang|$_[0]" },
    bad     => sub {
        return "status:500;h:X-Lost=1;h:Set-Cookie=lost;body:lost|$_[0]";
    },
    closed  => sub { "close|$_[0]" },
    cut     => sub { "cuthead|$_[0]" },
    primary => sub { "delay:120;$_[0]|hang" },
);

my $id = 0;

for my $case (SmartCompare::cases()) {
    next if !defined $case->{script} || $case->{plain}
            || $case->{status} =~ /^(?:405|413)$/
            || $case->{uri} =~ m{^/(?:body_stream|deny|if/\?kind=deny)}
            || $case->{uri} =~ m{[?&]auth=(?!20)};

    for my $state (sort keys %attempts) {
        next if $case->{fails} && $state =~ /slow|primary/;
        compare($case, $state);
    }
}

once_each();
error_pages();
rates();
stored();
slices();

$ngx->stop;

done_testing;


sub compare {
    my ($case, $state) = @_;

    my $name = "$case->{name}: $state";
    my $this = { %$case, name => $name };
    my $count = $case->{times} // $case->{pipelined} // 1;
    my $key = 'f' . ++$id;
    my $script = join '|', ($attempts{$state}->($case->{script})) x $count;

    my @want = SmartCompare::ask($plain, $this,
                                 SmartCompare::uri($case, "$key-p"));
    my @got = SmartCompare::ask($hedged, $this,
                                SmartCompare::uri($case, "$key-h", $script));

    is_deeply([clean(@got)], [clean(@want)], $name);
    like($got[-1], $case->{has}, "$name: content") if $case->{has};

    my ($log) = SmartCompare::logged($ngx, 'outcome', $name, scalar @got);
    my $outcome = $case->{fails} ? 'failed'
                : $state eq 'primary' ? 'primary' : 'hedge';

    # of a redirected request what the target did is logged, and which one of
    # two large bodies the upstream has read first is not known
    like($log, qr/ $outcome attempts=2 /, "$name: log")
        if $case->{uri} !~ m{^/error/} && $case->{script} !~ /Accel-Redirect/
           && length($case->{body} // '') < 10000;
    is(SmartServer->ctl("count?id=$key-h") > 1, 1, "$name: two attempts");
}


# without what tells one attempt from another one, or shows both

sub clean {
    return map {
        s/(?<!\w)(?:(?:5\d\d|-), )+(\d{3})\b/$1/gr =~ s/\b(\d{3})(?:, -)+/$1/gr
            =~ s/"x-case":"[^"]*"/"x-case":""/gr
            =~ s/\A(.*?\r\n)Content-Length: \d+(.*\r\nnamed )/$1$2/sr
    } @_;
}


sub count {
    my ($key, $count, $name) = @_;

    is(SmartServer->ctl("count?id=$key"), "$count\n", $name);
}


# what precedes the upstream is done for the client's request, not each attempt

sub once_each {
    for my $state (qw( slow bad closed )) {
        my $script = $attempts{$state}->('body:x');

        for my $what (qw( auth mirror satisfy )) {
            my $key = "o-$state-$what";
            my $case = { name => "$what: $state" };
            my ($answer) = SmartCompare::ask($hedged, $case,
                "/$what/?auth=200&count=$key-c&id=$key&s=$script");

            like($answer, qr/^x/m, "$what: $state: answer");
            count($key, 2, "$what: $state: attempts");
            count("$key-c", 1, "$what: $state: once") if $what ne 'satisfy';
        }

        my $case = { name => "limited: $state", times => 3 };
        my @answers = SmartCompare::ask($hedged, $case,
            "/limit_req/?id=l-$state&s=" . join '|', ($script) x 3);

        is(join(' ', map { /^HTTP\S+ (\d+)/ } @answers), '200 200 503',
           "limit_req: $state: twice");
        count("l-$state", 4, "limit_req: $state: attempts");

        SmartCompare::ask($hedged, { name => "denied: $state" },
                          "/deny/?id=d-$state&s=$script");
        count("d-$state", 0, "deny: $state: no attempt");

        my ($answer) = SmartCompare::ask($hedged, { name => "no: $state" },
            "/auth/?auth=403&count=n-$state-c&id=n-$state&s=$script");

        like($answer, qr/^HTTP\S+ 403/, "auth: $state: denied");
        count("n-$state", 0, "auth: $state: denied, no attempt");
        count("n-$state-c", 1, "auth: $state: denied, once");
    }

    my $case = { name => 'mirror with a body', method => 'POST',
                 body => 'y' x 30000 };

    SmartCompare::ask($hedged, $case, '/mirror/?count=mb-c&id=mb&s=hang|ok');
    is(join(' ', map { $_->{body_size} }
                 @{ SmartServer->ctl_json('requests?id=mb') },
                 @{ SmartServer->ctl_json('requests?id=mb-c') }),
       '30000 30000 30000', 'mirror: whole bodies');
}


# an error page belongs to a request of which all attempts have failed

sub error_pages {
    my $at = '/error/equal/?count';

    my @tests = (
        ['all failed', 'status:503|status:503', 201, 1],
        ['a slow hedge failed', 'status:503|delay:50;status:503', 201, 1],
        ['a hedge found nothing', 'hang|status:404', 201, 1],
        ['the hedge is good', 'status:503|body:good', 200, 0],
        ['a late hedge is good', 'hang|body:good', 200, 0],
        ['nothing found, first', 'status:404|hang', 201, 1],
        ['the primary is good', 'delay:80;body:good|status:503', 200, 0],
    );

    for my $i (0 .. $#tests) {
        my ($name, $script, $status, $count) = @{ $tests[$i] };
        my ($answer) = SmartCompare::ask($hedged, { name => "page: $name" },
                                         "$at=e$i-c&id=e$i&s=$script");

        like($answer, qr/^HTTP\S+ $status /, "error_page: $name");
        count("e$i-c", $count, "error_page: $name: taken");
    }
}


# 2.5 times what one second allows: at least one more second has to begin

sub rates {
    my @tests = (
        ['limit_rate', '/rate/', 'size:250000'],
        ['X-Accel-Limit-Rate', '/plain/',
         'h:X-Accel-Limit-Rate=100000;size:250000'],
    );

    for my $test (@tests) {
        my ($name, $place, $script) = @$test;
        my $start = Time::HiRes::time();
        my ($answer) = SmartCompare::ask($hedged, { name => $name },
                                         "$place?id=$place&s=hang|$script");
        my $md5 = SmartServer->pattern_md5(250000);

        like($answer, qr/\n250000 bytes, md5 $md5\z/, "$name: body");
        cmp_ok(Time::HiRes::time() - $start, '>', 0.9, "$name holds");
    }
}


sub stored {
    for my $state (sort keys %attempts) {
        my $script = $attempts{$state}->('size:70000,3');

        SmartCompare::ask($hedged, { name => "store: $state" },
                          "/store/?file=$state/x&id=s-$state&s=$script");

        my $dir = $ngx->dir . "/store/smart/$state";
        my @files = map { s{.*/}{}r } glob "$dir/*";
        my $bytes = SmartServer::slurp("$dir/x");

        is_deeply(\@files, ['x'], "store: $state: one file");
        is(Digest::MD5::md5_hex($bytes), SmartServer->pattern_md5(70000, 3),
           "store: $state: its bytes");
    }

    my @temp = glob $ngx->dir . '/temp/proxy/*';

    is_deeply(\@temp, [], 'store: no temporary file is left');
}


# a slice is asked for by each attempt, never the whole file

sub slices {
    for my $state (qw( slow bad closed primary )) {
        my $answer = 'size:3500;range;h:ETag=%22e%22';
        my $script = $attempts{$state}->($answer) . "|$answer";
        my $md5 = SmartServer->pattern_md5(3500);
        my $key = "slice-$state";
        my @answers = SmartCompare::ask($hedged,
            { name => "slice: $state", times => 2 },
            "/slice/?id=$key&s=$script");

        like($answers[$_], qr/\n3500 bytes, md5 $md5\z/,
             "slice: $state: request " . ($_ + 1)) for 0, 1;

        my @asked = map { $_->{headers}{range} // 'everything' }
                        @{ SmartServer->ctl_json("requests?id=$key") };

        is_deeply([grep { $_ eq 'everything' } @asked], [],
                  "slice: $state: always a slice");
        is(scalar @asked, 5, "slice: $state: attempts");

        my ($part) = SmartCompare::ask($hedged,
            { name => "slice: range, $state",
              headers => [Range => 'bytes=1000-2100'] },
            "/slice/?id=$key-r&s=$script");

        like($part, qr{^HTTP\S+ 206.*bytes 1000-2100/3500}s,
             "slice: $state: a range");
    }
}
