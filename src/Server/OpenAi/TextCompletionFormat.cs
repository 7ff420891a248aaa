using System.Text.Json;

namespace Ndif.Server.OpenAi;

/// <summary>The responses of <c>/v1/completions</c>.</summary>
/// <remarks>CreateCompletionResponse in openai/openai-openapi</remarks>
internal sealed class TextCompletionFormat : CompletionFormat
{
    public override string IdPrefix => "cmpl-";

    protected override string ObjectName => "text_completion";

    protected override string ChunkObjectName => "text_completion";

    protected override void WriteContent(Utf8JsonWriter json, CompletedChoice choice) =>
        Write(json, choice.Text, choice.Tokens, 0, choice.HasLogprobs);

    protected override void WriteDelta(Utf8JsonWriter json, ChoiceDelta delta, int offset, bool hasLogprobs, bool isFirst) =>
        Write(json, delta.Text, delta.Tokens, offset, hasLogprobs);

    private static void Write(Utf8JsonWriter json, string text, IReadOnlyList<TokenLogprob> tokens, int offset, bool hasLogprobs)
    {
        json.WriteString("text", text);
        if (!hasLogprobs)
        {
            json.WriteNull("logprobs");
            return;
        }
        json.WriteStartObject("logprobs");
        WriteArray(json, "tokens", tokens, token => json.WriteStringValue(token.Text));
        WriteArray(json, "token_logprobs", tokens, token =>
        {
            if (token.Logprob is { } logprob) json.WriteNumberValue(ToJson(logprob));
            else json.WriteNullValue();
        });
        WriteArray(json, "top_logprobs", tokens, token => WriteTop(json, token));
        WriteArray(json, "text_offset", tokens, token =>
        {
            json.WriteNumberValue(offset);
            offset += token.Text.Length;
        });
        json.WriteEndObject();
    }

    /// <summary>The likely tokens by their text, with the chosen one if it is none of them.</summary>
    private static void WriteTop(Utf8JsonWriter json, TokenLogprob token)
    {
        if (token.Top.Count == 0)
        {
            json.WriteNullValue();
            return;
        }
        json.WriteStartObject();
        HashSet<string> written = []; // two tokens can have the same text; the more likely one is the first
        foreach (LikelyToken likely in token.Top)
            if (written.Add(likely.Text)) json.WriteNumber(likely.Text, ToJson(likely.Logprob));
        if (token.Logprob is { } own && written.Add(token.Text)) json.WriteNumber(token.Text, ToJson(own));
        json.WriteEndObject();
    }

    private static void WriteArray(Utf8JsonWriter json, string name, IReadOnlyList<TokenLogprob> tokens, Action<TokenLogprob> writeItem)
    {
        json.WriteStartArray(name);
        foreach (TokenLogprob token in tokens) writeItem(token);
        json.WriteEndArray();
    }
}
