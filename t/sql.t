# The database alone, as the module, the engine and the operator call it: every outcome of every function, every
# constraint, every transition, who may call what, and two at once.

use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use File::Copy qw(copy);
use FindBin;
use JSON::PP qw(decode_json);
use lib "$FindBin::Bin/lib";
use Matte::Postgres;
use Matte::Test;
use Test::More;

my $pg     = Matte::Postgres->start(workspace(), fsync => 0);
my $api    = $pg->session('matte_api');
my $engine = $pg->session('matte_engine');
my $admin  = $pg->session('matte_admin');
my $root   = $pg->session('postgres');
$root->query('SET search_path = matte');
$engine->query("SET matte.backoff_scale = '0'");

# ---- words of these tests ----------------------------------------------------------------------------------------

sub sha  { return '\\x' . sha256_hex($_[0]); }
sub uuid { return $root->value('SELECT gen_random_uuid()'); }

# How the server refuses a statement: SQLSTATE and constraint, MTYES when it does not. What it did is undone.
$root->query(<<'END');
CREATE FUNCTION pg_temp.refusal(p_sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE v_name text;
BEGIN
  EXECUTE p_sql;
  RAISE EXCEPTION USING ERRCODE = 'MTYES';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS v_name = CONSTRAINT_NAME;
  RETURN trim(SQLSTATE || ' ' || v_name);
END $$
END
sub refusal { return $root->value('SELECT pg_temp.refusal(' . $root->literal($_[0]) . ')'); }

# A key as the module sends it. Four clients: acme has two keys, other and poor (without credits) one each.
my %key     = map { $_ => sha($pg->admin_key($_ =~ s/\d//r, credits => /poor/ ? 0 : 100)) } qw(acme acme2 other poor);
my %tenant  = map { $_->[0] => $_->[1] } $root->query('SELECT client_id, id FROM tenant');
my $unknown = sha('mt_live_000000_unknown');

# Creates a job of acme's with what is given, the rest usual; returns the answer.
sub create {
    my (%with) = @_;
    my %of = (key => 'acme', idem => undef, payload => 'payload', id => uuid(), model => 'original', format => 'webm',
              video => 'https://example.com/v.mp4', webhook => 'https://example.com/hook', options => '{}',
              metadata => undef, start => 't', request => 'r-1', answer => '{"id":"made"}', %with);
    return scalar $api->call('api_create', $key{$of{key}} // $of{key}, $of{idem}, sha($of{payload}),
                             @of{qw(id model format video webhook options metadata start request)}, 200, $of{answer});
}

sub start {
    my ($job, %with) = @_;
    my %of = (key => 'acme', payload => '{}', answer => '{"id":"started"}', %with);
    return scalar $api->call('api_start', $key{$of{key}} // $of{key}, $of{idem}, sha($of{payload}), $job,
                             @of{qw(model format webhook options)}, 200, $of{answer});
}

sub get    { my ($job, $key) = @_; return scalar $api->call('api_get', $key{$key // 'acme'}, undef, $job); }
sub body   { return decode_json(get(@_)->{body}); }
sub column { my ($job, $column) = @_; return $root->value("SELECT $column FROM job WHERE id = '$job'"); }
sub credits {
    my ($client) = @_;
    return $root->value('SELECT concat_ws(\'/\', available, held, spent) FROM credit_account WHERE tenant_id = '
                        . "'$tenant{$client // 'acme'}'");
}

# What is due is claimed by $engine: the claim as a hash, undef when there is none.
my @CLAIM = qw(id tenant_id lease_no attempt max_attempts model output_format video_url input_path background
               image_url canvas_width canvas_height anchor scale offset_x offset_y alpha preview_ms max_ms text_prompt
               request_id trace_id);
sub claim {
    my ($session, $ttl) = @_;
    my ($row) = ($session // $engine)->query(sprintf "SELECT * FROM matte.job_claim('e1', '%s')", $ttl // '20 s');
    my %claim;
    @claim{@CLAIM} = @$row if $row;
    return $row && \%claim;
}

sub complete {
    my ($claim, $ms, %with) = @_;
    my %of = (key => "$claim->{tenant_id}/$claim->{id}/$claim->{lease_no}.webm", %with);
    return $engine->call('job_complete', $claim->{id}, $of{lease} // $claim->{lease_no}, $ms, $of{key}, 4096,
                         sha('out'), 1920, 1080, 250, $of{warnings}, $of{alpha}, $of{alpha} && sha('alpha'));
}

sub fail_job {
    my ($claim, $code, $retry) = @_;
    return $engine->call('job_fail', $claim->{id}, $claim->{lease_no}, $code, "It was $code.", $retry);
}

# A job of acme's that has come to $status, created with what is given; returns its id.
sub job_in {
    my ($status, %with) = @_;
    my $job = create(start => $status eq 'created' ? 'f' : 't', %with)->{job_id};
    return $job if $status =~ /^(?:created|pending)$/;
    if ($status eq 'cancelled') { $api->call('api_cancel', $key{acme}, $job); return $job; }
    my $claim = claim();
    is($claim->{id}, $job, "the job on its way to $status is claimed") or BAIL_OUT('another job was due');
    $engine->call('job_hold', $job, $claim->{lease_no}, 1000, 25);
    complete($claim, 1000) if $status eq 'completed';
    fail_job($claim, 'fetch_4xx', 'f') if $status eq 'failed';
    return $job;
}

# Ends everything that is not at its end, so that the next part starts with an empty queue.
sub clear {
    $root->query("UPDATE job SET status = 'cancelled', finished_at = now(), engine_id = NULL, lease_expires_at = NULL
                   WHERE status IN ('created', 'pending', 'processing')");
    return;
}

sub violations { return join "\n", map { "@$_" } $root->query('SELECT what, "which" FROM violation'); }

# ---- migrations --------------------------------------------------------------------------------------------------

subtest 'migrations' => sub {
    my $copy = workspace() . '/sql';
    mkdir $copy;
    copy($_, $copy) for glob(root() . '/sql/*.sql');
    copy(root() . '/sql/migrate', $copy);
    chmod 0755, "$copy/migrate";
    my @files = map { m{([^/]+)$} } glob("$copy/*.sql");
    my $applied = sub { join ' ', map { $_->[0] } $root->query('SELECT name FROM migration ORDER BY number') };

    is($applied->(), "@files", 'every file was applied');
    is($pg->migrate($copy), '', 'a second run does nothing');

    spew("$copy/900_new.sql", "CREATE TABLE matte.fresh (x int);\n");
    is($pg->migrate($copy), '900_new.sql', 'a new file is applied');
    is($applied->(), "@files 900_new.sql", 'and recorded');

    spew("$copy/901_broken.sql", "CREATE TABLE matte.half (x int);\nSELECT 1 / 0;\n");
    ok(!eval { $pg->migrate($copy) }, 'a file that fails is an error');
    like($@, qr/division by zero/, 'which says why');
    is($root->value("SELECT to_regclass('matte.half')"), undef, 'and leaves nothing behind');
    unlink "$copy/901_broken.sql";

    spew("$copy/900_new.sql", "CREATE TABLE matte.fresh (y int);\n");
    ok(!eval { $pg->migrate($copy) }, 'a file that was changed after it was applied is an error');
    like($@, qr/900_new\.sql was changed after it was applied/, 'which names it');
    $root->query('DROP TABLE fresh; DELETE FROM migration WHERE number = 900');

    $pg->psql('CREATE DATABASE twice', 'postgres');
    my @twice = (root() . '/sql/migrate', $pg->conninfo('postgres', 'twice'));
    my @run   = map { spawn(workspace() . '/twice.log', @twice) } 1, 2;
    is_deeply([map { waitpid($_, 0); $? } @run], [0, 0], 'two runs at once wait for each other');
};

# ---- keys --------------------------------------------------------------------------------------------------------

subtest 'keys' => sub {
    my $job  = create()->{job_id};
    my $good = get($job);
    is($good->{outcome}, 'ok', 'a good key');
    is($good->{tenant_id}, $tenant{acme}, 'comes with its tenant');
    like("$good->{key_id} $good->{rate_per_min} $good->{burst}", qr/^\d+ 600 60$/, 'and its limits');
    isnt($root->value("SELECT last_used_at FROM api_key WHERE id = $good->{key_id}"), undef, 'its use is noted');

    my %spoil = (
        'an unknown key'     => ['', '', $unknown],
        'a disabled key'     => ["UPDATE api_key SET disabled_at = now() WHERE id = $good->{key_id}",
                                 "UPDATE api_key SET disabled_at = NULL WHERE id = $good->{key_id}"],
        'an expired key'     => ["UPDATE api_key SET expires_at = now() WHERE id = $good->{key_id}",
                                 "UPDATE api_key SET expires_at = NULL WHERE id = $good->{key_id}"],
        'a suspended tenant' => ["UPDATE tenant SET suspended_at = now() WHERE client_id = 'acme'",
                                 "UPDATE tenant SET suspended_at = NULL WHERE client_id = 'acme'"]);
    for my $name (sort keys %spoil) {
        my ($spoil, $mend, $key) = @{$spoil{$name}};
        $key //= $key{acme};
        $root->query($spoil) if $spoil;
        my @answers = (
            $api->call('api_get', $key, undef, $job),
            $api->call('api_list', $key, undef, 20, 0, undef),
            $api->call('api_download', $key, $job),
            create(key => $key),
            start($job, key => $key),
            $api->call('api_cancel', $key, $job));
        is_deeply([map { $_->{outcome} } @answers], [('invalid_api_key') x 6], "$name: invalid_api_key everywhere");
        is(scalar(grep { defined } map { delete $_->{outcome}; values %$_ } @answers), 0, "$name: and not a word more");
        is($api->call('api_get', undef, $tenant{acme}, $job)->{outcome}, 'ok', "$name: believed if verified");
        $root->query($mend) if $mend;
    }
    is(get($job)->{outcome}, 'ok', 'a mended key is good again');
    is($api->call('api_cancel', $key{acme}, $job)->{status}, 'cancelled', 'and may write');
};

# ---- reading -----------------------------------------------------------------------------------------------------

my @FIELDS = qw(id job_id status progress model output_format error error_code created_at started_at completed_at
                duration_seconds billing_status credits webhook_url webhook_events metadata warnings output
                queue_position request_id);

subtest 'reading' => sub {
    my $job  = create(metadata => '{"z": 1, "a":[1.50,  "\u00e9"]}')->{job_id};
    my $mine = get($job);
    is_deeply([map { $_->[0] } $root->query("SELECT json_object_keys(j) FROM job_json((SELECT job FROM job
               WHERE id = '$job')) j")], \@FIELDS, 'job_json has exactly the fields of the contract, in their order');
    like($mine->{body}, qr/^\{"id":"$job","job_id":"$job","status":"pending",/, 'it is JSON text without blanks');
    like($mine->{body}, qr/"metadata":\{"z": 1, "a":\[1\.50,  "\\u00e9"\]\},/, 'metadata is given back untouched');
    my $body = decode_json($mine->{body});
    like($body->{created_at}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'times are UTC, ISO 8601 with Z');
    is_deeply([@$body{qw(started_at completed_at error output duration_seconds billing_status credits)}], [(undef) x 7],
              'what is not known yet is null');
    is_deeply([@$body{qw(progress webhook_events warnings queue_position)}], [0, {}, [], 1], 'what is empty is empty');

    is(get($job, 'acme2')->{outcome}, 'ok', 'another key of the client sees the job');
    my $bare = {%$mine, map { $_ => undef } qw(key_id tenant_id rate_per_min burst starts_burst scope)};
    is_deeply(scalar $api->call('api_get', undef, $tenant{acme}, $job), $bare, 'for a known tenant: the job, no key');
    is_deeply(scalar $api->call('api_get', $unknown, $tenant{acme}, $job), $bare, 'the key is then ignored');
    is_deeply(get($job, 'other'), get(uuid(), 'other'), "another tenant's job and an unknown one answer alike");
    is(get($job, 'other')->{outcome}, 'not_found', 'not_found');
    is_deeply(scalar $api->call('api_get', undef, $tenant{other}, $job),
              scalar $api->call('api_get', undef, $tenant{other}, uuid()), 'and alike for a known tenant');

    my $second = create()->{job_id};
    is(body($second)->{queue_position}, 2, 'the next job waits behind it');
    my @list = $api->call('api_list', $key{acme2}, undef, 20, 0, 'pending');
    is_deeply([map { $_->{job_id} } @list], [$second, $job], 'the list has the newest first');
    is_deeply([map { $_->{body} } @list], [get($second)->{body}, get($job)->{body}], 'rendered as api_get does');
    is_deeply([map { $_->{total} } @list], [2, 2], 'with the total in every row');
    my @page = $api->call('api_list', undef, $tenant{acme}, 1, 1, 'pending');
    is_deeply([map { [@$_{qw(job_id total key_id)}] } @page], [[$job, 2, undef]], 'a page of it');
    @page = $api->call('api_list', undef, $tenant{acme}, 20, 5, 'pending');
    is_deeply([map { [@$_{qw(outcome body job_id total)}] } @page], [['ok', undef, undef, 2]], 'a page past the end');
    @list = $api->call('api_list', $key{acme}, undef, 100, 0, undef);
    is(scalar(@list), $list[0]{total}, 'without a status: all');
    @list = $api->call('api_list', $key{other}, undef, 20, 0, undef);
    is_deeply([map { [@$_{qw(outcome body total tenant_id)}] } @list], [['ok', undef, 0, $tenant{other}]],
              'another tenant has none');

    my $download = $api->call('api_download', undef, $job);
    is_deeply([@$download{qw(outcome status output_key)}], ['job_not_completed', 'pending', undef], 'no output yet');
    clear();
    my $done = job_in('completed');
    $download = $api->call('api_download', undef, $done);
    is_deeply([@$download{qw(outcome body output_key)}], ['ok', 'webm', "$tenant{acme}/$done/1.webm"],
              'the id is the capability');
    is($api->call('api_download', $key{acme2}, $done)->{outcome}, 'ok', 'a key of the client may be sent');
    is_deeply(scalar $api->call('api_download', $key{other}, $done),
              scalar $api->call('api_download', $key{other}, uuid()), "another tenant's key: as an unknown job");
    is($api->call('api_download', $key{other}, $done)->{outcome}, 'not_found', 'not_found');
    is($api->call('api_download', undef, uuid())->{outcome}, 'not_found', 'an unknown job');
    is(get($done)->{output_key}, "$tenant{acme}/$done/1.webm", 'api_get gives the key of the output to be signed');
    unlike(get($done)->{body}, qr/1\.webm/, 'and not in the body');
};

# ---- create, start, idempotency ----------------------------------------------------------------------------------

subtest 'create and start' => sub {
    my $draft = create(start => 'f');
    is_deeply([@$draft{qw(outcome status code body)}], ['ok', 'created', 200, '{"id":"made"}'], 'a draft');
    is($draft->{tenant_id}, $tenant{acme}, 'the answer carries the key');
    my $job = $draft->{job_id};
    is(start($job, key => 'other')->{outcome}, 'not_found', "another tenant's start");
    is_deeply(start($job, key => 'other'), start(uuid(), key => 'other'), 'as that of an unknown job');

    for my $cannot ([format => 'mp4'], [options => '{"text_prompt":"dog"}']) {
        is(start($job, @$cannot)->{outcome}, 'unsupported_combination', "$cannot->[0] that does not go with the draft's fields");
        is(column($job, 'status'), 'created', 'nothing is started');
    }
    my $started = start($job, key => 'acme2', options => '{"preview_duration":2.5}');
    is_deeply([@$started{qw(outcome status code body total)}], ['ok', 'pending', 200, '{"id":"started"}', undef],
              'started, by the second key');
    my $again = start($job);
    is_deeply([@$again{qw(outcome status total)}], ['ok', 'pending', 1], '{} again: nothing to do');
    is(start($job, options => '{"preview_duration":2.5}')->{total}, 1, 'the same fields again: nothing to do');
    for my $other ([model => 'light'], [format => 'mov'], [webhook => 'https://example.com/2'],
                   [options => '{"preview_duration":3}']) {
        is(start($job, @$other)->{outcome}, 'job_already_started', "another $other->[0]: refused");
    }
    is(column($job, "concat_ws(' ', model, output_format, webhook_url, options)"),
       'original webm https://example.com/hook {"preview_duration": 2.5}', 'and the job is as it was started');

    my $claim = claim();
    is_deeply($claim, {id => $job, tenant_id => $tenant{acme}, lease_no => 1, attempt => 1, max_attempts => 3,
        model => 'original', output_format => 'webm', video_url => 'https://example.com/v.mp4', input_path => undef,
        background => 'transparent', image_url => undef, canvas_width => 0, canvas_height => 0, anchor => 'center',
        scale => 1, offset_x => 0, offset_y => 0, alpha => 'f', preview_ms => 2500, max_ms => 3_600_000, text_prompt => undef,
        request_id => 'r-1',
        trace_id => undef},
        'the claim has what the engine needs');
    is_deeply([@{start($job)}{qw(status total)}], ['processing', 1], 'the same start answers with the present state');
    $engine->call('job_hold', $job, 1, 1000, 25);
    complete($claim, 1000);
    is_deeply([@{start($job)}{qw(outcome status)}], ['ok', 'completed'], 'also at the end');

    $job = create(start => 'f', options => '{"background":{"type":"transparent"},"preview_duration":1}')->{job_id};
    start($job, model => 'light', format => 'mp4', webhook => 'http://h/2',
          options => '{"background":{"type":"color","color":[0,255,16]}}');
    $claim = claim();
    is_deeply([@$claim{qw(model output_format background preview_ms)}], ['light', 'mp4', '#00ff10', 1000],
              'options are merged key by key');
    is(column($job, 'rate_mc_s'), 750, "the price is the model's");
    clear();

    create(options => '{"background":{"type":"image","image_url":"http://i/1.png"},"composition":{"canvas":{"width":300,'
        . '"height":400},"foreground":{"anchor":"top-left","scale":0.5,"offset":{"x":-7,"y":8.5}}}}');
    is_deeply([@{claim()}{qw(image_url canvas_width canvas_height anchor scale offset_x offset_y)}],
              ['http://i/1.png', 300, 400, 'top-left', 0.5, -7, 8.5], 'an image and a composition');
    clear();

    create(model => 'pro', options => '{"text_prompt":"the \\"dog\\""}');
    is(claim()->{text_prompt}, 'the "dog"', 'a prompt');
    clear();

    is(create(key => 'poor')->{outcome}, 'insufficient_credits', 'no credits: no start');
    is($root->value("SELECT count(*) FROM job WHERE tenant_id = '$tenant{poor}'"), 0, 'and no job');
    my $poor = create(key => 'poor', start => 'f');
    is($poor->{outcome}, 'ok', 'a draft needs no credits');
    my $refused = start($poor->{job_id}, key => 'poor', model => 'light');
    is_deeply([@$refused{qw(outcome status)}], ['insufficient_credits', undef], 'its start does');
    is(column($poor->{job_id}, "concat_ws(' ', status, model)"), 'created original', 'and changes nothing');

    $root->query("UPDATE api_key SET max_pending = 2 WHERE tenant_id = '$tenant{acme}'");
    my $held = create(start => 'f')->{job_id};
    is_deeply([map { create()->{outcome} } 1 .. 3], ['ok', 'ok', 'rate_limited'], 'the queue has a limit');
    is(start($held)->{outcome}, 'rate_limited', 'for starts too');
    $root->query("UPDATE api_key SET max_pending = 1000 WHERE tenant_id = '$tenant{acme}'");
    is(start($held)->{outcome}, 'ok', 'the limit gone, it starts');
    clear();

    $job = job_in('failed');
    is_deeply([@{start($job)}{qw(outcome status total)}], ['ok', 'pending', undef], 'a failed job starts again');
    is(column($job, "concat_ws(' ', run_no, attempt, progress, coalesce(error_code, '-'))"), '2 0 0 -', 'as a new run');
    $job = job_in('cancelled');
    is(start($job, model => 'pro')->{outcome}, 'job_already_started', 'a cancelled one does not');
    is($root->refused("SELECT * FROM matte.api_create('$key{acme}', NULL, NULL, '$job', 'original', 'webm', 'http://v',
       NULL, '{}', NULL, true, NULL, 200, '')"), '23505', 'an id twice is an error');
    clear();
};

subtest 'uploads' => sub {
    my $upload = uuid();
    $root->query("INSERT INTO upload (id, tenant_id, filename, bytes) VALUES ('$upload', '$tenant{acme}', 'v.mp4', 9)");
    is(create(key => 'acme2', video => "upload://$upload")->{outcome}, 'ok', "the client's upload");
    is(claim()->{input_path}, "uploads/$tenant{acme}/$upload", 'the engine gets its path');
    is(create(key => 'other', video => "upload://$upload")->{outcome}, 'not_found', "another client's");
    is(create(video => 'upload://' . uuid())->{outcome}, 'not_found', 'an unknown one');
    is(create(video => "upload://$_")->{outcome}, 'not_found', "no id: '$_'")
        for '', '../../etc/passwd', "$upload/..", uc $upload;
    $root->query("UPDATE upload SET deleted_at = now() WHERE id = '$upload'");
    is(create(video => "upload://$upload", idem => 'gone')->{outcome}, 'not_found', 'a deleted one');
    is($root->value("SELECT count(*) FROM idempotency_key WHERE key = 'gone'"), 0, 'and its key is not spent');
    clear();
};

subtest 'idempotency' => sub {
    my $count = sub { $root->value('SELECT count(*) FROM job') };
    my $first = create(idem => 'i1');
    my $jobs  = $count->();
    my $again = create(idem => 'i1', key => 'acme2', answer => '{"id":"another"}');
    is_deeply([@$again{qw(outcome code body)}], ['replay', 200, '{"id":"made"}'], 'a replay, by the other key');
    is($count->(), $jobs, 'makes nothing');
    $api->call('api_answered', $key{acme}, 'i1', '{"id":"processing"}');
    is(create(idem => 'i1')->{body}, '{"id":"processing"}', 'api_answered changed the stored answer');
    is($api->call('api_answered', $key{other}, 'i1', 'x')->{outcome}, 'ok', 'of another client: ok');
    is($api->call('api_answered', $unknown, 'i1', 'x')->{outcome}, 'ok', 'of nobody: ok');
    is(create(idem => 'i1')->{body}, '{"id":"processing"}', 'and it changes nothing');
    is(create(idem => 'i1', payload => 'other')->{outcome}, 'idempotency_mismatch', 'another payload');
    is(start($first->{job_id}, idem => 'i1', payload => 'payload')->{outcome}, 'idempotency_mismatch', 'another route');
    is(create(idem => 'i1', key => 'other')->{outcome}, 'ok', 'the key is free for another client');

    my $job = create(start => 'f')->{job_id};
    is(start($job, idem => 'i2')->{outcome}, 'ok', 'a start with a key');
    is_deeply([@{start($job, idem => 'i2', answer => 'x')}{qw(outcome body)}], ['replay', '{"id":"started"}'], 'again');
    is(start($first->{job_id}, idem => 'i2')->{outcome}, 'idempotency_mismatch', "another job's is another route");

    is(create(key => 'poor', idem => 'i3')->{outcome}, 'insufficient_credits', 'a refusal');
    $admin->call('credit_grant', 'poor', 1, undef);
    is(create(key => 'poor', idem => 'i3')->{outcome}, 'ok', 'does not spend the key');
    $admin->call('credit_grant', 'poor', -1, undef);
    is(create(key => 'poor', idem => 'i3')->{outcome}, 'replay', 'a replay needs no credits');
    $root->query("UPDATE idempotency_key SET created_at = now() - interval '25 hours' WHERE key = 'i1'");
    my $reused = create(idem => 'i1', payload => 'other');
    is($reused->{outcome}, 'ok', 'after 24 hours the key is free');
    is(create(idem => 'i1', payload => 'other')->{outcome}, 'replay', 'and holds again');
    clear();
};

# ---- the engine --------------------------------------------------------------------------------------------------

subtest 'a run' => sub {
    my $before = (split '/', credits())[2];
    my $job    = create()->{job_id};
    my $claim  = claim();
    my $lease  = $claim->{lease_no};
    is(claim(), undef, 'nothing else to claim');
    is(refusal("SELECT job_complete('$job', 1, 9000, '$tenant{acme}/$job/1.webm', 1, NULL, 2, 2, 3, NULL)"),
       '23514 billing_fits_status', 'no completion before the hold');
    my $free = (split '/', credits())[0];
    is($engine->call('job_hold', $job, $lease, 9200, 230), 'held', 'the hold');
    is(credits(), join('/', $free - 10_000, 10_000, $before), '9.2 s cost 10');
    is($engine->call('job_hold', $job, $lease, 9200, 230), 'held', 'twice is one hold');
    is(credits(), join('/', $free - 10_000, 10_000, $before), 'it still costs 10');
    is(body($job)->{credits}, 10, 'the job says so');
    is($engine->call('job_heartbeat', $job, $lease, '20 s', 115), 'f', 'a heartbeat');
    is(body($job)->{progress}, 50, 'progress');
    $engine->call('job_heartbeat', $job, $lease, '20 s', 10);
    is(body($job)->{progress}, 50, 'never goes back');
    $engine->call('job_heartbeat', $job, $lease, '20 s', 230);
    is(body($job)->{progress}, 99, '100 is for completed');
    is($engine->call('job_heartbeat', $job, $lease - 1, '20 s', 1), undef, 'a heartbeat of an old lease');
    is($engine->call('job_hold', $job, $lease - 1, 1, 1), undef, 'a hold of an old lease');
    is($engine->call('job_fail', $job, $lease - 1, 'engine_lost', undef, 't'), undef, 'a failure of an old lease');
    is($engine->call('job_release', $job, $lease - 1), undef, 'a release of an old lease');
    is(complete($claim, 8500, lease => $lease - 1), undef, 'a completion of an old lease');
    is(complete($claim, 8500, warnings => '[{"code":"truncated","message":"Cut."}]'), 't', 'the completion');
    is(credits(), join('/', $free - 9000, 0, $before + 9000), '9 charged, 1 released');
    is(complete($claim, 8500), undef, 'a second completion');
    my $body = body($job);
    is_deeply([@$body{qw(status progress duration_seconds billing_status credits warnings output queue_position)}],
        ['completed', 100, 8.5, 'charged', 9, [{code => 'truncated', message => 'Cut.'}],
         {bytes => 4096, sha256 => sha256_hex('out'), width => 1920, height => 1080, frames => 250,
          alpha_bytes => undef, alpha_sha256 => undef}, undef],
        'the job tells all of it');
    is($api->call('api_cancel', $key{acme}, $job)->{status}, 'completed', 'there is nothing left to cancel');
};

subtest 'failures and retries' => sub {
    my $job   = create()->{job_id};
    my $claim = claim();
    $engine->call('job_hold', $job, 1, 2000, 50);
    my $held = credits();
    is($engine->call('job_fail', $job, 1, 'fetch_5xx', 'x', 't'), 'pending', 'a failure that may pass: pending');
    is(credits(), $held, 'the hold stays');
    is(body($job)->{error}, undef, 'no error yet');
    is($engine->call('job_fail', $job, 1, 'fetch_5xx', 'x', 't'), undef, 'a second failure of that lease');
    is(claim()->{attempt}, 2, 'the second attempt');
    is($engine->call('job_release', $job, 2), 'pending', 'a graceful stop');
    $claim = claim();
    is("$claim->{attempt} $claim->{lease_no}", '2 3', 'gives the attempt back, not the lease number');
    is(fail_job($claim, 'fetch_4xx', 'f'), 'failed', 'a failure that will not pass');
    my $body = body($job);
    is_deeply([@$body{qw(status error error_code billing_status credits)}],
              ['failed', 'It was fetch_4xx.', 'fetch_4xx', 'released', 0], 'the job says why, the hold is released');

    $job = create()->{job_id};
    for my $attempt (1 .. 3) {
        is(claim(undef, '0 s')->{attempt}, $attempt, "attempt $attempt");
        is($engine->call('job_reap', 10), 1, 'its lease ends and it is reaped');
    }
    is(body($job)->{error_code}, 'engine_lost', 'three attempts are all');
    is($engine->call('job_reap', 10), 0, 'nothing else is reaped');

    $job = create()->{job_id};
    is(fail_job(claim(), 'decode_error', 't'), 'pending', 'a decode error');
    is(fail_job(claim(), 'decode_error', 't'), 'failed', 'a second one is the last');

    $job = create()->{job_id};
    $claim = claim();
    is($root->call('job_fail', $job, 1, 'fetch_timeout', 'x', 't'), 'pending', 'without the scale of these tests');
    my $delay = column($job, 'extract(epoch FROM run_after - now())');
    ok($delay > 4 && $delay < 6, "a retry waits about 5 s: $delay");
    is(claim(), undef, 'until then it is not due');
    clear();

    $root->query("UPDATE api_key SET max_video_seconds = 10");
    $job   = create()->{job_id};
    $claim = claim();
    is($claim->{max_ms}, 10_000, "the key's longest video");
    is($engine->call('job_hold', $job, 1, 10_001, 1), 'too_long', 'one longer');
    is(body($job)->{error_code}, 'too_long', 'fails');
    $root->query("UPDATE api_key SET max_video_seconds = 3600");
    $job = create()->{job_id};
    claim();
    my $credits = credits();
    is($engine->call('job_hold', $job, 1, 3_000_000, 1), 'insufficient_credits', 'dearer than the balance');
    is(credits(), $credits, 'costs nothing');
    is(body($job)->{error_code}, 'insufficient_credits', 'fails');
    is(body($job)->{billing_status}, undef, 'with nothing held');
};

subtest 'cancel' => sub {
    my $cancel = sub { my ($job, $key) = @_; scalar $api->call('api_cancel', $key{$key // 'acme'}, $job) };
    my $job = create()->{job_id};
    is_deeply($cancel->($job, 'other'), $cancel->(uuid(), 'other'), "another tenant's job: as an unknown one");
    is($cancel->($job, 'other')->{outcome}, 'not_found', 'not_found');
    my $answer = $cancel->($job);
    is_deeply([@$answer{qw(outcome status)}], ['ok', 'cancelled'], 'while pending: at once');
    is($answer->{body}, get($job)->{body}, 'the answer is the job');
    is($cancel->($job)->{status}, 'cancelled', 'again: the same');
    $job = create(start => 'f')->{job_id};
    is($cancel->($job)->{status}, 'cancelled', 'a draft too');

    for my $end (qw(fail release reap)) {
        $job = create()->{job_id};
        my $claim = claim(undef, $end eq 'reap' ? '0 s' : '20 s');
        $engine->call('job_hold', $job, 1, 5000, 1);
        is($cancel->($job)->{status}, 'processing', 'while processing: a wish');
        if ($end eq 'reap') { is($engine->call('job_reap', 10), 1, 'the reaper grants it'); }
        else {
            is($engine->call('job_heartbeat', $job, 1, '20 s', 1), 't', 'the heartbeat says so');
            my @why = $end eq 'fail' ? ('cancelled', undef, 't') : ();
            is($engine->call("job_$end", $job, 1, @why), 'cancelled', "job_$end grants it");
        }
        is_deeply([@{body($job)}{qw(status billing_status error)}], ['cancelled', 'released', undef], 'released');
    }
};

subtest 'delete' => sub {
    my $delete = sub { my ($job, $key) = @_; scalar $api->call('api_delete', $key{$key // 'acme'}, $job) };
    my $files  = sub { join ' ', map { $_->[0] } $root->query('DELETE FROM removal RETURNING path') };
    my $hidden = sub {
        my ($job) = @_;
        my @list = map { $_->{job_id} // () } $api->call('api_list', $key{acme}, undef, 100, 0, undef);
        return join ' ', map { $_->{outcome} } get($job), start($job), scalar $api->call('api_download', undef, $job),
            scalar $api->call('api_cancel', $key{acme}, $job), scalar $api->call('api_webhooks', $key{acme}, undef, $job),
            {outcome => (grep { $_ eq $job } @list) ? 'listed' : 'not_found'};
    };
    my $gone = join ' ', ('not_found') x 6;
    $files->();
    my $job = create(metadata => '{"a":1}')->{job_id};
    is_deeply($delete->($job, 'other'), $delete->(uuid(), 'other'), "another tenant's job: as an unknown one");
    is($delete->($job, 'other')->{outcome}, 'not_found', 'not_found');
    is_deeply([@{$delete->($job)}{qw(outcome status)}], ['ok', 'cancelled'], 'while pending: cancelled');
    is_deeply([@{$delete->($job)}{qw(outcome status)}], ['ok', 'cancelled'], 'again: the same');
    is($hidden->($job), $gone, 'no route shows it');
    is(column($job, "concat_ws(' ', status, metadata)"), 'cancelled', 'the row stays, without what the client said of it');
    is($files->(), '', 'there was no file');

    my $done = job_in('completed');
    is($delete->($done)->{status}, 'completed', 'a completed one');
    is($files->(), "outputs/$tenant{acme}/$done/1.webm", 'its output goes');
    is($hidden->($done), $gone, 'no route shows it');

    my $upload = uuid();
    $root->query("INSERT INTO upload (id, tenant_id, filename, bytes) VALUES ('$upload', '$tenant{acme}', 'v.mp4', 9)");
    my ($one, $two) = map { create(video => "upload://$upload")->{job_id} } 1, 2;
    my $claim = claim();
    is($claim->{id}, $one, 'one runs');
    is($delete->($two)->{status}, 'cancelled', 'the other is deleted');
    is($files->(), '', 'the upload stays while somebody wants it');
    is($delete->($one)->{status}, 'processing', 'while processing: a wish');
    is($hidden->($one), $gone, 'that no route shows any more');
    is($files->(), '', 'its input is in use');
    is($engine->call('job_hold', $one, 1, 1000, 1), 'held', 'the engine goes on');
    is(complete($claim, 1000), 't', 'and is faster than the wish');
    is_deeply([sort split ' ', $files->()], ["outputs/$tenant{acme}/$one/1.webm", "uploads/$tenant{acme}/$upload"],
              'then both files go');
    is(create(video => "upload://$upload")->{outcome}, 'not_found', 'no new job may name it');
    $root->query("INSERT INTO removal (path) VALUES ('outputs/$tenant{acme}/x')");
    is($engine->call('sweep_due', '1 day', '1 day', 10), "outputs/$tenant{acme}/x", 'an engine learns of it');
    is($engine->call('sweep_done', "outputs/$tenant{acme}/x"), 1, 'and strikes it out');
    is($engine->call('sweep_due', '1 day', '1 day', 10), undef, 'for all');
    is(violations(), '', 'no violation');
};

subtest 'uploads' => sub {
    my ($room) = $api->call('api_upload_begin', $key{acme});
    is($room->{outcome}, 'ok');
    is($api->call('api_upload_begin', sha('wrong'))->{outcome}, 'invalid_api_key', 'a wrong key');
    my $store = sub { my ($id, $bytes, $key) = @_; return $api->call('api_upload', $key // $key{acme}, $id, 'v.mp4', $bytes,
                                                                     '\\x' . 'ab' x 32)->{outcome} };
    my $id = uuid();
    is($store->($id, 1000), 'ok', 'stored');
    is($store->(uuid(), 1000, sha('wrong')), 'invalid_api_key', 'not with a wrong key');
    is($api->call('api_upload_begin', $key{acme})->{total}, $room->{total} - 1000, 'there is less room');
    $root->query("UPDATE tenant SET max_upload_bytes = max_upload_bytes - $room->{total} + 2000 WHERE id = '$tenant{acme}'");
    is($store->(uuid(), 1001), 'too_large', 'more than there is room');
    is($store->(uuid(), 1000), 'ok', 'all of it');
    is($api->call('api_upload_begin', $key{acme})->{total}, 0, 'no room');
    $root->query('UPDATE tenant SET max_upload_bytes = DEFAULT');
};

subtest 'retention' => sub {
    $root->query('DELETE FROM removal');
    $root->query('DELETE FROM upload');
    my $due  = sub { my ($uploads, $outputs) = @_; return $engine->call('sweep_due', $uploads // '1 day', $outputs // '1 day', 10) // '' };
    my $file = sub { my ($age) = @_; my $id = uuid(); $root->query("INSERT INTO upload (id, tenant_id, filename, bytes, created_at)
                     VALUES ('$id', '$tenant{acme}', 'v.mp4', 9, now() - interval '$age')"); return $id };
    my $name = sub { "uploads/$tenant{acme}/$_[0]" };
    my ($young, $old) = map { $file->($_) } '23 hours', '25 hours';
    is($due->(), $name->($old), 'an upload has its time');
    is($due->(), $name->($old), 'and is due until it is removed');
    is($engine->call('sweep_done', $name->($old)), 1);
    is($due->(), '', 'once');

    my $used = $file->('25 hours');
    my $job = create(video => "upload://$used")->{job_id};
    is($due->(), '', 'one that a job waits for stays');
    my $claim = claim();
    is($claim->{id}, $job, 'claimed');
    is($due->(), '', 'or works with');
    is($engine->call('job_fail', $job, 1, 'decode_error', 'x', 'f'), 'failed');
    is($due->(), '', 'and for its time after the end: a failed job may be started again');
    $root->query("UPDATE job SET finished_at = now() - interval '25 hours' WHERE id = '$job'");
    is($due->(), $name->($used), 'then it goes');
    is(start($job)->{outcome}, 'not_found', 'and the job cannot be started again');
    my $draft = $file->('25 hours');
    my $first = create(video => "upload://$draft", start => 'f')->{job_id};
    is($due->(), $name->($used), 'a draft holds it');
    $root->query("UPDATE job SET created_at = now() - interval '25 hours' WHERE id = '$first'");
    is_deeply([sort split /\n/, $due->()], [sort map { $name->($_) } $used, $draft], 'as long as a job that ended');
    $engine->call('sweep_done', join "\n", map { $name->($_) } $used, $draft);

    # whoever makes a job of an upload holds it until the job can be seen
    my $held = $file->('25 hours');
    my $other = $pg->session('matte_api');
    $other->query('BEGIN');
    my $new = uuid();
    is($other->call('api_create', $key{acme}, undef, undef, $new, 'human', 'webm', "upload://$held", undef, '{}', undef, 'f',
                    undef, 201, '{}')->{outcome}, 'ok', 'a job that is being made');
    is($due->(), '', 'its upload is left alone');
    $other->query('COMMIT');
    is($due->(), '', 'as when it is made');
    $root->query("UPDATE job SET status = 'cancelled', finished_at = now() WHERE id = '$new'");

    my $done = job_in('completed');
    my $key = column($done, 'output_key');
    is($due->(), '', 'an output has its time');
    $root->query("UPDATE job SET finished_at = now() - interval '25 hours' WHERE id = '$done'");
    is($due->(), "outputs/$key", 'then it goes');
    my $answer = get($done);
    is_deeply([@$answer{qw(outcome status output_key)}], ['ok', 'completed', undef], 'the job stays, without it');
    is($api->call('api_download', undef, $done)->{outcome}, 'not_found', 'there is nothing to download');
    is($engine->call('sweep_done', "outputs/$key"), 1);

    my $with = create(options => '{"alpha":true}')->{job_id};
    my $of_alpha = claim();
    is_deeply([@$of_alpha{qw(id alpha)}], [$with, 't'], 'a job whose alpha is wanted, too');
    $engine->call('job_hold', $with, 1, 1000, 25);
    is(complete($of_alpha, 1000, alpha => 77), 't', 'completed');
    my ($whole, $alpha) = ("$tenant{acme}/$with/1.webm", "$tenant{acme}/$with/1.alpha.mp4");
    is_deeply([@{get($with)}{qw(output_key alpha_key)}], [$whole, $alpha], 'both have keys');
    is_deeply([@{body($with)->{output}}{qw(bytes alpha_bytes alpha_sha256)}], [4096, 77, substr sha('alpha'), 2],
              'and are counted');
    is($engine->call('sweep_unclaimed', "outputs/$whole\noutputs/$alpha\noutputs/$alpha.part"), undef, 'neither is an orphan');
    $root->query("UPDATE job SET finished_at = now() - interval '25 hours' WHERE id = '$with'");
    is(join(' ', sort split /\n/, $due->()), "outputs/$alpha outputs/$whole", 'both go together');
    is_deeply([@{get($with)}{qw(output_key alpha_key)}], [undef, undef], 'and are named no more');
    is($engine->call('sweep_unclaimed', "outputs/$alpha"), "outputs/$alpha", 'then it is nobody\'s');
    is($engine->call('sweep_done', "outputs/$alpha\noutputs/$whole"), 2);

    my ($here) = map { $_->[0] } $root->query("SELECT output_key FROM job WHERE id = '" . job_in('completed') . "'");
    my $unclaimed = sub { join ' ', sort split /\n/, $engine->call('sweep_unclaimed', join "\n", @_) // '' };
    is($unclaimed->("outputs/$here", $name->($young)), '', 'what a row claims is not an orphan');
    my $attempt = "outputs/$here" =~ s{/1.webm}{/7.webm}r;
    my $stranger = 'uploads/' . uuid() . '/' . uuid();
    is($unclaimed->($attempt, "outputs/$here", $stranger, "outputs/$key"), join(' ', sort $attempt, $stranger, "outputs/$key"),
       'what none does is: another attempt, an upload without a row, an output that had its time');
    is($unclaimed->($name->($young) =~ s/^uploads/outputs/r, "outputs/$here.part", 'outputs/x', 'tmp/x', '../x', ''), '',
       'other names are nobody\'s to remove');

    $root->query("DELETE FROM idempotency_key WHERE created_at < now() - interval '24 hours'");
    $root->query("INSERT INTO idempotency_key (tenant_id, key, route, body_sha256, created_at)
                  SELECT '$tenant{acme}', 'age' || n, 'x', 'x', now() - n * interval '9 hours' FROM generate_series(1, 5) n");
    my $count = sub { $root->value("SELECT count(*) FROM idempotency_key WHERE key LIKE 'age%'") };
    is($engine->call('sweep_rows', '1 day', 2), 2, 'rows go in steps');
    is($engine->call('sweep_rows', '1 day', 2), 1, 'until the last');
    is($count->(), 2, 'requests are known for 24 hours');
    $root->query("UPDATE upload SET deleted_at = now() - interval '25 hours' WHERE id = '$old'");
    is($engine->call('sweep_rows', '1 day', 2), 1, 'an upload that is long gone');
    is($root->value("SELECT count(*) FROM upload WHERE id = '$old'"), 0);
    is(violations(), '', 'no violation');
    $root->query("DELETE FROM idempotency_key WHERE key LIKE 'age%'");
};

subtest 'scopes' => sub {
    my ($id) = map { $_->[0] } $root->query("SELECT id FROM api_key WHERE key_hash = '$key{acme}'");
    my $job   = create(start => 'f')->{job_id};
    my %calls = (
        read  => sub { map { scalar $api->call(@$_) } ['api_get', $key{acme}, undef, $job], ['api_download', $key{acme}, $job],
                       ['api_list', $key{acme}, undef, 1, 0, undef], ['api_usage', $key{acme}, undef, 7],
                       ['api_events', $key{acme}, undef, 1], ['api_webhooks', $key{acme}, undef, $job] },
        write => sub { create(), start($job), map { scalar $api->call(@$_) } ['api_redeliver', $key{acme}, $job, $job],
                       ['api_cancel', $key{acme}, $job], ['api_delete', $key{acme}, uuid()] });
    for my $scope (qw(read write)) {
        $root->query("UPDATE api_key SET scope = '$scope' WHERE id = $id");
        for my $kind (qw(read write)) {
            my @outcomes = map { $_->{outcome} } $calls{$kind}->();
            my @forbidden = grep { $_ eq 'forbidden' } @outcomes;
            is(@forbidden, $kind eq $scope ? 0 : @outcomes, "scope $scope: a $kind") or diag("@outcomes");
        }
    }
    $root->query("UPDATE api_key SET scope = 'read write' WHERE id = $id");
    is(get($job)->{scope}, 'read write', 'the answer carries the scope');
    clear();
};

subtest 'the month of a key' => sub {
    my $used = sub { $root->value("SELECT coalesce(sum(seconds), 0) FROM api_key_month m JOIN api_key k
                                     ON k.id = m.api_key_id WHERE k.key_hash = '$key{acme}'") };
    my $limit = sub { $root->query("UPDATE api_key SET max_month_seconds = $_[0] WHERE key_hash = '$key{acme}'") };
    my $before = $used->();
    my $job = create()->{job_id};
    my $claim = claim();
    $engine->call('job_hold', $job, 1, 4200, 1);
    is($used->() - $before, 5, 'what is held counts');
    complete($claim, 2100);
    is($used->() - $before, 3, 'in the end what was charged');
    $job = create()->{job_id};
    claim();
    $engine->call('job_hold', $job, 1, 4200, 1);
    $engine->call('job_fail', $job, 1, 'fetch_4xx', 'x', 'f');
    is($used->() - $before, 3, 'a failure does not count');
    $limit->($used->() + 2);
    $job = create()->{job_id};
    claim();
    is($engine->call('job_hold', $job, 1, 2100, 1), 'quota_exceeded', 'a hold beyond the limit');
    is(column($job, "concat_ws(' ', status, error_code, billing_status)"), 'failed quota_exceeded', 'fails the job');
    $job = create()->{job_id};
    claim();
    is($engine->call('job_hold', $job, 1, 1900, 1), 'held', 'one up to it is held');
    my $refused = create();
    is($refused->{outcome}, 'rate_limited', 'then no job starts');
    my $left = $root->value("SELECT ceil(extract(epoch FROM (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month')
                             AT TIME ZONE 'UTC' - now()))");
    cmp_ok(abs($refused->{total} - $left), '<=', 5, 'until the next month');
    $limit->('NULL');
    is(create()->{outcome}, 'ok', 'the limit gone, it starts');
    $engine->call('job_fail', $job, 1, 'fetch_4xx', 'x', 'f');
    clear();
    is(violations(), '', 'no violation');
};

subtest 'usage' => sub {
    my $key = sha($pg->admin_key('user', credits => 100));
    local $key{user} = $key;
    my $none = decode_json($api->call('api_usage', $key, undef, 2)->{body});
    is_deeply([@$none{qw(total_jobs completed_jobs failed_jobs credits_used balance)}], [0, 0, 0, 0, 100], 'nothing yet');
    is_deeply([map { $_->{total_jobs} } @{$none->{daily}}], [0, 0], 'a row a day');
    is_deeply(decode_json($api->call('api_events', $key, undef, 20)->{body}), {items => []}, 'no event');
    my ($done, $failed, $old) = map { create(key => 'user')->{job_id} } 1 .. 3;
    my $claim = claim();
    $engine->call('job_hold', $done, 1, 5000, 1);
    complete($claim, 3000);
    fail_job(claim(), 'fetch_4xx', 'f');
    $root->query("UPDATE job SET created_at = created_at - interval '3 days' WHERE id = '$old'");
    my $usage = decode_json($api->call('api_usage', $key, undef, 2)->{body});
    is_deeply([@$usage{qw(total_jobs completed_jobs failed_jobs credits_used balance)}], [2, 1, 1, 3, 97], 'the sums');
    is_deeply($usage->{daily}[1], {date => $root->value("SELECT (now() AT TIME ZONE 'UTC')::date"), total_jobs => 2,
              completed_jobs => 1, failed_jobs => 1, credits_used => 3}, 'the day');
    is(decode_json($api->call('api_usage', $key, undef, 90)->{body})->{total_jobs}, 3, 'more days, more jobs');
    my $events = decode_json($api->call('api_events', undef, $root->value("SELECT id FROM tenant WHERE client_id = 'user'"),
                                        20)->{body})->{items};
    is_deeply([map { [@$_{qw(type credits job_id)}] } @$events], [['released', 2, $done], ['charged', 3, $done],
              ['held', 5, $done]], 'the events, newest first');
    is(scalar @{decode_json($api->call('api_events', $key, undef, 1)->{body})->{items}}, 1, 'limit');
    is_deeply(decode_json($api->call('api_pricing')->{body}), {model_pricing_credits_per_minute =>
              {original => 60, light => 45, pro => 180, human => 45}}, 'the prices');
    clear();
};

subtest 'a backlog' => sub {
    $root->query(<<"END");
SET session_replication_role = replica;                -- no triggers: 20,000 jobs of a client that may run none
INSERT INTO job (id, tenant_id, api_key_id, status, model, output_format, video_url, rate_mc_s, run_no, pending_at)
  SELECT gen_random_uuid(), '$tenant{other}', 1, 'pending', 'light', 'webm', 'http://v', 1, 1, now()
    FROM generate_series(1, 20000);
UPDATE tenant_slot SET max_processing = 0, pending = 20000 WHERE tenant_id = '$tenant{other}';
SET session_replication_role = origin;
ANALYZE job
END
    my $job = create()->{job_id};
    my $reads = sub { my ($row) = $engine->query("SELECT pg_stat_get_xact_tuples_returned('matte.job'::regclass),
                                                         pg_stat_get_xact_tuples_returned('matte.job_ready'::regclass)"); $row };
    $engine->query('BEGIN');
    my $before = $reads->();                            # of earlier transactions that were not reported yet
    is(claim()->{id}, $job, 'a claim passes over a backlog');
    is($engine->call('sweep_jobs', '1 day', 10), 0, 'as does the sweep');
    my $after = $reads->();
    $engine->query('COMMIT');
    my ($rows, $entries) = map { $after->[$_] - $before->[$_] } 0, 1;
    is($rows, 0, 'and neither scans the table for it');
    cmp_ok($entries, '<', 1000, "nor its index: $entries entries read, dead ones among them");
    $root->query("SET session_replication_role = replica; DELETE FROM job WHERE run_no = 1 AND rate_mc_s = 1;
                  UPDATE tenant_slot SET max_processing = 4, pending = 0 WHERE tenant_id = '$tenant{other}';
                  SET session_replication_role = origin");
    clear();
};

subtest 'fairness' => sub {
    my @acme = map { create()->{job_id} } 1 .. 6;
    my $other = create(key => 'other')->{job_id};
    my @first = map { claim()->{tenant_id} } 1, 2;
    is(scalar(grep { $_ eq $tenant{other} } @first), 1, 'a client with one job does not wait behind six');
    my @more;
    while (my $claim = claim()) { push @more, $claim; }
    is(scalar(@more), 3, 'a client has at most four in work');
    clear();
};

# ---- webhooks ----------------------------------------------------------------------------------------------------

# What is due to endpoints that do not fail (or do), claimed for a minute: a hash each.
my @WEBHOOK = qw(id attempt job event url at data output_key alpha_key secrets request_id);
sub due {
    my ($failing, $max) = @_;
    return map { my %due; @due{@WEBHOOK} = @$_; \%due }
        $engine->query(sprintf "SELECT * FROM matte.webhook_claim(%s, %d, '60 s')", $failing ? 'true' : 'false', $max // 20);
}

sub heard {
    my ($due, $status, $retry_after) = @_;
    return $engine->call('webhook_done', @$due{qw(id attempt)}, $status, $status ? undef : 'No answer.', 12, $retry_after);
}

sub delivery { my ($due, $column) = @_; return $root->value("SELECT $column FROM webhook_delivery WHERE id = '$due->{id}'"); }
sub endpoint { my ($host, $column) = @_; return $root->value("SELECT $column FROM webhook_endpoint WHERE origin = 'https://$host'"); }

# As if every delay under way had passed.
sub hurry {
    $root->query("UPDATE webhook_delivery SET next_attempt_at = now() WHERE next_attempt_at > now()");
    $root->query("UPDATE webhook_endpoint SET paused_until = '-infinity', wake_at = now() WHERE wake_at IS NOT NULL");
    return;
}

# Everything that waits is over; no endpoint fails.
sub quiet {
    clear();
    $root->query("UPDATE webhook_delivery SET state = 'sent', in_flight = false, done_at = now() WHERE state = 'pending'");
    $root->query("UPDATE webhook_endpoint SET wake_at = NULL, failures = 0, failing_since = NULL, paused_until = '-infinity'");
    return;
}

sub events { return $root->value("SELECT string_agg(run_no || event, ' ' ORDER BY seq) FROM webhook_delivery WHERE job_id = '$_[0]'"); }

# The events of a job that is over, at a host.
sub events_at { my ($host, $status) = @_; return job_in($status // 'completed', webhook => "https://$host/hook?a=1"); }

subtest 'webhooks: which, in which order' => sub {
    quiet();
    my $done  = job_in('completed');
    my $again = job_in('failed');
    start($again);
    my $claim = claim();
    $engine->call('job_hold', $again, $claim->{lease_no}, 1000, 1);
    $engine->call('job_release', $again, $claim->{lease_no});
    $claim = claim();
    complete($claim, 1000);
    is(events($again), '1job.started 1job.failed 2job.started 2job.completed', 'each run has its events once');
    my $draft = job_in('created');
    $api->call('api_cancel', $key{acme}, $draft);
    is(events($draft), '0job.cancelled', 'a draft has one');
    is(events(create(webhook => undef)->{job_id}), undef, 'no webhook, no events');
    quiet();

    $done = events_at('order.example');
    my ($due, @more) = due();
    is("$due->{job} $due->{event} @more", "$done job.started ", 'the first event of the job is due');
    is(scalar(due()), 0, 'claimed is claimed');
    is_deeply([@$due{qw(attempt url output_key request_id)}], [1, 'https://order.example/hook?a=1', undef, 'r-1']);
    is(decode_json($due->{data})->{status}, 'processing', 'with the job as it was');
    like($due->{at}, qr/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    is($due->{secrets}, $engine->call('webhook_secret', 'acme'), "and the id of the client's secret");
    is(heard($due, 200), 'sent', '2xx is sent');
    is(heard($due, 500), undef, 'a second answer is fenced');
    is_deeply([@{body($done)->{webhook_events}{'job.started'}}{qw(state attempts last_status)}], ['sent', 1, 200],
              'the job says so');
    my ($next) = due();
    is("$next->{job} $next->{event}", "$done job.completed", 'then the next event of that job');
    like($next->{output_key}, qr{^\Q$tenant{acme}\E/$done/\d+\.webm$}, 'with its output');
    hurry();
    my ($lost) = due();
    is_deeply([@$lost{qw(id attempt)}], [$next->{id}, 2], 'one of which nothing was heard is claimed again');
    is(heard($next, 200), undef, 'and its first sender is fenced');
    is(heard($lost, 204), 'sent');
    is(violations(), '');
};

subtest 'webhooks: again, and the end' => sub {
    quiet();
    events_at('again.example');
    $engine->query("SET matte.backoff_scale = '1'");
    my ($due) = due();
    my $after = sub { delivery($due, 'extract(epoch FROM next_attempt_at - last_at)') };
    for my $delay (5, 300, 1800, 7200, 18000, 36000) {
        is(heard($due, 302), 'pending', "attempt $due->{attempt}: a redirect is a failure");
        my $wait = $after->();
        ok($wait >= 0.8 * $delay && $wait <= 1.2 * $delay, "again after $delay s +-20 %: $wait");
        is(scalar(due(1)), 0, 'and not before');
        hurry();
        ($due) = due(1);
    }
    is(heard($due, undef), 'failed', 'the seventh is the last');
    is(delivery($due, 'last_error'), 'No answer.');
    is($root->value("SELECT count(*) FROM webhook_attempt WHERE delivery_id = '$due->{id}'"), 7, 'each is in the log');
    hurry();
    ($due) = due(1);
    is($due->{event}, 'job.completed', "then the job's next event is due");
    heard($due, 503, 1000);
    is($after->() + 0, 1000, 'Retry-After, where it is later');
    hurry();
    ($due) = due(1);
    heard($due, 429, 100_000);
    is($after->() + 0, 3600, 'up to an hour');
    $engine->query("SET matte.backoff_scale = '0'");
};

subtest 'webhooks: endpoints that fail' => sub {
    quiet();
    $engine->query("SET matte.backoff_scale = '1'");
    my @at = map { events_at('busy.example') } 1 .. 6;
    my @due = due();
    is(scalar(@due), 4, 'four at a time');
    is(scalar(due()), 0);
    heard(shift @due, 200);
    is(scalar(due()), 1, 'and a place that becomes free is taken');
    heard($due[0], 500);
    hurry();
    is(scalar(due()), 0, 'once it fails it is not among those that do not');
    my ($probe, @more) = due(1);
    ok($probe && !@more, 'but gets one at a time');
    for my $pause (2, 4, 8, 16, 32, 60, 60) {
        heard($probe, 500);
        my $wait = endpoint('busy.example', 'extract(epoch FROM paused_until - clock_timestamp())');
        ok($wait > $pause - 1 && $wait <= $pause, "after a pause of $pause s: $wait");
        is(scalar(due(1)), 0);
        hurry();
        ($probe) = due(1);
    }
    is(heard($probe, 200), 'sent');
    is(endpoint('busy.example', "failures || ' ' || paused_until"), '0 -infinity', 'a success ends it');

    my $gone = events_at('busy.example', 'failed');
    ok(scalar(due()), 'and it is among the others again');
    $root->query("UPDATE webhook_endpoint SET failures = 9, failing_since = now() - interval '73 hours'
                   WHERE origin = 'https://busy.example'");
    hurry();
    ($probe) = due(1);
    is(heard($probe, 500), 'failed', 'after three days without a success');
    is($root->value("SELECT string_agg(DISTINCT state, ' ') FROM webhook_delivery WHERE job_id = '$gone'"), 'failed',
       'what waits fails too');
    $engine->query("SET matte.backoff_scale = '0'");
    is(violations(), '');
};

subtest 'webhooks: 410' => sub {
    quiet();
    my $job = create(webhook => 'https://gone.example/')->{job_id};
    my $claim = claim();
    my ($due) = due();
    is(heard($due, 410), 'failed', '410 is failed');
    fail_job($claim, 'fetch_4xx', 'f');
    is($root->value("SELECT state || ' ' || last_error FROM webhook_delivery WHERE job_id = '$job' AND event = 'job.failed'"),
       'failed The endpoint is gone.', 'and nothing more is sent for this run');
    start($job);
    claim();
    hurry();
    is_deeply([map { $_->{event} } due(1)], ['job.started'], 'a new start asks again');
    quiet();
    events_at('gone.example');
    my ($first) = due();
    heard($first, 410);
    is(events_at('gone.example') && scalar(due(1)), 1, "another job's are sent");
    is($root->value("SELECT string_agg(state, ' ') FROM webhook_delivery WHERE job_id = '$first->{job}'"), 'failed failed',
       'those that waited behind it are not');
    is(violations(), '');
};

subtest 'webhooks: redelivery' => sub {
    quiet();
    events_at('redeliver.example');
    my $redeliver = sub { $root->value("SELECT webhook_redeliver('$_[0]{id}')") };
    my ($due) = due();
    is($redeliver->($due), 't', 'one in flight');
    is(scalar(due()), 0, 'is left alone');
    heard($due, 200);
    my ($second) = due();
    is($redeliver->($due), 't', 'one that was sent');
    my ($again) = due();
    is_deeply([@$again{qw(id attempt data)}], [$due->{id}, 2, $due->{data}], 'is sent again under its id');
    is(heard($again, 500), 'pending', 'and has the rest of the schedule');
    hurry();
    is(heard($_, 200), 'sent') for due(1), due();
    is($redeliver->({id => uuid()}), 'f', 'an unknown one');
    is(violations(), '');
};

subtest 'webhooks: secrets' => sub {
    my $rotate = sub { $admin->call('webhook_secret_rotate', @_); return $engine->call('webhook_secret', $_[0]); };
    my $first = $engine->call('webhook_secret', 'acme');
    ok($first, 'made with the client');
    isnt($engine->call('webhook_secret', 'other'), $first, "each client's own");
    my $second = $rotate->('acme');
    isnt($second, $first, 'a new one');
    my $signs = sub {
        quiet();
        events_at('secrets.example');
        return (due())[0]{secrets};
    };
    is($signs->(), "$second $first", 'both sign, the new one first');
    my $third = $rotate->('acme', '1 hour');
    is($signs->(), "$third $second", 'two at most');
    $root->query("UPDATE webhook_secret SET expires_at = now() WHERE expires_at IS NOT NULL");
    is($signs->(), $third, 'until the older one expires');
    is($engine->refused("SELECT matte.webhook_secret('nobody')"), 'P0002', 'nobody has none');
    is($admin->refused("SELECT matte.webhook_secret_rotate('nobody')"), 'P0002', 'and gets none');
    quiet();
};

subtest "webhooks: the engines' keys" => sub {
    my $known = sub { $root->value("SELECT string_agg(id, ' ' ORDER BY id) FROM webhook_key") };
    for ([a => 't', 'a'], [a => 't', 'a'], [b => 'f', 'a'], ['b,a' => 't', 'a b'], [c => 'f', 'a b'], [b => 't', 'b'],
         ['a' => 'f', 'b'], ['b,b' => 't', 'b']) {
        my ($names, $verdict, $after) = @$_;
        is($engine->call('webhook_keys', "{$names}"), $verdict, "$names: $verdict");
        is($known->(), $after, "then $after");
    }
    $root->query('TRUNCATE webhook_key');
    is($engine->call('webhook_keys', '{c}'), 't', 'any, where the key is given up');
};

subtest 'webhooks: the log, and again' => sub {
    quiet();
    my $job = events_at('log.example');
    my $log = sub { decode_json($api->call('api_webhooks', $key{acme}, undef, $job)->{body})->{items} };
    is_deeply([map { [@$_{qw(event state attempts log)}] } @{$log->()}],
              [['job.started', 'pending', 0, []], ['job.completed', 'pending', 0, []]], 'in order');
    my ($due) = due();
    is($log->()->[0]{next_attempt_at}, undef, 'in flight');
    heard($due, 410);
    my $item = $log->()->[0];
    is_deeply([@$item{qw(id state last_status next_attempt_at)}], [$due->{id}, 'failed', 410, undef], 'a failure');
    is_deeply([map { [@$_{qw(n status)}] } @{$item->{log}}], [[1, 410]], 'and how it came to it');
    for my $other ([$key{other}, $job, $due->{id}], [$key{acme}, uuid(), $due->{id}], [$key{acme}, $job, uuid()]) {
        is($api->call('api_redeliver', @$other)->{outcome}, 'not_found', 'of another job: not_found');
    }
    my $again = $api->call('api_redeliver', $key{acme}, $job, $due->{id});
    is($again->{outcome}, 'ok', 'again');
    is_deeply(decode_json($again->{body}), $log->()->[0], 'the answer is the delivery');
    is($log->()->[0]{state}, 'pending', 'it is due');
    hurry();
    my ($more) = due(1);
    is_deeply([@$more{qw(id attempt)}], [$due->{id}, 2], 'and counts on');
    is(heard($more, 200), 'sent', 'sent');
};

subtest 'retention of jobs' => sub {
    quiet();
    local $key{past} = sha($pg->admin_key('past', credits => 100));
    my $past = $root->value("SELECT id FROM tenant WHERE client_id = 'past'");
    my %with = (key => 'past', webhook => 'https://past.example/hook');
    my ($done, $failed, $draft, $dropped) = map { job_in($_, %with) } qw(completed failed created completed);
    $api->call('api_delete', $key{past}, $dropped);
    my ($running, $waiting) = map { create(%with)->{job_id} } 1, 2;
    is(claim()->{id}, $running, 'one runs');
    my $sweep = sub { my ($keep, $max) = @_; return $engine->call('sweep_jobs', $keep // '30 days', $max // 10) };
    my $known = sub { scalar grep { $root->value("SELECT count(*) FROM job WHERE id = '$_'") } @_ };
    my $usage = sub { decode_json($api->call('api_usage', $key{past}, undef, 90)->{body}) };
    $root->query(<<"END");
SET session_replication_role = replica;                -- no triggers: all of it was forty days ago
UPDATE job SET created_at = created_at - interval '40 days', finished_at = finished_at - interval '40 days'
 WHERE tenant_id = '$past';
UPDATE credit_entry SET at = at - interval '40 days' WHERE tenant_id = '$past' AND kind <> 'grant';
SET session_replication_role = origin
END
    my ($was, $credits) = ($usage->(), $root->value("SELECT credit_account FROM credit_account WHERE tenant_id = '$past'"));
    is_deeply([@$was{qw(total_jobs completed_jobs failed_jobs credits_used balance)}], [6, 2, 1, 2, 98], 'what they are');

    is($sweep->('50 days'), 0, 'the time of none has come');
    is($sweep->(), 1, 'a draft that was never started goes');
    is($known->($draft), 0);
    is($known->($done, $failed, $dropped), 3, 'those that owe a webhook stay');
    while (my @due = due()) { heard($_, 200) for @due }
    is($sweep->(undef, 1), 1, 'in steps: one that is over');
    is($sweep->(undef, 1), 1, 'and one that was deleted');
    is($sweep->(undef, 1), 0, 'one whose output is kept stays');
    is($known->($done), 1);
    is($known->($running, $waiting), 2, 'as does what runs or waits, however old');
    my $log = decode_json($api->call('api_webhooks', $key{past}, undef, $done)->{body})->{items};
    $root->query("UPDATE job SET output_removed_at = now() WHERE id = '$done'");
    is($api->call('api_redeliver', $key{past}, $done, $log->[1]{id})->{outcome}, 'ok', 'a webhook is asked for again');
    is($sweep->(), 0, 'so that it is owed');
    heard($_, 200) for due();
    is($sweep->(), 1, 'it is sent: the job goes');

    is($known->($done, $failed, $dropped), 0);
    is_deeply([map { $_->[0] } $root->query(<<"END")], [2, 0, 1, 1], 'with all that was its own: two jobs, the grant and what was told of one are left');
SELECT count(*) FROM job WHERE tenant_id = '$past'
UNION ALL SELECT count(*) FROM job_transition WHERE job_id IN ('$done', '$failed', '$draft', '$dropped')
UNION ALL SELECT count(*) FROM credit_entry WHERE tenant_id = '$past'
UNION ALL SELECT count(*) FROM webhook_attempt JOIN webhook_delivery d ON d.id = delivery_id WHERE d.tenant_id = '$past'
END
    is_deeply($usage->(), $was, 'usage is what it was');
    is($root->value("SELECT credit_account FROM credit_account WHERE tenant_id = '$past'"), $credits, 'and the account');
    for my $call (['api_get', undef, $failed], ['api_webhooks', undef, $failed], ['api_cancel', $failed], ['api_delete', $failed],
                  ['api_redeliver', $done, $log->[1]{id}], ['api_download', $done]) {
        my ($function, @arguments) = @$call;
        is($api->call($function, $key{past}, @arguments)->{outcome}, 'not_found', "$function: unknown");
    }
    is(start($failed, key => 'past')->{outcome}, 'not_found', 'and cannot be started');
    is(refusal("DELETE FROM job WHERE id = '$_'"), 'MT002', 'what is not over cannot be deleted') for $running, $waiting;
    $api->call('api_cancel', $key{past}, $waiting);
    is(fail_job({id => $running, lease_no => 1}, 'fetch_4xx', 'f'), 'failed');
    is($root->value("SELECT count(*) FROM webhook_endpoint WHERE tenant_id = '$past'"), 1, 'an endpoint that is in use stays');
    while (my @due = due()) { heard($_, 200) for @due }
    is($sweep->('0 s', 1000) > 0, 1, 'all that is over');
    is($known->($running, $waiting), 0);
    is($root->value("SELECT count(*) FROM webhook_endpoint WHERE tenant_id = '$past'"), 0, 'then the endpoint goes');
    is($usage->()->{total_jobs}, 6, 'still counted');
    is(violations(), '', 'no violation');

    # against those who would change one meanwhile
    my $other = $pg->session('matte_api');
    my $blocked = sub { $root->value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") };
    my $over = sub { my $job = job_in('failed', %with); while (my @due = due()) { heard($_, 200) for @due } return $job };
    my $restart = sub { "SELECT outcome FROM matte.api_start('$key{past}', NULL, '$key{past}', '$_[0]', NULL, NULL, NULL,
                         NULL, 200, '{}')" };
    my ($again, $told, $late) = map { $over->() } 1 .. 3;
    $log = decode_json($api->call('api_webhooks', $key{past}, undef, $told)->{body})->{items};
    $other->query('BEGIN');
    is($other->value($restart->($again)), 'ok', 'one is being started again');
    is($other->call('api_redeliver', $key{past}, $told, $log->[0]{id})->{outcome}, 'ok', 'of another a webhook is asked for');
    is($sweep->('0 s'), 1, 'both are passed by');
    $other->query('COMMIT');
    is($sweep->('0 s'), 0, 'and wanted now');
    is($known->($again, $told, $late), 2);
    clear();
    $late = $over->();
    $engine->query('BEGIN');
    is($sweep->('0 s'), 3, 'the other way round');
    $other->send($restart->($late));
    wait_for { $blocked->() } 5, 'the start to wait';
    $engine->query('COMMIT');
    is_deeply([$other->receive], [['not_found']], 'who comes late finds nothing');
    quiet();
    is(violations(), '', 'no violation');
};

# ---- the operator ------------------------------------------------------------------------------------------------

subtest 'the operator' => sub {
    my $id = $admin->call('tenant_create', 'fresh', 12.5);
    is($root->value("SELECT client_id FROM tenant WHERE id = '$id'"), 'fresh', 'a client');
    is($admin->call('credit_grant', 'fresh', 7.5, 'thanks'), 20, 'a grant tells the balance');
    is($admin->call('credit_grant', 'fresh', -20, 'back'), 0, 'credits can be taken back');
    is($admin->refused("SELECT matte.credit_grant('fresh', -1, NULL)"), '23514', 'not more than there are');
    is($admin->refused("SELECT matte.tenant_create('fresh', 1)"), '23505', 'a client once');
    is($admin->refused("SELECT matte.$_"), 'P0002', "nobody: $_")
        for "credit_grant('nobody', 1, NULL)", "key_create('nobody', NULL)", "key_disable('mt_live_nobody')";
    my @keys = map { $admin->call('key_create', 'fresh', 'a note') } 1 .. 3;
    is(scalar(grep { /^mt_live_[0-9A-Za-z]{6}_[0-9A-Za-z]{43}$/ } @keys), 3, 'keys');
    is(scalar(keys %{{map { $_ => 1 } @keys}}), 3, 'no two alike');
    my $list = sub { $api->call('api_list', sha($keys[0]), undef, 1, 0, undef)->{outcome} };
    my $fingerprint = substr $keys[0], 0, 14;
    is($list->(), 'ok', 'a new key is good');
    $admin->call('key_disable', $fingerprint);
    is($list->(), 'invalid_api_key', 'disabled');
    $admin->call('key_enable', $fingerprint);
    is($list->(), 'ok', 'enabled');
    my $made = $api->call('api_key_create', 'newcomer', 'n', 'read', undef);
    my $body = decode_json($made->{body});
    is_deeply([@$made{qw(outcome code)}, @$body{qw(client_id note scope enabled)}],
              ['ok', 201, 'newcomer', 'n', 'read', JSON::PP::true()], 'a key by the module, and its client');
    is($body->{key_fingerprint}, substr($body->{api_key}, 0, 14), 'its fingerprint');
    is($api->call('api_list', sha($body->{api_key}), undef, 1, 0, undef)->{outcome}, 'ok', 'it is good');
    my $page = decode_json($api->call('api_keys', 1, 0)->{body});
    is_deeply([$page->{items}[0]{key_fingerprint}, exists $page->{items}[0]{api_key}, $page->{has_more}],
              [$body->{key_fingerprint}, '', JSON::PP::true()], 'keys are listed, newest first, without the key');
    is(decode_json($api->call('api_key_enable', $body->{key_fingerprint}, 'f')->{body})->{enabled}, JSON::PP::false(), 'disable');
    is($api->call('api_list', sha($body->{api_key}), undef, 1, 0, undef)->{outcome}, 'invalid_api_key', 'it is disabled');
    is(decode_json($api->call('api_key_enable', $body->{key_fingerprint}, 't')->{body})->{enabled}, JSON::PP::true(), 'enable');
    is($api->call('api_key_enable', 'mt_live_nobody', 't')->{outcome}, 'not_found', 'nobody');
    is($root->value("SELECT base62('\\x00000000000f4240', 6)"), '004C92', 'base62 of 1000000');
    is($root->value("SELECT base62(decode(repeat('ff', 32), 'hex'), 44) LIKE '0_%'"), 't', '43 digits hold 256 bits');
};

# ---- who may do what ---------------------------------------------------------------------------------------------

subtest 'roles' => sub {
    my %may = (
        matte_api    => [qw(api_answered api_cancel api_create api_delete api_download api_events api_get
                            api_key_create api_key_enable api_keys api_list api_pricing api_redeliver api_start api_upload
                            api_upload_begin api_usage api_webhooks)],
        matte_engine => [qw(job_claim job_complete job_fail job_heartbeat job_hold job_reap job_release sweep_done
                            sweep_due sweep_jobs sweep_rows sweep_unclaimed webhook_claim webhook_done webhook_keys
                            webhook_secret)],
        matte_admin  => [qw(credit_grant key_create key_disable key_enable tenant_create webhook_secret_rotate)]);
    for my $role (sort keys %may) {
        is_deeply([map { $_->[0] } $root->query(<<"END")], $may{$role}, "$role: its functions");
SELECT proname FROM pg_proc
 WHERE pronamespace = 'matte'::regnamespace AND has_function_privilege('$role', oid, 'EXECUTE') ORDER BY 1
END
    }
    is($root->value("SELECT count(*) FROM pg_proc WHERE pronamespace = 'matte'::regnamespace AND prosecdef
       AND NOT 'search_path=matte, pg_temp' = ANY (coalesce(proconfig, '{}'))"), 0, 'each with a fixed search_path');
    is($root->value("SELECT count(*) FROM pg_proc WHERE prosecdef AND pronamespace = 'matte'::regnamespace"),
       scalar(map { @$_ } values %may), 'and as the owner of the tables');
    is_deeply([$root->query(<<'END')], [], 'module and engine have no right on any table');
SELECT r, c.relname FROM unnest('{matte_api,matte_engine}'::text[]) r, pg_class c
 WHERE c.relnamespace = 'matte'::regnamespace AND c.relkind IN ('r', 'v', 'S')
   AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(r, c.oid, 'USAGE, SELECT, UPDATE')
         ELSE has_table_privilege(r, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
           OR has_any_column_privilege(r, c.oid, 'SELECT, INSERT, UPDATE') END
END
    is_deeply([$root->query(<<'END')], [], 'the operator writes by functions alone');
SELECT relname FROM pg_class
 WHERE relnamespace = 'matte'::regnamespace AND relkind IN ('r', 'v')
   AND has_table_privilege('matte_admin', oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
END
    is($api->refused('SELECT * FROM matte.job'), '42501', 'the module reads no table');
    is($api->refused("SELECT matte.job_claim('x', '1 s')"), '42501', 'and claims nothing');
    is($engine->refused('UPDATE matte.job SET priority = 1'), '42501', 'the engine updates no table');
    is($engine->refused("SELECT matte.api_get(NULL, NULL, NULL)"), '42501', "and asks nothing in the module's name");
    is($admin->refused('SELECT key_hash FROM matte.api_key'), '42501', 'the operator reads no hash of a key');
    is($admin->value('SELECT count(*) FROM matte.violation'), 0, 'and may look for violations');
};

# ---- what the tables refuse --------------------------------------------------------------------------------------

subtest 'constraints' => sub {
    my $draft   = job_in('created');
    my $pending = job_in('pending');
    my $running = claim();
    $engine->call('job_hold', $running->{id}, 1, 1000, 1);
    my $acme   = $tenant{acme};
    my $hash   = sha('x');
    my $update = sub { "UPDATE job SET $_[0] WHERE id = '$draft'" };
    my $entry  = sub { "INSERT INTO credit_entry (tenant_id, kind, d_available, d_held, d_spent)
                        VALUES ('$acme', $_[0])" };
    my $hook   = "UPDATE webhook_delivery SET %s WHERE id = (SELECT id FROM webhook_delivery LIMIT 1)";
    my @broken = (
        client_id_length      => "INSERT INTO tenant (client_id) VALUES ('')",
        fingerprint_form      => "UPDATE api_key SET fingerprint = 'mt_live_12345'",
        key_hash_sha256       => "UPDATE api_key SET key_hash = '\\x00'",
        key_limits            => 'UPDATE api_key SET burst = 0',
        key_scope             => "UPDATE api_key SET scope = 'admin'",
        month_seconds         => "INSERT INTO api_key_month SELECT id, '2026-01-01', -1 FROM api_key LIMIT 1",
        removal_path          => "INSERT INTO removal (path) VALUES ('outputs/$acme/../../etc/passwd')",
        removal_path          => "INSERT INTO removal (path) VALUES ('/etc/passwd')",
        slot_counts           => 'UPDATE tenant_slot SET pending = -1',
        slot_weight           => 'UPDATE tenant_slot SET weight = 0',
        price_not_negative    => 'UPDATE price SET mc_per_second = -1',
        upload_quota          => 'UPDATE tenant SET max_upload_bytes = -1',
        upload_filename       => "UPDATE upload SET filename = ''",
        upload_bytes          => 'UPDATE upload SET bytes = 0',
        upload_sha256         => "UPDATE upload SET sha256 = '\\x00'",
        known_format          => $update->("output_format = 'avi'"),
        video_url_form        => $update->("video_url = 'file:///etc/passwd'"),
        video_url_form        => $update->("video_url = 'http://' || repeat('x', 2042)"),
        webhook_url_form      => $update->("webhook_url = 'gopher://x'"),
        options_size          => $update->("options = '[]'"),
        options_size          => $update->("options = jsonb_build_object('x', repeat('x', 16384))"),
        metadata_size         => $update->("metadata = '[]'"),
        metadata_size         => $update->("metadata = json_build_object('x', repeat('x', 4096))"),
        warnings_array        => $update->("warnings = '{}'"),
        request_id_form       => $update->("request_id = 'a b'"),
        request_id_form       => $update->("request_id = repeat('x', 129)"),
        traceparent_form      => $update->("traceparent = '01-00'"),
        error_code_form       => $update->("error_code = 'No'"),
        error_detail_size     => $update->("error_detail = repeat('x', 2001)"),
        priority_range        => $update->('priority = 3'),
        progress_range        => $update->('progress = 101'),
        attempt_range         => $update->('attempt = 4'),
        lease_iff_processing  => $update->("engine_id = 'e1'"),
        lease_iff_processing  => "UPDATE job SET lease_expires_at = NULL WHERE id = '$running->{id}'",
        finished_iff_terminal => $update->('finished_at = now()'),
        output_iff_completed  => $update->("output_key = '$acme/$draft/0.webm'"),
        alpha_with_output     => $update->("alpha_bytes = 1, alpha_sha256 = '\\x00'"),
        alpha_with_output     => "UPDATE job SET alpha_bytes = 1 WHERE id = '$running->{id}'",
        output_of_this_lease  => "SELECT job_complete('$running->{id}', 1, 1, '$acme/$running->{id}/2.webm', 1, NULL,
                                  1, 1, 1, NULL)",
        error_iff_failed      => $update->("error_code = 'engine_lost'"),
        price_once_started    => "UPDATE job SET rate_mc_s = NULL WHERE id = '$running->{id}'",
        charged_within_held   => $update->('rate_mc_s = -1'),
        charged_within_held   => "UPDATE job SET status = 'completed', charged_mc = held_mc + 1, finished_at = now(),
                                  engine_id = NULL, lease_expires_at = NULL, output_key = '$acme/$running->{id}/1.webm'
                                  WHERE id = '$running->{id}'",
        billing_fits_status   => $update->('held_mc = 1'),
        job_unless_grant      => $entry->("'hold', -1, 1, 0"),
        balanced              => $entry->("'grant', 1, 1, 0"),
        available_not_negative => $entry->("'grant', -1000000000, 0, 0"),
        held_not_negative     => 'UPDATE credit_account SET held = -1',
        spent_not_negative    => 'UPDATE credit_account SET spent = -1',
        key_length            => "UPDATE idempotency_key SET key = ''",
        key_length            => "UPDATE idempotency_key SET key = repeat('x', 256)",
        failing_since_first   => 'UPDATE webhook_endpoint SET failures = failures + 1, failing_since = NULL',
        delivery_in_flight    => sprintf($hook, "state = 'sent', done_at = now(), in_flight = true"),
        delivery_state        => sprintf($hook, "state = 'lost', done_at = now()"),
        delivery_done_at_end  => sprintf($hook, "state = 'pending', done_at = now()"));
    my %seen;
    while (my ($name, $sql) = splice @broken, 0, 2) {
        $seen{$name}++;
        is(refusal($sql), "23514 $name", $name);
    }
    my @all = $root->query(q{SELECT conname FROM pg_constraint WHERE contype = 'c'
                             AND connamespace = 'matte'::regnamespace ORDER BY conname COLLATE "C"});
    is_deeply([sort keys %seen], [map { $_->[0] } @all], 'every CHECK was broken once');

    is(refusal("INSERT INTO credit_entry (tenant_id, job_id, run_no, kind, d_available, d_held)
        VALUES ('$acme', '$running->{id}', 1, 'hold', -1, 1)"), '23505 credit_once', 'a second hold of a run');
    is(refusal('UPDATE credit_entry SET note = NULL'), 'MT003', 'the ledger is append-only');
    is(refusal('DELETE FROM job_transition'), 'MT003', 'so is the audit');
    is(refusal($update->("model = 'best'")), '23503 job_model_fkey', 'a model without a price');
    complete($running, 1000);
    clear();
};

subtest 'transitions' => sub {
    my %legal = (created => 'pending cancelled', pending => 'processing cancelled', failed => 'pending',
                 processing => 'pending completed failed cancelled', completed => '', cancelled => '');
    for my $from (sort keys %legal) {
        my $job = job_in($from);
        for my $to (sort keys %legal) {
            next if $from eq $to && $from !~ /^(?:completed|failed|cancelled)$/;        # no transition
            my $run  = $from eq 'failed' ? 1 : 0;
            my $said = refusal("UPDATE job SET status = '$to', run_no = run_no + $run WHERE id = '$job'");
            my $want = $from =~ /^(?:completed|cancelled)$/ ? 'MT001' : $legal{$from} =~ /\b$to\b/ ? '' : 'MT002';
            if ($want) { is($said, $want, "$from -> $to is refused"); }
            else       { unlike($said, qr/^MT00/, "$from -> $to is drawn"); }
        }
        clear();
    }
    is(refusal("UPDATE job SET status = 'pending' WHERE id = '" . job_in('failed') . "'"), 'MT001',
       'only a new run leaves failed');
};

# ---- two at once -------------------------------------------------------------------------------------------------

subtest 'two at once' => sub {
    my $one = $pg->session('matte_api');
    $root->query("ALTER ROLE matte_api SET deadlock_timeout = '50ms'");       # of two deadlocked, the second gives way
    my $two = $pg->session('matte_api');
    my $create = sub {
        my ($idem, $id) = @_;
        return "SELECT outcome, body FROM matte.api_create('$key{acme}', '$idem', '$key{acme}', '$id', 'original',
                'webm', 'http://v', NULL, '{}', NULL, false, NULL, 200, '$id')";
    };
    my $blocked = sub { $root->value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") };
    my @id = map { uuid() } 1 .. 6;

    $one->query('BEGIN');
    is_deeply([$one->query($create->('t1', $id[0]))], [['ok', $id[0]]], 'the first is at work');
    $two->send($create->('t1', $id[1]));
    wait_for { $blocked->() } 5, 'the twin to wait';
    $one->query('COMMIT');
    is_deeply([$two->receive], [['replay', $id[0]]], 'its twin waits for it and replays');

    $one->query('BEGIN');
    $one->query($create->('t2', $id[2]));
    $two->send($create->('t2', $id[3]));
    wait_for { $blocked->() } 5, 'the twin to wait';
    $one->query('ROLLBACK');
    is_deeply([$two->receive], [['ok', $id[3]]], 'the first is undone: the twin makes the job');

    $one->query('BEGIN');
    $one->query($create->('t3', $id[4]));
    is($two->value($create->('t3', $id[5])), 'idempotency_in_progress', 'the first takes long: in_progress');
    $one->query('COMMIT');
    is($root->value("SELECT count(*) FROM job WHERE id = '$id[5]'"), 0, 'and nothing was made');

    my %batch = ($one => 't4', $two => 't5');
    for my $session ($one, $two) {
        $session->query('BEGIN');
        $session->query($create->($batch{$session}, uuid()));
    }
    $one->send($create->('t5', uuid()));
    wait_for { $blocked->() } 5, 'the first batch to wait';
    $two->send($create->('t4', uuid()));
    is(($two->receive)[0][0], 'idempotency_in_progress', 'two batches crosswise: one call gives way');
    is(join('', map { @$_ } $two->query('COMMIT')), '', 'and its batch is kept');
    like(($one->receive)[0][0], qr/^(?:replay|idempotency_in_progress)$/, 'the other batch goes on');
    $one->query('COMMIT');
    is($root->value("SELECT count(*) FROM idempotency_key WHERE key IN ('t4', 't5')"), 2, 'both batches are in');
    clear();

    my $job  = create()->{job_id};
    my $next = $pg->session('matte_engine');
    $next->query('BEGIN');
    is(claim($next)->{id}, $job, 'a claim not yet committed');
    is(claim(), undef, 'is skipped, not waited for');
    $next->query('ROLLBACK');
    is(claim()->{id}, $job, 'undone, the job is free');
    clear();

    $root->query('UPDATE tenant_slot SET max_processing = 1000');
    my %jobs = map { create(key => $_ % 2 ? 'acme' : 'other')->{job_id} => 0 } 1 .. 40;
    wait_for {
        $_->send("SELECT id FROM matte.job_claim('race', '20 s')") for $engine, $next;
        $jobs{$_->[0]}++ for map { $_->receive } $engine, $next;
        return !grep { !$_ } values %jobs;
    } 10, 'all jobs to be claimed';
    is_deeply([values %jobs], [(1) x 40], 'two engines that race for forty jobs get each once');
    clear();

    $next->query('LISTEN matte_jobs');
    create();
    my @said = $next->query('SELECT 1');
    like("@{$said[0]}", qr/notification "matte_jobs" received/, 'a start rings');
    clear();
};

is(violations(), '', 'after all this nothing is out of balance');
is($root->value('SELECT sum(held) FROM credit_account'), 0, 'and nothing is held');
done_testing;
