/* What prompts mean, against a list written by hand: phrases as people would say them, and what each is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "matte/prompt.h"
#include "matte/words.h"

static struct prompt parse(const char *text)
{
    struct prompt p;
    struct error e;
    if (prompt_parse(&p, text, strlen(text), &e))
        fail_msg("%s: %s", text, e.text);
    return p;
}

static void name_classes(const struct prompt_phrase *phrase, char *names, size_t size)
{
    size_t length = 0;
    names[0] = 0;
    for (int c = 0; c < PROMPT_CLASSES; c++)
        if (prompt_means(phrase, c))
            length += (size_t)snprintf(
                names + length, size - length, "%s%s", length ? ", " : "", prompt_classes[c]);
}

static const char *const phrases[][2] = {
    /* the classes' own names, and plurals */
    { "person", "person" },
    { "traffic lights", "traffic light" },
    { "stop sign", "stop sign" },
    { "Fire Hydrants", "fire hydrant" },
    { "a parking meter", "parking meter" },
    { "skis", "skis" },
    { "ski", "skis" },
    { "sports balls", "sports ball" },
    { "baseball bat", "baseball bat" },
    { "tennis rackets", "tennis racket" },
    { "wine glasses", "wine glass" },
    { "knives", "knife" },
    { "hot dogs", "hot dog" },
    { "potted plants", "potted plant" },
    { "dining table", "dining table" },
    { "TV", "tv" },
    { "mouse", "mouse" },
    { "scissors", "scissors" },
    { "teddy-bear", "teddy bear" },
    { "hair drier", "hair drier" },
    { "toothbrushes", "toothbrush" },
    { "sandwiches", "sandwich" },
    { "oranges", "orange" },
    { "an orange", "orange" },
    { "buses", "bus" },
    { "benches", "bench" },
    { "geese", "bird" },
    { "sheep", "sheep" },
    /* people */
    { "woman", "person" },
    { "women", "person" },
    { "the man", "person" },
    { "men", "person" },
    { "a little girl", "person" },
    { "boys", "person" },
    { "child", "person" },
    { "children", "person" },
    { "kids", "person" },
    { "babies", "person" },
    { "people", "person" },
    { "everyone", "person" },
    { "family", "person" },
    { "group of people", "person" },
    { "police officer", "person" },
    { "policeman", "person" },
    { "dancer", "person" },
    { "guitarist", "person" },
    { "soccer player", "person" },
    { "football player", "person" },
    { "cyclist", "person" },
    { "runner", "person" },
    { "teacher", "person" },
    { "doctor", "person" },
    { "nurse", "person" },
    { "bride", "person" },
    { "presenter", "person" },
    { "actress", "person" },
    { "singer", "person" },
    { "pedestrians", "person" },
    { "grandmother", "person" },
    { "speaker", "" },
    /* animals */
    { "puppy", "dog" },
    { "puppies", "dog" },
    { "poodle", "dog" },
    { "golden retriever", "dog" },
    { "German shepherd", "dog" },
    { "chihuahua", "dog" },
    { "dalmatian", "dog" },
    { "kitten", "cat" },
    { "tabby", "cat" },
    { "siamese cat", "cat" },
    { "black cat", "cat" },
    { "pony", "horse" },
    { "stallion", "horse" },
    { "mare", "horse" },
    { "foal", "horse" },
    { "lamb", "sheep" },
    { "calf", "cow" },
    { "bull", "cow" },
    { "ox", "cow" },
    { "cattle", "cow" },
    { "eagle", "bird" },
    { "duck", "bird" },
    { "chicken", "bird" },
    { "parrot", "bird" },
    { "penguins", "bird" },
    { "ostrich", "bird" },
    { "grizzly bear", "bear" },
    { "polar bear", "bear" },
    { "animal", "bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe" },
    { "animals", "bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe" },
    { "mammals", "cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe" },
    { "pet", "bird, cat, dog" },
    { "livestock", "horse, sheep, cow" },
    { "feline", "cat" },
    { "tiger", "" },
    { "fish", "" },
    { "guinea pig", "" },
    /* vehicles */
    { "vehicle", "bicycle, car, motorcycle, airplane, bus, train, truck, boat, skateboard" },
    { "motor vehicles", "car, motorcycle, bus, truck" },
    { "automobile", "car" },
    { "taxi", "car" },
    { "cab", "car" },
    { "convertible", "car" },
    { "sports car", "car" },
    { "limousine", "car" },
    { "SUV", "car" },
    { "van", "car" },
    { "lorry", "truck" },
    { "fire engine", "truck" },
    { "pickup truck", "truck" },
    { "bike", "bicycle" },
    { "mountain bike", "bicycle" },
    { "motorbike", "motorcycle" },
    { "plane", "airplane" },
    { "jet", "airplane" },
    { "aeroplane", "airplane" },
    { "aircraft", "airplane" },
    { "ship", "boat" },
    { "yacht", "boat" },
    { "canoe", "boat" },
    { "sailing boat", "boat" },
    { "tram", "train" },
    { "coach", "person" },
    { "toy car", "car" },
    { "helicopter", "" },
    /* things */
    { "clothing accessories", "backpack, umbrella, handbag, tie, suitcase" },
    { "accessory", "backpack, umbrella, handbag, tie, suitcase" },
    { "bag", "backpack, handbag, suitcase" },
    { "purse", "handbag" },
    { "rucksack", "backpack" },
    { "luggage", "backpack, handbag, suitcase" },
    { "necktie", "tie" },
    { "bow tie", "tie" },
    { "parasol", "umbrella" },
    { "ball", "sports ball" },
    { "football", "sports ball" },
    { "basketball", "sports ball" },
    { "glass", "wine glass, cup" },
    { "glasses", "" },
    { "mug", "cup" },
    { "coffee mug", "cup" },
    { "cup of tea", "cup" },
    { "cutlery", "fork, knife, spoon" },
    { "fruit", "banana, apple, orange" },
    { "vegetables", "broccoli, carrot" },
    { "food", "banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake" },
    { "slice of pizza", "pizza" },
    { "bowl of fruit", "bowl" },
    { "doughnut", "donut" },
    { "hamburger", "sandwich" },
    { "cupcake", "cake" },
    { "furniture", "chair, couch, bench, bed, dining table" },
    { "seat", "bench, chair, couch" },
    { "sofa", "couch" },
    { "armchair", "chair" },
    { "rocking chair", "chair" },
    { "desk", "dining table" },
    { "table", "dining table" },
    { "plant", "potted plant" },
    { "appliance", "microwave, oven, toaster, refrigerator, hair drier" },
    { "fridge", "refrigerator" },
    { "stove", "oven" },
    { "television", "tv" },
    { "computer", "laptop" },
    { "laptop computer", "laptop" },
    { "phone", "cell phone" },
    { "mobile phone", "cell phone" },
    { "smartphones", "cell phone" },
    { "screen", "tv, laptop, cell phone" },
    { "remote control", "remote" },
    { "alarm clock", "clock" },
    { "watch", "clock" },
    { "paperback", "book" },
    { "jug", "bottle" },
    { "hat", "" },
    { "shirt", "" },
    { "glowing ring", "" },
    { "halo", "" },
    { "the man's hat", "" },
    { "doghouse", "" },
    { "dog house", "" },
    { "fan", "" },
    { "tree", "" },
    { "house", "" },
    /* other languages */
    { "\xd1\x81\xd0\xbe\xd0\xb1\xd0\xb0\xd0\xba\xd0\xb0", "" },
    { "\xe7\x8a\xac", "" },
    { "perro", "" },
    { "Hund", "" },
    { "chien", "" },
    { "femme", "" },
};

static void nouns_mean_classes(void **state)
{
    (void)state;
    enum { COUNT = sizeof phrases / sizeof *phrases };
    int wrong = 0;
    for (int i = 0; i < COUNT; i++) {
        char names[1000], want[1000];
        struct prompt p = parse(phrases[i][0]), expected = { 0 };
        assert_int_equal(p.count, 1);
        name_classes(&p.phrases[0], names, sizeof names);
        /* in the order of the classes */
        for (int c = 0; c < PROMPT_CLASSES; c++) {
            const char *at = strstr(phrases[i][1], prompt_classes[c]);
            for (; at; at = strstr(at + 1, prompt_classes[c])) {
                const char end = at[strlen(prompt_classes[c])];
                if ((at == phrases[i][1] || at[-1] == ' ') && (!end || end == ',') &&
                    (at == phrases[i][1] || at[-2] == ','))
                    expected.phrases[0].classes[c / 64] |= 1ull << c % 64;
            }
        }
        name_classes(&expected.phrases[0], want, sizeof want);
        if (strcmp(names, want) != 0) {
            print_message("# %s: %s; not %s\n", phrases[i][0], names, want);
            wrong++;
        }
    }
    print_message("# prompt.phrases=%d\n", COUNT);
    assert_true(COUNT >= 150);
    assert_int_equal(wrong, 0);
}

static void every_class_is_known_by_its_name(void **state)
{
    (void)state;
    for (int c = 0; c < PROMPT_CLASSES; c++) {
        struct prompt p = parse(prompt_classes[c]);
        assert_int_equal(p.count, 1);
        for (int other = 0; other < PROMPT_CLASSES; other++)
            assert_int_equal(prompt_means(&p.phrases[0], other), other == c);
    }
}

/* A phrase as: -words[classes]places/colours*count */
static void expect(const char *text, const char *want)
{
    struct prompt p = parse(text);
    char got[4000];
    int length = 0;
    for (int i = 0; i < p.count; i++) {
        const struct prompt_phrase *f = &p.phrases[i];
        char names[1000];
        name_classes(f, names, sizeof names);
        if (prompt_means(f, 0) && prompt_means(f, PROMPT_CLASSES - 1))
            strcpy(names, "all");
        length += snprintf(got + length, sizeof got - (size_t)length, "%s%s%s[%s]", i ? "; " : "",
            f->exclude ? "-" : "", prompt_words(&p, f), names);
        if (f->places || f->colours || f->count)
            length += snprintf(got + length, sizeof got - (size_t)length, "%x/%x*%d", f->places,
                f->colours, f->count);
    }
    assert_string_equal(got, want);
}

static void phrases_are_parted(void **state)
{
    (void)state;
    expect("person, clothing accessories, glowing ring",
        "person[person]; clothing accessories[backpack, umbrella, handbag, tie, suitcase]; "
        "glowing ring[]");
    expect("cat and dog", "cat[cat]; dog[dog]");
    expect("cat & dog", "cat[cat]; dog[dog]");
    expect("cat&dog/horse", "cat[cat]; dog[dog]; horse[horse]");
    expect("a cat, and a dog.", "a cat[cat]; a dog[dog]");
    expect("cat\ndog;horse\t", "cat[cat]; dog[dog]; horse[horse]");
    expect(" ,, the  \"dog\" ,", "the  \"dog[dog]");
    expect("woman with a dog", "woman[person]; a dog[dog]");
    expect("a man riding a horse", "a man[person]; a horse[horse]");
    expect("person sitting on the sofa", "person sitting on the sofa[person]");
    expect("apple and orange", "apple[apple]; orange[orange]");
}

static void places_and_colours_filter(void **state)
{
    (void)state;
    expect("the red car on the left", "the red car on the left[car]1/4*1");
    expect("left person", "left person[person]1/0*1");
    expect("people on the left", "people on the left[person]1/0*0");
    expect("dogs at the top right", "dogs at the top right[dog]6/0*0");
    expect("the person on the left side of the picture",
        "the person on the left side of the picture[person]1/0*1");
    expect("the man on top of the car", "the man on top of the car[person]");
    expect("the dog behind the left car", "the dog behind the left car[dog]");
    expect("left and right person", "left and right person[person]3/0*1");
    expect("dog on the left and right", "dog on the left and right[dog]3/0*1");
    expect("black and white dog", "black and white dog[dog]0/3*0");
    expect("orange cat", "orange cat[cat]0/80*0");
    expect("orange and black cats", "orange and black cats[cat]0/81*0");
    expect("man in red", "man in red[person]0/4*0");
    expect("gray, grey", "gray[all]0/400*0; grey[all]0/400*0");
    expect("two dogs", "two dogs[dog]0/0*2");
    expect("12 sheep", "12 sheep[sheep]0/0*12");
    expect("99999999999 sheep", "99999999999 sheep[sheep]0/0*255");
    expect("a pair of shoes", "a pair of shoes[]0/0*2");
    expect("the two largest dogs", "the two largest dogs[dog]20/0*2");
    expect("the largest", "the largest[all]20/0*1");
    expect("smallest, nearest, farthest, centre, bottom",
        "smallest[all]40/0*1; nearest[all]80/0*1; farthest[all]100/0*1; centre[all]10/0*0; "
        "bottom[all]8/0*0");
    expect("the one on the right", "the one on the right[all]2/0*1");
    expect("main subject", "main subject[all]20/0*1");
    expect("hot dog on the left", "hot dog on the left[hot dog]1/0*1");
}

static void not_excludes(void **state)
{
    (void)state;
    expect("person, not the dog, cat", "person[person]; -the dog[dog]; cat[cat]");
    expect(
        "everything except the dog and the cat", "everything[all]; -the dog[dog]; -the cat[cat]");
    expect("person without hat", "person[person]; -hat[]");
    expect("no dogs", "-dogs[dog]; everything[all]");
    expect("all but the dog", "all[all]; -the dog[dog]");
    expect("all of the dogs", "all of the dogs[dog]");
    expect("person but not bicycle", "person[person]; -bicycle[bicycle]");
}

static void refused(const char *text, size_t length, const char *sentence)
{
    struct prompt p;
    struct error e = { 0 };
    assert_int_equal(prompt_parse(&p, text, length, &e), -1);
    assert_string_equal(e.code, "invalid_request");
    assert_string_equal(e.text, sentence);
    assert_int_equal(p.count, 0);
}

static void bad_text_is_refused(void **state)
{
    (void)state;
    char text[10001];
    static const struct {
        const char *text, *sentence;
    } bad[] = {
        { "", "The prompt has no words." },
        { " \t\n ,;!", "The prompt has no words." },
        { "dog\x07", "The prompt has the control character U+0007." },
        { "\x7f", "The prompt has the control character U+007F." },
        { "dog \xc2\x85", "The prompt has the control character U+0085." },
        { "dog\xff", "The prompt is not UTF-8: see byte 3." },
        { "\xc3", "The prompt is not UTF-8: see byte 0." },
        { "\xc0\xaf", "The prompt is not UTF-8: see byte 0." },
        { "\xed\xa0\x80", "The prompt is not UTF-8: see byte 0." },
        { "\xf4\x90\x80\x80", "The prompt is not UTF-8: see byte 0." },
        { "\x80", "The prompt is not UTF-8: see byte 0." },
        { "\xe2\x82", "The prompt is not UTF-8: see byte 0." },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(bad[i].text, strlen(bad[i].text), bad[i].sentence);
    refused("dog\0cat", 7, "The prompt has the control character U+0000.");
    memset(text, 'x', sizeof text);
    refused(text, 10000, "The prompt is longer than 1000 bytes.");
    refused(text, 1001, "The prompt is longer than 1000 bytes.");
    for (int i = 0; i < 1000; i++)
        text[i] = i % 2 ? ',' : 'x';
    refused(text, 1000, "The prompt has more than 32 phrases.");
}

static void what_fits_is_read(void **state)
{
    (void)state;
    char text[1001];
    struct prompt p;
    struct error e;
    memset(text, 'x', sizeof text);
    assert_int_equal(prompt_parse(&p, text, 1000, &e), 0);
    assert_int_equal(strlen(prompt_words(&p, &p.phrases[0])), 1000);
    assert_int_equal(prompt_parse(&p, text, 64, &e), 0);
    for (int i = 0; i < 1000; i++)
        text[i] = i % 2 ? ' ' : 'x';
    assert_int_equal(prompt_parse(&p, text, 1000, &e), 0);
    for (int i = 0; i < 1000; i++)
        text[i] = i % 3 ? 's' : ',';
    assert_int_equal(prompt_parse(&p, text, 64, &e), 0);
    for (int i = 0; i < 63; i++)
        text[i] = i % 2 ? ',' : 'x';
    memcpy(text, "no", 2);
    text[2] = ' ';
    for (int i = 3; i < 64; i++)
        text[i] = i % 2 ? 'x' : '&';
    assert_int_equal(prompt_parse(&p, text, 64, &e), 0);
    assert_int_equal(p.count, PROMPT_PHRASES);
}

static void what_is_not_understood_is_named(void **state)
{
    (void)state;
    char text[PROMPT_BYTES + 1] = "";
    struct error e = { 0 };
    struct prompt p = parse("glowing ring, not a dog");
    assert_int_equal(prompt_understood(&p, &e), -1);
    assert_string_equal(e.code, "prompt_not_understood");
    assert_non_null(strstr(e.text, "\"glowing ring\""));
    assert_null(strstr(e.text, "\"a dog\""));
    for (int c = 0; c < PROMPT_CLASSES; c++)
        assert_non_null(strstr(e.text, prompt_classes[c]));
    assert_string_equal(e.text + strlen(e.text) - 11, "toothbrush.");

    p = parse("person, halo, glowing ring");
    assert_int_equal(prompt_understood(&p, &e), 0);
    assert_int_equal(prompt_warning(&p, &e), 1);
    assert_string_equal(e.code, "prompt_not_understood");
    assert_string_equal(e.text, "Not understood, and passed over: \"halo\", \"glowing ring\".");

    p = parse("person");
    assert_int_equal(prompt_warning(&p, &e), 0);
    p = parse("not a dog");
    assert_int_equal(prompt_understood(&p, &e), 0);
    p = parse("not a halo");
    assert_int_equal(prompt_understood(&p, &e), -1);

    /* however much there is to name */
    for (int i = 0; i < PROMPT_PHRASES; i++)
        strcat(
            text, i ? ",\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9" : "zzz");
    p = parse(text);
    assert_int_equal(prompt_understood(&p, &e), -1);
    assert_non_null(strstr(e.text, " and others."));
    assert_non_null(strstr(e.text, "toothbrush."));
    for (int i = 0; i < 1000; i++)
        text[i] = i % 2 ? '\xa9' : '\xc3';
    p = parse(text);
    assert_int_equal(prompt_understood(&p, &e), -1);
    assert_non_null(strstr(e.text, "\xc3\xa9...\""));
    assert_non_null(strstr(e.text, "toothbrush."));
}

/* Parts of prompts in any order, and now and then any byte. */
static void anything_is_read_or_refused(void **state)
{
    static const char *const parts[] = { "dog", "red", "left", "and", "not", "of", "the", "in",
        "'s", "two", "group", "everything", ",", "&", ".", " ", "wine glass", "running", "orange",
        "-", "\xc3\xa9", "picture", "top", "behind", "99", "\n", "\xe7\x8a\xac", "largest" };
    enum { COUNT = sizeof parts / sizeof *parts };
    uint32_t random = 1;
    int read = 0;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        char text[2000];
        struct error e = { 0 };
        struct prompt p;
        size_t length = 0;
        for (unsigned left = (random >> 8) % 40; left; left--) {
            random = random * 1664525 + 1013904223;
            const char *part = parts[(random >> 8) % COUNT];
            memcpy(text + length, part, strlen(part));
            length += strlen(part);
            text[length++] = (char)((random >> 24) % 200 ? ' ' : random >> 16);
        }
        random = random * 1664525 + 1013904223;
        const int failed = prompt_parse(&p, text, length, &e);
        assert_true(failed ? !p.count && *e.text : p.count > 0 && p.count <= PROMPT_PHRASES + 1);
        read += !failed;
        for (int k = 0; k < p.count; k++)
            assert_true(*prompt_words(&p, &p.phrases[k]));
        assert_true(!prompt_understood(&p, &e) || failed || *e.text);
    }
    assert_true(read > 10000);
}

static void the_table_is_sorted(void **state)
{
    (void)state;
    assert_true(word_count > 5000);
    for (int i = 1; i < word_count; i++)
        assert_true(strcmp(word_text + words[i - 1].text, word_text + words[i].text) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nouns_mean_classes),
        cmocka_unit_test(every_class_is_known_by_its_name),
        cmocka_unit_test(phrases_are_parted),
        cmocka_unit_test(places_and_colours_filter),
        cmocka_unit_test(not_excludes),
        cmocka_unit_test(bad_text_is_refused),
        cmocka_unit_test(what_fits_is_read),
        cmocka_unit_test(what_is_not_understood_is_named),
        cmocka_unit_test(anything_is_read_or_refused),
        cmocka_unit_test(the_table_is_sorted),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("prompt", tests, NULL, NULL);
}
