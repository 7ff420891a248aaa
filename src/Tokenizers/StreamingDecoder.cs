using Ndif.Tokenizers.Decoders;

namespace Ndif.Tokenizers;

/// <summary>
/// Text from ids that come one by one. It withholds what is not complete: the first bytes of a character that several tokens
/// spell. All its answers together are what decoding all ids at once gives. One stream belongs to one thread at a time.
/// </summary>
public sealed class StreamingDecoder
{
    /// <summary>A character is at most four tokens; what is still not text after so many never will be.</summary>
    const int LongestWait = 16;

    readonly Pipeline _pipeline;
    readonly bool _skipSpecialTokens, _cleanUp;

    // A token's text depends on what stands before it (a space, or none at the beginning): the ids of the last answer stay
    // in front of those that wait, and their text is cut off again.
    readonly List<int> _window = [];
    int _waiting;
    string _given = "";

    internal StreamingDecoder(Pipeline pipeline, bool skipSpecialTokens, bool cleanUp) =>
        (_pipeline, _skipSpecialTokens, _cleanUp) = (pipeline, skipSpecialTokens, cleanUp);

    /// <summary>The text that this id completes; empty while there is none.</summary>
    public string Add(int id)
    {
        if (_pipeline.TextOf(id, _skipSpecialTokens) is null) return "";
        _window.Add(id);
        _waiting++;
        string text = Decode();
        bool open = text.EndsWith('\uFFFD') || (_cleanUp && CleanUp.IsOpen(text));
        return open && _waiting < LongestWait ? "" : Give(text);
    }

    /// <summary>What was withheld; afterwards the stream is as new.</summary>
    public string Finish()
    {
        string rest = _waiting > 0 ? Give(Decode()) : "";
        _window.Clear();
        _given = "";
        return rest;
    }

    string Give(string text)
    {
        _window.RemoveRange(0, _window.Count - _waiting);
        _waiting = 0;
        // bytes that only now turn out to be no character would change what was given: then the new ids stand alone
        string alone = Decode();
        string answer = text.StartsWith(_given, StringComparison.Ordinal) ? text[_given.Length..] : alone;
        _given = alone;
        return answer;
    }

    string Decode()
    {
        string text = _pipeline.Decode(_window, _skipSpecialTokens);
        return _cleanUp ? CleanUp.ApplyToText(text) : text;
    }
}
