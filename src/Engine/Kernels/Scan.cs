using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

/// <summary>Shapes where libtorch has no rule for tensors of the meta device: its own live in Python (FACTS: meta device).</summary>
internal static class Scan
{
    private static readonly Dictionary<string, Kernel> s_rules = new()
    {
    };

    /// <summary>The rule for a call with a meta tensor among its arguments, or null: then the kernel itself gives the shape.</summary>
    public static Kernel? Find(OpSchema schema, object?[] bound) =>
        s_rules.TryGetValue(schema.Name, out Kernel? rule) && Array.Exists(bound, v => v is Tensor tensor && Guards.IsMeta(tensor)) ? rule : null;
}
