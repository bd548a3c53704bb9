/*
 * The cards of this machine and how much of their memory is spoken for: workers hold what they have, and with a job what
 * that may come to need. A job begins only where so much is free, or no other job is.
 */
#ifndef MATTE_CARDS_H
#define MATTE_CARDS_H

#include <stdint.h>

enum { CARDS = 16, NO_CARD = -1 };

/* Forgets all. reserve: bytes of each card that are left to others. */
void cards_open(int64_t reserve);

/* A worker has found `count` cards, of which `card` has so many bytes. */
void cards_found(int count, int card, int64_t bytes);

/* More bytes of a card are held and more jobs are on it, or fewer; of NO_CARD nothing is counted. */
void cards_hold(int card, int64_t bytes, int jobs);

/* May a job begin that takes so many more? On NO_CARD it always may. */
int cards_fit(int card, int64_t bytes);

/*
 * Where a worker is to start that may come to need so many: the card with most room; NO_CARD: it would fit on none.
 * slot: its number, by which workers are spread over cards that nobody has looked at yet.
 */
int cards_turn(int64_t bytes, int slot);

#endif
