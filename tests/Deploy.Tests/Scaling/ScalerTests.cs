using Grpc.Core;
using Grpc.Net.Client;
using Ndif.Protocol;
using Ndif.Server.Scaling;

namespace Ndif.Deploy.Tests.Scaling;

/// <summary>KEDA's calls, over gRPC, to a real gateway with a real redis-server.</summary>
public sealed class ScalerTests(DeployedService service) : IClassFixture<DeployedService>, IDisposable
{
    private readonly GrpcChannel _channel = GrpcChannel.ForAddress(service.Scaler);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private ExternalScaler.ExternalScalerClient Scaler => new(_channel);

    [Fact]
    public async Task JobsWithoutAWorker_AskForOne_AndNoJobsForNone()
    {
        ScaledObjectRef tiny = Reference(("model", DeployedService.Model)), other = Reference(("model", "other/model"));
        // a worker has served the model before: its description is known, so that jobs are accepted while there is no worker
        (ChildProcess first, _) = await service.StartWorkerAsync("first");
        Assert.Equal(0, await ReadAsync(tiny));
        await first.TerminateAsync();

        using AsyncServerStreamingCall<IsActiveResponse> pushed = Scaler.StreamIsActive(tiny, cancellationToken: Cancel);
        Assert.False(await NextAsync(pushed));
        Job job = await SubmitAsync();
        Assert.True(await NextAsync(pushed));
        Assert.Equal(1, await ReadAsync(tiny));
        Assert.Equal(1, await ReadAsync(Reference())); // all models
        Assert.Equal(0, await ReadAsync(other));

        (ChildProcess second, _) = await service.StartWorkerAsync("second");
        await foreach (JobEvent _ in job.Events(cancellationToken: Cancel)) { } // until the job has ended
        Assert.False(await NextAsync(pushed));
        Assert.Equal(0, await ReadAsync(tiny));
        await second.TerminateAsync();
    }

    [Fact]
    public async Task Deployments_BoundTheNumberOfWorkers()
    {
        // The gateway accepts no jobs for a model that no worker has described: one worker is needed to read it.
        ScaledObjectRef scaled = Reference(("model", "new/model"), ("jobsPerWorker", "4"));
        await service.RunToolAsync("models", "deploy", "new/model", "--replicas", "3");
        Assert.Equal(1, await ReadAsync(scaled));
        // pinned: three workers, at four jobs each
        await service.RunToolAsync("models", "pin", "new/model");
        Assert.Equal(12, await ReadAsync(scaled));
        await service.RunToolAsync("models", "evict", "new/model");
        Assert.Equal(0, await ReadAsync(scaled));
    }

    [Fact]
    public async Task TheMetric_HasTheTargetOfTheTrigger()
    {
        ScaledObjectRef two = Reference(("jobsPerWorker", "2"));
        MetricSpec standard = Assert.Single((await Scaler.GetMetricSpecAsync(Reference(), cancellationToken: Cancel)).MetricSpecs),
            own = Assert.Single((await Scaler.GetMetricSpecAsync(two, cancellationToken: Cancel)).MetricSpecs);
        Assert.Equal((16, 16.0), (standard.TargetSize, standard.TargetSizeFloat)); // --max-batch of a worker
        Assert.Equal((2, 2.0), (own.TargetSize, own.TargetSizeFloat));
    }

    [Theory]
    [InlineData("jobsPerWorker", "0", "`jobsPerWorker` must be a whole number of at least 1, and is `0`.")]
    [InlineData("jobsPerWorker", "many", "`jobsPerWorker` must be a whole number of at least 1, and is `many`.")]
    [InlineData("models", "a,b", "The scaler does not know the metadata `models`.")]
    public async Task WrongMetadata_IsRefused(string key, string value, string reason)
    {
        RpcException refused = await Assert.ThrowsAsync<RpcException>(
            async () => await Scaler.IsActiveAsync(Reference((key, value)), cancellationToken: Cancel));
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
        Assert.Contains(reason, refused.Status.Detail, StringComparison.Ordinal);
    }

    /// <summary>The port of the scaler serves nothing else, and no other port serves the scaler, whatever host a client sends.</summary>
    [Fact]
    public async Task TheScaler_IsOnItsOwnPortOnly()
    {
        var key = new Metadata { { "authorization", $"Bearer {service.Key}" } };
        RpcException onScaler = await Assert.ThrowsAsync<RpcException>(async () => await new Inference.InferenceClient(_channel)
            .GetStatusAsync(new GetStatusRequest(), key, cancellationToken: Cancel));
        Assert.Equal(StatusCode.Unimplemented, onScaler.StatusCode);
        using GrpcChannel gateway = GrpcChannel.ForAddress(service.Gateway.Grpc);
        RpcException onGateway = await Assert.ThrowsAsync<RpcException>(async () => await new ExternalScaler.ExternalScalerClient(gateway)
            .IsActiveAsync(Reference(), new Metadata { { "host", $"localhost:{service.Scaler.Port}" } }, cancellationToken: Cancel));
        Assert.Equal(StatusCode.Unimplemented, onGateway.StatusCode);
        await new Inference.InferenceClient(gateway).GetStatusAsync(new GetStatusRequest(), key, cancellationToken: Cancel);
    }

    /// <summary>The names and numbers are KEDA's: a change would go unnoticed by a client that is compiled from the same file.</summary>
    [Fact]
    public void TheInterface_IsThatOfKeda()
    {
        Google.Protobuf.Reflection.FileDescriptor file = ExternalscalerReflection.Descriptor;
        Assert.Equal(["IsActive", "StreamIsActive", "GetMetricSpec", "GetMetrics"], file.FindTypeByName<
            Google.Protobuf.Reflection.ServiceDescriptor>("ExternalScaler").Methods.Select(method => method.Name));
        Assert.Equal("externalscaler", file.Package);
        Assert.Equal(
            [
                "ScaledObjectRef 1 name, 2 namespace, 3 scalerMetadata", "IsActiveResponse 1 result", "GetMetricSpecResponse 1 metricSpecs",
                "MetricSpec 1 metricName, 2 targetSize, 3 targetSizeFloat", "GetMetricsRequest 1 scaledObjectRef, 2 metricName",
                "GetMetricsResponse 1 metricValues", "MetricValue 1 metricName, 2 metricValue, 3 metricValueFloat",
            ],
            file.MessageTypes.Select(message => $"{message.Name} "
                + string.Join(", ", message.Fields.InFieldNumberOrder().Select(field => $"{field.FieldNumber} {field.Name}"))));
    }

    public void Dispose() => _channel.Dispose();

    private async Task<Job> SubmitAsync()
    {
        var llm = new LanguageModel(DeployedService.Model, remote: Backend.At(service.Gateway.Grpc.ToString(), service.Key));
        using Trace trace = llm.Trace("The Eiffel Tower is in the city of");
        llm.LmHead.Output.Save();
        return await trace.SubmitAsync(cancellationToken: Cancel);
    }

    /// <summary>The value of the metric, which agrees with IsActive.</summary>
    private async Task<double> ReadAsync(ScaledObjectRef scaled)
    {
        var request = new GetMetricsRequest { ScaledObjectRef = scaled, MetricName = "ndif-jobs" };
        GetMetricsResponse reply = await Scaler.GetMetricsAsync(request, cancellationToken: Cancel);
        MetricValue value = Assert.Single(reply.MetricValues);
        Assert.Equal(value.MetricValueFloat > 0, (await Scaler.IsActiveAsync(scaled, cancellationToken: Cancel)).Result);
        return value.MetricValueFloat;
    }

    private static async Task<bool> NextAsync(AsyncServerStreamingCall<IsActiveResponse> call)
    {
        Assert.True(await call.ResponseStream.MoveNext(Cancel));
        return call.ResponseStream.Current.Result;
    }

    /// <summary>A ScaledObject, with the metadata that KEDA adds.</summary>
    private static ScaledObjectRef Reference(params (string Key, string Value)[] metadata)
    {
        var reference = new ScaledObjectRef { Name = "ndif-worker", Namespace = "ndif" };
        reference.ScalerMetadata.Add("scalerAddress", "ndif-scaler.ndif.svc.cluster.local:5083");
        foreach ((string key, string value) in metadata) reference.ScalerMetadata.Add(key, value);
        return reference;
    }
}
