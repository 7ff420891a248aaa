using System.Buffers.Binary;
using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using Google.Protobuf;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Server.Grpc;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Grpc;

/// <summary>Requests with bytes that a regular client does not send.</summary>
public sealed class MalformedRequestMiddlewareTests
{
    [Theory]
    [InlineData("Submit")]
    [InlineData("GetJob")]
    [InlineData("Watch")]
    [InlineData("Run")]
    [InlineData("PutBlob")]
    public async Task NotProtobuf_IsATypedError(string method)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        (StatusCode status, Error? error) = await PostAsync(gateway, method, FrameMessage([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3]));

        Assert.Equal((StatusCode.InvalidArgument, ErrorCode.BadArgument), (status, error?.Code));
    }

    [Fact]
    public async Task DeeplyNestedMessage_IsATypedError()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        byte[] data = [];
        for (int i = 0; i < 300; i++) data = EncodeField(7, EncodeField(1, data)); // Data.list.items[0].list.items[0]…
        byte[] local = EncodeField(2, EncodeField(2, data));                       // RunRequest.local.value

        (StatusCode status, Error? error) = await PostAsync(
            gateway, "Run", FrameMessage(TestModels.Run("hang").ToByteArray()), FrameMessage(local));

        Assert.Equal((StatusCode.InvalidArgument, ErrorCode.BadArgument), (status, error?.Code));
    }

    [Theory]
    [InlineData("Submit")]
    [InlineData("Run")]
    public async Task OversizedMessage_IsATypedError_NamingTheLimit(string method)
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(messageBytes: 100_000));
        (StatusCode status, Error? error) = await PostAsync(gateway, method, FrameMessage(new byte[200_000]));

        Assert.Equal((StatusCode.ResourceExhausted, ErrorCode.LimitExceeded), (status, error?.Code));
        Assert.Contains("100,000 bytes", error!.Message, StringComparison.Ordinal);
        Assert.Contains("blobs", error.Hint, StringComparison.Ordinal);
    }

    [Fact]
    public async Task OversizedMessage_OfAnOrdinaryClient_IsTheSame()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(messageBytes: 100_000));
        SubmitRequest request = TestModels.Submit("echo");
        request.Program.Constants.Add(
            new Tensor { Dtype = DataType.Uint8, Shape = { 200_000 }, Inline = ByteString.CopyFrom(new byte[200_000]) });
        Inference.InferenceClient client = await gateway.CreateClientAsync();

        Error error = await GrpcAssert.FailsAsync(
            StatusCode.ResourceExhausted, async () => await client.SubmitAsync(request, cancellationToken: TestGateway.Cancel));

        Assert.Equal(ErrorCode.LimitExceeded, error.Code);
    }

    [Theory]
    [InlineData("Submit")]
    [InlineData("Run")]
    public async Task MessageThatIsLargeOnceUnpacked_IsRefusedToo(string method)
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(messageBytes: 100_000));
        var packed = new MemoryStream();
        await using (var gzip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true)) await gzip.WriteAsync(
            new byte[5_000_000], TestGateway.Cancel);
        Assert.InRange(packed.Length, 1, 50_000);

        (StatusCode status, Error? error) = await PostAsync(gateway, method, FrameMessage(packed.ToArray(), compressed: 1));

        Assert.Equal((StatusCode.ResourceExhausted, ErrorCode.LimitExceeded), (status, error?.Code));
    }

    [Fact]
    public async Task RandomBytes_NeverHurtTheGateway()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        var random = new Random(20);
        byte[] valid = TestModels.Run("echo").ToByteArray();
        string[] methods = ["Submit", "Run", "Watch", "PutBlob", "GetBlob", "HasBlobs", "DescribeModel"];
        for (int i = 0; i < 300; i++)
        {
            byte[] bytes = i % 2 == 0 ? new byte[random.Next(200)] : [.. valid];
            if (i % 2 == 0) random.NextBytes(bytes);
            else bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
            byte[] body = i % 3 == 0 ? bytes : FrameMessage(bytes);
            await PostAsync(gateway, methods[random.Next(methods.Length)], body);
        }
        using (var raw = new TcpClient())
        {
            await raw.ConnectAsync(IPAddress.Loopback, gateway.Address.Grpc.Port, TestGateway.Cancel);
            byte[] noise = new byte[10_000];
            random.NextBytes(noise);
            await raw.GetStream().WriteAsync(noise, TestGateway.Cancel);
        }
        await (await gateway.CreateClientAsync()).ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel);
        Assert.DoesNotContain(gateway.Log.Events, line => LogCapture.GetEventId(line) == 3061); // nothing unexpected
    }

    /// <summary>Encodes a length-delimited protobuf field.</summary>
    private static byte[] EncodeField(int number, byte[] content)
    {
        var bytes = new MemoryStream();
        using (var output = new CodedOutputStream(bytes, leaveOpen: true))
        {
            output.WriteTag(number, WireFormat.WireType.LengthDelimited);
            output.WriteBytes(ByteString.CopyFrom(content));
        }
        return bytes.ToArray();
    }

    /// <summary>Encodes a message with the five-byte gRPC prefix: compression flag and length.</summary>
    private static byte[] FrameMessage(byte[] message, byte compressed = 0)
    {
        var framed = new byte[5 + message.Length];
        framed[0] = compressed;
        BinaryPrimitives.WriteInt32BigEndian(framed.AsSpan(1), message.Length);
        message.CopyTo(framed, 5);
        return framed;
    }

    /// <summary>Posts raw bytes over HTTP/2 and reads status and error from the headers or the trailers.</summary>
    private static async Task<(StatusCode Status, Error? Error)> PostAsync(TestGateway gateway, string method, params byte[][] frames)
    {
        using var client = new HttpClient { BaseAddress = gateway.Address.Grpc };
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/ndif.v1.Inference/{method}")
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent([.. frames.SelectMany(frame => frame)]),
        };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", (await gateway.CreateKeyAsync()).Key.Reveal());
        request.Headers.TryAddWithoutValidation("TE", "trailers");
        request.Headers.TryAddWithoutValidation("grpc-encoding", "gzip");
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/grpc");
        using HttpResponseMessage response = await client.SendAsync(request, TestGateway.Cancel);
        await response.Content.LoadIntoBufferAsync(TestGateway.Cancel);
        return ((StatusCode)int.Parse(Header(response, "grpc-status")!), Header(response, ErrorWireFormat.Trailer) is { } error
            ? Error.Parser.ParseFrom(Convert.FromBase64String(error.PadRight((error.Length + 3) / 4 * 4, '='))) : null);
    }

    private static string? Header(HttpResponseMessage response, string name) =>
        response.Headers.TryGetValues(name, out IEnumerable<string>? values) || response.TrailingHeaders.TryGetValues(name, out values)
            ? values.First() : null;
}
