namespace Ndif.Server.OpenAi;

/// <summary>
/// The text of a choice as its tokens come. It ends before the first stop text; what may be the beginning of one is withheld until that is
/// known.
/// </summary>
internal sealed class ChoiceText(IReadOnlyList<string> stops)
{
    private readonly Queue<(int Start, TokenLogprob Token)> _withheldTokens = [];
    private string _withheld = "";
    private int _releasedLength;

    /// <summary>Whether a stop text was found.</summary>
    public bool IsStopped { get; private set; }

    /// <summary>Adds the text of a token. Returns the text that is certain now, and the tokens that begin in it.</summary>
    /// <param name="token">The token with its log probability; null if that was not asked for, or if the token has no text.</param>
    /// <param name="isLast">Whether no other text follows.</param>
    public (string Text, IReadOnlyList<TokenLogprob> Tokens) Add(string text, TokenLogprob? token, bool isLast)
    {
        if (IsStopped) return ("", []);
        if (token is not null) _withheldTokens.Enqueue((_releasedLength + _withheld.Length, token));
        string pending = _withheld + text;
        int end = FindStop(pending);
        IsStopped = end >= 0;
        if (end < 0) end = isLast ? pending.Length : pending.Length - GetLengthOfPossibleStop(pending);
        (_withheld, _releasedLength) = (pending[end..], _releasedLength + end);

        List<TokenLogprob> released = [];
        while (_withheldTokens.TryPeek(out (int Start, TokenLogprob Token) next)
            && (next.Start < _releasedLength || (isLast && !IsStopped)))
            released.Add(_withheldTokens.Dequeue().Token);
        return (pending[..end], released);
    }

    private int FindStop(string text)
    {
        int first = -1;
        foreach (string stop in stops)
            if (text.IndexOf(stop, StringComparison.Ordinal) is >= 0 and var at && (first < 0 || at < first)) first = at;
        return first;
    }

    /// <summary>The length of the longest end of a text with which a stop text begins.</summary>
    private int GetLengthOfPossibleStop(string text)
    {
        int longest = 0;
        foreach (string stop in stops)
            for (int length = Math.Min(stop.Length - 1, text.Length); length > longest; length--)
                if (text.AsSpan(text.Length - length).SequenceEqual(stop.AsSpan(0, length))) longest = length;
        return longest;
    }
}
