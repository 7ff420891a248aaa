using Ndif.Engine.Compiling;
using Ndif.Engine.Batching;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Reuse;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.HookedModels;

/// <summary>A TorchSharp module that the user has built. Its dimensions are not known, so programs are not batched.</summary>
internal sealed class HookedTorchModule : HookedModel
{
    private readonly torch.nn.Module _root;
    private readonly List<torch.nn.Module> _modules = [];
    private readonly List<string> _paths = [];

    public HookedTorchModule(torch.nn.Module root)
    {
        _root = root;
        Description = new ModelDescription
        {
            Id = ClassName(root), Architecture = ClassName(root), Names = new StandardNames(), Root = Describe(root, "", ""),
            Parameters = (ulong)root.parameters().Sum(p => p.numel()),
        };
    }

    public override ModelDescription Description { get; }

    public override torch.Device Device => _root.parameters().FirstOrDefault()?.device ?? torch.CPU;

    public override torch.ScalarType DType => _root.parameters().FirstOrDefault()?.dtype ?? torch.ScalarType.Float32;

    public override IReadOnlyList<string> Paths => _paths;

    public override IReadOnlyList<int> CancellationPoints => [];

    public override bool CanBatch => false;

    public override Axes OutputAxes(int module, int element) => Axes.Shared;

    public override Axes InputAxes(int module, string argument) => Axes.Shared;

    internal override IPreparedTrace Prepare(TraceRun trace) => new PreparedTrace(trace);

    internal override ITraceBatch? Start(
        IReadOnlyList<IPreparedTrace> traces, Action onPreemptionPoint, PrefixCache? prefixes)
    {
        foreach (IPreparedTrace prepared in traces) Run(prepared.Trace, onPreemptionPoint);
        return null;
    }

    public override object? CallModule(int module, Arguments arguments, SiteHook?[]? hooks = null, Action? checkCancellation = null) =>
        hooks is null
        ? TorchHooks.Call(_modules[module], arguments)
        : throw Errors.CreateException(ErrorCode.Unsupported, "Adapters are parts of language models; this is a module of its user's.");

    public override torch.Tensor Parameter(int module, string name) =>
        _modules[module].named_parameters(recurse: false).First(p => p.name == name).parameter;

    /// <summary>The parameters belong to the user: they keep their gradients, as after any backward pass.</summary>
    internal override IDisposable RequireGrad(IReadOnlyList<(int Module, string Name)> parameters)
    {
        torch.Tensor[] frozen = [.. parameters.Select(p => Parameter(p.Module, p.Name)).Where(p => !p.requires_grad)];
        foreach (torch.Tensor parameter in frozen) parameter.requires_grad_(true);
        return new RequiresGradScope(frozen);
    }

    private void Run(TraceRun trace, Action onPreemptionPoint)
    {
        InvokeInput[] inputs = [.. trace.Statement.Invokes.Where(i => i.Input is not null)];
        if (inputs.Length != 1)
            throw Errors.CreateException(ErrorCode.Unsupported,
                $"Batching is not implemented for {Description.Architecture}: how several inputs go together is not known.",
                "Use one trace for each input.");
        using var scope = torch.NewDisposeScope();
        var arguments = new Arguments(Array.ConvertAll(inputs[0].Arguments, a => TensorOwnership.Alias(a.Evaluate(trace.Job.Slots))));
        foreach (InvokeInput invoke in trace.Statement.Invokes)
            trace.Add(new Interpreter(trace.Job, invoke.Region, BatchSlice.Whole()) { IsEdit = invoke.Beside is not null });
        trace.Add(new Interpreter(trace.Job, trace.Statement.Trace.Region, BatchSlice.Whole()));
        var interleaver = new Interleaver(this, [trace], onPreemptionPoint);
        try
        {
            interleaver.Begin();
            using var hooks = TorchHooks.Attach(_modules, interleaver.Hooks);
            object? result = TorchHooks.Call(_root, arguments);
            trace.Result = _ => TensorOwnership.Alias(result);
        }
        catch (EarlyStopException)
        {
            // no invoke needs the rest of the pass
        }
        interleaver.EndTrace(trace);
    }

    private ModuleInfo Describe(torch.nn.Module module, string name, string path)
    {
        _modules.Add(module);
        _paths.Add(path);
        var info = new ModuleInfo
        {
            Name = name,
            ClassName = ClassName(module),
            Repr = TorchRepr.Of(module),
            List = ClassName(module) is "ModuleList",
        };
        foreach (var (parameterName, parameter) in module.named_parameters(recurse: false))
            info.Parameters.Add(
                new ParameterInfo { Name = parameterName, Shape = { parameter.shape },
                    Dtype = (DataType)TensorBytes.FromTorch(parameter.dtype) });
        foreach (var (childName, child) in module.named_children())
            info.Children.Add(Describe(child, childName, path.Length == 0 ? childName : $"{path}.{childName}"));
        return info;
    }

    /// <summary>The class name without type parameters. (GetName() of a Sequential is torch::nn::SequentialImpl.)</summary>
    private static string ClassName(torch.nn.Module module)
    {
        string name = module.GetType().Name;
        int generic = name.IndexOf('`');
        return generic < 0 ? name : name[..generic];
    }

    private sealed class RequiresGradScope(torch.Tensor[] parameters) : IDisposable
    {
        public void Dispose()
        {
            foreach (torch.Tensor parameter in parameters) parameter.requires_grad_(false);
        }
    }

    private sealed record PreparedTrace(TraceRun Trace) : IPreparedTrace
    {
        public int RowCount => 0;

        public int SequenceLength => 0;

        public long CacheCapacity => 0;

        public double PassBytes => 0;
    }
}
