namespace Ndif.Server.OpenAi;

/// <summary>A token of a choice with its log probability and the likely tokens in its place.</summary>
/// <param name="Text">The text that it adds.</param>
/// <param name="Logprob">The natural logarithm of its probability; null for the first token of a prompt, which nothing precedes.</param>
/// <param name="Top">The likely tokens, most likely first.</param>
internal sealed record TokenLogprob(string Text, float? Logprob, IReadOnlyList<LikelyToken> Top);
