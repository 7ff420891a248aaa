using Grpc.Core;
using Ndif.Server.Hosting;

namespace Ndif.Server.Scaling;

/// <summary>
/// The gRPC service `externalscaler.ExternalScaler`, which KEDA asks how many workers are needed. It returns numbers of jobs and no more,
/// and needs no key; it is served only on <see cref="GatewayOptions.ScalerPort"/> (<see cref="ScalerPortMiddleware"/>).
/// </summary>
internal sealed class ExternalScalerService(WorkerDemand demand, StreamDrainer drainer, TimeProvider time)
    : ExternalScaler.ExternalScalerBase
{
    private const string MetricName = "ndif-jobs";
    private static readonly TimeSpan _pollInterval = TimeSpan.FromSeconds(1);

    public override async Task<IsActiveResponse> IsActive(ScaledObjectRef request, ServerCallContext context) =>
        new() { Result = await demand.ReadAsync(ScalerTarget.Parse(request), context.CancellationToken) > 0 };

    public override async Task StreamIsActive(
        ScaledObjectRef request, IServerStreamWriter<IsActiveResponse> responseStream, ServerCallContext context)
    {
        ScalerTarget target = ScalerTarget.Parse(request);
        using IDisposable registration = drainer.TrackStream();
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, drainer.StoppingToken);
        using var timer = new PeriodicTimer(_pollInterval, time);
        bool? last = null;
        try
        {
            do
            {
                bool isActive = await demand.ReadAsync(target, ended.Token) > 0;
                if (isActive == last) continue;
                await responseStream.WriteAsync(new IsActiveResponse { Result = isActive }, ended.Token);
                last = isActive;
            }
            while (await timer.WaitForNextTickAsync(ended.Token));
        }
        catch (OperationCanceledException) when (drainer.StoppingToken.IsCancellationRequested)
        {
            // KEDA calls again, and reaches another gateway
        }
    }

    public override Task<GetMetricSpecResponse> GetMetricSpec(ScaledObjectRef request, ServerCallContext context)
    {
        int jobs = ScalerTarget.Parse(request).JobsPerWorker;
        return Task.FromResult(new GetMetricSpecResponse
        {
            MetricSpecs = { new MetricSpec { MetricName = MetricName, TargetSize = jobs, TargetSizeFloat = jobs } },
        });
    }

    public override async Task<GetMetricsResponse> GetMetrics(GetMetricsRequest request, ServerCallContext context)
    {
        double jobs = await demand.ReadAsync(ScalerTarget.Parse(request.ScaledObjectRef), context.CancellationToken);
        return new GetMetricsResponse
        {
            MetricValues = { new MetricValue { MetricName = MetricName, MetricValue_ = (long)jobs, MetricValueFloat = jobs } },
        };
    }
}
