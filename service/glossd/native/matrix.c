/* Products of float32 rows with int8 matrices: each row is rounded to 8 bits with a scale of its own, multiplied in
 * integers (AMX tiles, or AVX512-VNNI), scaled back, and goes through bias and activation, a block at a time in cache.
 *
 * Integer sums are exact and every element goes through the same float operations wherever it stands, so a row's result
 * is the same bit for bit alone and in any company. No allocation, no threads, no state.
 */
#include "matrix.h"
#include "common.h"

enum { TILE = 16, DEEP = 64, CELL = TILE * DEEP, BLOCK = 32 };

/* weight (count, in) int8, the outputs from `first` on, into cells of 16 outputs by 64 inputs, four inputs of one output
 * side by side: the layout that both instruction sets want. panels: (out to 32, in to 64) bytes, zero at first. */
void glossd_pack(const int8_t *weight, int8_t *panels, int64_t first, int64_t count, int64_t in)
{
    const int64_t deep = (in + DEEP - 1) / DEEP;
    for (int64_t n = 0; n < count; n++) {
        const int64_t output = first + n;
        for (int64_t k = 0; k < in; k++) {
            int8_t *cell = panels + ((output / TILE) * deep + k / DEEP) * CELL;
            cell[(k % DEEP) / 4 * 64 + (output % TILE) * 4 + k % 4] = weight[n * in + k];
        }
    }
}

/* How many rows are rounded at a time: few enough to stay in cache. */
static int64_t chunk_rows(int64_t in)
{
    int64_t rows = 131072 / in / BLOCK * BLOCK;
    return rows < 64 ? 64 : rows > 512 ? 512 : rows;
}

int64_t glossd_scratch(int64_t in)
{
    const int64_t wide = (in + DEEP - 1) / DEEP * DEEP;
    return chunk_rows(wide) * (wide + (int64_t)sizeof(float)) + 64;
}

#ifdef GLOSSD_X86
#include "vector.h"

#include <sys/syscall.h>
#include <unistd.h>

#define AMX __attribute__((target(VECTOR_FEATURES ",amx-tile,amx-int8")))

/* The best that this processor and this process can use. AMX registers are asked of the kernel first. */
int64_t glossd_level(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq"))
        return LEVEL_NONE;
    unsigned a, b, c, d;
    __asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(0));
    const int tiles = (d >> 24 & 1) && (d >> 25 & 1);
    const long ask_permission = 0x1023, tile_data = 18;
    return tiles && syscall(SYS_arch_prctl, ask_permission, tile_data) == 0 ? LEVEL_AMX : LEVEL_VNNI;
}

VECTOR INLINE __m512 times_sigmoid(__m512 x, __m512 of)
{
    const __m512 small = exponential(_mm512_sub_ps(_mm512_setzero_ps(), of));
    return _mm512_mul_ps(x, inverse(_mm512_add_ps(_mm512_set1_ps(1.0f), small)));
}

/* x / 2 * (1 + erf(x / sqrt 2)), the error function within 1.5e-7 (Abramowitz and Stegun 7.1.26). */
VECTOR INLINE __m512 gelu(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1.0f), half = _mm512_mul_ps(x, _mm512_set1_ps(0.5f));
    const __m512 scaled = _mm512_mul_ps(x, _mm512_set1_ps(0.70710678118654752f)), size = _mm512_abs_ps(scaled);
    const __m512 t = inverse(_mm512_fmadd_ps(size, _mm512_set1_ps(0.3275911f), one));
    __m512 sum = _mm512_set1_ps(1.061405429f);
    sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(-1.453152027f));
    sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(1.421413741f));
    sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(-0.284496736f));
    sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(0.254829592f));
    sum = _mm512_mul_ps(sum, t);
    const __m512 small = exponential(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_mul_ps(size, size)));
    const __m512 error = _mm512_fnmadd_ps(sum, small, one);
    const __m512 flipped = _mm512_mask_sub_ps(error, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ),
                                              _mm512_setzero_ps(), error);
    return _mm512_fmadd_ps(half, flipped, half);
}

VECTOR INLINE __m512 activated(__m512 x, const int64_t activation)
{
    if (activation == ACTIVATION_RELU)
        return _mm512_max_ps(_mm512_setzero_ps(), x);
    if (activation == ACTIVATION_SWISH)
        return times_sigmoid(x, x);
    if (activation == ACTIVATION_GELU)
        return gelu(x);
    if (activation == ACTIVATION_GELU_TANH) { /* x / 2 * (1 + tanh(u)) is x * sigmoid(2 u) */
        const __m512 cube = _mm512_mul_ps(_mm512_mul_ps(x, x), _mm512_mul_ps(x, _mm512_set1_ps(0.044715f)));
        return times_sigmoid(x, _mm512_mul_ps(_mm512_add_ps(x, cube), _mm512_set1_ps(1.5957691216057308f)));
    }
    return x;
}

VECTOR void glossd_activate(float *values, int64_t count, int64_t activation)
{
    for (int64_t i = 0; i < count; i += 16) {
        const __mmask16 seen = count - i < 16 ? (__mmask16)((1u << (count - i)) - 1) : 0xffff;
        __m512 x = _mm512_maskz_loadu_ps(seen, values + i);
        x = activation == ACTIVATION_RELU    ? activated(x, ACTIVATION_RELU)
            : activation == ACTIVATION_SWISH ? activated(x, ACTIVATION_SWISH)
            : activation == ACTIVATION_GELU  ? activated(x, ACTIVATION_GELU)
                                             : activated(x, ACTIVATION_GELU_TANH);
        _mm512_mask_storeu_ps(values + i, seen, x);
    }
}

/* The weights of one output are 16 times four in each cell, 64 bytes apart. */
VECTOR void glossd_add_weights(const Matrix *matrix, int64_t output, float scale, float *sums)
{
    const int64_t deep = (matrix->in + DEEP - 1) / DEEP;
    const int8_t *cell = matrix->panels + output / TILE * deep * CELL + output % TILE * 4;
    const __m512 step = _mm512_set1_ps(matrix->scales[output] * scale);
    const __m512i places = _mm512_setr_epi32(0, 64, 128, 192, 256, 320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960);
    for (int64_t i = 0; i < matrix->in; i += DEEP, cell += CELL) {
        int8_t part[DEEP];
        _mm512_storeu_si512(part, _mm512_i32gather_epi32(places, cell, 1));
        for (int64_t j = 0; j < DEEP && i + j < matrix->in; j += 16) {
            const __m512i levels = _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)(part + j)));
            const __mmask16 seen = lanes(matrix->in - i - j);
            const __m512 sum = _mm512_maskz_loadu_ps(seen, sums + i + j);
            _mm512_mask_storeu_ps(sums + i + j, seen, _mm512_fmadd_ps(_mm512_cvtepi32_ps(levels), step, sum));
        }
    }
}

/* Round rows (count, in) into tiles of 16 rows by 64 inputs; steps: what one level of each row is worth. With `flip` the
 * numbers are shifted up by 128, as VECTOR takes them. */
VECTOR static void round_rows(const float *rows, int8_t *tiles, float *steps, int64_t count, int64_t in, int flip)
{
    const int64_t deep = (in + DEEP - 1) / DEEP;
    const __m512i shift = _mm512_set1_epi8(flip ? (char)0x80 : 0);
    for (int64_t r = 0; r < count; r++) {
        const float *row = rows + r * in;
        int8_t *out = tiles + r / TILE * deep * CELL + r % TILE * DEEP;
        __m512 highest = _mm512_set1_ps(1e-12f);
        __mmask16 broken = 0;
        for (int64_t i = 0; i < in; i += 16) {
            const __mmask16 seen = in - i < 16 ? (__mmask16)((1u << (in - i)) - 1) : 0xffff;
            const __m512 x = _mm512_maskz_loadu_ps(seen, row + i);
            highest = _mm512_max_ps(_mm512_abs_ps(x), highest);
            broken |= _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
        }
        const float most = _mm512_reduce_max_ps(highest);
        const __m512 level = _mm512_set1_ps(127.0f / most);
        steps[r] = broken ? not_a_number() : most / 127.0f;
        for (int64_t k = 0; k < deep; k++) {
            __m128i part[4];
            for (int64_t j = 0; j < 4; j++) {
                const int64_t i = k * DEEP + j * 16, left = in - i;
                const __mmask16 seen = left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1u << left) - 1) : 0;
                const __m512 x = _mm512_mul_ps(_mm512_maskz_loadu_ps(seen, row + i), level);
                part[j] = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(x));
            }
            __m512i all = _mm512_castsi128_si512(part[0]);
            all = _mm512_inserti32x4(all, part[1], 1);
            all = _mm512_inserti32x4(all, part[2], 2);
            all = _mm512_inserti32x4(all, part[3], 3);
            _mm512_storeu_si512(out + k * CELL, _mm512_xor_si512(all, shift));
        }
    }
}

/* sums (32, 32) of two tiles of rows with two panels. */
AMX static void block_amx(const int8_t *tiles, const int8_t *panels, int64_t deep, int64_t rows, int32_t *sums)
{
    const int8_t *below = tiles + deep * CELL, *beside = panels + deep * CELL;
    _tile_zero(0);
    _tile_zero(1);
    if (rows <= TILE) {
        for (int64_t k = 0; k < deep; k++) {
            _tile_loadd(4, tiles + k * CELL, 64);
            _tile_loadd(6, panels + k * CELL, 64);
            _tile_loadd(7, beside + k * CELL, 64);
            _tile_dpbssd(0, 4, 6);
            _tile_dpbssd(1, 4, 7);
        }
    } else {
        _tile_zero(2);
        _tile_zero(3);
        for (int64_t k = 0; k < deep; k++) {
            _tile_loadd(4, tiles + k * CELL, 64);
            _tile_loadd(6, panels + k * CELL, 64);
            _tile_loadd(7, beside + k * CELL, 64);
            _tile_loadd(5, below + k * CELL, 64);
            _tile_dpbssd(0, 4, 6);
            _tile_dpbssd(1, 4, 7);
            _tile_dpbssd(2, 5, 6);
            _tile_dpbssd(3, 5, 7);
        }
        _tile_stored(2, sums + TILE * BLOCK, BLOCK * sizeof(int32_t));
        _tile_stored(3, sums + TILE * BLOCK + TILE, BLOCK * sizeof(int32_t));
    }
    _tile_stored(0, sums, BLOCK * sizeof(int32_t));
    _tile_stored(1, sums + TILE, BLOCK * sizeof(int32_t));
}

/* As block_amx, eight rows at a time in vector registers. */
VECTOR static void block_vnni(const int8_t *tiles, const int8_t *panels, const int32_t *offsets, int64_t deep,
                            int64_t rows, int32_t *sums, const int8_t *ahead)
{
    const int8_t *beside = panels + deep * CELL;
    const __m512i left = _mm512_loadu_si512(offsets), right = _mm512_loadu_si512(offsets + TILE);
    for (int64_t first = 0; first < rows; first += 8) {
        const int8_t *tile = tiles + first / TILE * deep * CELL + first % TILE * DEEP;
        __m512i total[8][2];
        for (int r = 0; r < 8; r++)
            total[r][0] = total[r][1] = _mm512_setzero_si512();
        for (int64_t k = 0; k < deep; k++)
            for (int64_t j = 0; j < TILE; j++) {
                const __m512i one = _mm512_loadu_si512(panels + k * CELL + j * 64);
                const __m512i two = _mm512_loadu_si512(beside + k * CELL + j * 64);
                _mm_prefetch((const char *)(ahead + k * CELL + j * 64), _MM_HINT_T1);
                for (int r = 0; r < 8; r++) {
                    int32_t four;
                    memcpy(&four, tile + k * CELL + r * DEEP + j * 4, 4);
                    const __m512i all = _mm512_set1_epi32(four);
                    total[r][0] = _mm512_dpbusd_epi32(total[r][0], all, one);
                    total[r][1] = _mm512_dpbusd_epi32(total[r][1], all, two);
                }
            }
        ahead += deep * CELL;
        for (int r = 0; r < 8; r++) {
            _mm512_storeu_si512(sums + (first + r) * BLOCK, _mm512_sub_epi32(total[r][0], left));
            _mm512_storeu_si512(sums + (first + r) * BLOCK + TILE, _mm512_sub_epi32(total[r][1], right));
        }
    }
}

/* Scale a block of sums back and put it out, through bias and activation. */
VECTOR INLINE void finish(const int32_t *sums, const Matrix *matrix, int64_t column, const float *steps, float *output,
                        int64_t rows, const int64_t activation)
{
    for (int64_t half = 0; half < 2; half++, column += TILE) {
        const int64_t left = matrix->out - column;
        const __mmask16 seen = left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1u << left) - 1) : 0;
        const __m512 scale = _mm512_loadu_ps(matrix->scales + column), bias = _mm512_loadu_ps(matrix->bias + column);
        for (int64_t r = 0; r < rows; r++) {
            const __m512 sum = _mm512_cvtepi32_ps(_mm512_loadu_si512(sums + r * BLOCK + half * TILE));
            const __m512 value = _mm512_fmadd_ps(_mm512_mul_ps(sum, scale), _mm512_set1_ps(steps[r]), bias);
            _mm512_mask_storeu_ps(output + r * matrix->out + column, seen, activated(value, activation));
        }
    }
}

VECTOR static void finish_block(const int32_t *sums, const Matrix *matrix, int64_t column, const float *steps,
                              float *output, int64_t rows)
{
    switch (matrix->activation) {
    case ACTIVATION_RELU: finish(sums, matrix, column, steps, output, rows, ACTIVATION_RELU); break;
    case ACTIVATION_SWISH: finish(sums, matrix, column, steps, output, rows, ACTIVATION_SWISH); break;
    case ACTIVATION_GELU: finish(sums, matrix, column, steps, output, rows, ACTIVATION_GELU); break;
    case ACTIVATION_GELU_TANH: finish(sums, matrix, column, steps, output, rows, ACTIVATION_GELU_TANH); break;
    default: finish(sums, matrix, column, steps, output, rows, ACTIVATION_NONE);
    }
}

/* Eight tiles of 16 rows by 64 bytes. */
static const struct { uint8_t palette, start, unused[14]; uint16_t bytes[16]; uint8_t rows[16]; } TILES = {
    .palette = 1,
    .bytes = { 64, 64, 64, 64, 64, 64, 64, 64 },
    .rows = { TILE, TILE, TILE, TILE, TILE, TILE, TILE, TILE },
};

AMX static void open_tiles(void) { _tile_loadconfig(&TILES); }
AMX static void close_tiles(void) { _tile_release(); }

VECTOR void glossd_multiply(const Matrix *matrix, const float *rows, float *output, int64_t count, void *scratch)
{
    const int64_t in = matrix->in, out = matrix->out, deep = (in + DEEP - 1) / DEEP, chunk = chunk_rows(deep * DEEP);
    const int amx = matrix->level == LEVEL_AMX;
    int8_t *tiles = (int8_t *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    float *steps = (float *)(tiles + chunk * deep * DEEP);
    int32_t sums[BLOCK * BLOCK] __attribute__((aligned(64)));
    if (amx)
        open_tiles();
    for (int64_t start = 0; start < count; start += chunk) {
        const int64_t size = count - start < chunk ? count - start : chunk;
        round_rows(rows + start * in, tiles, steps, size, in, !amx);
        for (int64_t column = 0; column < out; column += BLOCK)
            for (int64_t r = 0; r < size; r += BLOCK) {
                const int64_t some = size - r < BLOCK ? size - r : BLOCK;
                const int8_t *tile = tiles + r * deep * DEEP, *panel = matrix->panels + column * deep * DEEP;
                if (amx)
                    block_amx(tile, panel, deep, some, sums);
                else
                    block_vnni(tile, panel, matrix->offsets + column, deep, some, sums, panel + 2 * deep * CELL);
                finish_block(sums, matrix, column, steps + r, output + (start + r) * out, some);
            }
    }
    if (amx)
        close_tiles();
}
#else
int64_t glossd_level(void) { return LEVEL_NONE; }
void glossd_multiply(const Matrix *matrix, const float *rows, float *output, int64_t count, void *scratch) {}
void glossd_activate(float *values, int64_t count, int64_t activation) {}
#endif
