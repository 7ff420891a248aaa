using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Models;

/// <summary>The third stage of encoding: a model converts a word to tokens.</summary>
internal interface ITokenizerModel
{
    Vocabulary Vocabulary { get; }

    /// <summary>Appends the tokens of a word.</summary>
    /// <param name="word">The word.</param>
    /// <param name="start">The start of the word in its text; the spans of the tokens are relative to the text.</param>
    /// <param name="tokens">The list to append to.</param>
    void Tokenize(ReadOnlySpan<char> word, int start, List<TokenSpan> tokens);
}
