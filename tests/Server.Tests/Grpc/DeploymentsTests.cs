using System.Text.Json;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Server.Tests.Grpc;

/// <summary>Deploying, evicting and draining over the admin service: what is told to whom, and who may.</summary>
public sealed class DeploymentsTests
{
    private const string Other = "meta-llama/Llama-3.1-8B";

    [Fact]
    public async Task Deploy_IsAnUpsert_ThatPinsAndScales()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Admin.AdminClient admin = await OperatorAsync(gateway);
        ModelStatus cold = await admin.DeployAsync(new DeployRequest { Model = Other, Dtype = DataType.Bfloat16 }, cancellationToken: TestGateway.Cancel);
        Assert.Equal((Other, Heat.Unspecified, 1u, false), (cold.Id, cold.Heat, cold.Wanted, cold.Pinned)); // no worker knows it yet
        ModelStatus hot = await admin.DeployAsync(new DeployRequest { Model = TestGateway.Model, Pinned = true, Replicas = 3 }, cancellationToken: TestGateway.Cancel);
        Assert.Equal((Heat.Hot, 3u, 1u, true), (hot.Heat, hot.Wanted, hot.Replicas, hot.Pinned));
        await admin.DeployAsync(new DeployRequest { Model = Other, Replicas = 2 }, cancellationToken: TestGateway.Cancel);

        ListDeploymentsReply list = await admin.ListDeploymentsAsync(new ListDeploymentsRequest(), cancellationToken: TestGateway.Cancel);
        Assert.Equal(
            [(Other, 2u, false, DataType.Unspecified), (TestGateway.Model, 3u, true, DataType.Unspecified)],
            list.Deployments.Select(d => (d.Model, d.Replicas, d.Pinned, d.Dtype)));
        using JsonDocument status = JsonDocument.Parse(await gateway.Http().GetStringAsync("/status", TestGateway.Cancel));
        JsonElement[] models = [.. status.RootElement.GetProperty("models").EnumerateArray()];
        Assert.Equal([(TestGateway.Model, 3, true, "hot"), (Other, 2, false, "none")],
            models.Select(m => (m.GetProperty("id").GetString()!, m.GetProperty("wanted").GetInt32(), m.GetProperty("pinned").GetBoolean(), m.GetProperty("heat").GetString()!)));
    }

    [Fact]
    public async Task WhatCannotBeDeployed_IsRefused()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Admin.AdminClient admin = await OperatorAsync(gateway);
        foreach (DeployRequest bad in (DeployRequest[])[
            new() { Model = "" }, new() { Model = "a b" }, new() { Model = new string('x', 300) }, new() { Model = "a", Replicas = 5000 }, new() { Model = "a", Dtype = DataType.Int64 }])
        {
            Error error = await Expect.FailureAsync(StatusCode.InvalidArgument, async () => await admin.DeployAsync(bad, cancellationToken: TestGateway.Cancel));
            Assert.NotEmpty(error.Hint);
        }
        Assert.Empty((await admin.ListDeploymentsAsync(new ListDeploymentsRequest(), cancellationToken: TestGateway.Cancel)).Deployments);
    }

    [Fact]
    public async Task ADeployedModel_IsAdmitted_AsSoonAsAWorkerHasDescribedIt()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Inference.InferenceClient client = await gateway.ClientAsync();
        SubmitRequest request = TestModels.Submit("echo", model: Other);
        Assert.Equal(ErrorCode.UnknownModel, (await Expect.FailureAsync(StatusCode.NotFound, async () => await client.SubmitAsync(request, cancellationToken: TestGateway.Cancel))).Code);
        await (await OperatorAsync(gateway)).DeployAsync(new DeployRequest { Model = Other }, cancellationToken: TestGateway.Cancel);
        Error soon = await Expect.FailureAsync(StatusCode.Unavailable, async () => await client.SubmitAsync(request, cancellationToken: TestGateway.Cancel));
        Assert.True(soon.Retryable);
        await gateway.Backend.Workers.DescribeAsync(new ModelDescription { Id = Other, Root = new ModuleInfo() }, TestGateway.Cancel);
        Assert.Equal(JobState.Queued, (await client.SubmitAsync(request, cancellationToken: TestGateway.Cancel)).Job.State);
    }

    [Fact]
    public async Task AModelThatNoWorkerCouldEvenDescribe_IsRefusedWithTheReason()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Error broken = Errors.Make(ErrorCode.BadCheckpoint, "The checkpoint is damaged.");
        await gateway.Backend.Workers.AnnounceAsync(new WorkerStatus { Id = "worker-1" }, [new ModelStatus { Id = Other, Heat = Heat.Cold, Error = broken }], TestGateway.Cancel);
        Inference.InferenceClient client = await gateway.ClientAsync();
        Error error = await Expect.FailureAsync(ErrorWire.StatusOf(ErrorCode.BadCheckpoint), async () => await client.SubmitAsync(TestModels.Submit("echo", model: Other), cancellationToken: TestGateway.Cancel));
        Assert.Equal(broken.Message, error.Message);
    }

    [Fact]
    public async Task Evict_TellsTheWorkers_FailsWhatWaits_AndRefusesWhatComes()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Admin.AdminClient admin = await OperatorAsync(gateway);
        Inference.InferenceClient client = await gateway.ClientAsync();
        await admin.DeployAsync(new DeployRequest { Model = TestGateway.Model }, cancellationToken: TestGateway.Cancel);
        await client.SubmitAsync(TestModels.Submit("echo", "waits"), cancellationToken: TestGateway.Cancel);
        ModelStatus status = await admin.EvictAsync(new EvictRequest { Model = TestGateway.Model }, cancellationToken: TestGateway.Cancel);
        Assert.Equal((TestGateway.Model, 0u), (status.Id, status.Wanted));

        Assert.Empty((await admin.ListDeploymentsAsync(new ListDeploymentsRequest(), cancellationToken: TestGateway.Cancel)).Deployments);
        Assert.Equal([new WorkerOrder { Evict = TestGateway.Model }], await gateway.Backend.Deployments.TakeOrdersAsync("worker-1", TestGateway.Cancel));
        StateChanged end = await Expect.EndAsync(gateway.Backend.Jobs, "waits");
        Assert.Equal((JobState.Failed, ErrorCode.UnknownModel), (end.State, end.Error.Code));
        await gateway.Backend.Workers.AnnounceAsync(new WorkerStatus { Id = "worker-1" }, [], TestGateway.Cancel); // it has obeyed
        await Expect.FailureAsync(StatusCode.NotFound, async () => await client.SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel));
        Error again = await Expect.FailureAsync(StatusCode.NotFound, async () => await admin.EvictAsync(new EvictRequest { Model = TestGateway.Model }, cancellationToken: TestGateway.Cancel));
        Assert.Equal(ErrorCode.UnknownModel, again.Code);
    }

    [Fact]
    public async Task EvictFromOneWorker_TellsThatOne_AndLeavesTheDeployment()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Admin.AdminClient admin = await OperatorAsync(gateway);
        await gateway.Backend.Workers.AnnounceAsync(new WorkerStatus { Id = "worker-2", Models = { TestGateway.Model } }, [TestModels.Gpt2Status], TestGateway.Cancel);
        await admin.DeployAsync(new DeployRequest { Model = TestGateway.Model, Replicas = 2 }, cancellationToken: TestGateway.Cancel);
        await admin.EvictAsync(new EvictRequest { Model = TestGateway.Model, Worker = "worker-2" }, cancellationToken: TestGateway.Cancel);
        Assert.Empty(await gateway.Backend.Deployments.TakeOrdersAsync("worker-1", TestGateway.Cancel));
        Assert.Single(await gateway.Backend.Deployments.TakeOrdersAsync("worker-2", TestGateway.Cancel));
        Assert.Single((await admin.ListDeploymentsAsync(new ListDeploymentsRequest(), cancellationToken: TestGateway.Cancel)).Deployments);

        Error nobody = await Expect.FailureAsync(StatusCode.InvalidArgument, async () => await admin.EvictAsync(new EvictRequest { Model = TestGateway.Model, Worker = "worker-3" }, cancellationToken: TestGateway.Cancel));
        Assert.Contains("Did you mean `worker-1`", nobody.Hint, StringComparison.Ordinal);
        await Expect.FailureAsync(StatusCode.NotFound, async () => await admin.EvictAsync(new EvictRequest { Model = Other, Worker = "worker-2" }, cancellationToken: TestGateway.Cancel));
    }

    [Fact]
    public async Task Drain_TellsTheWorker()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Admin.AdminClient admin = await OperatorAsync(gateway);
        WorkerStatus told = await admin.DrainAsync(new DrainRequest { Worker = "worker-1" }, cancellationToken: TestGateway.Cancel);
        Assert.Equal(("worker-1", true), (told.Id, told.Draining));
        Assert.Equal([new WorkerOrder { Drain = true }], await gateway.Backend.Deployments.TakeOrdersAsync("worker-1", TestGateway.Cancel));
        await Expect.FailureAsync(StatusCode.InvalidArgument, async () => await admin.DrainAsync(new DrainRequest { Worker = "" }, cancellationToken: TestGateway.Cancel));
    }

    [Fact]
    public async Task ARunKey_MayLook_AndChangeNothing_AnOperatorsKey_MayChange_AndMakeNoKeys()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        var run = new Admin.AdminClient(gateway.Invoker((await gateway.KeyAsync()).Key.Reveal()));
        Assert.Empty((await run.ListDeploymentsAsync(new ListDeploymentsRequest(), cancellationToken: TestGateway.Cancel)).Deployments);
        foreach (Func<Task> call in (Func<Task>[])[
            async () => await run.DeployAsync(new DeployRequest { Model = Other }, cancellationToken: TestGateway.Cancel),
            async () => await run.EvictAsync(new EvictRequest { Model = TestGateway.Model }, cancellationToken: TestGateway.Cancel),
            async () => await run.DrainAsync(new DrainRequest { Worker = "worker-1" }, cancellationToken: TestGateway.Cancel)])
        {
            Error error = await Expect.FailureAsync(StatusCode.PermissionDenied, call);
            Assert.Contains($"`{Scopes.Operator}`", error.Message, StringComparison.Ordinal);
        }
        Assert.Empty(await gateway.Backend.Deployments.TakeOrdersAsync("worker-1", TestGateway.Cancel));

        Admin.AdminClient oper = await OperatorAsync(gateway);
        Assert.Empty((await oper.ListDeadLettersAsync(new ListDeadLettersRequest(), cancellationToken: TestGateway.Cancel)).Letters);
        Error keys = await Expect.FailureAsync(StatusCode.PermissionDenied, async () => await oper.CreateKeyAsync(new CreateKeyRequest { Name = "x" }, cancellationToken: TestGateway.Cancel));
        Assert.Contains($"`{Scopes.Admin}`", keys.Message, StringComparison.Ordinal);
        await Expect.FailureAsync(StatusCode.PermissionDenied, async () => await oper.ListKeysAsync(new ListKeysRequest(), cancellationToken: TestGateway.Cancel));
    }

    private static async Task<Admin.AdminClient> OperatorAsync(TestGateway gateway) =>
        new(gateway.Invoker((await gateway.KeyAsync("operator", [Scopes.Operator])).Key.Reveal()));
}
