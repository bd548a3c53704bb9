package Matte::FakeEngine;

# Stands in for matted at its doorbell: a SOCK_SEQPACKET server that writes down each message and answers as it is told.
#
#     my $engine = Matte::FakeEngine->start("$dir/matted.sock");
#     $engine->say('processing');          # pending, processing, silence, late (after 300 ms), nonsense, hangup
#     $engine->heard;                      # the messages so far, oldest first

use strict;
use warnings;
use Carp qw(croak);
use IO::Select;
use POSIX ();
use Matte::Test;
use Socket;
use Time::HiRes qw(sleep);

sub start {
    my ($class, $path) = @_;
    my $self = bless {path => $path, heard => "$path.heard", say => "$path.say"}, $class;
    spew($self->{heard}, '');
    $self->say('pending');
    $self->serve;
    return $self;
}

# Listens (again); the socket is there when this returns.
sub serve {
    my ($self) = @_;
    unlink $self->{path};
    socket my $listener, AF_UNIX, SOCK_SEQPACKET, 0 or croak "socket: $!";
    bind $listener, pack_sockaddr_un($self->{path}) or croak "$self->{path}: $!";
    chmod 0666, $self->{path};
    listen $listener, 16 or croak "listen: $!";
    $self->{pid} = fork // croak "fork: $!";
    return if $self->{pid};
    $SIG{TERM} = 'DEFAULT';
    $self->_loop($listener);
    POSIX::_exit(0);
}

sub stop { my ($self) = @_; finish(delete $self->{pid}, 'KILL'); unlink $self->{path}; return; }
sub say   { my ($self, $word) = @_; spew("$self->{say}.new", $word); rename "$self->{say}.new", $self->{say}; return; }
sub heard { my ($self) = @_; return split /\n/, slurp($self->{heard}); }

sub _loop {
    my ($self, $listener) = @_;
    my $select = IO::Select->new($listener);
    while (getppid() != 1) {
        for my $socket ($select->can_read(1)) {
            if ($socket == $listener) {
                accept my $client, $listener or next;
                $select->add($client);
                next;
            }
            my $message;
            if (!sysread $socket, $message, 128) { $select->remove($socket); close $socket; next; }
            open my $out, '>>', $self->{heard};
            print $out "$message\n";
            close $out;
            my ($number) = $message =~ /^\w+ (\d+) /;
            my $word = slurp($self->{say});
            next if $word eq 'silence';
            if ($word eq 'hangup') { $select->remove($socket); close $socket; next; }
            sleep 0.3 if $word eq 'late';
            syswrite $socket, $word eq 'nonsense' ? 'what?' : "$number " . ($word eq 'late' ? 'processing' : $word);
        }
    }
    return;
}

sub DESTROY { my ($self) = @_; $self->stop if $self->{pid}; return; }

1;
