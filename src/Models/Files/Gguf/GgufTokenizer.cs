using Ndif.Tokenizers;

namespace Ndif.Models.Files.Gguf;

/// <summary>Reads the tokenizer in the metadata of a GGUF file (<see cref="GgufVocabulary"/>).</summary>
internal static class GgufTokenizer
{
    private const string Prefix = "tokenizer.ggml.";

    /// <summary>The files of the tokenizer; none if the file has no tokenizer, or one of an unknown kind.</summary>
    public static IReadOnlyDictionary<string, byte[]> CreateFiles(GgufMetadata metadata)
    {
        if (metadata.Text(Prefix + "model") is not { } model || metadata.Texts(Prefix + "tokens") is not { } tokens)
            return new Dictionary<string, byte[]>();
        GgufVocabulary vocabulary = new()
        {
            Model = model,
            Pre = metadata.Text(Prefix + "pre") ?? "default",
            Tokens = tokens,
            Scores = metadata.Reals(Prefix + "scores") ?? [],
            TokenTypes = [.. (metadata.Reals(Prefix + "token_type") ?? []).Select(type => (int)type)],
            Merges = metadata.Texts(Prefix + "merges") ?? [],
            BosId = Id(metadata, "bos", tokens),
            EosId = Id(metadata, "eos", tokens),
            UnknownId = Id(metadata, "unknown", tokens),
            PadId = Id(metadata, "padding", tokens),
            AddsBos = metadata.Flag(Prefix + "add_bos_token"),
            AddsEos = metadata.Flag(Prefix + "add_eos_token"),
            AddsSpacePrefix = metadata.Flag(Prefix + "add_space_prefix"),
            ChatTemplate = metadata.Text("tokenizer.chat_template"),
        };
        return vocabulary.IsKnown ? vocabulary.ToFiles() : new Dictionary<string, byte[]>();
    }

    private static int? Id(GgufMetadata metadata, string role, List<string> tokens) =>
        metadata.Integer($"{Prefix}{role}_token_id") is { } id && id >= 0 && id < tokens.Count ? (int)id : null;
}
