# The OpenAPI document against the service: every documented answer of every route is provoked, each is judged by an
# independent validator, and nothing else is answered. The fields of every request are walked as the document has them.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use File::Path qw(make_path);
use JSON::PP;
use Matte::FakeEngine;
use Matte::Nginx;
use Matte::Postgres;
use Matte::Test;
use Test::More;

my $dir = workspace();
my $pg = Matte::Postgres->start($dir, fsync => 0);
my %key = map { $_ => $pg->admin_key($_, credits => $_ eq 'poor' ? 0 : 1000) } qw(acme poor reader writer limited);
sub of { my ($client) = @_; return "tenant_id = (SELECT id FROM matte.tenant WHERE client_id = '$client')"; }
$pg->psql('UPDATE matte.api_key SET rate_per_min = 1000000, burst = 100000, max_pending = 100000');
$pg->psql("UPDATE matte.api_key SET scope = 'read' WHERE @{[of('reader')]};
           UPDATE matte.api_key SET scope = 'write' WHERE @{[of('writer')]};
           UPDATE matte.api_key SET rate_per_min = 1, burst = 1 WHERE @{[of('limited')]}");
my $token = 'a token of the operator';
spew("$dir/token", "$token\n");
my $engine = Matte::FakeEngine->start("$dir/matted.sock");
my $nginx = Matte::Nginx->start($dir, database => $pg->conninfo('matte_api'), edit => sub {
    s/matte_models .*/matte_models original light pro human;/;
    s/matte_formats .*/matte_formats webm mov mp4 gif webp png_sequence;/;
    s/rate=100r/rate=10000r/;
    s/burst=\d+ nodelay/burst=5000 nodelay/g;
    s/matte_upload_max_size .*/matte_upload_max_size 64k;/;
    s/matte_min_free .*/matte_min_free 0;/;
    s/client_body_timeout .*/client_body_timeout 1s;/;
    s/# (matte_admin_token) .*/$1 file:$dir\/token;/;
    s/# (matte_legacy_key) .*/"$1 sha256:" . sha256_hex($key{acme}) . ';'/e;
});
my ($true, $false) = (JSON::PP::true, JSON::PP::false);

my $document = decode_json($nginx->get('/openapi.json')->{content});
is_deeply($document, decode_json(slurp(root() . '/conf/openapi.json')), 'the document is served');

# ---- asking, and what is remembered of the answers -------------------------------------------------------------------

my (@operations, %operation, @answers, %met);
for my $path (sort keys %{$document->{paths}}) {
    for my $method (sort keys %{$document->{paths}{$path}}) {
        my $it = $document->{paths}{$path}{$method};
        my $pattern = $path =~ s/\{\w+\}/[^\/]+/gr;
        my $security = $it->{security} // [{}];
        push @operations, $operation{$it->{operationId}} = {
            %$it, id => $it->{operationId}, path => $path, method => $method, pattern => qr/^$pattern$/,
            keyed => (grep { $_->{key} } @$security) > 0, open => (grep { !%$_ } @$security) > 0,
            admin => (grep { $_->{admin} } @$security) > 0, scope => $method eq 'get' ? 'read' : 'write',
            multipart => $it->{requestBody} && exists $it->{requestBody}{content}{'multipart/form-data'},
            request => $it->{requestBody} && $it->{requestBody}{content}{'application/json'}};
    }
}

sub remember {
    my ($operation, $answer) = @_;
    my $code = $answer->{status} < 400 ? '' : $answer->{json}{error}{code};
    $met{"$operation->{id} $answer->{status} $code"}++;
    push @answers, {method => $operation->{method}, path => $operation->{path}, status => $answer->{status},
                    type => $answer->{headers}{'content-type'} // '', body => $answer->{json},
                    from => "$operation->{id}: " . substr $answer->{content} // '', 0, 300};
    return $answer;
}

my ($job, $delivery);
my $unknown = '00000000-0000-4000-8000-000000000000';

# A body of one part named file; what begins as an MP4 does.
my $video = "\0\0\0\x18ftypmp42" . "\0" x 40;
sub part {
    my ($content, $name) = @_;
    return "--b\r\nContent-Disposition: form-data; name=\"@{[$name // 'file']}\"; filename=\"a.mp4\"\r\n\r\n$content\r\n--b--\r\n";
}

# One request to an operation. Options: id, delivery_id (those of a job that is there), body (the document's example; undef
# sends none), query, headers (undef takes a default one away).
sub ask {
    my ($name, %o) = @_;
    my $operation = $operation{$name} // die "no operation $name";
    my %in = (id => $o{id} // $job, delivery_id => $o{delivery_id} // $delivery);
    my $path = $operation->{path} =~ s/\{(\w+)\}/$in{$1}/gr;
    my $body = exists $o{body} ? $o{body} : $operation->{multipart} ? part($video)
             : $operation->{request} && $operation->{request}{example};
    my %headers = ($operation->{multipart} ? ('Content-Type' => 'multipart/form-data; boundary=b') : (),
                   $operation->{keyed} ? ('X-Api-Key' => $key{acme}) : $operation->{admin} ? ('X-Admin-Token' => $token) : (),
                   %{$o{headers} // {}});
    return remember($operation, $nginx->request(uc $operation->{method}, $path . ($o{query} // ''), $body, %headers));
}

# What is expected: "status code", or "status code field".
sub refused {
    my ($answer, $expected, $name) = @_;
    my @said = @{$answer->{json}{error}}{qw(code field)};
    my $got = join ' ', $answer->{status}, grep { defined } @said;
    is($got, $expected, $name) or diag($answer->{content});
    return $answer;
}

# The codes of a documented answer; of a success the empty one.
sub codes {
    my ($response) = @_;
    my ($these) = map { $_->{properties}{error}{properties}{code}{enum} // () }
                  @{$response->{content}{'application/json'}{schema}{allOf} // []};
    return @{$these // ['']};
}

sub documents {
    my ($operation, $code) = @_;
    return (grep { $_ eq $code } map { codes($_) } values %{$operation->{responses}}) > 0;
}

my $source = 'https://example.com/a.mp4';
sub draft { my (%with) = @_; return ask('create_job', body => {video_url => $source, auto_start => $false, %with})->{json}{id}; }

sub completed {
    my $id = ask('create_job', body => {video_url => $source, webhook_url => 'https://example.com/hook'})->{json}{id};
    my ($claimed, $lease, $tenant);
    until (($claimed // '') eq $id) {
        ($claimed, $lease, $tenant) = split /\|/, $pg->psql("SELECT id, lease_no, tenant_id FROM matte.job_claim('t', '1 minute')");
    }
    $pg->psql("SELECT matte.job_hold('$id', $lease, 1500, 45)");
    $pg->psql("SELECT matte.job_complete('$id', $lease, 1200, '$tenant/$id/$lease.webm', 99, sha256('x'), 64, 36, 45,
               '[{\"code\":\"model_substituted\",\"message\":\"Another network did it.\"}]')");
    return $id;
}

# ---- what succeeds ---------------------------------------------------------------------------------------------------

subtest 'what succeeds' => sub {
    $pg->psql('UPDATE matte.tenant_slot SET max_processing = 1000');
    $job = completed();
    $delivery = ask('list_webhooks')->{json}{items}[0]{id};
    $pg->psql("SELECT matte.webhook_done(id, attempt, 200, NULL, 12, NULL) FROM matte.webhook_claim(false, 1, '1 minute')");
    my $draft = draft(metadata => {a => [1]}, webhook_url => 'https://example.com/hook');
    is(ask('get_job')->{json}{status}, 'completed', 'a completed job');
    is(ask('get_job', id => $draft)->{json}{status}, 'created', 'a draft');
    is(ask('start_job', id => $draft, body => {})->{json}{status}, 'pending', 'start');
    is(ask('get_job', id => $draft)->{json}{queue_position}, 1, 'pending');
    is(ask('cancel_job', id => $draft)->{json}{status}, 'cancelled', 'cancel');
    is(ask('cancel_job', id => $draft)->{json}{status}, 'cancelled', 'again');
    is(ask('delete_job', id => $draft)->{status}, 200, 'delete');
    is(ask('delete_job', id => $draft)->{status}, 200, 'again');
    is(ask('get_job', id => $draft)->{status}, 404, 'then it is gone');
    is(ask('list_jobs')->{json}{total}, 1, 'list');
    is(ask('redeliver')->{json}{state}, 'pending', 'redeliver');
    is(ask('usage_summary')->{json}{completed_jobs}, 1, 'usage');
    is(scalar @{ask('usage_summary', query => '?days=90')->{json}{daily}}, 90, 'of 90 days');
    is(ask('usage_events')->{json}{items}[0]{type}, 'charged', 'events');
    is(ask('download')->{json}{output_format}, 'webm', 'download');
    is(ask('download', headers => {'X-Api-Key' => undef})->{status}, 200, 'without a key');
    is(ask('process', headers => {'X-Api-Key' => undef})->{status}, 201, 'the legacy twin, without a key');
    my $upload = ask('upload')->{json};
    is(ask('create_job', body => {video_url => $upload->{video_url}})->{status}, 201, 'a job of an upload');
    is(ask('legacy_upload', headers => {'X-Api-Key' => undef})->{status}, 201, 'the legacy twin of uploads, without a key');
    is(ask('pricing')->{json}{model_pricing_credits_per_minute}{pro}, 180, 'prices');
    like(ask('health')->{json}{status}, qr/^(?:healthy|degraded)$/, 'health');
    is_deeply([grep { $_->{name} eq 'matte_formats' } @{ask('admin_config')->{json}{items}}],
              [{name => 'matte_formats', value => [qw(webm mov mp4 gif webp png_sequence)]}], 'what is offered');
    my $made = ask('create_key', body => {client_id => 'example', note => 'n', scope => 'read',
                                          expires_at => '2099-01-31T12:00:00Z'});
    is($made->{status}, 201, 'a key');
    my ($new, $fingerprint) = @{$made->{json}}{qw(api_key key_fingerprint)};
    my $list = sub { ask('list_jobs', headers => {'X-Api-Key' => $new})->{status} };
    is($list->(), 200, 'it is good');
    is(ask('list_keys', query => '?limit=1')->{json}{items}[0]{key_fingerprint}, $fingerprint, 'it is listed');
    is(ask('disable_key', body => {key_fingerprint => $fingerprint})->{json}{enabled}, $false, 'disable');
    wait_for { $list->() == 401 } 2, 'the servers to hear of it';        # far below matte_key_ttl
    is(ask('enable_key', body => {key_fingerprint => $fingerprint})->{json}{enabled}, $true, 'enable');
    wait_for { $list->() == 200 } 1, 'the servers to hear of it';
    $pg->psql("UPDATE matte.tenant SET suspended_at = now() WHERE client_id = 'example'");
    wait_for { $list->() == 401 } 2, 'the servers to hear of a suspended client';
    my $once = $pg->psql("SELECT count(*) FROM matte.job");
    my @twice = map { ask('create_job', headers => {'Idempotency-Key' => 'once'}) } 1, 2;
    is($twice[1]{content}, $twice[0]{content}, 'a replay');
    is($pg->psql("SELECT count(*) FROM matte.job") - $once, 1, 'is one job');
    ask('get_job', id => $twice[0]{json}{id});
    my $log = slurp("$dir/nginx/access.log") . $nginx->error_log;
    is((grep { index($log, $_) >= 0 } values %key, $new, $token), 0, 'no secret is in a log');
};

# ---- what is refused -------------------------------------------------------------------------------------------------

subtest 'keys and tokens' => sub {
    for my $operation (grep { $_->{keyed} } @operations) {
        my $name = $operation->{id};
        refused(ask($name, headers => {'X-Api-Key' => undef}), '401 missing_api_key', "$name without a key") unless $operation->{open};
        refused(ask($name, headers => {'X-Api-Key' => 'wrong'}), '401 invalid_api_key', "$name with a wrong key");
        my $other = $operation->{scope} eq 'read' ? 'writer' : 'reader';
        refused(ask($name, headers => {'X-Api-Key' => $key{$other}}), '403 forbidden', "$name by a $other") for 1, 2;
    }
    for my $operation (grep { $_->{admin} } @operations) {
        refused(ask($operation->{id}, headers => {'X-Admin-Token' => undef}), '401 missing_api_key', "$operation->{id} without a token");
        refused(ask($operation->{id}, headers => {'X-Admin-Token' => "$token."}), '401 invalid_api_key', "$operation->{id} with a wrong one");
    }
};

subtest 'ids and arguments' => sub {
    for my $operation (grep { $_->{path} =~ /\{id\}/ } @operations) {
        refused(ask($operation->{id}, id => $_), '404 not_found', "$operation->{id} of $_") for $unknown, 'abc';
    }
    refused(ask('redeliver', delivery_id => $_), '404 not_found', "redeliver $_") for $unknown, 'abc';
    refused(ask($_, body => {video_url => "upload://$unknown"}), '404 not_found', "$_ of an unknown upload") for qw(create_job process);
    refused(ask($_, body => {key_fingerprint => 'mt_live_000000'}), '404 not_found', "$_ of nobody") for qw(disable_key enable_key);
    for my $operation (@operations) {
        for my $argument (grep { $_->{in} eq 'query' } @{$operation->{parameters} // []}) {
            my ($name, $s) = @$argument{qw(name schema)};
            my @good = $s->{enum} ? @{$s->{enum}} : @$s{qw(minimum maximum default)};
            my @bad = ('', 'x', '-1', '1.5', $s->{enum} ? 'X' : ($s->{minimum} - 1, $s->{maximum} + 1));
            is(ask($operation->{id}, query => "?$name=$_")->{status}, 200, "$operation->{id}: $name=$_") for @good;
            refused(ask($operation->{id}, query => "?$name=$_"), "400 invalid_request $name", "$operation->{id}: $name=$_") for @bad;
        }
    }
};

# Sets what a dotted name says in a copy of the example; a value that is a code reference takes the member away.
sub with {
    my ($example, $name, $value) = @_;
    my $copy = decode_json(encode_json($example));
    my ($object, @path) = ($copy, split /\./, $name);
    my $last = pop @path;
    $object = $object->{$_} //= {} for @path;
    if (ref $value eq 'CODE') { delete $object->{$last}; } else { $object->{$last} = $value; }
    return $copy;
}

# Every field of a schema, as [its dotted name, its schema, whether it is required].
sub walk {
    my ($schema, $prefix) = @_;
    my %required = map { $_ => 1 } @{$schema->{required} // []};
    return map { my $s = $schema->{properties}{$_};
                 (["$prefix$_", $s, $required{$_}], $s->{properties} ? walk($s, "$prefix$_.") : ()) }
           sort keys %{$schema->{properties}};
}

my %SAMPLE = (string => 'x', number => 0.5, integer => 17, boolean => $true, object => {}, array => [1, 2, 3], null => undef);
my $walked = 0;
subtest 'fields' => sub {
    my $fingerprint = ask('list_keys', query => '?limit=1')->{json}{items}[0]{key_fingerprint};
    for my $operation (grep { $_->{request} } @operations) {
        my $name = $operation->{id};
        my ($schema) = map { $document->{components}{schemas}{s{.*/}{}r} } $operation->{request}{schema}{'$ref'};
        my $example = $operation->{request}{example};
        $example = {key_fingerprint => $fingerprint} if $example->{key_fingerprint};
        push @answers, {method => $operation->{method}, path => $operation->{path}, status => undef,
                        type => 'application/json', body => $example, from => "the example of $name"};
        my $try = sub { my ($body) = @_; return ask($name, id => $name eq 'start_job' ? draft() : undef, body => $body); };
        like($try->($example)->{status}, qr/^20[01]$/, "$name: the example");
        for my $field (walk($schema, '')) {
            my ($path, $s, $required) = @$field;
            my @types = map { ref $_->{type} ? @{$_->{type}} : $_->{type} } $s->{anyOf} ? @{$s->{anyOf}} : $s;
            my %is = map { $_ => 1 } @types;
            $is{integer} = 1 if $is{number};
            my $bad = sub { refused($try->(with($example, $path, $_[0])), "400 invalid_request $path", "$name: $path $_[1]") };
            $walked++;
            $bad->($SAMPLE{$_}, "that is $_") for grep { !$is{$_} && $_ ne 'null' } sort keys %SAMPLE;
            if ($required) { $bad->(sub { }, 'missing'); $bad->(undef, 'null'); }
            else { like($try->(with($example, $path, undef))->{status}, qr/^(?:20[01]|4\d\d)$/, "$name: $path null"); }
            $bad->('no such word', 'of another word') if $s->{enum};
            $bad->($s->{minimum} - 1, 'too small') if defined $s->{minimum};
            $bad->($s->{maximum} + 1, 'too large') if defined $s->{maximum};
            $bad->('http://x/' . 'x' x $s->{maxLength}, 'too long') if $s->{maxLength};
            $bad->('', 'empty') if $s->{minLength};
            $bad->('x y', 'of another form') if $s->{pattern};
            for my $word (grep { defined } @{$s->{enum} // []}) {
                my $answer = $try->(with($example, $path, $word));
                ok($answer->{status} =~ /^20[01]$/ || $answer->{json}{error}{message} !~ /\Q$path\E must be /, "$name: $path $word")
                    or diag($answer->{content});
            }
        }
    }
};

subtest 'bodies' => sub {
    my @late;
    for my $operation (grep { $_->{method} eq 'post' } @operations) {
        my $name = $operation->{id};
        my %in = (id => $job, delivery_id => $delivery);
        my $path = $operation->{path} =~ s/\{(\w+)\}/$in{$1}/gr;
        if ($operation->{request}) {
            refused(ask($name, body => '{'), '400 invalid_json', "$name: no JSON");
            refused(ask($name, headers => {'Content-Type' => 'text/plain'}), '415 unsupported_media_type', "$name: no type of it");
        }
        if ($operation->{multipart}) {
            refused(ask($name, body => part($video, 'other')), '400 invalid_request file', "$name: no part named file");
            refused(ask($name, body => part('x' x 1000)), '400 file_type file', "$name: no video");
            refused(ask($name, headers => {'Content-Type' => 'text/plain'}), '415 unsupported_media_type', "$name: no multipart");
        }
        my $large = ask($name, body => $operation->{multipart} ? part($video x 1300) : ' ' x 65537);
        is("$large->{status} $large->{json}{error}{code}", '413 too_large', "$name: too large");
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $nginx->port);
        print $socket "POST $path HTTP/1.1\r\nHost: x\r\nX-Api-Key: $key{acme}\r\nX-Admin-Token: $token\r\nContent-Length: 99\r\n"
            . ($operation->{multipart} ? "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b" : "\r\n{");
        push @late, [$operation, $socket];
    }
    for (@late) {
        my ($operation, $socket) = @$_;
        my ($head, $body) = split /\r\n\r\n/, do { local $/; <$socket> }, 2;
        my %headers = map { /^([^:]+): (.*)/ ? (lc $1, $2) : () } split /\r\n/, $head;
        my $answer = remember($operation, {status => $head =~ m{^HTTP/1\.1 (\d+)}, headers => \%headers, content => $body,
                                           json => decode_json($body)});
        refused($answer, '408 timeout', "$operation->{id}: a body that does not come");
    }
};

subtest 'states' => sub {
    my $poor = {'X-Api-Key' => $key{poor}};
    for my $name (qw(create_job process)) {
        refused(ask($name, body => {video_url => $source}, headers => $poor), '402 insufficient_credits', "$name without credits");
        refused(ask($name, body => {video_url => $source, output_format => 'mp4'}), '422 unsupported_combination output_format', "$name: mp4");
        is(ask($name, headers => {'Idempotency-Key' => "key of $name"})->{status}, 201, "$name with a key");
        refused(ask($name, body => {video_url => $source}, headers => {'Idempotency-Key' => "key of $name"}), '422 idempotency_mismatch', $name);
    }
    my $id = ask('create_job', body => {video_url => $source, auto_start => $false}, headers => $poor)->{json}{id};
    refused(ask('start_job', id => $id, body => {}, headers => $poor), '402 insufficient_credits', 'start without credits');
    my @drafts = (draft(), draft());
    refused(ask('start_job', id => $drafts[0], body => {output_format => 'mp4'}), '422 unsupported_combination', 'start: mp4 without a background');
    is(ask('start_job', id => $drafts[0], body => {}, headers => {'Idempotency-Key' => 'start'})->{status}, 200, 'start with a key');
    refused(ask('start_job', id => $drafts[1], body => {}, headers => {'Idempotency-Key' => 'start'}), '422 idempotency_mismatch', 'another start');
    refused(ask('start_job', id => $drafts[0], body => {output_format => 'mov'}), '409 job_already_started', 'started otherwise');
    refused(ask('download', id => $drafts[1]), '400 job_not_completed', 'no output yet');
    my $session = $pg->session('postgres');
    $session->query('BEGIN');
    $session->query("INSERT INTO matte.idempotency_key (tenant_id, key, route, body_sha256) SELECT id, 'busy', 'x', ''::bytea"
                    . " FROM matte.tenant WHERE client_id = 'acme'");
    refused(ask($_, id => $drafts[1], headers => {'Idempotency-Key' => 'busy'}), '409 idempotency_in_progress', "$_: still running")
        for qw(create_job process start_job);
    $session->query('ROLLBACK');
};

subtest 'methods' => sub {
    for my $path (sort keys %{$document->{paths}}) {
        my @methods = map { $_ eq 'get' ? qw(GET HEAD) : uc } sort keys %{$document->{paths}{$path}};
        my %has = map { $_ => 1 } @methods;
        for my $method (grep { !$has{$_} } qw(GET POST PUT PATCH DELETE OPTIONS)) {
            my $answer = $nginx->request($method, $path =~ s/\{\w+\}/x/gr);
            refused($answer, '405 method_not_allowed', "$method $path");
            is(join(' ', sort split /, /, $answer->{headers}{allow}), "@{[sort @methods]}", "$method $path: Allow");
        }
    }
};

# ---- what the whole service refuses ----------------------------------------------------------------------------------

subtest 'limits' => sub {
    ask('list_jobs', headers => {'X-Api-Key' => $key{limited}});
    for my $operation (grep { $_->{keyed} } @operations) {
        my $answer = refused(ask($operation->{id}, headers => {'X-Api-Key' => $key{limited}}), '429 rate_limited', "$operation->{id}: the key's");
        like($answer->{headers}{'retry-after'}, qr/^[1-9]\d*$/, "$operation->{id}: Retry-After");
    }
};

subtest 'no right, no database' => sub {
    allow_in_logs(qr/postgres: /);
    my @asking = grep { documents($_, 'internal_error') } @operations;
    $pg->psql('REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA matte FROM matte_api');
    refused(ask($_->{id}), '500 internal_error', "$_->{id}: no right") for @asking;
    $pg->stop('immediate');
    wait_for { 3 == grep { ask($_)->{status} == 503 } qw(pricing list_jobs cancel_job) } 10, 'the workers to see it';
    for my $operation (grep { documents($_, 'unavailable') } @operations) {
        my $answer = refused(ask($operation->{id}), '503 unavailable', "$operation->{id}: no database");
        is($answer->{headers}{'retry-after'}, 1, "$operation->{id}: Retry-After");
    }
    is(ask('health')->{status}, 200, 'health answers');
    $pg->restart;
};

subtest 'floods' => sub {
    $nginx->reconfigure(sub { s/rate=10000r\/s/rate=1r\/m/; s/ burst=\d+ nodelay//g; });
    ask('health');
    refused(ask($_->{id}), '429 rate_limited', "$_->{id}: the address's") for @operations;
};

# ---- the verdict -----------------------------------------------------------------------------------------------------

my $modules = "$dir/node_modules";
for my $package (glob(cache() . '/npm/*.tgz')) {
    my ($name) = $package =~ m{([^/]+)\.tgz$};
    make_path("$modules/$name");
    run_ok("$name is there", 'tar', 'xzf', $package, '-C', "$modules/$name", '--strip-components=1');
}
my $plain = JSON::PP->new->utf8->allow_nonref;
spew("$dir/answers", join '', map { $plain->encode({%$_, status => $_->{status} && 0 + $_->{status}, from => ''}) . "\n" } @answers);
my ($status, $text) = command('sh', '-c', 'NODE_PATH=$1 exec node $2 $3 <$4', 'sh', $modules, root() . '/t/peer/openapi.js',
                              root() . '/conf/openapi.json', "$dir/answers");
is($status, 0, 'the validator runs') or diag($text);
my @verdicts = split /\n/, $text, -1;
my @undocumented = grep { $verdicts[$_] } 0 .. $#answers;
is(scalar(@verdicts) - 1, scalar @answers, 'it judges every answer');
is(scalar @undocumented, 0, 'every answer is as documented');
diag("$answers[$_]{from}\n  $answers[$_]{status} $verdicts[$_]") for @undocumented[0 .. ($#undocumented < 20 ? $#undocumented : 20)];

my @missed;
for my $operation (@operations) {
    for my $status (sort keys %{$operation->{responses}}) {
        push @missed, grep { !$met{$_} } map { "$operation->{id} $status $_" } codes($operation->{responses}{$status});
    }
}
is_deeply(\@missed, [], 'every documented answer was given');

print 'contract.routes=', scalar @operations, "\ncontract.fields=$walked\ncontract.answers_checked=", scalar @answers,
      "\ncontract.undocumented=", scalar @undocumented, "\n";
done_testing;
