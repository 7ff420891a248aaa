using Google.Protobuf;
using Grpc.Core;

namespace Ndif.Server.Grpc;

/// <summary>
/// Reading from and writing to a client that may be gone. grpc-dotnet then throws IOException or InvalidOperationException, and may
/// do so before it cancels the call's token: at a deadline it completes the response first ("Writing is not allowed after writer was
/// completed"). Here it is a cancellation, always.
/// </summary>
internal static class ClientStreamExtensions
{
    private const string ClientDisconnected = "The client is gone.";

    /// <summary>Bytes that are no message are an IOException by type too, but their client is there and waits for the answer.</summary>
    private static bool IsClientDisconnected(Exception cause) => cause is InvalidOperationException or IOException and not InvalidProtocolBufferException;

    public static async Task<bool> ReadNextAsync<T>(this IAsyncStreamReader<T> requests, CancellationToken cancellationToken)
    {
        try { return await requests.MoveNext(cancellationToken); }
        catch (Exception cause) when (IsClientDisconnected(cause)) { throw new OperationCanceledException(ClientDisconnected, cause); }
    }

    /// <summary>The next message, which must come within this time: a client that sends nothing holds memory and a connection.</summary>
    /// <exception cref="NdifException">UNAVAILABLE: it did not come.</exception>
    public static async Task<bool> ReadNextAsync<T>(this IAsyncStreamReader<T> requests, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using var late = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        late.CancelAfter(timeout);
        try { return await requests.ReadNextAsync(late.Token); }
        catch (Exception cause) when (late.IsCancellationRequested && !cancellationToken.IsCancellationRequested && cause is OperationCanceledException or RpcException)
        {
            throw ServerErrors.ClientTimedOut(timeout);
        }
    }

    public static async Task SendAsync<T>(this IServerStreamWriter<T> responses, T message, CancellationToken cancellationToken)
    {
        try { await responses.WriteAsync(message, cancellationToken); }
        catch (Exception cause) when (IsClientDisconnected(cause)) { throw new OperationCanceledException(ClientDisconnected, cause); }
    }
}
