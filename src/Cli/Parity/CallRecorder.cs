using Ndif.Models;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Cli.Parity;

/// <summary>One call of a module, as it was seen.</summary>
/// <param name="Positional">The structure of the positional arguments, as text: most of them are freed when the call has ended.</param>
/// <param name="Input">The first argument's tensor, if it is one.</param>
/// <param name="Output">The result's first tensor.</param>
internal sealed record RecordedCall(SiteModule Module, string Positional, string[] Keywords, object? Result, Tensor? Input, Tensor? Output)
{
    /// <summary>An element of the result that is a tuple.</summary>
    public Tensor? Element(int index) => Result is object?[] tuple && index < tuple.Length ? tuple[index] as Tensor : null;
}

/// <summary>Records every module call of a pass, in the order in which they end, and keeps its tensors.</summary>
internal sealed class CallRecorder(bool gradients = false) : SiteHook, IDisposable
{
    private readonly HashSet<Tensor> _tensors = new(ReferenceEqualityComparer.Instance);

    public List<RecordedCall> Calls { get; } = [];

    /// <summary>Runs a pass and records it on all modules.</summary>
    public ModelOutput Run(LoadedModel model, Func<ModelOutput> pass)
    {
        var everywhere = new SiteHook?[model.Modules.Count];
        Array.Fill(everywhere, this);
        using (Register(everywhere)) return pass();
    }

    public override object? Call(SiteModule module, Arguments arguments)
    {
        string positional = CallStructure.Describe(arguments.Positional);
        Tensor? input = arguments.First is Tensor first ? Keep(first) : null;
        object? result = module.Run(arguments);
        foreach (Tensor tensor in Tensors(result)) Keep(tensor);
        Tensor? output = Tensors(result).FirstOrDefault();
        if (gradients && output is { requires_grad: true }) output.retain_grad();
        Calls.Add(new RecordedCall(module, positional, [.. arguments.Keywords.Select(k => k.Key)], result, input, output));
        return result;
    }

    public RecordedCall? Find(string path) => Calls.Find(c => c.Module.Path == path);

    public void Dispose()
    {
        foreach (Tensor tensor in _tensors) tensor.Dispose();
    }

    /// <summary>Takes a tensor out of the forward's scope, which would free it at the end of its block.</summary>
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
