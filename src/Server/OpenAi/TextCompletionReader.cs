using System.Text.Json;

namespace Ndif.Server.OpenAi;

/// <summary>Reads the body of <c>POST /v1/completions</c>.</summary>
/// <remarks>CreateCompletionRequest in openai/openai-openapi</remarks>
internal static class TextCompletionReader
{
    public const int MaxChoices = 128;

    /// <summary>The largest number of log probabilities; OpenAI's limit is 5.</summary>
    private const int MaxLogprobs = 20;

    /// <exception cref="OpenAiException">A field is not valid.</exception>
    public static CompletionRequest Read(RequestFields fields)
    {
        (bool stream, bool includeUsage) = SamplingReader.ReadStream(fields);
        int choices = fields.GetInteger("n", 1, MaxChoices) ?? 1;
        if (fields.GetInteger("best_of", 1, MaxChoices) is { } bestOf && bestOf != choices)
            throw OpenAiException.Unsupported("best_of", "`best_of` is not supported: leave it out, or set it to `n`.");
        var request = new CompletionRequest
        {
            Model = fields.RequireString("model"),
            Prompts = ReadPrompts(fields.Require("prompt")),
            ChoiceCount = choices,
            MaxTokens = fields.GetInteger("max_tokens", 0, int.MaxValue),
            Sampling = SamplingReader.ReadSampling(fields),
            Stop = SamplingReader.ReadStop(fields),
            TopLogprobs = fields.GetInteger("logprobs", 0, MaxLogprobs),
            Echo = fields.GetBoolean("echo"),
            Stream = stream,
            IncludeUsage = includeUsage,
        };
        if (request is { MaxTokens: 0, Echo: false })
            throw OpenAiException.Invalid("max_tokens", "`max_tokens` of 0 is only allowed when `echo` is true.");
        if (request.Prompts.Count * choices > MaxChoices)
            throw OpenAiException.Invalid(
                "prompt", $"The request has {request.Prompts.Count} prompts with {choices} choices each; at most {MaxChoices} choices are "
                + "allowed.");
        fields.Ignore("user");
        fields.Refuse("this service only continues a prompt.", "suffix");
        fields.ThrowIfUnknown();
        return request;
    }

    /// <summary>Reads a text, a list of texts, a list of token ids, or a list of lists of token ids.</summary>
    private static PromptContent[] ReadPrompts(JsonElement prompt)
    {
        if (prompt.ValueKind is not JsonValueKind.Array) return [new(RequestFields.GetString(prompt, "prompt"), null)];
        JsonElement[] items = [.. prompt.EnumerateArray().Take(MaxPromptItems)];
        if (items.Length == 0) throw OpenAiException.Invalid("prompt", "`prompt` is an empty list.");
        return items[0].ValueKind switch
        {
            JsonValueKind.Number => [new(null, ReadIds(prompt))],
            JsonValueKind.Array => [.. items.Select(item => new PromptContent(null, ReadIds(item)))],
            _ => [.. items.Select(item => new PromptContent(RequestFields.GetString(item, "prompt"), null))],
        };
    }

    /// <summary>One more than there may be prompts, so that too many are noticed without reading all.</summary>
    private const int MaxPromptItems = MaxChoices + 1;

    private static int[] ReadIds(JsonElement list)
    {
        if (list.ValueKind is not JsonValueKind.Array) throw RequestFields.WrongType("prompt", "a list of token ids");
        return [.. list.EnumerateArray().Select(id => id.ValueKind is JsonValueKind.Number && id.TryGetInt32(out int number) ? number
            : throw RequestFields.WrongType("prompt", "a list of token ids"))];
    }
}
