# Every answer that is not 2xx is JSON: bodies that are not a job, requests that are not HTTP, nginx's own refusals.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use Matte::Nginx;
use Matte::Postgres;
use Matte::Test;
use Test::More;

my $dir = workspace();
my $pg = Matte::Postgres->start($dir, fsync => 0);
my $key = $pg->admin_key('acme');
$pg->psql("UPDATE matte.api_key SET rate_per_min = 1000000, burst = 100000");
allow_in_logs(qr/connect\(\) to the engine/);
my $nginx = Matte::Nginx->start($dir, database => $pg->conninfo('matte_api'), key => $key, edit => sub {
    s/client_body_timeout .*/client_body_timeout 1s;/;
    s/client_header_timeout .*/client_header_timeout 1s;/;
    s/zone=address:10m rate=100r\/s/zone=address:10m rate=1000r\/s/;
    s/(location \/files)/location \/forbidden { deny all; }
        location \/limited { limit_req zone=one; root \/nowhere; }
        location \/bad { return 502; }
        location \/slow { return 504; }
        location \/own { return 418; }
        location \/broken { return 507; }
        location \/moved { return 302 \/health; }
        location \/unavailable { return 503; }
        $1/;
    s/(limit_req_zone)/limit_req_zone \$uri zone=one:1m rate=1r\/m;\n    $1/;
});
my $false = JSON::PP::false;
my $url = 'https://example.com/a.mp4';

# A raw answer, taken apart.
sub parsed {
    my ($text) = @_;
    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    my ($line, @headers) = split /\r\n/, $head // '';
    my %header = map { /^([^:]+): (.*)/ ? (lc $1, $2) : () } @headers;
    return {line => $line // '', status => ($line // '') =~ / (\d{3})/ ? $1 : 0, headers => \%header, content => $body,
            json => eval { decode_json($body) }};
}

sub refused {
    my ($answer, $status, $code, $name) = @_;
    my $error = $answer->{json}{error};
    is_deeply([$answer->{status}, $answer->{headers}{'content-type'}, $answer->{headers}{'content-length'},
               $answer->{json}{success}, $error->{code}, $error->{request_id}],
              [$status, 'application/json', length $answer->{content}, $false, $code, $answer->{headers}{'x-request-id'}],
              "$name: $status $code") or diag(explain($answer));
    like($error->{message}, qr/\.$/, "$name: a sentence");
    return;
}

subtest 'bodies' => sub {
    my $deep = sub { my ($n) = @_; return '{"x":' x $n . '1' . '}' x $n; };
    my $good = qq("video_url":"$url");
    for (['empty', ''], ['a space', ' '], ['not JSON', 'video_url=x'], ['cut off', '{"video_url":"x'], ['an open brace', '{'],
         ['a trailing comma', "{$good,}"], ['a second value', "{$good}{}"], ['a trailing word', "{$good}x"],
         ['an array', '[]'], ['a string', '"x"'], ['null', 'null'], ['a number', '1'], ['a comment', "{$good/**/}"],
         ['single quotes', "{'video_url':'x'}"], ['NaN', "{$good,\"preview_duration\":NaN}"],
         ['a byte of zero', "{$good}\0"], ['U+0000 in a value', '{"video_url":"a\u0000b"}'],
         ['U+0000 in a key', "{$good,\"a\\u0000\":1}"], ['U+0000 in metadata', "{$good,\"metadata\":{\"a\":\"\\u0000\"}}"],
         ['not UTF-8', "{\"video_url\":\"https://example.com/\xff\"}"], ['a raw line feed', "{\"video_url\":\"a\nb\"}"],
         ['33 levels', "{$good,\"y\":" . $deep->(32) . '}'], ['levels without end', '[' x 60000],
         ['levels in metadata', "{$good,\"metadata\":" . $deep->(40) . '}']) {
        refused($nginx->post('/v1/jobs', $_->[1]), 400, 'invalid_json', $_->[0]);
    }
    is($nginx->post('/v1/jobs', "{$good,\"y\":" . $deep->(31) . '}')->{status}, 201, '32 levels');
    is($nginx->post('/v1/jobs', " {$good} \n")->{status}, 201, 'spaces around');
    refused($nginx->post('/v1/jobs', "{$good,\"model\":1"), 400, 'invalid_json', 'a syntax error goes before a wrong type');
    is($nginx->post('/v1/jobs', "{$good,\"metadata\":{\"a\":\"\\ud800\",\"b\":1e999999}}")->{status}, 201,
       'metadata is the client\'s own affair');
    refused($nginx->post('/v1/jobs', "{$good,\"model\":\"\\ud800\"}"), 400, 'invalid_request', 'half a character');
    my $body = $nginx->post('/v1/jobs', "{$good,}")->{json}{error};
    like($body->{message}, qr/byte 4\d/, 'where the error is');
    my $full = "{$good,\"x\":\"" . 'x' x (65536 - length("{$good,\"x\":\"\"}")) . '"}';
    is(length $full, 65536);
    is($nginx->post('/v1/jobs', $full)->{status}, 201, '64 KB');
    refused($nginx->post('/v1/jobs', "$full "), 413, 'too_large', '64 KB and a byte');
    my $chunked = sub {
        my ($text, $size) = @_;
        my $out = "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Api-Key: $key\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        $out .= sprintf "%x\r\n%s\r\n", length $_, $_ for unpack "(a$size)*", $text;
        return parsed($nginx->raw("${out}0\r\n\r\n"));
    };
    is($chunked->("{$good}", 7)->{status}, 201, 'in chunks');
    is($chunked->(substr($full, 0, 40000) . '"}', 5000)->{status}, 201, 'in large chunks');
    refused($chunked->("$full ", 8192), 413, 'too_large', 'too much in chunks');
};

subtest 'types' => sub {
    my $body = qq({"video_url":"$url"});
    for my $type ('application/json', 'application/json; charset=utf-8', 'APPLICATION/JSON', 'application/merge-patch+json') {
        is($nginx->post('/v1/jobs', $body, 'Content-Type' => $type)->{status}, 201, $type);
    }
    for my $type ('text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonx', 'json') {
        refused($nginx->post('/v1/jobs', $body, 'Content-Type' => $type), 415, 'unsupported_media_type', $type);
    }
};

subtest 'not ASCII' => sub {
    my $send = sub { my ($header) = @_; my $body = qq({"video_url":"$url"});
        return parsed($nginx->raw("POST /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Api-Key: $key\r\nConnection: close\r\n$header\r\n"
                                  . 'Content-Length: ' . length($body) . "\r\n\r\n$body")); };
    refused($send->("Idempotency-Key: \xc3\xa9"), 400, 'invalid_request', 'Idempotency-Key');
    refused($send->("Idempotency-Key: a\x01"), 400, 'invalid_request', 'Idempotency-Key');
    is($send->('X: y')->{status}, 201, 'no type at all');
    like($send->("X-Request-Id: \xc3\xa9")->{headers}{'x-request-id'}, qr/^[0-9a-f]{32}$/, 'X-Request-Id');
    refused(parsed($nginx->raw("GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Api-Key: \xff\xfe\r\nConnection: close\r\n\r\n")),
            401, 'invalid_api_key', 'X-Api-Key');
};

# what nginx answers before any location is known
my $end = "Host: x\r\nConnection: close\r\n\r\n";
my @raw = (
    ['a zero in the request line', "GET /\0 HTTP/1.1\r\n$end", 400, 'invalid_request'],
    ['nonsense', "nonsense\r\n\r\n", 400, 'invalid_request'],
    ['no Host', "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400, 'invalid_request'],
    ['two Hosts', "GET / HTTP/1.1\r\nHost: x\r\n$end", 400, 'invalid_request'],
    ['a bad Content-Length', "POST /v1/jobs HTTP/1.1\r\nContent-Length: x\r\n$end", 400, 'invalid_request'],
    ['two lengths', "POST /v1/jobs HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n$end", 400, 'invalid_request'],
    ['length and chunks', "POST /v1/jobs HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n$end", 400, 'invalid_request'],
    ['an unknown coding', "POST /v1/jobs HTTP/1.1\r\nTransfer-Encoding: gzip\r\n$end", 501, 'internal_error'],
    ['a chunk that is none', "POST /v1/jobs HTTP/1.1\r\nX-Api-Key: $key\r\nTransfer-Encoding: chunked\r\n${end}zz\r\n", 400, 'invalid_request'],
    ['a path above the root', "GET /../etc HTTP/1.1\r\n$end", 400, 'invalid_request'],
    ['a bad escape', "GET /%zz HTTP/1.1\r\n$end", 400, 'invalid_request'],
    ['a version of the future', "GET / HTTP/9.9\r\n$end", 505, 'internal_error'],
    ['TRACE', "TRACE / HTTP/1.1\r\n$end", 405, 'method_not_allowed'],
    ['a long line', 'GET /' . 'x' x 9000 . " HTTP/1.1\r\n$end", 414, 'too_large'],
    ['a long header', "GET / HTTP/1.1\r\nX: " . 'x' x 9000 . "\r\n$end", 400, 'invalid_request'],
    ['a space in a header', "GET / HTTP/1.1\r\nX Y: z\r\n$end", 400, 'invalid_request'],
    ['a large body', "POST /v1/jobs HTTP/1.1\r\nContent-Length: 999999\r\n$end", 413, 'too_large'],
    ['an endless body', "POST /v1/jobs HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n$end", 400, 'invalid_request'],
);
subtest 'broken requests' => sub {
    refused(parsed($nginx->raw($_->[1])), @$_[2, 3], $_->[0]) for @raw;
    refused(parsed($nginx->raw("GET /\0 HTTP/1.1\r\n$end")), 400, 'invalid_request', 'again');
    is($nginx->get('/health')->{status}, 200, 'and it still serves');
};

subtest 'nginx\'s own pages' => sub {
    my %own = ('/forbidden' => [403, 'forbidden'], '/bad' => [502, 'unavailable'], '/slow' => [504, 'timeout'],
               '/own' => [418, 'invalid_request'], '/broken' => [507, 'internal_error'], '/unavailable' => [503, 'unavailable']);
    refused($nginx->get($_), @{$own{$_}}, $_) for sort keys %own;
    is($nginx->get('/unavailable')->{headers}{'retry-after'}, 1, 'Retry-After');
    refused($nginx->get('/limited'), 404, 'not_found', 'limit_req, the first');
    my $limited = $nginx->get('/limited');
    refused($limited, 429, 'rate_limited', 'limit_req');
    is($limited->{headers}{'retry-after'}, 1, 'Retry-After');
    is($nginx->get('/moved')->{status}, 302, 'what is no error stays');
    my $problem = $nginx->get('/forbidden', Accept => 'application/problem+json');
    is($problem->{headers}{'content-type'}, 'application/problem+json');
    is($problem->{json}{title}, 'Forbidden');
    my $head = $nginx->request('HEAD', '/forbidden');
    is_deeply([$head->{status}, $head->{content} // '', $head->{headers}{'content-type'}], [403, '', 'application/json'], 'HEAD');
    my $line = parsed($nginx->raw("POST /v1/jobs HTTP/1.1\r\nX-Api-Key: $key\r\nContent-Length: 46\r\n$end"
                                  . '{"video_url":"http://x","output_format":"mp4"}'))->{line};
    is($line, 'HTTP/1.1 422 Unprocessable Content', 'a reason phrase that nginx does not know');
};

subtest 'time' => sub {
    my $late = parsed($nginx->raw("POST /v1/jobs HTTP/1.1\r\nX-Api-Key: $key\r\nContent-Length: 10\r\nHost: x\r\n\r\n{"));
    refused($late, 408, 'timeout', 'a body that does not come');
    is($nginx->raw("GET / HTTP/1.1\r\nHo"), '', 'a header that does not come: the connection is closed');
    is($nginx->raw("POST /v1/jobs HTTP/1.1\r\nX-Api-Key: $key\r\nContent-Length: 10\r\nHost: x\r\n\r\n{", close => 1), '',
       'who goes away is told nothing');
};

subtest 'configuration' => sub {
    my @bad = (
        ['no database', sub { s/^ *matte_database .*//m }, qr/"matte_database" is required/],
        ['words libpq does not know', sub { s/dbname=/dbnam=/ }, qr/invalid connection option "dbnam"/],
        ['no time for a statement', sub { s/(matte_database_timeout) .*/$1 0;/ }, qr/must not be 0/],
        ['no time to connect', sub { s/(matte_database_connect_timeout) .*/$1 0;/ }, qr/must not be 0/],
        ['no state', sub { s/^ *matte_state_path .*//m }, qr/"matte_state_path" is required/],
        ['no secret', sub { s/^ *matte_link_secret .*//m }, qr/"matte_link_secret" is required/],
        ['a short secret', sub { s/(matte_link_secret).*/$1 k1:aabb;/ }, qr/at least 32 hexadecimal digits/],
        ['a secret that is none', sub { s/(matte_link_secret).*/$1 k1:@{['zz' x 32]};/ }, qr/hexadecimal/],
        ['no name of a secret', sub { s/(matte_link_secret).*/$1 @{['5a' x 32]};/ }, qr/KID:HEX/],
        ['a large body', sub { s/client_max_body_size 64k/client_max_body_size 1m/ }, qr/client_max_body_size/],
        ['a small buffer', sub { s/client_body_buffer_size 64k/client_body_buffer_size 8k/ }, qr/client_body_buffer_size/],
        ['a model nobody knows', sub { s/(matte_models) .*/$1 best;/ }, qr/invalid value "best"/],
        ['a format nobody knows', sub { s/(matte_formats) .*/$1 avi;/ }, qr/invalid value "avi"/],
        ['a lane nobody knows', sub { s/read=1/fast=1/ }, qr/invalid parameter "fast=1"/],
        ['no connection', sub { s/read=1/read=0/ }, qr/invalid parameter "read=0"/],
        ['a pipeline without end', sub { s/depth=64/depth=99999/ }, qr/invalid parameter "depth=99999"/],
        ['no queue', sub { s/(matte_database_queue) .*/$1 0;/ }, qr/must be between 1 and 65536/],
        ['a small zone', sub { s/matte:1m/matte:4k/ }, qr/at least 8 pages/],
        ['a zone without a size', sub { s/matte:1m/matte/ }, qr/NAME:SIZE/],
        ['an engine on TCP', sub { s/unix:\S+;/127.0.0.1:80;/ }, qr/unix:PATH/],
        ['a time that is none', sub { s/(matte_key_ttl) .*/$1 x;/ }, qr/needs a time/],
        ['a token in the clear', sub { s/# (matte_admin_token) .*/$1 secret;/ }, qr/needs sha256:/],
        ['half a digest', sub { s/# (matte_admin_token) .*/$1 sha256:abcd;/ }, qr/needs sha256:/],
        ['a token of no file', sub { s/# (matte_admin_token) .*/$1 file:$dir\/nowhere;/ }, qr/open\(\) ".*nowhere" failed/],
        ['an empty token', sub { spew("$dir/empty", "\n"); s/# (matte_legacy_key) .*/$1 file:$dir\/empty;/ }, qr/without a secret/],
        ['two tokens', sub { s/# (matte_admin_token) .*/$1 sha256:@{['5a' x 32]}; $1 sha256:@{['5a' x 32]};/ }, qr/duplicate/],
        ['another parameter', sub { s/negative=2s/positive=2s/ }, qr/negative=TIME/],
        ['two handlers', sub { s/matte_files;/matte_files; matte_api;/ }, qr/another handler/],
    );
    for (@bad) {
        my ($name, $edit, $pattern) = @$_;
        my ($status, $text) = $nginx->check($edit);
        is($status, 1, $name);
        like($text, $pattern, "$name: is told");
    }
    my ($status, $text) = $nginx->check(sub {});
    is($status, 0, 'and without a change it is good') or diag($text);
};

done_testing;
