using Ndif.Models.ForwardSource;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>
/// A module of a model: a named node of the tree that Hugging Face's code would have, with its parameters, whose calls can be
/// observed. The state of a run belongs to the run (<see cref="SiteHook"/>), never to the module; a module that nobody
/// observes costs one null test a call.
/// </summary>
/// <remarks>
/// A derived class has a typed <c>Call</c> that asks <see cref="Hook"/> first and goes straight to its forward if there is
/// none, and <see cref="Run"/>, the same forward for arguments that are only known at run time.
/// </remarks>
public abstract class SiteModule
{
    private readonly List<SiteModule> _children = [];
    private readonly List<Parameter> _parameters = [];
    private AlignDevicesHook? _deviceHook;

    /// <summary>One component of the path: "attn".</summary>
    public string Name { get; private set; } = "";

    /// <summary>The path from the root as Hugging Face names it: "transformer.h.0.attn"; the root's is empty.</summary>
    public string Path { get; private set; } = "";

    /// <summary>Position in the tree, parents before children; the root's is 0. Set by <see cref="Seal"/>.</summary>
    public int Index { get; private set; }

    /// <summary>The index of the last module within; its own if there is none. Set by <see cref="Seal"/>.</summary>
    internal int LastDescendantIndex { get; private set; }

    /// <summary>Whose child it is; null for the root.</summary>
    internal SiteModule? Parent { get; private set; }

    public IReadOnlyList<SiteModule> Children => _children;

    public IReadOnlyList<Parameter> Parameters => _parameters;

    /// <summary>The name of the class in Hugging Face's code, as printed.</summary>
    public virtual string ClassName => GetType().Name;

    /// <summary>What stands between the parentheses when the tree is printed, as PyTorch's <c>extra_repr</c>.</summary>
    public virtual string ExtraRepr => "";

    /// <summary>True for a ModuleList, whose children are called by number and which is itself never called.</summary>
    public virtual bool IsList => false;

    /// <summary>Which dimensions of an output run over rows and tokens; <paramref name="element"/> counts in a tuple.</summary>
    public virtual Axes OutputAxes(int element) => Axes.Hidden;

    /// <summary>The same for an input: its position as a number, or its keyword.</summary>
    public virtual Axes InputAxes(string argument) => argument is "attention_mask" ? Axes.Attention : Axes.Hidden;

    /// <summary>True if the forward gives a single tensor, where most give a tuple.</summary>
    public virtual bool ReturnsTensor => false;

    /// <summary>The forward, with arguments that are known only at run time. Sites of this module itself do not fire.</summary>
    public abstract object? Run(Arguments arguments);

    /// <summary>The forward's text and the operations in it; null for a list, which has none.</summary>
    public virtual SourceFunction? Source => null;

    /// <summary>As <see cref="Run"/>, with operations inside of the forward watched: its instrumented copy.</summary>
    public virtual object? RunWithHooks(SourceHooks hooks, Arguments arguments) => Run(arguments);

    /// <summary>Where its weights are, in a model that is spread over devices; null in any other.</summary>
    public torch.Device? Device { get; private set; }

    /// <summary>Who watches this module in the pass that runs on this thread, or null.</summary>
    protected SiteHook? Hook => _deviceHook ?? SiteHook.ForModule(Index);

    /// <summary>Calls of this module bring what they are called with to a device first; what is within is there with it.</summary>
    /// <param name="outputDevice">Where the module's result goes, if not left where it is.</param>
    internal void PlaceOn(torch.Device device, torch.Device? outputDevice = null)
    {
        _deviceHook = new AlignDevicesHook(device, outputDevice);
        Stay(this);

        void Stay(SiteModule module)
        {
            module.Device = device;
            module._children.ForEach(Stay);
        }
    }

    protected T Child<T>(string name, T child) where T : SiteModule
    {
        child.Name = name;
        child.Parent = this;
        _children.Add(child);
        return child;
    }

    /// <summary>Declares a parameter; its tensor comes with the checkpoint.</summary>
    protected Parameter Weight(string name, params ReadOnlySpan<long> shape)
    {
        var parameter = new Parameter(name, [.. shape]);
        _parameters.Add(parameter);
        return parameter;
    }

    /// <summary>Declares the weight of a linear layer (<see cref="Parameter.InFeaturesDim"/>).</summary>
    protected Parameter LinearWeight(string name, long[] shape, int inFeaturesDim)
    {
        var parameter = new Parameter(name, shape) { InFeaturesDim = inFeaturesDim };
        _parameters.Add(parameter);
        return parameter;
    }

    /// <summary>Declares a stack of linear layers' weights that checkpoints have in parts (<see cref="Parameter.Parts"/>).</summary>
    protected Parameter Weight(string name, long[] shape, IReadOnlyList<(string Name, long[] Shape)> parts, int inFeaturesDim)
    {
        var parameter = new Parameter(name, shape, parts) { InFeaturesDim = inFeaturesDim };
        _parameters.Add(parameter);
        return parameter;
    }

    /// <summary>Uses another module's parameter as one's own: the same tensor under a second path.</summary>
    protected Parameter Tie(Parameter parameter)
    {
        _parameters.Add(parameter);
        return parameter;
    }

    /// <summary>
    /// An observed call of this module. Where the result should be a tuple and the observer gave a bare tensor, that is the tuple's
    /// only element.
    /// </summary>
    protected T CallHooked<T>(SiteHook hook, Arguments arguments) where T : class
    {
        object? result = hook.Call(this, arguments);
        if (result is Tensor && typeof(T) == typeof(object?[])) result = new object?[] { result };
        return result as T ?? throw Errors.CreateException(Protocol.ErrorCode.BadArgument,
            $"The output of `{Path}` was replaced by {result?.GetType().Name ?? "nothing"}; it must be {Describe<T>()}.", module: Path);
    }

    private static string Describe<T>() =>
        typeof(T) == typeof(Tensor) ? "a tensor" : typeof(T) == typeof(object?[]) ? "a tuple" : "a model output";

    /// <summary>Gives every module of the tree its path and index. Called once, on the root, when the tree is complete.</summary>
    /// <returns>All modules, parents before children.</returns>
    public IReadOnlyList<SiteModule> Seal()
    {
        List<SiteModule> all = [];
        Visit(this, "");
        return all;

        void Visit(SiteModule module, string path)
        {
            module.Path = path;
            module.Index = all.Count;
            all.Add(module);
            foreach (SiteModule child in module._children)
                Visit(child, path.Length == 0 ? child.Name : $"{path}.{child.Name}");
            module.LastDescendantIndex = all.Count - 1;
        }
    }

    public override string ToString() => Path.Length == 0 ? ClassName : $"{Path} ({ClassName})";
}

/// <summary>A module from one tensor to one tensor: a linear layer, a norm, an activation.</summary>
public abstract class TensorModule : SiteModule
{
    public Tensor Call(Tensor input) => Hook is { } observer ? CallHooked<Tensor>(observer, new Arguments(input)) : Forward(input);

    /// <summary>Which dimensions of what it is given, and gives, run over rows and tokens.</summary>
    public Axes Axes { get; protected set; } = Axes.Hidden;

    public override Axes OutputAxes(int element) => Axes;

    public override Axes InputAxes(string argument) => Axes;

    public override bool ReturnsTensor => true;

    /// <summary>Says what the module, and those within, are called with where that is not [batch, seq, ...].</summary>
    internal void SetAxes(Axes axes)
    {
        Axes = axes;
        foreach (TensorModule child in Children.OfType<TensorModule>()) child.SetAxes(axes);
    }

    protected abstract Tensor Forward(Tensor input);

    public sealed override object? Run(Arguments arguments) => Forward(arguments.Tensor(0));
}
