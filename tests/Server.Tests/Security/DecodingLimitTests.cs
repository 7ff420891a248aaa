using System.Diagnostics;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Security;

/// <summary>
/// Messages that are small on the wire and large as objects are refused before they are decoded, refusals have a limit, and the messages
/// that are decoded at a time share a budget. The tests run alone, because they measure time and memory.
/// </summary>
[CollectionDefinition(nameof(DecodingLimitTests), DisableParallelization = true), Collection(nameof(DecodingLimitTests))]
public sealed class DecodingLimitTests
{
    /// <summary>Every request message that has a list of messages somewhere, with two bytes for each element.</summary>
    private static readonly Dictionary<string, (string Service, string Method, Func<byte[]> Create)> _amplifying = new()
    {
        ["program.nodes[0].trace.invokes"] = ("Inference", "Submit", () => Wrap(1, Wrap(4, Wrap(26, Repeat(0x12, 0))))),
        ["program.nodes"] = ("Inference", "Submit", () => Wrap(1, Repeat(0x22, 0))),
        ["program.regions"] = ("Inference", "Submit", () => Wrap(1, Repeat(0x2a, 0))),
        ["program.constants"] = ("Inference", "Submit", () => Wrap(1, Repeat(0x32, 0))),
        ["program.nodes[0].call.keywords"] = ("Inference", "Submit", () => Wrap(1, Wrap(4, Wrap(10, Repeat(0x1a, 0))))),
        ["submit.program.regions of a stream"] = ("Inference", "Run", () => Wrap(1, Wrap(1, Repeat(0x2a, 0)))),
        ["local.value.list.items"] = ("Inference", "Run", () => Wrap(2, Wrap(2, Wrap(7, Repeat(0x0a, 0))))),
        ["unknown fields"] = ("Inference", "GetJob", UnknownFields),
        ["names of blobs"] = ("Inference", "HasBlobs", () => Repeat(0x0a, 0)),
        ["unknown fields for an operator"] = ("Admin", "CreateKey", UnknownFields),
    };

    public static TheoryData<string> Amplifying => [.. _amplifying.Keys];

    [Theory]
    [MemberData(nameof(Amplifying))]
    public async Task EmptyObjects_AreRefused_InMilliseconds(string what)
    {
        (string service, string method, Func<byte[]> create) = _amplifying[what];
        byte[] message = create();
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(messageBytes: 4 << 20));
        CallInvoker invoker = gateway.CreateInvoker(
            (await gateway.Keys.CreateAsync("ada", ["run", "admin"], cancellationToken: TestGateway.Cancel)).Key.Reveal());
        await CallAsync(); // compiles and connects

        long allocated = GC.GetTotalAllocatedBytes(precise: true);
        TimeSpan began = Environment.CpuUsage.TotalTime; // not of the clock: the machine may be busy
        (ErrorCode code, string text) = await CallAsync();
        TimeSpan took = Environment.CpuUsage.TotalTime - began;

        Assert.Equal(ErrorCode.LimitExceeded, code);
        Assert.NotEmpty(text);
        Assert.InRange(took.TotalMilliseconds, 0, 500);
        Assert.InRange(GC.GetTotalAllocatedBytes(precise: true) - allocated, 0, 64 << 20);

        async Task<(ErrorCode, string)> CallAsync()
        {
            RpcException failure = await Assert.ThrowsAnyAsync<RpcException>(() => CompressedCalls.PostAsync(invoker, service, method,
                message));
            Error error = Error.Parser.ParseFrom(failure.Trailers.GetValueBytes(Server.Grpc.ErrorWireFormat.Trailer)!);
            return (error.Code, error.Message);
        }
    }

    /// <summary>31.5 MB, and 4 MB as 4 KB, four of each at once: the numbers that took gigabytes.</summary>
    [Fact]
    public async Task ManyAtOnce_AreRefused_AndAnOrdinaryJobIsAccepted()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(messageBytes: 4 << 20));
        CallInvoker invoker = gateway.CreateInvoker((await gateway.CreateKeyAsync()).Key.Reveal());
        byte[] large = Wrap(1, Wrap(4, Wrap(26, [.. Enumerable.Repeat<byte[]>([0x12, 0], 15_750_000).SelectMany(bytes => bytes)])));
        byte[] small = Wrap(1, Wrap(4, Wrap(26, Repeat(0x12, 0))));
        TimeSpan began = Environment.CpuUsage.TotalTime;
        await Task.WhenAll(Enumerable.Range(0, 8).Select(async at =>
        {
            RpcException failure = await Assert.ThrowsAnyAsync<RpcException>(
                () => CompressedCalls.PostAsync(invoker, "Inference", "Submit", at % 2 == 0 ? large : small));
            Assert.Equal(StatusCode.ResourceExhausted, failure.StatusCode);
        }));
        Assert.InRange((Environment.CpuUsage.TotalTime - began).TotalSeconds, 0, 5); // most of it compresses the messages
        await (await gateway.CreateClientAsync()).SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel);
    }

    [Fact]
    public async Task Refusals_HaveALimit_ThatLargeOnesReachSooner()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(jobsPerMinute: 30));
        Inference.InferenceClient client = await gateway.CreateClientAsync(), other = await gateway.CreateClientAsync();
        SubmitRequest invalid = TestModels.Submit("echo");
        invalid.Program.Version = 99;
        for (int i = 0; i < 29; i++) // each counts as a little more than one, for its size
            Assert.Equal(ErrorCode.InvalidProgram, (await GrpcAssert.FailsAsync(StatusCode.InvalidArgument, () =>
                SubmitAsync(client))).Code);

        Error refused = await GrpcAssert.FailsAsync(StatusCode.ResourceExhausted, () => SubmitUntilLimitedAsync(client));
        Assert.Equal(ErrorCode.QuotaExceeded, refused.Code);
        Assert.True(refused is { Retryable: true, RetryAfterSeconds: >= 1 });
        Assert.Equal(ErrorCode.InvalidProgram, (await GrpcAssert.FailsAsync(StatusCode.InvalidArgument, () => SubmitAsync(other))).Code);
        gateway.Time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(ErrorCode.InvalidProgram, (await GrpcAssert.FailsAsync(StatusCode.InvalidArgument, () => SubmitAsync(client))).Code);

        (invalid.Program.Version, invalid.Program.Client) = (ProgramFormat.Version, new string('a', 2 << 20)); // 32 times 64 KiB
        await GrpcAssert.FailsAsync(StatusCode.ResourceExhausted, () => SubmitAsync(other));
        refused = await GrpcAssert.FailsAsync(StatusCode.ResourceExhausted, () => SubmitAsync(other));
        Assert.Equal(ErrorCode.QuotaExceeded, refused.Code);

        async Task SubmitUntilLimitedAsync(Inference.InferenceClient with)
        {
            for (int i = 0; i < 2; i++)
                if (await Record.ExceptionAsync(() =>
                    SubmitAsync(with)) is RpcException { StatusCode: StatusCode.ResourceExhausted } limited)
                    throw limited;
        }

        Task SubmitAsync(Inference.InferenceClient with) => with.SubmitAsync(invalid, cancellationToken: TestGateway.Cancel).ResponseAsync;
    }

    /// <summary>Objects of a large message take processor time and memory before anything is checked.</summary>
    [Fact]
    public async Task LargePrograms_OfOneKey_AreDecodedOneAtATime()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(messageBytes: 4 << 20));
        CreatedKey key = await gateway.CreateKeyAsync();
        Inference.InferenceClient client = gateway.CreateClient(key.Key.Reveal()), other = await gateway.CreateClientAsync();
        SubmitRequest large = TestModels.Submit("echo"), invalid = new() { Program = new Program() };
        large.Program.Constants.Add(new Tensor
        {
            Dtype = DataType.Uint8, Shape = { 100_000 }, Inline = ByteString.CopyFrom(new byte[100_000]),
        });
        invalid.Program.Regions.Add(Enumerable.Repeat(new Region(), 2_000_000)); // refused by its decoding
        var limiter = gateway.App.Services.GetRequiredService<DecodingLimiter>();
        await limiter.TakeTurnAsync(key.Record.Id, TestGateway.Cancel); // as a request of this key that is being checked
        Task<SubmitReply> submitted = client.SubmitAsync(large, cancellationToken: TestGateway.Cancel).ResponseAsync;
        Task<Error> refused = GrpcAssert.FailsAsync(
            StatusCode.ResourceExhausted, async () => await client.SubmitAsync(invalid, cancellationToken: TestGateway.Cancel));
        using AsyncDuplexStreamingCall<RunRequest, Event> run = client.Run(cancellationToken: TestGateway.Cancel);
        await run.RequestStream.WriteAsync(new RunRequest { Submit = large }, TestGateway.Cancel);
        Task<bool> started = run.ResponseStream.MoveNext(TestGateway.Cancel);
        await client.SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel); // a small one needs no turn
        await other.SubmitAsync(large, cancellationToken: TestGateway.Cancel);
        await Task.Delay(300, TestGateway.Cancel);
        Assert.False(submitted.IsCompleted || refused.IsCompleted || started.IsCompleted);

        limiter.LeaveTurn(key.Record.Id);
        Assert.NotEmpty((await submitted).Job.Id);
        Assert.Equal(ErrorCode.LimitExceeded, (await refused).Code);
        Assert.True(await started);
    }

    /// <summary>50,000 regions are 100 KB on the wire and 100 times that as objects.</summary>
    [Fact]
    public async Task RefusedPrograms_CountForTheMemoryOfTheirObjects()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(jobsPerMinute: 60));
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        var empty = new SubmitRequest { Program = new Program { Regions = { Enumerable.Repeat(new Region(), 50_000) } } };
        int refused = 0;
        while ((await Assert.ThrowsAsync<RpcException>(async () =>
            await client.SubmitAsync(empty, cancellationToken: TestGateway.Cancel))).StatusCode == StatusCode.NotFound) refused++;
        Assert.InRange(refused, 1, 12); // 24 by their bytes alone
    }

    /// <summary>A client that sends its refused requests again at once waits for each answer.</summary>
    [Fact]
    public async Task ARequestOverTheLimitOfRefusals_IsAnsweredAfterAPause()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(jobsPerMinute: 5));
        Inference.InferenceClient client = await gateway.CreateClientAsync(), other = await gateway.CreateClientAsync();
        for (int i = 0; i < 6; i++) await RefusedAsync();
        long start = Stopwatch.GetTimestamp();
        Task<ErrorCode> refused = RefusedAsync();
        await other.ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel);
        Assert.False(refused.IsCompleted);
        Assert.Equal(ErrorCode.QuotaExceeded, await refused);
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0.9, 30);

        async Task<ErrorCode> RefusedAsync()
        {
            RpcException failure = await Assert.ThrowsAsync<RpcException>(async () =>
                await client.GetJobAsync(new GetJobRequest { JobId = "none" }, cancellationToken: TestGateway.Cancel));
            return Error.Parser.ParseFrom(failure.Trailers.GetValueBytes(Server.Grpc.ErrorWireFormat.Trailer)!).Code;
        }
    }

    [Fact]
    public void DecodedMessages_ShareABudget()
    {
        using var limiter = new DecodingLimiter(new GatewayOptions(), availableMemory: 1L << 30); // a quarter is for messages
        Assert.True(limiter.TryReserve("ada", 120 << 20, out _));
        Assert.False(limiter.TryReserve("ada", 20 << 20, out bool isOverShare));
        Assert.True(isOverShare);
        Assert.True(limiter.TryReserve("bob", 100 << 20, out _));
        Assert.False(limiter.TryReserve("eve", 60 << 20, out isOverShare));
        Assert.False(isOverShare); // the others have it
        limiter.Release("ada", 120 << 20);
        Assert.True(limiter.TryReserve("eve", 60 << 20, out _));
        limiter.Release("eve", 60 << 20);
        limiter.Release("bob", 100 << 20);
        Assert.True(limiter.TryReserve("ada", 300 << 20, out _)); // more than the budget, but alone
    }

    /// <summary>What a request has reserved before is its own, when it needs more and no other has any.</summary>
    [Fact]
    public void OneRequest_MayExceedTheShareOfItsKey_InSteps_WhileNoOtherHasMemory()
    {
        using var limiter = new DecodingLimiter(new GatewayOptions(), availableMemory: 1L << 30); // a key may have 128 MiB
        using var scope = new RequestScope(limiter, "ada", 1 << 20);
        scope.Reserve(100 << 20);
        scope.ReserveUntilEnd(100 << 20);
        scope.ReserveUntilEnd(100 << 20);
        Assert.Equal(100 << 20, scope.DecodedBytes); // the rest is not of its message
        scope.Release();
        using var other = new RequestScope(limiter, "ada", 1 << 20);
        Assert.Equal(ErrorCode.Unavailable, Assert.Throws<NdifException>(() => other.ReserveUntilEnd(1 << 20)).Code);
        Assert.False(other.IsRepeatable);
        Assert.Throws<NdifException>(() => other.Reserve(1 << 20));
        Assert.True(other.IsRepeatable);
        scope.ReleaseEarly(100 << 20);
        other.ReserveUntilEnd(20 << 20);
        Assert.Throws<NdifException>(() => scope.ReserveUntilEnd(100 << 20));
        scope.Dispose();
        other.Dispose();
        Assert.True(limiter.TryReserve("bob", 1, out _) && limiter.TryReserve("ada", (128 << 20) - 1, out _));
    }

    [Fact]
    public async Task UnfinishedMessages_OfOneKey_DelayNoOther()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Inference.InferenceClient client = await gateway.CreateClientAsync(), other = await gateway.CreateClientAsync();
        var open = new List<AsyncDuplexStreamingCall<RunRequest, Event>>();
        for (int i = 0; i < 40; i++) open.Add(client.Run(cancellationToken: TestGateway.Cancel)); // they send nothing
        await Task.Delay(200, TestGateway.Cancel);
        await other.ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel);
        Task<ListJobsReply> own = client.ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel).ResponseAsync;
        await Task.Delay(200, TestGateway.Cancel);
        Assert.False(own.IsCompleted); // it waits for a place of its key
        foreach (AsyncDuplexStreamingCall<RunRequest, Event> call in open) call.Dispose();
        await own;
    }

    private static byte[] Repeat(params byte[] element) => [.. Enumerable.Repeat(element, 2_000_000).SelectMany(bytes => bytes)];

    private static byte[] UnknownFields()
    {
        var bytes = new MemoryStream();
        using (var output = new CodedOutputStream(bytes, leaveOpen: true))
            for (int number = 1000; number < 700_000; number++)
            {
                output.WriteTag(number, WireFormat.WireType.Varint);
                output.WriteUInt32(1);
            }
        return bytes.ToArray();
    }

    private static byte[] Wrap(int number, byte[] content)
    {
        var bytes = new MemoryStream();
        using (var output = new CodedOutputStream(bytes, leaveOpen: true))
        {
            output.WriteTag(number, WireFormat.WireType.LengthDelimited);
            output.WriteBytes(ByteString.CopyFrom(content));
        }
        return bytes.ToArray();
    }
}

/// <summary>Sends a message as a client does that compresses it: 4 MB of equal bytes as 4 KB.</summary>
internal static class CompressedCalls
{
    private static readonly Marshaller<byte[]> _marshaller = Marshallers.Create(bytes => bytes, bytes => bytes);

    public static async Task PostAsync(CallInvoker invoker, string service, string method, byte[] message)
    {
        var headers = new Metadata { { "grpc-internal-encoding-request", "gzip" } };
        var options = new CallOptions(headers, cancellationToken: TestGateway.Cancel);
        bool isDuplex = method == "Run";
        var call = new Method<byte[], byte[]>(
            isDuplex ? MethodType.DuplexStreaming : MethodType.Unary, $"ndif.v1.{service}", method, _marshaller, _marshaller);
        if (!isDuplex)
        {
            await invoker.AsyncUnaryCall(call, null, options, message);
            return;
        }
        using AsyncDuplexStreamingCall<byte[], byte[]> stream = invoker.AsyncDuplexStreamingCall(call, null, options);
        await stream.RequestStream.WriteAsync(message, TestGateway.Cancel);
        while (await stream.ResponseStream.MoveNext(TestGateway.Cancel)) { }
    }
}
