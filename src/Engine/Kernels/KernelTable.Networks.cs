using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

internal static partial class KernelTable
{
    private static Dictionary<string, Kernel> NetworkKernels() => new()
    {
        ["softmax"] = (in a) => a.Tensor(0).softmax(a.Int(1), a.DType(2)),
        ["log_softmax"] = (in a) => a.Tensor(0).log_softmax(a.Int(1), a.DType(2)),
        ["relu"] = (in a) => a.Tensor(0).relu(),
        ["relu6"] = (in a) => a.Tensor(0).relu6(),
        ["leaky_relu"] = (in a) => a.Tensor(0).leaky_relu(a.Float(1)),
        ["elu"] = (in a) => functional.elu(a.Tensor(0), a.Float(1)),
        ["selu"] = (in a) => a.Tensor(0).selu(),
        ["gelu"] =
        (in a) =>
        functional.gelu(a.Tensor(0),
            a.Choice(1, ("none", TorchSharp.Modules.GELU.Approximate.none), ("tanh", TorchSharp.Modules.GELU.Approximate.tanh))),
        ["silu"] = (in a) => a.Tensor(0).silu(),
        ["mish"] = (in a) => functional.mish(a.Tensor(0)),
        ["sigmoid"] = (in a) => Elementwise.Unary(a, x => x.sigmoid(), x => 1 / (1 + Math.Exp(-x))),
        ["logsigmoid"] = (in a) => functional.logsigmoid(a.Tensor(0)),
        ["tanh"] = (in a) => Elementwise.Unary(a, x => x.tanh(), Math.Tanh),
        ["hardtanh"] = (in a) => a.Tensor(0).clamp(a.Scalar(1), a.Scalar(2)), // TorchSharp's hardtanh changes its argument
        ["hardsigmoid"] = (in a) => functional.hardsigmoid(a.Tensor(0)),
        ["hardswish"] = (in a) => functional.hardswish(a.Tensor(0)),
        ["softplus"] = (in a) => a.Tensor(0).softplus(a.Float(1), a.Float(2)),
        ["softsign"] = (in a) => functional.softsign(a.Tensor(0)),
        ["threshold"] = (in a) => functional.threshold(a.Tensor(0), a.Float(1), a.Float(2)),
        ["glu"] = (in a) => a.Tensor(0).glu(a.Int(1)),
        ["dropout"] = (in a) => a.Bool(2) ? Dropout(a.Tensor(0), a.Float(1), a, 3) : a.Tensor(0).alias(),
        ["linear"] = (in a) => Linear(a),
        ["embedding"] = (in a) => Embedding(a),
        ["layer_norm"] = (in a) => LayerNorm(a),
        ["rms_norm"] = (in a) => RmsNorm(a),
        ["group_norm"] = GroupNorm,
        ["scaled_dot_product_attention"] = (in a) => Attention.Compute(a),
        ["normalize"] = (in a) => functional.normalize(a.Tensor(0), a.Float(1), a.Int(2), a.Float(3)),
        ["cosine_similarity"] = (in a) => functional.cosine_similarity(a.Tensor(0), a.TensorLike(1, a.Tensor(0)), a.Int(2), a.Float(3)),
        ["pairwise_distance"] = (in a) => functional.pairwise_distance(a.Tensor(0), a.Tensor(1), a.Float(2), a.Float(3), a.Bool(4)),
        ["cross_entropy"] =
        (in a) => functional.cross_entropy(a.Tensor(0), a.Tensor(1), a.OptionalTensor(2), a.Int(3), ReductionOf(a, 4), a.Float(5)),
        ["nll_loss"] = (in a) => functional.nll_loss(a.Tensor(0), a.Tensor(1), a.OptionalTensor(2), ReductionOf(a, 3)),
        ["mse_loss"] = (in a) => functional.mse_loss(a.Tensor(0), a.Tensor(1), ReductionOf(a, 2)),
        ["l1_loss"] = (in a) => functional.l1_loss(a.Tensor(0), a.Tensor(1), ReductionOf(a, 2)),
        ["smooth_l1_loss"] = (in a) => functional.smooth_l1_loss(a.Tensor(0), a.Tensor(1), ReductionOf(a, 2), a.Float(3)),
        ["huber_loss"] = (in a) => functional.huber_loss(a.Tensor(0), a.Tensor(1), a.Float(3), ReductionOf(a, 2)),
        ["kl_div"] = (in a) => KlDiv(a),
        ["binary_cross_entropy"] =
        (in a) => functional.binary_cross_entropy(a.Tensor(0), a.Tensor(1), a.OptionalTensor(2), ReductionOf(a, 3)),
        ["binary_cross_entropy_with_logits"] =
        (in a) =>
        functional.binary_cross_entropy_with_logits(a.Tensor(0), a.Tensor(1), a.OptionalTensor(2), ReductionOf(a, 3), a.OptionalTensor(4)),
    };

    private static Reduction ReductionOf(in OpArguments a, int position) =>
        a.Choice(position, ("mean", Reduction.Mean), ("sum", Reduction.Sum), ("none", Reduction.None));

    /// <summary>Dropout as in aten/src/ATen/native/Dropout.cpp, with the generator of the run.</summary>
    internal static Tensor Dropout(Tensor self, double p, in OpArguments a, int seed)
    {
        if (p is not (>= 0 and <= 1))
            throw Errors.CreateException(ErrorCode.BadArgument, $"{a.Schema.Name}(): the probability must be between 0 and 1, but is {p}.");
        if (p == 0) return self.alias();
        if (p == 1) return self.mul(0);
        Tensor noise = WithGenerator(a, seed, self.device, generator => empty_like(self).bernoulli_(1 - p, generator));
        return self.mul(noise.div_(1 - p));
    }

    private static Tensor Linear(in OpArguments a)
    {
        Tensor input = a.Tensor(0), weight = a.Tensor(1);
        if (weight.ndim is not (1 or 2) || input.ndim == 0 || input.shape[^1] != weight.shape[^1])
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"linear: an input of shape {Describe.Shape(input)} does not fit a weight of shape {Describe.Shape(weight)}");
        KernelGuards.SameTypeAndDevice("linear", input, weight);
        KernelGuards.Size("linear",
            ShapeMath.SaturatingMultiply(ShapeMath.ElementCount(input.shape.AsSpan(..^1)), weight.ndim == 2 ? weight.shape[0] : 1),
            input.element_size(), a.Context);
        return functional.linear(input, weight, a.OptionalTensor(2));
    }

    private static Tensor Embedding(in OpArguments a)
    {
        Tensor ids = a.Tensor(0), weight = a.Tensor(1);
        if (weight.ndim != 2 || !Numbers.IsInteger(ids))
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"embedding(): needs integers and a matrix, not {Describe.Kind(ids)} and {Describe.Kind(weight)}.");
        Tensor rows = IndexSelect(weight, 0, ids.flatten().to(ScalarType.Int64), a.Context);
        return rows.reshape([.. ids.shape, weight.shape[1]]);
    }

    /// <summary>Checks that the input ends with the normalized dimensions.</summary>
    private static (Tensor Input, long[] Shape) NormalizedShape(in OpArguments a)
    {
        Tensor input = a.Tensor(0);
        long[] shape = a.Ints(1);
        if (shape.Length == 0 || shape.Length > input.ndim || !input.shape.AsSpan((int)input.ndim - shape.Length).SequenceEqual(shape))
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"{a.Schema.Name}: an input of shape {Describe.Shape(input)} does not end with {Describe.Shape(shape)}");
        return (input, shape);
    }

    private static Tensor LayerNorm(in OpArguments a)
    {
        (Tensor input, long[] shape) = NormalizedShape(a);
        return KernelGuards.IsMeta(input) ? input.clone()
            : functional.layer_norm(input, shape, a.OptionalTensor(2), a.OptionalTensor(3), a.Float(4));
    }

    /// <remarks>libtorch allocates two statistics for each group, of which it takes any number where there are no channels.</remarks>
    private static Tensor GroupNorm(in OpArguments a)
    {
        Tensor input = a.Tensor(0);
        long groups = a.Int(1);
        if (input.ndim > 1 && groups > Math.Max(1, input.shape[1]))
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"group_norm(): {groups:N0} groups of {input.shape[1]:N0} channels; num_groups must divide the number of channels.");
        return functional.group_norm(input, groups, a.OptionalTensor(2), a.OptionalTensor(3), a.Float(4));
    }

    /// <summary>RMSNorm, computed in float32 or wider as in PyTorch (aten/src/ATen/native/layer_norm.cpp).</summary>
    private static Tensor RmsNorm(in OpArguments a)
    {
        (Tensor input, long[] shape) = NormalizedShape(a);
        if (a.OptionalTensor(2) is { } scale && !scale.shape.AsSpan().SequenceEqual(shape))
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"rms_norm(): the weight has the shape {Describe.Shape(scale)}; it must be that of normalized_shape, "
                + $"[{string.Join(", ", shape)}].");
        double eps = a.OptionalFloat(3) ?? finfo(input.dtype).eps;
        Tensor x = input.dtype is ScalarType.Float16 or ScalarType.BFloat16 ? input.to(ScalarType.Float32) : input;
        long[] dims = [.. Enumerable.Range(1, shape.Length).Select(i => (long)-i)];
        Tensor normed = x.mul(x.square().mean(dims, keepdim: true).add(eps).rsqrt());
        if (a.OptionalTensor(2) is { } weight) normed = normed.mul(weight);
        return normed.to(input.dtype);
    }

    private static Tensor KlDiv(in OpArguments a)
    {
        Tensor input = a.Tensor(0);
        if (a.Text(2) != "batchmean") return functional.kl_div(input, a.Tensor(1), a.Bool(3), ReductionOf(a, 2));
        Tensor sum = functional.kl_div(input, a.Tensor(1), a.Bool(3), Reduction.Sum);
        return input.ndim == 0 ? sum : sum.div(input.shape[0]);
    }
}
