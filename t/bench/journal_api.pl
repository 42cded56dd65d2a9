# Run by journal_api.sh, which says what it does

use strict;
use warnings;

use Cwd ();
use File::Basename qw( dirname );
use JSON::PP ();
use SmartServer;

my ($load, $records, $runs) = @ARGV;
my $fill = dirname(dirname(Cwd::abs_path(__FILE__))) . '/lib/journal_fill.py';
my $written = 2000;                     # records a second, while others read
my $asked = 50;                         # calls a second

$records //= 1_000_000;
$runs //= 5;

my $large = store($records);
my @calls = ('by id', 'newest page', 'time frame', 'most frequent');
my (%p50, %p99);

for my $run (1 .. $runs) {

    # what is written meanwhile stays: the small one is made anew, and is asked
    # first every other time

    my $small = store(1000);

    for my $store ($run % 2 ? ($small, $large) : ($large, $small)) {
        for my $call (@calls) {
            my $r = measure($store, $store->{uris}{$call});

            push @{ $p50{$call}{ $store->{n} } }, $r->{p50};
            push @{ $p99{$call}{ $store->{n} } }, $r->{p99};
        }
    }

    $small->{server}->kill;
}

# filling locks the writer out for a while, which its log tells
$large->{server}->kill;

my ($failed, @verdicts) = (0);

printf "%d and %d records, %d/s being written; ms, medians of %d runs\n\n",
       1000, $records, $written, $runs;
printf "%-14s %9s %9s %9s %9s %7s\n", 'call', 'p50 small', 'p50', 'p99 small',
       'p99', 'ratio';

for my $call (@calls) {
    my @p50 = map { median($p50{$call}{$_}) } 1000, $records;
    my @p99 = map { median($p99{$call}{$_}) } 1000, $records;
    my $ratio = $p99[1] / ($p99[0] || 0.001);
    my $good = $p99[1] <= 20 && $ratio <= 3;

    printf "%-14s %9.2f %9.2f %9.2f %9.2f %7.2f\n", $call, @p50, @p99, $ratio;
    push @verdicts, sprintf "%s: %s, p99 %.2f ms, %.2f of the small store's;"
                            . " the bars are <= 20 ms and <= 3\n",
                            $good ? 'passed' : 'MISSED', $call, $p99[1],
                            $ratio;
    $failed++ if !$good;
}

print "\n", @verdicts;

exit($failed ? 1 : 0);


sub store {
    my ($n) = @_;

    my $server = SmartServer->start(workers => 2, log_level => 'warn',
        files => { 'html/empty' => '' }, conf => <<'CONF');
smart_journal_store sqlite:%%DIR%%/journal.db;
access_log off;
server {
    listen 127.0.0.1:%%PORT%%;
    location / { root %%DIR%%/html; smart_journal on; }
    location /j/ { smart_journal_api; }
}
CONF

    my $size = qx{python3 '$fill' '@{[$server->dir]}/journal.db' $n};
    die "no records\n" if $?;

    printf STDERR "%d records, %.0f MB\n", $n, $size / 1e6;

    my $list = $server->get('/j/get?limit=1000', addr => $server->addr(1));
    my @all = @{ JSON::PP::decode_json($list->{body}) };
    my ($newest, $middle) = @all[0, 500];

    return {
        n => $n,
        server => $server,
        uris => {
            'by id' => "/j/get?id=$middle->{id}",
            'newest page' => '/j/get',
            'time frame' => "/j/time-frame?from=$middle->{timestamp}"
                            . "&to=$newest->{timestamp}",
            'most frequent' => '/j/frequent-website',
        },
    };
}


sub measure {
    my ($store, $uri) = @_;

    my $addr = $store->{server}->addr(1);
    my $writes = $written * 12;
    my $n = $asked * 10;

    my $pid = fork // die "fork: $!";

    if (!$pid) {
        open STDOUT, '>', '/dev/null';
        exec $load, '-c', 20, '-r', $written, '-n', $writes, $addr, '/empty';
    }

    select undef, undef, undef, 1;

    my $answer = qx{$load -c 4 -r $asked -n $n $addr '$uri'};
    kill TERM => $pid;
    waitpid $pid, 0;

    my $r = JSON::PP::decode_json($answer);

    die "not all answered: $answer" if ($r->{codes}{200} // 0) != $n;

    return $r->{latency};
}


sub median {
    my @sorted = sort { $a <=> $b } @{ $_[0] };

    return $sorted[$#sorted / 2];
}
