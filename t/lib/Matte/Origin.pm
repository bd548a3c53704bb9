package Matte::Origin;

# An HTTP server on 127.0.0.1 that serves the files of a folder, and misbehaves where the path says so:
#
#     /404 /500 /503        that status, with a page           /empty      200 and no byte
#     /slow                 headers, then a byte a second      /hang       no answer at all
#     /cut/FILE             half of FILE, then the end         /endless    bytes without end or length
#     /gzip                 a bomb of zeros, Content-Encoding: gzip
#     /headers              headers without end
#     /redirect/N/FILE      N redirects, then FILE             /redirect-to?URL
#     /redirect-far         a redirect to a URL of more than 2048 bytes
#     /first/A/then/B       A to the first who asks, B to all later ones
#
# Every request is a line of the file hits: "METHOD PATH".

use strict;
use warnings;
use Carp qw(croak);
use Compress::Zlib ();
use IO::Socket::INET;
use Matte::Test;
use POSIX ();

# root: the folder. name: of its files in $dir (origin): NAME.hits, NAME.log.
sub start {
    my ($class, $dir, %o) = @_;
    my $name = $o{name} // 'origin';
    my $listen = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', Proto => 'tcp', ReuseAddr => 1)
        or croak "origin: $@";
    my $self = bless {port => $listen->sockport, hits => "$dir/$name.hits", root => $o{root}}, $class;
    spew($self->{hits}, '');
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$dir/$name.log";
        open STDERR, '>&', \*STDOUT;
        $_ == $listen->fileno or POSIX::close($_) for 3 .. 63;     # the test's own output is one of them
        setpgrp;
        $SIG{TERM} = sub { $SIG{TERM} = 'DEFAULT'; kill 'TERM', -$$ };
        eval { $self->_serve($listen) };
        print STDERR $@;
        POSIX::_exit(1);
    }
    $self->{pid} = $pid;
    $self->{owner} = $$;
    return $self;
}

sub port { return $_[0]{port} }
sub base { return "http://127.0.0.1:$_[0]{port}" }

# The requests so far; of one path if it is given.
sub hits {
    my ($self, $path) = @_;
    return grep { !defined $path || $_ eq "GET $path" } split /\n/, slurp($self->{hits});
}

sub stop {
    my ($self) = @_;
    return finish(delete $self->{pid}, 'TERM', 5);
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $@);
    $self->stop if $self->{pid} && $self->{owner} == $$;
    return;
}

sub _serve {
    my ($self, $listen) = @_;
    $SIG{CHLD} = 'IGNORE';
    my %asked;
    while (1) {
        my $client = $listen->accept or next;
        my $request = _request($client);
        my ($method, $path) = ($request // '') =~ m{^(\S+) (\S+)} or next;
        open my $hits, '>>', $self->{hits};
        print $hits "$method $path\n";
        close $hits;
        my $again = $asked{$path}++;
        my $pid = fork // die "fork: $!";
        next if $pid;
        $SIG{$_} = 'DEFAULT' for qw(CHLD TERM);
        alarm 60;    # whatever its client does
        eval { $self->_answer($client, $path, $again) };
        POSIX::_exit(0);
    }
    return;
}

sub _request {
    my ($client) = @_;
    my $text = '';
    local $SIG{ALRM} = sub { die "slow client\n" };
    return eval {
        alarm 5;
        while ($text !~ /\r\n\r\n/) {
            sysread($client, $text, 4096, length $text) or last;
        }
        alarm 0;
        $text;
    };
}

sub _head {
    my ($client, $status, @headers) = @_;
    my $head = join '', "HTTP/1.1 $status Status\r\n", (map { "$_\r\n" } 'Connection: close', @headers), "\r\n";
    return _send($client, $head);
}

sub _send {
    my ($client, $bytes) = @_;
    local $SIG{PIPE} = 'DEFAULT';
    for (my $at = 0; $at < length $bytes;) {
        $at += syswrite($client, $bytes, 65536, $at) // POSIX::_exit(0);
    }
    return;
}

sub _file {
    my ($self, $client, $name, $share) = @_;
    my $path = "$self->{root}/" . ($name =~ s/\?.*//r);
    return _page($client, 404) if $name =~ /\.\./ || !-f $path;
    my $bytes = slurp($path);
    _head($client, 200, 'Content-Length: ' . length $bytes);
    return _send($client, $share ? substr($bytes, 0, length($bytes) * $share) : $bytes);
}

sub _page {
    my ($client, $status) = @_;
    my $page = "<html>status $status</html>";
    _head($client, $status, 'Content-Length: ' . length $page);
    return _send($client, $page);
}

sub _answer {
    my ($self, $client, $path, $again) = @_;
    my ($name, $rest) = $path =~ m{^/([^/?]*)[/?]?(.*)};
    my %misbehaviours = (
        404 => sub { _page($client, 404) },
        500 => sub { _page($client, 500) },
        503 => sub { _page($client, 503) },
        empty => sub { _head($client, 200, 'Content-Length: 0') },
        hang => sub { sleep 60 },
        slow => sub {
            _head($client, 200, 'Content-Length: 1000000');
            while (1) { _send($client, 'x'); sleep 1; }
        },
        cut => sub { $self->_file($client, $rest, 0.5) },
        endless => sub {
            _head($client, 200);
            while (1) { _send($client, 'x' x 65536); }
        },
        gzip => sub {
            my $bytes = Compress::Zlib::memGzip("\0" x 50_000_000);
            _head($client, 200, 'Content-Encoding: gzip', 'Content-Length: ' . length $bytes);
            _send($client, $bytes);
        },
        headers => sub {
            _send($client, "HTTP/1.1 200 OK\r\n");
            for my $n (1 .. 100_000) { _send($client, "X-$n: " . ('y' x 1000) . "\r\n"); }
        },
        redirect => sub {
            my ($n, $file) = $rest =~ m{^(\d+)/(.*)};
            return $self->_file($client, $file) unless $n;
            _head($client, 302, 'Location: /redirect/' . ($n - 1) . "/$file", 'Content-Length: 0');
        },
        'redirect-to' => sub { _head($client, 302, "Location: $rest", 'Content-Length: 0') },
        'redirect-far' => sub { _head($client, 302, 'Location: /' . 'x' x 2048, 'Content-Length: 0') },
        first => sub {
            my ($first, $later) = $rest =~ m{^(.*)/then/(.*)};
            $again ? $self->_answer($client, "/$later", 0) : $self->_answer($client, "/$first", 0);
        },
    );
    my $how = $misbehaviours{$name};
    return $how ? $how->() : $self->_file($client, substr $path, 1);
}

1;
