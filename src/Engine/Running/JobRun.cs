using Ndif.Engine.Compiling;
using Ndif.Engine.Generating;
using Ndif.Engine.Kernels;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>
/// One owner's program while it runs: its values, its error, its generator of random numbers. Several of them go through one
/// pass; what happens to one does not touch another.
/// </summary>
public sealed class JobRun : IDisposable
{
    private readonly List<(uint Node, string Name, uint Value)> _containersToSave = [];
    private readonly HashSet<uint> _retainedNodes = [];
    private readonly IRunSink _sink;
    private readonly torch.Generator _generator;
    private int _reportCount, _reportsBeforeRestart, _seedCount;

    /// <param name="loadConstant">Fetches a constant of the program that did not travel inside of it.</param>
    /// <param name="maxValueBytes">The most that the program's values may have at a time; more is OUT_OF_MEMORY.</param>
    public JobRun(Plan plan, IRunSink sink, Func<uint, TensorData>? loadConstant = null, long maxValueBytes = long.MaxValue, CancellationToken cancellationToken = default)
    {
        (Plan, _sink, CancellationToken) = (plan, sink, cancellationToken);
        Slots = new ValueSlots(plan, loadConstant ?? (index => TensorData.FromProto(plan.Program.Constants[(int)index])), maxValueBytes);
        Seed = Random.Shared.NextInt64();
        _generator = new torch.Generator((ulong)Seed, plan.Model.Device);
        Context = new KernelContext { Device = plan.Model.Device, DefaultType = plan.Model.DType, Generator = _generator };
    }

    public Plan Plan { get; }

    /// <summary>Where the random numbers of operations begin that have no seed of their own. Default: anywhere.</summary>
    public long Seed
    {
        get;
        init
        {
            field = value;
            _generator?.manual_seed(value);
        }
    }

    /// <summary>What ended the run; null while it goes on and after a good end.</summary>
    public Error? Error { get; private set; }

    /// <summary>Tokens that went through the model for this job.</summary>
    public long TokenCount { get; internal set; }

    /// <summary>Times that the model's forward ran for this job: alone or beside others, a generation's step is one.</summary>
    public long ForwardPassCount { get; internal set; }

    internal CancellationToken CancellationToken { get; }

    internal ValueSlots Slots { get; }

    internal KernelContext Context { get; }

    internal bool HasFailed => Error is not null;

    /// <summary>The statement that last put a value into the model: the suspect, if its forward fails.</summary>
    internal uint? LastWriteNode { get; set; }

    /// <summary>True if an iteration asked for steps that did not happen, so that their values are missing.</summary>
    internal bool HasMissedSteps { get; set; }

    internal void Fail(Exception exception, uint node)
    {
        if (HasFailed) return;
        Error error = Errors.FromException(exception is OperationCanceledException ? new OperationCanceledException() : exception);
        Error = error.Code is ErrorCode.JobCancelled ? error : Plan.WithLocation(error, node);
    }

    /// <summary>Fails the run if it was cancelled.</summary>
    internal bool CheckCancelled()
    {
        if (!HasFailed && CancellationToken.IsCancellationRequested)
            Error = Errors.Create(ErrorCode.JobCancelled, "The run was cancelled.");
        return HasFailed;
    }

    /// <summary>
    /// Back to the beginning, after a pass that others shared was lost. The same random numbers will come, and the same log
    /// lines, warnings and tokens, which are not told again.
    /// </summary>
    internal void Restart()
    {
        Slots.Dispose();
        _containersToSave.Clear();
        _retainedNodes.Clear();
        ActiveModuleCalls.Clear();
        ReadOnlyInputs.Clear();
        _generator.manual_seed(Seed);
        (_reportCount, _reportsBeforeRestart, _seedCount, TokenCount, ForwardPassCount, LastWriteNode, HasMissedSteps) = (0, _reportCount, 0, 0, 0, null, false);
    }

    internal void Log(uint node, string text)
    {
        if (IsFirstReport()) _sink.OnLogged(node, text);
    }

    /// <summary>Asks the client; the answer's tensors are new.</summary>
    internal object? InvokeCallback(uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout) =>
        ValueDeserializer.Deserialize(_sink.InvokeCallback(node, callback, values, timeout), Context.Device);

    internal void Warn(uint node, string module, string message)
    {
        if (IsFirstReport()) _sink.OnWarning(node, module, message);
    }

    internal void ReportToken(NewToken token)
    {
        if (IsFirstReport()) _sink.OnTokenGenerated(token);
    }

    /// <summary>A seed for what has none: another each time, and the same ones when the run begins again.</summary>
    internal ulong NextSeed() => RowRandomGenerator.MixBits((ulong)Seed + (ulong)++_seedCount);

    /// <summary>A container comes back as it is at the end; everything else as it is now.</summary>
    internal void Save(uint node, string name, Operand operand)
    {
        if (operand is NodeOperand { Node: var container } && Plan.Statements[container] is ContainerStatement)
        {
            _containersToSave.Add((node, name, container));
            _retainedNodes.Add(container);
        }
        else
        {
            _sink.OnValueSaved(node, name, operand.Evaluate(Slots));
        }
    }

    /// <summary>A node whose value must live to the end.</summary>
    internal void Retain(uint node) => _retainedNodes.Add(node);

    /// <summary>Values that are inputs of modules which have run with them: they can be read, not edited.</summary>
    internal HashSet<uint> ReadOnlyInputs { get; } = [];

    /// <summary>The modules of the program that are being called now, and by whom.</summary>
    internal Dictionary<string, Interleaving.Interpreter> ActiveModuleCalls { get; } = [];

    /// <summary>A node whose value is a container that comes back at the end.</summary>
    internal void SaveAtEnd(uint node, string name)
    {
        if (_retainedNodes.Add(node)) _containersToSave.Add((node, name, node));
    }

    /// <summary>True for a value that must live to the end: a container that was saved, or what a module of the program uses.</summary>
    internal bool IsRetained(uint node) => _retainedNodes.Contains(node);

    /// <summary>Hands over the containers that were saved while they were being filled.</summary>
    internal void Finish()
    {
        if (HasFailed) return;
        foreach ((uint node, string name, uint value) in _containersToSave)
            if (Slots.Has(value)) _sink.OnValueSaved(node, name, Slots[value]);
    }

    public void Dispose()
    {
        Slots.Dispose();
        _generator.Dispose();
    }

    private bool IsFirstReport() => ++_reportCount > _reportsBeforeRestart;
}
