using Google.Protobuf;
using Google.Protobuf.Reflection;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Protocol.Wire;
using Ndif.Server.Hosting;

namespace Ndif.Server.Grpc;

/// <summary>
/// Decodes request messages within limits (<see cref="WireScan"/>), and reserves the memory of a large one (<see cref="RequestScope"/>).
/// A large message with a program is decoded when its request has its turn (<see cref="RequestScope.TakeTurnIfLargeAsync"/>); grpc-dotnet
/// receives it empty. A refusal before that is a complete gRPC status, because grpc-dotnet decodes the first message before any interceptor
/// runs.
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
            var message = Activator.CreateInstance<T>();
            RequestScope? scope = RequestScope.Current;
            scope?.OnMessageReceived(bytes.Length);
            if (HasProgram(type) && scope?.TryDecodeInTurn(Decode) == true) return message;
            try
            {
                Decode();
            }
            catch (NdifException refusal)
            {
                throw ErrorWireFormat.ToRpcException(refusal.Error);
            }
            return message;

            void Decode()
            {
                BoundedDecoding.Decode(bytes, (IMessage)message, scope);
                onParsed?.Invoke(message, bytes);
            }
        });
    }

    private static bool HasProgram(MessageDescriptor type) => type == SubmitRequest.Descriptor || type == RunRequest.Descriptor;

    private static void Decode(byte[] bytes, IMessage message, RequestScope? scope)
    {
        WireLimits limits = HasProgram(message.Descriptor)
            ? WireLimits.ForMessagesOf(scope?.MaxMessageBytes ?? bytes.Length) : WireLimits.SmallRequest;
        long needed = WireScan.Measure(bytes, message.Descriptor, limits);
        if (needed >= MinReservedBytes) scope?.Reserve(needed);
        message.MergeFrom(bytes);
    }

    private static void Serialize<T>(T message, SerializationContext context) where T : class
    {
        var serialized = (IMessage)message;
        context.SetPayloadLength(serialized.CalculateSize());
        serialized.WriteTo(context.GetBufferWriter());
        context.Complete();
    }
}
