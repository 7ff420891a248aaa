using System.Globalization;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Rows of a table [entries, hidden] by id.</summary>
/// <remarks>torch/nn/modules/sparse.py</remarks>
public sealed partial class Embedding : TensorModule
{
    private readonly int _numEmbeddings, _embeddingDim;
    private readonly int? _paddingIdx;

    /// <param name="paddingIdx">The padding id, which is only printed: its row is an ordinary one in evaluation. -1 is the last.</param>
    public Embedding(int numEmbeddings, int embeddingDim, int? paddingIdx = null)
    {
        (_numEmbeddings, _embeddingDim, _paddingIdx) = (numEmbeddings, embeddingDim, paddingIdx < 0 ? paddingIdx + numEmbeddings : paddingIdx);
        Table = Weight("weight", numEmbeddings, embeddingDim);
    }

    /// <summary>[entries, hidden]</summary>
    public Parameter Table { get; }

    public override string ExtraRepr => string.Create(CultureInfo.InvariantCulture,
        $"{_numEmbeddings}, {_embeddingDim}{(_paddingIdx is { } id ? $", padding_idx={id}" : "")}");

    /// <param name="input">[batch, seq] int64</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input) => Table.Value.index(TensorIndex.Tensor(input));
}
