using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

internal static partial class KernelTable
{
    private static Dictionary<string, Kernel> SortingKernels() => new()
    {
        ["topk"] = (in a) => Tuple(a.Tensor(0).topk(a.Int32(1), a.Int32(2), a.Bool(3), a.Bool(4))),
        ["sort"] = (in a) => Tuple(Sort(a)),
        ["argsort"] = (in a) => Sort(a).Indices,
        ["searchsorted"] = (in a) => searchsorted(a.Tensor(0), a.TensorLike(1, a.Tensor(0)), a.Bool(2), a.Bool(3)),
        ["bucketize"] = (in a) => a.Tensor(0).bucketize(a.Tensor(1), a.Bool(2), a.Bool(3)),
        ["bincount"] = (in a) => Bincount(a),
        ["unique"] = (in a) => Unique(a),
    };

    private static (Tensor Values, Tensor Indices) Sort(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        long dim = KernelGuards.WrapDim(a.Schema.Name, a.Int(1), self.ndim);
        if (self.numel() == 0 && !KernelGuards.IsMeta(self)) // libtorch makes the positions of the dimension, however long it is
            return (self.clone(), zeros(self.shape, ScalarType.Int64, device: self.device));
        return self.sort(dim, a.Bool(2), a.Bool(3));
    }

    private static Tensor Bincount(in OpArguments a)
    {
        Tensor self = TensorWithData(a, 0);
        Tensor? weights = a.OptionalTensor(1);
        if (weights is not null && (weights.ndim != 1 || weights.numel() != self.numel())) // before libtorch converts them
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"bincount(): the weights {Describe.Shape(weights)} are not one for each of the numbers {Describe.Shape(self)}.");
        if (self.ndim != 1 || !Numbers.IsInteger(self) || self.lt(0).any().item<bool>())
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"bincount(): only lists of non-negative integers are counted, not {Describe.Kind(self)}.");
        long largest = self.numel() == 0 ? 0 : self.max().to(ScalarType.Int64).item<long>();
        if (largest == long.MaxValue) KernelGuards.Size("bincount", long.MaxValue, sizeof(double), a.Context);
        KernelGuards.Allocate("bincount", Math.Max(largest + 1, a.Int(2)), sizeof(double), a.Context);
        return bincount(self, weights, a.Int(2));
    }

    private static object Unique(in OpArguments a)
    {
        bool inverse = a.Bool(2), counts = a.Bool(3);
        int? dim = a.Has(4) ? (int)KernelGuards.WrapDim("unique", a.Int(4), a.Tensor(0).ndim) : null;
        (Tensor values, Tensor? inverseIndices, Tensor? valueCounts) = TensorWithData(a, 0).unique(a.Bool(1), inverse, counts, dim);
        return (inverse, counts) switch
        {
            (false, false) => values,
            (true, false) => Tuple(values, inverseIndices!),
            (false, true) => Tuple(values, valueCounts!),
            _ => Tuple(values, inverseIndices!, valueCounts!),
        };
    }
}
