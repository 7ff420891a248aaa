namespace Ndif.Worker.Residency;

/// <summary>A loaded model that may be evicted, with the properties that the <see cref="EvictionPolicy"/> uses.</summary>
internal readonly record struct EvictionCandidate<T>(T Model, long Bytes, DateTimeOffset LastUsed);
