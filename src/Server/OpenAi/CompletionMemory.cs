namespace Ndif.Server.OpenAi;

/// <summary>
/// The memory that a completion takes from its submission until its client has read it. It is known before, at most: a completion for which
/// there is no memory is refused before its job runs, and never after.
/// </summary>
internal static class CompletionMemory
{
    /// <summary>What is kept of a request, for each byte of its body: texts and token ids.</summary>
    private const int PerBodyByte = 8;

    /// <summary>The text of a token.</summary>
    private const int PerToken = 32;

    /// <summary>A token with its log probability and the arrays of its likely tokens, and an id and a number for each of these.</summary>
    private const int PerLogprob = 224, PerLikelyToken = sizeof(long) + sizeof(float);

    /// <summary>A stream keeps no more steps of a choice than have come without all of their values.</summary>
    private const int StreamedSteps = 64;

    /// <summary>The memory of a completion, in bytes.</summary>
    /// <param name="bodyBytes">The size of the request.</param>
    /// <param name="tokenLimit">The most tokens of a job; one with more is refused.</param>
    public static long Estimate(
        CompletionRequest request, IReadOnlyList<CompletionPrompt> prompts, int maxTokens, long bodyBytes, long tokenLimit)
    {
        long steps = request.Stream ? Math.Min(maxTokens, StreamedSteps) : maxTokens;
        long tokens = Math.Min(steps * prompts.Count * request.ChoiceCount, tokenLimit);
        return bodyBytes * PerBodyByte + tokens * GetPerToken(request)
            + request.ChoiceCount * prompts.Sum(prompt => EstimateEcho(request, prompt));
    }

    /// <summary>The memory of the log probabilities of an echoed prompt, of one choice, in bytes.</summary>
    public static long EstimateEcho(CompletionRequest request, CompletionPrompt prompt) =>
        request is { Echo: true, TopLogprobs: not null } ? (long)prompt.Ids.Count * GetPerToken(request) : 0;

    private static int GetPerToken(CompletionRequest request) =>
        PerToken + (request.TopLogprobs is { } top ? PerLogprob + top * PerLikelyToken : 0);
}
