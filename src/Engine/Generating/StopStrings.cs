using Ndif.Tokenizers;

namespace Ndif.Engine.Generating;

/// <summary>
/// Whether a row's text has come to one of the texts that end it. The text is decoded as it grows, so that a stop may begin in one
/// token, also the prompt's last, and end in another; it must end in a new one.
/// </summary>
/// <remarks>StopStringCriteria in transformers/generation/stopping_criteria.py</remarks>
internal sealed class StopStrings
{
    private readonly HuggingFaceTokenizer _tokenizer;
    private readonly IReadOnlyList<string> _stops;
    private readonly int _longest;
    private StreamingDecoder _stream;
    private string _tail = "";

    /// <param name="prompt">What the row begins with.</param>
    public StopStrings(HuggingFaceTokenizer tokenizer, IReadOnlyList<string> stops, ReadOnlySpan<long> prompt)
    {
        (_tokenizer, _stops, _longest) = (tokenizer, stops, stops.Max(s => s.Length));
        _stream = tokenizer.NewStream();
        Begin(prompt);
    }

    /// <summary>Adds a new token. True if its text completes a stop.</summary>
    public bool Add(long id)
    {
        string piece = _stream.Add((int)id), text = _tail + piece;
        int old = _tail.Length;
        _tail = Tail(text);
        return piece.Length > 0 && _stops.Any(stop => text.IndexOf(stop, Math.Max(0, old - stop.Length + 1), StringComparison.Ordinal) >= 0);
    }

    /// <summary>The same for a row of which nothing is known yet: its last token completes a stop.</summary>
    public bool EndsIn(ReadOnlySpan<long> tokens)
    {
        Begin(tokens[..^1]);
        return Add(tokens[^1]);
    }

    /// <summary>A stop of so many characters reaches back over no more tokens than that, and a character over a few.</summary>
    private void Begin(ReadOnlySpan<long> tokens)
    {
        _stream = _tokenizer.NewStream();
        _tail = "";
        foreach (long id in tokens[Math.Max(0, tokens.Length - _longest - 8)..]) _tail = Tail(_tail + _stream.Add((int)id));
    }

    private string Tail(string text) => text.Length < _longest ? text : text[(text.Length - _longest + 1)..];
}
