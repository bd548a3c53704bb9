package Matte::Jobs;

# Jobs as the module would make them, straight through the database's functions, for tests without NGINX.
#
#     my $jobs = Matte::Jobs->new($pg, $pg->admin_key('acme', credits => 1000));
#     my $id = $jobs->create($url, options => '{"preview_duration":2}');
#     my $job = $jobs->over($id);                     # a hash of the row, once it is completed, failed or cancelled

use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use JSON::PP qw(decode_json);
use Matte::Test;

sub new {
    my ($class, $pg, $key) = @_;
    return bless {pg => $pg, key => sprintf q('\x%s'), sha256_hex($key)}, $class;
}

# A started job; returns its id.
sub create {
    my ($self, $url, %o) = @_;
    my $options = $o{options} // '{}';
    my $format  = $o{format}  // 'webm';
    my $model   = $o{model}   // 'human';
    my $id = $self->{pg}->psql('SELECT gen_random_uuid()');
    chomp $id;
    my $outcome = $self->{pg}->psql(sprintf q{
        SELECT outcome FROM matte.api_create(%s, NULL, '\x00', '%s', '%s', '%s', '%s', NULL, '%s', NULL, true,
                                             'req-%s', 201, '{}')},
        $self->{key}, $id, $model, $format, $url =~ s/'/''/gr, $options, substr $id, 0, 8);
    die "create answered $outcome" unless $outcome =~ /^ok$/m;
    return $id;
}

sub job {
    my ($self, $id) = @_;
    return decode_json($self->{pg}->psql("SELECT row_to_json(j) FROM matte.job j WHERE id = '$id'"));
}

# Waits until the job is in one of these states.
sub reaches {
    my ($self, $id, $states, $seconds) = @_;
    return wait_for {
        my $job = $self->job($id);
        $job->{status} =~ /^(?:$states)$/ ? $job : undef;
    } $seconds // 20, "job $id to be $states";
}

sub over {
    my ($self, $id, $seconds) = @_;
    return $self->reaches($id, 'completed|failed|cancelled', $seconds);
}

# What the ledger says of a job, as "kind kind ...".
sub ledger {
    my ($self, $id) = @_;
    chomp(my $kinds = $self->{pg}->psql(
        "SELECT coalesce(string_agg(kind::text, ' ' ORDER BY id), '') FROM matte.credit_entry WHERE job_id = '$id'"));
    return $kinds;
}

# The rows that break an invariant of the database; empty where all is well.
sub violations {
    my ($self) = @_;
    chomp(my $text = $self->{pg}->psql('SELECT * FROM matte.violation'));
    return $text;
}

1;
