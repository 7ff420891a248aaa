using Ndif.Engine.Batching;
using Ndif.Engine.Compiling;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Kernels.Costs;
using Ndif.Engine.Reuse;
using Ndif.Models;
using Ndif.Models.ForwardSource;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.HookedModels;

/// <summary>
/// A model that programs run on: its modules by index, how to hook them, and how to run a pass. One implementation is for the built-in
/// architectures, one for any TorchSharp module.
/// </summary>
internal abstract class HookedModel
{
    private Dictionary<string, int>? _indexByPath;

    public abstract ModelDescription Description { get; }

    /// <summary>The device of the weights.</summary>
    public abstract torch.Device Device { get; }

    /// <summary>The element type of the weights.</summary>
    public abstract torch.ScalarType DType { get; }

    /// <summary>Whether the model is on the meta device, so that its passes infer shapes only.</summary>
    public bool IsOnMetaDevice => Device.type == DeviceType.META;

    /// <summary>The paths of all modules by index; the first is that of the root, which is empty.</summary>
    public abstract IReadOnlyList<string> Paths { get; }

    /// <summary>The modules that run in every pass, where a cancelled run ends.</summary>
    public abstract IReadOnlyList<int> CancellationPoints { get; }

    /// <summary>The index of the module with this path.</summary>
    public int IndexOf(string path) =>
        (_indexByPath ??= Paths.Select((p, i) => (p, i)).ToDictionary(x => x.p, x => x.i)).TryGetValue(path, out int index) ? index
            : throw Errors.CreateException(ErrorCode.UnknownModule, $"{Description.Architecture} has no module `{path}`.",
                ModulePaths.GetSuggestion(Description.Root, path), path);

    /// <summary>
    /// The last dimension of a module's first parameter, which is the hidden size of an embedding; 0 if the module has no parameter.
    /// </summary>
    public long HiddenSizeOf(int module) => Description.Root.Find(Paths[module])!.Parameters.FirstOrDefault()?.Shape.LastOrDefault() ?? 0;

    public abstract Axes OutputAxes(int module, int element);

    public abstract Axes InputAxes(int module, string argument);

    /// <summary>The operations inside the forward of a module; null if they are not known.</summary>
    public virtual SourceTree? Source(int module) => null;

    /// <summary>The index of an operation of a module's source, by its full path.</summary>
    internal int OperationIndexOf(int module, string path) => Source(module)?.IndexOf(path) is >= 0 and var index ? index
        : throw Errors.CreateException(ErrorCode.UnknownOp, $"`{ModulePaths.DisplayName(Paths[module])}` has no operation `{path}`.");

    /// <summary>Whether the value at a hook point can be sliced by rows.</summary>
    internal virtual bool CanNarrow(HookPoint point) => true;

    /// <summary>Checks that no pass would have to compute a module in two ways.</summary>
    /// <exception cref="NdifException">INVALID_PROGRAM</exception>
    internal virtual void CheckTogether(IEnumerable<HookPoint> points) { }

    /// <summary>Whether a module is not in Hugging Face's tree; a cache of all modules leaves it out.</summary>
    internal virtual bool IsVirtual(int module) => false;

    /// <summary>The hook points at which the routing of tokens to experts is: one for each layer with experts.</summary>
    internal virtual IReadOnlyList<HookPoint> RoutingPoints => [];

    /// <summary>The experts of each token and their weights: 2 x [batch · seq, chosen].</summary>
    /// <param name="values">At one of <see cref="RoutingPoints"/>: the positional arguments, or the output, of an invoke.</param>
    internal virtual (torch.Tensor Indices, torch.Tensor Weights) RoutingOf(int module, IReadOnlyList<object?> values) =>
        throw new NotSupportedException();

    /// <summary>Whether a pass has nothing left to compute after a hook point.</summary>
    internal virtual bool IsAtEnd(HookPoint point) => false;

    /// <summary>Whether the keys and values of a pass may depend on the value at a hook point.</summary>
    internal virtual bool AffectsCache(HookPoint point) => false;

    /// <summary>The axes of an output of a module or operation, see <see cref="OutputAxes(int, int)"/>.</summary>
    internal virtual Axes OutputAxes(HookPoint point, int element) => OutputAxes(point.Module, element);

    /// <summary>The axes of an input of a module or operation, see <see cref="InputAxes(int, string)"/>.</summary>
    internal virtual Axes InputAxes(HookPoint point, string argument, int element) => InputAxes(point.Module, argument);

    /// <summary>Reads the inputs of a trace. Returns null if they are not valid, which fails the job.</summary>
    internal abstract IPreparedTrace? Prepare(TraceRun trace);

    /// <summary>Runs the prompts of traces in one pass. Returns the traces that generate, or null if all have ended.</summary>
    /// <param name="onPreemptionPoint">Called between two modules of the pass, where passes of other traces may run.</param>
    /// <param name="prefixes">The tokens of earlier passes, or null to compute the pass whole.</param>
    internal abstract ITraceBatch? Start(IReadOnlyList<IPreparedTrace> traces, Action onPreemptionPoint, PrefixCache? prefixes);

    /// <summary>The memory of the keys and values of a token, in bytes.</summary>
    internal virtual long CacheBytesPerToken => 0;

    /// <summary>The memory of the states of a row, which does not grow with its tokens, in bytes.</summary>
    internal virtual long CacheBytesPerRow => 0;

    /// <summary>Whether layers attend to the keys and values of an earlier layer.</summary>
    internal virtual bool SharesKeysOfLayers => false;

    /// <summary>Whether traces of several jobs can run in one pass.</summary>
    public virtual bool CanBatch => true;

    /// <summary>Runs one module on values of a program, without the hooks of the pass.</summary>
    /// <param name="hooks">Hooks of the call by module index; null if it has none.</param>
    /// <param name="checkCancellation">Called during long operations of the module; it may throw.</param>
    public abstract object? CallModule(
        int module, Arguments arguments, SiteHook?[]? hooks = null, Action? checkCancellation = null);

    /// <summary>What such a call takes at most; 0 if it is not known.</summary>
    internal virtual OpCost CostOfCall(int module, Arguments arguments) => default;

    /// <summary>Whether calls of a module by several invokes are one product, where nothing but the time shows it. Default: true.</summary>
    internal bool JoinsModuleCalls { get; set; } = true;

    /// <summary>Whether a module gives for each vector of the last dimension what it gives for this vector alone.</summary>
    internal virtual bool IsTokenwise(int module) => false;

    /// <summary>Makes parameters require gradients until the result is disposed.</summary>
    internal abstract IDisposable RequireGrad(IReadOnlyList<(int Module, string Name)> parameters);

    /// <summary>
    /// Undoes <see cref="RequireGrad"/> until the result is disposed, so that other passes build no graph on these parameters.
    /// </summary>
    internal virtual IDisposable? SuspendGrad() => null;

    /// <summary>Whether a tensor has its elements in the memory of a weight, which all programs share.</summary>
    internal virtual bool IsWeight(torch.Tensor tensor) => false;

    /// <summary>A parameter, borrowed.</summary>
    public abstract torch.Tensor Parameter(int module, string name);
}
