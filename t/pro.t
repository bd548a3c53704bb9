# What a prompt names, from end to end: `matte --model pro` and a job over HTTP, on one and on two persons; what is drawn of
# it, what it costs, and how prompts that name nothing are refused.
use strict;
use warnings;
use utf8;
use Matte::Media;
use Matte::Stack;
use Matte::Test;
use Test::More;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output todo_output);
my $dir = workspace();
$ENV{MATTE_MODELS} = root() . '/conf/models';
$ENV{MATTE_MODEL_FILES} = cache() . '/models';
my $webcam = cache() . '/clips/webcam.mp4';

sub matte { return command(root() . '/build/engine/matte', '--device', 'cpu', '--model', 'pro', @_) }

# Means of alpha in boxes of a MOV file, over all frames: x, y, width, height.
sub alpha {
    my ($file, @boxes) = @_;
    return map {
        my ($x, $y, $w, $h) = @$_;
        my @values = unpack 'C*', raw_video($file, "alphaextract,crop=$w:$h:$x:$y", 'gray');
        my $sum = 0;
        $sum += $_ for @values;
        $sum / @values / 255;
    } @boxes;
}

my @face = (195, 160, 24, 24);
my @corners = ([0, 0, 40, 30], [360, 0, 40, 30]);

subtest 'one person' => sub {
    mkdir "$dir/seen";
    my ($status, $text) = matte('--prompt', 'the person', '--explain', "$dir/seen", '--preview', 0.6, $webcam, "$dir/one.mov");
    is $status, 0, 'made' or return diag($text);
    my %got = $text =~ /^(\w+)=(\S+)$/mg;
    is $got{frames}, 15, 'every frame';
    is $got{follow_runs}, 15, 'each is followed';
    cmp_ok $got{detect_runs}, '<=', 8, 'not each is detected in';
    cmp_ok $got{encode_runs}, '<=', 4, 'and few are encoded';
    cmp_ok $got{encode_runs}, '>=', 1, 'at least one';
    my ($face, @clear) = alpha("$dir/one.mov", \@face, @corners);
    cmp_ok $face, '>', 0.95, 'the face is kept';
    cmp_ok $_, '<', 0.02, 'the wall is not' for @clear;
    my @drawn = glob "$dir/seen/*.png";
    cmp_ok scalar @drawn, '>=', $got{detect_runs}, 'a picture for each look';
    is $drawn[0], "$dir/seen/000000.png", 'the first frame is one';
    is join('x', map { stream($drawn[0], 'v:0', $_) } qw(width height)), '1024x768', 'as large as what is seen';
    my @rgb = unpack 'C*', raw_video($drawn[0], 'format=rgb24', 'rgb24');
    my $green = grep { $rgb[3 * $_] == 60 && $rgb[3 * $_ + 1] == 220 && $rgb[3 * $_ + 2] == 80 } 0 .. $#rgb / 3;
    cmp_ok $green, '>', 1000, 'a green box is in it';
};

subtest 'two persons, and one is named' => sub {
    my $two = made('-t', 0.24, '-i', $webcam, '-vf', 'split[a][b];[b]hflip[c];[a][c]hstack,pad=800:450:0:75:gray', '-an', '-c:v', 'libx264', '-crf', 12,
        "$dir/two.mp4");
    my @left = (195, 75 + 160, 24, 24);
    my @right = (800 - 24 - 195, 75 + 160, 24, 24);
    for (['the person on the left', 1, 0], ['person, not the left person', 0, 1], ['two persons', 1, 1]) {
        my ($prompt, @expected) = @$_;
        my ($status, $text) = matte('--prompt', $prompt, '--explain', "$dir/first.png", $two, "$dir/two.mov");
        is $status, 0, "$prompt: made" or return diag($text);
        my @got = alpha("$dir/two.mov", \@left, \@right);
        for my $side (0, 1) {
            cmp_ok abs($got[$side] - $expected[$side]), '<', 0.05, "$prompt: " . ('left', 'right')[$side] . " is $expected[$side]";
        }
    }
    ok -s "$dir/first.png", 'one picture where a file is named';
};

subtest 'nothing is asked for, nothing is there' => sub {
    my ($status, $text) = matte('--preview', 0.04, $webcam, "$dir/main.mov");
    is $status, 0, 'without a prompt: made' or return diag($text);
    cmp_ok((alpha("$dir/main.mov", \@face))[0], '>', 0.95, 'the main subject is kept');
    ($status, $text) = matte('--prompt', 'a zebra', '--preview', 0.04, $webcam, "$dir/none.mov");
    is $status, 0, 'nothing of that kind: made';
    like $text, qr/^matte: warning: Nothing that is to be kept was seen in the video\. \(nothing_found\)$/m, 'and it is said';
    cmp_ok((alpha("$dir/none.mov", [0, 0, 400, 300]))[0], '<', 0.001, 'nothing is kept');
    ($status, $text) = matte('--prompt', 'zebra, frobnicator', '--preview', 0.04, $webcam, "$dir/none.mov");
    like $text, qr/^matte: warning: .*frobnicator.*\(prompt_not_understood\)$/m, 'a word that is not known is named';
};

subtest 'what is refused' => sub {
    for (
        ['empty', '', qr/words|word/],
        ['another language', 'der Hund und die Katze', qr/"der Hund und die Katze".*person, bicycle/],
        ['10,000 characters', 'dog ' x 2500, qr/1000/],
        ['control characters', "dog\x01cat", qr/control/],
        ['no UTF-8', "dog \xff\xfe", qr/UTF-8/],
    ) {
        my ($name, $prompt, $why) = @$_;
        my ($status, $text) = matte('--prompt', $prompt, $webcam, "$dir/refused.mov");
        is $status, 2, "$name: exit status 2";
        like((split /\n/, $text)[0], qr/^matte: .*$why/, "$name: says why");
    }
    my ($status, $text) = matte('--model', 'human', '--prompt', 'dog', $webcam, "$dir/refused.mov");
    is $status, 1, 'a model that takes none: exit status 1';
    like $text, qr/The model human takes no prompt\. \(invalid_request\)/, 'and says so';
    ($status, $text) = matte('--explain', "$dir/nowhere", $webcam, "$dir/refused.mov");
    is $status, 1, 'neither a picture nor a folder: exit status 1';
    like $text, qr/nowhere is neither a file's name with \.png nor a folder\./, 'and says so';
    ok !-e "$dir/refused.mov", 'nothing is made';
    mkdir "$dir/part";
    spew("$dir/part/$_", slurp("$ENV{MATTE_MODELS}/$_")) for qw(pro.json nanodet.json sam_encoder.json sam_decoder.json);
    mkdir "$dir/none";
    ($status, $text) = matte('--models', "$dir/part", '--model-files', "$dir/none", $webcam, "$dir/refused.mov");
    like $text, qr/None of the files of the network nanodet is installed\. \(model_not_installed\)/, 'what is missing is named';
};

subtest 'a job' => sub {
    my $stack = Matte::Stack->start(backoff => 0.05);
    my $key = $stack->key('acme');
    my $url = $stack->serve($webcam);
    my $job = $stack->finished($key, $stack->create($key, video_url => $url, model => 'pro', text_prompt => 'person, frobnicator',
        preview_duration => 0.2));
    is $job->{status}, 'completed', 'completed' or return diag($job->{error});
    is_deeply [map { $_->{code} } @{ $job->{warnings} }], ['prompt_not_understood'], 'with a warning';
    my $file = $stack->download($job);
    is scalar(my @times = frame_times($file)), 5, 'all frames';
    cmp_ok((alpha_box($file, @face))[0], '>', 0.9, 'the face is kept');
    cmp_ok((alpha_box($file, @$_))[1], '<', 0.05, 'the wall is not') for @corners;
    $stack->stop;
};

done_testing();
