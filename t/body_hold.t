# smart_success_json: what happens while a body is held, and to everything that
# waits for it.

use strict;
use warnings;

use Digest::MD5 qw( md5_hex );
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/chaos";
use H2;
use Test::More;
use Time::HiRes qw( sleep time );
use SmartServer;

use constant {
    GOOD  => 'body:{"time": 1}',
    OTHER => 'body:{"time": 2}',
    # complete after a second
    SLOW  => 'body:{"time": 3};chunked;split:2,150',
    BAD   => 'body:{"time": ',
};

# the sanitizer's heap of freed memory is not the worker's
$ENV{ASAN_OPTIONS} = join ':', $ENV{ASAN_OPTIONS} // (), 'quarantine_size_mb=1';

SmartServer->upstream;

my $id = 0;
my $ngx = SmartServer->start(
    conf => conf(),
    main => threads() ? 'thread_pool default threads=4;' : '',
);


# who is first, in both modes

for my $mode (qw( buffered unbuffered )) {
    race($mode, 'a held primary is overtaken by a hedge',
         SLOW, OTHER, 2, 'hedge 2 1', 1);

    race($mode, 'it wins where its body is first',
         'body:{"time": 3};chunked;split:6,120', SLOW, 3, 'primary 2 0', 1);

    race($mode, 'a hedge that is refused leaves the primary alone',
         'body:{"time": 3};chunked;split:4,100', BAD, 3, 'primary 2 0', 0);

    race($mode, 'a primary that is refused leaves the hedge alone',
         'body:{"time": ;chunked;split:4,100', SLOW, 3, 'hedge 2 1', 0);

    race($mode, 'a hedge that is cut leaves the primary alone',
         'body:{"time": 3};chunked;split:4,100', OTHER . ';cut:3', 3,
         'primary 2 0', 0);

    race($mode, 'a primary that is cut leaves the hedge alone',
         'body:{"time": 3};chunked;split:4,100;cut:9', SLOW, 3, 'hedge 2 1',
         0);

    race($mode, 'a primary that is too large leaves the hedge alone',
         'json:30000;chunked;split:3000,20', SLOW, 3, 'hedge 2 1', 1);

    race($mode, 'a hedge that is too large leaves the primary alone',
         'body:{"time": 3};chunked;split:4,150',
         'json:30000;chunked;split:3000,5', 3, 'primary 2 0', 1);

    race($mode, 'both large, and slow to be so', 'json:30000;chunked'
         . ';split:1000,15', 'json:30000;chunked;split:1000,20', 1,
         'failed 2 ', 1);

    # hundreds of reads, and more than all buffers of the pipe
    race($mode, 'a hedge larger than its pipe', 'hang',
         'json:60000;chunked;split:600', 1, 'hedge 2 1', 1, '/large');

    race($mode, 'a primary larger than its pipe', 'json:60000;chunked'
         . ';split:600', OTHER, 1, 'primary 1 0', 0, '/large');
}


# the deadline covers the body

for my $mode (qw( buffered unbuffered )) {
    my $got = request("/$mode/deadline", SLOW, SLOW);

    is($got->{status}, 504, "$mode: the deadline, with bodies under way");
    is($got->{headers}{'x-answer'}, undef, 'nothing of their headers');
    cmp_ok($got->{ms}, '<', 900, 'in time');
    gone(2, 'both are cancelled');

    $got = request("/$mode/deadline", GOOD . ';h:Set-Cookie=a;bodydelay:2000',
                   'hang');
    is($got->{status}, 504, "$mode: the deadline, before a body");
    is($got->{headers}{'set-cookie'}, undef, 'nothing of its header');
    gone(2, 'both are cancelled');
}


# a client that leaves

for my $mode (qw( buffered unbuffered )) {
    for my $script (SLOW . '|hang', SLOW . '|' . SLOW, 'hang|' . SLOW,
                    BAD . '|' . SLOW)
    {
        my $c = $ngx->connect;

        $id++;
        $c->request("/$mode?id=h$id", headers => ['X-Script' => $script,
                                                  'X-Script-Id' => "h$id"]);
        SmartServer->ctl("wait?id=h$id&event=header&count="
                         . ($script =~ /hang/ ? 1 : 2));
        sleep 0.15;
        $c->reset;

        is(SmartServer->ctl("busy?ms=900"), "0\n",
           "$mode: a client that leaves cancels $script");
    }
}

{
    my $h2 = H2->connect($ngx->addr(2));
    my $first = $h2->request('/buffered?id=h2',
                             headers => ['x-script' => SLOW . '|hang',
                                         'x-script-id' => 'h2']);

    $h2->pump(0.1);
    SmartServer->ctl('wait?id=h2&event=header');
    sleep 0.15;
    $h2->rst($first);

    is(SmartServer->ctl('busy?ms=900'), "0\n", 'a stream that is reset');

    my $second = $h2->request('/buffered?id=h3',
                              headers => ['x-script' => 'body:no|' . OTHER,
                                          'x-script-id' => 'h3']);
    $h2->wait($second, 5);

    is($h2->stream($second)->{md5}, md5_hex('{"time": 2}'),
       'the next one on its connection');
    $h2->close;
}


# connections

{
    my $before = SmartServer->ctl('accepted');

    request('/keepalive', BAD, OTHER) for 1 .. 10;

    cmp_ok(SmartServer->ctl('accepted') - $before, '<=', 4,
           'a refused body costs no connection');
}


# the cache

for my $threads (threads() ? ('', '_threads') : ('')) {
    my $uri = "/cache$threads/" . ++$id;

    cached($uri, 'a good body', [GOOD, OTHER, 'primary 1 0', 'MISS'],
                                [BAD, BAD, '0 ', 'HIT']);

    $uri = "/cache$threads/" . ++$id;
    cached($uri, 'a refused one', [BAD, OTHER, 'hedge 2 1', 'MISS'],
                                  [BAD, BAD, '0 ', 'HIT']);

    for my $bad (BAD, BAD . ';chunked', BAD . ';nolen', 'body:;chunked',
                 'body:;nolen', GOOD . ';cut:4', GOOD . ';chunked;badchunk',
                 'json:30000', 'json:30000;chunked;split:1000')
    {
        $uri = "/cache$threads/" . ++$id;
        cached($uri, "refused by all, $bad", [$bad, $bad, undef, 'MISS'],
               [GOOD, OTHER, 'primary 1 0', 'MISS'],
               [BAD, BAD, '0 ', 'HIT']);
    }

    for my $how (';chunked', ';nolen', ';chunked;split:2,5',
                 ';nolen;split:2,5', ';gzip')
    {
        $uri = "/cache$threads/" . ++$id;
        cached($uri, "good$how", [GOOD . $how, OTHER, 'primary 1 0', 'MISS'],
                                 [BAD, BAD, '0 ', 'HIT']);

        $uri = "/cache$threads/" . ++$id;
        cached($uri, "a hedge's$how", [BAD, GOOD . $how, 'hedge 2 1', 'MISS'],
                                      [BAD, BAD, '0 ', 'HIT']);
    }

    $uri = "/cache$threads/" . ++$id;
    cached($uri, 'a large one',
           ['json:9000;chunked;split:500,1', BAD, 'primary 1 0', 'MISS'],
           [BAD, BAD, '0 ', 'HIT']);
    is(request($uri, BAD, BAD)->{md5}, json_md5(9000), 'as it came');

    # a client that leaves: nginx goes on, and what is good is cached

    for my $script (SLOW, 'body:{"time": 3} ];chunked;split:2,100') {
        $uri = "/cache$threads/" . ++$id;

        my $c = $ngx->connect;
        $c->request("$uri?id=c$id", headers => ['X-Script' => $script,
                                                'X-Script-Id' => "c$id"]);
        SmartServer->ctl("wait?id=c$id&event=header");
        sleep 0.1;
        $c->reset;
        SmartServer->ctl('busy?ms=3000');

        cached($uri, "left alone, $script",
               [GOOD, OTHER, $script eq SLOW ? '0 ' : 'primary 1 0',
                $script eq SLOW ? 'HIT' : 'MISS']);
    }

    # nginx makes a GET of it, to fill the cache

    $uri = "/cache$threads/" . ++$id;

    is(request($uri, BAD, OTHER . ';h:X-Ok=1', method => 'HEAD')
       ->{headers}{'x-race'}, 'hedge 2 1', 'HEAD, the body is refused');
    is(request($uri, BAD, BAD)->{body}, '{"time": 2}', "the hedge's is cached");

    $uri = "/cache$threads/" . ++$id;

    my $got = request($uri, BAD, BAD, method => 'HEAD');

    is($got->{status}, 200, 'HEAD, both are refused');
    is($got->{headers}{'x-race'}, 'failed 2 ', 'a failure');
    cached($uri, 'and not cached', [GOOD, OTHER, 'primary 1 0', 'MISS']);

    for my $how ('', ';chunked;split:1000') {
        $uri .= 'x';
        $got = request($uri, BAD, "json:30000$how", method => 'HEAD');

        is($got->{status}, 200, "HEAD, the last is too large$how");
        is($got->{headers}{'x-race'}, 'failed 2 ', 'a failure, too');
        cached($uri, 'and not cached', [GOOD, OTHER, 'primary 1 0', 'MISS']);

        $uri .= 'x';
        $got = request($uri, "json:30000$how", 'close', method => 'HEAD');

        is($got->{status}, 502, "HEAD, a large one and none$how");
        cached($uri, 'and not cached', [GOOD, OTHER, 'primary 1 0', 'MISS']);
    }

    $uri = "/cache$threads/" . ++$id;

    for my $how ('', ';chunked', ';nolen') {
        $uri .= 'x';
        $got = request($uri, GOOD . $how, OTHER, method => 'HEAD');

        is($got->{headers}{'x-race'}, 'primary 1 0', "HEAD, accepted$how");
        is($got->{headers}{'content-length'}, $how ? undef : 11,
           'it has its header');
        is(request($uri, BAD, BAD)->{body}, '{"time": 1}', 'and is cached');
    }

    $uri = "/cache$threads/" . ++$id;

    is(request($uri, 'body:{"time": 1};h:ETag="x"', OTHER,
               headers => ['If-None-Match' => '"x"'])->{status},
       304, 'not modified, of a held answer');
    is(request($uri, GOOD, OTHER)->{headers}{'x-cache'}, 'HIT', 'which is'
       . ' cached');
    is(request("/cache$threads/" . ++$id, BAD, 'body:{"time": 1};h:ETag="x"',
               headers => ['If-None-Match' => '"x"'])->{status},
       304, 'not modified, of a hedge');
}

# a filter that replaces an answer which is passed on because nothing is better

for my $how ('', ';chunked;split:1000') {
    my $large = "json:30000$how;h:ETag=\"x\"";
    my @mismatch = (headers => ['If-Match' => '"y"']);

    is(request('/replaced/alone', $large, 'close', method => 'HEAD')->{status},
       200, "HEAD, and nothing is better$how");

    for my $case (['a primary', '/alone', $large, 'close'],
                  ['a hedge', '', BAD, $large], ['a hedge, at once', '',
                                                'close', $large])
    {
        my ($name, $uri, @scripts) = @$case;

        for my $where ('', '_far') {
            my $got = request("/replaced$where$uri", @scripts, @mismatch);

            is("$got->{status} $got->{body}", '410 gone',
               "$name is too large, and replaced$where$how");
        }
    }
}

{
    my $uri = '/cache/' . ++$id;
    my @c = map { $ngx->connect } 1 .. 3;

    $_->request("$uri?id=lock", headers => ['X-Script' => SLOW . '|hang|hang',
                                            'X-Script-Id' => 'lock'])
        for @c;

    my @got = map { $_->read_header; $_->read_body } @c;

    is(join(' ', map { $_->{body} } @got), join(' ', ('{"time": 3}') x 3),
       'requests that wait for the lock of a held one');
}


# what nginx does with a header

{
    my $got = request('/buffered', BAD . ';h:X-Accel-Redirect=/internal',
                      OTHER);
    is($got->{body}, "moved\n", 'a redirect is a success');

    $got = request('/buffered', BAD, OTHER . ';h:X-Accel-Redirect=/internal');
    is($got->{body}, "moved\n", 'a redirect of a hedge, too');

    for my $value (qw( yes no )) {
        $got = request('/buffered', BAD . ";h:X-Accel-Buffering=$value",
                       OTHER . ";h:X-Accel-Buffering=$value;chunked");
        is($got->{body}, '{"time": 2}', "X-Accel-Buffering: $value");
    }

    $got = request('/intercept', 'status:404;body:x', OTHER);
    is($got->{body}, "not here\n", 'an error page is judged by its status');

    $got = request('/intercept', 'status:404;body:x;delay:500',
                   'status:404;body:y');
    is($got->{body}, "not here\n", 'that of a hedge, too');

    $got = request('/pages', GOOD . ';cut:3', 'close');
    is($got->{status}, 502, 'a body that is cut');
    is($got->{body}, "sorry\n", 'is what error_page is for');

    SKIP: {
    skip 'no trailers', 2 if !trailers();

    $got = request('/trailers', GOOD . ';chunked;trailer:X-Sum=1', OTHER);
    is($got->{trailers}, "X-Sum: 1\r\n", 'trailers come along');

    $got = request('/trailers', BAD, OTHER . ';chunked;trailer:X-Sum=2');
    is($got->{trailers}, "X-Sum: 2\r\n", 'those of a hedge, too');
    }

    $got = request('/added', BAD, OTHER);
    is($got->{body}, "moved\n{\"time\": 2}moved\n", 'addition_filter');

    $got = request('/added', GOOD, OTHER);
    is($got->{body}, "moved\n{\"time\": 1}moved\n", 'of a primary');

    $got = request('/limited', 'json:9000', OTHER);
    is($got->{md5}, json_md5(9000), 'limit_rate');

    $got = request('/store', GOOD, OTHER);
    is($got->{body}, '{"time": 1}', 'with proxy_store');
    ok(!-e $ngx->dir . '/html/store', 'which stores nothing');
}


# the same answer from everything that speaks it

SKIP: {
    skip 'no slices', 1 if SmartServer::build_options() !~ /slice/;

    my $got = request('/slice', GOOD . ';range', OTHER . ';range');
    is($got->{headers}{'x-race'}, 'failed 2 ', 'slices are partial content');
}

is(SmartServer->ctl('busy?ms=900'), "0\n", 'nothing is left at the upstream');

{
    my $status;

    SmartServer::wait_for(sub {
        $status = $ngx->stub_status;
        return !defined $status->{active} || $status->{active} <= 1;
    }, 5);

    ok(!defined $status->{active} || $status->{active} <= 1,
       'connections are back at rest');
}

{
    my ($pid) = $ngx->worker_pids;
    my $script = 'json:60000;chunked;split:6000|json:60000;chunked';

    $ngx->get('/large?id=w' . $_, headers => ['X-Script' => $script])
        for 1 .. 20;
    my $before = $ngx->rss_kb($pid);
    $ngx->get('/large?id=w' . $_, headers => ['X-Script' => $script])
        for 1 .. 200;

    cmp_ok($ngx->rss_kb($pid) - $before, '<', $ENV{SMART_TEST_ASAN} ? 8000
                                                                    : 1000,
           'memory does not grow');
}

$ngx->stop;

memory() if !$ENV{SMART_TEST_ASAN};

done_testing();


# what is held is there once, and in no more than the buffer

sub memory {
    for my $how ('', ';chunked;split:600') {
        $ngx = SmartServer->start(conf => conf());

        my $before = $ngx->rss_kb(($ngx->worker_pids)[0]);
        my @c = map { $ngx->connect } 1 .. 100;

        for my $c (@c) {
            $id++;
            $c->request("/alone?id=h$id",
                        headers => ['X-Script' => "json:64000$how;cut:63000"
                                                  . ';hang',
                                    'X-Script-Id' => "h$id"]);
        }

        my $held;

        SmartServer::wait_for(sub {
            $held = ($ngx->rss_kb(($ngx->worker_pids)[0]) - $before) / @c;
            return $held > 62;
        }, 5);
        sleep 0.1;
        $held = ($ngx->rss_kb(($ngx->worker_pids)[0]) - $before) / @c;

        cmp_ok($held, '>', 62, "held$how: the body, KB");
        cmp_ok($held, '<', 96, 'and no more');

        $_->close for @c;
        $ngx->stop(name => "held$how: all are gone");
    }
}


sub threads {
    return SmartServer::build_options() =~ /--with-threads/;
}


# from 1.27.2 on

sub trailers {
    my ($minor) = SmartServer::build_options() =~ m{nginx/1\.(\d+)};

    return $minor >= 28;
}


sub request {
    my ($uri, $primary, $hedge, %opt) = @_;

    $id++;

    return $ngx->get("$uri?id=h$id", %opt,
                     headers => ['X-Script' => "$primary|$hedge",
                                 'X-Script-Id' => "h$id",
                                 @{ $opt{headers} || [] }]);
}


sub gone {
    my ($n, $name) = @_;

    is(SmartServer->ctl("cancelled?id=h$id"),
       "attempts=$n done=0 cancelled=$n open=0\n", $name);
}


sub race {
    my ($mode, $name, $primary, $hedge, $time, $race, $cancelled, $more) = @_;

    my $got = request("/$mode" . ($more // ''), $primary, $hedge);
    my $log = SmartServer->ctl("cancelled?id=h$id&ms=3000");

    is($got->{headers}{'x-race'}, $race, "$mode: $name");
    like($got->{body}, qr/^\{"time": $time/, 'the right one');
    is($got->{complete}, 1, 'all of it');
    like($log, qr/cancelled=$cancelled open=0/, 'cancelled as it should be');
}


sub cached {
    my ($uri, $name, @requests) = @_;

    my $n = 0;

    for (@requests) {
        my ($primary, $hedge, $race, $status) = @$_;
        my $got = request($uri, $primary, $hedge);

        $n++;
        is($got->{headers}{'x-cache'}, $status, "$name: request $n, $status");
        is($got->{headers}{'x-race'}, $race, 'from there') if defined $race;
    }
}


sub json_md5 {
    my ($size) = @_;

    my ($head, $tail) = ('{"time": 1, "pad": "', qq("}\n));

    return md5_hex($head . 'x' x ($size - length($head) - length($tail))
                   . $tail);
}


sub conf {
    my $slice = SmartServer::build_options() =~ /slice/
              ? 'location /slice { slice 1k; proxy_set_header Range '
                . '$slice_range; proxy_pass http://u; }' : '';
    my $trailers = trailers()
                 ? 'location /trailers { proxy_pass_trailers on;
                        proxy_pass http://u; }' : '';
    my $cached = 'proxy_cache c; proxy_cache_key "$request_uri";';
    my $replaced = join '', map { my $page = $_; map { <<"CONF" }
    location /replaced$page$_ {
        $cached
        @{[ $_ && 'smart_hedge off; smart_timeout 60s;' ]}
        error_page 412 = /gone$page;
        proxy_pass http://u;
    }
CONF
        '', '/alone' } '', '_far';
    my $threads = threads()
                ? 'location /cache_threads/ { smart_hedge 60s; aio threads; aio_write on;
                       proxy_cache c; proxy_cache_key "$uri";
                       proxy_cache_lock on; proxy_pass http://u; }' : '';

    return <<"CONF";
proxy_cache_path %%DIR%%/cache keys_zone=c:1m;

upstream u {
    server \$TEST_NGINX_UP1 max_fails=0;
    server \$TEST_NGINX_UP2 max_fails=0;
    server \$TEST_NGINX_UP3 max_fails=0;
}

upstream k {
    server \$TEST_NGINX_UP4 max_fails=0;
    server \$TEST_NGINX_UP5 max_fails=0;
    keepalive 8;
}

server {
    listen 127.0.0.1:%%PORT%%;
    listen 127.0.0.1:%%PORT_2%% http2;

    proxy_http_version 1.1;
    proxy_set_header   Connection "";
    proxy_next_upstream off;
    proxy_buffers      4 1k;
    proxy_buffer_size  1k;
    proxy_busy_buffers_size 2k;
    proxy_max_temp_file_size 0;
    proxy_cache_valid  200 1h;

    smart_hedge          100ms;
    smart_hedge_budget   off;
    smart_success_json   on;
    smart_success_buffer 16k;

    add_header X-Race "\$smart_outcome \$smart_attempts \$smart_winner" always;
    add_header X-Cache \$upstream_cache_status always;
    add_header X-Answer \$upstream_status;

    location /buffered {
        proxy_pass http://u;
        location /buffered/deadline {
            smart_timeout 600ms;
            proxy_pass http://u;
        }
        location /buffered/large {
            smart_success_buffer 64k;
            proxy_pass http://u;
        }
    }

    location /unbuffered {
        proxy_buffering off;
        proxy_pass http://u;
        location /unbuffered/deadline {
            smart_timeout 600ms;
            proxy_pass http://u;
        }
        location /unbuffered/large {
            smart_success_buffer 64k;
            proxy_pass http://u;
        }
    }

    location /alone {
        smart_hedge off;
        smart_timeout 60s;
        smart_success_buffer 64k;
        proxy_pass http://u;
    }

    location /large { smart_success_buffer 64k; proxy_pass http://u; }
    location /keepalive { proxy_pass http://k; }

    location /cache/ {
        smart_hedge 60s;
        proxy_cache c;
        proxy_cache_key "\$uri";
        proxy_cache_lock on;
        proxy_pass http://u;
    }

    $threads
    $slice

    $replaced

    location = /gone { return 410 "gone"; }
    location = /gone_far {
        smart_hedge off;
        proxy_set_header X-Script "status:410;body:gone";
        proxy_pass http://u;
    }
    location = /internal { internal; return 200 "moved\\n"; }

    location /intercept {
        proxy_intercept_errors on;
        error_page 404 =200 /missing;
        proxy_pass http://u;
    }

    location = /missing { return 200 "not here\\n"; }

    location /pages { error_page 502 /sorry; proxy_pass http://u; }
    location = /sorry { return 200 "sorry\\n"; }

    $trailers

    location /added {
        add_before_body /moved;
        add_after_body /moved;
        addition_types *;
        proxy_pass http://u;
    }

    location = /moved { return 200 "moved\\n"; }

    location /limited { limit_rate 20k; proxy_pass http://u; }

    location /store {
        proxy_store %%DIR%%/html/store;
        proxy_pass http://u;
    }
}
CONF
}
