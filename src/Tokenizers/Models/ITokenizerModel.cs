using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Models;

/// <summary>A token and the chars of the text that it stands for.</summary>
internal readonly record struct TokenSpan(int Id, int Start, int End);

/// <summary>The third stage: a word to ids.</summary>
internal interface ITokenizerModel
{
    Vocabulary Vocabulary { get; }

    /// <summary>Appends the word's tokens; <paramref name="start"/> is where the word is in its text.</summary>
    void Tokenize(ReadOnlySpan<char> word, int start, List<TokenSpan> tokens);
}
