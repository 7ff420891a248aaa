using Grpc.Core;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Grpc;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Grpc;

/// <summary>DeleteJob deletes the job, its events and its blobs, and nothing else.</summary>
public sealed class DeleteJobTests
{
    [Fact]
    public async Task ADeletedJobsResults_AreGone_AndThoseOfOthersStay()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        CreatedKey ada = await gateway.CreateKeyAsync("ada"), bob = await gateway.CreateKeyAsync("bob");
        Inference.InferenceClient client = gateway.CreateClient(ada.Key.Reveal()), other = gateway.CreateClient(bob.Key.Reveal());
        BlobRef own = await RunAsync(gateway, client, "one", 1), shared = await RunAsync(gateway, client, "two", 2);
        BlobRef same = await RunAsync(gateway, other, "three", 2);
        Assert.Equal(shared.Id, same.Id);

        await GrpcAssert.FailsAsync(StatusCode.NotFound,
            async () => await other.DeleteJobAsync(new DeleteJobRequest { JobId = "one" }, cancellationToken: TestGateway.Cancel));
        Assert.Equal((1u, 5000ul),
            GetSizes(await client.DeleteJobAsync(new DeleteJobRequest { JobId = "one" }, cancellationToken: TestGateway.Cancel)));
        Assert.False(await gateway.Backend.Blobs.ExistsAsync(own.Id, TestGateway.Cancel));
        await GrpcAssert.FailsAsync(StatusCode.NotFound,
            async () => await client.GetJobAsync(new GetJobRequest { JobId = "one" }, cancellationToken: TestGateway.Cancel));
        await GrpcAssert.FailsAsync(StatusCode.NotFound,
            async () => await client.DeleteJobAsync(new DeleteJobRequest { JobId = "one" }, cancellationToken: TestGateway.Cancel));

        await client.DeleteJobAsync(new DeleteJobRequest { JobId = "two" }, cancellationToken: TestGateway.Cancel);
        Assert.False(await gateway.Backend.Blobs.CanReadAsync(shared.Id, ada.Record.Id, TestGateway.Cancel));
        Assert.True(await gateway.Backend.Blobs.CanReadAsync(shared.Id, bob.Record.Id, TestGateway.Cancel));
    }

    [Fact]
    public async Task ResultsThatTwoJobsShare_AndConstants_OutliveTheFirst()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        CreatedKey ada = await gateway.CreateKeyAsync("ada");
        Inference.InferenceClient client = gateway.CreateClient(ada.Key.Reveal());
        BlobRef blob = await RunAsync(gateway, client, "one", 3);
        await RunAsync(gateway, client, "two", 3);
        await gateway.Backend.Blobs.GrantAsync(blob.Id, ada.Record.Id, cancellationToken: TestGateway.Cancel); // also uploaded
        foreach (string id in (string[])["one", "two"])
        {
            Assert.Equal(
                0u, (await client.DeleteJobAsync(new DeleteJobRequest { JobId = id }, cancellationToken: TestGateway.Cancel)).Blobs);
            Assert.True(await gateway.Backend.Blobs.CanReadAsync(blob.Id, ada.Record.Id, TestGateway.Cancel));
        }
    }

    [Fact]
    public async Task ARunningJob_IsCancelledFirst_AndItsWatcherIsToldOfOneOrTheOther()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        await client.SubmitAsync(TestModels.Submit("hang", "long"), cancellationToken: TestGateway.Cancel);
        using var watch = client.Watch(new WatchRequest { JobId = "long" }, cancellationToken: TestGateway.Cancel);
        while (await watch.ResponseStream.MoveNext(TestGateway.Cancel) && watch.ResponseStream.Current.State?.State != JobState.Running) { }

        await client.DeleteJobAsync(new DeleteJobRequest { JobId = "long" }, cancellationToken: TestGateway.Cancel);
        try
        {
            List<Event> rest = await GrpcAssert.ReadAllAsync(watch.ResponseStream);
            Assert.Equal(JobState.Cancelled, Assert.Single(rest).State.State);
        }
        catch (RpcException gone)
        {
            Assert.Equal(ErrorCode.UnknownJob, Error.Parser.ParseFrom(gone.Trailers.GetValueBytes(ErrorWireFormat.Trailer)).Code);
        }
        await GrpcAssert.FailsAsync(StatusCode.NotFound,
            async () => await client.GetJobAsync(new GetJobRequest { JobId = "long" }, cancellationToken: TestGateway.Cancel));
    }

    [Fact]
    public async Task Results_VanishAfterTheirTime_WithATypedError()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        CreatedKey ada = await gateway.CreateKeyAsync("ada");
        Inference.InferenceClient client = gateway.CreateClient(ada.Key.Reveal());
        BlobRef blob = await RunAsync(gateway, client, "old", 4);
        using HttpClient http = gateway.CreateHttpClient(ada.Key.Reveal());
        Assert.Equal(5000, (await http.GetByteArrayAsync(new Uri($"/v1/blobs/{blob.Id}", UriKind.Relative), TestGateway.Cancel)).Length);

        gateway.Time.Advance(TimeSpan.FromHours(25));
        Assert.Equal(System.Net.HttpStatusCode.NotFound,
            (await http.GetAsync(new Uri($"/v1/blobs/{blob.Id}", UriKind.Relative), TestGateway.Cancel)).StatusCode);
        Error error = await GrpcAssert.FailsAsync(StatusCode.NotFound, async () =>
        {
            using var late = client.Watch(new WatchRequest { JobId = "old" }, cancellationToken: TestGateway.Cancel);
            await GrpcAssert.ReadAllAsync(late.ResponseStream);
        });
        Assert.Equal(ErrorCode.UnknownJob, error.Code);
        Assert.Equal(1, await gateway.Backend.Blobs.DeleteExpiredAsync(TestGateway.Cancel));
    }

    private static (uint, ulong) GetSizes(DeleteJobReply reply) => (reply.Blobs, reply.Bytes);

    /// <summary>Runs a job whose result is a blob; the test is its worker.</summary>
    private static async Task<BlobRef> RunAsync(TestGateway gateway, Inference.InferenceClient client, string id, byte content)
    {
        await client.SubmitAsync(TestModels.Submit("blob", id), cancellationToken: TestGateway.Cancel);
        Lease lease = (await gateway.Backend.Jobs.LeaseAsync("w", [TestGateway.Model], TimeSpan.FromSeconds(20), TestGateway.Cancel))!;
        BlobRef blob = await gateway.Backend.Blobs.PutAsync(
            async (stream, cancel) => await stream.WriteAsync(Enumerable.Repeat(content, 5000).ToArray(), cancel), TestGateway.Cancel);
        await gateway.Backend.Blobs.GrantAsync(blob.Id, lease.Owner, lease.JobId, TestGateway.Cancel);
        var tensor = new Data { Tensor = new Tensor { Dtype = DataType.Uint8, Shape = { 5000 }, Blob = blob } };
        var list = new Data { List = new DataList { Items = { new Data { Integer = 1 }, tensor } } };
        await gateway.Backend.Jobs.PublishAsync(lease, new Event { Value = new SavedValue { Data = list } }, TestGateway.Cancel);
        await gateway.Backend.Jobs.PublishAsync(
            lease, new Event { State = new StateChanged { State = JobState.Completed } }, TestGateway.Cancel);
        return blob;
    }
}
