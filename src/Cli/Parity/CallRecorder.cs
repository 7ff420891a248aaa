using Ndif.Models;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Cli.Parity;

/// <summary>Records every module call of a forward pass, in the order in which the calls end, and keeps their tensors alive.</summary>
/// <param name="gradients">True to retain the gradients of the outputs.</param>
internal sealed class CallRecorder(bool gradients = false) : SiteHook, IDisposable
{
    private readonly HashSet<Tensor> _tensors = new(ReferenceEqualityComparer.Instance);

    public List<RecordedCall> Calls { get; } = [];

    /// <summary>Runs a forward pass and records the calls of all modules.</summary>
    public ModelOutput Run(LoadedModel model, Func<ModelOutput> forward)
    {
        var hooks = new SiteHook?[model.Modules.Count];
        foreach (SiteModule module in model.Modules)
            if (!module.IsVirtual) hooks[module.Index] = this; // Hugging Face's code has no call of an expert
        using (Register(hooks)) return forward();
    }

    public override object? Call(SiteModule module, Arguments arguments)
    {
        string[] positional = Array.ConvertAll(arguments.Positional, CallStructure.Describe);
        Tensor? input = arguments.First is Tensor first ? Keep(first) : null;
        object? result = module.Run(arguments);
        foreach (Tensor tensor in Tensors(result)) Keep(tensor);
        Tensor? output = Tensors(result).FirstOrDefault();
        if (gradients && output is { requires_grad: true }) output.retain_grad();
        Calls.Add(new RecordedCall(module, positional, [.. arguments.Keywords.Select(k => k.Key)],
            [.. arguments.Keywords.Where(k => k.Value is null).Select(k => k.Key)], result, input, output));
        return result;
    }

    public RecordedCall? Find(string path) => Calls.Find(c => c.Module.Path == path);

    public void Dispose()
    {
        foreach (Tensor tensor in _tensors) tensor.Dispose();
    }

    /// <summary>Removes a tensor from the dispose scope of the forward pass, which would free it too early.</summary>
    private Tensor Keep(Tensor tensor)
    {
        if (_tensors.Add(tensor)) tensor.DetachFromDisposeScope();
        return tensor;
    }

    private static IEnumerable<Tensor> Tensors(object? value) => value switch
    {
        Tensor tensor => [tensor],
        object?[] tuple => tuple.SelectMany(Tensors),
        ModelOutput output => output.Entries.SelectMany(e => Tensors(e.Value)),
        _ => [],
    };
}
