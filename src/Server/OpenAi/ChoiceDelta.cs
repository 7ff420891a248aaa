namespace Ndif.Server.OpenAi;

/// <summary>A part of the text of a choice.</summary>
/// <param name="Index">The choice.</param>
/// <param name="Tokens">The tokens of the text with their log probabilities; empty if those were not asked for.</param>
/// <param name="FinishReason">"stop" or "length" with the last part; null before.</param>
internal sealed record ChoiceDelta(int Index, string Text, IReadOnlyList<TokenLogprob> Tokens, string? FinishReason);

/// <summary>The tokens that a completion read and generated. A token that ended a choice counts as one.</summary>
internal readonly record struct CompletionUsage(int PromptTokens, int CompletionTokens)
{
    public int TotalTokens => PromptTokens + CompletionTokens;
}
