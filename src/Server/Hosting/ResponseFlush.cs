using Microsoft.AspNetCore.Http;

namespace Ndif.Server.Hosting;

/// <summary>
/// Sends what was written to the body of a response. Kestrel has no time limit for clients that read slowly, because streams of jobs may
/// stand still (<see cref="KestrelSetup"/>), so what is sent in parts needs one for each part.
/// </summary>
internal static class ResponseFlush
{
    /// <summary>Returns when the connection has accepted the body, except for its last 64 KiB.</summary>
    /// <param name="timeout">How long the client may take to read it, before it is disconnected.</param>
    /// <exception cref="OperationCanceledException">The client has disconnected, or was disconnected.</exception>
    public static async Task FlushBodyAsync(this HttpContext context, TimeSpan timeout)
    {
        using var timedOut = new CancellationTokenSource(timeout);
        using CancellationTokenRegistration abort = timedOut.Token.Register(context.Abort);
        if ((await context.Response.BodyWriter.FlushAsync(context.RequestAborted)).IsCompleted)
            throw new OperationCanceledException(context.RequestAborted);
    }

    /// <summary>Returns whether a response has failed because its client has gone.</summary>
    public static bool IsDisconnection(this HttpContext context, Exception failure) =>
        failure is OperationCanceledException cancelled
        // the token is cancelled a moment after the connection has ended
        && (context.RequestAborted.IsCancellationRequested || cancelled.CancellationToken == context.RequestAborted);
}
