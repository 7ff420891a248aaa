using System.Globalization;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files.Hub;

/// <summary>Where models are downloaded from, and how.</summary>
public sealed record HubOptions
{
    /// <summary>The hub, or a mirror that speaks its API. Default https://huggingface.co; HF_ENDPOINT.</summary>
    public Uri Endpoint { get; init; } = new("https://huggingface.co");

    /// <summary>For models that are not public; it is sent to the endpoint and to no other host. HF_TOKEN, else the file that `hf auth login` writes.</summary>
    public string? Token { get; init; }

    /// <summary>Use the cache alone. HF_HUB_OFFLINE.</summary>
    public bool Offline { get; init; }

    /// <summary>The cache's folder, as huggingface_hub has it. HF_HUB_CACHE, HF_HOME.</summary>
    public string Cache { get; init; } = HubCache.Root;

    /// <summary>Files at once. Default 4.</summary>
    public int Parallel { get; init; } = 4;

    /// <summary>How often a request is tried before it fails; a transfer that moved on begins to count anew. Default 5.</summary>
    public int Attempts { get; init; } = 5;

    /// <summary>The wait after the first failure; it doubles with each one. Default 500 ms.</summary>
    public TimeSpan Backoff { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>A connection without an answer, or a byte of it, for so long counts as broken. Default 30 s.</summary>
    public TimeSpan Silence { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Free bytes of the disk that a folder is on.</summary>
    internal Func<string, long> FreeBytes { get; init; } = folder => new DriveInfo(folder).AvailableFreeSpace;

    /// <summary>What the environment says, by the names that huggingface_hub has.</summary>
    /// <remarks>huggingface_hub/constants.py</remarks>
    /// <exception cref="NdifException">BAD_ARGUMENT: HF_ENDPOINT is no address.</exception>
    public static HubOptions FromEnvironment() => new()
    {
        Endpoint = Variable("HF_ENDPOINT") is { } address ? ParseEndpoint(address) : new HubOptions().Endpoint,
        Token = Variable("HF_TOKEN") ?? StoredToken(),
        Offline = IsOn(Variable("HF_HUB_OFFLINE")) || IsOn(Variable("TRANSFORMERS_OFFLINE")),
    };

    /// <exception cref="NdifException">BAD_ARGUMENT.</exception>
    public static Uri ParseEndpoint(string address) =>
        Uri.TryCreate(address.TrimEnd('/'), UriKind.Absolute, out Uri? uri) && (uri.Scheme == Uri.UriSchemeHttps || uri.Scheme == Uri.UriSchemeHttp) ? uri
            : throw Errors.CreateException(ErrorCode.BadArgument, $"HF_ENDPOINT is `{address}`, which is not an http or https address.");

    private static string? StoredToken()
    {
        string path = Variable("HF_TOKEN_PATH") ?? Path.Combine(HubCache.Home, "token");
        try { return File.Exists(path) && File.ReadAllText(path).Trim() is { Length: > 0 } token ? token : null; }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { return null; }
    }

    private static bool IsOn(string? value) => value?.ToUpper(CultureInfo.InvariantCulture) is "1" or "ON" or "YES" or "TRUE";

    private static string? Variable(string name) => Environment.GetEnvironmentVariable(name)?.Trim() is { Length: > 0 } value ? value : null;
}
