using Ndif.Protocol;

namespace Ndif.Dictionaries;

/// <summary>A LayerNorm or an RMSNorm of a model, as a linear map once its scale is known.</summary>
internal sealed class NormModule
{
    private readonly ModuleInfo _info;

    private NormModule(Envoy module, ModuleInfo info) => (Module, _info) = (module, info);

    public Envoy Module { get; }

    /// <summary>A LayerNorm subtracts the mean of its input, and an RMSNorm does not.</summary>
    private bool Centers => !_info.ClassName.EndsWith("RMSNorm", StringComparison.Ordinal);

    /// <summary>The norms of the layers, without those inside of the attention, and the final norm.</summary>
    public static IEnumerable<NormModule> Find(LanguageModel model)
    {
        ModuleInfo root = model.Description.Root;
        IEnumerable<string> ofLayers = model.Layers.SelectMany(layer => root.Find(layer.Path)!.Paths()
            .Select(path => $"{layer.Path}.{path}").Where(path => !path.StartsWith($"{layer.Attn.Path}.", StringComparison.Ordinal)));
        return from path in ofLayers.Append(model.FinalNorm.Path)
               let info = root.Find(path)
               where IsNorm(info)
               select new NormModule(model.Get(path), info);
    }

    /// <summary>The final norm of a model; null if it is of another kind.</summary>
    public static NormModule? FindFinal(LanguageModel model) =>
        model.Description.Root.Find(model.FinalNorm.Path) is { } info && IsNorm(info) ? new NormModule(model.FinalNorm, info) : null;

    /// <summary>The input as its weight takes it, up to the scale: centered, and multiplied by the weight. [..., hidden]</summary>
    public Value ApplyWithoutScale(Value input) => Multiply(Center(input));

    /// <summary>
    /// Records that the gradient goes through the norm as through a linear map: its scale is a constant. The value does not change.
    /// </summary>
    public void Freeze()
    {
        Value output = Module.Output, centered = Center(Module.Input.To(DType.Float32));
        Value scale = (centered.Square().Mean(-1, keepdim: true) + ReplacedWeights.ReadEpsilon(_info)).Rsqrt().Detach();
        Value linear = Multiply(centered * scale);
        Module.Output = (output.Detach() + (linear - linear.Detach())).TypeAs(output);
    }

    private Value Center(Value input) => Centers ? input - input.Mean(-1, keepdim: true) : input;

    /// <summary>Gemma stores the weight minus 1.</summary>
    private Value Multiply(Value value)
    {
        if (_info.Parameters.All(parameter => parameter.Name != "weight")) return value;
        Value weight = Module.Parameter("weight").To(DType.Float32);
        return value * (_info.ClassName.StartsWith("Gemma", StringComparison.Ordinal) ? weight + 1 : weight);
    }

    private static bool IsNorm(ModuleInfo module) => module.ClassName.EndsWith("RMSNorm", StringComparison.Ordinal)
        || module.ClassName == "LayerNorm";
}
