# Other modules beside ours, as Debian packages them for its own nginx: they
# work on the answer of a hedge as on any other. These name their place among
# the filters, so that the order of load_module does not matter; a filter that
# names none and is loaded after ours is refused: it would see what is withheld.

use strict;
use warnings;

use Compress::Zlib ();
use Digest::MD5;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Uncompress::Gunzip;
use Test::More;
use SmartProbe;
use SmartServer;

# or of another nginx, by hand
my $where = $ENV{SMART_TEST_MODULES} || '/usr/lib/nginx/modules';
my $nginx = $ENV{TEST_NGINX_BINARY} || 'nginx';
my ($ours) = grep { /ngx_http_smart_module/ }
             split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';

plan skip_all => 'the module is not loaded, but linked' if !$ours;
plan skip_all => 'not the nginx that Debian packages'
    if !$ENV{SMART_TEST_MODULES}
       && SmartServer::build_options() !~ m{--modules-path=\Q$where\E };

# name => its files, in the order in which they need each other
my %module = (
    lua => [qw( ndk_http_module ngx_http_lua_module )],
    echo => ['ngx_http_echo_module'],
    headers_more => ['ngx_http_headers_more_filter_module'],
    brotli => ['ngx_http_brotli_filter_module'],
    subs => ['ngx_http_subs_filter_module'],
    js => ['ngx_http_js_module'],
    set_misc => [qw( ndk_http_module ngx_http_set_misc_module )],
    image => ['ngx_http_image_filter_module'],
    xslt => ['ngx_http_xslt_filter_module'],
);

my $asked = 0;

SmartServer->upstream;

for my $name (sort keys %module) {
    SKIP: {
        my ($missing) = grep { !-e } paths($name);

        skip "there is no $missing", 1 if $missing;

        no strict 'refs';
        subtest $name => \&{"test_$name"};
    }
}

together('before ours', 1);
together('after ours', 0);
on_top();

done_testing;


sub paths {
    my %seen;

    return grep { !$seen{$_}++ } map { "$where/$_.so" }
           map { @{ $module{$_} } } @_;
}


sub start {
    my ($names, $locations, %opt) = @_;

    return SmartServer->start(
        modules => [paths(@$names), $ours],
        conf => ($opt{http} // '') . <<"CONF",
smart_hedge_budget off;
upstream u {
    server \$TEST_NGINX_UP1 max_fails=0; server \$TEST_NGINX_UP2 max_fails=0;
}
server {
    listen 127.0.0.1:%%PORT%%;
    smart_hedge 50ms;
    $locations
}
CONF
        %opt{ grep { $_ ne 'http' } keys %opt },
    );
}


# each state of the attempts and the answer's script in it

sub states {
    my ($answer) = @_;

    return (
        one => $answer,
        slow => "hang|$answer",
        bad => "status:503;h:X-Lost=1;body:lost|$answer",
        closed => "close|$answer",
        primary => "delay:200;$answer|hang",
    );
}


# asks in each state; the attempts are as many as they have to be

sub ask {
    my ($ngx, $place, $answer, $check, %opt) = @_;

    my %states = states($answer);
    my $serial = ++$asked;

    for my $state (sort keys %states) {
        my $id = "$serial-$state";
        my $got = $ngx->get("$place?id=$id&s=$states{$state}", %opt);

        is($got->{status}, 200, "$state: status");
        is($got->{complete}, 1, "$state: complete");
        unlike($got->{header}, qr/X-Lost/, "$state: nothing of a loser");
        is(SmartServer->ctl("count?id=$id"), $state eq 'one' ? "1\n" : "2\n",
           "$state: attempts");
        $check->($got, $state, $id);
    }
}


sub test_headers_more {
    my $ngx = start(['headers_more'], <<'CONF');
    location / {
        more_set_headers "X-More: $upstream_http_x_mark" "Server: other";
        more_clear_headers X-Clear;
        more_set_input_headers "X-Input: in";
        proxy_pass http://u;
    }
    location /failed/ {
        more_set_headers -s 503 "X-Failed: yes";
        proxy_pass http://u;
    }
CONF

    ask($ngx, '/', 'h:X-Mark=m;h:X-Clear=1;echo', sub {
        my ($got, $state) = @_;
        my $h = $got->{headers};

        is($h->{'x-more'}, 'm', "$state: set once");
        is($h->{server}, 'other', "$state: replaced");
        is($h->{'x-clear'}, undef, "$state: cleared");
        like($got->{body}, qr/"x-input":"in"/, "$state: input");
    });

    my $got = $ngx->get('/failed/?id=f&s=status:503');

    is($got->{status}, 503, 'all failed');
    is($got->{headers}{'x-failed'}, 'yes', 'all failed: set');

    $ngx->stop;
}


sub test_brotli {
    my $ngx = start(['brotli'], <<'CONF');
    brotli on; brotli_types text/plain; brotli_min_length 100;
    gzip on; gzip_types text/plain; gzip_min_length 100;
    location / { proxy_pass http://u; }
CONF

    my $brotli = grep { -x "$_/brotli" } split /:/, $ENV{PATH};

    ask($ngx, '/', 'size:100000', sub {
        my ($got, $state) = @_;

        is($got->{headers}{'content-encoding'}, 'br', "$state: encoded");

        SKIP: {
            skip 'there is no brotli', 1 if !$brotli;

            my $file = $ngx->dir . '/answer.br';

            SmartServer::spew($file, $got->{body});
            is(`brotli -dc '$file' | md5sum` =~ s/\s.*//sr,
               SmartServer->pattern_md5(100000), "$state: decodes");
        }
    }, headers => ['Accept-Encoding' => 'br, gzip']);

    ask($ngx, '/gzip/', 'size:100000', sub {
        my ($got, $state) = @_;
        my $body;

        is($got->{headers}{'content-encoding'}, 'gzip', "$state: encoded");
        IO::Uncompress::Gunzip::gunzip(\$got->{body} => \$body);
        is(Digest::MD5::md5_hex($body // ''),
           SmartServer->pattern_md5(100000), "$state: decodes");
    }, headers => ['Accept-Encoding' => 'gzip']);

    $ngx->stop;
}


sub test_subs {
    my $ngx = start(['subs'], <<'CONF');
    subs_filter_types text/plain;
    subs_filter one two g;
    subs_filter 'th(r+)ee' '3$1' gr;
    location / { proxy_pass http://u; }
CONF

    ask($ngx, '/', 'body:one%20three%20one', sub {
        my ($got, $state) = @_;

        is($got->{body}, 'two 3r two', "$state: replaced once");
    });

    $ngx->stop;
}


sub test_echo {
    my $ngx = start(['echo'], <<'CONF');
    location /echo { echo -n "echo $arg_a"; }
    location /sleep { echo_sleep 0.1; echo slept; }
    location /sub {
        echo_location /proxied "s=body:one";
        echo_location /proxied "s=body:two";
    }
    location /proxied { proxy_pass http://u; }
    location / {
        echo_before_body before; echo_after_body after;
        proxy_pass http://u;
    }
CONF

    is($ngx->get('/echo?a=b')->{body}, 'echo b', 'a content handler');
    is($ngx->get('/sleep')->{body}, "slept\n", 'one that waits');
    is($ngx->get('/sub')->{body}, 'onetwo', 'subrequests');

    ask($ngx, '/', 'size:50000', sub {
        my ($got, $state) = @_;

        is($got->{size}, 50000 + length("before\nafter\n"), "$state: size");
        like($got->{body}, qr/\Abefore\n.*after\n\z/s, "$state: around");
    });

    $ngx->stop;
}


sub test_lua {
    my $ngx = start(['lua'], <<'CONF', http => <<'HTTP');
    location / {
        set_by_lua_block $set { return "set" }
        rewrite_by_lua_block { ngx.req.set_header("X-Rewrite", ngx.var.set) }
        access_by_lua_block {
            count("access")
            local r = ngx.location.capture("/check")
            ngx.req.set_header("X-Check", r.body)
        }
        body_filter_by_lua_block {
            if ngx.arg[2] then
                count("last")
                ngx.arg[1] = (ngx.arg[1] or "") .. "+lua"
            end
        }
        log_by_lua_block { count("log") }
        header_filter_by_lua_block {
            count("header")
            ngx.header.content_length = nil
            ngx.header["X-Lua"] = ngx.status .. " "
                                  .. (ngx.header["X-Mark"] or "none")
        }
        proxy_pass http://u;
    }
    location /denied/ {
        access_by_lua_block { ngx.exit(403) }
        proxy_pass http://u;
    }
    location /sleeps/ {
        access_by_lua_block { ngx.sleep(0.1) }
        proxy_pass http://u;
    }
    location = /check { proxy_pass http://u/?s=body:checked; }
    location = /content { content_by_lua_block { ngx.say("content") } }
    location = /captures {
        content_by_lua_block {
            local a, b = ngx.location.capture_multi{
                { "/plain/?s=body:a" }, { "/plain/?s=delay:200%3Bbody:b" } }
            ngx.print(a.body, b.body)
        }
    }
    location /plain/ { proxy_pass http://u; }
    location = /counts {
        content_by_lua_block {
            for _, k in ipairs{"access", "header", "last", "log"} do
                ngx.print(k, "=", ngx.shared.counts:get(k) or 0, " ")
            end
            ngx.shared.counts:flush_all()
        }
    }
CONF
lua_shared_dict counts 1m;
init_by_lua_block {
    function count(k) ngx.shared.counts:incr(k, 1, 0) end
}
HTTP

    ask($ngx, '/', 'h:X-Mark=m;echo', sub {
        my ($got, $state) = @_;

        is($got->{headers}{'x-lua'}, '200 m', "$state: header filter");
        like($got->{body}, qr/\A\{[^+]*\}\s*\+lua\z/, "$state: body filter");
        like($got->{body}, qr/"x-rewrite":"set"/, "$state: rewrite");
        like($got->{body}, qr/"x-check":"checked"/, "$state: access");

        my $counts = '';

        SmartServer::wait_for(sub {
            $counts = $ngx->get('/counts')->{body};
            return $counts =~ /log=1/;
        }, 0);
        is($counts, 'access=1 header=1 last=1 log=1 ',
           "$state: each phase once");
    });

    is($ngx->get('/denied/?id=d&s=hang|ok')->{status}, 403, 'denied');
    is(SmartServer->ctl('count?id=d'), "0\n", 'denied: no attempt');
    is($ngx->get('/sleeps/?id=s&s=hang|body:x')->{body}, 'x',
       'a phase that waits');
    is(SmartServer->ctl('count?id=s'), "2\n", 'a phase that waits: attempts');
    is($ngx->get('/content')->{body}, "content\n", 'content');
    is($ngx->get('/captures')->{body}, 'ab', 'captured');

    $ngx->stop;
}


sub test_js {
    my $ngx = start(['js'], <<'CONF', http => <<'HTTP',
    location / {
        js_header_filter m.header; js_body_filter m.body;
        proxy_pass http://u;
    }
    location = /content { js_content m.content; }
    location /plain/ { proxy_pass http://u; }
CONF
js_path %%DIR%%;
js_import m.js;
HTTP
                    files => { 'm.js' => <<'JS' });
function header(r) {
    r.headersOut['X-JS'] = r.status + ' ' + r.headersOut['X-Mark'];
    delete r.headersOut['Content-Length'];
}
function body(r, data, flags) {
    r.sendBuffer(data.toUpperCase() + (flags.last ? '+JS' : ''), flags);
}
function content(r) {
    r.subrequest('/plain/', 's=body:sub',
                 res => r.return(200, res.responseText));
}
export default { header, body, content };
JS

    ask($ngx, '/', 'h:X-Mark=m;body:abc', sub {
        my ($got, $state) = @_;

        is($got->{headers}{'x-js'}, '200 m', "$state: header filter");
        like($got->{body}, qr/\AABC\+JS\z/, "$state: body filter");
    });

    is($ngx->get('/content')->{body}, 'sub', 'content');

    $ngx->stop;
}


sub test_set_misc {
    my $ngx = start(['set_misc'], <<'CONF');
    location / {
        set_md5 $md5 $arg_id;
        add_header X-MD5 $md5;
        proxy_pass http://u;
    }
CONF

    ask($ngx, '/', 'body:x', sub {
        my ($got, $state, $id) = @_;

        is($got->{headers}{'x-md5'}, Digest::MD5::md5_hex($id),
           "$state: a variable");
    });

    $ngx->stop;
}


# Filters that hold a body until they know what to make of it, and that answer
# with an error where they cannot: after a hedge's header has been passed on.

sub test_image {
    my $ngx = start(['image'], held('image_filter resize 4 4;', 415));
    my $png = png(16, 8);
    my $script = 'type:image/png;body:' . encoded($png);
    my $plain = $ngx->get("/plain/?s=$script")->{body};

    is($plain, $png, 'the image of the upstream');

    for my $place ('/', '/unbuffered/', '/page/', '/hedged/', '/cached/') {
        my $body;

        ask($ngx, $place, $script, sub {
            my ($got, $state) = @_;

            $body //= $got->{body};
            is($got->{headers}{'content-type'}, 'image/png',
               "$place, $state: type");
            like($got->{body}, qr/\A\x89PNG.*IHDR\0{3}\x04\0{3}\x02/s,
                 "$place, $state: made smaller");
            is($got->{body}, $body, "$place, $state: as another one");
        });
    }

    refused($ngx, 415, 'no image', 'type:image/png;body:none');
    refused($ngx, 415, 'half an image',
            'type:image/png;body:' . encoded(substr $png, 0, 40));
    refused($ngx, 415, 'a large one', 'type:image/png;size:200000');
    refused($ngx, 415, 'pieces', 'type:image/png;chunked:5,30000,10');

    $ngx->stop;
}


sub test_xslt {
    my $ngx = start(['xslt'], held('xslt_stylesheet %%DIR%%/x.xslt;', 500),
                    files => { 'x.xslt' => <<'XSLT' });
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:output method="text"/>
<xsl:template match="/"><xsl:value-of select="count(//b)"/></xsl:template>
</xsl:stylesheet>
XSLT

    my $script = 'type:text/xml;body:' . encoded('<a><b/><b/><b/></a>');

    for my $place ('/', '/unbuffered/', '/page/', '/hedged/', '/cached/') {
        ask($ngx, $place, $script, sub {
            my ($got, $state) = @_;

            is($got->{body}, '3', "$place, $state: transformed");
        });
    }

    refused($ngx, 500, 'no XML', 'type:text/xml;body:none');
    refused($ngx, 500, 'half of it',
            'type:text/xml;body:' . encoded('<a><b/>'));
    refused($ngx, 500, 'a large one', 'type:text/xml;size:200000');
    refused($ngx, 500, 'pieces', 'type:text/xml;chunked:5,30000,10');

    $ngx->stop;
}


# a body's filter, and where its error leads

sub held {
    my ($filter, $status) = @_;

    return <<"CONF", http => <<'HTTP';
    location /plain/ { proxy_pass http://u; }
    location / { $filter proxy_pass http://u; }
    location /unbuffered/ {
        $filter proxy_buffering off; proxy_pass http://u;
    }
    location /page/ {
        $filter error_page $status = /static; proxy_pass http://u;
    }
    location /hedged/ {
        $filter error_page $status = \@hedged; proxy_pass http://u;
    }
    location /cached/ {
        $filter proxy_cache c; proxy_cache_valid 1m;
        error_page $status = \@hedged; proxy_pass http://u;
    }
    location = /static { return 200 "static"; }
    location \@hedged {
        rewrite ^ /plain/ break;
        proxy_set_header X-Script "delay:80;body:other";
        proxy_pass http://u;
    }
CONF
proxy_cache_path %%DIR%%/cache keys_zone=c:1m;
HTTP
}


sub refused {
    my ($ngx, $status, $name, $answer) = @_;

    my %expected = ('/' => "$status", '/unbuffered/' => "$status");

    # With an upstream behind the page nginx itself closes the connection; with
    # any page, and more of the body to come, it reads what it has closed.

    %expected = (%expected, '/page/' => '200 static', '/hedged/' => 'none',
                 '/cached/' => 'none')
        if $answer !~ /size|chunked/;

    my %states = states($answer);

    for my $place (sort keys %expected) {
        for my $state (sort keys %states) {
            my $id = ++$asked . "-$state";
            my $text = "$name, $place, $state";
            my $c = $ngx->connect;

            $c->request("$place?id=$id&s=$states{$state}");

            my $head = $c->read_header;
            my $got = $head ? $head->{status} : 'none';

            $got .= ' ' . $c->read_body->{body} if $expected{$place} =~ / /;

            is($got, $expected{$place}, $text);
            isnt($c->error // '', 'timeout', "$text: comes to an end");

            # whatever has become of the connection
            $c->close;
        }
    }

    is(SmartServer->ctl('busy?ms=5000'), "0\n", "$name: nothing goes on");
}


# a text within a step of a script

sub encoded {
    my ($text) = @_;

    for (1, 2) {
        $text =~ s/([^A-Za-z0-9_.-])/sprintf '%%%02X', ord $1/ges;
    }

    return $text;
}


# an image of one colour

sub png {
    my ($width, $height) = @_;

    my $chunk = sub {
        my ($type, $data) = @_;

        return pack('N', length $data) . $type . $data
               . pack 'N', Compress::Zlib::crc32($type . $data);
    };

    return "\x89PNG\r\n\x1a\n"
           . $chunk->('IHDR', pack 'N2C5', $width, $height, 8, 0, 0, 0, 0)
           . $chunk->('IDAT', Compress::Zlib::compress(
                          ("\0" . "\x80" x $width) x $height))
           . $chunk->('IEND', '');
}


# all of them at once

sub together {
    my ($name, $before) = @_;

    my @paths = paths(grep { !grep { !-e } paths($_) } sort keys %module);
    my $ngx = start([], <<'CONF',
    location / { proxy_pass http://u; }
    location /gzip/ {
        gzip on; gzip_types text/plain;
        proxy_pass http://u;
    }
CONF
                    modules => $before ? [@paths, $ours] : [$ours, @paths]);

    subtest "all $name" => sub {
        ask($ngx, '/', 'size:300000', sub {
            my ($got, $state) = @_;

            is($got->{md5}, SmartServer->pattern_md5(300000),
               "$state: the body");
        });

        ask($ngx, '/gzip/', 'size:300000', sub {
            my ($got, $state) = @_;
            my $body;

            IO::Uncompress::Gunzip::gunzip(\$got->{body} => \$body);
            is(Digest::MD5::md5_hex($body // ''),
               SmartServer->pattern_md5(300000), "$state: compressed");
        }, headers => ['Accept-Encoding' => 'gzip']);

        $ngx->stop;
    };
}


# filters without a place are where they are loaded: the last is on top

sub on_top {
    SKIP: {
        skip SmartProbe::missing(), 6 if SmartProbe::missing();

        my $conf = 'server { listen 127.0.0.1:%%PORT%%; smart_hedge 1s; }';

        for my $kind (qw( header body none )) {
            my $so = SmartProbe->build('ngx_http_probe_module', probe($kind));
            my ($status, $output) = SmartServer->test_config(
                modules => [$ours, $so], conf => $conf);

            if ($kind eq 'none') {
                is($status, 0, 'no filter after ours: accepted')
                    or diag($output);
                next;
            }

            is($status, 1, "a $kind filter after ours: refused");
            like($output, qr/\[emerg\].*"load_module" directive below/,
                 "a $kind filter after ours: the message names the order");

            ($status, $output) = SmartServer->test_config(
                modules => [$so, $ours], conf => $conf);
            is($status, 0, "a $kind filter before ours: accepted")
                or diag($output);
        }
    }
}


sub probe {
    my ($kind) = @_;

    my $set = $kind eq 'header'
            ? 'next_header = ngx_http_top_header_filter;
               ngx_http_top_header_filter = header_filter;'
            : $kind eq 'body'
            ? 'next_body = ngx_http_top_body_filter;
               ngx_http_top_body_filter = body_filter;'
            : '';

    return <<"C";
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

ngx_http_output_header_filter_pt  next_header;
ngx_http_output_body_filter_pt    next_body;

ngx_int_t header_filter(ngx_http_request_t *r) { return next_header(r); }

ngx_int_t
body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    return next_body(r, in);
}

static ngx_int_t
init(ngx_conf_t *cf)
{
    $set
    return NGX_OK;
}

static ngx_http_module_t  context = {
    NULL, init, NULL, NULL, NULL, NULL, NULL, NULL
};

ngx_module_t  ngx_http_probe_module = {
    NGX_MODULE_V1, &context, NULL, NGX_HTTP_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NGX_MODULE_V1_PADDING
};

ngx_module_t  *ngx_modules[] = { &ngx_http_probe_module, NULL };
char  *ngx_module_names[] = { "ngx_http_probe_module", NULL };
char  *ngx_module_order[] = { NULL };
C
}
