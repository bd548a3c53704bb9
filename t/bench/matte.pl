#!/usr/bin/perl
# ./build.sh bench matte: how near the finished file is to a matte that is known. Cut-outs with exact alpha move over real
# footage, get a camera's noise and H.264, and go through `matte`; what comes out is decoded and scored (t/bench/score.c),
# for the network's alpha alone and for all that is made of it, and beside two mattes that need no network. Leaves
# build/bench/matte.md, a table, and build/bench/matte.png, the pictures. With names of categories after it, only those.
use strict;
use warnings;
use List::Util qw(sum);
use POSIX qw(floor);

my ($cache, $out, $bin) = ($ENV{MATTE_CACHE}, 'build/bench', 'build/engine');
my ($width, $height, $frames) = (1280, 720, 12);
my $stamps = '/usr/share/tuxpaint/stamps';
my @refinements = qw(calm clean edges colors guide);
my @measures = qw(mad mse grad conn dtssd edge_psnr);

# Every category: what is added to the cut-out and how it moves (scene.c), the cut-out, the network.
my @categories = (
    ['photo',  'photo', 'animals/birds/helmeted_guineafowl.png', 'isnet'],
    ['hair',   'hair',  'animals/birds/albino_peahen.png',       'isnet'],
    ['veil',   'veil',  'plants/flowers/anemone_red.png',        'isnet'],
    ['holes',  'holes', 'animals/birds/helmeted_guineafowl.png', 'isnet'],
    ['blur',   'blur',  'plants/flowers/anemone_red.png',        'isnet'],
    ['still',  'still', 'animals/birds/helmeted_guineafowl.png', 'isnet'],
    ['far',    'far',   'animals/birds/helmeted_guineafowl.png', 'isnet'],
    ['dog',    'photo', 'animals/mammals/dogs/dog.png',          'isnet'],
    ['rest',   'still', 'animals/mammals/dogs/dog.png',          'isnet'],
    ['face',   'photo', undef,                                   'isnet'],
    ['seat',   'still', undef,                                   'isnet'],
    ['truck',  'photo', 'vehicles/emergency/firetruck.png',      'isnet'],
    ['parked', 'still', 'vehicles/emergency/firetruck.png',      'isnet'],
    ['small',  'photo', 'plants/flowers/anemone_red.png',        'u2netp'],
    ['person', 'photo', undef,                                   'rvm'],
    ['locks',  'hair',  undef,                                   'rvm'],
    ['pose',   'still', undef,                                   'rvm'],
);
# Of a network made for single pictures: a dog, a person and a thing, moving and not.
my %original = map { ($_ => 1) } qw(dog rest face seat truck parked);
# Where cleaning has to show, and where it must not.
my %cleaned = map { ($_ => 1) } qw(photo hair);
if (my %only = map { ($_ => 1) } @ARGV) { @categories = grep { $only{$_->[0]} } @categories }

$| = 1;
$ENV{MATTE_MODELS} = 'conf/models';
$ENV{MATTE_MODEL_FILES} = "$cache/models";
run('rm', '-rf', $out);
run('mkdir', '-p', $out);

sub run { system(@_) == 0 or die "bench: @_ failed\n"; }

sub ffmpeg { run('ffmpeg', '-v', 'error', '-y', @_); }

sub size { my ($file) = @_; return split /x/, qx(ffprobe -v error -show_entries stream=width,height -of csv=s=x:p=0 '$file') =~ s/\s//gr; }

sub raw { my ($file, $format, $to) = @_; ffmpeg('-i', $file, '-frames:v', 1, '-pix_fmt', $format, '-f', 'rawvideo', $to); }

# A person of whom the alpha is known: the webcam's, cut out once. However that went, it is exact for what is made of it;
# but a shirt is not translucent, so alpha is stretched until the network's doubts are none.
sub person {
    my $file = "$out/person.png";
    return $file if -e $file;
    ffmpeg('-ss', 2, '-i', "$cache/clips/webcam.mp4", '-frames:v', 1, '-vf', 'scale=1200:900:flags=lanczos', '-crf', 10, "$out/person.mp4");
    matte('isnet', "$out/person.mp4", "$out/person.mov");
    ffmpeg('-i', "$out/person.mov", '-frames:v', 1, '-vf', "format=rgba,lutrgb=a='clip((val-26)*255/(179-26),0,255)'", $file);
    return $file;
}

sub matte {
    my ($network, $in, $to, @without) = @_;
    unlink $to;
    run('sh', '-c', 'exec "$@" >/dev/null 2>&1', '-', "$bin/matte", '--model', "conf/models/$network.json", '--budget', 0,
        (map { ('--without', $_) } @without), $in, $to);
}

sub scene {
    my ($name, $kind, $subject) = @_;
    my $folder = "$out/$name";
    run('mkdir', '-p', $folder);
    my ($w, $h) = size($subject);
    raw($subject, 'rgba', "$folder/subject");
    run("$bin/bench/scene", $kind, 1, $frames, $width, $height, "$folder/subject", $w, $h, "$out/background", $folder);
    ffmpeg('-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', "${width}x$height", '-r', 25, '-i', "$folder/frames.rgb",
        '-vf', 'scale=out_color_matrix=bt709', '-pix_fmt', 'yuv420p', qw(-colorspace bt709 -color_primaries bt709 -color_trc bt709),
        qw(-c:v libx264 -b:v 5M), "$folder/clip.mp4");
    unlink "$folder/frames.rgb", "$folder/subject";
    return $folder;
}

sub score {
    my ($folder, $alpha, $color) = @_;
    my @lines = qx($bin/bench/score $width $height $frames $folder/alpha.gray16le $folder/foreground.rgb $alpha $color);
    die "bench: score failed\n" if $?;
    return { map { /^(\w+)=(.*)$/ ? ($1, $2) : () } @lines };
}

# A finished file's, straight as it is decoded.
sub score_file {
    my ($folder, $file) = @_;
    ffmpeg('-i', $file, '-vf', 'extractplanes=a,format=gray16le', '-f', 'rawvideo', "$folder/alpha");
    ffmpeg('-i', $file, '-vf', 'scale=in_color_matrix=bt709:in_range=tv,format=rgb24', '-f', 'rawvideo', "$folder/color");
    return score($folder, "$folder/alpha", "$folder/color");
}

# A matte of one value: all of the picture, or nothing of it.
sub score_constant {
    my ($folder, $byte) = @_;
    ffmpeg('-i', "$folder/clip.mp4", '-vf', 'format=rgb24', '-f', 'rawvideo', "$folder/color");
    open my $f, '>', "$folder/alpha" or die "$folder/alpha: $!\n";
    print $f chr($byte) x (2 * $width * $height) for 1 .. $frames;
    close $f or die;
    return score($folder, "$folder/alpha", "$folder/color");
}

ffmpeg('-ss', 2, '-i', "$cache/clips/goldengate.mp4", '-frames:v', $frames, '-vf', "scale=$width:$height", '-pix_fmt', 'rgb24',
    '-f', 'rawvideo', "$out/background");

my (@lines, @rows, @pictures, @gain, %ratio);
for (@categories) {
    my ($name, $kind, $stamp, $network) = @$_;
    my $folder = scene($name, $kind, $stamp ? "$stamps/$stamp" : person());
    my %without = (alone => \@refinements, refined => [], $cleaned{$name} ? (uncleaned => ['clean']) : ());
    my %got = (all => score_constant($folder, 255), nothing => score_constant($folder, 0));
    for my $matte (sort keys %without) {
        matte($network, "$folder/clip.mp4", "$folder/$matte.mov", @{$without{$matte}});
        $got{$matte} = score_file($folder, "$folder/$matte.mov");
    }
    for my $matte (qw(nothing all alone uncleaned refined)) {
        next unless $got{$matte};
        push @rows, join ' | ', '', $name, $network, $matte, (map { sprintf '%.2f', $got{$matte}{$_} } @measures), '';
    }
    print "$_\n" for grep { / $name .*(?:alone|refined)/ } @rows;
    for (qw(mad grad dtssd)) {
        $ratio{$name}{$_} = $got{refined}{$_} / $got{alone}{$_};
        push @lines, sprintf 'matte.%s.%s_ratio=%.3f', $name, $_, $ratio{$name}{$_};
    }
    push @lines, sprintf 'matte.%s.clean_ratio=%.3f', $name, $got{refined}{mad} / $got{uncleaned}{mad} if $got{uncleaned};
    push @gain, $got{refined}{edge_psnr} - $got{alone}{edge_psnr};
    push @pictures, "$folder/refined.mov";
    unlink glob "$folder/*.rgb $folder/alpha $folder/color $folder/*.gray16le";
}

# The sixth frame of each, over magenta, two in a row.
ffmpeg((map { ('-i', $_) } @pictures), '-filter_complex',
    join(';', (map { "color=c=magenta:s=${width}x$height\[b$_];[b$_][$_]overlay=shortest=1:format=rgb,select=eq(n\\,5),scale=640:-1[p$_]" } 0 .. $#pictures),
        join('', map { "[p$_]" } 0 .. $#pictures) . 'xstack=inputs=' . @pictures . ':layout=' .
            join('|', map { my $row = floor($_ / 2); ($_ % 2 ? 'w0' : '0') . '_' . ($row ? join('+', ('h0') x $row) : '0') } 0 .. $#pictures)),
    '-frames:v', 1, '-update', 1, "$out/matte.png") if @pictures > 1;

open my $table, '>', "$out/matte.md" or die "$out/matte.md: $!\n";
print $table join("\n", join(' | ', '', 'category', 'network', 'matte', @measures, ''), '|---' x (3 + @measures) . '|', @rows), "\n";
close $table or die;
unlink "$out/background";
print "$out/matte.md and $out/matte.png\n";

sub ratios { my ($of) = @_; return map { $ratio{$_->[0]}{dtssd} } grep { $of->($_) } @categories; }

sub mean { my ($key, @of) = @_; push @lines, sprintf('matte.%s=%.3f', $key, sum(@of) / @of) if @of; }

mean('edge_psnr_gain_db', @gain);
mean('static_dtssd_ratio', ratios(sub { $_->[1] eq 'still' }));
mean('moving_dtssd_ratio', ratios(sub { $_->[1] ne 'still' }));
mean('original_dtssd_ratio', ratios(sub { $original{$_->[0]} }));
print map { "$_\n" } @lines;
