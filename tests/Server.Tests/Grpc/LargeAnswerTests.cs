using Grpc.Core;
using Ndif.Protocol;
using Ndif.Server.Hosting;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Grpc;

/// <summary>The answers of a client on a Run stream share the memory of the gateway with other large messages.</summary>
public sealed class LargeAnswerTests
{
    private const int AnswerBytes = 1 << 20;
    private const long FreeBytes = 4L << 20;

    [Fact]
    public async Task TheMemoryOfEachAnswer_IsGivenBack_WhenItIsHandled()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        using AsyncDuplexStreamingCall<RunRequest, Event> call = client.Run(cancellationToken: TestGateway.Cancel);
        await call.RequestStream.WriteAsync(TestModels.Run("hang", "session"), TestGateway.Cancel);
        await ReadUntilAsync(call, jobEvent => jobEvent.State?.State is JobState.Running);
        DecodingLimiter limiter = GatewayMemory.Occupy(gateway, except: FreeBytes);

        for (ulong ticket = 1; ticket <= 6; ticket++) await call.RequestStream.WriteAsync(Answer(ticket, AnswerBytes), TestGateway.Cancel);
        await call.RequestStream.WriteAsync(new RunRequest { Cancel = new Nothing() }, TestGateway.Cancel);

        StateChanged end = (await GrpcAssert.ReadAllAsync(call.ResponseStream))[^1].State;
        Assert.Equal(JobState.Cancelled, end.State);
        Assert.Contains("The client cancelled it", end.Error.Message, StringComparison.Ordinal);
        Assert.True(limiter.TryReserve("another", FreeBytes, out _));
    }

    [Fact]
    public async Task AnAnswerThatTheGatewayHasNoMemoryFor_CancelsNoJob_AndIsTakenLater()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        using AsyncDuplexStreamingCall<RunRequest, Event> refused = client.Run(cancellationToken: TestGateway.Cancel);
        await refused.RequestStream.WriteAsync(TestModels.Run("ask", "asked"), TestGateway.Cancel);
        await ReadUntilAsync(refused, jobEvent => jobEvent.Local is not null);
        DecodingLimiter limiter = GatewayMemory.Occupy(gateway, except: 0);
        await refused.RequestStream.WriteAsync(Answer(7, AnswerBytes), TestGateway.Cancel);
        Error error = await GrpcAssert.FailsAsync(StatusCode.Unavailable, () => GrpcAssert.ReadAllAsync(refused.ResponseStream));
        Assert.True(error is { Retryable: true, JobContinues: true });
        Assert.EndsWith("The job continues.", error.Message, StringComparison.Ordinal);
        Assert.Equal(JobState.Running, (await gateway.FindJobAsync("asked"))!.State);

        limiter.Release("other 1", FreeBytes);
        using AsyncDuplexStreamingCall<RunRequest, Event> back = client.Run(cancellationToken: TestGateway.Cancel);
        await back.RequestStream.WriteAsync(TestModels.Run("ask", "asked"), TestGateway.Cancel);
        await back.RequestStream.WriteAsync(Answer(7, AnswerBytes), TestGateway.Cancel);
        List<Event> events = await GrpcAssert.ReadAllAsync(back.ResponseStream);
        Assert.Equal(JobState.Completed, events[^1].State.State);
        Assert.Equal(AnswerBytes, events.Single(jobEvent => jobEvent.Value is not null).Value.Data.Text.Length);
    }

    private static RunRequest Answer(ulong ticket, int length) =>
        new() { Local = new LocalReply { Ticket = ticket, Value = new Data { Text = new string('x', length) } } };

    private static async Task ReadUntilAsync(AsyncDuplexStreamingCall<RunRequest, Event> call, Predicate<Event> isLast)
    {
        while (await call.ResponseStream.MoveNext(TestGateway.Cancel))
            if (isLast(call.ResponseStream.Current)) return;
        Assert.Fail("The stream has ended.");
    }
}
