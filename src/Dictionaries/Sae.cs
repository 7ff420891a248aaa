using Ndif.Protocol;

namespace Ndif.Dictionaries;

/// <summary>
/// A sparse autoencoder, or a transcoder: weights, and what is computed with them. As a module of a model
/// (<see cref="SaeExtensions.AttachSae(Envoy, string, string, string, string, double?)"/>) it has the sites <c>encoder</c> (its output is
/// the pre-activations), <c>features</c> (its output is the activations) and <c>decoder</c>.
/// </summary>
/// <remarks>sae_lens/saes in SAELens; circuit_tracer/transcoder in circuit-tracer</remarks>
public sealed class Sae : ModuleDefinition
{
    private const double LayerNormEpsilon = 1e-5;

    private readonly SaeWeights _weights;
    private readonly Layer _encoder, _features, _decoder;

    /// <summary>An autoencoder or transcoder of these weights.</summary>
    /// <param name="weights">
    /// By SAELens's names: W_enc [inputs, features], b_enc [features], W_dec [features, outputs], b_dec [outputs]; threshold [features] of
    /// a jump ReLU; b_gate, b_mag and r_mag [features] in the place of b_enc of a gated encoder; W_skip [outputs, inputs]; scaling_factor
    /// [features] by which activations are multiplied before they are decoded.
    /// </param>
    /// <exception cref="NdifException">BAD_CHECKPOINT: a weight is missing, or has another shape than the config says.</exception>
    public Sae(SaeConfig config, IReadOnlyDictionary<string, TensorData> weights) : this(config, weights, "The dictionary") { }

    internal Sae(SaeConfig config, IReadOnlyDictionary<string, TensorData> weights, string source)
    {
        (Config, _weights) = (config, new SaeWeights(config, weights, source));
        _encoder = Linear("encoder", _weights.Encoder, _weights.EncoderBias is { } bias ? (Value)bias : null);
        _features = Step("features", Activate);
        _decoder = Linear("decoder", _weights.Decoder, _weights.DecoderBias);
    }

    /// <summary>What it computes, and where.</summary>
    public SaeConfig Config { get; }

    internal SaeWeights Weights => _weights;

    /// <summary>
    /// What feature <paramref name="feature"/> adds to the output for each unit of its activation: its row of the decoder, with the factors
    /// of the config. Of an autoencoder that normalizes its input, this is in normalized units. [outputs]
    /// </summary>
    /// <exception cref="IndexOutOfRangeException">There is no such feature.</exception>
    public TensorData GetDirection(int feature) => feature >= 0 && feature < Config.Features ? _weights.DecoderRows([feature])[0]
        : throw Errors.CreateException(
            ErrorCode.IndexOutOfRange, $"There is no feature {feature}: there are {Config.Features}, from 0 on.");

    /// <summary>Writes it in SAELens's layout: cfg.json and sae_weights.safetensors.</summary>
    /// <exception cref="NdifException">UNSUPPORTED: SAELens has no architecture that computes this.</exception>
    public void Save(string folder) => SaeLensFolder.Write(this, folder);

    /// <summary>Records the activations of the features. [..., inputs] to [..., features]</summary>
    public Value Encode(Value input)
    {
        (Value prepared, _) = Prepare(input);
        Value projected = prepared.MatMul(_weights.Encoder);
        return Activate(_weights.EncoderBias is { } bias ? projected + bias : projected);
    }

    /// <summary>Records what the activations of the features stand for. [..., features] to [..., outputs]</summary>
    /// <param name="features">The activations.</param>
    /// <param name="input">The input that was encoded: its normalization is undone, and a skip connection reads it.</param>
    public Value Decode(Value features, Value input) => Finish(Scale(features).MatMul(_weights.Decoder) + _weights.DecoderBias, input,
        Prepare(input).Restore);

    /// <summary>Records what is left of an input: decoded features. [..., inputs] to [..., outputs]</summary>
    public Value Reconstruct(Value input) => Decode(Encode(input), input);

    /// <inheritdoc/>
    protected override string ClassName => Config.IsTranscoder ? "Transcoder" : "SparseAutoencoder";

    /// <inheritdoc/>
    protected override Value Forward(Value input)
    {
        (Value prepared, Func<Value, Value> restore) = Prepare(input);
        Value features = _features.Call(_encoder.Call(prepared));
        return Finish(_decoder.Call(Scale(features)), input, restore);
    }

    /// <summary>The normalized input without the decoder's bias, and what undoes the normalization.</summary>
    private (Value Input, Func<Value, Value> Restore) Prepare(Value input)
    {
        Value x = input.To(Config.Dtype);
        Func<Value, Value> restore = output => output;
        switch (Config.Normalization)
        {
            case SaeNormalization.ConstantNormRescale:
                Value factor = Math.Sqrt(Config.InputSize) / x.Norm(dim: -1, keepdim: true);
                (x, restore) = (x * factor, output => output / factor);
                break;
            case SaeNormalization.LayerNorm:
                Value mean = x.Mean(-1, keepdim: true), centered = x - mean, deviation = centered.Std(-1, keepdim: true);
                (x, restore) = (centered / (deviation + LayerNormEpsilon), output => output * deviation + mean);
                break;
            default: // the factor of ExpectedAverageOnlyIn is part of the weights
                break;
        }
        if (Config.IsTranscoder) restore = output => output; // the output is not the input
        return (Config.AppliesDecoderBiasToInput ? x - _weights.DecoderBias : x, restore);
    }

    /// <summary>The activations of pre-activations. [..., features]</summary>
    private Value Activate(Value x)
    {
        if (_weights.DecoderNorms is { } norms) x *= norms;
        switch (Config.Activation)
        {
            case SaeActivation.Gated:
                Value gate = (x + _weights.GateBias!).Gt(0).To(Config.Dtype);
                return gate * (x * _weights.MagnitudeScale! + _weights.MagnitudeBias!).Relu();
            case SaeActivation.JumpRelu:
                return x * x.Gt(_weights.Threshold!).To(Config.Dtype);
            case SaeActivation.TopK:
                (Value values, Value indices) = x.TopK(Config.K, sorted: false);
                return Op.ZerosLike(x).Scatter(-1, indices, Config.IsRectified ? values.Relu() : values);
            default:
                return x.Relu();
        }
    }

    /// <summary>The activations as the rows of the decoder take them. [..., features]</summary>
    private Value Scale(Value features) => _weights.DecoderScale is { } scale ? features * scale : features;

    private Value Finish(Value decoded, Value input, Func<Value, Value> restore) =>
        restore(_weights.Skip is { } skip ? decoded + input.To(Config.Dtype).MatMul(skip) : decoded);
}
