package Matte::Test;

# What every test stands on: a private folder, processes that are ended by pid, waiting for a condition (never for a
# time), free ports, and the gate: a test fails when any log it made holds an alert, an open socket or a signal.

use strict;
use warnings;
use Carp qw(croak);
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX qw(:sys_wait_h);
use Test::More;
use Time::HiRes qw(time sleep);

our @EXPORT = qw(root cache workspace shared free_port wait_for spawn running finish slurp spew command run_ok allow_in_logs);

my $folder;
my %children;       # pid => name
my @allowed;        # patterns that one test provokes on purpose
my $owner = $$;

$SIG{INT} = $SIG{TERM} = sub { exit 1 };    # through END, so that nothing is left running

# The top of the checkout, absolute.
sub root { return abs_path(__FILE__ =~ s{[^/]+$}{../../..}r) }

# Where ./build.sh deps keeps weights and clips.
sub cache { return $ENV{MATTE_CACHE} // ($ENV{XDG_CACHE_HOME} // "$ENV{HOME}/.cache") . '/matte'; }

# A new folder, short enough for Unix sockets, readable by the servers' users; removed at the end (MATTE_KEEP=1: kept).
sub workspace {
    return $folder if $folder;
    $folder = tempdir('matte.XXXXXXXX', DIR => '/tmp', CLEANUP => 0);
    chmod 0755, $folder or croak "$folder: $!";
    return $folder;
}

# A new folder where a worker on a card may write, by its sandbox and as nobody; removed at the end.
sub shared {
    my $shared = tempdir('matte.XXXXXXXX', DIR => '/dev/shm', CLEANUP => 1);
    chmod 0777, $shared or croak "$shared: $!";
    return $shared;
}

# A TCP port of 127.0.0.1 that nothing listens on now.
sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', Proto => 'tcp') or croak "no port: $@";
    return $socket->sockport;
}

# Calls $condition, every $interval seconds (0.02), until it is true and returns what it returned; dies after $seconds
# saying what was waited for.
sub wait_for(&$$;$) {
    my ($condition, $seconds, $what, $interval) = @_;
    my $end = time + $seconds;
    while (1) {
        my $value = $condition->();
        return $value if $value;
        croak "waited $seconds s for $what" if time > $end;
        sleep($interval // 0.02);
    }
}

# Starts a program with its output going to the file $log; returns its pid.
sub spawn {
    my ($log, @command) = @_;
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $log or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT;
        exec {$command[0]} @command or POSIX::_exit(127);
    }
    $children{$pid} = $command[0];
    return $pid;
}

# True while the process lives (a child of ours or not).
sub running {
    my ($pid) = @_;
    waitpid $pid, WNOHANG;
    return kill 0, $pid;
}

# Ends a process by pid: the signal (TERM), then KILL after $patience seconds; returns its wait status if it was ours.
sub finish {
    my ($pid, $signal, $patience) = @_;
    return unless $pid;
    delete $children{$pid};
    kill $signal // 'TERM', $pid;
    my ($status, $end) = (undef, time + ($patience // 20));
    while (1) {
        my $got = waitpid $pid, WNOHANG;
        if ($got == $pid) { $status = $?; last; }
        last if $got < 0 && !kill 0, $pid;
        if (time > $end) { diag("pid $pid did not end"); kill 'KILL', $pid; $end = time + 5; }
        sleep 0.01;
    }
    return $status;
}

sub slurp {
    my ($path) = @_;
    open my $in, '<:raw', $path or croak "$path: $!";
    local $/;
    return scalar <$in>;
}

sub spew {
    my ($path, $text) = @_;
    open my $out, '>:raw', $path or croak "$path: $!";
    print $out $text;
    close $out or croak "$path: $!";
    return $path;
}

# Runs a command to its end; returns its exit status, 128 and the signal that killed it as shells have it, and what it
# printed (stdout and stderr).
sub command {
    my (@command) = @_;
    open my $pipe, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', @command or croak "fork: $!";
    my $text = do { local $/; <$pipe> } // '';
    close $pipe;
    return ($? & 127 ? 128 + ($? & 127) : $? >> 8, $text);
}

# Runs a command to its end; passes when it exits 0. Returns what it printed.
sub run_ok {
    my ($name, @command) = @_;
    my ($status, $text) = command(@command);
    ok($status == 0, $name) or diag($text);
    return $text;
}

# A test that provokes a line the gate would refuse names it here, as narrowly as it can.
sub allow_in_logs { push @allowed, @_; return; }

sub bad_lines {
    my @bad;
    for my $log (glob("$folder/*.log $folder/*/*.log")) {
        open my $in, '<', $log or next;
        while (my $line = <$in>) {
            next unless $line =~ /\[(?:alert|emerg|crit)\]|open socket|exited on signal|PANIC:|Sanitizer|runtime error:/;
            next if grep { $line =~ $_ } @allowed;
            push @bad, "$log: $line";
        }
    }
    return @bad;
}

END {
    if ($$ == $owner) {
        my $status = $?;
        finish($_) for keys %children;
        if ($folder) {
            my @bad = bad_lines();
            if (@bad) { diag('the logs are not clean:', "\n", @bad); $status ||= 1; }
            if ($status || $ENV{MATTE_KEEP} || !Test::More->builder->is_passing) { diag("kept: $folder"); }
            else { remove_tree($folder); }
        }
        $? = $status;
    }
}

1;
