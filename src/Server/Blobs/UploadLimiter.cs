using System.Collections.Concurrent;

namespace Ndif.Server.Blobs;

/// <summary>
/// Limits the bytes that a key uploads in an hour, whether they are kept or refused. The counts are those of one gateway.
/// </summary>
internal sealed class UploadLimiter(GatewayOptions options, TimeProvider time)
{
    private static readonly TimeSpan _window = TimeSpan.FromHours(1);

    private readonly ConcurrentDictionary<string, Window> _windows = new(StringComparer.Ordinal);

    /// <exception cref="Protocol.NdifException">QUOTA_EXCEEDED: the key has uploaded what it may; the error says until when.</exception>
    public void Add(string owner, string tier, long bytes)
    {
        long limit = options.GetTier(tier).UploadBytesPerHour ?? options.UploadBytesPerHour;
        Window window = _windows.GetOrAdd(owner, _ => new Window());
        lock (window)
        {
            DateTimeOffset now = time.GetUtcNow();
            if (now - window.Start >= _window) (window.Start, window.Bytes) = (now, 0);
            if (window.Bytes + bytes > limit) throw ServerErrors.TooManyUploads(limit, window.Start + _window - now);
            window.Bytes += bytes;
        }
    }

    private sealed class Window
    {
        public DateTimeOffset Start;
        public long Bytes;
    }
}
