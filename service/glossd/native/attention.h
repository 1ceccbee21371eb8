/* Attention of whole rows over what is stored or over a batch: what `attention.c` offers `program.c`. */
#ifndef GLOSSD_ATTENTION_H
#define GLOSSD_ATTENTION_H

#include <stdint.h>

/* Keys and values of one layer in bfloat16, each (entries, heads, capacity, width). */
typedef struct {
    uint16_t *keys, *values;
    int64_t heads, capacity, width;
} Store;

/* What scores gain by distance, key position minus query position, clamped to `reach` either way: table (heads,
 * 2 * reach + 1), distance 0 in the middle; NULL for nothing. */
typedef struct {
    const float *table;
    int64_t reach;
    float scale;
} Scoring;

void glossd_remember(const Store *store, const float *keys, const float *values, int64_t stride, const int64_t *entries,
                     const int64_t *positions, int64_t count);
/* Which entry of a store holds what a row sees: entries[row], or, where that is NULL, for each position t
 * ancestors[row * stride + t]; and how many positions it sees. */
typedef struct {
    const int64_t *entries;
    const int32_t *ancestors;
    int64_t stride;
    const int64_t *counts;
} View;

void glossd_attend_stored(const Store *store, const Scoring *scoring, const View *view, const float *queries,
                          int64_t stride, float *context, void *scratch, int64_t rows);
void glossd_attend_batch(const Scoring *scoring, const float *projected, float *context, float *scratch, int64_t count,
                         int64_t heads, int64_t width);
/* Floats of scratch that glossd_attend_batch needs for `count` tokens. */
int64_t glossd_attend_scratch(int64_t count, int64_t width);

#endif
