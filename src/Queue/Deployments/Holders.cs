namespace Ndif.Queue;

/// <summary>Which workers hold one model, as the in-memory registry keeps it. Redis/Scripts/hold.lua does the same.</summary>
internal sealed class Holders
{
    private readonly Dictionary<string, (DateTimeOffset Until, DateTimeOffset LastUsed)> _all = [];

    public bool Hold(string worker, int most, DateTimeOffset lastUsed, DateTimeOffset now, TimeSpan lifetime)
    {
        foreach (string gone in _all.Where(h => h.Value.Until <= now).Select(h => h.Key).ToArray()) _all.Remove(gone);
        bool holds = _all.ContainsKey(worker);
        int before = _all.Count(other => other.Key != worker && (!holds || IsBefore(other.Key, other.Value.LastUsed, worker, lastUsed)));
        if (before >= most)
        {
            _all.Remove(worker);
            return false;
        }
        _all[worker] = (now + lifetime, lastUsed);
        return true;
    }

    public void LetGo(string worker) => _all.Remove(worker);

    /// <summary>The more recently used stays; of equals the first by name.</summary>
    private static bool IsBefore(string other, DateTimeOffset used, string worker, DateTimeOffset lastUsed) =>
        used != lastUsed ? used > lastUsed : string.CompareOrdinal(other, worker) < 0;
}
