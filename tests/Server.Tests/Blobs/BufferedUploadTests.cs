using Microsoft.Extensions.DependencyInjection;
using Ndif.Protocol;
using Ndif.Queue.Blobs;
using Ndif.Server.Blobs;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Blobs;

/// <summary>Uploads to a bucket are buffered in the gateway: the buffers have a limit for each key, and for all.</summary>
public sealed class BufferedUploadTests
{
    [Fact]
    public async Task TheBuffersOfOpenUploads_AreReserved_AsTheirBytesCome()
    {
        await using var s3 = new FakeS3(TimeProvider.System);
        await s3.StartAsync();
        Environment.SetEnvironmentVariable("AWS_ACCESS_KEY_ID", FakeS3.AccessKey);
        Environment.SetEnvironmentVariable("AWS_SECRET_ACCESS_KEY", FakeS3.Secret);
        await using TestGateway gateway = await TestGateway.StartAsync(configure: backend => backend with
        {
            Blobs = BlobStores.Open(
                new BlobOptions { Root = $"s3://{FakeS3.Bucket}/ndif?endpoint={s3.Address}&region={FakeS3.Region}" }),
        });
        BlobTransfer blobs = gateway.App.Services.GetRequiredService<BlobTransfer>();
        using var limiter = new DecodingLimiter(new GatewayOptions(), availableMemory: 256L << 20); // a key may have 32 MiB of it

        // an upload of more than half a part has the buffer of a part, 16 MiB
        Upload[] small = [.. Enumerable.Range(0, 100).Select(i => new Upload(blobs, limiter, "ada", bytes: i % 2))];
        Upload first = new(blobs, limiter, "ada", bytes: 9 << 20), other = new(blobs, limiter, "bob", bytes: 9 << 20);
        await Task.WhenAll([.. small.Select(upload => upload.Received), first.Received, other.Received]);
        NdifException busy = await Assert.ThrowsAsync<NdifException>(
            () => new Upload(blobs, limiter, "ada", bytes: 14 << 20).CompleteAsync());
        Assert.Equal((ErrorCode.Unavailable, true), (busy.Code, busy.Error.Retryable));
        await first.CompleteAsync();
        await new Upload(blobs, limiter, "ada", bytes: 14 << 20).CompleteAsync();
        await Task.WhenAll([.. small.Select(upload => upload.CompleteAsync()), other.CompleteAsync()]);
    }

    /// <summary>An upload that has sent some bytes, and sends no more until it is to be completed.</summary>
    private sealed class Upload
    {
        private readonly TaskCompletionSource _received = new(), _isToEnd = new();
        private readonly Task _ended;

        public Upload(BlobTransfer blobs, DecodingLimiter limiter, string owner, int bytes) =>
            _ended = RunAsync(blobs, limiter, new Caller(owner, owner, [Scopes.Run], "standard", []), bytes);

        /// <summary>Ends when its bytes have been received.</summary>
        public Task Received => _received.Task;

        public Task CompleteAsync()
        {
            _isToEnd.TrySetResult();
            return _ended;
        }

        private async Task RunAsync(BlobTransfer blobs, DecodingLimiter limiter, Caller caller, int bytes)
        {
            using var scope = new RequestScope(limiter, caller.Id, 1 << 20);
            RequestScope.Current = scope;
            await blobs.PutAsync(caller, () => "", async (target, cancel) =>
            {
                if (bytes > 0) await target.WriteAsync(new byte[bytes], cancel);
                _received.SetResult();
                await _isToEnd.Task;
            }, TestGateway.Cancel);
        }
    }
}
