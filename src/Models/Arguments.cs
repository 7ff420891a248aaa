using TorchSharp;

namespace Ndif.Models;

/// <summary>
/// The positional and keyword arguments of one call, keywords in the order given. A value is a tensor, a tuple (<c>object?[]</c>), a
/// number, a bool, null, or an opaque object such as a cache.
/// </summary>
public sealed class Arguments
{
    public Arguments(params object?[] positional) : this(positional, []) { }

    public Arguments(object?[] positional, IReadOnlyList<KeyValuePair<string, object?>> keywords)
    {
        Positional = positional;
        Keywords = keywords;
    }

    public object?[] Positional { get; }

    public IReadOnlyList<KeyValuePair<string, object?>> Keywords { get; }

    /// <summary>The first positional argument, or else the first keyword argument.</summary>
    public object? First => Positional.Length > 0 ? Positional[0] : Keywords.Count > 0 ? Keywords[0].Value : null;

    /// <summary>Copies the arguments with another first argument.</summary>
    public Arguments WithFirst(object? value)
    {
        if (Positional.Length > 0) return new Arguments([value, .. Positional[1..]], Keywords);
        if (Keywords.Count > 0) return new Arguments([], [new(Keywords[0].Key, value), .. Keywords.Skip(1)]);
        return new Arguments(value);
    }

    /// <summary>Copies the arguments with all tensors on a device. Tensors that are on it are not copied.</summary>
    public Arguments To(torch.Device device) => new(
        Array.ConvertAll(Positional, value => MoveTo(value, device)),
        [.. Keywords.Select(keyword => new KeyValuePair<string, object?>(keyword.Key, MoveTo(keyword.Value, device)))]);

    /// <summary>Moves a tensor, or the tensors in a tuple or model output, to a device. Any other value is returned unchanged.</summary>
    internal static object? MoveTo(object? value, torch.Device device) => value switch
    {
        torch.Tensor tensor => tensor.device.IsSameDevice(device) ? tensor : tensor.to(device),
        object?[] tuple => Array.ConvertAll(tuple, element => MoveTo(element, device)),
        ModelOutput output =>
            new ModelOutput(Array.ConvertAll(output.Entries, e => new KeyValuePair<string, object?>(e.Key, MoveTo(e.Value, device)))),
        _ => value,
    };

    /// <summary>The argument at a position or with a keyword; null if it was not given.</summary>
    public object? Get(int position, string? keyword = null)
    {
        if (position < Positional.Length) return Positional[position];
        foreach (var (key, value) in Keywords)
            if (key == keyword) return value;
        return null;
    }

    /// <summary>Like <see cref="Get"/>, for a required tensor.</summary>
    public torch.Tensor Tensor(int position, string? keyword = null) =>
        Get(position, keyword) as torch.Tensor ?? throw InvalidArgument(position, keyword, "a tensor");

    /// <summary>Like <see cref="Get"/>, for a required tuple.</summary>
    public object?[] Tuple(int position, string? keyword = null) =>
        Get(position, keyword) as object?[] ?? throw InvalidArgument(position, keyword, "a tuple");

    private Exception InvalidArgument(int position, string? keyword, string expected)
    {
        object? value = Get(position, keyword);
        string argument = keyword is null ? $"{position}" : $"`{keyword}`";
        string actual = value switch { null => "None", object?[] tuple => $"a tuple of {tuple.Length}", _ => value.GetType().Name };
        return Errors.CreateException(Protocol.ErrorCode.BadArgument, $"Argument {argument} must be {expected}, not {actual}.",
            value is object?[]
                ? "A module that returns a tuple, such as a decoder layer, has its tensor at Output[0], and as Hidden." : "");
    }
}
