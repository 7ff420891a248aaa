using Ndif.Engine.Compiling;
using Ndif.Engine.Kernels;
using Ndif.Protocol;

namespace Ndif.Engine.Running;

/// <summary>
/// One owner's program while it runs: its values, its error, its generator of random numbers. Several of them go through one
/// pass; what happens to one does not touch another.
/// </summary>
public sealed class JobRun : IDisposable
{
    private readonly List<(uint Node, string Name, uint Value)> _open = [];

    /// <param name="constants">Fetches a constant of the program that did not travel inside of it.</param>
    public JobRun(Plan plan, IRunSink sink, Func<uint, TensorData>? constants = null, CancellationToken cancellation = default)
    {
        (Plan, Sink, Cancellation) = (plan, sink, cancellation);
        Slots = new Slots(plan, constants ?? (index => TensorData.From(plan.Program.Constants[(int)index])));
        Context = new KernelContext { Device = plan.Subject.Device, DefaultType = plan.Subject.Type };
    }

    public Plan Plan { get; }

    /// <summary>What ended the run; null while it goes on and after a good end.</summary>
    public Error? Error { get; private set; }

    /// <summary>Tokens that went through the model for this job.</summary>
    public long Tokens { get; internal set; }

    internal IRunSink Sink { get; }

    internal CancellationToken Cancellation { get; }

    internal Slots Slots { get; }

    internal KernelContext Context { get; }

    internal bool HasFailed => Error is not null;

    internal void Fail(Exception exception, uint node)
    {
        if (HasFailed) return;
        Error error = Errors.Of(exception is OperationCanceledException ? new OperationCanceledException() : exception);
        Error = error.Code is ErrorCode.JobCancelled ? error : Plan.At(error, node);
    }

    /// <summary>Fails the run if it was cancelled.</summary>
    internal bool CheckCancelled()
    {
        if (!HasFailed && Cancellation.IsCancellationRequested)
            Error = Errors.Make(ErrorCode.JobCancelled, "The run was cancelled.");
        return HasFailed;
    }

    /// <summary>A container comes back as it is at the end; everything else as it is now.</summary>
    internal void Save(uint node, string name, Operand operand)
    {
        if (operand is NodeOperand { Node: var container } && Plan.Statements[container] is ContainerStatement)
            _open.Add((node, name, container));
        else
            Sink.Saved(node, name, operand.Evaluate(Slots));
    }

    /// <summary>True for a container that must live to the end, because it was saved.</summary>
    internal bool IsHeld(uint node) => _open.Exists(o => o.Value == node);

    /// <summary>Hands over the containers that were saved while they were being filled.</summary>
    internal void Finish()
    {
        if (HasFailed) return;
        foreach ((uint node, string name, uint value) in _open)
            if (Slots.Has(value)) Sink.Saved(node, name, Slots[value]);
    }

    public void Dispose() => Slots.Dispose();
}
