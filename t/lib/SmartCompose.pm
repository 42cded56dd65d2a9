package SmartCompose;

# Does without Docker what docker/compose.yaml asks of it: images by the steps
# of the Dockerfile, each in a chroot; a network on a bridge, with an address
# and a name for each service; the bind mounts; users without rights.
#
#   SmartCompose->enter;              once more, in namespaces of its own
#   my $compose = SmartCompose->new($docker, 'docker/compose.yaml');
#
#   $compose->image($stage, base => $dir, skip => qr/apt-get/);
#                                     its root: on top of base, COPY and RUN as
#                                     they are written, less what skip matches.
#                                     root => a folder takes the place of base,
#                                     online => 1 lets it reach others by name,
#                                     output => a file
#   $compose->network;
#   $compose->up($service, root => $dir, command => [...]);
#   $compose->healthy($service, $s)   its health check succeeds within s seconds
#   $compose->in($service, @command)  output; the exit status is in $?
#   $compose->logs($service), $compose->stop($service) (exit status)
#
# Only root can do this; possible() says why not, or ''.

use strict;
use warnings;

use Cwd ();
use File::Basename qw( dirname );
use File::Path qw( make_path );
use POSIX qw( WNOHANG );
use SmartPrometheus;
use SmartServer;

my $subnet = '172.30.0';
my $path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';


sub possible {
    return 'root alone can do this' if $> != 0;

    my $output = `unshare --mount --net --pid --fork sh -c '
        ip link add smart0 type bridge && ip link add v0 type veth peer name v1
        ' 2>&1`;

    return $? ? "no namespaces: $output" : '';
}


sub enter {
    return if $ENV{SMART_ENTERED};

    local $ENV{SMART_ENTERED} = 1;

    exec qw( unshare --mount --net --pid --fork --kill-child --mount-proc ),
        $^X, (map { "-I$_" } @INC), $0, @ARGV
        or die "unshare: $!\n";
}


sub new {
    my ($class, $docker, $file, %opt) = @_;

    my $temp = $opt{temp} // '/run/smart';
    my $yaml = SmartPrometheus::yaml($file);
    my $self = bless { docker => $docker, yaml => $yaml, temp => $temp,
                       dir => Cwd::abs_path(dirname($file)), services => {} },
                     $class;

    # everything below /run is gone with the namespace
    must('mount', '-t', 'tmpfs', 'tmpfs', '/run') if !$opt{temp};
    make_path($temp);

    return $self;
}


sub must {
    system(@_) == 0 or die "@_: failed\n";
}


# compose's own variables at their defaults

sub interpolate {
    my ($value) = @_;

    return ref $value eq 'ARRAY' ? [map { interpolate($_) } @$value]
         : $value =~ s/\$\{(\w+):-([^}]*)\}/$2/gr;
}


# building

sub image {
    my ($self, $stage, %opt) = @_;

    my $root = $opt{root} // $self->overlay($stage->{name}, $opt{base});

    $self->mounts($root);

    for my $file ($opt{online} ? qw( hosts resolv.conf ) : ()) {
        SmartServer::spew("$root/etc/$file", '') if !-e "$root/etc/$file";
        must('mount', '--bind', "/etc/$file", "$root/etc/$file");
    }

    # where a proxy speaks for others, npm has to know its certificate
    if ($opt{online} && $ENV{NODE_EXTRA_CA_CERTS}) {
        must('cp', $ENV{NODE_EXTRA_CA_CERTS}, "$root/run/ca.crt");
        $self->{env}{NODE_EXTRA_CA_CERTS} = '/run/ca.crt';
    }

    for my $step (@{ $stage->{steps} }) {
        my ($do, $text) = @{$step}{qw( do text )};

        if ($do eq 'WORKDIR') {
            make_path("$root$step->{dir}");

        } elsif ($do eq 'COPY') {
            $self->copy($root, $step);

        } elsif ($do eq 'RUN') {
            next if $opt{skip} && $text =~ $opt{skip};

            print STDERR "RUN $text\n" if $opt{verbose};

            my $status = $self->chroot($root, $step, $opt{output},
                                       '/bin/sh', '-c', $text);

            die "$stage->{name}: RUN in line $step->{line}: status $status\n"
                if $status;
        }
    }

    return $self->{root}{$stage->{name}} = $root;
}


sub overlay {
    my ($self, $name, $base) = @_;

    my $dir = "$self->{temp}/$name";

    make_path("$dir/upper", "$dir/work", "$dir/root");
    must('mount', '-t', 'overlay', 'overlay', '-o',
         "lowerdir=$base,upperdir=$dir/upper,workdir=$dir/work", "$dir/root");

    return "$dir/root";
}


sub mounts {
    my ($self, $root) = @_;

    make_path("$root/proc", "$root/dev");
    must('mount', '-t', 'proc', 'proc', "$root/proc");
    must('mount', '--rbind', '/dev', "$root/dev");
}


sub copy {
    my ($self, $root, $step) = @_;

    my $docker = $self->{docker};
    my $from = $docker->flag($step, 'from');
    my $base = defined $from ? $self->{root}{$from} : undef;

    for my $copy ($docker->copies($step)) {
        my ($source, $to) = @$copy;

        if (defined $base) {
            my $of = -d "$base$source" ? "$base$source/." : "$base$source";

            make_path("$root$to");
            must('cp', '-a', $of, "$root$to");
            next;
        }

        my @files = grep { $source eq '.' || $_ eq $source
                           || index($_, "$source/") == 0 } $docker->context;

        die "COPY $source: no such file in the context\n" if !@files;

        for my $file (@files) {
            my $rest = $source eq '.' ? "/$file" : substr $file, length $source;

            make_path(dirname("$root$to$rest"));
            must('cp', '-p', $file, "$root$to$rest");
            must('chown', '0:0', "$root$to$rest");
        }
    }
}


# at => {dir, env, user} of a step or of an image's settings

sub command {
    my ($self, $root, $at, @command) = @_;

    my ($user, $group) = split /:/, $at->{user};
    my %env = (PATH => $path, HOME => '/root', %{ $self->{env} || {} },
               %{ $at->{env} });

    $env{$_} //= $ENV{$_} for grep { defined $ENV{$_} }
        qw( http_proxy https_proxy no_proxy );

    my @drop = $user eq '0' ? ()
             : ('setpriv', '--reuid', $user, '--regid', $group // $user,
                '--clear-groups', '--bounding-set=-all', '--no-new-privs');

    return ('chroot', $root, 'env', '-i',
            (map { "$_=$env{$_}" } sort keys %env), @drop,
            'sh', '-c', 'cd "$0" && exec "$@"', $at->{dir}, @command);
}


sub chroot {
    my ($self, $root, $at, $output, @command) = @_;

    my $pid = fork // die "fork: $!";

    if (!$pid) {
        if ($output) {
            open STDOUT, '>>', $output;
            open STDERR, '>&', \*STDOUT;
        }

        open STDIN, '<', '/dev/null';
        exec $self->command($root, $at, @command) or POSIX::_exit(127);
    }

    waitpid $pid, 0;

    return $? >> 8 || $? & 127;
}


# running

sub network {
    my ($self) = @_;

    my $n = 1;
    my $hosts = "127.0.0.1 localhost\n";

    must('mount', '--make-rprivate', '/');
    must(qw( ip link set lo up ));
    must(qw( ip link add smart0 type bridge ));
    must(qw( ip link set smart0 up ));
    must('ip', 'addr', 'add', "$subnet.1/24", 'dev', 'smart0');

    for my $name (sort keys %{ $self->{yaml}{services} }) {
        my $addr = "$subnet." . ++$n;

        must('ip', 'netns', 'add', $name);
        must('ip', 'link', 'add', "v$n", 'type', 'veth', 'peer', 'name',
             'eth0', 'netns', $name);
        must('ip', 'link', 'set', "v$n", 'master', 'smart0', 'up');
        must('ip', '-n', $name, 'link', 'set', 'lo', 'up');
        must('ip', '-n', $name, 'addr', 'add', "$addr/24", 'dev', 'eth0');
        must('ip', '-n', $name, 'link', 'set', 'eth0', 'up');
        must('ip', '-n', $name, 'route', 'add', 'default', 'via', "$subnet.1");

        $self->{addr}{$name} = $addr;
        $hosts .= "$addr $name\n";
    }

    # names that are not there are refused at once
    SmartServer::spew("$self->{temp}/hosts", $hosts);
    SmartServer::spew("$self->{temp}/resolv.conf", "nameserver 127.0.0.1\n");
}


sub addr { return $_[0]{addr}{$_[1]} }


sub up {
    my ($self, $name, %opt) = @_;

    my $service = $self->{yaml}{services}{$name};
    my ($target) = map { $_->{build} ? $_->{build}{target} : () }
                   grep { $_->{image} eq $service->{image} }
                   values %{ $self->{yaml}{services} };
    my $stage = $self->{docker}->stage($target // '');
    my $set = $stage ? $self->{docker}->settings($stage) : $opt{settings};
    my $root = $self->overlay("service-$name",
                              $opt{root} // $self->{root}{$target});

    $self->mounts($root);
    $self->volumes($root, $service, $set);

    for my $file (qw( hosts resolv.conf )) {
        unlink "$root/etc/$file";
        SmartServer::spew("$root/etc/$file", '');
        must('mount', '--bind', "$self->{temp}/$file", "$root/etc/$file");
    }

    my @command = (@{ $set->{entrypoint} },
                   @{ interpolate($service->{command} // $set->{cmd}) });
    my $log = "$self->{temp}/$name.log";

    # as runc does: what the service writes to belongs to its user
    SmartServer::spew($log, '');
    must('chown', $set->{user}, $log);

    my $pid = fork // die "fork: $!";

    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $log;
        open STDERR, '>>', $log;
        exec 'ip', 'netns', 'exec', $name,
            $self->command($root, $set, @command) or POSIX::_exit(127);
    }

    $self->{services}{$name} = { pid => $pid, root => $root, set => $set,
                                 log => $log };
}


# named volumes belong to the image's folder, as Docker has it

sub volumes {
    my ($self, $root, $service, $set) = @_;

    for my $volume (@{ $service->{volumes} || [] }) {
        my ($source, $target, $mode) = split /:/, interpolate($volume);

        if ($source !~ m{^[./]}) {
            make_path("$root$target");
            must('chown', $set->{user}, "$root$target") if $set->{volumes};
            next;
        }

        my $from = Cwd::abs_path("$self->{dir}/$source")
            // die "$source: there is no such file\n";

        if (-d $from) {
            make_path("$root$target");

        } else {
            make_path(dirname("$root$target"));
            SmartServer::spew("$root$target", '') if !-e "$root$target";
        }

        must('mount', '--bind', $from, "$root$target");
        must('mount', '-o', 'remount,bind,ro', "$root$target")
            if ($mode // '') eq 'ro';
    }
}


sub in {
    my ($self, $name, @command) = @_;

    my $service = $self->{services}{$name};
    my @full = ('ip', 'netns', 'exec', $name,
                $self->command($service->{root}, $service->{set}, @command));
    my $file = "$self->{temp}/in.log";

    SmartServer::spew($file, '');
    must('chown', $service->{set}{user}, $file);

    my $pid = fork // die "fork: $!";

    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $file;
        open STDERR, '>>', $file;
        exec @full or POSIX::_exit(127);
    }

    waitpid $pid, 0;

    return SmartServer::slurp($file);
}


sub healthy {
    my ($self, $name, $seconds) = @_;

    my $test = $self->{yaml}{services}{$name}{healthcheck}{test};
    my @check = $test ? @{$test}[1 .. $#$test]
              : @{ $self->{services}{$name}{set}{healthcheck} || [] };

    die "$name: no health check\n" if !@check;

    return SmartServer::wait_for(sub {
        return -1 if waitpid($self->{services}{$name}{pid}, WNOHANG) > 0;

        $self->in($name, @check);

        return $? == 0;
    }, $seconds) == 1;
}


sub logs { return SmartServer::slurp($_[0]{services}{$_[1]}{log}) }


sub stop {
    my ($self, $name, $seconds) = @_;

    my $service = $self->{services}{$name};
    my $signal = $service->{set}{stopsignal} // 'SIGTERM';
    my $status;

    kill $signal =~ s/^SIG//r => $service->{pid};

    SmartServer::wait_for(sub {
        return 0 if waitpid($service->{pid}, WNOHANG) <= 0;
        $status = $?;
        return 1;
    }, $seconds // 10);

    return $status;
}


1;
