using Google.Protobuf;
using Grpc.Core;

namespace Ndif.Server;

/// <summary>
/// Reading from and writing to a client that may be gone. grpc-dotnet then throws IOException or InvalidOperationException, and may
/// do so before it cancels the call's token: at a deadline it completes the response first ("Writing is not allowed after writer was
/// completed"). Here it is a cancellation, always.
/// </summary>
internal static class ClientStreams
{
    private const string Gone = "The client is gone.";

    /// <summary>Bytes that are no message are an IOException by type too, but their client is there and waits for the answer.</summary>
    private static bool IsGone(Exception cause) => cause is InvalidOperationException or IOException and not InvalidProtocolBufferException;

    public static async Task<bool> NextAsync<T>(this IAsyncStreamReader<T> requests, CancellationToken cancellationToken)
    {
        try { return await requests.MoveNext(cancellationToken); }
        catch (Exception cause) when (IsGone(cause)) { throw new OperationCanceledException(Gone, cause); }
    }

    /// <summary>The next message, which must come within this time: a client that sends nothing holds memory and a connection.</summary>
    /// <exception cref="NdifException">UNAVAILABLE: it did not come.</exception>
    public static async Task<bool> NextAsync<T>(this IAsyncStreamReader<T> requests, TimeSpan patience, CancellationToken cancellationToken)
    {
        using var late = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        late.CancelAfter(patience);
        try { return await requests.NextAsync(late.Token); }
        catch (Exception cause) when (late.IsCancellationRequested && !cancellationToken.IsCancellationRequested && cause is OperationCanceledException or RpcException)
        {
            throw ServerErrors.TooSlow(patience);
        }
    }

    public static async Task SendAsync<T>(this IServerStreamWriter<T> responses, T message, CancellationToken cancellationToken)
    {
        try { await responses.WriteAsync(message, cancellationToken); }
        catch (Exception cause) when (IsGone(cause)) { throw new OperationCanceledException(Gone, cause); }
    }
}
