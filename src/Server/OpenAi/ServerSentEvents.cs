using System.Buffers;
using Microsoft.AspNetCore.Http;
using Ndif.Server.Hosting;

namespace Ndif.Server.OpenAi;

/// <summary>Sends JSON objects as server-sent events: <c>data: {...}</c> and an empty line each.</summary>
/// <param name="timeout">How long a client may read nothing.</param>
/// <remarks>HTML Living Standard, section 9.2</remarks>
internal sealed class ServerSentEvents(HttpContext context, TimeSpan timeout)
{
    /// <summary>Sends an event. Returns when the client's connection has accepted it.</summary>
    /// <exception cref="OperationCanceledException">The client has disconnected, or was disconnected.</exception>
    public async Task SendAsync(Func<JsonBody, Task> write)
    {
        Begin();
        using (var json = new JsonBody(context, timeout)) await write(json);
        await EndAsync();
    }

    /// <summary>Sends an error, after which no event follows.</summary>
    public Task SendErrorAsync(OpenAiErrorJson error) => SendAsync(error.ToUtf8());

    /// <summary>Sends the event that ends a stream.</summary>
    public Task SendDoneAsync() => SendAsync("[DONE]"u8.ToArray());

    private Task SendAsync(byte[] data)
    {
        Begin();
        context.Response.BodyWriter.Write(data);
        return EndAsync();
    }

    private void Begin()
    {
        HttpResponse response = context.Response;
        if (!response.HasStarted)
        {
            response.ContentType = "text/event-stream; charset=utf-8";
            response.Headers.CacheControl = "no-cache";
            response.Headers["X-Accel-Buffering"] = "no"; // nginx would collect the events
        }
        response.BodyWriter.Write("data: "u8);
    }

    private Task EndAsync()
    {
        context.Response.BodyWriter.Write("\n\n"u8);
        return context.FlushBodyAsync(timeout);
    }
}
