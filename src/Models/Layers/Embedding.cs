using System.Globalization;
using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>
/// Rows of a table [entries, hidden] by id; in some models multiplied by the square root of a hidden size, rounded to the dtype of the
/// table, or by a number that is not rounded.
/// </summary>
/// <remarks>
/// torch/nn/modules/sparse.py; GemmaTextScaledWordEmbedding in transformers/models/gemma/modeling_gemma.py and its copies in gemma2 and
/// gemma3; BartScaledWordEmbedding in transformers/models/bart/modeling_bart.py and its copies
/// </remarks>
[SharedLayer]
public sealed partial class Embedding : TensorModule
{
    private readonly int _numEmbeddings, _embeddingDim;
    private readonly int? _paddingIdx;
    private readonly bool _isScaled;
    private readonly int _scaleSize;
    private readonly double? _factor;

    /// <param name="paddingIdx">The padding id, which is only printed: its row is an ordinary one in evaluation. -1 is the last.</param>
    /// <param name="className">The class name in Hugging Face's code, if the model has its own class.</param>
    /// <param name="isScaled">Whether rows are multiplied by the square root of a hidden size.</param>
    /// <param name="scaleSize">This hidden size, if it is not that of a row.</param>
    /// <param name="factor">Another factor of the rows; null for none.</param>
    /// <param name="tiedTable">The table of another module, used here too.</param>
    public Embedding(int numEmbeddings, int embeddingDim, int? paddingIdx = null, string className = "Embedding", bool isScaled = false,
        int? scaleSize = null, double? factor = null, Parameter? tiedTable = null)
    {
        (ClassName, _isScaled, _scaleSize, _factor) = (className, isScaled, scaleSize ?? embeddingDim, factor);
        (_numEmbeddings, _embeddingDim) = (numEmbeddings, embeddingDim);
        _paddingIdx = paddingIdx < 0 ? paddingIdx + numEmbeddings : paddingIdx;
        Table = tiedTable is null ? Weight("weight", numEmbeddings, embeddingDim) : Tie(tiedTable);
    }

    public override string ClassName { get; }

    /// <summary>[entries, hidden]</summary>
    public Parameter Table { get; }

    public override string ExtraRepr => string.Create(CultureInfo.InvariantCulture,
        $"{_numEmbeddings}, {_embeddingDim}{(_paddingIdx is { } id ? $", padding_idx={id}" : "")}");

    /// <summary>
    /// Checks ids that a program sets: an index of libtorch would count negative ones from the end of the table, which PyTorch's embedding
    /// refuses.
    /// </summary>
    /// <exception cref="IndexOutOfRangeException">INDEX_OUT_OF_RANGE: an id is negative.</exception>
    internal void CheckIds(Arguments arguments)
    {
        Tensor ids = arguments.Tensor(0);
        if (ids.device_type == TorchSharp.DeviceType.META || ids.dtype == ScalarType.Bool || ids.numel() == 0) return;
        using var scope = NewDisposeScope();
        long id = ids.min().to(ScalarType.Int64).item<long>();
        if (id < 0)
            throw Errors.CreateException(Protocol.ErrorCode.IndexOutOfRange,
                $"index {id} is out of bounds for dimension 0 with size {_numEmbeddings}, in the call of `{Path}`",
                "An id counts from 0.", Path);
    }

    /// <param name="input">[batch, seq] int64</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (!_isScaled && _factor is null) return Table.Value.index(TensorIndex.Tensor(input));
        using var scope = NewDisposeScope();
        if (_factor is not null) return (Table.Value.index(TensorIndex.Tensor(input)) * _factor.Value).MoveToOuterDisposeScope();
        Tensor scale = tensor((float)Math.Sqrt(_scaleSize), Table.Value.dtype, Table.Value.device);     // []
        return (Table.Value.index(TensorIndex.Tensor(input)) * scale).MoveToOuterDisposeScope();
    }
}
