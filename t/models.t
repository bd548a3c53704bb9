#!/usr/bin/perl
# What is installed: `matte models` on a folder made here and on the one of set-up, `matte --model FILE.json` and its errors,
# that converters give the manifests' very files, and that the engine passes over a network that serves nothing.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use JSON::PP qw(decode_json encode_json);
use Matte::Test;
use Test::More;

my $root  = root();
my $files = cache() . '/models';
my $dir   = workspace();
mkdir "$dir/$_" for qw(models files);

sub matte { return command("$root/build/engine/matte", @_) }

# `matte models` of the folder made here: exit status, lines as lists of words, what else was said.
sub listed {
    my ($status, $text) = matte('models', '--models', "$dir/models", '--model-files', "$dir/files");
    my ($said) = $text =~ s/^(matte: .*)\n//m ? $1 : '';
    return ($status, [map { [split] } split /\n/, $text], $said);
}

# Writes the manifest of a network with one file a size; %o: fields that differ.
sub manifest {
    my ($name, $sizes, %o) = @_;
    my @files = map {
        my ($width, $height) = split /x/;
        { file => "${name}_$_.onnx", width => 0 + $width, height => 0 + $height, sha256 => sha256_hex("$name $_") }
    } @$sizes;
    return spew("$dir/models/$name.json", encode_json({
        name => $name, licence => 'MIT', source => 'this test', serves => [], files => \@files, input => 'in',
        mean => [0, 0, 0], std => [1, 1, 1], outputs => {alpha => 'out'}, %o,
    }));
}

# ---- a folder made here ----

my $heading = [qw(NETWORK SERVES LICENCE SIZE FILE BYTES STATE)];
manifest('b', ['32x16', '16x32'], serves => ['human', 'light'], licence => 'GPL-3.0');
manifest('a', ['64x64']);
spew("$dir/files/b_$_.onnx", "b $_") for '32x16', '16x32';
my @b = map { ['b', 'human,light', 'GPL-3.0', $_, "b_$_.onnx", 7, 'ok'] } '32x16', '16x32';
my ($status, $lines, $said) = listed();
is($status, 0, 'what is not installed is no error');
is_deeply($lines, [$heading, ['a', '-', 'MIT', '64x64', 'a_64x64.onnx', '-', 'missing'], @b],
    'networks by name, files in their order');
is($said, '', 'nothing else is said');

spew("$dir/files/b_32x16.onnx", 'another');
($status, $lines, $said) = listed();
is($status, 1, 'a file that is not the manifest\'s: exit status 1');
$b[0][6] = 'wrong';
is_deeply([@$lines[2, 3]], \@b, 'it is wrong, and the others are still listed');
is($said, 'matte: b_32x16.onnx is not the file that its manifest names: its SHA-256 is ' . sha256_hex('another') .
    '. (bad_model)', 'and what it is');

mkdir "$dir/files/a_64x64.onnx";
($status, $lines, $said) = listed();
is($lines->[1][6], 'wrong', 'a folder is no file') or diag($said);
rmdir "$dir/files/a_64x64.onnx";

spew("$dir/models/c.json", '{"name": "c"}');
($status, $lines, $said) = listed();
is($status, 1, 'a manifest that is wrong: exit status 1');
is($said, "matte: $dir/models/c.json: licence is missing. (bad_manifest)", 'and what is wrong');
unlink "$dir/models/c.json";

for (
    ['no folder of manifests', 1, qr/\(model_not_installed\)$/, '--models', "$dir/none", '--model-files', $files],
    ['no folder of files', 1, qr/\(bad_manifest\)$/, '--models', "$dir/models", '--model-files', "$dir/none"],
    ['a word too many', 2, qr/^matte: models takes options only\.$/, 'clip.mp4'],
    ['no such option', 2, qr/^matte: --nonsense is not an option/, '--nonsense'],
) {
    my ($name, $expected, $pattern, @arguments) = @$_;
    ($status, my $text) = matte('models', @arguments);
    is($status, $expected, "$name: exit status $expected");
    my ($line) = split /\n/, $text;
    like($line, $pattern, "$name: says so");
}

# ---- matte --model FILE.json ----

my $clip = cache() . '/clips/webcam.mp4';
spew("$dir/files/d_16x16.onnx", 'no network');
my %refused = (
    "$dir/none.json" => qr/none\.json cannot be opened: No such file or directory\. \(bad_manifest\)/,
    spew("$dir/broken.json", '{') => qr/broken\.json is not JSON: .*\(bad_manifest\)/,
    manifest('a', ['64x64']) => qr/None of the files of the network a is installed\. \(model_not_installed\)/,
    manifest('d', ['16x16']) => qr/d_16x16\.onnx is not the file that its manifest names.*\(bad_model\)/,
    manifest('e', ['16x16'], outputs => {embedding => 'out'}) => qr/network e makes no alpha.*\(bad_model\)/,
    manifest('f', ['16x16'], files => [{file => 'd_16x16.onnx', width => 16, height => 16, sha256 => sha256_hex('no network')}]) =>
        qr/d_16x16\.onnx .*\(\w*model\w*\)/,
);
for my $path (sort keys %refused) {
    ($status, my $text) = matte('--model', $path, '--model-files', "$dir/files", $clip, "$dir/out.webm");
    is($status, 1, "$path: exit status 1");
    like($text, $refused{$path}, "$path: says why");
}
ok(!-e "$dir/out.webm", 'and nothing is made');
($status, my $text) = matte('--model', "$root/conf/models/rvm.json", '--model-files', $files, '--preview', 0.1, $clip,
    "$dir/out.webm");
is($status, 0, 'the manifest of a network that is installed: made') or diag($text);
my $quiet = decode_json(slurp("$root/conf/models/rvm.json"));
$quiet->{serves} = [];
($status, $text) = matte('--model', spew("$dir/quiet.json", encode_json($quiet)), '--model-files', $files, '--preview', 0.1,
    $clip, "$dir/out.webm");
is($status, 0, 'and of one that serves nothing') or diag($text);

my $other = decode_json(slurp("$root/conf/models/multiclass.json"));
@$other{qw(fit channels range)} = qw(pad bgr picture);
($status, $text) = matte('--model', spew("$dir/other.json", encode_json($other)), '--model-files', $files, '--preview', 0.1,
    $clip, "$dir/out.webm");
is($status, 0, 'and of one whose pictures are padded, blue first and of their own range') or diag($text);

# ---- the engine ----

my @matted = ("$root/build/engine/matted", '-c', "$dir/matted.conf");
mkdir "$dir/state";
unlink glob "$dir/models/*";
manifest('a', ['64x64']);
spew("$dir/matted.conf", "database = dbname=none\nstate = $dir/state\nmodels = $dir/models\nmodel_files = $dir/files\n");
($status, $text) = command('timeout', 20, @matted);
is($status, 78, 'matted: no network that serves anything: does not start');
like($text, qr/holds no manifest that serves a model\./, 'and says so');

# ---- set-up ----

my %converters = (
    isnet      => ['isnet.py', cache() . '/isnet/isnet.onnx'],
    nanodet    => ['tfjs2onnx.py', cache() . '/nanodet/nanodet.json'],
    multiclass => ['tflite2onnx.py', cache() . '/multiclass/multiclass.tflite'],
);
($status, $text) = matte('models', '--models', "$root/conf/models", '--model-files', $files);
is($status, 0, 'every file of set-up is its manifest\'s') or diag($text);
my @lines = map { [split] } split /\n/, $text;
is_deeply([grep { $_->[6] ne 'ok' } @lines[1 .. $#lines]], [], 'and none is missing') or diag($text);
my %serves = map { $_->[1] eq '-' ? () : ($_->[0] => $_->[1]) } @lines[1 .. $#lines];
is_deeply(\%serves, {isnet => 'original', pro => 'pro', rvm => 'human,original,light', u2netp => 'light'}, 'what serves');

for my $name (sort keys %converters) {
    my ($program, $from) = @{ $converters{$name} };
    for my $file (@{ decode_json(slurp("$root/conf/models/$name.json"))->{files} }) {
        my @size = $name eq 'isnet' ? ('--size', "$file->{width}x$file->{height}") : ();
        my $out = "$dir/$file->{file}";
        $text = run_ok("$file->{file}: converts", '/usr/bin/python3', "$root/cuda_engine/nn/convert/$program", $from, @size,
            '-o', $out);
        is($text, "$file->{sha256}  $out\n", "$file->{file}: is the manifest's");
        unlink $out;
    }
}
($status, $text) = command('/usr/bin/python3', "$root/cuda_engine/nn/convert/isnet.py", $converters{isnet}[1],
    '--size', '1000x1024', '-o', "$dir/refused.onnx");
is($status, 1, 'a size that is no multiple of 64 is refused');
like($text, qr/--size 1000x1024: width and height must be multiples of 64/, 'and says so');

($status, $text) = command('/usr/bin/python3', "$root/cuda_engine/nn/convert/tflite2onnx.py", $converters{isnet}[1],
    '-o', "$dir/refused.onnx");
is($status, 1, 'what is no TFLite file is refused');
like($text, qr/isnet\.onnx is not a TFLite file/, 'and says so');

done_testing();
