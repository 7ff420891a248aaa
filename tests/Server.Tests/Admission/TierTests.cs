using Google.Protobuf;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Admission;

/// <summary>The limits of a tier apply to its keys, where they are enforced and where they are reported.</summary>
public sealed class TierTests
{
    private static readonly Tier _restrictedTier = new(Weight: 2, JobsInFlight: 9, JobsPerMinute: 8)
    {
        QueueShare = 0.25, Nodes = 3, ConstantBytes = 10, ResultBytes = 77, Tokens = 20, WallTime = TimeSpan.FromSeconds(5),
    };

    [Fact]
    public async Task Capabilities_TellTheTiersLimits_AndTheGatewaysWhereItHasNone()
    {
        await using TestGateway gateway = await StartAsync();
        ProgramLimits narrow = await GetLimitsAsync(gateway, "narrow"), standard = await GetLimitsAsync(gateway, "standard");
        Assert.Equal(
            (3u, 10ul, 77ul, 5.0, 20u, 9u, 8u, 10u, 40u),
            (narrow.Nodes, narrow.ConstantBytes, narrow.ResultBytes, narrow.WallSeconds, narrow.Tokens, narrow.JobsInFlight,
            narrow.JobsPerMinute, narrow.JobsWaiting, narrow.QueueDepth));
        Assert.Equal((100_000u, 16ul << 30, 600.0, 64u, 40u),
            (standard.Nodes, standard.ResultBytes, standard.WallSeconds, standard.JobsInFlight, standard.JobsWaiting));
    }

    [Fact]
    public async Task WhatATierMayNot_AnotherMay()
    {
        await using TestGateway gateway = await StartAsync();
        Inference.InferenceClient narrow = await CreateClientAsync(gateway, "narrow");
        Inference.InferenceClient standard = await CreateClientAsync(gateway, "standard");
        (string Limit, SubmitRequest Request)[] cases =
            [("4 nodes", Nodes(4)), ("11 bytes of constants", Constant(11)), ("tokens", Tokens(21))];
        foreach ((string limit, SubmitRequest request) in cases)
        {
            Error error = await GrpcAssert.FailsAsync(
                StatusCode.ResourceExhausted, async () => await narrow.SubmitAsync(request, cancellationToken: TestGateway.Cancel));
            Assert.Contains(limit, error.Message, StringComparison.Ordinal);
            await standard.SubmitAsync(request, cancellationToken: TestGateway.Cancel);
        }
        SubmitRequest late = TestModels.Submit("echo");
        late.TimeoutSeconds = 6;
        Error slow = await GrpcAssert.FailsAsync(
            StatusCode.InvalidArgument, async () => await narrow.SubmitAsync(late, cancellationToken: TestGateway.Cancel));
        Assert.Equal("A time limit must be from 0 to 5 seconds.", slow.Message);
        await standard.SubmitAsync(late, cancellationToken: TestGateway.Cancel);
    }

    [Fact]
    public async Task TheWorkersLimits_TravelWithTheJob()
    {
        await using TestGateway gateway = await StartAsync();
        await (await CreateClientAsync(gateway, "narrow")).SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel);
        Queue.Lease lease =
            (await gateway.Backend.Jobs.LeaseAsync("w", [TestGateway.Model], TimeSpan.FromSeconds(20), TestGateway.Cancel))!;
        Assert.Equal((77L, TimeSpan.FromSeconds(5)), (lease.MaxResultBytes, lease.TimeLimit));
    }

    [Fact]
    public async Task AKeysShareOfTheQueue_IsItsOwn()
    {
        await using TestGateway gateway = await StartAsync(depth: 12);
        Inference.InferenceClient narrow = await CreateClientAsync(gateway, "narrow");
        for (int i = 0; i < 3; i++) await narrow.SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel);
        Error error = await GrpcAssert.FailsAsync(StatusCode.ResourceExhausted,
            async () => await narrow.SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel));
        Assert.Equal((ErrorCode.QuotaExceeded, "3 of your jobs wait; your key may fill 3 places of the queue.", true),
            (error.Code, error.Message, error.RetryAfterSeconds > 0));
        await (await CreateClientAsync(gateway, "standard")).SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel);
    }

    [Fact]
    public void EveryBoundOfATier_IsChecked()
    {
        OptionsException refusal = Assert.Throws<OptionsException>(() => new GatewayOptions
        {
            Tiers = new Dictionary<string, Tier>
            {
                ["standard"] = new(),
                ["odd"] = new(Weight: 0, JobsInFlight: 0, JobsPerMinute: 0) { QueueShare = 2, Nodes = 0, ConstantBytes = -1,
                    ResultBytes = 0, Tokens = 0, WallTime = TimeSpan.FromDays(8) },
            },
        }.Validate());
        foreach (string name in (string[])["odd", "Weight", "JobsInFlight", "JobsPerMinute", "QueueShare", "Nodes", "ConstantBytes",
            "ResultBytes", "Tokens", "WallTime"])
            Assert.Contains(name, refusal.Message, StringComparison.Ordinal);
    }

    private static Task<TestGateway> StartAsync(int depth = 40) => TestGateway.StartAsync(new GatewayOptions
    {
        GrpcPort = 0, HttpPort = 0, QueueDepth = depth, QueueShare = 1,
        Tiers = new Dictionary<string, Tier> { ["standard"] = new(), ["narrow"] = _restrictedTier },
    });

    private static async Task<Inference.InferenceClient> CreateClientAsync(TestGateway gateway, string tier) =>
        gateway.CreateClient((await gateway.Keys.CreateAsync("ada", [], tier, cancellationToken: TestGateway.Cancel)).Key.Reveal());

    private static async Task<ProgramLimits> GetLimitsAsync(TestGateway gateway, string tier) =>
        (await (await CreateClientAsync(gateway, tier)).GetCapabilitiesAsync(
            new GetCapabilitiesRequest(), cancellationToken: TestGateway.Cancel)).Limits;

    private static SubmitRequest Nodes(int count)
    {
        SubmitRequest request = TestModels.Submit("echo");
        while (request.Program.Nodes.Count < count)
        {
            request.Program.Regions[2].Nodes.Add((uint)request.Program.Nodes.Count);
            request.Program.Nodes.Add(new Node { Stop = new Stop() });
        }
        return request;
    }

    private static SubmitRequest Constant(int bytes)
    {
        SubmitRequest request = TestModels.Submit("echo");
        request.Program.Constants.Add(
            new Tensor { Dtype = DataType.Uint8, Shape = { bytes }, Inline = ByteString.CopyFrom(new byte[bytes]) });
        return request;
    }

    private static SubmitRequest Tokens(int count)
    {
        SubmitRequest request = TestModels.Submit("echo");
        var ids = new TokenRow();
        ids.Ids.AddRange(Enumerable.Repeat(1L, count));
        request.Program.Nodes[0].Trace.Invokes[0].Input = new Input { Tokens = { ids } };
        return request;
    }
}
