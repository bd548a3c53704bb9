#!/usr/bin/perl
# Retention by matted: what is removed when its time has come, what never is, several engines on one state folder.
use strict;
use warnings;
use Fcntl qw(:flock);
use File::Path qw(make_path);
use List::Util qw(sum);
use Matte::Engine;
use Matte::Jobs;
use Matte::Origin;
use Matte::Postgres;
use Matte::Test;
use Test::More;
use Time::HiRes qw(time sleep);

my $dir = workspace();
my $state = "$dir/state";
my $pg = Matte::Postgres->start($dir, fsync => 0);
mkdir "$dir/www";
my $origin = Matte::Origin->start($dir, root => "$dir/www");
my %extra = (lease => '1s', heartbeat => '250ms', sweep => '200ms', keep_uploads => '87600h', keep_outputs => '87600h',
             keep_jobs => '87600h', keep_orphans => '24h');
my @engines;

# Starts this many matted with these keys of matted.conf, in place of those that run.
sub engines {
    my ($count, %keys) = @_;
    $_->stop for splice @engines;
    for my $n (1 .. $count) {
        push @engines, Matte::Engine->start($dir, name => "matted$n", fake => 1, database => $pg->conninfo('matte_engine'),
            state => $state, egress_allow => '127.0.0.1/32:' . $origin->port, extra => {%extra, %keys});
    }
    return $engines[0];
}

engines(1);
my $jobs = Matte::Jobs->new($pg, $pg->admin_key('acme', credits => 100_000));
my $tenant = $pg->psql('SELECT id FROM matte.tenant');
my ($www_uid, $www_gid) = (stat "$state/uploads")[4, 5];

sub uuid { return sprintf '%08x-%04x-4%03x-8%03x-%012x', map { int rand $_ } 2 ** 32, 2 ** 16, 2 ** 12, 2 ** 12, 2 ** 48 }

# A file under the state folder, as matted or nginx would leave it; returns its path there.
sub file {
    my ($path, $bytes) = @_;
    my ($folder) = "$state/$path" =~ m{(.*)/};
    make_path($folder);
    spew("$state/$path", $bytes // 'x');
    for (my $at = "$state/$path"; $at ne $state; $at =~ s{/[^/]+$}{}) { chown $www_uid, $www_gid, $at if $> == 0 }
    return $path;
}

# An upload of this age with its file.
sub upload {
    my ($age, $bytes) = @_;
    my $id = uuid();
    $pg->psql("INSERT INTO matte.upload (id, tenant_id, filename, bytes, created_at)
               VALUES ('$id', '$tenant', 'v.mp4', 1, now() - interval '$age')");
    return ($id, file("uploads/$tenant/$id", $bytes));
}

sub is_there { my ($path) = @_; return -e "$state/$path" }
sub gone { my ($path) = @_; return wait_for { !is_there($path) } 10, "$path to go" }

# Waits until an engine has begun and ended two rounds from now on: what a round would do is done.
sub rounds {
    my $marker = "matte-$$-" . time;
    for (1 .. 2) {
        my $path = "outputs/$tenant/@{[uuid()]}/1.webm";
        file($path);
        $pg->psql("INSERT INTO matte.removal (path) VALUES ('$path')");
        gone($path);
        wait_for { $pg->psql('SELECT count(*) FROM matte.removal') == 0 } 10, 'the round';
    }
    return;
}

sub good { return ('probe 10 2000', 'write video', 'done 10 2000') }
my $scripts = 0;
sub completed {
    my (@lines) = @_;
    my $name = 'script' . ++$scripts;
    spew("$dir/www/$name", join '', map { "$_\n" } @lines ? @lines : good());
    my $job = $jobs->over($jobs->create($origin->base . "/$name", @lines ? (options => '{"alpha": true}') : ()));
    is($job->{status}, 'completed') or diag(explain $job);
    return $job;
}

subtest 'a deleted job' => sub {
    my $job = completed('probe 10 2000', 'write video', 'alpha grey', 'done 10 2000');
    my @paths = ("outputs/$job->{output_key}", "outputs/$tenant/$job->{id}/1.alpha.mp4");
    is(grep({ is_there($_) } @paths), 2, 'its output is there, and its alpha');
    rounds();
    is(grep({ is_there($_) } @paths), 2, 'and stay');
    my ($id, $upload) = upload('1 minute', join '', map { "$_\n" } good());
    my $of_upload = $jobs->over($jobs->create("upload://$id"));
    is($of_upload->{status}, 'completed', 'a job of an upload');
    $pg->psql("SELECT matte.api_delete($jobs->{key}, '$_->{id}')") for $job, $of_upload;
    gone($_) for @paths, "outputs/$of_upload->{output_key}", $upload;
    gone("outputs/$tenant/$job->{id}");
    pass('files and folder are gone');
    my ($said) = $engines[0]->events('files_removed');
    ok($said, 'and the log says so');
};

subtest 'uploads' => sub {
    my ($young_id, $young) = upload('1 hour');
    my ($old_id, $old) = upload('3 hours');
    my ($used_id, $used) = upload('3 hours', "probe 10 2000\nsleep 2000\nwrite video\ndone 10 2000\n");
    my $job = $jobs->create("upload://$used_id");
    $jobs->reaches($job, 'processing');
    engines(1, keep_uploads => '2h');
    gone($old);
    rounds();
    ok(is_there($young), 'a younger one stays');
    is($jobs->over($job)->{status}, 'completed', 'a job has its upload for as long as it works');
    rounds();
    ok(is_there($used), 'and after its end for keep_uploads');
    $pg->psql("UPDATE matte.job SET finished_at = now() - interval '3 hours' WHERE id = '$job'");
    gone($used);
    is($pg->psql("SELECT count(*) FROM matte.upload WHERE deleted_at IS NULL AND id IN ('$old_id', '$used_id')"), 0, 'the rows say so');
    is($pg->psql("SELECT deleted_at IS NULL FROM matte.upload WHERE id = '$young_id'"), 't');
};

subtest 'outputs' => sub {
    my ($old, $young) = map { completed() } 1, 2;
    $pg->psql("UPDATE matte.job SET finished_at = now() - interval '3 hours' WHERE id = '$old->{id}'");
    engines(1, keep_outputs => '2h');
    gone("outputs/$old->{output_key}");
    rounds();
    ok(is_there("outputs/$young->{output_key}"), 'a younger one stays');
    my $answer = $pg->psql("SELECT outcome || coalesce(output_key, '') FROM matte.api_get($jobs->{key}, NULL, '$old->{id}')");
    is($answer, 'ok', 'the job stays, and names no output');
};

subtest 'rows' => sub {
    $pg->psql("INSERT INTO matte.idempotency_key (tenant_id, key, route, body_sha256, created_at)
               SELECT '$tenant', 'k' || n, 'x', 'x', now() - n * interval '1 hour' FROM generate_series(1, 2500) n");
    wait_for { $pg->psql('SELECT count(*) FROM matte.idempotency_key') <= 24 } 10, 'expired requests to go';
    cmp_ok($pg->psql('SELECT count(*) FROM matte.idempotency_key'), '>=', 22, 'those of the last 24 hours stay');
};

subtest 'jobs' => sub {
    my ($young, $old) = map { completed() } 1, 2;
    my $drafts = sub { $pg->psql("SELECT count(*) FROM matte.job WHERE request_id = 'draft'") };
    $pg->psql(<<"END");
UPDATE matte.job SET finished_at = now() - interval '3 hours' WHERE id = '$old->{id}';
INSERT INTO matte.job (id, tenant_id, api_key_id, model, output_format, video_url, request_id, created_at)
  SELECT gen_random_uuid(), '$tenant', min(id), 'light', 'webm', 'http://v', 'draft', now() - (1 + n % 2) * interval '90 minutes'
    FROM matte.api_key, generate_series(1, 1000) n GROUP BY n
END
    engines(1, map { $_ => '2h' } qw(keep_uploads keep_outputs keep_jobs));
    gone("outputs/$old->{output_key}");
    wait_for { !$pg->psql("SELECT count(*) FROM matte.job WHERE id = '$old->{id}'") } 10, 'the job to go after its output';
    wait_for { $drafts->() <= 500 } 10, 'old drafts to go, in more steps than one';
    rounds();
    is($pg->psql("SELECT count(*) FROM matte.job WHERE id = '$young->{id}'"), 1, 'a younger one stays');
    is($drafts->(), 500, 'of drafts, too');
    is($jobs->violations, '', 'no violation');
    is(sum(map { $_->{jobs} } $engines[0]->events('jobs_removed')), $pg->psql('SELECT sum(total_jobs) FROM matte.usage_day'),
       'the log says how many');
};

subtest 'orphans' => sub {
    my $job = completed();
    my ($id, $upload) = upload('1 minute');
    my @ours = ("outputs/$job->{output_key}", $upload);
    my @orphans = map { file($_) } "outputs/$tenant/@{[uuid()]}/1.webm", "outputs/$job->{output_key}" =~ s/1.webm$/7.webm/r,
        "uploads/$tenant/@{[uuid()]}", "uploads/@{[uuid()]}/@{[uuid()]}", map { "uploads/$tenant/@{[uuid()]}" } 1 .. 250;
    my @foreign = map { file($_) } "uploads/README", "outputs/$tenant/notes.txt", "uploads/$tenant/a b";
    symlink "$dir/www", "$state/uploads/link" or die;
    engines(1);
    rounds();
    ok(!grep({ !is_there($_) } @orphans), 'young ones stay: their row may be on its way');
    engines(1, keep_orphans => '2s');
    gone($_) for @orphans;
    ok(is_there($_), "$_ stays") for @ours, @foreign;
    ok(-e "$dir/www/script1", 'nothing behind a link is touched');
    ok($engines[0]->events('orphans_removed'), 'the log says so');
    unlink "$state/uploads/link";
};

subtest 'tmp' => sub {
    my $dead = file('tmp/dead.upload');
    my $live = file('tmp/live.upload');
    open my $lock, '<', "$state/$live" or die;
    flock $lock, LOCK_EX or die;
    gone($dead);
    rounds();
    ok(is_there($live), 'what somebody has locked stays');
    close $lock;
    gone($live);
    pass('until he is dead');
};

subtest 'what cannot be removed' => sub {
    plan skip_all => 'root removes anything' if $> != 0;
    my $path = "uploads/@{[uuid()]}/@{[uuid()]}";
    make_path("$state/$path");                        # a folder in its place
    $pg->psql("INSERT INTO matte.removal (path) VALUES ('$path')");
    my @others = map { file("uploads/$tenant/@{[uuid()]}") } 1 .. 150;
    $pg->psql(join ';', map { "INSERT INTO matte.removal (path) VALUES ('$_')" } @others);
    gone($_) for @others;
    wait_for { $engines[0]->events('file_not_removed', file => $path) } 10, 'the log to say so';
    ok(-d "$state/$path", 'it holds up no other');
    rmdir "$state/$path";
    wait_for { !$pg->psql('SELECT count(*) FROM matte.removal') } 10, 'what is gone to be struck out';
};

subtest 'several engines' => sub {
    my @old = map { (upload('3 hours'))[1] } 1 .. 30;
    my ($kept_id, $kept) = upload('1 hour');
    my @outputs = map { "outputs/" . completed()->{output_key} } 1 .. 3;
    my @orphans = map { file("uploads/$tenant/@{[uuid()]}") } 1 .. 150;
    engines(3, keep_uploads => '2h', keep_orphans => '2s');
    my @ids = map { spew("$dir/www/more$_", join '', map { "$_\n" } good()); $jobs->create($origin->base . "/more$_") } 1 .. 12;
    my @jobs = map { $jobs->over($_) } @ids;
    is(scalar(grep { $_->{status} ne 'completed' } @jobs), 0, 'jobs are done beside it');
    gone($_) for @old, @orphans;
    ok(!grep({ !is_there($_) } $kept, @outputs, map { "outputs/$_->{output_key}" } @jobs), 'what is kept is there');
    $engines[1]->kill9;
    my ($id, $path) = upload('3 hours');
    gone($path);
    pass('also when one is killed');
    is($jobs->violations, '', 'no violation');
};

for my $case (['keep_orphans = 2s', 'lease = 2s', qr/keep_orphans must be longer than lease/]) {
    my ($one, $two, $says) = @$case;
    my $text = slurp(root() . '/conf/matted.conf') =~ s/^#?keep_orphans = .*/$one/mr =~ s/^#?lease = .*/$two/mr
        =~ s/^#?heartbeat = .*/heartbeat = 500ms/mr;
    my ($status, $said) = command($engines[0]{binary}, '-c', spew("$dir/bad.conf", $text), '-t');
    is($status, 78, "$one with $two is refused");
    like($said, $says);
}
$_->stop for @engines;
done_testing;
