using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.OpenAi;

/// <summary>
/// A client may read a completion slowly, however large a choice is, and is disconnected when it reads nothing for some time.
/// </summary>
public sealed class SlowCompletionReaderTests
{
    private const int Top = 20;

    private static readonly TimeSpan _timeout = TimeSpan.FromSeconds(1.5);

    /// <summary>A text of which a part ends in the middle of a character.</summary>
    private static readonly string _prompt =
        new string('x', (16 << 10) - 1) + "𝄞" + string.Concat(Enumerable.Repeat("a word. ", 4000));

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task AClientThatReadsSlowly_ReceivesTheWholeChoice(bool stream)
    {
        await using TestGateway gateway = await TestGateway.StartAsync(CreateOptions());
        using HttpClient http = CreateHttpClient();
        using HttpResponseMessage response = await ScoreAsync(gateway, http, stream);
        string body = Encoding.UTF8.GetString(await ReadToEndAsync(response, _timeout / 5));
        if (stream) body = body["data: ".Length..body.IndexOf("\n\n", StringComparison.Ordinal)];
        JsonElement choice = JsonDocument.Parse(body).RootElement.GetProperty("choices")[0];
        Assert.Equal(_prompt, choice.GetProperty("text").GetString());
        JsonElement[] likely = [.. choice.GetProperty("logprobs").GetProperty("top_logprobs").EnumerateArray()];
        Assert.Equal(Encoding.UTF8.GetByteCount(_prompt), likely.Length);
        Assert.All(likely.Skip(1), each => Assert.InRange(each.GetPropertyCount(), Top, Top + 1)); // with the token itself
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task AClientThatStopsReading_IsDisconnected(bool stream)
    {
        await using TestGateway gateway = await TestGateway.StartAsync(CreateOptions());
        using HttpClient http = CreateHttpClient();
        using HttpResponseMessage response = await ScoreAsync(gateway, http, stream);
        await Task.Delay(4 * _timeout, TestGateway.Cancel);
        await Assert.ThrowsAnyAsync<IOException>(() => ReadToEndAsync(response, TimeSpan.Zero));
    }

    private static GatewayOptions CreateOptions() => new()
    {
        GrpcPort = 0, HttpPort = 0, StalledReaderTimeout = _timeout, Tiers = TestGateway.CreateOptions().Tiers,
    };

    /// <summary>A client with connections of a small receive buffer.</summary>
    private static HttpClient CreateHttpClient() => new(new SocketsHttpHandler
    {
        ConnectCallback = async (context, cancel) =>
        {
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 64 << 10 };
            await socket.ConnectAsync(context.DnsEndPoint, cancel);
            return new NetworkStream(socket, ownsSocket: true);
        },
    });

    /// <summary>Requests the log probabilities of a prompt, which are one choice of about 25 MB.</summary>
    private static async Task<HttpResponseMessage> ScoreAsync(TestGateway gateway, HttpClient http, bool stream)
    {
        CompletionClient client = await CompletionClient.CreateAsync(gateway);
        Task<HttpResponseMessage> response = client.PostAsync(http, new()
        {
            ["prompt"] = _prompt, ["max_tokens"] = 0, ["echo"] = true, ["logprobs"] = Top, ["stream"] = stream,
        });
        CompletionLease job = await client.LeaseAsync();
        await job.PublishPromptAsync(Encoding.UTF8.GetByteCount(_prompt), Top);
        await job.CompleteAsync();
        return await response;
    }

    /// <summary>Reads the body. A pause follows every two megabytes.</summary>
    private static async Task<byte[]> ReadToEndAsync(HttpResponseMessage response, TimeSpan pause)
    {
        await using Stream body = await response.Content.ReadAsStreamAsync(TestGateway.Cancel);
        using var received = new MemoryStream();
        byte[] buffer = new byte[64 << 10];
        while (await body.ReadAsync(buffer, TestGateway.Cancel) is var read and > 0)
        {
            if ((received.Length + read) >> 21 != received.Length >> 21) await Task.Delay(pause, TestGateway.Cancel);
            received.Write(buffer, 0, read);
        }
        return received.ToArray();
    }
}
