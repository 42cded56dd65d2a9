# smart_schema: what the OpenAPI document says of a configuration, and how it
# is served.  t/schema_contract.t holds it against live answers.

use strict;
use warnings;

use FindBin;
use JSON::PP ();
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartServer;

# the journal would hand in a part of its own
my @modules = grep { m{/ngx_http_smart_module\.so$} }
              split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';

my $fragment = JSON::PP->new->canonical->encode({
    paths => {
        '/api/v1/requests/get' => { get => { operationId => 'journal' } },
        '/metrics' => { get => { operationId => 'never' } },
    },
    components => {
        schemas => { Record => { type => 'object' },
                     Problem => { type => 'never' } },
        parameters => { id => { name => 'id', in => 'query' } },
    },
    tags => [{ name => 'journal', description => 'Records' }],
});

my $ngx = SmartServer->start(modules => \@modules, conf => <<"CONF");
upstream u { server 127.0.0.1:1; }

server {
    listen 127.0.0.1:%%PORT%%;
    server_name shop.example _;

    location = /schema { smart_schema; }
    location = /metrics { smart_metrics; }

    location = /api/smart {
        smart_hedge 300ms extra=2;
        smart_success_status 200;
        smart_success_type application/json text/*;
        smart_timeout \$arg_timeout required;
        smart_errors json;
        proxy_pass http://u;
    }

    location /v1/ {
        smart_name "version \xc3\xa9in \\"1\\"";
        smart_hedge 1s;
        smart_hedge_methods GET HEAD PUT PROPFIND;
        smart_timeout \$http_x_time_out;
        proxy_pass http://u;

        location /v1/deep/er { proxy_pass http://u; }
        location /v1/none/ { smart_hedge off; smart_timeout off;
                             proxy_pass http://u; }
    }

    location = /json {
        smart_hedge 1s;
        smart_success_status 200;
        smart_success_type application/json text/plain;
        smart_success_json /id:integer /user/name:string /user/list/0/x /user
                           /a~1b:any;
        proxy_pass http://u;
    }

    location = /w { smart_timeout 2s; proxy_pass http://u; }
    location /w { smart_timeout \$cookie_t; smart_errors json;
                  proxy_pass http://u; }
    location / { smart_hedge \$http_policy; proxy_pass http://u;
                 limit_except GET { deny all; } }
    location "/sp ace/{x}\xc3\xa9%" {
        smart_hedge 1s;
        smart_success_status 2xx 304;
        proxy_pass http://u;
    }
    location = /a-b { smart_hedge 1s; proxy_pass http://u; }
    location = /a.b { smart_hedge 1s; proxy_pass http://u; }

    # nothing of these
    location = /internal { internal; smart_hedge 1s; proxy_pass http://u; }
    location = /static { smart_hedge 1s; root html; }
    location = /plain { proxy_pass http://u; }
    location ~ ^/regex { smart_hedge 1s; proxy_pass http://u; }
    location \@named { smart_hedge 1s; proxy_pass http://u; }
    location = /post { smart_hedge 1s; smart_hedge_methods PROPFIND;
                       proxy_pass http://u; }
}

server {
    listen 127.0.0.1:%%PORT_2%%;

    location = /schema { smart_schema; }
    location = /other { smart_hedge 1s; proxy_pass http://u; }
}

server {
    listen 127.0.0.1:%%PORT_3%%;
    server_name ~^(?<x>.+)\$;

    location = /schema { smart_schema; }
    location = /metrics { smart_metrics; }
    set \$smart_journal_schema '$fragment';
}

server {
    listen 127.0.0.1:%%PORT_4%%;

    location = /schema { smart_schema; }
    set \$smart_journal_schema '{"paths": {';
}
CONF

my $doc = schema();

check_document();
check_operations();
check_parameters();
check_responses();
check_serving();
check_yaml();
check_others();

$ngx->stop(name => 'the server stops in good order');

my ($code, $output) = SmartServer->test_config(modules => \@modules,
    conf => 'server { location / { smart_schema; smart_schema; } }');
isnt($code, 0, 'twice');
like($output, qr/"smart_schema" directive is duplicate/, 'is a duplicate');

($code, $output) = SmartServer->test_config(modules => \@modules,
    conf => 'server { smart_schema; }');
like($output, qr/"smart_schema" directive is not allowed here/,
     'only in a location');

done_testing;


sub schema {
    my ($port, @headers) = @_;

    my $got = $ngx->get('/schema', addr => $ngx->addr($port // 1),
                        headers => \@headers);

    is($got->{status}, 200, 'the document');

    return JSON::PP::decode_json($got->{body});
}


sub check_document {
    is($doc->{openapi}, '3.1.0', 'version');
    is($doc->{info}{title}, 'shop.example', 'title');
    is_deeply($doc->{servers}, [{ url => '/' }], 'relative to the server');
    is_deeply([map { $_->{name} } @{ $doc->{tags} }], [qw( requests service )],
              'tags');
    is_deeply([sort keys %{ $doc->{paths} }],
              [sort '/schema', '/metrics', '/api/smart', '/v1/{rest}',
                    '/v1/deep/er', '/w', '/w{rest}', '/{rest}', '/a-b', '/a.b',
                    '/json',
                    '/sp%20ace/%7Bx%7D%C3%A9%25'], 'paths');
}


sub methods {
    my ($path) = @_;

    return join ' ', sort grep { $_ ne 'parameters' }
                     keys %{ $doc->{paths}{$path} };
}


sub check_operations {
    is(methods('/api/smart'), 'get head', 'methods: the default');
    is(methods('/v1/{rest}'), 'get head put', 'methods: those that may hedge');
    is(methods('/v1/deep/er'), 'get head put', 'methods: inherited');
    is(methods('/{rest}'), 'get head', 'methods: limit_except');
    is(methods('/schema'), 'get head', 'methods: schema');
    is(methods('/metrics'), 'get head', 'methods: metrics');

    my %ids;

    for my $path (keys %{ $doc->{paths} }) {
        for my $method (split ' ', methods($path)) {
            my $operation = $doc->{paths}{$path}{$method};

            $ids{ $operation->{operationId} }++;
            like($operation->{operationId}, qr/^[a-z]+[A-Za-z0-9_]*$/,
                 "$method $path: its id");
            ok($operation->{summary} ne '' && $operation->{description} ne '',
               "$method $path: texts");
            is(!!$operation->{requestBody}, $method eq 'put',
               "$method $path: body");
        }
    }

    is_deeply([grep { $ids{$_} > 1 } keys %ids], [], 'no id twice');
    ok($ids{get_a_b} && $ids{get_a_b_2}, 'not even of paths much alike');

    is($doc->{paths}{'/v1/{rest}'}{get}{summary}, "version \x{e9}in \"1\"",
       'smart_name');
    like($doc->{paths}{'/api/smart'}{get}{description}, qr/up to 3 attempts/,
         'attempts');
    like($doc->{paths}{'/{rest}'}{get}{description}, qr/several attempts/,
         'as a variable says');
    like($doc->{paths}{'/w'}{get}{description}, qr/within 2000 ms/, 'time');
}


sub parameters {
    my ($path) = @_;

    return join ', ', map {
        join ' ', @$_{qw( in name )}, $_->{required} ? 'required' : (),
                  $_->{schema}{type}
    } @{ $doc->{paths}{$path}{parameters} || [] };
}


sub check_parameters {
    is(parameters('/api/smart'), 'query timeout required integer',
       'parameters: a query');
    is(parameters('/v1/{rest}'), 'path rest required string, '
       . 'header x-time-out integer', 'parameters: a header');
    is(parameters('/v1/deep/er'), 'header x-time-out integer',
       'parameters: inherited');
    is(parameters('/w{rest}'), 'path rest required string, cookie t integer',
       'parameters: a cookie');
    is(parameters('/w'), '', 'parameters: none');
    is(parameters('/schema'), '', 'parameters: none of the schema');
}


sub responses {
    my ($path, $method) = @_;

    my $responses = $doc->{paths}{$path}{$method}{responses};

    return join ', ', map {
        join ' ', $_, sort keys %{ $responses->{$_}{content} || {} }
    } sort keys %$responses;
}


sub check_responses {
    my $problem = 'application/json application/problem+json';

    is(responses('/api/smart', 'get'),
       "200 application/json text/*, 400 $problem, 502 $problem, "
       . "504 $problem", 'responses: JSON');
    is(responses('/api/smart', 'head'), '200, 400, 502, 504',
       'responses: HEAD has no content');
    is(responses('/v1/{rest}', 'put'), '2XX, 3XX, 400, 4XX, 504, default',
       'responses: all statuses, and nginx\'s own pages');
    is(responses('/w{rest}', 'get'),
       "2XX, 3XX, 400 $problem, 4XX, 504 $problem, default",
       'responses: not hedged');
    is(responses('/sp%20ace/%7Bx%7D%C3%A9%25', 'get'), '2XX, 304, default',
       'responses: a class and a status');
    is(responses('/metrics', 'get'),
       '200 application/openmetrics-text text/plain, 403',
       'responses: metrics');
    is(responses('/schema', 'get'),
       '200 application/json application/yaml, 304, 403',
       'responses: schema');

    my $get = $doc->{paths}{'/api/smart'}{get}{responses};

    for my $code (400, 502, 504) {
        for my $type (split ' ', $problem) {
            my $media = $get->{$code}{content}{$type};

            is($media->{schema}{'$ref'}, '#/components/schemas/Problem',
               "$code $type: schema");
            is($media->{example}{status}, $code, "$code $type: example");
            is_deeply([sort keys %{ $media->{example} }],
                      [sort keys %{ $doc->{components}{schemas}{Problem}
                                        {properties} }],
                      "$code $type: members");
        }
    }

    my $json = $doc->{paths}{'/json'}{get}{responses}{200}{content};

    is_deeply($json->{'text/plain'}{schema}, {}, 'text has no members');
    is_deeply($json->{'application/json'}{schema}, {
        type => 'object', required => ['id', 'user', 'a/b'],
        properties => {
            id => { type => 'integer' },
            user => {
                type => 'object', required => ['name', 'list'],
                properties => { name => { type => 'string' }, list => {} },
            },
            'a/b' => {},
        },
    }, 'what smart_success_json wants');

    like($get->{400}{content}{'application/json'}{example}{detail},
         qr/"timeout"/, '400 names the parameter');
}


sub check_serving {
    my $got = $ngx->get('/schema');
    my $etag = $got->{headers}{etag};

    like($etag, qr/^"[0-9a-f]{32}"$/, 'ETag');
    is($got->{headers}{'content-type'}, 'application/json', 'type');
    is($got->{headers}{'cache-control'}, 'no-cache', 'Cache-Control');
    is($got->{headers}{vary}, 'Accept', 'Vary');
    is($got->{headers}{'content-length'}, length $got->{body}, 'length');

    my $again = $ngx->get('/schema', headers => ['If-None-Match' => $etag]);
    is($again->{status}, 304, 'If-None-Match');
    is($again->{size}, 0, 'nothing twice');

    $again = $ngx->get('/schema', headers => ['If-None-Match' => '"other"']);
    is($again->{status}, 200, 'another ETag');
    is($again->{body}, $got->{body}, 'the document is the same');

    my $c = $ngx->connect;
    $c->request('/schema', method => 'HEAD', header_only => 1);
    my $head = $c->read_header;
    is($head->{status}, 200, 'HEAD');
    is($head->{headers}{etag}, $etag, 'HEAD: ETag');
    is($head->{headers}{'content-length'}, length $got->{body}, 'HEAD: length');

    $again = $ngx->get('/schema', method => 'POST', body => 'x');
    is($again->{status}, 405, 'POST');

    ok($ngx->reload, 'reload');
    $again = $ngx->get('/schema', headers => ['If-None-Match' => $etag]);
    is($again->{status}, 304, 'the same after it');
}


sub check_yaml {
    my $json = $ngx->get('/schema')->{headers}{etag};

    for my $row (
        ['application/yaml', 'application/yaml'],
        ['application/openapi+yaml', 'application/openapi+yaml'],
        ['text/yaml', 'application/yaml'],
        ['application/json;q=0.5, application/yaml;q=0.8', 'application/yaml'],
        ['application/yaml, */*', 'application/yaml'],
        ['application/yaml, */*;q=0.1', 'application/yaml'],
        ['application/json, application/yaml', 'application/json'],
        ['application/yaml;q=0.2, application/json', 'application/json'],
        ['application/yaml;q=0.2, */*', 'application/json'],
        ['application/yaml;q=0', 'application/json'],
        ['text/html', 'application/json'],
        ['*/*', 'application/json'],
    ) {
        my ($accept, $type) = @$row;
        my $got = $ngx->get('/schema', headers => [Accept => $accept]);

        is($got->{headers}{'content-type'}, $type, "Accept: $accept");
        is($got->{headers}{etag} eq $json, $type eq 'application/json',
           "Accept: $accept: an ETag for each form");
    }

    my $text = $ngx->get('/schema', headers => [Accept => 'text/yaml'])->{body};

    like($text, qr/^openapi: "3\.1\.0"\ninfo:\n  title: "shop\.example"\n/,
         'YAML');
    like($text, qr/^servers:\n  - url: "\/"\nsecurity: \[\]\n/m, 'lists');
    like($text, qr/^  "\/api\/smart":\n    get:\n/m, 'paths');
    like($text, qr/^        "200":\n/m, 'statuses are no numbers');

    # again as JSON
    is_deeply(yaml([map { [/^( *)(.*)$/] } split /\n/, $text]), $doc,
              'says the same');
}


# of what we write ourselves: block style, JSON as scalars

sub yaml {
    my ($lines) = @_;

    my $depth = length $lines->[0][0];
    my $value;

    while (@$lines && length $lines->[0][0] == $depth) {
        my $line = shift @$lines;
        my $text = $line->[1];

        if ($text =~ s/^- ?//) {
            $value //= [];

            if ($text =~ /^(?:"(?:[^"\\]|\\.)*"|\w+):/) {
                unshift @$lines, [' ' x ($depth + 2), $text];
                push @$value, yaml($lines);

            } else {
                push @$value, scalar_of($text);
            }

            next;
        }

        my ($key, $rest) = $text =~ /^("(?:[^"\\]|\\.)*"|\w+):(.*)$/
            or die "no key: $text\n";

        $key = scalar_of($key) if $key =~ /^"/;
        $value->{$key} = $rest eq '' ? yaml($lines) : scalar_of($rest);
    }

    return $value;
}


sub scalar_of {
    return JSON::PP->new->utf8->allow_nonref->decode($_[0]);
}


sub check_others {
    my $other = schema(2);

    is($other->{info}{title}, 'nginx', 'a server without a name');
    is_deeply([sort keys %{ $other->{paths} }], ['/other', '/schema'],
              'each server has its own');
    ok(!$other->{components}, 'and nothing that it does not need');

    $other = schema(3);

    is_deeply([sort keys %{ $other->{paths} }],
              [qw( /api/v1/requests/get /metrics /schema )],
              'the journal adds paths');
    is($other->{paths}{'/metrics'}{get}{operationId}, 'get_metrics',
       'and takes none away');
    is($other->{components}{schemas}{Record}{type}, 'object', 'schemas');
    is($other->{components}{parameters}{id}{in}, 'query', 'parameters');
    is_deeply([map { $_->{name} } @{ $other->{tags} }], [qw( service journal )],
              'tags');

    my $got = $ngx->get('/schema', addr => $ngx->addr(3),
                        headers => [Accept => 'text/yaml']);
    like($got->{body}, qr{^  "/api/v1/requests/get":\n    get:\n}m, 'as YAML');

    my $again = $ngx->get('/schema', addr => $ngx->addr(3),
                    headers => [Accept => 'text/yaml',
                                'If-None-Match' => $got->{headers}{etag}]);
    is($again->{status}, 304, 'and with its ETag');

    $other = schema(4);
    is_deeply([keys %{ $other->{paths} }], ['/schema'],
              'what is no JSON is left out');
    $ngx->log_like(qr/\[error\].*\$smart_journal_schema is no JSON/, 'and told');
}
