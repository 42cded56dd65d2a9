package SmartBrowser;

# A headless Chromium.
#
#   my $b = SmartBrowser->start;
#   $b->open(url => ..., width => 1440, height => 900, dark => 0, scale => 1);
#   $b->text('#id'), $b->texts('td')     what is to be seen
#   $b->wait('expression', seconds)      true once it is
#   $b->value('expression')              decoded
#   $b->choose('#select', 'label'), $b->click('#id'), $b->press('Tab')
#   $b->size(width, height)
#   $b->shot('file.png'[, 1])            1: the page in its full height
#   $b->axe                              list of what axe has to complain of
#   $b->bad                              console errors, violations of policies,
#                                        exceptions since the last call
#   $b->requests                         URLs that the page asked for
#
# Needs node, chromium, and NODE_PATH with playwright-core and axe-core.

use strict;
use warnings;

use Cwd ();
use File::Basename qw( dirname );
use IPC::Open2 qw( open2 );
use JSON::PP ();


sub start {
    my ($class) = @_;

    my $script = dirname(Cwd::abs_path(__FILE__)) . '/browser.js';
    my $self = bless {}, $class;

    $self->{pid} = open2($self->{out}, $self->{in}, 'node', $script,
                         $ENV{CHROMIUM} || '/usr/bin/chromium');

    return $self;
}


sub _do {
    my ($self, $action, %o) = @_;

    my $json = JSON::PP->new->utf8->canonical;

    local $SIG{PIPE} = 'IGNORE';
    $self->{in}->print($json->encode({ do => $action, %o }), "\n");
    $self->{in}->flush;

    my $line = readline $self->{out};
    die "the browser is gone\n" if !defined $line;

    my $answer = $json->decode($line);

    $self->{error} = $answer->{error};

    return $answer->{value};
}


sub error { return $_[0]{error} }

sub open { my ($self, %o) = @_; $self->_do('open', %o); }
sub text { return $_[0]->_do('text', select => $_[1]) }
sub texts { return @{ $_[0]->_do('texts', select => $_[1]) || [] } }
sub choose { $_[0]->_do('choose', select => $_[1], value => $_[2]) }
sub click { $_[0]->_do('click', select => $_[1]) }
sub press { $_[0]->_do('press', key => $_[1]) }
sub size { $_[0]->_do('size', width => 0 + $_[1], height => 0 + $_[2]) }
sub value { return $_[0]->_do('value', code => $_[1]) }
sub shot { $_[0]->_do('shot', file => $_[1], full => $_[2] ? 1 : 0) }
sub axe { return @{ $_[0]->_do('axe') || [$_[0]{error}] } }
sub bad { return @{ $_[0]->_do('bad') || [] } }
sub requests { return @{ $_[0]->_do('requests') || [] } }


sub wait {
    my ($self, $code, $seconds) = @_;

    $self->_do('wait', code => $code, seconds => $seconds // 10);

    return !defined $self->{error};
}


sub stop {
    my ($self) = @_;

    my $pid = delete $self->{pid} or return;

    close $self->{in};
    waitpid $pid, 0;
}


sub DESTROY { local $?; $_[0]->stop }


1;
