package SmartJournal;

# What tests of the journal share.
#
#   my $j = SmartJournal->new($ngx->dir . '/db/journal.db');
#   $j->rows('select ...')      list of hashes, by the sqlite3 program
#   $j->value('select ...')     the first column of the first row
#   $j->records('where')        records as hashes, oldest first; "hex" is the id
#   $j->wait('select ...', n)   until the value is n, at most 5 s; true then
#   $j->consistent(name)        assertion: the counts are those of the records,
#                               and SQLite finds nothing wrong
#   metric($ngx, name)          value of nginx_smart_journal_<name>, by
#                               "location = /journal_metrics"
#   run_cases(n, names)         subs of the test file, each in a process of its
#                               own, n at a time: most of a case is waiting.
#                               With a name as its argument the file runs that

use strict;
use warnings;

use JSON::PP ();
use SmartServer;
use Test::More ();

use Exporter qw( import );
our @EXPORT_OK = qw( metric run_cases );

my $columns = 'lower(hex(id)) as hex, timestamp, duration, url, code, state,'
              . ' method, host, website, node, attempts, winner, upstream,'
              . ' trace_id, instance';


sub new {
    my ($class, $file) = @_;

    return bless { file => $file }, $class;
}


sub file { return $_[0]{file} }


sub rows {
    my ($self, $sql) = @_;

    return if !-e $self->{file};

    # there may be no table yet
    open my $out, '-|', 'sh', '-c', 'exec sqlite3 "$@" 2> /dev/null', 'sh',
        '-json', '-cmd', '.timeout 5000', $self->{file}, $sql
        or die "sqlite3: $!\n";

    local $/;
    my $text = readline $out;

    close $out;

    return if !defined $text || $text !~ /\S/;
    return @{ JSON::PP->new->utf8->decode($text) };
}


sub value {
    my ($self, $sql) = @_;

    my ($row) = $self->rows("select ($sql) as value");

    return $row && $row->{value};
}


sub records {
    my ($self, $where) = @_;

    $where = defined $where ? "where $where" : '';

    return $self->rows("select $columns from requests $where"
                       . ' order by timestamp, id');
}


sub wait {
    my ($self, $sql, $n, $seconds) = @_;

    return SmartServer::wait_for(sub {
        my $value = $self->value($sql);
        return defined $value && $value == $n;
    }, $seconds // 5);
}


sub consistent {
    my ($self, $name) = @_;

    my @wrong = (
        $self->rows('select website, count from websites except'
                    . ' select website, count(*) from requests group by 1'),
        $self->rows('select website, count(*) from requests group by 1 except'
                    . ' select website, count from websites'),
        $self->rows('select url, count from urls except'
                    . ' select url, count(*) from requests group by 1'),
        $self->rows('select url, count(*) from requests group by 1 except'
                    . ' select url, count from urls'),
    );
    my $check = $self->value('select integrity_check from'
                             . ' pragma_integrity_check');

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::ok(!@wrong && ($check // '') eq 'ok',
                   $name // 'the counts are right, and the file is sound')
        or Test::More::diag(scalar(@wrong) . ' counts differ, ' . $check);
}


sub metric {
    my ($ngx, $name) = @_;

    my $body = $ngx->get('/journal_metrics')->{body} // '';
    my ($value) = $body =~ /^nginx_smart_journal_\Q$name\E (\S+)$/m;

    return $value;
}


sub run_cases {
    my ($n, @waiting) = @_;

    my %running;

    if (@ARGV) {
        my ($known) = grep { $_ eq $ARGV[0] } @waiting;

        die "there is no case $ARGV[0], but @waiting\n" if !$known;

        main->can($known)->();
        return;
    }

    while (@waiting || %running) {

        while (@waiting && keys %running < $n) {
            my $case = shift @waiting;

            open my $out, '-|', $^X, $0, $case or die "$0 $case: $!\n";
            $running{fileno $out} = { case => $case, out => $out, text => '' };
        }

        my $read = '';
        vec($read, $_, 1) = 1 for keys %running;
        next if select($read, undef, undef, undef) < 1;

        for my $fd (grep { vec $read, $_, 1 } keys %running) {
            my $run = $running{$fd};

            next if sysread $run->{out}, $run->{text}, 65536,
                            length $run->{text};

            delete $running{$fd};
            close $run->{out};

            my $status = $?;

            Test::More::note($run->{text});
            Test::More::is($status, 0, "$run->{case}: all of it holds")
                or Test::More::diag(grep { /^not ok/ }
                                    split /^/, $run->{text});
        }
    }
}


1;
