package SmartTest;

# Test::Nginx::Socket with the scripted upstream beside it.
#
#   use SmartTest 'no_plan';
#   run_tests();
#
#   __DATA__
#
#   === TEST 1: a hedge wins
#   --- http_config
#   upstream u { server $TEST_NGINX_UP1; server $TEST_NGINX_UP2; }
#   --- config
#   location / { smart_hedge 50ms; proxy_pass http://u; }
#   --- request
#   GET /?id=a&s=hang|body:hedge
#   --- response_body: hedge
#   --- ctl
#   cancelled?id=a => attempts=2 done=1 cancelled=1 open=0
#
# Everything that Test::Nginx::Socket exports is exported; its import arguments
# are passed on.  Test::Nginx gets: no_shuffle, no_long_string, log_level info,
# worker_connections 1024, timeout 10, a master process with one worker (a test
# file may say otherwise before run_tests), a free port, and a server root of
# its own ($TEST_NGINX_SERVROOT_<name of the test file>), so that test files can
# run at the same time.  TEST_NGINX_PORT overrides the port.  It is told not to
# use HUP, it restarts nginx for each block.  TEST_NGINX_LOG_LEVEL and
# TEST_NGINX_TIMEOUT go before the values here.
#
# In the texts that Test::Nginx expands (config, http_config, main_config,
# user_files, response_body, ...) and in ctl:
#
#   $TEST_NGINX_UP1 .. UP6     listeners of upstream.pl, as ADDR:PORT; its
#                              script language is described there
#   $TEST_NGINX_DEAD           connections are refused
#   $TEST_NGINX_BLACKHOLE      connections never complete
#   $TEST_NGINX_SERVER_PORT    nginx itself
#
# Each block has by default:
#
#   location /                 serving files of html/, as in Test::Nginx, but
#                              only where config has no such location
#   location /_ctl/            in config, passed to upstream.pl, so that a later
#                              request of the block can ask its log; with the
#                              section no_ctl there is none
#   no_error_log               of [alert], [crit], [emerg] and what sanitizers
#                              print, also beside the block's own no_error_log;
#                              a level that the block's error_log mentions is
#                              left out, and [emerg] with must_die
#   no_shutdown_error_log      of [alert], [crit] and sanitizers: checked when
#                              this nginx has exited, which shows leaked
#                              connections; not where the block has such a
#                              section itself
#   the idle check             after the block no request is in progress at the
#                              upstream, within 900 ms; "idle_after: off" omits
#                              it, a number in its place is the longest wait
#
# Sections of our own, done after the requests while nginx still runs:
#
#   ctl                        lines "CONTROL => EXPECTED", asked of upstream.pl
#                              directly, in order, e.g. "count?id=a => 2".
#                              EXPECTED is compared as text without the final
#                              newline, or as a pattern if it is written /.../.
#                              "CONTROL < NUMBER" and "CONTROL > NUMBER" compare
#                              numbers, e.g. "lag?id=a < 100"
#   after                      perl code, in package main, with $block and
#                              $name; it may use ok() and the like
#
#   logged                     the access log, as text or a pattern; a line may
#                              come after its answer, and is waited for.
#                              logged_filter, code, may change what was logged
#
# Then upstream.pl forgets its log and resets what is still in progress: ids
# count anew in each block.  With repeat_each above 1 they go on counting.
#
# Functions, exported:
#
#   ctl(control)               asks upstream.pl, ctl_json decodes
#   access_log(), error_log()  files of the running block
#
# HTTP/2 blocks ("--- http2") need curl and IPC::Run.

use strict;
use warnings;

use Cwd ();
use File::Basename qw( basename dirname );
use SmartServer;

my ($owner, $end);

BEGIN {
    my $name = basename($0, '.t');
    my $root = $ENV{TEST_NGINX_SERVROOT} || Cwd::getcwd() . '/t/servroot';

    SmartServer::make_dir(dirname($root));

    # read by Test::Nginx when it is loaded
    $ENV{TEST_NGINX_SERVROOT} = "${root}_$name";
    $ENV{TEST_NGINX_PORT} ||= SmartServer::free_port();
    $ENV{TEST_NGINX_USE_HUP} = 0;
}

use Test::Nginx::Socket ();

my @levels = map { "[$_]" } qw( alert crit emerg );
my $sanitizer = qr/Sanitizer: |runtime error: /;


sub import {
    my ($class, @args) = @_;

    my $caller = caller;

    setup() if !$owner;

    {
        no strict 'refs';

        *{"${caller}::ctl"} = sub { SmartServer->ctl(@_) };
        *{"${caller}::ctl_json"} = sub { SmartServer->ctl_json(@_) };
        *{"${caller}::access_log"} = sub { log_file('access') };
        *{"${caller}::error_log"} = sub { log_file('error') };
    }

    @_ = ('Test::Nginx::Socket', @args);
    goto &{ Test::Nginx::Socket->can('import') };
}


sub setup {
    $owner = $$;

    SmartServer->upstream;
    $ENV{TEST_NGINX_DEAD} = SmartServer::dead_addr();
    $ENV{TEST_NGINX_BLACKHOLE} = SmartServer::blackhole_addr();

    Test::Nginx::Util::no_shuffle();
    Test::Nginx::Util::no_long_string();
    Test::Nginx::Util::log_level($ENV{TEST_NGINX_LOG_LEVEL} || 'info');
    Test::Nginx::Util::worker_connections(1024);
    Test::Nginx::Util::timeout($ENV{TEST_NGINX_TIMEOUT} || 10);
    Test::Nginx::Util::master_on();

    Test::Nginx::Util::add_block_preprocessor(\&prepare);
    Test::Nginx::Util::add_test_cleanup_handler(\&finish);
}


sub prepare {
    my ($block) = @_;

    $Test::Nginx::Util::NoRootLocation =
        ($block->config // '') =~ m{\blocation\s+/\s*\{};

    if (defined $block->config && !defined $block->no_ctl) {
        my $off = SmartServer::smart_off();

        $block->set_value(config => $block->config . <<"CONF");

location /_ctl/ {
    proxy_pass http://\$TEST_NGINX_UP1;
    access_log off;
    $off
}
CONF
    }

    my $expected = join ' ', list($block->error_log);
    my $own = join ' ', list($block->no_error_log);
    my @no = grep {
        my $level = substr $_, 0, -1;
        index("$expected $own", $level) < 0
            && !($_ eq '[emerg]' && defined $block->must_die);
    } @levels;

    $block->set_value(no_error_log => [list($block->no_error_log), @no,
                                       $sanitizer]);

    if (!defined $block->no_shutdown_error_log
        && !defined $block->shutdown_error_log
        && !defined $block->must_die)
    {
        @no = grep { index($expected, substr $_, 0, -1) < 0 }
                   @levels[0, 1];
        $block->set_value(no_shutdown_error_log => [@no, $sanitizer]);
    }
}


# a section's value as Test::Nginx takes it: lines, a pattern, or an array

sub list {
    my ($value) = @_;

    return () if !defined $value;
    return @$value if ref $value eq 'ARRAY';
    return $value if ref $value;
    return grep { $_ ne '' } split /\n+/, $value;
}


sub finish {
    my ($block) = @_;

    return if defined $block->SKIP || $Test::Nginx::Util::CheckLeak
              || $Test::Nginx::Util::Benchmark;

    my $name = $block->name;

    my $run = !defined $block->must_die && !skipped($block);

    if ($run) {
        check_ctl($name, $block->ctl) if defined $block->ctl;

        if (defined $block->after) {
            package main;
            our $block = $block;
            our $name = $name;
            eval "no strict 'vars'; " . $block->after;
            Test::More::fail("$name - after: $@") if $@;
        }

        check_idle($name, $block->idle_after);
    }

    SmartServer->ctl('reset?close=1');

    check_log($name, $block->logged, $block->logged_filter)
        if $run && defined $block->logged;
}


# such a block sends requests to an nginx that may lack what they need

sub skipped {
    my ($block) = @_;

    return grep { defined } $block->skip_nginx, $block->skip_nginx2,
                            $block->skip_eval, $block->skip_openssl,
                            $block->todo;
}


sub check_ctl {
    my ($name, $text) = @_;

    for my $line (list($text)) {
        my ($what, $op, $expected) = $line =~ /^\s*(.*?) +(=>|<|>) +(.*?)\s*$/;

        if (!defined $what) {
            Test::More::fail("$name - ctl: cannot read \"$line\"");
            next;
        }

        $expected = Test::Nginx::Util::expand_env_in_text(
            $expected, $name, $Test::Nginx::Util::RandPorts // {});

        my $got = SmartServer->ctl($what);

        $got =~ s/\n\z//;

        if ($op ne '=>') {
            Test::More::cmp_ok($got, $op, $expected, "$name - ctl $what");

        } elsif ($expected =~ m{^/(.*)/$}) {
            Test::More::like($got, qr/$1/s, "$name - ctl $what");

        } else {
            Test::More::is($got, $expected, "$name - ctl $what");
        }
    }
}


sub check_idle {
    my ($name, $value) = @_;

    my ($ms) = ($value // '') =~ /(\d+)/;

    return if ($value // '') =~ /off/;

    $ms //= 900;
    Test::More::is(SmartServer->ctl("busy?ms=$ms"), "0\n",
                   "$name - no request left at the upstream");
}


sub check_log {
    my ($name, $expected, $filter) = @_;

    my ($log, $pattern);

    $pattern = ref $expected ? $expected : qr/\A\Q$expected\E\z/;

    SmartServer::wait_for(sub {
        $log = log_file('access') // '';
        $log = $filter->($log) if $filter;
        return $log =~ $pattern;
    }, 2);

    ref $expected ? Test::More::like($log, $expected, "$name - log")
                  : Test::More::is($log, $expected, "$name - log");
}


sub log_file {
    my ($name) = @_;

    return SmartServer::log_file(wantarray,
        "$ENV{TEST_NGINX_SERVROOT}/logs/$name.log");
}


1;
