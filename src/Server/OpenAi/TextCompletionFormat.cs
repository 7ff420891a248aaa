using System.Text.Json;

namespace Ndif.Server.OpenAi;

/// <summary>The responses of <c>/v1/completions</c>.</summary>
/// <remarks>CreateCompletionResponse in openai/openai-openapi</remarks>
internal sealed class TextCompletionFormat : CompletionFormat
{
    public override string IdPrefix => "cmpl-";

    protected override string ObjectName => "text_completion";

    protected override string ChunkObjectName => "text_completion";

    protected override Task WriteContentAsync(JsonBody body, CompletedChoice choice) =>
        WriteAsync(body, choice.Text, choice.Tokens, 0, choice.HasLogprobs);

    protected override Task WriteDeltaAsync(JsonBody body, ChoiceDelta delta, int offset, bool hasLogprobs, bool isFirst) =>
        WriteAsync(body, delta.Text, delta.Tokens, offset, hasLogprobs);

    private static async Task WriteAsync(JsonBody body, string text, IReadOnlyList<TokenLogprob> tokens, int offset, bool hasLogprobs)
    {
        Utf8JsonWriter json = body.Json;
        await body.WriteStringAsync("text", text);
        if (!hasLogprobs)
        {
            json.WriteNull("logprobs");
            return;
        }
        json.WriteStartObject("logprobs");
        await WriteArrayAsync(body, "tokens", tokens, token => json.WriteStringValue(token.Text));
        await WriteArrayAsync(body, "token_logprobs", tokens, token =>
        {
            if (token.Logprob is { } logprob) json.WriteNumberValue(ToJson(logprob));
            else json.WriteNullValue();
        });
        await WriteArrayAsync(body, "top_logprobs", tokens, token => WriteTop(json, token));
        await WriteArrayAsync(body, "text_offset", tokens, token =>
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

    private static async Task WriteArrayAsync(
        JsonBody body, string name, IReadOnlyList<TokenLogprob> tokens, Action<TokenLogprob> writeItem)
    {
        body.Json.WriteStartArray(name);
        foreach (TokenLogprob token in tokens)
        {
            writeItem(token);
            await body.SendPartAsync();
        }
        body.Json.WriteEndArray();
    }
}
