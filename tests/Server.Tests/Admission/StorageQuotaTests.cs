using System.Net;
using System.Security.Cryptography;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Admission;

/// <summary>What a key may store: its jobs in the queue, its results and uploads as blobs.</summary>
public sealed class StorageQuotaTests
{
    private static GatewayOptions Options(long queueBytes = 1 << 20, long blobBytes = 1 << 20) => new()
    {
        GrpcPort = 0, HttpPort = 0, QueueBytes = queueBytes, StoredBlobBytes = blobBytes,
        BlobCleanupInterval = TimeSpan.FromMilliseconds(50), LeaseCleanupInterval = TimeSpan.FromMilliseconds(20),
    };

    [Fact]
    public async Task AJobThatFillsTheQueue_FailsAlone_AndItsKeySubmitsAgainWhenItIsDeleted()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(Options());
        await using FakeWorker worker = gateway.StartWorker();
        Inference.InferenceClient client = await gateway.CreateClientAsync(), other = await gateway.CreateClientAsync();
        await client.SubmitAsync(TestModels.Submit("flood 100 20000", "big"), cancellationToken: TestGateway.Cancel);
        await gateway.WaitForEndAsync("big");
        JobInfo big = await client.GetJobAsync(new GetJobRequest { JobId = "big" }, cancellationToken: TestGateway.Cancel);
        Assert.Equal((JobState.Failed, ErrorCode.QuotaExceeded), (big.State, big.Error.Code));

        StorageUse use = (await client.GetUsageAsync(new GetUsageRequest(), cancellationToken: TestGateway.Cancel)).Storage;
        Assert.InRange(use.QueueBytes, 900_000ul, 1_060_000ul);
        Assert.Equal((1ul << 20, 1ul << 20), (use.QueueBytesLimit, use.BlobBytesLimit));
        // what is left is enough for small jobs, and no job of another key is affected
        Error refused = await GrpcAssert.FailsAsync(StatusCode.ResourceExhausted, async () => await client.SubmitAsync(
            LargeJob(), cancellationToken: TestGateway.Cancel));
        Assert.Equal((ErrorCode.QuotaExceeded, false), (refused.Code, refused.Retryable));
        Assert.Contains("ndif jobs delete", refused.Hint, StringComparison.Ordinal);
        await other.SubmitAsync(TestModels.Submit("echo", "other"), cancellationToken: TestGateway.Cancel);
        await client.DeleteJobAsync(new DeleteJobRequest { JobId = "big" }, cancellationToken: TestGateway.Cancel);
        await client.SubmitAsync(LargeJob(), cancellationToken: TestGateway.Cancel);

        static SubmitRequest LargeJob()
        {
            SubmitRequest request = TestModels.Submit("echo", "next");
            request.Program.Nodes[0].Trace.Invokes[0].Input.Prompts[0] = new string('x', 50_000);
            return request;
        }
    }

    [Fact]
    public async Task Uploads_FillTheQuota_AndCountNoLongerWhenTheStoreHasDeletedThem()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(Options());
        CreatedKey key = await gateway.CreateKeyAsync();
        HttpClient http = gateway.CreateHttpClient(key.Key.Reveal());
        Assert.Equal(HttpStatusCode.Created, await UploadAsync(http, 700_000));
        Assert.Equal(HttpStatusCode.TooManyRequests, await UploadAsync(http, 700_000));
        Assert.Single(BlobFiles(gateway)); // the refused one is not kept
        CreatedKey other = await gateway.CreateKeyAsync();
        Assert.Equal(HttpStatusCode.Created, await UploadAsync(gateway.CreateHttpClient(other.Key.Reveal()), 700_000));
        gateway.Time.Advance(TimeSpan.FromHours(25));
        await WaitAsync(async () => (await gateway.Backend.Jobs.Storage.GetAsync("", TestGateway.Cancel)).Blobs == 0);
    }

    [Fact]
    public async Task TheResultsOfAJob_AreDeletedWithIt_WhenItsRetentionIsOver()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(
            Options(), new QueueOptions { HeartbeatLifetime = TimeSpan.FromHours(1), Retention = TimeSpan.FromHours(2) });
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        await client.SubmitAsync(TestModels.Submit("blob", "a"), cancellationToken: TestGateway.Cancel);
        Lease lease = (await gateway.Backend.Jobs.LeaseAsync("w", [TestGateway.Model], TimeSpan.FromSeconds(20), TestGateway.Cancel))!;
        BlobRef blob = await gateway.Backend.Blobs.PutNewAsync(
            async (stream, cancel) => await stream.WriteAsync(new byte[50_000], cancel), TestGateway.Cancel);
        await gateway.Backend.Blobs.GrantAsync(blob.Id, lease.Owner, lease.JobId, TestGateway.Cancel);
        var tensor = new Tensor { Dtype = DataType.Uint8, Shape = { 50_000 }, Blob = blob };
        await gateway.Backend.Jobs.PublishAsync(
            lease, new Event { Value = new SavedValue { Data = new Data { Tensor = tensor } } }, TestGateway.Cancel);
        await gateway.Backend.Jobs.PublishAsync(
            lease, new Event { State = new StateChanged { State = JobState.Completed } }, TestGateway.Cancel);
        Assert.Single(BlobFiles(gateway));
        gateway.Time.Advance(TimeSpan.FromHours(3)); // blobs are kept for a day, the job for two hours
        await WaitAsync(() => Task.FromResult(BlobFiles(gateway).Length == 0));
        Assert.Equal(new StoredBytes(0, 0), await gateway.Backend.Jobs.Storage.GetAsync("", TestGateway.Cancel));
    }

    [Fact]
    public async Task TheLimitsOfWorkers_AreAdvertisedAndApplied_WhereTheyAreSmaller()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions());
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        await gateway.Backend.Workers.PublishHeartbeatAsync(
            new WorkerStatus { Id = "a", WallSeconds = 600, JobMemoryBytes = 1 << 30 }, [], TestGateway.Cancel);
        await gateway.Backend.Workers.PublishHeartbeatAsync(
            new WorkerStatus { Id = "b", WallSeconds = 100_000, JobMemoryBytes = 1 << 29, CacheMemoryBytes = 7 }, [], TestGateway.Cancel);
        await gateway.Backend.Workers.PublishHeartbeatAsync(
            new WorkerStatus { Id = "c", WallSeconds = 1, Draining = true }, [], TestGateway.Cancel);
        ProgramLimits limits =
            (await client.GetCapabilitiesAsync(new GetCapabilitiesRequest(), cancellationToken: TestGateway.Cancel)).Limits;
        Assert.Equal((600, 1ul << 29, 7ul), (limits.WallSeconds, limits.JobMemoryBytes, limits.CacheMemoryBytes));
        SubmitRequest request = TestModels.Submit("echo", "a");
        request.TimeoutSeconds = 601;
        Error error = await GrpcAssert.FailsAsync(
            StatusCode.InvalidArgument, async () => await client.SubmitAsync(request, cancellationToken: TestGateway.Cancel));
        Assert.Contains("from 0 to 600 seconds", error.Message, StringComparison.Ordinal);
        request.TimeoutSeconds = 0;
        await client.SubmitAsync(request, cancellationToken: TestGateway.Cancel);
        Lease lease = (await gateway.Backend.Jobs.LeaseAsync("w", [TestGateway.Model], TimeSpan.FromSeconds(20), TestGateway.Cancel))!;
        Assert.Equal(TimeSpan.FromSeconds(600), lease.TimeLimit);
    }

    private static async Task<HttpStatusCode> UploadAsync(HttpClient http, int bytes)
    {
        byte[] content = RandomNumberGenerator.GetBytes(bytes);
        using HttpResponseMessage response = await http.PutAsync(
            $"/v1/blobs/{Convert.ToHexStringLower(SHA256.HashData(content))}", new ByteArrayContent(content), TestGateway.Cancel);
        return response.StatusCode;
    }

    private static string[] BlobFiles(TestGateway gateway) =>
        [.. Directory.GetFiles(Path.Combine(gateway.Folder, "blobs"), "*", SearchOption.AllDirectories)
            .Where(file => Path.GetFileName(file).Length == 64 && !file.Contains("readers", StringComparison.Ordinal))];

    private static async Task WaitAsync(Func<Task<bool>> condition)
    {
        while (!await condition()) await Task.Delay(20, TestGateway.Cancel);
    }
}
