namespace Ndif.Tokenizers.Models;

/// <summary>Whole words or nothing.</summary>
internal sealed class WordLevelModel(Vocabulary vocabulary, string unknownToken, string jsonPath) : ITokenizerModel
{
    readonly int? _unknownId = vocabulary.IdOf(unknownToken);

    public Vocabulary Vocabulary => vocabulary;

    public void Tokenize(ReadOnlySpan<char> word, int start, List<TokenSpan> tokens) =>
        tokens.Add(new TokenSpan(vocabulary.IdOf(word) ?? _unknownId ?? throw UnknownWord(jsonPath, word, unknownToken), start, start + word.Length));

    /// <summary>For models whose file names an unknown token that it does not hold.</summary>
    internal static TokenizerFormatException UnknownWord(string jsonPath, ReadOnlySpan<char> word, string? unknownToken) =>
        new(jsonPath, $"'{word}' is not in the vocabulary, and neither is " +
            (unknownToken is null ? "a token for unknown words" : $"the unknown token '{unknownToken}'"));
}
