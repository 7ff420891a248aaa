using System.Security.Cryptography;
using Google.Protobuf;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Remote;

/// <summary>Sends a program's large constants ahead of it, by hash, and only those the service does not hold yet.</summary>
internal static class ConstantUploader
{
    private const int ChunkBytes = 512 << 10;

    /// <summary>The size of the other fields of a submission.</summary>
    private const int MaxEnvelopeBytes = 256;

    /// <summary>The total size of the tensors inside one message; if they have more, smaller ones are uploaded too.</summary>
    private const long MaxInlineBytesPerMessage = 1 << 20;

    /// <summary>The sizes above which tensors are uploaded: the first that leaves the message small enough.</summary>
    private static readonly int[] _maxInlineBytes = [ProgramFormat.MaxInlineTensorBytes, 1 << 10, 64];

    /// <summary>The program with its large constants replaced by references; the same program if it has none.</summary>
    public static async Task<Protocol.Program> UploadLargeConstantsAsync(RemoteService service, Protocol.Program program,
        CancellationToken cancellationToken)
    {
        int most = GetMaxInlineBytes(program.Constants);
        Protocol.Program sent = program;
        if (program.Constants.Any(tensor => tensor.Inline.Length > most))
        {
            sent = program.Clone();
            await UploadLargeTensorsAsync(service, sent.Constants, cancellationToken);
        }
        await ThrowIfTooLargeAsync(service, sent, cancellationToken);
        return sent;
    }

    /// <summary>Replaces the large tensors of an answer by references.</summary>
    public static Task UploadLargeTensorsAsync(RemoteService service, Data answer, CancellationToken cancellationToken) =>
        UploadLargeTensorsAsync(service, [.. answer.Tensors()], cancellationToken);

    private static int GetMaxInlineBytes(IEnumerable<Tensor> tensors) => _maxInlineBytes.FirstOrDefault(
        most => tensors.Sum(tensor => tensor.Inline.Length > most ? 0L : tensor.Inline.Length) <= MaxInlineBytesPerMessage,
        _maxInlineBytes[^1]);

    /// <summary>The service would refuse the message too, but only when it has received it.</summary>
    /// <exception cref="NdifException">LIMIT_EXCEEDED: the program is larger than a message of the service may be.</exception>
    private static async Task ThrowIfTooLargeAsync(RemoteService service, Protocol.Program program, CancellationToken cancellationToken)
    {
        int bytes = program.CalculateSize();
        if (bytes <= MaxInlineBytesPerMessage) return;
        ulong limit = await service.GetMaxMessageBytesAsync(cancellationToken);
        if ((ulong)bytes + MaxEnvelopeBytes > limit)
            throw Errors.CreateException(ErrorCode.LimitExceeded,
                $"The program has {bytes:N0} bytes, without its large tensors; a message to this service may have {limit:N0}.",
                "Record loops instead of unrolled statements, pass token ids and texts as tensors or in several traces, "
                + "or split the experiment into several jobs.");
    }

    private static async Task UploadLargeTensorsAsync(RemoteService service, IReadOnlyList<Tensor> tensors,
        CancellationToken cancellationToken)
    {
        int most = GetMaxInlineBytes(tensors);
        Dictionary<string, ByteString> contents = [];
        foreach (Tensor tensor in tensors.Where(tensor => tensor.Inline.Length > most))
        {
            ByteString bytes = tensor.Inline;
            string id = Convert.ToHexStringLower(SHA256.HashData(bytes.Span));
            contents[id] = bytes;
            tensor.Blob = new BlobRef { Id = id, Length = (ulong)bytes.Length };
        }
        if (contents.Count == 0) return;
        HasBlobsReply known = await service.TranslateErrorsAsync(async () => await service.Inference.HasBlobsAsync(
            new HasBlobsRequest { Ids = { contents.Keys } }, service.CreateHeaders(), cancellationToken: cancellationToken),
            cancellationToken);
        foreach (string id in known.Missing)
            await service.TranslateErrorsAsync(() => UploadBlobAsync(service, id, contents[id], cancellationToken), cancellationToken);
    }

    private static async Task UploadBlobAsync(RemoteService service, string id, ByteString bytes, CancellationToken cancellationToken)
    {
        using AsyncClientStreamingCall<BlobChunk, BlobRef> call =
            service.Inference.PutBlob(service.CreateHeaders(), cancellationToken: cancellationToken);
        for (int at = 0; at < bytes.Length; at += ChunkBytes)
        {
            await call.RequestStream.WriteAsync(new BlobChunk
            {
                Id = id, Offset = (ulong)at, Total = (ulong)bytes.Length,
                Data = UnsafeByteOperations.UnsafeWrap(bytes.Memory.Slice(at, Math.Min(ChunkBytes, bytes.Length - at))),
            }, cancellationToken);
        }
        await call.RequestStream.CompleteAsync();
        await call.ResponseAsync;
    }
}
