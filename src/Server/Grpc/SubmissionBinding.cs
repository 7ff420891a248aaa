using System.Runtime.InteropServices;
using Google.Protobuf;
using Grpc.Core;
using Ndif.Protocol;

namespace Ndif.Server.Grpc;

/// <summary>
/// Binds the methods of the services as the generated code does, except that requests are decoded within limits
/// (<see cref="BoundedDecoding"/>), and that those that carry a program keep its bytes (<see cref="SubmitRequest.ReceivedProgram"/>).
/// </summary>
internal static class SubmissionBinding
{
    private static readonly Marshaller<SubmitRequest> _submitMarshaller = BoundedDecoding.CreateMarshaller<SubmitRequest>(KeepProgram);

    private static readonly Marshaller<RunRequest> _runMarshaller = BoundedDecoding.CreateMarshaller<RunRequest>((request, bytes) =>
    {
        if (request.Submit is { } submission) KeepProgram(submission, FindField(bytes, RunRequest.SubmitFieldNumber));
    });

    /// <summary>Called by gRPC, with no service: it takes the handlers from the service's class.</summary>
    public static void Bind(ServiceBinderBase binder, Inference.InferenceBase service) =>
        Inference.BindService(new Binder(binder), service);

    /// <summary>As <see cref="Bind"/>, for `ndif.v1.Admin`.</summary>
    public static void BindAdmin(ServiceBinderBase binder, Ndif.Protocol.Admin.AdminBase service) =>
        Ndif.Protocol.Admin.BindService(new Binder(binder), service);

    private static void KeepProgram(SubmitRequest request, ReadOnlyMemory<byte> bytes) =>
        request.ReceivedProgram = FindField(bytes, SubmitRequest.ProgramFieldNumber);

    /// <summary>
    /// The content of a message field. Empty if the field is absent, or occurs several times: protobuf merges the occurrences then, so that
    /// no slice of the bytes is the field's value.
    /// </summary>
    private static ReadOnlyMemory<byte> FindField(ReadOnlyMemory<byte> message, int number)
    {
        if (!MemoryMarshal.TryGetArray(message, out ArraySegment<byte> bytes)) return default;
        var input = new CodedInputStream(bytes.Array!, bytes.Offset, bytes.Count);
        ReadOnlyMemory<byte> content = default;
        int occurrences = 0;
        for (uint tag = input.ReadTag(); tag != 0; tag = input.ReadTag())
        {
            int start = (int)input.Position;
            input.SkipLastField();
            if (tag != WireFormat.MakeTag(number, WireFormat.WireType.LengthDelimited)) continue;
            while ((bytes.Array![start++] & 0x80) != 0) { } // the length, a varint: its last byte has no continuation bit
            content = bytes.Array.AsMemory(start, (int)input.Position - start);
            occurrences++;
        }
        return occurrences == 1 ? content : default;
    }

    /// <summary>Passes methods on with the marshallers of this class in place of the generated ones.</summary>
    private sealed class Binder(ServiceBinderBase inner) : ServiceBinderBase
    {
        public override void AddMethod<TRequest, TResponse>(
            Method<TRequest, TResponse> method, UnaryServerMethod<TRequest, TResponse>? handler) =>
            inner.AddMethod(WithLimits(method), handler);

        public override void AddMethod<TRequest, TResponse>(
            Method<TRequest, TResponse> method, ClientStreamingServerMethod<TRequest, TResponse>? handler) =>
            inner.AddMethod(WithLimits(method), handler);

        public override void AddMethod<TRequest, TResponse>(
            Method<TRequest, TResponse> method, ServerStreamingServerMethod<TRequest, TResponse>? handler) =>
            inner.AddMethod(WithLimits(method), handler);

        public override void AddMethod<TRequest, TResponse>(
            Method<TRequest, TResponse> method, DuplexStreamingServerMethod<TRequest, TResponse>? handler) =>
            inner.AddMethod(WithLimits(method), handler);

        private static Method<TRequest, TResponse> WithLimits<TRequest, TResponse>(Method<TRequest, TResponse> method)
            where TRequest : class where TResponse : class
        {
            object marshaller = typeof(TRequest) == typeof(SubmitRequest) ? _submitMarshaller
                : typeof(TRequest) == typeof(RunRequest) ? _runMarshaller : BoundedDecoding.CreateMarshaller<TRequest>();
            return new Method<TRequest, TResponse>(
                method.Type, method.ServiceName, method.Name, (Marshaller<TRequest>)marshaller, method.ResponseMarshaller);
        }
    }
}
