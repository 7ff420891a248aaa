using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Engine.Kernels;

internal static partial class KernelTable
{
    private static Dictionary<string, Kernel> TypeKernels() => new()
    {
        ["to"] = (in a) => a.Tensor(0).to(a.DType(1) ?? a.Tensor(0).dtype, a.Has(2) ? a.Device(2) : a.Tensor(0).device),
        ["type_as"] = (in a) => a.Tensor(0).to(a.Tensor(1).dtype, a.Tensor(1).device),
        ["float"] = (in a) => a.Tensor(0).to(ScalarType.Float32),
        ["double"] = (in a) => a.Tensor(0).to(ScalarType.Float64),
        ["half"] = (in a) => a.Tensor(0).to(ScalarType.Float16),
        ["bfloat16"] = (in a) => a.Tensor(0).to(ScalarType.BFloat16),
        ["long"] = (in a) => a.Tensor(0).to(ScalarType.Int64),
        ["int"] = (in a) => a.Tensor(0).to(ScalarType.Int32),
        ["bool"] = (in a) => a.Tensor(0).to(ScalarType.Bool),
        ["cpu"] = (in a) => KernelGuards.IsMeta(a.Tensor(0)) ? a.Tensor(0).alias() : a.Tensor(0).cpu().alias(),
        ["item"] = (in a) => a.Number(0),
        ["tolist"] = (in a) => NestedLists.ToList(a.Tensor(0), "tolist", a.Context),
    };
}
