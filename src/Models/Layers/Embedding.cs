using System.Globalization;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Rows of a table [entries, width] by id.</summary>
/// <remarks>torch/nn/modules/sparse.py</remarks>
public sealed partial class Embedding : TensorModule
{
    private readonly int _entries, _width;
    private readonly int? _padding;

    /// <param name="padding">The padding id, which is only printed: its row is an ordinary one in evaluation. -1 is the last.</param>
    public Embedding(int entries, int width, int? padding = null)
    {
        (_entries, _width, _padding) = (entries, width, padding < 0 ? padding + entries : padding);
        Table = Weight("weight", entries, width);
    }

    /// <summary>[entries, width]</summary>
    public Parameter Table { get; }

    public override string ExtraRepr => string.Create(CultureInfo.InvariantCulture,
        $"{_entries}, {_width}{(_padding is { } id ? $", padding_idx={id}" : "")}");

    /// <param name="input">[rows, tokens] int64</param>
    /// <returns>[rows, tokens, width]</returns>
    protected override Tensor Forward(Tensor input) => Table.Value.index(TensorIndex.Tensor(input));
}
