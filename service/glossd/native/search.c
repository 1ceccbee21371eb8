/* One step of greedy or of beam search for all segments that search alike: the choice, and what follows from it for the
 * texts, for the finished hypotheses, and for which row goes on from which. What each line is for: `glossd.decoding.beam`,
 * which does the same with tensors.
 *
 * Every segment is worked on by itself. No allocation, no threads, no state but the caller's.
 */
#include "common.h"

#define LOW (-1.0e9f)

/* S segments of K rows each, K * W candidates. scores (R, vocabulary), ruled; shift: NULL or (R), what to take off for
 * log-probabilities; rows (S, K). tokens (R, stride): the texts, of which lengths (R) count; both of one segment are equally
 * long. ancestors: NULL or (R, reach). Then one value for each segment: limits to `improvable` are its state, with ends
 * (S, ends_each), stored (S, K, room), and (S, K) where there is one for each row; parents (S, K), done and broken are
 * results. scratch: glossd_search_scratch bytes. */
typedef struct {
    int64_t segments, beams, width, ends_each, vocabulary;
    const float *scores, *shift;
    const int64_t *rows;
    int64_t *tokens, stride;
    const int64_t *lengths;
    int32_t *ancestors;
    int64_t reach;
    const int64_t *limits, *ends;
    const double *penalties;
    const uint8_t *stop_when_full, *hopeful;
    float *running, *finished;
    uint8_t *is_finished;
    int64_t *finished_lengths, *stored, room;
    uint8_t *improvable;
    int64_t *parents;
    uint8_t *done, *broken;
    void *scratch;
} SearchStep;

/* Token `token` after beam `parent`. */
typedef struct { float total; int32_t stops; int64_t parent, token; } Candidate;

/* A sum of rounded parts, which the compiler may not put together in another order. */
INLINE float plus(float a, float b)
{
    volatile float sum = a + b;
    return sum;
}

INLINE int is_finite(float x)
{
    Word word = { x };
    return (word.bits & 0x7f800000u) != 0x7f800000u;
}

/* Keep the `width` best of what is in `best` (`held` so far, best first) and of one row, the earlier one where equal.
 * Returns how many are held; -1 where a score is no number. A total never falls as its score rises, so what does not
 * exceed a score that was too low is passed over unseen: nearly all of the work is one sweep of comparisons. */
KERNEL int64_t glossd_offer(const float *row, int64_t vocabulary, float shift, float running, int64_t parent,
                            Candidate *best, int64_t held, int64_t width)
{
    float floor = LOWEST;
    int floored = 0, broken = is_nan(shift) || is_nan(running);
    for (int64_t block = 0; block < vocabulary; block += 64) {
        const int64_t end = block + 64 < vocabulary ? block + 64 : vocabulary;
        float highest = LOWEST;
        for (int64_t i = block; i < end; i++) {
            highest = row[i] > highest ? row[i] : highest;
            broken |= is_nan(row[i]);
        }
        if (floored && !(highest > floor))
            continue;
        for (int64_t i = block; i < end; i++) {
            if (floored && !(row[i] > floor))
                continue;
            const float total = plus(plus(row[i], -shift), running);
            if (held == width && !(total > best[width - 1].total)) {
                floor = row[i];
                floored = 1;
                continue;
            }
            int64_t place = held < width ? held++ : width - 1;
            for (; place > 0 && best[place - 1].total < total; place--)
                best[place] = best[place - 1];
            best[place] = (Candidate){ .total = total, .parent = parent, .token = i };
        }
    }
    return broken ? -1 : held;
}

static int is_end(const SearchStep *step, int64_t segment, int64_t token)
{
    for (int64_t i = 0; i < step->ends_each; i++)
        if (step->ends[segment * step->ends_each + i] == token)
            return 1;
    return 0;
}

/* The numbers of the `wanted` largest of `count` values, best first, the earlier one where equal. */
static void pick(const float *values, int64_t count, int64_t wanted, int64_t *picks)
{
    for (int64_t i = 0; i < wanted; i++) {
        int64_t best = -1;
        for (int64_t j = 0; j < count; j++) {
            int taken = 0;
            for (int64_t p = 0; p < i; p++)
                taken |= picks[p] == j;
            if (!taken && (best < 0 || values[j] > values[best]))
                best = j;
        }
        picks[i] = best;
    }
}

/* total / length ** penalty, rounded once: the quotient of two floats in double. */
static float penalised(float total, int64_t length, double penalty)
{
    return (float)((double)total / (double)(float)pow((double)length, penalty));
}

static int all_finished(const SearchStep *step, int64_t segment)
{
    int all = 1;
    for (int64_t k = 0; k < step->beams; k++)
        all &= step->is_finished[segment * step->beams + k];
    return all;
}

/* Merge the candidates that end here, among the best K, into the finished hypotheses of a segment. */
static void finish(const SearchStep *step, int64_t segment, const Candidate *best, int64_t length, float *values,
                   int64_t *picks, int64_t *texts)
{
    const int64_t beams = step->beams, at = segment * beams, room = step->room;
    const int closed = all_finished(step, segment) && step->stop_when_full[segment];
    int any = 0;
    for (int64_t k = 0; k < beams; k++) {
        any |= best[k].stops;
        float value = penalised(best[k].total, length, step->penalties[segment]);
        value = closed ? plus(value, LOW) : value;
        value = step->improvable[segment] ? value : plus(value, LOW);
        values[k] = step->finished[at + k];
        values[beams + k] = best[k].stops ? value : plus(value, LOW);
    }
    if (!any)
        return;
    pick(values, 2 * beams, beams, picks);
    int64_t *lengths = picks + beams;
    uint8_t *flags = (uint8_t *)(lengths + beams);
    for (int64_t k = 0; k < beams; k++) {
        const int64_t old = at + picks[k];
        const Candidate *fresh = best + picks[k] - beams;
        int64_t *text = texts + k * room;
        flags[k] = picks[k] < beams ? step->is_finished[old] : fresh->stops;
        lengths[k] = picks[k] < beams ? step->finished_lengths[old] : length;
        if (picks[k] < beams) {
            memcpy(text, step->stored + old * room, lengths[k] * sizeof(int64_t));
        } else {
            const int64_t *origin = step->tokens + step->rows[at + fresh->parent] * step->stride;
            memcpy(text, origin + 1, (length - 1) * sizeof(int64_t));
            text[length - 1] = fresh->token;
        }
    }
    for (int64_t k = 0; k < beams; k++) {
        step->finished[at + k] = values[picks[k]];
        step->is_finished[at + k] = flags[k];
        step->finished_lengths[at + k] = lengths[k];
        memcpy(step->stored + (at + k) * room, texts + k * room, lengths[k] * sizeof(int64_t));
    }
}

/* Whether a running beam may still beat the worst finished one. */
static int can_improve(const SearchStep *step, int64_t segment, int64_t length)
{
    const int64_t beams = step->beams, at = segment * beams;
    const int64_t horizon = step->hopeful[segment] ? step->limits[segment] : length;
    const float best = penalised(step->running[at], horizon, step->penalties[segment]);
    float least = step->finished[at];
    for (int64_t k = 1; k < beams; k++)
        least = step->finished[at + k] < least ? step->finished[at + k] : least;
    int improvable = 0;
    for (int64_t k = 0; k < beams; k++)
        improvable |= best > (step->is_finished[at + k] ? least : LOW);
    return improvable;
}

/* Rows of `size` bytes each, `apart` bytes from one to the next: those of a segment become those of their parents. */
static void inherit(const SearchStep *step, int64_t segment, char *table, int64_t apart, int64_t size, char *kept)
{
    const int64_t beams = step->beams, at = segment * beams;
    for (int64_t k = 0; k < beams; k++)
        if (step->parents[at + k] != k)
            memcpy(kept + k * size, table + step->rows[at + step->parents[at + k]] * apart, size);
    for (int64_t k = 0; k < beams; k++)
        if (step->parents[at + k] != k)
            memcpy(table + step->rows[at + k] * apart, kept + k * size, size);
}

/* How much of the scratch each part takes; texts take `beams` times the rest. */
static int64_t fixed_bytes(int64_t beams, int64_t width)
{
    return width * (int64_t)sizeof(Candidate) + 2 * (beams + width) * (int64_t)(sizeof(float) + sizeof(int64_t)) + 64;
}

int64_t glossd_search_scratch(int64_t beams, int64_t width, int64_t room)
{
    return fixed_bytes(beams, width) + 8 * beams * (room + 8);
}

void glossd_beams(const SearchStep *step)
{
    const int64_t beams = step->beams, width = step->width;
    Candidate *best = step->scratch;
    int64_t *picks = (int64_t *)(best + width);
    float *values = (float *)(picks + 2 * (beams + width));
    int64_t *texts = (int64_t *)((char *)step->scratch + fixed_bytes(beams, width) / 8 * 8);
    for (int64_t s = 0; s < step->segments; s++) {
        const int64_t at = s * beams, length = step->lengths[step->rows[at]];
        int64_t held = 0;
        int all_stop = 1;
        for (int64_t k = 0; k < beams && held >= 0; k++) {
            const int64_t row = step->rows[at + k];
            held = glossd_offer(step->scores + row * step->vocabulary, step->vocabulary, step->shift ? step->shift[row] : 0,
                                step->running[at + k], k, best, held, width);
        }
        step->broken[s] = held < width || !is_finite(best[0].total);
        step->done[s] = 0;
        if (step->broken[s]) {
            for (int64_t k = 0; k < beams; k++)
                step->parents[at + k] = k;
            continue;
        }
        for (int64_t w = 0; w < width; w++) {
            best[w].stops = length >= step->limits[s] || is_end(step, s, best[w].token);
            all_stop &= best[w].stops;
        }
        finish(step, s, best, length, values, picks, texts);
        for (int64_t w = 0; w < width; w++)
            values[w] = best[w].stops ? plus(best[w].total, LOW) : best[w].total;
        pick(values, width, beams, picks);
        for (int64_t k = 0; k < beams; k++) {
            step->running[at + k] = values[picks[k]];
            step->parents[at + k] = best[picks[k]].parent;
        }
        step->improvable[s] = step->improvable[s] && can_improve(step, s, length);
        step->done[s] = !step->improvable[s] || (all_finished(step, s) && step->stop_when_full[s]) || all_stop;
        inherit(step, s, (char *)step->tokens, 8 * step->stride, 8 * length, (char *)texts);
        if (step->ancestors)
            inherit(step, s, (char *)step->ancestors, 4 * step->reach, 4 * length, (char *)texts);
        for (int64_t k = 0; k < beams; k++)
            step->tokens[step->rows[at + k] * step->stride + length] = best[picks[k]].token;
    }
}

void glossd_peak(const float *scores, const int64_t *numbers, float *sums, float *best, int64_t *index, int64_t rows,
                 int64_t width);

/* Here `running` (S) holds the sums of the tokens' log-probabilities, and `finished_lengths` (S) how many these are; the
 * shift is not needed. */
void glossd_greedy(const SearchStep *step)
{
    for (int64_t s = 0; s < step->segments; s++) {
        const int64_t row = step->rows[s], length = step->lengths[row];
        float sum, best;
        int64_t token;
        glossd_peak(step->scores, step->rows + s, &sum, &best, &token, 1, step->vocabulary);
        const float gain = plus(best, -sum);
        step->running[s] += gain;
        step->finished_lengths[s] = length;
        step->broken[s] = !is_finite(gain);
        step->done[s] = length >= step->limits[s] || is_end(step, s, token);
        step->tokens[row * step->stride + length] = token;
    }
}
