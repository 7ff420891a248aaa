using System.Net;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Grpc;

/// <summary>What operators do with the jobs of others, and what users and operators see when no worker is alive.</summary>
public sealed class OperatorJobsTests
{
    [Fact]
    public async Task AnOperator_ListsShowsAndCancels_AnyJob()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        CreatedKey ada = await gateway.CreateKeyAsync("ada"), ben = await gateway.CreateKeyAsync("ben");
        await gateway.CreateClient(ada.Key.Reveal()).SubmitAsync(TestModels.Submit("hang", "a"), cancellationToken: TestGateway.Cancel);
        await gateway.CreateClient(ben.Key.Reveal()).SubmitAsync(TestModels.Submit("hang", "b"), cancellationToken: TestGateway.Cancel);
        Admin.AdminClient admin = await CreateAdminClientAsync(gateway, Scopes.Operator);

        ListJobsReply all = await admin.ListJobsAsync(new ListAllJobsRequest(), cancellationToken: TestGateway.Cancel);
        Assert.Equal([("b", ben.Record.Id), ("a", ada.Record.Id)], all.Jobs.Select(job => (job.Id, job.Owner)));
        ListJobsReply own = await admin.ListJobsAsync(
            new ListAllJobsRequest { Owner = ada.Record.Id, ActiveOnly = true }, cancellationToken: TestGateway.Cancel);
        Assert.Equal("a", Assert.Single(own.Jobs).Id);
        JobInfo found = await admin.GetJobAsync(new GetJobRequest { JobId = "a" }, cancellationToken: TestGateway.Cancel);
        Assert.Equal(JobState.Queued, found.State);
        JobInfo cancelled = await admin.CancelJobAsync(
            new CancelJobRequest { JobId = "a", Reason = "it blocks the others" }, cancellationToken: TestGateway.Cancel);
        Assert.Equal(JobState.Cancelled, cancelled.State);
        Assert.Contains("it blocks the others", cancelled.Error.Message, StringComparison.Ordinal);
        await GrpcAssert.FailsAsync(StatusCode.NotFound, async () =>
            await admin.CancelJobAsync(new CancelJobRequest { JobId = "nobody" }, cancellationToken: TestGateway.Cancel));
    }

    [Fact]
    public async Task AnOrdinaryKey_MayDoNoneOfIt()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Admin.AdminClient user = await CreateAdminClientAsync(gateway, Scopes.Run);
        foreach (Func<Task> call in (Func<Task>[])
        [
            async () => await user.ListJobsAsync(new ListAllJobsRequest(), cancellationToken: TestGateway.Cancel),
            async () => await user.GetJobAsync(new GetJobRequest { JobId = "a" }, cancellationToken: TestGateway.Cancel),
            async () => await user.CancelJobAsync(new CancelJobRequest { JobId = "a" }, cancellationToken: TestGateway.Cancel),
        ])
            await GrpcAssert.FailsAsync(StatusCode.PermissionDenied, call);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task ARevokedKey_LosesWhatItHasQueuedAndRunning(bool throughTheGateway)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        CreatedKey ada = await gateway.CreateKeyAsync("ada");
        Inference.InferenceClient client = gateway.CreateClient(ada.Key.Reveal());
        foreach (string id in (string[])["a", "b"])
            await client.SubmitAsync(TestModels.Submit("hang", id), cancellationToken: TestGateway.Cancel);
        var lease = await gateway.Backend.Jobs.LeaseAsync(
            "worker-1", [TestGateway.Model], TimeSpan.Zero, () => TimeSpan.Zero, [], TestGateway.Cancel);
        if (throughTheGateway)
        {
            Admin.AdminClient admin = await CreateAdminClientAsync(gateway, Scopes.Admin);
            await admin.RevokeKeyAsync(new RevokeKeyRequest { Id = ada.Record.Id }, cancellationToken: TestGateway.Cancel);
        }
        else
        {
            await gateway.Keys.RevokeAsync(ada.Record.Id, TestGateway.Cancel); // in the store
        }
        foreach (string id in (string[])["a", "b"])
        {
            StateChanged end = await GrpcAssert.WaitForEndAsync(gateway.Backend.Jobs, id);
            Assert.Equal(JobState.Cancelled, end.State);
            Assert.Contains("revoked", end.Error.Message, StringComparison.Ordinal);
        }
        Assert.False(await gateway.Backend.Jobs.RenewAsync(lease!, TestGateway.Cancel));
    }

    [Fact]
    public async Task WithoutAWorker_TheUserIsTold_AndStatusMetricsAndReadinessSayIt()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await gateway.Backend.Workers.UnregisterAsync("worker-1", TestGateway.Cancel);
        using HttpClient http = gateway.CreateHttpClient();
        using var call = (await gateway.CreateClientAsync()).Run(cancellationToken: TestGateway.Cancel);
        await call.RequestStream.WriteAsync(TestModels.Run("hang", "a"), TestGateway.Cancel);
        StateChanged queued = await ReadQueuedAsync();
        Assert.Contains("No worker is alive", queued.Notice, StringComparison.Ordinal);
        Assert.Contains("No worker is alive", await http.GetStringAsync("/status", TestGateway.Cancel), StringComparison.Ordinal);
        Assert.Contains(
            $"ndif_queue_unserved{{model=\"{TestGateway.Model}\"}} 1", await http.GetStringAsync("/metrics", TestGateway.Cancel),
            StringComparison.Ordinal);
        foreach ((string path, HttpStatusCode code) in ((string, HttpStatusCode)[])
            [("/healthz", HttpStatusCode.OK), ("/livez", HttpStatusCode.OK), ("/readyz", HttpStatusCode.ServiceUnavailable)])
        {
            using HttpResponseMessage answer = await http.GetAsync(path, TestGateway.Cancel);
            Assert.Equal(code, answer.StatusCode);
            if (code != HttpStatusCode.OK)
                Assert.Contains("No worker is alive", await answer.Content.ReadAsStringAsync(TestGateway.Cancel), StringComparison.Ordinal);
        }

        await gateway.Backend.Workers.PublishHeartbeatAsync(new WorkerStatus { Id = "other" }, [], TestGateway.Cancel);
        Assert.Contains("No worker serves `openai-community/gpt2`", (await ReadQueuedAsync()).Notice, StringComparison.Ordinal);
        await gateway.Backend.Workers.PublishHeartbeatAsync(
            new WorkerStatus { Id = "worker-1" }, [TestModels.Gpt2Status], TestGateway.Cancel);
        Assert.Equal("", (await ReadQueuedAsync()).Notice);
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/readyz", TestGateway.Cancel)).StatusCode);

        async Task<StateChanged> ReadQueuedAsync()
        {
            do Assert.True(await call.ResponseStream.MoveNext(TestGateway.Cancel));
            while (call.ResponseStream.Current.State?.State is not JobState.Queued);
            return call.ResponseStream.Current.State;
        }
    }

    private static async Task<Admin.AdminClient> CreateAdminClientAsync(TestGateway gateway, string scope) =>
        new(gateway.CreateInvoker((await gateway.CreateKeyAsync("root", [scope])).Key.Reveal()));
}
