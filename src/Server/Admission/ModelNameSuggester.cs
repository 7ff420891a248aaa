namespace Ndif.Server.Admission;

/// <summary>Suggests served models for a name that is not known.</summary>
internal static class ModelNameSuggester
{
    /// <summary>
    /// Returns "Did you mean …?" for similar ids, or ids with the same name of another organization; empty if there are none.
    /// </summary>
    public static string Suggest(string name, IReadOnlyCollection<string> servedModels)
    {
        if (name.Length > 256) return "";
        string suggestion = Errors.DidYouMean(name, servedModels);
        if (suggestion.Length > 0) return suggestion;
        string part = GetModelPart(name);
        string[] matches = [.. servedModels.Where(id => string.Equals(GetModelPart(id), part, StringComparison.OrdinalIgnoreCase)).Take(3)];
        return matches.Length > 0 ? $"Did you mean {string.Join(" or ", matches.Select(id => $"`{id}`"))}?" : "";
    }

    /// <summary>The part of the id after the organization.</summary>
    private static string GetModelPart(string id) => id[(id.LastIndexOf('/') + 1)..];
}
