# The jobs routes, row by row of the contract's tables: fields, errors, headers, the doorbell.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use Matte::FakeEngine;
use Matte::Nginx;
use Matte::Postgres;
use Matte::Test;
use Test::More;
use Time::HiRes qw(time sleep);

my $dir = workspace();
my $pg = Matte::Postgres->start($dir, fsync => 0);
my %key = map { $_ => $pg->admin_key($_) } qw(acme other poor limited);
$pg->psql("UPDATE matte.api_key SET rate_per_min = 1000000, burst = 100000, max_pending = 100000");
my $engine = Matte::FakeEngine->start("$dir/matted.sock");
my $nginx = Matte::Nginx->start($dir, database => $pg->conninfo('matte_api'), key => $key{acme}, edit => sub {
    s/matte_models .*/matte_models original light pro;/;
    s/matte_formats .*/matte_formats webm mov mp4 gif;/;
});
my $url = 'https://example.com/a.mp4';
my $uuid = qr/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/;
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $canonical = JSON::PP->new->canonical;

sub create { my ($fields, @headers) = @_; return $nginx->post('/v1/jobs', {video_url => $url, %$fields}, @headers); }
sub draft  { my ($fields) = @_; return create({auto_start => $false, %{$fields // {}}})->{json}{id}; }
sub column { my ($id, $name) = @_; return $pg->psql("SELECT $name FROM matte.job WHERE id = '$id'"); }

# The line that a request left in the access log.
sub logged {
    my ($id) = @_;
    return wait_for { (grep { $_->{request_id} eq $id } $nginx->access_log)[0] } 5, "the log of $id";
}

# An error: its status, code, field, the same request id in body and header; a sentence.
sub refused {
    my ($answer, $status, $code, $field, $name) = @_;
    my $error = $answer->{json}{error};
    is_deeply([$answer->{status}, $answer->{json}{success}, @{$error}{qw(code field request_id)}],
              [$status, $false, $code, $field, $answer->{headers}{'x-request-id'}], "$name: $status $code")
        or diag($answer->{content});
    like($error->{message}, qr/^[A-Z"\w].*\.$/, "$name: a sentence") or diag($answer->{content});
    return;
}

subtest 'create' => sub {
    my $answer = create({});
    is($answer->{status}, 201);
    is_deeply([sort keys %{$answer->{json}}], [qw(id job_id message status success)], 'the members of the answer');
    like($answer->{json}{id}, qr/^$uuid$/, 'a UUID of version 4');
    is($answer->{json}{job_id}, $answer->{json}{id});
    is($answer->{json}{status}, 'pending');
    is($answer->{headers}{location}, "/v1/jobs/$answer->{json}{id}");
    my $id = $answer->{json}{id};
    is(column($id, 'model'), 'original', 'the default model');
    is(column($id, 'output_format'), 'webm', 'the default format');
    is(column($id, 'options'), '{"background": {"type": "transparent"}}', 'the default background');
    is(column($id, 'request_id'), $answer->{headers}{'x-request-id'}, 'the request id is in the row');
    is(create({auto_start => $false})->{json}{status}, 'created', 'a draft');
    is(create({auto_start => $true})->{json}{status}, 'pending');
};

# what is sent => what is stored in options
my $transparent = {type => 'transparent'};
sub color { return {type => 'color', color => [@_]}; }
sub image { return {type => 'image', image_url => $_[0]}; }
sub placed { return {anchor => 'center', scale => 1, offset => {x => 0, y => 0}, @_}; }
my @accepted = (
    ['bg_type transparent', {bg_type => 'transparent'}, $transparent],
    ['bg_type green', {bg_type => 'green'}, color(0, 255, 0)],
    ['bg_type white', {bg_type => 'white'}, color(255, 255, 255)],
    ['bg_type black', {bg_type => 'black'}, color(0, 0, 0)],
    ['bg_type blue', {bg_type => 'blue'}, color(0, 0, 255)],
    ['bg_type custom, 0..255', {bg_type => 'custom', bg_color => [0, 128, 255]}, color(0, 128, 255)],
    ['bg_type color, the guides\' name', {bg_type => 'color', bg_color => [1, 2, 3]}, color(1, 2, 3)],
    ['bg_color 0..1', {bg_type => 'custom', bg_color => [0, 0.5, 1]}, color(0, 128, 255)],
    ['bg_color ones are full', {bg_type => 'custom', bg_color => [1, 1, 1]}, color(255, 255, 255)],
    ['bg_color 0..255 with a one', {bg_type => 'custom', bg_color => [1, 0, 2]}, color(1, 0, 2)],
    ['bg_color 0..255 with fractions', {bg_type => 'custom', bg_color => [127.6, 2.4, 0]}, color(128, 2, 0)],
    ['bg_color alone', {bg_color => [9, 8, 7]}, color(9, 8, 7)],
    ['bg_color with a named colour', {bg_type => 'green', bg_color => [9, 8, 7]}, color(0, 255, 0)],
    ['bg_image_url with a named colour', {bg_type => 'green', bg_image_url => $url}, color(0, 255, 0)],
    ['background transparent', {background => {type => 'transparent'}}, $transparent],
    ['background #rrggbb', {background => {type => 'color', color => '#0a1BfF'}}, color(10, 27, 255)],
    ['background number[3]', {background => {type => 'color', color => [0.2, 0, 1]}}, color(51, 0, 255)],
    ['both, equal', {bg_type => 'green', background => {type => 'color', color => '#00ff00'}}, color(0, 255, 0)],
    ['explicit nulls', {bg_type => undef, background => undef, model => undef, metadata => undef, auto_start => undef,
                        composition => undef, text_prompt => undef, preview_duration => undef}, $transparent],
    ['nulls in background', {background => {type => 'color', color => '#000000', image_url => undef}}, color(0, 0, 0)],
    ['bg_type image', {bg_type => 'image', bg_image_url => $url}, image($url)],
    ['bg_image_url alone', {bg_image_url => $url}, image($url)],
    ['background image', {background => {type => 'image', image_url => $url}}, image($url)],
    ['both, the same image', {bg_type => 'image', bg_image_url => $url, background => image($url)}, image($url)],
    ['mp4 with an image', {output_format => 'mp4', bg_image_url => $url}, image($url)],
    ['mp4 with a colour', {output_format => 'mp4', bg_type => 'green'}, color(0, 255, 0)],
    ['unknown fields', {nonsense => {deep => [1, {a => undef}]}, bg => 'x', background => {type => 'transparent', x => 1}},
     $transparent],
);
subtest 'backgrounds' => sub {
    for (@accepted) {
        my ($name, $fields, $background) = @$_;
        my $answer = create($fields);
        is($answer->{status}, 201, $name) or diag($answer->{content});
        is_deeply(decode_json(column($answer->{json}{id}, 'options')), {background => $background}, "$name: stored");
    }
};

# what is sent => what is stored
my @compositions = (
    ['nothing in it', {}, {foreground => placed()}],
    ['nulls in it', {canvas => undef, foreground => {anchor => undef, scale => undef, offset => undef}}, {foreground => placed()}],
    ['a canvas', {canvas => {width => 1080, height => 1920}}, {canvas => {width => 1080, height => 1920}, foreground => placed()}],
    ['whole numbers in another form', {canvas => {width => 1.6e1, height => 7680.0}},
     {canvas => {width => 16, height => 7680}, foreground => placed()}],
    (map { [$_, {foreground => {anchor => $_}}, {foreground => placed(anchor => $_)}] }
     qw(top-left top-center top-right center-left center center-right bottom-left bottom-center bottom-right)),
    ['scale', {foreground => {scale => 0.75}}, {foreground => placed(scale => 0.75)}],
    ['one side of an offset', {foreground => {offset => {y => -12}}}, {foreground => placed(offset => {x => 0, y => -12})}],
    ['what nobody knows', {x => {y => [1]}, foreground => {z => 1, anchor => 'top-left'}}, {foreground => placed(anchor => 'top-left')}],
);
subtest 'alpha' => sub {
    my $alpha = sub { return decode_json(column($_[0], 'options'))->{alpha} };
    is($alpha->(draft({})), undef, 'nothing said, nothing stored');
    is($alpha->(draft({alpha => undef})), undef, 'null is the same');
    my $id = draft({alpha => $true});
    is($alpha->($id), $true, 'wanted');
    is($nginx->post("/v1/jobs/$id/start", {alpha => $false})->{status}, 200);
    is($alpha->($id), $false, 'and not any more at the start');
    my $answer = create({alpha => 'yes'});
    is("$answer->{status} $answer->{json}{error}{field}", '400 alpha', 'true or false');
};

subtest 'compositions' => sub {
    for (@compositions) {
        my ($name, $sent, $stored) = @$_;
        my $answer = create({composition => $sent});
        is($answer->{status}, 201, $name) or diag($answer->{content});
        is_deeply(decode_json(column($answer->{json}{id}, 'options')), {background => $transparent, composition => $stored},
                  "$name: with its defaults");
    }
    my $id = draft({composition => {foreground => {scale => 2}}});
    is($nginx->post("/v1/jobs/$id/start", {composition => {canvas => {width => 64, height => 48}}})->{status}, 200, 'at the start');
    is_deeply(decode_json(column($id, 'options'))->{composition}, {canvas => {width => 64, height => 48}, foreground => placed()},
              'in place of the draft\'s');
    my $digits = '0.5' . '0' x 20000;
    $id = $nginx->post('/v1/jobs', qq({"video_url":"$url","composition":{"foreground":{"scale":$digits}}}))->{json}{id};
    is(column($id, "options #>> '{composition,foreground,scale}'"), '0.5', 'digits without end');
};

subtest 'other fields' => sub {
    my $answer = create({model => 'light', output_format => 'mov', webhook_url => 'http://hook.example/x?y=1',
                         preview_duration => 2.5});
    my $id = $answer->{json}{id};
    is(column($id, "model || ' ' || output_format || ' ' || webhook_url"), 'light mov http://hook.example/x?y=1');
    is(column($id, "options->'preview_duration'"), '2.5');
    $id = create({model => 'pro', text_prompt => "the \"dog\"\n\x{e9}"})->{json}{id};
    is_deeply(decode_json(column($id, 'options'))->{text_prompt}, "the \"dog\"\n\x{e9}", 'text_prompt');
    $id = create({text_prompt => ''})->{json}{id};
    is(column($id, "options ? 'text_prompt'"), 'f', 'an empty text_prompt says nothing');
    my $trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    for (['a traceparent', $trace, $trace], ['of zeros', '00-' . '0' x 32 . '-00f067aa0ba902b7-01', ''],
         ['without a parent', '00-4bf92f3577b34da6a3ce929d0e0e4736-' . '0' x 16 . '-01', ''], ['in capitals', uc $trace, ''],
         ['of another version', $trace =~ s/^00/01/r, ''], ['too long', "$trace-x", ''], ['nonsense', 'x', '']) {
        my ($name, $sent, $stored) = @$_;
        my $request = 'trace-' . $name =~ s/ /-/gr;
        is(column(create({}, traceparent => $sent, 'X-Request-Id' => $request)->{json}{id}, 'traceparent'), $stored, "traceparent: $name");
        is(logged($request)->{traceparent}, $stored, "$name: in the log");
    }
    my $metadata = '{ "b":1.50, "a" : [true,null,{"b":"\u00e9\/"}],"a":1e2}';
    $answer = $nginx->post('/v1/jobs', qq({"video_url":"$url","metadata":$metadata}));
    my $job = $nginx->get("/v1/jobs/$answer->{json}{id}");
    ok(index($job->{content}, qq("metadata":$metadata)) > 0, 'metadata comes back untouched') or diag($job->{content});
    my $long = '{"x":"' . 'x' x (4096 - 8) . '"}';
    is($nginx->post('/v1/jobs', qq({"video_url":"$url","metadata":$long}))->{status}, 201, 'metadata of 4096 bytes');
};

# field => what is refused with status and code; the field is named
my $long = 'http://x/' . 'x' x 2040;
my @refused = (
    (map { [$_, 400, 'invalid_request', 'a number'] } qw(video_url model output_format bg_type bg_image_url webhook_url)),
    (map { my $f = $_; map { [$f, 400, 'invalid_request', @$_] }
        ['a wrong type', {$f => [1]}], ['another wrong type', {$f => {a => 1}}], ['a boolean', {$f => $true}] }
        qw(video_url model output_format bg_type bg_image_url webhook_url preview_duration text_prompt)),
    (map { my ($name, $field, $value) = @$_; ["composition.$field", 400, 'invalid_request', $name, {composition => $value}] }
     ['a number', 'canvas', {canvas => 1}], ['no width', 'canvas.width', {canvas => {height => 16}}],
     ['null height', 'canvas.height', {canvas => {width => 16, height => undef}}],
     ['too small', 'canvas.width', {canvas => {width => 15, height => 16}}],
     ['too large', 'canvas.height', {canvas => {width => 16, height => 7681}}],
     ['a fraction', 'canvas.width', {canvas => {width => 16.5, height => 16}}],
     ['a string', 'canvas.width', {canvas => {width => '16', height => 16}}],
     ['an array', 'foreground', {foreground => []}], ['unknown', 'foreground.anchor', {foreground => {anchor => 'middle'}}],
     ['zero', 'foreground.scale', {foreground => {scale => 0}}], ['negative', 'foreground.scale', {foreground => {scale => -1}}],
     ['huge', 'foreground.scale', {foreground => {scale => 101}}], ['a number', 'foreground.offset', {foreground => {offset => 1}}],
     ['a fraction', 'foreground.offset.x', {foreground => {offset => {x => 0.5}}}],
     ['far away', 'foreground.offset.y', {foreground => {offset => {y => -15361}}}]),
    (map { [$_, 400, 'invalid_request', 'a string', {$_ => 'x'}] } qw(background composition metadata preview_duration auto_start
                                                                     bg_color)),
    ['metadata', 400, 'invalid_request', 'an array', {metadata => [1]}],
    ['metadata', 400, 'invalid_request', 'over 4 KB', {metadata => {x => 'x' x 4096}}],
    ['auto_start', 400, 'invalid_request', 'a number', {auto_start => 1}],
    ['video_url', 400, 'invalid_request', 'absent', {video_url => undef}],
    ['video_url', 400, 'invalid_request', 'empty', {video_url => ''}],
    ['video_url', 400, 'invalid_request', 'another scheme', {video_url => 'ftp://example.com/a'}],
    ['video_url', 400, 'invalid_request', 'a file', {video_url => 'file:///etc/passwd'}],
    ['video_url', 400, 'invalid_request', 'no host', {video_url => 'https:///a.mp4'}],
    ['video_url', 400, 'invalid_request', 'a space', {video_url => 'https://example.com/a b'}],
    ['video_url', 400, 'invalid_request', 'a line feed', {video_url => "https://example.com/a\nb"}],
    ['video_url', 400, 'invalid_request', 'too long', {video_url => $long}],
    ['video_url', 400, 'invalid_request', 'an upload without an id', {video_url => 'upload://abc'}],
    ['webhook_url', 400, 'invalid_request', 'another scheme', {webhook_url => 'javascript:alert(1)'}],
    ['webhook_url', 400, 'invalid_request', 'too long', {webhook_url => $long}],
    ['bg_image_url', 400, 'invalid_request', 'another scheme', {bg_image_url => 'x', bg_type => 'green'}],
    ['model', 400, 'invalid_request', 'unknown', {model => 'best'}],
    ['output_format', 400, 'invalid_request', 'unknown', {output_format => 'avi'}],
    ['bg_type', 400, 'invalid_request', 'unknown', {bg_type => 'red'}],
    ['bg_color', 400, 'invalid_request', 'missing with custom', {bg_type => 'custom'}],
    ['bg_color', 400, 'invalid_request', 'two numbers', {bg_color => [1, 2]}],
    ['bg_color', 400, 'invalid_request', 'four numbers', {bg_color => [1, 2, 3, 4]}],
    ['bg_color', 400, 'invalid_request', 'strings', {bg_color => ['1', '2', '3']}],
    ['bg_color', 400, 'invalid_request', 'nested', {bg_color => [[1, 2, 3]]}],
    ['bg_color', 400, 'invalid_request', 'null in it', {bg_color => [1, 2, undef]}],
    ['bg_color', 400, 'invalid_request', 'mixed', {bg_color => [0.5, 128, 0]}],
    ['bg_color', 400, 'invalid_request', 'out of range', {bg_color => [0, 0, 256]}],
    ['bg_color', 400, 'invalid_request', 'negative', {bg_color => [0, 0, -1]}],
    ['background.type', 400, 'invalid_request', 'absent', {background => {}}],
    ['background.type', 400, 'invalid_request', 'unknown', {background => {type => 'green'}}],
    ['background.type', 400, 'invalid_request', 'a number', {background => {type => 1}}],
    ['background.color', 400, 'invalid_request', 'absent', {background => {type => 'color'}}],
    ['background.color', 400, 'invalid_request', 'short', {background => {type => 'color', color => '#0f0'}}],
    ['background.color', 400, 'invalid_request', 'not hexadecimal', {background => {type => 'color', color => '#00gg00'}}],
    ['background.color', 400, 'invalid_request', 'an object', {background => {type => 'color', color => {}}}],
    ['background', 400, 'invalid_request', 'against bg_type', {bg_type => 'green', background => $transparent}],
    ['background', 400, 'invalid_request', 'against bg_color', {bg_color => [1, 2, 3], background => color(1, 2, 4)}],
    ['preview_duration', 400, 'invalid_request', 'zero', {preview_duration => 0}],
    ['preview_duration', 400, 'invalid_request', 'negative', {preview_duration => -1}],
    ['preview_duration', 400, 'invalid_request', 'huge', {preview_duration => 1e300}],
    ['text_prompt', 400, 'invalid_request', 'with another model', {text_prompt => 'dog', model => 'light'}],
    ['text_prompt', 400, 'invalid_request', 'with the default model', {text_prompt => 'dog'}],
    ['text_prompt', 400, 'invalid_request', 'too long', {text_prompt => 'x' x 1001, model => 'pro'}],
    ['text_prompt', 400, 'invalid_request', 'much too long', {text_prompt => 'dog,' x 2500, model => 'pro'}],
    (map { ['text_prompt', 400, 'invalid_request', "a control character $_", {text_prompt => sprintf("dog%c", $_), model => 'pro'}] }
     1, 8, 11, 27, 31, 127, 128, 159),
    (map { ['text_prompt', 400, 'invalid_request', "no words: '$_'", {text_prompt => $_, model => 'pro'}] } ' ', "\t\n", ',;!'),
    ['model', 422, 'unsupported_combination', 'not offered here', {model => 'human'}],
    ['output_format', 422, 'unsupported_combination', 'not offered here', {output_format => 'webp'}],
    ['output_format', 422, 'unsupported_combination', 'mp4, transparent by default', {output_format => 'mp4'}],
    ['output_format', 422, 'unsupported_combination', 'mp4, transparent',
     {output_format => 'mp4', background => $transparent}],
    ['bg_image_url', 400, 'invalid_request', 'missing with image', {bg_type => 'image'}],
    ['background.image_url', 400, 'invalid_request', 'missing with image', {background => {type => 'image'}}],
    ['background', 400, 'invalid_request', 'another image', {bg_image_url => $url, background => {type => 'image', image_url => "$url?"}}],
    ['background', 400, 'invalid_request', 'an image against a colour', {bg_type => 'green', background => {type => 'image', image_url => $url}}],
);
subtest 'refused fields' => sub {
    my $before = $pg->psql('SELECT count(*) FROM matte.job');
    my $draft = draft();
    for (@refused) {
        my ($field, $status, $code, $name, $fields) = @$_;
        $fields //= {$field => 1};
        refused(create($fields), $status, $code, $field, "$field, $name");
        next if $field =~ /^(?:video_url|metadata|auto_start)$/ or $name =~ /by default|default model/;
        refused($nginx->post("/v1/jobs/$draft/start", $fields), $status, $code, $field, "start: $field, $name");
    }
    for my $field (qw(video_url bg_color metadata background.type)) {
        my $value = {video_url => "\"$url\"", bg_color => '[1,2,3]', metadata => '{}', 'background.type' => 1}->{$field};
        my $pair = $field =~ /^(\w+)\.(\w+)/ ? "\"$1\":{\"$2\":\"color\",\"$2\":\"color\"}" : "\"$field\":$value,\"$field\":$value";
        refused($nginx->post('/v1/jobs', "{$pair}"), 400, 'invalid_request', $field, "$field twice");
    }
    is($pg->psql('SELECT count(*) FROM matte.job') - $before, 1, 'nothing was made');
};

subtest 'start' => sub {
    $engine->say('pending');
    my $id = draft({model => 'light', bg_type => 'green'});
    my $answer = $nginx->post("/v1/jobs/$id/start", {output_format => 'mov', model => undef, preview_duration => 3});
    is($answer->{status}, 200);
    is_deeply([sort keys %{$answer->{json}}], [qw(id job_id message status success)]);
    is_deeply([@{$answer->{json}}{qw(id job_id status success)}], [$id, $id, 'pending', $true]);
    is(column($id, "model || ' ' || output_format"), 'light mov', 'what is absent or null keeps the job\'s own');
    is_deeply(decode_json(column($id, 'options')), {background => color(0, 255, 0), preview_duration => 3}, 'merged');
    is($nginx->post("/v1/jobs/$id/start", {output_format => 'mov', preview_duration => 3})->{status}, 200, 'the same again');
    refused($nginx->post("/v1/jobs/$id/start", {output_format => 'webm'}), 409, 'job_already_started', undef, 'another start');
    $id = draft();
    is($nginx->post("/v1/jobs/$id/start")->{json}{status}, 'pending', 'no body');
    is($nginx->post("/v1/jobs/" . draft() . "/start", '')->{json}{status}, 'pending', 'an empty body');
    is($nginx->post("/v1/jobs/" . draft() . "/start", {})->{json}{status}, 'pending', '{}');
    is($nginx->post("/v1/jobs/" . draft() . "/start", {video_url => 1, metadata => 1, auto_start => 1})->{status}, 200,
       'the fields of a create are unknown here');
    is($nginx->post('/v1/jobs/' . uc(draft()) . '/start')->{status}, 200, 'an id in capitals');
    is($nginx->post("/v1/jobs/" . draft({model => 'pro'}) . "/start", {text_prompt => 'dog'})->{status}, 200, 'text_prompt');
};

subtest 'a job' => sub {
    my $id = create({metadata => {a => 1}, webhook_url => 'https://hook.example/'})->{json}{id};
    my $job = $nginx->get("/v1/jobs/$id");
    is($job->{status}, 200);
    my @fields = qw(id job_id status progress model output_format output_url error created_at started_at completed_at
        duration_seconds billing_status credits webhook_url webhook_events metadata warnings output queue_position
        request_id);
    is_deeply([grep { !exists $job->{json}{$_} } @fields], [], 'every field of the contract');
    is($job->{json}{output_url}, undef, 'no output yet');
    like($job->{content}, qr/^\{"output_url":null,/, 'the link is the first member');
    like($job->{json}{created_at}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    my $head = $nginx->request('HEAD', "/v1/jobs/$id");
    is_deeply([@{$head->{headers}}{qw(content-length content-type)}, $head->{content} // ''],
              [length $job->{content}, 'application/json', ''], 'HEAD');
    is($nginx->get("/v1/jobs/$id", 'Content-Type' => 'application/json')->{status}, 200, 'a type on GET');
    is($nginx->request('GET', "/v1/jobs/$id", '{"a":1}')->{status}, 200, 'a body on GET');
};

# One refusal for a stranger's job, an unknown one and no id at all
subtest 'not found' => sub {
    my $foreign = $nginx->request('POST', '/v1/jobs', {video_url => $url}, 'X-Api-Key' => $key{other})->{json}{id};
    my ($unknown, %body) = ('00000000-0000-4000-8000-000000000000');
    for my $id ($foreign, $unknown, 'abc', "${unknown}0", '%00', "$unknown%20", '..%2f..') {
        for my $route (['GET', "/v1/jobs/$id"], ['POST', "/v1/jobs/$id/start"], ['GET', "/api/download/$id"]) {
            next if $id eq $foreign && $route->[1] =~ /download/ or $id =~ /%00|%2f/;
            my $answer = $nginx->request(@$route, undef, 'X-Request-Id' => 'same');
            refused($answer, 404, 'not_found', undef, "@$route");
            $body{$answer->{content}} = 1;
        }
    }
    is(keys %body, 1, 'in the same words');
    refused($nginx->get("/api/download/$foreign"), 404, 'not_found', undef, 'download of another\'s job with a key');
    refused($nginx->post('/v1/jobs', {video_url => "upload://$unknown"}), 404, 'not_found', undef, 'an upload of nobody');
    $nginx->{key} = undef;
    refused($nginx->get("/api/download/$unknown"), 404, 'not_found', undef, 'download without a key');
    refused($nginx->get("/api/download/$foreign"), 400, 'job_not_completed', undef, 'download without a key');
    $nginx->{key} = $key{acme};
};

subtest 'keys' => sub {
    my $id = draft();
    my @routes = (['POST', '/v1/jobs', {video_url => $url}], ['POST', '/v1/jobs', '{'], ['POST', "/v1/jobs/$id/start"],
                  ['GET', "/v1/jobs/$id"], ['GET', '/v1/jobs'], ['GET', '/v1/jobs?limit=x']);
    my %body;
    for my $route (@routes) {
        for my $none (undef, '') {
            refused($nginx->request(@$route[0, 1], $route->[2], 'X-Api-Key' => $none), 401, 'missing_api_key', undef, "@$route[0, 1]");
        }
        for my $wrong ('mt_live_unknown', 'x', 'x' x 500, substr($key{acme}, 0, -1) . '~') {
            my $answer = $nginx->request(@$route[0, 1], $route->[2], 'X-Api-Key' => $wrong, 'X-Request-Id' => 'same');
            refused($answer, 401, 'invalid_api_key', undef, "@$route[0, 1]");
            is($answer->{headers}{ratelimit}, undef, 'no limit is told');
            $body{$answer->{content}} = 1;
        }
    }
    refused($nginx->get("/api/download/$id", 'X-Api-Key' => 'x'), 401, 'invalid_api_key', undef, 'download');
    is(keys %body, 1, 'in the same words');
    is(column($id, 'status'), 'created', 'nothing was done');
    my $revoked = $pg->admin_key('acme');
    is($nginx->get("/v1/jobs/$id", 'X-Api-Key' => $revoked)->{status}, 200, 'another key of the client sees the job');
    is(scalar(grep { ($_->{key_cache} // '') eq 'negative' } $nginx->access_log) > 0, 1, 'wrong keys are remembered');
};

subtest 'list' => sub {
    my $key = $pg->admin_key('lister');
    $nginx->{key} = $key;
    my $empty = $nginx->get('/v1/jobs');
    is_deeply($empty->{json}, {items => [], total => 0, limit => 20, offset => 0, has_more => $false}, 'an empty list');
    $pg->psql("UPDATE matte.api_key SET max_pending = 1000");
    my @ids = map { create({auto_start => $_ % 2 ? $true : $false})->{json}{id} } 1 .. 5;
    my $list = $nginx->get('/v1/jobs');
    is_deeply([map { $_->{id} } @{$list->{json}{items}}], [reverse @ids], 'newest first');
    is_deeply($list->{json}{items}[0], $nginx->get("/v1/jobs/$ids[4]")->{json}, 'an item is the job');
    my $part = $nginx->get('/v1/jobs?limit=2&offset=2')->{json};
    is_deeply([[map { $_->{id} } @{$part->{items}}], @{$part}{qw(total limit offset has_more)}],
              [[@ids[2, 1]], 5, 2, 2, $true], 'a part');
    is($nginx->get('/v1/jobs?limit=3&offset=2')->{json}{has_more}, $false, 'the last part');
    is($nginx->get('/v1/jobs?limit=100')->{json}{limit}, 100);
    is_deeply([map { scalar @{$nginx->get("/v1/jobs?status=$_")->{json}{items}} } qw(created pending failed)], [2, 3, 0], 'status');
    for my $bad (qw(limit=0 limit=101 limit=-1 limit=x limit= limit=1.5 offset=-1 offset=x offset=99999999 status=done status=)) {
        my ($field) = $bad =~ /^(\w+)/;
        refused($nginx->get("/v1/jobs?$bad"), 400, 'invalid_request', $field, $bad);
    }
    $nginx->{key} = $key{acme};
};

subtest 'credits' => sub {
    $pg->psql("UPDATE matte.price SET mc_per_second = 0 WHERE model = 'light'");
    my $broke = $pg->admin_key('broke', credits => 0);
    $nginx->{key} = $broke;
    refused(create({}), 402, 'insufficient_credits', undef, 'no credits');
    my $id = draft();
    refused($nginx->post("/v1/jobs/$id/start", {}), 402, 'insufficient_credits', undef, 'start without credits');
    $pg->psql("UPDATE matte.price SET mc_per_second = 750 WHERE model = 'light'");
    $nginx->{key} = $key{acme};
};

subtest 'idempotency' => sub {
    my $count = sub { $pg->psql('SELECT count(*) FROM matte.job') };
    my $before = $count->();
    my $first = create({}, 'Idempotency-Key' => '"one"');
    my $again = create({}, 'Idempotency-Key' => 'one');
    is($again->{content}, $first->{content}, 'quoted or bare: the stored body');
    is($again->{status}, 201, 'the stored status');
    is($again->{headers}{'idempotency-replayed'}, 'true');
    is($first->{headers}{'idempotency-replayed'}, undef);
    is($count->() - $before, 1, 'one job');
    refused(create({model => 'light'}, 'Idempotency-Key' => 'one'), 422, 'idempotency_mismatch', undef, 'another body');
    my @ids = (draft(), draft());
    is($nginx->post("/v1/jobs/$ids[0]/start", {}, 'Idempotency-Key' => 'two')->{json}{id}, $ids[0]);
    refused($nginx->post("/v1/jobs/$ids[1]/start", {}, 'Idempotency-Key' => 'two'), 422, 'idempotency_mismatch', undef,
            'another job');
    is($nginx->post("/v1/jobs/$ids[0]/start", {}, 'Idempotency-Key' => 'two')->{headers}{'idempotency-replayed'}, 'true');
    for my $bad ('x' x 256, '""') {
        refused(create({}, 'Idempotency-Key' => $bad), 400, 'invalid_request', 'Idempotency-Key', 'a bad key');
    }
    is(create({}, 'Idempotency-Key' => 'x' x 255)->{status}, 201, '255 characters');
    refused(create({model => 'best'}, 'Idempotency-Key' => 'three'), 400, 'invalid_request', 'model', 'refused');
    is(create({}, 'Idempotency-Key' => 'three')->{status}, 201, 'a refusal leaves the key free');
    my $session = $pg->session('postgres');
    $session->query("BEGIN");
    $session->query("INSERT INTO matte.idempotency_key (tenant_id, key, route, body_sha256) SELECT id, 'four', 'x', ''::bytea"
                    . " FROM matte.tenant WHERE client_id = 'acme'");
    refused(create({}, 'Idempotency-Key' => 'four'), 409, 'idempotency_in_progress', undef, 'still running');
    $session->query("ROLLBACK");
};

subtest 'dispatch' => sub {
    my @heard = $engine->heard;
    my $rung = sub { my $n = @heard; @heard = $engine->heard; return map { s/^(\w+) \d+/$1/r } @heard[$n .. $#heard]; };
    for (['processing', 'processing', 'processing'], ['pending', 'pending', 'pending'], ['silence', 'pending', 'late'],
         ['late', 'pending', 'late'], ['nonsense', 'pending', 'late']) {
        my ($word, $status, $dispatch) = @$_;
        $engine->say($word);
        my $begin = time;
        my $answer = create({}, 'X-Request-Id' => "dispatch-$word");
        is($answer->{json}{status}, $status, "the engine says $word");
        cmp_ok(time - $begin, '<', 0.25, "$word: no longer than matte_engine_wait");
        is_deeply([$rung->()], ["start $answer->{json}{id}"], "$word: one message");
        is(logged("dispatch-$word")->{dispatch}, $dispatch, "$word: in the log");
        sleep 0.4 if $word eq 'late';                       # the fake engine's own pause
        $rung->();
    }
    $engine->say('processing');
    my $id = draft();
    is_deeply([$rung->()], [], 'a draft rings nobody');
    my $start = $nginx->post("/v1/jobs/$id/start", {}, 'Idempotency-Key' => 'ring');
    is($start->{json}{status}, 'processing', 'start');
    wait_for { $pg->psql("SELECT 1 FROM matte.idempotency_key WHERE key = 'ring' AND response_body LIKE '%processing%'") } 5,
        'the stored answer';
    is($nginx->post("/v1/jobs/$id/start", {}, 'Idempotency-Key' => 'ring')->{content}, $start->{content}, 'replayed');
    is_deeply([$rung->()], ["start $id"], 'a replay rings nobody');

    allow_in_logs(qr/engine/);
    $engine->say('hangup');
    is(create({})->{json}{status}, 'pending', 'the engine hangs up');
    $engine->stop;
    my $begin = time;
    is(create({})->{json}{status}, 'pending', 'no engine');
    cmp_ok(time - $begin, '<', 0.2, 'and no wait for it');
    wait_for { $nginx->get('/health')->{json}{checks}{engine} eq 'down' } 5, 'health to see it';
    is($nginx->get('/health')->{json}{status}, 'degraded');
    $engine->say('processing');
    $engine->serve;
    wait_for { my @ok = grep { $nginx->get('/health')->{json}{status} eq 'healthy' } 1 .. 8; @ok == 8 } 20, 'a new connection';
    is(create({})->{json}{status}, 'processing', 'the engine is back');
    $engine->say('pending');
};

subtest 'rate limit' => sub {
    $pg->psql("UPDATE matte.api_key SET rate_per_min = 60, burst = 5 WHERE tenant_id = "
              . "(SELECT id FROM matte.tenant WHERE client_id = 'limited')");
    $nginx->{key} = $key{limited};
    my @answers = map { $nginx->get('/v1/jobs') } 1 .. 7;
    is_deeply([map { $_->{status} } @answers[0 .. 4]], [(200) x 5], 'the burst');
    is($answers[0]{headers}{'ratelimit-policy'}, '"key";q=5;w=5', 'RateLimit-Policy');
    is($answers[0]{headers}{ratelimit}, '"key";r=4;t=1', 'RateLimit');
    is($answers[4]{headers}{ratelimit}, '"key";r=0;t=5');
    refused($answers[6], 429, 'rate_limited', undef, 'over the burst');
    like($answers[6]{headers}{'retry-after'}, qr/^[12]$/, 'Retry-After');
    like($answers[6]{headers}{ratelimit}, qr/^"key";r=0;t=[45]$/, 'RateLimit with the refusal');
    refused($nginx->post('/v1/jobs', {video_url => $url}), 429, 'rate_limited', undef, 'a write as well');
    wait_for { $nginx->get('/v1/jobs')->{status} == 200 } 5, 'a token';
    $nginx->{key} = $key{acme};
};

subtest 'headers' => sub {
    for my $id ('a', 'A.b_c-9', 'x' x 128) {
        is($nginx->get('/health', 'X-Request-Id' => $id)->{headers}{'x-request-id'}, $id, 'the client\'s own');
    }
    for my $id ('', 'x' x 129, 'a b', 'a/b') {
        like($nginx->get('/health', 'X-Request-Id' => $id)->{headers}{'x-request-id'}, qr/^[0-9a-f]{32}$/, 'made here');
    }
    my $answer = create({});
    is($answer->{headers}{'cache-control'}, 'no-store');
    is($answer->{headers}{'x-content-type-options'}, 'nosniff');
    my $problem = $nginx->get('/v1/jobs/abc', Accept => 'text/html, application/problem+json');
    is($problem->{headers}{'content-type'}, 'application/problem+json');
    is_deeply([@{$problem->{json}}{qw(type title status detail success)}],
              ['about:blank', 'Not Found', 404, $problem->{json}{error}{message}, $false], 'RFC 9457');
    is($problem->{json}{error}{code}, 'not_found', 'beside the same error');
};

subtest 'a prompt that is required' => sub {
    my ($usual, $pro) = (slurp($nginx->{conf}), {model => 'pro'});
    is(create($pro)->{status}, 201, 'as a rule it is not');
    $nginx->reconfigure(sub { s/(matte_require_prompt) off/$1 on/ });
    refused(create($pro), 422, 'unsupported_combination', 'text_prompt', 'none');
    refused(create({%$pro, text_prompt => ''}), 422, 'unsupported_combination', 'text_prompt', 'an empty one');
    is(create({%$pro, text_prompt => 'dog'})->{status}, 201, 'one');
    is(create({})->{status}, 201, 'other models need none');
    my @ids = map { draft($pro) } 1, 2;
    refused($nginx->post("/v1/jobs/$ids[0]/start", {}), 422, 'unsupported_combination', undef, 'a draft without one is not started');
    is($nginx->post("/v1/jobs/$ids[1]/start", {text_prompt => 'dog'})->{status}, 200, 'but with one');
    $nginx->reconfigure(sub { $_ = $usual });
};

subtest 'cancel and delete' => sub {
    my @heard = $engine->heard;
    my $rung = sub { my $n = @heard; @heard = $engine->heard; return join ' ', map { s/^(\w+) \d+/$1/r } @heard[$n .. $#heard]; };
    my $id = draft();
    is($nginx->post("/v1/jobs/$id/cancel")->{json}{status}, 'cancelled', 'a draft');
    is($nginx->post("/v1/jobs/$id/cancel", {})->{json}{status}, 'cancelled', 'again');
    is($rung->(), '', 'concerns no engine');
    for my $end (['POST', '/cancel'], ['DELETE', '']) {
        my $job = create({metadata => {a => 1}})->{json}{id};
        $rung->();
        $pg->psql("UPDATE matte.job SET priority = -2 WHERE id = '$job'; UPDATE matte.tenant_slot SET vtime = -1, max_processing = 100
                   WHERE tenant_id = (SELECT tenant_id FROM matte.job WHERE id = '$job')");
        is($pg->psql("SELECT id FROM matte.job_claim('t', '1 minute')"), $job, 'a worker has the job');
        my $answer = $nginx->request($end->[0], "/v1/jobs/$job$end->[1]");
        is($answer->{json}{status}, 'processing', "$end->[0]: a wish");
        wait_for { @{[$engine->heard]} > @heard } 5, 'the engine to hear it';
        is($rung->(), "cancel $job", "$end->[0]: the engine hears it");
        is($nginx->get("/v1/jobs/$job")->{status}, $end->[0] eq 'POST' ? 200 : 404, "$end->[0]: afterwards");
    }
};

subtest 'methods and paths' => sub {
    my %allow = ('/v1/jobs' => 'GET, HEAD, POST', '/v1/jobs/abc' => 'GET, HEAD, DELETE', '/v1/jobs/abc/start' => 'POST',
                 '/v1/jobs/abc/cancel' => 'POST', '/v1/jobs/abc/webhooks' => 'GET, HEAD',
                 '/v1/jobs/abc/webhooks/def/redeliver' => 'POST', '/v1/usage/summary' => 'GET, HEAD',
                 '/v1/usage/events' => 'GET, HEAD', '/api/pricing' => 'GET, HEAD', '/openapi.json' => 'GET, HEAD',
                 '/api/download/abc' => 'GET, HEAD', '/health' => 'GET, HEAD', '/files/x' => 'GET, HEAD');
    for my $path (sort keys %allow) {
        for my $method (qw(GET HEAD POST PUT PATCH DELETE OPTIONS)) {
            next if $allow{$path} =~ /\b$method\b/;
            my $answer = $nginx->request($method, $path);
            refused($answer, 405, 'method_not_allowed', undef, "$method $path") if $method ne 'HEAD';
            is($answer->{headers}{allow}, $allow{$path}, "$method $path: Allow");
        }
    }
    for my $path (qw(/ /v1 /v1/job /v1/jobs/ /v1/jobsx /v1/jobs/a/b /v1/jobs/a/start/ /v1/jobs/a/webhooks/ /v1/jobs/a/webhooks//redeliver /api/process
                 /v1/admin/keys /v1/admin/config /api/download/ /healthy /_matte/ /_matte/x)) {
        refused($nginx->get($path), 404, 'not_found', undef, $path);
    }
};

subtest 'access log' => sub {
    my $id = draft();
    $nginx->get("/v1/jobs/$id", 'X-Request-Id' => 'log-me');
    $nginx->get("/v1/jobs/abc", 'X-Request-Id' => 'log-me-too');
    my %line = map { $_ => logged($_) } qw(log-me log-me-too);
    is_deeply([@{$line{'log-me'}}{qw(route job_id error key_cache ratelimit status)}], ['get_job', $id, '', 'hit', 'ok', 200]);
    like($line{'log-me'}{key_id}, qr/^\d+$/);
    like($line{'log-me'}{db_time}, qr/^\d+\.\d{3}$/);
    is($line{'log-me-too'}{error}, 'not_found');
    my $log = slurp("$dir/nginx/access.log") . $nginx->error_log;
    is((grep { index($log, $_) >= 0 } values %key), 0, 'no key is in a log');
};

done_testing;
