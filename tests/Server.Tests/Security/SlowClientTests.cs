using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using Google.Protobuf;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Security;

/// <summary>Clients that keep a connection open and send almost nothing (slow loris) are disconnected, while others are served.</summary>
public sealed class SlowClientTests
{
    private static readonly TimeSpan _requestTimeout = TimeSpan.FromSeconds(1.5);

    [Theory]
    [InlineData("")]
    [InlineData("GET /status HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")]
    public async Task HeadersThatNeverEnd_AreCutOff(string begin)
    {
        await using TestGateway gateway = await StartAsync();
        using var raw = new TcpClient();
        await raw.ConnectAsync(IPAddress.Loopback, gateway.Address.Http.Port, TestGateway.Cancel);
        NetworkStream stream = raw.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes("G"), TestGateway.Cancel); // the request begins with the first byte
        await stream.WriteAsync(Encoding.ASCII.GetBytes(begin.Length > 0 ? begin[1..] : ""), TestGateway.Cancel);
        Task<string> answer = new StreamReader(stream).ReadToEndAsync(TestGateway.Cancel);
        await AssertOthersServedUntilAsync(gateway, answer);
        Assert.True(await answer is "" or ['H', 'T', 'T', 'P', '/', '1', '.', '1', ' ', '4', '0', '8', ..]);
    }

    [Fact]
    public async Task ABodyThatTrickles_IsCutOff_AndNothingOfItStays()
    {
        await using TestGateway gateway = await StartAsync();
        string key = (await gateway.CreateKeyAsync()).Key.Reveal();
        using var raw = new TcpClient();
        await raw.ConnectAsync(IPAddress.Loopback, gateway.Address.Http.Port, TestGateway.Cancel);
        NetworkStream stream = raw.GetStream();
        await stream.WriteAsync(
            Encoding.ASCII.GetBytes(
            $"PUT /v1/blobs/{new string('a', 64)} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
            + "Content-Length: 1000000\r\n\r\n0123"), TestGateway.Cancel);
        Task<string> answer = new StreamReader(stream).ReadToEndAsync(TestGateway.Cancel);
        await AssertOthersServedUntilAsync(gateway, answer);
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
            Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact, Content = new StalledContent(
                [0, 0, 0, 1, 0, 1, 2, 3]),
        };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", (await gateway.CreateKeyAsync()).Key.Reveal());
        request.Headers.TryAddWithoutValidation("TE", "trailers");
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/grpc");
        Task<string> answer = AnswerAsync();
        await AssertOthersServedUntilAsync(gateway, answer);
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
        using var run = (await gateway.CreateClientAsync()).Run(cancellationToken: TestGateway.Cancel);
        Task<Error> answer = GrpcAssert.FailsAsync(
            StatusCode.Unavailable, async () => await run.ResponseStream.MoveNext(TestGateway.Cancel));
        await AssertOthersServedUntilAsync(gateway, answer);
        Assert.StartsWith("Nothing came from the client for 1.5 s", (await answer).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnUploadThatStandsStill_IsEnded_WithATypedError_AndNothingOfItStays()
    {
        await using TestGateway gateway = await StartAsync();
        using var put = (await gateway.CreateClientAsync()).PutBlob(cancellationToken: TestGateway.Cancel);
        await put.RequestStream.WriteAsync(new BlobChunk { Data = ByteString.CopyFrom(new byte[1000]) }, TestGateway.Cancel);
        Task<Error> answer = GrpcAssert.FailsAsync(StatusCode.Unavailable, async () => await put);
        await AssertOthersServedUntilAsync(gateway, answer);
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
                await one.ConnectAsync(
                    IPAddress.Loopback, (i % 2 == 0 ? gateway.Address.Http : gateway.Address.Grpc).Port, TestGateway.Cancel);
                await one.GetStream().WriteAsync(Encoding.ASCII.GetBytes(
                    i % 2 == 0 ? "PUT /v1/blobs/x HTTP/1.1\r\nHost: " : "PRI * HTTP/2.0\r\n\r\nSM"), TestGateway.Cancel);
            }
            await using FakeWorker worker = gateway.StartWorker();
            Inference.InferenceClient client = await gateway.CreateClientAsync();
            for (int i = 0; i < 20; i++)
            {
                using var run = client.Run(cancellationToken: TestGateway.Cancel);
                await run.RequestStream.WriteAsync(TestModels.Run("echo"), TestGateway.Cancel);
                Assert.Equal(JobState.Completed, GrpcAssert.GetStates(await GrpcAssert.ReadAllAsync(run.ResponseStream))[^1]);
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
        await using FakeWorker worker = gateway.StartWorker();
        using var run = (await gateway.CreateClientAsync()).Run(cancellationToken: TestGateway.Cancel);
        await run.RequestStream.WriteAsync(TestModels.Run("hang", "quiet"), TestGateway.Cancel);
        await gateway.Log.WaitForAsync("Job quiet");
        await Task.Delay(_requestTimeout * 2, TestGateway.Cancel);
        Assert.NotEqual(JobState.Cancelled, (await gateway.FindJobAsync("quiet"))!.State);
        await run.RequestStream.WriteAsync(new RunRequest { Cancel = new Nothing() }, TestGateway.Cancel);
        Assert.Equal(JobState.Cancelled, GrpcAssert.GetStates(await GrpcAssert.ReadAllAsync(run.ResponseStream))[^1]);
    }

    private static Task<TestGateway> StartAsync(TimeSpan? requestTimeout = null) =>
        TestGateway.StartAsync(new GatewayOptions { GrpcPort = 0, HttpPort = 0, RequestTimeout = requestTimeout ?? _requestTimeout });

    /// <summary>The slow client is disconnected in time, and other clients are served until then.</summary>
    private static async Task AssertOthersServedUntilAsync(TestGateway gateway, Task disconnected)
    {
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        long began = Stopwatch.GetTimestamp();
        while (!disconnected.IsCompleted)
        {
            await client.ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel);
            Assert.True(Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(15), "It was not cut off.");
            await Task.Delay(50, TestGateway.Cancel);
        }
        Assert.True(Stopwatch.GetElapsedTime(began) > _requestTimeout / 2, "It was cut off at once.");
    }

    /// <summary>A content that sends some bytes and then stalls.</summary>
    private sealed class StalledContent(byte[] first) : HttpContent
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
