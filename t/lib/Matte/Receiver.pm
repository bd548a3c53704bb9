package Matte::Receiver;

# Receives webhooks, and misbehaves: one process that listens on one port of many loopback addresses. What it does is
# the address's: an endpoint is an origin.
#
#     my $receiver = Matte::Receiver->start($dir);
#     $receiver->url('stall', 'a/b');      # http://127.0.0.4:PORT/a/b
#     $receiver->requests;                 # {at, how, path, headers, body, status} each, in the order they came

use strict;
use warnings;
use Carp qw(croak);
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Matte::Test;
use MIME::Base64 qw(decode_base64 encode_base64);
use POSIX ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

# status: what it says, undef: nothing. Then: open (the connection stays), drop (it is closed), flood (bytes without end).
my $PAGE = "Content-Length: 2\r\n\r\nok";
my @HOW = (
    refuse   => undef,                  # nobody listens there
    ok       => sub { return ((200, 201, 204)[rand 3], '', 'drop') },
    redirect => sub { return (302, "Location: $_[1]\r\n", 'drop') },
    drop     => sub { return (undef, '', 'drop') },
    half     => sub { return (0, "HTTP/1.1 200 OK\r\nServer: half\r\n", 'drop') },
    gone     => sub { return (410, '', 'drop') },
    error    => sub { return (500, '', 'drop') },
    busy     => sub { my ($n) = @_; return $n ? (200, '', 'drop') : (429, "Retry-After: 1\r\n", 'drop') },
    flaky    => sub { my ($n) = @_; return $n > 1 ? (200, '', 'drop') : $n ? (undef, '', 'drop') : (503, '', 'drop') },
    stall    => sub { return (undef, '', 'open') },
    slow     => sub { return (200, '', 'open') },
    flood    => sub { return (200, '', 'flood') },
);
my %how   = @HOW;
my @names = grep { !ref } map { $HOW[2 * $_] } 0 .. $#HOW / 2;
my %address = map { $names[$_] => '127.0.0.' . ($_ + 2) } 0 .. $#names;

sub start {
    my ($class, $dir) = @_;
    my $self = bless {port => free_port(), file => "$dir/receiver.requests", owner => $$}, $class;
    my %listen;
    for my $name (grep { $how{$_} } @names) {
        $listen{$name} = IO::Socket::INET->new(Listen => 256, LocalAddr => $address{$name}, LocalPort => $self->{port},
                                               Proto => 'tcp', ReuseAddr => 1) or croak "receiver: $@";
    }
    spew($self->{file}, '');
    $self->{pid} = fork // croak "fork: $!";
    return $self if $self->{pid};
    $SIG{TERM} = 'DEFAULT';
    $SIG{PIPE} = 'IGNORE';
    open STDIN, '<', '/dev/null';
    open STDOUT, '>>', "$dir/receiver.log";
    open STDERR, '>&', \*STDOUT;
    eval { $self->_serve(%listen) };
    print STDERR $@;
    POSIX::_exit(1);
}

sub port { return $_[0]{port} }

sub url {
    my ($self, $name, $path) = @_;
    return "http://$address{$name}:$self->{port}/$path";
}

sub requests {
    my ($self) = @_;
    my @all = map { decode_json($_) } split /\n/, slurp($self->{file});
    $_->{body} = decode_base64($_->{body}) for @all;
    return @all;
}

# Whether a path was asked for, without reading all that was said.
sub heard { my ($self, $path) = @_; return slurp($self->{file}) =~ /"path":"\Q$path\E"/; }

sub stop { my ($self) = @_; return finish(delete $self->{pid}, 'KILL'); }

sub DESTROY {
    my ($self) = @_;
    local ($?, $@);
    $self->stop if $self->{pid} && $self->{owner} == $$;
    return;
}

sub _serve {
    my ($self, %listen) = @_;
    my $select = IO::Select->new(values %listen);
    my %name = map { $listen{$_}->fileno => $_ } keys %listen;
    my (%from, %asked);
    open my $out, '>>', $self->{file} or die $!;
    $out->autoflush(1);
    while (getppid() != 1) {
        for my $socket ($select->can_read(1)) {
            if (my $name = $name{$socket->fileno}) {
                my $client = $socket->accept or next;
                setsockopt $client, IPPROTO_TCP, TCP_NODELAY, 1;
                $select->add($client);
                $from{$client} = {name => $name, text => ''};
                next;
            }
            my $state = $from{$socket};
            my $got = sysread $socket, $state->{text}, 65536, length $state->{text};
            my $over = !$got;
            if ($got && !$state->{done} && (my $request = _whole($state->{text}))) {
                $state->{done} = 1;
                my $n = $asked{"$state->{name} $request->{headers}{'webhook-id'}"}++;
                my ($status, $head, $then) = $how{$state->{name}}->($n, $self->url('ok', 'stolen'));
                print $out encode_json({at => time, how => $state->{name}, status => $status, %$request}), "\n";
                my $body = ($status // 0) == 204 ? "\r\n" : $then eq 'drop' ? $PAGE : "Content-Length: 1000000000\r\n\r\nx";
                _send($socket, !defined $status ? '' : $status ? "HTTP/1.1 $status Status\r\n$head$body" : $head);
                _send($socket, 'x' x 65536) for $then eq 'flood' ? 1 .. 16 : ();
                $over = $then eq 'drop';
            }
            if ($over) {
                $select->remove($socket);
                delete $from{$socket};
                close $socket;
            }
        }
    }
    return;
}

# A request that has arrived to its end.
sub _whole {
    my ($text) = @_;
    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    return unless defined $body;
    my ($first, @lines) = split /\r\n/, $head;
    my %headers = map { /^([^:]+): (.*)$/ ? (lc $1 => $2) : () } @lines;
    return if length $body < $headers{'content-length'};
    my ($path) = $first =~ m{^POST /(\S*) HTTP/1\.1$} or die "not a POST: $first";
    return {path => $path, headers => \%headers, body => encode_base64($body, '')};
}

# Who does not read is not waited for.
sub _send {
    my ($socket, $bytes) = @_;
    $socket->blocking(0);
    return syswrite $socket, $bytes;
}

1;
