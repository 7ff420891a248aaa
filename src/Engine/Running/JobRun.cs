using Ndif.Engine.Compiling;
using Ndif.Engine.Generating;
using Ndif.Engine.Gradients;
using Ndif.Engine.Kernels;
using Ndif.Engine.Scheduling;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>
/// One job during its run: its values, its error, its random generator. Several jobs run in one pass; what happens to one does not affect
/// another.
/// </summary>
internal sealed class JobRun : IDisposable
{
    private static readonly TimeSpan _poll = TimeSpan.FromMilliseconds(1);

    private readonly List<(uint Node, string Name, uint Value)> _containersToSave = [];
    private readonly HashSet<uint> _retainedNodes = [];
    private readonly HashSet<object> _savedContainers = new(ReferenceEqualityComparer.Instance);
    private readonly IRunSink _sink;
    private readonly Lazy<torch.Generator> _generator;
    private readonly HashSet<uint> _ownValues = [];
    private readonly HashSet<(uint Node, string Message)> _warnings = [];
    private int _reportCount, _reportsBeforeRestart, _seedCount, _finishedCount;

    /// <param name="loadConstant">Loads a constant of the program that was not sent inside it.</param>
    /// <param name="maxValueBytes">The bytes that the values of the program may have at a time; more is OUT_OF_MEMORY.</param>
    /// <param name="timeLeft">Returns the time until the token is cancelled; operations that would take longer are refused.</param>
    /// <param name="sharedMemory">The memory of the values of all jobs; null for no limit.</param>
    public JobRun(Plan plan, IRunSink sink, Func<uint, TensorData>? loadConstant = null, long maxValueBytes = long.MaxValue,
        Func<TimeSpan>? timeLeft = null, SharedJobMemory? sharedMemory = null, CancellationToken cancellationToken = default)
    {
        (Plan, _sink, CancellationToken) = (plan, sink, cancellationToken);
        Slots = new ValueSlots(plan, loadConstant ?? (index => TensorData.FromProto(plan.Program.Constants[(int)index])), maxValueBytes,
            sharedMemory) { WaitForKept = WaitForKept };
        Seed = Random.Shared.NextInt64();
        Context = new KernelContext
        {
            Device = plan.Model.Device,
            DefaultType = plan.Model.DType,
            Limits = Limits = new OperationLimits
            {
                FreeBytes = () => Slots.FreeBytes, HeldBytes = () => Slots.HeldBytes, Shared = sharedMemory,
                MaxBytes = maxValueBytes, CancellationToken = cancellationToken,
                TimeLeft = timeLeft, OnPart = OnPart, OnLongOperation = OnLongOperation, WaitForKept = WaitForKept,
                RunOthers = () => HasOthers?.Invoke() == true ? RunOthers : null,
                Backward = plan.Autograd.IsUsed ? new BackwardCancellation(this, () => Slots.GraphEndCount) : null,
            },
            Generator = _generator = new(() => new torch.Generator((ulong)Seed, plan.Model.Device), isThreadSafe: false),
        };
    }

    private bool OnPart()
    {
        OnOperationPart?.Invoke();
        return !HasFailed;
    }

    private bool OnLongOperation(TimeSpan time)
    {
        BeforeLongOperation?.Invoke(time);
        return !HasFailed;
    }

    public Plan Plan { get; }

    /// <summary>The seed of random operations without a seed of their own. Default: random.</summary>
    public long Seed { get; init; }

    /// <summary>The owner of the job; passes are shared out among owners. Default: one owner of all jobs.</summary>
    public string Owner { get; init; } = "";

    /// <summary>The owner's share of service relative to other owners.</summary>
    public double Weight { get; init; } = 1;

    /// <summary>The time that the run has used; null if nobody measures it.</summary>
    public ExecutionTimer? ExecutionTimer { get; init; }

    /// <summary>
    /// Suspends the job until a task has completed, or the job is cancelled; null if it cannot be suspended. Other jobs run meanwhile.
    /// </summary>
    internal Action<Task>? Suspend { get; set; }

    /// <summary>Lets other jobs of the model go on while this one waits; null if it runs alone. On its thread.</summary>
    internal Action? RunOthers { get; set; }

    /// <summary>Returns whether the model has other jobs, or may get some; null if the job runs without a scheduler.</summary>
    internal Func<bool>? HasOthers { get; set; }

    /// <summary>Called when statements begin to run, on the thread of the model; null if the job runs without a scheduler.</summary>
    internal Action? OnStatementsStarted { get; set; }

    /// <summary>
    /// Called after a statement that cannot wait for the next turn of its job, because a pass or another statement contains it: others may
    /// run meanwhile. Null if the job runs without a scheduler.
    /// </summary>
    internal Action? OnStatementEnded { get; set; }

    /// <summary>
    /// Called between two parts of a long operation, wherever its statement is: others may run meanwhile, or the job is preempted. Null if
    /// the job runs without a scheduler.
    /// </summary>
    internal Action? OnOperationPart { get; set; }

    /// <summary>
    /// Called before an operation that takes about this time: the job is preempted where others would wait for it. Null if the job runs
    /// without a scheduler.
    /// </summary>
    internal Action<TimeSpan>? BeforeLongOperation { get; set; }

    /// <summary>What the thread of the model does, for a watchdog; null if the job runs without a scheduler.</summary>
    internal CurrentWork? Work { get; set; }

    /// <summary>
    /// Waits on the thread of the model for what others do for the job: the answer of its client, or the writing of what it has saved.
    /// Other jobs go on meanwhile: a job that waits holds no model. The time counts for its limit, and is not charged.
    /// </summary>
    /// <param name="canLeave">
    /// Whether the job may leave a pass whose other jobs would wait with it for too long, to start again (<see cref="Preempt"/>).
    /// </param>
    /// <exception cref="OperationCanceledException">The job was preempted, or cancelled.</exception>
    internal void WaitWhileOthersRun(Task task, bool canLeave)
    {
        int sharers = ExecutionTimer?.StartWaiting() ?? 0;
        try
        {
            if (Suspend is not null && !task.IsCompleted)
            {
                // until the job is resumed, others run: that time does not count
                Suspend(task.ContinueWith(_ => ExecutionTimer?.Stop(), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously,
                    TaskScheduler.Default));
            }
            while (Task.WaitAny([task], _poll) < 0)
            {
                CancellationToken.ThrowIfCancellationRequested();
                if (canLeave && !IsFinishing) Limits.BetweenParts();
                RunOthers?.Invoke();
                if (canLeave) OnStatementsStarted?.Invoke(); // the time of the others is not that of a statement
            }
        }
        finally
        {
            ExecutionTimer?.Stop();
            if (sharers > 0) ExecutionTimer!.Start(sharers);
        }
    }

    /// <summary>Whether nobody waits for what the job still computes.</summary>
    internal bool IsStopped => HasFailed || CancellationToken.IsCancellationRequested;

    /// <summary>The error that ended the run; null while it runs and if it succeeded.</summary>
    public Error? Error { get; private set; }

    /// <summary>The number of tokens that the model has processed for this job.</summary>
    public long TokenCount { get; internal set; }

    /// <summary>The number of forward passes for this job, alone or in a batch. Each step of a generation is one.</summary>
    public long ForwardPassCount { get; internal set; }

    /// <summary>The number of layers that its passes have taken from earlier ones.</summary>
    public long ReusedLayerCount { get; internal set; }

    /// <summary>The number of tokens of its prompts whose keys and values its passes have taken from earlier ones.</summary>
    public long ReusedTokenCount { get; internal set; }

    internal CancellationToken CancellationToken { get; }

    internal ValueSlots Slots { get; }

    internal KernelContext Context { get; }

    /// <summary>What the operations of the job may still take.</summary>
    internal OperationLimits Limits { get; }

    internal bool HasFailed => Error is not null;

    /// <summary>The statement that last wrote a value into the model: the likely cause if the forward fails.</summary>
    internal uint? LastWriteNode { get; set; }

    /// <summary>Whether an iteration requested steps that did not happen, so that their values are missing.</summary>
    internal bool HasMissedSteps { get; set; }

    /// <summary>Fails the run with the location of a node, unless it has failed already.</summary>
    internal void Fail(Exception exception, uint node)
    {
        if (HasFailed) return;
        Error error = Errors.FromException(exception is OperationCanceledException ? new OperationCanceledException() : exception);
        Error = error.Code is ErrorCode.JobCancelled ? error : Plan.WithLocation(error, node);
    }

    /// <summary>Fails the run if it was cancelled. Returns whether it has failed.</summary>
    internal bool CheckCancelled()
    {
        if (!HasFailed && CancellationToken.IsCancellationRequested)
            Error = Errors.Create(ErrorCode.JobCancelled, "The run was cancelled.");
        return HasFailed;
    }

    /// <summary>The time for which its statements have kept jobs waiting that share its passes.</summary>
    internal TimeSpan DelayOfOthers { get; set; }

    /// <summary>Whether it was taken out of a pass, and has to be restarted. Until then it counts as failed.</summary>
    internal bool IsPreempted { get; private set; }

    /// <summary>
    /// Takes the run out of a pass, whose other jobs go on. It starts again from its beginning (preemption by recomputation in vLLM).
    /// </summary>
    internal void Preempt()
    {
        if (HasFailed) return;
        (IsPreempted, Error) = (true, Errors.Create(ErrorCode.JobCancelled, "The run starts again in passes of its own."));
    }

    /// <summary>
    /// Restarts the run after a shared pass has failed, or it was preempted. The random numbers are the same again; what was already
    /// reported is not reported again.
    /// </summary>
    internal void Restart()
    {
        if (IsPreempted) (IsPreempted, Error) = (false, null);
        Slots.Dispose();
        _containersToSave.Clear();
        _retainedNodes.Clear();
        _savedContainers.Clear();
        _ownValues.Clear();
        _warnings.Clear();
        ActiveModuleCalls.Clear();
        ReadOnlyInputs.Clear();
        if (_generator.IsValueCreated) _generator.Value.manual_seed(Seed);
        (_reportCount, _reportsBeforeRestart, _seedCount, TokenCount, ForwardPassCount, LastWriteNode, HasMissedSteps) =
            (0, Math.Max(_reportCount, _reportsBeforeRestart), 0, 0, 0, null, false);
        (ReusedLayerCount, ReusedTokenCount, _finishedCount) = (0, 0, 0);
    }

    internal void Log(uint node, string text)
    {
        Report(() => _sink.OnLogged(node, text));
    }

    /// <summary>Calls a function of the client. The tensors of the result are new.</summary>
    internal object? InvokeCallback(uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout)
    {
        Limits.RequireMemory("The values of the local call", ValueMemory.MessageBytesOf(values), 0);
        return ValueDeserializer.Deserialize(_sink.InvokeCallback(node, callback, values, timeout), Context.Device);
    }

    /// <summary>Reports a warning of a statement, once for each message: a loop may run the statement any number of times.</summary>
    internal void Warn(uint node, string module, string message)
    {
        if (_warnings.Add((node, message))) Report(() => _sink.OnWarning(node, module, message));
    }

    internal void ReportToken(NewToken token)
    {
        Report(() => _sink.OnTokenGenerated(token));
    }

    /// <summary>A seed for a generation without one: different for each call, and the same after a restart.</summary>
    internal ulong NextSeed() => RowRandomGenerator.MixBits((ulong)Seed + (ulong)++_seedCount);

    /// <summary>
    /// Saves a value. A container is saved at the end of the run with what is added to it until then; everything else is saved now. The
    /// items of a saved container are copies, which edits of the values that were added do not change.
    /// </summary>
    internal void Save(uint node, string name, Operand operand)
    {
        if (operand is NodeOperand { Node: var container } && Plan.Statements[container] is ContainerStatement)
        {
            _containersToSave.Add((node, name, container));
            _retainedNodes.Add(container);
            if (Slots[container] is not { } items || !_savedContainers.Add(items)) return;
            Limits.RequireMemory("A copy of the items that are saved", ValueMemory.ShapeBytesOf(items), 0);
            CopyItems(container, items);
        }
        else
        {
            object? value = operand.Evaluate(Slots);
            // an expanded tensor is sent with all of its elements
            Limits.RequireMemory("The value that is saved", ValueMemory.MessageBytesOf(value), 0);
            bool isFinal = operand is NodeOperand { Node: var saved } && _ownValues.Contains(saved);
            Report(() => _sink.OnValueSaved(node, name, value, isFinal));
        }
    }

    /// <summary>Replaces the items of a container by copies, whose graphs have the items as operands.</summary>
    private void CopyItems(uint container, object items)
    {
        using var scope = torch.NewDisposeScope();
        object? originals = TensorOwnership.Alias(items);
        try
        {
            Slots.AddBytes(container, originals);
            Slots.RemoveBytes(container, items);
            TensorOwnership.CopyItems(items);
            Slots.AddBytes(container, items, new ValueOrigin([originals]));
        }
        finally
        {
            Slots.RemoveBytes(container, originals);
        }
    }

    /// <summary>Notes whether a value that is used by its save only has memory of its own.</summary>
    internal void OnOnlySavedValue(uint node, bool isOwn)
    {
        if (isOwn) _ownValues.Add(node);
        else _ownValues.Remove(node);
    }

    /// <summary>Whether the container that is the value of a node has been saved.</summary>
    internal bool IsSaved(uint node) => Slots.Has(node) && Slots[node] is { } container && _savedContainers.Contains(container);

    /// <summary>Keeps the value of a node to the end of the run.</summary>
    internal void Retain(uint node) => _retainedNodes.Add(node);

    /// <summary>The values that are inputs of modules that have already run: they can be read and not edited.</summary>
    internal HashSet<uint> ReadOnlyInputs { get; } = [];

    /// <summary>The modules of the program that are being called, and the invokes that call them.</summary>
    internal Dictionary<string, Interleaving.Interpreter> ActiveModuleCalls { get; } = [];

    /// <summary>Saves the container that is the value of a node at the end of the run.</summary>
    internal void SaveAtEnd(uint node, string name)
    {
        if (_retainedNodes.Add(node)) _containersToSave.Add((node, name, node));
    }

    /// <summary>Whether a value is kept to the end of the run: a saved container, or a value that a module of the program uses.</summary>
    internal bool IsRetained(uint node) => _retainedNodes.Contains(node);

    /// <summary>Whether its statements have ended, and its saved containers are being reported.</summary>
    internal bool IsFinishing { get; private set; }

    /// <summary>The bytes that <see cref="Finish"/> copies of the saved containers, and those of their items in messages.</summary>
    internal double BytesToCopyAtEnd => HasFailed ? 0 : _containersToSave.Skip(_finishedCount)
        .Where(save => Slots.Has(save.Value)).Sum(save => ValueMemory.MessageBytesOf(Slots[save.Value]));

    /// <summary>Reports the saved containers, from where the last call has stopped.</summary>
    /// <param name="isSliceOver">Returns whether it stops before the next one.</param>
    /// <returns>Whether all are reported.</returns>
    internal bool Finish(Func<bool> isSliceOver)
    {
        IsFinishing = !HasFailed;
        for (; IsFinishing && _finishedCount < _containersToSave.Count; _finishedCount++)
        {
            if (isSliceOver()) return false;
            (uint node, string name, uint value) = _containersToSave[_finishedCount];
            if (!Slots.Has(value)) continue;
            Limits.RequireMemory("The container that is saved", ValueMemory.MessageBytesOf(Slots[value]), 0);
            _sink.OnValueSaved(node, name, Slots[value], isFinal: true);
        }
        return true;
    }

    public void Dispose()
    {
        Slots.Dispose();
        if (_generator.IsValueCreated) _generator.Value.Dispose();
    }

    /// <summary>Reports something, unless it was already reported before a restart. A report that throws has not been made.</summary>
    private void Report(Action report)
    {
        if (_reportCount >= _reportsBeforeRestart) report();
        _reportCount++;
    }

    private bool WaitForKept()
    {
        if (Slots.KeptUntil is not { } written) return false;
        if (Limits.IsBesideOthers) Task.WaitAny([written], CancellationToken); // the thread of the model lets the others run
        else WaitWhileOthersRun(written, canLeave: true);
        return true;
    }
}
