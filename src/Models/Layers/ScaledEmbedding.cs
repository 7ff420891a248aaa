using System.Globalization;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Rows of a table [entries, width] by id, times √width, which is rounded to the table's dtype first.</summary>
/// <remarks>GemmaTextScaledWordEmbedding in transformers/models/gemma/modeling_gemma.py and its copies in gemma2 and gemma3</remarks>
public sealed partial class ScaledEmbedding : TensorModule
{
    private readonly int _entries, _width, _padding;

    /// <param name="className">As Hugging Face's model calls its copy: "Gemma2TextScaledWordEmbedding".</param>
    /// <param name="padding">The padding id, which is only printed.</param>
    public ScaledEmbedding(string className, int entries, int width, int padding)
    {
        (ClassName, _entries, _width, _padding) = (className, entries, width, padding < 0 ? padding + entries : padding);
        Table = Weight("weight", entries, width);
    }

    public override string ClassName { get; }

    /// <summary>[entries, width]</summary>
    public Parameter Table { get; }

    public override string ExtraRepr => string.Create(CultureInfo.InvariantCulture, $"{_entries}, {_width}, padding_idx={_padding}");

    /// <param name="input">[rows, tokens] int64</param>
    /// <returns>[rows, tokens, width]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor scale = tensor((float)Math.Sqrt(_width), Table.Value.dtype, Table.Value.device);     // []
        return (Table.Value.index(TensorIndex.Tensor(input)) * scale).MoveToOuterDisposeScope();
    }
}
