using System.Net;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Security;

/// <summary>A job or blob of another key gets the same error as one that does not exist, on every call.</summary>
public sealed class OwnershipTests
{
    [Fact]
    public async Task AnothersJob_IsUnknown_ToEveryCallThatTakesAJobId()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Inference.InferenceClient ada = await gateway.CreateClientAsync();
        CallInvoker eve = gateway.CreateInvoker((await gateway.CreateKeyAsync("eve")).Key.Reveal());
        await ada.SubmitAsync(TestModels.Submit("hang", "adas-job"), cancellationToken: TestGateway.Cancel);
        int seen = 0;
        foreach (MethodDescriptor method in Inference.Descriptor.Methods.Where(
            method => method.InputType.FindFieldByName("job_id") is not null && !method.IsClientStreaming && method.Name != "Submit"))
        {
            Error theirs = await CallAsync(method, "adas-job"), none = await CallAsync(method, "no-job");
            Assert.Equal((ErrorCode.UnknownJob, none.Message.Replace("no-job", "adas-job", StringComparison.Ordinal)),
                (theirs.Code, theirs.Message));
            seen++;
        }
        Assert.True(seen >= 4, $"{seen}"); // Watch, Cancel, GetJob, DeleteJob
        Assert.Equal(JobState.Queued,
            (await ada.GetJobAsync(new GetJobRequest { JobId = "adas-job" }, cancellationToken: TestGateway.Cancel)).State);
        Assert.Empty(
            (await new Inference.InferenceClient(eve).ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel)).Jobs);

        // eve may use the same id: she gets a job of her own, with another program, and does not learn that the id is used
        JobInfo own = (await new Inference.InferenceClient(eve).SubmitAsync(
            TestModels.Submit("echo", "adas-job"), cancellationToken: TestGateway.Cancel)).Job;
        Assert.Equal(("adas-job", JobState.Queued), (own.Id, own.State));
        Assert.Equal(2, (await gateway.Backend.Jobs.ListAsync("", 10, activeOnly: true, TestGateway.Cancel)).Count);

        async Task<Error> CallAsync(MethodDescriptor method, string id)
        {
            IMessage request = method.InputType.Parser.ParseJson($$"""{"jobId":"{{id}}"}""");
            return await GrpcAssert.FailsAsync(StatusCode.NotFound, () => RawGrpcCalls.CallAsync(eve, method, request.ToByteArray()));
        }
    }

    [Fact]
    public async Task AnothersBlob_IsUnknown_OverBothProtocols()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        CreatedKey ada = await gateway.CreateKeyAsync("ada"), eve = await gateway.CreateKeyAsync("eve");
        BlobRef blob = await gateway.Backend.Blobs.PutAsync(
            async (stream, cancel) => await stream.WriteAsync(new byte[] { 1, 2 }, cancel), TestGateway.Cancel);
        await gateway.Backend.Blobs.GrantAsync(blob.Id, ada.Record.Id, "job", TestGateway.Cancel);
        Inference.InferenceClient client = gateway.CreateClient(eve.Key.Reveal());
        Assert.Equal([blob.Id],
            (await client.HasBlobsAsync(new HasBlobsRequest { Ids = { blob.Id } }, cancellationToken: TestGateway.Cancel)).Missing);
        Error error = await GrpcAssert.FailsAsync(StatusCode.NotFound, async () => await client.GetBlob(
            new GetBlobRequest { Id = blob.Id }, cancellationToken: TestGateway.Cancel).ResponseStream.MoveNext(TestGateway.Cancel));
        Assert.Equal(ErrorCode.UnknownBlob, error.Code);
        using HttpClient http = gateway.CreateHttpClient(eve.Key.Reveal());
        foreach (HttpMethod method in (HttpMethod[])[HttpMethod.Get, HttpMethod.Head])
            Assert.Equal(HttpStatusCode.NotFound,
                (await http.SendAsync(new HttpRequestMessage(method, $"/v1/blobs/{blob.Id}"), TestGateway.Cancel)).StatusCode);
        using HttpClient own = gateway.CreateHttpClient(ada.Key.Reveal());
        Assert.Equal(2, (await own.GetByteArrayAsync(new Uri($"/v1/blobs/{blob.Id}", UriKind.Relative), TestGateway.Cancel)).Length);
    }

    [Fact]
    public async Task AKeyWithoutAdmin_IsRefusedEveryAdminCall()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        CallInvoker eve = gateway.CreateInvoker((await gateway.CreateKeyAsync("eve")).Key.Reveal());
        // the error lists the served models
        foreach (MethodDescriptor method in Protocol.Admin.Descriptor.Methods.Where(
            m => m.Name != nameof(Protocol.Admin.AdminClient.ListDeployments)))
            Assert.Equal(ErrorCode.PermissionDenied,
                (await GrpcAssert.FailsAsync(StatusCode.PermissionDenied, () => RawGrpcCalls.CallAsync(eve, method, []))).Code);
    }

    [Fact]
    public async Task AKeyThatIsRevokedOrExpires_IsRefusedEveryCall_FromThenOn()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        CreatedKey revoked = await gateway.CreateKeyAsync("gone", [Scopes.Run, Scopes.Admin]), expired = await gateway.CreateKeyAsync(
            "late", [Scopes.Run, Scopes.Admin], lifetime: TimeSpan.FromHours(1));
        await gateway.CreateClient(revoked.Key.Reveal()).ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel);
        await gateway.Keys.RevokeAsync(revoked.Record.Id, TestGateway.Cancel);
        gateway.Time.Advance(TimeSpan.FromHours(2));
        foreach (CreatedKey key in (CreatedKey[])[revoked, expired])
        {
            CallInvoker invoker = gateway.CreateInvoker(key.Key.Reveal());
            foreach (MethodDescriptor method in Inference.Descriptor.Methods.Concat(Protocol.Admin.Descriptor.Methods))
                Assert.Equal(ErrorCode.Unauthenticated,
                    (await GrpcAssert.FailsAsync(StatusCode.Unauthenticated, () => RawGrpcCalls.CallAsync(invoker, method, []))).Code);
            using HttpClient http = gateway.CreateHttpClient(key.Key.Reveal());
            Assert.Equal(HttpStatusCode.Unauthorized,
                (await http.GetAsync(new Uri($"/v1/blobs/{new string('a', 64)}", UriKind.Relative), TestGateway.Cancel)).StatusCode);
        }
    }

    [Fact]
    public async Task AForgedFencingToken_PublishesNothing()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await (await gateway.CreateClientAsync()).SubmitAsync(TestModels.Submit("echo", "fenced"), cancellationToken: TestGateway.Cancel);
        IJobQueue jobs = gateway.Backend.Jobs;
        Lease lease = (await jobs.LeaseAsync("w", [TestGateway.Model], TimeSpan.FromSeconds(20), TestGateway.Cancel))!;
        foreach (long token in (long[])[0, -1, lease.Token - 1, lease.Token + 1, long.MaxValue])
        {
            Lease forged = lease with { Token = token };
            Assert.False(
                await jobs.PublishAsync(forged, new Event { State = new StateChanged { State = JobState.Completed } }, TestGateway.Cancel));
            Assert.False(await jobs.RenewAsync(forged, TestGateway.Cancel));
            await jobs.ReturnAsync(forged, TestGateway.Cancel);
            Assert.Null(await jobs.AwaitReplyAsync(forged, 1, TimeSpan.FromMilliseconds(1), TestGateway.Cancel));
        }
        Assert.True(
            await jobs.PublishAsync(lease, new Event { State = new StateChanged { State = JobState.Completed } }, TestGateway.Cancel));
        Assert.Equal(1ul, (await gateway.Backend.Jobs.GetUsageAsync((await gateway.FindJobAsync("fenced"))!.Owner,
            DateOnly.MinValue, DateOnly.MaxValue, TestGateway.Cancel)).Single().Jobs);
    }
}
