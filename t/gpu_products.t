#!/usr/bin/perl
# Networks of products and attention on a card, on the emulated driver and cuDNN of t/gpu, against the processor: the blocks
# that they are built of, in each mode of the emulation; then NanoDet, MediaPipe's multiclass network, and MobileSAM's
# encoder and decoder, the second from what the first made of a picture, each on its own device. How much they may differ is
# said of each output; what is computed by the host in the middle of a card's work is counted.
use strict;
use warnings;
use Matte::Test;
use Test::More;

my ($root, $dir) = (root(), workspace());
my ($gpu, $engine, $models) = ("$root/build/gpu", "$root/build/engine", cache() . '/models');
if (!-e "$gpu/libcudnn.so.9") {
    die "the emulated cuDNN is not built, and CI must have it\n" if $ENV{CI};
    plan skip_all => 'no CUDA toolkit with cuDNN: neither nn/cudnn nor its emulation is built';
}

sub emulated {
    my ($settings, @command) = @_;
    my %all = (KERNELS => "$gpu/kernels/plain.so", %$settings);
    local %ENV = (%ENV, LD_LIBRARY_PATH => $gpu, map { ("CUEMU_$_" => $all{$_}) } keys %all);
    my ($status, $text) = command('timeout', 240, @command);
    $text =~ s/^Could not load symbol .*\n//mg;
    return ($status, $text);
}

for my $mode ({}, { LAZY => 1, PROTECT => 1, SM => 90 }, { LAZY => 1, SM => 75 }) {
    my $name = join('+', map { lc . ($mode->{$_} > 1 ? $mode->{$_} : '') } sort keys %$mode) || 'plain';
    my ($status, $text) = emulated($mode, "$engine/unit/cudnn_products");
    is($status, 0, "blocks, $name: as the processor computes them, and nothing is left") or diag $text;
    like($text, qr/^ok 6/m, "blocks, $name: all of them");
}

# A picture as planes of floats, normalised, in a square of its own size or above and left of zeros.
sub picture {
    my ($file, $side, $height, $mean, $std) = @_;
    my $rgb = "$dir/picture.rgb";
    run_ok("a picture of $side x $height", 'ffmpeg', qw(-v error -nostdin -y -i), cache() . '/clips/webcam.mp4',
        '-frames:v', 1, '-vf', "scale=$side:$height", qw(-pix_fmt rgb24 -f rawvideo), $rgb);
    my @bytes = unpack 'C*', slurp($rgb);
    open my $to, '>:raw', $file or die "$file: $!";
    for my $c (0 .. 2) {
        print {$to} pack 'f*', map { ($bytes[3 * $_ + $c] / 255 - $mean->[$c]) / $std->[$c] } 0 .. $side * $height - 1;
        print {$to} pack 'f*', (0) x ($side * ($side - $height));
    }
    close $to or die "$file: $!";
    return $file;
}

my @imagenet = ([.485, .456, .406], [.229, .224, .225]);
my $large = picture("$dir/large", 1024, 768, @imagenet);
my $detected = picture("$dir/detected", 416, 416, map { [reverse @$_] } @imagenet);
my $selfie = picture("$dir/selfie", 256, 256, [0, 0, 0], [1, 1, 1]);
my $prompt = "$dir/embedding";

# off: of an output's root mean square; over: of what is above 0, the intersection over the union.
my @networks = (
    { name => 'nanodet', arguments => ["input_1:1x3x416x416\@$detected"], host => 0, launches => 100,
        outputs => { (map { ("Identity$_" => { off => .01 }) } '', '_1', '_2'), (map { ("Identity_$_" => { off => .01 }) } 3 .. 5) } },
    { name => 'multiclass', arguments => ["input:1x3x256x256\@$selfie"], host => 0, launches => 137,
        outputs => { alpha => { off => .01, most => 8 / 255 } } },
    { name => 'sam_encoder', arguments => ["input:1x3x1024x1024\@$large"], host => 0, launches => 165,
        outputs => { output => { off => .02, write => $prompt } } },
    { name => 'sam_decoder', host => 20, launches => 106,
        arguments => ["image_embeddings:1x256x64x64\@$prompt", 'point_coords:1x3x2~250,100,900,760,0,0', 'point_labels:1x3~2,3,-1',
            'mask_input:1x1x256x256~0', 'has_mask_input:1~0', 'orig_im_size:2=768,1024'],
        outputs => { masks => { over => .99 }, low_res_masks => { over => .99 }, iou_predictions => { most => .01 } } },
);
my %figures;
for my $n (@networks) {
    my ($name, $outputs) = @$n{qw(name outputs)};
    my @wanted = map { $outputs->{$_}{write} ? "$_>$outputs->{$_}{write}" : $_ } sort keys %$outputs;
    unlink "$dir/trace";
    my ($status, $text) = emulated({ TRACE => "$dir/trace" }, "$engine/gpu/outputs", "$models/$name.onnx",
        @{ $n->{arguments} }, @wanted);
    is($status, 0, "$name: runs on both") or diag $text;
    my %got = $text =~ /^(\S+)=(\S+)$/mg;
    for my $output (sort keys %$outputs) {
        my $limits = $outputs->{$output};
        for my $figure (grep { $limits->{$_} } qw(off most)) {
            cmp_ok($got{"$output.$figure"} // 1, '<=', $limits->{$figure}, "$name: $output.$figure");
        }
        cmp_ok($got{"$output.over"} // 0, '>=', $limits->{over}, "$name: $output.over") if $limits->{over};
        $figures{"$name.$output.$_"} = $got{"$output.$_"} for grep { $limits->{$_} } qw(off most over);
    }
    my $trace = slurp("$dir/trace");
    my $launches = () = $trace =~ /^(?:launch|cudnn) /mg;
    my $hosted = () = $trace =~ /^host$/mg;
    cmp_ok($launches, '<=', $n->{launches}, "$name: no more launches");
    cmp_ok($hosted, '<=', $n->{host}, "$name: of which the host computes no more");
    @figures{"$name.launches", "$name.hosted", "$name.mib"} = ($launches, $hosted, sprintf '%.0f', ($got{bytes} // 0) / 2**20);
}

done_testing();
print "gpu.$_=$figures{$_}\n" for sort keys %figures;
