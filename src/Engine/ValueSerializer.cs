using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine;

/// <summary>Converts values of the engine to <see cref="Data"/> of the protocol.</summary>
internal static class ValueSerializer
{
    /// <param name="writeTensor">Converts a tensor; by default it is an inline copy of its bytes.</param>
    public static Data Serialize(object? value, Func<torch.Tensor, Tensor>? writeTensor = null) => value switch
    {
        null => new Data { Nothing = new Nothing() },
        torch.Tensor t => new Data { Tensor = writeTensor is null ? t.ToData().ToProto() : writeTensor(t) },
        bool flag => new Data { Boolean = flag },
        long integer => new Data { Integer = integer },
        double real => new Data { Real = real },
        string text => new Data { Text = text },
        IReadOnlyDictionary<string, object?> map => new Data
        {
            Map = new DataMap { Entries = { map.Select(e => new DataEntry { Key = e.Key, Value = Serialize(e.Value, writeTensor) }) } },
        },
        IEnumerable<object?> items => new Data
        {
            List = new DataList { Items = { items.Select(i => Serialize(i, writeTensor)) }, Tuple = value is object?[] },
        },
        _ => new Data { Text = value.ToString() },
    };
}
