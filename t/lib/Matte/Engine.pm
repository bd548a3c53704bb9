package Matte::Engine;

# A private matted. Its configuration is conf/matted.conf with the keys that a test gives.
#
#     my $engine = Matte::Engine->start(workspace(), database => $pg->conninfo('matte_engine'), state => "$dir/state",
#                                       egress_allow => '127.0.0.1/32:8080', extra => {lease => '2s'});

use strict;
use warnings;
use Carp qw(croak);
use Cwd qw(abs_path);
use File::Path qw(make_path);
use JSON::PP qw(decode_json);
use Matte::Test;

# Keys of matted.conf: database, state, egress_allow, models, model_files, and any other under extra. Besides:
#   name    of the files in $dir (matted): NAME.conf, NAME.log, run-NAME/matted.sock
#   fake    true: the workers are the scripted ones of t/fake
#   env     {NAME => value} for the process
#   wait    the event to wait for: worker_ready, or ready where no worker can become warm
sub start {
    my ($class, $dir, %o) = @_;
    my $name = $o{name} // 'matted';
    my $self = bless {
        binary => $o{fake} ? $class->fake : abs_path(_build() . '/matted'),
        conf   => "$dir/$name.conf",
        log    => "$dir/$name.log",
        owner  => $$,
    }, $class;
    croak 'no matted: ./build.sh build' unless $self->{binary} && -x $self->{binary};
    my %keys = (
        socket      => "$dir/run-$name/matted.sock",
        webhook_key => _key("$dir/webhook.key"),
        models      => $o{fake} ? _no_models($dir) : abs_path(root() . '/conf/models'),
        model_files => $o{fake} ? $dir : cache() . '/models',
        (map { defined $o{$_} ? ($_ => $o{$_}) : () } qw(database state egress_allow models model_files)),
        ($> == 0 ? (user => 'nobody', group => 'www-data') : ()),    # the group is what nginx's workers have
        %{$o{extra} // {}},
    );
    $self->{log} = $keys{log} if $keys{log};
    $self->{socket} = $keys{socket};
    _state(map { $keys{$_} } qw(state user group));
    spew($self->{conf}, _configure(%keys));
    $self->{from} = -s $self->{log} // 0;
    {
        local @ENV{keys %{$o{env} // {}}} = values %{$o{env} // {}};
        $self->{pid} = spawn("$dir/$name.log", $self->{binary}, '-c', $self->{conf});
    }
    my $event = $o{wait} // 'worker_ready';
    wait_for {
        running($self->{pid}) or croak "matted did not start: " . slurp("$dir/$name.log");
        $self->events('ready') && $self->events($event);
    } 60, "matted's $event";
    return $self;
}

# The state folder of matted and nginx: both write it through their common group.
sub _state {
    my ($state, $user, $group) = @_;
    for my $folder ($state, map { "$state/$_" } qw(uploads outputs tmp)) {
        next if -d $folder;
        make_path($folder);
        chmod 02770, $folder or croak "$folder: $!";
        chown scalar getpwnam $user, scalar getgrnam $group, $folder or croak "$folder: $!" if $user && $group;
    }
    return;
}

# conf/matted.conf with these values instead of its own.
sub _configure {
    my (%keys) = @_;
    my $text = slurp(root() . '/conf/matted.conf');
    for my $key (sort keys %keys) {
        $text =~ s/^#?$key =.*$/$key = $keys{$key}/m or croak "conf/matted.conf has no key $key";
    }
    return $text;
}

# A folder with one manifest whose file is not installed: the scripted workers need no network.
sub _no_models {
    my ($dir) = @_;
    make_path("$dir/models");
    spew("$dir/models/none.json", slurp(root() . '/conf/models/rvm.json'));
    return "$dir/models";
}

# The file, which is made if it is not there.
sub _key {
    my ($file) = @_;
    return $file if -e $file;
    spew($file, unpack('H*', pack 'n*', map { rand 65536 } 1 .. 16) . "\n");
    chmod 0600, $file or croak "$file: $!";
    return $file;
}

# Builds matted with the scripted workers, if it is not there or not new; returns its path.
sub fake {
    my $root = abs_path(root());
    system('make', '-s', '-C', "$root/cuda_engine", 'fake', $ENV{MATTE_SAN} ? 'SAN=1' : ()) == 0 or croak 'make fake failed';
    return abs_path(_build()) . '/matted-fake';
}

# MATTE_SAN=1: what `make SAN=1` has built.
sub _build { return root() . '/build/engine' . ($ENV{MATTE_SAN} ? '-san' : '') }

sub pid    { return $_[0]{pid} }
sub socket { return $_[0]{socket} }
sub log    { return $_[0]{log} }

# The events of this name, or of names that match, since the start, as hashes; in a list all of them, else the last.
sub events {
    my ($self, $name, %fields) = @_;
    open my $in, '<:raw', $self->{log} or return;
    seek $in, $self->{from}, 0;
    my @found;
    while (my $line = <$in>) {
        next unless $line =~ /^\{.*"event":"$name"/ && $line =~ /\}\n\z/;
        my $event = decode_json($line);
        push @found, $event unless grep { ($event->{$_} // '') ne $fields{$_} } keys %fields;
    }
    return wantarray ? @found : $found[-1];
}

# The pids of its children now: workers and fetches.
sub workers {
    my ($self) = @_;
    open my $in, '<', "/proc/$self->{pid}/task/$self->{pid}/children" or return;
    return split ' ', <$in> // '';
}

# The client's webhook secret, as the operator is shown it.
sub secret {
    my ($self, $client) = @_;
    my ($status, $text) = command($self->{binary}, '-c', $self->{conf}, '-s', $client);
    croak $text if $status;
    chomp $text;
    return $text;
}

# SIGTERM, and the end of the drain; returns the wait status.
sub stop {
    my ($self, $patience) = @_;
    return finish(delete $self->{pid}, 'TERM', $patience // 60);
}

sub kill9 {
    my ($self) = @_;
    return finish(delete $self->{pid}, 'KILL');
}

1;
