namespace Ndif.Queue.Memory;

/// <summary>The claims of workers to hold replicas of one model. Redis/Scripts/claim_replica.lua implements the same rules.</summary>
internal sealed class ReplicaClaims
{
    private readonly Dictionary<string, (DateTimeOffset Until, DateTimeOffset LastUsed)> _claims = [];

    public bool TryClaim(string worker, int maxReplicas, DateTimeOffset lastUsed, DateTimeOffset now, TimeSpan lifetime)
    {
        foreach (string expired in _claims.Where(claim => claim.Value.Until <= now).Select(claim => claim.Key).ToArray())
            _claims.Remove(expired);
        bool hasClaim = _claims.ContainsKey(worker);
        int before = _claims.Count(other =>
            other.Key != worker && (!hasClaim || HasPriority(other.Key, other.Value.LastUsed, worker, lastUsed)));
        if (before >= maxReplicas)
        {
            _claims.Remove(worker);
            return false;
        }
        _claims[worker] = (now + lifetime, lastUsed);
        return true;
    }

    public void Release(string worker) => _claims.Remove(worker);

    /// <summary>The more recently used replica has priority; if both were used at the same time, the first by worker name.</summary>
    private static bool HasPriority(string other, DateTimeOffset otherLastUsed, string worker, DateTimeOffset lastUsed) =>
        otherLastUsed != lastUsed ? otherLastUsed > lastUsed : string.CompareOrdinal(other, worker) < 0;
}
