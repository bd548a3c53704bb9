package Matte::Browser;

# What a browser shows of finished files: Chromium, without a window, decodes them, draws every picture on a canvas and
# reads it back. The files are in the page, so that there is no server and no other origin. Chromium prints a page that has
# loaded; this one has when the document that it opens within itself is closed.

use strict;
use warnings;
use Carp qw(croak);
use Exporter qw(import);
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use Matte::Test;

our @EXPORT = qw(shown);

my $page = do { local $/; <DATA> };

# For each [type, file, times to look at: a video's, rising, each of another picture]: {width, height, duration, pictures},
# of a video also what was played: {pictures, end}. Each of pictures is {time, alpha: sha256 of a byte a pixel, clear: how
# many pixels are, opaque, soft (of alpha 64..191): {pixels, color: their mean R, G, B}}, of an animation also {duration}; in
# seconds. An animation is itself {forever}, or not. A PNG file has no times.
sub shown {
    my (@files) = @_;
    my $list = encode_json([map { my ($type, $file, @times) = @$_;
        { type => $type, data => encode_base64(slurp($file), ''), times => [map { 0 + $_ } @times] } } @files]);
    my $html = spew(workspace . '/browser.html', $page =~ s/FILES/$list/r);
    local $ENV{HOME} = workspace;
    # its sandbox is not for root, nor for most containers; what it opens is ours
    my ($status, $text) = command('timeout', 60, 'chromium-headless-shell', qw(--no-sandbox --disable-gpu --disable-dev-shm-usage --disable-audio-output),
        '--dump-dom', "file://$html");
    my ($seen) = $text =~ m{<pre>(.*?)</pre>} or croak "chromium-headless-shell: status $status\n$text";
    my $answer = decode_json($seen);
    croak "chromium-headless-shell: $answer->{error}" if ref $answer ne 'ARRAY';
    return @$answer;
}

1;

__DATA__
<!doctype html>
<pre></pre>
<iframe></iframe>
<script type="module">
const held = document.querySelector('iframe').contentDocument;
held.open();

const canvas = document.createElement('canvas');
const context = canvas.getContext('2d', { willReadFrequently: true });

class Mean {
    pixels = 0;
    color = [0, 0, 0];
    add(rgba, at)
    {
        this.pixels++;
        this.color = this.color.map((mean, c) => mean + (rgba[at + c] - mean) / this.pixels);
    }
}

async function look(picture, width, height)
{
    canvas.width = width;
    canvas.height = height;
    context.drawImage(picture, 0, 0);
    const rgba = context.getImageData(0, 0, width, height).data;
    const alpha = new Uint8Array(width * height), opaque = new Mean(), soft = new Mean();
    let clear = 0;
    for (let i = 0; i < alpha.length; i++) {
        const a = alpha[i] = rgba[4 * i + 3];
        if (a == 255)
            opaque.add(rgba, 4 * i);
        else if (a >= 64 && a < 192)
            soft.add(rgba, 4 * i);
        clear += a == 0;
    }
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', alpha));
    return { alpha: [...hash].map(b => b.toString(16).padStart(2, '0')).join(''), clear, opaque, soft };
}

function happens(video, name)
{
    return new Promise((resolve, reject) => {
        video.addEventListener(name, resolve, { once: true });
        video.addEventListener('error', () => reject(video.error.message), { once: true });
    });
}

async function open(url)
{
    const video = document.createElement('video'), loaded = happens(video, 'loadeddata');
    video.muted = true;
    video.src = url;
    await loaded;
    return video;
}

/* The first picture to be seen whose time is greater: a video may say that it is there while it still shows the last one. */
async function after(video, time)
{
    for (;;) {
        const frame = new VideoFrame(video);
        if (frame.timestamp / 1e6 > time)
            return frame;
        frame.close();
        await new Promise(requestAnimationFrame);
    }
}

async function film(bytes, type, times)
{
    const url = URL.createObjectURL(new Blob([bytes], { type })), video = await open(url), pictures = [];
    for (const time of times) {
        const there = happens(video, 'seeked');
        video.currentTime = time;
        await there;
        const frame = await after(video, pictures.at(-1)?.time ?? -1);
        pictures.push({ ...await look(frame, video.videoWidth, video.videoHeight), time: frame.timestamp / 1e6 });
        frame.close();
    }
    const played = await open(url), end = happens(played, 'ended');
    await played.play();
    await end;
    return { width: video.videoWidth, height: video.videoHeight, duration: video.duration, pictures,
        played: { pictures: played.getVideoPlaybackQuality().totalVideoFrames, end: played.currentTime } };
}

async function animation(bytes, type)
{
    const decoder = new ImageDecoder({ data: bytes, type }), pictures = [];
    await decoder.tracks.ready;
    for (let frameIndex = 0; frameIndex < decoder.tracks.selectedTrack.frameCount; frameIndex++) {
        const { image } = await decoder.decode({ frameIndex });
        pictures.push({ ...await look(image, image.displayWidth, image.displayHeight), time: image.timestamp / 1e6,
            duration: image.duration / 1e6 });
        image.close();
    }
    return { width: canvas.width, height: canvas.height, duration: pictures.reduce((sum, p) => sum + p.duration, 0), pictures,
        forever: decoder.tracks.selectedTrack.repetitionCount == Infinity };
}

/* As a page shows it: its colours are what its tags say. */
async function still(bytes, type)
{
    const picture = await createImageBitmap(new Blob([bytes], { type }));
    return { width: picture.width, height: picture.height, pictures: [await look(picture, picture.width, picture.height)] };
}

let answer = [];
try {
    for (const { type, data, times } of FILES) {
        const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
        answer.push(await (type.startsWith('video/') ? film : type == 'image/png' ? still : animation)(bytes, type, times));
    }
} catch (error) {
    answer = { error: String(error) };
}
document.querySelector('pre').textContent = JSON.stringify(answer);
held.close();
</script>
