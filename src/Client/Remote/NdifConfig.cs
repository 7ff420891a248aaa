using System.Text.Json;
using System.Text.Json.Nodes;
using Ndif.Remote;

namespace Ndif;

/// <summary>
/// The address of the service and the key. A value that is set in this process takes precedence over the environment (NDIF_HOST,
/// NDIF_API_KEY, NDIF_CA_FILE), and the environment over the file <c>ndif/config.json</c> in the user's configuration folder. An empty
/// variable is not set.
/// </summary>
public static class NdifConfig
{
    /// <summary>The address of the gateway that <c>ndif up</c> starts.</summary>
    public const string DefaultHost = "http://127.0.0.1:5080";

    private static string? _host, _apiKey, _caFile;

    /// <summary>Where a trace runs that does not set it. Default: <see cref="Backend.Local"/>.</summary>
    public static Backend DefaultBackend { get; set; } = Backend.Local;

    /// <summary>
    /// How long a submission waits that the service refuses because the key has reached its limit of jobs a minute, of jobs at once, or of
    /// places in the queue. It is sent again when the refusal says; a warning tells of the first wait, and a cancellation token ends it.
    /// Default: as long as it takes. <see cref="TimeSpan.Zero"/>: the refusal is thrown at once (QUOTA_EXCEEDED).
    /// </summary>
    public static TimeSpan MaxWaitForQuota { get; set; } = TimeSpan.MaxValue;

    /// <summary>
    /// Whether a run shows on the terminal what it waits for: its position in the queue, the loading of the model. It shows nothing where
    /// the error output is not a terminal. Default: true.
    /// </summary>
    public static bool ShowProgress { get; set; } = true;

    /// <summary>
    /// The address of the service's gateway. With <c>dns:///name:port</c>, each call goes to the next of the gateways that the name
    /// resolves to, with TLS only if <see cref="CaFile"/> is set.
    /// </summary>
    public static Uri Host => ParseHost(_host ?? ReadVariable("NDIF_HOST") ?? ReadFromFile("host") ?? DefaultHost);

    /// <summary>True if the process, the environment or the file sets the address; false where <see cref="DefaultHost"/> is used.</summary>
    public static bool IsHostConfigured =>
        (_host ?? ReadVariable("NDIF_HOST") ?? ReadFromFile("host")) is { Length: > 0 };

    /// <summary>The key; null if none is configured.</summary>
    public static string? ApiKey => _apiKey ?? ReadVariable("NDIF_API_KEY") ?? ReadFromFile("api_key");

    /// <summary>The PEM file of the certificate authority of the service; null for the authorities that this machine trusts.</summary>
    public static string? CaFile => _caFile ?? ReadVariable("NDIF_CA_FILE") ?? ReadFromFile("ca_file");

    /// <summary>Sets the file of <see cref="CaFile"/> for this process.</summary>
    public static void SetDefaultCaFile(string path) => _caFile = path;

    /// <summary>Sets the key for this process.</summary>
    public static void SetDefaultApiKey(string key) => _apiKey = key;

    /// <summary>Sets the address of the service for this process.</summary>
    /// <exception cref="ArgumentException">The host is not an address.</exception>
    public static void SetDefaultHost(string host) => _host = ParseHost(host).ToString();

    /// <summary>The file that stores host and key.</summary>
    public static string FilePath => Path.Combine(
        Environment.GetFolderPath(Environment.SpecialFolder.ApplicationData, Environment.SpecialFolderOption.DoNotVerify),
        "ndif", "config.json");

    /// <summary>Writes host and key to <see cref="FilePath"/>, which only its owner can read. Null keeps the value of the file.</summary>
    public static void Save(string? host, string? apiKey)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(FilePath)!);
        string json = new JsonObject
        {
            ["host"] = host ?? ReadFromFile("host"),
            ["api_key"] = apiKey ?? ReadFromFile("api_key"),
            ["ca_file"] = ReadFromFile("ca_file"),
        }.ToJsonString();
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using var writer = new StreamWriter(FilePath, options);
        writer.Write(json);
    }

    internal static Uri ParseHost(string host)
    {
        string address = host.Contains("://", StringComparison.Ordinal) ? host : $"http://{host}";
        return Uri.TryCreate(address, UriKind.Absolute, out Uri? uri)
            && (uri.Scheme is "http" or "https" || (GatewayBalancing.IsBalanced(uri) && GatewayBalancing.ToHttp(uri, false) is not null))
            ? uri
            : throw new ArgumentException(
                $"Invalid host `{host}`: it must be an address such as {DefaultHost}, https://ndif.example.org or dns:///gateways:5080.");
    }

    private static string? ReadVariable(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;

    private static string? ReadFromFile(string key)
    {
        try
        {
            if (!File.Exists(FilePath)) return null;
            using JsonDocument file = JsonDocument.Parse(File.ReadAllBytes(FilePath));
            return file.RootElement.TryGetProperty(key, out JsonElement value) ? value.GetString() : null;
        }
        catch (Exception e) when (e is JsonException or IOException or InvalidOperationException or UnauthorizedAccessException)
        {
            throw new InvalidOperationException($"The configuration file {FilePath} cannot be read: {e.Message}", e);
        }
    }
}
