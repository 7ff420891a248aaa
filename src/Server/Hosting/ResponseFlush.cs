using Microsoft.AspNetCore.Http;

namespace Ndif.Server.Hosting;

/// <summary>
/// Sends what was written to the body of a response. Kestrel has no time limit for clients that read slowly, because streams of jobs may
/// stand still (<see cref="KestrelSetup"/>), so what is written whole needs one of its own.
/// </summary>
internal static class ResponseFlush
{
    /// <summary>Returns when the connection has accepted the body, except for its last 64 KiB.</summary>
    /// <param name="timeout">How long the client may read nothing before it is disconnected.</param>
    /// <returns>False if the client has disconnected.</returns>
    /// <exception cref="OperationCanceledException">The request was aborted.</exception>
    public static async Task<bool> FlushBodyAsync(this HttpContext context, TimeSpan timeout)
    {
        using var timedOut = new CancellationTokenSource(timeout);
        using CancellationTokenRegistration abort = timedOut.Token.Register(context.Abort);
        return !(await context.Response.BodyWriter.FlushAsync(context.RequestAborted)).IsCompleted;
    }
}
