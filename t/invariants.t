# What hedging relies on in nginx and nginx promises nobody: an nginx without the
# module, and a probe that does to an upstream what the module does. Where a new
# version of nginx differs, this says so before a race does.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use SmartProbe;
use SmartProtocol;
use SmartServer;

plan skip_all => SmartProbe::missing() if SmartProbe::missing();

SmartServer->upstream;
$ENV{TEST_NGINX_DEAD} = SmartServer::dead_addr();

SmartProtocol->start('fastcgi');

my $grpc_port = SmartServer::free_port();
my $probe = SmartProbe->probe;
my $source = SmartProbe::sources();

# nothing of the module's
$ENV{TEST_NGINX_LOAD_MODULES} = $probe;

my $ngx = SmartServer->start(conf => conf());

my ($id, $from) = (0, 0);

# buffered, unbuffered, with a pipe of its own, into a cache, without a pipe
my @passes = qw( buffered unbuffered cached stored fastcgi grpc );


finalized_once();
released_after();
parked();
not_parked();
discarded();
refused();
piped();
terminated();
output_ctx();

SKIP: {
    skip 'no stub_status', 1 if !defined $ngx->stub_status->{active};

    ok(SmartServer::wait_for(sub { $ngx->stub_status->{active} == 1 }, 5),
       'no connection is active');
}

$ngx->stop(name => 'no socket is left, and nothing was reported');

done_testing;


# what the probe has logged for one request, without the prefix

sub probed {
    my ($uri, %opt) = @_;

    my $n = ++$id;
    my $c = $ngx->connect;
    my $sep = $uri =~ /\?/ ? '&' : '?';

    $c->request("$uri${sep}n=$n", close => 1,
                map { $_ => $opt{$_} } grep { /^(?:method|headers|body)$/ }
                    keys %opt);

    if ($opt{leave}) {
        SmartServer->ctl("wait?id=$opt{leave}&event=request&ms=5000&count="
                         . ($opt{count} // 1));
        $c->reset;
    }

    my $head = $opt{leave} ? undef : $c->read_header;
    my $body = $head ? $c->read_body : undef;

    my @lines;

    # the last line names the connection, but no request

    SmartServer::wait_for(sub {
        my $log = $ngx->error_log;
        my ($conn) = $log =~ /(\*\d+) probe .*[?&]n=$n[ &"]/ or return 0;

        @lines = $log =~ /\Q$conn\E probe (.*?)(?: while |, client: )/g;
        return ($opt{ends} // 1) <= grep { /^end / } @lines;
    }, 5);

    return { status => $head ? $head->{status} : 0,
             complete => $body ? $body->{complete} : 0, lines => \@lines,
             finalize => [grep { /^finalize/ } @lines],
             map { my $k = $_; ($k => (grep { /^$k/ } @lines)[0] // '') }
                 qw( discard flush resume pipe body done end ) };
}


# finalize_request runs once for each upstream, when cleanup is NULL

sub finalized_once {
    my @tests = (
        ['s=body:x', 200, 0],
        ['s=size:200000', 200, 0],
        ['s=size:200000;cut:1000', 200, '(?:502|-1|0)'],
        ['s=status:404;body:x', 404, 0],
        ['s=close', 502, 502],
        ['s=hang', 504, 504],
        ['s=h:X-Accel-Redirect=/target', 204, -5],
    );

    for my $pass (@passes) {
        for my $test (@tests) {
            my ($script, $status, $rc) = @$test;

            next if $pass eq 'grpc' && $script =~ /cut|Accel/;

            my $r = probed("/watch/$pass/?id=" . ++$id . "&$script");
            my $name = "$pass, $script";

            is($r->{status}, $status, "$name: status");
            is(scalar @{ $r->{finalize} }, 1, "$name: finalized once");
            like($r->{finalize}[0] // '', qr/main=1 rc=$rc cleanup=0 /,
                 "$name: without a cleanup");
            like($r->{done}, qr/references=0 handlers=1/,
                 "$name: NGX_DONE drops a reference, and that is all");
        }
    }

    my $r = probed('/watch/refused/');

    like("$r->{status} @{ $r->{finalize} }",
         qr/^502 finalize main=1 rc=502 cleanup=0 peer=0 \S+ cache=0$/,
         'refused: finalized once, without a peer');

    $r = probed('/watch/buffered/?id=left&s=hang', leave => 'left');

    like("@{ $r->{finalize} }", qr/^finalize main=1 rc=499 cleanup=0 \S+ \S+ \S+$/,
         'client leaves: finalized once');
}


# and before peer, connection and cache entry are given up

sub released_after {
    for my $pass (@passes) {
        my $r = probed("/watch/$pass/?id=" . ++$id . '&s=hang');
        my $cache = $pass eq 'cached' ? 1 : 0;

        # a timeout has freed the peer already
        like($r->{finalize}[0] // '', qr/ peer=0 connection=[01] cache=$cache/,
             "$pass, timed out: cache entry is there");

        $r = probed("/watch/$pass/?id=held$pass&s=hang",
                    leave => "held$pass");
        like($r->{finalize}[0] // '', qr/ peer=1 connection=1 cache=$cache/,
             "$pass, client left: all of them are there")
            if $pass !~ /cached|stored/;
    }
}


# a header that seems to be sent: a flush, its NGX_DONE is handed on

sub parked {
    for my $pass (@passes) {
        for my $script ('close', 'hang', 'cuthead') {
            my $r = probed("/park/$pass/?id=" . ++$id . "&s=$script");
            my $name = "parked, $pass, $script";

            is($r->{flush}, 'flush flush=1 last=0 next=0 cleanup=0 peer=0 '
                            . 'connection=0', "$name: a flush, all is free");
            is($r->{resume}, 'resume count=1 sent=0 buffered=0',
               "$name: a reference is left");
            is("$r->{status} $r->{complete}", '405 1',
               "$name: another response");
            is(scalar @{ $r->{finalize} }, 1, "$name: finalized once");
        }
    }

    my $r = probed('/park/intercepted/?id=' . ++$id . '&s=status:404');

    is($r->{resume}, 'resume count=1 sent=0 buffered=0',
       'parked, intercepted: a reference is left');
    is($r->{status}, 405, 'parked, intercepted: another response');
}


# 408 and 499 are not flushed; nor is it a redirect

sub not_parked {
    my $r = probed('/park/buffered/?id=gone&s=hang', leave => 'gone');

    like("@{ $r->{finalize} }", qr/ rc=499 /, 'client leaves: 499');
    is($r->{flush}, '', 'client leaves: no flush');

    $r = probed('/park/streamed/?id=' . ++$id . '&s=ok', method => 'POST',
                headers => ['Content-Length' => 100], body => undef);

    like("@{ $r->{finalize} }", qr/ rc=408 /, 'no request body: 408');
    is($r->{flush}, '', 'no request body: no flush');

    $r = probed('/park/buffered/?id=' . ++$id
                . '&s=h:X-Accel-Redirect=/target');

    is($r->{status}, 204, 'redirected');
    is($r->{flush}, '', 'redirected: no flush');
}


# a second finalization, without a cleanup, only drops a reference; whoever
# sends a header hands the error on

sub discarded {
    for my $pass (@passes) {
        for my $script ('body:x', 'size:200000', 'status:503;body:x', 'body:') {
            my $r = probed("/discard/$pass/?id=" . ++$id . "&s=$script");
            my $name = "discarded, $pass, $script";

            is($r->{discard}, 'discard cleanup=0 peer=0 connection=0',
               "$name: all is free");
            is($r->{resume}, 'resume count=1 sent=0 buffered=0',
               "$name: a reference is left");
            is("$r->{status} $r->{complete}", '405 1',
               "$name: another response");
            like("@{ $r->{finalize} }", qr/^finalize main=1 rc=-?\d+ \S+ \S+ \S+ \S+$/,
                 "$name: finalized once");
        }
    }
}


sub refused {
    for my $pass (@passes) {
        for my $script ('body:x', 'size:200000', 'status:503;body:x', 'body:') {
            my $r = probed("/refuse/$pass/?id=" . ++$id . "&s=$script");
            my $name = "refused, $pass, $script";

            is($r->{status}, 0, "$name: no response");
            is($r->{body}, '', "$name: no body");
            like("@{ $r->{finalize} }", qr/^finalize main=1 rc=-1 cleanup=0 /,
                 "$name: the error comes back");
        }
    }
}


# input_filter_init comes after output_ctx, before anything has gone through

sub piped {
    for my $pass (qw( buffered cached stored fastcgi )) {
        my $r = probed("/watch/$pass/?id=" . ++$id . '&s=size:100000');

        is($r->{pipe}, 'pipe output=1 read=0 in=0 out=0',
           "$pass: the pipe is set up and empty");
        is($r->{complete}, 1, "$pass: and runs");
    }
}


# the upstreams of subrequests are in the main request's list

sub terminated {
    for my $pass (@passes) {
        my $r = probed("/clone/$pass/?id=two$pass&s=hang",
                       leave => "two$pass", count => 2, ends => 2);

        is(scalar(grep { /main=1/ } @{ $r->{finalize} }), 1,
           "clone, $pass, client left: the request's upstream");
        is(scalar(grep { /main=0/ } @{ $r->{finalize} }), 1,
           "clone, $pass, client left: the clone's");
        is(scalar(grep { /^end main=\d finalized=1 / } @{ $r->{lines} }), 2,
           "clone, $pass, client left: once each");
    }
}


# all that the pipe does with its output_ctx

sub output_ctx {
    SKIP: {
        skip 'no sources of nginx', 2 if !defined $source;

        my @uses = map { s/^\s+//r }
                   grep { /\boutput_ctx\b/
                          && !/p->output_filter\(p->output_ctx, [\w>-]+\);/
                          && !/\bdownstream->data [!=]= p->output_ctx\)?$/ }
                   SmartServer::slurp("$source/event/ngx_event_pipe.c")
                   =~ /^.*$/mg;

        is_deeply(\@uses, [], 'the pipe compares output_ctx with the owner of '
                              . 'the connection, and hands it to the filter');

        my %others = map { $_ => 1 } grep { $_ !~ m{/ngx_event_pipe\.[ch]$} }
            split /\n/, `grep -rlw output_ctx $source`;

        is_deeply([sort keys %others], ["$source/http/ngx_http_upstream.c"],
                  'and nobody else does anything with it');
    }
}


sub conf {
    my $conf = <<'CONF';
proxy_cache_path %%DIR%%/cache keys_zone=c:1m;
proxy_http_version 1.1;
proxy_set_header Host upstream;
proxy_set_header Connection close;
proxy_next_upstream off;
proxy_read_timeout 300ms;
fastcgi_next_upstream off;
fastcgi_read_timeout 300ms;
grpc_next_upstream off;
grpc_read_timeout 300ms;
client_body_timeout 300ms;

GRPC

server {
    listen 127.0.0.1:%%PORT%%;
    location = /target { return 204; }
    location /watch/refused/ {
        probe watch; proxy_pass http://$TEST_NGINX_DEAD;
    }
    location /park/intercepted/ {
        probe park; proxy_intercept_errors on; error_page 404 /target;
        proxy_pass http://$TEST_NGINX_UP1;
    }
    location /park/streamed/ {
        probe park; proxy_request_buffering off;
        proxy_pass http://$TEST_NGINX_UP1;
    }
CONF

    for my $word (qw( watch refuse discard park clone )) {
        $conf .= <<"CONF";
    location /$word/buffered/ {
        probe $word; proxy_pass http://\$TEST_NGINX_UP1;
    }
    location /$word/unbuffered/ {
        probe $word; proxy_buffering off; proxy_pass http://\$TEST_NGINX_UP1;
    }
    location /$word/cached/ {
        probe $word; proxy_cache c; proxy_cache_valid any 1m;
        proxy_pass http://\$TEST_NGINX_UP1;
    }
    location /$word/stored/ {
        probe $word; proxy_store %%DIR%%/store/\$arg_id;
        proxy_pass http://\$TEST_NGINX_UP1;
    }
    location /$word/fastcgi/ {
        probe $word; fastcgi_pass \$TEST_NGINX_PEER1;
        fastcgi_param REQUEST_METHOD \$request_method;
        fastcgi_param REQUEST_URI \$request_uri;
    }
    location /$word/grpc/ {
        probe $word; grpc_pass grpc://127.0.0.1:$grpc_port;
    }
CONF
    }

    my $listen = SmartProtocol::http2_listen("127.0.0.1:$grpc_port");

    $conf =~ s{^GRPC\n}{<<"CONF"}me;
server {
    $listen
    location / {
        proxy_read_timeout 60s;
        proxy_pass http://\$TEST_NGINX_UP1;
        error_page 502 = \@drop;
    }
    location \@drop { return 444; }
}
CONF

    return "$conf}\n";
}
