package SmartMetrics;

# Reads the text of smart_metrics as strictly as it is specified, and knows
# which families there are.
#
#   my $m = SmartMetrics->parse($text, $openmetrics);
#   my $m = SmartMetrics->scrape('127.0.0.1:1984', '/metrics', Accept => ...);
#
#   is_deeply [$m->errors], [];              grammar, order, duplicates, buckets
#   is_deeply [$m->contract], [];            families, types, labels, values
#   is_deeply [$m->identities], [];          what holds when nothing is going on
#   is_deeply [$m->wins], [];                attempts that won, and outcomes
#   is $m->value('requests_total', code => '2xx'), 3;
#
# Names are written without "nginx_smart_".  value() adds up all samples of a
# name that have those labels, undef if there is none; samples() lists them as
# [name, {labels}, value]; values(name, label) are the label's values, sorted.
# Values of labels are as they were before escaping.
#
# settle($code, addr, ...) scrapes until $code->($m) is true, at most 2 s, and
# returns the last scrape: a request is counted just after its answer.

use strict;
use warnings;

use SmartServer;

use constant PREFIX => 'nginx_smart_';

our @BOUNDS = qw( 0.001 0.0025 0.005 0.01 0.025 0.05 0.075 0.1 0.15 0.2 0.25
                  0.3 0.35 0.4 0.5 0.75 1.0 2.5 5.0 10.0 +Inf );

our %VALUES = (
    code    => [qw( 1xx 2xx 3xx 4xx 5xx )],
    outcome => [qw( primary hedge failed timeout aborted invalid bypass )],
    attempt => [qw( primary hedge )],
    result  => [qw( won cancelled failed rejected )],
    reason  => [qw( budget no_peer busy method body warmup deadline phase )],
);

my @location = qw( server location );
my @peer = qw( upstream peer );

# name without "_total", type, labels; those that may be missing have a 1

our @FAMILIES = (
    [build_info               => 'gauge', qw( version nginx_version )],
    [start_time_seconds       => 'gauge'],
    [requests                 => 'counter', @location, 'code'],
    [requests_in_flight       => 'gauge', @location],
    [request_duration_seconds => 'histogram', @location],
    [outcomes                 => 'counter', @location, 'outcome'],
    [attempts                 => 'counter', @location, 'attempt'],
    [attempts_finished        => 'counter', @location, 'attempt', 'result'],
    [attempt_duration_seconds => 'histogram', @location, 'attempt'],
    [suppressed               => 'counter', @location, 'reason'],
    [dry_run_hedges           => 'counter', @location],
    [saved_seconds            => 'counter', @location],
    [wasted_seconds           => 'counter', @location],
    [delay_seconds            => 'gauge', @location],
    [budget_tokens            => 'gauge', @location],
    [peer_attempts            => 'counter', @peer, 'result'],
    [peer_lost                => 'counter', @peer],
    [zone_size_bytes          => 'gauge'],
    [zone_used_bytes          => 'gauge'],
    [series_dropped           => 'counter'],
);


sub scrape {
    my ($class, $addr, $uri, @headers) = @_;

    my $c = SmartServer::Client->connect(addr => $addr)
        or die "no connection to $addr\n";

    $c->request($uri, close => 1, headers => \@headers);

    my $head = $c->read_header or die "no answer: " . $c->error . "\n";
    my $body = $c->read_body(keep => 1 << 26);
    my $type = $head->{headers}{'content-type'} // '';
    my $m = $class->parse($body->{body}, $type =~ /openmetrics/);

    $m->{head} = $head;
    $m->{text} = $body->{body};

    push @{ $m->{errors} }, "status $head->{status}" if $head->{status} != 200;
    push @{ $m->{errors} }, 'the body is not complete' if !$body->{complete};

    return $m;
}


sub settle {
    my ($class, $code, @where) = @_;

    my $m;

    SmartServer::wait_for(sub {
        $m = $class->scrape(@where);
        return $code->($m);
    }, 2);

    return $m;
}


sub parse {
    my ($class, $text, $openmetrics) = @_;

    my $self = bless { samples => [], families => {}, order => [],
                       errors => [], openmetrics => $openmetrics }, $class;
    my @lines = split /\n/, $text, -1;

    if (@lines && $lines[-1] eq '') {
        pop @lines;

    } else {
        $self->_error('no newline at the end');
    }

    if ($openmetrics) {
        my $last = pop @lines;
        $self->_error('no # EOF') if !defined $last || $last ne '# EOF';
    }

    for my $n (0 .. $#lines) {
        $self->{line} = $n + 1;
        $self->_line($lines[$n]);
    }

    delete $self->{line};
    $self->_check_families;
    $self->_check_histograms;

    return $self;
}


sub errors { return @{ $_[0]{errors} } }


sub _error {
    my ($self, $text) = @_;

    push @{ $self->{errors} },
        (defined $self->{line} ? "line $self->{line}: " : '') . $text;
}


sub _line {
    my ($self, $line) = @_;

    if ($line =~ /^# (HELP|TYPE) ([a-z_]+) (.+)$/) {
        my ($what, $name, $value) = (lc $1, $2, $3);
        my $new = !$self->{families}{$name};
        my $family = $self->{families}{$name} //= { name => $name };

        push @{ $self->{order} }, $name if $new;
        $self->_error("$name: metadata after others of it")
            if $self->{order}[-1] ne $name || $family->{samples};
        $self->_error("$name: second $what") if defined $family->{$what};
        $family->{$what} = $value;
        return;
    }

    my ($name, $labels, $value) =
        $line =~ /^([a-zA-Z_:]\w*)(?:\{(.*)\})? ([0-9]+(?:\.[0-9]+)?|\+Inf)$/a
        or return $self->_error("no sample: $line");

    my $text = $labels // '';
    my (%labels, @names);

    while ($text =~ s/^([a-z_]+)="((?:[^"\\\n]|\\[\\"n])*)"(?:,(?=[a-z])|$)//) {
        my ($label, $content) = ($1, $2);

        $self->_error("label $label twice") if exists $labels{$label};
        push @names, $label;
        $content =~ s/\\(.)/$1 eq 'n' ? "\n" : $1/ge;
        $labels{$label} = $content;

        my $copy = $content;
        $self->_error("label $label is not UTF-8") if !utf8::decode($copy);
    }

    $self->_error("labels: $labels") if length $text || ($labels // 'x') eq '';

    my $key = join "\0", $name, map { "$_=$labels{$_}" } sort keys %labels;

    $self->_error("duplicate: $line") if $self->{keys}{$key}++;

    my $last = $self->{order}[-1] // '';
    my $family = $self->{families}{$last} // {};
    my $type = $family->{type} // '';
    my %own = map { $_ => 1 }
              $type eq 'histogram' ? map { "${last}_$_" } qw( bucket sum count )
            : $type eq 'counter' && $self->{openmetrics} ? "${last}_total"
            : $last;

    $self->_error("$name is no sample of $last, $type") if !$own{$name};
    $family->{samples}++;

    my $sample = [$name, \%labels, $value, $last, \@names];

    push @{ $self->{samples} }, $sample;
    push @{ $self->{index}{$name}{''} }, $sample;
    push @{ $self->{index}{$name}{"$labels{server}\0$labels{location}"} },
        $sample if defined $labels{server} && defined $labels{location};
}


sub _check_families {
    my ($self) = @_;

    for my $name (@{ $self->{order} }) {
        for my $what (qw( help type )) {
            $self->_error("$name: no $what")
                if !defined $self->{families}{$name}{$what};
        }
    }
}


sub _check_histograms {
    my ($self) = @_;

    my %rows;

    for my $sample (@{ $self->{samples} }) {
        my ($name, $labels, $value, $family) = @$sample;

        next if ($self->{families}{$family}{type} // '') ne 'histogram';

        my %rest = %$labels;
        my $le = delete $rest{le};
        my $row = $rows{join "\0", $family, map { "$_=$rest{$_}" }
                                            sort keys %rest} //= {};

        if ($name =~ /_bucket$/) {
            push @{ $row->{le} }, $le // 'none';
            $self->_error("$family: buckets fall at $le")
                if $value < ($row->{last} // 0);
            $row->{last} = $value;

        } else {
            $row->{$name =~ /_sum$/ ? 'sum' : 'count'} = $value;
        }
    }

    for my $key (sort keys %rows) {
        my ($row, $name) = ($rows{$key}, $key =~ s/\0/ /gr);

        $self->_error("$name: buckets @{ $row->{le} || [] }")
            if "@{ $row->{le} || [] }" ne "@BOUNDS";
        $self->_error("$name: no sum") if !defined $row->{sum};
        $self->_error("$name: count is not that of +Inf")
            if ($row->{count} // -1) != ($row->{last} // -2);
    }
}


# what the text has that it should not, and the other way round

sub contract {
    my ($self) = @_;

    my %known;
    my @wrong;

    for my $row (@FAMILIES) {
        my ($name, $type, @labels) = @$row;
        my $full = PREFIX . $name
                   . ($type eq 'counter' && !$self->{openmetrics} ? '_total'
                                                                  : '');
        my $family = $self->{families}{$full};

        $known{$full} = 1;

        if (!$family) {
            push @wrong, "$full is missing";
            next;
        }

        push @wrong, "$full is of type $family->{type}"
            if $family->{type} ne $type;

        push @wrong, $self->_contract_labels($full, $type, @labels);
    }

    push @wrong, map { "$_ is unknown" }
                 grep { !$known{$_} } @{ $self->{order} };

    return @wrong;
}


sub _contract_labels {
    my ($self, $full, $type, @labels) = @_;

    my (@wrong, %rows, %seen);

    for my $sample (grep { $_->[3] eq $full } @{ $self->{samples} }) {
        my ($name, $labels, $value, undef, $names) = @$sample;
        my @expected = (@labels, $name =~ /_bucket$/ ? 'le' : ());

        push @wrong, "$name has the labels @$names" if "@$names" ne "@expected";

        my $owner = join "\0", map { $labels->{$_} // '' }
                               grep { !$VALUES{$_} } @labels;
        my $set = join ' ', map { $labels->{$_} // '' }
                            grep { $VALUES{$_} } @labels;

        $rows{$owner} = 1;
        $seen{$owner}{$set} = 1;
    }

    # each combination of the values that are known exists

    my @sets = ('');

    for my $label (grep { $VALUES{$_} } @labels) {
        @sets = map { my $set = $_;
                      map { $set eq '' ? $_ : "$set $_" } @{ $VALUES{$label} }
                } @sets;
    }

    for my $owner (sort keys %rows) {
        my $got = join ',', sort keys %{ $seen{$owner} };

        push @wrong, "$full {" . ($owner =~ s/\0/ /gr) . "} has $got"
            if $got ne join ',', sort @sets;
    }

    push @wrong, "$full has no sample" if !@labels && !%rows;

    return @wrong;
}


# per location, and per kind of attempt

sub identities {
    my ($self) = @_;

    my @wrong;

    for my $owner ($self->owners) {
        my @at = (server => $owner->[0], location => $owner->[1]);

        push @wrong, $self->_equal("@$owner",
            codes     => $self->value('requests_total', @at),
            durations => $self->value('request_duration_seconds_count', @at),
            outcomes  => $self->value('outcomes_total', @at));

        push @wrong, $self->_equal("@$owner", 'in flight' =>
            $self->value('requests_in_flight', @at), nothing => 0);

        for my $attempt (@{ $VALUES{attempt} }) {
            my @of = (@at, attempt => $attempt);

            push @wrong, $self->_equal("@$owner $attempt",
                started   => $self->value('attempts_total', @of),
                finished  => $self->value('attempts_finished_total', @of),
                durations =>
                    $self->value('attempt_duration_seconds_count', @of));

        }
    }

    return @wrong;
}


# holds where no request goes on in another location

sub wins {
    my ($self) = @_;

    my @wrong;

    for my $owner ($self->owners) {
        my @at = (server => $owner->[0], location => $owner->[1]);

        push @wrong, map {
            $self->_equal("@$owner $_",
                won     => $self->value('attempts_finished_total', @at,
                                        attempt => $_, result => 'won'),
                outcome => $self->value('outcomes_total', @at, outcome => $_))
        } @{ $VALUES{attempt} };
    }

    return @wrong;
}


sub _equal {
    my ($self, $where, @numbers) = @_;

    my ($name, $first) = splice @numbers, 0, 2;
    my @wrong;

    while (my ($other, $number) = splice @numbers, 0, 2) {
        push @wrong, "$where: $first $name, $number $other"
            if $first != $number;
    }

    return @wrong;
}


# [server, location] of each series

sub owners {
    my ($self) = @_;

    return map { [$_->[1]{server}, $_->[1]{location}] }
           $self->samples('requests_in_flight');
}


sub samples {
    my ($self, $name, %labels) = @_;

    my $place = defined $labels{server} && defined $labels{location}
              ? "$labels{server}\0$labels{location}" : '';

    return grep {
        my $sample = $_;
        !grep { ($sample->[1]{$_} // "\0") ne $labels{$_} } keys %labels;
    } @{ $self->{index}{PREFIX . $name}{$place} || [] };
}


sub value {
    my ($self, $name, %labels) = @_;

    my @samples = $self->samples($name, %labels) or return undef;
    my $sum = 0;

    $sum += $_->[2] for @samples;

    return $sum;
}


sub values {
    my ($self, $name, $label) = @_;

    my %seen = map { $_->[1]{$label} => 1 } $self->samples($name);

    return sort keys %seen;
}


1;
