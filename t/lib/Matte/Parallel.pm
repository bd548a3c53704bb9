package Matte::Parallel;

# Several clients at once, each a process.

use strict;
use warnings;
use Exporter qw(import);
use JSON::PP;
use POSIX ();
use Time::HiRes qw(time);

our @EXPORT = qw(parallel tally);

# Runs $work->(its number) in $n processes until $until has come (undef: once each), and $meanwhile here; returns what
# all of them returned.
sub parallel {
    my ($nginx, $n, $until, $work, $meanwhile) = @_;
    my @readers = map {
        my $number = $_;
        pipe my $reader, my $writer or die;
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            delete $nginx->{http};
            my @results;
            do { push @results, $work->($number) } while defined $until && time < $until;
            print $writer encode_json(\@results);
            close $writer;
            POSIX::_exit(0);
        }
        close $writer;
        [$reader, $pid];
    } 1 .. $n;
    $meanwhile->() if $meanwhile;
    return map { my ($reader, $pid) = @$_; local $/; my $text = <$reader>; waitpid $pid, 0; @{decode_json($text)} } @readers;
}

sub tally { my %n; $n{$_}++ for @_; return \%n; }

1;
