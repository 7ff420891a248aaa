using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Rotary position embeddings: the cosines and sines of a pass's positions, computed once for all layers.</summary>
/// <remarks>LlamaRotaryEmbedding in transformers/models/llama/modeling_llama.py; Su et al., RoFormer, 2021</remarks>
/// <param name="className">As Hugging Face's model calls its copy: "LlamaRotaryEmbedding".</param>
/// <param name="frequencies">Those of the rotated width.</param>
/// <param name="positional">True where the model passes the positions without their name.</param>
public sealed partial class RotaryEmbedding(string className, RotaryFrequencies frequencies, bool positional = false) : SiteModule
{
    public override string ClassName => className;

    /// <summary>The length up to which a row's frequencies are the same; null if they are so at any length.</summary>
    internal long? KnownLength => frequencies.KnownLength;

    /// <param name="hidden">Only for its dtype and device.</param>
    /// <param name="positionIds">[rows, tokens] int64</param>
    /// <returns>Cosines and sines, each [rows, tokens, width].</returns>
    public object?[] Call(Tensor hidden, Tensor positionIds) => Observer is { } observer
        ? Observed<object?[]>(observer, positional
            ? new Arguments([hidden, positionIds], [])
            : new Arguments([hidden], [new("position_ids", positionIds)]))
        : Forward(hidden, positionIds);

    /// <summary>The same for the models that give the positions as the second argument and not by name: Gemma 2.</summary>
    public object?[] CallInOrder(Tensor hidden, Tensor positionIds) => Observer is { } observer
        ? Observed<object?[]>(observer, new Arguments(hidden, positionIds))
        : Forward(hidden, positionIds);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "x"), arguments.Tensor(1, "position_ids"));

    private object?[] Forward(Tensor hidden, Tensor positionIds)
    {
        using var scope = NewDisposeScope();
        Tensor inverse = frequencies.At(positionIds);                                           // [width/2], or [rows, 1, width/2]
        Tensor angles = positionIds.unsqueeze(-1).to(ScalarType.Float32) * inverse;             // [rows, tokens, width/2]
        Tensor both = cat([angles, angles], -1);                                                // [rows, tokens, width]
        Tensor cosines = (both.cos() * frequencies.Scale).to(hidden.dtype);                     // [rows, tokens, width]
        Tensor sines = (both.sin() * frequencies.Scale).to(hidden.dtype);                       // [rows, tokens, width]
        return [cosines.MoveToOuterDisposeScope(), sines.MoveToOuterDisposeScope()];
    }

    /// <summary>Rotates queries or keys by their positions: x cos + rotate_half(x) sin.</summary>
    /// <param name="x">[rows, heads, tokens, width]</param>
    /// <param name="positions">What <see cref="Call"/> gave: 2 x [rows, tokens, width].</param>
    /// <returns>[rows, heads, tokens, width]</returns>
    [Operation("apply_rotary_pos_emb")]
    public static Tensor Rotate(Tensor x, object?[] positions)
    {
        Tensor cosines = ((Tensor)positions[0]!).unsqueeze(1);                              // [rows, 1, tokens, width]
        Tensor sines = ((Tensor)positions[1]!).unsqueeze(1);                                // [rows, 1, tokens, width]
        Tensor[] halves = x.chunk(2, -1);                                                   // 2 x [rows, heads, tokens, width/2]
        return x * cosines + cat([-halves[1], halves[0]], -1) * sines;
    }
}
