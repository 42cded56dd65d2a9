use strict;
use warnings;

use Test::More;
use SmartServer;

# A directive, what is accepted, and what is refused with the word that the
# message must blame and a pattern of what it must say is allowed.

my $delay  = qr/"off", a time such as "300ms", or a percentile from "p50" to/;
my $param  = qr/"extra=N" or "step=time", each once/;
my $each   = qr/"extra=N", "step=time", "min=time", "max=time" or "warmup=N", each/;
my $bound  = qr/a time such as "50ms", "min" not above "max"/;
my $warmup = qr/a number from 0 to 1000000/;
my $extra  = qr/a number from 1 to 7/;
my $step   = qr/a time such as "50ms"/;
my $method = qr/a method such as GET, HEAD, PUT or DELETE/;
my $size   = qr/a size/;
my $budget = qr/"off" or a percentage from "0%" to "100%"/;
my $burst  = qr/"burst=" and a number up to \d+/;
my $status = qr/a status from 200 to 599, or a class such as "2xx"/;
my $type   = qr{a media type such as "application/json" or "text/\*"};
my $json   = qr{"off", "on", or pointers such as "/time" or};
my $kind   = qr/a pointer and one of the types string, number, integer,/;
my $held   = qr/a size from "1k" to "256k"/;
my $time   = qr/"off", a time such as "2s", or a variable such as "\$arg_/;

my @table = (
    ['smart_name', [qw( api /api 1 off )], ['"a b"', 'x' x 256],
     {
         '""' => ['', qr/a name of 1 to 256 bytes/],
         'x' x 257 => ['x{257}', qr/a name of 1 to 256 bytes/],
     }],

    ['smart_hedge',
     [qw( off 0 1 300ms 1s 2m 1h 1m30s 23d )],
     ['50ms extra=1', '50ms extra=7', '50ms step=10ms', '50ms step=0',
      '50ms extra=2 step=1s', '50ms step=1s extra=2', '$arg_x',
      '${arg_x}ms extra=$arg_y', '$arg_x extra=99', '"50ms extra=2"',
      'p50', 'p95', 'p99.9', 'p95 extra=2 step=5ms min=1ms max=2s warmup=10',
      'p95 warmup=0 min=1s max=1s', '$arg_x min=99'],
     {
         'soon' => ['soon', $delay], '-1' => ['-1', $delay],
         '1.5s' => ['1.5s', $delay], '+1s' => ['\+1s', $delay],
         '1x' => ['1x', $delay], '1s1m' => ['1s1m', $delay],
         '99999999999999999999' => ['99999999999999999999', $delay],
         '100d' => ['100d', $delay], '""' => ['', $delay],
         'OFF' => ['OFF', $delay], 'on' => ['on', $delay],
         'p95x' => ['p95x', $delay], 'p0' => ['p0', $delay],
         'p49' => ['p49', $delay], 'p100' => ['p100', $delay],
         'p99.99' => ['p99\.99', $delay], 'P95' => ['P95', $delay],
         'p95 min=x' => ['min=x', $bound], 'p95 max=-1' => ['max=-1', $bound],
         'p95 min=2s max=1s' => ['max=1s', $bound],
         'p95 warmup=x' => ['warmup=x', $warmup],
         'p95 warmup=1000001' => ['warmup=1000001', $warmup],
         'p95 min=1s min=1s' => ['min=1s', $each],
         'p95 warmup=' => ['warmup=', $each], 'p95 p99' => ['p99', $each],
         '50ms min=1ms' => ['min=1ms', $param],
         '50ms max=1s' => ['max=1s', $param],
         '50ms warmup=5' => ['warmup=5', $param],
         'extra=2' => ['extra=2', $delay], 'extra=2 50ms' => ['extra=2', $delay],
         'off extra=2' => ['extra=2', qr/nothing after "off"/],
         'off off' => ['off', qr/nothing after "off"/],
         '50ms extra=0' => ['extra=0', $extra],
         '50ms extra=8' => ['extra=8', $extra],
         '50ms extra=10' => ['extra=10', $extra],
         '50ms extra=-1' => ['extra=-1', $extra],
         '50ms extra=x' => ['extra=x', $extra],
         '50ms extra=1.5' => ['extra=1\.5', $extra],
         '50ms extra=' => ['extra=', qr/extra/],
         '50ms extra=1 extra=2' => ['extra=2', $param],
         '50ms step=' => ['step=', qr/step/],
         '50ms step=x' => ['step=x', $step],
         '50ms step=-1ms' => ['step=-1ms', $step],
         '50ms step=1s step=2s' => ['step=2s', $param],
         '50ms EXTRA=2' => ['EXTRA=2', $param],
         '50ms extras=2' => ['extras=2', $param],
         '50ms 2' => ['2', $param], '50ms 60ms' => ['60ms', $param],
         '50ms off' => ['off', $param], '50ms budget=5%' => ['budget=5%', $param],
     }],

    ['smart_hedge_methods',
     [qw( GET HEAD POST PUT DELETE OPTIONS PATCH )],
     ['GET HEAD', 'PUT POST GET HEAD DELETE', 'PROPFIND MKCOL COPY MOVE LOCK'],
     {
         'get' => ['get', $method], 'GETS' => ['GETS', $method],
         'GE' => ['GE', $method], 'GET FOO' => ['FOO', $method],
         '"GET HEAD"' => ['GET HEAD', $method], '*' => ['\*', $method],
         'off' => ['off', $method], '""' => ['', $method],
         'GET,HEAD' => ['GET,HEAD', $method],
         'GET HEAD GET' => ['GET', qr/each method at most once/],
         'TRACE' => ['TRACE', $method], 'CONNECT' => ['CONNECT', $method],
     }],

    ['smart_hedge_body_size', [qw( 0 1 100 4k 1m 8M )], [],
     {
         '-1' => ['-1', $size], 'x' => ['x', $size], '1.5m' => ['1\.5m', $size],
         '1t' => ['1t', $size], '""' => ['', $size], 'off' => ['off', $size],
         '99999999999999999999' => ['99999999999999999999', $size],
     }],

    ['smart_hedge_budget',
     [qw( off 0% 5% 0.5% 100% 12.34% )], ['5% burst=10', '5% burst=0',
                                          '1% burst=1000000'],
     {
         '5' => ['5', $budget], '%' => ['%', $budget], '-5%' => ['-5%', $budget],
         '101%' => ['101%', $budget], '100.01%' => ['100\.01%', $budget],
         '1.234%' => ['1\.234%', $budget], 'x%' => ['x%', $budget],
         'on' => ['on', $budget], '""' => ['', $budget],
         '5%%' => ['5%%', $budget], '1e1%' => ['1e1%', $budget],
         '99999999999999999999%' => ['99999999999999999999%', $budget],
         'burst=10' => ['burst=10', $budget], 'off burst=10' => ['.*', qr/./],
         'burst=10 5%' => ['burst=10', $budget],
         '5% burst=' => ['burst=', $burst], '5% burst=-1' => ['burst=-1', $burst],
         '5% burst=x' => ['burst=x', $burst], '5% 10' => ['10', $burst],
         '5% burst=1000001' => ['burst=1000001', $burst],
         '5% burst=1.5' => ['burst=1\.5', $burst],
         '5% burst=99999999999999999999'
             => ['burst=99999999999999999999', $burst],
         '5% bursts=1' => ['bursts=1', $burst],
     }],

    ['smart_hedge_peer', [qw( prefer other idle )], [],
     {
         'same' => ['same', qr/"prefer" or "other" or "idle"/],
         'Prefer' => ['Prefer', qr/"prefer" or "other" or "idle"/],
         'off' => ['off', qr/"prefer" or "other" or "idle"/],
         '""' => ['', qr/"prefer" or "other" or "idle"/],
         'others' => ['others', qr/"prefer" or "other" or "idle"/],
     }],

    ['smart_hedge_dry_run', [qw( on off )], [],
     {
         'yes' => ['yes', qr/"on" or "off"/], 'ON' => ['ON', qr/"on" or "off"/],
         '""' => ['', qr/"on" or "off"/], '1' => ['1', qr/"on" or "off"/],
     }],

    ['smart_success_status',
     [qw( 200 2xx 5xx 404 599 )], ['200 404', '2xx 3xx 404 503', '200 2xx'],
     {
         '99' => ['99', $status], '100' => ['100', $status],
         '1xx' => ['1xx', $status], '600' => ['600', $status],
         '6xx' => ['6xx', $status], '2XX' => ['2XX', $status],
         '20x' => ['20x', $status], 'xx' => ['xx', $status],
         '2xxx' => ['2xxx', $status], '2000' => ['2000', $status],
         '-200' => ['-200', $status], '+200' => ['\+200', $status],
         'ok' => ['ok', $status], '""' => ['', $status],
         '200-299' => ['200-299', $status], '200,404' => ['200,404', $status],
         '200 x' => ['x', $status], '"200 404"' => ['200 404', $status],
         '$arg_x' => ['\$arg_x', $status],
     }],

    ['smart_success_type',
     [qw( application/json text/* a/b application/problem+json )],
     ['application/json text/*', '"text/html"'],
     {
         'json' => ['json', $type], '*/*' => ['\*/\*', $type],
         '*' => ['\*', $type], 'text/' => ['text/', $type],
         '/json' => ['/json', $type], 'a/b/c' => ['a/b/c', $type],
         '"a/b; c=d"' => ['a/b; c=d', $type], '"a/ b"' => ['a/ b', $type],
         'a/b,c/d' => ['a/b,c/d', $type], 'text/x*' => ['text/x\*', $type],
         '""' => ['', $type], 'a/b off' => ['off', $type],
     }],

    ['smart_success_json',
     [qw( on off / /time /time:integer :object /a~0b/~1:any /a:b:null )],
     ['/a /b:string', '"/with blank:number"', '/:any'],
     {
         'yes' => ['yes', $json], 'time' => ['time', $json],
         '""' => ['', $json], 'on off' => ['on', $json],
         '/a off' => ['off', $json], 'a/b:string' => ['a/b:string', $json],
         '/a:int' => ['/a:int', $kind], '/a:' => ['/a:', $kind],
         '/a:b' => ['/a:b', $kind], '/a /b:Any' => ['/b:Any', $kind],
         '/a~2' => ['/a~2', qr/a pointer in which "~" is written "~0"/],
         '/a~' => ['/a~', qr/a pointer in which "~" is written "~0"/],
         "/\xff" => ["/\xff", qr/a pointer of UTF-8/],
     }],

    ['smart_success_buffer', [qw( 1k 64k 256k 1024 )], [],
     {
         '0' => ['0', $held], '1023' => ['1023', $held],
         '257k' => ['257k', $held], '1m' => ['1m', $held],
         'x' => ['x', $held], '-1' => ['-1', $held], '""' => ['', $held],
     }],

    ['smart_timeout',
     [qw( off 0 1 300ms 2s 1h )], ['$arg_timeout', '$arg_timeout required',
                                   '$http_x_deadline'],
     {
         'soon' => ['soon', $time], '-1' => ['-1', $time],
         '1.5s' => ['1.5s', $time], '""' => ['', $time], 'on' => ['on', $time],
         '1000d' => ['1000d', $time],
         '2s required' => ['required', qr/nothing, unless after a variable/],
         'off required' => ['required', qr/nothing, unless after a variable/],
         '2s 3s' => ['3s', qr/nothing, unless after a variable/],
         '$arg_a optional' => ['optional', qr/"required"/],
         '$arg_a Required' => ['Required', qr/"required"/],
         '$arg_a ""' => ['', qr/"required"/],
         '1$arg_a' => ['1\$arg_a', $time],
     }],

    ['smart_errors', [qw( default json )], [],
     {
         'JSON' => ['JSON', qr/"default" or "json"/],
         'off' => ['off', qr/"default" or "json"/],
         'html' => ['html', qr/"default" or "json"/],
         '""' => ['', qr/"default" or "json"/],
     }],
);

my %many = map { $_ => 1 } qw( smart_hedge smart_hedge_methods
                               smart_success_status smart_success_type
                               smart_success_json );
my %in_if = map { $_ => 1 } qw( smart_hedge smart_timeout );


sub config {
    my ($where, $line) = @_;

    my %at = (map({ $_ => '' } qw( main events upstream http server location
                                   if if_server limit_except )),
              $where => $line);

    return SmartServer->test_config(main => $at{main}, events => $at{events},
                                    conf => <<"CONF");
$at{http}
upstream u { server 127.0.0.1:1; $at{upstream} }
server {
    listen 127.0.0.1:%%PORT%%;
    $at{server}
    if (\$arg_q) { $at{if_server} }
    location / {
        $at{location}
        proxy_pass http://u;
        if (\$arg_q) { $at{if} }
        limit_except GET { $at{limit_except} }
    }
}
CONF
}


# many lines that are fine in one go, a location each

my $n = 0;
my $fine = '';

for (@table) {
    my ($name, $good, $more) = @$_;

    $fine .= 'location /' . ++$n . " { $name $_; proxy_pass http://u; }\n"
        for @$good, @$more;
}

my ($code, $output) = SmartServer->test_config(conf => <<"CONF");
upstream u { server 127.0.0.1:1; }
server { listen 127.0.0.1:%%PORT%%; $fine }
CONF

is($code, 0, "$n good lines") or diag $output;
like($output, qr/test is successful/, 'good lines: successful');
unlike($output, qr/\[(?:warn|error|emerg|alert)\]/, 'good lines: no complaint');


for (@table) {
    my ($name, $good, $more, $bad) = @$_;
    my $value = $good->[-1];

    for my $args (sort keys %$bad) {
        my ($blame, $allowed) = @{ $bad->{$args} };

        ($code, $output) = config(location => "$name $args;");

        is($code, 1, "$name $args: exit code");

        my ($line) = $output =~ /\[emerg\] (?:\d+#\d+: )?(.*) in \S+:\d+$/m;

        if ($blame eq '.*') {
            like($line, qr/"?$name"?/, "$name $args: names the directive");
            next;
        }

        like($line, qr/^invalid value "$blame" in "$name" directive, it must be (?s:.*)$allowed/,
             "$name $args: message");
    }

    # number of arguments

    ($code, $output) = config(location => "$name;");
    is($code, 1, "$name: no argument");
    like($output, qr/\[emerg\].*invalid number of arguments in "$name" directive/,
         "$name: no argument, message");

    if (!$many{$name}) {
        ($code, $output) = config(location => "$name $value $value $value;");
        is($code, 1, "$name: too many arguments");
        like($output, qr/\[emerg\].*(?:invalid number of arguments in "$name"|in "$name" directive)/,
             "$name: too many arguments, message");
    }

    # duplicates

    ($code, $output) = config(location => "$name $value; $name $value;");
    is($code, 1, "$name: duplicate");
    like($output, qr/\[emerg\].*"$name" directive is duplicate/,
         "$name: duplicate, message");

    ($code, $output) = config(http => "$name $value; $name $value;");
    is($code, 1, "$name: duplicate in http");

    # contexts

    for my $where (qw( http server location )) {
        ($code, $output) = config($where => "$name $value;");
        is($code, 0, "$name: in $where") or diag $output;
    }

    for my $where (qw( main events upstream if_server limit_except ),
                   $in_if{$name} ? () : 'if')
    {
        ($code, $output) = config($where => "$name $value;");
        is($code, 1, "$name: in $where");
        like($output, qr/\[emerg\].*"$name" directive is not allowed here/,
             "$name: in $where, message");
    }

    if ($in_if{$name}) {
        ($code, $output) = config(if => "$name $value;");
        is($code, 0, "$name: in an if of a location") or diag $output;
    }
}


# smart_metrics takes nothing, in a location

for ('smart_metrics on;', 'smart_metrics off;') {
    ($code, $output) = config(location => $_);
    is($code, 1, "$_: exit code");
    like($output, qr/invalid number of arguments in "smart_metrics" directive/,
         "$_: message");
}

($code, $output) = config(location => 'smart_metrics; smart_metrics;');
is($code, 1, 'smart_metrics: duplicate');
like($output, qr/"smart_metrics" directive is duplicate/,
     'smart_metrics: duplicate, message');

for (qw( main events upstream http server if if_server limit_except )) {
    ($code, $output) = config($_ => 'smart_metrics;');
    is($code, 1, "smart_metrics in $_");
    like($output, qr/"smart_metrics" directive is not allowed here/,
         "smart_metrics in $_, message");
}


# what is unknown

for ('smart_hedge $nowhere;', 'smart_timeout $nowhere;',
     'smart_hedge ${nowhere}ms;',
     'smart_hedge "50ms extra=$nowhere";')
{
    ($code, $output) = config(location => $_);
    is($code, 1, "$_: exit code");
    like($output, qr/\[emerg\].*unknown "nowhere" variable/, "$_: message");
}

($code, $output) = config(location => 'smart_hegde 50ms;');
is($code, 1, 'a misspelt directive: exit code');
like($output, qr/unknown directive "smart_hegde"/, 'a misspelt directive');

($code, $output) = config(location => 'smart_timeout $;');
is($code, 1, 'smart_timeout $: exit code');
like($output, qr/\[emerg\]/, 'smart_timeout $: message');


# no http block, a server that does not use it

my $modules = join '', map { "load_module $_;\n" }
                           split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';
my $dir = SmartServer::make_dir("$ENV{TEST_NGINX_SERVROOT}_conf_errors");

SmartServer::spew("$dir/nginx.conf", "${modules}error_log $dir/error.log;\n"
                  . "pid $dir/pid;\nevents { }\n");

my $nginx = $ENV{TEST_NGINX_BINARY} || 'nginx';
$output = `'$nginx' -e '$dir/error.log' -p '$dir' -c '$dir/nginx.conf' -t 2>&1`;
is($?, 0, 'no http block') or diag $output;

done_testing();
