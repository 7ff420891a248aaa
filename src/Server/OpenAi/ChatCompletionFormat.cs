using System.Text;
using System.Text.Json;

namespace Ndif.Server.OpenAi;

/// <summary>The responses of <c>/v1/chat/completions</c>.</summary>
/// <remarks>CreateChatCompletionResponse and CreateChatCompletionStreamResponse in openai/openai-openapi</remarks>
internal sealed class ChatCompletionFormat : CompletionFormat
{
    public override string IdPrefix => "chatcmpl-";

    protected override string ObjectName => "chat.completion";

    protected override string ChunkObjectName => "chat.completion.chunk";

    protected override async Task WriteContentAsync(JsonBody body, CompletedChoice choice)
    {
        Utf8JsonWriter json = body.Json;
        json.WriteStartObject("message");
        json.WriteString("role", "assistant");
        await body.WriteStringAsync("content", choice.Text);
        json.WriteNull("refusal");
        json.WriteEndObject();
        await WriteLogprobsAsync(body, choice.Tokens, choice.HasLogprobs);
    }

    protected override Task WriteDeltaAsync(JsonBody body, ChoiceDelta delta, int offset, bool hasLogprobs, bool isFirst)
    {
        Utf8JsonWriter json = body.Json;
        json.WriteStartObject("delta");
        if (isFirst) json.WriteString("role", "assistant");
        if (isFirst || delta.Text.Length > 0) json.WriteString("content", delta.Text);
        json.WriteEndObject();
        return WriteLogprobsAsync(body, delta.Tokens, hasLogprobs);
    }

    private static async Task WriteLogprobsAsync(JsonBody body, IReadOnlyList<TokenLogprob> tokens, bool hasLogprobs)
    {
        Utf8JsonWriter json = body.Json;
        if (!hasLogprobs)
        {
            json.WriteNull("logprobs");
            return;
        }
        json.WriteStartObject("logprobs");
        json.WriteStartArray("content");
        foreach (TokenLogprob token in tokens)
        {
            json.WriteStartObject();
            WriteToken(json, token.Text, token.Logprob ?? 0);
            json.WriteStartArray("top_logprobs");
            foreach (LikelyToken likely in token.Top)
            {
                json.WriteStartObject();
                WriteToken(json, likely.Text, likely.Logprob);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
            await body.SendPartAsync();
        }
        json.WriteEndArray();
        json.WriteNull("refusal");
        json.WriteEndObject();
    }

    private static void WriteToken(Utf8JsonWriter json, string text, float logprob)
    {
        json.WriteString("token", text);
        json.WriteNumber("logprob", ToJson(logprob));
        json.WriteStartArray("bytes");
        foreach (byte each in Encoding.UTF8.GetBytes(text)) json.WriteNumberValue(each);
        json.WriteEndArray();
    }
}
