#include "prompt.h"

#include <stdio.h>
#include <string.h>

#include "words.h"

enum { TOKENS = PROMPT_BYTES + 2, NOUN_WORDS = 4, NOUN_BYTES = 64, NAMED_BYTES = 200 };

/* What a word does. */
enum kind {
    COMMA,  /* ends a phrase, and what is excluded */
    NOUN,   /* maybe: it is in no list */
    AND,    /* ends a phrase if both sides have a noun */
    WITH,   /* ends a phrase */
    NOT,    /* begins one that excludes */
    SKIP,   /* says nothing */
    NUMBER, /* value: how many */
    PLACE,  /* value: of enum prompt_place */
    COLOUR, /* value: of enum prompt_colour */
    THING,  /* a noun for whatever there is; value: 1 if it is a plural */
    GROUP,  /* a noun that stands for what follows its "of"; value: how many, 0: it does not say */
    FRAME,  /* what a place is a place of */
    IN,     /* before a place, or a colour that is worn */
    OF,     /* before a noun that the word before belongs to */
    RELATION, /* what follows tells which one is meant in a way that is not understood */
};

/* The words that are no nouns of the table, or not only. */
static const struct {
    enum kind kind;
    int value;
    const char *words;
} lists[] = {
    { AND, 0, "and or" },
    { WITH, 0, "with plus wearing holding carrying riding" },
    { NOT, 0, "not no without except excluding but minus remove ignore" },
    { SKIP, 0, "a an the this that these those my your his her its our their some any each every" },
    { SKIP, 0, "only just also keep show please for" },
    { NUMBER, 1, "one single" },
    { NUMBER, 2, "two both" },
    { NUMBER, 3, "three" },
    { NUMBER, 4, "four" },
    { NUMBER, 5, "five" },
    { NUMBER, 6, "six" },
    { NUMBER, 7, "seven" },
    { NUMBER, 8, "eight" },
    { NUMBER, 9, "nine" },
    { NUMBER, 10, "ten" },
    { PLACE, PLACE_LEFT, "left leftmost" },
    { PLACE, PLACE_RIGHT, "right rightmost" },
    { PLACE, PLACE_TOP, "top topmost upper" },
    { PLACE, PLACE_BOTTOM, "bottom lower lowest" },
    { PLACE, PLACE_CENTER, "center centre central middle" },
    { PLACE, PLACE_LARGEST, "large larger largest big bigger biggest main" },
    { PLACE, PLACE_SMALLEST, "small smaller smallest tiny" },
    { PLACE, PLACE_NEAREST, "nearest nearer closest closer front foreground" },
    { PLACE, PLACE_FARTHEST, "farthest furthest distant back background" },
    { COLOUR, COLOUR_BLACK, "black" },
    { COLOUR, COLOUR_WHITE, "white" },
    { COLOUR, COLOUR_RED, "red" },
    { COLOUR, COLOUR_GREEN, "green" },
    { COLOUR, COLOUR_YELLOW, "yellow" },
    { COLOUR, COLOUR_BLUE, "blue" },
    { COLOUR, COLOUR_BROWN, "brown" },
    { COLOUR, COLOUR_ORANGE, "orange" },
    { COLOUR, COLOUR_PINK, "pink" },
    { COLOUR, COLOUR_PURPLE, "purple violet" },
    { COLOUR, COLOUR_GREY, "grey gray" },
    { THING, 0, "something thing object subject item" },
    { THING, 1, "all everything anything things objects subjects items ones" },
    { GROUP, 0,
        "group bunch lot lots number crowd flock herd pack team row pile set piece slice kind" },
    { GROUP, 2, "pair couple" },
    { FRAME, 0, "picture image photo video clip frame scene shot screen camera viewer" },
    { FRAME, 0, "side part half edge corner" },
    { IN, 0, "in on at to from dressed" },
    { OF, 0, "of" },
    { RELATION, 0,
        "behind beside near next by under below above over between inside outside around" },
    { RELATION, 0, "against who which is are" },
};

struct token {
    uint16_t at, length; /* in the text */
    uint16_t value;
    uint8_t kind;
};

struct parser {
    struct prompt *prompt;
    char text[PROMPT_BYTES + 1]; /* the prompt's in lower case */
    struct token tokens[TOKENS]; /* and two that end them: commas */
    int token_count;
    struct error *error;
};

/* ---- characters ---- */

/* How many bytes the character at s has; 0: it is none of UTF-8. */
static int character(const unsigned char *s, size_t left, uint32_t *code)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } forms[] = { { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 },
        { 0xf8, 0xf0, 0x10000 } };
    for (int more = 0; more < 4; more++) {
        if ((s[0] & forms[more].mask) != forms[more].lead)
            continue;
        *code = s[0] & ~forms[more].mask & 0xff;
        for (int i = 1; i <= more; i++) {
            if ((size_t)i >= left || (s[i] & 0xc0) != 0x80)
                return 0;
            *code = *code << 6 | (s[i] & 0x3f);
        }
        if (*code < forms[more].least || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000))
            return 0;
        return more + 1;
    }
    return 0;
}

static int is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int check_characters(const char *text, size_t length, struct error *e)
{
    uint32_t code;
    int bytes;
    for (size_t at = 0; at < length; at += (size_t)bytes) {
        bytes = character((const unsigned char *)text + at, length - at, &code);
        if (!bytes)
            return error_set(e, "invalid_request", "The prompt is not UTF-8: see byte %zu.", at);
        if ((code < 0x20 && !is_space((int)code)) || (code >= 0x7f && code < 0xa0))
            return error_set(
                e, "invalid_request", "The prompt has the control character U+%04X.", code);
    }
    return 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Letters and digits; all that is not ASCII is taken for letters. */
static int is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c & 0x80;
}

/* ---- tokens ---- */

static int in_list(const char *list, const char *word, int length)
{
    for (const char *end; *list; list = end + (*end == ' ')) {
        end = list + strcspn(list, " ");
        if (end - list == length && !memcmp(list, word, (size_t)length))
            return 1;
    }
    return 0;
}

static void classify(struct token *t, const char *word)
{
    t->kind = NOUN;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (in_list(lists[i].words, word, t->length)) {
            t->kind = lists[i].kind;
            t->value = (uint16_t)lists[i].value;
            return;
        }
    if (word[0] >= '1' && word[0] <= '9' && t->length == strspn(word, "0123456789")) {
        t->kind = NUMBER;
        for (int i = 0; i < t->length; i++)
            t->value = (uint16_t)(t->value < 100 ? t->value * 10 + word[i] - '0' : t->value);
    }
}

static int word_length(const char *s)
{
    int length = 0;
    while (is_letter(s[length]) || (length && s[length] == '\'' && is_letter(s[length + 1])))
        length++;
    return length;
}

/* Words, and the signs that part phrases; other signs are as good as spaces. */
static void tokenise(struct parser *p)
{
    for (int at = 0; p->text[at];) {
        const char *s = p->text + at;
        struct token t = { .at = (uint16_t)at, .length = (uint16_t)word_length(s) };
        at += t.length ? t.length : 1;
        if (t.length)
            classify(&t, s);
        else if (strchr("&+/", *s))
            t.kind = AND;
        else if (!strchr(",;.:\n", *s))
            continue;
        p->tokens[p->token_count++] = t;
    }
}

/* ---- nouns ---- */

static const struct word *find_word(const char *text)
{
    int low = 0, high = word_count;
    while (low < high) {
        const int middle = (low + high) / 2, order = strcmp(text, word_text + words[middle].text);
        if (!order)
            return &words[middle];
        *(order < 0 ? &high : &low) = order < 0 ? middle : middle + 1;
    }
    return NULL;
}

/* By WordNet's rules for plurals: morphy(7WN). */
static const struct word *find_singular(const char *plural)
{
    static const char *const rules[][2] = { { "ses", "s" }, { "xes", "x" }, { "zes", "z" },
        { "ches", "ch" }, { "shes", "sh" }, { "men", "man" }, { "ies", "y" }, { "s", "" } };
    const size_t length = strlen(plural);
    const struct word *word = NULL;
    for (size_t i = 0; i < sizeof rules / sizeof *rules && !word; i++) {
        const size_t cut = strlen(rules[i][0]);
        char text[NOUN_BYTES];
        if (length <= cut || strcmp(plural + length - cut, rules[i][0]) != 0)
            continue;
        snprintf(text, sizeof text, "%.*s%s", (int)(length - cut), plural, rules[i][1]);
        word = find_word(text);
    }
    return word;
}

/* What a phrase is about. */
struct noun {
    uint64_t classes[2]; /* none: it is not known */
    int plural;
    int from, to; /* the tokens that say so; from == to: there is no noun */
};

static const struct noun everything = { { ~0ull, (1ull << (PROMPT_CLASSES - 64)) - 1 }, 1, 0, 0 };

/* The words of the tokens [from, to). 1 if they are in the table. */
static int find_noun(const struct parser *p, int from, int to, struct noun *noun)
{
    char text[NOUN_BYTES];
    int length = 0;
    for (const struct token *t = p->tokens + from; t < p->tokens + to; t++) {
        if (length + t->length + 2 > NOUN_BYTES)
            return 0;
        length += snprintf(text + length, (size_t)(NOUN_BYTES - length), "%s%.*s",
            length ? " " : "", t->length, p->text + t->at);
    }
    const struct word *word = find_word(text);
    const int regular = !word && (word = find_singular(text));
    if (!word)
        return 0;
    *noun = (struct noun) { .plural = regular || word->plural, .from = from, .to = to };
    memcpy(noun->classes, word_sets[word->set], sizeof noun->classes);
    return 1;
}

static int is_thing(const struct token *t)
{
    return t->kind == NOUN || t->kind == THING || t->kind == GROUP || t->kind == FRAME;
}

/* Also an orange, where nothing follows that has its colour; not "the dog's". */
static int is_noun(const struct parser *p, int i)
{
    const struct token *t = &p->tokens[i], *next = t + 1;
    if (t->length > 2 && !memcmp(p->text + t->at + t->length - 2, "'s", 2))
        return 0;
    if (t->kind != COLOUR || t->value != COLOUR_ORANGE)
        return is_thing(t);
    if (next->kind == AND && next[1].kind == COLOUR)
        return 0;
    return !(is_thing(next) || next->kind == COLOUR || next->kind == PLACE);
}

/* "running", "sitting": what a thing does, after its noun. */
static int is_participle(const struct parser *p, const struct token *t)
{
    return t->kind == NOUN && t->length >= 6 && !memcmp(p->text + t->at + t->length - 3, "ing", 3);
}

/* The token before end, with as many before it, from from on, as the table knows together. 1 if it knows any. */
static int longest_noun(const struct parser *p, int from, int end, struct noun *noun)
{
    const struct token *last = &p->tokens[end - 1];
    if (last->kind == THING) {
        *noun = everything;
        noun->plural = last->value;
        noun->from = end - 1;
        noun->to = end;
        return 1;
    }
    for (int first = end - NOUN_WORDS > from ? end - NOUN_WORDS : from; first < end; first++)
        if (find_noun(p, first, end, noun))
            return 1;
    return 0;
}

/* What the last noun of the tokens [from, to) means. */
static struct noun find_head(const struct parser *p, int from, int to)
{
    struct noun noun;
    while (to > from && !is_noun(p, to - 1))
        to--;
    for (int end = to; end > from; end--) {
        if (longest_noun(p, from, end, &noun))
            return noun;
        if (!is_participle(p, &p->tokens[end - 1]))
            break;
    }
    return (struct noun) { .from = to > from ? to - 1 : to, .to = to };
}

/* ---- phrases: the tokens [from, to) ---- */

static int has_noun(const struct parser *p, int from, int to)
{
    while (from < to && !is_noun(p, from))
        from++;
    return from < to;
}

static int ends(const struct token *t)
{
    return t->kind == COMMA || t->kind == WITH || t->kind == NOT;
}

/* Where the words before the first preposition end. */
static int before_preposition(const struct parser *p, int from, int to)
{
    while (from < to && p->tokens[from].kind != IN && p->tokens[from].kind != OF &&
           p->tokens[from].kind != RELATION)
        from++;
    return from;
}

/* What follows a noun: "on the left of the picture", "in red". What says more than that is passed over. */
static void read_place(const struct parser *p, int from, int to, struct prompt_phrase *phrase)
{
    unsigned place = 0;
    for (; from < to && p->tokens[from].kind != RELATION; from++) {
        const struct token *t = &p->tokens[from];
        if (t->kind == PLACE) {
            phrase->places |= t->value;
            place = t->value;
        } else if (t->kind == COLOUR) {
            phrase->colours |= t->value;
        } else if (t->kind == OF && place) {
            while (from + 1 < to && p->tokens[from + 1].kind == SKIP)
                from++;
            if (from + 1 < to && p->tokens[from + 1].kind == FRAME)
                continue;
            phrase->places &= (uint16_t)~place; /* that is of another thing, not of the picture */
            return;
        }
    }
}

static void read_phrase(const struct parser *p, int from, int to, struct prompt_phrase *phrase)
{
    enum { RANKS = PLACE_LARGEST | PLACE_SMALLEST | PLACE_NEAREST | PLACE_FARTHEST };
    int count = 0, start = from, end = before_preposition(p, from, to);
    if (end > from && end < to && p->tokens[end].kind == OF &&
        (p->tokens[end - 1].kind == GROUP || p->tokens[end - 1].kind == THING)) {
        count = p->tokens[end - 1].kind == GROUP ? p->tokens[end - 1].value : 0;
        start = end + 1;
        end = before_preposition(p, start, to);
    }
    struct noun noun = find_head(p, start, end);
    for (int i = from; i < end; i++) {
        const struct token *t = &p->tokens[i];
        if (i >= noun.from && i < noun.to)
            continue;
        if (t->kind == PLACE)
            phrase->places |= t->value;
        else if (t->kind == COLOUR)
            phrase->colours |= t->value;
        else if (t->kind == NUMBER)
            count = t->value;
    }
    read_place(p, end, to, phrase);
    const int known = noun.classes[0] || noun.classes[1],
              limited = phrase->places || phrase->colours || count;
    if (limited && !known && (noun.from == noun.to || p->tokens[noun.from].kind == FRAME)) {
        noun = everything; /* "the largest", "left side" */
        noun.plural = !(phrase->places & RANKS);
    }
    memcpy(phrase->classes, noun.classes, sizeof phrase->classes);
    if (!count && phrase->places && !noun.plural)
        count = 1;
    phrase->count = (uint8_t)(count < UINT8_MAX ? count : UINT8_MAX);
}

/* Where the phrase that begins at from ends. An "and" joins "black and white dog", "dog on the left and right". */
static int phrase_end(const struct parser *p, int from)
{
    int end = from, next;
    for (; end < p->token_count && !ends(&p->tokens[end]); end++) {
        if (p->tokens[end].kind != AND)
            continue;
        for (next = end + 1;
             next < p->token_count && !ends(&p->tokens[next]) && p->tokens[next].kind != AND;)
            next++;
        if (has_noun(p, from, end) && has_noun(p, end + 1, next))
            break;
    }
    return end;
}

static int add_phrase(struct parser *p, int from, int to, int exclude)
{
    struct prompt *prompt = p->prompt;
    if (prompt->count == PROMPT_PHRASES)
        return error_set(
            p->error, "invalid_request", "The prompt has more than %d phrases.", PROMPT_PHRASES);
    while (p->tokens[to - 1].kind == AND)
        to--;
    struct prompt_phrase *phrase = &prompt->phrases[prompt->count++];
    *phrase = (struct prompt_phrase) { .words = p->tokens[from].at, .exclude = (uint8_t)exclude };
    read_phrase(p, from, to, phrase);
    prompt->text[p->tokens[to - 1].at + p->tokens[to - 1].length] = 0;
    return 0;
}

static int read_phrases(struct parser *p)
{
    int exclude = 0;
    for (int i = 0, end; i < p->token_count; i = end) {
        const enum kind kind = p->tokens[i].kind;
        end = i + 1;
        if (kind == NOT)
            exclude = 1;
        else if (kind == COMMA)
            exclude = 0;
        else if (kind != AND && kind != WITH) {
            end = phrase_end(p, i);
            if (add_phrase(p, i, end, exclude))
                return -1;
        }
    }
    return p->prompt->count ? 0
                            : error_set(p->error, "invalid_request", "The prompt has no words.");
}

/* Where all that is named is excluded, everything else is kept. */
static void keep_the_rest(struct prompt *prompt)
{
    for (int i = 0; i < prompt->count; i++)
        if (!prompt->phrases[i].exclude)
            return;
    struct prompt_phrase *rest = &prompt->phrases[prompt->count++];
    *rest = (struct prompt_phrase) { .words = PROMPT_REST };
    memcpy(rest->classes, everything.classes, sizeof rest->classes);
    memcpy(prompt->text + PROMPT_REST, "everything", sizeof "everything");
}

int prompt_parse(struct prompt *p, const char *text, size_t length, struct error *e)
{
    struct parser parser = { .prompt = p, .error = e };
    memset(p, 0, sizeof *p);
    if (length > PROMPT_BYTES)
        return error_set(e, "invalid_request", "The prompt is longer than %d bytes.", PROMPT_BYTES);
    if (check_characters(text, length, e))
        return -1;
    memcpy(p->text, text, length);
    for (size_t i = 0; i < length; i++)
        parser.text[i] = lower(text[i]);
    tokenise(&parser);
    if (read_phrases(&parser)) {
        p->count = 0;
        return -1;
    }
    keep_the_rest(p);
    return 0;
}

/* ---- what could not be mapped ---- */

static int is_mapped(const struct prompt_phrase *phrase)
{
    return phrase->classes[0] || phrase->classes[1];
}

/* "glowing ring", "halo", as many as there is room for. How many there are. */
static int name_unmapped(const struct prompt *p, char named[NAMED_BYTES])
{
    enum { LONGEST = 60, AROUND = sizeof ", \"...\" and others" };
    int count = 0, length = 0, full = 0;
    named[0] = 0;
    for (int i = 0; i < p->count; i++) {
        if (is_mapped(&p->phrases[i]))
            continue;
        count++;
        const char *given = prompt_words(p, &p->phrases[i]);
        int bytes = (int)strlen(given), cut = bytes > LONGEST;
        for (bytes = cut ? LONGEST : bytes; cut && (given[bytes] & 0xc0) == 0x80;)
            bytes--;
        if (full)
            continue;
        full = length + bytes + AROUND > NAMED_BYTES;
        length += snprintf(named + length, (size_t)(NAMED_BYTES - length),
            full ? " and others" : "%s\"%.*s%s\"", length ? ", " : "", bytes, given,
            cut ? "..." : "");
    }
    return count;
}

int prompt_understood(const struct prompt *p, struct error *e)
{
    char named[NAMED_BYTES], classes[sizeof e->text];
    const int rest = p->count && p->phrases[p->count - 1].words == PROMPT_REST;
    int length = 0;
    for (int i = 0; i < p->count - rest; i++)
        if (p->phrases[i].exclude == rest && is_mapped(&p->phrases[i]))
            return 0;
    for (int i = 0; i < PROMPT_CLASSES; i++)
        length += snprintf(classes + length, sizeof classes - (size_t)length, "%s%s", i ? ", " : "",
            prompt_classes[i]);
    name_unmapped(p, named);
    return error_set(e, "prompt_not_understood",
        "Nothing that is known is to be kept: %s. A prompt names in English what is one of these: "
        "%s.",
        named, classes);
}

int prompt_warning(const struct prompt *p, struct error *warning)
{
    char named[NAMED_BYTES];
    if (!name_unmapped(p, named))
        return 0;
    error_set(warning, "prompt_not_understood", "Not understood, and passed over: %s.", named);
    return 1;
}
