using System.Text.Json;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Server.Grpc;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Grpc;

/// <summary>Deploy, evict and drain through the admin service: effects and permissions.</summary>
public sealed class DeploymentRpcTests
{
    private const string OtherModel = "meta-llama/Llama-3.1-8B";

    [Fact]
    public async Task Deploy_IsAnUpsert_ThatPinsAndScales()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Admin.AdminClient admin = await CreateOperatorClientAsync(gateway);
        ModelStatus cold = await admin.DeployAsync(
            new DeployRequest { Model = OtherModel, Dtype = DataType.Bfloat16 }, cancellationToken: TestGateway.Cancel);
        Assert.Equal((OtherModel, Heat.Unspecified, 1u, false), (cold.Id, cold.Heat, cold.Wanted, cold.Pinned)); // no worker reports it yet
        ModelStatus hot = await admin.DeployAsync(
            new DeployRequest { Model = TestGateway.Model, Pinned = true, Replicas = 3 }, cancellationToken: TestGateway.Cancel);
        Assert.Equal((Heat.Hot, 3u, 1u, true), (hot.Heat, hot.Wanted, hot.Replicas, hot.Pinned));
        await admin.DeployAsync(new DeployRequest { Model = OtherModel, Replicas = 2 }, cancellationToken: TestGateway.Cancel);

        ListDeploymentsReply list = await admin.ListDeploymentsAsync(new ListDeploymentsRequest(), cancellationToken: TestGateway.Cancel);
        Assert.Equal(
            [(OtherModel, 2u, false, DataType.Unspecified), (TestGateway.Model, 3u, true, DataType.Unspecified)],
            list.Deployments.Select(d => (d.Model, d.Replicas, d.Pinned, d.Dtype)));
        using JsonDocument status = JsonDocument.Parse(await gateway.CreateHttpClient().GetStringAsync("/status", TestGateway.Cancel));
        JsonElement[] models = [.. status.RootElement.GetProperty("models").EnumerateArray()];
        Assert.Equal([(TestGateway.Model, 3, true, "hot"), (OtherModel, 2, false, "none")],
            models.Select(m => (m.GetProperty("id").GetString()!, m.GetProperty("wanted").GetInt32(), m.GetProperty("pinned").GetBoolean(),
            m.GetProperty("heat").GetString()!)));
    }

    [Fact]
    public async Task WhatCannotBeDeployed_IsRefused()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Admin.AdminClient admin = await CreateOperatorClientAsync(gateway);
        foreach (DeployRequest bad in (DeployRequest[])[
            new() { Model = "" }, new() { Model = "a b" }, new() { Model = new string('x', 300) }, new() { Model = "a", Replicas = 5000 },
            new() { Model = "a", Dtype = DataType.Int64 },
            new() { Model = "../../etc" }, new() { Model = "/etc" }, new() { Model = "a", Revision = "../x" }, new() { Model = "a/b/c" },
            new() { Model = "a%2f..%2fb" }, new() { Model = "..\\etc" }, new() { Model = "./a" }, new() { Model = "a/../b" }])
        {
            Error error = await GrpcAssert.FailsAsync(
                StatusCode.InvalidArgument, async () => await admin.DeployAsync(bad, cancellationToken: TestGateway.Cancel));
            Assert.NotEmpty(error.Hint);
        }
        Assert.Empty((await admin.ListDeploymentsAsync(new ListDeploymentsRequest(), cancellationToken: TestGateway.Cancel)).Deployments);
    }

    [Fact]
    public async Task AFolder_IsDeployed_OnlyBelowAFolderOfTheOptions()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(
            new GatewayOptions { GrpcPort = 0, HttpPort = 0, ModelFolders = ["/models", "/more/"] });
        Admin.AdminClient admin = await CreateOperatorClientAsync(gateway);
        foreach (string good in (string[])["/models/a", "/more/b/c"])
            await admin.DeployAsync(new DeployRequest { Model = good }, cancellationToken: TestGateway.Cancel);
        foreach (string bad in (string[])["/models", "/models/", "/models/../etc", "/modelsx/a", "/models//a", "/models/./a", "/models/a/",
            "models/a/b",
            "/models/%2e%2e/etc", "/models/a\\b"])
            await GrpcAssert.FailsAsync(StatusCode.InvalidArgument, async () =>
                await admin.DeployAsync(new DeployRequest { Model = bad }, cancellationToken: TestGateway.Cancel));
    }

    [Fact]
    public async Task ADeployedModel_IsAdmitted_AsSoonAsAWorkerHasDescribedIt()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        SubmitRequest request = TestModels.Submit("echo", model: OtherModel);
        Assert.Equal(ErrorCode.UnknownModel, (await GrpcAssert.FailsAsync(
            StatusCode.NotFound, async () => await client.SubmitAsync(request, cancellationToken: TestGateway.Cancel))).Code);
        await (await CreateOperatorClientAsync(gateway)).DeployAsync(
            new DeployRequest { Model = OtherModel }, cancellationToken: TestGateway.Cancel);
        Error soon = await GrpcAssert.FailsAsync(
            StatusCode.Unavailable, async () => await client.SubmitAsync(request, cancellationToken: TestGateway.Cancel));
        Assert.True(soon.Retryable);
        await gateway.Backend.Workers.SetDescriptionAsync(
            new ModelDescription { Id = OtherModel, Root = new ModuleInfo() }, TestGateway.Cancel);
        Assert.Equal(JobState.Queued, (await client.SubmitAsync(request, cancellationToken: TestGateway.Cancel)).Job.State);
    }

    [Fact]
    public async Task AModelThatNoWorkerCouldEvenDescribe_IsRefusedWithTheReason()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Error broken = Errors.Create(ErrorCode.BadCheckpoint, "The checkpoint is damaged.");
        await gateway.Backend.Workers.PublishHeartbeatAsync(new WorkerStatus { Id = "worker-1" },
            [new ModelStatus { Id = OtherModel, Heat = Heat.Cold, Error = broken }], TestGateway.Cancel);
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        Error error = await GrpcAssert.FailsAsync(ErrorWireFormat.GetGrpcStatus(ErrorCode.BadCheckpoint),
            async () => await client.SubmitAsync(TestModels.Submit("echo", model: OtherModel), cancellationToken: TestGateway.Cancel));
        Assert.Equal(broken.Message, error.Message);
    }

    [Fact]
    public async Task Evict_TellsTheWorkers_FailsWhatWaits_AndRefusesWhatComes()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Admin.AdminClient admin = await CreateOperatorClientAsync(gateway);
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        await admin.DeployAsync(new DeployRequest { Model = TestGateway.Model }, cancellationToken: TestGateway.Cancel);
        await client.SubmitAsync(TestModels.Submit("echo", "waits"), cancellationToken: TestGateway.Cancel);
        ModelStatus status = await admin.EvictAsync(new EvictRequest { Model = TestGateway.Model }, cancellationToken: TestGateway.Cancel);
        Assert.Equal((TestGateway.Model, 0u), (status.Id, status.Wanted));

        Assert.Empty((await admin.ListDeploymentsAsync(new ListDeploymentsRequest(), cancellationToken: TestGateway.Cancel)).Deployments);
        Assert.Equal([new WorkerOrder { Evict = TestGateway.Model }],
            await gateway.Backend.Deployments.DequeueOrdersAsync("worker-1", TestGateway.Cancel));
        StateChanged end = await gateway.WaitForEndAsync("waits");
        Assert.Equal((JobState.Failed, ErrorCode.UnknownModel), (end.State, end.Error.Code));
        // the worker has evicted the model
        await gateway.Backend.Workers.PublishHeartbeatAsync(new WorkerStatus { Id = "worker-1" }, [], TestGateway.Cancel);
        await GrpcAssert.FailsAsync(
            StatusCode.NotFound, async () => await client.SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel));
        Error again = await GrpcAssert.FailsAsync(StatusCode.NotFound,
            async () => await admin.EvictAsync(new EvictRequest { Model = TestGateway.Model }, cancellationToken: TestGateway.Cancel));
        Assert.Equal(ErrorCode.UnknownModel, again.Code);
    }

    [Fact]
    public async Task EvictFromOneWorker_TellsThatOne_AndLeavesTheDeployment()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Admin.AdminClient admin = await CreateOperatorClientAsync(gateway);
        await gateway.Backend.Workers.PublishHeartbeatAsync(
            new WorkerStatus { Id = "worker-2", Models = { TestGateway.Model } }, [TestModels.Gpt2Status], TestGateway.Cancel);
        await admin.DeployAsync(new DeployRequest { Model = TestGateway.Model, Replicas = 2 }, cancellationToken: TestGateway.Cancel);
        await admin.EvictAsync(new EvictRequest { Model = TestGateway.Model, Worker = "worker-2" }, cancellationToken: TestGateway.Cancel);
        Assert.Empty(await gateway.Backend.Deployments.DequeueOrdersAsync("worker-1", TestGateway.Cancel));
        Assert.Single(await gateway.Backend.Deployments.DequeueOrdersAsync("worker-2", TestGateway.Cancel));
        Assert.Single((await admin.ListDeploymentsAsync(new ListDeploymentsRequest(), cancellationToken: TestGateway.Cancel)).Deployments);

        Error nobody = await GrpcAssert.FailsAsync(StatusCode.InvalidArgument, async () => await admin.EvictAsync(
            new EvictRequest { Model = TestGateway.Model, Worker = "worker-3" }, cancellationToken: TestGateway.Cancel));
        Assert.Contains("Did you mean `worker-1`", nobody.Hint, StringComparison.Ordinal);
        await GrpcAssert.FailsAsync(StatusCode.NotFound, async () =>
            await admin.EvictAsync(new EvictRequest { Model = OtherModel, Worker = "worker-2" }, cancellationToken: TestGateway.Cancel));
    }

    [Fact]
    public async Task Drain_TellsTheWorker()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Admin.AdminClient admin = await CreateOperatorClientAsync(gateway);
        WorkerStatus told = await admin.DrainAsync(new DrainRequest { Worker = "worker-1" }, cancellationToken: TestGateway.Cancel);
        Assert.Equal(("worker-1", true), (told.Id, told.Draining));
        Assert.Equal(
            [new WorkerOrder { Drain = true }], await gateway.Backend.Deployments.DequeueOrdersAsync("worker-1", TestGateway.Cancel));
        await GrpcAssert.FailsAsync(StatusCode.InvalidArgument,
            async () => await admin.DrainAsync(new DrainRequest { Worker = "" }, cancellationToken: TestGateway.Cancel));
    }

    [Fact]
    public async Task ARunKey_MayLook_AndChangeNothing_AnOperatorsKey_MayChange_AndMakeNoKeys()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        var run = new Admin.AdminClient(gateway.CreateInvoker((await gateway.CreateKeyAsync()).Key.Reveal()));
        Assert.Empty((await run.ListDeploymentsAsync(new ListDeploymentsRequest(), cancellationToken: TestGateway.Cancel)).Deployments);
        foreach (Func<Task> call in (Func<Task>[])[
            async () => await run.DeployAsync(new DeployRequest { Model = OtherModel }, cancellationToken: TestGateway.Cancel),
            async () => await run.EvictAsync(new EvictRequest { Model = TestGateway.Model }, cancellationToken: TestGateway.Cancel),
            async () => await run.DrainAsync(new DrainRequest { Worker = "worker-1" }, cancellationToken: TestGateway.Cancel)])
        {
            Error error = await GrpcAssert.FailsAsync(StatusCode.PermissionDenied, call);
            Assert.Contains($"`{Scopes.Operator}`", error.Message, StringComparison.Ordinal);
        }
        Assert.Empty(await gateway.Backend.Deployments.DequeueOrdersAsync("worker-1", TestGateway.Cancel));

        Admin.AdminClient oper = await CreateOperatorClientAsync(gateway);
        Assert.Empty((await oper.ListDeadLettersAsync(new ListDeadLettersRequest(), cancellationToken: TestGateway.Cancel)).Letters);
        Error keys = await GrpcAssert.FailsAsync(StatusCode.PermissionDenied,
            async () => await oper.CreateKeyAsync(new CreateKeyRequest { Name = "x" }, cancellationToken: TestGateway.Cancel));
        Assert.Contains($"`{Scopes.Admin}`", keys.Message, StringComparison.Ordinal);
        await GrpcAssert.FailsAsync(StatusCode.PermissionDenied,
            async () => await oper.ListKeysAsync(new ListKeysRequest(), cancellationToken: TestGateway.Cancel));
    }

    private static async Task<Admin.AdminClient> CreateOperatorClientAsync(TestGateway gateway) =>
        new(gateway.CreateInvoker((await gateway.CreateKeyAsync("operator", [Scopes.Operator])).Key.Reveal()));
}
