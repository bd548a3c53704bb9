# The pool: what clients see while backends die, workers are replaced, PostgreSQL stops or hangs, and the queue is full.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use Matte::FakeEngine;
use Matte::Nginx;
use Matte::Parallel;
use Matte::Postgres;
use Matte::Test;
use Test::More;
use Time::HiRes qw(time sleep);

my $dir = workspace();
my $pg = Matte::Postgres->start($dir, fsync => 0);
my $key = $pg->admin_key('acme', credits => 1000000);
$pg->psql('UPDATE matte.api_key SET rate_per_min = 100000000, burst = 10000000, max_pending = 1000000');
my $engine = Matte::FakeEngine->start("$dir/matted.sock");
my $nginx = Matte::Nginx->start($dir, database => $pg->conninfo('matte_api'), key => $key, edit => sub {
    s/^ *limit_(?:req|conn) .*\n//mg;
    s/(matte_database_timeout) .*/$1 2s;/;
    s/(matte_formats) .*/$1 webm mov gif webp;/;
});
my $job = {video_url => 'https://example.com/a.mp4'};
my $id = $nginx->post('/v1/jobs', $job)->{json}{id};

sub pids { return split /\n/, $pg->psql("SELECT pid FROM pg_stat_activity WHERE usename = 'matte_api'"); }

sub answers {
    my ($seconds, $what) = @_;
    return wait_for { my @ok = grep { $nginx->get("/v1/jobs/$id")->{status} == 200 } 1 .. 8; @ok == 8 } $seconds, $what;
}

subtest 'backends die under load' => sub {
    allow_in_logs(qr/terminating connection/);
    my $end = time + 3;
    my @status = parallel($nginx, 8, $end, sub { ($_[0] % 4) ? 'GET ' . $nginx->get("/v1/jobs/$id")->{status}
                                                     : 'POST ' . $nginx->post('/v1/jobs', $job)->{status} }, sub {
        while (time < $end - 0.5) {
            $pg->psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'matte_api'");
            sleep 0.5;
        }
    });
    my $n = tally(@status);
    note explain $n;
    cmp_ok($n->{'GET 200'} // 0, '>', 100, 'many were read');
    is_deeply([grep { $_ ne 'GET 200' } grep { /GET/ } keys %$n], [], 'no read failed');
    is_deeply([grep { !/ (?:201|503)$/ } grep { /POST/ } keys %$n], [], 'a write was made or may be tried again');
    answers(10, 'the pool');
};

subtest 'reload under load' => sub {
    my $end = time + 2;
    my @status = parallel($nginx, 6, $end, sub {
        $nginx->{http} = HTTP::Tiny->new(keep_alive => 0, timeout => 20);
        return $_[0] % 3 ? $nginx->get("/v1/jobs/$id")->{status} : $nginx->post('/v1/jobs', $job)->{status};
    }, sub { for (1 .. 3) { $nginx->reload; } });
    my $n = tally(@status);
    note explain $n;
    is_deeply([sort keys %$n], [200, 201], 'every request was answered');
    wait_for { $nginx->workers == 2 } 20, 'the old workers to end';
};

subtest 'one Idempotency-Key at once' => sub {
    my @bodies = parallel($nginx, 12, undef, sub { my $a = $nginx->post('/v1/jobs', $job, 'Idempotency-Key' => 'twin');
                                           $a = $nginx->post('/v1/jobs', $job, 'Idempotency-Key' => 'twin') if $a->{status} == 409;
                                           return "$a->{status} $a->{json}{id}"; });
    is(keys %{tally(@bodies)}, 1, 'one answer for all') or diag(explain(tally(@bodies)));
    like($bodies[0], qr/^201 /);
};

subtest 'one bad statement in a batch' => sub {
    $pg->psql(<<'END');
CREATE FUNCTION matte.bad() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION USING ERRCODE = CASE NEW.output_format WHEN 'mov' THEN '22000' WHEN 'gif' THEN 'XX000' ELSE '55P03' END;
END $$;
CREATE TRIGGER bad BEFORE INSERT ON matte.job FOR EACH ROW WHEN (NEW.output_format <> 'webm') EXECUTE FUNCTION matte.bad();
END
    my @formats = qw(webm webm webm mov gif webp);
    my @got = parallel($nginx, 12, undef, sub { my $format = $formats[$_[0] % 6];
        map { my $a = $nginx->post('/v1/jobs', {%$job, output_format => $format}); "$format $a->{status}" } 1 .. 5 });
    is_deeply(tally(@got), {'webm 201' => 30, 'mov 400' => 10, 'gif 500' => 10, 'webp 503' => 10}, 'only the bad ones fail');
    $pg->psql('DROP TRIGGER bad ON matte.job');
};

subtest 'a migration under running workers' => sub {
    for my $change ('ADD ATTRIBUTE later text', 'DROP ATTRIBUTE later') {
        $pg->psql("ALTER TYPE matte.answer $change");
        my @status = map { $nginx->get("/v1/jobs/$id")->{status}, $nginx->post('/v1/jobs', $job)->{status} } 1 .. 6;
        is_deeply(tally(@status), {200 => 6, 201 => 6}, "$change: nobody notices") or diag(explain(tally(@status)));
    }
};

subtest 'clients that go away' => sub {
    my @workers = sort $nginx->workers;
    my $session = $pg->session('postgres');
    $session->query('BEGIN');
    $session->query('LOCK TABLE matte.job IN ACCESS EXCLUSIVE MODE');
    for my $request ("GET /v1/jobs/$id HTTP/1.1\r\n", "POST /v1/jobs/$id/start HTTP/1.1\r\nContent-Length: 0\r\n") {
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $nginx->port);
        print $socket "${request}Host: x\r\nX-Api-Key: $key\r\n\r\n";
        $socket->flush;
        sleep 0.1;                              # the statement is on its way
        close $socket;
    }
    wait_for { 2 == grep { $_->{status} == 499 } $nginx->access_log } 5, 'nginx to see it';
    $session->query('ROLLBACK');
    answers(10, 'answers');
    is_deeply([sort $nginx->workers], \@workers, 'the workers are the same');
};

subtest 'the queue is full' => sub {
    my $usual = slurp($nginx->{conf});
    $nginx->reconfigure(sub {                   # nobody runs out of time here, however slow this machine is
        s/(matte_database_queue) .*/$1 4;/;
        s/depth=64 batch=32/depth=8 batch=8/;
        s/(matte_database_timeout) .*/$1 60s;/;
        s/(statement_timeout|lock_timeout)=\w+/$1=60s/g;
    });
    answers(10, 'new workers');
    my $session = $pg->session('postgres');
    $session->query('BEGIN');
    $session->query('LOCK TABLE matte.job IN ACCESS EXCLUSIVE MODE');
    my $refusals = sub { my @lines = slurp("$dir/nginx/access.log") =~ /"status":503.*"db_time":""/g; return scalar @lines; };
    my $before = $refusals->();
    my @got = parallel($nginx, 60, undef, sub {
        my $a = $nginx->get("/v1/jobs/$id");
        return join ' ', $a->{status}, $a->{json}{error}{code} // '', $a->{headers}{'retry-after'} // '';
    }, sub {
        wait_for { $refusals->() - $before >= 60 - 2 * (8 + 4) } 30, 'refusals';
        $session->query('ROLLBACK');
    });
    my $n = tally(@got);
    note explain $n;
    is_deeply($n, {'503 unavailable 1' => 60 - 2 * (8 + 4), '200  ' => 2 * (8 + 4)},
              'what exceeds it is refused while the others wait') or diag(explain($n));
    $nginx->reconfigure(sub { $_ = $usual; });
};

subtest 'a statement is slow' => sub {
    my $session = $pg->session('postgres');
    $session->query('BEGIN');
    $session->query('LOCK TABLE matte.price IN ACCESS EXCLUSIVE MODE');
    my ($begin, $read) = (time, 0);
    my @got = parallel($nginx, 1, undef, sub { my $a = $nginx->post('/v1/jobs', $job); "$a->{status} $a->{json}{error}{code}" }, sub {
        sleep 0.3;
        my $b = time;
        is($nginx->get("/v1/jobs/$id")->{status}, 200, 'a read meanwhile');
        $read = time - $b;
    });
    cmp_ok($read, '<', 0.3, 'is not held up');
    is_deeply(\@got, ['503 unavailable'], 'the write is answered in time');
    cmp_ok(time - $begin, '<', 3.5);
    $session->query('ROLLBACK');
    wait_for { $nginx->post('/v1/jobs', $job)->{status} == 201 } 10, 'a write';
};

my @stopped;
END { kill 'CONT', @stopped }        # of a test that is ended here: what stands still cannot be stopped

subtest 'PostgreSQL hangs' => sub {
    allow_in_logs(qr/does not answer|connect timed out/);
    @stopped = ($pg->pid, pids());
    kill 'STOP', @stopped;
    my $begin = time;
    my @got = parallel($nginx, 8, undef, sub {
        my $a = $nginx->get($_[0] == 1 ? "/v1/jobs/$id" : '/health');
        return join ' ', $a->{status}, $a->{json}{status} // $a->{json}{error}{code}, time - $begin < 1 ? 'at once' : 'late';
    });
    is(scalar(grep { /^200 \w+ at once$/ } @got), 7, 'health answers at once') or diag(explain(\@got));
    is_deeply([grep { /^503/ } @got], ['503 unavailable late'], 'a read is answered in time');
    wait_for { my $h = $nginx->get('/health')->{json}; $h->{status} eq 'degraded' && $h->{checks}{database} eq 'down' } 5,
        'health to see it';
    kill 'CONT', splice @stopped;
    answers(20, 'PostgreSQL to be back');
    wait_for { $nginx->get('/health')->{json}{status} eq 'healthy' } 5, 'health to see it';
};

subtest 'PostgreSQL stops' => sub {
    allow_in_logs(qr/postgres: /);
    $pg->stop('immediate');
    wait_for { $nginx->get("/v1/jobs/$id")->{status} == 503 } 5, 'the workers to see it';
    sleep 0.3;
    for my $request (['GET', "/v1/jobs/$id"], ['GET', '/v1/jobs'], ['POST', '/v1/jobs', $job]) {
        my $begin = time;
        my $answer = $nginx->request(@$request);
        is_deeply([$answer->{status}, $answer->{json}{error}{code}, $answer->{headers}{'retry-after'}], [503, 'unavailable', 1],
                  "@$request[0, 1]");
        cmp_ok(time - $begin, '<', 0.5, 'at once');
    }
    my $health = $nginx->get('/health');
    is($health->{status}, 200, 'health answers');
    wait_for { $nginx->get('/health')->{json}{checks}{database} eq 'down' } 5, 'health to see it';
    $pg->restart;
    answers(20, 'PostgreSQL to be back');
    wait_for { $nginx->post('/v1/jobs', $job)->{status} == 201 } 10, 'a write';
};

subtest 'a quiet end' => sub {
    is($nginx->stop('QUIT'), 0, 'QUIT');
};

done_testing;
