#!/usr/bin/perl
# ONNX's own cases: every one whose operators, opset and types the operator table claims gives its outputs.
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

done_testing();
print "onnx.$_=", $got{$_} // 0, "\n" for qw(claimed passed failed);
