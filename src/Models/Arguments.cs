using TorchSharp;

namespace Ndif.Models;

/// <summary>
/// The arguments of one call: positional ones, and keywords in the order in which they were given. A value is a tensor, a
/// tuple (<c>object?[]</c>), a number, a flag, null, or something opaque such as a cache.
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

    /// <summary>The first argument: the first positional one, else the first keyword's.</summary>
    public object? First => Positional.Length > 0 ? Positional[0] : Keywords.Count > 0 ? Keywords[0].Value : null;

    /// <summary>The same call with another first argument.</summary>
    public Arguments WithFirst(object? value)
    {
        if (Positional.Length > 0) return new Arguments([value, .. Positional[1..]], Keywords);
        if (Keywords.Count > 0) return new Arguments([], [new(Keywords[0].Key, value), .. Keywords.Skip(1)]);
        return new Arguments(value);
    }

    /// <summary>The same call with its tensors on a device; those that are there already stay as they are.</summary>
    public Arguments To(torch.Device device) => new(
        Array.ConvertAll(Positional, value => MoveTo(value, device)),
        [.. Keywords.Select(keyword => new KeyValuePair<string, object?>(keyword.Key, MoveTo(keyword.Value, device)))]);

    /// <summary>A tensor on a device, and a tuple's or an output's tensors; anything else as it is.</summary>
    internal static object? MoveTo(object? value, torch.Device device) => value switch
    {
        torch.Tensor tensor => IsOn(tensor.device, device) ? tensor : tensor.to(device),
        object?[] tuple => Array.ConvertAll(tuple, element => MoveTo(element, device)),
        ModelOutput output => new ModelOutput(Array.ConvertAll(output.Entries, e => new KeyValuePair<string, object?>(e.Key, MoveTo(e.Value, device)))),
        _ => value,
    };

    /// <summary>"cuda" is "cuda:0".</summary>
    private static bool IsOn(torch.Device present, torch.Device asked) => present.type == asked.type && Math.Max(0, present.index) == Math.Max(0, asked.index);

    /// <summary>The argument at a position, or under its keyword; null if it was not given.</summary>
    public object? Get(int position, string? keyword = null)
    {
        if (position < Positional.Length) return Positional[position];
        foreach (var (key, value) in Keywords)
            if (key == keyword) return value;
        return null;
    }

    /// <summary>As <see cref="Get"/>, for a tensor that must be there.</summary>
    public torch.Tensor Tensor(int position, string? keyword = null) =>
        Get(position, keyword) as torch.Tensor ?? throw Errors.CreateException(Protocol.ErrorCode.BadArgument,
            $"Argument {(keyword is null ? position : $"`{keyword}`")} must be a tensor, not {Get(position, keyword)?.GetType().Name ?? "None"}.");

    /// <summary>As <see cref="Get"/>, for a tuple that must be there.</summary>
    public object?[] Tuple(int position, string? keyword = null) =>
        Get(position, keyword) as object?[] ?? throw Errors.CreateException(Protocol.ErrorCode.BadArgument,
            $"Argument {(keyword is null ? position : $"`{keyword}`")} must be a tuple, not {Get(position, keyword)?.GetType().Name ?? "None"}.");
}

/// <summary>A model's result with named parts, as Hugging Face's ModelOutput: logits, past_key_values.</summary>
public sealed record ModelOutput(params KeyValuePair<string, object?>[] Entries)
{
    public object? this[string name]
    {
        get
        {
            foreach (var (key, value) in Entries)
                if (key == name) return value;
            throw new KeyNotFoundException($"The output has no `{name}`; it has {string.Join(", ", Entries.Select(e => e.Key))}.");
        }
    }
}
