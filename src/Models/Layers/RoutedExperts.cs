using System.Globalization;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>A module at whose hook point the routing of a layer is: the experts of each token and the weights of their outputs.</summary>
internal interface IRoutingSource
{
    /// <summary>Whether the routing is in the output of the module, and not among its arguments.</summary>
    bool IsInOutput { get; }

    /// <summary>The routing in a slice of the value.</summary>
    /// <param name="values">The positional arguments, or the output.</param>
    /// <returns>2 x [batch · seq, chosen]</returns>
    (Tensor Indices, Tensor Weights) RoutingOf(IReadOnlyList<object?> values);
}

/// <summary>A module in which Hugging Face's code computes all experts of a layer.</summary>
internal interface IFusedExperts
{
    /// <summary>The modules that the fused forward calls once for all experts. They do not run where the experts run one by one.</summary>
    IEnumerable<SiteModule> FusedParts { get; }

    /// <summary>The module whose operations do not run then.</summary>
    SiteModule FusedForward { get; }
}

/// <summary>
/// The experts of a layer, which the router has chosen for each token. They are computed together, in the forward of the derived class.
/// Where an expert has a hook they run one by one instead, each with its own tokens, in the order of their numbers.
/// </summary>
public abstract class RoutedExperts : SiteModule, IFusedExperts, IRoutingSource
{
    private Expert[] _experts = [];

    public override bool ReturnsTensor => true;

    public override Axes OutputAxes(int element) => Axes.Flat;

    public override Axes InputAxes(string argument) => Axes.Flat;

    public IEnumerable<SiteModule> FusedParts => Children.Where(child => child is not Expert);

    public SiteModule FusedForward => this;

    bool IRoutingSource.IsInOutput => false;

    (Tensor Indices, Tensor Weights) IRoutingSource.RoutingOf(IReadOnlyList<object?> values) => ((Tensor)values[1]!, (Tensor)values[2]!);

    /// <summary>The name of the argument with the chosen experts of each token in Hugging Face's code.</summary>
    protected virtual string IndexArgument => "top_k_index";

    /// <summary>The name of the argument with the weights of their outputs.</summary>
    protected virtual string WeightsArgument => "top_k_weights";

    /// <param name="hidden">[batch · seq, hidden]</param>
    /// <param name="topKIndex">[batch · seq, chosen] int64: experts</param>
    /// <param name="topKWeights">[batch · seq, chosen]</param>
    /// <returns>[batch · seq, hidden]</returns>
    public Tensor Call(Tensor hidden, Tensor topKIndex, Tensor topKWeights)
    {
        if (Hook is { } hook) return CallHooked<Tensor>(hook, new Arguments(hidden, topKIndex, topKWeights));
        return HasHookedExperts ? CallExperts(hidden, topKIndex, topKWeights) : Forward(hidden, topKIndex, topKWeights);
    }

    public sealed override object? Run(Arguments arguments) => HasHookedExperts
        ? CallExperts(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, IndexArgument), arguments.Tensor(2, WeightsArgument))
        : Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, IndexArgument), arguments.Tensor(2, WeightsArgument));

    protected abstract Tensor Forward(Tensor hidden, Tensor topKIndex, Tensor topKWeights);

    /// <summary>Adds the experts as child modules by number.</summary>
    protected void AddExperts(int count, Func<int, Expert> create)
    {
        _experts = new Expert[count];
        for (int i = 0; i < count; i++) _experts[i] = Child(i.ToString(CultureInfo.InvariantCulture), create(i));
    }

    /// <summary>"MixtralExpert" of "MixtralExperts", "DeepseekV3Expert" of "DeepseekV3NaiveMoe"</summary>
    protected static string ExpertClassOf(string className) =>
        className.Replace("Experts", "", StringComparison.Ordinal).Replace("NaiveMoe", "", StringComparison.Ordinal) + "Expert";

    /// <summary>Whether an expert has a hook, so that the fused forward cannot be used.</summary>
    protected bool HasHookedExperts => _experts.Length > 0 && SiteHook.HasHooks(_experts[0].Index, _experts[^1].Index);

    /// <summary>Calls the experts one by one; one without tokens is called with none if it has a hook.</summary>
    private protected Tensor CallExperts(Tensor hidden, Tensor topKIndex, Tensor topKWeights)
    {
        using var scope = NewDisposeScope();
        if (hidden.device_type == TorchSharp.DeviceType.META)
            return CallWithAllTokens(hidden).MoveToOuterDisposeScope();
        RoutedTokens routed = new(topKIndex, _experts.Length, isStable: true);
        Tensor pairs = routed.Select(hidden);                                                       // [pairs, hidden]
        List<Tensor> outputs = [];
        long at = 0;
        for (int i = 0; i < _experts.Length; i++)
        {
            long count = routed.Counts[i];
            if (count == 0 && SiteHook.ForModule(_experts[i].Index) is null) continue;
            outputs.Add(_experts[i].Call(pairs.narrow(0, at, count), routed.Tokens.narrow(0, at, count))); // [routed, hidden]
            at += count;
        }
        return routed.Combine(cat(outputs, 0), topKWeights).to(hidden.dtype).MoveToOuterDisposeScope(); // [batch · seq, hidden]
    }

    /// <summary>
    /// A scan has no values, and so no routing: each expert has the shape that it has if all tokens are routed to it, which is the most.
    /// </summary>
    private Tensor CallWithAllTokens(Tensor hidden)
    {
        Tensor output = hidden.clone();                                                             // [batch · seq, hidden]
        foreach (Expert expert in _experts)
        {
            if (SiteHook.ForModule(expert.Index) is null) continue;
            Tensor tokens = arange(hidden.size(0), ScalarType.Int64, hidden.device);                // [batch · seq]
            output = output + expert.Call(hidden.clone(), tokens);                                  // a graph goes through the expert
        }
        return output;
    }
}
