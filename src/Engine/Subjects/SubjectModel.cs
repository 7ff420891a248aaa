using Ndif.Engine.Compiling;
using Ndif.Engine.Interleaving;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Subjects;

/// <summary>
/// A model that programs run on: its modules by index, how to watch them, how to run a pass. One for our own architectures, one
/// for any TorchSharp module.
/// </summary>
public abstract class SubjectModel
{
    private Dictionary<string, int>? _indices;

    public abstract ModelDescription Description { get; }

    /// <summary>Where the weights are.</summary>
    public abstract torch.Device Device { get; }

    /// <summary>The element type of the weights.</summary>
    public abstract torch.ScalarType Type { get; }

    /// <summary>True for a model without numbers: its passes infer shapes.</summary>
    public bool HasOnlyShapes => Device.type == DeviceType.META;

    /// <summary>Paths of all modules by index, the root's (empty) first.</summary>
    public abstract IReadOnlyList<string> Paths { get; }

    /// <summary>Indices of modules that run one after the other in every pass: where a cancelled run notices it.</summary>
    public abstract IReadOnlyList<int> Milestones { get; }

    /// <summary>The index of the module with this path.</summary>
    public int IndexOf(string path) =>
        (_indices ??= Paths.Select((p, i) => (p, i)).ToDictionary(x => x.p, x => x.i)).TryGetValue(path, out int index) ? index
            : throw Errors.Throwable(ErrorCode.UnknownModule, $"{Description.Architecture} has no module `{path}`.", ModulePaths.Suggest(Description.Root, path), path);

    /// <summary>The last size of a module's first parameter: of an embedding, how wide its vectors are. 0 if it has none.</summary>
    public long WidthOf(int module) => Description.Root.Find(Paths[module])!.Parameters.FirstOrDefault()?.Shape.LastOrDefault() ?? 0;

    public abstract Axes OutputAxes(int module, int element);

    public abstract Axes InputAxes(int module, string argument);

    /// <summary>The operations inside of a module's forward; null if they are not known.</summary>
    public virtual SourceTree? Source(int module) => null;

    /// <summary>The index of an operation of a module's source, by its full path.</summary>
    internal int OperationAt(int module, string path) => Source(module)?.IndexOf(path) is >= 0 and var index ? index
        : throw Errors.Throwable(ErrorCode.UnknownOp, $"`{Paths[module]}` has no operation `{path}`.");

    /// <summary>False if an invoke's part of the value there cannot be cut out of a batch.</summary>
    internal virtual bool CanShare(Point point) => true;

    /// <summary>As <see cref="OutputAxes(int, int)"/>, of a module or an operation.</summary>
    internal virtual Axes OutputAxes(Point point, int element) => OutputAxes(point.Module, element);

    /// <summary>As <see cref="InputAxes(int, string)"/>, of a module or an operation.</summary>
    internal virtual Axes InputAxes(Point point, string argument, int element) => InputAxes(point.Module, argument);

    /// <summary>Runs the traces together: one pass of the model, or one generation.</summary>
    internal abstract void Run(IReadOnlyList<TraceRun> traces);

    /// <summary>Whether traces of several jobs may go through one pass.</summary>
    public virtual bool CanBatch => true;

    /// <summary>Runs one module on values of a program, unwatched.</summary>
    public abstract object? CallModule(int module, Arguments arguments);

    /// <summary>Makes the parameters require gradients until the result is disposed; then they are as they were.</summary>
    internal abstract IDisposable Follow(IReadOnlyList<(int Module, string Name)> parameters);

    /// <summary>A parameter, borrowed.</summary>
    public abstract torch.Tensor Parameter(int module, string name);
}
