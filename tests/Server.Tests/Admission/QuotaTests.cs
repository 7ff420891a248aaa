using Grpc.Core;
using Ndif.Protocol;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Admission;

public sealed class QuotaTests
{
    [Fact]
    public async Task MoreSubmissionsThanAMinuteMayHave_AreRefused_UntilTheOldestIsAMinuteOld()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(jobsPerMinute: 3));
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        for (int i = 0; i < 3; i++) await client.SubmitAsync(TestModels.Submit("echo", $"j{i}"), cancellationToken: TestGateway.Cancel);

        Error error = await GetRefusalAsync(client, StatusCode.ResourceExhausted);
        Assert.Equal((ErrorCode.QuotaExceeded, true), (error.Code, error.Retryable));
        Assert.Equal("Your key may submit 3 jobs a minute, and has done so.", error.Message);
        Assert.InRange(error.RetryAfterSeconds, 30, 60);
        Assert.Contains($"{error.RetryAfterSeconds} s", error.Hint, StringComparison.Ordinal);
        await gateway.Log.WaitForAsync("refused: QUOTA_EXCEEDED");

        // resubmitting a job does not count
        await client.SubmitAsync(TestModels.Submit("echo", "j1"), cancellationToken: TestGateway.Cancel);
        await client.SubmitAsync(new SubmitRequest(TestModels.Submit("echo")) { DryRun = true }, cancellationToken: TestGateway.Cancel);
        // another key is not affected
        await (await gateway.CreateClientAsync()).SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel);
        gateway.Time.Advance(TimeSpan.FromSeconds(error.RetryAfterSeconds));
        await client.SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel);
    }

    [Fact]
    public async Task AFullQueue_RefusesEverybody_UntilAJobLeavesIt()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(queueDepth: 2));
        Inference.InferenceClient ada = await gateway.CreateClientAsync(), bob = await gateway.CreateClientAsync();
        foreach (string id in (string[])["a", "b"])
            await ada.SubmitAsync(TestModels.Submit("echo", id), cancellationToken: TestGateway.Cancel);

        Error error = await GetRefusalAsync(bob, StatusCode.Unavailable);
        Assert.Equal((ErrorCode.Unavailable, true, 1), (error.Code, error.Retryable, error.RetryAfterSeconds));
        Assert.Equal("2 jobs wait, and this service lets 2 wait.", error.Message);

        await ada.CancelAsync(new CancelRequest { JobId = "a" }, cancellationToken: TestGateway.Cancel);
        await bob.SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel);
    }

    private static Task<Error> GetRefusalAsync(Inference.InferenceClient client, StatusCode status) =>
        GrpcAssert.FailsAsync(
            status, async () => await client.SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel));
}
