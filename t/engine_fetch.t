#!/usr/bin/perl
# What matted fetches, what it refuses to fetch, and how each failure is said. The canary is a server that no request may
# ever reach; the origin is one that the policy allows.

use strict;
use warnings;
use IO::Socket::INET;
use Matte::Engine;
use Matte::Jobs;
use Matte::Origin;
use Matte::Postgres;
use Matte::Test;
use Test::More;

my $dir = workspace();
my $pg = Matte::Postgres->start($dir);
$pg->psql('ALTER DATABASE matte SET matte.backoff_scale = 0.01');
mkdir "$dir/www";
my $origin = Matte::Origin->start($dir, root => "$dir/www");
my $canary = Matte::Origin->start($dir, root => "$dir/www", name => 'canary');
my ($o, $c, $closed, $tls) = ($origin->port, $canary->port, free_port(), free_port());
my %options = (
    fake         => 1,
    database     => $pg->conninfo('matte_engine'),
    state        => "$dir/state",
    egress_allow => join(' ', map { "127.0.0.1/32:$_" } $o, $closed, $tls),
    env          => {http_proxy => "http://127.0.0.1:$c", all_proxy => "http://127.0.0.1:$c"},
    extra        => {lease => '2s', heartbeat => '500ms', fetch_timeout => '2s', fetch_max_bytes => '1m', workers => 6},
);
my $engine = Matte::Engine->start($dir, %options);
my $jobs = Matte::Jobs->new($pg, $pg->admin_key('acme', credits => 1000));
spew("$dir/www/good", "probe 10 2000\nwrite video\ndone 10 2000\n");
spew("$dir/www/big", 'x' x 1_048_577);

# Runs jobs of many URLs at once; [url, code, text, attempts] each.
sub all_fail {
    my (@cases) = @_;
    my @ids = map { $jobs->create($_->[0]) } @cases;
    for my $case (@cases) {
        my ($url, $code, $text, $attempts) = @$case;
        my $job = $jobs->over(shift @ids, 60);
        is_deeply [@$job{qw(status error_code attempt)}], ['failed', $code, $attempts], $url;
        like $job->{error_detail}, $text;
    }
    return;
}

run_ok('a certificate that nobody vouches for', qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext),
    'subjectAltName=IP:127.0.0.1', '-keyout', "$dir/tls.key", '-out', "$dir/tls.crt");
my $tls_server = spawn("$dir/tls.log", qw(openssl s_server -quiet -www -accept), "127.0.0.1:$tls",
    '-key', "$dir/tls.key", '-cert', "$dir/tls.crt");
wait_for { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$tls") } 10, 'the TLS server';

subtest 'what is fetched' => sub {
    for my $path ('good', 'good?a=%2e&b=c#d', 'redirect/1/good', 'redirect/3/good', "redirect-to?http://127.0.0.1:$o/good") {
        my $job = $jobs->over($jobs->create($origin->base . "/$path"));
        is $job->{status}, 'completed', $path;
        is slurp("$dir/state/outputs/$job->{output_key}"), 'video';
    }
    is scalar($origin->hits('/good')), 2, 'each is asked for once';
};

subtest 'how failures are said' => sub {
    my $base = $origin->base;
    all_fail(
        ["$base/404",   'fetch_4xx', qr/^The server 127\.0\.0\.1 answered with status 404\.$/, 1],
        ["$base/500",   'fetch_5xx', qr/^The server 127\.0\.0\.1 answered with status 500\.$/, 3],
        ["$base/503",   'fetch_5xx', qr/status 503\.$/, 3],
        ["$base/redirect/1/missing", 'fetch_4xx', qr/status 404/, 1],
        ["$base/empty", 'empty_input', qr/no bytes/, 1],
        ["$base/big",   'too_large', qr/^The file is larger than 1048576 bytes\.$/, 1],
        ["$base/endless", 'too_large', qr/1048576/, 1],
        ["$base/hang",  'fetch_timeout', qr/did not arrive from 127\.0\.0\.1 in time/, 3],
        ["$base/slow",  'fetch_timeout', qr/did not arrive from 127\.0\.0\.1 in time/, 3],
        ["$base/cut/good", 'fetch_unreachable', qr/closed the connection before the end/, 3],
        ["$base/headers", 'fetch_unreachable', qr/sends more than 65536 bytes of headers/, 1],
        ["$base/redirect/4/good", 'url_denied', qr/redirects more than 3 times/, 1],
        ["https://127.0.0.1:$tls/x", 'fetch_unreachable', qr/^The certificate of 127\.0\.0\.1 is not valid\.$/, 1],
        ["$base/redirect-far", 'url_denied', qr/redirects to a URL that is not fetched/, 1],
        ["http://127.0.0.1:$closed/x", 'fetch_unreachable', qr/^The server 127\.0\.0\.1 does not accept connections\.$/, 3],
        ['http://no-such-host.invalid/x', 'fetch_unreachable', qr/^The name no-such-host\.invalid does not resolve/, 3],
    );
    my $job = $jobs->over($jobs->create("$base/gzip"));
    is $job->{error_code}, 'unreadable_media', 'an encoding that was not asked for is not undone';
};

subtest 'what is not fetched' => sub {
    my @spellings = (
        "http://127.0.0.1:$c/x", "http://localhost:$c/x", "http://LOCALHOST:$c/x",
        "http://127.1:$c/x", "http://127.0.1:$c/x", "http://2130706433:$c/x", "http://0x7f000001:$c/x",
        "http://0x7f.1:$c/x", "http://0177.0.0.1:$c/x", "http://017700000001:$c/x", "http://127.0.0.2:$c/x",
        "http://0:$c/x", "http://0.0.0.0:$c/x", "http://[::1]:$c/x", "http://[::]:$c/x", "http://[::ffff:127.0.0.1]:$c/x",
        "http://[::ffff:7f00:1]:$c/x", "http://[::127.0.0.1]:$c/x", "http://[64:ff9b::7f00:1]:$c/x",
        "http://[fe80::1%25lo]:$c/x", "http://user:pass\@127.0.0.1:$c/x", "http://1.1.1.1\@127.0.0.1:$c/x",
        "http://127.0.0.1:$o\@127.0.0.1:$c/x", "http://127.0.0.1:$c#\@127.0.0.1:$o/good", "http://127.0.0.1%00:$c/x",
        "http://\x{ff11}27.0.0.1:$c/x", "http://127\x{3002}0\x{3002}0\x{3002}1:$c/x",
        'http://10.0.0.1/x', 'http://192.168.1.1/x', 'http://169.254.169.254/latest/meta-data/', 'http://172.16.0.1/x',
        'http://100.100.100.200/x', 'http://168.63.129.16/x', 'http://[fd00:ec2::254]/x', 'http://224.0.0.1/x',
        "http://1.1.1.1:$c/x", 'http://1.1.1.1:22/x', "https://127.0.0.1:$c/x",
    );
    my $base = $origin->base;
    my @redirects = map { "$base/redirect-to?$_" }
        "http://127.0.0.1:$c/x", "http://localhost:$c/x", 'http://169.254.169.254/x', "http://[::1]:$c/x",
        'file:///etc/passwd', "ftp://127.0.0.1:$c/x", "gopher://127.0.0.1:$c/x", "//127.0.0.1:$c/x",
        "http://u\@127.0.0.1:$o/good", "$base/redirect-to?http://127.0.0.1:$c/x";
    my @ids = map { utf8::encode(my $url = $_); $jobs->create($url) } @spellings, @redirects;
    for my $url (@spellings, @redirects) {
        my $job = $jobs->over(shift @ids, 60);
        my $name = $url =~ s/[^ -~]/?/gr;
        is_deeply [@$job{qw(status error_code attempt)}], ['failed', 'url_denied', 1], $name
            or diag $job->{error_detail};
    }
    is_deeply [$canary->hits], [], 'the canary was never reached';
    is $jobs->over($jobs->create($origin->base . '/good'))->{status}, 'completed', 'and the next good URL is fetched';
};

subtest 'a name that answers differently the second time' => sub {
    plan skip_all => 'a sanitizer and a preloaded resolver do not go together' if $ENV{MATTE_SAN};
    # A resolver that says a public address when it is asked first, and the canary's when it is asked again
    spew("$dir/rebind.c", <<'END');
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
const char *gai_strerror(int rc)
{
    return getenv("SAID") ? getenv("SAID") : "?";
}
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
    static int asked;
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **)) dlsym(RTLD_NEXT, "getaddrinfo");
    if (name && !strcmp(name, "both.test")) {           /* two addresses at once, the second one private */
        int rc = real("192.0.2.1", service, hints, list);
        if (!rc) {
            inet_pton(AF_INET, "1.1.1.1", &((struct sockaddr_in *) (*list)->ai_addr)->sin_addr);
            rc = real("127.0.0.1", service, hints, &(*list)->ai_next);
        }
        return rc;
    }
    if (name && !strcmp(name, "taken-over.test")) {     /* what a hijacked fetcher might try; it says what worked */
        char *const none[] = { 0 };
        char said[64] = "";
        FILE *in = fopen(getenv("SECRET"), "r"), *out = fopen(getenv("SECRET"), "a");
        pid_t parent = getppid();
        strcat(said, in ? "read " : "");
        strcat(said, out ? "write " : "");
        strcat(said, remove(getenv("SECRET")) ? "" : "remove ");
        strcat(said, kill(parent, 0) ? "" : "kill ");
        execve("/usr/bin/true", none, none);
        strcat(said, errno == EPERM ? "" : "exec ");
        strcat(said, "tried");
        setenv("SAID", said, 1);
        return EAI_SYSTEM;
    }
    if (name && !strcmp(name, "rebind.test")) {
        return real(asked++ ? "127.0.0.1" : getenv("FIRST_ANSWER"), service, hints, list);
    }
    return real(name, service, hints, list);
}
END
    run_ok('a resolver of our own', qw(cc -shared -fPIC -o), "$dir/rebind.so", "$dir/rebind.c", '-ldl') =~ /./;
    chmod 0755, "$dir/rebind.so";
    $engine->stop;
    # the first answer is one that the rules allow, on the canary's port: a second look-up would reach the canary
    $engine = Matte::Engine->start($dir, %options,
        egress_allow => "127.0.0.3/32:$c", env => {LD_PRELOAD => "$dir/rebind.so", FIRST_ANSWER => '127.0.0.3', SECRET => "$dir/state/tmp/secret"});
    spew("$dir/state/tmp/secret", 'x');
    chmod 0666, "$dir/state/tmp/secret";
    my $job = $jobs->over($jobs->create("http://rebind.test:$c/x"));
    is $job->{error_code}, 'fetch_unreachable', 'only the address that was judged is connected to';
    $job = $jobs->over($jobs->create('http://both.test/x'));
    is $job->{error_code}, 'url_denied', 'one denied address denies the name';
    $job = $jobs->over($jobs->create('http://taken-over.test/x'));
    like $job->{error_detail}, qr/does not resolve: tried\.$/, 'a fetcher that is taken over can do nothing here';
    unlink "$dir/state/tmp/secret";
    is_deeply [$canary->hits], [];
};

unlike slurp($engine->log), qr{/x\b|a=%2e}, 'no path or query in the log';
is $engine->stop, 0;
is $jobs->violations, '';
$_->stop for $origin, $canary, $pg;
done_testing;
