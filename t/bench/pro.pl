#!/usr/bin/perl
# ./build.sh bench pro: what the model pro keeps of what it is told to, against a truth that is known, and what it costs. Stills
# with outlines drawn by hand become moving clips; cut-outs of which alpha is known move over real footage, cross and leave;
# somebody walks in footage of a street. Each goes through `matte` with its prompt, and the finished file's alpha is compared with
# the truth. Leaves build/bench/pro.png, what went in and what came out of each, and the pictures that --explain draws.
use strict;
use warnings;
use List::Util qw(sum max);

my ($cache, $out, $bin) = ($ENV{MATTE_CACHE}, 'build/bench/pro', 'build/engine');
my ($width, $height, $frames) = (960, 540, 24);
my ($small, $low) = (320, 180);    # masks are compared at this size
my ($stamps, $stills) = ('/usr/share/tuxpaint/stamps', "$cache/deb/darknet/usr/share/darknet/data");
my $pedestrians = "$cache/deb/opencv-doc/usr/share/doc/opencv-doc/examples/data/vtest.avi";

# Outlines in pixels of a still, drawn by hand.
my %outlines = (
    'dog.jpg' => {
        size => [768, 576],
        dog => '260,225 273,224 291,230 301,239 303,254 303,269 300,288 303,303 299,318 297,336 295,351 291,369 282,384 270,392 272,408
            279,424 294,428 297,437 288,443 279,445 284,454 303,458 309,467 306,473 288,474 279,469 270,454 258,439 246,424 232,416 222,427
            225,440 225,454 217,467 210,479 210,488 231,482 246,482 251,492 264,498 278,510 275,514 255,520 243,532 225,540 195,538 173,534
            160,525 155,513 143,505 139,493 137,472 134,451 134,427 137,396 142,375 151,354 167,336 183,319 204,303 216,289 228,281 223,266
            211,262 212,259 225,260 226,245 240,233 252,227',
        truck => '496,76 538,78 548,83 565,85 573,92 580,89 615,95 625,105 643,118 655,121 681,127 693,132 692,143 687,150 680,160
            671,161 668,162 661,170 650,171 640,165 637,157 575,151 541,148 536,157 526,161 516,158 510,143 481,140 476,137 468,135 467,125
            471,120 475,117 474,105 480,101 481,93 490,83',
    },
    'person.jpg' => {
        size => [640, 424],
        person => '238,99 248,107 250,120 247,133 244,134 245,143 255,150 259,164 263,190 267,208 269,228 274,238 274,256 269,267 263,271
            261,276 259,268 261,260 261,248 258,244 257,254 254,282 253,304 250,323 243,328 241,356 249,361 265,367 259,372 235,374 222,373
            213,369 214,358 209,328 206,324 209,300 209,278 206,260 204,258 203,242 201,204 194,204 192,176 192,160 203,145 198,134 199,126
            207,121 217,122 221,123 222,110 228,103',
        horse => '491,145 498,150 513,152 528,151 542,143 559,140 574,143 587,150 596,165 601,181 598,203 594,220 590,237 588,256 583,270
            581,285 577,302 579,319 570,324 560,324 567,310 569,293 570,272 566,262 557,250 551,239 534,243 516,244 515,262 515,285 513,304
            513,321 509,321 506,302 502,289 500,268 497,251 488,250 478,253 475,268 471,281 468,298 462,315 462,327 454,329 446,336 435,345
            427,345 415,342 408,327 408,310 411,289 418,275 414,262 420,247 433,224 443,213 450,195 460,178 475,159 488,149',
        dog => '81,286 91,275 105,268 122,266 135,267 148,271 160,274 170,277 176,285 185,291 191,301 199,306 206,313 199,312 198,319
            194,331 192,329 189,335 188,342 184,342 179,336 175,330 170,330 166,329 170,342 166,344 161,337 158,335 157,344 150,344 149,325
            146,322 142,316 130,312 120,305 116,308 114,325 111,336 106,341 101,332 98,330 90,337 79,336 72,341 66,341 69,332 75,322 79,314
            78,305 79,295',
    },
);

# Cut-outs over footage: stamp, height, x and y of its corner at frame n, mirrored. The later one is in front.
my %stages = (
    herd => [['mammals/elephant', 210, '40+4*n', '60', 0], ['mammals/giraffe', 330, '420-2*n', '180-n', 0],
        ['mammals/equines/zebra', 200, '660-5*n', '310', 0]],
    cars => [['../vehicles/auto/sedan', 140, '30+9*n', '90+2*n', 0], ['../vehicles/auto/beetle', 170, '600-6*n', '300-n', 1]],
    crossing => [['mammals/elephant', 200, '660-22*n', '170', 0], ['mammals/elephant', 200, '40+22*n', '200', 1]],
    leaving => [['mammals/bovines/sheep', 170, '90+n', '330', 0],
        ['mammals/equines/horse', 230, 'if(lt(n,12),640+30*n,640+30*(23-n))', '60', 0]],
);

# Walks in the footage of a street, seen by a camera that stands still: the second in which one begins, and a point within who
# walks, in its first picture. In this one somebody in a dark coat is alone on the lawn, and others go by behind.
my %walks = (
    lawn => [66.6, 275, 400],
);

# Name, prompt, the still, the stage or the walk, what of it is to be kept.
my @prompts = (
    ['dog',      'dog',                             'dog.jpg',    'dog'],
    ['truck',    'the vehicles, not the bicycle',   'dog.jpg',    'truck'],
    ['person',   'the person',                      'person.jpg', 'person'],
    ['horse',    'a white horse',                   'person.jpg', 'horse'],
    ['animals',  'animals',                         'person.jpg', 'horse', 'dog'],
    ['zebra',    'zebra',                           'herd',       2],
    ['herd',     'the animals, but no elephant',    'herd',       1, 2],
    ['red',      'the red car',                     'cars',       1],
    ['crossing', 'the elephant on the left',        'crossing',   1],
    ['leaving',  'the horse',                       'leaving',    1],
    ['street',   'the nearest person',              'lawn'],
);

$| = 1;
$ENV{MATTE_MODELS} = 'conf/models';
$ENV{MATTE_MODEL_FILES} = "$cache/models";
run('rm', '-rf', $out);
run('mkdir', '-p', $out);

sub run { system(@_) == 0 or die "bench: @_ failed\n"; }

sub ffmpeg { run('ffmpeg', '-v', 'error', '-nostdin', '-y', @_); }

my @x264 = qw(-c:v libx264 -crf 16 -pix_fmt yuv420p);

# A picture of what lies inside the outlines, by even and odd crossings of the middle of every row.
sub draw_outlines {
    my ($file, $size, @polygons) = @_;
    my ($w, $h) = @$size;
    my $picture = "\0" x ($w * $h);
    for my $polygon (@polygons) {
        my @points = map { [split /,/] } split ' ', $polygon;
        for my $y (0 .. $h - 1) {
            my @cuts;
            for my $i (0 .. $#points) {
                my ($x0, $y0, $x1, $y1) = (@{ $points[$i - 1] }, @{ $points[$i] });
                push @cuts, $x0 + ($y + .5 - $y0) * ($x1 - $x0) / ($y1 - $y0) if ($y0 > $y + .5) != ($y1 > $y + .5);
            }
            @cuts = sort { $a <=> $b } @cuts;
            while (my ($from, $to) = splice @cuts, 0, 2) {
                my $length = int($to + .5) - int($from + .5);
                substr $picture, $y * $w + int($from + .5), $length, "\xff" x $length if $length > 0;
            }
        }
    }
    open my $f, '>:raw', $file or die "$file: $!\n";
    print $f "P5\n$w $h\n255\n", $picture;
    close $f or die;
}

# A still seen by a camera that turns and zooms in. Returns the clip's size, as the others do.
sub still_clip {
    my ($folder, $still, @kept) = @_;
    my $high = 2 * int($width * $outlines{$still}{size}[1] / $outlines{$still}{size}[0] / 2);
    draw_outlines("$folder/truth.pgm", $outlines{$still}{size}, map { $outlines{$still}{$_} } @kept);
    my $camera = "scale=w='trunc(($width+90)*(1+n/200)/2)*2':h=-2:eval=frame,crop=$width:$high:x='2*n+20':y='n+20'";
    ffmpeg('-loop', 1, '-i', "$stills/$still", '-frames:v', $frames, '-vf', $camera, @x264, "$folder/clip.mp4");
    ffmpeg('-loop', 1, '-i', "$folder/truth.pgm", '-frames:v', $frames, '-vf', "format=gray,$camera", '-f', 'rawvideo', '-pix_fmt', 'gray', "$folder/truth");
    return "${width}x$high";
}

# Cut-outs over footage, and the same with white for what is kept and black for the rest.
sub stage_clip {
    my ($folder, $stage, @kept) = @_;
    my @things = @{ $stages{$stage} };
    my @inputs = map { ('-loop', 1, '-i', "$stamps/animals/$_->[0].png") } @things;
    my %kept = map { $_ => 1 } @kept;
    for my $truth (0, 1) {
        my $value = sub { my $v = $kept{$_[0]} ? 255 : 0; $truth ? ",lutrgb=r=$v:g=$v:b=$v" : '' };
        my $graph = '[0]' . ($truth ? 'drawbox=color=black:t=fill,' : '') . "scale=$width:$height,format=rgb24[b0]";
        for my $i (0 .. $#things) {
            my (undef, $high, $x, $y, $mirrored) = @{ $things[$i] };
            $graph .= sprintf ';[%d]format=rgba,scale=-1:%d%s%s[s%d];[b%d][s%d]overlay=x=\'%s\':y=\'%s\':format=rgb[b%d]', $i + 1, $high,
                $mirrored ? ',hflip' : '', $value->($i), $i, $i, $i, $x, $y, $i + 1;
        }
        ffmpeg('-ss', 2, '-i', "$cache/clips/goldengate.mp4", @inputs, '-filter_complex', $graph, '-map', '[b' . @things . ']',
            '-frames:v', $frames, $truth ? ('-f', 'rawvideo', '-pix_fmt', 'gray', "$folder/truth") : (@x264, "$folder/clip.mp4"));
    }
    return "${width}x$height";
}

# What of a mask hangs together with what of it lies in another.
sub connected {
    my ($mask, $w, $seed) = @_;
    my $kept = "\0" x length $mask;
    my $both = $mask & $seed;
    my @todo;
    push @todo, $-[0] while $both =~ /\xff/g;
    while (defined(my $at = pop @todo)) {
        next if substr($mask, $at, 1, "\0") eq "\0";
        substr $kept, $at, 1, "\xff";
        push @todo, $at - 1, $at + 1, $at - $w, $at + $w;
    }
    return $kept;
}

# Real footage. The truth is where it differs from the place with nobody in it, which is the median of pictures from all of the
# footage, and of that what hangs together with the walker's place in the picture before. 40 is above the grain of the lawn; gaps
# of 4 pixels are closed, since a shoe may be like the grass; the black frame keeps what is connected from running over an edge.
sub walk_clip {
    my ($folder, $walk) = @_;
    my ($from, $x, $y) = @{ $walks{$walk} };
    my ($w, $h) = (768, 576);
    my @footage = ('-ss', $from, '-i', $pedestrians);
    ffmpeg(@footage, '-frames:v', $frames, @x264, "$folder/clip.mp4");
    ffmpeg('-i', $pedestrians, '-vf', q(select='not(mod(n,20))',tmedian=radius=19), '-frames:v', 1, "$folder/empty.png");
    ffmpeg(@footage, '-i', "$folder/empty.png", '-filter_complex', '[0]format=gbrp[a];[1]format=gbrp[b];[a][b]blend=all_mode=difference,' .
        'extractplanes=r+g+b[r][g][b];[r][g]blend=all_mode=lighten[rg];[rg][b]blend=all_mode=lighten,' .
        q(lut=c0='255*gt(val,40)',dilation,dilation,erosion,erosion,drawbox=color=black:t=1), '-frames:v', $frames,
        '-f', 'rawvideo', '-pix_fmt', 'gray', "$folder/moved");
    my $place = "\0" x ($w * $h);
    substr $place, $y * $w + $x, 1, "\xff";
    open my $in, '<:raw', "$folder/moved" or die "$folder/moved: $!\n";
    open my $to, '>:raw', "$folder/truth" or die "$folder/truth: $!\n";
    while (read $in, my $moved, $w * $h) {
        $place = connected($moved, $w, $place);
        print $to $place;
    }
    close $to or die;
    unlink "$folder/moved";
    return "${w}x$h";
}

# What `matte` printed as name=value.
sub matte {
    my ($prompt, $in, $to, @more) = @_;
    my @command = ("$bin/matte", '--device', 'cpu', '--model', 'pro', '--prompt', $prompt, @more, $in, $to);
    open my $pipe, '-|', @command or die "bench: $!\n";
    my %got = map { /^(\w+)=(\S+)$/ ? ($1, $2) : () } <$pipe>;
    close $pipe or die "bench: @command failed\n";
    return %got;
}

# Small masks, a byte a pixel, 1 inside, a string a frame.
sub masks {
    my ($filters, @input) = @_;
    open my $pipe, '-|', 'ffmpeg', '-v', 'error', '-nostdin', @input, '-vf',
        "${filters}scale=$small:$low:flags=area,lut=c0='gt(val,127)'", '-f', 'rawvideo', '-pix_fmt', 'gray', '-' or die "bench: $!\n";
    my $all = do { local $/; <$pipe> };
    close $pipe or die "bench: ffmpeg failed\n";
    return unpack "(a" . $small * $low . ")*", $all;
}

# Intersection over union of all frames together.
sub overlap {
    my ($got, $truth) = @_;
    my ($both, $either) = (0, 0);
    for my $i (0 .. $#$truth) {
        $both += ($got->[$i] & $truth->[$i]) =~ tr/\1//;
        $either += ($got->[$i] | $truth->[$i]) =~ tr/\1//;
    }
    return $either ? $both / $either : 1;
}

# ---- prompts ----

my ($passed, $identity, @pictures, @lines) = (0, 0);
for (grep { !@ARGV || $ARGV[0] =~ m{\b$_->[0]\b} } @prompts) {
    my ($name, $prompt, $scene, @kept) = @$_;
    my $folder = "$out/$name";
    run('mkdir', '-p', "$folder/seen");
    my $clip = $outlines{$scene} ? \&still_clip : $stages{$scene} ? \&stage_clip : \&walk_clip;
    my $size = $clip->($folder, $scene, @kept);
    my %got = matte($prompt, "$folder/clip.mp4", "$folder/kept.mov", '--explain', "$folder/seen");
    my @truth = masks('', qw(-f rawvideo -pix_fmt gray -s), $size, '-i', "$folder/truth");
    my @made = masks('alphaextract,', '-i', "$folder/kept.mov");
    my $iou = overlap(\@made, \@truth);
    $passed += $iou >= .8;
    if ($name eq 'crossing') {
        my $after = overlap([@made[16 .. 23]], [@truth[16 .. 23]]);
        $identity = $after >= .7 ? 1 : 0;
        push @lines, sprintf 'pro.after_crossing_iou=%.3f', $after;
    }
    printf "%-10s %-34s IoU %.3f  %s  (%d detections, %d encodings, %d decodings in %d frames)\n", $name, "\"$prompt\"", $iou,
        $iou >= .8 ? 'ok  ' : 'FAIL', @got{qw(detect_runs encode_runs decode_runs frames)};
    push @lines, sprintf 'pro.%s.iou=%.3f', $name, $iou;
    push @pictures, $folder;
    unlink "$folder/truth";
}

# ---- cost ----

# Against every network on every frame, by what a run of each took in the same clip.
my @stages = qw(follow detect encode decode alpha);
sub cost {
    my ($name, $prompt, $clip) = @_;
    my %got = matte($prompt, $clip, "$out/$name.mov", '--preview', 3);
    my %run = map { $_ => $got{"${_}_runs"} ? $got{"${_}_ms_a_frame"} * $got{frames} / $got{"${_}_runs"} : 0 } @stages;
    my $decodings = max(1, $got{decode_runs} / max(1, $got{encode_runs}));    # things a picture
    my $all = sum(@run{qw(detect encode)}, $decodings * $run{decode}, @run{qw(follow alpha)});
    my $spent = sum(map { $got{"${_}_ms_a_frame"} } @stages);
    printf "%-10s %d frames, ms a frame: %s; all %.1f, every network on every frame %.1f\n", $name, $got{frames},
        join(', ', map { sprintf '%s %.1f (%d)', $_, $got{"${_}_ms_a_frame"}, $got{"${_}_runs"} } @stages), $spent, $all;
    return $all / $spent;
}
my $calm = cost('calm', 'the person', "$cache/clips/webcam.mp4");
my $busy = cost('busy', 'people', $pedestrians);

# ---- pictures ----

# Of each a frame in the middle, as it came and what was kept over magenta: two of a row's four.
my $middle = int($frames / 2);
ffmpeg((map { ('-i', "$_/clip.mp4", '-i', "$_/kept.mov") } @pictures), '-filter_complex', join(';', (map {
        my ($in, $kept) = (2 * $_, 2 * $_ + 1);
        "[$in]select=eq(n\\,$middle),scale=480:270[p$in];color=magenta:s=480x270[m$_];[$kept]select=eq(n\\,$middle),scale=480:270[s$_];[m$_][s$_]overlay=shortest=1:format=rgb[p$kept]"
    } 0 .. $#pictures),
    join('', map { "[p$_]" } 0 .. 2 * @pictures - 1) . 'xstack=inputs=' . 2 * @pictures . ':fill=black:layout=' .
        join('|', map { 480 * ($_ % 4) . '_' . 270 * int($_ / 4) } 0 .. 2 * @pictures - 1)),
    '-frames:v', 1, '-update', 1, "$out.png");
print "$out.png; $out/*/seen\n";

print map { "$_\n" } @lines, sprintf('pro.cost_ratio_busy=%.2f', $busy), 'pro.prompts=' . @pictures, "pro.iou_pass=$passed",
    sprintf('pro.cost_ratio=%.2f', $calm), "pro.identity_kept=$identity";
