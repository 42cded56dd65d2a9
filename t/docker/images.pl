#!/usr/bin/perl

# images.pl BASE DIR: takes the steps of docker/Dockerfile, one stage after the
# other, each in a copy of BASE: DIR/build, DIR/demo and DIR/runtime. Run by
# check.sh.

use strict;
use warnings;

use SmartCompose;
use SmartDocker;

my ($base, $dir) = @ARGV;

die "usage: images.pl BASE DIR\n" if !defined $dir || !-d $base;

my @args = $ENV{DEBIAN_MIRROR} ? (DEBIAN_MIRROR => $ENV{DEBIAN_MIRROR}) : ();
my $docker = SmartDocker->read('docker/Dockerfile', @args);
my $compose = SmartCompose->new($docker, 'docker/compose.yaml', temp => $dir);

# as it is now, whatever becomes of the tree meanwhile

SmartCompose::must('rm', '-rf', "$dir/context");
SmartCompose::must('mkdir', '-p', "$dir/context");
SmartCompose::must('cp', '-p', '--parents', $docker->context, "$dir/context");
chdir "$dir/context" or die "$dir/context: $!\n";

for my $stage ($docker->stages) {
    my $root = "$dir/$stage->{name}";
    my $log = "$dir/$stage->{name}.log";
    my $start = time;

    print STDERR "images.pl: stage $stage->{name} from $stage->{image}\n";

    SmartCompose::must('rm', '-rf', $root);
    SmartCompose::must('cp', '-a', $base, $root);
    unlink $log;

    if (!eval { $compose->image($stage, root => $root, online => 1,
                                verbose => 1, output => $log) })
    {
        print STDERR $@;
        system 'tail', '-n', '30', $log;
        exit 1;
    }

    my ($size) = `du -smx '$root'` =~ /^(\d+)/;

    printf STDERR "images.pl: %s: %d MB, %d s\n", $stage->{name}, $size,
        time - $start;
}
