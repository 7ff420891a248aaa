using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Ndif.Server.Hosting;

namespace Ndif.Server.OpenAi;

/// <summary>Sends JSON objects as server-sent events: <c>data: {...}</c> and an empty line each.</summary>
/// <param name="timeout">How long a client may read nothing.</param>
/// <remarks>HTML Living Standard, section 9.2</remarks>
internal sealed class ServerSentEvents(HttpResponse response, TimeSpan timeout)
{
    private static readonly JsonWriterOptions _jsonOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly ArrayBufferWriter<byte> _event = new();
    private int _reserved;

    /// <summary>Sends an event. Returns when the client's connection has accepted it.</summary>
    /// <exception cref="Protocol.NdifException">UNAVAILABLE: there is no memory for an event of this size at the moment.</exception>
    public Task SendAsync(Action<Utf8JsonWriter> write, CancellationToken cancellationToken)
    {
        _event.ResetWrittenCount();
        _event.Write("data: "u8);
        using (var json = new Utf8JsonWriter(_event, _jsonOptions)) write(json);
        _event.Write("\n\n"u8);
        if (_event.Capacity > _reserved)
        {
            RequestScope.Current?.Reserve(_event.Capacity - _reserved);
            _reserved = _event.Capacity;
        }
        return FlushAsync(_event.WrittenMemory, cancellationToken);
    }

    /// <summary>Sends an error, after which no event follows.</summary>
    public Task SendErrorAsync(OpenAiErrorJson error, CancellationToken cancellationToken) =>
        FlushAsync((byte[])[.. "data: "u8, .. error.ToUtf8(), .. "\n\n"u8], cancellationToken);

    /// <summary>Sends the event that ends a stream.</summary>
    public Task EndAsync(CancellationToken cancellationToken) => FlushAsync("data: [DONE]\n\n"u8.ToArray(), cancellationToken);

    private async Task FlushAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        if (!response.HasStarted)
        {
            response.ContentType = "text/event-stream; charset=utf-8";
            response.Headers.CacheControl = "no-cache";
            response.Headers["X-Accel-Buffering"] = "no"; // nginx would collect the events
        }
        using var timedOut = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        timedOut.CancelAfter(timeout);
        await response.Body.WriteAsync(bytes, timedOut.Token);
        await response.Body.FlushAsync(timedOut.Token);
    }
}
