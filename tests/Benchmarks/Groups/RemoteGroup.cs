using Grpc.Core;
using Grpc.Net.Client;
using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Tests.Support.Service;
using Ndif.Protocol;
using Ndif.Server;

namespace Ndif.Benchmarks.Groups;

/// <summary>
/// The time of a remote trace that saves one layer. The baseline is the same trace in process. Client, gateway, in-memory queue and worker
/// run in this process and communicate over loopback. An empty gRPC call to the same gateway shows the lower bound of a remote trace.
/// </summary>
internal sealed class RemoteGroup : BenchmarkGroup
{
    private const string Prompt = "The Eiffel Tower is in the city of";

    public override string Name => "Remote";

    public override IReadOnlyList<Benchmark> Entries => [new("remote.one saved layer", Measure)];

    private static async Task<IReadOnlyList<Measurement>> Measure(RunSettings settings, CancellationToken cancellationToken)
    {
        await using LoopbackService service =
            await LoopbackService.StartAsync("ndif/tiny-landmarks", cancellationToken, new Tier(JobsPerMinute: 1_000_000));
        Backend remote = Backend.At(service.Address.ToString(), service.Key);
        var llm = new LanguageModel("ndif/tiny-landmarks", remote: remote);
        using GrpcChannel channel = GrpcChannel.ForAddress(service.Address);
        var calls = new Inference.InferenceClient(channel);
        var headers = new Metadata { { "authorization", $"Bearer {service.Key}" } };

        Saved there = await TraceAsync(remote), here = await TraceAsync(Backend.Local);
        if (there.Tensor.Checksum() != here.Tensor.Checksum()) throw new InvalidOperationException("Remote and local differ.");
        InterleavedTimings times = await InterleavedTimings.MeasureAsync(settings.RoundCount(2000), warmup: 100, cancellationToken,
            () => TraceAsync(remote), () => TraceAsync(Backend.Local),
            async () => await calls.GetCapabilitiesAsync(new GetCapabilitiesRequest(), headers, cancellationToken: cancellationToken));
        double local = times.Quantile(1, 0.5), call = times.Quantile(2, 0.5);
        return
        [
            new("remote.one saved layer, p50", 1e3 * (times.Quantile(0, 0.5) - local), "ms",
                $"the same trace in process, p50 {1e3 * local:0.00} ms (quietest quarter: {1e3 * times.Difference(0, 1).Median:0.00} "
                + $"ms; an empty gRPC call: p50 {1e3 * call:0.00} ms)", new Goal(5)),
            new("remote.one saved layer, p99", 1e3 * (times.Quantile(0, 0.99) - local), "ms",
                $"the same trace in process, p50 {1e3 * local:0.00} ms, p99 {1e3 * times.Quantile(1, 0.99):0.00} ms (an empty gRPC "
                + $"call: p99 {1e3 * times.Quantile(2, 0.99):0.00} ms)"),
        ];

        Task<Saved> TraceAsync(Backend where) =>
            llm.TraceAsync(Prompt, _ => llm.Layers[^1].Hidden.Save(), where, cancellationToken: cancellationToken);
    }
}
