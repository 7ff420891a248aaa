using Ndif.Models.Config;
using Ndif.Protocol;

namespace Ndif.Models.Layers;

/// <summary>What an encoder is made of, as its config.json and its family say.</summary>
/// <param name="Json">The config, for what a module reads itself.</param>
/// <param name="Family">The prefix of the class names: "Roberta".</param>
/// <param name="Prefix">The name of the encoder in a model with a head: "roberta".</param>
internal sealed record EncoderDescription(ConfigReader Json, string Family, string Prefix)
{
    public required int VocabSize { get; init; }

    public required int HiddenSize { get; init; }

    public required int IntermediateSize { get; init; }

    public required int NumLayers { get; init; }

    public required int NumHeads { get; init; }

    /// <summary>The rows of the table of positions, if there is one.</summary>
    public required int MaxPositions { get; init; }

    public required double NormEps { get; init; }

    public required int? PadTokenId { get; init; }

    /// <summary>The size of an embedding, which some models project to the hidden size.</summary>
    public int EmbeddingSize { get => field == 0 ? HiddenSize : field; init; }

    /// <summary>The number of types of tokens.</summary>
    public int TypeVocabSize { get; init; }

    /// <summary>The row of the table of positions that the first token has.</summary>
    public int FirstPosition { get; init; }

    public bool HasPositionTable { get; init; } = true;

    /// <summary>Whether the encoder has a pooler, which a classifier of texts reads.</summary>
    public bool HasPooler { get; init; }

    /// <summary>Whether the table of positions comes last among the embeddings, as in RoBERTa.</summary>
    public bool HasPositionsLast { get; init; }

    /// <summary>The names of the modules in a tree of the encoder alone.</summary>
    public StandardNames Names { get; init; } = new()
    {
        Embed = "embeddings.word_embeddings", Layers = "encoder.layer", FinalNorm = "", LmHead = "", Attention = "attention", Mlp = "",
    };

    /// <summary>The modules beside the encoder, or the pooler, that a checkpoint may have and a model with another head has not.</summary>
    public IReadOnlyList<string> Heads { get; init; } = [];

    public int HeadDim => HiddenSize / NumHeads;

    /// <summary>The longest row.</summary>
    public int ContextLength => MaxPositions - FirstPosition;

    public double HiddenDropout => Json.Real("hidden_dropout_prob", 0.1);

    /// <summary>The dropout before a classifier.</summary>
    public double ClassifierDropout => Json.Real("classifier_dropout", HiddenDropout);

    public bool IsTied => Json.Flag("tie_word_embeddings", true);

    /// <summary>The description of an encoder whose config has BERT's keys.</summary>
    /// <param name="defaults">The defaults of the family for sizes.</param>
    public static EncoderDescription Read(ConfigReader json, string family, string prefix, EncoderDefaults defaults)
    {
        int hiddenSize = json.Size("hidden_size", defaults.HiddenSize), numHeads = json.Size("num_attention_heads", defaults.NumHeads);
        CheckHeads(json, "hidden_size", hiddenSize, "num_attention_heads", numHeads);
        if (json.Text("position_embedding_type", "absolute") is not "absolute" and var kind)
            throw json.InvalidValue("position_embedding_type", "must be absolute: each position has a row of a table", $"`{kind}`");
        json.RequireFalse("is_decoder", "tokens see those before and after them");
        json.RequireFalse("add_cross_attention", "only encoders are supported");
        return new EncoderDescription(json, family, prefix)
        {
            VocabSize = json.Size("vocab_size", defaults.VocabSize), HiddenSize = hiddenSize, NumHeads = numHeads,
            IntermediateSize = json.Size("intermediate_size", defaults.IntermediateSize),
            NumLayers = json.Size("num_hidden_layers", defaults.NumLayers),
            MaxPositions = json.Size("max_position_embeddings", defaults.MaxPositions),
            NormEps = json.Real("layer_norm_eps", defaults.NormEps),
            TypeVocabSize = json.Count("type_vocab_size", defaults.TypeVocabSize),
            PadTokenId = PadToken(json, defaults.PadTokenId),
        };
    }

    /// <summary>The token of the padding, whose row in a table is printed.</summary>
    public static int? PadToken(ConfigReader json, int defaultId) =>
        json.IsNull("pad_token_id") ? null : (int)json.Integer("pad_token_id", defaultId);

    public static void CheckHeads(ConfigReader json, string sizeKey, int size, string headsKey, int heads)
    {
        if (size % heads != 0) throw json.InvalidValue(sizeKey, $"must be a multiple of {headsKey}, {heads}", $"{size}");
    }

    /// <summary>The name of a tensor in a checkpoint of the encoder alone.</summary>
    public string WithoutPrefix(string tensorName) =>
        tensorName.StartsWith(Prefix + ".", StringComparison.Ordinal) ? tensorName[(Prefix.Length + 1)..] : tensorName;
}

/// <summary>The sizes of an encoder whose config.json does not say them.</summary>
internal sealed record EncoderDefaults
{
    public int VocabSize { get; init; } = 30522;

    public int HiddenSize { get; init; } = 768;

    public int IntermediateSize { get; init; } = 3072;

    public int NumLayers { get; init; } = 12;

    public int NumHeads { get; init; } = 12;

    public int MaxPositions { get; init; } = 512;

    public int TypeVocabSize { get; init; } = 2;

    public int PadTokenId { get; init; }

    public double NormEps { get; init; } = 1e-12;
}
