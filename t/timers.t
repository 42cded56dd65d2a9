use strict;
use warnings;

# when triggers and deadlines come due, each beside others of its location

use Test::More;
use SmartServer;

SmartServer->upstream;

my $ngx = SmartServer->start(conf => <<'CONF');
upstream u {
    server $TEST_NGINX_UP1 max_fails=0;
    server $TEST_NGINX_UP2 max_fails=0;
    server $TEST_NGINX_UP3 max_fails=0;
}
server {
    listen 127.0.0.1:%%PORT%%;
    proxy_read_timeout 20s;

    location /both/ {
        smart_hedge 100ms;
        smart_timeout 4s;
        proxy_pass http://u;
    }
    location /deadline/ {
        smart_hedge 1500ms;
        smart_timeout $arg_timeout;
        proxy_pass http://u;
    }
    location /zero/ {
        smart_hedge 0;
        proxy_pass http://u;
    }
    location /many/ {
        smart_hedge 10s;
        smart_timeout $arg_timeout;
        proxy_pass http://u;
    }
}
CONF


# a trigger re-arms for a late deadline; the triggers behind it stay early

my @c = map {
    my $c = $ngx->connect;
    $c->request("/both/?id=both$_&s=delay:3000;body:primary|body:hedge");
    select undef, undef, undef, 0.03;
    $c;
} 1 .. 4;

for my $i (1 .. 4) {
    my $head = $c[$i - 1]->read_header;
    my $body = $c[$i - 1]->read_body;

    is $body->{body}, 'hedge', "request $i is hedged";
    cmp_ok $head->{ms}, '<', 1500, "request $i is hedged in time";
}


# a deadline that is set behind a later trigger, and close to it

my $slow = $ngx->connect;
$slow->request('/deadline/?id=slow&s=hang|body:hedge');

my $c = $ngx->connect;
$c->request('/deadline/?id=early&s=hang&timeout=100');
my $head = $c->read_header;

is $head->{status}, 504, 'an early deadline behind a late trigger';
cmp_ok $head->{ms}, '<', 800, 'comes first';

$head = $slow->read_header;
is $slow->read_body->{body}, 'hedge', 'and the late trigger after it';


# no delay at all, and a body that comes in two parts

$c = $ngx->connect;
$c->send("POST /zero/?id=zero&s=echo HTTP/1.1\r\nHost: h\r\n"
         . "Content-Length: 10\r\n\r\n12345");

my $other = $ngx->get('/zero/?id=other&s=delay:300|body:hedge');
is $other->{body}, 'hedge', 'others are served while a body is awaited';

$c->send('67890');
$head = $c->read_header;
is $head->{status}, 200, 'the body is complete';
like $c->read_body->{body}, qr/"body_size":10\b/, 'and was passed on';


# deadlines in an order that no queue likes

my %due = map { $_ => $ngx->connect } 1 .. 60;

for my $i (sort { ($a * 37) % 61 <=> ($b * 37) % 61 } keys %due) {
    $due{$i}->request("/many/?id=many$i&s=hang&timeout=" . (400 + 10 * $i));
}

my ($early, $late, $wrong) = (0, 0, 0);

for my $i (sort { $a <=> $b } keys %due) {
    my $h = $due{$i}->read_header;
    $wrong++ if !$h || $h->{status} != 504;
    $early++ if $h && $h->{ms} < 400 + 10 * $i - 20;
    $late++ if $h && $h->{ms} > 2 * (400 + 10 * $i) + 500;
}

is $wrong, 0, 'every deadline is kept';
is $early, 0, 'none comes early';
is $late, 0, 'none comes late';

$ngx->stop;

done_testing;
