using Ndif.Models.ForwardSource;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>A table of positions whose first two rows belong to none.</summary>
/// <remarks>OPTLearnedPositionalEmbedding in transformers/models/opt/modeling_opt.py and its copies</remarks>
[SharedLayer]
public sealed partial class OPTLearnedPositionalEmbedding : SiteModule
{
    private const int Offset = 2;
    private readonly Parameter _weight; // [maxPositions + 2, hidden]

    /// <param name="className">The class name in Hugging Face's code, if the model has its own class.</param>
    internal OPTLearnedPositionalEmbedding(int positions, int hiddenSize, string className = "OPTLearnedPositionalEmbedding")
    {
        ClassName = className;
        ExtraRepr = FormattableString.Invariant($"{positions + Offset}, {hiddenSize}");
        _weight = Weight("weight", positions + Offset, hiddenSize);
    }

    public override string ClassName { get; }

    public override string ExtraRepr { get; }

    public override bool ReturnsTensor => true;

    public override Axes InputAxes(string argument) => argument is "0" or "attention_mask" ? new Axes(0, Axes.None, 1) : Axes.Hidden;

    /// <param name="attentionMask">[batch, kvSeq], of which Hugging Face's code counts positions where it is given none.</param>
    /// <param name="cached">Tokens in the cache.</param>
    /// <param name="positionIds">[batch, seq] int64</param>
    /// <returns>[batch, seq, hidden]</returns>
    public Tensor Call(Tensor attentionMask, long cached, Tensor positionIds) => Hook is { } observer
        ? CallHooked<Tensor>(observer, new Arguments([attentionMask, cached], [new("position_ids", positionIds)]))
        : Forward(positionIds);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(2, "position_ids"));

    private Tensor Forward(Tensor positionIds) => _weight.Value.index(TensorIndex.Tensor(positionIds + Offset));
}
