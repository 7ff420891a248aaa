using Ndif.Protocol;

namespace Ndif;

/// <summary>Converts .NET values to the protocol's <see cref="Data"/>; the inverse of <see cref="DataDeserializer"/>.</summary>
internal static class DataSerializer
{
    /// <exception cref="ArgumentException">The value has a type that a program cannot contain.</exception>
    public static Data Serialize(object? value) => value switch
    {
        null => new Data { Nothing = new Nothing() },
        TensorData tensor => new Data { Tensor = tensor.ToProto() },
        Saved { HasValue: true } saved => Serialize(saved.Result),
        bool flag => new Data { Boolean = flag },
        int number => new Data { Integer = number },
        long number => new Data { Integer = number },
        float number => new Data { Real = number },
        double number => new Data { Real = number },
        string text => new Data { Text = text },
        IReadOnlyDictionary<string, object?> map => new Data
        {
            Map = new DataMap { Entries = { map.Select(entry => new DataEntry { Key = entry.Key, Value = Serialize(entry.Value) }) } },
        },
        System.Collections.IEnumerable items => new Data
        {
            List = new DataList { Items = { items.Cast<object?>().Select(Serialize) }, Tuple = value is object?[] },
        },
        _ => throw new ArgumentException($"A {value.GetType().Name} cannot be part of a program; "
            + "return numbers, texts, TensorData, or arrays and dictionaries of these."),
    };
}
