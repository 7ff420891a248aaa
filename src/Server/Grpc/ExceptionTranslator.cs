using System.Diagnostics.CodeAnalysis;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue.Blobs;
using Ndif.Queue.Redis;
using StackExchange.Redis;

namespace Ndif.Server.Grpc;

/// <summary>
/// Translates exceptions to the <see cref="Error"/> that the caller sees. An unexpected exception is logged with an id, and the caller sees
/// only the id.
/// </summary>
internal sealed class ExceptionTranslator(GatewayOptions options, ILogger<ExceptionTranslator> logger)
{
    public Error ToError(Exception exception)
    {
        switch (exception)
        {
            case NdifException or IndexOutOfRangeException { InnerException: NdifException } or OperationCanceledException:
                return Errors.FromException(exception);
            case RpcException { StatusCode: StatusCode.ResourceExhausted }: // thrown by grpc-dotnet while it reads a streamed request
                return ServerErrors.MessageTooLarge(options.MessageBytes);
            // thrown by Kestrel for a request body that is too slow
            case BadHttpRequestException { StatusCode: StatusCodes.Status408RequestTimeout }:
                return Errors.FromException(ServerErrors.ClientTimedOut(options.RequestTimeout));
            case BadHttpRequestException or IOException { InnerException: OverflowException }: // the latter for the size of a chunk
                return ServerErrors.MalformedMessage();
            case RpcException or InvalidProtocolBufferException or InvalidDataException:
                return ServerErrors.MalformedMessage();
            case RedisException or RedisTimeoutException:
                logger.StoreUnavailable(RedisFailures.Describe(exception));
                return ServerErrors.StoreUnavailable();
            case var _ when StorageFailure.IsStorageFailure(exception):
                logger.StorageFailed(exception);
                return StorageFailure.ToException(exception).Error;
            default:
                string id = NewErrorId();
                logger.Unexpected(id, exception);
                return ServerErrors.Unexpected(id);
        }
    }

    /// <summary>Returns whether the exception is a gRPC status that is sent as it is, such as UNIMPLEMENTED.</summary>
    public static bool IsFinalStatus(Exception exception, [NotNullWhen(true)] out RpcException? rpcException)
    {
        rpcException = exception as RpcException;
        return rpcException is { StatusCode: StatusCode.Unimplemented } || rpcException?.Trailers.Get(ErrorWireFormat.Trailer) is not null;
    }

    private static string NewErrorId() => Guid.NewGuid().ToString("N")[..12];
}
