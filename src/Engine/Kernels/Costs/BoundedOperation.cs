using System.Diagnostics;
using Ndif.Engine.Kernels.Isolation;
using Ndif.Engine.Running;
using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels.Costs;

/// <summary>
/// Calls kernels within the limits of their job (docs/decisions/0014-operations-are-bounded-before-they-run.md):
/// 1. What a call needs is compared with the memory that the job has left, before anything is allocated.
/// 2. A call that takes longer than the job may is refused.
/// 3. A long call is computed in blocks of independent rows, between which it can be cancelled.
/// 4. One that has no such rows is computed in a process of its own, which is killed if the job is cancelled.
/// 5. While a long call is computed, other jobs of the model run (<see cref="OperationThread"/>).
/// </summary>
internal static class BoundedOperation
{
    /// <summary>The estimated seconds from which a call is long: it is computed in parts, and beside the passes of other jobs.</summary>
    private const double LongAbove = 0.015;

    /// <summary>The estimated seconds from which a call is refused if the job has less time left.</summary>
    private const double RefuseAbove = 0.3;

    /// <summary>
    /// The estimated seconds from which a call that cannot be divided runs in another process. On a core that others use too it takes twice
    /// as long, and stays below the second after which a job that is cancelled has to end.
    /// </summary>
    private const double IsolateAbove = 0.5;

    /// <summary>
    /// The estimated seconds that a call may take that can neither be divided nor run elsewhere: a graph is recorded of it, or it draws
    /// from the generator of the job.
    /// </summary>
    private const double MaxSecondsUninterrupted = 1;

    /// <summary>The intended seconds of a part.</summary>
    private const double PartSeconds = 0.02;

    /// <summary>The bytes of the results and the workspace of a part that are intended at most.</summary>
    private const double PartBytes = 16 << 20;

    /// <param name="product">
    /// The product of the element counts of the tensors among the arguments, in which empty dimensions count as 1.
    /// </param>
    public static object? Run(Kernel kernel, in OpArguments a, long product)
    {
        CostEntry entry = CostTable.Entries[a.Schema.Name];
        OperationLimits limits = a.Context.Limits!;
        bool isSmall = product <= entry.SkipBelow && !limits.DividesAll;
        OpCost? cost = isSmall ? null : entry.Rule(a); // once: some rules read elements
        object? result = cost is { } known ? Compute(kernel, entry, a, known) : kernel(a);
        if (limits.Backward is { } backward && IsRecorded(a)) backward.OnRecorded(a, result, cost ?? entry.Rule(a));
        return result;
    }

    private static object? Compute(Kernel kernel, CostEntry entry, in OpArguments a, OpCost cost)
    {
        OperationLimits limits = a.Context.Limits!;
        limits.RequireMemory($"{a.Schema.Name}()", cost.OutputBytes, cost.WorkspaceBytes);                              // 1
        DeviceType device = a.Context.Device.type;
        double seconds = Throughput.Seconds(cost, device);
        if (seconds <= LongAbove && !limits.DividesAll) return kernel(a);
        if (seconds > RefuseAbove) limits.RequireTime($"{a.Schema.Name}()", seconds);                                        // 2
        limits.BeforeLongOperation(TimeSpan.FromSeconds(cost.TypicalShare * seconds));
        bool isRecorded = IsRecorded(a);
        if (isRecorded || device != DeviceType.CPU || limits.RunOthers?.Invoke() is not { } runOthers)
            return ComputeLong(kernel, entry, a, cost, seconds, isRecorded);
        OpArguments call = a;
        HashSet<Tensor> tensors = TensorOwnership.NewTensorSet();
        for (int i = 0; i < a.Count; i++) TensorOwnership.CollectTensors(a[i], tensors);
        return limits.RunBesideOthers(() => ComputeLong(kernel, entry, call, cost, seconds, isRecorded), tensors, runOthers); // 5
    }

    private static object? ComputeLong(Kernel kernel, CostEntry entry, in OpArguments a, OpCost cost, double seconds, bool isRecorded)
    {
        OperationLimits limits = a.Context.Limits!;
        bool isBound = isRecorded || IsDraw(a); // to this process
        double most = isBound ? MaxSecondsUninterrupted : IsolatedOperation.IsAvailable ? IsolateAbove : double.MaxValue;
        RowSplit? split = entry.Split?.Invoke(a);
        double secondsAtOnce = split is null ? seconds : SecondsOfSmallestPart(entry, a, split);
        if (isRecorded && split is { IsInPlace: false, IsCombined: false }) // the parts become one value of their graph
            limits.RequireMemory($"{a.Schema.Name}()", 2 * cost.OutputBytes, cost.WorkspaceBytes);
        if (secondsAtOnce <= most || entry.IsCancellable || limits.DividesAll)
            return split is null ? kernel(a) : RunInParts(kernel, entry, a, split, seconds);                            // 3
        if (isBound)
            throw TooLong(secondsAtOnce, a, isRecorded ? "With gradients" : "As a draw", isRecorded
                ? "Detach() its arguments if you need no gradient of it, or use smaller ones." : "Draw fewer numbers at once.");
        limits.RequireMemory($"{a.Schema.Name}()", 2 * cost.OutputBytes, cost.WorkspaceBytes + IsolatedOperation.ArgumentBytes(a));
        return IsolatedOperation.Run(a, cost, limits);                                                                  // 4
    }

    /// <summary>
    /// Checks the time of a call that cannot be divided, and whose cost the kernel knows when it has read the elements of an argument.
    /// </summary>
    /// <exception cref="NdifException">LIMIT_EXCEEDED.</exception>
    public static void RequireShort(in OpCost cost, in OpArguments a)
    {
        if (a.Context.Limits is not null && Throughput.Seconds(cost, a.Context.Device.type) is > MaxSecondsUninterrupted and var seconds)
            throw TooLong(seconds, a, "At once", "Use fewer positions at once.");
    }

    private static Exception TooLong(double seconds, in OpArguments a, string when, string hint) =>
        Errors.CreateException(ErrorCode.LimitExceeded,
            $"{a.Schema.Name}() would take about {seconds:N0} s here. {when} it may take {MaxSecondsUninterrupted:N0} s, because it "
            + "cannot be stopped before it ends.", hint);

    /// <summary>Whether autograd records the call.</summary>
    public static bool IsRecorded(in OpArguments a)
    {
        if (!is_grad_enabled()) return false;
        for (int i = 0; i < a.Count; i++)
            if (a[i] is Tensor { requires_grad: true }
                || (a[i] is IReadOnlyList<object?> list && list.Any(item => item is Tensor { requires_grad: true }))) return true;
        return false;
    }

    /// <summary>Whether the call draws from the generator of the job, which another process does not have.</summary>
    private static bool IsDraw(in OpArguments a) => a.Schema.IndexOf("seed") is >= 0 and var seed && !a.Has(seed)
        && (a.Schema.IndexOf("dropout_p") < 0 || a.Float(a.Schema.IndexOf("dropout_p")) != 0);

    private static object? RunInParts(Kernel kernel, CostEntry entry, in OpArguments a, RowSplit split, double seconds)
    {
        bool isRecorded = IsRecorded(a);
        List<object?> parts = [];
        object? results = null;
        double secondsOfRow = a.Context.Limits!.DividesAll ? 1 : seconds / split.Length;
        double mostRows = PartBytes / Math.Max(1, entry.Rule(a).Bytes / split.Length);
        for (long start = 0; start < split.Length;)
        {
            a.Context.Limits!.BetweenParts();
            long count = PartRows(split, Math.Min(PartSeconds / Math.Max(secondsOfRow, 1e-12), mostRows)), left = split.Length - start;
            if (left - count < split.Alignment) count = left; // no part has fewer rows
            long begin = Stopwatch.GetTimestamp();
            using (var scope = NewDisposeScope())
            {
                object? part = RunPart(kernel, entry, a, split, start, count, secondsOfRow * count);
                if (a.Context.Device.type == DeviceType.CUDA) cuda.synchronize();
                if (isRecorded) a.Context.Limits.Backward?.Attach(part);
                if (split.IsCombined || (isRecorded && !split.IsInPlace)) parts.Add(MoveOut(part));
                else if (!split.IsInPlace) results = Store(results, part, split, start, count);
            }
            double measured = Stopwatch.GetElapsedTime(begin).TotalSeconds / count;
            // a part may be interrupted by other work of the machine; its size changes at most by half at a time
            secondsOfRow = Math.Clamp(measured, secondsOfRow / 2, secondsOfRow * 2);
            start += count;
        }
        return split.IsInPlace ? a[0] : split.IsCombined ? Combine(kernel, a, parts) : isRecorded ? Join(parts, split) : results;
    }

    /// <summary>Computes the operation, whose dimensions are its second argument, on the results of its parts.</summary>
    private static object? Combine(Kernel kernel, in OpArguments a, List<object?> parts)
    {
        if (parts[0] is bool) return parts.All(part => (bool)part!);
        using DisposeScope scope = NewDisposeScope();
        Tensor results = stack([.. parts.Select(part => (Tensor)part!)]); // [parts, ...]
        foreach (object? part in parts) ((Tensor)part!).Dispose();
        return MoveOut(kernel(new OpArguments(a.Schema, [results, new List<object?> { 0L }, false], a.Context)));
    }

    private static long PartRows(RowSplit split, double rows) =>
        Math.Max(split.Alignment, (long)Math.Max(1, rows) / split.Alignment * split.Alignment);

    /// <summary>Computes a part; one that is still long is divided along another dimension.</summary>
    private static object? RunPart(Kernel kernel, CostEntry entry, in OpArguments a, RowSplit split, long start, long count, double seconds)
    {
        OpArguments part = Part(a, split, start, count);
        return seconds > 2 * LongAbove && DividePart(entry, part, split, count) is { } inner
            ? RunInParts(kernel, entry, part, inner, seconds) : kernel(part);
    }

    private static OpArguments Part(in OpArguments a, RowSplit split, long start, long count)
    {
        var bound = new object?[a.Count];
        for (int i = 0; i < bound.Length; i++)
            bound[i] = split.ArgumentDims[i] is >= 0 and var dim ? ((Tensor)a[i]!).narrow(dim, start, count) : a[i];
        return new OpArguments(a.Schema, bound, a.Context);
    }

    private static RowSplit? DividePart(CostEntry entry, in OpArguments part, RowSplit split, long count) =>
        entry.Split!(part) is { } inner && inner.Length < split.Length * split.Alignment
            && (inner.OutputDim != split.OutputDim || inner.Length > inner.Alignment && inner.Length > count) ? inner : null;

    /// <summary>The estimated seconds between two checks for a cancellation when the call is divided as far as it can be.</summary>
    private static double SecondsOfSmallestPart(CostEntry entry, in OpArguments a, RowSplit split)
    {
        using DisposeScope scope = NewDisposeScope();
        long count = Math.Min(split.Alignment, split.Length);
        OpArguments part = Part(a, split, 0, count);
        return DividePart(entry, part, split, count) is { } inner
            ? SecondsOfSmallestPart(entry, part, inner) : Throughput.Seconds(entry.Rule(part), a.Context.Device.type);
    }

    /// <summary>Copies the rows of a part into the results, which are allocated for the first part.</summary>
    private static object? Store(object? results, object? part, RowSplit split, long start, long count)
    {
        if (part is object?[] tuple)
        {
            results ??= new object?[tuple.Length];
            var all = (object?[])results;
            for (int i = 0; i < all.Length; i++) all[i] = Store(all[i], tuple[i], split, start, count);
            return all;
        }
        if (part is not Tensor rows) return part;
        long[] shape = rows.shape;
        // a result without rows is the same for every part
        if (split.OutputDim >= shape.Length || shape[split.OutputDim] != count) return results ?? rows.MoveToOuterDisposeScope();
        if (results is null)
        {
            shape[split.OutputDim] = split.Length;
            results = empty(shape, rows.dtype, rows.device).MoveToOuterDisposeScope();
        }
        using var noGraph = no_grad();
        ((Tensor)results).narrow(split.OutputDim, start, count).copy_(rows);
        return results;
    }

    private static object? MoveOut(object? part) => TensorOwnership.MapTensors(part, tensor => tensor.MoveToOuterDisposeScope());

    /// <summary>The parts as one value of their graph.</summary>
    private static object? Join(List<object?> parts, RowSplit split) => parts[0] is object?[] first
        ? first.Select((_, i) => Join([.. parts.Select(part => ((object?[])part!)[i])], split)).ToArray()
        : cat([.. parts.Select(part => (Tensor)part!)], split.OutputDim);
}
