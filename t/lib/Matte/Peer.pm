package Matte::Peer;

# The installed networks beside ONNX Runtime, through build/engine/peer/ort.

use strict;
use warnings;
use Carp qw(croak);
use Exporter qw(import);
use JSON::PP qw(decode_json);
use Matte::Test;

our @EXPORT = qw(networks beside);

# Inputs that a file leaves open, or that are no picture: t/peer/ort.c says how they are written.
my %further = (
    sam_encoder => ['input:1x3x1024x1024'],
    sam_decoder => ['point_coords:1x3x2~100,120,600,500,0,0', 'point_labels:1x3~2,3,-1', 'has_mask_input:1~0', 'orig_im_size:2=720,1280'],
);

# One hash a file of every manifest: name, file, first (of its manifest), image (the input that is drawn), arguments.
sub networks {
    my @networks;
    for my $path (glob root() . '/conf/models/*.json') {
        my $manifest = decode_json(slurp($path));
        my @states = map { "$_->[0]=$_->[1]" } @{$manifest->{states} // []};
        push @networks, map { {
            name      => $manifest->{name},
            file      => $_->{file},
            first     => $_ == $manifest->{files}[0],
            recurrent => @states > 0,
            image     => $manifest->{input},
            arguments => [@states, @{$further{$manifest->{name}} // []}],
        } } @{$manifest->{files} // []};
    }
    return @networks;
}

# Runs one with both, over frames of 'noise' or of a 'moving' picture: max_diff, ours_ms and ort_ms (medians), plan_ms, bytes.
sub beside {
    my ($network, $picture, $frames, $threads) = @_;
    my $cache = cache();
    open my $pipe, '-|', root() . '/build/engine/peer/ort', "$cache/onnxruntime", "$cache/models/$network->{file}",
        $network->{image}, $picture, $frames, $threads, @{$network->{arguments}} or croak "ort: $!";
    my $text = do { local $/; <$pipe> };
    close $pipe or croak "$network->{file}: exit $?";
    return $text =~ /^(\w+)=(\S+)$/mg;
}

1;
