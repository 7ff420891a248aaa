using Ndif.Tests.Support.Service;


namespace Ndif.Language.Tests.Support;

/// <summary>
/// A complete service in this process: gateway on a free port, queue, one worker. It is started once. Each execution mode runs an
/// experiment before the first test, so that no test counts the tensors of loaded weights.
/// </summary>
public sealed class ServiceFixture : IAsyncLifetime
{
    public const string Model = "ndif/tiny-landmarks";

    private LoopbackService? _service;

    /// <summary>The backend of the gateway, with a key.</summary>
    public Backend Remote { get; private set; } = Backend.Remote;

    /// <summary>The address of the gateway.</summary>
    public Uri Address => _service!.Address;

    /// <summary>The address of the dashboard, over HTTP/1.1.</summary>
    public Uri DashboardAddress => _service!.DashboardAddress;

    /// <summary>The folder of a model that has a config and nothing else: enough for scans of token ids.</summary>
    public string ModelWithoutTokenizer { get; } = Directory.CreateTempSubdirectory("ndif-language-").FullName;

    public Backend BackendFor(ExecutionMode mode) => mode switch
    {
        ExecutionMode.Local => Backend.Local,
        ExecutionMode.Loopback => Backend.Loopback,
        _ => Remote,
    };

    public async ValueTask InitializeAsync()
    {
        _service = await LoopbackService.StartAsync(Model, TestContext.Current.CancellationToken, reusesLayers: false);
        Remote = Backend.At(_service.Address.ToString(), _service.Key);
        _ = TinyNet.Module;
        await File.WriteAllBytesAsync(Path.Combine(ModelWithoutTokenizer, "config.json"),
            new LanguageModel(Model).Description.Files["config.json"].ToByteArray(), TestContext.Current.CancellationToken);
        await ScanAsync(new LanguageModel(ModelWithoutTokenizer, remote: Backend.Local));
        foreach (ExecutionMode way in Enum.GetValues<ExecutionMode>())
        {
            var llm = new LanguageModel(Model, remote: BackendFor(way));
            await llm.ForwardAsync("Hello", cancellationToken: TestContext.Current.CancellationToken);
            await ScanAsync(llm);
        }
    }

    private static async Task ScanAsync(LanguageModel llm)
    {
        using Trace scan = llm.Scan(new[] { 1 });
        llm.LmHead.Output.Shape.Save();
        await scan.RunAsync(TestContext.Current.CancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        Directory.Delete(ModelWithoutTokenizer, recursive: true);
        if (_service is not null) await _service.DisposeAsync();
    }
}
