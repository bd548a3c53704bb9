# The tokenizer of described models against another one, written here as CLIP's own is (simple_tokenizer.py: a regular
# expression, bytes as visible characters, merges by rank), on a vocabulary that is learnt here from a few sentences.
use strict;
use warnings;
use utf8;
use feature 'unicode_strings';
use Digest::SHA qw(sha256_hex);
use Encode qw(decode encode);
use JSON::PP;
use Matte::Test;
use Test::More;

my $dir = workspace();
my $program = root() . '/build/engine/peer/tokens';

# ---- the other one ---------------------------------------------------------------------------------------------------

my %seen_as = do {
    my @seen = (33 .. 126, 161 .. 172, 174 .. 255);
    my %is = map { $_ => 1 } @seen;
    my $next = 256;
    (map { $_ => chr $_ } @seen), (map { $is{$_} ? () : ($_ => chr $next++) } 0 .. 255);
};

sub pieces {
    my ($text) = @_;
    return lc($text) =~ /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/g;
}

sub symbols {
    my ($piece) = @_;
    my @symbols = map { $seen_as{ord $_} } split //, encode('UTF-8', $piece);
    $symbols[-1] .= '</w>';
    return @symbols;
}

sub merged {
    my ($first, $second, @symbols) = @_;
    for (my $i = 0; $i < $#symbols; $i++) {
        splice @symbols, $i, 2, $first . $second if $symbols[$i] eq $first && $symbols[$i + 1] eq $second;
    }
    return @symbols;
}

my (@merges, %rank, %id);

sub encoded {
    my ($text, $length) = @_;
    my @tokens;
    for my $piece (pieces($text)) {
        my @symbols = symbols($piece);
        while (1) {
            my ($best) = sort { $rank{$a} <=> $rank{$b} }
                grep { exists $rank{$_} } map { "$symbols[$_] $symbols[$_ + 1]" } 0 .. $#symbols - 1;
            last unless defined $best;
            @symbols = merged(split(/ /, $best), @symbols);
        }
        push @tokens, map { $id{$_} // $id{'<|endoftext|>'} } @symbols;
    }
    splice @tokens, $length - 2 if @tokens > $length - 2;
    my $count = @tokens + 2;
    return "$count: " . join ' ', $id{'<|startoftext|>'}, @tokens, ($id{'<|endoftext|>'}) x ($length - @tokens - 1);
}

# ---- a vocabulary ----------------------------------------------------------------------------------------------------

my @corpus = ('a photo of a dog', 'the dogs and the cats on the left', "the woman's red car isn't there", 'two people riding horses',
              'a glowing ring of light, the largest one', 'un café für zwei', 'красная машина слева', '赤い車', 'the reddest car of 1984',
              'photograph of another thing', "they're the ones who'd see", "we'll see, I'm here, you've won");
my @words = map { [symbols($_)] } map { pieces($_) } @corpus;
for (1 .. 120) {
    my %times;
    for my $word (@words) { $times{"$word->[$_] $word->[$_ + 1]"}++ for 0 .. $#$word - 1; }
    my ($best) = sort { $times{$b} <=> $times{$a} || $a cmp $b } keys %times;
    last unless defined $best;
    push @merges, $best;
    @$_ = merged(split(/ /, $best), @$_) for @words;
}
@rank{@merges} = 0 .. $#merges;
{
    my @bytes = map { $seen_as{$_} } sort { $a <=> $b } grep { $_ != ord 'q' } keys %seen_as;    # and none for q
    my @tokens = (@bytes, (map { "$_</w>" } @bytes), (map { s/ //r } @merges), '<|startoftext|>', '<|endoftext|>');
    @id{@tokens} = 0 .. $#tokens;
}

sub written {
    my ($name, $text) = @_;
    spew("$dir/$name", encode('UTF-8', $text));
    return ("$dir/$name", sha256_hex(encode('UTF-8', $text)));
}
# in an order that is nobody's
my @vocabulary = written('vocab.json', '{' . join(',', map { JSON::PP->new->allow_nonref->encode($_) . ":$id{$_}" } reverse sort keys %id) . '}');
our @merge_file = written('merges.txt', join "\n", '#version: 0.2', @merges, '');

sub tokens {
    my ($length, @texts) = @_;
    spew("$dir/texts", join "", map { encode("UTF-8", $_) . "\n" } @texts);
    my @lines = `$program @vocabulary @merge_file $length < $dir/texts`;
    is($?, 0, 'the tokenizer') or BAIL_OUT('it does not run');
    chomp @lines;
    return @lines;
}

sub agree {
    my ($name, $length, @texts) = @_;
    my @ours = tokens($length, @texts);
    my @differ = grep { $ours[$_] ne encoded($texts[$_], $length) } 0 .. $#texts;
    is(@differ, 0, "$name: " . @texts . ' texts') or diag(map { encode('UTF-8', $texts[$_]), "\n  $ours[$_]\n  ", encoded($texts[$_], $length), "\n" } @differ[0 .. ($#differ < 2 ? $#differ : 2)]);
    return scalar @texts;
}

# ---- the two of them -------------------------------------------------------------------------------------------------

my $texts = 0;
$texts += agree('what was learnt of', 77, @corpus);
$texts += agree('as people write', 77, 'The Dog', '  a   DOG ', "the dog's bowl", "THE DOG'S", "it'd've", "'s", "''s", "a's't", 'dog!?...', 'cat,dog',
                '1984', 'a1b22', 'x-ray', '"quoted"', '', ' ', "\t", 'Ünïcödé', 'ÀÉÎÕÜ×÷', 'КРАСНАЯ МАШИНА Ёж', 'ΑΒΓ', 'ß', '日本語', 'a、b', '“dog” — cat',
                '🐶 dog', 'qqq', 'the queue', 'naïve', '½', 'x²', '€5', '…', "a\x{a0}b", "a\x{3000}b");
$texts += agree('of few tokens', $_, @corpus, 'dog') for 2 .. 9;
srand 7;
my @letters = (split(//, q{abcdefghijklmnoprstuvwxyz     '',.!-019THEDOG}), "'s", "'ll", 'é', 'É', 'Ж', '犬', '🐶', 'the ', 'dog');
$texts += agree('at random', 30, map { join '', map { $letters[rand @letters] } 1 .. 1 + rand 40 } 1 .. 400);
$texts += agree('long words', 77, 'the' x 300, 'z' x 900, 'z' x 3000);
$texts += agree('every byte', 77, map { my $row = $_; join '', map { chr } $row .. $row + 31 } 0x4e00, 0x4e20, 0xc0, 0xe0, 0x430);
# letters, digits, signs and spaces at the ends of their ranges, between letters
$texts += agree('every kind', 77, map { my $c = chr; "a${c}b a$c${c}b $c.$c $c" } 0x21 .. 0x7e, 0xa0 .. 0xff, 0x101, 0x250, 0x2000, 0x200a, 0x2010,
    0x2026, 0x205e, 0x20a0, 0x20bf, 0x2190, 0x2603, 0x2bff, 0x3000 .. 0x3003, 0x3008, 0x3020, 0x3042, 0xff01, 0xff0f, 0xff41, 0x1f000, 0x1f600, 0x1faf0);
{
    local @merge_file = written('crlf.txt', join "\r\n", '#version: 0.2', @merges, '');
    $texts += agree('lines that end as on Windows', 77, @corpus);
}

subtest 'files that are wrong' => sub {
    my $says = sub { my (@files) = @_; my $text = `$program @files 77 2>&1 < /dev/null`; return $text };
    like($says->($vocabulary[0], '0' x 64, @merge_file), qr/^bad_model: vocab\.json is not the file/, 'another vocabulary');
    like($says->(@vocabulary, $merge_file[0], '0' x 64), qr/^bad_model: merges\.txt is not the file/, 'other merges');
    like($says->("$dir/none", '0' x 64, @merge_file), qr/^model_not_installed: none is not installed/, 'no file');
    my $ends = '"<|startoftext|>":0,"<|endoftext|>":1';
    my ($object, $number, $end) = ('is no JSON object of tokens', 'a has no number of a token', 'has no <|startoftext|> or no <|endoftext|>');
    for (['no JSON', '{"a"', $object], ['a list', '[]', $object], ['more than 2^20 tokens', '{' . join(',', map { qq{"$_":0} } 0 .. 1 << 20) . '}', $object],
         ['a number that is a text', qq({$ends,"a":"1"}), $number], ['a number below 0', qq({$ends,"a":-1}), $number],
         ['a number above 2^20', qq({$ends,"a":1048576}), $number], ['a part of a number', qq({$ends,"a":1.5}), $number],
         ['no start', '{"<|endoftext|>":1}', $end], ['no end', '{"<|startoftext|>":1}', $end],
         ['more than 16 MiB', ' ' x (1 + (16 << 20)), 'cannot be read or has more than 16777216 bytes']) {
        my ($what, $text, $why) = @$_;
        like($says->(written('bad.json', $text), @merge_file), qr/^bad_model: bad\.json:? \Q$why\E/, $what);
    }
    # two that are no tokens, of which the whole is one
    my ($first, $second);
    for my $token (grep { length > 2 } keys %id) {
        for my $at (1 .. length($token) - 1) {
            my @parts = (substr($token, 0, $at), substr $token, $at);
            $first //= "@parts" if !exists $id{$parts[0]} && exists $id{$parts[1]};
            $second //= "@parts" if exists $id{$parts[0]} && !exists $id{$parts[1]};
        }
    }
    for (['one token', "$merges[0]\nab", 2], ['what two make is not there', "$merges[0]\n$merges[1]\nz z\n", 3], ['a first token that is not there', "$first\n", 1],
         ['a second one', "$second\n", 1], ['a version further down', "$merges[0]\n#version: 0.2", 2]) {
        like($says->(@vocabulary, written('bad.txt', $_->[1])), qr/^bad_model: bad\.txt: line $_->[2] /, $_->[0]);
    }
};

print "tokens.texts=$texts\ntokens.merges=" . @merges . "\n";
done_testing;
