using System.Security.Cryptography;
using Google.Protobuf;
using Grpc.Core;
using Ndif.Protocol;

namespace Ndif.Remote;

/// <summary>Sends a program's large constants ahead of it, by hash, and only those the service does not hold yet.</summary>
internal static class ConstantUpload
{
    private const int Chunk = 512 << 10;

    /// <summary>Small constants travel inside the program's one message as long as they are no more than this together.</summary>
    private const long Together = 16 << 20;

    private const int Tiny = 64 << 10;

    /// <summary>The program with its large constants replaced by references; the same program if it has none.</summary>
    public static async Task<Protocol.Program> SendAsync(RemoteService service, Protocol.Program program, CancellationToken cancellationToken)
    {
        int most = program.Constants.Sum(tensor => (long)tensor.Inline.Length) > Together ? Tiny : ProgramFormat.InlineBytes;
        if (!program.Constants.Any(IsLarge)) return program;
        Protocol.Program sent = program.Clone();
        await ReplaceAsync(service, sent.Constants.Where(IsLarge), cancellationToken);
        return sent;

        bool IsLarge(Tensor tensor) => tensor.ContentCase is Tensor.ContentOneofCase.Inline && tensor.Inline.Length > most;
    }

    /// <summary>Replaces the large tensors of an answer by references.</summary>
    public static Task ReplaceAsync(RemoteService service, Data answer, CancellationToken cancellationToken) =>
        ReplaceAsync(service, Large(answer), cancellationToken);

    private static IEnumerable<Tensor> Large(Data data) => data.ValueCase switch
    {
        Data.ValueOneofCase.Tensor => data.Tensor.Inline.Length > ProgramFormat.InlineBytes ? [data.Tensor] : [],
        Data.ValueOneofCase.List => data.List.Items.SelectMany(Large),
        Data.ValueOneofCase.Map => data.Map.Entries.SelectMany(e => Large(e.Value)),
        _ => [],
    };

    private static async Task ReplaceAsync(RemoteService service, IEnumerable<Tensor> tensors, CancellationToken cancellationToken)
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
        HasBlobsReply known = await service.GuardAsync(async () => await service.Calls.HasBlobsAsync(
            new HasBlobsRequest { Ids = { contents.Keys } }, service.Headers(), cancellationToken: cancellationToken), cancellationToken);
        foreach (string id in known.Missing) await service.GuardAsync(() => PutAsync(service, id, contents[id], cancellationToken), cancellationToken);
    }

    private static async Task PutAsync(RemoteService service, string id, ByteString bytes, CancellationToken cancellationToken)
    {
        using AsyncClientStreamingCall<BlobChunk, BlobRef> call = service.Calls.PutBlob(service.Headers(), cancellationToken: cancellationToken);
        for (int at = 0; at < bytes.Length; at += Chunk)
        {
            await call.RequestStream.WriteAsync(new BlobChunk
            {
                Id = id, Offset = (ulong)at, Total = (ulong)bytes.Length,
                Data = UnsafeByteOperations.UnsafeWrap(bytes.Memory.Slice(at, Math.Min(Chunk, bytes.Length - at))),
            }, cancellationToken);
        }
        await call.RequestStream.CompleteAsync();
        await call.ResponseAsync;
    }
}
