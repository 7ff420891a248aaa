using System.Diagnostics.CodeAnalysis;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using StackExchange.Redis;

namespace Ndif.Server.Grpc;

/// <summary>From any exception to the <see cref="Error"/> that the caller sees. What is not ours gets an id and a line in the log.</summary>
internal sealed class ExceptionTranslator(GatewayOptions options, ILogger<ExceptionTranslator> logger)
{
    public Error ToError(Exception exception)
    {
        switch (exception)
        {
            case NdifException or IndexOutOfRangeException { InnerException: NdifException } or OperationCanceledException:
                return Errors.FromException(exception);
            case RpcException { StatusCode: StatusCode.ResourceExhausted }: // grpc-dotnet's, while it reads a streamed request
                return ServerErrors.MessageTooLarge(options.MessageBytes);
            case BadHttpRequestException { StatusCode: StatusCodes.Status408RequestTimeout }: // Kestrel's, of a body that trickles
                return Errors.FromException(ServerErrors.ClientTimedOut(options.RequestPatience));
            case BadHttpRequestException:
                return ServerErrors.MalformedMessage();
            case RpcException or InvalidProtocolBufferException or InvalidDataException:
                return ServerErrors.MalformedMessage();
            case RedisException or RedisTimeoutException:
                logger.StoreUnavailable(exception);
                return ServerErrors.StoreUnavailable();
            default:
                string id = NewErrorId();
                logger.Unexpected(id, exception);
                return ServerErrors.Unexpected(id);
        }
    }

    /// <summary>True for an exception that is a gRPC answer by intention, such as UNIMPLEMENTED of a method not overridden.</summary>
    public static bool IsFinalStatus(Exception exception, [NotNullWhen(true)] out RpcException? rpcException)
    {
        rpcException = exception as RpcException;
        return rpcException is { StatusCode: StatusCode.Unimplemented } || rpcException?.Trailers.Get(ErrorWireFormat.Trailer) is not null;
    }

    private static string NewErrorId() => Guid.NewGuid().ToString("N")[..12];
}
