using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>Alternating updates: the residual streams are mixed by coefficients that a router computes from the active one.</summary>
/// <remarks>
/// Gemma3nTextAltUp in transformers/models/gemma3n/modeling_gemma3n.py, whose methods the layer calls instead of the module; Baykal et al.,
/// Alternating Updates for Efficient Transformers, 2023. altup_coef_clip limits weights in training only.
/// </remarks>
public sealed partial class Gemma3nTextAltUp : TensorModule
{
    private readonly int _numInputs, _active;
    private readonly double _routerScale;
    private readonly Parameter _correctOutputScale; // [hidden]
    private readonly Linear _correctionCoefs, _predictionCoefs, _modalityRouter;
    private readonly RMSNorm _routerNorm;

    internal Gemma3nTextAltUp(Gemma3nTextConfig config)
    {
        (_numInputs, _active, _routerScale) = (config.NumInputs, config.ActiveInput, 1.0 / config.HiddenSize);
        _correctOutputScale = Weight("correct_output_scale", config.HiddenSize);
        _correctionCoefs = Child("correction_coefs", new Linear(_numInputs, _numInputs, bias: false));
        _predictionCoefs = Child("prediction_coefs", new Linear(_numInputs, _numInputs * _numInputs, bias: false));
        _modalityRouter = Child("modality_router", new Linear(config.HiddenSize, _numInputs, bias: false));
        _routerNorm = Child("router_norm", config.CreateNorm(config.HiddenSize));
    }

    /// <param name="hidden">[inputs, batch, seq, hidden]</param>
    /// <returns>[inputs, batch, seq, hidden]</returns>
    internal Tensor Predict(Tensor hidden)
    {
        (long batch, long seqLen, long size) = (hidden.size(1), hidden.size(2), hidden.size(3));
        Tensor coefs = _predictionCoefs.Call(RouterModalities(hidden[_active]));                    // [batch, seq, inputs · inputs]
        Tensor mixing = coefs.reshape(-1, _numInputs, _numInputs).transpose(1, 2);                  // [batch · seq, inputs, inputs]
        Tensor streams = hidden.permute(1, 2, 3, 0).reshape(-1, size, _numInputs);                  // [batch · seq, hidden, inputs]
        Tensor mixed = bmm(streams, mixing).view(batch, seqLen, size, _numInputs);                  // [batch, seq, hidden, inputs]
        return (mixed.permute(3, 0, 1, 2) + hidden).contiguous();
    }

    /// <param name="predictions">[inputs, batch, seq, hidden]</param>
    /// <param name="activated">[batch, seq, hidden]</param>
    /// <returns>[inputs, batch, seq, hidden]</returns>
    internal Tensor Correct(Tensor predictions, Tensor activated)
    {
        Tensor coefs = _correctionCoefs.Call(RouterModalities(activated)) + 1.0;                    // [batch, seq, inputs]
        Tensor innovation = activated - predictions[_active];                                       // [batch, seq, hidden]
        return innovation.unsqueeze(0) * coefs.permute(2, 0, 1).unsqueeze(-1) + predictions;
    }

    /// <param name="corrected">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    internal Tensor ScaleCorrectedOutput(Tensor corrected) => Forward(corrected);

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input) => input * _correctOutputScale.Value;

    /// <param name="hidden">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, inputs]</returns>
    private Tensor RouterModalities(Tensor hidden)
    {
        Tensor routed = _modalityRouter.Call(_routerNorm.Call(hidden) * _routerScale);              // [batch, seq, inputs]
        return routed.to(ScalarType.Float32).tanh().to(hidden.dtype);
    }
}

/// <summary>A learned residual of low rank.</summary>
public sealed partial class Gemma3nTextLaurelBlock : TensorModule
{
    private readonly Linear _linearLeft, _linearRight;
    private readonly RMSNorm _postLaurelNorm;

    internal Gemma3nTextLaurelBlock(Gemma3nTextConfig config)
    {
        _linearLeft = Child("linear_left", new Linear(config.HiddenSize, config.LaurelRank, bias: false));
        _linearRight = Child("linear_right", new Linear(config.LaurelRank, config.HiddenSize, bias: false));
        _postLaurelNorm = Child("post_laurel_norm", config.CreateNorm(config.HiddenSize));
    }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor change = _linearRight.Call(_linearLeft.Call(input));                                 // [batch, seq, hidden]
        return (input + _postLaurelNorm.Call(change)).MoveToOuterDisposeScope();
    }
}
