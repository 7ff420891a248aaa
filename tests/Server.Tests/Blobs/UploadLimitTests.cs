using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;
using Google.Protobuf;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Blobs;

/// <summary>What an upload may cost: bytes in an hour, nothing for a wrong one, and no more than the disk has.</summary>
public sealed class UploadLimitTests
{
    [Fact]
    public async Task AWrongUpload_LeavesNothing_AndCounts()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(
            new GatewayOptions { GrpcPort = 0, HttpPort = 0, UploadBytesPerHour = 2_500_000 });
        Inference.InferenceClient client = await gateway.CreateClientAsync(), other = await gateway.CreateClientAsync();
        byte[] bytes = RandomNumberGenerator.GetBytes(1_000_000);
        string id = Convert.ToHexStringLower(SHA256.HashData(bytes)), wrong = new('a', 64);
        for (int i = 0; i < 2; i++)
        {
            Error error = await GrpcAssert.FailsAsync(StatusCode.DataLoss, () => PutAsync(client, wrong, bytes));
            Assert.Equal(ErrorCode.CorruptData, error.Code);
            Assert.Empty(Directory.GetFiles(Path.Combine(gateway.Folder, "blobs"), "*", SearchOption.AllDirectories));
        }
        Error limited = await GrpcAssert.FailsAsync(StatusCode.ResourceExhausted, () => PutAsync(client, id, bytes));
        Assert.Equal(ErrorCode.QuotaExceeded, limited.Code);
        Assert.InRange(limited.RetryAfterSeconds, 3000, 3600);
        await PutAsync(other, id, bytes); // another key
        gateway.Time.Advance(TimeSpan.FromHours(1));
        await PutAsync(client, id, bytes);
    }

    [Fact]
    public async Task AFullDisk_IsUnavailable_WithoutAPath_AndLoggedWithTheReason()
    {
        using SmallDisk disk = SmallDisk.Mount(1 << 20);
        await using TestGateway gateway = await TestGateway.StartAsync(configure: backend => backend with
        {
            Blobs = new DirectoryBlobStore(new BlobOptions { Root = Path.Combine(disk.Folder, "blobs") }),
        });
        CreatedKey key = await gateway.CreateKeyAsync();
        byte[] bytes = RandomNumberGenerator.GetBytes(3 << 20);
        string id = Convert.ToHexStringLower(SHA256.HashData(bytes));
        Error error = await GrpcAssert.FailsAsync(
            StatusCode.Unavailable, () => PutAsync(gateway.CreateClient(key.Key.Reveal()), id, bytes));
        Assert.True(error.Retryable);
        Assert.Contains("no space left", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(disk.Folder, error.ToString(), StringComparison.Ordinal);
        using HttpResponseMessage http = await gateway.CreateHttpClient(key.Key.Reveal())
            .PutAsync($"/v1/blobs/{id}", new ByteArrayContent(bytes), TestGateway.Cancel);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, http.StatusCode);
        Assert.DoesNotContain(disk.Folder, await http.Content.ReadAsStringAsync(TestGateway.Cancel), StringComparison.Ordinal);
        string[] logged = [.. gateway.Log.Events.Where(e => LogCapture.GetEventId(e) == 3031).Select(LogCapture.GetText)];
        Assert.Equal(2, logged.Length);
        Assert.All(logged, text => Assert.True(text.Contains(key.Record.Id, StringComparison.Ordinal)
            && text.Contains("No space left", StringComparison.Ordinal), text));
        Assert.Empty(Directory.GetFiles(disk.Folder, "*", SearchOption.AllDirectories));

        disk.MakeReadOnly();
        NdifException refused = Assert.ThrowsAny<NdifException>(
            () => new DirectoryBlobStore(new BlobOptions { Root = Path.Combine(disk.Folder, "blobs") }));
        Assert.Contains("cannot be written to", refused.Message, StringComparison.Ordinal);
        Assert.Contains("--data", refused.Message, StringComparison.Ordinal);
    }

    private static async Task PutAsync(Inference.InferenceClient client, string id, byte[] bytes)
    {
        using AsyncClientStreamingCall<BlobChunk, BlobRef> put = client.PutBlob(cancellationToken: TestGateway.Cancel);
        try
        {
            for (int at = 0; at < bytes.Length; at += 100_000)
                await put.RequestStream.WriteAsync(
                    new BlobChunk { Id = id, Offset = (ulong)at, Data = ByteString.CopyFrom(bytes.AsSpan(at, Math.Min(100_000,
                        bytes.Length - at))) },
                    TestGateway.Cancel);
            await put.RequestStream.CompleteAsync();
        }
        catch (Exception e) when (e is RpcException or InvalidOperationException)
        {
            // refused while sending: the answer says why
        }
        await put;
    }
}

/// <summary>A file system of a few bytes in memory. It needs the right to mount; without it the test is skipped.</summary>
internal sealed class SmallDisk : IDisposable
{
    private SmallDisk(string folder) => Folder = folder;

    public string Folder { get; }

    public static SmallDisk Mount(int bytes)
    {
        string folder = Directory.CreateTempSubdirectory("ndif-small-disk-").FullName;
        if (Run("mount", "-t", "tmpfs", "-o", $"size={bytes}", "tmpfs", folder)) return new SmallDisk(folder);
        Directory.Delete(folder);
        Assert.Skip("The file system of the test cannot be mounted by this user.");
        throw new UnreachableException();
    }

    public void MakeReadOnly() => Assert.True(Run("mount", "-o", "remount,ro", Folder));

    public void Dispose()
    {
        Run("umount", Folder);
        Directory.Delete(Folder);
    }

    private static bool Run(string command, params string[] arguments)
    {
        if (!OperatingSystem.IsLinux()) return false;
        using Process process = Process.Start(new ProcessStartInfo(command, arguments) { RedirectStandardError = true })!;
        process.WaitForExit();
        return process.ExitCode == 0;
    }
}
