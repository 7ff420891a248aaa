using System.Diagnostics.CodeAnalysis;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using StackExchange.Redis;

namespace Ndif.Server;

/// <summary>From any exception to the <see cref="Error"/> that the caller sees. What is not ours gets an id and a line in the log.</summary>
internal sealed class Failures(GatewayOptions options, ILogger<Failures> logger)
{
    public Error ErrorOf(Exception exception)
    {
        switch (exception)
        {
            case NdifException or IndexOutOfRangeException { InnerException: NdifException } or OperationCanceledException:
                return Errors.Of(exception);
            case RpcException { StatusCode: StatusCode.ResourceExhausted }: // grpc-dotnet's, while it reads a streamed request
                return ServerErrors.MessageTooLarge(options.MessageBytes);
            case BadHttpRequestException { StatusCode: StatusCodes.Status408RequestTimeout }: // Kestrel's, of a body that trickles
                return Errors.Of(ServerErrors.TooSlow(options.RequestPatience));
            case BadHttpRequestException:
                return ServerErrors.MalformedMessage();
            case RpcException or InvalidProtocolBufferException or InvalidDataException:
                return ServerErrors.MalformedMessage();
            case RedisException or RedisTimeoutException:
                logger.StoreUnavailable(exception);
                return ServerErrors.StoreUnavailable();
            default:
                string id = NewId();
                logger.Unexpected(id, exception);
                return ServerErrors.Unexpected(id);
        }
    }

    /// <summary>True for an exception that is a gRPC answer by intention, such as UNIMPLEMENTED of a method not overridden.</summary>
    public static bool IsAnswer(Exception exception, [NotNullWhen(true)] out RpcException? answer)
    {
        answer = exception as RpcException;
        return answer is { StatusCode: StatusCode.Unimplemented } || answer?.Trailers.Get(ErrorWire.Trailer) is not null;
    }

    private static string NewId() => Guid.NewGuid().ToString("N")[..12];
}
