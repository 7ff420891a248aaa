using System.Globalization;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Rows of a table [entries, hidden] by id, times √width, which is rounded to the table's dtype first.</summary>
/// <remarks>GemmaTextScaledWordEmbedding in transformers/models/gemma/modeling_gemma.py and its copies in gemma2 and gemma3</remarks>
public sealed partial class ScaledEmbedding : TensorModule
{
    private readonly int _numEmbeddings, _embeddingDim, _paddingIdx;

    /// <param name="className">As Hugging Face's model calls its copy: "Gemma2TextScaledWordEmbedding".</param>
    /// <param name="paddingIdx">The padding id, which is only printed.</param>
    public ScaledEmbedding(string className, int numEmbeddings, int embeddingDim, int paddingIdx)
    {
        (ClassName, _numEmbeddings, _embeddingDim, _paddingIdx) = (className, numEmbeddings, embeddingDim, paddingIdx < 0 ? paddingIdx + numEmbeddings : paddingIdx);
        Table = Weight("weight", numEmbeddings, embeddingDim);
    }

    public override string ClassName { get; }

    /// <summary>[entries, hidden]</summary>
    public Parameter Table { get; }

    public override string ExtraRepr => string.Create(CultureInfo.InvariantCulture, $"{_numEmbeddings}, {_embeddingDim}, padding_idx={_paddingIdx}");

    /// <param name="input">[batch, seq] int64</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor scale = tensor((float)Math.Sqrt(_embeddingDim), Table.Value.dtype, Table.Value.device);     // []
        return (Table.Value.index(TensorIndex.Tensor(input)) * scale).MoveToOuterDisposeScope();
    }
}
