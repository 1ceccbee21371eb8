/* The float32 decode step's small operators, each over whole rows: attention over cached keys and values, residual with
 * layer norm; and for every format the peak of a vocabulary.
 *
 * Every row is worked on by itself and in a fixed order, so its result does not depend on the rows beside it. All pointers
 * are to contiguous float32 unless the name says otherwise; callers check shapes. No allocation, no threads, no state.
 */
#include "common.h"

int glossd_interface(void) { return GLOSSD_INTERFACE; }

INLINE void attend_one(const float *restrict query, const float *restrict keys, const float *restrict values,
                       const int64_t *restrict places, const float *restrict bias, float *restrict context,
                       float *restrict scores, int64_t width, int64_t count, float scale)
{
    for (int64_t t = 0; t < count; t++) {
        const float *restrict key = keys + places[t];
        float sum = 0.0f;
        for (int64_t i = 0; i < width; i++)
            sum += query[i] * key[i];
        scores[t] = sum * scale;
    }
    if (bias)
        for (int64_t t = 0; t < count; t++)
            scores[t] += bias[t];
    softmax(scores, count);
    for (int64_t i = 0; i < width; i++)
        context[i] = 0.0f;
    for (int64_t t = 0; t < count; t++) {
        const float *restrict value = values + places[t];
        for (int64_t i = 0; i < width; i++)
            context[i] += scores[t] * value[i];
    }
}

/* Attention of one query a row over a store (entries, heads, capacity, width). queries: row r, head h at queries + r *
 * query_stride + h * width. counts[r]: how many positions are seen, of the entry entries[r], or, where that is NULL, position
 * t of the entry ancestors[r * ancestor_stride + t]. bias: NULL, or (rows, heads, bias_stride). context: (rows, heads,
 * width). scratch: for the largest count as many floats and places. */
KERNEL void glossd_attend(const float *queries, int64_t query_stride, const float *keys, const float *values,
                          const int64_t *entries, const int32_t *ancestors, int64_t ancestor_stride,
                          const int64_t *counts, const float *bias, int64_t bias_stride, float *context, void *scratch,
                          int64_t rows, int64_t heads, int64_t capacity, int64_t width, float scale)
{
    for (int64_t r = 0; r < rows; r++) {
        const int64_t count = counts[r];
        int64_t *places = scratch;
        float *scores = (float *)(places + count);
        for (int64_t t = 0; t < count; t++) {
            const int64_t entry = entries ? entries[r] : ancestors[r * ancestor_stride + t];
            places[t] = (entry * heads * capacity + t) * width;
        }
        for (int64_t h = 0; h < heads; h++) {
            const float *key = keys + h * capacity * width, *value = values + h * capacity * width;
            const float *query = queries + r * query_stride + h * width;
            const float *offset = bias ? bias + (r * heads + h) * bias_stride : 0;
            float *out = context + (r * heads + h) * width;
            if (width == 64)
                attend_one(query, key, value, places, offset, out, scores, 64, count, scale);
            else if (width == 32)
                attend_one(query, key, value, places, offset, out, scores, 32, count, scale);
            else
                attend_one(query, key, value, places, offset, out, scores, width, count, scale);
        }
    }
}

/* Write each row's key and value (heads, width), found at `stride` floats from row to row, at its own position of the
 * entry that has the row's number, and that number into the row's ancestors. */
KERNEL void glossd_append(const float *new_keys, const float *new_values, int64_t stride, float *keys, float *values,
                          const int64_t *positions, int32_t *ancestors, int64_t rows, int64_t heads, int64_t capacity,
                          int64_t width)
{
    for (int64_t r = 0; r < rows; r++) {
        ancestors[r * capacity + positions[r]] = (int32_t)r;
        for (int64_t h = 0; h < heads; h++) {
            const int64_t target = ((r * heads + h) * capacity + positions[r]) * width;
            memcpy(keys + target, new_keys + r * stride + h * width, width * sizeof(float));
            memcpy(values + target, new_values + r * stride + h * width, width * sizeof(float));
        }
    }
}

/* Copy chunks of `bytes` from entries origins[i] to targets[i] of a store (layers, entries, heads, step bytes); no target
 * is an origin. */
void glossd_move(char *store, const int64_t *origins, const int64_t *targets, int64_t moves, int64_t layers,
                 int64_t entries, int64_t heads, int64_t step, int64_t bytes)
{
    for (int64_t layer = 0; layer < layers; layer++)
        for (int64_t i = 0; i < moves; i++)
            for (int64_t h = 0; h < heads; h++)
                memcpy(store + (((layer * entries) + targets[i]) * heads + h) * step,
                       store + (((layer * entries) + origins[i]) * heads + h) * step, bytes);
}

/* output = norm(hidden + residual) with weight and bias; `sum`, where not NULL, receives hidden + residual. */
KERNEL void glossd_add_norm(const float *hidden, const float *residual, const float *weight, const float *bias,
                            float epsilon, float *sum, float *output, int64_t rows, int64_t width)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *a = hidden + r * width, *b = residual + r * width;
        float *out = output + r * width;
        float mean = 0.0f, spread = 0.0f;
        for (int64_t i = 0; i < width; i++) {
            out[i] = a[i] + b[i];
            mean += out[i];
        }
        if (sum)
            memcpy(sum + r * width, out, width * sizeof(float));
        mean /= (float)width;
        for (int64_t i = 0; i < width; i++)
            spread += (out[i] - mean) * (out[i] - mean);
        float scale = 1.0f / sqrtf(spread / (float)width + epsilon);
        for (int64_t i = 0; i < width; i++)
            out[i] = (out[i] - mean) * scale * weight[i] + bias[i];
    }
}

/* The logarithm of the sum of exponentials of each row, and the largest value with its first index. Row r of the results
 * is of row numbers[r] of the scores. */
KERNEL void glossd_peak(const float *scores, const int64_t *numbers, float *sums, float *best, int64_t *index,
                        int64_t rows, int64_t width)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *row = scores + numbers[r] * width;
        float highest = LOWEST, total = 0.0f;
        int64_t first = 0;
        int broken = 0;
        for (int64_t block = 0; block < width; block += 64) {
            const int64_t end = block + 64 < width ? block + 64 : width;
            float local = LOWEST;
            for (int64_t i = block; i < end; i++) {
                local = row[i] > local ? row[i] : local;
                broken |= is_nan(row[i]);
            }
            first = local > highest ? block : first;
            highest = local > highest ? local : highest;
        }
        while (first < width - 1 && row[first] != highest)
            first++;
        for (int64_t i = 0; i < width; i++)
            total += exp_nonpositive(row[i] - highest);
        sums[r] = broken || !(total > 0.0f) ? not_a_number() : highest + logf(total);
        best[r] = highest;
        index[r] = first;
    }
}

