using Grpc.Core;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Grpc;

public sealed class AdminServiceTests
{
    [Fact]
    public async Task CreatedKey_Works_UntilItIsRevoked()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Admin.AdminClient admin = await CreateAdminClientAsync(gateway);
        CreateKeyReply made = await admin.CreateKeyAsync(
            new CreateKeyRequest { Name = "lab", LifetimeSeconds = 3600 }, cancellationToken: TestGateway.Cancel);

        Assert.Equal(["run"], made.Key.Scopes);
        Assert.Equal("standard", made.Key.Tier);
        Assert.Equal(3600, (made.Key.Expires - made.Key.Created).ToTimeSpan().TotalSeconds, 3);
        Inference.InferenceClient client = gateway.CreateClient(made.Secret);
        await client.ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel);

        KeyInfo revoked = await admin.RevokeKeyAsync(new RevokeKeyRequest { Id = made.Key.Id }, cancellationToken: TestGateway.Cancel);
        Assert.NotNull(revoked.Revoked);
        Error error = await GrpcAssert.FailsAsync(
            StatusCode.Unauthenticated,
            async () => await client.ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel));
        Assert.Contains("revoked", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ListKeys_ShowsNoSecret()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Admin.AdminClient admin = await CreateAdminClientAsync(gateway);
        CreateKeyReply made = await admin.CreateKeyAsync(new CreateKeyRequest { Name = "lab" }, cancellationToken: TestGateway.Cancel);

        ListKeysReply list = await admin.ListKeysAsync(new ListKeysRequest(), cancellationToken: TestGateway.Cancel);

        Assert.Equal(["root", "lab"], list.Keys.Select(key => key.Name));
        Assert.DoesNotContain(made.Secret[^43..], list.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task BadRequests_SayWhatIsWrong()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Admin.AdminClient admin = await CreateAdminClientAsync(gateway);
        (CreateKeyRequest Request, string Word)[] bad =
        [
            (new CreateKeyRequest(), "name"),
            (new CreateKeyRequest { Name = "x", Scopes = { "root" } }, "`root`"),
            (new CreateKeyRequest { Name = "x", Tier = "gold" }, "`gold`"),
            (new CreateKeyRequest { Name = "x", LifetimeSeconds = -1 }, "lifetime"),
            (new CreateKeyRequest { Name = "x", LifetimeSeconds = double.NaN }, "lifetime"),
            (new CreateKeyRequest { Name = "x", LifetimeSeconds = 1e300 }, "lifetime"),
        ];
        foreach ((CreateKeyRequest request, string word) in bad)
        {
            Error error = await GrpcAssert.FailsAsync(
                StatusCode.InvalidArgument, async () => await admin.CreateKeyAsync(request, cancellationToken: TestGateway.Cancel));
            Assert.Contains(word, error.Message, StringComparison.Ordinal);
        }
        await GrpcAssert.FailsAsync(
            StatusCode.InvalidArgument,
            async () => await admin.RevokeKeyAsync(new RevokeKeyRequest { Id = "nobody" }, cancellationToken: TestGateway.Cancel));
    }

    [Fact]
    public async Task RunKey_MayNotAdminister()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        var client = new Admin.AdminClient(gateway.CreateInvoker((await gateway.CreateKeyAsync()).Key.Reveal()));

        Error error = await GrpcAssert.FailsAsync(
            StatusCode.PermissionDenied,
            async () => await client.ListKeysAsync(new ListKeysRequest(), cancellationToken: TestGateway.Cancel));

        Assert.Contains("`admin`", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task DeadLetter_IsListed_AndRunsAgainOnce_HoweverOftenItIsAskedFor()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(queue: new QueueOptions { MaxAttempts = 1,
            LeaseDuration = TimeSpan.FromMilliseconds(50), HeartbeatLifetime = TimeSpan.FromHours(1) });
        Admin.AdminClient admin = await CreateAdminClientAsync(gateway);
        Inference.InferenceClient owner = await gateway.CreateClientAsync();
        await owner.SubmitAsync(TestModels.Submit("echo", "unlucky"), cancellationToken: TestGateway.Cancel);
        Assert.NotNull(await gateway.Backend.Jobs.LeaseAsync("doomed", [TestGateway.Model], TimeSpan.Zero, TestGateway.Cancel));
        Assert.Equal(ErrorCode.WorkerLost, (await gateway.WaitForEndAsync("unlucky")).Error.Code);

        string dead = (await gateway.FindJobAsync("unlucky"))!.Id;
        DeadLetter letter = Assert.Single(
            (await admin.ListDeadLettersAsync(new ListDeadLettersRequest(), cancellationToken: TestGateway.Cancel)).Letters);
        Assert.Equal((dead, TestGateway.Model, 1u), (letter.JobId, letter.Model, letter.Attempts));
        Assert.Contains("doomed", letter.Reason, StringComparison.Ordinal);

        string again = (await admin.RequeueAsync(new RequeueRequest { JobId = dead }, cancellationToken: TestGateway.Cancel)).JobId;
        Assert.Equal(
            again, (await admin.RequeueAsync(new RequeueRequest { JobId = dead }, cancellationToken: TestGateway.Cancel)).JobId);
        Assert.Empty((await admin.ListDeadLettersAsync(new ListDeadLettersRequest(), cancellationToken: TestGateway.Cancel)).Letters);
        await using FakeWorker worker = gateway.StartWorker();
        Assert.Equal(JobState.Completed, (await gateway.WaitForEndAsync(again)).State);
        Assert.Equal([again, "unlucky"],
            (await owner.ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel)).Jobs.Select(job => job.Id));
    }

    [Theory]
    [InlineData("nobody")]
    [InlineData("")]
    [InlineData("a b")]
    public async Task Requeue_OfWhatIsNoDeadLetter_SaysSo(string id)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Admin.AdminClient admin = await CreateAdminClientAsync(gateway);
        await (await gateway.CreateClientAsync()).SubmitAsync(TestModels.Submit("echo", "alive"), cancellationToken: TestGateway.Cancel);
        foreach (string one in (string[])[id, "alive"])
        {
            Error error = await GrpcAssert.FailsAsync(
                StatusCode.NotFound,
                async () => await admin.RequeueAsync(new RequeueRequest { JobId = one }, cancellationToken: TestGateway.Cancel));
            Assert.Equal((ErrorCode.UnknownJob, true), (error.Code, error.Hint.Contains("ndif jobs dead", StringComparison.Ordinal)));
        }
    }

    [Fact]
    public async Task RunKey_MayNotLookAtDeadLetters()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        var client = new Admin.AdminClient(gateway.CreateInvoker((await gateway.CreateKeyAsync()).Key.Reveal()));
        await GrpcAssert.FailsAsync(
            StatusCode.PermissionDenied,
            async () => await client.ListDeadLettersAsync(new ListDeadLettersRequest(), cancellationToken: TestGateway.Cancel));
        await GrpcAssert.FailsAsync(
            StatusCode.PermissionDenied,
            async () => await client.RequeueAsync(new RequeueRequest { JobId = "x" }, cancellationToken: TestGateway.Cancel));
    }

    private static async Task<Admin.AdminClient> CreateAdminClientAsync(TestGateway gateway) =>
        new(gateway.CreateInvoker((await gateway.CreateKeyAsync("root", [Scopes.Admin])).Key.Reveal()));
}
