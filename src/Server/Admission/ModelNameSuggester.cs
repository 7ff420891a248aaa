namespace Ndif.Server.Admission;

/// <summary>Finds the served model that a mistyped name most likely means.</summary>
internal static class ModelNameSuggester
{
    /// <summary>"Did you mean …?", by whole ids, then by the part after the organisation's name; empty if no name is near.</summary>
    public static string Suggest(string name, IReadOnlyCollection<string> servedModels)
    {
        if (name.Length > 256) return "";
        string near = Errors.DidYouMean(name, servedModels);
        if (near.Length > 0) return near;
        string model = GetModelPart(name);
        string[] sameModel =
            [.. servedModels.Where(id => string.Equals(GetModelPart(id), model, StringComparison.OrdinalIgnoreCase)).Take(3)];
        return sameModel.Length > 0 ? $"Did you mean {string.Join(" or ", sameModel.Select(id => $"`{id}`"))}?" : "";
    }

    private static string GetModelPart(string id) => id[(id.LastIndexOf('/') + 1)..];
}
