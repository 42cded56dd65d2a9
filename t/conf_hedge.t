use strict;
use warnings;

# conf/hedge.conf as it is, but for the addresses

use Test::More;
use SmartMetrics;
use SmartServer;

SmartServer->upstream;

my $ngx = SmartServer->start(conf => SmartServer->example('hedge.conf'));

for my $uri ('/', '/try/') {
    my @all = $ngx->load(uri => "$uri?s=ok", requests => 150,
                         concurrency => 5);
    is scalar(grep { $_->[0] == 200 } @all), 150, "$uri is answered";
}

select undef, undef, undef, 0.15;

my $r = $ngx->get('/?id=a&s=delay:900;body:first|body:second');
is $r->{body}, 'second', 'a slow request is hedged';

$r = $ngx->get('/try/?id=b&s=delay:900;body:first|body:second');
is $r->{body}, 'first', 'not in a dry run';

my $m = SmartMetrics->scrape($ngx->addr, '/metrics');

cmp_ok $m->value('dry_run_hedges_total', location => '/try/'), '>=', 1,
    'which counts';
cmp_ok $m->value('delay_seconds', location => '/'), '>=', 0.005,
    'the delay is not below 5 ms';
cmp_ok $m->value('attempts_total', location => '/', attempt => 'hedge'), '<=',
    10 + 151 * 0.05, 'within the budget';
is_deeply [$m->errors, $m->contract], [], 'metrics';

$ngx->stop;

done_testing;
