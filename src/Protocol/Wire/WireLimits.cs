namespace Ndif.Protocol.Wire;

/// <summary>The limits on what a received message may become in memory. <see cref="WireScan"/> enforces them before it is
/// decoded.</summary>
/// <param name="DecodedBytes">The memory of the decoded message, in bytes, as <see cref="WireScan"/> estimates it.</param>
/// <param name="Objects">The number of messages, texts, byte strings and map entries in it.</param>
/// <param name="Depth">The depth of nested messages. Google.Protobuf refuses more than 100 by itself.</param>
public sealed record WireLimits(long DecodedBytes, int Objects, int Depth = 100)
{
    private const long MinDecodedBytes = 128L << 20, BytesPerByte = 32, MinObjects = 1 << 20, BytesPerObject = 4;

    /// <summary>The limits for requests without a program: names, ids and numbers.</summary>
    public static WireLimits SmallRequest { get; } = new(8L << 20, 50_000);

    /// <summary>
    /// The limits for messages of at most this size: 32 bytes of memory for each, and at least 128 MiB; an object for each four bytes,
    /// and at least a million. A program of 100,000 operations needs about 50 MiB and 600,000 objects; empty messages, of two bytes each,
    /// need up to a hundred times their size.
    /// </summary>
    public static WireLimits ForMessagesOf(long maxBytes) => new(
        Math.Max(MinDecodedBytes, maxBytes * BytesPerByte), (int)Math.Clamp(maxBytes / BytesPerObject, MinObjects, int.MaxValue));
}
