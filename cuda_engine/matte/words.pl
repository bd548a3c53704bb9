#!/usr/bin/perl
# words.pl WORDNET LISTS: prints the table of prompt.c's nouns, and what it has as name=value lines to standard error.
# A noun means what LISTS says of it, or else what its first visible sense means: a class that the sense lies below, or the
# classes that lie below a sense of the list [above]. A noun of several words stands in the table only where its last word
# alone would say something else.
use strict;
use warnings;

my ($wordnet, $lists) = @ARGV;

# ---- WordNet: what its database files mean is written in wndb(5) ---------------------------------------------------

# What can be seen, by the numbers of lexnames(5): Tops, animal, artifact, body, communication, food, object, person,
# plant, substance. Of other senses ("chair": a professorship) no prompt speaks.
my %VISIBLE = map { $_ => 1 } qw(03 05 06 08 10 13 17 18 20 27);
my ($PERSON, $FOOD) = qw(18 13);
my %THING = map { $_ => 1 } qw(05 06 13 20);
my $SENSES = 4;    # later ones are too rare to be meant

my (%senses, %synset, %seen);    # seen: how often a sense, lemma#n, was found in texts

sub lines { my ($file) = @_; open my $in, '<', $file or die "$file: $!\n"; return grep { !/^  / } <$in>; }

for (lines("$wordnet/index.noun")) {
    my ($lemma, undef, $count, $pointers, @rest) = split;
    $senses{$lemma} = [@rest[$pointers + 2 .. $pointers + 1 + $count]];
}
for (lines("$wordnet/data.noun")) {
    my ($offset, $kind, undef, $count, @rest) = split;
    my @words = map { $rest[2 * $_] } 0 .. hex($count) - 1;
    my @pointers = @rest[2 * hex($count) + 1 .. $#rest];
    my @above = map { $pointers[4 * $_ + 1] } grep { $pointers[4 * $_] eq '@' } 0 .. $rest[2 * hex $count] - 1;
    $synset{$offset} = {kind => $kind, words => \@words, above => \@above};
}
for (lines("$wordnet/cntlist.rev")) {
    my ($lemma, $n, $times) = /^(\S+)%1:\S+ (\d+) (\d+)$/ or next;
    $seen{"$lemma#$n"} = $times;
}

sub sense {
    my ($lemma, $n) = $_[0] =~ /^(\S+)#(\d+)$/ or die "$lists: $_[0] is no sense\n";
    return ($senses{$lemma} || [])->[$n - 1] || die "$lists: WordNet has no $_[0]\n";
}

# ---- the lists -----------------------------------------------------------------------------------------------------

my (@classes, %number, %class_of, %hand, %plural, @above);
my $section = '';

sub numbers { return map { $number{$_} // die "$lists: $_ is no class\n" } split /\s*,\s*/, $_[0] // ''; }

# What the words of a line mean; a star says that one is a plural.
sub mean {
    my ($words, @numbers) = @_;
    for (split ' ', $words // '') {
        $plural{$_ =~ s/_/ /gr} = 1 if s/\*$//;
        $hand{$_} = \@numbers;
    }
}

for (grep { !/^#|^\s*$/ } lines($lists)) {
    chomp;
    if (/^\[(\w+)\]$/) { $section = $1; next; }
    my ($first, @rest) = split /\s*\|\s*/;
    if ($section eq 'classes') {
        push @classes, $first;
        $number{$first} = $#classes;
        mean($first =~ s/ /_/gr, $#classes);
        push @{$class_of{sense($_)}}, $#classes for split ' ', $rest[0] // '';
        mean($rest[1], $#classes);
    } elsif ($section eq 'above') {
        push @above, [sense($first), numbers($rest[0])];
    } else {
        mean($first, numbers($rest[0]));
    }
}

# ---- what each synset means ----------------------------------------------------------------------------------------

my (%below, %meaning);

# Each class is below all that its senses are below.
for my $start (sort keys %class_of) {
    my @next = ($start);
    my %seen;
    while (defined(my $at = shift @next)) {
        next if $seen{$at}++;
        $below{$at}{$_} = 1 for @{$class_of{$start}};
        push @next, @{$synset{$at}{above}};
    }
}
for (@above) {
    my ($at, @more) = @$_;
    $meaning{$at} = [keys %{{map { $_ => 1 } keys %{$below{$at}}, @more}}];
}

# A synset means itself, or the classes that are the fewest steps above it.
sub meaning {
    my ($offset) = @_;
    return $class_of{$offset} || $meaning{$offset} || do {
        my @level = @{$synset{$offset}{above}};
        my @found;
        while (@level && !@found) {
            @found = map { @{$class_of{$_} || []} } @level;
            @level = map { @{$synset{$_}{above}} } @level;
        }
        \@found;
    };
}

# ---- words ---------------------------------------------------------------------------------------------------------

sub visible { my ($lemma) = @_; return grep { $VISIBLE{$synset{$_}{kind}} } @{$senses{$lemma}}; }

# The first sense that can be seen decides; of an animal's flesh, the animal. Nearly every word has been said of people:
# they are meant where texts have that more often than the thing or animal ("painter", but neither "tiger" nor "washer").
sub noun {
    my ($lemma) = @_;
    my @senses = @{$senses{$lemma}};
    splice @senses, $SENSES if @senses > $SENSES;
    my @kinds = map { $synset{$_}{kind} } @senses;
    my ($most) = sort { $b <=> $a } -1, map { $THING{$kinds[$_]} ? $seen{"$lemma#" . ($_ + 1)} // 0 : () } 0 .. $#senses;
    for my $n (0 .. $#senses) {
        next if !$VISIBLE{$kinds[$n]} || $kinds[$n] eq $PERSON && ($seen{"$lemma#" . ($n + 1)} // 0) <= $most;
        my $means = meaning($senses[$n]);
        return $means if @$means || $kinds[$n] ne $FOOD;
    }
    return [];
}

# The classes of a word, the same text for the same ones.
sub set { return join ',', sort { $a <=> $b } @_; }

# As prompts are read: one space where WordNet has an underscore or a hyphen.
sub plain { return $_[0] =~ s/[_-]/ /gr =~ s/[.']//gr; }

my %table;
for my $lemma (sort grep { /^[a-z][a-z0-9_'.-]*$/ && visible($_) } keys %senses) { $table{plain($lemma)} = set(@{noun($lemma)}); }
for my $lemma (sort keys %hand) { $table{plain($lemma)} = set(@{$hand{$lemma}}); }
for (lines("$wordnet/noun.exc")) {
    my ($many, @one) = split;
    my ($one) = grep { length($table{$_} // '') } @one or next;
    next if length($table{$many} // '') || $many =~ /[_-]/;
    $table{$many} = $table{$one};
    $plural{$many} = 1;
}

# What follows from the last words alone is not needed, nor is a word that means nothing, unless a list says that it does.
sub last_words {
    my ($words) = @_;
    while ($words =~ s/^\S+ //) { return $table{$words} if defined $table{$words}; }
    return '';
}
my %nothing = map { plain($_) => 1 } grep { !@{$hand{$_}} } keys %hand;
my @kept = grep { tr/ // < 4 && ($nothing{$_} || $table{$_} ne last_words($_)) } sort keys %table;

# ---- the table -----------------------------------------------------------------------------------------------------

my (%set, @sets);
for (@kept) { $set{$table{$_}} //= push(@sets, $table{$_}) - 1; }

sub bits {
    my @half = (0, 0);
    $half[$_ >> 6] |= 1 << ($_ & 63) for split /,/, $_[0];
    return sprintf '{ 0x%016xu, 0x%016xu }', @half;
}

my $at = 0;
print "/* Made by words.pl: do not edit. */\n#include \"matte/words.h\"\n\n";
printf "const char *const prompt_classes[%d] = {\n%s};\n\n", scalar @classes, join '', map { "    \"$_\",\n" } @classes;
printf "const uint64_t word_sets[][2] = {\n%s};\n\n", join '', map { '    ' . bits($_) . ",\n" } @sets;
printf "const char word_text[] =\n%s;\n\n", join "\n", map { "    \"$_\\0\"" } @kept;
print "const struct word words[] = {\n";
for (@kept) {
    printf "    { %d, %d, %d },\n", $at, $plural{$_} // 0, $set{$table{$_}};
    $at += 1 + length;
}
printf "};\n\nconst int word_count = %d;\n", scalar @kept;
printf STDERR "words=%d\nwords.sets=%d\nwords.bytes=%d\n", scalar @kept, scalar @sets, $at + 8 * @kept + 16 * @sets;
