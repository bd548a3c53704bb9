#!/usr/bin/perl
# matted beside the real database, with scripted workers (t/fake): the life of a job, every way it can end, the doorbell,
# and what happens when workers, the database or matted itself go away.

use strict;
use warnings;
use Fcntl qw(:flock);
use Matte::Engine;
use Matte::Jobs;
use Matte::Origin;
use Matte::Postgres;
use Matte::Test;
use Socket qw(AF_UNIX SOCK_SEQPACKET pack_sockaddr_un);
use Test::More;
use Time::HiRes qw(time);

my $dir = workspace();
my $state = "$dir/state";
my $pg = Matte::Postgres->start($dir);
$pg->psql('ALTER DATABASE matte SET matte.backoff_scale = 0.02');
mkdir "$dir/www";
my $origin = Matte::Origin->start($dir, root => "$dir/www");
my %options = (
    fake         => 1,
    database     => $pg->conninfo('matte_engine'),
    state        => $state,
    egress_allow => '127.0.0.1/32:' . $origin->port,
    extra        => {lease => '2s', heartbeat => '500ms', drain => '2s'},
);
my $engine = Matte::Engine->start($dir, %options);
my $jobs = Matte::Jobs->new($pg, $pg->admin_key('acme', credits => 1000));

# Starts a job whose worker follows these lines; returns its id.
my $scripts = 0;
sub script {
    my ($options, @lines) = ref $_[0] ? @_ : ({}, @_);
    my $name = 'script' . ++$scripts;
    spew("$dir/www/$name", join '', map { "$_\n" } @lines);
    return $jobs->create($origin->base . "/$name?token=secret", %$options);
}

sub good { return ('probe 10 2000', 'write video', 'done 10 2000') }

sub output { my ($job) = @_; return slurp("$state/outputs/$job->{output_key}") }

sub leftovers { opendir my $d, "$state/tmp" or die; return grep { !/^\./ } readdir $d }

# A connection to the doorbell.
sub bell {
    socket my $bell, AF_UNIX, SOCK_SEQPACKET, 0 or die "socket: $!";
    connect $bell, pack_sockaddr_un($engine->socket) or die "connect: $!";
    return $bell;
}

sub ring {
    my ($bell, $text) = @_;
    defined send $bell, $text, 0 or die "send: $!";
    local $SIG{ALRM} = sub { die "no answer to $text\n" };
    alarm 5;
    defined recv $bell, my $answer, 128, 0 or die "recv: $!";
    alarm 0;
    return $answer;
}

sub settled {
    my ($what) = @_;
    ok !$jobs->violations, "$what: the books balance";
    ok wait_for { !leftovers() } 5, "$what: nothing is left in tmp/";
    return;
}

subtest 'a job from its claim to its end' => sub {
    my $id = script('warn audio_dropped The audio could not be kept.', 'probe 10 2000', 'progress 3', 'write hello ',
                    'write world', 'done 10 1960');
    my $job = $jobs->over($id);
    is $job->{status}, 'completed';
    is $job->{output_key}, "$job->{tenant_id}/$id/1.webm", 'the output is named after the lease';
    is output($job), 'hello world';
    is_deeply [@$job{qw(output_ms output_bytes output_width output_height output_frames frames_total)}],
        [1960, 11, 64, 48, 10, 10];
    is $job->{output_sha256}, '\x' . 'ab' x 32;
    is_deeply $job->{warnings}, [{code => 'audio_dropped', message => 'The audio could not be kept.'}];
    is $jobs->ledger($id), 'hold capture';
    is $job->{charged_mc}, 1500;
    my $mode = (stat "$state/outputs/$job->{output_key}")[2];
    is sprintf('%o', $mode & 0777), '640', 'readable by the group alone';
    my ($ended) = $engine->events('job_ended', job_id => $id);
    is $ended->{status}, 'completed';
    is $ended->{lease_no}, 1;
    is $ended->{request_id}, $job->{request_id}, 'the log has the request id';
    is $ended->{trace_id}, '', 'and no trace where there is none';
    unlike slurp($engine->log), qr/token|secret/, 'and no query string';
    settled('completed');
};

subtest 'a job whose alpha is wanted, too' => sub {
    my $id = script({options => '{"alpha": true}'}, 'probe 10 2000', 'write hello', 'alpha grey', 'done 10 2000');
    my $job = $jobs->over($id);
    is $job->{status}, 'completed' or return diag($job->{error_detail});
    is_deeply [@$job{qw(output_bytes alpha_bytes alpha_sha256)}], [5, 4, '\x' . 'cd' x 32];
    is output($job), 'hello';
    is slurp("$state/outputs/$job->{tenant_id}/$id/1.alpha.mp4"), 'grey', 'beside the output';
    $job = $jobs->over(script({options => '{"alpha": true}'}, 'probe 10 2000', 'write hello', 'alpha grey', 'fail bad_luck 0 Bad luck.'));
    is_deeply [glob "$state/outputs/$job->{tenant_id}/$job->{id}/*"], [], 'of one that fails nothing is kept';
    settled('alpha');
};

subtest 'what the worker says is what the client reads' => sub {
    my $job = $jobs->over(script('fail no_video_stream 0 The file has no video.'));
    is_deeply [@$job{qw(status error_code error_detail attempt)}],
        ['failed', 'no_video_stream', 'The file has no video.', 1];
    $job = $jobs->over(script('this is no script'));
    is $job->{error_code}, 'unreadable_media';
    $job = $jobs->over(script('fail out_of_memory 1 The job needed more than 4 GiB.'));
    is_deeply [@$job{qw(status error_code attempt)}], ['failed', 'out_of_memory', 3], 'three attempts where it may help';
    $job = $jobs->over(script("fail bad_text 0 t\x{e9}l\x{e9} \x01."));
    is $job->{error_detail}, 't?l? ?.', 'what is not printable ASCII is not passed on';
    settled('failed');
};

subtest 'workers that crash' => sub {
    my %expected = (
        'signal 31' => ['decode_error', 2, qr/SIGSYS/],
        'signal 11' => ['decode_error', 2, qr/SIGSEGV/],
        'signal 7'  => ['decode_error', 2, qr/SIGBUS/],
        'signal 9'  => ['worker_crashed', 3, qr/signal 9 \(Killed\)/],
        'signal 6'  => ['worker_crashed', 3, qr/signal 6/],
        'signal 24' => ['job_timeout', 3, qr/processor time/],
        'exit 3'    => ['worker_crashed', 3, qr/status 3/],
        'exit 0'    => ['worker_crashed', 3, qr/status 0/],
    );
    my %ids = map { $_ => script('probe 10 2000', $_) } sort keys %expected;
    for my $how (sort keys %expected) {
        my ($code, $attempts, $text) = @{$expected{$how}};
        my $job = $jobs->over($ids{$how});
        is_deeply [@$job{qw(status error_code attempt)}], ['failed', $code, $attempts], $how;
        like $job->{error_detail}, $text;
        is $jobs->ledger($ids{$how}), 'hold release', 'and the credits are given back';
    }
    is $jobs->over(script(good()))->{status}, 'completed', 'the next job finds a worker';
    settled('crashed');
};

subtest 'an output that cannot be stored' => sub {
    my $theirs = Matte::Jobs->new($pg, $pg->admin_key('nowhere', credits => 1000));
    my $tenant = $pg->psql("SELECT id FROM matte.tenant WHERE client_id = 'nowhere'");
    spew("$state/outputs/$tenant", 'in the place of a folder');
    spew("$dir/www/nowhere", join '', map { "$_\n" } good());
    my $id = $theirs->create($origin->base . '/nowhere');
    my $job = $theirs->over($id);
    is_deeply [@$job{qw(status error_code attempt)}], ['failed', 'storage_error', 3], 'is tried again, then failed';
    like $job->{error_detail}, qr/^The output cannot be stored: Not a directory\.$/, 'and says why';
    is $theirs->ledger($id), 'hold release', 'and the credits are given back';
    unlink "$state/outputs/$tenant";
    settled('not stored');
};

subtest 'workers that lie' => sub {
    my $job = $jobs->over(script('probe! 10 2000', 'progress 1', 'sleep 3000'));
    is $job->{error_code}, 'worker_crashed', 'work before the credits were held';
    like $job->{error_detail}, qr/did not wait/;
    is_deeply [$jobs->over(script('probe 10 2000', 'write x', 'lie 10 2000'))->{error_code}], ['storage_error'],
        'another size than it wrote';
    for my $lie ('probe 0 2000', 'probe 10 -1', 'progress 5', 'done 10 2000', 'warn NOT_A_CODE x') {
        is $jobs->over(script($lie, 'sleep 3000'))->{error_code}, 'worker_crashed', $lie;
    }
    is scalar(() = $engine->events('worker_report_refused')), 15, 'each was said';
    settled('lies');
};

subtest 'limits of credits and of the key' => sub {
    my $poor = Matte::Jobs->new($pg, $pg->admin_key('poor', credits => 1));
    spew("$dir/www/long", join "\n", 'probe 10 60000', 'write x', 'done 10 60000', '');
    my $id = $poor->create($origin->base . '/long');
    my $job = $poor->over($id);
    is_deeply [@$job{qw(status error_code)}], ['failed', 'insufficient_credits'];
    is $poor->ledger($id), '', 'nothing was ever held';
    $job = $jobs->over(script('probe 10 99999999', 'write x', 'done 10 99999999'));
    is_deeply [@$job{qw(status error_code)}], ['failed', 'too_long'];
    settled('refused');
};

subtest 'uploads' => sub {
    my $tenant = $jobs->job(script(good()))->{tenant_id};
    my $upload = '11111111-2222-4333-8444-555555555555';
    $pg->psql("INSERT INTO matte.upload (id, tenant_id, filename, bytes, sha256)
               VALUES ('$upload', '$tenant', 'a.mp4', 5, sha256('x'))");
    my $id = $jobs->create("upload://$upload");
    my $job = $jobs->over($id);
    is_deeply [@$job{qw(error_code attempt)}], ['storage_error', 3], 'its file is not there';
    mkdir "$state/uploads/$tenant";
    symlink '/etc/passwd', "$state/uploads/$tenant/$upload";
    is $jobs->over($jobs->create("upload://$upload"))->{error_code}, 'storage_error', 'a link is not followed';
    unlink "$state/uploads/$tenant/$upload";
    spew("$state/uploads/$tenant/$upload", '');
    is $jobs->over($jobs->create("upload://$upload"))->{error_code}, 'empty_input';
    truncate "$state/uploads/$tenant/$upload", 2**31 + 1;
    is $jobs->over($jobs->create("upload://$upload"))->{error_code}, 'too_large';
    truncate "$state/uploads/$tenant/$upload", 0;
    spew("$state/uploads/$tenant/$upload", join "\n", good(), '');
    $job = $jobs->over($jobs->create("upload://$upload"));
    is $job->{status}, 'completed';
    is output($job), 'video';
    settled('uploads');
};

subtest 'progress and cancelling' => sub {
    my $id = script('probe 100 2000', 'progress 40', 'sleep 30000');
    my $job = wait_for { my $j = $jobs->job($id); $j->{progress} ? $j : undef } 10, 'progress';
    is_deeply [@$job{qw(status progress frames_done frames_total)}], ['processing', 40, 40, 100];
    $pg->psql("UPDATE matte.job SET cancel_requested_at = clock_timestamp() WHERE id = '$id'");
    my $asked = time;
    is ring(bell(), "cancel 7 $id"), '7 ok', 'the doorbell takes a cancel';
    is $jobs->over($id)->{status}, 'cancelled';
    cmp_ok time - $asked, '<', 0.45, 'at once, and not with the next heartbeat';
    is $jobs->ledger($id), 'hold release';
    is ring(bell(), "cancel 8 $id"), '8 ok', 'a job that runs nowhere is no error';
    $id = script('probe 100 2000', 'sleep 30000');
    $jobs->reaches($id, 'processing');
    $pg->psql("UPDATE matte.job SET cancel_requested_at = clock_timestamp() WHERE id = '$id'");
    is $jobs->over($id)->{status}, 'cancelled', 'the next heartbeat sees it too';
    settled('cancelled');
};

subtest 'the doorbell' => sub {
    my $bell = bell();
    my $id = script(good());
    is $jobs->over($id)->{status}, 'completed';
    is ring($bell, "start 2 $id"), '2 pending', 'a job that is over';

    # while the first runs there is no free worker
    my $first = script('probe 10 2000', 'sleep 1500', 'write x', 'done 10 2000');
    $jobs->reaches($first, 'processing');
    my $second = script(good());
    my $asked = time;
    is ring($bell, "start 3 $second"), '3 pending', 'no worker is free';
    cmp_ok time - $asked, '<', 0.1, 'which is said at once';
    $jobs->over($second);

    for my $bad ('', 'start', 'start x y', "start 4 $id ", "start -1 $id", "stop 4 $id", 'start 4 ' . 'f' x 36 . 'f',
                 'x' x 500, "start 99999999999999999999999 $id", "start 4\0$id") {
        send $bell, $bad, 0 if length $bad;
    }
    is ring($bell, "start 5 $id"), '5 pending', 'bad messages are dropped, the connection lives';
    close $bell;
    my $dropped = wait_for { $engine->events('doorbell_bad_messages') } 5, 'the count of bad messages';
    is $dropped->{count}, 9, 'and counted';

    my @many = map { bell() } 1 .. 257;
    local $SIG{ALRM} = sub { die "no end\n" };
    alarm 5;
    recv $many[-1], my $nothing, 128, 0;
    alarm 0;
    is $nothing, '', 'connection 257 is closed';
    is ring($many[0], "start 6 $id"), '6 pending', 'the first is not';
    undef @many;
    my @said;
    $bell = bell();
    for my $n (10 .. 14) {
        my $job = script('probe 10 2000', 'sleep 300', 'write x', 'done 10 2000');
        push @said, ring($bell, "start $n $job");
        $jobs->over($job);
    }
    is_deeply \@said, [map { "$_ processing" } 10 .. 14], 'a free worker takes the job, ring or notification first';
    settled('doorbell');
};

subtest 'one job at a time, with a worker warm for the next' => sub {
    my $began = time;
    my @ids = map { script('probe 10 2000', 'sleep 200', 'write x', 'done 10 2000') } 1 .. 4;
    wait_for { !$pg->psql("SELECT 1 FROM matte.job WHERE status IN ('pending', 'processing') LIMIT 1") } 20, 'four jobs';
    cmp_ok time - $began, '>=', .8, 'one after the other: what each sleeps is waited for'; # the last may still be stored meanwhile
    is_deeply [map { $jobs->job($_)->{status} } @ids], [('completed') x 4];
};

subtest 'a lease that another engine has taken' => sub {
    my $id = script('probe 10 2000', 'write first', 'sleep 30000');
    my $job = $jobs->reaches($id, 'processing');
    wait_for { $engine->events('job_probed', job_id => $id) } 5, 'the probe';
    spew("$dir/www/script$scripts", join "\n", good(), '');
    $pg->psql("SELECT matte.job_release('$id', $job->{lease_no})");
    my $lost = wait_for { $engine->events('lease_lost', job_id => $id) } 5, 'the loss to be noticed';
    is $lost->{lease_no}, 1;
    like $lost->{err}, qr/another run/;
    $job = $jobs->over($id);
    is_deeply [@$job{qw(status lease_no)}], ['completed', 2];
    is output($job), 'video';
    is $jobs->ledger($id), 'hold capture', 'charged once';
    settled('lost');
};

subtest 'an output is never overwritten' => sub {
    my $id = script('probe 10 2000', 'sleep 700', 'write mine', 'done 10 2000');
    my $job = $jobs->reaches($id, 'processing');
    my $folder = "$state/outputs/$job->{tenant_id}/$id";
    mkdir $folder;
    spew("$folder/1.webm", 'theirs');
    chmod 0777, $folder;
    $job = $jobs->over($id);
    is_deeply [@$job{qw(status last_error lease_no)}], ['completed', 'storage_error', 2];
    is slurp("$folder/1.webm"), 'theirs';
    is output($job), 'mine';
    settled('storage');
};

subtest 'the database is restarted' => sub {
    $engine->stop;
    $engine = Matte::Engine->start($dir, %options, extra => {%{$options{extra}}, lease => '10s'});
    my $id = script('probe 10 2000', 'sleep 1200', 'write x', 'done 10 2000');
    $jobs->reaches($id, 'processing');
    $pg->restart('immediate');
    my $job = $jobs->over($id);
    is_deeply [@$job{qw(status lease_no)}], ['completed', 1], 'in the middle of a job: it goes on under its lease';
    is $jobs->ledger($id), 'hold capture';

    $id = script('probe 10 2000', 'sleep 300', 'write x', 'done 10 2000');
    $jobs->reaches($id, 'processing');
    wait_for { $engine->events('job_probed', job_id => $id) } 5, 'the probe';
    $pg->stop;
    wait_for { $engine->events('job_stored', job_id => $id) } 5, 'the output';
    is ring(bell(), "start 1 $id"), '1 pending', 'away: the doorbell answers';
    $pg->restart('immediate');
    $job = $jobs->over($id);
    is $job->{status}, 'completed', 'away when the job ends: it completes afterwards';
    is $jobs->ledger($id), 'hold capture';

    $id = script('probe 10 2000', 'sleep 300', 'write x', 'done 10 2000');
    wait_for { $engine->events('job_probed', job_id => $id) } 5, 'the probe';
    my $session = $pg->session('postgres');
    $session->query('BEGIN');
    $session->query("SELECT 1 FROM matte.job WHERE id = '$id' FOR UPDATE");
    wait_for { $engine->events('job_stored', job_id => $id) } 5, 'the output';
    $pg->restart('immediate');
    $job = $jobs->over($id);
    is_deeply [@$job{qw(status lease_no)}], ['completed', 1], 'while the completing call waits: it is repeated';
    is $jobs->ledger($id), 'hold capture';
    settled('restarted');
};

subtest 'limits of time' => sub {
    $engine->stop;
    $engine = Matte::Engine->start($dir, %options, extra =>
        {%{$options{extra}}, job_timeout => '1s', job_timeout_factor => 0, fetch_timeout => '1s'});
    my $job = $jobs->over(script('probe 10 2000', 'sleep 30000'));
    is_deeply [@$job{qw(status error_code attempt)}], ['failed', 'job_timeout', 1];
    like $job->{error_detail}, qr/^The job took longer than [12] s\.$/;
    settled('time');
};

subtest 'rights and descriptors' => sub {
    my ($uid) = slurp('/proc/' . $engine->pid . '/status') =~ /^Uid:\s+(.*)$/m;
    my $nobody = $> == 0 ? getpwnam 'nobody' : $>;
    is_deeply [split ' ', $uid], [($nobody) x 4], 'root is given up for good';
    my ($groups) = slurp('/proc/' . $engine->pid . '/status') =~ /^Groups:\s*(.*?)\s*$/m;
    is $groups, scalar getgrnam('www-data'), 'and so are its groups' if $> == 0;
    is sprintf('%o', (stat $engine->socket)[2] & 07777), '660', 'the socket is for user and group';
    my ($worker) = $engine->workers;
    opendir my $fds, "/proc/$worker/fd" or die "$worker: $!";
    my %fds = map { $_ => readlink "/proc/$worker/fd/$_" } grep { /^\d+$/ } readdir $fds;
    is_deeply [sort map { s/\d+/N/r } grep { !m{^/dev/null|\.log$} } values %fds], ['socket:[N]'],
        'a worker has its control socket and the log';
    my ($dies) = slurp("/proc/$worker/status") =~ /^PPid:\s+(\d+)/m;
    is $dies, $engine->pid;
};

subtest 'the log is opened again on SIGHUP' => sub {
    $engine->stop;
    my $log = "$dir/run-matted/engine.log";
    $engine = Matte::Engine->start($dir, %options, extra => {%{$options{extra}}, log => $log});
    rename $log, "$log.1";
    kill 'HUP', $engine->pid;
    wait_for { -f $log } 5, 'a new log';
    is $engine->stop, 0;
    like slurp($log), qr/"event":"stopped"/;
    unlike slurp("$log.1"), qr/"event":"stopp/;
    $engine = Matte::Engine->start($dir, %options);
};

subtest 'SIGTERM' => sub {
    my $id = script('probe 10 2000', 'sleep 800', 'write x', 'done 10 2000');
    $jobs->reaches($id, 'processing');
    is $engine->stop, 0, 'a job that ends in time:';
    is $jobs->job($id)->{status}, 'completed';
    is_deeply [$jobs->job($id)->{lease_no}], [1];

    $engine = Matte::Engine->start($dir, %options);
    $id = script('probe 10 2000', 'sleep 30000');
    $jobs->reaches($id, 'processing');
    my $later = script(good());
    my $from = time;
    is $engine->stop, 0, 'a job that does not:';
    cmp_ok time - $from, '<', 3.5, 'is waited for as long as drain says';
    my $job = $jobs->job($id);
    is_deeply [@$job{qw(status attempt last_error)}], ['pending', 0, 'released'], 'given back, no attempt spent';
    is $jobs->job($later)->{status}, 'pending', 'and no other was begun';
    ok !-e $engine->socket, 'the socket is gone';
    spew("$dir/www/script" . ($scripts - 1), join "\n", good(), '');

    $engine = Matte::Engine->start($dir, %options);
    is $jobs->over($_)->{status}, 'completed' for $id, $later;
    settled('stopped');
};

subtest 'SIGTERM twice' => sub {
    $engine->stop;
    $engine = Matte::Engine->start($dir, %options, extra => {%{$options{extra}}, drain => '60s'});
    my $id = script('probe 10 2000', 'sleep 30000');
    $jobs->reaches($id, 'processing');
    kill 'TERM', $engine->pid;
    wait_for { $engine->events('stopping') } 5, 'the first signal';
    my $from = time;
    is $engine->stop, 0;
    cmp_ok time - $from, '<', 2, 'the second does not wait';
    is $jobs->job($id)->{status}, 'pending';
    spew("$dir/www/script$scripts", join "\n", good(), '');
    $engine = Matte::Engine->start($dir, %options);
    is $jobs->over($id)->{status}, 'completed';
};

subtest 'a stale file is removed, a live one is not' => sub {
    $engine->stop;
    spew("$state/tmp/dead.1.out", 'x');
    spew("$state/tmp/live.1.out", 'x');
    open my $live, '<', "$state/tmp/live.1.out" or die;
    flock $live, LOCK_EX or die;
    $engine = Matte::Engine->start($dir, %options);
    is_deeply [leftovers()], ['live.1.out'];
    unlink "$state/tmp/live.1.out";
};

subtest 'workers that do not become warm' => sub {
    $engine->stop;
    $engine = Matte::Engine->start($dir, %options, env => {MATTE_FAKE_START => "$dir/run-matted/starts"}, wait => 'worker_not_ready');
    is $engine->events('worker_not_ready')->{err}, 'The network cannot be planned.';
    my $id = script(good());
    is ring(bell(), "start 1 $id"), '1 pending', 'matted answers all the same';
    ok wait_for { -s "$dir/run-matted/starts" >= 2 } 10, 'and tries again';
    is scalar(() = $engine->events('worker_not_ready')), 1, 'the reason is said once';
    is $jobs->job($id)->{status}, 'pending';
    is $engine->stop, 0;
    $engine = Matte::Engine->start($dir, %options);
    is $jobs->over($id)->{status}, 'completed';
};

subtest 'what keeps matted from starting' => sub {
    my $binary = $engine->{binary};
    my $conf = slurp($engine->{conf});
    like run_ok('-t', $binary, '-c', $engine->{conf}, '-t'), qr/matted\.conf is right\.$/;
    my $refused = sub {
        my ($name, $change, $pattern) = @_;
        local $_ = $conf;
        $change->();
        my $file = spew("$dir/bad.conf", $_);
        my $text = `$binary -c $file 2>&1`;
        is $? >> 8, 78, $name;
        like $text, $pattern;
    };
    $refused->('an unknown key', sub { $_ .= "colour = blue\n" }, qr/bad\.conf:\d+: there is no key `colour`\.$/);
    $refused->('a bad value', sub { s/^#workers.*/workers = 99/m }, qr/bad\.conf:\d+: workers = 99: 1 to 64 are allowed\.$/);
    $refused->('the socket of another', sub { }, qr/another process answers on/);
    $refused->('no state folder', sub { s/^state =.*/state = \/nowhere/m; s/^(socket =.*)/$1.2/m },
               qr/state: \/nowhere: No such file/);
    $refused->('a long socket path', sub { s/^socket =.*/'socket = \/tmp\/' . 'x' x 103/me }, qr/is longer than 107 bytes/);
    $refused->('no models', sub { s/^models =.*/models = \/nowhere/m }, qr/models: \/nowhere: No such file/);
    $refused->('a bad conninfo', sub { s/^database =.*/database = hust=x/m; s/^(socket =.*)/$1.2/m },
               qr/database: invalid connection option/);
    $refused->('no such user', sub { s/^#?user =.*/user = nosuch/m }, qr/user: there is no user nosuch/) if $> == 0;
    is system("$binary 2>/dev/null") >> 8, 64, 'usage';
};

is $engine->stop, 0;
$origin->stop;
is $jobs->violations, '', 'no invariant of the database was ever broken';
$pg->stop;
done_testing;
