/* What the C sources share: how functions are compiled, and arithmetic that has no branch and no library call. */
#ifndef GLOSSD_COMMON_H
#define GLOSSD_COMMON_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define KERNEL __attribute__((target_clones("arch=sapphirerapids", "arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define GLOSSD_X86 1
#else
#define KERNEL
#endif
#define INLINE static inline __attribute__((always_inline))
#define GLOSSD_INTERFACE 4 /* as in __init__.py */
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

/* bfloat16 is the upper half of a float32. */
INLINE float from_bfloat(uint16_t stored)
{
    Word word = { .bits = (uint32_t)stored << 16 };
    return word.value;
}
INLINE uint16_t to_bfloat(float value)
{
    Word word = { value };
    uint32_t rounded = (word.bits + 0x7fffu + ((word.bits >> 16) & 1u)) >> 16;
    return is_nan(value) ? 0x7fc0u : (uint16_t)rounded;
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

#endif
