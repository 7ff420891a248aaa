using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Models;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// Calls of a module by several invokes, as in <c>LmHead.Call(FinalNorm.Call(h))</c>, are one product, which reads the weights once.
/// 1. An invoke that comes to such a call defers it if another invoke of the pass calls the module too, and if what it does afterwards,
///    until it waits for the pass again, neither sees nor changes the model. So the pass can go on, and the invokes of other jobs
///    cannot tell when it does it.
/// 2. Before an invoke of the same job does anything that shows in which order they run, the deferred calls of that job are completed.
/// 3. The calls are completed before the pass reaches a hook point that the invoke uses, and at its end: those of the same module and
///    of rows of the same shape together. Each invoke then runs on.
/// </summary>
internal sealed partial class Interleaver
{
    /// <summary>
    /// The rows above which a product is bound by arithmetic, so that nothing is won: of one call, and of calls together.
    /// </summary>
    private const int MaxRowsOfCall = 16, MaxRowsTogether = 64;

    /// <summary>
    /// The invokes that have deferred a call, in the order in which they have done it. One that comes to its next call keeps its place.
    /// </summary>
    private readonly List<Interpreter> _deferring = [];

    private Dictionary<int, int>? _callerCounts; // the number of invokes whose statements call a module

    public bool HasDeferredCalls => _deferring.Count > 0;

    /// <summary>Step 1: whether an invoke defers a call that it has come to.</summary>
    public bool TryDefer(Interpreter invoke, CallModuleStatement call)
    {
        if (!_model.JoinsModuleCalls || _invokes.Length < 2 || invoke.IsEdit) return false;
        if (torch.is_grad_enabled() || !_model.IsTokenwise(call.Module)) return false;
        _callerCounts ??= _invokes.SelectMany(other => other.Job.Plan.ModulesCalledIn(other.Region)).CountBy(module => module)
            .ToDictionary();
        if (_callerCounts.GetValueOrDefault(call.Module) < 2 || !invoke.Job.Slots.HasAmpleRoom) return false;
        if (invoke.EnclosingTrace!.Invokes.Any(other => other is { IsDone: false, WaitReason: WaitReason.Value })) return false;
        if (invoke.FindDeferrableArgument(call) is not { ndim: > 0 } argument || RowsOf(argument) is not (> 0 and <= MaxRowsOfCall))
            return false;
        if (!_deferring.Contains(invoke)) _deferring.Add(invoke);
        return true;
    }

    /// <summary>Whether the pass has yet to come to a call of a hook point.</summary>
    public bool IsAhead(Interpreter invoke, HookPoint point, int call)
    {
        int count = CallCountOf(invoke, point);
        return call > count || (call == count && !_hookPoints[point].IsActive);
    }

    /// <summary>Step 2: completes the calls that invokes of the same job have deferred before this one.</summary>
    public void CompleteCallsBefore(Interpreter invoke)
    {
        if (_deferring.Count == 0) return;
        int own = _deferring.IndexOf(invoke);
        HashSet<Interpreter> earlier =
            [.. _deferring.Take(own < 0 ? _deferring.Count : own).Where(other => other.Job == invoke.Job && other != invoke)];
        if (earlier.Count > 0) CompleteCalls(earlier.Contains, earlier.Contains);
    }

    /// <summary>Step 3: completes all deferred calls. Returns whether there were any.</summary>
    private bool CompleteCalls()
    {
        if (_deferring.Count == 0) return false;
        CompleteCalls(_ => true, _ => true);
        return true;
    }

    /// <summary>Step 3: completes the calls of invokes that use a hook point, before the pass is at it.</summary>
    private void CompleteCallsBefore(HookPoint point)
    {
        if (_deferring.Count > 0) CompleteCalls(invoke => invoke.Job.Plan.HookPointsIn(invoke.Region).Contains(point), _ => true);
    }

    /// <summary>Step 3 at the end of the pass, whose outputs are still there.</summary>
    public void CompletePass()
    {
        if (HasDeferredCalls) RunReadyInvokes();
    }

    /// <summary>Whether a trace needs nothing more of the pass, but for what its invokes do after their deferred calls.</summary>
    private static bool HasOnlyDeferredCalls(TraceRun trace) => IsOver(trace) || (trace.Statement.Trace.Mode is Protocol.Mode.Forward
        && trace.Invokes.All(invoke => invoke.IsDone || invoke.WaitReason is WaitReason.ModuleCall));

    /// <param name="isDue">The invokes whose calls have to be completed.</param>
    /// <param name="mayJoin">The invokes whose calls of the same modules are completed with them.</param>
    private void CompleteCalls(Func<Interpreter, bool> isDue, Func<Interpreter, bool> mayJoin)
    {
        bool isRunningInvokes = _isRunningInvokes;
        _isRunningInvokes = true;
        while (true)
        {
            _deferring.RemoveAll(invoke => invoke.IsDone);
            Interpreter[] waiting = [.. _deferring.Where(invoke => invoke.WaitReason is WaitReason.ModuleCall)];
            // in the order of the model: norms before the head, so that all calls of the head are there
            if (waiting.Where(isDue).MinBy(invoke => invoke.DeferredCall!.Module) is not { } first) break;
            var key = KeyOf(first);
            List<Interpreter> callers = [];
            long rows = 0;
            foreach (Interpreter invoke in waiting.Where(invoke => invoke == first || (mayJoin(invoke) && KeyOf(invoke) == key)))
                if ((rows += RowsOf(invoke.DeferredArgument)) <= MaxRowsTogether) callers.Add(invoke);
            torch.Tensor?[] results = callers.Count > 1 ? TryCall(callers) : [null];
            for (int i = 0; i < callers.Count; i++)
            {
                callers[i].CompleteCall(results[i]);
                if (callers[i].WaitReason is not WaitReason.ModuleCall) _deferring.Remove(callers[i]);
            }
        }
        _isRunningInvokes = isRunningInvokes;
    }

    /// <summary>Calls the module of several invokes once.</summary>
    /// <returns>Null for each if the call failed, so that each invoke gets its own error.</returns>
    private torch.Tensor?[] TryCall(List<Interpreter> callers)
    {
        var results = new torch.Tensor?[callers.Count];
        using var scope = torch.NewDisposeScope();
        try
        {
            torch.Tensor[] arguments = [.. callers.Select(invoke => invoke.DeferredArgument)];
            torch.Tensor joined = // [rows, in]
                torch.cat([.. arguments.Select(argument => argument.reshape(-1, argument.size(-1)))]);
            if (_model.CallModule(callers[0].DeferredCall!.Module, new Arguments(joined)) is not torch.Tensor output) return results;
            long row = 0;
            for (int i = 0; i < results.Length; i++)
            {
                long rows = RowsOf(arguments[i]);
                // a copy, so that a value which is kept does not keep the rows of others
                torch.Tensor own = output.narrow(0, row, rows).clone(); // [rows, out]
                results[i] = own.reshape([.. arguments[i].shape[..^1], own.size(-1)]).DetachFromDisposeScope();
                row += rows;
            }
        }
        catch (Exception)
        {
            foreach (torch.Tensor? result in results) result?.Dispose();
            Array.Clear(results);
        }
        return results;
    }

    private static (int Module, torch.ScalarType Type, DeviceType Device, int DeviceIndex, long Features) KeyOf(Interpreter invoke)
    {
        torch.Tensor argument = invoke.DeferredArgument;
        return (invoke.DeferredCall!.Module, argument.dtype, argument.device_type, argument.device_index, argument.size(-1));
    }

    private static long RowsOf(torch.Tensor argument) => argument.numel() / Math.Max(1, argument.size(-1));
}
