namespace Ndif.Tokenizers.Models;

/// <summary>Maps each word to one token; a word that is not in the vocabulary is the unknown token.</summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/models/wordlevel/mod.rs</remarks>
internal sealed class WordLevelModel(Vocabulary vocabulary, string unknownToken, string jsonPath) : ITokenizerModel
{
    private readonly int? _unknownId = vocabulary.IdOf(unknownToken);

    public Vocabulary Vocabulary => vocabulary;

    public void Tokenize(ReadOnlySpan<char> word, int start, List<TokenSpan> tokens)
    {
        int id = vocabulary.IdOf(word) ?? _unknownId ?? throw CreateUnknownWordException(jsonPath, word, unknownToken);
        tokens.Add(new TokenSpan(id, start, start + word.Length));
    }

    /// <summary>Creates the exception for an unknown word of a model whose vocabulary lacks the unknown token.</summary>
    internal static TokenizerFormatException CreateUnknownWordException(
        string jsonPath, ReadOnlySpan<char> word, string? unknownToken) =>
        new(jsonPath, $"'{word}' is not in the vocabulary, and neither is " +
            (unknownToken is null ? "a token for unknown words" : $"the unknown token '{unknownToken}'"));
}
