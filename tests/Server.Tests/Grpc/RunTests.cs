using System.Diagnostics.Metrics;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Grpc;

public sealed class RunTests
{
    [Fact]
    public async Task Run_StreamsEveryEvent_FromReceivedToCompleted()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        using var call = (await gateway.CreateClientAsync()).Run(cancellationToken: TestGateway.Cancel);
        await call.RequestStream.WriteAsync(TestModels.Run("echo"), TestGateway.Cancel);

        List<Event> events = await GrpcAssert.ReadAllAsync(call.ResponseStream);

        Assert.Equal([JobState.Received, JobState.Queued, JobState.Running, JobState.Completed], GrpcAssert.GetStates(events));
        Assert.Equal(Enumerable.Range(1, events.Count).Select(n => (ulong)n), events.Select(e => e.Sequence));
        Assert.Equal("hello", events.Single(e => e.Log is not null).Log.Text);
        Assert.Equal(42, events.Single(e => e.Value is not null).Value.Data.Integer);
        Assert.Equal(StatusCode.OK, call.GetStatus().StatusCode);
    }

    [Fact]
    public async Task FailedJob_IsAnEvent_NotAFailedCall()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        using var call = (await gateway.CreateClientAsync()).Run(cancellationToken: TestGateway.Cancel);
        await call.RequestStream.WriteAsync(TestModels.Run("fail"), TestGateway.Cancel);

        StateChanged end = (await GrpcAssert.ReadAllAsync(call.ResponseStream))[^1].State;

        Assert.Equal((JobState.Failed, ErrorCode.ShapeMismatch), (end.State, end.Error.Code));
        Assert.Equal(StatusCode.OK, call.GetStatus().StatusCode);
    }

    [Fact]
    public async Task LocalReply_ReachesTheWorkerThatAsked()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        using var call = (await gateway.CreateClientAsync()).Run(cancellationToken: TestGateway.Cancel);
        await call.RequestStream.WriteAsync(TestModels.Run("ask"), TestGateway.Cancel);
        while (await call.ResponseStream.MoveNext(TestGateway.Cancel) && call.ResponseStream.Current.Local is null) { }
        ulong ticket = call.ResponseStream.Current.Local!.Ticket;

        await call.RequestStream.WriteAsync(
            new RunRequest { Local = new LocalReply { Ticket = ticket, Value = new Data { Text = "from the client" } } },
            TestGateway.Cancel);

        List<Event> rest = await GrpcAssert.ReadAllAsync(call.ResponseStream);
        Assert.Equal("from the client", rest.Single(e => e.Value is not null).Value.Data.Text);
    }

    [Fact]
    public async Task CancelMessage_EndsTheJob_AndTheStreamSaysSo()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        using var call = (await gateway.CreateClientAsync()).Run(cancellationToken: TestGateway.Cancel);
        await call.RequestStream.WriteAsync(TestModels.Run("hang"), TestGateway.Cancel);
        await UntilRunningAsync(call.ResponseStream);

        await call.RequestStream.WriteAsync(new RunRequest { Cancel = new Nothing() }, TestGateway.Cancel);

        StateChanged end = (await GrpcAssert.ReadAllAsync(call.ResponseStream))[^1].State;
        Assert.Equal((JobState.Cancelled, ErrorCode.JobCancelled), (end.State, end.Error.Code));
    }

    [Fact]
    public async Task DroppedConnection_CancelsTheJob()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        using (var call = (await gateway.CreateClientAsync()).Run(cancellationToken: TestGateway.Cancel))
        {
            await call.RequestStream.WriteAsync(TestModels.Run("hang", "dropped"), TestGateway.Cancel);
            await UntilRunningAsync(call.ResponseStream);
        } // disposed: the stream is reset

        Assert.Equal(JobState.Cancelled, (await gateway.WaitForEndAsync("dropped")).State);
    }

    [Fact]
    public async Task ClientThatIsBackAlready_KeepsItsJob_WhenTheOldConnectionDies()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        using var back = client.Run(cancellationToken: TestGateway.Cancel);
        using (var old = client.Run(cancellationToken: TestGateway.Cancel))
        {
            await old.RequestStream.WriteAsync(TestModels.Run("echo", "kept"), TestGateway.Cancel);
            Assert.True(await old.ResponseStream.MoveNext(TestGateway.Cancel));
            await back.RequestStream.WriteAsync(TestModels.Run("echo", "kept"), TestGateway.Cancel);
            Assert.True(await back.ResponseStream.MoveNext(TestGateway.Cancel));
        }
        await gateway.Log.WaitForAsync("/ndif.v1.Inference/Run answered Cancelled");

        await using FakeWorker worker = gateway.StartWorker();
        Assert.Equal(JobState.Completed, (await GrpcAssert.ReadAllAsync(back.ResponseStream))[^1].State.State);
    }

    [Fact]
    public async Task PassedDeadline_CancelsTheJob()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        using var call = (await gateway.CreateClientAsync()).Run(
            deadline: DateTime.UtcNow.AddSeconds(3), cancellationToken: TestGateway.Cancel);
        await call.RequestStream.WriteAsync(TestModels.Run("hang", "late"), TestGateway.Cancel);

        RpcException failure = await Assert.ThrowsAsync<RpcException>(() => GrpcAssert.ReadAllAsync(call.ResponseStream));

        Assert.Equal(StatusCode.DeadlineExceeded, failure.StatusCode);
        Assert.Equal(JobState.Cancelled, (await gateway.WaitForEndAsync("late")).State);
    }

    /// <summary>At a deadline, grpc-dotnet fails a write before it cancels the call, in about one of a hundred calls.</summary>
    [Fact]
    public async Task DeadlineInTheMiddleOfAWrite_CancelsTheJob()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(jobsInFlight: 1000));
        await using FakeWorker worker = gateway.StartWorker();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        await Parallel.ForEachAsync(Enumerable.Range(0, 150), new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (i, _) =>
        {
            using var call = client.Run(deadline: DateTime.UtcNow.AddMilliseconds(60 + i % 50), cancellationToken: TestGateway.Cancel);
            try
            {
                await call.RequestStream.WriteAsync(TestModels.Run("drip", $"drip{i}"), TestGateway.Cancel);
                await GrpcAssert.ReadAllAsync(call.ResponseStream);
            }
            catch (RpcException) { } // the client or the server may end the call first; the test checks the job
        });
        for (int i = 0; i < 150; i++)
            // on a busy machine the deadline may pass before the submission
            if (await gateway.FindJobAsync($"drip{i}") is not null)
                Assert.Equal(JobState.Cancelled, (await gateway.WaitForEndAsync($"drip{i}")).State);
    }

    [Fact]
    public async Task EndedRequestStream_CancelsTheJob()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        using var call = (await gateway.CreateClientAsync()).Run(cancellationToken: TestGateway.Cancel);
        await call.RequestStream.WriteAsync(TestModels.Run("hang"), TestGateway.Cancel);
        await UntilRunningAsync(call.ResponseStream);

        await call.RequestStream.CompleteAsync();

        Assert.Equal(JobState.Cancelled, (await GrpcAssert.ReadAllAsync(call.ResponseStream))[^1].State.State);
    }

    [Fact]
    public async Task Detached_JobOutlivesItsStream()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        using (var call = client.Run(cancellationToken: TestGateway.Cancel))
        {
            await call.RequestStream.WriteAsync(TestModels.Run("echo", "kept"), TestGateway.Cancel);
            Assert.True(await call.ResponseStream.MoveNext(TestGateway.Cancel));
            await call.RequestStream.WriteAsync(new RunRequest { Detach = new Nothing() }, TestGateway.Cancel);
            await call.RequestStream.CompleteAsync();
            Assert.True(await call.ResponseStream.MoveNext(TestGateway.Cancel)); // QUEUED is still sent
            await gateway.Log.WaitForAsync("goes on without its client");
        }
        await gateway.Log.WaitForAsync("/ndif.v1.Inference/Run answered");

        await using FakeWorker worker = gateway.StartWorker(); // only now
        Assert.Equal(JobState.Completed, (await gateway.WaitForEndAsync("kept")).State);
    }

    [Fact]
    public async Task StoppedGateway_LeavesTheJob_AndSaysToWatch()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        using var call = (await gateway.CreateClientAsync()).Run(cancellationToken: TestGateway.Cancel);
        await call.RequestStream.WriteAsync(TestModels.Run("echo", "survivor"), TestGateway.Cancel);
        Assert.True(await call.ResponseStream.MoveNext(TestGateway.Cancel));

        Task stopping = gateway.App.StopAsync(TestGateway.Cancel);
        Error error = await GrpcAssert.FailsAsync(StatusCode.Unavailable, () => GrpcAssert.ReadAllAsync(call.ResponseStream));
        await stopping;

        Assert.True(error.Retryable);
        Assert.Contains("Watch", error.Hint, StringComparison.Ordinal);
        Assert.Equal(JobState.Queued, (await gateway.FindJobAsync("survivor"))!.State);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task FirstMessage_MustBeTheSubmission(bool ends)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        using var call = (await gateway.CreateClientAsync()).Run(cancellationToken: TestGateway.Cancel);
        if (ends) await call.RequestStream.CompleteAsync();
        else await call.RequestStream.WriteAsync(new RunRequest { Cancel = new Nothing() }, TestGateway.Cancel);

        Error error = await GrpcAssert.FailsAsync(StatusCode.InvalidArgument, () => GrpcAssert.ReadAllAsync(call.ResponseStream));

        Assert.Equal(ErrorCode.InvalidProgram, error.Code);
    }

    [Fact]
    public async Task SecondSubmission_FailsTheCall_AndCancelsTheJob()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        using var call = (await gateway.CreateClientAsync()).Run(cancellationToken: TestGateway.Cancel);
        await call.RequestStream.WriteAsync(TestModels.Run("echo", "first"), TestGateway.Cancel);
        await call.RequestStream.WriteAsync(TestModels.Run("echo", "second"), TestGateway.Cancel);

        Error error = await GrpcAssert.FailsAsync(StatusCode.InvalidArgument, () => GrpcAssert.ReadAllAsync(call.ResponseStream));

        Assert.Contains("one `submit`", error.Message, StringComparison.Ordinal);
        Assert.Equal(JobState.Cancelled, (await gateway.WaitForEndAsync("first")).State);
    }

    [Fact]
    public async Task SlowReader_StopsTheGatewayFromSending_AndLosesNothing()
    {
        const int Lines = 200, Length = 262_147;
        int sent = 0;
        using var listener = new MeterListener { InstrumentPublished = (instrument, l) =>
            { if (instrument == Telemetry.EventBytes) l.EnableMeasurementEvents(instrument); } };
        listener.SetMeasurementEventCallback<long>(
            (_, bytes, _, _) => { if (bytes is > Length and < Length + 100) Interlocked.Increment(ref sent); });
        listener.Start();
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        using var call = (await gateway.CreateClientAsync()).Run(cancellationToken: TestGateway.Cancel);
        await call.RequestStream.WriteAsync(TestModels.Run($"flood {Lines} {Length}", "flood"), TestGateway.Cancel);
        Assert.True(await call.ResponseStream.MoveNext(TestGateway.Cancel));

        await gateway.WaitForEndAsync("flood"); // the worker has finished, and the client has read one event

        Assert.InRange(Volatile.Read(ref sent), 0, Lines / 2);
        Assert.Equal(Lines, (await GrpcAssert.ReadAllAsync(call.ResponseStream)).Count(e => e.Log is not null));
    }

    private static async Task UntilRunningAsync(IAsyncStreamReader<Event> events)
    {
        while (await events.MoveNext(TestGateway.Cancel))
            if (events.Current.State?.State == JobState.Running) return;
        Assert.Fail("The job never ran.");
    }
}
