using Grpc.Core;
using Grpc.Core.Interceptors;
using Ndif.Server.Hosting;

namespace Ndif.Server.Grpc;

/// <summary>
/// Turns every exception of a gRPC handler into a status with the complete error in a trailer, and lets large unary requests of a key wait
/// for their turn (<see cref="RequestScope.TakeTurnIfLargeAsync"/>).
/// </summary>
internal sealed class ErrorInterceptor(ExceptionTranslator exceptionTranslator) : Interceptor
{
    public override async Task<TResponse> UnaryServerHandler<TRequest, TResponse>(
        TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation)
    {
        try
        {
            if (RequestScope.Current is { } scope) await scope.TakeTurnIfLargeAsync(context.CancellationToken);
            return await continuation(request, context);
        }
        catch (Exception failure) { throw Translate(failure, context); }
    }

    public override async Task<TResponse> ClientStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, ServerCallContext context,
        ClientStreamingServerMethod<TRequest, TResponse> continuation)
    {
        try { return await continuation(requestStream, context); }
        catch (Exception failure) { throw Translate(failure, context); }
    }

    public override async Task ServerStreamingServerHandler<TRequest, TResponse>(
        TRequest request, IServerStreamWriter<TResponse> responseStream, ServerCallContext context,
        ServerStreamingServerMethod<TRequest, TResponse> continuation)
    {
        try { await continuation(request, responseStream, context); }
        catch (Exception failure) { throw Translate(failure, context); }
    }

    public override async Task DuplexStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, IServerStreamWriter<TResponse> responseStream, ServerCallContext context,
        DuplexStreamingServerMethod<TRequest, TResponse> continuation)
    {
        try { await continuation(requestStream, responseStream, context); }
        catch (Exception failure) { throw Translate(failure, context); }
    }

    private RpcException Translate(Exception failure, ServerCallContext context)
    {
        if (ExceptionTranslator.IsFinalStatus(failure, out RpcException? answer)) return answer;
        if (context.CancellationToken.IsCancellationRequested && failure is not NdifException)
            failure = new OperationCanceledException(null, failure); // the client has disconnected, which may be the cause
        return ErrorWireFormat.ToRpcException(exceptionTranslator.ToError(failure));
    }
}
