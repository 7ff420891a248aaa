using System.Reflection;
using System.Text.RegularExpressions;
using Ndif.Models.Files.Hub;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files;

/// <summary>A model on this machine's disk.</summary>
/// <param name="Id">As it was asked for.</param>
/// <param name="Revision">The commit of a hub snapshot, else empty.</param>
public sealed record ModelFolder(string Id, string Revision, string Path);

/// <summary>Where models are found: a folder, what is bundled, Hugging Face's cache, the hub.</summary>
public static partial class ModelStore
{
    /// <summary>The id of the small trained model that comes with this assembly.</summary>
    public const string TinyLandmarks = "ndif/tiny-landmarks";

    /// <summary>The folder of a model's description: of a hub model config and tokenizer are there, weights perhaps.</summary>
    /// <param name="revision">A branch, tag or commit of a hub model; null is "main".</param>
    /// <exception cref="NdifException">As of the next.</exception>
    public static ModelFolder Find(string id, string? revision = null) => Find(id, revision, ModelParts.Description, null);

    /// <summary>
    /// The folder of a model, by path ("/models/my-gpt", "./my-gpt") or id ("openai-community/gpt2"). An existing folder wins; what is in
    /// the cache is taken from there without asking the hub; the rest is downloaded (<see cref="HubDownload"/>).
    /// </summary>
    /// <param name="revision">A branch, tag or commit of a hub model; null is "main".</param>
    /// <param name="parts">What has to be there: a description is a few files, weights may be gigabytes.</param>
    /// <param name="hub">Null is what the environment says.</param>
    /// <param name="progress">Bytes of a download.</param>
    /// <exception cref="NdifException">
    /// UNKNOWN_MODEL: says where it was looked for, and names near ones. PERMISSION_DENIED, BAD_CHECKPOINT or DOWNLOAD_FAILED of a download.
    /// </exception>
    public static ModelFolder Find(string id, string? revision, ModelParts parts, HubOptions? hub,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default)
    {
        if (id.Length > 0 && Directory.Exists(id)) return FromFolder(id);
        if (id == TinyLandmarks && Bundled("tiny-landmarks") is { } bundled) return new ModelFolder(id, "", bundled);
        hub ??= HubOptions.FromEnvironment();
        string wanted = revision ?? "main";
        if (!IsHubId(id) || !IsRevision(wanted)) throw Unknown(id, revision, hub);
        ModelFolder? cached = HubCache.Find(id, wanted, hub.Cache);
        if (cached is not null && HubFiles.IsComplete(cached.Path, parts)) return cached;
        if (hub.Offline) return cached ?? throw HubErrors.Offline(id, wanted, hub);
        try
        {
            // what is missing of a snapshot is of the snapshot's own commit, wherever the branch is by now
            return Download(id, cached?.Revision ?? wanted, parts, hub, progress, cancellationToken);
        }
        catch (NdifException e) when (cached is not null && e.Code is ErrorCode.UnknownModel)
        {
            return cached; // the hub cannot be asked: what reads the folder will say what it lacks
        }
    }

    /// <summary>Fetches a model from the hub, what is new of it too, and waits for it.</summary>
    /// <exception cref="NdifException">As <see cref="Find"/>'s.</exception>
    public static ModelFolder Download(string id, string? revision = null, ModelParts parts = ModelParts.Weights, HubOptions? hub = null,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default)
    {
        hub ??= HubOptions.FromEnvironment();
        string wanted = revision ?? "main";
        if (!IsHubId(id) || !IsRevision(wanted)) throw Unknown(id, revision, hub);
        if (hub.Offline) throw HubErrors.Offline(id, wanted, hub);
        return HubDownload.RunAsync(id, wanted, parts, hub, progress, cancellationToken).GetAwaiter().GetResult();
    }

    /// <summary>Models that need no download: the bundled one and those in the cache.</summary>
    public static IEnumerable<string> Available() => HubCache.Models().Prepend(TinyLandmarks);

    private static ModelFolder FromFolder(string path) =>
        new(path, HubCache.RevisionOf(path), System.IO.Path.GetFullPath(path));

    private static string? Bundled(string name)
    {
        string beside = System.IO.Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location) ?? "";
        return ((string[])[AppContext.BaseDirectory, beside])
            .Select(folder => System.IO.Path.Combine(folder, "Bundled", name)).FirstOrDefault(Directory.Exists);
    }

    /// <summary>An id is one or two plain words: it never leaves the cache folder.</summary>
    /// <remarks>validate_repo_id in huggingface_hub/utils/_validators.py</remarks>
    private static bool IsHubId(string id) => id.Length <= 200 && HubId().IsMatch(id) && !id.Contains("..", StringComparison.Ordinal);

    /// <summary>A branch may have slashes ("refs/pr/1"); it never leaves the cache folder either.</summary>
    private static bool IsRevision(string revision) => revision.Length <= 200 && Revision().IsMatch(revision) && !revision.Contains("..", StringComparison.Ordinal);

    [GeneratedRegex(@"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)?\z")]
    private static partial Regex HubId();

    [GeneratedRegex(@"^[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*\z")]
    private static partial Regex Revision();

    private static Exception Unknown(string id, string? revision, HubOptions hub)
    {
        string wanted = revision is null ? $"`{id}`" : $"`{id}` at revision `{revision}`";
        string near = Errors.DidYouMean(id, Available());
        return Errors.CreateException(ErrorCode.UnknownModel,
            $"The model {wanted} is not on this machine: there is no such folder, it is not bundled, and it is not a name that the hub or its cache "
            + $"{hub.Cache} could have.",
            (near.Length > 0 ? near + " " : "") + "Give a folder in Hugging Face's format, or an id such as `openai-community/gpt2`.");
    }
}
