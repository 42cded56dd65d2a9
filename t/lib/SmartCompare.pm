package SmartCompare;

# Identical locations with many features of nginx, in as many servers as a test
# wants, and a table of requests that use them: what one server answers has to
# be what another one does.
#
#   my $conf = SmartCompare::http()
#            . SmartCompare::server(name => 'off', port => 1)
#            . SmartCompare::server(name => 'on', port => 2,
#                                   smart => 'smart_hedge 60s;');
#   my $ngx = SmartServer->start(conf => $conf, files => SmartCompare::files());
#
#   for my $case (SmartCompare::cases()) {
#       my @answers = SmartCompare::ask($ngx->addr(1), $case);
#       my @log = SmartCompare::logged($ngx, 'off', $case->{name},
#                                      scalar @answers);
#   }
#
# Before that SmartServer->upstream.
#
#   http(), files()      what is needed once in http {} and in the directory
#   server(%opt)         one server: name, port (the n of %%PORT_n%%), smart
#                        (directives at its level)
#   cases()              hashes: name, status (of the last answer), uri, and
#       method, headers, body, version
#       times            so many requests, each on a connection of its own
#       pipelined        so many at once on one connection
#       has              pattern that the last answer must match, so that the
#                        case shows what it is about
#       script           the uri is completed by it: what the upstream does
#       fails            every attempt fails: another one may be sent at once
#       plain            features.t leaves it alone
#   uri(case, id, script)    the uri, with another script than the case's own
#   ask(addr, case, uri)     the answers, one text each: header as it came and
#                        decoded body, without what differs by chance
#   logged(ngx, name, case, count)   lines of the access log, likewise

use strict;
use warnings;

use Digest::MD5 qw( md5_hex );
use IO::Uncompress::Gunzip qw( gunzip $GunzipError );
use SmartServer;


sub http {
    return <<'CONF';
proxy_cache_path %%DIR%%/cache keys_zone=c:1m;
charset_map koi8-r utf-8 { F6 D096; }
limit_req_zone $http_x_case$server_port zone=lr:1m rate=1r/m;
log_format compare '$http_x_case|$request_method|$status|$body_bytes_sent|'
                   '$bytes_sent|$sent_http_transfer_encoding|'
                   '$sent_http_content_type|$request_completion|'
                   '$upstream_cache_status|$upstream_http_x_mark|'
                   '$upstream_status|$upstream_response_length|'
                   '$upstream_addr';
log_format smart '$http_x_case $smart_outcome attempts=$smart_attempts '
                 'suppressed=$smart_suppressed';
CONF
}


sub files {
    return {
        'html/before' => "before\n",
        'html/error' => "sorry\n",
        'html/dir/x' => "x\n",
        'html/ssi/page' => 'a<!--#include virtual="/plain/?s=body:one" -->'
            . 'b<!--#include virtual="/plain/?s=size:30000" -->c'
            . '<!--#include virtual="/plain/?s=status:404;body:two" -->'
            . '<!--#include virtual="/html/before" -->d',
    };
}


sub server {
    my (%opt) = @_;

    my $text = template();

    $text =~ s/\@NAME\@/$opt{name}/g;
    $text =~ s/\@PORT\@/%%PORT_$opt{port}%%/g;
    $text =~ s/\@SMART\@/$opt{smart} \/\/ ''/ge;

    return $text;
}


sub template {
    return <<'CONF';
upstream u_@NAME@ {
    server $TEST_NGINX_UP1 max_fails=0;
}
upstream next_@NAME@ {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0 backup;
}
upstream kept_@NAME@ {
    server $TEST_NGINX_UP1 max_fails=0;
    keepalive 4;
}

server {
    listen 127.0.0.1:@PORT@;
    access_log %%DIR%%/logs/@NAME@.log compare;
    root %%DIR%%;
    proxy_set_header Host upstream;
    proxy_cache_key $server_port$request_uri;
    proxy_read_timeout 5s;
    @SMART@

    location /plain/ { proxy_pass http://u_@NAME@; }
    location /html/ { }
    location /variable/ {
        set $where u_@NAME@;
        proxy_pass http://$where$request_uri;
    }
    location /kept/ {
        proxy_http_version 1.1;
        proxy_set_header Host upstream; proxy_set_header Connection "";
        proxy_pass http://kept_@NAME@;
    }
    location /unbuffered/ { proxy_buffering off; proxy_pass http://u_@NAME@; }
    location /small/ {
        proxy_buffer_size 1k; proxy_buffers 4 1k; proxy_busy_buffers_size 2k;
        proxy_pass http://u_@NAME@;
    }

    location /gzip/ {
        gzip on; gzip_types text/plain; gzip_min_length 100; gzip_vary on;
        gzip_proxied any; gzip_http_version 1.1;
        proxy_pass http://u_@NAME@;
    }
    location /gzip10/ {
        gzip on; gzip_types text/plain; gzip_http_version 1.0;
        proxy_pass http://u_@NAME@;
    }
    location /gzip_unbuffered/ {
        gzip on; gzip_types text/plain; proxy_buffering off;
        proxy_pass http://u_@NAME@;
    }
    location /sub/ {
        sub_filter one two; sub_filter three "3 $upstream_status";
        sub_filter_once off; sub_filter_types text/plain;
        proxy_pass http://u_@NAME@;
    }
    location /addition/ {
        add_before_body /html/before; add_after_body /plain/;
        addition_types text/plain;
        proxy_pass http://u_@NAME@;
    }
    location /addition_gzip/ {
        gzip on; gzip_types text/plain;
        add_before_body /html/before; add_after_body /plain/;
        addition_types text/plain; sub_filter o 0; sub_filter_once off;
        sub_filter_types text/plain;
        proxy_pass http://u_@NAME@;
    }
    location /html/ssi/ { ssi on; ssi_types text/plain; }
    location /ssi/ { ssi on; ssi_types text/plain; proxy_pass http://u_@NAME@; }
    location /charset/ {
        charset koi8-r; source_charset utf-8; override_charset on;
        charset_types text/plain;
        proxy_pass http://u_@NAME@;
    }
    location /headers/ {
        add_header X-Plain "$uri $request_method";
        add_header X-Always "$upstream_status $status" always;
        add_header X-Mark $upstream_http_x_mark always;
        add_trailer X-Trailer $status;
        expires 1h;
        proxy_hide_header X-Hidden;
        proxy_pass_header Server;
        proxy_cookie_path / /kept/;
        proxy_redirect http://upstream/ /moved/;
        proxy_pass http://u_@NAME@;
    }
    location /epoch/ { expires epoch; proxy_pass http://u_@NAME@; }
    location /ranges/ { proxy_force_ranges on; proxy_pass http://u_@NAME@; }
    location /one_range/ {
        max_ranges 1; proxy_force_ranges on; proxy_pass http://u_@NAME@;
    }
    location /rate/ { limit_rate 100k; proxy_pass http://u_@NAME@; }
    location /rate_after/ {
        limit_rate 2m; limit_rate_after 10k; proxy_pass http://u_@NAME@;
    }

    location /error/plain/ {
        proxy_intercept_errors on;
        error_page 404 500 502 503 504 /html/error;
        proxy_pass http://u_@NAME@;
    }
    location /error/equal/ {
        proxy_intercept_errors on;
        error_page 404 503 =
            "/plain/?id=$arg_count&s=status:201;bare;body:handled";
        proxy_pass http://u_@NAME@;
    }
    location /error/ok/ {
        proxy_intercept_errors on; error_page 404 502 503 =200 /html/error;
        proxy_pass http://u_@NAME@;
    }
    location /error/named/ {
        proxy_intercept_errors on; error_page 404 503 = @named;
        proxy_pass http://u_@NAME@;
    }
    location /error/named_proxy/ {
        proxy_intercept_errors on; error_page 404 503 = @proxied;
        proxy_pass http://u_@NAME@;
    }
    location /error/url/ {
        proxy_intercept_errors on; error_page 404 503 http://example.com/x;
        proxy_pass http://u_@NAME@;
    }
    location /error/recursive/ {
        proxy_intercept_errors on; recursive_error_pages on;
        error_page 404 503 "/error/second/?s=status:404";
        proxy_pass http://u_@NAME@;
    }
    location /error/second/ {
        proxy_intercept_errors on; error_page 404 =200 /html/error;
        proxy_pass http://u_@NAME@;
    }
    location /error/own/ {
        error_page 404 502 504 /html/error; proxy_pass http://u_@NAME@;
    }
    location @named { return 202 "named $uri $upstream_status\n"; }
    location @proxied {
        rewrite ^ /plain/?s=body:proxied? break; proxy_pass http://u_@NAME@;
    }

    location /refused/ { proxy_pass http://$TEST_NGINX_DEAD; }
    location /timeout/ {
        proxy_read_timeout 200ms; proxy_pass http://u_@NAME@;
    }
    location /next/ {
        proxy_next_upstream error timeout http_503 http_404;
        proxy_pass http://next_@NAME@;
    }
    location /next_off/ {
        proxy_next_upstream off; proxy_pass http://next_@NAME@;
    }
    location /limited/ {
        client_max_body_size 10; proxy_pass http://u_@NAME@;
    }

    location /try/ {
        try_files /html$uri /html/before =404;
    }
    location /try/named/ { try_files /nothing @proxied; }
    location /try/pass/ {
        try_files /nothing /html/dir/x; proxy_pass http://u_@NAME@;
    }
    location /rewrite/last/ { rewrite ^/rewrite/last(.*) /plain$1 last; }
    location /rewrite/break/ {
        rewrite ^/rewrite/(.*) /rewritten/$1 break;
        proxy_pass http://u_@NAME@;
    }
    location /rewrite/redirect/ { rewrite ^ /elsewhere redirect; }
    location /if/ {
        set $kind plain;
        if ($arg_kind) { set $kind $arg_kind; }
        if ($arg_kind = 'other') {
            add_header X-If other;
            proxy_pass http://u_@NAME@;
        }
        if ($arg_kind = 'deny') { return 403; }
        add_header X-If $kind;
        proxy_pass http://u_@NAME@;
    }

    location /auth/ {
        set $allow $arg_auth; set $count $arg_count;
        auth_request /check; proxy_pass http://u_@NAME@;
    }
    location /auth_set/ {
        set $allow $arg_auth; set $count $arg_count;
        auth_request /check; auth_request_set $who $upstream_http_x_who;
        proxy_set_header Host upstream; proxy_set_header X-Who $who;
        add_header X-Who $who always;
        error_page 401 = @named;
        proxy_pass http://u_@NAME@;
    }
    location = /check {
        internal;
        proxy_pass_request_body off; proxy_set_header Content-Length "";
        proxy_set_header Host upstream;
        proxy_pass http://u_@NAME@/?s=status:$allow%3Bh:X-Who=$allow&id=$count;
    }
    location /deny/ { deny all; proxy_pass http://u_@NAME@; }
    location /satisfy/ {
        set $allow $arg_auth; set $count "";
        satisfy any; deny all; auth_request /check;
        proxy_pass http://u_@NAME@;
    }
    location /mirror/ {
        set $count $arg_count; mirror /copy; proxy_pass http://u_@NAME@;
    }
    location = /copy {
        internal; proxy_pass http://u_@NAME@/?id=$count&s=echo;
    }
    location /limit_req/ {
        limit_req zone=lr burst=1 nodelay; proxy_pass http://u_@NAME@;
    }

    location /slice/ {
        slice 1k; proxy_cache c;
        proxy_cache_key $server_port$request_uri$slice_range;
        proxy_set_header Host upstream; proxy_set_header Range $slice_range;
        proxy_cache_valid 200 206 1m; proxy_http_version 1.1;
        proxy_pass http://u_@NAME@;
    }
    location /store/ {
        proxy_store %%DIR%%/store/@NAME@/$arg_file; proxy_store_access all:r;
        proxy_pass http://u_@NAME@;
    }
    location /stored/ { alias %%DIR%%/store/@NAME@/; }
    location /cache/ {
        proxy_cache c; proxy_cache_valid 200 301 404 1m;
        proxy_cache_bypass $arg_bypass; proxy_no_cache $arg_skip;
        add_header X-Cache $upstream_cache_status always;
        proxy_pass http://u_@NAME@;
    }
    location /cache_twice/ {
        proxy_cache c; proxy_cache_valid 1m; proxy_cache_min_uses 2;
        add_header X-Cache $upstream_cache_status always;
        proxy_pass http://u_@NAME@;
    }
    location /cache_lock/ {
        proxy_cache c; proxy_cache_valid 1m; proxy_cache_lock on;
        add_header X-Cache $upstream_cache_status always;
        proxy_pass http://u_@NAME@;
    }
    location /cache_stale/ {
        proxy_cache c; proxy_cache_use_stale http_503 error updating;
        proxy_cache_revalidate on;
        add_header X-Cache $upstream_cache_status always;
        proxy_set_header Host upstream;
        proxy_set_header X-Script-Id $arg_n-$server_port;
        proxy_pass http://u_@NAME@;
    }
    location /cache_gzip/ {
        proxy_cache c; proxy_cache_valid 1m; gzip on; gzip_types text/plain;
        proxy_pass http://u_@NAME@;
    }

    location /accel/ { internal; return 200 "uri=$uri $arg_x\n"; }
    location /accel_file/ { internal; alias %%DIR%%/html/; }
    location /accel_ignored/ {
        proxy_ignore_headers X-Accel-Redirect X-Accel-Charset;
        proxy_pass http://u_@NAME@;
    }

    location /body/ { client_body_buffer_size 1k; proxy_pass http://u_@NAME@; }
    location /body_stream/ {
        proxy_request_buffering off; proxy_http_version 1.1;
        proxy_pass http://u_@NAME@;
    }
    location /body_none/ {
        proxy_pass_request_body off; proxy_set_header Content-Length "";
        proxy_set_header Host upstream;
        proxy_pass http://u_@NAME@;
    }
    location /method/ { proxy_method POST; proxy_pass http://u_@NAME@; }
}
CONF
}


# a text within a step of a script

sub text {
    my ($text) = @_;

    for (1, 2) {
        $text =~ s/([^A-Za-z0-9_.-])/sprintf '%%%02X', ord $1/ge;
    }

    return $text;
}


sub cases {
    my @cases;

    my $add = sub {
        my ($name, $status, $uri, $script, %opt) = @_;

        push @cases, { name => $name, status => $status, uri => $uri,
                       script => $script, %opt };
    };

    my @gzip = ('Accept-Encoding', 'gzip');
    my $modified = 'Wed, 01 Jan 2020 00:00:00 GMT';
    my $dated = "h:ETag=%22e%22;h:Last-Modified=" . text($modified);
    my $ssi = text('x<!--#include virtual="/plain/?s=size:5000" -->y'
                   . '<!--#include virtual="/html/before" -->z'
                   . '<!--#echo var="request_method" -->');

    # bodies and their framing

    $add->('a text', 200, '/plain/', 'body:hello', has => qr/^hello/m);
    $add->('not found', 404, '/plain/', 'status:404;body:nothing');
    $add->('created', 201, '/plain/', 'status:201;h:Location=/new;body:new');
    $add->('no content', 204, '/plain/', 'status:204');
    $add->('not modified', 304, '/plain/', 'status:304;h:ETag=%22e%22');
    $add->('a redirect', 302, '/headers/',
           'status:302;h:Location=http://upstream/x', has => qr{/moved/x});
    $add->('empty', 200, '/plain/', 'body:;h:X-Empty=1',
           has => qr/Content-Length: 0\r/);
    $add->('empty, chunked', 200, '/kept/', 'body:;chunked');
    $add->('empty, unbuffered', 200, '/unbuffered/', 'body:');
    $add->('empty without a length', 200, '/plain/', 'body:;nolen');
    $add->('no type', 200, '/plain/', 'type:-;body:x');
    $add->('large', 200, '/plain/', 'size:300000',
           has => qr/\n300000 bytes/);
    $add->('large, chunked', 200, '/kept/', 'size:300000;chunked',
           has => qr/chunked\r.*\n300000 bytes/s);
    $add->('large without a length', 200, '/plain/', 'size:300000;nolen',
           has => qr/\n300000 bytes/);
    $add->('large, unbuffered', 200, '/unbuffered/', 'size:300000');
    $add->('large, small buffers', 200, '/small/', 'size:300000');
    $add->('large, HTTP/1.0', 200, '/plain/', 'size:300000;nolen',
           version => '1.0');
    $add->('in pieces', 200, '/kept/', 'chunked:5,1000,10');
    $add->('in pieces, unbuffered', 200, '/unbuffered/', 'chunked:5,1000,10');
    $add->('late', 200, '/plain/', 'delay:30;bodydelay:30;body:late');
    $add->('header in two parts', 200, '/plain/', 'parthead:20;body:x');
    $add->('by a variable', 200, '/variable/', 'delay:30;body:x');
    $add->('HEAD', 200, '/plain/', 'size:1000', method => 'HEAD',
           has => qr/Content-Length: 1000\r/);
    $add->('HEAD, chunked', 200, '/kept/', 'size:1000;chunked',
           method => 'HEAD');
    $add->('HEAD by gzip', 200, '/gzip/', 'size:1000', method => 'HEAD',
           headers => [@gzip]);
    $add->('HTTP/1.0', 200, '/plain/', 'size:1000', version => '1.0');
    $add->('HTTP/1.0, chunked', 200, '/kept/', 'size:1000;chunked',
           version => '1.0');
    # before 1.29 nginx takes it for the answer
    $add->('early hints', '(?:103|200)', '/timeout/', 'interim:103;body:x',
           fails => 1, plain => 1);
    $add->('trailers', 200, '/kept/', 'size:10;chunked;trailer:X-End=1');
    $add->('kept connections', 200, '/kept/', 'body:x', pipelined => 5);
    $add->('pipelined', 200, '/plain/', 'size:20000', pipelined => 4);
    $add->('pipelined, chunked', 200, '/kept/', 'size:20000;chunked',
           pipelined => 4);
    $add->('pipelined HEAD', 200, '/plain/', 'size:20000', method => 'HEAD',
           pipelined => 3);
    $add->('pipelined errors', 404, '/plain/', 'status:404;body:x',
           pipelined => 3);
    $add->('cut short', 200, '/plain/', 'size:50000;cut:20000', plain => 1);
    $add->('cut short, chunked', 200, '/kept/',
           'size:50000;chunked;cut:20000', plain => 1);
    $add->('cut short, unbuffered', 200, '/unbuffered/',
           'size:50000;cut:20000', plain => 1);

    # filters

    $add->('gzip', 200, '/gzip/', 'size:5000', headers => [@gzip],
           has => qr/Content-Encoding: gzip.*\n5000 bytes/s);
    $add->('gzip refused', 200, '/gzip/', 'size:5000',
           has => qr/Vary: Accept-Encoding.*\n5000 bytes/s);
    $add->('gzip, too short', 200, '/gzip/', 'size:50', headers => [@gzip]);
    $add->('gzip, another type', 200, '/gzip/', 'type:image/x;size:5000',
           headers => [@gzip]);
    $add->('gzip, encoded already', 200, '/gzip/',
           'h:Content-Encoding=x;size:5000', headers => [@gzip]);
    $add->('gzip, HTTP/1.0', 200, '/gzip/', 'size:5000', headers => [@gzip],
           version => '1.0');
    $add->('gzip for HTTP/1.0', 200, '/gzip10/', 'size:5000',
           headers => [@gzip], version => '1.0',
           has => qr/Content-Encoding: gzip/);
    $add->('gzip, large', 200, '/gzip/', 'size:300000', headers => [@gzip],
           has => qr/\n300000 bytes/);
    $add->('gzip, weak tag', 200, '/gzip/', "$dated;size:5000",
           headers => [@gzip], has => qr{ETag: W/"e"});
    $add->('gzip, unbuffered', 200, '/gzip_unbuffered/', 'chunked:3,1000,20',
           headers => [@gzip], has => qr/\n3000 bytes/);
    $add->('gzip, empty', 200, '/gzip10/', 'body:;nolen', headers => [@gzip]);
    $add->('gzip, not found', 404, '/gzip/', 'status:404;size:5000',
           headers => [@gzip]);
    $add->('sub_filter', 200, '/sub/', 'body:one three one',
           has => qr/^two 3 .*200.* two/m);
    $add->('sub_filter, another type', 200, '/sub/',
           'type:text/x;body:one three', has => qr/^one three/m);
    $add->('sub_filter, no match', 200, '/sub/', 'size:20000');
    $add->('addition', 200, '/addition/', 'body:middle',
           has => qr/before\nmiddleok/);
    $add->('addition, large', 200, '/addition/', 'size:100000',
           has => qr/\n100010 bytes/);
    $add->('addition, HTTP/1.0', 200, '/addition/', 'body:middle',
           version => '1.0');
    $add->('addition, not found', 404, '/addition/', 'status:404;body:x');
    $add->('addition, empty', 200, '/addition/', 'body:;nolen');
    $add->('addition, sub_filter and gzip', 200, '/addition_gzip/',
           'body:foo', headers => [@gzip], has => qr/before\nf00ok/);
    $add->('SSI in a file', 200, '/html/ssi/page', undef,
           has => qr/\n3\d{4} bytes/);
    $add->('SSI', 200, '/ssi/', "body:$ssi", has => qr/\n5\d{3} bytes/);
    $add->('SSI, pipelined', 200, '/ssi/', "body:$ssi", pipelined => 3);
    $add->('charset', 200, '/charset/',
           'type:text/plain%253B charset=utf-8;body:%D0%96',
           has => qr/koi8-r.*\xf6/s);

    # headers

    $add->('headers', 200, '/headers/', 'h:X-Hidden=1;h:X-Mark=m;'
           . 'h:Set-Cookie=a=b%253B%20path=/;h:Server=other;body:x',
           has => qr/X-Mark: m\r.*max-age=3600/s);
    $add->('headers, not found', 404, '/headers/', 'status:404;h:X-Mark=m');
    $add->('headers, failed', 503, '/headers/', 'status:503;h:X-Mark=m',
           fails => 1);
    $add->('a trailer', 200, '/headers/', 'size:1000;nolen',
           has => qr/chunked/);
    $add->('expires epoch', 200, '/epoch/', 'body:x', has => qr/no-cache/);
    $add->('many of a kind', 200, '/plain/', 'h:Set-Cookie=a;h:Set-Cookie=b;'
           . 'h:Link=c;h:Link=d;h:WWW-Authenticate=e;h:WWW-Authenticate=f;'
           . 'h:Cache-Control=private;h:Cache-Control=max-age=1');
    $add->('unauthorized', 401, '/plain/',
           'status:401;h:WWW-Authenticate=Basic%20realm=x;body:no');
    $add->('with a date', 200, '/plain/', "$dated;size:100");

    # conditions and ranges

    for my $place (qw( /ranges/ /cache/ )) {
        my $at = $place eq '/cache/' ? ' from a cache' : '';
        my @times = $at ? (times => 2) : ();
        my $dated = "$dated;h:Accept-Ranges=bytes";

        $add->("a range$at", 206, $place, "$dated;size:5000", @times,
               headers => [Range => 'bytes=10-19'],
               has => qr{Content-Range: bytes 10-19/5000});
        $add->("a suffix$at", 206, $place, "$dated;size:70000", @times,
               headers => [Range => 'bytes=-40000']);
        $add->("two ranges$at", $at ? 206 : 200, $place,
               "$dated;size:5000", @times,
               headers => [Range => 'bytes=0-9,100-'],
               has => $at ? qr/multipart\/byteranges/ : qr/\n5000 bytes/);
        $add->("no such range$at", 416, $place, "$dated;size:5000", @times,
               headers => [Range => 'bytes=9000-']);
        $add->("If-Range holds$at", 206, $place, "$dated;size:5000", @times,
               headers => [Range => 'bytes=10-19', 'If-Range' => '"e"']);
        $add->("If-Range fails$at", 200, $place, "$dated;size:5000", @times,
               headers => [Range => 'bytes=10-19', 'If-Range' => '"f"']);
    }

    $add->('a range, not allowed', 200, '/plain/', "$dated;size:5000",
           headers => [Range => 'bytes=10-19']);
    $add->('two ranges, one allowed', 200, '/one_range/', "$dated;size:5000",
           headers => [Range => 'bytes=1-2,4-5']);
    $add->('a range by the upstream', 206, '/plain/', 'size:5000;range',
           headers => [Range => 'bytes=10-19']);
    $add->('a range, HEAD', 206, '/ranges/', 'size:5000', method => 'HEAD',
           headers => [Range => 'bytes=10-19']);
    $add->('a range without a length', 200, '/ranges/', 'size:5000;nolen',
           headers => [Range => 'bytes=10-19']);

    for my $place (qw( /plain/ /cache/ /gzip/ )) {
        my ($at) = $place =~ m{(\w+)};
        my @times = $at eq 'cache' ? (times => 2) : ();
        my $status = $at eq 'cache' ? 304 : 200;
        my $failed = $at eq 'cache' ? 412 : 200;

        $add->("If-None-Match, $at", $status, $place, "$dated;size:500", @times,
               headers => ['If-None-Match' => '"e"', @gzip]);
        $add->("If-None-Match fails, $at", 200, $place, "$dated;size:500",
               @times, headers => ['If-None-Match' => '"f"', @gzip]);
        $add->("If-Modified-Since, $at", $status, $place, "$dated;size:500",
               @times, headers => ['If-Modified-Since' => $modified]);
        $add->("If-Unmodified-Since, $at", $failed, $place, "$dated;size:500",
               @times, headers => ['If-Unmodified-Since' =>
                                       'Wed, 01 Jan 2014 00:00:00 GMT']);
        $add->("If-Match, $at", $failed, $place, "$dated;size:500", @times,
               headers => ['If-Match' => '"f"']);
    }

    # errors

    $add->('503', 503, '/plain/', 'status:503;body:bad', fails => 1);
    $add->('503, empty', 503, '/plain/', 'status:503;body:', fails => 1);
    $add->('503, large', 503, '/plain/', 'status:503;size:100000',
           fails => 1);
    $add->('503, HEAD', 503, '/plain/', 'status:503;size:10', fails => 1,
           method => 'HEAD');
    $add->('503, gzip', 503, '/gzip/', 'status:503;size:1000', fails => 1,
           headers => [@gzip]);
    $add->('429', 429, '/plain/', 'status:429;h:Retry-After=1;body:slower',
           fails => 1);
    $add->('503, pipelined', 503, '/plain/', 'status:503;body:bad',
           fails => 1, pipelined => 3);
    $add->('503, unbuffered', 503, '/unbuffered/', 'status:503;size:9000',
           fails => 1);
    $add->('503, addition', 503, '/addition/', 'status:503;body:bad',
           fails => 1);
    $add->('closed', 502, '/plain/', 'close', fails => 1);
    $add->('closed, HEAD', 502, '/plain/', 'close', fails => 1,
           method => 'HEAD');
    $add->('closed, pipelined', 502, '/plain/', 'close', fails => 1,
           pipelined => 3);
    $add->('reset', 502, '/plain/', 'reset', fails => 1);
    $add->('half a header', 502, '/plain/', 'cuthead', fails => 1);
    $add->('a bad header', 502, '/kept/', 'badhead', fails => 1);
    $add->('refused', 502, '/refused/', undef, fails => 1);
    $add->('timeout', 504, '/timeout/', 'hang', fails => 1);

    for my $status (404, 503) {
        my @fails = $status == 503 ? (fails => 1) : ();
        my $script = "status:$status;h:X-Mark=m;body:bad";

        $add->("$status to a page", $status, '/error/plain/', $script,
               @fails, has => qr/^sorry/m);
        $add->("$status to an answer", 201, '/error/equal/', $script,
               @fails, has => qr/^handled/m);
        $add->("$status to a page with 200", 200, '/error/ok/', $script,
               @fails, has => qr/^sorry/m);
        $add->("$status to a named location", 202, '/error/named/', $script,
               @fails, has => qr/^named/m);
        $add->("$status to a named proxy", 200, '/error/named_proxy/',
               $script, @fails, has => qr/^proxied/m);
        $add->("$status to an URL", 302, '/error/url/', $script, @fails);
        $add->("$status to a page that has one", 200, '/error/recursive/',
               $script, @fails, has => qr/^sorry/m);
        $add->("$status not intercepted", $status, '/error/own/', $script,
               @fails, has => qr/^bad/m);
        $add->("$status, HEAD, to a page", $status, '/error/plain/', $script,
               @fails, method => 'HEAD');
        $add->("$status, pipelined, to a page", $status, '/error/plain/',
               $script, @fails, pipelined => 3);
    }

    $add->('closed, to a page', 502, '/error/plain/', 'close', fails => 1,
           has => qr/^sorry/m);
    $add->('closed, not intercepted', 502, '/error/own/', 'close',
           fails => 1, has => qr/^sorry/m);
    $add->('success where errors have pages', 200, '/error/plain/',
           'body:good', has => qr/^good/m);

    $add->('the next one after 503', 200, '/next/', undef, plain => 1,
           query => 'p1=status:503&p2=body:second', has => qr/^second/m);
    $add->('the next one after 404', 200, '/next/', undef, plain => 1,
           query => 'p1=status:404&p2=body:second', has => qr/^second/m);
    $add->('the next one after close', 200, '/next/', undef, plain => 1,
           query => 'p1=close&p2=body:second', has => qr/^second/m);
    $add->('the next one fails, too', 503, '/next/', undef, plain => 1,
           query => 'p1=close&p2=status:503;body:second', fails => 1);
    $add->('no next one', 503, '/next_off/', undef, plain => 1, fails => 1,
           query => 'p1=status:503;body:first&p2=body:second');
    $add->('the next one not for POST', 502, '/next/', undef, plain => 1,
           method => 'POST', body => 'x', fails => 1,
           query => 'p1=close&p2=body:second');

    # nginx itself

    $add->('no such file', 404, '/nothing', undef);
    $add->('a file', 200, '/html/before', undef, has => qr/^before/m);
    $add->('a file, POST', 405, '/html/before', undef, method => 'POST',
           body => 'x');
    $add->('a body too large', 413, '/limited/', 'echo', method => 'POST',
           body => 'x' x 20);
    $add->('a directory', 301, '/html/dir', undef);
    $add->('a bad request', 400, '/plain/', 'ok', plain => 1,
           headers => [Host => 'a', Host => 'b']);
    $add->('try_files', 200, '/try/x', undef, has => qr/^before/m);
    $add->('try_files, named', 200, '/try/named/x', undef,
           has => qr/^proxied/m);
    $add->('try_files, a fallback', 200, '/try/pass/x', undef,
           has => qr/^x/m);
    $add->('rewrite, last', 200, '/rewrite/last/x', 'body:r',
           has => qr/^r/m);
    $add->('rewrite, break', 200, '/rewrite/break/x', 'echo',
           has => qr{/rewritten/break/x});
    $add->('rewrite, redirect', 302, '/rewrite/redirect/x', undef);
    $add->('if, false', 200, '/if/', 'body:x', has => qr/X-If: plain/);
    $add->('if, true', 200, '/if/?kind=other', 'body:x',
           has => qr/X-If: other/);
    $add->('if, set', 200, '/if/?kind=more', 'body:x',
           has => qr/X-If: more/);
    $add->('if, return', 403, '/if/?kind=deny', 'body:x');

    # access

    $add->('allowed', 200, '/auth/?auth=200', 'body:x', has => qr/^x/m);
    $add->('denied', 403, '/auth/?auth=403', 'body:x');
    $add->('unauthenticated', 401, '/auth/?auth=401', 'body:x');
    $add->('the check fails', 500, '/auth/?auth=503', 'body:x', fails => 1);
    $add->('allowed, with a header', 200, '/auth_set/?auth=204', 'body:x',
           has => qr/X-Who: 204/);
    $add->('unauthenticated, to a page', 202, '/auth_set/?auth=401',
           'body:x');
    $add->('allowed, POST', 200, '/auth/?auth=200', 'echo',
           method => 'POST', body => 'y' x 3000);
    $add->('denied by address', 403, '/deny/', 'body:x');
    $add->('satisfied by one', 200, '/satisfy/?auth=200', 'body:x');
    $add->('mirrored', 200, '/mirror/', 'body:x');
    $add->('mirrored, POST', 200, '/mirror/', 'echo', method => 'POST',
           body => 'y' x 30000);
    $add->('too many requests', 503, '/limit_req/', 'body:x', times => 3,
           plain => 1);

    # caches and files

    $add->('cached', 200, '/cache/', 'size:50000', times => 3,
           has => qr/X-Cache: HIT/);
    $add->('cached, HEAD', 200, '/cache/', 'size:500', times => 2,
           method => 'HEAD', has => qr/X-Cache: HIT/);
    $add->('cached, empty', 200, '/cache/', 'body:;h:X-Empty=1', times => 2,
           has => qr/X-Cache: HIT/);
    $add->('cached, chunked', 200, '/cache/', 'size:5000;nolen', times => 2,
           has => qr/X-Cache: HIT/);
    $add->('cached, 404', 404, '/cache/', 'status:404;body:x', times => 2,
           has => qr/X-Cache: HIT/);
    $add->('cached, 503', 503, '/cache/', 'status:503;body:x', times => 2,
           fails => 1, has => qr/X-Cache: MISS/);
    $add->('cached, pipelined', 200, '/cache/', 'size:5000', pipelined => 4,
           has => qr/X-Cache: HIT/);
    $add->('cache bypassed', 200, '/cache/?bypass=1', 'body:x', times => 2,
           has => qr/X-Cache: BYPASS/);
    $add->('cache not filled', 200, '/cache/?skip=1', 'body:x', times => 2,
           has => qr/X-Cache: MISS/);
    $add->('not to be cached', 200, '/cache/', 'h:X-Accel-Expires=0;body:x',
           times => 2, has => qr/X-Cache: MISS/);
    $add->('cached by the second', 200, '/cache_twice/', 'body:x',
           times => 3, has => qr/X-Cache: HIT/);
    $add->('cached under a lock', 200, '/cache_lock/', 'body:x', times => 2,
           has => qr/X-Cache: HIT/);
    $add->('stale after 503', 200, '/cache_stale/?n=a',
           'h:X-Accel-Expires=@1;body:old|status:503', times => 2,
           plain => 1, has => qr/X-Cache: STALE.*\nold/s);
    $add->('stale after close', 200, '/cache_stale/?n=b',
           'h:X-Accel-Expires=@1;body:old|close', times => 2,
           plain => 1, has => qr/X-Cache: STALE.*\nold/s);
    $add->('expired', 200, '/cache_stale/?n=c',
           'h:X-Accel-Expires=@1;body:old|body:new', times => 2,
           plain => 1, has => qr/X-Cache: EXPIRED.*\nnew/s);
    $add->('revalidated', 200, '/cache_stale/?n=d',
           'h:X-Accel-Expires=@1;h:ETag=%22e%22;body:old|'
           . 'status:304;h:X-Accel-Expires=60', times => 3,
           plain => 1, has => qr/X-Cache: HIT.*\nold/s);
    $add->('cached and compressed', 200, '/cache_gzip/', 'size:5000',
           times => 2, headers => [@gzip], has => qr/\n5000 bytes/);
    $add->('slices', 200, '/slice/', "$dated;size:3500;range", times => 2,
           plain => 1, has => qr/\n3500 bytes/);
    $add->('slices, a range', 206, '/slice/', "$dated;size:3500;range",
           times => 2, headers => [Range => 'bytes=1000-2100'], plain => 1,
           has => qr/Content-Length: 1101\r/);
    $add->('stored', 200, '/store/?file=a', "$dated;size:5000");
    $add->('what was stored', 200, '/stored/a', undef, has => qr/5000 bytes/);
    $add->('not stored', 404, '/store/?file=b', 'status:404;body:x');
    $add->('what was not stored', 404, '/stored/b', undef);

    # X-Accel

    $add->('X-Accel-Redirect', 200, '/plain/',
           'h:X-Accel-Redirect=/accel/1%253Fx=2;h:Set-Cookie=a;h:X-Lost=1',
           has => qr{^uri=/accel/1 2}m);
    $add->('X-Accel-Redirect to a file', 200, '/plain/',
           'h:X-Accel-Redirect=/accel_file/before;h:Content-Type=x/y',
           has => qr/^before/m);
    $add->('X-Accel-Redirect to a name', 202, '/plain/',
           'h:X-Accel-Redirect=@named', has => qr/^named/m);
    $add->('X-Accel-Redirect to a proxy', 200, '/plain/',
           'h:X-Accel-Redirect=/cache/%253Fs=body:target',
           has => qr/^target/m);
    $add->('X-Accel-Redirect, ignored', 200, '/accel_ignored/',
           'h:X-Accel-Redirect=/accel/x;h:X-Accel-Charset=utf-8;body:x',
           has => qr/^x/m);
    $add->('X-Accel-Buffering', 200, '/plain/',
           'h:X-Accel-Buffering=no;size:50000');
    $add->('X-Accel-Buffering, on', 200, '/unbuffered/',
           'h:X-Accel-Buffering=yes;size:50000');
    $add->('X-Accel-Charset', 200, '/plain/', 'h:X-Accel-Charset=utf-8',
           has => qr/charset=utf-8/);
    $add->('X-Accel-Expires', 200, '/cache/',
           'status:200;h:X-Accel-Expires=60;body:x', times => 2,
           has => qr/X-Cache: HIT/);
    $add->('X-Accel-Limit-Rate', 200, '/plain/',
           'h:X-Accel-Limit-Rate=200000;size:250000');
    $add->('limit_rate', 200, '/rate/', 'size:120000');
    $add->('limit_rate_after', 200, '/rate_after/', 'size:120000');

    # request bodies

    for my $place (qw( plain body body_stream body_none )) {
        for my $size (0, 10, 70000, 300000) {
            $add->("$place, a body of $size", 200, "/$place/", 'echo',
                   method => 'POST', body => 'b' x $size, stream => 1);
        }

        $add->("$place, a chunked body", 200, "/$place/", 'echo',
               method => 'POST', stream => 1,
               headers => ['Transfer-Encoding' => 'chunked'],
               raw => "5\r\nhello\r\n3\r\n123\r\n0\r\n\r\n");
        $add->("$place, GET with a body", 200, "/$place/", 'echo',
               body => 'b' x 2000, stream => 1);
    }

    $add->('bodies, pipelined', 200, '/body/', 'echo', method => 'PUT',
           body => 'b' x 2000, pipelined => 3);
    $add->('a body, and failed', 502, '/body/', 'close', method => 'POST',
           body => 'b' x 2000, fails => 1);
    $add->('another method', 200, '/method/', 'echo');
    $add->('expected', 200, '/body/', 'echo', method => 'POST', body => 'b',
           headers => [Expect => '100-continue']);

    return @cases;
}


sub uri {
    my ($case, $id, $script) = @_;

    my @query;

    $script //= $case->{script};
    push @query, $case->{query} if defined $case->{query};
    push @query, "id=$id" if defined $id && defined $script;

    if (defined $script) {
        $script =~ s/ /%20/g;
        push @query, "s=$script";
    }

    return $case->{uri} if !@query;
    return $case->{uri} . ($case->{uri} =~ /\?/ ? '&' : '?')
           . join '&', @query;
}


sub ask {
    my ($addr, $case, $uri) = @_;

    $uri //= uri($case);

    my @answers;

    if ($case->{pipelined}) {
        return read_all($addr, $case, request($case, $uri, 0)
                                      x ($case->{pipelined} - 1)
                                      . request($case, $uri, 1));
    }

    for (1 .. $case->{times} // 1) {
        push @answers, read_all($addr, $case, request($case, $uri, 1));
    }

    return @answers;
}


sub request {
    my ($case, $uri, $close) = @_;

    my $text = ($case->{method} // 'GET') . " $uri HTTP/"
             . ($case->{version} // '1.1') . "\r\n";
    my @headers = @{ $case->{headers} // [] };

    $text .= "Host: localhost\r\n" if !grep { $_ eq 'Host' } @headers;
    $text .= "X-Case: $case->{name}\r\n";

    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }

    $text .= "Connection: close\r\n" if $close;
    $text .= 'Content-Length: ' . length($case->{body}) . "\r\n"
        if defined $case->{body};

    return "$text\r\n" . ($case->{body} // $case->{raw} // '');
}


sub read_all {
    my ($addr, $case, $request) = @_;

    my $c = SmartServer::Client->connect(addr => $addr, timeout => 20);

    $c->send($request);
    1 while $c->_read(1 << 20);

    my @answers;
    my $in = $c->{in};
    my ($port) = $addr =~ /(\d+)$/;

    if (($c->{error} // '') ne 'closed') {
        push @answers, 'ended by ' . ($c->{error} // 'nothing');
    }

    while (length $in) {
        my ($head, $body);

        if ($in !~ s/\A(HTTP.*?\r\n\r\n)//s) {
            push @answers, 'not an answer: ' . substr $in, 0, 200;
            last;
        }

        $head = $1;
        ($body, $in) = body($head, $case, $in);
        push @answers, normal($head, $body, $port);
    }

    # interim answers belong to the next one
    for (my $i = 0; $i < $#answers; $i++) {
        $answers[$i] .= splice @answers, $i + 1, 1
            while $answers[$i] =~ m{\AHTTP/\S+ 1\d\d} && $i < $#answers
                  && $answers[$i] !~ m{\nHTTP/\S+ [2-5]};
    }

    return @answers;
}


sub body {
    my ($head, $case, $in) = @_;

    return ('', $in) if $head =~ m{^HTTP/\S+ (?:1\d\d|204|304)}
                        || ($case->{method} // '') eq 'HEAD';

    if ($head =~ /^Transfer-Encoding: chunked\r/mi) {
        my $body = '';

        while ($in =~ s/\A([0-9a-f]+)\r\n//i) {
            my $size = hex $1;

            if (!$size) {
                return ($body, $in) if $in =~ s/\A\r\n//;
                return ("$body trailer $1", $in)
                    if $in =~ s/\A(.*?\r\n)\r\n//s;
                last;
            }

            $body .= substr $in, 0, $size, '';
            $in =~ s/\A\r\n// or last;
        }

        return ("$body incomplete", '');
    }

    if ($head =~ /^Content-Length: (\d+)\r/mi) {
        return (length $in < $1 ? "$in incomplete" : substr($in, 0, $1, ''),
                length $in < $1 ? '' : $in);
    }

    return ($in, '');
}


sub normal {
    my ($head, $body, $port) = @_;

    my $all = "$head";

    if ($head =~ /^Content-Encoding: gzip\r/mi && length $body) {
        my $plain;

        gunzip(\$body => \$plain, MultiStream => 0);
        $body = $plain // "undecodable: $GunzipError";
    }

    $body =~ s/^\d{20}(?=\r)|(?<=--)\d{20}/boundary/mg;
    $body =~ s/"conn":\d+/"conn":1/;
    $body =~ s/"try":\d+/"try":1/;
    $body =~ s/"peer":\d+/"peer":1/;
    $body =~ s/"id":(?:null|"[^"]*"),?//;
    $body =~ s/"uri":"([^"?]*)[^"]*"/"uri":"$1"/;
    $body =~ s/\b$port\b/PORT/g;

    # sizes of the ordinary are the better diagnostics
    $body = sprintf "%d bytes, md5 %s", length $body, md5_hex($body)
        if length $body > 2000;

    $all =~ s/^Date: .*GMT\r\n//m;
    $all =~ s/^(Expires: ).*20[2-9]\d.*GMT/$1later/m;
    $all =~ s/boundary=\d{20}/boundary=boundary/;
    $all =~ s/^(X-Try|X-Peer): \d+/$1: n/mg;
    $all =~ s/^Content-Length: \d+/Content-Length: n/m
        if $body =~ /\A\{"body_md5"/;
    $all =~ s/\b$port\b/PORT/g;

    return $all . $body;
}


sub logged {
    my ($ngx, $name, $case, $count) = @_;

    my @lines;

    SmartServer::wait_for(sub {
        my $text = SmartServer::slurp($ngx->dir . "/logs/$name.log");
        @lines = grep { /^\Q$case\E[| ]/ } split /^/, $text;
        return @lines >= $count;
    }, 5);

    # chunks are as they come
    s/\|\d+\|\d+(?=\|chunked)/|n|n/, s/boundary=\d+/boundary/ for @lines;

    return @lines;
}


1;
