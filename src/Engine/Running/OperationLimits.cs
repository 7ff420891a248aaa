using Ndif.Engine.Kernels;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>What the operations of a job may still take: memory, and time until it is cancelled or over.</summary>
internal sealed class OperationLimits
{
    private volatile bool _isStopped;

    /// <summary>Returns the bytes that the job may still allocate.</summary>
    public Func<long> FreeBytes { get; init; } = () => long.MaxValue;

    /// <summary>The bytes that the job may hold at a time.</summary>
    public long MaxBytes { get; init; } = long.MaxValue;

    /// <summary>The memory of all jobs; null if only that of each is limited.</summary>
    public SharedJobMemory? Shared { get; init; }

    /// <summary>Returns the bytes that the job holds.</summary>
    public Func<long> HeldBytes { get; init; } = () => 0;

    /// <summary>Returns the time that the job has left; null if there is no limit.</summary>
    public Func<TimeSpan>? TimeLeft { get; init; }

    public CancellationToken CancellationToken { get; init; }

    /// <summary>Lets other jobs go on between two parts of an operation, and returns whether this one does.</summary>
    public Func<bool>? OnPart { get; init; }

    /// <summary>
    /// Called before an operation that takes about this time. Returns whether the job goes on; it does not where others would wait for it.
    /// </summary>
    public Func<TimeSpan, bool>? OnLongOperation { get; init; }

    /// <summary>Returns what lets other jobs run while this one waits, or null if there are none and none can come.</summary>
    public Func<Action?>? RunOthers { get; init; }

    /// <summary>Whether an operation of the job is computed on another thread.</summary>
    public bool IsBesideOthers { get; private set; }

    /// <summary>Looks at the operations that are recorded in graphs; null if the job has no gradients.</summary>
    public Gradients.BackwardCancellation? Backward { get; init; }

    /// <summary>Whether everything that can be computed in parts is, however small. For tests.</summary>
    public bool DividesAll { get; init; }

    /// <exception cref="OperationCanceledException">The job was cancelled, or its time is over.</exception>
    public void ThrowIfCancelled() => CancellationToken.ThrowIfCancellationRequested();

    /// <summary>
    /// Between two parts of an operation: other jobs of the model may run on this thread. Whoever calls it holds nothing that they use.
    /// </summary>
    /// <exception cref="OperationCanceledException">The job was cancelled or preempted, or its time is over.</exception>
    public void BetweenParts()
    {
        ThrowIfCancelled();
        if (IsBesideOthers) // the thread of the model lets others run
        {
            if (_isStopped) throw new OperationCanceledException();
            return;
        }
        LetOthersRun();
    }

    /// <exception cref="OperationCanceledException">The job left a pass in which others would wait for it.</exception>
    public void BeforeLongOperation(TimeSpan time)
    {
        if (OnLongOperation?.Invoke(time) == false) throw new OperationCanceledException();
    }

    /// <summary>Computes an operation without a graph on another thread, and lets other jobs run on this one until it has ended.</summary>
    /// <exception cref="OperationCanceledException">The job was cancelled or preempted, or its time is over.</exception>
    /// <param name="arguments">The tensors that the result may contain without being new.</param>
    /// <param name="runOthers">Lets other jobs run while this one waits.</param>
    public object? RunBesideOthers(Func<object?> compute, HashSet<torch.Tensor> arguments, Action runOthers)
    {
        (IsBesideOthers, _isStopped) = (true, false);
        try
        {
            return OperationThread.Run(compute, arguments, LetOthersRun, () => _isStopped = true, runOthers);
        }
        finally
        {
            IsBesideOthers = false;
        }
    }

    private void LetOthersRun()
    {
        ThrowIfCancelled();
        if (OnPart?.Invoke() == false) throw new OperationCanceledException();
        ThrowIfCancelled();
    }

    /// <summary>Waits until a saved value is written, whose memory the job then no longer holds; returns false if there is none.</summary>
    public Func<bool>? WaitForKept { get; init; }

    /// <summary>Returns whether the job may still allocate some bytes.</summary>
    public bool HasMemory(double bytes) => MaxBytes == long.MaxValue
        || (bytes <= FreeBytes() && (Shared is null || bytes <= Math.Max(0, Shared.FreeFor(HeldBytes()))));

    /// <summary>Checks that the memory of an operation fits into what the job may still allocate.</summary>
    /// <exception cref="NdifException">OUT_OF_MEMORY, also when what it has saved is written.</exception>
    public void RequireMemory(string what, double resultBytes, double workspaceBytes)
    {
        while (!HasMemory(resultBytes + workspaceBytes))
            if (WaitForKept?.Invoke() != true) throw MemoryShortage(what, resultBytes, workspaceBytes);
    }

    private Exception MemoryShortage(string what, double resultBytes, double workspaceBytes)
    {
        long free = FreeBytes();
        if (resultBytes + workspaceBytes <= free) return SharedMemoryShortage(what, resultBytes + workspaceBytes, HeldBytes(), Shared!);
        string parts = workspaceBytes <= 0 ? "" : $" ({resultBytes:N0} for its result, {workspaceBytes:N0} while it computes)";
        return Errors.CreateException(ErrorCode.OutOfMemory,
            $"{what} needs up to {resultBytes + workspaceBytes:N0} bytes{parts}. A job may hold {MaxBytes:N0} bytes at a time here, of "
            + $"which {Math.Max(free, 0):N0} are left.",
            "Use fewer rows at once or a narrower type. A value is freed after its last use: save what is needed of it (a slice, a mean) "
            + "and let it go.");
    }

    /// <summary>
    /// OUT_OF_MEMORY, because other jobs hold memory. It is retryable if the job could have the memory while no other job runs.
    /// </summary>
    public static Exception SharedMemoryShortage(string what, double bytes, long held, SharedJobMemory shared)
    {
        bool fitsAlone = held + bytes <= shared.MostAlone;
        if (fitsAlone) shared.OnShortage(held + bytes);
        return Errors.ToException(new Error
        {
            Code = ErrorCode.OutOfMemory, Retryable = fitsAlone,
            Message = $"{what} needs up to {bytes:N0} bytes. The jobs of this worker together may hold {shared.Total:N0} bytes, and one of "
                + $"them at most half of it; they hold {shared.Used:N0}, of which those of its owner have {shared.UsedByOwner:N0} and this "
                + $"job has {held:N0}.",
            Hint = fitsAlone ? "Run it again when the service is less busy, or use fewer rows at once."
                : "Use fewer rows at once or a narrower type.",
        });
    }

    /// <summary>
    /// Checks that an operation can end within the time of the job. Estimates may be twice too long, so an operation is refused if half
    /// of its estimate exceeds the time.
    /// </summary>
    /// <exception cref="NdifException">JOB_TIMEOUT.</exception>
    public void RequireTime(string what, double seconds)
    {
        ThrowIfCancelled();
        if (TimeLeft?.Invoke() is not { } left || seconds / 2 <= left.TotalSeconds) return;
        throw Errors.CreateException(ErrorCode.JobTimeout,
            $"{what} would take about {seconds:N0} s here, and the job has {Math.Max(left.TotalSeconds, 0):N0} s of its time left.",
            "Use fewer or smaller rows, or request a longer time limit.");
    }
}
