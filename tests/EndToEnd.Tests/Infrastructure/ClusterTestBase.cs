using System.Collections.Concurrent;
using Grpc.Core;
using Grpc.Net.Client;
using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests.Infrastructure;

/// <summary>
/// The base class of tests that use the cluster. All processes run when a test begins, and their output is shown if it fails.
/// </summary>
public abstract class ClusterTestBase(TestCluster cluster, ITestOutputHelper output) : IAsyncLifetime
{
    /// <summary>An experiment that runs for some seconds, so that a test can end a process during the run.</summary>
    protected const string LongJob = "slow:600";

    private static readonly ConcurrentDictionary<string, Lazy<Task<Dictionary<string, string>>>> _localChecksums = new();

    private GrpcChannel? _channel;

    protected TestCluster Cluster { get; } = cluster;

    protected ITestOutputHelper Output { get; } = output;

    protected static CancellationToken Cancel => TestContext.Current.CancellationToken;

    /// <summary>A gRPC client without the SDK, for requests that the SDK does not send.</summary>
    protected Inference.InferenceClient RawClient =>
        new(_channel ??= GrpcChannel.ForAddress(Cluster.Grpc, new GrpcChannelOptions { MaxSendMessageSize = null }));

    protected Metadata KeyMetadata => new() { { "authorization", $"Bearer {Cluster.Key}" } };

    public async ValueTask InitializeAsync() => await Cluster.EnsureRunningAsync();

    public ValueTask DisposeAsync()
    {
        _channel?.Dispose();
        if (TestContext.Current.TestState?.Result is TestResult.Failed) Output.WriteLine(Cluster.Report());
        GC.SuppressFinalize(this);
        return ValueTask.CompletedTask;
    }

    /// <summary>Runs a test with processes of its own, whose output is shown if it fails.</summary>
    private protected async Task WithProcessOutputAsync(IsolatedService own, Func<Task> test)
    {
        try
        {
            await test();
        }
        catch
        {
            Output.WriteLine(own.Report());
            throw;
        }
    }

    /// <summary>The checksums of an experiment's results in this process. They are computed once.</summary>
    protected static Task<Dictionary<string, string>> RunLocallyAsync(string experiment) =>
        _localChecksums.GetOrAdd(experiment, _ => new(async () => GetChecksums(await RunAsync(experiment, Backend.Local)))).Value;

    /// <summary>The checksums of an experiment's results on the service.</summary>
    protected async Task<Dictionary<string, string>> RunRemotelyAsync(string experiment) =>
        GetChecksums(await RunAsync(experiment, Cluster.Remote));

    private static async Task<IReadOnlyDictionary<string, TensorData>> RunAsync(string experiment, Backend backend)
    {
        using RecordedExperiment recorded = Experiments.Record(experiment, backend);
        return await recorded.RunAsync(Cancel);
    }

    private static Dictionary<string, string> GetChecksums(IReadOnlyDictionary<string, TensorData> results) =>
        results.ToDictionary(result => result.Key, result => result.Value.Checksum());
}
