using System.Globalization;
using Ndif.Protocol;

namespace Ndif;

/// <summary>Converts the protocol's <see cref="Data"/> to .NET values, and prints them.</summary>
internal static class DataDeserializer
{
    /// <summary>A <see cref="TensorData"/>, long, double, bool, string, null, <c>object?[]</c> or dictionary.</summary>
    public static object? Deserialize(Data data) => data.ValueCase switch
    {
        Data.ValueOneofCase.Tensor => TensorData.FromProto(data.Tensor),
        Data.ValueOneofCase.Integer => data.Integer,
        Data.ValueOneofCase.Real => data.Real,
        Data.ValueOneofCase.Boolean => data.Boolean,
        Data.ValueOneofCase.Text => data.Text,
        Data.ValueOneofCase.List => data.List.Items.Select(Deserialize).ToArray(),
        Data.ValueOneofCase.Map => data.Map.Entries.ToDictionary(e => e.Key, e => Deserialize(e.Value)),
        _ => null,
    };

    public static string Describe(object? result) => result switch
    {
        null => "None",
        TensorData => "a tensor",
        object?[] items => $"a tuple or list of {items.Length}",
        IReadOnlyDictionary<string, object?> map => $"a dictionary of {string.Join(", ", map.Keys)}",
        string => "a text",
        _ => "a number",
    };

    public static string Render(object? result) => result switch
    {
        null => "None",
        object?[] items => $"[{string.Join(", ", items.Select(Render))}]",
        IReadOnlyDictionary<string, object?> map => $"{{{string.Join(", ", map.Select(e => $"{e.Key}: {Render(e.Value)}"))}}}",
        bool flag => flag ? "True" : "False",
        IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
        _ => result.ToString() ?? "",
    };
}
