namespace Ndif.Server;

/// <summary>The served model that a mistyped name most likely means.</summary>
internal static class Nearest
{
    /// <summary>"Did you mean …?", by whole ids and by the part after the organisation's name; empty if none is near.</summary>
    public static string Model(string name, IReadOnlyCollection<string> served)
    {
        if (name.Length > 256) return "";
        string near = Errors.DidYouMean(name, served);
        if (near.Length > 0) return near;
        string tail = Tail(name);
        string[] sameTail = [.. served.Where(id => string.Equals(Tail(id), tail, StringComparison.OrdinalIgnoreCase)).Take(3)];
        return sameTail.Length > 0 ? $"Did you mean {string.Join(" or ", sameTail.Select(id => $"`{id}`"))}?" : "";
    }

    private static string Tail(string id) => id[(id.LastIndexOf('/') + 1)..];
}
