# Signed links to outputs: what is served, how, and what is not.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(hmac_sha256_hex);
use File::Path qw(make_path);
use JSON::PP;
use Matte::Nginx;
use Matte::Postgres;
use Matte::Test;
use Test::More;

my $dir = workspace();
my $pg = Matte::Postgres->start($dir, fsync => 0);
my $key = $pg->admin_key('acme');
my ($old, $new) = ('11' x 32, '22' x 16);
allow_in_logs(qr/connect\(\) to the engine/);
my %options = (database => $pg->conninfo('matte_api'), key => $key, secret => "new:$new; matte_link_secret old:$old");
my $nginx = Matte::Nginx->start($dir, %options);

sub sign {
    my ($path, $exp, $secret) = @_;
    return hmac_sha256_hex("GET\n$path\n$exp", pack 'H*', $secret // $new);
}

# A completed job with an output of its own, as the engine leaves it.
sub completed {
    my ($bytes) = @_;
    my $id = $nginx->post('/v1/jobs', {video_url => 'https://example.com/a.mp4'})->{json}{id};
    my ($claimed, $lease, $tenant) = split /\|/, $pg->psql("SELECT id, lease_no, tenant_id FROM matte.job_claim('t', '1 minute')");
    is($claimed, $id, 'claimed');
    my $output = "$tenant/$id/$lease.webm";
    make_path("$dir/state/outputs/$tenant/$id");
    spew("$dir/state/outputs/$output", $bytes);
    $pg->psql("SELECT matte.job_hold('$id', $lease, 1500, 45)");
    my $size = length $bytes;
    spew("$dir/state/outputs/$tenant/$id/$lease.alpha.mp4", 'grey');
    is($pg->psql("SELECT matte.job_complete('$id', $lease, 1500, '$output', $size, sha256('x'), 64, 36, 45, '[]',
                                            4, sha256('grey'))"), 't');
    return ($id, $output);
}

my $bytes = join '', map { pack 'N', $_ } 1 .. 50000;
my ($id, $output) = completed($bytes);
my $link;

subtest 'links' => sub {
    my $job = $nginx->get("/v1/jobs/$id")->{json};
    is($job->{status}, 'completed');
    $link = $job->{output_url};
    my $base = $nginx->url;
    my ($path, $exp, $kid, $sig) = $link =~ m{^\Q$base\E(/files/[^?]+)\?exp=(\d+)&kid=(\w+)&sig=([0-9a-f]{64})$};
    is($path, "/files/$output");
    cmp_ok(abs($exp - time - 900), '<', 5, 'for 15 minutes');
    is($kid, 'new', 'the first secret signs');
    is($sig, sign($path, $exp), 'HMAC-SHA256 of "GET\n" path "\n" exp');
    my $list = $nginx->get('/v1/jobs?status=completed')->{json}{items};
    like($list->[0]{output_url}, qr{^\Q$base\E/files/\Q$output\E\?exp=}, 'in a list too');
    for my $with ($key, undef) {
        my $download = $nginx->get("/api/download/$id", 'X-Api-Key' => $with);
        is_deeply([$download->{status}, @{$download->{json}}{qw(success output_format)}], [200, JSON::PP::true, 'webm']);
        is_deeply([sort keys %{$download->{json}}], [qw(download_url output_format success)]);
        is($nginx->get($download->{json}{download_url}, 'X-Api-Key' => undef)->{content}, $bytes, 'without a key it serves');
    }
    like($list->[0]{alpha_url}, qr{^\Q$base\E/files/[^?]+\.alpha\.mp4\?exp=}, 'and of the alpha, too');
    my $alpha = $nginx->get($job->{alpha_url}, 'X-Api-Key' => undef);
    is_deeply([$alpha->{content}, @{$alpha->{headers}}{qw(content-type content-disposition)}],
              ['grey', 'video/mp4', "attachment; filename=\"$id.alpha.mp4\""], 'which is served under its own name');
    is($nginx->get($job->{alpha_url} =~ s/alpha[.]mp4/alpha.mov/r, 'X-Api-Key' => undef)->{status}, 404, 'and no other');
    my $named = $nginx->raw("GET /v1/jobs/$id HTTP/1.1\r\nHost: video.example\r\nX-Api-Key: $key\r\nConnection: close\r\n\r\n");
    like($named, qr{"output_url":"http://video\.example/files/}, 'under the name that the client wrote');
    my $quote = $nginx->raw("GET /v1/jobs/$id HTTP/1.1\r\nHost: a\"b\r\nX-Api-Key: $key\r\nConnection: close\r\n\r\n");
    ok(decode_json($quote =~ s/.*\r\n\r\n//sr), 'JSON whatever the client wrote');
};

subtest 'served' => sub {
    $nginx->{key} = undef;
    my $answer = $nginx->get($link);
    is($answer->{status}, 200);
    is($answer->{content}, $bytes, 'the bytes');
    my %is = ('content-type' => 'video/webm', 'content-disposition' => "attachment; filename=\"$id.webm\"",
              'x-content-type-options' => 'nosniff', 'cache-control' => 'private', 'accept-ranges' => 'bytes',
              'content-length' => length $bytes);
    is($answer->{headers}{$_}, $is{$_}, $_) for sort keys %is;
    like($answer->{headers}{etag}, qr/^"/, 'etag');
    ok($answer->{headers}{'x-request-id'}, 'x-request-id');
    my $head = $nginx->request('HEAD', $link);
    is_deeply([$head->{status}, $head->{content} // '', @{$head->{headers}}{qw(content-length content-disposition)}],
              [200, '', length $bytes, $is{'content-disposition'}], 'HEAD');
    my $part = $nginx->get($link, Range => 'bytes=4-11');
    is_deeply([$part->{status}, $part->{content}, $part->{headers}{'content-range'}, $part->{headers}{'content-disposition'}],
              [206, pack('NN', 2, 3), 'bytes 4-11/200000', $is{'content-disposition'}], 'a range');
    is($nginx->get($link, Range => 'bytes=-4')->{content}, pack('N', 50000), 'the end');
    like($nginx->get($link, Range => 'bytes=0-3,8-11')->{headers}{'content-type'}, qr/multipart/, 'two ranges');
    is($nginx->get($link, 'If-None-Match' => $answer->{headers}{etag})->{status}, 304, 'If-None-Match');
    is($nginx->get($link, Range => 'bytes=4-11', 'If-Range' => '"other"')->{status}, 200, 'If-Range of another file');
    for (['Range', 'bytes=200000-', 416], ['If-Match', '"other"', 412]) {
        my $refused = $nginx->get($link, @$_[0, 1]);
        is($refused->{status}, $_->[2], "$_->[0]: $_->[2]");
        is($refused->{json}{error}{code}, 'invalid_request', "$_->[0]: as JSON");
        is($refused->{headers}{'content-disposition'}, undef, "$_->[0]: not as a file");
        is($refused->{headers}{'cache-control'}, 'no-store');
        is(scalar(grep { ref } values %{$refused->{headers}}), 0, "$_->[0]: no header twice");
    }
    my $log = wait_for { (grep { $_->{request_id} eq $answer->{headers}{'x-request-id'} } $nginx->access_log)[0] } 5, 'the log';
    is($log->{job_id}, $id, 'the job outlives the internal redirect');
};

subtest 'not served' => sub {
    my ($base, $path, $exp, $kid, $sig) = $link =~ m{^(http://[^/]+)([^?]+)\?exp=(\d+)&kid=(\w+)&sig=(\w+)$};
    my $foreign = $path =~ s/^(.{10})./$1 . (substr($path, 10, 1) eq '0' ? '1' : '0')/er;
    my $past = time - 1;
    my %bad = (
        'no signature' => $path,
        'no exp' => "$path?kid=$kid&sig=$sig",
        'no kid' => "$path?exp=$exp&sig=$sig",
        'another exp' => "$path?exp=@{[$exp + 1]}&kid=$kid&sig=$sig",
        'another kid' => "$path?exp=$exp&kid=old&sig=$sig",
        'an unknown kid' => "$path?exp=$exp&kid=x&sig=$sig",
        'another signature' => "$path?exp=$exp&kid=$kid&sig=" . ($sig =~ tr/0-9a-f/1-9a-f0/r),
        'a short signature' => "$path?exp=$exp&kid=$kid&sig=" . substr($sig, 1),
        'an empty signature' => "$path?exp=$exp&kid=$kid&sig=",
        'capitals' => "$path?exp=$exp&kid=$kid&sig=" . uc $sig,
        'expired' => "$path?exp=$past&kid=$kid&sig=" . sign($path, $past),
        'exp that is no number' => "$path?exp=x&kid=$kid&sig=" . sign($path, 'x'),
        'exp below zero' => "$path?exp=-1&kid=$kid&sig=" . sign($path, '-1'),
        'another path' => "$foreign?exp=$exp&kid=$kid&sig=$sig",
        'signed, but no file' => do { my $p = $path =~ s/\d+\.webm$/99.webm/r; "$p?exp=$exp&kid=$kid&sig=" . sign($p, $exp) },
        'the internal path' => "/_matte/$output?exp=$exp&kid=$kid&sig=$sig",
    );
    # signed by somebody who has the secret: the shape of the path still holds
    for my $p ('/files/', '/files/../nginx.conf', '/files/..%2f..%2fnginx%2fnginx.conf', "/files/$output/..", "/files/$output.sh",
               '/files/nginx.conf', $path =~ s/\.webm$//r, $path =~ s/webm$/WEBM/r, $path =~ s/webm$/web%00m/r,
               $path =~ s{/(\d+)\.webm$}{/x.webm}r, $path =~ s{^/files/}{/files//}r . 'x', $path =~ s/webm/muchtoolong/r) {
        my $decoded = $p =~ s/%2f/\//gr;
        $bad{"the path $p"} = "$p?exp=$exp&kid=$kid&sig=" . sign($decoded, $exp);
    }
    for my $name (sort keys %bad) {
        my $answer = $nginx->get($bad{$name});
        my $status = $name =~ /\.\.%2f|\/\.\.\/nginx|%00/ ? qr/^40[04]$/ : qr/^404$/;
        like($answer->{status}, $status, $name);
        is($answer->{json}{success}, JSON::PP::false, "$name: as JSON");
        is($answer->{headers}{'content-disposition'}, undef, "$name: not as a file");
    }
    is($nginx->post($link)->{status}, 405, 'POST');
    is($nginx->get("$path?exp=$exp&kid=old&sig=" . sign($path, $exp, $old))->{content}, $bytes, 'the second secret verifies');
    is($nginx->get("$path?sig=$sig&x=1&kid=$kid&exp=$exp")->{status}, 200, 'the order of arguments is free');
};

subtest 'public url' => sub {
    $nginx->stop;
    $nginx = Matte::Nginx->start("$dir", %options, edit => sub {
        s/(matte_link_ttl) .*/$1 1s;\n    matte_public_url https:\/\/video.example\/x;/;
    });
    my $url = $nginx->get("/v1/jobs/$id")->{json}{output_url};
    like($url, qr{^https://video\.example/x/files/$output\?}, 'matte_public_url');
    my ($path) = $url =~ m{/x(/files/.*)};
    is($nginx->get($path, 'X-Api-Key' => undef)->{status}, 200, 'in time');
    wait_for { $nginx->get($path, 'X-Api-Key' => undef)->{status} == 404 } 5, 'the end of matte_link_ttl';
    pass('out of time');
};

done_testing;
