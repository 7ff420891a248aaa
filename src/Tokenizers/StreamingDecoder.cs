using Ndif.Tokenizers.Decoders;

namespace Ndif.Tokenizers;

/// <summary>
/// Decodes token ids one at a time. It withholds text that later tokens can still change, such as the first bytes of a character
/// that several tokens spell. The concatenation of all results of <see cref="Add"/> and <see cref="Finish"/> equals
/// <see cref="HuggingFaceTokenizer.Decode(IEnumerable{int}, bool)"/> of all ids.
/// </summary>
/// <remarks>
/// An instance is not thread-safe. The counterpart of <c>DecodeStream</c> in huggingface/tokenizers,
/// <c>tokenizers/src/tokenizer/mod.rs</c>.
/// </remarks>
public sealed class StreamingDecoder
{
    /// <summary>
    /// The number of pending tokens after which text is emitted even if it is incomplete. A character has at most four bytes and
    /// so at most four tokens: bytes that are not valid text after sixteen tokens never become valid.
    /// </summary>
    private const int MaxPendingTokens = 16;

    private readonly TokenizerPipeline _pipeline;
    private readonly bool _skipSpecialTokens;

    // The text of a token depends on the token before it: at the beginning of a text, for example, it has no leading space.
    // The window therefore starts with the ids of the last emission, and their text is removed from the decoded window.
    private readonly List<int> _window = [];
    private int _pendingTokens;
    private string _emittedText = "";

    internal StreamingDecoder(TokenizerPipeline pipeline, bool skipSpecialTokens) =>
        (_pipeline, _skipSpecialTokens) = (pipeline, skipSpecialTokens);

    /// <summary>Adds a token id and returns the text that it completes, or an empty string if the text is still incomplete.</summary>
    /// <param name="id">The token id. An id that is not in the vocabulary, or is skipped, adds no text.</param>
    /// <exception cref="TokenizerFormatException">
    /// The decoder of tokenizer.json makes the text unreasonably long, or its regular expression takes too long.
    /// </exception>
    public string Add(int id)
    {
        if (_pipeline.TextOf(id, _skipSpecialTokens) is null) return "";
        _window.Add(id);
        _pendingTokens++;
        string text = Decode();
        bool isIncomplete = text.EndsWith('\uFFFD')
            || (_pipeline.CleanUpTokenizationSpaces && TokenizationSpaceCleanup.EndsWithPartialRule(text));
        return isIncomplete && _pendingTokens < MaxPendingTokens ? "" : Emit(text);
    }

    /// <summary>Returns the withheld text, or an empty string if there is none, and resets the decoder for a new text.</summary>
    /// <exception cref="TokenizerFormatException">As for <see cref="Add"/>.</exception>
    public string Finish()
    {
        string remainder = _pendingTokens > 0 ? Emit(Decode()) : "";
        _window.Clear();
        _emittedText = "";
        return remainder;
    }

    private string Emit(string text)
    {
        _window.RemoveRange(0, _window.Count - _pendingTokens);
        _pendingTokens = 0;
        string pendingText = Decode();
        // Bytes that turn out to be invalid can change the text that was already emitted. Then the pending tokens are decoded alone.
        string result = text.StartsWith(_emittedText, StringComparison.Ordinal) ? text[_emittedText.Length..] : pendingText;
        _emittedText = pendingText;
        return result;
    }

    private string Decode() => _pipeline.Decode(_window, _skipSpecialTokens);
}
