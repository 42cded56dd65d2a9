# The winner's answer on its way to the client: it comes as it would come from a
# primary, whatever its size, pace and framing, and whatever the client's pace.

use strict;
use warnings;

use Digest::MD5 qw( md5_hex );
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/chaos";
use H2;
use IO::Uncompress::Gunzip qw( gunzip );
use Test::More;
use Time::HiRes qw( time );
use SmartServer;

use constant LARGE => 200_000_000;

# the sanitizer's heap of freed memory is not the worker's
$ENV{ASAN_OPTIONS} = join ':', $ENV{ASAN_OPTIONS} // (), 'quarantine_size_mb=1';

SmartServer->upstream;

my $ngx = SmartServer->start(
    conf  => conf(),
    main  => threads() ? 'thread_pool default threads=4;' : '',
    files => { 'cert.pem' => scalar certificate() },
);

my $id = 0;
my $large_md5 = SmartServer->pattern_md5(LARGE, 1);


# memory, and the right bytes

$ngx->get("/$_/?id=warm-$_&s=hang|size:5000000") for qw( buffered unbuffered );

for my $mode (qw( buffered nofile unbuffered )) {
    large($mode, 'a fast client');
    large($mode, 'a slow client', rate => 80_000_000);
}

large('buffered', 'a client that begins late', late => 0.5);
large('nofile', 'chunked', how => 'chunked');
large('buffered', 'without a length', how => 'nolen', rate => 100_000_000);
large('unbuffered', 'chunked, a slow client', how => 'chunked',
      rate => 80_000_000);

SKIP: {
    skip 'no threads', 12 if !threads();

    large('threads', 'a slow client', rate => 100_000_000);
    large('threads', 'a client that begins late', late => 0.5);
    large('threads_nofile', 'a slow client', rate => 100_000_000);
}


# pace

for my $mode (qw( buffered nofile unbuffered threads )) {
    next if $mode eq 'threads' && !threads();

    paced($mode, 'chunked', 's=hang|chunked:8,500,90');
    paced($mode, 'chunked, HTTP/1.0 client', 's=hang|chunked:8,500,90',
          version => '1.0');
    # nginx waits for a full buffer where there is no length
    paced($mode, 'without a length', 's=hang|chunked:8,9000,90;nolen');
    paced($mode, 'after a failure', 's=close|chunked:8,500,90');
    paced($mode, 'a primary that won', 's=delay:150;chunked:8,500,90|hang');
}

held();
h2_paced();


# what a limited client gets, in comparison with an answer of the primary

limited('limit_rate', '/limited/', 's=size:300000,1');
limited('X-Accel-Limit-Rate', '/buffered/',
        's=h:X-Accel-Limit-Rate=300000;size:300000,1');


# byte for byte as without hedging

for my $case (cases()) {
    same($_, @$case) for 'buffered', 'unbuffered';
}


# where bytes are changed on the way

gzipped();

for my $how ('', ';chunked', ';nolen') {
    changed('sub', "body:one%20two%20three$how", 'one 2 three');
    changed('added', "body:body.$how", "before\nbody.after\n");
}


# ranges that nginx makes

for my $mode (qw( force force_unbuffered )) {
    my $whole = $ngx->get('/plain/?s=size:5000,1')->{body};
    my $r = $ngx->get("/$mode/?id=" . ++$id . "&s=hang|size:5000,1",
                      headers => [Range => 'bytes=1000-1999']);

    is("$r->{status} " . ($r->{headers}{'content-range'} // ''),
       '206 bytes 1000-1999/5000', "range made by nginx, $mode");
    is($r->{md5}, md5_hex(substr $whole, 1000, 1000),
       "range made by nginx, $mode: body");

    $r = $ngx->get("/$mode/?id=" . ++$id . "&s=hang|size:5000,1",
                   headers => [Range => 'bytes=-500']);
    is("$r->{status} $r->{md5}", '206 ' . md5_hex(substr $whole, -500),
       "range of the end made by nginx, $mode");

    $r = $ngx->get("/$mode/?id=" . ++$id . "&s=hang|size:5000,1",
                   headers => [Range => 'bytes=9000-']);
    is($r->{status}, 416, "range that is not there, $mode");
}


# answers that are cut

for my $mode (qw( buffered nofile unbuffered )) {
    truncated($mode, 'by length', 'size:500000,1;cut:200000', 200_000);
    truncated($mode, 'by length, reset', 'size:500000,1;cut:200000;reset');
    truncated($mode, 'by length, nothing came', 'size:500000,1;cut:0', 0);
    truncated($mode, 'chunked', 'chunked:50,5000,0;cut:30000', 30_000);
    truncated($mode, 'chunked, reset', 'chunked:50,5000,0;cut:30000;reset');
    truncated($mode, 'slowly', 'chunked:10,500,30;cut:2000', 2000);
    truncated($mode, 'without a length, reset',
              'chunked:10,500,30;nolen;cut:2000;reset');
    truncated_h2($mode, 'size:500000,1;cut:200000');
}


# other clients

curl('TLS', 'https', 2, '--http1.1', 's=hang|size:20000000,1');
curl('TLS, unbuffered', 'https', 2, '--http1.1', 's=hang|size:20000000,1',
     '/unbuffered/');
curl('TLS, a slow client', 'https', 2, '--http1.1 --limit-rate 20M',
     's=hang|size:20000000,1');
curl('HTTP/2', 'http', 3, '--http2-prior-knowledge',
     's=hang|size:20000000,1');
curl('HTTP/2, unbuffered', 'http', 3, '--http2-prior-knowledge',
     's=hang|size:20000000,1', '/unbuffered/');
curl('HTTP/2, a slow client', 'http', 3,
     '--http2-prior-knowledge --limit-rate 20M', 's=hang|size:20000000,1');
curl('HTTP/2 over TLS', 'https', 2, '--http2', 's=hang|size:20000000,1');
curl('HTTP/2 over TLS, chunked', 'https', 2, '--http2',
     's=hang|chunked:2000,10000,0;seed', '/buffered/', 20_000_000, 0);
curl('HTTP/2, after a failure', 'http', 3, '--http2-prior-knowledge',
     's=status:503|size:20000000,1');
h2_many();


is(SmartServer->ctl('busy?ms=900'), "0\n", 'no request left at the upstream');

$ngx->stop(name => 'no socket is left');

done_testing;


sub threads {
    return SmartServer::build_options() =~ /--with-threads/;
}


# a long body by a winning hedge, and what the worker needs for it

sub large {
    my ($mode, $name, %opt) = @_;

    my $how = ($opt{how} // '') eq 'chunked' ? ';chunked'
            : ($opt{how} // '') eq 'nolen'   ? ';nolen' : '';
    my ($pid) = $ngx->worker_pids;
    my $before = $ngx->rss_kb($pid);
    my $c = $ngx->connect(timeout => 30,
                          $opt{rate} || $opt{late} ? (rcvbuf => 65536) : ());

    # from now on the highest resident size is counted anew
    SmartServer::spew("/proc/$pid/clear_refs", '5');

    $c->request("/$mode/?id=" . ++$id . '&s=hang|size:' . LARGE . ",1$how");

    my $head = $c->read_header;

    # the upstream is ahead until buffers are full
    Time::HiRes::sleep($opt{late}) if $opt{late};

    my $body = $c->read_body($opt{rate} ? (rate => $opt{rate}) : (), keep => 0);

    is(join(' ', map { $_ // '' } $head->{status}, @$body{qw( complete size )}),
       '200 1 ' . LARGE, "large body, $mode, $name: length");
    is($body->{md5}, $large_md5, "large body, $mode, $name: md5");

    my ($most) = SmartServer::slurp("/proc/$pid/status") =~ /^VmHWM:\s+(\d+)/m;

    cmp_ok($most - $before, '<', 16384,
           "large body, $mode, $name: memory of the worker in KB");

    # the upstream may see the close before it notes that it is done
    like(SmartServer->ctl("cancelled?id=$id&ms=5000"),
         qr/^attempts=2 done=[01] cancelled=[12] open=0$/,
         "large body, $mode, $name: was a hedge's");

    $c->close;
}


# when bytes of the body came, [ms, bytes so far], until the connection's end

sub arrivals {
    my ($c) = @_;

    my @arrivals;
    my $size = 0;

    if (length $c->{in}) {
        $size = length $c->{in};
        push @arrivals, [$c->_ms, $size];
    }

    for ( ;; ) {
        $c->{in} = '';

        my $n = $c->_read(65536) or last;

        $size += $n;
        push @arrivals, [$c->_ms, $size];
    }

    return @arrivals;
}


# 8 pieces of an answer that takes 630 ms: they are to come one by one

sub paced {
    my ($mode, $name, $script, %opt) = @_;

    $name = "pace, $mode, $name";

    my $c = $ngx->connect;

    $c->request("/$mode/?id=" . ++$id . "&$script", close => 1, %opt);
    $c->read_header or return fail("$name: answer");

    my @arrivals = arrivals($c);

    cmp_ok($arrivals[-1][1], '>=', 4000, "$name: all came");
    cmp_ok($arrivals[0][0], '<', $arrivals[-1][0] / 2,
           "$name: the first piece is early");
    cmp_ok(scalar @arrivals, '>=', 5, "$name: in pieces")
        or diag explain \@arrivals;
}


# a client that stops reading stops the upstream, too

sub held {
    for my $mode (qw( nofile unbuffered )) {
        my $c = $ngx->connect(rcvbuf => 16384);

        $c->request("/$mode/?id=" . ++$id . '&s=hang|size:50000000,1');
        $c->read_header;

        is(SmartServer->ctl("wait?id=$id&event=done&ms=500"), "timeout 0\n",
           "back-pressure, $mode: the upstream waits for the client");

        my $body = $c->read_body;

        is("$body->{size} $body->{md5}",
           '50000000 ' . SmartServer->pattern_md5(50_000_000, 1),
           "back-pressure, $mode: the rest comes");
        $c->close;
    }
}


sub h2_paced {
    for my $mode (qw( buffered unbuffered )) {
        my $h = H2->connect($ngx->addr(3));
        my $stream = $h->request("/$mode/?id=" . ++$id
                                 . '&s=hang|chunked:8,500,90');
        my $s = $h->stream($stream);
        my ($first, $start) = (undef, time);

        while (!$s->{over} && time < $start + 10) {
            $h->pump(1) or last;
            $first //= time - $start if $s->{size};
        }

        is("$s->{status} $s->{complete} $s->{size}", '200 1 4000',
           "pace, HTTP/2, $mode: all came");
        cmp_ok($first, '<', (time - $start) / 2,
               "pace, HTTP/2, $mode: the first piece is early");
        $h->close;
    }
}


sub limited {
    my ($name, $uri, $script) = @_;

    my $alone = $ngx->get("$uri?nohedge=1&id=" . ++$id . "&$script");
    my $hedged = $ngx->get("$uri?id=" . ++$id
                           . '&' . $script =~ s/^s=/s=hang|/r);

    is("$hedged->{size} $hedged->{md5}", "$alone->{size} $alone->{md5}",
       "$name: body");
    cmp_ok($hedged->{ms}, '>', $alone->{ms} / 2, "$name holds for a hedge");
    cmp_ok($hedged->{ms}, '<', $alone->{ms} * 4, "$name is not exceeded");
}


# name, script, options of the request

sub cases {
    my @range = (headers => [Range => 'bytes=100-199']);
    my @etag = (headers => ['If-None-Match' => '"e"']);

    return (
        ['a short body', 'bare;body:x'],
        ['a body of some buffers', 'bare;size:100000,1'],
        ['chunked', 'bare;size:100000,1;chunked'],
        ['chunked, many', 'bare;chunked:200,300,0'],
        ['without a length', 'bare;size:100000,1;nolen'],
        ['an empty body', 'bare;body:'],
        ['an empty body, chunked', 'bare;body:;chunked'],
        ['an empty body without a length', 'bare;body:;nolen'],
        ['a body that comes late', 'bare;size:5000,1;bodydelay:50'],
        ['201', 'bare;status:201;h:Location=/new;body:x'],
        ['204', 'bare;status:204'],
        ['204 with headers', 'bare;status:204;h:X-One=1'],
        ['301', 'bare;status:301;h:Location=http://localhost/x;body:x'],
        ['304', 'bare;status:304;h:ETag="e"', @etag],
        ['304 unasked', 'bare;status:304'],
        ['401', 'bare;status:401;h:WWW-Authenticate=Basic;body:no'],
        ['401, more than one scheme', 'bare;status:401;'
             . 'h:WWW-Authenticate=Basic;h:WWW-Authenticate=Digest;body:no'],
        ['404', 'bare;status:404;body:none'],
        ['404, empty', 'bare;status:404;body:'],
        ['HEAD', 'bare;size:5000,1', method => 'HEAD'],
        ['HEAD, chunked', 'bare;size:5000,1;chunked', method => 'HEAD'],
        ['HEAD, empty', 'bare;body:', method => 'HEAD'],
        ['HEAD, 204', 'bare;status:204', method => 'HEAD'],
        ['HEAD, 404', 'bare;status:404;body:x', method => 'HEAD'],
        ['a range by the upstream', 'bare;size:5000,1;range', @range],
        ['a range of a large body', 'bare;size:5000000,1;range',
         headers => [Range => 'bytes=1000000-3999999']],
        ['If-None-Match, another tag', 'bare;h:ETag="f";body:x', @etag],
        ['If-None-Match, this tag, 200', 'bare;h:ETag="e";body:x', @etag],
        ['Last-Modified', 'bare;h:Last-Modified=Mon, 01 Jan 2024 00:00:00 GMT;'
             . 'body:x'],
        ['cookies', 'bare;h:Set-Cookie=a=1;h:Set-Cookie=b=2;body:x'],
        ['many headers', join ';', 'bare', (map { "h:X-H$_=$_" } 1 .. 40),
             'body:x'],
        ['Vary, Cache-Control, Link', 'bare;h:Vary=A;h:Vary=B;'
             . 'h:Cache-Control=max-age=1;h:Cache-Control=public;h:Link=<a>;'
             . 'body:x'],
        ['Content-Encoding', 'bare;h:Content-Encoding=br;body:x'],
        ['no Content-Type', 'bare;type:-;body:x'],
        ['a charset', 'bare;type:text/html%253B charset=utf-8;body:x'],
        ['a refresh', 'bare;h:Refresh=1%253B url=/x;body:x'],
        ['X-Accel-Charset', 'bare;h:X-Accel-Charset=koi8-r;body:x'],
        ['X-Accel-Expires', 'bare;h:X-Accel-Expires=5;body:x'],
        ['X-Accel-Buffering', 'bare;h:X-Accel-Buffering=no;size:50000,1'],
        ['HTTP/1.0 client', 'bare;size:5000,1;chunked', version => '1.0'],
        ['HTTP/1.0 client, a length', 'bare;size:5000,1', version => '1.0'],
        ['keepalive HTTP/1.0 client', 'bare;size:5000,1', version => '1.0',
             headers => [Connection => 'keep-alive']],
        ['a client that closes', 'bare;size:5000,1', close => 1],
        ['POST', 'bare;size:5000,1', method => 'POST', body => 'b' x 70_000],
    );
}


sub same {
    my ($mode, $name, $script, %opt) = @_;

    my $headers = join '&', map { s/ /%20/gr } "s=$script";
    my $plain = head_and_body("/plain_$mode/?$headers", %opt);

    for my $first (qw( hang close status:503 cuthead )) {
        my $uri = "/$mode/?id=" . ++$id . '&'
                  . $headers =~ s/^s=/s=$first|/r;
        my $hedged = head_and_body($uri, %opt);

        # the log is part of an answer, but for what names the location
        is($hedged, $plain, "as without hedging, $mode, $first: $name");
    }
}


sub head_and_body {
    my ($uri, %opt) = @_;

    my $c = $ngx->connect;

    $c->request($uri, %opt);

    my $head = $c->read_header or return 'no answer: ' . $c->error;
    my $body = $c->read_body(keep => 0);

    # and whether it is kept open
    my $kept = 'closed';

    if (($head->{headers}{connection} // '') ne 'close') {
        $c->request('/plain/?s=ok');
        $kept = ($c->read_header || {})->{status} // $c->error;
    }

    $c->close;

    return join '', $head->{header} =~ s/^Date: .*\n//mr =~ s/\r//gr,
                "$body->{complete} $body->{size} $body->{md5} $kept\n";
}


sub changed {
    my ($uri, $script, $body) = @_;

    for my $mode ('', '_unbuffered') {
        for my $first (qw( hang close status:503 )) {
            my $r = $ngx->get("/$uri$mode/?id=" . ++$id
                              . "&s=$first|type:text/html;$script");
            is("$r->{status} $r->{body}", "200 $body",
               "$uri$mode, $first, $script");
        }
    }
}


sub gzipped {
    for my $mode (qw( gzip gzip_unbuffered )) {
        for my $how ('', ';chunked', ';nolen') {
            my $r = $ngx->get("/$mode/?id=" . ++$id
                              . "&s=hang|size:800000,1$how",
                              headers => ['Accept-Encoding' => 'gzip']);
            my ($zipped, $text) = ($r->{body}, '');

            gunzip \$zipped => \$text;

            is($r->{headers}{'content-encoding'} // '', 'gzip',
               "$mode$how: header");
            is(md5_hex($text), SmartServer->pattern_md5(800_000, 1),
               "$mode$how: body");
            cmp_ok($r->{size}, '<', 700_000, "$mode$how: is shorter");
        }
    }
}


# An answer that breaks off must not look complete; and what had come before
# that is passed on, where the upstream closes in good order.

sub truncated {
    my ($mode, $name, $script, $size) = @_;

    $name = "cut, $mode, $name";

    my $c = $ngx->connect;

    $c->request("/$mode/?id=" . ++$id . "&s=hang|$script");

    my $head = $c->read_header;
    my $body = $head && $c->read_body;

    # a primary has the same answer, which may be none at all
    my $p = $ngx->connect;

    $p->request("/plain_$mode/?s=$script");

    my $phead = $p->read_header;
    my $pbody = $phead && $p->read_body;

    is($head ? "$head->{status} $body->{complete} " . $c->error
             : 'none ' . $c->error,
       $phead ? "$phead->{status} 0 closed" : 'none ' . $p->error,
       "$name: connection is closed within the answer");

    if (defined $size && $body) {
        is($body->{size}, $size, "$name: what came is passed on");
    }

    is($body ? ($body->{trailers} // 'none') : 'none', 'none',
       "$name: no last chunk");

    ok($c->closed, "$name: the connection is closed") if !$c->error;

    $c->close;
    $p->close;
}


sub truncated_h2 {
    my ($mode, $script) = @_;

    my $h = H2->connect($ngx->addr(3));
    my $stream = $h->request("/$mode/?id=" . ++$id . "&s=hang|$script");

    $h->wait($stream, 10);

    my $s = $h->stream($stream);

    is("$s->{complete} $s->{over}", '0 1', "cut, $mode, HTTP/2: is reset");

    $h->close;
}


sub curl {
    my ($name, $scheme, $port, $options, $script, $uri, $size, $seed) = @_;

    $uri //= '/buffered/';
    $size //= 20_000_000;
    $seed //= 1;
    $script =~ s/;seed$//;

    SKIP: {
        skip 'no curl with HTTP/2', 2
            if qx(curl -V 2>&1) !~ /HTTP2/ && $options =~ /http2/;
        skip 'no curl', 2 if system('curl -V >/dev/null 2>&1') != 0;

        my $file = $ngx->dir . '/curl.out';
        my $url = "$scheme://" . $ngx->addr($port) . "$uri?id=" . ++$id
                  . "&$script";
        my $got = qx(curl -sk -m 30 $options -o '$file' \\
                     -w '%{http_code} %{size_download} %{exitcode}' '$url');

        is($got, "200 $size 0", "$name: complete");

        open my $fh, '<', $file;
        is(Digest::MD5->new->addfile($fh)->hexdigest,
           SmartServer->pattern_md5($size, $seed), "$name: body");
    }
}


# streams of one connection do not stand in each other's way

sub h2_many {
    my $h = H2->connect($ngx->addr(3));
    my @kinds = ('hang|size:200000,1', 'size:200000,1', 'close|size:200000,1',
                 'delay:100;size:200000,1|hang', 'status:503|size:200000,1',
                 'hang|size:200000,1;chunked');
    my @streams = map {
        $h->request(($_ % 2 ? '/buffered/' : '/unbuffered/') . '?id=' . ++$id
                    . "&s=$kinds[$_ % @kinds]");
    } 0 .. 35;

    $h->wait($_, 10) for @streams;

    my $md5 = SmartServer->pattern_md5(200_000, 1);
    my @bad = grep { "$_->{status} $_->{complete} $_->{md5}" ne "200 1 $md5" }
              map { $h->stream($_) } @streams;

    is(scalar @bad, 0, 'many streams of a connection');
    $h->close;
}


sub certificate {
    return qx(openssl req -x509 -newkey rsa:2048 -nodes -days 2 \\
              -subj /CN=localhost -keyout - 2>/dev/null);
}


sub conf {
    my $threads = threads() ? <<'CONF' : '';
    location /threads/ {
        sendfile on;
        aio threads;
        aio_write on;
        proxy_pass http://two;
    }

    location /threads_nofile/ {
        sendfile on;
        aio threads;
        aio_write on;
        proxy_max_temp_file_size 0;
        proxy_pass http://two;
    }
CONF

    my $conf = <<'CONF';
access_log off;

proxy_read_timeout 60s;
proxy_http_version 1.1;
proxy_set_header Connection close;
proxy_set_header Range $http_range;
proxy_next_upstream off;

map $arg_nohedge $policy {
    1       off;
    default "50ms";
}

smart_hedge_budget off;
smart_hedge $policy;
smart_hedge_methods GET HEAD POST;

upstream two {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
}

server {
    listen 127.0.0.1:%%PORT%%;
    listen 127.0.0.1:%%PORT_2%% ssl http2;
    listen 127.0.0.1:%%PORT_3%% http2;

    ssl_certificate %%DIR%%/cert.pem;
    ssl_certificate_key %%DIR%%/cert.pem;

    location ~ ^/plain(_buffered|_nofile)?/ {
        smart_hedge off;
        proxy_pass http://two;
    }

    location /plain_unbuffered/ {
        smart_hedge off;
        proxy_buffering off;
        proxy_pass http://two;
    }

    location /buffered/ {
        proxy_pass http://two;
    }

    location /nofile/ {
        proxy_max_temp_file_size 0;
        proxy_pass http://two;
    }

    location /unbuffered/ {
        proxy_buffering off;
        proxy_pass http://two;
    }

THREADS
    location /limited/ {
        limit_rate 300k;
        proxy_pass http://two;
    }

    location /gzip/ {
        gzip on;
        gzip_types *;
        proxy_pass http://two;
    }

    location /gzip_unbuffered/ {
        gzip on;
        gzip_types *;
        proxy_buffering off;
        proxy_pass http://two;
    }

    location /sub/ {
        sub_filter two 2;
        proxy_pass http://two;
    }

    location /sub_unbuffered/ {
        sub_filter two 2;
        proxy_buffering off;
        proxy_pass http://two;
    }

    location /added/ {
        add_before_body /before;
        add_after_body /after;
        proxy_pass http://two;
    }

    location /added_unbuffered/ {
        add_before_body /before;
        add_after_body /after;
        proxy_buffering off;
        proxy_pass http://two;
    }

    location = /before {
        return 200 "before\n";
    }

    location = /after {
        return 200 "after\n";
    }

    location /force/ {
        proxy_force_ranges on;
        proxy_set_header Range "";
        proxy_pass http://two;
    }

    location /force_unbuffered/ {
        proxy_force_ranges on;
        proxy_set_header Range "";
        proxy_buffering off;
        proxy_pass http://two;
    }
}
CONF

    $conf =~ s/^THREADS\n/$threads/m;

    return $conf;
}
