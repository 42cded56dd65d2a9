package SmartProbe;

# Modules in C for tests, built for the nginx under test.
#
#   use SmartProbe;
#
#   my $so = SmartProbe->probe;            # t/probe/ngx_http_probe_module.c
#
# missing()          why nothing can be built, undef where it can
# probe()            path of that module, for "modules" of SmartServer->start
# build(name, text)  the same of a module whose source is given
# sources()          directory of nginx's C sources, undef where there are but
#                    its headers

use strict;
use warnings;

use Cwd ();
use File::Basename qw( dirname );
use File::Temp ();
use SmartServer;

my $dir;


sub ours {
    my ($so) = grep { /ngx_http_smart_module/ }
               split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';

    return $so;
}


# what ./build.sh has configured lies beside the modules that it made

sub places {
    my $so = ours() or return;
    my $where = dirname(dirname $so);

    return ("$where/objs", grep { -e "$_/core/nginx.h" } "$where/nginx/src",
            '/usr/share/nginx/src/src');
}


sub missing {
    my ($objs, $source) = places();

    return 'the module is not loaded, but linked' if !defined $objs;
    return 'nothing configured beside the module'
        if !-e "$objs/ngx_auto_config.h";
    return 'no headers of nginx' if !defined $source;

    return undef;
}


sub sources {
    my ($objs, $source) = places();

    return defined $source && -e "$source/core/nginx.c" ? $source : undef;
}


sub probe {
    my ($class) = @_;

    my $file = dirname(dirname Cwd::abs_path(__FILE__))
             . '/probe/ngx_http_probe_module.c';

    return $class->build('ngx_http_probe_module', SmartServer::slurp($file));
}


sub build {
    my ($class, $name, $text) = @_;

    my ($objs, $source) = places();
    my $cc = $ENV{CC} || 'gcc';

    $dir //= File::Temp->newdir;

    my $so = "$dir/$name.so";
    my $include = join ' ', map { "-I$_" } $objs,
        map { "$source/$_" } qw( core event event/modules event/quic os/unix
                                 http http/modules http/v2 http/v3 );

    SmartServer::spew("$dir/$name.c", $text);

    my $error = `$cc -Wall -Werror -g -O1 -shared -fPIC $include \\
                 -o $so $dir/$name.c 2>&1`;

    die "$name: $error" if $?;

    return $so;
}


1;
