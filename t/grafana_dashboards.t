# The dashboards of grafana/: what a linter would ask of them, and each query
# asked of a Prometheus that has the compose file's configuration and rules and
# scrapes an nginx under load.

use strict;
use warnings;

use Cwd ();
use File::Basename qw( basename );
use FindBin;
use JSON::PP ();
use lib "$FindBin::Bin/lib";
use List::Util qw( max min );
use Test::More;
use SmartMetrics;
use SmartPrometheus;
use SmartServer;

plan skip_all => 'once is enough' if $ENV{SMART_TEST_ASAN};

my %boards = map { basename($_, '.json') => read_json($_) }
             glob 'grafana/dashboards/*.json';

is(join(' ', sort keys %boards), 'smart-hedging smart-journal smart-peers',
   'the dashboards');

# units of Grafana that are in use here: each new one is looked up once

my %units = map { $_ => 1 } qw( short percentunit s reqps ops bytes );

# what a load that goes well leaves at 0

my %idle = map { $_ => 1 }
           'Alerts', 'Records lost', 'Interrupted', 'Dropped',
           'Repairs and retention', 'Write errors', 'Peers not counted',
           'Queue in use', 'Queue', 'Requests in flight', 'Budget left',
           'Budget left by nginx';

# of alerts, which have no instance where they are about a location

my $alerts = qr/ALERTS\{alertname=~"Smart\.\+",alertstate="firing",
                job=~"\$job"\}/x;

my %known = map { $_ => 1 } SmartPrometheus::metrics();

lint($_, $boards{$_}) for sort keys %boards;
is_deeply([sort map { $_->{uid} } values %boards],
          [qw( nginx-smart-hedging nginx-smart-journal nginx-smart-peers )],
          'the addresses of dashboards are their own');

ask_all();

done_testing;


sub read_json {
    my ($file) = @_;

    my $text = SmartServer::slurp($file);
    my $json = eval { JSON::PP->new->utf8->decode($text) };

    BAIL_OUT("$file: $@") if !$json;

    return $json;
}


sub lint {
    my ($name, $board) = @_;

    my $text = SmartServer::slurp("grafana/dashboards/$name.json");
    my @variables = @{ $board->{templating}{list} };
    my %variable = map { $_->{name} => $_ } @variables;
    my @wrong;

    push @wrong, 'an id' if defined $board->{id};
    push @wrong, 'no title or description'
        if !$board->{title} || !$board->{description};
    push @wrong, 'a schema older than Grafana 10'
        if $board->{schemaVersion} < 38;
    push @wrong, 'a tag of the links is missing'
        if grep { my $tag = $_;
                  !grep { $_ eq $tag } @{ $board->{tags} } }
           map { @{ $_->{tags} } } @{ $board->{links} };

    # the data source is the first variable, and every other place names it

    push @wrong, 'the first variable is not the data source'
        if $variables[0]{type} ne 'datasource'
           || $variables[0]{name} ne 'datasource'
           || $variables[0]{query} ne 'prometheus';

    push @wrong, map { "a data source named $_" }
                 grep { $_ ne '${datasource}' && $_ ne $board->{uid} }
                 $text =~ /"uid": *"(.*?)"/g;

    for my $name (qw( job instance )) {
        my $v = $variable{$name};

        push @wrong, "no variable $name"
            if !$v || $v->{type} ne 'query' || !$v->{multi}
               || !$v->{includeAll} || $v->{allValue} ne '.+'
               || $v->{refresh} != 2 || !$v->{label};
    }

    for my $v (@variables[1 .. $#variables]) {
        push @wrong, "variable $v->{name}: its query"
            if $v->{query}{query}
               !~ /^label_values\(\w+(?:\{.+\})?, $v->{name}\)$/;
    }

    push @wrong, map { lint_panel($board, $_) } @{ $board->{panels} };
    push @wrong, overlaps(@{ $board->{panels} });

    my (%ids, %titles);

    for my $panel (@{ $board->{panels} }) {
        push @wrong, "panel id $panel->{id} twice" if $ids{$panel->{id}}++;
        push @wrong, "title $panel->{title} twice"
            if $panel->{type} ne 'row' && $titles{$panel->{title}}++;
    }

    is(join("\n", @wrong), '', "$name: nothing to complain about");
}


sub lint_panel {
    my ($board, $panel) = @_;

    my $title = $panel->{title};
    my %refs;
    my @wrong;

    return 'a panel without a title' if ($title // '') !~ /\S/;
    return if $panel->{type} eq 'row';

    my $unit = $panel->{fieldConfig}{defaults}{unit} // '';
    my $description = $panel->{description} // '';

    push @wrong, 'no sentence that describes it'
        if $description !~ /^\S.{20,}\.\z/s;
    push @wrong, "unit \"$unit\"" if !$units{$unit};
    push @wrong, 'its data source'
        if ($panel->{datasource}{uid} // '') ne '${datasource}';
    push @wrong, 'no target' if !@{ $panel->{targets} };
    push @wrong, 'a legend that is hidden'
        if $panel->{type} eq 'timeseries'
           && !$panel->{options}{legend}{showLegend};

    for my $target (@{ $panel->{targets} }) {
        my $expr = $target->{expr};
        my $bare = $expr =~ s/"(?:[^"\\]|\\.)*"/""/gr;

        push @wrong, "refId $target->{refId} twice"
            if $refs{$target->{refId}}++;
        push @wrong, 'the data source of a target'
            if ($target->{datasource}{uid} // '') ne '${datasource}';
        push @wrong, "no legend: $expr"
            if !$target->{instant} && !length $target->{legendFormat};

        # a range of its own would miss scrapes, or smooth them away
        push @wrong, "range [$_]: $expr"
            for grep { $_ ne '$__rate_interval'
                       && !($_ eq '$__range' && $expr =~ /increase\(/) }
                $bare =~ /\[(.*?)\]/g;
        push @wrong, "a rate of what is no counter: $expr"
            if $expr =~ /\b(?:rate|increase)\(
                         (?!\w+(?:_total|_bucket|_sum|_count)\{)/x;

        my $rest = $expr =~ s/$alerts//gr;

        push @wrong, "no job or instance: $1"
            while $rest =~ /(nginx_smart_\w+
                             (?!\w|\{job=~"\$job",instance=~"\$instance"))/gx;
        push @wrong, "a metric nobody has: $_"
            for grep { !$known{$_} } $rest =~ /\b(nginx_smart_\w+)/g;
        push @wrong, "an unknown variable: \$$_"
            for grep { my $v = $_;
                       $v !~ /^__/ && !grep { $v eq $_->{name} }
                                      @{ $board->{templating}{list} } }
                $expr =~ /\$(\w+)/g;

        # what a legend names has to be left over
        for my $label (grep { $_ ne 'le' }
                       $target->{legendFormat} =~ /\{\{(\w+)\}\}/g)
        {
            push @wrong, "legend {{$label}}: $expr"
                if $expr =~ /\bby \(/ && $expr !~ /\bby \([^)]*\b$label\b/;
        }
    }

    # renamed and coloured series are there
    my @legends = map { $_->{legendFormat} } @{ $panel->{targets} };

    if ($panel->{type} eq 'timeseries' && !grep { /\{\{/ } @legends) {
        for my $override (@{ $panel->{fieldConfig}{overrides} }) {
            my $matcher = $override->{matcher};

            push @wrong, "an override for $matcher->{options}"
                if $matcher->{id} eq 'byName'
                   && !grep { $_ eq $matcher->{options} } @legends;
        }
    }

    return map { "$title: $_" } @wrong;
}


sub overlaps {
    my @panels = @_;

    my (@wrong, %taken);

    for my $panel (@panels) {
        my ($x, $y, $w, $h) = @{ $panel->{gridPos} }{qw( x y w h )};

        push @wrong, "$panel->{title} is beyond the edge" if $x + $w > 24;

        for my $row ($y .. $y + $h - 1) {
            for my $column ($x .. $x + $w - 1) {
                my $there = $taken{"$row $column"} //= $panel;

                next if $there == $panel;
                push @wrong, "$panel->{title} is over $there->{title}";
                $column = $x + $w;
                last;
            }
        }
    }

    # and no holes where a row of panels ends short

    my $bottom = max(map { $_->{gridPos}{y} + $_->{gridPos}{h} } @panels);

    for my $row (0 .. $bottom - 1) {
        push @wrong, "line $row is not full"
            if 24 != grep { $taken{"$row $_"} } 0 .. 23;
    }

    return @wrong;
}


# nginx, its load, and Prometheus; then every query

sub ask_all {
    SmartServer->upstream;

    my $ngx = SmartServer->start(workers => 2, conf => <<'CONF');
smart_journal_store sqlite:%%DIR%%/journal.db flush=50ms;
smart_journal on;
upstream u {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
    server $TEST_NGINX_UP3 max_fails=0;
}
server {
    listen 127.0.0.1:%%PORT%%;
    server_name shop.example;
    proxy_next_upstream off;

    location = /metrics { smart_metrics; }
    location = /api/smart {
        smart_hedge 150ms extra=2; smart_hedge_budget off;
        smart_timeout 2s;
        proxy_pass http://u;
    }
    location /tight {
        smart_hedge 30ms; smart_hedge_budget 1% burst=1;
        proxy_pass http://u;
    }
    location /dry-run {
        smart_hedge 30ms; smart_hedge_dry_run on; smart_hedge_budget off;
        proxy_pass http://u;
    }
}
CONF

    my $prom = SmartPrometheus->start(configuration($ngx));

    ok(SmartServer::wait_for(sub {
        load($ngx);
        return $prom->query('count_over_time(up{job="nginx-smart"}[1m]) > 3')
               && $prom->query('custom_requests_total > 0')
               && $prom->query('job_upstream_peer:nginx_smart_peer_lost'
                               . ':ratio_rate10m > 0');
    }, 30), 'Prometheus has scraped it a few times, and made its rules')
        or diag $prom->log;

    load($ngx);

    ask_board($prom, $boards{$_}) for sort keys %boards;
    check_rules($prom);
    is(join('', $prom->errors), '', 'Prometheus has nothing to complain about');

    $ngx->stop;
}


# the compose file's own, but for the place of things and the time between them

sub configuration {
    my ($ngx) = @_;

    my $yaml = SmartServer::slurp('docker/prometheus.yml');
    my $here = Cwd::getcwd();
    my $addr = $ngx->addr;

    $yaml =~ s/nginx:8080/$addr/ or BAIL_OUT('prometheus.yml: nginx');
    $yaml =~ s/localhost:9090/%%ADDR%%/ or BAIL_OUT('prometheus.yml: itself');
    $yaml =~ s{/etc/prometheus/rules}{$here/grafana/rules}
        or BAIL_OUT('prometheus.yml: rules');
    $yaml =~ s/interval: 5s/interval: 1s/g == 2
        or BAIL_OUT('prometheus.yml: intervals');

    return $yaml;
}


# one peer is slow, and answers come from all kinds of outcome

my $round = 0;

sub load {
    my ($ngx) = @_;

    my @script = ('p1=delay:600;ok&s=ok', 'p1=delay:600;ok&s=delay:5;ok',
                  'p1=delay:600;ok&s=status:503', 's=status:404',
                  's=status:301', 's=close', 's=delay:200;ok');

    $round++;
    $ngx->load(requests => 60, concurrency => 30, uri => sub {
        my ($n) = @_;

        return ('/api/smart', '/tight', '/dry-run')[$n % 3]
               . "?id=$round-$n&$script[$n % @script]";
    });
}


sub ask_board {
    my ($prom, $board) = @_;

    my $title = $board->{title};
    my %value = ('__rate_interval' => '10s', '__range' => '30s',
                 map { $_->{name} => $_->{allValue} }
                 @{ $board->{templating}{list} });

    delete $value{datasource};

    for my $v (@{ $board->{templating}{list} }) {
        next if $v->{type} ne 'query';

        my ($match, $label) = $v->{query}{query}
                              =~ /^label_values\((.*), (\w+)\)$/;
        my $answer = $prom->ask("/api/v1/label/$label/values?match[]="
            . SmartPrometheus::escape(expand($match, \%value)));

        ok(scalar @{ $answer->{data} || [] }, "$title: values of \$$label");
    }

    for my $panel (grep { $_->{type} ne 'row' } @{ $board->{panels} }) {
        for my $target (@{ $panel->{targets} }) {
            ask_target($prom, $title, $panel, $target, \%value);
        }
    }
}


sub expand {
    my ($expr, $value) = @_;

    return $expr =~ s/\$(\w+)/$value->{$1} \/\/ die "no variable $1\n"/ger;
}


sub ask_target {
    my ($prom, $title, $panel, $target, $value) = @_;

    my $name = "$title: $panel->{title} $target->{refId}";
    my $expr = expand($target->{expr}, $value);
    my $answer = $prom->ask('/api/v1/query?query='
                            . SmartPrometheus::escape($expr));
    my @rows = @{ $answer->{data}{result} || [] };
    my @numbers = grep { !/NaN|Inf/ } map { $_->{value}[1] } @rows;

    ok(scalar @numbers, "$name: returns data")
        or diag "$expr\n", $answer->{error} // 'nothing';
    return if !@numbers;

    # numbers that are wrong by a factor, or that are no shares

    my $unit = $panel->{fieldConfig}{defaults}{unit};
    my ($low, $high) = (min(@numbers), max(@numbers));

    cmp_ok($low, '>=', 0, "$name: not below 0");
    cmp_ok($high, '>', 0, "$name: and not 0 everywhere")
        if !$idle{$panel->{title}};

    # hedges of a request may be several
    if ($unit eq 'percentunit' && $target->{expr} !~ /\/.*attempt="primary"/)
    {
        cmp_ok($high, '<=', 1, "$name: is a share");
    }

    my @labels = $target->{legendFormat} =~ /\{\{(\w+)\}\}/g;

    is_deeply([grep { !defined $rows[0]{metric}{$_} } @labels], [],
              "$name: the legend's labels are there");
}


# every rule was played, and every record is there

sub check_rules {
    my ($prom) = @_;

    my $answer = $prom->ask('/api/v1/rules');
    my @rules = map { @{ $_->{rules} } } @{ $answer->{data}{groups} || [] };
    my @bad = grep { $_->{health} ne 'ok' || $_->{lastError} } @rules;

    cmp_ok(scalar @rules, '>', 20, 'Prometheus has the rules');
    is_deeply([map { "$_->{name}: $_->{lastError}" } @bad], [], 'they work');

    for my $rule (grep { $_->{type} eq 'recording' } @rules) {
        ok(scalar $prom->query($rule->{name}), "$rule->{name}: returns data");
    }

    # the same numbers under the old names

    my ($new) = $prom->query('sum(nginx_smart_requests_total'
                             . '{location="/api/smart"} offset 2s)');
    my ($old) = $prom->query('sum(max_over_time(custom_requests_total[2s]))');

    cmp_ok($old->{value}[1], '>=', $new->{value}[1],
           'custom_requests_total follows');

    # the slow peer stands out

    my @lost = sort { $b->{value}[1] <=> $a->{value}[1] }
               $prom->query('job_upstream_peer:nginx_smart_peer_lost'
                            . ':ratio_rate10m{peer!="other"}');

    is($lost[0]{metric}{peer}, $ENV{TEST_NGINX_UP1}, 'the slow peer is seen')
        or diag explain [map { [$_->{metric}{peer}, $_->{value}[1]] } @lost];
}
