using System.Text;

namespace Ndif.Server.OpenAi;

/// <summary>A choice whose parts are put together.</summary>
/// <param name="hasLogprobs">Whether log probabilities were asked for.</param>
internal sealed class CompletedChoice(bool hasLogprobs)
{
    private readonly StringBuilder _text = new();
    private readonly List<TokenLogprob> _tokens = [];

    public string Text => _text.ToString();

    public bool HasLogprobs => hasLogprobs;

    public IReadOnlyList<TokenLogprob> Tokens => _tokens;

    public string? FinishReason { get; private set; }

    public void Add(ChoiceDelta delta)
    {
        _text.Append(delta.Text);
        _tokens.AddRange(delta.Tokens);
        FinishReason ??= delta.FinishReason;
    }
}
