using Ndif.Protocol;

namespace Ndif;

/// <summary>From what a C# program holds to the wire's <see cref="Data"/>: the reverse of <see cref="DataDeserializer"/>.</summary>
internal static class DataSerializer
{
    /// <exception cref="ArgumentException">It cannot be part of a program.</exception>
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
        IReadOnlyDictionary<string, object?> map => new Data { Map = new DataMap { Entries = { map.Select(e => new DataEntry { Key = e.Key, Value = Serialize(e.Value) }) } } },
        System.Collections.IEnumerable items => new Data { List = new DataList { Items = { items.Cast<object?>().Select(Serialize) }, Tuple = value is object?[] } },
        _ => throw new ArgumentException($"A {value.GetType().Name} cannot be part of a program; return numbers, texts, TensorData, or arrays and dictionaries of these."),
    };
}
