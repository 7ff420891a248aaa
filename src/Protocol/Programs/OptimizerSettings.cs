using System.Globalization;
using static Ndif.ErrorText;

namespace Ndif.Protocol.Programs;

/// <summary>The options of an optimizer, with PyTorch's names, defaults and bounds.</summary>
public sealed class OptimizerSettings(NewOptimizer optimizer)
{
    /// <summary>AdamW decays weights by default, the others do not.</summary>
    public const double DefaultAdamWWeightDecay = 1e-2;

    private static readonly Dictionary<string, string[]> _optionsByKind = new()
    {
        ["sgd"] = ["lr", "momentum", "dampening", "weight_decay", "nesterov"],
        ["adam"] = ["lr", "beta1", "beta2", "eps", "weight_decay"],
        ["adamw"] = ["lr", "beta1", "beta2", "eps", "weight_decay"],
    };

    /// <summary>The learning rate. Default: 1e-3.</summary>
    public double LearningRate => GetOption("lr", 1e-3);

    /// <summary>The value of an option, or its default.</summary>
    public double GetOption(string name, double defaultValue) =>
        optimizer.Options.TryGetValue(name, out double value) ? value : defaultValue;

    /// <exception cref="NdifException">BAD_ARGUMENT: an unknown kind or option, or a value outside of its bounds.</exception>
    public void Validate()
    {
        if (!_optionsByKind.TryGetValue(optimizer.Kind, out string[]? known)) throw UnknownKind();
        if (optimizer.Parameters.Count == 0) throw BadArgument("An optimizer needs at least one parameter to train.");
        foreach (var (name, value) in optimizer.Options)
        {
            if (!known.Contains(name))
                throw BadArgument($"`{optimizer.Kind}` has no option `{Truncate(name, 40)}`; it has {string.Join(", ", known)}.");
            bool isInBounds = name switch
            {
                "beta1" or "beta2" => value is >= 0 and < 1,
                "nesterov" => value is 0 or 1,
                "dampening" => double.IsFinite(value),
                _ => value >= 0 && double.IsFinite(value),
            };
            if (!isInBounds) throw BadArgument($"Invalid {name} of `{optimizer.Kind}`: {value.ToString(CultureInfo.InvariantCulture)}.");
        }
        if (GetOption("nesterov", 0) != 0 && (GetOption("momentum", 0) <= 0 || GetOption("dampening", 0) != 0))
            throw BadArgument("Nesterov momentum needs a momentum and no dampening.");
    }

    /// <summary>BAD_ARGUMENT: the optimizer's kind is unknown.</summary>
    public Exception UnknownKind() =>
        BadArgument($"There is no optimizer `{Truncate(optimizer.Kind, 40)}`; there are {string.Join(", ", _optionsByKind.Keys)}.");

    private static Exception BadArgument(string message) => Errors.CreateException(ErrorCode.BadArgument, message);
}
