// Training kernels for rows of bfloat16 with float32 arithmetic, forward and backward, one thread: multi-head attention
// over short sentences on fused projections (heads of 32 channels), residual + bias + layer norm, and bias + SiLU.
// Biases are added here so that the products before need none; widths are multiples of 16.
// GCC or Clang vector types of 16 floats; the compiler maps them to what the processor has.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int kChannels = 32;
constexpr int kLanes = 16;
typedef float Lanes __attribute__((vector_size(64), aligned(4)));
typedef int32_t Words __attribute__((vector_size(64)));
typedef uint32_t Bits __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32), aligned(2)));

inline int padded(int length) { return (length + kLanes - 1) & ~(kLanes - 1); }

inline Lanes& lanes(float* at) { return *reinterpret_cast<Lanes*>(at); }
inline const Lanes& lanes(const float* at) { return *reinterpret_cast<const Lanes*>(at); }

inline Lanes widen(const uint16_t* from) {
    Bits bits = __builtin_convertvector(*reinterpret_cast<const Halves*>(from), Bits) << 16;
    return reinterpret_cast<Lanes&>(bits);
}

// to bfloat16, rounded to nearest even
inline void narrow(Lanes value, uint16_t* to) {
    Bits bits = reinterpret_cast<Bits&>(value);
    bits = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    *reinterpret_cast<Halves*>(to) = __builtin_convertvector(bits, Halves);
}

inline float sum_of(Lanes value) {
    float total = 0;
    for (int j = 0; j < kLanes; ++j) total += value[j];
    return total;
}

// rows[length][32] from bfloat16 rows `stride` apart plus a bias of 32 (null: none)
inline void load(const uint16_t* from, long stride, int length, float* rows, const uint16_t* bias = nullptr) {
    for (int c = 0; c < kChannels; c += kLanes) {
        const Lanes added = bias ? widen(bias + c) : Lanes{};
        for (int i = 0; i < length; ++i) lanes(rows + i * kChannels + c) = widen(from + i * stride + c) + added;
    }
}

// bfloat16 rows `stride` apart from rows[length][32]; their sum is added to sums[32] (null: not wanted)
inline void store(const float* rows, int length, float scale, uint16_t* to, long stride, float* sums = nullptr) {
    for (int c = 0; c < kChannels; c += kLanes) {
        Lanes sum = {};
        for (int i = 0; i < length; ++i) {
            const Lanes value = lanes(rows + i * kChannels + c) * scale;
            sum += value;
            narrow(value, to + i * stride + c);
        }
        if (sums) lanes(sums + c) += sum;
    }
}

// columns[32][width], zero beyond length
inline void transpose(const float* rows, int length, int width, float* columns) {
    std::memset(columns, 0, sizeof(float) * kChannels * width);
    for (int i = 0; i < length; ++i)
        for (int c = 0; c < kChannels; ++c) columns[c * width + i] = rows[i * kChannels + c];
}

template <int kRows, int kBlocks>
inline void tile(const float* a, long row_step, long inner_step, const float* b, long b_stride, float* out,
                 long out_stride, int inner) {
    Lanes sum[kRows][kBlocks] = {};
    for (int k = 0; k < inner; ++k)
        for (int j = 0; j < kBlocks; ++j) {
            const Lanes right = lanes(b + k * b_stride + j * kLanes);
            for (int i = 0; i < kRows; ++i) sum[i][j] += a[i * row_step + k * inner_step] * right;
        }
    for (int i = 0; i < kRows; ++i)
        for (int j = 0; j < kBlocks; ++j) lanes(out + i * out_stride + j * kLanes) = sum[i][j];
}

template <int kBlocks>
inline void strip(const float* a, long row_step, long inner_step, const float* b, long b_stride, float* out,
                  long out_stride, int rows, int inner) {
    int i = 0;
    for (; i + 6 <= rows; i += 6)
        tile<6, kBlocks>(a + i * row_step, row_step, inner_step, b, b_stride, out + i * out_stride, out_stride, inner);
    for (; i + 2 <= rows; i += 2)
        tile<2, kBlocks>(a + i * row_step, row_step, inner_step, b, b_stride, out + i * out_stride, out_stride, inner);
    for (; i < rows; ++i)
        tile<1, kBlocks>(a + i * row_step, row_step, inner_step, b, b_stride, out + i * out_stride, out_stride, inner);
}

// out[rows][columns] = a[rows][inner] * b[inner][columns]; columns a multiple of 16, a with free strides
inline void product(const float* a, long row_step, long inner_step, const float* b, long b_stride, float* out,
                    long out_stride, int rows, int columns, int inner) {
    int j = 0;
    for (; j + 2 * kLanes <= columns; j += 2 * kLanes)
        strip<2>(a, row_step, inner_step, b + j, b_stride, out + j, out_stride, rows, inner);
    if (j < columns) strip<1>(a, row_step, inner_step, b + j, b_stride, out + j, out_stride, rows, inner);
}

// e to the x for x <= 0, relative error under 1e-6
inline Lanes exponential(Lanes x) {
    Lanes y = x * 1.44269504f;
    y = y < -120.0f ? (Lanes{} - 120.0f) : y;
    const Words whole = __builtin_convertvector(y - 0.5f, Words);
    const Lanes part = (y - __builtin_convertvector(whole, Lanes)) * 0.69314718f;
    Lanes value = part * (1.0f / 720) + 1.0f / 120;
    value = value * part + 1.0f / 24;
    value = value * part + 1.0f / 6;
    value = value * part + 0.5f;
    value = value * part + 1.0f;
    value = value * part + 1.0f;
    Words bits = (whole + 127) << 23;
    return value * reinterpret_cast<Lanes&>(bits);
}

inline Lanes sigmoid(Lanes x) {
    const Lanes small = exponential(x < 0.0f ? x : -x);
    return (x < 0.0f ? small : (Lanes{} + 1.0f)) / (1.0f + small);
}

// softmax of scale * row over its first `seen` of `width` entries, zero beyond
inline void softmax(float* row, int seen, int width, float scale) {
    for (int s = seen; s < width; ++s) row[s] = -1e30f;
    Lanes highest = lanes(row);
    for (int s = kLanes; s < width; s += kLanes) highest = lanes(row + s) > highest ? lanes(row + s) : highest;
    float top = highest[0];
    for (int j = 1; j < kLanes; ++j) top = highest[j] > top ? highest[j] : top;
    Lanes sum = {};
    for (int s = 0; s < width; s += kLanes) {
        lanes(row + s) = exponential((lanes(row + s) - top) * scale);
        sum += lanes(row + s);
    }
    const float share = 1.0f / sum_of(sum);
    for (int s = 0; s < width; s += kLanes) lanes(row + s) *= share;
    for (int s = seen; s < width; ++s) row[s] = 0;
}

}  // namespace

extern "C" {

// query rows [pairs, targets], key and value rows [pairs, sources], each with its bias [width];
// weights float32 [pairs, heads, targets, sources]
void attention_forward(const uint16_t* query, const uint16_t* query_bias, long query_stride, const uint16_t* key,
                       const uint16_t* key_bias, const uint16_t* value, const uint16_t* value_bias, long memory_stride,
                       uint16_t* context, float* weights, long pairs, long heads, long targets, long sources,
                       long causal) {
    const int width = padded(sources);
    const float scale = 1.0f / std::sqrt(static_cast<float>(kChannels));
    std::vector<float> q(targets * kChannels), rows(sources * kChannels), keys(kChannels * width),
        scores(targets * width);
    for (long b = 0; b < pairs; ++b)
        for (long h = 0; h < heads; ++h) {
            const long from = h * kChannels, memory = b * sources * memory_stride + from;
            load(query + b * targets * query_stride + from, query_stride, targets, q.data(), query_bias + from);
            load(key + memory, memory_stride, sources, rows.data(), key_bias + from);
            transpose(rows.data(), sources, width, keys.data());
            product(q.data(), kChannels, 1, keys.data(), width, scores.data(), width, targets, width, kChannels);
            for (long t = 0; t < targets; ++t)
                softmax(scores.data() + t * width, causal ? t + 1 : sources, width, scale);
            float* out = weights + (b * heads + h) * targets * sources;
            for (long t = 0; t < targets; ++t)
                std::memcpy(out + t * sources, scores.data() + t * width, sizeof(float) * sources);
            load(value + memory, memory_stride, sources, rows.data(), value_bias + from);
            product(scores.data(), width, 1, rows.data(), kChannels, q.data(), kChannels, targets, kChannels, sources);
            store(q.data(), targets, 1.0f, context + b * targets * heads * kChannels + from, heads * kChannels);
        }
}

// gradients of the above; weights_gradient may be null; outputs have the layout of their inputs, and the float32 bias
// gradients are added to. Masked weights are zero, and so are their gradients.
void attention_backward(const uint16_t* query, const uint16_t* query_bias, long query_stride, const uint16_t* key,
                        const uint16_t* key_bias, const uint16_t* value, const uint16_t* value_bias, long memory_stride,
                        const float* weights, const uint16_t* context_gradient, const float* weights_gradient,
                        uint16_t* query_gradient, uint16_t* key_gradient, uint16_t* value_gradient, float* query_sums,
                        float* key_sums, float* value_sums, long pairs, long heads, long targets, long sources) {
    const int width = padded(sources);
    const float scale = 1.0f / std::sqrt(static_cast<float>(kChannels));
    std::vector<float> q(targets * kChannels), keys(sources * kChannels), rows(sources * kChannels),
        values(kChannels * width), up(targets * kChannels), change(targets * width);
    for (long b = 0; b < pairs; ++b)
        for (long h = 0; h < heads; ++h) {
            const long from = h * kChannels, memory = b * sources * memory_stride + from;
            const long source_row = b * targets * query_stride + from;
            const long place = (b * heads + h) * targets * sources;
            load(query + source_row, query_stride, targets, q.data(), query_bias + from);
            load(key + memory, memory_stride, sources, keys.data(), key_bias + from);
            load(value + memory, memory_stride, sources, rows.data(), value_bias + from);
            load(context_gradient + b * targets * heads * kChannels + from, heads * kChannels, targets, up.data());
            transpose(rows.data(), sources, width, values.data());
            product(weights + place, 1, sources, up.data(), kChannels, rows.data(), kChannels, sources, kChannels,
                    targets);
            store(rows.data(), sources, 1.0f, value_gradient + memory, memory_stride, value_sums + from);
            product(up.data(), kChannels, 1, values.data(), width, change.data(), width, targets, width, kChannels);
            for (long t = 0; t < targets; ++t) {
                const float* weight = weights + place + t * sources;
                float* row = change.data() + t * width;
                if (weights_gradient)
                    for (long s = 0; s < sources; ++s) row[s] += weights_gradient[place + t * sources + s];
                float mean = 0;
                for (long s = 0; s < sources; ++s) mean += weight[s] * row[s];
                for (long s = 0; s < sources; ++s) row[s] = weight[s] * (row[s] - mean);
            }
            product(change.data(), 1, width, q.data(), kChannels, rows.data(), kChannels, sources, kChannels, targets);
            store(rows.data(), sources, scale, key_gradient + memory, memory_stride, key_sums + from);
            product(change.data(), width, 1, keys.data(), kChannels, q.data(), kChannels, targets, kChannels, sources);
            store(q.data(), targets, scale, query_gradient + source_row, query_stride, query_sums + from);
        }
}

// out = norm(residual + change + bias) * gain + shift; keeps the normalized rows and each row's inverse deviation
void norm_forward(const uint16_t* residual, const uint16_t* change, const uint16_t* bias, const uint16_t* gain,
                  const uint16_t* shift, uint16_t* out, uint16_t* normalized, float* inverse, long rows, long width) {
    std::vector<float> row(width);
    for (long i = 0; i < rows; ++i) {
        const long at = i * width;
        Lanes sum = {}, squares = {};
        for (long c = 0; c < width; c += kLanes) {
            const Lanes value = widen(residual + at + c) + widen(change + at + c) + widen(bias + c);
            lanes(row.data() + c) = value;
            sum += value;
        }
        const float mean = sum_of(sum) / width;
        for (long c = 0; c < width; c += kLanes) {
            lanes(row.data() + c) -= mean;
            squares += lanes(row.data() + c) * lanes(row.data() + c);
        }
        inverse[i] = 1.0f / std::sqrt(sum_of(squares) / width + 1e-5f);
        for (long c = 0; c < width; c += kLanes) {
            const Lanes value = lanes(row.data() + c) * inverse[i];
            narrow(value, normalized + at + c);
            narrow(value * widen(gain + c) + widen(shift + c), out + at + c);
        }
    }
}

// gradient of both summands (they share it) and, added to, the sums [3, width] for bias, gain and shift
void norm_backward(const uint16_t* gradient, const uint16_t* normalized, const float* inverse, const uint16_t* gain,
                   uint16_t* summand_gradient, float* sums, long rows, long width) {
    for (long i = 0; i < rows; ++i) {
        const long at = i * width;
        Lanes plain = {}, weighted = {};
        for (long c = 0; c < width; c += kLanes) {
            const Lanes up = widen(gradient + at + c), value = widen(normalized + at + c);
            const Lanes scaled = up * widen(gain + c);
            plain += scaled;
            weighted += scaled * value;
            lanes(sums + width + c) += up * value;
            lanes(sums + 2 * width + c) += up;
        }
        const float mean = sum_of(plain) / width, along = sum_of(weighted) / width;
        for (long c = 0; c < width; c += kLanes) {
            const Lanes scaled = widen(gradient + at + c) * widen(gain + c);
            const Lanes value = (scaled - mean - widen(normalized + at + c) * along) * inverse[i];
            lanes(sums + c) += value;
            narrow(value, summand_gradient + at + c);
        }
    }
}

// out = silu(input + bias)
void silu_forward(const uint16_t* input, const uint16_t* bias, uint16_t* out, long rows, long width) {
    for (long i = 0; i < rows; ++i)
        for (long c = 0; c < width; c += kLanes) {
            const Lanes value = widen(input + i * width + c) + widen(bias + c);
            narrow(value * sigmoid(value), out + i * width + c);
        }
}

// gradient of the input and, added to sums [width], of the bias
void silu_backward(const uint16_t* gradient, const uint16_t* input, const uint16_t* bias, uint16_t* input_gradient,
                   float* sums, long rows, long width) {
    for (long i = 0; i < rows; ++i)
        for (long c = 0; c < width; c += kLanes) {
            const Lanes value = widen(input + i * width + c) + widen(bias + c);
            const Lanes share = sigmoid(value);
            const Lanes result = widen(gradient + i * width + c) * share * (1.0f + value * (1.0f - share));
            lanes(sums + c) += result;
            narrow(result, input_gradient + i * width + c);
        }
}

// one Adam update of entries start..stop from the sum of `workers` gradient rows of length `size`; `live` receives the
// new values in bfloat16. settings: 1 - beta1, 1 - beta2, rate / (1 - beta1^n), 1 / sqrt(1 - beta2^n), epsilon
void adam(const float* gradients, float* first, float* second, float* master, uint16_t* live, const float* settings,
          long workers, long size, long start, long stop) {
    for (long i = start; i < stop; i += kLanes) {
        Lanes gradient = lanes(gradients + i);
        for (long worker = 1; worker < workers; ++worker) gradient += lanes(gradients + worker * size + i);
        const Lanes one = lanes(first + i) + (gradient - lanes(first + i)) * settings[0];
        const Lanes two = lanes(second + i) + (gradient * gradient - lanes(second + i)) * settings[1];
        Lanes root;
        for (int j = 0; j < kLanes; ++j) root[j] = std::sqrt(two[j]);
        const Lanes value = lanes(master + i) - settings[2] * one / (root * settings[3] + settings[4]);
        lanes(first + i) = one;
        lanes(second + i) = two;
        lanes(master + i) = value;
        narrow(value, live + i);
    }
}
}
