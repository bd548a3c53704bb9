#!/usr/bin/perl
# The webhooks' secrets: what the operator is shown is what signs, while secret or key are changed too; and who has the
# database, its log, matted's log or what matted forks has none of them.

use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_base64 hmac_sha256_hex);
use Matte::Engine;
use Matte::Postgres;
use Matte::Receiver;
use Matte::Test;
use MIME::Base64 qw(decode_base64 encode_base64);
use Test::More;

my $dir = workspace();
my $pg = Matte::Postgres->start($dir);
$pg->psql("ALTER DATABASE matte SET $_") for "log_statement = 'all'", 'log_min_duration_statement = 0';
$pg->admin_key($_) for qw(acme example);
my $receiver = Matte::Receiver->start($dir);
my $file = "$dir/webhook.key";
my @keys = map { unpack 'H*', pack 'n*', map { rand 65536 } 1 .. 16 } 1 .. 3;
my %options = (
    fake         => 1,
    database     => $pg->conninfo('matte_engine'),
    state        => "$dir/state",
    egress_allow => '127.0.0.0/8:' . $receiver->port,
    extra        => {poll => '50ms'},
    wait         => 'database_connected',
);

sub key_file {
    my ($mode, @lines) = @_;
    unlink $file;
    spew($file, join '', map { "$_\n" } @lines);
    chmod $mode, $file or die "$file: $!";
    return;
}

# A job of the client's that is cancelled: the delivery that says so, as it was received.
my $made = 0;
sub delivered {
    my ($client) = @_;
    my $path = 'hook' . ++$made;
    my $url = $receiver->url('ok', $path);
    $pg->psql(<<"END");
SET search_path = matte;
INSERT INTO job (id, tenant_id, api_key_id, model, output_format, video_url, webhook_url, request_id)
  SELECT gen_random_uuid(), k.tenant_id, k.id, 'human', 'webm', 'http://example.com/v.mp4', '$url', '$path'
    FROM api_key k JOIN tenant t ON t.id = k.tenant_id WHERE t.client_id = '$client';
UPDATE job SET status = 'cancelled', finished_at = clock_timestamp() WHERE request_id = '$path';
END
    wait_for { $receiver->heard($path) } 20, $path;
    my ($request) = grep { $_->{path} eq $path } $receiver->requests;
    return $request;
}

# Signed by these secrets, in this order, and by no other.
sub signed {
    my ($name, $request, @secrets) = @_;
    my $headers = $request->{headers};
    my $standard = sub {
        return 'v1,' . hmac_sha256_base64(join('.', @$headers{qw(webhook-id webhook-timestamp)}, $request->{body}),
                                          decode_base64(substr $_[0], 6)) . '=';
    };
    is $headers->{'webhook-signature'}, join(' ', map { $standard->($_) } @secrets), $name;
    return is $headers->{'x-webhook-signature'},
        'sha256=' . hmac_sha256_hex("$headers->{'x-webhook-timestamp'}.$request->{body}", $secrets[0]), 'and the newest alone as documented';
}

sub rotate { my ($client) = @_; $pg->psql("SELECT matte.webhook_secret_rotate('$client')"); return; }

my ($engine, %secret);
sub restart { $engine->stop; $engine = Matte::Engine->start($dir, %options); return; }

key_file(0600, $keys[0]);
$engine = Matte::Engine->start($dir, %options);

subtest 'what is shown is what signs' => sub {
    $secret{$_}[0] = $engine->secret($_) for qw(acme example);
    like $secret{acme}[0], qr{^whsec_[A-Za-z0-9+/]{43}=$}, 'a secret as Standard Webhooks has it';
    isnt $secret{example}[0], $secret{acme}[0], "each client's own";
    is $engine->secret('acme'), $secret{acme}[0], 'the same when shown again';
    signed("$_: by it", delivered($_), $secret{$_}[0]) for qw(acme example);
    my ($status, $text) = command($engine->{binary}, '-c', $engine->{conf}, '-s', 'nobody');
    is $status, 78, 'of nobody none';
    is $text, qq(matted: There is no client "nobody".\n), 'with a sentence';
};

# Addresses have more than 32 bits.
no warnings 'portable';

# Which of these bytes are in the memory of a process; undef where it cannot be read.
sub remembers {
    my ($pid, %bytes) = @_;
    my %found;
    open my $mem, '<:raw', "/proc/$pid/mem" or return;
    for my $line (split /\n/, slurp("/proc/$pid/maps")) {
        my ($from, $to) = $line =~ /^([0-9a-f]+)-([0-9a-f]+) rw/ or next;
        my $left = hex($to) - hex($from);
        next unless sysseek $mem, hex $from, 0;
        for (my $text = ''; $left > 0; $text = substr $text, -100) {
            my $got = sysread($mem, $text, $left < 1 << 20 ? $left : 1 << 20, length $text) or last;
            $left -= $got;
            index($text, $bytes{$_}) >= 0 and $found{$_} = 1 for keys %bytes;
        }
    }
    return join ' ', sort keys %found;
}

subtest 'what is forked has none' => sub {
    my %bytes = (key => pack('H*', $keys[0]), digits => $keys[0], secret => decode_base64(substr $secret{acme}[0], 6),
                 text => $secret{acme}[0]);
    my $engines = remembers($engine->pid, %bytes);
    plan skip_all => "another process's memory cannot be read here" unless defined $engines;
    is $engines, 'key', 'matted keeps the key alone';
    my @children = $engine->workers;
    cmp_ok scalar(@children), '>=', 2, 'a worker, and the sender';
    is remembers($_, %bytes), '', slurp("/proc/$_/comm") =~ s/\n//r . ' has nothing' for @children;
};

subtest 'a new secret' => sub {
    rotate('acme');
    unshift @{$secret{acme}}, $engine->secret('acme');
    isnt $secret{acme}[0], $secret{acme}[1], 'is another';
    signed('both sign, the newest first', delivered('acme'), @{$secret{acme}});
    is $engine->secret('example'), $secret{example}[0], "other clients' are left alone";
};

# What the client's ids come to, the newest first, each with each key.
sub derived {
    my ($client, @with) = @_;
    my @ids = split /\n/, $pg->psql(<<"END");
SELECT s.id FROM matte.webhook_secret s JOIN matte.tenant t ON t.id = s.tenant_id
 WHERE t.client_id = '$client' ORDER BY expires_at DESC
END
    return map { my $id = $_; map { 'whsec_' . hmac_sha256_base64($id, pack 'H*', $_) . '=' } @with } @ids;
}

subtest 'a new key' => sub {
    key_file(0400, @keys[1, 0]);
    restart();
    my %new = map { $_ => [derived($_, @keys[1, 0])] } qw(acme example);
    is $engine->secret($_), $new{$_}[0], "$_: another secret" for qw(acme example);
    is $new{example}[1], $secret{example}[0], 'beside the old one';
    signed('both sign, the newest first', delivered('example'), @{$new{example}});
    is_deeply [@{$new{acme}}[1, 3]], $secret{acme}, 'where the secret is changed too';
    signed('four do', delivered('acme'), @{$new{acme}});
    key_file(0600, $keys[1]);
    restart();
    is $engine->secret($_), $new{$_}[0], "$_: the new one" for qw(acme example);
    signed('alone signs', delivered('example'), $new{example}[0]);
    $secret{$_} = $new{$_} for qw(acme example);
};

# matted with this key file: how it ends, and what it says.
sub refused {
    my ($name, $said) = @_;
    my ($status, $text) = command('timeout', 20, $engine->{binary}, '-c', "$dir/other.conf");
    is $status, 78, "$name: it does not start";
    like $text, qr/"not_started".*"err":"webhook_key: \Q$file\E: $said/, 'and says why';
    ($status, $text) = command($engine->{binary}, '-c', "$dir/other.conf", '-s', 'acme');
    is $status, 78, 'nor does it show a secret';
    like $text, qr/^matted: webhook_key: \Q$file\E: $said/, 'for the same reason';
    return;
}

subtest 'a wrong key' => sub {
    spew("$dir/other.conf", slurp($engine->{conf}) =~ s/^(socket = ).*/$1$dir\/run-other\/matted.sock/mr);
    key_file(0600, $keys[2]);
    refused('another', 'this is not the key that the other engines of this database make webhook secrets with\.');
    key_file(0600, $keys[0]);
    refused('the old one', 'this is not the key');
    key_file(0600, substr $keys[1], 0, 32);
    refused('too short', 'one line of 64 hexadecimal digits is expected');
    key_file(0640, $keys[1]);
    refused("the group's too", 'others than its owner may use it \(mode 0640\)');
    unlink $file;
    refused('none', 'No such file or directory\.');
    key_file(0600, $keys[1]);
    is $engine->secret('acme'), $secret{acme}[0], 'the right one is taken still';
    signed('and the engine that ran meanwhile sends', delivered('acme'), @{$secret{acme}}[0, 2]);
};

subtest 'neither database nor logs have any' => sub {
    rotate('example');
    unshift @{$secret{example}}, $engine->secret('example');
    delivered($_) for qw(acme example);
    $engine->stop;
    my ($status, $dump) = command('pg_dump', '-d', $pg->conninfo('postgres'));
    is $status, 0, 'the database is dumped';
    like $dump, qr/COPY matte\.webhook_delivery .*hook1\b/s, 'with its deliveries';
    my %text = (dump => $dump, "the server's log" => slurp($pg->{log}), "matted's log" => slurp("$dir/matted.log"));
    like $text{"the server's log"}, qr/webhook_claim.*webhook_done/s, 'and what was asked of it is logged';
    my @secrets = map { decode_base64(substr $_, 6) } map { @$_ } values %secret;
    cmp_ok scalar(@secrets), '>=', 6, 'six secrets, three keys';
    for my $name (sort keys %text) {
        my @found;
        for my $bytes (@secrets, map { pack 'H*', $_ } @keys) {
            my $hex = unpack 'H*', $bytes;
            my $base64 = substr encode_base64($bytes, ''), 0, 42;
            push @found, $hex if index($text{$name}, $bytes) >= 0 || index($text{$name}, $base64) >= 0 || $text{$name} =~ /$hex/i;
        }
        is "@found", '', "$name: neither raw, hexadecimal nor base64";
    }
};

$pg->stop;
done_testing;
