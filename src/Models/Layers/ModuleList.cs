using System.Globalization;

namespace Ndif.Models.Layers;

/// <summary>Children by number.</summary>
/// <remarks>torch/nn/modules/container.py</remarks>
public sealed class ModuleList<T> : SiteModule where T : SiteModule
{
    private readonly T[] _items;

    public ModuleList(int count, Func<int, T> item)
    {
        _items = new T[count];
        for (int i = 0; i < count; i++) _items[i] = Child(i.ToString(CultureInfo.InvariantCulture), item(i));
    }

    public override string ClassName => "ModuleList";

    public override bool IsList => true;

    public int Count => _items.Length;

    public T this[int index] => _items[index];

    public override object? Run(Arguments arguments) =>
        throw Errors.CreateException(Protocol.ErrorCode.Unsupported, $"`{Path}` is a list of modules and cannot be called.", module: Path);
}
