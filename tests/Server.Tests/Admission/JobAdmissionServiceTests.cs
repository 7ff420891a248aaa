using Google.Protobuf;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Protocol.Messages;
using Ndif.Queue;
using Ndif.Server.Admission;
using Ndif.Server.Grpc;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Admission;

public sealed class JobAdmissionServiceTests
{
    [Theory]
    [InlineData("openai-community/gpt3", "Did you mean `openai-community/gpt2`?")]
    [InlineData("gpt2", "Did you mean `openai-community/gpt2`?")]
    [InlineData("meta-llama/Llama-3.1-405B-Instruct", "Served are `openai-community/gpt2`.")]
    public async Task UnknownModel_NamesTheNearest(string model, string hint)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Error error = await GetRefusalAsync(gateway, TestModels.Submit("echo", model: model), StatusCode.NotFound);

        Assert.Equal(ErrorCode.UnknownModel, error.Code);
        Assert.Contains(hint, error.Hint, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AbsurdModelNames_AreRefusedCheaply()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Assert.Equal(
            ErrorCode.UnknownModel, (await GetRefusalAsync(gateway, TestModels.Submit("echo", model: ""), StatusCode.NotFound)).Code);
        Assert.Equal(
            ErrorCode.UnknownModel,
            (await GetRefusalAsync(gateway, TestModels.Submit("echo", model: new string('x', 10_000_000)), StatusCode.NotFound)).Code);
        await GetRefusalAsync(gateway, new SubmitRequest(), StatusCode.InvalidArgument);
    }

    [Fact]
    public async Task DescribedModel_IsWaitedFor_WhenItsWorkersAreGone()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await gateway.Backend.Workers.UnregisterAsync("worker-1", TestGateway.Cancel);

        SubmitReply reply = await (await gateway.CreateClientAsync()).SubmitAsync(
            TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel);

        Assert.Equal(JobState.Queued, reply.Job.State);
    }

    [Fact]
    public async Task Revision_IsPartOfTheNameInTheQueue()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        SubmitRequest request = TestModels.Submit("echo", "pinned");
        request.Program.Model.Revision = "607a30d";
        await (await gateway.CreateClientAsync()).SubmitAsync(request, cancellationToken: TestGateway.Cancel);

        Assert.Equal(
            $"{TestGateway.Model}@607a30d",
            (await gateway.Backend.Jobs.LeaseAsync("w", [$"{TestGateway.Model}@607a30d"], TimeSpan.Zero, TestGateway.Cancel))!.Model);
    }

    [Fact]
    public async Task InvalidProgram_IsRefusedBeforeTheQueue_WithTheValidatorsError()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        SubmitRequest request = TestModels.Submit("echo");
        request.Program.Nodes.Add(
            new Node {
                Read = new ReadSite { Site = new Site { Module = "lm_haed", Kind = SiteKind.Output }, Call = new CallIndex { At = 0 } } });
        request.Program.Regions[2].Nodes.Add(1);

        Error error = await GetRefusalAsync(gateway, request, StatusCode.InvalidArgument);

        Assert.Equal((ErrorCode.UnknownModule, "lm_haed", "Did you mean `lm_head`? It has lm_head."),
            (error.Code, error.Module, error.Hint));
        Assert.Equal(0, (await gateway.Backend.Jobs.CountAsync(TestGateway.Cancel)).Waiting);
    }

    [Fact]
    public async Task DryRun_PricesAndQueuesNothing()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        SubmitRequest request = TestModels.Submit("echo");
        request.DryRun = true;
        request.Program.Nodes[0].Trace.Mode = Mode.Generate;
        request.Program.Nodes[0].Trace.Generation = new Generation { MaxNewTokens = 10 };
        request.Program.Nodes[0]
            .Trace.Invokes.Add(new Invoke { Region = 3, Input = new Input { Tokens = { new TokenRow { Ids = { 1, 2, 3 } } } } });
        request.Program.Regions.Add(new Region());

        SubmitReply reply = await (await gateway.CreateClientAsync()).SubmitAsync(request, cancellationToken: TestGateway.Cancel);

        Assert.Null(reply.Job);
        Assert.Equal(10u, reply.Estimate.Passes);
        Assert.Equal(1ul + 22 / 4 + 3 + 2 * 9, reply.Estimate.Tokens);
        Assert.Equal(0, (await gateway.Backend.Jobs.CountAsync(TestGateway.Cancel)).Waiting);

        request.Program.Nodes[0].Trace.Generation.Beams = 4;
        SubmitReply wide = await (await gateway.CreateClientAsync()).SubmitAsync(request, cancellationToken: TestGateway.Cancel);
        // each prompt has four sequences in the batch
        Assert.Equal((10u, 4 * reply.Estimate.Tokens), (wide.Estimate.Passes, wide.Estimate.Tokens));
    }

    [Fact]
    public async Task TooManyNodes_IsRefused_WithTheNumbers()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(nodes: 3));
        SubmitRequest request = TestModels.Submit("echo");
        for (int i = 0; i < 9; i++) request.Program.Nodes.Add(new Node { Stop = new Stop() });

        Error error = await GetRefusalAsync(gateway, request, StatusCode.ResourceExhausted);

        Assert.Equal((ErrorCode.LimitExceeded, "The program has 10 nodes; at most 3 are allowed."), (error.Code, error.Message));
    }

    [Fact]
    public async Task TooManyTokens_AreRefused()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(tokens: 100));
        SubmitRequest request = TestModels.Submit("echo");
        request.Program.Nodes[0].Trace.Mode = Mode.Generate;
        request.Program.Nodes[0].Trace.Generation = new Generation { MaxNewTokens = 1000 };
        Assert.Equal(ErrorCode.LimitExceeded, (await GetRefusalAsync(gateway, request, StatusCode.ResourceExhausted)).Code);
    }

    [Fact]
    public async Task UnknownFeature_IsRefusedByName()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        SubmitRequest request = TestModels.Submit("echo");
        request.Program.RequiredFeatures.Add("telepathy");

        Error error = await GetRefusalAsync(gateway, request, StatusCode.FailedPrecondition);

        Assert.Equal(ErrorCode.Unsupported, error.Code);
        Assert.Contains("`telepathy`", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(double.NaN)]
    [InlineData(1e9)]
    public async Task TimeLimit_MustBeWithinTheServices(double seconds)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        SubmitRequest request = TestModels.Submit("echo");
        request.TimeoutSeconds = seconds;
        Assert.Contains(
            "600 seconds", (await GetRefusalAsync(gateway, request, StatusCode.InvalidArgument)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a b")]
    [InlineData("../x")]
    [InlineData("é")]
    [InlineData("0123456789012345678901234567890123456789012345678901234567890123456789")]
    public async Task BadJobIds_AreRefused(string id)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await GetRefusalAsync(gateway, TestModels.Submit("echo", id), StatusCode.InvalidArgument);
    }

    [Fact]
    public async Task JobsInFlight_AreBounded_EvenInABurst_AndAgainFreeWhenOneEnds()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(jobsInFlight: 5));
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        string?[] refusals = await Task.WhenAll(Enumerable.Range(0, 20).Select(async i =>
        {
            try
            {
                await client.SubmitAsync(TestModels.Submit("echo", $"j{i}"), cancellationToken: TestGateway.Cancel);
                return null;
            }
            catch (RpcException failure)
            {
                Error error = Error.Parser.ParseFrom(failure.Trailers.GetValueBytes(ErrorWireFormat.Trailer));
                Assert.True(error is { Code: ErrorCode.QuotaExceeded, Retryable: true, RetryAfterSeconds: > 0 });
                return error.Message;
            }
        }));

        Assert.Equal(15, refusals.Count(refusal => refusal == "5 of your jobs wait or run; your key may have 5 at once."));
        // another key is not affected
        await (await gateway.CreateClientAsync()).SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel);
        JobInfo active =
            (await client.ListJobsAsync(new ListJobsRequest { ActiveOnly = true }, cancellationToken: TestGateway.Cancel)).Jobs[0];
        await client.CancelAsync(new CancelRequest { JobId = active.Id }, cancellationToken: TestGateway.Cancel);
        await client.SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel);
    }

    [Fact]
    public async Task Constants_MustBeThere_AndOnesOwn_AndAsLongAsClaimed()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(constantBytes: 1000));
        Inference.InferenceClient ada = await gateway.CreateClientAsync(), bob = await gateway.CreateClientAsync();
        BlobRef blob;
        using (var put = ada.PutBlob(cancellationToken: TestGateway.Cancel))
        {
            await put.RequestStream.WriteAsync(new BlobChunk { Data = ByteString.CopyFrom(new byte[100]) }, TestGateway.Cancel);
            await put.RequestStream.CompleteAsync();
            blob = await put;
        }

        await ada.SubmitAsync(With(blob), cancellationToken: TestGateway.Cancel);
        Assert.Equal(ErrorCode.UnknownBlob, (await GetErrorAsync(bob, With(blob), StatusCode.NotFound)).Code);
        Assert.Equal(
            ErrorCode.UnknownBlob, (await GetErrorAsync(ada, With(new BlobRef { Id = new string('0', 64) }), StatusCode.NotFound)).Code);
        Assert.Equal(
            ErrorCode.CorruptData, (await GetErrorAsync(ada, With(new BlobRef { Id = blob.Id, Length = 7 }), StatusCode.DataLoss)).Code);
        Assert.Equal(
            ErrorCode.LimitExceeded,
            (await GetErrorAsync(ada, With(new BlobRef { Id = blob.Id, Length = long.MaxValue }), StatusCode.ResourceExhausted)).Code);

        // An id that is not a hash is refused with the program, and again by the validation of the constants.
        Assert.Equal(
            ErrorCode.InvalidProgram,
            (await GetErrorAsync(ada, With(new BlobRef { Id = "../../etc/passwd" }), StatusCode.InvalidArgument)).Code);
        Exception refusal = await Assert.ThrowsAnyAsync<NdifException>(() => new ConstantValidator(gateway.Backend.Blobs).ValidateAsync(
            With(new BlobRef { Id = "../../etc/passwd" }).Program, Caller.Anonymous, TestGateway.Cancel));
        Assert.Equal(ErrorCode.UnknownBlob, Errors.FromException(refusal).Code);

        static SubmitRequest With(BlobRef blob)
        {
            SubmitRequest request = TestModels.Submit("echo");
            request.Program.Constants.Add(new Tensor { Dtype = DataType.Uint8, Shape = { (long)blob.Length }, Blob = blob });
            request.Program.Constants.Add(
                new Tensor { Dtype = DataType.Uint8, Shape = { 10 }, Inline = ByteString.CopyFrom(new byte[10]) });
            return request;
        }
    }

    [Fact]
    public async Task Refusals_AreLogged_WithTheReason()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await GetRefusalAsync(gateway, TestModels.Submit("echo", model: "gpt5"), StatusCode.NotFound);
        await gateway.Log.WaitForAsync("refused: UNKNOWN_MODEL");
        await GetRefusalAsync(
            gateway, TestModels.Submit("echo", model: "x\nJob 1 ended as Completed" + new string('x', 10_000)), StatusCode.NotFound);
        Assert.All(
            gateway.Log.Events.Select(LogCapture.GetText).Where(text => text.Contains("UNKNOWN_MODEL", StringComparison.Ordinal)), text =>
        {
            Assert.DoesNotContain('\n', text);
            Assert.InRange(text.Length, 1, 1000);
        });
    }

    private static async Task<Error> GetRefusalAsync(TestGateway gateway, SubmitRequest request, StatusCode status) =>
        await GetErrorAsync(await gateway.CreateClientAsync(), request, status);

    private static Task<Error> GetErrorAsync(Inference.InferenceClient client, SubmitRequest request, StatusCode status) =>
        GrpcAssert.FailsAsync(status, async () => await client.SubmitAsync(request, cancellationToken: TestGateway.Cancel));
}
