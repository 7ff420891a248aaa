using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>The logits of the experts of each token, computed in float32; the block chooses from them.</summary>
/// <remarks>DeepseekV3TopkRouter in transformers/models/deepseek_v3/modeling_deepseek_v3.py; Hugging Face has one copy per model.</remarks>
public sealed partial class LinearRouter : TensorModule
{
    private readonly Parameter _weight; // [experts, hidden]

    /// <param name="className">The class name in Hugging Face's code of the model: "DeepseekV3TopkRouter".</param>
    /// <param name="hasCorrectionBias">Whether checkpoints have a bias for the choice of the experts.</param>
    public LinearRouter(string className, int numExperts, int hiddenSize, bool hasCorrectionBias)
    {
        ClassName = className;
        _weight = Weight("weight", numExperts, hiddenSize);
        if (hasCorrectionBias) CorrectionBias = Buffer("e_score_correction_bias", numExperts);
    }

    public override string ClassName { get; }

    /// <summary>[experts]; null if the model has none.</summary>
    internal Parameter? CorrectionBias { get; }

    public override Axes OutputAxes(int element) => Axes.Flat;

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch · seq, experts] float32</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor flat = input.reshape(-1, input.size(-1)).to(ScalarType.Float32);                             // [batch · seq, hidden]
        return nn.functional.linear(flat, _weight.Value.to(ScalarType.Float32)).MoveToOuterDisposeScope();  // [batch · seq, experts]
    }
}
