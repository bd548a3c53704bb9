#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define K         *INT64_C(1024)
#define S         *INT64_C(1000)
#define AT(field) offsetof(struct config, field)

/* clang-format off */
const struct config_key config_keys[] = {
    { "database",              CONFIG_TEXT,     AT(database),              NULL,        0, 0, 0 },
    { "state",                 CONFIG_TEXT,     AT(state),                 NULL,        0, 0, 0 },
    { "models",                CONFIG_TEXT,     AT(models),                NULL,        0, 0, 0 },
    { "model_files",           CONFIG_TEXT,     AT(model_files),           NULL,        0, 0, 0 },
    { "socket",                CONFIG_TEXT,     AT(socket),                "/run/matte/matted.sock", 0, 0, 0 },
    { "socket_mode",           CONFIG_MODE,     AT(socket_mode),           "0660",      0, 0777, 0 },
    { "engine_id",             CONFIG_TEXT,     AT(engine_id),             "",          0, 0, 0 },
    { "user",                  CONFIG_TEXT,     AT(user),                  "",          0, 0, 0 },
    { "group",                 CONFIG_TEXT,     AT(group),                 "",          0, 0, 0 },
    { "log",                   CONFIG_TEXT,     AT(log),                   "stderr",    0, 0, 0 },
    { "device",                CONFIG_CHOICE,   AT(device),                "auto",      0, 0, "auto|cpu|cuda|cuda:N" },
    { "workers",               CONFIG_NUMBER,   AT(workers),               "1",         1, 64, 0 },
    { "threads",               CONFIG_NUMBER,   AT(threads),               "0",         0, 1024, 0 },
    { "warm",                  CONFIG_CHOICE,   AT(warm),                  "original",  0, 0, "original|light|human|pro" },
    { "worker_memory",         CONFIG_BYTES,    AT(worker_memory),         "4g",        256 K K, 1024 K K K, 0 },
    { "card_reserve",          CONFIG_BYTES,    AT(card_reserve),          "256m",      0, 1024 K K K, 0 },
    { "worker_sandbox",        CONFIG_SWITCH,   AT(worker_sandbox),        "on",        0, 1, 0 },
    { "calm",                  CONFIG_SWITCH,   AT(calm),                  "on",        0, 1, 0 },
    { "clean",                 CONFIG_SWITCH,   AT(clean),                 "on",        0, 1, 0 },
    { "edges",                 CONFIG_SWITCH,   AT(edges),                 "on",        0, 1, 0 },
    { "colors",                CONFIG_SWITCH,   AT(colors),                "on",        0, 1, 0 },
    { "guide",                 CONFIG_SWITCH,   AT(guide),                 "on",        0, 1, 0 },
    { "network_budget",        CONFIG_NUMBER,   AT(network_budget),        "18",        0, 1000000, 0 },
    { "webm_alpha_lossless",   CONFIG_SWITCH,   AT(webm_alpha_lossless),   "off",       0, 1, 0 },
    { "lease",                 CONFIG_DURATION, AT(lease),                 "20s",       1 S, 3600 S, 0 },
    { "heartbeat",             CONFIG_DURATION, AT(heartbeat),             "5s",        100, 900 S, 0 },
    { "poll",                  CONFIG_DURATION, AT(poll),                  "1s",        50, 60 S, 0 },
    { "drain",                 CONFIG_DURATION, AT(drain),                 "30s",       0, 3600 S, 0 },
    { "egress_ports",          CONFIG_PORTS,    AT(egress),                "80 443",    1, 65535, 0 },
    { "egress_allow",          CONFIG_RULES,    AT(egress),                "",          0, 0, 0 },
    { "fetch_max_bytes",       CONFIG_BYTES,    AT(fetch_max_bytes),       "2g",        1, 1024 K K K, 0 },
    { "image_max_bytes",       CONFIG_BYTES,    AT(image_max_bytes),       "32m",       1, 1 K K K, 0 },
    { "fetch_timeout",         CONFIG_DURATION, AT(fetch_timeout),         "1800s",     1 S, 86400 S, 0 },
    { "fetch_connect_timeout", CONFIG_DURATION, AT(fetch_connect_timeout), "10s",       100, 300 S, 0 },
    { "webhook_connections",   CONFIG_NUMBER,   AT(webhook_connections),   "32",        4, 256, 0 },
    { "webhook_timeout",       CONFIG_DURATION, AT(webhook_timeout),       "15s",       100, 60 S, 0 },
    { "webhook_key",           CONFIG_TEXT,     AT(webhook_key),           "/etc/matte/webhook.key", 0, 0, 0 },
    { "public_url",            CONFIG_TEXT,     AT(public_url),            "",          0, 0, 0 },
    { "link_secret",           CONFIG_LINK,     AT(link_secret),           "",          0, 0, 0 },
    { "link_ttl",              CONFIG_DURATION, AT(link_ttl),              "15m",       1 S, 604800 S, 0 },
    { "max_pixels",            CONFIG_PIXELS,   AT(max_pixels),            "4096x2304", 1, 1 << 28, 0 },
    { "max_seconds",           CONFIG_NUMBER,   AT(max_seconds),           "3600",      1, 1000000, 0 },
    { "job_timeout",           CONFIG_DURATION, AT(job_timeout),           "600s",      1 S, 864000 S, 0 },
    { "job_timeout_factor",    CONFIG_NUMBER,   AT(job_timeout_factor),    "300",       0, 100000, 0 },
    { "sweep",                 CONFIG_DURATION, AT(sweep),                 "60s",       100, 86400 S, 0 },
    { "keep_uploads",          CONFIG_DURATION, AT(keep_uploads),          "24h",       1 S, 315360000 S, 0 },
    { "keep_outputs",          CONFIG_DURATION, AT(keep_outputs),          "168h",      1 S, 315360000 S, 0 },
    { "keep_jobs",             CONFIG_DURATION, AT(keep_jobs),             "2160h",     1 S, 315360000 S, 0 },
    { "keep_records",          CONFIG_DURATION, AT(keep_records),          "720h",      1 S, 315360000 S, 0 },
    { "keep_orphans",          CONFIG_DURATION, AT(keep_orphans),          "24h",       2 S, 86400000 S, 0 },
};
/* clang-format on */
const int config_key_count = sizeof config_keys / sizeof *config_keys;

static const struct unit {
    enum config_kind kind;
    const char *name;
    int64_t factor;
} units[] = {
    { CONFIG_DURATION, "ms", 1 },
    { CONFIG_DURATION, "s", 1000 },
    { CONFIG_DURATION, "m", 60000 },
    { CONFIG_DURATION, "h", 3600000 },
    { CONFIG_BYTES, "", 1 },
    { CONFIG_BYTES, "k", 1 K },
    { CONFIG_BYTES, "m", 1 K K },
    { CONFIG_BYTES, "g", 1 K K K },
    { CONFIG_NUMBER, "", 1 },
    { CONFIG_PORTS, "", 1 },
    { CONFIG_MODE, "", 1 },
};

static const char *const wanted[] = {
    [CONFIG_SWITCH] = "on or off",
    [CONFIG_NUMBER] = "a whole number",
    [CONFIG_MODE] = "an octal mode of three digits",
    [CONFIG_DURATION] = "a time with a unit (ms, s, m or h)",
    [CONFIG_BYTES] = "a number of bytes (units: k, m, g)",
    [CONFIG_PIXELS] = "WIDTHxHEIGHT",
    [CONFIG_RULES] = "a list of NETWORK/BITS or NETWORK/BITS:PORT",
    [CONFIG_PORTS] = "a list of port numbers",
};

/* A number with a unit of its kind; -1. */
static int64_t number(enum config_kind kind, const char *text)
{
    char *end;
    if (!isdigit((unsigned char)*text)) {
        return -1;
    }
    errno = 0;
    int64_t value = strtoll(text, &end, kind == CONFIG_MODE ? 8 : 10);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (units[i].kind == kind && !strcmp(units[i].name, end)) {
            return errno || value > INT64_MAX / units[i].factor ? -1 : value * units[i].factor;
        }
    }
    return -1;
}

static int64_t pixels(const char *text)
{
    int width, height, length = 0;
    if (sscanf(text, "%5dx%5d%n", &width, &height, &length) != 2 || text[length] || width < 1 ||
        height < 1) {
        return -1;
    }
    return (int64_t)width * height;
}

/* The :N of a choice stands for a colon and up to three digits. */
static int is_choice(const char *choices, const char *value)
{
    for (const char *c = choices; c; c = strchr(c, '|') ? strchr(c, '|') + 1 : 0) {
        size_t length = strcspn(c, "|:");
        if (strncmp(c, value, length) != 0) {
            continue;
        }
        size_t digits = strspn(value + length + (value[length] == ':'), "0123456789");
        const char *end = value + length + (c[length] == ':' ? 1 + digits : 0);
        if (c[length] == ':' ? value[length] == ':' && digits && digits < 4 && !*end : !*end) {
            return 1;
        }
    }
    return 0;
}

/* Reads one blank-separated word of *list into word; 0 at the end of the list. */
static int next_word(const char **list, char *word, size_t size)
{
    *list += strspn(*list, " \t");
    size_t length = strcspn(*list, " \t");
    snprintf(word, size, "%.*s", (int)(length < size ? length : size - 1), *list);
    *list += length;
    return length > 0;
}

static int rules(struct address_policy *p, const char *value)
{
    char word[80];
    p->allow_count = 0;
    while (next_word(&value, word, sizeof word)) {
        if (p->allow_count == ADDRESS_RULES ||
            address_rule_parse(word, &p->allow[p->allow_count++])) {
            return -1;
        }
    }
    return 0;
}

static int ports(struct address_policy *p, const char *value)
{
    char word[80];
    p->port_count = 0;
    while (next_word(&value, word, sizeof word)) {
        int64_t port = number(CONFIG_PORTS, word);
        if (p->port_count == ADDRESS_PORTS || port < 1 || port > UINT16_MAX) {
            return -1;
        }
        p->ports[p->port_count++] = (uint16_t)port;
    }
    return 0;
}

/* Stores value where k says. *e starts with where, "FILE:LINE". */
static int set(struct config *c, const struct config_key *k, const char *value, const char *where,
    struct error *e)
{
    void *field = (char *)c + k->offset;
    int64_t n = 0;

    switch (k->kind) {
    case CONFIG_TEXT:
    case CONFIG_CHOICE:
        if (k->choices && !is_choice(k->choices, value)) {
            return error_set(e, "config", "%s: %s = %s: one of %s is expected.", where, k->name,
                value, k->choices);
        }
        if (!k->fallback && !*value) {
            return error_set(e, "config", "%s: %s: a value is needed.", where, k->name);
        }
        free(*(char **)field);
        *(char **)field = strdup(value);
        return *(char **)field ? 0 : error_set(e, "config", "%s: Out of memory.", where);
    case CONFIG_RULES: n = rules(field, value); break;
    case CONFIG_PORTS: n = ports(field, value); break;
    case CONFIG_LINK:
        return link_key_parse(value, field)
                   ? error_set(e, "config",
                         "%s: %s: KID:HEX is expected, letters and digits and 16 to 64 bytes.",
                         where, k->name)
                   : 0;
    case CONFIG_SWITCH: n = is_choice("off|on", value) ? value[1] == 'n' : -1; break;
    case CONFIG_PIXELS: n = pixels(value); break;
    default: n = number(k->kind, value); break;
    }
    if (n < 0) {
        return error_set(
            e, "config", "%s: %s = %s: %s is expected.", where, k->name, value, wanted[k->kind]);
    }
    if (k->kind == CONFIG_RULES || k->kind == CONFIG_PORTS) {
        return 0;
    }
    if (n < k->min || n > k->max) {
        const char *unit = k->kind == CONFIG_DURATION ? " ms"
                           : k->kind == CONFIG_BYTES  ? " bytes"
                           : k->kind == CONFIG_PIXELS ? " pixels"
                                                      : "";
        return error_set(e, "config", "%s: %s = %s: %lld to %lld%s are allowed.", where, k->name,
            value, (long long)k->min, (long long)k->max, unit);
    }
    *(int64_t *)field = n;
    return 0;
}

/* Cuts blanks off both ends. */
static char *trim(char *s)
{
    s += strspn(s, " \t\r\n");
    char *end = s + strlen(s);
    while (end > s && isspace((unsigned char)end[-1])) {
        *--end = 0;
    }
    return s;
}

/* One line; seen has a flag for each key. */
static int read_line(
    struct config *config, char *line, char *seen, const char *where, struct error *e)
{
    for (char *c = strchr(line, '#'); c; c = strchr(c + 1, '#')) {
        if (c == line || isblank((unsigned char)c[-1])) { /* a password may have one */
            *c = 0;
            break;
        }
    }
    char *name = trim(line), *equals = strchr(name, '=');
    if (!*name) {
        return 0;
    }
    if (!equals) {
        size_t length =
            strspn(name, "abcdefghijklmnopqrstuvwxyz_"); /* what follows may be secret */
        return error_set(e, "config", "%s: `key = value` is expected, not `%.*s%s`.", where,
            (int)length, name, name[length] ? "..." : "");
    }
    *equals = 0;
    name = trim(name);
    for (int i = 0; i < config_key_count; i++) {
        if (!strcmp(config_keys[i].name, name)) {
            if (seen[i]) {
                return error_set(e, "config", "%s: %s is given twice.", where, name);
            }
            seen[i] = 1;
            return set(config, &config_keys[i], trim(equals + 1), where, e);
        }
    }
    return error_set(e, "config", "%s: there is no key `%s`.", where, name);
}

static int read_file(struct config *c, const char *path, FILE *in, struct error *e)
{
    char line[1024], where[320], seen[sizeof config_keys / sizeof *config_keys] = { 0 };
    for (int n = 1; fgets(line, sizeof line, in); n++) {
        snprintf(where, sizeof where, "%.300s:%d", path, n);
        if (!strchr(line, '\n') && !feof(in)) {
            return error_set(
                e, "config", "%s: the line is longer than %zu bytes.", where, sizeof line - 2);
        }
        int rc = read_line(c, line, seen, where, e);
        explicit_bzero(line, sizeof line);
        if (rc) {
            return -1;
        }
    }
    for (int i = 0; i < config_key_count; i++) {
        const struct config_key *k = &config_keys[i];
        if (!seen[i] && !k->fallback) {
            return error_set(e, "config", "%s: the key %s is missing.", path, k->name);
        }
        if (!seen[i] && set(c, k, k->fallback, path, e)) {
            return -1;
        }
    }
    if (c->heartbeat * 4 > c->lease) { /* three may be lost */
        return error_set(e, "config", "%s: heartbeat must be at most a quarter of lease.", path);
    }
    if (c->keep_orphans <= c->lease) { /* an output has its name before its row has */
        return error_set(e, "config", "%s: keep_orphans must be longer than lease.", path);
    }
    if (c->keep_jobs < c->keep_uploads || c->keep_jobs < c->keep_outputs) {
        return error_set(e, "config",
            "%s: keep_jobs must be at least as long as keep_uploads and keep_outputs.", path);
    }
    if (*c->public_url && !link_base_is_valid(c->public_url)) {
        return error_set(e, "config",
            "%s: public_url = %s: an http or https URL without a slash at its end is expected.",
            path, c->public_url);
    }
    if ((c->link_secret.bytes > 0) != (*c->public_url != 0)) {
        return error_set(e, "config", "%s: link_secret and public_url go together.", path);
    }
    return 0;
}

int config_read(const char *path, struct config *c, struct error *e)
{
    memset(c, 0, sizeof *c);
    char buffer[4096];
    FILE *in = fopen(path, "re");
    if (!in) {
        return error_set(e, "config", "%s: %s.", path, strerror(errno));
    }
    setvbuf(in, buffer, _IOFBF, sizeof buffer);
    int rc = read_file(c, path, in, e);
    fclose(in);
    explicit_bzero(buffer, sizeof buffer); /* of passwords no copy is left for forked children */
    return rc;
}

void config_free(struct config *c)
{
    for (int i = 0; i < config_key_count; i++) {
        if (config_keys[i].kind == CONFIG_TEXT || config_keys[i].kind == CONFIG_CHOICE) {
            free(*(char **)((char *)c + config_keys[i].offset));
        }
    }
    memset(c, 0, sizeof *c);
}
