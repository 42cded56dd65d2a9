package SmartDocker;

# Reads a Dockerfile as "docker build" does, as far as ours goes; what it does
# not know it refuses.
#
#   my $docker = SmartDocker->read('docker/Dockerfile', DEBIAN_MIRROR => ...);
#
#   $docker->stages          in order: {name, image, steps, env}; image is what
#                            FROM names, a step is {do, text, list, line, env,
#                            dir, user}: list is the JSON form, the last three
#                            are what is in force
#   $docker->stage('build')
#   $docker->settings($stage)    what its image has: user, dir, env, cmd,
#                                entrypoint, healthcheck, expose, stopsignal
#   $docker->context             the files that .dockerignore lets in
#   $docker->copies($step)       of COPY: [from, to] for each file or folder,
#                                to absolute; from below the context, or
#                                absolute where there is --from
#   $docker->flag($step, 'from')

use strict;
use warnings;

use Cwd ();
use File::Basename qw( basename );
use File::Find ();
use JSON::PP ();
use Text::ParseWords ();

my %known = map { $_ => 1 } qw( FROM ARG ENV RUN COPY WORKDIR USER EXPOSE
                                STOPSIGNAL HEALTHCHECK ENTRYPOINT CMD );


sub read {
    my ($class, $file, %args) = @_;

    my $self = bless { file => $file, args => \%args, stages => [] }, $class;
    my %global;
    my ($stage, %env);

    for my $step ($self->_steps) {
        my ($do, $text) = @{$step}{qw( do text )};

        if ($do eq 'ARG') {
            my ($name, $default) = $text =~ /^(\w+)(?:=(.*))?$/
                or die "$file:$step->{line}: ARG $text\n";
            my $value = $args{$name} // expand($default // $global{$name}
                                               // '', \%env);

            ($stage ? \%env : \%global)->{$name} = $value;
            next;
        }

        if ($do eq 'FROM') {
            my ($image, $name) = $text =~ /^(\S+)(?: +AS +(\S+))?$/i
                or die "$file:$step->{line}: FROM $text\n";

            %env = ();
            $stage = { image => expand($image, \%global), name => $name // '',
                       steps => [], env => {} };
            push @{ $self->{stages} }, $stage;
            @$self{qw( dir user )} = ('/', '0:0');
            next;
        }

        die "$file:$step->{line}: $do before FROM\n" if !$stage;

        $step->{text} = expand($text, \%env) if $do !~ /^(?:RUN|CMD)$/;
        $step->{list} = JSON::PP::decode_json($1)
            if $step->{text} =~ /^(?:--\S+ +)*(?:CMD +)?(\[.*\])$/s;

        if ($do eq 'ENV') {
            my ($name, $value) = $step->{text} =~ /^(\w+)=(.*)$/
                or die "$file:$step->{line}: ENV $text\n";
            $env{$name} = $value =~ s/^"(.*)"$/$1/r;
            $stage->{env}{$name} = $env{$name};

        } elsif ($do eq 'WORKDIR') {
            $self->{dir} = $step->{text} =~ m{^/} ? $step->{text}
                         : "$self->{dir}/$step->{text}";
        }

        # a RUN sees arguments, the image does not have them
        $step->{env} = { %env };
        $step->{dir} = $self->{dir};
        $self->{user} = $step->{text} if $do eq 'USER';
        $step->{user} = $self->{user};
        push @{ $stage->{steps} }, $step;
    }

    return $self;
}


# logical lines: without comments, continued ones joined

sub _steps {
    my ($self) = @_;

    open my $fh, '<', $self->{file} or die "$self->{file}: $!\n";

    my @steps;
    my $open;

    while (my $line = readline $fh) {
        chomp $line;
        next if $line =~ /^\s*#/ || !$open && $line =~ /^\s*$/;

        my $more = $line =~ s/\\\s*$//;

        if ($open) {
            $line =~ s/^\s+/ /;
            $open->{text} .= $line;

        } else {
            my ($do, $text) = $line =~ /^([A-Za-z]+)\s+(.*)$/
                or die "$self->{file}:$.: $line\n";
            $open = { do => uc $do, text => $text, line => $. };
            die "$self->{file}:$.: $open->{do} is not known here\n"
                if !$known{$open->{do}};
        }

        next if $more;

        $open->{text} =~ s/\s+$//;
        die "$self->{file}:$.: here-documents are not known here\n"
            if $open->{text} =~ /<</;
        push @steps, $open;
        undef $open;
    }

    die "$self->{file}: ends within a line\n" if $open;

    return @steps;
}


sub expand {
    my ($text, $env) = @_;

    return $text =~ s/\$(?:\{(\w+)\}|(\w+))/$env->{$1 \/\/ $2} \/\/ ''/ger;
}


sub stages { return @{ $_[0]{stages} } }


sub stage {
    my ($self, $name) = @_;

    my ($stage) = grep { $_->{name} eq $name } $self->stages;

    return $stage;
}


sub settings {
    my ($self, $stage) = @_;

    my $base = $self->stage($stage->{image});
    my %set = $base ? %{ $self->settings($base) }
            : (user => '0:0', dir => '/', env => {}, cmd => ['bash'],
               entrypoint => [], expose => [], stopsignal => 'SIGTERM');

    $set{env} = { %{ $set{env} }, %{ $stage->{env} } };

    for my $step (@{ $stage->{steps} }) {
        my ($do, $text, $list) = @{$step}{qw( do text list )};

        $set{dir} = $step->{dir};
        $set{user} = $text if $do eq 'USER';
        push @{ $set{expose} }, split ' ', $text if $do eq 'EXPOSE';
        $set{stopsignal} = $text if $do eq 'STOPSIGNAL';
        $set{lc $do} = $list // ['/bin/sh', '-c', $text]
            if $do =~ /^(?:CMD|ENTRYPOINT|HEALTHCHECK)$/;
        $set{cmd} = [] if $do eq 'ENTRYPOINT';
    }

    return \%set;
}


sub flag {
    my ($self, $step, $name) = @_;

    return $step->{text} =~ /^(?:--\S+ +)*--\Q$name\E=(\S+)/ ? $1 : undef;
}


sub copies {
    my ($self, $step) = @_;

    my $text = $step->{text} =~ s/^(?:--\S+ +)*//r;
    my @from = $step->{list} ? @{ $step->{list} }
             : Text::ParseWords::shellwords($text);
    my $to = pop @from;

    die "$self->{file}:$step->{line}: to a folder that does not end in /\n"
        if @from > 1 && $to !~ m{/$} && $to ne '.';

    my $folder = $to =~ m{/$} || $to eq '.';

    $to = "$step->{dir}/$to" if $to !~ m{^/};
    $to =~ s{/(?:\./?)?$}{} while $to =~ m{.+/(?:\./?)?$};

    return map {
        my $name = s{/$}{}r;
        my $dir = -d $name && !defined $self->flag($step, 'from');

        [$name, $dir || !$folder || defined $self->flag($step, 'from')
                ? $to : "$to/" . basename($name)];
    } @from;
}


# the last pattern that matches a file, or a folder above it, decides

sub context {
    my ($self) = @_;

    open my $fh, '<', "$self->{file}.dockerignore" or die "dockerignore: $!\n";
    my @patterns = grep { /\S/ && !/^#/ } map { s/\s+$//r } readline $fh;
    my @rules;

    for my $pattern (@patterns) {
        my $keep = $pattern =~ s/^!//;
        my $re = join '', map {
            $_ eq '**/' ? '(?:.*/)?' : $_ eq '**' ? '.*' : $_ eq '*' ? '[^/]*'
            : $_ eq '?' ? '[^/]' : quotemeta
        } $pattern =~ m{(\*\*/|\*\*|\*|\?|[^*?]+)}g;

        push @rules, [$keep, qr{^$re(?:/|$)}];
    }

    my @files;

    File::Find::find({ no_chdir => 1, wanted => sub {
        my $name = $File::Find::name =~ s{^\./}{}r;

        if (-d && !-l && $name =~ m{^(?:\.git|build)$}) {
            $File::Find::prune = 1;
            return;
        }

        return if -d && !-l;

        my $keep = 1;

        for my $rule (@rules) {
            $keep = $rule->[0] if $name =~ $rule->[1];
        }

        push @files, $name if $keep;
    } }, '.');

    return sort @files;
}


1;
