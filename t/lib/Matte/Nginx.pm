package Matte::Nginx;

# NGINX with the module, from conf/nginx.conf: the one that is deployed is the one that is tested.
#
#     my $nginx = Matte::Nginx->start(workspace(), database => $pg->conninfo('matte_api'), key => $key);
#     my $answer = $nginx->post('/v1/jobs', {video_url => 'https://example.com/a.mp4'});
#     is($answer->{status}, 201); is($answer->{json}{status}, 'pending'); is($answer->{headers}{location}, ...);

use strict;
use warnings;
use Carp qw(croak);
use File::Path qw(make_path);
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use Matte::Test;

my $module;     # built once a test
my @running;

# Makes $dir/nginx and starts there. Options: database (a conninfo, required), socket (of the engine), state, secret,
# key (sent with every request that says no other), edit (a function that changes the configuration in $_).
sub start {
    my ($class, $dir, %options) = @_;
    my $self = bless {dir => "$dir/nginx", port => free_port(), key => $options{key}, owner => $$}, $class;
    $self->{state} = $options{state} // "$dir/state";
    make_path($self->{dir});
    for my $folder (grep { !-d } $self->{state}, map { "$self->{state}/$_" } qw(uploads outputs tmp)) {
        make_path($folder);
        chown 0, scalar getgrnam 'www-data', $folder or croak "$folder: $!" if $> == 0;
        chmod 02775, $folder or croak "$folder: $!";
    }
    $module //= $ENV{MATTE_MODULE} // _build();
    my %words = (
        USER => $> == 0 ? 'www-data' : scalar getpwuid($>), MODULE => $module, RUN => $self->{dir},
        DATABASE => $options{database}, SOCKET => $options{socket} // "$dir/matted.sock", STATE => $self->{state},
        SECRET => $options{secret} // 'k1:' . '5a' x 32, PORT => "127.0.0.1:$self->{port}",
        OPENAPI => spew("$self->{dir}/openapi.json", slurp(root() . '/conf/openapi.json')),
    );
    local $_ = slurp(root() . '/conf/nginx.conf');
    my $known = join '|', keys %words;
    s/^ *#.*@.*\n//mg;
    s/@($known)@/$words{$1}/g;
    s/worker_processes auto/worker_processes 2/;
    s/^http \{\n/http {\n@{[map { "    ${_}_temp_path $self->{dir}\/tmp;\n" } qw(client_body proxy fastcgi uwsgi scgi)]}/m;
    $options{edit}->() if $options{edit};
    $self->{conf} = spew("$self->{dir}/nginx.conf", $_);
    $self->{program} = $ENV{MATTE_NGINX} // 'nginx';
    unlink "$self->{dir}/nginx.pid";                    # of one that was killed
    $self->{pid} = spawn("$self->{dir}/output.log", $self->{program}, '-c', $self->{conf}, '-g', 'daemon off;');
    push @running, $self;
    wait_for { -e "$self->{dir}/nginx.pid" or !running($self->{pid}) } 20, 'nginx';
    croak slurp("$self->{dir}/output.log") unless running($self->{pid});
    return $self;
}

sub _build {
    chomp(my $path = `@{[root()]}/ngx_module/build`);
    croak 'the module does not build' if $?;
    return $path;
}

# What `nginx -t` says of a configuration that edit made: (its exit status, its output).
sub check {
    my ($self, $edit) = @_;
    local $_ = slurp($self->{conf});
    $edit->();
    s/^pid .*/pid $self->{dir}\/check.pid;/m;
    my $file = spew("$self->{dir}/check.conf", $_);
    my $text = `$self->{program} -t -c $file 2>&1`;
    return ($? >> 8, $text);
}

sub port { return $_[0]{port}; }
sub url  { return "http://127.0.0.1:$_[0]{port}"; }
sub pid  { return $_[0]{pid}; }

# One request; a hash as body is sent as JSON. Headers of the options replace the key and the type: undef sends none.
# The answer is HTTP::Tiny's, with json beside it where the body is JSON.
sub request {
    my ($self, $method, $path, $body, %headers) = @_;
    $headers{'X-Api-Key'} = $self->{key} if defined $self->{key} && !exists $headers{'X-Api-Key'};
    if (defined $body) {
        $body = encode_json($body) if ref $body;
        $headers{'Content-Type'} = 'application/json' unless exists $headers{'Content-Type'};
    }
    delete @headers{grep { !defined $headers{$_} } keys %headers};
    $self->{http} //= HTTP::Tiny->new(timeout => 20, max_redirect => 0);
    my $answer = $self->{http}->request($method, $path =~ m{^http} ? $path : $self->url . $path,
                                        {headers => \%headers, defined $body ? (content => $body) : ()});
    $answer->{json} = eval { decode_json($answer->{content}) } if ($answer->{headers}{'content-type'} // '') =~ /json/;
    return $answer;
}

sub get  { my ($self, @rest) = @_; return $self->request('GET', shift @rest, undef, @rest); }
sub post { my ($self, @rest) = @_; return $self->request('POST', @rest); }

# Sends bytes as they are and returns all that comes until the connection is closed; close => 1: our side is
# closed first.
sub raw {
    my ($self, $bytes, %options) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}) or croak "connect: $!";
    local $SIG{PIPE} = 'IGNORE';
    print $socket $bytes;
    $socket->flush;
    shutdown $socket, 1 if $options{close};
    local $SIG{ALRM} = sub { croak 'no end of an answer' };
    alarm 30;
    my $text = '';
    while (sysread $socket, $text, 65536, length $text) { }
    alarm 0;
    return $text;
}

sub error_log  { return slurp("$_[0]{dir}/error.log"); }
sub access_log { return map { decode_json($_) } split /\n/, slurp("$_[0]{dir}/access.log"); }

# Only new workers, with the present configuration, accept when this returns; old ones may still finish their requests.
sub reload {
    my ($self) = @_;
    my %old = map { $_ => 1 } $self->workers;
    kill 'HUP', $self->{pid};
    wait_for {
        my ($new, $accepting) = (0, 0);
        for my $pid ($self->workers) {
            if (!$old{$pid}) { $new++; }
            elsif ((eval { slurp("/proc/$pid/cmdline") } // '') =~ /worker process\0*$/) { $accepting++; }
        }
        return $new >= 2 && !$accepting;
    } 20, 'new workers';
    return;
}

# The configuration with what edit changes in $_; reloads.
sub reconfigure {
    my ($self, $edit) = @_;
    local $_ = slurp($self->{conf});
    $edit->();
    spew($self->{conf}, $_);
    $self->reload;
    return;
}

sub workers {
    my ($self) = @_;
    return map { m{^/proc/(\d+)/} ? $1 : () }
           grep { my $text = eval { slurp($_) } // ''; $text =~ /\) \S $self->{pid} / } glob('/proc/[0-9]*/stat');
}

sub stop {
    my ($self, $signal) = @_;
    my $pid = delete $self->{pid} or return;
    return finish($pid, $signal // 'QUIT');
}

END {
    my $status = $?;
    $_->{owner} == $$ and $_->stop('TERM') for @running;
    $? = $status;
}

1;
