using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>
/// Sines and cosines of the positions, which begin at row 2 of a table that is not stored. It has a row for every position.
/// </summary>
/// <remarks>
/// XGLMSinusoidalPositionalEmbedding in transformers/models/xglm/modeling_xglm.py; Vaswani et al., Attention Is All You Need, 2017
/// </remarks>
/// <param name="className">The class name in Hugging Face's code of the model: "XGLMSinusoidalPositionalEmbedding".</param>
/// <param name="paddingIdx">The row that is zero; null for none.</param>
public sealed partial class SinusoidalPositions(string className, int hiddenSize, int? paddingIdx) : SiteModule
{
    private const int Offset = 2;

    public override string ClassName => className;

    public override bool ReturnsTensor => true;

    /// <param name="positionIds">[batch, seq] int64</param>
    /// <param name="cached">Tokens in the cache.</param>
    /// <param name="dtype">The dtype of the result.</param>
    /// <returns>[batch, seq, hidden]</returns>
    public Tensor Call(Tensor positionIds, long cached, ScalarType dtype) => Hook is { } observer
        ? CallHooked<Tensor>(observer, new Arguments(positionIds, cached)).to(dtype)
        : Forward(positionIds).to(dtype);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "position_ids"));

    private Tensor Forward(Tensor positionIds)
    {
        using var scope = NewDisposeScope();
        int half = hiddenSize / 2;
        Tensor rows = positionIds + Offset;                                                         // [batch, seq]
        Tensor exponents = arange(half, ScalarType.Float32, positionIds.device);                    // [half]
        Tensor frequencies = (exponents * (-Math.Log(10000) / (half - 1))).exp();                   // [half]
        Tensor angles = rows.unsqueeze(-1).to(ScalarType.Float32) * frequencies;                    // [batch, seq, half]
        Tensor both = cat([angles.sin(), angles.cos()], -1);                                        // [batch, seq, 2 half]
        if (hiddenSize % 2 == 1) both = nn.functional.pad(both, (0L, 1L));                          // [batch, seq, hidden]
        if (paddingIdx is { } zero) both = both.masked_fill((rows == zero).unsqueeze(-1), 0);       // [batch, seq, hidden]
        return both.MoveToOuterDisposeScope();
    }
}
