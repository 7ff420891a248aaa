using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

internal static partial class KernelTable
{
    private static Dictionary<string, Kernel> SamplingKernels() => new()
    {
        ["rand"] = (in a) => Rand(a, CheckedSize(a, 0, 1), DTypeOrDefault(a, 1), a.Device(2), 3, normal: false),
        ["randn"] = (in a) => Rand(a, CheckedSize(a, 0, 1), DTypeOrDefault(a, 1), a.Device(2), 3, normal: true),
        ["randint"] =
        (in a) =>
        RandInt(a, a.Int(0), a.Int(1), KernelGuards.Size("randint", a.Ints(2), a.DType(3) ?? ScalarType.Int64, a.Context), a.DType(3)
            ?? ScalarType.Int64, a.Device(4), 5),
        ["randperm"] = (in a) => RandPerm(a),
        ["rand_like"] = (in a) => Rand(a, CheckedSize(a, 0), a.DType(1) ?? a.Tensor(0).dtype, a.Tensor(0).device, 2, normal: false),
        ["randn_like"] = (in a) => Rand(a, CheckedSize(a, 0), a.DType(1) ?? a.Tensor(0).dtype, a.Tensor(0).device, 2, normal: true),
        ["randint_like"] =
        (in a) => RandInt(a, a.Int(1), a.Int(2), CheckedSize(a, 0), a.DType(3) ?? a.Tensor(0).dtype, a.Tensor(0).device, 4),
        ["normal"] = (in a) => Normal(a),
        ["bernoulli"] = (in a) => Bernoulli(a),
        ["multinomial"] = (in a) => Multinomial(a),
        ["poisson"] = (in a) => Poisson(a),
        ["normal_"] = (in a) => NormalInPlace(a),
        ["uniform_"] = (in a) => UniformInPlace(a),
        ["bernoulli_"] = (in a) => BernoulliInPlace(a),
    };

    /// <summary>
    /// Draws with a generator of the given seed, which gives PyTorch's numbers after manual_seed(seed), or with the generator of the
    /// run. The generators of other jobs do not change.
    /// </summary>
    private static Tensor WithGenerator(in OpArguments a, int seed, Device device, Func<Generator?, Tensor> draw)
    {
        if (device.type == DeviceType.META) return draw(null);
        if (!a.Has(seed)) return draw(a.Context.Generator?.Value);
        using var generator = new Generator(unchecked((ulong)a.Int(seed)), device);
        return draw(generator);
    }

    private static Tensor Rand(in OpArguments a, long[] size, ScalarType type, Device device, int seed, bool normal) =>
        a.Context.Limits is { } limits && ShapeMath.ElementCount(size) > PartElements
            ? WithGenerator(a, seed, device, generator => FillInParts(empty(size, type, device), limits,
                part => normal ? part.normal_(0, 1, generator) : part.uniform_(0, 1, generator)))
            : WithGenerator(a, seed, device, generator => normal ? randn(size, type, device, generator: generator)
                : rand(size, type, device, generator: generator));

    /// <summary>
    /// The elements that are drawn at a time. libtorch draws normal numbers in blocks of 16, and those at the end again if there are
    /// fewer, so that parts of a multiple of 16 have the numbers of one call (aten/src/ATen/native/cpu/DistributionTemplates.h).
    /// </summary>
    private const long PartElements = 1 << 22;

    /// <summary>Draws into a contiguous tensor in parts, between which the job can be cancelled.</summary>
    private static Tensor FillInParts(Tensor target, Running.OperationLimits? limits, Func<Tensor, Tensor> draw)
    {
        if (limits is null || target.numel() <= 2 * PartElements || !target.is_contiguous()) return draw(target);
        using Tensor flat = target.view(-1);
        for (long start = 0; start < flat.numel();)
        {
            limits.BetweenParts();
            // the last part is not shorter than a block
            long count = flat.numel() - start < 2 * PartElements ? flat.numel() - start : PartElements;
            using Tensor part = flat.narrow(0, start, count);
            draw(part);
            start += count;
        }
        return target;
    }

    private static Tensor RandInt(in OpArguments a, long low, long high, long[] size, ScalarType type, Device device, int seed)
    {
        if (low >= high)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"{a.Schema.Name}(): low must be less than high, but they are {low} and {high}.");
        return WithGenerator(a, seed, device, generator => randint(low, high, size, type, device, generator: generator));
    }

    private static Tensor RandPerm(in OpArguments a)
    {
        ScalarType type = a.DType(1) ?? ScalarType.Int64;
        if (type is not (ScalarType.Int64 or ScalarType.Int32 or ScalarType.Int16 or ScalarType.Float32 or ScalarType.Float64))
            // libtorch writes past the end of a bool tensor
            throw Errors.CreateException(ErrorCode.BadArgument, $"randperm(): the dtype {Describe.TypeName(type)} is not supported.");
        long count = KernelGuards.Size("randperm", [a.Int(0)], type, a.Context)[0];
        Device device = a.Device(2);
        // libtorch would write to memory that a meta tensor does not have
        if (device.type == DeviceType.META) return zeros(count, type, META);
        return WithGenerator(a, 3, device, generator => randperm(count, type, device, generator: generator));
    }

    private static Tensor Normal(in OpArguments a)
    {
        if (a.Operand(0) is not Tensor && a.Operand(1) is not Tensor)
        {
            double mean = a.Float(0), std = CheckStd(a, a.Float(1));
            long[] size =
                KernelGuards.Size("normal", a.OptionalInts(2)
                    ?? throw Errors.CreateException(ErrorCode.BadArgument, "normal(): needs a size if mean and std are numbers."),
                    a.Context.DefaultType, a.Context);
            KernelContext context = a.Context;
            return WithGenerator(a, 3, context.Device, generator =>
                FillInParts(empty(size, context.DefaultType, context.Device), context.Limits, part => part.normal_(mean, std, generator)));
        }
        Tensor like = (a.Operand(0) as Tensor ?? a.Operand(1) as Tensor)!;
        Tensor means = a.TensorLike(0, like), deviations = a.TensorLike(1, like);
        // the unit normal first: the same numbers as at::normal, which scales and shifts what it draws
        long[] shape = ShapeMath.Broadcast(means.shape, deviations.shape)
            ?? throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"normal: the shapes {Describe.Shape(means)} and {Describe.Shape(deviations)} do not broadcast");
        KernelGuards.Size("normal", shape, like.dtype, a.Context);
        if (!KernelGuards.IsMeta(deviations) && deviations.lt(0).any().item<bool>()) CheckStd(a, -1);
        Running.OperationLimits? limits = a.Context.Limits;
        Tensor unit = WithGenerator(a, 3, like.device, generator =>
            FillInParts(empty(shape, like.dtype, like.device), limits, part => part.normal_(0, 1, generator)));
        return unit.mul(deviations).add(means);
    }

    private static double CheckStd(in OpArguments a, double std) =>
        std >= 0 ? std
        : throw Errors.CreateException(ErrorCode.BadArgument, $"{a.Schema.Name}(): the standard deviation must not be negative.");

    private static double CheckProbability(in OpArguments a, double p) =>
        p is >= 0 and <= 1 ? p
        : throw Errors.CreateException(ErrorCode.BadArgument, $"{a.Schema.Name}(): p must be between 0 and 1, but is {p}.");

    private static Tensor Bernoulli(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        if (a.OptionalFloat(1) is { } given)
        {
            double p = CheckProbability(a, given);
            return WithGenerator(a, 2, self.device, generator => empty_like(self).bernoulli_(p, generator));
        }
        if (!KernelGuards.IsMeta(self) && !self.ge(0).logical_and(self.le(1)).all().item<bool>()) CheckProbability(a, double.NaN);
        return WithGenerator(a, 2, self.device, generator => empty_like(self).bernoulli_(self, generator));
    }

    private static Tensor Multinomial(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        long count = a.Int(1);
        bool replacement = a.Bool(2);
        if (self.ndim is not (1 or 2))
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"multinomial: the probabilities must have 1 or 2 dimensions, but are {Describe.Shape(self)}");
        if (count <= 0 || (!replacement && count > self.shape[^1]))
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"multinomial(): cannot draw {count} of {self.shape[^1]}{(replacement ? "" : " without replacement")}.");
        long[] shape = KernelGuards.Size("multinomial", [.. self.shape[..^1], count], ScalarType.Int64, a.Context);
        return KernelGuards.IsMeta(self) ? zeros(shape, ScalarType.Int64, META)
            : WithGenerator(a, 3, self.device, generator => self.multinomial(count, replacement, generator));
    }

    private static Tensor Poisson(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        if (!KernelGuards.IsMeta(self) && !self.ge(0).all().item<bool>())
            throw Errors.CreateException(ErrorCode.BadArgument, "poisson(): the rates must not be negative.");
        return WithGenerator(a, 1, self.device, generator => self.poisson(generator));
    }

    private static Tensor NormalInPlace(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        double mean = a.Float(1), std = CheckStd(a, a.Float(2));
        Running.OperationLimits? limits = a.Context.Limits;
        return WithGenerator(a, 3, self.device, generator => FillInParts(self, limits, part => part.normal_(mean, std, generator)));
    }

    private static Tensor UniformInPlace(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        double from = a.Float(1), to = a.Float(2);
        Running.OperationLimits? limits = a.Context.Limits;
        return WithGenerator(a, 3, self.device, generator => FillInParts(self, limits, part => part.uniform_(from, to, generator)));
    }

    private static Tensor BernoulliInPlace(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        double p = CheckProbability(a, a.Float(1));
        return WithGenerator(a, 2, self.device, generator => self.bernoulli_(p, generator));
    }
}
