using Ndif.Engine.Compiling;
using Ndif.Engine.Interleaving;
using Ndif.Models;
using Ndif.Models.ForwardSource;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.HookedModels;

/// <summary>
/// A model that programs run on: its modules by index, how to watch them, how to run a pass. One for our own architectures, one
/// for any TorchSharp module.
/// </summary>
public abstract class HookedModel
{
    private Dictionary<string, int>? _indexByPath;

    public abstract ModelDescription Description { get; }

    /// <summary>Where the weights are.</summary>
    public abstract torch.Device Device { get; }

    /// <summary>The element type of the weights.</summary>
    public abstract torch.ScalarType DType { get; }

    /// <summary>True for a model without numbers: its passes infer shapes.</summary>
    public bool IsOnMetaDevice => Device.type == DeviceType.META;

    /// <summary>Paths of all modules by index, the root's (empty) first.</summary>
    public abstract IReadOnlyList<string> Paths { get; }

    /// <summary>Indices of modules that run one after the other in every pass: where a cancelled run notices it.</summary>
    public abstract IReadOnlyList<int> CancellationPoints { get; }

    /// <summary>The index of the module with this path.</summary>
    public int IndexOf(string path) =>
        (_indexByPath ??= Paths.Select((p, i) => (p, i)).ToDictionary(x => x.p, x => x.i)).TryGetValue(path, out int index) ? index
            : throw Errors.CreateException(ErrorCode.UnknownModule, $"{Description.Architecture} has no module `{path}`.", ModulePaths.GetSuggestion(Description.Root, path), path);

    /// <summary>The last size of a module's first parameter: of an embedding, how wide its vectors are. 0 if it has none.</summary>
    public long HiddenSizeOf(int module) => Description.Root.Find(Paths[module])!.Parameters.FirstOrDefault()?.Shape.LastOrDefault() ?? 0;

    public abstract Axes OutputAxes(int module, int element);

    public abstract Axes InputAxes(int module, string argument);

    /// <summary>The operations inside of a module's forward; null if they are not known.</summary>
    public virtual SourceTree? Source(int module) => null;

    /// <summary>The index of an operation of a module's source, by its full path.</summary>
    internal int OperationIndexOf(int module, string path) => Source(module)?.IndexOf(path) is >= 0 and var index ? index
        : throw Errors.CreateException(ErrorCode.UnknownOp, $"`{Paths[module]}` has no operation `{path}`.");

    /// <summary>False if an invoke's part of the value there cannot be cut out of a batch.</summary>
    internal virtual bool CanNarrow(HookPoint point) => true;

    /// <summary>As <see cref="OutputAxes(int, int)"/>, of a module or an operation.</summary>
    internal virtual Axes OutputAxes(HookPoint point, int element) => OutputAxes(point.Module, element);

    /// <summary>As <see cref="InputAxes(int, string)"/>, of a module or an operation.</summary>
    internal virtual Axes InputAxes(HookPoint point, string argument, int element) => InputAxes(point.Module, argument);

    /// <summary>Runs the traces together: one pass of the model, or one generation.</summary>
    internal abstract void Run(IReadOnlyList<TraceRun> traces);

    /// <summary>Whether traces of several jobs may go through one pass.</summary>
    public virtual bool CanBatch => true;

    /// <summary>Runs one module on values of a program, unwatched.</summary>
    public abstract object? CallModule(int module, Arguments arguments);

    /// <summary>Makes the parameters require gradients until the result is disposed; then they are as they were.</summary>
    internal abstract IDisposable RequireGrad(IReadOnlyList<(int Module, string Name)> parameters);

    /// <summary>A parameter, borrowed.</summary>
    public abstract torch.Tensor Parameter(int module, string name);
}
