/* The float32 decode step's small operators, each over whole rows: attention over cached keys and values, residual with
 * layer norm; and for every format the peak and the best few of a vocabulary.
 *
 * Every row is worked on by itself and in a fixed order, so its result does not depend on the rows beside it. All pointers
 * are to contiguous float32 unless the name says otherwise; callers check shapes. No allocation, no threads, no state.
 */
#include "common.h"

INLINE void attend_one(const float *restrict query, const float *restrict keys, const float *restrict values,
                       const float *restrict bias, float *restrict context, float *restrict scores, int64_t width,
                       int64_t count, float scale)
{
    for (int64_t t = 0; t < count; t++) {
        float sum = 0.0f;
        for (int64_t i = 0; i < width; i++)
            sum += query[i] * keys[t * width + i];
        scores[t] = sum * scale;
    }
    if (bias)
        for (int64_t t = 0; t < count; t++)
            scores[t] += bias[t];
    softmax(scores, count);
    for (int64_t i = 0; i < width; i++)
        context[i] = 0.0f;
    for (int64_t t = 0; t < count; t++)
        for (int64_t i = 0; i < width; i++)
            context[i] += scores[t] * values[t * width + i];
}

/* Attention of one query a row over its own entry of a store (entries, heads, capacity, width). queries: row r, head h at
 * queries + r * query_stride + h * width. entries[r] names the row's entry, counts[r] how many positions of it are seen.
 * bias: NULL, or (rows, heads, bias_stride). context: (rows, heads, width). scores: scratch for the largest count. */
KERNEL void glossd_attend(const float *queries, int64_t query_stride, const float *keys, const float *values,
                          const int64_t *entries, const int64_t *counts, const float *bias, int64_t bias_stride,
                          float *context, float *scores, int64_t rows, int64_t heads, int64_t capacity, int64_t width,
                          float scale)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t h = 0; h < heads; h++) {
            const float *key = keys + (entries[r] * heads + h) * capacity * width;
            const float *value = values + (entries[r] * heads + h) * capacity * width;
            const float *query = queries + r * query_stride + h * width;
            const float *offset = bias ? bias + (r * heads + h) * bias_stride : 0;
            float *out = context + (r * heads + h) * width;
            if (width == 64)
                attend_one(query, key, value, offset, out, scores, 64, counts[r], scale);
            else if (width == 32)
                attend_one(query, key, value, offset, out, scores, 32, counts[r], scale);
            else
                attend_one(query, key, value, offset, out, scores, width, counts[r], scale);
        }
}

/* Write each row's key and value (heads, width), found at `stride` floats from row to row, at its own position of the
 * entry that has the row's number. */
KERNEL void glossd_append(const float *new_keys, const float *new_values, int64_t stride, float *keys, float *values,
                          const int64_t *positions, int64_t rows, int64_t heads, int64_t capacity, int64_t width)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t h = 0; h < heads; h++) {
            const int64_t target = ((r * heads + h) * capacity + positions[r]) * width;
            memcpy(keys + target, new_keys + r * stride + h * width, width * sizeof(float));
            memcpy(values + target, new_values + r * stride + h * width, width * sizeof(float));
        }
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

/* The logarithm of the sum of exponentials of each row, and the largest value with its first index. */
KERNEL void glossd_peak(const float *scores, float *sums, float *best, int64_t *index, int64_t rows, int64_t width)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *row = scores + r * width;
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

/* The `keep` largest of each row, best first, the lower index first where equal. Blocks of 64 whose maximum does not reach
 * the worst kept value are passed over, so that nearly all of the work is one sweep of comparisons. */
KERNEL void glossd_top(const float *scores, float *best, int64_t *index, int64_t rows, int64_t width, int64_t keep)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *row = scores + r * width;
        float *values = best + r * keep;
        int64_t *places = index + r * keep, held = 0;
        for (int64_t block = 0; block < width; block += 64) {
            const int64_t end = block + 64 < width ? block + 64 : width;
            if (held == keep) {
                float highest = LOWEST;
                for (int64_t i = block; i < end; i++)
                    highest = row[i] > highest ? row[i] : highest;
                if (!(highest > values[keep - 1]))
                    continue;
            }
            for (int64_t i = block; i < end; i++) {
                const float value = row[i];
                if (held == keep && !(value > values[keep - 1]))
                    continue;
                int64_t place = held < keep ? held++ : keep - 1;
                while (place > 0 && values[place - 1] < value) {
                    values[place] = values[place - 1];
                    places[place] = places[place - 1];
                    place--;
                }
                values[place] = value;
                places[place] = i;
            }
        }
    }
}
