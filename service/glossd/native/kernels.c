/* The decode step's small operators, each over whole rows: attention over cached keys and values, 8-bit rounding of rows,
 * scaling back with bias and activation, residual with layer norm, the peak and the best few of a vocabulary.
 *
 * Every row is worked on by itself and in a fixed order, so its result does not depend on the rows beside it. All pointers
 * are to contiguous float32 unless the name says otherwise; callers check shapes. No allocation, no threads, no state.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define KERNEL __attribute__((target_clones("arch=sapphirerapids", "arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define KERNEL
#endif
#define INLINE static inline __attribute__((always_inline))
#define LOWEST (-3.402823466e+38f)

/* The loops are compiled as if all numbers were finite, which is what lets them become vectors. Minus infinity still
 * compares and subtracts as it should; "not a number" is looked for in the bits and put into the result by hand. */
typedef union { float value; uint32_t bits; } Word;
INLINE int is_nan(float x)
{
    Word word = { x };
    return (word.bits & 0x7fffffffu) > 0x7f800000u;
}
INLINE float not_a_number(void)
{
    Word word = { .bits = 0x7fc00000u };
    return word.value;
}

/* e**x to about one unit in the last place for x <= 0, without a branch, so that loops over it become vectors.
 * Range reduction by ln 2 in two parts and a polynomial of degree 6 (Cephes expf). Below -87 it gives 0. */
INLINE float exp_nonpositive(float x)
{
    float low = x < -87.0f ? -87.0f : x;
    float whole = __builtin_floorf(low * 1.44269504088896341f + 0.5f);
    float part = low - whole * 0.693359375f + whole * 2.12194440e-4f;
    float sum = 1.9875691500e-4f;
    sum = sum * part + 1.3981999507e-3f;
    sum = sum * part + 8.3334519073e-3f;
    sum = sum * part + 4.1665795894e-2f;
    sum = sum * part + 1.6666665459e-1f;
    sum = sum * part + 5.0000001201e-1f;
    sum = sum * part * part + part + 1.0f;
    union { int32_t bits; float value; } power = { ((int32_t)whole + 127) << 23 };
    float result = sum * power.value;
    return x < -87.0f ? 0.0f : result;
}

/* The error function within 1.5e-7 (Abramowitz and Stegun 7.1.26). */
INLINE float error_function(float x)
{
    float size = __builtin_fabsf(x);
    float t = 1.0f / (1.0f + 0.3275911f * size);
    float sum = ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t;
    float result = 1.0f - sum * exp_nonpositive(-size * size);
    return x < 0.0f ? -result : result;
}

/* Softmax of `count` scores in place. */
INLINE void softmax(float *scores, int64_t count)
{
    float highest = LOWEST, total = 0.0f;
    int broken = 0;
    for (int64_t t = 0; t < count; t++) {
        highest = scores[t] > highest ? scores[t] : highest;
        broken |= is_nan(scores[t]);
    }
    for (int64_t t = 0; t < count; t++) {
        scores[t] = exp_nonpositive(scores[t] - highest);
        total += scores[t];
    }
    float share = broken ? not_a_number() : 1.0f / total;
    for (int64_t t = 0; t < count; t++)
        scores[t] *= share;
}

/* Stored keys and values are float32 or bfloat16, the upper half of a float32. */
INLINE float from_float(float stored) { return stored; }
INLINE float from_bfloat(uint16_t stored)
{
    Word word = { .bits = (uint32_t)stored << 16 };
    return word.value;
}
INLINE float to_float(float value) { return value; }
INLINE uint16_t to_bfloat(float value)
{
    Word word = { value };
    uint32_t rounded = (word.bits + 0x7fffu + ((word.bits >> 16) & 1u)) >> 16;
    return is_nan(value) ? 0x7fc0u : (uint16_t)rounded;
}

/* Defines, for one stored type:
 *
 * glossd_attendX: attention of one query a row over its own entry of a store (entries, heads, capacity, width).
 *   queries: row r, head h at queries + r * query_stride + h * width. entries[r] names the row's entry, counts[r] how many
 *   positions of it are seen. bias: NULL, or (rows, heads, bias_stride). context: (rows, heads, width). scores: scratch for
 *   the largest count.
 * glossd_appendX: write each row's key and value (heads, width), found at `stride` floats from row to row, at its own
 *   position of the entry that has the row's number. */
#define DEFINE_ATTENTION(SUFFIX, STORED, FROM, TO)                                                                    \
    INLINE void attend_one##SUFFIX(const float *restrict query, const STORED *restrict keys,                          \
                                   const STORED *restrict values, const float *restrict bias, float *restrict context,\
                                   float *restrict scores, int64_t width, int64_t count, float scale)                 \
    {                                                                                                                 \
        for (int64_t t = 0; t < count; t++) {                                                                         \
            float sum = 0.0f;                                                                                         \
            for (int64_t i = 0; i < width; i++)                                                                       \
                sum += query[i] * FROM(keys[t * width + i]);                                                          \
            scores[t] = sum * scale;                                                                                  \
        }                                                                                                             \
        if (bias)                                                                                                     \
            for (int64_t t = 0; t < count; t++)                                                                       \
                scores[t] += bias[t];                                                                                 \
        softmax(scores, count);                                                                                       \
        for (int64_t i = 0; i < width; i++)                                                                           \
            context[i] = 0.0f;                                                                                        \
        for (int64_t t = 0; t < count; t++)                                                                           \
            for (int64_t i = 0; i < width; i++)                                                                       \
                context[i] += scores[t] * FROM(values[t * width + i]);                                                \
    }                                                                                                                 \
    KERNEL void glossd_attend##SUFFIX(const float *queries, int64_t query_stride, const STORED *keys,                 \
                                      const STORED *values, const int64_t *entries, const int64_t *counts,            \
                                      const float *bias, int64_t bias_stride, float *context, float *scores,          \
                                      int64_t rows, int64_t heads, int64_t capacity, int64_t width, float scale)      \
    {                                                                                                                 \
        for (int64_t r = 0; r < rows; r++)                                                                            \
            for (int64_t h = 0; h < heads; h++) {                                                                     \
                const STORED *key = keys + (entries[r] * heads + h) * capacity * width;                               \
                const STORED *value = values + (entries[r] * heads + h) * capacity * width;                           \
                const float *query = queries + r * query_stride + h * width;                                          \
                const float *offset = bias ? bias + (r * heads + h) * bias_stride : 0;                                \
                float *out = context + (r * heads + h) * width;                                                       \
                if (width == 64)                                                                                      \
                    attend_one##SUFFIX(query, key, value, offset, out, scores, 64, counts[r], scale);                 \
                else if (width == 32)                                                                                 \
                    attend_one##SUFFIX(query, key, value, offset, out, scores, 32, counts[r], scale);                 \
                else                                                                                                  \
                    attend_one##SUFFIX(query, key, value, offset, out, scores, width, counts[r], scale);              \
            }                                                                                                         \
    }                                                                                                                 \
    KERNEL void glossd_append##SUFFIX(const float *new_keys, const float *new_values, int64_t stride, STORED *keys,   \
                                      STORED *values, const int64_t *positions, int64_t rows, int64_t heads,          \
                                      int64_t capacity, int64_t width)                                                \
    {                                                                                                                 \
        for (int64_t r = 0; r < rows; r++)                                                                            \
            for (int64_t h = 0; h < heads; h++) {                                                                     \
                const int64_t target = ((r * heads + h) * capacity + positions[r]) * width;                           \
                const int64_t origin = r * stride + h * width;                                                        \
                for (int64_t i = 0; i < width; i++) {                                                                 \
                    keys[target + i] = TO(new_keys[origin + i]);                                                      \
                    values[target + i] = TO(new_values[origin + i]);                                                  \
                }                                                                                                     \
            }                                                                                                         \
    }

DEFINE_ATTENTION(, float, from_float, to_float)
DEFINE_ATTENTION(_bfloat, uint16_t, from_bfloat, to_bfloat)

/* Round each row (width) to int8 with the row's largest magnitude at 127; steps[r] is what one level is worth. */
KERNEL void glossd_quantize(const float *rows_in, int8_t *rounded, float *steps, int64_t rows, int64_t width)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *row = rows_in + r * width;
        int8_t *out = rounded + r * width;
        float highest = 1e-12f;
        int broken = 0;
        for (int64_t i = 0; i < width; i++) {
            float magnitude = __builtin_fabsf(row[i]);
            highest = magnitude > highest ? magnitude : highest;
            broken |= is_nan(row[i]);
        }
        float inverse = 127.0f / highest;
        steps[r] = broken ? not_a_number() : highest / 127.0f;
        for (int64_t i = 0; i < width; i++)
            out[i] = (int8_t)(int32_t)__builtin_rintf(row[i] * inverse);
    }
}

/* sums (rows, width) become sums * steps[row] + bias, then the activation: 0 none, 1 relu, 2 swish, 3 gelu (erf). */
KERNEL void glossd_scale(float *sums, const float *steps, const float *bias, int64_t rows, int64_t width,
                         int64_t activation)
{
    for (int64_t r = 0; r < rows; r++) {
        float *row = sums + r * width;
        const float step = steps[r];
        if (bias)
            for (int64_t i = 0; i < width; i++)
                row[i] = row[i] * step + bias[i];
        else
            for (int64_t i = 0; i < width; i++)
                row[i] *= step;
        if (is_nan(step))
            continue; /* the whole row is not a number, and stays so */
        if (activation == 1)
            for (int64_t i = 0; i < width; i++)
                row[i] = row[i] > 0.0f ? row[i] : 0.0f;
        else if (activation == 2)
            for (int64_t i = 0; i < width; i++) {
                float small = exp_nonpositive(-__builtin_fabsf(row[i]));
                row[i] *= (row[i] >= 0.0f ? 1.0f : small) / (1.0f + small);
            }
        else if (activation == 3)
            for (int64_t i = 0; i < width; i++)
                row[i] = 0.5f * row[i] * (1.0f + error_function(row[i] * 0.70710678118654752f));
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
