using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using Google.Protobuf;
using Grpc.Core;
using Ndif.Protocol;

namespace Ndif.Server.Tests;

/// <summary>Clients that hold a connection and send next to nothing (slow loris): cut off, while others are served.</summary>
public sealed class SlowClientTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(1.5);

    [Theory]
    [InlineData("")]
    [InlineData("GET /status HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")]
    public async Task HeadersThatNeverEnd_AreCutOff(string begin)
    {
        await using TestGateway gateway = await StartAsync();
        using var raw = new TcpClient();
        await raw.ConnectAsync(IPAddress.Loopback, gateway.Address.Http.Port, TestGateway.Cancel);
        NetworkStream stream = raw.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes("G"), TestGateway.Cancel); // from the first byte on it is a request
        await stream.WriteAsync(Encoding.ASCII.GetBytes(begin.Length > 0 ? begin[1..] : ""), TestGateway.Cancel);
        Task<string> answer = new StreamReader(stream).ReadToEndAsync(TestGateway.Cancel);
        await ServedMeanwhileAsync(gateway, answer);
        Assert.True(await answer is "" or ['H', 'T', 'T', 'P', '/', '1', '.', '1', ' ', '4', '0', '8', ..]);
    }

    [Fact]
    public async Task ABodyThatTrickles_IsCutOff_AndNothingOfItStays()
    {
        await using TestGateway gateway = await StartAsync();
        string key = (await gateway.KeyAsync()).Key.Reveal();
        using var raw = new TcpClient();
        await raw.ConnectAsync(IPAddress.Loopback, gateway.Address.Http.Port, TestGateway.Cancel);
        NetworkStream stream = raw.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"PUT /v1/blobs/{new string('a', 64)} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Length: 1000000\r\n\r\n0123"), TestGateway.Cancel);
        Task<string> answer = new StreamReader(stream).ReadToEndAsync(TestGateway.Cancel);
        await ServedMeanwhileAsync(gateway, answer);
        Assert.Matches("^HTTP/1.1 (408|503) ", await answer);
        Assert.Empty(Directory.GetFiles(Path.Combine(gateway.Folder, "blobs"), "*", SearchOption.AllDirectories));
    }

    [Fact]
    public async Task AMessageThatTrickles_IsCutOff_OverHttp2()
    {
        await using TestGateway gateway = await StartAsync();
        using var client = new HttpClient { BaseAddress = gateway.Address.Grpc };
        using var request = new HttpRequestMessage(HttpMethod.Post, "/ndif.v1.Inference/Submit")
        {
            Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact, Content = new Never([0, 0, 0, 1, 0, 1, 2, 3]),
        };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", (await gateway.KeyAsync()).Key.Reveal());
        request.Headers.TryAddWithoutValidation("TE", "trailers");
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/grpc");
        Task<string> answer = AnswerAsync();
        await ServedMeanwhileAsync(gateway, answer);
        Assert.NotEqual("0", await answer);

        async Task<string> AnswerAsync()
        {
            try
            {
                using HttpResponseMessage response = await client.SendAsync(request, TestGateway.Cancel);
                return response.Headers.TryGetValues("grpc-status", out IEnumerable<string>? status) ? status.First() : "broken off";
            }
            catch (HttpRequestException)
            {
                return "broken off";
            }
        }
    }

    [Fact]
    public async Task ARunThatSubmitsNothing_IsEnded_WithATypedError()
    {
        await using TestGateway gateway = await StartAsync();
        using var run = (await gateway.ClientAsync()).Run(cancellationToken: TestGateway.Cancel);
        Task<Error> answer = Expect.FailureAsync(StatusCode.Unavailable, async () => await run.ResponseStream.MoveNext(TestGateway.Cancel));
        await ServedMeanwhileAsync(gateway, answer);
        Assert.StartsWith("Nothing came from the client for 1.5 s", (await answer).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnUploadThatStandsStill_IsEnded_WithATypedError_AndNothingOfItStays()
    {
        await using TestGateway gateway = await StartAsync();
        using var put = (await gateway.ClientAsync()).PutBlob(cancellationToken: TestGateway.Cancel);
        await put.RequestStream.WriteAsync(new BlobChunk { Data = ByteString.CopyFrom(new byte[1000]) }, TestGateway.Cancel);
        Task<Error> answer = Expect.FailureAsync(StatusCode.Unavailable, async () => await put);
        await ServedMeanwhileAsync(gateway, answer);
        Assert.True((await answer).Retryable);
        Assert.Empty(Directory.GetFiles(Path.Combine(gateway.Folder, "blobs"), "*", SearchOption.AllDirectories));
    }

    [Fact]
    public async Task ManySlowClients_DoNotKeepOthersWaiting()
    {
        await using TestGateway gateway = await StartAsync(TimeSpan.FromSeconds(30));
        List<TcpClient> slow = [];
        try
        {
            for (int i = 0; i < 300; i++)
            {
                var one = new TcpClient();
                slow.Add(one);
                await one.ConnectAsync(IPAddress.Loopback, (i % 2 == 0 ? gateway.Address.Http : gateway.Address.Grpc).Port, TestGateway.Cancel);
                await one.GetStream().WriteAsync(Encoding.ASCII.GetBytes(i % 2 == 0 ? "PUT /v1/blobs/x HTTP/1.1\r\nHost: " : "PRI * HTTP/2.0\r\n\r\nSM"), TestGateway.Cancel);
            }
            await using FakeWorker worker = gateway.Work();
            Inference.InferenceClient client = await gateway.ClientAsync();
            for (int i = 0; i < 20; i++)
            {
                using var run = client.Run(cancellationToken: TestGateway.Cancel);
                await run.RequestStream.WriteAsync(TestModels.Run("echo"), TestGateway.Cancel);
                Assert.Equal(JobState.Completed, Expect.States(await Expect.AllAsync(run.ResponseStream))[^1]);
            }
        }
        finally
        {
            foreach (TcpClient one in slow) one.Dispose();
        }
    }

    [Fact]
    public async Task AClientThatIsSilentWhileItsJobRuns_IsNotSlow()
    {
        await using TestGateway gateway = await StartAsync();
        await using FakeWorker worker = gateway.Work();
        using var run = (await gateway.ClientAsync()).Run(cancellationToken: TestGateway.Cancel);
        await run.RequestStream.WriteAsync(TestModels.Run("hang", "quiet"), TestGateway.Cancel);
        await gateway.Lines.WaitForAsync("Job quiet");
        await Task.Delay(s_patience * 2, TestGateway.Cancel);
        Assert.NotEqual(JobState.Cancelled, (await gateway.Backend.Jobs.GetAsync("quiet", TestGateway.Cancel))!.State);
        await run.RequestStream.WriteAsync(new RunRequest { Cancel = new Nothing() }, TestGateway.Cancel);
        Assert.Equal(JobState.Cancelled, Expect.States(await Expect.AllAsync(run.ResponseStream))[^1]);
    }

    private static Task<TestGateway> StartAsync(TimeSpan? patience = null) =>
        TestGateway.StartAsync(new GatewayOptions { GrpcPort = 0, HttpPort = 0, RequestPatience = patience ?? s_patience });

    /// <summary>The slow one is cut off in time, and until then another is served again and again.</summary>
    private static async Task ServedMeanwhileAsync(TestGateway gateway, Task cut)
    {
        Inference.InferenceClient client = await gateway.ClientAsync();
        long began = Stopwatch.GetTimestamp();
        while (!cut.IsCompleted)
        {
            await client.ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel);
            Assert.True(Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(15), "It was not cut off.");
            await Task.Delay(50, TestGateway.Cancel);
        }
        Assert.True(Stopwatch.GetElapsedTime(began) > s_patience / 2, "It was cut off at once.");
    }

    /// <summary>Some bytes, and then nothing.</summary>
    private sealed class Never(byte[] first) : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.WriteAsync(first);
            await stream.FlushAsync();
            await Task.Delay(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
