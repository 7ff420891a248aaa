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

    protected override void WriteContent(Utf8JsonWriter json, CompletedChoice choice)
    {
        json.WriteStartObject("message");
        json.WriteString("role", "assistant");
        json.WriteString("content", choice.Text);
        json.WriteNull("refusal");
        json.WriteEndObject();
        WriteLogprobs(json, choice.Tokens, choice.HasLogprobs);
    }

    protected override void WriteDelta(Utf8JsonWriter json, ChoiceDelta delta, int offset, bool hasLogprobs, bool isFirst)
    {
        json.WriteStartObject("delta");
        if (isFirst) json.WriteString("role", "assistant");
        if (isFirst || delta.Text.Length > 0) json.WriteString("content", delta.Text);
        json.WriteEndObject();
        WriteLogprobs(json, delta.Tokens, hasLogprobs);
    }

    private static void WriteLogprobs(Utf8JsonWriter json, IReadOnlyList<TokenLogprob> tokens, bool hasLogprobs)
    {
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
