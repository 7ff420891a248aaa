using System.Globalization;

namespace Ndif.Workbench.Tests.Infrastructure;

/// <summary>A service as `ndif up` runs it, and `ndif workbench` beside it, in processes of their own.</summary>
public sealed class WorkbenchService : IAsyncLifetime
{
    /// <summary>The bundled model.</summary>
    public const string Model = "ndif/tiny-landmarks";

    private readonly ServiceCluster _processes = new();
    private readonly int _port = FreePort.Find();
    private ChildProcess? _gateway;

    /// <summary>The address of the gateway for gRPC.</summary>
    public string Gateway => string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{_port}");

    /// <summary>The address of the gateway's dashboard.</summary>
    public Uri Dashboard { get; private set; } = new("http://127.0.0.1");

    /// <summary>The address of the workbench that `ndif up` itself serves.</summary>
    public Uri OwnWorkbench { get; private set; } = new("http://127.0.0.1");

    /// <summary>A key with the scopes run and admin.</summary>
    public string Key { get; private set; } = "";

    /// <summary>A workbench whose process has no key, so that it must be entered.</summary>
    public Uri WithoutKey { get; private set; } = new("http://127.0.0.1");

    /// <summary>A workbench whose process has <see cref="Key"/> in NDIF_API_KEY.</summary>
    public Uri WithKey { get; private set; } = new("http://127.0.0.1");

    /// <summary>The service for programs of the tests.</summary>
    public Backend Remote => Backend.At(Gateway, Key);

    public async ValueTask InitializeAsync()
    {
        await StartGatewayAsync();
        string line =
            await _gateway!.WaitForLineAsync(line => line.Contains("NDIF_API_KEY=ndif_", StringComparison.Ordinal), "its first key");
        Key = line.Split('=')[1].Split(' ')[0];
        WithoutKey = await StartWorkbenchAsync();
        WithKey = await StartWorkbenchAsync([("NDIF_API_KEY", Key)]);
    }

    /// <summary>Starts the gateway and its worker, again at the same address.</summary>
    public async Task StartGatewayAsync()
    {
        _gateway = _processes.StartTool("up", "--no-restart", "--data", _processes.DataFolder, "--port",
            _port.ToString(CultureInfo.InvariantCulture), "--http-port", "0", "--workbench-port", "0", "--set",
            "Gateway:Tiers:slow:JobsPerMinute=1");
        string dashboard =
            await _gateway.WaitForLineAsync(line => line.StartsWith("NDIF is up.", StringComparison.Ordinal), "its addresses");
        Dashboard = new Uri(dashboard.Split(' ')[^1]);
        string own =
            await _gateway.WaitForLineAsync(line => line.StartsWith("  Workbench: ", StringComparison.Ordinal), "its workbench");
        OwnWorkbench = new Uri(own.Split(' ')[^1]);
    }

    /// <summary>Ends the gateway and its worker, as a crash does.</summary>
    public async Task StopGatewayAsync()
    {
        _gateway!.Kill();
        await _gateway.WaitForExitAsync();
    }

    /// <summary>Starts a workbench for the gateway.</summary>
    public Task<Uri> StartWorkbenchAsync(params (string Name, string Value)[] environment) =>
        StartWorkbenchAsync(new Uri(Gateway), environment);

    /// <summary>Starts a workbench for another gateway.</summary>
    public async Task<Uri> StartWorkbenchAsync(Uri gateway, params (string Name, string Value)[] environment)
    {
        ChildProcess workbench = _processes.StartProgram("ndif workbench", BuildOutput.Tool,
            ["workbench", "--host", gateway.ToString(), "--port", "0"], environment);
        string line = await workbench.WaitForLineAsync(line => line.StartsWith("workbench ", StringComparison.Ordinal), "its address");
        return new Uri(line.Split(' ')[1]);
    }

    /// <summary>Creates a key that may run jobs.</summary>
    /// <param name="tier">"slow" for one job a minute; empty for the usual limits.</param>
    public async Task<string> CreateKeyAsync(string name, string tier = "") =>
        (await ApiKeys.CreateAsync(name, tier: tier, remote: Remote)).Secret;

    /// <summary>The output of the processes, for the message of a failure.</summary>
    public string Report() => _processes.Report();

    public ValueTask DisposeAsync() => _processes.DisposeAsync();
}
