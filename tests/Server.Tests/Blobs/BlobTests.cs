using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using Google.Protobuf;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Blobs;

/// <summary>Transfers the same blobs over gRPC and over HTTP.</summary>
public sealed class BlobTests
{
    private static readonly byte[] _bytes = RandomNumberGenerator.GetBytes(3_000_001);
    private static readonly string _id = Convert.ToHexStringLower(SHA256.HashData(_bytes));

    [Fact]
    public async Task PutOverGrpc_IsReadOverHttp_AndBack()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        string key = (await gateway.CreateKeyAsync()).Key.Reveal();
        Inference.InferenceClient client = gateway.CreateClient(key);
        HasBlobsReply before = await client.HasBlobsAsync(new HasBlobsRequest { Ids = { _id } }, cancellationToken: TestGateway.Cancel);
        BlobRef stored = await PutAsync(client, _id, _bytes);
        HasBlobsReply after = await client.HasBlobsAsync(new HasBlobsRequest { Ids = { _id } }, cancellationToken: TestGateway.Cancel);

        Assert.Equal([_id], before.Missing);
        Assert.Empty(after.Missing);
        Assert.Equal(new BlobRef { Id = _id, Length = (ulong)_bytes.Length }, stored);
        using HttpResponseMessage response = await gateway.CreateHttpClient(key).GetAsync($"/v1/blobs/{_id}", TestGateway.Cancel);
        Assert.Equal(_bytes, await response.Content.ReadAsByteArrayAsync(TestGateway.Cancel));
        Assert.Equal($"\"{_id}\"", response.Headers.ETag!.Tag);
        Assert.Equal(_bytes, await GetAsync(client, new GetBlobRequest { Id = _id }));
    }

    [Fact]
    public async Task PutOverHttp_IsReadOverGrpc_FromAnyOffset()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        string key = (await gateway.CreateKeyAsync()).Key.Reveal();
        using HttpResponseMessage put = await gateway.CreateHttpClient(key).PutAsync(
            $"/v1/blobs/{_id}", new ByteArrayContent(_bytes), TestGateway.Cancel);
        Assert.Equal(HttpStatusCode.Created, put.StatusCode);
        Assert.Equal($"{{\"id\":\"{_id}\",\"length\":{_bytes.Length}}}", await put.Content.ReadAsStringAsync(TestGateway.Cancel));

        Inference.InferenceClient client = gateway.CreateClient(key);
        Assert.Equal(_bytes[1_000_000..], await GetAsync(client, new GetBlobRequest { Id = _id, Offset = 1_000_000 }));
        Assert.Equal(_bytes[5..15], await GetAsync(client, new GetBlobRequest { Id = _id, Offset = 5, Length = 10 }));
        Assert.Empty(await GetAsync(client, new GetBlobRequest { Id = _id, Offset = (ulong)_bytes.Length }));
        Assert.Equal(_bytes[^3..],
            await GetAsync(client, new GetBlobRequest { Id = _id, Offset = (ulong)_bytes.Length - 3, Length = ulong.MaxValue }));
        await GrpcAssert.FailsAsync(
            StatusCode.OutOfRange, () => GetAsync(client, new GetBlobRequest { Id = _id, Offset = ulong.MaxValue }));
    }

    [Fact]
    public async Task Http_ServesRanges_AndNothingThatIsKnown()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        string key = (await gateway.CreateKeyAsync()).Key.Reveal();
        await PutAsync(gateway.CreateClient(key), _id, _bytes);
        HttpClient http = gateway.CreateHttpClient(key);

        using HttpResponseMessage range = await SendAsync(request => request.Headers.Range = new RangeHeaderValue(1_000_000, null));
        Assert.Equal(HttpStatusCode.PartialContent, range.StatusCode);
        Assert.Equal(_bytes[1_000_000..], await range.Content.ReadAsByteArrayAsync(TestGateway.Cancel));
        using HttpResponseMessage beyond = await SendAsync(request => request.Headers.Range = new RangeHeaderValue(99_000_000, null));
        Assert.Equal(HttpStatusCode.RequestedRangeNotSatisfiable, beyond.StatusCode);
        using HttpResponseMessage known = await SendAsync(
            request => request.Headers.IfNoneMatch.Add(new EntityTagHeaderValue($"\"{_id}\"")));
        Assert.Equal(HttpStatusCode.NotModified, known.StatusCode);
        using HttpResponseMessage head = await SendAsync(request => request.Method = HttpMethod.Head);
        Assert.Equal(_bytes.Length, head.Content.Headers.ContentLength);

        Task<HttpResponseMessage> SendAsync(Action<HttpRequestMessage> change)
        {
            var request = new HttpRequestMessage(HttpMethod.Get, $"/v1/blobs/{_id}");
            change(request);
            return http.SendAsync(request, TestGateway.Cancel);
        }
    }

    [Fact]
    public async Task WithoutAGrant_ABlobIsNotThere()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await PutAsync(await gateway.CreateClientAsync(), _id, _bytes);
        string other = (await gateway.CreateKeyAsync()).Key.Reveal();
        Inference.InferenceClient client = gateway.CreateClient(other);

        Assert.Equal(ErrorCode.UnknownBlob,
            (await GrpcAssert.FailsAsync(StatusCode.NotFound, () => GetAsync(client, new GetBlobRequest { Id = _id }))).Code);
        using (HttpResponseMessage response = await gateway.CreateHttpClient(other).GetAsync($"/v1/blobs/{_id}", TestGateway.Cancel))
            Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        Assert.Equal(
            [_id], (await client.HasBlobsAsync(new HasBlobsRequest { Ids = { _id } }, cancellationToken: TestGateway.Cancel)).Missing);

        await PutAsync(client, _id, _bytes); // a client that has the bytes may read them
        Assert.Equal(_bytes, await GetAsync(client, new GetBlobRequest { Id = _id }));
    }

    [Theory]
    [InlineData("not-a-hash")]
    [InlineData("..%2f..%2fkeys.json")]
    [InlineData("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    public async Task OddIds_AreNotFound(string id)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        string key = (await gateway.CreateKeyAsync()).Key.Reveal();
        using HttpResponseMessage response = await gateway.CreateHttpClient(key).GetAsync($"/v1/blobs/{id}", TestGateway.Cancel);
        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        await GrpcAssert.FailsAsync(StatusCode.NotFound, () => GetAsync(gateway.CreateClient(key), new GetBlobRequest { Id = id }));
    }

    [Fact]
    public async Task WrongBytes_AreRefused_AndNeverReadableByTheClaimedName()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        string key = (await gateway.CreateKeyAsync()).Key.Reveal();
        Inference.InferenceClient client = gateway.CreateClient(key);

        Error error = await GrpcAssert.FailsAsync(StatusCode.DataLoss, () => PutAsync(client, _id, _bytes[1..]));
        Assert.Equal(ErrorCode.CorruptData, error.Code);
        using HttpResponseMessage put = await gateway.CreateHttpClient(key).PutAsync(
            $"/v1/blobs/{_id}", new ByteArrayContent(_bytes[1..]), TestGateway.Cancel);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, put.StatusCode);
        Assert.Contains("CORRUPT_DATA", await put.Content.ReadAsStringAsync(TestGateway.Cancel), StringComparison.Ordinal);

        string wrong = Convert.ToHexStringLower(SHA256.HashData(_bytes.AsSpan(1)));
        Assert.Equal([_id, wrong],
            (await client.HasBlobsAsync(new HasBlobsRequest { Ids = { _id, wrong } }, cancellationToken: TestGateway.Cancel)).Missing);
    }

    [Fact]
    public async Task GapBetweenChunks_IsRefused()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        using var put = (await gateway.CreateClientAsync()).PutBlob(cancellationToken: TestGateway.Cancel);
        await put.RequestStream.WriteAsync(new BlobChunk { Offset = 5, Data = ByteString.CopyFromUtf8("abc") }, TestGateway.Cancel);

        Error error = await GrpcAssert.FailsAsync(StatusCode.DataLoss, async () => await put);

        Assert.Contains("offset 5", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task BlobBeyondTheBound_IsRefused_WhileItArrives()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(blobBytes: 1_000_000));
        string key = (await gateway.CreateKeyAsync()).Key.Reveal();
        using HttpResponseMessage put = await gateway.CreateHttpClient(key).PutAsync(
            $"/v1/blobs/{_id}", new ByteArrayContent(_bytes), TestGateway.Cancel);
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, put.StatusCode);
        Assert.Empty(Directory.EnumerateFiles(Path.Combine(gateway.Folder, "blobs"), "*", SearchOption.AllDirectories));
    }

    [Fact]
    public async Task EmptyBlob_IsABlob()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        BlobRef stored = await PutAsync(client, "", []);
        Assert.Empty(await GetAsync(client, new GetBlobRequest { Id = stored.Id }));
    }

    private static async Task<BlobRef> PutAsync(Inference.InferenceClient client, string id, byte[] bytes)
    {
        using var put = client.PutBlob(cancellationToken: TestGateway.Cancel);
        ulong offset = 0;
        foreach (byte[] part in bytes.Chunk(700_000))
        {
            await put.RequestStream.WriteAsync(
                new BlobChunk { Id = offset == 0 ? id : "", Offset = offset, Data = ByteString.CopyFrom(part) }, TestGateway.Cancel);
            offset += (ulong)part.Length;
        }
        await put.RequestStream.CompleteAsync();
        return await put;
    }

    private static async Task<byte[]> GetAsync(Inference.InferenceClient client, GetBlobRequest request)
    {
        using var call = client.GetBlob(request, cancellationToken: TestGateway.Cancel);
        var bytes = new MemoryStream();
        ulong offset = request.Offset;
        while (await call.ResponseStream.MoveNext(TestGateway.Cancel))
        {
            BlobChunk chunk = call.ResponseStream.Current;
            Assert.Equal(offset, chunk.Offset);
            Assert.InRange(chunk.Data.Length, 0, 512 << 10);
            chunk.Data.WriteTo(bytes);
            offset += (ulong)chunk.Data.Length;
        }
        return bytes.ToArray();
    }
}
