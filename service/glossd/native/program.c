/* A list of operations over whole rows, run in one call: what a decode step or an encoder run of a model comes to. The
 * list is made once, by `glossd.models.program`; buffers, caches and sizes are told for each run.
 *
 * Every row, or in the encoder every source, is worked on by itself. No allocation, no threads, no state.
 */
#include "matrix.h"

#include "common.h"

#ifdef GLOSSD_X86
#include "attention.h"
#include "vector.h"

#include <time.h>

enum { PLACE, EMBED, LINEAR, FEED, NORM, ADD, ATTEND_SELF, ATTEND_CROSS, ATTEND_BATCH, REMEMBER, BUFFERS = 8, FEED_ROWS = 64 };

/* `input`, `output` and `extra` number buffers where nothing else is said; `width` is that of the output.
 *
 * PLACE: second (positions, width) from row `extra` on, zeros where that is NULL; a token that is `layer` stands at the row
 *   of its own number.   EMBED: what is there, plus `value` times the token's weights in Matrix first (width, vocabulary).
 * LINEAR: first is a Matrix.   FEED: Matrix first, then Matrix second; with `extra` >= 0 the former gives a gate and what
 *   is multiplied with it, and `extra` is the gate's activation.
 * NORM: of input plus buffer `extra` (-1: nothing), weight first, bias second (NULL: the root of the mean square), epsilon
 *   `value`.   ADD: input plus buffer `extra`.
 * ATTEND_...: input is the projection, `value` the scale, first a table of distances, `extra` its reach, `layer` the
 *   store; for ATTEND_BATCH the number of heads.
 * REMEMBER: keys and values of the sources by Matrix first, into the cross store of `layer`. */
typedef struct {
    int64_t code, input, output, extra, layer, width;
    const void *first, *second;
    double value;
} Operation;

/* One run: `rows` are decoder rows, or all tokens of `sources` sources of `lengths` one after another. tokens, positions
 * (rows). entries, counts (rows): in a decoder each row's source and its length, in an encoder the place of each token's
 * source. numbers: 0, 1, 2 ... ancestors (entries, self_capacity): which row holds each position that a row sees. spent:
 * NULL, or where the nanoseconds of processor time of each operation are added up. */
typedef struct {
    const Operation *operations;
    int64_t length, rows;
    float *buffers[BUFFERS];
    void *scratch;
    const int64_t *tokens, *positions, *entries, *counts, *numbers, *lengths;
    int64_t sources, heads, width;
    uint16_t *self_keys, *self_values, *cross_keys, *cross_values;
    int64_t self_entries, self_capacity, cross_entries, cross_capacity;
    int32_t *ancestors;
    int64_t *spent;
} Run;

static Store self_store(const Run *run, int64_t layer)
{
    const int64_t skip = layer * run->self_entries * run->heads * run->self_capacity * run->width;
    Store store = { run->self_keys + skip, run->self_values + skip, run->heads, run->self_capacity, run->width };
    return store;
}

static Store cross_store(const Run *run, int64_t layer)
{
    const int64_t skip = layer * run->cross_entries * run->heads * run->cross_capacity * run->width;
    Store store = { run->cross_keys + skip, run->cross_values + skip, run->heads, run->cross_capacity, run->width };
    return store;
}

static void place(const Operation *op, const Run *run)
{
    const float *places = op->second;
    const size_t size = op->width * sizeof(float);
    for (int64_t r = 0; r < run->rows; r++) {
        const int64_t token = run->tokens[r], number = token == op->layer ? token : run->positions[r] + op->extra;
        float *out = run->buffers[op->output] + r * op->width;
        if (places)
            memcpy(out, places + number * op->width, size);
        else
            memset(out, 0, size);
    }
}

static void embed(const Operation *op, const Run *run)
{
    for (int64_t r = 0; r < run->rows; r++)
        glossd_add_weights(op->first, run->tokens[r], (float)op->value, run->buffers[op->output] + r * op->width);
}

VECTOR static void norm(const Operation *op, const Run *run)
{
    const float *weight = op->first, *bias = op->second;
    const int64_t width = op->width;
    for (int64_t r = 0; r < run->rows; r++) {
        const float *row = run->buffers[op->input] + r * width;
        float *out = run->buffers[op->output] + r * width, mean = 0.0f, spread = 0.0f;
        if (op->extra >= 0) {
            const float *other = run->buffers[op->extra] + r * width;
            for (int64_t i = 0; i < width; i++)
                out[i] = row[i] + other[i];
            row = out;
        }
        if (bias) {
            for (int64_t i = 0; i < width; i++)
                mean += row[i];
            mean /= (float)width;
        }
        for (int64_t i = 0; i < width; i++)
            spread += (row[i] - mean) * (row[i] - mean);
        const float scale = 1.0f / sqrtf(spread / (float)width + (float)op->value);
        if (bias)
            for (int64_t i = 0; i < width; i++)
                out[i] = (row[i] - mean) * scale * weight[i] + bias[i];
        else
            for (int64_t i = 0; i < width; i++)
                out[i] = row[i] * scale * weight[i];
    }
}

VECTOR static void add(const Operation *op, const Run *run)
{
    const float *one = run->buffers[op->input], *other = run->buffers[op->extra];
    float *out = run->buffers[op->output];
    for (int64_t i = 0; i < run->rows * op->width; i++)
        out[i] = one[i] + other[i];
}

/* Both maps for some rows at a time, so that what is between them stays in cache. */
VECTOR static void feed(const Operation *op, const Run *run)
{
    const Matrix *expand = op->first, *contract = op->second;
    float *inner = run->scratch;
    void *rest = inner + FEED_ROWS * expand->out;
    for (int64_t start = 0; start < run->rows; start += FEED_ROWS) {
        const int64_t rows = run->rows - start < FEED_ROWS ? run->rows - start : FEED_ROWS, half = contract->in;
        glossd_multiply(expand, run->buffers[op->input] + start * expand->in, inner, rows, rest);
        for (int64_t r = 0; op->extra >= 0 && r < rows; r++) { /* the results move up as they are made */
            float *gate = inner + r * 2 * half, *out = inner + r * half;
            glossd_activate(gate, half, op->extra);
            for (int64_t i = 0; i < half; i += 16) {
                const __mmask16 seen = lanes(half - i);
                const __m512 value = _mm512_maskz_loadu_ps(seen, gate + half + i);
                _mm512_mask_storeu_ps(out + i, seen, _mm512_mul_ps(_mm512_maskz_loadu_ps(seen, gate + i), value));
            }
        }
        glossd_multiply(contract, inner, run->buffers[op->output] + start * contract->out, rows, rest);
    }
}

static void attend(const Operation *op, const Run *run)
{
    const Scoring scoring = { op->first, op->extra, (float)op->value };
    const int64_t inner = run->heads * run->width;
    const float *input = run->buffers[op->input];
    float *output = run->buffers[op->output];
    if (op->code == ATTEND_SELF) {
        const Store store = self_store(run, op->layer);
        glossd_remember(&store, input + inner, input + 2 * inner, 3 * inner, run->numbers, run->positions, run->rows);
        int64_t *counts = run->scratch;
        for (int64_t r = 0; r < run->rows; r++) {
            run->ancestors[r * run->self_capacity + run->positions[r]] = (int32_t)r;
            counts[r] = run->positions[r] + 1;
        }
        const View view = { NULL, run->ancestors, run->self_capacity, counts };
        glossd_attend_stored(&store, &scoring, &view, input, 3 * inner, output, counts + run->rows, run->rows);
    } else if (op->code == ATTEND_CROSS) {
        const Store store = cross_store(run, op->layer);
        const View view = { run->entries, NULL, 0, run->counts };
        glossd_attend_stored(&store, &scoring, &view, input, inner, output, run->scratch, run->rows);
    } else {
        for (int64_t s = 0; s < run->sources; s++) {
            const int64_t count = run->lengths[s], width = op->width;
            glossd_attend_batch(&scoring, input, output, run->scratch, count, op->layer, width / op->layer);
            input += count * 3 * width;
            output += count * width;
        }
    }
}

static void remember(const Operation *op, const Run *run)
{
    const Matrix *matrix = op->first;
    const Store store = cross_store(run, op->layer);
    float *both = run->scratch;
    for (int64_t start = 0; start < run->rows; start += FEED_ROWS) {
        const int64_t rows = run->rows - start < FEED_ROWS ? run->rows - start : FEED_ROWS;
        glossd_multiply(matrix, run->buffers[op->input] + start * matrix->in, both, rows, both + FEED_ROWS * matrix->out);
        glossd_remember(&store, both, both + matrix->out / 2, matrix->out, run->entries + start,
                        run->positions + start, rows);
    }
}

static void execute(const Operation *op, const Run *run)
{
    switch (op->code) {
    case PLACE: place(op, run); break;
    case EMBED: embed(op, run); break;
    case LINEAR:
        glossd_multiply(op->first, run->buffers[op->input], run->buffers[op->output], run->rows, run->scratch);
        break;
    case FEED: feed(op, run); break;
    case NORM: norm(op, run); break;
    case ADD: add(op, run); break;
    case REMEMBER: remember(op, run); break;
    default: attend(op, run);
    }
}

static int64_t now(void)
{
    struct timespec moment;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &moment);
    return moment.tv_sec * 1000000000 + moment.tv_nsec;
}

void glossd_run(const Run *run)
{
    for (int64_t i = 0; i < run->length; i++) {
        const int64_t started = run->spent ? now() : 0;
        execute(run->operations + i, run);
        if (run->spent)
            run->spent[i] += now() - started;
    }
}
#else
void glossd_run(const void *run) {}
#endif
