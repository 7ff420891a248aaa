namespace Ndif.Tokenizers.Models;

/// <summary>Whole words or nothing.</summary>
internal sealed class WordLevel(Vocabulary vocabulary, string unknownToken, string part) : IModel
{
    readonly int? _unknown = vocabulary.IdOf(unknownToken);

    public Vocabulary Vocabulary => vocabulary;

    public void Tokenize(ReadOnlySpan<char> word, int start, List<Piece> pieces) =>
        pieces.Add(new Piece(vocabulary.IdOf(word) ?? _unknown ?? throw Unknown(part, word, unknownToken), start, start + word.Length));

    /// <summary>For models whose file names an unknown token that it does not hold.</summary>
    internal static TokenizerFormatException Unknown(string part, ReadOnlySpan<char> word, string? unknownToken) =>
        new(part, $"'{word}' is not in the vocabulary, and neither is " +
            (unknownToken is null ? "a token for unknown words" : $"the unknown token '{unknownToken}'"));
}
