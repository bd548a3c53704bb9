# What comes of a text_prompt, over HTTP and by psql alone: what is no text is refused at the door; what names nothing that
# the detector knows fails before a byte is fetched or a credit held; what names some of it is done, and the rest is named.
use strict;
use warnings;
use utf8;
use JSON::PP;
use Matte::Engine;
use Matte::Jobs;
use Matte::Nginx;
use Matte::Origin;
use Matte::Postgres;
use Matte::Test;
use Test::More;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output todo_output);
my $dir = workspace();
my $state = "$dir/state";
my $pg = Matte::Postgres->start($dir, fsync => 0);
my $key = $pg->admin_key('acme', credits => 1000);
$pg->psql('UPDATE matte.api_key SET rate_per_min = 1000000, burst = 100000');
mkdir "$dir/www";
spew("$dir/www/video", join "\n", 'probe 10 2000', 'write video', 'done 10 2000', '');
my $origin = Matte::Origin->start($dir, root => "$dir/www");
my $engine = Matte::Engine->start($dir, fake => 1, database => $pg->conninfo('matte_engine'), state => $state,
                                  egress_allow => '127.0.0.1/32:' . $origin->port);
my $nginx = Matte::Nginx->start($dir, database => $pg->conninfo('matte_api'), key => $key, state => $state,
                                socket => $engine->socket, edit => sub { s/(matte_models) .*/$1 original pro;/ });
my $jobs = Matte::Jobs->new($pg, $key);
my $video = $origin->base . '/video';
my @classes = qw(person dog toothbrush);
sub fetched { return scalar grep { m{\s/video} } $origin->hits }

sub create { my ($prompt, %more) = @_; return $nginx->post('/v1/jobs', {video_url => $video, model => 'pro', text_prompt => $prompt, %more}); }

# The job as the API tells it, once it is over.
sub ended {
    my ($id) = @_;
    return wait_for {
        my $job = $nginx->get("/v1/jobs/$id")->{json};
        $job->{status} =~ /^(?:completed|failed)$/ && $job;
    } 20, "job $id to end";
}

sub refused {
    my ($answer, $code, $field, $text, $name) = @_;
    my $error = $answer->{json}{error};
    is_deeply([$answer->{status}, $error->{code}, $error->{field}, $error->{message}], [400, $code, $field, $text], $name)
        or diag($answer->{content});
    return;
}

subtest 'what is no text is refused at the door' => sub {
    my $long = 'text_prompt must be of 0 to 1000 bytes.';
    my $control = 'text_prompt must have no control characters.';
    my $empty = 'text_prompt must have words.';
    for (['10,000 characters', 'dog, ' x 2000, $long], ['1,001 bytes in fewer characters', 'é' x 501, $long],
         ['a bell', "dog\a", $control], ['an escape', "\e[31mdog", $control], ['DEL', "dog\x7f", $control],
         ['a control character of two bytes', "dog\x85", $control], ['blanks', "  \t\n", $empty], ['signs', '!?,;', $empty]) {
        my ($name, $prompt, $text) = @$_;
        refused(create($prompt), 'invalid_request', 'text_prompt', $text, $name);
        my $draft = $nginx->post('/v1/jobs', {video_url => $video, model => 'pro', auto_start => JSON::PP::false})->{json}{id};
        refused($nginx->post("/v1/jobs/$draft/start", {text_prompt => $prompt}), 'invalid_request', 'text_prompt', $text, "$name, at a start");
    }
    my $answer = $nginx->post('/v1/jobs', qq({"video_url": "$video", "model": "pro", "text_prompt": "dog\xff"}));
    is_deeply([$answer->{status}, $answer->{json}{error}{code}], [400, 'invalid_json'], 'not UTF-8');
    $answer = $nginx->post('/v1/jobs', qq({"video_url": "$video", "model": "pro", "text_prompt": "dog\\u0000"}));
    is_deeply([$answer->{status}, $answer->{json}{error}{code}], [400, 'invalid_json'], 'U+0000');
    is($pg->psql("SELECT count(*) FROM matte.job WHERE status <> 'created'"), 0, 'none was started');
};

# Of a job that has only just been started.
sub failed {
    my ($id, $name, $code, $like) = @_;
    my $job = ended($id);
    is_deeply([@$job{qw(status error_code billing_status credits output_url)}], ['failed', $code, undef, undef, undef], $name)
        or diag(explain($job));
    like($job->{error}, $like, "$name: says why");
    is($jobs->ledger($id), '', "$name: no credit was held");
    is($jobs->job($id)->{attempt}, 1, "$name: once is enough");
    return $job;
}

subtest 'what names nothing that is known fails early' => sub {
    my $before = fetched();
    for ('glowing ring', 'собака', '犬', 'perro', 'halo, glowing ring', 'dog house', 'not the halo', 'é' x 500) {
        my $words = length > 60 ? 'é' : (split /, /)[0] =~ s/^not //r =~ s/^the //r;
        my $job = failed(create($_)->{json}{id}, length > 60 ? 'long' : $_, 'prompt_not_understood', qr/"(?:the )?\Q$words\E/);
        like($job->{error}, qr/\b$_\b/, "and knows $_") for @classes;
    }
    my $draft = create('person', auto_start => JSON::PP::false)->{json}{id};
    is($nginx->post("/v1/jobs/$draft/start", {text_prompt => 'halo'})->{status}, 200);
    failed($draft, 'a prompt of the start', 'prompt_not_understood', qr/"halo"/);
    is(fetched(), $before, 'nothing was fetched');
    is($nginx->post("/v1/jobs/$draft/start", {text_prompt => 'dog'})->{status}, 200, 'the job can be started again');
    is(ended($draft)->{status}, 'completed', 'with another prompt');
};

subtest 'psql alone is told the same' => sub {
    my $start = sub { my ($text) = @_; return $jobs->create($video, model => 'pro', options => encode_json({text_prompt => $text})); };
    failed($start->('halo'), 'not understood', 'prompt_not_understood', qr/"halo"/);
    failed($start->("dog\a"), 'a control character', 'invalid_request', qr/^The prompt has the control character U\+0007\.$/);
    failed($start->('dog, ' x 2000), '10,000 characters', 'invalid_request', qr/^The prompt is longer than 1000 bytes\.$/);
    failed($start->('é' x 501), '1,002 bytes', 'invalid_request', qr/^The prompt is longer than 1000 bytes\.$/);
    failed($start->('...'), 'no words', 'invalid_request', qr/^The prompt has no words\.$/);
    failed($start->(join ',', map { "a$_" } 1 .. 33), 'phrases', 'invalid_request', qr/^The prompt has more than 32 phrases\.$/);
};

subtest 'what is understood is done, and the rest is named' => sub {
    is_deeply(ended(create($_)->{json}{id})->{warnings}, [], $_) for 'person', 'the dogs on the left and no cat', 'PUPPIES';
    my $job = ended(create('person, clothing accessories, glowing ring')->{json}{id});
    is_deeply([@$job{qw(status warnings)}],
              ['completed', [{code => 'prompt_not_understood', message => 'Not understood, and passed over: "glowing ring".'}]],
              'some of it');
    is(ended(create(undef)->{json}{id})->{status}, 'completed', 'nothing is asked for');
    is(ended(create('')->{json}{id})->{status}, 'completed', 'nor by an empty one');
};

is($jobs->violations, '', 'the books balance');
done_testing;
