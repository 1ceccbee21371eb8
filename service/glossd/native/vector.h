/* Arithmetic on vectors of sixteen floats, for sources that are only run where `glossd_level` is not LEVEL_NONE. */
#ifndef GLOSSD_VECTOR_H
#define GLOSSD_VECTOR_H

#include "common.h"

#include <immintrin.h>

#define VECTOR_FEATURES "avx2,fma,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
#define VECTOR __attribute__((target(VECTOR_FEATURES)))

/* Which of the sixteen are in use where `left` are. */
VECTOR INLINE __mmask16 lanes(int64_t left)
{
    return left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1u << left) - 1) : 0;
}

/* e**x within two units in the last place for -87 < x < 87, and the value at the nearer end outside. */
VECTOR INLINE __m512 exponential(__m512 x)
{
    x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-87.0f)), _mm512_set1_ps(87.0f));
    const __m512 whole = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504088896341f)), 0);
    __m512 part = _mm512_fnmadd_ps(whole, _mm512_set1_ps(0.693359375f), x);
    part = _mm512_fnmadd_ps(whole, _mm512_set1_ps(-2.12194440e-4f), part);
    __m512 sum = _mm512_set1_ps(1.3981999507e-3f);
    sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(8.3334519073e-3f));
    sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(4.1665795894e-2f));
    sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(1.6666665459e-1f));
    sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(5.0000001201e-1f));
    sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(1.0f));
    sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(sum, whole);
}

/* 1 / x, to the last bit but one. */
VECTOR INLINE __m512 inverse(__m512 x)
{
    const __m512 guess = _mm512_rcp14_ps(x);
    return _mm512_mul_ps(guess, _mm512_fnmadd_ps(x, guess, _mm512_set1_ps(2.0f)));
}

/* Sixteen bfloat16 as floats. */
VECTOR INLINE __m512 widened(const uint16_t *stored)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)stored)), 16));
}

/* The sum of each of sixteen rows of sixteen floats. */
VECTOR INLINE __m512 row_sums(const float rows[16][16])
{
    __m512 quarter[4];
    for (int i = 0; i < 4; i++) { /* lane j of quarter[i] sums lane j of rows 4i .. 4i + 3, by fours */
        const __m512 a = _mm512_loadu_ps(rows[4 * i]), b = _mm512_loadu_ps(rows[4 * i + 1]);
        const __m512 c = _mm512_loadu_ps(rows[4 * i + 2]), d = _mm512_loadu_ps(rows[4 * i + 3]);
        const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        quarter[i] = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
    }
    const __m512 low = _mm512_add_ps(_mm512_shuffle_f32x4(quarter[0], quarter[1], 0x88),
                                     _mm512_shuffle_f32x4(quarter[0], quarter[1], 0xdd));
    const __m512 high = _mm512_add_ps(_mm512_shuffle_f32x4(quarter[2], quarter[3], 0x88),
                                      _mm512_shuffle_f32x4(quarter[2], quarter[3], 0xdd));
    return _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
}

/* Softmax of `count` scores in place; `scores` has room up to the next sixteen. */
VECTOR INLINE void soften(float *scores, int64_t count)
{
    __m512 highest = _mm512_set1_ps(LOWEST), total = _mm512_setzero_ps();
    __mmask16 broken = 0;
    for (int64_t t = 0; t < count; t += 16) {
        const __m512 x = _mm512_mask_loadu_ps(_mm512_set1_ps(LOWEST), lanes(count - t), scores + t);
        highest = _mm512_max_ps(x, highest);
        broken |= _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    }
    const __m512 most = _mm512_set1_ps(_mm512_reduce_max_ps(highest));
    for (int64_t t = 0; t < count; t += 16) {
        const __mmask16 seen = lanes(count - t);
        const __m512 x = _mm512_sub_ps(_mm512_mask_loadu_ps(_mm512_set1_ps(LOWEST), seen, scores + t), most);
        const __mmask16 some = seen & _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.0f), _CMP_GE_OQ);
        const __m512 grown = _mm512_maskz_mov_ps(some, exponential(x));
        total = _mm512_add_ps(total, grown);
        _mm512_storeu_ps(scores + t, grown);
    }
    const __m512 share = _mm512_set1_ps(broken ? not_a_number() : 1.0f / _mm512_reduce_add_ps(total));
    for (int64_t t = 0; t < count; t += 16)
        _mm512_storeu_ps(scores + t, _mm512_mul_ps(_mm512_loadu_ps(scores + t), share));
}

#endif
