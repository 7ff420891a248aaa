using System.Text;

namespace Ndif.Server.OpenAi;

/// <summary>A choice whose parts are put together.</summary>
/// <param name="hasLogprobs">Whether log probabilities were asked for.</param>
internal sealed class CompletedChoice(bool hasLogprobs)
{
    /// <summary>The JSON of a token and of a likely token in its place, roughly.</summary>
    private const int JsonBytesPerToken = 160, JsonBytesPerLikelyToken = 96;

    private readonly StringBuilder _text = new();
    private readonly List<TokenLogprob> _tokens = [];

    public string Text => _text.ToString();

    public bool HasLogprobs => hasLogprobs;

    public IReadOnlyList<TokenLogprob> Tokens => _tokens;

    public string? FinishReason { get; private set; }

    /// <summary>The size of the choice as JSON, roughly, in bytes.</summary>
    public long EstimateJsonBytes() =>
        2L * _text.Length + _tokens.Sum(token => JsonBytesPerToken + (long)JsonBytesPerLikelyToken * token.Top.Count);

    public void Add(ChoiceDelta delta)
    {
        _text.Append(delta.Text);
        _tokens.AddRange(delta.Tokens);
        FinishReason ??= delta.FinishReason;
    }
}
