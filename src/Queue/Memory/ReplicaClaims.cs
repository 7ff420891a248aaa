namespace Ndif.Queue.Memory;

/// <summary>Which workers hold one model, as the in-memory registry keeps it. Redis/Scripts/hold.lua does the same.</summary>
internal sealed class ReplicaClaims
{
    private readonly Dictionary<string, (DateTimeOffset Until, DateTimeOffset LastUsed)> _claims = [];

    public bool TryClaim(string worker, int maxReplicas, DateTimeOffset lastUsed, DateTimeOffset now, TimeSpan lifetime)
    {
        foreach (string expired in _claims.Where(h => h.Value.Until <= now).Select(h => h.Key).ToArray()) _claims.Remove(expired);
        bool hasClaim = _claims.ContainsKey(worker);
        int before = _claims.Count(other => other.Key != worker && (!hasClaim || HasPriority(other.Key, other.Value.LastUsed, worker, lastUsed)));
        if (before >= maxReplicas)
        {
            _claims.Remove(worker);
            return false;
        }
        _claims[worker] = (now + lifetime, lastUsed);
        return true;
    }

    public void Release(string worker) => _claims.Remove(worker);

    /// <summary>The more recently used stays; of equals the first by name.</summary>
    private static bool HasPriority(string other, DateTimeOffset otherLastUsed, string worker, DateTimeOffset lastUsed) =>
        otherLastUsed != lastUsed ? otherLastUsed > lastUsed : string.CompareOrdinal(other, worker) < 0;
}
