using Google.Protobuf;
using Ndif.Engine;
using Ndif.Engine.Running;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using TorchSharp;

namespace Ndif.Worker.Serving;

/// <summary>
/// Stores the values that a job sends back, and reads those that its client has uploaded. Small tensors are sent inline in their event;
/// large ones are blobs that the owner of the job may read, which are written while the job goes on (<see cref="ResultWriters"/>):
/// 1. Until then they are kept: as they are if nobody changes them any more, else as a copy. If there is no memory for the copy, the job
///    waits until the tensors themselves are written.
/// 2. A job that saves faster than its values are written waits, and other jobs of the model go on. At its end it does not wait: what it
///    saves then needs no more memory.
/// 3. A value that cannot be written ends the job (<see cref="Failure"/>). Those that a job has saved before its time limit are written
///    after it, for a few seconds.
/// 4. The blobs of a value whose event was not published are revoked (<see cref="ValueBlobs"/>).
/// </summary>
/// <param name="cancel">Cancels the run.</param>
/// <param name="stopWriting">Cancels the writing; some time after the run was cancelled, this class cancels it.</param>
internal sealed class JobTensorStore(Lease lease, IBlobStore blobs, JobEventPublisher events, ResultWriters writers,
    CancellationTokenSource cancel, CancellationTokenSource stopWriting)
{
    /// <summary>The bytes of a job that may wait to be written, so that it computes the next value meanwhile; one may have more.</summary>
    private const long MaxUnwrittenBytes = 32 << 20;

    /// <summary>The tensors of a saved container that are serialized before other jobs may run.</summary>
    private const int TensorsOfPart = 64;

    /// <summary>How long the values of a job are written after its time limit, and how long a write may go on that was cancelled.</summary>
    private static readonly TimeSpan _lateWriteTimeout = TimeSpan.FromSeconds(5), _cancelTimeout = TimeSpan.FromSeconds(5);

    /// <summary>In place of a blob that is not written yet, in the size of its event.</summary>
    private static readonly BlobRef _unwritten =
        new() { Id = new string('0', 64), Length = 1 << 30, Checksum = UnsafeByteOperations.UnsafeWrap(new byte[16]) };

    private readonly CancellationToken _cancelled = cancel.Token, _writingCancelled = stopWriting.Token;
    private readonly List<ValueBlobs> _values = []; // those that may have to be written or revoked
    private readonly Lock _lock = new();
    private int _tensorCount;
    private long _unwrittenBytes;
    private (Exception Exception, uint Node)? _failure;

    /// <summary>The bytes of the tensors that were stored.</summary>
    public long ResultBytes { get; private set; }

    /// <summary>The error of the first value that could not be written, and the node that saved it; null if there is none.</summary>
    public (Exception Exception, uint Node)? Failure
    {
        get
        {
            lock (_lock) return _failure;
        }
    }

    /// <summary>Serializes a value on the thread of the model.</summary>
    /// <param name="isFinal">Whether nobody changes its tensors any more.</param>
    /// <returns>The value, and its blobs, which it lacks until they are written; null if it has none.</returns>
    /// <exception cref="OperationCanceledException">The run was cancelled or preempted; nothing is stored.</exception>
    public (Data Data, ValueBlobs? Blobs) Store(JobRun run, uint node, object? value, bool isFinal)
    {
        long sent = 0, bytes = 0;
        double copied = 0;
        HashSet<object> seen = [];
        TensorOwnership.ForEachTensor(value, tensor =>
        {
            if (!IsLarge(tensor)) return;
            sent += BytesOf(tensor);
            if (!seen.Add(GetIdentity(tensor))) return;
            bytes += BytesOf(tensor);
            if (!isFinal || !TensorBytes.IsPlain(tensor)) copied += BytesOf(tensor);
        });
        if (bytes == 0) return (ValueSerializer.Serialize(value, tensor => InParts(run, () => StoreInline(tensor))), null);
        events.RequireSentBytes(sent);
        while (Interlocked.Read(ref _unwrittenBytes) is > 0 and var unwritten
            && ((unwritten + bytes > MaxUnwrittenBytes && !run.IsFinishing) || !HasMemory()))
            WaitForNextWrite(run, canLeave: true);
        bool isCopied = HasMemory();
        Dictionary<torch.Tensor, Tensor?> kept = Keep(run, ref value, isFinal, isCopied);
        ValueBlobs stored = NewValueBlobs();
        Data data;
        try
        {
            data = ValueSerializer.Serialize(value, tensor => InParts(run, () => Store(run, node, tensor, kept, stored)));
        }
        catch
        {
            foreach ((torch.Tensor tensor, Tensor? written) in kept)
                if (written is null) tensor.Dispose();
            throw;
        }
        if (!isCopied) run.WaitWhileOthersRun(stored.Written, canLeave: false);
        return (data, stored);

        bool HasMemory() => copied == 0 || run.Limits.HasMemory(copied);
    }

    /// <summary>Waits on the thread of the model until everything is written; other jobs run meanwhile.</summary>
    public void WaitForWrites(JobRun run)
    {
        while (Interlocked.Read(ref _unwrittenBytes) > 0) WaitForNextWrite(run, canLeave: false);
    }

    /// <summary>Completes when everything is written, or a write has failed or was cancelled.</summary>
    public Task Written => Task.WhenAll(GetUnwritten());

    /// <summary>Completes when nothing is written any more.</summary>
    /// <returns>False if a value was not written.</returns>
    public async Task<bool> EndAsync()
    {
        Task all = Written;
        await all.WaitAsync(_cancelled).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!all.IsCompleted) stopWriting.CancelAfter(_lateWriteTimeout);
        await all.WaitAsync(_writingCancelled).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await all.WaitAsync(_cancelTimeout).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return all.IsCompletedSuccessfully;
    }

    /// <summary>Revokes the blobs of the values that were not published. Those that are being written are revoked after that.</summary>
    public Task RevokeUnpublishedAsync()
    {
        ValueBlobs[] values;
        lock (_lock) values = [.. _values.Where(value => !value.IsPublished)];
        return Task.WhenAll(values.Select(value => Task.Run(value.RevokeUnpublishedAsync))); // a disk may not answer
    }

    private ValueBlobs NewValueBlobs()
    {
        var value = new ValueBlobs(lease, blobs);
        lock (_lock)
        {
            _values.RemoveAll(earlier => earlier.IsPublished);
            _values.Add(value);
        }
        return value;
    }

    private void WaitForNextWrite(JobRun run, bool canLeave)
    {
        _cancelled.ThrowIfCancellationRequested(); // also after a write has failed
        if (GetUnwritten() is [var next, ..]) run.WaitWhileOthersRun(next, canLeave);
    }

    private static long BytesOf(torch.Tensor tensor) => tensor.numel() * tensor.element_size();

    private bool IsLarge(torch.Tensor tensor) => BytesOf(tensor) > events.MaxInlineTensorBytes;

    private List<Task> GetUnwritten()
    {
        lock (_lock) return [.. _values.SelectMany(value => value.Unwritten)];
    }

    /// <summary>
    /// Equal for references to the same elements, which are written once. Views that change elements when they are read, as conj() and its
    /// imag, are complex or not contiguous.
    /// </summary>
    private static object GetIdentity(torch.Tensor tensor) =>
        tensor.is_contiguous() && !tensor.is_complex() && HeldStorages.StorageOf(tensor) is { Elements: var elements }
            ? (elements, tensor.dtype, string.Join(' ', tensor.shape)) : new object();

    /// <summary>
    /// Replaces the large tensors of a value by others that can be written while the job goes on, and returns these; later each has what
    /// stands for it in the event.
    /// </summary>
    private Dictionary<torch.Tensor, Tensor?> Keep(JobRun run, ref object? value, bool isFinal, bool isCopied)
    {
        Dictionary<torch.Tensor, Tensor?> kept = new(ReferenceEqualityComparer.Instance);
        Dictionary<object, torch.Tensor> byIdentity = [];
        try
        {
            value = TensorOwnership.MapTensors(value, tensor =>
            {
                if (!IsLarge(tensor)) return tensor;
                object identity = GetIdentity(tensor);
                if (byIdentity.TryGetValue(identity, out torch.Tensor? same)) return same;
                torch.Tensor plain = TensorBytes.IsPlain(tensor) && (isFinal || !isCopied) ? tensor.detach().DetachFromDisposeScope()
                    : isCopied ? TensorBytes.CopyInParts(tensor, run.Limits.BetweenParts)
                    : TensorBytes.ToContiguousCpu(tensor).DetachFromDisposeScope();
                kept.Add(plain, null);
                return byIdentity[identity] = plain;
            });
            return kept;
        }
        catch
        {
            foreach (torch.Tensor tensor in kept.Keys) tensor.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Stores a tensor. Others run between two parts of the containers that a job saves at its end, which may have any number; it is not
    /// preempted then.
    /// </summary>
    private Tensor InParts(JobRun run, Func<Tensor> store)
    {
        if (run.IsFinishing && ++_tensorCount % TensorsOfPart == 0) run.Limits.BetweenParts();
        return store();
    }

    /// <summary>Serializes a small tensor, which counts with its event.</summary>
    private Tensor StoreInline(torch.Tensor tensor)
    {
        ResultBytes += BytesOf(tensor);
        return tensor.ToData().ToProto();
    }

    /// <summary>Serializes one of the tensors of a value.</summary>
    private Tensor Store(JobRun run, uint node, torch.Tensor tensor, Dictionary<torch.Tensor, Tensor?> kept, ValueBlobs value)
    {
        if (!kept.TryGetValue(tensor, out Tensor? stored)) return StoreInline(tensor);
        ResultBytes += BytesOf(tensor);
        events.CountSentBytes(BytesOf(tensor), enforceLimit: false);
        if (stored is not null) return stored; // another reference to the same elements
        stored = new Tensor { Dtype = (DataType)TensorBytes.FromTorch(tensor.dtype), Shape = { tensor.shape }, Blob = _unwritten };
        kept[tensor] = stored;
        Task written = WriteAsync(node, tensor, stored, value);
        run.Slots.Keep(tensor, written);
        value.AddWrite(written);
        return stored;
    }

    private async Task WriteAsync(uint node, torch.Tensor tensor, Tensor stored, ValueBlobs value)
    {
        long bytes = BytesOf(tensor);
        Interlocked.Add(ref _unwrittenBytes, bytes);
        try
        {
            await writers.WriteAsync(lease.Owner, bytes,
                () => stored.Blob = StoreBlobAsync(tensor, value).GetAwaiter().GetResult(), _writingCancelled);
            Interlocked.Add(ref _unwrittenBytes, -bytes);
        }
        catch (Exception failure) when (!_cancelled.IsCancellationRequested)
        {
            lock (_lock) _failure ??= (failure, node);
            await stopWriting.CancelAsync();
            await cancel.CancelAsync();
            throw;
        }
    }

    private async Task<BlobRef> StoreBlobAsync(torch.Tensor tensor, ValueBlobs value)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                BlobRef blob = await blobs.PutNewAsync((stream, cancellationToken) =>
                {
                    TensorBytes.CopyTo(tensor, stream, cancellationToken);
                    return Task.CompletedTask;
                }, _writingCancelled);
                // not cancelled any more: a blob without a grant can be revoked by nobody
                await blobs.GrantAsync(blob.Id, lease.Owner, lease.JobId, CancellationToken.None);
                await value.AddGrantedAsync(blob.Id);
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
    public void Resolve(JobRun run, Data data)
    {
        foreach (Tensor tensor in data.BlobTensors()) tensor.Inline = Download(run, tensor, canLeave: false).ToProto().Inline;
    }

    /// <summary>
    /// Reads a constant that was uploaded, if the job has the memory for it. Called on the thread of the model, on which other jobs run
    /// meanwhile: the disk, or the bucket, may be slow.
    /// </summary>
    /// <param name="canLeave">Whether the job may start again instead (<see cref="JobRun.WaitWhileOthersRun"/>).</param>
    /// <exception cref="NdifException">UNKNOWN_BLOB, OUT_OF_MEMORY.</exception>
    /// <exception cref="OperationCanceledException">The run was cancelled or preempted.</exception>
    public TensorData Download(JobRun run, Tensor tensor, bool canLeave)
    {
        Task<long?> finding = GetLengthAsync(tensor.Blob.Id);
        run.WaitWhileOthersRun(finding, canLeave);
        if (finding.GetAwaiter().GetResult() is not { } length) throw UnknownBlob();
        run.Limits.RequireMemory("A constant or an answer", length, length); // read, then copied into a tensor
        Task<byte[]> reading = ReadAsync(tensor.Blob.Id, checked((int)length));
        run.WaitWhileOthersRun(reading, canLeave);
        ByteString bytes = UnsafeByteOperations.UnsafeWrap(reading.GetAwaiter().GetResult());
        return TensorData.FromProto(new Tensor { Dtype = tensor.Dtype, Shape = { tensor.Shape }, Inline = bytes });
    }

    private async Task<long?> GetLengthAsync(string blob)
    {
        if (!await blobs.CanReadAsync(blob, lease.Owner, _cancelled)) return null;
        await using Stream? stream = await blobs.OpenAsync(blob, _cancelled);
        return stream?.Length;
    }

    private async Task<byte[]> ReadAsync(string blob, int length)
    {
        await using Stream stream = await blobs.OpenAsync(blob, _cancelled) ?? throw UnknownBlob();
        byte[] bytes = GC.AllocateUninitializedArray<byte>(length);
        await stream.ReadExactlyAsync(bytes, _cancelled);
        return bytes;
    }

    private static Exception UnknownBlob() => Errors.CreateException(
        ErrorCode.UnknownBlob, "A constant of the program is no longer on the service.",
        "Submit the program again; constants are kept for a limited time.");
}
