# The metrics as those read them that they are for: promtool, the strict parser
# of Prometheus' Python client, and a Prometheus that scrapes this nginx.

use strict;
use warnings;

use File::Temp ();
use FindBin;
use JSON::PP ();
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartServer;
use SmartMetrics;
use SmartPrometheus;

my $temp = File::Temp->newdir;

# nothing of this is left out where a tool is missing

for my $tool (qw( /usr/bin/promtool /usr/bin/prometheus /usr/bin/python3 )) {
    ok(-x $tool, "there is $tool") or BAIL_OUT("$tool is missing");
}

SmartServer->upstream;

my $ngx = SmartServer->start(workers => 2, conf => <<'CONF');
log_format scrapes '$uri $sent_http_content_type';
smart_hedge_budget off;
proxy_next_upstream off;
upstream u {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
}
server {
    listen 127.0.0.1:%%PORT%%;
    server_name shop.example;
    access_log %%DIR%%/logs/scrapes.log scrapes;

    location = /metrics { smart_metrics; }

    # what a Prometheus sees that knows no OpenMetrics
    location = /text {
        proxy_set_header Accept "text/plain;version=0.0.4,*/*;q=0.1";
        proxy_pass http://127.0.0.1:%%PORT%%/metrics;
    }

    location /a { smart_hedge 60ms extra=2; proxy_pass http://u; }
    location /b { smart_timeout 100ms; proxy_pass http://u; }
    location /c { smart_name 'a "name" \\\\ of {le="1.0"} # 1';
                  smart_hedge 1s; proxy_pass http://u; }
    location /d { smart_name "two\nlines";
                  smart_hedge 1s; proxy_pass http://u; }
    location ~ "^/\xe2\x82(?<x>\d+)$" { smart_hedge 1s; proxy_pass http://u; }
}
CONF

for my $uri ('/a?s=ok', '/a?id=a&s=hang|ok', '/a?id=b&s=delay:300;ok|close',
             '/a?id=c&s=status:503|ok', '/b?s=hang', '/b?s=ok', '/c?s=ok',
             '/d?s=ok', '/d?s=status:404', '/a?id=d&s=status:503')
{
    $ngx->get($uri);
}

my $m = settled();

is_deeply([$m->errors], [], 'the text is well-formed');
is($m->value('requests_total'), 10, 'ten requests');

check_promtool();
check_parser('text', $m);
check_parser('openmetrics', settled(Accept => 'application/openmetrics-text'));
check_parser_is_strict();
check_prometheus();

$ngx->stop;

done_testing;


sub settled {
    my (@headers) = @_;

    return SmartMetrics->settle(sub {
        return $_[0]->value('requests_total') == 10 && !$_[0]->identities;
    }, $ngx->addr, '/metrics', @headers);
}


# status and output of a program that reads a text

sub piped {
    my ($command, $text) = @_;

    SmartServer::spew("$temp/in", $text);

    my $output = `$command < '$temp/in' 2>&1`;

    return ($? >> 8, $output);
}


sub check_promtool {
    my ($code, $output) = piped('promtool check metrics', $m->{text});

    is($code, 0, 'promtool check metrics');
    is($output, '', 'and it has nothing to say');

    ($code) = piped('promtool check metrics', $m->{text} =~ s/\} 1$/} x/mr);
    isnt($code, 0, 'it would');
}


sub check_parser {
    my ($format, $m) = @_;

    my ($code, $output) = piped(
        "/usr/bin/python3 '$FindBin::Bin/lib/openmetrics.py' $format",
        $m->{text});

    is($code, 0, "the client's parser, $format") or diag $output;
    return if $code;

    my $got = JSON::PP::decode_json($output);
    my %expected = map { $_->[0] . labels($_->[1]) => 0 + $_->[2] }
                   @{ $m->{samples} };
    my %samples = map { $_->[0] . labels(bytes($_->[1])) => 0 + $_->[2] }
                  @{ $got->{samples} };

    is(scalar @{ $got->{samples} }, scalar @{ $m->{samples} },
       "$format: as many samples");
    is_deeply(\%samples, \%expected, "$format: the same names and values");

    for my $row (@SmartMetrics::FAMILIES) {
        my ($name, $type) = @$row;

        is($got->{families}{"nginx_smart_$name"}, $type, "$format: $name");
    }
}


# what the checks above, and those of SmartMetrics, are worth

sub check_parser_is_strict {
    my $text = settled(Accept => 'application/openmetrics-text')->{text};

    for my $broken (
        ['no end', $text =~ s/# EOF\n//r],
        ['a counter without _total', $text =~ s/^(\w+)_total/$1/mr],
        ['no last bucket', $text =~ s/^.*le="\+Inf".*\n//mr],
        ['a family in two places',
         $text =~ s/(.*)\n(.*\n)(# EOF\n)/$2$1\n$3/sr],
    ) {
        my ($code) = piped(
            "/usr/bin/python3 '$FindBin::Bin/lib/openmetrics.py' openmetrics",
            $broken->[1]);

        isnt($code, 0, "the parser refuses $broken->[0]");
    }

    for my $broken (
        ['no end', $text =~ s/# EOF\n//r],
        ['a duplicate', $text =~ s/^(\w+_total\{.*\n)/$1$1/mr],
        ['a bound twice', $text =~ s/le="0.001"/le="0.0025"/r],
        ['a bound as 1', $text =~ s/le="1.0"/le="1"/gr],
        ['a fall', $text =~ s/(le="\+Inf"\}) \d+/$1 0/r],
        ['another count', $text =~ s/(_count\{.*) (\d+)/"$1 " . ($2 + 1)/er],
        ['no type', $text =~ s/^# TYPE .*\n//mr],
        ['no help', $text =~ s/^# HELP .*\n//mr],
        ['a quote', $text =~ s/location="/location=""/r],
        ['a lone backslash', $text =~ s/location="/location="\\/r],
        ['no UTF-8', $text =~ s/location="/location="\xff/r],
        ['a counter without _total', $text =~ s/^(\w+)_total/$1/mr],
        ['an exponent', $text =~ s/ (\d+)$/ 1e3/mr],
    ) {
        isnt($broken->[1], $text, "$broken->[0]: a change");

        my $m = SmartMetrics->parse($broken->[1], 1);

        ok(scalar $m->errors, "SmartMetrics refuses $broken->[0]");
    }

    for my $broken (
        ['another type', $text =~ s/^(# TYPE \w+flight) gauge/$1 counter/mr],
        ['another name', $text =~ s/nginx_smart_suppressed/nginx_smart_x/gr],
        ['a value that is missing', $text =~ s/^.*reason="phase".*\n//mgr],
        ['one too many', $text =~ s/reason="phase"/reason="other"/gr],
        ['another label', $text =~ s/,reason=/,why=/gr],
        ['another order', $text =~ s/(server=\S+?),(location=\S+?),/$2,$1,/gr],
    ) {
        my $m = SmartMetrics->parse($broken->[1], 1);

        ok(scalar($m->contract), "the contract has no $broken->[0]");
    }
}


sub labels {
    my ($labels) = @_;

    return '{' . join(',', map { "$_=$labels->{$_}" } sort keys %$labels) . '}';
}


# as our parser has them

sub bytes {
    my ($labels) = @_;

    my %copy = %$labels;

    utf8::encode($_) for values %copy;

    return \%copy;
}


sub check_prometheus {
    my $prom = SmartPrometheus->start(<<"YAML");
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: openmetrics
    static_configs: [{targets: ['${\( $ngx->addr )}']}]
  - job_name: text
    metrics_path: /text
    static_configs: [{targets: ['${\( $ngx->addr )}']}]
  - job_name: itself
    static_configs: [{targets: ['%%ADDR%%']}]
YAML

    my @jobs = qw( openmetrics text );

    ok(SmartServer::wait_for(sub {
        my %up = map { $_->{metric}{job} => $_->{value}[1] }
                 $prom->query('up');
        my @seen = $prom->query('nginx_smart_requests_total');

        return @seen && !grep { !$up{$_} } @jobs, 'itself';
    }, 30), 'Prometheus is up, and so are its targets')
        or diag $prom->log;

    # two scrapes of each, so that there are rates

    $ngx->get('/c?s=ok');
    ok(SmartServer::wait_for(sub {
        my @new = $prom->query('sum by (job) (nginx_smart_requests_total)');

        return 2 == grep { $_->{value}[1] == 11 } @new;
    }, 15), 'a request more is seen by the next scrapes');

    my $m = SmartMetrics->scrape($ngx->addr, '/metrics');

    for my $job (@jobs) {
        query_job($prom, $job, $m);
    }

    my ($equal) = $prom->query(
        'count(nginx_smart_requests_total'
        . '{job="text"} == ignoring(job) nginx_smart_requests_total'
        . '{job="openmetrics"})');
    is($equal->{value}[1], 5 * $m->owners,
       'both protocols are the same series');

    for my $what (qw( duplicate_timestamp out_of_order out_of_bounds )) {
        my ($n) = $prom->query(
            "prometheus_target_scrapes_sample_${what}_total");
        is($n->{value}[1], 0, "no sample is $what");
    }

    # the types are what Prometheus learned from the text

    my $metadata = $prom->ask('/api/v1/targets/metadata?match_target='
                              . SmartPrometheus::escape('{job="openmetrics"}'));
    my %types = map { $_->{metric} => $_->{type} } @{ $metadata->{data} };

    is($types{nginx_smart_requests}, 'counter', 'metadata: counter');
    is($types{nginx_smart_requests_in_flight}, 'gauge', 'metadata: gauge');
    is($types{nginx_smart_request_duration_seconds}, 'histogram',
       'metadata: histogram');

    my $log = SmartServer::slurp($ngx->dir . '/logs/scrapes.log');

    like($log, qr{^/metrics application/openmetrics-text; version=1\.0\.0}m,
         'one of them was OpenMetrics');
    like($log, qr{^/text text/plain; version=0\.0\.4}m, 'the other was not');
    is(join('', $prom->errors), '',
       'Prometheus has nothing to complain about');
}


sub query_job {
    my ($prom, $job, $m) = @_;

    my ($n) = $prom->query(
        "count({job=\"$job\",__name__=~\"nginx_smart_.*\"})");
    is($n->{value}[1], scalar @{ $m->{samples} }, "$job: as many series");

    for my $name (qw( requests_total outcomes_total attempts_total
                      attempts_finished_total suppressed_total
                      peer_attempts_total peer_lost_total
                      request_duration_seconds_count
                      attempt_duration_seconds_bucket delay_seconds
                      zone_size_bytes requests_in_flight build_info ))
    {
        my @got = $prom->query("nginx_smart_$name\{job=\"$job\"}");
        my %got;

        for my $row (@got) {
            my %labels = %{ $row->{metric} };

            delete @labels{qw( __name__ job instance )};
            $got{labels(bytes(\%labels))} = 0 + $row->{value}[1];
        }

        my %expected = map { labels($_->[1]) => 0 + $_->[2] }
                       $m->samples($name);

        is_deeply(\%got, \%expected, "$job: $name");
    }

    my ($p) = $prom->query('histogram_quantile(0.99, sum by (le) '
                           . "(nginx_smart_request_duration_seconds_bucket"
                           . "{job=\"$job\",location=\"/b\"}))");
    cmp_ok($p->{value}[1], '>', 0.075, "$job: a quantile of the slow ones");
    cmp_ok($p->{value}[1], '<=', 10, "$job: and it is one");

    my ($named) = $prom->query("nginx_smart_requests_total{job=\"$job\","
                               . 'location="two\nlines",code="4xx"}');
    is($named->{value}[1], 1, "$job: asked for by an escaped label");
}
