using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

/// <summary>
/// PyTorch's scaled_dot_product_attention, including the arguments that TorchSharp's lacks: scale, enable_gqa and a seed.
/// </summary>
internal static class Attention
{
    public static Tensor Compute(in OpArguments a)
    {
        Tensor query = a.Tensor(0), key = a.Tensor(1), value = a.Tensor(2); // [..., heads, seq, headDim]
        Tensor? mask = a.OptionalTensor(3);
        double dropout = a.Float(4);
        bool causal = a.Bool(5);
        Check(query, key, value, mask, causal);
        if (a.Bool(7)) (key, value) = RepeatKv(query, key, value);
        (query, key, value) = (Dense(query), Dense(key), Dense(value));
        double defaultScale = 1 / Math.Sqrt(query.shape[^1]), scale = a.OptionalFloat(6) ?? defaultScale;
        KernelGuards.Matmul("scaled_dot_product_attention", query, key.transpose(-2, -1), _unlimited);
        if (KernelGuards.IsMeta(query)) return zeros([.. query.shape[..^1], value.shape[^1]], query.dtype, META);
        // libtorch's fused kernel divides by these sizes
        if (query.shape.AsSpan()[..^1].Contains(0) || key.shape.AsSpan()[..^1].Contains(0))
            return MatrixProduct.Compute(MatrixProduct.Compute(query, key.transpose(-2, -1)), value);
        if (dropout == 0)
        {
            if (scale != defaultScale) query = query.mul(scale / defaultScale);
            return nn.functional.scaled_dot_product_attention(query, key, value, mask, 0, causal);
        }
        KernelGuards.Matmul("scaled_dot_product_attention", query, key.transpose(-2, -1), a.Context);
        Tensor scores = MatrixProduct.Compute(query, key.transpose(-2, -1)).mul(scale); // [..., heads, seq, kvSeq]
        if (causal) mask = ones(scores.shape[^2..], ScalarType.Bool, scores.device).tril();
        if (mask is not null) scores = mask.dtype == ScalarType.Bool ? scores.masked_fill(mask.logical_not(), double.NegativeInfinity)
            : scores.add(mask);
        Tensor probabilities = KernelTable.Dropout(scores.softmax(-1), dropout, a, 8); // [..., heads, seq, kvSeq]
        KernelGuards.Matmul("scaled_dot_product_attention", probabilities, value, a.Context);
        return MatrixProduct.Compute(probabilities, value);
    }

    /// <summary>libtorch's fused kernel never has all scores in memory, so their size is not limited.</summary>
    private static readonly KernelContext _unlimited = new() { MaxTensorBytes = long.MaxValue - 1 };

    /// <summary>
    /// Whether libtorch uses its fused kernel (use_flash_attention_cpp in aten/src/ATen/native/transformers/sdp_utils_cpp.cpp); otherwise
    /// all scores are in memory.
    /// </summary>
    public static bool IsFused(Tensor query, Tensor key, Tensor value, Tensor? mask, double dropout, bool repeatsHeads) =>
        dropout == 0 && query.ndim == 4 && key.ndim == 4 && value.ndim == 4 && query.shape[^1] == value.shape[^1]
        && query.dtype is ScalarType.Float32 or ScalarType.Float64 or ScalarType.Float16 or ScalarType.BFloat16
        && query.shape[0] == key.shape[0] && key.shape[0] == value.shape[0] && (repeatsHeads || query.shape[1] == key.shape[1])
        && key.shape[1] == value.shape[1] && query.stride()[^1] == 1 && key.stride()[^1] == 1 && value.stride()[^1] == 1
        && mask is null or { requires_grad: false, ndim: 2 or 4 };

    private static void Check(Tensor query, Tensor key, Tensor value, Tensor? mask, bool causal)
    {
        if (query.ndim < 2 || key.ndim < 2 || value.ndim < 2 || key.shape[^2] != value.shape[^2])
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"scaled_dot_product_attention: query {Describe.Shape(query)}, key {Describe.Shape(key)} and value "
                + $"{Describe.Shape(value)} do not fit together");
        if (mask is not null && causal)
            throw Errors.CreateException(ErrorCode.BadArgument, "scaled_dot_product_attention(): give attn_mask or is_causal, not both.");
        KernelGuards.SameTypeAndDevice("scaled_dot_product_attention", query, key);
        KernelGuards.SameTypeAndDevice("scaled_dot_product_attention", query, value);
    }

    /// <summary>
    /// A tensor whose rows have memory of their own: for rows of stride 0 libtorch's fused kernel calls no BLAS, and takes a hundred times
    /// as long.
    /// </summary>
    private static Tensor Dense(Tensor tensor)
    {
        if (KernelGuards.IsMeta(tensor)) return tensor;
        ReadOnlySpan<long> shape = tensor.shape, stride = tensor.stride();
        return (stride[^1] == 0 && shape[^1] > 1) || (stride[^2] == 0 && shape[^2] > 1) ? tensor.contiguous() : tensor;
    }

    /// <summary>Repeats the key and value heads, each of which serves several query heads.</summary>
    private static (Tensor Key, Tensor Value) RepeatKv(Tensor query, Tensor key, Tensor value)
    {
        if (query.ndim < 3 || key.ndim < 3 || value.ndim < 3 || key.shape[^3] == 0 || query.shape[^3] % key.shape[^3] != 0
            || value.shape[^3] != key.shape[^3])
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"scaled_dot_product_attention: the heads of query {Describe.Shape(query)} are not a multiple of those of key "
                + $"{Describe.Shape(key)} and value {Describe.Shape(value)}");
        long times = query.shape[^3] / key.shape[^3];
        return times == 1 ? (key, value) : (key.repeat_interleave(times, -3), value.repeat_interleave(times, -3));
    }
}
