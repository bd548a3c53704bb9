package Matte::Stack;

# The whole product on one machine, privately: PostgreSQL, matted, NGINX with the module, and an origin that serves
# clips. The demo, `./build.sh run` and the end-to-end tests all stand on this one.

use strict;
use warnings;
use Carp qw(croak);
use File::Copy qw(copy);
use File::Path qw(make_path);
use HTTP::Tiny;
use Matte::Engine;
use Matte::Nginx;
use Matte::Origin;
use Matte::Postgres;
use Matte::Test;

# Options: backoff => factor for the time before a retry; engine => {key => value} of matted.conf, env => {...} of its
# process and nginx => {...} of Matte::Nginx for what a test wants otherwise.
sub start {
    my ($class, %o) = @_;
    my $dir = workspace();
    my $self = bless {dir => $dir, state => "$dir/state"}, $class;
    make_path("$dir/clips");
    $self->{postgres} = Matte::Postgres->start($dir);
    $self->{postgres}->psql("ALTER DATABASE matte SET matte.backoff_scale = $o{backoff}") if defined $o{backoff};
    $self->{origin}   = Matte::Origin->start($dir, root => "$dir/clips");
    $self->{engine_options} = {
        database     => $self->{postgres}->conninfo('matte_engine'),
        state        => $self->{state},
        egress_allow => '127.0.0.1/32:' . $self->{origin}->port,
        extra        => $o{engine} // {},
        env          => $o{env} // {},
    };
    $self->start_engine;
    $self->{nginx} = Matte::Nginx->start($dir,
        database => $self->{postgres}->conninfo('matte_api'),
        state    => $self->{state},
        socket   => $self->{engine}->socket,
        %{$o{nginx} // {}});
    return $self;
}

# %o: options of Matte::Engine in the place of its usual ones.
sub start_engine {
    my ($self, %o) = @_;
    $self->{engine} = Matte::Engine->start($self->{dir}, %{$self->{engine_options}}, %o);
    return $self->{engine};
}

sub postgres { return $_[0]{postgres} }
sub engine   { return $_[0]{engine} }
sub nginx    { return $_[0]{nginx} }
sub origin   { return $_[0]{origin} }
sub base     { return $_[0]{nginx}->url }

# A fresh API key of a client with this many credits.
sub key {
    my ($self, $client, $credits) = @_;
    return $self->{postgres}->admin_key($client, credits => $credits // 10_000);
}

# The webcam clip that `./build.sh deps` fetched.
sub webcam { return cache() . '/clips/webcam.mp4' }

# Puts a file where the origin serves it; returns its URL.
sub serve {
    my ($self, $file, $name) = @_;
    $name //= $file =~ s{.*/}{}r;
    copy($file, "$self->{dir}/clips/$name") or croak "$file: $!";
    chmod 0644, "$self->{dir}/clips/$name";
    return $self->{origin}->base . "/$name";
}

# One call of the API; returns (status, decoded body, headers, body). Options: key, body, headers.
sub call {
    my ($self, $method, $path, %o) = @_;
    my $answer = $self->{nginx}->request($method, $path, $o{body}, 'X-Api-Key' => $o{key}, %{$o{headers} // {}});
    return @$answer{qw(status json headers content)};
}

# Creates a job and returns its id.
sub create {
    my ($self, $key, %fields) = @_;
    my ($status, $json, undef, $raw) = $self->call(POST => '/v1/jobs', key => $key, body => {model => 'human', %fields});
    croak "create answered $status: $raw" unless $status == 200 || $status == 201;
    return $json->{id};
}

# Asks for a job, five times a second as a key may, until $seen->($job) is true; returns the job.
sub watch {
    my ($self, $key, $id, $seen, $seconds) = @_;
    return wait_for {
        my ($status, $job, undef, $raw) = $self->call(GET => "/v1/jobs/$id", key => $key);
        croak "job $id answered $status: $raw" unless $status == 200;
        $seen->($job) ? $job : undef;
    } $seconds // 120, "job $id", 0.2;
}

# Waits until a job is over and returns it.
sub finished {
    my ($self, $key, $id) = @_;
    return $self->watch($key, $id, sub { $_[0]{status} =~ /^(?:completed|failed|cancelled)$/ });
}

# Downloads a finished job's output into the workspace; returns the file.
sub download {
    my ($self, $job) = @_;
    my $file = "$self->{dir}/$job->{id}.$job->{output_format}";
    my $answer = HTTP::Tiny->new(timeout => 60)->mirror($job->{output_url}, $file);
    croak "download answered $answer->{status}" unless $answer->{success};
    return $file;
}

sub stop {
    my ($self) = @_;
    $_ and $_->stop for @$self{qw(nginx engine origin postgres)};
    return;
}

1;
