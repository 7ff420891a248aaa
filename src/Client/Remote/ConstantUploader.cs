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

    /// <summary>The total size of inline constants above which all but the smallest are uploaded before the program.</summary>
    private const long MaxInlineBytesPerProgram = 16 << 20;

    private const int MaxInlineBytesInLargeProgram = 64 << 10;

    /// <summary>The program with its large constants replaced by references; the same program if it has none.</summary>
    public static async Task<Protocol.Program> UploadLargeConstantsAsync(RemoteService service, Protocol.Program program,
        CancellationToken cancellationToken)
    {
        int most = program.Constants.Sum(tensor => (long)tensor.Inline.Length) > MaxInlineBytesPerProgram ? MaxInlineBytesInLargeProgram
            : ProgramFormat.MaxInlineTensorBytes;
        if (!program.Constants.Any(IsLarge)) return program;
        Protocol.Program sent = program.Clone();
        await UploadLargeTensorsAsync(service, sent.Constants.Where(IsLarge), cancellationToken);
        return sent;

        bool IsLarge(Tensor tensor) => tensor.ContentCase is Tensor.ContentOneofCase.Inline && tensor.Inline.Length > most;
    }

    /// <summary>Replaces the large tensors of an answer by references.</summary>
    public static Task UploadLargeTensorsAsync(RemoteService service, Data answer, CancellationToken cancellationToken) =>
        UploadLargeTensorsAsync(service, answer.Tensors().Where(tensor => tensor.Inline.Length > ProgramFormat.MaxInlineTensorBytes),
            cancellationToken);

    private static async Task UploadLargeTensorsAsync(RemoteService service, IEnumerable<Tensor> tensors,
        CancellationToken cancellationToken)
    {
        Dictionary<string, ByteString> contents = [];
        foreach (Tensor tensor in tensors.ToList())
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
