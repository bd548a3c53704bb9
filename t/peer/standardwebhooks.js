// Standard Webhooks' own verifier. Lines of JSON come in, {secret, headers, body (base64)}; for each a line goes out:
// "ok", or why it is not.
const { Webhook } = require('standardwebhooks');
const lines = require('readline').createInterface({ input: process.stdin });

lines.on('line', (line) => {
    const { secret, headers, body } = JSON.parse(line);
    try {
        new Webhook(secret).verify(Buffer.from(body, 'base64'), headers);
        console.log('ok');
    } catch (e) {
        console.log(e.message);
    }
});
