#!/usr/bin/perl
# POST /v1/uploads: what is taken and what is answered, every refusal, bodies that are cut, late or slow, what is left
# behind (nothing), and what a large one costs the others.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use File::Path qw(remove_tree);
use IO::Socket::INET;
use JSON::PP;
use Matte::Stack;
use Matte::Test;
use POSIX ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Test::More;
use Time::HiRes qw(time sleep);

my $MAX = 500 * 1024 * 1024;
my $http2 = free_port();
my $stack = Matte::Stack->start(nginx => {edit => sub {
    s/limit_req .*//g;
    s/limit_conn conn.*//g;
    s/(listen .*;)/$1 listen 127.0.0.1:$http2 http2;/;
    s/matte_min_free .*/matte_min_free 0;/;
}});
my ($nginx, $pg, $state) = ($stack->nginx, $stack->postgres, "$stack->{dir}/state");
my %key = map { $_ => $stack->key($_) } qw(acme other small);
$pg->psql('UPDATE matte.api_key SET rate_per_min = 1000000, burst = 100000');
my $uuid = qr/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/;
my $video = slurp($stack->webcam);
my $B = 'bOuNdArY';
my @figures;

# A part of a body; undef as type sends none.
sub part {
    my ($name, $content, $filename, $type) = @_;
    return "--$B\r\nContent-Disposition: form-data; name=\"$name\"" . (defined $filename ? "; filename=\"$filename\"" : '') .
        "\r\n" . (defined $type ? "Content-Type: $type\r\n" : '') . "\r\n$content\r\n";
}

sub upload {
    my ($body, %headers) = @_;
    return $nginx->request('POST', '/v1/uploads', $body, 'X-Api-Key' => $key{acme},
                           'Content-Type' => "multipart/form-data; boundary=$B", %headers);
}

sub head {
    my ($length, @more) = @_;
    return join "\r\n", 'POST /v1/uploads HTTP/1.1', 'Host: x', "X-Api-Key: $key{acme}", 'Connection: close',
        "Content-Type: multipart/form-data; boundary=$B", (defined $length ? "Content-Length: $length" : ()), @more, '', '';
}

sub connection {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $nginx->port) or die "connect: $!";
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    $socket->autoflush(1);
    return $socket;
}

sub answer_of {
    my ($socket) = @_;
    local $SIG{ALRM} = sub { die "no answer\n" };
    alarm 30;
    my $text = do { local $/; <$socket> } // '';
    alarm 0;
    my ($status, $body) = $text =~ m{HTTP/1.1 (\d+) .*?\r\n\r\n(.*)}s;
    my $json = eval { decode_json($body) };
    return {status => $status // 0, json => $json, text => $text};
}

sub rows { return $pg->psql('SELECT count(*) FROM matte.upload') }
sub files {
    my ($folder) = @_;
    my @found;
    for my $path (glob "$state/$folder/*") { push @found, -d $path ? glob("$path/*") : $path; }
    return @found;
}

# Nothing in tmp/, and in uploads/ what the rows say.
sub clean {
    my ($name) = @_;
    my $want = $pg->psql(q{SELECT coalesce(string_agg(tenant_id || '/' || id || ' ' || bytes, ',' ORDER BY id), '')
                             FROM matte.upload WHERE deleted_at IS NULL});
    my $got = '';
    my $is = eval { wait_for {
        $got = join ',', sort { ($a =~ m{/(.*)})[0] cmp ($b =~ m{/(.*)})[0] }
                         map { my $size = -s; m{([^/]+/[^/]+)$} ? "$1 $size" : () } files('uploads');
        !files('tmp') && $got eq $want
    } 10, 'a clean state folder' };
    ok($is, "$name: nothing is left behind") or diag("rows $want\nfiles $got\ntmp ", files('tmp'));
    return;
}

sub refused {
    my ($answer, $status, $code, $field, $name) = @_;
    my $error = $answer->{json}{error};
    is_deeply([$answer->{status}, @{$error}{qw(code field)}], [$status, $code, $field], "$name: $status $code")
        or diag(explain $answer);
    like($error->{message} // '', qr/^[A-Z].*\.$/, "$name: a sentence");
    return;
}

sub curl {
    my (@arguments) = @_;
    my ($status, $text) = command('curl', '-sS', '-w', '\n%{http_code} %{http_version}', '-H', "X-Api-Key: $key{acme}", @arguments);
    my ($body, $code, $version) = $text =~ /(.*)\n(\d+) ([\d.]+)$/s;
    my $json = eval { decode_json($body) };
    return {status => $code, version => $version, json => $json, text => $text};
}

subtest 'an upload becomes a job and its output' => sub {
    my $answer = upload(part('file', $video, 'a clip.mp4', 'video/mp4') . "--$B--\r\n");
    is($answer->{status}, 201);
    my $json = $answer->{json};
    is_deeply([sort keys %$json], [qw(filename size success video_id video_url)], 'the members of the answer');
    like($json->{video_id}, qr/^$uuid$/);
    is_deeply([@$json{qw(success video_url filename size)}],
              [JSON::PP::true, "upload://$json->{video_id}", 'a clip.mp4', length $video]);
    my ($tenant, $row) = split / /, $pg->psql("SELECT tenant_id || ' ' || encode(sha256, 'hex') || bytes || filename
                                                 FROM matte.upload WHERE id = '$json->{video_id}'"), 2;
    is($row, sha256_hex($video) . length($video) . 'a clip.mp4', 'the row');
    my $file = "$state/uploads/$tenant/$json->{video_id}";
    is(sha256_hex(slurp($file)), sha256_hex($video), 'the bytes');
    is(sprintf('%o', (stat $file)[2] & 07777), '640', 'readable by the group alone');
    is(sprintf('%o', (stat "$state/uploads/$tenant")[2] & 07777), '2770', 'the group may remove it');
    is(my $log = (wait_for { (grep { $_->{request_id} eq $answer->{headers}{'x-request-id'} } $nginx->access_log)[0] } 5, 'log')
       ->{route}, 'upload', 'the route in the log');
    my $id = $stack->create($key{acme}, video_url => $json->{video_url}, preview_duration => 0.2);
    my $job = $stack->finished($key{acme}, $id);
    is($job->{status}, 'completed') or diag(explain $job);
    cmp_ok(-s $stack->download($job), '>', 1000, 'the output');
    for my $field ($json->{video_url}) {
        refused($nginx->post('/v1/jobs', {video_url => $field}, 'X-Api-Key' => $key{other}), 404, 'not_found', undef,
                'the upload of another client');
    }
    refused($nginx->post('/v1/jobs', {video_url => 'upload://00000000-0000-4000-8000-000000000000'}, 'X-Api-Key' => $key{acme}),
            404, 'not_found', undef, 'an upload that is none');
    clean('a round trip');
};

subtest 'ways to send it' => sub {
    my $file = $stack->webcam;
    my $base = $nginx->url;
    my %ways = (
        'curl' => [$base, '-F', "file=\@$file"],
        'chunked' => [$base, '-H', 'Transfer-Encoding: chunked', '-F', "file=\@$file"],
        'HTTP/2' => ["http://127.0.0.1:$http2", '--http2-prior-knowledge', '-F', "file=\@$file"],
        'HTTP/2 of no known length' => ["http://127.0.0.1:$http2", '--http2-prior-knowledge', '-H', 'Transfer-Encoding: chunked',
                                        '-F', "file=\@$file"],
        'with other parts' => [$base, '-F', 'a=b', '-F', "file=\@$file", '-F', 'c=d'],
        'without waiting for 100' => [$base, '-H', 'Expect:', '-F', "file=\@$file"],
    );
    for my $way (sort keys %ways) {
        my ($to, @arguments) = @{$ways{$way}};
        my $answer = curl(@arguments, "$to/v1/uploads");
        is($answer->{status}, 201, $way) or diag($answer->{text});
        is($answer->{version}, $way =~ /HTTP.2/ ? 2 : '1.1', "$way: the protocol");
        is($answer->{json}{size}, length $video, "$way: the size");
        is($pg->psql("SELECT encode(sha256, 'hex') FROM matte.upload WHERE id = '$answer->{json}{video_id}'"),
           sha256_hex($video), "$way: the hash");
    }
    my %names = ('no filename' => [part('file', $video), 'video'], 'no type' => [part('file', $video, 'b.mp4'), 'b.mp4'],
                 'a path' => [part('file', $video, '../../c.mp4'), 'c.mp4'],
                 'RFC 5987' => [part('file', $video, 'x.mp4"; filename*=UTF-8\'\'%e2%82%ac.mp4; x="'), "\x{20ac}.mp4"]);
    for my $name (sort keys %names) {
        my ($part, $filename) = @{$names{$name}};
        my $answer = upload("$part--$B--");
        is($answer->{status}, 201, $name) or diag($answer->{content});
        is($answer->{json}{filename}, $filename, "$name: the filename");
    }
    my $socket = connection();
    print $socket head(length(part('file', $video)) + length("--$B--"), 'Expect: 100-continue');
    my $line = <$socket>;
    like($line, qr{^HTTP/1.1 100 }, 'the body is asked for');
    print $socket part('file', $video) . "--$B--";
    like(answer_of($socket)->{text}, qr{201 Created}, 'and taken');
    clean('ways');
};

subtest 'containers' => sub {
    my @kinds = (qw(mp4 mov 3gp mkv webm avi ts m2ts mpg gif flv asf ogv), 'wide.mov');
    my %options = (webm => [qw(-c:v libvpx -b:v 100k)], ogv => [qw(-c:v libtheora)], mpg => [qw(-c:v mpeg1video -r 25)],
                   '3gp' => [qw(-c:v h263 -s 176x144)], gif => [qw(-c:v gif)], flv => [qw(-c:v flv)]);
    for my $kind (@kinds) {
        my $file = "$stack->{dir}/clip.$kind";
        if ($kind eq 'wide.mov') { spew($file, pack('N', 8) . 'wide' . 'x' x 100); }
        else {
            run_ok("ffmpeg writes $kind", qw(ffmpeg -v error -y -f lavfi -i testsrc=s=64x64:r=10:d=0.3), qw(-strict -2),
                   @{$options{$kind} // [qw(-c:v mpeg4)]}, $file);
        }
        is(upload(part('file', slurp($file), "clip.$kind") . "--$B--")->{status}, 201, "$kind is taken");
    }
    my %others = (png => "\x89PNG\r\n\x1a\n" . 'x' x 600, wav => 'RIFF....WAVEfmt ' . 'x' x 600, text => 'x' x 600, one => 'x',
                  'three bytes of EBML' => "\x1a\x45\xdf", G => 'G' . 'x' x 600, empty => '', html => '<html>' . ' ' x 600,
                  'a playlist' => "#EXTM3U\n" . 'x' x 600, 'ftyp at another place' => 'xxxxxftyp');
    for my $kind (sort keys %others) {
        refused(upload(part('file', $others{$kind}, 'a.mp4', 'video/mp4') . "--$B--"), 400, 'file_type', 'file', $kind);
    }
    clean('containers');
};

subtest 'refusals' => sub {
    my $good = part('file', $video) . "--$B--";
    my $before = rows();
    refused(upload($good, 'X-Api-Key' => undef), 401, 'missing_api_key', undef, 'no key');
    refused(upload($good, 'X-Api-Key' => 'mt_live_wrong'), 401, 'invalid_api_key', undef, 'a wrong key');
    refused(upload($good, 'Content-Type' => 'application/json'), 415, 'unsupported_media_type', undef, 'JSON');
    refused(upload($good, 'Content-Type' => undef), 415, 'unsupported_media_type', undef, 'no type');
    refused(upload($good, 'Content-Type' => 'multipart/form-data'), 400, 'invalid_request', 'Content-Type', 'no boundary');
    refused(upload($good, 'X-Api-Key' => 'mt_live_wrong', 'Content-Type' => undef), 401, 'invalid_api_key', undef,
            'a wrong type under a wrong key');
    refused(upload(part('video', 'ftyp') . "--$B--"), 400, 'invalid_request', 'file', 'no part named file');
    refused(upload(''), 400, 'invalid_request', undef, 'an empty body');
    refused(upload(undef), 400, 'invalid_request', undef, 'no body');
    refused(upload(part('file', $video)), 400, 'invalid_request', undef, 'no last boundary');
    refused(upload(part('file', $video) . part('file', $video) . "--$B--"), 400, 'invalid_request', undef, 'two files');
    refused(upload(part('x', 'y' x 70000) . $good), 413, 'too_large', undef, 'a large field');
    refused(upload(part('video', $video) . "--$B--"), 413, 'too_large', undef, 'a large file of another name');
    refused(upload("--$B\r\nnonsense\r\n\r\n"), 400, 'invalid_request', undef, 'a malformed header');
    my $get = $nginx->get('/v1/uploads', 'X-Api-Key' => $key{acme});
    refused($get, 405, 'method_not_allowed', undef, 'GET');
    is($get->{headers}{allow}, 'POST', 'Allow');
    for my $case (['a wrong key', 401, 'X-Api-Key: x'], ['too large', 413, 'Content-Length: ' . ($MAX + 65537)]) {
        my ($name, $status, $header) = @$case;
        my $socket = connection();
        my $head = head(1000, 'Expect: 100-continue');
        my ($field) = $header =~ /^(.*?):/;
        print $socket $head =~ s/^$field: .*\r$/$header\r/mr;
        my $answer = answer_of($socket);
        is($answer->{status}, $status, "$name: the body is not asked for") or diag($answer->{text});
    }
    # the rest of a refused body is not taken for the next request
    my $socket = connection();
    my $smuggled = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    print $socket head(length $smuggled) =~ s/Connection: close\r\n//r =~ s/X-Api-Key: .*?\r/X-Api-Key: x\r/r, $smuggled,
        "GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    my $text = answer_of($socket)->{text};
    is(join(' ', $text =~ m{HTTP/1.1 (\d+)}g), '401 404', 'a refused body is skipped') or diag($text);
    is(rows(), $before, 'no row');
    clean('refusals');
};

subtest 'limits' => sub {
    my $small = $pg->psql("SELECT id FROM matte.tenant WHERE client_id = 'small'");
    my $n = length $video;
    $pg->psql("UPDATE matte.tenant SET max_upload_bytes = 2 * $n - 1 WHERE id = '$small'");
    my @by = ('X-Api-Key' => $key{small});
    my $good = part('file', $video) . "--$B--";
    is(upload($good, @by)->{status}, 201, 'within the quota');
    my $answer = upload($good, @by);
    refused($answer, 413, 'too_large', 'file', 'beyond the quota');
    like($answer->{json}{error}{message}, qr/other uploads/, 'and says so');
    $pg->psql("UPDATE matte.tenant SET max_upload_bytes = 2 * $n WHERE id = '$small'");
    is(upload($good, @by)->{status}, 201, 'all of the quota');
    refused(upload($good, @by), 413, 'too_large', 'file', 'no room at all');
    $pg->psql("UPDATE matte.tenant SET max_upload_bytes = 3 * $n WHERE id = '$small'");
    $pg->psql("INSERT INTO matte.upload SELECT gen_random_uuid(), '$small', 'x', 1, NULL, now(), now()");
    is(upload($good, @by)->{status}, 201, 'what is deleted does not count');

    $nginx->reconfigure(sub { s/matte_upload_max_size .*/matte_upload_max_size $n;/; s/(client_body_timeout) 10s/$1 1s/ });
    is(upload($good)->{status}, 201, 'as large as may be');
    $answer = upload(part('file', $video . 'x') . "--$B--");
    refused($answer, 413, 'too_large', 'file', 'a byte more');
    is($answer->{json}{error}{message}, "The file may have at most $n bytes.");
    spew("$stack->{dir}/large", $video . 'x' x 3_000_000);
    my @late = ('-H', 'Transfer-Encoding: chunked', '-F', "file=\@$stack->{dir}/large");
    refused(curl(@late, $nginx->url . '/v1/uploads'), 413, 'too_large', 'file', 'a length that is told too late');
    # this curl drops what answers before its body's end over HTTP/2: the log tells what it was
    curl(@late, qw(--http2-prior-knowledge -H X-Request-Id:late), "http://127.0.0.1:$http2/v1/uploads");
    my $log = wait_for { (grep { $_->{request_id} eq 'late' } $nginx->access_log)[0] } 5, 'the log';
    is_deeply([@$log{qw(status error)}], [413, 'too_large'], 'and over HTTP/2');
    my $socket = connection();
    print $socket head(100_000), part('file', $video =~ s/^(.{5000}).*/$1/sr);
    my $from = time;
    refused(answer_of($socket), 408, 'timeout', undef, 'a body that stops');
    cmp_ok(time - $from, '<', 5, 'in time');
    my ($status, $text) = command('sh', '-c', "(printf -- '--$B\\r\\nContent-Disposition: form-data; name=file\\r\\n\\r\\n'; sleep 3)"
        . " | curl -sS -m 10 --http2-prior-knowledge -T - -X POST -H 'X-Api-Key: $key{acme}'"
        . " -H 'Content-Type: multipart/form-data; boundary=$B' http://127.0.0.1:$http2/v1/uploads");
    like($text, qr/"code":"timeout"/, 'a body that stops, over HTTP/2');
    clean('limits');

    allow_in_logs(qr/\[error\].*space above matte_min_free/);
    $nginx->reconfigure(sub { s/matte_min_free .*/matte_min_free 1000000g;/ });
    $answer = upload($good);
    refused($answer, 503, 'unavailable', undef, 'a disk that is too full');
    ok($answer->{headers}{'retry-after'}, 'Retry-After');
    clean('a full disk');
    $nginx->reconfigure(sub { s/matte_min_free .*/matte_min_free 0;/; s/matte_upload_max_size .*/matte_upload_max_size 500m;/;
                              s/(client_body_timeout) 1s/$1 10s/ });
    for my $case (['client_max_body_size 0', 'client_max_body_size 600m', qr/needs "client_max_body_size 0"/],
                  ['matte_upload_max_size 500m', 'matte_upload_max_size 0', qr/must not be 0/]) {
        my ($was, $is, $says) = @$case;
        my ($failed, $said) = $nginx->check(sub { s/\Q$was\E/$is/ });
        ok($failed, "nginx -t refuses $is");
        like($said, $says);
    }
};

subtest 'the route without a key' => sub {
    my @none = ('X-Api-Key' => undef, 'Content-Type' => "multipart/form-data; boundary=$B");
    my $good = part('file', $video) . "--$B--";
    refused($nginx->request('POST', '/api/upload', $good, @none), 404, 'not_found', undef, 'off by default');
    $nginx->reconfigure(sub { s/(matte_link_ttl .*)/$1 matte_legacy_key sha256:@{[sha256_hex($key{other})]};/ });
    my $answer = $nginx->request('POST', '/api/upload', $good, @none);
    is($answer->{status}, 201, 'on where a key is named for it') or diag($answer->{content});
    is($pg->psql("SELECT client_id FROM matte.tenant t JOIN matte.upload u ON u.tenant_id = t.id
                   WHERE u.id = '$answer->{json}{video_id}'"), 'other', 'whose client has it');
    refused($nginx->request('POST', '/v1/uploads', $good, @none), 401, 'missing_api_key', undef, 'the other still needs one');
    clean('without a key');
};

subtest 'cut at every place' => sub {
    my $body = part('x', 'y') . part('file', "GIF89a\r\n--bOuN\r\n-\r", 'a.gif', 'image/gif') . "--$B--\r\n";
    my $sum = sha256_hex("GIF89a\r\n--bOuN\r\n-\r");
    my $before = rows();
    my $bad = 0;
    for my $cut (0 .. length $body) {
        my $socket = connection();
        print $socket head(length $body), substr $body, 0, $cut;
        sleep 0.002;
        print $socket substr $body, $cut;
        $bad++ if answer_of($socket)->{status} != 201;
    }
    is($bad, 0, 'all are taken');
    is($pg->psql("SELECT count(*) FROM matte.upload WHERE sha256 = '\\x$sum'"), length($body) + 1, 'all are alike');
    $bad = 0;
    for my $cut (0 .. length($body) - 3) {          # without what may be missing: the last line break
        my $socket = connection();
        print $socket head(length $body), substr $body, 0, $cut;
        shutdown $socket, 1;
        $bad++ if answer_of($socket)->{text} =~ / 201 /;
    }
    is($bad, 0, 'none that ends early is');
    is(rows(), $before + length($body) + 1, 'rows');
    clean('cut');
};

subtest 'what goes away' => sub {
    my $before = rows();
    my $begin = part('file', $video) =~ s/\r\n$//r;
    for my $round (1 .. 20) {                        # the client
        my $socket = connection();
        print $socket head(100_000_000), $begin;
        $socket->sockopt(Socket::SO_LINGER(), pack 'II', 1, 0) if $round % 2;
        sleep 0.01 * ($round % 3);
        close $socket;
    }
    clean('clients that go');
    my @pids;
    for (1 .. 4) {
        my $pid = fork // die;
        if (!$pid) {
            exec {'sh'} 'sh', '-c', "exec timeout -s KILL 0.0$_ curl -s --limit-rate 3M --http2-prior-knowledge -o /dev/null -H 'X-Api-Key: $key{acme}'"
                . " -F file=\@$stack->{dir}/large http://127.0.0.1:$http2/v1/uploads";
        }
        push @pids, $pid;
    }
    waitpid $_, 0 for @pids;
    clean('clients of HTTP/2 that go');

    allow_in_logs(qr/exited on signal 9/);
    my @sockets = map { my $socket = connection(); print $socket head(100_000_000), $begin; $socket } 1 .. 6;
    wait_for { files('tmp') == 6 } 10, 'six uploads under way';
    kill 'KILL', $nginx->workers;
    answer_of($_) for @sockets;
    wait_for { $nginx->get('/health')->{status} == 200 } 10, 'new workers';
    is(scalar files('tmp'), 6, 'killed workers leave files');
    $stack->engine->stop;
    $stack->start_engine;
    clean('killed workers, and matted has swept');

    my $socket = connection();
    print $socket head(length($begin) + 4 + length "--$B--"), $begin;
    wait_for { files('tmp') == 1 } 10, 'an upload under way';
    allow_in_logs(qr/\[crit\].*connect|database_lost/);
    $pg->stop('immediate');
    print $socket "\r\n--$B--\r\n";
    my $answer = answer_of($socket);
    refused($answer, 503, 'unavailable', undef, 'a database that goes away');
    $pg->restart('immediate');
    wait_for { upload(part('file', $video) . "--$B--")->{status} == 201 } 20, 'the database';
    clean('a database that goes away');
    is(rows(), $before + 1, 'and no row is');
};

# ---- what a large one costs -----------------------------------------------------------------------------------------

my $chunk = pack('N', 16) . 'ftypisom' . "\0" x (256 * 1024 - 12);

# Sends a file of this size from another process, at most $rate bytes a second; returns its pid. It exits 0 after a 201.
sub send_large {
    my ($size, $rate) = @_;
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    $SIG{TERM} = 'DEFAULT';
    my $begin = part('file', '', 'large.mp4') =~ s/\r\n$//r;
    my $end = "\r\n--$B--\r\n";
    my $socket = connection();
    syswrite $socket, head(length($begin) + $size + length $end) . $begin;
    my $from = time;
    for (my $sent = 0; $sent < $size; $sent += length $chunk) {
        print $socket $chunk or POSIX::_exit(2);
        my $early = $rate ? $from + $sent / $rate - time : 0;
        sleep $early if $early > 0;
    }
    $socket->flush;
    syswrite $socket, $end;
    POSIX::_exit(answer_of($socket)->{status} == 201 ? 0 : 1);
}

sub rss {
    my ($worst, %pid) = (0);
    for my $pid ($nginx->workers) { $pid{$pid} = (slurp("/proc/$pid/status") =~ /VmRSS:\s+(\d+)/)[0]; }
    return \%pid;
}

subtest 'a large one' => sub {
    is(upload(part('file', $video) . "--$B--")->{status}, 201, 'the workers are warm') for 1 .. 4;
    my $before = rss();
    my $from = time;
    my $pid = send_large($MAX);
    my $growth = 0;
    while (waitpid($pid, POSIX::WNOHANG()) == 0) {
        my $now = rss();
        for (keys %$before) { my $d = $now->{$_} - $before->{$_}; $growth = $d if $d > $growth; }
        sleep 0.02;
    }
    is($?, 0, '500 MB are taken');
    my $took = time - $from;
    is($pg->psql('SELECT max(bytes) FROM matte.upload'), $MAX, 'whole');
    cmp_ok($growth, '<', 4096, 'the workers grow by less than 4 MiB');
    push @figures, sprintf('upload.rss_growth_mib=%.2f', $growth / 1024), sprintf('upload.mib_per_s=%.0f', 500 / $took);
};

sub p99 {
    my ($count, $until) = @_;
    my @times;
    my $id = $stack->{poll};
    while (@times < $count && (!$until || !$until->())) {
        my $from = time;
        $nginx->get("/v1/jobs/$id", 'X-Api-Key' => $key{acme})->{status} == 200 or die 'no answer';
        push @times, time - $from;
    }
    @times = sort { $a <=> $b } @times;
    return (1000 * $times[int 0.99 * @times], scalar @times);
}

subtest 'what the others feel' => sub {
    $stack->{poll} = $stack->create($key{acme}, video_url => 'https://example.com/a.mp4', auto_start => JSON::PP::false);
    p99(200);
    my ($idle) = p99(1500);
    my %sending = map { send_large(400 * 1024 * 1024, 120e6) => 1 } 1 .. 2;
    my $ended = 0;
    my ($busy, $polls) = p99(1500, sub {
        for (keys %sending) { if (waitpid($_, POSIX::WNOHANG()) == $_) { $ended++; delete $sending{$_} } }
        return $ended;
    });
    waitpid $_, 0 for keys %sending;
    cmp_ok($polls, '>', 50, 'polls during two uploads');
    push @figures, sprintf('upload.poll_p99_idle_ms=%.2f', $idle), sprintf('upload.poll_p99_ms=%.2f', $busy),
        sprintf('upload.poll_p99_ratio=%.2f', $busy / $idle);
};

remove_tree("$state/uploads");
$stack->stop;
done_testing;
print "$_\n" for @figures;
