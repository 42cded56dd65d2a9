# The rules of grafana/, as promtool reads and plays them: each alert fires in
# one case and not in another, and says what to do.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartPrometheus;
use SmartServer;

plan skip_all => 'once is enough' if $ENV{SMART_TEST_ASAN};

my @rules = glob 'grafana/rules/*.yml';
my @tests = glob 'grafana/tests/*.yml';

ok(scalar @rules, 'there are rules');
is(scalar @tests, scalar @rules, 'and a file of tests for each');

command('promtool check rules --lint=all --lint-fatal', @rules);
command('promtool test rules', $_) for @tests;
command('promtool check config', 'docker/prometheus.yml')
    if -e 'docker/prometheus.yml';

my (%tested, %alerts, %records);

for my $file (@tests) {
    my $yaml = SmartPrometheus::yaml($file);

    for my $test (@{ $yaml->{tests} }) {
        for my $case (@{ $test->{alert_rule_test} || [] }) {
            my $fires = @{ $case->{exp_alerts} || [] } ? 'fires' : 'quiet';

            $tested{$case->{alertname}}{$fires}++;
        }

        for my $case (@{ $test->{promql_expr_test} || [] }) {
            $tested{$_}{record}++ for $case->{expr} =~ /[a-z][\w:]+/g;
        }
    }
}

for my $file (@rules) {
    for my $group (@{ SmartPrometheus::yaml($file)->{groups} }) {
        $_->{alert} ? $alerts{$_->{alert}} = $_
                    : push @{ $records{$_->{record}} }, $_
            for @{ $group->{rules} };
    }
}

my @readme = headings('grafana/README.md');

for my $name (sort keys %alerts) {
    my $rule = $alerts{$name};
    my ($file, $anchor) = split /#/, $rule->{annotations}{runbook_url} // '';

    ok($tested{$name}{fires}, "$name: a case that fires");
    ok($tested{$name}{quiet}, "$name: a case that does not");
    like($rule->{labels}{severity} // '', qr/^(?:critical|warning)$/,
         "$name: severity");
    ok($rule->{for}, "$name: not at the first blink");
    like($rule->{annotations}{$_} // '', qr/\w{3}/, "$name: $_")
        for qw( summary description );
    is($file, 'grafana/README.md', "$name: the runbook");
    is($anchor, lc $name, "$name: its paragraph");
    ok((grep { $_ eq $name } @readme), "$name: and there it is");
}

ok($tested{$_}{record}, "$_: has a case") for sort keys %records;

is_deeply([grep { /^Smart/ && !$alerts{$_} } @readme], [],
          'no paragraph for an alert that is gone');

# one for each of what an operator has to know of

is(join(' ', sort keys %alerts),
   'SmartAmplification SmartBudgetExhausted SmartErrorRate'
   . ' SmartJournalDropping SmartJournalQueueFilling SmartJournalStoreDown'
   . ' SmartSlowPeer SmartTargetDown SmartZoneFull', 'the alerts');

# names that the module has, or that another rule makes

my %known = map { $_ => 1 } keys %records, 'up',
            SmartPrometheus::metrics();

for my $rule (values %alerts, map { @$_ } values %records) {
    my $name = $rule->{alert} // $rule->{record};

    for my $metric ($rule->{expr} =~ /\b((?:nginx_smart|job_)[\w:]+)/g) {
        ok($known{$metric}, "$name: there is $metric");
    }
}

done_testing;


sub command {
    my ($command, @files) = @_;

    my $output = `$command @files 2>&1`;

    is($?, 0, "$command @files") or diag $output;
}


sub headings {
    my ($file) = @_;

    return SmartServer::slurp($file) =~ /^#+ +(.*?) *$/mg;
}
