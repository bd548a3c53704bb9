#!/usr/bin/perl
# The README's curl examples, run word for word: each ```sh block against a running stack, and what it answers against
# the ```json block that follows it. In there "…" stands for any value.
use strict;
use warnings;
use JSON::PP qw(decode_json);
use Matte::Stack;
use Matte::Test;
use Test::More;

sub matches {
    my ($want, $got) = @_;
    return 1 if !ref $want && defined $want && $want eq "\x{2026}";
    return 0 if ref $want ne ref $got;
    return @$want == @$got && !grep({ !matches($want->[$_], $got->[$_]) } 0 .. $#$want) if ref $want eq 'ARRAY';
    return "@{[sort keys %$want]}" eq "@{[sort keys %$got]}" && !grep({ !matches($want->{$_}, $got->{$_}) } keys %$want)
        if ref $want eq 'HASH';
    return defined $want ? defined $got && $want eq $got : !defined $got;
}

my $stack = Matte::Stack->start;
my $key = $stack->key('reader');
local $ENV{MATTE} = $stack->base;
local $ENV{KEY} = $key;
local $ENV{FILE} = $stack->webcam;
local $ENV{CLIP} = $stack->serve($stack->webcam);

my @blocks = slurp(root() . '/README.md') =~ /^```(sh|json)\n(.*?)^```\n/gms;
my ($count, $answer) = (0);
while (my ($kind, $text) = splice @blocks, 0, 2) {
    if ($kind eq 'json') {
        ok matches(decode_json($text), $answer), 'as the README says' or diag("wanted $text", explain $answer);
        next;
    }
    $count++;
    my ($title) = $text =~ /(\$MATTE[^" ]*)/;
    open my $pipe, '-|', 'bash', '-ec', $text or die $!;
    my $printed = do { local $/; <$pipe> };
    close $pipe;
    is $?, 0, "$title: curl succeeds";
    $answer = eval { decode_json($printed) };
    ok $answer, "$title: JSON" or diag($printed);
    $ENV{ID} = $answer->{id} if $answer->{id};
    $stack->finished($key, $ENV{ID}) if $text =~ m{/start};
}
cmp_ok $count, '>=', 6, 'all examples were found';
$stack->stop;
done_testing;
