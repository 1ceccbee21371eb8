/* Products of float32 rows with an int8 matrix: what `matrix.c` offers the other sources. */
#ifndef GLOSSD_MATRIX_H
#define GLOSSD_MATRIX_H

#include <stdint.h>

enum { ACTIVATION_NONE, ACTIVATION_RELU, ACTIVATION_SWISH, ACTIVATION_GELU, ACTIVATION_GELU_TANH };
enum { LEVEL_NONE, LEVEL_VNNI, LEVEL_AMX };

/* A weight (out, in) in int8, as `glossd_pack` lays it out, over memory that tensors own. `wide` is out rounded up to 32;
 * `scales`, `bias` and `offsets` have as many entries. offsets: 128 times the sum of each output's weights. */
typedef struct {
    const int8_t *panels;
    const float *scales;
    const float *bias;
    const int32_t *offsets;
    int64_t in, out, activation, level;
} Matrix;

/* output (count, out) = activation(rows (count, in) x weight + bias). `scratch`: `glossd_scratch(in)` bytes. */
void glossd_multiply(const Matrix *matrix, const float *rows, float *output, int64_t count, void *scratch);
int64_t glossd_scratch(int64_t in);

/* sums (in) += `scale` times the weights of one output, as they were rounded. */
void glossd_add_weights(const Matrix *matrix, int64_t output, float scale, float *sums);

/* values (count) = activation(values) in place. */
void glossd_activate(float *values, int64_t count, int64_t activation);

#endif
