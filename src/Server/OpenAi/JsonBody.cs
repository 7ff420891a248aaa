using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Ndif.Server.Hosting;

namespace Ndif.Server.OpenAi;

/// <summary>
/// Writes JSON of any size to the body of a response, in parts: the memory is that of one part, and a client has the time limit for each.
/// </summary>
/// <param name="timeout">How long the client may read nothing before it is disconnected.</param>
internal sealed class JsonBody(HttpContext context, TimeSpan timeout) : IDisposable
{
    private const int PartBytes = 64 << 10, PartCharacters = PartBytes / 4;

    private static readonly JsonWriterOptions _options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private long _sent;

    public Utf8JsonWriter Json { get; } = new(context.Response.BodyWriter, _options);

    /// <summary>Writes a property whose text may be long.</summary>
    public async Task WriteStringAsync(string name, string text)
    {
        Json.WritePropertyName(name);
        int from = 0;
        for (; text.Length - from > PartCharacters; from += PartCharacters)
        {
            Json.WriteStringValueSegment(text.AsSpan(from, PartCharacters), isFinalSegment: false);
            await SendPartAsync();
        }
        Json.WriteStringValueSegment(text.AsSpan(from), isFinalSegment: true);
    }

    /// <summary>Sends what was written if it is a part or more. To be called after each item of a list.</summary>
    /// <exception cref="OperationCanceledException">The client has disconnected, or was disconnected.</exception>
    public ValueTask SendPartAsync() =>
        Json.BytesCommitted + Json.BytesPending - _sent < PartBytes ? ValueTask.CompletedTask : new ValueTask(SendAsync());

    private Task SendAsync()
    {
        Json.Flush();
        _sent = Json.BytesCommitted;
        return context.FlushBodyAsync(timeout);
    }

    /// <summary>Completes the JSON, whose last part is sent by the next flush of the body.</summary>
    public void Dispose() => Json.Dispose();
}
