# Thousands of random calls against a small model of what they must do: every answer, status and balance is compared.
# Then the check of the check: the same with one defect sown into the database; each must be found.
#
#     MATTE_SEED=n prove t/contract_ledger.t        repeats a run: the seed is printed

use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use FindBin;
use JSON::PP qw(decode_json);
use List::Util qw(first max min);
use lib "$FindBin::Bin/lib";
use Matte::Postgres;
use Matte::Test;
use Test::More;

use constant {CALLS => 5000, CALLS_DEFECT => 4000, TRIES_DEFECT => 8, LOOK => 100, ATTEMPTS => 3, ROOM => 4, LONGEST => 60};

my $seed   = $ENV{MATTE_SEED} // int rand 1e9;
my $pg     = Matte::Postgres->start(workspace(), fsync => 0);
my $api    = $pg->session('matte_api');
my $engine = $pg->session('matte_engine');
my $admin  = $pg->session('matte_admin');
my $root   = $pg->session('postgres');
$root->query('SET search_path = matte');
$root->query('CREATE TEMP TABLE billed_past (api_key_id bigint, month date, seconds bigint)');    # of jobs that are gone
$engine->query("SET matte.backoff_scale = '0'");
diag("MATTE_SEED=$seed");

sub sha  { return '\\x' . sha256_hex($_[0]); }
sub pick { return $_[rand @_]; }
sub uuid { return sprintf '%04x%04x-%04x-4%03x-a%03x-%04x%04x%04x',
                  map { int rand $_ } 65536, 65536, 65536, 4096, 4096, 65536, 65536, 65536; }

# ---- the model ---------------------------------------------------------------------------------------------------

my %RATE = (original => 1000, light => 750, pro => 3000, human => 750);
my (%tenant, %key, %job);       # by id; a key knows its tenant and limit, a job all of its row that matters
my (@made, $clock);             # the jobs as they were made; counts creates, starts and ends

sub price { my ($ms, $rate) = @_; return $rate * max(1, int(($ms + 999) / 1000)); }
sub in    { my ($tenant, $status) = @_; return grep { $_->{tenant} eq $tenant && $_->{status} eq $status } @made; }
sub meant { my ($job) = @_; return join '|', map { $_ // '-' } @$job{qw(model format preview)}; }

sub event {
    my ($job, $name) = @_;
    $job->{events}{"$job->{run}$name"} //= 'owed' if $job->{webhook};
    return;
}

# An entry of a tenant that is no grant; the latest comes last.
sub entry {
    my ($job, $type, $amount) = @_;
    push @{$tenant{$job->{tenant}}{entries}}, [$job, "$type $job->{id} $amount"] if $amount > 0;
    return;
}

# Those whose rows may go, the longest over first. What they came to stays in the sums.
sub past {
    return sort { $a->{over} <=> $b->{over} }
           grep { !$_->{gone} && $_->{status} !~ /^(?:pending|processing)$/
                  && ($_->{status} ne 'completed' || $_->{swept} || $_->{deleted})
                  && !grep { $_ eq 'owed' } values %{$_->{events}} } @made;
}

# The end of an attempt or of the job; what was held goes back.
sub leave {
    my ($job, $status, $code) = @_;
    delete @$job{qw(expired)};
    $job->{status} = $status;
    $job->{last} = $code;
    $job->{error} = $status eq 'failed' ? $code : '-';
    return $status if $status eq 'pending';
    $job->{over} = $clock++;
    if ($job->{billing} eq 'held') {
        $job->{billing} = 'released';
        $tenant{$job->{tenant}}{held} -= $job->{held};
        $tenant{$job->{tenant}}{available} += $job->{held};
        entry($job, 'released', $job->{held});
    }
    event($job, "job.$status");
    return $status;
}

# What a cancel does, and a delete first: the engine is asked, or it is over.
sub wish {
    my ($job) = @_;
    $job->{cancel} = 1 if $job->{status} eq 'processing';
    leave($job, 'cancelled', $job->{last}) if $job->{status} =~ /^(?:created|pending)$/;
    return;
}

sub attempt_ended {
    my ($job, $code, $retry) = @_;
    my $again = $retry && $job->{attempt} < ATTEMPTS;
    return leave($job, $job->{cancel} ? 'cancelled' : $again ? 'pending' : 'failed', $code);
}

sub enqueue {
    my ($job) = @_;
    return 'insufficient_credits' if $tenant{$job->{tenant}}{available} <= 0;
    return 'rate_limited' if in($job->{tenant}, 'pending') >= $key{$job->{key}}{limit};
    %$job = (%$job, status => 'pending', run => $job->{run} + 1, attempt => 0, rate => $RATE{$job->{model}},
             queued => $clock++, started => meant($job), billing => '-', held => 0, charged => 0, cancel => 0,
             error => '-', last => '');
    return 'ok';
}

# The stored answer's outcome, or undef for a new request.
sub seen {
    my ($tenant, $idem, $route, $payload) = @_;
    my $old = defined $idem && $tenant{$tenant}{idem}{$idem} or return;
    return $old->[0] eq "$route $payload" ? "replay $old->[1]" : 'idempotency_mismatch';
}

sub remember {
    my ($tenant, $idem, $route, $payload, $answer) = @_;
    $tenant{$tenant}{idem}{$idem} = ["$route $payload", $answer] if defined $idem;
    return;
}

# The job when $lease is its own and it runs.
sub leased {
    my ($job, $lease) = @_;
    return $job->{status} eq 'processing' && $job->{lease} == $lease;
}

# ---- one call each: what was called, what was said, what must be said --------------------------------------------

sub said {
    my ($session, @call) = @_;
    my $said = eval { scalar $session->call(@call) };
    return $1 if $@ =~ /(ERROR: \w+)/;
    die $@ if $@;
    return $said // 'NULL' unless ref $said;
    return join ' ', grep { defined } $said->{outcome}, $said->{outcome} eq 'replay' ? $said->{body} : ();
}

sub any_job { my @here = grep { !$_->{gone} } @made; return pick(@here && rand() < 0.9 ? @here : @made); }
sub job_in  { my ($states) = @_; my @in = grep { !$_->{gone} && $_->{status} =~ $states } @made;
              return @in && rand() < 0.8 ? pick(@in) : any_job(); }
sub mine    { my ($job, $key) = @_; return $job->{tenant} eq $key{$key}{tenant}; }
sub known   { my ($job, $key) = @_; return mine($job, $key) && !$job->{gone}; }
sub shown   { my ($job, $key) = @_; return known($job, $key) && !$job->{deleted}; }
sub at_work { return job_in(qr/^processing$/); }
sub a_key   { my ($job) = @_; return pick(grep { rand() < 0.3 || $key{$_}{tenant} eq $job->{tenant} } sort keys %key); }
sub lease   { my ($job) = @_; return $job->{lease} - (rand() < 0.15); }
sub idem    { return rand() < 0.5 ? undef : 'i' . int rand 40; }

my %call = (
    create => sub {
        my ($key, $id, $idem, $payload) = (pick(sort keys %key), uuid(), idem(), pick('a', 'b'));
        my $tenant = $key{$key}{tenant};
        my $job = {id => $id, tenant => $tenant, key => $key, status => 'created', run => 0, attempt => 0, lease => 0, over => $clock++,
                   model => pick(sort keys %RATE), format => pick(qw(webm mov)), preview => pick(undef, 1, 2),
                   webhook => pick(undef, 'http://h'), billing => '-', held => 0, charged => 0, cancel => 0,
                   error => '-', last => '', events => {}};
        my $start = rand() < 0.7;
        my $must = seen($tenant, $idem, 'create', $payload);
        if (!$must) {
            $must = $start ? enqueue($job) : 'ok';
            if ($must eq 'ok') {
                push @made, $job{$id} = $job;
                remember($tenant, $idem, 'create', $payload, $id);
            }
        }
        my $options = defined $job->{preview} ? "{\"preview_duration\":$job->{preview}}" : '{}';
        return ("create $id", $must, said($api, 'api_create', $key, $idem, sha($payload), $id, @$job{qw(model format)},
                'http://v', $job->{webhook}, $options, undef, $start ? 't' : 'f', 'r', 200, $id));
    },
    start => sub {
        my ($job, $idem, $payload) = (job_in(qr/^(?:created|failed)$/), idem(), pick('a', 'b'));
        my $key = a_key($job);
        my %new = (model => pick(undef, undef, sort keys %RATE), format => pick(undef, undef, qw(webm mov)),
                   preview => pick(undef, undef, 1, 2));
        my $tenant = $key{$key}{tenant};
        my $must = !shown($job, $key) ? 'not_found' : seen($tenant, $idem, "start $job->{id}", $payload);
        if (!$must) {
            my $merged = {%$job, map { $_ => $new{$_} } grep { defined $new{$_} } keys %new};
            if ($job->{status} =~ /^(?:created|failed)$/) {
                %$job = %$merged if ($must = enqueue($merged)) eq 'ok';
            }
            else { $must = ($job->{started} // '') eq meant($merged) ? 'ok' : 'job_already_started'; }
            remember($tenant, $idem, "start $job->{id}", $payload, 'started') if $must eq 'ok';
        }
        my $options = defined $new{preview} ? "{\"preview_duration\":$new{preview}}" : undef;
        return ("start $job->{id}", $must, said($api, 'api_start', $key, $idem, sha($payload), $job->{id},
                @new{qw(model format)}, undef, $options, 200, 'started'));
    },
    cancel => sub {
        my $job  = pick(any_job(), at_work());
        my $key  = a_key($job);
        my $must = shown($job, $key) ? 'ok' : 'not_found';
        wish($job) if $must eq 'ok';
        return ("cancel $job->{id}", $must, said($api, 'api_cancel', $key, $job->{id}));
    },
    delete => sub {
        my $job  = pick(any_job(), at_work());
        my $key  = a_key($job);
        my $must = known($job, $key) ? 'ok' : 'not_found';
        if (shown($job, $key)) {
            wish($job);
            $job->{deleted} = 1;
        }
        return ("delete $job->{id}", $must, said($api, 'api_delete', $key, $job->{id}));
    },
    list => sub {
        my $key  = pick(sort keys %key);
        my $must = grep { shown($_, $key) } @made;
        my ($row) = $api->call('api_list', $key, undef, 1, 0, undef);
        return ('list', $must, $row->{total});
    },
    usage => sub {                        # all is of today, or of a few seconds around midnight
        my $key  = pick(sort keys %key);
        my @jobs = grep { mine($_, $key) } @made;
        my $ours = $tenant{$key{$key}{tenant}};
        my $said = decode_json($api->call('api_usage', $key, undef, 2)->{body});
        return ('usage',
                join('/', scalar @jobs, (map { my $s = $_; scalar grep { $_->{status} eq $s } @jobs } qw(completed failed)),
                     $ours->{spent} / 1000, $ours->{available} / 1000),
                join('/', @$said{qw(total_jobs completed_jobs failed_jobs credits_used balance)}));
    },
    events => sub {                       # in thousandths, as the model counts
        my $key  = pick(sort keys %key);
        my ($last) = map { $_->[1] } grep { !$_->[0]{gone} } reverse(@{$tenant{$key{$key}{tenant}}{entries}}), [{}, 'none'];
        my ($said) = @{decode_json($api->call('api_events', $key, undef, 1)->{body})->{items}};
        return ('events', $last, $said ? join(' ', @$said{qw(type job_id)}, 1000 * $said->{credits}) : 'none');
    },
    get => sub {
        my $job = any_job();
        my $key = a_key($job);
        return ("get $job->{id}", shown($job, $key) ? 'ok' : 'not_found',
                said($api, 'api_get', $key, undef, $job->{id}));
    },
    download => sub {
        my ($job, $key) = (any_job(), pick(undef, sort keys %key));
        my $must = grep({ $job->{$_} } qw(deleted swept gone)) || defined $key && !mine($job, $key) ? 'not_found'
                 : $job->{status} eq 'completed' ? 'ok' : 'job_not_completed';
        return ("download $job->{id}", $must, said($api, 'api_download', $key, $job->{id}));
    },
    claim => sub {                        # which tenant is next is the database's choice; which of its jobs is not
        my $ttl = pick('0 s', '20 s', '20 s');
        my %due;
        for my $tenant (keys %tenant) {
            next if in($tenant, 'processing') >= ROOM;
            my ($next) = sort { $a->{queued} <=> $b->{queued} } in($tenant, 'pending');
            $due{$next->{id}} = 1 if $next;
        }
        my $said = said($engine, 'job_claim', 'e1', $ttl);
        return ('claim', join('|', sort keys %due) || 'NULL', $said) unless $due{$said};
        my $job = $job{$said};
        %$job = (%$job, status => 'processing', attempt => $job->{attempt} + 1, lease => $job->{lease} + 1,
                 expired => $ttl eq '0 s');
        event($job, 'job.started') if $job->{attempt} == 1;
        return ("claim $said", $said, $said);
    },
    heartbeat => sub {
        my ($job, $done) = (at_work(), int rand 100);
        my $lease = lease($job);
        my $must = leased($job, $lease) ? $job->{cancel} ? 't' : 'f' : 'NULL';
        $job->{expired} = 0 if $must ne 'NULL';
        return ("heartbeat $job->{id}", $must, said($engine, 'job_heartbeat', $job->{id}, $lease, '20 s', $done));
    },
    hold => sub {
        my ($job, $ms) = (at_work(), int rand(rand() < 0.1 ? 80_000 : 20_000));
        my ($lease, $must) = (lease($job), 'NULL');
        if (leased($job, $lease)) {
            my ($tenant, $amount) = ($tenant{$job->{tenant}}, price($ms, $job->{rate}));
            $must = $job->{billing} eq 'held' ? 'held' : $ms > 1000 * LONGEST ? 'too_long'
                  : $tenant->{available} < $amount ? 'insufficient_credits' : 'new';
            if ($must eq 'new') {
                @$job{qw(billing held)} = ('held', $amount);
                $tenant->{available} -= $amount;
                $tenant->{held} += $amount;
                entry($job, 'held', $amount);
                $must = 'held';
            }
            elsif ($must ne 'held') { attempt_ended($job, $must, 0); }
        }
        return ("hold $job->{id} $ms ms", $must, said($engine, 'job_hold', $job->{id}, $lease, $ms, 100));
    },
    complete => sub {
        my ($job, $ms) = (at_work(), int rand 25_000);
        my ($lease, $must) = (lease($job), 'NULL');
        if (leased($job, $lease)) {
            $must = 'ERROR: 23514';                                  # no completion without a hold
            if ($job->{billing} eq 'held') {
                my $tenant = $tenant{$job->{tenant}};
                my $charge = min($job->{held}, price($ms, $job->{rate}));
                @$job{qw(billing charged)} = ('charged', $charge);
                $tenant->{held} -= $job->{held};
                $tenant->{available} += $job->{held} - $charge;
                $tenant->{spent} += $charge;
                entry($job, 'charged', $charge);
                entry($job, 'released', $job->{held} - $charge);
                leave($job, 'completed', $job->{last});
                $must = 't';
            }
        }
        return ("complete $job->{id} $ms ms", $must, said($engine, 'job_complete', $job->{id}, $lease, $ms,
                "$job->{tenant}/$job->{id}/$job->{lease}.webm", 1, sha(''), 1, 1, 1, '[]'));
    },
    fail => sub {
        my ($job, $code, $retry) = (at_work(), pick(qw(decode_error fetch_5xx url_denied)), pick('t', 't', 'f'));
        my ($lease, $must) = (lease($job), 'NULL');
        $must = attempt_ended($job, $code, $retry eq 't' && !($code eq 'decode_error' && $job->{last} eq $code))
            if leased($job, $lease);
        return ("fail $job->{id} $code", $must, said($engine, 'job_fail', $job->{id}, $lease, $code, 'x', $retry));
    },
    release => sub {
        my $job = at_work();
        my ($lease, $must) = (lease($job), 'NULL');
        if (leased($job, $lease)) {
            $job->{attempt}--;
            $must = leave($job, $job->{cancel} ? 'cancelled' : 'pending', 'released');
        }
        return ("release $job->{id}", $must, said($engine, 'job_release', $job->{id}, $lease));
    },
    reap => sub {
        my @lost = sort { $a->{tenant} cmp $b->{tenant} || $a->{id} cmp $b->{id} } grep { $_->{expired} } @made;
        splice @lost, 2 if @lost > 2;
        attempt_ended($_, 'engine_lost', 1) for @lost;
        return ('reap', scalar @lost, said($engine, 'job_reap', 2));
    },
    tell => sub {                         # which deliveries are next is the database's choice; that they are owed is not
        my (@must, @said);
        for my $due ($engine->query("SELECT id, attempt, job_id, event FROM matte.webhook_claim(false, 3, '20 s')")) {
            my ($id, $attempt, $job, $event) = @$due;
            my $events = $job{$job}{events};
            my $owed = first { $events->{"$_$event"} && $events->{"$_$event"} eq 'owed' } 0 .. $job{$job}{run};
            $events->{"$owed$event"} = 'sent' if defined $owed;
            push @must, defined $owed ? 'sent' : "no $event of $job";
            push @said, said($engine, 'webhook_done', $id, $attempt, 200, undef, 1, undef);
        }
        return ('tell', "@must", "@said");
    },
    outputs => sub {                      # of whatever is completed the time is over
        $_->{swept} = 1 for grep { $_->{status} eq 'completed' && !$_->{deleted} } @made;
        $engine->call('sweep_due', '1 day', '0 s', 1000);
        return ('outputs', '', '');
    },
    sweep => sub {
        my @past = past();
        splice @past, 2 if @past > 2;
        $_->{gone} = 1 for @past;
        $root->query('INSERT INTO billed_past SELECT api_key_id, month_of(started_at), billed_seconds(j) FROM job j WHERE id IN ('
                     . join(', ', map { "'$_->{id}'" } @past) . ')') if @past;
        return ('sweep', scalar @past, said($engine, 'sweep_jobs', '0 s', 2));
    },
    grant => sub {
        my $tenant  = pick(sort keys %tenant);
        my $credits = pick(-10, 10, 20, 30, -$tenant{$tenant}{available} / 1000);
        my $rest = $tenant{$tenant}{available} + 1000 * $credits;
        $tenant{$tenant}{available} = $rest if $rest >= 0;
        return ("grant $credits", $rest >= 0 ? $rest / 1000 : 'ERROR: 23514',
                said($admin, 'credit_grant', $tenant{$tenant}{client}, $credits, undef));
    });
my %OFTEN = (create => 6, start => 2, claim => 8, hold => 6, complete => 3, fail => 3, heartbeat => 3, reap => 2, tell => 2);
my @MIX = map { ($_) x ($OFTEN{$_} // 1) } sort keys %call;

# ---- a run -------------------------------------------------------------------------------------------------------

# The model's rows and the database's, in one form.
sub rows_of_model {
    return join "\n", sort(
        (map { join ' ', 'tenant', $_, balance($_) } keys %tenant),
        (map { my $j = $_; join ' ', 'job', @$j{qw(id status billing run attempt lease held charged error)},
               sort keys %{$j->{events}} } grep { !$_->{gone} } @made));
}

sub balance {
    my ($id) = @_;
    return (@{$tenant{$id}}{qw(available held spent)}, scalar in($id, 'pending'), scalar in($id, 'processing'));
}

sub rows_of_database {
    return join "\n", sort map { $_->[0] } $root->query(<<'END');
SELECT concat_ws(' ', 'tenant', a.tenant_id, available, held, spent, pending, processing)
  FROM credit_account a JOIN tenant_slot s ON s.tenant_id = a.tenant_id
UNION ALL
SELECT concat_ws(' ', 'job', id, status, coalesce(billing_status::text, '-'), run_no, attempt, lease_no,
                 coalesce(held_mc, 0), coalesce(charged_mc, 0), coalesce(error_code, '-'),
                 (SELECT string_agg(run_no || event, ' ' ORDER BY (run_no || event) COLLATE "C")
                    FROM webhook_delivery w WHERE w.job_id = j.id))
  FROM job j
END
}

# '' or the first difference, as a sentence.
sub run {
    my ($calls, $try) = @_;
    srand $seed + ($try // 0);
    $root->query('SET client_min_messages = error; TRUNCATE tenant, billed_past CASCADE');
    (%tenant, %key, %job, @made) = ();
    $clock = 0;
    for my $client (qw(a b c)) {
        my @hash = map { sha($pg->admin_key($client, credits => 100)) } 1, 2;
        my $id = $root->value("SELECT id FROM tenant WHERE client_id = '$client'");
        $tenant{$id} = {client => $client, available => 100_000, held => 0, spent => 0, idem => {}, entries => []};
        $key{$_} = {tenant => $id, limit => 5} for @hash;
    }
    $root->query('UPDATE api_key SET max_pending = 5, max_video_seconds = ' . LONGEST);
    my %heard;
    for my $n (1 .. $calls) {
        my $name = @made ? pick(@MIX) : 'create';
        my ($what, $must, $said) = $call{$name}->();
        $heard{$name}{$said =~ s/^replay\K.*|^\w{8}-.*|^-?[\d.]+$//r || 'one'}++;
        return "call $n, $what: $said, not $must" if $said ne $must;
        next if $n % LOOK && $n < $calls;
        my ($model, $database) = (rows_of_model(), rows_of_database());
        next if $model eq $database;
        my %seen = map { $_ => 1 } split /\n/, $database;
        return "after call $n, the model has: " . first { !$seen{$_} } split(/\n/, $model), 'less';
    }
    my @violations = map { "@$_" } $root->query('SELECT what, "which" FROM violation');
    return "violation: $violations[0]" if @violations;
    my ($month) = $root->query(<<'END');
SELECT api_key_id, seconds, billed
  FROM api_key_month m
  FULL JOIN (SELECT api_key_id, month, sum(seconds) AS billed
               FROM (SELECT api_key_id, month_of(started_at) AS month, billed_seconds(j) AS seconds FROM job j
                     UNION ALL SELECT * FROM billed_past) j
              WHERE seconds > 0 GROUP BY 1, 2) b USING (api_key_id, month)
 WHERE coalesce(seconds, 0) <> coalesce(billed, 0)
END
    return "the month of key $month->[0] has not the seconds of its jobs" if $month;
    for my $name (sort keys %heard) {
        note("$name: ", join ', ', map { "$_ $heard{$name}{$_}" } sort keys %{$heard{$name}});
    }
    return '';
}

my $mismatch = run(CALLS);
is($mismatch, '', CALLS . ' calls agree with the model');
print "ledger.calls=@{[CALLS]}\nledger.mismatches=@{[$mismatch ne '' || 0]}\n";

# ---- defects -----------------------------------------------------------------------------------------------------

my %source;
for my $file (glob(root() . '/sql/*.sql')) {
    my $text = slurp($file);
    $source{$1} = $& while $text =~ /^CREATE FUNCTION (\w+)\(.*?(?:\$\$;|END \$\$;|^RETURN [^;]*;)$/gms;
}

# Replaces a function by its text with one change; the change must be one.
sub sow {
    my ($function, $from, $to) = @_;
    my $text = $source{$function} =~ s/^CREATE FUNCTION/CREATE OR REPLACE FUNCTION/r;
    my $bad  = $text =~ s/\Q$from\E/$to/r;
    die "no \"$from\" in $function" if $bad eq $text;
    $root->query($bad =~ s/;\z//r);
    return $text =~ s/;\z//r;
}

my $fence = 'AND lease_no = p_lease ';
for my $defect (
    ['a completion fenced by status alone', 'job_complete',  $fence, ''],
    ['a heartbeat fenced by status alone',  'job_heartbeat', $fence, ''],
    ['a hold fenced by status alone',       'job_hold',      $fence, ''],
    ['a failure fenced by status alone',    'job_fail',      $fence, ''],
    ['a release fenced by status alone',    'job_release',   $fence, ''],
    ['a hold placed twice',                 'job_hold',      "j.billing_status = 'held'", 'false'],
    ['a failure that keeps the hold',       'job_after',     "ELSIF NEW.status IN ('failed', ", 'ELSIF NEW.status IN ('],
    ['a charge beyond the hold',            'job_complete',  ', held_mc)', ')'],
    ['one attempt too many',                'job_unlease',   'j.attempt < ', 'j.attempt <= '],
    ['a second decode error tried again',   'job_fail',      "p_code = 'decode_error'", 'false'],
    ['a wish to cancel forgotten',          'job_unlease',   'j.cancel_requested_at IS NOT NULL', 'false'],
    ['a release that spends an attempt',    'job_release',   'attempt - 1', 'attempt'],
    ["another tenant's job started",        'api_start',     ' AND tenant_id = a.tenant_id', ''],
    ["another tenant's job cancelled",      'api_cancel',    ' AND tenant_id = a.tenant_id', ''],
    ["another tenant's job shown",          'api_get',       ' AND j.tenant_id = coalesce(p_tenant, a.tenant_id)', ''],
    ["another tenant's job deleted",        'api_delete',    ' AND tenant_id = a.tenant_id AND deleted_at', ' AND deleted_at'],
    ['a deleted job shown',                 'api_get',       ' AND j.deleted_at IS NULL', ''],
    ['a month that gives nothing back',     'job_month',     'ELSIF v_delta < 0', 'ELSIF false'],
    ['usage that counts holds',             'api_usage',     "kind = 'capture' AND", "kind = 'hold' AND"],
    ['a job swept that owes a webhook',     'sweep_jobs',    "d.state = 'pending')\n     ORDER", "false)\n     ORDER"],
    ['a job swept whose output is kept',    'sweep_jobs',    'output_removed_at IS NOT NULL', 'true'],
    ['jobs swept that are not counted',     'job_gone',      'sum(failed)', '0'],
    ['jobs swept whose charge is lost',     'job_gone',      'sum(charged)', '0'],
    ['a replay for another payload',        'idem_begin',    "PERFORM refuse('idempotency_mismatch')", 'NULL'],
    ['a full queue that takes more',        'job_enqueue',   "PERFORM refuse('rate_limited', 10)", 'NULL'],
    ['a start without credits',             'job_enqueue',   "PERFORM refuse('insufficient_credits')", 'NULL']) {
    my ($name, @change) = @$defect;
    my $mend  = sow(@change);
    my $found = '';
    $found ||= run(CALLS_DEFECT, $_) for 1 .. TRIES_DEFECT;     # what it takes, such as two like failures in a row, can be rare
    isnt($found, '', "found: $name") and note($found);
    $root->query($mend);
}
is(run(LOOK), '', 'without them all is well');
done_testing;
