using Google.Protobuf;
using Grpc.Core;

namespace Ndif.Server.Grpc;

/// <summary>
/// Reads from and writes to a client that may have disconnected. In this case grpc-dotnet throws IOException or InvalidOperationException,
/// possibly before it cancels the token of the call: at a deadline it completes the response first ("Writing is not allowed after writer
/// was completed"). These methods always throw OperationCanceledException instead.
/// </summary>
internal static class ClientStreamExtensions
{
    private const string ClientDisconnected = "The client has disconnected.";

    /// <summary>InvalidProtocolBufferException derives from IOException, but its client is connected and waits for the error.</summary>
    private static bool IsClientDisconnected(Exception cause) =>
        cause is InvalidOperationException or IOException and not InvalidProtocolBufferException;

    public static async Task<bool> ReadNextAsync<T>(this IAsyncStreamReader<T> requests, CancellationToken cancellationToken)
    {
        try { return await requests.MoveNext(cancellationToken); }
        catch (Exception cause) when (IsClientDisconnected(cause)) { throw new OperationCanceledException(ClientDisconnected, cause); }
    }

    /// <summary>Reads the next message, with a timeout: a client that sends nothing occupies memory and a connection.</summary>
    /// <exception cref="NdifException">UNAVAILABLE: no message arrived within the timeout.</exception>
    public static async Task<bool> ReadNextAsync<T>(
        this IAsyncStreamReader<T> requests, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using var timedOut = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        timedOut.CancelAfter(timeout);
        try { return await requests.ReadNextAsync(timedOut.Token); }
        catch (Exception cause) when (timedOut.IsCancellationRequested && !cancellationToken.IsCancellationRequested
            && cause is OperationCanceledException or RpcException)
        {
            throw ServerErrors.ClientTimedOut(timeout);
        }
    }

    /// <summary>Sends a message. Returns when HTTP/2 flow control has accepted it.</summary>
    /// <remarks>
    /// HTTP/2 pings do not detect a client that has stopped reading: Kestrel waits to write its GOAWAY frame. Hence the timeout.
    /// </remarks>
    /// <param name="timeout">How long the client may take to read it.</param>
    /// <exception cref="OperationCanceledException">The client has disconnected, or has not read the message in time.</exception>
    public static async Task SendAsync<T>(
        this IServerStreamWriter<T> responses, T message, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using var timedOut = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        timedOut.CancelAfter(timeout);
        try { await responses.WriteAsync(message, timedOut.Token); }
        catch (Exception cause) when (IsClientDisconnected(cause)) { throw new OperationCanceledException(ClientDisconnected, cause); }
    }
}
