package SmartPrometheus;

# A real Prometheus for tests.
#
#   my $prom = SmartPrometheus->start(<<'YAML');   # %%ADDR%% is its own address
#   ...
#   YAML
#   $prom->query('up')           the result's rows: {metric => {}, value => []}
#   $prom->ask('/api/v1/rules')  any call, decoded; {} if there is no answer
#   $prom->errors                what its log complains about
#   $prom->addr, $prom->log
#
#   SmartPrometheus::metrics()   the names of all series that the modules have
#   SmartPrometheus::yaml(file)  what it says; Perl has no YAML of its own
#
# It is stopped at the end, also when the test dies.

use strict;
use warnings;

use File::Temp ();
use JSON::PP ();
use POSIX ();
use SmartMetrics;
use SmartServer;

# the journal's, by type

our %JOURNAL = (
    counter   => [qw( records written dropped write_errors interrupted_records
                      pruned_records )],
    gauge     => [qw( queue_records queue_capacity_records batch_records
                      store_up last_write_timestamp_seconds )],
    histogram => [qw( write_duration_seconds )],
);

my $owner = $$;
my @started;


sub start {
    my ($class, $yaml) = @_;

    my $temp = File::Temp->newdir;
    my $self = bless { temp => $temp,
                       addr => '127.0.0.1:' . SmartServer::free_port() },
                     $class;

    $yaml =~ s/%%ADDR%%/$self->{addr}/g;
    SmartServer::spew("$temp/prometheus.yml", $yaml);

    my $pid = fork;
    die "fork: $!" if !defined $pid;

    if (!$pid) {
        open STDOUT, '>', "$temp/log";
        open STDERR, '>&', \*STDOUT;
        exec '/usr/bin/prometheus', "--config.file=$temp/prometheus.yml",
            "--storage.tsdb.path=$temp/tsdb",
            "--web.listen-address=$self->{addr}", '--log.level=debug'
            or POSIX::_exit(1);
    }

    $self->{pid} = $pid;
    push @started, $self;

    return $self;
}


sub addr { return $_[0]{addr} }
sub log { return SmartServer::slurp("$_[0]{temp}/log") }


sub errors {
    my ($self) = @_;

    # a machine that is too busy for a scrape is not at fault
    return grep { /level=(?:warn|error)|err=|scrape.*(?:failed|error)/i
                  && !/context deadline exceeded/ }
           split /^/, $self->log;
}


sub query {
    my ($self, $query) = @_;

    my $answer = $self->ask('/api/v1/query?query=' . escape($query));

    return @{ $answer->{data}{result} || [] };
}


sub ask {
    my ($self, $uri) = @_;

    my $c = SmartServer::Client->connect(addr => $self->{addr}) or return {};

    $c->request($uri, close => 1);
    $c->read_header or return {};

    my $body = $c->read_body(keep => 1 << 26)->{body};

    return eval { JSON::PP::decode_json($body) } // {};
}


sub metrics {
    my @rows = @SmartMetrics::FAMILIES;

    for my $type (sort keys %JOURNAL) {
        push @rows, map { ["journal_$_", $type] } @{ $JOURNAL{$type} };
    }

    return map { "nginx_smart_$_" } map {
        my ($name, $type) = @$_;

        $type eq 'counter'     ? "${name}_total"
        : $type eq 'histogram' ? ("${name}_bucket", "${name}_sum",
                                  "${name}_count")
        : $name;
    } @rows;
}


sub yaml {
    my ($file) = @_;

    my $json = `/usr/bin/python3 -c '
import json, sys, yaml
json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)' '$file'`;

    die "$file is no YAML\n" if $?;

    return JSON::PP::decode_json($json);
}


sub escape {
    my ($text) = @_;

    return $text =~ s/([^A-Za-z0-9_])/sprintf '%%%02X', ord $1/ger;
}


END {
    if ($$ == $owner) {
        local $?;

        for my $self (@started) {
            kill KILL => $self->{pid};
            waitpid $self->{pid}, 0;
        }
    }
}


1;
