# Whatever page nginx itself makes of a bad request is JSON with the request's id: in the clear, over TLS and over HTTP/2.
use strict;
use warnings;
use IPC::Open2 qw(open2);
use JSON::PP;
use Matte::Nginx;
use Matte::Postgres;
use Matte::Test;
use Test::More;

my $dir = workspace();
my $pg = Matte::Postgres->start($dir, fsync => 0);
my $key = $pg->admin_key('acme');
my $tls = free_port();
run_ok('a certificate', qw(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=127.0.0.1),
       '-keyout', "$dir/tls.key", '-out', "$dir/tls.crt");
allow_in_logs(qr/connect\(\) to the engine/);
my $nginx = Matte::Nginx->start($dir, database => $pg->conninfo('matte_api'), edit => sub {
    s/(listen .*;)/$1 listen 127.0.0.1:$tls ssl http2; ssl_certificate $dir\/tls.crt; ssl_certificate_key $dir\/tls.key;/;
    s/client_body_timeout .*/client_body_timeout 1s;/;
    s/rate=100r/rate=1000r/;
    s/(location \/files)/location \/forbidden { deny all; }
        location \/bad { return 502; }
        location \/slow { return 504; }
        location \/broken { return 507; }
        location \/limited { limit_req zone=one; root \/nowhere; }
        $1/;
    s/(limit_req_zone)/limit_req_zone \$uri zone=one:1m rate=1r\/m;\n    $1/;
});

# Both halves of a conversation in bytes: over TCP, and through openssl.
my %talk = (
    plain => sub { return $nginx->raw($_[0]); },
    tls   => sub {
        my $pid = open2(my $out, my $in, 'sh', '-c', 'exec openssl s_client -quiet -connect 127.0.0.1:$0 2>/dev/null', $tls);
        local $SIG{PIPE} = 'IGNORE';
        print $in $_[0];
        $in->flush;
        my $text = do { local $/; <$out> };
        close $in;
        waitpid $pid, 0;
        return $text // '';
    });

my ($checked, $not_json) = (0, 0);
sub judged {
    my ($name, $want, $text) = @_;
    1 while $text =~ s/\A(?:HTTP\/1\.1 100|HTTP\/2 100).*?\r\n\r\n//s;
    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    my ($status) = ($head // '') =~ m{\AHTTP/\S+ (\d{3})};
    my %header = map { /^([^:]+): (.*?)\r?$/ ? (lc $1, $2) : () } split /\n/, $head // '';
    my $json = eval { decode_json($body) };
    my $error = ref $json ? $json->{error} : {};
    my $good = ($header{'content-type'} // '') eq 'application/json' && ref $error eq 'HASH' && defined $error->{code}
        && length($error->{message} // '') && ($error->{request_id} // '') eq ($header{'x-request-id'} // '?') && !$json->{success};
    $checked++;
    $not_json++ unless $good;
    ok($good, "$name: JSON with the request's id") or diag($text);
    like($status // 'none', qr/^$want$/, "$name: $want") or diag($text);
    return;
}

my $end = "Host: x\r\nConnection: close\r\n\r\n";
my $post = "POST /v1/jobs HTTP/1.1\r\nX-Api-Key: $key\r\n";
my @raw = (
    ['nonsense', "nonsense\r\n\r\n", 400], ['no Host', "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400],
    ['two Hosts', "GET / HTTP/1.1\r\nHost: x\r\n$end", 400], ['a Host that is none', "GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n", 400],
    ['a zero in the line', "GET /\0 HTTP/1.1\r\n$end", 400], ['a bad method', "g\@t / HTTP/1.1\r\n$end", 400],
    ['an unknown method', "FOO /v1/jobs HTTP/1.1\r\n$end", 405], ['TRACE', "TRACE /v1/jobs HTTP/1.1\r\n$end", 405],
    ['CONNECT', "CONNECT x:1 HTTP/1.1\r\n$end", '400|405'], ['a version of the future', "GET / HTTP/9.9\r\n$end", 505],
    ['a path above the root', "GET /../etc HTTP/1.1\r\n$end", 400], ['a bad escape', "GET /%zz HTTP/1.1\r\n$end", 400],
    ['a long line', 'GET /' . 'x' x 9000 . " HTTP/1.1\r\n$end", 414], ['a long header', "GET / HTTP/1.1\r\nX: " . 'x' x 9000 . "\r\n$end", 400],
    ['many headers', "GET / HTTP/1.1\r\n" . join('', map { "X$_: " . 'x' x 4000 . "\r\n" } 1 .. 12) . $end, 400],
    ['a malformed header', "GET / HTTP/1.1\r\nX Y: z\r\n$end", 400],
    ['a length that is none', "${post}Content-Length: x\r\n$end", 400], ['two lengths', "${post}Content-Length: 1\r\nContent-Length: 2\r\n$end", 400],
    ['a length without end', "${post}Content-Length: 99999999999999999999\r\n$end", 400],
    ['length and chunks', "${post}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n$end", 400],
    ['an unknown coding', "${post}Transfer-Encoding: gzip\r\n$end", 501], ['a chunk that is none', "${post}Transfer-Encoding: chunked\r\n${end}zz\r\n", 400],
    ['a large body', "${post}Content-Length: 999999\r\n$end", 413], ['a slow body', "${post}Content-Length: 9\r\n$end\{", 408],
    ['too much in chunks', "${post}Transfer-Encoding: chunked\r\n$end" . "10001\r\n" . 'x' x 65537 . "\r\n0\r\n\r\n", 413],
    ['a slow chunk', "${post}Transfer-Encoding: chunked\r\n${end}5\r\n{", 408],
    ['an expectation nobody has', "${post}Expect: a miracle\r\nContent-Length: 1\r\n${end}x", '4\d\d'],
    ['a range that is not there', "GET /openapi.json HTTP/1.1\r\nRange: bytes=99999999-\r\n$end", 416],
    ['another file', "GET /openapi.json HTTP/1.1\r\nIf-Match: \"x\"\r\n$end", 412],
    ['a method of no file', "POST /openapi.json HTTP/1.1\r\nContent-Length: 0\r\n$end", 405],
    ['no such file', "GET /files/x HTTP/1.1\r\n$end", 404],
    map { ["nginx's own", "GET $_->[0] HTTP/1.1\r\n$end", $_->[1]] } ['/forbidden', 403], ['/bad', 502], ['/slow', 504], ['/broken', 507]);
for my $how (sort keys %talk) {
    subtest $how => sub {
        judged("$_->[0], $how", $_->[2], $talk{$how}->($_->[1])) for @raw;
        $talk{$how}->("GET /limited/$how HTTP/1.1\r\n$end");
        judged("a flood, $how", 429, $talk{$how}->("GET /limited/$how HTTP/1.1\r\n$end"));
    };
}
judged('plain HTTP to the port of TLS', 400, do {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $tls);
    print $socket "GET / HTTP/1.1\r\n$end";
    local $/; <$socket> });

spew("$dir/large", 'x' x 70000);
my @curl = (
    ['a bad method', 400, -X => 'g@t', '/v1/jobs'], ['an unknown method', 405, -X => 'FOO', '/v1/jobs'], ['TRACE', 405, -X => 'TRACE', '/v1/jobs'],
    ['a path above the root', 400, '--path-as-is', '/../etc'], ['a bad escape', 400, '/%zz'],
    ['a Host that is none', 400, -H => 'Host: a b', '/v1/jobs'], ['a length that is none', 400, -H => 'Content-Length: x', -X => 'POST', '/v1/jobs'],
    ['a large body', 413, '--data-binary', "\@$dir/large", -H => "X-Api-Key: $key", '/v1/jobs'],
    ['a body that is no JSON', 400, -d => '{', -H => 'Content-Type: application/json', -H => "X-Api-Key: $key", '/v1/jobs'],
    ['a slow body', 408, -X => 'POST', -T => '-', -H => "X-Api-Key: $key", '/v1/jobs'],
    ['a range that is not there', 416, -r => '99999999-', '/openapi.json'], ['another file', 412, -H => 'If-Match: "x"', '/openapi.json'],
    ['a method of no file', 405, -d => '', '/openapi.json'], ['no such route', 404, '/v2'], ['no key', 401, '/v1/jobs'],
    map { ["nginx's own", $_->[1], $_->[0]] } ['/forbidden', 403], ['/bad', 502], ['/slow', 504], ['/broken', 507], ['/limited/h2', 404], ['/limited/h2', 429]);
subtest 'HTTP/2' => sub {
    for (@curl) {
        my ($name, $status, @arguments) = @$_;
        my $path = pop @arguments;
        my $slow = $name eq 'a slow body' ? '(printf "{"; exec sleep 3) |' : '</dev/null';
        my ($rc, $text) = command('sh', '-c', "$slow exec \"\$@\"", 'sh', qw(curl -gski --http2 --max-time 20), @arguments,
                                  "https://127.0.0.1:$tls$path");
        like($text, qr{\AHTTP/2 }, "$name: is HTTP/2");
        judged("$name, HTTP/2", $status, $text);
    }
};

print "errors.checked=$checked\nerrors.not_json=$not_json\n";
done_testing;
