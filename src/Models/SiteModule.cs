using Ndif.Models.ForwardSource;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>
/// A module of a model: a named node in the module tree of Hugging Face's code, with its parameters. Its calls can be hooked. The state
/// of a run belongs to the run (<see cref="SiteHook"/>), never to the module. A module without a hook costs one null check per call.
/// </summary>
/// <remarks>
/// A derived class has a typed <c>Call</c>, which checks <see cref="Hook"/> and calls the forward directly if there is none, and
/// overrides <see cref="Run"/>, the same forward for arguments that are known only at run time.
/// </remarks>
public abstract class SiteModule
{
    private readonly List<SiteModule> _children = [];
    private readonly List<Parameter> _parameters = [];
    private AlignDevicesHook? _deviceHook;

    /// <summary>The last component of the path: "attn".</summary>
    public string Name { get; private set; } = "";

    /// <summary>The path from the root, as Hugging Face names it: "transformer.h.0.attn"; empty for the root.</summary>
    public string Path { get; private set; } = "";

    /// <summary>The position in the tree in preorder; 0 for the root. Set by <see cref="AssignPaths"/>.</summary>
    public int Index { get; private set; }

    /// <summary>The index of the last module inside this one; its own index if there is none. Set by <see cref="AssignPaths"/>.</summary>
    internal int LastDescendantIndex { get; private set; }

    /// <summary>The parent; null for the root.</summary>
    internal SiteModule? Parent { get; private set; }

    public IReadOnlyList<SiteModule> Children => _children;

    public IReadOnlyList<Parameter> Parameters => _parameters;

    /// <summary>The path of a parameter of this module: "transformer.h.0.ln_1.weight".</summary>
    public string PathOf(Parameter parameter) => Path.Length == 0 ? parameter.Name : $"{Path}.{parameter.Name}";

    /// <summary>The class name in Hugging Face's code, as printed.</summary>
    public virtual string ClassName => GetType().Name;

    /// <summary>The text in parentheses when the tree is printed, as PyTorch's <c>extra_repr</c>.</summary>
    public virtual string ExtraRepr => "";

    /// <summary>Whether the module is a ModuleList, whose children are called by index and which is never called itself.</summary>
    public virtual bool IsList => false;

    /// <summary>
    /// Whether the module is not in Hugging Face's tree: an expert, which Hugging Face's code computes within a fused module.
    /// </summary>
    public virtual bool IsVirtual => false;

    /// <summary>
    /// Whether the tokens of this module are the encoder's: in an encoder-decoder all modules of the encoder, and the projections of its
    /// output in the decoder's cross attention.
    /// </summary>
    public bool IsOfEncoder { get; private set; }

    /// <summary>Declares that the tokens of this module and of all modules inside it are the encoder's.</summary>
    internal void SetIsOfEncoder()
    {
        IsOfEncoder = true;
        foreach (SiteModule child in _children) child.SetIsOfEncoder();
    }

    /// <summary>Says whose tokens the dimensions of a value of this module are.</summary>
    /// <param name="axes">The dimensions, as all modules of the class have them.</param>
    protected internal virtual Axes ResolveTokens(Axes axes) => IsOfEncoder ? axes.OfEncoder() : axes;

    /// <summary>The batch and token dimensions of an output; <paramref name="element"/> is the index in a tuple.</summary>
    public virtual Axes OutputAxes(int element) => Axes.Hidden;

    /// <summary>The batch and token dimensions of an input, which is given by its position as a number or by its keyword.</summary>
    public virtual Axes InputAxes(string argument) => argument is "attention_mask" ? Axes.Attention : Axes.Hidden;

    /// <summary>Whether the forward returns a single tensor instead of a tuple.</summary>
    public virtual bool ReturnsTensor => false;

    /// <summary>Runs the forward with arguments that are known only at run time. Hooks of this module itself are not called.</summary>
    public abstract object? Run(Arguments arguments);

    /// <summary>The source of the forward and the operations in it; null for a list, which has no forward.</summary>
    public virtual SourceFunction? Source => null;

    /// <summary>Runs the instrumented copy of the forward, whose operations call hooks.</summary>
    public virtual object? RunWithHooks(SourceHooks hooks, Arguments arguments) => Run(arguments);

    /// <summary>
    /// Adds to the description of this module what its class alone does not say: the heads of an attention and where their weights are,
    /// the kind of a norm, how a layer adds to the residual stream.
    /// </summary>
    protected internal virtual void DescribeLayout(Protocol.ModuleInfo info) { }

    /// <summary>The device of the weights in a model that is on several devices; null in any other model.</summary>
    public torch.Device? Device { get; private set; }

    /// <summary>The hook of this module in the pass on the current thread, or null.</summary>
    protected SiteHook? Hook => _deviceHook ?? SiteHook.ForModule(Index);

    /// <summary>Places this module and all modules inside it on a device: calls of this module copy their arguments to it.</summary>
    /// <param name="outputDevice">The device that the result is copied to; null leaves it where it is.</param>
    internal void PlaceOn(torch.Device device, torch.Device? outputDevice = null)
    {
        _deviceHook = new AlignDevicesHook(device, outputDevice);
        SetDevice(this);

        void SetDevice(SiteModule module)
        {
            module.Device = device;
            module._children.ForEach(SetDevice);
        }
    }

    /// <summary>Adds a child module.</summary>
    protected T Child<T>(string name, T child) where T : SiteModule
    {
        Architectures.ModuleLimit.Add();
        child.Name = name;
        child.Parent = this;
        _children.Add(child);
        return child;
    }

    /// <summary>Removes this module from its parent, so that it can be the root of a tree.</summary>
    private protected void RemoveFromParent() => (Name, Parent) = ("", null);

    /// <summary>Declares a parameter, whose tensor is loaded from the checkpoint.</summary>
    protected Parameter Weight(string name, params ReadOnlySpan<long> shape)
    {
        var parameter = new Parameter(name, [.. shape]);
        _parameters.Add(parameter);
        return parameter;
    }

    /// <summary>Declares a buffer: a tensor of the checkpoint that PyTorch does not count among the parameters.</summary>
    protected Parameter Buffer(string name, params ReadOnlySpan<long> shape)
    {
        var buffer = new Parameter(name, [.. shape]) { IsBuffer = true };
        _parameters.Add(buffer);
        return buffer;
    }

    /// <summary>Declares a buffer that checkpoints may lack, because it is zero in them.</summary>
    protected Parameter ZeroBuffer(string name, params ReadOnlySpan<long> shape)
    {
        var buffer = new Parameter(name, [.. shape]) { IsBuffer = true, IsZeroByDefault = true };
        _parameters.Add(buffer);
        return buffer;
    }

    /// <summary>Declares the weight of a linear layer (<see cref="Parameter.InFeaturesDim"/>).</summary>
    protected Parameter LinearWeight(string name, long[] shape, int inFeaturesDim)
    {
        var parameter = new Parameter(name, shape) { InFeaturesDim = inFeaturesDim };
        _parameters.Add(parameter);
        return parameter;
    }

    /// <summary>Declares a stack of linear layers' weights that checkpoints store in parts (<see cref="Parameter.Parts"/>).</summary>
    protected Parameter Weight(string name, long[] shape, IReadOnlyList<(string Name, long[] Shape)> parts, int inFeaturesDim)
    {
        var parameter = new Parameter(name, shape, parts) { InFeaturesDim = inFeaturesDim };
        _parameters.Add(parameter);
        return parameter;
    }

    /// <summary>Declares another module's parameter as one of this module: the same tensor under a second path.</summary>
    protected Parameter Tie(Parameter parameter)
    {
        _parameters.Add(parameter);
        return parameter;
    }

    /// <summary>
    /// Calls this module through its hook. If the result must be a tuple and the hook returns a bare tensor, the tensor becomes the
    /// only element of a tuple.
    /// </summary>
    protected T CallHooked<T>(SiteHook hook, Arguments arguments) where T : class
    {
        object? result = hook.Call(this, arguments);
        if (result is Tensor && typeof(T) == typeof(object?[])) result = new object?[] { result };
        return result as T ?? throw Errors.CreateException(Protocol.ErrorCode.BadArgument,
            $"The output of `{Protocol.ModulePaths.DisplayName(Path)}` was replaced by {result?.GetType().Name ?? "nothing"}; it must be "
            + $"{Describe<T>()}.", module: Path);
    }

    private static string Describe<T>() =>
        typeof(T) == typeof(Tensor) ? "a tensor" : typeof(T) == typeof(object?[]) ? "a tuple" : "a model output";

    /// <summary>Sets the path and index of every module of the tree. Called once, on the root of the complete tree.</summary>
    /// <returns>All modules in preorder.</returns>
    public IReadOnlyList<SiteModule> AssignPaths()
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
