using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers.StateSpace;

/// <summary>How a layer calls its mixer in Hugging Face's code.</summary>
/// <param name="IsKeyword">Whether the hidden states are a keyword argument.</param>
/// <param name="CacheName">The keyword of the cache.</param>
internal sealed record MixerCall(bool IsKeyword, string CacheName = "cache_params")
{
    public bool PassesUseCache { get; init; }

    public bool PassesRouterLogits { get; init; }
}

/// <summary>A layer's mixer of tokens that keeps a state instead of keys and values: a state-space model, a linear attention.</summary>
public abstract class StateSpaceMixer : SiteModule
{
    private readonly MixerCall _call;

    private protected StateSpaceMixer(string className, int layer, MixerCall call) => (ClassName, Layer, _call) = (className, layer, call);

    public override string ClassName { get; }

    protected int Layer { get; }

    /// <summary>The keyword of the cache.</summary>
    protected string CacheName => _call.CacheName;

    public override bool ReturnsTensor => true;

    public override Axes InputAxes(string argument) => argument == "attention_mask" ? new Axes(0, 1) : Axes.Hidden;

    /// <param name="hidden">[batch, seq, hidden]</param>
    /// <param name="mask">[batch, seq]: 0 for padding; null for none.</param>
    /// <returns>[batch, seq, hidden]</returns>
    public Tensor Call(Tensor hidden, KeyValueCache? cache, Tensor? mask) => Hook is { } observer
        ? CallHooked<Tensor>(observer, new Arguments(_call.IsKeyword ? [] : [hidden], [.. CreateArguments(hidden, cache, mask)]))
        : Forward(hidden, cache, mask);

    public sealed override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"), arguments.Get(1, CacheName) as KeyValueCache,
        arguments.Get(2, "attention_mask") as Tensor);

    protected abstract Tensor Forward(Tensor hidden, KeyValueCache? cache, Tensor? mask);

    private IEnumerable<KeyValuePair<string, object?>> CreateArguments(Tensor hidden, KeyValueCache? cache, Tensor? mask)
    {
        if (_call.IsKeyword) yield return new("hidden_states", hidden);
        yield return new(_call.CacheName, cache);
        if (mask is not null) yield return new("attention_mask", mask);
        if (_call.PassesUseCache) yield return new("use_cache", cache is not null);
        if (_call.PassesRouterLogits) yield return new("output_router_logits", false);
    }
}
