#!/usr/bin/perl
# ONNX's own cases: every one whose operators, opset and types the operator table claims gives its outputs; and the
# table is what is documented.
use strict;
use warnings;
use Matte::Test;
use Test::More;

my $program = root() . '/build/engine/peer/conformance';
my $cases = '/usr/share/libonnx-testdata/data/node';
my $fewest = 350;

ok(-d $cases, 'libonnx-testdata is installed');
my $text = qx{$program $cases};
my %got = $text =~ /^(\w+)=(\d+)$/mg;
diag($_) for $text =~ /^(failed .*)$/mg;
is($got{failed}, 0, 'every claimed case passes');
is($got{passed}, $got{claimed}, 'and each was run');
cmp_ok($got{claimed} // 0, '>=', $fewest, "at least $fewest cases are claimed");
is_deeply([$text =~ /^untested (\w+)$/mg], [], 'every operator of the table has a case');
note("not in the table: $1, of $2 cases") while $text =~ /^unclaimed (\w+): (\d+)$/mg;

# What is documented is the table: every line of it is a line of operators.md, in its order, and there is no other.
my $table = qx{$program --table};
my ($documented) = slurp(root() . '/cuda_engine/nn/operators.md') =~ /^(\|.*)\z/ms;
ok($documented eq $table, 'operators.md has the table as it is') or
    diag('from its first line on: build/engine/peer/conformance --table');
is_deeply([$table =~ /\?/g], [], 'every faster kind has a name');
is_deeply([$table =~ /^\| ([A-Z]\w+)/mg], [slurp(root() . '/cuda_engine/nn/ops.c') =~ /^    \{ "([A-Z]\w+)",/mg],
    'and the operators are those of ops.c');

done_testing();
print "onnx.$_=", $got{$_} // 0, "\n" for qw(claimed passed failed);
