package Matte::Postgres;

# A private PostgreSQL with Matte's migrations applied: a Unix socket in a folder of the test's, no TCP, ended with
# the test.
#
#     my $pg = Matte::Postgres->start(workspace());
#     my $key = $pg->admin_key('acme', credits => 1000);
#     $pg->psql('SELECT count(*) FROM matte.job');
#     my $session = $pg->session('matte_api');         # psql kept open: one connection, statements one by one

use strict;
use warnings;
use Carp qw(croak);
use File::Path qw(make_path);
use IPC::Open2 qw(open2);
use Matte::Test;
use POSIX qw(:sys_wait_h);

my %SIGNAL = (smart => 'TERM', fast => 'INT', immediate => 'QUIT');
my @running;

# Makes $dir/pg and starts a server there; the log is $dir/postgres.log. fsync => 0 is for tests that only count.
sub start {
    my ($class, $dir, %options) = @_;
    my $self = bless {dir => $dir, socket => "$dir/pg", data => "$dir/pg/data", log => "$dir/postgres.log",
                      fsync => $options{fsync} // 1, owner => $$}, $class;
    chomp($self->{bin} = `pg_config --bindir`);
    make_path($self->{socket});
    chmod 0755, $self->{socket} or croak "$self->{socket}: $!";
    if ($> == 0) {
        my ($uid, $gid) = (getpwnam 'postgres')[2, 3];
        croak 'the server does not run as root and there is no user postgres' unless defined $uid;
        $self->{user} = [$uid, $gid];
        chown $uid, $gid, $self->{socket} or croak "$self->{socket}: $!";
    }
    $self->_wait($self->_run(qw(initdb --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync),
                             '-D', $self->{data}));
    push @running, $self;
    $self->_serve;
    $self->psql('CREATE DATABASE matte', 'postgres');
    $self->migrate;
    return $self;
}

# Where $user finds the database. Access is by trust: any user of this machine may say any name.
sub conninfo {
    my ($self, $user, $database) = @_;
    return sprintf 'host=%s dbname=%s user=%s', $self->{socket}, $database // 'matte', $user;
}

# Runs SQL as the superuser; returns the rows, unaligned, tuples only. Dies with the server's message.
sub psql {
    my ($self, $sql, $database) = @_;
    return _command($sql, qw(psql -qAtX -v ON_ERROR_STOP=1 -d), $self->conninfo('postgres', $database));
}

# Runs sql/migrate, or the one of another folder; returns what it printed. Dies with what went wrong.
sub migrate {
    my ($self, $folder) = @_;
    return _command('', ($folder // root() . '/sql') . '/migrate', $self->conninfo('postgres'));
}

# A fresh API key of the client, which is made (with credits => N, 1000) if there is none of that name.
sub admin_key {
    my ($self, $client, %options) = @_;
    my $credits = $options{credits} // 1000;
    return $self->psql(<<"END");
SELECT matte.tenant_create('$client', $credits)
 WHERE NOT EXISTS (SELECT FROM matte.tenant WHERE client_id = '$client') \\g /dev/null
SELECT matte.key_create('$client', NULL);
END
}

sub session {
    my ($self, $user) = @_;
    return Matte::Postgres::Session->new($self->conninfo($user));
}

sub pid { return $_[0]{pid}; }

# Stops the server: smart, fast (rolls back what runs) or immediate (as in a crash).
sub stop {
    my ($self, $mode) = @_;
    my $pid = delete $self->{pid} or return;
    kill $SIGNAL{$mode // 'fast'} // croak("no such way to stop: $mode"), $pid;
    $self->_wait($pid);
    return;
}

sub restart {
    my ($self, $mode) = @_;
    $self->stop($mode);
    $self->_serve;
    return;
}

# ---- inside ----------------------------------------------------------------------------------------------------

# Feeds $input to a command; returns its standard output without the last newline. Dies with all it said.
sub _command {
    my ($input, @command) = @_;
    my $pid = open2(my $out, my $in, 'sh', '-c', 'exec "$@" 2>&1', 'sh', @command);
    local $SIG{PIPE} = 'IGNORE';
    print $in $input;
    close $in;
    my $text = do { local $/; <$out> } // '';
    waitpid $pid, 0;
    chomp $text;
    croak $text if $?;
    return $text;
}

# Starts a program of the server's as the server's user, its output in the log; returns the pid.
sub _run {
    my ($self, $program, @arguments) = @_;
    my $pid = fork // croak "fork: $!";
    return $pid if $pid;
    open STDIN, '<', '/dev/null';
    open STDOUT, '>>', $self->{log} or POSIX::_exit(126);
    open STDERR, '>&', \*STDOUT;
    if ($self->{user}) {
        my ($uid, $gid) = @{$self->{user}};
        $) = "$gid $gid";
        POSIX::setgid($gid);
        POSIX::setuid($uid) or POSIX::_exit(126);
    }
    chdir $self->{socket};
    exec "$self->{bin}/$program", @arguments or POSIX::_exit(127);
}

sub _wait {
    my ($self, $pid) = @_;
    waitpid $pid, 0;
    croak "the server's program failed: see $self->{log}" if $?;
    return;
}

sub _serve {
    my ($self) = @_;
    unlink "$self->{data}/postmaster.pid";               # what an immediate stop leaves: _wait saw that process end
    $self->{pid} = $self->_run('postgres', '-D', $self->{data}, '-k', $self->{socket}, '-h', '',
                               '-c', 'fsync=' . ($self->{fsync} ? 'on' : 'off'));
    wait_for {
        croak "the server did not start: see $self->{log}" if waitpid($self->{pid}, WNOHANG) == $self->{pid};
        open my $in, '<', "$self->{data}/postmaster.pid" or return;
        my @lines = <$in>;
        return @lines > 7 && $lines[7] =~ /^ready/;      # as pg_ctl does: the eighth line is the server's state
    } 30, 'PostgreSQL';
    return;
}

END {
    my $status = $?;
    $_->{owner} == $$ and $_->stop for @running;
    $? = $status;
}

package Matte::Postgres::Session;

# One psql, kept open. Rows come back as arrays of strings, undef for NULL; an error is an object with its SQLSTATE.

use strict;
use warnings;
use Carp qw(croak);
use IPC::Open2 qw(open2);

my ($FIELD, $RECORD, $NULL) = ("\x1f", "\x1e", "\x1d");

sub new {
    my ($class, $conninfo) = @_;
    my $self = bless {}, $class;
    $self->{pid} = open2($self->{out}, $self->{in}, 'sh', '-c', 'exec "$@" 2>&1', 'sh',
                         qw(psql -qAtX -v VERBOSITY=sqlstate -P), "null=$NULL", '-F', $FIELD, '-R', $RECORD,
                         $conninfo);
    $self->{in}->autoflush(1);
    $self->query("SET client_min_messages = error");
    return $self;
}

# Sends without waiting; the answer is read by receive, in order.
sub send {
    my ($self, $sql) = @_;
    print {$self->{in}} "$sql;\n\\echo \x04\n";
    return $self;
}

# The rows of the oldest unread query, or dies with "ERROR: <sqlstate>".
sub receive {
    my ($self) = @_;
    local $/ = "\x04\n";
    my $text = readline($self->{out}) // croak 'the session is gone';
    chomp $text;
    croak "ERROR: $1" if $text =~ /^(?:ERROR|FATAL):\s+(\w+)/m;
    $text =~ s/\n\z//;
    return if $text eq '';
    return map { [map { $_ eq $NULL ? undef : $_ } split /$FIELD/, $_, -1] } split /$RECORD/, $text, -1;
}

sub query { my ($self, $sql) = @_; return $self->send($sql)->receive; }

# Calls a function of schema matte, its arguments as literals (undef: NULL). api_*: a hash an answer; others: the first
# column of the first row.
my @ANSWER = qw(outcome key_id tenant_id rate_per_min burst starts_per_min starts_burst scope job_id status code body output_key alpha_key total);

sub call {
    my ($self, $function, @arguments) = @_;
    my @rows = $self->query("SELECT * FROM matte.$function(" . join(', ', map { $self->literal($_) } @arguments) . ')');
    return $rows[0] && $rows[0][0] if $function !~ /^api_/;
    my @answers = map { my %answer; @answer{@ANSWER} = @$_; \%answer } @rows;
    return wantarray ? @answers : $answers[0];
}

sub literal { my ($self, $value) = @_; return defined $value ? "'" . $value =~ s/'/''/gr . "'" : 'NULL'; }

# The first column of the first row.
sub value { my ($self, $sql) = @_; my ($row) = $self->query($sql); return $row && $row->[0]; }

# The SQLSTATE that the statement is refused with, '' when it is not.
sub refused {
    my ($self, $sql) = @_;
    return eval { $self->query($sql); 1 } ? '' : $@ =~ /ERROR: (\w+)/ ? $1 : die $@;
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $!);
    close $self->{in};
    waitpid $self->{pid}, 0;
    return;
}

1;
