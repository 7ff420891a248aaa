using System.Buffers.Binary;
using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Security;

/// <summary>
/// Messages that are small to send and large in memory are refused before they are allocated. The tests run alone, because they measure
/// the memory of the process.
/// </summary>
[CollectionDefinition(nameof(OversizedMessageTests), DisableParallelization = true), Collection(nameof(OversizedMessageTests))]
public sealed class OversizedMessageTests
{
    private const int UncompressedBytes = 1 << 30;

    [Theory]
    [InlineData("Submit")]
    [InlineData("Run")]
    [InlineData("PutBlob")]
    [InlineData("GetJob")]
    public async Task AMessageThatExpandsAThousandfold_IsRefused_WithoutBeingUnpacked(string method)
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(messageBytes: 1 << 20));
        var packed = new MemoryStream();
        await using (var gzip = new GZipStream(packed, CompressionLevel.Optimal, leaveOpen: true))
        {
            byte[] zeros = new byte[1 << 20];
            for (int i = 0; i < UncompressedBytes / zeros.Length; i++) await gzip.WriteAsync(zeros, TestGateway.Cancel);
        }
        Assert.InRange(packed.Length, 1, UncompressedBytes / 900);
        string status = await AllocatingAtMostAsync(
            64 << 20, () => PostAsync(gateway, method, [1, .. EncodeLength((int)packed.Length), .. packed.ToArray()]));
        Assert.Equal("8", status); // RESOURCE_EXHAUSTED
    }

    [Theory]
    [InlineData("Submit")]
    [InlineData("Run")]
    [InlineData("PutBlob")]
    public async Task AMessageThatSaysItHasAGigabyte_IsRefused_BeforeItsFirstByte(string method)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        string status = await AllocatingAtMostAsync(16 << 20, () => PostAsync(gateway, method, [0, .. EncodeLength(1 << 30), 1, 2, 3]));
        Assert.Equal("8", status);
    }

    [Fact]
    public async Task AGigabyteThatReallyComes_IsNotHeldEither()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(blobBytes: 1 << 20));
        string key = (await gateway.CreateKeyAsync()).Key.Reveal();
        using HttpClient http = gateway.CreateHttpClient(key);
        HttpStatusCode? status = await AllocatingAtMostAsync(64 << 20, async () =>
        {
            try
            {
                using HttpResponseMessage answer = await http.PutAsync(
                    new Uri($"/v1/blobs/{new string('a', 64)}", UriKind.Relative), new ZeroContent(1L << 30), TestGateway.Cancel);
                return (HttpStatusCode?)answer.StatusCode;
            }
            catch (HttpRequestException)
            {
                return null; // disconnected while sending: the response may be lost with the connection
            }
        });
        Assert.True(status is null || (int)status is 413 or 429, $"{status}");
        Assert.Empty(Directory.GetFiles(Path.Combine(gateway.Folder, "blobs"), "*", SearchOption.AllDirectories));
    }

    private static async Task<T> AllocatingAtMostAsync<T>(long bytes, Func<Task<T>> act)
    {
        long before = GC.GetTotalAllocatedBytes(precise: true);
        T result = await act();
        Assert.InRange(GC.GetTotalAllocatedBytes(precise: true) - before, 0, bytes);
        return result;
    }

    private static byte[] EncodeLength(int length)
    {
        byte[] bytes = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(bytes, length);
        return bytes;
    }

    private static async Task<string> PostAsync(TestGateway gateway, string method, byte[] body)
    {
        using var client = new HttpClient { BaseAddress = gateway.Address.Grpc };
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/ndif.v1.Inference/{method}")
        {
            Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact, Content = new ByteArrayContent(body),
        };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", (await gateway.CreateKeyAsync()).Key.Reveal());
        request.Headers.TryAddWithoutValidation("TE", "trailers");
        request.Headers.TryAddWithoutValidation("grpc-encoding", "gzip");
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/grpc");
        using HttpResponseMessage response = await client.SendAsync(request, TestGateway.Cancel);
        await response.Content.LoadIntoBufferAsync(TestGateway.Cancel);
        return response.Headers.TryGetValues("grpc-status", out IEnumerable<string>? status)
            || response.TrailingHeaders.TryGetValues("grpc-status", out status) ? status.First() : "none";
    }

    /// <summary>A stream of any number of zeros from one buffer.</summary>
    private sealed class ZeroContent(long length) : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            byte[] zeros = new byte[64 << 10];
            try
            {
                for (long sent = 0; sent < length; sent += zeros.Length) await stream.WriteAsync(zeros);
            }
            catch (Exception e) when (e is IOException or HttpRequestException)
            {
                // refused while sending, as expected
            }
        }

        protected override bool TryComputeLength(out long computed)
        {
            computed = length;
            return false;
        }
    }
}
