using Google.Protobuf.Reflection;
using Grpc.Core;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Security;

/// <summary>Calls any gRPC method with raw bytes as messages.</summary>
internal static class RawGrpcCalls
{
    private static readonly Marshaller<byte[]> _marshaller = Marshallers.Create(bytes => bytes, bytes => bytes);

    /// <summary>Sends one message and reads to the end.</summary>
    public static async Task CallAsync(CallInvoker invoker, MethodDescriptor method, byte[] message)
    {
        var call = new Method<byte[], byte[]>(
            (method.IsClientStreaming, method.IsServerStreaming) switch
            {
                (true, true) => MethodType.DuplexStreaming, (true, false) => MethodType.ClientStreaming, (false, true) =>
                    MethodType.ServerStreaming, _ => MethodType.Unary,
            },
            method.Service.FullName, method.Name, _marshaller, _marshaller);
        var options = new CallOptions(cancellationToken: TestGateway.Cancel);
        switch (call.Type)
        {
            case MethodType.Unary:
                await invoker.AsyncUnaryCall(call, null, options, message);
                break;
            case MethodType.ServerStreaming:
                using (var stream = invoker.AsyncServerStreamingCall(call, null, options, message))
                    while (await stream.ResponseStream.MoveNext(TestGateway.Cancel)) { }
                break;
            case MethodType.ClientStreaming:
                using (var stream = invoker.AsyncClientStreamingCall(call, null, options)) await stream;
                break;
            default:
                using (var stream = invoker.AsyncDuplexStreamingCall(call, null, options))
                    while (await stream.ResponseStream.MoveNext(TestGateway.Cancel)) { }
                break;
        }
    }
}
