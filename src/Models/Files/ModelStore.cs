using System.Reflection;
using System.Text.RegularExpressions;
using Ndif.Models.Files.Gguf;
using Ndif.Models.Files.Hub;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files;

/// <summary>Finds a model by id or path: in a folder, among the bundled models, in the Hugging Face cache, or on the hub.</summary>
public static partial class ModelStore
{
    /// <summary>The id of the small trained model that is bundled with this assembly.</summary>
    public const string TinyLandmarks = "ndif/tiny-landmarks";

    /// <summary>Finds a model whose config and tokenizer are needed; the weights of a hub model may be missing.</summary>
    /// <param name="revision">A branch, tag or commit of a hub model; null is "main".</param>
    /// <exception cref="NdifException">See the other overload.</exception>
    public static ModelFolder Find(string id, string? revision = null) => Find(id, revision, ModelParts.Description, null);

    /// <summary>
    /// Finds a model by path ("/models/my-gpt", "./my-gpt", "model.gguf") or id ("openai-community/gpt2"). An existing folder or file has
    /// precedence. A folder without other weights than a GGUF file stands for that file. A model in the cache is used without a request
    /// to the hub; what is missing is downloaded (<see cref="HubDownload"/>).
    /// </summary>
    /// <param name="revision">A branch, tag or commit of a hub model; null is "main".</param>
    /// <param name="parts">The files that are needed: a description is a few small files, weights may be gigabytes.</param>
    /// <param name="hub">The options of a download; null reads them from the environment.</param>
    /// <param name="progress">Reports the downloaded bytes.</param>
    /// <exception cref="NdifException">
    /// UNKNOWN_MODEL: the message lists where the model was searched and suggests similar ids. PERMISSION_DENIED, BAD_CHECKPOINT or
    /// DOWNLOAD_FAILED: a download failed.
    /// </exception>
    internal static ModelFolder Find(string id, string? revision, ModelParts parts, HubOptions? hub,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default)
    {
        if (id.Length > 0 && Directory.Exists(id)) return FromFolder(id);
        if (GgufFile.IsName(id) && File.Exists(id)) return new ModelFolder(id, "", System.IO.Path.GetFullPath(id));
        if (id == TinyLandmarks && Bundled("tiny-landmarks") is { } bundled) return new ModelFolder(id, "", bundled);
        hub ??= HubOptions.FromEnvironment();
        string wanted = revision ?? "main";
        if (!IsHubId(id) || !IsRevision(wanted)) throw Unknown(id, revision, hub);
        ModelFolder? cached = HubCache.Find(id, wanted, hub.Cache);
        if (cached is not null && HubFiles.IsComplete(cached.Path, parts)) return cached;
        if (hub.Offline) return cached ?? throw HubErrors.Offline(id, wanted, hub);
        try
        {
            // the files that are missing from a snapshot are taken from its own commit, even if the branch has moved on
            return Download(id, cached?.Revision ?? wanted, parts, hub, progress, cancellationToken);
        }
        catch (NdifException e) when (cached is not null && e.Code is ErrorCode.UnknownModel)
        {
            return cached; // the hub is unreachable; the reader of the folder reports what is missing
        }
    }

    /// <summary>Downloads the current state of a model from the hub and waits for it.</summary>
    /// <exception cref="NdifException">UNKNOWN_MODEL, PERMISSION_DENIED, BAD_CHECKPOINT or DOWNLOAD_FAILED.</exception>
    internal static ModelFolder Download(string id, string? revision = null, ModelParts parts = ModelParts.Weights, HubOptions? hub = null,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default)
    {
        hub ??= HubOptions.FromEnvironment();
        string wanted = revision ?? "main";
        if (!IsHubId(id) || !IsRevision(wanted)) throw Unknown(id, revision, hub);
        if (hub.Offline) throw HubErrors.Offline(id, wanted, hub);
        return HubDownload.RunAsync(id, wanted, parts, hub, progress, cancellationToken).GetAwaiter().GetResult();
    }

    /// <summary>The models that need no download: the bundled one and those in the cache.</summary>
    public static IEnumerable<string> Available() => HubCache.Models().Prepend(TinyLandmarks);

    private static ModelFolder FromFolder(string path)
    {
        string folder = Checkpoint.ExistsIn(path) ? path : GgufModel.FindIn(path) ?? path;
        return new ModelFolder(path, HubCache.RevisionOf(path), System.IO.Path.GetFullPath(folder));
    }

    private static string? Bundled(string name)
    {
        string assemblyFolder = System.IO.Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location) ?? "";
        return ((string[])[AppContext.BaseDirectory, assemblyFolder])
            .Select(folder => System.IO.Path.Combine(folder, "Bundled", name)).FirstOrDefault(Directory.Exists);
    }

    /// <summary>An id has one or two segments of plain characters, so it cannot point outside of the cache.</summary>
    /// <remarks>validate_repo_id in huggingface_hub/utils/_validators.py</remarks>
    private static bool IsHubId(string id) => id.Length <= 200 && HubId().IsMatch(id) && !id.Contains("..", StringComparison.Ordinal);

    /// <summary>A branch may contain slashes ("refs/pr/1"), but cannot point outside of the cache either.</summary>
    private static bool IsRevision(string revision) => revision.Length <= 200 && Revision().IsMatch(revision)
        && !revision.Contains("..", StringComparison.Ordinal);

    [GeneratedRegex(@"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)?\z")]
    private static partial Regex HubId();

    [GeneratedRegex(@"^[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*\z")]
    private static partial Regex Revision();

    private static Exception Unknown(string id, string? revision, HubOptions hub)
    {
        string wanted = revision is null ? $"`{id}`" : $"`{id}` at revision `{revision}`";
        string suggestion = Errors.DidYouMean(id, Available());
        return Errors.CreateException(ErrorCode.UnknownModel,
            $"The model {wanted} is not on this machine: there is no such folder, "
            + "it is not bundled, and it is not a name that the hub or its cache "
            + $"{hub.Cache} could have.",
            (suggestion.Length > 0 ? suggestion + " " : "")
            + "Give a folder in Hugging Face's format, a GGUF file, or an id such as `openai-community/gpt2`.");
    }
}
