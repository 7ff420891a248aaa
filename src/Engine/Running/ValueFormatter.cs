using System.Globalization;
using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>Formats a value for a log line.</summary>
internal static class ValueFormatter
{
    public static string Format(object? value) => value switch
    {
        null => "None",
        string text => text,
        bool flag => flag ? "True" : "False",
        torch.Tensor tensor => tensor.ToData().ToString()!,
        IReadOnlyDictionary<string, object?> map => $"{{{string.Join(", ", map.Select(e => $"{e.Key}: {Format(e.Value)}"))}}}",
        IEnumerable<object?> items => $"[{string.Join(", ", items.Select(Format))}]",
        IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString() ?? "",
    };
}
