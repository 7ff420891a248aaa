using System.IO.Hashing;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using Google.Protobuf;
using Ndif.Protocol;

namespace Ndif.Remote;

/// <summary>Fetches the tensors of a result that were too large for an event: plain HTTP, in ranges, resumed when cut off.</summary>
internal static class BlobDownloader
{
    /// <summary>Failures without a byte in between that are borne.</summary>
    private const int MaxAttempts = 5;

    /// <summary>Replaces every reference in <paramref name="data"/> by its bytes.</summary>
    public static async Task FetchTensorsAsync(RemoteService service, Data data, CancellationToken cancellationToken)
    {
        foreach (Tensor tensor in data.BlobTensors())
            tensor.Inline = UnsafeByteOperations.UnsafeWrap(await FetchAsync(service, tensor.Blob, cancellationToken));
    }

    private static Exception CreateException(HttpResponseMessage response) => response.StatusCode switch
    {
        HttpStatusCode.Unauthorized =>
            Errors.CreateException(ErrorCode.Unauthenticated,
                "The service did not give a saved tensor, for it does not take the key any more.", "Ask your operator for another key."),
        HttpStatusCode.Forbidden =>
            Errors.CreateException(ErrorCode.PermissionDenied, "The service did not give a saved tensor: the key may not read it."),
        _ => Errors.CreateException(ErrorCode.UnknownBlob,
            $"The service did not give a saved tensor: {(int)response.StatusCode} {response.ReasonPhrase}.",
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
            if (received > before) attempt = 1; // it goes on, however often it is cut off
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
                if (!response.IsSuccessStatusCode && service.TryFallBackToGateway(route)) continue; // was it somebody else's port?
                if (!response.IsSuccessStatusCode) throw CreateException(response);
                if (response.StatusCode is not HttpStatusCode.PartialContent)
                {
                    received = 0; // all of it, from the beginning
                    sum.Reset();
                }
                await using Stream stream = await response.Content.ReadAsStreamAsync(cancellationToken);
                while (received < bytes.Length)
                {
                    int read = await stream.ReadAsync(bytes.AsMemory(received), cancellationToken);
                    if (read == 0) throw new IOException("The connection ended early.");
                    sum.Append(bytes.AsSpan(received, read)); // at once, while the bytes are still in the processor's cache
                    received += read;
                }
                break;
            }
            catch (HttpRequestException) when (received == 0 && service.TryFallBackToGateway(route))
            {
                // that port cannot be reached from here: the one of all other calls can
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
                        Message = $"The service at {service.Host} broke off a saved tensor {MaxAttempts} times: {e.Message}",
                    Hint = "Follow the job again by its id; its results are kept for a limited time.",
                }, e);
            }
        }
        return sum.IsMatch(out string found) ? bytes
            : throw Errors.CreateException(ErrorCode.CorruptData, $"A saved tensor arrived damaged: {found}.", "Run the trace again.");
    }
}

/// <summary>Whether the bytes that came are those that were sent, looked at as they come.</summary>
internal interface IBlobChecksum : IDisposable
{
    void Append(ReadOnlySpan<byte> bytes);

    /// <summary>Forgets what was added.</summary>
    void Reset();

    /// <param name="mismatch">What was found in place of what.</param>
    bool IsMatch(out string mismatch);
}

/// <summary>The bytes' SHA-256 is their name.</summary>
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

/// <summary>The bytes' XXH128 was sent along.</summary>
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
