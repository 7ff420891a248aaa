using Ndif.Engine.HookedModels;
using Ndif.Engine.Local;
using Ndif.Protocol;
using Ndif.Running;
using TorchSharp;

namespace Ndif;

/// <summary>
/// Wraps any TorchSharp module as a model that can be traced, in this process: <c>new NNsight(net)</c>. Hooks are registered on its
/// submodules only while a program needs them.
/// </summary>
/// <param name="module">The module, which the caller owns.</param>
/// <param name="rename">Aliases of its modules, as for <see cref="LanguageModel"/>.</param>
public sealed class NNsight(torch.nn.Module module, Dictionary<string, Aliases>? rename = null) : TracedModel(rename)
{
    private readonly torch.nn.Module _module = module;
    private readonly HookedTorchModule _hookedModel = new(module);
    private static readonly ModelThread _modelThread = new("modules");

    /// <summary>Opens a trace over one call of the module.</summary>
    /// <param name="inputs">The arguments of the module's forward. Without any, an invoke provides them.</param>
    public Trace Trace(params torch.Tensor[] inputs) =>
        Open(inputs.Length == 0 ? null : inputs, Mode.Forward, UnlessInSession(Backend.Local), false, null);

    /// <summary>Opens a trace over one call of the module on one argument.</summary>
    /// <param name="backend"><see cref="Backend.Local"/> (default) or <see cref="Backend.Loopback"/>.</param>
    /// <param name="grad">Allow gradients.</param>
    public Trace Trace(torch.Tensor input, Backend? backend = null, bool grad = false) =>
        Open(input, Mode.Forward, backend ?? UnlessInSession(Backend.Local), grad, null);

    /// <summary>
    /// Opens a trace with a backend. <see cref="Backend.Loopback"/> runs the serialized program, which finds what cannot be sent.
    /// </summary>
    public Trace Trace(Backend backend, params torch.Tensor[] inputs) =>
        Open(inputs.Length == 0 ? null : inputs, Mode.Forward, backend, false, null);

    /// <summary>Records an experiment in a trace, runs it, and returns its result with the saved values set.</summary>
    public Task<T> TraceAsync<T>(torch.Tensor input, Func<Trace, T> experiment, CancellationToken cancellationToken = default) =>
        RecordAndRunAsync(Trace(input), experiment, cancellationToken);

    /// <summary>Runs the module without an experiment and returns its result. Edits of the model apply.</summary>
    public async Task<Saved> ForwardAsync(params torch.Tensor[] inputs)
    {
        using Trace trace = Trace(inputs);
        Saved output = trace.Result.Save();
        await trace.RunAsync();
        return output;
    }

    /// <summary>Creates a persistent edit, as <see cref="LanguageModel.Edit"/>.</summary>
    /// <param name="inPlace">Edit this model instead of returning an edited one on the same module.</param>
    public NNsight Edit(Action edit, bool inPlace = false)
    {
        NNsight edited = inPlace ? this : new NNsight(_module, new(Rename));
        if (!inPlace) edited.ShareTree(this);
        edited.AddEdit(inPlace ? null : this, edit);
        return edited;
    }

    /// <summary>Opens a session: several traces in sequence, with values flowing between them.</summary>
    public Session Session(Backend? backend = null) => OpenSession(backend ?? Backend.Local);

    protected override ModelRef Reference { get; } = new() { Id = module.GetName() };

    protected override ModelDescription Describe() => _hookedModel.Description;

    protected override IProgramRunner RunnerFor(Backend backend) =>
        backend.GetLocalRunner(new LocalRunner(_ => _hookedModel, null, _modelThread))
        ?? throw Errors.CreateException(ErrorCode.Unsupported,
            "A module of this process cannot run on the service: its code and weights are only here.", "Drop remote: true.");

    protected override void WriteInput(object input, Input destination, Func<object?, Argument> argument)
    {
        torch.Tensor[] tensors = input switch
        {
            torch.Tensor one => [one],
            torch.Tensor[] several => several,
            _ => throw new ArgumentException($"The input of a module is a tensor or several, not {input.GetType().Name}.", nameof(input)),
        };
        foreach (torch.Tensor tensor in tensors) destination.Arguments.Add(argument(tensor.ToData()));
    }
}
