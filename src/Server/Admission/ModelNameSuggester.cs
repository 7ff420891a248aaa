namespace Ndif.Server.Admission;

/// <summary>The served model that a mistyped name most likely means.</summary>
internal static class ModelNameSuggester
{
    /// <summary>"Did you mean …?", by whole ids and by the part after the organisation's name; empty if none is near.</summary>
    public static string Suggest(string name, IReadOnlyCollection<string> servedModels)
    {
        if (name.Length > 256) return "";
        string near = Errors.DidYouMean(name, servedModels);
        if (near.Length > 0) return near;
        string tail = GetModelPart(name);
        string[] sameTail = [.. servedModels.Where(id => string.Equals(GetModelPart(id), tail, StringComparison.OrdinalIgnoreCase)).Take(3)];
        return sameTail.Length > 0 ? $"Did you mean {string.Join(" or ", sameTail.Select(id => $"`{id}`"))}?" : "";
    }

    private static string GetModelPart(string id) => id[(id.LastIndexOf('/') + 1)..];
}
