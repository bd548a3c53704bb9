#include "cards.h"

#include <string.h>

static struct {
    int64_t reserve;
    int count;
    struct {
        int64_t bytes, held; /* bytes 0: nobody has looked at it yet */
        int jobs;
    } card[CARDS];
} cards;

void cards_open(int64_t reserve)
{
    memset(&cards, 0, sizeof cards);
    cards.reserve = reserve;
}

static int is_one(int card)
{
    return card >= 0 && card < CARDS;
}

void cards_found(int count, int card, int64_t bytes)
{
    if (is_one(card)) {
        cards.count = count < CARDS ? count : CARDS;
        cards.card[card].bytes = bytes;
    }
}

void cards_hold(int card, int64_t bytes, int jobs)
{
    if (is_one(card)) {
        cards.card[card].held += bytes;
        cards.card[card].jobs += jobs;
    }
}

static int64_t room(int card)
{
    return cards.card[card].bytes - cards.reserve - cards.card[card].held;
}

int cards_fit(int card, int64_t bytes)
{
    return !is_one(card) || room(card) >= bytes || !cards.card[card].jobs;
}

int cards_turn(int64_t bytes, int slot)
{
    int best = NO_CARD;
    if (!cards.count) {
        return slot;
    }
    for (int i = 0; i < cards.count; i++) {
        if (!cards.card[i].held) { /* the whole card, whether it is known or not */
            return i;
        }
        if (cards.card[i].bytes && room(i) >= bytes && (best < 0 || room(i) > room(best))) {
            best = i;
        }
    }
    return best;
}
