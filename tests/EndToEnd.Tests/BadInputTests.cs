using System.Buffers.Binary;
using System.Net;
using System.Net.Http.Headers;
using Grpc.Core;
using Ndif.Engine.Local;
using Ndif.Protocol;
using Ndif.Running;

namespace Ndif.EndToEnd.Tests;

public sealed class BadInputTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    private const string Trailer = "ndif-error-bin";

    [Theory]
    [InlineData("late", nameof(OutOfOrderException))]
    [InlineData("shape", nameof(ShapeMismatchException))]
    [InlineData("index", nameof(IndexOutOfRangeException))]
    [InlineData("missed", nameof(MissedValueException))]
    [InlineData("tokens", nameof(NdifException))]
    [InlineData("poison", nameof(ShapeMismatchException))]
    public async Task AFailingExperiment_ThrowsTheSame_HereAndThere(string experiment, string type)
    {
        string[] before = [.. Cluster.Workers.Keys.Order()];
        await using ChildProcess client = Cluster.StartClient(Cluster.Key, "run", experiment);
        Exception here = await Assert.ThrowsAnyAsync<Exception>(() => RunLocallyAsync(experiment));
        ClientMessage there = await client.GetErrorAsync();
        Assert.Equal(type, here.GetType().Name);
        Assert.Equal(type, there.Name);
        Assert.Equal(here.Message, there.Text);
        Assert.Matches(@"\n  at (Experiments|Recorded)\.cs:\d+ in \w+\n", there.Text);
        await AssertServiceHealthyAsync(before);
    }

    [Fact]
    public async Task AnErrorOfATrace_NamesTheLineThatRanIt_NotOneThatRanAnother()
    {
        await RunLocallyAsync("prompt:0");
        var llm = new LanguageModel(Experiments.Model);
        using Trace trace = llm.Trace(Enumerable.Repeat(1_000_000, 3).ToArray());
        llm.LmHead.Output.Save();
        NdifException error = await Assert.ThrowsAsync<NdifException>(() => trace.RunAsync(Cancel));
        Assert.Contains("at BadInputTests.cs:", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnUnknownModuleOrOperation_IsRefusedBeforeItIsQueued_WithTheNearestNames()
    {
        await AssertSameRefusalAsync(program => program.Nodes.First(node => node.Read is not null).Read.Site.Module = "transformer.h.1.mpl",
            "no module `transformer.h.1.mpl`", "`mlp`");
        await AssertSameRefusalAsync(program => program.Nodes.First(node => node.Call is not null).Call.Op = "softmx",
            "There is no operation `softmx`", "`softmax`");
    }

    [Fact]
    public async Task AProgramThatIsNotOne_IsRefusedWithASentence()
    {
        await AssertSameRefusalAsync(program => program.Nodes.First(node => node.Save is not null).Save.Value = new Argument { Node = 999 },
            "before it is defined");
        await AssertSameRefusalAsync(program => program.Regions[1].Nodes.Add(7777), "holds node 7777");
        await AssertSameRefusalAsync(program => program.Version = 99, "format version 99");
    }

    [Fact]
    public async Task AModelThatIsNotServed_IsNamed_WithTheNearestThatIs()
    {
        var failure =
            await Assert.ThrowsAsync<NdifException>(async () => Experiments.Record("states", Cluster.Remote, "ndif/tiny-landmark"));
        Assert.Equal(ErrorCode.UnknownModel, failure.Code);
        Assert.Contains($"Did you mean `{Experiments.Model}`?", failure.Message, StringComparison.Ordinal);
        Assert.Equal(ErrorCode.UnknownModel,
            (await Assert.ThrowsAsync<NdifException>(async () => Experiments.Record("states", Backend.Local, "ndif/tiny-landmark"))).Code);
    }

    [Fact]
    public async Task BytesThatAreNoMessage_AreRefusedWithATypedError()
    {
        using var http = new HttpClient();
        foreach (string method in (string[])["Submit", "Run"])
        {
            byte[] frame = [0, 0, 0, 0, 0, .. Enumerable.Repeat((byte)0xff, 100)];
            BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(1), 100);
            using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(Cluster.Grpc, $"/ndif.v1.Inference/{method}"))
            {
                Content = new ByteArrayContent(frame),
                Version = HttpVersion.Version20,
                VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            };
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/grpc");
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", Cluster.Key);
            request.Headers.TE.Add(new TransferCodingWithQualityHeaderValue("trailers"));
            using HttpResponseMessage response = await http.SendAsync(request, Cancel);
            await response.Content.ReadAsByteArrayAsync(Cancel);
            string error = response.Headers.TryGetValues(Trailer, out var values)
                || response.TrailingHeaders.TryGetValues(Trailer, out values) ? values.Single() : "";
            Assert.True(error.Length > 0, $"{method}: {response}");
            Assert.Equal(ErrorCode.BadArgument,
                Error.Parser.ParseFrom(Convert.FromBase64String(error.PadRight((error.Length + 3) / 4 * 4, '='))).Code);
        }
        await AssertServiceHealthyAsync([.. Cluster.Workers.Keys.Order()]);
    }

    [Fact]
    public async Task AMessageThatIsTooLarge_IsRefusedWithTheLimit()
    {
        Program program = RecordProgram("edit");
        program.Lines[0].File = new string('x', 5 << 20);
        Exception submit =
            await GetRefusalAsync(async () =>
                await RawClient.SubmitAsync(new SubmitRequest { Program = program }, KeyMetadata, cancellationToken: Cancel));
        Exception run = await GetRefusalAsync(async () =>
        {
            using AsyncDuplexStreamingCall<RunRequest, Event> call = RawClient.Run(KeyMetadata, cancellationToken: Cancel);
            try
            {
                await call.RequestStream.WriteAsync(new RunRequest { Submit = new SubmitRequest { Program = program } }, Cancel);
            }
            catch (RpcException)
            {
                // the gateway can refuse the message before it is sent completely; the response has the reason
            }
            await call.ResponseStream.MoveNext(Cancel);
        });
        foreach (Exception refusal in (Exception[])[submit, run])
        {
            Assert.Equal(ErrorCode.LimitExceeded, Assert.IsType<BadProgramException>(refusal).Code);
            Assert.Contains("4,194,304 bytes", refusal.Message, StringComparison.Ordinal);
        }
        await AssertServiceHealthyAsync([.. Cluster.Workers.Keys.Order()]);
    }

    /// <summary>
    /// Asserts that this process and the gateway refuse a changed program with the same exception, whose message has the expected texts.
    /// </summary>
    private async Task AssertSameRefusalAsync(Action<Program> change, params string[] expectedTexts)
    {
        Program program = RecordProgram("edit");
        change(program);
        Exception here =
            await Assert.ThrowsAnyAsync<Exception>(() => new EngineRuntime().Open(new LocalModel(Experiments.Model))
                .RunAsync(program, new NullRunClient(), Cancel));
        Exception there =
            await GetRefusalAsync(async () =>
                await RawClient.SubmitAsync(new SubmitRequest { Program = program }, KeyMetadata, cancellationToken: Cancel));
        Assert.Equal(here.GetType(), there.GetType());
        Assert.Equal(here.Message, there.Message);
        Assert.All(expectedTexts, text => Assert.Contains(text, there.Message, StringComparison.Ordinal));
    }

    private static Program RecordProgram(string experiment)
    {
        using RecordedExperiment recorded = Experiments.Record(experiment, Backend.Local);
        return recorded.Trace.ToProgram();
    }

    private static async Task<Exception> GetRefusalAsync(Func<Task> call)
    {
        RpcException status = await Assert.ThrowsAsync<RpcException>(call);
        byte[]? error = status.Trailers.GetValueBytes(Trailer);
        Assert.True(error is not null, $"an untyped status: {status.Status}");
        return Errors.ToException(Error.Parser.ParseFrom(error));
    }

    /// <summary>Asserts that the same worker processes as before run a valid job.</summary>
    private async Task AssertServiceHealthyAsync(string[] before)
    {
        Assert.Equal(await RunLocallyAsync("prompt:0"), await RunRemotelyAsync("prompt:0"));
        Assert.All(Cluster.Workers.Values, worker => Assert.True(worker.IsAlive, worker.FormatOutput()));
        Assert.Equal(before, Cluster.Workers.Keys.Order());
    }

    private sealed class NullRunClient : IRunClient
    {
        public void OnEvent(Event jobEvent)
        {
            // the tests check only the exception
        }

        public ValueTask<LocalReply> AnswerAsync(LocalRequest request, CancellationToken cancellationToken) =>
            throw new NotSupportedException();
    }
}
