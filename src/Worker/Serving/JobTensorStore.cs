using Google.Protobuf;
using Ndif.Engine;
using Ndif.Engine.Running;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using TorchSharp;

namespace Ndif.Worker.Serving;

/// <summary>Stores the tensors that a job sends back, and reads those that its client has uploaded.</summary>
internal sealed class JobTensorStore(Lease lease, IBlobStore blobs, JobEventPublisher events, CancellationToken cancelled)
{
    /// <summary>The bytes of the tensors that were stored.</summary>
    public long ResultBytes { get; private set; }

    /// <summary>
    /// Serializes a tensor. A small one is sent inline in its event, a large one as a blob that the owner of the job may read.
    /// </summary>
    public Tensor Store(torch.Tensor tensor)
    {
        long bytes = tensor.numel() * tensor.element_size();
        ResultBytes += bytes;
        if (bytes <= events.MaxInlineTensorBytes) return tensor.ToData().ToProto(); // counted with its event
        events.CountSentBytes(bytes, enforceLimit: true);
        using torch.Tensor plain = TensorBytes.ToContiguousCpu(tensor);
        BlobRef blob = StoreBlobAsync(plain).GetAwaiter().GetResult();
        return new Tensor { Dtype = (DataType)TensorBytes.FromTorch(plain.dtype), Shape = { plain.shape }, Blob = blob };
    }

    private async Task<BlobRef> StoreBlobAsync(torch.Tensor tensor)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                BlobRef blob = await blobs.PutNewAsync((stream, _) =>
                {
                    TensorBytes.CopyTo(tensor, stream);
                    return Task.CompletedTask;
                }, cancelled);
                await blobs.GrantAsync(blob.Id, lease.Owner, lease.JobId, cancelled);
                return blob;
            }
            catch (Exception failure) when (StorageFailure.IsStorageFailure(failure))
            {
                throw StorageFailure.ToException(failure);
            }
            catch (NdifException e) when (e.Code is ErrorCode.UnknownBlob && attempt < 3)
            {
                // the blob was deleted before the grant
            }
        }
    }

    /// <summary>Replaces the blob references of a reply with their bytes.</summary>
    public async Task ResolveAsync(Data data, OperationLimits? limits)
    {
        foreach (Tensor tensor in data.BlobTensors()) tensor.Inline = (await DownloadAsync(tensor, limits)).ToProto().Inline;
    }

    /// <summary>Reads a constant that was uploaded, if the job has the memory for it.</summary>
    /// <exception cref="NdifException">UNKNOWN_BLOB, OUT_OF_MEMORY.</exception>
    public async Task<TensorData> DownloadAsync(Tensor tensor, OperationLimits? limits)
    {
        await using Stream? stream = await blobs.CanReadAsync(tensor.Blob.Id, lease.Owner, cancelled)
            ? await blobs.OpenAsync(tensor.Blob.Id, cancelled) : null;
        if (stream is null)
            throw Errors.CreateException(
                ErrorCode.UnknownBlob, "A constant of the program is no longer on the service.",
                "Submit the program again; constants are kept for a limited time.");
        limits?.RequireMemory("A constant or an answer", stream.Length, stream.Length); // read, then copied into a tensor
        byte[] bytes = GC.AllocateUninitializedArray<byte>(checked((int)stream.Length));
        await stream.ReadExactlyAsync(bytes, cancelled);
        return TensorData.FromProto(
            new Tensor { Dtype = tensor.Dtype, Shape = { tensor.Shape }, Inline = UnsafeByteOperations.UnsafeWrap(bytes) });
    }
}
