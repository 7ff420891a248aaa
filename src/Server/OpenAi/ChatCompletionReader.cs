using System.Text;
using System.Text.Json;
using Ndif.Tokenizers;

namespace Ndif.Server.OpenAi;

/// <summary>Reads the body of <c>POST /v1/chat/completions</c>.</summary>
/// <remarks>CreateChatCompletionRequest in openai/openai-openapi</remarks>
internal static class ChatCompletionReader
{
    private const int MaxTopLogprobs = 20;

    /// <exception cref="OpenAiException">A field is not valid.</exception>
    public static CompletionRequest Read(RequestFields fields)
    {
        (bool stream, bool includeUsage) = SamplingReader.ReadStream(fields);
        bool logprobs = fields.GetBoolean("logprobs");
        int? topLogprobs = fields.GetInteger("top_logprobs", 0, MaxTopLogprobs);
        if (topLogprobs is not null && !logprobs)
            throw OpenAiException.Invalid("top_logprobs", "`top_logprobs` is only allowed when `logprobs` is true.");
        // max_tokens is the older name
        int? maxTokens = fields.GetInteger("max_completion_tokens", 1, int.MaxValue);
        int? older = fields.GetInteger("max_tokens", 1, int.MaxValue);
        var request = new CompletionRequest
        {
            Model = fields.RequireString("model"),
            Messages = ReadMessages(fields.Require("messages")),
            ChoiceCount = fields.GetInteger("n", 1, TextCompletionReader.MaxChoices) ?? 1,
            MaxTokens = maxTokens ?? older,
            Sampling = SamplingReader.ReadSampling(fields),
            Stop = SamplingReader.ReadStop(fields),
            TopLogprobs = logprobs ? topLogprobs ?? 0 : null,
            Stream = stream,
            IncludeUsage = includeUsage,
        };
        if (fields.Find("response_format") is { } format && !IsOfType(format, "text"))
            throw OpenAiException.Unsupported("response_format", "`response_format` is not supported, except for the type `text`.");
        if (fields.Find("modalities") is { } modalities
            && !(modalities.ValueKind is JsonValueKind.Array && modalities.EnumerateArray().All(item => item.ValueEquals("text"))))
            throw OpenAiException.Unsupported("modalities", "`modalities` is not supported, except for `text`.");
        fields.Refuse("this service generates text only.", "tools", "tool_choice", "functions", "function_call", "audio", "prediction",
            "web_search_options");
        fields.Ignore("user", "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls",
            "reasoning_effort", "verbosity");
        fields.ThrowIfUnknown();
        return request;
    }

    private static ChatMessage[] ReadMessages(JsonElement messages)
    {
        if (messages.ValueKind is not JsonValueKind.Array) throw RequestFields.WrongType("messages", "a list");
        if (messages.GetArrayLength() == 0) throw OpenAiException.Invalid("messages", "`messages` is an empty list.");
        return [.. messages.EnumerateArray().Select((message, i) => ReadMessage(message, $"messages[{i}]"))];
    }

    private static ChatMessage ReadMessage(JsonElement message, string name)
    {
        if (message.ValueKind is not JsonValueKind.Object) throw RequestFields.WrongType(name, "an object");
        if (!message.TryGetProperty("role", out JsonElement role))
            throw new OpenAiException($"`{name}` has no `role`.", $"{name}.role", "missing_required_parameter");
        if (!message.TryGetProperty("content", out JsonElement content) || content.ValueKind is JsonValueKind.Null)
            throw new OpenAiException($"`{name}` has no `content`.", $"{name}.content", "missing_required_parameter");
        string author = RequestFields.GetString(role, $"{name}.role");
        return new ChatMessage(author == "developer" ? "system" : author, ReadContent(content, $"{name}.content")); // OpenAI's newer name
    }

    /// <summary>Reads a text, or a list of parts that are texts.</summary>
    private static string ReadContent(JsonElement content, string name)
    {
        if (content.ValueKind is not JsonValueKind.Array) return RequestFields.GetString(content, name);
        var text = new StringBuilder();
        foreach (JsonElement part in content.EnumerateArray())
        {
            if (!IsOfType(part, "text") || !part.TryGetProperty("text", out JsonElement value))
                throw OpenAiException.Unsupported(name, $"`{name}` has a part that is not of type `text`; this service reads text only.");
            text.Append(RequestFields.GetString(value, name));
        }
        return text.ToString();
    }

    private static bool IsOfType(JsonElement value, string type) => value.ValueKind is JsonValueKind.Object
        && value.TryGetProperty("type", out JsonElement own) && own.ValueKind is JsonValueKind.String && own.ValueEquals(type);
}
