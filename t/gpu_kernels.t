#!/usr/bin/perl
# The kernels of cuda_engine/device/cuda/kernels where no card is: their tests (t/unit/kernel_*.c) on the executor of
# t/gpu in other orders of blocks and threads, contracted as nvcc does it, and under sanitizers; faults that are planted
# in a copy of their source, each of which must be found; and what nvcc says of registers and spills.
use strict;
use warnings;
use File::Copy qw(copy);
use File::Path qw(make_path);
use Matte::Test;
use Test::More;

my $cuda = $ENV{CUDA_HOME} // '/usr/local/cuda';
if (!-x "$cuda/bin/nvcc") {
    die "no CUDA toolkit in $cuda, and CI must have it\n" if $ENV{CI};
    plan skip_all => "no CUDA toolkit in $cuda";
}

my ($root, $work) = (root(), workspace());
my ($units, $gpu) = ("$root/build/engine/unit", "$root/build/gpu");
# but for the one that is for the counts below
my @tests = grep { $_ ne 'frame' } map { m{/kernel_(\w+)\.c$} } glob "$root/t/unit/kernel_*.c";
chomp(my $libasan = `cc -print-file-name=libasan.so`);
my %asan = (LD_PRELOAD => $libasan, ASAN_OPTIONS => 'detect_leaks=0');

# The status and the text of a test of kernels with a library of them, and more of an environment.
sub kernels {
    my ($test, $library, %environment) = @_;
    local @ENV{'CUEMU_KERNELS', keys %environment} = ($library, values %environment);
    return command(($library =~ /tsan/ ? "$gpu/tsan" : $units) . "/kernel_$test");
}

sub passes {
    my ($name, $test, $library, %environment) = @_;
    my ($status, $text) = kernels($test, $library, %environment);
    ok($status == 0, "$test: $name") or diag $text;
    return $text;
}

for my $test (@tests) {
    passes($_, $test, "$gpu/kernels/plain.so", CUEMU_ORDER => $_) for 'forward', 'reverse', map { "random$_" } 1 .. 5;
    passes('with AddressSanitizer and UndefinedBehaviorSanitizer', $test, "$gpu/kernels/asan.so", %asan);
    passes('with ThreadSanitizer', $test, "$gpu/kernels/tsan.so");
    SKIP: {
        skip 'this processor has no FMA', 1 if slurp('/proc/cpuinfo') !~ /\bfma\b/;
        passes('contracted', $test, "$gpu/kernels/fma.so");
    }
}

# ---- planted faults: what they are, the file, what is replaced by what; how it is run, its test, what must be said

my $race = qr/ThreadSanitizer: data race/;
my $wrong = qr/^not ok/m;
my @faults = (
    ['a row is read beyond its end', 'picture.cuh', 'x + 3 < count' => 'x < count',
        'asan', 'sample', qr/heap-buffer-overflow/],
    ['a row is written beyond its end', 'canvas.cuh', 'if (count >= 4 &&' => 'if (count >= 1 &&',
        'asan', 'compose', qr/heap-buffer-overflow/],
    ['shared memory is written beyond its end', 'sample.cu', 'i < rows * words' => 'i < (SAMPLE_ROWS + 1) * words',
        'asan', 'sample', qr/out of bounds|global-buffer-overflow/],
    ['words are read that are not aligned', 'copy.cu', 'if (p.vector)' => 'if (p.out.c % 4 == 0 && p.in.c % 4 == 0)',
        'asan', 'tensor', qr/misaligned address/],
    ['a barrier is missing, which races', 'guide.cuh', '__syncthreads();' => '',
        'tsan', 'guide', $race],
    ['a barrier is missing, with wrong results', 'sample.cu', '__syncthreads();' => '',
        'plain', 'sample', $wrong],
    ['a barrier is missing among lanes', 'normalise.cu', '__syncthreads();' => '',
        'tsan', 'tensor', $race],
    ['two threads write one result', 'normalise.cu', 'if (threadIdx.y || c >= p.in.c)' => 'if (c >= p.in.c)',
        'tsan', 'tensor', $race],
    ['half a block reaches a barrier', 'sample.cu', '__syncthreads();' => 'if (threadIdx.x < 16) __syncthreads();',
        'plain', 'sample', qr/divergent barrier: .* for ever/],
    ['half a warp reaches a shuffle', 'normalise.cu', 'if (row < 0)' => 'if (row < 0 || lane > 15)',
        'plain', 'tensor', qr/waits at .*normalise\.cu:\d+ for ever/],
    ['a block is larger than its bounds', 'pool.cu', 'KERNEL(pool, TENSOR_THREADS)' => 'KERNEL(pool, 64)',
        'plain', 'tensor', qr/pool: more threads than its launch bounds/],
    ['shared memory is read that nobody wrote', 'pointwise.cu', 'if (i + 2 < p.length)' => 'if (i + 3 < p.length)',
        'plain', 'tensor', $wrong],
    ['a block relies on being the first', 'copy.cu', '__half *out =' =>
        "if (blockIdx.x + blockIdx.y && p.out[0] == 0x7bff)\nreturn;\n__half *out =",
        'plain', 'tensor', $wrong, CUEMU_ORDER => 'reverse'],
    ['a barrier is missing between levels', 'spread.cu', '__syncthreads();' => '',
        'tsan', 'solve', $race],
    ['the rim of a picture is read beyond it', 'motion.cu', 'within(y + v.y, l.height)' => '(y + v.y)',
        'asan', 'solve', qr/heap-buffer-overflow/],
    ['sums are made of what is not there yet', 'calm.cu', '__syncthreads();' => '',
        'plain', 'solve', $wrong],
    ['a picture is written beyond its end', 'fit.cu', 'y >= p.in_height' => 'y > p.in_height',
        'asan', 'fit', qr/heap-buffer-overflow/],
    ['a pixel is made beyond the end', 'scale.cu', 'y >= p.to_height' => 'y > p.to_height',
        'asan', 'scale', qr/heap-buffer-overflow/],
    ['a formula is wrong', 'compose.cu', 'round_code(level_alpha(' => 'round_code((',
        'plain', 'guide', $wrong],
    ['what is held is not what was made', 'compose.cu', 'held_code(alpha)' => 'held_code(a.alpha)',
        'plain', 'guide', $wrong],
    ['a row of a matrix is read beyond its end', 'matrix.cuh', 'x + MATRIX_VECTOR <= count' => 'x < count',
        'asan', 'product', qr/heap-buffer-overflow/],
    ['a fragment begins where none may', 'product.cu', '* LEFT_STEP + k, LEFT_STEP' => '* LEFT_STEP + (k ^ 8), LEFT_STEP',
        'plain', 'product', qr/a fragment that is not aligned: .*product\.cu/],
    ['tiles are read that are not yet there', 'product.cu', '__syncthreads();' => '',
        'tsan', 'product', $race],
    ['half a warp has sums', 'product.cu', 'wmma::store_matrix_sync(' => 'if (threadIdx.x % 32 < 16) wmma::store_matrix_sync(',
        'plain', 'product', qr/waits at .*product\.cu:\d+ for ever/],
    ['lanes do not wait for scores', 'attention.cu', '__syncwarp();' => '',
        'tsan', 'product', $race],
    ['what was summed is not scaled down', 'attention.cu', 'out[i].x * part + v.x' => 'out[i].x + v.x',
        'plain', 'product', $wrong],
);

# A library of the one kernel file that a fault is in, or reaches: found before the whole one, as it is loaded after it.
sub plant {
    my ($n, $file, $from, $to, $variant) = @_;
    my ($top, $engine) = ("$work/fault$n", "$root/cuda_engine/device");
    make_path("$top/cuda/kernels");
    copy($_, $top) or die "$_: $!" for glob "$engine/*_math.h";
    copy($_, "$top/cuda") or die "$_: $!" for glob "$engine/cuda/*.h";
    copy($_, "$top/cuda/kernels") or die "$_: $!" for glob "$engine/cuda/kernels/*.{cu,cuh,h}";
    my $source = slurp("$top/cuda/kernels/$file");
    $source =~ s/\Q$from\E/$to/ or die "$file has no $from";
    spew("$top/cuda/kernels/$file", $source);
    my %reaches = ('picture.cuh' => 'sample', 'canvas.cuh' => 'compose', 'guide.cuh' => 'compose',
        'matrix.cuh' => 'product');
    my $kernel = $reaches{$file} // $file =~ s/\.cu$//r;
    run_ok("fault $n is built", 'make', '-s', '-C', "$root/t/gpu", 'kernels', "SOURCES=$top/cuda/kernels",
        "KERNELS=$kernel", "K=$top", "VARIANTS=$variant");
    return "$gpu/kernels/$variant.so:$top/$variant.so";
}

my ($planted, $caught) = (0, 0);
for my $fault (@faults) {
    my ($name, $file, $from, $to, $variant, $test, $says, %environment) = @$fault;
    my $library = plant(++$planted, $file, $from, $to, $variant);
    my ($status, $text) = kernels($test, $library, $variant eq 'asan' ? %asan : (), %environment);
    my $found = $status != 0 && $text =~ $says;
    ok($found, "found: $name") or diag $text;
    $caught += $found;
    passes("$name, in the usual order", $test, $library) if %environment;
}

# ---- what nvcc made

my ($budget, $awk) = map { "$root/cuda_engine/device/cuda/kernels/$_" } 'budget', 'budget.awk';
my @logs = glob "$root/build/kernels/*.log";
my $compiled = join '', map { slurp($_) } @logs;
my %kernels = map { $_ => 1 } $compiled =~ /Compiling entry function '(\w+)'/g;
my %cards = map { $_ => 1 } $compiled =~ /Compiling entry function '\w+' for 'sm_(\d+)'/g;
my $spills = grep { $_ } $compiled =~ /(\d+) bytes spill/g;
my @declared = map { slurp($_) =~ /^KERNEL\((\w+),/mg } glob "$root/cuda_engine/device/cuda/kernels/*.cu";
is_deeply([sort keys %kernels], [sort @declared], 'nvcc compiled every kernel');
is_deeply([sort { $a <=> $b } keys %cards], [75, 80, 86, 89, 90, 120], 'for every card');
is($spills, 0, 'no registers are spilled');
run_ok('each is within its budget of registers', 'awk', '-f', $awk, $budget, @logs);

# The checks of budgets can fail.
sub is_over {
    my ($what, $table, $log, $says) = @_;
    my ($status, $text) = command('awk', '-f', $awk, spew("$work/budget", $table), spew("$work/over.txt", $log));
    is($status, 1, "$what: fails");
    like($text, $says, "$what: says so");
    return;
}
my $ptxas = <<'';
ptxas info : Compiling entry function 'pool' for 'sm_75'
    %d bytes stack frame, %d bytes spill stores, 0 bytes spill loads
ptxas info : Used 30 registers, used 0 barriers

my $within = sprintf $ptxas, 0, 0;
is_over('too many registers', "pool 29\n", $within, qr/pool for sm_75 uses 30 registers, its budget is 29$/);
is_over('no budget', "copy 30\n", $within, qr/pool has no budget of registers$/);
is_over('a spill', "pool 30\n", sprintf($ptxas, 8, 8), qr/pool for sm_75 needs memory of its own: 8 bytes stack frame, 8/);
is_over('a stack', "pool 30\n", sprintf($ptxas, 8, 0), qr/needs memory of its own/);

# ---- bytes of a 1080p frame, NV12 to NV12 by a network of 512x288, and the least that there can be: the picture read and
# the network's input written; both read again with the network's alpha and what is still, a picture written, and
# the alpha that is held read and written

my $text = passes('counted', 'frame', "$gpu/kernels/count.so");
my %moved = map { /^# (\w+) read=(\d+) written=(\d+)/ ? ($1 => $2 + $3) : () } split /\n/, $text;
is_deeply([sort keys %moved], [qw(calm_soften calm_step calm_weigh clean_apply clean_decide clean_measure compose motion_levels motion_match
    sample_picture)], 'the kernels of a frame are counted');
my ($picture, $half) = (1920 * 1080 * 1.5, 512 * 288 * 2);
my $ratio = ($moved{sample_picture} + $moved{compose}) / (3 * $picture + 8 * $half + 4 * 1920 * 1080);
cmp_ok($ratio, '<', 1.1, 'a frame moves hardly more than it must');
cmp_ok($ratio, '>', .99, 'nor less');

done_testing();
print "gpu.kernels=", scalar(keys %kernels), "\ngpu.spills=$spills\ngpu.planted=$planted\ngpu.caught=$caught\n";
print "gpu.bytes.$_=$moved{$_}\n" for sort keys %moved;
printf "gpu.bytes_ratio=%.3f\n", $ratio;
