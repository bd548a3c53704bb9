# The table of a prompt's nouns is the same however Perl orders its hashes, and no larger than it says.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use Matte::Test;
use Test::More;

my $dir = workspace();
my $matte = root() . '/cuda_engine/matte';
my ($table, %is);
for my $seed (1, 2) {
    local $ENV{PERL_HASH_SEED} = $seed;
    $table = `$^X $matte/words.pl /usr/share/wordnet $matte/words 2>$dir/figures`;
    is($?, 0, "hashes in order $seed") or diag(slurp("$dir/figures"));
    $is{sha256_hex($table)} = 1;
}
is(keys %is, 1, 'the same table');
is($table, slurp(root() . '/build/engine/obj/gen/words.c'), 'and the one that was built');
my %figure = slurp("$dir/figures") =~ /^(\S+)=(\d+)$/mg;
my @words = $table =~ /^    "(.*)\\0";?$/mg;
is($figure{words}, @words, 'all of its words');
cmp_ok($figure{'words.bytes'}, '<', 300_000, 'small');
spew("$dir/lists", "[classes]\nperson | qwertz#1 |\n");
like(`$^X $matte/words.pl /usr/share/wordnet $dir/lists 2>&1`, qr/WordNet has no qwertz#1/, 'a sense that is none');
spew("$dir/lists", "[words]\nhat | headwear\n");
like(`$^X $matte/words.pl /usr/share/wordnet $dir/lists 2>&1`, qr/headwear is no class/, 'a class that is none');

print map { "prompt.$_=$figure{$_}\n" } sort keys %figure;
done_testing;
