/* Attention with vectors of sixteen: one query a row over stored keys and values, and all tokens of one source over each
 * other. A row or source is worked on by itself and in an order that its own length alone decides.
 */
#include "attention.h"
#include "common.h"

#ifdef GLOSSD_X86
#include "vector.h"

enum { ROWS = 32 };

/* Write keys and values, each (count, heads, width) at `stride` floats from one to the next, at entries[i], positions[i]. */
KERNEL void glossd_remember(const Store *store, const float *keys, const float *values, int64_t stride,
                            const int64_t *entries, const int64_t *positions, int64_t count)
{
    const int64_t width = store->width;
    for (int64_t r = 0; r < count; r++)
        for (int64_t h = 0; h < store->heads; h++) {
            const int64_t target = ((entries[r] * store->heads + h) * store->capacity + positions[r]) * width;
            const int64_t origin = r * stride + h * width;
            for (int64_t i = 0; i < width; i++) {
                store->keys[target + i] = to_bfloat(keys[origin + i]);
                store->values[target + i] = to_bfloat(values[origin + i]);
            }
        }
}

/* scores (count) *= scale, plus what the distances from the query at `position` give. */
VECTOR INLINE void shape_scores(float *scores, const Scoring *scoring, int64_t head, int64_t position, int64_t count)
{
    const __m512 scale = _mm512_set1_ps(scoring->scale);
    for (int64_t t = 0; t < count; t += 16)
        _mm512_storeu_ps(scores + t, _mm512_mul_ps(_mm512_loadu_ps(scores + t), scale));
    if (!scoring->table)
        return;
    const float *middle = scoring->table + head * (2 * scoring->reach + 1) + scoring->reach;
    for (int64_t t = 0; t < count; t++) {
        const int64_t distance = t - position;
        scores[t] += middle[distance > scoring->reach ? scoring->reach
                            : distance < -scoring->reach ? -scoring->reach
                                                         : distance];
    }
}

/* What is stored for the head that comes next: `count` positions of it at `keys` plus places. */
typedef struct { const uint16_t *keys; const int64_t *places; int64_t count; } Coming;

/* Ask for one position of `width` numbers before it is needed. */
VECTOR INLINE void fetch(const uint16_t *stored, const int64_t width)
{
    _mm_prefetch((const char *)stored, _MM_HINT_T0);
    if (width == 64)
        _mm_prefetch((const char *)(stored + 32), _MM_HINT_T0);
}

/* One head of one row: `count` stored keys and values of `width`, a multiple of 16 up to 64 that is known when compiled.
 * What is stored is spread over much more memory than is near, so its own values and the next head's keys are asked for
 * as its keys are read. */
VECTOR INLINE void attend_head(const float *query, const uint16_t *keys, const uint16_t *values, const int64_t *places,
                               const Scoring *scoring, int64_t head, float *context, float *scores, int64_t count,
                               const Coming *coming, const int64_t width)
{
    float products[16][16] __attribute__((aligned(64))) = { { 0 } };
    __m512 part[4], sum[4];
    for (int64_t i = 0; i < width / 16; i++) {
        part[i] = _mm512_loadu_ps(query + i * 16);
        sum[i] = _mm512_setzero_ps();
    }
    for (int64_t first = 0; first < count; first += 16) {
        const int64_t some = count - first < 16 ? count - first : 16;
        for (int64_t t = 0; t < some; t++) {
            const uint16_t *key = keys + places[first + t];
            fetch(values + places[first + t], width);
            if (first + t < coming->count)
                fetch(coming->keys + coming->places[first + t], width);
            __m512 total = _mm512_mul_ps(part[0], widened(key));
            for (int64_t i = 1; i < width / 16; i++)
                total = _mm512_fmadd_ps(part[i], widened(key + i * 16), total);
            _mm512_store_ps(products[t], total);
        }
        _mm512_storeu_ps(scores + first, row_sums(products));
    }
    shape_scores(scores, scoring, head, count - 1, count);
    soften(scores, count);
    for (int64_t t = 0; t < count; t++) {
        const __m512 share = _mm512_set1_ps(scores[t]);
        for (int64_t i = 0; i < width / 16; i++)
            sum[i] = _mm512_fmadd_ps(share, widened(values + places[t] + i * 16), sum[i]);
    }
    for (int64_t i = 0; i < width / 16; i++)
        _mm512_storeu_ps(context + i * 16, sum[i]);
}

/* As attend_head, for any width. */
VECTOR static void attend_plainly(const float *query, const uint16_t *keys, const uint16_t *values,
                                  const int64_t *places, const Scoring *scoring, int64_t head, float *context,
                                  float *scores, int64_t count, int64_t width)
{
    for (int64_t t = 0; t < count; t++) {
        float sum = 0.0f;
        for (int64_t i = 0; i < width; i++)
            sum += query[i] * from_bfloat(keys[places[t] + i]);
        scores[t] = sum;
    }
    shape_scores(scores, scoring, head, count - 1, count);
    soften(scores, count);
    for (int64_t i = 0; i < width; i++)
        context[i] = 0.0f;
    for (int64_t t = 0; t < count; t++)
        for (int64_t i = 0; i < width; i++)
            context[i] += scores[t] * from_bfloat(values[places[t] + i]);
}

/* Where in a store the positions are that a row sees; how many. */
static int64_t find_places(const Store *store, const View *view, int64_t row, int64_t *places)
{
    const int64_t step = store->capacity * store->width, count = view->counts[row];
    for (int64_t t = 0; t < count; t++) {
        const int64_t entry = view->entries ? view->entries[row] : view->ancestors[row * view->stride + t];
        places[t] = entry * store->heads * step + t * store->width;
    }
    return count;
}

/* Attention of one query a row, found `stride` floats from row to row, over what the row sees; it stands at the last
 * position seen. context (rows, heads * width). scratch: for the largest count two places and a float each, and 16 more. */
VECTOR void glossd_attend_stored(const Store *store, const Scoring *scoring, const View *view, const float *queries,
                                 int64_t stride, float *context, void *scratch, int64_t rows)
{
    const int64_t heads = store->heads, width = store->width, step = store->capacity * width;
    int64_t most = 0;
    for (int64_t r = 0; r < rows; r++)
        most = view->counts[r] > most ? view->counts[r] : most;
    int64_t *places = scratch, *next = places + most, count = find_places(store, view, 0, places);
    float *scores = (float *)(next + most);
    for (int64_t r = 0; r < rows; r++) {
        const int64_t next_count = r + 1 < rows ? find_places(store, view, r + 1, next) : 0;
        for (int64_t h = 0; h < heads; h++) {
            const uint16_t *keys = store->keys + h * step, *values = store->values + h * step;
            const float *query = queries + r * stride + h * width;
            const Coming coming = h + 1 < heads ? (Coming){ keys + step, places, count }
                                                : (Coming){ store->keys, next, next_count };
            float *out = context + (r * heads + h) * width;
            if (width == 64)
                attend_head(query, keys, values, places, scoring, h, out, scores, count, &coming, 64);
            else if (width == 32)
                attend_head(query, keys, values, places, scoring, h, out, scores, count, &coming, 32);
            else
                attend_plainly(query, keys, values, places, scoring, h, out, scores, count, width);
        }
        int64_t *free = places;
        places = next, next = free, count = next_count;
    }
}

int64_t glossd_attend_scratch(int64_t count, int64_t width)
{
    const int64_t wide = (count + 63) / 64 * 64;
    return wide * width + ROWS * wide;
}

/* output (rows, columns * 16) = left (rows, deep) x right, of which column block c, row k is at right + c * across +
 * k * down. Up to six rows and four columns, known when compiled. */
VECTOR INLINE void tile(const float *left, int64_t left_stride, const float *right, int64_t across, int64_t down,
                        int64_t deep, float *output, int64_t output_stride, const int64_t rows, const int64_t columns)
{
    __m512 sum[6][4];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            sum[r][c] = _mm512_setzero_ps();
    for (int64_t k = 0; k < deep; k++) {
        __m512 value[4];
        for (int64_t c = 0; c < columns; c++)
            value[c] = _mm512_loadu_ps(right + c * across + k * down);
        for (int64_t r = 0; r < rows; r++) {
            const __m512 all = _mm512_set1_ps(left[r * left_stride + k]);
            for (int64_t c = 0; c < columns; c++)
                sum[r][c] = _mm512_fmadd_ps(all, value[c], sum[r][c]);
        }
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            _mm512_storeu_ps(output + r * output_stride + c * 16, sum[r][c]);
}

VECTOR INLINE void tiles(const float *left, int64_t left_stride, const float *right, int64_t across, int64_t down,
                         int64_t deep, float *output, int64_t output_stride, int64_t rows, const int64_t columns)
{
    int64_t r = 0;
    for (; r + 6 <= rows; r += 6)
        tile(left + r * left_stride, left_stride, right, across, down, deep, output + r * output_stride,
             output_stride, 6, columns);
    for (; r + 2 <= rows; r += 2)
        tile(left + r * left_stride, left_stride, right, across, down, deep, output + r * output_stride,
             output_stride, 2, columns);
    for (; r < rows; r++)
        tile(left + r * left_stride, left_stride, right, across, down, deep, output + r * output_stride,
             output_stride, 1, columns);
}

VECTOR static void product(const float *left, int64_t left_stride, const float *right, int64_t across, int64_t down,
                           int64_t deep, float *output, int64_t output_stride, int64_t rows, int64_t columns)
{
    for (; columns >= 4; columns -= 4, right += 4 * across, output += 64)
        tiles(left, left_stride, right, across, down, deep, output, output_stride, rows, 4);
    if (columns == 3)
        tiles(left, left_stride, right, across, down, deep, output, output_stride, rows, 3);
    if (columns == 2)
        tiles(left, left_stride, right, across, down, deep, output, output_stride, rows, 2);
    if (columns == 1)
        tiles(left, left_stride, right, across, down, deep, output, output_stride, rows, 1);
}

/* Attention of all `count` tokens of one source over each other: projected (count, 3, heads, width) holds queries, keys
 * and values, context is (count, heads * width). scratch: glossd_attend_scratch floats. */
VECTOR void glossd_attend_batch(const Scoring *scoring, const float *projected, float *context, float *scratch,
                                int64_t count, int64_t heads, int64_t width)
{
    const int64_t stride = 3 * heads * width, blocks = (count + 15) / 16, wide = (count + 63) / 64 * 64;
    float *turned = scratch, *scores = scratch + wide * width;
    for (int64_t h = 0; h < heads; h++) {
        const float *queries = projected + h * width, *keys = queries + heads * width, *values = keys + heads * width;
        for (int64_t t = 0; t < blocks * 16; t++) /* blocks of 16 keys, each (width, 16) */
            for (int64_t i = 0; i < width; i++)
                turned[(t / 16 * width + i) * 16 + t % 16] = t < count ? keys[t * stride + i] : 0.0f;
        for (int64_t first = 0; first < count; first += ROWS) {
            const int64_t rows = count - first < ROWS ? count - first : ROWS;
            product(queries + first * stride, stride, turned, width * 16, 16, width, scores, wide, rows, blocks);
            for (int64_t r = 0; r < rows; r++) {
                shape_scores(scores + r * wide, scoring, h, first + r, count);
                soften(scores + r * wide, count);
            }
            float *out = context + (first * heads + h) * width;
            if (width % 16 == 0) {
                product(scores, wide, values, 16, stride, count, out, heads * width, rows, width / 16);
                continue;
            }
            for (int64_t r = 0; r < rows; r++)
                for (int64_t i = 0; i < width; i++) {
                    float sum = 0.0f;
                    for (int64_t t = 0; t < count; t++)
                        sum += scores[r * wide + t] * values[t * stride + i];
                    out[r * heads * width + i] = sum;
                }
        }
    }
}
#endif
