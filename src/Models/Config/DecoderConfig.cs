namespace Ndif.Models.Config;

/// <summary>The values that an architecture's configuration class in transformers has for keys that config.json leaves out.</summary>
/// <remarks>src/transformers/models/NAME/configuration_NAME.py; each architecture's record names its file.</remarks>
public sealed record DecoderDefaults
{
    public required int VocabSize { get; init; }

    public required int MaxPositions { get; init; }

    public required int HiddenSize { get; init; }

    public required int IntermediateSize { get; init; }

    public required int NumLayers { get; init; }

    public required int NumHeads { get; init; }

    /// <summary>Null for the number of query heads.</summary>
    public int? NumKvHeads { get; init; }

    /// <summary>Null: the hidden size divided by the number of heads.</summary>
    public int? HeadDim { get; init; }

    /// <summary>The key of <see cref="DecoderConfig.NormEps"/>.</summary>
    public string NormEpsKey { get; init; } = "rms_norm_eps";

    public double NormEps { get; init; } = 1e-6;

    public double RopeTheta { get; init; } = 10000;

    public double PartialRotaryFactor { get; init; } = 1;

    public bool TieWordEmbeddings { get; init; }

    public int? PadTokenId { get; init; }
}

/// <summary>
/// The config.json of a decoder, under the keys that most architectures share. An architecture with keys of its own derives from
/// it.
/// </summary>
public record DecoderConfig
{
    public DecoderConfig(ConfigReader json, DecoderDefaults defaults)
    {
        Json = json;
        HiddenSize = json.Size("hidden_size", defaults.HiddenSize);
        NumHeads = json.Size("num_attention_heads", defaults.NumHeads);
        NumKvHeads = json.NumKvHeads(NumHeads, defaults.NumKvHeads ?? NumHeads);
        if (defaults.HeadDim is null && !json.Has("head_dim") && HiddenSize % NumHeads != 0)
            throw json.InvalidValue("hidden_size", $"must be a multiple of num_attention_heads, {NumHeads}", $"{HiddenSize}");
        VocabSize = json.Size("vocab_size", defaults.VocabSize);
        MaxPositions = json.Size("max_position_embeddings", defaults.MaxPositions);
        IntermediateSize = json.Size("intermediate_size", defaults.IntermediateSize);
        NumLayers = json.Size("num_hidden_layers", defaults.NumLayers);
        HeadDim = json.Size("head_dim", defaults.HeadDim ?? HiddenSize / NumHeads);
        NormEps = json.Real(defaults.NormEpsKey, defaults.NormEps);
        RopeParameters = RopeParameters.Read(json, theta: defaults.RopeTheta, partialRotaryFactor: defaults.PartialRotaryFactor);
        TieWordEmbeddings = json.Flag("tie_word_embeddings", defaults.TieWordEmbeddings);
        PadTokenId = json.Has("pad_token_id") ? (int)json.Integer("pad_token_id")
            : json.Keys.Contains("pad_token_id") ? null : defaults.PadTokenId;
    }

    /// <summary>The file, for keys that are read where they are used.</summary>
    public ConfigReader Json { get; }

    /// <summary>vocab_size</summary>
    public int VocabSize { get; }

    /// <summary>max_position_embeddings</summary>
    public int MaxPositions { get; }

    /// <summary>hidden_size</summary>
    public int HiddenSize { get; }

    /// <summary>intermediate_size, of the mlp</summary>
    public int IntermediateSize { get; }

    /// <summary>num_hidden_layers</summary>
    public int NumLayers { get; }

    /// <summary>num_attention_heads</summary>
    public int NumHeads { get; }

    /// <summary>num_key_value_heads; each serves NumHeads / NumKvHeads query heads.</summary>
    public int NumKvHeads { get; }

    /// <summary>head_dim</summary>
    public int HeadDim { get; }

    /// <summary>rms_norm_eps, layer_norm_eps or norm_epsilon</summary>
    public double NormEps { get; }

    /// <summary>rope_parameters, or rope_theta and rope_scaling</summary>
    public RopeParameters RopeParameters { get; init; }

    /// <summary>tie_word_embeddings: the head has the embedding's weight.</summary>
    public bool TieWordEmbeddings { get; }

    /// <summary>pad_token_id, which is only printed.</summary>
    public int? PadTokenId { get; init; }

    /// <summary>The dimensions of a head that positions rotate, where that is a part of it.</summary>
    public int RotaryDim => (int)(HeadDim * RopeParameters.PartialRotaryFactor);
}
