using Ndif.Tokenizers;

namespace Ndif.Engine.Generating;

/// <summary>
/// Tests whether the text of a row contains one of the stop strings. The text is decoded as it grows, so that a stop string can begin in
/// one token, even the last of the prompt, and end in another; it must end in a new token.
/// </summary>
/// <remarks>StopStringCriteria in transformers/generation/stopping_criteria.py</remarks>
internal sealed class StopStringCriteria
{
    private readonly HuggingFaceTokenizer _tokenizer;
    private readonly IReadOnlyList<string> _stopStrings;
    private readonly int _maxStopLength;
    private StreamingDecoder _decoder;
    private string _tail = "";

    /// <param name="prompt">The tokens with which the row begins.</param>
    public StopStringCriteria(HuggingFaceTokenizer tokenizer, IReadOnlyList<string> stopStrings, ReadOnlySpan<long> prompt)
    {
        (_tokenizer, _stopStrings, _maxStopLength) = (tokenizer, stopStrings, stopStrings.Max(s => s.Length));
        _decoder = tokenizer.NewStream();
        Reset(prompt);
    }

    /// <summary>Adds a new token. True if its text completes a stop string.</summary>
    public bool Add(long id)
    {
        string piece = _decoder.Add((int)id), text = _tail + piece;
        int oldLength = _tail.Length;
        _tail = TailOf(text);
        return piece.Length > 0 && _stopStrings.Any(stop =>
            text.IndexOf(stop, Math.Max(0, oldLength - stop.Length + 1), StringComparison.Ordinal) >= 0);
    }

    /// <summary>True if the last token of another row completes a stop string.</summary>
    public bool IsCompletedBy(ReadOnlySpan<long> tokens)
    {
        Reset(tokens[..^1]);
        return Add(tokens[^1]);
    }

    /// <summary>
    /// Starts with the text of these tokens. A stop string covers at most one token for each of its characters, and a character at most a
    /// few tokens, so that the last ones are sufficient.
    /// </summary>
    private void Reset(ReadOnlySpan<long> tokens)
    {
        _decoder = _tokenizer.NewStream();
        _tail = "";
        foreach (long id in tokens[Math.Max(0, tokens.Length - _maxStopLength - 8)..]) _tail = TailOf(_tail + _decoder.Add((int)id));
    }

    private string TailOf(string text) => text.Length < _maxStopLength ? text : text[(text.Length - _maxStopLength + 1)..];
}
