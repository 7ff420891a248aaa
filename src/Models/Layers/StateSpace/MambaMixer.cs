using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers.StateSpace;

/// <summary>The sizes and options of a Mamba mixer.</summary>
internal sealed record MambaConfig(int HiddenSize, int IntermediateSize, int StateSize, int TimeStepRank, int ConvKernel)
{
    public bool ConvBias { get; init; } = true;

    public bool ProjectionBias { get; init; }

    /// <summary>The eps of norms without weights of time step, B and C; null for none.</summary>
    public double? PlainNormEps { get; init; }

    /// <summary>Creates the norms with weights of time step, B and C; null for none.</summary>
    public Func<int, RMSNorm>? CreateNorm { get; init; }
}

/// <summary>Mamba: a selective state-space model with a decay for each channel and each dimension of the state.</summary>
/// <remarks>
/// MambaMixer in transformers/models/mamba/modeling_mamba.py and its relatives in falcon_mamba and jamba; Gu and Dao, Mamba, 2023
/// </remarks>
[SharedLayer]
public sealed partial class MambaMixer : StateSpaceMixer
{
    private const int ConvolutionState = 0, RecurrentState = 1;

    private readonly MambaConfig _config;
    private readonly double? _plainNormEps;
    private readonly Parameter _aLog; // [intermediate, stateSize]
    private readonly Parameter _d;    // [intermediate]
    private readonly DepthwiseConv1d _conv1d;
    private readonly Activation _act;
    private readonly Linear _inProj, _xProj, _dtProj, _outProj;
    private readonly RMSNorm? _dtLayernorm, _bLayernorm, _cLayernorm;

    internal MambaMixer(string className, int layer, MixerCall call, MambaConfig config, Activation activation) :
        base(className, layer, call)
    {
        (_config, _plainNormEps) = (config, config.PlainNormEps);
        _aLog = Weight("A_log", config.IntermediateSize, config.StateSize);
        _d = Weight("D", config.IntermediateSize);
        _conv1d = Child("conv1d", new DepthwiseConv1d(config.IntermediateSize, config.ConvKernel, config.ConvBias));
        _act = Child("act", activation);
        _act.SetAxes(new Axes(0, 2));
        _inProj = Child("in_proj", new Linear(config.HiddenSize, 2 * config.IntermediateSize, config.ProjectionBias));
        _xProj = Child("x_proj", new Linear(config.IntermediateSize, config.TimeStepRank + 2 * config.StateSize, bias: false));
        _dtProj = Child("dt_proj", new Linear(config.TimeStepRank, config.IntermediateSize));
        _outProj = Child("out_proj", new Linear(config.IntermediateSize, config.HiddenSize, config.ProjectionBias));
        if (config.CreateNorm is null) return;
        _dtLayernorm = Child("dt_layernorm", config.CreateNorm(config.TimeStepRank));
        _bLayernorm = Child("b_layernorm", config.CreateNorm(config.StateSize));
        _cLayernorm = Child("c_layernorm", config.CreateNorm(config.StateSize));
    }

    protected override Tensor Forward(Tensor hidden, KeyValueCache? cache, Tensor? mask)
    {
        using var scope = NewDisposeScope();
        Tensor[] inputAndGate = _inProj.Call(hidden).chunk(2, -1);                              // 2 x [batch, seq, intermediate]
        Tensor mixed = PaddingMask.Apply(inputAndGate[0], mask).transpose(1, 2);                // [batch, intermediate, seq]
        Tensor gate = inputAndGate[1].transpose(1, 2);                                          // [batch, intermediate, seq]
        mixed = _act.Call(CausalConvolution.Apply(_conv1d, mixed, cache, Layer, ConvolutionState)); // [batch, intermediate, seq]
        Tensor x = PaddingMask.Apply(mixed.transpose(1, 2), mask);                              // [batch, seq, intermediate]
        Tensor[] parts = _xProj.Call(x).split([_config.TimeStepRank, _config.StateSize, _config.StateSize], -1);
        Tensor step = parts[0], b = parts[1], c = parts[2];                                     // [batch, seq, timeStepRank or stateSize]
        if (_plainNormEps is not null) step = Norm(step, _plainNormEps.Value);                  // [batch, seq, timeStepRank]
        if (_plainNormEps is not null) b = Norm(b, _plainNormEps.Value);                        // [batch, seq, stateSize]
        if (_plainNormEps is not null) c = Norm(c, _plainNormEps.Value);                        // [batch, seq, stateSize]
        if (_dtLayernorm is not null) step = _dtLayernorm.Call(step);                           // [batch, seq, timeStepRank]
        if (_bLayernorm is not null) b = _bLayernorm.Call(b);                                   // [batch, seq, stateSize]
        if (_cLayernorm is not null) c = _cLayernorm.Call(c);                                   // [batch, seq, stateSize]
        step = nn.functional.softplus(_dtProj.Call(step)).to(ScalarType.Float32);               // [batch, seq, intermediate]
        Tensor a = -_aLog.Value.to(ScalarType.Float32).exp();                                   // [intermediate, stateSize]
        Tensor decay = (step.unsqueeze(-1) * a).exp();                                          // [batch, seq, intermediate, stateSize]
        Tensor precise = x.to(ScalarType.Float32);                                              // [batch, seq, intermediate]
        Tensor input = (step * precise).unsqueeze(-1) * b.to(ScalarType.Float32).unsqueeze(2);  // [batch, seq, intermediate, stateSize]
        Tensor states = StateSpaceScan.Diagonal(decay, input, cache?.State(Layer, RecurrentState)); // [batch, seq, intermediate, stateSize]
        cache?.SetState(Layer, RecurrentState, states.select(1, states.size(1) - 1));
        Tensor scanned = states.to(hidden.dtype).matmul(c.to(hidden.dtype).unsqueeze(-1)).squeeze(-1); // [batch, seq, intermediate]
        Tensor output = scanned + x * _d.Value;                                                 // [batch, seq, intermediate]
        output = output * _act.Call(gate).transpose(1, 2);                                      // [batch, seq, intermediate]
        return _outProj.Call(output.to(hidden.dtype)).MoveToOuterDisposeScope();                // [batch, seq, hidden]
    }

    /// <summary>An RMS norm without a weight.</summary>
    /// <remarks>rms_forward in transformers/models/falcon_mamba/modeling_falcon_mamba.py</remarks>
    [Operation("rms_forward")]
    private static Tensor Norm(Tensor x, double epsilon)
    {
        Tensor precise = x.to(ScalarType.Float32);                                              // [batch, seq, size]
        Tensor variance = precise.square().mean([-1], keepdim: true);                           // [batch, seq, 1]
        return (precise * rsqrt(variance + epsilon)).to(x.dtype);
    }
}
