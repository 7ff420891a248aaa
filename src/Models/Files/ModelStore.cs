using System.Reflection;
using System.Text.RegularExpressions;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models;

/// <summary>A model on this machine's disk.</summary>
/// <param name="Id">As it was asked for.</param>
/// <param name="Revision">The commit of a hub snapshot, else empty.</param>
public sealed record ModelFolder(string Id, string Revision, string Path);

/// <summary>Where models are found: a folder, what is bundled, Hugging Face's cache.</summary>
public static partial class ModelStore
{
    /// <summary>The id of the small trained model that comes with this assembly.</summary>
    public const string TinyLandmarks = "ndif/tiny-landmarks";

    /// <summary>
    /// The folder of a model, by path ("/models/my-gpt", "./my-gpt") or id ("openai-community/gpt2"). An existing folder wins.
    /// </summary>
    /// <param name="revision">A branch, tag or commit of a hub model; null is "main".</param>
    /// <exception cref="NdifException">UNKNOWN_MODEL: says where it was looked for, and names near ones.</exception>
    public static ModelFolder Find(string id, string? revision = null)
    {
        if (id.Length > 0 && Directory.Exists(id)) return OfFolder(id);
        if (id == TinyLandmarks && Bundled("tiny-landmarks") is { } bundled) return new ModelFolder(id, "", bundled);
        if (IsHubId(id) && HubCache.Find(id, revision) is { } cached) return cached;
        // A download would go here: from HF_ENDPOINT into the cache, then HubCache.Find again.
        throw Unknown(id, revision);
    }

    /// <summary>Models that need no download: the bundled one and those in the cache.</summary>
    public static IEnumerable<string> Available() => HubCache.Models().Prepend(TinyLandmarks);

    private static ModelFolder OfFolder(string path) =>
        new(path, HubCache.RevisionOf(path), System.IO.Path.GetFullPath(path));

    private static string? Bundled(string name)
    {
        string beside = System.IO.Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location) ?? "";
        return ((string[])[AppContext.BaseDirectory, beside])
            .Select(folder => System.IO.Path.Combine(folder, "Bundled", name)).FirstOrDefault(Directory.Exists);
    }

    /// <summary>An id is one or two plain words: it never leaves the cache folder.</summary>
    private static bool IsHubId(string id) => HubId().IsMatch(id) && !id.Contains("..", StringComparison.Ordinal);

    [GeneratedRegex(@"^[\w.-]+(/[\w.-]+)?$")]
    private static partial Regex HubId();

    private static Exception Unknown(string id, string? revision)
    {
        string wanted = revision is null ? $"`{id}`" : $"`{id}` at revision `{revision}`";
        string near = Errors.DidYouMean(id, Available());
        return Errors.Throwable(ErrorCode.UnknownModel,
            $"The model {wanted} is not on this machine: there is no such folder, it is not bundled, and it is not in the cache "
            + $"{HubCache.Root} (set by HF_HUB_CACHE or HF_HOME).",
            (near.Length > 0 ? near + " " : "") + "Give a folder in Hugging Face's format, or download the model into the cache first.");
    }
}
