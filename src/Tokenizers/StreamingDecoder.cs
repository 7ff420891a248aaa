using Ndif.Tokenizers.Decoders;

namespace Ndif.Tokenizers;

/// <summary>
/// Text from ids that come one by one. It withholds what is not complete: the first bytes of a character that several tokens
/// spell. All its answers together are what decoding all ids at once gives. One stream belongs to one thread at a time.
/// </summary>
public sealed class StreamingDecoder
{
    /// <summary>A character is at most four tokens; what is still not text after so many never will be.</summary>
    const int MaxPendingTokens = 16;

    readonly TokenizerPipeline _pipeline;
    readonly bool _skipSpecialTokens, _cleanUp;

    // A token's text depends on what stands before it (a space, or none at the beginning): the ids of the last answer stay
    // in front of those that wait, and their text is cut off again.
    readonly List<int> _window = [];
    int _pendingTokens;
    string _emittedText = "";

    internal StreamingDecoder(TokenizerPipeline pipeline, bool skipSpecialTokens, bool cleanUp) =>
        (_pipeline, _skipSpecialTokens, _cleanUp) = (pipeline, skipSpecialTokens, cleanUp);

    /// <summary>The text that this id completes; empty while there is none.</summary>
    public string Add(int id)
    {
        if (_pipeline.TextOf(id, _skipSpecialTokens) is null) return "";
        _window.Add(id);
        _pendingTokens++;
        string text = Decode();
        bool open = text.EndsWith('\uFFFD') || (_cleanUp && TokenizationSpaceCleanup.EndsWithPartialRule(text));
        return open && _pendingTokens < MaxPendingTokens ? "" : Emit(text);
    }

    /// <summary>What was withheld; afterwards the stream is as new.</summary>
    public string Finish()
    {
        string rest = _pendingTokens > 0 ? Emit(Decode()) : "";
        _window.Clear();
        _emittedText = "";
        return rest;
    }

    string Emit(string text)
    {
        _window.RemoveRange(0, _window.Count - _pendingTokens);
        _pendingTokens = 0;
        // bytes that only now turn out to be no character would change what was given: then the new ids stand alone
        string alone = Decode();
        string answer = text.StartsWith(_emittedText, StringComparison.Ordinal) ? text[_emittedText.Length..] : alone;
        _emittedText = alone;
        return answer;
    }

    string Decode()
    {
        string text = _pipeline.Decode(_window, _skipSpecialTokens);
        return _cleanUp ? TokenizationSpaceCleanup.ApplyToText(text) : text;
    }
}
