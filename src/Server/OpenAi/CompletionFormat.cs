using System.Text.Json;

namespace Ndif.Server.OpenAi;

/// <summary>Writes the responses of an endpoint: whole, or as the events of a stream.</summary>
internal abstract class CompletionFormat
{
    /// <summary>The beginning of the ids of responses; the id of the job follows.</summary>
    public abstract string IdPrefix { get; }

    protected abstract string ObjectName { get; }

    protected abstract string ChunkObjectName { get; }

    /// <summary>Begins a whole response. Its choices follow in their order, and then <see cref="WriteResponseEnd"/>.</summary>
    public void WriteResponseStart(Utf8JsonWriter json, CompletionHeader header)
    {
        WriteStart(json, header, ObjectName);
        json.WriteStartArray("choices");
    }

    public async Task WriteChoiceAsync(JsonBody body, int index, CompletedChoice choice)
    {
        Utf8JsonWriter json = body.Json;
        json.WriteStartObject();
        json.WriteNumber("index", index);
        await WriteContentAsync(body, choice);
        json.WriteString("finish_reason", choice.FinishReason);
        json.WriteEndObject();
        await body.SendPartAsync();
    }

    public static void WriteResponseEnd(Utf8JsonWriter json, CompletionUsage usage)
    {
        json.WriteEndArray();
        WriteUsage(json, usage);
        json.WriteEndObject();
    }

    /// <summary>Writes an event with a part of a choice.</summary>
    /// <param name="offset">The length of the text before the part.</param>
    /// <param name="hasLogprobs">Whether log probabilities were asked for.</param>
    /// <param name="isFirst">Whether it is the first part of the choice.</param>
    public async Task WriteChunkAsync(
        JsonBody body, CompletionHeader header, ChoiceDelta delta, int offset, bool hasLogprobs, bool isFirst, bool includeUsage)
    {
        Utf8JsonWriter json = body.Json;
        WriteStart(json, header, ChunkObjectName);
        json.WriteStartArray("choices");
        json.WriteStartObject();
        json.WriteNumber("index", delta.Index);
        await WriteDeltaAsync(body, delta, offset, hasLogprobs, isFirst);
        json.WriteString("finish_reason", delta.FinishReason);
        json.WriteEndObject();
        json.WriteEndArray();
        if (includeUsage) json.WriteNull("usage");
        json.WriteEndObject();
    }

    /// <summary>Writes the last event of a stream, with the usage and without a choice.</summary>
    public void WriteUsageChunk(Utf8JsonWriter json, CompletionHeader header, CompletionUsage usage)
    {
        WriteStart(json, header, ChunkObjectName);
        json.WriteStartArray("choices");
        json.WriteEndArray();
        WriteUsage(json, usage);
        json.WriteEndObject();
    }

    protected abstract Task WriteContentAsync(JsonBody body, CompletedChoice choice);

    protected abstract Task WriteDeltaAsync(JsonBody body, ChoiceDelta delta, int offset, bool hasLogprobs, bool isFirst);

    /// <summary>A logarithm as JSON, which has no infinity.</summary>
    protected static double ToJson(float logprob) => float.IsFinite(logprob) ? logprob : -9999;

    private static void WriteStart(Utf8JsonWriter json, CompletionHeader header, string objectName)
    {
        json.WriteStartObject();
        json.WriteString("id", header.Id);
        json.WriteString("object", objectName);
        json.WriteNumber("created", header.Created);
        json.WriteString("model", header.Model);
    }

    private static void WriteUsage(Utf8JsonWriter json, CompletionUsage usage)
    {
        json.WriteStartObject("usage");
        json.WriteNumber("prompt_tokens", usage.PromptTokens);
        json.WriteNumber("completion_tokens", usage.CompletionTokens);
        json.WriteNumber("total_tokens", usage.TotalTokens);
        json.WriteEndObject();
    }
}

/// <summary>What all parts of a response repeat.</summary>
/// <param name="Created">Seconds since 1970.</param>
internal sealed record CompletionHeader(string Id, long Created, string Model);
