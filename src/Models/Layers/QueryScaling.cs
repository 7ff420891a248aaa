using Ndif.Models.Config;
using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Queries grow with the logarithm of their position, in steps of the context length before scaling.</summary>
/// <remarks>get_llama_4_attn_scale in transformers/models/ministral3/modeling_ministral3.py</remarks>
/// <param name="Beta">llama_4_scaling_beta</param>
/// <param name="OriginalMaxPositions">original_max_position_embeddings, in tokens.</param>
public sealed partial record QueryScaling(double Beta, int OriginalMaxPositions)
{
    /// <summary>Reads rope_parameters; null if the file has no such scaling.</summary>
    public static QueryScaling? Read(RopeParameters rope) => rope.Values is { } values && values.Has("llama_4_scaling_beta")
        ? new QueryScaling(values.Real("llama_4_scaling_beta"), values.Size("original_max_position_embeddings")) : null;

    /// <summary>1 + beta · ln(1 + floor(position / originalMaxPositions))</summary>
    /// <param name="positionIds">[batch, seq] int64</param>
    /// <returns>[batch, 1, seq, 1]</returns>
    [Operation("get_llama_4_attn_scale")]
    public Tensor At(Tensor positionIds, ScalarType dtype)
    {
        Tensor steps = positionIds.div(OriginalMaxPositions, RoundingMode.floor).to(ScalarType.Float32);  // [batch, seq]
        return (1 + Beta * log(1 + steps)).to(dtype).unsqueeze(1).unsqueeze(-1);
    }
}
