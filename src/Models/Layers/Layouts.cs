using Ndif.Protocol;

namespace Ndif.Models.Layers;

/// <summary>The arrangements of heads and of linear layers that the architectures have, as clients receive them.</summary>
internal static class Layouts
{
    /// <summary>A linear layer for each of queries, keys and values.</summary>
    /// <param name="output">The output projection. All names are paths relative to the attention.</param>
    /// <param name="headDim">Elements of a head.</param>
    public static AttentionLayout Separate(
        int heads, int kvHeads, int headDim, string query, string key, string value, string output, int? window = null) => new()
    {
        Heads = (uint)heads, KvHeads = (uint)kvHeads, HeadDim = (uint)headDim, Window = (uint)(window ?? 0), Output = output,
        Query = Heads(query), Key = Heads(key), Value = Heads(value),
    };

    /// <summary>One linear layer: [queries of all heads | keys of all heads | values of all heads].</summary>
    public static AttentionLayout Joint(int heads, int kvHeads, int headDim, string projection, string output, int? window = null)
    {
        AttentionLayout layout = Separate(heads, kvHeads, headDim, projection, projection, projection, output, window);
        (layout.Key.Offset, layout.Value.Offset) = ((uint)(heads * headDim), (uint)((heads + kvHeads) * headDim));
        return layout;
    }

    /// <summary>One linear layer that has for each key-value head [its queries | key | value].</summary>
    public static AttentionLayout PerKvHead(int heads, int kvHeads, int headDim, string projection, string output)
    {
        AttentionLayout layout = Separate(heads, kvHeads, headDim, projection, projection, projection, output);
        layout.Query.Blocks = layout.Key.Blocks = layout.Value.Blocks = (uint)kvHeads;
        (layout.Key.Offset, layout.Value.Offset) = ((uint)(heads / kvHeads * headDim), (uint)((heads / kvHeads + 1) * headDim));
        return layout;
    }

    /// <summary>The first heads of a linear layer, or of each of its <paramref name="blocks"/> equal parts.</summary>
    public static HeadWeights Heads(string module, int blocks = 1, int offset = 0) =>
        new() { Module = module, Blocks = (uint)blocks, Offset = (uint)offset };

    /// <summary>down(activation(up(x))), or with a gate down(activation(gate(x)) · up(x)).</summary>
    public static MlpLayout Mlp(string up, string down, string? gate = null) => new()
    {
        Up = new() { Module = up, Parts = 1 }, Down = down, Gate = gate is null ? null : new() { Module = gate, Parts = 1 },
    };

    /// <summary>A gated mlp with gate and up in one linear layer, in this order.</summary>
    public static MlpLayout GateUp(string gateUp, string down) => new()
    {
        Gate = new() { Module = gateUp, Parts = 2 }, Up = new() { Module = gateUp, Part = 1, Parts = 2 }, Down = down,
    };

    /// <summary>The mlp reads the residual stream after attention.</summary>
    /// <param name="attention">The module whose output attention adds; <paramref name="mlp"/> that of the mlp.</param>
    /// <param name="operation">The operation of the layer's forward that adds attention's.</param>
    /// <param name="scale">The factor of both.</param>
    public static ResidualLayout Sequential(string attention, string mlp, string operation = "add_0", double? scale = null) => new()
    {
        Kind = ResidualKind.Sequential, Attention = attention, Mlp = mlp, MidOperation = operation, Scale = scale ?? 0,
    };

    /// <summary>Attention and mlp read the same residual stream.</summary>
    public static ResidualLayout Parallel(string attention, string mlp) =>
        new() { Kind = ResidualKind.Parallel, Attention = attention, Mlp = mlp };

    /// <summary>The residual stream is normalized after each addition.</summary>
    /// <param name="module">The module that returns the stream after attention.</param>
    /// <param name="attention">The module whose output attention adds; <paramref name="mlp"/> that of the mlp.</param>
    public static ResidualLayout Normalized(string module, string attention, string mlp) =>
        new() { Kind = ResidualKind.Normalized, MidModule = module, Attention = attention, Mlp = mlp };
}
