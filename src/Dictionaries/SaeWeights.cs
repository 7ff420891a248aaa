using Ndif.Protocol;

namespace Ndif.Dictionaries;

/// <summary>The weights of a dictionary in the element type of its config, checked, with the factors that are constant folded in.</summary>
internal sealed class SaeWeights
{
    private readonly SaeConfig _config;
    private readonly IReadOnlyDictionary<string, TensorData> _tensors;
    private readonly string _source;

    public SaeWeights(SaeConfig config, IReadOnlyDictionary<string, TensorData> tensors, string source)
    {
        (_config, _tensors, _source) = (config, tensors, source);
        CheckConfig();
        long inputs = config.InputSize, features = config.Features, outputs = config.OutputSize;
        TensorData encoder = Read("W_enc", inputs, features), decoder = Read("W_dec", features, outputs), bias = Read("b_dec", outputs);
        if (config is { Normalization: SaeNormalization.ExpectedAverageOnlyIn, NormScalingFactor: { } factor })
            (encoder, decoder, bias) = (encoder * factor, decoder / factor, bias / factor); // fold_activation_norm_scaling_factor
        (Encoder, Decoder, DecoderBias) = (encoder, decoder, bias);
        if (config.Activation is SaeActivation.Gated)
        {
            (GateBias, MagnitudeBias) = (Read("b_gate", features), Read("b_mag", features));
            MagnitudeScale = Map(Read("r_mag", features), Math.Exp);
        }
        else
        {
            EncoderBias = Read("b_enc", features);
        }
        if (config.Activation is SaeActivation.JumpRelu) Threshold = ReadThreshold(features);
        if (config.HasSkip) Skip = Convert(Transpose(Read("W_skip", outputs, inputs)));
        if (config.RescalesByDecoderNorm) DecoderNorms = Convert(decoder.To(DType.Float32).Norm(dim: 1));
        DecoderScale = ReadScale(features);
    }

    /// <summary>The tensors as they were given.</summary>
    public IReadOnlyDictionary<string, TensorData> Given => _tensors;

    /// <summary>[inputs, features]</summary>
    public TensorData Encoder { get; }

    /// <summary>[features]; null for a gated encoder.</summary>
    public TensorData? EncoderBias { get; }

    /// <summary>[features, outputs]</summary>
    public TensorData Decoder { get; }

    /// <summary>[outputs]</summary>
    public TensorData DecoderBias { get; }

    /// <summary>[features], of a jump ReLU.</summary>
    public TensorData? Threshold { get; }

    /// <summary>[features], of a gated encoder.</summary>
    public TensorData? GateBias { get; }

    /// <summary>[features], of a gated encoder.</summary>
    public TensorData? MagnitudeBias { get; }

    /// <summary>[features], of a gated encoder: e to the power of r_mag.</summary>
    public TensorData? MagnitudeScale { get; }

    /// <summary>[inputs, outputs]</summary>
    public TensorData? Skip { get; }

    /// <summary>[features], if pre-activations are multiplied by them.</summary>
    public TensorData? DecoderNorms { get; }

    /// <summary>[features], by which activations are multiplied before they are decoded; null for 1.</summary>
    public TensorData? DecoderScale { get; }

    /// <summary>Rows of the decoder, times the factor of their activations. [count, outputs] float32</summary>
    public TensorData DecoderRows(IReadOnlyList<int> features)
    {
        ReadOnlySpan<float> decoder = Floats(Decoder);
        float[]? scale = DecoderScale?.ToArray<float>();
        var rows = new float[features.Count * _config.OutputSize];
        for (int row = 0; row < features.Count; row++)
            for (int i = 0; i < _config.OutputSize; i++)
                rows[row * _config.OutputSize + i] = decoder[features[row] * _config.OutputSize + i] * (scale?[features[row]] ?? 1);
        return TensorData.FromArray(rows, features.Count, _config.OutputSize);
    }

    /// <summary>The direction of the input that each feature's pre-activation reads. [count, inputs] float32</summary>
    public TensorData EncoderColumns(IReadOnlyList<int> features)
    {
        ReadOnlySpan<float> encoder = Floats(Encoder);
        float[]? scale = (DecoderNorms ?? MagnitudeScale)?.ToArray<float>();
        var columns = new float[features.Count * _config.InputSize];
        for (int row = 0; row < features.Count; row++)
            for (int i = 0; i < _config.InputSize; i++)
                columns[row * _config.InputSize + i] = encoder[i * _config.Features + features[row]] * (scale?[features[row]] ?? 1);
        return TensorData.FromArray(columns, features.Count, _config.InputSize);
    }

    private static ReadOnlySpan<float> Floats(TensorData tensor) =>
        tensor.Type is DType.Float32 ? tensor.Span<float>() : tensor.ToArray<float>();

    private void CheckConfig()
    {
        if (_config is { InputSize: < 1 } or { Features: < 1 } or { OutputSize: < 1 })
            throw Bad($"has d_in {_config.InputSize}, d_sae {_config.Features} and d_out {_config.OutputSize}; each is at least 1");
        if (!_config.IsTranscoder && _config.InputSize != _config.OutputSize)
            throw Bad($"is an autoencoder of {_config.InputSize} inputs and {_config.OutputSize} outputs");
        if (_config.Activation is SaeActivation.TopK && (_config.K < 1 || _config.K > _config.Features))
            throw Bad($"keeps the {_config.K} largest of {_config.Features} features: k is from 1 to {_config.Features}");
        if (!_config.Dtype.IsFloatingPoint()) throw Bad($"has the element type {_config.Dtype.TorchName()}, which is not floating point");
        if (_config.NormScalingFactor is { } factor && (!double.IsFinite(factor) || factor <= 0))
            throw Bad($"has the norm_scaling_factor {factor}, which is not a positive number");
        if (_config.Normalization is SaeNormalization.ExpectedAverageOnlyIn && _config.NormScalingFactor is null)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"{_source} was trained on inputs that were multiplied by a constant (expected_average_only_in), and does not say which.",
                "Pass normScalingFactor: SAELens lists it in pretrained_saes.yaml (norm_scaling_factor).");
        if (_config is { Normalization: SaeNormalization.ExpectedAverageOnlyIn, IsTranscoder: true })
            throw Errors.CreateException(ErrorCode.Unsupported,
                $"{_source} is a transcoder with expected_average_only_in, whose output has another factor than its input.");
    }

    private TensorData Read(string name, params ReadOnlySpan<long> shape)
    {
        if (!_tensors.TryGetValue(name, out TensorData? tensor))
            throw Bad($"has no `{name}`",
                $"It has {string.Join(", ", _tensors.Keys.Order(StringComparer.Ordinal).Select(key => $"`{key}`"))}.");
        if (!tensor.Shape.SequenceEqual(shape))
            throw Bad($"has `{name}` with shape {Format(tensor.Shape)}; its config says {Format(shape)}");
        return Convert(tensor);
    }

    /// <summary>
    /// SAELens's is applied beside a ReLU, so that a negative one has no effect. A checkpoint of its training has the logarithm, or one
    /// threshold for all features (batch top-k).
    /// </summary>
    private TensorData ReadThreshold(long features)
    {
        TensorData threshold = _tensors.ContainsKey("log_threshold") ? Map(Read("log_threshold", features), Math.Exp)
            : _tensors.TryGetValue("topk_threshold", out TensorData? common) && common.Count == 1
                ? Convert(TensorData.Full([features], common.ToArray<double>()[0]))
            : Read("threshold", features);
        return _config.IsRectified ? Map(threshold, x => Math.Max(x, 0)) : threshold;
    }

    private TensorData? ReadScale(long features)
    {
        string? name = ((string[])["finetuning_scaling_factor", "scaling_factor"]).FirstOrDefault(_tensors.ContainsKey);
        TensorData? factor = name is null ? null : Read(name, features);
        if (factor is not null && factor.ToArray<double>().All(x => Math.Abs(x - 1) < 1e-5)) factor = null;
        if (DecoderNorms is null) return factor;
        TensorData inverse = Map(DecoderNorms, x => 1 / x);
        return factor is null ? inverse : inverse * factor;
    }

    private TensorData Convert(TensorData tensor) => tensor.To(_config.Dtype);

    private TensorData Map(TensorData tensor, Func<double, double> function) => Convert(
        TensorData.FromArray(Array.ConvertAll(tensor.ToArray<double>(), x => function(x)), tensor.Shape));

    /// <summary>The transpose of a matrix, as float32.</summary>
    public static TensorData Transpose(TensorData matrix)
    {
        int rows = (int)matrix.Shape[0], columns = (int)matrix.Shape[1];
        float[] from = matrix.ToArray<float>(), to = new float[from.Length];
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++)
                to[j * rows + i] = from[i * columns + j];
        return TensorData.FromArray(to, columns, rows);
    }

    private Exception Bad(string what, string hint = "") => Errors.CreateException(ErrorCode.BadCheckpoint, $"{_source} {what}.", hint);

    private static string Format(ReadOnlySpan<long> shape) => $"[{string.Join(", ", shape.ToArray())}]";
}
