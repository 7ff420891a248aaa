using Google.Protobuf;
using Google.Protobuf.Reflection;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Protocol.Wire;
using Ndif.Server.Hosting;

namespace Ndif.Server.Grpc;

/// <summary>
/// Decodes request messages within limits (<see cref="WireScan"/>), and reserves the memory of a large one (<see cref="RequestScope"/>).
/// A refusal is a complete gRPC status, because grpc-dotnet decodes the first message before any interceptor runs.
/// </summary>
internal static class BoundedDecoding
{
    /// <summary>Smaller messages need no reservation.</summary>
    private const long MinReservedBytes = 1 << 20;

    /// <summary>Creates the marshaller of a request type.</summary>
    /// <param name="onParsed">Receives each message and its bytes.</param>
    public static Marshaller<T> CreateMarshaller<T>(Action<T, ReadOnlyMemory<byte>>? onParsed = null) where T : class
    {
        MessageDescriptor type = ((IMessage)Activator.CreateInstance<T>()).Descriptor;
        // Chunks of uploads have no nested messages: they are parsed where they are.
        if (typeof(T) == typeof(BlobChunk))
        {
            MessageParser<BlobChunk> chunks = BlobChunk.Parser.WithDiscardUnknownFields(true);
            return new Marshaller<T>(Serialize, context => (T)(object)chunks.ParseFrom(context.PayloadAsReadOnlySequence()));
        }
        return new Marshaller<T>(Serialize, context =>
        {
            byte[] bytes = context.PayloadAsNewBuffer();
            var message = (T)Decode(bytes, type);
            onParsed?.Invoke(message, bytes);
            return message;
        });
    }

    private static IMessage Decode(byte[] bytes, MessageDescriptor type)
    {
        RequestScope? scope = RequestScope.Current;
        scope?.OnMessageReceived(bytes.Length);
        try
        {
            bool hasProgram = type == SubmitRequest.Descriptor || type == RunRequest.Descriptor;
            long needed = WireScan.Measure(
                bytes, type, hasProgram ? WireLimits.ForMessagesOf(scope?.MaxMessageBytes ?? bytes.Length) : WireLimits.SmallRequest);
            if (needed >= MinReservedBytes) scope?.Reserve(needed);
            return type.Parser.ParseFrom(bytes);
        }
        catch (NdifException refusal)
        {
            throw ErrorWireFormat.ToRpcException(refusal.Error);
        }
    }

    private static void Serialize<T>(T message, SerializationContext context) where T : class
    {
        var serialized = (IMessage)message;
        context.SetPayloadLength(serialized.CalculateSize());
        serialized.WriteTo(context.GetBufferWriter());
        context.Complete();
    }
}
