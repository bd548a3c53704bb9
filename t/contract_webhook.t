#!/usr/bin/perl
# A thousand webhooks, to receivers that behave in a dozen ways, from two engines of which one is killed again and again
# and a database that crashes: each ends sent or failed as the rules say, in the order of its job, never sent again once
# that was recorded, and accepted by both kinds of verifier.
#
# Delays are a twenty-thousandth of what they are otherwise.

use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_hex);
use File::Path qw(make_path);
use HTTP::Tiny;
use JSON::PP qw(decode_json encode_json);
use List::Util qw(max min sum);
use Matte::Engine;
use Matte::Nginx;
use Matte::Origin;
use Matte::Postgres;
use Matte::Receiver;
use Matte::Test;
use MIME::Base64 qw(encode_base64);
use Test::More;
use Time::HiRes qw(time);

# how the receiver behaves => [jobs, how the deliveries end, attempts of each]
my %PLAN = (
    ok     => [300, 'sent',   1],
    busy   => [16,  'sent',   2],
    flaky  => [16,  'sent',   3],
    slow   => [4,   'sent',   1],
    flood  => [4,   'sent',   1],
    refuse => [40,  'failed', 7],
    error  => [24,  'failed', 7],
    redirect => [40, 'failed', 7],
    drop   => [24,  'failed', 7],
    half   => [8,   'failed', 7],
    stall  => [8,   'failed', 7],
    gone   => [16,  'failed', 1],
);
my @CLIENTS = map { "client$_" } 1 .. 4;

my $dir = workspace();
my $state = "$dir/state";
my $pg = Matte::Postgres->start($dir);
$pg->psql('ALTER DATABASE matte SET matte.backoff_scale = 0.00005');
my $receiver = Matte::Receiver->start($dir);
my $secret = '5a' x 32;

sub engine {
    my ($name) = @_;
    return Matte::Engine->start($dir,
        name         => $name,
        fake         => 1,
        database     => $pg->conninfo('matte_engine'),
        state        => $state,
        egress_allow => '127.0.0.0/8:' . $receiver->port,
        extra        => {engine_id => $name, poll => '50ms', webhook_timeout => '500ms', public_url => 'https://video.example.com',
                         link_secret => "k1:$secret"});
}

$pg->admin_key($_, credits => 100_000) for @CLIENTS;

# Makes jobs that start and end in one transaction each, so that no engine takes them: [client, URL, end].
my $made = 0;
sub make {
    my (@jobs) = @_;
    my $sql = <<'END';
CREATE TABLE IF NOT EXISTS made (id uuid, client text, url text, ends text);
CREATE OR REPLACE PROCEDURE make_job(p_client text, p_url text, p_end text, p_n int) LANGUAGE plpgsql SET search_path = matte AS $$
DECLARE
  v_id uuid := gen_random_uuid();
  c    claim;
BEGIN
  INSERT INTO public.made VALUES (v_id, p_client, p_url, p_end);
  INSERT INTO job (id, tenant_id, api_key_id, model, output_format, video_url, webhook_url, metadata, request_id, traceparent)
    SELECT v_id, k.tenant_id, k.id, 'human', 'webm', 'http://example.com/v.mp4', p_url, json_build_object('n', p_n, 'text', 'ä" \'),
           'req-' || p_n, format('00-%s-%s-01', lpad(to_hex(p_n), 32, '0'), lpad(to_hex(p_n), 16, '0'))
      FROM api_key k JOIN tenant t ON t.id = k.tenant_id WHERE t.client_id = p_client;
  PERFORM job_enqueue(v_id);
  IF p_end = 'cancelled' THEN
    UPDATE job SET status = 'cancelled', finished_at = clock_timestamp() WHERE id = v_id;
    RETURN;
  END IF;
  SELECT * INTO STRICT c FROM job_claim('test', '1 min');
  ASSERT c.id = v_id;
  PERFORM job_hold(v_id, 1, 1000, 1);
  IF p_end = 'failed' THEN
    PERFORM job_fail(v_id, 1, 'fetch_4xx', 'It is not there.', false);
  ELSE
    PERFORM job_complete(v_id, 1, 1000, format('%s/%s/1.webm', c.tenant_id, v_id), 5, sha256('video'), 64, 48, 1, NULL);
  END IF;
END $$;
END
    $pg->psql($sql . join '', map { sprintf "CALL make_job('%s', '%s', '%s', %d);\n", @$_, ++$made } @jobs);
    return;
}

# Everything of the outbox, in the order of the jobs' events.
sub outbox {
    return map { decode_json($_) } split /\n/, $pg->psql(<<'END');
SELECT row_to_json(x) FROM (
  SELECT w.id, w.job_id AS job, w.event, w.state, w.attempts, w.last_status, w.last_error, m.client, w.url,
         extract(epoch FROM w.done_at) AS done,
         (SELECT count(*) FROM matte.webhook_attempt a WHERE a.delivery_id = w.id) AS recorded
    FROM matte.webhook_delivery w JOIN made m ON m.id = w.job_id ORDER BY w.job_id, w.seq) x
END
}

sub waiting { return $pg->psql("SELECT count(*) FROM matte.webhook_delivery WHERE state = 'pending'") + 0 }

# ---- the thousand ------------------------------------------------------------------------------------------------

my $from = time;
my $steady = engine('steady');
my $dying = engine('dying');
my %secrets = map { $_ => [$steady->secret($_)] } @CLIENTS;     # of a client, all that are valid
$pg->psql("SELECT matte.webhook_secret_rotate('client4')");
unshift @{$secrets{client4}}, $steady->secret('client4');
my @jobs = map { my $how = $_; map { [$CLIENTS[$_ % @CLIENTS], $receiver->url($how, "$how/$_"),
                                      $how eq 'ok' && $_ % 5 == 0 ? 'failed' : 'completed'] } 1 .. $PLAN{$how}[0] } sort keys %PLAN;
my @mixed = map { $jobs[$_ * 7 % @jobs] } 0 .. $#jobs;       # 7 and 500 have no common factor
make(splice @mixed, 0, @mixed / 2);
my $kills = 0;
for (1 .. 3) {
    wait_for { $dying->events('webhook') } 20, 'the dying engine to send';
    $dying->kill9;
    $kills++;
    $dying = engine('dying');
}
make(@mixed);
$pg->restart('immediate');
wait_for { $dying->events('webhook') } 20, 'the dying engine to send';
$dying->kill9;
$kills++;
wait_for { !waiting() } 80, 'every delivery to end', 0.25;
my $took = time - $from;
my @all = outbox();
my @requests = $receiver->requests;
my %requests;       # by webhook-id
push @{$requests{$_->{headers}{'webhook-id'}}}, $_ for @requests;

subtest 'each ends as the rules say' => sub {
    is scalar(@all), 1000, 'two events a job';
    for my $how (sort keys %PLAN) {
        my ($jobs, $end, $attempts) = @{$PLAN{$how}};
        my @of = grep { $_->{url} =~ m{/$how/} } @all;
        is scalar(@of), 2 * $jobs, $how;
        is scalar(grep { $_->{state} ne $end } @of), 0, "$how: $end";
        # an attempt that was killed is counted and has no row; what came of it is another attempt
        my $few = $how eq 'gone' ? 0 : $attempts;
        is_deeply [grep { $_->{attempts} < $few || $_->{attempts} > $attempts + $kills + 1 } @of], [], "$how: $attempts attempts";
    }
    my @gone = grep { $_->{url} =~ m{/gone/} && $_->{event} ne 'job.started' } @all;
    is_deeply [grep { $_->{attempts} || $requests{$_->{id}} } @gone], [], 'nothing is sent after 410';
    is_deeply [grep { $_->{path} eq 'stolen' } @requests], [], 'no redirect is followed';
    my @early = grep { my ($first, $second) = @{$requests{$_->{id}}}[0, 1]; $second->{at} - $first->{at} < 1 && $first->{status} == 429 }
                grep { $_->{url} =~ m{/busy/} } @all;
    is_deeply \@early, [], 'Retry-After is waited for';
    is $pg->psql('SELECT * FROM matte.violation'), '', 'no invariant was broken';
};

subtest 'in the order of the job' => sub {
    my $wrong = 0;
    for my $i (1 .. $#all) {
        my ($before, $after) = @all[$i - 1, $i];
        next if $before->{job} ne $after->{job};
        my ($last)  = max map { $_->{at} } @{$requests{$before->{id}} // [{at => 0}]};
        my ($first) = min map { $_->{at} } @{$requests{$after->{id}} // [{at => 9e9}]};
        $wrong++ if $first <= $last;
    }
    is $wrong, 0;
};

my $lost = 0;
subtest 'once' => sub {
    my $again = 0;
    for my $delivery (grep { $_->{state} eq 'sent' } @all) {
        my @good = grep { ($_->{status} // 0) =~ /^2/ } @{$requests{$delivery->{id}} // []};
        $lost++ if !@good;
        is scalar(grep { $_->{at} > $delivery->{done} } @{$requests{$delivery->{id}}}), 0, 'after its success was recorded'
            if grep { $_->{at} > $delivery->{done} } @{$requests{$delivery->{id}}};
        $again += @good - 1 if @good;
    }
    $lost += waiting();
    is $lost, 0, 'nothing is lost';
    cmp_ok $again, '<=', 32 * ($kills + 1), "and only what was killed between sending and recording came twice: $again";
};

# ---- the verifiers -----------------------------------------------------------------------------------------------

my $unverified = 0;
subtest 'both signatures' => sub {
    my %client = map { $_->{id} => $_->{client} } @all;
    my @secrets = map { $secrets{$client{$_->{headers}{'webhook-id'}}} } @requests;
    # what a verifier must refuse, so that it is known to look
    my $good = $requests[0];
    my @forged = ({%$good, body => "$good->{body} "}, {%$good, headers => {%{$good->{headers}}, 'webhook-id' => 'x'}},
                  {%$good, headers => {%{$good->{headers}}, 'webhook-timestamp' => $good->{headers}{'webhook-timestamp'} - 600}});
    my @lines;
    for my $i (0 .. $#requests) {
        push @lines, map { [$i, $requests[$i], $_] } @{$secrets[$i]};
    }
    push @lines, map { [-1, $_, $secrets[0][0]] } @forged;
    spew("$dir/verify.in", join '', map { encode_json({secret => $_->[2], headers => $_->[1]{headers},
                                                       body => encode_base64($_->[1]{body}, '')}) . "\n" } @lines);
    local $ENV{NODE_PATH} = cache() . '/node_modules';
    my ($status, $text) = command('sh', '-c', "node @{[root()]}/t/peer/standardwebhooks.js <$dir/verify.in");
    is $status, 0, "Standard Webhooks' own verifier runs";
    my @said = split /\n/, $text;
    is scalar(@said), scalar(@lines) or diag($text);
    my @bad = grep { ($said[$_] eq 'ok') != ($lines[$_][0] >= 0) } 0 .. $#lines;
    is scalar(@bad), 0, 'it accepts each request by each valid secret, and no forgery' or diag($said[$bad[0]], explain $lines[$bad[0]]);
    $unverified += grep { $lines[$_][0] >= 0 } @bad;

    my $documented = sub {
        my ($request, $secret) = @_;
        my $headers = $request->{headers};
        return $headers->{'x-webhook-signature'}
            eq 'sha256=' . hmac_sha256_hex("$headers->{'x-webhook-timestamp'}.$request->{body}", $secret);
    };
    my @wrong = grep { !$documented->($requests[$_], $secrets[$_][0]) } 0 .. $#requests;
    is scalar(@wrong), 0, 'the documented signature, by the newest secret';
    is scalar(grep { $documented->($_, $secrets[0][0]) } {%$good, body => "$good->{body} "}), 0, 'and no forgery';
    $unverified += @wrong;
};

subtest 'what is sent' => sub {
    my %event = map { $_->{id} => $_ } @all;
    my @wrong = grep {
        my ($headers, $body) = ($_->{headers}, decode_json($_->{body}));
        my $delivery = $event{$headers->{'webhook-id'}};
        my $n = $body->{data}{metadata}{n};
        $headers->{'x-webhook-event'} ne $delivery->{event} || $headers->{'x-webhook-delivery-id'} ne $delivery->{id}
            || $body->{event} ne $delivery->{event} || $body->{type} ne $delivery->{event}
            || $body->{data}{id} ne $delivery->{job} || $body->{data}{metadata}{text} ne "\x{e4}\" \\"
            || $headers->{'content-type'} ne 'application/json' || $headers->{'x-request-id'} ne "req-$n"
            || $headers->{traceparent} ne sprintf('00-%032x-%016x-01', $n, $n)
            || $headers->{'x-webhook-timestamp'} !~ /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
            || defined $body->{data}{output_url} != ($delivery->{event} eq 'job.completed')
    } @requests;
    is scalar(@wrong), 0, 'headers and body' or diag(explain $wrong[0]);
    my ($started) = grep { $_->{headers}{'x-webhook-event'} eq 'job.started' } @requests;
    is decode_json($started->{body})->{data}{status}, 'processing', 'the job as it was then';
    my ($slowest) = sort { @$b <=> @$a } values %requests;
    is scalar(keys %{{map { $_->{headers}{'x-webhook-signature'} => 1 } @$slowest}}), scalar(@$slowest),
        'each attempt has a time and a signature of its own';
};

subtest 'the link is one that NGINX takes' => sub {
    my ($done) = grep { $_->{headers}{'x-webhook-event'} eq 'job.completed' } @requests;
    my $job = decode_json($done->{body})->{data};
    my ($link, $path) = $job->{output_url} =~ m{^https://video\.example\.com(/files/(.*/)1\.webm\?.*)$} or die $job->{output_url};
    my $nginx = Matte::Nginx->start($dir, database => $pg->conninfo('matte_api'), state => $state, secret => "k1:$secret");
    make_path("$state/outputs/$path");
    spew("$state/outputs/${path}1.webm", 'video');
    my $get = sub { my $answer = HTTP::Tiny->new->get($nginx->url . $_[0]); return "$answer->{status} $answer->{content}" };
    is $get->($link), '200 video', 'the output';
    like $get->($link =~ s/exp=\d/exp=9/r), qr/^404 /, 'and no other time';
    $nginx->stop;
};

subtest 'the log' => sub {
    my ($line) = grep { $_->{state} eq 'sent' } $steady->events('webhook');
    my ($delivery) = grep { $_->{id} eq $line->{delivery_id} } @all;
    is_deeply [@$line{qw(job_id webhook status)}], [$delivery->{job}, $delivery->{event}, $delivery->{last_status}], 'a line an attempt';
    my ($n) = $line->{request_id} =~ /^req-(\d+)$/;
    is $line->{trace_id}, sprintf('%032x', $n), 'with the ids of the request';
    unlike slurp($steady->log), qr/whsec_|sig=|$secret/, 'and no secret';
};

# ---- where they do not go, and again ----------------------------------------------------------------------------

subtest 'redelivery' => sub {
    my ($delivery) = grep { $_->{state} eq 'sent' && $_->{url} =~ m{/ok/} } @all;
    my $before = @{$requests{$delivery->{id}}};
    is $pg->psql("SET search_path = matte; SELECT webhook_redeliver('$delivery->{id}')"), 't';
    wait_for { !waiting() } 10, 'the redelivery';
    my @now = grep { $_->{headers}{'webhook-id'} eq $delivery->{id} } $receiver->requests;
    is scalar(@now), $before + 1, 'is sent once more, under its id';
    is $now[-1]{body} =~ s/exp=.*//sr, $now[0]{body} =~ s/exp=.*//sr, 'and says the same, with a fresh link';
};

subtest 'addresses that are not reached' => sub {
    my $canary = Matte::Origin->start($dir, root => $dir, name => 'canary');
    my ($c, $r) = ($canary->port, $receiver->port);
    my @denied = ("http://127.0.0.1:$c/", "http://localhost:$c/", "http://0x7f.1:$c/", "http://[::1]:$r/", 'http://10.0.0.1/',
                  'http://169.254.169.254/latest/', "https://127.0.0.1:$c/", "http://127.0.0.3:22/");
    my @malformed = ("http://user:pass\@127.0.0.3:$r/ok/x", "http://127.0.0.3:$r\@127.0.0.1:$c/");
    make(map { ['client1', $_, 'cancelled'] } @denied, @malformed);
    wait_for { !waiting() } 30, 'the refusals';
    my %end = map { $_->{url} => "$_->{state}: " . ($_->{last_error} // '') } outbox();
    like $end{$_}, qr/^failed: This service does not connect to the address of \S+\.$/, $_ for @denied;
    is $end{$_}, 'failed: The URL is not one that is sent to.', $_ for @malformed;
    is_deeply [$canary->hits], [], 'the canary heard nothing';
    is scalar(grep { $_->{path} =~ /x$/ } $receiver->requests), 0;
};

# ---- the sender --------------------------------------------------------------------------------------------------

# A job whose one delivery has reached a receiver that does not answer: its path.
sub stalled {
    my ($path) = @_;
    make(['client1', $receiver->url('stall', $path), 'cancelled']);
    wait_for { $receiver->heard($path) } 10, $path;
    return;
}

# What the log of a delivery comes to.
sub attempts {
    my ($path, $sum) = @_;
    return $pg->psql("SELECT $sum FROM matte.webhook_attempt a JOIN matte.webhook_delivery w ON w.id = a.delivery_id
                       WHERE w.url LIKE '%/$path'");
}

sub sockets { my ($pid) = @_; return grep { /^socket/ } map { readlink // '' } glob "/proc/$pid/fd/*"; }

subtest 'the sender dies' => sub {
    my ($sender) = grep { grep { /eventpoll/ } map { readlink // '' } glob "/proc/$_/fd/*" } $steady->workers;
    ok $sender, 'a process of its own' or return;
    my %shared = map { $_ => 1 } sockets($steady->pid);
    is scalar(grep { $shared{$_} } sockets($sender)), 0, 'without the connection to the database';
    stalled('dies');
    kill 'KILL', $sender;
    wait_for { $steady->events('sender_ended') } 5, 'its end';
    is attempts('dies', "bool_or(error = 'The sender ended early (signal 9).')"), 't', 'what was under way has failed';
    make(['client2', $receiver->url('ok', 'after'), 'cancelled']);
    ok wait_for { $receiver->heard('after') } 10, 'another sender';
};

subtest 'SIGTERM' => sub {
    wait_for { !waiting() } 30, 'what is left';
    stalled('stops');
    my $asked = time;
    is $steady->stop, 0;
    cmp_ok time - $asked, '<', 5, 'it waits for what is under way';
    is attempts('stops', 'count(*) = max(attempts) AND NOT bool_or(in_flight)'), 't', 'and tells the database';
};

# ---- what the README says ----------------------------------------------------------------------------------------

subtest "the README's way to verify" => sub {
    my ($command) = slurp(root() . '/README.md') =~ /^```bash\n(.*?)^```\n/ms or die 'the README has no bash block';
    my ($request) = grep { $_->{body} !~ /'/ } @requests;
    my ($client) = map { $_->{client} } grep { $_->{id} eq $request->{headers}{'webhook-id'} } @all;
    local $ENV{SECRET} = $secrets{$client}[0];
    local $ENV{TIMESTAMP} = $request->{headers}{'x-webhook-timestamp'};
    spew("$dir/body", $request->{body});
    local $ENV{BODY} = "$dir/body";
    chomp(my $said = run_ok('it runs', 'bash', '-ec', $command));
    is "sha256=$said", $request->{headers}{'x-webhook-signature'}, 'and says what the header says';
};

diag sprintf '%d attempts in %.1f s', sum(map { $_->{attempts} } @all), $took;
print "webhook.deliveries=@{[scalar @all]}\nwebhook.unverified=$unverified\nwebhook.lost=$lost\n";
$pg->stop;
done_testing;
