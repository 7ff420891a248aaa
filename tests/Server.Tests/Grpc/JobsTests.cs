using Grpc.Core;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Grpc;

/// <summary>Submit, Watch, Cancel, GetJob and ListJobs.</summary>
public sealed class JobsTests
{
    [Fact]
    public async Task Submit_ReturnsAtOnce_AndTheJobOutlivesTheClient()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        SubmitReply reply = await (await gateway.CreateClientAsync()).SubmitAsync(
            TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel);

        Assert.Equal(JobState.Queued, reply.Job.State);
        Assert.Equal(32, reply.Job.Id.Length);
        Assert.Equal(TestGateway.Model, reply.Job.Model.Id);
        Assert.True(reply.Estimate is { Tokens: > 0, Passes: 1 });

        await using FakeWorker worker = gateway.StartWorker();
        Assert.Equal(JobState.Completed, (await gateway.WaitForEndAsync(reply.Job.Id)).State);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(6)]
    public async Task Watch_ResumesFromAnySequence(int from)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        await client.SubmitAsync(TestModels.Submit("echo", "watched"), cancellationToken: TestGateway.Cancel);
        await gateway.WaitForEndAsync("watched");

        using var call = client.Watch(
            new WatchRequest { JobId = "watched", FromSequence = (ulong)from }, cancellationToken: TestGateway.Cancel);
        List<Event> events = await GrpcAssert.ReadAllAsync(call.ResponseStream);

        int first = Math.Max(1, from);
        Assert.Equal(Enumerable.Range(first, 7 - first).Select(n => (ulong)n), events.Select(e => e.Sequence));
        Assert.Equal(JobState.Completed, events[^1].State.State);
    }

    [Fact]
    public async Task LeavingAWatch_LeavesTheJob()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        await client.SubmitAsync(TestModels.Submit("echo", "left"), cancellationToken: TestGateway.Cancel);
        using (var call = client.Watch(new WatchRequest { JobId = "left" }, cancellationToken: TestGateway.Cancel))
            Assert.True(await call.ResponseStream.MoveNext(TestGateway.Cancel));
        await gateway.Log.WaitForAsync("Inference/Watch answered Cancelled");

        Assert.Equal(
            JobState.Queued, (await client.GetJobAsync(new GetJobRequest { JobId = "left" }, cancellationToken: TestGateway.Cancel)).State);
    }

    [Fact]
    public async Task Cancel_EndsARunningJob()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        await client.SubmitAsync(TestModels.Submit("hang", "doomed"), cancellationToken: TestGateway.Cancel);

        JobInfo job = await client.CancelAsync(new CancelRequest { JobId = "doomed" }, cancellationToken: TestGateway.Cancel);

        Assert.Equal(JobState.Cancelled, job.State);
    }

    [Fact]
    public async Task ListJobs_ShowsOnesOwn_NewestFirst()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Inference.InferenceClient ada = await gateway.CreateClientAsync(), bob = await gateway.CreateClientAsync();
        foreach (string id in (string[])["a1", "a2", "a3"])
            await ada.SubmitAsync(TestModels.Submit("echo", id), cancellationToken: TestGateway.Cancel);
        await bob.SubmitAsync(TestModels.Submit("echo", "b1"), cancellationToken: TestGateway.Cancel);
        await ada.CancelAsync(new CancelRequest { JobId = "a2" }, cancellationToken: TestGateway.Cancel);

        Assert.Equal(["a3", "a2", "a1"], await IdsAsync(new ListJobsRequest()));
        Assert.Equal(["a3", "a1"], await IdsAsync(new ListJobsRequest { ActiveOnly = true }));
        Assert.Equal(["a3"], await IdsAsync(new ListJobsRequest { Limit = 1 }));

        async Task<IEnumerable<string>> IdsAsync(ListJobsRequest request) =>
            (await ada.ListJobsAsync(request, cancellationToken: TestGateway.Cancel)).Jobs.Select(job => job.Id);
    }

    [Theory]
    [InlineData("theirs")]
    [InlineData("nobodys")]
    [InlineData("")]
    [InlineData("../../etc/passwd")]
    public async Task AnothersJob_AndNoJob_GetTheSameAnswer(string id)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await (await gateway.CreateClientAsync()).SubmitAsync(TestModels.Submit("echo", "theirs"), cancellationToken: TestGateway.Cancel);
        Inference.InferenceClient client = await gateway.CreateClientAsync();

        Func<Task>[] calls =
        [
            async () => await client.GetJobAsync(new GetJobRequest { JobId = id }, cancellationToken: TestGateway.Cancel),
            async () => await client.CancelAsync(new CancelRequest { JobId = id }, cancellationToken: TestGateway.Cancel),
            async () => await GrpcAssert.ReadAllAsync(
                client.Watch(new WatchRequest { JobId = id }, cancellationToken: TestGateway.Cancel).ResponseStream),
        ];
        foreach (Func<Task> call in calls)
        {
            Error error = await GrpcAssert.FailsAsync(StatusCode.NotFound, call);
            Assert.Equal((ErrorCode.UnknownJob, $"There is no job `{id}` of yours."), (error.Code, error.Message));
        }
        Assert.Equal(JobState.Queued, (await gateway.FindJobAsync("theirs"))!.State);
    }

    [Fact]
    public async Task TwoOwners_MayChooseTheSameJobId()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        CreatedKey ada = await gateway.CreateKeyAsync("ada"), ben = await gateway.CreateKeyAsync("ben");
        foreach (CreatedKey key in (CreatedKey[])[ada, ben])
        {
            Inference.InferenceClient client = gateway.CreateClient(key.Key.Reveal());
            foreach (string id in (string[])["run-1", $"run-1.{key.Record.Id}"]) // the id in the queue is the same job
            {
                JobInfo job = (await client.SubmitAsync(TestModels.Submit("echo", id), cancellationToken: TestGateway.Cancel)).Job;
                Assert.Equal(("run-1", key.Record.Id), (job.Id, job.Owner));
            }
            JobInfo listed = Assert.Single((await client.ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel)).Jobs);
            Assert.Equal("run-1", listed.Id);
        }
        await gateway.CreateClient(ben.Key.Reveal()).CancelAsync(
            new CancelRequest { JobId = "run-1" }, cancellationToken: TestGateway.Cancel);
        Assert.Equal([($"run-1.{ben.Record.Id}", JobState.Cancelled), ($"run-1.{ada.Record.Id}", JobState.Queued)],
            (await gateway.Backend.Jobs.ListAsync("", 10, activeOnly: false, TestGateway.Cancel)).Select(job => (job.Id, job.State)));

        // the suffix of another owner is not an id that one may choose
        await GrpcAssert.FailsAsync(StatusCode.InvalidArgument, async () => await gateway.CreateClient(ben.Key.Reveal()).SubmitAsync(
            TestModels.Submit("echo", $"run-1.{ada.Record.Id}"), cancellationToken: TestGateway.Cancel));
    }

    [Fact]
    public async Task ARandomJobIdOfAnotherOwner_CannotBeSubmitted()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        string id = JobIds.New();
        await (await gateway.CreateClientAsync()).SubmitAsync(TestModels.Submit("echo", id), cancellationToken: TestGateway.Cancel);
        Inference.InferenceClient other = await gateway.CreateClientAsync();

        await GrpcAssert.FailsAsync(
            StatusCode.PermissionDenied,
            async () => await other.SubmitAsync(TestModels.Submit("echo", id), cancellationToken: TestGateway.Cancel));
    }

    [Fact]
    public async Task OwnJobId_SubmittedAgain_IsTheSameJob()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(jobsInFlight: 1));
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        SubmitReply first = await client.SubmitAsync(TestModels.Submit("echo", "again"), cancellationToken: TestGateway.Cancel);
        SubmitReply second = await client.SubmitAsync(TestModels.Submit("echo", "again"), cancellationToken: TestGateway.Cancel);

        Assert.Equal(first.Job.Submitted, second.Job.Submitted);
        Assert.Equal(1, (await gateway.Backend.Jobs.CountAsync(TestGateway.Cancel)).Waiting);
    }

    [Fact]
    public async Task ExpiredLease_IsReapedByTheGateway()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(
            queue: new Queue.QueueOptions { LeaseDuration = TimeSpan.FromMilliseconds(50), MaxAttempts = 1,
            HeartbeatLifetime = TimeSpan.FromHours(1) });
        await (await gateway.CreateClientAsync()).SubmitAsync(TestModels.Submit("hang", "orphan"), cancellationToken: TestGateway.Cancel);
        Assert.NotNull(await gateway.Backend.Jobs.LeaseAsync("dies", [TestGateway.Model], TimeSpan.FromSeconds(5), TestGateway.Cancel));

        StateChanged end = await gateway.WaitForEndAsync("orphan");

        Assert.Equal((JobState.Failed, ErrorCode.WorkerLost), (end.State, end.Error.Code));
    }
}
