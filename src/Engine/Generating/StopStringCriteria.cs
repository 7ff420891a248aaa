using Ndif.Tokenizers;

namespace Ndif.Engine.Generating;

/// <summary>
/// Whether a row's text has come to one of the texts that end it. The text is decoded as it grows, so that a stop may begin in one
/// token, also the prompt's last, and end in another; it must end in a new one.
/// </summary>
/// <remarks>StopStringCriteria in transformers/generation/stopping_criteria.py</remarks>
internal sealed class StopStringCriteria
{
    private readonly HuggingFaceTokenizer _tokenizer;
    private readonly IReadOnlyList<string> _stopStrings;
    private readonly int _maxStopLength;
    private StreamingDecoder _decoder;
    private string _tail = "";

    /// <param name="prompt">What the row begins with.</param>
    public StopStringCriteria(HuggingFaceTokenizer tokenizer, IReadOnlyList<string> stopStrings, ReadOnlySpan<long> prompt)
    {
        (_tokenizer, _stopStrings, _maxStopLength) = (tokenizer, stopStrings, stopStrings.Max(s => s.Length));
        _decoder = tokenizer.NewStream();
        Reset(prompt);
    }

    /// <summary>Adds a new token. True if its text completes a stop.</summary>
    public bool Add(long id)
    {
        string piece = _decoder.Add((int)id), text = _tail + piece;
        int old = _tail.Length;
        _tail = TailOf(text);
        return piece.Length > 0 && _stopStrings.Any(stop => text.IndexOf(stop, Math.Max(0, old - stop.Length + 1), StringComparison.Ordinal) >= 0);
    }

    /// <summary>The same for a row of which nothing is known yet: its last token completes a stop.</summary>
    public bool IsCompletedBy(ReadOnlySpan<long> tokens)
    {
        Reset(tokens[..^1]);
        return Add(tokens[^1]);
    }

    /// <summary>A stop of so many characters reaches back over no more tokens than that, and a character over a few.</summary>
    private void Reset(ReadOnlySpan<long> tokens)
    {
        _decoder = _tokenizer.NewStream();
        _tail = "";
        foreach (long id in tokens[Math.Max(0, tokens.Length - _maxStopLength - 8)..]) _tail = TailOf(_tail + _decoder.Add((int)id));
    }

    private string TailOf(string text) => text.Length < _maxStopLength ? text : text[(text.Length - _maxStopLength + 1)..];
}
