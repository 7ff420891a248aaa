using System.IO.Hashing;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using Google.Protobuf;
using Ndif.Protocol;

namespace Ndif.Remote;

/// <summary>
/// Downloads the tensors of a result that are too large for an event, over HTTP. A broken download is resumed with a range request.
/// </summary>
internal static class BlobDownloader
{
    /// <summary>The number of consecutive attempts without progress.</summary>
    private const int MaxAttempts = 5;

    /// <summary>Replaces each blob reference in <paramref name="data"/> by its bytes.</summary>
    public static async Task FetchTensorsAsync(RemoteService service, Data data, CancellationToken cancellationToken)
    {
        foreach (Tensor tensor in data.BlobTensors())
            tensor.Inline = UnsafeByteOperations.UnsafeWrap(await FetchAsync(service, tensor.Blob, cancellationToken));
    }

    private static Exception CreateException(HttpResponseMessage response) => response.StatusCode switch
    {
        HttpStatusCode.Unauthorized =>
            Errors.CreateException(ErrorCode.Unauthenticated,
                "The service refused to send a saved tensor: the key is no longer valid.", "Ask your operator for another key."),
        HttpStatusCode.Forbidden =>
            Errors.CreateException(ErrorCode.PermissionDenied, "The service refused to send a saved tensor: the key may not read it."),
        _ => Errors.CreateException(ErrorCode.UnknownBlob,
            $"The service did not send a saved tensor: {(int)response.StatusCode} {response.ReasonPhrase}.",
            "Results are kept for a limited time, or until their job is deleted; run the trace again."),
    };

    private static async Task<byte[]> FetchAsync(RemoteService service, BlobRef blob, CancellationToken cancellationToken)
    {
        if (blob.Length > (ulong)Array.MaxLength)
            throw Errors.CreateException(ErrorCode.LimitExceeded,
                $"A saved tensor has {blob.Length} bytes; one array of this process holds {Array.MaxLength}.", "Save it in parts.");
        byte[] bytes = GC.AllocateUninitializedArray<byte>((int)blob.Length);
        int received = 0, before = 0;
        using IBlobChecksum sum = blob.Checksum.IsEmpty ? new Sha256Checksum(blob.Id) : new Xxh128Checksum(blob.Checksum);
        for (int attempt = 1; ; attempt++)
        {
            if (received > before) attempt = 1; // a download that makes progress is not given up
            before = received;
            BlobDownloadEndpoint route = await service.GetBlobEndpointAsync(cancellationToken);
            try
            {
                using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(route.Address, $"/v1/blobs/{blob.Id}"))
                {
                    Version = route.Version,
                    VersionPolicy = HttpVersionPolicy.RequestVersionExact,
                };
                request.Headers.Authorization = service.Authorization;
                if (received > 0) request.Headers.Range = new RangeHeaderValue(received, null);
                using HttpResponseMessage response =
                    await service.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
                if ((int)response.StatusCode >= 500)
                    throw new HttpRequestException($"The service answered {(int)response.StatusCode} {response.ReasonPhrase}.");
                // another server may listen on the endpoint's port
                if (!response.IsSuccessStatusCode && service.TryFallBackToGateway(route)) continue;
                if (!response.IsSuccessStatusCode) throw CreateException(response);
                if (response.StatusCode is not HttpStatusCode.PartialContent)
                {
                    received = 0; // the server ignored the range and sends the whole blob
                    sum.Reset();
                }
                await using Stream stream = await response.Content.ReadAsStreamAsync(cancellationToken);
                while (received < bytes.Length)
                {
                    int read = await stream.ReadAsync(bytes.AsMemory(received), cancellationToken);
                    if (read == 0) throw new IOException("The connection ended early.");
                    sum.Append(bytes.AsSpan(received, read)); // here, because the bytes are still in the processor's cache
                    received += read;
                }
                break;
            }
            catch (HttpRequestException) when (received == 0 && service.TryFallBackToGateway(route))
            {
                // the port of the endpoint cannot be reached from here, so the gRPC address is tried next
            }
            catch (Exception e) when (e is IOException or HttpRequestException && attempt < MaxAttempts)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(100 << attempt), cancellationToken);
            }
            catch (Exception e) when (e is IOException or HttpRequestException)
            {
                throw Errors.ToException(new Error
                {
                    Code = ErrorCode.Unavailable, Retryable = true,
                    Message = $"The service at {service.Host} closed the connection {MaxAttempts} times while sending a saved tensor"
                        + (EnvironmentProxy.Current.Describe(route.Address) is { } proxy ? $" through the proxy {proxy}" : "")
                        + $": {e.Message}",
                    Hint = "Follow the job again by its id; its results are kept for a limited time.",
                }, e);
            }
        }
        return sum.IsMatch(out string found) ? bytes
            : throw Errors.CreateException(ErrorCode.CorruptData, $"A saved tensor arrived damaged: {found}.", "Run the trace again.");
    }
}

/// <summary>The checksum of a download, computed incrementally.</summary>
internal interface IBlobChecksum : IDisposable
{
    void Append(ReadOnlySpan<byte> bytes);

    /// <summary>Starts again, without the bytes that were appended.</summary>
    void Reset();

    /// <param name="mismatch">Describes the computed and the expected checksum.</param>
    bool IsMatch(out string mismatch);
}

/// <summary>Compares the SHA-256 with the id of the blob.</summary>
internal sealed class Sha256Checksum(string id) : IBlobChecksum
{
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    public void Append(ReadOnlySpan<byte> bytes) => _hash.AppendData(bytes);

    public void Reset() => _hash.GetHashAndReset();

    public bool IsMatch(out string mismatch)
    {
        string sum = Convert.ToHexStringLower(_hash.GetHashAndReset());
        mismatch = $"its SHA-256 is {sum}, not {id}";
        return sum == id;
    }

    public void Dispose() => _hash.Dispose();
}

/// <summary>Compares the XXH128 with the one in the blob reference.</summary>
internal sealed class Xxh128Checksum(ByteString expected) : IBlobChecksum
{
    private readonly XxHash128 _hash = new();

    public void Append(ReadOnlySpan<byte> bytes) => _hash.Append(bytes);

    public void Reset() => _hash.Reset();

    public bool IsMatch(out string mismatch)
    {
        byte[] sum = _hash.GetCurrentHash();
        mismatch = $"its XXH128 is {Convert.ToHexStringLower(sum)}, not {Convert.ToHexStringLower(expected.Span)}";
        return expected.Span.SequenceEqual(sum);
    }

    public void Dispose() { }
}
