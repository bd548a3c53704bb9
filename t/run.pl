#!/usr/bin/perl
# ./build.sh run: the private stack in the foreground, until Ctrl-C.
use strict;
use warnings;
use Matte::Stack;

$| = 1;
my $stop = 0;
$SIG{INT} = $SIG{TERM} = sub { $stop = 1 };

my $stack = Matte::Stack->start;
my $clip = $stack->serve($stack->webcam);
print "clip=$clip\nrun.base=@{[$stack->base]}\nrun.key=@{[$stack->key('player')]}\n";
sleep 1 until $stop;
$stack->stop;
