using System.Globalization;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files.Hub;

/// <summary>The options of downloads from the hub.</summary>
internal sealed record HubOptions
{
    /// <summary>
    /// The address of the hub or of a mirror with the same API. Default: https://huggingface.co. Environment: HF_ENDPOINT.
    /// </summary>
    public Uri Endpoint { get; init; } = new("https://huggingface.co");

    /// <summary>
    /// The access token for models that are not public. It is sent to the endpoint only. Environment: HF_TOKEN, else the file that `hf
    /// auth login` writes.
    /// </summary>
    public string? Token { get; init; }

    /// <summary>Use only the cache and send no request. Environment: HF_HUB_OFFLINE.</summary>
    public bool Offline { get; init; }

    /// <summary>The root of the cache, in the layout of huggingface_hub. Environment: HF_HUB_CACHE, HF_HOME.</summary>
    public string Cache { get; init; } = HubCache.Root;

    /// <summary>The number of files that are transferred in parallel. Default: 4.</summary>
    public int Parallel { get; init; } = 4;

    /// <summary>
    /// The number of attempts of a request before it fails. A transfer that has made progress resets the count. Default: 5.
    /// </summary>
    public int Attempts { get; init; } = 5;

    /// <summary>The delay after the first failure; it doubles with each failure. Default: 500 ms.</summary>
    public TimeSpan Backoff { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>The time without a response, or without a byte of it, after which a connection counts as broken. Default: 30 s.</summary>
    public TimeSpan Silence { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The free bytes of the disk that contains a folder.</summary>
    internal Func<string, long> FreeBytes { get; init; } = folder => new DriveInfo(folder).AvailableFreeSpace;

    /// <summary>Reads the options from the environment variables of huggingface_hub.</summary>
    /// <remarks>huggingface_hub/constants.py</remarks>
    /// <exception cref="NdifException">BAD_ARGUMENT: HF_ENDPOINT is not an http or https address.</exception>
    public static HubOptions FromEnvironment() => new()
    {
        Endpoint = Variable("HF_ENDPOINT") is { } address ? ParseEndpoint(address) : new HubOptions().Endpoint,
        Token = Variable("HF_TOKEN") ?? StoredToken(),
        Offline = IsOn(Variable("HF_HUB_OFFLINE")) || IsOn(Variable("TRANSFORMERS_OFFLINE")),
    };

    /// <exception cref="NdifException">BAD_ARGUMENT: the text is not an http or https address.</exception>
    public static Uri ParseEndpoint(string address) =>
        Uri.TryCreate(address.TrimEnd('/'), UriKind.Absolute, out Uri? uri)
        && (uri.Scheme == Uri.UriSchemeHttps || uri.Scheme == Uri.UriSchemeHttp) ? uri
            : throw Errors.CreateException(ErrorCode.BadArgument, $"HF_ENDPOINT is `{address}`, which is not an http or https address.");

    private static string? StoredToken()
    {
        string path = Variable("HF_TOKEN_PATH") ?? Path.Combine(HubCache.Home, "token");
        try { return File.Exists(path) && File.ReadAllText(path).Trim() is { Length: > 0 } token ? token : null; }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { return null; }
    }

    private static bool IsOn(string? value) => value?.ToUpper(CultureInfo.InvariantCulture) is "1" or "ON" or "YES" or "TRUE";

    private static string? Variable(string name) => Environment.GetEnvironmentVariable(name)?.Trim() is { Length: > 0 } value ? value
        : null;
}
